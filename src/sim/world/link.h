/* One direction of a link: delay, jitter, loss, reordering, duplication, bandwidth and outage. */
#ifndef DT_SIM_LINK_H
#define DT_SIM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "base/time.h"

struct sim_link {
    dt_time delay;       /* the least */
    dt_time jitter;      /* up to so much more, uniform; it never reorders by itself */
    uint32_t loss;       /* of 2^32 (sim_chance) */
    uint32_t duplicate;  /* of 2^32 */
    uint32_t reorder;    /* of 2^32: held back by `reorder_by`, so that later packets pass it */
    uint32_t slow_to;    /* what the node with this number is meant to get takes ... */
    dt_time slow_by;     /* ... so much longer, and others pass it; 0: nothing does */
    dt_time last;        /* when the last one that was not reordered arrives */
    uint64_t bits_per_s; /* 0: no limit */
    uint64_t sent;
    bool down;         /* an outage: everything is lost */
    dt_time queue;     /* longest wait for the wire before a packet is dropped; 0: no limit */
    dt_time wire_free; /* when the last packet will have left */
    dt_time reorder_by;
    uint64_t lost, duplicated, reordered;
};

/* A share of one as the links keep it. */
uint32_t sim_chance(double share);
/* Puts a packet of `octets` on the link at `now`. Returns how many copies arrive (0, 1 or 2) and when. */
int sim_link_send(struct sim_link *l, struct dt_prng *rng, dt_time now, uint32_t octets, dt_time at[2]);

#endif
