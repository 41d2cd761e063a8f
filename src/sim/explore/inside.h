/* One state of the search from within: state.c moves it, digest.c tells it from others. */
#ifndef DT_SIM_EXPLORE_INSIDE_H
#define DT_SIM_EXPLORE_INSIDE_H

#include "sim/explore/explore.h"

#define PENDING 40
#define PARTS   4
#define ALL     ((1u << PARTS) - 1)
#define ALIKE   0xd07e7a11d07e7a11u /* cookie and SPI that both clients draw first */

struct sim_pending {
    struct sim_packet *p;
    uint32_t from, to; /* nodes */
    uint64_t hash;
};

struct sim_state {
    struct sim_world *w;
    const struct sim_explore_config *cfg;
    struct sim_pending pending[PENDING];
    int n;
    bool overflowed;
    bool no_esp;    /* A's raw ESP is lost before it reaches the NAT, and behind it */
    bool cut;       /* nothing gets through between the NAT and the server */
    bool canonical; /* fair play delivers in an order that does not depend on the way here */
    bool again;     /* clients that began with the same cookie may have sent something twice */
    struct sim_budget left;
    uint64_t config; /* its digest */
    /* Of three hosts and the NAT, each with what it has: an action changes one of them, unless time goes on. */
    uint64_t part[PARTS];
    uint8_t stale; /* bits of those that must be looked at again */
    char violation[200];
    /* Called before each step of fair play; NULL: nobody listens. */
    void (*step)(void *ctx, struct sim_state *s);
    void *step_ctx;
    void (*say)(void *ctx, dt_time now, const char *text);
    void *say_ctx;
};

static inline struct sim_host *sim_state_host(const struct sim_state *s, int i)
{
    return i < 2 ? s->w->clients[i] : s->w->server;
}

/* Puts what is under way into an order that does not depend on the way here. */
void sim_state_sort(struct sim_state *s);
uint64_t sim_state_packet_hash(const struct sim_packet *p, uint32_t from, uint32_t to);
/* What makes worlds of one configuration differ from those of another. */
uint64_t sim_state_config_digest(const struct sim_explore_config *cfg);

#endif
