#include "base/heap.h"

#include <stdbool.h>
#include <stdlib.h>

void dt_heap_init(struct dt_heap *h)
{
    *h = (struct dt_heap){0};
}

void dt_heap_free(struct dt_heap *h)
{
    free(h->v);
    dt_heap_init(h);
}

void dt_timer_init(struct dt_timer *t)
{
    *t = (struct dt_timer){.at = DT_NEVER};
}

static bool timer_before(const struct dt_timer *a, const struct dt_timer *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void timer_put(struct dt_heap *h, size_t i, struct dt_timer *t)
{
    h->v[i] = t;
    t->slot = i + 1;
    if (!i)
        h->soonest = t->at;
}

static void heap_settle(struct dt_heap *h, size_t i, struct dt_timer *t)
{
    while (i && timer_before(t, h->v[(i - 1) / 2])) {
        timer_put(h, i, h->v[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < h->count && timer_before(h->v[child + 1], h->v[child]))
            child++;
        if (child >= h->count || !timer_before(h->v[child], t))
            break;
        timer_put(h, i, h->v[child]);
        i = child;
    }
    timer_put(h, i, t);
}

static void heap_take_out(struct dt_heap *h, struct dt_timer *t)
{
    size_t i = t->slot - 1;
    struct dt_timer *last = h->v[--h->count];
    t->slot = 0;
    t->at = DT_NEVER;
    if (last != t)
        heap_settle(h, i, last);
}

static int grow_to(struct dt_heap *h, size_t need)
{
    size_t cap = h->cap ? h->cap : 16;
    while (cap < need)
        cap *= 2;
    if (cap == h->cap)
        return 0;
    struct dt_timer **v = realloc(h->v, cap * sizeof(struct dt_timer *));
    if (!v)
        return -1;
    h->v = v;
    h->cap = cap;
    return 0;
}

int dt_heap_reserve(struct dt_heap *h, size_t n)
{
    if (grow_to(h, h->reserved + n))
        return -1;
    h->reserved += n;
    return 0;
}

void dt_heap_unreserve(struct dt_heap *h, size_t n)
{
    h->reserved -= n;
}

int dt_heap_set(struct dt_heap *h, struct dt_timer *t, dt_time at)
{
    if (at == DT_NEVER) {
        if (t->slot)
            heap_take_out(h, t);
        return 0;
    }
    if (!t->slot) {
        if (grow_to(h, h->count + 1))
            return -1;
        h->v[h->count] = t;
        t->slot = ++h->count;
    }
    t->at = at;
    t->order = h->order++;
    heap_settle(h, t->slot - 1, t);
    return 0;
}

struct dt_timer *dt_heap_first(const struct dt_heap *h)
{
    return h->count ? h->v[0] : NULL;
}

dt_time dt_heap_deadline(const struct dt_heap *h)
{
    return h->count ? h->soonest : DT_NEVER;
}

struct dt_timer *dt_heap_pop_due(struct dt_heap *h, dt_time now)
{
    if (!h->count || h->soonest > now)
        return NULL;
    struct dt_timer *t = h->v[0];
    heap_take_out(h, t);
    return t;
}
