#include "policy/rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/grow.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "policy/rules_priv.h"

static const struct {
    const char *name;
    uint8_t proto;
} proto_names[] = {
    {"icmp", 1},    {"igmp", 2},  {"ipip", 4},   {"tcp", 6},    {"udp", 17},
    {"dccp", 33},   {"ipv6", 41}, {"gre", 47},   {"esp", 50},   {"ah", 51},
    {"icmpv6", 58}, {"ospf", 89}, {"l2tp", 115}, {"sctp", 132}, {"udplite", 136},
};

int dt_proto_parse(const char *text)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(proto_names); i++)
        if (!strcmp(text, proto_names[i].name))
            return proto_names[i].proto;
    size_t n = strlen(text);
    if (!n || n > 3 || strspn(text, "0123456789") != n)
        return -1;
    unsigned long v = strtoul(text, NULL, 10);
    return v <= 255 ? (int)v : -1;
}

char *dt_proto_str(char *out, uint8_t proto)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(proto_names); i++)
        if (proto == proto_names[i].proto) {
            strcpy(out, proto_names[i].name); /* the longest has seven letters */
            return out;
        }
    snprintf(out, 8, "%u", proto);
    return out;
}

bool dt_proto_has_ports(uint8_t proto)
{
    return proto == 6 || proto == 17 || proto == 33 || proto == 132 || proto == 136;
}

char *dt_flow_str(char *out, const struct dt_flow *f)
{
    char proto[8], a[DT_ADDRPORT_STRLEN], b[DT_ADDRPORT_STRLEN];
    if (f->ports) {
        struct dt_addrport s = {f->src, f->sport}, d = {f->dst, f->dport};
        dt_addrport_str(a, &s);
        dt_addrport_str(b, &d);
    } else {
        dt_addr_str(a, &f->src);
        dt_addr_str(b, &f->dst);
    }
    snprintf(out, DT_FLOW_STRLEN, "%s%s%s > %s", f->proto ? dt_proto_str(proto, f->proto) : "",
             f->proto ? " " : "", a, b);
    return out;
}

/* --- address sets --- */

static int by_from(const void *a, const void *b)
{
    return dt_addr_cmp(&((const struct dt_range *)a)->from, &((const struct dt_range *)b)->from);
}

size_t dt_addrset_normalize(struct dt_range *v, size_t n)
{
    if (n < 2)
        return n;
    qsort(v, n, sizeof *v, by_from);
    size_t out = 0;
    for (size_t i = 1; i < n; i++) {
        struct dt_addr after = v[out].to;
        bool more = dt_addr_next(&after);
        if (v[i].from.ver == v[out].to.ver && (!more || dt_addr_cmp(&v[i].from, &after) <= 0)) {
            if (dt_addr_cmp(&v[i].to, &v[out].to) > 0)
                v[out].to = v[i].to;
        } else {
            v[++out] = v[i];
        }
    }
    return out + 1;
}

bool dt_addrset_has(const struct dt_addrset *s, const struct dt_addr *a)
{
    if (!s->n)
        return true;
    size_t lo = 0, hi = s->n; /* the last range that begins at or before a */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (dt_addr_cmp(&s->v[mid].from, a) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && dt_range_has(&s->v[lo - 1], a);
}

/* --- sets of rules --- */

struct dt_rules *dt_rules_new(const char *file)
{
    struct rules_own *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->rules.refs = 1;
    dt_table_init(&o->sets);
    o->rules.file = dt_utf8_mend(strdup(file));
    if (!o->rules.file) {
        free(o);
        return NULL;
    }
    return &o->rules;
}

char *dt_rule_at(char *out, const struct dt_rules *rs, const struct dt_rule *r)
{
    if (rs->sources)
        return dt_source_str(out, rs->sources, r->line);
    dt_utf8_printf(out, DT_SOURCE_STRLEN, "%.480s:%u", rs->file, r->line);
    return out;
}

char *dt_rule_line(char *out, const struct dt_rules *rs, const struct dt_rule *r, const struct dt_rule *from)
{
    if (rs->sources)
        return dt_source_line(out, rs->sources, r->line, from->line);
    snprintf(out, DT_SOURCE_LINELEN, "line %u", r->line);
    return out;
}

static uint64_t set_hash(const struct dt_range *v, size_t n)
{
    static const struct dt_siphash_key key = {{0x6475667461696c21u, 0x72756c6573657421u}};
    return dt_siphash(&key, v, n * sizeof *v); /* dt_range is bytes alone: no padding */
}

_Static_assert(sizeof(struct dt_range) == 42, "address ranges are hashed and compared as bytes");

int dt_rules_intern(struct dt_rules *rs, const struct dt_range *v, size_t n, struct dt_addrset *out)
{
    struct rules_own *o = DT_CONTAINER_OF(rs, struct rules_own, rules);
    *out = (struct dt_addrset){0};
    if (!n)
        return 0;
    uint64_t h = set_hash(v, n);
    for (struct dt_table_node *t = dt_table_first(&o->sets, h); t; t = dt_table_next(t)) {
        struct rules_set *s = DT_CONTAINER_OF(t, struct rules_set, node);
        if (s->n == n && !memcmp(s->v, v, n * sizeof *v)) {
            *out = (struct dt_addrset){s->v, n};
            return 0;
        }
    }
    struct rules_set *s = malloc(sizeof *s + n * sizeof *v);
    if (!s)
        return -1;
    s->n = n;
    memcpy(s->v, v, n * sizeof *v);
    if (dt_table_insert(&o->sets, &s->node, h)) {
        free(s);
        return -1;
    }
    *out = (struct dt_addrset){s->v, n};
    return 0;
}

static void rule_wipe(struct dt_rule *r)
{
    free(r->name);
    free(r->use);
    free(r->sport);
    free(r->dport);
    *r = (struct dt_rule){0};
}

static struct dt_ports *ports_dup(const struct dt_ports *v, size_t n)
{
    struct dt_ports *p = malloc(n * sizeof *v);
    if (p)
        memcpy(p, v, n * sizeof *v);
    return p;
}

static int set_copy(struct dt_rules *rs, const struct dt_addrset *in, struct dt_addrset *out)
{
    if (in->n > DT_RULE_RANGES_MAX)
        return -1;
    struct dt_range *v = malloc((in->n + !in->n) * sizeof *v);
    if (!v)
        return -1;
    if (in->n)
        memcpy(v, in->v, in->n * sizeof *v);
    int rc = dt_rules_intern(rs, v, dt_addrset_normalize(v, in->n), out);
    free(v);
    return rc;
}

int dt_rules_push(struct dt_rules *rs, const struct dt_rule *r, struct dt_err *err)
{
    struct rules_own *o = DT_CONTAINER_OF(rs, struct rules_own, rules);
    if (rs->n >= DT_RULES_MAX)
        return dt_err_set(err, 0, "%s: rule number %zu; at most %d are taken",
                          dt_rule_at((char[DT_SOURCE_STRLEN]){0}, rs, r), rs->n + 1, DT_RULES_MAX);
    if (dt_grow(rs->v, o->cap, rs->n, 16))
        return dt_err_set(err, 0, "out of memory");
    struct dt_rule c = *r;
    c.index = (uint32_t)rs->n;
    c.name = strdup(r->name ? r->name : "");
    c.use = r->use ? strdup(r->use) : NULL;
    c.sport = r->nsport ? ports_dup(r->sport, r->nsport) : NULL;
    c.dport = r->ndport ? ports_dup(r->dport, r->ndport) : NULL;
    if (!c.name || (r->use && !c.use) || (r->nsport && !c.sport) || (r->ndport && !c.dport)) {
        rule_wipe(&c);
        return dt_err_set(err, 0, "out of memory");
    }
    rs->v[rs->n++] = c;
    return 0;
}

int dt_rules_add(struct dt_rules *rs, const struct dt_rule *r, struct dt_err *err)
{
    struct dt_rule c = *r;
    if (set_copy(rs, &r->from, &c.from) || set_copy(rs, &r->to, &c.to))
        return dt_err_set(err, 0, "%s: rule \"%s\": out of memory, or more than %d address ranges",
                          dt_rule_at((char[DT_SOURCE_STRLEN]){0}, rs, r), r->name ? r->name : "",
                          DT_RULE_RANGES_MAX);
    return dt_rules_push(rs, &c, err);
}

struct dt_rules *dt_rules_ref(struct dt_rules *rs)
{
    rs->refs++;
    return rs;
}

void dt_rules_unref(struct dt_rules *rs)
{
    if (!rs || --rs->refs)
        return;
    struct rules_own *o = DT_CONTAINER_OF(rs, struct rules_own, rules);
    for (size_t i = 0; i < rs->n; i++)
        rule_wipe(&rs->v[i]);
    free(rs->v);
    struct dt_table_iter it = {0};
    for (struct dt_table_node *t; (t = dt_table_iterate(&o->sets, &it));) {
        dt_table_remove(&o->sets, t);
        free(DT_CONTAINER_OF(t, struct rules_set, node));
    }
    dt_table_free(&o->sets);
    free(rs->file);
    dt_sources_unref(rs->sources);
    free(o);
}

/* --- one rule --- */

static bool ports_match(const struct dt_ports *v, size_t n, uint16_t port)
{
    for (size_t i = 0; i < n; i++)
        if (port >= v[i].from && port <= v[i].to)
            return true;
    return !n;
}

bool dt_rule_matches(const struct dt_rule *r, const struct dt_flow *f)
{
    if (r->nproto && !memchr(r->proto, f->proto, r->nproto))
        return false;
    if ((r->nsport || r->ndport) && !f->ports)
        return false;
    return ports_match(r->sport, r->nsport, f->sport) && ports_match(r->dport, r->ndport, f->dport) &&
           dt_addrset_has(&r->from, &f->src) && dt_addrset_has(&r->to, &f->dst);
}
