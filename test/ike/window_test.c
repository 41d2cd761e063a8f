/* One request at a time, retransmission, cached answers, the queue, keep-alive, lifetimes. */
#include "ike/ike_net.h"

#include "wire/ike_notify.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void up(uint64_t seed)
{
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
}

static void down(void)
{
    net_down(&net, a, b);
}

static dt_time sent_at[64];
static unsigned nsent;

static bool note(struct net *n, struct net_packet *p)
{
    if (p->from == 0 && nsent < 64)
        sent_at[nsent++] = n->now;
    return true;
}

static void backs_off_and_gives_up(void **state)
{
    net_init(&net, 1, 2, dt_crypto_null());
    up(1);
    net.filter = note;
    nsent = 0;
    dt_time begin = net.now;
    dt_ike_liveness(a->session, net.now);
    net_run(&net, DT_NEVER);
    assert_int_equal(nsent, 1 + net.params.retransmit_tries);
    double wait = 0.5;
    for (unsigned i = 1; i < nsent; i++, wait *= 1.8)
        assert_true(dt_time_seconds(sent_at[i] - sent_at[i - 1]) - (wait < 20 ? wait : 20) < 0.001);
    assert_int_equal(a->downs, 1);
    assert_non_null(strstr(a->last_down.text, "no answer to INFORMATIONAL"));
    assert_true(sent_at[nsent - 1] - begin < 60 * DT_SEC);
    assert_int_equal(a->child_downs, 1);
    assert_int_equal(a->child[0].why, DT_DOWN_SESSION);
    net_check_empty(a);
    net_free(&net);
}

static unsigned in_flight, most;

static bool one_at_a_time(struct net *n, struct net_packet *p)
{
    if (p->from == 0 && !p->response)
        in_flight++;
    else if (p->from == 1 && p->response)
        in_flight--;
    most = in_flight > most ? in_flight : most;
    return false;
}

static void requests_wait_for_the_window(void **state)
{
    struct dt_err err;
    net_init(&net, 2, 2, dt_crypto_null());
    up(2);
    net.filter = one_at_a_time;
    in_flight = most = 0;
    for (int i = 0; i < 5; i++)
        assert_non_null(dt_ike_child_create(a->session, net.now, &err));
    assert_int_equal(dt_ike_usage(a->ike).queued, 4);
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(net_children_up(a), 6);
    assert_int_equal(most, 1);
    net_check_pairs(a, b);
    net.filter = NULL;
    down();
}

static void queue_is_bounded(void **state)
{
    struct dt_err err = {0};
    net_init(&net, 3, 2, dt_crypto_null());
    up(3);
    unsigned taken = 0;
    for (int i = 0; i < 100; i++)
        taken += dt_ike_child_create(a->session, net.now, &err) != NULL;
    assert_int_equal(taken, 1 + net.params.queue_max);
    assert_non_null(strstr(err.text, "limit"));
    assert_true(dt_ike_counters(a->ike)->queue_full > 0);
    net_run(&net, net.now + 10 * DT_SEC);
    net_check_pairs(a, b);
    down();
}

static void children_are_bounded(void **state)
{
    struct dt_err err = {0};
    net_init(&net, 4, 2, dt_crypto_null());
    net.params.child_max = 3;
    net_restart(&net, 1);
    up(4);
    for (int i = 0; i < 4; i++)
        dt_ike_child_create(a->session, net.now, &err);
    net_run(&net, net.now + 10 * DT_SEC);
    assert_int_equal(net_children_up(b), 3);
    assert_int_equal(a->last_failed.notify, DT_N_NO_ADDITIONAL_SAS);
    net_check_pairs(a, b);
    down();
}

static void sessions_are_bounded(void **state)
{
    struct dt_err err = {0};
    net_init(&net, 5, 2, dt_crypto_null());
    net.params.session_max = 2;
    net_restart(&net, 0);
    struct dt_path path = net_path(&net, 0, 1);
    struct dt_ike_session *s = net_open(&net, 0, 1);
    net_open(&net, 0, 1);
    assert_null(dt_ike_open(a->ike, net.now, &a->cfg, &path, NULL, &err));
    assert_non_null(strstr(err.text, "limit"));
    dt_ike_close(s, net.now, true);
    assert_non_null(dt_ike_open(a->ike, net.now, &a->cfg, &path, NULL, &err));
    net_free(&net);
}

static void ike_sa_is_rekeyed_by_its_lifetime(void **state)
{
    net_init(&net, 6, 2, dt_crypto_null());
    net.params.ike_lifetime = 100 * DT_SEC;
    net_restart(&net, 0);
    up(6);
    net_run(&net, net.now + 89 * DT_SEC);
    assert_int_equal(a->rekeyed, 0);
    net_run(&net, net.now + 12 * DT_SEC);
    assert_int_equal(a->rekeyed, 1);
    assert_int_equal(b->rekeyed, 1);
    net_run(&net, net.now + 1000 * DT_SEC);
    assert_in_range(a->rekeyed, 10, 13);
    assert_int_equal(dt_ike_usage(a->ike).sas, 1);
    assert_int_equal(dt_ike_usage(b->ike).sas, 1);
    assert_int_equal(net_children_up(a), 1);
    down();
}

/* The peer that rekeyed never deletes the old IKE SA. */
static bool no_delete(struct net *n, struct net_packet *p)
{
    return p->exchange == 37;
}

static void replaced_ike_sa_does_not_linger_for_ever(void **state)
{
    net_init(&net, 7, 2, dt_crypto_null());
    up(7);
    net.filter = no_delete;
    dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(dt_ike_usage(b->ike).sas, 2);
    net_run(&net, net.now + 200 * DT_SEC);
    assert_int_equal(dt_ike_usage(a->ike).sas, 1);
    assert_int_equal(dt_ike_usage(b->ike).sas, 1);
    net.filter = NULL;
    assert_int_equal(a->downs + b->downs, 0);
    down();
}

static void digest_tells_states_apart(void **state)
{
    struct dt_digest d1, d2, d3;
    net_init(&net, 8, 2, dt_crypto_null());
    up(8);
    dt_digest_init(&d1);
    dt_digest_init(&d2);
    dt_digest_init(&d3);
    dt_ike_digest(a->ike, net.now, &d1);
    dt_ike_digest(a->ike, net.now, &d2);
    assert_int_equal(dt_digest_value(&d1), dt_digest_value(&d2));
    dt_ike_liveness(a->session, net.now);
    dt_ike_digest(a->ike, net.now, &d3);
    assert_int_not_equal(dt_digest_value(&d1), dt_digest_value(&d3));
    net_run(&net, net.now + DT_SEC);
    down();
}

/* Two runs from one seed are the same run. */
static void runs_repeat(void **state)
{
    uint64_t value[2];
    for (int i = 0; i < 2; i++) {
        struct dt_digest d;
        net_init(&net, 9, 2, dt_crypto_null());
        net.loss = net.dup = net.reorder = 20;
        up(9);
        dt_ike_session_rekey(a->session, net.now);
        dt_ike_session_rekey(b->session, net.now);
        net_run(&net, net.now + DT_SEC);
        dt_digest_init(&d);
        dt_ike_digest(a->ike, net.now, &d);
        dt_ike_digest(b->ike, net.now, &d);
        value[i] = dt_digest_value(&d);
        net_free(&net);
    }
    assert_int_equal(value[0], value[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backs_off_and_gives_up),
        cmocka_unit_test(requests_wait_for_the_window),
        cmocka_unit_test(queue_is_bounded),
        cmocka_unit_test(children_are_bounded),
        cmocka_unit_test(sessions_are_bounded),
        cmocka_unit_test(ike_sa_is_rekeyed_by_its_lifetime),
        cmocka_unit_test(replaced_ike_sa_does_not_linger_for_ever),
        cmocka_unit_test(digest_tells_states_apart),
        cmocka_unit_test(runs_repeat),
    };
    return TEST_RUN(tests);
}
