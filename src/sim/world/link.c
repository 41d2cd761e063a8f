#include "sim/world/link.h"

uint32_t sim_chance(double share)
{
    if (share <= 0)
        return 0;
    return share >= 1 ? UINT32_MAX : (uint32_t)(share * 4294967296.0);
}

static bool falls(struct dt_prng *rng, uint32_t chance)
{
    /* a certainty must be one, and a link without a chance must not use up a number */
    return chance && (chance == UINT32_MAX || (uint32_t)(dt_prng_u64(rng) >> 32) < chance);
}

static dt_time arrival(struct sim_link *l, struct dt_prng *rng, dt_time leaves)
{
    dt_time at = leaves + l->delay;
    if (l->jitter)
        at += dt_prng_u64(rng) % (l->jitter + 1);
    if (falls(rng, l->reorder)) {
        l->reordered++;
        return at + l->reorder_by;
    }
    if (at < l->last)
        at = l->last;
    l->last = at;
    return at;
}

int sim_link_send(struct sim_link *l, struct dt_prng *rng, dt_time now, uint32_t octets, dt_time at[2])
{
    dt_time leaves = now;
    l->sent++;
    if (l->down || falls(rng, l->loss)) {
        l->lost++;
        return 0;
    }
    if (l->bits_per_s) {
        dt_time begin = l->wire_free > now ? l->wire_free : now;
        if (l->queue && begin - now > l->queue) {
            l->lost++;
            return 0;
        }
        leaves = l->wire_free = begin + (dt_time)octets * 8 * DT_SEC / l->bits_per_s;
    }
    at[0] = arrival(l, rng, leaves);
    if (!falls(rng, l->duplicate))
        return 1;
    l->duplicated++;
    at[1] = arrival(l, rng, leaves);
    return 2;
}
