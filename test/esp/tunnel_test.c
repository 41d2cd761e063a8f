#include "support/test.h"

#include "esp/tunnel.h"

/* RFC 6040 figure 4, all sixteen: rows inner, columns outer (Not-ECT, ECT(0), ECT(1), CE). */
static void ecn_decapsulation(void **state)
{
    enum { DROP = 9, N = DT_ECN_NOT_ECT, E0 = DT_ECN_ECT0, E1 = DT_ECN_ECT1, CE = DT_ECN_CE };
    static const uint8_t outer[4] = {N, E0, E1, CE}, inner[4] = {N, E0, E1, CE};
    static const uint8_t want[4][4] = {
        {N, N, N, DROP},
        {E0, E0, E1, CE},
        {E1, E1, E1, CE},
        {CE, CE, CE, CE},
    };
    for (int i = 0; i < 4; i++)
        for (int o = 0; o < 4; o++) {
            uint8_t ecn;
            bool keep =
                dt_tunnel_decap_ecn((uint8_t)(0xb8 | outer[o]), (uint8_t)(0x28 | inner[i]), &ecn, NULL);
            assert_int_equal(keep, want[i][o] != DROP);
            if (keep)
                assert_int_equal(ecn, want[i][o]);
        }
}

static void tos_outside(void **state)
{
    for (unsigned tos = 0; tos < 256; tos++) {
        assert_int_equal(dt_tunnel_outer_tos((uint8_t)tos, true), tos);
        assert_int_equal(dt_tunnel_outer_tos((uint8_t)tos, false), tos & 3);
    }
}

static struct dt_addr addr(const char *s)
{
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, s), 0);
    return a;
}

static struct dt_selectors list(const char *one, const char *two)
{
    struct dt_selectors l = {.n = 0};
    struct dt_selector s;
    assert_int_equal(dt_selector_parse(&s, one), 0);
    dt_selectors_add(&l, &s);
    if (two) {
        assert_int_equal(dt_selector_parse(&s, two), 0);
        dt_selectors_add(&l, &s);
    }
    return l;
}

static void selectors(void **state)
{
    struct dt_selectors local = list("10.1.0.0/16", NULL),
                        remote = list("10.2.0.0/16[tcp/80]", "10.3.0.0/16");
    static const struct {
        const char *src, *dst;
        uint8_t proto;
        uint16_t sport, dport;
        bool known, want;
    } t[] = {
        {"10.1.2.3", "10.2.0.1", 6, 4000, 80, true, true},
        {"10.1.2.3", "10.2.0.1", 6, 4000, 81, true, false},
        {"10.1.2.3", "10.2.0.1", 17, 4000, 80, true, false},
        {"10.1.2.3", "10.2.0.1", 6, 0, 0, false, false}, /* a later fragment: its port is not known */
        {"10.1.2.3", "10.3.0.1", 6, 0, 0, false, true},
        {"10.1.2.3", "10.3.0.1", 47, 0, 0, false, true},
        {"10.9.2.3", "10.3.0.1", 6, 1, 2, true, false},
        {"10.1.2.3", "10.4.0.1", 6, 1, 2, true, false},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(t); i++) {
        struct dt_ip ip = {.ver = 4, .proto = t[i].proto, .src = addr(t[i].src), .dst = addr(t[i].dst)};
        struct dt_tunnel_ports p = {.sport = t[i].sport, .dport = t[i].dport, .known = t[i].known};
        assert_int_equal(dt_tunnel_selects(&local, &remote, true, &ip, &p), t[i].want);
        /* Inbound it is the same packet the other way round. */
        ip.src = addr(t[i].dst);
        ip.dst = addr(t[i].src);
        p = (struct dt_tunnel_ports){.sport = t[i].dport, .dport = t[i].sport, .known = t[i].known};
        assert_int_equal(dt_tunnel_selects(&local, &remote, false, &ip, &p), t[i].want);
    }
    struct dt_selectors opaque = list("10.2.0.0/16[tcp/opaque]", NULL);
    struct dt_ip ip = {.ver = 4, .proto = 6, .src = addr("10.1.0.1"), .dst = addr("10.2.0.1")};
    struct dt_tunnel_ports later = {.later = true}, first = {.sport = 1, .dport = 2, .known = true};
    assert_true(dt_tunnel_selects(&local, &opaque, true, &ip, &later));
    assert_false(dt_tunnel_selects(&local, &opaque, true, &ip, &first));
    /* A later fragment whose ports the first one has told: OPAQUE is for it all the same. */
    later.known = true;
    assert_true(dt_tunnel_selects(&local, &opaque, true, &ip, &later));
    struct dt_selectors port = list("10.2.0.0/16[tcp/443]", NULL);
    later.dport = 443;
    assert_true(dt_tunnel_selects(&local, &port, true, &ip, &later));
    later.dport = 444;
    assert_false(dt_tunnel_selects(&local, &port, true, &ip, &later));
    later.known = false;
    assert_false(dt_tunnel_selects(&local, &port, true, &ip, &later));
    later.whatever = true;
    assert_true(dt_tunnel_selects(&local, &port, true, &ip, &later));
}

static void mtu(void **state)
{
    static const char *const far[2] = {"192.0.2.1", "2001:db8::1"};
    static const struct dt_suite suites[] = {
        {.encr = DT_ENCR_AES_GCM_16, .key_bits = 128},
        {.encr = DT_ENCR_AES_CBC, .key_bits = 128, .integ = DT_INTEG_HMAC_SHA2_256_128},
    };
    uint8_t key[DT_KEY_MAX] = {0};
    for (size_t s = 0; s < 2; s++) {
        struct dt_esp_params p = {.spi = 300,
                                  .suite = suites[s],
                                  .key = dt_span(key, dt_suite_key_len(&suites[s])),
                                  .integ_key = dt_span(key, dt_suite_integ_len(&suites[s]))};
        struct dt_esp_out *sa = dt_esp_out_new(dt_crypto_openssl(), &p, NULL);
        assert_non_null(sa);
        for (int v = 0; v < 2; v++)
            for (int natt = 0; natt < 2; natt++) {
                struct dt_path path = {.remote.addr = addr(far[v]), .natt = natt};
                for (uint32_t outer = 1400; outer < 1500; outer++) {
                    uint32_t inner = dt_tunnel_inner_mtu(sa, &path, outer, 4);
                    size_t over = dt_tunnel_outer_overhead(&path);
                    assert_true(over + dt_esp_sealed_len(sa, inner) <= outer);
                    assert_true(over + dt_esp_sealed_len(sa, inner + 1) > outer);
                }
                assert_int_equal(dt_tunnel_inner_mtu(sa, &path, 300, 4), 576);
                assert_int_equal(dt_tunnel_inner_mtu(sa, &path, 1300, 6), 1280);
            }
        dt_esp_out_free(sa);
    }
    struct dt_path path = {.remote.addr = addr("192.0.2.1"), .natt = true};
    struct dt_esp_params p = {.spi = 300, .suite = suites[0], .key = dt_span(key, 20)};
    struct dt_esp_out *sa = dt_esp_out_new(dt_crypto_openssl(), &p, NULL);
    assert_int_equal(dt_tunnel_inner_mtu(sa, &path, 1500, 4), 1438); /* 1500 - 20 - 8 - 8 - 8 - 2 - 16 */
    dt_esp_out_free(sa);
}

/* Next header, version and length of the inner packet must agree. */
static void inner(void **state)
{
    uint8_t packet[100];
    struct dt_addr a = addr("10.1.0.1"), b = addr("10.2.0.1");
    struct dt_ip ip;
    struct dt_tunnel_ports ports;
    size_t h = dt_ip_put(packet, &a, &b, 17, 64, 0, 20);
    memset(packet + h, 0, 20);
    dt_put_be16(packet + h, 53);
    dt_put_be16(packet + h + 2, 5353);
    struct dt_esp_pkt k = {.p = packet, .len = 40, .next = 4};
    assert_true(dt_tunnel_inner_parse(&k, &ip, &ports));
    assert_true(ports.known && ports.sport == 53 && ports.dport == 5353);
    k.len = 60; /* traffic flow padding behind the packet */
    assert_true(dt_tunnel_inner_parse(&k, &ip, &ports));
    assert_int_equal(ip.total, 40);
    k.len = 39;
    assert_false(dt_tunnel_inner_parse(&k, &ip, &ports));
    k.len = 40;
    k.next = 41;
    assert_false(dt_tunnel_inner_parse(&k, &ip, &ports));
    k.next = 4;
    k.len = 0;
    assert_false(dt_tunnel_inner_parse(&k, &ip, &ports));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecn_decapsulation),
        cmocka_unit_test(tos_outside),
        cmocka_unit_test(selectors),
        cmocka_unit_test(mtu),
        cmocka_unit_test(inner),
    };
    return TEST_RUN(tests);
}
