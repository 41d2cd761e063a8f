/* Two engines over networks that lose, repeat, reorder and delay: whatever both sides ask for and in whichever order,
 * they end up with the same children under the same keys, and nothing is left over when the session is closed. */
#include "ike/ike_net.h"

static struct net net;

/* Something that an owner may do. */
static void act(struct net *n, struct dt_rand *r)
{
    struct net_host *h = &n->host[dt_rand_below(r, 2)];
    struct net_child *c = net_newest(h);
    struct dt_err err;
    if (!h->session)
        return;
    switch (dt_rand_below(r, 8)) {
    case 0:
    case 1:
    case 2:
        if (c)
            dt_ike_child_rekey(c->handle, n->now, &err);
        break;
    case 3:
        dt_ike_session_rekey(h->session, n->now);
        break;
    case 4:
        dt_ike_child_create(h->session, n->now, &err);
        break;
    case 5:
        if (net_children_up(h) > 2 && c)
            dt_ike_child_delete(c->handle, n->now);
        break;
    case 6:
        dt_ike_liveness(h->session, n->now);
        break;
    default: /* abandon what was asked for, perhaps after it was sent */
        h->wanted = c ? dt_ike_child_rekey(c->handle, n->now, &err) : NULL;
        if (h->wanted && dt_rand_below(r, 2))
            net_run(n, n->now + dt_rand_below(r, 200 * DT_MSEC));
        if (h->wanted)
            dt_ike_child_delete(h->wanted, n->now);
        h->wanted = NULL;
        break;
    }
}

static void one(uint64_t seed)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, seed);
    struct dt_rand r = dt_prng_rand(&prng);
    net_init(&net, seed, 2, dt_crypto_null());
    net.params.retransmit_tries = 60;
    net.params.retransmit_max = 2 * DT_SEC;
    net.params.child_max = 100;
    for (int i = 0; i < 2; i++)
        net_restart(&net, i);
    net.loss = (unsigned)dt_rand_below(&r, 41);
    net.dup = (unsigned)dt_rand_below(&r, 41);
    net.reorder = (unsigned)dt_rand_below(&r, 41);
    net.delay = dt_rand_below(&r, 200 * DT_MSEC);
    net.jitter = dt_rand_below(&r, 100 * DT_MSEC);
    net.host[0].auto_delete_old = net.host[1].auto_delete_old = true;
    struct dt_ike_session *s = net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 600 * DT_SEC, net_children_are_up));
    for (int i = 0; i < 30; i++) {
        act(&net, &r);
        net_run(&net, net.now + dt_rand_below(&r, dt_rand_below(&r, 3) ? 100 * DT_MSEC : 3 * DT_SEC));
    }
    assert_true(net_run_until(&net, 3600 * DT_SEC, net_quiet));
    assert_int_equal(net.host[0].downs + net.host[1].downs, 0);
    assert_ptr_equal(net.host[0].session, s);
    net_check_pairs(&net.host[0], &net.host[1]);
    net.loss = 0;
    dt_ike_close(dt_rand_below(&r, 2) ? net.host[0].session : net.host[1].session, net.now, false);
    net_run(&net, DT_NEVER);
    net_check_empty(&net.host[0]);
    net_check_empty(&net.host[1]);
    net_free(&net);
}

static void both_ends_agree_in_the_end(void **state)
{
    uint64_t seed = test_seed("both_ends_agree_in_the_end");
    const char *n = getenv("DT_RUNS");
    for (uint64_t i = 0; i < (n ? strtoull(n, NULL, 0) : 150); i++) {
        if (getenv("DT_VERBOSE"))
            printf("# seed %llu\n", (unsigned long long)(seed + i));
        one(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ends_agree_in_the_end)};
    return TEST_RUN(tests);
}
