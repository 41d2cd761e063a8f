#include "policy/match.h"
#include "policy/gen.h"

static void compare(struct gen *g, struct dt_rules *rs, unsigned packets)
{
    struct dt_err err = {0};
    struct dt_match *m = dt_match_new(rs, &err);
    if (!m)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < packets; i++) {
        struct dt_flow f = gen_flow(g);
        uint32_t want = gen_first(rs, &f, false), got = dt_match_tunnel(m, &f);
        uint32_t want_t = gen_first(rs, &f, true), got_t = dt_match_transport(m, &f);
        if (want != got || want_t != got_t) {
            char s[DT_FLOW_STRLEN];
            fail_msg("%s: tunnel rule %u, not %u; transport rule %u, not %u (of %zu)", dt_flow_str(s, &f),
                     got, want, got_t, want_t, rs->n);
        }
    }
    dt_match_free(m);
}

static void small_sets(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("match/small"));
    for (unsigned i = 0; i < 1500; i++) {
        g.hosts = 4 + (unsigned)gen_below(&g, 61);
        struct dt_rules *rs = gen_rules(&g, gen_below(&g, 30), 3);
        compare(&g, rs, 400);
        dt_rules_unref(rs);
    }
}

static void large_sets(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("match/large"));
    for (unsigned i = 0; i < 4; i++) {
        struct dt_rules *rs = gen_rules(&g, 3000, 3);
        compare(&g, rs, 20000);
        dt_rules_unref(rs);
    }
}

/* All rules share their addresses and differ in protocol and ports: the index behind one pair. */
static void many_ports(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("match/ports"));
    for (unsigned i = 0; i < 40; i++) {
        struct dt_rules *rs = dt_rules_new("gen.conf");
        for (unsigned k = 0; k < 300; k++) {
            struct gen_rule r;
            gen_rule(&g, &r, k + 1, 3);
            r.r.from.n = r.r.to.n = 0;
            for (unsigned p = 0; p < r.r.nsport; p++)
                r.sport[p] = (struct dt_ports){(uint16_t)(gen_below(&g, 32768)),
                                               (uint16_t)(32768 + gen_below(&g, 32768))};
            for (unsigned p = 0; p < r.r.ndport; p++)
                r.dport[p].from = r.dport[p].to = (uint16_t)gen_below(&g, 100);
            if (!r.r.nsport && !r.r.ndport && k < 280) /* keep the one that matches all for the end */
                continue;
            struct dt_err err;
            assert_int_equal(dt_rules_add(rs, &r.r, &err), 0);
        }
        struct dt_err err;
        struct dt_match *m = dt_match_new(rs, &err);
        assert_non_null(m);
        for (unsigned k = 0; k < 5000; k++) {
            struct dt_flow f = gen_flow(&g);
            f.sport = (uint16_t)gen_below(&g, 65536);
            f.dport = (uint16_t)gen_below(&g, 100);
            assert_int_equal(dt_match_tunnel(m, &f), gen_first(rs, &f, false));
            assert_int_equal(dt_match_transport(m, &f), gen_first(rs, &f, true));
        }
        dt_match_free(m);
        dt_rules_unref(rs);
    }
}

/* Prefixes of every length over each other, random in both versions, narrow rules first or not; packets drawn from the
 * rules and at random: deep trees, rules apart because they are wide, and parts that nothing separates. */
static struct dt_range any_prefix(struct gen *g, bool v6, unsigned shortest)
{
    unsigned bits = v6 ? 128 : 32;
    struct dt_prefix p = {{.ver = v6 ? 6 : 4}, (uint8_t)(shortest + gen_below(g, bits + 1 - shortest))};
    for (unsigned i = 0; i < bits / 8; i++)
        p.addr.b[i] = (uint8_t)(gen_below(g, 2) ? gen_below(g, 256) : gen_below(g, 2) * 0x80);
    for (unsigned i = p.len; i < bits; i++)
        p.addr.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    return dt_prefix_range(&p);
}

static struct dt_addr within(struct gen *g, const struct dt_range *r)
{
    struct dt_addr a = r->from;
    for (unsigned i = 0; i < 16; i++)
        a.b[i] |= (uint8_t)(gen_below(g, 256) & (r->from.b[i] ^ r->to.b[i]));
    return a;
}

static int narrower(const void *a, const void *b)
{
    unsigned n[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        const struct gen_rule *r = i ? b : a;
        for (unsigned k = 0; k < 16; k++)
            n[i] += (unsigned)__builtin_popcount(r->from[0].from.b[k] ^ r->from[0].to.b[k]) +
                    (unsigned)__builtin_popcount(r->to[0].from.b[k] ^ r->to[0].to.b[k]);
    }
    return n[0] < n[1] ? -1 : n[0] > n[1];
}

static void overlapping(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("match/overlap"));
    for (unsigned round = 0; round < 12; round++) {
        unsigned n = 1500, shortest = (unsigned)gen_below(&g, 3) * 6;
        struct gen_rule *v = calloc(n, sizeof *v);
        bool v6 = round & 1, ports = gen_below(&g, 2);
        for (unsigned i = 0; i < n; i++) {
            gen_rule(&g, &v[i], i + 1, 3);
            if (ports && !v[i].r.nproto)
                v[i].r.proto[v[i].r.nproto++] = 6; /* none that hides all after it */
            v[i].from[0] = any_prefix(&g, v6, shortest);
            v[i].to[0] = any_prefix(&g, v6, shortest);
        }
        if (round & 2)
            qsort(v, n, sizeof *v, narrower);
        struct dt_rules *rs = dt_rules_new("gen.conf");
        struct dt_err err;
        for (unsigned i = 0; i < n; i++) {
            v[i].r.from = (struct dt_addrset){v[i].from, 1};
            v[i].r.to = (struct dt_addrset){v[i].to, 1};
            v[i].r.sport = v[i].sport;
            v[i].r.dport = v[i].dport;
            assert_int_equal(dt_rules_add(rs, &v[i].r, &err), 0);
        }
        struct dt_match *m = dt_match_new(rs, &err);
        assert_non_null(m);
        assert_true(dt_match_bytes(m) < (size_t)n * 1200 + (1 << 17));
        for (unsigned k = 0; k < 4000; k++) {
            const struct gen_rule *r = &v[gen_below(&g, n)], *q = gen_below(&g, 4) ? r : &v[gen_below(&g, n)];
            struct dt_flow f = gen_flow(&g);
            f.src = within(&g, &r->from[0]);
            f.dst = within(&g, &q->to[0]);
            assert_int_equal(dt_match_tunnel(m, &f), gen_first(rs, &f, false));
            assert_int_equal(dt_match_transport(m, &f), gen_first(rs, &f, true));
        }
        dt_match_free(m);
        dt_rules_unref(rs);
        free(v);
    }
}

/* Ranges that are no prefixes, begin and end anywhere and lie across each other, and rules of which none hides another:
 * no grid takes them apart: they are looked at one after the other, or by pairs where only one side is so. */
static void tangled(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("match/tangled"));
    for (unsigned round = 0; round < 4; round++) {
        struct dt_rules *rs = dt_rules_new("gen.conf");
        struct dt_err err;
        for (unsigned i = 0; i < 500; i++) {
            struct dt_range r[2];
            struct dt_ports port = {(uint16_t)gen_below(&g, 300), 0};
            port.to = (uint16_t)(port.from + gen_below(&g, 3));
            for (unsigned d = 0; d < 2; d++) {
                struct dt_addr a = {.ver = round & 1 ? 6 : 4}, b = a;
                unsigned at = round & 1 ? 12 : 0;
                uint32_t x = dt_rand_u32(&g.r), y = dt_rand_u32(&g.r);
                if (round & 2) /* short ones: few hold the same address */
                    y = x > UINT32_MAX - (1u << 27) ? x : x + (uint32_t)gen_below(&g, 1u << 27);
                dt_put_be32(a.b + at, x < y ? x : y);
                dt_put_be32(b.b + at, x < y ? y : x);
                r[d] = (struct dt_range){a, b};
            }
            struct dt_rule rule = {.kind = DT_RULE_TUNNEL,
                                   .name = (char *)"r",
                                   .from = {&r[0], 1},
                                   .to = {&r[1], 1},
                                   .nproto = 1,
                                   .proto = {17},
                                   .ndport = 1,
                                   .dport = &port};
            assert_int_equal(dt_rules_add(rs, &rule, &err), 0);
        }
        struct dt_match *m = dt_match_new(rs, &err);
        assert_non_null(m);
        for (unsigned k = 0; k < 10000; k++) {
            struct dt_flow f = {
                .src = {.ver = round & 1 ? 6 : 4}, .dst = {.ver = round & 1 ? 6 : 4}, .proto = 17};
            unsigned at = round & 1 ? 12 : 0;
            dt_put_be32(f.src.b + at, dt_rand_u32(&g.r));
            dt_put_be32(f.dst.b + at, dt_rand_u32(&g.r));
            f.ports = true;
            f.dport = (uint16_t)gen_below(&g, 310);
            assert_int_equal(dt_match_tunnel(m, &f), gen_first(rs, &f, false));
        }
        dt_match_free(m);
        dt_rules_unref(rs);
    }
}

/* Two large groups name each other in some rules among many small ones. */
static void large_groups(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("match/groups"));
    struct dt_rules *rs = dt_rules_new("gen.conf");
    struct dt_err err;
    static struct dt_range group[2][300];
    for (unsigned i = 0; i < 600; i++) {
        struct dt_addr a = dt_addr4(0x0a000000 + i * 1024 + (uint32_t)gen_below(&g, 512));
        group[i % 2][i / 2] =
            (struct dt_range){a, dt_addr4(dt_addr4_host(&a) + (uint32_t)gen_below(&g, 400))};
    }
    for (unsigned i = 0; i < 400; i++) {
        struct gen_rule r;
        gen_rule(&g, &r, i + 1, 3);
        if (i % 8 == 5) {
            r.r.from = (struct dt_addrset){group[gen_below(&g, 2)], 1 + gen_below(&g, 300)};
            r.r.to = (struct dt_addrset){group[gen_below(&g, 2)], 1 + gen_below(&g, 300)};
        } else {
            r.from[0] = group[gen_below(&g, 2)][gen_below(&g, 300)];
            r.r.from = (struct dt_addrset){r.from, 1};
        }
        assert_int_equal(dt_rules_add(rs, &r.r, &err), 0);
    }
    struct dt_match *m = dt_match_new(rs, &err);
    assert_non_null(m);
    for (unsigned k = 0; k < 20000; k++) {
        struct dt_flow f = gen_flow(&g);
        f.src = within(&g, &group[gen_below(&g, 2)][gen_below(&g, 300)]);
        f.dst = within(&g, &group[gen_below(&g, 2)][gen_below(&g, 300)]);
        assert_int_equal(dt_match_tunnel(m, &f), gen_first(rs, &f, false));
        assert_int_equal(dt_match_transport(m, &f), gen_first(rs, &f, true));
    }
    dt_match_free(m);
    dt_rules_unref(rs);
}

static void every_port(void **state)
{
    struct dt_rules *rs = dt_rules_new("gen.conf");
    struct dt_err err;
    for (unsigned i = 0; i < 20; i++) {
        struct dt_ports p = {(uint16_t)(i * 3000), (uint16_t)(i == 19 ? 65535 : i * 3000 + 4000)};
        struct dt_rule r = {.kind = DT_RULE_TUNNEL, .name = (char *)"r", .nproto = 1, .proto = {6}};
        if (i & 1) {
            r.nsport = 1;
            r.sport = &p;
        } else {
            r.ndport = 1;
            r.dport = &p;
        }
        assert_int_equal(dt_rules_add(rs, &r, &err), 0);
    }
    struct dt_match *m = dt_match_new(rs, &err);
    for (unsigned port = 0; port < 65536; port++) {
        struct dt_flow f = {dt_addr4(1), dt_addr4(2), 6, true, (uint16_t)port, (uint16_t)(port * 7)};
        assert_int_equal(dt_match_tunnel(m, &f), gen_first(rs, &f, false));
    }
    dt_match_free(m);
    dt_rules_unref(rs);
}

static void empty(void **state)
{
    struct dt_rules *rs = dt_rules_new("gen.conf");
    struct dt_err err;
    struct dt_match *m = dt_match_new(rs, &err);
    struct dt_flow f = {dt_addr4(1), dt_addr4(2), 6, true, 1, 2};
    assert_int_equal(dt_match_tunnel(m, &f), DT_NO_RULE);
    assert_int_equal(dt_match_transport(m, &f), DT_NO_RULE);
    assert_true(dt_match_bytes(m) > 0);
    dt_match_free(m);
    dt_rules_unref(rs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),      cmocka_unit_test(small_sets),  cmocka_unit_test(large_sets),
        cmocka_unit_test(many_ports), cmocka_unit_test(overlapping), cmocka_unit_test(large_groups),
        cmocka_unit_test(tangled),    cmocka_unit_test(every_port),
    };
    return TEST_RUN(tests);
}
