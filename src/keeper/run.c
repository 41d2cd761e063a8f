/* Programs that the keeper runs, each in a child of its own that does nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"
#include "keeper/message.h"

#define RUN_LINES  100 /* of the output that are told; the rest is counted */
#define LINE_CAP   480
#define READ_SLICE 4096
#define CANNOT_RUN 127
#define PATH_USUAL "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void keeper_say(int out, bool end, int rc, const char *text)
{
    struct dt_keeper_word w = {.end = end, .rc = rc};
    dt_utf8_printf(w.text, sizeof(w.text), "%s", text);
    for (char *p = w.text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    if (out >= 0)
        while (send(out, &w, sizeof(w), MSG_NOSIGNAL) < 0 && errno == EINTR)
            ;
}

bool keeper_run_found(const char *name, char *path, size_t cap)
{
    const char *at = getenv("PATH");
    if (at == NULL || *at == '\0')
        at = PATH_USUAL;
    while (*at != '\0') {
        size_t n = strcspn(at, ":");
        int len = snprintf(path, cap, "%.*s/%s", (int)n, at, name);
        if (n > 0 && at[0] == '/' && len > 0 && (size_t)len < cap && access(path, X_OK) == 0)
            return true;
        at += n + (at[n] == ':');
    }
    return false;
}

/* ---- the program's side ---- */

/* Returns when it cannot be run. */
static void become(const struct keeper_program *p, int in, int out)
{
    char path[4096];
    setpgid(0, 0);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL); /* what the keeper ignores a program would ignore too */
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        return;
    close_range(3, ~0u, 0);
    if (strchr(p->argv[0], '/') != NULL)
        snprintf(path, sizeof(path), "%s", p->argv[0]);
    else if (!keeper_run_found(p->argv[0], path, sizeof(path)))
        return;
    execve(path, (char *const *)(uintptr_t)p->argv, (char *const *)(uintptr_t)p->envp);
    dprintf(2, "%s\n", strerror(errno));
}

/* ---- its keeper's side ---- */

struct output {
    const struct keeper_program *p;
    char line[LINE_CAP];
    size_t len, lines, left_out;
};

static void end_line(struct output *o)
{
    o->line[o->len] = '\0';
    if (o->len > 0 && o->lines++ < RUN_LINES)
        o->p->line(o->p->user, o->line);
    else if (o->len > 0)
        o->left_out++;
    o->len = 0;
}

static void take_output(struct output *o, const char *text, size_t n)
{
    for (size_t i = 0; i < n && o->p->line != NULL; i++) {
        if (text[i] == '\n' || o->len == LINE_CAP - 1)
            end_line(o);
        if (text[i] != '\n' && text[i] != '\0')
            o->line[o->len++] = text[i];
    }
}

static void end_output(struct output *o)
{
    char text[64];
    if (o->p->line == NULL)
        return;
    end_line(o);
    snprintf(text, sizeof(text), "%zu more lines were left out", o->left_out);
    if (o->left_out > 0)
        o->p->line(o->p->user, text);
}

static int milliseconds_left(const struct timespec *until)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long ms = (until->tv_sec - now.tv_sec) * 1000 + (until->tv_nsec - now.tv_nsec) / 1000000;
    return ms > 0 ? (int)ms : 0;
}

/* What is there now; false: the last has closed it. */
static bool read_some(struct output *o, int fd)
{
    char slice[READ_SLICE];
    ssize_t n = read(fd, slice, sizeof(slice));
    if (n > 0)
        take_output(o, slice, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Until the program has ended (true), or the time is up. Who holds its output open after it is not waited for. */
static bool attend(struct output *o, int from, int ended)
{
    struct timespec until;
    bool open = true;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += o->p->seconds;
    for (;;) {
        struct pollfd p[2] = {{.fd = ended, .events = POLLIN}, {.fd = open ? from : -1, .events = POLLIN}};
        int left = milliseconds_left(&until), n = poll(p, 2, left);
        if (n == 0 || left == 0)
            return false;
        if (n > 0 && p[1].revents != 0)
            open = read_some(o, from);
        else if (n > 0 && p[0].revents != 0)
            return true;
    }
}

static int exit_of(const struct keeper_program *p, int status, bool in_time, struct dt_err *err)
{
    if (!in_time)
        return dt_err_set(err, 0, "%s had not ended after %u s, and was killed", p->argv[0], p->seconds);
    if (WIFSIGNALED(status))
        return dt_err_set(err, 0, "%s was ended by signal %d", p->argv[0], WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* A file with that text, at its beginning. */
static int input_of(const char *text)
{
    int fd = text != NULL ? memfd_create("input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && text != NULL && pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text)) {
        close(fd);
        return -1;
    }
    return fd;
}

int keeper_run(const struct keeper_program *p, struct dt_err *err)
{
    struct output o = {.p = p};
    int out[2] = {-1, -1}, in = input_of(p->input), status = 0;
    if (in < 0 || pipe2(out, O_CLOEXEC) != 0) {
        dt_err_set(err, 0, "%s cannot be run: %s", p->argv[0], strerror(errno));
        if (in >= 0)
            close(in);
        return -1;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    pid_t pid = fork();
    if (pid == 0) {
        become(p, in, out[1]);
        _exit(CANNOT_RUN);
    }
    close(in);
    close(out[1]);
    int ended = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    bool in_time = ended >= 0 && attend(&o, out[0], ended);
    int rc = -1;
    if (pid > 0) {
        setpgid(pid, pid); /* it may not have come to that itself */
        if (!in_time)
            kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        end_output(&o);
        rc = exit_of(p, status, in_time, err);
    } else {
        dt_err_set(err, 0, "%s cannot be run: %s", p->argv[0], strerror(errno));
    }
    if (ended >= 0)
        close(ended);
    close(out[0]);
    return rc;
}
