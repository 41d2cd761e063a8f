/* lab-ikegun: what strangers send to the door of an IKE gateway.
 *
 *   lab-ikegun init TARGET [-r PER_SECOND] [-t SECONDS]   IKE_SA_INIT requests that nobody answers for: random sources in
 *        198.18.0.0/15, the dearest group (P-384) with a point of the curve, a nonce of 16 octets, no Vendor ID
 *   lab-ikegun hold TARGET [-r PER_SECOND] [-t SECONDS] [-n SESSIONS] [-p PORT]   half-open sessions from our own address: each
 *        returns its cookie and never sends IKE_AUTH; so many at once, then as many a second as keep them up for 30 s
 *   lab-ikegun esp TARGET [-r PER_SECOND] [-t SECONDS]    ESP in UDP (port 4500) with unknown SPIs, random sources
 *
 * Prints one JSON object at the end: what was sent, in how many seconds, and (hold) what came back. For namespaces of the
 * laboratory only. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/rand.h"
#include "crypto/crypto.h"
#include "wire/ike_msg.h"
#include "wire/ike_notify.h"
#include "wire/ike_payload.h"
#include "tool.h"

#define BATCH     64
#define HEADERS   28 /* IPv4 and UDP */
#define HALF_OPEN 30 /* seconds that a gateway waits for IKE_AUTH */

struct gun {
    struct sockaddr_in to;
    struct dt_prng rng;
    double rate, seconds, start;
    unsigned long sessions, sent, cookies, opened, refused;
    uint16_t port;
    struct dt_dh *dh;
    struct dt_proposals offer;
};

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_nsec = ms * 1000000};
    nanosleep(&ts, NULL);
}

/* How many more may be sent now. */
static unsigned long due(const struct gun *g)
{
    double at = tool_now() - g->start;
    unsigned long may = (unsigned long)((at < g->seconds ? at : g->seconds) * g->rate);
    return may > g->sent ? may - g->sent : 0;
}

static bool over(const struct gun *g)
{
    return tool_now() - g->start >= g->seconds;
}

/* ---- messages ---- */

static size_t init_request(struct gun *g, uint8_t *buf, size_t cap, uint64_t spi, uint64_t nonce_of,
                           struct dt_span cookie)
{
    uint8_t nonce[16];
    struct dt_ike_builder b;
    struct dt_ike_header h = {.spi_i = spi, .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_INITIATOR};
    dt_put_be64(nonce, nonce_of);
    dt_put_be64(nonce + 8, ~nonce_of);
    dt_ike_build(&b, buf, cap, &h);
    if (cookie.len)
        dt_ike_notify_write(&b, 0, dt_span(NULL, 0), DT_N_COOKIE, cookie);
    dt_ike_sa_write(&b, &g->offer);
    dt_ike_ke_write(&b, DT_KE_ECP_384, dt_dh_public(g->dh));
    dt_ike_raw_write(&b, DT_P_NONCE, dt_span(nonce, sizeof(nonce)));
    return dt_ike_build_end(&b);
}

static void request_prepare(struct gun *g)
{
    struct dt_proposal p;
    struct dt_err err = {0};
    struct dt_rand rand = dt_rand_system();
    g->dh = dt_dh_new(dt_crypto_openssl(), DT_KE_ECP_384, &rand, &err);
    if (!g->dh || dt_proposal_parse(&p, DT_PROTO_IKE, "aes128gcm16-prfsha256-ecp384", &err)) {
        fprintf(stderr, "lab-ikegun: %s\n", err.text);
        exit(1);
    }
    dt_proposals_add(&g->offer, &p);
}

/* ---- from addresses that are not ours ---- */

struct shot {
    uint8_t data[600];
    size_t len;
};

static uint16_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += dt_get_be16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void shot_address(struct gun *g, struct shot *s, size_t payload, uint16_t port)
{
    uint8_t *p = s->data;
    s->len = HEADERS + payload;
    memset(p, 0, HEADERS);
    p[0] = 0x45;
    dt_put_be16(p + 2, (uint16_t)s->len);
    p[8] = 64;
    p[9] = IPPROTO_UDP;
    dt_put_be32(p + 12, 0xc6120000u + (uint32_t)(dt_prng_u64(&g->rng) & 0x1ffff)); /* 198.18.0.0/15 */
    memcpy(p + 16, &g->to.sin_addr, 4);
    dt_put_be16(p + 10, checksum(p, 20));
    dt_put_be16(p + 20, port);
    dt_put_be16(p + 22, port);
    dt_put_be16(p + 24, (uint16_t)(8 + payload)); /* no UDP checksum */
}

static void shoot(struct gun *g, void (*load)(struct gun *g, struct shot *s))
{
    static struct shot shots[BATCH];
    struct mmsghdr msg[BATCH];
    struct iovec iov[BATCH];
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (fd < 0)
        tool_die("lab-ikegun: raw socket");
    memset(msg, 0, sizeof(msg));
    for (size_t i = 0; i < BATCH; i++) {
        iov[i].iov_base = shots[i].data;
        msg[i].msg_hdr = (struct msghdr){
            .msg_name = &g->to, .msg_namelen = sizeof(g->to), .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    while (!over(g)) {
        unsigned long n = due(g);
        n = n < BATCH ? n : BATCH;
        for (size_t i = 0; i < n; i++) {
            load(g, &shots[i]);
            iov[i].iov_len = shots[i].len;
        }
        int done = n ? sendmmsg(fd, msg, (unsigned)n, 0) : 0;
        g->sent += n; /* what did not fit is lost, as on any wire */
        if (done < 0 || n < BATCH)
            pause_ms(1);
    }
    close(fd);
}

static void load_init(struct gun *g, struct shot *s)
{
    uint64_t spi = dt_prng_u64(&g->rng) | 1;
    size_t n = init_request(g, s->data + HEADERS, sizeof(s->data) - HEADERS, spi, spi, dt_span(NULL, 0));
    shot_address(g, s, n, 500);
}

static void load_esp(struct gun *g, struct shot *s)
{
    for (size_t i = 0; i < 96; i += 8)
        dt_put_be64(s->data + HEADERS + i, dt_prng_u64(&g->rng) | UINT64_C(1) << 63);
    shot_address(g, s, 96, 4500);
}

/* ---- from our own ---- */

static void answered(struct gun *g, int fd, const uint8_t *p, size_t len)
{
    struct dt_ike_header h;
    struct dt_ike_payloads list;
    struct dt_ike_notify_payload n;
    uint8_t buf[600];
    if (dt_ike_header_read(&h, p, len) ||
        dt_ike_payloads_read(&list, h.next, p + DT_IKE_HEADER_LEN, len - DT_IKE_HEADER_LEN))
        return;
    if (h.spi_r) {
        g->opened++;
        return;
    }
    const struct dt_ike_payload *first = dt_ike_find(&list, DT_P_NOTIFY);
    if (!first || dt_ike_notify_read(&n, first->body) || n.type != DT_N_COOKIE) {
        g->refused++;
        return;
    }
    g->cookies++;
    size_t m = init_request(g, buf, sizeof(buf), h.spi_i, h.spi_i, n.data);
    if (send(fd, buf, m, 0) < 0)
        g->refused++;
}

static unsigned long hold_due(const struct gun *g)
{
    double at = tool_now() - g->start;
    unsigned long by_rate = due(g);
    unsigned long all = g->sessions + (unsigned long)(at * (double)g->sessions / HALF_OPEN);
    unsigned long left = all > g->sent ? all - g->sent : 0;
    return left < by_rate ? left : by_rate;
}

static void hold(struct gun *g)
{
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(g->port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    uint8_t buf[2048];
    if (fd < 0 || bind(fd, (struct sockaddr *)&me, sizeof(me)) ||
        connect(fd, (struct sockaddr *)&g->to, sizeof(g->to)))
        tool_die("lab-ikegun: UDP socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    while (!over(g)) {
        for (unsigned long n = hold_due(g); n; n--, g->sent++) {
            uint64_t spi = dt_prng_u64(&g->rng) | 1;
            size_t m = init_request(g, buf, sizeof(buf), spi, spi, dt_span(NULL, 0));
            if (send(fd, buf, m, 0) < 0)
                break;
        }
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n = 0;
        if (poll(&p, 1, 1) == 1)
            while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
                answered(g, fd, buf, (size_t)n);
    }
    close(fd);
}

static int usage(void)
{
    fprintf(stderr, "usage: see the head of lab/ikegun.c\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct gun g = {.rate = 1000, .seconds = 10, .sessions = 2048, .port = 500};
    if (argc < 3)
        return usage();
    g.to = (struct sockaddr_in){.sin_family = AF_INET};
    if (inet_pton(AF_INET, argv[2], &g.to.sin_addr) != 1)
        return usage();
    optind = 3;
    for (int c; (c = getopt(argc, argv, "r:t:n:p:")) != -1;)
        switch (c) {
        case 'r':
            g.rate = atof(optarg);
            break;
        case 't':
            g.seconds = atof(optarg);
            break;
        case 'n':
            g.sessions = strtoul(optarg, NULL, 0);
            break;
        case 'p':
            g.port = (uint16_t)atoi(optarg);
            break;
        default:
            return usage();
        }
    dt_prng_seed(&g.rng, (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL));
    request_prepare(&g);
    g.start = tool_now();
    if (!strcmp(argv[1], "init")) {
        shoot(&g, load_init);
    } else if (!strcmp(argv[1], "esp")) {
        shoot(&g, load_esp);
    } else if (!strcmp(argv[1], "hold")) {
        g.to.sin_port = htons(500);
        hold(&g);
    } else {
        return usage();
    }
    printf("{\"what\": \"%s\", \"sent\": %lu, \"seconds\": %.1f, \"cookies\": %lu, \"opened\": %lu, "
           "\"refused\": %lu}\n",
           argv[1], g.sent, tool_now() - g.start, g.cookies, g.opened, g.refused);
    dt_dh_free(g.dh);
    return 0;
}
