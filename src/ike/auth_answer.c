/* IKE_AUTH, the responder's side (RFC 7296 sections 1.2, 2.15, 2.16, 2.21.2). */
#include "ike/internal.h"

#include <stdio.h>

/* Answers with the error alone. The session is over, but its answer is kept for repetitions until the half-open time
 * is out. */
static void auth_refuse(struct ike_sa *sa, const struct ike_msg *m, const struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_err why = *err;
    ike_event(s->ike, s, DT_IKE_EV_REFUSED, m->path, err->notify, "%s", err->text);
    s->ike->count.auth_failed += err->notify == DT_N_AUTHENTICATION_FAILED;
    if (err->notify == DT_N_NO_PROPOSAL_CHOSEN)
        ike_takes_answer(sa, m, DT_N_NO_PROPOSAL_CHOSEN, &s->cfg->ike);
    else
        ike_answer_notify(sa, m, 0, dt_span(NULL, 0), err->notify ? err->notify : DT_N_AUTHENTICATION_FAILED,
                          dt_span(NULL, 0));
    if (s->state == DT_SESSION_DEAD)
        return;
    sa->state = SA_FAILED;
    ike_door_failed(s);
    if (s->known && s->ike->ops.session_down && !s->silent)
        s->ike->ops.session_down(s->ike->ctx, s, &why);
    s->known = false;
    s->silent = true;
}

/* Whose configuration applies to these identities? */
static int who_is_it(struct dt_ike_session *s, const struct ike_msg *m, struct dt_err *err)
{
    struct dt_ike_id me;
    char want[DT_IKE_ID_STRLEN], got[DT_IKE_ID_STRLEN];
    const struct dt_ike_payload *pi = dt_ike_find(&m->inner, DT_P_IDI),
                                *pr = dt_ike_find(&m->inner, DT_P_IDR);
    if (!pi || ike_auth_read_id(s, pi) || (pr && dt_ike_id_read(&me, pr->body)))
        return dt_err_set(err, DT_N_INVALID_SYNTAX, "the peer's IKE_AUTH lacks a well-formed identity");
    const struct dt_ike_cfg *cfg =
        s->ike->ops.authorize ? s->ike->ops.authorize(s->ike->ctx, s, &s->remote_id, pr ? &me : NULL, err)
                              : NULL;
    if (!cfg) {
        if (!err->text[0])
            dt_err_set(err, 0, "nobody here serves %.100s", dt_ike_id_str(got, &s->remote_id));
        err->notify = DT_N_AUTHENTICATION_FAILED;
        return -1;
    }
    s->known = true;
    s->cfg = cfg;
    s->local_id = cfg->local_id;
    if (!dt_ike_id_matches(&cfg->remote_id, &s->remote_id))
        return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "the peer says it is %.90s; configured is %.90s",
                          dt_ike_id_str(got, &s->remote_id), dt_ike_id_str(want, &cfg->remote_id));
    if (pr && !dt_ike_id_matches(&cfg->local_id, &me))
        return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "the peer asks for %.90s; here is %.90s",
                          dt_ike_id_str(got, &me), dt_ike_id_str(want, &cfg->local_id));
    if (s->local_id.type == DT_ID_ANY && pr) {
        s->local_id = me;
    } else if (s->local_id.type == DT_ID_ANY) {
        char text[DT_ADDR_STRLEN];
        dt_ike_id_parse(&s->local_id, dt_addr_str(text, &m->path->local.addr));
    }
    return 0;
}

static enum ike_auth_verdict check_auth(struct ike_sa *sa, const struct ike_msg *m, struct dt_err *err)
{
    char who[DT_IKE_ID_STRLEN];
    if (dt_ike_find(&m->inner, DT_P_AUTH))
        return ike_auth_peer(sa, m, ike_auth_got_request, err);
    dt_err_set(err, DT_N_AUTHENTICATION_FAILED,
               "%.100s asks for EAP; pre-shared keys and certificates are served",
               dt_ike_id_str(who, &sa->session->remote_id));
    return AUTH_BAD;
}

/* IKE_SA_INIT chose for all who are served on this path; now it is known whom the peer means, and what that one allows. */
static int check_suite(struct ike_sa *sa, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_proposals used = {.n = 1};
    struct dt_proposal again;
    char own[150], uses[100], me[DT_IKE_ID_STRLEN];
    ike_sa_chosen(sa, &used.v[0]);
    if (dt_proposals_choose(&again, &s->cfg->ike, &used, 0, 0))
        return 0;
    return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN, "the IKE SA is of %s; %.90s allows %s",
                      dt_proposal_str(uses, sizeof(uses), &used.v[0]), dt_ike_id_str(me, &s->local_id),
                      dt_proposals_str(own, sizeof(own), &s->cfg->ike));
}

struct answer {
    struct dt_ike_cp cp;
    struct dt_ike_child *child;
    struct dt_child_sa sa;
    struct dt_proposal chosen;
    struct ike_private own;
};

/* The first child: leased addresses, choice, keys. -1 with *err: the session comes up without it. */
static int make_child(struct ike_sa *sa, const struct ike_msg *m, struct answer *a, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    uint16_t group;
    if (ike_cp_lease(s, &m->inner, &a->cp, err) || s->state == DT_SESSION_DEAD ||
        ike_offer_choose(s, &m->inner, true, 0, &a->chosen, &a->sa, &group, err))
        return -1;
    a->child = ike_child_new(s, err);
    if (!a->child)
        return -1;
    a->sa.spi_in = a->child->spi_in;
    if (!ike_keys_child(sa, dt_span(NULL, 0), ike_nonce_span(&s->hs->peer_nonce),
                        dt_span(s->hs->nonce, s->hs->nonce_len), false, &a->sa, err))
        return 0;
    ike_child_drop(a->child);
    a->child = NULL;
    return -1;
}

static size_t auth_answer_build(struct ike_sa *sa, const struct answer *a, const struct dt_err *child_err,
                                struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_builder b;
    ike_sk_begin(sa, &b, DT_IKE_AUTH, true);
    dt_ike_id_write(&b, DT_P_IDR, &s->local_id);
    if (ike_auth_signs(s))
        ike_cert_write(&b, s->cfg->proofs.own);
    if (ike_auth_write(sa, &b, err))
        return 0;
    if (a->child) {
        if (a->cp.type)
            dt_ike_cp_write(&b, &a->cp);
        ike_offer_answer_sa(&b, &a->chosen, a->child->spi_in);
        ike_offer_answer_ts(&b, &a->sa);
    } else {
        ike_write_notify(&b, child_err->notify ? child_err->notify : DT_N_NO_ADDITIONAL_SAS,
                         dt_span(NULL, 0));
        ike_takes_add(s, &b, child_err->notify);
        if (s->same_vendor)
            ike_why_write(&b, child_err->why, &child_err->where);
    }
    if (s->same_vendor) {
        ike_auth_vendor_write(s, &b);
        ike_auth_private_write(&b, &a->own);
    }
    return ike_sk_end(sa, &b);
}

void ike_auth_got_request(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    struct dt_ike_notify_payload n;
    struct dt_err err = {0};
    struct answer a = {0};
    enum ike_auth_verdict proved = AUTH_BAD;
    if (sa->state != SA_AUTH || s->initiator) {
        ike->count.malformed++;
        return;
    }
    s->path = *m->path;
    ike_auth_vendor_read(s, &m->inner);
    if (!who_is_it(s, m, &err))
        proved = check_auth(sa, m, &err);
    if (proved == AUTH_LATER)
        return;
    if (proved == AUTH_BAD || check_suite(sa, &err)) {
        if (s->state != DT_SESSION_DEAD)
            auth_refuse(sa, m, &err);
        return;
    }
    ike_auth_private_notifies(s, &m->inner); /* among them: which installation speaks */
    if (s->state != DT_SESSION_DEAD && ike_find_notify(&m->inner, DT_N_INITIAL_CONTACT, &n))
        ike_session_initial_contact(s);
    if (s->state == DT_SESSION_DEAD)
        return;
    if (make_child(sa, m, &a, &err)) {
        if (s->state == DT_SESSION_DEAD)
            return;
        ike_event(ike, s, DT_IKE_EV_REFUSED, m->path, err.notify, "%s", err.text);
        ike->count.children_failed++;
    }
    ike_auth_private_ask(s, &a.own);
    if (s->state == DT_SESSION_DEAD) {
        dt_wipe(&a, sizeof(a));
        return;
    }
    struct dt_err why = {0};
    size_t len = auth_answer_build(sa, &a, &err, &why);
    if (ike_response_set(sa, ike->scratch, len)) {
        dt_wipe(&a, sizeof(a));
        ike_session_fail(s, 0, "%s",
                         why.text[0] ? why.text : "no memory, or too much configuration for one IKE_AUTH");
        return;
    }
    dt_heap_set(&ike->timers, &sa->life.t, DT_NEVER);
    ike_session_established(s, sa);
    if (a.child && s->state == DT_SESSION_UP) {
        s->first = a.child;
        ike_child_up(a.child, &a.sa);
    }
    dt_wipe(&a, sizeof(a));
    if (s->state != DT_SESSION_DEAD)
        ike_response_send(sa, m->path, 0);
}
