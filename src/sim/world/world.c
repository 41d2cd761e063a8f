#include "sim/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define SERVER_ADDR (203u << 24 | 113u << 8 | 1u) /* 203.0.113.1 */
#define ROUTER_ADDR (198u << 24 | 18u << 16)      /* 198.18.0.0/15 */

uint64_t sim_world_below(struct sim_world *w, uint64_t n)
{
    return n ? dt_prng_u64(&w->rng) % n : 0;
}

dt_time sim_world_between(struct sim_world *w, dt_time from, dt_time to)
{
    return to > from ? from + sim_world_below(w, to - from) : from;
}

struct sim_world_config sim_world_config_default(uint64_t seed, const struct sim_pairing *pairing,
                                                 const struct sim_params *params)
{
    struct dt_prng rng;
    dt_prng_seed(&rng, seed ^ 0x64656c6179u);
    return (struct sim_world_config){
        .seed = seed,
        .pairing = pairing,
        .params = *params,
        .clients = 2,
        .per_lan = 2,
        .lan_delay = 200 * DT_USEC + dt_prng_u64(&rng) % (1800 * DT_USEC),
        .wan_delay = 5 * DT_MSEC + dt_prng_u64(&rng) % (55 * DT_MSEC),
        .jitter = dt_prng_u64(&rng) % (2 * DT_MSEC),
        .encap = DT_ENCAP_ESP,
    };
}

static void stream_call(struct sim_call *c, struct sim_net *net)
{
    struct sim_stream *s = DT_CONTAINER_OF(c, struct sim_stream, call);
    struct sim_world *w = s->world;
    if (!s->waiting || net->now != s->due)
        return; /* its pace has changed since */
    s->waiting = false;
    if (!s->period)
        return;
    /* within a quarter of the pace: what is exactly periodic falls into step with the timers of others */
    s->due = net->now + s->period * 3 / 4 + sim_world_below(w, s->period / 2 + 1);
    s->waiting = true;
    sim_net_call_at(net, s->due, c);
    sim_host_traffic(s->index & 1 ? w->server : w->clients[s->index / 2], s->index / 2, s->due);
}

static void stream_soon(struct sim_call *c, int depth)
{
    struct sim_stream *s = DT_CONTAINER_OF(c, struct sim_stream, call);
    struct sim_world *w = s->world;
    sim_host_soon(s->index & 1 ? w->server : w->clients[s->index / 2], s->index / 2, depth);
}

static void stream_set(struct sim_stream *s, dt_time period)
{
    struct sim_flow *f = &s->world->flows[s->index];
    dt_time due = s->world->net->now + sim_world_below(s->world, period);
    s->period = period;
    if (!period || (s->waiting && s->due <= due))
        return; /* what is due before is still sent */
    s->due = due;
    s->waiting = true;
    if (f->expected == f->sent) /* nothing is missing: the silence was ours */
        f->good_next = s->due;
    sim_net_call_at(s->world->net, s->due, &s->call);
}

void sim_world_traffic(struct sim_world *w, uint32_t first, uint32_t n, dt_time up, dt_time down)
{
    for (uint32_t i = first; i < first + n && i < w->cfg.clients; i++) {
        stream_set(&w->streams[2 * i], up);
        stream_set(&w->streams[2 * i + 1], down);
    }
}

static void name_client(char *out, size_t cap, uint32_t i)
{
    if (i < 26)
        snprintf(out, cap, "client %c", 'A' + (int)i);
    else
        snprintf(out, cap, "client %u", i);
}

static int add_lan(struct sim_world *w, uint32_t lan)
{
    struct dt_masq_config masq = dt_masq_defaults();
    char name[24];
    masq.params.t_out = w->cfg.params.nat.t_out;
    masq.params.n_out = w->cfg.params.nat.n_out;
    masq.params.t_ei = w->cfg.params.nat.t_ei;
    masq.sizes = (struct dt_masq_sizes){.esp = 64 * w->cfg.per_lan + 256,
                                        .ike = 64 * w->cfg.per_lan + 256,
                                        .clients = w->cfg.per_lan + 8,
                                        .servers = 8,
                                        .frags = 16};
    masq.faults = w->cfg.masq_faults;
    if (!(w->lans[lan] = sim_lan_new(lan)))
        return -1;
    for (uint32_t k = 0; k < 2; k++) {
        snprintf(name, sizeof name, k ? "NAT 2" : "NAT");
        struct sim_router *r = sim_router_new(w->net, w->lans[lan], ROUTER_ADDR + 2 * lan + k, &masq, name);
        if (!r)
            return -1;
        w->routers[2 * lan + k] = r;
        r->up = r->down = (struct sim_link){.delay = w->cfg.wan_delay, .jitter = w->cfg.jitter};
    }
    return 0;
}

static int add_client(struct sim_world *w, uint32_t i)
{
    char name[24];
    name_client(name, sizeof name, i);
    struct sim_host_config cfg = {
        .name = name,
        .client = true,
        .number = i,
        .server = SERVER_ADDR,
        .seed = w->cfg.seed * 1000003 + i + 1,
        .params = w->cfg.params.epoch,
        .pairing = w->cfg.pairing,
        .ike_patience = w->cfg.ike_patience,
        .faults = w->cfg.host_faults,
        .encap = w->cfg.encap,
        .flows = w->flows,
        .nflows = 2 * w->cfg.clients,
    };
    uint32_t lan = i / w->cfg.per_lan;
    struct sim_host *h = sim_host_new(w->net, &cfg, 0);
    if (!h)
        return -1;
    w->clients[i] = h;
    h->server = w->server;
    h->via[0] = w->routers[2 * lan];
    h->via[1] = w->routers[2 * lan + 1];
    h->nvia = 2;
    h->up = h->down = (struct sim_link){.delay = w->cfg.lan_delay};
    return sim_lan_join(w->lans[lan], h);
}

static int world_build(struct sim_world *w)
{
    uint32_t n = w->cfg.clients;
    struct sim_host_config server = {
        .name = "server",
        .seed = w->cfg.seed * 1000003,
        .params = w->cfg.params.epoch,
        .pairing = w->cfg.pairing,
        .ike_patience = w->cfg.ike_patience,
        .mute = w->cfg.mute,
        .faults = w->cfg.host_faults,
        .flows = w->flows,
        .nflows = 2 * n,
    };
    for (uint32_t i = 0; i < 2 * n; i++) {
        w->streams[i].call.fn = stream_call;
        w->streams[i].call.soon = stream_soon;
        w->streams[i].world = w;
        w->streams[i].index = i;
    }
    for (uint32_t i = 0; i < w->nlans; i++)
        if (add_lan(w, i))
            return -1;
    w->server = sim_host_new(w->net, &server, SERVER_ADDR);
    if (!w->server || !(w->server->by_client = calloc(n, sizeof(struct sim_tunnel *))))
        return -1;
    w->server->nby_client = n;
    w->server->clients = w->clients;
    for (uint32_t i = 0; i < n; i++)
        if (add_client(w, i))
            return -1;
    return 0;
}

struct sim_world *sim_world_new(const struct sim_world_config *cfg, struct dt_err *err)
{
    struct sim_world *w = calloc(1, sizeof *w);
    if (w) {
        w->cfg = *cfg;
        dt_prng_seed(&w->rng, cfg->seed ^ 0x736372697074u);
        w->nlans = (cfg->clients + cfg->per_lan - 1) / cfg->per_lan;
        w->net = sim_net_new(cfg->seed);
        w->clients = calloc(cfg->clients, sizeof(struct sim_host *));
        w->lans = calloc(w->nlans, sizeof(struct sim_lan *));
        w->routers = calloc(2 * (size_t)w->nlans, sizeof(struct sim_router *));
        w->flows = calloc(2 * (size_t)cfg->clients, sizeof *w->flows);
        w->streams = calloc(2 * (size_t)cfg->clients, sizeof *w->streams);
        if (w->net)
            w->net->notes = cfg->notes;
        if (w->net && w->clients && w->lans && w->routers && w->flows && w->streams && !world_build(w)) {
            for (uint32_t i = 0; cfg->notes && i < w->net->nnodes && i < SIM_NOTE_NAMES; i++)
                snprintf(cfg->notes->names[i], sizeof cfg->notes->names[i], "%s", w->net->nodes[i]->name);
            return w;
        }
    }
    sim_world_free(w);
    dt_err_set(err, 0, "memory ran out for a network of %u clients", cfg->clients);
    return NULL;
}

void sim_world_free(struct sim_world *w)
{
    if (!w)
        return;
    if (w->net)
        w->net->notes = NULL;
    sim_net_free(w->net);
    for (uint32_t i = 0; w->lans && i < w->nlans; i++)
        sim_lan_free(w->lans[i]);
    free(w->clients);
    free(w->lans);
    free(w->routers);
    free(w->flows);
    free(w->streams);
    free(w);
}

struct start {
    struct sim_call call;
    struct sim_host *host;
};

static void start_call(struct sim_call *c, struct sim_net *net)
{
    struct start *s = DT_CONTAINER_OF(c, struct start, call);
    struct dt_err err = {0};
    if (sim_host_start(s->host, &err))
        net->failed = true;
    free(s);
}

int sim_world_start(struct sim_world *w, struct dt_err *err)
{
    if (sim_host_start(w->server, err))
        return -1;
    for (uint32_t i = 0; i < w->cfg.clients; i++) {
        struct start *s = calloc(1, sizeof *s);
        if (!s)
            return dt_err_set(err, 0, "memory ran out");
        s->call.fn = start_call;
        s->host = w->clients[i];
        sim_net_call_at(w->net, w->net->now + sim_world_below(w, 2 * DT_SEC), &s->call);
    }
    return 0;
}

void sim_world_totals(const struct sim_world *w, struct sim_totals *t)
{
    *t = (struct sim_totals){0};
    for (uint32_t i = 0; i < w->cfg.clients; i++) {
        const struct sim_flow *up = &w->flows[2 * i], *down = up + 1;
        t->sent += up->sent + down->sent;
        t->delivered += up->delivered + down->delivered;
        t->down += up->down > down->down ? up->down : down->down;
        t->pings += w->clients[i]->pings;
        t->ike += w->clients[i]->ike_sent;
        t->ike_bytes += w->clients[i]->ike_bytes;
        t->sins.unverified_data += w->clients[i]->sins.unverified_data;
        t->sins.no_such_sa += w->clients[i]->sins.no_such_sa;
    }
    t->sins.unheard_data = w->server->sins.unheard_data;
    t->sins.no_such_sa += w->server->sins.no_such_sa;
    t->ike += w->server->ike_sent;
    t->ike_bytes += w->server->ike_bytes;
    for (uint32_t i = 0; i < 2 * w->nlans; i++) {
        t->multicast += w->routers[i]->multicast;
        t->wrong_items += w->routers[i]->wrong_items;
        t->wrong_unheard += w->routers[i]->wrong_unheard;
    }
}
