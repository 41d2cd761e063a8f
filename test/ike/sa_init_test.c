/* IKE_SA_INIT: groups, refusals, repetitions. */
#include "ike/ike_net.h"

#include "wire/ike_msg.h"
#include "wire/ike_notify.h"
#include "wire/ike_payload.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void responder_wants_another_group(void **state)
{
    struct dt_ike_session_info info;
    net_init(&net, 1, 2, dt_crypto_openssl());
    net_proposal(&b->cfg.ike, DT_PROTO_IKE, "aes256gcm16-prfsha512-ecp384");
    net_come_up(&net);
    dt_ike_session_info(a->session, &info);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_KE, NULL), DT_KE_ECP_384);
    assert_int_equal(dt_proposal_id(&info.chosen, DT_TRANSFORM_PRF, NULL), DT_PRF_HMAC_SHA2_512);
    net_finish(&net);
}

static void no_common_proposal(void **state)
{
    net_init(&net, 2, 2, dt_crypto_null());
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519");
    net_proposal(&b->cfg.ike, DT_PROTO_IKE, "chacha20poly1305-prfsha512-ecp384");
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->last_down.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(a->last_down.text, "we offered aes128gcm16-prfsha256-x25519"));
    assert_non_null(strstr(a->last_down.text, "it takes chacha20poly1305-prfsha512-ecp384"));
    assert_int_equal(b->last_event.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(b->last_event.text, "aes128gcm16-prfsha256-x25519"));
    assert_non_null(strstr(b->last_event.text, "chacha20poly1305-prfsha512-ecp384"));
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    net_finish(&net);
}

static size_t asked, answered;

static bool measure_answer(struct net *n, struct net_packet *p)
{
    if (p->exchange == DT_IKE_SA_INIT)
        *(p->response ? &answered : &asked) = p->len;
    return false;
}

/* All that a responder takes is said where it fits, and never more octets than it was asked with. */
static void a_refusal_is_not_longer_than_the_request(void **state)
{
    net_init(&net, 4, 2, dt_crypto_null());
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519");
    dt_proposals_default(&b->cfg.ike, DT_PROTO_IKE);
    for (unsigned i = 0; i < b->cfg.ike.n;
         i++) /* nothing in common: no AES-GCM, and CBC wants an integrity algorithm */
        for (unsigned k = 0; k < b->cfg.ike.v[i].n; k++)
            if (b->cfg.ike.v[i].t[k].type == DT_TRANSFORM_PRF)
                b->cfg.ike.v[i].t[k].id = DT_PRF_HMAC_SHA2_512;
    net.filter = measure_answer;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
    assert_int_equal(a->last_down.notify, DT_N_NO_PROPOSAL_CHOSEN);
    assert_true(answered > 28 + 8 && answered <= asked);
    assert_non_null(strstr(a->last_down.text, "it takes aes128gcm16/aes256gcm16"));
    net.filter = NULL;
    net_finish(&net);
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
    net_come_up(&net);
    assert_int_equal(a->events[DT_IKE_EV_PEER_REFUSED], 1);
    assert_non_null(strstr(a->last_event.text, "did not say what it takes"));
    net.filter = NULL;
    net_finish(&net);
}

static void repeated_request_makes_one_session(void **state)
{
    net_init(&net, 11, 2, dt_crypto_null());
    net.dup = 100;
    net_come_up(&net);
    assert_int_equal(b->ups, 1);
    assert_int_equal(dt_ike_counters(b->ike)->sessions_opened, 1);
    net.dup = 0;
    net_finish(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responder_wants_another_group),
        cmocka_unit_test(no_common_proposal),
        cmocka_unit_test(a_refusal_is_not_longer_than_the_request),
        cmocka_unit_test(forged_refusal_does_no_harm),
        cmocka_unit_test(repeated_request_makes_one_session),
    };
    return TEST_RUN(tests);
}
