/* The epoch engine (US 7,155,740, FIG. 6A, 6B, 7, 8: docs/origins.md): which epoch of a tunnel
 * may carry data, when to probe it, when to rekey, when to give up on a session. Two engines: the client,
 * which owns a tunnel and proves every epoch before it uses it, and the server, which answers and waits to be
 * spoken to.
 *
 * An engine does no I/O, reads no clock and knows no IKE: it says what must happen through `struct
 * dt_epoch_ops` and is told what happened by the functions below. Each function takes `now`; after each, ask
 * the deadline and call tick when it has come. Callbacks are made when the engine's state is consistent; from
 * inside a callback no function of the same engine may be called, except the const ones.
 *
 * Epochs are numbered by whoever calls `negotiated` (from 1, rising with each new epoch of the tunnel; 0
 * means none). The engine never stores keys.
 */
#ifndef DT_EPOCH_EPOCH_H
#define DT_EPOCH_EPOCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/rand.h"
#include "base/time.h"

/* Epochs of one tunnel at a time: carrying, probed beside it, and old ones that still receive. */
#define DT_EPOCH_MAX 8

/* Deliberate mistakes, for the explorer and the tests that must find them. All false in production. */
struct dt_epoch_faults {
    bool switch_at_once;        /* client: data on a new epoch before it is verified */
    bool server_switch_at_once; /* server: data on a new epoch before it is heard */
    bool no_idle_ping;          /* client: maxidle passes and nothing is sent */
    bool one_probe;             /* client: a new epoch is probed once, not again every pingtime */
    bool probe_forever;         /* client: pingtries is ignored, no new epoch follows */
    bool verify_on_any;         /* client: the answer to a ping on the old epoch verifies the new one */
    bool delete_unproved;       /* client: the old epoch is deleted as soon as the new one is negotiated */
    bool no_timeout;            /* client: a negotiation is never abandoned */
    bool no_elimit;             /* client: a session is never dropped, however often it fails */
    bool idle_ends_nothing;     /* client: pingtries2 pings unanswered, and no new epoch follows */
    bool server_no_fallback; /* server: neither DELETE nor the old epoch's end moves data to the new epoch */
};

/* The original's names. Both roles take the same struct; what a role does not use is ignored. */
struct dt_epoch_params {
    dt_time keylife;     /* an epoch's lifetime, from its negotiation (t0) */
    dt_time rekeymargin; /* data leaves an epoch at t0 + keylife - rekeymargin at the latest */
    uint32_t rekeyfuzz;  /* per cent of rekeymargin by which rekeying may start earlier, at random */
    dt_time maxidle;     /* nothing received for this long: ping */
    dt_time pingtime;    /* between probes of a new epoch */
    uint32_t pingtries;  /* probes of a new epoch before another is negotiated */
    dt_time pingtime2;   /* between pings of an idle epoch */
    uint32_t pingtries2; /* pings of an idle epoch before a new one is negotiated */
    dt_time timeout;     /* a negotiation (or a session's opening) that takes longer is abandoned */
    uint32_t elimit;     /* times that a negotiation is begun anew before the session is dropped */
    dt_time reopen_min;  /* pause before a session is opened again that was refused by somebody's word ... */
    dt_time reopen_max;  /* ... doubling up to this. Silence needs no pause: `timeout` is one */
    bool probe;          /* false: "probe = off", today's IPsec: switch on negotiation, never ping */
    bool server_rekey;   /* client: accept a rekey that the server starts (server_rekey = accept);
                            server: start one when the client has not */
    struct dt_epoch_faults faults;
};

/* The published defaults (docs/parameters.md). */
struct dt_epoch_params dt_epoch_params_default(void);

enum dt_epoch_event_kind {
    DT_EPOCH_NEGOTIATED = 1, /* epoch; it is not verified yet */
    DT_EPOCH_VERIFIED,       /* epoch; n: probes that it took; took: since it was negotiated */
    DT_EPOCH_SWITCHED,       /* epoch carries data from now on; other: the one before (0: none) */
    DT_EPOCH_UNVERIFIED_USE, /* epoch carries data though not verified (client) or not heard (server): the end
                                of `other` forced it; counted in stats */
    DT_EPOCH_HOLD,           /* data waits; other: the epoch that carried it until now (0: none) */
    DT_EPOCH_PROBE_ELSEWHERE, /* a probe of epoch was answered on `other`: outbound proven, inbound not yet */
    DT_EPOCH_UNANSWERED,      /* epoch: n probes unanswered; a new one will be negotiated */
    DT_EPOCH_IDLE,            /* epoch: nothing received for maxidle; pinging */
    DT_EPOCH_IDLE_OVER,       /* epoch: heard again after n pings; took: since the last sign of life */
    DT_EPOCH_IDLE_DEAD,       /* epoch: n pings unanswered; a new one will be negotiated */
    DT_EPOCH_REKEY, /* epoch: its time to be replaced has come (other 0), or it was asked for (other 1) */
    DT_EPOCH_NEGOTIATING,     /* n: how many times in a row begun; epoch: the one to be replaced (0: none) */
    DT_EPOCH_TIMEOUT,         /* no answer to a negotiation within `timeout`; n: in a row */
    DT_EPOCH_REFUSED,         /* a negotiation failed by the peer's word or ours; n: in a row */
    DT_EPOCH_SESSION_OPENING, /* n: attempts in a row */
    DT_EPOCH_SESSION_DROPPED, /* after n failures in a row */
    DT_EPOCH_SESSION_LOST,    /* IKE says that the peer is gone */
    DT_EPOCH_PEER_DELETED,    /* epoch */
    DT_EPOCH_DELETED,         /* epoch: by us */
    DT_EPOCH_EXPIRED,         /* epoch: t0 + keylife came */
    DT_EPOCH_PING_REPLY,      /* epoch; took: round trip */
    DT_EPOCH_REKEY_DECLINED,  /* the server started a rekey: declined */
};

struct dt_epoch_event {
    enum dt_epoch_event_kind kind;
    uint32_t epoch, other;
    uint32_t n;
    dt_time took;
};

const char *dt_epoch_event_name(enum dt_epoch_event_kind kind); /* "verified", "idle_dead", … */
/* A sentence for people into out; returns out. */
char *dt_epoch_event_text(char *out, size_t cap, const struct dt_epoch_event *ev, bool client);

/* What the engine asks of its owner. `user` is the pointer given to init. */
struct dt_epoch_ops {
    /* Client. Open a new session with the peer, its first epoch with it; answered by session_up and
     * negotiated, or by failed. `attempt` counts from 1 since the last verified epoch: the owner takes the
     * next address of the gateway, then the next local path. */
    bool (*open_session)(void *user, dt_time now, uint32_t attempt); /* false: refused at once */
    /* Client. Forget the session; its epochs stay until `gone`. polite: the peer answers, so it is told (DELETE), once no
     * epoch of the session carries data; else there is nobody to tell. */
    void (*drop_session)(void *user, dt_time now, bool polite);
    /* Client, and a server that rekeys. Negotiate an epoch in the open session in the place of `old` (0:
     * beside nothing); answered by negotiated or failed. */
    bool (*negotiate)(void *user, dt_time now, uint32_t old); /* false: refused at once */
    /* The negotiation that was asked for took too long; `negotiate` or `drop_session` follows. In an open session the
     * owner goes on with the same request (RFC 7296 2.1). A late answer is still welcome: `negotiated`. */
    void (*abandon)(void *user, dt_time now);
    /* Client. Send a control packet on that epoch's outbound SA. Its reply's ident is (uint16_t)epoch. */
    void (*probe)(void *user, dt_time now, uint32_t epoch, uint16_t seq);
    /* Data goes out on that epoch from now on; 0: hold it in the bounded queue. `forced`: the original's exception, data on an
     * epoch that is not verified (not heard). The client makes it at the old epoch's t0 + keylife - rekeymargin. The
     * server makes it only when the old epoch is gone: by the DELETE of a peer that does not probe, or at t0 + keylife
     * (FIG. 7). Until then the old one still carries, and its packets on a new SPI, before the client has spoken on it,
     * are what race 1 is made of. */
    void (*use)(void *user, dt_time now, uint32_t epoch, bool forced);
    /* Tell the peer that the epoch is deleted. True: `deleted` will follow; false: there is nobody to tell
     * (its session is gone), it counts as done. */
    bool (*del)(void *user, dt_time now, uint32_t epoch);
    /* The engine has forgotten the epoch: expired, deleted, or its tunnel ended. It may linger inbound. */
    void (*gone)(void *user, dt_time now, uint32_t epoch);
    /* Server. Nothing heard from the client for long: ask its session whether it lives. */
    void (*liveness)(void *user, dt_time now);
    /* When was the last authenticated packet on that epoch's inbound SA? 0: never. Asked only when an idle
     * timer fires, so that packets cost nothing. May be NULL: then only `heard` counts. */
    dt_time (*last_heard)(void *user, uint32_t epoch);
    void (*event)(void *user, dt_time now, const struct dt_epoch_event *ev);
};

/* Who began the negotiation of an epoch. */
enum dt_epoch_origin {
    DT_EPOCH_ASKED,   /* this engine, by negotiate or open_session */
    DT_EPOCH_BY_PEER, /* the peer: it deletes what it replaces */
    DT_EPOCH_BESIDE,  /* our own second session (encap = auto) */
};

enum dt_epoch_phase {
    DT_EPOCH_FREE = 0,
    DT_EPOCH_PROBING,  /* client: negotiated, not verified; server: not heard */
    DT_EPOCH_PROVED,   /* client: verified; server: heard */
    DT_EPOCH_RETIRING, /* a DELETE was asked for; still receives */
};

struct dt_epoch {
    uint32_t no;
    uint8_t phase;    /* enum dt_epoch_phase */
    uint8_t origin;   /* enum dt_epoch_origin */
    bool elsewhere;   /* a probe was answered on an older epoch: outbound is proven */
    bool was_proved;  /* verified, or heard, at some time */
    bool verified;    /* client: it was proved, and not only taken into use */
    bool idle;        /* nothing received for maxidle: being pinged */
    bool dead;        /* pingtries2 pings unanswered */
    bool redundant;   /* RETIRING because the peer was to delete it (RFC 7296 2.8.1) */
    uint16_t seq;     /* of the last probe */
    uint32_t tries;   /* probes or idle pings since the last sign of life */
    dt_time t0;       /* negotiated */
    dt_time heard;    /* last sign of life known; t0 until there is one */
    dt_time rekey_at; /* DT_NEVER: not */
    dt_time probe_at; /* next probe or idle check */
    dt_time probed;   /* when the last one was sent */
    dt_time del_at;   /* when the DELETE goes out; DT_NEVER: not, or it has */
};

struct dt_epoch_stats {
    uint64_t negotiated, verified, unanswered, probes, pings, switches, forced_uses, probe_elsewhere;
    uint64_t idle_dead, timeouts, refused, sessions_opened, sessions_dropped, sessions_lost, expired;
    uint64_t full; /* epochs that were pushed out because DT_EPOCH_MAX were there */
};

/* ---- Client (FIG. 6A, 6B) ---- */

enum dt_epoch_session {
    DT_EPOCH_NO_SESSION, /* stopped, or waiting to open again */
    DT_EPOCH_OPENING,
    DT_EPOCH_OPEN,
};

/* Fields are the engine's; others may read them. */
struct dt_epoch_client {
    struct dt_epoch_params p;
    const struct dt_epoch_ops *ops;
    void *user;
    struct dt_rand rand;
    struct dt_epoch e[DT_EPOCH_MAX];
    struct dt_epoch_stats stats;
    bool started;
    bool ping_asked; /* the administrator waits for the answer to a ping */
    bool negotiating;
    uint8_t session; /* enum dt_epoch_session */
    uint32_t out;    /* epoch that carries data; 0: held */
    bool out_forced;
    /* Set by the owner: the peer may send on a new epoch before it has heard us there, and answers probes: nothing
     * but such an answer verifies an epoch. */
    bool peer_speaks;
    bool fresh;           /* an epoch was verified since the last negotiation began */
    uint32_t proved;      /* the newest verified epoch, also when it is gone */
    dt_time limit;        /* its t0 + keylife - rekeymargin: until then data waits for a verified epoch */
    uint32_t nepoch;      /* the original's NEPOCH: negotiations failed since an epoch was verified */
    uint32_t unverified;  /* epochs in a row that no probe could verify */
    uint32_t opens;       /* sessions opened since an epoch was verified */
    uint32_t refused;     /* of them, refused by somebody's word */
    uint32_t replacing;   /* the epoch that the running negotiation replaces; 0: none */
    uint32_t busy;        /* times in a row that the peer answered TEMPORARY_FAILURE */
    dt_time busy_since;   /* the first of them */
    dt_time negotiate_by; /* the running negotiation or opening is abandoned then */
    dt_time negotiate_at; /* start of the one that is wanted (opening, when there is no session); DT_NEVER:
                             none is */
    dt_time last_start;   /* when the last negotiation or opening began */
};

void dt_epoch_client_init(struct dt_epoch_client *c, const struct dt_epoch_params *p,
                          const struct dt_epoch_ops *ops, void *user, struct dt_rand rand);
/* New parameters for what begins from now on; running timers keep their times. */
void dt_epoch_client_params(struct dt_epoch_client *c, const struct dt_epoch_params *p);
void dt_epoch_client_start(struct dt_epoch_client *c, dt_time now);
/* Forgets every epoch (`gone` for each, without `del`) and waits for another start. The owner closes the
 * session. */
void dt_epoch_client_stop(struct dt_epoch_client *c, dt_time now);
/* Authenticated; its first epoch follows by `negotiated`. */
void dt_epoch_client_session_up(struct dt_epoch_client *c, dt_time now);
/* The peer is gone (retransmissions ran out) or ended the session. Epochs stay unless the caller deletes
 * them. */
void dt_epoch_client_session_lost(struct dt_epoch_client *c, dt_time now);
/* An epoch exists. A second session beside the first (encap = auto) gives epochs too; among epochs on
 * probation the first verified carries data, and a newer one that is verified after it replaces it. Older
 * ones retire. */
void dt_epoch_client_negotiated(struct dt_epoch_client *c, dt_time now, uint32_t no,
                                enum dt_epoch_origin origin);
/* The negotiation or opening that runs was refused. */
void dt_epoch_client_failed(struct dt_epoch_client *c, dt_time now);
/* The peer has no time for it now (TEMPORARY_FAILURE, RFC 7296 2.25). It is asked again after a pause that doubles,
 * for several minutes while an epoch carries data, else as long as silence would be borne; then the session is dropped. */
void dt_epoch_client_busy(struct dt_epoch_client *c, dt_time now);
/* The peer does not know the epoch that was to be replaced (CHILD_SA_NOT_FOUND; `peer_deleted` came before): another is
 * asked for at once. */
void dt_epoch_client_not_found(struct dt_epoch_client *c, dt_time now);
/* By the peer's word this session will bring no epoch at all: it is dropped, and the next one waits. */
void dt_epoch_client_hopeless(struct dt_epoch_client *c, dt_time now);
/* An authenticated packet came in on that epoch. At least the first must be reported. */
void dt_epoch_client_heard(struct dt_epoch_client *c, dt_time now, uint32_t no);
/* The reply to the probe (ident, seq) came in on epoch `came_on`. Counts as heard. */
void dt_epoch_client_probe_reply(struct dt_epoch_client *c, dt_time now, uint32_t came_on, uint16_t ident,
                                 uint16_t seq);
void dt_epoch_client_peer_deleted(struct dt_epoch_client *c, dt_time now, uint32_t no);
/* It lost (a collision of rekeys, RFC 7296 2.8.1; the slower encapsulation): it carries no data and is not
 * probed, but receives until it is deleted. `del`: we delete it. */
void dt_epoch_client_retire(struct dt_epoch_client *c, dt_time now, uint32_t no, bool del);
/* The exchange that `del` asked for is over, answered or not; the session may be gone too. */
void dt_epoch_client_deleted(struct dt_epoch_client *c, dt_time now, uint32_t no);
/* The server wants to rekey. False: answer TEMPORARY_FAILURE. It may have a reason that we cannot know, such as sequence
 * numbers that come to their end: an epoch older than `timeout` is then replaced by our own negotiation. */
bool dt_epoch_client_peer_rekey(struct dt_epoch_client *c, dt_time now);
/* The administrator, or an SA near the end of its numbers. */
void dt_epoch_client_rekey(struct dt_epoch_client *c, dt_time now);
/* The epoch's outbound SA has no sequence number left: it carries no data any more, and is replaced. */
void dt_epoch_client_exhausted(struct dt_epoch_client *c, dt_time now, uint32_t no);
void dt_epoch_client_ping(struct dt_epoch_client *c, dt_time now);
/* The network changed under us, or what was configured did: drop the session and open another at once; old epochs go on
 * meanwhile. Polite: its peer still answers, and is told when they carry no data any more. */
void dt_epoch_client_reopen(struct dt_epoch_client *c, dt_time now, bool polite);
void dt_epoch_client_tick(struct dt_epoch_client *c, dt_time now);
dt_time dt_epoch_client_deadline(const struct dt_epoch_client *c);
/* Is data on a verified epoch right now, with nothing said against it? Never, without probes. */
bool dt_epoch_client_verified(const struct dt_epoch_client *c);
/* Is data on an epoch that was taken into use without a proof, since there are no probes (or were none)? */
bool dt_epoch_client_unproved(const struct dt_epoch_client *c);
void dt_epoch_client_digest(const struct dt_epoch_client *c, dt_time now, struct dt_digest *d);

/* ---- Server (FIG. 7; with probe false FIG. 8) ---- */

struct dt_epoch_server {
    struct dt_epoch_params p;
    const struct dt_epoch_ops *ops;
    void *user;
    struct dt_rand rand;
    struct dt_epoch e[DT_EPOCH_MAX];
    struct dt_epoch_stats stats;
    uint32_t out;
    bool out_forced;
    bool negotiating;
    /* Set by the owner: the client speaks first on every new epoch, also on one that we began; its DELETE of the
     * epoch that carries data forces nothing. */
    bool peer_probes;
    dt_time negotiate_by;
    dt_time reap_at; /* next look whether the client lives */
};

void dt_epoch_server_init(struct dt_epoch_server *s, const struct dt_epoch_params *p,
                          const struct dt_epoch_ops *ops, void *user, struct dt_rand rand);
/* Twice what a client with the same parameters needs to show that it lives: after such a silence it is asked. */
dt_time dt_epoch_server_reap_after(const struct dt_epoch_server *s);
void dt_epoch_server_params(struct dt_epoch_server *s, const struct dt_epoch_params *p);
void dt_epoch_server_stop(struct dt_epoch_server *s, dt_time now);
/* DT_EPOCH_ASKED: this server began the rekey. */
void dt_epoch_server_negotiated(struct dt_epoch_server *s, dt_time now, uint32_t no,
                                enum dt_epoch_origin origin);
void dt_epoch_server_retire(struct dt_epoch_server *s, dt_time now, uint32_t no, bool del);
void dt_epoch_server_failed(struct dt_epoch_server *s, dt_time now);
void dt_epoch_server_heard(struct dt_epoch_server *s, dt_time now, uint32_t no);
void dt_epoch_server_peer_deleted(struct dt_epoch_server *s, dt_time now, uint32_t no);
void dt_epoch_server_deleted(struct dt_epoch_server *s, dt_time now, uint32_t no);
/* An SA near the end of its numbers: the server may not wait for the client any longer. */
void dt_epoch_server_rekey(struct dt_epoch_server *s, dt_time now);
/* The epoch's outbound SA has no sequence number left: it is deleted, so that the client, who may decline rekeys, asks for
 * another. */
void dt_epoch_server_exhausted(struct dt_epoch_server *s, dt_time now, uint32_t no);
void dt_epoch_server_tick(struct dt_epoch_server *s, dt_time now);
dt_time dt_epoch_server_deadline(const struct dt_epoch_server *s);
void dt_epoch_server_digest(const struct dt_epoch_server *s, dt_time now, struct dt_digest *d);
/* Live epochs (not free). */
size_t dt_epoch_server_count(const struct dt_epoch_server *s);

/* ---- The inequalities and the bound (US 7,155,740, detailed description) ---- */

struct dt_epoch_nat {
    dt_time t_out;  /* an outstanding item lives this long */
    uint32_t n_out; /* packets it may carry after it made another client wait */
    dt_time t_ei;   /* an established item lives this long without traffic */
    uint32_t n;     /* N: other tunnels' unanswered pings that a ping must outlive */
};

struct dt_epoch_nat dt_epoch_nat_default(void);

#define DT_EPOCH_CHECKS 8
struct dt_epoch_check {
    bool ok;
    char text[192]; /* "maxidle 30 s < t_ei 300 s": the relation with its numbers, and what would be right if
                       not */
};

/* Fills up to DT_EPOCH_CHECKS lines, returns how many; *bad (may be NULL) counts those that do not hold. */
size_t dt_epoch_check(struct dt_epoch_check out[DT_EPOCH_CHECKS], const struct dt_epoch_params *p,
                      const struct dt_epoch_nat *nat, unsigned *bad);

/* How long a client may be without traffic, counted from the moment the network is fair again (delivers every
 * packet within round_trip / 2), whatever happened before. The parts are cumulative steps of one recovery. */
struct dt_epoch_bound {
    dt_time detect;      /* maxidle + pingtries2 * pingtime2: nothing comes in, and it is noticed */
    dt_time renegotiate; /* the session is dead: elimit + 1 negotiations of `timeout` each are lost on it */
    dt_time reopen; /* `timeout` for each address of the gateway that does not answer, then one that does */
    dt_time verify; /* probes, and once more when a race is lost: pingtries * pingtime + a negotiation */
    dt_time total;
    dt_time epoch_only; /* detect + one negotiation + one probe: only a NAT lost its ESP items */
};
struct dt_epoch_bound dt_epoch_bound(const struct dt_epoch_params *p, unsigned addresses, dt_time round_trip);

#endif
