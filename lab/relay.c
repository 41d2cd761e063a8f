/* lab-relay: carries Ethernet frames between two interfaces of its namespace, each DELAY milliseconds late: a long line,
 * for kernels without netem.
 *
 *   lab-relay IF IF DELAY
 *
 * The interfaces have no addresses; the far ends of both have checksum and segmentation offload off (`ethtool -K IF tx off`),
 * or what they send has no checksum yet. Order is kept. At SIGTERM it prints one JSON object: carried, dropped (no room). */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOTS     8192
#define FRAME_MAX 2048

struct frame {
    int64_t due;
    size_t len;
    uint8_t byte[FRAME_MAX];
};

/* What comes in at one interface and goes out at the other. */
struct way {
    int in, out;
    uint32_t head, tail; /* of the ring: oldest, next free */
    struct frame *ring;
    uint64_t carried, dropped;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int open_interface(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL)), one = 1, room = 8 << 20;
    struct sockaddr_ll a = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    struct packet_mreq all = {.mr_ifindex = a.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (fd < 0 || a.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&a, sizeof a) ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) {
        fprintf(stderr, "lab-relay: %s: %s\n", name, strerror(errno));
        exit(1);
    }
    return fd;
}

static void take_all(struct way *w, int64_t due)
{
    static uint8_t waste[65536];
    for (;;) {
        struct frame *f = w->tail - w->head < SLOTS ? &w->ring[w->tail % SLOTS] : NULL;
        ssize_t n = recv(w->in, f ? f->byte : waste, f ? FRAME_MAX : sizeof waste, MSG_TRUNC);
        if (n < 0)
            return;
        if (!f || n > FRAME_MAX) {
            w->dropped++;
            continue;
        }
        f->len = (size_t)n;
        f->due = due;
        w->tail++;
    }
}

static void send_due(struct way *w, int64_t now)
{
    for (; w->head != w->tail && w->ring[w->head % SLOTS].due <= now; w->head++) {
        const struct frame *f = &w->ring[w->head % SLOTS];
        if (send(w->out, f->byte, f->len, 0) == (ssize_t)f->len)
            w->carried++;
        else
            w->dropped++;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: lab-relay IF IF DELAY_MS\n");
        return 2;
    }
    int a = open_interface(argv[1]), b = open_interface(argv[2]);
    int64_t delay = (int64_t)(atof(argv[3]) * 1e6);
    struct way way[2] = {{.in = a, .out = b}, {.in = b, .out = a}};
    for (int i = 0; i < 2; i++)
        if (!(way[i].ring = calloc(SLOTS, sizeof(struct frame))))
            return 1;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    while (!stop) {
        struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
        int64_t now = now_ns(), next = now + INT64_C(200000000);
        for (int i = 0; i < 2; i++)
            if (way[i].head != way[i].tail && way[i].ring[way[i].head % SLOTS].due < next)
                next = way[i].ring[way[i].head % SLOTS].due;
        int64_t wait = next > now ? next - now : 0;
        struct timespec ts = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
        if (ppoll(fds, 2, &ts, NULL) < 0 && errno != EINTR)
            break;
        now = now_ns();
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents)
                take_all(&way[i], now + delay);
            send_due(&way[i], now);
        }
    }
    printf("{\"carried\": %llu, \"dropped\": %llu}\n", (unsigned long long)(way[0].carried + way[1].carried),
           (unsigned long long)(way[0].dropped + way[1].dropped));
    return 0;
}
