#include "sim/world/link.h"

#include "support/test.h"

static struct dt_prng rng;

static void test_delay_keeps_order(void **state)
{
    struct sim_link l = {.delay = 10 * DT_MSEC, .jitter = 30 * DT_MSEC};
    dt_time at[2], last = 0;
    for (int i = 0; i < 10000; i++) {
        dt_time now = (dt_time)i * DT_MSEC;
        assert_int_equal(sim_link_send(&l, &rng, now, 100, at), 1);
        assert_true(at[0] >= now + 10 * DT_MSEC && at[0] >= last);
        last = at[0];
    }
}

static void test_loss_and_outage(void **state)
{
    struct sim_link l = {.loss = sim_chance(0.4)};
    dt_time at[2];
    int lost = 0;
    for (int i = 0; i < 100000; i++)
        lost += !sim_link_send(&l, &rng, 0, 100, at);
    assert_in_range(lost, 39000, 41000);
    assert_int_equal(l.lost, lost);
    l = (struct sim_link){.loss = sim_chance(1)};
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sim_link_send(&l, &rng, 0, 100, at), 0);
    l = (struct sim_link){.down = true};
    assert_int_equal(sim_link_send(&l, &rng, 0, 100, at), 0);
}

static void test_duplicate_and_reorder(void **state)
{
    struct sim_link l = {.delay = DT_MSEC, .duplicate = sim_chance(1)};
    dt_time at[2], before;
    assert_int_equal(sim_link_send(&l, &rng, 0, 100, at), 2);
    l = (struct sim_link){.delay = DT_MSEC, .reorder = sim_chance(1), .reorder_by = DT_SEC};
    assert_int_equal(sim_link_send(&l, &rng, 0, 100, at), 1);
    before = at[0];
    l.reorder = 0;
    assert_int_equal(sim_link_send(&l, &rng, DT_MSEC, 100, at), 1);
    assert_true(at[0] < before);
}

static void test_bandwidth(void **state)
{
    /* 1 Mb/s: 1,250 octets take 10 ms; what would wait longer than 50 ms is dropped */
    struct sim_link l = {.bits_per_s = 1000000, .queue = 50 * DT_MSEC};
    dt_time at[2];
    int through = 0;
    for (int i = 0; i < 10; i++)
        if (sim_link_send(&l, &rng, 0, 1250, at)) {
            through++;
            assert_int_equal(at[0], (uint64_t)through * 10 * DT_MSEC);
        }
    assert_int_equal(through, 6);
    assert_int_equal(sim_link_send(&l, &rng, DT_SEC, 1250, at), 1);
    assert_int_equal(at[0], DT_SEC + 10 * DT_MSEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_keeps_order),
        cmocka_unit_test(test_loss_and_outage),
        cmocka_unit_test(test_duplicate_and_reorder),
        cmocka_unit_test(test_bandwidth),
    };
    dt_prng_seed(&rng, 7);
    return TEST_RUN(tests);
}
