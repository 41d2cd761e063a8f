/* What the data path asks of the rules, on its workers: which tunnel does this packet belong to?
 *
 * The whole plan is not needed for that, only its innermost layer: the transport rule's tunnel, else that of the first
 * tunnel rule. Our own packets to the peer of a nested layer, ESP and IKE, go to the layer below it: the plan was
 * made for the packet inside. Both tables are replaced as a whole and read under RCU. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu.h>

#include "base/bytes.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

/* A transport rule's tunnel, by the packet's destination. */
struct peer {
    uint32_t rule;
    struct dt_addr addr;
    uint32_t tunnel;
};

/* A packet that a rule has sent on a tunnel, noted for the control thread, which asks five times a second. */
struct ask {
    _Atomic uint8_t state; /* 0 free, 1 being written, 2 there */
    struct plans_ask what;
};

struct plan_map {
    struct rcu_head rcu;
    struct dt_match *match; /* owned */
    uint32_t *tunnel;       /* of each tunnel rule, of the endpoint; 0: none serves it */
    struct peer *peer;      /* by rule, then address */
    size_t npeer;
    struct ask ask[PLANS_ASKS];
    _Atomic uint32_t
        turn; /* where a rule's note goes changes each time: none is shadowed by another for ever */
};

struct plan_nests {
    struct rcu_head rcu;
    size_t n;
    struct plans_nest v[];
};

static int by_peer(const void *a, const void *b)
{
    const struct peer *x = a, *y = b;
    return x->rule != y->rule ? (x->rule < y->rule ? -1 : 1) : dt_addr_cmp(&x->addr, &y->addr);
}

static bool tun_serves(const struct tun *t, const struct dt_rule *r)
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

/* When no worker reads it any more. A worker may sit in a call of the kernel's: nobody waits for that here. */
static void map_unread(struct rcu_head *h)
{
    map_free(DT_CONTAINER_OF(h, struct plan_map, rcu));
}

static void nests_unread(struct rcu_head *h)
{
    free(DT_CONTAINER_OF(h, struct plan_nests, rcu));
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
                if (r->kind == DT_RULE_PASS || !tun_serves(t, r))
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
    if (old != NULL)
        call_rcu(&old->rcu, map_unread);
}

void plans_hook_nests(struct daemon *d, const struct plans_nest *nest, size_t n)
{
    struct plan_nests *x = malloc(sizeof(*x) + n * sizeof(x->v[0])), *old = d->plan_nests;
    if (x == NULL)
        return;
    x->n = n;
    if (n > 0)
        memcpy(x->v, nest, n * sizeof(*nest));
    rcu_assign_pointer(d->plan_nests, x);
    if (old != NULL)
        call_rcu(&old->rcu, nests_unread);
}

void plans_hook_close(struct daemon *d)
{
    map_free(d->plan_map);
    free(d->plan_nests);
    d->plan_map = NULL;
    d->plan_nests = NULL;
}

const struct dt_match *plans_match(const struct daemon *d)
{
    return d->plan_map != NULL ? d->plan_map->match : NULL;
}

/* A tunnel that is up carries what a rule sends there without asking; only so does the engine learn that another plan
 * wants that layer too, and that a plan is in use. */
size_t plans_asked(struct daemon *d, struct plans_ask out[PLANS_ASKS])
{
    struct plan_map *m = d->plan_map;
    size_t n = 0;
    for (size_t i = 0; m != NULL && i < PLANS_ASKS; i++)
        if (atomic_load_explicit(&m->ask[i].state, memory_order_acquire) == 2) {
            out[n++] = m->ask[i].what;
            atomic_store_explicit(&m->ask[i].state, 0, memory_order_release);
        }
    if (m != NULL)
        atomic_fetch_add_explicit(&m->turn, 2, memory_order_relaxed);
    return n;
}

/* ---- on the workers ---- */

static void hook_ask(struct plan_map *m, uint32_t key, uint32_t tunnel, const struct dt_flow *f)
{
    _Static_assert(PLANS_ASKS == 256, "as many as eight bits name");
    uint32_t turn = atomic_load_explicit(&m->turn, memory_order_relaxed) | 1;
    struct ask *a = &m->ask[(key * turn * 0x9e3779b1u) >> 24];
    uint8_t is_free = 0;
    if (atomic_load_explicit(&a->state, memory_order_relaxed) != 0 ||
        !atomic_compare_exchange_strong_explicit(&a->state, &is_free, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    a->what = (struct plans_ask){tunnel, *f};
    atomic_store_explicit(&a->state, 2, memory_order_release);
}

static bool ike_port(const struct daemon *d, uint16_t port)
{
    return port == d->cfg.ike_port || port == d->cfg.natt_port;
}

bool plans_protocol(const struct daemon *d, uint8_t proto, uint16_t sport)
{
    return proto == 50 || (proto == 17 && ike_port(d, sport));
}

struct dt_dp_choice plans_choose(void *ctx, const struct dt_dp_flow *flow)
{
    struct daemon *d = ctx;
    struct plan_map *m = rcu_dereference(d->plan_map);
    const struct plan_nests *nests = rcu_dereference(d->plan_nests);
    struct dt_dp_choice by_selectors = {DT_DP_BY_SELECTORS, 0}, discard = {DT_DP_DISCARD, 0};
    if (m == NULL)
        return by_selectors;
    bool ours = plans_protocol(d, flow->proto, flow->sport);
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
        if (p != NULL && !ours)
            hook_ask(m, r ^ (uint32_t)dt_get_be16(f.dst.b + (f.dst.ver == 4 ? 2 : 14)) << 16, p->tunnel, &f);
        return p != NULL ? (struct dt_dp_choice){p->tunnel, r} : discard;
    }
    r = dt_match_tunnel(m->match, &f);
    if (r == DT_NO_RULE || dt_match_rules(m->match)->v[r].kind == DT_RULE_PASS)
        return by_selectors;
    if (m->tunnel[r] == 0)
        return discard;
    if (!ours) /* what we send to a peer is no reason to reach it */
        hook_ask(m, r, m->tunnel[r], &f);
    return (struct dt_dp_choice){m->tunnel[r], r};
}
