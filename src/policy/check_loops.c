/* Loops and depth: where the ESP packets of each gateway lead, for all sources at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/check_priv.h"
#include "policy/plan.h"

#define STEPS_MAX 1000000   /* rules looked at on the way, for the second, exact pass */
#define LOOKS_MAX 400000000 /* gateways times rules, for the lists of candidates */

/* A gateway, and the tunnel and pass rules that its ESP packets may match, in order. */
struct node {
    struct dt_addr gateway;
    const struct dt_rule **next;
    size_t n;
};

struct loops {
    struct check *c;
    struct node *node;
    size_t n;
    uint64_t steps, steps_max;
    bool gave_up, found;
    bool tell; /* first pass: only find out whether there is anything */
    const struct dt_rule *path[DT_PLAN_TUNNELS + 1];
    unsigned depth;
};

static int by_gateway(const void *a, const void *b)
{
    return dt_addr_cmp(&((const struct node *)a)->gateway, &((const struct node *)b)->gateway);
}

static struct node *gateway_node(const struct loops *l, const struct dt_addr *gateway)
{
    struct node key = {.gateway = *gateway};
    return bsearch(&key, l->node, l->n, sizeof key, by_gateway);
}

static bool may_match(const struct dt_rule *r, const struct dt_addr *gateway)
{
    return r->kind != DT_RULE_TRANSPORT && !r->nsport && !r->ndport &&
           (!r->nproto || memchr(r->proto, 50, r->nproto)) && dt_addrset_has(&r->to, gateway);
}

static int nodes_make(struct loops *l)
{
    const struct dt_rules *rs = l->c->rules;
    const struct dt_rule **esp = malloc((rs->n + 1) * sizeof(struct dt_rule *));
    size_t nesp = 0;
    l->node = calloc(rs->n + 1, sizeof *l->node);
    for (size_t i = 0; esp && l->node && i < rs->n; i++) {
        const struct dt_rule *r = &rs->v[i];
        if (r->kind == DT_RULE_TUNNEL)
            l->node[l->n++].gateway = r->gateway;
        if (r->kind != DT_RULE_TRANSPORT && !r->nsport && !r->ndport &&
            (!r->nproto || memchr(r->proto, 50, r->nproto)))
            esp[nesp++] = r;
    }
    if (l->node)
        qsort(l->node, l->n, sizeof *l->node, by_gateway);
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!kept || by_gateway(&l->node[kept - 1], &l->node[i]))
            l->node[kept++] = l->node[i];
    l->n = kept;
    int rc = esp && l->node && (uint64_t)l->n * nesp <= LOOKS_MAX ? 0 : -1;
    for (size_t i = 0; i < l->n && !rc; i++) {
        struct node *at = &l->node[i];
        for (size_t pass = 0; pass < 2 && !rc; pass++) {
            at->n = 0;
            for (size_t k = 0; k < nesp; k++)
                if (may_match(esp[k], &at->gateway)) {
                    if (at->next)
                        at->next[at->n] = esp[k];
                    at->n++;
                }
            if (!pass && !(at->next = malloc((at->n + 1) * sizeof(struct dt_rule *))))
                rc = -1;
        }
    }
    free(esp);
    return rc;
}

/* --- sets of sources --- */

static const struct dt_range all4 = {{4, {0}}, {4, {255, 255, 255, 255}}};
static const struct dt_range all6 = {
    {6, {0}}, {6, {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}}};

/* Splits `in` by what is in s: into `inside` and `outside`, each of which has room for in->n + s->n ranges. */
static void split(const struct dt_addrset *in, const struct dt_addrset *s, struct dt_addrset *inside,
                  struct dt_addrset *outside)
{
    inside->n = outside->n = 0;
    if (!s->n) {
        memcpy(inside->v, in->v, in->n * sizeof *in->v);
        inside->n = in->n;
        return;
    }
    for (size_t i = 0, k = 0; i < in->n; i++) {
        struct dt_range left = in->v[i], cut;
        bool open = true;
        while (k < s->n && dt_addr_cmp(&s->v[k].to, &left.from) < 0)
            k++;
        for (size_t m = k; open && m < s->n && dt_addr_cmp(&s->v[m].from, &left.to) <= 0; m++) {
            if (!dt_range_intersect(&cut, &left, &s->v[m]))
                continue;
            inside->v[inside->n++] = cut;
            if (dt_addr_cmp(&left.from, &cut.from) < 0) {
                struct dt_addr before = cut.from;
                dt_addr_prev(&before);
                outside->v[outside->n++] = (struct dt_range){left.from, before};
            }
            open = dt_addr_cmp(&cut.to, &left.to) < 0;
            left.from = cut.to;
            dt_addr_next(&left.from);
        }
        if (open)
            outside->v[outside->n++] = left;
    }
}

/* --- following --- */

/* Rule r wants the gateway of path[at] again: the loop is what came after that one, and r. However it is come upon, it
 * is told as beginning with its first rule in the file, and so once. */
static void tell_loop(struct loops *l, unsigned at, const struct dt_rule *r)
{
    const struct dt_rule *ring[DT_PLAN_TUNNELS + 1];
    unsigned n = 0, first = 0;
    for (unsigned i = at + 1; i < l->depth; i++)
        ring[n++] = l->path[i];
    ring[n++] = r;
    for (unsigned i = 1; i < n; i++)
        if (ring[i]->index < ring[first]->index)
            first = i;
    char text[400], where[DT_SOURCE_LINELEN];
    size_t len = 0;
    for (unsigned i = 0; i < n && len < sizeof text; i++) {
        const struct dt_rule *x = ring[(first + i) % n];
        len += (size_t)snprintf(text + len, sizeof text - len, "\"%.*s\" (%s) > ", n > 4 ? 20 : 64, x->name,
                                dt_rule_line(where, l->c->rules, x, ring[first]));
    }
    dt_check_add(
        l->c, DT_CHECK_LOOP, ring[first]->line,
        "the rules loop: %s\"%.64s\" again; each takes the ESP packets of the one before; narrow one of "
        "them with `to` or `protocol`",
        text, ring[first]->name);
}

static void tell_unending(struct loops *l, const struct dt_rule *r)
{
    l->found = true;
    if (!l->tell)
        return;
    char gw[DT_ADDR_STRLEN];
    dt_addr_str(gw, &r->gateway);
    const struct dt_rule *last = l->path[l->depth - 1];
    if (dt_addr_eq(&last->gateway, &r->gateway)) {
        dt_check_add(l->c, DT_CHECK_OWN_TUNNEL, r->line,
                     "gateway %s is inside its own tunnel: rule \"%s\" matches the tunnel's own ESP packets; "
                     "let a rule "
                     "with action = \"pass\", protocol = \"esp\", to = \"%s\" stand before it",
                     gw, r->name, gw);
        return;
    }
    for (unsigned i = 0; i < l->depth; i++)
        if (dt_addr_eq(&l->path[i]->gateway, &r->gateway)) {
            tell_loop(l, i, r);
            return;
        }
    dt_check_add(l->c, DT_CHECK_DEPTH, r->line,
                 "more than %d tunnels in one plan: rule \"%s\" is the ninth after rule \"%s\" (%s)",
                 DT_PLAN_TUNNELS, r->name, l->path[0]->name,
                 dt_rule_line((char[DT_SOURCE_LINELEN]){0}, l->c->rules, l->path[0], r));
}

static bool in_path(const struct loops *l, const struct dt_addr *gateway)
{
    for (unsigned i = 0; i < l->depth; i++)
        if (dt_addr_eq(&l->path[i]->gateway, gateway))
            return true;
    return false;
}

/* Sources of packets, by IP version: [0] IPv4, [1] IPv6. Each part may be empty (v NULL or n 0). */
struct sources {
    struct dt_addrset part[2];
};

/* Rule r has pushed its gateway for packets from `sources`. Those of the gateway's version are matched by their
 * address, all the others by the unspecified one (dt_plan_next_flow). */
static void follow_gateway(struct loops *l, const struct dt_rule *r, const struct sources *sources)
{
    unsigned v = r->gateway.ver == 6;
    struct node *at = gateway_node(l, &r->gateway);
    struct dt_addrset other = sources->part[!v];
    const struct dt_addr unspecified = {.ver = r->gateway.ver};
    struct dt_addrset left = {malloc((sources->part[v].n + 1) * sizeof *left.v), sources->part[v].n};
    l->path[l->depth++] = r;
    if (left.v && left.n)
        memcpy(left.v, sources->part[v].v, left.n * sizeof *left.v);
    for (size_t i = 0; at && left.v && (left.n || other.n) && i < at->n && !l->gave_up; i++) {
        const struct dt_rule *s = at->next[i];
        size_t room = left.n + s->from.n + 1;
        struct dt_addrset inside = {malloc(room * sizeof *inside.v), 0},
                          outside = {malloc(room * sizeof *inside.v), 0};
        if (!inside.v || !outside.v || ++l->steps > l->steps_max) {
            free(inside.v);
            free(outside.v);
            l->gave_up = true;
            break;
        }
        split(&left, &s->from, &inside, &outside);
        free(left.v);
        left = outside;
        struct sources on = {0};
        on.part[v] = inside;
        if (other.n && dt_addrset_has(&s->from, &unspecified)) {
            on.part[!v] = other;
            other.n = 0;
        }
        if ((inside.n || on.part[!v].n) && s->kind == DT_RULE_TUNNEL) {
            if (in_path(l, &s->gateway) || l->depth == DT_PLAN_TUNNELS)
                tell_unending(l, s);
            else
                follow_gateway(l, s, &on);
        }
        free(inside.v);
    }
    free(left.v);
    l->depth--;
}

/* The sources with which a packet that matches r can come: the version is that of the packet's destination too. */
static void follow_rule(struct loops *l, const struct dt_rule *r)
{
    struct dt_range all[2] = {all4, all6};
    struct sources s = {0};
    bool to[2] = {!r->to.n, !r->to.n};
    for (size_t i = 0; i < r->to.n; i++)
        to[r->to.v[i].from.ver == 6] = true;
    for (unsigned v = 0; v < 2; v++) {
        size_t first = 0, n = 0; /* a set is in order, IPv4 first */
        while (first < r->from.n && (r->from.v[first].from.ver == 6) != v)
            first++;
        while (first + n < r->from.n && (r->from.v[first + n].from.ver == 6) == v)
            n++;
        if (to[v])
            s.part[v] =
                r->from.n ? (struct dt_addrset){r->from.v + first, n} : (struct dt_addrset){&all[v], 1};
    }
    follow_gateway(l, r, &s);
}

void dt_check_loops(struct check *c)
{
    struct loops l = {.c = c, .steps_max = STEPS_MAX};
    if (nodes_make(&l))
        l.gave_up = true;
    /* One look from each gateway with every source is enough where nothing is wrong. */
    const struct dt_rules *rs = c->rules;
    for (size_t i = 0; i < l.n && !l.gave_up && !l.found; i++) {
        struct dt_rule any = {.gateway = l.node[i].gateway};
        follow_rule(&l, &any);
    }
    if (l.found || l.gave_up) {
        l.tell = true;
        l.gave_up = !l.node;
        l.steps = 0;
        for (size_t i = 0; i < rs->n && !l.gave_up; i++)
            if (rs->v[i].kind == DT_RULE_TUNNEL && !c->never[i])
                follow_rule(&l, &rs->v[i]);
    }
    if (l.gave_up)
        dt_check_add(c, DT_CHECK_UNFINISHED, 0, "the rules are so tangled that some loops may be missed");
    for (size_t i = 0; l.node && i < l.n; i++)
        free(l.node[i].next);
    free(l.node);
}
