/* IPv4 (RFC 791) and IPv6 (RFC 8200) headers: what is needed to classify, rewrite and make packets. */
#ifndef DT_WIRE_IP_H
#define DT_WIRE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define DT_IP4_HDR_LEN 20u /* without options */
#define DT_IP6_HDR_LEN 40u

enum {
    DT_IPPROTO_ICMP = 1,
    DT_IPPROTO_IPIP = 4,
    DT_IPPROTO_TCP = 6,
    DT_IPPROTO_UDP = 17,
    DT_IPPROTO_IPV6 = 41,
    DT_IPPROTO_ESP = 50,
    DT_IPPROTO_ICMP6 = 58,
    DT_IPPROTO_NONE = 59,
};

#define DT_ECN_MASK    3 /* of the TOS or traffic class byte; the upper six bits are the DSCP */
#define DT_ECN_NOT_ECT 0
#define DT_ECN_ECT1    1
#define DT_ECN_ECT0    2
#define DT_ECN_CE      3

/* One packet's header, parsed. Offsets count from the first byte of the packet. */
struct dt_ip {
    uint8_t ver;         /* 4 or 6 */
    uint8_t proto;       /* upper layer: IPv6 extension headers are skipped */
    uint8_t tos;         /* TOS or traffic class */
    uint8_t ttl;         /* or hop limit */
    bool df;             /* IPv4: don't fragment; IPv6: true */
    bool fragment;       /* part of a fragmented packet, */
    bool first_fragment; /* and whether it is the first part (also true when not a fragment) */
    bool options;        /* IPv4 options, or IPv6 extension headers */
    uint16_t l4;         /* where the upper layer begins */
    uint32_t fragment_id; /* of a fragment: the identification that all of a packet's share; else 0 */
    uint32_t total;      /* the packet's length as the header says */
    struct dt_addr src, dst;
};

/* False when it is not a whole, well-formed packet: version, header length, total length beyond len, IPv4
 * header checksum (unless `trusted`), a chain of more than 8 extension headers or one that ends early. Bytes
 * behind `total` are the caller's matter. */
bool dt_ip_parse(struct dt_ip *ip, const void *p, size_t len, bool trusted);

/* Ports for a selector: TCP, UDP, SCTP, DCCP, UDP-Lite: as they stand; ICMP and ICMPv6: both type << 8 |
 * code; else, in a later fragment, or when cut: 0 and false. */
bool dt_ip_ports(const struct dt_ip *ip, const void *p, size_t len, uint16_t *sport, uint16_t *dport);

/* A plain header before `payload` bytes; checksum included (IPv4), DF set. Returns its length. */
size_t dt_ip_put(void *p, const struct dt_addr *src, const struct dt_addr *dst, uint8_t proto, uint8_t ttl,
                 uint8_t tos, size_t payload);

/* The TOS or traffic class byte of a packet whose version is `ver`; setting it keeps the IPv4 checksum right. */
uint8_t dt_ip_tos(const void *p);
void dt_ip_set_tos(void *p, uint8_t tos);

/* An IPv4 header's checksum, computed anew into its place. */
void dt_ip4_checksum(void *p);

#endif
