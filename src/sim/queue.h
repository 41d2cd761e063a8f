/* The simulator's event queue: a four-ary heap whose keys stand in the array itself, so that sifting touches no
 * event but the ones it compares. Equal times come out in the order they went in. */
#ifndef DT_SIM_QUEUE_H
#define DT_SIM_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

struct sim_event {
    dt_time at;
    uint64_t order; /* given by the queue */
    void *what;     /* the caller's */
    uint32_t kind;  /* the caller's */
    uint32_t arg;   /* the caller's */
};

struct sim_queue {
    struct sim_event *v;
    size_t count, cap;
    uint64_t order;
};

void sim_queue_init(struct sim_queue *q);
void sim_queue_free(struct sim_queue *q);
/* 0, or -1 when memory is out. */
int sim_queue_push(struct sim_queue *q, dt_time at, uint32_t kind, uint32_t arg, void *what);
/* The earliest, or NULL; valid until the next push or pop. */
const struct sim_event *sim_queue_first(const struct sim_queue *q);
/* Takes the earliest out; the queue must not be empty. */
struct sim_event sim_queue_pop(struct sim_queue *q);

#endif
