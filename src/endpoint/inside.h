/* The room's own shapes. One tunnel, whatever its role:
 *
 *   tunnel ── engine (client or server, epoch/epoch.h)
 *     ├── links: its IKE sessions. A client has one, and a second beside it while encapsulations race; a server may
 *     │          have several of one client for a while.
 *     └── sas:   one for each epoch, in the data path; each belongs to the link that negotiated it, while that lives
 *
 * An SA outlives its epoch by `linger` (packets on their way), a link outlives its tunnel while its DELETE is
 * answered. Each has one timer in the host's heap. */
#ifndef DT_ENDPOINT_INSIDE_H
#define DT_ENDPOINT_INSIDE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "endpoint/endpoint.h"

struct gateway;
struct tunnel;

/* Three kinds of things have a timer in the host's heap. */
struct timer {
    struct dt_timer t;
    enum { TIMER_TUNNEL, TIMER_LINK, TIMER_SA } kind;
};

/* What a session borrows (dt_ike_cfg must outlive it): counted, and freed when the last session let go. */
struct conf {
    struct dt_list node; /* in the endpoint's list since it was made; swept once it is retired */
    unsigned refs;
    struct gateway *gateway; /* NULL: a client's, or the gateway is gone */
    dt_time retired;         /* its owner uses another one since then; DT_NEVER: not */
    struct dt_ike_cfg ike;
};

struct link {
    struct dt_list node; /* in the tunnel's list, oldest first; alone when it is closing */
    struct tunnel *t;    /* NULL: closing */
    struct dt_ike_session *s;
    struct conf *conf;
    struct dt_ike_child *asked; /* a child that the engine waits for */
    /* Server: look whether a session lives that was overtaken, or that has no child. Client: when to say by IKE that we
     * are there. */
    struct timer timer;
    uint64_t order;
    bool up, udp, spoke; /* up: then it has a session */
    bool own_port;       /* client: the gateway's port is configured, and there is nothing to choose */
    uint8_t place[DT_INSTALLATION_LEN]; /* server: which installation speaks (place.c) */
    bool has_place, yields;
    bool overtaken; /* server: a newer session of the same client was heard */
    /* The newest version of DT_NOTIFY_PROBE's rule that the peer follows too; 0: it is no Dovetail. */
    uint8_t peer_probes;
};

struct sa {
    struct dt_table_node node; /* by id */
    struct dt_list list;       /* in the tunnel's */
    struct dt_endpoint *ep;
    uint64_t id;
    struct tunnel *t;
    struct link *link; /* NULL: its session is gone, or it lingers */
    struct dt_ike_child *child;
    uint32_t epoch, spi_in, spi_out;
    struct dt_suite suite;
    bool esn, transport;
    bool soft, hard; /* the limit was reported */
    bool linger;     /* its epoch is gone; it receives a little longer */
    bool closed; /* the peer deleted it, and nothing replaces it: it receives no longer (RFC 7296 1.4.1) */
    struct dt_path path;
    enum dt_probe_kind kind;
    struct dt_addr probe_src, probe_dst;
    uint8_t probe_ttl;
    dt_time since;
    struct timer timer; /* the end of its lingering */
};

/* encap = auto: what is known of the race. */
struct race {
    dt_time at;    /* the head start is over then; DT_NEVER: no race is wanted */
    dt_time since; /* when the second one was opened */
    uint8_t stage; /* 1 while the session opens, 2 while an epoch is on probation: each has a head start */
    bool done;     /* it was run once for this session */
    bool suspect;  /* not a race of encapsulations: the peer seems to have forgotten us */
    struct link *beside; /* the second session */
};

/* An inside address of a client's tunnel (insides.c). */
struct inside_place {
    struct dt_table_node node;
    struct tunnel *t; /* NULL: not in the table */
};

struct client {
    struct dt_epoch_client e;
    struct dt_tunnel_cfg cfg;
    struct conf *conf[2]; /* by encapsulation: 0 ESP, 1 UDP; made when first used */
    struct link *link;    /* the session that the engine speaks of */
    struct link *parting; /* dropped though its peer answers: closed once no epoch of it carries data */
    struct race race;
    unsigned place; /* which gateway and which local path */
    bool keep_place, contacted, up, unprobed;
    struct inside_place insides[2]; /* of tunnel.inside, in the endpoint's table */
    bool verified;                  /* as far as it has been told; so is `up` */
    bool lost;                      /* another machine has the identity: ask politely (place.c) */
    uint32_t won;                   /* an epoch was verified: to be looked at when the engine has returned */
    dt_time suspected;
};

struct server {
    struct dt_epoch_server e;
    struct dt_table_node by_peer;
    struct gateway *gateway;
    struct dt_ike_id peer;
    struct dt_ike_id owner;  /* of what it brings */
    struct dt_list bringers; /* in the endpoint's list while its selectors are more than its lease */
    bool leased, up;
    dt_time contested; /* until then peers without an installation wait for each other (place.c) */
    /* Its last session is over, or it is silent for too long: it ends then; DT_NEVER: not. */
    dt_time orphan_at;
};

struct tunnel {
    struct dt_table_node node; /* by id */
    struct dt_list list;       /* in the endpoint's, in order of id */
    struct timer timer;
    struct dt_endpoint *ep;
    uint32_t id;
    bool is_client;
    char *name; /* of a client's tunnel; the peer's identity */
    struct dt_list links, sas;
    uint32_t next_epoch;
    struct dt_ike_inside inside;
    struct dt_selectors local_ts, remote_ts;
    struct dt_path path;
    struct dt_addr answer4, answer6;
    bool dying; /* SAs do not linger any more */
    dt_time rtt, probed_at;
    uint16_t probe_ident, probe_seq;
    char why[DT_ERR_TEXT];
    struct dt_addrport elsewhere; /* of another machine with the same identity */
    dt_time elsewhere_at;
    union {
        struct client *c;
        struct server *s;
    };
};

struct gateway {
    struct dt_list list;
    struct dt_endpoint *ep;
    uint32_t id;
    uint32_t tunnels;
    struct dt_gateway_cfg cfg;
    struct conf *conf;
};

/* Which encapsulation worked between a local address and a gateway. */
struct network {
    struct dt_list list; /* newest last */
    struct dt_addr local, gateway;
    bool udp;
    dt_time since;
};

/* What happened in the call under way and was not told yet. */
struct untold {
    struct dt_event *v;
    size_t n, cap;
};

struct dt_endpoint {
    struct dt_endpoint_ops ops;
    void *user;
    struct dt_ike_params params;
    struct dt_endpoint_limits limits;
    const struct dt_crypto *crypto;
    struct dt_rand rand;
    struct dt_ike *ike;
    struct dt_heap heap;
    struct dt_siphash_key key;
    uint8_t installation[DT_INSTALLATION_LEN];
    struct dt_table tunnel_table, peer_table, sa_table;
    struct dt_table insides; /* of clients' tunnels, by address */
    bool insides_missing;    /* there was no memory for one of them */
    struct dt_list tunnels, gateways, retired, networks, closing;
    struct dt_list dead; /* tunnels that events speak of which were not told yet */
    struct untold untold;
    unsigned depth;          /* of calls from outside: 1, or more when a callback calls in */
    struct dt_list bringers; /* servers whose clients brought networks (authority.c) */
    struct dt_endpoint_counters count;
    uint32_t next_tunnel, next_gateway, nclients, nnetworks, nlinks;
    uint64_t next_sa, next_link;
    dt_time now, unknown_told, limit_told;
    size_t bytes;
};

/* ---- insides.c ---- */
void ep_insides_set(struct tunnel *t, const struct dt_ike_inside *in); /* of a client's tunnel, from now on */
void ep_insides_forget(struct tunnel *t);

/* ---- endpoint.c ---- */
extern const struct dt_ike_ops ep_ike_ops;        /* ike_ops.c */
void *ep_alloc(struct dt_endpoint *ep, size_t n); /* zeroed, counted */
void ep_free(struct dt_endpoint *ep, void *p, size_t n);
static inline void ep_timer_init(struct timer *timer, int kind)
{
    dt_timer_init(&timer->t);
    timer->kind = kind;
}
/* DT_NEVER: off. Never fails: each tunnel, link and SA has a reserved place in the heap. */
void ep_timer_set(struct dt_endpoint *ep, struct timer *timer, dt_time at);
struct tunnel *ep_tunnel(const struct dt_endpoint *ep, uint32_t id);
/* An empty one of either role (c or s allocated, its engine not yet initialised). */
struct tunnel *ep_tunnel_new(struct dt_endpoint *ep, bool is_client, const char *name);
/* Links and SAs are gone already. Nobody finds it any more; its memory waits for the events that speak of it. */
void ep_tunnel_free(struct tunnel *t);
void ep_tunnels_bury(struct dt_endpoint *ep); /* they have been told */
/* After anything that touched the tunnel's engine: what the engine could not say from inside, events, the timer. */
void ep_settle(struct tunnel *t, dt_time now);

/* ---- event.c ---- */
/* Around every call from outside: the events that it leads to are told when it has done its work. */
struct dt_endpoint *ep_enter(struct dt_endpoint *ep, dt_time now);
void ep_leave(struct dt_endpoint *ep);
static inline void ep_leave_at_end(struct dt_endpoint **ep)
{
    ep_leave(*ep);
}
/* From here to the end of the function, however it returns. */
#define EP_CALL(ep, now)                                                                                     \
    __attribute__((cleanup(ep_leave_at_end), unused)) struct dt_endpoint *ep_called = ep_enter(ep, now)
/* For a call that concerns many tunnels, after each of them: the state is whole. */
void ep_events_tell(struct dt_endpoint *ep);
void ep_event(struct dt_endpoint *ep, struct tunnel *t, dt_time now, enum dt_event_kind kind, const char *fmt,
              ...) __attribute__((format(printf, 5, 6)));
void ep_turned_away(struct dt_endpoint *ep, struct tunnel *t, dt_time now, const struct dt_addrport *remote,
                    const char *why);
void ep_ike_event(struct dt_endpoint *ep, struct tunnel *t, dt_time now, enum dt_ike_event what,
                  const struct dt_addrport *remote, const char *text); /* t, remote: may be NULL */
void ep_epoch_event(struct tunnel *t, dt_time now, const struct dt_epoch_event *ev);
void ep_why(struct tunnel *t, const struct dt_err *err); /* for status: why it is not up */

/* ---- conf.c ---- */
struct conf *ep_conf_new(struct dt_endpoint *ep);
struct conf *ep_conf_ref(struct conf *c);
void ep_conf_unref(struct dt_endpoint *ep, struct conf *c);
void ep_conf_retire(struct dt_endpoint *ep, struct conf *c, dt_time now); /* its owner lets go */
void ep_conf_sweep(struct dt_endpoint *ep, dt_time now);
void ep_conf_client(struct conf *c, const struct dt_tunnel_cfg *cfg, bool udp);
void ep_conf_server(struct conf *c, const struct dt_gateway_cfg *cfg);
/* What sessions negotiate is the same in both. */
bool ep_conf_same_client(const struct dt_tunnel_cfg *a, const struct dt_tunnel_cfg *b);
struct dt_epoch_params ep_conf_params(const struct dt_tunnel_cfg *cfg); /* of its epochs */
bool ep_conf_same_proposals(const struct dt_proposals *a, const struct dt_proposals *b);
bool ep_conf_same_server(const struct dt_gateway_cfg *a, const struct dt_gateway_cfg *b);

/* ---- link.c ---- */
struct link *ep_link_new(struct tunnel *t, struct conf *conf);
/* Its session is gone or goes: children and epochs lose it. polite: DELETE. */
void ep_link_close(struct link *l, dt_time now, bool polite);
void ep_link_gone(struct link *l); /* its session ended by itself: only forget it */
bool ep_link_negotiate(struct link *l, struct tunnel *t, dt_time now, uint32_t old);
bool ep_link_delete(struct tunnel *t, dt_time now, uint32_t epoch);
void ep_link_due(struct link *l, dt_time now);
/* Server: a session without a child, which no engine looks after, is asked from time to time whether it lives. */
void ep_link_childless(struct link *l, dt_time now);
bool ep_link_has_child(const struct link *l);
/* How long a server waits for any sign of a Dovetail client before it gives it up. */
dt_time ep_link_silence(const struct dt_epoch_params *p);
/* A client's session is up: from now on it is not left silent for half of that. */
void ep_link_keep(struct link *l, dt_time now);
void ep_link_free(struct dt_endpoint *ep, struct link *l);

/* ---- sa.c ---- */
struct sa *ep_sa_find(const struct dt_endpoint *ep, uint64_t id);
struct sa *ep_sa_of_epoch(const struct tunnel *t, uint32_t epoch);
struct sa *ep_sa_of_child(const struct tunnel *t, const struct dt_ike_child *child);
struct sa *ep_sa_install(struct tunnel *t, struct link *l, dt_time now, struct dt_ike_child *child,
                         const struct dt_child_sa *in, struct dt_err *err);
void ep_sa_gone(struct tunnel *t, uint32_t epoch,
                dt_time now); /* its epoch is: it lingers, if the tunnel lives */
void ep_sa_remove(struct sa *sa, dt_time now);
void ep_sa_move(struct link *l, dt_time now, const struct dt_path *path);
dt_time ep_sa_last_heard(const struct sa *sa);
/* The peer deleted this one: unless a newer one of its tunnel has replaced it, it is closed at once. */
void ep_sa_peer_deleted(struct sa *sa);
/* The peer ended the session, and all its SAs with it. */
void ep_sa_session_ended(const struct link *l);
/* What both epoch engines ask (struct dt_epoch_ops); user is the tunnel. */
void ep_op_use(void *user, dt_time now, uint32_t epoch, bool forced);
bool ep_op_del(void *user, dt_time now, uint32_t epoch);
void ep_op_gone(void *user, dt_time now, uint32_t epoch);
dt_time ep_op_last_heard(void *user, uint32_t epoch);

/* ---- authority.c ---- */
/* What the identity may bring; *owner (may be NULL) is to whom it belongs. */
void ep_authority_ask(struct dt_endpoint *ep, const struct gateway *g, const struct dt_ike_id *peer,
                      struct dt_selectors *networks, struct dt_ike_id *owner);
/* What the tunnel may carry from its peer's side now: its networks, and what it is leased. */
void ep_authority_allows(const struct tunnel *t, struct dt_selectors *out);
/* Both roles, before a child is agreed. */
int ep_authority_admit(struct tunnel *t, struct link *l, dt_time now, const struct dt_child_sa *in,
                       struct dt_err *err);
/* The tunnel's selectors are in force now. */
void ep_authority_took(struct tunnel *t);

/* ---- place.c ---- */
void ep_place_says(struct link *l, const struct dt_ike_notify *n); /* server: DT_N_DOVETAIL_PLACE came */
size_t ep_place_tell(const struct link *l,
                     struct dt_ike_notify *v); /* client: how many were written, 0 or 1 */
bool ep_place_replaces(const struct link *l,
                       const struct link *old); /* INITIAL_CONTACT; either may be NULL */
/* Server: may this session have its first child, or does another machine have the identity? */
int ep_place_admit(struct tunnel *t, struct link *l, dt_time now, struct dt_err *err);
void ep_place_heard(struct link *l, dt_time now); /* server: for the first time: others lose the identity */
void ep_place_alive(struct link *m, dt_time now); /* server: a session says that it lives */
/* Client: true when the peer ended, or refused, because of another machine. */
bool ep_place_lost(struct tunnel *t, dt_time now, const struct dt_err *why);

/* ---- probe.c ---- */
/* What its sessions say by DT_NOTIFY_PROBE, and its SAs do. */
static inline bool ep_answers_probes(const struct tunnel *t)
{
    return t->is_client ? t->c->cfg.params.probe : t->s->e.p.probe;
}
/* Chooses the SA's control packets. False: there is none that the peer would answer. */
bool ep_probe_choose(struct sa *sa, const struct tunnel *t, const struct link *l,
                     const struct dt_child_sa *in);
void ep_probe_send(struct tunnel *t, dt_time now, uint32_t epoch, uint16_t seq);

/* ---- client.c ---- */
extern const struct dt_epoch_ops ep_client_ops;
void ep_client_session_up(struct link *l, dt_time now);
/* How a session ended. */
struct ended {
    bool was_up, silence; /* silence: retransmissions ran out; else the peer or a refusal ended it */
    const struct dt_err *why;
};
void ep_client_session_down(struct link *l, dt_time now, const struct ended *how);
void ep_client_child_up(struct link *l, dt_time now, struct dt_ike_child *child,
                        const struct dt_child_sa *in);
void ep_client_child_failed(struct link *l, dt_time now, struct dt_ike_child *child,
                            const struct dt_err *err);
void ep_client_child_down(struct link *l, dt_time now, struct sa *sa, enum dt_ike_down why);
void ep_client_settle(struct tunnel *t, dt_time now);
void ep_client_due(struct tunnel *t, dt_time now);
enum dt_unproved ep_client_unproved(const struct client *c);    /* info.c */
void ep_client_end(struct tunnel *t, dt_time now, bool polite); /* endpoint.c; as if it was never up */
bool ep_client_open(struct tunnel *t, dt_time now, bool udp, bool beside);

/* ---- proof.c ---- */
/* The peer's certificate is not one that would be taken now. */
void ep_proof_lost(struct link *l, dt_time now, const struct dt_err *why);
/* Are the certificates of the tunnel's peer such that `trust` takes? */
void ep_proof_recheck(struct tunnel *t, dt_time now, struct dt_x509_trust *trust);
/* In the place of what was there: *to has its own reference. */
void ep_proof_take(struct dt_ike_proofs *to, const struct dt_ike_proofs *from);

/* ---- race.c ---- */
void ep_race_watch(struct tunnel *t, dt_time now); /* is a second session wanted, and when? */
void ep_race_due(struct tunnel *t, dt_time now);
void ep_race_won(struct tunnel *t, dt_time now, struct link *winner);
void ep_race_end(struct tunnel *t, dt_time now, struct link *loser, bool polite);
bool ep_race_first_udp(struct tunnel *t, const struct dt_path *path); /* what to start with on this network */

/* ---- server.c ---- */
extern const struct dt_epoch_ops ep_server_ops;
/* The authenticated session's tunnel and link, made when it has none yet. NULL with *err: limits. */
struct link *ep_server_adopt(struct dt_endpoint *ep, dt_time now, struct dt_ike_session *s,
                             struct dt_err *err);
void ep_server_free(struct tunnel *t, dt_time now, const char *why);
void ep_server_session_down(struct link *l, dt_time now, const struct dt_err *why);
void ep_server_child_up(struct link *l, dt_time now, struct dt_ike_child *child,
                        const struct dt_child_sa *in);
void ep_server_child_down(struct link *l, dt_time now, struct sa *sa, enum dt_ike_down why);
void ep_server_heard(struct sa *sa, dt_time now);
void ep_server_gateway_remove(struct gateway *g, dt_time now);
void ep_server_ping(struct tunnel *t, dt_time now);
void ep_server_ping_reply(struct tunnel *t, dt_time now, uint32_t epoch, uint16_t ident, uint16_t seq);
void ep_server_settle(struct tunnel *t, dt_time now);
void ep_server_due(struct tunnel *t, dt_time now);
bool ep_server_listens(const struct dt_gateway_cfg *cfg, const struct dt_addr *a);
struct gateway *ep_server_gateway(const struct dt_endpoint *ep, uint32_t id);
struct tunnel *ep_server_client(const struct dt_endpoint *ep, const struct gateway *g,
                                const struct dt_ike_id *id); /* NULL: it is not there */
/* Of the gateways that listen there, the n-th whose IKE proposals no earlier one has; NULL: there are no more. */
struct gateway *ep_server_nth_offer(const struct dt_endpoint *ep, const struct dt_path *path, unsigned n);
struct gateway *ep_server_of_path(const struct dt_endpoint *ep, const struct dt_path *path,
                                  const struct dt_ike_id *me, const struct dt_ike_id *peer);

#endif
