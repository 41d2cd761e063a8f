/* OpenSSL: ciphers. An EVP context belongs to one thread at a time and costs more to key than a packet does
 * to seal, so each cipher keeps a few keyed contexts in slots: a thread takes one with an atomic exchange,
 * and puts it back after its packet or batch. If all are out it keys another. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/provider.h"

#define SLOTS 4 /* for each of seal and open; more threads than that at once still work, only slower */

enum { OPEN, SEAL };

struct keyed {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac; /* NULL for an AEAD */
};

struct ossl_cipher {
    struct dt_cipher base;
    const EVP_CIPHER *evp;
    _Atomic(struct keyed *) slot[2][SLOTS];
    uint8_t key[36]; /* with the salt of an AEAD behind it */
    uint8_t integ_key[64];
};

static struct {
    EVP_CIPHER *gcm128, *gcm256, *chacha, *cbc128, *cbc256;
    EVP_MAC *hmac;
} alg;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void ciphers_fetch(void)
{
    alg.gcm128 = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    alg.gcm256 = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    alg.chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    alg.cbc128 = EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL);
    alg.cbc256 = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    alg.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

/* ---- keyed contexts ---- */

static void keyed_free(struct keyed *k)
{
    if (!k)
        return;
    EVP_CIPHER_CTX_free(k->cipher); /* cleanses its key schedule */
    EVP_MAC_CTX_free(k->mac);
    free(k);
}

static EVP_MAC_CTX *mac_new(const struct ossl_cipher *c)
{
    const char *md = c->base.suite.integ == DT_INTEG_HMAC_SHA2_256_128   ? "SHA256"
                     : c->base.suite.integ == DT_INTEG_HMAC_SHA2_384_192 ? "SHA384"
                                                                         : "SHA512";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)md, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *mac = alg.hmac ? EVP_MAC_CTX_new(alg.hmac) : NULL;
    if (mac && !EVP_MAC_init(mac, c->integ_key, dt_suite_integ_len(&c->base.suite), params)) {
        EVP_MAC_CTX_free(mac);
        return NULL;
    }
    return mac;
}

static struct keyed *keyed_new(const struct ossl_cipher *c, int dir)
{
    struct keyed *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->cipher = EVP_CIPHER_CTX_new();
    bool ok = k->cipher && EVP_CipherInit_ex(k->cipher, c->evp, NULL, c->key, NULL, dir);
    if (ok && !c->base.aead) {
        k->mac = mac_new(c);
        ok = k->mac && EVP_CIPHER_CTX_set_padding(k->cipher, 0);
    }
    if (ok)
        return k;
    ERR_clear_error();
    keyed_free(k);
    return NULL;
}

/* Threads start their search in different places, so that they meet seldom. */
static unsigned first_slot(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine;
    if (!mine)
        mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SLOTS;
    return mine - 1;
}

static struct keyed *keyed_take(struct ossl_cipher *c, int dir)
{
    unsigned first = first_slot();
    for (unsigned i = 0; i < SLOTS; i++) {
        _Atomic(struct keyed *) *slot = &c->slot[dir][(first + i) % SLOTS];
        if (!atomic_load_explicit(slot, memory_order_relaxed))
            continue;
        struct keyed *k = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
        if (k)
            return k;
    }
    return keyed_new(c, dir);
}

static void give_back(struct ossl_cipher *c, int dir, struct keyed *k)
{
    unsigned first = first_slot();
    for (unsigned i = 0; i < SLOTS; i++) {
        struct keyed *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&c->slot[dir][(first + i) % SLOTS], &empty, k,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
    keyed_free(k);
}

/* ---- one packet ---- */

static bool aead_start(const struct ossl_cipher *c, EVP_CIPHER_CTX *ctx, const struct dt_cipher_op *op)
{
    uint8_t nonce[12];
    int len;
    dt_aead_nonce(nonce, c->key + dt_suite_key_len(&c->base.suite) - DT_SALT_LEN, op->iv);
    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) &&
           (!op->aad_len || EVP_CipherUpdate(ctx, NULL, &len, op->aad, op->aad_len)) &&
           (!op->len || EVP_CipherUpdate(ctx, op->text, &len, op->text, (int)op->len));
}

static bool aead_seal(const struct ossl_cipher *c, struct keyed *k, struct dt_cipher_op *op)
{
    uint8_t none[16];
    int len;
    return aead_start(c, k->cipher, op) && EVP_CipherFinal_ex(k->cipher, none, &len) &&
           EVP_CIPHER_CTX_ctrl(k->cipher, EVP_CTRL_AEAD_GET_TAG, 16, op->icv);
}

static bool aead_open(const struct ossl_cipher *c, struct keyed *k, struct dt_cipher_op *op)
{
    uint8_t none[16];
    int len;
    return aead_start(c, k->cipher, op) &&
           EVP_CIPHER_CTX_ctrl(k->cipher, EVP_CTRL_AEAD_SET_TAG, 16, op->icv) &&
           EVP_CipherFinal_ex(k->cipher, none, &len);
}

static bool cbc_mac(const struct ossl_cipher *c, struct keyed *k, const struct dt_cipher_op *op, uint8_t *mac)
{
    size_t len;
    return EVP_MAC_init(k->mac, NULL, 0, NULL) &&
           (!op->aad_len || EVP_MAC_update(k->mac, op->aad, op->aad_len)) &&
           EVP_MAC_update(k->mac, op->iv, 16) && (!op->len || EVP_MAC_update(k->mac, op->text, op->len)) &&
           (!op->tail_len || EVP_MAC_update(k->mac, op->tail, op->tail_len)) &&
           EVP_MAC_final(k->mac, mac, &len, 64);
}

static bool cbc_run(struct keyed *k, struct dt_cipher_op *op)
{
    int len;
    return EVP_CipherInit_ex(k->cipher, NULL, NULL, NULL, op->iv, -1) &&
           (!op->len || EVP_CipherUpdate(k->cipher, op->text, &len, op->text, (int)op->len));
}

static bool cbc_seal(const struct ossl_cipher *c, struct keyed *k, struct dt_cipher_op *op)
{
    uint8_t mac[64];
    if (!cbc_run(k, op) || !cbc_mac(c, k, op, mac))
        return false;
    memcpy(op->icv, mac, c->base.icv_len);
    return true;
}

static bool cbc_open(const struct ossl_cipher *c, struct keyed *k, struct dt_cipher_op *op)
{
    uint8_t mac[64];
    return cbc_mac(c, k, op, mac) && dt_ct_equal(mac, op->icv, c->base.icv_len) && cbc_run(k, op);
}

static bool cipher_one(const struct ossl_cipher *c, int dir, struct keyed *k, struct dt_cipher_op *op)
{
    if (c->base.aead)
        op->ok = dir == SEAL ? aead_seal(c, k, op) : aead_open(c, k, op);
    else
        op->ok = dir == SEAL ? cbc_seal(c, k, op) : cbc_open(c, k, op);
    return op->ok;
}

static size_t cipher_run(struct dt_cipher *base, int dir, struct dt_cipher_op *ops, size_t n)
{
    struct ossl_cipher *c = (struct ossl_cipher *)base;
    struct keyed *k = keyed_take(c, dir);
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        if (k)
            done += cipher_one(c, dir, k, &ops[i]);
        else
            ops[i].ok = false;
    }
    if (done < n)
        ERR_clear_error();
    if (k)
        give_back(c, dir, k);
    return done;
}

static int ossl_seal(struct dt_cipher *c, struct dt_cipher_op *op)
{
    return cipher_run(c, SEAL, op, 1) == 1 ? 0 : -1;
}

static int ossl_open(struct dt_cipher *c, struct dt_cipher_op *op)
{
    return cipher_run(c, OPEN, op, 1) == 1 ? 0 : -1;
}

static size_t ossl_seal_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n)
{
    return cipher_run(c, SEAL, ops, n);
}

static size_t ossl_open_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n)
{
    return cipher_run(c, OPEN, ops, n);
}

/* ---- birth and death ---- */

static void ossl_free(struct dt_cipher *base)
{
    struct ossl_cipher *c = (struct ossl_cipher *)base;
    for (int dir = OPEN; dir <= SEAL; dir++) {
        for (int i = 0; i < SLOTS; i++)
            keyed_free(atomic_load(&c->slot[dir][i]));
    }
    dt_wipe(c, sizeof *c);
    free(c);
}

static const EVP_CIPHER *evp_of(const struct dt_suite *s)
{
    switch (s->encr) {
    case DT_ENCR_AES_GCM_16:
        return s->key_bits == 128 ? alg.gcm128 : alg.gcm256;
    case DT_ENCR_CHACHA20_POLY1305:
        return alg.chacha;
    case DT_ENCR_AES_CBC:
        return s->key_bits == 128 ? alg.cbc128 : alg.cbc256;
    }
    return NULL;
}

struct dt_cipher *dt_openssl_cipher_new(const struct dt_suite *s, struct dt_span key,
                                        struct dt_span integ_key, struct dt_err *err)
{
    static const struct dt_cipher_ops ops = {
        .seal = ossl_seal,
        .open = ossl_open,
        .seal_batch = ossl_seal_batch,
        .open_batch = ossl_open_batch,
        .free = ossl_free,
    };
    char name[DT_SUITE_NAME];
    pthread_once(&once, ciphers_fetch);
    const EVP_CIPHER *evp = evp_of(s);
    struct ossl_cipher *c = evp ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return dt_openssl_fail(err, dt_suite_name(s, name)), NULL;
    dt_cipher_base(&c->base, &ops, s);
    c->evp = evp;
    memcpy(c->key, key.p, key.len);
    if (integ_key.len)
        memcpy(c->integ_key, integ_key.p, integ_key.len);
    return &c->base;
}
