#include "support/test.h"

#include "base/bytes.h"
#include "wire/dummy.h"

static void request_and_reply(void **state)
{
    uint8_t p[1500];
    struct dt_dummy q = {.ident = 0x1234, .seq = 7, .size = 1400, .other = DT_DUMMY_LEN}, got;
    size_t len = dt_dummy_put(p, sizeof p, &q);
    assert_int_equal(len, 1400);
    assert_memory_equal(p, "DTEC\1\0\x12\x34\0\7\x05\x78\0\x10\0\0", DT_DUMMY_LEN);
    assert_true(dt_dummy_parse(&got, p, len));
    assert_true(!got.reply && got.ident == 0x1234 && got.seq == 7 && got.size == 1400);

    struct dt_dummy r = dt_dummy_answer(&got);
    assert_int_equal(dt_dummy_put(p, sizeof p, &r), DT_DUMMY_LEN);
    assert_true(dt_dummy_parse(&got, p, DT_DUMMY_LEN));
    assert_true(got.reply && got.ident == 0x1234 && got.seq == 7 && got.other == 1400);
}

/* Nobody gets more octets out of an answer than went into its request. */
static void what_cannot_be(void **state)
{
    uint8_t p[64], cut[64];
    struct dt_dummy d = {.size = 32, .other = 33}, got;
    assert_int_equal(dt_dummy_put(p, sizeof p, &d), 0);
    d.other = DT_DUMMY_LEN - 1;
    assert_int_equal(dt_dummy_put(p, sizeof p, &d), 0);
    d = (struct dt_dummy){.size = DT_DUMMY_LEN - 1, .other = DT_DUMMY_LEN};
    assert_int_equal(dt_dummy_put(p, sizeof p, &d), 0);
    d = (struct dt_dummy){.size = 65, .other = 65};
    assert_int_equal(dt_dummy_put(p, sizeof p, &d), 0);

    d = (struct dt_dummy){.size = 32, .other = 32};
    assert_int_equal(dt_dummy_put(p, sizeof p, &d), 32);
    for (size_t len = 0; len < 64; len++) {
        memcpy(cut, p, sizeof cut);
        assert_int_equal(dt_dummy_parse(&got, cut, len), len == 32);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 'd'}, {4, 0}, {4, 3}, {11, 31}, {13, 33}, {13, 15}};
    for (size_t i = 0; i < DT_ARRAY_LEN(wrong); i++) {
        memcpy(cut, p, sizeof cut);
        cut[wrong[i].at] = wrong[i].value;
        assert_false(dt_dummy_parse(&got, cut, 32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(request_and_reply), cmocka_unit_test(what_cannot_be)};
    return TEST_RUN(tests);
}
