#include "sim/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define BRISK  (500 * DT_MSEC)
#define STEADY (2 * DT_SEC)
#define SPARSE (60 * DT_SEC)
#define DRAIN  (5 * DT_SEC)

dt_time sim_run_bound(const struct sim_pairing *pairing, const struct sim_params *params, dt_time round_trip)
{
    if (!pairing->client_probes)
        return params->epoch.keylife;
    return dt_epoch_bound(&params->epoch, 1, round_trip).total;
}

/* Traffic at that pace for the pair of a case, in the way of its scenario. */
static void pace(struct sim_case *c, dt_time period)
{
    sim_world_traffic(c->w, c->first, 1, c->scenario->silent_up ? 0 : period, period);
    sim_world_traffic(c->w, c->first + 1, 1, period, period);
}

/* Is something missing that was sent a while ago? */
static bool lan_broken(const struct sim_world *w, uint32_t first)
{
    for (uint32_t i = 2 * first; i < 2 * first + 4; i++)
        if (w->flows[i].sent > w->flows[i].expected + 2)
            return true;
    return false;
}

static dt_time recovery(const struct sim_case *c)
{
    dt_time worst = 0;
    for (uint32_t i = 2 * c->first; i < 2 * c->first + 4; i++) {
        const struct sim_flow *f = &c->w->flows[i];
        dt_time r = c->scenario->worst_gap ? f->worst : dt_time_sub(f->last_up, c->end);
        if (r > worst)
            worst = r;
    }
    return worst;
}

static void result_finish(struct sim_world *w, struct sim_result *out, dt_time traffic_began)
{
    struct sim_totals t;
    for (uint32_t i = 0; i < 2 * w->cfg.clients; i++)
        sim_flow_end(&w->flows[i], w->net->now);
    sim_world_totals(w, &t);
    dt_time all = (w->net->now - traffic_began) * w->cfg.clients;
    out->available = all ? 1 - (double)t.down / (double)all : 1;
    out->sent = t.sent;
    out->lost = t.sent - t.delivered;
    out->multicast = t.multicast;
    out->wrong_items = t.wrong_items;
    out->wrong_unheard = t.wrong_unheard;
    out->sins = t.sins.unverified_data + t.sins.unheard_data + t.sins.no_such_sa;
    out->pings = t.pings;
    out->ike = t.ike;
    out->ike_bytes = t.ike_bytes;
    out->events = w->net->events;
    if (w->net->failed) {
        out->failed = true;
        snprintf(out->text, sizeof out->text, "memory ran out, or an endpoint refused its configuration");
    }
}

/* One fault, and what follows. */
static void run_single(const struct sim_run_config *cfg, struct sim_world *w, struct sim_result *out)
{
    struct sim_net *net = w->net;
    struct sim_case c;
    dt_time bound = dt_seconds(out->bound_s), began = 5 * DT_SEC;
    /* one client after the other, and each speaks first: the NAT then knows everybody, whatever the pairing */
    for (uint32_t i = 0; i < 2; i++) {
        sim_net_run(net, began + i * 3 * DT_SEC);
        sim_host_traffic(w->clients[i], i, net->now + 2 * DT_SEC);
        sim_net_run(net, net->now + DT_SEC / 2);
        sim_host_traffic(w->server, i, net->now + DT_SEC);
        sim_net_run(net, net->now + DT_SEC / 2);
        sim_world_traffic(w, i, 1, DT_SEC, DT_SEC);
    }
    sim_case_begin(&c, cfg->scenario, w, 0, 15 * DT_SEC + sim_world_below(w, 5 * DT_SEC));
    while (!c.done && sim_net_step(net, 365 * 86400 * DT_SEC))
        ;
    if (net->now < c.end)
        sim_net_run(net, c.end);
    pace(&c, BRISK);
    sim_net_run(net, net->now + 20 * DT_SEC);
    pace(&c, STEADY);
    dt_time soon = cfg->pairing->client_probes ? bound : 120 * DT_SEC;
    sim_net_run(net, c.end + soon + 30 * DT_SEC);
    dt_time limit = c.end + w->cfg.params.epoch.keylife + 60 * DT_SEC;
    if (lan_broken(w, 0))
        pace(&c, SPARSE);
    for (int well = 0;
         well < 2 && net->now < limit && w->streams[0].period + w->streams[3].period > STEADY * 2;) {
        sim_net_run(net, net->now + 2 * SPARSE + DRAIN);
        well = lan_broken(w, 0) ? 0 : well + 1;
    }
    sim_world_traffic(w, 0, 2, 0, 0);
    sim_net_run(net, net->now + SPARSE + DRAIN);
    bool down = false;
    for (int i = 0; i < 4; i++) /* a straggler or two at the very end are no outage */
        down |= w->flows[i].sent > w->flows[i].expected + 1;
    result_finish(w, out, began);
    out->recovery_s = dt_time_seconds(recovery(&c));
    out->fault_s = dt_time_seconds(c.fault);
    out->end_s = dt_time_seconds(c.end);
    out->faults = 1;
    out->recovered = !down;
}

/* ---- days ------------------------------------------------------------------------------------ */

/* A pair's life: quiet traffic, one fault each day, brisk traffic until it is over. */
struct life {
    struct sim_call call;
    struct sim_case c;
    const struct sim_run_config *cfg;
    struct sim_result *out;
    struct sim_samples *each;
    uint32_t day;
    dt_time down; /* of its clients, until the day began */
    int phase;
};

/* How long the pair's clients have been without one direction, an outage that is not over included. */
static dt_time down_until_now(const struct life *l)
{
    const struct sim_world *w = l->c.w;
    dt_time down = 0;
    for (uint32_t i = 0; i < 2; i++) {
        dt_time worse = 0;
        for (uint32_t k = 0; k < 2; k++) {
            const struct sim_flow *f = &w->flows[2 * (l->c.first + i) + k];
            dt_time d = f->down + (f->sent > f->expected + 2 ? dt_time_sub(w->net->now, f->good_next) : 0);
            worse = d > worse ? d : worse;
        }
        down += worse;
    }
    return down;
}

static void life_judge(struct life *l)
{
    double r = dt_time_seconds(recovery(&l->c));
    bool well = !lan_broken(l->c.w, l->c.first);
    l->out->faults++;
    l->out->recovered += well;
    if (l->cfg->scenario == &sim_mixed) {
        size_t k = (size_t)(l->c.scenario - sim_scenarios);
        dt_time down = down_until_now(l);
        l->out->kinds[k].faults++;
        l->out->kinds[k].recovered += well;
        l->out->kinds[k].down_s += dt_time_seconds(dt_time_sub(down, l->down));
        l->down = down;
        if (l->each)
            sim_samples_add(&l->each[1 + k], r);
    }
    if (r > l->out->recovery_s)
        l->out->recovery_s = r;
    if (l->each)
        sim_samples_add(l->each, r);
}

static void live(struct sim_call *call, struct sim_net *net)
{
    struct life *l = DT_CONTAINER_OF(call, struct life, call);
    struct sim_world *w = l->c.w;
    dt_time day = 86400 * DT_SEC, today = l->day * day, wait = 0;
    switch (l->phase) {
    case 0: /* the fault comes at some time of the day's first half */
        if (l->cfg->scenario == &sim_mixed)
            l->c.scenario = sim_scenario_of_day(l->c.first / 2, l->day);
        pace(&l->c, SPARSE);
        wait = today + 120 * DT_SEC + sim_world_below(w, day / 2) - net->now;
        break;
    case 1:
        pace(&l->c, DT_SEC);
        sim_case_begin(&l->c, l->c.scenario, w, l->c.first, 3 * DT_SEC);
        wait = 10 * DT_SEC;
        break;
    case 2:
        wait = 10 * DT_SEC;
        if (!l->c.done || net->now < l->c.end + dt_seconds(l->out->bound_s < 600 ? l->out->bound_s : 600))
            l->phase--; /* not over yet */
        else
            pace(&l->c, SPARSE);
        break;
    default:
        if (net->now < today + day - 60 * DT_SEC) { /* what plain IPsec needs: until a lifetime ends */
            wait = today + day - 60 * DT_SEC - net->now;
            break;
        }
        life_judge(l);
        if (++l->day >= l->cfg->days)
            return;
        l->phase = -1;
        wait = 60 * DT_SEC;
    }
    l->phase++;
    sim_net_call_at(net, net->now + wait, call);
}

static void run_days(const struct sim_run_config *cfg, struct sim_world *w, struct sim_result *out,
                     struct sim_samples *each)
{
    uint32_t pairs = cfg->clients / 2;
    struct life *lives = calloc(pairs, sizeof *lives);
    dt_time began = 60 * DT_SEC;
    if (!lives) {
        out->failed = true;
        return;
    }
    sim_net_run(w->net, began);
    if (cfg->scenario->everyone) /* what befalls the server befalls all */
        sim_world_traffic(w, 2, cfg->clients - 2, SPARSE, SPARSE);
    for (uint32_t i = 0; i < (cfg->scenario->everyone ? 1 : pairs); i++) {
        lives[i] = (struct life){.call = {live}, .cfg = cfg, .out = out, .each = each};
        lives[i].c.w = w;
        lives[i].c.first = 2 * i;
        lives[i].c.scenario = cfg->scenario;
        lives[i].c.end = DT_NEVER;
        sim_net_call_at(w->net, began + i, &lives[i].call);
    }
    for (uint32_t day = 0; day < cfg->days; day++) {
        if (cfg->progress)
            fprintf(stderr, "\r%s, %s: day %u of %u of %u clients ", cfg->scenario->name, cfg->pairing->name,
                    day + 1, cfg->days, cfg->clients);
        sim_net_run(w->net, (dt_time)(day + 1) * 86400 * DT_SEC);
    }
    if (cfg->progress)
        fprintf(stderr, "\r%78s\r", "");
    sim_world_traffic(w, 0, cfg->clients, 0, 0);
    sim_net_run(w->net, w->net->now + SPARSE + DRAIN);
    result_finish(w, out, began);
    free(lives);
}

void sim_run_once(const struct sim_run_config *cfg, uint64_t seed, struct sim_result *out,
                  struct sim_samples *each)
{
    struct dt_err err = {0};
    *out = (struct sim_result){.seed = seed};
    struct sim_params params = cfg->params;
    if (cfg->scenario->params)
        cfg->scenario->params(&params);
    struct sim_world_config wc = sim_world_config_default(seed, cfg->pairing, &params);
    wc.clients = cfg->clients;
    wc.notes = cfg->notes;
    struct sim_world *w = sim_world_new(&wc, &err);
    if (!w || sim_world_start(w, &err)) {
        out->failed = true;
        snprintf(out->text, sizeof out->text, "%s", err.text);
        sim_world_free(w);
        return;
    }
    dt_time round_trip = 2 * (wc.lan_delay + wc.wan_delay + wc.jitter);
    out->bound_s = dt_time_seconds(sim_run_bound(cfg->pairing, &params, round_trip));
    if (cfg->days)
        run_days(cfg, w, out, each);
    else
        run_single(cfg, w, out);
    sim_world_free(w);
}
