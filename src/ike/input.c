/* Datagrams: header, SPI, decryption, dispatch; and answers outside any session (RFC 7296 sections 2.21, 2.5). */
#include "ike/internal.h"

#include <stdio.h>

/* ---- notifies ---- */

bool ike_find_notify(const struct dt_ike_payloads *list, uint16_t type, struct dt_ike_notify_payload *out)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].type == DT_P_NOTIFY && !dt_ike_notify_read(out, list->v[i].body) && out->type == type)
            return true;
    *out = (struct dt_ike_notify_payload){0};
    return false;
}

uint16_t ike_find_error(const struct dt_ike_payloads *list, struct dt_ike_notify_payload *out)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].type == DT_P_NOTIFY && !dt_ike_notify_read(out, list->v[i].body) && out->type &&
            out->type <= DT_N_ERROR_LAST)
            return out->type;
    *out = (struct dt_ike_notify_payload){0};
    return 0;
}

void ike_write_notify(struct dt_ike_builder *b, uint16_t type, struct dt_span data)
{
    dt_ike_notify_write(b, 0, dt_span(NULL, 0), type, data);
}

const char *ike_notify_text(uint16_t type, char buf[16])
{
    const char *name = dt_notify_name(type);
    if (name)
        return name;
    snprintf(buf, 16, "notify %u", type);
    return buf;
}

void ike_answer_notify(struct ike_sa *sa, const struct ike_msg *m, uint8_t protocol, struct dt_span spi,
                       uint16_t type, struct dt_span data)
{
    struct dt_ike_builder b;
    if (sa->state == SA_DEAD)
        return;
    ike_sk_begin(sa, &b, m->h.exchange, true);
    dt_ike_notify_write(&b, protocol, spi, type, data);
    if (!ike_response_set(sa, sa->session->ike->scratch, ike_sk_end(sa, &b)))
        ike_response_send(sa, m->path, 0);
}

/* ---- outside sessions ---- */

/* One notify in the clear, with the request's SPIs and message id (2.21.4). Never longer than a request that may have
 * asked for it. */
static void input_answer_clear(struct dt_ike *ike, const struct ike_msg *m, uint16_t type)
{
    uint8_t buf[64];
    struct dt_ike_builder b;
    struct dt_ike_header h = m->h;
    h.flags = (uint8_t)(DT_IKE_FLAG_RESPONSE | (~m->h.flags & DT_IKE_FLAG_INITIATOR));
    if (!ike_door_answer(ike, m->path, PROOF_NONE))
        return;
    dt_ike_build(&b, buf, sizeof(buf), &h);
    ike_write_notify(&b, type, dt_span(NULL, 0));
    size_t len = dt_ike_build_end(&b);
    if (len && len <= m->len)
        ike_send(ike, NULL, m->path, buf, len, 0);
}

/* Something in the clear about a session: a hint at most (2.4, 2.21.4). */
static void clear_hint(struct ike_sa *sa, const struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    struct dt_ike_notify_payload n;
    struct dt_err err = {0};
    char who[DT_ADDRPORT_STRLEN];
    if (!ike_find_notify(&m->outer, DT_N_INVALID_IKE_SPI, &n) || !sa->ex || m->h.mid != sa->mid_out - 1) {
        ike->count.malformed++;
        return;
    }
    if (sa->ex->kind == EX_DELETE_IKE) { /* what we wanted anyway */
        ike_informational_got_response(sa, ike_request_done(sa), (struct ike_msg *)m);
        return;
    }
    if (s->state != DT_SESSION_UP || sa != s->current ||
        (s->suspected && ike->now < dt_time_add(s->last_suspect, DT_SEC)))
        return;
    s->suspected = true;
    s->last_suspect = ike->now;
    dt_err_set(&err, DT_N_INVALID_IKE_SPI, "%s says, without proof, that it does not know this session",
               dt_addrport_str(who, &m->path->remote));
    IKE_CALL(s, suspect, &err);
}

/* ---- inside sessions ---- */

static bool message_secret_ready(struct ike_sa *sa, const struct ike_msg *m);

static void got_response(struct ike_sa *sa, struct ike_msg *m)
{
    if (!message_secret_ready(sa, m) ||
        (sa->ex->kind == EX_AUTH && !ike_auth_answer_ready(sa, m, got_response)))
        return;
    struct dt_ike_session *s = sa->session;
    struct ike_exchange *ex = ike_request_done(sa);
    bool alive = s->alive_wanted && sa == s->current;
    switch (ex->kind) {
    case EX_AUTH:
        ike_auth_got_response(sa, ex, m);
        break;
    case EX_CHILD:
        ike_create_child_got_response(sa, ex, m);
        break;
    case EX_IKE_REKEY:
        ike_rekey_got_response(sa, ex, m);
        break;
    default:
        ike_informational_got_response(sa, ex, m);
        break;
    }
    if (alive && s->state == DT_SESSION_UP) {
        s->alive_wanted = false;
        IKE_CALL(s, alive);
    }
}

/* An answer that carries a public value to a key pair of ours: the secret comes first. */
static bool message_secret_ready(struct ike_sa *sa, const struct ike_msg *m)
{
    struct ike_exchange *ex = sa->ex;
    struct dt_ike_notify_payload n;
    struct dt_ike_ke ke;
    const struct dt_ike_payload *p = dt_ike_find(&m->inner, DT_P_KE);
    if (!ex->dh || !p || dt_ike_ke_read(&ke, p->body) || ke.group != ex->group ||
        ike_find_error(&m->inner, &n))
        return true;
    return ike_work_ready(sa, m, ex->group, ke.data, &ex->dh, got_response);
}

/* Before SK (not secret, but authenticated) or inside it; 0: none. */
static uint8_t unknown_critical(const struct ike_msg *m)
{
    return m->outer.unknown_critical ? m->outer.unknown_critical : m->inner.unknown_critical;
}

/* An answer with a critical payload that we do not understand is none (2.5), and there will be no other: the exchange has
 * failed. What the peer made by it is deleted there; an IKE SA that it made and we did not ends the session. */
static void answer_not_understood(struct ike_sa *sa, const struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct ike_exchange *ex = ike_request_done(sa);
    struct dt_err err = {0};
    dt_err_set(&err, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD,
               "the peer's answer has a critical payload of type %u, which is not known here",
               unknown_critical(m));
    s->ike->count.malformed++;
    if (ex->kind == EX_CHILD)
        ike_create_child_undo(s, ex, &err);
    else if (ex->kind == EX_AUTH || ex->kind == EX_IKE_REKEY)
        ike_session_end(s, &err);
    else
        ike_informational_done(sa, ex);
    ike_exchange_free(ex);
}

static void got_request(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    uint8_t critical = unknown_critical(m);
    if (critical) {
        ike_event(s->ike, s, DT_IKE_EV_REFUSED, m->path, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD,
                  "the peer sent a critical payload of type %u, which is not known here", critical);
        ike_answer_notify(sa, m, 0, dt_span(NULL, 0), DT_N_UNSUPPORTED_CRITICAL_PAYLOAD,
                          dt_span(&critical, 1));
        return;
    }
    switch (m->h.exchange) {
    case DT_IKE_AUTH:
        ike_auth_got_request(sa, m);
        break;
    case DT_CREATE_CHILD_SA:
        if (sa->state == SA_UP || sa->state == SA_REPLACED || sa->state == SA_DELETING)
            ike_create_child_got_request(sa, m);
        else
            s->ike->count.malformed++;
        break;
    case DT_INFORMATIONAL:
        ike_informational_got_request(sa, m);
        break;
    default:
        s->ike->count.malformed++;
        break;
    }
}

/* Whoever is not behind a NAT himself follows the other, on fresh authenticated requests alone (2.23). */
static void follow(struct ike_sa *sa, const struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    if (sa != s->current || s->initiator || s->state != DT_SESSION_UP || (s->nat_local && !s->nat_remote) ||
        m->path->natt != s->path.natt)
        return;
    ike_session_move(s, m->path);
}

static void malformed_inside(struct ike_sa *sa, const struct ike_msg *m, bool response)
{
    struct dt_ike_session *s = sa->session;
    s->ike->count.malformed++;
    if (!response)
        ike_answer_notify(sa, m, 0, dt_span(NULL, 0), DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
    ike_session_fail(s, DT_N_INVALID_SYNTAX, "an authenticated message of the peer is malformed");
}

static void protected_message(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    bool response = m->h.flags & DT_IKE_FLAG_RESPONSE;
    bool again = !response && m->h.mid + 1 == sa->mid_in && sa->response.p && m->h.exchange != DT_IKE_SA_INIT;
    static const uint8_t exchanges[] = {
        [EX_INIT] = DT_IKE_SA_INIT,           [EX_AUTH] = DT_IKE_AUTH,
        [EX_CHILD] = DT_CREATE_CHILD_SA,      [EX_IKE_REKEY] = DT_CREATE_CHILD_SA,
        [EX_DELETE_CHILD] = DT_INFORMATIONAL, [EX_DELETE_IKE] = DT_INFORMATIONAL,
        [EX_LIVENESS] = DT_INFORMATIONAL};
    if (response ? !sa->ex || m->h.mid != sa->mid_out - 1 || exchanges[sa->ex->kind] != m->h.exchange
                 : m->h.mid != sa->mid_in && !again) {
        ike->count.bad_message_id++;
        return;
    }
    if (!again && ike_work_pending(sa, response)) { /* this very message is being worked on */
        ike->count.retransmits_in += !response;
        return;
    }
    int rc = ike_sk_open(sa, m);
    if (rc == -1) {
        ike->count.bad_integrity++;
        return;
    }
    if (again) { /* by the peer, or by anybody who kept a copy */
        ike->count.retransmits_in++;
        ike_response_send(sa, m->path, DT_IKE_SEND_AGAIN);
        return;
    }
    s->heard = ike->now;
    if (rc == -2) {
        malformed_inside(sa, m, response);
        return;
    }
    if (response && unknown_critical(m)) {
        answer_not_understood(sa, m);
        return;
    }
    if (response) {
        got_response(sa, m);
        return;
    }
    follow(sa, m);
    if (s->state != DT_SESSION_DEAD && sa->state != SA_DEAD)
        got_request(sa, m);
}

static void message_dispatch(struct dt_ike *ike, struct ike_msg *m)
{
    bool from_initiator = m->h.flags & DT_IKE_FLAG_INITIATOR, response = m->h.flags & DT_IKE_FLAG_RESPONSE;
    if (m->h.exchange == DT_IKE_SA_INIT && from_initiator && !response) {
        if (m->h.spi_r == 0)
            ike_init_got_request(ike, m);
        else
            ike->count.malformed++;
        return;
    }
    struct ike_sa *sa = ike_sa_by_spi(ike, from_initiator ? m->h.spi_r : m->h.spi_i);
    /* A message that comes back to its sender has the flag, or the SPI, of the wrong side. */
    if (sa && (sa->initiator == from_initiator ||
               (sa->spi_remote && sa->spi_remote != (from_initiator ? m->h.spi_i : m->h.spi_r) &&
                m->h.exchange != DT_IKE_SA_INIT)))
        sa = NULL;
    if (!sa) {
        ike->count.unknown_spi++;
        if (!response && m->h.spi_i && m->h.spi_r && dt_ike_find(&m->outer, DT_P_SK))
            input_answer_clear(ike, m, DT_N_INVALID_IKE_SPI);
    } else if (m->h.exchange == DT_IKE_SA_INIT && response) {
        ike_init_got_response(sa, m);
    } else if (m->h.exchange != DT_IKE_SA_INIT && sa->state != SA_INIT && dt_ike_find(&m->outer, DT_P_SK)) {
        protected_message(sa, m);
    } else if (m->h.exchange != DT_IKE_SA_INIT && sa->state != SA_INIT && response) {
        clear_hint(sa, m);
    } else {
        ike->count.malformed++;
    }
}

void dt_ike_input(struct dt_ike *ike, dt_time now, const struct dt_path *path, uint8_t *data, size_t len)
{
    struct ike_msg m = {.path = path, .data = data, .len = len};
    ike_enter(ike, now);
    ike->count.in++;
    ike->count.in_bytes += len;
    bool header = !dt_ike_header_read(&m.h, data, len);
    uint8_t major = header ? m.h.version >> 4 : 0;
    if (major == 2 &&
        !dt_ike_payloads_read(&m.outer, m.h.next, data + DT_IKE_HEADER_LEN, len - DT_IKE_HEADER_LEN)) {
        message_dispatch(ike, &m);
    } else {
        ike->count.malformed++;
        if (major > 2 && !(m.h.flags & DT_IKE_FLAG_RESPONSE))
            input_answer_clear(ike, &m, DT_N_INVALID_MAJOR_VERSION); /* 2.5 */
    }
    ike_leave(ike);
}
