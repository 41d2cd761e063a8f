/* discover sections: what is read, what is refused, and how it is said. */
#include "support/test.h"

#include "config/config.h"

static bool says(const struct dt_config *c, const char *what)
{
    for (size_t i = 0; i < c->nissue; i++)
        if (strstr(c->issue[i].text, what) != NULL)
            return true;
    return false;
}

static int parse(struct dt_config *c, const char *text)
{
    return dt_config_parse(c, text, strlen(text), "test.conf", DT_CONFIG_NO_FILES);
}

static void three_settings_are_enough(void **state)
{
    struct dt_config c;
    char text[DT_TED_PROXY_STRLEN];
    assert_int_equal(
        parse(&c, "discover \"sites\" {\n protect = \"10.1.0.0/16 10.0.0.0/8 tcp any 80\"\n identity = "
                  "west.example.net\n psk = \"file:/x\"\n}\n"),
        0);
    assert_int_equal(c.ndiscover, 1);
    const struct dt_config_discover *d = &c.discover[0];
    assert_string_equal(d->rule.name, "sites");
    assert_int_equal(d->rule.count, 1);
    assert_string_equal(dt_ted_proxy_str(text, &d->rule.proxy[0]), "10.1.0.0/16 10.0.0.0/8 tcp any 80");
    assert_true(d->hold && d->gate.cfg.probe);
    assert_int_equal(d->params.tries, 4);
    dt_config_free(&c);
}

static void peers_and_their_networks(void **state)
{
    struct dt_config c;
    assert_int_equal(
        parse(
            &c,
            "discover d { protect = { \"10.1.0.0/16 any\", \"fd01::/64 any udp\" } identity = w.example.net "
            "psk = \"file:/x\" hold = no idle = 2min remember = 5s\n"
            "peers = { \"*.example.net 10.0.0.0/8,fd00::/8\", \"lab.example.org\" } }\n"),
        0);
    const struct dt_config_discover *d = &c.discover[0];
    assert_int_equal(d->npeer, 2);
    assert_int_equal(d->peer[0].remote.n, 2);
    assert_int_equal(d->peer[1].remote.n, 0);
    assert_false(d->hold);
    assert_true(d->idle == 120 * DT_SEC && d->params.negative_ttl == 5 * DT_SEC);
    assert_int_equal(d->rule.proxy[1].ver, 6);
    dt_config_free(&c);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"discover d { identity = a.b psk = x }", "has no protect; protect = { \"10.1.0.0/16 10.0.0.0/8\" }"},
        {"discover d { protect = \"10.1.0.0/16 any\" psk = x }", "has no identity"},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a.b }", "has no secret"},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a@b.c psk = x }", "is a domain name"},
        {"discover d { protect = \"10.1.0.0/33 any\" identity = a.b psk = x }", "is no mask"},
        {"discover d { protect = \"10.1.0.0/16 fd00::/8\" identity = a.b psk = x }",
         "both sides of a proxy are of one version"},
        {"discover d { protect = \"10.0.1.0/255.0.255.0 any\" identity = a.b psk = x }",
         "more than 16 ranges"},
        {"discover d { protect = \"10.0.1.0/255.252.255.0 any any 80 any\" identity = a.b psk = x }",
         "10.0.1.0/255.252.255.0 with a port of any protocol is more than 3 ranges"},
        {"discover d { protect = \"10.1.0.0/16 any icmp 8 0\" identity = a.b psk = x }", "icmp has no ports"},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = x peers = \"*.a bad\" }",
         "\"bad\" is no network"},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = x protekt = y }",
         "did you mean \"protect\""},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = x }\n"
         "discover e { protect = \"10.2.0.0/16 any\" psk = y }",
         "psk belongs to the host"},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = x }\n"
         "discover e { protect = \"10.2.0.0/16 any\" remember = 5s }",
         "remember belongs to the host: it stands in the first discover section (line 1)"},
        {"discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = x }\n"
         "discover d { protect = \"10.2.0.0/16 any\" }",
         "there is a discover section \"d\" in line 1 already"},
        {"discover d { protect = { \"10.4.1.0/255.252.255.0 any\", \"10.8.1.0/255.252.255.0 any\", "
         "\"10.12.1.0/255.252.255.0 any\" } identity = a.b psk = x }\n"
         "discover e { protect = { \"10.16.1.0/255.252.255.0 any\", \"10.20.1.0/24 any\" } }",
         "more than 16 ranges of addresses on one side"},
        {"discover { protect = \"10.1.0.0/16 any\" identity = a.b psk = x }", "has no name"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct dt_config c;
        assert_int_equal(parse(&c, wrong[i].text), -1);
        if (!says(&c, wrong[i].says)) {
            dt_config_print_issues(&c, stdout);
            fail_msg("not said: %s", wrong[i].says);
        }
        dt_config_free(&c);
    }
}

static void equal_files_are_the_same(void **state)
{
    struct dt_config a, b;
    const char *text = "discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = x }\ndiscover e { "
                       "protect = \"10.2.0.0/16 any\" }";
    assert_int_equal(parse(&a, text), 0);
    assert_int_equal(parse(&b, text), 0);
    assert_true(dt_config_discover_same(a.discover, a.ndiscover, b.discover, b.ndiscover));
    assert_false(dt_config_discover_same(a.discover, a.ndiscover, b.discover, 1));
    dt_config_free(&b);
    assert_int_equal(parse(&b, "discover d { protect = \"10.1.0.0/16 any\" identity = a.b psk = y "
                               "}\ndiscover e { protect = \"10.2.0.0/16 any\" }"),
                     0);
    assert_false(dt_config_discover_same(a.discover, a.ndiscover, b.discover, b.ndiscover));
    dt_config_free(&a);
    dt_config_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_settings_are_enough),
        cmocka_unit_test(peers_and_their_networks),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(equal_files_are_the_same),
    };
    return TEST_RUN(tests);
}
