/* Bodies of IKE payloads (RFC 7296 section 3.3 to 3.15): bytes <-> structs. Readers return 0, or -1 when the
 * body is not well formed (INVALID_SYNTAX); what they give points into the body. Writers add a whole payload
 * to a message. */
#ifndef DT_WIRE_IKE_PAYLOAD_H
#define DT_WIRE_IKE_PAYLOAD_H

#include "base/addr.h"
#include "base/domain.h"
#include "base/selector.h"
#include "wire/ike_id.h"
#include "wire/ike_msg.h"
#include "wire/ike_notify.h"
#include "wire/ike_proposal.h"

/* However many there are, no proposal and no transform that could be chosen is left out for one that could not. Of those that
 * could, the first DT_PROPOSALS_MAX proposals are kept, and all transforms. */
int dt_ike_sa_read(struct dt_proposals *out, struct dt_span body);
void dt_ike_sa_write(struct dt_ike_builder *b, const struct dt_proposals *list);

/* Data of the notify DT_N_DOVETAIL_TAKES: "DTT", version 1, an octet that is 1 when not all is said; then for each
 * proposal the number of its transforms, and for each of these its type, key length in octets, and number (two octets).
 * A format of its own because an SA payload takes three times the room, and a refusal must not be longer than the
 * request was. */
#define DT_IKE_TAKES_MAX 240
/* As many whole proposals as fit; the length, or 0 when none does. */
size_t dt_ike_takes_write(uint8_t *out, size_t cap, const struct dt_proposals *list);
int dt_ike_takes_read(struct dt_proposals *out, bool *more, uint8_t protocol, struct dt_span data);

struct dt_ike_ke {
    uint16_t group;
    struct dt_span data;
};
int dt_ike_ke_read(struct dt_ike_ke *out, struct dt_span body);
void dt_ike_ke_write(struct dt_ike_builder *b, uint16_t group, struct dt_span data);

#define DT_IKE_NONCE_MIN 16
#define DT_IKE_NONCE_MAX 256
int dt_ike_nonce_read(struct dt_span *out, struct dt_span body);

int dt_ike_id_read(struct dt_ike_id *out, struct dt_span body); /* -1 also when longer than DT_IKE_ID_MAX */
void dt_ike_id_write(struct dt_ike_builder *b, uint8_t payload_type, const struct dt_ike_id *id);

/* Encodings of certificates that are spoken here (RFC 7296 section 3.6, RFC 7670). CERT: `data` is the certificate in DER (or
 * the SubjectPublicKeyInfo). CERTREQ: `data` is hashes of authorities' keys, 20 octets each, or empty: of anybody. */
enum dt_ike_cert_encoding { DT_CERT_X509_SIGNATURE = 4, DT_CERT_RAW_PUBLIC_KEY = 15 };
struct dt_ike_cert {
    uint8_t encoding; /* enum dt_ike_cert_encoding, or another number of the peer's */
    struct dt_span data;
};
int dt_ike_cert_read(struct dt_ike_cert *out, struct dt_span body); /* of CERT and CERTREQ */
void dt_ike_cert_write(struct dt_ike_builder *b, uint8_t payload_type, uint8_t encoding, struct dt_span data);

/* How AUTH was made (RFC 7296 section 3.8, RFC 4754, RFC 7427). */
enum dt_ike_auth_method {
    DT_IKE_AUTH_RSA = 1, /* RSASSA-PKCS1-v1_5, with SHA-1 */
    DT_IKE_AUTH_PSK = 2,
    DT_IKE_AUTH_ECDSA_256 = 9, /* with SHA2-256 on P-256; r | s */
    DT_IKE_AUTH_ECDSA_384 = 10,
    DT_IKE_AUTH_ECDSA_521 = 11,
    DT_IKE_AUTH_SIGNATURE = 14, /* an octet of length, an AlgorithmIdentifier, the signature */
};
/* "pre-shared key (method 2)"; numbers without a name too. Returns buf. */
const char *dt_ike_auth_method_str(char buf[48], uint8_t method);
struct dt_ike_auth {
    uint8_t method; /* enum dt_ike_auth_method, or another number of the peer's */
    struct dt_span data;
};
int dt_ike_auth_read(struct dt_ike_auth *out, struct dt_span body);
void dt_ike_auth_write(struct dt_ike_builder *b, uint8_t method, struct dt_span data);

struct dt_ike_notify_payload {
    uint8_t protocol;
    uint16_t type;
    struct dt_span spi, data;
};
int dt_ike_notify_read(struct dt_ike_notify_payload *out, struct dt_span body);
void dt_ike_notify_write(struct dt_ike_builder *b, uint8_t protocol, struct dt_span spi, uint16_t type,
                         struct dt_span data);

struct dt_ike_delete {
    uint8_t protocol, spi_len; /* spi_len 0: the IKE SA itself */
    uint16_t n;
    const uint8_t *spis; /* n times spi_len bytes */
};
int dt_ike_delete_read(struct dt_ike_delete *out, struct dt_span body);
void dt_ike_delete_write(struct dt_ike_builder *b, uint8_t protocol, const uint32_t *esp_spis, uint16_t n);

/* Selectors of other TS types, such as match nothing, and such as an earlier one covers are left out, so that the list may come
 * out empty. *lost (may be NULL): how many more there were for which there was no room. */
int dt_ike_ts_read(struct dt_selectors *out, size_t *lost, struct dt_span body);
void dt_ike_ts_write(struct dt_ike_builder *b, uint8_t payload_type, const struct dt_selectors *list);

/* Data of the notify DT_N_DOVETAIL_ALLOWS: "DTA", version 1, an octet that is 1 for the side of whoever reads it and 0 for the
 * writer's, and the body of a TS payload. 0 of _write: it does not fit. */
size_t dt_ike_allows_write(uint8_t *out, size_t cap, bool readers_side, const struct dt_selectors *list);
int dt_ike_allows_read(struct dt_selectors *out, bool *readers_side, struct dt_span data);

enum dt_ike_cp_type { DT_CFG_REQUEST = 1, DT_CFG_REPLY = 2, DT_CFG_SET = 3, DT_CFG_ACK = 4 };
#define DT_IKE_CP_DNS 4
struct dt_ike_cp {
    uint8_t type;
    bool has4, has6;             /* INTERNAL_IP4_ADDRESS, INTERNAL_IP6_ADDRESS is there */
    bool has_dns4, has_dns6;     /* a name server's attribute is there */
    bool has_domain;             /* INTERNAL_DNS_DOMAIN (RFC 8598) is there */
    struct dt_addr addr4, addr6; /* ver 0: the attribute was empty */
    uint8_t addr6_len;
    uint8_t ndns;
    struct dt_addr dns[DT_IKE_CP_DNS];
    char domains
        [DT_DOMAINS_CAP]; /* base/domain.h; of what is read: names that are none, and more than there is room for, are left out */
};
int dt_ike_cp_read(struct dt_ike_cp *out, struct dt_span body);
void dt_ike_cp_write(struct dt_ike_builder *b, const struct dt_ike_cp *cp);

void dt_ike_raw_write(struct dt_ike_builder *b, uint8_t payload_type,
                      struct dt_span body); /* nonce, vendor id */

#endif
