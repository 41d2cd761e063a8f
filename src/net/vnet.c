#include "net/vnet.h"

#include <endian.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"

#define TCP_HDR_LEN 20
#define TCP_FIN     0x01
#define TCP_PSH     0x08
#define TCP_CWR     0x80

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

void dt_vnet_get(struct dt_vnet *v, const void *from)
{
    const uint8_t *p = from;
    v->flags = p[0];
    v->gso_type = p[1];
    v->hdr_len = le16(p + 2);
    v->gso_size = le16(p + 4);
    v->csum_start = le16(p + 6);
    v->csum_offset = le16(p + 8);
}

void dt_vnet_put(void *to, const struct dt_vnet *v)
{
    uint8_t *p = to;
    p[0] = v->flags;
    p[1] = v->gso_type;
    put_le16(p + 2, v->hdr_len);
    put_le16(p + 4, v->gso_size);
    put_le16(p + 6, v->csum_start);
    put_le16(p + 8, v->csum_offset);
}

bool dt_segments_init(struct dt_segments *s, const struct dt_vnet *v, const uint8_t *packet, size_t len,
                      uint8_t ver, uint16_t l3)
{
    unsigned type = v->gso_type & ~(unsigned)DT_VNET_GSO_ECN;
    bool tcp = type == (ver == 4 ? DT_VNET_GSO_TCPV4 : DT_VNET_GSO_TCPV6);

    if ((!tcp && type != DT_VNET_GSO_UDP_L4) || v->gso_size == 0 || len > 65535 || l3 < (ver == 4 ? 20 : 40))
        return false;
    if (len < (size_t)l3 + (tcp ? TCP_HDR_LEN : 8))
        return false;
    size_t l4 = tcp ? (size_t)(packet[l3 + 12] >> 4) * 4 : 8;
    if ((tcp && l4 < TCP_HDR_LEN) || len <= l3 + l4)
        return false;
    s->packet = packet;
    s->len = (uint32_t)len;
    s->l3 = l3;
    s->hlen = (uint16_t)(l3 + l4);
    s->size = v->gso_size;
    s->count = (uint16_t)((len - s->hlen + s->size - 1) / s->size);
    s->ver = ver;
    s->tcp = tcp;
    s->proto = tcp ? DT_IPPROTO_TCP : DT_IPPROTO_UDP;
    size_t alen = ver == 4 ? 4 : 16;
    const uint8_t *src = packet + (ver == 4 ? 12 : 8);
    const uint8_t *t = packet + l3;
    s->ip_sum = 0;
    if (ver == 4) {
        s->ip_sum = dt_csum_add(0, packet, 2);
        s->ip_sum = dt_csum_add(s->ip_sum, packet + 6, 4);
        s->ip_sum = dt_csum_add(s->ip_sum, packet + 12, l3 - 12u);
    }
    s->l4_sum = dt_csum_add(dt_csum_pseudo(src, src + alen, alen, s->proto, 0), t, 4);
    if (tcp) {
        s->l4_sum = dt_csum_add(s->l4_sum, t + 8, 4);
        s->l4_sum = dt_csum_add(s->l4_sum, t + 14, 2);
        s->l4_sum = dt_csum_add(s->l4_sum, t + 18, l4 - 18);
    }
    return true;
}

uint32_t dt_segment_len(const struct dt_segments *s, unsigned i)
{
    uint32_t payload = s->len - s->hlen;
    return s->hlen + (i + 1u < s->count ? s->size : payload - (uint32_t)i * s->size);
}

/* Nothing that was just written is read back: sums come from the original and from what changes. */
void dt_segment(const struct dt_segments *s, unsigned i, uint8_t *out)
{
    uint32_t len = dt_segment_len(s, i), l4len = len - s->l3;
    uint8_t *l4 = out + s->l3;
    const uint8_t *t = s->packet + s->l3;
    bool last = i + 1u == s->count;
    uint64_t sum = s->l4_sum + dt_csum_word((uint16_t)l4len);

    memcpy(out, s->packet, s->hlen);
    if (s->ver == 4) {
        uint16_t id = (uint16_t)(dt_get_be16(s->packet + 4) + i);
        dt_put_be16(out + 2, (uint16_t)len);
        dt_put_be16(out + 4, id);
        dt_csum_put(out + 10, s->ip_sum + dt_csum_word((uint16_t)len) + dt_csum_word(id));
    } else {
        dt_put_be16(out + 4, (uint16_t)(len - DT_IP6_HDR_LEN));
    }
    if (s->tcp) {
        uint32_t seq = dt_get_be32(t + 4) + (uint32_t)i * s->size;
        uint8_t flags = t[13];
        if (!last)
            flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (i > 0)
            flags &= (uint8_t)~TCP_CWR;
        dt_put_be32(l4 + 4, seq);
        l4[13] = flags;
        sum += dt_csum_word32(seq) + dt_csum_word((uint16_t)(t[12] << 8 | flags));
    } else {
        dt_put_be16(l4 + 4, (uint16_t)l4len);
        sum += dt_csum_word((uint16_t)l4len);
    }
    sum = dt_csum_copy(sum, out + s->hlen, s->packet + s->hlen + (size_t)i * s->size, len - s->hlen);
    uint16_t v = dt_csum_finish(sum);
    if (!s->tcp && v == 0)
        v = 0xffff;
    memcpy(l4 + (s->tcp ? 16 : 6), &v, 2);
}

bool dt_vnet_checksum(const struct dt_vnet *v, uint8_t *packet, size_t len)
{
    size_t start = v->csum_start, field = start + v->csum_offset;
    if (start >= len || field + 2 > len)
        return false;
    /* The field holds the pseudo-header's sum already. */
    uint16_t sum = dt_csum_finish(dt_csum_add(0, packet + start, len - start));
    if (sum == 0 && v->csum_offset == 6)
        sum = 0xffff; /* UDP */
    memcpy(packet + field, &sum, 2);
    return true;
}
