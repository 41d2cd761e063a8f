/* What two ends say of a Child SA: proposals, traffic selectors, mode (RFC 7296 sections 2.7, 2.9 and 3.3). */
#include "ike/internal.h"

uint16_t ike_first_group(const struct dt_proposals *list)
{
    for (size_t i = 0; i < list->n; i++)
        for (size_t k = 0; k < list->v[i].n; k++)
            if (list->v[i].t[k].type == DT_TRANSFORM_KE)
                return list->v[i].t[k].id;
    return 0;
}

static void without_ke(struct dt_proposal *p)
{
    uint8_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->t[i].type != DT_TRANSFORM_KE)
            p->t[n++] = p->t[i];
    p->n = n;
}

void ike_offer_sa(struct dt_ike_session *s, struct dt_ike_builder *b, uint32_t spi_in, bool in_auth)
{
    struct dt_proposals offer = s->cfg->esp;
    for (size_t i = 0; i < offer.n; i++) {
        struct dt_proposal *p = &offer.v[i];
        if (in_auth)
            without_ke(p);
        p->protocol = DT_PROTO_ESP;
        p->number = (uint8_t)(i + 1);
        p->spi_len = 4;
        dt_put_be32(p->spi, spi_in);
    }
    dt_ike_sa_write(b, &offer);
}

/* An initiator asks as configured (a lease is not known before it has answered; RFC 7296 2.19). A responder allows the
 * peer the networks of its identity, and its lease. */
void ike_offer_sides(struct dt_ike_session *s, struct dt_selectors *local, struct dt_selectors *remote)
{
    *local = s->cfg->local_ts;
    *remote = s->cfg->remote_ts;
    if (s->initiator)
        return;
    if (s->ike->ops.networks) {
        memset(remote, 0, sizeof(*remote));
        s->ike->ops.networks(s->ike->ctx, s, remote);
    } else if (s->cfg->lease) {
        remote->n = 0;
    }
    if (!s->cfg->lease)
        return;
    if (s->inside.addr4.ver) {
        struct dt_selector one = dt_selector_addr(&s->inside.addr4);
        dt_selectors_add(remote, &one);
    }
    if (s->inside.addr6.ver) {
        struct dt_selector one = dt_selector_addr(&s->inside.addr6);
        dt_selectors_add(remote, &one);
    }
}

void ike_offer_ts(struct dt_ike_session *s, struct dt_ike_builder *b)
{
    struct dt_selectors local, remote;
    ike_offer_sides(s, &local, &remote);
    dt_ike_ts_write(b, DT_P_TSI, &local);
    dt_ike_ts_write(b, DT_P_TSR, &remote);
    if (s->cfg->transport)
        ike_write_notify(b, DT_N_USE_TRANSPORT_MODE, dt_span(NULL, 0));
    ike_write_notify(b, DT_N_ESP_TFC_PADDING_NOT_SUPPORTED, dt_span(NULL, 0));
}

/* The owner has the last word, before anything is stored. */
static int child_admit(struct dt_ike_session *s, const struct dt_child_sa *sa, struct dt_err *err)
{
    if (!s->ike->ops.child_admit || s->ike->ops.child_admit(s->ike->ctx, s, sa, err) == 0)
        return 0;
    err->notify = err->notify ? err->notify : DT_N_TS_UNACCEPTABLE;
    return -1;
}

static bool selectors_within(const struct dt_selectors *outer, const struct dt_selectors *inner)
{
    for (size_t i = 0; i < inner->n; i++)
        if (!dt_selectors_covers(outer, &inner->v[i]))
            return false;
    return inner->n > 0;
}

/* A tunnel that is up carries all that was agreed: what cannot be kept is refused, by its number. */
static int too_many_selectors(const char *what, size_t lost, struct dt_err *err)
{
    return dt_err_set(err, DT_N_TS_UNACCEPTABLE,
                      "the peer %s %zu traffic selectors for one side; at most %d are possible", what,
                      lost + DT_SELECTORS_MAX, DT_SELECTORS_MAX);
}

static void child_fill(struct dt_ike_session *s, const struct dt_proposal *chosen, struct dt_child_sa *out)
{
    out->spi_out = dt_get_be32(chosen->spi);
    out->suite = dt_proposal_suite(chosen);
    out->esn = dt_proposal_id(chosen, DT_TRANSFORM_ESN, NULL) == 1;
    out->path = s->path;
}

int ike_offer_check(struct dt_ike_session *s, const struct dt_ike_payloads *in, bool in_auth, uint32_t spi_in,
                    struct dt_proposal *chosen, struct dt_child_sa *out, struct dt_err *err)
{
    const struct dt_ike_payload *psa = dt_ike_find(in, DT_P_SA), *pi = dt_ike_find(in, DT_P_TSI),
                                *pr = dt_ike_find(in, DT_P_TSR);
    struct dt_proposals answer;
    struct dt_selectors local, remote;
    struct dt_ike_notify_payload n;
    size_t lost_local, lost_remote;
    char a[100], b[100];
    if (!psa || !pi || !pr || dt_ike_sa_read(&answer, psa->body) || answer.n != 1 ||
        answer.v[0].spi_len != 4 || dt_get_be32(answer.v[0].spi) < 256 ||
        dt_ike_ts_read(&out->local_ts, &lost_local, pi->body) ||
        dt_ike_ts_read(&out->remote_ts, &lost_remote, pr->body))
        return dt_err_set(err, DT_N_INVALID_SYNTAX,
                          "the peer's answer lacks SA, TSi or TSr, or they are malformed");
    if (lost_local || lost_remote)
        return too_many_selectors("answers", lost_local ? lost_local : lost_remote, err);
    *chosen = answer.v[0];
    if (!dt_proposals_answers(&s->cfg->esp, chosen, in_auth ? DT_CHOOSE_NO_KE : 0))
        return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN, "the peer answers %s, which is not among %s",
                          dt_proposal_str(a, sizeof(a), chosen),
                          dt_proposals_str(b, sizeof(b), &s->cfg->esp));
    ike_offer_sides(s, &local, &remote);
    if (!selectors_within(&local, &out->local_ts) || !selectors_within(&remote, &out->remote_ts))
        return dt_err_set(
            err, DT_N_TS_UNACCEPTABLE, "the peer answers selectors %s === %s, outside of what was offered",
            dt_selectors_str(a, sizeof(a), &out->local_ts), dt_selectors_str(b, sizeof(b), &out->remote_ts));
    out->transport = ike_find_notify(in, DT_N_USE_TRANSPORT_MODE, &n);
    if (s->cfg->transport != out->transport)
        return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN, "the peer answers %s mode; configured is %s mode",
                          out->transport ? "transport" : "tunnel", out->transport ? "tunnel" : "transport");
    out->spi_in = spi_in;
    child_fill(s, chosen, out);
    return child_admit(s, out, err);
}

static int choose_proposal(struct dt_ike_session *s, const struct dt_proposals *offered, bool in_auth,
                           uint16_t ke_group, struct dt_proposal *chosen, uint16_t *want_group,
                           struct dt_err *err)
{
    char own[200], theirs[200];
    if (!dt_proposals_choose(chosen, &s->cfg->esp, offered, ke_group, in_auth ? DT_CHOOSE_NO_KE : 0) ||
        chosen->spi_len != 4 || dt_get_be32(chosen->spi) < 256)
        return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN,
                          "no common ESP proposal: the peer offers %s; here is allowed %s",
                          dt_proposals_str(theirs, sizeof(theirs), offered),
                          dt_proposals_str(own, sizeof(own), &s->cfg->esp));
    uint16_t group = dt_proposal_id(chosen, DT_TRANSFORM_KE, NULL);
    if (!in_auth && group && group != ke_group) {
        *want_group = group;
        return dt_err_set(err, DT_N_INVALID_KE_PAYLOAD, "the peer sent group %u; %u is wanted", ke_group,
                          group);
    }
    return 0;
}

/* Shared parts that a full list had no room for. */
static size_t left_out(const struct dt_selectors *list, const struct dt_selectors *asked,
                       const struct dt_selectors *allowed)
{
    struct dt_selector both;
    size_t n = 0;
    for (size_t i = 0; i < asked->n; i++)
        for (size_t k = 0; k < allowed->n; k++)
            n += dt_selector_intersect(&both, &asked->v[i], &allowed->v[k]) &&
                 !dt_selectors_covers(list, &both);
    return n;
}

int ike_offer_choose(struct dt_ike_session *s, const struct dt_ike_payloads *in, bool in_auth,
                     uint16_t ke_group, struct dt_proposal *chosen, struct dt_child_sa *out,
                     uint16_t *want_group, struct dt_err *err)
{
    const struct dt_ike_payload *psa = dt_ike_find(in, DT_P_SA), *pi = dt_ike_find(in, DT_P_TSI),
                                *pr = dt_ike_find(in, DT_P_TSR);
    struct dt_proposals offered;
    struct dt_selectors tsi, tsr, local, remote;
    struct dt_ike_notify_payload n;
    size_t lost_i, lost_r;
    char a[50], b[50], c[50], d[50];
    if (!psa || !pi || !pr || dt_ike_sa_read(&offered, psa->body) ||
        dt_ike_ts_read(&tsi, &lost_i, pi->body) || dt_ike_ts_read(&tsr, &lost_r, pr->body))
        return dt_err_set(err, DT_N_INVALID_SYNTAX,
                          "the peer's request lacks SA, TSi or TSr, or they are malformed");
    if (lost_i || lost_r)
        return too_many_selectors("asks for", lost_i ? lost_i : lost_r, err);
    if (choose_proposal(s, &offered, in_auth, ke_group, chosen, want_group, err))
        return -1;
    ike_offer_sides(s, &local, &remote);
    if (!s->initiator && s->cfg->lease && !remote.n)
        return dt_err_set(err, DT_N_FAILED_CP_REQUIRED,
                          "the peer asks for no inside address; here it must have one");
    if (!s->initiator && !remote.n)
        return dt_err_set(err, DT_N_TS_UNACCEPTABLE,
                          "the peer asks for %s === %s; no network is listed here for its identity",
                          dt_selectors_str(a, sizeof(a), &tsi), dt_selectors_str(b, sizeof(b), &tsr));
    if (!dt_selectors_narrow(&out->remote_ts, &tsi, &remote) ||
        !dt_selectors_narrow(&out->local_ts, &tsr, &local))
        return dt_err_set(err, DT_N_TS_UNACCEPTABLE, "the peer asks for %s === %s; here is allowed %s === %s",
                          dt_selectors_str(a, sizeof(a), &tsi), dt_selectors_str(b, sizeof(b), &tsr),
                          dt_selectors_str(c, sizeof(c), &remote), dt_selectors_str(d, sizeof(d), &local));
    lost_i = left_out(&out->remote_ts, &tsi, &remote);
    lost_r = left_out(&out->local_ts, &tsr, &local);
    if (lost_i || lost_r)
        return too_many_selectors("asks for what comes to", lost_i ? lost_i : lost_r, err);
    bool asks = ike_find_notify(in, DT_N_USE_TRANSPORT_MODE, &n);
    if (asks != s->cfg->transport && !asks)
        return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN,
                          "the peer asks for tunnel mode; here is configured transport "
                          "mode");
    out->transport = asks && s->cfg->transport;
    child_fill(s, chosen, out);
    return child_admit(s, out, err);
}

void ike_offer_answer_sa(struct dt_ike_builder *b, const struct dt_proposal *chosen, uint32_t spi_in)
{
    struct dt_proposals one = {.n = 1, .v = {*chosen}};
    one.v[0].spi_len = 4;
    dt_put_be32(one.v[0].spi, spi_in);
    dt_ike_sa_write(b, &one);
}

/* Of an answer: the peer began, so TSi is its side. */
void ike_offer_answer_ts(struct dt_ike_builder *b, const struct dt_child_sa *sa)
{
    dt_ike_ts_write(b, DT_P_TSI, &sa->remote_ts);
    dt_ike_ts_write(b, DT_P_TSR, &sa->local_ts);
    if (sa->transport)
        ike_write_notify(b, DT_N_USE_TRANSPORT_MODE, dt_span(NULL, 0));
    ike_write_notify(b, DT_N_ESP_TFC_PADDING_NOT_SUPPORTED, dt_span(NULL, 0));
}
