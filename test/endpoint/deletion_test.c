/* What the peer deletes is closed at once (RFC 7296 1.4.1), unless it was replaced: then packets that are on their way are
 * let in for a moment. */
#include "endpoint/pair.h"

static bool receives(const struct world_host *h, uint32_t spi_in)
{
    for (int i = 0; i < WORLD_SAS; i++)
        if (h->sa[i].live && h->sa[i].spi_in == spi_in)
            return true;
    return false;
}

static uint32_t spi_of(const struct world_host *h)
{
    struct dt_tunnel_info info;
    uint32_t t = h->client ? h->client : dt_endpoint_tunnel_next(h->ep, 0);
    assert_true(dt_endpoint_tunnel_info(h->ep, t, &info));
    assert_int_equal(info.nepochs, 1);
    return info.epochs[0].spi_in;
}

static void deleted_session_receives_nothing_more(void **state)
{
    struct world *w = pair_up(1, WORLD_DOVETAIL, NULL);
    uint32_t spi = spi_of(&w->host[1]);
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 0.015); /* its DELETE has come */
    assert_false(receives(&w->host[1], spi));
    pair_end(w);
    w = pair_up(2, WORLD_DOVETAIL, NULL); /* the same the other way round */
    spi = spi_of(&w->host[0]);
    dt_endpoint_down(w->host[1].ep, w->now, dt_endpoint_tunnel_next(w->host[1].ep, 0));
    world_pass(w, 0.015);
    assert_false(receives(&w->host[0], spi));
    pair_end(w);
}

/* Its client began anew (INITIAL_CONTACT): nothing of the session before is taken any more. */
static void replaced_session_receives_nothing_more(void **state)
{
    struct world *w = pair_up(6, WORLD_DOVETAIL, NULL);
    uint32_t spi = spi_of(&w->host[1]);
    world_kill(w, 0);
    world_connect(w, 0, 1, NULL);
    world_pass(w, 0.2);
    assert_true(world_up(w, 0));
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_DOWN], 1);
    assert_false(receives(&w->host[1], spi));
    pair_end(w);
}

static void deleted_only_child_receives_nothing_more(void **state)
{
    struct world *w = pair_up(3, WORLD_DOVETAIL, NULL);
    struct world_host *h = &w->host[1];
    uint32_t spi = spi_of(&w->host[0]);
    struct dt_tunnel_info info;
    assert_true(dt_endpoint_tunnel_info(h->ep, dt_endpoint_tunnel_next(h->ep, 0), &info));
    dt_endpoint_hard_limit(h->ep, w->now, info.epochs[0].sa); /* makes the gateway delete it */
    world_pass(w, 0.015);
    assert_false(receives(&w->host[0], spi));
    pair_end(w);
}

static void replaced_child_receives_a_little_longer(void **state)
{
    struct world *w = pair_up(4, WORLD_DOVETAIL, NULL);
    uint32_t ours = spi_of(&w->host[0]), theirs = spi_of(&w->host[1]);
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 1); /* verified, and the old one deleted half a second later */
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(w->host[1].seen[DT_EPOCH_PEER_DELETED], 1);
    assert_true(receives(&w->host[0], ours) && receives(&w->host[1], theirs));
    world_pass(w, 2);
    assert_false(receives(&w->host[0], ours) || receives(&w->host[1], theirs));
    pair_end(w);
}

/* However fast a client makes epochs and deletes them: what lingers at the gateway is bounded. */
static void fast_rekeys_leave_few_sas(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    world_init(w, 5, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.params.pingtime = 20 * DT_MSEC; /* the old one is deleted so soon */
    cfg.params.pingtries = 100;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    for (unsigned i = 0; i < 60; i++) {
        dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 0.08);
        assert_in_range(world_sas(&w->host[1]), 1, 8 + DT_EPOCH_MAX);
        assert_in_range(world_sas(&w->host[0]), 1, 8 + DT_EPOCH_MAX);
    }
    assert_in_range(world_epoch(w, 0), 50, 61);
    assert_in_range(world_sas(&w->host[1]), DT_EPOCH_MAX, 3 + DT_EPOCH_MAX);
    pair_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deleted_session_receives_nothing_more),
        cmocka_unit_test(replaced_session_receives_nothing_more),
        cmocka_unit_test(deleted_only_child_receives_nothing_more),
        cmocka_unit_test(replaced_child_receives_a_little_longer),
        cmocka_unit_test(fast_rekeys_leave_few_sas),
    };
    return TEST_RUN(tests);
}
