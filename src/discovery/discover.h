/* Inside discovery: the engine of ted/ted.h between the data path, which meets packets for
 * hosts without a tunnel, the taps of net/discovery.h, and the endpoint, which negotiates what was found.
 *
 *   discover.c  rules, sockets, probes and replies, the engine's callbacks
 *   tunnels.c   what was found becomes a tunnel of the endpoint; what was refused is told to the sender
 *   rules.c     ... and one of the rules' where these lead to its peer through others
 *   host.c      what all that wants of the host: routing rules, a table, probes that end here
 *   trust.c     who may speak for what
 *   commands.c  `dovetail discover`
 *
 * Everything belongs to the control thread. */
#ifndef DT_DISCOVERY_DISCOVER_H
#define DT_DISCOVERY_DISCOVER_H

#include "base/hash.h"
#include "discovery/discovery.h"
#include "net/discovery.h"
#include "ted/ted.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define DISCOVER_DP       (1ull << 40) /* data path tunnels of the rules: + rule * 256 + proxy */
#define DISCOVER_REFUSED  (1ull << 41) /* and of refusals: + a number */
#define DISCOVER_REFUSALS 1024
#define DISCOVER_SUMMARY  16 /* refusals that `status` shows */
#define DISCOVER_ASKS     64
#define DISCOVER_OWNER    (UINT32_MAX - 2) /* of what is wanted of the host */
#define DISCOVER_EVENT    200u             /* struct dt_event.kind: past those of the endpoint */

/* A discovered tunnel, beside its struct tun. */
struct found {
    struct dt_list link;
    struct dt_table_node by_peer;
    struct tun *tun;
    uint64_t rule;
    bool nested; /* the rules lead to its peer through other tunnels: it is built by a plan (rules.c) */
    char name[DT_NAME_MAX];
    struct dt_addr src, dst; /* the hosts that asked first */
    struct dt_addr own, peer;
    struct dt_ted_proxy proxy;
    dt_time since, up_at; /* up_at: when it was last seen up; 0 never */
    dt_time busy_at;
    uint64_t packets;
};

/* A pair of hosts (and a protocol and port) that is told "no" at once. */
struct refusal {
    struct dt_list link;
    struct dt_table_node by_hosts;
    uint64_t id; /* of the data path */
    uint64_t rule;
    struct dt_addr peer; /* ver 0: nobody answered */
    char why[DT_ERR_TEXT];
    struct dt_ted_packet packet;
    bool whole; /* the pair of hosts, whatever the protocol */
    dt_time until;
};

/* `dovetail discover DST`, waiting. */
struct ask {
    struct dt_list link;
    struct discover *d;
    struct dt_control_request *req;
    uint64_t rule;
    struct dt_ted_packet packet;
    bool up;
    dt_time until;
    json_t *answer; /* up: what is to be said once the tunnel is there */
    uint32_t tunnel;
    char name[DT_NAME_MAX];
};

struct discover {
    struct daemon *daemon;
    struct dt_ted *ted;
    struct dt_config_discover *rule; /* rule[i].rule.id is i + 1 */
    size_t nrule;
    struct gate *gate; /* for peers that found us */
    struct dt_tap *tap;
    bool host; /* the keeper has opened what it needs */
    int raw4, raw6;
    uv_poll_t tap4, tap6;
    uv_timer_t timer, pause; /* the engine's deadline; the taps after a flood */
    struct dt_list founds, refusals, asks, listeners;
    struct dt_table found_table, refusal_table;
    struct dt_siphash_key key; /* peers and hosts choose their addresses */
    size_t nask, nnested;
    uint64_t next_refusal;
    unsigned handles; /* of the loop, that stand in here */
    bool look_for_twins, closing, rules_stale;
    char diverted[DT_ERR_TEXT]; /* another routing rule takes what proxies describe; empty */
    struct {
        uint64_t probes_unsent, replies_unsent, tap_pauses, tunnels, tunnels_lost, tunnels_idle, twins,
            unnegotiable, untrusted, refusals_full, foreign_replies;
    } count;
};

/* discover.c */
const struct dt_config_discover *discover_rule(const struct discover *x, uint64_t id);
enum dt_ted_verdict discover_packet(struct discover *x, uint64_t rule, const struct dt_ted_packet *p,
                                    struct dt_ted_answer *a);
void discover_arm(struct discover *x);
void discover_rematch(struct discover *x, uint64_t rule);
void discover_tell(struct discover *x, const char *name, uint64_t rule, const struct dt_ted_packet *packet,
                   const struct dt_addr *peer, const char *text);

/* tunnels.c */
struct tun *discover_found(struct discover *x, const struct dt_ted_answer *a);
void discover_refused(struct discover *x, const struct dt_ted_answer *a);
bool discover_is_refused(const struct discover *x, const struct dt_ted_packet *p);
void discover_unrefuse(struct discover *x, const struct dt_ted_packet *p);
void discover_tunnels_tick(struct discover *x, dt_time now);
void discover_tunnels_clear(struct discover *x);
void discover_tunnels_rules(struct discover *x); /* the configuration has new rules, not yet in force */

/* rules.c */
bool discover_nested(const struct daemon *d, const struct dt_addr *src, const struct dt_addr *peer);
/* Makes d->rules of the configuration's and of what was found; plans_again() puts them in force. */
int discover_rules(struct discover *x, struct dt_err *err);
/* Puts them in force, and begins the plan of that packet. */
void discover_plan(struct discover *x, const struct found *f, const struct dt_ted_packet *p);

/* host.c */
int discover_host_fits(const struct discover *x,
                       struct dt_err *err); /* or the host has no room for its rules */

/* commands.c */
bool discover_asks_answer(struct discover *x,
                          const struct dt_ted_answer *a); /* true: the asks alone wanted it */
void discover_asks_tick(struct discover *x, dt_time now);
void discover_commands_clear(struct discover *x);
struct dt_ted_packet;
void discover_listeners(struct daemon *d, const char *name, const char *rule,
                        const struct dt_ted_packet *packet, const struct dt_addr *peer, const char *text);

#endif
