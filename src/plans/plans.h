/* Plans on this host: plans.c drives the policy engine, hook.c is asked by the data path's workers, report.c tells of it.
 *
 * This room may touch tunnels (it brings up and down those that rules lead to) and the data path's choice of a tunnel. Control
 * thread, but for what is said to be on any. */
#ifndef DT_PLANS_PLANS_H
#define DT_PLANS_PLANS_H

#include <jansson.h>

#include "config/config.h"
#include "net/datapath.h"
#include "policy/policy.h"

struct daemon;
struct tun;

/* The rules of d->rules are in force from now on; the tunnels are there already. */
int plans_apply(struct daemon *d, const struct dt_policy_limits *limits, struct dt_err *err);
int plans_again(struct daemon *d); /* d->rules have changed, and nothing else */
void plans_stop(struct daemon *d); /* ends all plans, farthest layers first */
bool plans_idle(struct daemon *d);
void plans_close(struct daemon *d);

void plans_event(struct daemon *d, const struct dt_event *ev);   /* of the endpoint */
void plans_need(struct daemon *d, const struct dt_dp_event *ev); /* a packet waits */
void plans_refuse(struct daemon *d, struct tun *t, const char *why);
void plans_beat(struct daemon *d);
/* Its plan loses the tunnel, which is left as it is; `why` is told. */
void plans_forget(struct daemon *d, struct tun *t, const char *why);
/* What goes to this peer goes through another tunnel of this host. */
bool plans_nested(struct daemon *d, const struct dt_addr *remote);

/* hook.c: for the data path's workers. match is taken over; NULL: there are no rules. */
void plans_hook_rules(struct daemon *d, struct dt_match *match);
struct plans_nest {
    struct dt_addr peer; /* our own packets to it go through */
    uint32_t below;      /* that tunnel of the endpoint */
};
void plans_hook_nests(struct daemon *d, const struct plans_nest *nest, size_t n); /* all that there are */
/* Packets that rules have led to tunnels since the last call, about one for each rule; each of them is given once. */
struct plans_ask {
    uint32_t tunnel; /* of the endpoint */
    struct dt_flow flow;
};
#define PLANS_ASKS 256 /* at most; where more rules send, each gets its turn in one of the next calls */
size_t plans_asked(struct daemon *d, struct plans_ask out[PLANS_ASKS]);
void plans_hook_close(struct daemon *d); /* the workers have ended */
/* Is that how we speak to a peer: ESP, or IKE from our ports (the peer's may be any)? On any thread. */
bool plans_protocol(const struct daemon *d, uint8_t proto, uint16_t sport);
struct dt_dp_choice plans_choose(void *ctx, const struct dt_dp_flow *flow);

/* The rules in force, for the control thread; NULL: there are none. Until the next plans_apply(). */
const struct dt_match *plans_match(const struct daemon *d);

const struct dt_policy *plans_policy(const struct daemon *d); /* or NULL */
struct tun *plans_tunnel_of(const struct daemon *d, uint32_t layer);
json_t *plans_json(struct daemon *d); /* for status: every plan as a list of layers, the outermost first */
/* For `dovetail explain`: the pending stack of such a packet under the rules in force, the bottom first, each with its
 * rule's name and line, and `error` where there is no plan. */
json_t *plans_explain_json(struct daemon *d, const struct dt_flow *f);
json_t *plans_event_json(const struct dt_policy_event *ev);

#endif
