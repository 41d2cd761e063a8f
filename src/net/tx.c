/* The batch of packets that a worker is filling: of one SA, in sending order, sealed together and sent together. */
#include "net/dp.h"

#define CHUNK 16 /* packets that are sealed while they still lie in the nearest cache */

/* Seals what was filled since the last time. */
static void seal(struct dp_worker *w)
{
    struct dp_tx *x = &w->tx;
    struct dp_sa *sa = x->sa;
    unsigned from = x->sealed;
    unsigned notes = dt_esp_seal(sa->out, w->now, x->pkt + from, x->n - from);

    x->sealed = x->n;
    if (notes & DT_ESP_NOTE_SOFT)
        dp_event(w, &(struct dt_dp_event){.kind = DT_DP_SOFT, .sa = sa->id, .tunnel = sa->tunnel->id});
    if (notes & DT_ESP_NOTE_HARD) {
        for (unsigned i = from; i < x->n; i++)
            dp_count(w, DT_DPC_OUT_EXHAUSTED, x->pkt[i].verdict == DT_ESP_EXHAUSTED);
        uint64_t last = atomic_load_explicit(&sa->hard_at, memory_order_relaxed);
        if ((last == 0 || w->now - last >= DT_SEC) &&
            atomic_compare_exchange_strong(&sa->hard_at, &last, w->now))
            dp_event(w, &(struct dt_dp_event){.kind = DT_DP_HARD, .sa = sa->id, .tunnel = sa->tunnel->id});
    }
}

uint8_t *dp_tx_room(struct dp_worker *w, struct dp_sa *sa, size_t len, uint8_t next, uint8_t tos, bool df)
{
    struct dp_tx *x = &w->tx;
    size_t sealed = dt_esp_sealed_len(sa->out, len);

    if (x->n && (x->sa != sa || x->n == DT_ESP_BATCH || x->used + sealed > DP_TX_BUF))
        dp_tx_flush(w);
    if (x->n - x->sealed == CHUNK)
        seal(w);
    if (x->used + sealed > DP_TX_BUF)
        return NULL;
    x->sa = sa;
    x->tos[x->n] = tos;
    x->df[x->n] = df;
    uint8_t *p = x->buf + x->used + dt_esp_head_len(sa->out);
    x->pkt[x->n] = (struct dt_esp_pkt){.p = p, .len = (uint32_t)len, .next = next};
    x->n++;
    x->used += sealed;
    return p;
}

void dp_tx_flush(struct dp_worker *w)
{
    struct dp_tx *x = &w->tx;
    if (x->n == 0)
        return;
    if (x->sealed < x->n)
        seal(w);
    dp_outer_send(w);
    x->n = 0;
    x->sealed = 0;
    x->used = 0;
}
