/* CREATE_CHILD_SA for children: further ones, rekeys, perfect forward secrecy, what is refused and how. */
#include "ike/ike_net.h"

#include "wire/ike_notify.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void rekey(struct net_host *h)
{
    struct dt_err err = {0};
    if (!dt_ike_child_rekey(net_newest(h)->handle, net.now, &err))
        fail_msg("%s", err.text);
    net_run(&net, net.now + DT_SEC);
}

static uint8_t exchange;
static size_t requests;

static bool count_requests(struct net *n, struct net_packet *p)
{
    requests += p->exchange == exchange && !p->response;
    return false;
}

static void further_children(void **state)
{
    struct dt_err err;
    net_init(&net, 1, 2, dt_crypto_openssl());
    net_come_up(&net);
    for (int i = 0; i < 4; i++) {
        struct net_host *h = &net.host[i % 2];
        assert_non_null(dt_ike_child_create(h->session, net.now, &err));
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(net_children_up(a), 2 + i);
        assert_null(net_newest(a)->sa.replaces);
        net_check_pairs(a, b);
    }
    net_finish(&net);
}

static void rekeyed_from_either_side(void **state)
{
    net_init(&net, 2, 2, dt_crypto_openssl());
    net_come_up(&net);
    for (int i = 0; i < 6; i++) {
        struct net_host *h = &net.host[i % 2];
        h->auto_delete_old = true;
        struct dt_ike_child *old = net_newest(h)->handle;
        rekey(h);
        assert_ptr_equal(net_newest(h)->sa.replaces, old);
        assert_int_equal(net_children_up(a), 1);
        net_check_pairs(a, b);
    }
    assert_int_equal(a->child_ups, 7);
    assert_int_equal(a->child_downs, 6);
    net_finish(&net);
}

/* The engine deletes nothing by itself after a rekey. */
static void old_child_stays_until_its_owner_deletes_it(void **state)
{
    net_init(&net, 3, 2, dt_crypto_null());
    net_come_up(&net);
    rekey(a);
    net_run(&net, net.now + 600 * DT_SEC);
    assert_int_equal(net_children_up(a), 2);
    dt_ike_child_delete(a->child[0].handle, net.now);
    assert_int_equal(a->child[0].why, DT_DOWN_LOCAL); /* at once */
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(b->child[0].why, DT_DOWN_PEER);
    net_check_pairs(a, b);
    net_finish(&net);
}

static void peer_wants_another_group(void **state)
{
    net_init(&net, 4, 2, dt_crypto_openssl());
    net_proposal(&a->cfg.esp, DT_PROTO_ESP, "aes128gcm16-x25519-ecp384");
    net_proposal(&b->cfg.esp, DT_PROTO_ESP, "aes128gcm16-ecp384");
    net_come_up(&net);
    net.filter = count_requests;
    requests = 0;
    exchange = 36;
    rekey(a);
    assert_int_equal(requests, 2); /* INVALID_KE_PAYLOAD in between */
    assert_int_equal(a->failed, 0);
    assert_int_equal(net_children_up(a), 2);
    net_check_pairs(a, b);
    net_finish(&net);
}

static void no_secrecy_where_one_side_has_none(void **state)
{
    static const char *const pair[][2] = {{"aes128gcm16", "aes128gcm16-x25519-nopfs"},
                                          {"aes128gcm16-x25519-nopfs", "aes128gcm16"}};
    for (size_t i = 0; i < 2; i++) {
        net_init(&net, 5, 2, dt_crypto_openssl());
        net_proposal(&a->cfg.esp, DT_PROTO_ESP, pair[i][0]);
        net_proposal(&b->cfg.esp, DT_PROTO_ESP, pair[i][1]);
        net_come_up(&net);
        rekey(a);
        rekey(b);
        assert_int_equal(net_children_up(a), 3);
        net_check_pairs(a, b);
        net_finish(&net);
    }
}

static void secrecy_that_one_side_demands(void **state)
{
    net_init(&net, 6, 2, dt_crypto_null());
    net_proposal(&a->cfg.esp, DT_PROTO_ESP, "aes128gcm16");
    net_proposal(&b->cfg.esp, DT_PROTO_ESP, "aes128gcm16-x25519");
    net_come_up(&net); /* IKE_AUTH has no groups */
    rekey(a);
    assert_int_equal(a->last_failed.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(a->last_failed.text, "it takes aes128gcm16-x25519"));
    assert_non_null(strstr(b->last_event.text, "x25519"));
    assert_int_equal(net_children_up(a), 1);
    net_finish(&net);
}

static void selectors_that_the_peer_no_longer_allows(void **state)
{
    struct dt_selector s;
    net_init(&net, 7, 2, dt_crypto_null());
    net_come_up(&net);
    dt_selector_parse(&s, "10.1.0.0/16");
    a->cfg.remote_ts = (struct dt_selectors){.n = 1, .v = {s}};
    dt_selector_parse(&s, "10.2.0.0/16");
    b->cfg.local_ts = (struct dt_selectors){.n = 1, .v = {s}};
    rekey(a);
    assert_int_equal(a->last_failed.notify, DT_N_TS_UNACCEPTABLE);
    assert_int_equal(net_children_up(a), 1); /* the old one is untouched */
    net_finish(&net);
}

static void extended_sequence_numbers(void **state)
{
    static const struct {
        const char *a, *b;
        bool esn;
    } t[] = {{"aes128gcm16", "aes128gcm16", true},
             {"aes128gcm16-noesn", "aes128gcm16", false},
             {"aes128gcm16", "aes128gcm16-noesn", false},
             {"aes128gcm16-esn", "aes128gcm16", true}};
    for (size_t i = 0; i < 4; i++) {
        net_init(&net, 8, 2, dt_crypto_null());
        net_proposal(&a->cfg.esp, DT_PROTO_ESP, t[i].a);
        net_proposal(&b->cfg.esp, DT_PROTO_ESP, t[i].b);
        net_come_up(&net);
        assert_int_equal(net_newest(a)->sa.esn, t[i].esn);
        net_finish(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(further_children),
        cmocka_unit_test(rekeyed_from_either_side),
        cmocka_unit_test(old_child_stays_until_its_owner_deletes_it),
        cmocka_unit_test(peer_wants_another_group),
        cmocka_unit_test(no_secrecy_where_one_side_has_none),
        cmocka_unit_test(secrecy_that_one_side_demands),
        cmocka_unit_test(selectors_that_the_peer_no_longer_allows),
        cmocka_unit_test(extended_sequence_numbers),
    };
    return TEST_RUN(tests);
}
