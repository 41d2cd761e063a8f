/* NAT detection, the float to UDP 4500, keep-alives, addresses that change. */
#include "ike/ike_net.h"

#include "wire/ike_payload.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void nat(bool initiator, enum dt_ike_encap encap)
{
    struct net_host *h = initiator ? a : b;
    net_init(&net, 4, 2, dt_crypto_openssl());
    h->behind_nat = true;
    h->nat_addr = dt_addr4(0xcb007105);
    h->nat_shift = initiator ? 20000 : 0;
    a->cfg.encap = b->cfg.encap = encap;
    net_come_up(&net);
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
    net_finish(&net);
}

static void nat_before_the_responder(void **state)
{
    struct dt_ike_session_info ia, ib;
    nat(false, DT_ENCAP_DETECT);
    dt_ike_session_info(a->session, &ia);
    dt_ike_session_info(b->session, &ib);
    assert_true(!ia.nat_local && ia.nat_remote && ib.nat_local && !ib.nat_remote);
    assert_true(net_newest(a)->sa.path.natt);
    net_finish(&net);
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
    net_finish(&net);
}

static void encapsulation_is_forced(void **state)
{
    for (int i = 0; i < 2; i++) {
        net_init(&net, 5, 2, dt_crypto_null());
        net.host[i].cfg.encap = DT_ENCAP_FORCE;
        net_come_up(&net);
        assert_true(net_newest(a)->sa.path.natt);
        assert_true(net_newest(b)->sa.path.natt);
        net_finish(&net);
    }
}

/* The IKE_SA_INIT requests of host 0, in the order of their flight. */
static uint8_t request[2][2000];
static size_t request_len[2], requests;

/* The first one is answered with a cookie, and goes no further. */
static bool keep_requests(struct net *n, struct net_packet *p)
{
    uint8_t out[100];
    struct dt_ike_builder w;
    if (p->from != 0 || p->exchange != DT_IKE_SA_INIT || requests == 2)
        return false;
    memcpy(request[requests], p->data, p->len);
    request_len[requests++] = p->len;
    if (requests == 2)
        return false;
    struct dt_ike_header h = {
        .spi_i = dt_get_be64(p->data), .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_RESPONSE};
    struct dt_path back = net_path(n, 1, 0);
    dt_ike_build(&w, out, sizeof(out), &h);
    dt_ike_notify_write(&w, 0, dt_span(NULL, 0), DT_N_COOKIE, dt_span("a cookie", 8));
    net_inject(n, 1, &back, out, dt_ike_build_end(&w), n->now + DT_MSEC);
    return true;
}

/* RFC 7296 2.6: repeated with a cookie, as the first payload, a request is otherwise unchanged. */
static void a_cookie_changes_nothing_else(void **state)
{
    static const enum dt_ike_encap encaps[] = {DT_ENCAP_DETECT, DT_ENCAP_OFF, DT_ENCAP_FORCE};
    for (size_t i = 0; i < 3; i++) {
        requests = 0;
        net_init(&net, 7, 2, dt_crypto_openssl());
        a->cfg.encap = encaps[i];
        net.filter = keep_requests;
        net_come_up(&net);
        assert_int_equal(requests, 2);
        size_t cookie = request_len[1] - request_len[0], header = 28;
        assert_int_equal(cookie, 8 + 8);
        assert_int_equal(request[1][16], DT_P_NOTIFY);
        assert_memory_equal(request[1] + header + cookie, request[0] + header, request_len[0] - header);
        net_finish(&net);
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
    net_finish(&net);
}

static void own_address_changes(void **state)
{
    net_init(&net, 6, 2, dt_crypto_null());
    net_come_up(&net);
    a->addr = dt_addr4(0xc00002c8);
    dt_ike_liveness(a->session, net.now); /* still from the old address: nothing comes back */
    net_run(&net, net.now + 10 * DT_MSEC);
    struct dt_path path = net_path(&net, 0, 1);
    dt_ike_session_set_path(a->session, net.now, &path); /* sends again at once */
    net_run(&net, net.now + 200 * DT_MSEC);
    assert_int_equal(a->alive, 1);
    assert_true(dt_addr_eq(&dt_ike_session_path(b->session)->remote.addr, &a->addr));
    net_finish(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nat_before_the_initiator),      cmocka_unit_test(nat_before_the_responder),
        cmocka_unit_test(raw_esp_through_a_nat),         cmocka_unit_test(encapsulation_is_forced),
        cmocka_unit_test(a_cookie_changes_nothing_else), cmocka_unit_test(responder_follows_a_new_address),
        cmocka_unit_test(own_address_changes),
    };
    return TEST_RUN(tests);
}
