#include "policy/match_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/grow.h"
#include "policy/match_dim.h"

#define LIST_MAX   8          /* a pair with more boxes than these gets an index of its own */
#define CUT_PIECES 64         /* a rule's addresses are cut into prefixes while these make no more pairs */
#define PAIRS_MAX  (8u << 20) /* pairs for which rules are cut into prefixes; past it, whole sets are paired */
#define L4_INDEXED 0x80000000u

/* A slot of the pair table; key 0 is free. */
struct slot {
    uint64_t key; /* source set, destination set */
    uint32_t min; /* the pair's first rule */
    uint32_t l4;  /* place of its list, or with L4_INDEXED of its index */
};

/* A rule's box under one pair. */
struct item {
    uint64_t key;
    struct l4_rule r;
};

struct dt_pairs {
    struct dim src, dst;
    struct slot *slot;
    unsigned shift; /* 64 - log2 of the number of slots */
    size_t nslot;
    uint64_t *seen; /* eight bits a slot, small enough for the cache: no pair where the bit is clear */
    struct l4_rule *l4;
    size_t nl4;
    struct l4_index **index;
    size_t nindex;
    struct item *item; /* while building */
    size_t nitem, cap;
};

/* --- building --- */

static struct dt_addr addr_from(unsigned __int128 v, uint8_t ver)
{
    if (ver == 4)
        return dt_addr4((uint32_t)v);
    struct dt_addr a = {.ver = 6};
    dt_put_be64(a.b, (uint64_t)(v >> 64));
    dt_put_be64(a.b + 8, (uint64_t)v);
    return a;
}

static unsigned __int128 addr_to(const struct dt_addr *a)
{
    return a->ver == 4 ? dt_get_be32(a->b)
                       : (unsigned __int128)dt_get_be64(a->b) << 64 | dt_get_be64(a->b + 8);
}

/* The prefixes that make up a set, at most cap; 0 when there are more. */
static size_t cut(const struct dt_addrset *s, struct dt_range *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint8_t ver = s->v[i].from.ver;
        unsigned bits = ver == 4 ? 32 : 128;
        unsigned __int128 at = addr_to(&s->v[i].from), to = addr_to(&s->v[i].to);
        for (;;) {
            unsigned k = 0; /* the largest aligned block of 2^k addresses from `at` that does not pass `to` */
            while (k < bits) {
                unsigned __int128 span =
                    (((unsigned __int128)1 << k) << 1) - 1; /* all ones once 2^128 is due */
                if (at & span || to - at < span)
                    break;
                k++;
            }
            unsigned __int128 end = at + (k == 128 ? ~(unsigned __int128)0 : ((unsigned __int128)1 << k) - 1);
            if (n == cap)
                return 0;
            out[n++] = (struct dt_range){addr_from(at, ver), addr_from(end, ver)};
            if (end == to)
                break;
            at = end + 1;
        }
    }
    return n;
}

/* The sets that one side of a rule becomes: the any set, its prefixes when they are few, or the set as a
 * whole. */
static size_t side_sets(struct dim *d, const struct dt_addrset *s, const struct dt_range *piece,
                        size_t pieces, struct dim_set **out)
{
    if (!pieces) {
        out[0] = dt_dim_set_get(d, s->n ? s->v : NULL, s->n, false);
        return out[0] ? 1 : 0;
    }
    for (size_t i = 0; i < pieces; i++)
        if (!(out[i] = dt_dim_set_get(d, &piece[i], 1, true)))
            return 0;
    return pieces;
}

static int pair_put(struct dt_pairs *s, uint64_t key, const struct l4_rule *r)
{
    if (dt_grow(s->item, s->cap, s->nitem, 64))
        return -1;
    s->item[s->nitem++] = (struct item){key, *r};
    return 0;
}

/* Every box of protocol and ports of a rule, under one pair. */
static int put_boxes(struct dt_pairs *s, uint64_t key, const struct dt_rule *r)
{
    struct l4_rule l;
    for (size_t i = 0; dt_l4_box(r, i, &l); i++)
        if (pair_put(s, key, &l))
            return -1;
    return 0;
}

int dt_pairs_add(struct dt_pairs *s, const struct dt_rule *r, const struct dt_range *box)
{
    struct dt_range from[CUT_PIECES], to[CUT_PIECES];
    size_t nf = 1, nt = 1, boxes = dt_l4_boxes(r);
    if (box) {
        from[0] = box[0];
        to[0] = box[1];
    } else {
        nf = cut(&r->from, from, CUT_PIECES);
        nt = cut(&r->to, to, CUT_PIECES);
        if (s->nitem > PAIRS_MAX)
            nf = nt = 0;
        while (nf + nt && (nf ? nf : 1) * (nt ? nt : 1) * boxes > CUT_PIECES)
            *(nf > nt ? &nf : &nt) = 0;
    }
    struct dim_set *f[CUT_PIECES], *t[CUT_PIECES];
    nf = side_sets(&s->src, &r->from, from, nf, f);
    nt = side_sets(&s->dst, &r->to, to, nt, t);
    int rc = nf && nt ? 0 : -1;
    for (size_t i = 0; i < nf; i++)
        for (size_t k = 0; k < nt && !rc; k++) {
            if (r->index < f[i]->min)
                f[i]->min = r->index;
            if (r->index < t[k]->min)
                t[k]->min = r->index;
            f[i]->partners |= dim_bit(t[k]->id);
            t[k]->partners |= dim_bit(f[i]->id);
            rc = put_boxes(s, (uint64_t)f[i]->id << 32 | t[k]->id, r);
        }
    return rc;
}

static int by_key(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->r.order < y->r.order ? -1 : x->r.order > y->r.order;
}

static uint64_t key_hash(uint64_t key)
{
    return (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
}

static size_t slot_of(const struct dt_pairs *s, uint64_t key)
{
    return (size_t)(key_hash(key) >> s->shift);
}

/* The slot's bit: its place among the 64-bit words is the slot's, eight slots a word. */
static size_t seen_bit(const struct dt_pairs *s, uint64_t key)
{
    return (size_t)(key_hash(key) >> (s->shift - 3));
}

static void slot_put(struct dt_pairs *s, const struct slot *add)
{
    size_t i = slot_of(s, add->key);
    while (s->slot[i].key)
        i = (i + 1) & (s->nslot - 1);
    s->slot[i] = *add;
    size_t bit = seen_bit(s, add->key);
    s->seen[bit / 64] |= (uint64_t)1 << bit % 64;
}

/* The list or index of one pair's boxes. A rule that asks for nothing ends its list: none after it is
 * reached. */
static int pair_make(struct dt_pairs *s, const struct item *v, size_t n, struct slot *out)
{
    *out = (struct slot){v[0].key, v[0].r.order, (uint32_t)s->nl4};
    size_t keep = 0;
    while (keep < n && (v[keep].r.proto || v[keep].r.ports))
        keep++;
    if (keep < n)
        n = keep + 1;
    if (n <= LIST_MAX) {
        for (size_t i = 0; i < n; i++)
            s->l4[s->nl4++] = v[i].r;
        s->l4[s->nl4++] = (struct l4_rule){.order = DT_NO_RULE};
        return 0;
    }
    struct l4_rule *r = malloc(n * sizeof *r);
    for (size_t i = 0; r && i < n; i++)
        r[i] = v[i].r;
    out->l4 = (uint32_t)s->nindex | L4_INDEXED;
    s->index[s->nindex] = r ? dt_l4_index_new(r, n) : NULL;
    free(r);
    return s->index[s->nindex++] ? 0 : -1;
}

int dt_pairs_finish(struct dt_pairs *s, struct dt_err *err)
{
    size_t pairs = 0, large = 0;
    if (s->nitem)
        qsort(s->item, s->nitem, sizeof *s->item, by_key);
    for (size_t i = 0, k; i < s->nitem; i = k, pairs++) {
        for (k = i; k < s->nitem && s->item[k].key == s->item[i].key; k++)
            ;
        large += k - i > LIST_MAX;
    }
    s->nslot = 8;
    s->shift = 61;
    for (; s->nslot < pairs * 2; s->nslot *= 2)
        s->shift--;
    s->slot = calloc(s->nslot, sizeof *s->slot);
    s->seen = calloc(s->nslot / 8, sizeof *s->seen);
    s->l4 = malloc((s->nitem + pairs + 1) * sizeof *s->l4);
    s->index = calloc(large + 1, sizeof(struct l4_index *));
    if (!s->slot || !s->seen || !s->l4 || !s->index)
        return dt_err_set(err, 0, "out of memory");
    for (size_t i = 0, k; i < s->nitem; i = k) {
        for (k = i; k < s->nitem && s->item[k].key == s->item[i].key; k++)
            ;
        struct slot at;
        if (pair_make(s, s->item + i, k - i, &at))
            return dt_err_set(err, 0, "out of memory");
        slot_put(s, &at);
    }
    free(s->item);
    s->item = NULL;
    s->nitem = s->cap = 0;
    return dt_dim_finish(&s->src, err) || dt_dim_finish(&s->dst, err) ? -1 : 0;
}

struct dt_pairs *dt_pairs_new(void)
{
    return calloc(1, sizeof(struct dt_pairs));
}

void dt_pairs_free(struct dt_pairs *s)
{
    if (!s)
        return;
    dt_dim_free(&s->src);
    dt_dim_free(&s->dst);
    free(s->item);
    free(s->slot);
    free(s->seen);
    free(s->l4);
    for (size_t i = 0; i < s->nindex; i++)
        dt_l4_index_free(s->index[i]);
    free(s->index);
    free(s);
}

size_t dt_pairs_bytes(const struct dt_pairs *s)
{
    size_t n =
        sizeof *s + s->src.bytes + s->dst.bytes + s->nslot * (sizeof *s->slot + 1) + s->nl4 * sizeof *s->l4;
    for (size_t i = 0; i < s->nindex; i++)
        n += dt_l4_index_bytes(s->index[i]);
    return n;
}

/* --- looking up --- */

static uint32_t pair_find(const struct dt_pairs *s, uint64_t key, const struct dt_flow *f, uint32_t best)
{
    size_t bit = seen_bit(s, key), i = slot_of(s, key);
    if (!(s->seen[bit / 64] >> bit % 64 & 1))
        return best;
    while (s->slot[i].key != key) {
        if (!s->slot[i].key)
            return best;
        i = (i + 1) & (s->nslot - 1);
    }
    const struct slot *at = &s->slot[i];
    if (at->min >= best)
        return best;
    if (at->l4 & L4_INDEXED)
        return dt_l4_index_find(s->index[at->l4 & ~L4_INDEXED], f, best);
    for (const struct l4_rule *r = s->l4 + at->l4; r->order < best; r++)
        if (l4_matches(r, f))
            return r->order;
    return best;
}

uint32_t dt_pairs_find(const struct dt_pairs *s, const struct dt_flow *f, uint32_t best)
{
    const struct dim_link *src = dt_dim_find(&s->src, &f->src), *dst = dt_dim_find(&s->dst, &f->dst);
    for (; src->min < best; src++) {
        uint64_t bit = dim_bit(src->set);
        for (const struct dim_link *d = dst; d->min < best; d++)
            if (d->partners & bit && src->partners & dim_bit(d->set))
                best = pair_find(s, (uint64_t)src->set << 32 | d->set, f, best);
    }
    return best;
}
