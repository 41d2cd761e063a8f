/* OpenSSL: key exchange. X25519 through EVP_PKEY; the ECP and MODP groups on EC_POINT and BIGNUM, because
 * their private value comes from the caller's random source and their encodings are IKE's own (RFC 5903 7,
 * RFC 7296 2.14). */
#include <pthread.h>

#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include "crypto/provider.h"

/* Twice the strength of a 2048-bit group with room to spare (RFC 3526 8). */
#define MODP_EXPONENT_LEN 40
#define DRAWS             64 /* an out-of-range draw has a chance below 2^-32 */

static struct {
    EC_GROUP *p256, *p384;
    BIGNUM *prime, *prime_less_1, *two;
} group;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_groups(void)
{
    group.p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    group.p384 = EC_GROUP_new_by_curve_name(NID_secp384r1);
    group.prime = BN_get_rfc3526_prime_2048(NULL);
    group.prime_less_1 = BN_dup(group.prime);
    group.two = BN_new();
    if (!group.prime_less_1 || !BN_sub_word(group.prime_less_1, 1) || !group.two ||
        !BN_set_word(group.two, 2)) {
        BN_free(group.prime);
        group.prime = NULL;
    }
}

static int dh_refuse(struct dt_err *err, uint16_t ke, const char *why)
{
    ERR_clear_error();
    return dt_err_set(err, DT_NOTIFY_INVALID_SYNTAX, "the peer's public value of %s is refused: %s",
                      dt_ke_name(ke), why);
}

/* ---- X25519 ---- */

struct x25519 {
    struct dt_dh base;
    EVP_PKEY *key;
};

static int x25519_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    struct x25519 *x = (struct x25519 *)dh;
    EVP_PKEY *pub = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer.p, peer.len);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(x->key, NULL);
    size_t len = 32;
    int ok = pub && ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, pub) > 0 &&
             EVP_PKEY_derive(ctx, out, &len) > 0;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pub);
    static const uint8_t zero[32]; /* RFC 8031 2: check for the all-zero value */
    if (!ok || dt_ct_equal(out, zero, 32))
        return dh_refuse(err, dh->group, "it is of small order");
    return 0;
}

static void x25519_free(struct dt_dh *dh)
{
    struct x25519 *x = (struct x25519 *)dh;
    EVP_PKEY_free(x->key);
    free(x);
}

static struct dt_dh *x25519_new(const struct dt_rand *rand, struct dt_err *err)
{
    static const struct dt_dh_ops ops = {.shared = x25519_shared, .free = x25519_free};
    struct x25519 *x = calloc(1, sizeof *x);
    if (!x)
        return dt_openssl_fail(err, "X25519"), NULL;
    x->base.ops = &ops;
    x->base.group = DT_KE_X25519;
    uint8_t secret[32];
    dt_rand_fill(rand, secret, sizeof secret);
    x->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, sizeof secret);
    dt_wipe(secret, sizeof secret);
    size_t len = 32;
    if (!x->key || !EVP_PKEY_get_raw_public_key(x->key, x->base.pub, &len)) {
        dt_openssl_fail(err, "X25519");
        x25519_free(&x->base);
        return NULL;
    }
    return &x->base;
}

/* ---- ECP and MODP ---- */

struct bn_dh {
    struct dt_dh base;
    BIGNUM *secret;
};

static void bn_dh_free(struct dt_dh *dh)
{
    struct bn_dh *b = (struct bn_dh *)dh;
    BN_clear_free(b->secret);
    free(b);
}

/* A secret of n bytes in 1 .. below - 1. */
static BIGNUM *draw_below(const struct dt_rand *rand, size_t n, const BIGNUM *below)
{
    uint8_t buf[48];
    BIGNUM *k = BN_secure_new();
    for (int i = 0; i < DRAWS && k; i++) {
        dt_rand_fill(rand, buf, n);
        BIGNUM *got = BN_bin2bn(buf, (int)n, k);
        dt_wipe(buf, n);
        if (got && !BN_is_zero(k) && BN_cmp(k, below) < 0) {
            BN_set_flags(k, BN_FLG_CONSTTIME);
            return k;
        }
    }
    BN_clear_free(k);
    return NULL;
}

static const EC_GROUP *ecp_group(uint16_t ke)
{
    return ke == DT_KE_ECP_256 ? group.p256 : group.p384;
}

/* x | y, or x alone, of a point that is not at infinity. */
static int point_out(const EC_GROUP *g, const EC_POINT *p, uint8_t *x, uint8_t *y, int n, BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *bx = BN_CTX_get(ctx), *by = BN_CTX_get(ctx);
    int ok = by && !EC_POINT_is_at_infinity(g, p) && EC_POINT_get_affine_coordinates(g, p, bx, by, ctx) &&
             BN_bn2binpad(bx, x, n) == n && (!y || BN_bn2binpad(by, y, n) == n);
    if (bx)
        BN_clear(bx);
    BN_CTX_end(ctx);
    return ok;
}

static int ecp_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    struct bn_dh *b = (struct bn_dh *)dh;
    const EC_GROUP *g = ecp_group(dh->group);
    int n = (int)peer.len / 2;
    BN_CTX *ctx = BN_CTX_secure_new();
    EC_POINT *p = EC_POINT_new(g), *r = EC_POINT_new(g);
    uint8_t octets[1 + DT_KE_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(octets + 1, peer.p, peer.len);
    /* The decoder refuses coordinates that are not below the field's prime (EC_POINT_set_affine_coordinates would reduce
     * them; RFC 6989 2.3), and points off the curve. The order of both curves is prime, so every point generates the whole
     * group. */
    bool on_curve = ctx && p && EC_POINT_oct2point(g, p, octets, 1 + peer.len, ctx) &&
                    EC_POINT_is_on_curve(g, p, ctx) == 1;
    int ok =
        on_curve && r && EC_POINT_mul(g, r, NULL, p, b->secret, ctx) && point_out(g, r, out, NULL, n, ctx);
    EC_POINT_clear_free(r);
    EC_POINT_free(p);
    BN_CTX_free(ctx);
    if (ok)
        return 0;
    return dh_refuse(err, dh->group,
                     on_curve ? "the shared point is at infinity" : "it is not a point of the curve");
}

static struct dt_dh *ecp_new(uint16_t ke, const struct dt_rand *rand, struct dt_err *err)
{
    static const struct dt_dh_ops ops = {.shared = ecp_shared, .free = bn_dh_free};
    const EC_GROUP *g = ecp_group(ke);
    struct bn_dh *b = calloc(1, sizeof *b);
    if (!g || !b) {
        free(b);
        return dt_openssl_fail(err, dt_ke_name(ke)), NULL;
    }
    int n = (int)dt_ke_shared_len(ke);
    b->base.ops = &ops;
    b->base.group = ke;
    b->secret = draw_below(rand, (size_t)n, EC_GROUP_get0_order(g));
    BN_CTX *ctx = BN_CTX_secure_new();
    EC_POINT *p = EC_POINT_new(g);
    int ok = b->secret && ctx && p && EC_POINT_mul(g, p, b->secret, NULL, NULL, ctx) &&
             point_out(g, p, b->base.pub, b->base.pub + n, n, ctx);
    EC_POINT_free(p);
    BN_CTX_free(ctx);
    if (ok)
        return &b->base;
    dt_openssl_fail(err, dt_ke_name(ke));
    bn_dh_free(&b->base);
    return NULL;
}

static int modp_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    struct bn_dh *b = (struct bn_dh *)dh;
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *y = BN_bin2bn(peer.p, (int)peer.len, NULL), *s = BN_secure_new();
    /* RFC 6989 2.1: 1 < y < p - 1. The prime is safe, so no other small subgroup exists. */
    bool in_range = y && BN_cmp(y, BN_value_one()) > 0 && BN_cmp(y, group.prime_less_1) < 0;
    int ok = in_range && ctx && s && BN_mod_exp_mont_consttime(s, y, b->secret, group.prime, ctx, NULL) &&
             BN_bn2binpad(s, out, (int)peer.len) == (int)peer.len;
    BN_clear_free(s);
    BN_free(y);
    BN_CTX_free(ctx);
    if (!in_range)
        return dh_refuse(err, dh->group, "it is not in 2 .. p - 2");
    return ok ? 0 : dt_openssl_fail(err, dt_ke_name(dh->group));
}

static struct dt_dh *modp_new(const struct dt_rand *rand, struct dt_err *err)
{
    static const struct dt_dh_ops ops = {.shared = modp_shared, .free = bn_dh_free};
    struct bn_dh *b = calloc(1, sizeof *b);
    if (!group.prime || !b) {
        free(b);
        return dt_openssl_fail(err, dt_ke_name(DT_KE_MODP_2048)), NULL;
    }
    b->base.ops = &ops;
    b->base.group = DT_KE_MODP_2048;
    b->secret = draw_below(rand, MODP_EXPONENT_LEN, group.prime);
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *y = BN_new();
    int ok = b->secret && ctx && y &&
             BN_mod_exp_mont_consttime(y, group.two, b->secret, group.prime, ctx, NULL) &&
             BN_bn2binpad(y, b->base.pub, 256) == 256;
    BN_free(y);
    BN_CTX_free(ctx);
    if (ok)
        return &b->base;
    dt_openssl_fail(err, dt_ke_name(DT_KE_MODP_2048));
    bn_dh_free(&b->base);
    return NULL;
}

struct dt_dh *dt_openssl_dh_new(uint16_t ke, const struct dt_rand *rand, struct dt_err *err)
{
    pthread_once(&once, make_groups);
    switch (ke) {
    case DT_KE_X25519:
        return x25519_new(rand, err);
    case DT_KE_MODP_2048:
        return modp_new(rand, err);
    }
    return ecp_new(ke, rand, err);
}
