/* Messages of tunnel endpoint discovery (US 7,207,063): bytes <-> structs. docs/ted-wire.md draws every octet and
 * says why it is there. An ISAKMP header (RFC 2408 section 3.1, version 1.0, exchange type 240 or 241, message id 0,
 * no flags), then payloads with the generic header. Everything is unencrypted and unauthenticated: a message finds a
 * peer, it never proves one. */
#ifndef DT_WIRE_TED_H
#define DT_WIRE_TED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

#define DT_TED_PORT             500
#define DT_TED_EXCHANGE_PROBE   240
#define DT_TED_EXCHANGE_REPLY   241
#define DT_TED_VERSION          1   /* of discovery as a whole, in the packet summary */
#define DT_TED_PAYLOAD_ID       5   /* RFC 2408 */
#define DT_TED_PAYLOAD_VENDOR   13  /* RFC 2408 */
#define DT_TED_PAYLOAD_PROXY    128 /* private use: proxy address */
#define DT_TED_PAYLOAD_SUMMARY  129 /* private use: packet summary */
#define DT_TED_PAYLOAD_RESPONSE 130 /* private use: TED response, one for each proxy */
#define DT_TED_PAYLOAD_NAME     131 /* private use: what the responder calls itself in IKE */
#define DT_TED_VENDOR_LEN       16
#define DT_TED_NAME_MAX         111  /* octets of a name */
#define DT_TED_MAX_PROXIES      16   /* TED response payloads in one reply */
#define DT_TED_MAX_MESSAGE      1280 /* longer ones are refused unread */

/* Capability flags of the vendor payload. Unknown ones are ignored. */
#define DT_TED_CAP_SEVERAL 0x00000001u /* understands several TED response payloads */
#define DT_TED_CAP_IPV6    0x00000002u
#define DT_TED_CAP_IKEV2   0x00000004u /* negotiates with IKEv2 */

#define DT_TED_PROTO_IP  0 /* the original's "IP protocol": any protocol */
#define DT_TED_PORT_NONE 0 /* no port is named */

/* The first 16 octets of SHA-256("Dovetail TED version 1"). */
extern const uint8_t dt_ted_vendor[DT_TED_VENDOR_LEN];

/* A full proxy; ted/proxy.h says what it means. Every address has the version `ver`. In a reply on the wire the
 * responder's own half comes first; dt_ted_reply_* turn it round, so that structs are always the initiator's view. */
struct dt_ted_proxy {
    uint8_t ver;      /* 4 or 6 */
    uint8_t protocol; /* IP protocol number, or DT_TED_PROTO_IP */
    uint16_t sport;   /* host order, or DT_TED_PORT_NONE */
    uint16_t dport;
    struct dt_addr src, src_mask;
    struct dt_addr dst, dst_mask;
};

/* A packet's 5-tuple, as the packet summary of a probe carries it. Ports are 0 where the protocol has none. */
struct dt_ted_packet {
    struct dt_addr src, dst;
    uint8_t protocol;
    uint16_t sport, dport;
};

struct dt_ted_probe {
    uint64_t cookie; /* initiator cookie, not zero */
    uint32_t capabilities;
    struct dt_addr id;                /* the initiator peer's own address: where the reply goes */
    struct dt_addr proxy, proxy_mask; /* of the source host; ver 0: left out */
    struct dt_ted_packet packet;
};

struct dt_ted_reply {
    uint64_t cookie;           /* the probe's */
    uint64_t responder_cookie; /* not zero */
    uint32_t capabilities;
    struct dt_addr id; /* the responder peer's own address */
    char name[DT_TED_NAME_MAX +
              1]; /* "" left out: a domain name, so that the initiator knows which secret to use */
    size_t count; /* 1 to DT_TED_MAX_PROXIES */
    struct dt_ted_proxy proxy[DT_TED_MAX_PROXIES];
};

/* Length of the message, or 0 when it does not fit in cap or the struct cannot be a message. */
size_t dt_ted_probe_encode(uint8_t *out, size_t cap, const struct dt_ted_probe *p);
size_t dt_ted_reply_encode(uint8_t *out, size_t cap, const struct dt_ted_reply *r);
/* 0, or -1 with the reason: not this exchange, a length that lies, a payload missing, twice or unknown to be needed,
 * mixed versions, a zero cookie. Payloads of unknown type are passed over. */
int dt_ted_probe_decode(struct dt_ted_probe *p, const uint8_t *buf, size_t len, struct dt_err *err);
int dt_ted_reply_decode(struct dt_ted_reply *r, const uint8_t *buf, size_t len, struct dt_err *err);
/* Printable, no blank and no "*" (it stands for an identity, not for a pattern), at most DT_TED_NAME_MAX octets. */
bool dt_ted_name_ok(const char *name, size_t len);
/* 240, 241, or 0 for anything that is not a discovery message by its header (IKE on the same port). */
int dt_ted_exchange(const uint8_t *buf, size_t len);

#endif
