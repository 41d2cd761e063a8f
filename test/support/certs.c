#include "support/certs.h"

#include "base/addr.h"

struct dt_x509_draft cert_draft(const char *cn, const struct cert *by)
{
    return (struct dt_x509_draft){.cn = cn,
                                  .path = -1,
                                  .from = CERTS_NOW - CERTS_YEAR,
                                  .until = CERTS_NOW + CERTS_YEAR,
                                  .by = by ? &by->a : NULL};
}

static size_t pem_der(const char *pem, uint8_t *out, size_t cap)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = strchr(pem, '\n');
    size_t n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    for (; p && *p && *p != '-' && *p != '='; p++) {
        const char *d = strchr(digits, *p);
        if (!d)
            continue;
        bits = bits << 6 | (uint32_t)(d - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            assert_true(n < cap);
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    return n;
}

void cert_issue(struct cert *out, struct dt_x509_draft *d)
{
    struct dt_err err = {0};
    memset(out, 0, sizeof(*out));
    out->a.key = d->key ? dt_sig_key_ref((struct dt_sig_key *)(uintptr_t)d->key)
                        : dt_sig_key_generate(DT_KEY_P256, 0, &err);
    assert_non_null(out->a.key);
    d->key = out->a.key;
    if (dt_x509_issue(d, out->serial, &out->a.cert, &err) || dt_sig_key_pem(out->a.key, &out->key, &err))
        fail_msg("%s", err.text);
    out->len = pem_der(out->a.cert.p, out->der, sizeof(out->der));
}

void cert_ca(struct cert *out, const char *cn, const struct cert *by)
{
    struct dt_x509_draft d = cert_draft(cn, by);
    d.org = "Test";
    d.ca = true;
    cert_issue(out, &d);
}

void cert_host(struct cert *out, const char *name, const struct cert *by, enum dt_key_kind kind)
{
    struct dt_addr a;
    struct dt_x509_draft d = cert_draft(name, by);
    d.n = 1;
    d.name[0].text = name;
    d.name[0].kind = !dt_addr_parse(&a, name) ? DT_X509_IP : strchr(name, '@') ? DT_X509_EMAIL : DT_X509_DNS;
    d.purposes = DT_X509_FOR_SERVER | DT_X509_FOR_CLIENT;
    struct dt_sig_key *key = kind == DT_KEY_RSA ? certs_rsa_key() : dt_sig_key_generate(kind, 0, NULL);
    d.key = key;
    cert_issue(out, &d);
    if (kind != DT_KEY_RSA)
        dt_sig_key_unref(key);
}

void cert_free(struct cert *c)
{
    dt_sig_key_unref(c->a.key);
    dt_x509_text_free(&c->a.cert);
    dt_x509_text_free(&c->key);
    memset(c, 0, sizeof(*c));
}

struct dt_span cert_span(const struct cert *c)
{
    return dt_span(c->der, c->len);
}

struct dt_x509_own *certs_own(const struct cert *const *c, size_t n)
{
    char text[40000] = "";
    struct dt_err err = {0};
    for (size_t i = 0; i < n; i++)
        strcat(text, c[i]->a.cert.p);
    struct dt_x509_own *own =
        dt_x509_own_new(dt_span(text, strlen(text)), dt_span(c[0]->key.p, c[0]->key.len), &err);
    if (!own)
        fail_msg("%s", err.text);
    return own;
}

struct dt_x509_trust *certs_trust(enum dt_x509_crl crl, const struct cert *const *c, size_t n)
{
    struct dt_err err = {0};
    struct dt_x509_trust *t = dt_x509_trust_new(crl);
    assert_non_null(t);
    for (size_t i = 0; i < n; i++)
        if (dt_x509_trust_add_ca(t, dt_span(c[i]->a.cert.p, c[i]->a.cert.len), &err))
            fail_msg("%s", err.text);
    return t;
}

void certs_revoke(struct dt_x509_trust *t, const struct cert *by, const struct cert *const *c, size_t n,
                  int64_t from, int64_t until)
{
    struct dt_x509_revoked list[8];
    struct dt_x509_text crl;
    struct dt_err err = {0};
    static uint64_t number = 1;
    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct dt_x509_revoked){c[i]->serial, from};
    if (dt_x509_crl(&by->a, list, n, number++, from, until, &crl, &err) ||
        dt_x509_trust_add_crl(t, dt_span(crl.p, crl.len), &err))
        fail_msg("%s", err.text);
    dt_x509_text_free(&crl);
}

struct dt_sig_key *certs_rsa_key(void)
{
    static struct dt_sig_key *key;
    if (!key)
        key = dt_sig_key_generate(DT_KEY_RSA, 2048, NULL);
    assert_non_null(key);
    return key;
}
