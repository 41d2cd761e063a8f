#include "policy/rule.h"
#include "base/bytes.h"
#include "support/test.h"

static struct dt_rules *parse(const char *text, bool embedded, struct dt_err *err)
{
    err->text[0] = 0;
    return dt_rules_parse(text, strlen(text), "r.conf", embedded, err);
}

static void a_whole_file(void **state)
{
    struct dt_err err;
    struct dt_rules *rs =
        parse("# networks\n"
              "group \"all\" { members = { \"east\", \"10.2.0.0/16\", } }\n"
              "group \"east\" { members = { '10.1.0.0/16', \"10.1.5.0-10.1.7.9\" 10.3.0.1 } }\n",
              false, &err);
    assert_null(rs);
    assert_string_equal(err.text, "r.conf:3: a list's values stand apart by commas, and it ends with }");
    rs = parse("# networks\n"
               "group \"all\" { members = { \"east\", \"10.2.0.0/16\", } }\n"
               "group east { members = { '10.1.0.0/16', \"10.1.5.0-10.2.7.9\", 10.4.0.1 } }\n"
               "/* the\n * rules */\n"
               "rule \"one\" {\n"
               "  action = \"tunnel\" gateway = 203.0.113.1 // the first\n"
               "  from = all\n"
               "  to = { 192.0.2.0/24, fd00::/8 }\n"
               "  protocol = { tcp, 17, tcp }\n"
               "  sport = \"1024-65535\" dport = { 80, 443 } encap = udp always = yes use = office }\n"
               "rule 'two' { action = pass to = any }\n",
               false, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rs->n, 2);
    const struct dt_rule *r = &rs->v[0];
    assert_string_equal(r->name, "one");
    assert_int_equal(r->line, 6);
    assert_int_equal(r->kind, DT_RULE_TUNNEL);
    assert_int_equal(r->from.n, 2); /* east and 10.2/16 touch and merge */
    assert_int_equal(dt_addr4_host(&r->from.v[0].from), 0x0a010000);
    assert_int_equal(dt_addr4_host(&r->from.v[0].to), 0x0a02ffff);
    assert_int_equal(r->to.n, 2);
    assert_int_equal(r->nproto, 2);
    assert_int_equal(r->nsport, 1);
    assert_int_equal(r->ndport, 2);
    assert_true(r->udp && r->always);
    assert_string_equal(r->use, "office");
    assert_int_equal(rs->v[1].kind, DT_RULE_PASS);
    assert_int_equal(rs->v[1].to.n, 0);
    struct dt_flow f = {dt_addr4(0x0a040001), dt_addr4(0xc0000207), 6, true, 2000, 443};
    assert_true(dt_rule_matches(r, &f));
    f.dport = 81;
    assert_false(dt_rule_matches(r, &f));
    f.dport = 80;
    f.sport = 1023;
    assert_false(dt_rule_matches(r, &f));
    f.ports = false; /* a later fragment */
    assert_false(dt_rule_matches(r, &f));
    dt_rules_unref(rs);
}

static void inside_a_configuration(void **state)
{
    static const char text[] = "log = info\n"
                               "tunnel \"office\" {\n gateway = { \"vpn.example.net\", \"203.0.113.9\" }\n"
                               "  probe { every = 1 }\n psk = \"file:/x\"\n}\n"
                               "gateway \"g\" { listen = { \"203.0.113.1\" } }\n"
                               "rule \"r\" { action = tunnel gateway = office }\n";
    struct dt_err err;
    struct dt_rules *rs = parse(text, true, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rs->n, 1);
    assert_int_equal(dt_addr4_host(&rs->v[0].gateway), 0xcb007109);
    assert_string_equal(rs->v[0].use, "office");
    dt_rules_unref(rs);
    assert_null(parse(text, false, &err));
    assert_string_equal(
        err.text, "r.conf:1: `log` stands outside of any section; it wants rule \"name\" { ... } around it");
}

/* Every error names its line and what would be right. */
/* A layer goes inside UDP where the tunnel section does that serves it: the named one, else the first with that
 * gateway. */
static void encap_of_the_tunnel(void **state)
{
    static const char text[] = "tunnel \"one\" { gateway = 203.0.113.1 encap = udp }\n"
                               "tunnel \"two\" { gateway = { 203.0.113.1, 203.0.113.2 } }\n"
                               "tunnel \"host\" { gateway = 10.3.0.9 transport = yes encap = udp }\n"
                               "rule \"a\" { action = tunnel gateway = one }\n"
                               "rule \"b\" { action = tunnel gateway = 203.0.113.1 }\n"
                               "rule \"c\" { action = tunnel gateway = 203.0.113.1 use = two }\n"
                               "rule \"d\" { action = tunnel gateway = 203.0.113.2 }\n"
                               "rule \"e\" { action = tunnel gateway = 203.0.113.2 encap = udp }\n"
                               "rule \"f\" { action = transport to = 10.3.0.0/16 }\n"
                               "rule \"g\" { action = tunnel gateway = 10.3.0.9 }\n"
                               "rule \"h\" { action = transport to = 10.4.0.0/16 }\n";
    static const bool udp[] = {true, true, false, false, true, true, false, false};
    struct dt_err err = {0};
    struct dt_rules *rs = dt_rules_parse(text, sizeof text - 1, "t", true, &err);
    if (!rs)
        fail_msg("%s", err.text);
    assert_int_equal(rs->n, sizeof udp);
    for (size_t i = 0; i < rs->n; i++)
        if (rs->v[i].udp != udp[i])
            fail_msg("rule %s: udp is %d", rs->v[i].name, rs->v[i].udp);
    dt_rules_unref(rs);
}

static void errors(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"rule \"a\" {\n action = tunnel\n gateway = 203.0.113.1\n to = \"10.0.0.1/8\"\n}",
         "r.conf:4: 10.0.0.1/8 has bits set beyond its length; write 10.0.0.0/8, or 10.0.0.1 for the one "
         "address"},
        {"rule \"a\" {\n action = tunnel\n}",
         "r.conf:1: tunnel rule \"a\" has no gateway; it wants gateway = "},
        {"rule \"a\" { }", "r.conf:1: rule \"a\" has no action; it wants action = \"tunnel\""},
        {"rule \"a\" {\n action = drop\n}",
         "r.conf:2: action is drop; it wants \"transport\", \"tunnel\" or \"pass\""},
        {"rule \"a\" { action = transport gateway = 1.2.3.4 }", "r.conf:1: rule \"a\" has a gateway, but"},
        {"rule \"a\" {\n action = tunnel\n gateway = nowhere\n}",
         "r.conf:3: gateway nowhere is neither an address nor"},
        {"tunnel \"t\" { gateway = vpn.example.net }\nrule \"a\" { action = tunnel\n gateway = t }",
         "r.conf:3: tunnel \"t\" (line 1) has no gateway written as an address"},
        {"rule \"a\" { action = tunnel gateway = 224.0.0.1 }", "r.conf:1: 224.0.0.1 cannot be a gateway"},
        {"rule \"a\" { action = pass\n sport = 70000 }",
         "r.conf:2: 70000 is no port; it wants a number from 0 to 65535"},
        {"rule \"a\" { action = pass\n dport = 90-80 }", "r.conf:2: ports 90-80 run backwards; write 80-90"},
        {"rule \"a\" { action = pass\n dport = http }", "r.conf:2: http is no port"},
        {"rule \"a\" { action = pass\n dport = 80- }", "r.conf:2: 80- is no port"},
        {"rule \"a\" { action = pass\n protocol = tpc }", "r.conf:2: tpc is no protocol; it wants tcp"},
        {"rule \"a\" { action = pass\n from = nobody }",
         "r.conf:2: nobody is neither an address, a prefix, a range nor"},
        {"rule \"a\" { action = pass\n from = 10.0.0.9-10.0.0.1 }",
         "r.conf:2: 10.0.0.9-10.0.0.1 is no range"},
        {"rule \"a\" { action = pass\n from = { any, 10.0.0.1 } }",
         "r.conf:2: \"any\" stands beside other values"},
        {"rule \"a\" { action = pass\n from = { } }", "r.conf:2: `from` is empty; leave it out"},
        {"rule \"a\" { action = pass\n action = tunnel }",
         "r.conf:2: `action` stands in rule \"a\" twice (line 1)"},
        {"rule \"a\" { action = pass }\nrule \"a\" { action = pass }",
         "r.conf:2: rule \"a\" is on line 1 already"},
        {"rule { action = pass }", "r.conf:1: a rule without a name"},
        {"rule \"a\" { action = pass\n acton = pass }",
         "r.conf:2: a rule has no `acton`; it wants action, gateway"},
        {"rule \"a\" { action = pass\n encap = tcp }", "r.conf:2: encap is tcp; it wants \"esp\" or \"udp\""},
        {"rule \"a\" { action = pass\n always = maybe }", "r.conf:2: `always` is maybe; it wants yes or no"},
        {"rule \"a\" { action = { pass, tunnel } }", "r.conf:1: `action` has 2 values; it wants one"},
        {"rule \"a\" { inner { x = 1 } action = pass }", "r.conf:1: a section inside rule \"a\""},
        {"group \"g\" { members = { g } }", "r.conf:1: group \"g\" (line 1) holds itself"},
        {"group \"g\" { members = { h } }\ngroup \"h\" { members = g }",
         "r.conf:2: group \"g\" (line 1) holds itself"},
        {"group \"g\" { }", "r.conf:1: group \"g\" is empty"},
        {"group \"g\" { members = any }", "r.conf:1: a group cannot hold \"any\""},
        {"group \"g\" { member = 10.0.0.1 }", "r.conf:1: a group has no `member`; it wants members"},
        {"ruel \"a\" { action = pass }",
         "r.conf:1: `ruel` is no section of a rules file; it wants rule \"name\""},
        {"\nrule \"a\" {\n", "r.conf:2: this section never ends; it wants a }"},
        {"rule \"a\" { action = \"pass\n }", "r.conf:1: this string never ends"},
        {"/* x\n", "r.conf:1: this comment never ends"},
        {"rule \"a\"\n", "r.conf:1: `rule` is followed by no section"},
        {"rule \"a\" { action pass }", "r.conf:1: `action` is followed by neither = nor {"},
        {"rule \"a\" { action = }", "r.conf:1: `action` has no value"},
        {"}", "r.conf:1: a section is wanted here"},
        {"a {a {a {a {a {a {a {a {a {", "r.conf:1: sections stand in sections more than eight deep"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct dt_err err;
        struct dt_rules *rs = parse(cases[i].text, false, &err);
        if (rs || strncmp(err.text, cases[i].want, strlen(cases[i].want)))
            fail_msg("case %zu: \"%s\" instead of \"%s\"", i, rs ? "no error" : err.text, cases[i].want);
    }
}

/* A chain of groups longer than the stack should bear. */
static void deep_groups(void **state)
{
    char text[4000];
    size_t n = 0;
    for (unsigned i = 0; i < 40; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "group \"g%u\" { members = \"g%u\" }\n", i, i + 1);
    struct dt_err err;
    assert_null(parse(text, false, &err));
    assert_non_null(strstr(err.text, "groups stand in groups more than 16 deep"));
}

static void shared_sets(void **state)
{
    struct dt_err err;
    struct dt_rules *rs = parse("group \"g\" { members = { 10.0.0.0/8, fd00::/8 } }\n"
                                "rule \"a\" { action = pass from = g to = { fd00::/8, 10.0.0.0/8 } }\n",
                                false, &err);
    assert_non_null(rs);
    assert_ptr_equal(rs->v[0].from.v, rs->v[0].to.v);
    dt_rules_unref(rs);
}

static void protocols(void **state)
{
    char s[8];
    assert_int_equal(dt_proto_parse("esp"), 50);
    assert_int_equal(dt_proto_parse("255"), 255);
    assert_int_equal(dt_proto_parse("256"), -1);
    assert_int_equal(dt_proto_parse(""), -1);
    assert_int_equal(dt_proto_parse("-1"), -1);
    assert_string_equal(dt_proto_str(s, 136), "udplite");
    assert_string_equal(dt_proto_str(s, 99), "99");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file),
        cmocka_unit_test(inside_a_configuration),
        cmocka_unit_test(errors),
        cmocka_unit_test(deep_groups),
        cmocka_unit_test(shared_sets),
        cmocka_unit_test(protocols),
        cmocka_unit_test(encap_of_the_tunnel),
    };
    return TEST_RUN(tests);
}
