#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "ted/proxy.h"

/* Over a small space: the selectors take exactly the packets that the proxy holds. */
static void they_take_what_the_proxy_holds(void **state)
{
    static const uint8_t protocols[] = {0, 1, 6, 17};
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("they_take_what_the_proxy_holds"));
    struct dt_rand rnd = dt_prng_rand(&prng);
    int refused = 0;
    for (int i = 0; i < 150; i++) {
        struct dt_ted_proxy p = {.ver = 4, .protocol = protocols[dt_rand_below(&rnd, 4)]};
        struct dt_selectors src, dst;
        struct dt_err err = {0};
        if (p.protocol != 1) {
            p.sport = (uint16_t)(dt_rand_below(&rnd, 2) ? 0 : 1 + dt_rand_below(&rnd, 2));
            p.dport = (uint16_t)(dt_rand_below(&rnd, 2) ? 0 : 1 + dt_rand_below(&rnd, 2));
        }
        p.src_mask = dt_addr4(0xfffffff0u | (uint32_t)dt_rand_below(&rnd, 16));
        p.dst_mask = dt_addr4(0xfffffff0u | (uint32_t)dt_rand_below(&rnd, 16));
        p.src = dt_addr4(0x0a000000u | (uint32_t)dt_rand_below(&rnd, 16));
        p.dst = dt_addr4(0x0a000000u | (uint32_t)dt_rand_below(&rnd, 16));
        assert_int_equal(dt_ted_proxy_normal(&p, NULL), 0);
        if (dt_ted_proxy_selectors(&src, &dst, &p, &err) != 0) {
            assert_int_equal(p.protocol, 0); /* up to 8 ranges a side: only times five are they too many */
            assert_true(p.sport || p.dport);
            assert_non_null(strstr(err.text, "with a port of any protocol is more than 3 ranges"));
            refused++;
            continue;
        }
        for (size_t n = 0; n < src.n + dst.n; n++) { /* RFC 7296 section 3.13.1: no port without a protocol */
            const struct dt_selector *s = n < src.n ? &src.v[n] : &dst.v[n - src.n];
            assert_true(s->proto || (s->port_from == 0 && s->port_to == DT_PORT_LAST));
        }
        for (uint32_t n = 0; n < 16 * 16 * 3 * 3 * 3; n++) {
            struct dt_ted_packet t = {.src = dt_addr4(0x0a000000u | (n & 15)),
                                      .dst = dt_addr4(0x0a000000u | (n >> 4 & 15)),
                                      .protocol = protocols[1 + n / 256 % 3]};
            if (dt_ted_has_ports(t.protocol)) {
                t.sport = (uint16_t)(1 + n / 768 % 3);
                t.dport = (uint16_t)(1 + n / 2304);
            }
            if (dt_ted_proxy_has(&p, &t) != (dt_selectors_has(&src, &t.src, t.protocol, t.sport) &&
                                             dt_selectors_has(&dst, &t.dst, t.protocol, t.dport)))
                fail_msg("packet %u of proxy %d", n, i);
        }
    }
    assert_in_range(refused, 1, 100);
}

static void a_list_in_parts_carries_the_whole(void **state)
{
    struct dt_selectors whole = {0}, parts = {0};
    struct dt_selector s;
    assert_int_equal(dt_selector_parse(&s, "10.6.0.0/16[udp]"), 0);
    dt_selectors_add(&whole, &s);
    assert_int_equal(dt_selector_parse(&s, "10.6.1.0/24[udp]"), 0);
    dt_selectors_add(&parts, &s);
    assert_false(dt_ted_selectors_carry(&parts, &whole));
    dt_selectors_add(&parts, &whole.v[0]);
    assert_true(dt_ted_selectors_carry(&parts, &whole));
    assert_true(dt_ted_selectors_carry(&whole, &parts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_take_what_the_proxy_holds),
        cmocka_unit_test(a_list_in_parts_carries_the_whole),
    };
    return TEST_RUN(tests);
}
