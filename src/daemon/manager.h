/* What the service manager is told. */
#ifndef DT_DAEMON_MANAGER_H
#define DT_DAEMON_MANAGER_H

#include "base/time.h"
#include "control/notify.h"

struct daemon;

struct manager {
    struct dt_notify notify;
    dt_time next;   /* when the line is made anew */
    char line[400]; /* as it was told last */
};

void manager_ready(struct daemon *d); /* also when a reload has ended */
void manager_reloading(struct daemon *d);
void manager_stopping(struct daemon *d);
void manager_beat(struct daemon *d, dt_time now); /* the watchdog, and the line when it has changed */

#endif
