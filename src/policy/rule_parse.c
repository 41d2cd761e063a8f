#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/block.h"
#include "base/bytes.h"
#include "base/grow.h"
#include "policy/rules_priv.h"

/* A group or tunnel section, found by name. */
struct named {
    const char *name;
    const struct dt_block *block;
    enum { FRESH, OPEN, DONE } state;
    struct dt_addrset set; /* of a group, once it is DONE */
};

struct names {
    struct named *v;
    size_t n;
};

/* A tunnel section as rules see it: one for each gateway that is written as an address. */
struct server {
    const struct dt_block *block;
    struct dt_addr gateway;
    bool transport, udp;
};

struct parser {
    const struct dt_block_file *b;
    struct names groups, tunnels;
    struct server *servers; /* in the order of the file; none unless a tunnel has encap = "udp" */
    size_t nservers;
    struct dt_rules *rs;
    unsigned depth; /* groups inside groups, now */
    struct dt_err *err;
};

#define GROUP_DEPTH_MAX 16

#define FAIL(p, line, ...) dt_source_fail((p)->err, (p)->b->sources, (line), __VA_ARGS__)
/* How a sentence about `from` speaks of another place. */
#define LINE(p, line, from) dt_source_line((char[DT_SOURCE_LINELEN]){0}, (p)->b->sources, (line), (from))

static int named_by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : x->block->line < y->block->line ? -1 : x->block->line > y->block->line;
}

static struct named *named_find(const struct names *ns, const char *name)
{
    size_t lo = 0, hi = ns->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(name, ns->v[mid].name);
        if (!c)
            return &ns->v[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* All sections of a kind, sorted by name; the same name twice is an error, but of tunnels, which are somebody else's. */
static int names_collect(struct parser *p, const char *kind, struct names *out)
{
    out->v = calloc(p->b->nblocks + 1, sizeof *out->v);
    if (!out->v)
        return FAIL(p, 1u, "out of memory");
    for (size_t i = 0; i < p->b->nblocks; i++) {
        const struct dt_block *b = &p->b->blocks[i];
        if (strcmp(b->kind, kind))
            continue;
        if (!b->title || !*b->title)
            return FAIL(p, b->line, "a %s without a name; it wants %s \"name\" { ... }", kind, kind);
        if (strlen(b->title) > DT_RULE_NAME_MAX)
            return FAIL(p, b->line, "the %s's name has %zu bytes; it may have %d", kind, strlen(b->title),
                        DT_RULE_NAME_MAX);
        out->v[out->n++] = (struct named){.name = b->title, .block = b};
    }
    qsort(out->v, out->n, sizeof *out->v, named_by_name);
    for (size_t i = 1; i < out->n && strcmp(kind, "tunnel"); i++)
        if (!strcmp(out->v[i].name, out->v[i - 1].name))
            return FAIL(p, out->v[i].block->line, "%s \"%s\" is on %s already; it wants a name of its own",
                        kind, out->v[i].name, LINE(p, out->v[i - 1].block->line, out->v[i].block->line));
    return 0;
}

/* --- addresses --- */

struct ranges {
    struct dt_range *v;
    size_t n, cap;
};

static int ranges_add(struct parser *p, struct ranges *rg, const struct dt_range *v, size_t n, unsigned line)
{
    if (rg->n + n > DT_RULE_RANGES_MAX)
        return FAIL(p, line, "more than %d address ranges; use fewer, larger ones", DT_RULE_RANGES_MAX);
    if (rg->n + n > rg->cap) {
        size_t want = (rg->n + n) * 2;
        struct dt_range *q = realloc(rg->v, want * sizeof *q);
        if (!q)
            return FAIL(p, line, "out of memory");
        rg->v = q;
        rg->cap = want;
    }
    memcpy(rg->v + rg->n, v, n * sizeof *v);
    rg->n += n;
    return 0;
}

static int address_error(struct parser *p, const char *text, unsigned line)
{
    struct dt_prefix px;
    char fixed[DT_PREFIX_STRLEN];
    const char *slash = strchr(text, '/'), *dash = strchr(text, '-');
    if (slash && !dt_prefix_parse(&px, text, true))
        return FAIL(p, line, "%.64s has bits set beyond its length; write %s, or %.*s for the one address",
                    text, dt_prefix_str(fixed, &px), (int)(slash - text), text);
    struct dt_addr a;
    if (dash && !dt_addr_parse(&a, dash + 1))
        return FAIL(p, line,
                    "%.100s is no range; it wants FIRST-LAST of one version, the lower address first", text);
    return FAIL(
        p, line,
        "%.64s is neither an address, a prefix, a range nor a group of this file; it wants such as "
        "\"10.0.0.0/8\", \"fd00::1\", \"10.0.0.1-10.0.0.9\", or group \"%.64s\" { members = { ... } }",
        text, text);
}

static int group_resolve(struct parser *p, struct named *g, unsigned line);

/* The addresses that a setting's values name. *any is set when one of them is "any". */
static int parse_addr_set(struct parser *p, const struct dt_setting *s, struct ranges *rg, bool *any)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *text = p->b->values[s->value + i];
        struct dt_range r;
        struct named *g;
        if (!strcmp(text, "any")) {
            *any = true;
        } else if (!dt_range_parse(&r, text)) {
            if (ranges_add(p, rg, &r, 1, s->line))
                return -1;
        } else if ((g = named_find(&p->groups, text))) {
            if (group_resolve(p, g, s->line) || ranges_add(p, rg, g->set.v, g->set.n, s->line))
                return -1;
        } else {
            return address_error(p, text, s->line);
        }
    }
    return 0;
}

/* Folds a group's members into one set, its inner groups first. */
static int group_resolve(struct parser *p, struct named *g, unsigned line)
{
    if (g->state == DONE)
        return 0;
    if (g->state == OPEN)
        return FAIL(p, line, "group \"%s\" (%s) holds itself; take one of its members away", g->name,
                    LINE(p, g->block->line, line));
    if (p->depth == GROUP_DEPTH_MAX)
        return FAIL(p, line, "groups stand in groups more than %d deep", GROUP_DEPTH_MAX);
    g->state = OPEN;
    p->depth++;
    if (g->block->inner)
        return FAIL(p, g->block->inner, "a section inside group \"%s\"; it wants members = { ... } alone",
                    g->name);
    struct ranges rg = {0};
    int rc = 0;
    for (size_t i = 0; i < g->block->n && !rc; i++) {
        const struct dt_setting *s = &p->b->settings[g->block->setting + i];
        bool any = false;
        if (strcmp(s->key, "members"))
            rc = FAIL(p, s->line, "a group has no `%.64s`; it wants members = { \"10.0.0.0/8\", ... }",
                      s->key);
        else if (!(rc = parse_addr_set(p, s, &rg, &any)) && any)
            rc = FAIL(p, s->line, "a group cannot hold \"any\"; write \"0.0.0.0/0\" and \"::/0\"");
    }
    if (!rc && !rg.n)
        rc = FAIL(p, g->block->line, "group \"%s\" is empty; it wants members = { \"10.0.0.0/8\", ... }",
                  g->name);
    if (!rc && dt_rules_intern(p->rs, rg.v, dt_addrset_normalize(rg.v, rg.n), &g->set))
        rc = FAIL(p, g->block->line, "out of memory");
    free(rg.v);
    g->state = DONE;
    p->depth--;
    return rc;
}

static int rule_addresses(struct parser *p, const struct dt_setting *s, struct dt_addrset *out)
{
    if (s->n == 1) { /* one group: its set is there already */
        struct named *g = named_find(&p->groups, p->b->values[s->value]);
        struct dt_range r;
        if (g && dt_range_parse(&r, g->name)) {
            if (group_resolve(p, g, s->line))
                return -1;
            *out = g->set;
            return 0;
        }
    }
    struct ranges rg = {0};
    bool any = false;
    int rc = parse_addr_set(p, s, &rg, &any);
    if (!rc && any && (rg.n || s->n > 1))
        rc = FAIL(p, s->line, "\"any\" stands beside other values; it wants to stand alone");
    if (!rc && !any && !rg.n)
        rc = FAIL(p, s->line, "`%s` is empty; leave it out for any address", s->key);
    if (!rc && dt_rules_intern(p->rs, rg.v, dt_addrset_normalize(rg.v, rg.n), out))
        rc = FAIL(p, s->line, "out of memory");
    free(rg.v);
    return rc;
}

/* --- the other settings of a rule --- */

static int parse_digits(const char *text, size_t n, unsigned *out)
{
    if (!n || n > 5 || strspn(text, "0123456789") < n)
        return -1;
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out > 65535 ? -1 : 0;
}

static int rule_ports(struct parser *p, const struct dt_setting *s, struct dt_ports *v, uint8_t *count)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *text = p->b->values[s->value + i], *dash = strchr(text, '-');
        unsigned from, to;
        if (!strcmp(text, "any") && s->n == 1)
            return 0;
        if (*count == DT_RULE_PORTS_MAX)
            return FAIL(p, s->line, "more than %d port ranges in `%s`; use another rule for the rest",
                        DT_RULE_PORTS_MAX, s->key);
        if (parse_digits(text, dash ? (size_t)(dash - text) : strlen(text), &from) ||
            (dash && parse_digits(dash + 1, strlen(dash + 1), &to)))
            return FAIL(p, s->line, "%.64s is no port; it wants a number from 0 to 65535, or FIRST-LAST",
                        text);
        if (!dash)
            to = from;
        if (from > to)
            return FAIL(p, s->line, "ports %u-%u run backwards; write %u-%u", from, to, to, from);
        v[(*count)++] = (struct dt_ports){(uint16_t)from, (uint16_t)to};
    }
    return 0;
}

static int rule_protocols(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *text = p->b->values[s->value + i];
        if (!strcmp(text, "any") && s->n == 1)
            return 0;
        int proto = dt_proto_parse(text);
        if (proto <= 0)
            return FAIL(p, s->line,
                        "%.64s is no protocol; it wants tcp, udp, icmp, esp, ... or a number from 1 to 255",
                        text);
        if (memchr(r->proto, proto, r->nproto))
            continue;
        if (r->nproto == DT_RULE_PROTOS_MAX)
            return FAIL(p, s->line, "more than %d protocols in one rule; use another rule for the rest",
                        DT_RULE_PROTOS_MAX);
        r->proto[r->nproto++] = (uint8_t)proto;
    }
    return 0;
}

/* The one value of a setting; NULL with the error set when there are more or none. */
static const char *single_value(struct parser *p, const struct dt_setting *s)
{
    if (s->n == 1)
        return p->b->values[s->value];
    FAIL(p, s->line, "`%s` has %zu values; it wants one", s->key, s->n);
    return NULL;
}

static int flag(struct parser *p, const struct dt_setting *s, bool *out)
{
    const char *v = single_value(p, s);
    if (!v)
        return -1;
    *out = !strcmp(v, "yes") || !strcmp(v, "true") || !strcmp(v, "on");
    if (*out || !strcmp(v, "no") || !strcmp(v, "false") || !strcmp(v, "off"))
        return 0;
    return FAIL(p, s->line, "`%s` is %.64s; it wants yes or no", s->key, v);
}

static int rule_gateway(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    const char *v = single_value(p, s);
    if (!v)
        return -1;
    if (dt_addr_parse(&r->gateway, v)) {
        struct named *t = named_find(&p->tunnels, v);
        if (!t)
            return FAIL(p, s->line,
                        "gateway %.64s is neither an address nor a tunnel of this file; it wants such as "
                        "\"203.0.113.1\"",
                        v);
        for (size_t i = 0; i < t->block->n && !r->gateway.ver; i++) {
            const struct dt_setting *g = &p->b->settings[t->block->setting + i];
            for (size_t k = 0; !strcmp(g->key, "gateway") && k < g->n && !r->gateway.ver; k++)
                if (dt_addr_parse(&r->gateway, p->b->values[g->value + k]))
                    r->gateway.ver = 0;
        }
        if (!r->gateway.ver)
            return FAIL(p, s->line,
                        "tunnel \"%s\" (%s) has no gateway written as an address, and rules need one "
                        "to find a plan; it wants gateway = \"203.0.113.1\"",
                        v, LINE(p, t->block->line, s->line));
        if (!r->use)
            r->use = (char *)v;
    }
    bool multicast = r->gateway.ver == 4 ? r->gateway.b[0] >= 224 : r->gateway.b[0] == 0xff;
    if (dt_addr_is_any(&r->gateway) || multicast)
        return FAIL(p, s->line, "%.64s cannot be a gateway; it wants the address of one host", v);
    return 0;
}

static int rule_action(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    const char *v = single_value(p, s);
    if (!v)
        return -1;
    r->kind = !strcmp(v, "transport") ? DT_RULE_TRANSPORT
              : !strcmp(v, "tunnel")  ? DT_RULE_TUNNEL
              : !strcmp(v, "pass")    ? DT_RULE_PASS
                                      : 0;
    return r->kind ? 0
                   : FAIL(p, s->line, "action is %.64s; it wants \"transport\", \"tunnel\" or \"pass\"", v);
}

static int rule_from(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    return rule_addresses(p, s, &r->from);
}

static int rule_to(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    return rule_addresses(p, s, &r->to);
}

static int rule_sport(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    return rule_ports(p, s, r->sport, &r->nsport);
}

static int rule_dport(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    return rule_ports(p, s, r->dport, &r->ndport);
}

static int rule_always(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    return flag(p, s, &r->always);
}

static int rule_use(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    r->use = (char *)single_value(p, s);
    return r->use ? 0 : -1;
}

static int rule_encap(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    const char *v = single_value(p, s);
    r->udp = v && !strcmp(v, "udp");
    if (!v || r->udp || !strcmp(v, "esp"))
        return v ? 0 : -1;
    return FAIL(p, s->line, "encap is %.64s; it wants \"esp\" or \"udp\"", v);
}

static const struct {
    const char *key;
    int (*read)(struct parser *p, const struct dt_setting *s, struct dt_rule *r);
} rule_settings[] = {
    {"action", rule_action}, {"gateway", rule_gateway},    {"from", rule_from},
    {"to", rule_to},         {"protocol", rule_protocols}, {"sport", rule_sport},
    {"dport", rule_dport},   {"encap", rule_encap},        {"use", rule_use},
    {"always", rule_always},
};

const char *const *dt_rules_setting_names(const char *section)
{
    static const char *names[DT_ARRAY_LEN(rule_settings) + 1];
    static const char *const group[] = {"members", NULL};
    for (size_t i = 0; i < DT_ARRAY_LEN(rule_settings); i++)
        names[i] = rule_settings[i].key;
    return !strcmp(section, "group") ? group : names;
}

static int rule_setting(struct parser *p, const struct dt_setting *s, struct dt_rule *r)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(rule_settings); i++)
        if (!strcmp(s->key, rule_settings[i].key))
            return rule_settings[i].read(p, s, r);
    return FAIL(p, s->line,
                "a rule has no `%.64s`; it wants action, gateway, from, to, protocol, sport, dport, encap, "
                "use or always",
                s->key);
}

static const char *tunnel_value(const struct parser *p, const struct dt_block *b, const char *key)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct dt_setting *s = &p->b->settings[b->setting + i];
        if (!strcmp(s->key, key) && s->n)
            return p->b->values[s->value];
    }
    return "";
}

static int collect_servers(struct parser *p)
{
    size_t max = 0;
    bool any = false;
    for (size_t i = 0; i < p->tunnels.n; i++)
        any |= !strcmp(tunnel_value(p, p->tunnels.v[i].block, "encap"), "udp");
    for (size_t i = 0; any && i < p->b->nblocks; i++) {
        const struct dt_block *b = &p->b->blocks[i];
        const char *transport = tunnel_value(p, b, "transport");
        struct server of = {
            .block = b,
            .transport = !strcmp(transport, "yes") || !strcmp(transport, "true") || !strcmp(transport, "on"),
            .udp = !strcmp(tunnel_value(p, b, "encap"), "udp"),
        };
        for (size_t k = 0; !strcmp(b->kind, "tunnel") && k < b->n; k++) {
            const struct dt_setting *s = &p->b->settings[b->setting + k];
            for (size_t j = 0; !strcmp(s->key, "gateway") && j < s->n; j++) {
                if (dt_addr_parse(&of.gateway, p->b->values[s->value + j]))
                    continue;
                if (dt_grow(p->servers, max, p->nservers, 16))
                    return FAIL(p, b->line, "out of memory");
                p->servers[p->nservers++] = of;
            }
        }
    }
    return 0;
}

/* Does the tunnel section that serves the rule, the first of several, have encap = "udp"? */
static bool served_by_udp(const struct parser *p, const struct dt_rule *r)
{
    for (size_t i = 0; i < p->nservers; i++) {
        const struct server *s = &p->servers[i];
        if (s->transport != (r->kind == DT_RULE_TRANSPORT) ||
            (r->use && (!s->block->title || strcmp(r->use, s->block->title) != 0)))
            continue;
        if (r->kind == DT_RULE_TUNNEL ? dt_addr_eq(&s->gateway, &r->gateway)
                                      : dt_addrset_has(&r->to, &s->gateway))
            return s->udp;
    }
    return false;
}

static int rule(struct parser *p, const struct dt_block *b)
{
    struct dt_ports sport[DT_RULE_PORTS_MAX], dport[DT_RULE_PORTS_MAX];
    struct dt_rule r = {.line = b->line, .name = (char *)b->title, .sport = sport, .dport = dport};
    if (b->inner)
        return FAIL(p, b->inner, "a section inside rule \"%s\"; it wants settings alone: name = value",
                    b->title);
    for (size_t i = 0; i < b->n; i++) {
        const struct dt_setting *s = &p->b->settings[b->setting + i];
        for (size_t k = 0; k < i; k++)
            if (!strcmp(p->b->settings[b->setting + k].key, s->key))
                return FAIL(p, s->line,
                            "`%.64s` stands in rule \"%s\" twice (%s); write a list: { \"a\", \"b\" }",
                            s->key, b->title, LINE(p, p->b->settings[b->setting + k].line, s->line));
        if (rule_setting(p, s, &r))
            return -1;
    }
    if (!r.kind)
        return FAIL(p, b->line,
                    "rule \"%s\" has no action; it wants action = \"tunnel\", \"transport\" or \"pass\"",
                    b->title);
    if (r.kind == DT_RULE_TUNNEL && !r.gateway.ver)
        return FAIL(p, b->line, "tunnel rule \"%s\" has no gateway; it wants gateway = \"203.0.113.1\"",
                    b->title);
    if (r.kind != DT_RULE_TUNNEL && r.gateway.ver)
        return FAIL(p, b->line,
                    "rule \"%s\" has a gateway, but its action is %s; it wants action = \"tunnel\"", b->title,
                    r.kind == DT_RULE_PASS ? "pass" : "transport");
    r.udp |= r.kind != DT_RULE_PASS && served_by_udp(p, &r);
    return dt_rules_push(p->rs, &r, p->err);
}

/* Sections of dovetaild's configuration that may stand beside rules. */
static bool other_section(const char *kind)
{
    static const char *const kinds[] = {"group", "tunnel", "gateway", "daemon", "nat", "plans"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(kind, kinds[i]))
            return true;
    return false;
}

static int sections(struct parser *p, bool embedded)
{
    struct names rules = {0};
    int rc = names_collect(p, "group", &p->groups) || names_collect(p, "tunnel", &p->tunnels) ||
                     names_collect(p, "rule", &rules)
                 ? -1
                 : collect_servers(p);
    free(rules.v);
    if (!rc && !embedded && p->b->ntop)
        rc = FAIL(p, p->b->top[0].line,
                  "`%.64s` stands outside of any section; it wants rule \"name\" { ... } around it",
                  p->b->top[0].key);
    for (size_t i = 0; i < p->groups.n && !rc; i++)
        rc = group_resolve(p, &p->groups.v[i], p->groups.v[i].block->line);
    for (size_t i = 0; i < p->b->nblocks && !rc; i++) {
        const struct dt_block *b = &p->b->blocks[i];
        if (!strcmp(b->kind, "rule"))
            rc = rule(p, b);
        else if (!embedded && !other_section(b->kind))
            rc = FAIL(p, b->line,
                      "`%.64s` is no section of a rules file; it wants rule \"name\" or group \"name\"",
                      b->kind);
    }
    return rc;
}

struct dt_rules *dt_rules_of(const struct dt_block_file *b, const char *file, bool embedded,
                             struct dt_err *err)
{
    struct parser p = {.b = b, .err = err, .rs = dt_rules_new(file)};
    if (!p.rs) {
        dt_err_set(err, 0, "%s:1: out of memory", file);
        return NULL;
    }
    p.rs->sources = dt_sources_ref(b->sources);
    int rc = sections(&p, embedded);
    free(p.groups.v);
    free(p.tunnels.v);
    free(p.servers);
    if (rc) {
        dt_rules_unref(p.rs);
        return NULL;
    }
    return p.rs;
}

struct dt_rules *dt_rules_parse(const char *text, size_t len, const char *file, bool embedded,
                                struct dt_err *err)
{
    struct dt_block_file b;
    const struct dt_block_text first = {
        .file = (char *)(uintptr_t)file, .text = (char *)(uintptr_t)text, .len = len};
    struct dt_rules *rs = dt_block_parse(&b, &first, NULL, err) ? NULL : dt_rules_of(&b, file, embedded, err);
    dt_block_file_free(&b);
    return rs;
}
