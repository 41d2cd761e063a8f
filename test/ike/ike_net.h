/* Two or more IKE hosts in one process, a virtual clock, and a network that loses, repeats, delays and reorders.
 * Every host writes down what its engine reports, so that a test can compare both ends. */
#ifndef DT_TEST_IKE_NET_H
#define DT_TEST_IKE_NET_H

#include "support/test.h"

#include "base/list.h"
#include "crypto/crypto.h"
#include "ike/ike.h"

#define NET_HOSTS    4
#define NET_CHILDREN 512
#define NET_PSK      "the shared secret of the tests"

struct net;

struct net_child {
    struct dt_ike_child *handle; /* NULL once it is down */
    struct dt_ike_session *session;
    struct dt_child_sa sa;
    bool up, redundant;
    enum dt_ike_down why;
};

struct net_host {
    struct net *net;
    int index;
    struct dt_ike *ike;
    struct dt_prng prng;
    struct dt_addr addr;
    struct dt_ike_cfg cfg; /* as initiator, and as responder */
    bool serves;           /* answers IKE_SA_INIT */
    const struct dt_ike_cfg *other; /* served too, for who asks for its local_id; may be NULL */
    bool behind_nat;       /* its packets leave with nat_addr and other ports */
    struct dt_addr nat_addr;
    uint16_t nat_shift; /* added to its ports on the way */
    bool cut;           /* nothing goes in or out */
    bool decline_rekey;
    bool auto_delete_old; /* on child_up that replaces one by our own rekey: delete the old one */
    const char *psk;
    const struct dt_ike_may *may; /* what its peers may prove themselves with; NULL: as the configuration says */
    struct dt_ike_inside lease;  /* given to whoever asks, when cfg.lease is set */
    struct dt_ike_notify notify; /* sent in IKE_AUTH when type is not 0 */
    /* what happened */
    struct dt_ike_session *session; /* the last one that came up and is not down */
    unsigned ups, downs, rekeyed, alive, suspects, moves, failed, child_ups, child_downs, redundants,
        keepalives;
    unsigned events[16];
    unsigned proofs_lost;
    struct dt_err last_down, last_failed, last_event, last_proof;
    struct dt_ike_notify got;
    struct dt_ike_child *wanted; /* set by a test; NULL once it is up or has failed */
    struct dt_path path;
    struct net_child child[NET_CHILDREN];
    size_t nchild;
    uint64_t sent;
    size_t largest;
};

struct net_packet {
    struct dt_list link;
    dt_time at;
    uint64_t order;
    struct dt_path path; /* as the sender sees it */
    int from;
    uint8_t exchange;
    bool response;
    size_t len;
    uint8_t data[];
};

struct net {
    dt_time now;
    struct dt_prng prng;
    struct net_host host[NET_HOSTS];
    int nhosts;
    unsigned loss, dup, reorder; /* per cent */
    dt_time delay, jitter;
    /* Key exchanges are jobs that come back after up to this long, in any order (0: done at once). DT_NET_JOBS in the
     * environment sets it for every test, in milliseconds. */
    dt_time job_delay;
    struct dt_list jobs;
    int64_t wall; /* seconds since 1970, for certificates; it stands still */
    struct dt_list wire; /* in flight, by time */
    uint64_t order;
    /* Sees every packet before it flies; true: it is taken away (the filter may keep a copy). */
    bool (*filter)(struct net *net, struct net_packet *p);
    void *filter_ctx;
    /* Called at the end of every callback of every engine: may call back into it. */
    void (*meddle)(struct net *net, struct net_host *h, struct dt_ike_session *s, struct dt_ike_child *c);
    /* Called from inside send and notify_out. */
    void (*on_send)(struct net *net, struct net_host *h);
    void (*on_notify_out)(struct net *net, struct net_host *h, struct dt_ike_session *s);
    /* Called for every event. */
    void (*on_event)(struct net *net, struct net_host *h, struct dt_ike_session *s, enum dt_ike_event what);
    const struct dt_crypto *crypto;
    struct dt_ike_params params;
};

void net_init(struct net *net, uint64_t seed, int nhosts, const struct dt_crypto *crypto);
/* A fresh engine for a host (net_init did it once); call after changing net->params. */
void net_restart(struct net *net, int host);
/* Every engine ended, wiped, and asked first: is anything left over? (only once no session is open) */
void net_free(struct net *net);
/* A session from host a to host b. */
struct dt_ike_session *net_open(struct net *net, int a, int b);
struct dt_path net_path(struct net *net, int a, int b);
/* A host's `work` where net->job_delay was not 0 when it was started. */
void net_work(void *ctx, struct dt_ike_work *w);
/* Puts a packet on the wire (a copy). */
void net_inject(struct net *net, int from, const struct dt_path *path, const void *data, size_t len,
                dt_time at);
/* Runs until nothing is left to do or `until`. */
void net_run(struct net *net, dt_time until);
/* Runs until the condition holds; false: it did not within `within`. */
bool net_run_until(struct net *net, dt_time within, bool (*done)(struct net *net));
bool net_children_are_up(struct net *net); /* at hosts 0 and 1 */
bool net_over(struct net *net);            /* host 0's session is up, or has failed */
bool net_quiet(struct net *net);           /* nothing in flight, nothing outstanding anywhere */
/* Host 0 opens to host 1: both sessions and their first children are up, nothing is under way. */
void net_come_up(struct net *net);
/* Host 0 closes its session, if it has one; both hosts must be empty then. Frees everything. */
void net_finish(struct net *net);
/* The only proposal. */
void net_proposal(struct dt_proposals *list, uint8_t protocol, const char *text);
/* The children that are up at a host; the newest of them. */
size_t net_children_up(struct net_host *h);
struct net_child *net_newest(struct net_host *h);
struct net_child *net_child_of(struct net_host *h, struct dt_ike_child *c);
/* Both ends have the same children up, with keys that fit. */
void net_check_pairs(struct net_host *a, struct net_host *b);
/* Nothing of any session is held any more. */
void net_check_empty(struct net_host *h);
/* a's session is closed; nothing is left at either end, nor of the net. */
void net_down(struct net *net, struct net_host *a, struct net_host *b);

#endif
