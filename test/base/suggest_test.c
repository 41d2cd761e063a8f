#include "support/test.h"

#include "base/suggest.h"

static void distances(void **state)
{
    (void)state;
    assert_int_equal(dt_edit_distance("", ""), 0);
    assert_int_equal(dt_edit_distance("abc", ""), 3);
    assert_int_equal(dt_edit_distance("", "abc"), 3);
    assert_int_equal(dt_edit_distance("protect", "protcet"), 1); /* swapped */
    assert_int_equal(dt_edit_distance("gateway", "gatway"), 1);
    assert_int_equal(dt_edit_distance("psk", "psq"), 1);
    assert_int_equal(dt_edit_distance("kitten", "sitting"), 3);
}

static void nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"gateway", "protect", "local", "remote", "psk"};
    assert_string_equal(dt_suggest("gatway", names, 5), "gateway");
    assert_string_equal(dt_suggest("proctet", names, 5), "protect");
    assert_string_equal(dt_suggest("pks", names, 5), "psk");
    assert_null(dt_suggest("banana", names, 5));
    assert_null(dt_suggest("x", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(distances), cmocka_unit_test(nearest)};
    return TEST_RUN(tests);
}
