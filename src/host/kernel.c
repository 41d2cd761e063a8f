/* The kernel, as facts: what is ours to say of one device and our routing tables. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/host.h"

#define METRIC_BARRIER   UINT32_MAX
#define METRIC_ELSEWHERE (UINT32_MAX - 1) /* a route into the device for the same prefix stands before it */
#define METRIC_DEFAULT6  1024             /* what the kernel makes of 0 for IPv6 */

static struct dt_host_fact fact_of_route(const struct dt_host_kernel *k, const struct dt_nl_route *r)
{
    struct dt_host_fact f = {.prefix = r->dst, .table = r->table == k->table ? 0 : r->table};
    bool narrowed = r->tos || r->from.len;
    if (r->unreachable && r->metric == METRIC_BARRIER && !narrowed) {
        f.kind = DT_HOST_BARRIER;
        return f;
    }
    if (r->elsewhere && r->metric == METRIC_ELSEWHERE && !r->foreign && !narrowed) {
        f.kind = DT_HOST_ELSEWHERE;
        return f;
    }
    f.kind = DT_HOST_ROUTE;
    f.src = r->src;
    f.mtu = r->mtu;
    f.metric = r->dst.addr.ver == 6 && r->metric == METRIC_DEFAULT6 ? 0 : r->metric;
    f.foreign = r->foreign || r->unreachable || r->elsewhere || r->ifindex != k->ifindex || f.metric != 0 ||
                narrowed || r->nexthop;
    f.tos = r->tos;
    f.from = r->from;
    f.nexthop = r->nexthop;
    f.by = r->ifindex != k->ifindex && !r->nexthop ? r->ifindex : 0;
    return f;
}

static int read_table(struct dt_host_kernel *k, uint32_t table, struct dt_host_facts *have,
                      struct dt_err *err)
{
    if (dt_nl_routes_of(k->nl, table, &k->routes, err) < 0)
        return -1;
    for (size_t i = 0; i < k->routes.n; i++) {
        struct dt_host_fact f = fact_of_route(k, &k->routes.v[i]);
        if (dt_host_facts_add(have, &f) < 0)
            return dt_err_set(err, 0, "out of memory");
    }
    return 0;
}

/* A table is looked at from the first time that something of it is set, or that a rule of ours leads to it. */
static void know_table(struct dt_host_kernel *k, uint32_t table)
{
    uint32_t i = table - DT_HOST_TABLES_FROM;
    if (i < DT_HOST_TABLES)
        k->tables[i / 8] |= (uint8_t)(1u << i % 8);
}

static int read_routes(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    if (read_table(k, k->table, have, err) < 0)
        return -1;
    know_table(k,
               DT_HOST_TABLE_DISCOVER); /* somebody may have taken the rules away before this process was */
    for (uint32_t i = 0; i < DT_HOST_TABLES; i++)
        if (k->tables[i / 8] & 1u << i % 8 && read_table(k, DT_HOST_TABLES_FROM + i, have, err) < 0)
            return -1;
    return 0;
}

static struct dt_nl_rule rule_of(const struct dt_host_kernel *k, uint8_t ver)
{
    return (struct dt_nl_rule){
        .ver = ver, .invert = true, .mark = k->mark, .table = k->table, .priority = k->priority};
}

static int kernel_read_rules(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    if (dt_nl_rules_of(k->nl, DT_HOST_PRIORITY_FIRST, DT_HOST_PRIORITY_LAST, &k->rules, err) < 0)
        return -1;
    for (size_t i = 0; i < k->rules.n; i++) {
        const struct dt_nl_rule *r = &k->rules.v[i], wide = rule_of(k, r->ver);
        struct dt_host_fact f = {.kind = DT_HOST_STEER, .rule = *r, .foreign = r->foreign};
        if (dt_nl_rule_cmp(r, &wide) == 0)
            f = (struct dt_host_fact){.kind = DT_HOST_RULE, .ver = r->ver};
        else if (r->action == DT_NL_RULE_TABLE && !r->foreign)
            know_table(k, r->table);
        if (dt_host_facts_add(have, &f) < 0)
            return dt_err_set(err, 0, "out of memory");
    }
    return 0;
}

static bool link_is_as_wanted(const struct dt_host_kernel *k, const struct dt_nl_link *l)
{
    return l->up && !l->master && !strcmp(l->name, k->device) && (!k->mtu || l->mtu == k->mtu) &&
           !(k->ipv6 && l->no_ipv6);
}

/* Only there can it be written. */
static int enable_ipv6(const char *device, struct dt_err *err)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", device);
    FILE *f = fopen(path, "we");
    bool written = f && fputs("0\n", f) >= 0;
    if (f && fclose(f) != 0)
        written = false;
    return written ? 0 : dt_err_set(err, 0, "%s is 1 and cannot be set to 0: %s", path, strerror(errno));
}

static int restore_link(struct dt_host_kernel *k, struct dt_err *err)
{
    struct dt_nl_link link;
    if (dt_nl_link_get(k->nl, k->ifindex, &link, err) < 0)
        return -1;
    if (!link.there)
        return dt_err_set(err, 0, "the device has been deleted");
    if (dt_nl_link_restore(k->nl, k->ifindex, &link, k->device, k->mtu, err) < 0)
        return -1;
    return k->ipv6 && link.no_ipv6 ? enable_ipv6(k->device, err) : 0;
}

static int read_device(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    struct dt_nl_link link;
    struct dt_host_fact f = {.kind = DT_HOST_LINK};
    if (!k->ifindex)
        return 0;
    if (dt_nl_link_get(k->nl, k->ifindex, &link, err) < 0)
        return -1;
    if (!link.there)
        return 0;
    if (link_is_as_wanted(k, &link) && dt_host_facts_add(have, &f) < 0)
        return dt_err_set(err, 0, "out of memory");
    if (dt_nl_addrs_of(k->nl, k->ifindex, &k->addrs, err) < 0)
        return -1;
    for (size_t i = 0; i < k->addrs.n; i++) {
        const struct dt_nl_addr *a = &k->addrs.v[i];
        f = (struct dt_host_fact){
            .kind = DT_HOST_ADDR, .prefix = {.addr = a->addr, .len = a->len}, .foreign = !a->ours};
        if (!a->link_scope && dt_host_facts_add(have, &f) < 0)
            return dt_err_set(err, 0, "out of memory");
    }
    return 0;
}

static int read_filter(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    struct dt_host_fact f = {.kind = DT_HOST_FILTER};
    if (!k->filter)
        return 0;
    if (dt_host_filter_read(k->filter, &f.value, err) < 0)
        return -1;
    return f.value && dt_host_facts_add(have, &f) < 0 ? dt_err_set(err, 0, "out of memory") : 0;
}

static int read_sysctl(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    struct dt_host_fact f = {.kind = DT_HOST_SYSCTL, .foreign = !k->sysctl_is_ours};
    return dt_host_src_valid_mark() && dt_host_facts_add(have, &f) < 0 ? dt_err_set(err, 0, "out of memory")
                                                                       : 0;
}

static int change_sysctl(struct dt_host_kernel *k, bool on, struct dt_err *err)
{
    if (dt_host_src_valid_mark_set(on, err) < 0)
        return -1;
    k->sysctl_is_ours = on;
    return 0;
}

static int read_tap(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    struct dt_host_fact f = {.kind = DT_HOST_PROBES};
    if (!k->tap)
        return 0;
    if (dt_tap_read(k->tap, &f.value, err) < 0)
        return -1;
    return f.value && dt_host_facts_add(have, &f) < 0 ? dt_err_set(err, 0, "out of memory") : 0;
}

int dt_host_kernel_read(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err)
{
    return read_tap(k, have, err) < 0 || read_filter(k, have, err) < 0 || read_sysctl(k, have, err) < 0 ||
                   read_device(k, have, err) < 0 || kernel_read_rules(k, have, err) < 0 ||
                   read_routes(k, have, err) < 0
               ? -1
               : 0;
}

static struct dt_nl_route route_of(const struct dt_host_kernel *k, const struct dt_host_fact *f)
{
    struct dt_nl_route r = {.dst = f->prefix, .table = f->table ? f->table : k->table};
    if (f->kind == DT_HOST_BARRIER) {
        r.unreachable = true;
        r.metric = METRIC_BARRIER;
    } else if (f->kind == DT_HOST_ELSEWHERE) {
        r.elsewhere = true;
        r.metric = METRIC_ELSEWHERE;
    } else {
        r.src = f->src;
        r.mtu = f->mtu;
        r.metric = f->metric;
        r.ifindex = k->ifindex;
    }
    return r;
}

static int take_away(struct dt_host_kernel *k, const struct dt_host_fact *f, struct dt_err *err)
{
    struct dt_nl_route route;
    struct dt_nl_rule rule;
    switch (f->kind) {
    case DT_HOST_FILTER:
        return dt_host_filter_remove(k->filter, err);
    case DT_HOST_SYSCTL:
        return change_sysctl(k, false, err);
    case DT_HOST_BARRIER:
    case DT_HOST_ROUTE:
    case DT_HOST_ELSEWHERE:
        route = route_of(k, f);
        /* Whoever made it, and whatever it leads to: the table is ours. */
        route.ifindex = f->by;
        route.tos = f->tos;
        route.from = f->from;
        route.nexthop = f->nexthop;
        if (f->prefix.addr.ver == 6 && f->kind == DT_HOST_ROUTE && !route.metric)
            route.metric = METRIC_DEFAULT6;
        return dt_nl_route_del(k->nl, &route, err);
    case DT_HOST_STEER:
        return dt_nl_rule_del(k->nl, &f->rule, err);
    case DT_HOST_RULE:
        rule = rule_of(k, f->ver);
        return dt_nl_rule_del(k->nl, &rule, err);
    case DT_HOST_ADDR:
        return dt_nl_addr_del(k->nl, k->ifindex, &f->prefix.addr, f->prefix.len, err);
    case DT_HOST_PROBES:
        return dt_tap_remove(k->tap, err);
    case DT_HOST_LINK:
        break;
    }
    return 0; /* the device stays up */
}

static int put_there(struct dt_host_kernel *k, const struct dt_host_fact *f, struct dt_err *err)
{
    struct dt_nl_route route = route_of(k, f);
    struct dt_nl_rule rule = rule_of(k, f->ver);
    switch (f->kind) {
    case DT_HOST_FILTER:
        return dt_host_filter_set(k->filter, err);
    case DT_HOST_SYSCTL:
        return change_sysctl(k, true, err);
    case DT_HOST_BARRIER:
    case DT_HOST_ROUTE:
    case DT_HOST_ELSEWHERE:
        know_table(k, route.table);
        return dt_nl_route_add(k->nl, &route, err);
    case DT_HOST_STEER:
        if (f->rule.iif[0] && strcmp(f->rule.iif, k->device) != 0 && strcmp(f->rule.iif, DT_HOST_ITSELF) != 0)
            return dt_err_set(err, 0, "%s is not the device", f->rule.iif);
        return dt_nl_rule_add(k->nl, &f->rule, err);
    case DT_HOST_RULE:
        return dt_nl_rule_add(k->nl, &rule, err);
    case DT_HOST_ADDR:
        return dt_nl_addr_add(k->nl, k->ifindex, &f->prefix.addr, f->prefix.len, err);
    case DT_HOST_LINK:
        return restore_link(k, err);
    case DT_HOST_PROBES:
        return dt_tap_set(k->tap, err);
    }
    return 0;
}

int dt_host_kernel_change(struct dt_host_kernel *k, bool set, const struct dt_host_fact *f,
                          struct dt_err *err)
{
    return set ? put_there(k, f, err) : take_away(k, f, err);
}

void dt_host_kernel_free(struct dt_host_kernel *k)
{
    dt_nl_routes_free(&k->routes);
    dt_nl_rules_free(&k->rules);
    dt_nl_addrs_free(&k->addrs);
}
