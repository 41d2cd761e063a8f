/* What is closed, by whom, and what is left open when one of them lets go. (The barriers themselves: routes.c.) */

#include "tunnels/closed.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define PIECES                                                                                               \
    64 /* that one selector may be cut into; what would be more is told as open, whoever closes it */

static bool closes_while(enum dt_config_closed c, bool wanted)
{
    return c == DT_CLOSED_ALWAYS || (c == DT_CLOSED_WANTED && wanted);
}

bool closed_by_tunnel(const struct tun *t)
{
    return !t->cfg.discovered && closes_while(t->cfg.closed, t->wanted || t->unsure);
}

bool closed_by_gate(const struct gate *g)
{
    return !g->discovery && closes_while(g->cfg.closed, true);
}

static const char *setting_name(enum dt_config_closed c)
{
    return c == DT_CLOSED_ALWAYS ? "always" : c == DT_CLOSED_NO ? "no" : "wanted";
}

static void add_selector(json_t *list, const struct dt_selector *s)
{
    char text[DT_SELECTOR_STRLEN];
    json_array_append_new(list, json_string(dt_selector_str(text, s)));
}

json_t *closed_tunnel_json(const struct tun *t)
{
    json_t *now = json_array();
    for (size_t i = 0; closed_by_tunnel(t) && i < t->cfg.cfg.protect.n; i++)
        add_selector(now, &t->cfg.cfg.protect.v[i]);
    return json_pack("{s:s, s:o}", "setting", setting_name(t->cfg.closed), "now", now);
}

json_t *closed_gate_json(const struct gate *g)
{
    json_t *now = json_array();
    for (size_t i = 0; closed_by_gate(g) && i < g->cfg.npool; i++) {
        struct dt_selector pool = dt_selector_prefix(&g->cfg.pool[i]);
        add_selector(now, &pool);
    }
    for (size_t i = 0; closed_by_gate(g) && i < g->cfg.cfg.remote.n; i++)
        add_selector(now, &g->cfg.cfg.remote.v[i]);
    return json_pack("{s:s, s:o}", "setting", setting_name(g->cfg.closed), "now", now);
}

/* ---- after `dovetail down` ---- */

/* Of one selector, what nobody was found to close yet. */
struct rest {
    struct dt_selector of;
    size_t n;
    struct dt_range left[PIECES];
    struct down_answer *to;
};

struct down_answer {
    json_t *clear, *closed;
    char *text;
    size_t cap, len;
};

static void say_part(struct down_answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say_part(struct down_answer *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = a->len < a->cap ? vsnprintf(a->text + a->len, a->cap - a->len, fmt, ap) : 0;
    va_end(ap);
    a->len += n > 0 ? (size_t)n : 0;
}

static void tell_part(struct rest *r, const struct dt_range *range, const char *by)
{
    struct dt_selector part = r->of;
    char what[DT_SELECTOR_STRLEN];
    part.range = *range;
    dt_selector_str(what, &part);
    if (by != NULL)
        json_array_append_new(r->to->closed, json_pack("{s:s, s:s}", "what", what, "by", by));
    else
        json_array_append_new(r->to->clear, json_string(what));
    say_part(r->to, by != NULL ? "; %s stays closed by %s" : "; %s goes out in the clear now", what, by);
}

/* What `by` closes is taken out of what is left, and told. */
static void take_out(struct rest *r, const struct dt_selector *s, const char *by)
{
    for (size_t i = 0; i < r->n; i++) {
        struct dt_selector part = r->of, both;
        struct dt_range *left = &r->left[i], upper = *left;
        part.range = *left;
        if (!dt_selector_intersect(&both, &part, s))
            continue;
        part.range = both.range;
        if (!dt_selector_covers(s, &part))
            continue; /* a port of it, and no more */
        tell_part(r, &both.range, by);
        bool below = dt_addr_cmp(&left->from, &both.range.from) < 0,
             above = dt_addr_cmp(&both.range.to, &left->to) < 0;
        upper.from = both.range.to;
        dt_addr_next(&upper.from);
        left->to = both.range.from;
        dt_addr_prev(&left->to);
        if (below && above && r->n < PIECES)
            r->left[r->n++] = upper;
        else if (below && above)
            tell_part(r, &upper, NULL);
        else if (above)
            *left = upper;
        else if (!below)
            r->left[i--] = r->left[--r->n];
    }
}

static void take_out_list(struct rest *r, const struct dt_selectors *list, const char *kind, const char *name)
{
    char by[DT_NAME_MAX + 16];
    snprintf(by, sizeof(by), "%s \"%s\"", kind, name);
    for (size_t i = 0; i < list->n; i++)
        take_out(r, &list->v[i], by);
}

static void take_out_others(struct daemon *d, const struct tun *t, struct rest *r)
{
    dt_list_for_each (l, &d->tuns) {
        const struct tun *o = DT_CONTAINER_OF(l, struct tun, link);
        if (o != t && closed_by_tunnel(o))
            take_out_list(r, &o->cfg.cfg.protect, "tunnel", o->cfg.cfg.name);
    }
    dt_list_for_each (l, &d->gates) {
        const struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        char by[DT_NAME_MAX + 16];
        if (!closed_by_gate(g))
            continue;
        take_out_list(r, &g->cfg.cfg.remote, "gateway", g->cfg.cfg.name);
        snprintf(by, sizeof(by), "gateway \"%s\"", g->cfg.cfg.name);
        for (size_t i = 0; i < g->cfg.npool; i++) {
            struct dt_selector pool = dt_selector_prefix(&g->cfg.pool[i]);
            take_out(r, &pool, by);
        }
    }
}

void closed_tell_down(struct daemon *d, const struct tun *t, json_t *o, char *text, size_t cap)
{
    struct down_answer a = {.clear = json_array(), .closed = json_array(), .text = text, .cap = cap};
    say_part(&a, "down");
    for (size_t i = 0; i < t->cfg.cfg.protect.n; i++) {
        struct rest r = {.of = t->cfg.cfg.protect.v[i], .n = 1, .to = &a};
        r.left[0] = r.of.range;
        if (closed_by_tunnel(t))
            take_out(&r, &r.of, "closed = always");
        else
            take_out_others(d, t, &r);
        for (size_t k = 0; k < r.n; k++)
            tell_part(&r, &r.left[k], NULL);
    }
    dt_utf8_mend(text); /* it may be cut in the middle of a name */
    json_object_set_new(o, "clear", a.clear);
    json_object_set_new(o, "closed", a.closed);
}
