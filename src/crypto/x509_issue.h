/* What an authority does: makes keys, certificates and CRLs, and writes them as PEM. All by OpenSSL. For `dovetail pki` and for
 * tests; a daemon issues nothing.
 *
 * Texts that are returned are the caller's: dt_x509_text_free() wipes and frees. Functions that fail return -1 or NULL and fill
 * *err. */
#ifndef DT_CRYPTO_X509_ISSUE_H
#define DT_CRYPTO_X509_ISSUE_H

#include "crypto/x509.h"

struct x509_st; /* OpenSSL's X509 */

struct dt_x509_text {
    char *p; /* NUL-terminated; NULL: none */
    size_t len;
};
void dt_x509_text_free(struct dt_x509_text *t);

/* A fresh key by OpenSSL's own random source. bits: of RSA. */
struct dt_sig_key *dt_sig_key_generate(enum dt_key_kind kind, unsigned bits, struct dt_err *err);
int dt_sig_key_pem(const struct dt_sig_key *k, struct dt_x509_text *out, struct dt_err *err); /* PKCS#8 */
int dt_sig_key_public_pem(const struct dt_sig_key *k, struct dt_x509_text *out, struct dt_err *err);

#define DT_X509_NAMES_MAX 16

enum dt_x509_purpose { DT_X509_FOR_SERVER = 1, DT_X509_FOR_CLIENT = 2, DT_X509_FOR_IKE = 4 };

struct dt_x509_name {
    enum dt_x509_name_kind kind; /* not DT_X509_DN */
    const char *text;
};

/* A certificate to be. */
struct dt_x509_draft {
    const char *cn, *org;                        /* of the subject; NULL: left out */
    struct dt_x509_name name[DT_X509_NAMES_MAX]; /* subjectAltName */
    size_t n;
    unsigned purposes; /* enum dt_x509_purpose; 0: no extKeyUsage */
    bool ca;
    int path; /* pathLenConstraint of an authority; -1: none */
    int64_t from, until;
    const struct dt_sig_key *key;                  /* the subject's */
    const struct dt_x509_authority *by;            /* NULL: by itself */
    void (*last)(struct x509_st *cert, void *ctx); /* before it is signed; NULL: nothing more is done to it */
    void *ctx;
};

struct dt_x509_authority {
    struct dt_x509_text cert; /* PEM */
    struct dt_sig_key *key;
};

/* 16 random octets are its serial number, and go into serial[] as hex. */
#define DT_X509_SERIAL_STRLEN 40
int dt_x509_issue(const struct dt_x509_draft *d, char serial[DT_X509_SERIAL_STRLEN], struct dt_x509_text *out,
                  struct dt_err *err);

struct dt_x509_revoked {
    const char *serial; /* hex */
    int64_t since;
};
/* number: of the CRL; each has a higher one than the one before. */
int dt_x509_crl(const struct dt_x509_authority *by, const struct dt_x509_revoked *list, size_t n,
                uint64_t number, int64_t from, int64_t until, struct dt_x509_text *out, struct dt_err *err);

/* What a certificate in PEM says of itself. */
struct dt_x509_facts {
    char subject[DT_X509_TEXT], issuer[DT_X509_TEXT], names[400];
    char serial[DT_X509_SERIAL_STRLEN], key[DT_KEY_STRLEN];
    int64_t from, until;
    bool ca;
};
int dt_x509_facts(const char *pem, struct dt_x509_facts *out, struct dt_err *err);

#endif
