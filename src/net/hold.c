/* Packets that wait for their tunnel. Each worker has its own part of a tunnel's queue, so that order within a flow
 * is kept and nothing is locked; the bounds hold for all workers together. */
#include <stdlib.h>

#include "net/dp.h"

bool dp_hold(struct dp_worker *w, struct dp_tunnel *t, const struct dp_desc *d, const struct dt_vnet *vnet,
             const uint8_t *packet, size_t len)
{
    struct dt_dp *dp = w->dp;
    struct dp_hold *h = &t->hold[w->index];
    struct dp_held *e = NULL;

    /* Reserve first, so that workers together cannot pass the bound. */
    unsigned held = atomic_fetch_add(&t->held, 1);
    uint64_t bytes = atomic_fetch_add(&t->held_bytes, len);
    uint64_t total = atomic_fetch_add(&dp->held_total, len);
    if (held < dp->cfg.hold_packets && bytes + len <= dp->cfg.hold_bytes &&
        total + len <= dp->cfg.hold_total_bytes)
        e = malloc(sizeof *e + len);
    if (!e) {
        atomic_fetch_sub(&t->held, 1);
        atomic_fetch_sub(&t->held_bytes, len);
        atomic_fetch_sub(&dp->held_total, len);
        atomic_fetch_add_explicit(&t->hold_drops, 1, memory_order_relaxed);
        dp_count(w, DT_DPC_OUT_HOLD_DROP, 1);
        return false;
    }
    e->next = NULL;
    e->vnet = *vnet;
    e->since = w->now;
    e->len = (uint32_t)len;
    memcpy(e->packet, packet, len);
    if (!h->head)
        h->tail = &h->head;
    *h->tail = e;
    h->tail = &e->next;
    dp_count(w, DT_DPC_OUT_HELD, 1);
    return true;
}

static struct dp_held *take(struct dt_dp *dp, struct dp_tunnel *t, struct dp_hold *h)
{
    struct dp_held *e = h->head;
    if (e) {
        h->head = e->next;
        atomic_fetch_sub(&t->held, 1);
        atomic_fetch_sub(&t->held_bytes, e->len);
        atomic_fetch_sub(&dp->held_total, e->len);
    }
    return e;
}

/* Sends, keeps or drops what this worker holds, as the tunnel's state now says. */
void dp_release(struct dp_worker *w, struct dp_tunnel *t)
{
    struct dp_hold *h = &t->hold[w->index];
    struct dp_sa *sa = rcu_dereference(t->out);
    int state = atomic_load(&t->state);

    if (h->head && state == DT_DP_HOLD && rcu_dereference(t->desc)->t.catch_all)
        dp_rematch(w, t);
    if (!h->head || state == DT_DP_HOLD || (state == DT_DP_SEND && !sa))
        return;
    for (struct dp_held *e; (e = take(w->dp, t, h));) {
        if (state == DT_DP_SEND) {
            atomic_fetch_add_explicit(&t->released, 1, memory_order_relaxed);
            dp_packet_out(w, t, sa, &e->vnet, e->packet, e->len);
        } else {
            atomic_fetch_add_explicit(&t->hold_drops, 1, memory_order_relaxed);
            dp_count(w, DT_DPC_OUT_HOLD_DROP, 1);
        }
        free(e);
    }
}

void dp_rematch(struct dp_worker *w, struct dp_tunnel *t)
{
    struct dp_hold *h = &t->hold[w->index], stay = {.head = NULL, .tail = &stay.head};
    struct dp_held *e;
    while ((e = h->head)) {
        h->head = e->next;
        bool old = e->since + DT_DP_HOLD_AGE < w->now;
        if (!old && !dp_packet_again(w, t, &e->vnet, e->packet, e->len)) {
            e->next = NULL;
            *stay.tail = e;
            stay.tail = &e->next;
            continue;
        }
        atomic_fetch_sub(&t->held, 1);
        atomic_fetch_sub(&t->held_bytes, e->len);
        atomic_fetch_sub(&w->dp->held_total, e->len);
        if (old) {
            atomic_fetch_add_explicit(&t->hold_drops, 1, memory_order_relaxed);
            dp_count(w, DT_DPC_OUT_HOLD_DROP, 1);
        } else {
            atomic_fetch_add_explicit(&t->released, 1, memory_order_relaxed);
        }
        free(e);
    }
    h->head = stay.head;
    h->tail = stay.head ? stay.tail : &h->head;
}

/* When no worker can see the tunnel any more. */
void dp_hold_free(struct dt_dp *dp, struct dp_tunnel *t)
{
    for (unsigned i = 0; i < t->workers; i++)
        for (struct dp_held *e; (e = take(dp, t, &t->hold[i]));)
            free(e);
}
