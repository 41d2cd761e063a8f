/* The first rule that matches a packet, in time that hardly grows with the number of rules: a decision tree over both
 * addresses for each IP version (match_tree.h), and pairs of address sets for rules that name large groups
 * (match_pairs.h). Transport rules, and tunnel and pass rules, each have their own. */
#ifndef DT_POLICY_MATCH_H
#define DT_POLICY_MATCH_H

#include "policy/rule.h"

#define DT_NO_RULE UINT32_MAX

struct dt_match; /* read-only once made: any number of threads may look up */

/* Built over rs, of which it takes a reference. NULL when memory is out or the rules overlap beyond the bound
 * (err says which). */
struct dt_match *dt_match_new(struct dt_rules *rs, struct dt_err *err);
void dt_match_free(struct dt_match *m); /* NULL is fine */
const struct dt_rules *dt_match_rules(const struct dt_match *m);
size_t dt_match_bytes(const struct dt_match *m); /* memory it takes, for status and benchmarks */

/* Index of the first transport rule, or of the first tunnel or pass rule, that matches; DT_NO_RULE. */
uint32_t dt_match_transport(const struct dt_match *m, const struct dt_flow *f);
uint32_t dt_match_tunnel(const struct dt_match *m, const struct dt_flow *f);

#endif
