/* A bounded ring for one producer thread and one consumer thread, without locks. Elements are copied. */
#ifndef DT_NET_RING_H
#define DT_NET_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dt_ring {
    uint8_t *slot;
    size_t size;                   /* of an element */
    uint32_t mask;                 /* elements - 1 */
    _Alignas(64) atomic_uint head; /* next to read: the consumer's */
    _Alignas(64) atomic_uint tail; /* next to write: the producer's */
};

/* count: a power of two. 0, or -1 when memory is out. */
int dt_ring_init(struct dt_ring *r, size_t size, uint32_t count);
void dt_ring_free(struct dt_ring *r);
bool dt_ring_push(struct dt_ring *r, const void *element); /* false: full */
bool dt_ring_pop(struct dt_ring *r, void *element);        /* false: empty */
bool dt_ring_empty(const struct dt_ring *r);

#endif
