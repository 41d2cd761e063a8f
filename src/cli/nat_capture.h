/* IKE and ESP packets of a router's capture, whatever the link layer. */
#ifndef DT_CLI_NAT_CAPTURE_H
#define DT_CLI_NAT_CAPTURE_H

#include <stddef.h>

#include "base/err.h"
#include "masq/masq.h"

enum capture_way { CAPTURE_UNKNOWN, CAPTURE_ARRIVES, CAPTURE_LEAVES };

struct capture_packet {
    dt_time at;
    struct dt_masq_facts f;
    uint8_t way;   /* enum capture_way, from the link layer (Linux cooked) at first */
    bool forged;   /* its source cannot be on that side */
    bool has_mac;  /* Ethernet */
    uint8_t to[6]; /* MAC addresses */
    uint8_t from[6];
    uint64_t number; /* in its file, from 1 */
};

struct capture {
    struct capture_packet *packet;
    size_t n, cap;
    uint64_t seen; /* packets in the file */
    uint64_t odd;  /* of an unknown kind, or cut before the IP header */
};

/* Reads all of it. 0 or -1. */
int capture_read(struct capture *c, const char *file, enum dt_masq_side side, struct dt_err *err);
void capture_free(struct capture *c);

struct capture_hints {
    uint32_t outside[DT_MASQ_OUTSIDE_MAX]; /* given, else found */
    uint32_t n_outside;
    struct dt_masq_net clients[DT_MASQ_NETS_MAX];
    uint32_t n_clients;
};

/* Sets `way` of every packet of both; finds hints->outside when it is empty. */
void capture_direct(struct capture *inside, struct capture *outside, struct capture_hints *hints);

#endif
