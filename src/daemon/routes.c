/* Inside addresses on the TUN device, and routes of what tunnels protect.
 *
 * Routes live in a table of their own, which a rule puts before the others for every packet that does not carry the data
 * path's mark. So a tunnel may protect 0.0.0.0/0, its gateway included, and no route that somebody else has made is
 * ever replaced. */
#include <string.h>

#include "daemon/state.h"

static void rules_del(struct daemon *d)
{
    for (uint8_t ver = 4; ver <= 6; ver += 2)
        dt_nl_rule_del(d->nl, ver, DT_DP_MARK, DT_DAEMON_TABLE, DT_DAEMON_PRIORITY, NULL);
    d->rules4 = d->rules6 = false;
}

/* The kernel would give the device a link-local address and look for routers through it. */
static void no_link_local(const char *device)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", device);
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return;
    fputs("1\n", f); /* none; where it cannot be written, it is noise in counters at most */
    fclose(f);
}

int routes_begin(struct daemon *d, struct dt_err *err)
{
    rules_del(d);
    no_link_local(dt_dp_tun_name(d->dp));
    return dt_nl_link_up(d->nl, dt_dp_tun_index(d->dp), 0, err);
}

void routes_end(struct daemon *d)
{
    if (d->nl != NULL)
        rules_del(d);
}

static bool rule_for(struct daemon *d, uint8_t ver)
{
    bool *there = ver == 4 ? &d->rules4 : &d->rules6;
    struct dt_err err = {0};
    if (!*there && dt_nl_rule_add(d->nl, ver, DT_DP_MARK, DT_DAEMON_TABLE, DT_DAEMON_PRIORITY, &err) != 0) {
        LOG(DT_LOG_ERROR, "no rule for the routing table %u: %s", DT_DAEMON_TABLE, err.text);
        return false;
    }
    *there = true;
    return true;
}

static bool same_route(const struct dt_nl_route *a, const struct dt_nl_route *b)
{
    return dt_addr_eq(&a->dst.addr, &b->dst.addr) && a->dst.len == b->dst.len &&
           dt_addr_eq(&a->src, &b->src) && a->mtu == b->mtu;
}

static bool has_route(const struct routes *r, const struct dt_nl_route *x)
{
    for (size_t i = 0; i < r->nroute; i++)
        if (same_route(&r->route[i], x))
            return true;
    return false;
}

static bool has_addr(const struct routes *r, const struct dt_addr *a)
{
    for (size_t i = 0; i < r->naddr; i++)
        if (dt_addr_eq(&r->addr[i], a))
            return true;
    return false;
}

/* Does another tunnel (or gateway) have it too? Then it stays. */
static bool others_have(struct daemon *d, const struct routes *mine, const struct dt_nl_route *route,
                        const struct dt_addr *addr)
{
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (&t->routes != mine && (route != NULL ? has_route(&t->routes, route) : has_addr(&t->routes, addr)))
            return true;
    }
    dt_list_for_each (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (&g->routes != mine && (route != NULL ? has_route(&g->routes, route) : has_addr(&g->routes, addr)))
            return true;
    }
    return false;
}

void routes_set(struct daemon *d, struct routes *now, const struct routes *wanted, const char *whose)
{
    unsigned dev = dt_dp_tun_index(d->dp);
    struct routes old = *now;
    struct dt_err err = {0};
    *now = *wanted;
    for (size_t i = 0; i < wanted->naddr; i++)
        if (!has_addr(&old, &wanted->addr[i]) &&
            dt_nl_addr_add(d->nl, dev, &wanted->addr[i], wanted->addr_len[i], &err) != 0)
            LOG(DT_LOG_ERROR, "%s: the inside address is not set: %s", whose, err.text);
    for (size_t i = 0; i < wanted->nroute; i++)
        if (!has_route(&old, &wanted->route[i]) && (!rule_for(d, wanted->route[i].dst.addr.ver) ||
                                                    dt_nl_route_add(d->nl, &wanted->route[i], &err) != 0))
            LOG(DT_LOG_ERROR, "%s: a route is not set: %s", whose, err.text);
    for (size_t i = 0; i < old.nroute; i++) {
        bool replaced = false; /* the same destination with another source or MTU */
        for (size_t k = 0; k < wanted->nroute; k++)
            replaced = replaced || (dt_addr_eq(&wanted->route[k].dst.addr, &old.route[i].dst.addr) &&
                                    wanted->route[k].dst.len == old.route[i].dst.len);
        if (!replaced && !others_have(d, now, &old.route[i], NULL))
            dt_nl_route_del(d->nl, &old.route[i], NULL);
    }
    for (size_t i = 0; i < old.naddr; i++)
        if (!has_addr(now, &old.addr[i]) && !others_have(d, now, NULL, &old.addr[i]))
            dt_nl_addr_del(d->nl, dev, &old.addr[i], old.addr_len[i], NULL);
}

/* The prefixes that make up a range, added as routes. */
static void add_range(struct daemon *d, struct routes *r, const struct dt_range *range,
                      const struct dt_addr *src, uint32_t mtu)
{
    struct dt_prefix part[DT_DAEMON_ROUTES_MAX];
    bool all;
    size_t n = dt_range_prefixes(range, part, DT_DAEMON_ROUTES_MAX - r->nroute, &all);
    for (size_t i = 0; i < n; i++) {
        struct dt_nl_route *x = &r->route[r->nroute++];
        *x = (struct dt_nl_route){
            .dst = part[i], .ifindex = dt_dp_tun_index(d->dp), .table = DT_DAEMON_TABLE, .mtu = mtu};
        if (src != NULL && src->ver == range->from.ver)
            x->src = *src;
    }
    if (!all)
        LOG(DT_LOG_WARN, "what is protected takes more than %d routes; the rest has none",
            DT_DAEMON_ROUTES_MAX);
}

static void add_selectors(struct daemon *d, struct routes *r, const struct dt_selectors *list,
                          const struct dt_addr *src4, const struct dt_addr *src6, uint32_t mtu)
{
    for (size_t i = 0; i < list->n; i++)
        add_range(d, r, &list->v[i].range, list->v[i].range.from.ver == 4 ? src4 : src6, mtu);
}

/* An address of this host that the tunnel's own side has: what programs here should speak from. */
static void source_in(struct daemon *d, const struct dt_selectors *inside, struct dt_addr *src4,
                      struct dt_addr *src6)
{
    struct dt_addr all[64];
    int n = dt_nl_addrs(d->nl, 0, all, (int)DT_ARRAY_LEN(all), NULL);
    for (int i = n - 1; i >= 0; i--)
        if (dt_selectors_has(inside, &all[i], 0, 0))
            *(all[i].ver == 4 ? src4 : src6) = all[i];
}

void routes_tunnel(struct daemon *d, struct tun *t)
{
    struct routes wanted = {0};
    struct dt_tunnel_info info;
    if (t->cfg.discovered) /* its packets come by the routing rules of discovery */
        return;
    bool known = t->id != 0 && dt_endpoint_tunnel_info(d->ep, t->id, &info);
    bool inside = known && (info.inside.addr4.ver || info.inside.addr6.ver);
    struct dt_addr src4 = {0}, src6 = {0};
    if (t->wanted && inside) {
        const struct dt_addr *a[2] = {&info.inside.addr4, &info.inside.addr6};
        for (size_t i = 0; i < 2; i++)
            if (a[i]->ver) {
                wanted.addr[wanted.naddr] = *a[i];
                wanted.addr_len[wanted.naddr++] = a[i]->ver == 4 ? 32 : 128;
            }
        src4 = info.inside.addr4;
        src6 = info.inside.addr6;
    }
    if (t->wanted && (inside || t->site || t->ruled || t->cfg.start == DT_START_DEMAND)) {
        if (t->site)
            source_in(d, &t->cfg.cfg.local, &src4, &src6);
        add_selectors(d, &wanted, &t->cfg.cfg.protect, &src4, &src6, t->cfg.mtu);
    }
    routes_set(d, &t->routes, &wanted, t->cfg.cfg.name);
}

void routes_gateway(struct daemon *d, struct gate *g, bool gone)
{
    struct routes wanted = {0};
    struct dt_addr src4 = {0}, src6 = {0};
    if (g->discovery)
        return;
    if (!gone) {
        source_in(d, &g->cfg.cfg.protect, &src4, &src6);
        for (size_t i = 0; i < g->cfg.npool; i++) {
            struct dt_range range = dt_prefix_range(&g->cfg.pool[i]);
            add_range(d, &wanted, &range, range.from.ver == 4 ? &src4 : &src6, g->cfg.mtu);
        }
        add_selectors(d, &wanted, &g->cfg.cfg.remote, &src4, &src6, g->cfg.mtu);
    }
    routes_set(d, &g->routes, &wanted, g->cfg.cfg.name);
}
