#include "crypto/providers.h"

static void both_sides_get_the_same_secret(void **state)
{
    static const uint16_t groups[] = {DT_KE_X25519, DT_KE_ECP_256, DT_KE_ECP_384, DT_KE_MODP_2048};
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("both_sides_get_the_same_secret"));
    struct dt_rand r = dt_prng_rand(&prng);
    for (int i = 0; i < 400; i++) {
        uint16_t g = groups[i % 4];
        uint8_t s1[DT_KE_MAX], s2[DT_KE_MAX], s3[DT_KE_MAX];
        struct dt_dh *a = dt_dh_new(dt_crypto_null(), g, &r, NULL);
        struct dt_dh *b = dt_dh_new(dt_crypto_null(), g, &r, NULL);
        struct dt_dh *c = dt_dh_new(dt_crypto_null(), g, &r, NULL);
        assert_int_equal(dt_dh_public(a).len, dt_ke_public_len(g));
        assert_int_equal(dt_dh_shared(a, dt_dh_public(b), s1, NULL), 0);
        assert_int_equal(dt_dh_shared(b, dt_dh_public(a), s2, NULL), 0);
        assert_int_equal(dt_dh_shared(c, dt_dh_public(a), s3, NULL), 0);
        assert_memory_equal(s1, s2, dt_ke_shared_len(g));
        assert_memory_not_equal(s1, s3, dt_ke_shared_len(g));
        uint8_t bad[DT_KE_MAX] = {0};
        assert_int_equal(dt_dh_shared(a, dt_span(bad, dt_ke_public_len(g)), s1, NULL), -1);
        memset(bad, 0xff, sizeof bad);
        assert_int_equal(dt_dh_shared(a, dt_span(bad, dt_ke_public_len(g)), s1, NULL), -1);
        dt_dh_free(a);
        dt_dh_free(b);
        dt_dh_free(c);
    }
}

static void the_same_seed_gives_the_same_everything(void **state)
{
    uint8_t out[2][DT_PRF_MAX], hash[2][32];
    for (int i = 0; i < 2; i++) {
        struct dt_prng prng;
        dt_prng_seed(&prng, 7);
        struct dt_rand r = dt_prng_rand(&prng);
        struct dt_dh *a = dt_dh_new(dt_crypto_null(), DT_KE_X25519, &r, NULL);
        struct dt_span in = dt_dh_public(a);
        assert_int_equal(
            dt_prf(dt_crypto_null(), DT_PRF_HMAC_SHA2_512, dt_span("key", 3), &in, 1, out[i], NULL), 0);
        assert_int_equal(dt_hash(dt_crypto_null(), DT_HASH_SHA2_256, &in, 1, hash[i], NULL), 0);
        dt_dh_free(a);
    }
    assert_memory_equal(out[0], out[1], 64);
    assert_memory_equal(hash[0], hash[1], 32);
    assert_memory_not_equal(out[0], hash[0], 32);
}

/* How the input is cut into spans must not matter; its bytes, their number and the key must. */
static void prf_sees_bytes_not_spans(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("prf_sees_bytes_not_spans"));
    struct dt_rand r = dt_prng_rand(&prng);
    uint8_t text[100], want[32], got[32], key[32];
    struct dt_span k = dt_span(key, 32);
    for (int i = 0; i < 2000; i++) {
        dt_rand_fill(&r, text, sizeof text);
        dt_rand_fill(&r, key, sizeof key);
        size_t len = 1 + dt_rand_below(&r, sizeof text), x = dt_rand_below(&r, len + 1),
               y = x + dt_rand_below(&r, len - x + 1);
        struct dt_span whole = dt_span(text, len);
        struct dt_span cut[] = {dt_span(text, x), dt_span(text + x, y - x), dt_span(text + y, len - y)};
        dt_prf(dt_crypto_null(), DT_PRF_HMAC_SHA2_256, k, &whole, 1, want, NULL);
        dt_prf(dt_crypto_null(), DT_PRF_HMAC_SHA2_256, k, cut, 3, got, NULL);
        assert_memory_equal(want, got, 32);
        whole.len--;
        dt_prf(dt_crypto_null(), DT_PRF_HMAC_SHA2_256, k, &whole, 1, got, NULL);
        assert_memory_not_equal(want, got, 32);
        whole.len++;
        text[dt_rand_below(&r, len)] ^= (uint8_t)(1u << dt_rand_below(&r, 8));
        dt_prf(dt_crypto_null(), DT_PRF_HMAC_SHA2_256, k, &whole, 1, got, NULL);
        assert_memory_not_equal(want, got, 32);
    }
}

/* Every bit of every part, under every suite. */
static void any_changed_bit_is_noticed(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("any_changed_bit_is_noticed"));
    struct dt_rand rand = dt_prng_rand(&prng);
    for (size_t i = 0; i < DT_ARRAY_LEN(all_suites); i++) {
        const struct dt_suite *s = &all_suites[i];
        struct {
            uint8_t key[DT_KEY_MAX], iv[16], aad[8], tail[4], text[32], icv[32];
        } b;
        dt_rand_fill(&rand, &b, sizeof b);
        size_t key_len = dt_suite_key_len(s), integ_len = dt_suite_integ_len(s);
        struct dt_cipher_op op = {
            .iv = b.iv, .text = b.text, .len = 32, .aad = b.aad, .aad_len = 8, .tail = b.tail, .icv = b.icv};
        op.tail_len = dt_suite_aead(s) ? 0 : 4;
        struct dt_cipher *c = dt_cipher_new(dt_crypto_null(), s, dt_span(b.key, key_len),
                                            dt_span(b.key + key_len, integ_len), NULL);
        assert_int_equal(dt_cipher_seal(c, &op), 0);
        struct {
            uint8_t *p;
            size_t len;
        } part[] = {{b.iv, dt_suite_iv_len(s)},
                    {b.aad, 8},
                    {b.tail, op.tail_len},
                    {b.text, 32},
                    {b.icv, dt_suite_icv_len(s)}};
        for (size_t j = 0; j < DT_ARRAY_LEN(part); j++) {
            for (size_t bit = 0; bit < part[j].len * 8; bit++) {
                part[j].p[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_equal(dt_cipher_open(c, &op), -1);
                part[j].p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
        assert_int_equal(dt_cipher_open(c, &op), 0);
        dt_cipher_free(c);
        for (size_t bit = 0; bit < (key_len + integ_len) * 8; bit++) {
            b.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            c = dt_cipher_new(dt_crypto_null(), s, dt_span(b.key, key_len),
                              dt_span(b.key + key_len, integ_len), NULL);
            assert_int_equal(dt_cipher_open(c, &op), -1);
            dt_cipher_free(c);
            b.key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

/* Reflected packets: the same keys under another suite do not open it either. */
static void another_suite_does_not_open_it(void **state)
{
    uint8_t key[DT_KEY_MAX] = {5}, iv[16] = {0}, text[16] = {0}, icv[32];
    struct dt_cipher_op op = {.iv = iv, .text = text, .len = 16, .icv = icv};
    struct dt_suite gcm = {DT_ENCR_AES_GCM_16, 256, 0}, chacha = {DT_ENCR_CHACHA20_POLY1305, 0, 0};
    struct dt_cipher *a = dt_cipher_new(dt_crypto_null(), &gcm, dt_span(key, 36), dt_span(NULL, 0), NULL);
    struct dt_cipher *b = dt_cipher_new(dt_crypto_null(), &chacha, dt_span(key, 36), dt_span(NULL, 0), NULL);
    assert_int_equal(dt_cipher_seal(a, &op), 0);
    assert_int_equal(dt_cipher_open(a, &op), 0);
    assert_int_equal(dt_cipher_open(b, &op), -1);
    dt_cipher_free(a);
    dt_cipher_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_get_the_same_secret),
        cmocka_unit_test(the_same_seed_gives_the_same_everything),
        cmocka_unit_test(prf_sees_bytes_not_spans),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(another_suite_does_not_open_it),
    };
    return TEST_RUN(tests);
}
