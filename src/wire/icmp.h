/* ICMP (RFC 792, 1191) and ICMPv6 (RFC 4443): echo, and the errors that the data path makes and understands. */
#ifndef DT_WIRE_ICMP_H
#define DT_WIRE_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

#define DT_ICMP_HDR_LEN 8u

enum {
    DT_ICMP_ECHO_REPLY = 0,
    DT_ICMP_UNREACHABLE = 3, /* code 4: fragmentation needed; 13: administratively prohibited */
    DT_ICMP_ECHO = 8,
    DT_ICMP_TIME_EXCEEDED = 11,
    DT_ICMP6_UNREACHABLE = 1, /* code 1: administratively prohibited */
    DT_ICMP6_TOO_BIG = 2,
    DT_ICMP6_TIME_EXCEEDED = 3,
    DT_ICMP6_ECHO = 128,
    DT_ICMP6_ECHO_REPLY = 129,
};

enum dt_echo_kind {
    DT_ECHO_NONE = 0, /* something else, or malformed (checksum too) */
    DT_ECHO_REQUEST,
    DT_ECHO_REPLY,
    DT_ECHO_EXCEEDED, /* a time-exceeded that quotes an echo request */
};

struct dt_echo {
    struct dt_addr src, dst; /* of the packet itself */
    struct dt_addr target;   /* whom the echo request was for: exceeded: the quoted destination; reply: src */
    uint16_t ident, seq;
    uint8_t ttl;
};

/* What a whole IP packet is, when it is echo. */
enum dt_echo_kind dt_echo_parse(struct dt_echo *e, const void *packet, size_t len);

/* A whole IP packet with an echo request (or reply) and `data` bytes of payload (a counting pattern); returns
 * its length, 0 when cap is too small or the addresses are of different versions. */
size_t dt_echo_make(void *out, size_t cap, bool reply, const struct dt_addr *src, const struct dt_addr *dst,
                    uint16_t ident, uint16_t seq, uint8_t ttl, size_t data);

/* Turns an echo request into its reply, in place: addresses, type, checksum, hop limit 64. */
void dt_echo_answer(void *packet, size_t len);

/* An ICMP error about `packet` (of either version), from `from` to the packet's source: "too big" with the
 * MTU, or "administratively prohibited" when mtu is 0. Quotes as much as the RFC allows (IPv4: 548 bytes in
 * all; IPv6: 1280). Returns its length; 0 when none may be sent (RFC 1122 3.2.2, RFC 4443 2.4 (e): about an
 * ICMP error, a later fragment, a multicast or unspecified address) or cap is too small. */
size_t dt_icmp_error_make(void *out, size_t cap, const struct dt_addr *from, const void *packet, size_t len,
                          uint32_t mtu);

#endif
