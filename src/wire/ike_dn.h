/* Distinguished names as identities (ID_DER_ASN1_DN, RFC 7296 section 3.5): DER <-> text, and which of them are the same.
 *
 * Text: "C=DE, O=Example, CN=anna", in the order of the DER; "\" before a comma, a backslash or a blank at an end. Types: C, ST,
 * L, O, OU, CN, DC, UID, E (emailAddress), serialNumber, or an OID ("1.2.3=x"). Names with several attributes in one RDN, and
 * values that are no text, have none. */
#ifndef DT_WIRE_IKE_DN_H
#define DT_WIRE_IKE_DN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The DER of a text: its length, or 0: it is none, or does not fit. */
size_t dt_ike_dn_parse(uint8_t *out, size_t cap, const char *text);
/* The text of a DER, NUL-terminated; false: it has none. */
bool dt_ike_dn_str(char *out, size_t cap, const uint8_t *der, size_t len);
/* In place: letters in lower case, and one string type for all that are ASCII. Two DNs that RFC 5280 section 7.1 calls the same
 * become the same octets, but for blanks. What is no DN is left as it is. */
void dt_ike_dn_canonical(uint8_t *der, size_t len);

#endif
