#include "policy/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/grow.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "policy/check_priv.h"

/* --- rules that can never match: subtract from a rule's packets those that earlier rules take --- */

typedef unsigned __int128 u128;

#define SAMPLES   24        /* packets tried on each rule before it is looked at closely */
#define BOXES_MAX 4096      /* pieces of one rule; beyond it nothing is claimed */
#define WORK_MAX  200000000 /* subtractions in all */

/* Packets: an interval in each dimension. Those without ports are told apart by `ports`. */
struct box {
    u128 lo[5], hi[5]; /* source, destination, protocol, source port, destination port */
    uint8_t ver;
    bool ports;
};

struct boxes {
    struct box *v;
    size_t n, cap;
};

struct never {
    struct check *c;
    struct boxes rule, left, next;
    uint64_t work;
    bool gave_up;
};

static u128 addr_number(const struct dt_addr *a)
{
    return a->ver == 4 ? dt_get_be32(a->b) : (u128)dt_get_be64(a->b) << 64 | dt_get_be64(a->b + 8);
}

static int box_add(struct boxes *b, const struct box *x)
{
    if (b->n == BOXES_MAX)
        return -1;
    if (dt_grow(b->v, b->cap, b->n, 64))
        return -1;
    b->v[b->n++] = *x;
    return 0;
}

/* A rule's packets of one version, for one pair of address ranges. */
static int boxes_l4(struct boxes *out, const struct dt_rule *r, struct box x)
{
    for (unsigned p = 0; p < (r->nproto ? r->nproto : 1u); p++) {
        x.lo[2] = r->nproto ? r->proto[p] : 1;
        x.hi[2] = r->nproto ? r->proto[p] : 255;
        if (!r->nsport && !r->ndport) {
            x.ports = false;
            x.lo[3] = x.hi[3] = x.lo[4] = x.hi[4] = 0;
            if (box_add(out, &x))
                return -1;
        }
        x.ports = true;
        for (unsigned i = 0; i < (r->nsport ? r->nsport : 1u); i++)
            for (unsigned k = 0; k < (r->ndport ? r->ndport : 1u); k++) {
                x.lo[3] = r->nsport ? r->sport[i].from : 0;
                x.hi[3] = r->nsport ? r->sport[i].to : 65535;
                x.lo[4] = r->ndport ? r->dport[k].from : 0;
                x.hi[4] = r->ndport ? r->dport[k].to : 65535;
                /* Only protocols that have ports. */
                for (unsigned q = 1; q < 256; q++) {
                    if (!dt_proto_has_ports((uint8_t)q) || q < x.lo[2] || q > x.hi[2])
                        continue;
                    struct box y = x;
                    y.lo[2] = y.hi[2] = q;
                    if (box_add(out, &y))
                        return -1;
                }
            }
    }
    return 0;
}

static int boxes_of(struct boxes *out, const struct dt_rule *r)
{
    out->n = 0;
    for (uint8_t ver = 4; ver <= 6; ver += 2) {
        u128 last = ver == 4 ? UINT32_MAX : ~(u128)0;
        for (size_t i = 0; i < (r->from.n ? r->from.n : 1); i++)
            for (size_t k = 0; k < (r->to.n ? r->to.n : 1); k++) {
                if ((r->from.n && r->from.v[i].from.ver != ver) || (r->to.n && r->to.v[k].from.ver != ver))
                    continue;
                struct box x = {.ver = ver, .hi = {last, last}};
                if (r->from.n) {
                    x.lo[0] = addr_number(&r->from.v[i].from);
                    x.hi[0] = addr_number(&r->from.v[i].to);
                }
                if (r->to.n) {
                    x.lo[1] = addr_number(&r->to.v[k].from);
                    x.hi[1] = addr_number(&r->to.v[k].to);
                }
                if (boxes_l4(out, r, x))
                    return -1;
            }
    }
    return 0;
}

static bool meet(const struct box *a, const struct box *b)
{
    if (a->ver != b->ver || a->ports != b->ports)
        return false;
    for (unsigned d = 0; d < 5; d++)
        if (a->hi[d] < b->lo[d] || b->hi[d] < a->lo[d])
            return false;
    return true;
}

/* What of `a` is not in `b`: at most two slices a dimension. */
static int subtract(struct boxes *out, struct box a, const struct box *b)
{
    for (unsigned d = 0; d < 5; d++) {
        struct box part = a;
        if (a.lo[d] < b->lo[d]) {
            part.hi[d] = b->lo[d] - 1;
            if (box_add(out, &part))
                return -1;
            a.lo[d] = b->lo[d];
        }
        part = a;
        if (a.hi[d] > b->hi[d]) {
            part.lo[d] = b->hi[d] + 1;
            if (box_add(out, &part))
                return -1;
            a.hi[d] = b->hi[d];
        }
    }
    return 0;
}

/* Takes the packets of rule s from n->left. 1: some were taken, 0: none, -1: too many pieces. */
static int never_take(struct never *n, const struct dt_rule *s)
{
    int taken = 0;
    if (boxes_of(&n->rule, s))
        return 0; /* leaving a rule out never makes another one unreachable */
    for (size_t i = 0; i < n->rule.n; i++) {
        bool any = false;
        n->work += n->left.n;
        for (size_t k = 0; k < n->left.n && !any; k++)
            any = meet(&n->left.v[k], &n->rule.v[i]);
        if (!any)
            continue;
        taken = 1;
        n->next.n = 0;
        for (size_t k = 0; k < n->left.n; k++)
            if (meet(&n->left.v[k], &n->rule.v[i]) ? subtract(&n->next, n->left.v[k], &n->rule.v[i])
                                                   : box_add(&n->next, &n->left.v[k]))
                return -1;
        struct boxes t = n->left;
        n->left = n->next;
        n->next = t;
    }
    return taken;
}

static struct dt_addr addr_from_value(u128 v, uint8_t ver)
{
    if (ver == 4)
        return dt_addr4((uint32_t)v);
    struct dt_addr a = {.ver = 6};
    dt_put_be64(a.b, (uint64_t)(v >> 64));
    dt_put_be64(a.b + 8, (uint64_t)v);
    return a;
}

static bool same_side(const struct dt_rule *a, const struct dt_rule *b)
{
    return (a->kind == DT_RULE_TRANSPORT) == (b->kind == DT_RULE_TRANSPORT);
}

/* One packet of the rule that no earlier rule takes is proof enough: corners first, then any. */
static bool rule_reached(struct never *n, const struct dt_rule *r, struct dt_prng *prng)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        const struct box *b = &n->left.v[i < n->left.n ? i : dt_prng_u64(prng) % n->left.n];
        u128 v[5];
        for (unsigned d = 0; d < 5; d++) {
            u128 span = b->hi[d] - b->lo[d], x = (u128)dt_prng_u64(prng) << 64 | dt_prng_u64(prng);
            v[d] = i == 0 ? b->lo[d] : i == 1 ? b->hi[d] : span + 1 ? b->lo[d] + x % (span + 1) : x;
        }
        struct dt_flow f = {addr_from_value(v[0], b->ver),
                            addr_from_value(v[1], b->ver),
                            (uint8_t)v[2],
                            b->ports,
                            (uint16_t)v[3],
                            (uint16_t)v[4]};
        uint32_t got = r->kind == DT_RULE_TRANSPORT ? dt_match_transport(n->c->match, &f)
                                                    : dt_match_tunnel(n->c->match, &f);
        if (got == r->index)
            return true;
    }
    return false;
}

static void never_empty(struct check *c, const struct dt_rule *r)
{
    if (r->nsport || r->ndport)
        for (unsigned i = 0; i < r->nproto; i++)
            if (!dt_proto_has_ports(r->proto[i])) {
                char p[8];
                dt_check_add(
                    c, DT_CHECK_NEVER, r->line,
                    "rule \"%s\" can never match: it names ports, and protocol %s has none; take the ports "
                    "away, or write protocol = \"tcp\"",
                    r->name, dt_proto_str(p, r->proto[i]));
                return;
            }
    dt_check_add(c, DT_CHECK_NEVER, r->line,
                 "rule \"%s\" can never match: its `from` and `to` have no IP version in common", r->name);
}

static void never_one(struct never *n, const struct dt_rule *r, struct dt_prng *prng)
{
    if (boxes_of(&n->left, r))
        return; /* too many pieces to look at */
    if (!n->left.n) {
        n->c->never[r->index] = true;
        never_empty(n->c, r);
        return;
    }
    if (rule_reached(n, r, prng))
        return;
    char by[512] = "", at[DT_SOURCE_LINELEN];
    size_t len = 0, takers = 0;
    for (uint32_t i = 0; i < r->index && n->left.n; i++) {
        const struct dt_rule *s = &n->c->rules->v[i];
        if (!same_side(r, s))
            continue;
        int t = n->work > WORK_MAX ? -1 : never_take(n, s);
        if (t < 0) {
            n->gave_up = true;
            return;
        }
        if (t && ++takers <= 3)
            len += (size_t)snprintf(by + len, sizeof by - len, "%s\"%.40s\" (%s)", takers == 1 ? "" : ", ",
                                    s->name, dt_rule_line(at, n->c->rules, s, r));
    }
    if (n->left.n)
        return;
    n->c->never[r->index] = true;
    if (takers > 3)
        snprintf(by + len, sizeof by - len, " and %zu more", takers - 3);
    dt_check_add(n->c, DT_CHECK_NEVER, r->line,
                 "rule \"%s\" can never match: %s take%s all its packets; move it before "
                 "%s, or take it away",
                 r->name, by, takers == 1 ? "s" : "", takers == 1 ? "that one" : "them");
}

void dt_check_never(struct check *c)
{
    struct never n = {.c = c};
    struct dt_prng prng;
    dt_prng_seed(&prng, 703);
    for (size_t i = 0; i < c->rules->n; i++)
        never_one(&n, &c->rules->v[i], &prng);
    if (n.gave_up)
        dt_check_add(c, DT_CHECK_UNFINISHED, 0,
                     "the rules overlap so much that some which can never match may be "
                     "missed");
    free(n.rule.v);
    free(n.left.v);
    free(n.next.v);
}

/* --- all of it --- */

void dt_check_add(struct check *c, enum dt_check_kind kind, unsigned line, const char *fmt, ...)
{
    if (dt_grow(c->issue, c->cap, c->n, 16))
        return;
    struct dt_check_issue *i = &c->issue[c->n];
    *i = (struct dt_check_issue){.kind = kind, .line = line};
    va_list ap;
    va_start(ap, fmt);
    dt_utf8_vprintf(i->text, sizeof i->text, fmt, ap);
    va_end(ap);
    for (size_t k = 0; k < c->n; k++)
        if (c->issue[k].kind == kind && c->issue[k].line == line && !strcmp(c->issue[k].text, i->text))
            return;
    c->n++;
}

static int findings_by_line(const void *a, const void *b)
{
    const struct dt_check_issue *x = a, *y = b;
    if (x->line != y->line)
        return !x->line ? 1 : !y->line ? -1 : x->line < y->line ? -1 : 1;
    return x->kind < y->kind ? -1 : x->kind > y->kind ? 1 : strcmp(x->text, y->text);
}

size_t dt_check_rules(const struct dt_match *m, void (*report)(void *ctx, const struct dt_check_issue *i),
                      void *ctx)
{
    struct check c = {.match = m, .rules = dt_match_rules(m)};
    c.never = calloc(c.rules->n + 1, sizeof *c.never);
    if (c.never) {
        dt_check_never(&c);
        dt_check_loops(&c);
    }
    if (c.n)
        qsort(c.issue, c.n, sizeof *c.issue, findings_by_line);
    for (size_t i = 0; i < c.n; i++)
        report(ctx, &c.issue[i]);
    size_t n = c.n;
    free(c.never);
    free(c.issue);
    return n;
}
