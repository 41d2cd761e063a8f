/* UDP on the wire (RFC 768). */
#ifndef DT_WIRE_UDP_H
#define DT_WIRE_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

#define DT_UDP_HDR_LEN 8u

struct dt_udp {
    uint16_t sport, dport; /* host order */
    uint16_t len;          /* header and payload, as the header says */
    uint16_t check;        /* as it stands in memory; 0: none */
};

/* False when there are not 8 bytes, or the length says less than 8 or more than there are. */
static inline bool dt_udp_parse(struct dt_udp *u, const void *p, size_t len)
{
    const uint8_t *b = p;
    if (len < DT_UDP_HDR_LEN)
        return false;
    u->sport = dt_get_be16(b);
    u->dport = dt_get_be16(b + 2);
    u->len = dt_get_be16(b + 4);
    memcpy(&u->check, b + 6, 2);
    return u->len >= DT_UDP_HDR_LEN && u->len <= len;
}

/* The header, and its checksum over the payload that already stands behind it. src and dst of one version. */
void dt_udp_put(void *p, uint16_t sport, uint16_t dport, size_t payload, const struct dt_addr *src,
                const struct dt_addr *dst);

#endif
