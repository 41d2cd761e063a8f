/* What befalls networks and computers. */
#include <math.h>

#include "base/bytes.h"
#include "sim/world/host_ops.h"
#include "sim/run/scenario.h"

dt_time sim_nat_crash(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_case_fault(c, "the NAT has no power");
        c->nat->dead = true;
        sim_router_reboot(c->nat);
        return sim_world_between(c->w, DT_SEC / 10, 20 * DT_SEC);
    default:
        c->nat->dead = false;
        return DT_NEVER;
    }
}

dt_time sim_nat_failover(struct sim_case *c)
{
    uint32_t lan = c->first / c->w->cfg.per_lan, per = c->w->cfg.per_lan;
    switch (c->step) {
    case 0:
        sim_case_fault(c, "the NAT is dead");
        c->nat->dead = true;
        c->spare->dead = false; /* should it have died another day, it has been repaired */
        return sim_world_between(c->w, DT_SEC, 10 * DT_SEC);
    default:
        for (uint32_t i = lan * per; i < (lan + 1) * per && i < c->w->cfg.clients; i++)
            sim_host_route(c->w->clients[i], !c->w->clients[i]->active);
        sim_router_reboot(c->nat); /* it will be the spare one next time */
        return DT_NEVER;
    }
}

dt_time sim_gateway_restart(struct sim_case *c)
{
    struct dt_err err;
    switch (c->step) {
    case 0:
        sim_case_fault(c, "the server has crashed");
        sim_host_sleep(c->w->server, true);
        return sim_world_between(c->w, DT_SEC, 30 * DT_SEC);
    default:
        sim_host_sleep(c->w->server, false);
        if (sim_host_restart(c->w->server, &err))
            c->w->net->failed = true;
        return DT_NEVER;
    }
}

dt_time sim_loss_40(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_case_fault(c, "40 %% of all packets are lost");
        c->nat->up.loss = c->nat->down.loss = sim_chance(0.4);
        return sim_world_below(c->w, 10 * DT_SEC);
    case 1:
        sim_case_rekey(c, c->a);
        return sim_world_below(c->w, 10 * DT_SEC);
    case 2:
        sim_case_rekey(c, c->b);
        return 40 * DT_SEC;
    default:
        c->nat->up.loss = c->nat->down.loss = 0;
        return DT_NEVER;
    }
}

dt_time sim_loss_one_way(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_case_fault(c, "nothing comes back from the server");
        c->nat->down.down = true;
        return 60 * DT_SEC;
    default:
        c->nat->down.down = false;
        return DT_NEVER;
    }
}

#define FLOOD_GAP   (20 * DT_MSEC)
#define FLOOD_STEPS 3000

dt_time sim_spi_flood(struct sim_case *c)
{
    if (!c->step)
        sim_case_fault(c, "B floods the NAT with new SPIs");
    if (c->step == FLOOD_STEPS)
        return DT_NEVER;
    if (c->step == FLOOD_STEPS / 4)
        sim_case_rekey(c, c->a);
    struct sim_packet *p = sim_packet_new(&c->w->net->pool, NULL, 80);
    if (!p)
        return DT_NEVER;
    p->proto = SIM_ESP;
    p->src = c->b->addr;
    p->dst = c->b->cfg.server;
    p->ghost.to = c->w->server->node.index;
    p->ghost.spi = 256 + (uint32_t)(dt_prng_u64(&c->w->rng) >> 33);
    dt_put_be32(p->bytes, p->ghost.spi);
    dt_put_be32(p->bytes + 4, 1);
    sim_host_send(c->b, p);
    return FLOOD_GAP;
}

void sim_clock_drift_params(struct sim_params *p)
{
    p->epoch.keylife = 300 * DT_SEC;
    p->epoch.rekeymargin = 60 * DT_SEC;
    p->epoch.rekeyfuzz = 100;
}

dt_time sim_clock_drift(struct sim_case *c)
{
    switch (c->step) {
    case 0:
        sim_case_fault(c, "the clocks run apart");
        /* a clock that changes its pace does not jump: what has passed so far goes into the skew */
        for (int i = 0; i < 2; i++) {
            struct sim_host *h = i ? c->b : c->a;
            int64_t ppm = (int64_t)sim_world_below(c->w, 100001) - 50000;
            h->skew += (dt_time)((__int128)c->w->net->now * (h->ppm - ppm) / 1000000);
            h->ppm = ppm;
        }
        return 10 * c->w->cfg.params.epoch.keylife;
    default:
        return DT_NEVER;
    }
}

dt_time sim_laptop_sleep(struct sim_case *c)
{
    double hours = exp((double)sim_world_below(c->w, 1000001) / 1e6 * log(600)); /* minutes: 1 to 600 */
    switch (c->step) {
    case 0:
        sim_case_fault(c, "A sleeps");
        sim_world_traffic(c->w, c->first, 1, 0, 0);
        sim_world_traffic(c->w, c->first + 1, 1, 60 * DT_SEC, 60 * DT_SEC);
        return 3 * DT_SEC; /* what is under way arrives */
    case 1:
        sim_host_sleep(c->a, true);
        return dt_seconds(hours * 60);
    default:
        sim_host_sleep(c->a, false);
        sim_world_traffic(c->w, c->first, 2, DT_SEC, DT_SEC);
        return DT_NEVER;
    }
}
