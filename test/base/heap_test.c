#include "support/test.h"

#include "base/heap.h"
#include "base/rand.h"

#define N 200

/* Against the plainest model there is: an array searched from end to end. */
static void comes_out_in_order(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("comes_out_in_order"));
    struct dt_rand r = dt_prng_rand(&prng);
    struct dt_heap h;
    struct dt_timer t[N];
    dt_heap_init(&h);
    for (int i = 0; i < N; i++)
        dt_timer_init(&t[i]);
    for (int step = 0; step < 20000; step++) {
        struct dt_timer *one = &t[dt_rand_below(&r, N)];
        uint64_t what = dt_rand_below(&r, 4);
        if (what == 0) {
            assert_int_equal(dt_heap_set(&h, one, DT_NEVER), 0);
        } else if (what < 3) {
            assert_int_equal(dt_heap_set(&h, one, dt_rand_below(&r, 1000)), 0);
        } else {
            dt_time now = dt_rand_below(&r, 200);
            struct dt_timer *want = NULL;
            for (int i = 0; i < N; i++)
                if (t[i].at <= now &&
                    (!want || t[i].at < want->at || (t[i].at == want->at && t[i].order < want->order)))
                    want = &t[i];
            assert_ptr_equal(dt_heap_pop_due(&h, now), want);
        }
        dt_time first = DT_NEVER;
        for (int i = 0; i < N; i++)
            first = dt_time_min(first, t[i].at);
        assert_true(dt_heap_deadline(&h) == first);
    }
    dt_heap_free(&h);
}

static void equal_times_keep_their_order(void **state)
{
    struct dt_heap h;
    struct dt_timer t[10];
    dt_heap_init(&h);
    for (int i = 0; i < 10; i++) {
        dt_timer_init(&t[i]);
        dt_heap_set(&h, &t[i], 5);
    }
    for (int i = 0; i < 10; i++)
        assert_ptr_equal(dt_heap_pop_due(&h, 5), &t[i]);
    assert_null(dt_heap_pop_due(&h, DT_NEVER));
    dt_heap_free(&h);
}

/* In a reserved place a timer is set without memory. */
static void reserved_places(void **state)
{
    struct dt_heap h;
    static struct dt_timer t[1000];
    dt_heap_init(&h);
    for (size_t i = 0; i < 1000; i++)
        dt_timer_init(&t[i]);
    for (size_t n = 0; n < 1000; n += 100) {
        assert_int_equal(dt_heap_reserve(&h, 100), 0);
        assert_true(h.cap >= n + 100);
        size_t cap = h.cap;
        for (size_t i = n; i < n + 100; i++)
            assert_int_equal(dt_heap_set(&h, &t[i], i), 0);
        assert_int_equal(h.cap, cap);
    }
    for (size_t i = 0; i < 1000; i++)
        dt_heap_set(&h, &t[i], DT_NEVER);
    dt_heap_unreserve(&h, 1000);
    assert_int_equal(h.reserved + h.count, 0);
    dt_heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reserved_places),
                                       cmocka_unit_test(comes_out_in_order),
                                       cmocka_unit_test(equal_times_keep_their_order)};
    return TEST_RUN(tests);
}
