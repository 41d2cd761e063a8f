#include "policy/match.h"

#include <stdlib.h>

#include "policy/match_tree.h"

#define ENTS_MAX ((size_t)8 << 20) /* boxes in trees; rules past it are paired */

/* One kind of rules: transport, or tunnel and pass. */
struct side {
    struct dt_tree v4, v6;
    struct dt_pairs *large; /* rules that name too many ranges for a tree, or NULL */
    uint32_t large_min;     /* the first of them */
};

struct dt_match {
    struct dt_rules *rules;
    struct side transport, tunnel;
};

static int side_add(struct side *s, const struct dt_rules *rs, const struct dt_rule *r, struct dt_err *err)
{
    if (dt_l4_boxes(r) > BOXES_MAX) {
        dt_err_set(err, 0,
                   "%s: rule \"%.64s\" makes %zu combinations of protocols and ports; at most %d "
                   "are taken: split it, or use ranges",
                   dt_rule_at((char[DT_SOURCE_STRLEN]){0}, rs, r), r->name, dt_l4_boxes(r), BOXES_MAX);
        if (err && rs->sources)
            err->place = r->line;
        return -1;
    }
    if (dt_tree_boxes(r) <= TREE_BOXES_MAX && s->v4.nent + s->v6.nent < ENTS_MAX)
        return dt_tree_add(&s->v4, r) || dt_tree_add(&s->v6, r) ? dt_err_set(err, 0, "out of memory") : 0;
    if (!s->large) {
        s->large = dt_pairs_new();
        s->large_min = r->index;
    }
    return s->large ? dt_pairs_add(s->large, r, NULL) : -1;
}

static int side_make(struct side *s, const struct dt_rules *rs, bool transport, struct dt_err *err)
{
    s->v6.v6 = true;
    s->large_min = DT_NO_RULE;
    for (size_t i = 0; i < rs->n; i++)
        if ((rs->v[i].kind == DT_RULE_TRANSPORT) == transport && side_add(s, rs, &rs->v[i], err))
            return -1;
    if (dt_tree_finish(&s->v4, rs, err) || dt_tree_finish(&s->v6, rs, err))
        return -1;
    return s->large ? dt_pairs_finish(s->large, err) : 0;
}

static void side_free(struct side *s)
{
    dt_tree_free(&s->v4);
    dt_tree_free(&s->v6);
    dt_pairs_free(s->large);
}

struct dt_match *dt_match_new(struct dt_rules *rs, struct dt_err *err)
{
    struct dt_match *m = calloc(1, sizeof *m);
    if (!m) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    m->rules = dt_rules_ref(rs);
    if (side_make(&m->transport, rs, true, err) || side_make(&m->tunnel, rs, false, err)) {
        dt_match_free(m);
        return NULL;
    }
    return m;
}

void dt_match_free(struct dt_match *m)
{
    if (!m)
        return;
    side_free(&m->transport);
    side_free(&m->tunnel);
    dt_rules_unref(m->rules);
    free(m);
}

const struct dt_rules *dt_match_rules(const struct dt_match *m)
{
    return m->rules;
}

static size_t side_bytes(const struct side *s)
{
    return dt_tree_bytes(&s->v4) + dt_tree_bytes(&s->v6) + (s->large ? dt_pairs_bytes(s->large) : 0);
}

size_t dt_match_bytes(const struct dt_match *m)
{
    return sizeof *m + side_bytes(&m->transport) + side_bytes(&m->tunnel);
}

/* Addresses of two versions, which no packet has: a caller's own flow, answered the plain way. */
static uint32_t find_mixed(const struct dt_rules *rs, bool transport, const struct dt_flow *f)
{
    for (size_t i = 0; i < rs->n; i++)
        if ((rs->v[i].kind == DT_RULE_TRANSPORT) == transport && dt_rule_matches(&rs->v[i], f))
            return (uint32_t)i;
    return DT_NO_RULE;
}

static uint32_t side_find(const struct side *s, const struct dt_flow *f)
{
    uint32_t best = dt_tree_find(f->src.ver == 4 ? &s->v4 : &s->v6, f, DT_NO_RULE);
    return s->large_min < best ? dt_pairs_find(s->large, f, best) : best;
}

uint32_t dt_match_transport(const struct dt_match *m, const struct dt_flow *f)
{
    return f->src.ver == f->dst.ver ? side_find(&m->transport, f) : find_mixed(m->rules, true, f);
}

uint32_t dt_match_tunnel(const struct dt_match *m, const struct dt_flow *f)
{
    return f->src.ver == f->dst.ver ? side_find(&m->tunnel, f) : find_mixed(m->rules, false, f);
}
