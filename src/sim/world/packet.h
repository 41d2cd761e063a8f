/* A packet in flight. The outer header is a handful of numbers in host order; what UDP or ESP carries are real
 * bytes, made and judged by the real engines. The `ghost` is what the simulator alone knows: it travels with the
 * packet, no engine sees it, and verdicts and drawings are made from it. */
#ifndef DT_SIM_PACKET_H
#define DT_SIM_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

enum sim_proto { SIM_IKE, SIM_ESP, SIM_UDP }; /* UDP 500; IP protocol 50; any other UDP (4500) */
enum sim_load { SIM_LOAD_NONE, SIM_LOAD_DATA, SIM_LOAD_PING, SIM_LOAD_PONG };

struct sim_ghost {
    uint32_t from;   /* host that made it */
    uint32_t to;     /* host that it is meant for */
    uint8_t load;    /* enum sim_load, of an ESP packet */
    bool unheard;    /* sent by a server on an epoch it had heard nothing on */
    bool unverified; /* data sent by a client on an epoch it had not verified */
    uint32_t spi;    /* of an ESP packet */
    uint32_t ident;  /* the same for every copy of one packet */
};

struct sim_packet {
    struct sim_packet *next; /* in a pool or a list */
    uint32_t src, dst;       /* IPv4 */
    uint16_t sport, dport;   /* of UDP */
    uint8_t proto;           /* enum sim_proto */
    uint8_t room;            /* which pool it belongs to */
    uint32_t len;            /* of bytes[] */
    struct sim_ghost ghost;
    uint8_t bytes[];
};

#define SIM_PACKET_SMALL  208  /* ESP */
#define SIM_PACKET_MEDIUM 720  /* most of IKE */
#define SIM_PACKET_LARGE  4096 /* IKE */

/* Packets that were freed are kept for the next ones. */
struct sim_pool {
    struct sim_packet *idle[3];
    uint64_t live;
};

/* With bytes[0..len) copied from `bytes` (may be NULL: left as they are); NULL when it is too long or memory out. */
struct sim_packet *sim_packet_new(struct sim_pool *pool, const void *bytes, size_t len);
struct sim_packet *sim_packet_copy(struct sim_pool *pool, const struct sim_packet *p);
void sim_packet_free(struct sim_pool *pool, struct sim_packet *p);
void sim_pool_free(struct sim_pool *pool);

#endif
