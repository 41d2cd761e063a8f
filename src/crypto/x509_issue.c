/* Keys, certificates and CRLs, made. */
#include "crypto/x509_issue.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/utf8.h"
#include "crypto/provider.h"
#include "crypto/x509_priv.h"

void dt_x509_text_free(struct dt_x509_text *t)
{
    if (t->p)
        dt_wipe(t->p, t->len);
    free(t->p);
    *t = (struct dt_x509_text){0};
}

/* What was written into the BIO, which is freed. */
static int text_take(struct dt_x509_text *out, BIO *bio, int ok, struct dt_err *err)
{
    char *p = NULL;
    long n = ok ? BIO_get_mem_data(bio, &p) : 0;
    *out = (struct dt_x509_text){.p = n > 0 ? malloc((size_t)n + 1) : NULL, .len = (size_t)n};
    if (out->p) {
        memcpy(out->p, p, (size_t)n);
        out->p[n] = '\0';
    }
    if (p)
        dt_wipe(p, n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return out->p ? 0 : dt_openssl_fail(err, "PEM");
}

/* ---- keys ---- */

struct dt_sig_key *dt_sig_key_generate(enum dt_key_kind kind, unsigned bits, struct dt_err *err)
{
    static const char *const curve[] = {
        [DT_KEY_P256] = "P-256", [DT_KEY_P384] = "P-384", [DT_KEY_P521] = "P-521"};
    EVP_PKEY *pkey = kind == DT_KEY_RSA       ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits)
                     : kind == DT_KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                              : EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve[kind]);
    if (pkey)
        return sig_key_of(pkey, err);
    dt_openssl_fail(err, "a key cannot be made");
    return NULL;
}

int dt_sig_key_pem(const struct dt_sig_key *k, struct dt_x509_text *out, struct dt_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return text_take(
        out, bio, bio && PEM_write_bio_PKCS8PrivateKey(bio, sig_key_pkey(k), NULL, NULL, 0, NULL, NULL), err);
}

int dt_sig_key_public_pem(const struct dt_sig_key *k, struct dt_x509_text *out, struct dt_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return text_take(out, bio, bio && PEM_write_bio_PUBKEY(bio, sig_key_pkey(k)), err);
}

/* ---- certificates ---- */

static int name_add(X509_NAME *name, int nid, const char *text)
{
    return !text ||
           X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const uint8_t *)text, -1, -1, 0) == 1;
}

static GENERAL_NAME *general_name_new(const struct dt_x509_name *n)
{
    GENERAL_NAME *g = GENERAL_NAME_new();
    struct dt_addr a = {0};
    ASN1_STRING *s = n->kind == DT_X509_IP ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    int ok = g && s &&
             (n->kind != DT_X509_IP
                  ? ASN1_STRING_set(s, n->text, -1)
                  : !dt_addr_parse(&a, n->text) && ASN1_STRING_set(s, a.b, (int)dt_addr_size(&a)));
    if (!ok) {
        ASN1_STRING_free(s);
        GENERAL_NAME_free(g);
        return NULL;
    }
    GENERAL_NAME_set0_value(g,
                            n->kind == DT_X509_DNS     ? GEN_DNS
                            : n->kind == DT_X509_EMAIL ? GEN_EMAIL
                                                       : GEN_IPADD,
                            s);
    return g;
}

static int names_add(X509 *cert, const struct dt_x509_draft *d)
{
    GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
    int ok = list != NULL;
    for (size_t i = 0; ok && i < d->n; i++) {
        GENERAL_NAME *g = general_name_new(&d->name[i]);
        ok = g && sk_GENERAL_NAME_push(list, g) > 0;
        if (!ok)
            GENERAL_NAME_free(g);
    }
    ok = ok && (!d->n || X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1);
    GENERAL_NAMES_free(list);
    return ok;
}

static int extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = e && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static int extensions_add(X509 *cert, X509 *issuer, const struct dt_x509_draft *d)
{
    char constraints[64] = "critical,CA:FALSE", purposes[80];
    if (d->ca)
        snprintf(constraints, sizeof(constraints),
                 d->path >= 0 ? "critical,CA:TRUE,pathlen:%d" : "critical,CA:TRUE", d->path);
    snprintf(purposes, sizeof(purposes), "%s%s%s", d->purposes & DT_X509_FOR_SERVER ? ",serverAuth" : "",
             d->purposes & DT_X509_FOR_CLIENT ? ",clientAuth" : "",
             d->purposes & DT_X509_FOR_IKE ? ",1.3.6.1.5.5.7.3.17" : "");
    return extension_add(cert, issuer, NID_basic_constraints, constraints) &&
           extension_add(cert, issuer, NID_key_usage,
                         d->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
           (!purposes[0] || extension_add(cert, issuer, NID_ext_key_usage, purposes + 1)) &&
           extension_add(cert, issuer, NID_subject_key_identifier, "hash") &&
           extension_add(cert, issuer, NID_authority_key_identifier, "keyid") && names_add(cert, d);
}

static int serial_set(X509 *cert, char out[DT_X509_SERIAL_STRLEN])
{
    uint8_t raw[16];
    if (RAND_bytes(raw, sizeof(raw)) != 1)
        return 0;
    raw[0] = (uint8_t)((raw[0] & 0x7f) | 0x40); /* positive, and always as long */
    BIGNUM *bn = BN_bin2bn(raw, sizeof(raw), NULL);
    int ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
    BN_free(bn);
    dt_hex(out, raw, sizeof(raw));
    return ok;
}

static const EVP_MD *digest_for(const struct dt_sig_key *k)
{
    switch (dt_sig_key_kind(k)) {
    case DT_KEY_ED25519:
        return NULL;
    case DT_KEY_P384:
        return EVP_sha384();
    case DT_KEY_P521:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

static X509 *pem_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return cert;
}

static int cert_fill(X509 *cert, X509 *issuer, const struct dt_x509_draft *d,
                     char serial[DT_X509_SERIAL_STRLEN])
{
    X509_NAME *name = X509_get_subject_name(cert);
    int ok = X509_set_version(cert, 2) == 1 && serial_set(cert, serial) &&
             ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)d->from) &&
             ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)d->until) &&
             X509_set_pubkey(cert, sig_key_pkey(d->key)) == 1 &&
             name_add(name, NID_organizationName, d->org) && name_add(name, NID_commonName, d->cn) &&
             X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
             extensions_add(cert, issuer, d);
    if (ok && d->last)
        d->last(cert, d->ctx);
    return ok;
}

int dt_x509_issue(const struct dt_x509_draft *d, char serial[DT_X509_SERIAL_STRLEN], struct dt_x509_text *out,
                  struct dt_err *err)
{
    X509 *cert = X509_new(), *issuer = d->by ? pem_cert(d->by->cert.p) : cert;
    const struct dt_sig_key *signer = d->by ? d->by->key : d->key;
    BIO *bio = BIO_new(BIO_s_mem());
    *out = (struct dt_x509_text){0};
    int ok = bio && cert && issuer && cert_fill(cert, issuer, d, serial) &&
             X509_sign(cert, sig_key_pkey(signer), digest_for(signer)) > 0 && PEM_write_bio_X509(bio, cert);
    if (issuer != cert)
        X509_free(issuer);
    X509_free(cert);
    return text_take(out, bio, ok, err);
}

/* ---- CRLs ---- */

static int revoked_add(X509_CRL *crl, const struct dt_x509_revoked *r)
{
    BIGNUM *bn = NULL;
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *since = ASN1_TIME_set(NULL, (time_t)r->since);
    ASN1_INTEGER *serial = BN_hex2bn(&bn, r->serial) > 0 ? BN_to_ASN1_INTEGER(bn, NULL) : NULL;
    int ok = entry && since && serial && X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
             X509_REVOKED_set_revocationDate(entry, since) == 1 && X509_CRL_add0_revoked(crl, entry) == 1;
    if (!ok)
        X509_REVOKED_free(entry);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(since);
    BN_free(bn);
    return ok;
}

static int crl_times(X509_CRL *crl, int64_t from, int64_t until)
{
    ASN1_TIME *a = ASN1_TIME_set(NULL, (time_t)from), *b = ASN1_TIME_set(NULL, (time_t)until);
    int ok = a && b && X509_CRL_set1_lastUpdate(crl, a) == 1 && X509_CRL_set1_nextUpdate(crl, b) == 1;
    ASN1_TIME_free(a);
    ASN1_TIME_free(b);
    return ok;
}

static int crl_extensions(X509_CRL *crl, X509 *issuer, uint64_t number)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid");
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    int ok = e && n && X509_CRL_add_ext(crl, e, -1) == 1 && ASN1_INTEGER_set_uint64(n, number) == 1 &&
             X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0) == 1;
    ASN1_INTEGER_free(n);
    X509_EXTENSION_free(e);
    return ok;
}

int dt_x509_crl(const struct dt_x509_authority *by, const struct dt_x509_revoked *list, size_t n,
                uint64_t number, int64_t from, int64_t until, struct dt_x509_text *out, struct dt_err *err)
{
    X509_CRL *crl = X509_CRL_new();
    X509 *issuer = pem_cert(by->cert.p);
    BIO *bio = BIO_new(BIO_s_mem());
    *out = (struct dt_x509_text){0};
    int ok = bio && crl && issuer && X509_CRL_set_version(crl, 1) == 1 &&
             X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
             crl_times(crl, from, until) && crl_extensions(crl, issuer, number);
    for (size_t i = 0; ok && i < n; i++)
        ok = revoked_add(crl, &list[i]);
    ok = ok && X509_CRL_sort(crl) == 1 &&
         X509_CRL_sign(crl, sig_key_pkey(by->key), digest_for(by->key)) > 0 &&
         PEM_write_bio_X509_CRL(bio, crl);
    X509_free(issuer);
    X509_CRL_free(crl);
    return text_take(out, bio, ok, err);
}

/* ---- facts ---- */

int dt_x509_facts(const char *pem, struct dt_x509_facts *out, struct dt_err *err)
{
    char name[X509_NAME_STRLEN];
    X509 *cert = pem_cert(pem);
    *out = (struct dt_x509_facts){0};
    if (!cert)
        return dt_err_set(err, 0, "there is no certificate in it");
    BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = bn ? BN_bn2hex(bn) : NULL;
    snprintf(out->serial, sizeof(out->serial), "%s", hex ? hex : "?");
    for (char *c = out->serial; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'F' ? *c | 0x20 : *c);
    OPENSSL_free(hex);
    BN_free(bn);
    dt_utf8_printf(out->subject, sizeof(out->subject), "%s",
                   x509_name_str(name, X509_get_subject_name(cert)));
    dt_utf8_printf(out->issuer, sizeof(out->issuer), "%s", x509_name_str(name, X509_get_issuer_name(cert)));
    x509_names(out->names, sizeof(out->names), cert);
    out->from = x509_seconds(X509_get0_notBefore(cert));
    out->until = x509_seconds(X509_get0_notAfter(cert));
    out->ca = X509_check_ca(cert) == 1;
    EVP_PKEY *pkey = X509_get_pubkey(cert);
    struct dt_sig_key *k = pkey ? sig_key_of(pkey, NULL) : NULL;
    snprintf(out->key, sizeof(out->key), "?");
    if (k)
        dt_sig_key_str(out->key, k);
    dt_sig_key_unref(k);
    X509_free(cert);
    ERR_clear_error();
    return 0;
}
