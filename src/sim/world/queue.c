#include "sim/world/queue.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WAYS      4
#define LAST      (SIM_QUEUE_NEAR - 1)
#define MANY      512  /* so many in the heap, and a wheel is laid out, or laid out anew */
#define BUCKETS   4096 /* a power of two, 64 * 64 at most */
#define IN_BUCKET 8    /* events that a bucket should hold */
#define NONE      UINT32_MAX

struct waiting {
    struct sim_event e;
    uint32_t next;
};

struct sim_wheel {
    dt_time base;   /* where bucket 0 begins */
    unsigned shift; /* a bucket is 2^shift ns wide */
    uint32_t open;  /* buckets before this one have been poured out */
    uint32_t count;
    uint32_t bucket[BUCKETS];    /* the first in each, NONE: empty */
    uint64_t full[BUCKETS / 64]; /* a bit for each that is not */
    struct waiting *v;           /* what stands in buckets, and idle ones */
    uint32_t idle;               /* the first idle one */
    uint32_t soon;               /* in the bucket that comes next: being fetched */
    size_t cap;
    struct sim_events far;
};

void sim_queue_init(struct sim_queue *q)
{
    *q = (struct sim_queue){.edge = DT_NEVER};
}

void sim_queue_free(struct sim_queue *q)
{
    if (q->wheel) {
        free(q->wheel->far.v);
        free(q->wheel->v);
        free(q->wheel);
    }
    free(q->heap.v);
    sim_queue_init(q);
}

static inline bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static int wheel_room(struct sim_wheel *w, size_t cap)
{
    if (cap <= w->cap)
        return 0;
    struct sim_event *far = realloc(w->far.v, cap * sizeof *far);
    if (!far)
        return -1;
    w->far.v = far;
    struct waiting *v = realloc(w->v, cap * sizeof *v);
    if (!v)
        return -1;
    for (size_t i = w->cap; i < cap; i++)
        v[i].next = i + 1 < cap ? (uint32_t)i + 1 : w->idle;
    w->idle = (uint32_t)w->cap;
    w->v = v;
    w->cap = cap;
    return 0;
}

/* Memory for one more, in each place that it may come to: what has been taken in is never lost. */
static int event_room(struct sim_queue *q)
{
    struct sim_wheel *w = q->wheel;
    if (q->beyond < q->cap)
        return 0;
    size_t cap = q->cap ? q->cap * 2 : 64;
    struct sim_event *v = realloc(q->heap.v, cap * sizeof *v);
    if (!v)
        return -1;
    q->heap.v = v;
    if (w && wheel_room(w, cap))
        return -1;
    q->cap = cap;
    return 0;
}

/* ---- the heap -------------------------------------------------------------------------------- */

static void heap_put(struct sim_events *h, const struct sim_event *e)
{
    size_t i = h->count++;
    while (i) {
        size_t up = (i - 1) / WAYS;
        if (!event_before(e, &h->v[up]))
            break;
        h->v[i] = h->v[up];
        i = up;
    }
    h->v[i] = *e;
}

static struct sim_event heap_pop(struct sim_events *h)
{
    struct sim_event first = h->v[0], last = h->v[--h->count];
    size_t i = 0, n = h->count;
    for (;;) {
        size_t child = i * WAYS + 1, best = child;
        if (child >= n)
            break;
        size_t end = child + WAYS < n ? child + WAYS : n;
        for (size_t c = child + 1; c < end; c++)
            if (event_before(&h->v[c], &h->v[best]))
                best = c;
        if (!event_before(&h->v[best], &last))
            break;
        h->v[i] = h->v[best];
        i = best;
    }
    if (n)
        h->v[i] = last;
    return first;
}

/* ---- the wheel ------------------------------------------------------------------------------- */

/* Into its bucket, or beyond. */
static void wheel_put(struct sim_wheel *w, const struct sim_event *e)
{
    uint64_t b = (e->at - w->base) >> w->shift;
    if (b >= BUCKETS) {
        w->far.v[w->far.count++] = *e;
        return;
    }
    uint32_t i = w->idle;
    w->idle = w->v[i].next;
    w->v[i] = (struct waiting){*e, w->bucket[b]};
    w->bucket[b] = i;
    w->full[b / 64] |= UINT64_C(1) << b % 64;
    w->count++;
}

/* The first bucket from `from` on that has something, or BUCKETS. */
static uint32_t next_full(const struct sim_wheel *w, uint32_t from)
{
    for (uint32_t i = from / 64; i < BUCKETS / 64; i++) {
        uint64_t word = w->full[i];
        if (i == from / 64)
            word &= UINT64_MAX << from % 64;
        if (word)
            return i * 64 + (uint32_t)__builtin_ctzll(word);
    }
    return BUCKETS;
}

/* Empties a bucket into the heap, or into `far`. */
static void empty_bucket(struct sim_wheel *w, uint32_t b, struct sim_events *to, bool as_heap)
{
    for (uint32_t i = w->bucket[b], next; i != NONE; i = next) {
        next = w->v[i].next;
        if (as_heap)
            heap_put(to, &w->v[i].e);
        else
            to->v[to->count++] = w->v[i].e;
        w->v[i].next = w->idle;
        w->idle = i;
        w->count--;
    }
    w->bucket[b] = NONE;
    w->full[b / 64] &= ~(UINT64_C(1) << b % 64);
}

/* A new width, from the pace of late, and a new beginning; all events stand in `far`. */
static void queue_lay_out(struct sim_queue *q)
{
    struct sim_wheel *w = q->wheel;
    dt_time gap = q->popped ? (q->last - q->began) / q->popped : DT_MSEC;
    w->shift = 10;
    while (w->shift < 40 && UINT64_C(1) << w->shift < gap * IN_BUCKET)
        w->shift++;
    w->base = DT_NEVER;
    for (size_t i = 0; i < w->far.count; i++)
        if (w->far.v[i].at < w->base)
            w->base = w->far.v[i].at;
    w->open = 0;
    q->popped = 0;
    q->began = q->last;
    q->edge = w->base;
    size_t n = w->far.count;
    w->far.count = 0;
    for (size_t i = 0; i < n; i++) { /* into buckets, or back into `far`, whose room it has just left */
        struct sim_event e = w->far.v[i];
        wheel_put(w, &e);
    }
}

/* Everything but the ring back into `far`, and a new layout. Without memory for a wheel all stays as it is. */
static void lay_out_anew(struct sim_queue *q)
{
    struct sim_wheel *w = q->wheel;
    if (!w) {
        if (!(w = calloc(1, sizeof *w)))
            return;
        memset(w->bucket, 0xff, sizeof w->bucket);
        w->idle = w->soon = NONE;
        if (wheel_room(w, q->cap)) {
            free(w->far.v);
            free(w);
            return;
        }
        q->wheel = w;
    }
    memcpy(w->far.v + w->far.count, q->heap.v, q->heap.count * sizeof *q->heap.v);
    w->far.count += q->heap.count;
    q->heap.count = 0;
    for (uint32_t b = 0; w->count && (b = next_full(w, b)) < BUCKETS;)
        empty_bucket(w, b, &w->far, false);
    queue_lay_out(q);
}

/* The heap is empty: the next bucket's events come into it. */
static void pour(struct sim_queue *q)
{
    struct sim_wheel *w = q->wheel;
    uint32_t b = next_full(w, w->open);
    if (b == BUCKETS && w->far.count) {
        queue_lay_out(q);
        b = next_full(w, 0);
    }
    if (b == BUCKETS)
        return;
    w->open = b + 1;
    q->edge = dt_time_add(w->base, (uint64_t)w->open << w->shift);
    empty_bucket(w, b, &q->heap, true);
    b = next_full(w, w->open);
    w->soon = b < BUCKETS ? w->bucket[b] : NONE;
    if (w->soon != NONE)
        __builtin_prefetch(&w->v[w->soon], 1);
}

/* One more of the next bucket's, while something else is done. */
static void fetch_next(struct sim_wheel *w)
{
    if (w->soon != NONE && (w->soon = w->v[w->soon].next) != NONE)
        __builtin_prefetch(&w->v[w->soon], 1);
}

static int queue_put(struct sim_queue *q, const struct sim_event *e)
{
    if (event_room(q))
        return -1;
    q->beyond++;
    if (e->at >= q->edge) {
        wheel_put(q->wheel, e);
        return 0;
    }
    heap_put(&q->heap, e);
    if (q->heap.count >= MANY && q->popped >= q->beyond)
        lay_out_anew(q);
    return 0;
}

/* ---- the ring -------------------------------------------------------------------------------- */

static struct sim_event *at(struct sim_queue *q, uint32_t k)
{
    return &q->near[(q->first + k) % SIM_QUEUE_NEAR];
}

int sim_queue_push(struct sim_queue *q, dt_time when, uint32_t kind, uint32_t arg, void *what)
{
    struct sim_event e = {when, q->order++, what, kind, arg};
    uint32_t n = q->nnear;
    if (n == SIM_QUEUE_NEAR) { /* and only then is there anything elsewhere */
        bool near = event_before(&e, at(q, LAST));
        if (queue_put(q, near ? at(q, LAST) : &e))
            return -1;
        if (!near)
            return 0;
        n--;
    }
    uint32_t i = n;
    for (; i && event_before(&e, at(q, i - 1)); i--)
        *at(q, i) = *at(q, i - 1);
    *at(q, i) = e;
    q->nnear = n + 1;
    return 0;
}

struct sim_event sim_queue_pop(struct sim_queue *q)
{
    struct sim_event e = q->near[q->first];
    q->first = (q->first + 1) % SIM_QUEUE_NEAR;
    q->nnear--;
    q->popped++;
    q->last = e.at;
    if (q->wheel) {
        if (!q->heap.count)
            pour(q);
        else
            fetch_next(q->wheel);
    }
    if (q->heap.count) {
        *at(q, q->nnear++) = heap_pop(&q->heap);
        q->beyond--;
    }
    return e;
}
