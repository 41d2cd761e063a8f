/* Keys and signatures. Sources: RFC 7427 appendix A (AlgorithmIdentifiers), RFC 4754 section 8 (ECDSA of fixed length), RFC 8410
 * section 10 (Ed25519 keys). */
#include "crypto/x509_issue.h"
#include "support/certs.h"

static const struct dt_sig_algorithm every[] = {
    {DT_SIG_RSA_PKCS1, DT_HASH_SHA2_256, 0}, {DT_SIG_RSA_PKCS1, DT_HASH_SHA2_384, 0},
    {DT_SIG_RSA_PKCS1, DT_HASH_SHA2_512, 0}, {DT_SIG_RSA_PSS, DT_HASH_SHA2_256, 32},
    {DT_SIG_RSA_PSS, DT_HASH_SHA2_384, 48},  {DT_SIG_RSA_PSS, DT_HASH_SHA2_512, 64},
    {DT_SIG_ECDSA, DT_HASH_SHA2_256, 0},     {DT_SIG_ECDSA, DT_HASH_SHA2_384, 0},
    {DT_SIG_ECDSA, DT_HASH_SHA2_512, 0},     {DT_SIG_ED25519, 0, 0}};

/* RFC 7427 appendix A.1.2, A.1.3, A.1.4; A.4.2 and A.4.3 with SHA-384 and SHA-512 by analogy left out; A.3.2 to A.3.4; RFC 8420
 * appendix A. */
static void identifiers_are_those_of_the_rfcs(void **state)
{
    static const struct {
        struct dt_sig_algorithm alg;
        const char *hex;
    } known[] = {
        {{DT_SIG_RSA_PKCS1, DT_HASH_SHA2_256, 0}, "300d06092a864886f70d01010b0500"},
        {{DT_SIG_RSA_PKCS1, DT_HASH_SHA2_384, 0}, "300d06092a864886f70d01010c0500"},
        {{DT_SIG_RSA_PKCS1, DT_HASH_SHA2_512, 0}, "300d06092a864886f70d01010d0500"},
        {{DT_SIG_RSA_PSS, DT_HASH_SHA2_256, 32},
         "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0"
         "6096086"
         "480165030402010500a203020120"},
        {{DT_SIG_ECDSA, DT_HASH_SHA2_256, 0}, "300a06082a8648ce3d040302"},
        {{DT_SIG_ECDSA, DT_HASH_SHA2_384, 0}, "300a06082a8648ce3d040303"},
        {{DT_SIG_ECDSA, DT_HASH_SHA2_512, 0}, "300a06082a8648ce3d040304"},
        {{DT_SIG_ED25519, 0, 0}, "300506032b6570"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(known); i++) {
        uint8_t want[DT_SIG_ALGORITHM_MAX], got[DT_SIG_ALGORITHM_MAX];
        struct dt_sig_algorithm back;
        long len = dt_unhex(want, sizeof(want), known[i].hex);
        assert_int_equal(dt_sig_algorithm_write(got, sizeof(got), &known[i].alg), len);
        assert_memory_equal(got, want, len);
        assert_int_equal(dt_sig_algorithm_read(&back, dt_span(want, (size_t)len), NULL), 0);
        assert_memory_equal(&back, &known[i].alg, sizeof(back));
        assert_int_equal(dt_sig_algorithm_write(got, (size_t)len - 1, &known[i].alg), 0);
    }
}

static void what_is_not_taken_is_named(void **state)
{
    static const struct {
        const char *hex, *says;
    } bad[] = {
        {"300d06092a864886f70d0101050500", "sha1WithRSAEncryption"},   /* A.1.1 */
        {"300906072a8648ce3d0401", "ecdsa-with-SHA1"},                 /* A.3.1 */
        {"300b0609608648016503040302", "dsa_with_SHA256"},             /* A.2.2 */
        {"300d06092a864886f70d01010a3000", "RSASSA-PSS of this kind"}, /* A.4.1: SHA-1 by default */
        {"304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0"
         "609"
         "6086480165030402030500a203020120",
         "RSASSA-PSS of this kind"}, /* another hash in MGF1 */
        {"304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0"
         "609"
         "6086480165030402010500a203020178",
         "RSASSA-PSS of this kind"}, /* a salt of 120 octets */
        {"300d06092a864886f70d01010b050000", "malformed"},
        {"300d06092a864886f70d01010b05", "malformed"},
        {"3003", "malformed"},
        {"", "malformed"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        uint8_t der[DT_SIG_ALGORITHM_MAX];
        struct dt_sig_algorithm a;
        struct dt_err err = {0};
        long len = *bad[i].hex ? dt_unhex(der, sizeof(der), bad[i].hex) : 0;
        assert_int_equal(dt_sig_algorithm_read(&a, dt_span(der, (size_t)len), &err), -1);
        if (!strstr(err.text, bad[i].says))
            fail_msg("%s: %s", bad[i].says, err.text);
    }
}

static void each_kind_signs_and_checks(void **state)
{
    static const enum dt_key_kind kinds[] = {DT_KEY_RSA, DT_KEY_P256, DT_KEY_P384, DT_KEY_P521,
                                             DT_KEY_ED25519};
    const struct dt_span text = dt_span("the octets of one message", 25),
                         other = dt_span("the octets of any message", 25);
    for (size_t k = 0; k < DT_ARRAY_LEN(kinds); k++) {
        struct dt_sig_key *key =
            kinds[k] == DT_KEY_RSA ? dt_sig_key_ref(certs_rsa_key()) : dt_sig_key_generate(kinds[k], 0, NULL);
        uint8_t spki[1024], sig[DT_SIGNATURE_MAX];
        struct dt_sig_key *public =
            dt_sig_key_public(dt_span(spki, dt_sig_key_spki(key, spki, sizeof(spki))), NULL);
        assert_non_null(public);
        assert_true(dt_sig_key_eq(key, public));
        assert_true(dt_sig_key_work(key) > 0);
        unsigned signs = 0;
        for (size_t i = 0; i < DT_ARRAY_LEN(every); i++) {
            size_t len = 0;
            struct dt_err err = {0};
            int rc = dt_sig_sign(key, &every[i], text, sig, &len, &err);
            assert_int_equal(rc == 0, dt_sig_fits(&every[i], kinds[k]));
            if (rc) {
                assert_non_null(strstr(err.text, "is not one of a key that is"));
                continue;
            }
            signs++;
            assert_int_equal(dt_sig_check(public, &every[i], text, dt_span(sig, len), &err), 0);
            assert_int_equal(dt_sig_check(public, &every[i], other, dt_span(sig, len), &err), -1);
            assert_non_null(strstr(err.text, "is not one of its key"));
            assert_int_equal(dt_sig_check(public, &every[i], text, dt_span(sig, len - 1), &err), -1);
            sig[len / 2] ^= 1;
            assert_int_equal(dt_sig_check(public, &every[i], text, dt_span(sig, len), &err), -1);
        }
        assert_int_equal(signs, kinds[k] == DT_KEY_RSA ? 6 : kinds[k] == DT_KEY_ED25519 ? 1 : 3);
        dt_sig_key_unref(public);
        dt_sig_key_unref(key);
    }
}

/* RFC 4754 section 8.1: r and s of its example. */
static void ecdsa_has_two_forms(void **state)
{
    uint8_t raw[132], der[160], back[132];
    static const enum dt_key_kind curves[] = {DT_KEY_P256, DT_KEY_P384, DT_KEY_P521};
    assert_int_equal(dt_unhex(raw, sizeof(raw),
                              "CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C"
                              "86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315"),
                     64);
    size_t len = dt_sig_ecdsa_der(der, sizeof(der), DT_KEY_P256, dt_span(raw, 64));
    assert_int_equal(len, 72); /* both begin with a bit that is set */
    assert_int_equal(dt_sig_ecdsa_raw(back, sizeof(back), DT_KEY_P256, dt_span(der, len)), 64);
    assert_memory_equal(back, raw, 64);
    assert_int_equal(dt_sig_ecdsa_der(der, sizeof(der), DT_KEY_P256, dt_span(raw, 63)), 0);
    assert_int_equal(dt_sig_ecdsa_der(der, sizeof(der), DT_KEY_P384, dt_span(raw, 64)), 0);
    assert_int_equal(dt_sig_ecdsa_raw(back, 63, DT_KEY_P256, dt_span(der, len)), 0);
    assert_int_equal(dt_sig_ecdsa_raw(back, sizeof(back), DT_KEY_ED25519, dt_span(der, len)), 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(curves); i++) {
        struct dt_sig_key *key = dt_sig_key_generate(curves[i], 0, NULL);
        const struct dt_sig_algorithm a = {DT_SIG_ECDSA, DT_HASH_SHA2_256, 0};
        uint8_t sig[DT_SIGNATURE_MAX];
        size_t n;
        assert_int_equal(dt_sig_sign(key, &a, dt_span("x", 1), sig, &n, NULL), 0);
        size_t fixed = dt_sig_ecdsa_raw(raw, sizeof(raw), curves[i], dt_span(sig, n));
        assert_int_equal(fixed, curves[i] == DT_KEY_P256 ? 64 : curves[i] == DT_KEY_P384 ? 96 : 132);
        len = dt_sig_ecdsa_der(der, sizeof(der), curves[i], dt_span(raw, fixed));
        assert_int_equal(dt_sig_check(key, &a, dt_span("x", 1), dt_span(der, len), NULL), 0);
        dt_sig_key_unref(key);
    }
}

static void key_reads(const char *text, const char *what)
{
    char buf[DT_KEY_STRLEN];
    struct dt_err err = {0};
    struct dt_sig_key *k = dt_sig_key_private(dt_span(text, strlen(text)), &err);
    if (!k)
        fail_msg("%s", err.text);
    assert_string_equal(dt_sig_key_str(buf, k), what);
    dt_sig_key_unref(k);
}

static void private_keys_are_read(void **state)
{
    struct dt_x509_text pem;
    /* RFC 8410 section 10.3 */
    key_reads(
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n",
        "Ed25519");
    /* SEC1, as `openssl ecparam -genkey -name prime256v1` writes it */
    key_reads("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
              "-----BEGIN EC PRIVATE KEY-----\n"
              "MHcCAQEEILjduNK1AovDq1BUw7TywLvaYmGy8PiHuwfqhUUDPSacoAoGCCqGSM49\n"
              "AwEHoUQDQgAEKqQAprmkJje+xpvcWaYPr8FSnGbp24XKKbGkKgL1eWI6jMr9NCkl\n"
              "j19Bqung/MM2O+sMnd79FPa9uJuyQQMPxQ==\n-----END EC PRIVATE KEY-----\n",
              "ECDSA P-256");
    assert_int_equal(dt_sig_key_pem(certs_rsa_key(), &pem, NULL), 0);
    key_reads(pem.p, "RSA with 2048 bits");
    dt_x509_text_free(&pem);
}

static void key_is_refused(const char *text, const char *why)
{
    struct dt_err err = {0};
    assert_null(dt_sig_key_private(dt_span(text, strlen(text)), &err));
    if (!strstr(err.text, why))
        fail_msg("wanted \"%s\": %s", why, err.text);
}

static void keys_that_cannot_be_are_refused(void **state)
{
    struct dt_err err = {0};
    assert_null(dt_sig_key_generate(DT_KEY_RSA, 1024, &err));
    assert_non_null(strstr(err.text, "RSA with 1024 bits; 2048 to 8192"));
    key_is_refused("", "no private key in it");
    key_is_refused("secret", "no private key in it");
    key_is_refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key in it");
    /* X25519 (RFC 8410 section 7's OID), which signs nothing */
    key_is_refused(
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n",
        "it is X25519; RSA, ECDSA and Ed25519 are taken");
    /* PKCS#8 with PBES2 around it: `openssl genpkey -algorithm ed25519 -aes256 -pass pass:secret` */
    key_is_refused("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                   "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjQWQtGpXjDlQICCAAw\n"
                   "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEIWeEw37RzZgXoVUwLf/VacEQJ2b\n"
                   "HM7PFAxqOZKdoC0M6783rwrumVChPWlNDZf0afv5JKtkgmXVXYvvL+YmaijYhOnc\n"
                   "p7WunqgTmBaKGokjzMI=\n-----END ENCRYPTED PRIVATE KEY-----\n",
                   "it is encrypted");
    uint8_t spki[1024];
    size_t len = dt_sig_key_spki(certs_rsa_key(), spki, sizeof(spki));
    assert_int_equal(dt_sig_key_spki(certs_rsa_key(), spki, len - 1), 0);
    spki[len] = 0;
    assert_null(dt_sig_key_public(dt_span(spki, len + 1), &err)); /* something behind it */
    assert_null(dt_sig_key_public(dt_span(spki, len - 1), &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identifiers_are_those_of_the_rfcs),
        cmocka_unit_test(what_is_not_taken_is_named),
        cmocka_unit_test(each_kind_signs_and_checks),
        cmocka_unit_test(ecdsa_has_two_forms),
        cmocka_unit_test(private_keys_are_read),
        cmocka_unit_test(keys_that_cannot_be_are_refused),
    };
    int rc = TEST_RUN(tests);
    dt_sig_key_unref(certs_rsa_key());
    return rc;
}
