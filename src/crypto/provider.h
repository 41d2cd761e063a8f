/* What the providers of this room share; nobody else includes it. */
#ifndef DT_CRYPTO_PROVIDER_H
#define DT_CRYPTO_PROVIDER_H

#include "crypto/crypto.h"

/* RFC 7296 3.10.1 */
#define DT_NOTIFY_INVALID_SYNTAX     7
#define DT_NOTIFY_NO_PROPOSAL_CHOSEN 14

/* Fills what every cipher has in common from a suite that dt_suite_check liked. */
void dt_cipher_base(struct dt_cipher *c, const struct dt_cipher_ops *ops, const struct dt_suite *s);
/* The nonce of an AEAD (RFC 4106 4, RFC 7634 2): salt | IV. */
static inline void dt_aead_nonce(uint8_t nonce[12], const uint8_t *salt, const uint8_t *iv)
{
    memcpy(nonce, salt, DT_SALT_LEN);
    memcpy(nonce + DT_SALT_LEN, iv, 8);
}

/* The parts of the OpenSSL provider that the IPsec-MB one keeps. */
int dt_openssl_prf(uint16_t prf, struct dt_span key, const struct dt_span *in, size_t n, uint8_t *out,
                   struct dt_err *err);
int dt_openssl_hash(enum dt_hash hash, const struct dt_span *in, size_t n, uint8_t *out, struct dt_err *err);
struct dt_dh *dt_openssl_dh_new(uint16_t group, const struct dt_rand *rand, struct dt_err *err);
struct dt_cipher *dt_openssl_cipher_new(const struct dt_suite *s, struct dt_span key,
                                        struct dt_span integ_key, struct dt_err *err);
/* "what: OpenSSL's newest reason"; empties OpenSSL's queue of errors; returns -1. */
int dt_openssl_fail(struct dt_err *err, const char *what);

#endif
