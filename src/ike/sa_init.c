/* IKE_SA_INIT, the initiator's side (RFC 7296 sections 1.2, 2.6, 2.7). */
#include "ike/internal.h"

#include <stdlib.h>

static size_t sa_init_build(struct dt_ike_session *s)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    struct dt_ike_header h;
    struct dt_ike_builder b;
    ike_header(s->current, &h, DT_IKE_SA_INIT, false, 0);
    dt_ike_build(&b, ike->scratch, sizeof(ike->scratch), &h);
    if (hs->cookie_len)
        ike_write_notify(&b, DT_N_COOKIE, dt_span(hs->cookie, hs->cookie_len));
    dt_ike_sa_write(&b, &s->cfg->ike);
    dt_ike_ke_write(&b, hs->group, dt_dh_public(hs->dh));
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(hs->nonce, hs->nonce_len));
    if (s->cfg->proofs.trust)
        ike_hashes_write(&b);
    if (s->cfg->encap != DT_ENCAP_OFF)
        ike_nat_write(ike, &b, h.spi_i, 0, &s->path, s->cfg->encap == DT_ENCAP_FORCE);
    return dt_ike_build_end(&b);
}

/* Sends (anew, after COOKIE or INVALID_KE_PAYLOAD) with message id 0. */
static int send_init(struct dt_ike_session *s, struct dt_err *err)
{
    struct ike_sa *sa = s->current;
    struct ike_exchange *ex = sa->ex ? ike_request_done(sa) : ike_exchange_new(EX_INIT);
    sa->mid_out = 0;
    size_t len = ex ? sa_init_build(s) : 0;
    if (!len || ike_bytes_set(&s->hs->sent, s->ike->scratch, len) ||
        ike_request_send(sa, ex, s->ike->scratch, len)) {
        ike_exchange_free(ex);
        return dt_err_set(err, 0, "no memory, or too much configuration for one IKE_SA_INIT");
    }
    return 0;
}

/* A key pair of hs->group, and the request with it: now, or when the pair has been made. */
static int send_init_with_pair(struct dt_ike_session *s, struct dt_err *err);

static void pair_made(struct ike_sa *sa, struct ike_msg *none)
{
    struct dt_ike_session *s = sa->session;
    struct dt_err err = {0};
    if (s->state == DT_SESSION_INIT && send_init_with_pair(s, &err))
        ike_session_end(s, &err);
}

static int send_init_with_pair(struct dt_ike_session *s, struct dt_err *err)
{
    struct ike_handshake *hs = s->hs;
    if (!ike_work_first_pair_ready(s->current, hs->group, pair_made))
        return 0;
    struct dt_dh *dh = ike_work_take_pair(s->current, hs->group, err);
    if (!dh)
        return -1;
    dt_dh_free(hs->dh);
    hs->dh = dh;
    return send_init(s, err);
}

int ike_init_start(struct dt_ike_session *s, struct dt_err *err)
{
    s->current = ike_sa_new(s, true, 0);
    if (!s->current)
        return dt_err_set(err, 0, "no memory for an IKE SA");
    s->state = DT_SESSION_INIT;
    dt_rand_fill(&s->ike->rand, s->hs->nonce, s->hs->nonce_len);
    s->hs->group = ike_first_group(&s->cfg->ike);
    return send_init_with_pair(s, err);
}

/* Anybody may have sent it: wait a moment for a proper answer (2.21.1), then believe it. */
static void sa_init_refused(struct dt_ike_session *s, uint16_t type, const struct dt_ike_payloads *in)
{
    char text[16], who[DT_ADDRPORT_STRLEN];
    struct ike_handshake *hs = s->hs;
    if (hs->refused)
        return;
    hs->refused = true;
    if (type == DT_N_NO_PROPOSAL_CHOSEN)
        ike_takes_explain(&hs->refusal, dt_addrport_str(who, &s->path.remote), "", &s->cfg->ike, 0, in);
    else
        dt_err_set(&hs->refusal, type, "%s answers %s", dt_addrport_str(who, &s->path.remote),
                   ike_notify_text(type, text));
    ike_event(s->ike, s, DT_IKE_EV_PEER_REFUSED, &s->path, type, "%s", hs->refusal.text);
    dt_heap_set(&s->ike->timers, &s->current->life.t, dt_time_add(s->ike->now, s->ike->params.init_grace));
}

static void answer_without_spi(struct dt_ike_session *s, const struct ike_msg *m)
{
    struct dt_ike_notify_payload n;
    struct ike_handshake *hs = s->hs;
    struct dt_err err = {0};
    uint16_t error = ike_find_error(&m->outer, &n);
    struct dt_ike_notify_payload cookie;
    if (ike_find_notify(&m->outer, DT_N_COOKIE, &cookie)) {
        if (!cookie.data.len || cookie.data.len > IKE_COOKIE_MAX || hs->cookie_tries++ >= IKE_INIT_TRIES)
            return;
        memcpy(hs->cookie, cookie.data.p, cookie.data.len);
        hs->cookie_len = cookie.data.len;
    } else if (error == DT_N_INVALID_KE_PAYLOAD && n.data.len == 2) {
        uint16_t group = dt_get_be16(n.data.p);
        bool ours = false;
        for (size_t i = 0; i < s->cfg->ike.n; i++)
            ours |= dt_proposal_has(&s->cfg->ike.v[i], DT_TRANSFORM_KE, group);
        if (!ours || group == hs->group || hs->ke_tries++ >= IKE_INIT_TRIES) {
            sa_init_refused(s, error, &m->outer);
            return;
        }
        hs->group = group;
        if (send_init_with_pair(s, &err))
            ike_session_end(s, &err);
        return;
    } else {
        if (error)
            sa_init_refused(s, error, &m->outer);
        return;
    }
    if (send_init(s, &err))
        ike_session_end(s, &err);
}

static void nat_found(struct dt_ike_session *s, const struct ike_msg *m)
{
    struct dt_ike *ike = s->ike;
    bool local, remote;
    struct dt_path path = s->path;
    if (s->cfg->encap == DT_ENCAP_OFF || !ike_nat_read(ike, m, m->h.spi_i, m->h.spi_r, &local, &remote))
        return;
    s->nat_local = local || s->cfg->encap == DT_ENCAP_FORCE;
    s->nat_remote = remote;
    if ((!s->nat_local && !s->nat_remote) || path.natt)
        return;
    path.natt = true;
    path.local.port = path.local.port == ike->params.port_ike ? ike->params.port_natt : path.local.port;
    path.remote.port = ike->params.port_natt;
    ike_event(ike, s, DT_IKE_EV_NAT, &path, 0, "NAT %s; UDP %u from now on",
              local && remote ? "before both ends"
              : local         ? "before this end"
              : remote        ? "before the peer"
                              : "assumed (encapsulation is forced)",
              path.remote.port);
    ike_session_move(s, &path);
}

void ike_init_got_response(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct ike_handshake *hs = s->hs;
    struct dt_proposals answer;
    struct dt_ike_ke ke;
    struct dt_span nr;
    struct dt_err err = {0};
    uint8_t shared[DT_KE_MAX];
    const struct dt_ike_payload *psa = dt_ike_find(&m->outer, DT_P_SA),
                                *pke = dt_ike_find(&m->outer, DT_P_KE),
                                *pn = dt_ike_find(&m->outer, DT_P_NONCE);
    if (ike_work_pending(sa, true))
        return; /* the answer that is being looked at may be the proper one */
    if (sa->state != SA_INIT || !sa->ex || m->h.mid != 0 || m->outer.unknown_critical) {
        s->ike->count.malformed += sa->state == SA_INIT;
        return;
    }
    if (!psa) {
        answer_without_spi(s, m);
        return;
    }
    /* Nothing of this is authenticated: what does not fit is dropped, and a proper answer may still come. */
    if (!m->h.spi_r || !pke || !pn || dt_ike_sa_read(&answer, psa->body) || answer.n != 1 ||
        answer.v[0].spi_len != 0 || dt_ike_ke_read(&ke, pke->body) || dt_ike_nonce_read(&nr, pn->body) ||
        ke.group != hs->group || !dt_proposals_answers(&s->cfg->ike, &answer.v[0], 0) ||
        ike_sa_set_algorithms(sa, &answer.v[0], &err) || sa->group != hs->group ||
        !ike_nonce_fits(sa->prf, nr)) {
        s->ike->count.malformed++;
        return;
    }
    if (!ike_work_ready(sa, m, hs->group, ke.data, &hs->dh, ike_init_got_response))
        return;
    if (ike_work_take(sa, m, hs->group, ke.data, &hs->dh, shared, &err)) {
        s->ike->count.malformed++;
        return;
    }
    sa->spi_remote = m->h.spi_r;
    hs->peer_hashes = ike_hashes_read(&m->outer);
    if (ike_bytes_set(&hs->got, m->data, m->len) ||
        ike_keys_derive(sa, NULL, dt_span(shared, dt_ke_shared_len(sa->group)),
                        dt_span(hs->nonce, hs->nonce_len), nr, hs, &err)) {
        dt_wipe(shared, sizeof(shared));
        ike_session_end(s, &err);
        return;
    }
    dt_wipe(shared, sizeof(shared));
    hs->peer_nonce.len = (uint16_t)nr.len;
    memcpy(hs->peer_nonce.data, nr.p, nr.len);
    hs->refused = false;
    dt_heap_set(&s->ike->timers, &sa->life.t, DT_NEVER);
    ike_exchange_free(ike_request_done(sa));
    dt_dh_free(hs->dh);
    hs->dh = NULL;
    sa->state = SA_AUTH;
    s->state = DT_SESSION_AUTH;
    nat_found(s, m);
    if (s->state == DT_SESSION_AUTH)
        ike_auth_start(s);
}
