#include "policy/match_ports.h"

#include <stdlib.h>
#include <string.h>

/* Port ranges in one dimension, cut into elementary intervals, each with its first rule. */
struct line {
    size_t n;
    uint16_t *start; /* start[0] is 0 */
    uint32_t *best;  /* DT_NO_RULE: none there */
};

/* Rules that name both ports: a segment tree over the destination port, with a line over the source port in
 * each node. Node 1 is the root, 2i and 2i + 1 are below i; the leaves are the elementary intervals. */
struct seg {
    size_t n;        /* leaves, a power of two; 0: empty */
    size_t cuts;     /* elementary intervals in use */
    uint16_t *start; /* their starts */
    struct line *node;
    uint32_t *min; /* earliest rule of the node itself */
};

struct list {
    uint32_t plain; /* first rule that names no ports */
    uint32_t min;   /* first rule of all */
    struct line sport, dport;
    struct seg both;
};

struct l4_index {
    uint8_t of[256]; /* protocol to list; list 0 serves rules of any protocol, and those without one */
    size_t n;
    size_t bytes;
    struct list *list;
};

struct span {
    uint32_t order;
    uint16_t lo, hi;
};

static size_t find_cut(const uint16_t *start, size_t n, uint16_t port)
{
    size_t at = 0;
    while (n > 1) { /* the last start at or below port; start[0] is 0 */
        size_t half = n / 2;
        at += start[at + half] <= port ? half : 0;
        n -= half;
    }
    return at;
}

/* The sorted, distinct starts of elementary intervals that n spans make; returns how many, 0 when memory is
 * out. */
static size_t make_cuts(const struct span *v, size_t n, uint16_t **out)
{
    uint8_t *mark = calloc(65537, 1);
    if (!mark)
        return 0;
    size_t count = 0;
    mark[0] = 1;
    for (size_t i = 0; i < n; i++)
        mark[v[i].lo] = mark[v[i].hi + 1] = 1;
    for (size_t i = 0; i < 65536; i++)
        count += mark[i];
    *out = malloc(count * sizeof **out);
    for (size_t i = 0, k = 0; *out && i < 65536; i++)
        if (mark[i])
            (*out)[k++] = (uint16_t)i;
    free(mark);
    return *out ? count : 0;
}

/* The first cut at or after i that has no rule yet; the path is halved on the way. */
static size_t unpainted(uint32_t *next, size_t i)
{
    while (next[i] != i)
        i = next[i] = next[next[i]];
    return i;
}

/* v in order: each paints what none before it has painted. */
static int line_make(struct line *l, const struct span *v, size_t n)
{
    *l = (struct line){0};
    if (!n)
        return 0;
    l->n = make_cuts(v, n, &l->start);
    uint32_t *next = malloc((l->n + 1) * sizeof *next);
    l->best = malloc((l->n + 1) * sizeof *l->best);
    if (!l->n || !next || !l->best) {
        free(next);
        return -1;
    }
    for (size_t i = 0; i <= l->n; i++) {
        next[i] = (uint32_t)i;
        l->best[i] = DT_NO_RULE;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t at = unpainted(next, find_cut(l->start, l->n, v[i].lo));
             at < l->n && l->start[at] <= v[i].hi; at = unpainted(next, at)) {
            l->best[at] = v[i].order;
            next[at] = (uint32_t)at + 1;
        }
    free(next);
    return 0;
}

static void line_free(struct line *l)
{
    free(l->start);
    free(l->best);
}

static uint32_t line_find(const struct line *l, uint16_t port, uint32_t best)
{
    if (!l->n)
        return best;
    uint32_t r = l->best[find_cut(l->start, l->n, port)];
    return r < best ? r : best;
}

/* Runs visit(node) for the O(log n) nodes that make up cuts lo to hi. */
#define SEG_COVER(s, lo, hi, visit)                                                                          \
    for (size_t a_ = (lo) + (s)->n, b_ = (hi) + (s)->n + 1; a_ < b_; a_ /= 2, b_ /= 2) {                     \
        if (a_ & 1)                                                                                          \
            visit(a_++);                                                                                     \
        if (b_ & 1)                                                                                          \
            visit(--b_);                                                                                     \
    }

static int seg_make(struct seg *s, const struct l4_rule *v, size_t n)
{
    *s = (struct seg){0};
    if (!n)
        return 0;
    struct span *d = malloc(n * sizeof *d);
    if (!d)
        return -1;
    for (size_t i = 0; i < n; i++)
        d[i] = (struct span){v[i].order, v[i].dlo, v[i].dhi};
    s->cuts = make_cuts(d, n, &s->start);
    for (s->n = 1; s->n < s->cuts; s->n *= 2)
        ;
    s->node = calloc(s->n * 2, sizeof *s->node);
    s->min = malloc(s->n * 2 * sizeof *s->min);
    size_t *count = calloc(s->n * 2 + 1, sizeof *count);
    struct span *spans = NULL;
    int rc = !s->cuts || !s->node || !s->min || !count ? -1 : 0;
    if (!rc) {
        memset(s->min, 0xff, s->n * 2 * sizeof *s->min);
        for (size_t i = 0; i < n; i++) {
#define COUNT(x) count[(x) + 1]++
            SEG_COVER(s, find_cut(s->start, s->cuts, d[i].lo), find_cut(s->start, s->cuts, d[i].hi), COUNT)
        }
        for (size_t i = 0; i < s->n * 2; i++)
            count[i + 1] += count[i];
        spans = malloc((count[s->n * 2] + 1) * sizeof *spans);
        size_t *at = malloc(s->n * 2 * sizeof *at);
        rc = spans && at ? 0 : -1;
        if (!rc) {
            memcpy(at, count, s->n * 2 * sizeof *at);
            for (size_t i = 0; i < n; i++) {
#define PUT(x)                                                                                               \
    do {                                                                                                     \
        size_t x_ = (x);                                                                                     \
        spans[at[x_]++] = (struct span){v[i].order, v[i].slo, v[i].shi};                                     \
        if (v[i].order < s->min[x_])                                                                         \
            s->min[x_] = v[i].order;                                                                         \
    } while (0)
                SEG_COVER(s, find_cut(s->start, s->cuts, d[i].lo), find_cut(s->start, s->cuts, d[i].hi), PUT)
            }
            for (size_t i = 1; i < s->n * 2 && !rc; i++)
                rc = line_make(&s->node[i], spans + count[i], count[i + 1] - count[i]);
        }
        free(at);
    }
    free(spans);
    free(count);
    free(d);
    return rc;
}

static void seg_free(struct seg *s)
{
    for (size_t i = 1; s->node && i < s->n * 2; i++)
        line_free(&s->node[i]);
    free(s->node);
    free(s->min);
    free(s->start);
}

static uint32_t seg_find(const struct seg *s, uint16_t sport, uint16_t dport, uint32_t best)
{
    if (!s->n)
        return best;
    for (size_t i = find_cut(s->start, s->cuts, dport) + s->n; i; i /= 2)
        if (s->min[i] < best)
            best = line_find(&s->node[i], sport, best);
    return best;
}

/* The rules of one protocol (0: of any), in order. */
static int list_make(struct list *l, const struct l4_rule *v, size_t n, uint8_t proto)
{
    struct span *s = malloc((n + 1) * sizeof *s), *d = malloc((n + 1) * sizeof *d);
    struct l4_rule *both = malloc((n + 1) * sizeof *both);
    size_t ns = 0, nd = 0, nb = 0;
    *l = (struct list){.plain = DT_NO_RULE, .min = DT_NO_RULE};
    int rc = s && d && both ? 0 : -1;
    for (size_t i = 0; i < n && !rc; i++) {
        if (v[i].proto != proto)
            continue;
        if (v[i].order < l->min)
            l->min = v[i].order;
        if (!v[i].ports && v[i].order < l->plain)
            l->plain = v[i].order;
        else if (v[i].ports == L4_SPORT)
            s[ns++] = (struct span){v[i].order, v[i].slo, v[i].shi};
        else if (v[i].ports == L4_DPORT)
            d[nd++] = (struct span){v[i].order, v[i].dlo, v[i].dhi};
        else if (v[i].ports)
            both[nb++] = v[i];
    }
    if (!rc && (line_make(&l->sport, s, ns) || line_make(&l->dport, d, nd) || seg_make(&l->both, both, nb)))
        rc = -1;
    free(s);
    free(d);
    free(both);
    return rc;
}

static void l4_list_free(struct list *l)
{
    line_free(&l->sport);
    line_free(&l->dport);
    seg_free(&l->both);
}

static size_t line_bytes(const struct line *l)
{
    return l->n * (sizeof *l->start + sizeof *l->best);
}

static size_t list_bytes(const struct list *l)
{
    size_t n = sizeof *l + line_bytes(&l->sport) + line_bytes(&l->dport);
    n += l->both.n * 2 * (sizeof *l->both.node + sizeof *l->both.min) + l->both.cuts * sizeof *l->both.start;
    for (size_t i = 1; i < l->both.n * 2; i++)
        n += line_bytes(&l->both.node[i]);
    return n;
}

size_t dt_l4_boxes(const struct dt_rule *r)
{
    return (r->nproto ? r->nproto : 1u) * (r->nsport ? r->nsport : 1u) * (r->ndport ? r->ndport : 1u);
}

bool dt_l4_box(const struct dt_rule *r, size_t i, struct l4_rule *out)
{
    static const struct dt_ports all = {0, 65535};
    if (i >= dt_l4_boxes(r))
        return false;
    size_t nd = r->ndport ? r->ndport : 1u, ns = r->nsport ? r->nsport : 1u;
    struct dt_ports d = r->ndport ? r->dport[i % nd] : all, s = r->nsport ? r->sport[i / nd % ns] : all;
    *out = (struct l4_rule){.order = r->index,
                            .proto = r->nproto ? r->proto[i / nd / ns] : 0,
                            .ports = (uint8_t)((r->nsport ? L4_SPORT : 0) | (r->ndport ? L4_DPORT : 0)),
                            .slo = s.from,
                            .shi = s.to,
                            .dlo = d.from,
                            .dhi = d.to};
    return true;
}

struct l4_index *dt_l4_index_new(const struct l4_rule *v, size_t n)
{
    struct l4_index *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->n = 1;
    for (size_t i = 0; i < n; i++)
        if (v[i].proto && !x->of[v[i].proto])
            x->of[v[i].proto] = (uint8_t)x->n++;
    x->list = calloc(x->n, sizeof *x->list);
    int rc = x->list ? list_make(&x->list[0], v, n, 0) : -1;
    for (unsigned p = 1; p < 256 && !rc; p++)
        if (x->of[p])
            rc = list_make(&x->list[x->of[p]], v, n, (uint8_t)p);
    if (rc) {
        dt_l4_index_free(x);
        return NULL;
    }
    x->bytes = sizeof *x;
    for (size_t i = 0; i < x->n; i++)
        x->bytes += list_bytes(&x->list[i]);
    return x;
}

void dt_l4_index_free(struct l4_index *x)
{
    if (!x)
        return;
    for (size_t i = 0; x->list && i < x->n; i++)
        l4_list_free(&x->list[i]);
    free(x->list);
    free(x);
}

size_t dt_l4_index_bytes(const struct l4_index *x)
{
    return x->bytes;
}

static uint32_t list_find(const struct list *l, const struct dt_flow *f, uint32_t best)
{
    if (l->min >= best)
        return best;
    if (l->plain < best)
        best = l->plain;
    if (!f->ports)
        return best;
    best = line_find(&l->dport, f->dport, best);
    best = line_find(&l->sport, f->sport, best);
    return seg_find(&l->both, f->sport, f->dport, best);
}

uint32_t dt_l4_index_find(const struct l4_index *x, const struct dt_flow *f, uint32_t best)
{
    if (x->of[f->proto])
        best = list_find(&x->list[x->of[f->proto]], f, best);
    return list_find(&x->list[0], f, best);
}
