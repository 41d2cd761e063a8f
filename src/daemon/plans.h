/* Plans in the daemon: plans.c drives the policy engine, plans_json.c tells of it. */
#ifndef DT_DAEMON_PLANS_H
#define DT_DAEMON_PLANS_H

#include <jansson.h>

#include "config/config.h"
#include "net/datapath.h"
#include "policy/policy.h"

struct daemon;
struct tun;

/* A rule leads to this tunnel: it is brought up and down by plans alone. */
bool plans_uses(const struct dt_rules *rs, const struct dt_config_tunnel *c);
/* The rules of d->rules are in force from now on; the tunnels are there already. */
int plans_apply(struct daemon *d, const struct dt_policy_limits *limits);
int plans_again(struct daemon *d); /* d->rules have changed, and nothing else */
void plans_stop(struct daemon *d); /* ends all plans, farthest layers first */
bool plans_idle(struct daemon *d);
void plans_close(struct daemon *d);

void plans_event(struct daemon *d, const struct dt_event *ev);   /* of the endpoint */
void plans_need(struct daemon *d, const struct dt_dp_event *ev); /* a packet waits */
void plans_refuse(struct daemon *d, struct tun *t, const char *why);
void plans_second(struct daemon *d);
void plans_forget(struct daemon *d, struct tun *t); /* it leaves the configuration */
/* What goes to this peer goes through another tunnel of this host. */
bool plans_nested(struct daemon *d, const struct dt_addr *remote);

/* plans_hook.c: for the data path's workers. match is taken over; NULL: there are no rules. */
void plans_hook_rules(struct daemon *d, struct dt_match *match);
/* Our packets to peer[i] go through the tunnel below[i]. */
void plans_hook_nests(struct daemon *d, const struct dt_addr *peer, const uint32_t *below, size_t n);
void plans_hook_close(struct daemon *d); /* the workers have ended */
struct dt_dp_choice plans_choose(void *ctx, const struct dt_dp_flow *flow);

const struct dt_policy *plans_policy(const struct daemon *d); /* or NULL */
struct tun *plans_tunnel_of(const struct daemon *d, uint32_t layer);
json_t *plans_json(struct daemon *d); /* for status: every plan as a list of layers, the outermost first */
json_t *plans_event_json(const struct dt_policy_event *ev);

#endif
