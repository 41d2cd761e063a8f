/* Proof by certificate: certificate, private_key, ca, crl_file and crl of a tunnel or a gateway.
 *
 * Files are read once for all sections that name the same ones: a thousand tunnels to one company have one authority. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "config/reader.h"
#include "crypto/x509.h"

#define PROOFS_KEPT 64 /* of one reading, for sections that come */
#define KEY_MAX     16384
#define SOON        (14 * INT64_C(86400)) /* before a certificate's end */

/* What came of some files. */
struct proof_file {
    struct proof_file *next;
    char *key; /* which they were */
    uint64_t digest;
    struct dt_x509_own *own;
    struct dt_x509_trust *trust;
};

static const char prefix[] = "file:";

const struct dt_setting *reader_setting(const struct reader *r, const struct dt_block *b, const char *key)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(r->f->settings[b->setting + i].key, key) == 0)
            return &r->f->settings[b->setting + i];
    return NULL;
}

/* ---- single settings ---- */

void read_proof_file(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        if (strncmp(v, "file:/", 6) != 0)
            reader_error(r, s->line, "%s = \"%.64s\": \"file:/PATH\" would be right, a file in PEM", s->key,
                         v);
    }
}

void read_crl(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    const char *v = reader_value(r, s, 0);
    if (strcmp(v, "soft") != 0 && strcmp(v, "strict") != 0)
        reader_error(r, s->line,
                     "crl = \"%.40s\": soft (a CRL that is absent or out of date is only told) or strict (it "
                     "refuses) would be "
                     "right",
                     v);
}

/* The path of a value that read_proof_file liked; NULL: it did not. */
static const char *proof_path(const struct reader *r, const struct dt_setting *s, size_t i)
{
    const char *v = s != NULL && i < s->n ? reader_value(r, s, i) : "";
    return strncmp(v, "file:/", 6) == 0 ? v + sizeof(prefix) - 1 : NULL;
}

/* ---- what was read already ---- */

static struct proof_file *proof_find(const struct reader *r, const char *key)
{
    struct proof_file *p = r->proofs;
    while (p != NULL && strcmp(p->key, key) != 0)
        p = p->next;
    return p;
}

/* Takes what it is given. NULL: no memory. */
static struct proof_file *proof_keep(struct reader *r, const char *key, uint64_t digest,
                                     struct dt_x509_own *own, struct dt_x509_trust *trust)
{
    struct proof_file *p = calloc(1, sizeof(*p));
    char *copy = strdup(key);
    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        dt_x509_own_unref(own);
        dt_x509_trust_unref(trust);
        return NULL;
    }
    *p = (struct proof_file){.next = r->proofs, .key = copy, .digest = digest, .own = own, .trust = trust};
    r->proofs = p;
    return p;
}

static void proof_free(struct proof_file *p)
{
    dt_x509_own_unref(p->own);
    dt_x509_trust_unref(p->trust);
    free(p->key);
    free(p);
}

/* The oldest go, so that a file of thousands of sections with files of their own is read in a time that is not their square. */
static void proofs_trim(struct reader *r, unsigned most)
{
    struct proof_file **at = &r->proofs;
    for (unsigned n = 0; n < most && *at != NULL; n++)
        at = &(*at)->next;
    while (*at != NULL) {
        struct proof_file *p = *at;
        *at = p->next;
        proof_free(p);
    }
}

void reader_proofs_free(struct reader *r)
{
    proofs_trim(r, 0);
}

/* ---- our own ---- */

static struct proof_file *own_load(struct reader *r, const struct dt_setting *cert,
                                   const struct dt_setting *key, const char *name)
{
    const char *cert_path = proof_path(r, cert, 0), *key_path = proof_path(r, key, 0);
    char *text = NULL, secret[KEY_MAX];
    struct dt_err err = {0};
    struct dt_digest d;
    struct dt_x509_own *own = NULL;
    long n = value_public_file(r, cert->line, cert->key, cert_path, &text);
    long k = n >= 0 ? value_file(r, key->line, key->key, key_path, secret, sizeof(secret)) : -1;
    dt_digest_init(&d);
    if (n > 0 && k >= 0) {
        own = dt_x509_own_new(dt_span(text, (size_t)n), dt_span(secret, (size_t)k), &err);
        dt_digest_bytes(&d, text, (size_t)n);
        dt_digest_bytes(&d, secret, (size_t)k);
        if (own == NULL)
            reader_error(r, cert->line, "certificate: %.200s: %s", cert_path, err.text);
    } else if (n == 0 && !(r->flags & DT_CONFIG_NO_FILES)) {
        reader_error(r, cert->line, "certificate: %.200s is empty", cert_path);
    }
    dt_wipe(secret, sizeof(secret));
    free(text);
    return own != NULL ? proof_keep(r, name, dt_digest_value(&d), own, NULL) : NULL;
}

/* A certificate that will be refused by the other end is refused here, where somebody reads why. */
static void own_check(struct reader *r, unsigned line, const struct dt_x509_own *own,
                      const struct dt_ike_id *local, bool responder)
{
    static const enum dt_x509_name_kind kinds[] = {[DT_ID_FQDN] = DT_X509_DNS,
                                                   [DT_ID_RFC822_ADDR] = DT_X509_EMAIL,
                                                   [DT_ID_IPV4_ADDR] = DT_X509_IP,
                                                   [DT_ID_IPV6_ADDR] = DT_X509_IP,
                                                   [DT_ID_DER_ASN1_DN] = DT_X509_DN};
    enum dt_x509_name_kind kind = local->type < DT_ARRAY_LEN(kinds) ? kinds[local->type] : 0;
    const char *setting = responder ? "identity" : "local";
    char id[DT_IKE_ID_STRLEN];
    struct dt_err err = {0};
    int64_t now = (int64_t)time(NULL), until = dt_x509_own_until(own);
    if (kind == 0 && local->type != DT_ID_ANY)
        reader_error(
            r, line,
            "certificate: no certificate proves %s = \"%.64s\"; a name, an e-mail address, an address or a "
            "distinguished name would be right",
            setting, dt_ike_id_str(id, local));
    else if (kind != 0 && dt_x509_own_for(own, kind, dt_span(local->data, local->len), &err) != 0)
        reader_error(r, line, "certificate: %s is \"%.64s\", and the certificate is not for that: %s",
                     setting, dt_ike_id_str(id, local), err.text);
    else if (dt_x509_own_purpose(own, responder, &err) != 0)
        reader_warn(r, line, "certificate: %s; peers may refuse it", err.text);
    if (now > until)
        reader_warn(r, line, "certificate: it has expired: %s; `dovetail reload` takes a new one",
                    dt_x509_own_str(own));
    else if (now > until - SOON)
        reader_warn(r, line, "certificate: it expires in %lld days: %s", (long long)((until - now) / 86400),
                    dt_x509_own_str(own));
    else if (now < dt_x509_own_from(own))
        reader_warn(r, line, "certificate: it is not valid yet: %s; is the clock of this host right?",
                    dt_x509_own_str(own));
}

static void section_own(struct reader *r, const struct dt_block *b, const struct dt_ike_id *local,
                     bool responder, struct dt_ike_proofs *out, struct dt_digest *d)
{
    const struct dt_setting *cert = reader_setting(r, b, "certificate"),
                            *key = reader_setting(r, b, "private_key");
    char name[1024];
    if (cert == NULL && key == NULL)
        return;
    if (cert == NULL || key == NULL) {
        reader_error(r, (cert != NULL ? cert : key)->line,
                     "%s without %s; %s = \"file:/PATH\" beside it would be right",
                     cert != NULL ? "certificate" : "private_key",
                     cert != NULL ? "private_key" : "certificate",
                     cert != NULL ? "private_key" : "certificate");
        return;
    }
    if (proof_path(r, cert, 0) == NULL || proof_path(r, key, 0) == NULL)
        return;
    snprintf(name, sizeof(name), "own\n%s\n%s", proof_path(r, cert, 0), proof_path(r, key, 0));
    struct proof_file *p = proof_find(r, name);
    if (p == NULL)
        p = own_load(r, cert, key, name);
    if (p == NULL)
        return;
    out->own = dt_x509_own_ref(p->own);
    dt_digest_u64(d, p->digest);
    own_check(r, cert->line, p->own, local, responder);
}

/* ---- whom we believe ---- */

static bool trust_add(struct reader *r, struct dt_x509_trust *t, const struct dt_setting *s, bool crl,
                      struct dt_digest *d)
{
    bool ok = true;
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        const char *path = proof_path(r, s, i);
        char *text = NULL;
        struct dt_err err = {0};
        long n = path != NULL ? value_public_file(r, s->line, s->key, path, &text) : -1;
        if (n >= 0 && !(r->flags & DT_CONFIG_NO_FILES) &&
            (crl ? dt_x509_trust_add_crl : dt_x509_trust_add_ca)(t, dt_span(text, (size_t)n), &err) != 0) {
            reader_error(r, s->line, "%s: %.200s: %s", s->key, path, err.text);
            n = -1;
        }
        if (n >= 0)
            dt_digest_bytes(d, text, (size_t)n);
        ok = ok && n >= 0;
        free(text);
    }
    return ok;
}

struct remark_at {
    struct reader *r;
    const struct dt_setting *s;
};

static void trust_remark(void *ctx, const char *text)
{
    const struct remark_at *at = ctx;
    reader_warn(at->r, at->s->line, "%s: %s", at->s->key, text);
}

static struct proof_file *trust_load(struct reader *r, const struct dt_setting *ca,
                                     const struct dt_setting *crl_file, bool strict, const char *name)
{
    struct dt_digest d;
    struct dt_x509_trust *t = dt_x509_trust_new(strict ? DT_CRL_STRICT : DT_CRL_SOFT);
    if (t == NULL) {
        reader_error(r, ca->line, "out of memory");
        return NULL;
    }
    dt_digest_init(&d);
    dt_digest_u64(&d, strict);
    if (!trust_add(r, t, ca, false, &d) || !trust_add(r, t, crl_file, true, &d)) {
        dt_x509_trust_unref(t);
        return NULL;
    }
    return proof_keep(r, name, dt_digest_value(&d), NULL, t);
}

/* Every path, and the policy. False: they have no room. */
static bool trust_name(char *out, size_t cap, const struct reader *r, const struct dt_setting *ca,
                       const struct dt_setting *crl_file, bool strict)
{
    size_t at = (size_t)snprintf(out, cap, "trust %d", strict);
    const struct dt_setting *both[] = {ca, crl_file};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; both[k] != NULL && i < both[k]->n; i++) {
            const char *path = proof_path(r, both[k], i);
            at += path != NULL && at < cap ? (size_t)snprintf(out + at, cap - at, "\n%zu%s", k, path) : cap;
        }
    return at < cap;
}

static void section_trust(struct reader *r, const struct dt_block *b, struct dt_ike_proofs *out,
                       struct dt_digest *d)
{
    const struct dt_setting *ca = reader_setting(r, b, "ca"), *crl_file = reader_setting(r, b, "crl_file"),
                            *crl = reader_setting(r, b, "crl");
    bool strict = crl != NULL && crl->n > 0 && strcmp(reader_value(r, crl, 0), "strict") == 0;
    char name[8192];
    if (ca == NULL && (crl_file != NULL || crl != NULL)) {
        const struct dt_setting *s = crl_file != NULL ? crl_file : crl;
        reader_error(
            r, s->line,
            "%s without ca: it is about the certificates of an authority; ca = \"file:/PATH\" would be right",
            s->key);
    }
    if (ca == NULL || ca->n == 0)
        return;
    if (!trust_name(name, sizeof(name), r, ca, crl_file, strict))
        return; /* of what was complained of */
    struct proof_file *p = proof_find(r, name);
    if (p == NULL)
        p = trust_load(r, ca, crl_file, strict, name);
    if (p == NULL)
        return;
    out->trust = dt_x509_trust_ref(p->trust);
    dt_digest_u64(d, p->digest);
    struct remark_at at = {r, ca};
    dt_x509_trust_remarks(p->trust, (int64_t)time(NULL), trust_remark, &at);
    if (strict && crl_file == NULL)
        reader_warn(r, crl->line,
                    "crl = strict without crl_file: every certificate is refused, because no CRL is there; "
                    "crl_file = "
                    "\"file:/PATH\" would be right");
}

void reader_proofs(struct reader *r, const struct dt_block *b, const struct dt_ike_id *local, bool responder,
                   struct dt_ike_proofs *out, struct dt_digest *d)
{
    section_own(r, b, local, responder, out, d);
    section_trust(r, b, out, d);
    proofs_trim(r, PROOFS_KEPT);
}
