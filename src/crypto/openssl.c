/* OpenSSL: PRF and hash. Key exchange is in openssl_dh.c, ciphers in openssl_cipher.c. */
#include <pthread.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/provider.h"

/* Fetched once: a fetch takes locks and costs more than a short hash. They live as long as the process. */
static struct {
    EVP_MAC *hmac;
    EVP_MD *md[DT_HASH_SHA2_512 + 1];
} alg;
static const char *const md_name[] = {
    [DT_HASH_SHA1] = "SHA1",
    [DT_HASH_SHA2_256] = "SHA256",
    [DT_HASH_SHA2_384] = "SHA384",
    [DT_HASH_SHA2_512] = "SHA512",
};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void digests_fetch(void)
{
    alg.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    for (size_t i = DT_HASH_SHA1; i < DT_ARRAY_LEN(md_name); i++)
        alg.md[i] = EVP_MD_fetch(NULL, md_name[i], NULL);
}

int dt_openssl_fail(struct dt_err *err, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    dt_err_set(err, 0, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
    ERR_clear_error();
    return -1;
}

int dt_openssl_prf(uint16_t prf, struct dt_span key, const struct dt_span *in, size_t n, uint8_t *out,
                   struct dt_err *err)
{
    static const enum dt_hash of_prf[] = {
        [DT_PRF_HMAC_SHA2_256] = DT_HASH_SHA2_256,
        [DT_PRF_HMAC_SHA2_384] = DT_HASH_SHA2_384,
        [DT_PRF_HMAC_SHA2_512] = DT_HASH_SHA2_512,
    };
    pthread_once(&once, digests_fetch);
    EVP_MAC_CTX *ctx = alg.hmac ? EVP_MAC_CTX_new(alg.hmac) : NULL;
    if (!ctx)
        return dt_openssl_fail(err, "HMAC");
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)md_name[of_prf[prf]], 0),
        OSSL_PARAM_construct_end(),
    };
    /* A key of no bytes is a key; NULL would mean "as before". */
    int ok = EVP_MAC_init(ctx, key.len ? key.p : (const uint8_t *)"", key.len, params);
    for (size_t i = 0; i < n && ok; i++)
        ok = !in[i].len || EVP_MAC_update(ctx, in[i].p, in[i].len);
    size_t got = 0;
    ok = ok && EVP_MAC_final(ctx, out, &got, dt_prf_len(prf));
    EVP_MAC_CTX_free(ctx);
    return ok ? 0 : dt_openssl_fail(err, "HMAC");
}

int dt_openssl_hash(enum dt_hash hash, const struct dt_span *in, size_t n, uint8_t *out, struct dt_err *err)
{
    pthread_once(&once, digests_fetch);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && alg.md[hash] && EVP_DigestInit_ex2(ctx, alg.md[hash], NULL);
    for (size_t i = 0; i < n && ok; i++)
        ok = !in[i].len || EVP_DigestUpdate(ctx, in[i].p, in[i].len);
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : dt_openssl_fail(err, md_name[hash]);
}

const struct dt_crypto *dt_crypto_openssl(void)
{
    static const struct dt_crypto openssl = {
        .name = "openssl",
        .prf = dt_openssl_prf,
        .hash = dt_openssl_hash,
        .dh_new = dt_openssl_dh_new,
        .cipher_new = dt_openssl_cipher_new,
    };
    return &openssl;
}
