/* Whom a gateway turned away, and why. A stranger pushes out other strangers at most. */
#ifndef DT_DAEMON_REFUSALS_H
#define DT_DAEMON_REFUSALS_H

#include <jansson.h>

#include "endpoint/endpoint.h"

struct daemon;

#define DT_DAEMON_REFUSALS 8
struct turned_away {
    struct dt_addr from;
    char at[DT_ADDRPORT_STRLEN]; /* with the port of the last time */
    char why[DT_ERR_TEXT];
    dt_time when;
    unsigned count;
};

struct refusals {
    struct turned_away newest[DT_DAEMON_REFUSALS]; /* the newest first; count 0: none */
};

void refusals_event(struct daemon *d, const struct dt_event *ev);
json_t *refusals_json(struct daemon *d);

#endif
