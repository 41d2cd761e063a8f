/* Probes that pass through and probes that leave, in a network namespace of the test's own.
 * Without the right to make one, or without nftables, everything is skipped by name. */
#include "support/test.h"

#include <linux/filter.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/discovery.h"

static bool ready;

static struct dt_addr a(const char *text)
{
    struct dt_addr r = {0};
    assert_int_equal(dt_addr_parse(&r, text), 0);
    return r;
}

static int sh(const char *command)
{
    return system(command);
}

static int begin(void **state)
{
    ready = unshare(CLONE_NEWNET) == 0 &&
            sh("ip link set lo up && ip addr add 10.2.0.7/16 dev lo && ip addr add 10.3.0.7/16 dev lo && "
               "ip -6 addr add fd02::7/64 dev lo nodad && ip -6 addr add fd03::7/64 dev lo nodad && ip -6 "
               "addr add fd03::3:7/64 dev lo nodad") == 0;
    if (!ready)
        printf("# no network namespace (root is needed)\n");
    return 0;
}

static void need(void)
{
    if (!ready)
        skip();
}

static int listen500(uint8_t ver)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(500)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(500)};
    int one = 1, fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
    if (ver == 6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    assert_int_equal(bind(fd, ver == 4 ? (void *)&s4 : (void *)&s6, ver == 4 ? sizeof s4 : sizeof s6), 0);
    return fd;
}

static bool arrives(int fd)
{
    uint8_t buf[512];
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 100) == 1 && recv(fd, buf, sizeof buf, 0) > 0;
}

static void send_one(const char *src, const char *dst, uint16_t dport, uint8_t exchange)
{
    uint8_t msg[60] = {1, [17] = 0x10, [18] = exchange};
    struct dt_addr s = a(src), d = a(dst);
    struct dt_err err = {0};
    int fd = dt_raw_udp_open(s.ver, 7, &err);
    assert_true(fd >= 0);
    if (dt_raw_udp_send(fd, &s, 40000, &d, dport, msg, sizeof msg, &err))
        fail_msg("%s", err.text);
    close(fd);
}

static bool seen(struct dt_tap *t, uint8_t ver, const char *src, const char *dst)
{
    static uint8_t buf[2048];
    struct dt_tap_probe p;
    if (!dt_tap_recv(t, ver, buf, sizeof buf, &p))
        return false;
    struct dt_addr s = a(src), d = a(dst);
    assert_true(dt_addr_eq(&p.src, &s) && dt_addr_eq(&p.dst, &d));
    assert_int_equal(p.sport, 40000);
    assert_int_equal(p.len, 60);
    assert_int_equal(p.msg[18], 240);
    return true;
}

static struct dt_tap *tap(void)
{
    struct dt_err err = {0};
    struct dt_tap *t = dt_tap_open(500, &err);
    if (!t) {
        printf("# %s\n", err.text);
        skip();
    }
    return t;
}

static struct dt_prefix host_prefix(const char *text)
{
    struct dt_prefix p;
    assert_int_equal(dt_prefix_parse(&p, text, false), 0);
    return p;
}

static void watch_for(struct dt_tap *t, const struct dt_prefix *host, size_t n)
{
    struct dt_err err = {0};
    uint64_t want = dt_tap_want(t, host, n), is = 0;
    if (dt_tap_set(t, &err) || dt_tap_read(t, &is, &err))
        fail_msg("%s", err.text);
    assert_true(is == want);
}

static void probes_for_our_hosts_end_here(void **state)
{
    need();
    struct dt_prefix host[3] = {host_prefix("10.2.0.0/16"), host_prefix("fd02::/64"),
                                host_prefix("fd03::2:0/111")};
    uint64_t is;
    struct dt_tap *t = tap();
    int fd4 = listen500(4), fd6 = listen500(6);
    watch_for(t, host, 3);

    send_one("10.9.0.5", "10.2.0.7", 500, 240);
    assert_false(arrives(fd4));
    assert_true(seen(t, 4, "10.9.0.5", "10.2.0.7"));
    send_one("fd09::5", "fd02::7", 500, 240);
    assert_false(arrives(fd6));
    assert_true(seen(t, 6, "fd09::5", "fd02::7"));
    send_one("fd09::5", "fd03::3:7", 500, 240);
    assert_false(arrives(fd6));
    assert_true(seen(t, 6, "fd09::5", "fd03::3:7"));

    send_one("10.9.0.5", "10.3.0.7", 500, 240); /* not ours: goes on, and whose it is is for others to say */
    assert_true(arrives(fd4));
    assert_true(seen(t, 4, "10.9.0.5", "10.3.0.7"));
    send_one("fd09::5", "fd03::7", 500, 240);
    assert_true(arrives(fd6));
    assert_true(seen(t, 6, "fd09::5", "fd03::7"));
    send_one("10.9.0.5", "10.2.0.7", 500, 34); /* IKE */
    assert_true(arrives(fd4));
    send_one("10.9.0.5", "10.2.0.7", 500, 241);
    assert_true(arrives(fd4));
    assert_false(seen(t, 4, "10.9.0.5", "10.2.0.7"));
    assert_false(seen(t, 6, "fd09::5", "fd02::7"));

    /* Other hosts from now on. */
    host[0] = host_prefix("10.3.0.0/16");
    watch_for(t, host, 1);
    send_one("10.9.0.5", "10.2.0.7", 500, 240);
    assert_true(arrives(fd4));
    assert_true(seen(t, 4, "10.9.0.5", "10.2.0.7"));
    send_one("10.9.0.5", "10.3.0.7", 500, 240);
    assert_false(arrives(fd4));
    assert_true(seen(t, 4, "10.9.0.5", "10.3.0.7"));
    /* None: nothing is held back. */
    assert_int_equal(dt_tap_remove(t, NULL), 0);
    assert_int_equal(dt_tap_read(t, &is, NULL), 0);
    assert_true(is == 0);
    send_one("10.9.0.5", "10.3.0.7", 500, 240);
    assert_true(arrives(fd4));
    watch_for(t, host, 1);
    dt_tap_close(t);
    send_one("10.9.0.5", "10.3.0.7", 500, 240);
    assert_true(arrives(fd4));
    assert_int_not_equal(sh("nft list tables 2>/dev/null | grep -q dovetail"), 0);
    close(fd4);
    close(fd6);
}

/* The descriptors go to a process without rights: it cannot make them hear anything else of this host. */
static void nobody_hears_more_by_them(void **state)
{
    need();
    struct sock_filter all = {BPF_RET | BPF_K, 0, 0, 65535};
    struct sock_fprog prog = {1, &all};
    struct dt_prefix host = host_prefix("10.2.0.0/16");
    struct dt_tap *t = tap();
    int fd4 = listen500(4), off = 0;
    watch_for(t, &host, 1);
    for (uint8_t ver = 4; ver <= 6; ver += 2) {
        int fd = dt_tap_fd(t, ver);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog), -1);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof off), -1);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof off), -1);
    }
    char octet;
    send_one("10.9.0.5", "10.2.0.7", 500, 34);
    assert_true(arrives(fd4));
    assert_int_equal(recv(dt_tap_fd(t, 4), &octet, 1, 0), -1);
    close(fd4);
    dt_tap_close(t);
}

/* A table of that name that somebody else made, as a killed process on an older kernel leaves one, or who took ours away: it is told
 * from ours, and replaced. */
static void anybody_elses_table_is_told_and_replaced(void **state)
{
    need();
    struct dt_prefix host = host_prefix("10.2.0.0/16");
    uint64_t is, want;
    assert_int_equal(sh("nft add table inet dovetail_discovery"), 0);
    struct dt_tap *t = tap();
    want = dt_tap_want(t, &host, 1);
    assert_int_equal(dt_tap_read(t, &is, NULL), 0);
    assert_true(is != 0 && is != want);
    watch_for(t, &host, 1);
    /* What was not set is not called set, whatever stands there. */
    struct dt_prefix other = host_prefix("10.7.0.0/16");
    assert_true(dt_tap_want(t, &other, 1) != want);
    assert_int_equal(dt_tap_read(t, &is, NULL), 0);
    assert_true(is == want);
    sh("nft flush chain inet dovetail_discovery probes 2>/dev/null"); /* refused where the kernel knows owners */
    assert_int_equal(dt_tap_read(t, &is, NULL), 0);
    assert_true(is == want || sh("nft list chain inet dovetail_discovery probes | grep -q drop") != 0);
    watch_for(t, &host, 1);
    dt_tap_close(t);
}

static void a_flood_waits_in_a_bounded_buffer(void **state)
{
    need();
    struct dt_prefix host = host_prefix("10.2.0.0/16");
    struct dt_tap *t = tap();
    static uint8_t buf[2048];
    struct dt_tap_probe p;
    uint8_t msg[116] = {1, [17] = 0x10, [18] = 240};
    struct dt_addr s = a("10.9.0.5"), d = a("10.2.0.7");
    unsigned n = 0;
    int fd = dt_raw_udp_open(4, 7, NULL);
    watch_for(t, &host, 1);
    for (int i = 0; i < 20000; i++)
        dt_raw_udp_send(fd, &s, 40000, &d, 500, msg, sizeof msg, NULL);
    while (dt_tap_recv(t, 4, buf, sizeof buf, &p))
        n++;
    assert_in_range(n, 1, 5000);
    assert_in_range(dt_tap_lost(t), 20000 - n - 200, 20000 - n); /* a few the loopback itself may have lost */
    close(fd);
    dt_tap_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_for_our_hosts_end_here),
        cmocka_unit_test(nobody_hears_more_by_them),
        cmocka_unit_test(anybody_elses_table_is_told_and_replaced),
        cmocka_unit_test(a_flood_waits_in_a_bounded_buffer),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name(__FILE__, tests, begin, NULL);
}
