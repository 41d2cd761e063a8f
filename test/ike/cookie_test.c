/* Floods of half-open sessions: cookies, then a cap; and nobody unproved gets more than he sent. */
#include "ike/ike_net.h"

#include "wire/ike_msg.h"
#include "wire/ike_payload.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

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
        net_proposal(&offer, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519");
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
    flood(0, net.params.door.half_open_cookie);
    assert_int_equal(cookies, 0);
    assert_int_equal(dt_ike_usage(b->ike).half_open, net.params.door.half_open_cookie);
    flood(1000, 50);
    assert_int_equal(cookies, 50);
    assert_int_equal(b->events[DT_IKE_EV_COOKIES], 1);
    assert_int_equal(dt_ike_usage(b->ike).half_open, net.params.door.half_open_cookie); /* not one more */
    net_come_up(&net); /* whoever is there returns the cookie */
    assert_int_equal(cookies, 51);
    net_run(&net, net.now + 40 * DT_SEC);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    net_finish(&net);
}

/* What tells the flood from the guest must not itself be what the flood uses up. */
static void flood_does_not_use_up_the_cookies(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 14, 2, dt_crypto_null());
    net.params.door.half_open_cookie = 0;
    net_restart(&net, 1);
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    flood(0, net.params.door.answer_rate + 200);
    assert_int_equal(cookies, net.params.door.answer_rate + 200);
    assert_int_equal(dt_ike_counters(b->ike)->rate_limited, 0);
    net_come_up(&net);
    net_finish(&net);
}

static void half_open_cap(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 8, 2, dt_crypto_null());
    net.params.door.half_open_cookie = 1000;
    net.params.door.half_open_max = 20;
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
    net.params.door.half_open_cookie = 0;
    net_restart(&net, 1);
    net_proposal(&b->cfg.ike, DT_PROTO_IKE, "aes256gcm16-prfsha512-ecp384");
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    net_come_up(&net);
    assert_int_equal(cookies, 2); /* COOKIE, INVALID_KE_PAYLOAD */
    net_finish(&net);
}

static void old_cookies_die(void **state)
{
    unsigned cookies = 0;
    net_init(&net, 10, 2, dt_crypto_null());
    net.params.door.half_open_cookie = 0;
    net.params.door.cookie_rotate = 10 * DT_MSEC; /* two generations pass on the way */
    net_restart(&net, 1);
    net.filter = only_cookies;
    net.filter_ctx = &cookies;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 100 * DT_SEC, net_over));
    assert_int_equal(a->ups, 0);
    assert_true(dt_ike_counters(b->ike)->cookies_bad > 0);
    net_finish(&net);
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
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519");
    net.filter = never_more_than_came;
    net_come_up(&net);
    assert_int_equal(dt_ike_counters(b->ike)->cookies_sent, 0);
    net_finish(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_open_flood_meets_cookies),
        cmocka_unit_test(flood_does_not_use_up_the_cookies),
        cmocka_unit_test(half_open_cap),
        cmocka_unit_test(cookie_and_another_group),
        cmocka_unit_test(old_cookies_die),
        cmocka_unit_test(short_request_gets_no_longer_answer),
    };
    return TEST_RUN(tests);
}
