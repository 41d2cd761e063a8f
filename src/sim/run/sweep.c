#include "sim/run/sweep.h"

#include <string.h>

#include "base/bytes.h"

/* The scenarios that Dovetail must recover from; the others it does not even notice. */
static const char *const needs[] = {"spi-collision",   "nat-crash",    "nat-failover",
                                    "gateway-restart", "loss-one-way", "laptop-sleep"};

#define CLIENTS 8

/* A network in which so many clients, behind one NAT, are up for half a minute. */
static struct sim_world *clients_up(const struct sim_trade *t, const char *pairing, uint64_t seed,
                                    struct dt_err *err)
{
    struct sim_world_config wc = sim_world_config_default(seed, sim_pairing_by_name(pairing), &t->params);
    wc.clients = wc.per_lan = CLIENTS;
    struct sim_world *w = sim_world_new(&wc, err);
    if (!w || sim_world_start(w, err)) {
        sim_world_free(w);
        return NULL;
    }
    sim_net_run(w->net, 30 * DT_SEC);
    return w;
}

/* An hour without traffic on a network that loses one packet in twenty. */
static int idle_hour(struct sim_trade *t, uint64_t seed, struct dt_err *err)
{
    struct sim_world *w = clients_up(t, "both", seed, err);
    struct sim_totals before, after;
    struct dt_tunnel_info info;
    uint64_t given_up = 0;
    if (!w)
        return -1;
    w->routers[0]->up.loss = w->routers[0]->down.loss = sim_chance(0.025);
    sim_world_totals(w, &before);
    sim_net_run(w->net, 3630 * DT_SEC);
    sim_world_totals(w, &after);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (dt_endpoint_tunnel_info(w->clients[i]->ep, w->clients[i]->tunnel, &info))
            given_up += info.stats.idle_dead + info.stats.unanswered;
    t->packets_h += (double)(2 * (after.pings - before.pings) + after.ike - before.ike) / CLIENTS;
    t->false_h += (double)given_up / CLIENTS;
    sim_world_free(w);
    return 0;
}

/* How many items does the NAT hold for each client when epochs are short? */
static int items(struct sim_trade *t, uint64_t seed, struct dt_err *err)
{
    struct sim_world *w = clients_up(t, "both", seed, err);
    double sum = 0;
    if (!w)
        return -1;
    sim_world_traffic(w, 0, CLIENTS, 5 * DT_SEC, 5 * DT_SEC);
    for (int round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < CLIENTS; i++) {
            struct sim_host *c = w->clients[i];
            sim_net_run(w->net, w->net->now + 300 * DT_SEC / CLIENTS);
            dt_endpoint_rekey(c->ep, sim_host_now(c), c->tunnel);
            sim_host_arm(c);
        }
        if (round >= 5)
            sum +=
                (double)dt_masq_count(w->routers[0]->masq, w->net->now, DT_MASQ_ESP, DT_MASQ_ESTABLISHED) / 5;
    }
    t->items += sum / CLIENTS;
    sim_world_free(w);
    return 0;
}

/* The NAT serves others too: plain clients that say something every 100 s or so, for an hour. */
static int strangers(struct sim_trade *t, uint64_t seed, struct dt_err *err)
{
    struct sim_world *w = clients_up(t, "plain", seed, err);
    if (!w)
        return -1;
    sim_world_traffic(w, 0, CLIENTS, 100 * DT_SEC, 100 * DT_SEC);
    sim_net_run(w->net, 3630 * DT_SEC);
    t->wrong_h += (double)w->routers[0]->wrong_items / CLIENTS;
    sim_world_free(w);
    return 0;
}

int sim_trade_measure(struct sim_trade *t, uint64_t seed, uint64_t seeds, unsigned jobs, struct dt_err *err)
{
    struct dt_err why;
    struct sim_params params = t->params;
    const size_t nneeds = sizeof needs / sizeof *needs;
    *t = (struct sim_trade){.params = params};
    t->possible = !sim_params_check(&params, &why);
    if (!t->possible)
        return 0;
    for (size_t i = 0; i < nneeds; i++) {
        struct sim_run_config cfg = {
            .scenario = sim_scenario_by_name(needs[i]),
            .pairing = sim_pairing_by_name("both"),
            .params = params,
            .clients = 2,
        };
        struct sim_summary s;
        int bad = sim_run_many(&cfg, seed, seeds, jobs, false, &s, err);
        t->recovery_s += s.p99 / (double)nneeds;
        if (s.bound_s > t->bound_s)
            t->bound_s = s.bound_s;
        if (s.late || s.recovered < s.faults)
            t->recovery_s += 1000; /* what breaks its promise is out */
        sim_summary_free(&s);
        if (bad)
            return -1;
    }
    if (idle_hour(t, seed, err) || items(t, seed, err) || strangers(t, seed, err))
        return -1;
    t->cost = t->recovery_s + t->packets_h / 60 + 4 * t->false_h + t->items / 2 + t->wrong_h;
    return 0;
}
