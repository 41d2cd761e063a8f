/* The process: one request after the other, until the daemon says goodbye or is gone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control.h"
#include "keeper/message.h"

#define READER_TIME 60 /* seconds that the reading of a configuration may take */
#define RUNS_MAX    16 /* children at a time that run programs */
#define CLEAR_TIME  6  /* seconds that the end waits for the resolver */
#define ANSWERS_TRIES                                                                                        \
    20 /* a tenth of a second each: how long the kernel may take to close a killed daemon's files */

/* A child that runs a program. */
struct run {
    pid_t pid; /* 0: none */
    int end;   /* readable when it has ended */
};

struct keeper {
    int fd;
    const char *config;
    pid_t reader;             /* the last child, which may have ended; 0 */
    int reader_end;           /* readable when it has; -1: this kernel cannot say */
    struct keeper_host *host; /* NULL before the setup */
    struct dt_keeper_setup setup;
    struct dt_tap *tap;
    struct run run[RUNS_MAX];
    bool names; /* some were set, as far as is known */
    bool dismissed;
};

static int serve_answer(struct keeper *k, const struct keeper_reply *r, size_t len, const int *fds,
                        size_t nfds)
{
    int rc = keeper_send(k->fd, r, offsetof(struct keeper_reply, u) + len, fds, nfds);
    for (size_t i = 0; i < nfds; i++)
        close(fds[i]);
    return rc;
}

static int answer_done(struct keeper *k, int rc, const struct dt_err *err)
{
    struct keeper_reply r = {.answer = KEEPER_DONE, .rc = rc, .u.err = *err};
    return serve_answer(k, &r, sizeof(r.u.err), NULL, 0);
}

/* ---- the configuration ---- */

static void end_reader(struct keeper *k)
{
    if (k->reader <= 0)
        return;
    kill(k->reader, SIGKILL); /* ours until it is waited for: its number is nobody else's */
    waitpid(k->reader, NULL, 0);
    k->reader = 0;
    if (k->reader_end >= 0)
        close(k->reader_end);
    k->reader_end = -1;
}

static int do_load(struct keeper *k)
{
    int pair[2];
    struct dt_err err = {0};
    struct keeper_reply r = {.answer = KEEPER_DONE};
    end_reader(k);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        dt_err_set(&err, 0, "no socket: %s", strerror(errno));
        return answer_done(k, -1, &err);
    }
    k->reader = fork();
    if (k->reader == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGALRM, SIG_DFL);
        alarm(READER_TIME);
        close(k->fd);
        close(pair[0]);
        keeper_files_serve(pair[1], k->config);
        _exit(0);
    }
    close(pair[1]);
    if (k->reader > 0)
        k->reader_end = (int)syscall(SYS_pidfd_open, k->reader, 0);
    if (k->reader < 0) {
        dt_err_set(&err, 0, "no process: %s", strerror(errno));
        close(pair[0]);
        return answer_done(k, -1, &err);
    }
    return serve_answer(k, &r, sizeof(r.u.err), pair, 1);
}

/* ---- the host ---- */

static int do_setup(struct keeper *k, const struct dt_keeper_setup *s)
{
    struct dt_err err = {0};
    if (k->host != NULL)
        return -1; /* it is set up once */
    k->setup = *s;
    k->host = keeper_host_new(s, &err);
    return answer_done(k, k->host != NULL ? 0 : -1, &err);
}

static int do_device(struct keeper *k)
{
    struct keeper_reply r = {.answer = KEEPER_DONE};
    struct dt_err err = {0};
    int fds[KEEPER_FDS_MAX];
    if (k->host == NULL)
        return -1;
    if (keeper_host_device(k->host, &r.u.tun, fds, &err) != 0)
        return answer_done(k, -1, &err);
    return serve_answer(k, &r, sizeof(r.u.tun), fds, k->setup.queues);
}

/* from: what came beside the request; -1: nothing did. */
static int do_keep(struct keeper *k, uint32_t file, int from)
{
    struct dt_err err = {0};
    const char *path = file == DT_KEEPER_LEASES ? k->setup.leases : k->setup.kept;
    if (k->host == NULL || path[0] == '\0' || from < 0)
        return -1;
    return answer_done(k, keeper_keep(path, file == DT_KEEPER_LEASES, from, &err), &err);
}

static int do_keylog(struct keeper *k)
{
    struct keeper_reply r = {.answer = KEEPER_DONE};
    struct dt_err err = {0};
    if (k->host == NULL || k->setup.keylog[0] == '\0')
        return -1;
    int fd = dt_keylog_open(k->setup.keylog, &err);
    return fd >= 0 ? serve_answer(k, &r, sizeof(r.u.err), &fd, 1) : answer_done(k, -1, &err);
}

static int do_socket(struct keeper *k, const struct keeper_socket *s)
{
    struct keeper_reply r = {.answer = KEEPER_DONE};
    struct dt_err err = {0};
    const uint32_t mark = DT_DP_MARK;
    int fd = socket(s->ver == 4 ? AF_INET : AF_INET6,
                    (s->stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
        return serve_answer(k, &r, sizeof(r.u.err), &fd, 1);
    dt_err_set(&err, 0, "no socket: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return answer_done(k, -1, &err);
}

/* ---- discovery ---- */

static void discover_close(struct keeper *k)
{
    if (k->host != NULL)
        keeper_host_tap(k->host, NULL);
    dt_tap_close(k->tap);
    k->tap = NULL;
}

static int do_discover_open(struct keeper *k)
{
    struct keeper_reply r = {.answer = KEEPER_DONE};
    struct dt_err err = {0};
    int fds[4] = {-1, -1, -1, -1};
    if (k->host == NULL || k->tap != NULL)
        return -1;
    fds[0] = dt_raw_udp_open(4, DT_DP_MARK, &err);
    fds[1] = fds[0] >= 0 ? dt_raw_udp_open(6, DT_DP_MARK, &err) : -1;
    k->tap = fds[1] >= 0 ? dt_tap_open(k->setup.ike_port, &err) : NULL;
    if (k->tap != NULL) {
        fds[2] = fcntl(dt_tap_fd(k->tap, 4), F_DUPFD_CLOEXEC, 0);
        fds[3] = fcntl(dt_tap_fd(k->tap, 6), F_DUPFD_CLOEXEC, 0);
        keeper_host_tap(k->host, k->tap);
        if (fds[2] >= 0 && fds[3] >= 0)
            return serve_answer(k, &r, sizeof(r.u.err), fds, 4);
        dt_err_set(&err, 0, "no descriptor: %s", strerror(errno));
    }
    discover_close(k);
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return answer_done(k, -1, &err);
}

/* ---- programs ---- */

static void reap_run(struct run *x)
{
    waitpid(x->pid, NULL, 0);
    close(x->end);
    x->pid = 0;
}

/* A child that is in the list of those that run something. As fork; -1 with *err. */
static pid_t fork_run(struct keeper *k, struct run **at, struct dt_err *err)
{
    struct run *x = NULL;
    for (size_t i = 0; i < RUNS_MAX && x == NULL; i++)
        if (k->run[i].pid == 0)
            x = &k->run[i];
    if (x == NULL)
        return dt_err_set(err, 0, "%d programs run already", RUNS_MAX);
    pid_t pid = fork();
    if (pid < 0)
        return dt_err_set(err, 0, "no process: %s", strerror(errno));
    if (pid == 0) {
        close(k->fd);
        return 0;
    }
    int end = (int)syscall(SYS_pidfd_open, pid, 0);
    if (end < 0) {
        waitpid(pid, NULL, 0); /* an old kernel: one at a time */
        return pid;
    }
    *x = (struct run){.pid = pid, .end = end};
    if (at != NULL)
        *at = x;
    return pid;
}

static int do_names(struct keeper *k, const struct dt_keeper_names *n)
{
    int pair[2];
    struct dt_err err = {0};
    struct keeper_reply r = {.answer = KEEPER_DONE};
    if (k->host == NULL)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        dt_err_set(&err, 0, "no socket: %s", strerror(errno));
        return answer_done(k, -1, &err);
    }
    pid_t pid = fork_run(k, NULL, &err);
    if (pid == 0) {
        close(pair[0]);
        keeper_names_apply(pair[1], k->setup.device, n);
        _exit(0);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return answer_done(k, -1, &err);
    }
    k->names = n->n > 0;
    return serve_answer(k, &r, sizeof(r.u.err), pair, 1);
}

/* The device's name servers are nobody's any more. Waits, but not for long. */
static void forget_names(struct keeper *k)
{
    struct dt_keeper_names none = {.n = 0};
    struct run *x = NULL;
    pid_t pid = k->names ? fork_run(k, &x, NULL) : -1;
    if (pid == 0) {
        keeper_names_apply(-1, k->setup.device, &none);
        _exit(0);
    }
    if (pid < 0 || x == NULL)
        return;
    struct pollfd p = {.fd = x->end, .events = POLLIN};
    if (poll(&p, 1, CLEAR_TIME * 1000) > 0)
        reap_run(x);
}

/* ---- the end ---- */

/* Does a daemon answer at the control socket? A killed one may for as long as the kernel closes its files. */
static bool daemon_answers(const char *path, int tries)
{
    for (int i = 0; i < tries; i++) {
        struct dt_control_client *c = dt_control_connect(path, NULL);
        if (c == NULL)
            return false;
        dt_control_disconnect(c);
        usleep(100000);
    }
    return true;
}

static void sweep(struct keeper *k)
{
    discover_close(k);
    end_reader(k);
    if (k->host == NULL)
        return;
    /* A new daemon has taken over what stands, and put its own socket there. */
    if (!daemon_answers(k->setup.socket, k->dismissed ? 1 : ANSWERS_TRIES)) {
        unlink(k->setup.socket);
        forget_names(k);
        if (!k->dismissed)
            keeper_host_end(k->host);
    }
    keeper_host_free(k->host);
    k->host = NULL;
}

/* 0: go on. */
static int serve_one(struct keeper *k, const struct keeper_request *r, int beside)
{
    const struct dt_err none = {0};
    switch (r->what) {
    case KEEPER_LOAD:
        return do_load(k);
    case KEEPER_SETUP:
        return do_setup(k, &r->u.setup);
    case KEEPER_DEVICE:
        return do_device(k);
    case KEEPER_FACTS:
        return k->host != NULL && keeper_host_add(k->host, r->u.fact, r->n) ? 0 : -1;
    case KEEPER_WANT:
        return k->host != NULL ? keeper_host_want(k->host, r->n, k->fd) : -1;
    case KEEPER_KEEP:
        return do_keep(k, r->n, beside);
    case KEEPER_KEYLOG:
        return do_keylog(k);
    case KEEPER_NAMES:
        return do_names(k, &r->u.names);
    case KEEPER_SOCKET:
        return do_socket(k, &r->u.socket);
    case KEEPER_DISCOVER_OPEN:
        return do_discover_open(k);
    case KEEPER_DISCOVER_CLOSE:
        discover_close(k);
        return answer_done(k, 0, &none);
    default: /* KEEPER_DISMISS */
        k->dismissed = true;
        return -1;
    }
}

/* Until there is a request. A child that has ended does not stay in the list of processes meanwhile. */
static void wait_for_request(struct keeper *k)
{
    for (;;) {
        struct pollfd p[2 + RUNS_MAX] = {{.fd = k->fd, .events = POLLIN},
                                         {.fd = k->reader_end, .events = POLLIN}};
        for (size_t i = 0; i < RUNS_MAX; i++)
            p[2 + i] = (struct pollfd){.fd = k->run[i].pid != 0 ? k->run[i].end : -1, .events = POLLIN};
        int n = poll(p, 2 + RUNS_MAX, -1);
        if (n > 0 && p[1].revents != 0)
            end_reader(k);
        for (size_t i = 0; n > 0 && i < RUNS_MAX; i++)
            if (p[2 + i].revents != 0)
                reap_run(&k->run[i]);
        if ((n < 0 && errno != EINTR) || p[0].revents != 0)
            return;
    }
}

int keeper_serve(int fd, const char *config)
{
    struct keeper k = {.fd = fd, .config = config, .reader_end = -1};
    const struct dt_err none = {0};
    static struct keeper_request r;
    for (;;) {
        int beside = -1;
        size_t nbeside = 1;
        wait_for_request(&k);
        ssize_t n = keeper_recv(fd, &r, sizeof(r), &beside, &nbeside);
        bool go_on = n > 0 && keeper_request_ok(&r, (size_t)n) && serve_one(&k, &r, beside) == 0;
        if (n > 0 && nbeside > 0)
            close(beside);
        if (!go_on)
            break;
    }
    sweep(&k);
    if (k.dismissed)
        answer_done(&k, 0, &none);
    return k.dismissed ? 0 : -1;
}
