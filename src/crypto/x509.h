/* Certificates (RFC 5280) as IKE uses them (RFC 4945): what proves this end, and who is believed about the other. All parsing
 * and all verification is OpenSSL's (X509_verify_cert); what is said here is which questions it is asked.
 *
 * dt_x509_own      our certificate, the intermediates behind it, and its private key
 * dt_x509_trust    the authorities whose certificates are taken, and their CRLs. Nothing is trusted but what was added: there
 *                  is no system store
 *
 * Both are immutable once they are made, counted, and may be used by any thread. Times are seconds since 1970 (wall clock), given by
 * the caller. Functions that fail return -1 or NULL and fill *err: a sentence without a name at its beginning.
 *
 * Rules, constant for all:
 *   authorities  every certificate of a trust is an anchor, root or not; it must be a CA's
 *   chain        at most DT_X509_CHAIN_MAX certificates came from the peer, and at most DT_X509_CHAIN_OCTETS; basicConstraints,
 *                path lengths and name constraints as RFC 5280 says
 *   strength     RSA of 2048 bits or its like, no SHA-1 or MD5 under a certificate that is not an anchor (OpenSSL's level 2)
 *   purpose      keyUsage, where there is one, has digitalSignature or nonRepudiation. extKeyUsage, where there is one, has
 *                id-kp-ipsecIKE, anyExtendedKeyUsage or iKEIntermediate; else, of a responder, serverAuth; of an initiator,
 *                clientAuth or serverAuth
 *   name         the identity is a subjectAltName, or the subject as a whole; never a wildcard, never the CN alone */
#ifndef DT_CRYPTO_X509_H
#define DT_CRYPTO_X509_H

#include "crypto/signature.h"

#define DT_X509_CHAIN_MAX    8
#define DT_X509_CHAIN_OCTETS 14336 /* what fits into one message of IKE beside the rest */
#define DT_X509_ANCHORS_MAX  256
#define DT_X509_HASH_LEN     20 /* of an authority's public key (RFC 7296 section 3.7) */
#define DT_X509_TEXT         200
#define DT_X509_NEVER        INT64_MAX

enum dt_x509_name_kind {
    DT_X509_DNS = 1,
    DT_X509_EMAIL,
    DT_X509_IP, /* 4 or 16 octets */
    DT_X509_DN, /* DER */
};

/* ---- our own ---- */

struct dt_x509_own;

/* certificates: PEM, the key's own first and then its intermediates, or one in DER. */
struct dt_x509_own *dt_x509_own_new(struct dt_span certificates, struct dt_span private_key,
                                    struct dt_err *err);
struct dt_x509_own *dt_x509_own_ref(struct dt_x509_own *own);
void dt_x509_own_unref(struct dt_x509_own *own);
size_t dt_x509_own_count(const struct dt_x509_own *own);
struct dt_span dt_x509_own_der(const struct dt_x509_own *own, size_t i);
const struct dt_sig_key *dt_x509_own_key(const struct dt_x509_own *own);
/* Is it for that name? Else -1 with *err: which names it has. */
int dt_x509_own_for(const struct dt_x509_own *own, enum dt_x509_name_kind kind, struct dt_span name,
                    struct dt_err *err);
/* Has it a purpose that a peer takes from a responder (an initiator)? Else -1 with *err. */
int dt_x509_own_purpose(const struct dt_x509_own *own, bool responder, struct dt_err *err);
/* The same certificates (and so the same key). Either may be NULL. */
bool dt_x509_own_eq(const struct dt_x509_own *a, const struct dt_x509_own *b);
/* Of the whole chain: valid from, and until. */
int64_t dt_x509_own_from(const struct dt_x509_own *own);
int64_t dt_x509_own_until(const struct dt_x509_own *own);
const char *
dt_x509_own_str(const struct dt_x509_own *own); /* subject, serial, issuer, key, until when: for people */

/* ---- whom we believe ---- */

enum dt_x509_crl {
    DT_CRL_SOFT,   /* a CRL that is there counts; one that is absent or out of date is told */
    DT_CRL_STRICT, /* every certificate but the anchor needs one that is current */
};

struct dt_x509_trust;

struct dt_x509_trust *dt_x509_trust_new(enum dt_x509_crl crl);
struct dt_x509_trust *dt_x509_trust_ref(struct dt_x509_trust *t);
void dt_x509_trust_unref(struct dt_x509_trust *t);
/* Only before the trust is shared. text: one or more in PEM, or one in DER. */
int dt_x509_trust_add_ca(struct dt_x509_trust *t, struct dt_span text, struct dt_err *err);
int dt_x509_trust_add_crl(struct dt_x509_trust *t, struct dt_span text, struct dt_err *err);
size_t dt_x509_trust_count(const struct dt_x509_trust *t);
const uint8_t *dt_x509_trust_hash(const struct dt_x509_trust *t, size_t i); /* DT_X509_HASH_LEN octets */
/* "CN=Example CA, CN=Other CA": for people. */
const char *dt_x509_trust_str(const struct dt_x509_trust *t);
bool dt_x509_trust_eq(const struct dt_x509_trust *a, const struct dt_x509_trust *b); /* either may be NULL */
/* What is wrong with it at that time: an anchor or a CRL that is out of date. One sentence for each. */
void dt_x509_trust_remarks(const struct dt_x509_trust *t, int64_t now,
                           void (*each)(void *ctx, const char *text), void *ctx);

struct dt_x509_question {
    const struct dt_span *cert; /* DER as it came: the peer's own first (RFC 7296 section 3.6) */
    size_t n;
    enum dt_x509_name_kind kind;
    struct dt_span name;
    bool responder; /* the peer is; else it is the initiator */
    int64_t now;
};

struct dt_x509_answer {
    struct dt_sig_key *key;  /* the peer's public key: the caller's to unref */
    int64_t until;           /* when the first of the chain expires */
    char who[DT_X509_TEXT];  /* subject, serial, issuer: for people */
    char note[DT_X509_TEXT]; /* DT_CRL_SOFT: which CRL is absent or out of date; else empty */
};

/* Is this certificate the peer's, by an authority of ours, now? 0, or -1 with *err. Public-key work: a millisecond. */
int dt_x509_verify(const struct dt_x509_trust *t, const struct dt_x509_question *q, struct dt_x509_answer *a,
                   struct dt_err *err);

#endif
