#include "support/test.h"

#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/udp.h"

static struct dt_addr addr(const char *s)
{
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, s), 0);
    return a;
}

static const char *const ends[2][3] = {{"10.1.2.3", "192.0.2.7", "198.51.100.1"},
                                       {"fd00::1", "2001:db8::7", "2001:db8:1::1"}};

static void echo(void **state)
{
    for (int v = 0; v < 2; v++) {
        uint8_t p[120];
        struct dt_echo e;
        struct dt_addr a = addr(ends[v][0]), b = addr(ends[v][1]);
        size_t len = dt_echo_make(p, sizeof p, false, &a, &b, 0x1234, 7, 64, 16);
        assert_true(len > 0);
        assert_int_equal(dt_echo_parse(&e, p, len), DT_ECHO_REQUEST);
        assert_true(e.ident == 0x1234 && e.seq == 7 && dt_addr_eq(&e.target, &b));
        dt_echo_answer(p, len);
        assert_int_equal(dt_echo_parse(&e, p, len), DT_ECHO_REPLY);
        assert_true(e.ident == 0x1234 && e.seq == 7 && dt_addr_eq(&e.src, &b) && dt_addr_eq(&e.dst, &a));
        struct dt_ip ip;
        assert_true(dt_ip_parse(&ip, p, len, false)); /* the header's checksum too */
        p[len - 1] ^= 1;
        assert_int_equal(dt_echo_parse(&e, p, len), DT_ECHO_NONE);
        assert_int_equal(dt_echo_make(p, 20, false, &a, &b, 1, 1, 64, 16), 0);
    }
}

/* What a router sends back about an echo with too small a hop limit. */
static void time_exceeded(void **state)
{
    for (int v = 0; v < 2; v++) {
        uint8_t q[120], p[200];
        struct dt_echo e;
        struct dt_addr a = addr(ends[v][0]), b = addr(ends[v][1]), router = addr(ends[v][2]);
        size_t qlen = dt_echo_make(q, sizeof q, false, &a, &b, 55, 66, 1, 16);
        for (size_t quote = qlen; quote >= (v ? 48u : 28u); quote -= 4) {
            size_t h = dt_ip_put(p, &router, &a, v ? 58 : 1, 64, 0, 8 + quote);
            memset(p + h, 0, 8);
            p[h] = v ? 3 : 11;
            memcpy(p + h + 8, q, quote);
            uint64_t sum = v ? dt_csum_pseudo(router.b, a.b, 16, 58, (uint32_t)(8 + quote)) : 0;
            dt_csum_put(p + h + 2, dt_csum_add(sum, p + h, 8 + quote));
            assert_int_equal(dt_echo_parse(&e, p, h + 8 + quote), DT_ECHO_EXCEEDED);
            assert_true(e.ident == 55 && e.seq == 66 && dt_addr_eq(&e.src, &router) &&
                        dt_addr_eq(&e.target, &b));
        }
    }
}

static void errors(void **state)
{
    for (int v = 0; v < 2; v++) {
        uint8_t big[1600] = {0}, p[1400];
        struct dt_addr a = addr(ends[v][0]), b = addr(ends[v][1]);
        struct dt_ip ip;
        size_t h = dt_ip_put(big, &a, &b, 17, 64, 0, 1500 - (v ? 40 : 20));
        size_t n = dt_icmp_error_make(p, sizeof p, &b, big, 1500, 1390);
        assert_int_equal(n, v ? 1280 : 576);
        assert_true(dt_ip_parse(&ip, p, n, false));
        assert_true(dt_addr_eq(&ip.dst, &a) && dt_addr_eq(&ip.src, &b));
        const uint8_t *icmp = p + h;
        assert_int_equal(icmp[0], v ? 2 : 3);
        assert_int_equal(v ? dt_get_be32(icmp + 4) : dt_get_be16(icmp + 6), 1390);
        uint64_t sum = v ? dt_csum_pseudo(b.b, a.b, 16, 58, (uint32_t)(n - h)) : 0;
        assert_int_equal(dt_csum_finish(dt_csum_add(sum, icmp, n - h)), 0);
        assert_memory_equal(icmp + 8, big, 200);

        /* None about an error, a later fragment, to nobody. */
        uint8_t twice[1400];
        assert_int_equal(dt_icmp_error_make(twice, sizeof twice, &b, p, n, 1390), 0);
        if (!v) {
            dt_put_be16(big + 6, 0x0010);
            assert_int_equal(dt_icmp_error_make(p, sizeof p, &b, big, 1500, 1390), 0);
        }
        memset(big + (v ? 8 : 12), 0, v ? 16 : 4);
        assert_int_equal(dt_icmp_error_make(p, sizeof p, &b, big, 1500, 1390), 0);
        assert_int_equal(dt_icmp_error_make(p, 100, &b, big, 1500, 1390), 0);
    }
}

static void udp(void **state)
{
    for (int v = 0; v < 2; v++) {
        uint8_t p[64];
        struct dt_addr a = addr(ends[v][0]), b = addr(ends[v][1]);
        struct dt_udp u;
        memset(p, 7, sizeof p);
        dt_udp_put(p, 500, 4500, 21, &a, &b);
        assert_true(dt_udp_parse(&u, p, 29));
        assert_true(u.sport == 500 && u.dport == 4500 && u.len == 29 && u.check != 0);
        uint64_t sum = dt_csum_pseudo(a.b, b.b, v ? 16 : 4, 17, 29);
        assert_int_equal(dt_csum_finish(dt_csum_add(sum, p, 29)), 0);
        assert_false(dt_udp_parse(&u, p, 28));
        assert_false(dt_udp_parse(&u, p, 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(echo), cmocka_unit_test(time_exceeded),
                                       cmocka_unit_test(errors), cmocka_unit_test(udp)};
    return TEST_RUN(tests);
}
