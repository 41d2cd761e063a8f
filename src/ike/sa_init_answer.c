/* IKE_SA_INIT, the responder's side. Whatever refuses a request here leaves no state behind. */
#include "ike/internal.h"

#include <stdlib.h>

/* An answer outside any session: one notify (with NO_PROPOSAL_CHOSEN, what would have been taken, where that fits),
 * responder's SPI 0. */
static void answer_with(struct dt_ike *ike, const struct ike_msg *m, uint16_t type, struct dt_span data,
                        const struct dt_proposals *takes)
{
    uint8_t buf[384];
    struct dt_ike_builder b;
    struct dt_ike_header h = {
        .spi_i = m->h.spi_i, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_RESPONSE, .mid = m->h.mid};
    /* A cookie is never held back: it is what lets a guest through while a flood uses up all other answers. */
    if (type != DT_N_COOKIE && !ike_unauth_allowed(ike))
        return;
    dt_ike_build(&b, buf, sizeof(buf), &h);
    ike_write_notify(&b, type, data);
    size_t sofar = DT_IKE_HEADER_LEN + 8 + data.len; /* header, and one notify */
    if (takes && m->len > sofar)
        ike_takes_write(&b, takes, m->len - sofar);
    size_t len = dt_ike_build_end(&b);
    if (len && len <= m->len)
        ike_send(ike, NULL, m->path, buf, len, 0);
}

static void answer(struct dt_ike *ike, const struct ike_msg *m, uint16_t type, struct dt_span data)
{
    answer_with(ike, m, type, data, NULL);
}

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

struct request {
    const struct dt_ike_cfg *cfg;
    struct dt_proposals offered;
    struct dt_proposal chosen;
    struct dt_ike_ke ke;
    struct dt_span ni;
};

static int read_request(const struct ike_msg *m, struct request *r)
{
    const struct dt_ike_payload *psa = dt_ike_find(&m->outer, DT_P_SA),
                                *pke = dt_ike_find(&m->outer, DT_P_KE),
                                *pn = dt_ike_find(&m->outer, DT_P_NONCE);
    return !psa || !pke || !pn || dt_ike_sa_read(&r->offered, psa->body) ||
                   dt_ike_ke_read(&r->ke, pke->body) || dt_ike_nonce_read(&r->ni, pn->body)
               ? -1
               : 0;
}

/* True: an algorithm for everything, and the KE payload is of the chosen group. */
static bool choose(struct dt_ike *ike, const struct ike_msg *m, struct request *r)
{
    char own[200], offered[200];
    if (!dt_proposals_choose(&r->chosen, &r->cfg->ike, &r->offered, r->ke.group, 0)) {
        ike_event(ike, NULL, DT_IKE_EV_REFUSED, m->path, DT_N_NO_PROPOSAL_CHOSEN,
                  "no common IKE proposal: the peer offers %s; here is allowed %s",
                  dt_proposals_str(offered, sizeof(offered), &r->offered),
                  dt_proposals_str(own, sizeof(own), &r->cfg->ike));
        answer_with(ike, m, DT_N_NO_PROPOSAL_CHOSEN, dt_span(NULL, 0), &r->cfg->ike);
        return false;
    }
    uint16_t group = dt_proposal_id(&r->chosen, DT_TRANSFORM_KE, NULL);
    if (group != r->ke.group) {
        uint8_t want[2];
        dt_put_be16(want, group);
        answer(ike, m, DT_N_INVALID_KE_PAYLOAD, dt_span(want, 2));
        return false;
    }
    return true;
}

static size_t build(struct dt_ike_session *s, const struct ike_msg *m, const struct request *r, bool vendor)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    struct dt_proposals one = {.n = 1, .v = {r->chosen}};
    struct dt_ike_header h;
    struct dt_ike_builder b;
    bool local, remote;
    ike_header(s->current, &h, DT_IKE_SA_INIT, true, 0);
    dt_ike_build(&b, ike->scratch, sizeof(ike->scratch), &h);
    dt_ike_sa_write(&b, &one);
    dt_ike_ke_write(&b, hs->group, dt_dh_public(hs->dh));
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(hs->nonce, IKE_NONCE_LEN));
    if (r->cfg->encap != DT_ENCAP_OFF && ike_nat_read(ike, m, m->h.spi_i, 0, &local, &remote)) {
        s->nat_local = local;
        s->nat_remote = remote || r->cfg->encap == DT_ENCAP_FORCE;
        ike_nat_write(ike, &b, h.spi_i, h.spi_r, m->path, r->cfg->encap == DT_ENCAP_FORCE);
    }
    if (vendor && ike->params.vendor_id.len)
        dt_ike_raw_write(&b, DT_P_VENDOR, ike->params.vendor_id);
    return dt_ike_build_end(&b);
}

/* Nobody who has not shown that he is where he says gets more octets than he sent: first the Vendor ID goes, then a
 * cookie is asked for (*proof). */
static size_t build_fitting(struct dt_ike_session *s, const struct ike_msg *m, const struct request *r,
                            bool *proof)
{
    size_t len = build(s, m, r, true);
    if (len <= m->len || *proof)
        return len;
    len = build(s, m, r, false);
    if (len <= m->len)
        return len;
    *proof = true;
    return 0;
}

/* -1: refused, with *err; 1: only with a cookie. */
static int begin(struct dt_ike_session *s, const struct ike_msg *m, const struct request *r,
                 struct dt_err *err)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    uint8_t shared[DT_KE_MAX];
    struct ike_sa *sa = s->current = ike_sa_new(s, false, 0);
    if (!sa || ike_sa_set_algorithms(sa, &r->chosen, err))
        return -1;
    sa->spi_remote = m->h.spi_i;
    sa->state = SA_AUTH;
    s->state = DT_SESSION_AUTH; /* s->cfg stays NULL until authorize: nobody promised to keep this one */
    hs->group = sa->group;
    hs->init_path = *m->path;
    dt_rand_fill(&ike->rand, hs->nonce, IKE_NONCE_LEN);
    hs->dh = dt_dh_new(ike->crypto, hs->group, &ike->rand, err);
    if (!hs->dh || dt_dh_shared(hs->dh, r->ke.data, shared, err))
        return -1;
    hs->peer_nonce.len = (uint16_t)r->ni.len;
    memcpy(hs->peer_nonce.data, r->ni.p, r->ni.len);
    int rc = ike_keys_derive(sa, NULL, dt_span(shared, dt_ke_shared_len(sa->group)), r->ni,
                             dt_span(hs->nonce, IKE_NONCE_LEN), hs, err);
    dt_wipe(shared, sizeof(shared));
    bool proof = ike_cookie_valid(ike, m, r->ni), had = proof;
    size_t len = rc ? 0 : build_fitting(s, m, r, &proof);
    if (proof && !had)
        return 1;
    if (!len || ike_bytes_set(&hs->got, m->data, m->len) || ike_bytes_set(&hs->sent, ike->scratch, len) ||
        ike_response_set(sa, ike->scratch, len))
        return -1;
    dt_dh_free(hs->dh);
    hs->dh = NULL;
    for (size_t i = 0; ike->params.vendor_id.len && i < m->outer.n; i++)
        if (m->outer.v[i].type == DT_P_VENDOR && m->outer.v[i].body.len == ike->params.vendor_id.len &&
            !memcmp(m->outer.v[i].body.p, ike->params.vendor_id.p, ike->params.vendor_id.len))
            s->same_vendor = true;
    return dt_table_insert(&ike->by_init, &hs->node, init_hash(ike, m->h.spi_i, &m->path->remote));
}

static void demand_cookie(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni)
{
    uint8_t cookie[IKE_COOKIE_MAX];
    size_t len = ike_cookie_make(ike, m, ni, cookie);
    ike->count.cookies_sent++;
    answer(ike, m, DT_N_COOKIE, dt_span(cookie, len));
}

void ike_init_got_request(struct dt_ike *ike, struct ike_msg *m)
{
    struct request r;
    struct dt_err err = {0};
    struct ike_handshake *old = repeated(ike, m);
    if (old) {
        ike->count.retransmits_in++;
        ike_send(ike, NULL, m->path, old->sent.p, old->sent.len, DT_IKE_SEND_AGAIN);
        return;
    }
    r.cfg = ike->ops.lookup ? ike->ops.lookup(ike->ctx, m->path) : NULL;
    if (!r.cfg || m->h.mid != 0 || !m->h.spi_i || m->len > IKE_INIT_MAX) {
        ike->count.malformed += r.cfg != NULL;
        return;
    }
    if (m->outer.unknown_critical) {
        answer(ike, m, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD, dt_span(&m->outer.unknown_critical, 1));
        return;
    }
    if (read_request(m, &r)) {
        ike->count.malformed++;
        answer(ike, m, DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
        return;
    }
    switch (ike_cookie_check(ike, m, r.ni)) {
    case COOKIE_DROP:
        return;
    case COOKIE_DEMAND:
        demand_cookie(ike, m, r.ni);
        return;
    case COOKIE_GO_ON:
        break;
    }
    if (!choose(ike, m, &r))
        return;
    struct dt_ike_session *s = ike_session_new(ike, false, m->path);
    if (!s)
        return;
    s->half_open = true;
    ike->nhalf_open++;
    int rc = begin(s, m, &r, &err);
    if (rc > 0) {
        demand_cookie(ike, m, r.ni);
        ike_session_end(s, NULL);
        return;
    }
    if (rc) {
        if (err.notify == DT_N_INVALID_SYNTAX)
            answer(ike, m, DT_N_INVALID_SYNTAX, dt_span(NULL, 0));
        ike_event(ike, NULL, DT_IKE_EV_REFUSED, m->path, err.notify, "%s", err.text);
        ike_session_end(s, NULL);
        return;
    }
    s->hs->in_table = true;
    ike->count.sessions_opened++;
    dt_heap_set(&ike->timers, &s->current->life.t, dt_time_add(ike->now, ike->params.half_open_timeout));
    ike_response_send(s->current, m->path, 0);
}
