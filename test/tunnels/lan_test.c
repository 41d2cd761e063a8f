/* What stays local: networks of the host, of the configuration, and exceptions, against what tunnels protect. */

#include <string.h>

#include "support/test.h"

#include "base/bytes.h"
#include "tunnels/lan.h"

static struct dt_prefix prefix(const char *text)
{
    struct dt_prefix p;
    assert_int_equal(dt_prefix_parse(&p, text, false), 0);
    return p;
}

static void claim(struct lan_round *r, const char *p, const struct dt_config_tunnel *t, bool keeps)
{
    struct dt_prefix x = prefix(p);
    assert_true(lan_claim(r, &x, t, keeps));
}

static void connected(struct lan_round *r, const char *address, uint8_t len)
{
    struct dt_nl_addr a = {.ifindex = 77, .len = len};
    struct dt_nl_addrs list = {.v = &a, .n = 1};
    assert_int_equal(dt_addr_parse(&a.addr, address), 0);
    lan_connected(r, &list, 9);
}

/* -1: it is not in the list. */
static int place(const struct lan_round *r, const char *p)
{
    char text[DT_PREFIX_STRLEN];
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(dt_prefix_str(text, &r->network[i].prefix), p) == 0)
            return (int)r->network[i].place;
    return -1;
}

static void a_private_network_wins_over_a_wider_one(void **state)
{
    static const struct {
        const char *protect, *address;
        uint8_t len;
        const char *network;
        int place;
    } row[] = {
        {"10.0.0.0/8", "10.0.5.2", 24, "10.0.5.0/24", LAN_LOCAL},
        {"0.0.0.0/0", "192.168.7.11", 24, "192.168.7.0/24", LAN_LOCAL},
        {"0.0.0.0/0", "172.31.255.1", 12, "172.16.0.0/12", LAN_LOCAL},
        {"0.0.0.0/0", "172.16.0.1", 11, "172.0.0.0/11", LAN_PUBLIC}, /* half of it is not private */
        {"0.0.0.0/0", "203.0.113.5", 24, "203.0.113.0/24", LAN_PUBLIC},
        {"203.0.113.0/25", "203.0.113.5", 24, "203.0.113.0/24",
         -1}, /* what is protected is narrower: it wins */
        {"10.1.0.0/16", "10.1.0.5", 16, "10.1.0.0/16", LAN_NARROWER},
        {"10.1.0.0/16", "10.1.0.5", 8, "10.0.0.0/8", -1},
        {"10.1.0.0/16", "192.168.7.11", 24, "192.168.7.0/24", -1},
        {"::/0", "fd77::11", 64, "fd77::/64", LAN_LOCAL},
        {"::/0", "2001:db8::1", 64, "2001:db8::/64", LAN_PUBLIC},
        {"fd00::/8", "fd77::11", 64, "fd77::/64", LAN_LOCAL},
        {"0.0.0.0/0", "169.254.3.4", 16, "169.254.0.0/16", LAN_LOCAL},
        {"0.0.0.0/0", "10.0.0.1", 32, "10.0.0.1", -1},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(row); i++) {
        struct lan_round r = {.n = 0};
        claim(&r, row[i].protect, NULL, false);
        connected(&r, row[i].address, row[i].len);
        lan_decide(&r);
        if (place(&r, row[i].network) != row[i].place)
            fail_msg("%s in %s: %d", row[i].network, row[i].protect, place(&r, row[i].network));
        lan_round_free(&r);
    }
}

static void who_keeps_is_asked_of_all_that_protect_it(void **state)
{
    struct lan_round r = {.n = 0};
    claim(&r, "0.0.0.0/0", NULL, true); /* lan = tunnel */
    claim(&r, "10.0.0.0/8", NULL, false);
    claim(&r, "10.1.0.0/16", NULL, false);
    connected(&r, "10.1.2.3", 24);
    connected(&r, "192.168.7.11", 24);
    lan_decide(&r);
    assert_int_equal(place(&r, "10.1.2.0/24"), LAN_TUNNEL);
    assert_int_equal(place(&r, "192.168.7.0/24"), LAN_TUNNEL);
    lan_round_free(&r);
}

static void an_exception_is_one_tunnels_own(void **state)
{
    struct dt_config_tunnel one = {.nexcept = 2, .except = {prefix("10.1.0.0/16"), prefix("192.0.2.0/24")}},
                            other = {0};
    struct lan_round r = {.n = 0};
    struct dt_prefix all = prefix("192.0.2.0/25");
    claim(&r, "0.0.0.0/0", &one, true);
    claim(&r, "10.0.0.0/8", &other, false);
    assert_false(lan_claim(&r, &all, &one, false)); /* nothing is left of it */
    lan_exceptions(&r, &one);
    connected(&r, "192.0.2.1", 26);
    lan_decide(&r);
    assert_int_equal(place(&r, "192.0.2.0/24"), LAN_LOCAL); /* closed = always or not */
    assert_int_equal(place(&r, "10.1.0.0/16"), LAN_TUNNEL); /* the other one protects it */
    assert_int_equal(place(&r, "192.0.2.0/26"), -1);        /* it is in the exception */
    lan_round_free(&r);
    /* What is protected inside an exception is protected all the same. */
    claim(&r, "0.0.0.0/0", &one, false);
    claim(&r, "192.0.2.0/25", &other, true);
    r.n = 0;
    lan_exceptions(&r, &one);
    connected(&r, "192.0.2.1", 26);
    lan_decide(&r);
    assert_int_equal(place(&r, "192.0.2.0/24"), LAN_LOCAL);
    assert_int_equal(place(&r, "192.0.2.0/26"), LAN_TUNNEL);
    lan_round_free(&r);
}

static void what_is_called_our_own_stays_though_it_is_public(void **state)
{
    struct lan_round r = {.n = 0};
    struct dt_selectors own = {.n = 0};
    struct dt_prefix p = prefix("203.0.113.0/24"), host = prefix("203.0.114.1/32");
    own.v[own.n++] = dt_selector_prefix(&p);
    own.v[own.n++] = dt_selector_prefix(&host);
    claim(&r, "203.0.0.0/16", NULL, false);
    lan_own(&r, &own, "inside");
    connected(&r, "203.0.113.1", 24); /* the same network */
    lan_decide(&r);
    assert_int_equal(r.n, 1);
    assert_int_equal(place(&r, "203.0.113.0/24"), LAN_LOCAL);
    lan_round_free(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_network_wins_over_a_wider_one),
        cmocka_unit_test(who_keeps_is_asked_of_all_that_protect_it),
        cmocka_unit_test(an_exception_is_one_tunnels_own),
        cmocka_unit_test(what_is_called_our_own_stays_though_it_is_public),
    };
    return TEST_RUN(tests);
}
