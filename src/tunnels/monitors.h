/* Streams of events, for `dovetail monitor`. Control thread. */
#ifndef DT_TUNNELS_MONITORS_H
#define DT_TUNNELS_MONITORS_H

#include "control/control.h"
#include "endpoint/endpoint.h"

struct daemon;

/* An endless request is answered with what happens to those names from now on (an array; else: to all). The caller has seen that
 * they are names of something; `awaited` is one whose client is not here yet, or NULL. */
void monitors_add(struct daemon *d, struct dt_control_request *req, const json_t *names, const char *awaited);
void monitors_event(struct daemon *d, const struct dt_event *ev);
void monitors_json(struct daemon *d, json_t *event); /* stolen; to every monitor of all tunnels */

bool client_is(const struct dt_ike_id *id, const char *name); /* a gateway's client, as people name it */

#endif
