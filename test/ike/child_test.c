/* Children and sessions in the hands of owners who do unexpected things: losing interest early, calling back from
 * inside callbacks, exchanging configurations. */
#include "ike/ike_net.h"
#include "ike/internal.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];
static struct dt_prng meddler;

static bool both_up(struct net *n)
{
    return n->host[0].ups && n->host[1].ups;
}

static void finish(void)
{
    if (a->session)
        dt_ike_close(a->session, net.now, false);
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
}

static void first_child_is_not_wanted_any_more(void **state)
{
    net_init(&net, 1, 2, dt_crypto_null());
    struct dt_ike_session *s = net_open(&net, 0, 1);
    struct dt_ike_child *c = dt_ike_session_first_child(s);
    assert_non_null(c);
    assert_false(dt_ike_child_is_up(c));
    net_run(&net, net.now + 50 * DT_MSEC); /* IKE_AUTH is under way */
    dt_ike_child_delete(c, net.now);
    assert_null(dt_ike_session_first_child(s));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->ups, 1);
    assert_int_equal(a->child_ups + a->failed, 0);
    assert_int_equal(b->child_ups, 1);
    assert_int_equal(net_children_up(b), 0); /* deleted there, too */
    finish();
}

static void children_are_found_by_spi(void **state)
{
    net_init(&net, 2, 2, dt_crypto_null());
    net_open(&net, 0, 1);
    net_run(&net, net.now + DT_SEC);
    struct net_child *c = net_newest(a);
    assert_ptr_equal(dt_ike_child_by_spi(a->ike, c->sa.spi_in), c->handle);
    assert_null(dt_ike_child_by_spi(a->ike, c->sa.spi_in ^ 1));
    assert_int_equal(dt_ike_child_spi_out(c->handle), c->sa.spi_out);
    assert_ptr_equal(dt_ike_child_session(c->handle), a->session);
    uint32_t spi = c->sa.spi_in;
    dt_ike_child_delete(c->handle, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_null(dt_ike_child_by_spi(a->ike, spi));
    finish();
}

static void new_configuration_counts_from_now_on(void **state)
{
    static struct dt_ike_cfg fresh;
    struct dt_proposal p;
    struct dt_err err;
    net_init(&net, 3, 2, dt_crypto_null());
    net_open(&net, 0, 1);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(net_newest(a)->sa.suite.encr, DT_ENCR_AES_GCM_16);
    fresh = a->cfg;
    fresh.esp.n = 0;
    dt_proposal_parse(&p, DT_PROTO_ESP, "chacha20poly1305", NULL);
    dt_proposals_add(&fresh.esp, &p);
    dt_ike_session_set_cfg(a->session, &fresh);
    assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(net_newest(a)->sa.suite.encr, DT_ENCR_CHACHA20_POLY1305);
    finish();
}

static void asked_before_it_is_up(void **state)
{
    struct dt_err err = {0};
    net_init(&net, 4, 2, dt_crypto_null());
    struct dt_ike_session *s = net_open(&net, 0, 1);
    assert_null(dt_ike_child_create(s, net.now, &err));
    assert_non_null(strstr(err.text, "init"));
    assert_null(dt_ike_child_rekey(dt_ike_session_first_child(s), net.now, &err));
    dt_ike_liveness(s, net.now);
    dt_ike_session_rekey(s, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->alive + a->rekeyed, 0);
    dt_ike_close(s, net.now, false);
    assert_null(dt_ike_child_create(s, net.now, &err));
    finish();
}

static void anything(struct net *n, struct net_host *h, struct dt_ike_session *s, struct dt_ike_child *c)
{
    struct dt_rand r = dt_prng_rand(&meddler);
    struct dt_err err;
    struct net_child *newest = net_newest(h);
    if (!s || dt_ike_session_state(s) != DT_SESSION_UP)
        return;
    switch (dt_rand_below(&r, 30)) {
    case 0:
    case 1:
        if (c)
            dt_ike_child_delete(c, n->now);
        break;
    case 2:
    case 3:
        if (newest)
            dt_ike_child_rekey(newest->handle, n->now, &err);
        break;
    case 4:
    case 5:
        dt_ike_child_create(s, n->now, &err);
        break;
    case 6:
        dt_ike_session_rekey(s, n->now);
        break;
    case 7:
        dt_ike_liveness(s, n->now);
        break;
    case 8:
        dt_ike_close(s, n->now, false);
        break;
    case 9:
        if (dt_rand_below(&r, 4) == 0) {
            dt_ike_close(s, n->now, true);
            if (h->session == s)
                h->session = NULL;
            for (size_t i = 0; i < h->nchild; i++)
                if (h->child[i].session == s)
                    h->child[i].up = false;
        }
        break;
    case 10: {
        struct dt_path path = *dt_ike_session_path(s);
        path.local.port ^= 1;
        dt_ike_session_set_path(s, n->now, &path);
        break;
    }
    default:
        break;
    }
}

static void owners_meddle_from_inside_callbacks(void **state)
{
    uint64_t seed = test_seed("owners_meddle_from_inside_callbacks");
    for (uint64_t i = 0; i < 300; i++) {
        dt_prng_seed(&meddler, seed + i);
        net_init(&net, seed + i, 2, dt_crypto_null());
        net.params.retransmit_tries = 4;
        net_restart(&net, 0);
        net_restart(&net, 1);
        net.loss = i % 5 * 8;
        net.dup = i % 3 * 15;
        net_open(&net, 0, 1);
        net_run_until(&net, 60 * DT_SEC, both_up);
        net.meddle = anything;
        for (int k = 0; k < 10; k++) {
            for (int h = 0; h < 2; h++)
                anything(&net, &net.host[h], net.host[h].session, NULL);
            if (!a->session && !b->session)
                net_open(&net, 0, 1);
            net_run(&net, net.now + 300 * DT_MSEC);
        }
        net.meddle = NULL;
        net.loss = 0;
        for (int h = 0; h < 2; h++)
            while (net.host[h].session && dt_ike_session_state(net.host[h].session) == DT_SESSION_UP) {
                dt_ike_close(net.host[h].session, net.now, false);
                net_run(&net, net.now + 200 * DT_SEC);
            }
        net_run(&net, net.now + 400 * DT_SEC);
        /* Who closed silently, or has lost its peer, may leave the other with a session that nobody speaks to. */
        for (int h = 0; h < 2; h++) {
            struct dt_ike_usage u = dt_ike_usage(net.host[h].ike);
            assert_int_equal(u.half_open + u.queued, 0);
            assert_true(u.sessions <= 12 && u.sas == u.sessions);
        }
        net_free(&net);
    }
}

static void lose_interest(struct net *n, struct net_host *h, struct dt_ike_session *s, struct dt_ike_child *c)
{
    if (h == a && a->wanted && a->child_downs) {
        struct dt_ike_child *wanted = a->wanted;
        a->wanted = NULL;
        dt_ike_child_delete(wanted, n->now);
    }
}

/* The peer does not have what should be rekeyed; from inside that news the owner gives up the successor too. */
static void nothing_more_of_a_child_that_was_given_up(void **state)
{
    struct dt_err err;
    net_init(&net, 77, 2, dt_crypto_null());
    net_come_up(&net);
    ike_enter(b->ike, net.now);
    ike_child_drop(dt_ike_child_by_spi(b->ike, net_newest(b)->sa.spi_in));
    ike_leave(b->ike);
    net_newest(b)->up = false;
    net.meddle = lose_interest;
    a->wanted = dt_ike_child_rekey(net_newest(a)->handle, net.now, &err);
    assert_non_null(a->wanted);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->child_downs, 1);
    assert_int_equal(a->failed, 0);
    finish();
}

static unsigned sends_left;

static void close_while_sending(struct net *n, struct net_host *h)
{
    if (h->index == 0 && !dt_list_empty(&h->ike->sessions) && sends_left-- == 0)
        dt_ike_close(DT_CONTAINER_OF(h->ike->sessions.next, struct dt_ike_session, link), n->now, true);
}

/* "Callbacks may call any function of this header": also send, which is called from the middle of everything. */
static void sessions_end_while_they_send(void **state)
{
    struct dt_err err;
    for (unsigned k = 0; k < 12; k++) {
        net_init(&net, 60 + k, 2, dt_crypto_null());
        sends_left = k;
        net.on_send = close_while_sending;
        net.loss = k % 3 == 0 ? 60 : 0; /* repetitions too */
        struct dt_path path = net_path(&net, 0, 1);
        dt_ike_open(a->ike, net.now, &a->cfg, &path, NULL, &err);
        net_run(&net, net.now + 10 * DT_SEC);
        if (a->session && !dt_list_empty(&a->ike->sessions) && net_newest(a))
            dt_ike_child_rekey(net_newest(a)->handle, net.now, &err);
        net_run(&net, net.now + 300 * DT_SEC);
        net.on_send = NULL;
        dt_list_for_each_safe (l, &a->ike->sessions) {
            dt_ike_close(DT_CONTAINER_OF(l, struct dt_ike_session, link), net.now, true);
        }
        assert_int_equal(dt_ike_usage(a->ike).timers, 0);
        assert_int_equal(dt_ike_usage(a->ike).sessions, 0);
        net_free(&net);
    }
}

static void open_another(struct net *n, struct net_host *h, struct dt_ike_session *s)
{
    struct dt_path path = net_path(n, h->index, 2);
    struct dt_err err = {0};
    assert_non_null(
        dt_ike_open(h->ike, n->now, &h->cfg, &path, NULL, &err)); /* writes a message of its own */
}

/* Whoever is asked for his notifies opens another session: the message that was to hold them is whole all the same. */
static void sessions_are_opened_while_notifies_are_asked_for(void **state)
{
    for (uint64_t seed = 80; seed < 82; seed++) {
        net_init(&net, seed, 3, dt_crypto_null());
        net.host[2].cut = true;
        net.on_notify_out = open_another;
        a->notify = b->notify = (struct dt_ike_notify){.type = 40986, .len = 1, .data = {1}};
        net_open(&net, 0, 1);
        assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
        net_check_pairs(a, b);
        assert_int_equal(a->got.type, 40986);
        assert_int_equal(b->got.type, 40986);
        net_free(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sessions_end_while_they_send),
                                       cmocka_unit_test(sessions_are_opened_while_notifies_are_asked_for),
                                       cmocka_unit_test(first_child_is_not_wanted_any_more),
                                       cmocka_unit_test(children_are_found_by_spi),
                                       cmocka_unit_test(new_configuration_counts_from_now_on),
                                       cmocka_unit_test(asked_before_it_is_up),
                                       cmocka_unit_test(nothing_more_of_a_child_that_was_given_up),
                                       cmocka_unit_test(owners_meddle_from_inside_callbacks)};
    return TEST_RUN(tests);
}
