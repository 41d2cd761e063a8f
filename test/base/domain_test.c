#include "support/test.h"

#include "base/bytes.h"
#include "base/domain.h"

static void is_none(const char *text, size_t len)
{
    char out[DT_DOMAIN_MAX + 1] = "x";
    if (dt_domain_clean(out, text, len))
        fail_msg("\"%s\" is a domain", text);
    assert_string_equal(out, "");
}

static void what_is_a_domain(void **state)
{
    static const char *const bad[] = {"",    ".",     "..",     ".a",         "a..b", "a b",
                                      "a\n", "a\x1b", "-x.net", "b\xc3\xa4r", "~.",   "~a",
                                      "a/b", "a;b",   "*.net",  "a..",        "$(x)", "a\x7f"};
    char out[DT_DOMAIN_MAX + 1], longest[DT_DOMAIN_MAX + 2];
    assert_true(dt_domain_clean(out, "Corp.Example.NET.", 17));
    assert_string_equal(out, "corp.example.net");
    assert_true(dt_domain_clean(out, "_x.xn--br-eia", 13));
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++)
        is_none(bad[i], strlen(bad[i]));
    is_none("a\0b", 3);
    memset(longest, 'a', sizeof(longest));
    is_none(longest, 64); /* a label of 64 */
    for (size_t i = 1; i < sizeof(longest); i += 2)
        longest[i] = '.';
    assert_true(dt_domain_clean(out, longest, DT_DOMAIN_MAX));
    is_none(longest, DT_DOMAIN_MAX + 2);
}

static void a_list_has_each_once_and_an_end(void **state)
{
    char list[DT_DOMAINS_CAP] = "", name[64];
    const char *at = list;
    size_t len, n = 0;
    assert_null(dt_domains_next(&at, &len));
    assert_true(dt_domains_ok(list));
    assert_true(dt_domains_add(list, "a.net") && dt_domains_add(list, "b.net") &&
                dt_domains_add(list, "a.net"));
    assert_string_equal(list, "a.net b.net");
    at = list;
    assert_memory_equal(dt_domains_next(&at, &len), "a.net", len);
    assert_memory_equal(dt_domains_next(&at, &len), "b.net", len);
    assert_int_equal(len, 5);
    assert_null(dt_domains_next(&at, &len));
    do
        snprintf(name, sizeof(name), "domain-%zu.example.net", n++);
    while (dt_domains_add(list, name));
    assert_in_range(strlen(list), DT_DOMAINS_CAP - 26, DT_DOMAINS_CAP - 1);
    assert_true(dt_domains_ok(list));
}

static void what_is_no_list(void **state)
{
    static const char *const bad[] = {" ", "a ", " a", "a  b", "A", "a.", "a a", "a\nb", "~."};
    char list[DT_DOMAINS_CAP];
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++) {
        snprintf(list, sizeof(list), "%s", bad[i]);
        assert_false(dt_domains_ok(list));
    }
    memset(list, 'a', sizeof(list));
    assert_false(dt_domains_ok(list)); /* no end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_domain),
        cmocka_unit_test(a_list_has_each_once_and_an_end),
        cmocka_unit_test(what_is_no_list),
    };
    return TEST_RUN(tests);
}
