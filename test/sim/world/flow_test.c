#include "sim/world/flow.h"

#include "sim/run/stats.h"
#include "support/test.h"

static struct sim_mark sent(struct sim_flow *f, dt_time at)
{
    uint8_t bytes[SIM_MARK_LEN];
    struct sim_mark m;
    sim_flow_send(f, 3, at * DT_SEC, (at + 1) * DT_SEC, bytes);
    assert_true(sim_mark_read(&m, bytes, sizeof bytes));
    assert_int_equal(m.flow, 3);
    return m;
}

static void test_gap(void **state)
{
    struct sim_flow f = {0};
    struct sim_mark m = sent(&f, 1);
    assert_false(sim_flow_delivered(&f, &m));
    for (dt_time t = 2; t < 5; t++)
        sent(&f, t);
    m = sent(&f, 5);
    assert_true(sim_flow_delivered(&f, &m));
    assert_int_equal(f.gaps, 1);
    assert_int_equal(f.down, 3 * DT_SEC);
    assert_int_equal(f.last_up, 5 * DT_SEC);
    assert_int_equal(f.last_down, 2 * DT_SEC);
    assert_false(sim_flow_end(&f, 6 * DT_SEC));
    assert_int_equal(f.sent - f.delivered, 3);
}

static void test_never_arrives(void **state)
{
    struct sim_flow f = {0};
    sent(&f, 10);
    sent(&f, 11);
    assert_true(sim_flow_end(&f, 20 * DT_SEC));
    assert_int_equal(f.down, 10 * DT_SEC);
}

static void test_straggler(void **state)
{
    struct sim_flow f = {0};
    struct sim_mark a = sent(&f, 1), b = sent(&f, 2);
    assert_true(sim_flow_delivered(&f, &b));
    assert_false(sim_flow_delivered(&f, &a));
    assert_int_equal(f.delivered, 2);
    assert_false(sim_mark_read(&a, &b, SIM_MARK_LEN - 1));
}

static void test_ranks(void **state)
{
    struct sim_samples s = {0};
    assert_true(sim_samples_rank(&s, 0.5) == 0);
    for (int i = 100; i > 0; i--)
        sim_samples_add(&s, i);
    assert_true(sim_samples_rank(&s, 0.5) == 50);
    assert_true(sim_samples_rank(&s, 0.99) == 99);
    assert_true(sim_samples_rank(&s, 1) == 100);
    assert_true(sim_samples_rank(&s, 0) == 1);
    assert_true(sim_samples_mean(&s) == 50.5);
    sim_samples_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_never_arrives),
        cmocka_unit_test(test_straggler),
        cmocka_unit_test(test_ranks),
    };
    return TEST_RUN(tests);
}
