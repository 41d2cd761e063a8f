#include "support/test.h"

#include "endpoint/endpoint.h"

static const char *addr_for(const char *const *ts, uint8_t ver)
{
    static char text[DT_ADDR_STRLEN];
    struct dt_selectors list = {0};
    struct dt_addr a;
    for (; *ts; ts++) {
        struct dt_selector s;
        assert_int_equal(dt_selector_parse(&s, *ts), 0);
        assert_true(dt_selectors_add(&list, &s));
    }
    return dt_endpoint_probe_addr(&a, &list, ver) ? dt_addr_str(text, &a) : "none";
}

#define TS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void both_ends_derive_the_same_address(void **state)
{
    assert_string_equal(addr_for(TS("10.1.0.0/16"), 4), "10.1.0.0");
    assert_string_equal(addr_for(TS("10.1.0.0/16"), 6), "none");
    assert_string_equal(addr_for(TS("10.1.2.3/32"), 4), "10.1.2.3");
    assert_string_equal(addr_for(TS("0.0.0.0/0"), 4), "192.0.0.8");
    assert_string_equal(addr_for(TS("10.0.0.0/8", "192.0.0.0/16"), 4), "192.0.0.8");
    assert_string_equal(addr_for(TS("0.0.0.0/1"), 4), "0.0.0.1"); /* not "any" */
    assert_string_equal(addr_for(TS("::/0"), 6), "100:0:0:1::");
    assert_string_equal(addr_for(TS("10.0.0.0/8", "fd00::/64"), 6), "fd00::");
}

static void selectors_that_carry_no_icmp(void **state)
{
    assert_string_equal(addr_for(TS("10.1.0.0/16[tcp]"), 4), "none");
    assert_string_equal(addr_for(TS("10.1.0.0/16[tcp/443]", "10.2.0.0/16"), 4), "10.2.0.0");
    assert_string_equal(addr_for(TS("10.1.0.0/16[1]"), 4), "10.1.0.0");
    assert_string_equal(addr_for(TS("fd00::/64[1]"), 6), "none"); /* ICMPv6 is 58 */
}

static void configurations_that_cannot_be(void **state)
{
    static const struct dt_endpoint_ops ops;
    struct dt_prng prng;
    dt_prng_seed(&prng, 1);
    struct dt_rand rand = dt_prng_rand(&prng);
    struct dt_endpoint *ep = dt_endpoint_new(&ops, NULL, NULL, NULL, NULL, &rand);
    struct dt_tunnel_cfg *t = malloc(sizeof(*t));
    struct dt_gateway_cfg *g = malloc(sizeof(*g));
    struct dt_selector s;
    struct dt_err err = {0};
    assert_int_equal(dt_selector_parse(&s, "10.0.0.0/8"), 0);
    dt_tunnel_cfg_default(t);
    assert_int_equal(dt_endpoint_tunnel_add(ep, 0, t, &err), 0);
    assert_non_null(strstr(err.text, "no name"));
    strcpy(t->name, "office");
    assert_int_equal(dt_endpoint_tunnel_add(ep, 0, t, &err), 0);
    assert_non_null(strstr(err.text, "nothing to protect"));
    dt_selectors_add(&t->protect, &s);
    assert_int_equal(dt_endpoint_tunnel_add(ep, 0, t, &err), 0);
    assert_non_null(strstr(err.text, "gateway addresses"));
    t->ngateways = 1;
    t->gateways[0] = dt_addr4(0xc0000201);
    assert_int_equal(dt_endpoint_tunnel_add(ep, 0, t, &err), 0);
    assert_non_null(strstr(err.text, "identity"));
    assert_int_equal(dt_ike_id_parse(&t->local_id, "anna@example.net"), 0);
    t->params.keylife = 2 * t->params.rekeymargin;
    assert_int_equal(dt_endpoint_tunnel_add(ep, 0, t, &err), 0);
    assert_non_null(strstr(err.text, "must be less than keylife"));
    t->params = dt_epoch_params_default();
    t->probe = DT_PROBE_ADDRESS;
    assert_int_equal(dt_endpoint_tunnel_add(ep, 0, t, &err), 0);
    assert_non_null(strstr(err.text, "probe"));
    t->probe = DT_PROBE_AUTO;
    uint32_t id = dt_endpoint_tunnel_add(ep, 0, t, &err);
    assert_int_not_equal(id, 0);
    assert_int_equal(dt_endpoint_tunnel_next(ep, 0), id);
    assert_int_equal(dt_endpoint_tunnel_by_name(ep, "office"), id);
    dt_gateway_cfg_default(g);
    strcpy(g->name, "head-office");
    dt_selectors_add(&g->protect, &s);
    assert_int_equal(dt_ike_id_parse(&g->identity, "vpn.example.net"), 0);
    assert_int_equal(dt_endpoint_gateway_add(ep, 0, g, &err), 0);
    assert_non_null(strstr(err.text, "pool"));
    g->lease = true;
    assert_int_not_equal(dt_endpoint_gateway_add(ep, 0, g, &err), 0);
    free(t);
    free(g);
    /* Never started: nothing to say to a data path that is not there. */
    dt_endpoint_free(ep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_derive_the_same_address),
        cmocka_unit_test(selectors_that_carry_no_icmp),
        cmocka_unit_test(configurations_that_cannot_be),
    };
    return TEST_RUN(tests);
}
