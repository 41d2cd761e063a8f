#include "support/test.h"

#include "base/bytes.h"

static void a_reader_stops_at_its_end(void **state)
{
    const uint8_t buf[] = {1, 2, 3, 4, 5, 6, 7};
    struct dt_reader r;
    dt_reader_init(&r, buf, sizeof buf);
    assert_int_equal(dt_read_be32(&r), 0x01020304);
    assert_int_equal(dt_read_be16(&r), 0x0506);
    assert_int_equal(dt_read_be16(&r), 0);
    assert_false(dt_reader_ok(&r));
    assert_int_equal(dt_read_u8(&r), 0); /* failed once is failed for good */
    assert_int_equal(dt_reader_left(&r), 0);
}

static void a_sub_reader_is_bounded(void **state)
{
    const uint8_t buf[] = {1, 2, 3, 4};
    struct dt_reader r, sub;
    dt_reader_init(&r, buf, sizeof buf);
    sub = dt_read_sub(&r, 3);
    assert_int_equal(dt_reader_left(&sub), 3);
    assert_int_equal(dt_read_be32(&sub), 0);
    assert_false(dt_reader_ok(&sub));
    assert_true(dt_reader_ok(&r));
    assert_int_equal(dt_read_u8(&r), 4);
    sub = dt_read_sub(&r, 1);
    assert_false(dt_reader_ok(&sub));
}

static void a_writer_stops_at_its_end(void **state)
{
    uint8_t buf[8] = {0};
    struct dt_writer w;
    dt_writer_init(&w, buf, 7);
    dt_write_be32(&w, 0xa1b2c3d4);
    dt_write_be32(&w, 0xffffffff);
    assert_false(dt_writer_ok(&w));
    dt_write_u8(&w, 1);
    assert_int_equal(dt_writer_len(&w), 4);
    assert_int_equal(dt_get_be64(buf), 0xa1b2c3d400000000);
}

static void hex_goes_both_ways(void **state)
{
    uint8_t buf[4];
    char text[9];
    assert_int_equal(dt_unhex(buf, 4, "de:ad BE ef"), 4);
    assert_string_equal(dt_hex(text, buf, 4), "deadbeef");
    assert_int_equal(dt_unhex(buf, 4, "dea"), -1);
    assert_int_equal(dt_unhex(buf, 4, "0011223344"), -1);
    assert_int_equal(dt_unhex(buf, 4, "zz"), -1);
}

static void secrets_compare_and_die(void **state)
{
    uint8_t a[33], b[33];
    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    assert_true(dt_ct_equal(a, b, sizeof a));
    b[32] ^= 0x80;
    assert_false(dt_ct_equal(a, b, sizeof a));
    dt_wipe(a, sizeof a);
    for (size_t i = 0; i < sizeof a; i++)
        assert_int_equal(a[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_stops_at_its_end), cmocka_unit_test(a_sub_reader_is_bounded),
        cmocka_unit_test(a_writer_stops_at_its_end), cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(secrets_compare_and_die),
    };
    return TEST_RUN(tests);
}
