#include "sim/world/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "sim/world/host.h"

#define FIRST_PORT 10000

static void router_receive(struct sim_node *n, struct sim_packet *p);
static void router_wake(struct sim_node *n);
static void router_free(struct sim_node *n);
static void router_soon(struct sim_node *n, const struct sim_packet *p, int depth);
static const struct sim_node_ops ops = {router_receive, router_wake, router_free, router_soon};

struct sim_lan *sim_lan_new(uint32_t number)
{
    struct sim_lan *lan = calloc(1, sizeof *lan);
    if (lan)
        lan->number = number & 0xff;
    return lan;
}

void sim_lan_free(struct sim_lan *lan)
{
    if (lan)
        free(lan->clients);
    free(lan);
}

int sim_lan_join(struct sim_lan *lan, struct sim_host *client)
{
    if (lan->n == lan->cap) {
        uint32_t cap = lan->cap ? lan->cap * 2 : 8;
        struct sim_host **v = realloc(lan->clients, cap * sizeof(struct sim_host *));
        if (!v)
            return -1;
        lan->clients = v;
        lan->cap = cap;
    }
    client->addr = 10u << 24 | lan->number << 16 | (lan->n + 2);
    lan->clients[lan->n++] = client;
    return 0;
}

static struct sim_host *client_at(const struct sim_lan *lan, uint32_t addr)
{
    uint32_t k = (addr & 0xffff) - 2;
    return addr >> 16 == (10u << 8 | lan->number) && k < lan->n ? lan->clients[k] : NULL;
}

/* For whom was the packet that gave the item its inbound SPI? The simulator knows; the router does not. */
static void router_judge(struct sim_router *r, const struct dt_masq_event *ev, struct sim_host *c)
{
    bool wrong = r->current && r->current->ghost.to != UINT32_MAX && r->current->ghost.to != c->node.index;
    if (wrong && ev->kind == DT_MASQ_IKE) {
        r->wrong_cookies++;
        wrong = false;
    } else if (wrong) {
        r->wrong_items++;
        r->wrong_unheard += r->current->ghost.unheard;
        r->wrong_fresh += !r->forgot;
    }
    struct sim_note *note =
        sim_note_add(r->node.net->notes, r->node.net->now, wrong ? SIM_NOTE_ITEM_WRONG : SIM_NOTE_ITEM_SET,
                     r->node.index, c->node.index);
    if (note) {
        note->spi_out = ev->spi_out;
        note->spi_in = ev->spi_in;
        note->ike_item = ev->kind == DT_MASQ_IKE;
        if (wrong)
            snprintf(note->text, sizeof note->text, "the item of %s gets %08x, which is %s's", c->node.name,
                     ev->spi_in, r->node.net->nodes[r->current->ghost.to]->name);
    }
}

static void router_on_event(void *ctx, const struct dt_masq_event *ev)
{
    struct sim_router *r = ctx;
    struct sim_net *net = r->node.net;
    struct sim_host *c = client_at(r->lan, ev->client);
    if (ev->what == DT_MASQ_EV_CONVERTED && c) {
        router_judge(r, ev, c);
        return;
    }
    if (ev->kind == DT_MASQ_ESP && ev->what == DT_MASQ_EV_CREATED)
        r->outstanding = ev->at;
    if (ev->kind == DT_MASQ_ESP && ev->what == DT_MASQ_EV_EXPIRED) /* before its time is no excuse */
        r->forgot += ev->state != DT_MASQ_OUTSTANDING || ev->at >= r->outstanding + r->config.params.t_out;
    if (!net->notes || !c || (ev->what != DT_MASQ_EV_CREATED && ev->what != DT_MASQ_EV_EXPIRED))
        return;
    struct sim_note *note = sim_note_add(
        net->notes, ev->at, ev->what == DT_MASQ_EV_CREATED ? SIM_NOTE_ITEM_NEW : SIM_NOTE_ITEM_GONE,
        r->node.index, c->node.index);
    if (note) {
        note->spi_out = ev->spi_out;
        note->spi_in = ev->spi_in;
        note->ike_item = ev->kind == DT_MASQ_IKE;
    }
}

struct sim_router *sim_router_new(struct sim_net *net, struct sim_lan *lan, uint32_t outside,
                                  const struct dt_masq_config *config, const char *name)
{
    struct sim_router *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->lan = lan;
    r->outside = outside;
    r->config = *config;
    r->config.event = router_on_event;
    r->config.ctx = r;
    r->config.params.n_outside = 1;
    r->config.params.outside[0] = outside;
    r->masq = dt_masq_new(&r->config);
    if (!r->masq || sim_net_add(net, &r->node, &ops, name)) {
        dt_masq_free(r->masq);
        free(r);
        return NULL;
    }
    sim_net_public(net, outside, &r->node);
    return r;
}

static void router_free(struct sim_node *n)
{
    struct sim_router *r = DT_CONTAINER_OF(n, struct sim_router, node);
    dt_masq_free(r->masq);
    free(r->ports);
    free(r);
}

void sim_router_reboot(struct sim_router *r)
{
    dt_masq_flush(r->masq);
    r->forgot++;
    r->nports = 0;
    sim_note_add(r->node.net->notes, r->node.net->now, SIM_NOTE_ITEM_GONE, r->node.index, UINT32_MAX);
}

void sim_router_change(struct sim_router *r, const struct dt_masq_params *params)
{
    r->config.params = *params;
    r->config.params.n_outside = 1;
    r->config.params.outside[0] = r->outside;
    dt_masq_configure(r->masq, &r->config);
}

/* ---- ways out -------------------------------------------------------------------------------- */

static void to_internet(struct sim_router *r, struct sim_packet *p)
{
    struct sim_node *to = sim_net_find(r->node.net, p->dst);
    if (!to) {
        sim_packet_free(&r->node.net->pool, p);
        return;
    }
    sim_net_send(r->node.net, &r->node, &r->up, sim_host_wan_down(to), to, p);
}

static void to_client(struct sim_router *r, uint32_t addr, struct sim_packet *p)
{
    struct sim_host *c = client_at(r->lan, addr);
    if (!c) {
        sim_packet_free(&r->node.net->pool, p);
        return;
    }
    p->dst = addr;
    sim_net_send(r->node.net, &r->node, &c->down, NULL, &c->node, p);
}

static void router_drop(struct sim_router *r, struct sim_packet *p, const char *why)
{
    struct sim_net *net = r->node.net;
    r->dropped++;
    struct sim_note *note = sim_note_add(net->notes, net->now, SIM_NOTE_DROP, r->node.index, p->ghost.from);
    if (note) {
        char label[SIM_LABEL_LEN];
        note->spi_out = p->ghost.spi;
        note->proto = p->proto;
        note->load = p->ghost.load;
        snprintf(note->text, sizeof note->text, "%s: %s", sim_packet_label(label, p), why);
    }
    sim_packet_free(&net->pool, p);
}

/* ---- other UDP ------------------------------------------------------------------------------- */

static void udp_out(struct sim_router *r, struct sim_packet *p)
{
    uint32_t i = 0;
    if (!r->ports && !(r->ports = calloc(SIM_PORTS, sizeof *r->ports))) {
        router_drop(r, p, "no memory");
        return;
    }
    while (i < r->nports && (r->ports[i].client != p->src || r->ports[i].port != p->sport))
        i++;
    if (i == SIM_PORTS) {
        router_drop(r, p, "no port left");
        return;
    }
    if (i == r->nports)
        r->ports[r->nports++] = (struct sim_port){p->src, p->sport};
    p->src = r->outside;
    p->sport = (uint16_t)(FIRST_PORT + i);
    to_internet(r, p);
}

static void udp_in(struct sim_router *r, struct sim_packet *p)
{
    uint32_t i = p->dport - (uint32_t)FIRST_PORT;
    if (i >= r->nports) {
        router_drop(r, p, "no such port");
        return;
    }
    p->dport = r->ports[i].port;
    to_client(r, r->ports[i].client, p);
}

/* ---- IKE and ESP ----------------------------------------------------------------------------- */

static struct dt_masq_facts facts(const struct sim_packet *p, bool inside)
{
    struct dt_masq_facts f;
    if (p->proto == SIM_ESP) {
        uint32_t spi = p->len >= 4 ? dt_get_be32(p->bytes) : 0;
        f = inside ? dt_masq_esp_out(p->src, p->dst, spi) : dt_masq_esp_in(p->src, p->dst, spi);
    } else {
        uint64_t icookie = p->len >= 28 ? dt_get_be64(p->bytes) : 0;
        uint64_t rcookie = p->len >= 28 ? dt_get_be64(p->bytes + 8) : 0;
        f = inside ? dt_masq_ike_out(p->src, p->dst, icookie, rcookie)
                   : dt_masq_ike_in(p->src, p->dst, icookie, rcookie);
    }
    f.len = (uint16_t)(p->len + (p->proto == SIM_ESP ? 0 : 8));
    return f;
}

static void router_multicast(struct sim_router *r, const struct dt_masq_verdict *v, struct sim_packet *p)
{
    struct sim_net *net = r->node.net;
    r->multicast++;
    struct sim_note *note =
        sim_note_add(net->notes, net->now, SIM_NOTE_MULTICAST, r->node.index, p->ghost.to);
    if (note) {
        note->spi_in = p->ghost.spi;
        note->number = v->n;
        snprintf(note->text, sizeof note->text, "%08x has no item: sent to all %u clients", p->ghost.spi,
                 v->n);
    }
    for (uint16_t i = 0; i < v->n; i++) {
        struct sim_packet *copy = i + 1 < v->n ? sim_packet_copy(&net->pool, p) : p;
        if (copy)
            to_client(r, v->to[i], copy);
    }
    if (!v->n)
        sim_packet_free(&net->pool, p);
}

/* Expiries are drawn when they happen; without a drawing they cost an event a minute at most. */
static void router_arm(struct sim_router *r)
{
    dt_time next = dt_masq_deadline(r->masq), now = r->node.net->now;
    if (next == DT_NEVER || r->node.net->in_flight)
        return;
    dt_time least = r->node.net->notes ? now + 10 * DT_MSEC : now + 60 * DT_SEC;
    sim_node_wake_at(&r->node, next > least ? next : least);
}

static void router_receive(struct sim_node *n, struct sim_packet *p)
{
    struct sim_router *r = DT_CONTAINER_OF(n, struct sim_router, node);
    bool inside = sim_private(p->src);
    if (r->dead) {
        sim_packet_free(&n->net->pool, p);
        return;
    }
    if (p->proto == SIM_UDP) {
        (inside ? udp_out : udp_in)(r, p);
        return;
    }
    struct dt_masq_facts f = facts(p, inside);
    struct dt_masq_verdict v;
    r->current = p;
    dt_masq_packet(r->masq, n->net->now, &f, &v);
    r->current = NULL;
    router_arm(r);
    if (v.verdict == DT_MASQ_MULTICAST) {
        router_multicast(r, &v, p);
    } else if (v.verdict != DT_MASQ_FORWARD) {
        router_drop(r, p, dt_masq_rule_name(v.rule));
    } else if (inside) {
        p->src = v.nat ? v.nat : r->outside;
        to_internet(r, p);
    } else {
        to_client(r, v.to[0], p);
    }
}

/* The rules' tables, and the host that gets it: as the network itself knows. */
static void router_soon(struct sim_node *n, const struct sim_packet *p, int depth)
{
    struct sim_router *r = DT_CONTAINER_OF(n, struct sim_router, node);
    if (!p || p->proto != SIM_ESP)
        return;
    bool inside = sim_private(p->src);
    struct dt_masq_facts f = facts(p, inside);
    if (depth == 1) {
        __builtin_prefetch((char *)r + 128, 1);
        __builtin_prefetch((char *)r + 192, 1);
    } else if (depth < 5) {
        dt_masq_prefetch(r->masq, &f, depth - 2);
    } else if (depth == 5 && !inside && p->ghost.to < n->net->nnodes) {
        sim_host_soon_down(n->net->nodes[p->ghost.to]);
    }
}

static void router_wake(struct sim_node *n)
{
    struct sim_router *r = DT_CONTAINER_OF(n, struct sim_router, node);
    dt_masq_tick(r->masq, n->net->now);
    router_arm(r);
}
