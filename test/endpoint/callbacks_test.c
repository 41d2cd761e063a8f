/* What a driver may do from within a callback: ask whatever it likes. The world's callbacks do so everywhere (look in
 * world.c), and see from `event` what the call has led to. Here is each way in which a session ends before, while and
 * after its tunnel comes up, in both roles, with somebody looking. */
#include "endpoint/world.h"

static struct world *pair(const struct dt_tunnel_cfg *cfg)
{
    struct world *w = malloc(sizeof(*w));
    assert_non_null(w);
    world_init(w, 7, 3);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_connect(w, 0, 1, cfg);
    return w;
}

static void done(struct world *w)
{
    for (int i = 0; i < w->n; i++)
        assert_int_equal(w->host[i].sins, 0);
    world_end(w);
    free(w);
}

static uint32_t gateways_client(struct world *w)
{
    uint32_t t = dt_endpoint_tunnel_next(w->host[1].ep, 0);
    assert_int_not_equal(t, 0);
    return t;
}

/* ESP does not get through, so that the session is up and no epoch is verified. */
static struct world *pair_waiting(void)
{
    struct world *w = pair(NULL);
    w->esp_blocked = true;
    world_pass(w, 0.5);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], 1);
    assert_false(world_up(w, 0));
    return w;
}

static void gateway_ends_while_the_client_waits(void **state)
{
    struct world *w = pair_waiting();
    dt_endpoint_shutdown(w->host[1].ep, w->now);
    world_pass(w, 0.5);
    assert_true(w->host[0].seen[DT_EVENT_SESSION_DOWN] >= 1);
    done(w);
}

static void gateway_throws_the_waiting_client_out(void **state)
{
    struct world *w = pair_waiting();
    dt_endpoint_down(w->host[1].ep, w->now, gateways_client(w));
    world_pass(w, 0.5);
    assert_true(w->host[0].seen[DT_EVENT_SESSION_DOWN] >= 1);
    assert_true(w->host[1].seen[DT_EVENT_TUNNEL_GONE] >= 1);
    w->esp_blocked = false;
    world_pass(w, 10);
    assert_true(world_up(w, 0)); /* it comes again by itself */
    done(w);
}

static void session_ends_during_a_rekey(void **state)
{
    struct world *w = pair(NULL);
    world_pass(w, 0.5);
    assert_true(world_up(w, 0));
    w->esp_blocked = true;
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 0.2);
    dt_endpoint_down(w->host[1].ep, w->now, gateways_client(w));
    world_pass(w, 0.5);
    assert_true(w->host[0].seen[DT_EVENT_SESSION_DOWN] >= 1);
    done(w);
}

static void client_ends_and_its_gateway_looks(void **state)
{
    struct world *w = pair(NULL);
    world_pass(w, 0.5);
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 5);
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_DOWN], 1);
    assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 1);
    done(w);
}

static void gateway_is_full(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_gateway_cfg cfg;
    struct dt_err err = {0};
    assert_non_null(w);
    world_init(w, 7, 3);
    world_boot(w, 1, NULL);
    world_gateway_cfg(&cfg);
    cfg.tunnels_max = 1;
    w->host[1].gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &cfg, &err);
    assert_int_not_equal(w->host[1].gateway, 0);
    world_connect(w, 0, 1, NULL);
    world_pass(w, 0.5);
    world_connect(w, 2, 1, NULL);
    world_pass(w, 3);
    assert_true(world_up(w, 0));
    assert_false(world_up(w, 2));
    assert_true(w->host[2].seen[DT_EPOCH_REFUSED] + w->host[2].seen[DT_EPOCH_SESSION_LOST] >= 1);
    done(w);
}

/* A gateway that goes takes all its clients along: each is told of, by a name that is still there. */
static void names_outlive_their_tunnels(void **state)
{
    struct world *w = pair(NULL);
    world_connect(w, 2, 1, NULL);
    world_pass(w, 0.5);
    dt_endpoint_gateway_remove(w->host[1].ep, w->now, w->host[1].gateway);
    assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 2);
    assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
    dt_endpoint_tunnel_remove(w->host[0].ep, w->now, w->host[0].client);
    assert_int_equal(w->host[0].seen[DT_EVENT_TUNNEL_GONE], 1);
    w->host[0].client = 0;
    done(w);
}

/* Whoever calls in from a callback all the same breaks nothing, and is found out. */
static void event_that_calls_in(void *user, const struct dt_event *ev)
{
    struct world_host *h = user;
    h->seen[ev->kind]++;
    if (ev->kind == DT_EVENT_UP)
        dt_endpoint_down(h->ep, h->w->now, h->client);
}

static void calls_from_a_callback_are_counted(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_endpoint_counters count;
    assert_non_null(w);
    world_init(w, 7, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    w->host[0].unseen = true;
    w->host[0].event = event_that_calls_in;
    world_connect(w, 0, 1, NULL);
    world_pass(w, 0.5);
    assert_int_equal(w->host[0].seen[DT_EVENT_UP], 1);
    assert_int_equal(w->host[0].seen[DT_EVENT_DOWN], 1);
    dt_endpoint_counters(w->host[0].ep, &count);
    assert_int_equal(count.reentered, 1);
    done(w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(gateway_ends_while_the_client_waits),
        cmocka_unit_test(gateway_throws_the_waiting_client_out),
        cmocka_unit_test(session_ends_during_a_rekey),
        cmocka_unit_test(client_ends_and_its_gateway_looks),
        cmocka_unit_test(gateway_is_full),
        cmocka_unit_test(names_outlive_their_tunnels),
        cmocka_unit_test(calls_from_a_callback_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
