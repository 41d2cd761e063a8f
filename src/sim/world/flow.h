/* One direction of one client's traffic, and what became of it: numbered packets at a steady pace, and the times in
 * which none got through. A gap runs from when the first missing packet was sent to when the first one after it
 * that arrived was sent. */
#ifndef DT_SIM_FLOW_H
#define DT_SIM_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* Stands in the payload. */
struct sim_mark {
    uint32_t flow;
    uint32_t number;
    dt_time sent;
    dt_time next; /* when the packet after it will be sent, as planned */
};
#define SIM_MARK_LEN 24

struct sim_flow {
    uint64_t sent, delivered;
    uint32_t expected; /* number of the next packet that should arrive */
    dt_time good_next; /* when it is sent; until the first delivery: when the first packet was sent */
    dt_time down;      /* all gaps together */
    dt_time worst;     /* the longest */
    dt_time last_up;   /* end of the last gap; 0: there was none */
    dt_time last_down; /* its beginning */
    uint32_t gaps;
    bool first_done;
};

/* Fills in the mark of the next packet. */
void sim_flow_send(struct sim_flow *f, uint32_t flow, dt_time now, dt_time next, uint8_t mark[SIM_MARK_LEN]);
/* True when this delivery ended a gap. */
bool sim_flow_delivered(struct sim_flow *f, const struct sim_mark *m);
/* The traffic has ended: packets that are missing now are lost. True: the flow was down at its end. */
bool sim_flow_end(struct sim_flow *f, dt_time now);
bool sim_mark_read(struct sim_mark *m, const void *p, size_t len);

#endif
