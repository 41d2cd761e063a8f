/* IKE_AUTH, the initiator's side (RFC 7296 sections 1.2, 2.15, 2.16). */
#include "ike/internal.h"

#include <stdlib.h>

void ike_auth_private_ask(struct dt_ike_session *s, struct ike_private *out)
{
    *out = (struct ike_private){0};
    if (s->ike->ops.notify_out)
        out->n = s->ike->ops.notify_out(s->ike->ctx, s, out->v, IKE_PRIVATE_MAX);
}

void ike_auth_private_write(struct dt_ike_builder *b, const struct ike_private *own)
{
    for (size_t i = 0; i < own->n && i < IKE_PRIVATE_MAX; i++)
        ike_write_notify(b, own->v[i].type, dt_span(own->v[i].data, own->v[i].len));
}

void ike_auth_vendor_write(const struct dt_ike_session *s, struct dt_ike_builder *b)
{
    if (s->ike->params.vendor_id.len)
        dt_ike_raw_write(b, DT_P_VENDOR, s->ike->params.vendor_id);
}

void ike_auth_vendor_read(struct dt_ike_session *s, const struct dt_ike_payloads *in)
{
    struct dt_span own = s->ike->params.vendor_id;
    for (size_t i = 0; own.len && i < in->n; i++)
        if (in->v[i].type == DT_P_VENDOR && in->v[i].body.len == own.len &&
            !memcmp(in->v[i].body.p, own.p, own.len))
            s->same_vendor = true;
}

/* The inbound SPI to offer. When its owner has lost interest meanwhile there is one all the same, and the answer deletes it. */
static uint32_t first_spi(struct dt_ike_session *s, struct dt_err *err)
{
    if (s->first)
        return s->first->spi_in;
    struct dt_ike_child *c = ike_child_new(s, err);
    uint32_t spi = c ? c->spi_in : 0;
    if (c)
        ike_child_drop(c);
    return spi;
}

/* What is asked of the peer, and what we show it. */
static void certificates_write(struct dt_ike_session *s, struct dt_ike_builder *b)
{
    struct ike_certreq request = {0};
    if (ike_auth_signs(s))
        ike_cert_write(b, s->cfg->proofs.own);
    if (s->cfg->proofs.trust)
        ike_certreq_add(&request, s->cfg->proofs.trust);
    ike_certreq_write(b, &request);
}

static void auth_signed(struct ike_sa *sa, struct ike_msg *none)
{
    if (sa->session->state == DT_SESSION_AUTH)
        ike_auth_start(sa->session);
}

void ike_auth_start(struct dt_ike_session *s)
{
    struct ike_sa *sa = s->current;
    struct dt_ike_builder b;
    struct dt_err err = {0};
    struct ike_private own;
    enum ike_auth_verdict signed_now = ike_auth_own(sa, auth_signed, &err);
    if (signed_now != AUTH_GOOD) {
        if (signed_now == AUTH_BAD)
            ike_session_end(s, &err);
        return;
    }
    ike_auth_private_ask(s, &own); /* before anything is built: the owner may do what it likes */
    if (s->state == DT_SESSION_DEAD)
        return;
    struct ike_exchange *ex = ike_exchange_new(EX_AUTH);
    if (!ex || !(ex->spi_in = first_spi(s, &err))) {
        ike_exchange_free(ex);
        ike_session_end(s, &err);
        return;
    }
    ike_sk_begin(sa, &b, DT_IKE_AUTH, false);
    dt_ike_id_write(&b, DT_P_IDI, &s->local_id);
    certificates_write(s, &b);
    if (s->cfg->initial_contact)
        ike_write_notify(&b, DT_N_INITIAL_CONTACT, dt_span(NULL, 0));
    if (s->cfg->send_idr)
        dt_ike_id_write(&b, DT_P_IDR, &s->cfg->remote_id);
    if (ike_auth_write(sa, &b, &err)) {
        ike_exchange_free(ex);
        ike_session_end(s, &err);
        return;
    }
    ike_cp_request(s, &b);
    ike_offer_sa(s, &b, ex->spi_in, true);
    ike_offer_ts(s, &b);
    ike_auth_vendor_write(s, &b);
    ike_auth_private_write(&b, &own);
    if (ike_request_send(sa, ex, s->ike->scratch, ike_sk_end(sa, &b))) {
        ike_exchange_free(ex);
        ike_session_fail(s, 0, "no memory, or too much configuration for one IKE_AUTH");
    }
}

/* The peer is not who it must be: say so, once, and go (2.21.2). */
static void not_the_peer(struct ike_sa *sa, const struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_builder b;
    s->ike->count.auth_failed++;
    ike_sk_begin(sa, &b, DT_INFORMATIONAL, false);
    ike_write_notify(&b, DT_N_AUTHENTICATION_FAILED, dt_span(NULL, 0));
    size_t len = ike_sk_end(sa, &b);
    if (len)
        ike_send(s->ike, s, &s->path, s->ike->scratch, len, 0);
    ike_session_end(s, err);
}

void ike_auth_private_notifies(struct dt_ike_session *s, const struct dt_ike_payloads *in)
{
    if (!s->same_vendor) /* its private use is another */
        return;
    for (size_t i = 0; i < in->n; i++) {
        struct dt_ike_notify_payload n;
        struct dt_ike_notify out = {0};
        if (in->v[i].type != DT_P_NOTIFY || dt_ike_notify_read(&n, in->v[i].body) ||
            n.type < DT_N_PRIVATE_FIRST || n.data.len > DT_IKE_NOTIFY_DATA)
            continue;
        out.type = n.type;
        out.len = (uint8_t)n.data.len;
        memcpy(out.data, n.data.p, n.data.len);
        IKE_CALL(s, notify_in, &out);
    }
}

int ike_auth_read_id(struct dt_ike_session *s, const struct dt_ike_payload *p)
{
    if (dt_ike_id_read(&s->remote_id, p->body))
        return -1;
    memcpy(s->hs->peer_id, p->body.p, p->body.len);
    s->hs->peer_id_len = p->body.len;
    return 0;
}

static enum ike_auth_verdict check_peer(struct ike_sa *sa, const struct ike_msg *m, ike_work_again *again,
                                        struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    char want[DT_IKE_ID_STRLEN], got[DT_IKE_ID_STRLEN];
    const struct dt_ike_payload *pid = dt_ike_find(&m->inner, DT_P_IDR);
    if (!pid || ike_auth_read_id(s, pid)) {
        dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "the peer's IKE_AUTH lacks a well-formed IDr");
        return AUTH_BAD;
    }
    if (!dt_ike_id_matches(&s->cfg->remote_id, &s->remote_id)) {
        dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "the peer says it is %.90s; configured is %.90s",
                   dt_ike_id_str(got, &s->remote_id), dt_ike_id_str(want, &s->cfg->remote_id));
        return AUTH_BAD;
    }
    return ike_auth_peer(sa, m, again, err);
}

bool ike_auth_answer_ready(struct ike_sa *sa, const struct ike_msg *m, ike_work_again *again)
{
    struct dt_err err = {0};
    return !dt_ike_find(&m->inner, DT_P_AUTH) || check_peer(sa, m, again, &err) != AUTH_LATER;
}

static void auth_refused(struct dt_ike_session *s, uint16_t type, bool session,
                         const struct dt_ike_payloads *in)
{
    char text[16], id[DT_IKE_ID_STRLEN], shown[320];
    struct dt_err err = {0};
    if (type == DT_N_AUTHENTICATION_FAILED && ike_auth_signs(s))
        dt_err_set(&err, type, "the peer answers %s to %.100s; %.280s; its log says why",
                   ike_notify_text(type, text), dt_ike_id_str(id, &s->local_id),
                   ike_auth_shown(s, shown, sizeof(shown)));
    else if (type == DT_N_AUTHENTICATION_FAILED)
        dt_err_set(&err, type,
                   "the peer answers %s to %.100s: wrong identity or pre-shared key, here or there",
                   ike_notify_text(type, text), dt_ike_id_str(id, &s->local_id));
    else if (type == DT_N_NO_PROPOSAL_CHOSEN && session)
        ike_takes_explain(&err, "the peer", " to the IKE SA, once it knew whom we want", &s->cfg->ike, 0,
                          ike_takes_of(s, in));
    else if (type == DT_N_NO_PROPOSAL_CHOSEN)
        ike_takes_explain(&err, "the peer", " to the child", &s->cfg->esp, DT_CHOOSE_NO_KE,
                          ike_takes_of(s, in));
    else if (type == DT_N_TS_UNACCEPTABLE)
        ike_takes_explain_ts(&err, s, in);
    else
        ike_why_explain(&err, type, ike_takes_of(s, in));
    ike_event(s->ike, s, DT_IKE_EV_PEER_REFUSED, &s->path, type, "%s", err.text);
    if (session) {
        s->ike->count.auth_failed += type == DT_N_AUTHENTICATION_FAILED;
        ike_session_end(s, &err);
    } else if (s->first) {
        ike_child_fail(s->first, &err);
    }
}

void ike_auth_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_notify_payload n;
    struct dt_err err = {0};
    struct dt_proposal chosen;
    struct dt_child_sa child = {0};
    uint16_t error = ike_find_error(&m->inner, &n);
    uint32_t spi_in = ex->spi_in;
    struct ike_nonce ni = {.len = s->hs->nonce_len}, nr = s->hs->peer_nonce;
    memcpy(ni.data, s->hs->nonce, ni.len);
    ike_exchange_free(ex);
    ike_auth_vendor_read(s, &m->inner);
    if (error && !dt_ike_find(&m->inner, DT_P_AUTH)) {
        auth_refused(s, error, true, &m->inner);
        return;
    }
    if (check_peer(sa, m, NULL, &err) != AUTH_GOOD) {
        not_the_peer(sa, &err);
        return;
    }
    bool no_address = ike_cp_got_reply(s, &m->inner, &err) != 0;
    ike_auth_private_notifies(s, &m->inner);
    if (s->state != DT_SESSION_DEAD)
        ike_session_established(s, sa);
    if (s->state != DT_SESSION_UP)
        return;
    if (!s->first) { /* its owner has lost interest meanwhile */
        if (!error)
            ike_queue_delete_spi(s, spi_in, NULL);
    } else if (error) {
        auth_refused(s, error, false, &m->inner);
    } else if (no_address || ike_offer_check(s, &m->inner, true, spi_in, &chosen, &child, &err)) {
        ike_queue_delete_spi(s, spi_in, NULL);
        ike_child_fail(s->first, &err);
    } else if (ike_keys_child(sa, dt_span(NULL, 0), ike_nonce_span(&ni), ike_nonce_span(&nr), true, &child,
                              &err)) {
        ike_child_fail(s->first, &err);
    } else {
        ike_child_up(s->first, &child);
    }
    dt_wipe(&child, sizeof(child));
}
