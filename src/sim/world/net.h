/* The simulated network: virtual time, nodes, and links between them. One thread; everything that happens is
 * decided by the seed and by the order of the calls. Time without events costs nothing.
 *
 * A node is whatever receives packets and asks to be woken: a host with a Dovetail endpoint (sim/host.h), a router
 * with VPN Masquerade (sim/router.h), or a kind of one's own: fill in sim_node_ops and add it.
 *
 * Addresses: IPv4, host order. 10.0.0.0/8 is private, one /16 a LAN (sim/router.h); everything else is looked up in the
 * internet's table (sim_net_public). */
#ifndef DT_SIM_NET_H
#define DT_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/rand.h"
#include "base/table.h"
#include "base/time.h"
#include "sim/world/link.h"
#include "sim/world/note.h"
#include "sim/world/packet.h"
#include "sim/world/queue.h"

struct sim_net;
struct sim_node;

struct sim_node_ops {
    void (*receive)(struct sim_node *n, struct sim_packet *p); /* owns p */
    void (*wake)(struct sim_node *n);
    void (*free)(struct sim_node *n);
    /* May be NULL. Soon it will receive p (NULL: be woken): a chance to fetch memory that a network of thousands of
     * nodes has driven out of the caches. Called with depth 1 to 6, some events apart: a deeper call
     * follows what a shallower one has fetched. Nothing may change. */
    void (*soon)(struct sim_node *n, const struct sim_packet *p, int depth);
};

struct sim_node {
    const struct sim_node_ops *ops;
    struct sim_net *net;
    uint32_t index; /* in net->nodes */
    dt_time queued; /* when its next wake event stands in the queue; DT_NEVER */
    char name[24];  /* "client A", "NAT 1", "server" */
};

/* Something to be done at a time; embedded in its owner, which outlives it. */
struct sim_call {
    void (*fn)(struct sim_call *c, struct sim_net *net);
    void (*soon)(struct sim_call *c, int depth); /* as of a node; may be NULL */
};

struct sim_net {
    dt_time now;
    struct sim_queue queue;
    struct sim_pool pool;
    struct dt_prng rng; /* of the network; hosts have their own */
    struct sim_node **nodes;
    uint32_t nnodes, cap_nodes;
    struct sim_notes *notes; /* what is recorded; NULL: nothing */
    struct dt_table by_addr;
    uint64_t events, packets; /* handled; sent */
    uint32_t idents;
    bool failed; /* memory ran out */
    /* The explorer: asked instead of the link what becomes of a packet that leaves for `to`; it owns p. */
    void (*in_flight)(void *ctx, struct sim_node *from, struct sim_node *to, struct sim_packet *p);
    void *in_flight_ctx;
};

struct sim_net *sim_net_new(uint64_t seed);
void sim_net_free(struct sim_net *net); /* and its nodes and packets */
/* The node becomes the network's, which frees it. */
int sim_net_add(struct sim_net *net, struct sim_node *n, const struct sim_node_ops *ops, const char *name);
/* The node that a public address belongs to. */
int sim_net_public(struct sim_net *net, uint32_t addr, struct sim_node *n);
struct sim_node *sim_net_find(const struct sim_net *net, uint32_t addr);

/* Sends p over one or two links (the second may be NULL) to node `to`. Owns p. */
void sim_net_send(struct sim_net *net, struct sim_node *from, struct sim_link *first, struct sim_link *second,
                  struct sim_node *to, struct sim_packet *p);
/* A node must be woken at `at` or before; earlier wishes stay. It is woken once for each, and asks again. */
void sim_node_wake_at(struct sim_node *n, dt_time at);
void sim_net_call_at(struct sim_net *net, dt_time at, struct sim_call *c);

/* Handles the next event; false when there is none at or before `until` (now is then `until`). */
bool sim_net_step(struct sim_net *net, dt_time until);
void sim_net_run(struct sim_net *net, dt_time until);

static inline bool sim_private(uint32_t addr)
{
    return addr >> 24 == 10;
}

#endif
