/* The wiring of the key derivation: NIST's vectors go in as nonces, SPIs and g^ir; the keys must be where RFC 7296
 * sections 2.14, 2.17 and 2.18 put them, in both directions. */
#include "ike/internal.h"
#include "support/vectors.h"

static struct dt_ike *ike;

static void keylog(void *ctx, const char *line)
{
    snprintf(ctx, 600, "%s", line);
}

static struct dt_ike *host(char *log)
{
    static struct dt_prng prng;
    struct dt_ike_ops ops = {.keylog = log ? keylog : NULL};
    struct dt_ike_params params;
    dt_ike_params_default(&params);
    dt_prng_seed(&prng, 1);
    struct dt_rand r = dt_prng_rand(&prng);
    return dt_ike_new(&params, &ops, log, dt_crypto_openssl(), &r);
}

static struct ike_sa *an_sa(bool initiator, uint64_t spi_i, uint64_t spi_r, uint16_t prf,
                            struct dt_suite suite)
{
    struct dt_path path = {0};
    struct dt_ike_session *s = ike_session_new(ike, initiator, &path);
    s->silent = true;
    struct ike_sa *sa = ike_sa_new(s, initiator, initiator ? spi_i : spi_r);
    sa->spi_remote = initiator ? spi_r : spi_i;
    sa->prf = prf;
    sa->suite = suite;
    return sa;
}

/* What one seals the other must open, with the very keys that stand at these places of the keying material. */
static void check_direction(struct ike_sa *sa, const uint8_t *e, size_t elen, const uint8_t *a, size_t alen)
{
    struct dt_cipher *c =
        dt_cipher_new(dt_crypto_openssl(), &sa->suite, dt_span(e, elen), dt_span(a, alen), NULL);
    uint8_t iv[DT_IV_MAX], icv[DT_ICV_MAX], text[32] = "thirty-two octets of plain text";
    assert_non_null(c);
    dt_cipher_iv(sa->seal, 1, iv);
    struct dt_cipher_op op = {
        .iv = iv, .text = text, .len = 32, .aad = (const uint8_t *)"head", .aad_len = 4, .icv = icv};
    assert_int_equal(dt_cipher_seal(sa->seal, &op), 0);
    assert_int_equal(dt_cipher_open(c, &op), 0);
    assert_string_equal((char *)text, "thirty-two octets of plain text");
    dt_cipher_free(c);
}

static void check_keys(struct ike_sa *sa, const struct ike_handshake *hs, const uint8_t *dkm, size_t len)
{
    size_t prf = dt_prf_len(sa->prf), a = dt_suite_integ_len(&sa->suite), e = dt_suite_key_len(&sa->suite);
    assert_true(len >= 3 * prf + 2 * a + 2 * e);
    assert_memory_equal(sa->sk_d, dkm, prf);
    const uint8_t *ai = dkm + prf, *ar = ai + a, *ei = ar + a, *er = ei + e, *pi = er + e, *pr = pi + prf;
    check_direction(sa, sa->initiator ? ei : er, e, sa->initiator ? ai : ar, a);
    if (hs) {
        assert_memory_equal(hs->sk_pi, pi, prf);
        assert_memory_equal(hs->sk_pr, pr, prf);
    }
}

static const struct dt_suite suites[] = {{DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_256_128},
                                         {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_512_256},
                                         {DT_ENCR_AES_GCM_16, 128, 0},
                                         {DT_ENCR_AES_GCM_16, 256, 0},
                                         {DT_ENCR_CHACHA20_POLY1305, 0, 0}};

static void nists_vectors_end_up_in_place(void **state)
{
    struct vectors v;
    uint8_t ni[256], nr[256], gir[512], seed[600], skeyseed[64], dkm[512];
    size_t lni = 0, lnr = 0, lg = 0;
    unsigned checked = 0;
    vectors_open(&v, "nist_ikev2_kdf.txt");
    ike = host(NULL);
    while (vectors_next(&v)) {
        const char *step = vector_text(&v, "step");
        uint16_t prf = (uint16_t)vector_number(&v, "prf");
        if (!strcmp(step, "skeyseed")) {
            lni = vector_bytes(&v, "ni", ni, sizeof(ni));
            lnr = vector_bytes(&v, "nr", nr, sizeof(nr));
            lg = vector_bytes(&v, "gir", gir, sizeof(gir));
            vector_bytes(&v, "out", skeyseed, sizeof(skeyseed));
        } else if (!strcmp(step, "prf+")) {
            uint8_t theirs[64], long_dkm[600];
            size_t ls = vector_bytes(&v, "seed", seed, sizeof(seed)),
                   n = vector_bytes(&v, "skeyseed", theirs, 64);
            size_t lo = vector_bytes(&v, "out", dkm, sizeof(dkm));
            if (n != dt_prf_len(prf) || memcmp(theirs, skeyseed, n) != 0 || ls != lni + lnr + 16)
                continue; /* not of the record before */
            for (size_t i = 0; i < DT_ARRAY_LEN(suites); i++)
                for (int initiator = 0; initiator < 2; initiator++) {
                    struct ike_sa *sa = an_sa(initiator, dt_get_be64(seed + lni + lnr),
                                              dt_get_be64(seed + lni + lnr + 8), prf, suites[i]);
                    size_t need = 3 * dt_prf_len(prf) + 2 * dt_suite_integ_len(&suites[i]) +
                                  2 * dt_suite_key_len(&suites[i]);
                    struct dt_span in = dt_span(seed, ls);
                    assert_int_equal(dt_prf_plus(dt_crypto_openssl(), prf, dt_span(theirs, n), &in, 1,
                                                 long_dkm, need > lo ? need : lo, NULL),
                                     0);
                    assert_memory_equal(long_dkm, dkm,
                                        lo); /* the vector is shorter than what some suites need */
                    assert_int_equal(ike_keys_derive(sa, NULL, dt_span(gir, lg), dt_span(ni, lni),
                                                     dt_span(nr, lnr), sa->session->hs, NULL),
                                     0);
                    check_keys(sa, sa->session->hs, long_dkm, need);
                    ike_session_end(sa->session, NULL);
                    checked++;
                }
        }
    }
    assert_true(checked >= 20);
    dt_ike_free(ike);
}

static void rekeyed_ike_sa(void **state)
{
    struct vectors v;
    uint8_t ni[256], nr[256], gir[512], sk_d[64], want[64], keys[600], spis[16];
    unsigned checked = 0;
    vectors_open(&v, "nist_ikev2_kdf.txt");
    ike = host(NULL);
    while (vectors_next(&v)) {
        if (strcmp(vector_text(&v, "step"), "rekey") != 0)
            continue;
        uint16_t prf = (uint16_t)vector_number(&v, "prf");
        struct ike_sa *old = an_sa(true, 1, 2, prf, suites[0]), *fresh = an_sa(false, 3, 4, prf, suites[3]);
        struct dt_span n[] = {dt_span(ni, vector_bytes(&v, "ni", ni, sizeof(ni))),
                              dt_span(nr, vector_bytes(&v, "nr", nr, sizeof(nr))), dt_span(spis, 16)};
        struct dt_span g = dt_span(gir, vector_bytes(&v, "gir", gir, sizeof(gir)));
        size_t len = vector_bytes(&v, "sk_d", sk_d, sizeof(sk_d));
        assert_true(len <= sizeof(sk_d));
        memcpy(old->sk_d, sk_d, len);
        vector_bytes(&v, "out", want, sizeof(want));
        dt_put_be64(spis, 3);
        dt_put_be64(spis + 8, 4);
        assert_int_equal(
            dt_prf_plus(dt_crypto_openssl(), prf, dt_span(want, dt_prf_len(prf)), n, 3, keys, 400, NULL), 0);
        assert_int_equal(ike_keys_derive(fresh, old, g, n[0], n[1], NULL, NULL), 0);
        check_keys(fresh, NULL, keys, 400);
        ike_session_end(old->session, NULL);
        ike_session_end(fresh->session, NULL);
        checked++;
    }
    assert_true(checked >= 3);
    dt_ike_free(ike);
}

static void children(void **state)
{
    uint8_t keymat[300], ni[32], nr[32], g[32];
    ike = host(NULL);
    memset(ni, 1, 32);
    memset(nr, 2, 32);
    memset(g, 3, 32);
    for (size_t i = 0; i < DT_ARRAY_LEN(suites); i++)
        for (int k = 0; k < 4; k++) {
            bool initiator = k & 1, pfs = k & 2;
            struct ike_sa *sa = an_sa(true, 1, 2, DT_PRF_HMAC_SHA2_384, suites[2]);
            struct dt_child_sa c = {.suite = suites[i]};
            memset(sa->sk_d, 9, sizeof(sa->sk_d));
            struct dt_span in[] = {dt_span(g, 32), dt_span(ni, 32), dt_span(nr, 32)};
            size_t n = dt_suite_key_len(&suites[i]) + dt_suite_integ_len(&suites[i]);
            assert_int_equal(dt_prf_plus(dt_crypto_openssl(), DT_PRF_HMAC_SHA2_384, dt_span(sa->sk_d, 48),
                                         in + !pfs, 3 - !pfs, keymat, 2 * n, NULL),
                             0);
            assert_int_equal(
                ike_keys_child(sa, pfs ? in[0] : dt_span(NULL, 0), in[1], in[2], initiator, &c, NULL), 0);
            assert_int_equal(c.key_len, n);
            assert_memory_equal(initiator ? c.key_out : c.key_in, keymat,
                                n); /* initiator to responder comes first */
            assert_memory_equal(initiator ? c.key_in : c.key_out, keymat + n, n);
            ike_session_end(sa->session, NULL);
        }
    dt_ike_free(ike);
}

static void nonces_are_ordered_octet_by_octet(void **state)
{
    assert_true(ike_nonce_cmp(dt_span("\1\2", 2), dt_span("\1\3", 2)) < 0);
    assert_true(ike_nonce_cmp(dt_span("\377", 1), dt_span("\1", 1)) > 0);
    assert_true(ike_nonce_cmp(dt_span("\1\2", 2), dt_span("\1\2\0", 3)) < 0);
    assert_int_equal(ike_nonce_cmp(dt_span("ab", 2), dt_span("ab", 2)), 0);
}

static void key_log_line(void **state)
{
    char log[600] = "";
    uint8_t n[32] = {1}, g[32] = {2};
    ike = host(log);
    struct ike_sa *sa = an_sa(true, 0x0102030405060708, 0x1112131415161718, DT_PRF_HMAC_SHA2_256, suites[2]);
    assert_int_equal(ike_keys_derive(sa, NULL, dt_span(g, 32), dt_span(n, 32), dt_span(n, 32), NULL, NULL),
                     0);
    assert_ptr_equal(strstr(log, "0102030405060708,1112131415161718,"), log);
    assert_non_null(strstr(log, "\"AES-GCM-128 with 16 octet ICV [RFC5282]\""));
    ike_session_end(sa->session, NULL);
    sa = an_sa(true, 1, 2, DT_PRF_HMAC_SHA2_256, suites[4]);
    assert_int_equal(ike_keys_derive(sa, NULL, dt_span(g, 32), dt_span(n, 32), dt_span(n, 32), NULL, NULL),
                     0);
    assert_int_equal(log[0], '#'); /* Wireshark refuses a table that names a cipher it does not have */
    ike_session_end(sa->session, NULL);
    dt_ike_free(ike);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nists_vectors_end_up_in_place),
                                       cmocka_unit_test(rekeyed_ike_sa), cmocka_unit_test(children),
                                       cmocka_unit_test(nonces_are_ordered_octet_by_octet),
                                       cmocka_unit_test(key_log_line)};
    return TEST_RUN(tests);
}
