/* Keys and values of the NAT's tables (US 7,155,740, FIG. 4 and 5), for rules.h. An item is spread over what each
 * direction looks up, so that a packet of an established item costs one look-up:
 *   esp     client, server, outgoing SPI -> established item        (packets from inside)
 *   esp_in  server, incoming SPI -> the same item's other half      (packets from outside)
 *   esp_q   server, outgoing SPI -> client                          (ICMP errors that quote a packet from inside)
 *   server  the one outstanding ESP item, the clients with a recent IKE negotiation, the multicast budget
 *   ike_c   client, server, initiator cookie -> established item
 *   ike_s   server, both cookies -> its other half
 *   ike_o   server, initiator cookie -> outstanding item
 *   pair    client, server -> until when they have an unexpired IKE item
 *   client  its outside address, its share
 *   frag    source, destination, id, protocol -> what became of the first fragment
 *
 * `turn` in an entry: a packet made it that anybody can send, and nothing came back yet that proves more (queue.h).
 *
 * An established item lives while either half has a `last` younger than t_ei. */
#ifndef DT_MASQ_TABLES_H
#define DT_MASQ_TABLES_H

#include "masq/shapes.h"

#ifdef __bpf__
#define MQ_LOCK_FIELD struct bpf_spin_lock lock
#else
#define MQ_LOCK_FIELD uint32_t lock
#endif

struct mq_esp_key {
    uint32_t client, server, spi_out;
};
/* 32 bytes, half a cache line, like its other half: a packet of any of a million items costs little more than the one
 * cache line that has to be fetched from far away (see slots.h). */
struct mq_esp {
    uint64_t last;
    uint32_t client, server, spi_out; /* the key */
    uint32_t spi_in;
    uint32_t packets; /* goes round, as an SA of 32-bit sequence numbers cannot */
    uint32_t nat;     /* place in outside[], above it the generation of addresses: mq_nat_word */
};

struct mq_esp_in_key {
    uint32_t server, spi_in;
};
struct mq_esp_in {
    uint64_t last;
    uint32_t server, spi_in; /* the key */
    uint32_t client, spi_out;
    uint32_t packets, created; /* in ticks, going round: mq_ticks, mq_created */
};

struct mq_esp_q_key {
    uint32_t server, spi_out;
};
struct mq_esp_q {
    uint32_t client;
};

enum { MQ_SLOT_FREE, MQ_SLOT_OUTSTANDING, MQ_SLOT_CONVERTING };

struct mq_peer {
    uint64_t until;
    uint32_t client, proved; /* 1: the client has sent what the server answered */
};
/* A client whose outstanding ESP items made others wait and were not answered, while it came with SPI after SPI: so many
 * in a row, and until when it makes no further one. */
#define MQ_LATE_MAX    8
#define MQ_LATE_OWN    16 /* so many other SPIs of its own within one item's life: nobody rekeys like that */
#define MQ_STRANGE_MAX 16 /* packets of clients of no proof that waited for one item: a flood of them */
#define MQ_LATE_LONG                                                                                         \
    16 /* times t_out: the longest wait, and how long after it the next one is a further one */
struct mq_late {
    uint64_t until;
    uint32_t client, n;
};
struct mq_server_key {
    uint32_t server;
};
struct mq_server {
    MQ_LOCK_FIELD;
    uint32_t state; /* MQ_SLOT_*; CONVERTING only while the established item is being written */
    uint64_t created, packets;
    uint64_t used;  /* last time that something was put here */
    uint64_t until; /* the last of its clients' IKE items */
    uint64_t held;  /* what stands in late[] matters so long */
    uint64_t tat;   /* multicast: theoretical arrival time of the next packet */
    uint32_t client, spi_out, spi_in, nat;
    uint32_t waited, n_after, waiting, dead;
    uint32_t n_own, own_spi;     /* the client's other SPIs, as they follow each other */
    uint32_t found, spare, weak; /* of one search under the lock */
    uint32_t owner;              /* the client that was first to speak with it: it counts for its share */
    uint64_t turn;               /* 0: a client has proved to hear it */
    uint64_t reserved;           /* until then only clients that have may have the slot */
    uint32_t n_strange, n_known; /* packets that waited: of clients that have not, and that have */
    struct mq_late late[MQ_LATE_MAX];
    struct mq_peer peer[DT_MASQ_PEERS_MAX];
};

struct mq_ike_c_key {
    uint64_t icookie;
    uint32_t client, server;
};
struct mq_ike_c {
    uint64_t rcookie, created, last, packets;
    uint32_t nat, gen;
    uint64_t turn; /* 0: its client has sent the responder's cookie, so it hears the server */
};

struct mq_ike_s_key {
    uint64_t icookie, rcookie;
    uint32_t server, pad;
};
struct mq_ike_s {
    uint64_t last, packets;
    uint32_t client, pad;
};

struct mq_ike_o_key {
    uint64_t icookie;
    uint32_t server, pad;
};
struct mq_ike_o {
    MQ_LOCK_FIELD;
    uint32_t taken; /* by the processor that ends it or makes it an established one */
    uint64_t created, packets, packets_in;
    uint32_t client, nat;
    uint64_t turn;
};

#define MQ_NO_PEER 0xffffffffu
struct mq_pair_key {
    uint32_t client, server;
};
struct mq_pair {
    uint64_t until;
    uint32_t peer, pad; /* index into the server's peer[], or MQ_NO_PEER */
    uint64_t turn;      /* 0: of an item that is proved */
};

struct mq_client_key {
    uint32_t client;
};
struct mq_client {
    uint64_t used, turn; /* turn 0: it is there, one of its items is proved */
    uint32_t nat, gen;
    /* What it has. An entry that gave way and came again is told of the ends of what it does not count: below 0 then. */
    int32_t n_esp, n_ike, n_frag, n_server;
    uint32_t client, pad; /* the key */
};

struct mq_frag_key {
    uint32_t src, dst;
    uint16_t ip_id;
    uint8_t proto, side;
};
struct mq_frag {
    uint64_t until;
    uint32_t client, server, nat;
    uint16_t first_len;
    uint8_t multicast, pad;
    uint32_t got, total; /* bytes seen; all of them, once the last fragment was */
    uint64_t turn;
};

/* `created` of mq_esp_in counts in 4 ms, and so goes round in 208 days. */
#define MQ_TICK_LOG2 22

static inline uint32_t mq_ticks(uint64_t t)
{
    return (uint32_t)(t >> MQ_TICK_LOG2);
}

static inline uint64_t mq_created(uint64_t now, uint32_t ticks)
{
    uint64_t age = (uint64_t)(mq_ticks(now) - ticks) << MQ_TICK_LOG2;
    return age < now ? now - age : 0;
}

/* `nat` of mq_esp: does it belong to the addresses that we have now, and which one is it? */
static inline int mq_nat_current(const struct dt_masq_params *p, uint32_t nat)
{
    return nat >> 3 == p->gen << 3 >> 3;
}

static inline uint32_t mq_nat_address(const struct dt_masq_params *p, uint32_t nat)
{
    uint32_t at = nat & (DT_MASQ_OUTSIDE_MAX - 1);
    return at < p->n_outside ? p->outside[at] : 0;
}

/* Name, number for the reaper and for pins. The kernel has the first two in slots (slots.h). */
#define MQ_TABLES(X)                                                                                         \
    X(esp, 0)                                                                                                \
    X(esp_in, 1)                                                                                             \
    MQ_HASHES(X)
#define MQ_HASHES(X)                                                                                         \
    X(esp_q, 2)                                                                                              \
    X(server, 3)                                                                                             \
    X(ike_c, 4)                                                                                              \
    X(ike_s, 5)                                                                                              \
    X(ike_o, 6)                                                                                              \
    X(pair, 7)                                                                                               \
    X(client, 8)                                                                                             \
    X(frag, 9)
#define MQ_TABLE_COUNT 10

enum mq_table_id {
#define X(name, id) MQ_T_##name = id,
    MQ_TABLES(X)
#undef X
};

/* The queues (queue.h): whose entries stand in it, and how many sixteenths of the table they may have. Where entries are
 * proved sooner or later, half of it is kept for those. */
#define MQ_QUEUES(X)                                                                                         \
    X(client, clients, 8)                                                                                    \
    X(server, servers, 8)                                                                                    \
    X(pair, ike, 8)                                                                                          \
    X(ike_c, ike, 8)                                                                                         \
    X(ike_o, ike, 15)                                                                                        \
    X(frag, frags, 15)
enum mq_queue_id {
#define X(name, size, part) MQ_Q_##name,
    MQ_QUEUES(X)
#undef X
        MQ_QUEUE_COUNT
};
#define MQ_QUEUE_MASK 7u /* bounds an index for the verifier */

static inline uint32_t mq_queue_room(uint32_t size, uint32_t part)
{
    return size * part > 16 ? size * part / 16 : 1;
}

/* Who took the turn that fell on this place last. */
union mq_place {
    struct mq_client_key client;
    struct mq_server_key server;
    struct mq_pair_key pair;
    struct mq_ike_c_key ike_c;
    struct mq_ike_o_key ike_o;
    struct mq_frag_key frag;
    uint64_t raw[2];
};

/* Whose places this packet has given to others: an entry gives way if it still has that turn. */
struct mq_yields {
    union mq_place who[MQ_QUEUE_COUNT];
    uint64_t turn[MQ_QUEUE_COUNT]; /* 0: nobody */
    uint64_t any;
};

struct mq_peer_list {
    uint32_t n, client[DT_MASQ_PEERS_MAX];
};

/* What a rule decides; the addressees of a multicast stand in MQ_PEERS(m). */
struct mq_out {
    uint8_t verdict, rule;
    uint16_t n;
    uint32_t nat, to;
};

#define MQ_IDLE 10000000000ull /* a server or client of nothing is forgotten after so many nanoseconds */

#endif
