#include "support/test.h"

#include <pthread.h>
#include <sched.h>

#include "net/ring.h"

static void bounds(void **state)
{
    struct dt_ring r;
    uint32_t v;
    assert_int_equal(dt_ring_init(&r, sizeof v, 8), 0);
    for (int round = 0; round < 5; round++) {
        for (v = 0; v < 8; v++)
            assert_true(dt_ring_push(&r, &v));
        assert_false(dt_ring_push(&r, &v));
        for (uint32_t i = 0; i < 8; i++) {
            assert_true(dt_ring_pop(&r, &v));
            assert_int_equal(v, i);
        }
        assert_false(dt_ring_pop(&r, &v));
        assert_true(dt_ring_empty(&r));
    }
    dt_ring_free(&r);
}

#define COUNT 100000u

static void *produce(void *arg)
{
    for (uint64_t i = 1; i <= COUNT;) {
        uint64_t e[3] = {i, ~i, i * 3};
        if (dt_ring_push(arg, e))
            i++;
        else
            sched_yield();
    }
    return NULL;
}

/* Everything arrives whole and in order. */
static void two_threads(void **state)
{
    struct dt_ring r;
    pthread_t t;
    assert_int_equal(dt_ring_init(&r, 3 * sizeof(uint64_t), 64), 0);
    assert_int_equal(pthread_create(&t, NULL, produce, &r), 0);
    for (uint64_t want = 1; want <= COUNT;) {
        uint64_t e[3];
        if (!dt_ring_pop(&r, e)) {
            sched_yield();
            continue;
        }
        assert_true(e[0] == want && e[1] == ~want && e[2] == want * 3);
        want++;
    }
    pthread_join(t, NULL);
    dt_ring_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bounds), cmocka_unit_test(two_threads)};
    return TEST_RUN(tests);
}
