/* A network ready to run: LANs of clients, each behind a router (and a second one, idle, at another ISP), and one
 * server; every client has traffic to the server and back. */
#ifndef DT_SIM_WORLD_H
#define DT_SIM_WORLD_H

#include "sim/world/host.h"
#include "sim/world/pairing.h"
#include "sim/world/router.h"

struct sim_world;

/* One direction of one client's traffic. */
struct sim_stream {
    struct sim_call call;
    struct sim_world *world;
    uint32_t index; /* of its flow: 2 * client, and 1 more for the way back */
    dt_time period; /* 0: silent */
    bool waiting;   /* a call stands in the queue */
    dt_time due;    /* when */
};

struct sim_world_config {
    uint64_t seed;
    const struct sim_pairing *pairing;
    struct sim_params params;
    uint32_t clients, per_lan;
    dt_time lan_delay, wan_delay, jitter; /* one way */
    enum dt_encap encap;
    struct dt_masq_faults masq_faults;
    struct sim_host_faults host_faults;
    bool mute;               /* the server says nothing to packets of sessions that it does not know */
    bool ike_patience;       /* IKE retransmits after 3 s, not 500 ms: fewer timers for the explorer */
    struct sim_notes *notes; /* NULL: nothing is recorded */
};
/* Two clients behind one router; delays drawn from the seed: 0.2 to 2 ms in the LAN, 5 to 60 ms beyond. */
struct sim_world_config sim_world_config_default(uint64_t seed, const struct sim_pairing *pairing,
                                                 const struct sim_params *params);

struct sim_world {
    struct sim_net *net;
    struct sim_world_config cfg;
    struct dt_prng rng; /* of scripts */
    struct sim_host *server;
    struct sim_host **clients;
    struct sim_lan **lans;
    struct sim_router **routers; /* two for each LAN: routers[2 * lan], and the spare one after it */
    uint32_t nlans;
    struct sim_flow *flows;
    struct sim_stream *streams; /* as many as flows: two for each client */
};

/* Everything is there, nothing has begun. NULL with *err: memory. */
struct sim_world *sim_world_new(const struct sim_world_config *cfg, struct dt_err *err);
void sim_world_free(struct sim_world *w);
int sim_world_start(struct sim_world *w, struct dt_err *err); /* server now, clients within two seconds */
/* Every stream of clients [first, first + n) sends a packet each `period` from now on (0: silent). */
void sim_world_traffic(struct sim_world *w, uint32_t first, uint32_t n, dt_time up, dt_time down);

/* 0 .. n - 1, and a time between two, from the scripts' generator. */
uint64_t sim_world_below(struct sim_world *w, uint64_t n);
dt_time sim_world_between(struct sim_world *w, dt_time from, dt_time to);

struct sim_totals {
    uint64_t sent, delivered, multicast, wrong_items, wrong_unheard, pings, ike, ike_bytes;
    struct sim_sins sins;
    dt_time down; /* of all clients, the longer direction of each */
};
void sim_world_totals(const struct sim_world *w, struct sim_totals *t);

#endif
