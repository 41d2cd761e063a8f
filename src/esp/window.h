/* The anti-replay window as a ring of 64-bit blocks (RFC 6479), and the upper half of an extended sequence
 * number (RFC 4303 A2). No lock: the SA has one. */
#ifndef DT_ESP_WINDOW_H
#define DT_ESP_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"

struct dt_window {
    uint64_t top;    /* the highest number that was authentic; 0: none yet */
    uint64_t *block; /* bit n of block (s / 64) & mask stands for number s */
    uint32_t mask;   /* number of blocks - 1; a power of two, with one block to spare */
    uint32_t size;   /* packets */
};

/* size: a multiple of 64. 0, or -1 when memory is out. */
int dt_window_init(struct dt_window *w, uint32_t size);
void dt_window_free(struct dt_window *w);
/* The whole number of which `low` was on the wire; false when it would lie below 0. */
bool dt_window_extend(const struct dt_window *w, uint32_t low, uint64_t *seq);
/* Not seen, and not left of the window. */
bool dt_window_check(const struct dt_window *w, uint64_t seq);
/* The packet was authentic: remember it. False, and nothing changes, when dt_window_check says no. */
bool dt_window_mark(struct dt_window *w, uint64_t seq);
/* What was seen, into a hash. */
void dt_window_digest(const struct dt_window *w, struct dt_digest *d);

#endif
