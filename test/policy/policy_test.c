#include "policy/policy.h"
#include "policy/gen.h"

/* The owner of the layers, as a model: what it is asked for, and what must hold at each moment. */
#define LAYERS 4096
enum model_state { M_NONE, M_PERFORMING, M_UP, M_TEARING };

struct model {
    struct dt_policy *p;
    dt_time now;
    enum model_state state[LAYERS];
    struct dt_policy_action action[LAYERS];
    uint32_t last;
    char log[8192];
    size_t log_len;
    char events[16384];
    size_t events_len;
    unsigned released, dropped;
    dt_time used;
};

static void note(char *buf, size_t cap, size_t *len, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (*len < cap - 1)
        *len += (size_t)vsnprintf(buf + *len, cap - *len, fmt, ap);
    if (*len >= cap)
        *len = cap - 1;
    va_end(ap);
}

#define LOG(m, ...) note((m)->log, sizeof(m)->log, &(m)->log_len, __VA_ARGS__)

static void perform(void *user, dt_time now, const struct dt_policy_action *a)
{
    struct model *m = user;
    assert_true(a->layer > m->last && a->layer < LAYERS);
    m->last = a->layer;
    if (a->below)
        assert_int_equal(m->state[a->below], M_UP);
    for (uint32_t i = 1; i < a->layer; i++) /* nothing is built twice */
        if (m->state[i] && m->action[i].below == a->below && m->action[i].kind == a->kind &&
            m->action[i].udp == a->udp)
            assert_false(dt_addr_eq(&m->action[i].peer, &a->peer));
    m->state[a->layer] = M_PERFORMING;
    m->action[a->layer] = *a;
    LOG(m, "+%s ", a->rule);
}

static void teardown(void *user, dt_time now, uint32_t layer)
{
    struct model *m = user;
    assert_true(m->state[layer] == M_PERFORMING || m->state[layer] == M_UP);
    for (uint32_t i = 1; i <= m->last; i++) /* nothing stands on it */
        if (m->state[i])
            assert_int_not_equal(m->action[i].below, layer);
    m->state[layer] = M_TEARING;
    LOG(m, "-%u ", layer);
}

static void release(void *user, dt_time now, void *packet, size_t len, uint32_t layer)
{
    struct model *m = user;
    *(layer ? &m->released : &m->dropped) += 1;
    free(packet);
}

static void event(void *user, const struct dt_policy_event *ev)
{
    struct model *m = user;
    note(m->events, sizeof m->events, &m->events_len, "%s %u %s %u/%u: %s\n", dt_policy_event_name(ev->kind),
         ev->plan, ev->rule, ev->pending, ev->completed, ev->text);
}

static dt_time used(void *user, uint32_t layer)
{
    return ((struct model *)user)->used;
}

static struct dt_match *make(const char *text, struct dt_rules **rs)
{
    struct dt_err err = {0};
    *rs = dt_rules_parse(text, strlen(text), "t.conf", false, &err);
    if (!*rs)
        fail_msg("%s", err.text);
    struct dt_match *m = dt_match_new(*rs, &err);
    dt_rules_unref(*rs);
    return m;
}

static struct model *model_new(const struct dt_match *match, const struct dt_policy_limits *limits)
{
    static const struct dt_policy_ops ops = {perform, teardown, release, used, event};
    struct model *m = calloc(1, sizeof *m);
    m->now = 1000 * DT_SEC;
    m->p = dt_policy_new(&ops, m, limits, match);
    return m;
}

static void model_free(struct model *m)
{
    dt_policy_free(m->p, m->now);
    free(m);
}

static void ok(struct model *m, uint32_t layer)
{
    assert_int_equal(m->state[layer], M_PERFORMING);
    m->state[layer] = M_UP;
    dt_policy_done(m->p, m->now, layer, NULL);
}

static void bad(struct model *m, uint32_t layer, const char *why)
{
    struct dt_err err;
    dt_err_set(&err, 0, "%s", why);
    assert_int_equal(m->state[layer], M_PERFORMING);
    m->state[layer] = M_NONE;
    dt_policy_done(m->p, m->now, layer, &err);
}

static void torn(struct model *m, uint32_t layer)
{
    assert_int_equal(m->state[layer], M_TEARING);
    m->state[layer] = M_NONE;
    dt_policy_torn(m->p, m->now, layer);
}

static void lose(struct model *m, uint32_t layer, const char *why)
{
    struct dt_err err;
    dt_err_set(&err, 0, "%s", why);
    assert_int_equal(m->state[layer], M_UP);
    dt_policy_lost(m->p, m->now, layer, &err);
}

/* Answers everything that is being torn down, until nothing is. */
static void torn_all(struct model *m)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 1; i <= m->last; i++)
            if (m->state[i] == M_TEARING) {
                torn(m, i);
                more = true;
            }
    }
}

static unsigned alive(const struct model *m)
{
    unsigned n = 0;
    for (uint32_t i = 1; i <= m->last; i++)
        n += m->state[i] != M_NONE;
    return n;
}

static struct dt_flow flow(const char *dst)
{
    struct dt_flow f = {.src = dt_addr4(0xc0000201), .proto = 6, .ports = true, .sport = 40000, .dport = 80};
    assert_int_equal(dt_addr_parse(&f.dst, dst), 0);
    return f;
}

static enum dt_policy_verdict packet(struct model *m, const char *dst, uint32_t *layer)
{
    struct dt_flow f = flow(dst);
    struct dt_err why = {0};
    void *pkt = malloc(100);
    enum dt_policy_verdict v = dt_policy_packet(m->p, m->now, &f, pkt, 100, layer, &why);
    if (v != DT_POLICY_HELD)
        free(pkt);
    assert_true((v == DT_POLICY_DROP) == (why.text[0] != 0));
    return v;
}

static struct dt_policy_plan_info info(struct model *m, uint32_t id)
{
    struct dt_policy_plan_info i;
    assert_true(dt_policy_plan_info(m->p, id ? id : dt_policy_plan_next(m->p, 0), &i));
    return i;
}

/* g1 carries g2 carries ... g5 carries the host. */
static const char five[] =
    "rule host { action = transport to = 10.5.0.9 }\n"
    "rule g5 { action = tunnel gateway = 198.51.100.5 to = 10.5.0.0/16 }\n"
    "rule g4 { action = tunnel gateway = 198.51.100.4 to = 198.51.100.5 protocol = esp }\n"
    "rule g3 { action = tunnel gateway = 198.51.100.3 to = 198.51.100.4 protocol = esp }\n"
    "rule g2 { action = tunnel gateway = 198.51.100.2 to = 198.51.100.3 protocol = esp }\n"
    "rule g1 { action = tunnel gateway = 198.51.100.1 to = 198.51.100.2 protocol = esp }\n";

static void in_order(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs);
    struct model *m = model_new(match, NULL);
    uint32_t layer;
    assert_int_equal(packet(m, "10.5.0.9", NULL), DT_POLICY_HELD);
    assert_int_equal(packet(m, "10.5.0.9", NULL), DT_POLICY_HELD);
    assert_string_equal(m->log, "+g1 "); /* one at a time */
    struct dt_policy_plan_info i = info(m, 0);
    assert_int_equal(i.state, DT_PLAN_BUILDING);
    assert_int_equal(i.pending, 5);
    assert_int_equal(i.completed, 0);
    assert_int_equal(i.layer[0].state, DT_LAYER_PERFORMING);
    assert_int_equal(i.layer[1].state, DT_LAYER_PENDING);
    for (uint32_t l = 1; l <= 6; l++) {
        assert_int_equal(m->last, l);
        assert_int_equal(m->action[l].depth, l - 1);
        assert_int_equal(m->action[l].below, l - 1);
        assert_int_equal(m->released, 0);
        ok(m, l);
    }
    assert_string_equal(m->log, "+g1 +g2 +g3 +g4 +g5 +host ");
    assert_int_equal(m->released, 2);
    assert_int_equal(packet(m, "10.5.0.9", &layer), DT_POLICY_SEND);
    assert_int_equal(layer, 6);
    i = info(m, 0);
    assert_int_equal(i.state, DT_PLAN_UP);
    assert_int_equal(i.completed, 6);
    assert_int_equal(i.held, 0);
    assert_string_equal(i.layer[5].rule, "host");
    assert_int_equal(packet(m, "192.0.2.77", &layer), DT_POLICY_PASS);
    /* What the original calls pushes and pops can be followed. */
    assert_non_null(
        strstr(m->events, "pending_pop 1 g1 5/0: begun\ncompleted_push 1 g1 5/1: up\npending_pop 1 g2 4/1"));
    assert_non_null(strstr(m->events, "completed_push 1 host 0/6: up\nplan_up 1  0/6: 6 layers\n"));
    model_free(m);
    dt_match_free(match);
}

/* Wherever it fails, the completed stack ends empty, torn down in the exact reverse. */
static void every_failure_point(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs);
    for (uint32_t k = 1; k <= 6; k++) {
        struct model *m = model_new(match, NULL);
        packet(m, "10.5.0.9", NULL);
        for (uint32_t l = 1; l < k; l++)
            ok(m, l);
        m->log_len = 0;
        m->log[0] = 0;
        bad(m, k, "refused");
        char want[64] = "";
        for (uint32_t l = k; l-- > 1;) {
            char one[8];
            snprintf(one, sizeof one, "-%u ", l);
            strcat(want, one);
            assert_string_equal(m->log, want); /* the next only when this one is gone */
            torn(m, l);
        }
        assert_string_equal(m->log, want);
        assert_int_equal(alive(m), 0);
        assert_int_equal(m->dropped, 1);
        struct dt_policy_plan_info i = info(m, 0);
        assert_int_equal(i.state, DT_PLAN_WAITING);
        assert_int_equal(i.completed, 0);
        assert_int_equal(i.pending, 6);
        assert_string_equal(i.why, "refused");
        /* Nobody asks any more: it is forgotten, and no timer is left. */
        m->now = dt_policy_deadline(m->p);
        dt_policy_tick(m->p, m->now);
        assert_true(dt_policy_idle(m->p));
        assert_true(dt_policy_deadline(m->p) == DT_NEVER);
        model_free(m);
    }
    dt_match_free(match);
}

static void tries_again(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs);
    struct model *m = model_new(match, NULL);
    dt_time pause[8], begun = m->now;
    packet(m, "10.5.0.9", NULL);
    for (unsigned n = 0; n < 8; n++) {
        bad(m, m->last, "no answer");
        assert_int_equal(packet(m, "10.5.0.9", NULL), DT_POLICY_HELD); /* somebody still asks */
        assert_int_equal(m->state[m->last], M_NONE);
        begun = m->now;
        m->now = dt_policy_deadline(m->p);
        pause[n] = m->now - begun;
        dt_policy_tick(m->p, m->now);
        assert_int_equal(m->last, n + 2);
    }
    assert_int_equal(pause[0], DT_SEC);
    assert_int_equal(pause[1], 2 * DT_SEC);
    assert_int_equal(pause[5], 32 * DT_SEC);
    assert_int_equal(pause[7], 60 * DT_SEC);
    for (unsigned n = 0; n < 6; n++)
        ok(m, m->last);
    assert_int_equal(m->released, 1);
    model_free(m);
    dt_match_free(match);
}

static void third_is_lost(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs);
    struct model *m = model_new(match, NULL);
    packet(m, "10.5.0.9", NULL);
    for (uint32_t l = 1; l <= 6; l++)
        ok(m, l);
    m->log_len = 0;
    lose(m, 3, "gateway silent");
    assert_string_equal(m->log, "-6 ");
    torn(m, 6);
    torn(m, 5);
    torn(m, 4);
    assert_string_equal(m->log, "-6 -5 -4 -3 ");
    torn(m, 3);
    assert_int_equal(m->state[1], M_UP); /* exactly those above */
    assert_int_equal(m->state[2], M_UP);
    assert_int_equal(info(m, 0).completed, 2);
    /* It does not come back at once: those below stay, packets are held. */
    for (unsigned n = 0; n < 3; n++) {
        m->now = dt_policy_deadline(m->p);
        dt_policy_tick(m->p, m->now);
        assert_int_equal(m->action[m->last].below, 2);
        assert_int_equal(packet(m, "10.5.0.9", NULL), DT_POLICY_HELD);
        bad(m, m->last, "still silent");
        assert_int_equal(alive(m), 2);
    }
    m->now = dt_policy_deadline(m->p);
    dt_policy_tick(m->p, m->now);
    m->log_len = 0;
    for (unsigned n = 0; n < 4; n++)
        ok(m, m->last);
    assert_string_equal(m->log, "+g4 +g5 +host ");
    assert_int_equal(info(m, 0).state, DT_PLAN_UP);
    model_free(m);
    dt_match_free(match);
}

/* Two hosts behind gateway b, one behind c, all through a. */
static const char forked[] =
    "rule h1 { action = transport to = 10.2.0.1 }\n"
    "rule h2 { action = transport to = 10.2.0.2 }\n"
    "rule b { action = tunnel gateway = 198.51.100.2 to = 10.2.0.0/16 }\n"
    "rule c { action = tunnel gateway = 198.51.100.3 to = 10.3.0.0/16 }\n"
    "rule a { action = tunnel gateway = 198.51.100.1 to = 198.51.100.2-198.51.100.3 }\n";

static void shared(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(forked, &rs);
    struct model *m = model_new(match, NULL);
    uint32_t layer;
    packet(m, "10.2.0.1", NULL);
    packet(m, "10.2.0.2", NULL);
    packet(m, "10.3.0.1", NULL);
    assert_string_equal(m->log, "+a "); /* three plans wait for one tunnel */
    ok(m, 1);
    assert_string_equal(m->log, "+a +b +c ");
    ok(m, 3);
    assert_int_equal(packet(m, "10.3.0.200", &layer), DT_POLICY_SEND); /* the same plan */
    assert_int_equal(layer, 3);
    ok(m, 2);
    assert_string_equal(m->log, "+a +b +c +h1 +h2 ");
    ok(m, 4);
    bad(m, 5, "no transport mode here");
    assert_int_equal(m->state[2], M_UP); /* h1 keeps b */
    assert_int_equal(m->state[1], M_UP);
    assert_int_equal(m->dropped, 1);
    struct dt_policy_plan_info i = info(m, 0);
    assert_int_equal(i.layer[0].plans, 2);
    assert_int_equal(i.layer[1].plans, 1);
    /* a is lost: everything goes, each after what stands on it (teardown() checks that). */
    lose(m, 1, "gone");
    torn_all(m);
    assert_int_equal(alive(m), 0);
    model_free(m);
    dt_match_free(match);
}

static void idle(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(forked, &rs);
    struct dt_policy_limits l;
    dt_policy_limits_default(&l);
    l.idle = 10 * DT_SEC;
    struct model *m = model_new(match, &l);
    packet(m, "10.3.0.1", NULL);
    ok(m, 1);
    ok(m, 2);
    packet(m, "10.2.0.1", NULL);
    ok(m, 3);
    ok(m, 4);
    m->now += 6 * DT_SEC;
    dt_policy_tick(m->p, m->now);
    packet(m, "10.2.0.1", NULL);
    m->now += 5 * DT_SEC;
    m->log_len = 0;
    dt_policy_tick(m->p, m->now);
    assert_string_equal(m->log, "-2 "); /* c; a is shared */
    torn_all(m);
    assert_int_equal(alive(m), 3);
    m->used = m->now + 2 * DT_SEC; /* packets that went past the engine */
    m->now += 6 * DT_SEC;
    dt_policy_tick(m->p, m->now);
    assert_int_equal(alive(m), 3);
    m->now += 20 * DT_SEC;
    m->log_len = 0;
    dt_policy_tick(m->p, m->now);
    torn_all(m);
    assert_string_equal(m->log, "-4 -3 -1 ");
    assert_true(dt_policy_idle(m->p));
    assert_non_null(strstr(m->events, "no packet for 10 s"));
    model_free(m);
    dt_match_free(match);
}

static void hold_bounds(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(forked, &rs);
    struct dt_policy_limits l;
    struct dt_policy_counters c;
    dt_policy_limits_default(&l);
    l.hold_packets = 3;
    l.hold_total_bytes = 500;
    struct model *m = model_new(match, &l);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(packet(m, "10.2.0.1", NULL), i < 3 ? DT_POLICY_HELD : DT_POLICY_DROP);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(packet(m, "10.2.0.2", NULL), i < 2 ? DT_POLICY_HELD : DT_POLICY_DROP);
    dt_policy_counters(m->p, &c);
    assert_int_equal(c.held, 5);
    assert_int_equal(c.held_bytes, 500);
    assert_int_equal(c.drop_hold, 5);
    model_free(m);
    l.hold_packets = 0;
    m = model_new(match, &l);
    assert_int_equal(packet(m, "10.2.0.1", NULL), DT_POLICY_DROP);
    assert_string_equal(m->log, "+a "); /* but the plan is begun */
    model_free(m);
    dt_match_free(match);
}

/* Thousands of destinations, each with a plan of its own. */
static void flood(void **state)
{
    static const char text[] =
        "rule all { action = transport to = 10.0.0.0/8 }\n"
        "rule loop { action = tunnel gateway = 198.51.100.1 to = { 198.51.100.1, 172.16.0.0/12 } }\n";
    struct dt_rules *rs;
    struct dt_match *match = make(text, &rs);
    struct dt_policy_limits l;
    struct dt_policy_counters c;
    dt_policy_limits_default(&l);
    l.plans_max = 100;
    l.building_max = 60;
    struct model *m = model_new(match, &l);
    char dst[32];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(dst, sizeof dst, "10.0.%u.%u", i / 250, i % 250 + 1);
        packet(m, dst, NULL);
        packet(m, "192.0.2.1", NULL);
        packet(m, "172.16.0.1", NULL);
        if (i == 1500)
            for (uint32_t k = 1; k <= m->last; k++)
                if (m->state[k] == M_PERFORMING)
                    ok(m, k);
    }
    dt_policy_counters(m->p, &c);
    assert_int_equal(c.plans, 100);
    assert_int_equal(c.building, 40);
    assert_int_equal(c.passed, 3000);
    assert_int_equal(c.drop_refused, 3000);
    assert_int_equal(c.drop_building + c.drop_plans, 2900);
    assert_true(c.drop_building && c.drop_plans);
    unsigned told = 0;
    for (const char *at = m->events; (at = strstr(at, "refused 0")); at++)
        told++;
    assert_int_equal(told, 1); /* in the same second */
    model_free(m);
    dt_match_free(match);
}

static void reload_while_building(void **state)
{
    static const char other[] = "rule host { action = transport to = 10.5.0.9 }\n"
                                "rule g9 { action = tunnel gateway = 198.51.100.9 to = 10.5.0.0/16 }\n";
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs), *match2 = make(other, &rs), *match3 = make(five, &rs);
    struct model *m = model_new(match, NULL);
    packet(m, "10.5.0.9", NULL);
    ok(m, 1);
    ok(m, 2);
    dt_policy_set_rules(m->p, m->now, match3); /* nothing changes */
    assert_string_equal(m->log, "+g1 +g2 +g3 ");
    m->log_len = 0;
    dt_policy_set_rules(m->p, m->now, match2); /* g3 is under way */
    assert_string_equal(m->log, "-3 +g9 ");
    struct dt_err late;
    dt_err_set(&late, 0, "late");
    dt_policy_done(m->p, m->now, 3, &late); /* its answer crosses */
    torn(m, 3);
    torn(m, 2);
    torn(m, 1);
    assert_string_equal(m->log, "-3 +g9 -2 -1 ");
    ok(m, 4);
    ok(m, 5);
    assert_int_equal(m->released, 1); /* what the old plan held went the new way */
    assert_int_equal(m->dropped, 0);
    model_free(m);
    dt_match_free(match);
    dt_match_free(match2);
    dt_match_free(match3);
}

static void no_answer(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs);
    struct model *m = model_new(match, NULL);
    packet(m, "10.5.0.9", NULL);
    ok(m, 1);
    assert_int_equal(dt_policy_deadline(m->p), m->now + 120 * DT_SEC);
    m->now = dt_policy_deadline(m->p);
    dt_policy_tick(m->p, m->now);
    assert_string_equal(m->log, "+g1 +g2 -2 ");
    assert_non_null(strstr(m->events, "action_failed 1 g2 4/1: no answer for 120 s"));
    torn_all(m);
    assert_int_equal(alive(m), 0);
    model_free(m);
    dt_match_free(match);
}

static void always(void **state)
{
    static const char text[] =
        "rule a { action = tunnel gateway = 198.51.100.1 to = 10.0.0.0/8 always = yes }\n"
        "rule b { action = tunnel gateway = 198.51.100.2 to = fd00::/8 dport = 443 protocol = tcp "
        "always = yes }\n"
        "rule c { action = tunnel gateway = 198.51.100.3 to = 192.168.0.0/16 }\n";
    struct dt_rules *rs;
    struct dt_match *match = make(text, &rs);
    struct model *m = model_new(match, NULL);
    dt_policy_start(m->p, m->now);
    assert_string_equal(m->log, "+a +b ");
    ok(m, 1);
    bad(m, 2, "no");
    m->now += 3600 * DT_SEC;
    dt_policy_tick(m->p, m->now);
    assert_string_equal(m->log, "+a +b +b "); /* tried again without a packet, and a is not idle */
    dt_policy_stop(m->p, m->now);
    torn_all(m);
    assert_true(dt_policy_idle(m->p));
    assert_int_equal(packet(m, "192.168.0.1", NULL), DT_POLICY_DROP);
    model_free(m);
    dt_match_free(match);
}

static uint64_t digest(struct model *m)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_policy_digest(m->p, m->now, &d);
    return dt_digest_value(&d);
}

static void digests(void **state)
{
    struct dt_rules *rs;
    struct dt_match *match = make(five, &rs);
    struct model *a = model_new(match, NULL), *b = model_new(match, NULL);
    b->now += 77 * DT_SEC;
    for (unsigned i = 1; i <= 6; i++) {
        packet(a, "10.5.0.9", NULL);
        packet(b, "10.5.0.9", NULL);
        assert_int_equal(digest(a), digest(b));
        ok(a, i);
        assert_true(digest(a) != digest(b));
        ok(b, i);
    }
    assert_int_equal(digest(a), digest(b));
    model_free(a);
    model_free(b);
    dt_match_free(match);
}

/* Anything in any order; what teardown() and perform() check must hold throughout, and all comes to an end. */
static void anything(void **state)
{
    struct gen g;
    gen_init(&g, test_seed("policy/anything"));
    for (unsigned round = 0; round < 300; round++) {
        struct dt_rules *rs[3];
        struct dt_match *match[3];
        struct dt_err err = {0};
        g.hosts = 12;
        for (unsigned i = 0; i < 3; i++) {
            rs[i] = gen_rules(&g, 12, 6);
            match[i] = dt_match_new(rs[i], &err);
            dt_rules_unref(rs[i]);
        }
        struct dt_policy_limits l;
        dt_policy_limits_default(&l);
        l.idle = gen_below(&g, 2) ? 20 * DT_SEC : 0;
        l.hold_packets = (uint32_t)gen_below(&g, 3);
        l.plans_max = 1 + (uint32_t)gen_below(&g, 20);
        struct model *m = model_new(match[0], &l);
        for (unsigned n = 0; n < 400 && m->last < LAYERS - 30; n++) {
            uint32_t at = m->last ? 1 + (uint32_t)gen_below(&g, m->last) : 0;
            while (at && m->state[at] == M_NONE)
                at--;
            switch (gen_below(&g, 12)) {
            case 0:
                dt_policy_set_rules(m->p, m->now, match[gen_below(&g, 3)]);
                break;
            case 1:
            case 2:
                m->now += gen_below(&g, 8) * DT_SEC;
                if (m->now >= dt_policy_deadline(m->p))
                    dt_policy_tick(m->p, m->now);
                break;
            case 3:
            case 4:
            case 5: {
                struct dt_flow f = gen_flow(&g);
                void *pkt = malloc(10);
                if (dt_policy_packet(m->p, m->now, &f, pkt, 10, NULL, NULL) != DT_POLICY_HELD)
                    free(pkt);
                break;
            }
            default:
                if (at && m->state[at] == M_PERFORMING) {
                    if (gen_below(&g, 3))
                        ok(m, at);
                    else
                        bad(m, at, "random");
                } else if (at && m->state[at] == M_TEARING) {
                    torn(m, at);
                } else if (at && m->state[at] == M_UP && !gen_below(&g, 3)) {
                    lose(m, at, "lost");
                }
            }
        }
        dt_policy_stop(m->p, m->now);
        torn_all(m);
        assert_int_equal(alive(m), 0);
        assert_true(dt_policy_idle(m->p));
        assert_true(dt_policy_deadline(m->p) == DT_NEVER);
        struct dt_policy_counters c;
        dt_policy_counters(m->p, &c);
        assert_int_equal(c.plans | c.layers | c.building | c.held | c.held_bytes, 0);
        assert_int_equal(c.held_all, m->released + m->dropped);
        model_free(m);
        for (unsigned i = 0; i < 3; i++)
            dt_match_free(match[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),    cmocka_unit_test(every_failure_point),
        cmocka_unit_test(tries_again), cmocka_unit_test(third_is_lost),
        cmocka_unit_test(shared),      cmocka_unit_test(idle),
        cmocka_unit_test(hold_bounds), cmocka_unit_test(flood),
        cmocka_unit_test(no_answer),   cmocka_unit_test(reload_while_building),
        cmocka_unit_test(always),      cmocka_unit_test(digests),
        cmocka_unit_test(anything),
    };
    return TEST_RUN(tests);
}
