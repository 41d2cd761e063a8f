/* Every scenario with every pairing, a few seeds each: what plain IPsec suffers and what Dovetail promises. The many
 * seeds are `./dev sim`'s. */
#include "sim/run/run.h"
#include "support/test.h"

#define SEEDS 12

static struct sim_summary run(const char *scenario, const char *pairing, uint64_t first, uint64_t n)
{
    struct dt_err err;
    struct sim_summary s;
    struct sim_run_config cfg = {
        sim_scenario_by_name(scenario), sim_pairing_by_name(pairing), sim_params_default(), 2, 0, NULL};
    if (sim_run_many(&cfg, first, n, 2, false, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void dovetail_keeps_its_promise(void **state)
{
    uint64_t seed = test_seed("scenario") % 1000000;
    for (int i = 0; i < SIM_SCENARIOS; i++)
        for (int k = 2; k < SIM_PAIRINGS; k++) {
            struct sim_summary s = run(sim_scenarios[i].name, sim_pairings[k].name, seed, SEEDS);
            if (s.recovered != s.faults || s.late || s.sins || s.wrong_unheard)
                fail_msg("%s, %s: %d of %d recovered, %d late (seed %llu), %d sins, %d wrong items",
                         sim_scenarios[i].name, sim_pairings[k].name, (int)s.recovered, (int)s.faults,
                         (int)s.late, (unsigned long long)s.late_seed, (int)s.sins, (int)s.wrong_unheard);
            sim_summary_free(&s);
        }
}

/* Tunnels that carry one port heal like any other: no selector restricts what proves them. */
static void a_port_is_no_obstacle(void **state)
{
    static const char *const faults[] = {"spi-collision", "nat-crash", "gateway-restart", "laptop-sleep"};
    uint64_t seed = test_seed("narrow") % 1000000;
    for (int i = 0; i < 4; i++) {
        struct sim_summary s = run(faults[i], "both-narrow", seed, SEEDS);
        if (s.recovered != s.faults || s.late || s.sins || s.wrong_unheard)
            fail_msg("%s: %d of %d recovered, %d late, %d sins", faults[i], (int)s.recovered, (int)s.faults,
                     (int)s.late, (int)s.sins);
        sim_summary_free(&s);
    }
}

/* With Dovetail at both ends the first two races do not even happen: no item takes another's SPI, nothing is sent to
 * everybody, nothing is lost. */
static void races_one_and_two_cannot_happen(void **state)
{
    static const char *const races[] = {"race-1", "race-2", "race-4"};
    for (int i = 0; i < 3; i++) {
        struct sim_summary s = run(races[i], "both", 1, 2 * SEEDS);
        assert_int_equal(s.wrong_items, 0);
        assert_int_equal(s.multicast, 0);
        assert_int_equal(s.lost, 0);
        sim_summary_free(&s);
    }
}

/* The figures' failures: two deaf clients until the lifetime ends. */
static void plain_suffers(void **state)
{
    static const char *const deaf[] = {"race-2", "race-3", "race-4", "spi-collision"};
    for (int i = 0; i < 4; i++) {
        struct sim_summary s = run(deaf[i], "plain", 1, SEEDS);
        if (s.median < 3600)
            fail_msg("%s: plain IPsec recovered in %g s", deaf[i], s.median);
        sim_summary_free(&s);
    }
    struct sim_summary s = run("race-1", "plain", 1, SEEDS);
    assert_true(s.multicast > 100 * SEEDS);
    sim_summary_free(&s);
    s = run("race-3", "plain", 1, SEEDS);
    assert_true(s.wrong_items >= SEEDS / 2);
    sim_summary_free(&s);
}

/* The same seed gives the same bytes, another seed does not, and the number of processes does not matter. */
static void seeds_decide(void **state)
{
    struct sim_run_config cfg = {
        sim_scenario_by_name("nat-crash"), sim_pairing_by_name("plain"), sim_params_default(), 2, 0, NULL};
    struct sim_notes notes[3] = {{.packets = true}, {.packets = true}, {.packets = true}};
    struct sim_result r[3];
    for (int i = 0; i < 3; i++) {
        cfg.notes = &notes[i];
        sim_run_once(&cfg, i < 2 ? 7 : 8, &r[i], NULL);
    }
    assert_memory_equal(&r[0], &r[1], sizeof r[0]);
    assert_int_equal(notes[0].n, notes[1].n);
    assert_memory_equal(notes[0].v, notes[1].v, notes[0].n * sizeof *notes[0].v);
    assert_true(notes[0].n != notes[2].n || memcmp(notes[0].v, notes[2].v, notes[0].n * sizeof *notes[0].v));
    for (int i = 0; i < 3; i++)
        sim_notes_free(&notes[i]);
    struct sim_summary one, two;
    struct dt_err err;
    cfg.notes = NULL;
    assert_int_equal(sim_run_many(&cfg, 1, 6, 1, false, &one, &err), 0);
    assert_int_equal(sim_run_many(&cfg, 1, 6, 3, false, &two, &err), 0);
    assert_memory_equal(one.results, two.results, 6 * sizeof *one.results);
    sim_summary_free(&one);
    sim_summary_free(&two);
}

/* A hundred clients for two days, a fault a day for each pair. */
static void days_and_many_clients(void **state)
{
    struct sim_run_config cfg = {
        sim_scenario_by_name("nat-crash"), sim_pairing_by_name("both"), sim_params_default(), 20, 2, NULL};
    struct sim_result r;
    struct sim_samples each = {0};
    sim_run_once(&cfg, 3, &r, &each);
    assert_false(r.failed);
    assert_int_equal(r.faults, 20);
    assert_int_equal(r.recovered, 20);
    assert_int_equal(each.n, 20);
    assert_true(r.available > 0.999);
    assert_true(r.recovery_s <= r.bound_s);
    sim_samples_free(&each);
}

/* More LANs than a byte counts: every client comes up, each behind its own NAT. */
static void many_lans(void **state)
{
    struct sim_params p = sim_params_default();
    struct dt_err err;
    struct sim_world_config cfg = sim_world_config_default(1, sim_pairing_by_name("both"), &p);
    cfg.clients = 300;
    cfg.per_lan = 1;
    struct sim_world *w = sim_world_new(&cfg, &err);
    assert_non_null(w);
    assert_int_equal(sim_world_start(w, &err), 0);
    sim_net_run(w->net, 15 * DT_SEC);
    for (uint32_t i = 0; i < cfg.clients; i++) {
        const struct sim_tunnel *t = sim_host_tunnel(w->clients[i], i);
        assert_true(t && sim_tunnel_sa(t) && sim_host_tunnel(w->server, i));
    }
    sim_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dovetail_keeps_its_promise),
        cmocka_unit_test(a_port_is_no_obstacle),
        cmocka_unit_test(races_one_and_two_cannot_happen),
        cmocka_unit_test(plain_suffers),
        cmocka_unit_test(seeds_decide),
        cmocka_unit_test(days_and_many_clients),
        cmocka_unit_test(many_lans),
    };
    return TEST_RUN(tests);
}
