/* A gateway's clients: one tunnel for each authenticated identity, with its sessions and its lease. */
#include "endpoint/inside.h"

#include <stdio.h>
#include <string.h>

/* So long after a newer session was heard, an older one is asked whether it lives. */
#define OVERTAKEN (10 * DT_SEC)

/* ---- gateways ---- */

struct gateway *ep_server_gateway(const struct dt_endpoint *ep, uint32_t id)
{
    dt_list_for_each (n, &ep->gateways) {
        struct gateway *g = DT_CONTAINER_OF(n, struct gateway, list);
        if (g->id == id)
            return g;
    }
    return NULL;
}

bool ep_server_listens(const struct dt_gateway_cfg *cfg, const struct dt_addr *a)
{
    for (unsigned i = 0; i < cfg->nlisten; i++)
        if (dt_addr_means(&cfg->listen[i], a) ||
            (dt_addr_is_any(&cfg->listen[i]) && cfg->listen[i].ver == a->ver))
            return true;
    return cfg->nlisten == 0;
}

struct gateway *ep_server_of_path(const struct dt_endpoint *ep, const struct dt_path *path,
                                  const struct dt_ike_id *me, const struct dt_ike_id *peer)
{
    dt_list_for_each (n, &ep->gateways) {
        struct gateway *g = DT_CONTAINER_OF(n, struct gateway, list);
        if (!ep_server_listens(&g->cfg, &path->local.addr))
            continue;
        if (me && !dt_ike_id_eq(&g->cfg.identity, me))
            continue;
        if (peer && !dt_ike_id_matches(&g->cfg.peers, peer))
            continue;
        return g;
    }
    return NULL;
}

struct gateway *ep_server_nth_offer(const struct dt_endpoint *ep, const struct dt_path *path, unsigned n)
{
    struct gateway *offer[DT_GATEWAY_OFFERS];
    unsigned found = 0;
    dt_list_for_each (l, &ep->gateways) {
        struct gateway *g = DT_CONTAINER_OF(l, struct gateway, list);
        unsigned i = 0;
        if (!ep_server_listens(&g->cfg, &path->local.addr))
            continue;
        while (i < found && !dt_endpoint_gateways_offer(&offer[i]->cfg, &g->cfg))
            i++;
        if (i < found)
            continue;
        if (found == n)
            return g;
        if (found == DT_GATEWAY_OFFERS)
            return NULL;
        offer[found++] = g;
    }
    return NULL;
}

/* ---- what the engine asks ---- */

static bool server_negotiate(void *user, dt_time now, uint32_t old)
{
    struct tunnel *t = user;
    const struct sa *sa = ep_sa_of_epoch(t, old);
    return sa && ep_link_negotiate(sa->link, t, now, old);
}

static void server_abandon(void *user, dt_time now)
{
}

/* A Dovetail pings when it hears nothing: one that has not been heard for so long is gone, or asleep. It is not asked by
 * IKE: the NAT before it may have forgotten the session, and the silence would end what a ping of the client's revives. */
static bool gone_for_good(const struct tunnel *t, dt_time now)
{
    const struct dt_epoch_params *p = &t->s->e.p;
    dt_time last = 0;
    dt_list_for_each (n, &t->sas) {
        const struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        dt_time heard = ep_sa_last_heard(sa);
        last = heard > last ? heard : last;
        last = sa->since > last ? sa->since : last;
    }
    /* One that only listens sends no ESP, and has no reason to ping: it says by IKE that it is there. */
    dt_time wait = last != 0 ? ep_link_silence(p) : dt_epoch_server_reap_after(&t->s->e);
    dt_list_for_each (n, &t->links) {
        struct dt_ike_session_info info;
        const struct link *l = DT_CONTAINER_OF(n, struct link, node);
        if (!l->s)
            continue;
        dt_ike_session_info(l->s, &info);
        last = info.heard > last ? info.heard : last;
    }
    return now >=
           dt_time_add(last, wait); /* without an epoch there is nothing to listen to: the shorter one */
}

static void server_liveness(void *user, dt_time now)
{
    struct tunnel *t = user;
    const struct link *newest =
        dt_list_empty(&t->links) ? NULL : DT_CONTAINER_OF(t->links.prev, struct link, node);
    if (newest && newest->peer_probes) {
        if (gone_for_good(t, now))
            t->s->orphan_at = now;
        return;
    }
    dt_list_for_each (n, &t->links) {
        ep_link_due(DT_CONTAINER_OF(n, struct link, node), now);
    }
}

static void server_event(void *user, dt_time now, const struct dt_epoch_event *ev)
{
    ep_epoch_event(user, now, ev);
}

const struct dt_epoch_ops ep_server_ops = {
    .negotiate = server_negotiate,
    .abandon = server_abandon,
    .use = ep_op_use,
    .del = ep_op_del,
    .gone = ep_op_gone,
    .liveness = server_liveness,
    .last_heard = ep_op_last_heard,
    .event = server_event,
};

/* ---- clients ---- */

static uint64_t hash_peer(const struct dt_endpoint *ep, const struct gateway *g, const struct dt_ike_id *id)
{
    uint64_t both[2] = {g->id, dt_ike_id_hash(&ep->key, id)};
    return dt_siphash(&ep->key, both, sizeof(both));
}

struct tunnel *ep_server_client(const struct dt_endpoint *ep, const struct gateway *g,
                                const struct dt_ike_id *id)
{
    struct dt_table_node *n = dt_table_first(&ep->peer_table, hash_peer(ep, g, id));
    for (; n; n = dt_table_next(n)) {
        struct server *s = DT_CONTAINER_OF(n, struct server, by_peer);
        if (s->gateway == g && dt_ike_id_eq(&s->peer, id)) {
            struct tunnel *t = s->e.user;
            return t;
        }
    }
    return NULL;
}

static struct tunnel *new_peer(struct dt_endpoint *ep, dt_time now, struct gateway *g,
                               const struct dt_ike_id *id)
{
    char name[DT_IKE_ID_STRLEN];
    struct tunnel *t = ep_tunnel_new(ep, false, dt_ike_id_str(name, id));
    if (!t)
        return NULL;
    struct server *s = t->s;
    struct dt_epoch_params p = g->cfg.params;
    p.probe = g->cfg.probe;
    dt_epoch_server_init(&s->e, &p, &ep_server_ops, t, ep->rand);
    s->gateway = g;
    s->peer = *id;
    dt_list_init(&s->bringers);
    ep_authority_ask(ep, g, id, NULL, &s->owner);
    s->orphan_at = DT_NEVER;
    if (dt_table_insert(&ep->peer_table, &s->by_peer, hash_peer(ep, g, id))) {
        ep_tunnel_free(t);
        return NULL;
    }
    g->tunnels++;
    ep_event(ep, t, now, DT_EVENT_TUNNEL_ADDED, "%s has authenticated", name);
    return t;
}

static void close_oldest(struct tunnel *t, dt_time now)
{
    struct link *l = DT_CONTAINER_OF(t->links.next, struct link, node);
    ep_event(t->ep, t, now, DT_EVENT_SESSION_REPLACED,
             "more than %u sessions of this identity: the oldest is closed",
             t->ep->limits.sessions_per_tunnel);
    uint32_t lost[DT_EPOCH_MAX];
    unsigned n = 0;
    dt_list_for_each (node, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(node, struct sa, list);
        if (sa->link == l && !sa->linger && n < DT_EPOCH_MAX)
            lost[n++] = sa->epoch;
    }
    ep_link_close(l, now, false);
    for (unsigned i = 0; i < n; i++)
        dt_epoch_server_peer_deleted(&t->s->e, now, lost[i]);
}

struct link *ep_server_adopt(struct dt_endpoint *ep, dt_time now, struct dt_ike_session *s,
                             struct dt_err *err)
{
    struct link *l = dt_ike_session_owner(s);
    if (l)
        return l;
    const struct dt_ike_cfg *cfg = dt_ike_session_cfg(s);
    struct conf *conf = DT_CONTAINER_OF(cfg, struct conf, ike);
    struct gateway *g = conf->gateway;
    if (!g) {
        dt_err_set(err, 0, "the gateway is not configured any more");
        return NULL;
    }
    const struct dt_ike_id *id = dt_ike_session_remote_id(s);
    struct tunnel *t = ep_server_client(ep, g, id);
    if (!t && g->tunnels >= g->cfg.tunnels_max) {
        ep->count.full++;
        if (now >= ep->limit_told) {
            ep->limit_told = dt_time_add(now, DT_SEC);
            ep_event(ep, NULL, now, DT_EVENT_LIMIT, "%s serves %u clients already, clients_max is %u",
                     g->cfg.name, g->tunnels, g->cfg.tunnels_max);
        }
        dt_err_set(err, DT_N_NO_ADDITIONAL_SAS, "clients_max is reached: %u clients of %u", g->tunnels,
                   g->cfg.tunnels_max);
        err->why = DT_WHY_CLIENTS_MAX;
        return NULL;
    }
    unsigned links = 0;
    if (t) {
        dt_list_for_each (n, &t->links)
            links++;
        if (links >= ep->limits.sessions_per_tunnel)
            close_oldest(t, now);
        ep_event(ep, t, now, DT_EVENT_SESSION_REPLACED,
                 links ? "the client opened another session: it takes over once it is heard on it"
                       : "the client opened a session anew");
        if (t->s->orphan_at != DT_NEVER)
            ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_HOLD, 0, false);
        t->s->orphan_at = DT_NEVER;
    } else {
        t = new_peer(ep, now, g, id);
    }
    l = t ? ep_link_new(t, conf) : NULL;
    if (!l) {
        dt_err_set(err, 0, "no memory for another client");
        return NULL;
    }
    l->s = s;
    l->udp = dt_ike_session_path(s)->natt;
    dt_ike_session_set_owner(s, l);
    ep_link_childless(l, now);
    return l;
}

void ep_server_free(struct tunnel *t, dt_time now, const char *why)
{
    struct dt_endpoint *ep = t->ep;
    struct server *s = t->s;
    t->dying = true;
    dt_epoch_server_stop(&s->e, now);
    while (!dt_list_empty(&t->links))
        ep_link_close(DT_CONTAINER_OF(t->links.next, struct link, node), now, true);
    while (!dt_list_empty(&t->sas))
        ep_sa_remove(DT_CONTAINER_OF(t->sas.next, struct sa, list), now);
    ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_DROP, 0, false);
    if (s->leased && ep->ops.release)
        ep->ops.release(ep->user, now, s->gateway->id, &s->peer, &t->inside);
    if (ep->ops.tunnel)
        ep->ops.tunnel(ep->user, now, t->id, true);
    ep_event(ep, t, now, DT_EVENT_TUNNEL_GONE, "%s", why);
    dt_table_remove(&ep->peer_table, &s->by_peer);
    dt_list_del(&s->bringers);
    s->gateway->tunnels--;
    ep_tunnel_free(t);
}

void ep_server_session_down(struct link *l, dt_time now, const struct dt_err *why)
{
    struct tunnel *t = l->t;
    struct dt_endpoint *ep = t->ep;
    ep_event(ep, t, now, DT_EVENT_SESSION_DOWN, "the session is over%s%s", why && why->text[0] ? ": " : "",
             why ? why->text : "");
    ep_link_gone(l);
    if (!dt_list_empty(&t->links)) {
        ep_settle(t, now);
    } else if (ep->limits.linger == 0) {
        ep_server_free(t, now, "its last session is over");
    } else { /* INITIAL_CONTACT comes just before the session that takes over: the lease stays with the client */
        t->s->orphan_at = dt_time_add(now, ep->limits.linger);
        ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_DROP, 0, false);
        ep_settle(t, now);
    }
}

void ep_server_due(struct tunnel *t, dt_time now)
{
    if (t->s->orphan_at <= now) {
        ep_server_free(t, now, dt_list_empty(&t->links) ? "its last session is over" : "not heard for long");
        return;
    }
    dt_epoch_server_tick(&t->s->e, now);
    ep_settle(t, now);
}

void ep_server_child_up(struct link *l, dt_time now, struct dt_ike_child *child, const struct dt_child_sa *in)
{
    struct tunnel *t = l->t;
    struct dt_err err = {0};
    bool asked = in->initiator;
    if (l->asked == child)
        l->asked = NULL;
    struct sa *sa = ep_sa_install(t, l, now, child, in, &err);
    if (!sa) {
        ep_event(t->ep, t, now, DT_EVENT_LIMIT, "the SA cannot be installed: %s", err.text);
        dt_ike_child_delete(child, now);
    } else {
        if (!l->overtaken)
            ep_timer_set(t->ep, &l->timer, DT_NEVER);
        t->s->e.peer_probes = l->peer_probes;
        dt_epoch_server_negotiated(&t->s->e, now, sa->epoch, asked ? DT_EPOCH_ASKED : DT_EPOCH_BY_PEER);
    }
    ep_settle(t, now);
}

void ep_server_child_down(struct link *l, dt_time now, struct sa *sa, enum dt_ike_down why)
{
    struct tunnel *t = sa->t;
    sa->child = NULL;
    if (why == DT_DOWN_PEER || why == DT_DOWN_GONE)
        ep_sa_peer_deleted(sa);
    else if (why == DT_DOWN_SESSION && !dt_ike_session_unanswered(l->s))
        ep_sa_session_ended(l);
    dt_epoch_server_peer_deleted(&t->s->e, now, sa->epoch);
    ep_settle(t, now);
}

void ep_server_heard(struct sa *sa, dt_time now)
{
    struct tunnel *t = sa->t;
    struct link *l = sa->link;
    bool first = l && !l->spoke;
    if (first) {
        l->spoke = true;
        dt_list_for_each (n, &t->links) {
            struct link *other = DT_CONTAINER_OF(n, struct link, node);
            if (other->order < l->order) {
                other->overtaken = true;
                ep_timer_set(t->ep, &other->timer, dt_time_add(now, OVERTAKEN));
            }
        }
    }
    dt_epoch_server_heard(&t->s->e, now, sa->epoch);
    if (first)
        ep_place_heard(l, now);
    ep_settle(t, now);
}

void ep_server_settle(struct tunnel *t, dt_time now)
{
    struct dt_epoch_server *e = &t->s->e;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        if (e->e[i].phase != DT_EPOCH_RETIRING || e->e[i].del_at != DT_NEVER)
            continue;
        const struct sa *sa = ep_sa_of_epoch(t, e->e[i].no);
        if (!sa || !sa->link)
            dt_epoch_server_deleted(e, now, e->e[i].no);
    }
    t->s->up = e->out != 0;
    ep_timer_set(t->ep, &t->timer, dt_time_min(dt_epoch_server_deadline(e), t->s->orphan_at));
}

void ep_server_gateway_remove(struct gateway *g, dt_time now)
{
    struct dt_endpoint *ep = g->ep;
    dt_list_for_each_safe (n, &ep->tunnels) {
        struct tunnel *t = DT_CONTAINER_OF(n, struct tunnel, list);
        if (!t->is_client && t->s->gateway == g)
            ep_server_free(t, now, "its gateway is not configured any more");
        ep_events_tell(ep);
    }
    ep_conf_retire(ep, g->conf, now);
    dt_list_del(&g->list);
    ep->count.gateways--;
    dt_ike_proofs_unref(&g->cfg.proofs);
    ep_free(ep, g, sizeof(*g));
}

void dt_endpoint_gateway_remove(struct dt_endpoint *ep, dt_time now, uint32_t gateway)
{
    EP_CALL(ep, now);
    struct gateway *g = ep_server_gateway(ep, gateway);
    if (g)
        ep_server_gateway_remove(g, now);
}

uint32_t dt_endpoint_gateway_add(struct dt_endpoint *ep, dt_time now, const struct dt_gateway_cfg *cfg,
                                 struct dt_err *err)
{
    if (dt_endpoint_gateway_check(cfg, err))
        return 0;
    EP_CALL(ep, now);
    struct gateway *g = ep_alloc(ep, sizeof(*g));
    struct conf *c = g ? ep_conf_new(ep) : NULL;
    if (!c) {
        if (g)
            ep_free(ep, g, sizeof(*g));
        dt_err_set(err, 0, "%s: no memory", cfg->name);
        return 0;
    }
    g->ep = ep;
    g->id = ++ep->next_gateway;
    g->cfg = *cfg;
    dt_ike_proofs_ref(&g->cfg.proofs);
    g->conf = c;
    c->gateway = g;
    ep_conf_server(c, cfg);
    dt_list_add_tail(&ep->gateways, &g->list);
    ep->count.gateways++;
    return g->id;
}
