#include "base/grow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int dt_grow_by(void *vector, size_t *cap, size_t n, size_t size, size_t first)
{
    void *v;
    if (n < *cap)
        return 0;
    size_t want = *cap > 0 ? *cap * 2 : first;
    if (want < *cap || want > SIZE_MAX / size)
        return -1;
    memcpy(&v, vector, sizeof v); /* whatever it points to */
    v = realloc(v, want * size);
    if (!v)
        return -1;
    memcpy(vector, &v, sizeof v);
    *cap = want;
    return 0;
}
