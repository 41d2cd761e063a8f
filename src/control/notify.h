/* What the service manager that started this process is told (sd_notify(3)): datagrams of lines NAME=VALUE. Without a service
 * manager nothing is sent, and every function here does nothing. One thread uses it. */
#ifndef DT_CONTROL_NOTIFY_H
#define DT_CONTROL_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/time.h"

struct dt_notify {
    int fd;
    struct sockaddr_un to;
    socklen_t len;    /* 0: nobody listens */
    dt_time watchdog; /* how long it may be silent before it is ended; 0: for ever */
    dt_time fed;      /* when it last said that it lives */
};

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child speaks for this process. A
 * watchdog that is meant for another process is none. Needs no rights later: the socket is open from here on. */
void dt_notify_open(struct dt_notify *n);
void dt_notify_close(struct dt_notify *n);

/* `status` is a line for `systemctl status`. */
void dt_notify_ready(struct dt_notify *n, const char *status);
void dt_notify_reloading(struct dt_notify *n); /* dt_notify_ready() ends it, also when nothing was changed */
void dt_notify_stopping(struct dt_notify *n, const char *status);
void dt_notify_status(struct dt_notify *n, const char *status);
/* To be called at least three times in `watchdog`: it is passed on no more often than is needed. */
void dt_notify_alive(struct dt_notify *n, dt_time now);

#endif
