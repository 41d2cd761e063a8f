/* What stays root's beside a natd that is not: a process with no capability but to read files, which reads the settings again when it
 * is asked to, and removes the control socket at the end, as nobody else can in root's folder. It is told nothing: which file and
 * which socket stood on natd's command line. */
#include "natd/natd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rights.h"

#define PATIENCE 20 /* seconds */

enum natd_asked { NATD_READ = 'r', NATD_LEAVE = 'l' /* another natd has the socket: it stays */ };

/* Of the answer to NATD_READ: complaints, then what was read. */
struct natd_answer {
    int32_t done, rc;
    struct natd_config cfg;
    char text[1024];
};

static void answer_complaint(void *ctx, const char *text)
{
    struct natd_answer a = {.done = 0};
    snprintf(a.text, sizeof(a.text), "%s", text);
    send(*(const int *)ctx, &a, sizeof(a), MSG_NOSIGNAL);
}

static void read_again(int fd, const char *file)
{
    struct natd_answer a = {.done = 1};
    natd_config_defaults(&a.cfg);
    a.rc = natd_config_read(&a.cfg, file, answer_complaint, &fd);
    send(fd, &a, sizeof(a), MSG_NOSIGNAL);
}

/* A socket where somebody answers is another natd's. */
static void remove_socket(const char *path)
{
    struct dt_err err = {0};
    struct dt_control_client *c = dt_control_connect(path, &err);
    if (c)
        dt_control_disconnect(c);
    else
        unlink(path);
}

static _Noreturn void serve(int fd, const struct natd *d)
{
    static const int deaf[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE};
    char asked;
    for (size_t i = 0; i < sizeof(deaf) / sizeof(deaf[0]); i++)
        signal(deaf[i], SIG_IGN);
    prctl(PR_SET_NAME, "natd-keeper");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i <= 2; i++)
        dup2(null, i);
    close_range(3, (unsigned)fd - 1, 0);
    close_range((unsigned)fd + 1, ~0u, 0);
    if (dt_rights_keep(DT_RIGHT(CAP_DAC_READ_SEARCH)))
        _exit(1);
    while (recv(fd, &asked, 1, 0) == 1) {
        if (asked == NATD_LEAVE)
            _exit(0);
        if (asked == NATD_READ && d->config_file)
            read_again(fd, d->config_file);
    }
    remove_socket(d->cfg.socket);
    _exit(0);
}

int natd_keeper_start(struct natd *d, struct dt_err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return dt_err_set(err, 0, "no socket: %s", strerror(errno));
    d->keeper_pid = fork();
    if (d->keeper_pid == 0) {
        close(pair[0]);
        serve(pair[1], d);
    }
    close(pair[1]);
    if (d->keeper_pid < 0) {
        close(pair[0]);
        return dt_err_set(err, 0, "cannot start a process: %s", strerror(errno));
    }
    d->keeper = pair[0];
    return 0;
}

static int keeper_gone(natd_complaint *say, void *ctx)
{
    say(ctx, "the process that reads the settings (natd-keeper) has ended; restart dovetail-natd");
    return -1;
}

int natd_keeper_read(struct natd *d, struct natd_config *out, natd_complaint *say, void *ctx)
{
    const char asked = NATD_READ;
    struct natd_answer a;
    if (send(d->keeper, &asked, 1, MSG_NOSIGNAL) != 1)
        return keeper_gone(say, ctx);
    for (;;) {
        struct pollfd p = {.fd = d->keeper, .events = POLLIN};
        int n;
        do
            n = poll(&p, 1, PATIENCE * 1000);
        while (n < 0 && errno == EINTR);
        if (n <= 0 || recv(d->keeper, &a, sizeof(a), 0) != (ssize_t)sizeof(a))
            return keeper_gone(say, ctx);
        if (a.done)
            break;
        a.text[sizeof(a.text) - 1] = '\0';
        say(ctx, a.text);
    }
    *out = a.cfg;
    return a.rc;
}

void natd_keeper_end(struct natd *d)
{
    const char asked = NATD_LEAVE;
    if (d->keeper <= 0)
        return;
    if (d->handed_over)
        send(d->keeper, &asked, 1, MSG_NOSIGNAL);
    close(d->keeper);
    d->keeper = 0;
    while (waitpid(d->keeper_pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
