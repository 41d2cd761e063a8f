/* A process of a few pages that outlives a daemon which was killed: it removes the routing rules and the control
 * socket. (The TUN device goes with the process that held it, and addresses and routes with the device.) A daemon that
 * ends by itself dismisses it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/state.h"

static int open_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    return dt_host_kernel_read(user, have, err);
}

static int open_change(void *user, bool set, const struct dt_host_fact *f, struct dt_err *err)
{
    return dt_host_kernel_change(user, set, f, err);
}

static const struct dt_host_ops open_ops = {.read = open_read, .change = open_change};

/* Wants nothing of the host any more: the routing rules go, and what is left of the table. */
static void open_host(struct dt_nl *nl)
{
    struct dt_host_kernel k = {
        .nl = nl, .table = DT_DAEMON_TABLE, .priority = DT_DAEMON_PRIORITY, .mark = DT_DP_MARK};
    struct dt_host_facts none = {.v = NULL};
    struct dt_host *h = dt_host_new(&open_ops, &k);
    if (h != NULL)
        dt_host_want(h, &none, NULL);
    dt_host_free(h);
    dt_host_kernel_free(&k);
}

static void clean(const char *path)
{
    struct dt_nl *nl = dt_nl_open(NULL);
    if (nl != NULL) {
        open_host(nl);
        dt_nl_close(nl);
    }
    /* A new daemon may have put its own socket there meanwhile: that one answers, and goes on answering. The killed
     * one's may do so too while the kernel is still closing its files. */
    for (int i = 0; i < 20; i++) {
        struct dt_control_client *c = dt_control_connect(path, NULL);
        if (c == NULL) {
            unlink(path);
            break;
        }
        dt_control_disconnect(c);
        usleep(100000);
    }
}

static void watch(int fd, const char *path)
{
    char word;
    ssize_t n;
    setsid();
    prctl(PR_SET_NAME, "dovetail-sweep");
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    /* Whoever waits for the daemon's output must not wait for us. */
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; null >= 0 && i <= 2; i++)
        dup2(null, i);
    for (int i = 3; i < 64; i++)
        if (i != fd)
            close(i);
    if (chdir("/") != 0 || privilege_drop(false, NULL) != 0)
        return;
    do
        n = read(fd, &word, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        clean(path);
}

int janitor_start(const char *socket_path, struct dt_err *err)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0)
        return dt_err_set(err, 0, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return dt_err_set(err, 0, "cannot start a process: %s", strerror(errno));
    }
    if (pid == 0) {
        /* Once more, so that nobody has to wait for it. */
        close(pair[1]);
        if (fork() == 0)
            watch(pair[0], socket_path);
        _exit(0);
    }
    close(pair[0]);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return pair[1];
}

void janitor_dismiss(int fd)
{
    if (fd < 0)
        return;
    if (write(fd, "q", 1) != 1)
        LOG(DT_LOG_WARN, "the sweeping process is gone already");
    close(fd);
}
