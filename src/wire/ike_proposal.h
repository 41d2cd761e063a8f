/* Proposals of the Security Association payload (RFC 7296 section 3.3): what to negotiate, in order of
 * preference. Bytes on the wire are in wire/ike_payload.h; here is the shape, its text, and the choice. */
#ifndef DT_WIRE_IKE_PROPOSAL_H
#define DT_WIRE_IKE_PROPOSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/transform.h"

enum dt_ike_protocol { DT_PROTO_IKE = 1, DT_PROTO_AH = 2, DT_PROTO_ESP = 3 }; /* Protocol ID */

enum dt_transform_type {
    DT_TRANSFORM_ENCR = 1,
    DT_TRANSFORM_PRF = 2,
    DT_TRANSFORM_INTEG = 3,
    DT_TRANSFORM_KE = 4,
    DT_TRANSFORM_ESN = 5,
};

struct dt_transform {
    uint8_t type;      /* enum dt_transform_type, or a number that this program does not know */
    bool unusable;     /* it came with an attribute other than Key Length: never chosen */
    uint16_t id;       /* enum dt_encr, dt_prf, dt_integ, dt_ke; for ESN 0 (32 bit) or 1 (64 bit) */
    uint16_t key_bits; /* Key Length attribute; 0: none */
};

#define DT_PROPOSAL_TRANSFORMS 64 /* strongSwan alone offers some forty */
#define DT_PROPOSALS_MAX       12
#define DT_PROPOSAL_STRLEN     256

/* Transforms of one type are alternatives, the first is liked best; one of each type is chosen. */
struct dt_proposal {
    uint8_t protocol; /* enum dt_ike_protocol */
    uint8_t number;   /* on the wire, from 1 */
    uint8_t spi_len;  /* 0, 4 or 8 */
    uint8_t n;
    uint8_t spi[8]; /* network order */
    struct dt_transform t[DT_PROPOSAL_TRANSFORMS];
};

struct dt_proposals {
    uint8_t n;
    struct dt_proposal v[DT_PROPOSALS_MAX];
};

/* One proposal from words joined by '-': aes128gcm16 aes256gcm16 (also aes128gcm) chacha20poly1305 aes128
 * aes256 (CBC) sha256 sha384 sha512 (integrity, and PRF where no prf is named) prfsha256 prfsha384 prfsha512
 * x25519 (curve25519) ecp256 ecp384 modp2048 nopfs esn noesn. For ESP without either of the last two,
 * both are offered, esn first; a group in an ESP proposal asks for PFS at a rekey. -1 with the reason when it
 * is not a whole proposal. */
int dt_proposal_parse(struct dt_proposal *p, uint8_t protocol, const char *text, struct dt_err *err);
/* The defaults: combined-mode ciphers first, then AES-CBC with HMAC. */
void dt_proposals_default(struct dt_proposals *out, uint8_t protocol);
bool dt_proposals_add(struct dt_proposals *list, const struct dt_proposal *p); /* false: full */

/* A transform that a proposal of ours can have, or "none" (0), which some peers offer as an alternative to nothing. */
bool dt_transform_known(const struct dt_transform *t);
/* A proposal of ours could meet it: every type in it is understood, and has a transform that is known. */
bool dt_proposal_possible(const struct dt_proposal *p);
/* "aes128gcm16/aes256gcm16-prfsha256-x25519"; unknown numbers as "encr7"; a list that does not fit ends in dots. */
char *dt_proposal_str(char *out, size_t cap, const struct dt_proposal *p);
char *dt_proposals_str(char *out, size_t cap, const struct dt_proposals *list); /* joined by ", " */

/* Leave the key exchange method out: a Child SA of IKE_AUTH has none (RFC 7296 1.2). */
#define DT_CHOOSE_NO_KE 1u

/* The responder's choice: the first of its own proposals that some offered one meets, one transform of each
 * type (RFC 7296 section 2.7). *out has the offered number and SPI. False: nothing in common. prefer_ke:
 * where the choice allows this key exchange method, take it rather than ask for another (0: no preference).
 */
bool dt_proposals_choose(struct dt_proposal *out, const struct dt_proposals *own,
                         const struct dt_proposals *offered, uint16_t prefer_ke, unsigned flags);
/* The initiator's check of an answer: one transform of each type, all of them from the offer of that number. */
bool dt_proposals_answers(const struct dt_proposals *offered, const struct dt_proposal *answer,
                          unsigned flags);

/* The one transform of that type, or 0 (with key length in *key_bits where it is not NULL). */
uint16_t dt_proposal_id(const struct dt_proposal *p, uint8_t type, uint16_t *key_bits);
bool dt_proposal_has(const struct dt_proposal *p, unsigned type, uint16_t id);
struct dt_suite dt_proposal_suite(const struct dt_proposal *p);

#endif
