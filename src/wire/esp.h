/* ESP on the wire (RFC 4303 2) and in UDP (RFC 3948). */
#ifndef DT_WIRE_ESP_H
#define DT_WIRE_ESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define DT_ESP_HDR_LEN     8 /* SPI, sequence number */
#define DT_ESP_TRAILER_LEN 2 /* pad length, next header; before them the padding, behind them the ICV */
#define DT_NEXT_IPV4       4
#define DT_NEXT_IPV6       41
#define DT_NEXT_NONE       59 /* a dummy packet (RFC 4303 2.6) */
#define DT_NON_ESP_MARKER  4  /* zero bytes before IKE on the encapsulation port */
#define DT_KEEPALIVE_BYTE  0xff

enum dt_natt_kind {
    DT_NATT_SHORT,     /* nothing that may stand there */
    DT_NATT_IKE,       /* behind the marker */
    DT_NATT_KEEPALIVE, /* one byte 0xff */
    DT_NATT_ESP,
};

/* What a UDP payload on the encapsulation port is. */
static inline enum dt_natt_kind dt_natt_kind(const void *p, size_t len)
{
    if (len == 1 && *(const uint8_t *)p == DT_KEEPALIVE_BYTE)
        return DT_NATT_KEEPALIVE;
    if (len < DT_ESP_HDR_LEN)
        return DT_NATT_SHORT;
    return dt_get_be32(p) == 0 ? DT_NATT_IKE : DT_NATT_ESP;
}

#endif
