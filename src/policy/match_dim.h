/* One side's addresses (source or destination): from an address to the chain of the address sets that hold
 * it. */
#ifndef DT_POLICY_MATCH_DIM_H
#define DT_POLICY_MATCH_DIM_H

#include "base/table.h"
#include "policy/match.h"

/* Chain entries in all, and intervals of one side: beyond it the rules are refused. */
#define DIM_ENTRIES_MAX ((size_t)32 << 20)

#define DIM_NONE UINT32_MAX

/* One link of a chain. A chain is ordered by `min` and ended by a link whose min is DT_NO_RULE. */
struct dim_link {
    uint32_t set;      /* from 1 */
    uint32_t min;      /* the first rule with that set on this side */
    uint64_t partners; /* bits (dim_bit) of the sets that stand on the other side of rules with this one */
};

/* A set as the rules are added; the ranges are the caller's until dt_dim_finish(). */
struct dim_set {
    struct dt_table_node node;
    const struct dt_range *v; /* NULL: any address */
    size_t n;
    struct dt_range own; /* what v points to when the set was a prefix cut out of a larger one */
    uint32_t id, min;
    uint64_t partners;
};

/* A static search tree over sorted keys: blocks of a cache line, each level holding every block's first key
 * below. */
#define DIM_LEVELS 12
struct dim_tree4 {
    unsigned levels;
    size_t n[DIM_LEVELS];
    uint32_t *key[DIM_LEVELS]; /* key[0]: all keys */
};
struct dim_tree8 {
    unsigned levels;
    size_t n[DIM_LEVELS];
    uint64_t *key[DIM_LEVELS];
};

struct dim {
    struct dt_table sets;
    struct dim_set **by_id; /* by_id[id - 1] */
    size_t nset, cap;
    /* IPv4: interval to place of its chain. */
    struct dim_tree4 t4;
    uint32_t *chain4;
    /* IPv6: a tree over the high 64 bits; the intervals that begin under the same high bits are apart in
     * `low6`. */
    struct dim_tree8 t6;
    uint32_t *first6; /* of each key of t6, its first interval; one more at the end */
    uint64_t *low6;
    uint32_t *chain6;
    struct dim_link *links;
    size_t nlinks, cap_links;
    struct dt_table chains; /* while building: chains already made */
    size_t bytes;
};

static inline uint64_t dim_bit(uint32_t set)
{
    return (uint64_t)1 << ((set * 0x9e3779b1u) >> 26);
}

/* The set of these ranges (one prefix with `copy`, or a set that the rules keep once); NULL: out of memory. */
struct dim_set *dt_dim_set_get(struct dim *d, const struct dt_range *v, size_t n, bool copy);
/* Makes the trees; the dim_sets are gone afterwards. */
int dt_dim_finish(struct dim *d, struct dt_err *err);
void dt_dim_free(struct dim *d);
const struct dim_link *dt_dim_find(const struct dim *d, const struct dt_addr *a);

#endif
