/* IKE_AUTH: who may come up with whom, and what each end is told when it may not. */
#include "ike/ike_net.h"

#include "wire/ike_notify.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void finish(void)
{
    if (a->session)
        dt_ike_close(a->session, net.now, false);
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
}

static void come_up(void)
{
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(dt_ike_session_state(a->session), DT_SESSION_UP);
    assert_int_equal(net_children_up(a), 1);
    net_check_pairs(a, b);
}

static void fail_to_come_up(void)
{
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 200 * DT_SEC, net_over));
    assert_int_equal(a->ups, 0);
    assert_int_equal(b->ups, 0);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->failed, 1); /* the first child, too */
}

static void comes_up_and_goes(void **state)
{
    const struct dt_crypto *both[] = {dt_crypto_null(), dt_crypto_openssl()};
    for (size_t i = 0; i < 2; i++) {
        net_init(&net, 1, 2, both[i]);
        come_up();
        assert_true(dt_ike_id_eq(dt_ike_session_remote_id(a->session), &b->cfg.local_id));
        assert_true(dt_ike_id_eq(dt_ike_session_remote_id(b->session), &a->cfg.local_id));
        finish();
        assert_int_equal(a->downs, 1);
        assert_int_equal(b->downs, 1);
    }
}

static void every_algorithm(void **state)
{
    static const char *const ike[] = {"aes128gcm16-prfsha256-x25519",      "aes256gcm16-prfsha384-ecp256",
                                      "chacha20poly1305-prfsha512-ecp384", "aes128-sha256-modp2048",
                                      "aes256-sha384-prfsha256-ecp256",    "aes256-sha512-x25519"};
    static const char *const esp[] = {"aes128gcm16",   "aes256gcm16-noesn", "chacha20poly1305-x25519",
                                      "aes128-sha256", "aes256-sha384-esn", "aes256-sha512-modp2048"};
    for (size_t i = 0; i < DT_ARRAY_LEN(ike); i++) {
        struct dt_proposal p;
        struct dt_err err = {0};
        net_init(&net, i, 2, dt_crypto_openssl());
        a->cfg.ike.n = a->cfg.esp.n = 0;
        assert_int_equal(dt_proposal_parse(&p, DT_PROTO_IKE, ike[i], &err), 0);
        dt_proposals_add(&a->cfg.ike, &p);
        assert_int_equal(dt_proposal_parse(&p, DT_PROTO_ESP, esp[i], &err), 0);
        dt_proposals_add(&a->cfg.esp, &p);
        b->cfg.esp = a->cfg.esp;
        come_up();
        dt_ike_session_rekey(a->session, net.now);
        net_run(&net, net.now + DT_SEC);
        assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(net_children_up(a), 2);
        assert_int_equal(a->rekeyed, 1);
        net_check_pairs(a, b);
        finish();
    }
}

static void every_kind_of_identity(void **state)
{
    static const char *const id[] = {"vpn.example.net", "anna@example.net", "192.0.2.77", "2001:db8::7",
                                     "keyid:0a0b0c"};
    for (size_t i = 0; i < DT_ARRAY_LEN(id); i++) {
        net_init(&net, i, 2, dt_crypto_null());
        assert_int_equal(dt_ike_id_parse(&a->cfg.local_id, id[i]), 0);
        assert_int_equal(dt_ike_id_parse(&b->cfg.remote_id, id[i]), 0);
        a->cfg.remote_id = b->cfg.local_id;
        a->cfg.send_idr = true;
        come_up();
        finish();
    }
}

static void wrong_secret(void **state)
{
    net_init(&net, 2, 2, dt_crypto_openssl());
    a->psk = "another secret";
    fail_to_come_up();
    assert_int_equal(a->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    assert_non_null(strstr(b->last_down.text, "host0.example.net"));
    assert_int_equal(dt_ike_counters(b->ike)->auth_failed, 1);
    finish();
}

static void no_secret_at_the_responder(void **state)
{
    net_init(&net, 2, 2, dt_crypto_null());
    b->psk = NULL;
    fail_to_come_up();
    assert_int_equal(a->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    assert_non_null(strstr(b->last_down.text, "no pre-shared key"));
    finish();
}

static void wrong_initiator(void **state)
{
    net_init(&net, 3, 2, dt_crypto_null());
    assert_int_equal(dt_ike_id_parse(&b->cfg.remote_id, "somebody.example.net"), 0);
    fail_to_come_up();
    assert_int_equal(a->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    assert_non_null(strstr(b->last_down.text, "somebody.example.net"));
    assert_non_null(strstr(b->last_down.text, "host0.example.net"));
    finish();
}

static void wrong_responder(void **state)
{
    net_init(&net, 4, 2, dt_crypto_null());
    assert_int_equal(dt_ike_id_parse(&a->cfg.remote_id, "somebody.example.net"), 0);
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 200 * DT_SEC, net_over));
    assert_int_equal(a->downs, 1);
    assert_non_null(strstr(a->last_down.text, "host1.example.net"));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(b->downs, 1); /* told by a */
    assert_int_equal(b->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    finish();
}

static void asks_for_somebody_else(void **state)
{
    net_init(&net, 4, 2, dt_crypto_null());
    assert_int_equal(dt_ike_id_parse(&a->cfg.remote_id, "somebody.example.net"), 0);
    a->cfg.send_idr = true;
    fail_to_come_up();
    assert_int_equal(a->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    finish();
}

static void refusal_is_repeated_to_who_lost_it(void **state)
{
    net_init(&net, 5, 2, dt_crypto_null());
    a->psk = "another secret";
    net.loss = 60;
    net.params.retransmit_tries = 30;
    net.params.retransmit_max = DT_SEC;
    net_restart(&net, 0);
    fail_to_come_up();
    assert_int_equal(a->last_down.notify, DT_N_AUTHENTICATION_FAILED);
    assert_int_equal(b->downs, 1);
    net.loss = 0;
    finish();
}

static void no_common_child_proposal(void **state)
{
    struct dt_proposal p;
    net_init(&net, 6, 2, dt_crypto_null());
    b->cfg.esp.n = 0;
    dt_proposal_parse(&p, DT_PROTO_ESP, "chacha20poly1305-noesn", NULL);
    dt_proposals_add(&b->cfg.esp, &p);
    a->cfg.esp.n = 0;
    dt_proposal_parse(&p, DT_PROTO_ESP, "aes256gcm16", NULL);
    dt_proposals_add(&a->cfg.esp, &p);
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->ups, 1); /* the session is there, without a child */
    assert_int_equal(a->failed, 1);
    assert_int_equal(a->last_failed.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(a->last_failed.text, "we offered aes256gcm16"));
    assert_non_null(strstr(a->last_failed.text, "it takes chacha20poly1305"));
    assert_int_equal(b->last_event.notify, DT_N_NO_PROPOSAL_CHOSEN); /* both sides' values */
    assert_non_null(strstr(b->last_event.text, "aes256gcm16"));
    assert_non_null(strstr(b->last_event.text, "chacha20poly1305"));
    finish();
}

static void selectors(struct dt_selectors *list, const char *text)
{
    struct dt_selector s;
    assert_int_equal(dt_selector_parse(&s, text), 0);
    list->n = 0;
    dt_selectors_add(list, &s);
}

static void selectors_are_narrowed(void **state)
{
    struct dt_selector want;
    net_init(&net, 7, 2, dt_crypto_null());
    selectors(&b->cfg.local_ts, "10.1.0.0/16");
    selectors(&b->cfg.remote_ts, "10.2.0.0/16[tcp]");
    selectors(&a->cfg.local_ts, "10.2.3.0/24");
    come_up();
    dt_selector_parse(&want, "10.1.0.0/16");
    assert_true(dt_selector_eq(&net_newest(a)->sa.remote_ts.v[0], &want));
    dt_selector_parse(&want, "10.2.3.0/24[tcp]");
    assert_true(dt_selector_eq(&net_newest(a)->sa.local_ts.v[0], &want));
    finish();
}

/* What both sides allow is more than a child carries: nothing of it is left out in silence. */
static void what_is_shared_has_no_room(void **state)
{
    char text[60];
    struct dt_selector s;
    net_init(&net, 7, 2, dt_crypto_null());
    b->cfg.local_ts.n = a->cfg.remote_ts.n = 0;
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "10.%d.0.0/16", i);
        dt_selector_parse(&s, text);
        dt_selectors_add(&b->cfg.local_ts, &s);
    }
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof(text), "10.0.0.0/8[tcp/%d]", 80 + i);
        dt_selector_parse(&s, text);
        dt_selectors_add(&a->cfg.remote_ts, &s);
    }
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->last_failed.notify, DT_N_TS_UNACCEPTABLE);
    assert_non_null(strstr(b->last_event.text, "asks for what comes to 20 traffic selectors for one side; at most 16"));
    net_finish(&net);
}

static void selectors_outside_the_policy(void **state)
{
    net_init(&net, 8, 2, dt_crypto_null());
    selectors(&b->cfg.local_ts, "10.1.0.0/16");
    selectors(&a->cfg.remote_ts, "10.7.0.0/16");
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->last_failed.notify, DT_N_TS_UNACCEPTABLE);
    assert_non_null(strstr(a->last_failed.text, "=== 10.7.0.0/16; it allows "));
    assert_non_null(strstr(a->last_failed.text, "=== 10.1.0.0/16"));
    assert_non_null(strstr(b->last_event.text, "10.7.0.0/16"));
    assert_non_null(strstr(b->last_event.text, "10.1.0.0/16"));
    finish();
}

static void transport_mode(void **state)
{
    net_init(&net, 9, 2, dt_crypto_null());
    a->cfg.transport = b->cfg.transport = true;
    come_up();
    assert_true(net_newest(a)->sa.transport);
    finish();
    net_init(&net, 9, 2, dt_crypto_null());
    a->cfg.transport = true; /* b would make a tunnel of it: not what a asked for */
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->failed, 1);
    assert_int_equal(net_children_up(b), 0); /* deleted there, too */
    finish();
}

static void private_notifies_both_ways(void **state)
{
    net_init(&net, 10, 2, dt_crypto_null());
    a->notify = (struct dt_ike_notify){.type = 40970, .len = 3, .data = {1, 2, 3}};
    b->notify = (struct dt_ike_notify){.type = 65535, .len = 0};
    come_up();
    assert_int_equal(b->got.type, 40970);
    assert_int_equal(b->got.len, 3);
    assert_memory_equal(b->got.data, "\1\2\3", 3);
    assert_int_equal(a->got.type, 65535);
    struct dt_ike_session_info info;
    dt_ike_session_info(a->session, &info);
    assert_true(info.same_vendor);
    finish();
}

/* Private use is between those who agree on it, and the Vendor ID says that they do (RFC 7296 3.10.1). */
static void private_notifies_of_strangers(void **state)
{
    for (int stranger = 0; stranger < 2; stranger++) {
        struct dt_ike_session_info info;
        net_init(&net, 30, 2, dt_crypto_null());
        net.params.vendor_id = dt_span("somebody else", 13);
        net_restart(&net, stranger);
        a->notify = b->notify = (struct dt_ike_notify){.type = 40986, .len = 1, .data = {1}};
        come_up();
        assert_int_equal(a->got.type, 0);
        assert_int_equal(b->got.type, 0);
        dt_ike_session_info(a->session, &info);
        assert_false(info.same_vendor);
        dt_ike_session_info(b->session, &info);
        assert_false(info.same_vendor);
        finish();
    }
}

/* What would have been taken is told to a Dovetail, and believed of one. */
static void refusals_of_strangers_say_no_more(void **state)
{
    for (int stranger = 0; stranger < 2; stranger++) {
        net_init(&net, 31, 2, dt_crypto_null());
        if (stranger) {
            net.params.vendor_id = dt_span("somebody else", 13);
            net_restart(&net, 0);
        }
        net_proposal(&a->cfg.esp, DT_PROTO_ESP, "aes128gcm16-noesn");
        net_proposal(&b->cfg.esp, DT_PROTO_ESP, "aes256-sha512-esn");
        net_open(&net, 0, 1);
        assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
        assert_int_equal(a->last_failed.notify, DT_N_NO_PROPOSAL_CHOSEN);
        assert_int_equal(strstr(a->last_failed.text, "did not say") != NULL, stranger);
        assert_int_equal(strstr(a->last_failed.text, "it takes aes256") != NULL, !stranger);
        finish();
    }
}

/* Two are served at one address, and IKE_AUTH says which one is meant. What IKE_SA_INIT chose must be allowed by that one. */
static void each_ones_own_proposals_hold(void **state)
{
    static const char weak[] = "aes128-sha256-modp2048", strong[] = "aes256gcm16-prfsha384-ecp384",
                      both[] = "aes256gcm16-prfsha256-ecp256";
    static const struct {
        const char *first, *other; /* what host 1 allows, as itself and as the other one */
        const char *offer[2];      /* of host 0, by preference */
        bool asks_for_other, up;
    } cases[] = {
        {weak, strong, {weak}, false, true},
        {weak, strong, {weak}, true, false},  /* the other one is stricter than the first */
        {weak, strong, {strong}, true, true}, /* and the first one's list is not all there is */
        {weak, strong, {strong}, false, false},
        {weak, strong, {strong, weak}, true, true}, /* nothing suits both: what the peer likes best */
        {weak, strong, {weak, strong}, false, true},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        static struct dt_ike_cfg other;
        struct dt_proposal p;
        net_init(&net, 40 + i, 2, dt_crypto_openssl());
        a->cfg.ike.n = 0;
        for (size_t k = 0; k < 2 && cases[i].offer[k]; k++) {
            assert_int_equal(dt_proposal_parse(&p, DT_PROTO_IKE, cases[i].offer[k], NULL), 0);
            dt_proposals_add(&a->cfg.ike, &p);
        }
        net_proposal(&b->cfg.ike, DT_PROTO_IKE, cases[i].first);
        other = b->cfg;
        net_proposal(&other.ike, DT_PROTO_IKE, cases[i].other);
        assert_int_equal(dt_ike_id_parse(&other.local_id, "other.example.net"), 0);
        b->other = &other;
        a->cfg.remote_id = cases[i].asks_for_other ? other.local_id : b->cfg.local_id;
        a->cfg.send_idr = true;
        if (cases[i].up) {
            come_up();
            assert_true(dt_ike_id_eq(dt_ike_session_remote_id(a->session), &a->cfg.remote_id));
            assert_int_equal(a->downs, 0);
        } else {
            fail_to_come_up();
            assert_int_equal(a->last_down.notify, DT_N_NO_PROPOSAL_CHOSEN);
            assert_non_null(strstr(a->last_down.text, cases[i].asks_for_other ? "ecp384" : "modp2048"));
            assert_non_null(strstr(a->last_down.text, cases[i].asks_for_other ? "modp2048" : "ecp384"));
            assert_int_equal(b->last_down.notify, DT_N_NO_PROPOSAL_CHOSEN);
            assert_non_null(strstr(b->last_down.text, "ecp384"));
            assert_non_null(strstr(b->last_down.text, "modp2048"));
        }
        finish();
    }
    /* What suits all is chosen, whoever comes first. */
    static struct dt_ike_cfg other;
    struct dt_ike_session_info info;
    struct dt_proposal p;
    net_init(&net, 50, 2, dt_crypto_openssl());
    net_proposal(&b->cfg.ike, DT_PROTO_IKE, weak);
    assert_int_equal(dt_proposal_parse(&p, DT_PROTO_IKE, both, NULL), 0);
    dt_proposals_add(&b->cfg.ike, &p);
    other = b->cfg;
    net_proposal(&other.ike, DT_PROTO_IKE, both);
    b->other = &other;
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, weak);
    dt_proposals_add(&a->cfg.ike, &p);
    come_up();
    dt_ike_session_info(a->session, &info);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_KE, NULL), DT_KE_ECP_256);
    finish();
}

static void inside_addresses(void **state)
{
    struct dt_addr v4, v6, dns;
    net_init(&net, 11, 2, dt_crypto_null());
    dt_addr_parse(&v4, "10.9.0.7");
    dt_addr_parse(&v6, "fd09::7");
    dt_addr_parse(&dns, "10.1.0.53");
    struct dt_selector all6 = dt_selector_all6();
    dt_selectors_add(&a->cfg.local_ts, &all6);
    dt_selectors_add(&a->cfg.remote_ts, &all6);
    dt_selectors_add(&b->cfg.local_ts, &all6);
    a->cfg.want4 = a->cfg.want6 = a->cfg.want_dns = true;
    b->cfg.lease = true;
    b->lease = (struct dt_ike_inside){.addr4 = v4, .addr6 = v6, .addr6_len = 64, .ndns = 1, .dns = {dns}, .domains = "corp.example.net"};
    come_up();
    const struct dt_ike_inside *in = dt_ike_session_inside(a->session);
    assert_true(dt_addr_eq(&in->addr4, &v4));
    assert_true(dt_addr_eq(&in->addr6, &v6));
    assert_int_equal(in->addr6_len, 64);
    assert_int_equal(in->ndns, 1);
    assert_true(dt_addr_eq(&in->dns[0], &dns));
    assert_string_equal(in->domains, "corp.example.net");
    assert_string_equal(dt_ike_session_inside(b->session)->domains, ""); /* thousands of them need none */
    const struct dt_selectors *ts = &net_newest(a)->sa.local_ts;
    assert_int_equal(ts->n, 2);
    assert_true(dt_selector_has(&ts->v[0], &v4, 6, 1));
    assert_true(dt_addr_eq(&ts->v[0].range.from, &ts->v[0].range.to));
    /* The same selectors after a rekey from either side. */
    for (int i = 0; i < 2; i++) {
        struct dt_err err;
        dt_ike_child_rekey(net_newest(&net.host[i])->handle, net.now, &err);
        net_run(&net, net.now + DT_SEC);
        assert_true(dt_selectors_eq(&net_newest(a)->sa.local_ts, &a->child[0].sa.local_ts));
        net_check_pairs(a, b);
    }
    finish();
}

static void no_inside_address_left(void **state)
{
    net_init(&net, 12, 2, dt_crypto_null());
    a->cfg.want4 = true;
    b->cfg.lease = true;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->last_failed.notify, DT_N_INTERNAL_ADDRESS_FAILURE);
    assert_non_null(strstr(b->last_event.text, "the pool is empty"));
    finish();
}

static void inside_address_is_required(void **state)
{
    net_init(&net, 12, 2, dt_crypto_null());
    b->cfg.lease = true;
    b->lease.addr4 = dt_addr4(0x0a090007);
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->last_failed.notify, DT_N_FAILED_CP_REQUIRED);
    finish();
}

static void initial_contact_replaces_what_was_before(void **state)
{
    net_init(&net, 13, 2, dt_crypto_null());
    a->cfg.initial_contact = true;
    come_up();
    net_restart(&net, 0); /* it has forgotten everything */
    a->child_ups = b->child_ups = 0;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_children_are_up));
    assert_int_equal(b->downs, 1);
    assert_int_equal(dt_ike_usage(b->ike).sessions, 1);
    net_check_pairs(a, b);
    finish();
}

static void nobody_is_served(void **state)
{
    net_init(&net, 14, 2, dt_crypto_null());
    b->serves = false;
    fail_to_come_up();
    assert_int_equal(b->sent, 0);
    assert_non_null(strstr(a->last_down.text, "no answer to IKE_SA_INIT"));
    finish();
}

static void closed_while_it_comes_up(void **state)
{
    for (int i = 0; i < 8; i++) {
        net_init(&net, 15, 2, dt_crypto_null());
        struct dt_ike_session *s = net_open(&net, 0, 1);
        net_run(&net, net.now + (dt_time)i * 15 * DT_MSEC);
        dt_ike_close(s, net.now, i & 1);
        for (size_t k = 0; k < a->nchild; k++) /* silence is kept about them, too */
            a->child[k].up = false;
        net_run(&net, net.now + 300 * DT_SEC);
        net_check_empty(a);
        assert_int_equal(a->downs, !(i & 1));
        if (b->session) /* it cannot know */
            dt_ike_close(b->session, net.now, false);
        net_run(&net, DT_NEVER);
        net_check_empty(b);
        net_free(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_up_and_goes),
        cmocka_unit_test(every_algorithm),
        cmocka_unit_test(every_kind_of_identity),
        cmocka_unit_test(wrong_secret),
        cmocka_unit_test(no_secret_at_the_responder),
        cmocka_unit_test(wrong_initiator),
        cmocka_unit_test(wrong_responder),
        cmocka_unit_test(asks_for_somebody_else),
        cmocka_unit_test(refusal_is_repeated_to_who_lost_it),
        cmocka_unit_test(no_common_child_proposal),
        cmocka_unit_test(selectors_are_narrowed),
        cmocka_unit_test(what_is_shared_has_no_room),
        cmocka_unit_test(selectors_outside_the_policy),
        cmocka_unit_test(transport_mode),
        cmocka_unit_test(private_notifies_both_ways),
        cmocka_unit_test(private_notifies_of_strangers),
        cmocka_unit_test(refusals_of_strangers_say_no_more),
        cmocka_unit_test(each_ones_own_proposals_hold),
        cmocka_unit_test(inside_addresses),
        cmocka_unit_test(no_inside_address_left),
        cmocka_unit_test(inside_address_is_required),
        cmocka_unit_test(initial_contact_replaces_what_was_before),
        cmocka_unit_test(nobody_is_served),
        cmocka_unit_test(closed_while_it_comes_up),
    };
    return TEST_RUN(tests);
}
