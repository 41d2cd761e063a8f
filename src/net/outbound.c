/* From the TUN device to the sockets: which tunnel, its state, then segments into the batch. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/dp.h"
#include "wire/esp.h"
#include "wire/icmp.h"

#define ICMP_RATE 100  /* errors a second for each worker */
#define PAIR_RATE 1000 /* events a second for each worker, for pairs of hosts */
#define NEED_RATE 100  /* events a second for each worker, beside one a second for each tunnel */

/* A packet from the TUN device and what is known of it. */
struct out_packet {
    struct dt_vnet vnet;
    uint8_t *p;
    size_t len;
    struct dt_ip ip;
    struct dt_tunnel_ports ports;
    bool orphan; /* a later fragment whose first one was not seen */
    uint64_t rule;
};

/* An ICMP error to the inside sender. It comes from the packet's own destination: the host would not believe its own
 * address on a packet from a device. */
void dp_icmp_error(struct dp_worker *w, const uint8_t *packet, size_t len, uint32_t mtu)
{
    struct dt_ip ip;
    if (!dt_ip_parse(&ip, packet, len, true))
        return;
    size_t n = dt_icmp_error_make(w->icmp, sizeof w->icmp, &ip.dst, packet, len, mtu);
    if (n == 0)
        return;
    if (!dp_limit(w->now, ICMP_RATE, &w->icmp_tokens, &w->icmp_at)) {
        dp_count(w, DT_DPC_ICMP_LIMITED, 1);
        return;
    }
    dp_tun_write(w, w->icmp, n);
    dp_count(w, DT_DPC_ICMP_SENT, 1);
}

/* ---- onto an SA ---------------------------------------------------------------------------------- */

/* The inner MTU that holds now, 0 for none. What was learned is forgotten after a while and asked for anew. */
static uint32_t inner_limit(struct dp_worker *w, struct dp_sa *sa, const struct dp_desc *d, uint8_t ver)
{
    if (w->now >= atomic_load_explicit(&sa->mtu_until, memory_order_relaxed)) {
        const struct dp_route *r = rcu_dereference(sa->route);
        dp_sa_set_mtu(sa, &r->path, dp_outer_mtu(w->dp, r, sa), w->now);
    }
    uint32_t limit = atomic_load_explicit(ver == 4 ? &sa->inner4 : &sa->inner6, memory_order_relaxed);
    if (d->t.mtu && (limit == 0 || d->t.mtu < limit))
        limit = d->t.mtu;
    return limit;
}

static void too_big(struct dp_worker *w, struct dp_tunnel *t, const struct out_packet *k, uint32_t limit)
{
    atomic_fetch_add_explicit(&t->too_big, 1, memory_order_relaxed);
    atomic_store_explicit(&t->signalled, limit, memory_order_relaxed);
    dp_count(w, DT_DPC_OUT_TOO_BIG, 1);
    dp_icmp_error(w, k->p, k->len, limit);
}

static void count_out(struct dp_tunnel *t, uint64_t packets, uint64_t bytes)
{
    atomic_fetch_add_explicit(&t->tx_packets, packets, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->tx_bytes, bytes, memory_order_relaxed);
}

/* Where one packet's payload goes, and how much of its front stays behind (transport mode: the IP header). */
struct lane {
    struct dp_sa *sa;
    uint16_t skip;
    uint8_t next, tos;
    bool df;
};

static void segments_out(struct dp_worker *w, struct dp_tunnel *t, const struct lane *l,
                         const struct dt_segments *s)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < s->count; i++) {
        uint32_t len = dt_segment_len(s, i);
        uint8_t *p = dp_tx_room(w, l->sa, len - l->skip, l->next, l->tos, l->df);
        if (!p)
            return;
        if (l->skip == 0) {
            dt_segment(s, i, p);
        } else {
            dt_segment(s, i, w->scratch);
            memcpy(p, w->scratch + l->skip, len - l->skip);
        }
        bytes += len;
    }
    count_out(t, s->count, bytes);
}

static void single_out(struct dp_worker *w, struct dp_tunnel *t, const struct lane *l, struct out_packet *k)
{
    if (k->vnet.flags & DT_VNET_NEEDS_CSUM && !dt_vnet_checksum(&k->vnet, k->p, k->len)) {
        dp_count(w, DT_DPC_OUT_BAD, 1);
        return;
    }
    uint8_t *p = dp_tx_room(w, l->sa, k->len - l->skip, l->next, l->tos, l->df);
    if (!p)
        return;
    memcpy(p, k->p + l->skip, k->len - l->skip);
    count_out(t, 1, k->len);
}

static bool payload_fits(const struct dp_sa *sa, size_t payload)
{
    uint32_t mtu = atomic_load_explicit(&sa->mtu, memory_order_relaxed);
    const struct dp_route *r = rcu_dereference(sa->route);
    return mtu == 0 || dt_tunnel_outer_overhead(&r->path) + dt_esp_sealed_len(sa->out, payload) <= mtu;
}

static void packet_out(struct dp_worker *w, struct dp_tunnel *t, struct dp_sa *sa, struct out_packet *k)
{
    const struct dp_desc *d = rcu_dereference(t->desc);
    bool gso = k->vnet.gso_type != DT_VNET_GSO_NONE;
    struct dt_segments s;

    if (!dt_tunnel_selects(&sa->local, &sa->remote, true, &k->ip, &k->ports)) {
        atomic_fetch_add_explicit(&t->selector_drops, 1, memory_order_relaxed);
        dp_count(w, DT_DPC_OUT_SELECTOR, 1);
        dp_icmp_error(w, k->p, k->len, 0);
        return;
    }
    if (sa->mode == DT_ESP_TRANSPORT && (k->ip.fragment || k->ip.options)) {
        atomic_fetch_add_explicit(&t->fragment_drops, 1, memory_order_relaxed);
        dp_count(w, DT_DPC_OUT_FRAGMENT, 1);
        return;
    }
    if (gso && !dt_segments_init(&s, &k->vnet, k->p, k->len, k->ip.ver, k->ip.l4)) {
        dp_count(w, DT_DPC_OUT_BAD, 1);
        return;
    }
    uint32_t limit = inner_limit(w, sa, d, k->ip.ver);
    uint32_t largest = gso ? dt_segment_len(&s, 0) : (uint32_t)k->len;
    bool big = limit && largest > limit;
    if (big && (k->ip.df || gso)) {
        too_big(w, t, k, limit);
        return;
    }
    struct lane l = {
        .sa = sa,
        .skip = sa->mode == DT_ESP_TRANSPORT ? k->ip.l4 : 0,
        .next = sa->mode == DT_ESP_TRANSPORT ? k->ip.proto
                : k->ip.ver == 4             ? DT_NEXT_IPV4
                                             : DT_NEXT_IPV6,
        .tos = dt_tunnel_outer_tos(k->ip.tos, !d->t.copy_dscp_off),
        /* A packet that may be fragmented and is too long is fragmented outside, whatever is configured. */
        .df = !big && (d->t.df == DT_DP_DF_SET || (d->t.df == DT_DP_DF_COPY && k->ip.df)),
    };
    /* Below the least MTU that may be signalled (576, 1280) the outer packet is fragmented. */
    if (l.df && !payload_fits(sa, largest - l.skip))
        l.df = false;
    if (gso)
        segments_out(w, t, &l, &s);
    else
        single_out(w, t, &l, k);
}

static bool packet_classify(struct dp_worker *w, struct out_packet *k)
{
    if (!dt_ip_parse(&k->ip, k->p, k->len, true))
        return false;
    k->len = k->ip.total;
    k->ports.known = dt_ip_ports(&k->ip, k->p, k->len, &k->ports.sport, &k->ports.dport);
    if (k->ip.fragment)
        k->orphan = !dp_fragment_ports(w, 0, &k->ip, &k->ports);
    return true;
}

void dp_packet_out(struct dp_worker *w, struct dp_tunnel *t, struct dp_sa *sa, const struct dt_vnet *vnet,
                   uint8_t *packet, size_t len)
{
    struct out_packet k = {.vnet = *vnet, .p = packet, .len = len};
    if (packet_classify(w, &k))
        packet_out(w, t, sa, &k);
}

/* ---- which tunnel -------------------------------------------------------------------------------- */

/* The tunnel whose own outer packet this is (nested: it came back through the TUN device), or NULL. */
static struct dp_tunnel *sender_of(struct dt_dp *dp, const struct out_packet *k)
{
    size_t at = k->ip.l4;
    if (!k->ip.first_fragment)
        return NULL;
    if (k->ip.proto == DT_IPPROTO_UDP) {
        if (!k->ports.known || (k->ports.sport != dp->cfg.natt_port && k->ports.dport != dp->cfg.natt_port))
            return NULL;
        at += 8;
    } else if (k->ip.proto != DT_IPPROTO_ESP) {
        return NULL;
    }
    uint32_t spi = at < k->len ? dt_esp_peek_spi(k->p + at, k->len - at) : 0;
    struct dp_sa *sa = spi ? dp_sa_find_out(dp, spi, &k->ip.dst) : NULL;
    return sa ? sa->tunnel : NULL;
}

/* t is about to carry the outer packets of `inner`. True when t's own are, in the end, carried by `inner`. */
static bool closes_ring(struct dt_dp *dp, struct dp_tunnel *inner, struct dp_tunnel *t)
{
    unsigned gen = atomic_load_explicit(&dp->carrier_gen, memory_order_relaxed);
    struct dp_tunnel *at = t;

    for (int depth = 0; depth < DT_DP_DEPTH; depth++) {
        if (at == inner)
            return true;
        if (atomic_load_explicit(&at->carrier_gen, memory_order_relaxed) != gen)
            at = NULL;
        else
            at = dp_tunnel_find(dp, atomic_load_explicit(&at->carrier, memory_order_relaxed));
        if (!at) {
            atomic_store_explicit(&inner->carrier, t->id, memory_order_relaxed);
            atomic_store_explicit(&inner->carrier_gen, gen, memory_order_relaxed);
            return false;
        }
    }
    return true; /* too deep */
}

/* Has this pair of hosts raised no event a short while ago? One slot for several pairs: at worst one more event. */
static bool pair_is_new(struct dp_worker *w, const struct out_packet *k)
{
    struct dt_addr both[2] = {k->ip.src, k->ip.dst};
    unsigned long hash = dp_hash(w->dp, both, sizeof both);
    if (w->pair[hash % DP_PAIRS].hash == hash && w->now - w->pair[hash % DP_PAIRS].at < DT_DP_PAIR_AGAIN)
        return false;
    if (!dp_limit(w->now, PAIR_RATE, &w->need_tokens, &w->need_at))
        return false;
    w->pair[hash % DP_PAIRS].hash = hash;
    w->pair[hash % DP_PAIRS].at = w->now;
    return true;
}

static void need_tunnel(struct dp_worker *w, struct dp_tunnel *t, const struct out_packet *k)
{
    if (t && rcu_dereference(t->desc)->t.catch_all) {
        if (!pair_is_new(w, k))
            return;
    } else if (t) {
        uint64_t last = atomic_load_explicit(&t->need_at, memory_order_relaxed);
        if ((last && w->now - last < DT_SEC) || !atomic_compare_exchange_strong(&t->need_at, &last, w->now))
            return;
    } else if (!dp_limit(w->now, NEED_RATE, &w->need_tokens, &w->need_at)) {
        return;
    }
    dp_event(w, &(struct dt_dp_event){.kind = DT_DP_NEED_TUNNEL,
                                      .tunnel = t ? t->id : 0,
                                      .rule = k->rule,
                                      .flow = {.src = k->ip.src,
                                               .dst = k->ip.dst,
                                               .proto = k->ip.proto,
                                               .sport = k->ports.sport,
                                               .dport = k->ports.dport,
                                               .fragment = k->ports.later && !k->ports.known}});
}

/* Nobody knows its ports, so no tunnel can be said to carry it. It is counted at the one that would carry others of its
 * hosts and its protocol. No ICMP error may tell of a later fragment. */
static void orphan_dropped(struct dp_worker *w, const struct out_packet *k)
{
    struct dt_tunnel_ports whatever = {.whatever = true};
    struct dp_tunnel *t = dp_lookup(w->dp, &k->ip, &whatever, NULL);
    if (t)
        atomic_fetch_add_explicit(&t->fragment_drops, 1, memory_order_relaxed);
    dp_count(w, DT_DPC_OUT_ORPHAN, 1);
}

/* NULL: the packet is done with. */
static struct dp_tunnel *tunnel_choose(struct dp_worker *w, struct out_packet *k)
{
    struct dt_dp *dp = w->dp;
    struct dp_tunnel *inner = sender_of(dp, k), *t = NULL;

    if (dp->cfg.policy) {
        struct dt_dp_flow f = {k->ip.src,      k->ip.dst,      k->ip.proto,
                               k->ports.sport, k->ports.dport, k->ports.later && !k->ports.known};
        struct dt_dp_choice c = dp->cfg.policy(dp->cfg.policy_ctx, &f);
        k->rule = c.rule;
        if (c.tunnel == DT_DP_DISCARD) {
            dp_count(w, DT_DPC_OUT_DROP, 1);
            return NULL;
        }
        if (c.tunnel != DT_DP_BY_SELECTORS) {
            t = dp_tunnel_find(dp, c.tunnel);
            if (!t) {
                need_tunnel(w, NULL, k);
                dp_count(w, DT_DPC_OUT_NO_TUNNEL, 1);
                return NULL;
            }
        }
    }
    if (!t)
        t = dp_lookup(dp, &k->ip, &k->ports, inner);
    if (!t && k->orphan) {
        orphan_dropped(w, k);
        return NULL;
    }
    if (!t) {
        dp_count(w, DT_DPC_OUT_NO_TUNNEL, 1);
        dp_icmp_error(w, k->p, k->len, 0);
        return NULL;
    }
    if (inner && closes_ring(dp, inner, t)) {
        dp_count(w, DT_DPC_OUT_LOOP, 1);
        return NULL;
    }
    return t;
}

static void to_tunnel(struct dp_worker *w, struct dp_tunnel *t, struct out_packet *k)
{
    void *sa;
    enum dt_out_state state = dt_out_choose(&t->out, &sa);
    if (state == DT_OUT_SEND) {
        if (t->part[w->index].head)
            dp_release(w, t); /* what waited goes first */
        packet_out(w, t, sa, k);
        return;
    }
    if (state == DT_OUT_DROP) {
        atomic_fetch_add_explicit(&t->drops, 1, memory_order_relaxed);
        dp_count(w, DT_DPC_OUT_DROP, 1);
        dp_icmp_error(w, k->p, k->len, 0);
        return;
    }
    const struct dp_desc *d = rcu_dereference(t->desc);
    if (d->t.catch_all && d->t.no_hold)
        dp_count(w, DT_DPC_OUT_DROP, 1);
    else
        dp_hold(w, t, &k->vnet, k->p, k->len);
    if (d->t.on_demand || d->t.catch_all)
        need_tunnel(w, t, k);
}

bool dp_packet_again(struct dp_worker *w, const struct dp_tunnel *t, const struct dt_vnet *vnet,
                     uint8_t *packet, size_t len)
{
    struct out_packet k = {.vnet = *vnet, .p = packet, .len = len};
    struct dp_tunnel *now = packet_classify(w, &k) ? dp_lookup(w->dp, &k.ip, &k.ports, NULL) : NULL;
    if (!now || now == t || rcu_dereference(now->desc)->t.catch_all)
        return false;
    to_tunnel(w, now, &k);
    return true;
}

static void from_tun(struct dp_worker *w, uint8_t *buf, size_t n)
{
    struct out_packet k = {.p = buf + DT_VNET_LEN, .len = n - DT_VNET_LEN};

    dt_vnet_get(&k.vnet, buf);
    dp_count(w, DT_DPC_TUN_READ, 1);
    dp_count(w, DT_DPC_TUN_READ_BYTES, k.len);
    if (!packet_classify(w, &k)) {
        dp_count(w, DT_DPC_OUT_BAD, 1);
        return;
    }
    struct dp_tunnel *t = tunnel_choose(w, &k);
    if (t)
        to_tunnel(w, t, &k);
}

void dp_tun_readable(struct dp_worker *w)
{
    for (int budget = DP_BUDGET; budget > 0; budget--) {
        ssize_t n = read(w->tun, w->tunbuf, DP_TUN_BUF - 64);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != EIO) /* the device was taken away */
                epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->tun, NULL);
            break;
        }
        if (n <= DT_VNET_LEN)
            dp_count(w, DT_DPC_OUT_BAD, 1);
        else
            from_tun(w, w->tunbuf, (size_t)n);
    }
}
