/* What proves this end: certificate, intermediates, private key. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/utf8.h"
#include "crypto/x509_priv.h"

struct dt_x509_own {
    atomic_uint refs;
    struct dt_sig_key *key;
    X509 *leaf;
    size_t n;
    struct dt_span der[DT_X509_CHAIN_MAX]; /* ours */
    int64_t from, until;
    char text[X509_WHO_STRLEN + 128];
};

static int own_add(struct dt_x509_own *o, X509 *cert, struct dt_err *err)
{
    uint8_t *der = NULL;
    int len = i2d_X509(cert, &der);
    if (len <= 0 || o->n == DT_X509_CHAIN_MAX) {
        OPENSSL_free(der);
        return dt_err_set(err, 0, "there are more than %d certificates in it", DT_X509_CHAIN_MAX);
    }
    o->der[o->n++] = dt_span(der, (size_t)len);
    int64_t from = x509_seconds(X509_get0_notBefore(cert)), until = x509_seconds(X509_get0_notAfter(cert));
    o->from = from > o->from ? from : o->from;
    o->until = until < o->until ? until : o->until;
    if (!o->leaf) {
        o->leaf = cert;
        X509_up_ref(cert);
    }
    return 0;
}

static int own_read_pem(struct dt_x509_own *o, struct dt_span text, struct dt_err *err)
{
    BIO *bio = text.len <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.len) : NULL;
    int rc = bio ? 0 : -1;
    X509 *cert;
    while (rc == 0 && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        rc = own_add(o, cert, err);
        X509_free(cert);
    }
    bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (rc == 0 && o->n > 0 && !end)
        return dt_err_set(err, 0, "certificate %zu in it is malformed", o->n + 1);
    return rc;
}

static int own_read(struct dt_x509_own *o, struct dt_span text, struct dt_err *err)
{
    const uint8_t *p = text.p;
    int rc = 0;
    if (x509_is_pem(text)) {
        rc = own_read_pem(o, text, err);
    } else {
        X509 *cert = text.len <= INT32_MAX ? d2i_X509(NULL, &p, (long)text.len) : NULL;
        rc = cert ? own_add(o, cert, err) : 0;
        X509_free(cert);
        ERR_clear_error();
    }
    size_t octets = 0;
    for (size_t i = 0; i < o->n; i++)
        octets += o->der[i].len;
    if (rc == 0 && !o->n)
        return dt_err_set(err, 0,
                          "there is no certificate in it; PEM (\"BEGIN CERTIFICATE\") would be right");
    if (rc == 0 && octets > DT_X509_CHAIN_OCTETS)
        return dt_err_set(err, 0, "its certificates have %zu octets; at most %d can be sent", octets,
                          DT_X509_CHAIN_OCTETS);
    return rc;
}

static int own_match(struct dt_x509_own *o, struct dt_err *err)
{
    char who[X509_WHO_STRLEN], key[DT_KEY_STRLEN], until[X509_DAY_STRLEN];
    struct dt_err why = {0};
    EVP_PKEY *pkey = X509_get_pubkey(o->leaf);
    struct dt_sig_key *public = pkey ? sig_key_of(pkey, &why) : NULL;
    ERR_clear_error();
    if (!public)
        return dt_err_set(err, 0, "the key of %s cannot be used: %s", x509_who(who, o->leaf), why.text);
    bool same = dt_sig_key_eq(public, o->key);
    dt_sig_key_unref(public);
    if (!same)
        return dt_err_set(err, 0, "the first certificate in it, %s, is not one of this private key",
                          x509_who(who, o->leaf));
    dt_utf8_printf(o->text, sizeof(o->text), "%s, %s, valid until %s", x509_who(who, o->leaf),
                   dt_sig_key_str(key, o->key), x509_day_of(until, o->until));
    return 0;
}

struct dt_x509_own *dt_x509_own_new(struct dt_span certificates, struct dt_span private_key,
                                    struct dt_err *err)
{
    struct dt_err why = {0};
    struct dt_x509_own *o = calloc(1, sizeof(*o));
    if (!o) {
        dt_err_set(err, 0, "no memory for a certificate");
        return NULL;
    }
    atomic_init(&o->refs, 1);
    o->from = INT64_MIN;
    o->until = DT_X509_NEVER;
    if (own_read(o, certificates, err) == 0) {
        o->key = dt_sig_key_private(private_key, &why);
        if (!o->key)
            dt_err_set(err, 0, "its private key cannot be used: %s", why.text);
        else if (own_match(o, err) == 0)
            return o;
    }
    dt_x509_own_unref(o);
    return NULL;
}

struct dt_x509_own *dt_x509_own_ref(struct dt_x509_own *own)
{
    if (own)
        atomic_fetch_add(&own->refs, 1);
    return own;
}

void dt_x509_own_unref(struct dt_x509_own *own)
{
    if (!own || atomic_fetch_sub(&own->refs, 1) != 1)
        return;
    for (size_t i = 0; i < own->n; i++)
        OPENSSL_free((void *)(uintptr_t)own->der[i].p);
    dt_sig_key_unref(own->key);
    X509_free(own->leaf);
    free(own);
}

size_t dt_x509_own_count(const struct dt_x509_own *own)
{
    return own->n;
}

struct dt_span dt_x509_own_der(const struct dt_x509_own *own, size_t i)
{
    return own->der[i];
}

const struct dt_sig_key *dt_x509_own_key(const struct dt_x509_own *own)
{
    return own->key;
}

int dt_x509_own_for(const struct dt_x509_own *own, enum dt_x509_name_kind kind, struct dt_span name,
                    struct dt_err *err)
{
    char names[360];
    if (x509_has(own->leaf, kind, name))
        return 0;
    return dt_err_set(err, 0, "it is for %s", x509_names(names, sizeof(names), own->leaf));
}

bool dt_x509_own_eq(const struct dt_x509_own *a, const struct dt_x509_own *b)
{
    if (a == b || !a || !b)
        return a == b;
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->der[i].len == b->der[i].len && !memcmp(a->der[i].p, b->der[i].p, a->der[i].len);
    return same;
}

int64_t dt_x509_own_from(const struct dt_x509_own *own)
{
    return own->from;
}

int64_t dt_x509_own_until(const struct dt_x509_own *own)
{
    return own->until;
}

const char *dt_x509_own_str(const struct dt_x509_own *own)
{
    return own->text;
}

X509 *x509_own_leaf(const struct dt_x509_own *own)
{
    return own->leaf;
}
