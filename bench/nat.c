/* bench nat: what the kernel program costs a packet, and what a router forwards with it.
 *
 * Nanoseconds: BPF_PROG_TEST_RUN of the very function that TC runs, minus a program that does no more than make the
 * packet anew for each round; ten, ten thousand and a million established ESP items; one item again and again (hot),
 * or any (random). Packets a second: frames fed into the inside interface of a router namespace by the kernel itself
 * (BPF_F_TEST_XDP_LIVE_FRAMES), so that no sender's system calls are measured; ESP by dovetail-natd's programs against
 * UDP by nftables masquerade, in turns. Each line is one JSON object; medians of several rounds. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/bytes.h"
#include "masq/tables.h"
#include "natd/kernel.h"
#include "natd/slots.h"
#include "median.h"

#define CLIENTS 1000
#define CLIENT  0x0a000001u /* 10.0.0.1 and up */
#define SERVER  0xc0000201u
#define OWN     0xcb007105u
#define SPI     0x10000u
#define ROUNDS  9

static int sh(const char *cmd)
{
    return system(cmd);
}

static void die(const char *what)
{
    fprintf(stderr, "bench nat: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void mac_of(const char *ifname, uint8_t mac[6])
{
    char path[128];
    unsigned b[6] = {0};
    snprintf(path, sizeof(path), "ip -o link show %s | sed 's/.*ether //'", ifname);
    FILE *f = popen(path, "r");
    if (!f || fscanf(f, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
        die("no address of the interface");
    pclose(f);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
}

struct bench {
    struct dt_kernel *k;
    unsigned inside, outside;
    uint8_t in_mac[6], out_mac[6];
    uint32_t items, elsewhere; /* of these, so many in the hash map: there was no room in their bucket */
};

/* ---- the router ------------------------------------------------------------------------------ */

static void router(struct bench *b)
{
    if (unshare(CLONE_NEWNET))
        die("no network namespace");
    if (sh("ip link set lo up; ip link add bin type veth peer name bin2; ip link add bout type veth peer "
           "name bout2;"
           "for i in bin bin2 bout bout2; do ip link set $i up; done;"
           "ip addr add 10.0.255.254/16 dev bin; ip addr add 203.0.113.5/24 dev bout;"
           "ip route add default via 203.0.113.1; sysctl -qw net.ipv4.ip_forward=1;"
           "ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 dev bout nud permanent;"
           "sysctl -qw net.ipv4.neigh.default.gc_thresh1=8192 net.ipv4.neigh.default.gc_thresh2=8192 "
           "net.ipv4.neigh.default.gc_thresh3=16384 2>/dev/null;"
           "for h in 0 1 2 3; do for l in $(seq 0 255); do "
           "echo neigh replace 10.0.$h.$l lladdr 02:00:00:00:01:02 dev bin nud permanent; done; done | "
           "ip -force -batch - 2>/dev/null; true"))
        die("the router namespace");
    b->inside = if_nametoindex("bin");
    b->outside = if_nametoindex("bout");
    mac_of("bin", b->in_mac);
    mac_of("bout", b->out_mac);
}

/* As the program would put it, which does not run now. */
static void put(struct bench *b, const struct mq_esp *v, const struct mq_esp_in *vi)
{
    const struct dt_slots *s = dt_kernel_slots(b->k);
    uint32_t home = mq_slot_home(s->seed, s->buckets, v->client, v->server, v->spi_out), i = 0;
    uint32_t base = home - home % MQ_BUCKET;
    while (i < MQ_BUCKET && s->esp[base + mq_slot_next(home, i)].spi_out)
        i++;
    if (i < MQ_BUCKET) {
        s->esp[base + mq_slot_next(home, i)] = *v;
    } else {
        struct mq_esp_key k = {v->client, v->server, v->spi_out};
        b->elsewhere++;
        if (bpf_map_update_elem(dt_kernel_table_fd(b->k, MQ_T_esp), &k, v, BPF_ANY))
            die("an item");
    }
    home = mq_slot_home(s->seed, s->buckets, 0, vi->server, vi->spi_in);
    base = home - home % MQ_BUCKET;
    for (i = 0; i < MQ_BUCKET && s->esp_in[base + mq_slot_next(home, i)].spi_in;)
        i++;
    if (i < MQ_BUCKET) {
        s->esp_in[base + mq_slot_next(home, i)] = *vi;
    } else {
        struct mq_esp_in_key k = {vi->server, vi->spi_in};
        if (bpf_map_update_elem(dt_kernel_table_fd(b->k, MQ_T_esp_in), &k, vi, BPF_ANY))
            die("an item");
    }
}

static void fill(struct bench *b, uint32_t items)
{
    dt_time now = dt_kernel_now();
    uint32_t gen = dt_kernel_params(b->k)->gen;
    for (uint32_t i = b->items; i < items; i++) {
        uint32_t spi = nat_bench_spi(SPI + i);
        struct mq_esp v = {.last = now,
                           .client = CLIENT + i % CLIENTS,
                           .server = SERVER,
                           .spi_out = spi,
                           .spi_in = spi,
                           .nat = gen << 3};
        struct mq_esp_in vi = {
            .last = now, .server = SERVER, .spi_in = spi, .client = v.client, .spi_out = spi};
        put(b, &v, &vi);
    }
    b->items = items;
}

static void open_kernel(struct bench *b)
{
    struct dt_masq_config c = dt_masq_defaults();
    struct dt_err err;
    c.sizes.esp = 1000000;
    struct dt_kernel_opts o = {.sizes = c.sizes, .bench = true};
    b->k = dt_kernel_open(&o, &err);
    if (!b->k) {
        fprintf(stderr, "bench nat: %s\n", err.text);
        exit(1);
    }
    c.params.t_ei = 3600 * DT_SEC;
    c.params.n_outside = 1;
    c.params.outside[0] = OWN;
    c.params.n_nets = 1;
    c.params.nets[0] = (struct dt_masq_net){0x0a000000u, 0xffff0000u};
    dt_kernel_configure(b->k, &c.params);
    dt_kernel_setup(b->k)->outside = b->outside;
}

/* ---- nanoseconds ----------------------------------------------------------------------------- */

static void header(uint8_t *p, const uint8_t mac[6], uint8_t proto, uint32_t src, uint32_t dst, size_t len)
{
    static const uint8_t from[6] = {2, 0, 0, 0, 1, 2};
    memcpy(p, mac, 6);
    memcpy(p + 6, from, 6);
    dt_put_be16(p + 12, 0x0800);
    uint8_t *ip = p + 14;
    memset(ip, 0, 20);
    ip[0] = 0x45;
    dt_put_be16(ip + 2, (uint16_t)(len - 14));
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = proto;
    dt_put_be32(ip + 12, src);
    dt_put_be32(ip + 16, dst);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += dt_get_be16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    dt_put_be16(ip + 10, (uint16_t) ~(sum + (sum >> 16)));
}

static double run_once(struct bench *b, enum dt_kernel_prog prog, unsigned ifindex, uint8_t *pkt, size_t len,
                       int repeat, unsigned *ret)
{
    struct __sk_buff ctx = {.ifindex = ifindex};
    LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = pkt, .data_size_in = (__u32)len, .ctx_in = &ctx,
                .ctx_size_in = sizeof(ctx), .repeat = repeat);
    if (bpf_prog_test_run_opts(dt_kernel_prog_fd(b->k, prog), &o))
        die("BPF_PROG_TEST_RUN");
    *ret = o.retval;
    return o.duration;
}

static double over_empty(struct bench *b, enum dt_kernel_prog prog, unsigned ifindex, uint8_t *pkt,
                         size_t len, unsigned want)
{
    unsigned ret;
    double with[ROUNDS], without[ROUNDS];
    run_once(b, prog, ifindex, pkt, len, 20000, &ret); /* warm */
    for (int i = 0; i < ROUNDS; i++) {
        without[i] = run_once(b, DT_KERNEL_BENCH_EMPTY, ifindex, pkt, len, 200000, &ret);
        with[i] = run_once(b, prog, ifindex, pkt, len, 200000, &ret);
        if (ret != want) {
            fprintf(stderr, "bench nat: the program said %u, not %u\n", ret, want);
            exit(1);
        }
    }
    return median(with, ROUNDS) - median(without, ROUNDS);
}

enum cost_of { HOT, RANDOM, SLOT };

static double cost(struct bench *b, bool inwards, enum cost_of of)
{
    struct nat_bench *n = dt_kernel_bench(b->k);
    *n = (struct nat_bench){.items = b->items,
                            .clients = CLIENTS,
                            .hot = 3,
                            .random = of != HOT,
                            .state = 2463534242u,
                            .client = CLIENT,
                            .server = SERVER,
                            .own = OWN,
                            .spi = SPI,
                            .inwards = inwards};
    uint8_t pkt[128] = {0};
    header(pkt, inwards ? b->out_mac : b->in_mac, 50, CLIENT, SERVER, sizeof(pkt));
    unsigned ifindex = inwards ? b->outside : b->inside;
    if (of == SLOT)
        return over_empty(b, DT_KERNEL_BENCH_SLOT, ifindex, pkt, sizeof(pkt), 0);
    return over_empty(b, inwards ? DT_KERNEL_BENCH_OUTSIDE : DT_KERNEL_BENCH_INSIDE, ifindex, pkt,
                      sizeof(pkt), 7 /* redirect */);
}

static void nanoseconds(struct bench *b)
{
    static const uint32_t sizes[] = {10, 10000, 1000000};
    double base[2] = {0};
    for (size_t s = 0; s < DT_ARRAY_LEN(sizes); s++) {
        fill(b, sizes[s]);
        for (int in = 0; in < 2; in++)
            for (int random = 0; random < 2; random++) {
                double ns = cost(b, in, random);
                if (!s && !random)
                    base[in] = ns;
                printf(
                    "{\"bench\":\"nat\",\"case\":\"%s, %s item of %u\",\"value\":%.0f,\"unit\":\"ns/packet\","
                    "\"items\":%u,\"times_hot_of_10\":%.2f}\n",
                    in ? "inwards" : "outwards", random ? "random" : "hot", sizes[s], ns, sizes[s],
                    ns / base[in]);
                fflush(stdout);
            }
        printf(
            "{\"bench\":\"nat\",\"case\":\"of which the look at one slot, random item of %u\",\"value\":%.0f,"
            "\"unit\":\"ns/packet\",\"items\":%u}\n",
            sizes[s], cost(b, false, SLOT), sizes[s]);
        fflush(stdout);
    }
}

/* ---- packets a second ------------------------------------------------------------------------ */

static void attach(unsigned ifindex, int prog)
{
    LIBBPF_OPTS(bpf_tc_hook, h, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    LIBBPF_OPTS(bpf_tc_opts, o, .handle = 1, .priority = 1, .prog_fd = prog, .flags = BPF_TC_F_REPLACE);
    bpf_tc_hook_create(&h);
    if (bpf_tc_attach(&h, &o))
        die("the sink");
}

/* Feeds n frames and waits until they have come through; packets a second, or 0 when too few did. */
static double feed(struct bench *b, uint8_t proto, size_t len, unsigned n)
{
    struct nat_bench *nb = dt_kernel_bench(b->k);
    uint8_t pkt[1514] = {0};
    header(pkt, b->in_mac, proto, CLIENT, SERVER, len);
    if (proto == 50) {
        dt_put_be32(pkt + 34, nat_bench_spi(SPI));
    } else {
        dt_put_be16(pkt + 34, 4501);
        dt_put_be16(pkt + 36, 4501);
        dt_put_be16(pkt + 38, (uint16_t)(len - 34));
    }
    memcpy(nb->head, pkt, 42);
    struct xdp_md ctx = {.data_end = (__u32)len, .ingress_ifindex = b->inside};
    LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = pkt, .data_size_in = (__u32)len, .ctx_in = &ctx,
                .ctx_size_in = sizeof(ctx), .repeat = (int)n, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                .batch_size = 64);
    volatile uint64_t *sunk = dt_kernel_bench_sunk(b->k);
    uint64_t before = *sunk;
    dt_time start = dt_kernel_now();
    if (bpf_prog_test_run_opts(dt_kernel_prog_fd(b->k, DT_KERNEL_BENCH_SOURCE), &o))
        die("live frames (Linux 5.18)");
    while (*sunk - before < n && dt_kernel_now() - start < 20 * DT_SEC)
        if (dt_kernel_now() - start > 10 * DT_SEC)
            break;
    double t = dt_time_seconds(dt_kernel_now() - start);
    uint64_t got = *sunk - before;
    if (got < n * 99ull / 100)
        fprintf(stderr, "bench nat: %llu of %u packets came through\n", (unsigned long long)got, n);
    return (double)got / t;
}

static void packets(struct bench *b)
{
    static const size_t sizes[] = {128, 1400};
    struct dt_err err;
    attach(if_nametoindex("bout2"), dt_kernel_prog_fd(b->k, DT_KERNEL_BENCH_SINK));
    if (sh("printf 'table ip m { chain post { type nat hook postrouting priority srcnat; oifname \"bout\" "
           "masquerade; }; }'"
           " | nft -f -"))
        die("nftables masquerade");
    if (dt_kernel_attach(b->k, b->inside, b->outside, &err)) {
        fprintf(stderr, "bench nat: %s\n", err.text);
        exit(1);
    }
    for (size_t s = 0; s < DT_ARRAY_LEN(sizes); s++) {
        double ours[ROUNDS], theirs[ROUNDS];
        feed(b, 50, sizes[s], 20000);
        feed(b, 17, sizes[s], 20000);
        for (int i = 0; i < ROUNDS; i++) {
            ours[i] = feed(b, 50, sizes[s], 300000);
            theirs[i] = feed(b, 17, sizes[s], 300000);
        }
        double a = median(ours, ROUNDS), m = median(theirs, ROUNDS);
        printf(
            "{\"bench\":\"nat\",\"case\":\"router, %zu bytes: ESP by natd, UDP by nftables "
            "masquerade\",\"value\":%.0f,"
            "\"unit\":\"packets/s\",\"peer\":\"nftables masquerade\",\"peer_value\":%.0f,\"ratio\":%.2f}\n",
            sizes[s], a, m, a / m);
        fflush(stdout);
    }
    dt_kernel_detach(b->inside, b->outside);
}

int main(void)
{
    static struct bench b;
    if (geteuid()) {
        fputs("bench nat: needs root\n", stderr);
        return 1;
    }
    router(&b);
    open_kernel(&b);
    fill(&b, 10);
    packets(&b);
    nanoseconds(&b);
    dt_kernel_close(b.k);
    return 0;
}
