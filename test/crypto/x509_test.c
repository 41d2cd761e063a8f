/* Whose certificate is believed, and whose is not, and why. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "support/certs.h"

static struct cert root, other_root, middle;

static int setup(void **state)
{
    cert_ca(&root, "Root", NULL);
    cert_ca(&other_root, "Other", NULL);
    cert_ca(&middle, "Middle", &root);
    return 0;
}

static int teardown(void **state)
{
    cert_free(&root);
    cert_free(&other_root);
    cert_free(&middle);
    dt_sig_key_unref(certs_rsa_key());
    return 0;
}

/* ---- asking ---- */

static struct dt_x509_trust *trust_root(enum dt_x509_crl crl)
{
    return certs_trust(crl, (const struct cert *[]){&root}, 1);
}

static struct dt_x509_question question(const struct dt_span *der, size_t n, const char *name)
{
    return (struct dt_x509_question){.cert = der,
                                     .n = n,
                                     .kind = strchr(name, '@') ? DT_X509_EMAIL : DT_X509_DNS,
                                     .name = dt_span(name, strlen(name)),
                                     .responder = true,
                                     .now = CERTS_NOW};
}

static struct dt_x509_answer answer;

static int ask(const struct dt_x509_trust *t, const struct dt_x509_question *q, struct dt_err *err)
{
    *err = (struct dt_err){0};
    int rc = dt_x509_verify(t, q, &answer, err);
    assert_int_equal(rc == 0, answer.key != NULL);
    assert_int_equal(rc == 0, err->text[0] == '\0');
    dt_sig_key_unref(answer.key);
    return rc;
}

static void believed(const struct dt_x509_trust *t, const struct dt_x509_question *q)
{
    struct dt_err err;
    if (ask(t, q, &err))
        fail_msg("%s", err.text);
}

static void refused(const struct dt_x509_trust *t, const struct dt_x509_question *q, const char *why)
{
    struct dt_err err;
    assert_int_equal(ask(t, q, &err), -1);
    if (!strstr(err.text, why))
        fail_msg("wanted \"%s\": %s", why, err.text);
}

/* ---- who is believed ---- */

static void every_kind_of_key(void **state)
{
    static const enum dt_key_kind kinds[] = {DT_KEY_RSA, DT_KEY_P256, DT_KEY_P384, DT_KEY_P521,
                                             DT_KEY_ED25519};
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    for (size_t i = 0; i < DT_ARRAY_LEN(kinds); i++) {
        struct cert c;
        cert_host(&c, "vpn.example.net", &root, kinds[i]);
        struct dt_span der = cert_span(&c);
        struct dt_x509_question q = question(&der, 1, "vpn.example.net");
        believed(t, &q);
        assert_int_equal(answer.until, CERTS_NOW + CERTS_YEAR);
        assert_non_null(strstr(answer.who, "CN=vpn.example.net, serial "));
        assert_non_null(strstr(answer.who, "by O=Test, CN=Root"));
        assert_string_equal(answer.note, "");
        cert_free(&c);
    }
    dt_x509_trust_unref(t);
}

static void intermediates_come_from_the_peer(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert c;
    cert_host(&c, "vpn.example.net", &middle, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&c), cert_span(&middle)};
    struct dt_x509_question q = question(der, 2, "vpn.example.net");
    believed(t, &q);
    q.n = 1;
    refused(t, &q, "is of no authority that is trusted here (O=Test, CN=Root)");
    dt_x509_trust_unref(t);
    /* An intermediate may be the anchor. */
    t = certs_trust(DT_CRL_STRICT, (const struct cert *[]){&middle}, 1);
    certs_revoke(t, &middle, NULL, 0, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    believed(t, &q);
    q.n = 2;
    believed(t, &q);
    dt_x509_trust_unref(t);
    cert_free(&c);
}

static void names_are_compared_by_kind(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct dt_x509_draft d = cert_draft("cn.example.net", &root);
    d.n = 4;
    d.name[0] = (struct dt_x509_name){DT_X509_DNS, "vpn.example.net"};
    d.name[1] = (struct dt_x509_name){DT_X509_EMAIL, "anna@example.net"};
    d.name[2] = (struct dt_x509_name){DT_X509_IP, "192.0.2.1"};
    d.name[3] = (struct dt_x509_name){DT_X509_DNS, "*.wild.example.net"};
    struct cert c;
    cert_issue(&c, &d);
    struct dt_span der = cert_span(&c);
    struct dt_x509_question q = question(&der, 1, "VPN.Example.net");
    believed(t, &q);
    q = question(&der, 1, "anna@example.net");
    believed(t, &q);
    const uint8_t ip[] = {192, 0, 2, 1};
    q.kind = DT_X509_IP;
    q.name = dt_span(ip, 4);
    believed(t, &q);
    static const char *const not [] = {"cn.example.net", "a.wild.example.net", "vpn.example.ne",
                                       "vpn.example.net.", "bert@example.net"};
    for (size_t i = 0; i < DT_ARRAY_LEN(not ); i++) {
        q = question(&der, 1, not [i]);
        refused(t, &q,
                "is for other names: DNS vpn.example.net, e-mail anna@example.net, address 192.0.2.1, DNS "
                "*.wild.example.net, DN CN=cn.example.net");
    }
    q = question(&der, 1, "anna@example.net");
    q.kind = DT_X509_DNS;
    refused(t, &q, "is for other names");
    dt_x509_trust_unref(t);
    cert_free(&c);
}

/* CN=anna, O=Test in the order O, CN; UTF8String as OpenSSL writes it, and PrintableString as others do. */
static void a_subject_is_a_name(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct dt_x509_draft d = cert_draft("anna", &root);
    d.org = "Test";
    struct cert c;
    cert_issue(&c, &d);
    struct dt_span der = cert_span(&c);
    static const char *const dn[] = {"301e310d300b060355040a0c0454657374310d300b06035504030c04616e6e61",
                                     "301e310d300b060355040a130454657374310d300b06035504031304416e6e61"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t raw[64];
        struct dt_x509_question q = question(&der, 1, "");
        q.kind = DT_X509_DN;
        q.name = dt_span(raw, (size_t)dt_unhex(raw, sizeof(raw), dn[i]));
        believed(t, &q);
        raw[q.name.len - 1] ^= 1;
        refused(t, &q, "is for other names: DN O=Test, CN=anna");
        q.name.len--;
        refused(t, &q, "is for other names");
    }
    dt_x509_trust_unref(t);
    cert_free(&c);
}

/* ---- time ---- */

static void time_decides(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct dt_x509_draft d = cert_draft("vpn.example.net", &root);
    d.n = 1;
    d.name[0] = (struct dt_x509_name){DT_X509_DNS, "vpn.example.net"};
    d.from = CERTS_NOW - CERTS_DAY;
    d.until = CERTS_NOW + CERTS_DAY;
    struct cert c;
    cert_issue(&c, &d);
    struct dt_span der = cert_span(&c);
    struct dt_x509_question q = question(&der, 1, "vpn.example.net");
    believed(t, &q);
    assert_int_equal(answer.until, CERTS_NOW + CERTS_DAY);
    q.now = CERTS_NOW + 2 * CERTS_DAY;
    refused(t, &q, "expired on 2027-01-16 08:00:00 UTC; it is 2027-01-17 08:00:00 UTC here");
    q.now = CERTS_NOW - 2 * CERTS_DAY;
    refused(t, &q, "is valid only from 2027-01-14 08:00:00 UTC; it is 2027-01-13 08:00:00 UTC here");
    q.now = CERTS_NOW + 2 * CERTS_YEAR;
    refused(t, &q, "expired on");
    dt_x509_trust_unref(t);
    cert_free(&c);
}

/* ---- purpose ---- */

static void purpose_decides(void **state)
{
    static const struct {
        unsigned purposes;
        bool gateway, client;
    } cases[] = {{0, true, true},
                 {DT_X509_FOR_SERVER, true, true},
                 {DT_X509_FOR_CLIENT, false, true},
                 {DT_X509_FOR_IKE, true, true},
                 {DT_X509_FOR_IKE | DT_X509_FOR_CLIENT, true, true}};
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct dt_x509_draft d = cert_draft("x", &root);
        d.n = 1;
        d.name[0] = (struct dt_x509_name){DT_X509_DNS, "x.example.net"};
        d.purposes = cases[i].purposes;
        struct cert c;
        cert_issue(&c, &d);
        struct dt_span der = cert_span(&c);
        struct dt_x509_question q = question(&der, 1, "x.example.net");
        struct dt_err err;
        assert_int_equal(ask(t, &q, &err), cases[i].gateway ? 0 : -1);
        if (!cases[i].gateway)
            assert_non_null(
                strstr(err.text, "its extKeyUsage is TLS Web Client Authentication; of a gateway it would"));
        q.responder = false;
        assert_int_equal(ask(t, &q, &err), cases[i].client ? 0 : -1);
        cert_free(&c);
    }
    dt_x509_trust_unref(t);
}

static void extension(X509 *cert, int nid, const char *value)
{
    int at = X509_get_ext_by_NID(cert, nid, -1);
    if (at >= 0)
        X509_EXTENSION_free(X509_delete_ext(cert, at));
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

struct tweak {
    int nid;
    const char *value;
};

static void apply(struct x509_st *cert, void *ctx)
{
    const struct tweak *t = ctx;
    extension(cert, t->nid, t->value);
}

static void odd(struct cert *c, const char *name, const struct cert *by, struct tweak *t)
{
    struct dt_x509_draft d = cert_draft(name, by);
    d.n = 1;
    d.name[0] = (struct dt_x509_name){DT_X509_DNS, name};
    d.last = apply;
    d.ctx = t;
    cert_issue(c, &d);
}

static void other_purposes_are_refused(void **state)
{
    static const struct {
        struct tweak t;
        const char *why;
    } cases[] = {
        {{NID_ext_key_usage, "codeSigning,emailProtection"},
         "its extKeyUsage is Code Signing, E-mail Protection"},
        {{NID_key_usage, "critical,keyEncipherment"},
         "its keyUsage has neither digitalSignature nor nonRepudiation"},
    };
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct cert c;
        struct tweak tweak = cases[i].t;
        odd(&c, "x.example.net", &root, &tweak);
        struct dt_span der = cert_span(&c);
        struct dt_x509_question q = question(&der, 1, "x.example.net");
        refused(t, &q, cases[i].why);
        q.responder = false;
        refused(t, &q, cases[i].why);
        cert_free(&c);
    }
    static const char *const fine[] = {"anyExtendedKeyUsage", "1.3.6.1.5.5.8.2.2", "codeSigning,serverAuth"};
    for (size_t i = 0; i < DT_ARRAY_LEN(fine); i++) {
        struct cert c;
        struct tweak tweak = {NID_ext_key_usage, fine[i]};
        odd(&c, "x.example.net", &root, &tweak);
        struct dt_span der = cert_span(&c);
        struct dt_x509_question q = question(&der, 1, "x.example.net");
        believed(t, &q);
        cert_free(&c);
    }
    dt_x509_trust_unref(t);
}

/* ---- chains that are none ---- */

static void strangers_are_refused(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert by_other, by_itself;
    cert_host(&by_other, "vpn.example.net", &other_root, DT_KEY_P256);
    cert_host(&by_itself, "vpn.example.net", NULL, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&by_other), cert_span(&other_root)}, self = cert_span(&by_itself);
    struct dt_x509_question q = question(der, 1, "vpn.example.net");
    refused(t, &q, "is of no authority that is trusted here (O=Test, CN=Root)");
    q.n = 2; /* what the peer brings is trusted by nobody */
    refused(t, &q, "is of no authority that is trusted here");
    q = question(&self, 1, "vpn.example.net");
    refused(t, &q, "is of no authority that is trusted here");
    struct dt_x509_trust *nobody = dt_x509_trust_new(DT_CRL_SOFT);
    q = question(der, 2, "vpn.example.net");
    refused(nobody, &q, "is of no authority that is trusted here (nobody)");
    dt_x509_trust_unref(nobody);
    dt_x509_trust_unref(t);
    cert_free(&by_other);
    cert_free(&by_itself);
}

/* The same name and the same key identifier as the root's, another key. */
static void a_false_root_is_no_root(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert fake, c;
    cert_ca(&fake, "Root", NULL);
    cert_host(&c, "vpn.example.net", &fake, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&c), cert_span(&fake)};
    struct dt_x509_question q = question(der, 2, "vpn.example.net");
    refused(t, &q, "");
    q.n = 1;
    refused(t, &q, "");
    cert_free(&c);
    cert_free(&fake);
    dt_x509_trust_unref(t);
}

static void whoever_is_no_authority_issues_nothing(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert host, c;
    cert_host(&host, "host.example.net", &root, DT_KEY_P256);
    cert_host(&c, "vpn.example.net", &host, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&c), cert_span(&host)};
    struct dt_x509_question q = question(der, 2, "vpn.example.net");
    refused(t, &q, "is refused: invalid CA certificate");
    cert_free(&c);
    cert_free(&host);
    dt_x509_trust_unref(t);
}

static void path_lengths_and_name_constraints_hold(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct dt_x509_draft d = cert_draft("Short", &root);
    struct cert a, b, c;
    d.ca = true;
    d.path = 0;
    cert_issue(&a, &d);
    cert_ca(&b, "Below", &a);
    cert_host(&c, "vpn.example.net", &b, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&c), cert_span(&b), cert_span(&a)};
    struct dt_x509_question q = question(der, 3, "vpn.example.net");
    refused(t, &q, "is refused: path length constraint exceeded");
    cert_free(&a);
    cert_free(&b);
    cert_free(&c);

    struct tweak tweak = {NID_name_constraints, "critical,permitted;DNS:branch.example.net"};
    d = cert_draft("Branch", &root);
    d.ca = true;
    d.last = apply;
    d.ctx = &tweak;
    cert_issue(&a, &d);
    cert_host(&c, "a.branch.example.net", &a, DT_KEY_P256);
    cert_host(&b, "vpn.example.net", &a, DT_KEY_P256);
    struct dt_span good[] = {cert_span(&c), cert_span(&a)}, bad[] = {cert_span(&b), cert_span(&a)};
    q = question(good, 2, "a.branch.example.net");
    believed(t, &q);
    q = question(bad, 2, "vpn.example.net");
    refused(t, &q, "is refused: permitted subtree violation");
    cert_free(&a);
    cert_free(&b);
    cert_free(&c);
    dt_x509_trust_unref(t);
}

/* Two authorities that issued each other. */
static void loops_end(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert a, b, b_by_a, a_by_b, c;
    cert_ca(&a, "A", NULL);
    cert_ca(&b, "B", NULL);
    struct dt_x509_draft d = cert_draft("B", &a);
    d.org = "Test";
    d.ca = true;
    d.key = b.a.key;
    cert_issue(&b_by_a, &d);
    d = cert_draft("A", &b);
    d.org = "Test";
    d.ca = true;
    d.key = a.a.key;
    cert_issue(&a_by_b, &d);
    cert_host(&c, "vpn.example.net", &a, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&c), cert_span(&a_by_b), cert_span(&b_by_a), cert_span(&a_by_b)};
    struct dt_x509_question q = question(der, 4, "vpn.example.net");
    refused(t, &q, "is of no authority that is trusted here");
    cert_free(&a);
    cert_free(&b);
    cert_free(&a_by_b);
    cert_free(&b_by_a);
    cert_free(&c);
    dt_x509_trust_unref(t);
}

static void long_chains_have_a_bound(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert ca[DT_X509_CHAIN_MAX], c;
    struct dt_span der[DT_X509_CHAIN_MAX + 1];
    for (size_t i = 0; i < DT_X509_CHAIN_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "CA %zu", i);
        cert_ca(&ca[i], name, i ? &ca[i - 1] : &root);
    }
    /* As many as there may be: the host's, and seven above it. */
    cert_host(&c, "vpn.example.net", &ca[DT_X509_CHAIN_MAX - 2], DT_KEY_P256);
    der[0] = cert_span(&c);
    for (size_t i = 0; i < DT_X509_CHAIN_MAX; i++)
        der[i + 1] = cert_span(&ca[DT_X509_CHAIN_MAX - 2 - (i < DT_X509_CHAIN_MAX - 1 ? i : 0)]);
    struct dt_x509_question q = question(der, DT_X509_CHAIN_MAX, "vpn.example.net");
    believed(t, &q);
    q.n++;
    refused(t, &q, "9 certificates with ");
    cert_free(&c);
    for (size_t i = 0; i < DT_X509_CHAIN_MAX; i++)
        cert_free(&ca[i]);
    dt_x509_trust_unref(t);
}

static void weak_ones_are_refused(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    /* RSA with 1024 bits, and P-224: no key of ours makes such. */
    EVP_PKEY *weak[] = {EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024),
                        EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-224")};
    static const char *const why[] = {"it is RSA with 1024 bits; 2048 to 8192 are taken",
                                      "it is ECDSA on secp224r1; P-256, P-384 and P-521 are taken"};
    for (size_t i = 0; i < 2; i++) {
        X509 *x = X509_new();
        uint8_t *der = NULL;
        X509_set_version(x, 2);
        X509_set_pubkey(x, weak[i]);
        ASN1_TIME_set(X509_getm_notBefore(x), CERTS_NOW - CERTS_DAY);
        ASN1_TIME_set(X509_getm_notAfter(x), CERTS_NOW + CERTS_DAY);
        X509_sign(x, weak[i], EVP_sha256());
        struct dt_span one = dt_span(NULL, (size_t)i2d_X509(x, &der));
        one.p = der;
        struct dt_x509_question q = question(&one, 1, "vpn.example.net");
        refused(t, &q, why[i]);
        OPENSSL_free(der);
        X509_free(x);
        EVP_PKEY_free(weak[i]);
    }
    dt_x509_trust_unref(t);
}

static void sha1_under_a_certificate_is_refused(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert c;
    cert_host(&c, "vpn.example.net", &root, DT_KEY_P256);
    const uint8_t *p = c.der;
    X509 *x = d2i_X509(NULL, &p, (long)c.len);
    const uint8_t *k = (const uint8_t *)root.key.p;
    BIO *bio = BIO_new_mem_buf(k, (int)root.key.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    assert_true(X509_sign(x, key, EVP_sha1()) > 0);
    uint8_t *der = NULL;
    struct dt_span one = dt_span(NULL, (size_t)i2d_X509(x, &der));
    one.p = der;
    struct dt_x509_question q = question(&one, 1, "vpn.example.net");
    refused(t, &q, "is refused: CA signature digest algorithm too weak");
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    BIO_free(bio);
    X509_free(x);
    cert_free(&c);
    dt_x509_trust_unref(t);
}

/* Each certificate with one octet changed, or cut short: never believed, and never read past. */
static void damaged_ones_are_refused(void **state)
{
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    struct cert c;
    cert_host(&c, "vpn.example.net", &root, DT_KEY_P256);
    for (size_t i = 0; i < c.len; i++) {
        uint8_t *copy = malloc(c.len);
        struct dt_err err;
        memcpy(copy, c.der, c.len);
        copy[i] ^= 1 + (uint8_t)(i % 255);
        struct dt_span one = dt_span(copy, c.len);
        struct dt_x509_question q = question(&one, 1, "vpn.example.net");
        assert_int_equal(ask(t, &q, &err), -1);
        one.len = i;
        memcpy(copy, c.der, i);
        if (i > 0)
            assert_int_equal(ask(t, &q, &err), -1);
        free(copy);
    }
    struct dt_span none = dt_span(NULL, 0);
    struct dt_x509_question q = question(&none, 0, "vpn.example.net");
    refused(t, &q, "0 certificates with 0 octets came");
    q.n = 1;
    refused(t, &q, "is malformed");
    cert_free(&c);
    dt_x509_trust_unref(t);
}

/* ---- CRLs ---- */

static void revoked_ones_are_refused(void **state)
{
    struct cert good, bad;
    cert_host(&good, "good.example.net", &root, DT_KEY_P256);
    cert_host(&bad, "bad.example.net", &root, DT_KEY_P256);
    struct dt_span g = cert_span(&good), b = cert_span(&bad);
    struct dt_x509_question qg = question(&g, 1, "good.example.net"), qb = question(&b, 1, "bad.example.net");
    for (int crl = DT_CRL_SOFT; crl <= DT_CRL_STRICT; crl++) {
        struct dt_x509_trust *t = trust_root((enum dt_x509_crl)crl);
        certs_revoke(t, &root, (const struct cert *[]){&bad}, 1, CERTS_NOW - CERTS_DAY,
                     CERTS_NOW + CERTS_DAY);
        believed(t, &qg);
        assert_string_equal(answer.note, "");
        refused(t, &qb, "was revoked on 2027-01-14 08:00:00 UTC (CRL of 2027-01-14 08:00:00 UTC)");
        /* It has become old. */
        qg.now = qb.now = CERTS_NOW + 2 * CERTS_DAY;
        refused(t, &qb,
                crl == DT_CRL_SOFT ? "was revoked on" : "was to be replaced by 2027-01-16 08:00:00 UTC");
        if (crl == DT_CRL_SOFT) {
            believed(t, &qg);
            assert_string_equal(answer.note,
                                "the CRL of O=Test, CN=Root was to be replaced by 2027-01-16 08:00:00 UTC");
        } else {
            refused(t, &qg, "whether the certificate CN=good.example.net, serial ");
        }
        qg.now = qb.now = CERTS_NOW;
        dt_x509_trust_unref(t);
    }
    cert_free(&good);
    cert_free(&bad);
}

static void an_absent_crl_matters_by_policy(void **state)
{
    struct cert c;
    cert_host(&c, "vpn.example.net", &middle, DT_KEY_P256);
    struct dt_span der[] = {cert_span(&c), cert_span(&middle)};
    struct dt_x509_question q = question(der, 2, "vpn.example.net");
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT);
    believed(t, &q);
    assert_string_equal(answer.note, ""); /* no CRL is kept at all */
    certs_revoke(t, &root, NULL, 0, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    believed(t, &q);
    assert_string_equal(answer.note, "there is no CRL of O=Test, CN=Middle");
    dt_x509_trust_unref(t);

    t = trust_root(DT_CRL_STRICT);
    refused(t, &q, "and crl = strict: there is no CRL of O=Test, CN=Middle");
    certs_revoke(t, &root, NULL, 0, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    refused(t, &q, "and crl = strict: there is no CRL of O=Test, CN=Middle");
    certs_revoke(t, &middle, NULL, 0, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    believed(t, &q);
    dt_x509_trust_unref(t);

    t = trust_root(DT_CRL_SOFT); /* an authority that was revoked */
    certs_revoke(t, &root, (const struct cert *[]){&middle}, 1, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    refused(t, &q, "the certificate O=Test, CN=Middle, serial ");
    dt_x509_trust_unref(t);
    cert_free(&c);
}

/* A CRL in the root's name by somebody else frees nobody and takes nobody. */
static void a_false_crl_counts_for_nothing(void **state)
{
    struct cert fake, c;
    cert_ca(&fake, "Root", NULL);
    cert_host(&c, "vpn.example.net", &root, DT_KEY_P256);
    struct dt_span der = cert_span(&c);
    struct dt_x509_question q = question(&der, 1, "vpn.example.net");
    struct dt_x509_trust *t = trust_root(DT_CRL_STRICT);
    certs_revoke(t, &fake, NULL, 0, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    refused(t, &q, "");
    certs_revoke(t, &root, (const struct cert *[]){&c}, 1, CERTS_NOW - CERTS_DAY, CERTS_NOW + CERTS_DAY);
    refused(t, &q, "was revoked");
    dt_x509_trust_unref(t);
    cert_free(&c);
    cert_free(&fake);
}

/* ---- our own ---- */

static void own_must_fit_together(void **state)
{
    struct cert a, b;
    struct dt_err err = {0};
    cert_host(&a, "a.example.net", &middle, DT_KEY_P256);
    cert_host(&b, "b.example.net", &middle, DT_KEY_P256);
    struct dt_x509_own *own = certs_own((const struct cert *[]){&a, &middle}, 2);
    assert_int_equal(dt_x509_own_count(own), 2);
    assert_int_equal(dt_x509_own_der(own, 1).len, middle.len);
    assert_memory_equal(dt_x509_own_der(own, 1).p, middle.der, middle.len);
    assert_int_equal(dt_x509_own_for(own, DT_X509_DNS, dt_span("a.example.net", 13), &err), 0);
    assert_int_equal(dt_x509_own_for(own, DT_X509_DNS, dt_span("b.example.net", 13), &err), -1);
    assert_string_equal(err.text, "it is for DNS a.example.net, DN CN=a.example.net");
    assert_non_null(strstr(dt_x509_own_str(own), "ECDSA P-256, valid until 2028-01-15 08:00:00 UTC"));
    struct dt_x509_own *again = certs_own((const struct cert *[]){&a, &middle}, 2),
                       *shorter = certs_own((const struct cert *[]){&a}, 1);
    assert_true(dt_x509_own_eq(own, again));
    assert_false(dt_x509_own_eq(own, shorter));
    assert_false(dt_x509_own_eq(own, NULL));
    dt_x509_own_unref(again);
    dt_x509_own_unref(shorter);
    dt_x509_own_unref(own);
    struct dt_span text = dt_span(a.a.cert.p, a.a.cert.len);
    assert_null(dt_x509_own_new(text, dt_span(b.key.p, b.key.len), &err));
    assert_non_null(strstr(err.text, "is not one of this private key"));
    assert_null(dt_x509_own_new(dt_span("", 0), dt_span(b.key.p, b.key.len), &err));
    assert_non_null(strstr(err.text, "there is no certificate in it"));
    assert_null(dt_x509_own_new(text, dt_span("", 0), &err));
    assert_non_null(strstr(err.text, "its private key cannot be used: there is no private key"));
    /* in DER */
    own = dt_x509_own_new(cert_span(&a), dt_span(a.key.p, a.key.len), &err);
    assert_non_null(own);
    dt_x509_own_unref(own);
    cert_free(&a);
    cert_free(&b);
}

static void count_remark(void *ctx, const char *text)
{
    ++*(unsigned *)ctx;
    assert_true(strstr(text, "the authority ") || strstr(text, "the CRL of "));
}

static void trust_is_what_was_added(void **state)
{
    struct cert host;
    struct dt_err err = {0};
    unsigned n = 0;
    cert_host(&host, "a.example.net", &root, DT_KEY_P256);
    struct dt_x509_trust *t = trust_root(DT_CRL_SOFT), *same = trust_root(DT_CRL_SOFT),
                         *strict = trust_root(DT_CRL_STRICT);
    assert_int_equal(dt_x509_trust_count(t), 1);
    assert_string_equal(dt_x509_trust_str(t), "O=Test, CN=Root");
    assert_true(dt_x509_trust_eq(t, same));
    assert_false(dt_x509_trust_eq(t, strict));
    assert_int_equal(dt_x509_trust_add_ca(t, dt_span(root.a.cert.p, root.a.cert.len), &err),
                     0); /* twice is once */
    assert_int_equal(dt_x509_trust_count(t), 1);
    assert_int_equal(dt_x509_trust_add_ca(t, dt_span(host.a.cert.p, host.a.cert.len), &err), -1);
    assert_non_null(strstr(err.text, "is no authority's"));
    assert_int_equal(dt_x509_trust_add_ca(t, dt_span("x", 1), &err), -1);
    assert_non_null(strstr(err.text, "there is no certificate in it"));
    assert_int_equal(dt_x509_trust_add_crl(t, dt_span(root.a.cert.p, root.a.cert.len), &err), -1);
    assert_non_null(strstr(err.text, "there is no CRL in it"));
    certs_revoke(t, &root, NULL, 0, CERTS_NOW, CERTS_NOW + CERTS_DAY);
    assert_false(dt_x509_trust_eq(t, same));
    dt_x509_trust_remarks(t, CERTS_NOW, count_remark, &n);
    assert_int_equal(n, 0);
    dt_x509_trust_remarks(t, CERTS_NOW + 2 * CERTS_DAY, count_remark, &n);
    assert_int_equal(n, 1);
    dt_x509_trust_remarks(t, CERTS_NOW + 2 * CERTS_YEAR, count_remark, &n);
    assert_int_equal(n, 3);
    dt_x509_trust_unref(t);
    dt_x509_trust_unref(same);
    dt_x509_trust_unref(strict);
    cert_free(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key),
        cmocka_unit_test(intermediates_come_from_the_peer),
        cmocka_unit_test(names_are_compared_by_kind),
        cmocka_unit_test(a_subject_is_a_name),
        cmocka_unit_test(time_decides),
        cmocka_unit_test(purpose_decides),
        cmocka_unit_test(other_purposes_are_refused),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(a_false_root_is_no_root),
        cmocka_unit_test(whoever_is_no_authority_issues_nothing),
        cmocka_unit_test(path_lengths_and_name_constraints_hold),
        cmocka_unit_test(loops_end),
        cmocka_unit_test(long_chains_have_a_bound),
        cmocka_unit_test(weak_ones_are_refused),
        cmocka_unit_test(sha1_under_a_certificate_is_refused),
        cmocka_unit_test(damaged_ones_are_refused),
        cmocka_unit_test(revoked_ones_are_refused),
        cmocka_unit_test(an_absent_crl_matters_by_policy),
        cmocka_unit_test(a_false_crl_counts_for_nothing),
        cmocka_unit_test(own_must_fit_together),
        cmocka_unit_test(trust_is_what_was_added),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
