/* A service manager for one process (sd_notify(3)), for tests of what it is told:
 *
 *   lab-manager [-w MSEC] [-r COMMAND] PROGRAM [ARGUMENT...]
 *
 * starts PROGRAM and prints each line that it says, as "READY=1". With -w it is told that a watchdog waits that long, and is
 * ended (SIGABRT) when it has been silent for so long after READY=1. With -r the shell runs COMMAND at the first READY=1, and
 * "ready-command STATUS" is printed. TERM, HUP, INT, USR1 and USR2 are passed on. At the end: "ended STATUS", which is ours. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t program;
static bool ready;
static long long fed; /* ms */

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void pass_on(int number)
{
    if (program > 0)
        kill(program, number);
}

static void on_child(int number)
{
}

static void run_ready_command(const char *command)
{
    pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    printf("ready-command %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 255);
}

static void hear(int fd, const char *command)
{
    char text[4096];
    ssize_t n;
    while ((n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
        text[n] = '\0';
        for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
            printf("%s\n", line);
            if (strcmp(line, "WATCHDOG=1") == 0)
                fed = now_ms();
            if (strcmp(line, "READY=1") != 0 || ready)
                continue;
            ready = true;
            fed = now_ms();
            if (command != NULL)
                run_ready_command(command);
        }
    }
    fflush(stdout);
}

static int open_socket(char path[108])
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(path, 108, "/tmp/lab-manager.%d", (int)getpid());
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || chmod(path, 0777) != 0) {
        perror("lab-manager");
        exit(2);
    }
    return fd;
}

static void start(char **argv, const char *path, long watchdog)
{
    char text[32];
    program = fork();
    if (program != 0)
        return;
    setenv("NOTIFY_SOCKET", path, 1);
    if (watchdog > 0) {
        snprintf(text, sizeof(text), "%ld000", watchdog);
        setenv("WATCHDOG_USEC", text, 1);
        snprintf(text, sizeof(text), "%d", (int)getpid());
        setenv("WATCHDOG_PID", text, 1);
    }
    execvp(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

int main(int argc, char **argv)
{
    static const int passed[] = {SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGUSR2};
    const char *command = NULL;
    char path[108];
    long watchdog = 0;
    int o, status = 0;
    while ((o = getopt(argc, argv, "+w:r:")) >= 0) {
        if (o == 'w')
            watchdog = atol(optarg);
        else if (o == 'r')
            command = optarg;
        else
            return 2;
    }
    if (optind >= argc)
        return 2;
    signal(SIGCHLD, on_child);
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        signal(passed[i], pass_on);
    int fd = open_socket(path);
    start(argv + optind, path, watchdog);
    while (waitpid(program, &status, WNOHANG) == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        poll(&p, 1, 100);
        hear(fd, command);
        if (watchdog > 0 && ready && now_ms() - fed > watchdog) {
            printf("watchdog\n");
            kill(program, SIGABRT);
            fed = now_ms();
        }
    }
    hear(fd, command);
    unlink(path);
    status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    printf("ended %d\n", status);
    return status;
}
