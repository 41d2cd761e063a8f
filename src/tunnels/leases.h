/* Inside addresses for clients, as the endpoint asks for them (dt_endpoint_ops.lease and .release; user is the daemon), out of
 * the store of tunnels/lease.h. Control thread. */
#ifndef DT_TUNNELS_LEASES_H
#define DT_TUNNELS_LEASES_H

#include "endpoint/endpoint.h"

struct daemon;

int leases_take(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err);
/* Several times a second: what could not be written is tried again now and then, and the log says when that begins and ends. */
void leases_tick(struct daemon *d, dt_time now);
/* A sentence when leases are not on the disk, else NULL; a host without gateways has none. */
const char *leases_unkept(const struct daemon *d);
void leases_release(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                    const struct dt_ike_inside *given);

#endif
