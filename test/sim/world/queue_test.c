#include "sim/world/queue.h"

#include "base/rand.h"
#include "support/test.h"

/* Against a model: whatever is pushed comes out by time, and equal times in the order of pushing. */
static void test_order(void **state)
{
    struct dt_prng p;
    struct sim_queue q;
    dt_prng_seed(&p, test_seed("queue"));
    sim_queue_init(&q);
    uint64_t now = 0, last_order = 0;
    for (int i = 0; i < 200000; i++) {
        if (dt_prng_u64(&p) % 5 < 3 || !sim_queue_first(&q))
            assert_int_equal(sim_queue_push(&q, now + dt_prng_u64(&p) % 50, 1, 2, &q), 0);
        for (uint32_t k = 1; sim_queue_ahead(&q, k); k++)
            assert_true(sim_queue_ahead(&q, k - 1)->at <= sim_queue_ahead(&q, k)->at);
        if (dt_prng_u64(&p) % 5 < 3 && sim_queue_first(&q)) {
            const struct sim_event *first = sim_queue_first(&q);
            struct sim_event e = *first, out = sim_queue_pop(&q);
            assert_true(e.at == out.at && e.order == out.order && e.what == &q && e.kind == 1 && e.arg == 2);
            assert_true(out.at > now || (out.at == now && (out.order > last_order || !last_order)) ||
                        out.at >= now);
            if (out.at == now && last_order)
                assert_true(out.order > last_order);
            now = out.at;
            last_order = out.order;
        }
    }
    while (sim_queue_first(&q)) {
        struct sim_event out = sim_queue_pop(&q);
        assert_true(out.at > now || (out.at == now && out.order > last_order));
        now = out.at;
        last_order = out.order;
    }
    assert_null(sim_queue_first(&q));
    sim_queue_free(&q);
}

/* Thousands wait, near and far, and the pace changes by a factor of a million: the wheel is laid out again and again. */
static void test_pace(void **state)
{
    struct dt_prng p;
    struct sim_queue q;
    dt_prng_seed(&p, test_seed("pace"));
    sim_queue_init(&q);
    uint64_t now = 0, last_order = 0, in = 0, out = 0;
    for (int i = 0; i < 300000; i++) {
        uint64_t pace = UINT64_C(1) << (i / 30000 % 2 ? 40 : 20);
        unsigned n = in - out < 3000 ? 2 : dt_prng_u64(&p) % 2 * 2;
        while (n--) {
            uint64_t d = dt_prng_u64(&p) % pace;
            d = dt_prng_u64(&p) % 8 ? d : d % 3 ? d << 12 : 0;
            assert_int_equal(sim_queue_push(&q, now + d, 0, 0, NULL), 0);
            in++;
        }
        struct sim_event e = sim_queue_pop(&q);
        out++;
        assert_true(e.at > now || (e.at == now && (out == 1 || e.order > last_order)));
        now = e.at;
        last_order = e.order;
    }
    assert_non_null(q.wheel);
    for (; sim_queue_first(&q); out++) {
        struct sim_event e = sim_queue_pop(&q);
        assert_true(e.at > now || (e.at == now && e.order > last_order));
        now = e.at;
        last_order = e.order;
    }
    assert_true(in == out);
    sim_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_pace)};
    return TEST_RUN(tests);
}
