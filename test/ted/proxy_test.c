#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "ted/proxy.h"

static void round_trips_as_text(void **state)
{
    static const char *const text[] = {
        "10.11.0.0/16 10.0.0.0/8",       "10.1.0.0/16 192.0.2.1/32 tcp any 443",
        "0.0.0.0/0 0.0.0.0/0 udp",       "10.0.0.5/255.0.0.255 10.2.0.0/16",
        "fd00::/8 2001:db8::/32 icmpv6", "10.0.0.0/8 10.0.0.0/8 sctp 7 8",
        "10.0.0.0/8 10.0.0.0/8 gre",     "10.0.0.0/8 10.0.0.0/8 any any 80",
        "10.0.0.0/8 10.0.0.0/8 253",
    };
    char out[DT_TED_PROXY_STRLEN];
    struct dt_err err = {0};
    for (size_t i = 0; i < DT_ARRAY_LEN(text); i++) {
        struct dt_ted_proxy p;
        assert_int_equal(dt_ted_proxy_parse(&p, text[i], &err), 0);
        assert_string_equal(dt_ted_proxy_str(out, &p), text[i]);
    }
}

static void open_fields_are_any(void **state)
{
    struct dt_ted_proxy p;
    char out[DT_TED_PROXY_STRLEN];
    assert_int_equal(dt_ted_proxy_parse(&p, "any fd00::/8", NULL), 0);
    assert_string_equal(dt_ted_proxy_str(out, &p), "::/0 fd00::/8");
    assert_int_equal(dt_ted_proxy_parse(&p, "any any any any any", NULL), 0);
    assert_string_equal(dt_ted_proxy_str(out, &p), "0.0.0.0/0 0.0.0.0/0");
    /* 0 is how the wire says it. */
    assert_int_equal(dt_ted_proxy_parse(&p, "10.0.0.0/8 any 0 0 0", NULL), 0);
    assert_string_equal(dt_ted_proxy_str(out, &p), "10.0.0.0/8 0.0.0.0/0");
}

/* Spellings of one and the same proxy. */
static void spellings_are_one_proxy(void **state)
{
    static const char *const same[][2] = {
        {"10.1.0.0/16 10.2.3.4 tcp any 80", "10.1.2.3/255.255.0.0 10.2.3.4/32 6 0 80"},
        {"10.1.2.3/255.0.255.0 any", "10.0.2.0/255.0.255.0 0.0.0.0/0"},
        {"fd00::/8 any icmp6", "fd12::/ff00:: ::/0 58"},
        {"fd00::/8 any ICMPv6", "fd00::/8 any ipv6-icmp"},
        {"10.0.0.0/8 Any UDP", "\t10.0.0.0/08  any 17 any any "},
        {"any any ip", "0.0.0.0/0.0.0.0 any any"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(same); i++) {
        struct dt_ted_proxy p, q;
        assert_int_equal(dt_ted_proxy_parse(&p, same[i][0], NULL), 0);
        assert_int_equal(dt_ted_proxy_parse(&q, same[i][1], NULL), 0);
        assert_true(dt_ted_proxy_eq(&p, &q));
    }
}

static void says_what_is_wrong(void **state)
{
    static const char *const bad[][2] = {
        {"10.0.0.0/8", "1 word; "},
        {"10.0.0.0/8 10.0.0.0/8 tcp 1", "4 words"},
        {"10.0.0.0/8 10.0.0.0/8 tcp 1 2 3", "too many words"},
        {"10.0.0.0/33 10.0.0.0/8", "'33' is no mask for 10.0.0.0"},
        {"10.0.0/8 10.0.0.0/8", "'10.0.0' is no address"},
        {"10.0.0.0/8 fd00::/8", "source is IPv4 and destination is IPv6"},
        {"10.0.0.0/ffff:: 10.0.0.0/8", "is no mask"},
        {"10.0.0.0/8 10.0.0.0/8 tpc", "'tpc' is no protocol"},
        {"10.0.0.0/8 10.0.0.0/8 256", "'256' is no protocol"},
        {"10.0.0.0/8 10.0.0.0/8 tcp 1 65536", "'65536' is no port"},
        {"10.0.0.0/8 10.0.0.0/8 icmp 8 0", "icmp has no ports"},
        {"10.0.0.0/8 10.0.0.0/8 50 any 1", "50 has no ports"},
        {"", "0 words"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        struct dt_ted_proxy p;
        struct dt_err err = {0};
        assert_int_equal(dt_ted_proxy_parse(&p, bad[i][0], &err), -1);
        assert_non_null(strstr(err.text, bad[i][1]));
    }
}

/* Against every address of a small space: 8 low bits of an IPv4 address, every mask. */
static void ranges_of_a_mask_with_holes_are_exact(void **state)
{
    struct dt_range r[128];
    for (uint32_t mask = 0; mask < 256; mask++) {
        struct dt_addr m = dt_addr4(0xffffff00u | mask), a = dt_addr4(0x0a000000u | (0xa5 & mask));
        int n = dt_ted_half_ranges(r, 128, &a, &m);
        assert_true(n > 0);
        for (uint32_t x = 0; x < 256; x++) {
            struct dt_addr at = dt_addr4(0x0a000000u | x);
            int in = 0;
            for (int i = 0; i < n; i++)
                in += dt_range_has(&r[i], &at);
            assert_int_equal(in, (x & mask) == (0xa5 & mask));
        }
    }
    struct dt_addr m = dt_addr4(0xff0000ffu), a = dt_addr4(0x0a000001u);
    assert_int_equal(dt_ted_half_ranges(r, 128, &a, &m), -1); /* 2^16 ranges: refused, not cut */
}

static void flipping_twice_changes_nothing(void **state)
{
    struct dt_ted_proxy p, q;
    char out[DT_TED_PROXY_STRLEN];
    assert_int_equal(dt_ted_proxy_parse(&p, "10.1.0.0/16 10.2.0.0/16 tcp 5 80", NULL), 0);
    q = dt_ted_proxy_flip(&p);
    assert_string_equal(dt_ted_proxy_str(out, &q), "10.2.0.0/16 10.1.0.0/16 tcp 80 5");
    q = dt_ted_proxy_flip(&q);
    assert_true(dt_ted_proxy_eq(&p, &q));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_as_text),
        cmocka_unit_test(open_fields_are_any),
        cmocka_unit_test(spellings_are_one_proxy),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(ranges_of_a_mask_with_holes_are_exact),
        cmocka_unit_test(flipping_twice_changes_nothing),
    };
    return TEST_RUN(tests);
}
