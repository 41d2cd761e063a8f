/* IKE messages (RFC 7296 sections 3.1, 3.2 and 3.14): header, chain of payloads, the encrypted payload's
 * frame. Bytes <-> structs, no state, no cryptography. What is read points into the datagram. */
#ifndef DT_WIRE_IKE_MSG_H
#define DT_WIRE_IKE_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define DT_IKE_HEADER_LEN  28
#define DT_IKE_GENERIC_LEN 4 /* generic payload header */
#define DT_IKE_VERSION     0x20

enum dt_ike_exchange {
    DT_IKE_SA_INIT = 34,
    DT_IKE_AUTH = 35,
    DT_CREATE_CHILD_SA = 36,
    DT_INFORMATIONAL = 37,
};

#define DT_IKE_FLAG_INITIATOR 0x08
#define DT_IKE_FLAG_VERSION   0x10
#define DT_IKE_FLAG_RESPONSE  0x20

enum dt_ike_payload_type {
    DT_P_NONE = 0,
    DT_P_SA = 33,
    DT_P_KE = 34,
    DT_P_IDI = 35,
    DT_P_IDR = 36,
    DT_P_CERT = 37,
    DT_P_CERTREQ = 38,
    DT_P_AUTH = 39,
    DT_P_NONCE = 40,
    DT_P_NOTIFY = 41,
    DT_P_DELETE = 42,
    DT_P_VENDOR = 43,
    DT_P_TSI = 44,
    DT_P_TSR = 45,
    DT_P_SK = 46,
    DT_P_CP = 47,
    DT_P_EAP = 48,
};

struct dt_ike_header {
    uint64_t spi_i, spi_r; /* as big-endian numbers */
    uint8_t next;          /* enum dt_ike_payload_type */
    uint8_t version;       /* major << 4 | minor */
    uint8_t exchange;      /* enum dt_ike_exchange */
    uint8_t flags;
    uint32_t mid;
    uint32_t length; /* of the whole message */
};

/* -1: shorter than a header, or the length field is not the datagram's. The version is the caller's to judge. */
int dt_ike_header_read(struct dt_ike_header *h, const uint8_t *data, size_t len);

struct dt_ike_payload {
    uint8_t type;
    bool critical;
    uint8_t inner; /* SK only: the type of the first payload inside */
    struct dt_span body;
};

#define DT_IKE_PAYLOADS_MAX     96
#define DT_IKE_PAYLOADS_IGNORED 32 /* of them, such as everybody may ignore */

struct dt_ike_payloads {
    size_t n;
    size_t left_out;          /* vendor ids, status notifies, unknown payloads for which there was no room */
    uint8_t unknown_critical; /* type of the first payload that is critical and not understood; 0: none */
    struct dt_ike_payload v[DT_IKE_PAYLOADS_MAX];
};

/* The chain that begins with type `first` and fills p..p+len exactly. -1: it does not, or has something after SK, or more
 * payloads than there is room for that may not be ignored (those that may are left out; RFC 7296 2.5, 3.10.1, 3.12). */
int dt_ike_payloads_read(struct dt_ike_payloads *out, uint8_t first, const uint8_t *p, size_t len);
/* The first payload of that type, or NULL. */
const struct dt_ike_payload *dt_ike_find(const struct dt_ike_payloads *list, uint8_t type);

/* Writes a message from its header to its end. A message that does not fit fails at dt_ike_build_end. */
struct dt_ike_builder {
    struct dt_writer w;
    uint8_t *next;    /* where the type of the next payload goes */
    uint8_t *payload; /* the payload that was begun */
    uint8_t *sk;      /* the encrypted payload, once begun */
    uint8_t iv_len;
};
/* Only the SPIs, exchange, flags and message id of h are used. */
void dt_ike_build(struct dt_ike_builder *b, uint8_t *buf, size_t cap, const struct dt_ike_header *h);
/* A second chain without a header, for what stands inside SK. */
void dt_ike_payload_begin(struct dt_ike_builder *b, uint8_t type);
void dt_ike_payload_end(struct dt_ike_builder *b);
/* Everything after this is inside SK. Room is left for the IV. */
void dt_ike_sk_begin(struct dt_ike_builder *b, size_t iv_len);
/* Message length, or 0 when something did not fit. Without SK. */
size_t dt_ike_build_end(struct dt_ike_builder *b);

/* The parts of an encrypted payload, as struct dt_cipher_op wants them. */
struct dt_ike_sk {
    uint8_t *iv, *text, *icv;
    size_t len; /* of text, padding and its length octet included */
    const uint8_t *aad;
    size_t aad_len;
};
/* Pads to `block`, leaves room for the ICV, sets all lengths. Message length, or 0. The caller fills IV and
 * seals. */
size_t dt_ike_sk_end(struct dt_ike_builder *b, size_t block, size_t icv_len, struct dt_ike_sk *out);
/* Of a received message of which `sk` is a payload. -1: too short for these lengths. */
int dt_ike_sk_split(uint8_t *msg, const struct dt_ike_payload *sk, size_t iv_len, size_t block,
                    size_t icv_len, struct dt_ike_sk *out);
/* The payloads inside an opened SK, padding taken off. -1 as dt_ike_payloads_read, or wrong padding. */
int dt_ike_sk_payloads(struct dt_ike_payloads *out, const struct dt_ike_payload *sk,
                       const struct dt_ike_sk *open);

#endif
