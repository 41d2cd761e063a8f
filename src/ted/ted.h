/* Tunnel endpoint discovery (US 7,207,063 FIG. 2): who protects that host, and what may we send it?
 *
 * One struct dt_ted is the discovery of one gateway, initiator and responder. It does no I/O: the owner shows it the
 * packets that match a `discover` rule, the probes that pass through, and the replies that arrive on port 500, and
 * carries out what it asks for. All calls take `now`; after each ask dt_ted_deadline() and call dt_ted_tick() then.
 *
 * Discovery only finds. A reply is unauthenticated: it names an address and some proxies, and IKE must then prove an
 * identity that the rule admits. What a liar can gain is bounded: the result is never wider than our own proxies.
 *
 * What is remembered, and for whom:
 *   initiator  one entry for each (rule, source host, destination host) that a packet of ours asked for; at most
 *              cache_max. While it probes it keeps up to DT_TED_WAITING packets' 5-tuples.
 *   responder  nothing for a probe; a fixed array of token counters, shared by hash, limits replies a source. */
#ifndef DT_TED_TED_H
#define DT_TED_TED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/rand.h"
#include "base/time.h"
#include "ted/intersect.h"
#include "wire/ted.h"

struct dt_ted;

#define DT_TED_RULE_NAME 64
#define DT_TED_WAITING   4

/* A `discover` rule: what we would protect, source our side (several proxies allowed). Copied. */
struct dt_ted_rule {
    uint64_t id; /* the caller's, not 0 */
    char name[DT_TED_RULE_NAME];
    size_t count; /* 1 to DT_TED_MAX_PROXIES */
    struct dt_ted_proxy proxy[DT_TED_MAX_PROXIES];
};

struct dt_ted_params {
    dt_time retry;        /* first retry of a probe, doubling [500 ms] */
    unsigned tries;       /* probes for one entry [4]: 500 + 1000 + 2000 + 4000 ms without an answer end it */
    dt_time negative_ttl; /* a silence is remembered [60 s] */
    dt_time answer_ttl;   /* a reply's proxies are remembered [300 s] */
    uint32_t cache_max;   /* entries [4096]; probing entries are never pushed out */
    uint32_t outstanding_max;       /* entries that probe at one time [1024] */
    uint32_t probe_rate;            /* probes a second, all together [200], with a burst of as many */
    uint32_t reply_rate;            /* replies a second, all together [500] */
    uint32_t reply_rate_source;     /* replies a second to one address (IPv6: one /64) [20] */
    bool proxy_address;             /* tell our half proxy in the probe [true] */
    char name[DT_TED_NAME_MAX + 1]; /* what we call ourselves in our replies [""]: nothing */
};
void dt_ted_params_default(struct dt_ted_params *p);

/* The end of a question: a peer and exactly the traffic both allow, or why not. */
struct dt_ted_answer {
    bool found;
    uint64_t rule;
    struct dt_ted_packet packet;
    struct dt_addr peer;                 /* the responder gateway; ver 0: nobody answered */
    char peer_name[DT_TED_NAME_MAX + 1]; /* what it calls itself, unproved; "" it does not say */
    struct dt_ted_proxy result;          /* found: initiator's view */
    size_t ntheirs;                      /* the responder's proxies, initiator's view */
    struct dt_ted_proxy theirs[DT_TED_MAX_PROXIES];
    struct dt_ted_trace trace;
    unsigned probes;       /* sent for this entry */
    dt_time rtt;           /* of the answered probe; 0: from the cache or none */
    char why[DT_ERR_TEXT]; /* not found: a sentence with both sides' values */
};

enum dt_ted_event_kind {
    DT_TED_EVENT_PROBE, /* sent: packet, peer none */
    DT_TED_EVENT_FOUND,
    DT_TED_EVENT_REFUSED, /* no intersection */
    DT_TED_EVENT_SILENCE, /* nobody answered */
    DT_TED_EVENT_REPLIED, /* we answered a probe: peer is who asked */
};
const char *dt_ted_event_name(enum dt_ted_event_kind k);

struct dt_ted_event {
    enum dt_ted_event_kind kind;
    uint64_t rule;
    struct dt_ted_packet packet;
    struct dt_addr peer;
    char text[DT_ERR_TEXT];
};

/* Told last, when the state is whole: who hears one may look at anything (counters, deadline, digest). A tick goes entry by
 * entry, and each is whole before it is told. own_addr alone is asked in the middle of a call. None of them may call into the
 * same struct dt_ted, or free it. */
struct dt_ted_ops {
    /* A probe: IP source and destination are the packet's hosts, UDP `sport` to 500. */
    void (*send_probe)(void *user, const struct dt_addr *src, const struct dt_addr *dst, uint16_t sport,
                       const uint8_t *msg, size_t len);
    /* A reply from our address to theirs, UDP 500 to 500. */
    void (*send_reply)(void *user, const struct dt_addr *from, const struct dt_addr *to, const uint8_t *msg,
                       size_t len);
    /* Our own address towards `towards` (what goes into the ID payload). False: no way there. */
    bool (*own_addr)(void *user, const struct dt_addr *towards, struct dt_addr *own);
    /* For each packet that waited, once. */
    void (*answer)(void *user, dt_time now, const struct dt_ted_answer *a);
    void (*event)(void *user, dt_time now, const struct dt_ted_event *e); /* may be NULL */
};

struct dt_ted_counters {
    uint64_t probes_sent, retries, probe_limited, outstanding_full, cache_full;
    uint64_t replies_good, replies_late, replies_spoofed,
        replies_bad; /* late: no probe waits for that cookie */
    uint64_t found, refused, silent, from_cache;
    uint64_t probes_seen, probes_passed, probes_bad, probes_answered, reply_limited, reply_limited_source;
    uint64_t entries, outstanding; /* now */
};

/* params NULL: defaults. NULL: no memory. */
struct dt_ted *dt_ted_new(const struct dt_ted_ops *ops, void *user, const struct dt_ted_params *params,
                          const struct dt_rand *rand);
void dt_ted_free(struct dt_ted *t);
/* Adds, or replaces the rule of that id; entries of a replaced rule are forgotten (who waits is answered "not
 * found"). -1: no proxy, mixed versions, no memory. */
int dt_ted_rule_set(struct dt_ted *t, dt_time now, const struct dt_ted_rule *rule, struct dt_err *err);
void dt_ted_rule_remove(struct dt_ted *t, dt_time now, uint64_t id);

enum dt_ted_verdict {
    DT_TED_FOUND,   /* *a holds the answer, from the cache */
    DT_TED_REFUSED, /* *a says why, from the cache (no intersection, or nobody answered a short while ago) */
    DT_TED_PROBING, /* ops->answer comes later */
    DT_TED_LIMITED, /* a limit is reached: counted; ask again with a later packet. *a says which */
    DT_TED_NO_RULE, /* no such rule, or the packet lies in none of its proxies */
};
/* A packet that matches a rule and has no tunnel (FIG. 2, 204 no). */
enum dt_ted_verdict dt_ted_packet(struct dt_ted *t, dt_time now, uint64_t rule,
                                  const struct dt_ted_packet *packet, struct dt_ted_answer *a);
/* Forgets what is cached for these hosts (a tunnel could not be made, or was lost): the next packet asks anew. */
void dt_ted_forget(struct dt_ted *t, uint64_t rule, const struct dt_addr *src, const struct dt_addr *dst);

/* Forgets every answer of that peer for the rule: it moved or went, and somebody else may protect its hosts now. */
void dt_ted_forget_peer(struct dt_ted *t, uint64_t rule, const struct dt_addr *peer);

/* A probe that passes through, with the addresses and source port of its IP and UDP headers. True: it is ours, take it
 * out of the path (answered, limited, or malformed towards a host of ours); false: let it go on. */
bool dt_ted_probe_input(struct dt_ted *t, dt_time now, const struct dt_addr *src, const struct dt_addr *dst,
                        const uint8_t *msg, size_t len);
/* A datagram from port 500 with exchange 241. */
void dt_ted_reply_input(struct dt_ted *t, dt_time now, const struct dt_addr *from, const struct dt_addr *to,
                        const uint8_t *msg, size_t len);

void dt_ted_tick(struct dt_ted *t, dt_time now);
dt_time dt_ted_deadline(const struct dt_ted *t);
void dt_ted_counters(const struct dt_ted *t, struct dt_ted_counters *out);
void dt_ted_digest(const struct dt_ted *t, dt_time now, struct dt_digest *d);

#endif
