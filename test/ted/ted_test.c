#include "support/test.h"

#include "base/bytes.h"
#include "ted/ted.h"

/* Two gateways: west (10.1.0.0/16, 192.0.2.1) and east (10.2.0.0/16, 198.51.100.1), and the wires between. */
struct gateway {
    struct dt_ted *ted;
    struct dt_addr own;
    struct dt_prng prng;
    struct dt_ted_answer last;
    int probes, replies, answers;
    uint8_t probe[DT_TED_MAX_MESSAGE], reply[DT_TED_MAX_MESSAGE];
    size_t probe_len, reply_len;
    struct dt_addr probe_src, probe_dst, reply_to;
    uint16_t probe_sport;
    char event[DT_ERR_TEXT + 16];
};

static void send_probe(void *user, const struct dt_addr *src, const struct dt_addr *dst, uint16_t sport,
                       const uint8_t *msg, size_t len)
{
    struct gateway *g = user;
    g->probes++;
    memcpy(g->probe, msg, len);
    g->probe_len = len;
    g->probe_src = *src;
    g->probe_dst = *dst;
    g->probe_sport = sport;
}

static void send_reply(void *user, const struct dt_addr *from, const struct dt_addr *to, const uint8_t *msg,
                       size_t len)
{
    struct gateway *g = user;
    assert_true(dt_addr_eq(from, &g->own));
    g->replies++;
    memcpy(g->reply, msg, len);
    g->reply_len = len;
    g->reply_to = *to;
}

static bool own_addr(void *user, const struct dt_addr *towards, struct dt_addr *own)
{
    struct gateway *g = user;
    *own = g->own;
    return towards->ver != 0;
}

static void answer(void *user, dt_time now, const struct dt_ted_answer *a)
{
    struct gateway *g = user;
    g->answers++;
    g->last = *a;
}

static void event(void *user, dt_time now, const struct dt_ted_event *e)
{
    struct gateway *g = user;
    snprintf(g->event, sizeof g->event, "%s: %s", dt_ted_event_name(e->kind), e->text);
}

static const struct dt_ted_ops ops = {send_probe, send_reply, own_addr, answer, event};

static void make(struct gateway *g, const char *own, const struct dt_ted_params *params)
{
    memset(g, 0, sizeof *g);
    dt_prng_seed(&g->prng, 1 + (uint64_t)own[0] + (uint64_t)own[2]);
    struct dt_rand r = dt_prng_rand(&g->prng);
    assert_int_equal(dt_addr_parse(&g->own, own), 0);
    g->ted = dt_ted_new(&ops, g, params, &r);
    assert_non_null(g->ted);
}

static void rule(struct gateway *g, uint64_t id, const char *proxy)
{
    struct dt_ted_rule r = {.id = id, .name = "rule", .count = 1};
    assert_int_equal(dt_ted_proxy_parse(&r.proxy[0], proxy, NULL), 0);
    assert_int_equal(dt_ted_rule_set(g->ted, 0, &r, NULL), 0);
}

static struct dt_ted_packet packet(const char *src, const char *dst, uint8_t protocol, uint16_t sport,
                                   uint16_t dport)
{
    struct dt_ted_packet p = {.protocol = protocol, .sport = sport, .dport = dport};
    assert_int_equal(dt_addr_parse(&p.src, src), 0);
    assert_int_equal(dt_addr_parse(&p.dst, dst), 0);
    return p;
}

/* The probe passes the responder; its answer goes back. */
static bool carry(struct gateway *from, struct gateway *to, dt_time now)
{
    int before = to->replies;
    if (!dt_ted_probe_input(to->ted, now, &from->probe_src, &from->probe_dst, from->probe, from->probe_len) ||
        to->replies == before)
        return false;
    assert_true(dt_addr_eq(&to->reply_to, &from->own));
    assert_true(to->reply_len <= 3 * from->probe_len);
    dt_ted_reply_input(from->ted, now, &to->own, &from->own, to->reply, to->reply_len);
    return true;
}

static void pair(struct gateway *west, struct gateway *east)
{
    make(west, "192.0.2.1", NULL);
    make(east, "198.51.100.1", NULL);
    rule(west, 1, "10.1.0.0/16 10.0.0.0/8");
    rule(east, 1, "10.2.0.0/16 10.0.0.0/8 tcp 80 any");
}

static void unpair(struct gateway *west, struct gateway *east)
{
    dt_ted_free(west->ted);
    dt_ted_free(east->ted);
}

static void a_packet_finds_the_peer(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    char text[DT_TED_PROXY_STRLEN];
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 1, 1, &p, &a), DT_TED_PROBING);
    assert_int_equal(west.probes, 1);
    assert_int_equal(west.probe_sport, 50000); /* FIG. 2, 210: the packet's own source port */
    assert_true(dt_addr_eq(&west.probe_src, &p.src) && dt_addr_eq(&west.probe_dst, &p.dst));
    assert_true(carry(&west, &east, 20 * DT_MSEC));
    assert_int_equal(west.answers, 1);
    assert_true(west.last.found);
    assert_true(dt_addr_eq(&west.last.peer, &east.own));
    assert_string_equal(dt_ted_proxy_str(text, &west.last.result), "10.1.0.0/16 10.2.0.0/16 tcp any 80");
    assert_true(west.last.rtt == 20 * DT_MSEC - 1);
    /* The next packets need no probe; another host does. */
    p.sport = 50001;
    assert_int_equal(dt_ted_packet(west.ted, DT_SEC, 1, &p, &a), DT_TED_FOUND);
    assert_int_equal(west.probes, 1);
    p.dst.b[3] = 8;
    assert_int_equal(dt_ted_packet(west.ted, DT_SEC, 1, &p, &a), DT_TED_PROBING);
    assert_int_equal(west.probes, 2);
    unpair(&west, &east);
}

static void a_packet_outside_the_intersection_is_refused_with_both_sides(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 17, 53, 53);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(carry(&west, &east, DT_MSEC));
    assert_false(west.last.found);
    assert_true(west.last.peer.ver);
    assert_non_null(strstr(west.last.why, "10.1.0.0/16 10.0.0.0/8"));
    assert_non_null(strstr(west.last.why, "10.2.0.0/16 tcp any 80"));
    assert_non_null(strstr(west.event, "refused: "));
    assert_int_equal(dt_ted_packet(west.ted, DT_SEC, 1, &p, &a), DT_TED_REFUSED);
    assert_int_equal(west.probes, 1);
    unpair(&west, &east);
}

static void silence_is_retried_then_remembered_then_forgotten(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.9.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    static const dt_time at[] = {500, 1500, 3500, 7500}; /* doubling from 500 ms */
    for (int i = 0; i < 4; i++) {
        assert_int_equal(west.probes, i + 1);
        assert_false(carry(&west, &east, at[i] * DT_MSEC - 1)); /* east does not protect 10.9 */
        assert_true(dt_ted_deadline(west.ted) == at[i] * DT_MSEC);
        dt_ted_tick(west.ted, at[i] * DT_MSEC - 1);
        assert_int_equal(west.probes, i + 1);
        dt_ted_tick(west.ted, at[i] * DT_MSEC);
    }
    assert_int_equal(west.probes, 4);
    assert_int_equal(west.answers, 1);
    assert_false(west.last.found || west.last.peer.ver);
    assert_non_null(strstr(west.last.why, "nobody answered 4 probes for 10.1.0.5 to 10.9.0.7 tcp"));
    assert_int_equal(dt_ted_packet(west.ted, 8 * DT_SEC, 1, &p, &a), DT_TED_REFUSED);
    dt_ted_tick(west.ted, 7500 * DT_MSEC + 60 * DT_SEC);
    assert_int_equal(dt_ted_packet(west.ted, 68 * DT_SEC, 1, &p, &a), DT_TED_PROBING);
    assert_int_equal(west.probes, 5);
    unpair(&west, &east);
}

static void replies_must_match_a_probe(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_counters c;
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    struct dt_addr liar = dt_addr4(0xcb007107);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(
        dt_ted_probe_input(east.ted, 1, &west.probe_src, &west.probe_dst, west.probe, west.probe_len));
    dt_ted_reply_input(west.ted, 2, &liar, &west.own, east.reply, east.reply_len); /* another source */
    dt_ted_reply_input(west.ted, 2, &east.own, &liar, east.reply, east.reply_len); /* to another address */
    dt_ted_reply_input(west.ted, 2, &east.own, &west.own, east.reply, east.reply_len - 1); /* cut */
    dt_ted_reply_input(west.ted, 2, &east.own, &west.own, west.probe,
                       west.probe_len); /* the probe reflected */
    struct dt_ted_reply forged;
    assert_int_equal(dt_ted_reply_decode(&forged, east.reply, east.reply_len, NULL), 0);
    uint32_t nobody[] = {dt_addr4_host(&west.own), 0x7f000001, 0xe0000001, 0xffffffff}; /* we, nobody, many */
    for (size_t i = 0; i < DT_ARRAY_LEN(nobody); i++) {
        uint8_t msg[DT_TED_MAX_MESSAGE];
        forged.id = dt_addr4(nobody[i]);
        size_t len = dt_ted_reply_encode(msg, sizeof msg, &forged);
        dt_ted_reply_input(west.ted, 2, &forged.id, &west.own, msg, len);
    }
    east.reply[0] ^= 1;
    dt_ted_reply_input(west.ted, 2, &east.own, &west.own, east.reply, east.reply_len); /* no such cookie */
    east.reply[0] ^= 1;
    assert_int_equal(west.answers, 0);
    dt_ted_reply_input(west.ted, 3, &east.own, &west.own, east.reply, east.reply_len);
    assert_int_equal(west.answers, 1);
    dt_ted_reply_input(west.ted, 4, &east.own, &west.own, east.reply,
                       east.reply_len); /* replayed: nobody waits */
    assert_int_equal(west.answers, 1);
    dt_ted_counters(west.ted, &c);
    assert_int_equal(c.replies_spoofed, 6);
    assert_int_equal(c.replies_bad, 2);
    assert_int_equal(c.replies_late, 2);
    assert_int_equal(c.replies_good, 1);
    assert_int_equal(c.outstanding, 0);
    unpair(&west, &east);
}

/* The sentence names the proxies that met (or rather did not), not the first of each side. */
static void a_refusal_names_the_pair_at_fault(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_rule w = {.id = 1, .name = "w", .count = 3}, e = {.id = 1, .name = "e", .count = 2};
    make(&west, "192.0.2.1", NULL);
    make(&east, "198.51.100.1", NULL);
    assert_int_equal(dt_ted_proxy_parse(&w.proxy[0], "fd01::/16 any", NULL), 0);
    assert_int_equal(dt_ted_proxy_parse(&w.proxy[1], "10.9.0.0/16 any", NULL), 0);
    assert_int_equal(dt_ted_proxy_parse(&w.proxy[2], "10.1.0.0/16 10.0.0.0/8", NULL), 0);
    assert_int_equal(dt_ted_proxy_parse(&e.proxy[0], "10.2.0.0/16 10.9.0.0/16", NULL), 0);
    assert_int_equal(dt_ted_proxy_parse(&e.proxy[1], "10.2.0.0/16 10.1.0.0/16 tcp 443 any", NULL), 0);
    assert_int_equal(dt_ted_rule_set(west.ted, 0, &w, NULL), 0);
    assert_int_equal(dt_ted_rule_set(east.ted, 0, &e, NULL), 0);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(carry(&west, &east, 1));
    assert_false(west.last.found);
    assert_non_null(strstr(west.last.why, "ours 10.1.0.0/16 10.0.0.0/8 and others"));
    assert_non_null(strstr(west.last.why, "10.1.0.0/16 10.2.0.0/16 tcp any 443 and others"));
    unpair(&west, &east);
}

static void several_packets_share_one_probe(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    pair(&west, &east);
    for (uint16_t i = 0; i < 100; i++) {
        struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, (uint16_t)(50000 + i), 80);
        assert_int_equal(dt_ted_packet(west.ted, i, 1, &p, &a), DT_TED_PROBING);
    }
    assert_int_equal(west.probes, 1);
    assert_true(carry(&west, &east, DT_MSEC));
    assert_int_equal(west.answers, DT_TED_WAITING); /* the rest ask again and are answered from the cache */
    unpair(&west, &east);
}

static void the_responder_speaks_only_for_its_own_hosts(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_counters c;
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    struct dt_addr other = dt_addr4(0x0a030001), src = west.probe_src;
    assert_false(
        dt_ted_probe_input(east.ted, 1, &src, &other, west.probe, west.probe_len)); /* passes untouched */
    struct dt_addr mine = dt_addr4(0x0a020008); /* protected, but not the host in the summary */
    assert_true(dt_ted_probe_input(east.ted, 1, &src, &mine, west.probe, west.probe_len));
    assert_true(dt_ted_probe_input(east.ted, 1, &other, &west.probe_dst, west.probe, west.probe_len));
    assert_true(dt_ted_probe_input(east.ted, 1, &src, &west.probe_dst, west.probe, west.probe_len - 1));
    /* A reply never goes to many, nor to a host's inside. */
    static const uint32_t nobody[] = {0xe0000001, 0xffffffff, 0x7f000001, 0x00000001};
    for (size_t i = 0; i < 4; i++) {
        uint8_t msg[DT_TED_MAX_MESSAGE];
        memcpy(msg, west.probe, west.probe_len);
        dt_put_be32(msg + 28 + 24 + 8, nobody[i]); /* the ID payload's address */
        assert_true(dt_ted_probe_input(east.ted, 1, &src, &west.probe_dst, msg, west.probe_len));
    }
    assert_int_equal(east.replies, 0);
    dt_ted_counters(east.ted, &c);
    assert_int_equal(c.probes_bad, 7);
    assert_int_equal(c.probes_passed, 1);
    assert_int_equal(c.entries, 0); /* nothing is remembered */
    unpair(&west, &east);
}

/* 100,000 probes in a second from one source and then from many: replies stay within the limits, and not one byte
 * stays behind (the struct's size is fixed, no entry is made; the leak checker watches the rest). */
static void floods_draw_no_more_than_the_limits(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_counters c;
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    for (int i = 0; i < 100000; i++)
        assert_true(dt_ted_probe_input(east.ted, DT_SEC + (dt_time)i * 10 * DT_USEC, &west.probe_src,
                                       &west.probe_dst, west.probe, west.probe_len));
    assert_in_range(east.replies, 20, 41); /* burst and rate of one source */
    int before = east.replies;
    for (uint32_t i = 0; i < 100000; i++) {
        dt_put_be32(west.probe + 28 + 24 + 8, 0xc6120000u + i); /* the ID payload's address */
        assert_true(dt_ted_probe_input(east.ted, 3 * DT_SEC + (dt_time)i * 10 * DT_USEC, &west.probe_src,
                                       &west.probe_dst, west.probe, west.probe_len));
    }
    assert_in_range(east.replies - before, 500, 1001);
    dt_ted_counters(east.ted, &c);
    assert_int_equal(c.entries, 0);
    assert_int_equal(c.probes_seen, 200000);
    assert_true(c.reply_limited > 0 && c.reply_limited_source > 0);
    unpair(&west, &east);
}

static void the_initiator_is_bounded(void **state)
{
    struct gateway west;
    struct dt_ted_params params;
    struct dt_ted_answer a;
    struct dt_ted_counters c;
    dt_ted_params_default(&params);
    params.cache_max = 50;
    params.outstanding_max = 40;
    params.probe_rate = 10;
    make(&west, "192.0.2.1", &params);
    rule(&west, 1, "10.1.0.0/16 10.0.0.0/8");
    for (uint32_t i = 0; i < 1000; i++) {
        struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 1, 80);
        dt_put_be32(p.dst.b, 0x0a020000u + i);
        assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), i < 40 ? DT_TED_PROBING : DT_TED_LIMITED);
    }
    assert_int_equal(west.probes, 10);
    dt_ted_counters(west.ted, &c);
    assert_int_equal(c.outstanding, 40);
    assert_int_equal(c.outstanding_full, 960);
    assert_int_equal(c.probe_limited, 30);
    for (dt_time now = 0; dt_ted_deadline(west.ted) < 60 * DT_SEC; now = dt_ted_deadline(west.ted))
        dt_ted_tick(west.ted, now);
    assert_int_equal(west.answers, 40);  /* each is told, also those that the limit held back for a while */
    for (uint32_t i = 0; i < 100; i++) { /* the cache pushes out its oldest, never more than it holds */
        struct dt_ted_packet p = packet("10.1.0.5", "10.3.0.7", 6, 1, 80);
        dt_put_be32(p.dst.b, 0x0a030000u + i);
        dt_ted_packet(west.ted, 40 * DT_SEC, 1, &p, &a);
        dt_ted_counters(west.ted, &c);
        assert_true(c.entries <= 50);
    }
    dt_ted_free(west.ted);
}

static void a_changed_rule_ends_its_questions(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    rule(&west, 1, "10.1.0.0/16 10.2.0.0/16");
    assert_int_equal(west.answers, 1);
    assert_non_null(strstr(west.last.why, "the rule was changed"));
    assert_false(carry(&west, &east, 5) && west.answers > 1);
    assert_int_equal(dt_ted_packet(west.ted, 6, 1, &p, &a), DT_TED_PROBING);
    dt_ted_rule_remove(west.ted, 7, 1);
    assert_int_equal(dt_ted_packet(west.ted, 8, 1, &p, &a), DT_TED_NO_RULE);
    assert_true(dt_ted_deadline(west.ted) == DT_NEVER);
    p = packet("10.200.0.5", "10.2.0.7", 6, 50000, 80);
    rule(&west, 2, "10.1.0.0/16 any");
    assert_int_equal(dt_ted_packet(west.ted, 9, 2, &p, &a), DT_TED_NO_RULE);
    unpair(&west, &east);
}

/* A peer that moved or went: nothing of what it said is believed any longer, for none of the hosts that asked. */
static void a_lost_peer_is_forgotten_for_all_hosts(void **state)
{
    struct gateway west, east, other;
    struct dt_ted_answer a;
    pair(&west, &east);
    make(&other, "203.0.113.9", NULL);
    rule(&other, 1, "10.3.0.0/16 10.0.0.0/8");
    struct dt_ted_packet p[3] = {packet("10.1.0.5", "10.2.0.7", 6, 50000, 80),
                                 packet("10.1.0.6", "10.2.0.8", 6, 50000, 80),
                                 packet("10.1.0.6", "10.3.0.8", 6, 50000, 80)};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dt_ted_packet(west.ted, i, 1, &p[i], &a), DT_TED_PROBING);
        assert_true(carry(&west, i < 2 ? &east : &other, i));
    }
    dt_ted_forget_peer(west.ted, 2, &east.own); /* another rule's */
    assert_int_equal(dt_ted_packet(west.ted, 5, 1, &p[0], &a), DT_TED_FOUND);
    dt_ted_forget_peer(west.ted, 1, &east.own);
    assert_int_equal(dt_ted_packet(west.ted, 6, 1, &p[0], &a), DT_TED_PROBING);
    assert_int_equal(dt_ted_packet(west.ted, 6, 1, &p[1], &a), DT_TED_PROBING);
    assert_int_equal(dt_ted_packet(west.ted, 6, 1, &p[2], &a), DT_TED_FOUND);
    dt_ted_forget_peer(west.ted, 1, &east.own); /* a question under way stays */
    assert_true(carry(&west, &east, 7));
    dt_ted_free(other.ted);
    unpair(&west, &east);
}

/* Both versions in one reply: what is of the packet's version counts; a reply of the other one alone is bad, and the
 * question goes on. */
static void versions_are_not_mixed(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_counters c;
    struct dt_ted_reply r;
    uint8_t msg[DT_TED_MAX_MESSAGE];
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80), q = p;
    assert_int_equal(dt_addr_parse(&q.dst, "fd02::7"), 0);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &q, &a), DT_TED_NO_RULE);
    assert_int_equal(west.probes, 0);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(
        dt_ted_probe_input(east.ted, 1, &west.probe_src, &west.probe_dst, west.probe, west.probe_len));
    assert_int_equal(dt_ted_reply_decode(&r, east.reply, east.reply_len, NULL), 0);
    r.proxy[1] = r.proxy[0];
    assert_int_equal(dt_ted_proxy_parse(&r.proxy[0], "any fd02::/16", NULL), 0);
    r.count = 1;
    size_t len = dt_ted_reply_encode(msg, sizeof msg, &r);
    dt_ted_reply_input(west.ted, 2, &east.own, &west.own, msg, len);
    assert_int_equal(west.answers, 0);
    r.count = 2;
    len = dt_ted_reply_encode(msg, sizeof msg, &r);
    dt_ted_reply_input(west.ted, 3, &east.own, &west.own, msg, len);
    assert_true(west.last.found);
    assert_int_equal(west.last.ntheirs, 1);
    dt_ted_counters(west.ted, &c);
    assert_int_equal(c.replies_bad, 1);
    assert_int_equal(c.replies_good, 1);
    unpair(&west, &east);
}

/* A reply that promises more than the responder's side is: what is used is never wider than our own proxy. */
static void a_peer_that_answers_for_more_gains_nothing(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_proxy ours;
    struct dt_ted_reply r;
    uint8_t msg[DT_TED_MAX_MESSAGE];
    char text[DT_TED_PROXY_STRLEN];
    pair(&west, &east);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(
        dt_ted_probe_input(east.ted, 1, &west.probe_src, &west.probe_dst, west.probe, west.probe_len));
    assert_int_equal(dt_ted_reply_decode(&r, east.reply, east.reply_len, NULL), 0);
    assert_int_equal(dt_ted_proxy_parse(&r.proxy[0], "any any", NULL), 0);
    size_t len = dt_ted_reply_encode(msg, sizeof msg, &r);
    dt_ted_reply_input(west.ted, 3, &east.own, &west.own, msg, len);
    assert_true(west.last.found);
    assert_string_equal(dt_ted_proxy_str(text, &west.last.result), "10.1.0.0/16 10.0.0.0/8");
    assert_int_equal(dt_ted_proxy_parse(&ours, "10.1.0.0/16 10.0.0.0/8", NULL), 0);
    assert_true(dt_ted_proxy_covers(&ours, &west.last.result));
    unpair(&west, &east);
}

/* A gateway with a secret for each says who it is; its reply stays within three times the probe with the longest name. */
static void a_name_comes_with_the_answer(void **state)
{
    struct gateway west, east;
    struct dt_ted_params params;
    struct dt_ted_answer a;
    dt_ted_params_default(&params);
    params.proxy_address = false; /* the shortest probe */
    make(&west, "192.0.2.1", &params);
    memset(params.name, 'n', DT_TED_NAME_MAX);
    make(&east, "198.51.100.1", &params);
    rule(&west, 1, "10.1.0.0/16 10.0.0.0/8");
    struct dt_ted_rule r = {.id = 1, .name = "many", .count = DT_TED_MAX_PROXIES};
    for (size_t i = 0; i < r.count; i++) {
        char text[80];
        snprintf(text, sizeof text, "10.2.0.0/16 10.%zu.0.0/16", 1 + i);
        assert_int_equal(dt_ted_proxy_parse(&r.proxy[i], text, NULL), 0);
    }
    assert_int_equal(dt_ted_rule_set(east.ted, 0, &r, NULL), 0);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(carry(&west, &east, 5)); /* checks the length */
    assert_true(west.last.found);
    assert_string_equal(west.last.peer_name, params.name);
    assert_in_range(west.last.ntheirs, 1, 4);
    assert_int_equal(dt_ted_packet(west.ted, 6, 1, &p, &a), DT_TED_FOUND); /* from the cache as well */
    assert_string_equal(a.peer_name, params.name);
    unpair(&west, &east);
}

static void many_proxies_are_cut_to_three_times_the_probe(void **state)
{
    struct gateway west, east;
    struct dt_ted_answer a;
    struct dt_ted_rule r = {.id = 9, .name = "many", .count = DT_TED_MAX_PROXIES};
    pair(&west, &east);
    for (size_t i = 0; i < r.count; i++) {
        char text[80];
        snprintf(text, sizeof text, "10.2.0.0/16 10.%zu.0.0/16", 100 + i);
        assert_int_equal(dt_ted_proxy_parse(&r.proxy[i], text, NULL), 0);
    }
    assert_int_equal(dt_ted_rule_set(east.ted, 0, &r, NULL), 0);
    struct dt_ted_packet p = packet("10.1.0.5", "10.2.0.7", 6, 50000, 80);
    assert_int_equal(dt_ted_packet(west.ted, 0, 1, &p, &a), DT_TED_PROBING);
    assert_true(carry(&west, &east, 5));
    assert_true(west.last.found); /* the one that holds the packet comes first */
    assert_int_equal(west.last.ntheirs, 10);
    unpair(&west, &east);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_finds_the_peer),
        cmocka_unit_test(a_packet_outside_the_intersection_is_refused_with_both_sides),
        cmocka_unit_test(silence_is_retried_then_remembered_then_forgotten),
        cmocka_unit_test(replies_must_match_a_probe),
        cmocka_unit_test(a_refusal_names_the_pair_at_fault),
        cmocka_unit_test(several_packets_share_one_probe),
        cmocka_unit_test(the_responder_speaks_only_for_its_own_hosts),
        cmocka_unit_test(floods_draw_no_more_than_the_limits),
        cmocka_unit_test(the_initiator_is_bounded),
        cmocka_unit_test(a_changed_rule_ends_its_questions),
        cmocka_unit_test(a_lost_peer_is_forgotten_for_all_hosts),
        cmocka_unit_test(versions_are_not_mixed),
        cmocka_unit_test(a_peer_that_answers_for_more_gains_nothing),
        cmocka_unit_test(a_name_comes_with_the_answer),
        cmocka_unit_test(many_proxies_are_cut_to_three_times_the_probe),
    };
    return TEST_RUN(tests);
}
