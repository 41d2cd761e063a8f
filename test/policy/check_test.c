#include "policy/check.h"
#include "policy/gen.h"
#include "policy/plan.h"

struct found {
    size_t n;
    struct dt_check_issue v[64];
};

static void report(void *ctx, const struct dt_check_issue *i)
{
    struct found *f = ctx;
    assert_true(f->n < DT_ARRAY_LEN(f->v));
    f->v[f->n++] = *i;
}

static void check(const char *text, struct found *f)
{
    struct dt_err err = {0};
    struct dt_rules *rs = dt_rules_parse(text, strlen(text), "c.conf", false, &err);
    if (!rs)
        fail_msg("%s", err.text);
    struct dt_match *m = dt_match_new(rs, &err);
    dt_rules_unref(rs);
    f->n = 0;
    size_t n = dt_check_rules(m, report, f);
    assert_int_equal(n, f->n);
    dt_match_free(m);
}

static void expect(const char *text, enum dt_check_kind kind, unsigned line, const char *want)
{
    struct found f;
    check(text, &f);
    if (f.n != 1 || f.v[0].kind != kind || f.v[0].line != line || !strstr(f.v[0].text, want))
        fail_msg("%zu issues for:\n%s\nthe first: %u, line %u: %s", f.n, text, f.n ? f.v[0].kind : 99,
                 f.n ? f.v[0].line : 0, f.n ? f.v[0].text : "");
}

static void fine(const char *text)
{
    struct found f;
    check(text, &f);
    if (f.n)
        fail_msg("%s\n%u: %s", text, f.v[0].line, f.v[0].text);
}

static void own_tunnel(void **state)
{
    expect("rule a { action = tunnel gateway = 192.0.2.1 }\n", DT_CHECK_OWN_TUNNEL, 1,
           "gateway 192.0.2.1 is inside its own tunnel: rule \"a\" matches the tunnel's own ESP packets; let "
           "a rule");
    fine("rule p { action = pass to = 192.0.2.1 protocol = esp }\nrule a { action = tunnel gateway = "
         "192.0.2.1 }\n");
    fine("rule a { action = tunnel gateway = 192.0.2.1 protocol = tcp }\n");
    fine("rule a { action = tunnel gateway = 192.0.2.1 dport = 80 }\n");
    /* From 10/8 the gateway is passed; from elsewhere it is not, but the rule is for 10/8 alone. */
    fine("rule p { action = pass from = 10.0.0.0/8 to = 192.0.2.1 }\n"
         "rule a { action = tunnel gateway = 192.0.2.1 from = 10.0.0.0/8 }\n");
    expect("rule p { action = pass from = 10.0.0.0/9 to = 192.0.2.1 }\n"
           "rule a { action = tunnel gateway = 192.0.2.1 from = 10.0.0.0/8 }\n",
           DT_CHECK_OWN_TUNNEL, 2, "inside its own tunnel");
    /* Two rules, one gateway. */
    expect("rule a { action = tunnel gateway = 192.0.2.1 to = 10.0.0.0/8 }\n"
           "rule b { action = tunnel gateway = 192.0.2.1 to = 192.0.2.0/24 }\n",
           DT_CHECK_OWN_TUNNEL, 2, "rule \"b\"");
}

static void loops(void **state)
{
    struct found f;
    check("rule a { action = tunnel gateway = 192.0.2.1 to = 10.0.0.0/8 }\n"
          "rule b { action = tunnel gateway = 192.0.2.2 to = 192.0.2.1 }\n"
          "rule c { action = tunnel gateway = 192.0.2.1 to = 192.0.2.2 }\n",
          &f);
    /* Three rules lead into it; it is one loop, told once. */
    assert_int_equal(f.n, 1);
    assert_int_equal(f.v[0].kind, DT_CHECK_LOOP);
    assert_int_equal(f.v[0].line, 2);
    assert_non_null(strstr(f.v[0].text, "the rules loop: \"b\" (line 2) > \"c\" (line 3) > \"b\" again"));
    /* Two that have nothing in common are two. */
    check("rule a { action = tunnel gateway = 192.0.2.1 to = 192.0.2.2 }\n"
          "rule b { action = tunnel gateway = 192.0.2.2 to = 192.0.2.3 }\n"
          "rule c { action = tunnel gateway = 192.0.2.3 to = 192.0.2.1 }\n"
          "rule d { action = tunnel gateway = 198.51.100.1 to = 198.51.100.2 }\n"
          "rule e { action = tunnel gateway = 198.51.100.2 to = 198.51.100.1 }\n",
          &f);
    assert_int_equal(f.n, 2);
    assert_int_equal(f.v[0].line, 1);
    assert_non_null(strstr(f.v[0].text, "\"a\" (line 1) > \"c\" (line 3) > \"b\" (line 2) > \"a\" again"));
    assert_int_equal(f.v[1].line, 4);
    fine("rule a { action = tunnel gateway = 192.0.2.1 to = 10.0.0.0/8 from = 172.16.0.1 }\n"
         "rule b { action = tunnel gateway = 192.0.2.2 to = 192.0.2.1 from = 172.16.0.0-172.16.0.7 protocol "
         "= esp }\n"
         "rule c { action = tunnel gateway = 192.0.2.1 to = 192.0.2.2 from = 172.16.0.8 protocol = esp }\n");
    /* A source of the other version is not known to rules with `from`. */
    fine("rule a { action = tunnel gateway = 2001:db8::1 from = 10.0.0.0/8 }\n"
         "rule b { action = tunnel gateway = 2001:db8::1 from = 2001:db8::/32 to = fd00::/8 }\n");
}

static void depth(void **state)
{
    char text[2000];
    size_t n = 0;
    for (unsigned i = 0; i < 9; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "rule r%u { action = tunnel gateway = 192.0.2.%u to = 192.0.2.%u }\n", i, i + 1,
                              i);
    expect(text, DT_CHECK_DEPTH, 9,
           "more than 8 tunnels in one plan: rule \"r8\" is the ninth after rule \"r0\" (line 1)");
    *strstr(text, "rule r8") = 0;
    fine(text);
}

static void never(void **state)
{
    expect("rule a { action = pass to = 10.0.0.0/8 }\nrule b { action = tunnel gateway = 192.0.2.1 to = "
           "10.1.0.0/16 }\n",
           DT_CHECK_NEVER, 2,
           "rule \"b\" can never match: \"a\" (line 1) takes all its packets; move it before that one");
    /* Together they cover it, none alone. */
    expect("rule a { action = pass to = 10.0.0.0/9 protocol = tcp }\n"
           "rule b { action = pass to = 10.128.0.0/9 protocol = { tcp, udp } }\n"
           "rule c { action = pass to = 10.64.0.0/10 protocol = udp }\n"
           "rule d { action = pass to = 10.0.0.0/10 protocol = 17 }\n"
           "rule e { action = pass to = 10.0.0.0/8 protocol = { udp, tcp } dport = 53 }\n",
           DT_CHECK_NEVER, 5,
           "\"a\" (line 1), \"b\" (line 2), \"c\" (line 3) and 1 more take all its packets");
    fine("rule a { action = pass to = 10.0.0.0/9 }\nrule b { action = pass to = 10.128.0.0/9 dport = 0-65534 "
         "}\n"
         "rule e { action = pass to = 10.0.0.0/8 protocol = udp }\n");
    /* Transport rules and tunnel rules do not stand in each other's way. */
    fine("rule a { action = transport }\nrule b { action = pass }\n");
    expect("rule a { action = pass from = 10.0.0.0/8 to = fd00::/8 }\n", DT_CHECK_NEVER, 1,
           "no IP version in common");
    expect("rule a { action = pass protocol = esp dport = 80 }\n", DT_CHECK_NEVER, 1,
           "protocol esp has none");
}

/* Whatever the check says holds: with no issue about loops no packet meets one, and a rule that can never match is
 * never the first. The other way round, what random packets run into has been told. */
static void holds(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("check/holds"));
    unsigned clean = 0, dead = 0;
    for (unsigned round = 0; round < 1500; round++) {
        g.hosts = 8 + (unsigned)gen_below(&g, 20);
        struct dt_rules *rs = gen_rules(&g, 1 + gen_below(&g, 12), 1 + (unsigned)gen_below(&g, 5));
        struct dt_err err;
        struct dt_match *m = dt_match_new(rs, &err);
        struct found f = {0};
        dt_check_rules(m, report, &f);
        bool never_[16] = {0}, loop = false, deep = false;
        for (size_t i = 0; i < f.n; i++) {
            if (f.v[i].kind == DT_CHECK_NEVER)
                never_[f.v[i].line - 1] = true;
            loop |= f.v[i].kind == DT_CHECK_LOOP || f.v[i].kind == DT_CHECK_OWN_TUNNEL;
            deep |= f.v[i].kind == DT_CHECK_DEPTH;
        }
        clean += !loop && !deep;
        for (unsigned k = 0; k < 300; k++) {
            struct dt_flow p = gen_flow(&g);
            if (!p.proto)
                continue; /* no packet is without a protocol */
            struct dt_plan plan;
            uint32_t t = dt_match_tunnel(m, &p), x = dt_match_transport(m, &p);
            assert_false(t != DT_NO_RULE && never_[t]);
            assert_false(x != DT_NO_RULE && never_[x]);
            if (dt_plan_make(&plan, m, &p, &err))
                assert_true(loop || deep);
        }
        for (size_t i = 0; i < rs->n; i++)
            dead += never_[i];
        dt_match_free(m);
        dt_rules_unref(rs);
    }
    assert_true(clean > 100 && dead > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_tunnel), cmocka_unit_test(loops), cmocka_unit_test(depth),
        cmocka_unit_test(never),      cmocka_unit_test(holds),
    };
    return TEST_RUN(tests);
}
