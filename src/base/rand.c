#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

uint32_t dt_rand_u32(const struct dt_rand *r)
{
    uint32_t v;
    dt_rand_fill(r, &v, sizeof v);
    return v;
}

uint64_t dt_rand_u64(const struct dt_rand *r)
{
    uint64_t v;
    dt_rand_fill(r, &v, sizeof v);
    return v;
}

uint64_t dt_rand_below(const struct dt_rand *r, uint64_t n)
{
    if (n < 2)
        return 0;
    uint64_t first = -n % n; /* values below it would make the low results likelier */
    for (;;) {
        uint64_t v = dt_rand_u64(r);
        if (v >= first)
            return v % n;
    }
}

static void system_fill(void *ctx, void *buf, size_t n)
{
    uint8_t *p = buf;
    (void)ctx;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno != EINTR)
            abort();
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

struct dt_rand dt_rand_system(void)
{
    return (struct dt_rand){system_fill, NULL};
}

void dt_prng_seed(struct dt_prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        p->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotate_left(uint64_t v, int k)
{
    return v << k | v >> (64 - k);
}

uint64_t dt_prng_u64(struct dt_prng *p)
{
    uint64_t *s = p->s, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static void prng_fill(void *ctx, void *buf, size_t n)
{
    uint8_t *out = buf;
    while (n) {
        uint64_t v = dt_prng_u64(ctx);
        size_t take = n < 8 ? n : 8;
        memcpy(out, &v, take);
        out += take;
        n -= take;
    }
}

struct dt_rand dt_prng_rand(struct dt_prng *p)
{
    return (struct dt_rand){prng_fill, p};
}
