/* What the files about keys and certificates share; nobody else includes it. */
#ifndef DT_CRYPTO_X509_PRIV_H
#define DT_CRYPTO_X509_PRIV_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "crypto/signature.h"
#include "crypto/x509.h"

/* Takes pkey, in any case. NULL with *err: a kind that is not taken. */
struct dt_sig_key *sig_key_of(EVP_PKEY *pkey, struct dt_err *err);
EVP_PKEY *sig_key_pkey(const struct dt_sig_key *k); /* borrowed */
bool x509_is_pem(struct dt_span text);
X509 *x509_own_leaf(const struct dt_x509_own *own); /* borrowed */

/* ---- x509_name.c ---- */
#define X509_NAME_STRLEN 160
/* "C=DE, O=Example, CN=anna": for people. Returns buf. */
const char *x509_name_str(char buf[X509_NAME_STRLEN], const X509_NAME *name);
#define X509_WHO_STRLEN 256
/* "CN=anna, serial 4A1F, by CN=Example CA". */
const char *x509_who(char buf[X509_WHO_STRLEN], X509 *cert);
#define X509_DAY_STRLEN 32
const char *x509_day(char buf[X509_DAY_STRLEN], const ASN1_TIME *t); /* "2026-10-07 12:00:00 UTC" */
const char *x509_day_of(char buf[X509_DAY_STRLEN], int64_t t);
/* The names that it is for, as far as IKE has such: "DNS vpn.example.net, e-mail anna@example.net, DN CN=anna". */
const char *x509_names(char *buf, size_t cap, X509 *cert);
bool x509_has(X509 *cert, enum dt_x509_name_kind kind, struct dt_span name);
int64_t x509_seconds(const ASN1_TIME *t); /* since 1970; INT64_MAX where there is none */

#endif
