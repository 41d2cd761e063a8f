#include "esp/window.h"

#include <stdlib.h>
#include <string.h>

int dt_window_init(struct dt_window *w, uint32_t size)
{
    uint32_t blocks = 1;
    while (blocks < size / 64 + 1)
        blocks *= 2;
    w->block = calloc(blocks, sizeof *w->block);
    w->mask = blocks - 1;
    w->size = size;
    w->top = 0;
    return w->block ? 0 : -1;
}

void dt_window_free(struct dt_window *w)
{
    free(w->block);
    w->block = NULL;
}

bool dt_window_extend(const struct dt_window *w, uint32_t low, uint64_t *seq)
{
    uint32_t tl = (uint32_t)w->top, th = (uint32_t)(w->top >> 32);
    uint32_t bottom = tl - w->size + 1; /* of the window, modulo 2^32 */

    if (tl >= w->size - 1) { /* the window lies in one subspace */
        if (low < bottom)
            th++;
    } else if (low >= bottom) { /* it begins in the previous one */
        if (th == 0)
            return false;
        th--;
    }
    *seq = (uint64_t)th << 32 | low;
    return true;
}

bool dt_window_check(const struct dt_window *w, uint64_t seq)
{
    if (seq == 0)
        return false;
    if (seq > w->top)
        return true;
    if (w->top - seq >= w->size)
        return false;
    return !(w->block[(seq >> 6) & w->mask] >> (seq & 63) & 1);
}

bool dt_window_mark(struct dt_window *w, uint64_t seq)
{
    if (!dt_window_check(w, seq))
        return false;
    if (seq > w->top) {
        uint64_t from = w->top >> 6, to = seq >> 6;
        if (to - from > w->mask)
            memset(w->block, 0, ((size_t)w->mask + 1) * sizeof *w->block);
        else
            while (from < to)
                w->block[++from & w->mask] = 0;
        w->top = seq;
    }
    w->block[(seq >> 6) & w->mask] |= UINT64_C(1) << (seq & 63);
    return true;
}

void dt_window_digest(const struct dt_window *w, struct dt_digest *d)
{
    uint64_t last = w->top >> 6;
    dt_digest_u64(d, w->top);
    for (uint64_t i = 0; i <= w->mask && i <= last; i++)
        if (w->block[(last - i) & w->mask]) {
            dt_digest_u64(d, i);
            dt_digest_u64(d, w->block[(last - i) & w->mask]);
        }
}
