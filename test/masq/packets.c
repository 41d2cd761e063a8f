#include "masq/packets.h"

#include <string.h>

#include "base/bytes.h"

uint16_t packet_sum(const void *p, size_t n, uint32_t start)
{
    const uint8_t *b = p;
    uint32_t sum = start;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(b[i] << 8 | b[i + 1]);
    if (n & 1)
        sum += (uint32_t)(b[n - 1] << 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint32_t pseudo(const uint8_t *ip, uint8_t proto, size_t len)
{
    return (uint32_t)packet_sum(ip + 12, 8, 0) + proto + (uint32_t)len;
}

static void ip_header(uint8_t *ip, uint32_t src, uint32_t dst, uint8_t proto, uint16_t id, uint16_t frag,
                      size_t len)
{
    memset(ip, 0, 20);
    ip[0] = 0x45;
    dt_put_be16(ip + 2, (uint16_t)len);
    dt_put_be16(ip + 4, id);
    dt_put_be16(ip + 6, frag);
    ip[8] = 64;
    ip[9] = proto;
    dt_put_be32(ip + 12, src);
    dt_put_be32(ip + 16, dst);
    dt_put_be16(ip + 10, (uint16_t)~packet_sum(ip, 20, 0));
}

/* The transport part: `len` bytes at p, of a packet with that IP header. */
static void transport(uint8_t *p, const uint8_t *ip, const struct dt_masq_facts *f, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 7 + f->ip_id);
    if (f->frag_off)
        return;
    if (f->proto == 50) {
        if (len >= 4)
            dt_put_be32(p, f->spi);
        return;
    }
    uint8_t whole[8] = {0};
    dt_put_be16(whole, 500);
    dt_put_be16(whole + 2, 500);
    dt_put_be16(whole + 4, (uint16_t)(f->flags & DT_MASQ_F_MORE ? len + 200 : len));
    memcpy(p, whole, len < 8 ? len : 8);
    if (len >= 24) {
        dt_put_be64(p + 8, f->icookie);
        dt_put_be64(p + 16, f->rcookie);
    }
    if (len >= 8 && !(f->flags & DT_MASQ_F_MORE)) {
        uint16_t sum = (uint16_t)~packet_sum(p, len, pseudo(ip, 17, len));
        dt_put_be16(p + 6, sum ? sum : 0xffff);
    }
}

size_t packet_build(uint8_t *out, const struct dt_masq_facts *f)
{
    memset(out, 0, 14);
    dt_put_be16(out + 12, 0x0800);
    uint8_t *ip = out + 14, *l4 = ip + 20;
    if (!(f->flags & DT_MASQ_F_QUOTE)) {
        uint16_t frag = (uint16_t)(f->frag_off / 8 | (f->flags & DT_MASQ_F_MORE ? 0x2000 : 0));
        ip_header(ip, f->src, f->dst, f->proto, f->ip_id, frag ? frag : 0x4000, 20u + f->len);
        transport(l4, ip, f, f->len);
        return 34u + f->len;
    }
    size_t quoted = f->flags & DT_MASQ_F_NO_COOKIES ? 8 : f->proto == 50 ? 8 : 36;
    struct dt_masq_facts inner = *f;
    inner.flags = 0;
    uint8_t full[1024];
    ip_header(l4 + 8, f->qsrc, f->qdst, f->proto, f->ip_id, 0x4000, 20 + 400);
    transport(full, l4 + 8, &inner, 400);
    memcpy(l4 + 28, full, quoted);
    memset(l4, 0, 8);
    l4[0] = 3;
    l4[1] = 4;
    dt_put_be16(l4 + 6, 1400);
    dt_put_be16(l4 + 2, (uint16_t)~packet_sum(l4, 28 + quoted, 0));
    ip_header(ip, f->src, f->dst, 1, 77, 0, 20 + 28 + quoted);
    return 14 + 20 + 28 + quoted;
}

const char *packet_checksums(const uint8_t *eth, size_t len)
{
    const uint8_t *ip = eth + 14;
    if (len < 34)
        return "too short";
    size_t hl = (ip[0] & 15u) * 4u, total = dt_get_be16(ip + 2);
    if (packet_sum(ip, hl, 0) != 0xffff)
        return "IP header checksum";
    if (len < 14 + total)
        return "too short";
    const uint8_t *l4 = ip + hl;
    size_t n = total - hl;
    if (dt_get_be16(ip + 6) & 0x3fff)
        return NULL; /* a fragment: no more can be said */
    if (ip[9] == 17 && dt_get_be16(l4 + 6) && packet_sum(l4, n, pseudo(ip, 17, n)) != 0xffff)
        return "UDP checksum";
    if (ip[9] != 1)
        return NULL;
    if (packet_sum(l4, n, 0) != 0xffff)
        return "ICMP checksum";
    if (packet_sum(l4 + 8, 20, 0) != 0xffff)
        return "checksum of the quoted IP header";
    return NULL;
}
