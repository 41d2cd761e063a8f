/* Bad input: malformed, truncated, replayed, reflected, oversized; unknown critical payloads; messages without a
 * session. It is counted, answered as RFC 7296 section 2.21 says or dropped, and no established session is disturbed. */
#include "ike/internal.h"
#include "ike/ike_net.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

static void up(uint64_t seed)
{
    net_init(&net, seed, 2, dt_crypto_null());
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
}

/* The session still works, in both directions. */
static void undisturbed(void)
{
    unsigned alive = a->alive + b->alive;
    assert_non_null(a->session);
    assert_non_null(b->session);
    dt_ike_liveness(a->session, net.now);
    dt_ike_liveness(b->session, net.now);
    net_run(&net, net.now + 20 * DT_SEC);
    assert_int_equal(a->alive + b->alive, alive + 2);
    assert_int_equal(a->downs + b->downs, 0);
    net_check_pairs(a, b);
}

static void down(void)
{
    net_down(&net, a, b);
}

static void to_b(const void *p, size_t len)
{
    struct dt_path path = {.local = {b->addr, 500}, .remote = {a->addr, 500}};
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, p, len);
    dt_ike_input(b->ike, net.now, &path, copy, len);
    free(copy);
}

/* Keeps copies of everything. */
static struct {
    int from;
    size_t len;
    uint8_t data[2000];
} kept[64];
static size_t nkept;

static bool keep(struct net *n, struct net_packet *p)
{
    if (nkept < 64 && p->len <= sizeof(kept[0].data)) {
        kept[nkept].from = p->from;
        kept[nkept].len = p->len;
        memcpy(kept[nkept++].data, p->data, p->len);
    }
    return false;
}

/* A message of a's, sealed as it should be, with whatever is inside; b gets it at once. */
static void from_a(uint8_t exchange, uint8_t first, const void *inside, size_t len)
{
    struct ike_sa *sa = a->session->current;
    struct dt_ike_builder w;
    ike_sk_begin(sa, &w, exchange, false);
    if (len) {
        *w.next = first;
        dt_write_bytes(&w.w, inside, len);
    }
    size_t n = ike_sk_end(sa, &w);
    assert_true(n > 0);
    sa->mid_out++;
    to_b(a->ike->scratch, n);
}

static void truncated_and_mangled(void **state)
{
    nkept = 0;
    net_init(&net, 1, 2, dt_crypto_openssl());
    net.filter = keep;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    net.filter = NULL;
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("truncated_and_mangled"));
    struct dt_rand r = dt_prng_rand(&prng);
    for (size_t i = 0; i < nkept; i++) {
        uint8_t data[2000];
        for (size_t len = 0; len < kept[i].len; len += 3)
            to_b(kept[i].data, len);
        for (int k = 0; k < 200; k++) {
            memcpy(data, kept[i].data, kept[i].len);
            data[dt_rand_below(&r, kept[i].len)] ^= (uint8_t)(1 + dt_rand_below(&r, 255));
            to_b(data, kept[i].len);
        }
    }
    assert_true(dt_ike_counters(b->ike)->malformed > 300);
    assert_true(dt_ike_counters(b->ike)->bad_integrity > 50);
    assert_true(dt_ike_counters(b->ike)->rate_limited > 0);
    net_run(&net, net.now + 40 * DT_SEC); /* what half-open sessions that made is gone */
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    undisturbed();
    down();
}

static void replayed(void **state)
{
    nkept = 0;
    net_init(&net, 2, 2, dt_crypto_null());
    net.filter = keep;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    net.filter = NULL;
    uint64_t sent = b->sent;
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < nkept; i++)
            if (kept[i].from == 0)
                to_b(kept[i].data, kept[i].len);
    /* IKE_SA_INIT again begins a half-open session (its first is over); the last request is answered again, from the
     * cache; IKE_AUTH is outside the window. */
    assert_int_equal(dt_ike_counters(b->ike)->bad_message_id, 3);
    assert_int_equal(b->sent - sent, 6);
    assert_int_equal(b->ups, 1);
    net_run(&net, net.now + 40 * DT_SEC);
    undisturbed();
    down();
}

static void reflected(void **state)
{
    nkept = 0;
    net_init(&net, 3, 2, dt_crypto_null());
    net.filter = keep;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
    net_run(&net, net.now + DT_SEC);
    dt_ike_liveness(b->session, net.now);
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    net.filter = NULL;
    b->serves = false; /* else its own IKE_SA_INIT would be taken for anybody's */
    for (size_t i = 0; i < nkept; i++)
        if (kept[i].from == 1)
            to_b(kept[i].data, kept[i].len);
    assert_int_equal(dt_ike_counters(b->ike)->retransmits_in, 0);
    undisturbed();
    down();
}

static void oversized(void **state)
{
    static uint8_t big[65535];
    up(4);
    struct dt_ike_header h = {.spi_i = a->session->current->spi_local,
                              .spi_r = a->session->current->spi_remote,
                              .exchange = DT_INFORMATIONAL,
                              .flags = DT_IKE_FLAG_INITIATOR,
                              .mid = a->session->current->mid_out};
    struct dt_ike_builder w;
    dt_ike_build(&w, big, sizeof(big), &h);
    dt_ike_payload_begin(&w, DT_P_SK);
    dt_write_reserve(&w.w, 60000);
    dt_ike_payload_end(&w);
    to_b(big, dt_ike_build_end(&w));
    assert_int_equal(dt_ike_counters(b->ike)->bad_integrity, 1);
    memset(big, 0xff, sizeof(big));
    to_b(big, sizeof(big));
    undisturbed();
    down();
}

static void unknown_critical_payload(void **state)
{
    static const uint8_t critical[] = {0, 0x80, 0, 5, 1}, harmless[] = {0, 0, 0, 5, 1};
    up(5);
    from_a(DT_INFORMATIONAL, 200, critical, sizeof(critical));
    assert_int_equal(b->events[DT_IKE_EV_REFUSED], 1);
    assert_int_equal(b->last_event.notify, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD);
    from_a(DT_INFORMATIONAL, 200, harmless, sizeof(harmless));
    assert_int_equal(b->events[DT_IKE_EV_REFUSED], 1);
    net_run(&net, net.now + DT_SEC);
    undisturbed();
    down();
}

/* A payload before SK is not secret but authenticated: its critical bit counts too (2.5). */
static void unknown_critical_payload_before_sk(void **state)
{
    up(13);
    for (int critical = 0; critical < 2; critical++) {
        struct ike_sa *sa = a->session->current;
        struct dt_ike_builder w;
        struct dt_ike_header h;
        ike_header(sa, &h, DT_INFORMATIONAL, false, sa->mid_out);
        dt_ike_build(&w, a->ike->scratch, sizeof(a->ike->scratch), &h);
        dt_ike_payload_begin(&w, 200);
        w.payload[1] = critical ? 0x80 : 0;
        dt_ike_payload_end(&w);
        dt_ike_sk_begin(&w, sa->seal->iv_len);
        size_t n = ike_sk_end(sa, &w);
        assert_true(n > 0);
        sa->mid_out++;
        to_b(a->ike->scratch, n);
        assert_int_equal(b->events[DT_IKE_EV_REFUSED], critical);
    }
    assert_int_equal(b->last_event.notify, DT_N_UNSUPPORTED_CRITICAL_PAYLOAD);
    net_run(&net, net.now + DT_SEC);
    undisturbed();
    down();
}

/* Whoever repeats an old request is answered from the cache, but is no sign of the peer's life. */
static void replay_is_no_sign_of_life(void **state)
{
    struct dt_ike_session_info before, after;
    nkept = 0;
    up(14);
    net.filter = keep;
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    net.filter = NULL;
    dt_ike_session_info(b->session, &before);
    net_run(&net, net.now + 60 * DT_SEC);
    uint64_t sent = b->sent;
    to_b(kept[0].data, kept[0].len);
    assert_int_equal(b->sent, sent + 1);
    dt_ike_session_info(b->session, &after);
    assert_int_equal(after.heard, before.heard);
    undisturbed();
    down();
}

/* A beginning is remembered until IKE_AUTH: what is absurdly long is not. */
static void oversized_beginning(void **state)
{
    static uint8_t big[30000];
    nkept = 0;
    net_init(&net, 15, 2, dt_crypto_null());
    net.filter = keep;
    net_open(&net, 0, 1);
    net.filter = NULL;
    for (int vendor = 1000; vendor <= 20000; vendor += 19000) {
        size_t len = kept[0].len, used = dt_ike_usage(b->ike).half_open;
        uint8_t next = kept[0].data[16];
        memcpy(big, kept[0].data, 28);
        big[16] = DT_P_VENDOR;
        memset(big + 28, 0, (size_t)vendor);
        big[28] = next;
        dt_put_be16(big + 30, (uint16_t)vendor);
        memcpy(big + 28 + vendor, kept[0].data + 28, len - 28);
        dt_put_be32(big + 24, (uint32_t)(len + (size_t)vendor));
        to_b(big, len + (size_t)vendor);
        assert_int_equal(dt_ike_usage(b->ike).half_open, used + (vendor == 1000));
    }
    assert_int_equal(dt_ike_counters(b->ike)->malformed, 1);
    net_free(&net);
}

/* 3.1: in the first message the responder's SPI is zero. Nothing is answered to one that has it, and nothing kept of it. */
static void first_request_with_a_responders_spi(void **state)
{
    uint8_t copy[2000];
    nkept = 0;
    net_init(&net, 16, 2, dt_crypto_null());
    net.filter = keep;
    net_open(&net, 0, 1);
    net.filter = NULL;
    size_t len = kept[0].len;
    memcpy(copy, kept[0].data, len);
    memset(copy + 8, 7, 8);
    to_b(copy, len);
    assert_int_equal(dt_ike_counters(b->ike)->malformed, 1);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 0);
    assert_int_equal(b->sent, 0);
    to_b(kept[0].data, len);
    assert_int_equal(dt_ike_usage(b->ike).half_open, 1);
    assert_int_equal(b->sent, 1);
    net_free(&net);
}

/* 2.21.3: whoever sends that under the session's keys is broken; the IKE SA ends at both ends. */
static void malformed_but_authentic(void **state)
{
    static const uint8_t chain[] = {41, 0, 0, 200, 1};
    up(6);
    from_a(DT_INFORMATIONAL, DT_P_NOTIFY, chain, sizeof(chain));
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->last_down.notify, DT_N_INVALID_SYNTAX);
    net_run(&net, net.now + DT_SEC);
    net_check_empty(b);
    net_free(&net);
}

static void create_child_without_its_payloads(void **state)
{
    up(7);
    from_a(DT_CREATE_CHILD_SA, DT_P_NONE, NULL, 0);
    assert_int_equal(b->downs, 1);
    assert_int_equal(b->last_down.notify, DT_N_INVALID_SYNTAX);
    net_run(&net, net.now + DT_SEC);
    net_check_empty(b);
    net_free(&net);
}

static void deletes_of_what_is_not_there(void **state)
{
    static const uint8_t none[] = {0, 0, 0, 16, 3, 4, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t wrong[] = {0, 0, 0, 10, 3, 2, 0, 1, 1, 2};
    up(8);
    from_a(DT_INFORMATIONAL, DT_P_DELETE, none, sizeof(none));
    from_a(DT_INFORMATIONAL, DT_P_DELETE, wrong, sizeof(wrong));
    net_run(&net, net.now + DT_SEC);
    undisturbed();
    down();
}

/* More children than an answer names at once: their owner hears of each. */
static void delete_of_very_many(void **state)
{
    uint8_t list[8 + 4 * 80] = {0, 0, 0, 0, 3, 4};
    struct dt_err err;
    net_init(&net, 16, 2, dt_crypto_null());
    net.params.child_max = 100;
    net_restart(&net, 0);
    net_restart(&net, 1);
    net_come_up(&net);
    for (int i = 1; i < 80; i++) {
        assert_non_null(dt_ike_child_create(a->session, net.now, &err));
        net_run(&net, net.now + 100 * DT_MSEC);
    }
    assert_int_equal(net_children_up(b), 80);
    dt_put_be16(list + 2, sizeof(list));
    dt_put_be16(list + 6, 80);
    for (size_t i = 0; i < 80; i++)
        dt_put_be32(list + 8 + 4 * i, a->child[i].sa.spi_in);
    from_a(DT_INFORMATIONAL, DT_P_DELETE, list, sizeof(list));
    assert_int_equal(b->child_downs, 80);
    assert_int_equal(net_children_up(b), 0);
    net_free(&net);
}

static size_t answers;
static uint16_t answered_with;

static bool catch_answer(struct net *n, struct net_packet *p)
{
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    struct dt_ike_notify_payload notify;
    if (p->from != 1)
        return false;
    answers++;
    assert_int_equal(dt_ike_header_read(&h, p->data, p->len), 0);
    assert_true(h.flags & DT_IKE_FLAG_RESPONSE);
    assert_int_equal(dt_ike_payloads_read(&list, h.next, p->data + 28, p->len - 28), 0);
    answered_with = ike_find_error(&list, &notify);
    return true;
}

static void unknown_spi_is_told_at_a_limited_rate(void **state)
{
    uint8_t data[100];
    struct dt_ike_builder w;
    struct dt_ike_header h = {
        .spi_i = 1, .spi_r = 2, .exchange = DT_INFORMATIONAL, .flags = DT_IKE_FLAG_INITIATOR, .mid = 3};
    net_init(&net, 9, 2, dt_crypto_null());
    answers = 0;
    net.filter = catch_answer;
    dt_ike_build(&w, data, sizeof(data), &h);
    dt_ike_payload_begin(&w, DT_P_SK);
    dt_write_reserve(&w.w, 30);
    dt_ike_payload_end(&w);
    size_t len = dt_ike_build_end(&w);
    for (int i = 0; i < 1000; i++)
        to_b(data, len);
    assert_int_equal(answered_with, DT_N_INVALID_IKE_SPI);
    assert_int_equal(answers, net.params.door.answer_rate_source);
    assert_int_equal(dt_ike_counters(b->ike)->rate_limited, 1000 - answers);
    net.now += DT_SEC / 2;
    for (int i = 0; i < 1000; i++)
        to_b(data, len);
    assert_in_range(answers, net.params.door.answer_rate_source * 3 / 2 - 1,
                    net.params.door.answer_rate_source * 3 / 2 + 1);
    /* Many sources share one limit. */
    net.now += 2 * DT_SEC;
    answers = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        struct dt_path path = {.local = {b->addr, 500}, .remote = {dt_addr4(0x0a000000u + i), 500}};
        uint8_t copy[sizeof(data)];
        memcpy(copy, data, len);
        dt_ike_input(b->ike, net.now, &path, copy, len);
    }
    assert_int_equal(answers, net.params.door.answer_rate);
    /* An answer is never answered, and neither is what has no room for one. */
    answers = 0;
    data[19] |= DT_IKE_FLAG_RESPONSE;
    net.now += DT_SEC;
    to_b(data, len);
    assert_int_equal(answers, 0);
    net_free(&net);
}

static void other_major_versions(void **state)
{
    uint8_t data[64] = {0};
    struct dt_ike_builder w;
    struct dt_ike_header h = {.spi_i = 1, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_INITIATOR};
    net_init(&net, 10, 2, dt_crypto_null());
    net.filter = catch_answer;
    answers = 0;
    dt_ike_build(&w, data, sizeof(data), &h);
    dt_ike_raw_write(&w, DT_P_NONCE, dt_span("01234567", 8));
    size_t len = dt_ike_build_end(&w);
    data[17] = 0x10; /* IKEv1: no answer worth having */
    to_b(data, len);
    assert_int_equal(answers, 0);
    data[17] = 0x30;
    to_b(data, len);
    assert_int_equal(answers, 1);
    assert_int_equal(answered_with, DT_N_INVALID_MAJOR_VERSION);
    data[17] = 0x2f; /* a minor version does not matter */
    to_b(data, len);
    assert_int_equal(answered_with, DT_N_INVALID_SYNTAX);
    net_free(&net);
}

/* Somebody answers a's requests in the clear that b does not know the session. */
static void hint_in_the_clear_changes_nothing(void **state)
{
    up(11);
    b->cut = true;
    dt_ike_liveness(a->session, net.now);
    struct ike_sa *sa = a->session->current;
    uint8_t data[100];
    struct dt_ike_builder w;
    struct dt_ike_header h = {.spi_i = sa->spi_local,
                              .spi_r = sa->spi_remote,
                              .exchange = DT_INFORMATIONAL,
                              .flags = DT_IKE_FLAG_RESPONSE,
                              .mid = sa->mid_out - 1};
    dt_ike_build(&w, data, sizeof(data), &h);
    ike_write_notify(&w, DT_N_INVALID_IKE_SPI, dt_span(NULL, 0));
    size_t len = dt_ike_build_end(&w);
    struct dt_path path = {.local = {a->addr, 500}, .remote = {b->addr, 500}};
    for (int i = 0; i < 5; i++)
        dt_ike_input(a->ike, net.now, &path, data, len);
    assert_int_equal(a->suspects, 1);
    b->cut = false;
    net_run(&net, net.now + 5 * DT_SEC);
    assert_int_equal(a->alive, 1);
    undisturbed();
    down();
}

static void restarted_peer_is_suspected(void **state)
{
    up(12);
    net_restart(&net, 1);
    dt_ike_liveness(a->session, net.now);
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->suspects, 1);
    assert_int_equal(a->downs, 0);
    net_run(&net, DT_NEVER);
    assert_int_equal(a->downs, 1); /* nobody answered */
    net_check_empty(a);
    net_free(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_and_mangled),
        cmocka_unit_test(replayed),
        cmocka_unit_test(reflected),
        cmocka_unit_test(oversized),
        cmocka_unit_test(unknown_critical_payload),
        cmocka_unit_test(unknown_critical_payload_before_sk),
        cmocka_unit_test(replay_is_no_sign_of_life),
        cmocka_unit_test(oversized_beginning),
        cmocka_unit_test(first_request_with_a_responders_spi),
        cmocka_unit_test(malformed_but_authentic),
        cmocka_unit_test(create_child_without_its_payloads),
        cmocka_unit_test(deletes_of_what_is_not_there),
        cmocka_unit_test(delete_of_very_many),
        cmocka_unit_test(unknown_spi_is_told_at_a_limited_rate),
        cmocka_unit_test(other_major_versions),
        cmocka_unit_test(hint_in_the_clear_changes_nothing),
        cmocka_unit_test(restarted_peer_is_suspected),
    };
    return TEST_RUN(tests);
}
