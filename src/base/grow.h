/* Vectors that grow by doubling. */
#ifndef DT_BASE_GROW_H
#define DT_BASE_GROW_H

#include <stddef.h>

/* Room for one more in v, of n elements, which has room for cap (a size_t): at first for `first`. 0, or -1 without memory: all
 * is as it was. Who must not have more than so many looks first. */
#define dt_grow(v, cap, n, first) dt_grow_by((void *)&(v), &(cap), (n), sizeof *(v), (first))
int dt_grow_by(void *vector, size_t *cap, size_t n, size_t size, size_t first);

#endif
