/* Tunnel endpoint discovery on this host (docs/discovery.md): what drives the engine of ted/ted.h. All of these do nothing
 * without a discover section. Control thread.
 *
 * This room may touch tunnels and gateways (it adds and removes its own), the data path's tunnels for what it looks for, the IKE
 * sockets, taps of its own, and the rules in force, through plans. */
#ifndef DT_DISCOVERY_DISCOVERY_H
#define DT_DISCOVERY_DISCOVERY_H

#include <jansson.h>

#include "config/config.h"
#include "control/control.h"
#include "endpoint/endpoint.h"
#include "host/host.h"
#include "net/datapath.h"

struct daemon;

int discover_apply(struct daemon *d, struct dt_config *c, json_t *report,
                   struct dt_err *err); /* takes the sections out of *c */
void discover_clear(struct daemon *d);  /* before tunnels_clear */
void discover_tick(struct daemon *d, dt_time now);
void discover_event(struct daemon *d, const struct dt_event *ev);
bool discover_need(struct daemon *d, const struct dt_dp_event *ev); /* true: it was discovery's */
bool discover_datagram(struct daemon *d, const struct dt_path *path, const uint8_t *msg, size_t len);
/* Adds what it wants of the host. 0, or -1: no memory. */
int discover_want(struct daemon *d, struct dt_host_facts *facts);
void discover_look_where_it_leads(struct daemon *d); /* another's routing rule may stand before its own */
const char *discover_missing(struct daemon *d); /* why what it protects has no way into the device; NULL */
int discover_psk(struct daemon *d, const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX]);
/* What a peer of discovery may bring to that gateway, and to whom it belongs: NAME, not NAME.HASH.ted. */
void discover_authority(struct daemon *d, const struct dt_config_gateway *g, const struct dt_ike_id *peer,
                        struct dt_authority *out);
int discover_admit(struct daemon *d, const struct dt_endpoint_admission *a,
                   struct dt_err *err); /* -1: it may not */
void discover_counters(struct daemon *d, json_t *o);
json_t *discover_refusals(struct daemon *d,
                          size_t max);      /* what is refused or silent, and why; the oldest first */
json_t *discover_summary(struct daemon *d); /* for status; null without a discover section */
void discover_cmd(void *ctx, struct dt_control_request *req, const json_t *args);
void discover_listen_cmd(void *ctx, struct dt_control_request *req, const json_t *args);
void discover_status_cmd(void *ctx, struct dt_control_request *req, const json_t *args);

#endif
