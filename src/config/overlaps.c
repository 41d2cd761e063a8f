/* What tunnels protect, against each other: two for exactly the same, and exceptions that another one protects. A narrower
 * `protect` inside a wider one is in order: the narrowest wins. */
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

struct protected_range {
    const struct dt_config_tunnel *t;
    const struct dt_selector *s;
};

/* By their beginnings; of those with one beginning the widest first. */
static int by_range(const void *a, const void *b)
{
    const struct protected_range *x = a, *y = b;
    int c = dt_addr_cmp(&x->s->range.from, &y->s->range.from);
    if (c == 0)
        c = -dt_addr_cmp(&x->s->range.to, &y->s->range.to);
    return c != 0 ? c : x->t->line < y->t->line ? -1 : x->t->line > y->t->line;
}

static bool cross(const struct dt_range *a, const struct dt_range *b)
{
    return dt_addr_cmp(&b->from, &a->to) <= 0 && dt_addr_cmp(&b->to, &a->to) >= 0;
}

/* b begins no earlier than a, and does not lie inside of it. */
static void warn_of_two(struct reader *r, const struct protected_range *a, const struct protected_range *b)
{
    char x[DT_SELECTOR_STRLEN], y[DT_SELECTOR_STRLEN];
    struct dt_selector both;
    const struct dt_config_tunnel *late = a->t->line > b->t->line ? a->t : b->t,
                                  *early = late == a->t ? b->t : a->t;
    if (a->t == b->t || !dt_selector_intersect(&both, a->s, b->s))
        return;
    struct dt_config_tunnel *all = r->c->tunnel;
    memcpy(all[late - all].shares, early->cfg.name, sizeof(early->cfg.name));
    memcpy(all[early - all].shares, late->cfg.name, sizeof(late->cfg.name));
    dt_selector_str(x, late == a->t ? a->s : b->s);
    dt_selector_str(y, late == a->t ? b->s : a->s);
    reader_warn(r, late->line,
                "tunnel \"%s\" protects %s, and tunnel \"%s\" in %s protects %s: only one of them carries "
                "it; one tunnel "
                "with both gateways, or a `rule` that says which, would be right",
                late->cfg.name, x, early->cfg.name, reader_line(r, early->line, late->line), y);
}

static void check_same(struct reader *r, struct protected_range *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_range);
    for (size_t i = 1, widest = 0; i < n; i++) {
        const struct dt_range *last = &v[widest].s->range, *range = &v[i].s->range;
        if (last->from.ver == range->from.ver && cross(last, range) &&
            (dt_addr_cmp(&range->to, &last->to) > 0 || dt_addr_eq(&range->from, &last->from)))
            warn_of_two(r, &v[widest], &v[i]);
        else if (i - 1 != widest && by_range(&v[i - 1], &v[i]) <= 0 &&
                 dt_addr_eq(&v[i - 1].s->range.from, &range->from) &&
                 dt_addr_eq(&v[i - 1].s->range.to, &range->to))
            warn_of_two(r, &v[i - 1], &v[i]);
        if (last->from.ver != range->from.ver || dt_addr_cmp(&range->to, &last->to) > 0)
            widest = i;
    }
}

static bool leaves_out(const struct dt_config_tunnel *t, const struct dt_prefix *p)
{
    for (size_t i = 0; i < t->nexcept; i++)
        if (dt_prefix_covers(&t->except[i], p))
            return true;
    return false;
}

static void check_exceptions(struct reader *r, const struct dt_config_tunnel *t)
{
    char p[DT_PREFIX_STRLEN];
    for (size_t i = 0; i < t->nexcept; i++)
        for (size_t k = 0; k < r->c->ntunnel; k++) {
            const struct dt_config_tunnel *o = &r->c->tunnel[k];
            struct dt_range all = dt_prefix_range(&t->except[i]);
            for (size_t m = 0; o != t && !leaves_out(o, &t->except[i]) && m < o->cfg.protect.n; m++)
                if (dt_range_has(&o->cfg.protect.v[m].range, &all.from) &&
                    dt_range_has(&o->cfg.protect.v[m].range, &all.to))
                    reader_error(r, t->except_line,
                                 "except: %s is protected by tunnel \"%s\" too, and stays in it; `except` "
                                 "there as well "
                                 "would be right",
                                 dt_prefix_str(p, &t->except[i]), o->cfg.name);
        }
}

void config_check_overlaps(struct reader *r)
{
    const struct dt_config *c = r->c;
    size_t n = 0, count = 0;
    for (size_t i = 0; i < c->ntunnel; i++)
        count += c->tunnel[i].cfg.protect.n;
    struct protected_range *v = calloc(count + 1, sizeof(*v));
    if (v == NULL) {
        reader_error(r, 0, "out of memory");
        return;
    }
    for (size_t i = 0; i < c->ntunnel; i++) {
        const struct dt_config_tunnel *t = &c->tunnel[i];
        for (size_t k = 0; k < t->cfg.protect.n && !config_rules_serve(c, t); k++)
            v[n++] = (struct protected_range){t, &t->cfg.protect.v[k]};
        check_exceptions(r, t);
    }
    if (n > 1)
        check_same(r, v, n);
    free(v);
}
