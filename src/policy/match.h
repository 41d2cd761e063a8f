/* The first rule that matches a packet, in time that does not grow with the number of rules.
 *
 * Each side's addresses are cut into elementary intervals; an interval knows the few address sets that hold
 * it. A pair of sets (source, destination) leads through a hash table to what the rules with that pair ask of
 * protocol and ports. Sets and pairs know the earliest rule they serve, so a search ends when nothing earlier
 * can follow. */
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
