/* Lists of ranges of addresses. */
#ifndef DT_HOST_RANGES_H
#define DT_HOST_RANGES_H

#include <stddef.h>

#include "base/addr.h"

/* Ranges of one IP version in order, none touching another. Returns how many are left of n. */
size_t dt_host_ranges_join(struct dt_range *v, size_t n);
/* The same, without loopback and link scope (127/8, 169.254/16, multicast,
 * broadcast; ::1, fe80::/10, ff00::/8). Returns how many are left of n; at most n + 4 of room are written. */
size_t dt_host_ranges_merge(struct dt_range *v, size_t n, size_t room);

/* Of such ranges, what is left without the hole. Returns how many there are; at most n + 1 of room are written. */
size_t dt_host_ranges_without(struct dt_range *v, size_t n, size_t room, const struct dt_range *hole);

#endif
