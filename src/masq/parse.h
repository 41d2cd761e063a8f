/* Facts from an IPv4 packet, for both builds. Bounds are checked against `end` (the bytes at hand) and
 * against the packet's own lengths; the former is "more bytes, please" (MQ_SHORT), the latter is a truncated
 * packet. */
#ifndef DT_MASQ_PARSE_H
#define DT_MASQ_PARSE_H

#include "masq/rules.h"

#ifdef __bpf__
#define MQ_BE16(p) __builtin_bswap16(*(const uint16_t *)(p))
#define MQ_BE32(p) __builtin_bswap32(*(const uint32_t *)(p))
#define MQ_BE64(p) __builtin_bswap64(*(const uint64_t *)(p))
#else
#include "base/bytes.h"
#define MQ_BE16(p) dt_get_be16(p)
#define MQ_BE32(p) dt_get_be32(p)
#define MQ_BE64(p) dt_get_be64(p)
#endif

#define MQ_IKE_PORT 500
#define MQ_IKE_MIN  (8 + 28) /* UDP header, IKE header */
#define MQ_ESP_MIN  8        /* SPI, sequence number */

enum mq_parsed {
    MQ_OTHER, /* not ours */
    MQ_OURS,
    MQ_SHORT, /* the bytes at hand end too early to say */
};

/* The offending packet that an ICMP error quotes, from `q`; `left`: bytes that the ICMP message has from
 * there on. */
MQ_FN int mq_parse_quote(struct dt_masq_facts *f, const uint8_t *q, const uint8_t *end, uint32_t left)
{
    if (q + 20 > end)
        return MQ_SHORT;
    uint32_t hl = (q[0] & 15u) * 4;
    if (q[0] >> 4 != 4 || hl < 20 || left < hl + 8 || (MQ_BE16(q + 6) & 0x1fff))
        return MQ_OTHER;
    f->proto = q[9];
    f->qsrc = MQ_BE32(q + 12);
    f->qdst = MQ_BE32(q + 16);
    const uint8_t *l4 = q + hl;
    if (f->proto == 50) {
        if (l4 + 8 > end)
            return MQ_SHORT;
        f->spi = MQ_BE32(l4);
        return MQ_OURS;
    }
    if (f->proto != 17)
        return MQ_OTHER;
    if (l4 + 8 > end)
        return MQ_SHORT;
    if (MQ_BE16(l4) != MQ_IKE_PORT || MQ_BE16(l4 + 2) != MQ_IKE_PORT)
        return MQ_OTHER;
    if (left < hl + 8 + 16) {
        f->flags |= DT_MASQ_F_NO_COOKIES;
        return MQ_OURS;
    }
    if (l4 + 24 > end)
        return MQ_SHORT;
    f->icookie = MQ_BE64(l4 + 8);
    f->rcookie = MQ_BE64(l4 + 16);
    return MQ_OURS;
}

MQ_FN int mq_parse_icmp(struct dt_masq_facts *f, const uint8_t *l4, const uint8_t *end)
{
    if (l4 + 8 > end)
        return MQ_SHORT;
    if (l4[0] != 3 && l4[0] != 4 && l4[0] != 11 && l4[0] != 12)
        return MQ_OTHER;
    if (f->len < 8 + 20 || f->flags & DT_MASQ_F_MORE || f->frag_off)
        return MQ_OTHER;
    f->flags |= DT_MASQ_F_QUOTE;
    return mq_parse_quote(f, l4 + 8, end, f->len - 8u);
}

MQ_FN int mq_parse_ike(struct dt_masq_facts *f, const uint8_t *l4, const uint8_t *end)
{
    if (f->frag_off)
        return MQ_OURS; /* perhaps: the rules know the first fragment, or pass */
    if (f->len < 8)
        return MQ_OTHER;
    if (l4 + 8 > end) {
        f->proto = 0; /* the ports are not known */
        return MQ_SHORT;
    }
    if (MQ_BE16(l4) != MQ_IKE_PORT || MQ_BE16(l4 + 2) != MQ_IKE_PORT)
        return MQ_OTHER;
    uint32_t ulen = MQ_BE16(l4 + 4);
    if (f->len < MQ_IKE_MIN || ulen < MQ_IKE_MIN || (!(f->flags & DT_MASQ_F_MORE) && ulen > f->len)) {
        f->flags |= DT_MASQ_F_TRUNCATED;
        return MQ_OURS;
    }
    if (l4 + 24 > end)
        return MQ_SHORT;
    f->icookie = MQ_BE64(l4 + 8);
    f->rcookie = MQ_BE64(l4 + 16);
    return MQ_OURS;
}

/* `f` is zero but for side. `ip` points at the IPv4 header. */
MQ_FN int mq_parse(struct dt_masq_facts *f, const uint8_t *ip, const uint8_t *end)
{
    if (ip + 20 > end)
        return MQ_SHORT;
    uint32_t hl = (ip[0] & 15u) * 4;
    uint32_t total = MQ_BE16(ip + 2), frag = MQ_BE16(ip + 6);
    uint8_t proto = ip[9];
    if (ip[0] >> 4 != 4 || hl < 20 || total < hl)
        return MQ_OTHER;
    if (proto != 50 && proto != 17 && proto != 1)
        return MQ_OTHER;
    f->proto = proto;
    f->src = MQ_BE32(ip + 12);
    f->dst = MQ_BE32(ip + 16);
    f->ip_id = MQ_BE16(ip + 4);
    f->frag_off = (uint16_t)((frag & 0x1fff) * 8);
    f->flags |= (frag & 0x2000) ? DT_MASQ_F_MORE : 0;
    f->len = (uint16_t)(total - hl);
    const uint8_t *l4 = ip + hl;
    if (proto == 1)
        return mq_parse_icmp(f, l4, end);
    if (proto == 17)
        return mq_parse_ike(f, l4, end);
    if (f->frag_off)
        return MQ_OURS;
    if (f->len < MQ_ESP_MIN) {
        f->flags |= DT_MASQ_F_TRUNCATED;
        return MQ_OURS;
    }
    if (l4 + 8 > end)
        return MQ_SHORT;
    f->spi = MQ_BE32(l4);
    return MQ_OURS;
}

#endif
