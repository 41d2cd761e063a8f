/* IKE SAs: SPIs, sealing and opening of messages (RFC 7296 sections 2.6, 3.1 and 3.14). */
#include "ike/internal.h"

#include <stdlib.h>

static uint64_t sa_spi_hash(const struct dt_ike *ike, uint64_t spi)
{
    return dt_siphash(&ike->hash_key, &spi, sizeof(spi));
}

struct ike_sa *ike_sa_by_spi(const struct dt_ike *ike, uint64_t spi_local)
{
    uint64_t hash = sa_spi_hash(ike, spi_local);
    for (struct dt_table_node *n = dt_table_first(&ike->by_spi, hash); n; n = dt_table_next(n)) {
        struct ike_sa *sa = DT_CONTAINER_OF(n, struct ike_sa, node);
        if (sa->spi_local == spi_local)
            return sa;
    }
    return NULL;
}

uint64_t ike_new_spi(struct dt_ike *ike)
{
    uint64_t spi;
    do
        spi = dt_rand_u64(&ike->rand);
    while (!spi || ike_sa_by_spi(ike, spi));
    return spi;
}

struct ike_sa *ike_sa_new(struct dt_ike_session *s, bool initiator, uint64_t spi_local)
{
    struct dt_ike *ike = s->ike;
    struct ike_sa *sa = calloc(1, sizeof(*sa));
    if (!sa)
        return NULL;
    sa->session = s;
    sa->initiator = initiator;
    sa->spi_local = spi_local ? spi_local : ike_new_spi(ike);
    dt_timer_init(&sa->retransmit.t);
    dt_timer_init(&sa->life.t);
    sa->retransmit.kind = TIMER_RETRANSMIT;
    sa->life.kind = TIMER_LIFE;
    if (dt_heap_reserve(&ike->timers, IKE_SA_TIMERS)) { /* so that no timer is lost later */
        free(sa);
        return NULL;
    }
    if (dt_table_insert(&ike->by_spi, &sa->node, sa_spi_hash(ike, sa->spi_local))) {
        dt_heap_unreserve(&ike->timers, IKE_SA_TIMERS);
        free(sa);
        return NULL;
    }
    dt_list_add_tail(&s->sas, &sa->link);
    ike->nsas++;
    return sa;
}

bool ike_sas_full(const struct dt_ike_session *s)
{
    unsigned n = 0;
    dt_list_for_each (l, &s->sas)
        n++;
    return n >= s->ike->params.ike_sas_max;
}

void ike_sa_end(struct ike_sa *sa)
{
    struct dt_ike *ike = sa->session->ike;
    if (sa->state == SA_DEAD)
        return;
    sa->state = SA_DEAD;
    ike_work_abandon_sa(sa);
    dt_table_remove(&ike->by_spi, &sa->node);
    dt_heap_set(&ike->timers, &sa->retransmit.t, DT_NEVER);
    dt_heap_set(&ike->timers, &sa->life.t, DT_NEVER);
    dt_heap_unreserve(&ike->timers, IKE_SA_TIMERS);
    dt_cipher_free(sa->seal);
    dt_cipher_free(sa->open);
    sa->seal = sa->open = NULL;
    dt_wipe(sa->sk_d, sizeof(sa->sk_d));
    ike_exchange_free(sa->ex);
    sa->ex = NULL;
    ike_bytes_free(&sa->request);
    ike_bytes_free(&sa->response);
    dt_list_del(&sa->link);
    dt_list_add_tail(&ike->dead_sas, &sa->link);
    ike->nsas--;
    dt_list_for_each (l, &sa->session->sas) {
        struct ike_exchange *ex = DT_CONTAINER_OF(l, struct ike_sa, link)->ex;
        if (ex && ex->rival_sa == sa)
            ex->rival_sa = NULL;
    }
    if (sa->session->current == sa)
        sa->session->current = NULL;
    ike_kick(sa->session);
}

void ike_sa_free(struct ike_sa *sa)
{
    free(sa);
}

int ike_sa_set_algorithms(struct ike_sa *sa, const struct dt_proposal *chosen, struct dt_err *err)
{
    sa->suite = dt_proposal_suite(chosen);
    sa->prf = dt_proposal_id(chosen, DT_TRANSFORM_PRF, NULL);
    sa->group = dt_proposal_id(chosen, DT_TRANSFORM_KE, NULL);
    if (!dt_prf_len(sa->prf) || !dt_ke_public_len(sa->group))
        return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN, "PRF %u or group %u is not known here", sa->prf,
                          sa->group);
    return dt_suite_check(&sa->suite, err);
}

void ike_header(const struct ike_sa *sa, struct dt_ike_header *h, uint8_t exchange, bool response,
                uint32_t mid)
{
    *h = (struct dt_ike_header){
        .spi_i = sa->initiator ? sa->spi_local : sa->spi_remote,
        .spi_r = sa->initiator ? sa->spi_remote : sa->spi_local,
        .exchange = exchange,
        .flags =
            (uint8_t)((sa->initiator ? DT_IKE_FLAG_INITIATOR : 0) | (response ? DT_IKE_FLAG_RESPONSE : 0)),
        .mid = mid,
    };
}

void ike_sk_begin(struct ike_sa *sa, struct dt_ike_builder *b, uint8_t exchange, bool response)
{
    struct dt_ike *ike = sa->session->ike;
    struct dt_ike_header h;
    ike_header(sa, &h, exchange, response, response ? sa->mid_in : sa->mid_out);
    dt_ike_build(b, ike->scratch, sizeof(ike->scratch), &h);
    dt_ike_sk_begin(b, sa->seal ? sa->seal->iv_len : 0);
}

static struct dt_cipher_op cipher_op(const struct dt_ike_sk *sk)
{
    return (struct dt_cipher_op){.iv = sk->iv,
                                 .text = sk->text,
                                 .len = (uint32_t)sk->len,
                                 .aad = sk->aad,
                                 .aad_len = (uint16_t)sk->aad_len,
                                 .icv = sk->icv};
}

size_t ike_sk_end(struct ike_sa *sa, struct dt_ike_builder *b)
{
    struct dt_ike_sk sk;
    if (!sa->seal)
        return 0;
    size_t len = dt_ike_sk_end(b, sa->seal->block_len, sa->seal->icv_len, &sk);
    if (!len)
        return 0;
    dt_cipher_iv(sa->seal, ++sa->iv_counter, sk.iv);
    struct dt_cipher_op op = cipher_op(&sk);
    return dt_cipher_seal(sa->seal, &op) ? 0 : len;
}

int ike_sk_open(struct ike_sa *sa, struct ike_msg *m)
{
    struct dt_ike_sk sk;
    const struct dt_ike_payload *p = dt_ike_find(&m->outer, DT_P_SK);
    if (!p || !sa->open ||
        dt_ike_sk_split(m->data, p, sa->open->iv_len, sa->open->block_len, sa->open->icv_len, &sk) ||
        sk.aad_len > UINT16_MAX)
        return -1;
    struct dt_cipher_op op = cipher_op(&sk);
    if (dt_cipher_open(sa->open, &op))
        return -1;
    return dt_ike_sk_payloads(&m->inner, p, &sk) ? -2 : 0;
}
