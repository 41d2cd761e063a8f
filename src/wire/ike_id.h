/* Identities (RFC 7296 section 3.5). */
#ifndef DT_WIRE_IKE_ID_H
#define DT_WIRE_IKE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

enum dt_ike_id_type {
    DT_ID_ANY = 0, /* not on the wire: matches whatever the peer says */
    DT_ID_IPV4_ADDR = 1,
    DT_ID_FQDN = 2,
    DT_ID_RFC822_ADDR = 3,
    DT_ID_IPV6_ADDR = 5,
    DT_ID_DER_ASN1_DN = 9,
    DT_ID_KEY_ID = 11,
};

#define DT_IKE_ID_MAX    255 /* a distinguished name takes more than the other kinds */
#define DT_IKE_ID_STRLEN (6 + 4 * DT_IKE_ID_MAX + 1)

struct dt_ike_id {
    uint8_t type; /* enum dt_ike_id_type, or another number of the peer's */
    uint8_t len;
    uint8_t data[DT_IKE_ID_MAX];
};

/* "user@host" an e-mail address, "192.0.2.1" or "2001:db8::1" an address, "keyid:0a1b" or "keyid:text" a key
 * id,
 * "%any" DT_ID_ANY, "C=DE, CN=anna" a distinguished name (wire/ike_dn.h), "id9:0a1b" the octets of a type by its number,
 * anything else a domain name. "fqdn:", "email:" and "dn:" before the text force the type. 0, or -1: empty, too long. */
int dt_ike_id_parse(struct dt_ike_id *id, const char *text);
/* DT_IKE_ID_STRLEN bytes; unprintable ones as \xNN, a key id that is not text as hex; with "fqdn:" or "email:" before it
 * where the text alone would be taken for another type: two identities never have the same text. */
char *dt_ike_id_str(char *out, const struct dt_ike_id *id);
/* Names without regard to case; distinguished names also without regard to the type of a string. */
bool dt_ike_id_eq(const struct dt_ike_id *a, const struct dt_ike_id *b);
/* The same identity with a name's letters in lower case (a distinguished name's as wire/ike_dn.h says) and zeros after its octets: two identities are equal
 * (dt_ike_id_eq) exactly when their canonical ones are, octet by octet and also as text. */
struct dt_ike_id dt_ike_id_canonical(const struct dt_ike_id *id);
/* The text of the canonical one (DT_IKE_ID_STRLEN bytes): the key under which something is kept for an identity, such as
 * its lease. */
char *dt_ike_id_key(char *out, const struct dt_ike_id *id);
/* Equal for equal identities. */
uint64_t dt_ike_id_hash(const struct dt_siphash_key *key, const struct dt_ike_id *id);
/* pattern may be DT_ID_ANY, or a name that begins with "*." or "*@". */
bool dt_ike_id_matches(const struct dt_ike_id *pattern, const struct dt_ike_id *id);
bool dt_ike_id_is_pattern(const struct dt_ike_id *id); /* of the latter kind */
/* An order in which those that are equal (dt_ike_id_eq) stand together. */
int dt_ike_id_cmp(const struct dt_ike_id *a, const struct dt_ike_id *b);
/* As dt_ike_id_parse; -1 also where a "*" stands elsewhere than at the beginning of such a pattern. */
int dt_ike_id_parse_pattern(struct dt_ike_id *id, const char *text);

#endif
