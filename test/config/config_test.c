#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

#define CLIENT                                                                                               \
    "tunnel \"office\" {\n"                                                                                  \
    "  gateway = { \"vpn.example.net\", \"203.0.113.9\" }\n"                                                 \
    "  local = \"anna@example.net\"\n"                                                                       \
    "  remote = \"vpn.example.net\"\n"                                                                       \
    "  psk = \"correct horse battery staple\"\n"                                                             \
    "  protect = { \"10.0.0.0/8\", \"fd00::/8\" }\n"

#define SERVER                                                                                               \
    "gateway \"head-office\" {\n"                                                                            \
    "  listen = { \"203.0.113.1\" }\n"                                                                       \
    "  identity = \"vpn.example.net\"\n"                                                                     \
    "  psk = \"correct horse battery staple\"\n"                                                             \
    "  protect = { \"10.1.0.0/16\" }\n"                                                                      \
    "  pool = { \"10.9.0.0/16\", \"fd09::/64\" }\n"

static int parse(struct dt_config *c, const char *text)
{
    return dt_config_parse(c, text, strlen(text), "test.conf", 0);
}

/* The one error in `text` has this line and says these words. */
static void expect(const char *text, unsigned line, const char *what, const char *right)
{
    struct dt_config c;
    assert_int_equal(parse(&c, text), -1);
    const struct dt_config_issue *i = c.issue;
    while (i < c.issue + c.nissue && i->warning)
        i++;
    assert_true(i < c.issue + c.nissue);
    if (i->line != line || strstr(i->text, what) == NULL || strstr(i->text, right) == NULL)
        fail_msg("wanted line %u \"%s\" ... \"%s\", got line %u \"%s\"", line, what, right, i->line, i->text);
    dt_config_free(&c);
}

static void six_settings_make_a_client(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, CLIENT "}\n"), 0);
    assert_int_equal(c.ntunnel, 1);
    const struct dt_config_tunnel *t = &c.tunnel[0];
    assert_string_equal(t->cfg.name, "office");
    assert_int_equal(t->nhost, 2);
    assert_string_equal(t->host[0], "vpn.example.net");
    assert_int_equal(t->cfg.ngateways, 1);
    assert_int_equal(t->psk.len, 28);
    assert_int_equal(t->cfg.protect.n, 2);
    assert_true(t->cfg.inside4 && t->cfg.inside6);
    assert_int_equal(t->cfg.encap, DT_ENCAP_AUTO);
    assert_int_equal(t->start, DT_START_ALWAYS);
    assert_true(t->cfg.params.probe);
    assert_int_equal(c.warnings, 1); /* the secret stands in the file */
    dt_config_free(&c);
}

static void eight_settings_make_a_gateway(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, SERVER "  dns = \"10.1.0.53\"\n}\n"), 0);
    assert_int_equal(c.ngateway, 1);
    assert_true(c.gateway[0].cfg.lease);
    assert_int_equal(c.gateway[0].npool, 2);
    assert_int_equal(c.gateway[0].ndns, 1);
    dt_config_free(&c);
}

static void complains(const char *text, const char *of)
{
    struct dt_config c;
    bool found = false;
    assert_int_equal(parse(&c, text), -1);
    for (size_t i = 0; i < c.nissue; i++)
        found = found || strstr(c.issue[i].text, of) != NULL;
    if (!found)
        fail_msg("no complaint has \"%s\": %s", of, c.nissue ? c.issue[c.nissue - 1].text : "");
    dt_config_free(&c);
}

static void domains_of_a_gateway(void **state)
{
    struct dt_config c;
    char many[2048] = SERVER " dns = 10.1.0.53 domains = {";
    assert_int_equal(
        parse(&c, SERVER " dns = 10.1.0.53 domains = { \"Corp.Example.NET.\", lab.example.net }\n}\n"), 0);
    assert_string_equal(c.gateway[0].domains, "corp.example.net lab.example.net");
    dt_config_free(&c);
    complains(SERVER " dns = 10.1.0.53 domains = \".\"\n}\n", "domains: \".\" is no domain");
    complains(SERVER " dns = 10.1.0.53 domains = \"a b\"\n}\n", "\"a b\" is no domain");
    complains(SERVER " domains = example.net\n}\n", "has domains and no dns");
    for (unsigned i = 0; i < 30; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s domain-%02u.example.net",
                 i > 0 ? "," : "", i);
    snprintf(many + strlen(many), sizeof(many) - strlen(many), " }\n}\n");
    complains(many, "at most 511 octets");
}

static void a_tunnel_without_names(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, CLIENT " dns = no }\n"), 0);
    assert_true(c.tunnel[0].cfg.no_dns);
    dt_config_free(&c);
    assert_int_equal(parse(&c, CLIENT " dns = yes }\n"), 0);
    assert_false(c.tunnel[0].cfg.no_dns);
    dt_config_free(&c);
    complains(CLIENT " dns = 10.1.0.53 }\n", "neither yes nor no");
}

static void optional_settings(void **state)
{
    struct dt_config c;
    assert_int_equal(
        parse(&c,
              "daemon { metrics = 9470 log = debug workers = 2 device = dt0 socket = /tmp/x.sock }\n"
              "nat { t_out = 5s n_out = 20 t_ei = 5min n = 3 }\n" CLIENT
              "  encap = udp probe = 10.0.0.1 server_rekey = accept start = manual mtu = 1300\n"
              "  keylife = 1h rekeymargin = 90s rekeyfuzz = \"50%\" maxidle = 2500ms pingtime = 1s pingtries "
              "= 9\n"
              "  pingtime2 = 1 pingtries2 = 4 timeout = 10s elimit = 2\n"
              "  ike = \"aes256gcm16-prfsha384-ecp384\" esp = { \"aes128gcm16\", chacha20poly1305 }\n}\n"),
        0);
    const struct dt_config_tunnel *t = &c.tunnel[0];
    assert_int_equal(t->cfg.encap, DT_ENCAP_UDP);
    assert_int_equal(t->cfg.probe, DT_PROBE_ADDRESS);
    assert_true(t->cfg.params.server_rekey);
    assert_int_equal(t->start, DT_START_MANUAL);
    assert_int_equal(t->mtu, 1300);
    assert_int_equal(t->cfg.params.keylife, 3600 * DT_SEC);
    assert_int_equal(t->cfg.params.rekeyfuzz, 50);
    assert_int_equal(t->cfg.params.maxidle, 2500 * DT_MSEC);
    assert_int_equal(t->cfg.params.pingtries2, 4);
    assert_int_equal(t->cfg.ike.n, 1);
    assert_int_equal(t->cfg.esp.n, 2);
    assert_int_equal(c.daemon.metrics.port, 9470);
    assert_int_equal(c.daemon.workers, 2);
    assert_int_equal(c.nat.t_ei, 300 * DT_SEC);
    dt_config_free(&c);
}

static void closed_has_three_values(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, CLIENT "}\n" SERVER "}\n"), 0);
    assert_int_equal(c.tunnel[0].closed, DT_CLOSED_WANTED);
    assert_int_equal(c.gateway[0].closed, DT_CLOSED_WANTED);
    dt_config_free(&c);
    assert_int_equal(parse(&c, CLIENT " closed = always }\n" SERVER " closed = no }\n"), 0);
    assert_int_equal(c.tunnel[0].closed, DT_CLOSED_ALWAYS);
    assert_int_equal(c.gateway[0].closed, DT_CLOSED_NO);
    dt_config_free(&c);
    expect(CLIENT "  closed = yes\n}\n", 7, "closed", "wanted, always or no");
}

static void the_daemons_user_is_one(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, CLIENT "}\ndaemon { user = root }\n"), 0);
    assert_string_equal(c.daemon.user, "root");
    dt_config_free(&c);
    expect(CLIENT "}\ndaemon {\n user = no-such-user\n}\n", 9, "user", "useradd --system");
}

static const char *warning_of(const struct dt_config *c, const char *about)
{
    for (size_t i = 0; i < c->nissue; i++)
        if (c->issue[i].warning && strncmp(c->issue[i].text, about, strlen(about)) == 0)
            return c->issue[i].text;
    return NULL;
}

static void a_full_tunnel_has_both_versions(void **state)
{
    struct dt_config c;
#define FULL(protect)                                                                                        \
    "tunnel \"t\" { gateway = 203.0.113.1 local = a.test remote = b.test psk = secret-one-of-sixteen\n"      \
    "protect = " protect "\n}\n"
    assert_int_equal(parse(&c, FULL("0.0.0.0/0")), 0);
    assert_non_null(strstr(warning_of(&c, "protect is all of IPv4"), "RFC 7359"));
    assert_int_equal(c.issue[c.nissue - 1].line, 2);
    dt_config_free(&c);
    assert_int_equal(parse(&c, FULL("{ ::/1, 8000::/1, 10.0.0.0/8 }")), 0);
    assert_non_null(strstr(warning_of(&c, "protect is all of IPv6"), "\"0.0.0.0/0\""));
    dt_config_free(&c);
    assert_int_equal(parse(&c, FULL("{ ::/0, 0.0.0.0/0 }")), 0);
    assert_null(warning_of(&c, "protect is all"));
    dt_config_free(&c);
    assert_int_equal(parse(&c, FULL("{ 10.0.0.0/8, 0.0.0.0/0[tcp] }")), 0);
    assert_null(warning_of(&c, "protect is all"));
    dt_config_free(&c);
}

/* Many tunnels, each with so many prefixes: the first that is too much is named. */
static void what_is_protected_is_bounded(void **state)
{
    struct dt_config c;
    static char text[1 << 20];
    for (int ports = 0; ports < 2; ports++) {
        size_t len = 0;
        for (int i = 0; i < 150; i++) {
            len += (size_t)snprintf(
                text + len, sizeof(text) - len,
                "tunnel \"t%d\" { gateway = 203.0.113.1 local = a.test remote = b.test psk = "
                "secret-one-of-sixteen protect = ",
                i);
            len += (size_t)snprintf(text + len, sizeof(text) - len,
                                    ports ? "10.0.0.1-10.0.0.6[tcp/443] }\n"
                                          : "fd%02x::1-fd%02x:ffff:ffff:ffff:ffff:ffff:ffff:fffe }\n",
                                    i, i);
        }
        assert_int_equal(parse(&c, text), -1);
        assert_int_equal(c.errors, 1);
        const struct dt_config_issue *last = &c.issue[c.nissue - 1]; /* behind more warnings than are kept */
        assert_int_equal(c.nissue, DT_CONFIG_ISSUES_MAX);
        assert_false(last->warning);
        assert_int_equal(last->line, ports ? 512 / 4 + 1 : 32768 / 222 + 1);
        assert_non_null(strstr(last->text, ports ? "more than 512 rules" : "more than 32768 prefixes"));
        dt_config_free(&c);
    }
}

static void a_gateway_may_begin_rekeys(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, SERVER "  server_rekey = no\n}\n"), 0);
    assert_false(c.gateway[0].cfg.params.server_rekey);
    dt_config_free(&c);
    assert_int_equal(parse(&c, SERVER "  server_rekey = yes\n}\n"), 0);
    assert_true(c.gateway[0].cfg.params.server_rekey);
    assert_null(warning_of(&c, "server_rekey"));
    dt_config_free(&c);
    /* 1 s is left when it begins; a negotiation may take 10 s */
    assert_int_equal(parse(&c, SERVER "  server_rekey = yes keylife = 60s rekeymargin = 2s\n}\n"), 0);
    assert_non_null(warning_of(&c, "server_rekey"));
    assert_non_null(strstr(warning_of(&c, "server_rekey"), "rekeymargin = 20s or more"));
    dt_config_free(&c);
    expect(SERVER "  server_rekey = accept\n}\n", 7, "server_rekey", "yes");
}

static void rekeys_of_the_gateway(void **state)
{
    static const struct {
        const char *text;
        bool accept, decline;
    } cases[] = {{"", false, false},
                 {"server_rekey = auto", false, false},
                 {"server_rekey = accept", true, false},
                 {"server_rekey = decline", false, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[1024];
        struct dt_config c;
        snprintf(text, sizeof(text), "%s %s }\n", CLIENT, cases[i].text);
        assert_int_equal(parse(&c, text), 0);
        assert_int_equal(c.tunnel[0].cfg.params.server_rekey, cases[i].accept);
        assert_int_equal(c.tunnel[0].cfg.server_rekey_decline, cases[i].decline);
        dt_config_free(&c);
    }
    expect(CLIENT "  server_rekey = maybe\n}\n", 7, "maybe", "auto, decline or accept");
}

static void a_short_keylife_brings_its_margin(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, CLIENT " keylife = 8s }\n"), 0);
    assert_true(c.tunnel[0].cfg.params.rekeymargin <= 2 * DT_SEC);
    dt_config_free(&c);
    expect(CLIENT " keylife = 8s rekeymargin = 5s }\n", 1, "rekeymargin", "at most 4 s");
}

static const char *warned(const char *text, unsigned line)
{
    static char said[1024];
    struct dt_config c;
    said[0] = 0;
    assert_int_equal(parse(&c, text), 0);
    for (const struct dt_config_issue *i = c.issue; i < c.issue + c.nissue; i++)
        if (i->line == line)
            snprintf(said, sizeof(said), "%s", i->text);
    dt_config_free(&c);
    return said;
}

/* What is never proved is said beforehand, at the line that makes it so, with what is promised then. */
static void unproved_is_said_beforehand(void **state)
{
    assert_non_null(strstr(warned(CLIENT "\nprobe = off\n}\n", 8), "\"unproved\""));
    assert_non_null(
        strstr(warned(CLIENT "\nprobe = off\nkeylife = 1h rekeymargin = 10min }\n", 8), "3000 s"));
    assert_string_equal(warned(CLIENT "\nprobe = auto\n}\n", 8), "");
    assert_non_null(strstr(warned(CLIENT "\nprobe = 192.0.2.1\n}\n", 8), "not asked"));
    assert_string_equal(warned(CLIENT "\nprobe = 10.0.0.1\n}\n", 8), "");
#define NARROW                                                                                               \
    "tunnel \"t\" {\n gateway = 192.0.2.1 local = a remote = b psk = \"0123456789abcdef0123\"\n"             \
    " protect = { \"10.0.0.0/8[udp/4411]\""
    assert_non_null(strstr(warned(NARROW " }\n}\n", 3), "\"unproved\""));
    assert_string_equal(warned(NARROW ", \"10.1.0.0/16[icmp]\" }\n}\n", 3), "");
}

static void complaints(void **state)
{
    expect(CLIENT "  protcet = \"10.0.0.0/8\"\n}\n", 7, "protcet", "did you mean \"protect\"");
    expect(CLIENT "  colour = red\n}\n", 7, "colour", "it has gateway, local");
    expect("tunel \"x\" { }\n", 1, "tunel", "did you mean \"tunnel\"");
    expect("banana \"x\" { }\n", 1, "banana", "tunnel, gateway");
    expect("\n\ntunnel {\n}\n", 3, "no name", "tunnel \"NAME\"");
    expect(CLIENT "  psk = again\n}\n", 7, "psk was set in line 5", "once");
    expect(CLIENT "  encap = tcp\n}\n", 7, "tcp", "auto, esp or udp");
    expect(CLIENT "  probe = maybe\n}\n", 7, "maybe", "auto, off or an address");
    expect(CLIENT "  keylife = soon\n}\n", 7, "soon", "\"8h\"");
    expect(CLIENT "  keylife = 1y\n}\n", 7, "1y", "\"8h\"");
    expect(CLIENT "  pingtries = 0\n}\n", 7, "pingtries", "from 1 to 1000");
    expect(CLIENT "  mtu = { 1, 2 }\n}\n", 7, "mtu has 2 values", "one");
    expect(CLIENT "  esp = rot13\n}\n", 7, "esp", "rot13");
    expect(CLIENT "  inner { }\n}\n", 7, "no section inside", "name = value");
    expect(CLIENT "  inside = \"10.2.0.0/16\"\n}\n", 1, "protects IPv6", "IPv6 prefix in inside");
    expect(CLIENT, 1, "never ends", "}");
    expect(CLIENT "}\n" CLIENT "}\n", 8, "in line 1 already", "another name");
    expect("keylife = 3\n" CLIENT "}\n", 1, "outside of every section", "");
    expect(SERVER "}\ngateway \"b\" {\n}\n", 8, "identity", "identity = ");
    expect("\ngateway \"g\" { identity = a psk = c transport = yes peers = b remote = 10.2.0.0/16 }\n", 2,
           "nothing to protect", "at least one");
}

/* A gateway's name beyond ASCII is looked up as DNS has it; where libidn2 was not there, the complaint says what would be right. */
static void names_beyond_ascii(void **state)
{
    struct dt_config c;
    static const char text[] = "tunnel \"t\" { gateway = { \"B\xc3\xbc"
                               "cher.example\", \"203.0.113.1\" } local = a remote = b "
                               "psk = c protect = 10.0.0.0/8 }\n";
    int rc = parse(&c, text);
#ifdef DT_HAVE_IDN2
    assert_int_equal(rc, 0);
    assert_int_equal(c.tunnel[0].nhost, 2);
    assert_string_equal(c.tunnel[0].host[0], "xn--bcher-kva.example");
    assert_int_equal(c.tunnel[0].cfg.ngateways, 1);
    dt_config_free(&c);
    expect("tunnel \"t\" { gateway = \"\xe2\x80\x8b.\xc3\xbc-\"\n local = a remote = b psk = c protect = "
           "10.0.0.0/8 }\n",
           1, "letters beyond ASCII", "xn--");
#else
    assert_int_equal(rc, -1);
    dt_config_free(&c);
#endif
}

/* What a restart would take over: by name, and not when the same is written in another way. */
static void settings_of_the_start(void **state)
{
    static const struct {
        const char *text, *names;
    } cases[] = {
        {"daemon { log = info workers = 0 }", NULL}, /* 0 workers: no number from 1 on */
        {"daemon { log = info  metrics = \"127.0.0.1:9470\" }", "metrics"},
        {"daemon { ike_port = 500 hold = 64 mtu = 1400 }", ""},
        {"daemon { socket = \"/run/x\" user = root natt_port = 4501 hold = 1 log = debug }",
         "socket, user, log, hold, natt_port"},
        {"daemon { group = adm device = tun9 leases = \":memory:\" keylog = \"/k\" workers = 2 mtu = 1300 ike_port = 501 }",
         "group, device, leases, keylog, workers, mtu, ike_port"},
    };
    struct dt_config before, c;
    char names[160];
    assert_int_equal(dt_config_parse(&before, "", 0, "test", 0), 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        int rc = dt_config_parse(&c, cases[i].text, strlen(cases[i].text), "test", 0);
        assert_int_equal(rc, cases[i].names == NULL ? -1 : 0);
        if (rc == 0) {
            dt_config_daemon_changes(&before.daemon, &c.daemon, names, sizeof(names));
            assert_string_equal(names, cases[i].names);
        }
        dt_config_free(&c);
    }
    dt_config_free(&before);
}

static void a_secret_in_the_file_says_where_it_should_be(void **state)
{
    struct dt_config c;
    bool said = false;
    assert_int_equal(parse(&c, "tunnel t {\n gateway = vpn.example.net local = a remote = b protect = 10.0.0.0/8\n psk = "
                               "secret-secret-secret }\n"),
                     0);
    for (size_t i = 0; i < c.nissue; i++)
        said |= c.issue[i].warning && c.issue[i].line == 3 &&
                strstr(c.issue[i].text, "stands in the configuration itself") != NULL &&
                strstr(c.issue[i].text, "psk = \"file:/etc/dovetail/secrets/NAME\"") != NULL;
    assert_true(said);
    dt_config_free(&c);
}

#define HOSTS(v) "tunnel \"t\" {\n gateway = " v "\n local = a remote = b psk = c protect = 10.0.0.0/8 }\n"

static void places_of_gateways(void **state)
{
    struct dt_config c;
    const char *text = HOSTS("{ vpn.example.net:4501, \"[2001:db8::1]:4502\", 203.0.113.1, \"[2001:db8::2]\", "
                             "2001:db8::3, \"fe80::1%eth0\", \"[fe80::2%wlan0]:4503\", 203.0.113.2:500 }");
    static const char *const host[] = {"vpn.example.net", "2001:db8::1",  "203.0.113.1",   "2001:db8::2",
                                       "2001:db8::3",     "fe80::1%eth0", "fe80::2%wlan0", "203.0.113.2"};
    static const uint16_t port[] = {4501, 4502, 0, 0, 0, 0, 4503, 500}, of_addresses[] = {4502, 0, 0, 0, 500};
    assert_int_equal(dt_config_parse(&c, text, strlen(text), "test", 0), 0);
    assert_int_equal(c.tunnel[0].nhost, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(c.tunnel[0].host[i], host[i]);
        assert_int_equal(c.tunnel[0].port[i], port[i]);
    }
    assert_int_equal(c.tunnel[0].cfg.ngateways, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(c.tunnel[0].cfg.ports[i], of_addresses[i]);
    dt_config_free(&c);

    expect(HOSTS("vpn.example.net:0"), 2, "from 1 to 65535", "\"vpn.example.net:4500\" would be right");
    expect(HOSTS("vpn.example.net:65536"), 2, "from 1 to 65535", "4500");
    expect(HOSTS("\"vpn.example.net:\""), 2, "from 1 to 65535", "4500");
    expect(HOSTS("vpn.example.net:ike"), 2, "from 1 to 65535", "4500");
    expect(HOSTS("\"[2001:db8::1]:70000\""), 2, "from 1 to 65535", "4500");
    expect(HOSTS("\"[2001:db8::1\""), 2, "neither an address nor", "\"[2001:db8::1]:4501\"");
    expect(HOSTS("\"[2001:db8::1]4501\""), 2, "neither an address nor", "\"[2001:db8::1]:4501\"");
    expect(HOSTS("\"fe80::1\""), 2, "needs its interface", "\"fe80::1%eth0\" would be right");
    expect(HOSTS("\"2001:db8::1%eth0\""), 2, "names an interface", "\"2001:db8::1\" would be right");
    expect(HOSTS("\"fe80::1%\""), 2, "no address with an interface", "fe80::1%eth0");
    expect(HOSTS("\"fe80::1%an-interface-too-long\""), 2, "no address with an interface", "at most 15");
    expect(HOSTS("\"fe80::1%et/h0\""), 2, "no address with an interface", "fe80::1%eth0");
    expect(HOSTS("\"vpn.example.net%eth0\""), 2, "no address with an interface", "fe80::1%eth0");
    expect(HOSTS("203.0.113.1:4501\n encap = esp"), 2, "raw ESP has no ports", "encap = udp, or auto");
}

static void addresses(void **state)
{
    expect("tunnel \"t\" { gateway = g.example\n local = a remote = b psk = c\n protect = \"10.1.2.3/8\" }\n",
           3, "host bits", "\"10.0.0.0/8\"");
    expect(
        "tunnel \"t\" { gateway = g.example\n local = a remote = b psk = c\n protect = \"10.0.0.0/33\" }\n",
        3, "no prefix", "0 to 32");
    expect("tunnel \"t\" { gateway = g.example\n local = a remote = b psk = c\n protect = \"office\" }\n", 3,
           "no prefix", "10.0.0.0/8");
    expect(
        "tunnel \"t\" { gateway = \"203.0.113.300\"\n local = a remote = b psk = c protect = 10.0.0.0/8 }\n",
        1, "203.0.113.300", "neither an address nor a host name");
    expect("gateway \"g\" { listen = 203.0.113.0/24\n identity = a psk = c protect = 10.0.0.0/8 pool = "
           "10.9.0.0/16 }\n",
           1, "is a prefix", "without /24");
    expect("gateway \"g\" { identity = a psk = c protect = 10.0.0.0/8\n pool = 10.9.0.1/16 }\n", 2,
           "host bits", "10.9.0.0/16");
    expect("gateway \"g\" { identity = a psk = c protect = 10.0.0.0/8\n pool = 10.9.0.1/32 }\n", 2, "no room",
           "/30");
    expect(
        "gateway \"g\" { identity = a psk = c protect = 10.0.0.0/8\n pool = { 10.9.0.0/16, 10.9.1.0/24 } }\n",
        1, "overlap", "");
}

static void patterns_of_identities(void **state)
{
    static const char *const wrong[] = {"*", "*example.net", "vpn.*", "*.example.*", "a*b@example.net"};
    static const char *const right[] = {"*.example.net", "*@example.net", "%any", "vpn.example.net"};
    char text[1024];
    for (size_t i = 0; i < DT_ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof(text), SERVER "  peers = \"%s\"\n}\n", wrong[i]);
        expect(text, 7, "is no pattern", "*.example.net");
    }
    for (size_t i = 0; i < DT_ARRAY_LEN(right); i++) {
        struct dt_config c;
        snprintf(text, sizeof(text), SERVER "  peers = \"%s\"\n}\n", right[i]);
        assert_int_equal(parse(&c, text), 0);
        dt_config_free(&c);
    }
}

static void everything_wrong_is_said_in_order(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, "tunnel \"a\" {\n gatway = x\n encap = tcp\n mtu = 5\n}\nbanana \"b\" { }\n"),
                     -1);
    assert_true(c.errors >= 8);
    for (size_t i = 1; i < c.nissue; i++)
        assert_true(c.issue[i - 1].line <= c.issue[i].line);
    dt_config_free(&c);
}

static void what_is_missing(void **state)
{
    struct dt_config c;
    static const char *const keys[] = {"gateway", "local", "remote", "protect", "psk"};
    assert_int_equal(parse(&c, "tunnel \"a\" { }\n"), -1);
    assert_int_equal(c.errors, 5);
    for (size_t i = 0; i < 5; i++)
        assert_non_null(strstr(c.issue[i].text, keys[i]));
    dt_config_free(&c);
    expect("gateway \"g\" { identity = a psk = c protect = 10.0.0.0/8 }\n", 1, "neither pool nor remote",
           "pool = ");
}

static void secrets_from_files(void **state)
{
    char path[] = "/tmp/dovetail-config-XXXXXX", text[2048];
    int fd = mkstemp(path);
    struct dt_config c;
    struct dt_ike_id id;
    static const char content[] =
        "# who     secret\n\nanna@example.net  anna's own secret\n*@example.net shared\n0bad\n";
    assert_true(write(fd, content, sizeof(content) - 1) == (ssize_t)(sizeof(content) - 1));
    snprintf(text, sizeof(text), SERVER "  secrets = \"file:%s\"\n}\n", path);
    assert_int_equal(parse(&c, text), -1);
    assert_non_null(strstr(c.issue[c.nissue - 1].text, ":5: an identity, a blank and its secret"));
    dt_config_free(&c);
    assert_int_equal(ftruncate(fd, sizeof(content) - 1 - 5), 0);
    assert_int_equal(parse(&c, text), 0);
    assert_int_equal(c.warnings, 2); /* the secret stands in the file, and is one for all others */
    dt_ike_id_parse(&id, "anna@example.net");
    assert_memory_equal(dt_config_gateway_psk(&c.gateway[0], &id)->key, "anna's own secret", 17);
    dt_ike_id_parse(&id, "bob@example.net");
    assert_memory_equal(dt_config_gateway_psk(&c.gateway[0], &id)->key, "shared", 6);
    dt_ike_id_parse(&id, "bob@example.com");
    assert_memory_equal(dt_config_gateway_psk(&c.gateway[0], &id)->key, "correct horse", 13);
    dt_config_free(&c);
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0610};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) { /* a secret that others know is refused */
        char chmod_it[128];
        assert_int_equal(fchmod(fd, modes[i]), 0);
        assert_int_equal(parse(&c, text), -1);
        snprintf(chmod_it, sizeof(chmod_it), "(mode %04o); `chmod 600 %s`", (unsigned)modes[i], path);
        assert_non_null(strstr(c.issue[c.nissue - 1].text, chmod_it));
        dt_config_free(&c);
    }
    assert_int_equal(fchmod(fd, 0400), 0);
    assert_int_equal(parse(&c, text), 0);
    dt_config_free(&c);
    close(fd);
    unlink(path);
    expect("tunnel \"t\" { gateway = g.example local = a remote = b protect = 10.0.0.0/8\n psk = "
           "\"file:/nonexistent/x\" }\n",
           2, "/nonexistent/x", "No such file");
    expect(
        "tunnel \"t\" { gateway = g.example local = a remote = b protect = 10.0.0.0/8\n psk = \"file:x\" }\n",
        2, "not absolute", "file:/PATH");
}

static void hex_secrets(void **state)
{
    struct dt_config c;
    assert_int_equal(parse(&c, "tunnel \"t\" { gateway = g.example local = a remote = b protect = 10.0.0.0/8 "
                               "psk = 0x0102ff }\n"),
                     0);
    assert_int_equal(c.tunnel[0].psk.len, 3);
    assert_memory_equal(c.tunnel[0].psk.key, "\x01\x02\xff", 3);
    dt_config_free(&c);
    expect("tunnel \"t\" { gateway = g.example local = a remote = b protect = 10.0.0.0/8\n psk = 0x0102f }\n",
           2, "psk", "hex digits");
}

static void a_reload_knows_what_changed(void **state)
{
    struct dt_config a, b;
    assert_int_equal(parse(&a, CLIENT "}\n" SERVER "}\n"), 0);
    assert_int_equal(parse(&b, "# a comment\n" SERVER "}\n" CLIENT "\n}\n"), 0);
    assert_true(dt_config_tunnel_same(&a.tunnel[0], &b.tunnel[0]));
    assert_true(dt_config_gateway_same(&a.gateway[0], &b.gateway[0]));
    dt_config_free(&b);
    assert_int_equal(parse(&b, CLIENT " mtu = 1300 }\n" SERVER " dns = 10.1.0.1 }\n"), 0);
    assert_false(dt_config_tunnel_same(&a.tunnel[0], &b.tunnel[0]));
    assert_false(dt_config_gateway_same(&a.gateway[0], &b.gateway[0]));
    dt_config_free(&b);
    dt_config_free(&a);
}

static void rules_come_along(void **state)
{
    struct dt_config c;
    assert_int_equal(
        parse(&c, CLIENT "}\nrule \"r\" {\n action = tunnel\n gateway = office\n to = 10.0.0.0/8\n}\n"), 0);
    assert_int_equal(c.rules->n, 1);
    dt_config_free(&c);
    expect(CLIENT "}\nrule \"r\" {\n action = tunel\n}\n", 9, "tunel", "");
    expect(CLIENT "}\nrule \"r\" {\n action = tunnel\n gateway = office\n to = 10.0.0.0/8\n use = ofice\n}\n",
           8, "ofice", "no such section");
}

static void rules_without_a_tunnel(void **state)
{
    static const char host[] =
        "tunnel \"host\" { gateway = 10.3.0.9 protect = 10.3.0.9 transport = yes local = a "
        "remote = b psk = \"correct horse battery staple\" }\n";
    static const char rules[] = "rule \"a\" { action = tunnel gateway = 203.0.113.8 to = 10.0.0.0/8 }\n"
                                "rule \"b\" { action = transport to = 10.3.0.0/16 }\n";
    char text[1024], line[512];
    struct dt_config c;
    snprintf(text, sizeof(text), "%s%s", host, rules);
    assert_int_equal(parse(&c, text), 0);
    assert_int_equal(c.warnings, 2); /* the secret, and rule a */
    assert_non_null(
        strstr(dt_config_issue_str(line, sizeof(line), &c, &c.issue[c.nissue - 1]), "203.0.113.8"));
    dt_config_free(&c);
    snprintf(text, sizeof(text), "%s%s", CLIENT "}\n",
             rules); /* a name may be any address; but not transport */
    assert_int_equal(parse(&c, text), 0);
    assert_int_equal(c.warnings, 2);
    assert_non_null(
        strstr(dt_config_issue_str(line, sizeof(line), &c, &c.issue[c.nissue - 1]), "transport = yes"));
    dt_config_free(&c);
    assert_int_equal(parse(&c, rules), 0); /* rules alone */
    assert_int_equal(c.warnings, 0);
    dt_config_free(&c);
}

static void no_such_file(void **state)
{
    struct dt_config c;
    char line[256];
    assert_int_equal(dt_config_load(&c, "/nonexistent/dovetaild.conf"), -1);
    assert_string_equal(dt_config_issue_str(line, sizeof(line), &c, &c.issue[0]),
                        "/nonexistent/dovetaild.conf: cannot be read: No such file or directory");
    dt_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_settings_make_a_client),
        cmocka_unit_test(eight_settings_make_a_gateway),
        cmocka_unit_test(domains_of_a_gateway),
        cmocka_unit_test(a_tunnel_without_names),
        cmocka_unit_test(optional_settings),
        cmocka_unit_test(closed_has_three_values),
        cmocka_unit_test(a_full_tunnel_has_both_versions),
        cmocka_unit_test(what_is_protected_is_bounded),
        cmocka_unit_test(the_daemons_user_is_one),
        cmocka_unit_test(a_gateway_may_begin_rekeys),
        cmocka_unit_test(rekeys_of_the_gateway),
        cmocka_unit_test(a_short_keylife_brings_its_margin),
        cmocka_unit_test(unproved_is_said_beforehand),
        cmocka_unit_test(complaints),
        cmocka_unit_test(addresses),
        cmocka_unit_test(places_of_gateways),
        cmocka_unit_test(settings_of_the_start),
        cmocka_unit_test(a_secret_in_the_file_says_where_it_should_be),
        cmocka_unit_test(names_beyond_ascii),
        cmocka_unit_test(patterns_of_identities),
        cmocka_unit_test(everything_wrong_is_said_in_order),
        cmocka_unit_test(what_is_missing),
        cmocka_unit_test(secrets_from_files),
        cmocka_unit_test(hex_secrets),
        cmocka_unit_test(a_reload_knows_what_changed),
        cmocka_unit_test(rules_come_along),
        cmocka_unit_test(rules_without_a_tunnel),
        cmocka_unit_test(no_such_file),
    };
    return TEST_RUN(tests);
}
