/* What check.c and check_loops.c share. */
#ifndef DT_POLICY_CHECK_PRIV_H
#define DT_POLICY_CHECK_PRIV_H

#include "policy/check.h"

struct check {
    const struct dt_match *match;
    const struct dt_rules *rules;
    bool *never; /* of each rule: no packet reaches it */
    struct dt_check_issue *issue;
    size_t n, cap;
};

void dt_check_add(struct check *c, enum dt_check_kind kind, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void dt_check_never(struct check *c);
void dt_check_loops(struct check *c);

#endif
