#include "support/test.h"

#include "base/grow.h"

static void it_doubles(void **state)
{
    uint32_t *v = NULL;
    size_t cap = 0, n = 0;
    for (; n < 1000; n++) {
        size_t before = cap;
        assert_int_equal(dt_grow(v, cap, n, 3), 0);
        assert_int_equal(cap, n < before ? before : before > 0 ? 2 * before : 3);
        v[n] = (uint32_t)n;
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(v[i], i);
    free(v);
}

/* More than there can be: what is there stays as it was. */
static void there_is_no_memory(void **state)
{
    char one = 'x', *v = malloc(1), *was = v;
    size_t cap = SIZE_MAX / 2 + 1;
    assert_non_null(v);
    *v = one;
    assert_int_equal(dt_grow_by(&v, &cap, cap, 16, 1), -1);
    assert_ptr_equal(v, was);
    assert_int_equal(*v, one);
    assert_int_equal(cap, SIZE_MAX / 2 + 1);
    cap = SIZE_MAX / 16 / 2 + 1;
    assert_int_equal(dt_grow_by(&v, &cap, cap, 16, 1), -1);
    assert_ptr_equal(v, was);
    free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_doubles),
        cmocka_unit_test(there_is_no_memory),
    };
    return TEST_RUN(tests);
}
