#include "sim/world/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "sim/world/host_ops.h"
#include "sim/world/router.h"
#include "wire/dummy.h"
#include "wire/esp.h"
#include "wire/icmp.h"

static void host_receive(struct sim_node *n, struct sim_packet *p);
static void host_wake(struct sim_node *n);
static void host_free(struct sim_node *n);
static void host_soon(struct sim_node *n, const struct sim_packet *p, int depth);
static const struct sim_node_ops node_ops = {host_receive, host_wake, host_free, host_soon};

bool sim_is_host(const struct sim_node *n)
{
    return n->ops == &node_ops;
}

struct sim_link *sim_host_wan_down(struct sim_node *n)
{
    if (sim_is_host(n))
        return &DT_CONTAINER_OF(n, struct sim_host, node)->down;
    return &DT_CONTAINER_OF(n, struct sim_router, node)->down;
}

/* ---- its clock ------------------------------------------------------------------------------- */

dt_time sim_host_now(const struct sim_host *h)
{
    dt_time now = h->node.net->now;
    return h->ppm ? h->skew + now + (dt_time)((__int128)now * h->ppm / 1000000) : h->skew + now;
}

/* When the network's clock says so, the host's has reached `at`. */
static dt_time net_time(const struct sim_host *h, dt_time at)
{
    if (at == DT_NEVER)
        return DT_NEVER;
    at = dt_time_sub(at, h->skew);
    return h->ppm ? (dt_time)((__int128)at * 1000000 / (1000000 + h->ppm)) + 1 : at;
}

void sim_host_arm(struct sim_host *h)
{
    if (!h->asleep && h->ep)
        sim_node_wake_at(&h->node, net_time(h, dt_endpoint_deadline(h->ep)));
}

static void host_wake(struct sim_node *n)
{
    struct sim_host *h = DT_CONTAINER_OF(n, struct sim_host, node);
    if (h->asleep)
        return;
    dt_time now = sim_host_now(h);
    if (dt_endpoint_deadline(h->ep) <= now)
        dt_endpoint_tick(h->ep, now);
    sim_host_arm(h);
}

/* ---- packets out ----------------------------------------------------------------------------- */

void sim_host_send(struct sim_host *h, struct sim_packet *p)
{
    struct sim_net *net = h->node.net;
    static uint32_t no_ident;
    p->ghost.from = h->node.index;
    p->ghost.ident = net->in_flight ? no_ident : net->idents++;
    if (h->client) {
        struct sim_router *r = h->nvia ? h->via[h->active] : NULL;
        if (r)
            sim_net_send(net, &h->node, &h->up, NULL, &r->node, p);
        else
            sim_packet_free(&net->pool, p);
        return;
    }
    struct sim_node *to = sim_net_find(net, p->dst);
    if (to)
        sim_net_send(net, &h->node, &h->up, sim_host_wan_down(to), to, p);
    else
        sim_packet_free(&net->pool, p);
}

static void confess(struct sim_host *h, const struct sim_sa *sa, struct sim_packet *p)
{
    if (sa->heard)
        return;
    const struct sim_tunnel *t = sim_host_tunnel_by_id(h, sa->tunnel);
    bool allowed = t && t->proved && sim_host_now(h) >= t->limit;
    if (h->client) {
        p->ghost.unverified = true;
        h->sins.unverified_data += h->pairing->client_probes && !allowed;
    } else {
        p->ghost.unheard = true;
        h->sins.unheard_data += h->pairing->server_waits && !allowed;
    }
}

bool sim_host_esp(struct sim_host *h, struct sim_sa *sa, uint8_t next, const uint8_t *inner, size_t len,
                  uint8_t load)
{
    struct sim_net *net = h->node.net;
    bool udp = sa->path.natt;
    size_t room = DT_ESP_HEAD + len + DT_ESP_TAIL;
    struct sim_packet *p = sim_packet_new(&net->pool, NULL, room);
    if (!p)
        return false;
    memcpy(p->bytes + DT_ESP_HEAD, inner, len);
    struct dt_esp_pkt pkt = {.p = p->bytes + DT_ESP_HEAD, .len = (uint32_t)len, .next = next};
    dt_esp_seal(sa->out, sim_host_now(h), &pkt, 1);
    if (pkt.verdict != DT_ESP_OK) {
        sim_packet_free(&net->pool, p);
        return false;
    }
    memmove(p->bytes, pkt.p, pkt.len);
    p->len = pkt.len;
    p->proto = udp ? SIM_UDP : SIM_ESP;
    p->src = h->client ? h->addr : dt_addr4_host(&sa->path.local.addr);
    p->dst = dt_addr4_host(&sa->path.remote.addr);
    p->sport = sa->path.local.port;
    p->dport = sa->path.remote.port;
    p->ghost.to = sa->peer;
    p->ghost.load = load;
    p->ghost.spi = sa->spi_out;
    if (load == SIM_LOAD_DATA)
        confess(h, sa, p);
    h->pings += load == SIM_LOAD_PING;
    h->data_sent += load == SIM_LOAD_DATA;
    sim_host_send(h, p);
    return true;
}

static bool data_on(struct sim_host *h, struct sim_sa *sa, const uint8_t mark[SIM_MARK_LEN])
{
    uint8_t inner[20 + 8 + SIM_MARK_LEN] = {0x45, 0, 0, sizeof inner, 0, 0, 0, 0, 64, 17};
    dt_put_be32(inner + (h->client ? 16 : 12), SIM_INSIDE_SERVER);
    memcpy(inner + 28, mark, SIM_MARK_LEN);
    return sim_host_esp(h, sa, DT_NEXT_IPV4, inner, sizeof inner, SIM_LOAD_DATA);
}

static void host_held_out(void *ctx, void *sa, struct dt_held *e)
{
    data_on(ctx, sa, e->packet);
}

void sim_host_unhold(struct sim_host *h, struct sim_tunnel *t)
{
    dt_hold_release(&h->hold, &t->hold, &t->part, &t->out, host_held_out, h);
}

bool sim_host_traffic(struct sim_host *h, uint32_t number, dt_time next)
{
    uint32_t index = 2 * number + !h->client;
    uint8_t mark[SIM_MARK_LEN];
    if (index >= h->nflows)
        return false;
    sim_flow_send(&h->flows[index], index, h->node.net->now, next, mark);
    struct sim_tunnel *t = h->asleep ? NULL : sim_host_tunnel(h, number);
    void *sa;
    unsigned dropped;
    switch (t ? dt_out_choose(&t->out, &sa) : DT_OUT_DROP) {
    case DT_OUT_SEND:
        sim_host_unhold(h, t);
        return data_on(h, sa, mark);
    case DT_OUT_HOLD:
        return dt_hold_put(&h->hold, &t->hold, &t->part, sim_host_now(h), NULL, 0, mark, SIM_MARK_LEN,
                           &dropped);
    default:
        h->no_sa++;
        return false;
    }
}

/* ---- packets in ------------------------------------------------------------------------------ */

static void on_data(struct sim_host *h, const uint8_t *inner, size_t len)
{
    struct sim_mark m;
    if (len < 28 || !sim_mark_read(&m, inner + 28, len - 28) || m.flow >= h->nflows)
        return;
    struct sim_flow *f = &h->flows[m.flow];
    if (!sim_flow_delivered(f, &m))
        return;
    struct sim_note *n =
        sim_note_add(h->node.net->notes, f->last_down, SIM_NOTE_OUTAGE,
                     h->client ? h->node.index : h->clients[m.flow / 2]->node.index, h->node.index);
    if (n) {
        n->until = m.sent;
        n->number = m.flow & 1;
    }
}

/* Answered on the pair that it came in on where the SA says so; else a computer inside answers, and its answer is
 * traffic like any other. */
static void on_echo(struct sim_host *h, struct sim_sa *sa, const struct dt_echo *e, uint8_t *inner,
                    size_t len)
{
    struct sim_sa *out = sa;
    if (!sa->answer.ver || !dt_addr_eq(&e->dst, &sa->answer)) {
        if (h->client || dt_addr4_host(&e->dst) != SIM_INSIDE_SERVER)
            return;
        struct sim_tunnel *t = sim_host_tunnel_by_id(h, sa->tunnel);
        out = t ? sim_tunnel_sa(t) : NULL;
    }
    dt_echo_answer(inner, len);
    if (out)
        sim_host_esp(h, out, DT_NEXT_IPV4, inner, len, SIM_LOAD_PONG);
}

static void hear_news(struct sim_host *h, const struct sim_news *n)
{
    if (n->reply)
        dt_endpoint_probe_reply(h->ep, sim_host_now(h), n->sa, n->ident, n->seq);
    else
        dt_endpoint_heard(h->ep, sim_host_now(h), n->sa);
}

/* False: the ring was full, and the endpoint will not hear of it. */
static bool host_tell_news(struct sim_host *h, const struct sim_news *n)
{
    bool waits = h->ring == SIM_RING_BEHIND || h->nnews;
    if (h->ring == SIM_RING_FULL || h->nnews == SIM_NEWS_MAX)
        return false;
    if (waits)
        h->news[h->nnews++] = *n;
    else
        hear_news(h, n);
    return true;
}

/* A dummy packet. True: a reply, told to the endpoint. */
static bool on_dummy(struct sim_host *h, struct sim_sa *sa, uint64_t id, const struct dt_esp_pkt *pkt)
{
    struct dt_dummy d;
    uint8_t reply[DT_DUMMY_LEN];
    if (!dt_dummy_parse(&d, pkt->p, pkt->len))
        return false;
    if (d.reply)
        return host_tell_news(h, &(struct sim_news){.sa = id, .ident = d.ident, .seq = d.seq, .reply = true});
    struct dt_dummy answer = dt_dummy_answer(&d);
    size_t n = dt_dummy_put(reply, sizeof reply, &answer);
    if (sa && sa->answer_dummy && n)
        sim_host_esp(h, sa, DT_NEXT_NONE, reply, n, SIM_LOAD_PONG);
    return false;
}

void sim_host_read_news(struct sim_host *h)
{
    unsigned n = h->nnews;
    h->nnews = 0;
    for (unsigned i = 0; i < n; i++)
        hear_news(h, &h->news[i]);
    sim_host_arm(h);
}

bool sim_host_is_news(const struct sim_host *h, const struct sim_packet *p)
{
    bool esp = p->proto == SIM_ESP || (p->proto == SIM_UDP && p->len > 4 && dt_get_be32(p->bytes));
    uint32_t spi = esp ? dt_esp_peek_spi(p->bytes, p->len) : 0;
    for (struct dt_table_node *n = dt_table_first(&h->sa_by_spi, spi); esp && n; n = dt_table_next(n)) {
        const struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_spi);
        if (sa->spi_in == spi && p->ghost.to == h->node.index)
            return !sa->heard || sa->first.due || p->ghost.load == SIM_LOAD_PONG;
    }
    return false;
}

/* What arrives on an SA that is known concerns the data path alone, but for its first packet, for answers to probes and
 * for a peer that has moved. True: the endpoint was told something. */
static bool esp_in(struct sim_host *h, struct sim_packet *p)
{
    dt_time now = sim_host_now(h);
    struct dt_addr from = dt_addr4(p->src);
    struct sim_sa *sa = sim_host_sa_in(h, dt_esp_peek_spi(p->bytes, p->len));
    if (!sa) {
        h->foreign++;
        dt_endpoint_unknown_spi(h->ep, now, p->ghost.spi, &from);
        return true;
    }
    struct dt_esp_pkt pkt = {.p = p->bytes, .len = p->len};
    unsigned notes = dt_esp_open(sa->in, now, &pkt, 1);
    if (pkt.verdict > DT_ESP_DUMMY) {
        h->foreign += pkt.verdict == DT_ESP_AUTH;
        return false;
    }
    bool dummy = pkt.verdict == DT_ESP_DUMMY;
    uint64_t id = sa->id;
    bool first = dt_esp_first_take(&sa->first, notes), told = first;
    sa->heard = now;
    struct dt_echo e;
    enum dt_echo_kind kind =
        !dummy && pkt.len > 9 && pkt.p[9] == 1 ? dt_echo_parse(&e, pkt.p, pkt.len) : DT_ECHO_NONE;
    if (first && !host_tell_news(h, &(struct sim_news){.sa = id}) && !h->cfg.faults.first_told_once)
        dt_esp_first_untold(&sa->first);
    /* today's IPsec follows a peer that moves behind UDP encapsulation alone (RFC 7296 2.23) */
    bool follows = h->pairing->server_waits || p->proto == SIM_UDP;
    if (first)
        sa = sim_host_sa(h, id);
    if (sa && follows && !dt_addr_eq(&from, &sa->path.remote.addr)) {
        struct dt_addrport at = {from, p->proto == SIM_UDP ? p->sport : sa->path.remote.port};
        dt_endpoint_peer_moved(h->ep, now, id, &at);
        sa = sim_host_sa(h, id);
        told = true;
    }
    if (dummy)
        told |= on_dummy(h, sa, id, &pkt);
    else if (kind == DT_ECHO_REQUEST && sa)
        on_echo(h, sa, &e, pkt.p, pkt.len);
    else if (kind == DT_ECHO_REPLY || kind == DT_ECHO_EXCEEDED)
        told |=
            host_tell_news(h, &(struct sim_news){.sa = id, .ident = e.ident, .seq = e.seq, .reply = true});
    else
        on_data(h, pkt.p, pkt.len);
    return told;
}

static void host_ike_in(struct sim_host *h, struct sim_packet *p, bool natt)
{
    struct dt_path path = {
        .local = {dt_addr4(p->dst), p->dport}, .remote = {dt_addr4(p->src), p->sport}, .natt = natt};
    h->asker = p->ghost.from;
    dt_endpoint_ike_input(h->ep, sim_host_now(h), &path, p->bytes + (natt ? 4 : 0), p->len - (natt ? 4 : 0));
    h->asker = UINT32_MAX;
}

static void host_receive(struct sim_node *n, struct sim_packet *p)
{
    struct sim_host *h = DT_CONTAINER_OF(n, struct sim_host, node);
    if (h->asleep || !h->ep) {
        sim_packet_free(&n->net->pool, p);
        return;
    }
    if (n->net->notes && p->proto == SIM_ESP && p->ghost.to != n->index) {
        struct sim_note *note =
            sim_note_add(n->net->notes, n->net->now, SIM_NOTE_MISDELIVERED, n->index, p->ghost.to);
        if (note)
            note->spi_in = p->ghost.spi;
    }
    bool told = true;
    if (p->proto == SIM_IKE)
        host_ike_in(h, p, false);
    else if (p->proto == SIM_UDP && p->len > 4 && !dt_get_be32(p->bytes))
        host_ike_in(h, p, true);
    else if (p->len > 8)
        told = esp_in(h, p);
    sim_packet_free(&n->net->pool, p);
    if (told)
        sim_host_arm(h);
}

/* ---- what will be needed soon ---------------------------------------------------------------- */

static void fetch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch((const char *)p + i, 1);
}

/* A packet of this flow is about to be read or written. */
static void soon_flow(const struct sim_host *h, uint32_t index)
{
    if (index < h->nflows)
        fetch(&h->flows[index], sizeof *h->flows);
}

#define HOT offsetof(struct sim_host, by_client)

/* The client's SA of late; the server's is found by its SPI, link by link. */
static void soon_esp(struct sim_host *h, const struct sim_packet *p, int depth)
{
    const struct dt_table *t = &h->sa_by_spi;
    const struct sim_sa *sa = h->recent;
    if (!h->client) {
        struct dt_table_node **bucket = t->nbucket ? &t->bucket[p->ghost.spi & (t->nbucket - 1)] : NULL;
        if (bucket && depth == 1)
            __builtin_prefetch(bucket);
        struct dt_table_node *n = !bucket || depth < 2 ? NULL
                                  : depth == 2         ? *bucket
                                                       : dt_table_first(t, p->ghost.spi);
        sa = n ? DT_CONTAINER_OF(n, struct sim_sa, by_spi) : NULL;
    }
    if (!sa)
        return;
    if (depth == 2)
        fetch(sa, sizeof *sa);
    if (depth == 3)
        soon_flow(h, 2 * sa->number + h->client);
    if (depth == 3 || depth == 4)
        dt_esp_in_prefetch(sa->in, depth == 4);
}

static void host_soon(struct sim_node *n, const struct sim_packet *p, int depth)
{
    struct sim_host *h = DT_CONTAINER_OF(n, struct sim_host, node);
    if (depth == 1 && h->client)
        fetch(&h->node + 1, HOT - sizeof h->node);
    if (p && p->proto == SIM_ESP)
        soon_esp(h, p, depth);
}

void sim_host_soon_down(struct sim_node *n)
{
    struct sim_host *h = DT_CONTAINER_OF(n, struct sim_host, node);
    fetch(&h->down, sizeof h->down);
}

void sim_host_soon(struct sim_host *h, uint32_t number, int depth)
{
    if (depth == 1) {
        fetch(h, HOT);
    } else if (depth == 2) {
        soon_flow(h, 2 * number + !h->client);
        if (h->client)
            fetch(h->own, sizeof *h->own);
        else if (number < h->nby_client)
            __builtin_prefetch(&h->by_client[number]);
        return;
    }
    const struct sim_tunnel *t = depth > 2 ? sim_host_tunnel(h, number) : NULL;
    if (!t)
        return;
    if (depth == 3)
        fetch(t, sizeof *t);
    else if (depth == 4)
        fetch(sim_tunnel_sa(t), sizeof(struct sim_sa));
    else if (sim_tunnel_sa(t))
        dt_esp_out_prefetch(sim_tunnel_sa(t)->out, depth > 5);
}

/* ---- what it has ----------------------------------------------------------------------------- */

struct sim_sa *sim_host_sa(struct sim_host *h, uint64_t id)
{
    for (struct dt_table_node *n = dt_table_first(&h->sa_by_id, id); n; n = dt_table_next(n)) {
        struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_id);
        if (sa->id == id)
            return sa;
    }
    return NULL;
}

struct sim_sa *sim_host_sa_in(struct sim_host *h, uint32_t spi_in)
{
    if (h->recent && h->recent->spi_in == spi_in)
        return h->recent;
    for (struct dt_table_node *n = dt_table_first(&h->sa_by_spi, spi_in); n; n = dt_table_next(n)) {
        struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_spi);
        if (sa->spi_in == spi_in)
            return h->recent = sa;
    }
    return NULL;
}

struct sim_tunnel *sim_host_tunnel(struct sim_host *h, uint32_t number)
{
    if (!h->client)
        return number < h->nby_client ? h->by_client[number] : NULL;
    return h->own;
}

struct sim_tunnel *sim_host_tunnel_by_id(struct sim_host *h, uint32_t id)
{
    for (struct dt_table_node *n = dt_table_first(&h->tunnels, id); n; n = dt_table_next(n)) {
        struct sim_tunnel *t = DT_CONTAINER_OF(n, struct sim_tunnel, by_id);
        if (t->id == id)
            return t;
    }
    return NULL;
}

/* ---- beginning, end, and what may befall it -------------------------------------------------- */

struct sim_host *sim_host_new(struct sim_net *net, const struct sim_host_config *cfg, uint32_t addr)
{
    struct sim_host *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->cfg = *cfg;
    h->client = cfg->client;
    h->pairing = cfg->pairing;
    h->number = cfg->number;
    h->addr = addr;
    h->flows = cfg->flows;
    h->nflows = cfg->nflows;
    h->asker = UINT32_MAX;
    h->hold = (struct dt_hold_bounds){
        .packets = DT_HOLD_PACKETS, .bytes = DT_HOLD_BYTES, .total_bytes = DT_HOLD_TOTAL_BYTES};
    h->skew = 1000 * DT_SEC; /* no engine may take 0 for "now" */
    dt_prng_seed(&h->prng, cfg->seed);
    if (sim_net_add(net, &h->node, &node_ops, cfg->name)) {
        free(h);
        return NULL;
    }
    if (addr)
        sim_net_public(net, addr, &h->node);
    return h;
}

static void host_forget(struct sim_host *h)
{
    dt_endpoint_free(h->ep);
    h->ep = NULL;
    h->nnews = 0;
    sim_host_ops_clear(h);
}

static void host_free(struct sim_node *n)
{
    struct sim_host *h = DT_CONTAINER_OF(n, struct sim_host, node);
    host_forget(h);
    dt_table_free(&h->sa_by_spi);
    dt_table_free(&h->sa_by_id);
    dt_table_free(&h->tunnels);
    free(h->by_client);
    free(h);
}

int sim_host_restart(struct sim_host *h, struct dt_err *err)
{
    host_forget(h);
    return sim_host_start(h, err);
}

void sim_host_sleep(struct sim_host *h, bool asleep)
{
    h->asleep = asleep;
    if (!asleep) {
        sim_node_wake_at(&h->node, h->node.net->now);
        sim_host_arm(h);
    }
}

void sim_host_route(struct sim_host *h, uint8_t via)
{
    if (via < h->nvia)
        h->active = via;
}
