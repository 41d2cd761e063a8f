/* lab-stream: bytes of a known sequence over TCP, checked at the other end.
 *
 *   lab-stream serve PORT                     for each connection: reads to its end, answers one line: "ok N" or "bad AT"
 *   lab-stream send ADDRESS PORT BYTES [RATE] sends, prints the answer; status 0 when it is "ok BYTES". BYTES 0: until
 *                                             SIGTERM. RATE: at most so many bytes a second
 *
 * Byte i is i * 167 + (i >> 8) * 13 + (i >> 16): a segment lost, doubled or out of place is seen. */
#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 167 + (i >> 8) * 13 + (i >> 16));
}

static void check(int fd)
{
    static uint8_t buf[256 * 1024];
    uint64_t at = 0;
    char line[64];
    for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;)
        for (ssize_t i = 0; i < n; i++, at++)
            if (buf[i] != byte_at(at)) {
                snprintf(line, sizeof line, "bad %llu\n", (unsigned long long)at);
                goto out;
            }
    snprintf(line, sizeof line, "ok %llu\n", (unsigned long long)at);
out:
    if (write(fd, line, strlen(line)) < 0)
        perror("lab-stream");
}

static int serve(uint16_t port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int one = 1, fd = socket(AF_INET6, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fd, 8) < 0) {
        perror("lab-stream");
        return 1;
    }
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int c = accept(fd, NULL, NULL);
        if (c < 0)
            continue;
        if (fork() == 0) { /* a connection that hangs must not hold up the next */
            check(c);
            _exit(0);
        }
        close(c);
    }
}

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static int send_all(const char *host, const char *port, uint64_t bytes, uint64_t rate)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
    static uint8_t buf[256 * 1024];
    char line[64] = "", want[64];
    if (getaddrinfo(host, port, &hints, &ai) != 0)
        return 1;
    int fd = socket(ai->ai_family, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        freeaddrinfo(ai);
        perror("lab-stream: connect");
        return 1;
    }
    freeaddrinfo(ai);
    uint64_t at = 0, piece = rate && rate / 50 < sizeof buf ? rate / 50 + 1 : sizeof buf;
    if (bytes == 0) {
        struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(SIGTERM, &act, NULL);
    }
    while (bytes ? at < bytes : !stop) {
        size_t n = bytes && bytes - at < piece ? (size_t)(bytes - at) : (size_t)piece;
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_at(at + i);
        ssize_t sent = write(fd, buf, n);
        if (sent <= 0) {
            perror("lab-stream: write");
            return 1;
        }
        at += (uint64_t)sent;
        if (rate)
            usleep((useconds_t)((uint64_t)sent * 1000000 / rate));
    }
    shutdown(fd, SHUT_WR);
    if (read(fd, line, sizeof line - 1) <= 0)
        perror("lab-stream: read");
    printf("%s", line);
    snprintf(want, sizeof want, "ok %llu\n", (unsigned long long)at);
    return strcmp(line, want) != 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "serve"))
        return serve((uint16_t)atoi(argv[2]));
    if ((argc == 5 || argc == 6) && !strcmp(argv[1], "send"))
        return send_all(argv[2], argv[3], strtoull(argv[4], NULL, 10),
                        argc == 6 ? strtoull(argv[5], NULL, 10) : 0);
    fprintf(stderr, "usage: lab-stream serve PORT | send ADDRESS PORT BYTES [RATE]\n");
    return 2;
}
