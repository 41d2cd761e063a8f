/* A packet's plan: the pending stack that the rules ask for (US 6,636,520 FIG. 5 and FIG. 7, blocks 702 to 718).
 *
 * A transport rule is looked for first, and pushed. Then tunnel rules, again and again, each pushed, with the
 * destination set to the gateway that was just pushed, until none matches. From the first gateway on, what is
 * matched is an ESP packet (protocol 50, no ports) from the packet's source to that gateway. The top of the
 * stack, pushed last, is performed first: the gateway nearest to the source. */
#ifndef DT_POLICY_PLAN_H
#define DT_POLICY_PLAN_H

#include "policy/rule.h"

#define DT_PLAN_TUNNELS 8                     /* at most */
#define DT_PLAN_MAX     (DT_PLAN_TUNNELS + 1) /* with the transport action */

struct dt_match; /* match.h */

struct dt_action {
    enum dt_rule_kind kind; /* transport or tunnel */
    struct dt_addr peer;    /* the gateway, or the packet's destination */
    uint32_t rule;          /* index of the rule that asked for it */
};

struct dt_plan {
    unsigned n;                            /* 0: the packet goes as it is */
    struct dt_action pending[DT_PLAN_MAX]; /* [0] the bottom, [n - 1] the top, performed first */
};

/* 0, or -1 with the reason: a loop, a gateway inside its own tunnel, more than eight tunnels. *plan then
 * holds what had been pushed until there, for a message. */
int dt_plan_make(struct dt_plan *plan, const struct dt_match *m, const struct dt_flow *f, struct dt_err *err);

/* What is matched after `gateway` has been pushed for a packet from f->src. Where the gateway's version is
 * another than the source's, the source is not known yet: the unspecified address, which only rules without
 * `from` match. */
struct dt_flow dt_plan_next_flow(const struct dt_flow *f, const struct dt_addr *gateway);

#endif
