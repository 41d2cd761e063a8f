/* Rules found by their pairs of address sets: the way for rules whose addresses no tree takes, because they are too
 * many (a group of thousands on either side) or overlap too much.
 *
 * Each side's addresses are cut into elementary intervals; an interval knows the address sets that hold it. A pair of
 * sets (source, destination) leads through a hash table to what the rules with that pair ask of protocol and ports.
 * Sets and pairs know the earliest rule they serve, so a search ends when nothing earlier can follow. */
#ifndef DT_POLICY_MATCH_PAIRS_H
#define DT_POLICY_MATCH_PAIRS_H

#include "policy/match_ports.h"

struct dt_pairs;

struct dt_pairs *dt_pairs_new(void);    /* NULL: out of memory */
void dt_pairs_free(struct dt_pairs *p); /* NULL is fine */
/* Rules are added in their order, each as a whole, or with `box` (source, destination) as one of its boxes of
 * addresses; find after finish. */
int dt_pairs_add(struct dt_pairs *p, const struct dt_rule *r,
                 const struct dt_range *box); /* -1: out of memory */
int dt_pairs_finish(struct dt_pairs *p, struct dt_err *err);
size_t dt_pairs_bytes(const struct dt_pairs *p);
/* The lower of `best` and the first matching rule's index. */
uint32_t dt_pairs_find(const struct dt_pairs *p, const struct dt_flow *f, uint32_t best);

#endif
