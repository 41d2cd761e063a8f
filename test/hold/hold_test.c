/* A tunnel's state and its queue: the choice, the bounds, which packet goes when there is no room, the order, and that
 * workers together never pass a bound. */
#include "hold/hold.h"

#include "base/bytes.h"
#include "support/test.h"

#include <pthread.h>

static struct dt_hold_bounds bounds(uint32_t packets, uint64_t bytes, uint64_t total)
{
    return (struct dt_hold_bounds){.packets = packets, .bytes = bytes, .total_bytes = total};
}

static unsigned put(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *p, uint8_t mark,
                    size_t len)
{
    uint8_t packet[256] = {mark};
    unsigned dropped = 0;
    bool waits = dt_hold_put(b, h, p, 1, NULL, 0, packet, len, &dropped);
    assert_true(waits || dropped);
    return dropped | (waits ? 0 : 0x100u);
}

struct sent {
    uint8_t mark[16];
    unsigned n;
    void *sa;
};

static void send_note(void *ctx, void *sa, struct dt_held *e)
{
    struct sent *s = ctx;
    s->sa = sa;
    s->mark[s->n++ % sizeof s->mark] = e->packet[0];
}

static void a_tunnel_drops_holds_or_sends(void **state)
{
    struct dt_out o = {0};
    int one, two;
    void *sa;
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_DROP);
    dt_out_set(&o, DT_OUT_HOLD, NULL);
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_HOLD);
    dt_out_set(&o, DT_OUT_SEND, &one);
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_SEND);
    assert_ptr_equal(sa, &one);
    dt_out_sa_gone(&o, &two); /* not the one that it sends on */
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_SEND);
    dt_out_sa_gone(&o, &one);
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_HOLD);
    dt_out_set(&o, DT_OUT_SEND, &two);
    dt_out_set(&o, DT_OUT_DROP, &two);
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_DROP);
    assert_null(dt_out_sa(&o));
    /* Somebody who looks between the two stores of a change. */
    atomic_store(&o.state, DT_OUT_SEND);
    assert_int_equal(dt_out_choose(&o, &sa), DT_OUT_HOLD);
}

static void what_waited_goes_in_order(void **state)
{
    struct dt_hold_bounds b = bounds(8, 1000, 1000);
    struct dt_hold h = {0};
    struct dt_hold_part p = {0};
    struct dt_out o = {0};
    struct sent s = {.n = 0};
    int sa;
    for (uint8_t i = 1; i <= 3; i++)
        assert_int_equal(put(&b, &h, &p, i, 10), 0);
    dt_out_set(&o, DT_OUT_HOLD, NULL);
    assert_int_equal(dt_hold_release(&b, &h, &p, &o, send_note, &s), 0);
    assert_int_equal(s.n, 0);
    assert_int_equal(h.packets, 3);
    dt_out_set(&o, DT_OUT_SEND, &sa);
    assert_int_equal(dt_hold_release(&b, &h, &p, &o, send_note, &s), 0);
    assert_int_equal(s.n, 3);
    assert_ptr_equal(s.sa, &sa);
    assert_memory_equal(s.mark, "\1\2\3", 3);
    assert_int_equal(h.packets + h.bytes + b.total + h.drops, 0);
    assert_int_equal(h.passed, 3);

    assert_int_equal(put(&b, &h, &p, 4, 10), 0);
    dt_out_set(&o, DT_OUT_DROP, NULL);
    assert_int_equal(dt_hold_release(&b, &h, &p, &o, send_note, &s), 1);
    assert_int_equal(s.n, 3);
    assert_int_equal(h.drops, 1);
    assert_int_equal(h.packets + h.bytes + b.total, 0);
}

static void the_oldest_goes(void **state)
{
    struct dt_hold_bounds b = bounds(3, 100, 1000);
    struct dt_hold h = {0};
    struct dt_hold_part p = {0};
    struct dt_out o = {0};
    struct sent s = {.n = 0};
    int sa;
    for (uint8_t i = 1; i <= 5; i++)
        assert_int_equal(put(&b, &h, &p, i, 10), i > 3); /* one for one */
    assert_int_equal(put(&b, &h, &p, 6, 85), 2);         /* and as many as its bytes need */
    assert_int_equal(h.packets, 2);
    assert_int_equal(h.drops, 4);
    assert_int_equal(put(&b, &h, &p, 7, 101), 0x101); /* it never fits: nobody else goes for it */
    assert_int_equal(h.packets, 2);
    dt_out_set(&o, DT_OUT_SEND, &sa);
    dt_hold_release(&b, &h, &p, &o, send_note, &s);
    assert_int_equal(s.n, 2);
    assert_memory_equal(s.mark, "\5\6", 2);
}

static void other_parts_and_other_tunnels_are_left_alone(void **state)
{
    struct dt_hold_bounds b = bounds(4, 100, 150);
    struct dt_hold one = {0}, two = {0};
    struct dt_hold_part first = {0}, second = {0}, other = {0};
    for (uint8_t i = 1; i <= 4; i++)
        assert_int_equal(put(&b, &one, &first, i, 20), 0);
    assert_int_equal(put(&b, &one, &second, 5, 20), 0x101); /* the tunnel is full, and not by this worker */
    assert_int_equal(first.packets, 4);
    assert_int_equal(put(&b, &two, &other, 6, 60), 0);
    /* The whole is full by the first tunnel: the second keeps what it has instead of losing it for nothing. */
    assert_int_equal(put(&b, &two, &other, 7, 80), 0x101);
    assert_int_equal(two.packets, 1);
    assert_int_equal(put(&b, &two, &other, 8, 70), 1);
    assert_int_equal(other.head->packet[0], 8);
    dt_hold_clear(&b, &one, &first);
    dt_hold_clear(&b, &two, &other);
    assert_int_equal(b.total + one.packets + two.packets, 0);
    b.packets = 0;
    assert_int_equal(put(&b, &one, &first, 9, 1), 0x101); /* nothing may wait */
}

static bool pass_odd(void *ctx, struct dt_held *e)
{
    uint64_t meta;
    memcpy(&meta, e->meta, sizeof meta);
    assert_int_equal(meta, e->packet[0] + 100);
    return e->packet[0] & 1;
}

static void a_sift_keeps_the_order_of_what_stays(void **state)
{
    struct dt_hold_bounds b = bounds(8, 1000, 1000);
    struct dt_hold h = {0};
    struct dt_hold_part p = {0};
    unsigned dropped;
    for (uint8_t i = 1; i <= 6; i++) {
        uint64_t meta = i + 100;
        assert_true(dt_hold_put(&b, &h, &p, i * DT_SEC, &meta, sizeof meta, &i, 1, &dropped));
    }
    /* 1 and 2 have waited for more than ten seconds at 12.5 s; of the others the odd ones are taken. */
    assert_int_equal(dt_hold_sift(&b, &h, &p, 12500 * DT_MSEC, 10 * DT_SEC, pass_odd, NULL), 2);
    assert_int_equal(h.drops, 2);
    assert_int_equal(h.passed, 2);
    assert_int_equal(h.packets, 2);
    assert_int_equal(p.head->packet[0], 4);
    assert_int_equal(p.head->next->packet[0], 6);
    assert_int_equal(put(&b, &h, &p, 7, 1), 0);
    assert_int_equal(p.last->packet[0], 7);
    dt_hold_clear(&b, &h, &p);
    assert_int_equal(b.total, 0);
}

struct crowd {
    struct dt_hold_bounds *b;
    struct dt_hold *h;
    atomic_bool over;
};

static void *crowd_worker(void *arg)
{
    struct crowd *c = arg;
    struct dt_hold_part p = {0};
    uint8_t packet[100] = {0};
    unsigned dropped;
    for (int i = 0; i < 20000; i++) {
        dt_hold_put(c->b, c->h, &p, 1, NULL, 0, packet, 1 + (size_t)i % 100, &dropped);
        if (p.packets > c->b->packets || p.bytes > c->b->bytes)
            atomic_store(&c->over, true);
        if (i % 64 == 63)
            dt_hold_clear(c->b, c->h, &p);
    }
    dt_hold_clear(c->b, c->h, &p);
    return NULL;
}

static void workers_together_keep_the_bounds(void **state)
{
    struct dt_hold_bounds b = bounds(16, 600, 600);
    struct dt_hold h = {0};
    struct crowd c = {&b, &h, false};
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, crowd_worker, &c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_false(c.over);
    assert_int_equal(h.packets + h.bytes + b.total, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_drops_holds_or_sends),
        cmocka_unit_test(what_waited_goes_in_order),
        cmocka_unit_test(the_oldest_goes),
        cmocka_unit_test(other_parts_and_other_tunnels_are_left_alone),
        cmocka_unit_test(a_sift_keeps_the_order_of_what_stays),
        cmocka_unit_test(workers_together_keep_the_bounds),
    };
    return TEST_RUN(tests);
}
