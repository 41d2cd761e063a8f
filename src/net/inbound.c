/* From the sockets to the TUN device: datagrams apart, ESP opened in batches, inner packets checked. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/dp.h"
#include "net/outer.h"
#include "wire/esp.h"

#define NO_SA_RATE 8 /* events a second */

/* Where a datagram came from. */
struct from {
    struct dt_path path;
    uint8_t tos;
};

/* ---- inner packets ------------------------------------------------------------------------------- */

static void bad_inner(struct dp_worker *w, struct dp_sa *sa)
{
    atomic_fetch_add_explicit(&sa->bad_inner, 1, memory_order_relaxed);
    dp_count(w, DT_DPC_IN_BAD_INNER, 1);
}

static bool selected(struct dp_worker *w, struct dp_sa *sa, const struct dt_ip *ip,
                     const struct dt_tunnel_ports *ports)
{
    if (dt_tunnel_selects(&sa->local, &sa->remote, false, ip, ports))
        return true;
    atomic_fetch_add_explicit(&sa->selector_drops, 1, memory_order_relaxed);
    dp_count(w, DT_DPC_IN_SELECTOR, 1);
    return false;
}

static void tunnel_in(struct dp_worker *w, struct dp_sa *sa, struct dt_esp_pkt *k, const struct from *from)
{
    struct dt_ip ip;
    struct dt_tunnel_ports ports;
    uint8_t ecn;

    if (!dt_tunnel_inner_parse(k, &ip, &ports)) {
        bad_inner(w, sa);
        return;
    }
    if (ip.fragment && !dp_fragment_ports(w, sa->id, &ip, &ports) &&
        !dt_tunnel_selects(&sa->local, &sa->remote, false, &ip, &ports)) {
        dp_count(w, DT_DPC_IN_ORPHAN, 1);
        return;
    }
    if (!selected(w, sa, &ip, &ports))
        return;
    if (!dt_tunnel_decap_ecn(from->tos, ip.tos, &ecn, NULL)) {
        dp_count(w, DT_DPC_IN_ECN, 1);
        return;
    }
    if (ecn != (ip.tos & DT_ECN_MASK)) {
        ip.tos = (uint8_t)((ip.tos & ~DT_ECN_MASK) | ecn);
        dt_ip_set_tos(k->p, ip.tos);
    }
    if (dp_control_in(w, sa, k->p, k->len, &ip))
        return;
    dp_gro_add(w, k->p, ip.total, &ip);
}

/* RFC 3948 3.1.2: the checksum was made with the addresses before the NAT; they are put back. */
static void transport_in(struct dp_worker *w, struct dp_sa *sa, struct dt_esp_pkt *k, const struct from *from)
{
    const struct dt_addr *src = sa->inner_remote.ver ? &sa->inner_remote : &from->path.remote.addr;
    const struct dt_addr *dst = sa->inner_local.ver ? &sa->inner_local : &from->path.local.addr;
    uint8_t packet[DP_RAW_BUF + DT_IP6_HDR_LEN];
    struct dt_ip ip;
    struct dt_tunnel_ports ports = {.known = false};

    if (src->ver == 0 || src->ver != dst->ver || k->len > DP_RAW_BUF) {
        bad_inner(w, sa);
        return;
    }
    size_t hlen = dt_ip_put(packet, src, dst, k->next, 64, from->tos, k->len);
    memcpy(packet + hlen, k->p, k->len);
    if (!dt_ip_parse(&ip, packet, hlen + k->len, true)) {
        bad_inner(w, sa);
        return;
    }
    ports.known = dt_ip_ports(&ip, packet, ip.total, &ports.sport, &ports.dport);
    if (!selected(w, sa, &ip, &ports))
        return;
    if (!dp_control_in(w, sa, packet, ip.total, &ip))
        dp_tun_write(w, packet, ip.total);
}

/* ---- ESP ----------------------------------------------------------------------------------------- */

static void no_sa(struct dp_worker *w, uint32_t spi, const struct from *from, size_t n)
{
    dp_count(w, DT_DPC_IN_NO_SA, n);
    if (dp_limit(w->now, NO_SA_RATE, &w->no_sa_tokens, &w->no_sa_at))
        dp_event(w, &(struct dt_dp_event){.kind = DT_DP_NO_SA, .spi = spi, .path = from->path});
}

static bool same_place(const struct dt_path *a, const struct dt_path *b)
{
    return a->natt == b->natt && dt_addr_eq(&a->remote.addr, &b->remote.addr) &&
           (!a->natt || a->remote.port == b->remote.port);
}

/* The newest authentic packet says where the peer is. */
static void note_path(struct dp_worker *w, struct dp_sa *sa, uint64_t newest, const struct from *from)
{
    uint64_t high = atomic_load_explicit(&sa->high, memory_order_relaxed);
    if (newest <= high)
        return;
    atomic_store_explicit(&sa->high, newest, memory_order_relaxed);
    if (same_place(&rcu_dereference(sa->route)->path, &from->path))
        return;
    uint64_t last = atomic_load_explicit(&sa->moved_at, memory_order_relaxed);
    if ((last == 0 || w->now - last >= DT_SEC) &&
        atomic_compare_exchange_strong(&sa->moved_at, &last, w->now))
        dp_event(w,
                 &(struct dt_dp_event){
                     .kind = DT_DP_PATH_CHANGED, .sa = sa->id, .tunnel = sa->tunnel->id, .path = from->path});
}

static void tell_first(struct dp_worker *w, struct dp_sa *sa, const struct from *from)
{
    if (!dp_event(w, &(struct dt_dp_event){
                         .kind = DT_DP_FIRST, .sa = sa->id, .tunnel = sa->tunnel->id, .path = from->path}))
        dt_esp_first_untold(&sa->first);
}

/* Packets of one SPI, in the order of their arrival. */
static void open_batch(struct dp_worker *w, struct dt_esp_pkt *k, size_t n, const struct from *from)
{
    uint32_t spi = dt_esp_peek_spi(k[0].p, k[0].len);
    struct dp_sa *sa = dp_sa_find(w->dp, spi);
    uint64_t newest = 0, good = 0, bytes = 0;

    if (!sa) {
        no_sa(w, spi, from, n);
        return;
    }
    unsigned notes = dt_esp_open(sa->in, w->now, k, n);
    for (size_t i = 0; i < n; i++) {
        if (k[i].verdict <= DT_ESP_DUMMY) {
            newest = k[i].seq > newest ? k[i].seq : newest;
            good += k[i].verdict == DT_ESP_OK;
            bytes += k[i].verdict == DT_ESP_OK ? k[i].len : 0;
            dp_count(w, DT_DPC_IN_DUMMY, k[i].verdict == DT_ESP_DUMMY);
        } else {
            dp_count(w, DT_DPC_IN_ESP_ERROR, 1);
        }
    }
    if (newest && dt_esp_first_take(&sa->first, notes))
        tell_first(w, sa, from);
    note_path(w, sa, newest, from);
    if (good) {
        atomic_fetch_add_explicit(&sa->tunnel->rx_packets, good, memory_order_relaxed);
        atomic_fetch_add_explicit(&sa->tunnel->rx_bytes, bytes, memory_order_relaxed);
    }
    for (size_t i = 0; i < n; i++) {
        if (k[i].verdict == DT_ESP_DUMMY)
            dp_dummy_in(w, sa, k[i].p, k[i].len);
        if (k[i].verdict != DT_ESP_OK)
            continue;
        if (sa->mode == DT_ESP_TUNNEL)
            tunnel_in(w, sa, &k[i], from);
        else
            transport_in(w, sa, &k[i], from);
    }
}

/* ---- UDP ----------------------------------------------------------------------------------------- */

static void ike_in(struct dp_worker *w, const uint8_t *p, size_t len, const struct from *from)
{
    struct dt_dp *dp = w->dp;
    struct dt_dp_event ev = {.kind = DT_DP_IKE, .path = from->path, .len = len};

    dp_count(w, DT_DPC_IKE_IN, 1);
    if ((uint32_t)atomic_fetch_add(&dp->ike_queued, 1) >= dp->cfg.ike_queue || !(ev.data = malloc(len + 1))) {
        atomic_fetch_sub(&dp->ike_queued, 1);
        dp_count(w, DT_DPC_IKE_DROPPED, 1);
        return;
    }
    memcpy(ev.data, p, len);
    dp_event(w, &ev);
}

/* One buffer from the kernel: one datagram, or several of one size from one place. */
static void datagrams(struct dp_worker *w, uint8_t *p, size_t len, size_t size, const struct from *from)
{
    struct dt_esp_pkt k[DP_OPEN];
    uint32_t spi = 0;
    size_t n = 0;

    for (size_t at = 0; at < len; at += size) {
        size_t l = len - at < size ? len - at : size;
        dp_count(w, DT_DPC_RECEIVED, 1);
        switch (dt_natt_kind(p + at, l)) {
        case DT_NATT_ESP:
            if (n && (n == DP_OPEN || dt_get_be32(p + at) != spi)) {
                open_batch(w, k, n, from);
                n = 0;
            }
            spi = dt_get_be32(p + at);
            k[n++] = (struct dt_esp_pkt){.p = p + at, .len = (uint32_t)l};
            break;
        case DT_NATT_IKE:
            ike_in(w, p + at + DT_NON_ESP_MARKER, l - DT_NON_ESP_MARKER, from);
            break;
        case DT_NATT_KEEPALIVE:
            dp_count(w, DT_DPC_KEEPALIVE_IN, 1);
            break;
        case DT_NATT_SHORT:
            dp_count(w, DT_DPC_IN_SHORT, 1);
            break;
        }
    }
    if (n)
        open_batch(w, k, n, from);
    dp_count(w, DT_DPC_RECEIVED_BYTES, len);
}

/* ---- reading ------------------------------------------------------------------------------------- */

union control {
    struct cmsghdr align;
    char room[256];
};

struct in_call {
    struct mmsghdr msg[DP_RAW_BUFS];
    struct iovec iov[DP_RAW_BUFS];
    struct sockaddr_storage name[DP_RAW_BUFS];
    union control control[DP_RAW_BUFS];
};

static int receive(struct dp_worker *w, struct in_call *c, int fd, unsigned bufs, size_t size)
{
    for (unsigned i = 0; i < bufs; i++) {
        c->iov[i] = (struct iovec){.iov_base = w->rx + i * size, .iov_len = size};
        c->msg[i].msg_hdr = (struct msghdr){.msg_name = &c->name[i],
                                            .msg_namelen = sizeof c->name[i],
                                            .msg_iov = &c->iov[i],
                                            .msg_iovlen = 1,
                                            .msg_control = c->control[i].room,
                                            .msg_controllen = sizeof c->control[i].room};
    }
    return recvmmsg(fd, c->msg, bufs, 0, NULL);
}

void dp_udp_readable(struct dp_worker *w, struct dp_sock *s, uint8_t ver)
{
    struct in_call c;
    for (int budget = DP_BUDGET / DP_RX_BUFS + 1; budget > 0; budget--) {
        int n = receive(w, &c, s->fd, DP_RX_BUFS, DP_RX_BUF);
        for (int i = 0; i < n; i++) {
            struct dt_outer_meta m;
            struct from from = {.path.natt = true};
            size_t len = c.msg[i].msg_len;
            dt_outer_parse(&m, &c.msg[i].msg_hdr);
            dt_outer_sockaddr(&from.path.remote, &c.name[i]);
            from.path.local = (struct dt_addrport){.addr = m.local, .port = w->dp->cfg.natt_port};
            from.tos = m.tos;
            if (len == 0 || c.msg[i].msg_hdr.msg_flags & MSG_TRUNC)
                dp_count(w, DT_DPC_IN_SHORT, 1);
            else
                datagrams(w, c.iov[i].iov_base, len, m.gso ? m.gso : len, &from);
        }
        dp_gro_flush(w); /* the buffers are filled anew */
        if (n < DP_RX_BUFS)
            return;
    }
}

/* An IPv4 raw socket gives the IP header too. */
static uint8_t *raw_payload(struct from *from, uint8_t ver, uint8_t *p, size_t *len,
                            const struct dt_outer_meta *m)
{
    from->tos = m->tos;
    if (ver == 6)
        return p;
    size_t hlen = *len < DT_IP4_HDR_LEN ? 0 : (size_t)(p[0] & 15) * 4;
    if (hlen < DT_IP4_HDR_LEN || hlen > *len)
        return NULL;
    from->tos = p[1];
    from->path.local.addr = dt_addr4_bytes(p + 16);
    *len -= hlen;
    return p + hlen;
}

void dp_esp_readable(struct dp_worker *w, struct dp_sock *s, uint8_t ver)
{
    struct in_call c;
    struct dt_esp_pkt k[DP_OPEN];
    struct from from = {.tos = 0}, next = {.tos = 0};

    for (int budget = DP_BUDGET / 4; budget > 0; budget--) {
        int n = receive(w, &c, s->fd, DP_RAW_BUFS, DP_RAW_BUF);
        size_t m = 0;
        for (int i = 0; i < n; i++) {
            struct dt_outer_meta meta;
            size_t len = c.msg[i].msg_len;
            dt_outer_parse(&meta, &c.msg[i].msg_hdr);
            memset(&next.path, 0, sizeof next.path);
            next.path.local.addr = meta.local;
            dt_outer_sockaddr(&next.path.remote, &c.name[i]);
            next.path.remote.port = 0;
            uint8_t *p = raw_payload(&next, ver, c.iov[i].iov_base, &len, &meta);
            dp_count(w, DT_DPC_RECEIVED, 1);
            dp_count(w, DT_DPC_RECEIVED_BYTES, len);
            if (!p || len < DT_ESP_HDR_LEN || c.msg[i].msg_hdr.msg_flags & MSG_TRUNC) {
                dp_count(w, DT_DPC_IN_SHORT, 1);
                continue;
            }
            if (m && (m == DP_OPEN || dt_get_be32(p) != dt_get_be32(k[m - 1].p) || next.tos != from.tos ||
                      !dt_path_eq(&next.path, &from.path))) {
                open_batch(w, k, m, &from);
                m = 0;
            }
            from = next;
            k[m++] = (struct dt_esp_pkt){.p = p, .len = (uint32_t)len};
        }
        if (m)
            open_batch(w, k, m, &from);
        dp_gro_flush(w);
        if (n < DP_RAW_BUFS)
            return;
    }
}
