/* How a decision tree comes about: part by part of the address plane, from the whole of it down. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "policy/match_tree.h"

typedef unsigned __int128 u128;

#define LEAF_WANTED      4  /* a leaf of so many rules is not cut further */
#define LEAF_MAX         24 /* so many are scanned when nothing separates them */
#define HIDES_MAX        48 /* among so many, each rule is compared with each */
#define CUT_BITS         16 /* of both addresses together, in one node */
#define BOTH_MAX         5  /* nodes on one path that are searched on both sides */
#define DEPTH_MAX        96
#define COPIES_MAX(ents) ((ents)*12 + 1024) /* memory, in rules: of leaves, nodes and what hangs below them */
#define WORK_MAX(ents)   ((ents)*128 + 4096) /* time: rules looked at, in all parts together */

/* A part of the plane: of each address the high bits, and how many low ones are free. */
struct region {
    u128 base[2];
    unsigned bits[2];
};

/* A leaf made lately, for parts that hold the same rules; as many are remembered as there are rules, at most. */
#define LATELY_MAX 4096
struct lately {
    uint32_t at, n;
    uint32_t v[LEAF_MAX];
};

struct build {
    struct dt_tree *t;
    const struct dt_rules *rs;
    struct dt_err *err;
    size_t copies, work; /* so far */
    struct lately *lately;
    unsigned shift; /* 64 - log2 of their number */
};

/* Rules of a part, as places in ent, in order. */
struct part {
    uint32_t *v;
    size_t n;
    struct region g;
    unsigned depth, both;
};

static int part_build(struct build *b, uint32_t at, struct part p);

static int out_of_memory(struct build *b)
{
    return dt_err_set(b->err, 0, "out of memory");
}

/* Room for `more` elements behind n in array p; false: out of memory. */
#define ROOM(p, n, cap, more)                                                                                \
    ((n) + (more) <= *(cap) || ((p) = room_grow((p), (n) + (more), (cap), sizeof *(p))) != NULL)

/* Frees what it cannot enlarge. */
static void *room_grow(void *p, size_t n, size_t *cap, size_t size)
{
    size_t want = n + n / 2 + 16;
    void *q = realloc(p, want * size);
    if (!q) {
        free(p);
        want = 0;
    }
    *cap = want;
    return q;
}

static u128 low_ones(unsigned bits)
{
    return bits >= 128 ? ~(u128)0 : ((u128)1 << bits) - 1;
}

static unsigned width_of(u128 x) /* bits up to the highest that is set */
{
    uint64_t high = (uint64_t)(x >> 64), low = (uint64_t)x;
    return high ? 128u - (unsigned)__builtin_clzll(high) : low ? 64u - (unsigned)__builtin_clzll(low) : 0;
}

/* --- what a rule's box is within a region --- */

static u128 clip_lo(const struct tree_ent *e, const struct region *g, unsigned d)
{
    return e->lo[d] > g->base[d] ? e->lo[d] : g->base[d];
}

static u128 clip_hi(const struct tree_ent *e, const struct region *g, unsigned d)
{
    u128 end = g->base[d] | low_ones(g->bits[d]);
    return e->hi[d] < end ? e->hi[d] : end;
}

static bool full(const struct tree_ent *e, const struct region *g, unsigned d)
{
    return e->lo[d] <= g->base[d] && e->hi[d] >= (g->base[d] | low_ones(g->bits[d]));
}

static bool ent_plain(const struct tree_ent *e)
{
    return !e->l4.proto && !e->l4.ports;
}

/* What asks for no more than this, and comes earlier, hides it. */
static bool hides(const struct tree_ent *a, const struct tree_ent *e, const struct region *g)
{
    if (a->l4.ports & TREE_L4_LIST || e->l4.ports & TREE_L4_LIST) {
        if (!ent_plain(a))
            return false;
    } else if ((a->l4.proto && a->l4.proto != e->l4.proto) ||
               (a->l4.ports && (!e->l4.ports || a->l4.slo > e->l4.slo || a->l4.shi < e->l4.shi ||
                                a->l4.dlo > e->l4.dlo || a->l4.dhi < e->l4.dhi))) {
        return false;
    }
    for (unsigned d = 0; d < 2; d++)
        if (a->lo[d] > clip_lo(e, g, d) || a->hi[d] < clip_hi(e, g, d))
            return false;
    return true;
}

/* Leaves out what earlier rules hide in this part; returns how many are left. */
static size_t prune(const struct build *b, uint32_t *v, size_t n, const struct region *g)
{
    const struct tree_ent *ent = b->t->ent;
    for (size_t i = 0; i < n; i++)
        if (ent_plain(&ent[v[i]]) && full(&ent[v[i]], g, 0) && full(&ent[v[i]], g, 1))
            n = i + 1;
    if (n > HIDES_MAX)
        return n;
    size_t keep = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < keep && !hides(&ent[v[k]], &ent[v[i]], g))
            k++;
        if (k == keep)
            v[keep++] = v[i];
    }
    return keep;
}

/* --- nodes --- */

static uint32_t nodes_add(struct build *b, size_t n)
{
    struct dt_tree *t = b->t;
    size_t at = n >= 4 ? (t->nnode + 3) & ~(size_t)3 : t->nnode; /* on cache lines of their own */
    if (at + n >= UINT32_MAX || !ROOM(t->node, at, &t->cap_node, n)) {
        t->nnode = t->node ? t->nnode : 0;
        out_of_memory(b);
        return UINT32_MAX;
    }
    for (size_t i = t->nnode; i < at + n; i++)
        t->node[i] = (struct tree_node){.min = DT_NO_RULE};
    t->nnode = at + n;
    b->copies += n / 2;
    return (uint32_t)at;
}

/* The node's first rule is the part's. */
static struct tree_node node_for_part(const struct build *b, const struct part *p, uint8_t kind, size_t at)
{
    return (struct tree_node){.min = b->t->ent[p->v[0]].l4.order, .at = (uint32_t)at, .kind = kind};
}

static void leaf_put(struct dt_tree *t, const struct tree_ent *e)
{
    if (!t->v6) {
        t->leaf4[t->nleaf++] =
            (struct tree_leaf4){(uint32_t)e->lo[0], (uint32_t)(e->hi[0] - e->lo[0]), (uint32_t)e->lo[1],
                                (uint32_t)(e->hi[1] - e->lo[1]), e->l4};
        return;
    }
    struct tree_leaf6 *l = &t->leaf6[t->nleaf++];
    for (unsigned d = 0; d < 2; d++) {
        uint64_t *w = d ? l->dst : l->src;
        w[0] = (uint64_t)(e->lo[d] >> 64);
        w[1] = (uint64_t)e->lo[d];
        w[2] = (uint64_t)(e->hi[d] >> 64);
        w[3] = (uint64_t)e->hi[d];
    }
    l->l4 = e->l4;
}

static int leaf_make(struct build *b, uint32_t at, const struct part *p)
{
    struct dt_tree *t = b->t;
    uint64_t h = p->n;
    for (size_t i = 0; i < p->n; i++)
        h = (h ^ p->v[i]) * 0x9e3779b97f4a7c15u;
    struct lately *l = &b->lately[h >> b->shift];
    if (l->n != p->n || memcmp(l->v, p->v, p->n * sizeof *p->v)) {
        if (t->v6 ? !ROOM(t->leaf6, t->nleaf, &t->cap_leaf, p->n)
                  : !ROOM(t->leaf4, t->nleaf, &t->cap_leaf, p->n))
            return out_of_memory(b);
        l->at = (uint32_t)t->nleaf;
        l->n = (uint32_t)p->n;
        memcpy(l->v, p->v, p->n * sizeof *p->v);
        for (size_t i = 0; i < p->n; i++)
            leaf_put(t, &t->ent[p->v[i]]);
        b->copies += p->n;
    }
    t->node[at] = node_for_part(b, p, TREE_LEAF, l->at);
    t->node[at].n = (uint8_t)p->n;
    return 0;
}

/* Rules of which each packet of this part meets so many that nothing beats looking at one after the other. */
static int scan_make(struct build *b, uint32_t at, const struct part *p)
{
    struct dt_tree *t = b->t;
    if (t->v6 ? !ROOM(t->leaf6, t->nleaf, &t->cap_leaf, p->n + 1)
              : !ROOM(t->leaf4, t->nleaf, &t->cap_leaf, p->n + 1))
        return out_of_memory(b);
    t->node[at] = node_for_part(b, p, TREE_SCAN, t->nleaf);
    for (size_t i = 0; i < p->n; i++)
        leaf_put(t, &t->ent[p->v[i]]);
    const struct tree_ent end = {.l4.order = DT_NO_RULE};
    leaf_put(t, &end);
    b->copies += p->n + 1;
    return 0;
}

/* How many rules' addresses hold an address of this part, on the average. */
static double held_by(const struct build *b, const struct part *p, unsigned d)
{
    double n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct tree_ent *e = &b->t->ent[p->v[i]];
        n += (double)(clip_hi(e, &p->g, d) - clip_lo(e, &p->g, d)) / ((double)low_ones(p->g.bits[d]) + 1);
    }
    return n;
}

/* Rules that differ in protocol and ports alone. */
static int index_make(struct build *b, uint32_t at, const struct part *p)
{
    struct dt_tree *t = b->t;
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += dt_l4_boxes(&b->rs->v[t->ent[p->v[i]].l4.order]);
    struct l4_rule *r = malloc((n + 1) * sizeof *r);
    if (!r || !ROOM(t->index, t->nindex, &t->cap_index, 1)) {
        t->nindex = t->index ? t->nindex : 0;
        free(r);
        return out_of_memory(b);
    }
    n = 0;
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; dt_l4_box(&b->rs->v[t->ent[p->v[i]].l4.order], k, &r[n]); k++)
            n++;
    t->index[t->nindex] = dt_l4_index_new(r, n);
    free(r);
    if (!t->index[t->nindex])
        return out_of_memory(b);
    b->copies += dt_l4_index_bytes(t->index[t->nindex]) / sizeof *t->leaf4;
    t->node[at] = node_for_part(b, p, TREE_INDEX, t->nindex++);
    return 0;
}

static struct dt_addr addr_of_value(u128 v, bool v6)
{
    if (!v6)
        return dt_addr4((uint32_t)v);
    struct dt_addr a = {.ver = 6};
    dt_put_be64(a.b, (uint64_t)(v >> 64));
    dt_put_be64(a.b + 8, (uint64_t)v);
    return a;
}

static int pairs_make(struct build *b, uint32_t at, const struct part *p)
{
    struct dt_tree *t = b->t;
    if (!ROOM(t->pairs, t->npairs, &t->cap_pairs, 1)) {
        t->npairs = t->pairs ? t->npairs : 0;
        return out_of_memory(b);
    }
    struct dt_pairs *x = dt_pairs_new();
    int rc = x ? 0 : -1;
    for (size_t i = 0; i < p->n && !rc; i++) {
        const struct tree_ent *e = &t->ent[p->v[i]];
        struct dt_range box[2];
        for (unsigned d = 0; d < 2; d++)
            box[d] = (struct dt_range){addr_of_value(e->lo[d], t->v6), addr_of_value(e->hi[d], t->v6)};
        rc = dt_pairs_add(x, &b->rs->v[e->l4.order], box);
    }
    rc = rc ? out_of_memory(b) : dt_pairs_finish(x, b->err);
    if (rc) {
        dt_pairs_free(x);
        return rc;
    }
    t->pairs[t->npairs] = x;
    b->copies += dt_pairs_bytes(x) / sizeof *t->leaf4;
    t->node[at] = node_for_part(b, p, TREE_PAIRS, t->npairs++);
    return 0;
}

/* Both halves of a part are searched: first the rules of `first` (by place in p), then the others. */
static int both_make(struct build *b, uint32_t at, const struct part *p, const bool *first)
{
    uint32_t base = nodes_add(b, 2), *v = malloc(p->n * sizeof *v);
    if (!v || base == UINT32_MAX) {
        free(v);
        return out_of_memory(b);
    }
    struct part half[2] = {*p, *p};
    half[0].both = half[1].both = p->both + 1;
    half[0].depth = half[1].depth = p->depth + 1;
    half[0].n = 0;
    for (size_t i = 0; i < p->n; i++)
        half[0].n += first[i];
    half[0].v = v;
    half[1].v = v + half[0].n;
    half[1].n = 0;
    for (size_t i = 0, k = 0; i < p->n; i++)
        if (first[i])
            half[0].v[k++] = p->v[i];
        else
            half[1].v[half[1].n++] = p->v[i];
    b->t->node[at] = node_for_part(b, p, TREE_BOTH, base);
    int rc = part_build(b, base, half[0]) || part_build(b, base + 1, half[1]) ? -1 : 0;
    free(v);
    return rc;
}

/* --- stepping over what is empty --- */

/* Where all rules that do not cover dimension d of the part as a whole lie in a small part of it: 1 and the node is
 * made, 0 not so, -1 error. */
static int box_make(struct build *b, uint32_t at, const struct part *p, unsigned d)
{
    const struct tree_ent *ent = b->t->ent;
    u128 lo = ~(u128)0, hi = 0;
    size_t nfull = 0;
    if (p->n == 0)
        return 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct tree_ent *e = &ent[p->v[i]];
        if (full(e, &p->g, d)) {
            nfull++;
            continue;
        }
        lo = clip_lo(e, &p->g, d) < lo ? clip_lo(e, &p->g, d) : lo;
        hi = clip_hi(e, &p->g, d) > hi ? clip_hi(e, &p->g, d) : hi;
    }
    unsigned bits = nfull == p->n ? p->g.bits[d] : width_of(lo ^ hi);
    if (p->g.bits[d] > 64 && bits < 64)
        bits = 64; /* a box looks at one word */
    if (p->g.bits[d] < bits + 3)
        return 0;
    if (nfull > p->n / 2 && p->n > 64)
        return 0; /* these had to be searched twice */
    if (!ROOM(b->t->box, b->t->nbox, &b->t->cap_box, 1)) {
        b->t->nbox = 0;
        return out_of_memory(b);
    }
    size_t nbox = b->t->nbox++;
    uint32_t base = nodes_add(b, 2), *v = malloc(p->n * 2 * sizeof *v);
    if (!v || base == UINT32_MAX) {
        free(v);
        return out_of_memory(b);
    }
    struct part in = *p, out = *p;
    in.depth = out.depth = p->depth + 1;
    in.v = v;
    out.v = v + p->n;
    out.n = 0;
    in.g.bits[d] = bits;
    in.g.base[d] = lo & ~low_ones(bits);
    memcpy(in.v, p->v, p->n * sizeof *v);
    for (size_t i = 0; i < p->n; i++)
        if (full(&ent[p->v[i]], &p->g, d))
            out.v[out.n++] = p->v[i];
    u128 mask = ~low_ones(bits);
    unsigned high = p->g.bits[d] > 64;
    b->t->box[nbox] = (struct tree_box){.mask = (uint64_t)(high ? mask >> 64 : mask),
                                        .value = (uint64_t)(high ? in.g.base[d] >> 64 : in.g.base[d]),
                                        .word = d * 2 + !high,
                                        .in = base,
                                        .out = base + 1};
    b->t->node[at] = node_for_part(b, p, TREE_BOX, nbox);
    int rc = part_build(b, base, in) || part_build(b, base + 1, out) ? -1 : 1;
    free(v);
    return rc;
}

/* --- cutting into a grid --- */

struct grid {
    unsigned bits[2]; /* of each address */
    unsigned max[2];  /* at most */
};

/* Which cells of a dimension a box meets, and which of them it fills; none when first > last. */
struct span {
    uint32_t lo, hi, full_lo, full_hi1; /* full_hi1 is one past */
};

static struct span span_of(const struct tree_ent *e, const struct region *g, unsigned d, unsigned bits)
{
    if (!bits)
        return (struct span){0, 0, 0, full(e, g, d)};
    unsigned cell = g->bits[d] - bits;
    u128 lo = clip_lo(e, g, d) - g->base[d], hi = clip_hi(e, g, d) - g->base[d];
    struct span s = {(uint32_t)(lo >> cell), (uint32_t)(hi >> cell), 0, 0};
    s.full_lo = s.lo + ((lo & low_ones(cell)) != 0);
    s.full_hi1 = s.hi + ((hi & low_ones(cell)) == low_ones(cell));
    return s;
}

/* Rules put into cells. */
struct paint {
    uint64_t *open; /* a bit for each cell: no rule hides all later ones there */
    size_t nopen;
    struct spot {
        uint32_t cell, ent;
    } * spot;
    size_t n, max;
};

static uint64_t mask_of(uint32_t word, uint32_t from,
                        uint32_t to) /* cells from to (included) within a word */
{
    uint64_t m = ~(uint64_t)0;
    if (word == from / 64)
        m &= ~(uint64_t)0 << from % 64;
    if (word == to / 64)
        m &= ~(uint64_t)0 >> (63 - to % 64);
    return m;
}

static bool paint_run(struct paint *p, uint32_t from, uint32_t to, uint32_t ent)
{
    for (uint32_t w = from / 64; w <= to / 64; w++)
        for (uint64_t m = p->open[w] & mask_of(w, from, to); m; m &= m - 1) {
            if (p->n == p->max)
                return false;
            p->spot[p->n++] = (struct spot){w * 64 + (uint32_t)__builtin_ctzll(m), ent};
        }
    return true;
}

static void close_run(struct paint *p, uint32_t from, uint32_t to)
{
    for (uint32_t w = from / 64; w <= to / 64; w++) {
        uint64_t m = mask_of(w, from, to);
        p->nopen -= (size_t)__builtin_popcountll(p->open[w] & m);
        p->open[w] &= ~m;
    }
}

/* Every rule into the cells that it meets and that are open; false when there are too many. */
static bool paint_all(const struct build *b, struct paint *x, const struct part *p, const struct grid *c)
{
    unsigned db = c->bits[1];
    uint32_t all = (1u << db) - 1;
    for (size_t i = 0; i < p->n && x->nopen; i++) {
        const struct tree_ent *e = &b->t->ent[p->v[i]];
        struct span s = span_of(e, &p->g, 0, c->bits[0]), d = span_of(e, &p->g, 1, db);
        bool row = d.lo == 0 && d.hi == all; /* whole rows: one run */
        for (uint32_t r = s.lo; r <= s.hi; r = row ? s.hi + 1 : r + 1)
            if (!paint_run(x, r << db | d.lo, (row ? s.hi : r) << db | d.hi, p->v[i]))
                return false;
        if (!ent_plain(e) || d.full_lo >= d.full_hi1)
            continue;
        for (uint32_t r = s.full_lo; r < s.full_hi1; r++)
            close_run(x, r << db | d.full_lo, r << db | (d.full_hi1 - 1));
    }
    return true;
}

/* The node and what is below it, from the painted cells. */
static int cut_finish(struct build *b, uint32_t at, const struct part *p, const struct grid *c,
                      const struct paint *x)
{
    size_t cells = (size_t)1 << (c->bits[0] + c->bits[1]);
    uint32_t base = nodes_add(b, cells);
    uint32_t *start = calloc(cells + 1, sizeof *start), *v = malloc((x->n + 1) * sizeof *v);
    int rc = base != UINT32_MAX && start && v ? 0 : out_of_memory(b);
    if (!rc) {
        struct tree_node n = node_for_part(b, p, TREE_CUT, base);
        uint8_t shift[2], word[2];
        for (unsigned d = 0; d < 2; d++) {
            unsigned s = p->g.bits[d] - c->bits[d];
            word[d] = (uint8_t)(d * 2 + !(p->g.bits[d] > 64));
            shift[d] = (uint8_t)(c->bits[d] ? s % 64 : 0);
        }
        n.sw = word[0];
        n.ss = shift[0];
        n.sb = (uint8_t)c->bits[0];
        n.dw = word[1];
        n.ds = shift[1];
        n.db = (uint8_t)c->bits[1];
        b->t->node[at] = n;
        for (size_t i = 0; i < x->n; i++)
            start[x->spot[i].cell + 1]++;
        for (size_t i = 0; i < cells; i++)
            start[i + 1] += start[i];
        for (size_t i = 0; i < x->n; i++)
            v[start[x->spot[i].cell]++] = x->spot[i].ent; /* now start[i] is the end of cell i */
    }
    for (size_t i = 0; i < cells && !rc; i++) {
        uint32_t from = i ? start[i - 1] : 0;
        struct part in = {v + from, start[i] - from, p->g, p->depth + 1, p->both};
        for (unsigned d = 0; d < 2; d++) {
            u128 cell = d ? i & ((1u << c->bits[1]) - 1) : i >> c->bits[1];
            in.g.bits[d] = p->g.bits[d] - c->bits[d];
            if (c->bits[d])
                in.g.base[d] = p->g.base[d] | cell << in.g.bits[d];
        }
        if (in.n)
            rc = part_build(b, base + (uint32_t)i, in);
    }
    free(start);
    free(v);
    return rc ? -1 : 1;
}

/* How much wider than a cell boxes are, and so into how many cells they go: [i][k] boxes that cover a share of 2^-i
 * of the source's extent and 2^-k of the destination's. */
typedef uint32_t shape[CUT_BITS + 1][CUT_BITS + 1];

static void part_shape(const struct build *b, const struct part *p, shape out)
{
    memset(out, 0, sizeof(shape));
    for (size_t i = 0; i < p->n; i++) {
        unsigned rel[2];
        for (unsigned d = 0; d < 2; d++) {
            const struct tree_ent *e = &b->t->ent[p->v[i]];
            unsigned w = width_of(clip_hi(e, &p->g, d) - clip_lo(e, &p->g, d)), g = p->g.bits[d];
            rel[d] = g - w < CUT_BITS ? g - w : CUT_BITS;
        }
        out[rel[0]][rel[1]]++;
    }
}

static uint64_t copies_of(shape h, unsigned wa, unsigned wb)
{
    uint64_t n = 0;
    for (unsigned i = 0; i <= CUT_BITS; i++)
        for (unsigned k = 0; k <= CUT_BITS; k++)
            n += (uint64_t)h[i][k] << ((wa > i ? wa - i : 0) + (wb > k ? wb - k : 0));
    return n;
}

/* The division of `bits` among both addresses that copies least; UINT64_MAX: there is none. */
static uint64_t divide(shape h, unsigned bits, struct grid *c)
{
    uint64_t least = UINT64_MAX;
    for (unsigned wa = 0; wa <= bits; wa++) {
        unsigned wb = bits - wa;
        if (wa > c->max[0] || wb > c->max[1])
            continue;
        uint64_t n = copies_of(h, wa, wb);
        unsigned uneven = wa > wb ? wa - wb : wb - wa;
        unsigned best = c->bits[0] > c->bits[1] ? c->bits[0] - c->bits[1] : c->bits[1] - c->bits[0];
        if (n < least || (n == least && uneven < best)) {
            least = n;
            c->bits[0] = wa;
            c->bits[1] = wb;
        }
    }
    return least;
}

static struct grid grid_of(const struct part *p)
{
    struct grid c = {0};
    for (unsigned d = 0; d < 2; d++) {
        unsigned in_word = p->g.bits[d] > 64 ? p->g.bits[d] - 64 : p->g.bits[d];
        c.max[d] = in_word < CUT_BITS ? in_word : CUT_BITS;
    }
    return c;
}

/* The widest cut, of at least `least` bits, that copies rules no more than is allowed: 1 made, 0 none, -1 error. */
static int cut_make(struct build *b, uint32_t at, const struct part *p, shape h, unsigned least)
{
    struct grid c = grid_of(p);
    unsigned bits = width_of(p->n);
    struct paint x = {.spot = malloc(p->n * 2 * sizeof *x.spot)};
    x.open = malloc(((size_t)1 << CUT_BITS) / 8);
    int rc = x.spot && x.open ? 0 : out_of_memory(b);
    for (bits = bits < CUT_BITS ? bits : CUT_BITS; !rc && bits >= least; bits--) {
        uint64_t copies = divide(h, bits, &c);
        if (copies == UINT64_MAX || copies > (uint64_t)p->n * 256)
            continue;
        size_t cells = (size_t)1 << bits, more = p->n * bits / 12;
        x.max = p->n + (more < p->n ? more : p->n);
        b->work += p->n;
        memset(x.open, 0xff, cells < 8 ? 8 : cells / 8 + 8);
        x.nopen = cells;
        x.n = 0;
        if (paint_all(b, &x, p, &c)) {
            free(x.open);
            x.open = NULL;
            rc = cut_finish(b, at, p, &c, &x);
            break;
        }
    }
    free(x.spot);
    free(x.open);
    return rc;
}

/* --- a part --- */

/* Parts rules so that most of them can be cut without a copy, and the others are apart: 1 made, 0 not worth it. */
static int part_make(struct build *b, uint32_t at, const struct part *p, shape h)
{
    const struct grid c = grid_of(p);
    unsigned bits = width_of(p->n), best[2] = {0};
    size_t most = 0;
    for (bits = bits < CUT_BITS ? bits : CUT_BITS; bits >= 2 && most < p->n / 2; bits--)
        for (unsigned wa = 0; wa <= bits; wa++) {
            if (wa > c.max[0] || bits - wa > c.max[1])
                continue;
            size_t n = 0;
            for (unsigned i = wa; i <= CUT_BITS; i++)
                for (unsigned k = bits - wa; k <= CUT_BITS; k++)
                    n += h[i][k];
            if (n > most && n < p->n) {
                most = n;
                best[0] = wa;
                best[1] = bits - wa;
            }
        }
    if (most < p->n / 4 || p->both >= BOTH_MAX)
        return 0;
    bool *first = malloc(p->n * sizeof *first);
    if (!first)
        return out_of_memory(b);
    for (size_t i = 0; i < p->n; i++) {
        first[i] = true;
        for (unsigned d = 0; d < 2; d++) {
            const struct tree_ent *e = &b->t->ent[p->v[i]];
            if (p->g.bits[d] - width_of(clip_hi(e, &p->g, d) - clip_lo(e, &p->g, d)) < best[d])
                first[i] = false;
        }
    }
    int rc = both_make(b, at, p, first) ? -1 : 1;
    free(first);
    return rc;
}

/* Rules that fill the part, apart from those that do not. */
static int full_make(struct build *b, uint32_t at, const struct part *p)
{
    bool *first = malloc(p->n * sizeof *first);
    size_t n = 0;
    if (!first)
        return out_of_memory(b);
    for (size_t i = 0; i < p->n; i++) {
        const struct tree_ent *e = &b->t->ent[p->v[i]];
        first[i] = full(e, &p->g, 0) && full(e, &p->g, 1);
        n += first[i];
    }
    int rc = 0;
    if (n == p->n)
        rc = index_make(b, at, p) ? -1 : 1;
    else if (n > LEAF_MAX && n >= p->n / 4 && p->both < BOTH_MAX)
        rc = both_make(b, at, p, first) ? -1 : 1;
    free(first);
    return rc;
}

static int part_build(struct build *b, uint32_t at, struct part p)
{
    p.n = prune(b, p.v, p.n, &p.g);
    if (!p.n)
        return 0; /* as nodes_add left it */
    if (p.n <= LEAF_WANTED)
        return leaf_make(b, at, &p);
    int rc = 0;
    b->work += p.n;
    if (p.depth < DEPTH_MAX && b->copies < COPIES_MAX(b->t->nent) && b->work < WORK_MAX(b->t->nent)) {
        shape h;
        for (unsigned d = 0; d < 2 && !rc; d++)
            rc = box_make(b, at, &p, d);
        if (!rc && p.n > LEAF_MAX)
            rc = full_make(b, at, &p);
        if (!rc) {
            part_shape(b, &p, h);
            rc = cut_make(b, at, &p, h, p.n > LEAF_MAX ? 3 : 2);
        }
        if (!rc && p.n > LEAF_MAX)
            rc = part_make(b, at, &p, h);
        if (!rc)
            rc = cut_make(b, at, &p, h, 1);
    }
    if (rc)
        return rc < 0 ? -1 : 0;
    if (p.n <= LEAF_MAX)
        return leaf_make(b, at, &p);
    return held_by(b, &p, 0) * held_by(b, &p, 1) > (double)p.n ? scan_make(b, at, &p) : pairs_make(b, at, &p);
}

/* --- a tree --- */

size_t dt_tree_boxes(const struct dt_rule *r)
{
    size_t from = r->from.n ? r->from.n : 1, to = r->to.n ? r->to.n : 1;
    return from * to; /* DT_RULE_RANGES_MAX on either side: far from overflow */
}

static bool range_of(const struct dt_addrset *s, size_t i, bool v6, u128 *lo, u128 *hi)
{
    if (!s->n) {
        *lo = 0;
        *hi = low_ones(v6 ? 128 : 32);
        return true;
    }
    const struct dt_range *r = &s->v[i];
    if ((r->from.ver == 6) != v6)
        return false;
    *lo = v6 ? (u128)dt_get_be64(r->from.b) << 64 | dt_get_be64(r->from.b + 8) : dt_get_be32(r->from.b);
    *hi = v6 ? (u128)dt_get_be64(r->to.b) << 64 | dt_get_be64(r->to.b + 8) : dt_get_be32(r->to.b);
    return true;
}

/* The rule's protocol and ports: themselves where they make one box, else a list. */
static int l4_make(struct dt_tree *t, const struct dt_rule *r, struct l4_rule *out)
{
    size_t n = dt_l4_boxes(r);
    if (n == 1) {
        dt_l4_box(r, 0, out);
        return 0;
    }
    if (!ROOM(t->l4, t->nl4, &t->cap_l4, n + 1)) {
        t->nl4 = 0;
        return -1;
    }
    *out = (struct l4_rule){
        .order = r->index, .ports = TREE_L4_LIST, .slo = (uint16_t)t->nl4, .shi = (uint16_t)(t->nl4 >> 16)};
    for (size_t i = 0; dt_l4_box(r, i, &t->l4[t->nl4]); i++)
        t->nl4++;
    t->l4[t->nl4++].order = DT_NO_RULE;
    return 0;
}

int dt_tree_add(struct dt_tree *t, const struct dt_rule *r)
{
    struct tree_ent e = {0};
    bool l4 = false;
    for (size_t i = 0; i < (r->from.n ? r->from.n : 1); i++)
        for (size_t k = 0; k < (r->to.n ? r->to.n : 1); k++) {
            if (!range_of(&r->from, i, t->v6, &e.lo[0], &e.hi[0]) ||
                !range_of(&r->to, k, t->v6, &e.lo[1], &e.hi[1]))
                continue;
            if (!l4 && l4_make(t, r, &e.l4))
                return -1;
            l4 = true;
            if (!ROOM(t->ent, t->nent, &t->cap_ent, 1)) {
                t->nent = 0;
                return -1;
            }
            t->ent[t->nent++] = e;
        }
    return 0;
}

/* The node array begins on a cache line. */
static int nodes_settle(struct build *b)
{
    struct dt_tree *t = b->t;
    struct tree_node *n = aligned_alloc(64, (t->nnode * sizeof *n + 63) & ~(size_t)63);
    if (!n)
        return out_of_memory(b);
    memcpy(n, t->node, t->nnode * sizeof *n);
    free(t->node);
    t->node = n;
    free(t->ent);
    t->ent = NULL;
    return 0;
}

int dt_tree_finish(struct dt_tree *t, const struct dt_rules *rs, struct dt_err *err)
{
    struct build b = {.t = t, .rs = rs, .err = err, .shift = 63};
    const size_t n = t->nent;
    size_t lately = 2;
    for (; lately < n && lately < LATELY_MAX; lately *= 2)
        b.shift--;
    b.lately = calloc(lately, sizeof *b.lately);
    struct part all = {malloc((n + 1) * sizeof *all.v), n, {.bits = {32, 32}}, 0, 0};
    if (t->v6)
        all.g.bits[0] = all.g.bits[1] = 128;
    int rc = b.lately && all.v && nodes_add(&b, 1) == 0 ? 0 : out_of_memory(&b);
    for (size_t i = 0; i < n && !rc; i++)
        all.v[i] = (uint32_t)i;
    if (!rc)
        rc = part_build(&b, 0, all);
    if (!rc)
        rc = nodes_settle(&b);
    free(all.v);
    free(b.lately);
    return rc;
}
