/* Super-packets cut into segments: a receiver must see the same stream, and every checksum must hold. */
#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "net/vnet.h"
#include "wire/checksum.h"
#include "wire/ip.h"

static uint64_t l4_sum(const struct dt_ip *ip, const uint8_t *p)
{
    size_t alen = dt_addr_size(&ip->src);
    uint32_t n = ip->total - ip->l4;
    return dt_csum_add(dt_csum_pseudo(ip->src.b, ip->dst.b, alen, ip->proto, n), p + ip->l4, n);
}

static struct dt_addr addr(const char *s)
{
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, s), 0);
    return a;
}

static size_t super_packet(uint8_t *p, bool v6, bool tcp, size_t options, size_t payload, struct dt_rand *r)
{
    struct dt_addr a = addr(v6 ? "fd00::1" : "10.0.0.1"), b = addr(v6 ? "fd00::2" : "10.0.0.2");
    size_t l4 = tcp ? 20 + options : 8, h = dt_ip_put(p, &a, &b, tcp ? 6 : 17, 64, 2, l4 + payload);
    dt_rand_fill(r, p + h, l4 + payload);
    if (tcp) {
        p[h + 12] = (uint8_t)(l4 / 4 << 4);
        p[h + 13] = 0x99; /* CWR ACK PSH FIN */
    }
    if (!v6)
        dt_put_be16(p + 4, 0xfffe); /* the id wraps */
    return h + l4 + payload;
}

static void cut(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("cut"));
    struct dt_rand r = dt_prng_rand(&prng);
    static uint8_t big[66000], seg[66000];

    for (int i = 0; i < 400; i++) {
        bool v6 = i & 1, tcp = i & 2;
        size_t options = 4 * dt_rand_below(&r, 11), payload = 1 + dt_rand_below(&r, i % 20 ? 9000 : 60000);
        uint16_t size = (uint16_t)(1 + dt_rand_below(&r, 2000));
        size_t len = super_packet(big, v6, tcp, options, payload, &r);
        uint16_t l3 = v6 ? 40 : 20;
        struct dt_vnet v = {.flags = DT_VNET_NEEDS_CSUM,
                            .gso_type = !tcp ? DT_VNET_GSO_UDP_L4
                                        : v6 ? DT_VNET_GSO_TCPV6
                                             : DT_VNET_GSO_TCPV4,
                            .gso_size = size};
        struct dt_segments s;
        assert_true(dt_segments_init(&s, &v, big, len, v6 ? 6 : 4, l3));
        assert_int_equal(s.count, (payload + size - 1) / size);
        uint32_t seq = dt_get_be32(big + l3 + 4);
        size_t at = 0;
        for (unsigned k = 0; k < s.count; k++) {
            struct dt_ip ip;
            uint32_t n = dt_segment_len(&s, k);
            dt_segment(&s, k, seg);
            assert_true(dt_ip_parse(&ip, seg, n, false)); /* the IPv4 checksum too */
            assert_int_equal(ip.total, n);
            assert_int_equal(dt_csum_finish(l4_sum(&ip, seg)), 0);
            assert_memory_equal(seg + s.hlen, big + s.hlen + at, n - s.hlen);
            if (!v6)
                assert_int_equal(dt_get_be16(seg + 4), (uint16_t)(0xfffe + k));
            if (tcp) {
                bool last = k + 1u == s.count;
                assert_int_equal(dt_get_be32(seg + l3 + 4), (uint32_t)(seq + at));
                assert_int_equal(seg[l3 + 13], 0x10 | (last ? 0x09 : 0) | (k == 0 ? 0x80 : 0));
            } else {
                assert_int_equal(dt_get_be16(seg + l3 + 4), n - l3);
            }
            at += n - s.hlen;
        }
        assert_int_equal(at, payload);
    }
}

static void refused(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, 1);
    struct dt_rand r = dt_prng_rand(&prng);
    static uint8_t p[3000];
    struct dt_segments s;
    size_t len = super_packet(p, false, true, 0, 2000, &r);
    struct dt_vnet v = {.gso_type = DT_VNET_GSO_TCPV4, .gso_size = 1000};
    assert_true(dt_segments_init(&s, &v, p, len, 4, 20));
    assert_false(dt_segments_init(&s, &v, p, len, 6, 40));
    assert_false(dt_segments_init(&s, &v, p, 39, 4, 20));
    assert_false(dt_segments_init(&s, &v, p, 40, 4, 20)); /* headers alone */
    p[20 + 12] = 0x40;
    assert_false(dt_segments_init(&s, &v, p, len, 4, 20));
    p[20 + 12] = 0x50;
    v.gso_size = 0;
    assert_false(dt_segments_init(&s, &v, p, len, 4, 20));
    v = (struct dt_vnet){.gso_type = 9, .gso_size = 1000};
    assert_false(dt_segments_init(&s, &v, p, len, 4, 20));
    v = (struct dt_vnet){.csum_start = 20, .csum_offset = 16};
    assert_true(dt_vnet_checksum(&v, p, len));
    assert_false(dt_vnet_checksum(&v, p, 37));
    v.csum_start = 65535;
    assert_false(dt_vnet_checksum(&v, p, len));
}

static void header(void **state)
{
    uint8_t b[DT_VNET_LEN];
    struct dt_vnet v = {1, 4, 0x1234, 0x5678, 0x9abc, 0xdef0}, w;
    dt_vnet_put(b, &v);
    assert_int_equal(b[2], 0x34);
    dt_vnet_get(&w, b);
    assert_memory_equal(&v, &w, sizeof v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cut), cmocka_unit_test(refused),
                                       cmocka_unit_test(header)};
    return TEST_RUN(tests);
}
