/* What the kernel program and its user-space side (natd, tests, benchmark) agree on beside the rules' shapes. */
#ifndef DT_MASQ_KERN_SHARED_H
#define DT_MASQ_KERN_SHARED_H

#include "masq/shapes.h"

#define NAT_HOPS_LOG2 12
#define NAT_HOPS      (1 << NAT_HOPS_LOG2)
#define NAT_HOP_LIFE  1000000000ull /* a route is believed for so many nanoseconds */
#define NAT_PULL      (14 + 60 + 8 + 60 + 24)

/* Counters after those of the rules. */
enum nat_counter {
    NAT_EVENTS_LOST,        /* nobody read them fast enough */
    NAT_MULTICAST_COPIES,   /* packets sent by multicast */
    NAT_MULTICAST_UNROUTED, /* an addressee could not be reached */
    NAT_CLIENT_UNROUTED,    /* from outside, for a client that is routed outside: its network is gone */
    NAT_YIELDED,            /* entries of those who have proved nothing, that gave way to newer ones */
    NAT_COUNTERS,
};

#define NAT_TRANSLATED 0x4e41 /* skb->tc_index between nat_inside and nat_egress */

struct nat_setup {
    uint64_t clock;        /* tests: the time; 0: the kernel's monotonic clock */
    uint32_t outside;      /* interface index */
    uint32_t watch;        /* events are wanted */
    uint32_t slow_ifindex; /* the device for packets that the kernel must fragment; 0: drop them */
    uint8_t slow_mac[6];
    uint8_t pad[6];
};

/* For the benchmark's own programs. */
struct nat_bench {
    uint32_t items, clients, hot, random,
        state; /* item i: client + i % clients, SPI nat_bench_spi(spi + i) */
    uint32_t client, server, own, spi, inwards;
    uint8_t head[48]; /* Ethernet, IP and the first eight bytes after it */
};

/* Without order, as peers draw them, and each but once. */
static inline uint32_t nat_bench_spi(uint32_t i)
{
    i = (i ^ i >> 16) * 0x85ebca6bu;
    i = (i ^ i >> 13) * 0xc2b2ae35u;
    return i ^ i >> 16;
}

/* What the last packet came to; kept only while setup.clock is set. */
struct nat_last {
    uint8_t verdict, rule;
    uint16_t n;
    uint32_t nat, to;
};

#define NAT_REAP_OFF    16 /* after something like an Ethernet header */
#define NAT_REAP_KEY    24
#define NAT_REAP_MAX    64
#define NAT_REAP_FORGET 256

struct nat_reap {
    uint8_t ether[NAT_REAP_OFF];
    uint32_t table; /* enum mq_table_id; with NAT_REAP_FORGET (esp and esp_in alone), expired or not */
    uint32_t n;
    uint64_t key[NAT_REAP_MAX][NAT_REAP_KEY / 8];
};

#endif
