/* The parts of the room `daemon` itself, beside those of struct daemon (tunnels/daemon.h). */
#ifndef DT_DAEMON_TOP_H
#define DT_DAEMON_TOP_H

#include <stdio.h>

#include "control/control.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/metrics.h"
#include "daemon/refusals.h"

struct top {
    struct loop loop;
    struct jobs *jobs; /* jobs.c */
    struct dt_control_server *control;
    struct dt_list waits; /* requests that wait for something to happen (waits.c) */
    struct manager manager;
    struct metrics metrics;
    struct refusals refusals;
    struct strangers {
        dt_time second; /* log lines about those who belong to no tunnel, in this second */
        unsigned n;
    } strangers;
    FILE *keylog;
    uint64_t events, config_loads, config_errors;
    bool closing; /* every session is being closed */
    dt_time stop_by;
    int status; /* the process's */
};

#endif
