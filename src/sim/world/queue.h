/* The simulator's event queue. Equal times come out in the order they went in.
 *
 * An event moves through up to four places, each nearer than the one before:
 *
 *   far    unsorted: what lies beyond the wheel
 *   wheel  buckets of equal width, unsorted
 *   heap   four-ary, the keys in the array itself: what lies before the first bucket that is still closed
 *   near   a ring in order: the next SIM_QUEUE_NEAR events, so that whoever handles one can see which come after it
 *          and have their memory fetched meanwhile
 *
 * The wheel's width follows the pace of events, so that a bucket holds a handful: the heap stays small however many
 * clients there are. Until some hundreds of events wait there is no wheel, and the heap takes all. */
#ifndef DT_SIM_QUEUE_H
#define DT_SIM_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

#define SIM_QUEUE_NEAR 8 /* a power of two */

struct sim_event {
    dt_time at;
    uint64_t order; /* given by the queue */
    void *what;     /* the caller's */
    uint32_t kind;  /* the caller's */
    uint32_t arg;   /* the caller's */
};

struct sim_events {
    struct sim_event *v;
    size_t count;
};

struct sim_wheel;

struct sim_queue {
    struct sim_event near[SIM_QUEUE_NEAR];
    uint32_t first, nnear;
    struct sim_events heap;
    dt_time edge;            /* the heap holds what is before it; DT_NEVER without a wheel */
    struct sim_wheel *wheel; /* NULL: not yet */
    uint64_t order;
    size_t beyond, cap; /* how many are not in the ring; for how many there is room, wherever they go */
    uint64_t popped;    /* since the wheel was laid out, or ever */
    dt_time began;      /* when that was */
    dt_time last;       /* of the event popped last */
};

void sim_queue_init(struct sim_queue *q);
void sim_queue_free(struct sim_queue *q);
/* 0, or -1 when memory is out. */
int sim_queue_push(struct sim_queue *q, dt_time at, uint32_t kind, uint32_t arg, void *what);
/* The k-th from the earliest (0: that one, at most SIM_QUEUE_NEAR - 1) as it looks now, or NULL; valid until the next
 * push or pop. */
static inline const struct sim_event *sim_queue_ahead(const struct sim_queue *q, uint32_t k)
{
    return k < q->nnear ? &q->near[(q->first + k) % SIM_QUEUE_NEAR] : NULL;
}
/* The earliest, or NULL. */
static inline const struct sim_event *sim_queue_first(const struct sim_queue *q)
{
    return sim_queue_ahead(q, 0);
}
/* Takes the earliest out; the queue must not be empty. */
struct sim_event sim_queue_pop(struct sim_queue *q);

#endif
