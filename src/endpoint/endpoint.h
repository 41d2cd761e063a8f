/* One host without I/O: every tunnel that it keeps up (client role) and every gateway that it serves (server
 * role), with the IKE sessions (ike/ike.h) and the epoch engines (epoch/epoch.h) behind them bound together.
 * What drives it, the daemon, the simulator or a test, moves datagrams, keeps SAs in a data path, and calls
 * tick.
 *
 *   struct dt_endpoint   the host
 *   tunnel               a uint32_t: a configured connection (client), or what one authenticated client of a
 *                        gateway has (server). It lives through many sessions and epochs. Never used twice.
 *   gateway              a uint32_t: a configured server
 *   sa                   a uint64_t: the SA pair of one epoch, as the data path knows it. Never used twice.
 *
 * Rules: every call takes `now` (base/time.h); after each ask dt_endpoint_deadline() and call
 * dt_endpoint_tick() no later. Structs passed to callbacks are valid during the call alone. Nothing here
 * allocates in proportion to what a stranger sends; all limits are in struct dt_endpoint_limits.
 *
 * Callbacks may call the const functions and nothing else of this header (what does is counted, `reentered`).
 * `event` comes last: when a call has done its work, and the const functions show what it led to. The other
 * callbacks come in the middle of the work: the const functions answer there too, perhaps with a state that is
 * half changed.
 *
 * What the data path must do, and nothing else is expected of it:
 *  - decrypt and check on every installed SA until it is removed; report the first authenticated packet of
 *    each SA (dt_endpoint_heard), and answer `last_heard` with the time of the newest one;
 *  - send a tunnel's data on the SA that `outbound` named last, hold it in a bounded queue, or drop it;
 *  - send the control packet that `probe` describes on exactly the SA it names (wire/dummy.h or wire/icmp.h
 *    builds it), report its answer with the SA that it came in on (dt_endpoint_probe_reply), and, where the SA
 *    says so (answer_dummy, answer4, answer6), answer the peer's control packets itself, on the outbound SA of
 *    the pair on which they came in (US 7,155,740 FIG. 7, 706);
 *  - report an SA that nears the end of its sequence numbers or bytes (dt_endpoint_soft_limit), one that has
 *    reached it and sends no more (dt_endpoint_hard_limit), and a peer whose newest authenticated packet came
 *    from another address or port (dt_endpoint_peer_moved).
 */
#ifndef DT_ENDPOINT_ENDPOINT_H
#define DT_ENDPOINT_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/path.h"
#include "base/rand.h"
#include "base/selector.h"
#include "base/time.h"
#include "base/transform.h"
#include "epoch/epoch.h"
#include "crypto/x509.h"
#include "ike/ike.h"

struct dt_crypto;
struct dt_endpoint;

#define DT_NAME_MAX 64 /* of a tunnel or gateway, NUL included */

/* ---- what is configured ---- */

enum dt_encap {
    DT_ENCAP_AUTO, /* ESP first; after a head start without an answered probe UDP beside it; remembered */
    DT_ENCAP_ESP,  /* raw ESP, also through a masquerading NAT: no NAT_DETECTION is sent */
    DT_ENCAP_UDP,  /* RFC 3948 on port 4500 */
};

enum dt_probe_mode {
    DT_PROBE_AUTO, /* with a Dovetail peer dummy packets, else the inside DNS server, else TTL 1 */
    DT_PROBE_OFF,  /* today's IPsec: a new epoch is used when it is negotiated, idle tunnels are not pinged */
    DT_PROBE_ADDRESS, /* probe_addr answers */
};

#define DT_TUNNEL_GATEWAYS 8
#define DT_TUNNEL_LOCALS   4

/* A client's tunnel. A value: copied by dt_endpoint_tunnel_add. */
struct dt_tunnel_cfg {
    char name[DT_NAME_MAX];
    uint8_t ngateways, nlocals;
    struct dt_addr gateways[DT_TUNNEL_GATEWAYS]; /* tried in order */
    /* Of each: where IKE is spoken. 0 and 500: RFC 7296's way, that is 500, and 4500 with a NAT between. Any other port is
     * one of RFC 3948 from the first datagram on, non-ESP marker and all, from our 4500; ESP goes in UDP. */
    uint16_t ports[DT_TUNNEL_GATEWAYS];
    struct dt_addr locals[DT_TUNNEL_LOCALS];     /* local paths in order; none: ops->local_addr decides */
    struct dt_ike_id local_id, remote_id;
    struct dt_proposals ike, esp;
    struct dt_selectors protect; /* the remote side of the traffic */
    struct dt_selectors local;   /* our side of it; empty: the inside addresses that are asked for */
    bool inside4, inside6;       /* ask for an inside address (configuration payload) */
    bool no_dns;                 /* ... without name servers and domains */
    bool transport;              /* transport mode */
    enum dt_encap encap;
    enum dt_probe_mode probe;
    struct dt_addr probe_addr; /* DT_PROBE_ADDRESS */
    /* A rekey that the gateway begins is declined when it is a Dovetail that probes (our own is sure to come), else accepted;
     * params.server_rekey accepts it in any case, this declines it in any case. */
    bool server_rekey_decline;
    struct dt_epoch_params params; /* params.probe is set from `probe` */
    uint32_t
        secret; /* another number: ops->psk gives another secret than before, which a new session proves */
    struct dt_ike_proofs proofs; /* by certificate; borrowed by whoever is given the struct */
};
void dt_tunnel_cfg_default(struct dt_tunnel_cfg *cfg); /* proposals, parameters; no names, no addresses */

#define DT_GATEWAY_LISTEN 8

/* A server. */
struct dt_gateway_cfg {
    char name[DT_NAME_MAX];
    uint8_t nlisten;
    struct dt_addr listen[DT_GATEWAY_LISTEN]; /* IKE to these addresses is ours; none: to any */
    struct dt_ike_id identity;
    struct dt_ike_id peers; /* who may come: DT_ID_ANY, or a pattern; the secret decides anyway */
    struct dt_proposals ike, esp;
    struct dt_selectors protect; /* our side of the traffic */
    struct dt_selectors remote;  /* what clients bring, all together; whose is what: ops->authority */
    bool lease;                  /* inside addresses through ops->lease */
    bool transport;
    bool probe; /* false: switch on negotiation, as IPsec without probes does */
    struct dt_epoch_params params;
    uint32_t tunnels_max; /* clients at a time (65536) */
    struct dt_ike_proofs proofs; /* by certificate; borrowed by whoever is given the struct */
};
void dt_gateway_cfg_default(struct dt_gateway_cfg *cfg);

struct dt_endpoint_limits {
    uint32_t tunnels_max;         /* client role (16384) */
    uint32_t sessions_per_tunnel; /* server role, sessions of one identity at a time (4) */
    uint32_t networks_max;        /* remembered encapsulations (256) */
    dt_time head_start;           /* encap = auto: ESP alone for this long, or twice the round trip if that is
                                     more (300 ms) */
    /* An SA that was replaced still receives this long after its DELETE (2 s). One that the peer deletes without a
     * successor, and those of a session that the peer ends, are closed at once. */
    dt_time linger;
    uint8_t probe_rule; /* the newest version of DT_NOTIFY_PROBE's rule that is followed (2) */
};
void dt_endpoint_limits_default(struct dt_endpoint_limits *l);

/* ---- what is asked of the driver ---- */

/* One epoch, both directions, ready for the data path. */
struct dt_endpoint_sa {
    uint64_t sa;
    uint32_t tunnel;
    uint32_t epoch;
    bool client;              /* our role in the tunnel */
    uint32_t spi_in, spi_out; /* host order */
    struct dt_suite suite;
    bool esn, transport;
    uint16_t key_len; /* of each direction: encryption key, salt, integrity key */
    const uint8_t *key_in, *key_out;
    struct dt_selectors local_ts, remote_ts; /* outbound: local to remote */
    struct dt_path path; /* raw ESP between the two addresses, or UDP on the ports when path.natt */
    bool
        answer_dummy; /* control packets that are dummy packets (wire/dummy.h) are answered in the data path */
    struct dt_addr answer4, answer6; /* echo requests to these too (ver 0: none) */
};

/* Before a child is agreed, and before anything of it is stored: what it would be. */
struct dt_endpoint_admission {
    uint32_t tunnel;
    bool client, transport;
    const struct dt_selectors *local_ts, *remote_ts;
    const struct dt_path *path;
    const struct dt_ike_inside *inside; /* client: what its session was given */
};

/* What an identity may bring to a gateway: the Child SA Authorization Data of the PAD (RFC 4301 section 4.4.3.3). */
struct dt_authority {
    struct dt_selectors
        networks; /* the peer's side of the traffic, beside what it is leased; none: nothing */
    struct dt_ike_id
        owner; /* tunnels of one owner may share a network; the peer's identity unless it is changed */
};

/* Which control packets a Dovetail answers is said in IKE_AUTH by the status notify DT_NOTIFY_PROBE: one octet with the
 * oldest version of the rule that it follows, and one with the newest (left out: the same).
 *   1  echo requests to dt_endpoint_probe_addr of its side
 *   2  dummy packets too, whatever the traffic selectors say (wire/dummy.h) */
#define DT_NOTIFY_PROBE       40986
#define DT_PROBE_RULE_ADDRESS 1
#define DT_PROBE_RULE_DUMMY   2

/* Version 1: an address that both ends derive from the traffic selectors of the answering side, so that it passes every
 * selector check and meets no host: 192.0.0.8 (RFC 7600) or 100:0:0:1:: (RFC 9780) where the selectors cover them,
 * else the first address of the first range that may carry ICMP. ver 4 or 6. False: none of that version may. */
bool dt_endpoint_probe_addr(struct dt_addr *out, const struct dt_selectors *ts, uint8_t ver);
/* Can an echo cross at all, of either version? With a peer that is no Dovetail a tunnel is unproved when it cannot.
 * A side without selectors will be an inside address. */
bool dt_endpoint_carries_echo(const struct dt_selectors *local, const struct dt_selectors *remote);

enum dt_outbound {
    DT_OUTBOUND_SA,   /* data goes out on the SA */
    DT_OUTBOUND_HOLD, /* data waits in the tunnel's bounded queue */
    DT_OUTBOUND_DROP, /* the tunnel is down or gone */
};

enum dt_probe_kind {
    DT_PROBE_NONE = 0, /* the peer answers none that the traffic selectors carry */
    DT_PROBE_DUMMY,    /* between two Dovetails: a dummy packet, answered in the peer's data path */
    DT_PROBE_AGREED,   /* with an older Dovetail: dt_endpoint_probe_addr of the peer's side, likewise */
    DT_PROBE_CHOSEN,   /* probe = ADDRESS */
    DT_PROBE_DNS,      /* the inside DNS server */
    DT_PROBE_TTL1, /* echo with hop limit 1 to an address in the protected range; time exceeded is the answer,
                      an echo reply too */
};
const char *dt_probe_kind_str(enum dt_probe_kind k);

/* A control packet: a dummy packet, or an ICMP or ICMPv6 echo request (by the version of dst). */
struct dt_endpoint_probe {
    uint32_t tunnel, epoch;
    uint64_t sa; /* sent on its outbound SA, whatever carries data */
    enum dt_probe_kind kind;
    uint16_t ident, seq;
    uint16_t size;           /* DT_PROBE_DUMMY: octets of its plaintext; 0: the fewest there may be */
    struct dt_addr src, dst; /* the other kinds */
    uint8_t ttl;
};

/* Events: what `dovetail monitor`, the simulator and the demo's timeline show. Numbers up to 63 are those of
 * enum dt_epoch_event_kind. */
enum dt_event_kind {
    DT_EVENT_TUNNEL_ADDED = 64, /* client: configured; server: a client authenticated */
    DT_EVENT_TUNNEL_GONE,       /* text says why */
    DT_EVENT_UP,                /* client: verified after it was not */
    DT_EVENT_DOWN,              /* client: no epoch carries data any more, or closed; text says why */
    DT_EVENT_SESSION_UP,
    DT_EVENT_SESSION_DOWN,     /* text says why */
    DT_EVENT_SESSION_REPLACED, /* server: the same identity came again */
    DT_EVENT_SESSION_REKEYED,
    DT_EVENT_LEASED,       /* inside addresses, in text */
    DT_EVENT_ENCAP_TRY,    /* encap = auto: the other encapsulation is tried beside; text says why */
    DT_EVENT_ENCAP_CHOSEN, /* text says which and why */
    DT_EVENT_PATH,         /* the path changed */
    DT_EVENT_PROBE_KIND,   /* which address the probes go to, and why */
    DT_EVENT_IKE,     /* what IKE reports: a peer's refusals with both sides' values, collisions, cookies */
    DT_EVENT_SUSPECT, /* an unproved hint that the peer forgot us */
    DT_EVENT_UNKNOWN_SPI,
    DT_EVENT_LIMIT,       /* something bounded is full */
    DT_EVENT_ELSEWHERE,   /* another machine has, or wants, the same identity; text says from where */
    DT_EVENT_TURNED_AWAY, /* a peer's request was refused: both sides' values; `remote` is whose */
    DT_EVENT_PROOF_LOST, /* the peer's certificate is not one that is taken any more; text says why */
    DT_EVENT_UNPROVED,    /* client: it carries data, and nothing proves that this arrives; text says why */
};

struct dt_event {
    dt_time at;
    unsigned kind;           /* enum dt_event_kind or enum dt_epoch_event_kind */
    const char *name;        /* "verified", "encap_chosen", …: for machines */
    uint32_t tunnel;         /* 0: none */
    const char *tunnel_name; /* the configured name; a gateway's tunnels: the peer's identity; "" for none */
    bool client;
    uint32_t epoch, other, n; /* as in struct dt_epoch_event */
    dt_time took;
    uint32_t spi_in, spi_out; /* of `epoch`, 0 when it is not there any more */
    struct dt_addrport
        remote; /* DT_EVENT_TURNED_AWAY: who asked; a client's DT_EPOCH_TIMEOUT, DT_EPOCH_REFUSED: with whom */
    enum dt_ike_event ike; /* DT_EVENT_IKE: what it was */
    uint16_t reason; /* DT_EVENT_TURNED_AWAY: where in text the reason begins, behind who asked; else 0 */
    char text[DT_ERR_TEXT]; /* a sentence for people, without tunnel name and time */
};

struct dt_endpoint_ops {
    /* An IKE message without its non-ESP marker: add it when path->natt, except to keep-alives
     * (flags & DT_IKE_SEND_KEEPALIVE). */
    void (*send_ike)(void *user, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags);

    /* May this child be? Nothing of it is known to anybody yet. -1 with *err: it is refused (err->notify, or
     * TS_UNACCEPTABLE where that is 0). NULL: all may be. */
    int (*admit)(void *user, dt_time now, const struct dt_endpoint_admission *a, struct dt_err *err);
    /* The SA's inbound side, and the tunnel's new selectors where they changed, must be live when this returns. -1 with
     * *err: it could not, nothing has changed in the data path, and the epoch is deleted. dt_endpoint_tunnel_info
     * tells of the tunnel as it was before, until `tunnel` is called. */
    int (*sa_install)(void *user, dt_time now, const struct dt_endpoint_sa *sa, struct dt_err *err);
    void (*sa_remove)(void *user, dt_time now, uint64_t sa);
    void (*sa_path)(void *user, dt_time now, uint64_t sa,
                    const struct dt_path *path); /* send there from now on */
    /* `sa` counts with DT_OUTBOUND_SA alone. forced: the original's exception, data on an unproved epoch. */
    void (*outbound)(void *user, dt_time now, uint32_t tunnel, enum dt_outbound how, uint64_t sa,
                     bool forced);
    void (*probe)(void *user, dt_time now, const struct dt_endpoint_probe *probe);
    /* Time of the newest authenticated packet on the inbound SA; 0: none yet. */
    dt_time (*last_heard)(void *user, uint64_t sa);

    /* A tunnel's addresses or selectors are known or changed (dt_endpoint_tunnel_info), or the tunnel is no
     * more (gone): routes, inside addresses on the device. */
    void (*tunnel)(void *user, dt_time now, uint32_t tunnel, bool gone);

    /* Our address towards `remote` where the tunnel names none (locals), asked for each session. False: no way there
     * now. */
    bool (*local_addr)(void *user, uint32_t tunnel, const struct dt_addr *remote, struct dt_addr *local);
    /* The pre-shared key; exactly one of tunnel and gateway is not 0. Length, or -1. */
    int (*psk)(void *user, uint32_t tunnel, uint32_t gateway, const struct dt_ike_id *local,
               const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX]);
    /* Wall clock, seconds since 1970, for certificates. NULL: none is taken. */
    int64_t (*wall)(void *user);
    /* Server: what this identity may prove itself with (ike/ike.h); *may comes as the gateway has it. NULL: as it comes. */
    void (*may_prove)(void *user, uint32_t gateway, const struct dt_ike_id *peer, struct dt_ike_may *may);
    /* Server: what this authenticated identity may bring. *out comes with no networks, and the peer as its own owner.
     * NULL: nobody brings a network. */
    void (*authority)(void *user, uint32_t gateway, const struct dt_ike_id *peer, struct dt_authority *out);
    /* Server: inside addresses for this identity: the same again for the same identity where possible. */
    int (*lease)(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                 const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err);
    void (*release)(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                    const struct dt_ike_inside *given);

    /* Told last, in the order in which they happened: before the call returns in which they did. (A call that
     * concerns many tunnels tells after each of them.) */
    /* A key exchange: dt_ike_work_run on any thread, then dt_endpoint_work_done; NULL: it is done at once (ike/ike.h). Every
     * job must come back, after dt_endpoint_free by dt_ike_work_done. */
    void (*work)(void *user, struct dt_ike_work *w);

    void (*event)(void *user, const struct dt_event *ev);
    /* The same as it happens, before what follows from it (outbound, sa_remove): for who judges the order of
     * things, as the simulator does. NULL: nobody does. */
    void (*trace)(void *user, const struct dt_event *ev);
    bool terse; /* events carry their name and no sentence: for who counts millions of them and reads none */
    void (*keylog)(void *user, const char *line); /* NULL: none is kept */
};

/* ---- the host ---- */

/* params of IKE and limits may be NULL: defaults. Everything is copied, save `crypto` and what `user` points
 * to. NULL: no memory. */
struct dt_endpoint *dt_endpoint_new(const struct dt_endpoint_ops *ops, void *user,
                                    const struct dt_ike_params *ike, const struct dt_endpoint_limits *limits,
                                    const struct dt_crypto *crypto, const struct dt_rand *rand);
/* Forgets everything silently; sa_remove comes for every SA, release for every lease. Call shutdown first to
 * be polite. */
void dt_endpoint_free(struct dt_endpoint *ep);
/* Closes every tunnel and session with DELETE; dt_endpoint_idle() says when that has been answered or given
 * up. */
void dt_endpoint_shutdown(struct dt_endpoint *ep, dt_time now);
bool dt_endpoint_idle(const struct dt_endpoint *ep); /* no session left */

/* Client role. 0 with *err: the configuration cannot be (the sentence says what and what would be right). The
 * tunnel begins with dt_endpoint_up. */
uint32_t dt_endpoint_tunnel_add(struct dt_endpoint *ep, dt_time now, const struct dt_tunnel_cfg *cfg,
                                struct dt_err *err);
/* Could this be a tunnel? -1 with *err: what is wrong with it, and what would be right. */
int dt_endpoint_tunnel_check(const struct dt_tunnel_cfg *cfg, struct dt_err *err);
/* A reload: what did not change goes on untouched (another certificate, and other authorities that take the gateway's, among
 * it); new parameters and further gateways apply from the next
 * epoch or session; another address for control packets takes a new epoch; anything that was negotiated
 * (identities, secret, proposals, selectors), and a gateway or local address in use that is not among those of
 * the new configuration, opens a new session beside the running epoch, which carries data until the new one is
 * verified. Another identity of ours closes first: as another client it could not have what the old one has. -1 with *err,
 * and nothing is changed. */
int dt_endpoint_tunnel_update(struct dt_endpoint *ep, dt_time now, uint32_t tunnel,
                              const struct dt_tunnel_cfg *cfg, struct dt_err *err);
void dt_endpoint_tunnel_remove(struct dt_endpoint *ep, dt_time now,
                               uint32_t tunnel); /* down, then forgotten */
/* Which installation this host is, told to peers that are Dovetails: random octets that last. Zeros, as at first: nothing
 * is told. */
#define DT_INSTALLATION_LEN 16
void dt_endpoint_installation(struct dt_endpoint *ep, const uint8_t id[DT_INSTALLATION_LEN]);
/* Somebody wants this tunnel here: the next session takes its identity from another machine that has it now. Without
 * this, a tunnel that has lost it asks politely. */
void dt_endpoint_claim(struct dt_endpoint *ep, dt_time now, uint32_t tunnel);
/* A tunnel that waits because another machine has its identity goes on waiting. */
void dt_endpoint_up(struct dt_endpoint *ep, dt_time now, uint32_t tunnel);
void dt_endpoint_down(struct dt_endpoint *ep, dt_time now,
                      uint32_t tunnel); /* also throws out a gateway's client */
/* A gateway's client: closed with DELETE, and `why` is told in DT_EVENT_TUNNEL_GONE. */
void dt_endpoint_client_end(struct dt_endpoint *ep, dt_time now, uint32_t tunnel, const char *why);
/* A session with this peer has been closed and its DELETE is not answered yet (nor given up). */
bool dt_endpoint_closing(const struct dt_endpoint *ep, const struct dt_addr *peer);
void dt_endpoint_rekey(struct dt_endpoint *ep, dt_time now, uint32_t tunnel);     /* a new epoch now */
void dt_endpoint_rekey_ike(struct dt_endpoint *ep, dt_time now, uint32_t tunnel); /* the IKE SA */
/* A control packet now; DT_EPOCH_PING_REPLY (with the time it took) or DT_EPOCH_IDLE_DEAD follows. Also to a gateway's
 * client; then nothing follows when it does not answer. */
void dt_endpoint_ping(struct dt_endpoint *ep, dt_time now, uint32_t tunnel);

/* Server role. */
uint32_t dt_endpoint_gateway_add(struct dt_endpoint *ep, dt_time now, const struct dt_gateway_cfg *cfg,
                                 struct dt_err *err);
int dt_endpoint_gateway_check(const struct dt_gateway_cfg *cfg, struct dt_err *err);
/* Which gateway somebody wants is not known in IKE_SA_INIT: there the different lists of `ike` proposals of all that
 * listen at the address are looked at, DT_GATEWAY_OFFERS of them. */
#define DT_GATEWAY_OFFERS 8
bool dt_endpoint_gateways_meet(const struct dt_gateway_cfg *a,
                               const struct dt_gateway_cfg *b); /* at an address */
bool dt_endpoint_gateways_offer(const struct dt_gateway_cfg *a,
                                const struct dt_gateway_cfg *b); /* the same list */
/* A client whose session and SAs could be negotiated as they are under the new configuration too goes on undisturbed, and
 * what it negotiates from now on is under the new one. Any other is closed with DELETE at once (DT_EVENT_TUNNEL_GONE says
 * what it may not have any more); it may come again. Fewer tunnels_max end nobody: no further ones are let in.
 * Secrets are the driver's: it ends whose secret has changed (dt_endpoint_client_end). -1 with *err, and nothing is
 * changed. */
int dt_endpoint_gateway_update(struct dt_endpoint *ep, dt_time now, uint32_t gateway,
                               const struct dt_gateway_cfg *cfg, struct dt_err *err);
void dt_endpoint_gateway_remove(struct dt_endpoint *ep, dt_time now, uint32_t gateway); /* its clients too */

/* ---- inputs ---- */

/* path: local where it arrived, remote its source; natt when it came on UDP 4500 (marker already stripped).
 * The bytes are changed in place. */
void dt_endpoint_ike_input(struct dt_endpoint *ep, dt_time now, const struct dt_path *path, uint8_t *data,
                           size_t len);
/* A job of ops->work has been run. */
void dt_endpoint_work_done(struct dt_endpoint *ep, dt_time now, struct dt_ike_work *w);
/* An authenticated packet came in on that SA: the first must be reported, more may be. */
void dt_endpoint_heard(struct dt_endpoint *ep, dt_time now, uint64_t sa);
/* A reply (or time exceeded that quotes our echo) whose ident and seq are a probe's came in on `sa`. */
void dt_endpoint_probe_reply(struct dt_endpoint *ep, dt_time now, uint64_t sa, uint16_t ident, uint16_t seq);
/* A new epoch is asked for, once. */
void dt_endpoint_soft_limit(struct dt_endpoint *ep, dt_time now, uint64_t sa);
/* The SA sends nothing more: its epoch is given up, at a gateway by a DELETE, which no client can decline. */
void dt_endpoint_hard_limit(struct dt_endpoint *ep, dt_time now, uint64_t sa);
/* Counted, and an event at most once a second. Nothing else happens: it is not authenticated. */
void dt_endpoint_unknown_spi(struct dt_endpoint *ep, dt_time now, uint32_t spi, const struct dt_addr *from);
/* The newest authenticated packet of that SA came from here. */
void dt_endpoint_peer_moved(struct dt_endpoint *ep, dt_time now, uint64_t sa, const struct dt_addrport *from);
/* Local addresses or routes changed: tunnels whose local address is not what ops->local_addr gives now open a
 * new session at once. */
void dt_endpoint_network_changed(struct dt_endpoint *ep, dt_time now);
void dt_endpoint_tick(struct dt_endpoint *ep, dt_time now);
dt_time dt_endpoint_deadline(const struct dt_endpoint *ep);

/* ---- what it knows ---- */

struct dt_epoch_info {
    uint32_t epoch;
    uint64_t sa;
    uint32_t spi_in, spi_out;
    enum dt_epoch_phase phase;
    bool verified;               /* client: by a probe; server: it was heard. Not by its phase alone */
    bool carries;                /* data goes out on it */
    dt_time since, until, heard; /* negotiated; t0 + keylife; last heard or 0 */
    struct dt_path path;
};

/* What a tunnel does now. */
enum dt_tunnel_state {
    DT_TUNNEL_DOWN = 0,
    DT_TUNNEL_WAITING,     /* client: a pause before the next session is opened */
    DT_TUNNEL_OPENING,     /* client: a session is being opened */
    DT_TUNNEL_NEGOTIATING, /* client: an epoch is being negotiated, and there is none to use */
    DT_TUNNEL_HOLDING,     /* client: a session is there and no epoch */
    DT_TUNNEL_PROBING, /* an epoch is there; client: no probe of it was answered yet; server: it was not heard */
    DT_TUNNEL_UNPROVED, /* an epoch carries data, and nothing has proved it: enum dt_unproved */
    DT_TUNNEL_UP,       /* a verified epoch carries data; server: one that was heard */
    DT_TUNNEL_PINGING,  /* client: likewise, but nothing has come in for maxidle */
};
const char *dt_tunnel_state_str(enum dt_tunnel_state s, bool client); /* "opening a session", ... */

/* Why a tunnel that carries data is not verified. */
enum dt_unproved {
    DT_UNPROVED_NOT = 0,   /* it is, or carries none */
    DT_UNPROVED_OFF,       /* client: probe = off */
    DT_UNPROVED_SELECTORS, /* client: the peer is no Dovetail, and the traffic selectors carry no echo */
    DT_UNPROVED_UNHEARD,   /* server: a new epoch is used before the client was heard on it */
};
const char *dt_unproved_str(enum dt_unproved why); /* a sentence; "" for DT_UNPROVED_NOT */

struct dt_tunnel_info {
    uint32_t tunnel, gateway; /* gateway: 0 for a client's tunnel */
    char name[DT_NAME_MAX];   /* a gateway's: the gateway's name */
    bool client, started;
    enum dt_tunnel_state state;
    enum dt_unproved unproved; /* DT_TUNNEL_UNPROVED: why */
    bool up;       /* an epoch carries data that is verified or needs no proof: the last three states */
    bool verified; /* client: it was proved, with nothing said against it; server: it was heard */
    char why[DT_ERR_TEXT]; /* not up: why, as far as it is known; else empty */
    struct dt_ike_id local_id, remote_id;
    struct dt_ike_inside inside;             /* client: ours; server: the client's */
    struct dt_selectors local_ts, remote_ts; /* of the newest epoch */
    struct dt_addrport elsewhere; /* another machine that came with the same identity; ver 0: none */
    dt_time elsewhere_at;
    struct dt_ike_id owner; /* server: of the networks (struct dt_authority) */
    struct dt_path path;
    bool natt, peer_is_dovetail;
    uint8_t own_method, peer_method; /* of AUTH (enum dt_ike_auth_method); 0: no session is up */
    char peer_cert[DT_X509_TEXT];    /* that the peer proved itself with: subject, serial, issuer; empty: none */
    int64_t peer_cert_until;         /* seconds since 1970: when the first of its chain expires */
    enum dt_probe_kind probe_kind;
    struct dt_addr probe_dst;
    struct dt_addr answer4, answer6; /* we answer control packets here */
    dt_time heard;                   /* newest sign of life on any epoch; 0: never */
    dt_time rtt;                     /* of the last answered probe; 0: unknown */
    uint32_t epoch;                  /* carries data; 0: none */
    size_t nepochs;
    struct dt_epoch_info epochs[DT_EPOCH_MAX];
    struct dt_epoch_stats stats;
};

/* Is that an inside address that one of our own tunnels was given, and has now? */
bool dt_endpoint_has_inside(const struct dt_endpoint *ep, const struct dt_addr *a);
/* The tunnel after `prev` (0: the first), 0 at the end; in rising order of number. */
uint32_t dt_endpoint_tunnel_next(const struct dt_endpoint *ep, uint32_t prev);
bool dt_endpoint_tunnel_info(const struct dt_endpoint *ep, uint32_t tunnel, struct dt_tunnel_info *out);
/* Of a gateway's client, its gateway; 0: our own side began it, or there is no such tunnel. */
uint32_t dt_endpoint_tunnel_gateway(const struct dt_endpoint *ep, uint32_t tunnel);
uint32_t dt_endpoint_client(const struct dt_endpoint *ep, uint32_t gateway,
                            const struct dt_ike_id *peer); /* that client's tunnel; 0: it is not there */
uint32_t dt_endpoint_tunnel_by_name(const struct dt_endpoint *ep, const char *name); /* client's; 0: none */

struct dt_endpoint_counters {
    uint64_t tunnels, gateways, sas, sessions; /* now */
    uint64_t unknown_spi, heard_unknown, reply_unknown, full;
    uint64_t elsewhere; /* times that a second machine with one identity was found */
    uint64_t untold;    /* events that found no room among those of one call (8192), or no memory */
    uint64_t reentered; /* calls from within a callback: a fault of the driver's */
};
void dt_endpoint_counters(const struct dt_endpoint *ep, struct dt_endpoint_counters *out);
const struct dt_ike *dt_endpoint_ike(const struct dt_endpoint *ep); /* its counters */
/* Bytes held for tunnels, sessions and SAs, as asked of malloc, IKE's not included. */
size_t dt_endpoint_memory(const struct dt_endpoint *ep);

/* Everything that can change behaviour, IKE's and the epoch engines' included; times as distances from now. */
void dt_endpoint_digest(const struct dt_endpoint *ep, dt_time now, struct dt_digest *d);

#endif
