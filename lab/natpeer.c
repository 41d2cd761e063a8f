/* Crafted IKE and ESP peers for tests of the NAT: no keys, no state to speak of, every packet numbered.
 *
 *   lab-natpeer server [ADDRESS]            answers: IKE with a responder cookie of its own, ESP on the inbound SPI
 *                                           that the client's first packet names
 *   lab-natpeer client SERVER ID [count N] [rate PPS] [wait S] [spi N] [size BYTES] [lead MS]
 *       one IKE exchange, then numbered ESP packets (retried every 300 ms until the first answer); prints
 *       {"id","established_ms","sent","received","wrong","lost","gap_ms"}; `wrong` counts what was another client's
 *   lab-natpeer flood esp|ike|in-esp|in-ike|frag|mix TARGET [count N] [rate PPS] [from SOURCE] [sources N] [servers N]
 *       from N sources in turn, SOURCE and those after it; to TARGET, and every other packet to one of N addresses
 *       after it. mix: ESP, a message of IKE, and a first fragment of one, in turn
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

struct esp {
    uint32_t spi, seq, id, number;
    uint32_t reply_spi; /* in the clear, for the server */
    uint8_t rest[1400];
};

struct ike {
    uint8_t icookie[8], rcookie[8];
    uint8_t next, version, exchange, flags;
    uint32_t message, length, id;
};

static int ike_socket(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(500)};
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || bind(s, (void *)&a, sizeof(a)))
        tool_die("UDP 500");
    return s;
}

static int esp_socket(void)
{
    int s = socket(AF_INET, SOCK_RAW, 50), size = 8 << 20;
    if (s < 0)
        tool_die("raw socket for ESP");
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    return s;
}

static struct sockaddr_in address(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
        fprintf(stderr, "\"%s\" is no IPv4 address\n", text);
        exit(2);
    }
    return a;
}

static double option(int argc, char **argv, const char *name, double otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return atof(argv[i + 1]);
    return otherwise;
}

/* ---- server ---------------------------------------------------------------------------------- */

static void serve_ike(int s)
{
    uint8_t buf[2048];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(s, buf, sizeof(buf), 0, (void *)&from, &len);
    struct ike *m = (void *)buf;
    if (n < (ssize_t)sizeof(*m))
        return;
    uint64_t r = 0x5e00000000000000ull ^ (uint64_t)m->id * 0x100000001b3ull; /* another for each client */
    memcpy(m->rcookie, &r, 8);
    m->flags |= 0x20;
    sendto(s, buf, (size_t)n, 0, (void *)&from, len);
}

static void serve_esp(int s)
{
    uint8_t buf[4096];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(s, buf, sizeof(buf), 0, (void *)&from, &len);
    if (n < 20)
        return;
    size_t hl = (buf[0] & 15u) * 4u;
    struct esp *e = (void *)(buf + hl);
    if ((size_t)n < hl + 20 || !e->reply_spi)
        return;
    e->spi = e->reply_spi;
    from.sin_port = 0;
    sendto(s, e, (size_t)n - hl, 0, (void *)&from, len);
}

static void server(void)
{
    struct pollfd p[2] = {{ike_socket(), POLLIN, 0}, {esp_socket(), POLLIN, 0}};
    for (;;) {
        if (poll(p, 2, -1) < 0)
            tool_die("poll");
        if (p[0].revents)
            serve_ike(p[0].fd);
        if (p[1].revents)
            serve_esp(p[1].fd);
    }
}

/* ---- client ---------------------------------------------------------------------------------- */

struct client {
    int ike, esp;
    struct sockaddr_in server;
    uint32_t id, spi_out, spi_in, seq;
    size_t size;
    unsigned long sent, received, wrong, wrong_early;
    double first, last, gap;
    bool answered;
};

static void send_ike(struct client *c)
{
    struct ike m = {
        .version = 0x20, .exchange = 34, .flags = 8, .length = htonl(sizeof(struct ike)), .id = c->id};
    uint64_t i = 0x1c00000000000000ull | (uint64_t)c->spi_out << 16 | c->id;
    memcpy(m.icookie, &i, 8);
    c->server.sin_port = htons(500);
    sendto(c->ike, &m, sizeof(m), 0, (void *)&c->server, sizeof(c->server));
}

static void send_esp(struct client *c, uint32_t number)
{
    struct esp e = {.spi = htonl(c->spi_out),
                    .seq = htonl(++c->seq),
                    .id = c->id,
                    .number = number,
                    .reply_spi = htonl(c->spi_in)};
    c->server.sin_port = 0;
    if (sendto(c->esp, &e, c->size, 0, (void *)&c->server, sizeof(c->server)) < 0 && errno != ENOBUFS &&
        errno != EPERM)
        perror("ESP");
}

static bool read_esp(struct client *c)
{
    uint8_t buf[4096];
    ssize_t n = recv(c->esp, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 0)
        return false;
    size_t hl = (buf[0] & 15u) * 4u;
    struct esp *e = (void *)(buf + hl);
    if ((size_t)n < hl + 20)
        return true;
    if (e->id != c->id || e->spi != htonl(c->spi_in)) {
        c->wrong++;
        return true;
    }
    double t = tool_now();
    if (e->number) {
        c->received++;
        if (c->last > 0 && t - c->last > c->gap)
            c->gap = t - c->last;
        c->last = t;
    }
    c->answered = true;
    return true;
}

static void wait_until(struct client *c, double until, bool answer)
{
    struct pollfd p = {c->esp, POLLIN, 0};
    for (double left; (left = until - tool_now()) > 0;) {
        if (poll(&p, 1, (int)(left * 1000)) > 0)
            while (read_esp(c))
                ;
        if (until - tool_now() < 0.001 || (answer && c->answered))
            break;
    }
}

static int client(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    struct client c = {.ike = ike_socket(),
                       .esp = esp_socket(),
                       .server = address(argv[2]),
                       .id = (uint32_t)atoi(argv[3]),
                       .size = (size_t)option(argc, argv, "size", 100)};
    unsigned long count = (unsigned long)option(argc, argv, "count", 100);
    double rate = option(argc, argv, "rate", 100), patience = option(argc, argv, "wait", 10);
    uint32_t base = (uint32_t)option(argc, argv, "spi", 0x10000);
    c.spi_out = base + c.id;
    c.spi_in = base + 0x20000000u + c.id;
    if (c.size < 20 || c.size > sizeof(struct esp))
        return 2;
    send_ike(&c);
    usleep((unsigned)(option(argc, argv, "lead", 20) * 1000));
    c.first = tool_now();
    while (!c.answered && tool_now() - c.first < patience) { /* the probe: one packet, and wait for its answer */
        send_esp(&c, 0);
        wait_until(&c, tool_now() + 0.3, true);
    }
    double established = c.answered ? (tool_now() - c.first) * 1000 : -1;
    double start = tool_now();
    for (unsigned long i = 0; c.answered && i < count; i++) {
        send_esp(&c, (uint32_t)i + 1);
        c.sent++;
        wait_until(&c, start + (double)(i + 1) / rate, false);
        while (read_esp(&c))
            ;
    }
    wait_until(&c, tool_now() + 0.7, false);
    printf("{\"id\":%u,\"established_ms\":%.0f,\"sent\":%lu,\"received\":%lu,\"lost\":%ld,\"wrong\":%lu,"
           "\"gap_ms\":%.0f}\n",
           c.id, established, c.sent, c.received, (long)c.sent - (long)c.received, c.wrong, c.gap * 1000);
    return c.answered && c.sent == c.received ? 0 : 1;
}

/* ---- floods ---------------------------------------------------------------------------------- */

static uint16_t sum(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint32_t s = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        s += (uint32_t)(b[i] << 8 | b[i + 1]);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return htons((uint16_t)~s);
}

static int flood(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const char *kind = argv[2];
    bool in = !strncmp(kind, "in-", 3), frag = !strcmp(kind, "frag"), ike = strstr(kind, "ike") != NULL;
    struct sockaddr_in to = address(argv[3]);
    unsigned long count = (unsigned long)option(argc, argv, "count", 10000);
    double rate = option(argc, argv, "rate", 20000);
    unsigned sources = (unsigned)option(argc, argv, "sources", 1);
    unsigned servers = (unsigned)option(argc, argv, "servers", 0);
    bool mix = !strcmp(kind, "mix");
    struct in_addr from = {0}, target = to.sin_addr;
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], "from"))
            inet_pton(AF_INET, argv[i + 1], &from);
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (s < 0)
        tool_die("raw socket");
    srandom((unsigned)getpid());
    double start = tool_now();
    for (unsigned long i = 0; i < count; i++) {
        uint8_t pkt[20 + 8 + 28 + 64] = {0};
        struct iphdr *ip = (void *)pkt;
        if (mix) {
            ike = i % 3 != 0;
            frag = i % 3 == 2;
        }
        if (servers && i % 2)
            to.sin_addr.s_addr = htonl(ntohl(target.s_addr) + 1 + (uint32_t)(i / 2 % servers));
        else
            to.sin_addr = target;
        size_t len = ike ? 20 + 8 + 28 : 20 + 60;
        ip->version = 4;
        ip->ihl = 5;
        ip->ttl = 64;
        ip->protocol = ike ? 17 : 50;
        ip->id = htons((uint16_t)(i + 1));
        ip->frag_off = frag ? htons(0x2000) : htons(0x4000);
        if (frag)
            len = 20 + 64;
        ip->tot_len = htons((uint16_t)len);
        ip->saddr = sources > 1 ? htonl(ntohl(from.s_addr) + (uint32_t)(i % sources)) : from.s_addr;
        ip->daddr = to.sin_addr.s_addr;
        uint32_t spi = htonl(0x70000000u + (uint32_t)(in ? (uint64_t)random() & 0xfffffff : i));
        uint64_t cookie = (uint64_t)random() << 32 | (uint64_t)random() | 1;
        if (ike) {
            uint16_t ports[4] = {htons(500), htons(500), htons(8 + 28), 0};
            memcpy(pkt + 20, ports, 8);
            memcpy(pkt + 28, &cookie, 8);
            if (in)
                memcpy(pkt + 36, &cookie, 8);
        } else {
            memcpy(pkt + 20, &spi, 4);
        }
        ip->check = sum(pkt, 20);
        to.sin_port = 0;
        sendto(s, pkt, len, 0, (void *)&to, sizeof(to));
        double ahead = start + (double)i / rate - tool_now();
        if (ahead > 0.002)
            usleep((unsigned)(ahead * 1e6));
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "server"))
        server();
    if (argc > 1 && !strcmp(argv[1], "client"))
        return client(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "flood"))
        return flood(argc, argv);
    fputs("lab-natpeer server | client SERVER ID ... | flood KIND TARGET ...\n", stderr);
    return 2;
}
