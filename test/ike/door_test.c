/* What strangers may cost: key exchanges are counted at the provider, half-open sessions and answers by source. */
#include "ike/ike_net.h"

#include "ike/internal.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

/* ---- a provider that counts ---- */

static struct dt_crypto counted;
static unsigned pairs, secrets;

static int counted_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err);
static void counted_free(struct dt_dh *dh);
static const struct dt_dh_ops counted_ops = {.shared = counted_shared, .free = counted_free}, *real_ops;

static int counted_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    secrets++;
    return real_ops->shared(dh, peer, out, err);
}

static void counted_free(struct dt_dh *dh)
{
    real_ops->free(dh);
}

static struct dt_dh *counted_new(uint16_t group, const struct dt_rand *rand, struct dt_err *err)
{
    struct dt_dh *dh = dt_crypto_null()->dh_new(group, rand, err);
    pairs++;
    if (dh) {
        real_ops = dh->ops;
        dh->ops = &counted_ops;
    }
    return dh;
}

static void begin(uint64_t seed)
{
    counted = *dt_crypto_null();
    counted.dh_new = counted_new;
    net_init(&net, seed, 2, &counted);
    pairs = secrets = 0;
}

/* ---- strangers ---- */

struct stranger {
    const char *proposal;
    uint16_t group;
    size_t nonce_len;
    bool bad_point;
};
static const struct stranger dearest = {"aes128gcm16-prfsha256-ecp384", DT_KE_ECP_384, 16, false};
static const struct stranger plain = {"aes128gcm16-prfsha256-x25519", DT_KE_X25519, 32, false};

static uint8_t cookie[IKE_COOKIE_MAX];
static size_t cookie_len;
static unsigned cookies, refusals, answers, longer;
static size_t asked;

/* Reads what the gateway answers a stranger, and takes it off the wire; guests' packets fly on. */
static bool look(struct net *n, struct net_packet *p)
{
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    struct dt_ike_notify_payload notify;
    if (p->from != 1 || p->exchange != DT_IKE_SA_INIT)
        return false;
    assert_int_equal(dt_ike_header_read(&h, p->data, p->len), 0);
    assert_int_equal(dt_ike_payloads_read(&list, h.next, p->data + 28, p->len - 28), 0);
    if (h.spi_i >> 32 != 0x57a46e)
        return false;
    longer += p->len > asked;
    if (ike_find_notify(&list, DT_N_COOKIE, &notify)) {
        cookies++;
        cookie_len = notify.data.len;
        memcpy(cookie, notify.data.p, cookie_len);
    } else if (ike_find_error(&list, &notify)) {
        refusals++;
    } else {
        answers++;
    }
    return true;
}

static void knock(const struct stranger *s, const struct dt_addrport *from, uint32_t n, bool with_cookie)
{
    uint8_t data[600], ke[DT_KE_MAX] = {0}, nonce[64];
    struct dt_ike_builder w;
    struct dt_ike_header h = {
        .spi_i = (uint64_t)0x57a46e << 32 | n, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_INITIATOR};
    struct dt_proposals offer;
    struct dt_path path = {.local = {b->addr, 500}, .remote = *from};
    memset(nonce, (int)n, sizeof(nonce));
    dt_put_be64(ke, s->bad_point ? 0 : 9);
    net_proposal(&offer, DT_PROTO_IKE, s->proposal);
    dt_ike_build(&w, data, sizeof(data), &h);
    if (with_cookie)
        ike_write_notify(&w, DT_N_COOKIE, dt_span(cookie, cookie_len));
    dt_ike_sa_write(&w, &offer);
    dt_ike_ke_write(&w, s->group, dt_span(ke, dt_ke_public_len(s->group)));
    dt_ike_raw_write(&w, DT_P_NONCE, dt_span(nonce, s->nonce_len));
    asked = dt_ike_build_end(&w);
    dt_ike_input(b->ike, net.now, &path, data, asked);
}

static struct dt_addrport spoofed(uint32_t n)
{
    return (struct dt_addrport){dt_addr4(0x0a000000u + n * 7919u % 0x00ffffffu), 500};
}

/* From an address that is there: takes the cookie, and returns it. */
static void knock_twice(const struct stranger *s, const struct dt_addrport *from, uint32_t n)
{
    cookie_len = 0;
    knock(s, from, n, false);
    if (cookie_len)
        knock(s, from, n, true);
}

static void watch(void)
{
    cookies = refusals = answers = longer = 0;
    net.filter = look;
}

static struct dt_ike_usage usage(void)
{
    return dt_ike_usage(b->ike);
}

static bool came_up(struct net *n)
{
    return n->host[0].child_ups > 0;
}

/* ---- work before proof ---- */

/* A nonce has half of the PRF's key at least (RFC 7296 section 2.10): a shorter one is refused before any secret is made. */
static void a_nonce_too_short_for_the_prf_is_refused(void **state)
{
    struct stranger s = {"aes256gcm16-prfsha512-ecp384", DT_KE_ECP_384, 31, false};
    begin(1);
    watch();
    for (uint32_t i = 0; i < 1000; i++) {
        struct dt_addrport from = spoofed(i);
        knock(&s, &from, i, false);
    }
    assert_int_equal(pairs + secrets, 0);
    assert_in_range(refusals, 1, 1000); /* as many as answers to strangers may be; then a cookie is wanted first */
    assert_int_equal(answers, 0);
    assert_int_equal(longer, 0);
    assert_int_equal(usage().sessions, 0);
    /* One octet more is enough. */
    struct dt_addrport from = {a->addr, 20000};
    s.nonce_len = 32;
    knock_twice(&s, &from, 5000);
    assert_int_equal(answers, 1);
    assert_int_equal(pairs, 1);
    assert_int_equal(secrets, 1);
    net_finish(&net);
}

static void flood_second(const struct stranger *s, unsigned count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct dt_addrport from = spoofed(i);
        net.now += DT_SEC / count;
        knock(s, &from, i, false);
        dt_ike_tick(b->ike, net.now);
    }
}

/* Ten thousand a second for the dearest group: one second's budget of work, and then cookies before anything else. */
static void flood_is_held_to_the_budget_of_work(void **state)
{
    begin(2);
    watch();
    net.params.door.half_open_cookie = net.params.door.half_open_max =
        100000; /* the work alone shall do it */
    net_restart(&net, 1);
    unsigned budget = net.params.door.work_rate / dt_ke_work(DT_KE_ECP_384);
    for (int second = 0; second < 5; second++)
        flood_second(&dearest, 10000);
    assert_in_range(pairs, 1, budget + 1);
    assert_in_range(secrets, 1, budget + 1);
    assert_int_equal(longer, 0);
    assert_int_equal(b->events[DT_IKE_EV_COOKIES], 1);
    assert_int_equal(dt_ike_counters(b->ike)->work_limited, 1);
    assert_int_equal(cookies, 50000 - answers);
    net_come_up(&net); /* whoever is there returns the cookie */
    net_run(&net, net.now + 40 * DT_SEC);
    knock(&plain, &(struct dt_addrport){a->addr, 20000}, 1, false); /* and the flood is over */
    assert_int_equal(b->events[DT_IKE_EV_COOKIES_OFF], 1);
    net_finish(&net);
}

/* A value that is no point of the curve leaves no session behind, and costs one key pair and a half all the same. */
static void work_that_fails_counts(void **state)
{
    struct stranger s = dearest;
    begin(3);
    watch();
    s.bad_point = true;
    for (int second = 0; second < 5; second++)
        flood_second(&s, 10000);
    assert_in_range(pairs, 1, net.params.door.work_rate / dt_ke_work(DT_KE_ECP_384) + 1);
    assert_int_equal(usage().sessions, 0);
    assert_int_equal(answers, 0);
    net_finish(&net);
}

/* The same from an address that is there: its own budget, which a cheap group of a neighbour still fits into. */
static void source_with_cookies_has_a_budget_too(void **state)
{
    struct stranger s = dearest;
    struct dt_addrport from = {a->addr, 20000};
    begin(4);
    watch();
    s.bad_point = true;
    unsigned work = net.params.door.work_rate_source, each = dt_ke_work(DT_KE_ECP_384);
    net.params.door.half_open_cookie = 0;
    net_restart(&net, 1);
    for (uint32_t i = 0; i < 50000; i++) {
        net.now += DT_SEC / 10000;
        knock_twice(&s, &from, i);
    }
    assert_in_range(pairs, 5 * work / each, (5 + 2) * work / each + 1); /* a burst of two seconds */
    assert_true(dt_ike_counters(b->ike)->work_limited_source > 40000);
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, plain.proposal);
    net_come_up(&net); /* behind the very address */
    net_finish(&net);
}

static void short_nonce_is_answered_by_a_short_one(void **state)
{
    struct dt_addrport from = {a->addr, 20000};
    begin(5);
    net.params.vendor_id = dt_span("the name of a vendor", 20);
    net_restart(&net, 1);
    watch();
    knock(&dearest, &from, 1, false);
    assert_int_equal(cookies, 0);
    assert_int_equal(answers, 1);
    assert_int_equal(longer, 0);
    net_run(&net, DT_NEVER);
    net_finish(&net);
}

/* Keys and AUTH take the nonces as they were sent. */
static void short_nonces_come_up(void **state)
{
    begin(6);
    struct dt_path path = net_path(&net, 0, 1);
    ike_enter(a->ike, net.now);
    struct dt_ike_session *s = ike_session_new(a->ike, true, &path);
    assert_non_null(s);
    s->cfg = &a->cfg;
    s->known = true;
    s->local_id = a->cfg.local_id;
    s->first = ike_child_new(s, NULL);
    s->first->asked = true;
    s->hs->nonce_len = 16;
    assert_int_equal(ike_init_start(s, NULL), 0);
    ike_leave(a->ike);
    assert_true(net_run_until(&net, 10 * DT_SEC, net_children_are_up));
    net_check_pairs(a, b);
    net_run(&net, net.now + DT_SEC);
    net_finish(&net);
}

/* ---- places ---- */

static void attack(uint32_t from, unsigned count)
{
    struct dt_addrport at = {a->addr, 0};
    for (uint32_t i = from; i < from + count; i++) {
        at.port = (uint16_t)(10000 + i % 50000);
        knock_twice(&plain, &at, i);
    }
}

static void one_source_cannot_fill_the_table(void **state)
{
    begin(7);
    watch();
    net.params.door.work_rate_source = DT_RATE_NO_LIMIT;
    net_restart(&net, 1);
    attack(0, 5000);
    assert_int_equal(usage().half_open, net.params.door.half_open_source);
    assert_int_equal(usage().sources, 1);
    a->addr = dt_addr4(0xc0000303); /* an honest client elsewhere */
    dt_time began = net.now;
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 2 * DT_SEC, came_up));
    assert_true(net.now - began < DT_SEC);
    net_run(&net, net.now + 40 * DT_SEC);
    assert_int_equal(usage().half_open + usage().sources, 0);
    net_finish(&net);
}

/* One behind the attacker's own address: the attacker's oldest half-open session gives way once it had its time. */
static void neighbour_of_the_attacker_gets_in(void **state)
{
    begin(8);
    watch();
    net.params.door.work_rate_source = DT_RATE_NO_LIMIT;
    net_restart(&net, 1);
    attack(0, 5000);
    net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 10 * DT_SEC, came_up));
    assert_true(dt_ike_counters(b->ike)->half_open_pushed_out >= 1);
    net_run(&net, net.now + 40 * DT_SEC);
    net_finish(&net);
}

static void biggest_source_gives_way_when_all_is_full(void **state)
{
    begin(9);
    watch();
    net.params.door.half_open_max = 100;
    net.params.door.half_open_source = 60;
    net.params.door.half_open_cookie = 10;
    net_restart(&net, 1);
    for (uint32_t i = 0; i < 200;
         i++) { /* one that takes all it can, one that takes half of that, and two single ones */
        struct dt_addrport big = {dt_addr4(0x0a000001), 500}, small = {dt_addr4(0x0a000002), 500};
        knock_twice(&plain, &big, i);
        if (i < 38)
            knock_twice(&plain, &small, 1000 + i);
    }
    assert_int_equal(usage().half_open, 98);
    for (uint32_t i = 0; i < 30; i++) {
        struct dt_addrport from = spoofed(i + 100);
        knock_twice(&plain, &from, 2000 + i);
    }
    assert_int_equal(usage().half_open, 100);
    assert_int_equal(usage().sources, 32); /* not one of the others was turned away */
    assert_int_equal(dt_ike_counters(b->ike)->half_open_pushed_out, 28);
    net_come_up(&net);
    net_run(&net, net.now + 40 * DT_SEC);
    net_finish(&net);
}

static void ipv6_host_has_one_share(void **state)
{
    begin(10);
    watch();
    net.params.door.half_open_cookie = 0;
    net.params.door.half_open_source = 50;
    net_restart(&net, 1);
    for (uint32_t i = 0; i < 200; i++) {
        struct dt_addrport from = {.port = 500};
        assert_int_equal(dt_addr_parse(&from.addr, "2001:db8::"), 0);
        dt_put_be32(from.addr.b + 12, i + 1);
        knock_twice(&plain, &from, i);
    }
    assert_int_equal(usage().half_open, 50);
    assert_int_equal(usage().sources, 1);
    net_run(&net, DT_NEVER);
    net_finish(&net);
}

/* ---- who completes, and who fails ---- */

/* Fifty a second for six seconds behind one address, and a budget for ten a second: what they pay comes back as they come
 * up. */
static void many_clients_behind_one_address_come_up(void **state)
{
    begin(11);
    net.params.door.half_open_cookie = 0;
    net.params.door.half_open_source = 20;
    net.params.door.work_rate_source = 10 * dt_ke_work(plain.group);
    net_restart(&net, 1);
    net_proposal(&a->cfg.ike, DT_PROTO_IKE, plain.proposal);
    for (int i = 0; i < 300; i++) {
        net_open(&net, 0, 1);
        net_run(&net, net.now + 20 * DT_MSEC);
    }
    net_run(&net, net.now + DT_SEC);
    assert_int_equal(a->child_ups, 300);
    assert_int_equal(dt_ike_counters(b->ike)->work_limited_source, 0);
    assert_int_equal(usage().half_open + usage().sources, 0);
    net_free(&net);
}

static bool all_failed(struct net *n)
{
    return n->host[0].downs >= 100;
}

static void wrong_secret_holds_no_place(void **state)
{
    begin(12);
    net.params.door.failed_max = 20;
    net_restart(&net, 1);
    a->psk = "another secret";
    for (int i = 0; i < 100; i++)
        net_open(&net, 0, 1);
    assert_true(net_run_until(&net, 5 * DT_SEC, all_failed));
    assert_int_equal(usage().half_open + usage().sources, 0);
    assert_int_equal(usage().sessions, 20); /* kept for repetitions */
    assert_int_equal(dt_ike_counters(b->ike)->failed_pushed_out, 80);
    assert_int_equal(dt_ike_counters(b->ike)->auth_failed, 100);
    a->psk = NET_PSK;
    net_come_up(&net);
    net_run(&net, net.now + 40 * DT_SEC);
    assert_int_equal(usage().sessions, 1);
    net_finish(&net);
}

/* ---- answers ---- */

/* Strangers that nobody here could serve use up the refusals; a guest that needs one (another group) shows a cookie. */
static void flood_of_refusals_leaves_the_guest_his(void **state)
{
    struct stranger s = {"aes128gcm16-prfsha256-ecp256", DT_KE_ECP_256, 32, false};
    begin(13);
    watch();
    net_proposal(&b->cfg.ike, DT_PROTO_IKE, "aes256gcm16-prfsha512-ecp384");
    flood_second(&s, 1000);
    assert_int_equal(pairs, 0);
    assert_in_range(refusals, 1, 2 * net.params.door.answer_rate);
    assert_true(cookies > 0);
    assert_true(b->events[DT_IKE_EV_COOKIES] > 0);
    net_come_up(&net);
    net_finish(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nonce_too_short_for_the_prf_is_refused),
        cmocka_unit_test(flood_is_held_to_the_budget_of_work),
        cmocka_unit_test(work_that_fails_counts),
        cmocka_unit_test(source_with_cookies_has_a_budget_too),
        cmocka_unit_test(short_nonce_is_answered_by_a_short_one),
        cmocka_unit_test(short_nonces_come_up),
        cmocka_unit_test(one_source_cannot_fill_the_table),
        cmocka_unit_test(neighbour_of_the_attacker_gets_in),
        cmocka_unit_test(biggest_source_gives_way_when_all_is_full),
        cmocka_unit_test(ipv6_host_has_one_share),
        cmocka_unit_test(many_clients_behind_one_address_come_up),
        cmocka_unit_test(wrong_secret_holds_no_place),
        cmocka_unit_test(flood_of_refusals_leaves_the_guest_his),
    };
    return TEST_RUN(tests);
}
