#include "support/test.h"

#include "wire/checksum.h"
#include "wire/ip.h"
#include "base/bytes.h"

static struct dt_addr addr(const char *s)
{
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, s), 0);
    return a;
}

static void put_and_parse(void **state)
{
    static const char *const ends[2][2] = {{"10.1.2.3", "192.0.2.7"}, {"fd00::1", "2001:db8::7"}};
    for (int v = 0; v < 2; v++) {
        uint8_t p[100] = {0};
        struct dt_addr src = addr(ends[v][0]), dst = addr(ends[v][1]);
        struct dt_ip ip;
        size_t h = dt_ip_put(p, &src, &dst, DT_IPPROTO_UDP, 17, 0xb9, 30);
        assert_true(dt_ip_parse(&ip, p, h + 30, false));
        assert_int_equal(ip.ver, v ? 6 : 4);
        assert_int_equal(ip.proto, DT_IPPROTO_UDP);
        assert_int_equal(ip.ttl, 17);
        assert_int_equal(ip.tos, 0xb9);
        assert_int_equal(ip.l4, h);
        assert_int_equal(ip.total, h + 30);
        assert_true(ip.df && !ip.fragment && ip.first_fragment && !ip.options);
        assert_true(dt_addr_eq(&ip.src, &src) && dt_addr_eq(&ip.dst, &dst));
        for (unsigned tos = 0; tos < 256; tos++) { /* and the checksum stays right */
            dt_ip_set_tos(p, (uint8_t)tos);
            assert_int_equal(dt_ip_tos(p), tos);
            assert_true(dt_ip_parse(&ip, p, h + 30, false));
            assert_int_equal(ip.proto, DT_IPPROTO_UDP);
        }
        for (size_t len = 0; len < h + 30; len++)
            assert_false(dt_ip_parse(&ip, p, len, true));
    }
}

static void refused(void **state)
{
    struct dt_ip ip;
    uint8_t p[60];
    struct dt_addr a = addr("10.0.0.1"), b = addr("10.0.0.2");
    dt_ip_put(p, &a, &b, 6, 64, 0, 40);
    p[8]++; /* checksum */
    assert_false(dt_ip_parse(&ip, p, 60, false));
    assert_true(dt_ip_parse(&ip, p, 60, true));
    p[0] = 0x44; /* header shorter than 20 */
    assert_false(dt_ip_parse(&ip, p, 60, true));
    p[0] = 0x55;
    assert_false(dt_ip_parse(&ip, p, 60, true));
    p[0] = 0x45;
    dt_put_be16(p + 2, 19);
    assert_false(dt_ip_parse(&ip, p, 60, true));
}

static void fragments(void **state)
{
    struct dt_ip ip;
    uint8_t p[60] = {0};
    uint16_t s, d;
    struct dt_addr a = addr("10.0.0.1"), b = addr("10.0.0.2");
    dt_ip_put(p, &a, &b, DT_IPPROTO_UDP, 64, 0, 40);
    dt_put_be16(p + 20, 7);
    dt_put_be16(p + 22, 9);
    dt_put_be16(p + 6, 0x2000); /* more follow */
    assert_true(dt_ip_parse(&ip, p, 60, true));
    assert_true(ip.fragment && ip.first_fragment && !ip.df);
    assert_true(dt_ip_ports(&ip, p, 60, &s, &d));
    assert_true(s == 7 && d == 9);
    dt_put_be16(p + 6, 0x0005);
    assert_true(dt_ip_parse(&ip, p, 60, true));
    assert_true(ip.fragment && !ip.first_fragment);
    assert_false(dt_ip_ports(&ip, p, 60, &s, &d));
}

/* Hop-by-hop, destination options, fragment header, then UDP. */
static void extension_headers(void **state)
{
    struct dt_ip ip;
    uint8_t p[40 + 8 + 16 + 8 + 12] = {0};
    uint16_t s, d;
    struct dt_addr a = addr("fd00::1"), b = addr("fd00::2");
    dt_ip_put(p, &a, &b, 0, 64, 0, sizeof p - 40);
    p[40] = 60;
    p[48] = 44;
    p[49] = 1;
    p[64] = DT_IPPROTO_UDP;
    dt_put_be16(p + 66, 1);
    dt_put_be16(p + 72, 1000);
    dt_put_be16(p + 74, 2000);
    assert_true(dt_ip_parse(&ip, p, sizeof p, false));
    assert_int_equal(ip.proto, DT_IPPROTO_UDP);
    assert_int_equal(ip.l4, 72);
    assert_true(ip.options && ip.fragment && ip.first_fragment);
    assert_true(dt_ip_ports(&ip, p, sizeof p, &s, &d));
    assert_true(s == 1000 && d == 2000);
    dt_put_be16(p + 66, 0x0100);
    assert_true(dt_ip_parse(&ip, p, sizeof p, false));
    assert_false(dt_ip_ports(&ip, p, sizeof p, &s, &d));
    p[49] = 200; /* a header beyond the packet */
    assert_false(dt_ip_parse(&ip, p, sizeof p, false));

    uint8_t long_chain[40 + 8 * 20] = {0};
    dt_ip_put(long_chain, &a, &b, 0, 64, 0, sizeof long_chain - 40);
    for (size_t i = 0; i < 20; i++)
        long_chain[40 + 8 * i] = 60;
    assert_false(dt_ip_parse(&ip, long_chain, sizeof long_chain, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(put_and_parse), cmocka_unit_test(refused),
                                       cmocka_unit_test(fragments), cmocka_unit_test(extension_headers)};
    return TEST_RUN(tests);
}
