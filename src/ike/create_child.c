/* CREATE_CHILD_SA for children, the initiator's side (RFC 7296 sections 1.3.1, 1.3.3, 2.8, 2.17). */
#include "ike/internal.h"

#include <stdlib.h>

#define KE_TRIES 3

uint16_t ike_create_child_group(const struct dt_ike_session *s, const struct ike_exchange *ex)
{
    return ex->ke_tries ? ex->group : ike_first_group(&s->cfg->esp);
}

static int prepare_ke(struct dt_ike_session *s, struct ike_exchange *ex, struct dt_err *err)
{
    ex->group = ike_create_child_group(s, ex);
    if (ex->group && (!ex->dh || ex->dh->group != ex->group)) {
        dt_dh_free(ex->dh);
        ex->dh = dt_dh_new(s->ike->crypto, ex->group, &s->ike->rand, err);
        return ex->dh ? 0 : -1;
    }
    return 0;
}

bool ike_create_child_start(struct ike_sa *sa, struct ike_exchange *ex)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_builder b;
    struct dt_err err = {0};
    if (!ex->child) /* its owner has lost interest while it waited */
        return false;
    if (prepare_ke(s, ex, &err)) {
        ike_child_fail(ex->child, &err);
        return false;
    }
    ex->rekey = ex->old != NULL; /* what should be replaced may be gone: a further child then */
    dt_rand_fill(&s->ike->rand, ex->nonce, IKE_NONCE_LEN);
    ike_sk_begin(sa, &b, DT_CREATE_CHILD_SA, false);
    if (ex->rekey) {
        uint8_t spi[4];
        dt_put_be32(spi, ex->rekey_spi);
        dt_ike_notify_write(&b, DT_PROTO_ESP, dt_span(spi, 4), DT_N_REKEY_SA, dt_span(NULL, 0));
    }
    ike_offer_sa(s, &b, ex->spi_in, false);
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(ex->nonce, IKE_NONCE_LEN));
    if (ex->group)
        dt_ike_ke_write(&b, ex->group, dt_dh_public(ex->dh));
    ike_offer_ts(s, &b);
    if (ike_request_send(sa, ex, s->ike->scratch, ike_sk_end(sa, &b))) {
        dt_err_set(&err, 0, "no memory, or too much configuration for one CREATE_CHILD_SA");
        ike_child_fail(ex->child, &err);
        return false;
    }
    return true;
}

void ike_create_child_undo(struct dt_ike_session *s, struct ike_exchange *ex, const struct dt_err *err)
{
    ike_queue_delete_spi(s, ex->spi_in, NULL);
    if (ex->child)
        ike_child_fail(ex->child, err);
}

static bool other_group(struct dt_ike_session *s, struct ike_exchange *ex,
                        const struct dt_ike_notify_payload *n)
{
    if (n->data.len != 2 || ex->ke_tries >= KE_TRIES)
        return false;
    uint16_t group = dt_get_be16(n->data.p);
    for (size_t i = 0; group != ex->group && i < s->cfg->esp.n; i++)
        if (dt_proposal_has(&s->cfg->esp.v[i], DT_TRANSFORM_KE, group)) {
            ex->group = group;
            ex->ke_tries++;
            return true;
        }
    return false;
}

static void create_child_refused(struct dt_ike_session *s, struct ike_exchange *ex, uint16_t type,
                                 const struct dt_ike_notify_payload *n, const struct dt_ike_payloads *in)
{
    struct dt_err err = {0};
    struct dt_ike_child *old = ex->old;
    if (type == DT_N_INVALID_KE_PAYLOAD && ex->child && other_group(s, ex, n)) {
        struct ike_exchange *again = ike_exchange_new(EX_CHILD);
        if (again) {
            *again = *ex;
            dt_list_init(&again->link);
            ex->dh = NULL;
            ex->work = NULL;
            again->collided = false; /* the rival, if there was one, is the only one now */
            again->rival_child = NULL;
            ike_queue(s, again, true);
            return;
        }
    }
    if (type == DT_N_NO_PROPOSAL_CHOSEN)
        ike_takes_explain(&err, "the peer", " to a new child", &s->cfg->esp, 0, ike_takes_of(s, in));
    else if (type == DT_N_TS_UNACCEPTABLE)
        ike_takes_explain_ts(&err, s, in);
    else
        ike_why_explain(&err, type, ike_takes_of(s, in));
    ike_event(s->ike, s, DT_IKE_EV_PEER_REFUSED, &s->path, type, "%s", err.text);
    /* 2.25: the child is gone at the peer; there is nothing to delete. */
    if (type == DT_N_CHILD_SA_NOT_FOUND && old && old->state == CHILD_UP)
        ike_child_down(old, DT_DOWN_GONE);
    if (s->state != DT_SESSION_DEAD && ex->child)
        ike_child_fail(ex->child, &err);
    if (type == DT_N_INVALID_SYNTAX && s->state != DT_SESSION_DEAD)
        ike_session_end(s, &err);
}

static int shared_secret(struct ike_sa *sa, struct ike_exchange *ex, const struct ike_msg *m,
                         const struct dt_proposal *chosen, uint8_t *out, size_t *len, struct dt_err *err)
{
    const struct dt_ike_payload *p = dt_ike_find(&m->inner, DT_P_KE);
    uint16_t group = dt_proposal_id(chosen, DT_TRANSFORM_KE, NULL);
    struct dt_ike_ke ke;
    *len = 0;
    if (!group)
        return 0;
    if (!p || dt_ike_ke_read(&ke, p->body) || ke.group != group || group != ex->group)
        return dt_err_set(err, DT_N_INVALID_SYNTAX, "the peer chose group %u but sent no fitting KE payload",
                          group);
    *len = dt_ke_shared_len(group);
    return ike_work_take(sa, m, group, ke.data, &ex->dh, out, err);
}

/* RFC 7296 2.8.1: of two SAs made by simultaneous rekeys, the one whose exchange had the lowest of the four nonces is
 * closed by the endpoint that created it. True: ours is that one. */
static bool lost_collision(struct dt_ike_session *s, struct ike_exchange *ex, struct dt_span nr)
{
    struct dt_span ours = ike_nonce_low(dt_span(ex->nonce, IKE_NONCE_LEN), nr);
    if (!ex->collided || !ex->rival_child)
        return false;
    bool lost = ike_nonce_cmp(ours, ike_nonce_span(&ex->rival_low)) < 0;
    s->ike->count.collisions++;
    ike_event(s->ike, s, DT_IKE_EV_COLLISION, &s->path, 0,
              "both sides rekeyed child SA %08x at once: inbound SPI %08x (%s) stays, %08x goes",
              ex->rekey_spi, lost ? ex->rival_child->spi_in : ex->spi_in, lost ? "the peer's" : "ours",
              lost ? ex->spi_in : ex->rival_child->spi_in);
    return lost;
}

static bool is_gone(const struct ike_exchange *ex, uint32_t spi_out)
{
    for (size_t i = 0; i < ex->ngone; i++)
        if (ex->gone[i] == spi_out)
            return true;
    return false;
}

static void agreed(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_child_sa child = {0};
    struct dt_proposal chosen;
    struct dt_err err = {0};
    struct dt_span nr = {0};
    uint8_t shared[DT_KE_MAX];
    size_t shared_len = 0;
    const struct dt_ike_payload *pn = dt_ike_find(&m->inner, DT_P_NONCE);
    if (!pn || dt_ike_nonce_read(&nr, pn->body) || !ike_nonce_fits(sa->prf, nr)) {
        dt_err_set(&err, DT_N_INVALID_SYNTAX, "the peer's answer lacks a well-formed nonce");
        ike_create_child_undo(s, ex, &err);
    } else if (!ex->child || ike_offer_check(s, &m->inner, false, ex->spi_in, &chosen, &child, &err) ||
               shared_secret(sa, ex, m, &chosen, shared, &shared_len, &err) ||
               ike_keys_child(sa, dt_span(shared, shared_len), dt_span(ex->nonce, IKE_NONCE_LEN), nr, true,
                              &child, &err)) {
        ike_create_child_undo(s, ex, &err);
    } else if (is_gone(ex, child.spi_out)) {
        dt_err_set(&err, 0, "the peer deleted the child SA before its answer came");
        ike_child_fail(ex->child, &err);
    } else if (lost_collision(s, ex, nr)) {
        dt_err_set(&err, 0, "the peer rekeyed the same child SA at once, and its nonces won");
        ike_create_child_undo(s, ex, &err);
    } else if (ex->child->state == CHILD_WANTED) { /* nobody lost interest from inside the event either */
        struct dt_ike_child *rival = ex->collided ? ex->rival_child : NULL;
        if (ex->old && ex->old->state == CHILD_UP) {
            child.replaces = ex->old;
            ex->old->successor = ex->child;
        }
        ike_child_up(ex->child, &child);
        if (rival && rival->state == CHILD_UP && s->state != DT_SESSION_DEAD)
            IKE_CALL(s, child_redundant, rival);
    } else if (s->state != DT_SESSION_DEAD) {
        ike_queue_delete_spi(s, ex->spi_in, NULL);
    }
    dt_wipe(shared, sizeof(shared));
    dt_wipe(&child, sizeof(child));
}

void ike_create_child_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m)
{
    struct dt_ike_notify_payload n;
    uint16_t error = ike_find_error(&m->inner, &n);
    if (error)
        create_child_refused(sa->session, ex, error, &n, &m->inner);
    else
        agreed(sa, ex, m);
    ike_exchange_free(ex);
}
