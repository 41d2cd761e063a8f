/* A thousand gateways in one small network in virtual time: what discovery costs grows with the pairs that talk, and
 * with nothing else. Each probe passes two other gateways on its way, which must let it go on. */
#include "support/test.h"

#include "base/bytes.h"
#include "base/heap.h"
#include "base/rand.h"
#include "ted/ted.h"

#define GATEWAYS 1000
#define DELAY    (10 * DT_MSEC)

struct net;

struct gateway {
    struct net *net;
    unsigned index;
    struct dt_addr own;
    struct dt_ted *ted;
    unsigned found, refused, silent;
};

struct message {
    struct dt_timer timer;
    bool reply;
    unsigned to;
    struct dt_addr src, dst;
    size_t len;
    uint8_t msg[DT_TED_MAX_MESSAGE];
};

struct net {
    struct gateway gateway[GATEWAYS];
    struct dt_heap flight;
    struct dt_prng rng;
    dt_time now;
    unsigned loss; /* of 256 */
    uint64_t probes, replies, bytes, passed;
};

static struct dt_addr host_of(unsigned gateway, unsigned host)
{
    return dt_addr4(10u << 24 | gateway / 250 << 16 | gateway % 250 << 8 | host);
}

static void post(struct net *n, unsigned to, bool reply, const struct dt_addr *src, const struct dt_addr *dst,
                 const uint8_t *msg, size_t len)
{
    n->bytes += len;
    if (dt_prng_u64(&n->rng) % 256 < n->loss)
        return;
    struct message *m = calloc(1, sizeof *m);
    *m = (struct message){.reply = reply, .to = to, .src = *src, .dst = *dst, .len = len};
    memcpy(m->msg, msg, len);
    dt_timer_init(&m->timer);
    dt_heap_set(&n->flight, &m->timer, n->now + DELAY);
}

static void send_probe(void *user, const struct dt_addr *src, const struct dt_addr *dst, uint16_t sport,
                       const uint8_t *msg, size_t len)
{
    struct gateway *g = user;
    unsigned owner = (unsigned)dst->b[1] * 250 + dst->b[2];
    g->net->probes++;
    /* Two gateways on the way see it pass. */
    for (unsigned k = 1; k <= 2; k++) {
        unsigned transit = (g->index + owner + k * 337) % GATEWAYS;
        if (transit == owner || transit == g->index)
            continue;
        assert_false(dt_ted_probe_input(g->net->gateway[transit].ted, g->net->now, src, dst, msg, len));
        g->net->passed++;
    }
    if (owner < GATEWAYS)
        post(g->net, owner, false, src, dst, msg, len);
}

static void send_reply(void *user, const struct dt_addr *from, const struct dt_addr *to, const uint8_t *msg,
                       size_t len)
{
    struct gateway *g = user;
    g->net->replies++;
    post(g->net, dt_addr4_host(to) - 0xc6120000u, true, from, to, msg, len);
}

static bool own_addr(void *user, const struct dt_addr *towards, struct dt_addr *own)
{
    *own = ((struct gateway *)user)->own;
    return true;
}

static void answer(void *user, dt_time now, const struct dt_ted_answer *a)
{
    struct gateway *g = user;
    if (a->found)
        g->found++;
    else if (a->peer.ver)
        g->refused++;
    else
        g->silent++;
}

static const struct dt_ted_ops ops = {send_probe, send_reply, own_addr, answer, NULL};

static struct net *build(uint64_t seed, unsigned loss)
{
    struct net *n = calloc(1, sizeof *n);
    dt_prng_seed(&n->rng, seed);
    n->loss = loss;
    dt_heap_init(&n->flight);
    for (unsigned i = 0; i < GATEWAYS; i++) {
        struct gateway *g = &n->gateway[i];
        struct dt_rand rand = dt_prng_rand(&n->rng);
        struct dt_ted_rule r = {.id = 1, .name = "all", .count = 1};
        char text[80];
        *g = (struct gateway){.net = n, .index = i, .own = dt_addr4(0xc6120000u + i)};
        g->ted = dt_ted_new(&ops, g, NULL, &rand);
        snprintf(text, sizeof text, "10.%u.%u.0/24 10.0.0.0/8", i / 250, i % 250);
        assert_int_equal(dt_ted_proxy_parse(&r.proxy[0], text, NULL), 0);
        assert_int_equal(dt_ted_rule_set(g->ted, 0, &r, NULL), 0);
    }
    return n;
}

static void deliver(struct net *n, struct message *m)
{
    struct gateway *g = &n->gateway[m->to];
    if (m->reply)
        dt_ted_reply_input(g->ted, n->now, &m->src, &m->dst, m->msg, m->len);
    else
        assert_true(dt_ted_probe_input(g->ted, n->now, &m->src, &m->dst, m->msg, m->len));
    free(m);
}

/* Until nothing is under way any more: messages in order, and each gateway's timers. */
static void run(struct net *n, dt_time until)
{
    while (n->now < until) {
        dt_time next = dt_heap_deadline(&n->flight);
        for (unsigned i = 0; i < GATEWAYS; i++) {
            struct dt_ted_counters c;
            dt_ted_counters(n->gateway[i].ted, &c);
            if (c.outstanding && dt_ted_deadline(n->gateway[i].ted) < next)
                next = dt_ted_deadline(n->gateway[i].ted);
        }
        if (next == DT_NEVER)
            return;
        n->now = next;
        for (struct dt_timer *t; (t = dt_heap_pop_due(&n->flight, n->now));)
            deliver(n, DT_CONTAINER_OF(t, struct message, timer));
        for (unsigned i = 0; i < GATEWAYS; i++)
            dt_ted_tick(n->gateway[i].ted, n->now);
    }
}

static void talk(struct net *n, unsigned from, unsigned to, unsigned packets)
{
    for (unsigned k = 0; k < packets; k++) {
        struct dt_ted_answer a;
        struct dt_ted_packet p = {host_of(from, 5), host_of(to, 7), 6, (uint16_t)(40000 + k), 80};
        enum dt_ted_verdict v = dt_ted_packet(n->gateway[from].ted, n->now, 1, &p, &a);
        assert_true(v == DT_TED_PROBING || v == DT_TED_FOUND);
    }
}

static uint64_t sum(struct net *n, uint64_t *entries)
{
    uint64_t found = 0;
    *entries = 0;
    for (unsigned i = 0; i < GATEWAYS; i++) {
        struct dt_ted_counters c;
        dt_ted_counters(n->gateway[i].ted, &c);
        *entries += c.entries;
        assert_int_equal(c.outstanding, 0);
        assert_int_equal(n->gateway[i].refused, 0);
        found += n->gateway[i].found;
    }
    return found;
}

static void end(struct net *n)
{
    for (unsigned i = 0; i < GATEWAYS; i++)
        dt_ted_free(n->gateway[i].ted);
    dt_heap_free(&n->flight);
    free(n);
}

/* Pairs are (i, i + step): every pair is another one. */
static uint64_t pairs_talk(struct net *n, unsigned pairs)
{
    for (unsigned k = 0; k < pairs; k++)
        talk(n, k % GATEWAYS, (k % GATEWAYS + 1 + k / GATEWAYS * 7) % GATEWAYS, 3);
    run(n, n->now + 60 * DT_SEC);
    return n->probes;
}

static void without_loss_one_probe_and_one_reply_a_pair(void **state)
{
    static const unsigned pairs[] = {500, 1000, 2000, 4000};
    for (size_t i = 0; i < 4; i++) {
        struct net *n = build(1, 0);
        uint64_t entries;
        assert_int_equal(pairs_talk(n, pairs[i]), pairs[i]);
        assert_int_equal(n->replies, pairs[i]);
        assert_in_range(sum(n, &entries), pairs[i], 3 * pairs[i]); /* each waiting packet is answered */
        assert_int_equal(entries, pairs[i]);
        assert_in_range(n->passed, pairs[i], 2 * pairs[i]);
        printf("# %u gateways, %u pairs: %llu probes, %llu replies, %llu bytes, %llu entries\n", GATEWAYS,
               pairs[i], (unsigned long long)n->probes, (unsigned long long)n->replies,
               (unsigned long long)n->bytes, (unsigned long long)entries);
        end(n);
    }
}

static void with_loss_a_small_factor_more(void **state)
{
    uint64_t seed = test_seed("scale"), entries;
    for (unsigned pairs = 1000; pairs <= 4000; pairs += 3000) {
        struct net *n = build(seed, 26); /* 10 % of messages, each way */
        pairs_talk(n, pairs);
        uint64_t found = sum(n, &entries);
        /* A probe and its reply get through with 0.81: at most 1 / 0.81 probes a pair, with room for chance. */
        assert_in_range(n->probes, pairs, pairs * 3 / 2);
        assert_true(found > 0 && entries == pairs);
        printf("# 10%% loss, %u pairs: %llu probes (%.2f a pair)\n", pairs, (unsigned long long)n->probes,
               (double)n->probes / pairs);
        end(n);
    }
}

/* Ten times the traffic between the same pairs: not one probe more. */
static void traffic_costs_nothing(void **state)
{
    struct net *n = build(2, 0);
    uint64_t probes = pairs_talk(n, 1000), entries;
    for (unsigned round = 0; round < 10; round++)
        for (unsigned k = 0; k < 1000; k++)
            talk(n, k, (k + 1) % GATEWAYS, 10);
    run(n, n->now + 60 * DT_SEC);
    assert_int_equal(n->probes, probes);
    sum(n, &entries);
    assert_int_equal(entries, 1000);
    end(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_loss_one_probe_and_one_reply_a_pair),
        cmocka_unit_test(with_loss_a_small_factor_more),
        cmocka_unit_test(traffic_costs_nothing),
    };
    return TEST_RUN(tests);
}
