/* Randomness as the engines know it: a callback. The daemon gives the kernel's, simulator and tests a seeded one. */
#ifndef DT_BASE_RAND_H
#define DT_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct dt_rand {
    void (*fill)(void *ctx, void *buf, size_t n); /* never fails */
    void *ctx;
};

static inline void dt_rand_fill(const struct dt_rand *r, void *buf, size_t n)
{
    r->fill(r->ctx, buf, n);
}

uint32_t dt_rand_u32(const struct dt_rand *r);
uint64_t dt_rand_u64(const struct dt_rand *r);
/* Uniform in 0 .. n - 1, without modulo bias; n of 0 gives 0. */
uint64_t dt_rand_below(const struct dt_rand *r, uint64_t n);

/* The kernel's generator (getrandom). Ends the process if the kernel has none. */
struct dt_rand dt_rand_system(void);

/* xoshiro256** (Blackman and Vigna), seeded through splitmix64: reproducible, and not for keys. */
struct dt_prng {
    uint64_t s[4];
};
void dt_prng_seed(struct dt_prng *p, uint64_t seed);
uint64_t dt_prng_u64(struct dt_prng *p);
struct dt_rand dt_prng_rand(struct dt_prng *p); /* p must outlive it */

#endif
