/* Key exchanges, on a thread of their own. */
#ifndef DT_DAEMON_JOBS_H
#define DT_DAEMON_JOBS_H

#include "base/err.h"

struct daemon;
struct dt_ike_work;

int jobs_open(struct daemon *d, struct dt_err *err); /* starts a thread: after privileges were given up */
void jobs_add(void *user, struct dt_ike_work *w);    /* the endpoint's ops.work; user is the daemon */
void jobs_stop(struct daemon *d);                    /* after the endpoint was freed: all jobs are wiped */
void jobs_free(struct daemon *d);                    /* after the loop was closed */

#endif
