/* A peer that says what is allowed and seldom seen, or what is not allowed and easily missed. */
#include "ike/rewrite.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

/* Which packet is rewritten, once, and how. */
static struct {
    int from;
    uint8_t exchange;
    bool response, done;
    rewrite_fn write;
    unsigned n;
} odd;

static bool make_odd(struct net *n, struct net_packet *p)
{
    if (odd.done || !odd.write || p->from != odd.from || p->exchange != odd.exchange ||
        p->response != odd.response)
        return false;
    odd.done = true;
    rewrite(n, p, odd.write, NULL);
    return true;
}

static void next_is_odd(int from, uint8_t exchange, bool response, rewrite_fn write)
{
    odd.from = from;
    odd.exchange = exchange;
    odd.response = response;
    odd.write = write;
    odd.done = false;
}

static void begin(uint64_t seed, const char *ike)
{
    odd.write = NULL;
    net_init(&net, seed, 2, dt_crypto_null());
    if (ike) {
        net_proposal(&a->cfg.ike, DT_PROTO_IKE, ike);
        net_proposal(&b->cfg.ike, DT_PROTO_IKE, ike);
    }
    net.filter = make_odd;
}

static void finish(void)
{
    assert_true(odd.done);
    for (int i = 0; i < 2; i++) /* who knows nothing of the other's end */
        if (net.host[i].session)
            dt_ike_close(net.host[i].session, net.now, false);
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
}

static void all_of(struct dt_ike_builder *w, const struct dt_ike_payloads *in)
{
    for (size_t i = 0; i < in->n; i++)
        dt_ike_raw_write(w, in->v[i].type, in->v[i].body);
}

/* ---- a critical payload that we do not know, in an answer ---- */

static void with_critical(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    dt_ike_payload_begin(w, 200);
    w->payload[1] = 0x80;
    dt_ike_payload_end(w);
    all_of(w, in);
}

static void critical_payload_in_the_answer_to_ike_auth(void **state)
{
    begin(1, NULL);
    next_is_odd(1, DT_IKE_AUTH, true, with_critical);
    net_open(&net, 0, 1);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->downs, 1);
    assert_int_equal(a->last_down.notify, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD);
    finish();
}

static void critical_payload_in_the_answer_to_a_rekey(void **state)
{
    struct dt_err err = {0};
    begin(2, NULL);
    net_come_up(&net);
    next_is_odd(1, DT_CREATE_CHILD_SA, true, with_critical);
    assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->failed, 1);
    assert_int_equal(a->last_failed.notify, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD);
    assert_int_equal(a->downs + b->downs, 0);
    assert_int_equal(net_children_up(a), 1);
    net_check_pairs(a, b); /* what b made by it is deleted there */
    finish();
    begin(3, NULL);
    net_come_up(&net);
    next_is_odd(1, DT_CREATE_CHILD_SA, true, with_critical);
    dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->downs, 1); /* b has a new IKE SA and a has not */
    assert_int_equal(a->last_down.notify, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD);
    finish();
}

static void critical_payload_in_the_answer_to_liveness(void **state)
{
    begin(4, NULL);
    net_come_up(&net);
    next_is_odd(1, DT_INFORMATIONAL, true, with_critical);
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + 200 * DT_SEC);
    assert_int_equal(a->downs, 0); /* whatever it says, somebody with the keys is there */
    finish();
}

/* ---- many payloads ---- */

static void with_many_notifies(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    for (unsigned i = 0; i < odd.n; i++)
        dt_ike_notify_write(w, 0, dt_span(NULL, 0), i % 2 ? 30000 : 50000, dt_span("x", 1));
    all_of(w, in);
}

static void with_many_vendors(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    for (unsigned i = 0; i < odd.n; i++)
        dt_ike_raw_write(w, DT_P_VENDOR, dt_span("somebody else", 13));
    all_of(w, in);
}

/* RFC 7296 3.10.1: status notifies that are not known MUST be ignored. */
static void many_notifies_are_ignored(void **state)
{
    static const unsigned counts[] = {1, 31, 32, 33, 56, 95, 96, 97, 500};
    for (size_t i = 0; i < DT_ARRAY_LEN(counts); i++) {
        odd.n = counts[i];
        begin(10 + i, NULL);
        next_is_odd(0, DT_IKE_AUTH, false, with_many_notifies);
        net_come_up(&net);
        assert_true(odd.done);
        uint64_t before = dt_ike_counters(b->ike)->ignored_notifies;
        next_is_odd(0, DT_INFORMATIONAL, false, with_many_notifies);
        dt_ike_liveness(a->session, net.now);
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(a->downs + b->downs, 0);
        assert_int_equal(a->alive, 1);
        assert_int_equal(dt_ike_counters(b->ike)->ignored_notifies - before, counts[i]);
        finish();
    }
}

static void many_payloads_in_the_first_message(void **state)
{
    for (unsigned k = 0; k < 2; k++) {
        odd.n = 60;
        begin(30 + k, NULL);
        next_is_odd(0, DT_IKE_SA_INIT, false, k ? with_many_notifies : with_many_vendors);
        net_open(&net, 0, 1);
        net_run(&net, net.now + 50 * DT_MSEC);
        assert_int_equal(dt_ike_counters(b->ike)->malformed, 0);
        assert_int_equal(dt_ike_counters(b->ike)->sessions_opened,
                         1); /* of another message than a's own: no AUTH fits */
        assert_true(odd.done);
        dt_ike_close(DT_CONTAINER_OF(a->ike->sessions.next, struct dt_ike_session, link), net.now, true);
        finish();
    }
}

/* ---- many selectors ---- */

/* So many ranges that do not touch, 10.0.N.0 to 10.0.N.9. */
static void with_many_selectors(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    uint8_t body[4 + 32 * 16] = {(uint8_t)odd.n};
    assert_true(odd.n <= 32);
    for (unsigned i = 0; i < odd.n; i++) {
        uint8_t *s = body + 4 + (size_t)i * 16;
        memcpy(s, "\7\0\0\20\0\0\377\377", 8);
        dt_put_be32(s + 8, 0x0a000000 | i << 8);
        dt_put_be32(s + 12, 0x0a000009 | i << 8);
    }
    rewrite_one(w, in, DT_P_TSI, dt_span(body, 4 + (size_t)odd.n * 16));
}

/* As many as there is room for are agreed on; more are refused by their number, not cut. */
static void many_selectors(int from)
{
    for (odd.n = DT_SELECTORS_MAX; odd.n <= DT_SELECTORS_MAX + 1; odd.n++) {
        bool fit = odd.n == DT_SELECTORS_MAX;
        begin(36, NULL);
        next_is_odd(from, DT_IKE_AUTH, from == 1, with_many_selectors);
        net_open(&net, 0, 1);
        net_run(&net, net.now + 2 * DT_SEC);
        assert_int_equal(net_children_up(from == 0 ? b : a), fit);
        assert_int_equal(a->downs + b->downs, 0);
        if (fit)
            assert_int_equal(net_newest(from == 0 ? b : a)->sa.remote_ts.n +
                                 net_newest(from == 0 ? b : a)->sa.local_ts.n,
                             DT_SELECTORS_MAX + 1);
        else
            assert_int_equal(a->last_failed.notify, DT_N_TS_UNACCEPTABLE);
        finish();
    }
}

static void many_selectors_are_asked_for(void **state)
{
    many_selectors(0);
}

static void many_selectors_are_answered(void **state)
{
    many_selectors(1);
}

/* ---- private use ---- */

static void with_takes(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    uint8_t data[DT_IKE_TAKES_MAX];
    struct dt_proposals takes;
    net_proposal(&takes, DT_PROTO_ESP, "aes256-sha512-noesn");
    all_of(w, in);
    ike_write_notify(w, DT_N_DOVETAIL_TAKES, dt_span(data, dt_ike_takes_write(data, sizeof(data), &takes)));
}

/* A number of private use means something else to a peer without our Vendor ID: it is not read. */
static void what_a_stranger_takes_is_not_read(void **state)
{
    for (unsigned stranger = 0; stranger < 2; stranger++) {
        begin(35, NULL);
        if (stranger) {
            net.params.vendor_id = dt_span("somebody else", 13);
            net_restart(&net, 1);
        }
        net_proposal(&a->cfg.esp, DT_PROTO_ESP, "aes128gcm16-noesn");
        net_proposal(&b->cfg.esp, DT_PROTO_ESP, "aes256-sha512-esn");
        next_is_odd(1, DT_IKE_AUTH, true, with_takes);
        net_open(&net, 0, 1);
        assert_true(net_run_until(&net, 30 * DT_SEC, net_over));
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(strstr(a->last_failed.text, "it takes aes256") != NULL, !stranger);
        finish();
    }
}

/* ---- wrong in small things ---- */

static void with_spi(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    struct dt_proposals list;
    assert_int_equal(dt_ike_sa_read(&list, dt_ike_find(in, DT_P_SA)->body), 0);
    list.v[0].spi_len = 8;
    memset(list.v[0].spi, 7, 8);
    dt_ike_sa_write(w, &list);
    for (size_t i = 0; i < in->n; i++)
        if (in->v[i].type != DT_P_SA)
            dt_ike_raw_write(w, in->v[i].type, in->v[i].body);
}

/* RFC 7296 3.3.1: no SPI in an initial exchange. Dropped, and the proper answer to the next copy counts. */
static void spi_in_the_first_answer(void **state)
{
    begin(40, NULL);
    next_is_odd(1, DT_IKE_SA_INIT, true, with_spi);
    net_come_up(&net);
    assert_int_equal(dt_ike_counters(a->ike)->malformed, 1);
    finish();
}

/* Nor in a request: it gets no answer that took a key exchange. */
static void spi_in_the_first_request(void **state)
{
    begin(41, NULL);
    next_is_odd(0, DT_IKE_SA_INIT, false, with_spi);
    net_open(&net, 0, 1);
    net_run(&net, net.now + 100 * DT_MSEC);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    net_run(&net, net.now + 30 * DT_SEC); /* the next copy of it is proper */
    assert_int_equal(a->ups, 1);
    finish();
}

static void with_short_nonce(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    rewrite_one(w, in, DT_P_NONCE, dt_span("0123456789abcdef", 16));
}

static void without_ke(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    rewrite_one(w, in, DT_P_KE, dt_span(NULL, 0));
}

/* RFC 7296 2.10: at least half of the PRF's key, which 16 octets are for SHA-256 and are not for SHA-512. */
static void nonce_too_short_for_the_prf(void **state)
{
    static const char weak[] = "aes128gcm16-prfsha256-x25519", strong[] = "aes128gcm16-prfsha512-x25519";
    struct dt_err err = {0};
    for (unsigned big = 0; big < 2; big++) {
        const char *ike = big ? strong : weak;
        begin(50 + big, ike);
        net_come_up(&net);
        next_is_odd(1, DT_CREATE_CHILD_SA, true, with_short_nonce);
        assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(a->failed, big);
        finish();
        begin(60 + big, ike);
        net_come_up(&net);
        next_is_odd(0, DT_CREATE_CHILD_SA, false, with_short_nonce);
        assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
        net_run(&net, net.now + DT_SEC);
        assert_int_equal(b->downs, big);
        finish();
        for (int from = 0; from < 2; from++) {
            begin(70 + big, ike);
            net_come_up(&net);
            next_is_odd(from, DT_CREATE_CHILD_SA, from == 1, with_short_nonce);
            dt_ike_session_rekey(a->session, net.now);
            net_run(&net, net.now + DT_SEC);
            if (big) {
                assert_int_equal(net.host[1 - from].downs, 1);
                assert_int_equal(net.host[1 - from].last_down.notify, DT_N_INVALID_SYNTAX);
            } else {
                assert_int_equal(net.host[1 - from].rekeyed, 1);
            }
            finish();
        }
    }
    begin(80, strong); /* anybody may have sent it: the proper answer to the next copy counts */
    next_is_odd(1, DT_IKE_SA_INIT, true, with_short_nonce);
    net_come_up(&net);
    assert_int_equal(dt_ike_counters(a->ike)->malformed, 1);
    finish();
}

/* A rekey of the IKE SA without a KE payload is refused like one with a wrong group: nobody's session ends. */
static void rekey_of_the_ike_sa_without_ke(void **state)
{
    begin(90, NULL);
    net_come_up(&net);
    next_is_odd(0, DT_CREATE_CHILD_SA, false, without_ke);
    dt_ike_session_rekey(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->events[DT_IKE_EV_PEER_REFUSED], 1);
    assert_int_equal(a->last_event.notify, DT_N_INVALID_KE_PAYLOAD);
    assert_int_equal(a->downs + b->downs, 0);
    net_run(&net, net.now + 30 * DT_SEC); /* a tries again, as it should */
    assert_int_equal(a->rekeyed, 1);
    net_check_pairs(a, b);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(critical_payload_in_the_answer_to_ike_auth),
        cmocka_unit_test(critical_payload_in_the_answer_to_a_rekey),
        cmocka_unit_test(critical_payload_in_the_answer_to_liveness),
        cmocka_unit_test(many_notifies_are_ignored),
        cmocka_unit_test(many_payloads_in_the_first_message),
        cmocka_unit_test(many_selectors_are_asked_for),
        cmocka_unit_test(many_selectors_are_answered),
        cmocka_unit_test(what_a_stranger_takes_is_not_read),
        cmocka_unit_test(spi_in_the_first_answer),
        cmocka_unit_test(spi_in_the_first_request),
        cmocka_unit_test(nonce_too_short_for_the_prf),
        cmocka_unit_test(rekey_of_the_ike_sa_without_ke),
    };
    return TEST_RUN(tests);
}
