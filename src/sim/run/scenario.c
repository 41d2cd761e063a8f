#include "sim/run/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

const struct sim_scenario sim_scenarios[SIM_SCENARIOS] = {
    {"race-1",
     "client A only downloads, and its tunnel is rekeyed: the server speaks first on the new epoch.",
     "no item knows the new SPI, so each packet goes to every client that has a tunnel, as far as multicast "
     "lasts.",
     sim_race_1, .silent_up = true},
    {"race-2", "two clients rekey together; A sends, and the server answers B before it answers A.",
     "A's item takes B's SPI: neither client hears the server until the lifetime ends.", sim_race_2},
    {"race-3", "A's outstanding item expires before the server's answer comes, and B's takes its place.",
     "B's item takes A's SPI: neither client hears the server until the lifetime ends.", sim_race_3},
    {"race-4", "both items expire while nobody speaks; then B sends, and the server speaks to A first.",
     "B's item takes A's SPI: neither client hears the server until the lifetime ends.", sim_race_4},
    {"spi-collision", "B's new epoch gets the same inbound SPI as A's.",
     "everything for B goes to A until the lifetime ends.", sim_spi_collision},
    {"cookie-collision", "both clients open a session with the same IKE cookie in the same moment.",
     "the NAT makes one wait for the other; IKE's own retransmission heals it.", sim_cookie_collision},
    {"nat-crash", "the NAT loses power for up to 20 s and comes back with empty tables.",
     "whoever speaks first after it takes the other's SPI: deaf clients until the lifetime ends.",
     sim_nat_crash},
    {"nat-failover", "the NAT dies, and the LAN is routed through a second router and another ISP.",
     "the server goes on sending to the dead router until the lifetime ends.", sim_nat_failover},
    {"gateway-restart", "the server crashes and comes back without memory of anybody.",
     "the clients send into the void until the lifetime ends.", sim_gateway_restart, .everyone = true},
    {"loss-40", "for 60 s, in which both clients rekey, 40 % of all packets are lost.",
     "new epochs are used over a path that does not carry them yet; a late first packet makes a race.",
     sim_loss_40},
    {"loss-one-way", "for 60 s nothing comes back from the server.",
     "items expire on the way: the first packets afterwards may make a race.", sim_loss_one_way},
    {"spi-flood", "for 60 s client B sends ESP packets with ever new SPIs, 50 a second, while A rekeys.",
     "A's new epoch gets no item while B's outstanding ones are in the way.", sim_spi_flood},
    {"clock-drift", "the clocks of both ends run up to 5 % apart while ten epochs of five minutes pass.",
     "one end lets go of an epoch that the other still uses.", sim_clock_drift,
     .params = sim_clock_drift_params, .worst_gap = true},
    {"laptop-sleep", "client A sleeps for a minute to ten hours and wakes up.",
     "its items are gone and perhaps its SAs; what the server sends first makes a race.", sim_laptop_sleep},
};

const struct sim_scenario sim_mixed = {
    .name = "mixed",
    .what = "with --days: every day of every pair of clients brings another of the scenarios that can befall "
            "a pair alone.",
    .plain = "what does not heal by itself stays until a lifetime ends, or for good.",
};

const struct sim_scenario *sim_scenario_of_day(uint32_t pair, uint32_t day)
{
    const struct sim_scenario *fit[SIM_SCENARIOS];
    uint32_t n = 0;
    for (int i = 0; i < SIM_SCENARIOS; i++)
        if (!sim_scenarios[i].everyone && !sim_scenarios[i].params)
            fit[n++] = &sim_scenarios[i];
    /* cppcheck-suppress uninitvar ; several fit */
    return fit[(pair + day) % n];
}

const struct sim_scenario *sim_scenario_by_name(const char *name)
{
    for (int i = 0; i < SIM_SCENARIOS; i++)
        if (!strcmp(sim_scenarios[i].name, name))
            return &sim_scenarios[i];
    return strcmp(name, sim_mixed.name) ? NULL : &sim_mixed;
}

static void step_call(struct sim_call *call, struct sim_net *net)
{
    struct sim_case *c = DT_CONTAINER_OF(call, struct sim_case, call);
    dt_time wait = c->scenario->step(c);
    c->step++;
    sim_host_arm(c->a);
    sim_host_arm(c->b);
    sim_host_arm(c->w->server);
    if (wait == DT_NEVER) {
        c->done = true;
        if (c->end == DT_NEVER)
            sim_case_end(c, 0);
        return;
    }
    sim_net_call_at(net, net->now + wait, call);
}

void sim_case_begin(struct sim_case *c, const struct sim_scenario *s, struct sim_world *w, uint32_t first,
                    dt_time in)
{
    uint32_t lan = first / w->cfg.per_lan;
    *c = (struct sim_case){
        .call = {step_call},
        .scenario = s,
        .w = w,
        .first = first,
        .a = w->clients[first],
        .b = w->clients[first + 1],
        .fault = DT_NEVER,
        .end = DT_NEVER,
    };
    uint8_t active = c->a->active;
    c->nat = w->routers[2 * lan + active];
    c->spare = w->routers[2 * lan + !active];
    sim_net_call_at(w->net, w->net->now + in, &c->call);
}

void sim_case_fault(struct sim_case *c, const char *fmt, ...)
{
    struct sim_net *net = c->w->net;
    c->fault = net->now;
    struct sim_note *n =
        sim_note_add(net->notes, net->now, SIM_NOTE_FAULT, c->nat->node.index, c->a->node.index);
    if (!n)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(n->text, sizeof n->text, fmt, ap);
    va_end(ap);
    n->until = DT_NEVER;
}

void sim_case_end(struct sim_case *c, dt_time in)
{
    struct sim_net *net = c->w->net;
    c->end = net->now + in;
    if (!net->notes)
        return;
    for (size_t i = net->notes->n; i-- > 0;)
        if (net->notes->v[i].kind == SIM_NOTE_FAULT && net->notes->v[i].until == DT_NEVER) {
            net->notes->v[i].until = c->end;
            break;
        }
}

void sim_case_rekey(struct sim_case *c, struct sim_host *client)
{
    struct sim_host *server = c->w->server;
    struct sim_tunnel *t = sim_host_tunnel(server, client->number);
    if (client->cfg.pairing->accept && t)
        dt_endpoint_rekey(server->ep, sim_host_now(server), t->id);
    else
        dt_endpoint_rekey(client->ep, sim_host_now(client), client->tunnel);
    sim_host_arm(server);
    sim_host_arm(client);
}

uint32_t sim_case_newest_spi(struct sim_host *client)
{
    uint32_t epoch = 0, spi = 0;
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&client->sa_by_id, &it));) {
        const struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_id);
        if (sa->epoch >= epoch) {
            epoch = sa->epoch;
            spi = sa->spi_in;
        }
    }
    return spi;
}
