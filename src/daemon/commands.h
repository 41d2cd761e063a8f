/* The control socket's commands. */
#ifndef DT_DAEMON_COMMANDS_H
#define DT_DAEMON_COMMANDS_H

#include "control/control.h"

extern const struct dt_control_command daemon_commands[]; /* their context is the daemon */

#endif
