/* Inside a trust: for x509_trust.c, which fills it, and x509_verify.c, which asks it. */
#ifndef DT_CRYPTO_X509_TRUST_H
#define DT_CRYPTO_X509_TRUST_H

#include <stdatomic.h>

#include "crypto/provider.h"
#include "crypto/x509_priv.h"

struct trust_anchor {
    X509 *cert;
    uint8_t hash[DT_X509_HASH_LEN];
};

struct dt_x509_trust {
    atomic_uint refs;
    X509_STORE *store;
    enum dt_x509_crl crl;
    struct trust_anchor *anchor;
    size_t nanchor, anchor_cap;
    X509_CRL **crls;
    size_t ncrl, crl_cap;
    char text[400];
};

#endif
