/* The first of many rules that matches, by a decision tree over both addresses of one IP version.
 *
 * A node cuts its part of the (source, destination) plane into a grid of equal cells, as many as it has rules, so that
 * a few steps lead to a handful of rules that are compared in full. Rules too wide for the cut that suits the others
 * get a tree of their own beside it; a part that all rules leave empty is stepped over; what an earlier rule hides is
 * left out; where many rules differ in protocol and ports alone, an index over these follows (match_ports.h); and what
 * no cut separates within the bounds on memory is found by pairs of address sets (match_pairs.h), or, where most of these
 * lie over each other, one after the other. Nodes know their earliest rule, so that a search ends when nothing earlier
 * can follow.
 *
 * (After HiCuts, HyperCuts and EffiCuts; packet classification by cutting, separation and rule overlap.) */
#ifndef DT_POLICY_MATCH_TREE_H
#define DT_POLICY_MATCH_TREE_H

#include "policy/match_pairs.h"

/* A rule makes a box for each pair of its ranges; one that makes more than this belongs into dt_pairs. */
#define TREE_BOXES_MAX 64

enum tree_kind {
    TREE_LEAF = 0, /* `at` the first of `n` rules in leaf4 or leaf6 */
    TREE_CUT, /* `at` the first child; of the source sb bits from shift ss of word sw, of the destination dw .. */
    TREE_BOX,   /* `at` in box */
    TREE_BOTH,  /* `at` the first of two nodes that are both searched */
    TREE_INDEX, /* `at` in index */
    TREE_PAIRS, /* `at` in pairs */
    TREE_SCAN,  /* as a leaf, of any length: ended by a rule of order DT_NO_RULE */
};

struct tree_node {
    uint32_t min; /* its first rule; DT_NO_RULE: none */
    uint32_t at;
    uint8_t kind, n;
    uint8_t sw, ss, sb, dw, ds, db;
};
_Static_assert(sizeof(struct tree_node) == 16, "four nodes share a cache line");

/* What is looked up: source and destination, high and low 64 bits each; an IPv4 address is a low word. */
struct tree_key {
    uint64_t w[4];
};

/* Packets with (w[word] & mask) == value go to `in`, others to `out`. */
struct tree_box {
    uint64_t mask, value;
    uint32_t word, in, out; /* nodes */
};

/* A rule in a leaf: both addresses, protocol and ports. l4.ports with TREE_L4_LIST: one of the list that begins at
 * l4[slo | shi << 16] must match. */
#define TREE_L4_LIST 0x80
struct tree_leaf4 {
    uint32_t src, src_span, dst, dst_span; /* first address, and how far the last one is from it */
    struct l4_rule l4;
};
struct tree_leaf6 {
    uint64_t src[4], dst[4]; /* first address, last address */
    struct l4_rule l4;
};

/* A rule's box while the tree is built. */
struct tree_ent {
    unsigned __int128 lo[2], hi[2]; /* source, destination */
    struct l4_rule l4;
};

struct dt_tree {
    bool v6;
    struct tree_node *node; /* [0] the root */
    size_t nnode, cap_node;
    struct tree_leaf4 *leaf4;
    struct tree_leaf6 *leaf6;
    size_t nleaf, cap_leaf;
    struct tree_box *box;
    size_t nbox, cap_box;
    struct l4_rule *l4;
    size_t nl4, cap_l4;
    struct l4_index **index;
    size_t nindex, cap_index;
    struct dt_pairs **pairs;
    size_t npairs, cap_pairs;
    struct tree_ent *ent;
    size_t nent, cap_ent;
};

/* Boxes that a rule makes in a tree of either version; saturates. */
size_t dt_tree_boxes(const struct dt_rule *r);
/* Rules are added in their order, then the tree is finished, then it answers. -1: out of memory, or what dt_pairs
 * refuses. */
int dt_tree_add(struct dt_tree *t, const struct dt_rule *r);
int dt_tree_finish(struct dt_tree *t, const struct dt_rules *rs, struct dt_err *err);
void dt_tree_free(struct dt_tree *t); /* what is in it */
size_t dt_tree_bytes(const struct dt_tree *t);
/* The lower of `best` and the first matching rule's index; both addresses are of the tree's version. */
uint32_t dt_tree_find(const struct dt_tree *t, const struct dt_flow *f, uint32_t best);

#endif
