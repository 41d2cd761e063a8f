/* Rates: token buckets, and what counts as one source of packets.
 *
 * A bucket is one stamp, the time at which it will be full again (GCRA). Zeroed memory is a full bucket. */
#ifndef DT_BASE_BUCKET_H
#define DT_BASE_BUCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/hash.h"
#include "base/time.h"

#define DT_RATE_NO_LIMIT UINT32_MAX /* as a rate: every take succeeds and changes nothing */

struct dt_bucket {
    dt_time full_at;
};

/* Takes n tokens of a bucket that fills at `rate` a second up to `most`; false, and nothing taken, when they are not
 * there. A rate of 0 never gives any. */
bool dt_bucket_take(struct dt_bucket *b, dt_time now, uint32_t n, uint32_t rate, uint32_t most);
/* Takes what is there of n tokens. */
void dt_bucket_drain(struct dt_bucket *b, dt_time now, uint32_t n, uint32_t rate, uint32_t most);
/* Puts n tokens back; what does not fit is lost. */
void dt_bucket_give(struct dt_bucket *b, dt_time now, uint32_t n, uint32_t rate);
/* How many tokens are in it. */
uint32_t dt_bucket_level(const struct dt_bucket *b, dt_time now, uint32_t rate, uint32_t most);

/* The source of a packet, as limits count it: an IPv4 address, or the /64 of an IPv6 address (one host has all of it). */
struct dt_addr dt_source(const struct dt_addr *a);
/* The bucket of a source in an array of n (a power of two), shared by hash. */
struct dt_bucket *dt_bucket_of(struct dt_bucket *v, size_t n, const struct dt_siphash_key *key,
                               const struct dt_addr *a);

#endif
