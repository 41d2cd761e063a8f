/* Speaks to a control socket as no polite client does: everything in one write, and no waiting in between.
 *
 *   lab-control SOCKET SECONDS <requests
 *
 * Writes standard input to SOCKET at once and prints what comes back until every line of it is answered (events do not
 * count), the peer closes, or SECONDS have passed. Status 0: all answered; 1: not; 2: cannot connect, or bad usage. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static char requests[1 << 20], answers[1 << 16];

static long now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000L + ts.tv_nsec / 1000000L;
}

static size_t lines_in(const char *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += p[i] == '\n';
    return n;
}

/* Whole lines out of what has been read; returns how many of them answer a request. */
static size_t lines_out(char *p, size_t *len)
{
    size_t n = 0;
    char *nl;
    while ((nl = memchr(p, '\n', *len)) != NULL) {
        *nl = '\0';
        puts(p);
        n += strstr(p, "\"ok\":") != NULL;
        *len -= (size_t)(nl + 1 - p);
        memmove(p, nl + 1, *len);
    }
    if (*len == sizeof(answers))
        *len = 0; /* the rest of a long one */
    return n;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: lab-control SOCKET SECONDS <requests\n", stderr);
        return 2;
    }
    size_t len = fread(requests, 1, sizeof(requests), stdin), left = lines_in(requests, len), have = 0;
    long until = now_ms() + strtol(argv[2], NULL, 10) * 1000L;
    int fd = tool_connect(argv[1]);
    if (fd < 0) {
        perror(argv[1]);
        return 2;
    }
    if (send(fd, requests, len, MSG_NOSIGNAL) != (ssize_t)len)
        perror("send");
    while (left > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        long ms = until - now_ms();
        if (ms <= 0 || poll(&p, 1, (int)ms) <= 0)
            break;
        ssize_t n = read(fd, answers + have, sizeof(answers) - have);
        if (n <= 0)
            break;
        have += (size_t)n;
        size_t answered = lines_out(answers, &have);
        left -= answered < left ? answered : left;
    }
    close(fd);
    return left > 0;
}
