/* Probes that pass through, probes that leave and packets that are steered, in a network namespace of the test's own.
 * Without the right to make one, or without nftables, everything is skipped by name. */
#include "support/test.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/discovery.h"
#include "wire/ip.h"

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
               "ip -6 addr add fd02::7/64 dev lo nodad && ip -6 addr add fd03::7/64 dev lo nodad") == 0;
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

static void probes_for_our_hosts_end_here(void **state)
{
    need();
    struct dt_tap_half half[2] = {{a("10.2.0.0"), a("255.255.0.255")},
                                  {a("fd02::"), a("ffff:ffff:ffff:ffff::")}};
    half[0].addr = a("10.2.0.7"); /* a mask with a hole: any third octet */
    half[0].mask = a("255.255.0.255");
    struct dt_err err = {0};
    struct dt_tap *t = tap();
    int fd4 = listen500(4), fd6 = listen500(6);
    if (dt_tap_set(t, half, 2, NULL, 0, &err))
        fail_msg("%s", err.text);

    send_one("10.9.0.5", "10.2.0.7", 500, 240);
    assert_false(arrives(fd4));
    assert_true(seen(t, 4, "10.9.0.5", "10.2.0.7"));
    send_one("fd09::5", "fd02::7", 500, 240);
    assert_false(arrives(fd6));
    assert_true(seen(t, 6, "fd09::5", "fd02::7"));

    send_one("10.9.0.5", "10.3.0.7", 500, 240); /* not ours */
    assert_true(arrives(fd4));
    send_one("fd09::5", "fd03::7", 500, 240);
    assert_true(arrives(fd6));
    send_one("10.9.0.5", "10.2.0.7", 500, 34); /* IKE */
    assert_true(arrives(fd4));
    send_one("10.9.0.5", "10.2.0.7", 500, 241);
    assert_true(arrives(fd4));
    assert_false(seen(t, 4, "10.9.0.5", "10.2.0.7"));
    assert_false(seen(t, 6, "fd09::5", "fd02::7"));

    /* Other hosts from now on. */
    half[0] = (struct dt_tap_half){a("10.3.0.0"), a("255.255.0.0")};
    assert_int_equal(dt_tap_set(t, half, 1, NULL, 0, &err), 0);
    send_one("10.9.0.5", "10.2.0.7", 500, 240);
    assert_true(arrives(fd4));
    send_one("10.9.0.5", "10.3.0.7", 500, 240);
    assert_false(arrives(fd4));
    assert_true(seen(t, 4, "10.9.0.5", "10.3.0.7"));
    dt_tap_close(t);
    send_one("10.9.0.5", "10.3.0.7", 500, 240);
    assert_true(arrives(fd4));
    assert_int_not_equal(sh("nft list tables 2>/dev/null | grep -q dovetail"), 0);
    close(fd4);
    close(fd6);
}

static void a_flood_waits_in_a_bounded_buffer(void **state)
{
    need();
    struct dt_tap_half half = {a("10.2.0.0"), a("255.255.0.0")};
    struct dt_tap *t = tap();
    static uint8_t buf[2048];
    struct dt_tap_probe p;
    uint8_t msg[116] = {1, [17] = 0x10, [18] = 240};
    struct dt_addr s = a("10.9.0.5"), d = a("10.2.0.7");
    unsigned n = 0;
    int fd = dt_raw_udp_open(4, 7, NULL);
    assert_int_equal(dt_tap_set(t, &half, 1, NULL, 0, NULL), 0);
    for (int i = 0; i < 20000; i++)
        dt_raw_udp_send(fd, &s, 40000, &d, 500, msg, sizeof msg, NULL);
    while (dt_tap_recv(t, 4, buf, sizeof buf, &p))
        n++;
    assert_in_range(n, 1, 5000);
    assert_in_range(dt_tap_lost(t), 20000 - n - 200, 20000 - n); /* a few the loopback itself may have lost */
    close(fd);
    dt_tap_close(t);
}

static bool goes(const char *route, const char *where)
{
    char command[256];
    snprintf(command, sizeof command, "ip route get %s 2>/dev/null | grep -q 'dev %s'", route, where);
    return sh(command) == 0;
}

static struct dt_steer_rule steer_rule(const char *src, const char *dst, uint8_t proto, uint16_t dport)
{
    struct dt_steer_rule r = {.proto = proto, .dport = dport};
    assert_int_equal(dt_prefix_parse(&r.src, src, false), 0);
    assert_int_equal(dt_prefix_parse(&r.dst, dst, false), 0);
    return r;
}

static void a_proxys_packets_go_into_the_device(void **state)
{
    need();
    struct dt_err err = {0};
    if (sh("ip link add in type veth peer name inp && ip link add tn type veth peer name tnp && ip addr add "
           "10.1.0.1/16 dev in && "
           "ip addr add 192.0.2.1/24 dev tn && for i in in inp tn tnp; do ip link set $i up; done && "
           "ip route add default via 10.1.0.9 && sysctl -qw net.ipv4.ip_forward=1") != 0)
        skip();
    unsigned index = if_nametoindex("tn");
    struct dt_steer *s = dt_steer_open(index, 0x44560001, 17495, 17495, &err);
    assert_non_null(s);
    struct dt_steer_rule rule[2] = {steer_rule("10.1.0.0/16", "10.0.0.0/8", 0, 0),
                                    steer_rule("10.1.0.0/16", "172.16.0.0/12", 6, 80)};
    if (dt_steer_set(s, rule, 2, &err))
        fail_msg("%s", err.text);
    assert_true(goes("10.5.0.1 from 10.1.0.5 iif in", "tn"));
    assert_true(goes("10.5.0.1 from 10.1.0.1", "tn"));
    assert_true(goes("10.1.0.77 from 10.1.0.1", "in"));                /* our own side stays inside */
    assert_true(goes("10.5.0.1 from 10.1.0.1 mark 0x44560001", "in")); /* probes and outer packets */
    assert_true(goes("172.16.0.1 from 10.1.0.1", "in"));               /* another protocol */
    assert_true(goes("172.16.0.1 from 10.1.0.1 ipproto tcp dport 80", "tn"));
    assert_true(goes("172.16.0.1 from 10.1.0.1 ipproto tcp dport 443", "in"));
    assert_int_equal(dt_steer_set(s, rule, 1, &err), 0);
    assert_true(goes("172.16.0.1 from 10.1.0.1 ipproto tcp dport 80", "in"));
    assert_true(goes("10.5.0.1 from 10.1.0.1", "tn"));
    assert_true(goes("172.16.0.1 from 10.1.0.5 iif in mark 0x44560003",
                     "tn")); /* a fragment: no rule sees its ports */
    assert_int_equal(sh("test $(ip rule | grep -c 1749[567]:) = 5"), 0);
    dt_steer_close(s);
    assert_int_equal(sh("test $(ip rule | grep -c 1749[567]:) = 0"), 0);
    assert_true(goes("10.5.0.1 from 10.1.0.1", "in"));
    /* What a killed process left is gone at the next start. */
    s = dt_steer_open(index, 0x44560001, 17495, 17495, &err);
    assert_int_equal(dt_steer_set(s, rule, 2, &err), 0);
    struct dt_steer *next = dt_steer_open(index, 0x44560001, 17495, 17495, &err);
    assert_int_equal(sh("test $(ip rule | grep -c 1749[567]:) = 0"), 0);
    dt_steer_close(next);
    dt_steer_close(s);
}

/* ---- fragments that are forwarded ---- */

static int packet_socket(const char *name)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    at.sll_ifindex = (int)if_nametoindex(name);
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    assert_true(fd >= 0 && at.sll_ifindex > 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* A part of a UDP datagram from 10.1.0.5 to 172.16.0.1 as it comes in at the interface `in`; `where` is what its header
 * says of fragments. True: it leaves through the device of the rules. */
static bool forwarded_into_device(int from, int to, uint16_t where, uint16_t dport, uint16_t id)
{
    struct dt_addr src = a("10.1.0.5"), dst = a("172.16.0.1");
    uint8_t frame[128] = {[12] = 0x08, 0x00}, got[2048], *ip = frame + 14;
    struct ifreq in = {.ifr_name = "in"};
    assert_int_equal(ioctl(from, SIOCGIFHWADDR, &in), 0);
    memcpy(frame, in.ifr_hwaddr.sa_data, 6);
    size_t head = dt_ip_put(ip, &src, &dst, DT_IPPROTO_UDP, 64, 0, 16);
    dt_put_be16(ip + 4, id);
    dt_put_be16(ip + 6, where);
    dt_ip4_checksum(ip);
    dt_put_be16(ip + head + 2, dport);
    assert_int_equal(send(from, frame, 14 + head + 16, 0), (ssize_t)(14 + head + 16));
    for (struct pollfd p = {.fd = to, .events = POLLIN}; poll(&p, 1, 200) == 1;) {
        ssize_t n = recv(to, got, sizeof got, 0);
        if (n >= 34 && got[12] == 8 && got[13] == 0 && dt_get_be16(got + 18) == id)
            return true;
    }
    return false;
}

static void fragments_of_a_proxy_with_ports_go_into_the_device(void **state)
{
    need();
    struct dt_err err = {0};
    if (sh("ip link show in >/dev/null 2>&1 && ip link set tn arp off") != 0)
        skip();
    struct dt_tap *t = tap();
    struct dt_steer *s = dt_steer_open(if_nametoindex("tn"), 0x44560001, 17495, 17495, &err);
    struct dt_steer_rule rule = steer_rule("10.1.0.0/16", "172.16.0.0/12", DT_IPPROTO_UDP, 4411);
    struct dt_tap_half half = {a("10.1.0.0"), a("255.255.0.0")};
    assert_non_null(s);
    assert_int_equal(dt_steer_set(s, &rule, 1, &err), 0);
    assert_int_equal(dt_tap_set(t, &half, 1, &rule, 1, &err), 0);
    int from = packet_socket("inp"), to = packet_socket("tnp");
    assert_true(forwarded_into_device(from, to, 0, 4411, 1));      /* whole */
    assert_false(forwarded_into_device(from, to, 0, 4412, 2));     /* another port: its usual way */
    assert_true(forwarded_into_device(from, to, 0x2000, 4411, 3)); /* the first part */
    assert_true(forwarded_into_device(from, to, 0x2002, 0, 3));    /* a later one */
    assert_true(forwarded_into_device(from, to, 0x0004, 0, 3));    /* the last one */
    assert_int_equal(dt_tap_set(t, &half, 1, NULL, 0, &err), 0);
    assert_false(
        forwarded_into_device(from, to, 0x2002, 0, 4)); /* without the mark it would pass the tunnel by */
    close(from);
    close(to);
    dt_steer_close(s);
    dt_tap_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_for_our_hosts_end_here),
        cmocka_unit_test(a_flood_waits_in_a_bounded_buffer),
        cmocka_unit_test(a_proxys_packets_go_into_the_device),
        cmocka_unit_test(fragments_of_a_proxy_with_ports_go_into_the_device),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name(__FILE__, tests, begin, NULL);
}
