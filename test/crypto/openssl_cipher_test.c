/* Ciphers of every real provider against published vectors (each file names its source), and what must hold for all. */
#include <pthread.h>

#include "crypto/providers.h"
#include "support/vectors.h"

static uint8_t text[8192], sealed[8192], work[8192], aad[1024];

struct record {
    struct dt_cipher_op op;
    uint8_t key[DT_KEY_MAX], iv[DT_IV_MAX], tail[16], icv[DT_ICV_MAX], got[DT_ICV_MAX];
    size_t icv_len;
};

/* Seals record r's text and opens its ciphertext; `valid` says whether it must come out right. */
static void seal_and_open(const struct vectors *v, struct dt_cipher *c, struct record *r, bool valid)
{
    r->op.text = work;
    r->op.iv = r->iv;
    r->op.aad = aad;
    r->op.tail = r->tail;
    r->op.icv = r->got;
    memcpy(work, text, r->op.len);
    VECTOR_CHECK(v, "seal", !dt_cipher_seal(c, &r->op));
    bool same = !memcmp(work, sealed, r->op.len) && !memcmp(r->got, r->icv, r->icv_len);
    VECTOR_CHECK(v, "sealed", same == valid);

    memcpy(work, sealed, r->op.len);
    memcpy(r->got, r->icv, r->icv_len);
    VECTOR_CHECK(v, "open", dt_cipher_open(c, &r->op) == (valid ? 0 : -1));
    VECTOR_CHECK(v, "opened", !valid || !memcmp(work, text, r->op.len));
}

static int run_aead(const char *file, uint16_t encr, const struct dt_crypto *p, int *refused)
{
    struct vectors v;
    vectors_open(&v, file);
    while (vectors_next(&v)) {
        struct record r = {0};
        uint8_t nonce[12];
        size_t key = vector_bytes(&v, "key", r.key, sizeof r.key);
        if (vector_text(&v, "nonce")) { /* key alone: the salt is the nonce's beginning */
            VECTOR_CHECK(&v, "nonce", vector_bytes(&v, "nonce", nonce, 12) == 12);
            memcpy(r.key + key, nonce, DT_SALT_LEN);
            memcpy(r.iv, nonce + DT_SALT_LEN, 8);
            key += DT_SALT_LEN;
        } else {
            VECTOR_CHECK(&v, "iv", vector_bytes(&v, "iv", r.iv, 8) == 8);
        }
        struct dt_suite s = {.encr = encr ? encr : (uint16_t)vector_number(&v, "encr")};
        if (s.encr == DT_ENCR_AES_GCM_16)
            s.key_bits = (uint16_t)(8 * (key - DT_SALT_LEN));
        r.op.aad_len = (uint16_t)vector_bytes(&v, "aad", aad, sizeof aad);
        r.op.len = (uint32_t)vector_bytes(&v, "text", text, sizeof text);
        VECTOR_CHECK(&v, "length", vector_bytes(&v, "sealed", sealed, sizeof sealed) == r.op.len);
        r.icv_len = vector_bytes(&v, "icv", r.icv, sizeof r.icv);
        bool valid = !vector_text(&v, "result") || !strcmp(vector_text(&v, "result"), "valid");
        struct dt_cipher *c = dt_cipher_new(p, &s, dt_span(r.key, key), dt_span(NULL, 0), NULL);
        VECTOR_CHECK(&v, "cipher", c && c->icv_len == r.icv_len);
        seal_and_open(&v, c, &r, valid);
        dt_cipher_free(c);
        *refused += !valid;
    }
    return v.records;
}

static void aead_vectors(const char *file, uint16_t encr, int least_refused)
{
    const struct dt_crypto *p[2];
    int n = real_providers(p);
    for (int i = 0; i < n; i++) {
        int refused = 0, records = run_aead(file, encr, p[i], &refused);
        printf("# %s: %s: %d records, %d of them to be refused\n", file, p[i]->name, records, refused);
        assert_true(records >= 15 && refused >= least_refused);
    }
}

static void gcm_gives_wycheproof(void **state)
{
    aead_vectors("wycheproof_aes_gcm.txt", DT_ENCR_AES_GCM_16, 50);
}

static void chacha_gives_wycheproof(void **state)
{
    aead_vectors("wycheproof_chacha20_poly1305.txt", DT_ENCR_CHACHA20_POLY1305, 50);
}

static void esp_and_ike_packets_of_mcgrew_and_rfc7634(void **state)
{
    aead_vectors("ipsec_aead.txt", 0, 0);
}

/* The ciphertext is CBC's; the ICV is HMAC's over aad | iv | ciphertext | tail. */
static void cbc_gives_rfc3602_and_nist(void **state)
{
    static const uint16_t integ[] = {DT_INTEG_HMAC_SHA2_256_128, DT_INTEG_HMAC_SHA2_384_192,
                                     DT_INTEG_HMAC_SHA2_512_256};
    struct vectors v;
    vectors_open(&v, "aes_cbc.txt");
    while (vectors_next(&v)) {
        for (int i = 0; i < 3; i++) {
            struct record r = {0};
            size_t key = vector_bytes(&v, "key", r.key, sizeof r.key);
            struct dt_suite s = {DT_ENCR_AES_CBC, (uint16_t)(key * 8), integ[i]};
            uint8_t mac[DT_PRF_MAX], integ_key[64];
            memset(integ_key, 0x42 + i, sizeof integ_key);
            memset(aad, 0x17, 8);
            memset(r.tail, 0x23, 4);
            r.op.aad_len = 8;
            r.op.tail_len = 4;
            VECTOR_CHECK(&v, "iv", vector_bytes(&v, "iv", r.iv, 16) == 16);
            r.op.len = (uint32_t)vector_bytes(&v, "text", text, sizeof text);
            VECTOR_CHECK(&v, "length", vector_bytes(&v, "sealed", sealed, sizeof sealed) == r.op.len);
            r.icv_len = dt_suite_icv_len(&s);
            struct dt_span in[] = {dt_span(aad, 8), dt_span(r.iv, 16), dt_span(sealed, r.op.len),
                                   dt_span(r.tail, 4)};
            uint16_t prf = (uint16_t)(DT_PRF_HMAC_SHA2_256 + i);
            assert_int_equal(
                dt_prf(dt_crypto_openssl(), prf, dt_span(integ_key, dt_prf_len(prf)), in, 4, mac, NULL), 0);
            memcpy(r.icv, mac, r.icv_len);
            struct dt_cipher *c = dt_cipher_new(dt_crypto_best(), &s, dt_span(r.key, key),
                                                dt_span(integ_key, dt_suite_integ_len(&s)), NULL);
            VECTOR_CHECK(&v, "cipher", c);
            seal_and_open(&v, c, &r, true);
            r.icv[r.icv_len - 1] ^= 1;
            seal_and_open(&v, c, &r, false);
            dt_cipher_free(c);
        }
    }
    assert_int_equal(v.records, 24);
}

static void cbc_with_hmac_gives_rfc7518(void **state)
{
    struct vectors v;
    vectors_open(&v, "rfc7518_cbc_hmac.txt");
    while (vectors_next(&v)) {
        struct record r = {0};
        uint8_t integ_key[64];
        struct dt_suite s = {DT_ENCR_AES_CBC, (uint16_t)vector_number(&v, "bits"),
                             (uint16_t)vector_number(&v, "integ")};
        struct dt_span key = dt_span(r.key, vector_bytes(&v, "key", r.key, sizeof r.key));
        struct dt_span mac = dt_span(integ_key, vector_bytes(&v, "integ_key", integ_key, sizeof integ_key));
        VECTOR_CHECK(&v, "iv", vector_bytes(&v, "iv", r.iv, 16) == 16);
        r.op.aad_len = (uint16_t)vector_bytes(&v, "aad", aad, sizeof aad);
        r.op.tail_len = (uint16_t)vector_bytes(&v, "tail", r.tail, sizeof r.tail);
        r.op.len = (uint32_t)vector_bytes(&v, "text", text, sizeof text);
        VECTOR_CHECK(&v, "length", vector_bytes(&v, "sealed", sealed, sizeof sealed) == r.op.len);
        r.icv_len = vector_bytes(&v, "icv", r.icv, sizeof r.icv);
        struct dt_cipher *c = dt_cipher_new(dt_crypto_openssl(), &s, key, mac, NULL);
        VECTOR_CHECK(&v, "cipher", c);
        seal_and_open(&v, c, &r, true);
        dt_cipher_free(c);
    }
    assert_int_equal(v.records, 2);
}

/* One bit changed anywhere (key, salt, integrity key, aad, IV, text, tail, ICV) and the packet does not open. */
static void any_changed_bit_is_noticed(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("any_changed_bit_is_noticed"));
    struct dt_rand rand = dt_prng_rand(&prng);
    const struct dt_crypto *p[2];
    int n = real_providers(p);
    for (size_t i = 0; i < DT_ARRAY_LEN(all_suites) * (size_t)n; i++) {
        const struct dt_suite *s = &all_suites[i / (size_t)n];
        const struct dt_crypto *crypto = p[i % (size_t)n];
        size_t key_len = dt_suite_key_len(s), integ_len = dt_suite_integ_len(s),
               block = dt_suite_block_len(s);
        struct {
            uint8_t key[DT_KEY_MAX], iv[16], aad[8], tail[4], text[64], icv[32];
        } good, b;
        dt_rand_fill(&rand, &good, sizeof good);
        struct dt_cipher_op op = {.iv = good.iv,
                                  .text = good.text,
                                  .aad = good.aad,
                                  .aad_len = 8,
                                  .tail = good.tail,
                                  .icv = good.icv};
        op.len = (uint32_t)(block * (1 + dt_rand_below(&rand, sizeof good.text / block)));
        op.tail_len = dt_suite_aead(s) ? 0 : 4;
        struct dt_cipher *c = dt_cipher_new(crypto, s, dt_span(good.key, key_len),
                                            dt_span(good.key + key_len, integ_len), NULL);
        assert_int_equal(dt_cipher_seal(c, &op), 0);
        dt_cipher_free(c);
        struct {
            uint8_t *p;
            size_t len;
        } part[] = {{b.key, key_len + integ_len}, {b.iv, dt_suite_iv_len(s)}, {b.aad, 8},
                    {b.tail, op.tail_len},        {b.text, op.len},           {b.icv, dt_suite_icv_len(s)}};
        op.iv = b.iv, op.text = b.text, op.aad = b.aad, op.tail = b.tail, op.icv = b.icv;
        for (size_t j = 0; j <= DT_ARRAY_LEN(part); j++) {
            b = good;
            bool change = j < DT_ARRAY_LEN(part) && part[j].len;
            /* the encryption key of CBC does not enter its ICV */
            size_t from = change && j == 0 && !dt_suite_aead(s) ? key_len : 0;
            if (change)
                part[j].p[from + dt_rand_below(&rand, part[j].len - from)] ^=
                    (uint8_t)(1u << dt_rand_below(&rand, 8));
            c = dt_cipher_new(crypto, s, dt_span(b.key, key_len), dt_span(b.key + key_len, integ_len), NULL);
            assert_int_equal(dt_cipher_open(c, &op), change ? -1 : 0);
            assert_int_equal(op.ok, !change);
            dt_cipher_free(c);
        }
    }
}

struct thread_job {
    struct dt_cipher *cipher;
    uint64_t seed;
    int failures;
};

static void *seal_and_open_many(void *arg)
{
    struct thread_job *job = arg;
    struct dt_prng prng;
    dt_prng_seed(&prng, job->seed);
    for (int i = 0; i < 300; i++) {
        uint8_t plain[128], buf[128], iv[16], icv[32];
        uint64_t v = dt_prng_u64(&prng);
        memset(plain, (int)v, sizeof plain);
        memcpy(buf, plain, sizeof buf);
        dt_cipher_iv(job->cipher, v, iv);
        struct dt_cipher_op op = {.iv = iv, .text = buf, .len = sizeof buf, .icv = icv};
        job->failures += dt_cipher_seal(job->cipher, &op) || !memcmp(buf, plain, sizeof buf);
        job->failures += dt_cipher_open(job->cipher, &op) || memcmp(buf, plain, sizeof buf);
        icv[0] ^= 1;
        job->failures += !dt_cipher_open(job->cipher, &op);
    }
    return NULL;
}

/* More threads than there are slots for contexts share one cipher. */
static void threads_share_a_cipher(void **state)
{
    const struct dt_crypto *p[2];
    int n = real_providers(p);
    uint64_t seed = test_seed("threads_share_a_cipher");
    for (size_t i = 0; i < DT_ARRAY_LEN(all_suites) * (size_t)n; i++) {
        struct dt_prng prng;
        dt_prng_seed(&prng, seed + i);
        struct dt_rand rand = dt_prng_rand(&prng);
        struct dt_cipher *c = keyed_cipher(p[i % (size_t)n], &all_suites[i / (size_t)n], &rand);
        struct thread_job job[6];
        pthread_t thread[6];
        for (size_t t = 0; t < DT_ARRAY_LEN(job); t++) {
            job[t] = (struct thread_job){.cipher = c, .seed = seed + t};
            assert_int_equal(pthread_create(&thread[t], NULL, seal_and_open_many, &job[t]), 0);
        }
        for (size_t t = 0; t < DT_ARRAY_LEN(job); t++) {
            pthread_join(thread[t], NULL);
            assert_int_equal(job[t].failures, 0);
        }
        dt_cipher_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcm_gives_wycheproof),
        cmocka_unit_test(chacha_gives_wycheproof),
        cmocka_unit_test(esp_and_ike_packets_of_mcgrew_and_rfc7634),
        cmocka_unit_test(cbc_gives_rfc3602_and_nist),
        cmocka_unit_test(cbc_with_hmac_gives_rfc7518),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(threads_share_a_cipher),
    };
    return TEST_RUN(tests);
}
