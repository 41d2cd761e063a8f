#include "crypto/providers.h"
#include "support/vectors.h"

/* Sources: each file of vectors names its own; RFC 6989 2.1 and RFC 8031 2 for what must be refused. */

static struct dt_dh *from_private(uint16_t group, const uint8_t *secret, size_t len)
{
    struct scripted s = {.p = secret, .len = len};
    struct dt_rand r = scripted_rand(&s);
    struct dt_dh *dh = dt_dh_new(dt_crypto_openssl(), group, &r, NULL);
    assert_non_null(dh);
    assert_int_equal(s.asked, len); /* as many bytes as crypto.h says, once */
    return dh;
}

/* Runs a file; a record without `result` is valid unless its shared secret is all zero. */
static void dh_vectors(const char *file, uint16_t only, int least_refused)
{
    struct vectors v;
    uint8_t secret[48], peer[DT_KE_MAX], want[DT_KE_MAX], out[DT_KE_MAX], pub[DT_KE_MAX];
    static const uint8_t zero[DT_KE_MAX];
    int accepted = 0, refused = 0;
    vectors_open(&v, file);
    while (vectors_next(&v)) {
        if (!vector_text(&v, "private"))
            continue;
        uint16_t group = vector_text(&v, "group") ? (uint16_t)vector_number(&v, "group") : only;
        struct dt_dh *dh = from_private(group, secret, vector_bytes(&v, "private", secret, sizeof secret));
        size_t peer_len = vector_bytes(&v, "peer", peer, sizeof peer);
        size_t want_len = vector_bytes(&v, "shared", want, sizeof want);
        if (vector_text(&v, "public")) {
            VECTOR_CHECK(&v, "length", vector_bytes(&v, "public", pub, sizeof pub) == dt_dh_public(dh).len);
            VECTOR_CHECK(&v, "public", !memcmp(pub, dt_dh_public(dh).p, dt_dh_public(dh).len));
        }
        bool valid = !(want_len && !memcmp(want, zero, want_len));
        if (vector_text(&v, "result"))
            valid = !strcmp(vector_text(&v, "result"), "valid");
        struct dt_err err = {0};
        int rc = dt_dh_shared(dh, dt_span(peer, peer_len), out, &err);
        VECTOR_CHECK(&v, "accepted or refused", rc == (valid ? 0 : -1));
        if (valid) {
            VECTOR_CHECK(&v, "length", want_len == dt_ke_shared_len(group));
            VECTOR_CHECK(&v, "shared", !memcmp(out, want, want_len));
        } else {
            VECTOR_CHECK(&v, "error", err.notify == 7 && err.text[0]);
        }
        accepted += valid;
        refused += !valid;
        dt_dh_free(dh);
    }
    printf("# %s: %d accepted, %d refused\n", file, accepted, refused);
    assert_true(accepted >= 3);
    assert_true(refused >= least_refused);
}

static void x25519_gives_rfc7748(void **state)
{
    dh_vectors("rfc7748_x25519.txt", DT_KE_X25519, 0);
}

/* RFC 7748 5.2: k, u = X25519(k, u), k a thousand times. */
static void x25519_gives_rfc7748_iterated(void **state)
{
    uint8_t k[32] = {9}, u[32] = {9}, out[32], want[32];
    for (int i = 0; i < 1000; i++) {
        struct dt_dh *dh = from_private(DT_KE_X25519, k, 32);
        assert_int_equal(dt_dh_shared(dh, dt_span(u, 32), out, NULL), 0);
        dt_dh_free(dh);
        memcpy(u, k, 32);
        memcpy(k, out, 32);
    }
    assert_int_equal(dt_unhex(want, 32, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"),
                     32);
    assert_memory_equal(k, want, 32);
}

static void x25519_gives_wycheproof(void **state)
{
    dh_vectors("wycheproof_x25519.txt", DT_KE_X25519, 20);
}

static void ecp_gives_rfc5903(void **state)
{
    dh_vectors("rfc5903_ecp.txt", 0, 0);
}

static void ecp256_gives_wycheproof(void **state)
{
    dh_vectors("wycheproof_ecdh_secp256r1.txt", DT_KE_ECP_256, 10);
}

static void ecp384_gives_wycheproof(void **state)
{
    dh_vectors("wycheproof_ecdh_secp384r1.txt", DT_KE_ECP_384, 10);
}

static void modp2048_gives_values_of_rfc3526s_prime(void **state)
{
    dh_vectors("rfc3526_modp2048.txt", DT_KE_MODP_2048, 0);
}

/* a += d, big-endian, d in -2 .. 2 */
static void add(uint8_t *a, size_t n, int d)
{
    for (size_t i = n; i-- > 0 && d;) {
        int t = a[i] + d;
        a[i] = (uint8_t)t;
        d = t < 0 ? -1 : t > 255 ? 1 : 0;
    }
}

static void modp2048_refuses_what_is_not_in_2_to_p_minus_2(void **state)
{
    struct vectors v;
    uint8_t prime[256] = {0}, peer[256], out[256], secret[40] = {1, 2, 3};
    vectors_open(&v, "rfc3526_modp2048.txt");
    while (vectors_next(&v)) {
        if (vector_text(&v, "prime"))
            assert_int_equal(vector_bytes(&v, "prime", prime, sizeof prime), 256);
    }
    assert_int_equal(prime[0], 0xff);
    struct dt_dh *dh = from_private(DT_KE_MODP_2048, secret, sizeof secret);
    for (int d = -2; d <= 2; d++) { /* p - 2 is the last that is good */
        memcpy(peer, prime, 256);
        add(peer, 256, d);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 256), out, NULL), d == -2 ? 0 : -1);
    }
    for (int d = 0; d <= 2; d++) { /* 2 is the first */
        memset(peer, 0, 256);
        add(peer, 256, d);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 256), out, NULL), d == 2 ? 0 : -1);
    }
    memset(peer, 0xff, 256);
    assert_int_equal(dt_dh_shared(dh, dt_span(peer, 256), out, NULL), -1);
    dt_dh_free(dh);
}

/* Whatever is not a point of the curve is refused: zeros, ones, a coordinate that does not fit the other. */
static void ecp_refuses_what_is_no_point(void **state)
{
    static const uint16_t groups[] = {DT_KE_ECP_256, DT_KE_ECP_384};
    for (int i = 0; i < 2; i++) {
        size_t n = dt_ke_shared_len(groups[i]);
        uint8_t secret[48] = {1}, peer[96], out[48];
        struct dt_dh *dh = from_private(groups[i], secret, n);
        memcpy(peer, dt_dh_public(dh).p, 2 * n);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 2 * n), out, NULL), 0);
        memset(peer, 0xff, 2 * n);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 2 * n), out, NULL), -1);
        memset(peer, 0, 2 * n);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 2 * n), out, NULL), -1);
        memcpy(peer, dt_dh_public(dh).p, 2 * n);
        peer[2 * n - 1] ^= 1;
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 2 * n), out, NULL), -1);
        dt_dh_free(dh);
    }
}

/* One coordinate is so small that there is room for the prime beside it: the same point modulo the prime. */
static void ecp_refuses_a_coordinate_with_the_prime_added(void **state)
{
    static const struct {
        uint16_t group;
        const char *small, *beyond,
            *other; /* a coordinate, the same with the prime added, the other coordinate */
        bool is_x;
    } points[] = {
        {DT_KE_ECP_256, "0000000000000000000000000000000000000000000000000000000000000005",
         "ffffffff00000001000000000000000000000001000000000000000000000004",
         "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc", true},
        {DT_KE_ECP_256, "0000000000000000000000000000000000000000000000000000000000000005",
         "ffffffff00000001000000000000000000000001000000000000000000000004",
         "d7325d7646cd60d80a92738ceb345f844cffaf35841022cab176f692de8de1d7", false},
        {DT_KE_ECP_384,
         "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002",
         "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff000000000000000100000001",
         "8cdeadbbd04911a3c1931e26df3fa6439dca9c7eb286fbd46fc319f0e2bb780232baf57825fc0c1912ada2fefe84024c",
         true},
        {DT_KE_ECP_384,
         "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
         "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff000000000000000100000000",
         "2261b2bf605c22f2f3aef6338719b2c486388ad5240719a5257315969ef01ba27f0a104c89704773a81fdabee6ab5c78",
         false},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(points); i++) {
        size_t n = dt_ke_shared_len(points[i].group);
        uint8_t secret[48] = {1}, peer[96], out[48];
        struct dt_dh *dh = from_private(points[i].group, secret, n);
        size_t at = points[i].is_x ? 0 : n;
        assert_int_equal(dt_unhex(peer + at, n, points[i].small), n);
        assert_int_equal(dt_unhex(peer + n - at, n, points[i].other), n);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 2 * n), out, NULL), 0);
        assert_int_equal(dt_unhex(peer + at, n, points[i].beyond), n);
        assert_int_equal(dt_dh_shared(dh, dt_span(peer, 2 * n), out, NULL), -1);
        dt_dh_free(dh);
    }
}

/* A private value that is zero or not below the order is drawn again. */
static void a_draw_out_of_range_is_drawn_again(void **state)
{
    uint8_t bytes[96];
    memset(bytes, 0xff, 32);
    memset(bytes + 32, 0, 32);
    memset(bytes + 64, 0x11, 32);
    struct scripted s = {.p = bytes, .len = sizeof bytes};
    struct dt_rand r = scripted_rand(&s);
    struct dt_dh *a = dt_dh_new(dt_crypto_openssl(), DT_KE_ECP_256, &r, NULL);
    assert_int_equal(s.asked, 96);
    struct dt_dh *b = from_private(DT_KE_ECP_256, bytes + 64, 32);
    assert_memory_equal(a->pub, b->pub, 64);
    dt_dh_free(a);
    dt_dh_free(b);
    struct scripted zeros = {.p = bytes + 32, .len = 32};
    r = scripted_rand(&zeros);
    assert_null(dt_dh_new(dt_crypto_openssl(), DT_KE_ECP_256, &r, NULL)); /* a broken source ends */
    assert_null(dt_dh_new(dt_crypto_openssl(), DT_KE_MODP_2048, &r, NULL));
}

/* Two sides with random keys agree, in every group; a wrong length is refused with both lengths in the sentence. */
static void both_sides_agree_and_lengths_are_checked(void **state)
{
    static const uint16_t groups[] = {DT_KE_X25519, DT_KE_ECP_256, DT_KE_ECP_384, DT_KE_MODP_2048};
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("both_sides_agree_and_lengths_are_checked"));
    struct dt_rand r = dt_prng_rand(&prng);
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < DT_ARRAY_LEN(groups); i++) {
            uint8_t s1[DT_KE_MAX], s2[DT_KE_MAX];
            struct dt_err err = {0};
            struct dt_dh *a = dt_dh_new(dt_crypto_best(), groups[i], &r, NULL);
            struct dt_dh *b = dt_dh_new(dt_crypto_best(), groups[i], &r, NULL);
            assert_int_equal(dt_dh_shared(a, dt_dh_public(b), s1, NULL), 0);
            assert_int_equal(dt_dh_shared(b, dt_dh_public(a), s2, NULL), 0);
            assert_memory_equal(s1, s2, dt_ke_shared_len(groups[i]));
            struct dt_span pub = dt_dh_public(b);
            assert_int_equal(dt_dh_shared(a, dt_span(pub.p, pub.len - 1), s1, &err), -1);
            assert_int_equal(err.notify, 7);
            assert_non_null(strstr(err.text, dt_ke_name(groups[i])));
            assert_int_equal(dt_dh_shared(a, dt_span(pub.p, 0), s1, &err), -1);
            dt_dh_free(a);
            dt_dh_free(b);
        }
    }
    assert_null(dt_dh_new(dt_crypto_openssl(), 2, &r, NULL));
    dt_dh_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x25519_gives_rfc7748),
        cmocka_unit_test(x25519_gives_rfc7748_iterated),
        cmocka_unit_test(x25519_gives_wycheproof),
        cmocka_unit_test(ecp_gives_rfc5903),
        cmocka_unit_test(ecp256_gives_wycheproof),
        cmocka_unit_test(ecp384_gives_wycheproof),
        cmocka_unit_test(modp2048_gives_values_of_rfc3526s_prime),
        cmocka_unit_test(modp2048_refuses_what_is_not_in_2_to_p_minus_2),
        cmocka_unit_test(ecp_refuses_what_is_no_point),
        cmocka_unit_test(ecp_refuses_a_coordinate_with_the_prime_added),
        cmocka_unit_test(a_draw_out_of_range_is_drawn_again),
        cmocka_unit_test(both_sides_agree_and_lengths_are_checked),
    };
    return TEST_RUN(tests);
}
