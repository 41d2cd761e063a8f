/* Key exchanges that are jobs: they come back late, in any order, or to nobody. */
#include "ike/ike_net.h"

#include "ike/internal.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

/* Every key pair that is made is freed again, also of a job that nobody waits for. */
static struct dt_crypto counted;
static unsigned pairs, freed;
static const struct dt_dh_ops *real_ops;

static int counted_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    return real_ops->shared(dh, peer, out, err);
}

static void counted_free(struct dt_dh *dh)
{
    freed++;
    real_ops->free(dh);
}

static const struct dt_dh_ops counted_ops = {.shared = counted_shared, .free = counted_free};

static struct dt_dh *counted_new(uint16_t group, const struct dt_rand *rand, struct dt_err *err)
{
    struct dt_dh *dh = dt_crypto_null()->dh_new(group, rand, err);
    if (dh) {
        pairs++;
        real_ops = dh->ops;
        dh->ops = &counted_ops;
    }
    return dh;
}

static void begin(uint64_t seed, dt_time delay)
{
    counted = *dt_crypto_null();
    counted.dh_new = counted_new;
    pairs = freed = 0;
    net_init(&net, seed, 2, &counted);
    net.job_delay = delay;
    net_restart(&net, 0);
    net_restart(&net, 1);
}

static void finish(void)
{
    net_finish(&net);
    assert_true(pairs > 0);
    assert_int_equal(pairs, freed);
}

static unsigned jobs(struct net_host *h)
{
    return (unsigned)dt_ike_usage(h->ike).works;
}

/* ---- one after the other ---- */

static void everything_goes_by_jobs(void **state)
{
    struct dt_err err;
    begin(1, 300 * DT_MSEC);
    net_come_up(&net);
    a->auto_delete_old = b->auto_delete_old = true;
    uint64_t before_a = dt_ike_counters(a->ike)->works, before_b = dt_ike_counters(b->ike)->works;
    assert_int_equal(before_a, 2); /* a pair, and a secret */
    assert_int_equal(before_b, 1); /* both at once */
    assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(net_newest(a)->sa.initiator, true);
    assert_int_equal(dt_ike_counters(a->ike)->works, before_a + 2);
    assert_int_equal(dt_ike_counters(b->ike)->works, before_b + 1);
    dt_ike_session_rekey(b->session, net.now);
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(a->rekeyed + b->rekeyed, 2);
    assert_int_equal(dt_ike_counters(a->ike)->works, before_a + 3);
    assert_int_equal(dt_ike_counters(b->ike)->works, before_b + 3);
    assert_true(net_quiet(&net));
    net_check_pairs(a, b);
    finish();
}

static void nothing_is_computed_inside_a_call(void **state)
{
    struct dt_err err;
    begin(2, DT_SEC);
    net_open(&net, 0, 1);
    assert_int_equal(pairs, 0);
    assert_int_equal(jobs(a), 1);
    net_run(&net, net.now + 20 * DT_SEC);
    assert_int_equal(a->ups, 1);
    unsigned was = pairs;
    assert_non_null(dt_ike_child_create(a->session, net.now, &err));
    dt_ike_session_rekey(b->session, net.now);
    assert_int_equal(pairs, was);
    assert_int_equal(jobs(a), 1);
    assert_int_equal(jobs(b), 1);
    net_run(&net, net.now + 40 * DT_SEC);
    net_check_pairs(a, b);
    finish();
}

/* While thirty strangers' key exchanges wait, a session that is up is served at once. */
static void others_go_on_meanwhile(void **state)
{
    begin(3, 0);
    net_come_up(&net);
    struct dt_ike_session *up = a->session;
    net.job_delay = 20 * DT_SEC;
    b->ike->ops.work = net_work;
    for (int i = 0; i < 30; i++)
        net_open(&net, 0, 1);
    net_run(&net, net.now + 100 * DT_MSEC);
    assert_int_equal(jobs(b), 30);
    dt_ike_liveness(up, net.now);
    net_run(&net, net.now + 50 * DT_MSEC);
    assert_int_equal(a->alive, 1);
    assert_int_equal(jobs(b), 30);
    net_run(&net, net.now + 60 * DT_SEC);
    net_free(&net);
    assert_int_equal(pairs, freed);
}

static bool is_init(struct net *n, struct net_packet *p)
{
    unsigned *seen = n->filter_ctx;
    *seen += p->from == 1 && p->exchange == DT_IKE_SA_INIT;
    return false;
}

/* The initiator repeats its request while the responder works on it: one session, one job, one answer. */
static void repeated_request_waits_for_the_one_job(void **state)
{
    unsigned answers = 0;
    begin(4, 0);
    net.job_delay = 10 * DT_SEC;
    net_restart(&net, 1);
    net.filter = is_init;
    net.filter_ctx = &answers;
    net_open(&net, 0, 1);
    net_run(&net, net.now + 30 * DT_MSEC);
    assert_int_equal(jobs(b), 1);
    while (jobs(b)) {
        assert_int_equal(answers, 0);
        assert_int_equal(dt_ike_usage(b->ike).sessions, 1);
        net_run(&net, net.now + 50 * DT_MSEC);
    }
    assert_true(dt_ike_counters(b->ike)->retransmits_in > 0);
    net_run(&net, net.now + 10 * DT_SEC);
    assert_int_equal(dt_ike_counters(b->ike)->works, 1);
    assert_int_equal(a->ups, 1);
    finish();
}

static void repeated_rekey_waits_for_the_one_job(void **state)
{
    struct dt_err err;
    begin(5, 4 * DT_SEC);
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 60 * DT_SEC, net_children_are_up));
    uint64_t was = dt_ike_counters(b->ike)->works;
    for (int i = 0; i < 10; i++) {
        assert_non_null(dt_ike_child_create(a->session, net.now, &err));
        net_run(&net, net.now + 20 * DT_SEC);
        assert_int_equal(dt_ike_counters(b->ike)->works, ++was);
        assert_int_equal(net_children_up(b), i + 2);
    }
    assert_true(dt_ike_counters(b->ike)->retransmits_in > 0);
    net_check_pairs(a, b);
    finish();
}

/* ---- who dies meanwhile ---- */

static void half_open_session_expires_while_its_keys_are_made(void **state)
{
    begin(6, 0);
    net.job_delay = 60 * DT_SEC;
    net.params.door.half_open_timeout = DT_SEC;
    net.params.retransmit_tries = 0;
    net_restart(&net, 0);
    net_restart(&net, 1);
    a->ike->ops.work = NULL;
    net_open(&net, 0, 1);
    net_run(&net, net.now + 30 * DT_MSEC);
    assert_int_equal(jobs(b), 1);
    net_run(&net, net.now + 2 * DT_SEC);
    assert_int_equal(dt_ike_usage(b->ike).sessions, 0);
    assert_int_equal(jobs(b), 1); /* it cannot be stopped */
    net_run(&net, DT_NEVER);
    assert_int_equal(b->events[DT_IKE_EV_REFUSED], 0);
    finish();
}

static void closed_while_its_pair_is_made(void **state)
{
    for (int silently = 0; silently < 2; silently++) {
        begin(7, DT_SEC);
        struct dt_ike_session *s = net_open(&net, 0, 1);
        dt_ike_close(s, net.now, silently);
        assert_int_equal(a->downs, !silently);
        assert_int_equal(dt_ike_usage(a->ike).sessions, 0);
        net_run(&net, DT_NEVER);
        assert_int_equal(b->ike->count.in, 0);
        finish();
    }
}

static void engine_ends_with_jobs_under_way(void **state)
{
    struct dt_err err;
    begin(8, 5 * DT_SEC);
    for (int i = 0; i < 20; i++)
        net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 60 * DT_SEC, net_children_are_up));
    dt_ike_child_rekey(net_newest(a)->handle, net.now, &err);
    dt_ike_session_rekey(b->session, net.now);
    assert_true(jobs(a) > 0 && jobs(b) > 0);
    net_free(&net); /* which hands the jobs back afterwards */
    assert_int_equal(pairs, freed);
}

static void owner_loses_interest_while_the_pair_is_made(void **state)
{
    struct dt_err err;
    begin(9, DT_SEC);
    net_come_up(&net);
    struct dt_ike_child *c = dt_ike_child_create(a->session, net.now, &err);
    assert_non_null(c);
    assert_int_equal(jobs(a), 1);
    dt_ike_child_delete(c, net.now);
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(net_children_up(a), 1);
    assert_int_equal(net_children_up(b), 1);
    finish();
}

/* The child that the peer rekeys goes while the secret is being made: the answer is that of the moment when it is ready. */
static void child_goes_while_its_rekey_is_worked_on(void **state)
{
    struct dt_err err;
    begin(10, 0);
    net.job_delay = 2 * DT_SEC;
    net_restart(&net, 1);
    net_come_up(&net);
    assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
    net_run(&net, net.now + 25 * DT_MSEC);
    assert_int_equal(jobs(b), 1);
    dt_ike_child_delete(net_newest(b)->handle, net.now);
    net_run(&net, net.now + 10 * DT_SEC);
    assert_int_equal(net_children_up(b), 0);
    assert_int_equal(a->failed, 1);
    assert_int_equal(dt_ike_session_state(a->session), DT_SESSION_UP);
    finish();
}

/* ---- strangers ---- */

static unsigned demanded;

static bool count_cookies(struct net *n, struct net_packet *p)
{
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    struct dt_ike_notify_payload notify;
    if (p->from != 1 || p->exchange != DT_IKE_SA_INIT)
        return false;
    assert_int_equal(dt_ike_header_read(&h, p->data, p->len), 0);
    assert_int_equal(dt_ike_payloads_read(&list, h.next, p->data + 28, p->len - 28), 0);
    demanded += ike_find_notify(&list, DT_N_COOKIE, &notify);
    return false;
}

/* The work that is under way for strangers is bounded, in all and for one source; half of it brings cookies on. */
static void queue_of_work_is_bounded(void **state)
{
    begin(11, 0);
    net.job_delay = 3600 * DT_SEC; /* nothing comes back */
    net.params.door.work_queue = 40 * dt_ke_work(DT_KE_X25519); /* ten of one source */
    net.params.door.half_open_cookie = 1000;
    net.params.retransmit_tries = 0;
    net_restart(&net, 0);
    net_restart(&net, 1);
    a->ike->ops.work = NULL;
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519");
    demanded = 0;
    net.filter = count_cookies;
    for (int i = 0; i < 40; i++) {
        net_open(&net, 0, 1);
        net_run(&net, net.now + 100 * DT_MSEC);
        assert_true(jobs(b) <= 10);
    }
    assert_int_equal(jobs(b), 10);
    assert_int_equal(demanded, 30);
    assert_true(dt_ike_counters(b->ike)->work_queue_full >= 30);
    for (unsigned i = 0; i < 100; i++) { /* others still have theirs, and then nobody */
        a->addr = dt_addr4(0xc0000300u + i);
        net_open(&net, 0, 1);
        net_run(&net, net.now + 100 * DT_MSEC);
        assert_int_equal(jobs(b), i < 30 ? 11 + i : 40);
    }
    assert_int_equal(b->events[DT_IKE_EV_COOKIES], 1);
    net.filter = NULL;
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
    assert_int_equal(pairs, freed);
}

/* ---- a forged answer ---- */

static uint8_t forged[1000];
static size_t forged_len;
static struct dt_path forged_path;

static bool keep_answer(struct net *n, struct net_packet *p)
{
    if (p->from != 1 || p->exchange != DT_IKE_SA_INIT || forged_len)
        return false;
    forged_len = p->len;
    forged_path = p->path;
    memcpy(forged, p->data, p->len);
    return false;
}

/* A public value that is none, in an answer that comes first: the proper one still counts. */
static void forged_answer_does_no_harm(void **state)
{
    begin(12, 500 * DT_MSEC);
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    forged_len = 0;
    net.filter = keep_answer;
    net_open(&net, 0, 1);
    while (!forged_len)
        net_run(&net, net.now + DT_MSEC);
    assert_int_equal(dt_ike_header_read(&h, forged, forged_len), 0);
    assert_int_equal(dt_ike_payloads_read(&list, h.next, forged + 28, forged_len - 28), 0);
    const struct dt_ike_payload *ke = dt_ike_find(&list, DT_P_KE);
    memset((uint8_t *)ke->body.p + 4, 0, ke->body.len - 4);
    struct dt_path path = {.local = forged_path.remote, .remote = forged_path.local};
    dt_ike_input(a->ike, net.now, &path, forged, forged_len);
    assert_int_equal(jobs(a), 1);
    net_run(&net, net.now + 10 * DT_SEC);
    assert_int_equal(a->ups, 1);
    assert_int_equal(dt_ike_counters(a->ike)->malformed, 1);
    net_check_pairs(a, b);
    finish();
}

/* ---- all of it at random ---- */

static void random_act(struct dt_rand *r)
{
    struct net_host *h = &net.host[dt_rand_below(r, 2)];
    struct net_child *c = net_newest(h);
    struct dt_err err;
    if (!a->session && dt_rand_below(r, 2))
        net_open(&net, 0, 1);
    if (!h->session)
        return;
    switch (dt_rand_below(r, 7)) {
    case 0:
        if (c && c->handle)
            dt_ike_child_rekey(c->handle, net.now, &err);
        break;
    case 1:
        dt_ike_session_rekey(h->session, net.now);
        break;
    case 2:
        dt_ike_child_create(h->session, net.now, &err);
        break;
    case 3:
        if (c && c->handle)
            dt_ike_child_delete(c->handle, net.now);
        break;
    case 4:
        dt_ike_close(h->session, net.now, false);
        break;
    case 5:
        if (dt_rand_below(r, 4) == 0 && h->nchild < NET_CHILDREN / 2) {
            for (size_t i = 0; i < h->nchild; i++)
                h->child[i].handle = h->child[i].session == h->session ? NULL : h->child[i].handle;
            dt_ike_close(h->session, net.now, true);
            h->session = NULL;
        }
        break;
    default:
        dt_ike_liveness(h->session, net.now);
        break;
    }
}

static void jobs_come_back_at_any_moment(void **state)
{
    uint64_t seed = test_seed("jobs_come_back_at_any_moment");
    const char *n = getenv("DT_RUNS");
    for (uint64_t i = 0; i < (n ? strtoull(n, NULL, 0) : 150); i++) {
        struct dt_prng prng;
        dt_prng_seed(&prng, seed + i);
        struct dt_rand r = dt_prng_rand(&prng);
        begin(seed + i, 1 + dt_rand_below(&r, 3 * DT_SEC));
        net.loss = (unsigned)dt_rand_below(&r, 30);
        net.dup = (unsigned)dt_rand_below(&r, 30);
        net.reorder = (unsigned)dt_rand_below(&r, 30);
        net.jitter = dt_rand_below(&r, 100 * DT_MSEC);
        a->auto_delete_old = b->auto_delete_old = true;
        for (int k = 0; k < 40; k++) {
            random_act(&r);
            net_run(&net, net.now + dt_rand_below(&r, 2 * DT_SEC));
        }
        /* Whoever is still there says goodbye, until nobody is. */
        net.loss = 0;
        for (int k = 0; k < 50; k++) {
            for (int i2 = 0; i2 < 2; i2++)
                if (net.host[i2].session)
                    dt_ike_close(net.host[i2].session, net.now, false);
            net_run(&net, net.now + 600 * DT_SEC);
        }
        net_free(&net);
        assert_int_equal(pairs, freed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_goes_by_jobs),
        cmocka_unit_test(nothing_is_computed_inside_a_call),
        cmocka_unit_test(others_go_on_meanwhile),
        cmocka_unit_test(repeated_request_waits_for_the_one_job),
        cmocka_unit_test(repeated_rekey_waits_for_the_one_job),
        cmocka_unit_test(half_open_session_expires_while_its_keys_are_made),
        cmocka_unit_test(closed_while_its_pair_is_made),
        cmocka_unit_test(engine_ends_with_jobs_under_way),
        cmocka_unit_test(owner_loses_interest_while_the_pair_is_made),
        cmocka_unit_test(child_goes_while_its_rekey_is_worked_on),
        cmocka_unit_test(queue_of_work_is_bounded),
        cmocka_unit_test(forged_answer_does_no_harm),
        cmocka_unit_test(jobs_come_back_at_any_moment),
    };
    return TEST_RUN(tests);
}
