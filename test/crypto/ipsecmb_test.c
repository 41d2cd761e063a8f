/* IPsec-MB against OpenSSL: what one seals the other opens, and they agree to the bit, for every length and alignment. */
#include "crypto/providers.h"

#define MAX 2300

static uint8_t plain[MAX + 64], a[MAX + 64], b[MAX + 64];

struct pair {
    struct dt_cipher *ossl, *mb;
};

static void compare(const struct pair *p, const struct dt_rand *rand, uint32_t len)
{
    uint8_t iv[16], aad[64], icv_a[32], icv_b[32];
    /* text anywhere in the buffer, with a guard behind it */
    size_t at = dt_rand_below(rand, 32);
    dt_rand_fill(rand, plain, sizeof plain);
    dt_rand_fill(rand, aad, sizeof aad);
    dt_rand_fill(rand, iv, sizeof iv);
    memcpy(a, plain, sizeof a);
    memcpy(b, plain, sizeof b);
    struct dt_cipher_op op = {.iv = iv, .text = a + at, .len = len, .aad = aad, .icv = icv_a};
    op.aad_len = (uint16_t)dt_rand_below(rand, sizeof aad + 1);
    struct dt_cipher_op op_b = op;
    op_b.text = b + at;
    op_b.icv = icv_b;
    assert_int_equal(dt_cipher_seal(p->ossl, &op), 0);
    assert_int_equal(dt_cipher_seal(p->mb, &op_b), 0);
    if (memcmp(a, b, sizeof a) || memcmp(icv_a, icv_b, 16))
        fail_msg("they differ: %u bytes at %zu, aad of %u", len, at, op.aad_len);
    /* crosswise */
    assert_int_equal(dt_cipher_open(p->mb, &op), 0);
    assert_int_equal(dt_cipher_open(p->ossl, &op_b), 0);
    assert_memory_equal(a, plain, sizeof a);
    assert_memory_equal(b, plain, sizeof b);
    /* and they refuse alike */
    memcpy(a, plain, sizeof a);
    op.icv = icv_a;
    icv_a[dt_rand_below(rand, 16)] ^= (uint8_t)(1u << dt_rand_below(rand, 8));
    assert_int_equal(dt_cipher_open(p->mb, &op), -1);
    assert_int_equal(dt_cipher_open(p->ossl, &op), -1);
}

static void it_agrees_with_openssl(void **state)
{
    struct dt_prng prng;
    uint64_t seed = test_seed("it_agrees_with_openssl");
    for (size_t s = 0; s < DT_ARRAY_LEN(all_suites); s++) {
        if (!dt_suite_aead(&all_suites[s]))
            continue;
        struct pair p;
        dt_prng_seed(&prng, seed + s);
        struct dt_rand rand = dt_prng_rand(&prng);
        p.ossl = keyed_cipher(dt_crypto_openssl(), &all_suites[s], &rand);
        dt_prng_seed(&prng, seed + s);
        p.mb = keyed_cipher(dt_crypto_ipsecmb(), &all_suites[s], &rand);
        for (uint32_t len = 0; len <= 600; len++)
            compare(&p, &rand, len);
        for (int i = 0; i < 1000; i++)
            compare(&p, &rand, (uint32_t)dt_rand_below(&rand, MAX + 1));
        dt_cipher_free(p.ossl);
        dt_cipher_free(p.mb);
    }
}

/* A super-packet's worth of text in one operation. */
static void it_agrees_with_openssl_at_64_kib(void **state)
{
    struct dt_prng prng;
    enum { BIG = DT_CIPHER_TEXT_MAX };
    uint8_t *x = malloc(BIG), *y = malloc(BIG), iv[8] = {1}, icv_x[16], icv_y[16];
    for (size_t s = 0; s < 3; s++) {
        dt_prng_seed(&prng, s);
        struct dt_rand rand = dt_prng_rand(&prng);
        struct dt_cipher *ossl = keyed_cipher(dt_crypto_openssl(), &all_suites[s], &rand);
        dt_prng_seed(&prng, s);
        struct dt_cipher *mb = keyed_cipher(dt_crypto_ipsecmb(), &all_suites[s], &rand);
        dt_rand_fill(&rand, x, BIG);
        memcpy(y, x, BIG);
        struct dt_cipher_op op = {.iv = iv, .text = x, .len = BIG, .icv = icv_x};
        struct dt_cipher_op op_y = {.iv = iv, .text = y, .len = BIG, .icv = icv_y};
        assert_int_equal(dt_cipher_seal(ossl, &op), 0);
        assert_int_equal(dt_cipher_seal(mb, &op_y), 0);
        assert_memory_equal(x, y, BIG);
        assert_memory_equal(icv_x, icv_y, 16);
        dt_cipher_free(ossl);
        dt_cipher_free(mb);
    }
    free(x);
    free(y);
}

int main(void)
{
    if (!dt_crypto_ipsecmb()) {
        printf("1..0 # SKIP no intel-ipsec-mb here, or a processor without AES-NI and PCLMULQDQ\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_openssl),
        cmocka_unit_test(it_agrees_with_openssl_at_64_kib),
    };
    return TEST_RUN(tests);
}
