/* IKE_SA_INIT: cookies, groups, NAT detection, refusals, half-open limits. */
#include "ike/ike_net.h"

#include "wire/ike_msg.h"
#include "wire/ike_notify.h"
#include "wire/ike_payload.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static bool both_up(struct net *n)
{
    return n->host[0].child_ups && n->host[1].child_ups;
}

static bool over(struct net *n)
{
    return n->host[0].downs > 0 || n->host[0].ups > 0;
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

static void come_up(void)
{
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, both_up));
    net_run(&net, net.now + DT_SEC);
    net_check_pairs(a, b);
}

static void proposal(struct dt_proposals *list, const char *text)
{
    struct dt_proposal p;
    struct dt_err err = {0};
    if (dt_proposal_parse(&p, DT_PROTO_IKE, text, &err))
        fail_msg("%s", err.text);
    list->n = 0;
    dt_proposals_add(list, &p);
}

static void responder_wants_another_group(void **state)
{
    struct dt_ike_session_info info;
    net_init(&net, 1, 2, dt_crypto_openssl());
    proposal(&b->cfg.ike, "aes256gcm16-prfsha512-ecp384");
    come_up();
    dt_ike_session_info(a->session, &info);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_KE, NULL), DT_KE_ECP_384);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_PRF, NULL), DT_PRF_HMAC_SHA2_512);
    finish();
}

static void no_common_proposal(void **state)
{
    net_init(&net, 2, 2, dt_crypto_null());
    proposal(&a->cfg.ike, "aes128gcm16-prfsha256-x25519");
    proposal(&b->cfg.ike, "chacha20poly1305-prfsha512-ecp384");
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, over));
    assert_int_equal(a->last_down.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(a->last_down.text, "aes128gcm16-prfsha256-x25519"));
    assert_int_equal(b->last_event.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(b->last_event.text, "aes128gcm16-prfsha256-x25519"));
    assert_non_null(strstr(b->last_event.text, "chacha20poly1305-prfsha512-ecp384"));
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    finish();
}

/* 2.21.1: anybody may send a refusal; a proper answer within the grace time wins. */
static bool forge_refusal(struct net *n, struct net_packet *p)
{
    static bool inside;
    if (p->from == 0 && p->exchange == DT_IKE_SA_INIT && !p->response && !inside) {
        uint8_t data[100];
        struct dt_ike_builder w;
        struct dt_ike_header h = {.spi_i = dt_get_be64(p->data), .exchange = DT_IKE_SA_INIT, .flags = 0x20};
        struct dt_path path = {.local = p->path.remote, .remote = p->path.local};
        inside = true;
        dt_ike_build(&w, data, sizeof(data), &h);
        dt_ike_notify_write(&w, 0, dt_span(NULL, 0), DT_N_NO_PROPOSAL_CHOSEN, dt_span(NULL, 0));
        net_inject(n, 1, &path, data, dt_ike_build_end(&w), n->now + DT_MSEC);
        inside = false;
    }
    return false;
}

static void forged_refusal_does_no_harm(void **state)
{
    net_init(&net, 3, 2, dt_crypto_null());
    net.filter = forge_refusal;
    come_up();
    assert_int_equal(a->events[DT_IKE_EV_PEER_REFUSED], 1);
    net.filter = NULL;
    finish();
}

static void nat(bool initiator, enum dt_ike_encap encap)
{
    struct net_host *h = initiator ? a : b;
    net_init(&net, 4, 2, dt_crypto_openssl());
    h->behind_nat = true;
    h->nat_addr = dt_addr4(0xcb007105);
    h->nat_shift = initiator ? 20000 : 0;
    a->cfg.encap = b->cfg.encap = encap;
    come_up();
}

static void nat_before_the_initiator(void **state)
{
    struct dt_ike_session_info ia, ib;
    nat(true, DT_ENCAP_DETECT);
    dt_ike_session_info(a->session, &ia);
    dt_ike_session_info(b->session, &ib);
    assert_true(ia.nat_local && !ia.nat_remote && !ib.nat_local && ib.nat_remote);
    assert_int_equal(a->moves, 1);
    assert_true(a->path.natt);
    assert_int_equal(a->path.remote.port, 4500);
    assert_true(net_newest(a)->sa.path.natt);
    assert_true(net_newest(b)->sa.path.natt);
    assert_int_equal(net_newest(b)->sa.path.remote.port, 24500);
    /* Keep-alives come from behind the NAT alone. */
    net_run(&net, net.now + 65 * DT_SEC);
    assert_int_equal(a->keepalives, 3);
    assert_int_equal(b->keepalives, 0);
    finish();
}

static void nat_before_the_responder(void **state)
{
    struct dt_ike_session_info ia, ib;
    nat(false, DT_ENCAP_DETECT);
    dt_ike_session_info(a->session, &ia);
    dt_ike_session_info(b->session, &ib);
    assert_true(!ia.nat_local && ia.nat_remote && ib.nat_local && !ib.nat_remote);
    assert_true(net_newest(a)->sa.path.natt);
    finish();
}

static void raw_esp_through_a_nat(void **state)
{
    struct dt_ike_session_info ia;
    nat(true, DT_ENCAP_OFF);
    dt_ike_session_info(a->session, &ia);
    assert_false(ia.nat_local || ia.nat_remote);
    assert_false(net_newest(a)->sa.path.natt);
    assert_false(net_newest(b)->sa.path.natt);
    assert_int_equal(a->moves, 0);
    finish();
}

static void encapsulation_is_forced(void **state)
{
    for (int i = 0; i < 2; i++) {
        net_init(&net, 5, 2, dt_crypto_null());
        net.host[i].cfg.encap = DT_ENCAP_FORCE;
        come_up();
        assert_true(net_newest(a)->sa.path.natt);
        assert_true(net_newest(b)->sa.path.natt);
        finish();
    }
}

static void responder_follows_a_new_address(void **state)
{
    nat(true, DT_ENCAP_DETECT);
    a->nat_shift = 30000; /* the NAT was rebooted */
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->alive, 1);
    assert_int_equal(b->moves, 1);
    assert_int_equal(dt_ike_session_path(b->session)->remote.port, 34500);
    dt_ike_liveness(b->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(b->alive, 1);
    finish();
}

static void own_address_changes(void **state)
{
    net_init(&net, 6, 2, dt_crypto_null());
    come_up();
    a->addr = dt_addr4(0xc00002c8);
    dt_ike_liveness(a->session, net.now); /* still from the old address: nothing comes back */
    net_run(&net, net.now + 10 * DT_MSEC);
    struct dt_path path = net_path(&net, 0, 1);
    dt_ike_session_set_path(a->session, net.now, &path); /* sends again at once */
    net_run(&net, net.now + 200 * DT_MSEC);
    assert_int_equal(a->alive, 1);
    assert_true(dt_addr_eq(&dt_ike_session_path(b->session)->remote.addr, &a->addr));
    finish();
}

/* ---- floods ---- */

static bool only_cookies(struct net *n, struct net_packet *p)
{
    unsigned *cookies = n->filter_ctx;
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    if (p->from != 1)
        return false;
    assert_int_equal(dt_ike_header_read(&h, p->data, p->len), 0);
    assert_int_equal(dt_ike_payloads_read(&list, h.next, p->data + 28, p->len - 28), 0);
    *cookies += list.n == 1 && !h.spi_r;
    return p->path.remote.port > 20000; /* the flood's addresses are not there */
}

static void flood(unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++) {
        uint8_t data[400], ke[32] = {9}, nonce[32];
        struct dt_ike_builder w;
        struct dt_ike_header h = {
            .spi_i = 77 + i, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_INITIATOR};
        struct dt_proposals offer;
        struct dt_path path = {.local = {b->addr, 500}, .remote = {a->addr, (uint16_t)(20001 + i % 40000)}};
        memset(nonce, (int)i, sizeof(nonce));
        proposal(&offer, "aes128gcm16-prfsha256-x25519");
        dt_ike_build(&w, data, sizeof(data), &h);
        dt_ike_sa_write(&w, &offer);
        dt_ike_ke_write(&w, DT_KE_X25519, dt_span(ke, sizeof(ke)));
        dt_ike_raw_write(&w, DT_P_NONCE, dt_span(nonce, sizeof(nonce)));
        dt_ike_input(b->ike, net.now, &path, data, dt_ike_build_end(&w));
    }
}

static void half_open_flood_meets_cookies(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 7, 2, dt_crypto_null());
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    flood(0, net.params.half_open_cookie);
    assert_int_equal(cookies, 0);
    assert_int_equal(dt_ike_usage(b->ike).half_open, net.params.half_open_cookie);
    flood(1000, 50);
    assert_int_equal(cookies, 50);
    assert_int_equal(b->events[DT_IKE_EV_COOKIES], 1);
    assert_int_equal(dt_ike_usage(b->ike).half_open, net.params.half_open_cookie); /* not one more */
    come_up(); /* whoever is there returns the cookie */
    assert_int_equal(cookies, 51);
    net_run(&net, net.now + 40 * DT_SEC);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    finish();
}

static void half_open_cap(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 8, 2, dt_crypto_null());
    net.params.half_open_cookie = 1000;
    net.params.half_open_max = 20;
    net_restart(&net, 1);
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    flood(0, 100);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 20);
    assert_int_equal(dt_ike_counters(b->ike)->half_open_dropped, 80);
    net_run(&net, DT_NEVER);
    net_check_empty(b);
    net_free(&net);
}

static void cookie_and_another_group(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 9, 2, dt_crypto_null());
    net.params.half_open_cookie = 0;
    net_restart(&net, 1);
    proposal(&b->cfg.ike, "aes256gcm16-prfsha512-ecp384");
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    come_up();
    assert_int_equal(cookies, 2); /* COOKIE, INVALID_KE_PAYLOAD */
    finish();
}

static void old_cookies_die(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 10, 2, dt_crypto_null());
    net.params.half_open_cookie = 0;
    net.params.cookie_rotate = 10 * DT_MSEC; /* two generations pass on the way */
    net_restart(&net, 1);
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 100 * DT_SEC, over));
    assert_int_equal(a->ups, 0);
    assert_true(dt_ike_counters(b->ike)->cookies_bad > 0);
    finish();
}

/* DESIGN: nothing unauthenticated can make us send more than it sent. */
static bool never_more_than_came(struct net *n, struct net_packet *p)
{
    static size_t came;
    if (p->from == 0)
        came = p->len;
    else if (p->exchange == DT_IKE_SA_INIT)
        assert_true(p->len <= came);
    return false;
}

static void short_request_gets_no_longer_answer(void **state)
{
    net_init(&net, 12, 2, dt_crypto_null());
    net.params.vendor_id = dt_span(NULL, 0);
    net_restart(&net, 0);
    net.params.vendor_id = dt_span("a very long name of a vendor, longer than the rest", 50);
    net_restart(&net, 1);
    proposal(&a->cfg.ike, "aes128gcm16-prfsha256-x25519");
    net.filter = never_more_than_came;
    come_up();
    assert_int_equal(dt_ike_counters(b->ike)->cookies_sent, 0); /* the vendor's name was left out */
    finish();
    uint8_t data[400], ke[32] = {9};
    unsigned cookies = 0;
    struct dt_ike_builder w;
    struct dt_ike_header h = {.spi_i = 5, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_INITIATOR};
    struct dt_proposals offer;
    net_init(&net, 13, 2, dt_crypto_null());
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    proposal(&offer, "aes128gcm16-prfsha256-x25519");
    dt_ike_build(&w, data, sizeof(data), &h);
    dt_ike_sa_write(&w, &offer);
    dt_ike_ke_write(&w, DT_KE_X25519, dt_span(ke, sizeof(ke)));
    dt_ike_raw_write(&w, DT_P_NONCE, dt_span(ke, 16)); /* shorter than ours */
    struct dt_path path = {.local = {b->addr, 500}, .remote = {a->addr, 20001}};
    dt_ike_input(b->ike, net.now, &path, data, dt_ike_build_end(&w));
    assert_int_equal(cookies, 1);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    finish();
}

static void repeated_request_makes_one_session(void **state)
{
    net_init(&net, 11, 2, dt_crypto_null());
    net.dup = 100;
    come_up();
    assert_int_equal(b->ups, 1);
    assert_int_equal(dt_ike_counters(b->ike)->sessions_opened, 1);
    net.dup = 0;
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responder_wants_another_group),
        cmocka_unit_test(no_common_proposal),
        cmocka_unit_test(forged_refusal_does_no_harm),
        cmocka_unit_test(nat_before_the_initiator),
        cmocka_unit_test(nat_before_the_responder),
        cmocka_unit_test(raw_esp_through_a_nat),
        cmocka_unit_test(encapsulation_is_forced),
        cmocka_unit_test(responder_follows_a_new_address),
        cmocka_unit_test(own_address_changes),
        cmocka_unit_test(half_open_flood_meets_cookies),
        cmocka_unit_test(half_open_cap),
        cmocka_unit_test(cookie_and_another_group),
        cmocka_unit_test(old_cookies_die),
        cmocka_unit_test(short_request_gets_no_longer_answer),
        cmocka_unit_test(repeated_request_makes_one_session),
    };
    return TEST_RUN(tests);
}
