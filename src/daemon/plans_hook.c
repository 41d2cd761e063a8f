/* What the data path asks of the rules, on its workers: which tunnel does this packet belong to?
 *
 * The whole plan is not needed for that, only its innermost layer: the transport rule's tunnel, else that of the first
 * tunnel rule. Our own packets to the peer of a nested layer, ESP and IKE, go to the layer below it: the plan was
 * made for the packet inside. Both tables are replaced as a whole and read under RCU. */
#include <stdlib.h>
#include <string.h>
#include <urcu.h>

#include "base/bytes.h"
#include "daemon/plans.h"
#include "daemon/state.h"

/* A transport rule's tunnel, by the packet's destination. */
struct peer {
    uint32_t rule;
    struct dt_addr addr;
    uint32_t tunnel;
};

struct plan_map {
    struct dt_match *match; /* owned */
    uint32_t *tunnel;       /* of each tunnel rule, of the endpoint; 0: none serves it */
    struct peer *peer;      /* by rule, then address */
    size_t npeer;
};

struct plan_nests {
    size_t n;
    struct nest {
        struct dt_addr peer;
        uint32_t below; /* tunnel of the endpoint */
    } v[];
};

static int by_peer(const void *a, const void *b)
{
    const struct peer *x = a, *y = b;
    return x->rule != y->rule ? (x->rule < y->rule ? -1 : 1) : dt_addr_cmp(&x->addr, &y->addr);
}

static bool serves(const struct tun *t, const struct dt_rule *r)
{
    return t->id != 0 && t->ruled && t->cfg.cfg.transport == (r->kind == DT_RULE_TRANSPORT) &&
           (r->use == NULL || strcmp(r->use, t->cfg.cfg.name) == 0);
}

static bool at_gateway(const struct tun *t, const struct dt_addr *a)
{
    for (unsigned i = 0; i < t->cfg.cfg.ngateways; i++)
        if (dt_addr_eq(&t->cfg.cfg.gateways[i], a))
            return true;
    return false;
}

static int add_peers(struct plan_map *m, const struct tun *t, const struct dt_rule *r)
{
    for (unsigned i = 0; i < t->cfg.cfg.ngateways; i++) {
        if (!dt_addrset_has(&r->to, &t->cfg.cfg.gateways[i]))
            continue;
        if ((m->npeer & (m->npeer - 1)) == 0) {
            struct peer *p = realloc(m->peer, (m->npeer ? m->npeer * 2 : 1) * sizeof(*p));
            if (p == NULL)
                return -1;
            m->peer = p;
        }
        m->peer[m->npeer++] = (struct peer){r->index, t->cfg.cfg.gateways[i], t->id};
    }
    return 0;
}

static void map_free(struct plan_map *m)
{
    if (m == NULL)
        return;
    dt_match_free(m->match);
    free(m->tunnel);
    free(m->peer);
    free(m);
}

void plans_hook_rules(struct daemon *d, struct dt_match *match)
{
    struct plan_map *m = match != NULL ? calloc(1, sizeof(*m)) : NULL, *old = d->plan_map;
    if (m != NULL) {
        const struct dt_rules *rs = dt_match_rules(match);
        m->match = match;
        m->tunnel = calloc(rs->n + 1, sizeof(*m->tunnel));
        for (size_t i = 0; m->tunnel != NULL && i < rs->n; i++) {
            const struct dt_rule *r = &rs->v[i];
            dt_list_for_each (l, &d->tuns) {
                struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
                if (r->kind == DT_RULE_PASS || !serves(t, r))
                    continue;
                if (r->kind == DT_RULE_TRANSPORT)
                    add_peers(m, t, r);
                else if (m->tunnel[i] == 0 && at_gateway(t, &r->gateway))
                    m->tunnel[i] = t->id;
            }
        }
        if (m->npeer > 1)
            qsort(m->peer, m->npeer, sizeof(*m->peer), by_peer);
        if (m->tunnel == NULL) {
            free(m);
            m = NULL;
        }
    }
    rcu_assign_pointer(d->plan_map, m);
    if (old != NULL) {
        synchronize_rcu();
        map_free(old);
    }
}

void plans_hook_nests(struct daemon *d, const struct dt_addr *peer, const uint32_t *below, size_t n)
{
    struct plan_nests *x = malloc(sizeof(*x) + n * sizeof(x->v[0])), *old = d->plan_nests;
    if (x == NULL)
        return;
    x->n = n;
    for (size_t i = 0; i < n; i++)
        x->v[i] = (struct nest){peer[i], below[i]};
    rcu_assign_pointer(d->plan_nests, x);
    if (old != NULL) {
        synchronize_rcu();
        free(old);
    }
}

void plans_hook_close(struct daemon *d)
{
    map_free(d->plan_map);
    free(d->plan_nests);
    d->plan_map = NULL;
    d->plan_nests = NULL;
}

/* ---- on the workers ---- */

static bool ike_port(const struct daemon *d, uint16_t port)
{
    return port == d->cfg.ike_port || port == d->cfg.natt_port;
}

struct dt_dp_choice plans_choose(void *ctx, const struct dt_dp_flow *flow)
{
    struct daemon *d = ctx;
    const struct plan_map *m = rcu_dereference(d->plan_map);
    const struct plan_nests *nests = rcu_dereference(d->plan_nests);
    struct dt_dp_choice by_selectors = {DT_DP_BY_SELECTORS, 0}, discard = {DT_DP_DISCARD, 0};
    if (m == NULL)
        return by_selectors;
    bool ours =
        flow->proto == 50 || (flow->proto == 17 && ike_port(d, flow->sport) && ike_port(d, flow->dport));
    for (size_t i = 0; ours && nests != NULL && i < nests->n; i++)
        if (dt_addr_eq(&nests->v[i].peer, &flow->dst))
            return (struct dt_dp_choice){nests->v[i].below, 0};
    struct dt_flow f = {.src = flow->src,
                        .dst = flow->dst,
                        .proto = flow->proto,
                        .ports = !flow->fragment && dt_proto_has_ports(flow->proto),
                        .sport = flow->sport,
                        .dport = flow->dport};
    uint32_t r = dt_match_transport(m->match, &f);
    if (r != DT_NO_RULE) {
        struct peer key = {r, f.dst, 0};
        struct peer *p = m->npeer > 0 ? bsearch(&key, m->peer, m->npeer, sizeof(key), by_peer) : NULL;
        return p != NULL ? (struct dt_dp_choice){p->tunnel, r} : discard;
    }
    r = dt_match_tunnel(m->match, &f);
    if (r == DT_NO_RULE || dt_match_rules(m->match)->v[r].kind == DT_RULE_PASS)
        return by_selectors;
    return m->tunnel[r] != 0 ? (struct dt_dp_choice){m->tunnel[r], r} : discard;
}
