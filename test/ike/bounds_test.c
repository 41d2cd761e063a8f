/* What an authenticated peer can make us keep has a limit, whatever it asks for and whatever it leaves unanswered. */
#include "ike/ike_net.h"

#include "wire/ike_msg.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static int mute = -1; /* this host's INFORMATIONAL requests are lost */

static bool lose_deletes(struct net *n, struct net_packet *p)
{
    return p->from == mute && p->exchange == DT_INFORMATIONAL && !p->response;
}

/* Host a may have as many IKE SAs as it likes. */
static void come_up(void)
{
    net_init(&net, 1, 2, dt_crypto_null());
    net.params.ike_sas_max = 1000;
    net_restart(&net, 0);
    net_come_up(&net);
    net.filter = lose_deletes;
}

static void ike_sas_that_the_peer_replaces_and_does_not_delete(void **state)
{
    struct dt_ike_session_info info;
    come_up();
    mute = 0;
    for (unsigned i = 0; i < 200; i++) {
        dt_ike_session_rekey(a->session, net.now);
        net_run(&net, net.now + 100 * DT_MSEC);
        assert_in_range(dt_ike_usage(b->ike).sas, 1, 4);
    }
    assert_int_equal(dt_ike_usage(b->ike).sas, 4);
    assert_in_range(dt_ike_counters(b->ike)->ike_sas_full, 1, 1000);
    dt_ike_session_info(b->session, &info);
    assert_int_equal(info.rekeys, 3);
    mute = -1; /* it is no lasting harm: what lingered ends, and rekeys go on */
    net_run(&net, net.now + 200 * DT_SEC);
    assert_int_equal(b->downs, 0);
    assert_int_equal(dt_ike_usage(b->ike).sas, 1);
    dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    dt_ike_session_info(b->session, &info);
    assert_in_range(info.rekeys, 4, 100);
    net_check_pairs(a, b);
    net_finish(&net);
}

/* The same with our own: who never answers the DELETE of an old IKE SA does not make us keep them all. */
static void ike_sas_whose_delete_the_peer_does_not_answer(void **state)
{
    come_up();
    mute = 1;
    for (unsigned i = 0; i < 200; i++) {
        dt_ike_session_rekey(b->session, net.now);
        net_run(&net, net.now + 100 * DT_MSEC);
        assert_in_range(dt_ike_usage(b->ike).sas, 1, 4);
    }
    mute = -1;
    net_run(&net, net.now + 200 * DT_SEC);
    assert_int_equal(dt_ike_usage(b->ike).sas, 1);
    net_finish(&net);
}

/* b deletes each child, a answers no such request and deletes the child itself: b need not tell a any more. */
static void deletes_that_the_peer_does_not_answer(void **state)
{
    struct dt_err err = {0};
    come_up();
    mute = 1;
    for (unsigned i = 0; i < 100; i++) {
        assert_non_null(dt_ike_child_create(a->session, net.now, &err));
        net_run(&net, net.now + 50 * DT_MSEC);
        struct net_child *ours = net_newest(b), *theirs = net_newest(a);
        assert_non_null(ours);
        dt_ike_child_delete(ours->handle, net.now);
        dt_ike_child_delete(theirs->handle, net.now);
        net_run(&net, net.now + 50 * DT_MSEC);
        assert_in_range(dt_ike_usage(b->ike).queued, 0, 1);
        assert_in_range(dt_ike_usage(b->ike).children, 1, 2);
    }
    mute = -1;
    net_run(&net, net.now + 100 * DT_SEC);
    assert_int_equal(b->downs, 0);
    net_check_pairs(a, b);
    net_finish(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ike_sas_that_the_peer_replaces_and_does_not_delete),
        cmocka_unit_test(ike_sas_whose_delete_the_peer_does_not_answer),
        cmocka_unit_test(deletes_that_the_peer_does_not_answer),
    };
    return TEST_RUN(tests);
}
