#include "support/test.h"

#include "wire/ike_id.h"

static struct dt_ike_id id(const char *text)
{
    struct dt_ike_id i;
    if (dt_ike_id_parse(&i, text))
        fail_msg("%s", text);
    return i;
}

static void types(void **state)
{
    assert_int_equal(id("vpn.example.net").type, DT_ID_FQDN);
    assert_int_equal(id("anna@example.net").type, DT_ID_RFC822_ADDR);
    assert_int_equal(id("192.0.2.1").type, DT_ID_IPV4_ADDR);
    assert_int_equal(id("192.0.2.1").len, 4);
    assert_int_equal(id("2001:db8::1").type, DT_ID_IPV6_ADDR);
    assert_int_equal(id("keyid:0a0b").type, DT_ID_KEY_ID);
    assert_int_equal(id("keyid:0a0b").len, 2);
    assert_int_equal(id("keyid:office").len, 6);
    assert_int_equal(id("fqdn:192.0.2.1").type, DT_ID_FQDN);
    assert_int_equal(id("email:anna").type, DT_ID_RFC822_ADDR);
    assert_int_equal(id("%any").type, DT_ID_ANY);
}

static void bounds(void **state)
{
    struct dt_ike_id i;
    char longest[DT_IKE_ID_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[DT_IKE_ID_MAX + 1] = 0;
    assert_int_equal(dt_ike_id_parse(&i, longest), -1);
    longest[DT_IKE_ID_MAX] = 0;
    assert_int_equal(dt_ike_id_parse(&i, longest), 0);
    assert_int_equal(dt_ike_id_parse(&i, ""), -1);
    assert_int_equal(dt_ike_id_parse(&i, "fqdn:"), -1);
}

static void text(void **state)
{
    char out[DT_IKE_ID_STRLEN];
    static const char *const same[] = {
        "vpn.example.net", "anna@example.net",      "192.0.2.1", "2001:db8::1", "keyid:0a0b", "%any",
        "keyid:office",    "keyid:Anna's 2nd phone"};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct dt_ike_id one = id(same[i]);
        assert_string_equal(dt_ike_id_str(out, &one), same[i]);
    }
    struct dt_ike_id evil = {.type = DT_ID_FQDN, .len = DT_IKE_ID_MAX};
    memset(evil.data, '\n', sizeof(evil.data));
    assert_null(strchr(dt_ike_id_str(out, &evil), '\n'));
    struct dt_ike_id key = {
        .type = DT_ID_KEY_ID, .len = 4, .data = "cafe"}; /* text, but it would be read as hex */
    assert_string_equal(dt_ike_id_str(out, &key), "keyid:63616665");
    struct dt_ike_id again = id(out);
    assert_true(dt_ike_id_eq(&again, &key));
    key.data[0] = '\n';
    assert_string_equal(dt_ike_id_str(out, &key), "keyid:0a616665");
    struct dt_ike_id odd = {.type = 9, .len = 2, .data = {1, 2}};
    assert_string_equal(dt_ike_id_str(out, &odd), "id9:0102");
    struct dt_ike_id short4 = {.type = DT_ID_IPV4_ADDR, .len = 3, .data = {1, 2, 3}};
    assert_string_equal(dt_ike_id_str(out, &short4), "id1:010203");
}

/* The text stands for the identity elsewhere (leases): no two share one. */
static void text_tells_identities_apart(void **state)
{
    static const char *const same[] = {
        "fqdn:192.0.2.1", "fqdn:anna@example.net", "email:anna",    "fqdn:keyid:00", "fqdn:%any",
        "fqdn:fqdn:x",    "fqdn:email:x",          "fqdn:id9:abcd", "id9:abcd",      "fqdn:id1:010203"};
    char out[DT_IKE_ID_STRLEN], other[DT_IKE_ID_STRLEN];
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        struct dt_ike_id one = id(same[i]);
        assert_string_equal(dt_ike_id_str(out, &one), same[i]);
    }
    struct dt_ike_id a = {.type = DT_ID_FQDN, .len = DT_IKE_ID_MAX}, b = a;
    memset(a.data, 1, sizeof(a.data));
    memset(b.data, 1, sizeof(b.data));
    b.data[DT_IKE_ID_MAX - 1] = 2;
    assert_string_not_equal(dt_ike_id_str(out, &a), dt_ike_id_str(other, &b));
}

/* An identity of a type that has no text of its own, and names that look like one. */
static void numbered_types_are_no_names(void **state)
{
    char out[DT_IKE_ID_STRLEN], other[DT_IKE_ID_STRLEN];
    struct dt_ike_id odd = {.type = 9, .len = 2, .data = {0xab, 0xcd}}, read;
    struct dt_ike_id name = {.type = DT_ID_FQDN, .len = 8, .data = "id9:abcd"};
    assert_string_equal(dt_ike_id_str(out, &odd), "id9:abcd");
    assert_string_equal(dt_ike_id_str(other, &name), "fqdn:id9:abcd");
    assert_int_equal(dt_ike_id_parse(&read, out), 0);
    assert_true(dt_ike_id_eq(&read, &odd));
    assert_int_equal(dt_ike_id_parse(&read, other), 0);
    assert_true(dt_ike_id_eq(&read, &name));
    static const char *const names[] = {"id2:61",   "id3:61", "id11:61", "id0:61",
                                        "id256:61", "id9:",   "id9:xy",  "id9"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct dt_ike_id one = id(names[i]);
        assert_int_equal(one.type, DT_ID_FQDN);
        assert_string_equal(dt_ike_id_str(out, &one), names[i]);
    }
}

/* Equal identities have one key and one hash; others have others. */
static void keys(void **state)
{
    static const struct dt_siphash_key key = {{1, 2}};
    char a[DT_IKE_ID_STRLEN], b[DT_IKE_ID_STRLEN];
    static const char *const pairs[][2] = {{"Anna@Example.NET", "anna@example.net"},
                                           {"VPN.example.net", "vpn.example.net"},
                                           {"keyid:0A0B", "keyid:0a0b"}};
    for (size_t i = 0; i < 3; i++) {
        struct dt_ike_id x = id(pairs[i][0]), y = id(pairs[i][1]);
        assert_string_equal(dt_ike_id_key(a, &x), dt_ike_id_key(b, &y));
        assert_true(dt_ike_id_hash(&key, &x) == dt_ike_id_hash(&key, &y));
    }
    static const char *const all[] = {
        "anna@example.net", "fqdn:anna@example.net", "keyid:Anna", "keyid:anna",
        "id9:abcd",         "fqdn:id9:abcd",         "192.0.2.1",  "fqdn:192.0.2.1"};
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; k < i; k++) {
            struct dt_ike_id x = id(all[i]), y = id(all[k]);
            assert_string_not_equal(dt_ike_id_key(a, &x), dt_ike_id_key(b, &y));
            assert_false(dt_ike_id_hash(&key, &x) == dt_ike_id_hash(&key, &y));
        }
}

static void names_with_a_zero_inside(void **state)
{
    struct dt_ike_id a = {.type = DT_ID_FQDN, .len = 3, .data = {'a', 0, 'b'}},
                     b = {.type = DT_ID_FQDN, .len = 3, .data = {'A', 0, 'B'}},
                     c = {.type = DT_ID_FQDN, .len = 3, .data = {'a', 0, 'c'}};
    assert_true(dt_ike_id_eq(&a, &b));
    assert_false(dt_ike_id_eq(&a, &c));
}

static void matching(void **state)
{
    struct dt_ike_id any = id("%any"), star = id("*.example.net"), mail = id("*@example.net"),
                     key = id("keyid:2a2e");
    struct dt_ike_id a = id("Vpn.Example.NET"), b = id("vpn.example.net"), c = id("anna@example.net"),
                     d = id("example.net");
    struct dt_ike_id k = id("keyid:2A2E"), other = id("keyid:2a2f");
    assert_true(dt_ike_id_eq(&a, &b));
    assert_true(dt_ike_id_matches(&any, &a) && dt_ike_id_matches(&any, &k));
    assert_true(dt_ike_id_matches(&star, &a));
    assert_false(dt_ike_id_matches(&star, &c));
    assert_false(dt_ike_id_matches(&star, &d));
    assert_true(dt_ike_id_matches(&mail, &c));
    assert_true(dt_ike_id_matches(&key, &k)); /* octets, not a pattern */
    assert_false(dt_ike_id_matches(&key, &other));
    assert_false(dt_ike_id_matches(&b, &c));
    struct dt_ike_id loose = id("*example.net"), evil = id("evilexample.net"), alone = id("*");
    assert_false(dt_ike_id_matches(&loose, &evil)); /* no pattern */
    assert_false(dt_ike_id_matches(&alone, &evil));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(types),
                                       cmocka_unit_test(bounds),
                                       cmocka_unit_test(text),
                                       cmocka_unit_test(text_tells_identities_apart),
                                       cmocka_unit_test(numbered_types_are_no_names),
                                       cmocka_unit_test(keys),
                                       cmocka_unit_test(names_with_a_zero_inside),
                                       cmocka_unit_test(matching)};
    return TEST_RUN(tests);
}
