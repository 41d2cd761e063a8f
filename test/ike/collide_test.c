/* What happens when both sides do something at once: RFC 7296 sections 2.8.1, 2.8.2 and 2.25, each case by name. */
#include "ike/ike_net.h"

#include "wire/ike_msg.h"
#include "wire/ike_notify.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

/* Takes away the packets that match, as often as it says. */
struct loss {
    int from;
    uint8_t exchange;
    bool response;
    unsigned times;
};

static bool lose(struct net *n, struct net_packet *p)
{
    struct loss *l = n->filter_ctx;
    if (!l->times || p->from != l->from || p->exchange != l->exchange || p->response != l->response)
        return false;
    l->times--;
    return true;
}

static void up(uint64_t seed)
{
    net_init(&net, seed, 2, dt_crypto_null());
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
    assert_true(net_quiet(&net));
}

static void settle(size_t children)
{
    assert_true(net_run_until(&net, 300 * DT_SEC, net_quiet));
    net_run(&net, net.now + DT_SEC);
    assert_true(net_quiet(&net));
    assert_int_equal(a->downs + b->downs, 0);
    assert_int_equal(net_children_up(a), children);
    net_check_pairs(a, b);
}

static void down(void)
{
    net_down(&net, a, b);
}

static struct dt_ike_child *rekey(struct net_host *h)
{
    struct dt_err err = {0};
    struct dt_ike_child *c = dt_ike_child_rekey(net_newest(h)->handle, net.now, &err);
    assert_non_null(c);
    return c;
}

static void del(struct net_host *h)
{
    dt_ike_child_delete(net_newest(h)->handle, net.now);
}

/* ---- children ---- */

static void both_rekey_the_child(void **state)
{
    unsigned lost_by_a = 0, lost_by_b = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        up(seed);
        a->auto_delete_old = b->auto_delete_old = true;
        rekey(a);
        rekey(b);
        settle(1); /* one new child; the old one and the redundant one are gone at both ends */
        assert_int_equal(a->failed + b->failed, 1);
        assert_int_equal(a->redundants + b->redundants, 1);
        assert_int_equal(dt_ike_counters(a->ike)->collisions, 1);
        assert_int_equal(dt_ike_counters(b->ike)->collisions, 1);
        assert_false(net_newest(a)->redundant);
        assert_true(net_newest(a)->sa.initiator == (a->failed == 0));
        lost_by_a += a->failed;
        lost_by_b += b->failed;
        down();
    }
    assert_true(lost_by_a > 5 && lost_by_b > 5);
}

static void close_at_collision(struct net *n, struct net_host *h, struct dt_ike_session *s,
                               enum dt_ike_event what)
{
    if (what == DT_IKE_EV_COLLISION && s)
        dt_ike_close(s, n->now, true);
}

/* Whoever is told of the collision ends the session at once: nothing is asked of it any more, and nothing leaks. */
static void session_ends_at_the_news_of_a_collision(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        up(seed);
        net.on_event = close_at_collision;
        rekey(a);
        rekey(b);
        net_run(&net, DT_NEVER);
        assert_int_equal(dt_ike_counters(a->ike)->collisions, 1);
        assert_int_equal(dt_ike_usage(a->ike).queued + dt_ike_usage(b->ike).queued, 0);
        assert_int_equal(dt_ike_usage(a->ike).sessions + dt_ike_usage(b->ike).sessions, 0);
        net_free(&net);
    }
}

static void both_rekey_the_child_and_the_requests_are_repeated(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        up(seed);
        struct loss l = {
            .from = (int)(seed & 1), .exchange = DT_CREATE_CHILD_SA, .response = seed & 2, .times = 2};
        net.filter = lose;
        net.filter_ctx = &l;
        a->auto_delete_old = b->auto_delete_old = true;
        rekey(a);
        rekey(b);
        settle(1);
        down();
    }
}

/* 2.8.1, last figure: b's request gets through only after a's whole rekey and deletion were done. */
static void late_rekey_request_meets_a_finished_one(void **state)
{
    up(7);
    struct loss l = {.from = 1, .exchange = DT_CREATE_CHILD_SA, .times = 1};
    net.filter = lose;
    net.filter_ctx = &l;
    a->auto_delete_old = true;
    rekey(a);
    rekey(b);
    settle(1);
    assert_int_equal(l.times, 0);
    assert_int_equal(b->failed, 1);
    assert_int_equal(b->last_failed.notify, DT_N_CHILD_SA_NOT_FOUND);
    assert_true(net_newest(a)->sa.initiator);
    down();
}

/* The same, but a has not deleted the old child yet: TEMPORARY_FAILURE. */
static void late_rekey_request_meets_a_rekeyed_child(void **state)
{
    up(7);
    struct loss l = {.from = 1, .exchange = DT_CREATE_CHILD_SA, .times = 1};
    net.filter = lose;
    net.filter_ctx = &l;
    rekey(a);
    rekey(b);
    settle(2);
    assert_int_equal(b->last_failed.notify, DT_N_TEMPORARY_FAILURE);
    down();
}

static void rekey_meets_delete(void **state)
{
    up(3);
    rekey(a); /* both leave before either arrives */
    del(b);
    settle(0);
    assert_int_equal(a->failed, 1);
    assert_int_equal(a->last_failed.notify, DT_N_TEMPORARY_FAILURE); /* 2.25.1: b is closing it */
    assert_int_equal(a->child[0].why, DT_DOWN_PEER);
    assert_int_equal(b->child[0].why, DT_DOWN_LOCAL);
    down();
}

static void rekey_of_a_child_that_is_gone(void **state)
{
    up(3);
    struct loss l = {.from = 1, .exchange = DT_INFORMATIONAL, .times = 1};
    net.filter = lose;
    net.filter_ctx = &l;
    del(b); /* lost once */
    net_run(&net, net.now + 100 * DT_MSEC);
    rekey(a); /* b is still closing it */
    settle(0);
    assert_int_equal(a->last_failed.notify, DT_N_TEMPORARY_FAILURE);
    down();
}

static void both_delete_the_child(void **state)
{
    up(4);
    del(a);
    del(b);
    settle(0);
    assert_int_equal(a->child_downs + b->child_downs, 2); /* once at each end */
    down();
}

static void lost_delete(void **state)
{
    up(5);
    struct loss l = {.from = 0, .exchange = DT_INFORMATIONAL, .times = 4};
    net.filter = lose;
    net.filter_ctx = &l;
    a->auto_delete_old = true;
    rekey(a);
    settle(1);
    assert_int_equal(l.times, 0);
    assert_int_equal(b->child[0].why, DT_DOWN_PEER);
    down();
}

static void lost_answer_to_delete(void **state)
{
    up(5);
    struct loss l = {.from = 1, .exchange = DT_INFORMATIONAL, .response = true, .times = 4};
    net.filter = lose;
    net.filter_ctx = &l;
    a->auto_delete_old = true;
    rekey(a);
    settle(1);
    assert_int_equal(l.times, 0);
    assert_int_equal(dt_ike_counters(b->ike)->retransmits_in, 4);
    down();
}

/* The owner has given up and asked again; the answer to the first request comes after all. */
static void late_answer_to_an_abandoned_rekey(void **state)
{
    up(6);
    struct loss l = {.from = 1, .exchange = DT_CREATE_CHILD_SA, .response = true, .times = 3};
    net.filter = lose;
    net.filter_ctx = &l;
    struct dt_ike_child *first = rekey(a);
    net_run(&net, net.now + DT_SEC);
    dt_ike_child_delete(first, net.now);
    a->auto_delete_old = true;
    rekey(a);
    settle(1);
    assert_int_equal(a->child_ups,
                     2); /* the first one and the second try; nobody heard of the abandoned one */
    assert_int_equal(b->child_ups, 3);
    assert_int_equal(a->failed, 0);
    down();
}

/* b answers, makes the child, and rekeys it before a has the answer. */
static void rekey_of_a_child_whose_answer_is_under_way(void **state)
{
    up(8);
    struct loss l = {.from = 1, .exchange = DT_CREATE_CHILD_SA, .response = true, .times = 1};
    struct dt_err err;
    net.filter = lose;
    net.filter_ctx = &l;
    assert_non_null(dt_ike_child_create(a->session, net.now, &err));
    net_run(&net, net.now + 30 * DT_MSEC);
    assert_int_equal(b->child_ups, 2);
    rekey(b);
    settle(2);
    assert_int_equal(b->last_failed.notify, DT_N_TEMPORARY_FAILURE);
    down();
}

static void delete_of_a_child_whose_answer_is_under_way(void **state)
{
    up(8);
    struct loss l = {.from = 1, .exchange = DT_CREATE_CHILD_SA, .response = true, .times = 1};
    struct dt_err err;
    net.filter = lose;
    net.filter_ctx = &l;
    assert_non_null(dt_ike_child_create(a->session, net.now, &err));
    net_run(&net, net.now + 30 * DT_MSEC);
    del(b);
    settle(1);
    assert_int_equal(a->failed, 1);
    down();
}

static void the_owner_declines_a_rekey(void **state)
{
    up(9);
    b->decline_rekey = true;
    rekey(a);
    settle(1);
    assert_int_equal(a->last_failed.notify, DT_N_TEMPORARY_FAILURE);
    assert_int_equal(a->child[0].up, true);
    rekey(b); /* the other direction is not declined */
    settle(2);
    down();
}

/* An epoch that was not verified is tried anew from the same old child. */
static void the_same_child_is_rekeyed_twice(void **state)
{
    up(10);
    struct dt_err err;
    struct dt_ike_child *old = net_newest(a)->handle;
    assert_non_null(dt_ike_child_rekey(old, net.now, &err));
    assert_null(dt_ike_child_rekey(old, net.now, &err)); /* not while the first is under way */
    settle(2);
    assert_non_null(dt_ike_child_rekey(old, net.now, &err));
    settle(3);
    down();
}

/* ---- the IKE SA ---- */

static void both_rekey_the_ike_sa(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct dt_ike_session_info ia, ib;
        up(seed);
        dt_ike_session_rekey(a->session, net.now);
        dt_ike_session_rekey(b->session, net.now);
        settle(1);
        dt_ike_session_info(a->session, &ia);
        dt_ike_session_info(b->session, &ib);
        assert_int_equal(ia.spi_i, ib.spi_i);
        assert_int_equal(ia.spi_r, ib.spi_r);
        assert_int_equal(ia.rekeys, 1);
        assert_int_equal(ib.rekeys, 1);
        assert_int_equal(dt_ike_usage(a->ike).sas, 1);
        assert_int_equal(dt_ike_usage(b->ike).sas, 1);
        assert_int_equal(dt_ike_counters(a->ike)->collisions, 1);
        dt_ike_liveness(a->session, net.now);
        dt_ike_liveness(b->session, net.now);
        settle(1);
        assert_int_equal(a->alive + b->alive, 2);
        down();
    }
}

static void both_rekey_the_ike_sa_and_packets_are_lost(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct dt_ike_session_info ia, ib;
        up(seed);
        struct loss l = {.from = (int)(seed & 1),
                         .exchange = seed % 3 ? DT_CREATE_CHILD_SA : DT_INFORMATIONAL,
                         .response = seed & 2,
                         .times = 1 + (unsigned)(seed % 4)};
        net.filter = lose;
        net.filter_ctx = &l;
        dt_ike_session_rekey(a->session, net.now);
        net_run(&net, net.now + seed * DT_MSEC);
        dt_ike_session_rekey(b->session, net.now);
        settle(1);
        dt_ike_session_info(a->session, &ia);
        dt_ike_session_info(b->session, &ib);
        assert_int_equal(ia.spi_i, ib.spi_i);
        assert_int_equal(ia.spi_r, ib.spi_r);
        rekey(a);
        settle(2);
        down();
    }
}

static void rekey_of_the_ike_sa_meets_its_deletion(void **state)
{
    up(11);
    dt_ike_session_rekey(a->session, net.now);
    dt_ike_close(b->session, net.now, false);
    net_run(&net, DT_NEVER);
    assert_int_equal(a->downs, 1);
    assert_int_equal(b->downs, 1);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
}

static void rekey_of_the_ike_sa_meets_rekey_of_a_child(void **state)
{
    up(12);
    dt_ike_session_rekey(a->session, net.now);
    rekey(b);
    settle(1);
    assert_int_equal(b->last_failed.notify, DT_N_TEMPORARY_FAILURE); /* 2.25.2, both ways */
    assert_int_equal(a->rekeyed, 0);
    net_run(&net, net.now + 60 * DT_SEC); /* a tries again by itself */
    assert_int_equal(a->rekeyed, 1);
    assert_int_equal(b->rekeyed, 1);
    settle(1);
    down();
}

static void rekey_of_the_ike_sa_meets_deletion_of_a_child(void **state)
{
    up(13);
    dt_ike_session_rekey(a->session, net.now);
    del(b);
    settle(0);
    net_run(&net, net.now + 60 * DT_SEC);
    assert_int_equal(a->rekeyed, 1);
    assert_int_equal(b->rekeyed, 1);
    down();
}

/* The question goes down with the IKE SA that it was asked on: it is asked again on the new one. */
static void liveness_meets_rekey_of_the_ike_sa(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        up(seed);
        struct loss l = {.from = (int)(seed & 1),
                         .exchange = DT_INFORMATIONAL,
                         .response = seed & 1,
                         .times = 1 + (unsigned)(seed % 3)};
        net.filter = lose;
        net.filter_ctx = &l;
        dt_ike_liveness(a->session, net.now);
        dt_ike_session_rekey(b->session, net.now);
        settle(1);
        assert_int_equal(a->alive, 1);
        assert_int_equal(b->rekeyed, 1);
        down();
    }
}

static void both_close_the_session(void **state)
{
    up(14);
    dt_ike_close(a->session, net.now, false);
    dt_ike_close(b->session, net.now, false);
    net_run(&net, DT_NEVER);
    assert_int_equal(a->downs, 1);
    assert_int_equal(b->downs, 1);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_ends_at_the_news_of_a_collision),
        cmocka_unit_test(both_rekey_the_child),
        cmocka_unit_test(both_rekey_the_child_and_the_requests_are_repeated),
        cmocka_unit_test(late_rekey_request_meets_a_finished_one),
        cmocka_unit_test(late_rekey_request_meets_a_rekeyed_child),
        cmocka_unit_test(rekey_meets_delete),
        cmocka_unit_test(rekey_of_a_child_that_is_gone),
        cmocka_unit_test(both_delete_the_child),
        cmocka_unit_test(lost_delete),
        cmocka_unit_test(lost_answer_to_delete),
        cmocka_unit_test(late_answer_to_an_abandoned_rekey),
        cmocka_unit_test(rekey_of_a_child_whose_answer_is_under_way),
        cmocka_unit_test(delete_of_a_child_whose_answer_is_under_way),
        cmocka_unit_test(the_owner_declines_a_rekey),
        cmocka_unit_test(the_same_child_is_rekeyed_twice),
        cmocka_unit_test(both_rekey_the_ike_sa),
        cmocka_unit_test(both_rekey_the_ike_sa_and_packets_are_lost),
        cmocka_unit_test(rekey_of_the_ike_sa_meets_its_deletion),
        cmocka_unit_test(rekey_of_the_ike_sa_meets_rekey_of_a_child),
        cmocka_unit_test(rekey_of_the_ike_sa_meets_deletion_of_a_child),
        cmocka_unit_test(liveness_meets_rekey_of_the_ike_sa),
        cmocka_unit_test(both_close_the_session),
    };
    return TEST_RUN(tests);
}
