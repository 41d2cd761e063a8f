/* From nothing to a session with its first child, and what can go wrong on the way. */
#include "ike/ike_net.h"

#include "wire/ike_notify.h"

static struct net net;

static bool both_up(struct net *n)
{
    return n->host[0].child_ups && n->host[1].child_ups;
}

static void open_and_close(const struct dt_crypto *crypto)
{
    net_init(&net, 1, 2, crypto);
    struct dt_ike_session *s = net_open(&net, 0, 1);
    assert_int_equal(dt_ike_session_state(s), DT_SESSION_INIT);
    assert_true(net_run_until(&net, 10 * DT_SEC, both_up));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(dt_ike_session_state(s), DT_SESSION_UP);
    assert_int_equal(net_children_up(&net.host[0]), 1);
    net_check_pairs(&net.host[0], &net.host[1]);
    dt_ike_close(s, net.now, false);
    net_run(&net, DT_NEVER);
    assert_int_equal(net.host[0].downs, 1);
    assert_int_equal(net.host[1].downs, 1);
    net_check_empty(&net.host[0]);
    net_check_empty(&net.host[1]);
    net_free(&net);
}

static void session_comes_up_and_goes(void **state)
{
    open_and_close(dt_crypto_null());
}

static void session_comes_up_with_real_cryptography(void **state)
{
    open_and_close(dt_crypto_openssl());
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(session_comes_up_and_goes),
                                       cmocka_unit_test(session_comes_up_with_real_cryptography)};
    return TEST_RUN(tests);
}
