#include "control/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define FEEDS    4 /* in the time that the watchdog waits */
#define PATIENCE 2 /* seconds, with a manager whose queue is full */

static dt_time read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    if (usec == NULL || (pid != NULL && strtoul(pid, NULL, 10) != (unsigned long)getpid()))
        return 0;
    unsigned long long n = strtoull(usec, &end, 10);
    return *end == '\0' && n < DT_NEVER / DT_USEC ? n * DT_USEC : 0;
}

static bool notify_address(struct dt_notify *n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path != NULL ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(n->to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return false;
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, path, len);
    if (path[0] == '@') /* an abstract name */
        n->to.sun_path[0] = '\0';
    n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

void dt_notify_open(struct dt_notify *n)
{
    static const struct timeval patience = {.tv_sec = PATIENCE};
    *n = (struct dt_notify){.fd = -1};
    if (notify_address(n) && (n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0)
        n->watchdog = read_watchdog();
    else
        n->len = 0;
    if (n->len > 0)
        setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void dt_notify_close(struct dt_notify *n)
{
    if (n->len > 0)
        close(n->fd);
    *n = (struct dt_notify){.fd = -1};
}

/* What the manager waits for is worth some patience; of the rest (`now`) it hears the next one. */
static void notify_tell(struct dt_notify *n, const char *text, bool now)
{
    int flags = MSG_NOSIGNAL | (now ? MSG_DONTWAIT : 0);
    if (n->len > 0 && sendto(n->fd, text, strlen(text), flags, (const struct sockaddr *)&n->to, n->len) < 0)
        dt_log(DT_LOG_DEBUG, "notify", "the service manager does not hear: %s", strerror(errno));
}

/* What the manager shows is one line. */
static void tell_with_status(struct dt_notify *n, const char *first, const char *status)
{
    char text[512];
    snprintf(text, sizeof(text), "%sSTATUS=%.400s", first, status);
    char *line_end = strchr(strstr(text, "STATUS="), '\n');
    if (line_end != NULL)
        *line_end = '\0';
    notify_tell(n, text, first[0] == '\0');
}

void dt_notify_ready(struct dt_notify *n, const char *status)
{
    tell_with_status(n, "READY=1\n", status);
}

void dt_notify_reloading(struct dt_notify *n)
{
    char text[64];
    struct timespec now; /* of the clock that systemd compares it with */
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    notify_tell(n, text, false);
}

void dt_notify_stopping(struct dt_notify *n, const char *status)
{
    tell_with_status(n, "STOPPING=1\n", status);
}

void dt_notify_status(struct dt_notify *n, const char *status)
{
    tell_with_status(n, "", status);
}

void dt_notify_alive(struct dt_notify *n, dt_time now)
{
    if (n->watchdog == 0 || (n->fed != 0 && dt_time_sub(now, n->fed) < n->watchdog / FEEDS))
        return;
    n->fed = now;
    notify_tell(n, "WATCHDOG=1", true);
}
