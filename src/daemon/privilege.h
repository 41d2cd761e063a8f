/* Rights, and how they are given up: before there is a second thread. */
#ifndef DT_DAEMON_PRIVILEGE_H
#define DT_DAEMON_PRIVILEGE_H

#include "base/err.h"

int privilege_check(struct dt_err *err);
/* From now on that user (empty: as struct dt_config_daemon says), of no other group, and of all rights CAP_NET_BIND_SERVICE
 * alone; for good. */
int privilege_become(const char *user, struct dt_err *err);
int privilege_none(struct dt_err *err); /* that one too */

#endif
