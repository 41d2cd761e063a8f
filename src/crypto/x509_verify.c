/* Is this certificate the peer's, by an authority of ours, now? */
#include "crypto/x509_trust.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/utf8.h"

#define AUTH_LEVEL 2 /* OpenSSL's: 112 bits */

/* One verification. */
struct verification {
    const struct dt_x509_trust *t;
    const struct dt_x509_question *q;
    struct dt_x509_answer *a;
    struct dt_err *err;
    bool told; /* *err has the reason */
};

static int verify_fail(struct verification *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int verify_fail(struct verification *v, const char *fmt, ...)
{
    va_list ap;
    v->told = true;
    if (!v->err)
        return -1;
    va_start(ap, fmt);
    *v->err = (struct dt_err){0};
    dt_utf8_vprintf(v->err->text, sizeof(v->err->text), fmt, ap);
    va_end(ap);
    return -1;
}

/* ---- the chain, by OpenSSL ---- */

static bool lacks_crl(int error)
{
    return error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_CRL_NOT_YET_VALID ||
           error == X509_V_ERR_CRL_HAS_EXPIRED;
}

static const char *issuer_str(char buf[X509_NAME_STRLEN], X509 *cert)
{
    return x509_name_str(buf, X509_get_issuer_name(cert));
}

/* The CRL that OpenSSL looked at, or that is missing. */
static const char *crl_str(char *buf, size_t cap, X509_STORE_CTX *ctx, int error)
{
    char name[X509_NAME_STRLEN], day[X509_DAY_STRLEN];
    X509_CRL *crl = X509_STORE_CTX_get0_current_crl(ctx);
    if (error == X509_V_ERR_UNABLE_TO_GET_CRL || !crl)
        dt_utf8_printf(buf, cap, "there is no CRL of %s",
                       issuer_str(name, X509_STORE_CTX_get_current_cert(ctx)));
    else if (error == X509_V_ERR_CRL_NOT_YET_VALID)
        dt_utf8_printf(buf, cap, "the CRL of %s is of %s, which is to come",
                       x509_name_str(name, X509_CRL_get_issuer(crl)),
                       x509_day(day, X509_CRL_get0_lastUpdate(crl)));
    else
        dt_utf8_printf(buf, cap, "the CRL of %s was to be replaced by %s",
                       x509_name_str(name, X509_CRL_get_issuer(crl)),
                       x509_day(day, X509_CRL_get0_nextUpdate(crl)));
    return buf;
}

static void revoked_tell(struct verification *v, X509_STORE_CTX *ctx, const char *who)
{
    char day[X509_DAY_STRLEN], of[X509_DAY_STRLEN];
    X509_CRL *crl = X509_STORE_CTX_get0_current_crl(ctx);
    X509_REVOKED *entry = NULL;
    bool found = crl && X509_CRL_get0_by_cert(crl, &entry, X509_STORE_CTX_get_current_cert(ctx)) == 1;
    verify_fail(v, "the certificate %s was revoked on %s (CRL of %s)", who,
                found ? x509_day(day, X509_REVOKED_get0_revocationDate(entry)) : "an unknown day",
                crl ? x509_day(of, X509_CRL_get0_lastUpdate(crl)) : "an unknown day");
}

static void chain_tell(struct verification *v, X509_STORE_CTX *ctx, int error)
{
    char who[X509_WHO_STRLEN], day[X509_DAY_STRLEN], now[X509_DAY_STRLEN], text[240];
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    x509_day_of(now, v->q->now);
    if (!cert) {
        verify_fail(v, "the certificate cannot be verified: %s", X509_verify_cert_error_string(error));
        return;
    }
    x509_who(who, cert);
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        verify_fail(v, "the certificate %s expired on %s; it is %s here", who,
                    x509_day(day, X509_get0_notAfter(cert)), now);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        verify_fail(v, "the certificate %s is valid only from %s; it is %s here", who,
                    x509_day(day, X509_get0_notBefore(cert)), now);
        break;
    case X509_V_ERR_CERT_REVOKED:
        revoked_tell(v, ctx, who);
        break;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
        verify_fail(
            v, "whether the certificate %s was revoked is not known, and crl = strict: %s; it is %s here",
            who, crl_str(text, sizeof(text), ctx, error), now);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        verify_fail(v, "the certificate %s is of no authority that is trusted here (%s): %s", who,
                    dt_x509_trust_str(v->t), X509_verify_cert_error_string(error));
        break;
    default:
        verify_fail(v, "the certificate %s is refused: %s", who, X509_verify_cert_error_string(error));
    }
}

/* What OpenSSL finds wrong, one thing after the other. 1: it goes on all the same. */
static int on_verify_fault(int ok, X509_STORE_CTX *ctx)
{
    struct verification *v = X509_STORE_CTX_get_app_data(ctx);
    int error = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    if (ok)
        return 1;
    /* An anchor is trusted by us, not by whoever signed it: no CRL speaks of it. */
    if (lacks_crl(error) && depth >= X509_STORE_CTX_get_num_untrusted(ctx))
        return 1;
    if (lacks_crl(error) && v->t->crl == DT_CRL_SOFT) {
        if (!v->a->note[0])
            crl_str(v->a->note, sizeof(v->a->note), ctx, error);
        return 1;
    }
    chain_tell(v, ctx, error);
    return 0;
}

static void verify_params(const struct verification *v, X509_STORE_CTX *ctx)
{
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN);
    if (v->t->crl == DT_CRL_STRICT || v->t->ncrl > 0)
        X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    X509_VERIFY_PARAM_set_depth(p, DT_X509_CHAIN_MAX);
    X509_VERIFY_PARAM_set_auth_level(p, AUTH_LEVEL);
    X509_VERIFY_PARAM_set_time(p, (time_t)v->q->now);
    X509_STORE_CTX_set_app_data(ctx, (void *)(uintptr_t)v);
    X509_STORE_CTX_set_verify_cb(ctx, on_verify_fault);
}

static int verify_chain(struct verification *v, X509 *leaf, STACK_OF(X509) * others)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!ctx || X509_STORE_CTX_init(ctx, v->t->store, leaf, others) != 1) {
        X509_STORE_CTX_free(ctx);
        return verify_fail(v, "no memory to verify a certificate");
    }
    verify_params(v, ctx);
    int rc = X509_verify_cert(ctx) == 1 ? 0 : -1;
    if (rc != 0 && !v->told)
        chain_tell(v, ctx, X509_STORE_CTX_get_error(ctx));
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    for (int i = 0; rc == 0 && i < sk_X509_num(chain); i++) {
        int64_t until = x509_seconds(X509_get0_notAfter(sk_X509_value(chain, i)));
        v->a->until = until < v->a->until ? until : v->a->until;
    }
    X509_STORE_CTX_free(ctx);
    return rc;
}

/* ---- purpose and name ---- */

static bool purpose_fits(const ASN1_OBJECT *oid, bool responder)
{
    static const char ike_intermediate[] = "1.3.6.1.5.5.8.2.2";
    char text[32];
    int nid = OBJ_obj2nid(oid);
    if (nid == NID_ipsec_IKE || nid == NID_anyExtendedKeyUsage || nid == NID_server_auth)
        return true;
    if (nid == NID_client_auth)
        return !responder;
    return OBJ_obj2txt(text, sizeof(text), oid, 1) > 0 && !strcmp(text, ike_intermediate);
}

static void purposes_str(char *buf, size_t cap, const EXTENDED_KEY_USAGE *list)
{
    size_t at = 0;
    char one[80];
    buf[0] = '\0';
    for (int i = 0; i < sk_ASN1_OBJECT_num(list) && at + sizeof(one) + 2 < cap; i++) {
        OBJ_obj2txt(one, sizeof(one), sk_ASN1_OBJECT_value(list, i), 0);
        at += dt_utf8_printf(buf + at, cap - at, "%s%s", at ? ", " : "", one);
    }
}

static int verify_purpose(struct verification *v, X509 *leaf)
{
    char who[X509_WHO_STRLEN], has[200] = "";
    int critical = -1;
    uint32_t usage = X509_get_key_usage(leaf);
    if (usage != UINT32_MAX && !(usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)))
        return verify_fail(
            v,
            "the certificate %s is not for signatures: its keyUsage has neither digitalSignature nor "
            "nonRepudiation",
            x509_who(who, leaf));
    EXTENDED_KEY_USAGE *list = X509_get_ext_d2i(leaf, NID_ext_key_usage, &critical, NULL);
    bool fits = !list && critical == -1;
    for (int i = 0; !fits && i < sk_ASN1_OBJECT_num(list); i++)
        fits = purpose_fits(sk_ASN1_OBJECT_value(list, i), v->q->responder);
    if (list)
        purposes_str(has, sizeof(has), list);
    EXTENDED_KEY_USAGE_free(list);
    if (fits)
        return 0;
    return verify_fail(
        v,
        "the certificate %s is for another purpose: its extKeyUsage is %s; of %s it would have to be "
        "ipsecIKE%s, or none",
        x509_who(who, leaf), has[0] ? has : "malformed", v->q->responder ? "a gateway" : "a client",
        v->q->responder ? " or serverAuth" : ", clientAuth or serverAuth");
}

static int verify_name(struct verification *v, X509 *leaf)
{
    char who[X509_WHO_STRLEN], names[240];
    if (x509_has(leaf, v->q->kind, v->q->name))
        return 0;
    return verify_fail(v, "its certificate %s is for other names: %s", x509_who(who, leaf),
                       x509_names(names, sizeof(names), leaf));
}

/* ---- all of it ---- */

/* The certificates as they came. NULL with the reason told: one of them is malformed, or there are too many. */
static STACK_OF(X509) * certificates_parse(struct verification *v)
{
    size_t octets = 0;
    for (size_t i = 0; i < v->q->n; i++)
        octets += v->q->cert[i].len;
    if (!v->q->n || v->q->n > DT_X509_CHAIN_MAX || octets > DT_X509_CHAIN_OCTETS) {
        verify_fail(v, "%zu certificates with %zu octets came; 1 to %d with at most %d octets are taken",
                    v->q->n, octets, DT_X509_CHAIN_MAX, DT_X509_CHAIN_OCTETS);
        return NULL;
    }
    STACK_OF(X509) *list = sk_X509_new_null();
    for (size_t i = 0; list && i < v->q->n; i++) {
        const uint8_t *p = v->q->cert[i].p;
        X509 *cert = d2i_X509(NULL, &p, (long)v->q->cert[i].len);
        if (cert && p == v->q->cert[i].p + v->q->cert[i].len && sk_X509_push(list, cert))
            continue;
        X509_free(cert);
        verify_fail(v, "certificate %zu of %zu that came is malformed", i + 1, v->q->n);
        sk_X509_pop_free(list, X509_free);
        return NULL;
    }
    if (!list)
        verify_fail(v, "no memory for certificates");
    return list;
}

static int verify_leaf(struct verification *v, X509 *leaf)
{
    char who[X509_WHO_STRLEN];
    struct dt_err why = {0};
    EVP_PKEY *pkey = X509_get_pubkey(leaf);
    x509_who(who, leaf);
    v->a->key = pkey ? sig_key_of(pkey, &why) : NULL;
    if (!v->a->key)
        return verify_fail(v, "the key of the certificate %s is not taken: %s", who,
                           why.text[0] ? why.text : "it is malformed");
    dt_utf8_printf(v->a->who, sizeof(v->a->who), "%s", who);
    return verify_purpose(v, leaf) || verify_name(v, leaf) ? -1 : 0;
}

int dt_x509_verify(const struct dt_x509_trust *t, const struct dt_x509_question *q, struct dt_x509_answer *a,
                   struct dt_err *err)
{
    struct verification v = {.t = t, .q = q, .a = a, .err = err};
    *a = (struct dt_x509_answer){.until = DT_X509_NEVER};
    STACK_OF(X509) *list = certificates_parse(&v);
    X509 *leaf = list ? sk_X509_shift(list) : NULL;
    int rc = leaf && !verify_leaf(&v, leaf) && !verify_chain(&v, leaf, list) ? 0 : -1;
    if (rc != 0) {
        dt_sig_key_unref(a->key);
        a->key = NULL;
    }
    X509_free(leaf);
    sk_X509_pop_free(list, X509_free);
    ERR_clear_error();
    return rc;
}

int dt_x509_own_purpose(const struct dt_x509_own *own, bool responder, struct dt_err *err)
{
    const struct dt_x509_question q = {.responder = responder};
    struct verification v = {.q = &q, .err = err};
    return verify_purpose(&v, x509_own_leaf(own));
}
