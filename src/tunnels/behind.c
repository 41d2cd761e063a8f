/* What lies behind this host, as a gateway or as a tunnel's site (`inside`). When the link to such a network goes down, its route goes
 * too, and what comes out of a tunnel for that network would follow the default route: in the clear, to wherever the uplink
 * leads. So a network that once had a route of its own does not get the default route instead. Two routing rules say so,
 * which the kernel heeds from one packet to the next: what came out of the device looks for a route other than the default
 * one first, and finds nothing but an unreachable route behind that. Two more say the same of what this host sends itself: an
 * ICMP error for a host behind it quotes what was to go into the tunnel. A gateway that reaches its networks by the default
 * route, and no other, is left as it is.
 *
 * Networks are known as they were seen: what is connected and lies within `protect` or `inside`, and each part of these that
 * another route than the default one leads to. Routes to parts of a part that are not connected are not seen. */

#include "tunnels/behind.h"

#include <string.h>

#include "tunnels/closed.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

/* One that has networks behind this host. */
struct side {
    struct behind *b;
    const struct dt_selectors *nets;
    const char *what, *name;
};

static void behind_remember(const struct side *s, const struct dt_prefix *p)
{
    struct behind *b = s->b;
    for (size_t i = 0; i < b->n; i++)
        if (dt_prefix_covers(&b->net[i], p) && b->net[i].len == p->len)
            return;
    if (b->n == DT_ARRAY_LEN(b->net)) {
        LOG(DT_LOG_WARN,
            "%s %s has more than %zu networks behind it: what comes out of a tunnel for others follows the "
            "default "
            "route when their own is gone",
            s->what, s->name, DT_ARRAY_LEN(b->net));
        b->full = true;
        return;
    }
    b->net[b->n++] = *p;
}

static bool has(const struct dt_selectors *nets, const struct dt_prefix *p)
{
    struct dt_range all = dt_prefix_range(p);
    for (size_t i = 0; i < nets->n; i++) {
        const struct dt_range *r = &nets->v[i].range;
        if (dt_range_has(r, &all.from) && dt_range_has(r, &all.to))
            return true;
    }
    return false;
}

static void look_at_part(struct daemon *d, const struct side *s, const struct dt_prefix *part)
{
    struct dt_prefix by;
    struct dt_range range = dt_prefix_range(part);
    struct dt_addr to = range.to;
    dt_addr_prev(&to); /* the last may be a broadcast */
    if (!dt_range_has(&range, &to))
        to = range.to; /* a single host */
    if (part->len != 0 && dt_nl_route_match(d->nl, &to, DT_DP_MARK, &by, NULL) == 0 && by.len != 0 &&
        by.len <= part->len)
        behind_remember(s, part);
}

static void look(struct daemon *d, const struct side *s, const struct dt_nl_addrs *addrs)
{
    struct dt_prefix part[16];
    for (size_t i = 0; i < addrs->n && !s->b->full; i++) {
        const struct dt_nl_addr *a = &addrs->v[i];
        struct dt_prefix p = dt_prefix_network(&a->addr, a->len);
        if (!a->link_scope && a->ifindex != dt_dp_tun_index(d->dp) && a->len != 0 &&
            a->len < (a->addr.ver == 4 ? 32 : 128) && has(s->nets, &p))
            behind_remember(s, &p);
    }
    for (size_t i = 0; i < s->nets->n && !s->b->full; i++) {
        bool all;
        size_t n = dt_range_prefixes(&s->nets->v[i].range, part, DT_ARRAY_LEN(part), &all);
        for (size_t k = 0; all && k < n; k++)
            look_at_part(d, s, &part[k]);
    }
}

static struct side side_of_gate(struct gate *g)
{
    return (struct side){&g->behind, &g->cfg.cfg.protect, "gateway", g->cfg.cfg.name};
}

static struct side side_of_tunnel(struct tun *t)
{
    return (struct side){&t->behind, &t->cfg.cfg.local, "tunnel", t->cfg.cfg.name};
}

static bool has_site(const struct tun *t)
{
    return t->id != 0 && !t->cfg.cfg.transport && t->cfg.cfg.local.n > 0 && closed_by_tunnel(t);
}

void behind_look(struct daemon *d, const struct dt_nl_addrs *addrs)
{
    dt_list_for_each (l, &d->gates) {
        struct side s = side_of_gate(DT_CONTAINER_OF(l, struct gate, link));
        look(d, &s, addrs);
    }
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        struct side s = side_of_tunnel(t);
        if (has_site(t))
            look(d, &s, addrs);
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

static int want_networks(const struct side *s, struct dt_host_facts *facts, uint32_t owner, bool any[2])
{
    for (size_t i = 0; i < s->b->n; i++) {
        struct dt_host_fact f = {
            .kind = DT_HOST_BARRIER, .prefix = s->b->net[i], .table = DT_HOST_TABLE_BEHIND, .owner = owner};
        if (!has(s->nets, &s->b->net[i]))
            continue;
        if (dt_host_facts_add(facts, &f) < 0)
            return -1;
        any[f.prefix.addr.ver == 6] = true;
    }
    return 0;
}

int behind_want(struct daemon *d, struct dt_host_facts *facts, uint32_t gateways)
{
    bool any[2] = {false, false};
    uint32_t owner = 0; /* of the rules: of everybody, where no gateway needs them */
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        struct side s = side_of_tunnel(t);
        if (has_site(t) && want_networks(&s, facts, t->id, any) < 0)
            return -1;
    }
    dt_list_for_each (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        struct side s = side_of_gate(g);
        if (!(closed_by_gate(g) || g->discovery))
            continue;
        if (want_networks(&s, facts, gateways, any) < 0)
            return -1;
        owner = gateways;
    }
    for (int i = 0; i < 2; i++) {
        uint8_t ver = i == 0 ? 4 : 6;
        if (any[i] && (want_rules_behind(facts, owner, ver, dt_dp_tun_name(d->dp)) < 0 ||
                       want_rules_behind(facts, owner, ver, DT_HOST_ITSELF) < 0))
            return -1;
    }
    return 0;
}
