/* The explorer finds every planted mistake, shows the shortest way there, and its trace replays; without one it finds
 * nothing. What it leaves out to be faster changes neither states nor verdicts. */
#include "sim/explore/explore.h"

#include "base/rand.h"
#include "support/test.h"

#include <unistd.h>

static struct sim_budget rekey_of_both(void)
{
    struct sim_budget b = {.lose = 1, .tick = 1};
    b.env[SIM_ENV_DOWN_B] = b.env[SIM_ENV_REKEY_A] = b.env[SIM_ENV_REKEY_B] = 1;
    return b;
}

static void replays(const struct sim_explore_config *cfg, const struct sim_explored *e)
{
    struct sim_explore_config read = sim_explore_default();
    struct sim_text out = {0};
    struct dt_err err = {0};
    struct sim_trace t;
    char path[] = "/tmp/dovetail-trace.XXXXXX", wrong[SIM_WRONG_TEXT];
    close(mkstemp(path));
    assert_int_equal(sim_trace_write(path, cfg, &e->trace, &err), 0);
    assert_int_equal(sim_trace_read(path, &read, &t, &err), 0);
    unlink(path);
    assert_int_equal(t.n, e->trace.n);
    assert_memory_equal(t.v, e->trace.v, (size_t)t.n * sizeof t.v[0]);
    assert_string_equal(read.plant, cfg->plant);
    if (sim_trace_tell(&read, &t, &out, true, wrong, &err))
        fail_msg("%s: %s", cfg->plant, err.text);
    sim_text_free(&out);
    assert_string_equal(wrong, e->what);
    /* a mistake was seen, not the bound's own doing: without it the same way leads to nothing wrong */
    struct sim_explore_config sound = read;
    sound.masq_faults = (struct dt_masq_faults){0};
    sound.host_faults = (struct sim_host_faults){0};
    sound.params.epoch.faults = (struct dt_epoch_faults){0};
    if (!sim_trace_tell(&sound, &t, &out, true, wrong, &err))
        assert_string_equal(wrong, "");
    sim_text_free(&out);
}

static void mistakes_are_found(void **state)
{
    const char *name;
    int n = 0;
    for (; (name = sim_explore_plant_name(n, NULL)); n++) {
        struct sim_explore_config cfg = sim_explore_default();
        struct sim_explored e;
        struct dt_err err = {0};
        assert_true(sim_explore_plant(&cfg, name));
        cfg.states_max = 60000;
        if (sim_explore(&cfg, &e, &err))
            fail_msg("%s: %s", name, err.text);
        if (!e.violations)
            fail_msg("%s is not found in %llu states", name, (unsigned long long)e.states);
        assert_true(e.trace.n < 16);
        printf("# %s: %s, after %d steps and %llu states\n", name, e.what, e.trace.n,
               (unsigned long long)e.states);
        replays(&cfg, &e);
    }
    assert_true(n >= 14);
    struct sim_explore_config cfg = sim_explore_default();
    assert_false(sim_explore_plant(&cfg, "none_such"));
}

static void nothing_else_is(void **state)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored e, two;
    struct dt_err err = {0};
    cfg.budget = rekey_of_both();
    cfg.budget.lose = 0;
    assert_int_equal(sim_explore(&cfg, &e, &err), 0);
    assert_int_equal(e.violations, 0);
    assert_true(e.exhausted);
    printf("# %llu states, %llu fair plays\n", (unsigned long long)e.states, (unsigned long long)e.fair);
    assert_true(e.states > 1000);
    assert_true(e.worst_s <= e.bound_s);
    cfg.jobs = 2;
    assert_int_equal(sim_explore(&cfg, &two, &err), 0);
    assert_int_equal(two.states, e.states);
    assert_int_equal(two.transitions, e.transitions);
    assert_true(two.exhausted);
}

/* Fair play from the states with nothing under way says what fair play from all of them says. */
static void fair_play_from_quiet_states_suffices(void **state)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored quiet, all;
    struct dt_err err = {0};
    cfg.budget = (struct sim_budget){.lose = 1, .late = 1, .tick = 1};
    cfg.budget.env[SIM_ENV_REKEY_A] = cfg.budget.env[SIM_ENV_CUT] = 1;
    assert_int_equal(sim_explore(&cfg, &quiet, &err), 0);
    cfg.fair_everywhere = true;
    assert_int_equal(sim_explore(&cfg, &all, &err), 0);
    printf("# %llu states: %llu and %llu fair plays\n", (unsigned long long)all.states,
           (unsigned long long)quiet.fair, (unsigned long long)all.fair);
    assert_true(quiet.exhausted && all.exhausted);
    assert_int_equal(quiet.states, all.states);
    assert_int_equal(quiet.transitions, all.transitions);
    assert_true(quiet.fair < all.fair);
    assert_true(quiet.worst_s >= all.worst_s && quiet.worst_s <= all.worst_s);
}

/* The digest of what an action has changed is the digest of everything. */
static void digests_are_whole(void **state)
{
    struct dt_prng rng;
    dt_prng_seed(&rng, test_seed("explore"));
    for (int run = 0; run < 20; run++) {
        struct sim_explore_config cfg = sim_explore_default();
        struct sim_action a[SIM_ACTIONS_MAX];
        struct dt_err err;
        cfg.budget = rekey_of_both();
        cfg.budget.late = cfg.budget.tick = 4;
        memset(cfg.budget.env, 1, sizeof cfg.budget.env);
        struct sim_state *s = sim_state_new(&cfg, &err);
        assert_non_null(s);
        for (int n, i = 0; i < 60 && (n = sim_state_actions(s, a)) > 0; i++) {
            uint64_t world, again;
            assert_true(sim_state_apply(s, a[dt_prng_u64(&rng) % (uint64_t)n]));
            uint64_t digest = sim_state_digest(s, &world);
            sim_state_digest_anew(s);
            assert_true(digest == sim_state_digest(s, &again));
            assert_true(world == again);
        }
        sim_state_free(s);
    }
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

/* Within a bound nothing is left out, whoever comes first: a state that was met at the end of a long path is gone on from
 * when a shorter one leads to it. */
static void a_bound_cuts_alike(void **state)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored loose, one, two;
    struct dt_err err = {0};
    cfg.budget = rekey_of_both();
    cfg.depth = 9;
    assert_int_equal(sim_explore(&cfg, &loose, &err), 0);
    cfg.bounded = true;
    assert_int_equal(sim_explore(&cfg, &one, &err), 0);
    cfg.jobs = 2;
    assert_int_equal(sim_explore(&cfg, &two, &err), 0);
    printf("# %llu states, %llu without looking twice\n", (unsigned long long)one.states,
           (unsigned long long)loose.states);
    assert_true(one.states > loose.states);
    assert_false(one.exhausted);
    assert_int_equal(one.states, two.states);
    assert_int_equal(one.transitions, two.transitions);
    assert_int_equal(one.fair, two.fair);
    assert_false(two.exhausted);
    cfg.budget.lose = 0;
    cfg.depth = 100;
    assert_int_equal(sim_explore(&cfg, &one, &err), 0);
    cfg.bounded = false;
    assert_int_equal(sim_explore(&cfg, &two, &err), 0);
    assert_true(one.exhausted && two.exhausted);
    assert_int_equal(one.states, two.states);
    assert_int_equal(one.transitions, two.transitions);
}

/* Each face begins, and what it shares with another is counted once. */
static void faces_share_what_they_have_seen(void **state)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored first, second;
    struct dt_err err = {0};
    cfg.budget = (struct sim_budget){.tick = 1};
    cfg.budget.env[SIM_ENV_REKEY_A] = 1;
    struct sim_explorer *x = sim_explorer_new(100000, &err);
    assert_non_null(x);
    assert_int_equal(sim_explorer_run(x, &cfg, &first, &err), 0);
    assert_true(first.exhausted && first.states > 10);
    assert_int_equal(sim_explorer_run(x, &cfg, &second, &err), 0);
    assert_true(second.exhausted);
    assert_int_equal(second.states, 0);
    for (int i = 0; cfg = sim_explore_default(), sim_explore_face(&cfg, i); i++) {
        cfg.depth = 2;
        if (sim_explorer_run(x, &cfg, &second, &err))
            fail_msg("%s: %s", cfg.face, err.text);
        assert_int_equal(second.violations, 0);
        assert_false(second.exhausted);
        assert_true(second.states > 0);
    }
    sim_explorer_free(x);
}

/* One part of the digest is left out: two ways that it alone tells apart come to one state, and the audit sees that they
 * lead elsewhere. With all fields no two ways part, and the same seed compares the same pairs. */
static void the_audit_finds_a_field_that_is_missing(void **state)
{
    static const unsigned blind[] = {0, SIM_BLIND_ENDPOINT, SIM_BLIND_NAT};
    for (size_t i = 0; i < sizeof blind / sizeof *blind; i++) {
        struct sim_explore_config cfg = sim_explore_default();
        struct sim_explored e, again;
        struct dt_err err = {0};
        cfg.budget = (struct sim_budget){.lose = 1, .behind = 1, .tick = 1};
        cfg.budget.env[SIM_ENV_UP_A] = cfg.budget.env[SIM_ENV_REKEY_A] = 1;
        cfg.budget.env[SIM_ENV_RESTART] = cfg.budget.env[SIM_ENV_CRASH] = 1;
        cfg.crowd = 1;
        cfg.audit = 4;
        cfg.states_max = 1500;
        cfg.blind = blind[i];
        assert_int_equal(sim_explore(&cfg, &e, &err), 0);
        printf("# without %u: %llu states, %llu pairs, %s\n", blind[i], (unsigned long long)e.states,
               (unsigned long long)e.audited, e.parted ? e.what : "no two ways part");
        assert_int_equal(e.parted, blind[i] != 0);
        assert_int_equal(e.violations, e.parted);
        assert_true(e.audited > (e.parted ? 0 : 100));
        if (i)
            continue;
        assert_int_equal(sim_explore(&cfg, &again, &err), 0);
        assert_int_equal(again.audited, e.audited);
        assert_int_equal(again.states, e.states);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_found),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(fair_play_from_quiet_states_suffices),
        cmocka_unit_test(digests_are_whole),
        cmocka_unit_test(a_bound_is_reported),
        cmocka_unit_test(a_bound_cuts_alike),
        cmocka_unit_test(faces_share_what_they_have_seen),
        cmocka_unit_test(the_audit_finds_a_field_that_is_missing),
    };
    return TEST_RUN(tests);
}
