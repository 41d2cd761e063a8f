/* What holds for every provider, the null one too. */
#include "crypto/providers.h"

static const char *const names[] = {"openssl", "ipsecmb", "null"};

static void providers_are_found_by_name(void **state)
{
    assert_ptr_equal(dt_crypto_by_name("openssl"), dt_crypto_openssl());
    assert_ptr_equal(dt_crypto_by_name("null"), dt_crypto_null());
    assert_ptr_equal(dt_crypto_by_name("ipsecmb"), dt_crypto_ipsecmb());
    assert_ptr_equal(dt_crypto_by_name("auto"), dt_crypto_best());
    assert_null(dt_crypto_by_name("rot13"));
    assert_true(dt_crypto_best() != dt_crypto_null());
    assert_string_equal(dt_crypto_best()->name, dt_crypto_ipsecmb() ? "ipsecmb" : "openssl");
}

/* RFC 7296 2.13, written out by hand. */
static void prf_plus_is_the_chain_of_the_rfc(void **state)
{
    uint8_t key[32] = "a key", seed[40] = "a seed", t[3][64], out[160], shorter[160];
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++) {
        const struct dt_crypto *c = dt_crypto_by_name(names[i]);
        if (!c)
            continue;
        size_t block = 32;
        for (uint8_t n = 1; n <= 3; n++) {
            struct dt_span in[] = {dt_span(n > 1 ? t[n - 2] : t[0], n > 1 ? block : 0), dt_span(seed, 40),
                                   dt_span(&n, 1)};
            assert_int_equal(dt_prf(c, DT_PRF_HMAC_SHA2_256, dt_span(key, 32), in, 3, t[n - 1], NULL), 0);
        }
        struct dt_span in[] = {dt_span(seed, 13), dt_span(seed + 13, 27)};
        assert_int_equal(dt_prf_plus(c, DT_PRF_HMAC_SHA2_256, dt_span(key, 32), in, 2, out, 96, NULL), 0);
        for (int n = 0; n < 3; n++)
            assert_memory_equal(out + n * 32, t[n], 32);
        for (size_t len = 0; len < 96; len += 7) {
            memset(shorter, 0xee, sizeof shorter);
            assert_int_equal(
                dt_prf_plus(c, DT_PRF_HMAC_SHA2_256, dt_span(key, 32), in, 2, shorter, len, NULL), 0);
            assert_memory_equal(shorter, out, len);
            assert_int_equal(shorter[len], 0xee);
        }
    }
}

static void prf_plus_ends_at_255_blocks(void **state)
{
    static uint8_t out[255 * 32 + 1];
    struct dt_span in[9] = {{NULL, 0}};
    struct dt_err err = {0};
    const struct dt_crypto *c = dt_crypto_openssl();
    struct dt_span key = dt_span("k", 1);
    assert_int_equal(dt_prf_plus(c, DT_PRF_HMAC_SHA2_256, key, in, 1, out, 255 * 32, &err), 0);
    assert_int_equal(dt_prf_plus(c, DT_PRF_HMAC_SHA2_256, key, in, 1, out, sizeof out, &err), -1);
    assert_non_null(strstr(err.text, "8160"));
    assert_int_equal(dt_prf_plus(c, DT_PRF_HMAC_SHA2_256, key, in, 9, out, 32, &err), -1);
    assert_int_equal(dt_prf_plus(c, 2, key, in, 1, out, 32, &err), -1);
    assert_int_equal(dt_prf(c, 2, key, in, 1, out, &err), -1);
    assert_int_equal(err.notify, 14);
    assert_int_equal(dt_hash(c, (enum dt_hash)9, in, 1, out, &err), -1);
}

static void keys_of_the_wrong_length_are_refused(void **state)
{
    uint8_t key[DT_KEY_MAX] = {0};
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++) {
        const struct dt_crypto *c = dt_crypto_by_name(names[i]);
        for (size_t j = 0; c && j < DT_ARRAY_LEN(all_suites); j++) {
            const struct dt_suite *s = &all_suites[j];
            size_t k = dt_suite_key_len(s), a = dt_suite_integ_len(s);
            struct dt_err err = {0};
            assert_null(dt_cipher_new(c, s, dt_span(key, k - 1), dt_span(key, a), &err));
            assert_true(err.text[0]);
            assert_null(dt_cipher_new(c, s, dt_span(key, k + 1), dt_span(key, a), NULL));
            assert_null(dt_cipher_new(c, s, dt_span(key, k), dt_span(key, a + 1), NULL));
        }
    }
    struct dt_suite null_suite = {DT_ENCR_NULL, 0, DT_INTEG_NONE};
    assert_null(dt_cipher_new(dt_crypto_openssl(), &null_suite, dt_span(key, 20), dt_span(key, 0), NULL));
    assert_null(dt_cipher_new(dt_crypto_best(), &null_suite, dt_span(key, 20), dt_span(key, 0), NULL));
    dt_cipher_free(NULL);
}

static void operations_that_do_not_fit_are_refused(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, 1);
    struct dt_rand rand = dt_prng_rand(&prng);
    static uint8_t big[DT_CIPHER_TEXT_MAX + 16];
    uint8_t iv[16] = {0}, icv[32] = {0};
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++) {
        const struct dt_crypto *c = dt_crypto_by_name(names[i]);
        for (size_t j = 0; c && j < DT_ARRAY_LEN(all_suites); j++) {
            struct dt_cipher *cipher = keyed_cipher(c, &all_suites[j], &rand);
            struct dt_cipher_op op = {.iv = iv, .text = big, .len = sizeof big, .icv = icv};
            assert_int_equal(dt_cipher_seal(cipher, &op), -1);
            op.len = 17;
            assert_int_equal(dt_cipher_seal(cipher, &op), cipher->aead ? 0 : -1);
            op.len = 16;
            op.tail = iv;
            op.tail_len = 4;
            assert_int_equal(dt_cipher_seal(cipher, &op), cipher->aead ? -1 : 0);
            assert_int_equal(op.ok, !cipher->aead);
            op.len = 0;
            op.tail_len = 0;
            assert_int_equal(dt_cipher_seal(cipher, &op), 0); /* no text at all */
            assert_int_equal(dt_cipher_open(cipher, &op), 0);
            dt_cipher_free(cipher);
        }
    }
}

/* Counter modes carry the counter; CBC's IVs all differ, and differ with the key. */
static void ivs_never_repeat_and_cbc_ivs_look_random(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, 2);
    struct dt_rand rand = dt_prng_rand(&prng);
    for (size_t j = 0; j < DT_ARRAY_LEN(all_suites); j++) {
        struct dt_cipher *c = keyed_cipher(dt_crypto_best(), &all_suites[j], &rand);
        struct dt_cipher *d = keyed_cipher(dt_crypto_best(), &all_suites[j], &rand);
        uint8_t iv[16], again[16], other[16], last[16] = {0};
        int bits = 0;
        for (uint64_t n = 1; n <= 256; n++) {
            dt_cipher_iv(c, n, iv);
            dt_cipher_iv(c, n, again);
            dt_cipher_iv(d, n, other);
            assert_memory_equal(iv, again, c->iv_len);
            assert_memory_not_equal(iv, last, c->iv_len);
            if (c->aead)
                assert_true(dt_get_be64(iv) == n);
            else
                assert_memory_not_equal(iv, other, 16);
            for (int i = 0; i < c->iv_len; i++)
                bits += __builtin_popcount((unsigned)(iv[i] ^ last[i]));
            memcpy(last, iv, c->iv_len);
        }
        if (!c->aead) /* half of 128 bits change each time; 256 times give 16384, give or take */
            assert_in_range(bits, 15600, 17200);
        dt_cipher_free(c);
        dt_cipher_free(d);
    }
}

/* A batch does what single calls do, and a bad packet in it harms only itself. */
static void a_batch_is_its_packets_one_by_one(void **state)
{
    enum { N = 24 };
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("a_batch_is_its_packets_one_by_one"));
    struct dt_rand rand = dt_prng_rand(&prng);
    static uint8_t plain[N][512], one[N][512], many[N][512];
    uint8_t iv[N][16], icv_one[N][32], icv_many[N][32], aad[12], tail[4];
    for (size_t i = 0; i < DT_ARRAY_LEN(names) * DT_ARRAY_LEN(all_suites); i++) {
        const struct dt_crypto *crypto = dt_crypto_by_name(names[i % DT_ARRAY_LEN(names)]);
        if (!crypto)
            continue;
        struct dt_cipher *c = keyed_cipher(crypto, &all_suites[i / DT_ARRAY_LEN(names)], &rand);
        struct dt_cipher_op ops[N];
        dt_rand_fill(&rand, plain, sizeof plain);
        dt_rand_fill(&rand, aad, sizeof aad);
        memcpy(one, plain, sizeof plain);
        memcpy(many, plain, sizeof plain);
        for (int k = 0; k < N; k++) {
            dt_cipher_iv(c, (uint64_t)k, iv[k]);
            uint32_t len = (uint32_t)(dt_rand_below(&rand, 512 / c->block_len + 1) * c->block_len);
            struct dt_cipher_op op = {.iv = iv[k],
                                      .text = one[k],
                                      .len = len,
                                      .aad = aad,
                                      .aad_len = 12,
                                      .tail = tail,
                                      .icv = icv_one[k]};
            op.tail_len = c->aead ? 0 : 4;
            assert_int_equal(dt_cipher_seal(c, &op), 0);
            op.text = many[k];
            op.icv = icv_many[k];
            ops[k] = op;
        }
        uint32_t len7 = ops[7].len;
        ops[7].len = DT_CIPHER_TEXT_MAX + 1; /* never touched: refused before anything is read */
        assert_int_equal(dt_cipher_seal_batch(c, ops, N), N - 1);
        for (int k = 0; k < N; k++) {
            assert_int_equal(ops[k].ok, k != 7);
            assert_memory_equal(many[k], k == 7 ? plain[k] : one[k], 512);
            assert_true(k == 7 || !memcmp(icv_many[k], icv_one[k], c->icv_len));
        }
        ops[7].len = len7;
        memcpy(many[7], one[7], 512);
        memcpy(icv_many[7], icv_one[7], 32);
        icv_many[0][3] ^= 4;
        icv_many[N - 1][0] ^= 1;
        ops[5].aad_len = 11;
        assert_int_equal(dt_cipher_open_batch(c, ops, N), N - 3);
        for (int k = 0; k < N; k++) {
            bool good = k != 0 && k != 5 && k != N - 1;
            assert_int_equal(ops[k].ok, good);
            assert_true(!good || !memcmp(many[k], plain[k], 512));
        }
        assert_int_equal(dt_cipher_open_batch(c, ops, 0), 0);
        dt_cipher_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(providers_are_found_by_name),
        cmocka_unit_test(prf_plus_is_the_chain_of_the_rfc),
        cmocka_unit_test(prf_plus_ends_at_255_blocks),
        cmocka_unit_test(keys_of_the_wrong_length_are_refused),
        cmocka_unit_test(operations_that_do_not_fit_are_refused),
        cmocka_unit_test(ivs_never_repeat_and_cbc_ivs_look_random),
        cmocka_unit_test(a_batch_is_its_packets_one_by_one),
    };
    return TEST_RUN(tests);
}
