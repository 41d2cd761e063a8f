#include "net/ring.h"

#include <stdlib.h>
#include <string.h>

int dt_ring_init(struct dt_ring *r, size_t size, uint32_t count)
{
    r->slot = calloc(count, size);
    r->size = size;
    r->mask = count - 1;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    return r->slot ? 0 : -1;
}

void dt_ring_free(struct dt_ring *r)
{
    free(r->slot);
    r->slot = NULL;
}

bool dt_ring_push(struct dt_ring *r, const void *element)
{
    unsigned tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&r->head, memory_order_acquire) > r->mask)
        return false;
    memcpy(r->slot + (tail & r->mask) * r->size, element, r->size);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

bool dt_ring_pop(struct dt_ring *r, void *element)
{
    unsigned head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&r->tail, memory_order_acquire))
        return false;
    memcpy(element, r->slot + (head & r->mask) * r->size, r->size);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
    return true;
}

bool dt_ring_empty(const struct dt_ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_acquire) ==
           atomic_load_explicit(&r->tail, memory_order_acquire);
}
