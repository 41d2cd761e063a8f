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

#define PROGRAM_MAX 32
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

/* Offsets count from the IP header: the sockets are cooked (SOCK_DGRAM). */
static void program_build(struct program *p, uint8_t ver, uint16_t port)
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
    must_be(p, port);
    op(p, BPF_LD | BPF_B | BPF_IND, 0, 0, DT_UDP_HDR_LEN + TAP_EXCHANGE_AT);
    must_be(p, TAP_EXCHANGE);
    op(p, BPF_RET | BPF_K, 0, 0, 65535);
}

/* Whoever is given the descriptor sees probes and nothing else of this host's traffic: the filter is there before the first
 * packet, and nobody can take it off again. So it cannot follow what we protect, and whose a probe is is told later. */
static int tap_open_one(uint8_t ver, uint16_t port, struct dt_err *err)
{
    int buffer = BUFFER, one = 1, fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_ll sa = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ver == 4 ? ETH_P_IP : ETH_P_IPV6)};
    struct program p;
    program_build(&p, ver, port);
    struct sock_fprog prog = {.len = (unsigned short)p.n, .filter = p.op};
    if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) &&
        !setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof one) &&
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
    t->fd4 = tap_open_one(4, port, err);
    if (t->fd4 >= 0)
        t->fd6 = tap_open_one(6, port, err);
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

int dt_tap_set(struct dt_tap *t, struct dt_err *err)
{
    t->stands = t->as_told = 0;
    if (tap_nft_set(t->nft, t->port, t->host, t->nhost, err) < 0 ||
        tap_nft_read(t->nft, &t->as_told, err) < 0)
        return -1;
    t->stands = t->want;
    return 0;
}

int dt_tap_remove(struct dt_tap *t, struct dt_err *err)
{
    t->stands = t->as_told = 0;
    t->nhost = 0;
    return tap_nft_remove(t->nft, err);
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
