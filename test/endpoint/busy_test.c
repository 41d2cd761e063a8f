/* A peer that has no time now (RFC 7296 2.25), and one whose session is given up although it answers. */
#include "endpoint/pair.h"

#define CREATE_CHILD 36

/* The gateway's requests are lost: its own rekey of the IKE SA stays under way, and it refuses ours for that long. */
static bool lose_requests_of_the_gateway(struct world *w, int from, const uint8_t *data, size_t len)
{
    return from == 1 && data[18] == CREATE_CHILD && !(data[19] & 0x20);
}

static void busy_gateway_keeps_its_session(void **state)
{
    struct world *w = pair_up(1, WORLD_DOVETAIL, NULL);
    struct world_host *a = &w->host[0];
    pair_traffic(w);
    w->filter = lose_requests_of_the_gateway;
    dt_endpoint_rekey_ike(w->host[1].ep, w->now, dt_endpoint_tunnel_next(w->host[1].ep, 0));
    dt_endpoint_rekey(a->ep, w->now, a->client);
    world_pass(w, 7);
    assert_in_range(a->seen[DT_EPOCH_REFUSED], 3, 6); /* more than elimit, and fewer than one a second */
    assert_int_equal(world_epoch(w, 0), 1);
    w->filter = NULL; /* its request comes through */
    world_pass(w, 10);
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(a->seen[DT_EVENT_SESSION_UP], 1);
    assert_int_equal(a->seen[DT_EVENT_SESSION_DOWN] + a->seen[DT_EPOCH_SESSION_DROPPED], 0);
    assert_int_equal(a->seen[DT_EVENT_SESSION_REKEYED], 1);
    pair_every_packet_arrived(w);
    pair_end(w);
}

/* The session is given up, and the gateway hears of it; the epoch that carries data goes on until another one does. */
static void dropped_session_is_deleted_once_it_is_replaced(void **state)
{
    struct world *w = pair_up(2, WORLD_DOVETAIL, NULL);
    struct world_host *a = &w->host[0];
    pair_traffic(w);
    a->refuse_install = true;
    dt_endpoint_rekey(a->ep, w->now, a->client);
    for (unsigned i = 0; i < 100 && !a->seen[DT_EPOCH_SESSION_DROPPED]; i++)
        world_pass(w, 0.05);
    assert_int_equal(a->seen[DT_EPOCH_SESSION_DROPPED], 1);
    a->refuse_install = false;
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_DOWN], 0);
    world_pass(w, 3);
    assert_true(world_up(w, 0));
    assert_int_equal(a->seen[DT_EVENT_SESSION_UP], 2);
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_DOWN], 1);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[0].ep)).sessions, 1);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 1);
    pair_every_packet_arrived(w);
    pair_end(w);
}

/* The first child fails in each session: the gateway does not keep the sessions that we gave up. */
static void refused_child_leaves_no_session_behind(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    struct dt_selector s;
    world_init(w, 3, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    assert_int_equal(dt_selector_parse(&s, "172.16.0.0/12"), 0); /* not what the gateway protects */
    cfg.protect.n = 0;
    dt_selectors_add(&cfg.protect, &s);
    world_connect(w, 0, 1, &cfg);
    for (unsigned i = 0; i < 60; i++) {
        world_pass(w, 1);
        assert_in_range(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 0, 1);
    }
    assert_in_range(w->host[0].seen[DT_EPOCH_SESSION_DROPPED], 2, 60);
    pair_end(w);
}

/* A rekey that the gateway begins is declined where it is a Dovetail that probes, because ours will come; from everybody else
 * it is taken, unless the configuration says otherwise. */
static void rekey_of_a_stranger_is_accepted(void **state)
{
    static const struct {
        enum world_peer kind;
        bool decline, accept, taken;
    } cases[] = {{WORLD_DOVETAIL, false, false, false}, {WORLD_DOVETAIL, false, true, true},
                 {WORLD_AT_ONCE, false, false, true},   {WORLD_AT_ONCE, true, false, false},
                 {WORLD_HOLDS, false, false, true},     {WORLD_HOLDS, true, false, false}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *w = malloc(sizeof(*w));
        struct dt_tunnel_cfg cfg;
        world_init(w, 10 + i, 2);
        world_serve(w, 1, cases[i].kind);
        world_tunnel_cfg(w, &cfg, 0, 1);
        cfg.server_rekey_decline = cases[i].decline;
        cfg.params.server_rekey = cases[i].accept;
        world_connect(w, 0, 1, &cfg);
        world_pass(w, 1);
        assert_true(world_up(w, 0));
        pair_traffic(w);
        dt_endpoint_rekey(w->host[1].ep, w->now, dt_endpoint_tunnel_next(w->host[1].ep, 0));
        world_pass(w, 1.5);
        assert_int_equal(w->host[0].seen[DT_EPOCH_REKEY_DECLINED], !cases[i].taken);
        assert_int_equal(world_epoch(w, 0), cases[i].taken ? 2 : 1);
        pair_every_packet_arrived(w);
        pair_end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_gateway_keeps_its_session),
        cmocka_unit_test(dropped_session_is_deleted_once_it_is_replaced),
        cmocka_unit_test(rekey_of_a_stranger_is_accepted),
        cmocka_unit_test(refused_child_leaves_no_session_behind),
    };
    return TEST_RUN(tests);
}
