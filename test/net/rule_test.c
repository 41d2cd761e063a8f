/* Routing rules as the kernel tells of them, in a network namespace of the test's own. */
#include "support/test.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "net/netlink.h"

#define AT    17493
#define TABLE 17494

static struct dt_nl *nl;

static int begin(void **state)
{
    struct dt_err err = {0};
    if (unshare(CLONE_NEWNET) == 0)
        nl = dt_nl_open(&err);
    return 0;
}

static int end(void **state)
{
    dt_nl_close(nl);
    return 0;
}

/* The rule at AT as the kernel tells of it. False: there is none. */
static bool told(struct dt_nl_rule *out)
{
    struct dt_nl_rules l = {.v = NULL};
    struct dt_err err = {0};
    if (dt_nl_rules_of(nl, AT, AT, &l, &err) != 0)
        fail_msg("%s", err.text);
    bool is = l.n > 0;
    assert_true(l.n <= 1);
    if (is)
        *out = l.v[0];
    dt_nl_rules_free(&l);
    return is;
}

static struct dt_nl_rule of_port(void)
{
    return (struct dt_nl_rule){.ver = 4, .priority = AT, .table = TABLE, .proto = 6, .dport = {443, 443}};
}

static void what_is_added_is_told(void **state)
{
    if (!nl)
        skip();
    struct dt_nl_rule rule[5] = {of_port(), of_port(), of_port(), of_port(), of_port()}, is;
    rule[1].dport[1] = 500;
    rule[2].sport[0] = rule[2].sport[1] = 7;
    rule[3] = (struct dt_nl_rule){.ver = 6, .priority = AT, .table = TABLE, .mark = 7, .invert = true};
    rule[4] = (struct dt_nl_rule){.ver = 4, .priority = AT, .table = 254, .iif = "lo", .not_default = true};
    for (size_t i = 0; i < DT_ARRAY_LEN(rule); i++) {
        struct dt_err err = {0};
        if (dt_nl_rule_add(nl, &rule[i], &err) != 0)
            fail_msg("%s", err.text);
        assert_true(told(&is));
        assert_int_equal(dt_nl_rule_cmp(&is, &rule[i]), 0);
        assert_false(is.foreign);
        assert_int_equal(dt_nl_rule_del(nl, &rule[i], NULL), 0);
        assert_false(told(&is));
    }
}

/* 0, or -1: this kernel does not know it. */
static int with_condition(bool add, uint16_t type, const void *v, size_t len)
{
    char buf[512];
    struct mnl_socket *s = mnl_socket_open(NETLINK_ROUTE);
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof *r);
    struct fib_rule_port_range port = {443, 443};
    *r = (struct fib_rule_hdr){.family = type == 26 ? AF_INET6 : AF_INET, .action = FR_ACT_TO_TBL};
    mnl_attr_put_u32(h, FRA_PRIORITY, AT);
    mnl_attr_put_u32(h, FRA_TABLE, TABLE);
    mnl_attr_put_u8(h, FRA_PROTOCOL, DT_NL_PROTOCOL);
    mnl_attr_put_u8(h, FRA_IP_PROTO, 6);
    mnl_attr_put(h, FRA_DPORT_RANGE, sizeof port, &port);
    mnl_attr_put(h, type, len, v);
    if (type == 26)
        mnl_attr_put_u32(h, 27, htonl(0xfffff)); /* its mask */
    assert_true(s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0);
    assert_true(mnl_socket_sendto(s, h, h->nlmsg_len) > 0);
    ssize_t n = mnl_socket_recvfrom(s, buf, sizeof buf);
    const struct nlmsgerr *e = mnl_nlmsg_get_payload((struct nlmsghdr *)buf);
    assert_true(n > 0);
    mnl_socket_close(s);
    return e->error ? -1 : 0;
}

/* One that differs from ours in a condition that we do not know is another, whoever says that he made it. */
static void a_condition_more_makes_it_anothers(void **state)
{
    const uint8_t dscp = 10;
    const uint16_t mask = 0x01bb;
    const uint32_t label = htonl(0x12345);
    const struct {
        uint16_t type;
        const void *v;
        size_t len;
    } more[] = {{25, &dscp, 1}, {26, &label, 4}, {29, &mask, 2}};
    unsigned tried = 0;
    if (!nl)
        skip();
    for (size_t i = 0; i < DT_ARRAY_LEN(more); i++) {
        struct dt_nl_rule is, ours = of_port();
        if (with_condition(true, more[i].type, more[i].v, more[i].len) != 0)
            continue;
        tried++;
        ours.ver = more[i].type == 26 ? 6 : 4;
        assert_true(told(&is));
        assert_true(is.foreign);
        assert_int_not_equal(dt_nl_rule_cmp(&is, &ours), 0);
        assert_int_equal(with_condition(false, more[i].type, more[i].v, more[i].len), 0);
    }
    printf("# %u conditions are known to this kernel\n", tried);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_told),
        cmocka_unit_test(a_condition_more_makes_it_anothers),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, begin, end);
}
