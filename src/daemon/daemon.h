/* dovetaild: one program for client and gateway. */
#ifndef DT_DAEMON_DAEMON_H
#define DT_DAEMON_DAEMON_H

#include "net/datapath.h"

struct daemon;

int dt_daemon_main(int argc, char **argv);
struct dt_dp_config daemon_data_path(struct daemon *d); /* as it is opened */
void daemon_stop(struct daemon *d);                     /* politely: DELETEs go out first */

#endif
