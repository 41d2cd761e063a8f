#include "support/test.h"

#include "base/addr.h"
#include "base/bytes.h"
#include "base/rand.h"

static void parses_and_prints(void **state)
{
    static const char *const good[] = {"192.0.2.1", "0.0.0.0", "255.255.255.255", "::", "2001:db8::1"};
    char text[DT_ADDR_STRLEN];
    struct dt_addr a;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(dt_addr_parse(&a, good[i]), 0);
        assert_string_equal(dt_addr_str(text, &a), good[i]);
    }
    static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", "g::", "1.2.3.4/8"};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(dt_addr_parse(&a, bad[i]), -1);
}

static void prefixes_refuse_host_bits(void **state)
{
    struct dt_prefix p;
    char text[DT_PREFIX_STRLEN];
    assert_int_equal(dt_prefix_parse(&p, "10.1.2.3/8", false), -1);
    assert_int_equal(dt_prefix_parse(&p, "10.1.2.3/8", true), 0);
    assert_string_equal(dt_prefix_str(text, &p), "10.0.0.0/8");
    assert_int_equal(dt_prefix_parse(&p, "10.1.2.3", false), 0);
    assert_int_equal(p.len, 32);
    static const char *const bad[] = {"10.0.0.0/",   "10.0.0.0/33", "10.0.0.0/-1",
                                      "10.0.0.0/8x", "::/129",      "/8"};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(dt_prefix_parse(&p, bad[i], true), -1);
}

static void ranges_intersect_like_sets(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("ranges_intersect_like_sets"));
    struct dt_rand r = dt_prng_rand(&prng);
    for (int i = 0; i < 20000; i++) {
        uint32_t v[4];
        for (int k = 0; k < 4; k++)
            v[k] = (uint32_t)dt_rand_below(&r, 16);
        struct dt_range a = {dt_addr4(v[0] < v[1] ? v[0] : v[1]), dt_addr4(v[0] < v[1] ? v[1] : v[0])};
        struct dt_range b = {dt_addr4(v[2] < v[3] ? v[2] : v[3]), dt_addr4(v[2] < v[3] ? v[3] : v[2])}, both;
        bool any = dt_range_intersect(&both, &a, &b), seen = false;
        for (uint32_t x = 0; x < 16; x++) {
            struct dt_addr at = dt_addr4(x);
            bool in = dt_range_has(&a, &at) && dt_range_has(&b, &at);
            seen |= in;
            assert_int_equal(any && dt_range_has(&both, &at), in);
        }
        assert_int_equal(any, seen);
    }
}

static void a_range_knows_its_prefix(void **state)
{
    struct dt_range r;
    struct dt_prefix p;
    char text[DT_PREFIX_STRLEN];
    assert_int_equal(dt_range_parse(&r, "10.9.0.0-10.9.255.255"), 0);
    assert_true(dt_range_prefix(&r, &p));
    assert_string_equal(dt_prefix_str(text, &p), "10.9.0.0/16");
    assert_int_equal(dt_range_parse(&r, "10.9.0.1-10.9.255.255"), 0);
    assert_false(dt_range_prefix(&r, &p));
    assert_int_equal(dt_range_parse(&r, "10.9.0.1-10.9.0.0"), -1);
    assert_int_equal(dt_range_parse(&r, "10.9.0.1-::1"), -1);
    assert_int_equal(dt_range_parse(&r, "::/0"), 0);
    assert_true(dt_range_prefix(&r, &p));
    assert_int_equal(p.len, 0);
}

static void next_and_prev_stop_at_the_ends(void **state)
{
    struct dt_addr a = dt_addr4(0xffffffff);
    assert_false(dt_addr_next(&a));
    assert_int_equal(dt_addr4_host(&a), 0xffffffff);
    assert_true(dt_addr_prev(&a));
    assert_int_equal(dt_addr4_host(&a), 0xfffffffe);
    a = dt_addr4(0);
    assert_false(dt_addr_prev(&a));
    assert_true(dt_addr_next(&a));
    assert_int_equal(dt_addr4_host(&a), 1);
    a = dt_addr4(0x0a0000ff);
    assert_true(dt_addr_next(&a));
    assert_int_equal(dt_addr4_host(&a), 0x0a000100);
    assert_true(dt_addr_prev(&a));
    assert_int_equal(dt_addr4_host(&a), 0x0a0000ff);
}

static void an_address_has_its_network(void **state)
{
    static const char *const pair[][2] = {
        {"10.1.2.3/16", "10.1.0.0/16"}, {"10.1.2.3/32", "10.1.2.3/32"},
        {"10.1.2.3/0", "0.0.0.0/0"},    {"192.168.7.130/25", "192.168.7.128/25"},
        {"fd01::1:2/64", "fd01::/64"},  {"fd01:2:3:ffff::1/49", "fd01:2:3:8000::/49"},
        {"fd01::7/128", "fd01::7/128"}};
    for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
        struct dt_prefix p, want;
        char text[64];
        snprintf(text, sizeof text, "%s", pair[i][0]);
        char *slash = strchr(text, '/');
        *slash = 0;
        assert_int_equal(dt_addr_parse(&p.addr, text), 0);
        p = dt_prefix_network(&p.addr, (uint8_t)atoi(slash + 1));
        assert_int_equal(dt_prefix_parse(&want, pair[i][1], false), 0);
        assert_true(dt_addr_eq(&p.addr, &want.addr) && p.len == want.len);
    }
}

static void ranges_as_prefixes(void **state)
{
    static const struct {
        const char *range, *want;
    } cases[] = {
        {"10.0.0.0-10.0.0.255", "10.0.0.0/24 "},
        {"0.0.0.0-255.255.255.255", "0.0.0.0/0 "},
        {"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0 "},
        {"10.0.0.1-10.0.0.6", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32 "},
        {"255.255.255.255-255.255.255.255", "255.255.255.255/32 "},
        {"fd00::-fd00::2", "fd00::/127 fd00::2/128 "},
    };
    (void)state;
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct dt_range r;
        struct dt_prefix p[8];
        char text[512] = "", one[DT_PREFIX_STRLEN];
        bool all;
        assert_int_equal(dt_range_parse(&r, cases[i].range), 0);
        size_t n = dt_range_prefixes(&r, p, 8, &all);
        assert_true(all);
        for (size_t k = 0; k < n; k++)
            strcat(strcat(text, dt_prefix_str(one, &p[k])), " ");
        assert_string_equal(text, cases[i].want);
    }
    struct dt_range r;
    struct dt_prefix p[2];
    bool all;
    dt_range_parse(&r, "10.0.0.1-10.0.0.6");
    assert_int_equal(dt_range_prefixes(&r, p, 2, &all), 2);
    assert_false(all);
}

/* An address of one link is another one on another link; what is no such address has no scope. */
static void a_scope_is_part_of_an_address(void **state)
{
    struct dt_addr a, b, global;
    struct dt_prefix link;
    char text[DT_ADDR_STRLEN];
    dt_addr_parse(&a, "fe80::1");
    dt_addr_parse(&global, "2001:db8::1");
    b = a;
    dt_addr_set_scope(&b, 0x7ffffff1);
    dt_addr_set_scope(&global, 3);
    assert_int_equal(dt_addr_scope(&global), 0);
    assert_int_equal(dt_addr_scope(&b), 0x7ffffff1);
    assert_false(dt_addr_eq(&a, &b));
    assert_true(dt_addr_means(&a, &b));
    assert_false(dt_addr_means(&b, &a));
    assert_string_equal(dt_addr_str(text, &b), "fe80::1%2147483633");
    dt_addr_set_scope(&b, 1);
    assert_string_equal(dt_addr_str(text, &b), "fe80::1%lo");
    assert_int_equal(dt_prefix_parse(&link, "fe80::/10", false), 0);
    assert_true(dt_prefix_has(&link, &b));
    struct dt_addrport at = {b, 4501};
    char full[DT_ADDRPORT_STRLEN];
    assert_string_equal(dt_addrport_str(full, &at), "[fe80::1%lo]:4501");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_its_network),    cmocka_unit_test(ranges_as_prefixes),
        cmocka_unit_test(a_scope_is_part_of_an_address), cmocka_unit_test(parses_and_prints),
        cmocka_unit_test(prefixes_refuse_host_bits),     cmocka_unit_test(ranges_intersect_like_sets),
        cmocka_unit_test(a_range_knows_its_prefix),      cmocka_unit_test(next_and_prev_stop_at_the_ends),
    };
    return TEST_RUN(tests);
}
