/* How the keeper comes to be. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/client.h"

/* Devices, routes and filters; raw sockets and marks; files of whomever. */
static const int kept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_DAC_READ_SEARCH};

static int keep_rights(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    uint32_t keep = 0;
    for (size_t i = 0; i < DT_ARRAY_LEN(kept); i++)
        keep |= 1u << kept[i];
    if (syscall(SYS_capget, &head, data) != 0)
        return -1;
    keep &= data[0].permitted;
    data[0] = (struct __user_cap_data_struct){.effective = keep, .permitted = keep};
    data[1] = (struct __user_cap_data_struct){0};
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (!(cap < 32 && (keep & 1u << cap)))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* fails where it is gone already */
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_capset, &head, data) != 0 ? -1 : 0;
}

/* Its own session, no output that somebody waits for, no descriptor but its socket, and nobody looks into it. */
static int settle_down(int fd)
{
    struct rlimit none = {0, 0};
    setsid();
    prctl(PR_SET_NAME, "dovetail-keeper");
    /* A service manager sends the same to every process of a service: it ends when the daemon has ended, and after it. */
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGQUIT, SIGABRT, SIGPIPE};
    for (size_t i = 0; i < DT_ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker attaches to its own process at the end */
    prctl(PR_SET_DUMPABLE, 0);
#endif
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i <= 2; i++)
        dup2(null, i);
    close_range(3, (unsigned)fd - 1, 0);
    close_range((unsigned)fd + 1, ~0u, 0);
    return chdir("/") != 0 || keep_rights() != 0 ? -1 : 0;
}

struct dt_keeper *dt_keeper_start(const char *config, struct dt_err *err)
{
    int pair[2];
    struct dt_keeper *k = calloc(1, sizeof(*k));
    if (k == NULL || (k->config = strdup(config)) == NULL ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        dt_err_set(err, 0, "no keeper: %s", strerror(errno));
        if (k != NULL)
            free(k->config);
        free(k);
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0) {
        /* Once more, so that nobody has to wait for it. */
        close(pair[0]);
        if (fork() == 0 && settle_down(pair[1]) == 0)
            keeper_serve(pair[1], k->config);
        _exit(0);
    }
    close(pair[1]);
    k->fd = pair[0];
    if (pid < 0) {
        dt_err_set(err, 0, "cannot start a process: %s", strerror(errno));
        close(k->fd);
        free(k->config);
        free(k);
        return NULL;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return k;
}
