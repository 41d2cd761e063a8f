#include "sim/world/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { EVENT_ARRIVE, EVENT_WAKE, EVENT_CALL };

#define FEW_NODES 5000 /* so many and what they need stays in the caches, or near enough */

struct public_addr {
    struct dt_table_node by_addr;
    uint32_t addr;
    struct sim_node *node;
};

struct sim_net *sim_net_new(uint64_t seed)
{
    struct sim_net *net = calloc(1, sizeof *net);
    if (!net)
        return NULL;
    sim_queue_init(&net->queue);
    dt_table_init(&net->by_addr);
    dt_prng_seed(&net->rng, seed);
    return net;
}

void sim_net_free(struct sim_net *net)
{
    if (!net)
        return;
    while (sim_queue_first(&net->queue)) {
        struct sim_event e = sim_queue_pop(&net->queue);
        if (e.kind == EVENT_ARRIVE)
            sim_packet_free(&net->pool, e.what);
    }
    for (uint32_t i = 0; i < net->nnodes; i++)
        net->nodes[i]->ops->free(net->nodes[i]);
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&net->by_addr, &it));)
        free(DT_CONTAINER_OF(n, struct public_addr, by_addr));
    dt_table_free(&net->by_addr);
    sim_pool_free(&net->pool);
    sim_queue_free(&net->queue);
    free(net->nodes);
    free(net);
}

int sim_net_add(struct sim_net *net, struct sim_node *n, const struct sim_node_ops *ops, const char *name)
{
    if (net->nnodes == net->cap_nodes) {
        uint32_t cap = net->cap_nodes ? net->cap_nodes * 2 : 16;
        struct sim_node **v = realloc(net->nodes, cap * sizeof(struct sim_node *));
        if (!v)
            return -1;
        net->nodes = v;
        net->cap_nodes = cap;
    }
    n->ops = ops;
    n->net = net;
    n->index = net->nnodes;
    n->queued = DT_NEVER;
    snprintf(n->name, sizeof n->name, "%s", name);
    net->nodes[net->nnodes++] = n;
    return 0;
}

static uint64_t addr_hash(uint32_t addr)
{
    return addr * (uint64_t)0x9e3779b97f4a7c15u ^ addr >> 7;
}

int sim_net_public(struct sim_net *net, uint32_t addr, struct sim_node *n)
{
    struct public_addr *a = calloc(1, sizeof *a);
    if (!a)
        return -1;
    a->addr = addr;
    a->node = n;
    if (dt_table_insert(&net->by_addr, &a->by_addr, addr_hash(addr))) {
        free(a);
        return -1;
    }
    return 0;
}

struct sim_node *sim_net_find(const struct sim_net *net, uint32_t addr)
{
    for (struct dt_table_node *n = dt_table_first(&net->by_addr, addr_hash(addr)); n; n = dt_table_next(n)) {
        struct public_addr *a = DT_CONTAINER_OF(n, struct public_addr, by_addr);
        if (a->addr == addr)
            return a->node;
    }
    return NULL;
}

static void push(struct sim_net *net, dt_time at, uint32_t kind, uint32_t arg, void *what)
{
    if (sim_queue_push(&net->queue, at, kind, arg, what)) {
        net->failed = true;
        if (kind == EVENT_ARRIVE)
            sim_packet_free(&net->pool, what);
    }
}

static void travel(struct sim_net *net, struct sim_node *from, struct sim_node *to, struct sim_packet *p,
                   dt_time at)
{
    if (net->notes)
        sim_note_packet(net->notes, net->now, at, from->index, to->index, p);
    push(net, at, EVENT_ARRIVE, to->index, p);
}

static dt_time late(const struct sim_link *l, const struct sim_packet *p)
{
    return l->slow_by && p->ghost.to == l->slow_to ? l->slow_by : 0;
}

void sim_net_send(struct sim_net *net, struct sim_node *from, struct sim_link *first, struct sim_link *second,
                  struct sim_node *to, struct sim_packet *p)
{
    net->packets++;
    if (net->in_flight) {
        net->in_flight(net->in_flight_ctx, from, to, p);
        return;
    }
    dt_time one[2], two[2];
    uint32_t octets = p->len + 28;
    int n = sim_link_send(first, &net->rng, net->now, octets, one), sent = 0;
    for (int i = 0; i < n; i++) {
        int m = second ? sim_link_send(second, &net->rng, one[i], octets, two) : 1;
        for (int k = 0; k < m; k++) {
            struct sim_packet *copy = sent ? sim_packet_copy(&net->pool, p) : p;
            dt_time at = second ? two[k] : one[i];
            at += late(first, p) + (second ? late(second, p) : 0);
            if (copy)
                travel(net, from, to, copy, at);
            sent++;
        }
    }
    if (!sent) {
        if (net->notes)
            sim_note_packet(net->notes, net->now, DT_NEVER, from->index, to->index, p);
        sim_packet_free(&net->pool, p);
    }
}

void sim_node_wake_at(struct sim_node *n, dt_time at)
{
    if (at >= n->queued)
        return;
    if (at < n->net->now)
        at = n->net->now;
    n->queued = at;
    push(n->net, at, EVENT_WAKE, n->index, NULL);
}

void sim_net_call_at(struct sim_net *net, dt_time at, struct sim_call *c)
{
    push(net, at < net->now ? net->now : at, EVENT_CALL, 0, c);
}

static void fetch_lines(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch((const char *)p + i, 1);
}

/* How many events ahead the memory of one is fetched, level by level. */
static void look_ahead(struct sim_net *net)
{
    for (int depth = 0; depth < 7; depth++) {
        const struct sim_event *e = sim_queue_ahead(&net->queue, (uint32_t)(SIM_QUEUE_NEAR - 1 - depth));
        if (!e)
            continue;
        struct sim_call *c = e->what;
        if (e->kind == EVENT_CALL) {
            if (!depth)
                fetch_lines(c, 64);
            else if (c->soon)
                c->soon(c, depth);
            continue;
        }
        struct sim_node *n = net->nodes[e->arg];
        if (!depth) {
            fetch_lines(n, 128);
            if (e->what)
                fetch_lines(e->what, sizeof(struct sim_packet) + 96);
        } else if (n->ops->soon) {
            n->ops->soon(n, e->what, depth);
        }
    }
}

bool sim_net_step(struct sim_net *net, dt_time until)
{
    const struct sim_event *first = sim_queue_first(&net->queue);
    if (!first || first->at > until) {
        net->now = until;
        return false;
    }
    struct sim_event e = sim_queue_pop(&net->queue);
    if (net->nnodes > FEW_NODES)
        look_ahead(net);
    net->now = e.at;
    net->events++;
    if (e.kind == EVENT_CALL) {
        struct sim_call *c = e.what;
        c->fn(c, net);
        return true;
    }
    struct sim_node *n = net->nodes[e.arg];
    if (e.kind == EVENT_ARRIVE) {
        n->ops->receive(n, e.what);
    } else if (n->queued == e.at) { /* else it was superseded by an earlier one */
        n->queued = DT_NEVER;
        n->ops->wake(n);
    }
    return true;
}

void sim_net_run(struct sim_net *net, dt_time until)
{
    while (sim_net_step(net, until))
        ;
}
