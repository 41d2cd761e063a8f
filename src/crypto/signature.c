/* Keys, and the signatures that they make and check. */
#include "crypto/signature.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/provider.h"
#include "crypto/x509_priv.h"

struct dt_sig_key {
    atomic_uint refs;
    EVP_PKEY *pkey;
    enum dt_key_kind kind;
    int bits;
};

/* ---- keys ---- */

static const char *const curve_name[] = {
    [DT_KEY_P256] = "prime256v1", [DT_KEY_P384] = "secp384r1", [DT_KEY_P521] = "secp521r1"};

static enum dt_key_kind curve_kind(const EVP_PKEY *pkey, char *name, size_t cap)
{
    size_t len = 0;
    if (!EVP_PKEY_get_group_name(pkey, name, cap, &len))
        snprintf(name, cap, "a curve without a name");
    for (unsigned i = DT_KEY_P256; i <= DT_KEY_P521; i++)
        if (!strcmp(name, curve_name[i]))
            return (enum dt_key_kind)i;
    return 0;
}

/* What kind it is, and whether it is one that we take. */
static int key_judge(struct dt_sig_key *k, struct dt_err *err)
{
    char name[64] = "";
    BIGNUM *e = NULL;
    k->bits = EVP_PKEY_get_bits(k->pkey);
    switch (EVP_PKEY_get_base_id(k->pkey)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        k->kind = DT_KEY_RSA;
        int exponent = EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_RSA_E, &e) ? BN_num_bits(e) : INT32_MAX;
        BN_free(e);
        if (k->bits < DT_KEY_RSA_BITS_MIN || k->bits > DT_KEY_RSA_BITS_MAX)
            return dt_err_set(err, 0, "it is RSA with %d bits; %d to %d are taken", k->bits,
                              DT_KEY_RSA_BITS_MIN, DT_KEY_RSA_BITS_MAX);
        return exponent <= 64 ? 0 : dt_err_set(err, 0, "its RSA exponent has more than 64 bits");
    case EVP_PKEY_EC:
        k->kind = curve_kind(k->pkey, name, sizeof(name));
        return k->kind ? 0
                       : dt_err_set(err, 0, "it is ECDSA on %.40s; P-256, P-384 and P-521 are taken", name);
    case EVP_PKEY_ED25519:
        k->kind = DT_KEY_ED25519;
        return 0;
    default: {
        const char *kind = EVP_PKEY_get0_type_name(k->pkey);
        return dt_err_set(err, 0, "it is %.40s; RSA, ECDSA and Ed25519 are taken", kind ? kind : "unknown");
    }
    }
}

struct dt_sig_key *sig_key_of(EVP_PKEY *pkey, struct dt_err *err)
{
    struct dt_sig_key *k = pkey ? calloc(1, sizeof(*k)) : NULL;
    if (!k) {
        EVP_PKEY_free(pkey);
        dt_err_set(err, 0, "no memory for a key");
        return NULL;
    }
    atomic_init(&k->refs, 1);
    k->pkey = pkey;
    if (!key_judge(k, err))
        return k;
    ERR_clear_error();
    dt_sig_key_unref(k);
    return NULL;
}

struct dt_sig_key *dt_sig_key_ref(struct dt_sig_key *k)
{
    if (k)
        atomic_fetch_add(&k->refs, 1);
    return k;
}

void dt_sig_key_unref(struct dt_sig_key *k)
{
    if (!k || atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    EVP_PKEY_free(k->pkey); /* which wipes */
    free(k);
}

EVP_PKEY *sig_key_pkey(const struct dt_sig_key *k)
{
    return k->pkey;
}

/* Instead of a question at the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

bool x509_is_pem(struct dt_span text)
{
    static const char begin[] = "-----BEGIN ";
    return text.len > sizeof(begin) && memmem(text.p, text.len, begin, sizeof(begin) - 1) != NULL;
}

struct dt_sig_key *dt_sig_key_private(struct dt_span text, struct dt_err *err)
{
    EVP_PKEY *pkey = NULL;
    bool asked = false;
    const uint8_t *p = text.p;
    if (text.len > INT32_MAX) {
        dt_err_set(err, 0, "it is too long");
        return NULL;
    }
    if (x509_is_pem(text)) {
        BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
        pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
        BIO_free(bio);
    } else {
        pkey = d2i_AutoPrivateKey(NULL, &p, (long)text.len);
    }
    ERR_clear_error();
    if (pkey)
        return sig_key_of(pkey, err);
    if (asked)
        dt_err_set(err, 0,
                   "it is encrypted; a daemon has nobody to ask for a passphrase: `openssl pkey -in OLD -out "
                   "NEW` writes it without");
    else
        dt_err_set(err, 0,
                   "there is no private key in it; PEM (\"BEGIN PRIVATE KEY\") or PKCS#8 in DER "
                   "would be right");
    return NULL;
}

struct dt_sig_key *dt_sig_key_public(struct dt_span text, struct dt_err *err)
{
    EVP_PKEY *pkey = NULL;
    const uint8_t *p = text.p;
    if (text.len <= INT32_MAX && x509_is_pem(text)) {
        BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
        pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
        BIO_free(bio);
    } else if (text.len <= INT32_MAX) {
        pkey = d2i_PUBKEY(NULL, &p, (long)text.len);
        if (pkey && p != text.p + text.len) {
            EVP_PKEY_free(pkey);
            pkey = NULL;
        }
    }
    ERR_clear_error();
    if (pkey)
        return sig_key_of(pkey, err);
    dt_err_set(err, 0, "there is no public key in it; PEM (\"BEGIN PUBLIC KEY\") would be right");
    return NULL;
}

enum dt_key_kind dt_sig_key_kind(const struct dt_sig_key *k)
{
    return k->kind;
}

const char *dt_sig_key_str(char buf[DT_KEY_STRLEN], const struct dt_sig_key *k)
{
    static const char *const names[] = {[DT_KEY_P256] = "ECDSA P-256",
                                        [DT_KEY_P384] = "ECDSA P-384",
                                        [DT_KEY_P521] = "ECDSA P-521",
                                        [DT_KEY_ED25519] = "Ed25519"};
    if (k->kind == DT_KEY_RSA)
        snprintf(buf, DT_KEY_STRLEN, "RSA with %d bits", k->bits);
    else
        snprintf(buf, DT_KEY_STRLEN, "%s", names[k->kind]);
    return buf;
}

bool dt_sig_key_eq(const struct dt_sig_key *a, const struct dt_sig_key *b)
{
    return EVP_PKEY_eq(a->pkey, b->pkey) == 1;
}

size_t dt_sig_key_spki(const struct dt_sig_key *k, uint8_t *out, size_t cap)
{
    int n = i2d_PUBKEY(k->pkey, NULL);
    if (n <= 0 || (size_t)n > cap)
        return 0;
    return i2d_PUBKEY(k->pkey, &out) == n ? (size_t)n : 0;
}

/* Measured with `openssl speed` of OpenSSL 3.0: one signature and two checks. */
uint32_t dt_sig_key_work(const struct dt_sig_key *k)
{
    switch (k->kind) {
    case DT_KEY_RSA: {
        uint32_t kbits = (uint32_t)(k->bits + 1023) / 1024;
        return 90 * kbits * kbits * kbits;
    }
    case DT_KEY_P256:
        return 200;
    case DT_KEY_P384:
        return 2500;
    case DT_KEY_P521:
        return 1500;
    case DT_KEY_ED25519:
        return 300;
    }
    return 0;
}

/* ---- algorithms ---- */

static const char *const sig_hash[] = {[DT_HASH_SHA1] = "SHA1",
                                       [DT_HASH_SHA2_256] = "SHA256",
                                       [DT_HASH_SHA2_384] = "SHA384",
                                       [DT_HASH_SHA2_512] = "SHA512"};

const char *dt_sig_str(char buf[DT_SIG_STRLEN], const struct dt_sig_algorithm *a)
{
    static const char *const scheme[] = {
        [DT_SIG_RSA_PKCS1] = "RSASSA-PKCS1-v1_5", [DT_SIG_RSA_PSS] = "RSASSA-PSS", [DT_SIG_ECDSA] = "ECDSA"};
    static const char *const hash[] = {[DT_HASH_SHA1] = "SHA-1",
                                       [DT_HASH_SHA2_256] = "SHA2-256",
                                       [DT_HASH_SHA2_384] = "SHA2-384",
                                       [DT_HASH_SHA2_512] = "SHA2-512"};
    if (a->scheme == DT_SIG_ED25519)
        snprintf(buf, DT_SIG_STRLEN, "Ed25519");
    else if (a->scheme > DT_SIG_NONE && a->scheme < DT_ARRAY_LEN(scheme) && a->hash < DT_ARRAY_LEN(hash) &&
             hash[a->hash])
        snprintf(buf, DT_SIG_STRLEN, "%s with %s", scheme[a->scheme], hash[a->hash]);
    else
        snprintf(buf, DT_SIG_STRLEN, "an unknown signature");
    return buf;
}

bool dt_sig_fits(const struct dt_sig_algorithm *a, enum dt_key_kind kind)
{
    switch (a->scheme) {
    case DT_SIG_RSA_PKCS1:
    case DT_SIG_RSA_PSS:
        return kind == DT_KEY_RSA;
    case DT_SIG_ECDSA:
        return kind == DT_KEY_P256 || kind == DT_KEY_P384 || kind == DT_KEY_P521;
    case DT_SIG_ED25519:
        return kind == DT_KEY_ED25519;
    default:
        return false;
    }
}

static int pss_params(EVP_PKEY_CTX *p, const struct dt_sig_algorithm *a)
{
    return EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(p, a->salt) == 1;
}

/* A context for one signature; NULL: OpenSSL does not want it. */
static EVP_MD_CTX *context(const struct dt_sig_key *k, const struct dt_sig_algorithm *a, bool sign)
{
    EVP_PKEY_CTX *p = NULL; /* the context's */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *md = a->scheme == DT_SIG_ED25519 ? NULL : sig_hash[a->hash];
    int ok = ctx && (sign ? EVP_DigestSignInit_ex(ctx, &p, md, NULL, NULL, k->pkey, NULL)
                          : EVP_DigestVerifyInit_ex(ctx, &p, md, NULL, NULL, k->pkey, NULL)) == 1;
    if (ok && a->scheme == DT_SIG_RSA_PSS)
        ok = pss_params(p, a);
    if (ok)
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static int fits(const struct dt_sig_key *k, const struct dt_sig_algorithm *a, struct dt_err *err)
{
    char key[DT_KEY_STRLEN], sig[DT_SIG_STRLEN];
    bool hashed = a->scheme == DT_SIG_ED25519 || (a->hash >= DT_HASH_SHA1 && a->hash <= DT_HASH_SHA2_512);
    if (hashed && dt_sig_fits(a, k->kind))
        return 0;
    return dt_err_set(err, 0, "a signature by %s is not one of a key that is %s", dt_sig_str(sig, a),
                      dt_sig_key_str(key, k));
}

int dt_sig_sign(const struct dt_sig_key *k, const struct dt_sig_algorithm *a, struct dt_span octets,
                uint8_t *out, size_t *len, struct dt_err *err)
{
    if (fits(k, a, err))
        return -1;
    EVP_MD_CTX *ctx = context(k, a, true);
    *len = DT_SIGNATURE_MAX;
    int ok = ctx && EVP_DigestSign(ctx, out, len, octets.p, octets.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : dt_openssl_fail(err, "signature");
}

int dt_sig_check(const struct dt_sig_key *k, const struct dt_sig_algorithm *a, struct dt_span octets,
                 struct dt_span signature, struct dt_err *err)
{
    char key[DT_KEY_STRLEN], sig[DT_SIG_STRLEN];
    if (fits(k, a, err))
        return -1;
    EVP_MD_CTX *ctx = context(k, a, false);
    int ok = ctx && EVP_DigestVerify(ctx, signature.p, signature.len, octets.p, octets.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? 0
              : dt_err_set(err, 0, "the signature by %s is not one of its key, which is %s",
                           dt_sig_str(sig, a), dt_sig_key_str(key, k));
}

/* ---- AlgorithmIdentifier ---- */

static const struct {
    int nid;
    struct dt_sig_algorithm alg;
} identifiers[] = {
    {NID_sha256WithRSAEncryption, {DT_SIG_RSA_PKCS1, DT_HASH_SHA2_256, 0}},
    {NID_sha384WithRSAEncryption, {DT_SIG_RSA_PKCS1, DT_HASH_SHA2_384, 0}},
    {NID_sha512WithRSAEncryption, {DT_SIG_RSA_PKCS1, DT_HASH_SHA2_512, 0}},
    {NID_ecdsa_with_SHA256, {DT_SIG_ECDSA, DT_HASH_SHA2_256, 0}},
    {NID_ecdsa_with_SHA384, {DT_SIG_ECDSA, DT_HASH_SHA2_384, 0}},
    {NID_ecdsa_with_SHA512, {DT_SIG_ECDSA, DT_HASH_SHA2_512, 0}},
    {NID_ED25519, {DT_SIG_ED25519, 0, 0}},
};
static const int hash_nid[] = {
    [DT_HASH_SHA2_256] = NID_sha256, [DT_HASH_SHA2_384] = NID_sha384, [DT_HASH_SHA2_512] = NID_sha512};

static enum dt_hash hash_of_nid(int nid)
{
    for (unsigned i = DT_HASH_SHA2_256; i <= DT_HASH_SHA2_512; i++)
        if (hash_nid[i] == nid)
            return (enum dt_hash)i;
    return 0;
}

static enum dt_hash hash_of_algor(const X509_ALGOR *alg)
{
    const ASN1_OBJECT *oid = NULL;
    if (!alg)
        return 0; /* the default is SHA-1 */
    X509_ALGOR_get0(&oid, NULL, NULL, alg);
    return hash_of_nid(OBJ_obj2nid(oid));
}

/* RFC 4055 section 3.1: the same hash for the message and for MGF1. */
static int pss_read(struct dt_sig_algorithm *out, const X509_ALGOR *alg, struct dt_err *err)
{
    const void *value = NULL;
    int type = 0;
    X509_ALGOR_get0(NULL, &type, &value, alg);
    RSA_PSS_PARAMS *p =
        type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS)) : NULL;
    enum dt_hash hash = p ? hash_of_algor(p->hashAlgorithm) : 0, mgf = 0;
    if (p && p->maskGenAlgorithm) {
        const ASN1_OBJECT *oid = NULL;
        X509_ALGOR_get0(&oid, &type, &value, p->maskGenAlgorithm);
        X509_ALGOR *of = OBJ_obj2nid(oid) == NID_mgf1 && type == V_ASN1_SEQUENCE
                             ? ASN1_item_unpack(value, ASN1_ITEM_rptr(X509_ALGOR))
                             : NULL;
        mgf = hash_of_algor(of);
        X509_ALGOR_free(of);
    }
    long salt = p && p->saltLength ? ASN1_INTEGER_get(p->saltLength) : 20;
    long trailer = p && p->trailerField ? ASN1_INTEGER_get(p->trailerField) : 1;
    RSA_PSS_PARAMS_free(p);
    if (!hash || hash != mgf || salt < 0 || salt > DT_HASH_MAX || trailer != 1)
        return dt_err_set(err, 0,
                          "RSASSA-PSS of this kind is not taken; SHA2-256, SHA2-384 or SHA2-512, the same in "
                          "MGF1, and a salt of at most %d octets would be right",
                          DT_HASH_MAX);
    *out = (struct dt_sig_algorithm){.scheme = DT_SIG_RSA_PSS, .hash = hash, .salt = (uint16_t)salt};
    return 0;
}

static int algor_read(struct dt_sig_algorithm *out, const X509_ALGOR *alg, struct dt_err *err)
{
    const ASN1_OBJECT *oid = NULL;
    int type = 0;
    X509_ALGOR_get0(&oid, &type, NULL, alg);
    int nid = OBJ_obj2nid(oid);
    if (nid == NID_rsassaPss)
        return pss_read(out, alg, err);
    for (size_t i = 0; i < DT_ARRAY_LEN(identifiers); i++)
        if (identifiers[i].nid == nid && (type == V_ASN1_UNDEF || type == V_ASN1_NULL)) {
            *out = identifiers[i].alg;
            return 0;
        }
    char name[80];
    OBJ_obj2txt(name, sizeof(name), oid, 0);
    return dt_err_set(
        err, 0,
        "signatures by %s are not taken; RSASSA-PSS, RSASSA-PKCS1-v1_5 and ECDSA with SHA2-256, "
        "SHA2-384 or SHA2-512, and Ed25519, are",
        name);
}

int dt_sig_algorithm_read(struct dt_sig_algorithm *out, struct dt_span der, struct dt_err *err)
{
    const uint8_t *p = der.p;
    *out = (struct dt_sig_algorithm){0};
    X509_ALGOR *alg = der.len <= DT_SIG_ALGORITHM_MAX ? d2i_X509_ALGOR(NULL, &p, (long)der.len) : NULL;
    int rc = alg && p == der.p + der.len
                 ? algor_read(out, alg, err)
                 : dt_err_set(err, 0, "the AlgorithmIdentifier of a signature is malformed");
    X509_ALGOR_free(alg);
    ERR_clear_error();
    return rc;
}

/* *into becomes the DER of `alg`, an X509_ALGOR that is freed. */
static ASN1_STRING *algor_pack(X509_ALGOR *alg)
{
    ASN1_STRING *s = alg ? ASN1_item_pack(alg, ASN1_ITEM_rptr(X509_ALGOR), NULL) : NULL;
    X509_ALGOR_free(alg);
    return s;
}

static X509_ALGOR *algor_new(int nid, int type, void *value)
{
    X509_ALGOR *alg = X509_ALGOR_new();
    if (alg && X509_ALGOR_set0(alg, OBJ_nid2obj(nid), type, value) == 1)
        return alg;
    X509_ALGOR_free(alg);
    return NULL;
}

/* RFC 7427 appendix A.4. */
static X509_ALGOR *pss_algor(const struct dt_sig_algorithm *a)
{
    ASN1_STRING *mgf = algor_pack(algor_new(hash_nid[a->hash], V_ASN1_NULL, NULL)), *packed = NULL;
    RSA_PSS_PARAMS *p = RSA_PSS_PARAMS_new();
    if (p && mgf) {
        p->hashAlgorithm = algor_new(hash_nid[a->hash], V_ASN1_NULL, NULL);
        p->maskGenAlgorithm = algor_new(NID_mgf1, V_ASN1_SEQUENCE, mgf);
        if (p->maskGenAlgorithm)
            mgf = NULL; /* it owns it */
        p->saltLength = ASN1_INTEGER_new();
        if (p->hashAlgorithm && p->maskGenAlgorithm && p->saltLength &&
            ASN1_INTEGER_set(p->saltLength, a->salt))
            packed = ASN1_item_pack(p, ASN1_ITEM_rptr(RSA_PSS_PARAMS), NULL);
    }
    ASN1_STRING_free(mgf);
    RSA_PSS_PARAMS_free(p);
    X509_ALGOR *alg = packed ? algor_new(NID_rsassaPss, V_ASN1_SEQUENCE, packed) : NULL;
    if (!alg)
        ASN1_STRING_free(packed);
    return alg;
}

size_t dt_sig_algorithm_write(uint8_t *out, size_t cap, const struct dt_sig_algorithm *a)
{
    X509_ALGOR *alg = NULL;
    size_t len = 0;
    if (a->scheme == DT_SIG_RSA_PSS && a->hash >= DT_HASH_SHA2_256 && a->hash <= DT_HASH_SHA2_512)
        alg = pss_algor(a);
    for (size_t i = 0; !alg && i < DT_ARRAY_LEN(identifiers); i++)
        if (identifiers[i].alg.scheme == a->scheme && identifiers[i].alg.hash == a->hash)
            alg = algor_new(identifiers[i].nid, a->scheme == DT_SIG_RSA_PKCS1 ? V_ASN1_NULL : V_ASN1_UNDEF,
                            NULL);
    int n = alg ? i2d_X509_ALGOR(alg, NULL) : 0;
    if (n > 0 && (size_t)n <= cap && i2d_X509_ALGOR(alg, &out) == n)
        len = (size_t)n;
    X509_ALGOR_free(alg);
    ERR_clear_error();
    return len;
}

/* ---- ECDSA's two forms ---- */

static size_t order_len(enum dt_key_kind curve)
{
    return curve == DT_KEY_P256 ? 32 : curve == DT_KEY_P384 ? 48 : curve == DT_KEY_P521 ? 66 : 0;
}

size_t dt_sig_ecdsa_raw(uint8_t *out, size_t cap, enum dt_key_kind curve, struct dt_span der)
{
    size_t n = order_len(curve);
    const uint8_t *p = der.p;
    ECDSA_SIG *sig =
        n && 2 * n <= cap && der.len <= DT_SIGNATURE_MAX ? d2i_ECDSA_SIG(NULL, &p, (long)der.len) : NULL;
    bool ok = sig && p == der.p + der.len && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)n) == (int)n &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + n, (int)n) == (int)n;
    ECDSA_SIG_free(sig);
    ERR_clear_error();
    return ok ? 2 * n : 0;
}

size_t dt_sig_ecdsa_der(uint8_t *out, size_t cap, enum dt_key_kind curve, struct dt_span raw)
{
    size_t n = order_len(curve);
    if (!n || raw.len != 2 * n)
        return 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.p, (int)n, NULL), *s = BN_bin2bn(raw.p + n, (int)n, NULL);
    int len = 0;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's */
        len = i2d_ECDSA_SIG(sig, NULL);
        len = len > 0 && (size_t)len <= cap ? i2d_ECDSA_SIG(sig, &out) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    ERR_clear_error();
    return len > 0 ? (size_t)len : 0;
}
