/* Authorities and certificates for tests, made when they are needed. Times are seconds since 1970, about CERTS_NOW. */
#ifndef DT_TEST_SUPPORT_CERTS_H
#define DT_TEST_SUPPORT_CERTS_H

#include "support/test.h"

#include "crypto/x509_issue.h"

#define CERTS_NOW  INT64_C(1800000000) /* 2027-01-15 08:00:00 UTC */
#define CERTS_DAY  INT64_C(86400)
#define CERTS_YEAR (365 * CERTS_DAY)

struct cert {
    struct dt_x509_authority a; /* certificate and key */
    struct dt_x509_text key;    /* PEM */
    char serial[DT_X509_SERIAL_STRLEN];
    uint8_t der[4096];
    size_t len;
};

/* Valid from a year before CERTS_NOW to a year after it. A P-256 key unless the draft brings one. */
struct dt_x509_draft cert_draft(const char *cn, const struct cert *by);
void cert_issue(struct cert *out, struct dt_x509_draft *d); /* gives d its key where it has none */
/* An authority; by NULL: a root. */
void cert_ca(struct cert *out, const char *cn, const struct cert *by);
/* Of a host or a person: one name (an address, one with @, else DNS), for both purposes. */
void cert_host(struct cert *out, const char *name, const struct cert *by, enum dt_key_kind kind);
void cert_free(struct cert *c);
struct dt_span cert_span(const struct cert *c); /* DER */

/* Credentials of certificates, the first with its key. */
struct dt_x509_own *certs_own(const struct cert *const *c, size_t n);
struct dt_x509_trust *certs_trust(enum dt_x509_crl crl, const struct cert *const *c, size_t n);
/* A CRL of `by` with n of these revoked, put into the trust. */
void certs_revoke(struct dt_x509_trust *t, const struct cert *by, const struct cert *const *c, size_t n,
                  int64_t from, int64_t until);
/* One RSA key for all tests of a process: it takes its time. */
struct dt_sig_key *certs_rsa_key(void);

#endif
