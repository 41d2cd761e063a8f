/* The data path's own structures: what the control thread publishes, what a worker keeps. Not for other rooms. */
#ifndef DT_NET_DP_H
#define DT_NET_DP_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <urcu.h>
#include <urcu/rculfhash.h>

#include "base/hash.h"
#include "base/table.h"
#include "esp/first.h"
#include "esp/tunnel.h"
#include "hold/hold.h"
#include "net/datapath.h"
#include "net/ring.h"
#include "net/vnet.h"
#include "wire/ip.h"

#define DP_RX_BUFS       8      /* receive buffers for UDP_GRO */
#define DP_RX_BUF        65536u /* one of them */
#define DP_RAW_BUFS      56     /* the same memory, cut for raw ESP: one packet each */
#define DP_RAW_BUF       (DP_RX_BUFS * DP_RX_BUF / DP_RAW_BUFS)
#define DP_TX_BUF        (160u * 1024)
#define DP_TUN_BUF       (65536u + 128)
#define DP_PACKET_MAX    65535u
#define DP_PROBES        16 /* control packets of a tunnel that may still be answered */
#define DP_PMTU_LIFE     (600 * DT_SEC)
#define DP_EVENTS        4096 /* IKE may fill a quarter, strangers a handful a second: room for the rest */
#define DP_PAIRS         256
#define DP_COMMANDS      4096
#define DP_FRAGMENT_SETS 128 /* packets whose fragments are followed, on each worker ... */
#define DP_FRAGMENT_WAYS 4   /* ... in all this many times more */
#define DP_FRAGMENT_LIFE (5 * DT_SEC)
#define DP_OPEN          16 /* packets opened at a time: they still lie in the nearest cache when they are looked at */
#define DP_BUDGET        16 /* buffers read from one descriptor before the others have their turn */

struct dp_tunnel;
struct dp_worker;

/* Published for the workers; changed by making a new one. */
struct dp_route {
    struct dt_path path;
    union {
        struct sockaddr_in sin;
        struct sockaddr_in6 sin6;
    } to;
    socklen_t to_len;
    struct rcu_head rcu;
};

struct dp_sa {
    uint64_t id;
    struct dp_tunnel *tunnel;
    struct dt_esp_in *in;
    struct dt_esp_out *out;
    uint32_t spi_in, spi_out;
    struct dp_route *route; /* RCU */
    struct dt_selectors local, remote;
    struct dt_addr answer4, answer6, inner_local, inner_remote;
    bool answer_dummy;
    enum dt_esp_mode mode;
    uint64_t below;             /* nested: through this tunnel */
    atomic_uint mtu;            /* outer; 0: not known */
    atomic_uint inner4, inner6; /* inner MTU that follows */
    atomic_uint_fast64_t mtu_until;
    atomic_uint_fast64_t high;              /* highest authentic number: newer ones may move the path */
    atomic_uint_fast64_t moved_at, hard_at; /* last event of the kind */
    struct dt_esp_first first;
    atomic_uint_fast64_t selector_drops, bad_inner;
    struct cds_lfht_node by_spi, by_out; /* read by workers */
    struct dt_table_node by_id;          /* control thread */
    struct dp_sa *next_of_tunnel, **prev_of_tunnel;
    struct rcu_head rcu;
};

struct dp_desc { /* RCU */
    struct dt_dp_tunnel t;
    struct rcu_head rcu;
};

struct dp_tunnel {
    struct dt_dp *dp;
    uint64_t id;
    uint64_t age;                 /* order of creation */
    struct dp_desc *desc;         /* RCU */
    struct dt_out out;            /* its SA: a struct dp_sa, freed by RCU */
    atomic_uint_fast64_t carrier; /* id of the tunnel that carries our outer packets, in generation */
    atomic_uint carrier_gen;
    atomic_uint_fast64_t need_at;
    atomic_uint_fast64_t probe[DP_PROBES]; /* 1 << 32 | ident << 16 | seq */
    atomic_uint probe_next;
    struct dt_hold hold;
    atomic_uint_fast64_t drops, selector_drops, fragment_drops, too_big;
    atomic_uint_fast64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
    atomic_uint signalled;
    struct dp_sa *sas; /* control thread */
    struct cds_lfht_node node;
    struct dt_table_node by_id;
    struct rcu_head rcu;
    unsigned workers;
    struct dt_hold_part part[]; /* of what waits: one for each worker */
};

/* ---- commands from the control thread -------------------------------------------------------- */

enum dp_cmd_kind { DP_CMD_RELEASE, DP_CMD_PROBE, DP_CMD_TUN };
struct dp_cmd {
    enum dp_cmd_kind kind;
    uint64_t tunnel;
    uint32_t spi_in;
    struct dt_addr src, dst;
    uint16_t ident, seq;
    uint16_t dummy; /* octets of a dummy packet; 0: an echo */
    uint8_t ttl;
    int fd; /* DP_CMD_TUN: the queue of a new device; the worker closes it */
};

/* ---- a worker -------------------------------------------------------------------------------- */

/* Packets of one SA on their way out, laid one behind the other as they will be sent. */
struct dp_tx {
    struct dp_sa *sa;
    uint8_t *buf;
    size_t used;
    unsigned n, sealed;
    struct dt_esp_pkt pkt[DT_ESP_BATCH];
    uint8_t tos[DT_ESP_BATCH];
    bool df[DT_ESP_BATCH];
};

/* One flow's segments on their way to the TUN device. */
#define DP_GRO_FLOWS 8
#define DP_GRO_SEGS  64
struct dp_gro {
    uint8_t *head; /* the first packet: its headers are patched and sent */
    uint16_t hlen; /* IP and transport header */
    uint8_t l4;    /* where the transport header begins */
    uint8_t proto; /* 0: this slot is free */
    uint16_t size; /* payload of each segment but the last */
    uint16_t segs;
    uint32_t seq_next;
    uint16_t id_next;
    uint32_t total; /* IP packet as it will be */
    bool closed;    /* a short segment or PSH ended it */
    struct {
        uint8_t *p;
        uint32_t len;
    } seg[DP_GRO_SEGS];
};

/* A first fragment's ports, for those that follow it. */
struct dp_fragment {
    struct dt_addr src, dst;
    uint64_t sa; /* that it came in on; 0: from the TUN device */
    uint32_t id;
    uint8_t proto;
    uint16_t sport, dport;
    dt_time until;
};

struct dp_sock {
    int fd;
    int df; /* what the socket does now: 1, 0, or -1 not set yet */
};

struct dp_worker {
    struct dt_dp *dp;
    unsigned index;
    pthread_t thread;
    bool running;
    int tun, epoll, kick; /* kick: eventfd for commands and stop */
    struct dp_sock udp4, udp6, esp4, esp6;
    struct dp_sock nested_udp4, nested_udp6, nested_esp4, nested_esp6; /* send only (outer.c) */
    /* Of the first worker: the control thread sends IKE there, in fragments where it is long. DF on the others is as the last
     * packet of a tunnel wanted it. */
    struct dp_sock ike_udp4, ike_udp6, nested_ike_udp4, nested_ike_udp6;
    struct dt_ring commands; /* struct dp_cmd */
    struct dt_ring events;   /* struct dt_dp_event */
    atomic_uint_fast64_t count[DT_DPC_COUNT];
    atomic_uint_fast64_t events_lost;
    atomic_bool release_all; /* the command ring was full: look at every tunnel */
    dt_time now;             /* read once a round */
    struct dp_tx tx;
    struct dp_gro gro[DP_GRO_FLOWS];
    unsigned gro_next;
    uint8_t *rx, *tunbuf, *scratch;
    uint8_t *rx_mem, *tunbuf_mem, *tx_mem; /* as allocated */
    double icmp_tokens, no_sa_tokens, need_tokens;
    dt_time icmp_at, no_sa_at, need_at;
    struct {
        unsigned long hash;
        dt_time at;
    } pair[DP_PAIRS]; /* of hosts for which a catch_all tunnel raised an event */
    struct dp_fragment fragment[DP_FRAGMENT_SETS * DP_FRAGMENT_WAYS];
    uint8_t icmp[1400];
};

struct dt_dp {
    struct dt_dp_config cfg;
    char tun_name[16];
    unsigned tun_index;
    unsigned nworkers;
    struct dp_worker *worker[DT_DP_WORKERS_MAX];
    atomic_bool stop;
    atomic_uint carrier_gen;
    struct dt_hold_bounds hold;
    struct {
        pthread_mutex_t lock;
        int fd4, fd6; /* marked, for questions about path MTUs; -1: none */
    } path_mtu;
    atomic_int ike_queued;
    int event_fd;
    atomic_bool event_pending;
    unsigned event_turn;
    bool uso;
    bool started;

    struct dt_siphash_key hash_key;
    struct cds_lfht *by_spi, *by_out, *tunnels, *prefixes;
    struct dp_lengths *lengths; /* RCU */
    uint32_t length_count4[33], length_count6[129];
    struct dt_table sa_ids, tunnel_ids; /* control thread */
    uint64_t next_age;
};

/* worker.c */
struct dp_worker *dp_worker_new(struct dt_dp *dp, unsigned index, struct dt_err *err);
void dp_worker_free(struct dp_worker *w);
int dp_worker_watch(struct dp_worker *w, struct dt_err *err);
void *dp_worker_main(void *worker);
bool dp_worker_tell(struct dp_worker *w, const struct dp_cmd *cmd);
bool dp_event(struct dp_worker *w, const struct dt_dp_event *ev); /* false: the ring was full */
static inline void dp_count(struct dp_worker *w, enum dt_dp_counter c, uint64_t n)
{
    /* One writer: no locked instruction is needed. */
    atomic_store_explicit(&w->count[c], atomic_load_explicit(&w->count[c], memory_order_relaxed) + n,
                          memory_order_relaxed);
}
/* True at most `rate` times a second. */
bool dp_limit(dt_time now, double rate, double *tokens, dt_time *at);

/* outbound.c: from the TUN device to the sockets. All inside an RCU read-side section. */
void dp_tun_readable(struct dp_worker *w);
void dp_packet_out(struct dp_worker *w, struct dp_tunnel *t, struct dp_sa *sa, const struct dt_vnet *vnet,
                   uint8_t *packet, size_t len);
/* What a packet that waited meets now. False: still nobody but `t`. */
bool dp_packet_again(struct dp_worker *w, const struct dp_tunnel *t, const struct dt_vnet *vnet,
                     uint8_t *packet, size_t len);
void dp_icmp_error(struct dp_worker *w, const uint8_t *packet, size_t len, uint32_t mtu);

/* tx.c: the batch that is being filled. */
uint8_t *dp_tx_room(struct dp_worker *w, struct dp_sa *sa, size_t len, uint8_t next, uint8_t tos, bool df);
void dp_tx_flush(struct dp_worker *w);

/* hold.c */
bool dp_hold(struct dp_worker *w, struct dp_tunnel *t, const struct dt_vnet *vnet, const uint8_t *packet,
             size_t len);
void dp_release(struct dp_worker *w, struct dp_tunnel *t);
void dp_rematch(struct dp_worker *w, struct dp_tunnel *t);
void dp_hold_free(struct dt_dp *dp, struct dp_tunnel *t);
/* That it sends on; NULL: it does not send. */
static inline struct dp_sa *dp_tunnel_sa(const struct dp_tunnel *t)
{
    return dt_out_sa(&t->out);
}

/* inbound.c: from the sockets to the TUN device. */
void dp_udp_readable(struct dp_worker *w, struct dp_sock *s, uint8_t ver);
void dp_esp_readable(struct dp_worker *w, struct dp_sock *s, uint8_t ver);

/* coalesce.c */
void dp_gro_add(struct dp_worker *w, uint8_t *packet, size_t len, const struct dt_ip *ip);
void dp_gro_flush(struct dp_worker *w);
void dp_tun_write(struct dp_worker *w, const uint8_t *packet, size_t len); /* as it is */

/* control.c: control packets. */
bool dp_control_in(struct dp_worker *w, struct dp_sa *sa, uint8_t *packet, size_t len,
                   const struct dt_ip *ip);
void dp_dummy_in(struct dp_worker *w, struct dp_sa *sa, const uint8_t *p, size_t len);
void dp_probe_send(struct dp_worker *w, const struct dp_cmd *cmd);

/* fragment.c: notes the ports of a first fragment that came in on that SA (0: from the TUN device), and gives them to the
 * later ones. False: a later one whose first was not seen. */
bool dp_fragment_ports(struct dp_worker *w, uint64_t sa, const struct dt_ip *ip,
                       struct dt_tunnel_ports *ports);

/* lookup.c */
int dp_lookup_init(struct dt_dp *dp);
void dp_lookup_free(struct dt_dp *dp);
int dp_lookup_add(struct dt_dp *dp, struct dp_tunnel *t, const struct dp_desc *d, struct dt_err *err);
/* Removes those prefixes of d that `keep` does not have. */
void dp_lookup_trim(struct dt_dp *dp, struct dp_tunnel *t, const struct dp_desc *d,
                    const struct dp_desc *keep);
void dp_lookup_remove(struct dt_dp *dp, struct dp_tunnel *t, const struct dp_desc *d);
/* The tunnel that carries this packet, or NULL; never one that `not_for` says. */
struct dp_tunnel *dp_lookup(struct dt_dp *dp, const struct dt_ip *ip, const struct dt_tunnel_ports *ports,
                            const struct dp_tunnel *not_for);
struct dp_tunnel *dp_tunnel_find(struct dt_dp *dp, uint64_t id);
struct dp_sa *dp_sa_find(struct dt_dp *dp, uint32_t spi);
/* The SA whose outbound packets carry that SPI to that address. */
struct dp_sa *dp_sa_find_out(struct dt_dp *dp, uint32_t spi, const struct dt_addr *to);
unsigned long dp_hash(const struct dt_dp *dp, const void *p, size_t n);

/* outer.c: the sockets. */
int dp_path_mtu_open(struct dt_dp *dp, struct dt_err *err);
void dp_path_mtu_close(struct dt_dp *dp);
void dp_outer_init(struct dp_worker *w); /* no socket is open */
int dp_outer_open(struct dp_worker *w, struct dt_err *err);
void dp_outer_close(struct dp_worker *w);
void dp_outer_drain_errors(struct dp_sock *s);
/* One batch, sealed, of one SA: packets i .. n of w->tx whose verdict is ok. */
void dp_outer_send(struct dp_worker *w);
uint32_t dp_outer_mtu(struct dt_dp *dp, const struct dp_route *r, const struct dp_sa *sa);
void dp_sa_set_mtu(struct dp_sa *sa, const struct dt_path *path, uint32_t mtu, dt_time now);

#endif
