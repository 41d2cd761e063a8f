/* Probes on their way through this host, seen by packet sockets with a filter of classic BPF. */
#include "net/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "wire/ip.h"
#include "wire/udp.h"

#define PROGRAM_MAX 4096
#define BUFFER      (256 * 1024) /* what waits; the kernel drops the rest, and counts it */

#define CHANGED 1 /* of dt_tap_read: a table that we did not set like this */

struct dt_tap {
    int fd4, fd6;
    uint16_t port;
    uint64_t lost;
    struct tap_nft *nft;
    size_t nhost;
    struct dt_prefix host[DT_TAP_PREFIXES];
    uint64_t want;    /* digest of what is to be there */
    uint64_t stands;  /* of what was set last; 0: nothing */
    uint64_t as_told; /* what the kernel said of that */
};

struct program {
    unsigned n;
    struct sock_filter op[PROGRAM_MAX];
};

static void op(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->n < PROGRAM_MAX)
        p->op[p->n++] = (struct sock_filter){code, jt, jf, k};
}

/* Goes on when the accumulator is k, else ends with "not ours". */
static void must_be(struct program *p, uint32_t k)
{
    op(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, k);
    op(p, BPF_RET | BPF_K, 0, 0, 0);
}

static void take(struct program *p)
{
    op(p, BPF_RET | BPF_K, 0, 0, 65535);
}

static uint32_t mask_of(unsigned bits)
{
    return bits >= 32 ? UINT32_MAX : bits ? UINT32_MAX << (32 - bits) : 0;
}

/* Ends with "ours" when the destination at offset `at` lies in the prefix. */
static void prefix_is_ours(struct program *p, const struct dt_prefix *host, unsigned at)
{
    unsigned words = (host->len + 31u) / 32;
    for (unsigned i = 0; i < words; i++) {
        uint32_t mask = mask_of(host->len - 32u * i);
        op(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, at + 4 * i);
        op(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
        /* Past the words that follow (three instructions each) and the end. */
        op(p, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(3 * (words - i - 1) + 1),
           dt_get_be32(host->addr.b + 4 * i) & mask);
    }
    take(p);
}

/* Offsets count from the IP header: the sockets are cooked (SOCK_DGRAM). */
static void build(struct program *p, uint8_t ver, const struct dt_tap *t)
{
    p->n = 0;
    op(p, BPF_LD | BPF_B | BPF_ABS, 0, 0, ver == 4 ? 9 : 6);
    must_be(p, DT_IPPROTO_UDP);
    if (ver == 4) {
        op(p, BPF_LD | BPF_H | BPF_ABS, 0, 0, 6);
        op(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x3fff); /* more fragments, and the offset */
        must_be(p, 0);
        op(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0);
    } else {
        op(p, BPF_LDX | BPF_IMM, 0, 0, DT_IP6_HDR_LEN);
    }
    op(p, BPF_LD | BPF_H | BPF_IND, 0, 0, 2);
    must_be(p, t->port);
    op(p, BPF_LD | BPF_B | BPF_IND, 0, 0, DT_UDP_HDR_LEN + TAP_EXCHANGE_AT);
    must_be(p, TAP_EXCHANGE);
    for (size_t i = 0; i < t->nhost; i++)
        if (t->host[i].addr.ver == ver)
            prefix_is_ours(p, &t->host[i], ver == 4 ? 16 : 24);
    op(p, BPF_RET | BPF_K, 0, 0, 0);
}

static int attach(int fd, const struct program *p)
{
    struct sock_fprog prog = {.len = (unsigned short)p->n, .filter = (struct sock_filter *)p->op};
    return fd < 0 ? 0 : setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
}

/* Deaf until the filter is there: bound to no protocol at first. */
static int open_one(uint16_t ethertype, struct dt_err *err)
{
    int buffer = BUFFER, fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sock_filter deaf = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog prog = {1, &deaf};
    struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ethertype)};
    if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) &&
        !setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) &&
        !bind(fd, (struct sockaddr *)&sa, sizeof sa))
        return fd;
    dt_err_set(err, 0, "no packet socket for probes that pass through: %s (CAP_NET_RAW is needed)",
               strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

struct dt_tap *dt_tap_open(uint16_t port, struct dt_err *err)
{
    struct dt_tap *t = calloc(1, sizeof *t);
    if (!t) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    t->port = port;
    t->fd6 = -1;
    t->fd4 = open_one(ETH_P_IP, err);
    if (t->fd4 >= 0)
        t->fd6 = open_one(ETH_P_IPV6, err);
    if (t->fd6 >= 0)
        t->nft = tap_nft_open(err);
    if (t->nft)
        return t;
    dt_tap_close(t);
    return NULL;
}

struct dt_tap *dt_tap_of(int fd4, int fd6)
{
    struct dt_tap *t = calloc(1, sizeof *t);
    if (t)
        *t = (struct dt_tap){.fd4 = fd4, .fd6 = fd6};
    return t;
}

void dt_tap_close(struct dt_tap *t)
{
    if (!t)
        return;
    if (t->fd4 >= 0)
        close(t->fd4);
    if (t->fd6 >= 0)
        close(t->fd6);
    tap_nft_close(t->nft);
    free(t);
}

uint64_t dt_tap_want(struct dt_tap *t, const struct dt_prefix *host, size_t n)
{
    struct dt_digest d;
    t->nhost = n < DT_TAP_PREFIXES ? n : DT_TAP_PREFIXES;
    dt_digest_init(&d);
    for (size_t i = 0; i < t->nhost; i++) {
        t->host[i] = host[i];
        dt_digest_u64(&d, host[i].len);
        dt_digest_bytes(&d, host[i].addr.b, dt_addr_size(&host[i].addr));
    }
    t->want = dt_digest_value(&d) | 2; /* neither "none" nor CHANGED */
    return t->want;
}

int dt_tap_read(struct dt_tap *t, uint64_t *value, struct dt_err *err)
{
    uint64_t digest;
    if (tap_nft_read(t->nft, &digest, err) < 0)
        return -1;
    *value = !digest ? 0 : digest == t->as_told ? t->stands : CHANGED;
    return 0;
}

static int watch(const struct dt_tap *t, struct dt_err *err)
{
    struct program *p = malloc(sizeof *p);
    if (!p)
        return dt_err_set(err, 0, "out of memory");
    build(p, 4, t);
    int rc = attach(t->fd4, p);
    build(p, 6, t);
    rc |= attach(t->fd6, p);
    free(p);
    return rc ? dt_err_set(err, 0, "the filter for probes is not taken: %s", strerror(errno)) : 0;
}

int dt_tap_set(struct dt_tap *t, struct dt_err *err)
{
    t->stands = t->as_told = 0;
    if (watch(t, err) < 0 || tap_nft_set(t->nft, t->port, t->host, t->nhost, err) < 0 ||
        tap_nft_read(t->nft, &t->as_told, err) < 0)
        return -1;
    t->stands = t->want;
    return 0;
}

int dt_tap_remove(struct dt_tap *t, struct dt_err *err)
{
    t->stands = t->as_told = 0;
    t->nhost = 0;
    return watch(t, err) < 0 || tap_nft_remove(t->nft, err) < 0 ? -1 : 0;
}

int dt_tap_fd(const struct dt_tap *t, uint8_t ver)
{
    return ver == 4 ? t->fd4 : t->fd6;
}

bool dt_tap_recv(struct dt_tap *t, uint8_t ver, uint8_t *buf, size_t cap, struct dt_tap_probe *out)
{
    for (int i = 0; i < 16; i++) {
        struct sockaddr_ll from = {0};
        socklen_t flen = sizeof from;
        struct dt_ip ip;
        struct dt_udp udp;
        ssize_t n = recvfrom(dt_tap_fd(t, ver), buf, cap, 0, (struct sockaddr *)&from, &flen);
        if (n < 0)
            return false;
        /* Not what was meant for another host on the same wire, and not what we send. */
        if (from.sll_pkttype != PACKET_HOST || !dt_ip_parse(&ip, buf, (size_t)n, true) || ip.ver != ver ||
            ip.fragment || ip.proto != DT_IPPROTO_UDP || !dt_udp_parse(&udp, buf + ip.l4, ip.total - ip.l4))
            continue;
        *out = (struct dt_tap_probe){.src = ip.src,
                                     .dst = ip.dst,
                                     .sport = udp.sport,
                                     .msg = buf + ip.l4 + DT_UDP_HDR_LEN,
                                     .len = (size_t)udp.len - DT_UDP_HDR_LEN};
        return true;
    }
    return false;
}

uint64_t dt_tap_lost(struct dt_tap *t)
{
    for (int i = 0; i < 2; i++) {
        struct tpacket_stats st; /* the kernel's counts since it was asked last */
        socklen_t len = sizeof st;
        if (getsockopt(i ? t->fd6 : t->fd4, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0)
            t->lost += st.tp_drops;
    }
    return t->lost;
}
