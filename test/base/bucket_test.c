/* Token buckets, and what counts as one source. */
#include "support/test.h"

#include "base/bucket.h"

static void zeroed_bucket_is_full_and_refills(void **state)
{
    struct dt_bucket b = {0};
    dt_time now = 5; /* the origin of time is the caller's */
    for (int i = 0; i < 20; i++)
        assert_true(dt_bucket_take(&b, now, 1, 10, 20));
    assert_false(dt_bucket_take(&b, now, 1, 10, 20));
    assert_int_equal(dt_bucket_level(&b, now, 10, 20), 0);
    now += DT_SEC / 2;
    assert_int_equal(dt_bucket_level(&b, now, 10, 20), 5);
    assert_true(dt_bucket_take(&b, now, 5, 10, 20));
    assert_false(dt_bucket_take(&b, now, 1, 10, 20));
    now += 100 * DT_SEC; /* never more than `most` */
    assert_int_equal(dt_bucket_level(&b, now, 10, 20), 20);
    assert_true(dt_bucket_take(&b, now, 20, 10, 20));
    assert_false(dt_bucket_take(&b, now, 1, 10, 20));
}

static void what_fails_takes_nothing(void **state)
{
    struct dt_bucket b = {0};
    assert_false(dt_bucket_take(&b, DT_SEC, 21, 10, 20));
    assert_true(dt_bucket_take(&b, DT_SEC, 15, 10, 20));
    assert_false(dt_bucket_take(&b, DT_SEC, 6, 10, 20));
    assert_true(dt_bucket_take(&b, DT_SEC, 5, 10, 20));
}

static void tokens_come_back(void **state)
{
    struct dt_bucket b = {0};
    assert_true(dt_bucket_take(&b, DT_SEC, 20, 10, 20));
    dt_bucket_give(&b, DT_SEC, 3, 10);
    assert_true(dt_bucket_take(&b, DT_SEC, 3, 10, 20));
    assert_false(dt_bucket_take(&b, DT_SEC, 1, 10, 20));
    dt_bucket_give(&b, DT_SEC, 1000, 10);
    assert_int_equal(dt_bucket_level(&b, DT_SEC, 10, 20), 20);
}

static void drain_empties_and_goes_no_further(void **state)
{
    struct dt_bucket b = {0};
    for (int i = 0; i < 100; i++)
        dt_bucket_drain(&b, DT_SEC, 7, 10, 20);
    assert_int_equal(dt_bucket_level(&b, DT_SEC, 10, 20), 0);
    assert_true(dt_bucket_take(&b, 2 * DT_SEC, 10, 10, 20)); /* no debt beyond empty */
}

static void ends_of_the_scale(void **state)
{
    struct dt_bucket b = {0};
    assert_false(dt_bucket_take(&b, DT_SEC, 1, 0, 20));
    for (int i = 0; i < 100; i++)
        assert_true(dt_bucket_take(&b, DT_SEC, UINT32_MAX, DT_RATE_NO_LIMIT, 1));
    assert_int_equal(b.full_at, 0);
    assert_int_equal(dt_bucket_level(&b, DT_SEC, 0, 20), 0);
    assert_true(dt_bucket_take(&b, DT_SEC, UINT32_MAX - 1, UINT32_MAX - 1, UINT32_MAX));
}

static void ipv6_is_one_source_by_64(void **state)
{
    struct dt_addr a, b, c, d;
    struct dt_bucket v[64] = {0};
    struct dt_siphash_key key = {{1, 2}};
    assert_int_equal(dt_addr_parse(&a, "2001:db8:0:1::1"), 0);
    assert_int_equal(dt_addr_parse(&b, "2001:db8:0:1:ffff::9"), 0);
    assert_int_equal(dt_addr_parse(&c, "192.0.2.1"), 0);
    assert_int_equal(dt_addr_parse(&d, "192.0.2.2"), 0);
    struct dt_addr sa = dt_source(&a), sb = dt_source(&b), sc = dt_source(&c), sd = dt_source(&d);
    assert_true(dt_addr_eq(&sa, &sb));
    assert_ptr_equal(dt_bucket_of(v, 64, &key, &a), dt_bucket_of(v, 64, &key, &b));
    assert_true(dt_addr_eq(&sc, &c));
    assert_false(dt_addr_eq(&sc, &sd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_bucket_is_full_and_refills),
        cmocka_unit_test(what_fails_takes_nothing),
        cmocka_unit_test(tokens_come_back),
        cmocka_unit_test(drain_empties_and_goes_no_further),
        cmocka_unit_test(ends_of_the_scale),
        cmocka_unit_test(ipv6_is_one_source_by_64),
    };
    return TEST_RUN(tests);
}
