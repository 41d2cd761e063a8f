/* Deliberate mistakes in the epoch engines (struct dt_epoch_faults): the rig sees each of them. */
#include "endpoint/world.h"

/* The mistakes that the explorer plants are seen by this rig too. */
static void planted_mistakes_are_seen(void **state)
{
    for (unsigned side = 0; side < 2; side++) {
        struct world *w = malloc(sizeof(*w));
        struct dt_tunnel_cfg cfg;
        struct dt_gateway_cfg g;
        struct dt_err err;
        world_init(w, 30, 2);
        world_serve(w, 1, WORLD_DOVETAIL);
        world_gateway_cfg(&g);
        g.params.faults.server_switch_at_once = side == 1;
        assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
        world_tunnel_cfg(w, &cfg, 0, 1);
        cfg.params.faults.switch_at_once = side == 0;
        world_connect(w, 0, 1, &cfg);
        w->data_every = 5 * DT_MSEC;
        w->data_both = true;
        world_pass(w, 1);
        dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 1);
        assert_true(w->host[side].sins > 0);
        assert_int_equal(w->host[1 - side].sins, 0);
        world_end(w);
        free(w);
    }
}

/* Those that break no rule about data, but heal late or hold data without need. */
static void planted_mistakes_cost_time(void **state)
{
    for (unsigned fault = 0; fault < 4; fault++) {
        struct world *w = malloc(sizeof(*w));
        struct dt_tunnel_cfg cfg;
        struct dt_epoch_params p = world_params();
        struct dt_epoch_bound b = dt_epoch_bound(&p, 1, 20 * DT_MSEC);
        world_init(w, 31, 2);
        world_serve(w, 1, WORLD_DOVETAIL);
        world_tunnel_cfg(w, &cfg, 0, 1);
        cfg.params.faults.no_idle_ping = fault == 1;
        cfg.params.faults.idle_ends_nothing = fault == 2;
        cfg.params.faults.delete_unproved = fault == 3;
        world_connect(w, 0, 1, &cfg);
        world_pass(w, 1);
        dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 1);
        assert_int_equal(w->host[0].seen[DT_EPOCH_HOLD] > 0, fault == 3);
        world_kill(w, 1);
        world_serve(w, 1, WORLD_DOVETAIL);
        world_run(w, w->now + b.detect + 2 * DT_SEC);
        struct world_tunnel *t = world_first(&w->host[1]);
        world_data(w, 0, 0);
        world_pass(w, 1);
        t = world_first(&w->host[1]);
        assert_int_equal(t && t->got == 1, fault != 1 && fault != 2);
        w->host[1].released = 0;
        w->host[1].leases = t != NULL;
        world_end(w);
        free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_mistakes_are_seen),
        cmocka_unit_test(planted_mistakes_cost_time),
    };
    return TEST_RUN(tests);
}
