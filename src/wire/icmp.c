#include "wire/icmp.h"

#include "wire/checksum.h"
#include "wire/ip.h"

/* Over the pseudo-header too where ICMPv6 wants it. */
static uint64_t icmp_sum(const struct dt_addr *src, const struct dt_addr *dst, const uint8_t *icmp,
                         size_t len)
{
    uint64_t sum = src->ver == 6 ? dt_csum_pseudo(src->b, dst->b, 16, DT_IPPROTO_ICMP6, (uint32_t)len) : 0;
    return dt_csum_add(sum, icmp, len);
}

/* An echo request quoted by a time-exceeded: the quote may be cut behind the first 8 bytes of ICMP. */
static bool quoted_request(struct dt_echo *e, uint8_t ver, const uint8_t *q, size_t len)
{
    size_t hlen = ver == 4 ? DT_IP4_HDR_LEN : DT_IP6_HDR_LEN;
    if (len < hlen || q[0] >> 4 != ver)
        return false;
    if (ver == 4)
        hlen = (size_t)(q[0] & 15) * 4;
    if (hlen < DT_IP4_HDR_LEN || len < hlen + DT_ICMP_HDR_LEN)
        return false;
    const uint8_t *icmp = q + hlen;
    if (ver == 4 ? q[9] != DT_IPPROTO_ICMP || icmp[0] != DT_ICMP_ECHO
                 : q[6] != DT_IPPROTO_ICMP6 || icmp[0] != DT_ICMP6_ECHO)
        return false;
    e->target = ver == 4 ? dt_addr4_bytes(q + 16) : dt_addr6_bytes(q + 24);
    e->ident = dt_get_be16(icmp + 4);
    e->seq = dt_get_be16(icmp + 6);
    return true;
}

enum dt_echo_kind dt_echo_parse(struct dt_echo *e, const void *packet, size_t len)
{
    struct dt_ip ip;
    if (!dt_ip_parse(&ip, packet, len, true) || ip.fragment)
        return DT_ECHO_NONE;
    if (ip.proto != (ip.ver == 4 ? DT_IPPROTO_ICMP : DT_IPPROTO_ICMP6) || ip.total < ip.l4 + DT_ICMP_HDR_LEN)
        return DT_ECHO_NONE;

    const uint8_t *icmp = (const uint8_t *)packet + ip.l4;
    size_t left = ip.total - ip.l4;
    bool v4 = ip.ver == 4;
    enum dt_echo_kind kind = DT_ECHO_NONE;
    if (icmp[0] == (v4 ? DT_ICMP_ECHO : DT_ICMP6_ECHO))
        kind = DT_ECHO_REQUEST;
    else if (icmp[0] == (v4 ? DT_ICMP_ECHO_REPLY : DT_ICMP6_ECHO_REPLY))
        kind = DT_ECHO_REPLY;
    else if (icmp[0] == (v4 ? DT_ICMP_TIME_EXCEEDED : DT_ICMP6_TIME_EXCEEDED))
        kind = DT_ECHO_EXCEEDED;
    if (kind == DT_ECHO_NONE || icmp[1] != 0 || dt_csum_finish(icmp_sum(&ip.src, &ip.dst, icmp, left)) != 0)
        return DT_ECHO_NONE;

    e->src = ip.src;
    e->dst = ip.dst;
    e->ttl = ip.ttl;
    if (kind == DT_ECHO_EXCEEDED)
        return quoted_request(e, ip.ver, icmp + DT_ICMP_HDR_LEN, left - DT_ICMP_HDR_LEN) ? kind
                                                                                         : DT_ECHO_NONE;
    e->target = kind == DT_ECHO_REPLY ? ip.src : ip.dst;
    e->ident = dt_get_be16(icmp + 4);
    e->seq = dt_get_be16(icmp + 6);
    return kind;
}

size_t dt_echo_make(void *out, size_t cap, bool reply, const struct dt_addr *src, const struct dt_addr *dst,
                    uint16_t ident, uint16_t seq, uint8_t ttl, size_t data)
{
    bool v4 = src->ver == 4;
    size_t hlen = v4 ? DT_IP4_HDR_LEN : DT_IP6_HDR_LEN;
    if ((src->ver != 4 && src->ver != 6) || src->ver != dst->ver || data > 0xffff - 64 ||
        cap < hlen + DT_ICMP_HDR_LEN + data)
        return 0;
    dt_ip_put(out, src, dst, v4 ? DT_IPPROTO_ICMP : DT_IPPROTO_ICMP6, ttl, 0, DT_ICMP_HDR_LEN + data);
    uint8_t *icmp = (uint8_t *)out + hlen;
    memset(icmp, 0, DT_ICMP_HDR_LEN);
    if (reply)
        icmp[0] = v4 ? DT_ICMP_ECHO_REPLY : DT_ICMP6_ECHO_REPLY;
    else
        icmp[0] = v4 ? DT_ICMP_ECHO : DT_ICMP6_ECHO;
    dt_put_be16(icmp + 4, ident);
    dt_put_be16(icmp + 6, seq);
    for (size_t i = 0; i < data; i++)
        icmp[DT_ICMP_HDR_LEN + i] = (uint8_t)i;
    dt_csum_put(icmp + 2, icmp_sum(src, dst, icmp, DT_ICMP_HDR_LEN + data));
    return hlen + DT_ICMP_HDR_LEN + data;
}

void dt_echo_answer(void *packet, size_t len)
{
    struct dt_ip ip;
    uint8_t *p = packet;
    if (!dt_ip_parse(&ip, packet, len, true) || ip.total < ip.l4 + DT_ICMP_HDR_LEN)
        return;
    uint8_t *icmp = p + ip.l4;
    icmp[0] = ip.ver == 4 ? DT_ICMP_ECHO_REPLY : DT_ICMP6_ECHO_REPLY;
    dt_put_be16(icmp + 2, 0);
    size_t src = ip.ver == 4 ? 12 : 8, alen = dt_addr_size(&ip.src);
    memcpy(p + src, ip.dst.b, alen);
    memcpy(p + src + alen, ip.src.b, alen);
    p[ip.ver == 4 ? 8 : 7] = 64;
    if (ip.ver == 4)
        dt_ip4_checksum(p);
    dt_csum_put(icmp + 2, icmp_sum(&ip.dst, &ip.src, icmp, ip.total - ip.l4));
}

static bool is_multicast(const struct dt_addr *a)
{
    return a->ver == 4 ? a->b[0] >= 224 : a->b[0] == 0xff;
}

/* No error about an ICMP error. */
static bool is_icmp_error(const struct dt_ip *ip, const uint8_t *packet, size_t len)
{
    if (ip->proto != (ip->ver == 4 ? DT_IPPROTO_ICMP : DT_IPPROTO_ICMP6))
        return false;
    if (len <= ip->l4)
        return true; /* cut: cannot be known */
    uint8_t type = packet[ip->l4];
    return ip->ver == 6 ? type < 128 : type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

size_t dt_icmp_error_make(void *out, size_t cap, const struct dt_addr *from, const void *packet, size_t len,
                          uint32_t mtu)
{
    struct dt_ip ip;
    if (!dt_ip_parse(&ip, packet, len, true) || from->ver != ip.ver)
        return 0;
    if (!ip.first_fragment || is_multicast(&ip.src) || dt_addr_is_any(&ip.src) ||
        is_icmp_error(&ip, packet, len))
        return 0;
    /* RFC 4443 2.4 (e.3): "too big" alone may answer a packet to a multicast address. */
    if (is_multicast(&ip.dst) && !(ip.ver == 6 && mtu))
        return 0;

    bool v4 = ip.ver == 4;
    size_t hlen = v4 ? DT_IP4_HDR_LEN : DT_IP6_HDR_LEN, most = v4 ? 576 : 1280;
    size_t quote = ip.total < most - hlen - DT_ICMP_HDR_LEN ? ip.total : most - hlen - DT_ICMP_HDR_LEN;
    if (cap < hlen + DT_ICMP_HDR_LEN + quote)
        return 0;
    dt_ip_put(out, from, &ip.src, v4 ? DT_IPPROTO_ICMP : DT_IPPROTO_ICMP6, 64, 0, DT_ICMP_HDR_LEN + quote);
    uint8_t *icmp = (uint8_t *)out + hlen;
    memset(icmp, 0, DT_ICMP_HDR_LEN);
    if (v4) {
        icmp[0] = DT_ICMP_UNREACHABLE;
        icmp[1] = mtu ? 4 : 13;
        dt_put_be16(icmp + 6, mtu > 0xffff ? 0xffff : (uint16_t)mtu);
    } else {
        icmp[0] = mtu ? DT_ICMP6_TOO_BIG : DT_ICMP6_UNREACHABLE;
        icmp[1] = mtu ? 0 : 1;
        dt_put_be32(icmp + 4, mtu);
    }
    memcpy(icmp + DT_ICMP_HDR_LEN, packet, quote);
    dt_csum_put(icmp + 2, icmp_sum(from, &ip.src, icmp, DT_ICMP_HDR_LEN + quote));
    return hlen + DT_ICMP_HDR_LEN + quote;
}
