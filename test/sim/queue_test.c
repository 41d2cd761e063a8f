#include "sim/queue.h"

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
        if (dt_prng_u64(&p) % 5 < 3 || !q.count)
            assert_int_equal(sim_queue_push(&q, now + dt_prng_u64(&p) % 50, 1, 2, &q), 0);
        if (dt_prng_u64(&p) % 5 < 3 && q.count) {
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
    while (q.count) {
        struct sim_event out = sim_queue_pop(&q);
        assert_true(out.at > now || (out.at == now && out.order > last_order));
        now = out.at;
        last_order = out.order;
    }
    assert_null(sim_queue_first(&q));
    sim_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
    return TEST_RUN(tests);
}
