/* What IKE asks and reports, handed to the tunnel that it is about. The owner of a session is its link; a responder's
 * session has none until its peer is authenticated; a link without a tunnel is closing. */
#include "endpoint/inside.h"

#include <string.h>

static struct link *owner(struct dt_ike_session *s)
{
    struct link *l = dt_ike_session_owner(s);
    return l && l->t ? l : NULL;
}

static void op_send(void *ctx, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags)
{
    struct dt_endpoint *ep = ctx;
    ep->ops.send_ike(ep->user, path, data, len, flags);
}

static int op_psk(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *local,
                  const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    struct dt_endpoint *ep = ctx;
    if (!ep->ops.psk)
        return -1;
    if (dt_ike_session_initiator(s)) {
        const struct link *l = owner(s);
        return l ? ep->ops.psk(ep->user, l->t->id, 0, local, remote, key) : -1;
    }
    const struct dt_ike_cfg *cfg = dt_ike_session_cfg(s);
    const struct conf *c = cfg ? DT_CONTAINER_OF(cfg, struct conf, ike) : NULL;
    return c && c->gateway ? ep->ops.psk(ep->user, 0, c->gateway->id, local, remote, key) : -1;
}

static int64_t op_wall(void *ctx)
{
    struct dt_endpoint *ep = ctx;
    return ep->ops.wall(ep->user);
}

static void op_may_prove(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *peer,
                         struct dt_ike_may *may)
{
    struct dt_endpoint *ep = ctx;
    const struct dt_ike_cfg *cfg = dt_ike_session_cfg(s);
    const struct conf *c = cfg ? DT_CONTAINER_OF(cfg, struct conf, ike) : NULL;
    if (ep->ops.may_prove && c && c->gateway)
        ep->ops.may_prove(ep->user, c->gateway->id, peer, may);
}

static const struct dt_ike_cfg *op_lookup(void *ctx, const struct dt_path *path, unsigned n)
{
    struct gateway *g = ep_server_nth_offer(ctx, path, n);
    return g ? &g->conf->ike : NULL;
}

static const struct dt_ike_cfg *op_authorize(void *ctx, struct dt_ike_session *s,
                                             const struct dt_ike_id *peer, const struct dt_ike_id *me,
                                             struct dt_err *err)
{
    struct gateway *g = ep_server_of_path(ctx, dt_ike_session_path(s), me, peer);
    if (g)
        return &g->conf->ike;
    char p[DT_IKE_ID_STRLEN], m[DT_IKE_ID_STRLEN], h[DT_IKE_ID_STRLEN];
    struct gateway *asked = ep_server_of_path(ctx, dt_ike_session_path(s), me, NULL);
    struct gateway *here = ep_server_of_path(ctx, dt_ike_session_path(s), NULL, NULL);
    if (asked)
        dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "%.80s is not among the peers that %.80s serves: %.80s",
                   dt_ike_id_str(p, peer), dt_ike_id_str(h, &asked->cfg.identity),
                   dt_ike_id_str(m, &asked->cfg.peers));
    else
        dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "%.80s asks for %.80s; here is %.60s",
                   dt_ike_id_str(p, peer), me ? dt_ike_id_str(m, me) : "anybody",
                   here ? dt_ike_id_str(h, &here->cfg.identity) : "nobody");
    return NULL;
}

static bool given(const struct dt_addr *want, const struct dt_addr *has)
{
    return want->ver == 0 || has->ver != 0;
}

static int op_lease(void *ctx, struct dt_ike_session *s, const struct dt_ike_inside *want,
                    struct dt_ike_inside *give, struct dt_err *err)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = ep_server_adopt(ep, ep->now, s, err);
    if (!l || !l->t)
        return -1;
    struct tunnel *t = l->t;
    struct server *srv = t->s;
    if (srv->leased && given(&want->addr4, &t->inside.addr4) && given(&want->addr6, &t->inside.addr6)) {
        *give = t->inside; /* the same client again */
        return 0;
    }
    if (!ep->ops.lease)
        return dt_err_set(err, 0, "there are no inside addresses to lease");
    if (ep->ops.lease(ep->user, ep->now, srv->gateway->id, &srv->peer, want, give, err))
        return -1;
    char a4[DT_ADDR_STRLEN], a6[DT_ADDR_STRLEN];
    t->inside = *give;
    srv->leased = true;
    ep_event(ep, t, ep->now, DT_EVENT_LEASED, "leased to the client: %s, %s", dt_addr_str(a4, &give->addr4),
             dt_addr_str(a6, &give->addr6));
    return 0;
}

static void op_networks(void *ctx, struct dt_ike_session *s, struct dt_selectors *out)
{
    const struct conf *c = DT_CONTAINER_OF(dt_ike_session_cfg(s), struct conf, ike);
    if (c->gateway)
        ep_authority_ask(ctx, c->gateway, dt_ike_session_remote_id(s), out, NULL);
}

static int op_child_admit(void *ctx, struct dt_ike_session *s, const struct dt_child_sa *sa,
                          struct dt_err *err)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = dt_ike_session_initiator(s) ? owner(s) : ep_server_adopt(ep, ep->now, s, err);
    if (!l || !l->t) {
        if (!err->text[0])
            dt_err_set(err, 0, "the tunnel is closed");
        err->notify = err->notify ? err->notify : DT_N_NO_ADDITIONAL_SAS;
        return -1;
    }
    return ep_authority_admit(l->t, l, ep->now, sa, err);
}

static void op_notify_in(void *ctx, struct dt_ike_session *s, const struct dt_ike_notify *n)
{
    struct dt_endpoint *ep = ctx;
    struct dt_err err;
    bool probes =
        n->type == DT_NOTIFY_PROBE && n->len >= 1 && n->data[0] != 0 && n->data[0] <= ep->limits.probe_rule;
    bool place = n->type == DT_N_DOVETAIL_PLACE && !dt_ike_session_initiator(s);
    if (!probes && !place)
        return;
    uint8_t newest = n->len > 1 && n->data[1] > n->data[0] ? n->data[1] : n->data[0];
    struct link *l = dt_ike_session_initiator(s) ? owner(s) : ep_server_adopt(ep, ep->now, s, &err);
    if (l && probes)
        l->peer_probes = newest < ep->limits.probe_rule ? newest : ep->limits.probe_rule;
    if (l && place)
        ep_place_says(l, n);
}

static bool op_replaces(void *ctx, struct dt_ike_session *s, struct dt_ike_session *old)
{
    return ep_place_replaces(owner(s), owner(old));
}

static void op_alive(void *ctx, struct dt_ike_session *s)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (l && !l->t->is_client)
        ep_place_alive(l, ep->now);
}

static size_t op_notify_out(void *ctx, struct dt_ike_session *s, struct dt_ike_notify *v, size_t cap)
{
    struct dt_endpoint *ep = ctx;
    struct dt_err err;
    size_t n = 0;
    struct link *l = dt_ike_session_initiator(s) ? owner(s) : ep_server_adopt(ep, ep->now, s, &err);
    if (!l || !l->t)
        return 0;
    if (n < cap && ep_answers_probes(l->t))
        v[n++] = (struct dt_ike_notify){
            .type = DT_NOTIFY_PROBE, .len = 2, .data = {DT_PROBE_RULE_ADDRESS, ep->limits.probe_rule}};
    if (n < cap && l->t->is_client && l->s)
        n += ep_place_tell(l, &v[n]);
    return n;
}

static void op_session_up(void *ctx, struct dt_ike_session *s)
{
    struct dt_endpoint *ep = ctx;
    struct dt_err err = {0};
    if (dt_ike_session_initiator(s)) {
        struct link *l = owner(s);
        if (l)
            ep_client_session_up(l, ep->now);
        return;
    }
    struct link *l = ep_server_adopt(ep, ep->now, s, &err);
    if (!l) {
        dt_ike_close(s, ep->now, false);
        return;
    }
    if (!l->t)
        return;
    char at[DT_ADDRPORT_STRLEN];
    l->up = true;
    l->t->path = *dt_ike_session_path(s);
    l->udp = l->t->path.natt;
    ep_event(ep, l->t, ep->now, DT_EVENT_SESSION_UP, "a session from %s is up%s",
             dt_addrport_str(at, &l->t->path.remote), l->udp ? ", for ESP in UDP" : "");
    ep_settle(l->t, ep->now);
}

static void op_session_down(void *ctx, struct dt_ike_session *s, const struct dt_err *why)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = dt_ike_session_owner(s);
    if (!l)
        return;
    const struct ended how = {.was_up = l->up, .silence = dt_ike_session_unanswered(s), .why = why};
    l->s = NULL;
    l->up = false;
    if (!l->t)
        ep_link_free(ep, l);
    else if (l->t->is_client)
        ep_client_session_down(l, ep->now, &how);
    else
        ep_server_session_down(l, ep->now, why);
}

static void op_proof_lost(void *ctx, struct dt_ike_session *s, const struct dt_err *why)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (l)
        ep_proof_lost(l, ep->now, why);
}

static void op_session_rekeyed(void *ctx, struct dt_ike_session *s)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (l)
        ep_event(ep, l->t, ep->now, DT_EVENT_SESSION_REKEYED, "the IKE SA has new keys");
}

static void op_path_changed(void *ctx, struct dt_ike_session *s, const struct dt_path *path)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (!l)
        return;
    char at[DT_ADDRPORT_STRLEN];
    if (l->up)
        ep_event(ep, l->t, ep->now, DT_EVENT_PATH, "the peer is at %s now%s",
                 dt_addrport_str(at, &path->remote), path->natt ? ", in UDP" : "");
    ep_sa_move(l, ep->now, path);
}

static void op_child_deleted(void *ctx, struct dt_ike_session *s, uint32_t spi_in)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (!l)
        return;
    struct tunnel *t = l->t;
    dt_list_for_each (n, &t->sas) {
        const struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->link != l || sa->spi_in != spi_in || sa->linger)
            continue;
        if (t->is_client)
            dt_epoch_client_deleted(&t->c->e, ep->now, sa->epoch);
        else
            dt_epoch_server_deleted(&t->s->e, ep->now, sa->epoch);
        ep_settle(t, ep->now);
        return;
    }
}

/* An unproved hint ends nothing. When an answer is being waited for, it is reason enough to try a new session
 * beside the old one, at most once every `timeout`. */
static void op_suspect(void *ctx, struct dt_ike_session *s, const struct dt_err *hint)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (!l)
        return;
    struct tunnel *t = l->t;
    ep_event(ep, t, ep->now, DT_EVENT_SUSPECT, "without proof, the peer says that it forgot the session: %s",
             hint ? hint->text : "");
    if (!t->is_client)
        return;
    struct client *c = t->c;
    if (l != c->link || c->race.beside || !l->up || !c->e.negotiating || ep->now < c->suspected)
        return;
    c->suspected = dt_time_add(ep->now, c->e.p.timeout);
    if (ep_client_open(t, ep->now, l->udp, true)) {
        c->race.suspect = true;
        c->race.since = ep->now;
    }
    ep_settle(t, ep->now);
}

static void op_child_up(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c,
                        const struct dt_child_sa *sa)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (!l)
        return;
    if (l->t->is_client)
        ep_client_child_up(l, ep->now, c, sa);
    else
        ep_server_child_up(l, ep->now, c, sa);
}

static void op_child_failed(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c,
                            const struct dt_err *err)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (!l)
        return;
    if (l->t->is_client) {
        ep_client_child_failed(l, ep->now, c, err);
        return;
    }
    if (l->asked == c)
        l->asked = NULL;
    dt_epoch_server_failed(&l->t->s->e, ep->now);
    ep_settle(l->t, ep->now);
}

static void op_child_down(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c, enum dt_ike_down why)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    struct sa *sa = l ? ep_sa_of_child(l->t, c) : NULL;
    if (!sa)
        return; /* our own doing, or never installed */
    if (l->t->is_client)
        ep_client_child_down(l, ep->now, sa, why);
    else
        ep_server_child_down(l, ep->now, sa, why);
}

static void op_child_redundant(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    const struct sa *sa = l ? ep_sa_of_child(l->t, c) : NULL;
    if (!sa)
        return;
    if (l->t->is_client)
        dt_epoch_client_retire(&l->t->c->e, ep->now, sa->epoch, false);
    else
        dt_epoch_server_retire(&l->t->s->e, ep->now, sa->epoch, false);
    ep_settle(l->t, ep->now);
}

static bool op_child_ask(void *ctx, struct dt_ike_session *s, struct dt_ike_child *old)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = owner(s);
    if (!l)
        return false;
    if (!l->t->is_client)
        return true;
    if (!old)
        return false;
    /* A Dovetail that probes need not rekey, since we do. Whoever else rekeys by time would let its SA expire. */
    if (!l->peer_probes && !l->t->c->cfg.server_rekey_decline)
        return true;
    bool yes = dt_epoch_client_peer_rekey(&l->t->c->e, ep->now);
    ep_settle(l->t, ep->now);
    return yes;
}

static void op_ike_event(void *ctx, struct dt_ike_session *s, enum dt_ike_event what,
                         const struct dt_path *path, const struct dt_err *err)
{
    struct dt_endpoint *ep = ctx;
    struct link *l = s ? owner(s) : NULL;
    if (what == DT_IKE_EV_RETRANSMIT)
        return; /* counted by IKE; too many for people */
    if (l && what == DT_IKE_EV_PEER_REFUSED)
        ep_why(l->t, err);
    if (what == DT_IKE_EV_REFUSED && path && err) {
        ep_turned_away(ep, l ? l->t : NULL, ep->now, &path->remote, err->text);
        return;
    }
    ep_ike_event(ep, l ? l->t : NULL, ep->now, what, path ? &path->remote : NULL, err ? err->text : "");
}

static void op_work(void *ctx, struct dt_ike_work *w)
{
    struct dt_endpoint *ep = ctx;
    ep->ops.work(ep->user, w);
}

static void op_keylog(void *ctx, const char *line)
{
    struct dt_endpoint *ep = ctx;
    if (ep->ops.keylog)
        ep->ops.keylog(ep->user, line);
}

const struct dt_ike_ops ep_ike_ops = {
    .send = op_send,
    .psk = op_psk,
    .wall = op_wall,
    .may_prove = op_may_prove,
    .lookup = op_lookup,
    .authorize = op_authorize,
    .lease = op_lease,
    .networks = op_networks,
    .child_admit = op_child_admit,
    .notify_in = op_notify_in,
    .replaces = op_replaces,
    .alive = op_alive,
    .notify_out = op_notify_out,
    .session_up = op_session_up,
    .session_down = op_session_down,
    .proof_lost = op_proof_lost,
    .session_rekeyed = op_session_rekeyed,
    .path_changed = op_path_changed,
    .suspect = op_suspect,
    .child_up = op_child_up,
    .child_failed = op_child_failed,
    .child_down = op_child_down,
    .child_deleted = op_child_deleted,
    .child_redundant = op_child_redundant,
    .child_ask = op_child_ask,
    .work = op_work,
    .event = op_ike_event,
    .keylog = op_keylog,
};
