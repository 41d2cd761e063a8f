/* What an initiator makes of the configuration payload in the answer (RFC 7296 sections 2.19 and 3.15). */
#include "support/test.h"

#include "ike/internal.h"

static struct dt_ike_cfg cfg;
static struct dt_ike_session session;
static uint8_t bytes[256];

static int start(void **state)
{
    memset(&cfg, 0, sizeof(cfg));
    memset(&session, 0, sizeof(session));
    cfg.want4 = cfg.want6 = cfg.want_dns = true;
    session.cfg = &cfg;
    dt_addr_parse(&session.path.local.addr, "198.51.100.2");
    dt_addr_parse(&session.path.remote.addr, "203.0.113.1");
    session.inside.addr4 = dt_addr4(0x0a090001); /* of a life before */
    return 0;
}

/* An answer whose configuration payload has this body. */
static int answer(const uint8_t *body, size_t len, struct dt_err *err)
{
    struct dt_ike_payloads in = {.n = 1};
    memcpy(bytes, body, len);
    in.v[0].type = DT_P_CP;
    in.v[0].body = dt_span(bytes, len);
    memset(err, 0, sizeof(*err));
    return ike_cp_got_reply(&session, &in, err);
}

static int lease4(const char *addr, struct dt_err *err)
{
    uint8_t body[] = {DT_CFG_REPLY, 0, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0};
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, addr), 0);
    memcpy(body + 8, a.b, 4);
    return answer(body, sizeof(body), err);
}

static int lease6(const char *addr, struct dt_err *err)
{
    uint8_t body[25] = {DT_CFG_REPLY, 0, 0, 0, 0, 8, 0, 17};
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, addr), 0);
    memcpy(body + 8, a.b, 16);
    body[24] = 64;
    return answer(body, sizeof(body), err);
}

static void none_is_taken(const struct dt_err *err, const char *what)
{
    assert_int_equal(err->notify, DT_N_INTERNAL_ADDRESS_FAILURE);
    if (!strstr(err->text, what))
        fail_msg("wanted \"%s\" in \"%s\"", what, err->text);
    assert_int_equal(session.inside.addr4.ver + session.inside.addr6.ver, 0);
}

static void an_address_is_taken(void **state)
{
    struct dt_err err;
    assert_int_equal(lease4("10.9.0.7", &err), 0);
    assert_int_equal(session.inside.addr4.ver, 4);
    assert_int_equal(lease6("fd09::7", &err), 0);
    assert_int_equal(session.inside.addr6.ver, 6);
    assert_int_equal(session.inside.addr6_len, 64);
    assert_int_equal(session.inside.addr4.ver, 0); /* what a new answer does not have is no more */
}

/* Servers that no host can be, and domains without a server, are none (RFC 8598 section 3.2). */
static void name_servers_are_looked_at(void **state)
{
    static const uint8_t body[] = {DT_CFG_REPLY, 0,   0,   0,   0,   1, 0, 4, 10,  9,  0, 7, 0, 3,  0, 4,
                                   127,          0,   0,   1,   0,   3, 0, 4, 224, 0,  0, 1, 0, 25, 0, 5,
                                   'a',          '.', 'n', 'e', 't', 0, 3, 0, 4,   10, 1, 0, 53};
    struct dt_err err;
    assert_int_equal(answer(body, sizeof(body) - 8, &err), 0);
    assert_int_equal(session.inside.ndns, 0);
    assert_string_equal(session.inside.domains, "");
    assert_int_equal(answer(body, sizeof(body), &err), 0);
    assert_int_equal(session.inside.ndns, 1);
    assert_int_equal(dt_addr4_host(&session.inside.dns[0]), 0x0a010035);
    assert_string_equal(session.inside.domains, "a.net");
    cfg.want_dns = false;
    assert_int_equal(answer(body, sizeof(body), &err), 0);
    assert_int_equal(session.inside.ndns, 0);
    assert_string_equal(session.inside.domains, "");
}

static void without_an_address_there_is_no_child(void **state)
{
    static const uint8_t empty[] = {DT_CFG_REPLY, 0, 0, 0}, request[] = {DT_CFG_REQUEST, 0, 0, 0},
                         dns[] = {DT_CFG_REPLY, 0, 0, 0, 0, 3, 0, 4, 10, 1, 0, 53},
                         blank[] = {DT_CFG_REPLY, 0, 0, 0, 0, 1, 0, 0},
                         cut[] = {DT_CFG_REPLY, 0, 0, 0, 0, 1, 0, 4, 10, 9},
                         three[] = {DT_CFG_REPLY, 0, 0, 0, 0, 1, 0, 3, 10, 9, 0};
    struct dt_ike_payloads nothing = {.n = 0};
    struct dt_err err = {0};
    assert_int_equal(ike_cp_got_reply(&session, &nothing, &err), -1);
    none_is_taken(&err, "absent");
    assert_int_equal(answer(empty, sizeof(empty), &err), -1);
    none_is_taken(&err, "has none");
    assert_int_equal(answer(blank, sizeof(blank), &err), -1);
    none_is_taken(&err, "has none");
    assert_int_equal(answer(dns, sizeof(dns), &err), -1);
    none_is_taken(&err, "has none");
    assert_int_equal(answer(request, sizeof(request), &err), -1);
    none_is_taken(&err, "no CFG_REPLY");
    assert_int_equal(answer(cut, sizeof(cut), &err), -1);
    none_is_taken(&err, "malformed");
    assert_int_equal(answer(three, sizeof(three), &err), -1);
    none_is_taken(&err, "malformed");
    assert_int_equal(answer(empty, 0, &err), -1);
    none_is_taken(&err, "malformed");
}

static void whoever_asks_for_none_needs_none(void **state)
{
    static const uint8_t cut[] = {DT_CFG_REPLY, 0, 0};
    struct dt_ike_payloads nothing = {.n = 0};
    struct dt_err err = {0};
    cfg.want4 = cfg.want6 = cfg.want_dns = false;
    assert_int_equal(ike_cp_got_reply(&session, &nothing, &err), 0);
    assert_int_equal(answer(cut, sizeof(cut), &err), 0);
}

static void addresses_that_no_host_can_have(void **state)
{
    static const char *const four[] = {"0.0.0.0",   "0.1.2.3",   "127.0.0.1",
                                       "224.0.0.1", "240.0.0.1", "255.255.255.255"};
    static const char *const six[] = {"::", "::1", "ff02::1", "fe80::1", "febf::1"};
    struct dt_err err;
    for (unsigned i = 0; i < DT_ARRAY_LEN(four); i++) {
        assert_int_equal(lease4(four[i], &err), -1);
        none_is_taken(&err, four[i]);
    }
    for (unsigned i = 0; i < DT_ARRAY_LEN(six); i++) {
        assert_int_equal(lease6(six[i], &err), -1);
        none_is_taken(&err, six[i]);
    }
}

static void addresses_that_would_lock_the_host_out(void **state)
{
    struct dt_err err;
    assert_int_equal(lease4("198.51.100.2", &err), -1);
    none_is_taken(&err, "this host");
    assert_int_equal(lease4("203.0.113.1", &err), -1);
    none_is_taken(&err, "the peer itself");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_address_is_taken, start),
        cmocka_unit_test_setup(name_servers_are_looked_at, start),
        cmocka_unit_test_setup(without_an_address_there_is_no_child, start),
        cmocka_unit_test_setup(whoever_asks_for_none_needs_none, start),
        cmocka_unit_test_setup(addresses_that_no_host_can_have, start),
        cmocka_unit_test_setup(addresses_that_would_lock_the_host_out, start),
    };
    return TEST_RUN(tests);
}
