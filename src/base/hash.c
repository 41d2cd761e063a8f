#include "base/hash.h"

#include <string.h>

#define ROTL(v, k) ((v) << (k) | (v) >> (64 - (k)))
#define SIPROUND                                                                                             \
    do {                                                                                                     \
        v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32);                                            \
        v2 += v3, v3 = ROTL(v3, 16), v3 ^= v2;                                                               \
        v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0;                                                               \
        v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2, v2 = ROTL(v2, 32);                                            \
    } while (0)

static uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

uint64_t dt_siphash(const struct dt_siphash_key *key, const void *buf, size_t n)
{
    const uint8_t *p = buf;
    uint64_t v0 = 0x736f6d6570736575u ^ key->k[0], v1 = 0x646f72616e646f6du ^ key->k[1];
    uint64_t v2 = 0x6c7967656e657261u ^ key->k[0], v3 = 0x7465646279746573u ^ key->k[1];
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t m = load_le(p, 8);
        v3 ^= m;
        SIPROUND;
        SIPROUND;
        v0 ^= m;
    }
    last |= load_le(p, n);
    v3 ^= last;
    SIPROUND;
    SIPROUND;
    v0 ^= last;
    v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        SIPROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

void dt_digest_init(struct dt_digest *d)
{
    d->a = 0x243f6a8885a308d3u;
    d->b = 0x13198a2e03707344u;
}

void dt_digest_u64(struct dt_digest *d, uint64_t v)
{
    __uint128_t m = (__uint128_t)(d->a ^ v) * (0x9e3779b97f4a7c15u);
    d->a = (uint64_t)m ^ d->b;
    d->b = ROTL(d->b ^ v, 29) * 0xbf58476d1ce4e5b9u + (uint64_t)(m >> 64);
}

void dt_digest_bytes(struct dt_digest *d, const void *buf, size_t n)
{
    const uint8_t *p = buf;
    dt_digest_u64(d, n);
    for (; n >= 8; n -= 8, p += 8)
        dt_digest_u64(d, load_le(p, 8));
    if (n)
        dt_digest_u64(d, load_le(p, n));
}

uint64_t dt_digest_value(const struct dt_digest *d)
{
    struct dt_digest end = *d;
    dt_digest_u64(&end, 0);
    return end.a ^ end.b;
}
