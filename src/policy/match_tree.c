#include "policy/match_tree.h"

#include <stdlib.h>

#include "base/bytes.h"

typedef unsigned __int128 u128;

static bool l4_fits(const struct dt_tree *t, const struct l4_rule *r, const struct dt_flow *f)
{
    if (!(r->ports & TREE_L4_LIST))
        return l4_matches(r, f);
    for (r = t->l4 + (r->slo | (uint32_t)r->shi << 16); r->order != DT_NO_RULE; r++)
        if (l4_matches(r, f))
            return true;
    return false;
}

static uint32_t leaf4_find(const struct dt_tree *t, const struct tree_node *at, uint32_t n,
                           const struct tree_key *k, const struct dt_flow *f, uint32_t best)
{
    const struct tree_leaf4 *l = t->leaf4 + at->at;
    uint32_t src = (uint32_t)k->w[1], dst = (uint32_t)k->w[3];
    for (uint32_t i = 0; i < n && l[i].l4.order < best; i++)
        if (src - l[i].src <= l[i].src_span && dst - l[i].dst <= l[i].dst_span && l4_fits(t, &l[i].l4, f))
            return l[i].l4.order;
    return best;
}

static bool within6(const uint64_t *k, const uint64_t *r)
{
    u128 x = (u128)k[0] << 64 | k[1];
    return x >= ((u128)r[0] << 64 | r[1]) && x <= ((u128)r[2] << 64 | r[3]);
}

static uint32_t leaf6_find(const struct dt_tree *t, const struct tree_node *at, uint32_t n,
                           const struct tree_key *k, const struct dt_flow *f, uint32_t best)
{
    const struct tree_leaf6 *l = t->leaf6 + at->at;
    for (uint32_t i = 0; i < n && l[i].l4.order < best; i++)
        if (within6(k->w, l[i].src) && within6(k->w + 2, l[i].dst) && l4_fits(t, &l[i].l4, f))
            return l[i].l4.order;
    return best;
}

static const struct tree_node *cut_child(const struct dt_tree *t, const struct tree_node *at,
                                         const struct tree_key *k)
{
    uint32_t s = (uint32_t)(k->w[at->sw] >> at->ss) & ((1u << at->sb) - 1);
    uint32_t d = (uint32_t)(k->w[at->dw] >> at->ds) & ((1u << at->db) - 1);
    return t->node + at->at + (s << at->db | d);
}

/* What will be looked at later comes out of memory meanwhile. */
static void touch(const struct dt_tree *t, const struct tree_node *at, const struct tree_key *k)
{
    for (; at->kind == TREE_BOTH; at = t->node + at->at + 1)
        if (t->node[at->at].kind == TREE_CUT)
            __builtin_prefetch(cut_child(t, t->node + at->at, k));
    if (at->kind == TREE_CUT)
        __builtin_prefetch(cut_child(t, at, k));
}

static uint32_t walk(const struct dt_tree *t, const struct tree_node *at, const struct tree_key *k,
                     const struct dt_flow *f, uint32_t best)
{
    for (bool touched = false;;) {
        if (at->min >= best)
            return best;
        switch (at->kind) {
        case TREE_CUT:
            at = cut_child(t, at, k);
            break;
        case TREE_LEAF:
            return t->v6 ? leaf6_find(t, at, at->n, k, f, best) : leaf4_find(t, at, at->n, k, f, best);
        case TREE_SCAN:
            return t->v6 ? leaf6_find(t, at, UINT32_MAX, k, f, best)
                         : leaf4_find(t, at, UINT32_MAX, k, f, best);
        case TREE_BOX: {
            const struct tree_box *b = t->box + at->at;
            at = t->node + ((k->w[b->word] & b->mask) == b->value ? b->in : b->out);
            break;
        }
        case TREE_BOTH:
            if (!touched)
                touch(t, at, k);
            touched = true;
            best = walk(t, t->node + at->at, k, f, best);
            at = t->node + at->at + 1;
            break;
        case TREE_INDEX:
            return dt_l4_index_find(t->index[at->at], f, best);
        default:
            return dt_pairs_find(t->pairs[at->at], f, best);
        }
    }
}

uint32_t dt_tree_find(const struct dt_tree *t, const struct dt_flow *f, uint32_t best)
{
    struct tree_key k;
    if (!t->v6)
        k = (struct tree_key){{0, dt_get_be32(f->src.b), 0, dt_get_be32(f->dst.b)}};
    else
        k = (struct tree_key){{dt_get_be64(f->src.b), dt_get_be64(f->src.b + 8), dt_get_be64(f->dst.b),
                               dt_get_be64(f->dst.b + 8)}};
    return walk(t, t->node, &k, f, best);
}

size_t dt_tree_bytes(const struct dt_tree *t)
{
    size_t n = t->nnode * sizeof *t->node + t->nleaf * (t->v6 ? sizeof *t->leaf6 : sizeof *t->leaf4) +
               t->nbox * sizeof *t->box + t->nl4 * sizeof *t->l4;
    for (size_t i = 0; i < t->nindex; i++)
        n += dt_l4_index_bytes(t->index[i]);
    for (size_t i = 0; i < t->npairs; i++)
        n += dt_pairs_bytes(t->pairs[i]);
    return n;
}

void dt_tree_free(struct dt_tree *t)
{
    for (size_t i = 0; i < t->nindex; i++)
        dt_l4_index_free(t->index[i]);
    for (size_t i = 0; i < t->npairs; i++)
        dt_pairs_free(t->pairs[i]);
    free(t->node);
    free(t->leaf4);
    free(t->leaf6);
    free(t->box);
    free(t->l4);
    free(t->index);
    free(t->pairs);
    free(t->ent);
    *t = (struct dt_tree){0};
}
