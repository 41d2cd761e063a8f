#include "wire/ip.h"

#include "base/bytes.h"
#include "wire/checksum.h"

#define EXT_HEADERS_MAX 8

static bool parse4(struct dt_ip *ip, const uint8_t *p, size_t len, bool trusted)
{
    if (len < DT_IP4_HDR_LEN)
        return false;
    size_t hlen = (size_t)(p[0] & 15) * 4;
    uint16_t total = dt_get_be16(p + 2);
    if (hlen < DT_IP4_HDR_LEN || hlen > total || total > len)
        return false;
    if (!trusted && dt_csum_finish(dt_csum_add(0, p, hlen)) != 0)
        return false;
    uint16_t frag = dt_get_be16(p + 6);
    ip->ver = 4;
    ip->proto = p[9];
    ip->tos = p[1];
    ip->ttl = p[8];
    ip->df = frag & 0x4000;
    ip->fragment = frag & 0x3fff;
    ip->first_fragment = !(frag & 0x1fff);
    ip->fragment_id = ip->fragment ? dt_get_be16(p + 4) : 0;
    ip->options = hlen > DT_IP4_HDR_LEN;
    ip->l4 = (uint16_t)hlen;
    ip->total = total;
    ip->src = ip->dst = (struct dt_addr){.ver = 4};
    memcpy(ip->src.b, p + 12, 4);
    memcpy(ip->dst.b, p + 16, 4);
    return true;
}

/* Hop-by-hop, routing, destination options, mobility, fragment and authentication headers are stepped over. */
static bool skip_extensions(struct dt_ip *ip, const uint8_t *p)
{
    uint32_t off = DT_IP6_HDR_LEN;
    uint8_t next = p[6];

    for (int i = 0; i <= EXT_HEADERS_MAX; i++) {
        uint32_t hlen;
        if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60 && next != 135) {
            ip->proto = next;
            ip->l4 = (uint16_t)off;
            ip->options = i > 0;
            return true;
        }
        if (off + 8 > ip->total)
            return false;
        if (next == 44) {
            hlen = 8;
            ip->fragment = true;
            ip->first_fragment = !(dt_get_be16(p + off + 2) & 0xfff8);
            ip->fragment_id = dt_get_be32(p + off + 4);
        } else if (next == 51) {
            hlen = ((uint32_t)p[off + 1] + 2) * 4;
        } else {
            hlen = ((uint32_t)p[off + 1] + 1) * 8;
        }
        next = p[off];
        off += hlen;
        if (off > ip->total)
            return false;
        if (ip->fragment && !ip->first_fragment) { /* what follows is the middle of something */
            ip->proto = next;
            ip->l4 = (uint16_t)off;
            ip->options = true;
            return true;
        }
    }
    return false;
}

static bool parse6(struct dt_ip *ip, const uint8_t *p, size_t len)
{
    if (len < DT_IP6_HDR_LEN)
        return false;
    uint32_t total = DT_IP6_HDR_LEN + (uint32_t)dt_get_be16(p + 4);
    if (total > len)
        return false;
    ip->ver = 6;
    ip->tos = (uint8_t)(p[0] << 4 | p[1] >> 4);
    ip->ttl = p[7];
    ip->df = true;
    ip->fragment = false;
    ip->first_fragment = true;
    ip->fragment_id = 0;
    ip->total = total;
    ip->src = dt_addr6_bytes(p + 8);
    ip->dst = dt_addr6_bytes(p + 24);
    return skip_extensions(ip, p);
}

bool dt_ip_parse(struct dt_ip *ip, const void *packet, size_t len, bool trusted)
{
    const uint8_t *p = packet;
    if (len == 0)
        return false;
    switch (p[0] >> 4) {
    case 4:
        return parse4(ip, p, len, trusted);
    case 6:
        return parse6(ip, p, len);
    default:
        return false;
    }
}

bool dt_ip_ports(const struct dt_ip *ip, const void *packet, size_t len, uint16_t *sport, uint16_t *dport)
{
    const uint8_t *l4 = (const uint8_t *)packet + ip->l4;
    size_t left = ip->total < len ? ip->total : len;

    left = left > ip->l4 ? left - ip->l4 : 0;
    *sport = *dport = 0;
    if (!ip->first_fragment)
        return false;
    switch (ip->proto) {
    case DT_IPPROTO_ICMP:
    case DT_IPPROTO_ICMP6:
        if (left < 2)
            return false;
        *sport = *dport = dt_get_be16(l4);
        return true;
    case DT_IPPROTO_TCP:
    case DT_IPPROTO_UDP:
    case 33:  /* DCCP */
    case 132: /* SCTP */
    case 136: /* UDP-Lite */
        if (left < 4)
            return false;
        *sport = dt_get_be16(l4);
        *dport = dt_get_be16(l4 + 2);
        return true;
    default:
        return false;
    }
}

void dt_ip4_checksum(void *packet)
{
    uint8_t *p = packet;
    dt_put_be16(p + 10, 0);
    dt_csum_put(p + 10, dt_csum_add(0, p, (size_t)(p[0] & 15) * 4));
}

size_t dt_ip_put(void *packet, const struct dt_addr *src, const struct dt_addr *dst, uint8_t proto,
                 uint8_t ttl, uint8_t tos, size_t payload)
{
    uint8_t *p = packet;
    if (src->ver == 4) {
        memset(p, 0, DT_IP4_HDR_LEN);
        p[0] = 0x45;
        p[1] = tos;
        dt_put_be16(p + 2, (uint16_t)(DT_IP4_HDR_LEN + payload));
        dt_put_be16(p + 6, 0x4000);
        p[8] = ttl;
        p[9] = proto;
        memcpy(p + 12, src->b, 4);
        memcpy(p + 16, dst->b, 4);
        dt_ip4_checksum(p);
        return DT_IP4_HDR_LEN;
    }
    dt_put_be32(p, 6u << 28 | (uint32_t)tos << 20);
    dt_put_be16(p + 4, (uint16_t)payload);
    p[6] = proto;
    p[7] = ttl;
    memcpy(p + 8, src->b, 16);
    memcpy(p + 24, dst->b, 16);
    return DT_IP6_HDR_LEN;
}

uint8_t dt_ip_tos(const void *packet)
{
    const uint8_t *p = packet;
    return p[0] >> 4 == 4 ? p[1] : (uint8_t)(p[0] << 4 | p[1] >> 4);
}

void dt_ip_set_tos(void *packet, uint8_t tos)
{
    uint8_t *p = packet;
    if (p[0] >> 4 == 4) {
        uint16_t before, after, check;
        memcpy(&before, p, 2);
        p[1] = tos;
        memcpy(&after, p, 2);
        memcpy(&check, p + 10, 2);
        check = dt_csum_update(check, before, after);
        memcpy(p + 10, &check, 2);
    } else {
        p[0] = (uint8_t)((p[0] & 0xf0) | tos >> 4);
        p[1] = (uint8_t)((p[1] & 0x0f) | tos << 4);
    }
}
