/* lab-knock: a flow of TCP connection attempts, to count for how long a tunnel that carries one TCP port carries nothing.
 *
 *   lab-knock ADDRESS PORT [-i MS] [-t SECONDS]
 *
 * Every MS (50) one SYN leaves, from a port of its own; RST or SYN-ACK is its answer. None is sent twice: an attempt is given
 * up after 900 ms, before the kernel repeats it. Prints one JSON object at the end: sent, answered, longest_outage_s (between
 * two answers, or from the last one to the end). */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define OPEN_MAX_S 0.9
#define OPEN_MAX   256

struct attempt {
    int fd;
    double since;
};

static struct attempt open_now[OPEN_MAX];
static struct pollfd wait_for[OPEN_MAX];
static int nopen;
static unsigned long sent, answered;
static double last_answer, longest;

static void note_answer(double now)
{
    if (now - last_answer > longest)
        longest = now - last_answer;
    last_answer = now;
    answered++;
}

static bool is_answer(int error)
{
    return error == 0 || error == ECONNREFUSED;
}

static void knock(const struct addrinfo *to, double now)
{
    struct linger reset = {.l_onoff = 1};
    int fd = nopen < OPEN_MAX ? socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0) : -1;
    sent++;
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS) {
        close(fd);
        return;
    }
    open_now[nopen++] = (struct attempt){fd, now};
}

static void look(double wait)
{
    for (int i = 0; i < nopen; i++)
        wait_for[i] = (struct pollfd){open_now[i].fd, POLLOUT, 0};
    poll(wait_for, (nfds_t)nopen, wait > 0 ? (int)(wait * 1000 + 0.5) : 0);
    double now = tool_now();
    int kept = 0;
    for (int i = 0; i < nopen; i++) {
        int error = ETIMEDOUT;
        socklen_t len = sizeof error;
        bool done = wait_for[i].revents != 0;
        if (done && getsockopt(open_now[i].fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && is_answer(error))
            note_answer(now);
        if (done || now - open_now[i].since > OPEN_MAX_S)
            close(open_now[i].fd);
        else
            open_now[kept++] = open_now[i];
    }
    nopen = kept;
}

int main(int argc, char **argv)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *to;
    double interval = 0.05, seconds = 10;
    if (argc < 3) {
        fprintf(stderr, "usage: lab-knock ADDRESS PORT [-i MS] [-t SECONDS]\n");
        return 2;
    }
    optind = 3;
    for (int c; (c = getopt(argc, argv, "i:t:")) != -1;) {
        if (c == 'i')
            interval = atof(optarg) / 1000;
        else if (c == 't')
            seconds = atof(optarg);
        else
            return 2;
    }
    int e = getaddrinfo(argv[1], argv[2], &hints, &to);
    if (e || interval <= 0) {
        fprintf(stderr, "lab-knock: %s: %s\n", argv[1], e ? gai_strerror(e) : "no interval");
        return 2;
    }
    double start = tool_now(), next = start;
    last_answer = start;
    for (double now = start; now < start + seconds; now = tool_now()) {
        if (now >= next) {
            knock(to, now);
            next = next + interval < now ? now + interval : next + interval;
        }
        look(next - tool_now());
    }
    double end = tool_now();
    if (end - last_answer > longest)
        longest = end - last_answer;
    printf("{\"sent\":%lu,\"answered\":%lu,\"longest_outage_s\":%.3f}\n", sent, answered, longest);
    freeaddrinfo(to);
    return 0;
}
