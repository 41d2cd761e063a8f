/* The host: tunnels by number, one heap of timers, inputs to whom they concern. */
#include "endpoint/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ep_alloc(struct dt_endpoint *ep, size_t n)
{
    void *p = calloc(1, n);
    if (p)
        ep->bytes += n;
    return p;
}

void ep_free(struct dt_endpoint *ep, void *p, size_t n)
{
    ep->bytes -= n;
    free(p);
}

void ep_timer_set(struct dt_endpoint *ep, struct timer *timer, dt_time at)
{
    dt_heap_set(&ep->heap, &timer->t, at);
}

static uint64_t tunnel_hash(uint32_t id)
{
    return id * 0x9e3779b97f4a7c15u;
}

struct tunnel *ep_tunnel(const struct dt_endpoint *ep, uint32_t id)
{
    for (struct dt_table_node *n = dt_table_first(&ep->tunnel_table, tunnel_hash(id)); n;
         n = dt_table_next(n)) {
        struct tunnel *t = DT_CONTAINER_OF(n, struct tunnel, node);
        if (t->id == id)
            return t;
    }
    return NULL;
}

static size_t role_size(bool is_client)
{
    return is_client ? sizeof(struct client) : sizeof(struct server);
}

struct tunnel *ep_tunnel_new(struct dt_endpoint *ep, bool is_client, const char *name)
{
    struct tunnel *t = ep_alloc(ep, sizeof(*t));
    void *role = ep_alloc(ep, role_size(is_client));
    size_t len = strlen(name) + 1;
    char *copy = ep_alloc(ep, len);
    bool place = !dt_heap_reserve(&ep->heap, 1);
    if (!t || !role || !copy || !place ||
        dt_table_insert(&ep->tunnel_table, &t->node, tunnel_hash(ep->next_tunnel + 1))) {
        if (place)
            dt_heap_unreserve(&ep->heap, 1);
        if (t)
            ep_free(ep, t, sizeof(*t));
        if (role)
            ep_free(ep, role, role_size(is_client));
        if (copy)
            ep_free(ep, copy, len);
        return NULL;
    }
    t->id = ++ep->next_tunnel;
    t->ep = ep;
    t->is_client = is_client;
    memcpy(copy, name, len);
    t->name = copy;
    if (is_client)
        t->c = role;
    else
        t->s = role;
    dt_list_init(&t->links);
    dt_list_init(&t->sas);
    ep_timer_init(&t->timer, TIMER_TUNNEL);
    dt_list_add_tail(&ep->tunnels, &t->list);
    ep->count.tunnels++;
    return t;
}

static void tunnel_bury(struct tunnel *t)
{
    struct dt_endpoint *ep = t->ep;
    ep_free(ep, t->name, strlen(t->name) + 1);
    if (t->is_client)
        dt_ike_proofs_unref(&t->c->cfg.proofs);
    if (t->is_client)
        ep_free(ep, t->c, sizeof(*t->c));
    else
        ep_free(ep, t->s, sizeof(*t->s));
    ep_free(ep, t, sizeof(*t));
}

void ep_tunnel_free(struct tunnel *t)
{
    struct dt_endpoint *ep = t->ep;
    ep_timer_set(ep, &t->timer, DT_NEVER);
    dt_heap_unreserve(&ep->heap, 1);
    dt_table_remove(&ep->tunnel_table, &t->node);
    ep_insides_forget(t);
    dt_list_del(&t->list);
    dt_list_add_tail(&ep->dead, &t->list);
    ep->count.tunnels--;
}

static struct tunnel *take_dead(struct dt_endpoint *ep)
{
    struct dt_list *first = ep->dead.next;
    ep->dead.next = first->next;
    first->next->prev = &ep->dead;
    return DT_CONTAINER_OF(first, struct tunnel, list);
}

void ep_tunnels_bury(struct dt_endpoint *ep)
{
    while (!dt_list_empty(&ep->dead))
        tunnel_bury(take_dead(ep));
}

void ep_settle(struct tunnel *t, dt_time now)
{
    if (t->is_client)
        ep_client_settle(t, now);
    else
        ep_server_settle(t, now);
}

struct dt_endpoint *dt_endpoint_new(const struct dt_endpoint_ops *ops, void *user,
                                    const struct dt_ike_params *ike, const struct dt_endpoint_limits *limits,
                                    const struct dt_crypto *crypto, const struct dt_rand *rand)
{
    struct dt_endpoint *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return NULL;
    ep->ops = *ops;
    ep->user = user;
    if (ike)
        ep->params = *ike;
    else
        dt_ike_params_default(&ep->params);
    if (limits)
        ep->limits = *limits;
    else
        dt_endpoint_limits_default(&ep->limits);
    ep->crypto = crypto;
    ep->rand = *rand;
    dt_rand_fill(rand, &ep->key, sizeof(ep->key));
    dt_heap_init(&ep->heap);
    dt_table_init(&ep->tunnel_table);
    dt_table_init(&ep->peer_table);
    dt_table_init(&ep->sa_table);
    dt_table_init(&ep->insides);
    struct dt_list *lists[] = {&ep->tunnels, &ep->gateways, &ep->retired, &ep->networks,
                               &ep->closing, &ep->dead,     &ep->bringers};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        dt_list_init(lists[i]);
    struct dt_ike_ops ike_ops = ep_ike_ops;
    if (!ops->work)
        ike_ops.work = NULL; /* at once */
    if (!ops->wall)
        ike_ops.wall = NULL;
    ep->ike = dt_ike_new(&ep->params, &ike_ops, ep, crypto, &ep->rand);
    if (!ep->ike) {
        free(ep);
        return NULL;
    }
    return ep;
}

void ep_client_end(struct tunnel *t, dt_time now, bool polite)
{
    struct dt_endpoint *ep = t->ep;
    struct client *c = t->c;
    bool was = c->e.started;
    t->dying = true;
    dt_epoch_client_stop(&c->e, now);
    while (!dt_list_empty(&t->links))
        ep_link_close(DT_CONTAINER_OF(t->links.next, struct link, node), now, polite);
    while (!dt_list_empty(&t->sas))
        ep_sa_remove(DT_CONTAINER_OF(t->sas.next, struct sa, list), now);
    c->race = (struct race){.at = DT_NEVER};
    c->won = 0;
    c->place = 0; /* the first gateway, and the first of our addresses, again */
    c->lost = false;
    t->why[0] = 0;
    t->local_ts.n = t->remote_ts.n = 0; /* the next session's are news again */
    if (was)
        ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_DROP, 0, false);
    ep_settle(t, now);
    t->dying = false;
}

static void client_remove(struct tunnel *t, dt_time now, bool polite)
{
    struct dt_endpoint *ep = t->ep;
    ep_client_end(t, now, polite);
    for (unsigned i = 0; i < 2; i++)
        ep_conf_retire(ep, t->c->conf[i], now);
    ep->nclients--;
    if (ep->ops.tunnel)
        ep->ops.tunnel(ep->user, now, t->id, true);
    ep_event(ep, t, now, DT_EVENT_TUNNEL_GONE, "the tunnel is taken out");
    ep_tunnel_free(t);
}

void dt_endpoint_free(struct dt_endpoint *ep)
{
    if (!ep)
        return;
    dt_time now = ep->now;
    ep->ops.event = ep->ops.trace = NULL;
    dt_list_for_each_safe (n, &ep->tunnels) {
        struct tunnel *t = DT_CONTAINER_OF(n, struct tunnel, list);
        while (!dt_list_empty(&t->links))
            ep_link_close(DT_CONTAINER_OF(t->links.next, struct link, node), now, false);
        if (t->is_client)
            client_remove(t, now, false);
        else
            ep_server_free(t, now, "");
    }
    while (!dt_list_empty(&ep->gateways))
        ep_server_gateway_remove(DT_CONTAINER_OF(ep->gateways.next, struct gateway, list), now);
    dt_ike_free(ep->ike);
    while (!dt_list_empty(&ep->closing))
        ep_link_free(ep, DT_CONTAINER_OF(ep->closing.next, struct link, node));
    dt_list_for_each_safe (n, &ep->networks) {
        struct network *w = DT_CONTAINER_OF(n, struct network, list);
        ep_free(ep, w, sizeof(*w));
    }
    ep_conf_sweep(ep, DT_NEVER);
    ep_tunnels_bury(ep);
    free(ep->untold.v);
    dt_table_free(&ep->tunnel_table);
    dt_table_free(&ep->peer_table);
    dt_table_free(&ep->sa_table);
    dt_table_free(&ep->insides);
    dt_heap_free(&ep->heap);
    dt_wipe(&ep->key, sizeof(ep->key));
    free(ep);
}

void dt_endpoint_shutdown(struct dt_endpoint *ep, dt_time now)
{
    EP_CALL(ep, now);
    while (!dt_list_empty(&ep->gateways))
        ep_server_gateway_remove(DT_CONTAINER_OF(ep->gateways.next, struct gateway, list), now);
    dt_list_for_each_safe (n, &ep->tunnels) {
        ep_client_end(DT_CONTAINER_OF(n, struct tunnel, list), now, true);
        ep_events_tell(ep);
    }
}

bool dt_endpoint_idle(const struct dt_endpoint *ep)
{
    return ep->nlinks == 0;
}

/* ---- the client's tunnels ---- */

uint32_t dt_endpoint_tunnel_add(struct dt_endpoint *ep, dt_time now, const struct dt_tunnel_cfg *cfg,
                                struct dt_err *err)
{
    if (dt_endpoint_tunnel_check(cfg, err))
        return 0;
    if (ep->nclients >= ep->limits.tunnels_max) {
        ep->count.full++;
        dt_err_set(err, 0, "%s: there are %u tunnels already, and tunnels_max is %u", cfg->name, ep->nclients,
                   ep->limits.tunnels_max);
        return 0;
    }
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel_new(ep, true, cfg->name);
    if (!t) {
        dt_err_set(err, 0, "%s: no memory", cfg->name);
        return 0;
    }
    struct client *c = t->c;
    c->cfg = *cfg;
    dt_ike_proofs_ref(&c->cfg.proofs);
    c->cfg.params = ep_conf_params(cfg);
    c->race.at = DT_NEVER;
    dt_epoch_client_init(&c->e, &c->cfg.params, &ep_client_ops, t, ep->rand);
    ep->nclients++;
    ep_event(ep, t, now, DT_EVENT_TUNNEL_ADDED, "the tunnel is configured");
    return t->id;
}

static struct tunnel *client_of(struct dt_endpoint *ep, uint32_t id)
{
    struct tunnel *t = ep_tunnel(ep, id);
    return t && t->is_client ? t : NULL;
}

void dt_endpoint_tunnel_remove(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = client_of(ep, tunnel);
    if (t)
        client_remove(t, now, true);
}

void dt_endpoint_up(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = client_of(ep, tunnel);
    if (!t)
        return;
    if (t->c->e.started && t->c->lost)
        return;
    if (!t->c->e.started)
        ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_HOLD, 0, false);
    dt_epoch_client_start(&t->c->e, now);
    ep_settle(t, now);
}

void dt_endpoint_down(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (t && t->is_client)
        ep_client_end(t, now, true);
    else if (t)
        ep_server_free(t, now, "closed here");
}

bool dt_endpoint_closing(const struct dt_endpoint *ep, const struct dt_addr *peer)
{
    dt_list_for_each (n, &ep->closing) {
        const struct link *l = DT_CONTAINER_OF(n, struct link, node);
        if (l->s && dt_addr_eq(&dt_ike_session_path(l->s)->remote.addr, peer))
            return true;
    }
    return false;
}

void dt_endpoint_rekey(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (!t)
        return;
    if (t->is_client)
        dt_epoch_client_rekey(&t->c->e, now);
    else
        dt_epoch_server_rekey(&t->s->e, now);
    ep_settle(t, now);
}

void dt_endpoint_rekey_ike(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (!t || dt_list_empty(&t->links))
        return;
    struct link *l = t->is_client ? t->c->link : DT_CONTAINER_OF(t->links.prev, struct link, node);
    if (l && l->up)
        dt_ike_session_rekey(l->s, now);
}

void dt_endpoint_ping(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (!t)
        return;
    if (t->is_client)
        dt_epoch_client_ping(&t->c->e, now);
    else
        ep_server_ping(t, now);
    ep_settle(t, now);
}

/* ---- inputs ---- */

void dt_endpoint_ike_input(struct dt_endpoint *ep, dt_time now, const struct dt_path *path, uint8_t *data,
                           size_t len)
{
    EP_CALL(ep, now);
    dt_ike_input(ep->ike, now, path, data, len);
}

void dt_endpoint_work_done(struct dt_endpoint *ep, dt_time now, struct dt_ike_work *w)
{
    EP_CALL(ep, now);
    dt_ike_work_done(w, now);
}

static struct sa *live_sa(struct dt_endpoint *ep, uint64_t id, uint64_t *unknown)
{
    struct sa *sa = ep_sa_find(ep, id);
    if (!sa || sa->linger) {
        (*unknown)++;
        return NULL;
    }
    return sa;
}

void dt_endpoint_heard(struct dt_endpoint *ep, dt_time now, uint64_t id)
{
    EP_CALL(ep, now);
    struct sa *sa = live_sa(ep, id, &ep->count.heard_unknown);
    if (!sa)
        return;
    if (!sa->t->is_client) {
        ep_server_heard(sa, now);
        return;
    }
    dt_epoch_client_heard(&sa->t->c->e, now, sa->epoch);
    ep_settle(sa->t, now);
}

void dt_endpoint_probe_reply(struct dt_endpoint *ep, dt_time now, uint64_t id, uint16_t ident, uint16_t seq)
{
    EP_CALL(ep, now);
    struct sa *sa = live_sa(ep, id, &ep->count.reply_unknown);
    if (!sa)
        return;
    struct tunnel *t = sa->t;
    if (!t->is_client) {
        ep_server_ping_reply(t, now, sa->epoch, ident, seq);
        return;
    }
    if (ident == t->probe_ident && seq == t->probe_seq)
        t->rtt = dt_time_sub(now, t->probed_at);
    dt_epoch_client_probe_reply(&t->c->e, now, sa->epoch, ident, seq);
    ep_settle(t, now);
}

void dt_endpoint_soft_limit(struct dt_endpoint *ep, dt_time now, uint64_t id)
{
    EP_CALL(ep, now);
    struct sa *sa = live_sa(ep, id, &ep->count.heard_unknown);
    if (!sa || sa->soft)
        return;
    struct tunnel *t = sa->t;
    sa->soft = true;
    if (t->is_client)
        dt_epoch_client_rekey(&t->c->e, now);
    else
        dt_epoch_server_rekey(&t->s->e, now);
    ep_settle(t, now);
}

void dt_endpoint_hard_limit(struct dt_endpoint *ep, dt_time now, uint64_t id)
{
    EP_CALL(ep, now);
    struct sa *sa = live_sa(ep, id, &ep->count.heard_unknown);
    if (!sa || sa->hard)
        return;
    struct tunnel *t = sa->t;
    sa->soft = sa->hard = true;
    ep_event(ep, t, now, DT_EVENT_LIMIT, "epoch %u has no sequence number left: it sends nothing more",
             sa->epoch);
    if (t->is_client)
        dt_epoch_client_exhausted(&t->c->e, now, sa->epoch);
    else
        dt_epoch_server_exhausted(&t->s->e, now, sa->epoch);
    ep_settle(t, now);
}

void dt_endpoint_unknown_spi(struct dt_endpoint *ep, dt_time now, uint32_t spi, const struct dt_addr *from)
{
    EP_CALL(ep, now);
    char a[DT_ADDR_STRLEN];
    ep->count.unknown_spi++;
    if (now < ep->unknown_told)
        return;
    ep->unknown_told = dt_time_add(now, DT_SEC);
    ep_event(ep, NULL, now, DT_EVENT_UNKNOWN_SPI,
             "ESP from %s with SPI %08x, which is nobody's here (%llu so far)", dt_addr_str(a, from), spi,
             (unsigned long long)ep->count.unknown_spi);
}

void dt_endpoint_peer_moved(struct dt_endpoint *ep, dt_time now, uint64_t id, const struct dt_addrport *from)
{
    EP_CALL(ep, now);
    struct sa *sa = live_sa(ep, id, &ep->count.heard_unknown);
    if (!sa || sa->t->is_client || !sa->link || !sa->link->s)
        return; /* a client knows where its gateway is */
    struct link *l = sa->link;
    struct dt_path path = *dt_ike_session_path(l->s);
    path.remote.addr = from->addr;
    if (sa->path.natt)
        path.remote.port = from->port;
    if (dt_path_eq(&path, dt_ike_session_path(l->s)) && dt_addr_eq(&sa->path.remote.addr, &from->addr))
        return;
    dt_ike_session_set_path(l->s, now, &path);
    ep_sa_move(l, now, &path);
}

void dt_endpoint_network_changed(struct dt_endpoint *ep, dt_time now)
{
    EP_CALL(ep, now);
    dt_list_for_each (n, &ep->tunnels) {
        struct tunnel *t = DT_CONTAINER_OF(n, struct tunnel, list);
        if (!t->is_client || !t->c->e.started)
            continue;
        struct client *c = t->c;
        if (!c->link) { /* it waits: perhaps there is a way now */
            dt_epoch_client_start(&c->e, now);
        } else if (c->cfg.nlocals == 0 && ep->ops.local_addr) {
            const struct dt_path *path = dt_ike_session_path(c->link->s);
            struct dt_addr local = {0};
            if (ep->ops.local_addr(ep->user, t->id, &path->remote.addr, &local) &&
                dt_addr_eq(&local, &path->local.addr))
                continue;
            c->keep_place = true;
            ep_event(ep, t, now, DT_EVENT_PATH, "the local address towards the gateway has changed");
            dt_epoch_client_reopen(&c->e, now, false);
        }
        ep_settle(t, now);
        ep_events_tell(ep);
    }
}

static void timer_due(struct timer *timer, dt_time now)
{
    if (timer->kind == TIMER_SA) {
        ep_sa_remove(DT_CONTAINER_OF(timer, struct sa, timer), now);
    } else if (timer->kind == TIMER_LINK) {
        ep_link_due(DT_CONTAINER_OF(timer, struct link, timer), now);
    } else {
        struct tunnel *t = DT_CONTAINER_OF(timer, struct tunnel, timer);
        if (t->is_client)
            ep_client_due(t, now);
        else
            ep_server_due(t, now);
    }
}

void dt_endpoint_tick(struct dt_endpoint *ep, dt_time now)
{
    EP_CALL(ep, now);
    struct dt_timer *timer;
    if (dt_ike_deadline(ep->ike) <= now)
        dt_ike_tick(ep->ike, now);
    ep_events_tell(ep);
    ep_conf_sweep(ep, now);
    /* A timer that sets itself to now again waits for the next tick, so that this ends. */
    size_t most = ep->heap.count + 1;
    while (most-- && (timer = dt_heap_pop_due(&ep->heap, now))) {
        timer_due(DT_CONTAINER_OF(timer, struct timer, t), now);
        ep_events_tell(ep);
    }
}

dt_time dt_endpoint_deadline(const struct dt_endpoint *ep)
{
    return dt_time_min(dt_ike_deadline(ep->ike), dt_heap_deadline(&ep->heap));
}

const struct dt_ike *dt_endpoint_ike(const struct dt_endpoint *ep)
{
    return ep->ike;
}
