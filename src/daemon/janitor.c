/* A process of a few pages that outlives a daemon which was killed. It removes the control socket, and, where nothing was
 * closed, the routing rules. What was closed stays closed until a daemon runs again, or until somebody opens it (`dovetaild
 * --open`). (The TUN device goes with the process that held it, and addresses and routes with the device.) A daemon that
 * ends by itself dismisses it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/state.h"

/* What goes through the pipe. */
#define WORD_CLOSED    'c'
#define WORD_OPEN      'o'
#define WORD_DISMISSED 'q'

static void clean(const char *path, bool closed)
{
    if (!closed)
        routes_open(NULL);
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
    bool closed = false;
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
    while ((n = read(fd, &word, 1)) == 1 || (n < 0 && errno == EINTR)) {
        if (n == 1 && word == WORD_DISMISSED)
            return;
        if (n == 1)
            closed = word == WORD_CLOSED;
    }
    clean(path, closed);
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

void janitor_tell(int fd, bool closed)
{
    const char word = closed ? WORD_CLOSED : WORD_OPEN;
    if (fd >= 0 && write(fd, &word, 1) != 1)
        LOG(DT_LOG_WARN, "the sweeping process is gone; what is closed stays so if this process is killed");
}

void janitor_dismiss(int fd)
{
    if (fd < 0)
        return;
    const char word = WORD_DISMISSED;
    if (write(fd, &word, 1) != 1)
        LOG(DT_LOG_WARN, "the sweeping process is gone already");
    close(fd);
}
