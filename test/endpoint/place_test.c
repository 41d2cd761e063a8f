/* One identity, one place: a machine that moved or races two sessions is told apart from a second machine. */
#include "endpoint/world.h"

/* Hosts 0 and 2 are machines with the same file; 1 is the gateway. */
static struct world *two(uint64_t seed, bool told)
{
    struct world *w = malloc(sizeof(*w));
    world_init(w, seed, 3);
    w->host[0].installation = told ? 1 : 0;
    w->host[2].installation = told ? 2 : 0;
    world_serve(w, 1, WORLD_DOVETAIL);
    return w;
}

static void start(struct world *w, int host, enum dt_encap encap)
{
    struct dt_tunnel_cfg cfg;
    world_tunnel_cfg(w, &cfg, host, 1);
    dt_ike_id_parse(&cfg.local_id, "bert@example.net");
    cfg.encap = encap;
    world_connect(w, host, 1, &cfg);
}

static void info_of(struct world *w, int host, struct dt_tunnel_info *info)
{
    assert_true(dt_endpoint_tunnel_info(w->host[host].ep, w->host[host].client, info));
}

static uint64_t found(struct world *w, int host)
{
    struct dt_endpoint_counters c;
    dt_endpoint_counters(w->host[host].ep, &c);
    return c.elsewhere;
}

static void done(struct world *w)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(w->host[i].sins, 0);
    world_end(w);
    free(w);
}

/* Who was started last has it, and keeps it; the other is told by whom, holds its packets, and asks no more often than
 * once a minute. */
static void the_machine_started_last_has_it(void **state)
{
    static const enum dt_encap encap[] = {DT_ENCAP_ESP, DT_ENCAP_UDP,
                                          DT_ENCAP_AUTO}; /* with INITIAL_CONTACT, and without */
    for (unsigned i = 0; i < DT_ARRAY_LEN(encap); i++) {
        struct world *w = two(i, true);
        struct dt_tunnel_info info;
        char a[DT_ADDR_STRLEN];
        start(w, 0, encap[i]);
        world_pass(w, 3);
        assert_true(world_up(w, 0));
        start(w, 2, encap[i]);
        world_pass(w, 3);
        assert_true(world_up(w, 2));
        info_of(w, 0, &info);
        assert_false(info.up);
        assert_non_null(strstr(info.why, "another machine"));
        assert_string_equal(dt_addr_str(a, &info.elsewhere.addr), "192.0.2.3");
        assert_int_equal(world_sas(&w->host[0]), 0); /* no control packet of it is answered */
        assert_int_equal(w->host[0].seen[DT_EVENT_ELSEWHERE], 1);
        assert_int_equal(w->host[1].seen[DT_EVENT_ELSEWHERE], 1);
        uint32_t tunnel = dt_endpoint_tunnel_next(w->host[1].ep, 0);
        assert_true(dt_endpoint_tunnel_info(w->host[1].ep, tunnel, &info));
        assert_string_equal(dt_addr_str(a, &info.elsewhere.addr), "192.0.2.1");
        assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, tunnel), 0);
        uint64_t sent = w->host[0].ike_sent;
        for (int k = 0; k < 600; k++) { /* it does not flap */
            world_pass(w, 1);
            assert_true(world_up(w, 2));
            assert_false(world_up(w, 0));
        }
        assert_true(w->host[0].ike_sent - sent <
                    200); /* some eight requests in each of some twenty attempts */
        assert_true(w->host[1].seen[DT_EVENT_ELSEWHERE] <= 12);
        done(w);
    }
}

static void the_other_has_it_when_it_is_free(void **state)
{
    struct world *w = two(10, true);
    start(w, 0, DT_ENCAP_ESP);
    world_pass(w, 1);
    start(w, 2, DT_ENCAP_ESP);
    world_pass(w, 5);
    assert_true(world_up(w, 2) && !world_up(w, 0));
    dt_endpoint_down(w->host[2].ep, w->now, w->host[2].client);
    world_pass(w, 65);
    assert_true(world_up(w, 0));
    done(w);
}

static void whoever_is_asked_for_takes_it_back(void **state)
{
    struct world *w = two(11, true);
    start(w, 0, DT_ENCAP_ESP);
    world_pass(w, 1);
    start(w, 2, DT_ENCAP_ESP);
    world_pass(w, 5);
    assert_true(world_up(w, 2) && !world_up(w, 0));
    dt_endpoint_up(w->host[0].ep, w->now, w->host[0].client); /* a packet that wants it: no reason to fight */
    world_pass(w, 5);
    assert_true(world_up(w, 2) && !world_up(w, 0));
    dt_endpoint_claim(w->host[0].ep, w->now, w->host[0].client);
    dt_endpoint_up(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 5);
    assert_true(world_up(w, 0) && !world_up(w, 2));
    world_pass(w, 300);
    assert_true(world_up(w, 0) && !world_up(w, 2));
    done(w);
}

/* The same machine: killed and started again; begun anew beside its old session; racing two. */
static void one_machine_is_no_second_one(void **state)
{
    struct world *w = two(12, true);
    start(w, 0, DT_ENCAP_AUTO);
    world_pass(w, 2);
    world_kill(w, 0);
    w->host[0].addr = dt_addr4(0xc0000209); /* it moved meanwhile */
    start(w, 0, DT_ENCAP_AUTO);
    world_pass(w, 60);
    assert_true(world_up(w, 0));
    assert_int_equal(found(w, 0) + found(w, 1), 0);
    w->esp_blocked = true; /* the race */
    world_pass(w, 60);
    assert_true(world_up(w, 0));
    assert_int_equal(found(w, 0) + found(w, 1), 0);
    done(w);
}

/* Peers that do not say which installation they are: two that live at once are two machines. It does not flap either. */
static void overlapping_lives_are_two_machines(void **state)
{
    struct world *w = two(13, false);
    start(w, 0, DT_ENCAP_ESP);
    world_pass(w, 1);
    world_kill(w, 0);
    start(w, 0, DT_ENCAP_ESP); /* it began anew: one machine */
    world_pass(w, 30);
    assert_int_equal(found(w, 1), 0);
    struct dt_tunnel_cfg cfg;
    world_tunnel_cfg(w, &cfg, 2, 1);
    dt_ike_id_parse(&cfg.local_id, "bert@example.net");
    cfg.encap = DT_ENCAP_ESP; /* with INITIAL_CONTACT, which speaks for its own address alone */
    world_connect(w, 2, 1, &cfg);
    world_pass(w, 20);
    assert_true(world_up(w, 2));
    assert_false(world_up(w, 0));
    assert_int_not_equal(found(w, 1), 0);
    for (int k = 0; k < 300; k++) {
        world_pass(w, 1);
        assert_true(world_up(w, 2));
        assert_false(world_up(w, 0));
    }
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_started_last_has_it),
        cmocka_unit_test(the_other_has_it_when_it_is_free),
        cmocka_unit_test(whoever_is_asked_for_takes_it_back),
        cmocka_unit_test(one_machine_is_no_second_one),
        cmocka_unit_test(overlapping_lives_are_two_machines),
    };
    return TEST_RUN(tests);
}
