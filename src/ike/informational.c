/* INFORMATIONAL: deletes, liveness, errors (RFC 7296 sections 1.4, 2.4, 2.25). */
#include "ike/internal.h"

bool ike_informational_start(struct ike_sa *sa, struct ike_exchange *ex)
{
    struct dt_ike_builder b;
    ike_sk_begin(sa, &b, DT_INFORMATIONAL, false);
    if (ex->kind == EX_DELETE_CHILD) {
        struct dt_ike_child *c = ex->child;
        if (c && c->state != CHILD_DYING)
            return false;
        dt_ike_delete_write(&b, DT_PROTO_ESP, ex->spis, (uint16_t)ex->nspis);
    } else if (ex->kind == EX_DELETE_IKE) {
        dt_ike_delete_write(&b, DT_PROTO_IKE, NULL, 0);
        if (sa->session->same_vendor)
            ike_why_write(&b, sa->session->close_why, &sa->session->close_where);
    }
    return !ike_request_send(sa, ex, sa->session->ike->scratch, ike_sk_end(sa, &b));
}

void ike_informational_done(struct ike_sa *sa, struct ike_exchange *ex)
{
    struct dt_ike_session *s = sa->session;
    if (ex->kind == EX_DELETE_CHILD && ex->child)
        ike_child_drop(ex->child);
    if (ex->kind == EX_DELETE_CHILD && ex->nspis == 1)
        IKE_CALL(s, child_deleted, ex->spis[0]);
    if (s->state == DT_SESSION_DEAD || ex->kind != EX_DELETE_IKE)
        return;
    if (sa == s->current || s->state == DT_SESSION_CLOSING)
        ike_session_fail(s, 0, "%s", s->closing ? s->closing : "closed here");
    else
        ike_sa_end(sa);
}

void ike_informational_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m)
{
    ike_informational_done(sa, ex);
    ike_exchange_free(ex);
}

/* ---- the peer's ---- */

struct deletion {
    bool ike;
    uint32_t spis[64]; /* of ours, for the answer */
    uint16_t n;
};

/* Both directions of a child go together: our inbound SPIs are the answer, unless we are deleting it ourselves
 * (2.25.1). */
static void delete_children(struct dt_ike_session *s, const struct dt_ike_delete *d, struct deletion *out)
{
    for (size_t i = 0; i < d->n && s->state != DT_SESSION_DEAD; i++) {
        uint32_t spi = dt_get_be32(d->spis + 4 * i);
        struct dt_ike_child *c = ike_child_by_spi_out(s, spi);
        struct ike_exchange *ex = c ? NULL : ike_find_exchange(s, EX_CHILD);
        if (ex && ex->ngone < IKE_GONE_SPIS)
            ex->gone[ex->ngone++] = spi; /* made and deleted there before we know of it */
        if (!c)
            continue;
        if (c->state == CHILD_UP) {
            if (out->n < DT_ARRAY_LEN(out->spis))
                out->spis[out->n++] = c->spi_in;
            ike_child_down(c, DT_DOWN_PEER);
        } else {
            ike_unqueue_delete(s, c); /* or ours is under way: gone all the same */
            ike_child_drop(c);
        }
    }
}

static void read_deletes(struct dt_ike_session *s, const struct ike_msg *m, struct deletion *out)
{
    for (size_t i = 0; i < m->inner.n; i++) {
        struct dt_ike_delete d;
        if (m->inner.v[i].type != DT_P_DELETE || dt_ike_delete_read(&d, m->inner.v[i].body))
            continue;
        if (d.protocol == DT_PROTO_IKE)
            out->ike = true;
        else if (d.protocol == DT_PROTO_ESP)
            delete_children(s, &d, out);
    }
}

/* The peer deleted this IKE SA. */
static void ike_sa_deleted(struct ike_sa *sa)
{
    struct dt_ike_session *s = sa->session;
    struct ike_exchange *ex = sa->ex;
    if (sa == s->current && ex && ex->kind == EX_IKE_REKEY && ex->rival_sa) {
        struct ike_sa *rival = ex->rival_sa; /* 2.25.2: forget our own rekey, the peer's stands */
        ex->rival_sa = NULL;
        ike_sa_adopt(s, rival);
        if (s->state != DT_SESSION_DEAD)
            ike_sa_end(sa);
    } else if (sa == s->current) {
        ike_session_fail(
            s, 0, s->state == DT_SESSION_CLOSING ? "closed here and by the peer" : "closed by the peer");
    } else {
        ike_sa_end(sa);
    }
    if (s->state != DT_SESSION_DEAD)
        ike_kick(s);
}

static void count_notifies(struct dt_ike_session *s, const struct ike_msg *m)
{
    for (size_t i = 0; i < m->inner.n; i++)
        s->ike->count.ignored_notifies += m->inner.v[i].type == DT_P_NOTIFY;
    s->ike->count.ignored_notifies += m->inner.left_out;
}

/* An initiator that does not take our proof. */
static void peer_refuses_us(struct dt_ike_session *s)
{
    char shown[320];
    if (s->own_method == DT_IKE_AUTH_PSK)
        ike_session_fail(
            s, DT_N_AUTHENTICATION_FAILED,
            "the peer could not verify who we are: wrong identity or pre-shared key, here or there");
    else
        ike_session_fail(s, DT_N_AUTHENTICATION_FAILED,
                         "the peer could not verify who we are; %.280s; its log says why",
                         ike_auth_shown(s, shown, sizeof(shown)));
}

void ike_informational_got_request(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_notify_payload n;
    struct dt_ike_builder b;
    struct deletion d = {0};
    struct dt_err why = {0};
    if (sa->state == SA_AUTH || sa->state == SA_INIT || sa->state == SA_FAILED) {
        s->ike->count.malformed++;
        return;
    }
    read_deletes(s, m, &d);
    if (s->state == DT_SESSION_DEAD)
        return;
    ike_sk_begin(sa, &b, DT_INFORMATIONAL, true);
    if (d.n)
        dt_ike_delete_write(&b, DT_PROTO_ESP, d.spis, d.n);
    if (ike_response_set(sa, s->ike->scratch, ike_sk_end(sa, &b)))
        return;
    ike_response_send(sa, m->path, 0);
    count_notifies(s, m);
    if (d.ike && sa == s->current && s->state == DT_SESSION_UP &&
        ike_why_read(ike_takes_of(s, &m->inner), &why.where)) {
        ike_why_explain(&why, 0, &m->inner);
        ike_session_end(s, &why);
    } else if (d.ike)
        ike_sa_deleted(sa);
    else if (ike_find_notify(&m->inner, DT_N_AUTHENTICATION_FAILED, &n))
        peer_refuses_us(s);
    else if (ike_find_notify(&m->inner, DT_N_INVALID_SYNTAX, &n))
        ike_session_fail(s, DT_N_INVALID_SYNTAX, "the peer reports INVALID_SYNTAX");
}
