/* What the host knows, for status, metrics, the explorer. */
#include "endpoint/inside.h"

#include <stdio.h>
#include <string.h>

uint32_t dt_endpoint_tunnel_next(const struct dt_endpoint *ep, uint32_t prev)
{
    const struct tunnel *t = prev ? ep_tunnel(ep, prev) : NULL;
    if (t)
        return t->list.next == &ep->tunnels ? 0 : DT_CONTAINER_OF(t->list.next, struct tunnel, list)->id;
    dt_list_for_each (n, &ep->tunnels) {
        t = DT_CONTAINER_OF(n, struct tunnel, list);
        if (t->id > prev)
            return t->id;
    }
    return 0;
}

uint32_t dt_endpoint_tunnel_gateway(const struct dt_endpoint *ep, uint32_t tunnel)
{
    const struct tunnel *t = ep_tunnel(ep, tunnel);
    return t && !t->is_client ? t->s->gateway->id : 0;
}

uint32_t dt_endpoint_client(const struct dt_endpoint *ep, uint32_t gateway, const struct dt_ike_id *peer)
{
    const struct gateway *g = ep_server_gateway(ep, gateway);
    const struct tunnel *t = g ? ep_server_client(ep, g, peer) : NULL;
    return t ? t->id : 0;
}

uint32_t dt_endpoint_tunnel_by_name(const struct dt_endpoint *ep, const char *name)
{
    dt_list_for_each (n, &ep->tunnels) {
        const struct tunnel *t = DT_CONTAINER_OF(n, struct tunnel, list);
        if (t->is_client && strcmp(t->name, name) == 0)
            return t->id;
    }
    return 0;
}

const char *dt_tunnel_state_str(enum dt_tunnel_state s, bool client)
{
    switch (s) {
    case DT_TUNNEL_DOWN:
        return "down";
    case DT_TUNNEL_WAITING:
        return "waiting to try again";
    case DT_TUNNEL_OPENING:
        return "opening a session";
    case DT_TUNNEL_NEGOTIATING:
        return "negotiating";
    case DT_TUNNEL_HOLDING:
        return "holding";
    case DT_TUNNEL_PROBING:
        return client ? "probing" : "not heard yet";
    case DT_TUNNEL_UNPROVED:
        return "unproved";
    case DT_TUNNEL_UP:
        return "up";
    case DT_TUNNEL_PINGING:
        return "pinging";
    }
    return "?";
}

const char *dt_unproved_str(enum dt_unproved why)
{
    switch (why) {
    case DT_UNPROVED_NOT:
        return "";
    case DT_UNPROVED_OFF:
        return "probe = off, so no control packet asks whether it arrives";
    case DT_UNPROVED_SELECTORS:
        return "the peer is no Dovetail, and the traffic selectors carry no echo that could ask whether it "
               "arrives";
    case DT_UNPROVED_UNHEARD:
        return "the client has not been heard on this epoch";
    }
    return "";
}

enum dt_unproved ep_client_unproved(const struct client *c)
{
    if (!dt_epoch_client_unproved(&c->e))
        return DT_UNPROVED_NOT;
    return c->unprobed ? DT_UNPROVED_SELECTORS : DT_UNPROVED_OFF;
}

static enum dt_tunnel_state client_state(const struct client *c)
{
    const struct dt_epoch_client *e = &c->e;
    bool probing = false, pinging = false;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        probing |= e->e[i].phase == DT_EPOCH_PROBING;
        pinging |= e->e[i].phase == DT_EPOCH_PROVED && e->e[i].idle && !e->e[i].dead;
    }
    if (!e->started)
        return DT_TUNNEL_DOWN;
    if (c->verified)
        return pinging ? DT_TUNNEL_PINGING : DT_TUNNEL_UP;
    if (c->up)
        return DT_TUNNEL_UNPROVED;
    if (e->session == DT_EPOCH_NO_SESSION)
        return DT_TUNNEL_WAITING;
    if (e->session == DT_EPOCH_OPENING)
        return DT_TUNNEL_OPENING;
    if (probing)
        return DT_TUNNEL_PROBING;
    return e->negotiating ? DT_TUNNEL_NEGOTIATING : DT_TUNNEL_HOLDING;
}

/* Was the client heard on the epoch that carries data to it? */
static bool server_heard(const struct server *s)
{
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (s->e.e[i].phase != DT_EPOCH_FREE && s->e.e[i].no == s->e.out)
            return s->e.out != 0 && s->e.e[i].was_proved;
    return false;
}

static void epochs(const struct tunnel *t, struct dt_tunnel_info *out)
{
    const struct dt_epoch *e = t->is_client ? t->c->e.e : t->s->e.e;
    const struct dt_epoch_params *p = t->is_client ? &t->c->e.p : &t->s->e.p;
    uint32_t last = 0;
    for (;;) {
        const struct dt_epoch *next = NULL;
        for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
            if (e[i].phase != DT_EPOCH_FREE && e[i].no > last && (!next || e[i].no < next->no))
                next = &e[i];
        if (!next)
            return;
        last = next->no;
        struct dt_epoch_info *i = &out->epochs[out->nepochs++];
        const struct sa *sa = ep_sa_of_epoch(t, next->no);
        *i = (struct dt_epoch_info){.epoch = next->no,
                                    .phase = next->phase,
                                    .verified = t->is_client ? next->verified : next->was_proved,
                                    .carries = next->no == out->epoch,
                                    .since = next->t0,
                                    .until = dt_time_add(next->t0, p->keylife),
                                    .heard = next->was_proved ? next->heard : 0};
        if (sa) {
            dt_time heard = ep_sa_last_heard(sa);
            i->sa = sa->id;
            i->spi_in = sa->spi_in;
            i->spi_out = sa->spi_out;
            i->path = sa->path;
            if (heard > i->heard)
                i->heard = heard;
        }
        if (i->heard > out->heard)
            out->heard = i->heard;
    }
}

static void info_proof(const struct link *l, struct dt_tunnel_info *out)
{
    struct dt_ike_session_info info;
    if (!l->up || !l->s)
        return;
    dt_ike_session_info(l->s, &info);
    out->own_method = info.own_method;
    out->peer_method = info.peer_method;
    if (info.peer_cert)
        snprintf(out->peer_cert, sizeof(out->peer_cert), "%s", info.peer_cert);
    out->peer_cert_until = info.peer_cert_until;
}

bool dt_endpoint_tunnel_info(const struct dt_endpoint *ep, uint32_t tunnel, struct dt_tunnel_info *out)
{
    const struct tunnel *t = ep_tunnel(ep, tunnel);
    if (!t)
        return false;
    memset(out, 0, sizeof(*out));
    out->tunnel = t->id;
    out->client = t->is_client;
    if (!t->is_client || t->c->e.started) /* a lease is no more when its tunnel is down */
        out->inside = t->inside;
    out->local_ts = t->local_ts;
    out->remote_ts = t->remote_ts;
    out->path = t->path;
    out->natt = t->path.natt;
    out->answer4 = t->answer4;
    out->answer6 = t->answer6;
    out->rtt = t->rtt;
    out->elsewhere = t->elsewhere;
    out->elsewhere_at = t->elsewhere_at;
    const struct link *l = NULL;
    if (t->is_client) {
        const struct client *c = t->c;
        snprintf(out->name, sizeof(out->name), "%s", c->cfg.name);
        out->state = client_state(c);
        out->unproved = ep_client_unproved(c);
        out->started = c->e.started;
        out->up = c->up;
        out->verified = c->verified;
        out->epoch = c->e.out;
        out->stats = c->e.stats;
        out->local_id = c->cfg.local_id;
        out->remote_id = c->cfg.remote_id;
        l = c->link;
    } else {
        const struct server *s = t->s;
        snprintf(out->name, sizeof(out->name), "%s", s->gateway->cfg.name);
        out->verified = server_heard(s);
        out->state = out->verified ? DT_TUNNEL_UP : s->up ? DT_TUNNEL_UNPROVED : DT_TUNNEL_PROBING;
        out->unproved = s->up && !out->verified ? DT_UNPROVED_UNHEARD : DT_UNPROVED_NOT;
        out->gateway = s->gateway->id;
        out->started = true;
        out->up = s->up;
        out->epoch = s->e.out;
        out->stats = s->e.stats;
        out->local_id = s->gateway->cfg.identity;
        out->remote_id = s->peer;
        out->owner = s->owner;
        if (!dt_list_empty(&t->links))
            l = DT_CONTAINER_OF(t->links.prev, struct link, node);
    }
    if (l) {
        out->peer_is_dovetail = l->peer_probes;
        if (l->up && dt_ike_session_remote_id(l->s))
            out->remote_id = *dt_ike_session_remote_id(l->s);
        info_proof(l, out);
    }
    if (!out->up)
        snprintf(out->why, sizeof(out->why), "%s", t->why);
    epochs(t, out);
    const struct sa *sa = ep_sa_of_epoch(t, out->epoch ? out->epoch : t->next_epoch);
    if (sa) {
        out->probe_kind = sa->kind;
        out->probe_dst = sa->probe_dst;
    }
    return true;
}

void dt_endpoint_counters(const struct dt_endpoint *ep, struct dt_endpoint_counters *out)
{
    *out = ep->count;
    out->sessions = ep->nlinks;
}

size_t dt_endpoint_memory(const struct dt_endpoint *ep)
{
    return sizeof(*ep) + ep->bytes + ep->heap.cap * sizeof(void *) +
           (ep->tunnel_table.nbucket + ep->peer_table.nbucket + ep->sa_table.nbucket) * sizeof(void *);
}

static void digest_time(struct dt_digest *d, dt_time t, dt_time now)
{
    dt_digest_u64(d, t == DT_NEVER ? DT_NEVER : dt_time_sub(t, now));
}

static void digest_tunnel(const struct tunnel *t, dt_time now, struct dt_digest *d)
{
    dt_digest_u64(d, t->is_client);
    if (t->is_client) {
        const struct client *c = t->c;
        dt_epoch_client_digest(&c->e, now, d);
        dt_digest_u64(d, (uint64_t)c->place << 8 | (uint64_t)c->race.stage << 4 |
                             (uint64_t)c->race.done << 3 | (uint64_t)c->race.suspect << 2 |
                             (uint64_t)c->contacted << 1 | c->keep_place | (uint64_t)c->lost << 40);
        dt_digest_u64(d, c->unprobed);
        digest_time(d, c->race.at, now);
        digest_time(d, c->suspected, now);
    } else {
        dt_epoch_server_digest(&t->s->e, now, d);
        dt_digest_u64(d, t->s->leased);
        digest_time(d, t->s->orphan_at, now);
    }
    dt_list_for_each (n, &t->links) {
        const struct link *l = DT_CONTAINER_OF(n, struct link, node);
        dt_digest_u64(d, (uint64_t)l->up | (uint64_t)l->udp << 1 | (uint64_t)l->peer_probes << 8 |
                             (uint64_t)l->spoke << 3 | (uint64_t)(l->asked != NULL) << 4 |
                             (uint64_t)(t->is_client && t->c->link == l) << 5 | (uint64_t)l->overtaken << 6 |
                             (uint64_t)(t->is_client && t->c->parting == l) << 7 |
                             (uint64_t)l->has_place << 8 | (uint64_t)l->yields << 9);
        digest_time(d, l->timer.t.slot ? l->timer.t.at : DT_NEVER, now);
    }
    dt_digest_u64(d, 0x5a);
    dt_list_for_each (n, &t->sas) {
        const struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        dt_digest_u64(d, (uint64_t)(t->next_epoch - sa->epoch) << 8 | (uint64_t)sa->hard << 5 |
                             (uint64_t)sa->soft << 4 | (uint64_t)sa->closed << 3 | (uint64_t)sa->linger << 2 |
                             (uint64_t)(sa->child != NULL) << 1 | (sa->link != NULL));
        digest_time(d, sa->timer.t.slot ? sa->timer.t.at : DT_NEVER, now);
    }
    dt_digest_u64(d, 0x7e);
}

void dt_endpoint_digest(const struct dt_endpoint *ep, dt_time now, struct dt_digest *d)
{
    dt_list_for_each (n, &ep->tunnels) {
        digest_tunnel(DT_CONTAINER_OF(n, struct tunnel, list), now, d);
    }
    dt_digest_u64(d, ep->count.gateways);
    dt_digest_u64(d, ep->nlinks);
    dt_ike_digest(ep->ike, now, d);
}
