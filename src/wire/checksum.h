/* The Internet checksum (RFC 1071, 1624). Sums are kept in the machine's byte order of 16-bit words and are
 * folded late: add pieces with dt_csum_add, finish with dt_csum_finish, which gives the bytes as they stand
 * on the wire (store with memcpy, or dt_csum_put). Pieces after the first must start at an even offset of the
 * message. */
#ifndef DT_WIRE_CHECKSUM_H
#define DT_WIRE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"

/* sum + the 16-bit words of p; an odd last byte counts as if a zero byte followed. */
uint64_t dt_csum_add(uint64_t sum, const void *p, size_t len);

/* The same while copying: dst gets the bytes. They must not overlap. */
uint64_t dt_csum_copy(uint64_t sum, void *dst, const void *src, size_t len);

static inline uint16_t dt_csum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* The complement, ready to be copied into the packet. */
static inline uint16_t dt_csum_finish(uint64_t sum)
{
    return (uint16_t)~dt_csum_fold(sum);
}

static inline void dt_csum_put(void *field, uint64_t sum)
{
    uint16_t v = dt_csum_finish(sum);
    memcpy(field, &v, 2);
}

/* A host-order number as a piece of a sum. */
static inline uint64_t dt_csum_word(uint16_t host_order)
{
    uint8_t b[2] = {(uint8_t)(host_order >> 8), (uint8_t)host_order};
    uint16_t v;
    memcpy(&v, b, 2);
    return v;
}

static inline uint64_t dt_csum_word32(uint32_t host_order)
{
    return dt_csum_word((uint16_t)(host_order >> 16)) + dt_csum_word((uint16_t)host_order);
}

/* The pseudo-header of TCP, UDP and ICMPv6 (RFC 793, 768, 8200 8.1): len is the upper layer's. Addresses are `alen`
 * (4 or 16) bytes each. */
static inline uint64_t dt_csum_pseudo(const void *src, const void *dst, size_t alen, uint8_t proto,
                                      uint32_t len)
{
    uint64_t sum = dt_csum_word(proto) + dt_csum_word((uint16_t)len) + dt_csum_word((uint16_t)(len >> 16));
    for (size_t i = 0; i < alen; i += 4) {
        uint32_t s, d;
        memcpy(&s, (const uint8_t *)src + i, 4);
        memcpy(&d, (const uint8_t *)dst + i, 4);
        sum += (uint64_t)s + d;
    }
    return sum;
}

/* RFC 1624: a checksum field after one 16-bit word of the message went from `from` to `to` (all as they stand
 * in memory). Never turns a correct checksum into a wrong one; UDP's 0 ("none") is the caller's matter. */
static inline uint16_t dt_csum_update(uint16_t field, uint16_t from, uint16_t to)
{
    return dt_csum_finish((uint64_t)(uint16_t)~field + (uint16_t)~from + to);
}

#endif
