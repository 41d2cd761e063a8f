/* What the endpoint asks for, done with sockets, data path and leases; and what the data path reports, told to the endpoint. */
#ifndef DT_DAEMON_DRIVER_H
#define DT_DAEMON_DRIVER_H

#include "endpoint/endpoint.h"
#include "net/datapath.h"
#include "tunnels/daemon.h"

extern const struct dt_endpoint_ops driver_ops; /* user is the daemon */
extern const struct daemon_above
    driver_above; /* what happens to tunnels, told to plans, discovery and waits */
void driver_dp_event(struct daemon *d, const struct dt_dp_event *ev);

#endif
