/* client sections: whose network is whose, said once, in the file, by line. */
#include "support/test.h"

#include <limits.h>

#include "config/config.h"

#define GATE "gateway \"g\" { identity = vpn.example.net protect = 10.1.0.0/16 secrets = \"file:/x\" "

static int parse(struct dt_config *c, const char *text)
{
    return dt_config_parse(c, text, strlen(text), "test.conf", DT_CONFIG_NO_FILES);
}

/* The only complaint of that kind has this line and says these words. */
static void expect(const char *text, bool warning, unsigned line, const char *what, const char *right)
{
    struct dt_config c;
    assert_int_equal(parse(&c, text), warning ? 0 : -1);
    assert_int_equal(warning ? c.warnings : c.errors, 1);
    for (size_t i = 0; i < c.nissue; i++)
        if (c.issue[i].warning == warning &&
            (c.issue[i].line != line || !strstr(c.issue[i].text, what) || !strstr(c.issue[i].text, right)))
            fail_msg("wanted line %u \"%s\" ... \"%s\", got line %u \"%s\"", line, what, right,
                     c.issue[i].line, c.issue[i].text);
    dt_config_free(&c);
}

static const char *brings(const struct dt_config_gateway *g, const char *who)
{
    static char text[4][200];
    static unsigned k;
    struct dt_selectors list = {0};
    struct dt_ike_id id;
    dt_ike_id_parse(&id, who);
    dt_config_gateway_networks(g, &id, &list);
    return dt_selectors_str(text[k++ % 4], sizeof(text[0]), &list);
}

static void each_identity_has_its_networks(void **state)
{
    struct dt_config c;
    struct dt_ike_id id;
    assert_int_equal(parse(&c,
                           GATE "}\n"
                                "client \"north.example.net\" { psk = \"file:/n\" networks = 10.2.0.0/16 }\n"
                                "client \"South.example.net\" { networks = { 10.3.0.0/16, fd03::/64 } }\n"
                                "client \"*.example.org\" { psk = \"file:/o\" networks = 10.4.0.0/16 }\n"),
                     0);
    assert_int_equal(c.warnings, 0);
    const struct dt_config_gateway *g = &c.gateway[0];
    assert_string_equal(brings(g, "north.example.net"), "10.2.0.0/16");
    assert_string_equal(brings(g, "south.example.net"), "10.3.0.0/16, fd03::/64");
    assert_string_equal(brings(g, "west.example.org"), "10.4.0.0/16");
    assert_string_equal(brings(g, "east.example.net"), "nothing");
    assert_string_equal(dt_selectors_str((char[200]){0}, 200, &g->cfg.remote),
                        "10.2.0.0/16, 10.3.0.0/16, fd03::/64, 10.4.0.0/16"); /* routes are made of it */
    dt_ike_id_parse(&id, "north.example.net");
    assert_ptr_equal(dt_config_gateway_psk(g, &id), &g->client[0].psk);
    dt_ike_id_parse(&id, "south.example.net");
    assert_null(dt_config_gateway_psk(g, &id));
    dt_config_free(&c);
}

static void a_section_may_be_one_gateways(void **state)
{
    struct dt_config c;
    static const char two[] = GATE "pool = 10.9.0.0/24 }\n"
                                   "gateway \"h\" { identity = h.example.net protect = 10.1.0.0/16 psk = "
                                   "\"file:/x\" pool = 10.8.0.0/24 peers = b.example.net }\n"
                                   "client \"a.example.net\" { gateway = g networks = 10.2.0.0/16 }\n"
                                   "client \"a.example.net\" { gateway = h networks = 10.2.0.0/16 }\n";
    assert_int_equal(parse(&c, two), 0);
    assert_int_equal(c.gateway[0].nclient, 1);
    assert_int_equal(c.gateway[1].nclient, 1);
    dt_config_free(&c);
    expect(GATE "}\nclient \"a\" { gateway = x networks = 10.2.0.0/16 }\n"
                "client \"b\" { networks = 10.3.0.0/16 }\n",
           false, 2, "no gateway \"x\"", "here");
}

static void remote_alone_is_one_clients(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, GATE "remote = 10.2.0.0/16 peers = anna@example.net }\n"), 0);
    assert_string_equal(brings(&c.gateway[0], "anna@example.net"), "10.2.0.0/16");
    assert_string_equal(brings(&c.gateway[0], "ben@example.net"), "nothing");
    dt_config_free(&c);
    expect(GATE "\nremote = 10.2.0.0/16 }\n", false, 2, "listed for nobody", "client \"IDENTITY\"");
    expect(GATE "\nremote = 10.2.0.0/16\npeers = \"*.example.net\" }\n", false, 2, "listed for nobody",
           "peers = \"IDENTITY\"");
}

static void a_network_is_one_clients(void **state)
{
    expect(GATE "}\nclient \"a\" { networks = 10.2.0.0/16 }\nclient \"b\" {\nnetworks = { 10.7.0.0/16, "
                "10.2.128.0/17 } }\n",
           false, 4, "10.2.128.0/17 is claimed twice", "client \"a\" (line 2) has 10.2.0.0/16");
    expect(GATE "}\nclient \"a\" { networks = 10.2.0.0/24 }\nclient \"b\" { networks = "
                "10.0.0.0/8 }\nclient \"c\" { networks = 11.0.0.0/8 }\n",
           false, 3, "claimed twice", "client \"a\"");
    expect(GATE "}\nclient \"a\" { networks = 10.2.0.0/16 }\nclient \"A\" { networks = 10.3.0.0/16 }\n",
           false, 3, "stands in line 2 already", "A");
    expect(GATE "}\nclient \"keyid:Site\" { networks = 10.2.0.0/16 }\n"
                "client \"keyid:sITE\" { networks = 10.3.0.0/16 }\n" /* octets: somebody else */
                "client \"keyid:Site\" { networks = 10.4.0.0/16 }\n",
           false, 4, "stands in line 2 already", "keyid:Site");
    expect(GATE "pool = 10.9.0.0/16 }\nclient \"a\" { networks = 10.9.3.0/24 }\n", false, 2,
           "10.9.3.0/24 overlaps pool 10.9.0.0/16", "\"g\"");
    expect(GATE "remote = 10.2.0.0/15 }\nclient \"a\" { networks = 10.4.0.0/16 }\n", false, 2,
           "10.4.0.0/16 is not within remote", "10.2.0.0/15");
}

static void fixed_addresses(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, GATE "pool = { 10.9.0.0/16, fd09::/64 } }\n"
                                    "client \"a\" { inside = { 10.9.0.7, fd09::7 } }\n"),
                     0);
    assert_int_equal(c.gateway[0].client[0].inside[0].ver, 4);
    assert_int_equal(c.gateway[0].client[0].inside[1].ver, 6);
    dt_config_free(&c);
    expect(GATE "pool = 10.9.0.0/16 }\nclient \"a\" { inside = 10.8.0.7 }\n", false, 2,
           "10.8.0.7 is in no pool", "\"g\"");
    expect(GATE "pool = 10.9.0.0/16 }\nclient \"*@a\" { inside = 10.9.0.7 }\n", false, 2, "is a pattern",
           "one client's");
}

static void secrets_that_are_everybodys(void **state)
{
    static const char one_for_all[] =
        "gateway \"g\" { identity = a protect = 10.1.0.0/16 psk = \"file:/x\" pool = 10.9.0.0/16 }\n";
    expect(one_for_all, true, 1, "psk is one secret for all", "secrets or client sections");
    expect("gateway \"g\" { identity = a protect = 10.1.0.0/16 psk = \"file:/x\" }\n"
           "client \"b\" { networks = 10.2.0.0/16 }\n",
           true, 2, "has no secret of its own", "take its networks");
    expect("gateway \"g\" { identity = a protect = 10.1.0.0/16 }\n"
           "client \"b\" { networks = 10.2.0.0/16 }\n",
           false, 1, "has no secret", "client \"IDENTITY\" { psk = ... }");
    struct dt_config c; /* for one client, a secret is its own */
    assert_int_equal(parse(&c, "gateway \"g\" { identity = a protect = 10.1.0.0/16 psk = \"file:/x\" pool = "
                               "10.9.0.0/16 peers = anna@example.net }\n"),
                     0);
    assert_int_equal(c.warnings, 0);
    dt_config_free(&c);
}

static void a_pool_is_one_gateways(void **state)
{
    expect("gateway \"g\" { identity = a protect = 10.1.0.0/16 secrets = \"file:/x\" pool = 10.9.0.0/16 }\n"
           "gateway \"h\" { identity = b protect = 10.1.0.0/16 secrets = \"file:/x\"\npool = 10.9.8.0/24 }\n",
           false, 3, "10.9.8.0/24 overlaps 10.9.0.0/16 of gateway \"g\" in line 1", "one address");
    expect(
        "gateway \"g\" { identity = a protect = 10.1.0.0/16 secrets = \"file:/x\" listen = 10.9.3.1\npool = "
        "10.9.0.0/16 }\n",
        false, 2, "holds 10.9.3.1", "gateway \"g\" listens");
}

static void check_here(const char *pool, const char *here, bool proxy_arp, const char *what)
{
    char text[300];
    struct dt_config c;
    struct dt_config_network net = {.ifname = "eth1", .proxy_arp = proxy_arp};
    snprintf(text, sizeof(text), GATE "\npool = %s }\n", pool);
    assert_int_equal(parse(&c, text), 0);
    char *slash = strchr(here, '/');
    snprintf(text, sizeof(text), "%.*s", (int)(slash - here), here);
    assert_int_equal(dt_addr_parse(&net.prefix.addr, text), 0);
    net.prefix.len = (uint8_t)atoi(slash + 1);
    if (dt_config_check_networks(&c, &net, 1) != (what != NULL))
        fail_msg("pool %s at %s", pool, here);
    if (what) {
        assert_int_equal(c.issue[c.nissue - 1].line, 2);
        assert_non_null(strstr(c.issue[c.nissue - 1].text, what));
        assert_non_null(strstr(c.issue[c.nissue - 1].text, "eth1"));
    }
    dt_config_free(&c);
}

static void a_pool_is_not_the_hosts_network(void **state)
{
    check_here("10.1.4.0/24", "10.1.0.1/16", false, "lies in this host's own network 10.1.0.0/16");
    check_here("10.0.0.0/8", "10.1.0.1/16", false, "holds this host's own network 10.1.0.0/16");
    check_here("10.1.0.0/16", "10.1.0.1/16", false, "lies in");
    check_here("fd01::100/120", "fd01::1/64", false, "lies in this host's own network fd01::/64");
    check_here("10.1.4.0/24", "10.1.0.1/16", true, NULL); /* it answers for the clients */
    check_here("10.9.0.0/16", "10.1.0.1/16", false, NULL);
    check_here("10.9.0.0/16", "10.9.0.1/32", false, "holds");
}

static void a_changed_client_changes_its_gateway(void **state)
{
    struct dt_config a, b, d;
    assert_int_equal(parse(&a, GATE "}\nclient \"a\" { networks = 10.2.0.0/16 }\n"), 0);
    assert_int_equal(parse(&b, GATE "}\nclient \"a\" { networks = 10.2.0.0/16 }\n"), 0);
    assert_int_equal(parse(&d, GATE "}\nclient \"a\" { networks = 10.2.0.0/17 }\n"), 0);
    assert_true(dt_config_gateway_same(&a.gateway[0], &b.gateway[0]));
    assert_false(dt_config_gateway_same(&a.gateway[0], &d.gateway[0]));
    dt_config_free(&a);
    dt_config_free(&b);
    dt_config_free(&d);
}

static bool among(const struct dt_config_gateway *g, const struct dt_ike_id *peer,
                  const struct dt_config_psk *psk)
{
    const struct dt_config_psk *first = NULL;
    for (size_t i = 0; i < g->nclient; i++)
        if (g->client[i].psk.len > 0 && g->client[i].id.type != DT_ID_ANY &&
            dt_ike_id_eq(&g->client[i].id, peer))
            return psk == &g->client[i].psk;
    unsigned line = UINT_MAX; /* of patterns the first in the file */
    for (size_t i = 0; i < g->nclient; i++)
        if (g->client[i].psk.len > 0 && dt_ike_id_matches(&g->client[i].id, peer) &&
            g->client[i].line < line) {
            first = &g->client[i].psk;
            line = g->client[i].line;
        }
    return psk == (first != NULL ? first : g->psk.len > 0 ? &g->psk : NULL);
}

/* Whoever looks a client up finds what a look at each section finds. */
static void the_right_one_of_many_is_found(void **state)
{
    static char text[256 * 1024];
    static const char *const odd[] = {"*@x.example.net", "*@example.net", "*.example.net", "203.0.113.9",
                                      "keyid:abc"};
    struct dt_config c;
    struct dt_ike_id id;
    char who[64];
    size_t n = (size_t)snprintf(text, sizeof(text), GATE "psk = shared-by-everybody pool = 10.9.0.0/16 }\n");
    for (int i = 0; i < 400; i++) {
        if (i % 100 == 50)
            n += (size_t)snprintf(text + n, sizeof(text) - n,
                                  "client \"%s\" { psk = pattern-%d-long-enough }\n", odd[i / 100], i);
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "client \"%s%d@%sexample.net\" { %s%d%s inside = 10.9.%d.%d }\n",
                              i % 2 ? "Anna" : "bert", (i * 7919) % 400, i % 3 ? "" : "x.",
                              i % 5 ? "psk = secret-of-" : "networks = 10.77.", i % 5 ? i : i % 250,
                              i % 5     ? "-long-enough"
                              : i < 250 ? ".0/24"
                                        : ".128/25",
                              1 + i / 200, 1 + i % 200);
    }
    int rc = dt_config_parse(&c, text, n, "test.conf", DT_CONFIG_NO_FILES);
    const struct dt_config_gateway *g = &c.gateway[0];
    assert_true(rc == 0 || c.errors > 0); /* overlaps of networks are no matter here */
    assert_int_equal(g->nclient, 404);
    for (int i = 0; i < 2000; i++) {
        snprintf(who, sizeof(who), "%s%d@%sexample.net", i % 3 ? "ANNA" : "bert", (i * 31) % 450,
                 i % 4 ? "" : "x.");
        dt_ike_id_parse(&id, who);
        assert_true(among(g, &id, dt_config_gateway_psk(g, &id)));
        const struct dt_config_client *own = dt_config_gateway_client(g, &id);
        for (size_t k = 0; k < g->nclient; k++)
            if (dt_ike_id_eq(&g->client[k].id, &id))
                assert_ptr_equal(own, &g->client[k]);
    }
    for (size_t k = 0; k < g->nclient; k++)
        if (g->client[k].inside[0].ver != 0)
            assert_ptr_equal(dt_config_gateway_fixed(g, &g->client[k].inside[0]), &g->client[k]);
    struct dt_addr nobodys = dt_addr4(0x0a090501);
    assert_null(dt_config_gateway_fixed(g, &nobodys));
    dt_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_identity_has_its_networks),
        cmocka_unit_test(a_section_may_be_one_gateways),
        cmocka_unit_test(remote_alone_is_one_clients),
        cmocka_unit_test(a_network_is_one_clients),
        cmocka_unit_test(fixed_addresses),
        cmocka_unit_test(secrets_that_are_everybodys),
        cmocka_unit_test(a_pool_is_one_gateways),
        cmocka_unit_test(a_pool_is_not_the_hosts_network),
        cmocka_unit_test(a_changed_client_changes_its_gateway),
        cmocka_unit_test(the_right_one_of_many_is_found),
    };
    return TEST_RUN(tests);
}
