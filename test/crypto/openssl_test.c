#include "crypto/providers.h"
#include "support/vectors.h"

static void hmac_vectors(const char *file)
{
    struct vectors v;
    static uint8_t text[4096];
    uint8_t key[256], tag[64], out[DT_PRF_MAX];
    int accepted = 0, refused = 0;
    vectors_open(&v, file);
    while (vectors_next(&v)) {
        uint16_t prf = (uint16_t)vector_number(&v, "prf");
        size_t key_len = vector_bytes(&v, "key", key, sizeof key);
        size_t text_len = vector_bytes(&v, "text", text, sizeof text);
        size_t tag_len = vector_bytes(&v, "tag", tag, sizeof tag);
        bool valid = !strcmp(vector_text(&v, "result"), "valid");
        /* in three spans: the result must not know */
        size_t a = text_len / 3, b = text_len / 2;
        struct dt_span in[] = {dt_span(text, a), dt_span(text + a, b - a), dt_span(text + b, text_len - b)};
        VECTOR_CHECK(&v, "prf", !dt_prf(dt_crypto_openssl(), prf, dt_span(key, key_len), in, 3, out, NULL));
        VECTOR_CHECK(&v, "tag", tag_len <= dt_prf_len(prf));
        VECTOR_CHECK(&v, "tag", dt_ct_equal(out, tag, tag_len) == valid);
        accepted += valid;
        refused += !valid;
    }
    printf("# %s: %d tags right, %d wrong\n", file, accepted, refused);
    assert_true(accepted > 10);
}

static void prf_gives_rfc4231(void **state)
{
    hmac_vectors("rfc4231_hmac.txt");
}

static void prf_gives_wycheproof(void **state)
{
    hmac_vectors("wycheproof_hmac.txt");
}

static void hashes_give_nists_vectors(void **state)
{
    struct vectors v;
    uint8_t text[256], want[DT_HASH_MAX], out[DT_HASH_MAX];
    vectors_open(&v, "nist_sha.txt");
    while (vectors_next(&v)) {
        enum dt_hash hash = (enum dt_hash)vector_number(&v, "hash");
        size_t len = vector_bytes(&v, "text", text, sizeof text);
        struct dt_span in[] = {dt_span(text, len / 2), dt_span(text + len / 2, len - len / 2)};
        VECTOR_CHECK(&v, "length", vector_bytes(&v, "out", want, sizeof want) == dt_hash_len(hash));
        VECTOR_CHECK(&v, "hash", !dt_hash(dt_crypto_openssl(), hash, in, 2, out, NULL));
        VECTOR_CHECK(&v, "hash", !memcmp(out, want, dt_hash_len(hash)));
    }
    assert_true(v.records > 40);
}

/* SKEYSEED, the keys from it, and SKEYSEED of a rekeyed IKE SA. */
static void prf_and_prf_plus_give_nists_ikev2_keys(void **state)
{
    struct vectors v;
    uint8_t ni[256], nr[256], gir[512], sk[64], seed[600], want[512], out[512];
    vectors_open(&v, "nist_ikev2_kdf.txt");
    while (vectors_next(&v)) {
        uint16_t prf = (uint16_t)vector_number(&v, "prf");
        const char *step = vector_text(&v, "step");
        size_t want_len = vector_bytes(&v, "out", want, sizeof want);
        if (!strcmp(step, "prf+")) {
            size_t sk_len = vector_bytes(&v, "skeyseed", sk, sizeof sk);
            struct dt_span s = dt_span(seed, vector_bytes(&v, "seed", seed, sizeof seed));
            VECTOR_CHECK(
                &v, "prf+",
                !dt_prf_plus(dt_crypto_openssl(), prf, dt_span(sk, sk_len), &s, 1, out, want_len, NULL));
        } else {
            struct dt_span n[3] = {dt_span(gir, vector_bytes(&v, "gir", gir, sizeof gir)),
                                   dt_span(ni, vector_bytes(&v, "ni", ni, sizeof ni)),
                                   dt_span(nr, vector_bytes(&v, "nr", nr, sizeof nr))};
            VECTOR_CHECK(&v, "length", want_len == dt_prf_len(prf));
            if (!strcmp(step, "rekey")) {
                struct dt_span key = dt_span(sk, vector_bytes(&v, "sk_d", sk, sizeof sk));
                VECTOR_CHECK(&v, "rekey", !dt_prf(dt_crypto_openssl(), prf, key, n, 3, out, NULL));
            } else {
                memcpy(seed, ni, n[1].len);
                memcpy(seed + n[1].len, nr, n[2].len);
                struct dt_span key = dt_span(seed, n[1].len + n[2].len);
                VECTOR_CHECK(&v, "skeyseed", !dt_prf(dt_crypto_openssl(), prf, key, n, 1, out, NULL));
            }
        }
        VECTOR_CHECK(&v, step, !memcmp(out, want, want_len));
    }
    assert_int_equal(v.records, 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prf_gives_rfc4231),
        cmocka_unit_test(prf_gives_wycheproof),
        cmocka_unit_test(hashes_give_nists_vectors),
        cmocka_unit_test(prf_and_prf_plus_give_nists_ikev2_keys),
    };
    return TEST_RUN(tests);
}
