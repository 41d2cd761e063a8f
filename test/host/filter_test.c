/* Ranges as the packet filter wants them: in order, apart, and without what stays on the host and its links. */
#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "host/ranges.h"

static struct dt_range range(const char *text)
{
    struct dt_range r;
    assert_int_equal(dt_range_parse(&r, text), 0);
    return r;
}

static void expect_merged(const char *const *in, const char *const *out)
{
    struct dt_range v[32];
    size_t n = 0, k = 0;
    for (; in[n]; n++)
        v[n] = range(in[n]);
    n = dt_host_ranges_merge(v, n, DT_ARRAY_LEN(v));
    for (; out[k]; k++) {
        struct dt_range r = range(out[k]);
        assert_true(k < n);
        assert_int_equal(dt_addr_cmp(&v[k].from, &r.from), 0);
        assert_int_equal(dt_addr_cmp(&v[k].to, &r.to), 0);
    }
    assert_int_equal(n, k);
}
#define MERGED(in, ...)                                                                                      \
    expect_merged((const char *const[]){in, NULL}, (const char *const[]){__VA_ARGS__, NULL})
#define LIST(...) __VA_ARGS__

static void ranges_are_joined_and_holes_are_cut(void **state)
{
    MERGED(LIST("10.1.0.0/16"), "10.1.0.0/16");
    MERGED(LIST("10.1.1.0/24", "10.1.0.0/24"), "10.1.0.0/23");
    MERGED(LIST("10.0.0.0/8", "10.1.0.0/16"), "10.0.0.0/8");
    MERGED(LIST("10.1.0.0/24", "10.1.2.0/24"), "10.1.0.0/24", "10.1.2.0/24");
    MERGED(LIST("0.0.0.0/0"), "0.0.0.0-126.255.255.255", "128.0.0.0-169.253.255.255",
           "169.255.0.0-223.255.255.255", "240.0.0.0-255.255.255.254");
    MERGED(LIST("127.0.0.1", "224.0.0.5"), NULL);
    MERGED(LIST("255.255.255.0/24", "255.255.255.255"), "255.255.255.0-255.255.255.254");
    MERGED(LIST("fd00::/8", "fe80::/10"), "fd00::/8");
    MERGED(LIST("::/0"), "::", "::2-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
           "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_int_equal(dt_host_ranges_merge(NULL, 0, 0), 0);
}

/* An address is in the result exactly if it was in one of the ranges and in no hole. */
static void every_address_is_where_it_was(void **state)
{
    struct dt_prng source;
    dt_prng_seed(&source, test_seed("filter"));
    struct dt_rand rand = dt_prng_rand(&source);
    for (int round = 0; round < 5000; round++) {
        struct dt_range in[12], v[20],
            holes[] = {range("127.0.0.0/8"), range("169.254.0.0/16"), range("224.0.0.0/4"),
                       range("255.255.255.255")};
        size_t n = 1 + dt_rand_below(&rand, DT_ARRAY_LEN(in));
        for (size_t i = 0; i < n; i++) {
            uint8_t a[4] = {(uint8_t)dt_rand_below(&rand, 256), 0, 0, (uint8_t)dt_rand_below(&rand, 256)};
            uint8_t b[4] = {(uint8_t)dt_rand_below(&rand, 256), 255, 255, (uint8_t)dt_rand_below(&rand, 256)};
            in[i] = (struct dt_range){.from = dt_addr4_bytes(a), .to = dt_addr4_bytes(b)};
            if (dt_addr_cmp(&in[i].from, &in[i].to) > 0)
                in[i] = (struct dt_range){.from = in[i].to, .to = in[i].from};
            v[i] = in[i];
        }
        size_t k = dt_host_ranges_merge(v, n, DT_ARRAY_LEN(v));
        for (size_t i = 1; i < k; i++)
            assert_true(dt_addr_cmp(&v[i - 1].to, &v[i].from) < 0);
        for (int probe = 0; probe < 200; probe++) {
            static const uint8_t low[] = {0, 1, 254, 255};
            uint8_t b[4] = {(uint8_t)dt_rand_below(&rand, 256), low[dt_rand_below(&rand, 4)],
                            low[dt_rand_below(&rand, 4)], (uint8_t)dt_rand_below(&rand, 256)};
            struct dt_addr a = dt_addr4_bytes(b);
            bool wanted = false, found = false;
            for (size_t i = 0; i < n; i++)
                wanted = wanted || dt_range_has(&in[i], &a);
            for (size_t i = 0; i < DT_ARRAY_LEN(holes); i++)
                wanted = wanted && !dt_range_has(&holes[i], &a);
            for (size_t i = 0; i < k; i++)
                found = found || dt_range_has(&v[i], &a);
            assert_int_equal(found, wanted);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_joined_and_holes_are_cut),
        cmocka_unit_test(every_address_is_where_it_was),
    };
    return TEST_RUN(tests);
}
