/* intel-ipsec-mb under the AEADs, by its direct calls: one expanded key a cipher that nobody writes after
 * birth, and a context on the caller's stack, so threads share a cipher without a lock. Everything else stays
 * with OpenSSL.
 *
 * The library's manager is only a table of functions for this processor here; one serves the whole process.
 */
#include "crypto/provider.h"

#ifdef DT_HAVE_IPSECMB

#include <pthread.h>
#include <stdlib.h>

#include <intel-ipsec-mb.h>

#define NEEDS (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2)
#define ALIGN 64 /* the library loads expanded keys with instructions that fault on less */

static IMB_MGR *mgr;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void manager_start(void)
{
    IMB_MGR *m = alloc_mb_mgr(0);
    if (!m)
        return;
    if ((m->features & NEEDS) != NEEDS) {
        free_mb_mgr(m);
        return;
    }
    init_mb_mgr_auto(m, NULL);
    if (m->imb_errno) {
        free_mb_mgr(m);
        return;
    }
    mgr = m;
}

struct mb_cipher { /* NOLINT(clang-analyzer-optin.performance.Padding): the key's alignment */
    struct dt_cipher base;
    aes_gcm_enc_dec_t seal, open;
    uint8_t salt[DT_SALT_LEN];
    union {
        struct gcm_key_data gcm;
        uint8_t chacha[32];
    } key __attribute__((aligned(ALIGN)));
};

/* ---- AES-GCM ---- */

static int gcm_seal(struct dt_cipher *base, struct dt_cipher_op *op)
{
    struct mb_cipher *c = (struct mb_cipher *)base;
    struct gcm_context_data ctx;
    uint8_t nonce[12];
    dt_aead_nonce(nonce, c->salt, op->iv);
    c->seal(&c->key.gcm, &ctx, op->text, op->text, op->len, nonce, op->aad, op->aad_len, op->icv, 16);
    return 0;
}

static int gcm_open(struct dt_cipher *base, struct dt_cipher_op *op)
{
    struct mb_cipher *c = (struct mb_cipher *)base;
    struct gcm_context_data ctx;
    uint8_t nonce[12], icv[16];
    dt_aead_nonce(nonce, c->salt, op->iv);
    c->open(&c->key.gcm, &ctx, op->text, op->text, op->len, nonce, op->aad, op->aad_len, icv, 16);
    return dt_ct_equal(icv, op->icv, 16) ? 0 : -1;
}

/* ---- ChaCha20-Poly1305 ---- */

static int chacha_seal(struct dt_cipher *base, struct dt_cipher_op *op)
{
    struct mb_cipher *c = (struct mb_cipher *)base;
    struct chacha20_poly1305_context_data ctx;
    uint8_t nonce[12];
    dt_aead_nonce(nonce, c->salt, op->iv);
    IMB_CHACHA20_POLY1305_INIT(mgr, c->key.chacha, &ctx, nonce, op->aad, op->aad_len);
    IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, c->key.chacha, &ctx, op->text, op->text, op->len);
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &ctx, op->icv, 16);
    dt_wipe(ctx.poly_key, sizeof ctx.poly_key);
    return 0;
}

static int chacha_open(struct dt_cipher *base, struct dt_cipher_op *op)
{
    struct mb_cipher *c = (struct mb_cipher *)base;
    struct chacha20_poly1305_context_data ctx;
    uint8_t nonce[12], icv[16];
    dt_aead_nonce(nonce, c->salt, op->iv);
    IMB_CHACHA20_POLY1305_INIT(mgr, c->key.chacha, &ctx, nonce, op->aad, op->aad_len);
    IMB_CHACHA20_POLY1305_DEC_UPDATE(mgr, c->key.chacha, &ctx, op->text, op->text, op->len);
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(mgr, &ctx, icv, 16);
    dt_wipe(ctx.poly_key, sizeof ctx.poly_key);
    return dt_ct_equal(icv, op->icv, 16) ? 0 : -1;
}

/* ---- batches: the calls are cheap, a plain loop is the fastest ---- */

static size_t gcm_seal_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops[i].ok = !gcm_seal(c, &ops[i]);
    return n;
}

static size_t gcm_open_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++)
        done += ops[i].ok = !gcm_open(c, &ops[i]);
    return done;
}

/* ---- birth and death ---- */

static void mb_free(struct dt_cipher *base)
{
    dt_wipe(base, sizeof(struct mb_cipher));
    free(base);
}

static struct dt_cipher *mb_cipher_new(const struct dt_suite *s, struct dt_span key, struct dt_span integ_key,
                                       struct dt_err *err)
{
    static const struct dt_cipher_ops gcm_ops = {
        .seal = gcm_seal,
        .open = gcm_open,
        .seal_batch = gcm_seal_batch,
        .open_batch = gcm_open_batch,
        .free = mb_free,
    };
    static const struct dt_cipher_ops chacha_ops = {
        .seal = chacha_seal, .open = chacha_open, .free = mb_free};
    bool gcm = s->encr == DT_ENCR_AES_GCM_16;
    if (!gcm && s->encr != DT_ENCR_CHACHA20_POLY1305)
        return dt_openssl_cipher_new(s, key, integ_key, err);

    void *mem;
    if (posix_memalign(&mem, ALIGN, sizeof(struct mb_cipher))) {
        dt_err_set(err, 0, "no memory for a cipher");
        return NULL;
    }
    struct mb_cipher *c = memset(mem, 0, sizeof *c);
    dt_cipher_base(&c->base, gcm ? &gcm_ops : &chacha_ops, s);
    memcpy(c->salt, key.p + key.len - DT_SALT_LEN, DT_SALT_LEN);
    if (!gcm) {
        memcpy(c->key.chacha, key.p, sizeof c->key.chacha);
    } else if (s->key_bits == 128) {
        IMB_AES128_GCM_PRE(mgr, key.p, &c->key.gcm);
        c->seal = mgr->gcm128_enc;
        c->open = mgr->gcm128_dec;
    } else {
        IMB_AES256_GCM_PRE(mgr, key.p, &c->key.gcm);
        c->seal = mgr->gcm256_enc;
        c->open = mgr->gcm256_dec;
    }
    return &c->base;
}

const struct dt_crypto *dt_crypto_ipsecmb(void)
{
    static const struct dt_crypto ipsecmb = {
        .name = "ipsecmb",
        .prf = dt_openssl_prf,
        .hash = dt_openssl_hash,
        .dh_new = dt_openssl_dh_new,
        .cipher_new = mb_cipher_new,
    };
    pthread_once(&once, manager_start);
    return mgr ? &ipsecmb : NULL;
}

#else

const struct dt_crypto *dt_crypto_ipsecmb(void)
{
    return NULL;
}

#endif
