/* Packets that wait for their tunnel (hold/hold.h), as the workers see them: each has its own part of the queue. */
#include <assert.h>

#include "net/dp.h"

static_assert(sizeof(struct dt_vnet) <= DT_HELD_META, "the offload header is kept with a packet that waits");

bool dp_hold(struct dp_worker *w, struct dp_tunnel *t, const struct dt_vnet *vnet, const uint8_t *packet,
             size_t len)
{
    unsigned dropped;
    bool waits = dt_hold_put(&w->dp->hold, &t->hold, &t->part[w->index], w->now, vnet, sizeof *vnet, packet,
                             len, &dropped);
    if (dropped)
        dp_count(w, DT_DPC_OUT_HOLD_DROP, dropped);
    if (waits)
        dp_count(w, DT_DPC_OUT_HELD, 1);
    return waits;
}

struct hold_for {
    struct dp_worker *w;
    struct dp_tunnel *t;
};

static void held_out(void *ctx, void *sa, struct dt_held *e)
{
    struct hold_for *f = ctx;
    struct dt_vnet vnet;
    memcpy(&vnet, e->meta, sizeof vnet);
    dp_packet_out(f->w, f->t, sa, &vnet, e->packet, e->len);
}

/* Sends, keeps or drops what this worker holds, as the tunnel's state now says. */
void dp_release(struct dp_worker *w, struct dp_tunnel *t)
{
    struct dt_hold_part *part = &t->part[w->index];
    struct hold_for f = {w, t};
    void *sa;
    if (part->head && dt_out_choose(&t->out, &sa) == DT_OUT_HOLD && rcu_dereference(t->desc)->t.catch_all)
        dp_rematch(w, t);
    unsigned dropped = dt_hold_release(&w->dp->hold, &t->hold, part, &t->out, held_out, &f);
    if (dropped)
        dp_count(w, DT_DPC_OUT_HOLD_DROP, dropped);
}

static bool held_again(void *ctx, struct dt_held *e)
{
    struct hold_for *f = ctx;
    struct dt_vnet vnet;
    memcpy(&vnet, e->meta, sizeof vnet);
    return dp_packet_again(f->w, f->t, &vnet, e->packet, e->len);
}

void dp_rematch(struct dp_worker *w, struct dp_tunnel *t)
{
    struct hold_for f = {w, t};
    unsigned dropped =
        dt_hold_sift(&w->dp->hold, &t->hold, &t->part[w->index], w->now, DT_DP_HOLD_AGE, held_again, &f);
    if (dropped)
        dp_count(w, DT_DPC_OUT_HOLD_DROP, dropped);
}

/* When no worker can see the tunnel any more. */
void dp_hold_free(struct dt_dp *dp, struct dp_tunnel *t)
{
    for (unsigned i = 0; i < t->workers; i++)
        dt_hold_clear(&dp->hold, &t->hold, &t->part[i]);
}
