/* Inner packets on their way to the TUN device: consecutive segments of one flow are put together into a
 * super-packet, as the kernel's GRO would, so that the host walks its stack once for all of them. Nothing is copied:
 * the super-packet is gathered from where its segments were decrypted. */
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/dp.h"
#include "wire/checksum.h"

#define TCP_ACK 0x10
#define TCP_PSH 0x08

static void tun_write(struct dp_worker *w, const struct iovec *iov, int n, size_t bytes)
{
    if (writev(w->tun, iov, n) < 0) {
        dp_count(w, DT_DPC_TUN_WRITE_FAILED, 1);
        return;
    }
    dp_count(w, DT_DPC_TUN_WRITTEN, 1);
    dp_count(w, DT_DPC_TUN_WRITTEN_BYTES, bytes);
}

static void write_plain(struct dp_worker *w, const uint8_t *packet, size_t len, uint8_t flags)
{
    uint8_t head[DT_VNET_LEN];
    struct dt_vnet v = {.flags = flags};
    dt_vnet_put(head, &v);
    struct iovec iov[2] = {{.iov_base = head, .iov_len = sizeof head},
                           {.iov_base = (void *)(uintptr_t)packet, .iov_len = len}};
    tun_write(w, iov, 2, len);
}

void dp_tun_write(struct dp_worker *w, const uint8_t *packet, size_t len)
{
    write_plain(w, packet, len, 0);
}

/* ---- writing a flow ------------------------------------------------------------------------------ */

static void patch_headers(struct dp_gro *g, bool v4)
{
    uint8_t *ip = g->head, *l4 = ip + g->l4;
    uint32_t l4len = g->total - g->l4;
    size_t alen = v4 ? 4 : 16;
    const uint8_t *src = ip + (v4 ? 12 : 8);

    if (v4) {
        dt_put_be16(ip + 2, (uint16_t)g->total);
        dt_ip4_checksum(ip);
    } else {
        dt_put_be16(ip + 4, (uint16_t)(g->total - DT_IP6_HDR_LEN));
    }
    if (g->proto == DT_IPPROTO_UDP)
        dt_put_be16(l4 + 4, (uint16_t)l4len);
    /* Checksum partial: the sum of the pseudo-header, not complemented. */
    uint16_t sum = dt_csum_fold(dt_csum_pseudo(src, src + alen, alen, g->proto, l4len));
    memcpy(l4 + (g->proto == DT_IPPROTO_TCP ? 16 : 6), &sum, 2);
}

static void flush_flow(struct dp_worker *w, struct dp_gro *g)
{
    if (g->proto == 0)
        return;
    if (g->segs == 1) {
        write_plain(w, g->head, g->total, DT_VNET_DATA_VALID);
        g->proto = 0;
        return;
    }
    bool v4 = g->head[0] >> 4 == 4, tcp = g->proto == DT_IPPROTO_TCP;
    struct dt_vnet v = {
        .flags = DT_VNET_NEEDS_CSUM,
        .gso_type = !tcp ? DT_VNET_GSO_UDP_L4
                    : v4 ? DT_VNET_GSO_TCPV4
                         : DT_VNET_GSO_TCPV6,
        .hdr_len = g->hlen,
        .gso_size = g->size,
        .csum_start = g->l4,
        .csum_offset = tcp ? 16 : 6,
    };
    uint8_t head[DT_VNET_LEN];
    struct iovec iov[DP_GRO_SEGS + 2];
    int n = 0;

    patch_headers(g, v4);
    dt_vnet_put(head, &v);
    iov[n++] = (struct iovec){.iov_base = head, .iov_len = sizeof head};
    iov[n++] = (struct iovec){.iov_base = g->head, .iov_len = (size_t)g->hlen + g->seg[0].len};
    for (unsigned i = 1; i < g->segs; i++)
        iov[n++] = (struct iovec){.iov_base = g->seg[i].p, .iov_len = g->seg[i].len};
    tun_write(w, iov, n, g->total);
    dp_count(w, DT_DPC_COALESCED, g->segs);
    g->proto = 0;
}

void dp_gro_flush(struct dp_worker *w)
{
    for (int i = 0; i < DP_GRO_FLOWS; i++)
        flush_flow(w, &w->gro[i]);
}

/* ---- collecting ---------------------------------------------------------------------------------- */

static bool same_flow(const struct dp_gro *g, const uint8_t *p, const struct dt_ip *ip)
{
    size_t off = ip->ver == 4 ? 12 : 8, alen = ip->ver == 4 ? 8 : 32;
    return g->proto == ip->proto && g->l4 == ip->l4 && g->head[0] >> 4 == ip->ver &&
           !memcmp(g->head + off, p + off, alen) && !memcmp(g->head + g->l4, p + ip->l4, 4);
}

/* The same headers but for lengths, ids, sequence numbers and checksums. */
static bool same_headers(const struct dp_gro *g, const uint8_t *p, const struct dt_ip *ip, uint16_t hlen)
{
    const uint8_t *h = g->head, *a = h + g->l4, *b = p + ip->l4;
    if (g->hlen != hlen)
        return false;
    if (ip->ver == 4) {
        if (h[1] != p[1] || memcmp(h + 6, p + 6, 3) != 0 || (!ip->df && dt_get_be16(p + 4) != g->id_next))
            return false;
    } else if (memcmp(h, p, 4) != 0 || h[7] != p[7]) {
        return false;
    }
    if (g->proto == DT_IPPROTO_UDP)
        return true;
    /* ack number, data offset, flags but PSH, window, options */
    return !memcmp(a + 8, b + 8, 5) && (a[13] | TCP_PSH) == (b[13] | TCP_PSH) && !memcmp(a + 14, b + 14, 2) &&
           !memcmp(a + 18, b + 18, hlen - g->l4 - 18u);
}

static bool checksum_ok(const uint8_t *p, const struct dt_ip *ip)
{
    uint32_t l4len = ip->total - ip->l4;
    size_t alen = ip->ver == 4 ? 4 : 16;
    const uint8_t *src = p + (ip->ver == 4 ? 12 : 8);
    return dt_csum_finish(
               dt_csum_add(dt_csum_pseudo(src, src + alen, alen, ip->proto, l4len), p + ip->l4, l4len)) == 0;
}

/* Bytes of IP and transport header when this packet may be part of a super-packet; else 0. */
static uint16_t mergeable(const struct dp_worker *w, const uint8_t *p, const struct dt_ip *ip)
{
    const uint8_t *l4 = p + ip->l4;
    if (ip->fragment || ip->options || w->dp->cfg.no_gso)
        return 0;
    if (ip->proto == DT_IPPROTO_TCP) {
        if (ip->total < ip->l4 + 20u)
            return 0;
        uint16_t hlen = (uint16_t)(ip->l4 + (l4[12] >> 4) * 4);
        if (hlen < ip->l4 + 20 || hlen >= ip->total || (l4[13] & ~(unsigned)TCP_PSH) != TCP_ACK)
            return 0;
        return hlen;
    }
    if (ip->proto == DT_IPPROTO_UDP && w->dp->uso && ip->total > ip->l4 + 8u && dt_get_be16(l4 + 6) != 0 &&
        dt_get_be16(l4 + 4) == ip->total - ip->l4)
        return (uint16_t)(ip->l4 + 8);
    return 0;
}

static bool append(struct dp_gro *g, uint8_t *p, const struct dt_ip *ip, uint16_t hlen)
{
    uint32_t len = ip->total - hlen;
    uint8_t *l4 = p + ip->l4;
    bool tcp = ip->proto == DT_IPPROTO_TCP;

    if (g->closed || g->segs == DP_GRO_SEGS || len > g->size || g->total + len > DP_PACKET_MAX ||
        (tcp && dt_get_be32(l4 + 4) != g->seq_next) || !same_headers(g, p, ip, hlen))
        return false;
    g->seg[g->segs].p = p + hlen;
    g->seg[g->segs].len = len;
    g->segs++;
    g->total += len;
    g->seq_next += len;
    g->id_next++;
    if (tcp && l4[13] & TCP_PSH) {
        g->head[g->l4 + 13] |= TCP_PSH;
        g->closed = true;
    }
    if (len < g->size)
        g->closed = true;
    return true;
}

static void gro_begin(struct dp_gro *g, uint8_t *p, const struct dt_ip *ip, uint16_t hlen)
{
    const uint8_t *l4 = p + ip->l4;
    bool tcp = ip->proto == DT_IPPROTO_TCP;
    uint32_t len = ip->total - hlen;

    g->head = p;
    g->hlen = hlen;
    g->l4 = (uint8_t)ip->l4;
    g->proto = ip->proto;
    g->size = (uint16_t)len;
    g->segs = 1;
    g->seq_next = tcp ? dt_get_be32(l4 + 4) + len : 0;
    g->id_next = ip->ver == 4 ? (uint16_t)(dt_get_be16(p + 4) + 1) : 0;
    g->total = ip->total;
    g->closed = tcp && l4[13] & TCP_PSH;
    g->seg[0].p = p + hlen;
    g->seg[0].len = len;
}

void dp_gro_add(struct dp_worker *w, uint8_t *p, size_t len, const struct dt_ip *ip)
{
    uint16_t hlen = mergeable(w, p, ip);
    struct dp_gro *g = NULL, *spare = NULL;

    if (ip->proto == DT_IPPROTO_TCP || ip->proto == DT_IPPROTO_UDP)
        for (int i = 0; i < DP_GRO_FLOWS && !g; i++) {
            if (w->gro[i].proto == 0)
                spare = &w->gro[i];
            else if (ip->total >= ip->l4 + 4u && same_flow(&w->gro[i], p, ip))
                g = &w->gro[i];
        }
    bool good = hlen && checksum_ok(p, ip);
    if (g && good && append(g, p, ip, hlen))
        return;
    if (g) { /* order within the flow */
        flush_flow(w, g);
        spare = g;
    }
    if (!good) {
        write_plain(w, p, len, 0);
        return;
    }
    if (!spare) {
        spare = &w->gro[w->gro_next++ % DP_GRO_FLOWS];
        flush_flow(w, spare);
    }
    gro_begin(spare, p, ip, hlen);
}
