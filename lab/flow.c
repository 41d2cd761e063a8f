/* lab-flow: a numbered UDP flow and its echo, to count what a tunnel loses, which way, and for how long.
 *
 *   lab-flow echo PORT                                   answers every packet (IPv4 and IPv6)
 *   lab-flow send ADDRESS PORT [-i MS] [-s BYTES] [-t SECONDS] [-g GAP_MS] [-w WAIT] [-e] [-b]
 *   lab-flow hear PORT [-i MS] [-g GAP_MS] [-e] [-b]     answers nothing, and tells of silences like send
 *
 * `send` prints one JSON object at the end (and at SIGTERM or SIGINT): sent, received, lost_out (never reached the
 * echo), lost_back (answered, but the answer never came), duplicates, reordered, longest_outage_s, and outages: each
 * silence longer than GAP_MS with its start (seconds since the epoch) and length. With -e each is also printed when it ends.
 * With -b each second says what is so now: received, and quiet_s, for how long nothing has come.
 * Answers are waited for WAIT seconds after the last packet (1).
 *
 * Packet: magic, flow id, sequence number (from 1), and in the answer how many distinct packets of this flow the
 * echo had seen until then; all 32 bit, network order. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC    0x64746c66u
#define FLOWS    256
#define WINDOW   65536
#define MAX_GAPS 1000
#define HEADER   16

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static double clock_s(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, 4);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return ntohl(v);
}

/* Room for seconds of packets: what is on the way while a busy machine lets something wait comes in one burst after it,
 * and would be lost here, not in what is tested. */
static void set_room(int fd)
{
    int room = 8 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

struct seen {
    uint32_t flow, highest, count;
    uint8_t bit[WINDOW / 8];
};

/* True when this sequence number is new for the flow (within a window of WINDOW numbers). */
static bool note(struct seen *s, uint32_t seq)
{
    if (seq + WINDOW <= s->highest)
        return false;
    while (s->highest < seq) {
        s->highest++;
        s->bit[s->highest % WINDOW / 8] &= (uint8_t) ~(1u << s->highest % 8);
    }
    uint8_t *b = &s->bit[seq % WINDOW / 8], m = (uint8_t)(1u << seq % 8);
    if (*b & m)
        return false;
    *b |= m;
    s->count++;
    return true;
}

static int listen_at(const char *port)
{
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), no = 0;
    struct sockaddr_in6 a = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port)), .sin6_addr = in6addr_any};
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) ||
        bind(fd, (struct sockaddr *)&a, sizeof a)) {
        perror("lab-flow");
        exit(1);
    }
    set_room(fd);
    return fd;
}

static int echo(const char *port)
{
    int fd = listen_at(port);
    static struct seen flows[FLOWS];
    uint8_t buf[65536];
    while (!stop) {
        struct sockaddr_in6 from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
        if (n < HEADER || get32(buf) != MAGIC)
            continue;
        uint32_t flow = get32(buf + 4);
        struct seen *s = &flows[flow % FLOWS];
        if (s->flow != flow) {
            memset(s, 0, sizeof *s);
            s->flow = flow;
        }
        note(s, get32(buf + 8));
        put32(buf + 12, s->count);
        if (sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len) < 0)
            continue;
    }
    return 0;
}

struct gap {
    double start, length;
};

struct run {
    int fd;
    uint32_t flow, sent, received, duplicates, reordered, last, reached, answered_to_last;
    double last_heard, longest;
    struct gap gap[MAX_GAPS];
    int ngap;
    bool tell, beats;
    double beat;
    double min_gap;
    struct seen seen;
};

static void silence(struct run *r, double now, double interval)
{
    double length = now - r->last_heard - interval;
    if (length > r->longest)
        r->longest = length;
    if (length <= r->min_gap || r->ngap == MAX_GAPS)
        return;
    struct gap g = {clock_s(CLOCK_REALTIME) - (now - r->last_heard), now - r->last_heard};
    r->gap[r->ngap++] = g;
    if (r->tell) {
        printf("{\"t\":%.3f,\"outage_s\":%.3f}\n", g.start, g.length);
        fflush(stdout);
    }
}

static void receive(struct run *r, double interval)
{
    uint8_t buf[65536];
    ssize_t n;
    while ((n = recv(r->fd, buf, sizeof buf, MSG_DONTWAIT)) >= HEADER) {
        if (get32(buf) != MAGIC || (r->flow != 0 && get32(buf + 4) != r->flow))
            continue;
        r->flow = get32(buf + 4);
        uint32_t seq = get32(buf + 8), reached = get32(buf + 12);
        double now = clock_s(CLOCK_MONOTONIC);
        if (!note(&r->seen, seq)) {
            r->duplicates++;
            continue;
        }
        silence(r, now, interval);
        r->last_heard = now;
        r->received++;
        r->reordered += seq < r->last;
        if (seq > r->last)
            r->last = seq;
        if (reached > r->reached)
            r->reached = reached;
    }
}

static void say_beat(struct run *r)
{
    double now = clock_s(CLOCK_MONOTONIC);
    if (!r->beats || now < r->beat)
        return;
    r->beat = now + 1;
    printf("{\"now\":%.3f,\"received\":%u,\"quiet_s\":%.3f}\n", clock_s(CLOCK_REALTIME), r->received,
           now - r->last_heard);
    fflush(stdout);
}

static void report(const struct run *r)
{
    /* What the echo saw is known up to the last answer; what is missing after it counts as lost on the way out. */
    uint32_t reached = r->reached > r->received ? r->reached : r->received;
    printf("{\"sent\":%u,\"received\":%u,\"lost\":%u,\"lost_out\":%u,\"lost_back\":%u,\"duplicates\":%u,"
           "\"reordered\":%u,"
           "\"longest_outage_s\":%.3f,\"outages\":[",
           r->sent, r->received, r->sent - r->received, r->sent - reached, reached - r->received,
           r->duplicates, r->reordered, r->longest > 0 ? r->longest : 0.0);
    for (int i = 0; i < r->ngap; i++)
        printf("%s{\"t\":%.3f,\"length_s\":%.3f}", i ? "," : "", r->gap[i].start, r->gap[i].length);
    printf("]}\n");
}

static int hear(const char *port, double interval, double min_gap, bool tell, bool beats)
{
    static struct run r;
    r = (struct run){.fd = listen_at(port), .tell = tell, .beats = beats, .min_gap = min_gap};
    r.last_heard = clock_s(CLOCK_MONOTONIC);
    while (!stop) {
        struct pollfd p = {r.fd, POLLIN, 0};
        poll(&p, 1, 50);
        receive(&r, interval);
        say_beat(&r);
    }
    silence(&r, clock_s(CLOCK_MONOTONIC), interval);
    r.sent = r.last;
    report(&r);
    return 0;
}

static int send_flow(const char *host, const char *port, double interval, size_t size, double seconds,
                     double min_gap, double grace, bool tell, bool beats)
{
    static struct run r;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *ai;
    uint8_t buf[65536] = {0};
    int e = getaddrinfo(host, port, &hints, &ai);
    if (e) {
        fprintf(stderr, "lab-flow: %s: %s\n", host, gai_strerror(e));
        return 2;
    }
    r.fd = socket(ai->ai_family, SOCK_DGRAM, 0);
    set_room(r.fd);
    r.flow = (uint32_t)getpid() << 12 ^ (uint32_t)time(NULL) ^ (uint32_t)strlen(host) << 4;
    r.tell = tell;
    r.beats = beats;
    r.min_gap = min_gap;
    double start = clock_s(CLOCK_MONOTONIC), next = start, end = seconds > 0 ? start + seconds : 1e18;
    r.last_heard = start;
    bool sending = true;
    while (sending || clock_s(CLOCK_MONOTONIC) < end + grace) {
        double now = clock_s(CLOCK_MONOTONIC);
        if (sending && (stop || now >= end)) {
            sending = false;
            end = now;
        }
        if (!sending && r.received == r.sent)
            break;
        if (sending && now >= next) {
            put32(buf, MAGIC);
            put32(buf + 4, r.flow);
            put32(buf + 8, ++r.sent);
            put32(buf + 12, 0);
            /* The socket stays unconnected, so that an ICMP error does not end the flow. */
            if (sendto(r.fd, buf, size, 0, ai->ai_addr, ai->ai_addrlen) < 0 && errno == EINTR)
                stop = 1;
            next += interval;
            if (next < now - 1)
                next = now; /* after a long stall do not send a burst */
        }
        struct pollfd p = {r.fd, POLLIN, 0};
        double wait = sending ? next - clock_s(CLOCK_MONOTONIC) : 0.05;
        poll(&p, 1, wait > 0.0005 ? (int)(wait * 1000 + 0.5) : 0);
        receive(&r, interval);
        say_beat(&r);
    }
    double now = clock_s(CLOCK_MONOTONIC);
    if (r.received < r.sent)
        silence(&r, now < end ? now : end, interval);
    report(&r);
    freeaddrinfo(ai);
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = on_signal};
    double interval = 0.01, seconds = 10, gap = 0.1, wait = 1;
    size_t size = 200;
    bool tell = false, beats = false, hears = argc >= 3 && !strcmp(argv[1], "hear");
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    if (argc == 3 && !strcmp(argv[1], "echo"))
        return echo(argv[2]);
    if (!hears && (argc < 4 || strcmp(argv[1], "send"))) {
        fprintf(stderr, "usage: lab-flow echo PORT | send ADDRESS PORT [-i MS] [-s BYTES] [-t SECONDS] [-g "
                        "GAP_MS] [-w WAIT] [-e] [-b] | hear PORT [-i MS] [-g GAP_MS] [-e] [-b]\n");
        return 2;
    }
    optind = hears ? 3 : 4;
    for (int c; (c = getopt(argc, argv, "i:s:t:g:w:eb")) != -1;)
        switch (c) {
        case 'i':
            interval = atof(optarg) / 1000;
            break;
        case 's':
            size = (size_t)atol(optarg);
            break;
        case 't':
            seconds = atof(optarg);
            break;
        case 'g':
            gap = atof(optarg) / 1000;
            break;
        case 'w':
            wait = atof(optarg);
            break;
        case 'e':
            tell = true;
            break;
        case 'b':
            beats = true;
            break;
        default:
            return 2;
        }
    if (size < HEADER || size > 60000 || interval <= 0)
        return 2;
    return hears ? hear(argv[2], interval, gap, tell, beats)
                 : send_flow(argv[2], argv[3], interval, size, seconds, gap, wait, tell, beats);
}
