/* Cryptography behind one struct of functions, so that daemon, simulator and tests run the same engines.
 *
 * Providers are constant tables without state: share them freely between threads. None of them draws
 * randomness by itself; whoever needs a secret passes a `struct dt_rand`. Spans are borrowed for the length
 * of a call. Every number on the wire is big-endian. Functions that fail return -1 or NULL and fill *err,
 * which may be NULL.
 *
 * Sources: RFC 7296 (2.13 prf+, 3.14 SK payload), 4303 (ESP), 4106 and 5282 (AES-GCM), 7634
 * (ChaCha20-Poly1305), 3602 (AES-CBC), 4868 (HMAC-SHA2), 3526 (MODP), 5903 (ECP), 8031 and 7748 (X25519). */
#ifndef DT_CRYPTO_CRYPTO_H
#define DT_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/rand.h"
#include "base/transform.h"

#define DT_PRF_MAX    64  /* the longest PRF output and preferred key, bytes */
#define DT_HASH_MAX   64  /* the longest hash, bytes */
#define DT_KE_MAX     256 /* the longest public value and shared secret (group 14), bytes */
#define DT_IV_MAX     16
#define DT_ICV_MAX    32
#define DT_SALT_LEN   4 /* the implicit part of an AEAD's nonce, last in its key */
#define DT_SUITE_NAME 48

enum dt_hash {
    DT_HASH_SHA1 = 1, /* NAT detection (RFC 7296 2.23); nothing else may use it */
    DT_HASH_SHA2_256 = 2,
    DT_HASH_SHA2_384 = 3,
    DT_HASH_SHA2_512 = 4,
};

/* ---- the provider ------------------------------------------------------------------------------------- */

struct dt_cipher;
struct dt_dh;

struct dt_crypto {
    const char *name; /* "openssl", "ipsecmb", "null" */
    /* out gets dt_prf_len(prf) bytes: the PRF (enum dt_prf) of the concatenated spans. Keys of any length. */
    int (*prf)(uint16_t prf, struct dt_span key, const struct dt_span *in, size_t n, uint8_t *out,
               struct dt_err *err);
    /* out gets dt_hash_len(hash) bytes. */
    int (*hash)(enum dt_hash hash, const struct dt_span *in, size_t n, uint8_t *out, struct dt_err *err);
    struct dt_dh *(*dh_new)(uint16_t group, const struct dt_rand *rand, struct dt_err *err);
    struct dt_cipher *(*cipher_new)(const struct dt_suite *suite, struct dt_span key,
                                    struct dt_span integ_key, struct dt_err *err);
};

/* OpenSSL 3's libcrypto: every algorithm of base/transform.h but DT_ENCR_NULL. */
const struct dt_crypto *dt_crypto_openssl(void);
/* The same, with intel-ipsec-mb under the ciphers that it does faster. NULL when it was not built in or when
 * this processor lacks AES-NI or PCLMULQDQ. */
const struct dt_crypto *dt_crypto_ipsecmb(void);
/* No secrecy at all, cheap and deterministic: for the simulator. Takes every algorithm with its real lengths
 * (and DT_ENCR_NULL); text stays readable; a wrong key or any changed bit is still noticed; both sides of a
 * key exchange get the same toy secret. */
const struct dt_crypto *dt_crypto_null(void);
/* The fastest real one here: ipsecmb, else openssl. */
const struct dt_crypto *dt_crypto_best(void);
/* "auto" (the best), "openssl", "ipsecmb" or "null"; NULL when unknown or not available here. */
const struct dt_crypto *dt_crypto_by_name(const char *name);

/* ---- PRF, hash ------------------------------------------------------------------------------- */

size_t dt_prf_len(uint16_t prf); /* output = preferred key length; 0 when unknown */
size_t dt_hash_len(enum dt_hash hash);

int dt_prf(const struct dt_crypto *c, uint16_t prf, struct dt_span key, const struct dt_span *in, size_t n,
           uint8_t *out, struct dt_err *err);
/* prf+ (key, in) of RFC 7296 2.13, len bytes of it; at most 255 blocks and 8 spans. */
int dt_prf_plus(const struct dt_crypto *c, uint16_t prf, struct dt_span key, const struct dt_span *in,
                size_t n, uint8_t *out, size_t len, struct dt_err *err);
int dt_hash(const struct dt_crypto *c, enum dt_hash hash, const struct dt_span *in, size_t n, uint8_t *out,
            struct dt_err *err);

/* ---- key exchange ---------------------------------------------------------------------------- */

/* Lengths of a group (enum dt_ke) in bytes, fixed for the group; 0 when the group is unknown. Public value as
 * in the KE payload: X25519 32; ECP x | y (RFC 5903 7); MODP padded at the front with zeros to the prime's
 * length. Shared secret (g^ir): X25519 32; ECP x alone; MODP likewise padded. */
size_t dt_ke_public_len(uint16_t group);
size_t dt_ke_shared_len(uint16_t group);

/* What a key pair and a shared secret of that group cost together, in microseconds of a processor of about 2020 with
 * OpenSSL 3.0: for budgets, where groups are weighed against each other. 0 when the group is unknown. */
uint32_t dt_ke_work(uint16_t group);

/* What a provider puts first in its own `struct dt_dh`. */
struct dt_dh_ops {
    int (*shared)(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err);
    void (*free)(struct dt_dh *dh);
};
struct dt_dh {
    const struct dt_dh_ops *ops;
    uint16_t group;
    uint8_t pub[DT_KE_MAX]; /* dt_ke_public_len(group) bytes of it */
};

/* A fresh key pair of `group`; the private value is made of bytes from `rand` (32 for X25519 and ECP-256, 48
 * for ECP-384, 40 for MODP; drawn again where the value is out of range). The caller owns it. */
struct dt_dh *dt_dh_new(const struct dt_crypto *c, uint16_t group, const struct dt_rand *rand,
                        struct dt_err *err);
/* The public value, dt_ke_public_len bytes that live as long as dh. */
struct dt_span dt_dh_public(const struct dt_dh *dh);
/* The shared secret with the peer's public value: out gets dt_ke_shared_len bytes. Refuses a value of the
 * wrong length (err->notify INVALID_SYNTAX), not on the curve, of small order, or outside 2 .. p - 2. May be
 * called again. */
int dt_dh_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err);
/* Wipes and frees; NULL is fine. */
void dt_dh_free(struct dt_dh *dh);

/* ---- ciphers --------------------------------------------------------------------------------- */

/* Lengths of a suite in bytes; 0 for all when the suite is unknown or incomplete (dt_suite_check says why). */
size_t dt_suite_key_len(const struct dt_suite *s);   /* encryption key, with the salt behind it for an AEAD */
size_t dt_suite_integ_len(const struct dt_suite *s); /* integrity key; 0 for an AEAD */
size_t dt_suite_iv_len(const struct dt_suite *s);    /* IV on the wire: 8, or 16 for CBC */
size_t dt_suite_icv_len(const struct dt_suite *s);
size_t dt_suite_block_len(const struct dt_suite *s); /* text is a multiple of this: 1, or 16 for CBC */
bool dt_suite_aead(const struct dt_suite *s);
int dt_suite_check(const struct dt_suite *s, struct dt_err *err);
/* "aes128gcm16", "chacha20poly1305", "aes256-sha2_256_128", "null"; the numbers when unknown. Returns buf. */
const char *dt_suite_name(const struct dt_suite *s, char buf[DT_SUITE_NAME]);
/* "prf-hmac-sha2-256", "x25519", "ecp384", "modp2048"; "?" when unknown. */
const char *dt_prf_name(uint16_t prf);
const char *dt_ke_name(uint16_t group);

/* One packet to seal or open, in place. Authenticated: aad | iv | text | tail for encrypt-then-MAC; for an
 * AEAD the aad and the text (the IV through the nonce), and tail must be empty. So:
 *   IKE, any cipher     aad = IKE header to the end of the SK payload's generic header, tail empty
 *   ESP, AEAD           aad = SPI | sequence number, with ESN SPI | high half | low half (RFC 4106 5)
 *   ESP, CBC with HMAC  aad = SPI | low half, with ESN tail = high half (RFC 4303 2.2.1)
 * iv, text and icv usually lie one after another in the packet but need not; aad and tail may lie anywhere. */
struct dt_cipher_op {
    const uint8_t *iv; /* iv_len bytes, made by dt_cipher_iv before seal */
    uint8_t *text;     /* plaintext becomes ciphertext or the reverse; a multiple of block_len */
    uint32_t len;
    const uint8_t *aad;
    const uint8_t *tail;
    uint16_t aad_len;
    uint16_t tail_len;
    uint8_t *icv; /* icv_len bytes: seal writes them, open compares with them in constant time */
    bool ok;      /* open_batch and seal_batch: done and, for open, authentic */
};

/* Never more than this in one operation's text. */
#define DT_CIPHER_TEXT_MAX (1u << 17)

struct dt_cipher_ops {
    int (*seal)(struct dt_cipher *c, struct dt_cipher_op *op);
    int (*open)(struct dt_cipher *c, struct dt_cipher_op *op);
    size_t (*seal_batch)(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n);
    size_t (*open_batch)(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n);
    void (*free)(struct dt_cipher *c);
};

/* A keyed cipher for one direction. What a provider puts first in its own; the fields are read-only to
 * others.
 *
 * Threads: seal, open, iv and the batches may run at the same time on one cipher from any number of threads,
 * without locks and without a copy for each; only free needs that nobody else uses it any more. */
struct dt_cipher {
    const struct dt_cipher_ops *ops;
    struct dt_suite suite;
    uint8_t iv_len, icv_len, block_len;
    bool aead;
    uint64_t iv_key[4]; /* CBC: what makes the IV unpredictable */
};

/* key: encryption key, then the salt (an AEAD's nonce is salt | IV); integ_key: empty for an AEAD. IKE takes
 * SK_e* and SK_a*; ESP takes KEYMAT, which is the one and then the other (RFC 7296 2.17). Both are copied,
 * and wiped at free. */
struct dt_cipher *dt_cipher_new(const struct dt_crypto *c, const struct dt_suite *s, struct dt_span key,
                                struct dt_span integ_key, struct dt_err *err);
void dt_cipher_free(struct dt_cipher *c);

/* The IV for a packet that has never been used with this key: the caller's counter must never repeat under it
 * (ESP: the 64-bit sequence number; IKE: a counter of messages sealed). Counter modes carry the counter
 * itself; CBC gets a PRF of it under a key derived from the encryption key, so that nobody else can predict
 * it. */
void dt_cipher_iv(const struct dt_cipher *c, uint64_t counter, uint8_t *iv);

/* 0, or -1 when a length is wrong; open also when the packet is not authentic: its text is then worthless. */
int dt_cipher_seal(struct dt_cipher *c, struct dt_cipher_op *op);
int dt_cipher_open(struct dt_cipher *c, struct dt_cipher_op *op);
/* The same for n packets of one cipher; sets each op's `ok`, one that fails changes nothing for the others.
 * Returns how many are ok. */
size_t dt_cipher_seal_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n);
size_t dt_cipher_open_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n);

#endif
