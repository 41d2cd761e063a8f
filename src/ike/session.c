/* Sessions: open, close, path, life and death. */
#include "ike/auth_task.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

struct dt_ike_session *ike_session_new(struct dt_ike *ike, bool initiator, const struct dt_path *path)
{
    struct dt_ike_session *s = calloc(1, sizeof(*s));
    struct ike_handshake *hs = calloc(1, sizeof(*hs));
    if (!s || !hs || dt_heap_reserve(&ike->timers, 1)) { /* for keepalive */
        free(s);
        free(hs);
        return NULL;
    }
    s->ike = ike;
    s->id = ike->next_id++;
    s->initiator = initiator;
    s->path = *path;
    s->hs = hs;
    hs->session = s;
    hs->nonce_len = IKE_NONCE_LEN;
    dt_list_init(&hs->place);
    s->up_since = DT_NEVER;
    dt_list_init(&s->kick);
    dt_list_init(&s->sas);
    dt_list_init(&s->children);
    dt_list_init(&s->queue);
    dt_timer_init(&s->keepalive.t);
    s->keepalive.kind = TIMER_KEEPALIVE;
    dt_list_add_tail(&ike->sessions, &s->link);
    ike->nsessions++;
    return s;
}

void ike_handshake_free(struct dt_ike_session *s)
{
    struct ike_handshake *hs = s->hs;
    if (!hs)
        return;
    if (hs->in_table)
        dt_table_remove(&s->ike->by_init, &hs->node);
    dt_dh_free(hs->dh);
    ike_auth_task_free(hs->task);
    ike_bytes_free(&hs->sent);
    ike_bytes_free(&hs->got);
    dt_wipe(hs, sizeof(*hs));
    free(hs);
    s->hs = NULL;
}

void ike_session_end(struct dt_ike_session *s, const struct dt_err *why)
{
    static const struct dt_err none;
    struct dt_ike *ike = s->ike;
    if (s->state == DT_SESSION_DEAD)
        return;
    bool was_up = s->state == DT_SESSION_UP || s->state == DT_SESSION_CLOSING;
    s->state = DT_SESSION_DEAD;
    dt_list_del(&s->kick);
    dt_list_del(&s->link);
    dt_list_add_tail(&ike->dead_sessions, &s->link);
    ike->nsessions--;
    ike_door_leave(s, false);
    if (s->in_peers)
        dt_table_remove(&ike->by_peer, &s->peer_node);
    s->in_peers = false;
    dt_heap_set(&ike->timers, &s->keepalive.t, DT_NEVER);
    dt_heap_unreserve(&ike->timers, 1);
    if (was_up)
        ike->count.sessions_down++;
    else if (s->known)
        ike->count.sessions_failed++;
    while (!dt_list_empty(&s->queue)) {
        struct ike_exchange *ex = DT_CONTAINER_OF(s->queue.next, struct ike_exchange, link);
        dt_list_del(&ex->link);
        ike_exchange_free(ex);
        s->nqueue--;
        ike->nqueued--;
    }
    while (!dt_list_empty(&s->sas))
        ike_sa_end(DT_CONTAINER_OF(s->sas.next, struct ike_sa, link));
    s->current = NULL;
    ike_work_abandon_recheck(s);
    ike_handshake_free(s);
    while (!dt_list_empty(&s->children)) {
        struct dt_ike_child *c = DT_CONTAINER_OF(s->children.next, struct dt_ike_child, link);
        if (c->state == CHILD_UP)
            ike_child_down(c, DT_DOWN_SESSION);
        else if (c->state == CHILD_WANTED)
            ike_child_fail(c, why ? why : &none);
        else
            ike_child_drop(c);
    }
    if (s->known && !s->silent && ike->ops.session_down)
        ike->ops.session_down(ike->ctx, s, why ? why : &none);
    s->silent = true;
    s->cfg = NULL;
}

void ike_session_fail(struct dt_ike_session *s, uint16_t notify, const char *fmt, ...)
{
    struct dt_err err = {.notify = notify};
    va_list ap;
    va_start(ap, fmt);
    dt_utf8_vprintf(err.text, sizeof(err.text), fmt, ap);
    va_end(ap);
    ike_session_end(s, &err);
}

void ike_session_free(struct dt_ike_session *s)
{
    if (s->peer_cert)
        ike_bytes_free(&s->peer_cert->certs);
    free(s->peer_cert);
    dt_wipe(s, sizeof(*s));
    free(s);
}

/* A session of the same two identities that `s` replaces; NULL: none (any more). */
static struct dt_ike_session *replaced_by(struct dt_ike_session *s, uint64_t hash)
{
    struct dt_ike *ike = s->ike;
    for (struct dt_table_node *n = dt_table_first(&ike->by_peer, hash); n; n = dt_table_next(n)) {
        struct dt_ike_session *old = DT_CONTAINER_OF(n, struct dt_ike_session, peer_node);
        if (old != s && dt_ike_id_eq(&old->remote_id, &s->remote_id) &&
            dt_ike_id_eq(&old->local_id, &s->local_id) &&
            (!ike->ops.replaces || ike->ops.replaces(ike->ctx, s, old)))
            return old;
    }
    return NULL;
}

void ike_session_initial_contact(struct dt_ike_session *s)
{
    struct dt_ike_session *old;
    uint64_t hash = dt_ike_id_hash(&s->ike->hash_key, &s->remote_id);
    while (s->state != DT_SESSION_DEAD && (old = replaced_by(s, hash)))
        ike_session_fail(old, 0, "the peer began anew (INITIAL_CONTACT)");
}

/* IKE_AUTH is done on sa. */
void ike_session_established(struct dt_ike_session *s, struct ike_sa *sa)
{
    sa->state = SA_UP;
    s->state = DT_SESSION_UP;
    s->up_since = s->ike->now;
    s->ike->count.sessions_up++;
    s->in_peers =
        !dt_table_insert(&s->ike->by_peer, &s->peer_node, dt_ike_id_hash(&s->ike->hash_key, &s->remote_id));
    ike_door_leave(s, true);
    ike_auth_remember(s);
    ike_handshake_free(s);
    ike_rekey_schedule(sa);
    ike_session_keepalive(s);
    IKE_CALL(s, session_up);
}

/* RFC 3948 section 4: whoever is behind the NAT keeps its mapping alive. */
void ike_session_keepalive(struct dt_ike_session *s)
{
    static const uint8_t byte = 0xff;
    struct dt_ike *ike = s->ike;
    dt_time every = ike->params.keepalive;
    if (!s->path.natt || !s->nat_local || every == DT_NEVER || s->state == DT_SESSION_DEAD) {
        dt_heap_set(&ike->timers, &s->keepalive.t, DT_NEVER);
        return;
    }
    if (ike->now >= dt_time_add(s->last_sent, every))
        ike_send(ike, s, &s->path, &byte, 1, DT_IKE_SEND_KEEPALIVE);
    dt_heap_set(&ike->timers, &s->keepalive.t, dt_time_add(s->last_sent, every));
}

void ike_session_move(struct dt_ike_session *s, const struct dt_path *path)
{
    if (dt_path_eq(&s->path, path))
        return;
    s->path = *path;
    ike_session_keepalive(s);
    IKE_CALL(s, path_changed, &s->path);
}

/* ---- what the owner calls ---- */

static int cfg_check(const struct dt_ike_cfg *cfg, struct dt_err *err)
{
    if (!cfg->ike.n || !cfg->esp.n)
        return dt_err_set(err, 0, "no %s proposals are configured", cfg->ike.n ? "ESP" : "IKE");
    if (cfg->local_id.type == DT_ID_ANY)
        return dt_err_set(err, 0, "an initiator must say who it is: no local identity is configured");
    if (cfg->send_idr && (cfg->remote_id.type == DT_ID_ANY || cfg->remote_id.data[0] == '*'))
        return dt_err_set(err, 0, "send_idr needs an exact remote identity");
    if (!cfg->local_ts.n || !cfg->remote_ts.n)
        return dt_err_set(err, 0, "no traffic selectors are configured");
    return 0;
}

struct dt_ike_session *dt_ike_open(struct dt_ike *ike, dt_time now, const struct dt_ike_cfg *cfg,
                                   const struct dt_path *path, void *owner, struct dt_err *err)
{
    struct dt_ike_session *s = NULL;
    if (cfg_check(cfg, err))
        return NULL;
    if (ike->nsessions >= ike->params.session_max) {
        dt_err_set(err, 0, "%zu sessions are open, which is the limit", ike->nsessions);
        return NULL;
    }
    ike_enter(ike, now);
    s = ike_session_new(ike, true, path);
    if (s) {
        s->owner = owner;
        s->cfg = cfg;
        s->known = true;
        s->local_id = cfg->local_id;
        s->first = ike_child_new(s, err);
        if (s->first)
            s->first->asked = true;
        if (!s->first || ike_init_start(s, err)) {
            s->silent = true;
            ike_session_end(s, NULL);
            s = NULL;
        } else {
            ike->count.sessions_opened++;
        }
    } else {
        dt_err_set(err, 0, "no memory for a session");
    }
    ike_leave(ike);
    return s;
}

void ike_session_close(struct dt_ike_session *s, const char *why)
{
    struct dt_ike *ike = s->ike;
    struct dt_err err = {0};
    if (s->state != DT_SESSION_UP)
        return;
    dt_err_set(&err, 0, "%s", why);
    s->state = DT_SESSION_CLOSING;
    s->closing = why;
    while (!dt_list_empty(&s->queue)) {
        struct ike_exchange *ex = DT_CONTAINER_OF(s->queue.next, struct ike_exchange, link);
        dt_list_del(&ex->link);
        s->nqueue--;
        ike->nqueued--;
        ike_exchange_free(ex);
    }
    while (!dt_list_empty(&s->children)) {
        struct dt_ike_child *c = DT_CONTAINER_OF(s->children.next, struct dt_ike_child, link);
        if (c->state == CHILD_UP)
            ike_child_down(c, DT_DOWN_LOCAL);
        else if (c->state == CHILD_WANTED)
            ike_child_fail(c, &err);
        else
            ike_child_drop(c);
    }
    ike_kick(s);
}

void dt_ike_close(struct dt_ike_session *s, dt_time now, bool silently)
{
    struct dt_ike *ike = s->ike;
    struct dt_err why = {0};
    if (s->state == DT_SESSION_DEAD)
        return;
    ike_enter(ike, now);
    dt_err_set(&why, 0, "closed here");
    if (silently) {
        s->silent = true;
        ike_session_end(s, NULL);
    } else if (s->state == DT_SESSION_UP) {
        ike_session_close(s, "closed here");
    } else if (s->state != DT_SESSION_CLOSING) {
        ike_session_end(s, &why);
    }
    ike_leave(ike);
}

void dt_ike_session_close_why(struct dt_ike_session *s, uint16_t why, const struct dt_addrport *where)
{
    s->close_why = why;
    s->close_where = where ? *where : (struct dt_addrport){0};
}

void dt_ike_session_rekey(struct dt_ike_session *s, dt_time now)
{
    struct ike_exchange *ex;
    if (s->state != DT_SESSION_UP || ike_find_exchange(s, EX_IKE_REKEY))
        return;
    dt_list_for_each (l, &s->queue)
        if (DT_CONTAINER_OF(l, struct ike_exchange, link)->kind == EX_IKE_REKEY)
            return;
    ike_enter(s->ike, now);
    ex = ike_exchange_new(EX_IKE_REKEY);
    if (ex)
        ike_queue(s, ex, true);
    else
        ike_rekey_later(s->current);
    ike_leave(s->ike);
}

void dt_ike_liveness(struct dt_ike_session *s, dt_time now)
{
    if (s->state != DT_SESSION_UP)
        return;
    ike_enter(s->ike, now);
    s->alive_wanted = true; /* window.c sends something when nothing else is under way */
    ike_kick(s);
    ike_leave(s->ike);
}

void dt_ike_session_set_cfg(struct dt_ike_session *s, const struct dt_ike_cfg *cfg)
{
    if (s->state != DT_SESSION_DEAD)
        s->cfg = cfg;
}

void dt_ike_session_set_path(struct dt_ike_session *s, dt_time now, const struct dt_path *path)
{
    struct ike_exchange *ex;
    if (s->state == DT_SESSION_DEAD || dt_path_eq(&s->path, path))
        return;
    ike_enter(s->ike, now);
    ike_session_move(s, path);
    dt_list_for_each (l, &s->sas) {
        struct ike_sa *sa = DT_CONTAINER_OF(l, struct ike_sa, link);
        if (sa->ex && sa->request.p) {
            ike_send(s->ike, s, &s->path, sa->request.p, sa->request.len, DT_IKE_SEND_AGAIN);
            s->ike->count.retransmits_out++;
        }
    }
    /* The peer follows fresh requests alone. */
    if (s->initiator && s->state == DT_SESSION_UP && !s->nqueue && (ex = ike_exchange_new(EX_LIVENESS)))
        ike_queue(s, ex, true);
    ike_leave(s->ike);
}

void dt_ike_session_set_owner(struct dt_ike_session *s, void *owner)
{
    s->owner = owner;
}

void *dt_ike_session_owner(const struct dt_ike_session *s)
{
    return s->owner;
}

uint64_t dt_ike_session_id(const struct dt_ike_session *s)
{
    return s->id;
}

enum dt_ike_session_state dt_ike_session_state(const struct dt_ike_session *s)
{
    return s->state;
}

bool dt_ike_session_initiator(const struct dt_ike_session *s)
{
    return s->initiator;
}

const struct dt_ike_cfg *dt_ike_session_cfg(const struct dt_ike_session *s)
{
    return s->cfg;
}

const struct dt_path *dt_ike_session_path(const struct dt_ike_session *s)
{
    return &s->path;
}

const struct dt_ike_id *dt_ike_session_local_id(const struct dt_ike_session *s)
{
    return &s->local_id;
}

const struct dt_ike_id *dt_ike_session_remote_id(const struct dt_ike_session *s)
{
    return &s->remote_id;
}

const struct dt_ike_inside *dt_ike_session_inside(const struct dt_ike_session *s)
{
    return &s->inside;
}

bool dt_ike_session_unanswered(const struct dt_ike_session *s)
{
    return s->unanswered;
}

struct dt_ike_child *dt_ike_session_first_child(const struct dt_ike_session *s)
{
    return s->first;
}

void ike_sa_chosen(const struct ike_sa *sa, struct dt_proposal *out)
{
    out->protocol = DT_PROTO_IKE;
    out->number = 1;
    out->t[out->n++] = (struct dt_transform){
        .type = DT_TRANSFORM_ENCR, .id = sa->suite.encr, .key_bits = sa->suite.key_bits};
    out->t[out->n++] = (struct dt_transform){.type = DT_TRANSFORM_PRF, .id = sa->prf};
    if (sa->suite.integ)
        out->t[out->n++] = (struct dt_transform){.type = DT_TRANSFORM_INTEG, .id = sa->suite.integ};
    out->t[out->n++] = (struct dt_transform){.type = DT_TRANSFORM_KE, .id = sa->group};
}

void dt_ike_session_info(const struct dt_ike_session *s, struct dt_ike_session_info *out)
{
    const struct ike_sa *sa = s->current;
    *out = (struct dt_ike_session_info){.nat_local = s->nat_local,
                                        .nat_remote = s->nat_remote,
                                        .same_vendor = s->same_vendor,
                                        .up_since = s->up_since,
                                        .heard = s->heard,
                                        .rtt = s->rtt,
                                        .rekeys = s->rekeys,
                                        .children = s->nup,
                                        .own_method = s->own_method,
                                        .peer_method = s->peer_method,
                                        .peer_cert = s->peer_cert ? s->peer_cert->who : NULL,
                                        .peer_cert_until = s->peer_cert ? s->peer_cert->until : 0};
    if (!sa)
        return;
    out->spi_i = sa->initiator ? sa->spi_local : sa->spi_remote;
    out->spi_r = sa->initiator ? sa->spi_remote : sa->spi_local;
    out->outstanding_tries = sa->ex ? sa->tries : 0;
    if (sa->state != SA_INIT)
        ike_sa_chosen(sa, &out->chosen);
}
