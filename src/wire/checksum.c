#include "wire/checksum.h"

static inline uint64_t add_plain(uint64_t sum, const uint8_t *p, size_t len)
{
    for (; len >= 4; p += 4, len -= 4) {
        uint32_t w;
        memcpy(&w, p, 4);
        sum += w;
    }
    if (len) {
        uint32_t w = 0;
        memcpy(&w, p, len);
        sum += w;
    }
    return sum;
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static inline uint64_t add_lanes(uint64_t sum, __m256i v)
{
    uint64_t lane[4];
    memcpy(lane, &v, sizeof lane);
    return sum + lane[0] + lane[1] + lane[2] + lane[3];
}

/* 32-bit words into 64-bit lanes: cannot overflow below 2^32 words, so nothing is folded on the way. */
__attribute__((target("avx2"))) static uint64_t add_avx2(uint64_t sum, const uint8_t *p, size_t len)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (; len >= 64; p += 64, len -= 64) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
        __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
        a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
        c = _mm256_add_epi64(c, _mm256_and_si256(y, low));
        d = _mm256_add_epi64(d, _mm256_srli_epi64(y, 32));
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    return add_plain(add_lanes(sum, a), p, len);
}

__attribute__((target("avx2"))) static uint64_t copy_avx2(uint64_t sum, uint8_t *to, const uint8_t *p,
                                                          size_t len)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;

    for (; len >= 64; p += 64, to += 64, len -= 64) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
        __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
        _mm256_storeu_si256((__m256i *)(void *)to, x);
        _mm256_storeu_si256((__m256i *)(void *)(to + 32), y);
        a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
        c = _mm256_add_epi64(c, _mm256_and_si256(y, low));
        d = _mm256_add_epi64(d, _mm256_srli_epi64(y, 32));
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    memcpy(to, p, len);
    return add_plain(add_lanes(sum, a), p, len);
}
#endif

uint64_t dt_csum_add(uint64_t sum, const void *p, size_t len)
{
    /* A running sum must not wrap: keep it below 2^33. */
    sum = (sum & 0xffffffff) + (sum >> 32);
#if defined(__x86_64__)
    if (len >= 128 && __builtin_cpu_supports("avx2"))
        return add_avx2(sum, p, len);
#endif
    return add_plain(sum, p, len);
}

uint64_t dt_csum_copy(uint64_t sum, void *dst, const void *src, size_t len)
{
#if defined(__x86_64__)
    if (len >= 128 && __builtin_cpu_supports("avx2")) {
        sum = (sum & 0xffffffff) + (sum >> 32);
        return copy_avx2(sum, dst, src, len);
    }
#endif
    memcpy(dst, src, len);
    return dt_csum_add(sum, src, len);
}
