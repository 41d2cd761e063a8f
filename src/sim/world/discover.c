#include "sim/world/discover.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "sim/world/net.h"
#include "ted/ted.h"

#define OWN_FIRST 0xc6000000u   /* gateways are 198.0.0.0 + number */
#define HOPS      2             /* gateways that a probe passes on its way */
#define PACE      (2 * DT_MSEC) /* between two pairs that begin */

struct world;

struct gateway {
    struct sim_node node;
    struct world *w;
    uint32_t number;
    struct dt_ted *ted;
    struct sim_link up, down;
    struct dt_prng prng;
};

struct world {
    struct sim_net *net;
    struct gateway **gateway;
    struct sim_call call;
    uint32_t next;
    struct sim_discover_result *r;
};

static uint32_t inside_addr(uint32_t gateway, uint32_t host)
{
    return 10u << 24 | gateway / 250 << 16 | gateway % 250 << 8 | host;
}

static uint32_t gateway_of(uint32_t addr)
{
    return (addr >> 16 & 255) * 250 + (addr >> 8 & 255);
}

static void post(struct gateway *g, uint32_t to, uint32_t final, uint32_t hop, const struct dt_addr *src,
                 const struct dt_addr *dst, const void *msg, size_t len)
{
    struct world *w = g->w;
    struct sim_packet *p = sim_packet_new(&w->net->pool, msg, len);
    if (!p) {
        w->net->failed = true;
        return;
    }
    p->src = dt_addr4_host(src);
    p->dst = dt_addr4_host(dst);
    p->proto = SIM_IKE;
    p->ghost = (struct sim_ghost){.from = g->number, .to = final, .spi = hop};
    w->r->bytes += len;
    sim_net_send(w->net, &g->node, &g->up, &w->gateway[to]->down, &w->gateway[to]->node, p);
}

/* Which gateway a probe meets on its way: some other one, always the same for the same pair. */
static uint32_t on_the_way(const struct world *w, uint32_t from, uint32_t final, uint32_t hop)
{
    uint32_t n = w->r->gateways, at = (from + final + (hop + 1) * (n / 3 + 1)) % n;
    while (at == final || at == from)
        at = (at + 1) % n;
    return n > 2 && hop < HOPS ? at : final;
}

static void gateway_send_probe(void *user, const struct dt_addr *src, const struct dt_addr *dst,
                               uint16_t sport, const uint8_t *msg, size_t len)
{
    struct gateway *g = user;
    uint32_t final = gateway_of(dt_addr4_host(dst));
    g->w->r->probes++;
    post(g, on_the_way(g->w, g->number, final, 0), final, 0, src, dst, msg, len);
}

static void gateway_send_reply(void *user, const struct dt_addr *from, const struct dt_addr *to,
                               const uint8_t *msg, size_t len)
{
    struct gateway *g = user;
    uint32_t final = dt_addr4_host(to) - OWN_FIRST;
    g->w->r->replies++;
    post(g, final, final, 0, from, to, msg, len);
}

static bool gateway_own_addr(void *user, const struct dt_addr *towards, struct dt_addr *own)
{
    *own = dt_addr4(OWN_FIRST + ((struct gateway *)user)->number);
    return true;
}

static void gateway_answer(void *user, dt_time now, const struct dt_ted_answer *a)
{
    struct gateway *g = user;
    struct sim_discover_result *r = g->w->r;
    *(a->found ? &r->found : a->peer.ver ? &r->refused : &r->silent) += 1;
    r->took_s = dt_time_seconds(now);
}

static const struct dt_ted_ops ted_ops = {gateway_send_probe, gateway_send_reply, gateway_own_addr,
                                          gateway_answer, NULL};

static void gateway_arm(struct gateway *g)
{
    struct dt_ted_counters c;
    dt_ted_counters(g->ted, &c);
    if (c.outstanding) /* a cache that grows old needs no waking */
        sim_node_wake_at(&g->node, dt_ted_deadline(g->ted));
}

static void gateway_receive(struct sim_node *n, struct sim_packet *p)
{
    struct gateway *g = DT_CONTAINER_OF(n, struct gateway, node);
    struct dt_addr src = dt_addr4(p->src), dst = dt_addr4(p->dst);
    if (dt_ted_exchange(p->bytes, p->len) == DT_TED_EXCHANGE_REPLY) {
        dt_ted_reply_input(g->ted, n->net->now, &src, &dst, p->bytes, p->len);
    } else if (!dt_ted_probe_input(g->ted, n->net->now, &src, &dst, p->bytes, p->len)) {
        uint32_t hop = p->ghost.spi + 1;
        g->w->r->passed++;
        post(g, on_the_way(g->w, p->ghost.from, p->ghost.to, hop), p->ghost.to, hop, &src, &dst, p->bytes,
             p->len);
    }
    sim_packet_free(&n->net->pool, p);
    gateway_arm(g);
}

static void gateway_wake(struct sim_node *n)
{
    struct gateway *g = DT_CONTAINER_OF(n, struct gateway, node);
    dt_ted_tick(g->ted, n->net->now);
    gateway_arm(g);
}

static void free_gateway(struct sim_node *n)
{
    struct gateway *g = DT_CONTAINER_OF(n, struct gateway, node);
    dt_ted_free(g->ted);
    free(g);
}

static const struct sim_node_ops gateway_ops = {gateway_receive, gateway_wake, free_gateway};

static int add_gateway(struct world *w, uint32_t number, uint64_t seed, double loss)
{
    struct gateway *g = calloc(1, sizeof *g);
    struct dt_ted_rule r = {.id = 1, .name = "all", .count = 1};
    if (!g)
        return -1;
    w->gateway[number] = g;
    g->w = w;
    g->number = number;
    dt_prng_seed(&g->prng, seed ^ (number + 1) * 0x9e3779b97f4a7c15u);
    g->up = g->down =
        (struct sim_link){.delay = 10 * DT_MSEC, .jitter = 5 * DT_MSEC, .loss = sim_chance(loss)};
    if (sim_net_add(w->net, &g->node, &gateway_ops, "gateway")) {
        free(g);
        return -1;
    }
    struct dt_rand rand = dt_prng_rand(&g->prng);
    struct dt_ted_params params;
    dt_ted_params_default(&params);
    params.negative_ttl = params.answer_ttl = 3600 * DT_SEC; /* nothing is asked twice in one run */
    g->ted = dt_ted_new(&ted_ops, g, &params, &rand);
    r.proxy[0] = (struct dt_ted_proxy){.ver = 4,
                                       .src = dt_addr4(inside_addr(number, 0)),
                                       .src_mask = dt_addr4(0xffffff00u),
                                       .dst = dt_addr4(10u << 24),
                                       .dst_mask = dt_addr4(0xff000000u)};
    return g->ted && !dt_ted_rule_set(g->ted, 0, &r, NULL) ? 0 : -1;
}

/* The next pair begins to talk: three packets of as many connections. */
static void begin_pair(struct sim_call *c, struct sim_net *net)
{
    struct world *w = DT_CONTAINER_OF(c, struct world, call);
    uint32_t n = w->r->gateways, from = w->next % n, to = (from + 1 + w->next / n) % n;
    for (uint16_t k = 0; k < 3; k++) {
        struct dt_ted_answer a;
        struct dt_ted_packet p = {dt_addr4(inside_addr(from, 5)), dt_addr4(inside_addr(to, 7)), 6,
                                  (uint16_t)(40000 + k), 80};
        dt_ted_packet(w->gateway[from]->ted, net->now, 1, &p, &a);
        w->r->packets++;
    }
    gateway_arm(w->gateway[from]);
    if (++w->next < w->r->pairs)
        sim_net_call_at(net, net->now + PACE, c);
}

int sim_discover_run(uint64_t seed, uint32_t gateways, uint32_t pairs, double loss,
                     struct sim_discover_result *out)
{
    struct world w = {.net = sim_net_new(seed), .call = {begin_pair}, .r = out};
    *out = (struct sim_discover_result){.gateways = gateways, .pairs = pairs};
    w.gateway = calloc(gateways, sizeof(struct gateway *));
    bool bad = !w.net || !w.gateway;
    for (uint32_t i = 0; !bad && i < gateways; i++)
        bad = add_gateway(&w, i, seed, loss);
    if (!bad) {
        sim_net_call_at(w.net, DT_SEC, &w.call);
        sim_net_run(w.net, DT_SEC + pairs * PACE + 20 * DT_SEC);
        bad = w.net->failed;
    }
    for (uint32_t i = 0; !bad && i < gateways; i++) {
        struct dt_ted_counters c;
        dt_ted_counters(w.gateway[i]->ted, &c);
        out->entries += c.entries;
    }
    sim_net_free(w.net);
    free(w.gateway);
    return bad ? -1 : 0;
}
