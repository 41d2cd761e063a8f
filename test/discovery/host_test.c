/* What discovery wants of a host, put into the kernel of a network namespace of the test's own: where packets go, with both barriers
 * and with one of them. Without the right to make a namespace, or without nftables, everything is skipped by name. */

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/test.h"

#include "base/bytes.h"
#include "discovery/discover.h"
#include "tunnels/daemon.h"
#include "wire/ip.h"

static bool ready;

static struct world {
    struct daemon d;
    struct discover x;
    struct dt_config_discover rule;
    struct dt_host_kernel kernel;
    struct dt_host *host;
    struct dt_tap *tap;
} w;

static int sh(const char *command)
{
    return system(command);
}

/* `in` is where our hosts are, and where the default route leads; `tn` is the device. */
static int begin(void **state)
{
    ready = unshare(CLONE_NEWNET) == 0 &&
            sh("ip link set lo up && ip link add in type veth peer name inp && "
               "ip link add tn type veth peer name tnp && ip addr add 10.1.0.1/16 dev in && "
               "ip addr add 192.0.2.1/24 dev tn && for i in in inp tn tnp; do ip link set $i up; done && "
               "ip link set tn arp off && ip link set in arp off && ip route add default via 10.1.0.9 && "
               "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0") == 0;
    if (!ready)
        printf("# no network namespace (root is needed)\n");
    return 0;
}

static int kernel_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    return dt_host_kernel_read(user, have, err);
}

static int kernel_change(void *user, bool set, const void *fact, struct dt_err *err)
{
    return dt_host_kernel_change(user, set, fact, err);
}

static const struct dt_host_ops kernel_ops = {.read = kernel_read, .change = kernel_change};

static void open_world(const char *const *proxy)
{
    static const struct dt_host_filter_cfg cfg = {
        .device = "tn", .mark = DT_DP_MARK, .ike_port = 500, .natt_port = 4500};
    struct dt_err err = {0};
    if (!ready)
        skip();
    memset(&w, 0, sizeof w);
    w.kernel = (struct dt_host_kernel){.nl = dt_nl_open(&err),
                                       .ifindex = if_nametoindex("tn"),
                                       .device = "tn",
                                       .table = DT_KEEPER_TABLE,
                                       .priority = DT_KEEPER_TABLE,
                                       .mark = DT_DP_MARK,
                                       .filter = dt_host_filter_open(&cfg, &err),
                                       .tap = w.tap = dt_tap_open(500, &err)};
    if (w.kernel.filter == NULL || w.tap == NULL) {
        printf("# %s\n", err.text);
        skip();
    }
    w.host = dt_host_new(&dt_host_sort, &kernel_ops, &w.kernel);
    w.x = (struct discover){.daemon = &w.d, .rule = &w.rule, .nrule = 1};
    w.d.discover = &w.x;
    for (size_t i = 0; proxy[i] != NULL; i++)
        assert_int_equal(dt_ted_proxy_parse(&w.rule.rule.proxy[w.rule.rule.count++], proxy[i], &err), 0);
}

static void close_world(void)
{
    dt_host_free(w.host);
    dt_host_filter_close(w.kernel.filter);
    dt_tap_close(w.tap);
    dt_nl_close(w.kernel.nl);
    dt_host_kernel_free(&w.kernel);
}

static void apply(void)
{
    struct dt_host_facts want = {.v = NULL};
    struct dt_host_result result;
    struct dt_host_fact device = {.kind = DT_HOST_LINK}; /* as tunnels/routes.c wants it */
    assert_int_equal(dt_host_facts_add(&want, &device), 0);
    assert_int_equal(discover_want(&w.d, &want), 0);
    assert_int_equal(dt_host_filter_want(w.kernel.filter, &want), 0);
    assert_int_equal(dt_host_probes_want(w.tap, &want), 0);
    if (dt_host_want(w.host, &want, &result) != 0)
        fail_msg("%s", result.why.text);
}

/* Everything that is not ours is as it was, and everything of ours is there once. */
static bool settled(void)
{
    struct dt_host_result r;
    return dt_host_reconcile(w.host, &r) == 0 && r.set + r.removed == 0 &&
           sh("test -z \"$(ip rule | sort | uniq -d)\"") == 0;
}

static unsigned mend(void)
{
    struct dt_host_result r;
    if (dt_host_reconcile(w.host, &r) != 0)
        fail_msg("%s", r.why.text);
    return r.set + r.removed;
}

static bool goes(const char *route, const char *where)
{
    char command[256];
    snprintf(command, sizeof command, "ip route get %s 2>/dev/null | grep -q 'dev %s'", route, where);
    return sh(command) == 0;
}

static void a_proxys_packets_go_into_the_device(void **state)
{
    open_world((const char *const[]){"10.1.0.0/16 10.0.0.0/8", "10.1.0.0/16 172.16.0.0/12 tcp any 80", NULL});
    apply();
    assert_true(settled());
    assert_true(goes("10.5.0.1 from 10.1.0.5 iif in", "tn"));
    assert_true(goes("10.5.0.1 from 10.1.0.1", "tn"));
    assert_true(goes("10.1.0.77 from 10.1.0.1", "in"));                /* our own side stays inside */
    assert_true(goes("10.5.0.1 from 10.1.0.1 mark 0x44560001", "in")); /* probes and outer packets */
    assert_true(goes("172.16.0.1 from 10.1.0.1", "in"));               /* another protocol */
    assert_true(goes("172.16.0.1 from 10.1.0.1 ipproto tcp dport 80", "tn"));
    assert_true(goes("172.16.0.1 from 10.1.0.1 ipproto tcp dport 443", "in"));
    assert_true(goes("172.16.0.1 from 10.1.0.5 iif in mark 0x44560003",
                     "tn")); /* a fragment: no rule sees its ports */
    assert_int_equal(sh("test $(ip rule | grep -c 1749[678]:) = $(ip rule | grep -c \"proto 174\")"), 0);
    w.rule.rule.count = 1;
    apply();
    assert_true(goes("172.16.0.1 from 10.1.0.1 ipproto tcp dport 80", "in"));
    assert_true(goes("10.5.0.1 from 10.1.0.1", "tn"));
    w.x.nrule = 0;
    apply();
    assert_true(goes("10.5.0.1 from 10.1.0.1", "in"));
    assert_int_equal(sh("test -z \"$(ip rule | grep 1749)$(ip route show table 17496)\" && ! nft list tables "
                        "| grep dovetail"),
                     0);
    close_world();
}

/* Whoever comes after a killed process finds what it left, and puts nothing there twice. */
static void what_a_killed_process_left_is_taken_over(void **state)
{
    static const char *const proxy[] = {"10.1.0.0/16 10.0.0.0/8", "10.1.0.0/16 172.16.0.0/12 udp any 4411",
                                        NULL};
    open_world(proxy);
    apply();
    close_world();
    assert_int_equal(sh("ip rule flush && ip rule add pref 32766 lookup main"), 0);
    open_world(proxy); /* and somebody had taken the rules away meanwhile */
    apply();
    assert_true(settled());
    close_world();
    open_world((const char *const[]){"10.1.0.0/16 10.5.0.0/16", NULL});
    apply();
    assert_true(settled());
    assert_true(goes("10.5.0.1 from 10.1.0.1", "tn") && goes("10.6.0.1 from 10.1.0.1", "in"));
    w.x.nrule = 0;
    apply();
    close_world();
    assert_int_equal(sh("test -z \"$(ip rule | grep 1749)$(ip route show table 17496)\""), 0);
}

/* ---- packets that are forwarded ---- */

static int packet_socket(const char *name)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    at.sll_ifindex = (int)if_nametoindex(name);
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    assert_true(fd >= 0 && at.sll_ifindex > 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

struct part {
    const char *src, *dst;
    const char *by; /* the interface that it comes in by; `in` where there is none */
    uint16_t where; /* what its header says of fragments */
    uint16_t dport;
};

/* True: it leaves by the interface `to`. */
static bool forwarded(const struct part *p, const char *to)
{
    static uint16_t id;
    char peer[IF_NAMESIZE];
    const char *by = p->by != NULL ? p->by : "in";
    struct dt_addr src, dst;
    uint8_t frame[128] = {[12] = 0x08, 0x00}, got[2048], *ip = frame + 14;
    struct ifreq mac = {.ifr_name = ""};
    assert_int_equal(dt_addr_parse(&src, p->src) | dt_addr_parse(&dst, p->dst), 0);
    snprintf(peer, sizeof peer, "%sp", by);
    int from = packet_socket(peer);
    snprintf(mac.ifr_name, sizeof mac.ifr_name, "%s", by);
    snprintf(peer, sizeof peer, "%sp", to);
    int out = packet_socket(peer);
    bool there = false;
    assert_int_equal(ioctl(from, SIOCGIFHWADDR, &mac), 0);
    memcpy(frame, mac.ifr_hwaddr.sa_data, 6);
    size_t head = dt_ip_put(ip, &src, &dst, DT_IPPROTO_UDP, 64, 0, 16);
    dt_put_be16(ip + 4, ++id);
    dt_put_be16(ip + 6, p->where);
    dt_ip4_checksum(ip);
    dt_put_be16(ip + head + 2, p->dport);
    assert_int_equal(send(from, frame, 14 + head + 16, 0), (ssize_t)(14 + head + 16));
    for (struct pollfd f = {.fd = out, .events = POLLIN}; !there && poll(&f, 1, 100) == 1;) {
        ssize_t n = recv(out, got, sizeof got, 0);
        /* The time to live tells what was forwarded from what came in. */
        there = n >= 34 && got[12] == 8 && got[13] == 0 && dt_get_be16(got + 18) == id && got[22] == 63;
    }
    close(from);
    close(out);
    return there;
}

static void fragments_of_a_proxy_with_ports_go_into_the_device(void **state)
{
    open_world((const char *const[]){"10.1.0.0/16 172.16.0.0/12 udp any 4411", NULL});
    struct part p = {.src = "10.1.0.5", .dst = "172.16.0.1", .dport = 4411};
    apply();
    assert_true(forwarded(&p, "tn")); /* whole */
    p.dport = 4412;
    assert_true(forwarded(&p, "in")); /* another port: its usual way */
    p.dport = 4411;
    p.where = 0x2000;
    assert_true(forwarded(&p, "tn")); /* the first part */
    p.dport = 0;
    p.where = 0x2002;
    assert_true(forwarded(&p, "tn")); /* a later one */
    p.where = 0x0004;
    assert_true(forwarded(&p, "tn")); /* the last one */
    w.x.nrule = 0;
    apply();
    assert_true(forwarded(&p, "in")); /* without the mark it passes the tunnel by */
    close_world();
}

/* One barrier is gone: the other holds what a proxy describes, and nothing else. */
static void one_barrier_holds(void **state)
{
    static const char *const sabotage[] = {
        "ip rule flush; ip rule add pref 32766 lookup main",
        "ip rule del pref 17497 from 10.1.0.0/16 to 10.0.0.0/8",
        "ip route flush table 17496",
        "ip route del default dev tn table 17496",
        "ip route del unreachable default metric 4294967295 table 17496",
        "ip route replace default dev in table 17496",
        "nft delete table inet dovetail",
        "nft flush chain inet dovetail pairs_out",
        "nft insert rule inet dovetail pairs_out accept",
        "ip link set tn down",
        "ip link set tn mtu 900",
    };
    open_world((const char *const[]){"10.1.0.0/16 10.0.0.0/8", "10.3.0.0/16 any udp any 4411", NULL});
    struct part all = {.src = "10.1.0.5", .dst = "10.5.0.1"},
                port = {.src = "10.3.0.5", .dst = "203.0.113.9", .dport = 4411},
                other = {.src = "10.3.0.5", .dst = "203.0.113.9", .dport = 53},
                own = {.src = "10.1.0.5", .dst = "10.3.0.9", .dport = 4411};
    struct dt_host_filter_counters c;
    apply();
    w.kernel.mtu = 1400;
    mend();
    assert_true(settled());
    for (size_t i = 0; i < DT_ARRAY_LEN(sabotage); i++) {
        assert_true(forwarded(&all, "tn") && forwarded(&port, "tn"));
        if (sh(sabotage[i]) != 0)
            fail_msg("%s", sabotage[i]);
        if (forwarded(&all, "in") || forwarded(&port, "in"))
            fail_msg("%s: a packet that a proxy describes left in the clear", sabotage[i]);
        if (!forwarded(&other, "in") || !forwarded(&own, "in"))
            fail_msg("%s: what no proxy describes did not go its usual way", sabotage[i]);
        if (i == 0) /* no rule: only the filter is left */
            assert_true(dt_host_filter_counters(w.kernel.filter, &c) == 0 && c.out == 2);
        if (mend() == 0)
            fail_msg("%s: nobody noticed", sabotage[i]);
        assert_true(settled());
    }
    /* What comes from the others in the clear does not come in, whoever is away. */
    struct part back = {.src = "10.5.0.1", .dst = "10.1.0.5", .by = "in"},
                inside = {.src = "10.3.0.1", .dst = "10.1.0.5", .by = "in"};
    assert_false(forwarded(&back, "in"));
    assert_true(forwarded(&inside, "in"));
    assert_true(dt_host_filter_counters(w.kernel.filter, &c) == 0 && c.in == 1);
    w.x.nrule = 0;
    apply();
    assert_true(forwarded(&back, "in"));
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxys_packets_go_into_the_device),
        cmocka_unit_test(what_a_killed_process_left_is_taken_over),
        cmocka_unit_test(fragments_of_a_proxy_with_ports_go_into_the_device),
        cmocka_unit_test(one_barrier_holds),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name(__FILE__, tests, begin, NULL);
}
