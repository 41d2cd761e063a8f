/* Rekeys and deletions, of both ends, that cross, are declined, or are lost: what becomes of epochs and of data. */
#include "endpoint/pair.h"

#define CREATE_CHILD  36
#define INFORMATIONAL 37

/* Traffic in both directions while epochs are replaced all the time: every packet arrives. */
static void rekeys_cost_no_packet(void **state)
{
    static const enum world_peer kinds[] = {WORLD_DOVETAIL, WORLD_AT_ONCE, WORLD_HOLDS};
    for (unsigned k = 0; k < 3; k++) {
        struct world *w = pair_up(k, kinds[k], NULL);
        struct dt_tunnel_info info;
        w->data_every = 5 * DT_MSEC;
        w->data_both = true;
        for (unsigned i = 0; i < 30; i++) { /* every 2 s, for 60 s */
            dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
            world_pass(w, 2);
        }
        w->data_every = 0;
        world_pass(w, 1);
        struct world_tunnel *c = world_first(&w->host[0]), *s = world_first(&w->host[1]);
        assert_true(c->sent > 10000 && s->sent > 10000);
        assert_int_equal(c->sent, s->got);
        assert_int_equal(s->sent, c->got);
        assert_int_equal(c->dropped + s->dropped, 0);
        pair_info(w, 0, &info);
        assert_true(info.stats.verified >= 30);
        assert_int_equal(info.stats.forced_uses, 0);
        assert_true(world_sas(&w->host[0]) <= 3 && world_sas(&w->host[1]) <= 3);
        pair_end(w);
    }
}

static void server_may_not_rekey(void **state) /* claim 11: declined, and the session lives */
{
    struct world *w = pair_up(1, WORLD_DOVETAIL, NULL);
    dt_endpoint_rekey(w->host[1].ep, w->now, pair_peer_tunnel(w));
    world_pass(w, 2);
    assert_int_equal(w->host[0].seen[DT_EPOCH_REKEY_DECLINED], 1);
    assert_int_equal(w->host[1].seen[DT_EPOCH_REFUSED], 1);
    assert_int_equal(world_epoch(w, 0), 1);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], 1);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_DOWN], 0);
    pair_end(w);
}

static void server_rekey_accepted(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    world_init(w, 2, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.params.server_rekey = true;
    world_connect(w, 0, 1, &cfg);
    w->data_every = 10 * DT_MSEC;
    w->data_both = true;
    world_pass(w, 1);
    dt_endpoint_rekey(w->host[1].ep, w->now, pair_peer_tunnel(w));
    world_pass(w, 3);
    assert_int_equal(world_epoch(w, 0), 2);
    w->data_every = 0;
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[0])->sent, world_first(&w->host[1])->got);
    pair_end(w);
}

/* Somebody asks at the gateway: one control packet, one answer that counts; the engine is not disturbed. */
static void server_pings_its_client(void **state)
{
    struct world *w = pair_up(2, WORLD_DOVETAIL, NULL);
    struct dt_tunnel_info info;
    unsigned before = w->host[1].probes;
    assert_int_equal(w->host[1].seen[DT_EPOCH_PING_REPLY], 0);
    dt_endpoint_ping(w->host[1].ep, w->now, pair_peer_tunnel(w));
    world_pass(w, 1);
    assert_int_equal(w->host[1].probes, before + 1);
    assert_int_equal(w->host[1].seen[DT_EPOCH_PING_REPLY], 1);
    pair_info(w, 1, &info);
    assert_int_equal(info.rtt, 2 * w->delay);
    /* An answer that nobody waits for is none. */
    dt_endpoint_probe_reply(w->host[1].ep, w->now, info.epochs[0].sa, (uint16_t)info.epoch, 1);
    assert_int_equal(w->host[1].seen[DT_EPOCH_PING_REPLY], 1);
    pair_end(w);
}

static void both_rekey_the_child(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    world_init(w, 3, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.params.server_rekey = true;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    for (unsigned i = 0; i < 10; i++) {
        dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
        dt_endpoint_rekey(w->host[1].ep, w->now, pair_peer_tunnel(w));
        world_pass(w, 5);
        assert_true(world_up(w, 0));
        assert_int_equal(world_sas(&w->host[0]), 1); /* both ends agree on which one stays */
        assert_int_equal(world_sas(&w->host[1]), 1);
        world_data(w, 0, 0);
        world_data(w, 1, 0);
        world_pass(w, 1);
        assert_int_equal(world_first(&w->host[1])->got, i + 1);
        assert_int_equal(world_first(&w->host[0])->got, i + 1);
    }
    assert_true(w->host[0].seen[DT_EVENT_IKE] + w->host[1].seen[DT_EVENT_IKE] > 0);
    pair_end(w);
}

static void both_rekey_the_ike_sa(void **state)
{
    struct world *w = pair_up(4, WORLD_DOVETAIL, NULL);
    dt_endpoint_rekey_ike(w->host[0].ep, w->now, w->host[0].client);
    dt_endpoint_rekey_ike(w->host[1].ep, w->now, pair_peer_tunnel(w));
    world_pass(w, 5);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[0].ep)).sas, 1);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sas, 1);
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client); /* and the session still works */
    world_pass(w, 3);
    assert_int_equal(world_epoch(w, 0), 2);
    pair_end(w);
}

/* The client rekeys just as the server throws it out. */
static void rekey_meets_delete(void **state)
{
    struct world *w = pair_up(5, WORLD_DOVETAIL, NULL);
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    dt_endpoint_down(w->host[1].ep, w->now, pair_peer_tunnel(w));
    world_pass(w, 5);
    assert_true(world_up(w, 0)); /* a new session */
    world_data(w, 0, 0);
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[1])->got, 1);
    assert_int_equal(world_sas(&w->host[0]), 1);
    assert_int_equal(world_sas(&w->host[1]), 1);
    pair_end(w);
}

static int lose_exchange;

static bool lose(struct world *w, int from, const uint8_t *data, size_t len)
{
    return len > 19 && data[18] == lose_exchange;
}

static bool lose_answers(struct world *w, int from, const uint8_t *data, size_t len)
{
    return len > 19 && data[18] == lose_exchange && (data[19] & 0x20);
}

static void a_lost_delete(void **state)
{
    struct world *w = pair_up(6, WORLD_DOVETAIL, NULL);
    w->data_every = 10 * DT_MSEC;
    w->data_both = true;
    lose_exchange = INFORMATIONAL;
    w->filter = lose;
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 4);
    assert_int_equal(world_epoch(w, 0), 2); /* data goes on meanwhile */
    assert_int_equal(world_sas(&w->host[1]), 2);
    w->filter = NULL;
    world_pass(w, 12);
    assert_int_equal(w->host[0].seen[DT_EPOCH_DELETED] + w->host[0].seen[DT_EPOCH_EXPIRED] > 0, 1);
    w->data_every = 0;
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[0])->sent, world_first(&w->host[1])->got);
    assert_int_equal(world_first(&w->host[1])->sent, world_first(&w->host[0])->got);
    pair_end(w);
}

/* The answer to a rekey comes after the client began anew: it is the answer, and no orphan stays at the server. */
static void a_late_response(void **state)
{
    struct world *w = pair_up(7, WORLD_DOVETAIL, NULL);
    w->data_every = 100 * DT_MSEC;
    w->data_both = true;
    lose_exchange = CREATE_CHILD;
    w->filter = lose_answers;
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 4); /* timeout is 3 s */
    assert_int_equal(w->host[0].seen[DT_EPOCH_TIMEOUT], 1);
    assert_int_equal(world_epoch(w, 0), 1);
    w->filter = NULL;
    world_pass(w, 6);
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(world_sas(&w->host[1]), 1);
    assert_int_equal(w->host[1].seen[DT_EPOCH_NEGOTIATED], 2);
    pair_end(w);
}

/* In a second session for this identity at the gateway. */
static void hold_until_delete_with_a_lost_delete(void **state)
{
    struct world *w = pair_up(8, WORLD_HOLDS, NULL);
    lose_exchange = INFORMATIONAL;
    w->filter = lose;
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 1.5);
    assert_int_equal(w->host[0].seen[DT_EPOCH_PROBE_ELSEWHERE], 1);
    assert_int_equal(world_first(&w->host[0])->how, DT_OUTBOUND_HOLD);
    world_data(w, 0, 0);
    w->filter = NULL;
    world_pass(w, 5);
    assert_true(world_up(w, 0));
    assert_int_equal(world_first(&w->host[1])->got, 1);
    pair_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rekeys_cost_no_packet), cmocka_unit_test(server_may_not_rekey),
        cmocka_unit_test(server_rekey_accepted), cmocka_unit_test(server_pings_its_client),
        cmocka_unit_test(both_rekey_the_child),  cmocka_unit_test(both_rekey_the_ike_sa),
        cmocka_unit_test(rekey_meets_delete),    cmocka_unit_test(a_lost_delete),
        cmocka_unit_test(a_late_response),       cmocka_unit_test(hold_until_delete_with_a_lost_delete),
    };
    return TEST_RUN(tests);
}
