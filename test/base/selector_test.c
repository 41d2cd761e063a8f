#include "support/test.h"

#include "base/rand.h"
#include "base/selector.h"

static struct dt_selector sel(const char *text)
{
    struct dt_selector s;
    if (dt_selector_parse(&s, text))
        fail_msg("%s", text);
    return s;
}

static void text_comes_back(void **state)
{
    static const char *const same[] = {"10.0.0.0/8",
                                       "10.0.0.1",
                                       "10.0.0.1-10.0.0.9",
                                       "fd00::/8",
                                       "2001:db8::1[tcp]",
                                       "10.0.0.1[udp/53]",
                                       "0.0.0.0/0[icmp/2048]",
                                       "10.0.0.0/8[tcp/80-90]",
                                       "10.0.0.0/8[99]",
                                       "10.0.0.1[tcp/opaque]",
                                       "::/0"};
    char out[DT_SELECTOR_STRLEN];
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct dt_selector s = sel(same[i]);
        assert_string_equal(dt_selector_str(out, &s), same[i]);
    }
}

static void nonsense_is_refused(void **state)
{
    static const char *const bad[] = {
        "",           "10.0.0.0/33",         "10.0.0.1[",        "10.0.0.1[tcp",
        "10.0.0.1[]", "10.0.0.1[tcp/99999]", "10.0.0.1[256]",    "10.0.0.1[tcp/9-8]",
        "10.0.0.1/8", "10.0.0.9-10.0.0.1",   "10.0.0.1[tcp/-1]", "10.0.0.1-::1"};
    struct dt_selector s;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (!dt_selector_parse(&s, bad[i]))
            fail_msg("taken: %s", bad[i]);
}

static void intersections(void **state)
{
    static const struct {
        const char *a, *b, *both; /* NULL: nothing */
    } t[] = {
        {"10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"},
        {"10.0.0.0/8[tcp]", "10.1.0.0/16", "10.1.0.0/16[tcp]"},
        {"10.0.0.0/8[tcp]", "10.0.0.0/8[udp]", NULL},
        {"10.0.0.0/8[tcp/80-90]", "10.0.0.5-10.0.0.9[tcp/85-99]", "10.0.0.5-10.0.0.9[tcp/85-90]"},
        {"10.0.0.0/8[tcp/80]", "10.0.0.0/8[tcp/81]", NULL},
        {"10.0.0.0/8", "11.0.0.0/8", NULL},
        {"10.0.0.0/8", "fd00::/8", NULL},
        {"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp]", "10.0.0.0/8[tcp/opaque]"},
        {"10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/80]", NULL},
        {"10.0.0.0/8[0/80]", "10.0.0.0/8[tcp]", "10.0.0.0/8[tcp/80]"},
        {"10.0.0.0/8[0/80]", "10.0.0.0/8[gre]", NULL}, /* no packet has both */
        {"10.0.0.0/8[0/0-80]", "10.0.0.0/8[gre]", "10.0.0.0/8[gre/0-80]"},
        {"10.0.0.0-10.0.0.7", "10.0.0.4-10.0.0.15", "10.0.0.4/30"},
    };
    char text[DT_SELECTOR_STRLEN];
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct dt_selector a = sel(t[i].a), b = sel(t[i].b), x, y;
        bool ab = dt_selector_intersect(&x, &a, &b), ba = dt_selector_intersect(&y, &b, &a);
        assert_int_equal(ab, t[i].both != NULL);
        assert_int_equal(ba, ab);
        if (!ab)
            continue;
        assert_string_equal(dt_selector_str(text, &x), t[i].both);
        assert_true(dt_selector_eq(&x, &y));
        assert_true(dt_selector_covers(&a, &x) && dt_selector_covers(&b, &x));
    }
}

static struct dt_selector any(struct dt_rand *r)
{
    struct dt_range range = {dt_addr4(dt_rand_u32(r) % 24), {0}};
    range.to = dt_addr4(dt_addr4_host(&range.from) + dt_rand_u32(r) % 12);
    struct dt_selector s = dt_selector_range(&range);
    s.proto = (uint8_t)(dt_rand_u32(r) % 3);
    if (dt_rand_u32(r) % 2) {
        s.port_from = (uint16_t)(dt_rand_u32(r) % 6);
        s.port_to = (uint16_t)(s.port_from + dt_rand_u32(r) % 3);
    }
    return s;
}

/* A packet is in the narrowed list exactly when it is in both, whatever the lists. */
static void narrowing_is_intersection(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("narrowing_is_intersection"));
    struct dt_rand r = dt_prng_rand(&prng);
    for (int run = 0; run < 3000; run++) {
        struct dt_selectors a = {0}, b = {0}, both;
        for (uint32_t n = dt_rand_u32(&r) % 4; n--;) {
            struct dt_selector s = any(&r);
            dt_selectors_add(&a, &s);
        }
        for (uint32_t n = dt_rand_u32(&r) % 4; n--;) {
            struct dt_selector s = any(&r);
            dt_selectors_add(&b, &s);
        }
        bool some = dt_selectors_narrow(&both, &a, &b);
        assert_int_equal(some, both.n > 0);
        for (int k = 0; k < 40; k++) {
            struct dt_addr addr = dt_addr4(dt_rand_u32(&r) % 40);
            uint8_t proto = (uint8_t)(1 + dt_rand_u32(&r) % 2);
            uint16_t port = proto == 2 ? 0 : (uint16_t)(dt_rand_u32(&r) % 9); /* 2, IGMP, has no ports */
            bool want = dt_selectors_has(&a, &addr, proto, port) && dt_selectors_has(&b, &addr, proto, port);
            if (dt_selectors_has(&both, &addr, proto, port) != want) {
                char x[400], y[400], z[900];
                fail_msg("%s with %s gives %s, for %u proto %u port %u", dt_selectors_str(x, 400, &a),
                         dt_selectors_str(y, 400, &b), dt_selectors_str(z, 900, &both), dt_addr4_host(&addr),
                         proto, port);
            }
        }
    }
}

static void lists_are_bounded(void **state)
{
    struct dt_selectors list = {0};
    for (uint32_t i = 0; i < DT_SELECTORS_MAX; i++) {
        struct dt_addr a = dt_addr4(i * 2);
        struct dt_selector s = dt_selector_addr(&a);
        assert_true(dt_selectors_add(&list, &s));
    }
    struct dt_selector again = list.v[3], other = sel("192.0.2.1");
    assert_true(dt_selectors_add(&list, &again)); /* covered already */
    assert_false(dt_selectors_add(&list, &other));
    assert_int_equal(list.n, DT_SELECTORS_MAX);
    char text[40];
    dt_selectors_str(text, sizeof(text), &list); /* cut, not overrun */
    assert_true(strlen(text) < sizeof(text));
}

static void all_of_a_version(void **state)
{
    struct dt_selectors list = {0};
    static const char *const parts[] = {"128.0.0.0/1", "10.0.0.0/8", "::/0[tcp]", "0.0.0.0-127.255.255.255"};
    for (size_t i = 0; i < 4; i++) {
        struct dt_selector s = sel(parts[i]);
        assert_false(dt_selectors_all(&list, 4));
        assert_true(dt_selectors_add(&list, &s));
    }
    assert_true(dt_selectors_all(&list, 4));
    assert_false(dt_selectors_all(&list, 6)); /* a protocol is not all */
    struct dt_selector six = sel("::/0");
    list.v[0] = six;
    assert_true(dt_selectors_all(&list, 6));
}

static void one_protocol_each(void **state)
{
    struct dt_selector s[] = {sel("10.0.0.0/8"), sel("10.0.0.0/8[tcp/443]"), sel("10.0.0.0/8[icmp/2048]"),
                              sel("10.0.0.0/8[tcp/opaque]"), sel("10.0.0.0/8[0/53]")};
    struct dt_selector out[DT_SELECTOR_PROTOS];
    assert_false(dt_selector_is_narrow(&s[0]));
    assert_int_equal(dt_selector_protos(&s[0], out), 1);
    for (size_t i = 1; i < 5; i++)
        assert_true(dt_selector_is_narrow(&s[i]));
    assert_int_equal(dt_selector_protos(&s[1], out), 1);
    assert_true(dt_selector_eq(&out[0], &s[1]));
    for (size_t i = 2; i < 4; i++) { /* types are no ports, and what cannot be known is all */
        assert_int_equal(dt_selector_protos(&s[i], out), 1);
        assert_int_equal(out[0].port_from, 0);
        assert_int_equal(out[0].port_to, DT_PORT_LAST);
        assert_int_equal(out[0].proto, s[i].proto);
    }
    assert_int_equal(dt_selector_protos(&s[4], out), DT_SELECTOR_PROTOS);
    for (size_t i = 0; i < DT_SELECTOR_PROTOS; i++)
        assert_true(out[i].proto != 0 && out[i].port_from == 53 && out[i].port_to == 53);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),   cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(intersections),     cmocka_unit_test(narrowing_is_intersection),
        cmocka_unit_test(lists_are_bounded), cmocka_unit_test(all_of_a_version),
        cmocka_unit_test(one_protocol_each)};
    return TEST_RUN(tests);
}
