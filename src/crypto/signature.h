/* Signatures of IKE (RFC 7427, 4754, 8420) and the keys that make and check them; all by OpenSSL.
 *
 * A key is immutable and counted: share it between threads. Its private half is wiped with the last reference. Functions that
 * fail return -1 or NULL and fill *err, which may be NULL.
 *
 * Kinds: RSA (2048 to 8192 bits, public exponent up to 64 bits), ECDSA on P-256, P-384 and P-521, Ed25519. Whatever else a
 * file or a certificate has is refused by its name. */
#ifndef DT_CRYPTO_SIGNATURE_H
#define DT_CRYPTO_SIGNATURE_H

#include "crypto/crypto.h"

#define DT_SIGNATURE_MAX     1024 /* octets, of RSA with 8192 bits */
#define DT_SIG_ALGORITHM_MAX 128  /* octets of an AlgorithmIdentifier that is written or read */
#define DT_KEY_RSA_BITS_MIN  2048
#define DT_KEY_RSA_BITS_MAX  8192
#define DT_KEY_STRLEN        32

enum dt_key_kind { DT_KEY_RSA = 1, DT_KEY_P256, DT_KEY_P384, DT_KEY_P521, DT_KEY_ED25519 };

struct dt_sig_key;

/* A private key: PEM (PKCS#8 "PRIVATE KEY", or the older kinds of RSA and EC) or PKCS#8 in DER. An encrypted one is
 * refused. */
struct dt_sig_key *dt_sig_key_private(struct dt_span text, struct dt_err *err);
/* A public key: PEM "PUBLIC KEY" or a SubjectPublicKeyInfo in DER (RFC 7670), nothing behind it. */
struct dt_sig_key *dt_sig_key_public(struct dt_span text, struct dt_err *err);
struct dt_sig_key *dt_sig_key_ref(struct dt_sig_key *k);
void dt_sig_key_unref(struct dt_sig_key *k); /* NULL is fine */
enum dt_key_kind dt_sig_key_kind(const struct dt_sig_key *k);
/* "RSA with 2048 bits", "ECDSA P-256", "Ed25519". Returns buf. */
const char *dt_sig_key_str(char buf[DT_KEY_STRLEN], const struct dt_sig_key *k);
/* The same public key. */
bool dt_sig_key_eq(const struct dt_sig_key *a, const struct dt_sig_key *b);
/* Its SubjectPublicKeyInfo in DER: the length, or 0 when cap is too small. */
size_t dt_sig_key_spki(const struct dt_sig_key *k, uint8_t *out, size_t cap);
/* What a signature of that key costs, and its check, in microseconds (as dt_ke_work). */
uint32_t dt_sig_key_work(const struct dt_sig_key *k);

/* How something is signed. RSA and ECDSA: of a hash of enum dt_hash. Ed25519: of the octets themselves, hash 0. */
enum dt_sig_scheme { DT_SIG_NONE = 0, DT_SIG_RSA_PKCS1, DT_SIG_RSA_PSS, DT_SIG_ECDSA, DT_SIG_ED25519 };
struct dt_sig_algorithm {
    enum dt_sig_scheme scheme;
    enum dt_hash hash;
    uint16_t salt; /* RSA_PSS: octets */
};
#define DT_SIG_STRLEN 48
/* "RSASSA-PSS with SHA2-256", "ECDSA with SHA2-384", "Ed25519". Returns buf. */
const char *dt_sig_str(char buf[DT_SIG_STRLEN], const struct dt_sig_algorithm *a);
bool dt_sig_fits(const struct dt_sig_algorithm *a, enum dt_key_kind kind);

/* out gets the signature (DT_SIGNATURE_MAX octets of room); ECDSA's is DER's ECDSA-Sig-Value. */
int dt_sig_sign(const struct dt_sig_key *k, const struct dt_sig_algorithm *a, struct dt_span octets,
                uint8_t *out, size_t *len, struct dt_err *err);
/* 0: it is that key's signature of the octets. */
int dt_sig_check(const struct dt_sig_key *k, const struct dt_sig_algorithm *a, struct dt_span octets,
                 struct dt_span signature, struct dt_err *err);

/* RFC 7427 section 3: the AlgorithmIdentifier in DER. write: its length, or 0. read: -1 with *err for what is not known here,
 * SHA-1 among it. */
size_t dt_sig_algorithm_write(uint8_t *out, size_t cap, const struct dt_sig_algorithm *a);
int dt_sig_algorithm_read(struct dt_sig_algorithm *out, struct dt_span der, struct dt_err *err);

/* RFC 4754 section 3: r | s, each as long as the curve's order, in the place of the DER. The length, or 0: not that curve's,
 * or no room. */
size_t dt_sig_ecdsa_raw(uint8_t *out, size_t cap, enum dt_key_kind curve, struct dt_span der);
size_t dt_sig_ecdsa_der(uint8_t *out, size_t cap, enum dt_key_kind curve, struct dt_span raw);

#endif
