#include "sim/world/host_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "wire/dummy.h"
#include "wire/esp.h"
#include "wire/icmp.h"
#include "wire/ip.h"

#define SIM_PORT 4411 /* of tunnels that carry one port */

/* ---- randomness ------------------------------------------------------------------------------ */

/* The host's own generator, so that what one host draws depends on its own history alone. A script makes the
 * next SPI, or the next IKE cookie, what a scenario needs it to be. */
static void host_draw(void *ctx, void *buf, size_t n)
{
    struct sim_host *h = ctx;
    uint8_t *out = buf;
    if (n == 4 && h->spi_script) {
        memcpy(buf, &h->spi_script, 4);
        h->spi_script = 0;
        return;
    }
    if (n == 8 && h->cookie_script) {
        memcpy(buf, &h->cookie_script, 8);
        h->cookie_script = 0;
        return;
    }
    while (n) {
        uint64_t v = dt_prng_u64(&h->prng);
        size_t take = n < 8 ? n : 8;
        memcpy(out, &v, take);
        out += take;
        n -= take;
    }
}

/* ---- IKE ------------------------------------------------------------------------------------- */

static void host_send_ike(void *user, const struct dt_path *path, const uint8_t *data, size_t len,
                          unsigned flags)
{
    struct sim_host *h = user;
    size_t marker = path->natt && !(flags & DT_IKE_SEND_KEEPALIVE) ? 4 : 0;
    struct sim_packet *p = sim_packet_new(&h->node.net->pool, NULL, len + marker);
    if (!p)
        return;
    memset(p->bytes, 0, marker);
    memcpy(p->bytes + marker, data, len);
    p->proto = path->natt ? SIM_UDP : SIM_IKE;
    p->src = h->client ? h->addr : dt_addr4_host(&path->local.addr);
    p->dst = dt_addr4_host(&path->remote.addr);
    p->sport = path->local.port;
    p->dport = path->remote.port;
    p->ghost.to = h->client ? UINT32_MAX : h->asker; /* else whoever has the cookies */
    h->ike_sent++;
    h->ike_bytes += len + marker;
    sim_host_send(h, p);
}

static int host_psk(void *user, uint32_t tunnel, uint32_t gateway, const struct dt_ike_id *local,
                    const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    static const char secret[] = "a secret that all simulated hosts share";
    memcpy(key, secret, sizeof secret);
    return (int)sizeof secret;
}

/* "7@clients.sim" is client 7. */
static uint32_t number_of(const struct dt_ike_id *id)
{
    char text[DT_IKE_ID_MAX + 1];
    memcpy(text, id->data, id->len);
    text[id->len] = 0;
    return (uint32_t)strtoul(text, NULL, 10);
}

static int lease(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                 const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err)
{
    memset(give, 0, sizeof *give);
    give->addr4 = dt_addr4((172u << 24 | 20u << 16) + 10 + number_of(peer));
    return 0;
}

static void host_release(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                         const struct dt_ike_inside *given)
{
}

static bool host_local_addr(void *user, uint32_t tunnel, const struct dt_addr *remote, struct dt_addr *local)
{
    struct sim_host *h = user;
    *local = dt_addr4(h->addr);
    return true;
}

/* ---- the data path --------------------------------------------------------------------------- */

static struct sim_tunnel *tunnel_of(struct sim_host *h, uint32_t id)
{
    struct sim_tunnel *t = sim_host_tunnel_by_id(h, id);
    if (t || !(t = calloc(1, sizeof *t)))
        return t;
    t->id = id;
    dt_out_set(&t->out, DT_OUT_HOLD, NULL);
    if (dt_table_insert(&h->tunnels, &t->by_id, id)) {
        free(t);
        return NULL;
    }
    if (h->client) {
        t->number = h->number;
        t->peer = h->server->node.index;
        h->own = t;
        return t;
    }
    struct dt_tunnel_info info;
    t->peer = UINT32_MAX;
    t->number = UINT32_MAX;
    if (dt_endpoint_tunnel_info(h->ep, id, &info) &&
        (t->number = number_of(&info.remote_id)) < h->nby_client) {
        h->by_client[t->number] = t;
        t->peer = h->clients[t->number]->node.index;
    }
    return t;
}

static void tunnel_free(struct sim_host *h, struct sim_tunnel *t)
{
    if (!h->client && t->number < h->nby_client && h->by_client[t->number] == t)
        h->by_client[t->number] = NULL;
    if (h->own == t)
        h->own = NULL;
    dt_table_remove(&h->tunnels, &t->by_id);
    dt_hold_clear(&h->hold, &t->hold, &t->part);
    free(t);
}

static void sa_free(struct sim_host *h, struct sim_sa *sa)
{
    struct sim_tunnel *t = sim_host_tunnel_by_id(h, sa->tunnel);
    if (t)
        dt_out_sa_gone(&t->out, sa);
    h->recent = NULL;
    dt_table_remove(&h->sa_by_spi, &sa->by_spi);
    dt_table_remove(&h->sa_by_id, &sa->by_id);
    dt_esp_out_free(sa->out);
    dt_esp_in_free(sa->in);
    free(sa);
}

static struct sim_note *note_epoch(struct sim_host *h, enum sim_note_kind kind, const struct sim_sa *sa)
{
    struct sim_net *net = h->node.net;
    struct sim_note *n = sim_note_add(net->notes, net->now, kind, h->node.index, sa->peer);
    if (n) {
        n->number = sa->epoch;
        n->spi_out = h->client ? sa->spi_out : sa->spi_in;
        n->spi_in = h->client ? sa->spi_in : sa->spi_out;
    }
    return n;
}

static int host_sa_install(void *user, dt_time now, const struct dt_endpoint_sa *in, struct dt_err *err)
{
    struct sim_host *h = user;
    struct sim_tunnel *t = tunnel_of(h, in->tunnel);
    struct sim_sa *sa = calloc(1, sizeof *sa);
    if (!t || !sa) {
        free(sa);
        return dt_err_set(err, 0, "memory ran out");
    }
    sa->id = in->sa;
    sa->tunnel = in->tunnel;
    sa->epoch = in->epoch;
    sa->spi_in = in->spi_in;
    sa->spi_out = in->spi_out;
    sa->path = in->path;
    sa->t0 = now;
    sa->peer = t->peer;
    sa->number = t->number;
    sa->answer = in->answer4;
    sa->answer_dummy = in->answer_dummy;
    size_t key = dt_suite_key_len(&in->suite);
    struct dt_esp_params p = {.suite = in->suite, .esn = in->esn, .window = DT_ESP_WINDOW_MIN};
    p.spi = in->spi_out;
    p.key = dt_span(in->key_out, key);
    p.integ_key = dt_span(in->key_out + key, in->key_len - key);
    sa->out = dt_esp_out_new(h->crypto, &p, err);
    p.spi = in->spi_in;
    p.key = dt_span(in->key_in, key);
    p.integ_key = dt_span(in->key_in + key, in->key_len - key);
    sa->in = dt_esp_in_new(h->crypto, &p, err);
    if (!sa->out || !sa->in || dt_table_insert(&h->sa_by_spi, &sa->by_spi, sa->spi_in)) {
        dt_esp_out_free(sa->out);
        dt_esp_in_free(sa->in);
        free(sa);
        return -1;
    }
    dt_table_insert(&h->sa_by_id, &sa->by_id, sa->id);
    h->recent = NULL;
    note_epoch(h, SIM_NOTE_EPOCH_NEW, sa);
    return 0;
}

static void host_sa_remove(void *user, dt_time now, uint64_t id)
{
    struct sim_host *h = user;
    struct sim_sa *sa = sim_host_sa(h, id);
    if (!sa)
        return;
    if (!sa->ended)
        note_epoch(h, SIM_NOTE_EPOCH_GONE, sa);
    sa_free(h, sa);
}

static void host_sa_path(void *user, dt_time now, uint64_t id, const struct dt_path *path)
{
    struct sim_sa *sa = sim_host_sa(user, id);
    if (sa)
        sa->path = *path;
}

/* A client's data waits from now on. Though the epoch that carried it until now answers, and its time is not over? */
static bool needless(const struct sim_host *h, const struct sim_sa *was, dt_time now)
{
    const struct dt_epoch_params *p = &h->cfg.params;
    return h->client && h->cfg.pairing->client_probes && was && !was->ended && was->heard &&
           now < was->heard + p->maxidle && now < was->t0 + p->keylife - p->rekeymargin;
}

static void host_outbound(void *user, dt_time now, uint32_t tunnel, enum dt_outbound how, uint64_t id,
                          bool forced)
{
    static const enum dt_out_state state[] = {
        [DT_OUTBOUND_SA] = DT_OUT_SEND, [DT_OUTBOUND_HOLD] = DT_OUT_HOLD, [DT_OUTBOUND_DROP] = DT_OUT_DROP};
    struct sim_host *h = user;
    struct sim_tunnel *t = tunnel_of(h, tunnel);
    if (!t)
        return;
    struct sim_sa *sa = how == DT_OUTBOUND_SA ? sim_host_sa(h, id) : NULL;
    if (how == DT_OUTBOUND_SA &&
        (!sa || sa->tunnel != tunnel)) { /* the data path refuses, and all stays as it was */
        h->sins.no_such_sa++;
        return;
    }
    h->sins.needless_hold += how == DT_OUTBOUND_HOLD && needless(h, sim_tunnel_sa(t), now);
    dt_out_set(&t->out, state[how], sa);
    struct sim_note *n =
        sa ? note_epoch(h, SIM_NOTE_EPOCH_USED, sa)
           : sim_note_add(h->node.net->notes, h->node.net->now, SIM_NOTE_EPOCH_USED, h->node.index, t->peer);
    if (n && forced)
        snprintf(n->text, sizeof n->text, "forced");
    sim_host_unhold(h, t);
}

static void host_probe(void *user, dt_time now, const struct dt_endpoint_probe *pr)
{
    struct sim_host *h = user;
    struct sim_sa *sa = sim_host_sa(h, pr->sa);
    uint8_t inner[64];
    struct dt_dummy d = {.ident = pr->ident, .seq = pr->seq, .size = DT_DUMMY_LEN, .other = DT_DUMMY_LEN};
    bool dummy = pr->kind == DT_PROBE_DUMMY;
    size_t n =
        dummy ? dt_dummy_put(inner, sizeof inner, &d)
              : dt_echo_make(inner, sizeof inner, false, &pr->src, &pr->dst, pr->ident, pr->seq, pr->ttl, 8);
    if (sa && n)
        sim_host_esp(h, sa, dummy ? DT_NEXT_NONE : DT_NEXT_IPV4, inner, n, SIM_LOAD_PING);
}

static dt_time host_last_heard(void *user, uint64_t id)
{
    struct sim_sa *sa = sim_host_sa(user, id);
    return sa ? sa->heard : 0;
}

static void tunnel(void *user, dt_time now, uint32_t id, bool gone)
{
    struct sim_host *h = user;
    struct sim_tunnel *t = sim_host_tunnel_by_id(h, id);
    if (gone && t && !h->client)
        tunnel_free(h, t);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void mark_ended(struct sim_host *h, const struct dt_event *ev)
{
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&h->sa_by_id, &it));) {
        struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_id);
        if (sa->tunnel == ev->tunnel && sa->epoch == ev->epoch && !sa->ended) {
            sa->ended = true;
            note_epoch(h, SIM_NOTE_EPOCH_GONE, sa);
        }
    }
}

/* An epoch is verified (or heard), and not by word alone: it is what a younger one must wait for. One that is heard only
 * after it was given up is not. */
static void prove(struct sim_host *h, const struct dt_event *ev)
{
    struct sim_tunnel *t = sim_host_tunnel_by_id(h, ev->tunnel);
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; t && (n = dt_table_iterate(&h->sa_by_id, &it));) {
        const struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_id);
        if (sa->tunnel == ev->tunnel && sa->epoch == ev->epoch && sa->heard && sa->epoch > t->proved) {
            t->proved = sa->epoch;
            t->limit = sa->t0 + h->cfg.params.keylife - (h->client ? h->cfg.params.rekeymargin : 0);
        }
    }
}

static void host_on_event(void *user, const struct dt_event *ev)
{
    struct sim_host *h = user;
    struct sim_net *net = h->node.net;
    if (ev->kind == DT_EPOCH_VERIFIED)
        prove(h, ev);
    if (ev->kind == DT_EPOCH_PEER_DELETED || ev->kind == DT_EPOCH_DELETED || ev->kind == DT_EPOCH_EXPIRED)
        mark_ended(h, ev);
    if (!net->notes)
        return;
    if (ev->kind == DT_EPOCH_VERIFIED) {
        struct sim_tunnel *t = sim_host_tunnel_by_id(h, ev->tunnel);
        struct sim_note *n = sim_note_add(net->notes, net->now, SIM_NOTE_EPOCH_PROVED, h->node.index,
                                          t ? t->peer : UINT32_MAX);
        if (n) {
            n->number = ev->epoch;
            n->spi_out = h->client ? ev->spi_out : ev->spi_in;
            n->spi_in = h->client ? ev->spi_in : ev->spi_out;
        }
    }
    struct sim_note *say = sim_note_add(net->notes, net->now, SIM_NOTE_SAY, h->node.index, h->node.index);
    if (say) {
        say->number = ev->kind;
        snprintf(say->text, sizeof say->text, "%.*s", SIM_NOTE_TEXT - 1, ev->text[0] ? ev->text : ev->name);
    }
}

/* ---- the endpoint ---------------------------------------------------------------------------- */

void sim_host_ops_clear(struct sim_host *h)
{
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&h->sa_by_id, &it));)
        sa_free(h, DT_CONTAINER_OF(n, struct sim_sa, by_id));
    it = (struct dt_table_iter){0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&h->tunnels, &it));)
        tunnel_free(h, DT_CONTAINER_OF(n, struct sim_tunnel, by_id));
}

static bool proposals(struct dt_proposals *list, uint8_t protocol, const char *text, struct dt_err *err)
{
    struct dt_proposal p;
    memset(list, 0, sizeof *list);
    return !dt_proposal_parse(&p, protocol, text, err) && dt_proposals_add(list, &p);
}

static bool algorithms(struct dt_proposals *ike, struct dt_proposals *esp, struct dt_err *err)
{
    return proposals(ike, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519", err) &&
           proposals(esp, DT_PROTO_ESP, "aes128gcm16-noesn", err);
}

static struct dt_selectors inside_net(const struct sim_host *h)
{
    struct dt_selectors list = {0};
    struct dt_prefix p = {dt_addr4(SIM_INSIDE_SERVER & 0xffff0000), 16};
    struct dt_selector s = dt_selector_prefix(&p);
    if (h->cfg.pairing->narrow) {
        s.proto = DT_IPPROTO_UDP;
        s.port_from = s.port_to = SIM_PORT;
    }
    dt_selectors_add(&list, &s);
    return list;
}

static int start_client(struct sim_host *h, dt_time now, struct dt_err *err)
{
    struct dt_tunnel_cfg c;
    char id[32];
    dt_tunnel_cfg_default(&c);
    snprintf(c.name, sizeof c.name, "office");
    snprintf(id, sizeof id, "%u@clients.sim", h->number);
    c.ngateways = 1;
    c.gateways[0] = dt_addr4(h->cfg.server);
    if (dt_ike_id_parse(&c.local_id, id) || dt_ike_id_parse(&c.remote_id, "gateway.sim") ||
        !algorithms(&c.ike, &c.esp, err))
        return -1;
    c.protect = inside_net(h);
    c.inside4 = true;
    c.inside6 = false;
    c.encap = h->cfg.encap;
    c.params = h->cfg.params;
    c.params.server_rekey = h->cfg.pairing->accept;
    c.probe = !h->cfg.pairing->client_probes  ? DT_PROBE_OFF
              : !h->cfg.pairing->server_waits ? DT_PROBE_ADDRESS
                                              : DT_PROBE_AUTO;
    c.probe_addr = dt_addr4(SIM_INSIDE_SERVER);
    h->tunnel = dt_endpoint_tunnel_add(h->ep, now, &c, err);
    if (!h->tunnel)
        return -1;
    dt_endpoint_up(h->ep, now, h->tunnel);
    return 0;
}

static int start_server(struct sim_host *h, dt_time now, struct dt_err *err)
{
    struct dt_gateway_cfg c;
    dt_gateway_cfg_default(&c);
    snprintf(c.name, sizeof c.name, "gateway");
    if (dt_ike_id_parse(&c.identity, "gateway.sim") || !algorithms(&c.ike, &c.esp, err))
        return -1;
    c.peers.type = DT_ID_ANY;
    c.protect = inside_net(h);
    c.lease = true;
    c.probe = h->cfg.pairing->server_waits;
    c.params = h->cfg.params;
    c.params.probe = c.probe;
    c.params.server_rekey = h->cfg.pairing->accept;
    h->gateway = dt_endpoint_gateway_add(h->ep, now, &c, err);
    return h->gateway ? 0 : -1;
}

int sim_host_start(struct sim_host *h, struct dt_err *err)
{
    h->ops = (struct dt_endpoint_ops){
        .send_ike = host_send_ike,
        .sa_install = host_sa_install,
        .sa_remove = host_sa_remove,
        .sa_path = host_sa_path,
        .outbound = host_outbound,
        .probe = host_probe,
        .last_heard = host_last_heard,
        .tunnel = tunnel,
        .local_addr = host_local_addr,
        .psk = host_psk,
        .lease = lease,
        .release = host_release,
        .trace = host_on_event, /* data on an epoch is judged by what was known before it left */
        .terse = !h->node.net->notes,
    };
    h->crypto = dt_crypto_null();
    struct dt_rand rand = {host_draw, h};
    struct dt_ike_params ike;
    dt_ike_params_default(&ike);
    ike.door.answer_rate = ike.door.answer_rate_source = DT_RATE_NO_LIMIT;
    if (!h->client) { /* thousands of clients begin at once in a big network, and that is not what is looked at */
        ike.door.half_open_cookie = ike.door.half_open_max = ike.door.half_open_source = 1u << 20;
        ike.door.work_rate = ike.door.work_rate_source = DT_RATE_NO_LIMIT;
    }
    if (h->cfg.mute)
        ike.door.answer_rate = 0;
    if (h->cfg.ike_patience)
        ike.retransmit_base = 3 * DT_SEC;
    h->ep = dt_endpoint_new(&h->ops, h, &ike, NULL, h->crypto, &rand);
    if (!h->ep)
        return dt_err_set(err, 0, "memory ran out");
    dt_time now = sim_host_now(h);
    int r = h->client ? start_client(h, now, err) : start_server(h, now, err);
    sim_host_arm(h);
    return r;
}
