/* How long a daemon's loop keeps others waiting: asks at its control socket again and again for something that costs nothing,
 * and remembers the longest time until the answer.
 *
 *   lab-turn SOCKET     prints {"longest_ms":X,"asked":N} for each line of standard input, and begins anew
 *
 * Ends with standard input. Status 2: cannot connect, or bad usage. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define PAUSE_MS 1

/* Refused for its arguments, without a look at any tunnel. */
static const char request[] = "{\"v\":1,\"id\":1,\"command\":\"explain\",\"args\":{}}\n";

/* One question and its answer. 0, or -1: the daemon is gone. */
static int ask(int fd)
{
    char buf[4096];
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
        return -1;
    for (;;) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n <= 0)
            return -1;
        if (memchr(buf, '\n', (size_t)n) != NULL)
            return 0;
    }
}

int main(int argc, char **argv)
{
    char line[256];
    double longest = 0;
    unsigned long asked = 0;
    int fd = argc == 2 ? tool_connect(argv[1]) : -1;
    if (fd < 0) {
        fprintf(stderr, "usage: lab-turn SOCKET, which must be a daemon's\n");
        return 2;
    }
    for (;;) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&in, 1, PAUSE_MS) > 0) {
            if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
                return 0;
            printf("{\"longest_ms\":%.1f,\"asked\":%lu}\n", longest, asked);
            fflush(stdout);
            longest = 0;
            asked = 0;
        }
        double from = tool_now();
        if (ask(fd) != 0)
            return 0;
        double took = (tool_now() - from) * 1e3;
        longest = took > longest ? took : longest;
        asked++;
    }
}
