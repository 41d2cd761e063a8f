/* Whom we believe: authorities and their CRLs. */
#include "crypto/x509_trust.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/grow.h"
#include "base/utf8.h"

#define CRLS_MAX 256

struct dt_x509_trust *dt_x509_trust_new(enum dt_x509_crl crl)
{
    struct dt_x509_trust *t = calloc(1, sizeof(*t));
    if (!t || !(t->store = X509_STORE_new())) {
        free(t);
        ERR_clear_error();
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->crl = crl;
    return t;
}

struct dt_x509_trust *dt_x509_trust_ref(struct dt_x509_trust *t)
{
    if (t)
        atomic_fetch_add(&t->refs, 1);
    return t;
}

void dt_x509_trust_unref(struct dt_x509_trust *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    for (size_t i = 0; i < t->nanchor; i++)
        X509_free(t->anchor[i].cert);
    for (size_t i = 0; i < t->ncrl; i++)
        X509_CRL_free(t->crls[i]);
    free(t->anchor);
    free(t->crls);
    X509_STORE_free(t->store);
    free(t);
}

/* ---- authorities ---- */

static int anchor_hash(struct trust_anchor *a)
{
    uint8_t *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(a->cert), &der);
    const struct dt_span in = dt_span(der, len > 0 ? (size_t)len : 0);
    int rc = len > 0 ? dt_openssl_hash(DT_HASH_SHA1, &in, 1, a->hash, NULL) : -1;
    OPENSSL_free(der);
    return rc;
}

/* Takes a reference of its own. */
static int anchor_add(struct dt_x509_trust *t, X509 *cert, struct dt_err *err)
{
    char who[X509_WHO_STRLEN], name[X509_NAME_STRLEN];
    for (size_t i = 0; i < t->nanchor; i++)
        if (X509_cmp(t->anchor[i].cert, cert) == 0)
            return 0;
    if (X509_check_ca(cert) != 1)
        return dt_err_set(err, 0,
                          "%s is no authority's: basicConstraints does not say CA:TRUE, or keyUsage "
                          "has no keyCertSign",
                          x509_who(who, cert));
    if (t->nanchor == DT_X509_ANCHORS_MAX)
        return dt_err_set(err, 0, "there are more than %d authorities", DT_X509_ANCHORS_MAX);
    if (dt_grow(t->anchor, t->anchor_cap, t->nanchor, 4) != 0 || X509_STORE_add_cert(t->store, cert) != 1)
        return dt_openssl_fail(err, "an authority cannot be kept");
    struct trust_anchor *a = &t->anchor[t->nanchor];
    *a = (struct trust_anchor){.cert = cert};
    if (anchor_hash(a) != 0)
        return dt_openssl_fail(err, "an authority's key cannot be hashed");
    X509_up_ref(cert);
    t->nanchor++;
    size_t at = strlen(t->text);
    dt_utf8_printf(t->text + at, sizeof(t->text) - at, "%s%.100s", at ? "; " : "",
                   x509_name_str(name, X509_get_subject_name(cert)));
    return 0;
}

/* ---- CRLs ---- */

static int crl_add(struct dt_x509_trust *t, X509_CRL *crl, struct dt_err *err)
{
    for (size_t i = 0; i < t->ncrl; i++)
        if (X509_CRL_match(t->crls[i], crl) == 0)
            return 0;
    if (t->ncrl == CRLS_MAX)
        return dt_err_set(err, 0, "there are more than %d CRLs", CRLS_MAX);
    if (dt_grow(t->crls, t->crl_cap, t->ncrl, 4) != 0 || X509_STORE_add_crl(t->store, crl) != 1)
        return dt_openssl_fail(err, "a CRL cannot be kept");
    X509_CRL_up_ref(crl);
    t->crls[t->ncrl++] = crl;
    return 0;
}

/* ---- files ---- */

/* Certificates or CRLs of a file in PEM. *n: how many there were. */
static int trust_read_pem(struct dt_x509_trust *t, struct dt_span text, bool crl, size_t *n,
                          struct dt_err *err)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
    int rc = bio ? 0 : dt_err_set(err, 0, "no memory");
    while (rc == 0) {
        X509 *cert = crl ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
        X509_CRL *list = crl ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
        if (!cert && !list)
            break;
        rc = cert ? anchor_add(t, cert, err) : crl_add(t, list, err);
        X509_free(cert);
        X509_CRL_free(list);
        ++*n;
    }
    bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (rc == 0 && *n > 0 && !end)
        return dt_err_set(err, 0, "%s %zu in it is malformed", crl ? "CRL" : "certificate", *n + 1);
    return rc;
}

static int trust_read_der(struct dt_x509_trust *t, struct dt_span text, bool crl, size_t *n,
                          struct dt_err *err)
{
    const uint8_t *p = text.p;
    X509 *cert = crl ? NULL : d2i_X509(NULL, &p, (long)text.len);
    X509_CRL *list = crl ? d2i_X509_CRL(NULL, &p, (long)text.len) : NULL;
    int rc = cert ? anchor_add(t, cert, err) : list ? crl_add(t, list, err) : 0;
    *n = cert || list;
    X509_free(cert);
    X509_CRL_free(list);
    ERR_clear_error();
    return rc;
}

static int trust_read(struct dt_x509_trust *t, struct dt_span text, bool crl, struct dt_err *err)
{
    size_t n = 0;
    if (text.len > INT32_MAX)
        return dt_err_set(err, 0, "it is too long");
    int rc =
        x509_is_pem(text) ? trust_read_pem(t, text, crl, &n, err) : trust_read_der(t, text, crl, &n, err);
    if (rc == 0 && n == 0)
        return dt_err_set(err, 0, "there is no %s in it; PEM (\"BEGIN %s\") would be right",
                          crl ? "CRL" : "certificate", crl ? "X509 CRL" : "CERTIFICATE");
    return rc;
}

int dt_x509_trust_add_ca(struct dt_x509_trust *t, struct dt_span text, struct dt_err *err)
{
    return trust_read(t, text, false, err);
}

int dt_x509_trust_add_crl(struct dt_x509_trust *t, struct dt_span text, struct dt_err *err)
{
    return trust_read(t, text, true, err);
}

/* ---- what it has ---- */

size_t dt_x509_trust_count(const struct dt_x509_trust *t)
{
    return t->nanchor;
}

const uint8_t *dt_x509_trust_hash(const struct dt_x509_trust *t, size_t i)
{
    return t->anchor[i].hash;
}

const char *dt_x509_trust_str(const struct dt_x509_trust *t)
{
    return t->text[0] ? t->text : "nobody";
}

bool dt_x509_trust_eq(const struct dt_x509_trust *a, const struct dt_x509_trust *b)
{
    if (a == b || !a || !b)
        return a == b;
    bool same = a->crl == b->crl && a->nanchor == b->nanchor && a->ncrl == b->ncrl;
    for (size_t i = 0; same && i < a->nanchor; i++)
        same = X509_cmp(a->anchor[i].cert, b->anchor[i].cert) == 0;
    for (size_t i = 0; same && i < a->ncrl; i++)
        same = X509_CRL_match(a->crls[i], b->crls[i]) == 0;
    return same;
}

void dt_x509_trust_remarks(const struct dt_x509_trust *t, int64_t now,
                           void (*each)(void *ctx, const char *text), void *ctx)
{
    char text[DT_ERR_TEXT], who[X509_WHO_STRLEN], name[X509_NAME_STRLEN], day[X509_DAY_STRLEN];
    for (size_t i = 0; i < t->nanchor; i++) {
        X509 *cert = t->anchor[i].cert;
        int64_t from = x509_seconds(X509_get0_notBefore(cert)),
                until = x509_seconds(X509_get0_notAfter(cert));
        if (now >= from && now <= until)
            continue;
        dt_utf8_printf(text, sizeof(text), "the authority %s %s %s", x509_who(who, cert),
                       now < from ? "is valid only from" : "expired on",
                       x509_day_of(day, now < from ? from : until));
        each(ctx, text);
    }
    for (size_t i = 0; i < t->ncrl; i++) {
        int64_t until = x509_seconds(X509_CRL_get0_nextUpdate(t->crls[i]));
        if (now <= until)
            continue;
        dt_utf8_printf(text, sizeof(text), "the CRL of %s was to be replaced by %s%s",
                       x509_name_str(name, X509_CRL_get_issuer(t->crls[i])), x509_day_of(day, until),
                       t->crl == DT_CRL_STRICT ? ": with crl = strict its certificates are refused" : "");
        each(ctx, text);
    }
}
