/* The explorer finds every planted mistake that it can meet within its bound, shows the shortest way there, and its
 * trace replays; without one it finds nothing. */
#include "sim/explore.h"
#include "support/test.h"

#include <unistd.h>

static void mistakes_are_found(void **state)
{
    static const char *const plants[] = {"switch_at_once",  "server_switch_at_once", "no_idle_ping",
                                         "one_probe",       "probe_forever",         "idle_ends_nothing",
                                         "two_outstanding", "keep_outstanding",      "convert_waiting"};
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        struct sim_explore_config cfg = sim_explore_default();
        struct sim_explored e;
        struct dt_err err = {0};
        assert_true(sim_explore_plant(&cfg, plants[i]));
        cfg.states_max = 60000;
        if (sim_explore(&cfg, &e, &err))
            fail_msg("%s: %s", plants[i], err.text);
        if (!e.violations)
            fail_msg("%s is not found in %llu states", plants[i], (unsigned long long)e.states);
        assert_true(e.trace.n < 16);
        printf("# %s: %s, after %d steps\n", plants[i], e.what, e.trace.n);

        struct sim_explore_config read = sim_explore_default();
        struct sim_trace t;
        char path[] = "/tmp/dovetail-trace.XXXXXX";
        close(mkstemp(path));
        assert_int_equal(sim_trace_write(path, &cfg, &e.trace, &err), 0);
        assert_int_equal(sim_trace_read(path, &read, &t, &err), 0);
        assert_int_equal(t.n, e.trace.n);
        assert_memory_equal(t.v, e.trace.v, (size_t)t.n * sizeof t.v[0]);
        assert_string_equal(read.plant, plants[i]);
        unlink(path);
    }
}

static void nothing_else_is(void **state)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored e, two;
    struct dt_err err = {0};
    cfg.budget = (struct sim_budget){.lose = 1, .env = {1, 0, 0, 1, 1, 0, 0, 0}};
    assert_int_equal(sim_explore(&cfg, &e, &err), 0);
    assert_int_equal(e.violations, 0);
    assert_true(e.exhausted);
    assert_true(e.states > 300);
    assert_true(e.worst_s <= e.bound_s);
    cfg.jobs = 2;
    assert_int_equal(sim_explore(&cfg, &two, &err), 0);
    assert_int_equal(two.states, e.states);
    assert_int_equal(two.transitions, e.transitions);
    assert_true(two.exhausted);
}

static void a_bound_is_reported(void **state)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored e;
    struct dt_err err = {0};
    cfg.depth = 3;
    assert_int_equal(sim_explore(&cfg, &e, &err), 0);
    assert_false(e.exhausted);
    cfg = sim_explore_default();
    cfg.states_max = 200;
    assert_int_equal(sim_explore(&cfg, &e, &err), 0);
    assert_false(e.exhausted);
    assert_in_range(e.states, 200, 210);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_found),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(a_bound_is_reported),
    };
    return TEST_RUN(tests);
}
