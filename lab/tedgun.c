/* lab-tedgun: discovery messages as friends and strangers send them, and who gets them.
 *
 *   lab-tedgun probe SRC DST ID [OPTION...]      from SRC (raw) to DST, port 500; ID is where the reply shall go
 *   lab-tedgun reply FROM TO [OPTION...]         a reply that nobody asked for
 *   lab-tedgun listen ADDRESS PORT SECONDS       prints each datagram: source, port, bytes in hex
 *     -n COUNT (1)  -r PER_SECOND (as fast as can be)  -f SEED: each with a few bytes changed  -i: another ID each time
 *     -c COOKIE: 16 hex digits, instead of a random one  -p PORT: the UDP source port  -a ADDRESS: the ID of a reply
 *
 * Prints how many were sent and in how many seconds. For namespaces of the laboratory only. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rand.h"
#include "net/discovery.h"
#include "ted/proxy.h"
#include "tool.h"

static struct dt_addr addr(const char *text)
{
    struct dt_addr a;
    if (dt_addr_parse(&a, text)) {
        fprintf(stderr, "lab-tedgun: %s is no address\n", text);
        exit(2);
    }
    return a;
}

static int listen_for(const char *at, const char *port, double seconds)
{
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    double end = tool_now() + seconds;
    uint8_t buf[2048];
    char from[64];
    inet_pton(AF_INET, at, &s.sin_addr);
    if (fd < 0 || bind(fd, (struct sockaddr *)&s, sizeof s)) {
        perror("lab-tedgun: listen");
        return 1;
    }
    while (tool_now() < end) {
        struct pollfd p = {fd, POLLIN, 0};
        socklen_t len = sizeof s;
        if (poll(&p, 1, 50) != 1)
            continue;
        ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&s, &len);
        printf("%s %u ", inet_ntop(AF_INET, &s.sin_addr, from, sizeof from), ntohs(s.sin_port));
        for (ssize_t i = 0; i < n; i++)
            printf("%02x", buf[i]);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}

static size_t make(uint8_t *msg, size_t cap, bool reply, const struct dt_addr *a, const struct dt_addr *b,
                   const struct dt_addr *id, uint64_t cookie)
{
    struct dt_ted_probe p = {
        .cookie = cookie, .capabilities = 7, .id = *id, .packet = {*a, *b, 17, 40000, 4411}};
    struct dt_ted_reply r = {
        .cookie = cookie, .responder_cookie = cookie + 1, .capabilities = 7, .id = *id, .count = 1};
    if (!reply)
        return dt_ted_probe_encode(msg, cap, &p);
    dt_ted_proxy_parse(&r.proxy[0], "any any", NULL);
    return dt_ted_reply_encode(msg, cap, &r);
}

int main(int argc, char **argv)
{
    unsigned long count = 1, fuzz = 0;
    uint64_t cookie = 0;
    uint16_t port;
    double rate = 0;
    bool ids = false;
    if (argc == 5 && !strcmp(argv[1], "listen"))
        return listen_for(argv[2], argv[3], atof(argv[4]));
    bool reply = argc >= 4 && !strcmp(argv[1], "reply");
    if (argc < 4 || (!reply && (argc < 5 || strcmp(argv[1], "probe")))) {
        fprintf(stderr, "usage: see the head of lab/tedgun.c\n");
        return 2;
    }
    struct dt_addr a = addr(argv[2]), b = addr(argv[3]), id = reply ? a : addr(argv[4]);
    optind = reply ? 4 : 5;
    port = reply ? 500 : 40000;
    for (int c; (c = getopt(argc, argv, "n:r:f:ic:p:a:")) != -1;)
        switch (c) {
        case 'c':
            cookie = strtoull(optarg, NULL, 16);
            break;
        case 'p':
            port = (uint16_t)atoi(optarg);
            break;
        case 'a':
            id = addr(optarg);
            break;
        case 'n':
            count = strtoul(optarg, NULL, 0);
            break;
        case 'r':
            rate = atof(optarg);
            break;
        case 'f':
            fuzz = strtoul(optarg, NULL, 0);
            break;
        case 'i':
            ids = true;
            break;
        default:
            return 2;
        }
    struct dt_prng rng;
    struct dt_err err = {0};
    int fd = dt_raw_udp_open(a.ver, 0, &err);
    if (fd < 0) {
        fprintf(stderr, "lab-tedgun: %s\n", err.text);
        return 1;
    }
    dt_prng_seed(&rng, fuzz ? fuzz : 1);
    double start = tool_now();
    unsigned long sent = 0;
    for (unsigned long i = 0; i < count; i++) {
        uint8_t msg[DT_TED_MAX_MESSAGE];
        if (ids)
            dt_put_be32(id.b, 0xc6120000u + (uint32_t)(i & 0xffff)); /* 198.18.0.0/15, for tests */
        size_t len = make(msg, sizeof msg, reply, &a, &b, &id, cookie ? cookie : dt_prng_u64(&rng) | 1);
        for (unsigned k = 0; fuzz && k < 1 + dt_prng_u64(&rng) % 4; k++)
            msg[dt_prng_u64(&rng) % len] = (uint8_t)dt_prng_u64(&rng);
        if (fuzz) /* still a discovery message by its header, so that it is looked at */
            msg[18] = reply ? 241 : 240;
        sent +=
            dt_raw_udp_send(fd, &a, port, &b, 500, msg, fuzz ? len - dt_prng_u64(&rng) % 8 : len, NULL) == 0;
        if (rate > 0)
            while (tool_now() - start < (double)(i + 1) / rate)
                if ((double)(i + 1) / rate - (tool_now() - start) > 0.002)
                    usleep(1000);
    }
    printf("%lu sent in %.3f s\n", sent, tool_now() - start);
    return 0;
}
