/* Requests that end when something has happened. */
#ifndef DT_DAEMON_WAITS_H
#define DT_DAEMON_WAITS_H

#include "daemon/targets.h"

struct wait_spec {
    enum { WAIT_UP, WAIT_REKEY, WAIT_PING } what;
    struct targets on; /* waits_add copies them */
    dt_time until;
    unsigned count; /* WAIT_PING */
};
void waits_add(struct daemon *d, struct dt_control_request *req, const struct wait_spec *spec);
void waits_event(struct daemon *d, const struct dt_event *ev);
void waits_tick(struct daemon *d, dt_time now);
void waits_forget(struct daemon *d, const struct tun *t); /* it is being removed */

#endif
