/* The rules in user space: every script, then what only user space has. */
#include "masq/rig.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "masq/packets.h"

static void user_start(struct rig *r, const struct dt_masq_config *c)
{
    dt_masq_free(r->ctx);
    r->ctx = dt_masq_new(c);
    assert_non_null(r->ctx);
}

static void user_packet(struct rig *r, dt_time now, const struct dt_masq_facts *f, struct dt_masq_verdict *v)
{
    dt_masq_packet(r->ctx, now, f, v);
}

static void user_configure(struct rig *r, const struct dt_masq_config *c)
{
    dt_masq_configure(r->ctx, c);
}

static void user_sweep(struct rig *r, dt_time now)
{
    dt_masq_tick(r->ctx, now);
}

static void run_script(void **state)
{
    const struct script *s = *state;
    struct rig r = {.name = s->name,
                    .start = user_start,
                    .packet = user_packet,
                    .configure = user_configure,
                    .sweep = user_sweep,
                    .base = 1000 * DT_SEC};
    s->run(&r);
    dt_masq_free(r.ctx);
}

struct seen {
    unsigned n[5];
    struct dt_masq_event last;
};

static void on_event(void *ctx, const struct dt_masq_event *ev)
{
    struct seen *s = ctx;
    s->n[ev->what]++;
    s->last = *ev;
}

/* An ICMP error that ends before it tells which packet it is about is nobody's, though one client alone talks to the server. */
static void errors_cut_short(void **state)
{
    (void)state;
    const uint32_t client = 0x0a000001, server = 0xc6336401, outside = 0xcb007105;
    struct dt_masq_config c = dt_masq_defaults();
    c.params.n_outside = 1;
    c.params.outside[0] = outside;
    struct dt_masq *m = dt_masq_new(&c);
    struct dt_masq_facts f = dt_masq_ike_out(client, server, 0x1111, 0);
    struct dt_masq_verdict v;
    dt_masq_packet(m, DT_SEC, &f, &v);
    assert_int_equal(v.verdict, DT_MASQ_FORWARD);

    struct dt_masq_facts error = {.side = DT_MASQ_OUTSIDE,
                                  .proto = 17,
                                  .src = server,
                                  .dst = outside,
                                  .flags = DT_MASQ_F_QUOTE,
                                  .qsrc = outside,
                                  .qdst = server,
                                  .icookie = 0x1111};
    uint8_t frame[PACKET_MAX];
    const size_t len = packet_build(frame, &error) - 14, quoted = 20 + 8 + 20 + 8 + 16;
    assert_true(len >= quoted);
    for (size_t n = 0; n <= len; n++) {
        uint8_t *copy = test_malloc(n ? n : 1);
        memcpy(copy, frame + 14, n);
        assert_int_equal(dt_masq_parse(&f, DT_MASQ_OUTSIDE, copy, n), n >= quoted);
        test_free(copy);
    }
    dt_masq_packet(m, DT_SEC, &f, &v);
    assert_int_equal(v.verdict, DT_MASQ_FORWARD);
    assert_int_equal(v.to[0], client);
    dt_masq_free(m);
}

static enum dt_masq_rule run(struct dt_masq *m, dt_time now, struct dt_masq_facts f)
{
    struct dt_masq_verdict v;
    dt_masq_packet(m, now, &f, &v);
    return v.rule;
}

static void events_and_ticks(void **state)
{
    struct seen seen = {0};
    struct dt_masq_config c = rig_config();
    c.event = on_event;
    c.ctx = &seen;
    struct dt_masq *m = dt_masq_new(&c);
    assert_int_equal(dt_masq_deadline(m), DT_NEVER);
    dt_time t = 1000 * DT_SEC;
    run(m, t, dt_masq_esp_out(C1, S1, 0x1001));
    assert_int_equal(seen.n[DT_MASQ_EV_CREATED], 1);
    assert_int_equal(dt_masq_deadline(m), t + 5 * DT_SEC);
    assert_int_equal(dt_masq_count(m, t, DT_MASQ_ESP, DT_MASQ_OUTSTANDING), 1);
    assert_int_equal(dt_masq_count(m, t + 5 * DT_SEC, DT_MASQ_ESP, DT_MASQ_OUTSTANDING), 0); /* lazily gone */
    dt_masq_tick(m, t + 5 * DT_SEC - 1);
    assert_int_equal(seen.n[DT_MASQ_EV_EXPIRED], 0);
    dt_masq_tick(m, t + 5 * DT_SEC);
    assert_int_equal(seen.n[DT_MASQ_EV_EXPIRED], 1);
    assert_int_equal(seen.last.client, C1);
    t += 10 * DT_SEC;
    run(m, t, dt_masq_esp_out(C1, S1, 0x1001));
    run(m, t, dt_masq_esp_in(S1, OUT, 0x2001));
    assert_int_equal(seen.n[DT_MASQ_EV_CONVERTED], 1);
    assert_int_equal(seen.last.spi_in, 0x2001);
    run(m, t + 30 * DT_SEC, dt_masq_esp_in(S1, OUT, 0x2001));
    dt_masq_tick(m, t + 60 * DT_SEC);
    assert_int_equal(seen.n[DT_MASQ_EV_EXPIRED], 1);
    dt_masq_tick(m, t + 90 * DT_SEC - 1);
    assert_int_equal(seen.n[DT_MASQ_EV_EXPIRED], 1);
    dt_masq_tick(m, t + 90 * DT_SEC);
    assert_int_equal(seen.n[DT_MASQ_EV_EXPIRED], 2);
    assert_int_equal(run(m, t + 91 * DT_SEC, dt_masq_esp_in(S1, OUT, 0x2001)), DT_MASQ_RULE_ESP_UNKNOWN);
    assert_int_equal(seen.n[DT_MASQ_EV_DROPPED], 0); /* left to the stack */
    for (int i = 0; i < 20; i++)                     /* in the end there is nothing left to wake for */
        dt_masq_tick(m, t + (200 + 20 * (unsigned)i) * DT_SEC);
    assert_int_equal(dt_masq_deadline(m), DT_NEVER);
    dt_masq_free(m);
}

static void flush(void **state)
{
    struct dt_masq_config c = rig_config();
    struct dt_masq *m = dt_masq_new(&c);
    run(m, 0, dt_masq_esp_out(C1, S1, 0x1001));
    run(m, 0, dt_masq_esp_in(S1, OUT, 0x2001));
    run(m, 0, dt_masq_ike_out(C1, S1, 1, 0));
    dt_masq_flush(m);
    assert_int_equal(dt_masq_deadline(m), DT_NEVER);
    assert_int_equal(run(m, 1, dt_masq_esp_in(S1, OUT, 0x2001)), DT_MASQ_RULE_ESP_UNKNOWN);
    assert_int_equal(run(m, 1, dt_masq_ike_in(S1, OUT, 1, 2)), DT_MASQ_RULE_IKE_UNKNOWN);
    dt_masq_free(m);
}

static uint64_t digest(const struct dt_masq *m, dt_time now)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_masq_digest(m, now, &d);
    return dt_digest_value(&d);
}

static void digests(void **state)
{
    struct dt_masq_config c = rig_config();
    struct dt_masq *a = dt_masq_new(&c);
    c.hash_key.k[0] = 77; /* another order in the tables */
    struct dt_masq *b = dt_masq_new(&c);
    assert_int_equal(digest(a, 0), digest(b, 99));
    for (uint32_t i = 0; i < 40; i++) {
        run(a, 10 + i, dt_masq_esp_out(C1 + i, S1 + i, 0x1000 + i));
        run(b, 1010 + i, dt_masq_esp_out(C1 + i, S1 + i, 0x1000 + i)); /* the same, later */
    }
    assert_int_equal(digest(a, 100), digest(b, 1100));
    assert_int_not_equal(digest(a, 100), digest(a, 101));
    uint64_t before = digest(a, 100);
    run(a, 100, dt_masq_esp_in(S1, OUT, 0x2001));
    assert_int_not_equal(digest(a, 100), before);
    dt_masq_free(a);
    dt_masq_free(b);
}

/* Who gives way next is part of the state, once the queue has come so far that somebody may. */
static void digests_of_queues(void **state)
{
    struct dt_masq_config c = rig_config();
    for (uint32_t clients = 4; clients <= 128; clients *= 32) {
        c.sizes.clients = clients;
        struct dt_masq *a = dt_masq_new(&c), *b = dt_masq_new(&c);
        run(a, 10, dt_masq_esp_out(C1, S1, 0x1001));
        run(a, 10, dt_masq_esp_out(C2, S2, 0x1001));
        run(b, 10, dt_masq_esp_out(C2, S2, 0x1001));
        run(b, 10, dt_masq_esp_out(C1, S1, 0x1001));
        assert_true((digest(a, 20) == digest(b, 20)) == (clients == 128));
        dt_masq_free(a);
        dt_masq_free(b);
    }
}

static void faults(void **state)
{
    struct dt_masq_config c = rig_config();
    c.faults.convert_waiting = true;
    struct dt_masq *m = dt_masq_new(&c);
    struct dt_masq_verdict v;
    run(m, 0, dt_masq_esp_out(C1, S1, 0x1001));
    run(m, 0, dt_masq_esp_out(C2, S1, 0x1002));
    struct dt_masq_facts in = dt_masq_esp_in(S1, OUT, 0x2001);
    dt_masq_packet(m, 1, &in, &v);
    assert_int_equal(v.to[0], C2);
    c.faults = (struct dt_masq_faults){.two_outstanding = true};
    dt_masq_configure(m, &c);
    dt_masq_flush(m);
    run(m, 0, dt_masq_esp_out(C1, S1, 0x1001));
    assert_int_equal(run(m, 0, dt_masq_esp_out(C2, S1, 0x1002)), DT_MASQ_RULE_ESP_CREATE);
    c.faults = (struct dt_masq_faults){.keep_outstanding = true, .short_t_ei = true};
    dt_masq_configure(m, &c);
    dt_masq_flush(m);
    run(m, 0, dt_masq_esp_out(C1, S1, 0x1001));
    assert_int_equal(run(m, 900 * DT_SEC, dt_masq_esp_in(S1, OUT, 0x2001)), DT_MASQ_RULE_ESP_CONVERT);
    run(m, 930 * DT_SEC, dt_masq_esp_in(S1, OUT, 0x2001));
    assert_int_equal(run(m, 960 * DT_SEC, dt_masq_esp_in(S1, OUT, 0x2001)), DT_MASQ_RULE_ESP_UNKNOWN);
    dt_masq_free(m);
}

static void parameters(void **state)
{
    struct dt_masq_config c = dt_masq_defaults();
    const char *why;
    assert_int_equal(dt_masq_set(&c, "t_out", "2.5", &why), 0);
    assert_int_equal(c.params.t_out, 2500 * DT_MSEC);
    assert_int_equal(c.params.t_ike_out, 2500 * DT_MSEC); /* one t_out for both kinds */
    assert_int_equal(dt_masq_set(&c, "t_ike_out", "9", &why), 0);
    assert_int_equal(dt_masq_set(&c, "t_out", "3", &why), 0);
    assert_int_equal(c.params.t_ike_out, 9 * DT_SEC);
    assert_int_equal(dt_masq_set(&c, "n_out", "7", &why), 0);
    assert_int_equal(c.params.n_out, 7);
    assert_int_equal(dt_masq_set(&c, "require_ike", "yes", &why), 0);
    assert_int_equal(c.params.require_ike, 1);
    assert_int_equal(dt_masq_set(&c, "multicast_rate", "50", &why), 0);
    assert_int_equal(c.params.multicast_interval, 20 * DT_MSEC);
    static const char *const bad[][2] = {{"t_out", "-1"},          {"t_out", "x"},    {"t_out", ""},
                                         {"n_out", "1.5"},         {"nonsense", "1"}, {"multicast", "7"},
                                         {"multicast_cap", "129"}, {"t_ei", "nan"}};
    for (size_t i = 0; i < DT_ARRAY_LEN(bad); i++)
        assert_int_equal(dt_masq_set(&c, bad[i][0], bad[i][1], &why), -1);
    for (const char *const *n = dt_masq_param_names(); *n; n++)
        assert_string_not_equal(*n, "");
}

/* Random packets: whatever comes, the tables stay within their bounds, at most one outstanding ESP item a
 * server, and nothing is forwarded to a client that never spoke. */
static bool one_slot(void *ctx, const struct dt_masq_item *it)
{
    uint32_t *servers = ctx;
    if (it->kind == DT_MASQ_ESP && it->state == DT_MASQ_OUTSTANDING)
        assert_int_equal(servers[it->server - S1]++, 0);
    return true;
}

static void any_sequence(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("any_sequence"));
    struct dt_rand rnd = dt_prng_rand(&p);
    struct dt_masq_config c = rig_config();
    c.params.share_esp = 20;
    c.params.share_ike = 10;
    struct dt_masq *m = dt_masq_new(&c);
    dt_time now = DT_SEC;
    for (int i = 0; i < 200000; i++) {
        now +=
            dt_rand_below(&rnd, 20) ? dt_rand_below(&rnd, 300 * DT_MSEC) : dt_rand_below(&rnd, 30 * DT_SEC);
        uint32_t cl = C1 + (uint32_t)dt_rand_below(&rnd, 6), s = S1 + (uint32_t)dt_rand_below(&rnd, 3);
        uint32_t spi = 0x1000 + (uint32_t)dt_rand_below(&rnd, 12);
        uint64_t ic = 1 + dt_rand_below(&rnd, 8), rc = dt_rand_below(&rnd, 4);
        struct dt_masq_facts f;
        switch (dt_rand_below(&rnd, 4)) {
        case 0:
            f = dt_masq_esp_out(cl, s, spi);
            break;
        case 1:
            f = dt_masq_esp_in(s, OUT, spi);
            break;
        case 2:
            f = dt_masq_ike_out(cl, s, ic, rc);
            break;
        default:
            f = dt_masq_ike_in(s, OUT, ic, rc);
        }
        struct dt_masq_verdict v;
        dt_masq_packet(m, now, &f, &v);
        for (size_t k = 0; k < v.n && f.side == DT_MASQ_OUTSIDE; k++)
            assert_in_range(v.to[k], C1, C1 + 5);
        if (i % 64 == 0) {
            uint32_t servers[3] = {0};
            dt_masq_items(m, now, one_slot, servers);
            assert_true(dt_masq_count(m, now, DT_MASQ_ESP, DT_MASQ_ESTABLISHED) <= 6 * 20);
        }
        if (i % 16 == 0)
            dt_masq_tick(m, now);
    }
    dt_masq_free(m);
}

/* What the stack forwards with a client's address is dropped on its way out; the router's own is not, nor a neighbour's. */
static void forwarded_untranslated(void **state)
{
    struct dt_masq_config c = rig_config();
    c.params.n_nets = 1;
    c.params.nets[0] = (struct dt_masq_net){C1 & 0xffffff00, 0xffffff00};
    struct dt_masq *m = dt_masq_new(&c);
    struct dt_masq_facts esp = dt_masq_esp_out(C1, S1, 0x1001), ike = dt_masq_ike_out(C1, S1, 11, 0);
    struct dt_masq_verdict v;
    esp.side = ike.side = DT_MASQ_ROUTER;
    dt_masq_packet(m, DT_SEC, &esp, &v);
    assert_int_equal(v.verdict, DT_MASQ_PASS); /* the router's own, from an inside address of its own */
    esp.flags = ike.flags = DT_MASQ_F_FORWARDED;
    for (int later = 0; later < 2; later++, esp.frag_off = 1480) {
        dt_masq_packet(m, DT_SEC, &esp, &v);
        assert_int_equal(v.verdict, DT_MASQ_DROP);
        assert_int_equal(v.rule, DT_MASQ_RULE_UNTRANSLATED);
    }
    dt_masq_packet(m, DT_SEC, &ike, &v);
    assert_int_equal(v.rule, DT_MASQ_RULE_UNTRANSLATED);
    ike.src = OUT; /* masqueraded */
    dt_masq_packet(m, DT_SEC, &ike, &v);
    assert_int_equal(v.verdict, DT_MASQ_PASS);
    esp.dst = C1 + 1; /* from one inside network to another, by whatever way */
    dt_masq_packet(m, DT_SEC, &esp, &v);
    assert_int_equal(v.verdict, DT_MASQ_PASS);
    dt_masq_free(m);
}

int main(void)
{
    struct CMUnitTest tests[64] = {0};
    size_t n = rig_tests(tests, DT_ARRAY_LEN(tests), run_script);
    const struct CMUnitTest more[] = {
        cmocka_unit_test(errors_cut_short),
        cmocka_unit_test(events_and_ticks),
        cmocka_unit_test(flush),
        cmocka_unit_test(digests),
        cmocka_unit_test(digests_of_queues),
        cmocka_unit_test(faults),
        cmocka_unit_test(parameters),
        cmocka_unit_test(any_sequence),
        cmocka_unit_test(forwarded_untranslated),
    };
    memcpy(tests + n, more, sizeof(more));
    n += DT_ARRAY_LEN(more);
    return _cmocka_run_group_tests("masq", tests, n, NULL, NULL);
}
