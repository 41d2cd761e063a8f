/* The IKE SA is rekeyed below a session that stays the same. */
#include "ike/ike_net.h"

#include "wire/ike_notify.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void ike(struct dt_ike_cfg *cfg, const char *text)
{
    struct dt_proposal p;
    struct dt_err err = {0};
    if (dt_proposal_parse(&p, DT_PROTO_IKE, text, &err))
        fail_msg("%s", err.text);
    cfg->ike.n = 0;
    dt_proposals_add(&cfg->ike, &p);
}

static void session_and_children_stay(void **state)
{
    struct dt_err err;
    net_init(&net, 1, 2, dt_crypto_openssl());
    net_come_up(&net);
    struct dt_ike_session *sa = a->session, *sb = b->session;
    uint64_t id = dt_ike_session_id(sa);
    for (unsigned i = 1; i <= 6; i++) {
        struct dt_ike_session_info before, ia, ib;
        dt_ike_session_info(sa, &before);
        dt_ike_session_rekey(i % 2 ? sa : sb, net.now);
        net_run(&net, net.now + DT_SEC);
        assert_true(net_quiet(&net)); /* the old IKE SA is gone at both ends */
        assert_ptr_equal(a->session, sa);
        assert_int_equal(dt_ike_session_id(sa), id);
        dt_ike_session_info(sa, &ia);
        dt_ike_session_info(sb, &ib);
        assert_int_equal(ia.rekeys, i);
        assert_int_equal(ia.spi_i, ib.spi_i);
        assert_int_equal(ia.spi_r, ib.spi_r);
        assert_int_not_equal(ia.spi_i, before.spi_i);
        assert_int_equal(ia.children, 1);
        assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
        net_run(&net, net.now + DT_SEC);
        dt_ike_child_delete(net_newest(b)->sa.replaces, net.now); /* of what came before the new IKE SA */
        net_run(&net, net.now + DT_SEC);
        net_check_pairs(a, b);
        assert_int_equal(net_children_up(a), 1);
    }
    net_finish(&net);
}

static void another_prf_and_cipher(void **state)
{
    static struct dt_ike_cfg ca, cb;
    struct dt_ike_session_info info;
    net_init(&net, 2, 2, dt_crypto_openssl());
    ike(&a->cfg, "aes128gcm16-prfsha512-x25519");
    net_come_up(&net);
    ca = a->cfg;
    cb = b->cfg;
    ike(&ca, "aes256-sha256-prfsha256-x25519");
    ike(&cb, "aes256-sha256-prfsha256-x25519");
    dt_ike_session_set_cfg(a->session, &ca);
    dt_ike_session_set_cfg(b->session, &cb);
    dt_ike_session_rekey(a->session, net.now); /* SKEYSEED by the old PRF, the keys by the new one (2.18) */
    net_run(&net, net.now + DT_SEC);
    dt_ike_session_info(a->session, &info);
    assert_int_equal(info.rekeys, 1);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_PRF, NULL), DT_PRF_HMAC_SHA2_256);
    dt_ike_liveness(b->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(b->alive, 1);
    net_finish(&net);
}

static void peer_wants_another_group(void **state)
{
    static struct dt_ike_cfg cb;
    struct dt_ike_session_info info;
    net_init(&net, 3, 2, dt_crypto_openssl());
    net_come_up(&net);
    cb = b->cfg;
    ike(&cb, "aes128gcm16-prfsha256-ecp384");
    dt_ike_session_set_cfg(b->session, &cb);
    dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    dt_ike_session_info(a->session, &info);
    assert_int_equal(info.rekeys, 1);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_KE, NULL), DT_KE_ECP_384);
    net_finish(&net);
}

static void refused_rekey_leaves_the_session(void **state)
{
    static struct dt_ike_cfg cb;
    net_init(&net, 4, 2, dt_crypto_null());
    ike(&a->cfg, "aes128gcm16-prfsha256-x25519");
    net_come_up(&net);
    cb = b->cfg;
    ike(&cb, "chacha20poly1305-prfsha256-x25519");
    dt_ike_session_set_cfg(b->session, &cb);
    dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->rekeyed, 0);
    assert_non_null(strstr(a->last_event.text, "it takes chacha20poly1305-prfsha256-x25519"));
    assert_int_equal(b->last_event.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(b->last_event.text, "chacha20poly1305"));
    assert_non_null(strstr(b->last_event.text, "aes128gcm16"));
    dt_ike_session_set_cfg(b->session, &b->cfg);
    net_run(&net, net.now + 60 * DT_SEC); /* tried again by itself */
    assert_int_equal(a->rekeyed, 1);
    assert_int_equal(net_children_up(a), 1);
    net_finish(&net);
}

static void asked_twice_is_done_once(void **state)
{
    net_init(&net, 5, 2, dt_crypto_null());
    net_come_up(&net);
    for (int i = 0; i < 5; i++)
        dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(a->rekeyed, 1);
    net_finish(&net);
}

/* What waits for the window goes out on the new IKE SA. */
static void the_queue_moves_along(void **state)
{
    struct dt_err err;
    net_init(&net, 6, 2, dt_crypto_null());
    net_come_up(&net);
    dt_ike_session_rekey(a->session, net.now);
    for (int i = 0; i < 5; i++)
        assert_non_null(dt_ike_child_create(a->session, net.now, &err));
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(a->rekeyed, 1);
    assert_int_equal(net_children_up(a), 6);
    net_check_pairs(a, b);
    net_finish(&net);
}

/* Our own rekey waits for the window while the peer's comes and goes: then there is nothing left to do. */
static void a_rekey_that_waits_is_done_by_the_peers(void **state)
{
    net_init(&net, 20, 2, dt_crypto_null());
    net_come_up(&net);
    dt_ike_liveness(a->session, net.now); /* takes a's window */
    dt_ike_session_rekey(a->session, net.now);
    dt_ike_session_rekey(b->session, net.now);
    assert_int_equal(dt_ike_usage(a->ike).queued, 1);
    net.delay = 5 * DT_MSEC; /* b's request overtakes the answer to a's */
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(a->rekeyed, 1);
    assert_int_equal(b->rekeyed, 1);
    net_check_pairs(a, b);
    net_finish(&net);
}

/* A peer that never agrees to a rekey is asked again for as long as the IKE SA may live, and then left, politely. */
static void an_ike_sa_that_nobody_rekeys_ends(void **state)
{
    static struct dt_ike_cfg other;
    net_init(&net, 21, 2, dt_crypto_null());
    net.params.ike_lifetime = 1000 * DT_SEC;
    net_restart(&net, 0);
    net_restart(&net, 1);
    net_come_up(&net);
    other = b->cfg;
    ike(&other, "aes256-sha512-ecp384");
    ike(&a->cfg, "aes128gcm16-prfsha256-x25519");
    dt_ike_session_set_cfg(b->session, &other);
    net_run(&net, net.now + 1900 * DT_SEC);
    assert_int_equal(a->downs + b->downs, 0);
    assert_in_range(a->events[DT_IKE_EV_PEER_REFUSED], 10, 200);
    net_run(&net, net.now + 200 * DT_SEC);
    assert_int_equal(a->downs, 1);
    assert_int_equal(b->downs, 1); /* told */
    assert_non_null(strstr(a->last_down.text, "lifetime"));
    net_finish(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_rekey_that_waits_is_done_by_the_peers),
                                       cmocka_unit_test(an_ike_sa_that_nobody_rekeys_ends),
                                       cmocka_unit_test(session_and_children_stay),
                                       cmocka_unit_test(another_prf_and_cipher),
                                       cmocka_unit_test(peer_wants_another_group),
                                       cmocka_unit_test(refused_rekey_leaves_the_session),
                                       cmocka_unit_test(asked_twice_is_done_once),
                                       cmocka_unit_test(the_queue_moves_along)};
    return TEST_RUN(tests);
}
