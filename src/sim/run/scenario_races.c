/* The four races and the two collisions of US 7,155,740. */
#include "sim/run/scenario.h"

#define STEADY DT_SEC
#define STREAM (20 * DT_MSEC)

dt_time sim_race_1(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_world_traffic(c->w, c->first, 1, 0, STREAM);
        return 2 * DT_SEC;
    case 1:
        sim_case_fault(c, "A downloads, and its tunnel is rekeyed");
        sim_case_rekey(c, c->a);
        sim_case_end(c, DT_SEC);
        return 3 * DT_SEC;
    default:
        sim_world_traffic(c->w, c->first, 1, 0, STEADY);
        return DT_NEVER;
    }
}

dt_time sim_race_2(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_world_traffic(c->w, c->first, 1, STREAM, 0);
        sim_world_traffic(c->w, c->first + 1, 1, 0, STREAM);
        return DT_SEC + sim_world_below(c->w, DT_SEC);
    case 1:
        sim_case_fault(c, "A and B rekey together");
        sim_case_rekey(c, c->b);
        return sim_world_below(c->w, 10 * DT_MSEC);
    case 2:
        sim_case_rekey(c, c->a);
        sim_case_end(c, DT_SEC);
        return 3 * DT_SEC;
    default:
        sim_world_traffic(c->w, c->first, 2, STEADY, STEADY);
        return DT_NEVER;
    }
}

/* Everything for A is late by more than t_out. A says one thing on its new epoch and waits; when its item has
 * expired, B speaks. */
dt_time sim_race_3(struct sim_case *c)
{
    dt_time t_out = c->w->cfg.params.nat.t_out, round_trip = 2 * c->w->cfg.wan_delay + 20 * DT_MSEC;
    switch (c->step) {
    case 0:
        sim_world_traffic(c->w, c->first, 1, 0, STREAM);
        sim_world_traffic(c->w, c->first + 1, 1, 0, 0);
        c->scratch[0] = t_out + DT_SEC + sim_world_below(c->w, DT_SEC);
        sim_case_fault(c, "what the server sends to A takes %.1f s longer", dt_time_seconds(c->scratch[0]));
        c->nat->down.slow_to = c->a->node.index;
        c->nat->down.slow_by = c->scratch[0];
        sim_case_rekey(c, c->a);
        return 2 * round_trip;
    case 1:
        sim_host_traffic(c->a, c->a->number, c->w->net->now + STEADY);
        return t_out - 500 * DT_MSEC + sim_world_below(c->w, 300 * DT_MSEC);
    case 2:
        sim_case_rekey(c, c->b);
        return 2 * round_trip;
    case 3:
        sim_world_traffic(c->w, c->first + 1, 1, STREAM, 0);
        return 2 * DT_SEC;
    case 4:
        c->nat->down.slow_by = 0;
        sim_case_end(c, c->scratch[0]);
        return c->scratch[0];
    default:
        sim_world_traffic(c->w, c->first, 2, STEADY, STEADY);
        return DT_NEVER;
    }
}

dt_time sim_race_4(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_case_fault(c, "nobody has anything to say");
        sim_world_traffic(c->w, c->first, 2, 0, 0);
        return c->w->cfg.params.nat.t_ei + DT_SEC + sim_world_below(c->w, 60 * DT_SEC);
    case 1: /* B speaks, and what the server then says is for A */
        sim_case_end(c, 0);
        sim_host_traffic(c->b, c->b->number, c->w->net->now + 200 * DT_MSEC);
        return c->w->cfg.wan_delay + 20 * DT_MSEC;
    case 2:
        sim_host_traffic(c->w->server, c->a->number, c->w->net->now + 200 * DT_MSEC);
        return 200 * DT_MSEC;
    default:
        sim_world_traffic(c->w, c->first, 2, STEADY, STEADY);
        return DT_NEVER;
    }
}

dt_time sim_spi_collision(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_case_rekey(c, c->a);
        return 2 * DT_SEC;
    default:
        sim_case_fault(c, "B's next inbound SPI is %08x, A's", sim_case_newest_spi(c->a));
        c->b->spi_script = sim_case_newest_spi(c->a);
        sim_case_rekey(c, c->b);
        sim_case_end(c, DT_SEC);
        return DT_NEVER;
    }
}

dt_time sim_cookie_collision(struct sim_case *c)
{
    struct dt_err err;
    uint64_t cookie = dt_prng_u64(&c->w->rng) | 1;
    sim_case_fault(c, "both clients begin anew, with the same cookie");
    c->a->cookie_script = c->b->cookie_script = cookie;
    if (sim_host_restart(c->a, &err) || sim_host_restart(c->b, &err))
        c->w->net->failed = true;
    return DT_NEVER;
}
