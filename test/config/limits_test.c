/* Limits meet: what a file may say, the rooms that act on it take, and what they would not take is refused with its line. */
#include "support/text.h"

#include "config/config.h"

/* What is wrong has this line and says this; NULL: nothing is wrong. */
static void expect(const struct text *t, unsigned line, const char *what)
{
    struct dt_config c;
    int rc = dt_config_parse(&c, t->v, t->len, "test.conf", DT_CONFIG_NO_FILES);
    const struct dt_config_issue *i = c.issue;
    while (i < c.issue + c.nissue && i->warning)
        i++;
    bool any = i < c.issue + c.nissue;
    if (rc != (what != NULL ? -1 : 0) || any != (what != NULL) ||
        (any && (i->line != line || strstr(i->text, what) == NULL)))
        fail_msg("wanted line %u \"%s\", got line %u \"%s\"", line, what != NULL ? what : "nothing",
                 any ? i->line : 0, any ? i->text : "nothing");
    dt_config_free(&c);
}

/* n ranges of `each` prefixes (44: as many as 24 bits can come to, less the ends). */
static void say_ranges(struct text *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        say(t, "%s \"%u.0.0.1-%u.255.255.254\"", i ? "," : "", 20 + i, 20 + i);
}

static void prefixes_of_a_tunnel(void **state)
{
    for (unsigned n = 5; n <= 6; n++) { /* 46 prefixes each: 230, 276 */
        struct text t = {.len = 0};
        say(&t,
            "tunnel t { gateway = 203.0.113.1 local = a@b.c remote = v.b psk = \"file:/x\"\n protect = {");
        say_ranges(&t, n);
        say(&t, " } }\n");
        expect(&t, 2, n == 5 ? NULL : "protect comes to 276 prefixes, and one tunnel takes 254 at most");
        t.len = 0;
        say(&t, "gateway g { identity = v.b protect = 10.0.0.0/8 secrets = \"file:/x\" }\n"
                "client \"a@b.c\" { networks = {");
        say_ranges(&t, n);
        say(&t, " } }\n");
        expect(&t, 2, n == 5 ? NULL : "networks comes to 276 prefixes");
    }
}

static void lists_of_proposals_at_an_address(void **state)
{
    static const char *const list[] = {
        "aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-ecp256", "aes256gcm16-prfsha256-ecp384",
        "aes128gcm16-prfsha256-x25519", "aes128gcm16-prfsha256-ecp256", "aes128gcm16-prfsha256-ecp384",
        "aes128gcm16-prfsha384-x25519", "aes128gcm16-prfsha384-ecp256", "aes128gcm16-prfsha384-ecp384"};
    for (unsigned n = 8; n <= 9; n++) {
        struct text t = {.len = 0};
        for (unsigned i = 0; i < n; i++)
            say(&t,
                "gateway g%u { identity = v%u.b protect = 10.0.0.0/8 pool = 10.%u.0.0/16 secrets = "
                "\"file:/x\" "
                "ike = %s }\n",
                i, i, 100 + i, list[i]);
        /* One of those before, and one elsewhere. */
        say(&t,
            "gateway again { identity = w.b protect = 10.0.0.0/8 pool = 10.200.0.0/16 secrets = \"file:/x\" "
            "ike = aes256gcm16-prfsha256-x25519 }\n");
        expect(&t, 9,
               n == 8 ? NULL : "there are 9 different lists of `ike` at one address, and 8 are looked at");
    }
    struct text t = {.len = 0};
    for (unsigned i = 0; i < 9; i++)
        say(&t,
            "gateway g%u { listen = 203.0.113.%u identity = v%u.b protect = 10.0.0.0/8 pool = 10.%u.0.0/16 "
            "secrets = \"file:/x\" ike = %s }\n",
            i, i / 5, i, 100 + i, list[i]);
    expect(&t, 0, NULL);
}

/* Proxies that differ in ports alone are few ranges of addresses, and many rules. */
static void routing_rules_of_discovery(void **state)
{
    for (unsigned sections = 8; sections <= 9; sections++) {
        struct text t = {.len = 0};
        for (unsigned i = 0; i < sections; i++) {
            say(&t, "discover d%u { %s protect = {", i, i == 0 ? "identity = a.b psk = \"file:/x\"" : "");
            if (i == 0) /* the addresses of all that follow */
                say(&t, " \"10.0.0.0/8 10.0.0.0/8\"");
            for (unsigned k = i == 0; k < 16; k++) /* two ranges each side: four rules */
                say(&t, "%s \"10.1.1.0/255.254.255.0 10.4.1.0/255.254.255.0 tcp any %u\"", k ? "," : "",
                    1 + i * 16 + k);
            say(&t, " } }\n");
        }
        expect(&t, 9, sections == 8 ? NULL : "come to 573 routing rules, and 512 are possible");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_of_a_tunnel),
        cmocka_unit_test(lists_of_proposals_at_an_address),
        cmocka_unit_test(routing_rules_of_discovery),
    };
    return TEST_RUN(tests);
}
