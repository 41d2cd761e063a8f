/* A binary heap of intrusive deadlines: when must somebody be woken, and who is first? Equal deadlines come
 * out in the order they were set, so that a run is reproducible. */
#ifndef DT_BASE_HEAP_H
#define DT_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

struct dt_timer {
    dt_time at;     /* DT_NEVER while it is not set */
    uint64_t order; /* breaks ties */
    size_t slot;    /* 1-based place in the heap; 0: not in it */
};

struct dt_heap {
    struct dt_timer **v;
    size_t count, cap, reserved;
    uint64_t order;
    dt_time soonest; /* of the first, when there is one: asked more often than anything else */
};

void dt_heap_init(struct dt_heap *h);
void dt_heap_free(struct dt_heap *h);
void dt_timer_init(struct dt_timer *t);
/* Places for n timers, until they are given back: whoever has one for each of its timers need not look at what dt_heap_set
 * returns. 0, or -1 when memory is out; then there is none. */
int dt_heap_reserve(struct dt_heap *h, size_t n);
void dt_heap_unreserve(struct dt_heap *h, size_t n);
/* Sets, moves, or (with DT_NEVER) removes. 0, or -1 when memory is out, which cannot be in a reserved place. */
int dt_heap_set(struct dt_heap *h, struct dt_timer *t, dt_time at);
/* The first timer, or NULL; and its time, or DT_NEVER. */
struct dt_timer *dt_heap_first(const struct dt_heap *h);
dt_time dt_heap_deadline(const struct dt_heap *h);
/* The first timer when it is due at `now`, taken out of the heap; else NULL. */
struct dt_timer *dt_heap_pop_due(struct dt_heap *h, dt_time now);

#endif
