#include "crypto/providers.h"

/* Source: RFC 4106 8.1, RFC 7634 2, RFC 3602 2.4 and 5, RFC 4868 2.6. */
static void lengths_are_those_of_the_standards(void **state)
{
    static const struct {
        struct dt_suite s;
        size_t key, integ, iv, icv, block;
        const char *name;
    } want[] = {
        {{DT_ENCR_AES_GCM_16, 128, 0}, 20, 0, 8, 16, 1, "aes128gcm16"},
        {{DT_ENCR_AES_GCM_16, 256, 0}, 36, 0, 8, 16, 1, "aes256gcm16"},
        {{DT_ENCR_CHACHA20_POLY1305, 0, 0}, 36, 0, 8, 16, 1, "chacha20poly1305"},
        {{DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_256_128}, 16, 32, 16, 16, 16, "aes128-sha2_256_128"},
        {{DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_384_192}, 32, 48, 16, 24, 16, "aes256-sha2_384_192"},
        {{DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_512_256}, 32, 64, 16, 32, 16, "aes256-sha2_512_256"},
        {{DT_ENCR_NULL, 0, 0}, 20, 0, 8, 16, 1, "null"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(want); i++) {
        char name[DT_SUITE_NAME];
        const struct dt_suite *s = &want[i].s;
        assert_int_equal(dt_suite_check(s, NULL), 0);
        assert_int_equal(dt_suite_key_len(s), want[i].key);
        assert_int_equal(dt_suite_integ_len(s), want[i].integ);
        assert_int_equal(dt_suite_iv_len(s), want[i].iv);
        assert_int_equal(dt_suite_icv_len(s), want[i].icv);
        assert_int_equal(dt_suite_block_len(s), want[i].block);
        assert_int_equal(dt_suite_aead(s), want[i].integ == 0);
        assert_string_equal(dt_suite_name(s, name), want[i].name);
        assert_true(dt_suite_key_len(s) + dt_suite_integ_len(s) <= DT_KEY_MAX);
    }
}

static void a_suite_that_makes_no_sense_is_refused(void **state)
{
    static const struct dt_suite bad[] = {
        {DT_ENCR_NONE, 0, DT_INTEG_HMAC_SHA2_256_128},
        {DT_ENCR_AES_GCM_16, 0, DT_INTEG_NONE},
        {DT_ENCR_AES_GCM_16, 192, DT_INTEG_NONE},
        {DT_ENCR_AES_GCM_16, 128, DT_INTEG_HMAC_SHA2_256_128},
        {DT_ENCR_CHACHA20_POLY1305, 128, DT_INTEG_NONE},
        {DT_ENCR_CHACHA20_POLY1305, 0, DT_INTEG_HMAC_SHA2_256_128},
        {DT_ENCR_AES_CBC, 128, DT_INTEG_NONE}, /* encryption without integrity */
        {DT_ENCR_AES_CBC, 128, 2},
        {DT_ENCR_AES_CBC, 129, DT_INTEG_HMAC_SHA2_256_128},
        {3, 0, DT_INTEG_HMAC_SHA2_256_128},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        struct dt_err err = {0};
        assert_int_equal(dt_suite_check(&bad[i], &err), -1);
        assert_int_equal(err.notify, 14);
        assert_true(err.text[0]);
        assert_int_equal(dt_suite_key_len(&bad[i]), 0);
        assert_int_equal(dt_suite_icv_len(&bad[i]), 0);
        assert_null(dt_cipher_new(dt_crypto_openssl(), &bad[i], dt_span("", 0), dt_span("", 0), NULL));
    }
}

static void groups_and_hashes_have_their_lengths(void **state)
{
    assert_int_equal(dt_ke_public_len(DT_KE_X25519), 32);
    assert_int_equal(dt_ke_shared_len(DT_KE_X25519), 32);
    assert_int_equal(dt_ke_public_len(DT_KE_ECP_256), 64);
    assert_int_equal(dt_ke_shared_len(DT_KE_ECP_256), 32);
    assert_int_equal(dt_ke_public_len(DT_KE_ECP_384), 96);
    assert_int_equal(dt_ke_shared_len(DT_KE_ECP_384), 48);
    assert_int_equal(dt_ke_public_len(DT_KE_MODP_2048), 256);
    assert_int_equal(dt_ke_shared_len(DT_KE_MODP_2048), 256);
    assert_int_equal(dt_ke_public_len(2), 0);
    assert_int_equal(dt_prf_len(DT_PRF_HMAC_SHA2_256), 32);
    assert_int_equal(dt_prf_len(DT_PRF_HMAC_SHA2_384), 48);
    assert_int_equal(dt_prf_len(DT_PRF_HMAC_SHA2_512), 64);
    assert_int_equal(dt_prf_len(2), 0);
    assert_int_equal(dt_hash_len(DT_HASH_SHA1), 20);
    assert_string_equal(dt_ke_name(DT_KE_ECP_384), "ecp384");
    assert_string_equal(dt_ke_name(2), "?");
    assert_string_equal(dt_prf_name(DT_PRF_HMAC_SHA2_512), "prf-hmac-sha2-512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_are_those_of_the_standards),
        cmocka_unit_test(a_suite_that_makes_no_sense_is_refused),
        cmocka_unit_test(groups_and_hashes_have_their_lengths),
    };
    return TEST_RUN(tests);
}
