/* Discovery among many gateways: the simulator's own network, deterministic, and linear in the pairs that talk. */
#include "support/test.h"

#include "sim/world/discover.h"

static void without_loss_one_probe_a_pair(void **state)
{
    for (uint32_t pairs = 100; pairs <= 400; pairs *= 2) {
        struct sim_discover_result r;
        assert_int_equal(sim_discover_run(1, 200, pairs, 0, &r), 0);
        assert_int_equal(r.probes, pairs);
        assert_int_equal(r.replies, pairs);
        assert_int_equal(r.passed, 2 * pairs);
        assert_int_equal(r.found, 3 * pairs);
        assert_int_equal(r.entries, pairs);
    }
}

static void the_same_seed_gives_the_same(void **state)
{
    struct sim_discover_result a, b;
    assert_int_equal(sim_discover_run(7, 50, 200, 0.1, &a), 0);
    assert_int_equal(sim_discover_run(7, 50, 200, 0.1, &b), 0);
    assert_true(memcmp(&a, &b, sizeof a) == 0);
    assert_in_range(a.probes, 200, 700); /* eight links: 0.43 get through, and there are four tries */
    assert_true(a.silent > 0 && a.refused == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_loss_one_probe_a_pair),
        cmocka_unit_test(the_same_seed_gives_the_same),
    };
    return TEST_RUN(tests);
}
