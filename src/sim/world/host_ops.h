/* What a host's endpoint calls (struct dt_endpoint_ops), and the few things that host.c and host_ops.c share. */
#ifndef DT_SIM_HOST_OPS_H
#define DT_SIM_HOST_OPS_H

#include "sim/world/host.h"

/* Fills in a packet's ghost and puts it on its way. Owns p. */
void sim_host_send(struct sim_host *h, struct sim_packet *p);
/* Seals and sends one inner packet, or a dummy (`next` as in wire/esp.h). */
bool sim_host_esp(struct sim_host *h, struct sim_sa *sa, uint8_t next, const uint8_t *inner, size_t len,
                  uint8_t load);
/* Sends what was held, if there is a way now. */
void sim_host_unhold(struct sim_host *h, struct sim_tunnel *t);
struct sim_tunnel *sim_host_tunnel_by_id(struct sim_host *h, uint32_t id);
/* Removes every SA and tunnel. */
void sim_host_ops_clear(struct sim_host *h);

#endif
