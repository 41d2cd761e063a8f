/* The kinds of dovetaild's facts, and what tells two of them apart. */
#include <stdio.h>
#include <string.h>

#include "host/host.h"

static int kinds_cmp_u32(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int cmp_addr(const struct dt_addr *a, const struct dt_addr *b)
{
    if (a->ver != b->ver)
        return a->ver < b->ver ? -1 : 1;
    return a->ver ? memcmp(a->b, b->b, dt_addr_size(a)) : 0;
}

/* Where others go on stands before these, and goes after them. */
static int cmp_steer(const struct dt_nl_rule *a, const struct dt_nl_rule *b)
{
    int c = kinds_cmp_u32(a->action != DT_NL_RULE_NOTHING, b->action != DT_NL_RULE_NOTHING);
    return c ? c : dt_nl_rule_cmp(a, b);
}

int dt_host_place_cmp(const struct dt_host_fact *a, const struct dt_host_fact *b)
{
    int c = kinds_cmp_u32(a->kind, b->kind);
    if (!c)
        c = cmp_addr(&a->prefix.addr, &b->prefix.addr);
    if (!c)
        c = kinds_cmp_u32(a->prefix.len, b->prefix.len);
    if (!c)
        c = kinds_cmp_u32(a->table, b->table);
    if (!c)
        c = kinds_cmp_u32(a->ver, b->ver);
    if (!c && a->kind == DT_HOST_STEER)
        c = cmp_steer(&a->rule, &b->rule);
    /* A foreign route that differs in these stands beside ours. */
    if (!c)
        c = kinds_cmp_u32(a->metric, b->metric);
    if (!c)
        c = kinds_cmp_u32(a->tos, b->tos);
    if (!c)
        c = kinds_cmp_u32(a->from.len, b->from.len);
    if (!c)
        c = cmp_addr(&a->from.addr, &b->from.addr);
    if (!c)
        c = kinds_cmp_u32(a->nexthop, b->nexthop);
    return c ? c : kinds_cmp_u32(a->by, b->by);
}

static bool serves_when_foreign(const struct dt_host_fact *f)
{
    return f->kind == DT_HOST_ADDR || f->kind == DT_HOST_SYSCTL || f->kind == DT_HOST_STEER;
}

bool dt_host_fact_eq(const struct dt_host_fact *a, const struct dt_host_fact *b)
{
    return !dt_host_place_cmp(a, b) && !cmp_addr(&a->src, &b->src) && a->mtu == b->mtu &&
           a->value == b->value && (a->foreign == b->foreign || serves_when_foreign(a));
}

static int sort_place_cmp(const void *a, const void *b)
{
    return dt_host_place_cmp(a, b);
}

static bool sort_serves(const void *wanted, const void *had)
{
    return dt_host_fact_eq(wanted, had);
}

static bool sort_stays(const void *had)
{
    const struct dt_host_fact *f = had;
    return f->kind == DT_HOST_LINK || (f->foreign && serves_when_foreign(f));
}

static bool sort_foreign(const void *had)
{
    return ((const struct dt_host_fact *)had)->foreign;
}

static bool sort_concerns(const void *wanted, uint32_t owner)
{
    const struct dt_host_fact *f = wanted;
    return f->owner == owner || f->owner == 0;
}

const struct dt_host_sort dt_host_sort = {.size = sizeof(struct dt_host_fact),
                                          .place_cmp = sort_place_cmp,
                                          .serves = sort_serves,
                                          .stays = sort_stays,
                                          .foreign = sort_foreign,
                                          .concerns = sort_concerns};

int dt_host_facts_add(struct dt_host_facts *l, const struct dt_host_fact *f)
{
    return dt_host_facts_put(l, &dt_host_sort, f);
}

int dt_host_probes_want(struct dt_tap *tap, struct dt_host_facts *want)
{
    struct dt_prefix host[DT_TAP_PREFIXES];
    struct dt_host_fact all = {.kind = DT_HOST_PROBES};
    size_t n = 0, nhost = 0;
    if (dt_host_facts_settle(want, &dt_host_sort) < 0)
        return -1;
    struct dt_host_fact *v = want->v;
    for (size_t i = 0; i < want->n; i++) {
        if (v[i].kind != DT_HOST_PROBES) {
            v[n++] = v[i];
            continue;
        }
        all.owner = v[i].owner;
        if (nhost && dt_prefix_covers(&host[nhost - 1], &v[i].prefix))
            continue; /* in order, the wider one first */
        if (nhost == DT_TAP_PREFIXES || !tap)
            return -1;
        host[nhost++] = v[i].prefix;
    }
    want->n = n;
    if (!nhost)
        return 0;
    all.value = dt_tap_want(tap, host, nhost);
    return dt_host_facts_add(want, &all);
}

static bool fact_addr_ok(const struct dt_addr *a, bool none)
{
    return a->ver == 4 || a->ver == 6 || (none && a->ver == 0);
}

/* Any octet may stand where a bool is. */
static bool bool_ok(const bool *b, unsigned char max)
{
    unsigned char octet;
    memcpy(&octet, b, 1);
    return octet <= max;
}

static bool fact_prefix_ok(const struct dt_prefix *p, uint8_t ver)
{
    return p->len == 0 || (p->addr.ver == ver && p->len <= (ver == 4 ? 32 : 128));
}

/* One of the two that lead what came out of the device, to the letter. Its name is filled in by who knows it. */
static bool rule_behind_ok(const struct dt_nl_rule *r)
{
    struct dt_nl_rule own = {
        .ver = r->ver, .not_default = true, .priority = DT_HOST_PRIORITY_BEHIND, .table = DT_HOST_TABLE_MAIN};
    struct dt_nl_rule barrier = {
        .ver = r->ver, .priority = DT_HOST_PRIORITY_BEHIND + 1, .table = DT_HOST_TABLE_BEHIND};
    if ((r->ver != 4 && r->ver != 6) || !memchr(r->iif, 0, sizeof r->iif) || !r->iif[0])
        return false;
    memcpy(own.iif, r->iif, sizeof own.iif);
    memcpy(barrier.iif, r->iif, sizeof barrier.iif);
    return dt_nl_rule_cmp(r, &own) == 0 || dt_nl_rule_cmp(r, &barrier) == 0;
}

/* At a priority of ours, on to another such, or into a table of ours. */
static bool rule_ok(const struct dt_nl_rule *r)
{
    if (!bool_ok(&r->foreign, 0) || !bool_ok(&r->invert, 0) || !bool_ok(&r->not_default, 1))
        return false;
    if (r->priority >= DT_HOST_PRIORITY_BEHIND)
        return rule_behind_ok(r);
    if (r->iif[0] || r->not_default)
        return false;
    if ((r->ver != 4 && r->ver != 6) || r->action > DT_NL_RULE_NOTHING ||
        r->priority < DT_HOST_PRIORITY_FIRST || r->priority > DT_HOST_PRIORITY_LAST)
        return false;
    if (r->action == DT_NL_RULE_TABLE && r->table - DT_HOST_TABLES_FROM >= DT_HOST_TABLES)
        return false;
    if (r->action == DT_NL_RULE_GOTO && (r->table <= r->priority || r->table > DT_HOST_PRIORITY_LAST))
        return false;
    return fact_prefix_ok(&r->src, r->ver) && fact_prefix_ok(&r->dst, r->ver);
}

bool dt_host_fact_ok(const struct dt_host_fact *f)
{
    const uint8_t ver = f->prefix.addr.ver;
    if (f->kind == DT_HOST_FILTER || f->kind > DT_HOST_PROBES || !bool_ok(&f->foreign, 0) ||
        !bool_ok(&f->open, 1) || !bool_ok(&f->closed, 1) ||
        (f->table != 0 && f->table - DT_HOST_TABLES_FROM >= DT_HOST_TABLES) || f->metric || f->value ||
        f->tos || f->from.len || f->from.addr.ver || f->nexthop || f->by ||
        !fact_addr_ok(&f->prefix.addr, true) ||
        f->prefix.len > (ver == 4   ? 32
                         : ver == 6 ? 128
                                    : 0) ||
        !fact_addr_ok(&f->src, true) || (f->src.ver && f->src.ver != ver))
        return false;
    switch (f->kind) {
    case DT_HOST_BARRIER:
    case DT_HOST_ADDR:
    case DT_HOST_ROUTE:
    case DT_HOST_ELSEWHERE:
    case DT_HOST_PROBES:
        return ver != 0;
    case DT_HOST_STEER:
        return rule_ok(&f->rule);
    case DT_HOST_RULE:
        return f->ver == 4 || f->ver == 6;
    default:
        return true;
    }
}

const char *dt_host_fact_str(char buf[DT_HOST_FACT_STRLEN], const struct dt_host_fact *f)
{
    char prefix[DT_PREFIX_STRLEN] = "", src[DT_ADDR_STRLEN] = "", rule[DT_NL_RULE_STRLEN];
    if (f->prefix.addr.ver)
        dt_prefix_str(prefix, &f->prefix);
    if (f->src.ver)
        dt_addr_str(src, &f->src);
    switch (f->kind) {
    case DT_HOST_FILTER:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the table inet %s of nftables", DT_HOST_FILTER_TABLE);
        break;
    case DT_HOST_SYSCTL:
        snprintf(buf, DT_HOST_FACT_STRLEN, "net.ipv4.conf.all.src_valid_mark = 1");
        break;
    case DT_HOST_BARRIER:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the unreachable route of %s", prefix);
        break;
    case DT_HOST_LINK:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the state of the device");
        break;
    case DT_HOST_ADDR:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the address %s", prefix);
        break;
    case DT_HOST_ROUTE:
        if (f->foreign)
            snprintf(buf, DT_HOST_FACT_STRLEN, "a route of %s that is not ours", prefix);
        else
            snprintf(buf, DT_HOST_FACT_STRLEN, "the route of %s%s%s", prefix, src[0] ? " from " : "", src);
        break;
    case DT_HOST_ELSEWHERE:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the exception of %s", prefix);
        break;
    case DT_HOST_STEER:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the routing rule '%.100s'", dt_nl_rule_str(rule, &f->rule));
        break;
    case DT_HOST_RULE:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the routing rule for IPv%u", f->ver);
        break;
    case DT_HOST_PROBES:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the table inet %s of nftables", DT_TAP_TABLE);
        break;
    }
    return buf;
}
