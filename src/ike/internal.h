/* Inside the IKE room: the state of a host's sessions, and what its files offer each other.
 *
 *   ike.c           the host: entry and exit of every call, timers, limits
 *   input.c         datagrams: header, SPI, decryption, dispatch; answers outside any session
 *   session.c       sessions: open, close, path, life and death
 *   window.c        one IKE SA's window: requests, retransmission, cached responses, the queue
 *   sa.c            IKE SAs: SPIs, sealing and opening of messages
 *   keys.c          key derivation
 *   cookie.c        cookies
 *   door.c          what strangers may cost: half-open sessions, key exchanges, answers, by source and in all
 *   work.c          key exchanges, at once or as jobs that run elsewhere
 *   nat.c           NAT detection
 *   sa_init.c       IKE_SA_INIT, initiator;  sa_init_answer.c  responder
 *   auth.c          IKE_AUTH, initiator;     auth_answer.c     responder
 *   auth_psk.c      the shared key method
 *   signature.c     proof by signature: what is signed and how, and who may prove itself how
 *   proofs.c        what proves us and whom we believe, and what becomes of a session when that changes
 *   auth_task.c     its public-key work;  cert.c  CERT, CERTREQ, SIGNATURE_HASH_ALGORITHMS
 *   child.c         children: life, keys, the owner's calls
 *   offer.c         SA and TS payloads of children: offer, choice, check of the answer
 *   takes.c         NO_PROPOSAL_CHOSEN, told with both sides' values
 *   create_child.c  CREATE_CHILD_SA for children; create_child_answer.c  responder
 *   rekey_ike.c     CREATE_CHILD_SA for the IKE SA itself
 *   informational.c delete, liveness, errors
 *   cp.c            configuration payload
 *   digest.c        state into a hash
 */
#ifndef DT_IKE_INTERNAL_H
#define DT_IKE_INTERNAL_H

#include "base/bucket.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "crypto/crypto.h"
#include "crypto/x509.h"
#include "ike/ike.h"
#include "wire/ike_msg.h"
#include "wire/ike_payload.h"

#define IKE_NONCE_LEN   32
#define IKE_SCRATCH     16384 /* the longest message we build */
#define IKE_INIT_MAX    8192  /* the longest IKE_SA_INIT request we take: it is kept until IKE_AUTH */
#define IKE_COOKIE_MAX  64    /* RFC 7296 2.6 */
#define IKE_INIT_TRIES  3     /* COOKIE and INVALID_KE_PAYLOAD answers that one open follows, each */
#define IKE_DELETE_SPIS 8
#define IKE_GONE_SPIS   4
#define IKE_NAT_HASH    20 /* octets in a NAT_DETECTION notify (RFC 7296 2.23) */
#define IKE_SA_TIMERS   2

enum ike_timer_kind { TIMER_RETRANSMIT, TIMER_LIFE, TIMER_KEEPALIVE };
struct ike_timer {
    struct dt_timer t;
    enum ike_timer_kind kind;
};

struct ike_nonce {
    uint16_t len;
    uint8_t data[DT_IKE_NONCE_MAX];
};

struct ike_bytes {
    uint8_t *p;
    size_t len;
};

enum ike_exchange_kind {
    EX_INIT,
    EX_AUTH,
    EX_CHILD, /* further child, or rekey of one when `old` is set */
    EX_IKE_REKEY,
    EX_DELETE_CHILD,
    EX_DELETE_IKE,
    EX_LIVENESS,
};

/* One request of ours, queued or outstanding. */
struct ike_exchange {
    struct dt_list link; /* in the session's queue; alone while outstanding */
    enum ike_exchange_kind kind;
    struct dt_ike_child *child; /* EX_CHILD: the new one; NULL once its owner has lost interest */
    struct dt_ike_child *old;   /* EX_CHILD: the one to be rekeyed; NULL also when it went meanwhile */
    bool rekey;                 /* EX_CHILD: REKEY_SA was (or will be) sent */
    uint32_t rekey_spi;
    uint32_t spi_in; /* EX_CHILD: what was offered */
    uint32_t spis[IKE_DELETE_SPIS];
    unsigned nspis;
    uint32_t gone[IKE_GONE_SPIS]; /* EX_CHILD: the peer deleted these before its answer told us of them */
    unsigned ngone;
    struct dt_dh *dh;
    uint16_t group; /* 0: no key exchange payload */
    unsigned ke_tries;
    struct ike_work *work; /* makes dh; the exchange waits in the queue */
    struct dt_ike_session *work_session;
    bool pair_failed;
    uint64_t new_spi; /* EX_IKE_REKEY: our SPI of the IKE SA to be */
    uint8_t nonce[IKE_NONCE_LEN];
    /* The peer rekeyed the same SA meanwhile: what it made, and the lower nonce of its exchange. */
    bool collided;
    struct dt_ike_child *rival_child;
    struct ike_sa *rival_sa;
    struct ike_nonce rival_low;
};

/* What a CERTREQ asks for. */
#define IKE_CERTREQ_MAX 16 /* authorities; of more the request is empty: whoever reads it shows what it has */
struct ike_certreq {
    bool wanted, any;
    size_t n;
    uint8_t hash[IKE_CERTREQ_MAX][DT_X509_HASH_LEN];
};

/* What the answer to IKE_SA_INIT will hold, known before anything secret is made. */
struct ike_init_plan {
    uint16_t group, nonce_len;
    bool nat;    /* NAT detection: the peer takes part in it */
    bool force;  /* its source cannot match */
    bool hashes; /* SIGNATURE_HASH_ALGORITHMS: somebody here takes certificates, and the peer knows what that is */
    struct ike_certreq certreq;
    size_t len;  /* of the whole message */
};

struct ike_auth_task; /* auth_task.h */

/* What is needed until IKE_AUTH is done. */
struct ike_handshake {
    struct dt_table_node node; /* responder: by initiator's SPI and address, for a repeated IKE_SA_INIT */
    bool in_table;
    struct dt_dh *dh;
    uint16_t group;
    uint8_t nonce[IKE_NONCE_LEN]; /* ours, nonce_len octets of it */
    uint16_t nonce_len;
    struct ike_nonce peer_nonce;
    struct ike_bytes sent, got; /* the IKE_SA_INIT messages, for AUTH */
    uint8_t peer_id[4 + DT_IKE_ID_MAX]; /* the body of the peer's identification payload as it came, for AUTH */
    size_t peer_id_len;
    uint16_t peer_hashes; /* of its SIGNATURE_HASH_ALGORITHMS, a bit each; 0: none came */
    uint8_t peer_method;  /* of its AUTH */
    struct ike_auth_task *task; /* the last one that was done */
    uint8_t sk_pi[DT_PRF_MAX], sk_pr[DT_PRF_MAX];
    uint8_t cookie[IKE_COOKIE_MAX];
    size_t cookie_len;
    unsigned cookie_tries, ke_tries;
    bool refused; /* an unauthenticated refusal: counts when the grace time is over */
    struct dt_err refusal;
    struct dt_path init_path; /* responder: where the initiator was */
    struct dt_proposal chosen; /* responder: until the answer is made */
    struct ike_init_plan plan;
    /* responder, door.c */
    struct dt_ike_session *session;
    struct dt_list place;      /* in its source's half-open sessions, or in the door's failed ones */
    struct ike_source *source; /* NULL: it holds no place among the half-open ones */
    bool failed;               /* in the door's list of failed ones */
    bool proved;               /* it brought a cookie */
    uint32_t work;             /* that was taken from its source's budget: for the key exchange ... */
    uint32_t auth_work;        /* ... and for IKE_AUTH */
    dt_time since;
};

/* Half-open sessions of one source, and its work under way; there is none without. */
struct ike_source {
    struct dt_table_node node; /* in door.sources */
    struct dt_timer most;      /* in door.biggest */
    struct dt_addr net;
    struct dt_list places; /* oldest first */
    size_t n;
    uint32_t queued; /* its part of door.queued; it is not forgotten before that is done */
};

#define IKE_SOURCES 1024 /* budgets, shared by hash; a power of two */

struct ike_door {
    struct dt_table sources;
    struct dt_heap biggest; /* of sources; the one with the most half-open sessions comes first */
    struct dt_list failed;  /* oldest first */
    size_t nhalf_open, nfailed;
    struct dt_bucket work, answers;
    struct dt_bucket *source_work, *source_answers; /* IKE_SOURCES each; NULL before they are needed */
    uint32_t queued;                                /* work of half-open sessions that is under way, us */
    bool cookies_on;
};

enum ike_sa_state {
    SA_INIT, /* IKE_SA_INIT under way; a responder's keys are being made */
    SA_AUTH, /* keys are there, IKE_AUTH under way or expected */
    SA_UP,
    SA_REPLACED, /* rekeyed: waits for its deletion by either side */
    SA_DELETING, /* our DELETE is to be sent or was sent */
    SA_FAILED,   /* responder: IKE_AUTH was refused; answers repetitions alone */
    SA_DEAD,     /* keys are gone; memory until the outermost call ends */
};

struct ike_sa {
    struct dt_table_node node; /* by our SPI */
    struct dt_list link;       /* in its session */
    struct dt_ike_session *session;
    uint64_t spi_local, spi_remote;
    bool initiator; /* of this IKE SA: its flag and its keys */
    enum ike_sa_state state;
    uint16_t prf, group;
    struct dt_suite suite;
    uint8_t sk_d[DT_PRF_MAX];
    struct dt_cipher *seal, *open;
    uint64_t iv_counter;
    /* window */
    uint32_t mid_out, mid_in; /* next to use; next that is expected */
    struct ike_exchange *ex;  /* outstanding */
    struct ike_bytes request, response;
    unsigned tries;
    dt_time first_sent, wait;
    dt_time since;               /* it is up since then */
    struct ike_timer retransmit; /* IKE_SA_TIMERS places of the host's heap are its own */
    struct ike_work *work[2]; /* that a request of the peer's [0], or the answer to ours [1], waits for */
    struct ike_timer life; /* half-open end, soft lifetime, linger, by state */
};

enum ike_child_state { CHILD_WANTED, CHILD_UP, CHILD_DYING, CHILD_DEAD };

struct dt_ike_child {
    struct dt_table_node node; /* by spi_in, when in_table */
    struct dt_list link;
    struct dt_ike_session *session;
    void *owner;
    uint32_t spi_in, spi_out;
    enum ike_child_state state;
    bool in_table;
    bool asked;                     /* by the owner: it hears of its failure */
    bool counted;                   /* in session->children_up */
    struct dt_ike_child *successor; /* up, and made by our own rekey of this one */
};

/* What a peer has proved itself with. */
struct dt_ike_peer_cert {
    char who[DT_X509_TEXT];
    int64_t until;
    struct ike_bytes certs; /* as they came, one behind the other */
    size_t ncert, cert_len[DT_X509_CHAIN_MAX];
};

struct dt_ike_session {
    struct dt_list link;            /* of the host */
    struct dt_list kick;            /* waits to be pumped */
    struct dt_table_node peer_node; /* by remote_id, once up */
    bool in_peers;
    struct dt_ike *ike;
    uint64_t id;
    void *owner;
    const struct dt_ike_cfg *cfg;
    struct dt_path path;
    enum dt_ike_session_state state;
    bool initiator;
    bool known; /* the owner knows of it: opened by us, or authorize said yes */
    bool nat_local, nat_remote, same_vendor;
    bool alive_wanted;
    bool unanswered; /* ended by silence */
    const char *closing; /* why our DELETE is sent; NULL: the owner wants it */
    uint16_t close_why; /* told beside our DELETE; DT_WHY_NONE: nothing */
    struct dt_addrport close_where;
    bool silent;     /* no callbacks any more */
    struct dt_ike_id local_id, remote_id;
    struct dt_ike_inside inside;
    struct dt_list sas;
    struct ike_sa *current;
    struct dt_list children;
    size_t nchildren, nup;
    struct dt_list queue;
    unsigned nqueue;
    struct ike_handshake *hs;
    struct dt_ike_child *first;
    struct ike_timer keepalive;
    dt_time last_sent, heard, up_since, rtt, last_suspect;
    bool suspected;
    unsigned rekeys;
    uint16_t chosen_key_bits;
    uint16_t chosen_prf, chosen_group;
    uint8_t own_method, peer_method; /* of AUTH, once it is up */
    struct ike_work *recheck; /* of peer_cert, under way */
    struct dt_ike_peer_cert *peer_cert; /* what the peer proved itself with; NULL: no certificate */
};

struct dt_ike {
    struct dt_ike_params params;
    struct dt_ike_ops ops;
    void *ctx;
    const struct dt_crypto *crypto;
    struct dt_rand rand;
    struct dt_heap timers;
    struct dt_table by_spi, by_child, by_init, by_peer;
    struct dt_siphash_key hash_key;
    struct dt_list works; /* jobs that were not handed back */
    size_t nworks;
    struct dt_list sessions, kicked, dead_sessions, dead_sas, dead_children;
    size_t nsessions, nsas, nchildren, nqueued;
    uint64_t next_id;
    uint8_t secret[2][32]; /* cookies: now, and before */
    dt_time secret_since;
    uint8_t secret_version;
    struct ike_door door;
    struct dt_ike_counters count;
    unsigned depth;
    dt_time now;
    uint8_t scratch[IKE_SCRATCH];
};

/* A received message on its way through. */
struct ike_msg {
    struct dt_ike_header h;
    const struct dt_path *path;
    uint8_t *data;
    size_t len;
    struct dt_ike_payloads outer, inner;
};

/* ---- ike.c ---- */
void ike_enter(struct dt_ike *ike, dt_time now);
void ike_leave(struct dt_ike *ike);
void ike_kick(struct dt_ike_session *s); /* pump its queue when the outermost call ends */
void ike_send(struct dt_ike *ike, struct dt_ike_session *s, const struct dt_path *path, const uint8_t *p,
              size_t len, unsigned flags);
void ike_event(struct dt_ike *ike, struct dt_ike_session *s, enum dt_ike_event what,
               const struct dt_path *path, uint16_t notify, const char *fmt, ...)
    __attribute__((format(printf, 6, 7), nonnull(6)));
int ike_bytes_set(struct ike_bytes *b, const void *p, size_t len);
int ike_bytes_new(struct ike_bytes *b, size_t len); /* not filled */
void ike_bytes_free(struct ike_bytes *b);
struct dt_span ike_bytes_span(const struct ike_bytes *b);

/* ---- session.c ---- */
struct dt_ike_session *ike_session_new(struct dt_ike *ike, bool initiator, const struct dt_path *path);
/* Ends it: children down, session_down (unless silent or unknown to the owner), everything wiped. */
void ike_session_end(struct dt_ike_session *s, const struct dt_err *why);
/* Ends it politely: children down, DELETE, session_down with `why` (a literal) when it was answered or given up. */
void ike_session_close(struct dt_ike_session *s, const char *why);
void ike_session_fail(struct dt_ike_session *s, uint16_t notify, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void ike_session_free(struct dt_ike_session *s); /* memory only; from ike_leave */
void ike_session_established(struct dt_ike_session *s, struct ike_sa *sa);
/* The peer says that all other sessions with the same identities are gone (INITIAL_CONTACT). */
void ike_session_initial_contact(struct dt_ike_session *s);
void ike_session_move(struct dt_ike_session *s, const struct dt_path *path);
void ike_session_keepalive(struct dt_ike_session *s);
void ike_handshake_free(struct dt_ike_session *s);

/* ---- window.c ---- */
struct ike_exchange *ike_exchange_new(enum ike_exchange_kind kind);
void ike_exchange_free(struct ike_exchange *ex);
/* Into the session's queue. Internal work (engine) is always taken, an owner's wish only while there is room. A session that
 * has ended takes it and forgets it. */
int ike_queue(struct dt_ike_session *s, struct ike_exchange *ex, bool internal);
void ike_pump(struct dt_ike_session *s);
/* The bytes of a request of `ex` on sa: keeps a copy for retransmission, sends, arms the timer. -1: no memory. */
int ike_request_send(struct ike_sa *sa, struct ike_exchange *ex, const uint8_t *p, size_t len);
/* An answer came: ends retransmission, hands over the exchange. */
struct ike_exchange *ike_request_done(struct ike_sa *sa);
void ike_request_again(struct ike_sa *sa); /* retransmission timer, or the path changed */
/* A response: remembers it (mid_in moves on); send it with ike_response_send. */
int ike_response_set(struct ike_sa *sa, const uint8_t *p, size_t len);
void ike_response_send(struct ike_sa *sa, const struct dt_path *path, unsigned flags);
struct ike_exchange *ike_find_exchange(struct dt_ike_session *s,
                                       enum ike_exchange_kind kind); /* outstanding */

/* ---- sa.c ---- */
struct ike_sa *ike_sa_new(struct dt_ike_session *s, bool initiator, uint64_t spi_local); /* spi 0: make one */
/* As many IKE SAs as a session may have: replaced ones wait for their DELETE. */
bool ike_sas_full(const struct dt_ike_session *s);
void ike_sa_end(struct ike_sa *sa);  /* wiped and out of all tables */
void ike_sa_free(struct ike_sa *sa); /* memory only; from ike_leave */
struct ike_sa *ike_sa_by_spi(const struct dt_ike *ike, uint64_t spi_local);
uint64_t ike_new_spi(struct dt_ike *ike);
void ike_header(const struct ike_sa *sa, struct dt_ike_header *h, uint8_t exchange, bool response,
                uint32_t mid);
/* A protected message in the host's scratch buffer: begin, add payloads, end (seals; 0: it did not fit). */
void ike_sk_begin(struct ike_sa *sa, struct dt_ike_builder *b, uint8_t exchange, bool response);
size_t ike_sk_end(struct ike_sa *sa, struct dt_ike_builder *b);
/* 0 decrypted, inner parsed; -1 not authentic (or no SK); -2 authentic but the payloads inside are malformed. */
int ike_sk_open(struct ike_sa *sa, struct ike_msg *m);
/* The algorithms in use, added to an empty proposal. */
void ike_sa_chosen(const struct ike_sa *sa, struct dt_proposal *out);
/* SA, not child: algorithms of a chosen proposal. */
int ike_sa_set_algorithms(struct ike_sa *sa, const struct dt_proposal *chosen, struct dt_err *err);

/* ---- keys.c ---- */
struct dt_span ike_nonce_span(const struct ike_nonce *n);
/* At least half of the PRF's key (2.10). */
bool ike_nonce_fits(uint16_t prf, struct dt_span nonce);
int ike_nonce_cmp(struct dt_span a, struct dt_span b);
struct dt_span ike_nonce_low(struct dt_span a, struct dt_span b);
/* Derives SK_* of sa (RFC 7296 2.14, or 2.18 when `from` is the IKE SA being rekeyed) and makes its ciphers. */
int ike_keys_derive(struct ike_sa *sa, const struct ike_sa *from, struct dt_span shared, struct dt_span ni,
                    struct dt_span nr, struct ike_handshake *hs, struct dt_err *err);
/* KEYMAT of a child (2.17) into out->key_in and key_out; out->suite is set. shared may be empty. */
int ike_keys_child(struct ike_sa *sa, struct dt_span shared, struct dt_span ni, struct dt_span nr,
                   bool initiator, struct dt_child_sa *out, struct dt_err *err);

/* ---- cookie.c ---- */
bool ike_cookie_valid(struct dt_ike *ike, const struct ike_msg *m,
                      struct dt_span ni); /* it brought a right one */
size_t ike_cookie_make(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni,
                       uint8_t out[IKE_COOKIE_MAX]);
void ike_cookie_rotate(struct dt_ike *ike);

/* ---- door.c ---- */
void ike_door_init(struct dt_ike *ike);
void ike_door_free(struct dt_ike *ike);
/* What a peer has proved before IKE_AUTH, in rising order. A session ticket (RFC 5723) would come after the cookie. */
enum ike_proof { PROOF_NONE, PROOF_COOKIE };
enum ike_door_verdict { DOOR_OPEN, DOOR_COOKIE, DOOR_SHUT };
/* Must everybody bring a cookie now? */
bool ike_door_cookies(struct dt_ike *ike, const struct dt_path *path);
/* The same, asked by a request for work without a cookie: it is counted as wanted, so that cookies stay on until the flood
 * is over. */
bool ike_door_cookie_first(struct dt_ike *ike, const struct dt_path *path, uint32_t work);
/* May this path begin a session whose key exchange costs `work`? DOOR_OPEN: the work has been paid for, and there is a
 * place; the caller calls ike_door_enter. */
enum ike_door_verdict ike_door_admit(struct dt_ike *ike, const struct dt_path *path, uint32_t work,
                                     enum ike_proof proof);
/* The session takes its source's place. -1: no memory. */
int ike_door_enter(struct dt_ike_session *s, uint32_t work, enum ike_proof proof);
/* The session's key exchange is under way elsewhere; returns the source whose queue it is in, for ike_door_work_end. */
struct ike_source *ike_door_work_begin(struct dt_ike_session *s, uint32_t work);
void ike_door_work_end(struct dt_ike *ike, struct ike_source *src, uint32_t work);
/* May the public-key work of its IKE_AUTH be done now? Its source pays; what it proves by it gives that back. */
bool ike_door_auth(struct dt_ike_session *s, uint32_t work);
/* It holds no place any more. proved: its peer has authenticated itself, and gets back what it paid. */
void ike_door_leave(struct dt_ike_session *s, bool proved);
/* Its IKE_AUTH was refused: it is kept for repetitions alone, as one of a bounded number. */
void ike_door_failed(struct dt_ike_session *s);
/* A refusal outside any session: may it be sent? Counted when not. */
bool ike_door_answer(struct dt_ike *ike, const struct dt_path *path, enum ike_proof proof);

/* ---- work.c ---- */
typedef void ike_work_again(struct ike_sa *sa, struct ike_msg *m);
/* Message m on sa needs the shared secret of `group` with the peer's public value; own: our key pair, or NULL where a fresh
 * one is to be made. True: go on, and ike_work_take does not block (or there are no jobs). False: it is a job now, the
 * message is kept, *own was taken; change nothing and return. again(sa, m) is called when it is done. */
bool ike_work_ready(struct ike_sa *sa, const struct ike_msg *m, uint16_t group, struct dt_span peer,
                    struct dt_dh **own, ike_work_again *again);
/* The secret, and *own, whose owner is the caller. 0, or -1 with *err. */
int ike_work_take(struct ike_sa *sa, const struct ike_msg *m, uint16_t group, struct dt_span peer,
                  struct dt_dh **own, uint8_t shared[DT_KE_MAX], struct dt_err *err);
/* Is the key pair of an exchange there that waits in the queue (or need there be none, or no job for it)? False: it will be;
 * the session is kicked then. */
bool ike_work_pair_ready(struct ike_sa *sa, struct ike_exchange *ex, uint16_t group);
/* The same for IKE_SA_INIT, which is in no queue: again(sa, NULL). */
bool ike_work_first_pair_ready(struct ike_sa *sa, uint16_t group, ike_work_again *again);
struct dt_dh *ike_work_take_pair(struct ike_sa *sa, uint16_t group, struct dt_err *err);
/* A task of IKE_AUTH, for a message of the peer's or (m NULL) for our own first one. True: it is a job now, and will be in
 * hs->task when again(sa, m) is called. False: do it at once; it is the caller's. */
bool ike_work_task(struct ike_sa *sa, const struct ike_msg *m, struct ike_auth_task *t, ike_work_again *again);
/* The same for a session's peer that is up; ike_auth_rechecked is called. */
bool ike_work_recheck(struct dt_ike_session *s, struct ike_auth_task *t);
void ike_work_abandon_recheck(struct dt_ike_session *s);
bool ike_work_pending(const struct ike_sa *sa, bool answer);
void ike_work_abandon_sa(struct ike_sa *sa);
void ike_work_abandon_exchange(struct ike_exchange *ex);
void ike_work_abandon_all(struct dt_ike *ike);

/* ---- nat.c ---- */
void ike_nat_write(struct dt_ike *ike, struct dt_ike_builder *b, uint64_t spi_i, uint64_t spi_r,
                   const struct dt_path *path, bool force);
/* True when the peer sent both kinds of notifies; then what they say. */
bool ike_nat_read(struct dt_ike *ike, const struct ike_msg *m, uint64_t spi_i, uint64_t spi_r, bool *local,
                  bool *remote);

/* ---- notifies of a message ---- */
/* The first notify of that type; false: none (or malformed). */
bool ike_find_notify(const struct dt_ike_payloads *list, uint16_t type, struct dt_ike_notify_payload *out);
/* The first error notify; 0: none. */
uint16_t ike_find_error(const struct dt_ike_payloads *list, struct dt_ike_notify_payload *out);
void ike_write_notify(struct dt_ike_builder *b, uint16_t type, struct dt_span data);
const char *ike_notify_text(uint16_t type, char buf[16]);

/* ---- sa_init.c, sa_init_answer.c ---- */
int ike_init_start(struct dt_ike_session *s, struct dt_err *err);
void ike_init_got_response(struct ike_sa *sa, struct ike_msg *m);
void ike_init_got_request(struct dt_ike *ike, struct ike_msg *m);

/* ---- auth.c, auth_answer.c, auth_psk.c ---- */
void ike_auth_start(struct dt_ike_session *s);
/* True: what the answer proves is known as far as ike_auth_got_response needs it; else again(sa, m) is called later. */
bool ike_auth_answer_ready(struct ike_sa *sa, const struct ike_msg *m, ike_work_again *again);
void ike_auth_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m);
void ike_auth_got_request(struct ike_sa *sa, struct ike_msg *m);
/* What the owner says by notifies of private use. */
#define IKE_PRIVATE_MAX 4
struct ike_private {
    struct dt_ike_notify v[IKE_PRIVATE_MAX];
    size_t n;
};
void ike_auth_private_ask(struct dt_ike_session *s, struct ike_private *out);
void ike_auth_private_write(struct dt_ike_builder *b, const struct ike_private *own);
void ike_auth_private_notifies(struct dt_ike_session *s, const struct dt_ike_payloads *in);
void ike_auth_vendor_write(const struct dt_ike_session *s, struct dt_ike_builder *b);
void ike_auth_vendor_read(struct dt_ike_session *s, const struct dt_ike_payloads *in); /* sets same_vendor */

/* The peer's identity out of its payload, whose body is kept for AUTH. -1: malformed. */
int ike_auth_read_id(struct dt_ike_session *s, const struct dt_ike_payload *p);

/* The shared key method. */
struct ike_auth_method {
    uint8_t method; /* AUTH payload's number */
    /* The AUTH data of the initiator (or responder) for its identity; both ends can compute it. -1 with *err. */
    int (*sign)(struct ike_sa *sa, bool initiator, uint8_t *out, size_t *len, struct dt_err *err);
    /* 0: the peer's AUTH data is right. */
    int (*verify)(struct ike_sa *sa, bool initiator, struct dt_span data, struct dt_err *err);
};
extern const struct ike_auth_method ike_auth_psk;

/* ---- signature.c ---- */
enum ike_auth_verdict { AUTH_BAD = -1, AUTH_GOOD, AUTH_LATER };
/* The octets that AUTH covers, in three pieces (RFC 7296 section 2.15); the last lies in `maced`. */
int ike_auth_octets(struct ike_sa *sa, bool initiator, uint8_t maced[DT_PRF_MAX], struct dt_span octets[3],
                    struct dt_err *err);
/* Has the peer proved by m that it is s->remote_id? A responder's own AUTH is ready then too. AUTH_LATER: it is looked at, and
 * again(sa, m) is called; change nothing and return. AUTH_BAD with *err. */
enum ike_auth_verdict ike_auth_peer(struct ike_sa *sa, const struct ike_msg *m, ike_work_again *again, struct dt_err *err);
/* Initiator: is our own AUTH ready to be written? */
enum ike_auth_verdict ike_auth_own(struct ike_sa *sa, ike_work_again *again, struct dt_err *err);
bool ike_auth_signs(const struct dt_ike_session *s); /* we prove ourselves by a certificate */
int ike_auth_write(struct ike_sa *sa, struct dt_ike_builder *b, struct dt_err *err);
struct dt_ike_may ike_auth_may(struct dt_ike_session *s);
/* "we showed the certificate ...": for sentences about a peer that refused. Returns buf. */
const char *ike_auth_shown(const struct dt_ike_session *s, char *buf, size_t cap);
void ike_auth_rechecked(struct dt_ike_session *s, const struct ike_auth_task *t);
/* Has the peer's certificate expired? Then its owner is told, and the session closes. */
bool ike_auth_expired(struct dt_ike_session *s);
/* Not later than the certificate expires. */
dt_time ike_auth_until(const struct dt_ike_session *s, dt_time when);
void ike_auth_remember(struct dt_ike_session *s); /* what was proved, before the handshake is forgotten */

/* ---- cert.c ---- */
enum dt_x509_name_kind ike_cert_name_kind(const struct dt_ike_id *id); /* 0: no certificate proves such */
void ike_cert_write(struct dt_ike_builder *b, const struct dt_x509_own *own);
int ike_cert_read(struct ike_auth_task *t, const struct dt_ike_payloads *in, struct dt_err *err);
void ike_certreq_add(struct ike_certreq *r, const struct dt_x509_trust *trust);
void ike_certreq_write(struct dt_ike_builder *b, const struct ike_certreq *r);
void ike_hashes_write(struct dt_ike_builder *b);
uint16_t ike_hashes_read(const struct dt_ike_payloads *in); /* a bit for each; 0: none came */

/* ---- child.c ---- */
struct dt_ike_child *ike_child_new(struct dt_ike_session *s, struct dt_err *err); /* with an inbound SPI */
void ike_child_up(struct dt_ike_child *c, struct dt_child_sa *sa);
void ike_child_fail(struct dt_ike_child *c,
                    const struct dt_err *err); /* of one that is wanted: callback if it was asked for, gone */
void ike_child_down(struct dt_ike_child *c, enum dt_ike_down why); /* of one that is up: callback, gone */
void ike_child_drop(struct dt_ike_child *c);                       /* no callback, gone */
void ike_child_free(struct dt_ike_child *c);                       /* memory only; from ike_leave */
struct dt_ike_child *ike_child_by_spi_out(struct dt_ike_session *s, uint32_t spi_out);
struct dt_ike_child *ike_child_by_spi_in(struct dt_ike_session *s, uint32_t spi_in);
void ike_queue_delete_spi(struct dt_ike_session *s, uint32_t spi_in, struct dt_ike_child *dying);
/* The peer deleted what our own DELETE still waits to delete: the queued request goes, as if it had been answered. */
void ike_unqueue_delete(struct dt_ike_session *s, const struct dt_ike_child *dying);

/* ---- offer.c ---- */
/* Both sides of the traffic: what an initiator offers, what a responder allows to this peer. */
void ike_offer_sides(struct dt_ike_session *s, struct dt_selectors *local, struct dt_selectors *remote);
/* Initiator: SA, [nonce, KE by the caller], TSi, TSr and the mode's notifies. */
void ike_offer_sa(struct dt_ike_session *s, struct dt_ike_builder *b, uint32_t spi_in, bool in_auth);
void ike_offer_ts(struct dt_ike_session *s, struct dt_ike_builder *b);
/* Initiator: is the answer within the offer? Fills suite, SPIs, ESN, mode, selectors of *out; *chosen too. */
int ike_offer_check(struct dt_ike_session *s, const struct dt_ike_payloads *in, bool in_auth, uint32_t spi_in,
                    struct dt_proposal *chosen, struct dt_child_sa *out, struct dt_err *err);
/* Responder: chooses and narrows. err->notify says what to answer. ke_group: of the KE payload, 0: none came. With
 * INVALID_KE_PAYLOAD, *want_group says which. */
int ike_offer_choose(struct dt_ike_session *s, const struct dt_ike_payloads *in, bool in_auth,
                     uint16_t ke_group, struct dt_proposal *chosen, struct dt_child_sa *out,
                     uint16_t *want_group, struct dt_err *err);
/* Responder: SA and TS payloads of the choice. */
void ike_offer_answer_sa(struct dt_ike_builder *b, const struct dt_proposal *chosen, uint32_t spi_in);
void ike_offer_answer_ts(struct dt_ike_builder *b, const struct dt_child_sa *sa);
uint16_t ike_first_group(const struct dt_proposals *list);

/* ---- takes.c ---- */
/* Beside NO_PROPOSAL_CHOSEN: what would have been taken, in at most `room` octets of payload. */
void ike_takes_write(struct dt_ike_builder *b, const struct dt_proposals *list, size_t room);
/* Beside the refusal of a child: what would have been taken, or allowed. Nothing for other refusals. */
void ike_takes_add(struct dt_ike_session *s, struct dt_ike_builder *b, uint16_t refusal);
/* What may say so: the payloads of a peer with our Vendor ID. */
const struct dt_ike_payloads *ike_takes_of(const struct dt_ike_session *s, const struct dt_ike_payloads *in);
/* The refusal as a protected answer, all of it. list: what would have been taken; NULL: of a child. */
void ike_takes_answer(struct ike_sa *sa, const struct ike_msg *m, uint16_t refusal,
                      const struct dt_proposals *list);
/* Beside any refusal: Dovetail's own reason; DT_WHY_NONE: nothing is written, nothing was said. */
void ike_why_write(struct dt_ike_builder *b, uint16_t why, const struct dt_addrport *where);
uint16_t ike_why_read(const struct dt_ike_payloads *in, struct dt_addrport *where);
/* The sentence about a refusal, with the peer's reason where it gave one. -1. */
int ike_why_explain(struct dt_err *err, uint16_t notify, const struct dt_ike_payloads *in);
/* The sentence about TS_UNACCEPTABLE. */
void ike_takes_explain_ts(struct dt_err *err, const struct dt_ike_session *s,
                          const struct dt_ike_payloads *in);
/* The sentence for people about a peer's NO_PROPOSAL_CHOSEN: what we offered, and what it says that it takes. `what`:
 * "", or " to the child" and the like; flags as of dt_proposals_choose. */
void ike_takes_explain(struct dt_err *err, const char *who, const char *what,
                       const struct dt_proposals *offered, unsigned flags, const struct dt_ike_payloads *in);

/* ---- create_child.c, create_child_answer.c, rekey_ike.c ---- */
uint16_t ike_create_child_group(const struct dt_ike_session *s, const struct ike_exchange *ex); /* 0: none */
bool ike_create_child_start(struct ike_sa *sa, struct ike_exchange *ex); /* false: dropped */
/* The peer agreed, or may have, but we cannot use it (or nobody wants it any more). */
void ike_create_child_undo(struct dt_ike_session *s, struct ike_exchange *ex, const struct dt_err *err);
void ike_create_child_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m);
void ike_create_child_got_request(struct ike_sa *sa, struct ike_msg *m);
uint16_t ike_rekey_group(const struct ike_sa *sa, const struct ike_exchange *ex);
bool ike_rekey_start(struct ike_sa *sa, struct ike_exchange *ex);
void ike_rekey_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m);
void ike_rekey_got_request(struct ike_sa *sa, struct ike_msg *m, const struct dt_proposals *offered);
void ike_rekey_schedule(struct ike_sa *sa);                        /* soft lifetime */
void ike_rekey_later(struct ike_sa *sa);                           /* it came to nothing: again soon */
bool ike_rekey_overdue(const struct ike_sa *sa);                   /* hard lifetime */
void ike_sa_adopt(struct dt_ike_session *s, struct ike_sa *fresh); /* it is the session's current one now */
/* A response that is one notify. */
void ike_answer_notify(struct ike_sa *sa, const struct ike_msg *m, uint8_t protocol, struct dt_span spi,
                       uint16_t type, struct dt_span data);

/* ---- informational.c ---- */
bool ike_informational_start(struct ike_sa *sa, struct ike_exchange *ex);
void ike_informational_done(struct ike_sa *sa,
                            struct ike_exchange *ex); /* answered, whatever the answer says */
void ike_informational_got_response(struct ike_sa *sa, struct ike_exchange *ex, struct ike_msg *m);
void ike_informational_got_request(struct ike_sa *sa, struct ike_msg *m);

/* ---- cp.c ---- */
void ike_cp_request(struct dt_ike_session *s, struct dt_ike_builder *b);
/* Initiator. -1 with *err: an inside address was asked for, and there is none, or none that can be. */
int ike_cp_got_reply(struct dt_ike_session *s, const struct dt_ike_payloads *in, struct dt_err *err);
/* Responder: leases what is asked. 0 (with *reply ready, type 0: none is to be sent), or -1 with *err. */
int ike_cp_lease(struct dt_ike_session *s, const struct dt_ike_payloads *in, struct dt_ike_cp *reply,
                 struct dt_err *err);

#define IKE_CALL(s, op, ...)                                                                                 \
    do {                                                                                                     \
        if (!(s)->silent && (s)->ike->ops.op)                                                                \
            (s)->ike->ops.op((s)->ike->ctx, (s), ##__VA_ARGS__);                                             \
    } while (0)

#endif
