#include "policy/match_dim.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/grow.h"
#include "base/hash.h"

typedef unsigned __int128 u128;

static const struct dt_siphash_key hash_key = {{0x646f76657461696cu, 0x64696d656e73696fu}};

/* --- sets --- */

struct dim_set *dt_dim_set_get(struct dim *d, const struct dt_range *v, size_t n, bool copy)
{
    uint64_t h = copy ? dt_siphash(&hash_key, v, sizeof *v)
                      : dt_siphash(&hash_key, &v, sizeof(const struct dt_range *));
    for (struct dt_table_node *t = dt_table_first(&d->sets, h); t; t = dt_table_next(t)) {
        struct dim_set *s = DT_CONTAINER_OF(t, struct dim_set, node);
        if (copy ? s->v == &s->own && !memcmp(&s->own, v, sizeof *v) : s->v == v)
            return s;
    }
    struct dim_set *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    if (dt_grow(d->by_id, d->cap, d->nset, 16)) {
        free(s);
        return NULL;
    }
    s->v = v;
    s->n = n;
    if (copy) {
        s->own = *v;
        s->v = &s->own;
    }
    s->min = DT_NO_RULE;
    if (dt_table_insert(&d->sets, &s->node, h)) {
        free(s);
        return NULL;
    }
    d->by_id[d->nset++] = s;
    s->id = (uint32_t)d->nset;
    return s;
}

static void sets_free(struct dim *d)
{
    for (size_t i = 0; i < d->nset; i++)
        free(d->by_id[i]);
    free(d->by_id);
    dt_table_free(&d->sets);
    d->by_id = NULL;
    d->nset = d->cap = 0;
}

/* --- chains --- */

struct chain_node {
    struct dt_table_node node;
    uint32_t at, n;
};

/* The place of the chain of these sets, which is made when it is new; DIM_NONE when there are too many. */
static uint32_t chain_get(struct dim *d, struct dim_set *const *sets, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ sets[i]->id) * 0x100000001b3u;
    h ^= h >> 29;
    for (struct dt_table_node *t = dt_table_first(&d->chains, h); t; t = dt_table_next(t)) {
        struct chain_node *c = DT_CONTAINER_OF(t, struct chain_node, node);
        size_t i = 0;
        while (c->n == n && i < n && d->links[c->at + i].set == sets[i]->id)
            i++;
        if (c->n == n && i == n)
            return c->at;
    }
    if (d->nlinks + n + 1 > DIM_ENTRIES_MAX)
        return DIM_NONE;
    if (d->nlinks + n + 1 > d->cap_links) {
        size_t want = (d->nlinks + n + 1) * 2;
        struct dim_link *p = realloc(d->links, want * sizeof *p);
        if (!p)
            return DIM_NONE;
        d->links = p;
        d->cap_links = want;
    }
    struct chain_node *c = malloc(sizeof *c);
    if (!c || dt_table_insert(&d->chains, &c->node, h)) {
        free(c);
        return DIM_NONE;
    }
    c->at = (uint32_t)d->nlinks;
    c->n = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        d->links[d->nlinks++] = (struct dim_link){sets[i]->id, sets[i]->min, sets[i]->partners};
    d->links[d->nlinks++] = (struct dim_link){.min = DT_NO_RULE};
    return c->at;
}

static void chains_free(struct dim *d)
{
    struct dt_table_iter it = {0};
    for (struct dt_table_node *t; (t = dt_table_iterate(&d->chains, &it));) {
        dt_table_remove(&d->chains, t);
        free(DT_CONTAINER_OF(t, struct chain_node, node));
    }
    dt_table_free(&d->chains);
}

/* --- elementary intervals --- */

struct edge {
    u128 at;
    struct dim_set *set;
    bool begins;
};

static u128 addr_value(const struct dt_addr *a)
{
    return a->ver == 4 ? dt_get_be32(a->b) : (u128)dt_get_be64(a->b) << 64 | dt_get_be64(a->b + 8);
}

static int by_at(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The edges of all sets' ranges of one version. */
static struct edge *edges_make(const struct dim *d, uint8_t ver, size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < d->nset; i++)
        n += d->by_id[i]->v ? d->by_id[i]->n * 2 : 2;
    struct edge *e = malloc((n + 1) * sizeof *e);
    u128 last = ver == 4 ? UINT32_MAX : ~(u128)0;
    *count = 0;
    for (size_t i = 0; e && i < d->nset; i++) {
        struct dim_set *s = d->by_id[i];
        if (!s->v)
            e[(*count)++] = (struct edge){0, s, true};
        for (size_t k = 0; s->v && k < s->n; k++) {
            if (s->v[k].from.ver != ver)
                continue;
            u128 to = addr_value(&s->v[k].to);
            e[(*count)++] = (struct edge){addr_value(&s->v[k].from), s, true};
            if (to != last)
                e[(*count)++] = (struct edge){to + 1, s, false};
        }
    }
    if (e)
        qsort(e, *count, sizeof *e, by_at);
    return e;
}

struct cuts {
    u128 *at;
    uint32_t *chain;
    size_t n;
};

struct active {
    struct dim_set **v; /* by min, then id */
    size_t n;
};

static size_t active_find(const struct active *a, const struct dim_set *s)
{
    size_t lo = 0, hi = a->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct dim_set *m = a->v[mid];
        if (m->min < s->min || (m->min == s->min && m->id < s->id))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void active_apply(struct active *a, const struct edge *e)
{
    size_t i = active_find(a, e->set);
    if (e->begins) {
        memmove(a->v + i + 1, a->v + i, (a->n - i) * sizeof(struct dim_set *));
        a->v[i] = e->set;
        a->n++;
    } else {
        memmove(a->v + i, a->v + i + 1, (a->n - i - 1) * sizeof(struct dim_set *));
        a->n--;
    }
}

/* Sweeps over the edges; neighbours with the same chain become one interval. */
static int dim_sweep(struct dim *d, uint8_t ver, struct cuts *out, struct dt_err *err)
{
    size_t n;
    struct edge *e = edges_make(d, ver, &n);
    struct active a = {.v = malloc((d->nset + 1) * sizeof(struct dim_set *))};
    out->at = malloc((n + 1) * sizeof *out->at);
    out->chain = malloc((n + 1) * sizeof *out->chain);
    int rc = e && a.v && out->at && out->chain ? 0 : dt_err_set(err, 0, "out of memory");
    out->n = 0;
    for (size_t i = 0; !rc;) {
        u128 at = i < n && out->n ? e[i].at : 0;
        while (i < n && e[i].at == at)
            active_apply(&a, &e[i++]);
        uint32_t c = chain_get(d, a.v, a.n);
        if (c == DIM_NONE)
            rc = dt_err_set(err, 0,
                            "the rules' addresses overlap too much: more than %zu links, or memory is out",
                            DIM_ENTRIES_MAX);
        else if (!out->n || out->chain[out->n - 1] != c) {
            out->at[out->n] = at;
            out->chain[out->n++] = c;
        }
        if (i == n)
            break;
    }
    free(e);
    free(a.v);
    return rc;
}

/* --- search trees --- */

#define B4 16
#define B8 8

static void *line_alloc(size_t n, size_t size)
{
    return aligned_alloc(64, (n * size + 63) / 64 * 64);
}

/* Each level holds every (block)th key of the one below, padded with the largest key to whole blocks. */
#define TREE_MAKE(name, tree, type, block)                                                                   \
    static int name(struct tree *t, size_t n, type (*get)(const struct cuts *, size_t),                      \
                    const struct cuts *c)                                                                    \
    {                                                                                                        \
        for (t->levels = 0;; n = (n + (block)-1) / (block)) {                                                \
            size_t padded = (n + (block)-1) / (block) * (block);                                             \
            type *k = line_alloc(padded, sizeof *k);                                                         \
            if (!k || t->levels == DIM_LEVELS) {                                                             \
                free(k);                                                                                     \
                return -1;                                                                                   \
            }                                                                                                \
            for (size_t i = 0; i < padded; i++)                                                              \
                k[i] = i >= n ? (type)-1 : t->levels ? t->key[t->levels - 1][i * (block)] : get(c, i);       \
            t->n[t->levels] = n;                                                                             \
            t->key[t->levels++] = k;                                                                         \
            if (n <= (block))                                                                                \
                return 0;                                                                                    \
        }                                                                                                    \
    }

static uint32_t cut4(const struct cuts *c, size_t i)
{
    return (uint32_t)c->at[i];
}

static uint64_t high6(const struct cuts *c, size_t i)
{
    return (uint64_t)(c->at[i] >> 64);
}

TREE_MAKE(tree4_make, dim_tree4, uint32_t, B4)
TREE_MAKE(tree8_make, dim_tree8, uint64_t, B8)

typedef uint32_t vec4 __attribute__((vector_size(16)));

/* Index of the last key at or below x. The first key of all is 0, and a block's first key is at or below x
 * once the level above has chosen it, so at least one key counts; padding counts only where x is the largest
 * value. */
static size_t tree4_find(const struct dim_tree4 *t, uint32_t x)
{
    size_t at = 0;
    vec4 want = {x, x, x, x};
    for (unsigned l = t->levels; l-- > 0;) {
        const vec4 *k = (const vec4 *)(const void *)(t->key[l] + at * B4);
        vec4 c = (vec4)(k[0] <= want) + (vec4)(k[1] <= want) + (vec4)(k[2] <= want) + (vec4)(k[3] <= want);
        uint32_t count = 0u - (c[0] + c[1] + c[2] + c[3]); /* a lane that holds is all ones */
        at = at * B4 + count - 1;
        at = at < t->n[l] ? at : t->n[l] - 1;
    }
    return at;
}

static size_t tree8_find(const struct dim_tree8 *t, uint64_t x)
{
    size_t at = 0;
    for (unsigned l = t->levels; l-- > 0;) {
        const uint64_t *k = t->key[l] + at * B8;
        size_t c = 0;
        for (unsigned i = 0; i < B8; i++)
            c += k[i] <= x;
        at = at * B8 + c - 1;
        at = at < t->n[l] ? at : t->n[l] - 1;
    }
    return at;
}

static int make4(struct dim *d, struct dt_err *err)
{
    struct cuts c = {0};
    int rc = dim_sweep(d, 4, &c, err);
    if (!rc && tree4_make(&d->t4, c.n, cut4, &c))
        rc = dt_err_set(err, 0, "out of memory");
    free(c.at);
    d->chain4 = c.chain;
    d->bytes += c.n * 8;
    return rc;
}

static int make6(struct dim *d, struct dt_err *err)
{
    struct cuts c = {0}, highs = {0};
    int rc = dim_sweep(d, 6, &c, err);
    d->chain6 = c.chain;
    d->low6 = malloc((c.n + 1) * sizeof *d->low6);
    d->first6 = malloc((c.n + 1) * sizeof *d->first6);
    highs.at = malloc((c.n + 1) * sizeof *highs.at);
    if (!rc && (!d->low6 || !d->first6 || !highs.at))
        rc = dt_err_set(err, 0, "out of memory");
    for (size_t i = 0; !rc && i < c.n; i++) {
        d->low6[i] = (uint64_t)c.at[i];
        if (!i || high6(&c, i) != high6(&c, i - 1)) {
            d->first6[highs.n] = (uint32_t)i;
            highs.at[highs.n++] = c.at[i];
        }
    }
    if (!rc) {
        d->first6[highs.n] = (uint32_t)c.n;
        if (tree8_make(&d->t6, highs.n, high6, &highs))
            rc = dt_err_set(err, 0, "out of memory");
    }
    d->bytes += c.n * 24;
    free(highs.at);
    free(c.at);
    return rc;
}

int dt_dim_finish(struct dim *d, struct dt_err *err)
{
    int rc = make4(d, err) || make6(d, err) ? -1 : 0;
    d->bytes += d->nlinks * sizeof *d->links;
    chains_free(d);
    sets_free(d);
    return rc;
}

void dt_dim_free(struct dim *d)
{
    chains_free(d);
    sets_free(d);
    for (unsigned i = 0; i < d->t4.levels; i++)
        free(d->t4.key[i]);
    for (unsigned i = 0; i < d->t6.levels; i++)
        free(d->t6.key[i]);
    free(d->chain4);
    free(d->chain6);
    free(d->first6);
    free(d->low6);
    free(d->links);
}

const struct dim_link *dt_dim_find(const struct dim *d, const struct dt_addr *a)
{
    if (a->ver == 4)
        return d->links + d->chain4[tree4_find(&d->t4, dt_get_be32(a->b))];
    uint64_t high = dt_get_be64(a->b), low = dt_get_be64(a->b + 8);
    size_t h = tree8_find(&d->t6, high);
    size_t lo = d->first6[h], hi = d->first6[h + 1];
    if (d->t6.key[0][h] != high)
        return d->links + d->chain6[hi - 1];
    while (lo < hi) { /* the first interval past low, among those under the same high bits */
        size_t mid = (lo + hi) / 2;
        if (d->low6[mid] <= low)
            lo = mid + 1;
        else
            hi = mid;
    }
    return d->links + d->chain6[lo - 1];
}
