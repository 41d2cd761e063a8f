#include "support/test.h"

#include "base/rand.h"
#include "wire/checksum.h"

/* RFC 1071, word by word. */
static uint16_t slow(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i += 2)
        sum += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint16_t wire_order(uint16_t as_stored)
{
    uint8_t b[2];
    memcpy(b, &as_stored, 2);
    return (uint16_t)(b[0] << 8 | b[1]);
}

static void against_the_slow_way(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("checksum"));
    struct dt_rand r = dt_prng_rand(&p);
    static uint8_t buf[66000];
    dt_rand_fill(&r, buf, sizeof buf);
    for (int i = 0; i < 3000; i++) {
        size_t at = dt_rand_below(&r, 64), len = dt_rand_below(&r, i % 100 ? 1600 : 65536);
        uint64_t sum = dt_csum_add(0, buf + at, len);
        assert_int_equal(wire_order(dt_csum_finish(sum)), slow(buf + at, len));
        size_t cut = dt_rand_below(&r, len + 1) & ~(size_t)1; /* in two pieces, the first even */
        sum = dt_csum_add(dt_csum_add(0, buf + at, cut), buf + at + cut, len - cut);
        assert_int_equal(wire_order(dt_csum_finish(sum)), slow(buf + at, len));
    }
    static uint8_t copy[66000];
    for (int i = 0; i < 1000; i++) {
        size_t at = dt_rand_below(&r, 64), len = dt_rand_below(&r, 1600);
        memset(copy, 0xaa, sizeof copy);
        uint64_t sum = dt_csum_copy(0, copy + 3, buf + at, len);
        assert_int_equal(wire_order(dt_csum_finish(sum)), slow(buf + at, len));
        assert_memory_equal(copy + 3, buf + at, len);
        assert_int_equal(copy[3 + len], 0xaa);
    }
    memset(buf, 0xff, sizeof buf);
    assert_int_equal(wire_order(dt_csum_finish(dt_csum_add(0, buf, 65536))), slow(buf, 65536));
}

static void update(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("update"));
    struct dt_rand r = dt_prng_rand(&p);
    for (int i = 0; i < 2000; i++) {
        uint8_t m[40];
        uint16_t from, to, sum;
        dt_rand_fill(&r, m, sizeof m);
        sum = dt_csum_finish(dt_csum_add(0, m, sizeof m));
        memcpy(&from, m + 6, 2);
        dt_rand_fill(&r, m + 6, 2);
        memcpy(&to, m + 6, 2);
        assert_int_equal(dt_csum_update(sum, from, to), dt_csum_finish(dt_csum_add(0, m, sizeof m)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_the_slow_way), cmocka_unit_test(update)};
    return TEST_RUN(tests);
}
