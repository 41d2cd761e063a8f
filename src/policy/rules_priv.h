/* What rule.c and rule_parse.c share about a set of rules. */
#ifndef DT_POLICY_RULES_PRIV_H
#define DT_POLICY_RULES_PRIV_H

#include "base/table.h"
#include "policy/rule.h"

/* One set of addresses, kept once however many rules name it: two rules have the same set exactly when they
 * point to the same ranges. */
struct rules_set {
    struct dt_table_node node;
    size_t n;
    struct dt_range v[];
};

struct rules_own {
    struct dt_rules rules;
    size_t cap;
    struct dt_table sets;
};

/* The set of these ranges, normalized before, which rs owns. -1: out of memory. */
int dt_rules_intern(struct dt_rules *rs, const struct dt_range *v, size_t n, struct dt_addrset *out);
/* Adds a rule whose address sets are rs's own already; names and ports are copied. */
int dt_rules_push(struct dt_rules *rs, const struct dt_rule *r, struct dt_err *err);

#endif
