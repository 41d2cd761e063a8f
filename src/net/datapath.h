/* The data path: batches of packets between a TUN device and the sockets, on worker threads of its own.
 *
 * The program that owns it (dovetaild) has one control thread. Down to the workers go SAs and what each
 * tunnel does with its packets, published by RCU; up from them come events, through one ring a worker.
 * Workers take no lock that the control thread holds, and the control thread never waits for a worker except
 * in dt_dp_close.
 *
 * All functions belong to the control thread. Those that return int return 0, or -1 with *err (which may be
 * NULL). Ids of tunnels and SAs are the caller's own numbers, not 0, unique among the living. Ports in host
 * order.
 *
 *  outbound: TUN -> policy hook (if any) -> tunnel by selectors -> its state: drop, hold, or an outbound SA
 *            -> seal -> UDP 4500 (UDP_SEGMENT) or raw ESP (sendmmsg)
 *  inbound:  socket -> SA by SPI -> open -> selectors of the SA, ECN -> control packet? -> coalesced -> TUN
 *
 * Loops. Every outer packet of an SA carries the socket mark `mark` (SO_MARK), save those of an SA with
 * `below`, which carry `mark_nested`. The owner's rule "not fwmark `mark` lookup TABLE" (net/netlink.h)
 * sends what tunnels protect into the TUN device and outer packets past it; nested outer packets are routed
 * into the device again and there matched like any other. What a tunnel sends to its own peer (ESP, or UDP
 * from the encapsulation or IKE ports) never matches that tunnel; tunnels inside one another are followed by
 * the SPIs of their ESP packets, and what would close a ring, or be stacked deeper than DT_DP_DEPTH, is
 * dropped and counted.
 *
 * Rights: dt_dp_open needs CAP_NET_ADMIN and CAP_NET_RAW. Nothing else here needs any: a device that was deleted is made anew by
 * somebody who has them. The device goes away with the process, and its addresses and routes with it. */
#ifndef DT_NET_DATAPATH_H
#define DT_NET_DATAPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/path.h"
#include "base/selector.h"
#include "base/time.h"
#include "esp/esp.h"
#include "hold/hold.h"

#define DT_DP_WORKERS_MAX  16
#define DT_DP_DEPTH        8
#define DT_DP_PREFIXES_MAX 256         /* that the remote selectors of one tunnel may come to */
#define DT_DP_MARK         0x44560001u /* default of `mark` */
#define DT_DP_MARK_NESTED  0x44560002u

#define DT_DP_PAIR_AGAIN (250 * DT_MSEC)
#define DT_DP_HOLD_AGE   (10 * DT_SEC) /* what waits longer for a rematch is dropped at the next one */

struct dt_dp;

/* The 5-tuple of a packet as the selectors see it. Ports as in base/selector.h (ICMP: type << 8 | code); a later fragment
 * has those of the first, or 0 where that was not seen. */
struct dt_dp_flow {
    struct dt_addr src, dst;
    uint8_t proto;
    uint16_t sport, dport;
    bool fragment; /* not the first, and the first was not seen: no ports */
};

/* What a policy hook makes of a packet from the TUN device that is not held or sealed yet. */
struct dt_dp_choice {
    uint64_t tunnel; /* DT_DP_BY_SELECTORS, DT_DP_DISCARD, or a tunnel's id */
    uint64_t rule;   /* the caller's: comes back in DT_DP_NEED_TUNNEL */
};
#define DT_DP_BY_SELECTORS 0
#define DT_DP_DISCARD      UINT64_MAX

/* 0 or NULL anywhere means the default in brackets. */
struct dt_dp_config {
    const struct dt_crypto *crypto; /* [dt_crypto_best()] */
    const char *tun_name;           /* up to 15 bytes; "%d" is a free number ["dovetail%d"] */
    unsigned workers;               /* [one a CPU, at most 4] */
    uint32_t mtu;                   /* of the TUN device [1400] */
    bool no_esp4, no_esp6;          /* open no raw ESP sockets */
    bool no_udp4, no_udp6;          /* open no encapsulation sockets */
    uint16_t natt_port;             /* [4500] */
    uint32_t mark, mark_nested;     /* [DT_DP_MARK, DT_DP_MARK_NESTED] */
    uint32_t hold_packets;          /* a tunnel's queue while it holds [DT_HOLD_PACKETS] */
    bool hold_nothing;              /* what would wait is dropped, and counted */
    uint32_t hold_bytes;            /* [DT_HOLD_BYTES] */
    uint32_t hold_total_bytes;      /* of all tunnels [DT_HOLD_TOTAL_BYTES] */
    uint32_t tunnels_max;           /* [16384] */
    uint32_t sas_max;               /* [65536] */
    uint32_t ike_queue;             /* IKE datagrams waiting for the control thread [1024] */
    bool no_gso;                    /* no super-packets: for tests and comparisons */
    /* Called on a worker for every packet (super-packet) from the TUN device, before the selectors: must not
     * block, must be safe on all workers at once, must not call into the data path. */
    struct dt_dp_choice (*policy)(void *ctx, const struct dt_dp_flow *flow);
    void *policy_ctx;
};

/* Opens the TUN device and every socket, starts no thread of any kind. Fails with a sentence (no right, no /dev/net/tun,
 * address in use by whom if that can be known) and leaves nothing behind. The config is copied; `crypto` is
 * not. */
struct dt_dp *dt_dp_open(const struct dt_dp_config *cfg, struct dt_err *err);
/* The worker threads, and one of the tables'. Before that there are no tunnels. */
int dt_dp_start(struct dt_dp *dp, struct dt_err *err);
/* Stops and joins the workers, wipes every SA, closes the device. NULL is fine. */
void dt_dp_close(struct dt_dp *dp);
const char *dt_dp_tun_name(const struct dt_dp *dp);
unsigned dt_dp_tun_index(const struct dt_dp *dp); /* of the interface */
/* Somebody deleted the device, and it was made anew under its name, with another index (net/tun.h): hands its descriptors, one
 * a worker, to the workers, who own them. Addresses and routes are the owner's to set again. -1: a worker is too busy; the next
 * device may be taken. */
int dt_dp_device_renew(struct dt_dp *dp, unsigned index, const int *fd, struct dt_err *err);
unsigned dt_dp_workers(const struct dt_dp *dp);

/* ---- tunnels --------------------------------------------------------------------------------- */

struct dt_dp_tunnel {
    uint64_t id;
    /* What it carries, outbound: source (and source port) in local, destination (and its port) in remote, of
     * the same IP version; remote comes to DT_DP_PREFIXES_MAX prefixes at most. The most specific remote selector wins, among equals the lower `order`, then the
     * older. Replaced by dt_dp_tunnel_set once negotiation has narrowed them. */
    struct dt_selectors local, remote;
    uint32_t order;
    /* Nobody's tunnel, but what discovery looks into: in state hold, the first packet of each pair of hosts raises
     * DT_DP_NEED_TUNNEL (again after DT_DP_PAIR_AGAIN); dt_dp_tunnel_rematch() then hands on what waits. */
    bool catch_all;
    bool hold_first; /* a new tunnel begins in state hold, not drop */
    bool no_hold;    /* catch_all: raise the event and drop the packet */
    uint64_t
        owner; /* not 0: no prefix of it may lie in, or hold, one of another owner's; dt_dp_tunnel_set refuses it */
    bool on_demand; /* in state hold, the first packet raises DT_DP_NEED_TUNNEL (again every second while it
                       holds) */
    uint32_t mtu;   /* never larger inside than this; 0: as the path gives */
    bool copy_dscp_off; /* outer DSCP 0 instead of the inner one (RFC 4301 5.1.2.1) */
    enum { DT_DP_DF_COPY, DT_DP_DF_SET, DT_DP_DF_CLEAR } df; /* IPv4 outside (RFC 4301 8.1); default copy */
};
/* Adds a tunnel in state drop (hold with hold_first), or replaces the description of a living one (its state stays). */
int dt_dp_tunnel_set(struct dt_dp *dp, const struct dt_dp_tunnel *t, struct dt_err *err);
/* Held packets are dropped and counted. No such tunnel: nothing happens. */
void dt_dp_tunnel_remove(struct dt_dp *dp, uint64_t tunnel);

enum dt_dp_state {
    /* What matches is dropped and counted; ICMP unreachable (administratively) to the sender. */
    DT_DP_DROP = DT_OUT_DROP,
    /* What matches is queued, within bounds; when there is no room the oldest goes. */
    DT_DP_HOLD = DT_OUT_HOLD,
    /* What matches goes out on the given SA; what was held goes first, in order. */
    DT_DP_SEND = DT_OUT_SEND,
};
/* `sa`: the id of an SA pair of this tunnel for DT_DP_SEND, else ignored. */
int dt_dp_tunnel_state(struct dt_dp *dp, uint64_t tunnel, enum dt_dp_state state, uint64_t sa,
                       struct dt_err *err);

/* Looks anew for a tunnel for each packet that this catch_all tunnel holds: what another one carries now goes to it,
 * whatever its state (sent, held there, or dropped with an ICMP error); the rest waits on. */
void dt_dp_tunnel_rematch(struct dt_dp *dp, uint64_t tunnel);

struct dt_dp_tunnel_counters {
    uint64_t held, held_bytes; /* now */
    uint64_t released;         /* held and then sent */
    uint64_t hold_drops;       /* the queue was full, or the tunnel went away */
    uint64_t drops;            /* state drop */
    uint64_t selector_drops;   /* the tunnel was chosen but its SA does not carry the packet */
    uint64_t fragment_drops; /* later fragments whose first one was not seen; fragments for transport mode */
    uint64_t too_big;        /* answered with "fragmentation needed" or "packet too big" */
    uint32_t mtu;            /* the inside MTU that is signalled now; 0: not limited yet */
    uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes; /* inner packets, over all SAs */
};
/* False when there is no such tunnel. */
bool dt_dp_tunnel_counters(struct dt_dp *dp, uint64_t tunnel, struct dt_dp_tunnel_counters *out);

/* ---- SAs: an epoch is one pair --------------------------------------------------------------- */

struct dt_dp_sa {
    uint64_t id;
    uint64_t tunnel;
    struct dt_esp_params in, out; /* in.spi is ours, unique here; out.spi the peer's. Copied */
    struct dt_path path;          /* natt: in UDP to path.remote.port; else raw ESP, ports ignored */
    /* As negotiated: checked outbound, and on every packet inside (RFC 4301 5.2). */
    struct dt_selectors local, remote;
    uint64_t below; /* nested: its outer packets go through this other tunnel of this host; 0: they do not */
    /* Echo requests to these from inside the epoch are answered by the data path, on the outbound SA of this very
     * epoch (US 7,155,740 FIG. 7, 706), and do not reach the TUN device. None: nothing is answered. */
    struct dt_addr answer4, answer6;
    bool answer_dummy; /* control packets that are dummy packets (wire/dummy.h) are answered, likewise */
    /* Transport mode behind a NAT (RFC 3948 3.1.2): the addresses that the upper layer's checksum was made
     * with, put back before the packet goes to the TUN device. None: the outer ones. */
    struct dt_addr inner_local, inner_remote;
};
/* Inbound is live at once; outbound carries data only after dt_dp_tunnel_state(DT_DP_SEND), and probes at any
 * time. */
int dt_dp_sa_add(struct dt_dp *dp, const struct dt_dp_sa *sa, struct dt_err *err);
/* Is there room for an SA of that tunnel, and for the tunnel where it is not there yet? -1 with *err: which limit is
 * reached. Asked before an SA is agreed with the peer. */
int dt_dp_room(const struct dt_dp *dp, uint64_t tunnel, struct dt_err *err);
/* The peer's address or port has changed (RFC 7296 2.23). */
int dt_dp_sa_path(struct dt_dp *dp, uint64_t sa, const struct dt_path *path, struct dt_err *err);
/* Both directions; keys are wiped when no worker can use them any more. A tunnel that still sends on it falls
 * to hold. No such SA: nothing happens. */
void dt_dp_sa_remove(struct dt_dp *dp, uint64_t sa);

struct dt_dp_sa_counters {
    struct dt_esp_counters in, out; /* in.last: when this epoch was last heard (CLOCK_MONOTONIC) */
    uint64_t in_selector_drops;     /* authentic, but not what the SA carries */
    uint64_t in_bad_inner;          /* authentic, but not a whole IP packet */
    uint32_t path_mtu;              /* outer; 0: as the interface has it */
};
bool dt_dp_sa_counters(struct dt_dp *dp, uint64_t sa, struct dt_dp_sa_counters *out);

/* ---- control packets ------------------------------------------------------------------------- */

struct dt_dp_probe {
    uint16_t ident, seq;
    /* Octets of a dummy packet (wire/dummy.h), which no selectors restrict; it leaves as large as an inside packet of
     * that size does. 0: an ICMP (ICMPv6) echo request from src to dst. */
    uint16_t dummy;
    struct dt_addr src, dst;
    uint8_t ttl; /* 0: 64 */
};
/* Sends a control packet through the outbound SA of this epoch, whatever its tunnel's state. The reply, on whatever
 * epoch it comes, and the time-exceeded that quotes an echo, become DT_DP_PROBE_REPLY and do not reach the TUN
 * device. Returns 0 when the worker has been told. */
int dt_dp_probe(struct dt_dp *dp, uint64_t sa, const struct dt_dp_probe *p, struct dt_err *err);

/* ---- IKE on the encapsulation port ----------------------------------------------------------- */

/* Sends an IKE message from the UDP socket of path->local.port with the non-ESP marker before it.
 * nested: through another tunnel of this host. UDP 500 is not the data path's: see net/udp_socket.h. */
int dt_dp_send_ike(struct dt_dp *dp, const struct dt_path *path, const void *msg, size_t len, bool nested,
                   struct dt_err *err);
/* A NAT keep-alive: one byte 0xff (RFC 3948 4). */
int dt_dp_send_keepalive(struct dt_dp *dp, const struct dt_path *path, bool nested, struct dt_err *err);

/* ---- events ---------------------------------------------------------------------------------- */

enum dt_dp_event_kind {
    DT_DP_NONE = 0,
    DT_DP_FIRST,       /* sa, path: the first authentic packet came in on this SA */
    DT_DP_PROBE_REPLY, /* sa: on which epoch; ident, seq; an echo: flow.src: who answered, reply_ttl_exceeded; a
                          dummy packet: size, the octets that arrived at the peer */
    DT_DP_SOFT,        /* sa: its outbound soft limit was crossed: rekey */
    DT_DP_HARD,        /* sa: no sequence number left; it sends nothing more (once a second at most) */
    DT_DP_NO_SA, /* spi, path: ESP for an SPI that nobody has (at most 8 a second, and not authenticated) */
    DT_DP_NEED_TUNNEL,  /* tunnel, flow, rule: a packet waits (or was dropped) for want of an SA */
    DT_DP_PATH_MTU,     /* sa, mtu: the outer path MTU of this SA's peer has changed */
    DT_DP_PATH_CHANGED, /* sa, path: newest authentic packet from another address or port (1 a second) */
    DT_DP_IKE,          /* path, data, len: an IKE message from the encapsulation port, marker taken off */
    DT_DP_LOST,         /* count: so many events were lost because the ring was full; look at the counters */
};

struct dt_dp_event {
    enum dt_dp_event_kind kind;
    dt_time at; /* CLOCK_MONOTONIC when the worker saw it */
    uint64_t sa, tunnel, rule;
    uint32_t spi, mtu;
    uint16_t ident, seq, size;
    bool reply_ttl_exceeded;
    struct dt_path path; /* local: where it arrived */
    struct dt_dp_flow flow;
    uint8_t *data; /* DT_DP_IKE: valid until dt_dp_event_done */
    size_t len;
    uint64_t count;
};

/* Readable when there may be events: one descriptor for all workers (level-triggered until dt_dp_next_event
 * has said no). Put it into the control thread's loop. */
int dt_dp_event_fd(const struct dt_dp *dp);
/* The next event, or false when there is none. Give each back with dt_dp_event_done (which frees `data`). */
bool dt_dp_next_event(struct dt_dp *dp, struct dt_dp_event *ev);
void dt_dp_event_done(struct dt_dp_event *ev);

/* ---- counters -------------------------------------------------------------------------------- */

/* Sums over the workers. One line each in metrics: dt_dp_counter_name. */
enum dt_dp_counter {
    DT_DPC_TUN_READ, /* packets (super-packets count as one) from the TUN device */
    DT_DPC_TUN_READ_BYTES,
    DT_DPC_TUN_WRITTEN,
    DT_DPC_TUN_WRITTEN_BYTES,
    DT_DPC_TUN_WRITE_FAILED,
    DT_DPC_COALESCED, /* segments that travelled to the TUN device inside a super-packet */
    DT_DPC_SENT,      /* outer packets */
    DT_DPC_SENT_BYTES,
    DT_DPC_SEND_FAILED, /* the kernel refused: no route, no buffer, ... */
    DT_DPC_RECEIVED,
    DT_DPC_RECEIVED_BYTES,
    DT_DPC_IKE_IN,
    DT_DPC_IKE_DROPPED, /* the control thread's queue was full */
    DT_DPC_KEEPALIVE_IN,
    DT_DPC_IN_SHORT, /* outer: too short for ESP, cut, or not IP */
    DT_DPC_IN_NO_SA,
    DT_DPC_IN_ESP_ERROR, /* replay, authentication, padding, ...: by reason in each SA's counters */
    DT_DPC_IN_BAD_INNER, /* authentic, but not a whole IP packet */
    DT_DPC_IN_SELECTOR,
    DT_DPC_IN_ECN, /* dropped as RFC 6040 says (outer CE, inner not ECN-capable) */
    DT_DPC_IN_DUMMY,
    DT_DPC_IN_ORPHAN, /* a later fragment whose first one was not seen, for selectors with ports */
    DT_DPC_OUT_BAD,   /* from the TUN device: not IP, bad lengths, bad offload header */
    DT_DPC_OUT_NO_TUNNEL,
    DT_DPC_OUT_DROP, /* tunnel in state drop, or discarded by policy */
    DT_DPC_OUT_HELD,
    DT_DPC_OUT_HOLD_DROP,
    DT_DPC_OUT_SELECTOR,
    DT_DPC_OUT_TOO_BIG,
    DT_DPC_OUT_LOOP,
    DT_DPC_OUT_FRAGMENT, /* a fragment for a transport mode SA */
    DT_DPC_OUT_ORPHAN, /* a later fragment whose first one was not seen, and only tunnels with ports might carry it */
    DT_DPC_OUT_EXHAUSTED,
    DT_DPC_ICMP_SENT,    /* errors signalled inwards */
    DT_DPC_ICMP_LIMITED, /* not sent: rate limit */
    DT_DPC_ECHO_ANSWERED,
    DT_DPC_PROBES_SENT,
    DT_DPC_PROBE_REPLIES,
    DT_DPC_EVENTS_LOST,
    DT_DPC_COUNT,
};
const char *dt_dp_counter_name(enum dt_dp_counter c);
void dt_dp_counters(const struct dt_dp *dp, uint64_t out[DT_DPC_COUNT]);

#endif
