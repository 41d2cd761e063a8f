/* CREATE_CHILD_SA for children, the responder's side (RFC 7296 sections 1.3.1, 1.3.3, 2.8.1, 2.25). */
#include "ike/internal.h"

static void create_child_answer(struct ike_sa *sa, const struct ike_msg *m, uint16_t type)
{
    ike_answer_notify(sa, m, 0, dt_span(NULL, 0), type, dt_span(NULL, 0));
}

/* What stands against this child now, as far as we know ourselves. 0: nothing; else the notify to refuse it with. */
static uint16_t not_now(struct ike_sa *sa, bool rekey, const struct dt_ike_child *old)
{
    struct dt_ike_session *s = sa->session;
    if (sa->state != SA_UP || sa != s->current || s->state != DT_SESSION_UP ||
        ike_find_exchange(s, EX_IKE_REKEY)) /* 2.25.1, 2.25.2 */
        return DT_N_TEMPORARY_FAILURE;
    if (rekey && !old) /* it may be the one that an answer still under way tells of */
        return ike_find_exchange(s, EX_CHILD) ? DT_N_TEMPORARY_FAILURE : DT_N_CHILD_SA_NOT_FOUND;
    if (old && (old->state != CHILD_UP || old->successor))
        return DT_N_TEMPORARY_FAILURE;
    return 0;
}

/* The same, of the owner. */
static uint16_t owner_declines(struct ike_sa *sa, bool rekey, struct dt_ike_child *old)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    if (ike->ops.child_ask && !ike->ops.child_ask(ike->ctx, s, old))
        return rekey ? DT_N_TEMPORARY_FAILURE : DT_N_NO_ADDITIONAL_SAS;
    if (old && old->state != CHILD_UP) /* deleted from inside the question */
        return DT_N_TEMPORARY_FAILURE;
    return 0;
}

/* A key exchange comes first, where there will be one: only then is the owner asked. */
static bool child_secret_ready(struct ike_sa *sa, const struct ike_msg *m)
{
    const struct dt_proposals *own = &sa->session->cfg->esp;
    struct dt_ike_ke ke;
    const struct dt_ike_payload *p = dt_ike_find(&m->inner, DT_P_KE);
    if (!p || dt_ike_ke_read(&ke, p->body))
        return true;
    for (size_t i = 0; i < own->n; i++)
        if (dt_proposal_has(&own->v[i], DT_TRANSFORM_KE, ke.group))
            return ike_work_ready(sa, m, ke.group, ke.data, NULL, ike_create_child_got_request);
    return true;
}

struct made {
    struct dt_ike_child *child;
    struct dt_child_sa sa;
    struct dt_proposal chosen;
    struct dt_dh *dh;
    uint8_t nonce[IKE_NONCE_LEN];
    struct dt_span ni;
    uint16_t want_group;
};

static int create_child_make(struct ike_sa *sa, const struct ike_msg *m, struct made *out, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    struct dt_ike_ke ke = {0};
    uint8_t shared[DT_KE_MAX];
    size_t shared_len = 0;
    const struct dt_ike_payload *pn = dt_ike_find(&m->inner, DT_P_NONCE),
                                *pke = dt_ike_find(&m->inner, DT_P_KE);
    if (!pn || dt_ike_nonce_read(&out->ni, pn->body) || !ike_nonce_fits(sa->prf, out->ni) ||
        (pke && dt_ike_ke_read(&ke, pke->body)))
        return dt_err_set(err, DT_N_INVALID_SYNTAX,
                          "the peer's request lacks a well-formed nonce or KE payload");
    if (ike_offer_choose(s, &m->inner, false, ke.group, &out->chosen, &out->sa, &out->want_group, err))
        return -1;
    uint16_t group = dt_proposal_id(&out->chosen, DT_TRANSFORM_KE, NULL);
    if (group) {
        if (ike_work_take(sa, m, group, ke.data, &out->dh, shared, err))
            return -1;
        shared_len = dt_ke_shared_len(group);
    }
    dt_rand_fill(&ike->rand, out->nonce, IKE_NONCE_LEN);
    int rc = -1;
    out->child = ike_child_new(s, err);
    if (out->child) {
        out->sa.spi_in = out->child->spi_in;
        rc = ike_keys_child(sa, dt_span(shared, shared_len), out->ni, dt_span(out->nonce, IKE_NONCE_LEN),
                            false, &out->sa, err);
    }
    dt_wipe(shared, sizeof(shared));
    return rc;
}

static size_t create_child_answer_build(struct ike_sa *sa, const struct made *a, uint32_t spi_in)
{
    struct dt_ike_builder b;
    ike_sk_begin(sa, &b, DT_CREATE_CHILD_SA, true);
    ike_offer_answer_sa(&b, &a->chosen, spi_in);
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(a->nonce, IKE_NONCE_LEN));
    if (a->dh)
        dt_ike_ke_write(&b, a->dh->group, dt_dh_public(a->dh));
    ike_offer_answer_ts(&b, &a->sa);
    return ike_sk_end(sa, &b);
}

/* Our own rekey of the same child is under way: remember what its answer must be compared with. */
static void note_collision(struct dt_ike_session *s, const struct dt_ike_child *old, const struct made *a)
{
    struct ike_exchange *ex = ike_find_exchange(s, EX_CHILD);
    if (!ex || !old || ex->old != old)
        return;
    struct dt_span low = ike_nonce_low(a->ni, dt_span(a->nonce, IKE_NONCE_LEN));
    ex->collided = true;
    ex->rival_child = a->child;
    ex->rival_low.len = (uint16_t)low.len;
    memcpy(ex->rival_low.data, low.p, low.len);
}

static void create_child_refuse(struct ike_sa *sa, struct ike_msg *m, const struct made *a,
                                const struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_err why = *err;
    uint16_t type = err->notify ? err->notify : DT_N_TEMPORARY_FAILURE;
    uint8_t group[2];
    dt_put_be16(group, a->want_group);
    bool ke = type == DT_N_INVALID_KE_PAYLOAD && a->want_group;
    if (!ke)
        ike_event(s->ike, s, DT_IKE_EV_REFUSED, m->path, type, "%s", err->text);
    if ((type == DT_N_NO_PROPOSAL_CHOSEN || type == DT_N_TS_UNACCEPTABLE) && s->cfg)
        ike_takes_answer(sa, m, type, NULL);
    else
        ike_answer_notify(sa, m, 0, dt_span(NULL, 0), type, ke ? dt_span(group, 2) : dt_span(NULL, 0));
    if (type == DT_N_INVALID_SYNTAX && s->state != DT_SESSION_DEAD)
        ike_session_end(s, &why);
}

static void create(struct ike_sa *sa, struct ike_msg *m, struct dt_ike_child *old)
{
    struct dt_ike_session *s = sa->session;
    struct dt_err err = {0};
    struct made a = {0};
    if (create_child_make(sa, m, &a, &err)) {
        if (a.child)
            ike_child_drop(a.child);
        create_child_refuse(sa, m, &a, &err);
    } else if (ike_response_set(sa, s->ike->scratch, create_child_answer_build(sa, &a, a.sa.spi_in))) {
        ike_child_drop(a.child);
        create_child_answer(sa, m, DT_N_TEMPORARY_FAILURE);
    } else {
        note_collision(s, old, &a);
        a.sa.replaces = old;
        ike_child_up(a.child, &a.sa);
        if (s->state != DT_SESSION_DEAD)
            ike_response_send(sa, m->path, 0);
    }
    dt_dh_free(a.dh);
    dt_wipe(&a, sizeof(a));
}

void ike_create_child_got_request(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_notify_payload n;
    struct dt_proposals offered;
    struct dt_ike_child *old = NULL;
    const struct dt_ike_payload *psa = dt_ike_find(&m->inner, DT_P_SA);
    if (!psa || dt_ike_sa_read(&offered, psa->body) || !offered.n) {
        struct made none = {0};
        struct dt_err err = {0};
        dt_err_set(&err, DT_N_INVALID_SYNTAX, "the peer's CREATE_CHILD_SA has no well-formed SA payload");
        create_child_refuse(sa, m, &none, &err);
        return;
    }
    bool rekey = ike_find_notify(&m->inner, DT_N_REKEY_SA, &n);
    if (!rekey && offered.v[0].protocol == DT_PROTO_IKE) {
        ike_rekey_got_request(sa, m, &offered);
        return;
    }
    if (rekey && n.spi.len == 4)
        old = ike_child_by_spi_out(s, dt_get_be32(n.spi.p));
    uint16_t no = not_now(sa, rekey, old);
    if (!no && !child_secret_ready(sa, m))
        return;
    no = no ? no : owner_declines(sa, rekey, old);
    if (s->state == DT_SESSION_DEAD)
        return;
    if (no == DT_N_CHILD_SA_NOT_FOUND)
        ike_answer_notify(sa, m, DT_PROTO_ESP, n.spi, no, dt_span(NULL, 0));
    else if (no)
        create_child_answer(sa, m, no);
    else
        create(sa, m, old);
}
