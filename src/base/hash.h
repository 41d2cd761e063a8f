/* Hashes: SipHash-2-4 for tables whose keys a peer chooses, and a running digest of an engine's state. */
#ifndef DT_BASE_HASH_H
#define DT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct dt_siphash_key {
    uint64_t k[2];
};

/* Aumasson and Bernstein, "SipHash: a fast short-input PRF". */
uint64_t dt_siphash(const struct dt_siphash_key *key, const void *p, size_t n);

/* A digest of state, for an explorer that must know a state it has seen. Feed every field that can change
 * behaviour, times as distances from `now`; not for security. */
struct dt_digest {
    uint64_t a, b;
};
void dt_digest_init(struct dt_digest *d);
void dt_digest_bytes(struct dt_digest *d, const void *p, size_t n);
void dt_digest_u64(struct dt_digest *d, uint64_t v);
uint64_t dt_digest_value(const struct dt_digest *d);

#endif
