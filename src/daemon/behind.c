/* What lies behind a gateway. When the link to a protected network goes down, its route goes too, and what comes out of a tunnel
 * for that network would follow the default route: in the clear, to wherever the uplink leads. So a network that once had a
 * route of its own does not get the default route instead. Two routing rules say so, which the kernel heeds from one packet to the
 * next: what came out of the device looks for a route other than the default one first, and finds nothing but an unreachable
 * route behind that. Two more say the same of what this host sends itself: an ICMP error for a host behind it quotes what was to go
 * into the tunnel. A gateway that reaches its networks by the default route, and no other, is left as it is.
 *
 * Networks are known as they were seen: what is connected and lies within `protect`, and each part of `protect` that another
 * route than the default one leads to. Routes to parts of a part that are not connected are not seen. */
#include <string.h>

#include "daemon/state.h"

static void remember(struct gate *g, const struct dt_prefix *p)
{
    for (size_t i = 0; i < g->nbehind; i++)
        if (dt_prefix_covers(&g->behind[i], p) && g->behind[i].len == p->len)
            return;
    if (g->nbehind == DT_ARRAY_LEN(g->behind)) {
        LOG(DT_LOG_WARN,
            "gateway %s has more than %zu networks behind it: what comes out of a tunnel for others follows "
            "the default "
            "route when their own is gone",
            g->cfg.cfg.name, DT_ARRAY_LEN(g->behind));
        g->behind_full = true;
        return;
    }
    g->behind[g->nbehind++] = *p;
}

static bool protects(const struct gate *g, const struct dt_prefix *p)
{
    struct dt_range all = dt_prefix_range(p);
    for (size_t i = 0; i < g->cfg.cfg.protect.n; i++) {
        const struct dt_range *r = &g->cfg.cfg.protect.v[i].range;
        if (dt_range_has(r, &all.from) && dt_range_has(r, &all.to))
            return true;
    }
    return false;
}

static void look_at_part(struct daemon *d, struct gate *g, const struct dt_prefix *part)
{
    struct dt_prefix by;
    struct dt_range range = dt_prefix_range(part);
    struct dt_addr to = range.to;
    dt_addr_prev(&to); /* the last may be a broadcast */
    if (!dt_range_has(&range, &to))
        to = range.to; /* a single host */
    if (part->len != 0 && dt_nl_route_match(d->nl, &to, DT_DP_MARK, &by, NULL) == 0 && by.len != 0 &&
        by.len <= part->len)
        remember(g, part);
}

void behind_look(struct daemon *d, struct gate *g, const struct dt_nl_addrs *addrs)
{
    struct dt_prefix part[16];
    const struct dt_selectors *protect = &g->cfg.cfg.protect;
    for (size_t i = 0; i < addrs->n && !g->behind_full; i++) {
        const struct dt_nl_addr *a = &addrs->v[i];
        struct dt_prefix p = dt_prefix_network(&a->addr, a->len);
        if (!a->link_scope && a->ifindex != dt_dp_tun_index(d->dp) && a->len != 0 &&
            a->len < (a->addr.ver == 4 ? 32 : 128) && protects(g, &p))
            remember(g, &p);
    }
    for (size_t i = 0; i < protect->n && !g->behind_full; i++) {
        bool all;
        size_t n = dt_range_prefixes(&protect->v[i].range, part, DT_ARRAY_LEN(part), &all);
        for (size_t k = 0; all && k < n; k++)
            look_at_part(d, g, &part[k]);
    }
}

static int want_rules_behind(struct dt_host_facts *facts, uint32_t owner, uint8_t ver, const char *iif)
{
    struct dt_host_fact f = {.kind = DT_HOST_STEER,
                             .owner = owner,
                             .rule = {.ver = ver,
                                      .not_default = true,
                                      .priority = DT_HOST_PRIORITY_BEHIND,
                                      .table = DT_HOST_TABLE_MAIN}};
    snprintf(f.rule.iif, sizeof(f.rule.iif), "%s", iif);
    if (dt_host_facts_add(facts, &f) < 0)
        return -1;
    f.rule.not_default = false;
    f.rule.priority++;
    f.rule.table = DT_HOST_TABLE_BEHIND;
    return dt_host_facts_add(facts, &f);
}

int behind_want(struct daemon *d, struct dt_host_facts *facts, uint32_t owner)
{
    bool any[2] = {false, false};
    dt_list_for_each (l, &d->gates) {
        const struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        for (size_t i = 0; i < g->nbehind; i++) {
            struct dt_host_fact f = {.kind = DT_HOST_BARRIER,
                                     .prefix = g->behind[i],
                                     .table = DT_HOST_TABLE_BEHIND,
                                     .owner = owner};
            if (!(closed_by_gate(g) || g->discovery) || !protects(g, &g->behind[i]))
                continue;
            if (dt_host_facts_add(facts, &f) < 0)
                return -1;
            any[g->behind[i].addr.ver == 6] = true;
        }
    }
    for (int i = 0; i < 2; i++) {
        uint8_t ver = i == 0 ? 4 : 6;
        if (any[i] && (want_rules_behind(facts, owner, ver, dt_dp_tun_name(d->dp)) < 0 ||
                       want_rules_behind(facts, owner, ver, DT_HOST_ITSELF) < 0))
            return -1;
    }
    return 0;
}
