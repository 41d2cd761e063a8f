/* A peer that has the keys and says the wrong thing: every message of every exchange once with a payload missing, cut, or
 * changed, sealed anew. What does not fit is refused with the right notify, nothing is installed that was not offered,
 * and nothing is left over. */
#include "ike/rewrite.h"

static struct net net;
static struct net_host *const a = &net.host[0], *const b = &net.host[1];

enum start { OPEN, REKEY_CHILD, REKEY_IKE };
enum op { REMOVE, CUT, SET };
enum end { SESSION_FAILS, CHILD_FAILS, COMES_UP };

struct wrong {
    const char *name;
    enum start start;
    bool response;    /* b's answer, else a's request */
    uint8_t exchange; /* enum dt_ike_exchange */
    uint8_t payload;
    enum op op;
    size_t at; /* CUT: to this length; SET: from here on ... */
    size_t n;  /* ... so many octets ... */
    uint8_t v; /* ... to this */
    enum end end;
    uint16_t notify;
};

static const struct wrong *now;
static bool done;

static void change(struct dt_ike_builder *w, const struct dt_ike_payload *p)
{
    uint8_t body[1000];
    size_t len = p->body.len;
    assert_in_range(len, 1, sizeof(body));
    memcpy(body, p->body.p, len);
    if (now->op == REMOVE)
        return;
    if (now->op == CUT) {
        assert_true(now->at < len);
        len = now->at;
    } else {
        assert_true(now->at + now->n <= len);
        memset(body + now->at, now->v, now->n);
    }
    dt_ike_raw_write(w, p->type, dt_span(body, len));
}

static void write_wrong(struct dt_ike_builder *w, const struct dt_ike_payloads *in, void *ctx)
{
    assert_non_null(dt_ike_find(in, now->payload));
    for (size_t i = 0; i < in->n; i++)
        if (in->v[i].type == now->payload)
            change(w, &in->v[i]);
        else
            dt_ike_raw_write(w, in->v[i].type, in->v[i].body);
}

static bool tamper(struct net *n, struct net_packet *p)
{
    if (done || p->from != (now->response ? 1 : 0) || p->exchange != now->exchange ||
        p->response != now->response)
        return false;
    done = true;
    rewrite(n, p, write_wrong, NULL);
    return true;
}

static void only(struct dt_selectors *list, const char *text)
{
    struct dt_selector s;
    assert_int_equal(dt_selector_parse(&s, text), 0);
    list->n = 0;
    dt_selectors_add(list, &s);
}

static void one(const struct wrong *w, uint64_t seed)
{
    struct dt_err err;
    now = w;
    done = false;
    net_init(&net, seed, 2, dt_crypto_null());
    only(&a->cfg.remote_ts, "10.0.0.0/8");
    only(&a->cfg.local_ts, "192.168.0.0/16");
    if (w->start == OPEN)
        net.filter = tamper;
    net_open(&net, 0, 1);
    if (w->start != OPEN) {
        net_run(&net, net.now + DT_SEC);
        net.filter = tamper;
        if (w->start == REKEY_CHILD)
            assert_non_null(dt_ike_child_rekey(net_newest(a)->handle, net.now, &err));
        else
            dt_ike_session_rekey(a->session, net.now);
    }
    net_run(&net, net.now + 5 * DT_SEC);
    assert_true(done);
    if (w->end == SESSION_FAILS) {
        assert_int_equal(a->downs, 1);
        assert_int_equal(a->last_down.notify, w->notify);
        assert_int_equal(net_children_up(a), 0);
    } else {
        assert_int_equal(a->ups, 1);
        assert_int_equal(a->downs + b->downs, 0);
        assert_int_equal(a->failed, w->end == CHILD_FAILS);
        if (w->end == CHILD_FAILS)
            assert_int_equal(a->last_failed.notify, w->notify);
        assert_int_equal(net_children_up(a), w->start == OPEN && w->end == CHILD_FAILS ? 0 : 1);
        net_check_pairs(a, b);
    }
    for (int i = 0; i < 2; i++) /* who knows nothing of the other's end */
        if (net.host[i].session)
            dt_ike_close(net.host[i].session, net.now, false);
    net_run(&net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(&net);
}

static void all(const struct wrong *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        print_message("# %s\n", list[i].name);
        one(&list[i], 100 + i);
    }
}

static void in_the_first_answer(void **state)
{
    static const struct wrong list[] = {
        /* Anybody may have sent it: dropped, and the proper answer to the next copy of the request counts. */
        {"no nonce", OPEN, true, DT_IKE_SA_INIT, DT_P_NONCE, REMOVE, 0, 0, 0, COMES_UP, 0},
        {"short nonce", OPEN, true, DT_IKE_SA_INIT, DT_P_NONCE, CUT, 15, 0, 0, COMES_UP, 0},
        {"no KE", OPEN, true, DT_IKE_SA_INIT, DT_P_KE, REMOVE, 0, 0, 0, COMES_UP, 0},
        {"KE cut", OPEN, true, DT_IKE_SA_INIT, DT_P_KE, CUT, 20, 0, 0, COMES_UP, 0},
        {"KE of another group", OPEN, true, DT_IKE_SA_INIT, DT_P_KE, SET, 0, 2, 0, COMES_UP, 0},
        {"KE out of range", OPEN, true, DT_IKE_SA_INIT, DT_P_KE, SET, 4, 32, 0, COMES_UP, 0},
        {"a proposal never made", OPEN, true, DT_IKE_SA_INIT, DT_P_SA, SET, 4, 1, 9, COMES_UP, 0},
    };
    all(list, DT_ARRAY_LEN(list));
}

static void in_the_first_request(void **state)
{
    static const struct wrong list[] = {
        {"no KE", OPEN, false, DT_IKE_SA_INIT, DT_P_KE, REMOVE, 0, 0, 0, COMES_UP, 0},
        {"KE out of range", OPEN, false, DT_IKE_SA_INIT, DT_P_KE, SET, 4, 32, 0, COMES_UP, 0},
        {"short nonce", OPEN, false, DT_IKE_SA_INIT, DT_P_NONCE, CUT, 15, 0, 0, COMES_UP, 0},
    };
    all(list, DT_ARRAY_LEN(list));
}

static void in_the_authentication_of_the_responder(void **state)
{
    static const struct wrong list[] = {
        {"no IDr", OPEN, true, DT_IKE_AUTH, DT_P_IDR, REMOVE, 0, 0, 0, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"another IDr", OPEN, true, DT_IKE_AUTH, DT_P_IDR, SET, 4, 1, 'x', SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"no AUTH", OPEN, true, DT_IKE_AUTH, DT_P_AUTH, REMOVE, 0, 0, 0, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"another method", OPEN, true, DT_IKE_AUTH, DT_P_AUTH, SET, 0, 1, 1, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"AUTH cut", OPEN, true, DT_IKE_AUTH, DT_P_AUTH, CUT, 35, 0, 0, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"AUTH of zeros", OPEN, true, DT_IKE_AUTH, DT_P_AUTH, SET, 4, 32, 0, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"no SA", OPEN, true, DT_IKE_AUTH, DT_P_SA, REMOVE, 0, 0, 0, CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"SPI 0", OPEN, true, DT_IKE_AUTH, DT_P_SA, SET, 8, 4, 0, CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"a proposal never made", OPEN, true, DT_IKE_AUTH, DT_P_SA, SET, 4, 1, 9, CHILD_FAILS,
         DT_N_NO_PROPOSAL_CHOSEN},
        {"a cipher never offered", OPEN, true, DT_IKE_AUTH, DT_P_SA, SET, 19, 1, 11, CHILD_FAILS,
         DT_N_NO_PROPOSAL_CHOSEN},
        {"TSi beyond ours", OPEN, true, DT_IKE_AUTH, DT_P_TSI, SET, 12, 4, 0, CHILD_FAILS,
         DT_N_TS_UNACCEPTABLE},
        {"TSr beyond ours", OPEN, true, DT_IKE_AUTH, DT_P_TSR, SET, 16, 4, 255, CHILD_FAILS,
         DT_N_TS_UNACCEPTABLE},
        {"TSr cut", OPEN, true, DT_IKE_AUTH, DT_P_TSR, CUT, 10, 0, 0, CHILD_FAILS, DT_N_INVALID_SYNTAX},
    };
    all(list, DT_ARRAY_LEN(list));
}

static void in_the_authentication_of_the_initiator(void **state)
{
    static const struct wrong list[] = {
        {"no IDi", OPEN, false, DT_IKE_AUTH, DT_P_IDI, REMOVE, 0, 0, 0, SESSION_FAILS, DT_N_INVALID_SYNTAX},
        {"another IDi", OPEN, false, DT_IKE_AUTH, DT_P_IDI, SET, 4, 1, 'x', SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"no AUTH", OPEN, false, DT_IKE_AUTH, DT_P_AUTH, REMOVE, 0, 0, 0, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"another method", OPEN, false, DT_IKE_AUTH, DT_P_AUTH, SET, 0, 1, 1, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"AUTH empty", OPEN, false, DT_IKE_AUTH, DT_P_AUTH, CUT, 4, 0, 0, SESSION_FAILS, DT_N_INVALID_SYNTAX},
        {"AUTH of zeros", OPEN, false, DT_IKE_AUTH, DT_P_AUTH, SET, 4, 32, 0, SESSION_FAILS,
         DT_N_AUTHENTICATION_FAILED},
        {"no TSi", OPEN, false, DT_IKE_AUTH, DT_P_TSI, REMOVE, 0, 0, 0, CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"SPI 0", OPEN, false, DT_IKE_AUTH, DT_P_SA, SET, 8, 4, 0, CHILD_FAILS, DT_N_NO_PROPOSAL_CHOSEN},
    };
    all(list, DT_ARRAY_LEN(list));
}

static void in_the_rekey_of_a_child(void **state)
{
    static const struct wrong list[] = {
        {"no nonce in the answer", REKEY_CHILD, true, DT_CREATE_CHILD_SA, DT_P_NONCE, REMOVE, 0, 0, 0,
         CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"short nonce in the answer", REKEY_CHILD, true, DT_CREATE_CHILD_SA, DT_P_NONCE, CUT, 15, 0, 0,
         CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"no KE in the answer", REKEY_CHILD, true, DT_CREATE_CHILD_SA, DT_P_KE, REMOVE, 0, 0, 0, CHILD_FAILS,
         DT_N_INVALID_SYNTAX},
        {"KE of another group in the answer", REKEY_CHILD, true, DT_CREATE_CHILD_SA, DT_P_KE, SET, 0, 2, 0,
         CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"KE out of range in the answer", REKEY_CHILD, true, DT_CREATE_CHILD_SA, DT_P_KE, SET, 4, 32, 0,
         CHILD_FAILS, DT_N_INVALID_SYNTAX},
        {"TSr beyond ours in the answer", REKEY_CHILD, true, DT_CREATE_CHILD_SA, DT_P_TSR, SET, 16, 4, 255,
         CHILD_FAILS, DT_N_TS_UNACCEPTABLE},
        {"no nonce in the request", REKEY_CHILD, false, DT_CREATE_CHILD_SA, DT_P_NONCE, REMOVE, 0, 0, 0,
         SESSION_FAILS, DT_N_INVALID_SYNTAX},
        {"KE out of range in the request", REKEY_CHILD, false, DT_CREATE_CHILD_SA, DT_P_KE, SET, 4, 32, 0,
         SESSION_FAILS, DT_N_INVALID_SYNTAX},
    };
    all(list, DT_ARRAY_LEN(list));
}

static void in_the_rekey_of_the_ike_sa(void **state)
{
    static const struct wrong list[] = {
        {"no KE in the answer", REKEY_IKE, true, DT_CREATE_CHILD_SA, DT_P_KE, REMOVE, 0, 0, 0, SESSION_FAILS,
         DT_N_INVALID_SYNTAX},
        {"KE out of range in the answer", REKEY_IKE, true, DT_CREATE_CHILD_SA, DT_P_KE, SET, 4, 32, 0,
         SESSION_FAILS, DT_N_INVALID_SYNTAX},
        {"SPI 0 in the answer", REKEY_IKE, true, DT_CREATE_CHILD_SA, DT_P_SA, SET, 8, 8, 0, SESSION_FAILS,
         DT_N_INVALID_SYNTAX},
        {"a proposal never made in the answer", REKEY_IKE, true, DT_CREATE_CHILD_SA, DT_P_SA, SET, 4, 1, 9,
         SESSION_FAILS, DT_N_INVALID_SYNTAX},
        {"no nonce in the request", REKEY_IKE, false, DT_CREATE_CHILD_SA, DT_P_NONCE, REMOVE, 0, 0, 0,
         SESSION_FAILS, DT_N_INVALID_SYNTAX},
        {"KE out of range in the request", REKEY_IKE, false, DT_CREATE_CHILD_SA, DT_P_KE, SET, 4, 32, 0,
         SESSION_FAILS, DT_N_INVALID_SYNTAX},
    };
    all(list, DT_ARRAY_LEN(list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_first_answer),
        cmocka_unit_test(in_the_first_request),
        cmocka_unit_test(in_the_authentication_of_the_responder),
        cmocka_unit_test(in_the_authentication_of_the_initiator),
        cmocka_unit_test(in_the_rekey_of_a_child),
        cmocka_unit_test(in_the_rekey_of_the_ike_sa),
    };
    return TEST_RUN(tests);
}
