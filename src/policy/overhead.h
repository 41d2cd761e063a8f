/* What a layer of ESP adds to a packet, and what is left of a link's MTU inside it (RFC 4303 section 2, RFC 3948). */
#ifndef DT_POLICY_OVERHEAD_H
#define DT_POLICY_OVERHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/transform.h"

/* In the order of the octets on the wire. All in bytes. */
struct dt_overhead {
    uint16_t ip;    /* the outer IP header; 0 in transport mode, which keeps the packet's own */
    uint16_t udp;   /* 8 with UDP encapsulation */
    uint16_t esp;   /* SPI and sequence number: 8 */
    uint16_t iv;    /* explicit, in front of the ciphertext */
    uint16_t tail;  /* pad length and next header: 2; padding comes before them ... */
    uint16_t align; /* ... until what is encrypted is a multiple of this */
    uint16_t icv;
};

/* -1: not a suite that protects packets. ver: 4 or 6, of the outer header (tunnel mode). */
int dt_overhead_make(struct dt_overhead *o, const struct dt_suite *suite, bool tunnel, uint8_t ver, bool udp,
                     struct dt_err *err);
/* Fewest and most bytes that the layer adds, by how much padding is due. */
uint32_t dt_overhead_least(const struct dt_overhead *o);
uint32_t dt_overhead_most(const struct dt_overhead *o);
/* The longest packet that the layer can carry in `outer` bytes; header: the length of the packet's own IP header,
 * which transport mode leaves outside (ignored with tunnel mode). 0: none. */
uint32_t dt_overhead_inner(const struct dt_overhead *o, uint32_t outer, uint32_t header);
/* And back: how long a packet of `inner` bytes becomes. */
uint32_t dt_overhead_outer(const struct dt_overhead *o, uint32_t inner, uint32_t header);

#endif
