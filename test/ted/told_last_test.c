/* Who hears an answer or an event may look at the engine, and finds it whole: what it sees at the first of them is what is
 * there when the call has ended. */
#include "support/test.h"

#include "base/bytes.h"
#include "ted/ted.h"

#define HOSTS 40 /* more than a table's first buckets */
#define PORTS 2  /* of each host: packets that wait for one entry */

struct look {
    uint64_t digest, entries, outstanding, found, refused, silent;
    dt_time deadline;
};

struct gateway {
    struct dt_ted *ted;
    struct dt_addr own;
    struct dt_prng prng;
    dt_time now;
    unsigned answers, probes, events;
    unsigned told[HOSTS][DT_TED_WAITING]; /* answers by destination and source port */
    struct look first;                    /* at the first answer or event since watch() */
    unsigned looks;
    bool probe_was_sent; /* before its event was told */
    uint8_t probe[DT_TED_MAX_MESSAGE], reply[DT_TED_MAX_MESSAGE];
    size_t probe_len, reply_len;
    struct dt_addr probe_src, probe_dst;
};

static struct look look(const struct gateway *g)
{
    struct dt_digest d;
    struct dt_ted_counters c;
    dt_digest_init(&d);
    dt_ted_digest(g->ted, g->now, &d);
    dt_ted_counters(g->ted, &c);
    return (struct look){.digest = dt_digest_value(&d),
                         .entries = c.entries,
                         .outstanding = c.outstanding,
                         .found = c.found,
                         .refused = c.refused,
                         .silent = c.silent,
                         .deadline = dt_ted_deadline(g->ted)};
}

static void look_once(struct gateway *g)
{
    if (g->looks++ == 0)
        g->first = look(g);
}

static void watch(struct gateway *g, dt_time now)
{
    g->looks = 0;
    g->now = now;
}

/* The call has ended: nothing changed after the first who heard of it had looked. */
static void nothing_changed_since(const struct gateway *g)
{
    struct look l = look(g);
    assert_true(g->looks > 0);
    assert_true(g->first.digest == l.digest);
    assert_true(g->first.deadline == l.deadline);
    assert_int_equal(g->first.entries, l.entries);
    assert_int_equal(g->first.outstanding, l.outstanding);
    assert_int_equal(g->first.found, l.found);
    assert_int_equal(g->first.refused, l.refused);
    assert_int_equal(g->first.silent, l.silent);
}

static void send_probe(void *user, const struct dt_addr *src, const struct dt_addr *dst, uint16_t sport,
                       const uint8_t *msg, size_t len)
{
    struct gateway *g = user;
    g->probes++;
    memcpy(g->probe, msg, len);
    g->probe_len = len;
    g->probe_src = *src;
    g->probe_dst = *dst;
}

static void send_reply(void *user, const struct dt_addr *from, const struct dt_addr *to, const uint8_t *msg,
                       size_t len)
{
    struct gateway *g = user;
    memcpy(g->reply, msg, len);
    g->reply_len = len;
}

static bool own_addr(void *user, const struct dt_addr *towards, struct dt_addr *own)
{
    *own = ((struct gateway *)user)->own;
    return true;
}

static void answer(void *user, dt_time now, const struct dt_ted_answer *a)
{
    struct gateway *g = user;
    assert_in_range(a->packet.dst.b[3], 0, HOSTS - 1);
    assert_in_range(a->packet.sport, 1, DT_TED_WAITING);
    g->answers++;
    g->told[a->packet.dst.b[3]][a->packet.sport - 1]++;
    look_once(g);
}

static void event(void *user, dt_time now, const struct dt_ted_event *e)
{
    struct gateway *g = user;
    g->events++;
    if (e->kind == DT_TED_EVENT_PROBE)
        g->probe_was_sent = g->probes == g->events;
    look_once(g);
}

static void make(struct gateway *g, const char *own)
{
    static const struct dt_ted_ops ops = {send_probe, send_reply, own_addr, answer, event};
    memset(g, 0, sizeof *g);
    dt_prng_seed(&g->prng, (uint64_t)own[0]);
    struct dt_rand r = dt_prng_rand(&g->prng);
    assert_int_equal(dt_addr_parse(&g->own, own), 0);
    g->ted = dt_ted_new(&ops, g, NULL, &r);
    assert_non_null(g->ted);
}

static void rule(struct gateway *g, const char *proxy)
{
    struct dt_ted_rule r = {.id = 1, .name = "rule", .count = 1};
    assert_int_equal(dt_ted_proxy_parse(&r.proxy[0], proxy, NULL), 0);
    assert_int_equal(dt_ted_rule_set(g->ted, 1, &r, NULL), 0);
}

static void ask(struct gateway *g, uint8_t host, uint16_t sport)
{
    struct dt_ted_answer a;
    struct dt_ted_packet p = {.src = dt_addr4(0x0a010005),
                              .dst = dt_addr4(0x0a020000u + host),
                              .protocol = 6,
                              .sport = sport,
                              .dport = 80};
    assert_int_equal(dt_ted_packet(g->ted, 0, 1, &p, &a), DT_TED_PROBING);
}

static void ask_all(struct gateway *g)
{
    for (uint8_t h = 0; h < HOSTS; h++)
        for (uint16_t p = 1; p <= PORTS; p++)
            ask(g, h, p);
}

static void each_was_answered_once(const struct gateway *g)
{
    for (int h = 0; h < HOSTS; h++)
        for (int p = 0; p < PORTS; p++)
            assert_int_equal(g->told[h][p], 1);
    assert_int_equal(g->answers, HOSTS * PORTS);
}

static void a_removed_rule_is_gone_before_its_answers(void **state)
{
    struct gateway g;
    make(&g, "192.0.2.1");
    rule(&g, "10.1.0.0/16 10.0.0.0/8");
    ask_all(&g);
    watch(&g, 1);
    dt_ted_rule_remove(g.ted, 1, 1);
    nothing_changed_since(&g);
    assert_int_equal(g.first.entries, 0);
    assert_int_equal(g.first.outstanding, 0);
    assert_true(g.first.deadline == DT_NEVER);
    each_was_answered_once(&g);
    dt_ted_free(g.ted);
}

static void a_replaced_rule_is_gone_before_its_answers(void **state)
{
    struct gateway g;
    make(&g, "192.0.2.1");
    rule(&g, "10.1.0.0/16 10.0.0.0/8");
    ask_all(&g);
    watch(&g, 1);
    rule(&g, "10.1.0.0/16 10.2.0.0/16");
    nothing_changed_since(&g);
    assert_int_equal(g.first.entries, 0);
    each_was_answered_once(&g);
    dt_ted_free(g.ted);
}

static void all_who_waited_for_a_reply_are_counted_before_the_first_is_told(void **state)
{
    struct gateway west, east;
    make(&west, "192.0.2.1");
    make(&east, "198.51.100.1");
    rule(&west, "10.1.0.0/16 10.0.0.0/8");
    rule(&east, "10.2.0.0/16 10.0.0.0/8");
    for (uint16_t p = 1; p <= DT_TED_WAITING; p++)
        ask(&west, 7, p);
    assert_true(
        dt_ted_probe_input(east.ted, 1, &west.probe_src, &west.probe_dst, west.probe, west.probe_len));
    watch(&west, 2);
    dt_ted_reply_input(west.ted, 2, &east.own, &west.own, east.reply, east.reply_len);
    nothing_changed_since(&west);
    assert_int_equal(west.first.found, DT_TED_WAITING);
    for (int p = 0; p < DT_TED_WAITING; p++)
        assert_int_equal(west.told[7][p], 1);
    dt_ted_free(west.ted);
    dt_ted_free(east.ted);
}

static void silence_is_counted_before_the_first_is_told(void **state)
{
    struct gateway g;
    make(&g, "192.0.2.1");
    rule(&g, "10.1.0.0/16 10.0.0.0/8");
    for (uint16_t p = 1; p <= DT_TED_WAITING; p++)
        ask(&g, 7, p);
    while (g.answers == 0) {
        dt_time at = dt_ted_deadline(g.ted);
        assert_true(at != DT_NEVER);
        watch(&g, at);
        dt_ted_tick(g.ted, at);
    }
    nothing_changed_since(&g);
    assert_int_equal(g.first.silent, DT_TED_WAITING);
    assert_int_equal(g.first.outstanding, 0);
    dt_ted_free(g.ted);
}

static void a_probe_is_sent_before_its_event_is_told(void **state)
{
    struct gateway g;
    make(&g, "192.0.2.1");
    rule(&g, "10.1.0.0/16 10.0.0.0/8");
    watch(&g, 0);
    ask(&g, 7, 1);
    nothing_changed_since(&g);
    assert_true(g.probe_was_sent);
    dt_time at = dt_ted_deadline(g.ted);
    watch(&g, at);
    dt_ted_tick(g.ted, at);
    nothing_changed_since(&g);
    assert_int_equal(g.probes, 2);
    assert_true(g.probe_was_sent);
    dt_ted_free(g.ted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_removed_rule_is_gone_before_its_answers),
        cmocka_unit_test(a_replaced_rule_is_gone_before_its_answers),
        cmocka_unit_test(all_who_waited_for_a_reply_are_counted_before_the_first_is_told),
        cmocka_unit_test(silence_is_counted_before_the_first_is_told),
        cmocka_unit_test(a_probe_is_sent_before_its_event_is_told),
    };
    return TEST_RUN(tests);
}
