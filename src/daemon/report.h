/* The whole of status. */
#ifndef DT_DAEMON_REPORT_H
#define DT_DAEMON_REPORT_H

#include "control/control.h"

struct daemon;

/* All that status tells of these names (none: of everything), in pieces of a bounded number of tunnels. */
void report_answer(struct daemon *d, struct dt_control_request *req, const json_t *names);

#endif
