/* What is written down while a scenario runs: packets, items, epochs, faults and words. Diagrams, timelines and
 * the comparison with real daemons are made from it. Bounded: what does not fit is counted. */
#ifndef DT_SIM_NOTE_H
#define DT_SIM_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"
#include "sim/world/packet.h"

enum sim_note_kind {
    SIM_NOTE_PACKET = 1,   /* left node a for node b at `at`; `until`: arrives, DT_NEVER: lost on the way */
    SIM_NOTE_DROP,         /* node a dropped a packet from node b */
    SIM_NOTE_ITEM_NEW,     /* router a: an outstanding item of client b */
    SIM_NOTE_ITEM_SET,     /* it was established: spi_out and spi_in (ESP) */
    SIM_NOTE_ITEM_WRONG,   /* it was established with an inbound SPI that is not client b's */
    SIM_NOTE_ITEM_GONE,    /* it expired, or the router forgot it */
    SIM_NOTE_MULTICAST,    /* router a: a packet for one client went to several */
    SIM_NOTE_MISDELIVERED, /* client a got a packet that was meant for b */
    SIM_NOTE_EPOCH_NEW, /* host a: epoch `number` of its tunnel with host b exists; not verified or heard yet */
    SIM_NOTE_EPOCH_PROVED, /* verified (client) or heard (server) */
    SIM_NOTE_EPOCH_USED,   /* data goes out on it from now on; number 0: data is held */
    SIM_NOTE_EPOCH_GONE,
    SIM_NOTE_FAULT, /* something is done to the network or to a node: from `at` until `until` */
    SIM_NOTE_OUTAGE, /* client a: traffic failed from `at` until `until`; number 0 towards the server, 1 back */
    SIM_NOTE_SAY,    /* words about node a */
};

#define SIM_NOTE_TEXT 120
struct sim_note {
    dt_time at, until;
    uint32_t a, b;            /* nodes */
    uint32_t spi_out, spi_in; /* as the client sees them: towards the server, from it */
    uint32_t number;
    uint8_t kind;        /* enum sim_note_kind */
    uint8_t proto, load; /* of a packet: enum sim_proto, enum sim_load */
    bool ike_item;       /* an IKE item: no SPIs */
    char text[SIM_NOTE_TEXT];
};

#define SIM_NOTES_MAX  200000
#define SIM_NOTE_NAMES 8
struct sim_notes {
    struct sim_note *v;
    size_t n, cap, missing;
    bool packets;                   /* record packets too */
    char names[SIM_NOTE_NAMES][24]; /* of the nodes with the lowest numbers */
};

void sim_notes_free(struct sim_notes *notes);
/* A note to be filled in (all zero but `at` and `until` = at, kind, a, b), or NULL. */
struct sim_note *sim_note_add(struct sim_notes *notes, dt_time at, enum sim_note_kind kind, uint32_t a,
                              uint32_t b);
void sim_note_packet(struct sim_notes *notes, dt_time at, dt_time until, uint32_t from, uint32_t to,
                     const struct sim_packet *p);
void sim_note_say(struct sim_notes *notes, dt_time at, uint32_t node, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* "IKE_AUTH", "IKE_AUTH reply", "ESP 1f00c0de ping": what stands at a packet's arrow. */
#define SIM_LABEL_LEN 40
char *sim_packet_label(char out[SIM_LABEL_LEN], const struct sim_packet *p);

#endif
