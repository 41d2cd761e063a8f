/* The providers under test, and a random source that says what it is told. */
#ifndef DT_TEST_CRYPTO_PROVIDERS_H
#define DT_TEST_CRYPTO_PROVIDERS_H

#include "support/test.h"

#include "crypto/crypto.h"

/* Those with real cryptography that this machine has; returns how many. */
static inline int real_providers(const struct dt_crypto *out[2])
{
    int n = 0;
    out[n++] = dt_crypto_openssl();
    if (dt_crypto_ipsecmb())
        out[n++] = dt_crypto_ipsecmb();
    else
        printf("# no IPsec-MB here: OpenSSL alone is tested\n");
    return n;
}

struct scripted {
    const uint8_t *p;
    size_t len;
    size_t at;
    size_t asked; /* in all */
};

static inline void scripted_fill(void *ctx, void *buf, size_t n)
{
    struct scripted *s = ctx;
    uint8_t *out = buf;
    for (size_t i = 0; i < n; i++)
        out[i] = s->p[s->at++ % s->len];
    s->asked += n;
}

/* Gives the bytes of *s over and over. */
static inline struct dt_rand scripted_rand(struct scripted *s)
{
    return (struct dt_rand){.fill = scripted_fill, .ctx = s};
}

static const struct dt_suite all_suites[] = {
    {DT_ENCR_AES_GCM_16, 128, DT_INTEG_NONE},           {DT_ENCR_AES_GCM_16, 256, DT_INTEG_NONE},
    {DT_ENCR_CHACHA20_POLY1305, 0, DT_INTEG_NONE},      {DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_256_128},
    {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_256_128}, {DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_384_192},
    {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_384_192}, {DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_512_256},
    {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_512_256},
};

/* A cipher of suite s whose keys are bytes of `r`. */
static inline struct dt_cipher *keyed_cipher(const struct dt_crypto *c, const struct dt_suite *s,
                                             const struct dt_rand *r)
{
    uint8_t key[DT_KEY_MAX];
    dt_rand_fill(r, key, sizeof key);
    struct dt_err err = {0};
    struct dt_cipher *cipher = dt_cipher_new(c, s, dt_span(key, dt_suite_key_len(s)),
                                             dt_span(key + dt_suite_key_len(s), dt_suite_integ_len(s)), &err);
    if (!cipher)
        fail_msg("%s: %s", c->name, err.text);
    return cipher;
}

#endif
