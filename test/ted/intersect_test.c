#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "ted/intersect.h"

/* Every branch of FIG. 3A, 3B and 3C, and the document's worked example. `last` is the branch that decided. */
static const struct {
    const char *a, *b, *result; /* NULL: none */
    const char *figure, *branch;
} table[] = {
    /* US 7,207,063's example: A 10.11.0.0, B 255.255.0.0, C 10.0.0.0, D 255.0.0.0 */
    {"10.11.0.0/255.255.0.0 any", "10.0.0.0/255.0.0.0 any", "10.11.0.0/16 0.0.0.0/0", "3B", "320 yes, 324"},
    /* FIG. 3A */
    {"any any", "any any", "0.0.0.0/0 0.0.0.0/0", "3A", "302 yes, 304"},
    {"any any tcp", "any any", "0.0.0.0/0 0.0.0.0/0 tcp", "3A", "306 yes, 312"},
    {"any any", "any any udp", "0.0.0.0/0 0.0.0.0/0 udp", "3A", "306 yes, 312"},
    {"any any tcp", "any any tcp", "0.0.0.0/0 0.0.0.0/0 tcp", "3A", "308, 310 yes, 312"},
    {"any any tcp", "any any udp", NULL, "3A", "308, 310 no, 314"},
    /* FIG. 3B */
    {"10.1.0.0/16 10.2.0.0/16", "10.0.0.0/8 10.0.0.0/8", "10.1.0.0/16 10.2.0.0/16", "3B", "320 yes, 324"},
    {"10.0.0.0/8 10.0.0.0/8", "10.1.0.0/16 10.2.0.0/16", "10.1.0.0/16 10.2.0.0/16", "3B", "320 yes, 324"},
    {"10.1.0.0/16 10.2.0.0/16", "10.3.0.0/16 10.2.0.0/16", NULL, "3B", "320 no, 322"},
    {"10.1.0.0/16 10.2.0.0/16", "10.1.0.0/16 10.3.0.0/16", NULL, "3B", "320 no, 322"},
    {"10.0.0.1/255.0.0.255 any", "10.7.0.0/16 any", "10.7.0.1/255.255.0.255 0.0.0.0/0", "3B", "320 yes, 324"},
    {"10.0.0.1/255.0.0.255 any", "10.0.0.2/255.0.0.255 any", NULL, "3B", "320 no, 322"},
    {"10.0.0.0/8 any", "fd00::/8 any", NULL, "3B", "320 no, 322"},
    {"fd00::/8 any", "fd12::/16 fd00:1::/32", "fd12::/16 fd00:1::/32", "3B", "320 yes, 324"},
    /* FIG. 3C */
    {"any any tcp any 80", "any any tcp any 80", "0.0.0.0/0 0.0.0.0/0 tcp any 80", "3C",
     "330 yes, 334 yes, 336"},
    {"any any tcp any 80", "any any tcp any 443", NULL, "3C", "330 yes, 334 no, 338"},
    {"any any tcp any 80", "any any", "0.0.0.0/0 0.0.0.0/0 tcp any 80", "3C", "330 no, 332 yes, 336"},
    {"any any", "any any tcp 7 any", "0.0.0.0/0 0.0.0.0/0 tcp 7 any", "3C", "330 no, 332 yes, 336"},
    {"any any tcp", "any any", "0.0.0.0/0 0.0.0.0/0 tcp", "3C", "330 no, 332 no, 333"},
    {"any any tcp 7 any", "any any tcp 8 any", NULL, "3C", "330 yes, 334 no, 338"},
    {"any any any 1 any", "any any icmp", NULL, "3C", "338"},
    {"any any gre", "any any any any 80", NULL, "3C", "338"},
    {"any any any 1 any", "any any sctp", "0.0.0.0/0 0.0.0.0/0 sctp 1 any", "3C", "330 no, 332 no, 333"},
    {"any any any 1 any", "any any", "0.0.0.0/0 0.0.0.0/0 any 1 any", "3C", "330 no, 332 no, 333"},
};

static void every_branch_of_the_figures(void **state)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(table); i++) {
        struct dt_ted_proxy a, b, r;
        struct dt_ted_trace t;
        char out[DT_TED_PROXY_STRLEN];
        bool seen = false;
        assert_int_equal(dt_ted_proxy_parse(&a, table[i].a, NULL), 0);
        assert_int_equal(dt_ted_proxy_parse(&b, table[i].b, NULL), 0);
        assert_int_equal(dt_ted_intersect(&r, &a, &b, &t), table[i].result != NULL);
        if (table[i].result)
            assert_string_equal(dt_ted_proxy_str(out, &r), table[i].result);
        for (size_t k = 0; k < t.count; k++) {
            assert_true(t.step[k].count >= 2); /* both sides' values, whatever the branch */
            seen |= !strcmp(t.step[k].figure, table[i].figure) && !strcmp(t.step[k].branch, table[i].branch);
        }
        assert_true(seen);
        if (!table[i].result) /* the last step is the one that decided */
            assert_string_equal(t.step[t.count - 1].branch, table[i].branch);
        else
            assert_int_equal(t.count, 5);
    }
}

/* A proxy over 3-bit addresses, 4 protocols of which one has no ports, 3 ports: such as its own parser takes. */
static const uint8_t protocols[4] = {6, 17, 1, 132};

static struct dt_ted_proxy small_proxy(const struct dt_rand *r)
{
    struct dt_ted_proxy p = {.ver = 4};
    p.protocol = dt_rand_below(r, 2) ? 0 : protocols[dt_rand_below(r, 4)];
    bool port = !p.protocol || dt_ted_has_ports(p.protocol);
    p.sport = (uint16_t)(dt_rand_below(r, 3) || !port ? 0 : 1 + dt_rand_below(r, 2));
    p.dport = (uint16_t)(dt_rand_below(r, 3) || !port ? 0 : 1 + dt_rand_below(r, 2));
    p.src_mask = dt_addr4(0xfffffff8u | (uint32_t)dt_rand_below(r, 8));
    p.dst_mask = dt_addr4(0xfffffff8u | (uint32_t)dt_rand_below(r, 8));
    p.src = dt_addr4(0x0a000000u | (uint32_t)dt_rand_below(r, 8));
    p.dst = dt_addr4(0x0a000000u | (uint32_t)dt_rand_below(r, 8));
    assert_int_equal(dt_ted_proxy_normal(&p, NULL), 0);
    return p;
}

/* Over the whole small space: exactly the packets that both accept, symmetric, never wider than either. */
static void is_exactly_what_both_accept(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("is_exactly_what_both_accept"));
    struct dt_rand rnd = dt_prng_rand(&prng);
    int met = 0, unmet = 0;
    for (int i = 0; i < 1500; i++) {
        struct dt_ted_proxy a = small_proxy(&rnd), b = small_proxy(&rnd), r, back;
        bool any = dt_ted_intersect(&r, &a, &b, NULL), shared = false;
        assert_int_equal(dt_ted_intersect(&back, &b, &a, NULL), any);
        if (any) {
            assert_true(dt_ted_proxy_eq(&r, &back));
            assert_true(dt_ted_proxy_covers(&a, &r) && dt_ted_proxy_covers(&b, &r));
            char text[DT_TED_PROXY_STRLEN];
            struct dt_err err = {0};
            if (dt_ted_proxy_parse(&back, dt_ted_proxy_str(text, &r), &err)) /* somebody may write it down */
                fail_msg("%s: %s", text, err.text);
            assert_true(dt_ted_proxy_eq(&r, &back));
        }
        for (uint32_t n = 0; n < 8 * 8 * 4 * 3 * 3; n++) {
            struct dt_ted_packet p = {.src = dt_addr4(0x0a000000u | (n & 7)),
                                      .dst = dt_addr4(0x0a000000u | (n >> 3 & 7)),
                                      .protocol = protocols[n >> 6 & 3],
                                      .sport = (uint16_t)(n / 256 % 3),
                                      .dport = (uint16_t)(n / 768)};
            if ((p.sport || p.dport) && !dt_ted_has_ports(p.protocol))
                continue; /* there is no such packet */
            bool both = dt_ted_proxy_has(&a, &p) && dt_ted_proxy_has(&b, &p);
            shared |= both;
            if (both != (any && dt_ted_proxy_has(&r, &p)))
                fail_msg("packet %u of pair %d", n, i);
        }
        /* The small space holds a packet for every combination, so an intersection is never empty. */
        assert_int_equal(any, shared);
        met += any;
        unmet += !any;
    }
    assert_true(met > 100 && unmet > 100);
}

static void of_several_the_widest_that_holds_the_packet(void **state)
{
    struct dt_ted_proxy a[2], b[2], r;
    struct dt_ted_trace t;
    char out[DT_TED_PROXY_STRLEN];
    struct dt_ted_packet p = {
        .src = dt_addr4(0x0a010001), .dst = dt_addr4(0x0a020001), .protocol = 6, .sport = 999, .dport = 80};
    dt_ted_proxy_parse(&a[0], "10.1.0.0/16 10.2.0.0/16 tcp any 80", NULL);
    dt_ted_proxy_parse(&a[1], "10.1.0.0/16 10.2.0.0/16 tcp", NULL);
    dt_ted_proxy_parse(&b[0], "10.0.0.0/8 10.2.0.0/24", NULL);
    dt_ted_proxy_parse(&b[1], "10.0.0.0/8 10.2.0.0/16", NULL);
    assert_true(dt_ted_intersect_lists(&r, a, 2, b, 2, &p, &t));
    assert_string_equal(dt_ted_proxy_str(out, &r), "10.1.0.0/16 10.2.0.0/16 tcp");
    p.protocol = 17;
    assert_false(dt_ted_intersect_lists(&r, a, 2, b, 2, &p, &t));
    assert_string_equal(t.step[t.count - 1].branch, "218 no");
    assert_false(dt_ted_intersect_lists(&r, a, 0, b, 2, &p, &t));
    assert_int_equal(t.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_branch_of_the_figures),
        cmocka_unit_test(is_exactly_what_both_accept),
        cmocka_unit_test(of_several_the_widest_that_holds_the_packet),
    };
    return TEST_RUN(tests);
}
