/* IKEv2 (RFC 7296): every IKE session of one host, initiator and responder, without input or output.
 *
 * Who is who:
 *   struct dt_ike          the host: SPI table, cookie secret, limits, one clock of timers
 *   struct dt_ike_session  one owner's session with a peer. It keeps its identity when its IKE SA is rekeyed.
 *   struct dt_ike_child    a Child SA pair (one epoch), from the moment it is asked for until it is gone.
 *
 * Rules of the house:
 * - Every call takes `now`; ask dt_ike_deadline() after each call and call dt_ike_tick() no later than that.
 * - Callbacks (struct dt_ike_ops) that report may call any function of this header. Those that ask (psk, lookup,
 *   authorize, lease, notify_in, notify_out, child_ask) come in the middle of a message: they may read, set owners, and
 *   close other sessions silently. `send` comes before its timer is set, and may only read. A session or child that
 *   ends stays readable until the outermost dt_ike_* call returns; its handle is dead after its *_down, child_failed or
 *   session_down callback returned.
 * - Datagrams are IKE messages without the non-ESP marker: the driver strips it and adds it where path->natt.
 * - One request is outstanding at a time in each direction (window size 1); further ones wait in a bounded
 *   queue. A request that was answered already is answered again with the same bytes.
 * - Nothing that is not authenticated ends a session; an initial exchange alone may fail by it, after a grace
 *   time in which a proper answer wins.
 * - After a rekey the engine does not delete the old child: its owner calls dt_ike_child_delete() once the
 *   new one is verified. What RFC 7296 sections 2.8.1, 2.8.2 and 2.25 say of collisions is done in here.
 * - Keys are wiped as soon as they were handed over or their SA is gone.
 */
#ifndef DT_IKE_IKE_H
#define DT_IKE_IKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/domain.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/path.h"
#include "base/rand.h"
#include "base/selector.h"
#include "base/time.h"
#include "base/transform.h"
#include "wire/ike_id.h"
#include "wire/ike_notify.h"
#include "wire/ike_proposal.h"

struct dt_crypto;
struct dt_x509_own;   /* crypto/x509.h */
struct dt_x509_trust;
struct dt_ike;
struct dt_ike_session;
struct dt_ike_child;
struct dt_ike_work;

/* ---- what is configured ---------------------------------------------------------------------- */

/* What peers may cost that have not proved who they are (RFC 7296 section 2.6, RFC 8019 section 4).
 *
 * A source is an IPv4 address or an IPv6 /64. It counts as proved once it returned a cookie. Limits by source hold for
 * proved sources alone, because the others may be anybody's; what is not proved shares one budget, and past it a COOKIE is
 * demanded before anything is computed. Only unproved work counts: a handshake that completes gives back what it took.
 * Work is counted in microseconds of key exchange (dt_ke_work), so that who asks for a dear group pays more.
 * Every limit has a counter in struct dt_ike_counters. */
struct dt_ike_door {
    unsigned half_open_cookie; /* from so many half-open sessions on, demand COOKIE (32) */
    unsigned half_open_max; /* so many in all (2048): then the oldest of the source with the most gives way */
    unsigned half_open_source; /* so many of one source (512) ... */
    dt_time half_open_yield;   /* ... of which one that is older than this gives way to a newcomer (1 s) */
    dt_time half_open_timeout; /* a responder waits this long for IKE_AUTH (30 s) */
    unsigned
        failed_max; /* sessions whose IKE_AUTH was refused, kept for its repetitions; no source's place (256) */
    dt_time cookie_rotate; /* age of the cookie secret (60 s); the one before it is still taken */
    uint32_t
        work_rate; /* work a second for all who brought no cookie, us (100,000); a second's worth at once */
    uint32_t
        work_rate_source; /* work a second for one source that brought one, us (100,000); two seconds' worth at once */
    uint32_t work_queue;  /* work of half-open sessions that may be under way (ops->work), us (250,000); a quarter of it of one source */
    uint32_t answer_rate; /* refusals a second to all who brought no cookie (100); a second's worth at once */
    uint32_t
        answer_rate_source; /* refusals a second to one source, with a cookie or without (50); a second's worth */
};

struct dt_ike_params {
    dt_time retransmit_base;   /* first retransmission after this (default 500 ms) ... */
    double retransmit_factor;  /* ... each further wait longer by this factor (1.8) ... */
    dt_time retransmit_max;    /* ... up to this (20 s) ... */
    unsigned retransmit_tries; /* ... this many times (7), then the session is dead */
    dt_time init_grace;        /* an unauthenticated refusal of IKE_SA_INIT counts after this (1 s) */
    struct dt_ike_door door;   /* what peers may cost that have not proved who they are */
    unsigned session_max;      /* 65536 */
    unsigned child_max;        /* children of one session, dying ones included (32) */
    unsigned queue_max;        /* requests of one session that wait for the window (16) */
    unsigned ike_sas_max;      /* IKE SAs of one session, replaced ones not yet deleted included (4) */
    dt_time keepalive;         /* NAT keep-alive when nothing was sent for this long (20 s; DT_NEVER: none) */
    /* Rekey of the IKE SA at a random time in the last tenth of this (4 h; DT_NEVER: by the owner alone). Twice
     * that where the peer opened the session. A peer that refuses is asked again until twice (three times) this is over,
     * then the session is closed. */
    dt_time ike_lifetime;
    dt_time linger; /* an IKE SA that was replaced and that the peer does not delete goes after this (60 s) */
    uint16_t port_ike, port_natt; /* 500 and 4500; others for tests without privilege */
    /* Payload (borrowed), sent in IKE_AUTH, where nobody else sees it and no message before it grows; empty: none. Notifies of
     * private use are exchanged with peers that send the same one, and with nobody else (RFC 7296 3.10.1). */
    struct dt_span vendor_id;
};
void dt_ike_params_default(struct dt_ike_params *p);

enum dt_ike_encap {
    DT_ENCAP_DETECT, /* NAT_DETECTION notifies; UDP 4500 when there is a NAT */
    DT_ENCAP_OFF,    /* send no NAT_DETECTION: raw ESP, also through a masquerading NAT */
    DT_ENCAP_FORCE,  /* NAT_DETECTION with a source that cannot match: both go to UDP 4500 */
};

#define DT_PSK_MAX 256

/* Proof by certificate (RFC 7427); needs ops->wall. own: an initiator proves itself by it, a responder too to whoever does so
 * (with own_always: to everybody); NULL: by the pre-shared key. trust: the peer may prove itself by a certificate of these
 * authorities, and an initiator takes nothing else from it; NULL: it may not. */
struct dt_ike_proofs {
    struct dt_x509_own *own;
    struct dt_x509_trust *trust;
    bool own_always;
    bool rsa_sha1; /* method 1 (RSA with SHA-1) is taken, and given to a peer that knows nothing newer. Weak */
};
void dt_ike_proofs_ref(const struct dt_ike_proofs *p); /* whoever copies it */
void dt_ike_proofs_unref(struct dt_ike_proofs *p);     /* and empties it */
bool dt_ike_proofs_eq(const struct dt_ike_proofs *a, const struct dt_ike_proofs *b);
/* The same ways to prove oneself, perhaps by another certificate, or to other authorities: no reason to negotiate anew. */
bool dt_ike_proofs_alike(const struct dt_ike_proofs *a, const struct dt_ike_proofs *b);

/* One side's view of a peer: shared by all sessions that use it, borrowed by the engine: it must outlive them
 * (or be exchanged by dt_ike_session_set_cfg). */
struct dt_ike_cfg {
    struct dt_ike_id local_id;  /* what we say we are */
    struct dt_ike_id remote_id; /* who the peer must be; may be DT_ID_ANY or a pattern on a responder */
    struct dt_proposals ike;    /* by preference */
    struct dt_proposals esp; /* a group in them is for rekeys and further children (PFS); IKE_AUTH has none */
    struct dt_selectors local_ts, remote_ts; /* offered by an initiator, allowed by a responder */
    /* Transport mode (USE_TRANSPORT_MODE); the child fails if the peer has tunnel mode only. */
    bool transport;
    enum dt_ike_encap encap;

    struct dt_ike_proofs proofs; /* borrowed */

    /* initiator */
    /* Ask for inside addresses (configuration payload); what is given is added to the session
     * (dt_ike_session_inside); local_ts then is usually everything. */
    bool want4, want6, want_dns;
    bool initial_contact; /* say that this is the only session with these identities (RFC 7296 2.4) */
    bool send_idr;        /* name remote_id in IKE_AUTH; needs an exact remote_id */

    /* responder */
    bool lease; /* inside addresses through ops->lease: they are allowed to the peer, beside its networks */
};

/* Inside addresses and name servers (RFC 7296 section 3.15). ver 0: none. */
#define DT_IKE_DNS_MAX 4
struct dt_ike_inside {
    struct dt_addr addr4, addr6;
    uint8_t addr6_len; /* prefix length of addr6: 128 when the peer gives none */
    uint8_t ndns;
    struct dt_addr dns[DT_IKE_DNS_MAX];
    char domains[DT_DOMAINS_CAP]; /* that these are asked for (RFC 8598; base/domain.h); a gateway's session keeps none */
};

/* A private-use status notify (40960 to 65535) carried in IKE_AUTH, between two that have the same Vendor ID. */
#define DT_IKE_NOTIFY_DATA 64
struct dt_ike_notify {
    uint16_t type;
    uint8_t len;
    uint8_t data[DT_IKE_NOTIFY_DATA];
};

/* What a peer may prove itself with. */
struct dt_ike_may {
    bool psk, certificate;
    bool rsa_sha1; /* method 1: RSA with SHA-1 */
};

/* ---- what is reported ------------------------------------------------------------------------ */

/* A negotiated Child SA, valid during child_up alone (the keys are wiped after it). */
struct dt_child_sa {
    uint32_t spi_in, spi_out; /* host order; spi_in was given by us, spi_out by the peer */
    struct dt_suite suite;
    bool esn;
    bool transport;   /* transport mode, else tunnel mode */
    bool initiator;   /* we began the exchange that made it */
    uint16_t key_len; /* of each direction: encryption key, with its salt, then integrity key */
    uint8_t key_in[DT_KEY_MAX], key_out[DT_KEY_MAX];
    struct dt_selectors local_ts, remote_ts;
    struct dt_path path;           /* ESP travels here: in UDP when path.natt; raw ESP ignores the ports */
    struct dt_ike_child *replaces; /* the child that this one rekeys; NULL: none, or it is gone already */
};

enum dt_ike_down {
    DT_DOWN_LOCAL,   /* the owner deleted it */
    DT_DOWN_PEER,    /* the peer's DELETE */
    DT_DOWN_SESSION, /* its session ended */
    DT_DOWN_GONE,    /* the peer says that it has no such SA (CHILD_SA_NOT_FOUND) */
};

enum dt_ike_session_state {
    DT_SESSION_INIT, /* IKE_SA_INIT under way */
    DT_SESSION_AUTH, /* IKE_AUTH under way */
    DT_SESSION_UP,
    DT_SESSION_CLOSING, /* our DELETE was sent */
    DT_SESSION_DEAD,    /* readable until the outermost call returns */
};

enum dt_ike_event {
    DT_IKE_EV_REFUSED, /* we refused a peer's request; err says why (also IKE_SA_INIT without a session) */
    DT_IKE_EV_PEER_REFUSED, /* the peer refused ours */
    DT_IKE_EV_COOKIES,      /* there is much unproved work: cookies are demanded; err says which measure */
    DT_IKE_EV_COOKIES_OFF,
    DT_IKE_EV_NAT,        /* a NAT was found (or forced): UDP 4500 from now on */
    DT_IKE_EV_RETRANSMIT, /* a request was sent again; err says which and how often */
    DT_IKE_EV_COLLISION,  /* both sides rekeyed at once; err says which one survives */
};

#define DT_IKE_SEND_KEEPALIVE 1u /* one byte 0xff (RFC 3948 2.3): no non-ESP marker before it */
#define DT_IKE_SEND_AGAIN     2u /* a retransmission */

/* ctx is the one of dt_ike_new. Only send and psk are needed by an initiator; lookup and authorize by a
 * responder too. Every other one may be NULL. */
struct dt_ike_ops {
    /* The bytes are the session's: whoever ends it from here does so last. */
    void (*send)(void *ctx, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags);

    /* The pre-shared key of these identities. Length, or -1: there is none. The engine wipes its copy. */
    int (*psk)(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *local,
               const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX]);

    /* Wall clock, seconds since 1970: certificates are judged by it. NULL: none is taken. */
    int64_t (*wall)(void *ctx);
    /* Before the proof of this identity is looked at: *may comes as the configuration has it, and may be narrowed (or rsa_sha1
     * set) for this one. */
    void (*may_prove)(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *peer, struct dt_ike_may *may);

    /* Responder, IKE_SA_INIT on this path: whose IKE proposals and encapsulation policy may apply? The n-th, from 0; NULL:
     * there is no further one, for n == 0: we serve nobody here, the request is dropped. Which one the peer means it says
     * in IKE_AUTH: what is chosen here is what most of them allow. Those with the same proposals as an earlier one may
     * be left out. */
    const struct dt_ike_cfg *(*lookup)(void *ctx, const struct dt_path *path, unsigned n);
    /* Responder, IKE_AUTH, before the peer has proved anything: the configuration for these identities, or
     * NULL with *err (AUTHENTICATION_FAILED is sent). `me` is NULL when the peer does not name us. The engine
     * checks that cfg's remote_id matches `peer`, its local_id `me`, and, once the peer has proved who it is, that the IKE SA
     * is one that cfg's proposals allow (else NO_PROPOSAL_CHOSEN). */
    const struct dt_ike_cfg *(*authorize)(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *peer,
                                          const struct dt_ike_id *me, struct dt_err *err);
    /* Responder, the peer has proved who it is: inside addresses. want->addr4.ver (addr6.ver) is set where
     * the peer asks for one, its bytes are a wish or zero. 0, or -1 with *err (INTERNAL_ADDRESS_FAILURE: no
     * child then). The lease ends with session_down. */
    int (*lease)(void *ctx, struct dt_ike_session *s, const struct dt_ike_inside *want,
                 struct dt_ike_inside *give, struct dt_err *err);
    /* Responder, the peer has proved who it is: the networks that this identity may bring, beside its lease (RFC 4301
     * section 4.4.3.3). *out is empty before. Asked anew for every child and rekey. NULL: cfg->remote_ts for all. */
    void (*networks)(void *ctx, struct dt_ike_session *s, struct dt_selectors *out);
    /* Both roles: may this child be? Mode, selectors and path of *sa are known, SPIs and keys are not; nothing of it is
     * stored or answered yet. -1 with *err: a responder answers err->notify (TS_UNACCEPTABLE where 0 is set), an
     * initiator deletes it at the peer and reports child_failed. */
    int (*child_admit)(void *ctx, struct dt_ike_session *s, const struct dt_child_sa *sa, struct dt_err *err);

    /* IKE_AUTH, both ways. notify_in: after the peer was authenticated, before session_up. notify_out: fill
     * v, return how many (at most cap); a responder is asked after notify_in and lease. */
    void (*notify_in)(void *ctx, struct dt_ike_session *s, const struct dt_ike_notify *n);
    size_t (*notify_out)(void *ctx, struct dt_ike_session *s, struct dt_ike_notify *v, size_t cap);

    /* Responder, INITIAL_CONTACT of a peer that is authenticated on `s` (after notify_in): is its session `old` of a life
     * before, and ends? False: it may be another machine's with the same identity, and stays. NULL: all end. */
    bool (*replaces)(void *ctx, struct dt_ike_session *s, struct dt_ike_session *old);

    /* IKE_AUTH done, both ends authenticated; child_up or child_failed of the first child follows. */
    void (*session_up)(void *ctx, struct dt_ike_session *s);
    /* The end, for whatever reason; not after dt_ike_close(silently). All its children had child_down (or
     * child_failed) just before. Never called for a responder's session that authorize did not accept. */
    void (*session_down)(void *ctx, struct dt_ike_session *s, const struct dt_err *why);
    /* The certificate that the peer proved itself with is not one that would be taken now: it has expired, or see
     * dt_ike_session_recheck. The owner closes the session; without this callback it is closed. */
    void (*proof_lost)(void *ctx, struct dt_ike_session *s, const struct dt_err *why);
    /* The IKE SA was rekeyed; children moved along. */
    void (*session_rekeyed)(void *ctx, struct dt_ike_session *s);
    /* Datagrams now travel elsewhere: a float to UDP 4500, or the peer's address changed behind its NAT. The
     * ESP of its children follows. */
    void (*path_changed)(void *ctx, struct dt_ike_session *s, const struct dt_path *path);
    /* An answer to dt_ike_liveness(). (No answer: session_down.) */
    void (*alive)(void *ctx, struct dt_ike_session *s);
    /* A hint without proof that the peer has lost the session (INVALID_IKE_SPI in the clear): nothing was
     * changed. The owner may open a new session beside it. At most once a second for each session. */
    void (*suspect)(void *ctx, struct dt_ike_session *s, const struct dt_err *hint);

    /* A Child SA is agreed. Its inbound SA must be live before this returns: the peer may send at once. */
    void (*child_up)(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c,
                     const struct dt_child_sa *sa);
    /* What the owner asked for by open, create or rekey did not come about; the child it should have replaced is
     * untouched. err->notify: TEMPORARY_FAILURE: try again later; CHILD_SA_NOT_FOUND: the old one is gone
     * (child_down DT_DOWN_GONE came before), create a new one. */
    void (*child_failed)(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c,
                         const struct dt_err *err);
    /* A child that was up is no more: remove its SAs. */
    void (*child_down)(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c, enum dt_ike_down why);
    /* The peer has answered our DELETE of the child with this inbound SPI (dt_ike_child_delete): it sends nothing on it any
     * more. */
    void (*child_deleted)(void *ctx, struct dt_ike_session *s, uint32_t spi_in);
    /* Both sides rekeyed the same child at once and the peer is about to delete this one (RFC 7296 2.8.1): do
     * not choose it for sending. The other one stays. */
    void (*child_redundant)(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c);
    /* The peer asks to rekey `old`, or for a further child (old == NULL). True: go on. False:
     * TEMPORARY_FAILURE for a rekey, NO_ADDITIONAL_SAS for a further child. Without this callback: true. */
    bool (*child_ask)(void *ctx, struct dt_ike_session *s, struct dt_ike_child *old);

    /* A key exchange, or a signature and its check, milliseconds of a processor: run it (dt_ike_work_run) on any thread, and hand it back with
     * dt_ike_work_done, later, from none of these callbacks. What waits for it stands still, everything else goes on. Every
     * job must be handed back, also after dt_ike_free. NULL: it is done at once, inside the call that needs it. */
    void (*work)(void *ctx, struct dt_ike_work *w);

    void (*event)(void *ctx, struct dt_ike_session *s, enum dt_ike_event what, const struct dt_path *path,
                  const struct dt_err *err); /* s may be NULL */
    /* Key log for Wireshark's ikev2_decryption_table: one line, without newline. Asked for by the user only. */
    void (*keylog)(void *ctx, const char *line);
};

/* ---- the host -------------------------------------------------------------------------------- */

/* All arguments but ctx are borrowed (params and ops are copied). NULL: no memory. */
struct dt_ike *dt_ike_new(const struct dt_ike_params *params, const struct dt_ike_ops *ops, void *ctx,
                          const struct dt_crypto *crypto, const struct dt_rand *rand);
/* Drops every session silently, without callbacks, and wipes all keys. Not from a callback. */
void dt_ike_free(struct dt_ike *ike);

/* A datagram (without non-ESP marker) that came in on path: path->remote is its source, path->local where it
 * arrived. The bytes are changed in place (decryption). */
void dt_ike_input(struct dt_ike *ike, dt_time now, const struct dt_path *path, uint8_t *data, size_t len);
/* At most 256 timers at a time: when more are due, the deadline stays in the past. */
void dt_ike_tick(struct dt_ike *ike, dt_time now);
dt_time dt_ike_deadline(const struct dt_ike *ike);

struct dt_ike_counters {
    uint64_t in, out, in_bytes, out_bytes;
    uint64_t malformed;       /* dropped: not an IKE message, or not one that fits its place */
    uint64_t unknown_spi;     /* no session has that SPI */
    uint64_t bad_integrity;   /* the SK payload did not verify */
    uint64_t bad_message_id;  /* outside the window */
    uint64_t retransmits_out; /* our requests again */
    uint64_t retransmits_in;  /* the peer's requests again: answered from the cache */
    uint64_t cookies_sent, cookies_bad;
    uint64_t half_open_dropped;    /* beginnings dropped: no room in all, or for their source */
    uint64_t half_open_pushed_out; /* half-open sessions that gave way to a newcomer */
    uint64_t failed_pushed_out;    /* refused sessions that gave way to newer ones */
    uint64_t work_limited;         /* beginnings without a cookie that found the budget of work used up */
    uint64_t work_limited_source;  /* beginnings dropped: their source has used up its own */
    uint64_t work_queue_full;      /* beginnings dropped: too much work is under way */
    uint64_t works;                /* key exchanges, signatures and their checks given to ops->work */
    uint64_t auth_put_off;         /* IKE_AUTH not looked at: its source has used up its work, or too much is under way */
    uint64_t rate_limited;         /* unauthenticated answers not sent */
    uint64_t sessions_opened, sessions_up, sessions_down, sessions_failed, auth_failed;
    uint64_t children_up, children_down, children_failed;
    uint64_t ike_rekeys, collisions;
    uint64_t queue_full;
    uint64_t ike_sas_full;     /* rekeys of an IKE SA put off: ike_sas_max were there */
    uint64_t ignored_notifies; /* status notifies that nobody knows */
};
const struct dt_ike_counters *dt_ike_counters(const struct dt_ike *ike);
struct dt_ike_usage {
    size_t sessions, half_open, sas, children, timers, queued;
    size_t sources; /* with half-open sessions */
    size_t works;   /* jobs that were not handed back yet */
};
/* What is held now; all zero once every session is gone. */
struct dt_ike_usage dt_ike_usage(const struct dt_ike *ike);

struct dt_ike_work {
    struct dt_list link; /* the driver's own, to queue it by */
};
/* The job itself. Any thread, one call for a job; it touches nothing but the job, the provider, and the random source of
 * dt_ike_new, which must be safe on that thread. */
void dt_ike_work_run(struct dt_ike_work *w);
/* On the engine's thread again, in any order: whoever waits goes on, and the job is wiped and freed. Callbacks come from
 * inside. After dt_ike_free it only frees. */
void dt_ike_work_done(struct dt_ike_work *w, dt_time now);
/* For a peer that has proved who it is, or for a session of our own: before what strangers ask for. */
bool dt_ike_work_urgent(const struct dt_ike_work *w);

/* Feeds all state that can change behaviour, times as distances from now. */
void dt_ike_digest(const struct dt_ike *ike, dt_time now, struct dt_digest *d);

/* ---- sessions -------------------------------------------------------------------------------- */

/* Begins IKE_SA_INIT (the first datagram is sent from inside this call) for a session and its first child.
 * path: ports as they will be used first, usually params.port_ike at both ends; with natt, UDP 4500 from the
 * start. NULL with *err: bad configuration, limits, no memory. owner: dt_ike_session_owner(). */
struct dt_ike_session *dt_ike_open(struct dt_ike *ike, dt_time now, const struct dt_ike_cfg *cfg,
                                   const struct dt_path *path, void *owner, struct dt_err *err);
/* silently: gone at once, nothing is sent, no callback is called. Else DELETE is sent (after what is
 * outstanding) and session_down follows when it was answered or given up; a session that is not up goes at
 * once. */
void dt_ike_close(struct dt_ike_session *s, dt_time now, bool silently);
/* Before dt_ike_close: a reason that goes with the DELETE to a peer that is a Dovetail (enum dt_why). where: the address
 * that it speaks of, or NULL. The peer's session_down has both in its error. */
void dt_ike_session_close_why(struct dt_ike_session *s, uint16_t why, const struct dt_addrport *where);
/* Rekeys the IKE SA now. Nothing happens if that is under way or the session is not up; with params.ike_sas_max IKE SAs
 * it is tried again later. */
void dt_ike_session_rekey(struct dt_ike_session *s, dt_time now);
/* An empty INFORMATIONAL request, unless a request is under way already (whose answer is reported in its
 * place). */
void dt_ike_liveness(struct dt_ike_session *s, dt_time now);
/* New configuration for what is negotiated from now on. */
void dt_ike_session_set_cfg(struct dt_ike_session *s, const struct dt_ike_cfg *cfg);
/* Would the peer's certificate be taken by that trust (the cfg's new one) now? If not, proof_lost follows, later: it is a job.
 * Nothing happens where the peer proved itself otherwise. */
void dt_ike_session_recheck(struct dt_ike_session *s, dt_time now, struct dt_x509_trust *trust);
/* The local address changed, or the data path saw the peer's authenticated packets come from elsewhere. What is
 * outstanding is sent again at once; an initiator also sends a request of its own, so that the peer follows. */
void dt_ike_session_set_path(struct dt_ike_session *s, dt_time now, const struct dt_path *path);

void dt_ike_session_set_owner(struct dt_ike_session *s, void *owner);
void *dt_ike_session_owner(const struct dt_ike_session *s);
uint64_t dt_ike_session_id(const struct dt_ike_session *s); /* never used twice in one dt_ike; from 1 */
enum dt_ike_session_state dt_ike_session_state(const struct dt_ike_session *s);
bool dt_ike_session_initiator(const struct dt_ike_session *s); /* we opened it */
const struct dt_ike_cfg *dt_ike_session_cfg(const struct dt_ike_session *s);
const struct dt_path *dt_ike_session_path(const struct dt_ike_session *s);
const struct dt_ike_id *dt_ike_session_local_id(const struct dt_ike_session *s);
const struct dt_ike_id *dt_ike_session_remote_id(const struct dt_ike_session *s);
/* Initiator: what the peer gave; responder: what was leased. */
const struct dt_ike_inside *dt_ike_session_inside(const struct dt_ike_session *s);
/* Within session_down: retransmissions ran out, nobody's word ended it. */
bool dt_ike_session_unanswered(const struct dt_ike_session *s);

struct dt_ike_session_info {
    uint64_t spi_i, spi_r;      /* of the IKE SA now in use */
    bool nat_local, nat_remote; /* a NAT before us, before the peer */
    bool same_vendor;           /* the peer sent our own Vendor ID */
    dt_time up_since;           /* DT_NEVER: not yet */
    dt_time heard;              /* last authenticated message; 0: never */
    dt_time rtt;                /* of the last request that was not sent twice; 0: unknown */
    unsigned rekeys;            /* of the IKE SA */
    unsigned outstanding_tries; /* how often the request now under way was sent; 0: none is */
    size_t children;            /* up */
    struct dt_proposal chosen;  /* for the IKE SA; n == 0: not yet */
    uint8_t own_method, peer_method; /* of AUTH (enum dt_ike_auth_method); 0: not yet */
    const char *peer_cert;      /* subject, serial, issuer of the certificate that the peer proved itself with; NULL: none */
    int64_t peer_cert_until;    /* when the first of its chain expires */
};
void dt_ike_session_info(const struct dt_ike_session *s, struct dt_ike_session_info *out);

/* ---- children -------------------------------------------------------------------------------- */

/* The child that comes with IKE_AUTH; NULL once it was reported failed or down. */
struct dt_ike_child *dt_ike_session_first_child(const struct dt_ike_session *s);
/* CREATE_CHILD_SA for a further child with the session's configuration. child_up or child_failed follows (from inside
 * this call only where memory is out). NULL with *err: session not up, limits. */
struct dt_ike_child *dt_ike_child_create(struct dt_ike_session *s, dt_time now, struct dt_err *err);
/* CREATE_CHILD_SA with REKEY_SA. The new child; NULL with *err also when old is being rekeyed by us already
 * or dying. */
struct dt_ike_child *dt_ike_child_rekey(struct dt_ike_child *old, dt_time now, struct dt_err *err);
/* DELETE in an INFORMATIONAL; child_down (DT_DOWN_LOCAL) comes at once, from inside this call; the exchange
 * goes on by itself. On a child not yet up: its owner has lost interest; no callback comes for it any more,
 * and if the peer agrees to it later (a late response), it is deleted at the peer. */
void dt_ike_child_delete(struct dt_ike_child *c, dt_time now);

void dt_ike_child_set_owner(struct dt_ike_child *c, void *owner);
void *dt_ike_child_owner(const struct dt_ike_child *c);
struct dt_ike_session *dt_ike_child_session(const struct dt_ike_child *c);
bool dt_ike_child_is_up(const struct dt_ike_child *c);
uint32_t dt_ike_child_spi_in(const struct dt_ike_child *c);  /* host order; 0: none yet */
uint32_t dt_ike_child_spi_out(const struct dt_ike_child *c); /* 0: not yet known */
/* The child of any session whose inbound SPI this is; NULL: none. */
struct dt_ike_child *dt_ike_child_by_spi(const struct dt_ike *ike, uint32_t spi_in);

const char *dt_ike_down_str(enum dt_ike_down d);
const char *dt_ike_event_str(enum dt_ike_event e);
const char *dt_ike_session_state_str(enum dt_ike_session_state st);

#endif
