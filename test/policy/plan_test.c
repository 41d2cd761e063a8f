#include "policy/plan.h"
#include "policy/gen.h"

/* US 6,636,520 FIG. 7, blocks 702 to 718, block by block, over a plain list of rules. The only additions are
 * those that DESIGN names: no transport rule is needed, the next match is an ESP packet, and eight tunnels
 * are the limit. */
enum outcome { GOOD, REPEATS, DEEP };
static enum outcome brute(const struct dt_rules *rs, struct dt_flow f, struct dt_plan *p)
{
    unsigned tunnels = 0;
    p->n = 0;
    uint32_t r = gen_first(rs, &f, true); /* 706 */
    if (r != DT_NO_RULE)
        p->pending[p->n++] = (struct dt_action){DT_RULE_TRANSPORT, f.dst, r}; /* 710 */
    struct dt_addr src = f.src;
    while ((r = gen_first(rs, &f, false)) != DT_NO_RULE && rs->v[r].kind == DT_RULE_TUNNEL) { /* 712 */
        struct dt_addr gw = rs->v[r].gateway;
        for (unsigned i = 0; i < p->n; i++)
            if (p->pending[i].kind == DT_RULE_TUNNEL && dt_addr_eq(&p->pending[i].peer, &gw))
                return REPEATS;
        if (tunnels == DT_PLAN_TUNNELS)
            return DEEP;
        tunnels++;
        p->pending[p->n++] = (struct dt_action){DT_RULE_TUNNEL, gw, r}; /* 714 */
        if (src.ver != gw.ver)
            f.src = (struct dt_addr){.ver = gw.ver};
        else
            f.src = src;
        f.dst = gw; /* 718 */
        f.proto = 50;
        f.ports = false;
    }
    return GOOD;
}

static void equals_flowchart(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("plan/flowchart"));
    unsigned seen[3] = {0}, depth[DT_PLAN_MAX + 1] = {0};
    for (unsigned i = 0; i < 5000; i++) {
        g.hosts = 12 + (unsigned)gen_below(&g, 40);
        struct dt_rules *rs = gen_rules(&g, 1 + gen_below(&g, 25), 1 + (unsigned)gen_below(&g, 11));
        struct dt_err err = {0};
        struct dt_match *m = dt_match_new(rs, &err);
        assert_non_null(m);
        for (unsigned k = 0; k < 400; k++) {
            struct dt_flow f = gen_flow(&g);
            struct dt_plan want, got;
            enum outcome o = brute(rs, f, &want);
            err.text[0] = 0;
            int rc = dt_plan_make(&got, m, &f, &err);
            assert_int_equal(rc, o == GOOD ? 0 : -1);
            assert_int_equal(want.n, got.n);
            for (unsigned a = 0; a < want.n; a++) {
                assert_int_equal(want.pending[a].kind, got.pending[a].kind);
                assert_int_equal(want.pending[a].rule, got.pending[a].rule);
                assert_true(dt_addr_eq(&want.pending[a].peer, &got.pending[a].peer));
            }
            if (rc) {
                assert_non_null(strstr(err.text, o == DEEP ? "more than 8 tunnels" : "gateway"));
                assert_true(strlen(err.text) < DT_ERR_TEXT - 1);
            }
            seen[o]++;
            depth[got.n]++;
        }
        dt_match_free(m);
        dt_rules_unref(rs);
    }
    /* The universe reaches what it is for. */
    assert_true(seen[GOOD] > 1000 && seen[REPEATS] > 1000);
    assert_true(depth[0] && depth[1] && depth[2] && depth[3] && depth[4]);
}

static struct dt_match *chain(unsigned tunnels, struct dt_err *err)
{
    struct dt_rules *rs = dt_rules_new("chain.conf");
    for (unsigned i = 0; i < tunnels; i++) { /* host 0, then gateway k reached through gateway k + 1 */
        struct dt_addr to = dt_addr4(0x0a000000 + i);
        struct dt_range range = {to, to};
        struct dt_rule r = {.kind = DT_RULE_TUNNEL,
                            .line = i + 1,
                            .name = (char *)"link",
                            .to = {&range, 1},
                            .gateway = dt_addr4(0x0a000001 + i)};
        assert_int_equal(dt_rules_add(rs, &r, err), 0);
    }
    struct dt_match *m = dt_match_new(rs, err);
    dt_rules_unref(rs);
    return m;
}

static void eight_tunnels(void **state)
{
    struct dt_err err = {0};
    struct dt_flow f = {dt_addr4(0x0b000001), dt_addr4(0x0a000000), 6, true, 1, 80};
    struct dt_plan p;
    struct dt_match *m = chain(8, &err);
    assert_int_equal(dt_plan_make(&p, m, &f, &err), 0);
    assert_int_equal(p.n, 8);
    assert_int_equal(dt_addr4_host(&p.pending[0].peer), 0x0a000001);
    assert_int_equal(dt_addr4_host(&p.pending[7].peer), 0x0a000008);
    dt_match_free(m);
    m = chain(9, &err);
    assert_int_equal(dt_plan_make(&p, m, &f, &err), -1);
    assert_string_equal(err.text,
                        "more than 8 tunnels in one plan: rule \"link\" (chain.conf:9) asks for another");
    dt_match_free(m);
}

/* FIG. 5: VPN1 on top, then VPN2, VPN3, and the receiver at the bottom. */
static void figure_5(void **state)
{
    static const char text[] =
        "rule \"receiver\" { action = transport to = \"10.3.0.9\" }\n"
        "rule \"vpn3\" { action = tunnel gateway = 198.51.100.3 to = \"10.3.0.0/16\" }\n"
        "rule \"vpn2\" { action = tunnel gateway = 198.51.100.2 to = 198.51.100.3 protocol = esp }\n"
        "rule \"vpn1\" { action = tunnel gateway = 198.51.100.1 to = 198.51.100.2 }\n";
    struct dt_err err = {0};
    struct dt_rules *rs = dt_rules_parse(text, sizeof text - 1, "fig5.conf", false, &err);
    assert_string_equal(err.text, "");
    struct dt_match *m = dt_match_new(rs, &err);
    struct dt_flow f = {dt_addr4(0xc0000201), dt_addr4(0x0a030009), 6, true, 40000, 80};
    struct dt_plan p;
    assert_int_equal(dt_plan_make(&p, m, &f, &err), 0);
    static const char *const top_down[] = {"vpn1", "vpn2", "vpn3", "receiver"};
    assert_int_equal(p.n, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_string_equal(rs->v[p.pending[3 - i].rule].name, top_down[i]);
    assert_true(dt_addr_eq(&p.pending[0].peer, &f.dst));
    dt_match_free(m);
    dt_rules_unref(rs);
}

static void own_tunnel(void **state)
{
    static const char text[] = "rule \"all\" {\n action = tunnel\n gateway = 198.51.100.1\n}\n";
    struct dt_err err = {0};
    struct dt_rules *rs = dt_rules_parse(text, sizeof text - 1, "all.conf", false, &err);
    struct dt_match *m = dt_match_new(rs, &err);
    struct dt_flow f = {dt_addr4(1), dt_addr4(2), 6, true, 40000, 80};
    struct dt_plan p;
    assert_int_equal(dt_plan_make(&p, m, &f, &err), -1);
    assert_non_null(
        strstr(err.text, "gateway 198.51.100.1 inside its own tunnel: rule \"all\" (all.conf:1)"));
    dt_match_free(m);
    dt_rules_unref(rs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_flowchart),
        cmocka_unit_test(eight_tunnels),
        cmocka_unit_test(figure_5),
        cmocka_unit_test(own_tunnel),
    };
    return TEST_RUN(tests);
}
