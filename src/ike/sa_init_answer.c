/* IKE_SA_INIT, the responder's side. Whatever refuses a request here leaves no state behind. */
#include "ike/internal.h"

#include <stdlib.h>

struct request {
    const struct dt_ike_cfg *cfg;
    enum ike_proof proof;
    struct dt_proposals offered;
    struct dt_proposal chosen;
    struct dt_ike_ke ke;
    struct dt_span ni;
};

/* ---- answers outside any session: one notify, responder's SPI 0 ---- */

/* takes: with NO_PROPOSAL_CHOSEN, what would have been taken, where that fits. */
static void sa_init_answer_clear(struct dt_ike *ike, const struct ike_msg *m, uint16_t type,
                                 struct dt_span data, const struct dt_proposals *takes)
{
    uint8_t buf[384];
    struct dt_ike_builder b;
    struct dt_ike_header h = {
        .spi_i = m->h.spi_i, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_RESPONSE, .mid = m->h.mid};
    dt_ike_build(&b, buf, sizeof(buf), &h);
    ike_write_notify(&b, type, data);
    size_t sofar = DT_IKE_HEADER_LEN + 8 + data.len; /* header, and one notify */
    if (takes && m->len > sofar)
        ike_takes_write(&b, takes, m->len - sofar);
    size_t len = dt_ike_build_end(&b);
    if (len && len <= m->len)
        ike_send(ike, NULL, m->path, buf, len, 0);
}

/* Never held back: it is what lets a guest through while a flood uses up all other answers. */
static void demand_cookie(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni)
{
    uint8_t cookie[IKE_COOKIE_MAX];
    size_t len = ike_cookie_make(ike, m, ni, cookie);
    ike->count.cookies_sent++;
    sa_init_answer_clear(ike, m, DT_N_COOKIE, dt_span(cookie, len), NULL);
}

/* A refusal is sent as long as there are any left; then who has shown nothing is asked for a cookie first. */
static void refuse_init(struct dt_ike *ike, const struct ike_msg *m, const struct request *r, uint16_t type,
                        struct dt_span data)
{
    if (r->proof < PROOF_COOKIE && r->ni.len && ike_door_cookies(ike, m->path))
        demand_cookie(ike, m, r->ni);
    else if (ike_door_answer(ike, m->path, r->proof))
        sa_init_answer_clear(ike, m, type, data, type == DT_N_NO_PROPOSAL_CHOSEN ? &r->cfg->ike : NULL);
}

/* ---- repeated requests ---- */

static uint64_t init_hash(const struct dt_ike *ike, uint64_t spi_i, const struct dt_addrport *remote)
{
    struct {
        uint64_t spi;
        struct dt_addr addr;
        uint16_t port;
    } key;
    memset(&key, 0, sizeof(key));
    key.spi = spi_i;
    key.addr = remote->addr;
    key.port = remote->port;
    return dt_siphash(&ike->hash_key, &key, sizeof(key));
}

/* The half-open session that this very request began. */
static struct ike_handshake *repeated(struct dt_ike *ike, const struct ike_msg *m)
{
    uint64_t hash = init_hash(ike, m->h.spi_i, &m->path->remote);
    for (struct dt_table_node *n = dt_table_first(&ike->by_init, hash); n; n = dt_table_next(n)) {
        struct ike_handshake *hs = DT_CONTAINER_OF(n, struct ike_handshake, node);
        if (hs->got.len == m->len && !memcmp(hs->got.p, m->data, m->len) &&
            dt_addrport_eq(&hs->init_path.remote, &m->path->remote))
            return hs;
    }
    return NULL;
}

/* ---- parse, choose, plan ---- */

static int read_request(const struct ike_msg *m, struct request *r)
{
    const struct dt_ike_payload *psa = dt_ike_find(&m->outer, DT_P_SA),
                                *pke = dt_ike_find(&m->outer, DT_P_KE),
                                *pn = dt_ike_find(&m->outer, DT_P_NONCE);
    return !psa || !pke || !pn || dt_ike_nonce_read(&r->ni, pn->body) ||
                   dt_ike_sa_read(&r->offered, psa->body) || dt_ike_ke_read(&r->ke, pke->body)
               ? -1
               : 0;
}

#define LISTS_MAX 8 /* of proposals at one address */

static unsigned count_that_allow(const struct dt_ike_cfg *const *cfg, unsigned n,
                                 const struct dt_proposal *chosen)
{
    const struct dt_proposals one = {.n = 1, .v = {*chosen}};
    struct dt_proposal again;
    unsigned allow = 0;
    for (unsigned i = 0; i < n; i++)
        allow += dt_proposals_choose(&again, &cfg[i]->ike, &one, 0, 0);
    return allow;
}

/* Several may be served here, and whom the peer wants it says later: what most of them allow, then what the peer likes best,
 * then what the first of them likes best. r->cfg is one that allows it. False: nothing in common with any. */
static bool choose_for_all(struct dt_ike *ike, const struct ike_msg *m, struct request *r)
{
    const struct dt_ike_cfg *cfg[LISTS_MAX] = {r->cfg};
    unsigned n = 1, most = 0;
    while (n < LISTS_MAX && (cfg[n] = ike->ops.lookup(ike->ctx, m->path, n)))
        n++;
    if (n == 1)
        return dt_proposals_choose(&r->chosen, &r->cfg->ike, &r->offered, r->ke.group, 0);
    for (unsigned i = 0; i < n; i++) {
        struct dt_proposal p;
        if (!dt_proposals_choose(&p, &cfg[i]->ike, &r->offered, r->ke.group, 0))
            continue;
        unsigned allow = count_that_allow(cfg, n, &p);
        if (allow > most || (allow == most && p.number < r->chosen.number)) {
            most = allow;
            r->chosen = p;
            r->cfg = cfg[i];
        }
    }
    return most > 0;
}

/* True: an algorithm for everything, and the KE payload is of the chosen group. */
static bool sa_init_choose(struct dt_ike *ike, const struct ike_msg *m, struct request *r)
{
    char own[200], offered[200];
    if (!choose_for_all(ike, m, r)) {
        ike_event(ike, NULL, DT_IKE_EV_REFUSED, m->path, DT_N_NO_PROPOSAL_CHOSEN,
                  "no common IKE proposal: the peer offers %s; here is allowed %s",
                  dt_proposals_str(offered, sizeof(offered), &r->offered),
                  dt_proposals_str(own, sizeof(own), &r->cfg->ike));
        refuse_init(ike, m, r, DT_N_NO_PROPOSAL_CHOSEN, dt_span(NULL, 0));
        return false;
    }
    uint16_t group = dt_proposal_id(&r->chosen, DT_TRANSFORM_KE, NULL);
    if (group != r->ke.group) {
        uint8_t want[2];
        dt_put_be16(want, group);
        refuse_init(ike, m, r, DT_N_INVALID_KE_PAYLOAD, dt_span(want, 2));
        return false;
    }
    if (r->ke.data.len == dt_ke_public_len(group) && r->chosen.spi_len == 0 &&
        ike_nonce_fits(dt_proposal_id(&r->chosen, DT_TRANSFORM_PRF, NULL), r->ni))
        return true;
    refuse_init(ike, m, r, DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
    return false;
}

/* No longer than the peer's, so that a short request is answered; that has half of the PRF's key at least. */
static uint16_t nonce_len(const struct request *r)
{
    return (uint16_t)(r->ni.len < IKE_NONCE_LEN ? r->ni.len : IKE_NONCE_LEN);
}

static bool has_notify(const struct ike_msg *m, uint16_t type)
{
    struct dt_ike_notify_payload n;
    return ike_find_notify(&m->outer, type, &n);
}

static void payloads_write(struct dt_ike_builder *b, const struct dt_proposal *chosen, uint16_t group,
                           struct dt_span public, struct dt_span nonce)
{
    struct dt_proposals one = {.n = 1, .v = {*chosen}};
    dt_ike_sa_write(b, &one);
    dt_ike_ke_write(b, group, public);
    dt_ike_raw_write(b, DT_P_NONCE, nonce);
}

static void certificates_announce(struct dt_ike_builder *b, const struct ike_init_plan *p)
{
    ike_certreq_write(b, &p->certreq);
    if (p->hashes)
        ike_hashes_write(b);
}

/* The message with zeros in the place of everything that would have to be computed. */
static size_t planned_len(struct dt_ike *ike, const struct request *r, const struct ike_init_plan *p)
{
    static const uint8_t zero[DT_KE_MAX];
    struct dt_ike_header h = {.exchange = DT_IKE_SA_INIT};
    struct dt_ike_builder b;
    dt_ike_build(&b, ike->scratch, sizeof(ike->scratch), &h);
    payloads_write(&b, &r->chosen, p->group, dt_span(zero, dt_ke_public_len(p->group)),
                   dt_span(zero, p->nonce_len));
    if (p->nat) {
        ike_write_notify(&b, DT_N_NAT_DETECTION_SOURCE_IP, dt_span(zero, IKE_NAT_HASH));
        ike_write_notify(&b, DT_N_NAT_DETECTION_DESTINATION_IP, dt_span(zero, IKE_NAT_HASH));
    }
    certificates_announce(&b, p);
    return dt_ike_build_end(&b);
}

/* Whose certificates somebody here takes: whom the peer wants is not known yet. */
static void plan_certificates(struct dt_ike *ike, const struct ike_msg *m, struct ike_init_plan *p)
{
    const struct dt_ike_cfg *cfg;
    for (unsigned n = 0; n < LISTS_MAX && (cfg = ike->ops.lookup(ike->ctx, m->path, n)); n++)
        if (cfg->proofs.trust)
            ike_certreq_add(&p->certreq, cfg->proofs.trust);
    p->hashes = p->certreq.wanted && ike_hashes_read(&m->outer);
}

/* Nobody who has not shown that he is where he says gets more octets than he sent: a cookie is asked for first (false). */
static bool plan_answer(struct dt_ike *ike, const struct ike_msg *m, const struct request *r,
                        struct ike_init_plan *p)
{
    *p = (struct ike_init_plan){.group = r->ke.group,
                                .nonce_len = nonce_len(r),
                                .nat = r->cfg->encap != DT_ENCAP_OFF &&
                                       has_notify(m, DT_N_NAT_DETECTION_SOURCE_IP) &&
                                       has_notify(m, DT_N_NAT_DETECTION_DESTINATION_IP),
                                .force = r->cfg->encap == DT_ENCAP_FORCE};
    plan_certificates(ike, m, p);
    p->len = planned_len(ike, r, p);
    if (p->len > m->len &&
        r->proof < PROOF_COOKIE) { /* an empty request for certificates asks for the same */
        p->certreq.n = 0;
        p->len = planned_len(ike, r, p);
    }
    return p->len && (p->len <= m->len || r->proof >= PROOF_COOKIE);
}

/* ---- make ---- */

static void request_failed(struct dt_ike_session *s, const struct ike_msg *m, const struct dt_err *err)
{
    struct dt_ike *ike = s->ike;
    enum ike_proof proof = s->hs->proved ? PROOF_COOKIE : PROOF_NONE;
    if (err->notify == DT_N_INVALID_SYNTAX && ike_door_answer(ike, m->path, proof))
        sa_init_answer_clear(ike, m, DT_N_INVALID_SYNTAX, dt_span(NULL, 0), NULL);
    ike_event(ike, NULL, DT_IKE_EV_REFUSED, m->path, err->notify, "%s", err->text);
    ike_session_end(s, NULL);
}

static size_t answer_build(struct dt_ike_session *s)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    struct dt_ike_header h;
    struct dt_ike_builder b;
    ike_header(s->current, &h, DT_IKE_SA_INIT, true, 0);
    dt_ike_build(&b, ike->scratch, sizeof(ike->scratch), &h);
    payloads_write(&b, &hs->chosen, hs->group, dt_dh_public(hs->dh), dt_span(hs->nonce, hs->nonce_len));
    if (hs->plan.nat)
        ike_nat_write(ike, &b, h.spi_i, h.spi_r, &hs->init_path, hs->plan.force);
    certificates_announce(&b, &hs->plan);
    return dt_ike_build_end(&b);
}

static int make_keys(struct ike_sa *sa, const struct ike_msg *m, const struct dt_ike_ke *ke,
                     struct dt_err *err)
{
    struct ike_handshake *hs = sa->session->hs;
    uint8_t shared[DT_KE_MAX];
    int rc = ike_work_take(sa, m, hs->group, ke->data, &hs->dh, shared, err);
    if (!rc)
        rc = ike_keys_derive(sa, NULL, dt_span(shared, dt_ke_shared_len(sa->group)),
                             ike_nonce_span(&hs->peer_nonce), dt_span(hs->nonce, hs->nonce_len), hs, err);
    dt_wipe(shared, sizeof(shared));
    return rc;
}

/* The session has its place; the key exchange, and the answer. */
static void init_answer(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    struct dt_err err = {0};
    struct dt_ike_ke ke;
    const struct dt_ike_payload *pke = dt_ike_find(&m->outer, DT_P_KE);
    if (!pke || dt_ike_ke_read(&ke, pke->body) ||
        !ike_work_ready(sa, m, hs->group, ke.data, NULL, init_answer))
        return;
    size_t len = make_keys(sa, m, &ke, &err) ? 0 : answer_build(s);
    if (!len || ike_bytes_set(&hs->sent, ike->scratch, len) || ike_response_set(sa, ike->scratch, len)) {
        request_failed(s, m, &err);
        return;
    }
    dt_dh_free(hs->dh);
    hs->dh = NULL;
    sa->state = SA_AUTH;
    s->state = DT_SESSION_AUTH; /* s->cfg stays NULL until authorize: nobody promised to keep this one */
    ike->count.sessions_opened++;
    ike_response_send(sa, m->path, 0);
}

/* What there is before the key exchange. -1: no memory, or *err. */
static int session_prepare(struct dt_ike_session *s, const struct ike_msg *m, const struct request *r,
                           const struct ike_init_plan *p, struct dt_err *err)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    bool local, remote;
    struct ike_sa *sa = s->current = ike_sa_new(s, false, 0);
    if (!sa || ike_sa_set_algorithms(sa, &r->chosen, err))
        return -1;
    sa->spi_remote = m->h.spi_i;
    if (p->nat && ike_nat_read(ike, m, m->h.spi_i, 0, &local, &remote)) {
        s->nat_local = local;
        s->nat_remote = remote || p->force;
    }
    hs->group = sa->group;
    hs->chosen = r->chosen;
    hs->plan = *p;
    hs->init_path = *m->path;
    hs->nonce_len = p->nonce_len;
    dt_rand_fill(&ike->rand, hs->nonce, hs->nonce_len);
    hs->peer_nonce.len = (uint16_t)r->ni.len;
    memcpy(hs->peer_nonce.data, r->ni.p, r->ni.len);
    hs->peer_hashes = ike_hashes_read(&m->outer);
    if (ike_bytes_set(&hs->got, m->data, m->len) ||
        dt_table_insert(&ike->by_init, &hs->node, init_hash(ike, m->h.spi_i, &m->path->remote)))
        return -1;
    hs->in_table = true;
    return dt_heap_set(&ike->timers, &sa->life.t, dt_time_add(ike->now, ike->params.door.half_open_timeout));
}

static void session_begin(struct dt_ike *ike, struct ike_msg *m, const struct request *r,
                          const struct ike_init_plan *p)
{
    struct dt_err err = {0};
    struct dt_ike_session *s = ike_session_new(ike, false, m->path);
    if (!s)
        return;
    if (ike_door_enter(s, dt_ke_work(p->group), r->proof) || session_prepare(s, m, r, p, &err))
        request_failed(s, m, &err);
    else
        init_answer(s->current, m);
}

/* Parse, choose, plan, and only then make: nothing is computed for who must bring a cookie first. */
void ike_init_got_request(struct dt_ike *ike, struct ike_msg *m)
{
    struct request r = {.proof = PROOF_NONE};
    struct ike_init_plan p;
    struct ike_handshake *old = repeated(ike, m);
    if (old) {
        ike->count.retransmits_in++;
        if (old->sent.p) /* else its keys are being made */
            ike_send(ike, NULL, m->path, old->sent.p, old->sent.len, DT_IKE_SEND_AGAIN);
        return;
    }
    r.cfg = ike->ops.lookup ? ike->ops.lookup(ike->ctx, m->path, 0) : NULL;
    if (!r.cfg || m->h.mid != 0 || !m->h.spi_i || m->len > IKE_INIT_MAX) {
        ike->count.malformed += r.cfg != NULL;
        return;
    }
    if (m->outer.unknown_critical) {
        refuse_init(ike, m, &r, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD, dt_span(&m->outer.unknown_critical, 1));
        return;
    }
    if (read_request(m, &r)) {
        ike->count.malformed++;
        refuse_init(ike, m, &r, DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
        return;
    }
    r.proof = ike_cookie_valid(ike, m, r.ni) ? PROOF_COOKIE : PROOF_NONE;
    if (r.proof < PROOF_COOKIE && ike_door_cookie_first(ike, m->path, dt_ke_work(r.ke.group))) {
        demand_cookie(ike, m, r.ni);
        return;
    }
    if (!sa_init_choose(ike, m, &r))
        return;
    bool fits = plan_answer(ike, m, &r, &p);
    enum ike_door_verdict v = fits ? ike_door_admit(ike, m->path, dt_ke_work(p.group), r.proof) : DOOR_COOKIE;
    if (v == DOOR_COOKIE && r.proof < PROOF_COOKIE)
        demand_cookie(ike, m, r.ni);
    else if (v == DOOR_OPEN)
        session_begin(ike, m, &r, &p);
}
