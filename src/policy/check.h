/* What is wrong with a set of rules before any packet comes: `dovetail check`. */
#ifndef DT_POLICY_CHECK_H
#define DT_POLICY_CHECK_H

#include "policy/match.h"

enum dt_check_kind {
    DT_CHECK_LOOP,       /* a gateway is reached through itself, by way of others */
    DT_CHECK_OWN_TUNNEL, /* a gateway inside its own tunnel */
    DT_CHECK_DEPTH,      /* more than eight tunnels */
    DT_CHECK_NEVER,      /* a rule that no packet can reach */
    DT_CHECK_UNFINISHED, /* the rules are too many or too tangled to be sure; line 0 */
};

struct dt_check_issue {
    enum dt_check_kind kind;
    unsigned line;  /* of the rule that is to be changed */
    char text[512]; /* what, and what would be right; other rules by name and line. Without the file's name */
};

/* Reports each issue once, in the order of the lines where it can; returns how many. Loops and depth are found by
 * following, from each rule that a packet can reach, the ESP packets of its gateway for all sources at once. */
size_t dt_check_rules(const struct dt_match *m, void (*report)(void *ctx, const struct dt_check_issue *i),
                      void *ctx);

#endif
