/* Rekeying the IKE SA itself (RFC 7296 sections 1.3.2, 2.8, 2.8.2, 2.18, 2.25.2). */
#include "ike/internal.h"

#include <inttypes.h>

#define RETRY_AFTER (10 * DT_SEC) /* and up to as much again, at random, after a TEMPORARY_FAILURE */

void ike_rekey_schedule(struct ike_sa *sa)
{
    struct dt_ike *ike = sa->session->ike;
    dt_time life = ike->params.ike_lifetime, when = DT_NEVER;
    if (life != DT_NEVER)
        when = dt_time_add(ike->now, life - life / 10 + dt_rand_below(&ike->rand, life / 10 + 1));
    /* Rekeying is the initiator's task: what a responder asks may find a NAT that has forgotten the session, and the
     * silence would end it. Twice the time, for a peer that never does. */
    if (life != DT_NEVER && !sa->session->initiator)
        when = dt_time_add(when, life);
    sa->since = ike->now;
    dt_heap_set(&ike->timers, &sa->life.t, ike_auth_until(sa->session, when));
}

bool ike_rekey_overdue(const struct ike_sa *sa)
{
    const struct dt_ike *ike = sa->session->ike;
    dt_time life = ike->params.ike_lifetime, hard = dt_time_add(life, life);
    return life != DT_NEVER &&
           ike->now >= dt_time_add(sa->since, sa->session->initiator ? hard : dt_time_add(hard, life));
}

static void replaced(struct ike_sa *old, enum ike_sa_state state)
{
    struct dt_ike *ike = old->session->ike;
    old->state = state;
    dt_heap_set(&ike->timers, &old->life.t, dt_time_add(ike->now, ike->params.linger));
}

/* A rekey of ours that still waits is done: the IKE SA is new. */
static void unqueue_rekeys(struct dt_ike_session *s)
{
    dt_list_for_each_safe (l, &s->queue) {
        struct ike_exchange *ex = DT_CONTAINER_OF(l, struct ike_exchange, link);
        if (ex->kind != EX_IKE_REKEY)
            continue;
        dt_list_del(&ex->link);
        s->nqueue--;
        s->ike->nqueued--;
        ike_exchange_free(ex);
    }
}

void ike_sa_adopt(struct dt_ike_session *s, struct ike_sa *fresh)
{
    struct ike_sa *old = s->current;
    s->current = fresh;
    fresh->state = SA_UP;
    unqueue_rekeys(s);
    ike_rekey_schedule(fresh);
    if (old && old->state == SA_UP)
        replaced(old, SA_REPLACED);
    s->rekeys++;
    s->ike->count.ike_rekeys++;
    ike_kick(s);
    IKE_CALL(s, session_rekeyed);
}

static uint16_t first_choice(const struct dt_ike_session *s, const struct ike_sa *sa)
{
    for (size_t i = 0; i < s->cfg->ike.n; i++)
        if (dt_proposal_has(&s->cfg->ike.v[i], DT_TRANSFORM_KE, sa->group))
            return sa->group; /* what they agreed on last time */
    return ike_first_group(&s->cfg->ike);
}

static void write_sa(struct dt_ike_builder *b, const struct dt_proposals *list, uint64_t spi)
{
    struct dt_proposals out = *list;
    for (size_t i = 0; i < out.n; i++) {
        out.v[i].spi_len = 8;
        dt_put_be64(out.v[i].spi, spi);
    }
    dt_ike_sa_write(b, &out);
}

uint16_t ike_rekey_group(const struct ike_sa *sa, const struct ike_exchange *ex)
{
    return ex->group ? ex->group : first_choice(sa->session, sa);
}

void ike_rekey_later(struct ike_sa *sa)
{
    struct dt_ike *ike = sa->session->ike;
    dt_heap_set(&ike->timers, &sa->life.t,
                dt_time_add(ike->now, RETRY_AFTER + dt_rand_below(&ike->rand, RETRY_AFTER)));
}

static bool rekey_send(struct ike_sa *sa, struct ike_exchange *ex)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    struct dt_ike_builder b;
    ex->group = ike_rekey_group(sa, ex);
    if (!ex->dh || ex->dh->group != ex->group) {
        dt_dh_free(ex->dh);
        ex->dh = dt_dh_new(ike->crypto, ex->group, &ike->rand, NULL);
    }
    if (!ex->dh)
        return false;
    ex->new_spi = ike_new_spi(ike);
    dt_rand_fill(&ike->rand, ex->nonce, IKE_NONCE_LEN);
    ike_sk_begin(sa, &b, DT_CREATE_CHILD_SA, false);
    write_sa(&b, &s->cfg->ike, ex->new_spi);
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(ex->nonce, IKE_NONCE_LEN));
    dt_ike_ke_write(&b, ex->group, dt_dh_public(ex->dh));
    return !ike_request_send(sa, ex, ike->scratch, ike_sk_end(sa, &b));
}

bool ike_rekey_start(struct ike_sa *sa, struct ike_exchange *ex)
{
    bool full = ike_sas_full(sa->session);
    sa->session->ike->count.ike_sas_full += full;
    if (!full && rekey_send(sa, ex))
        return true;
    ike_rekey_later(sa);
    return false;
}

/* ---- answers to our own ---- */

static void rekey_refused(struct ike_sa *sa, struct ike_exchange *ex, uint16_t type,
                          const struct dt_ike_notify_payload *n, const struct dt_ike_payloads *in)
{
    struct dt_ike_session *s = sa->session;
    struct dt_err err = {0};
    char text[16];
    if (type == DT_N_INVALID_KE_PAYLOAD && n->data.len == 2 && ex->ke_tries++ < 3 && !ex->rival_sa) {
        uint16_t group = dt_get_be16(n->data.p);
        for (size_t i = 0; group != ex->group && i < s->cfg->ike.n; i++)
            if (dt_proposal_has(&s->cfg->ike.v[i], DT_TRANSFORM_KE, group)) {
                struct ike_exchange *again = ike_exchange_new(EX_IKE_REKEY);
                if (!again)
                    break;
                again->group = group;
                again->ke_tries = ex->ke_tries;
                ike_queue(s, again, true);
                return;
            }
    }
    if (type == DT_N_NO_PROPOSAL_CHOSEN)
        ike_takes_explain(&err, "the peer", " to the rekey of the IKE SA", &s->cfg->ike, 0,
                          ike_takes_of(s, in));
    else
        dt_err_set(&err, type, "the peer answers %s to the rekey of the IKE SA", ike_notify_text(type, text));
    ike_event(s->ike, s, DT_IKE_EV_PEER_REFUSED, &s->path, type, "%s", err.text);
    if (ex->rival_sa)
        ike_sa_adopt(s, ex->rival_sa); /* the peer's own succeeded */
    else if (type == DT_N_INVALID_SYNTAX)
        ike_session_fail(s, type, "the peer answers INVALID_SYNTAX to the rekey of the IKE SA");
    else
        ike_rekey_later(sa);
}

/* The new IKE SA out of a checked answer; NULL with *err. */
static struct ike_sa *rekey_make(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m,
                                 struct dt_span *nr, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_proposals answer;
    struct dt_ike_ke ke;
    uint8_t shared[DT_KE_MAX];
    const struct dt_ike_payload *psa = dt_ike_find(&m->inner, DT_P_SA),
                                *pn = dt_ike_find(&m->inner, DT_P_NONCE),
                                *pke = dt_ike_find(&m->inner, DT_P_KE);
    if (!psa || !pn || !pke || dt_ike_sa_read(&answer, psa->body) || answer.n != 1 ||
        answer.v[0].spi_len != 8 || !dt_get_be64(answer.v[0].spi) || dt_ike_nonce_read(nr, pn->body) ||
        !ike_nonce_fits(dt_proposal_id(&answer.v[0], DT_TRANSFORM_PRF, NULL), *nr) ||
        dt_ike_ke_read(&ke, pke->body) || ke.group != ex->group ||
        !dt_proposals_answers(&s->cfg->ike, &answer.v[0], 0)) {
        dt_err_set(err, DT_N_INVALID_SYNTAX,
                   "the peer's answer to the rekey of the IKE SA does not fit the offer");
        return NULL;
    }
    struct ike_sa *fresh = ike_sa_new(s, true, ex->new_spi);
    if (!fresh)
        return NULL;
    fresh->spi_remote = dt_get_be64(answer.v[0].spi);
    int rc = ike_sa_set_algorithms(fresh, &answer.v[0], err);
    rc = rc || fresh->group != ex->group || ike_work_take(sa, m, ex->group, ke.data, &ex->dh, shared, err) ||
         ike_keys_derive(fresh, sa, dt_span(shared, dt_ke_shared_len(fresh->group)),
                         dt_span(ex->nonce, IKE_NONCE_LEN), *nr, NULL, err);
    dt_wipe(shared, sizeof(shared));
    if (!rc)
        return fresh;
    ike_sa_end(fresh);
    return NULL;
}

/* Both rekeyed at once (2.8.2): the IKE SA whose exchange had the lowest nonce is closed by whoever created it; the
 * other one inherits, and its creator deletes the old one. */
static void rekey_settle(struct ike_sa *sa, struct ike_exchange *ex, struct ike_sa *fresh, struct dt_span nr)
{
    struct dt_ike_session *s = sa->session;
    struct ike_sa *rival = ex->rival_sa;
    struct dt_span ours = ike_nonce_low(dt_span(ex->nonce, IKE_NONCE_LEN), nr);
    bool lost = ike_nonce_cmp(ours, ike_nonce_span(&ex->rival_low)) < 0;
    s->ike->count.collisions++;
    ike_event(s->ike, s, DT_IKE_EV_COLLISION, &s->path, 0,
              "both sides rekeyed the IKE SA at once: %016" PRIx64 " (%s) stays, %016" PRIx64 " goes",
              lost ? rival->spi_local : fresh->spi_local, lost ? "the peer's" : "ours",
              lost ? fresh->spi_local : rival->spi_local);
    if (s->state == DT_SESSION_DEAD)
        return;
    if (lost) {
        replaced(fresh, SA_DELETING);
        ike_sa_adopt(s, rival);
    } else {
        replaced(rival, SA_REPLACED);
        replaced(sa, SA_DELETING);
        ike_sa_adopt(s, fresh);
    }
}

void ike_rekey_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_notify_payload n;
    struct dt_err err = {0};
    struct dt_span nr;
    uint16_t error = ike_find_error(&m->inner, &n);
    if (error) {
        rekey_refused(sa, ex, error, &n, &m->inner);
        ike_exchange_free(ex);
        return;
    }
    struct ike_sa *fresh = rekey_make(sa, ex, m, &nr, &err);
    if (!fresh) {
        ike_session_end(s, &err); /* the peer has the new IKE SA and we do not */
    } else if (ex->rival_sa) {
        rekey_settle(sa, ex, fresh, nr);
    } else {
        replaced(sa, SA_DELETING);
        ike_sa_adopt(s, fresh);
    }
    ike_exchange_free(ex);
}

/* ---- the peer's ---- */

static bool busy(struct ike_sa *sa)
{
    struct dt_ike_session *s = sa->session;
    return sa->state != SA_UP || sa != s->current || s->state != DT_SESSION_UP ||
           ike_find_exchange(s, EX_CHILD) || ike_find_exchange(s, EX_DELETE_CHILD) ||
           (sa->ex && sa->ex->rival_sa);
}

static void rekey_send_answer(struct ike_sa *sa, const struct ike_msg *m, uint16_t type, struct dt_span data)
{
    ike_answer_notify(sa, m, 0, dt_span(NULL, 0), type, data);
}

struct incoming {
    struct dt_proposal chosen;
    struct dt_ike_ke ke;
    struct dt_span ni;
    struct dt_dh *dh;
    uint8_t nonce[IKE_NONCE_LEN];
};

static struct ike_sa *accept(struct ike_sa *sa, const struct ike_msg *m, struct incoming *in,
                             struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    uint8_t shared[DT_KE_MAX];
    struct ike_sa *fresh = ike_sa_new(s, false, 0);
    if (!fresh)
        return NULL;
    fresh->spi_remote = dt_get_be64(in->chosen.spi);
    dt_rand_fill(&ike->rand, in->nonce, IKE_NONCE_LEN);
    int rc = ike_sa_set_algorithms(fresh, &in->chosen, err);
    rc = rc || ike_work_take(sa, m, fresh->group, in->ke.data, &in->dh, shared, err) ||
         ike_keys_derive(fresh, sa, dt_span(shared, dt_ke_shared_len(fresh->group)), in->ni,
                         dt_span(in->nonce, IKE_NONCE_LEN), NULL, err);
    dt_wipe(shared, sizeof(shared));
    if (!rc)
        return fresh;
    ike_sa_end(fresh);
    return NULL;
}

static void rekey_answered(struct ike_sa *sa, const struct ike_msg *m, struct incoming *in,
                           struct ike_sa *fresh)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_builder b;
    struct dt_proposals one = {.n = 1, .v = {in->chosen}};
    struct ike_exchange *ex = ike_find_exchange(s, EX_IKE_REKEY);
    ike_sk_begin(sa, &b, DT_CREATE_CHILD_SA, true);
    write_sa(&b, &one, fresh->spi_local);
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(in->nonce, IKE_NONCE_LEN));
    dt_ike_ke_write(&b, fresh->group, dt_dh_public(in->dh));
    if (ike_response_set(sa, s->ike->scratch, ike_sk_end(sa, &b))) {
        ike_sa_end(fresh);
        return;
    }
    ike_response_send(sa, m->path, 0);
    if (ex) { /* ours is under way too: its answer decides */
        struct dt_span low = ike_nonce_low(in->ni, dt_span(in->nonce, IKE_NONCE_LEN));
        ex->collided = true;
        ex->rival_sa = fresh;
        ex->rival_low.len = (uint16_t)low.len;
        memcpy(ex->rival_low.data, low.p, low.len);
        fresh->state = SA_UP;
        dt_heap_set(&s->ike->timers, &fresh->life.t, DT_NEVER);
    } else {
        ike_sa_adopt(s, fresh);
    }
}

void ike_rekey_got_request(struct ike_sa *sa, struct ike_msg *m, const struct dt_proposals *offered)
{
    struct dt_ike_session *s = sa->session;
    struct incoming in = {0};
    struct dt_err err = {0};
    uint8_t want[2];
    const struct dt_ike_payload *pn = dt_ike_find(&m->inner, DT_P_NONCE),
                                *pke = dt_ike_find(&m->inner, DT_P_KE);
    bool full = ike_sas_full(s);
    s->ike->count.ike_sas_full += full;
    if (busy(sa) || full) {
        rekey_send_answer(sa, m, DT_N_TEMPORARY_FAILURE, dt_span(NULL, 0));
        return;
    }
    /* Without a KE payload it is told which one is wanted, as with one of another group. */
    if (!pn || dt_ike_nonce_read(&in.ni, pn->body) || (pke && dt_ike_ke_read(&in.ke, pke->body))) {
        rekey_send_answer(sa, m, DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
        ike_session_fail(s, DT_N_INVALID_SYNTAX, "the peer's request to rekey the IKE SA is malformed");
        return;
    }
    if (!dt_proposals_choose(&in.chosen, &s->cfg->ike, offered, in.ke.group, 0) || in.chosen.spi_len != 8 ||
        !dt_get_be64(in.chosen.spi)) {
        char own[200], theirs[200];
        ike_event(s->ike, s, DT_IKE_EV_REFUSED, m->path, DT_N_NO_PROPOSAL_CHOSEN,
                  "no common proposal to rekey the IKE SA: the peer offers %s; here is allowed %s",
                  dt_proposals_str(theirs, sizeof(theirs), offered),
                  dt_proposals_str(own, sizeof(own), &s->cfg->ike));
        ike_takes_answer(sa, m, DT_N_NO_PROPOSAL_CHOSEN, &s->cfg->ike);
        return;
    }
    uint16_t group = dt_proposal_id(&in.chosen, DT_TRANSFORM_KE, NULL);
    if (!ike_nonce_fits(dt_proposal_id(&in.chosen, DT_TRANSFORM_PRF, NULL), in.ni)) {
        rekey_send_answer(sa, m, DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
        ike_session_fail(s, DT_N_INVALID_SYNTAX, "the peer's nonce of %zu octets is too short for its PRF",
                         in.ni.len);
        return;
    }
    if (group != in.ke.group) {
        dt_put_be16(want, group);
        rekey_send_answer(sa, m, DT_N_INVALID_KE_PAYLOAD, dt_span(want, 2));
        return;
    }
    if (!ike_work_ready(sa, m, group, in.ke.data, NULL, ike_create_child_got_request))
        return;
    struct ike_sa *fresh = accept(sa, m, &in, &err);
    if (fresh)
        rekey_answered(sa, m, &in, fresh);
    else
        rekey_send_answer(sa, m, err.notify ? err.notify : DT_N_TEMPORARY_FAILURE, dt_span(NULL, 0));
    dt_dh_free(in.dh);
}
