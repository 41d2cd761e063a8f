#include "sim/queue.h"

#include <stdbool.h>
#include <stdlib.h>

#define WAYS 4

void sim_queue_init(struct sim_queue *q)
{
    *q = (struct sim_queue){0};
}

void sim_queue_free(struct sim_queue *q)
{
    free(q->v);
    sim_queue_init(q);
}

static inline bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

int sim_queue_push(struct sim_queue *q, dt_time at, uint32_t kind, uint32_t arg, void *what)
{
    if (q->count == q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 64;
        struct sim_event *v = realloc(q->v, cap * sizeof *v);
        if (!v)
            return -1;
        q->v = v;
        q->cap = cap;
    }
    struct sim_event e = {at, q->order++, what, kind, arg};
    size_t i = q->count++;
    while (i) {
        size_t up = (i - 1) / WAYS;
        if (!before(&e, &q->v[up]))
            break;
        q->v[i] = q->v[up];
        i = up;
    }
    q->v[i] = e;
    return 0;
}

const struct sim_event *sim_queue_first(const struct sim_queue *q)
{
    return q->count ? q->v : NULL;
}

struct sim_event sim_queue_pop(struct sim_queue *q)
{
    struct sim_event first = q->v[0], last = q->v[--q->count];
    size_t i = 0, n = q->count;
    for (;;) {
        size_t child = i * WAYS + 1, best = child;
        if (child >= n)
            break;
        size_t end = child + WAYS < n ? child + WAYS : n;
        for (size_t c = child + 1; c < end; c++)
            if (before(&q->v[c], &q->v[best]))
                best = c;
        if (!before(&q->v[best], &last))
            break;
        q->v[i] = q->v[best];
        i = best;
    }
    if (n)
        q->v[i] = last;
    return first;
}
