#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cmd.h"
#include "sim/explore/explore.h"
#include "sim/report/report.h"

struct totals {
    struct sim_text wrong; /* objects of JSON */
    uint64_t states, transitions, audited;
    unsigned depth, violations, faces;
    bool exhausted;
    double worst_s, bound_s;
};

static void totals_add(struct totals *t, const struct sim_explore_config *cfg, const struct sim_explored *e)
{
    t->states += e->states;
    t->transitions += e->transitions;
    t->audited += e->audited;
    t->violations += e->violations;
    t->exhausted &= e->exhausted;
    t->faces++;
    if (cfg->depth > t->depth)
        t->depth = cfg->depth;
    if (e->worst_s > t->worst_s)
        t->worst_s = e->worst_s;
    if (e->bound_s > t->bound_s)
        t->bound_s = e->bound_s;
}

/* ---- for machines ---------------------------------------------------------------------------- */

static void counts_json(struct sim_text *out, const struct sim_budget *b)
{
    sim_text_add(out,
                 "{\"losses\": %u, \"duplicates\": %u, \"late_timers\": %u, \"timers\": %u, "
                 "\"late_news\": %u, \"lost_news\": %u, \"world\": {",
                 b->lose, b->duplicate, b->late, b->tick, b->behind, b->untold);
    for (int i = 0, n = 0; i < SIM_ENVS; i++) {
        if (!b->env[i])
            continue;
        sim_text_put(out, n++ ? ", " : "");
        sim_text_json(out, sim_env_name(i));
        sim_text_add(out, ": %u", b->env[i]);
    }
    sim_text_put(out, "}}");
}

static void face_json(struct sim_text *out, const struct sim_explore_config *cfg,
                      const struct sim_explored *e)
{
    sim_text_put(out, "{\"face\": ");
    sim_text_json(out, cfg->face ? cfg->face : "plant");
    sim_text_put(out, ", \"what\": ");
    sim_text_json(out, cfg->what);
    sim_text_add(out,
                 ", \"states\": %llu, \"transitions\": %llu, \"depth\": %u, \"exhausted\": %s, "
                 "\"violations\": %u, \"fair_plays\": %llu, \"audited\": %llu, \"longest_recovery_s\": %.3f, "
                 "\"bound_s\": %.3f, "
                 "\"pairing\": \"%s\", \"begin\": \"%s\", \"counts\": ",
                 (unsigned long long)e->states, (unsigned long long)e->transitions, cfg->depth,
                 e->exhausted ? "true" : "false", e->violations, (unsigned long long)e->fair,
                 (unsigned long long)e->audited, e->worst_s, e->bound_s, cfg->pairing->name,
                 sim_begin_name(cfg->begin));
    counts_json(out, &cfg->budget);
    if (cfg->plant)
        sim_text_add(out, ", \"plant\": \"%s\"", cfg->plant);
    sim_text_put(out, "}");
}

static void way_json(struct sim_text *out, const char *name, const struct sim_trace *t)
{
    sim_text_add(out, ", \"%s\": [", name);
    for (int i = 0; i < t->n; i++)
        sim_text_add(out, "%s\"%s %u\"", i ? ", " : "", sim_kind_name(t->v[i].kind), t->v[i].arg);
    sim_text_put(out, "]");
}

static void violation_json(struct sim_text *out, const struct sim_explore_config *cfg,
                           const struct sim_explored *e)
{
    sim_text_put(out, "{\"face\": ");
    sim_text_json(out, cfg->face ? cfg->face : "plant");
    sim_text_put(out, ", \"what\": ");
    sim_text_json(out, e->what);
    way_json(out, "trace", &e->trace);
    if (e->parted)
        way_json(out, "other", &e->other);
    sim_text_put(out, "}");
}

static void all_json(const struct totals *t, const struct sim_text *faces)
{
    printf("{\"states\": %llu, \"transitions\": %llu, \"depth\": %u, \"exhausted\": %s, \"violations\": %u, "
           "\"violated\": [%s], "
           "\"longest_recovery_s\": %.3f, \"bound_s\": %.3f, \"faces\": [%s]}\n",
           (unsigned long long)t->states, (unsigned long long)t->transitions, t->depth,
           t->exhausted ? "true" : "false", t->violations, t->wrong.p ? t->wrong.p : "", t->worst_s,
           t->bound_s, faces->p ? faces->p : "");
}

/* ---- for people ------------------------------------------------------------------------------ */

static void head(void)
{
    printf("%-10s %10s %12s  %-9s %8s %8s  %s\n", "face", "states", "transitions", "exhausted", "recovery",
           "bound", "what");
}

static void explore_row(const char *face, uint64_t states, uint64_t transitions, bool exhausted,
                        double worst_s, double bound_s, const char *what)
{
    printf("%-10s %10llu %12llu  %-9s %6.1f s %6.1f s  %s\n", face, (unsigned long long)states,
           (unsigned long long)transitions, exhausted ? "yes" : "no", worst_s, bound_s, what);
    fflush(stdout);
}

static int show_violation(const struct sim_explore_config *cfg, const struct sim_explored *e)
{
    struct sim_explore_config wide = *cfg;
    struct sim_text out = {0};
    char wrong[SIM_WRONG_TEXT];
    struct dt_err err;
    wide.budget = sim_budget_wide();
    if (sim_trace_tell(&wide, &e->trace, &out, true, wrong, &err)) {
        sim_text_free(&out);
        return sim_complain(1, "%s", err.text);
    }
    printf("\nviolated: %s\n%s%s", e->what,
           e->trace.n ? "the shortest way there:\n" : "no step is needed for that\n", out.p ? out.p : "");
    sim_text_free(&out);
    return 0;
}

static int show_way(const struct sim_explore_config *cfg, const struct sim_trace *t, const char *which)
{
    struct sim_explore_config wide = *cfg;
    struct sim_text out = {0};
    char wrong[SIM_WRONG_TEXT];
    struct dt_err err;
    wide.budget = sim_budget_wide();
    int bad = sim_trace_tell(&wide, t, &out, false, wrong, &err);
    printf("\nthe %s way:\n%s", which, bad ? err.text : out.p ? out.p : "(the beginning)\n");
    sim_text_free(&out);
    return bad;
}

/* What the audit found. */
static int show_parting(const struct sim_explore_config *cfg, const struct sim_explored *e)
{
    printf("\nviolated: %s\na digest leaves out what changes the future\n", e->what);
    return show_way(cfg, &e->trace, "first") || show_way(cfg, &e->other, "other") ? 1 : 0;
}

static void list_plants(void)
{
    const char *what, *name;
    for (int i = 0; (name = sim_explore_plant_name(i, &what)); i++)
        printf("%-22s %s\n", name, what);
}

static void list_faces(void)
{
    struct sim_explore_config cfg = sim_explore_default();
    for (int i = 0; sim_explore_face(&cfg, i); i++)
        printf("%-10s %s\n", cfg.face, cfg.what);
}

/* ---- the command ----------------------------------------------------------------------------- */

static struct sim_explore_config configure(const struct sim_options *o)
{
    struct sim_explore_config cfg = sim_explore_default();
    cfg.seed = o->seed;
    cfg.jobs = o->jobs;
    cfg.progress = !o->quiet;
    if (o->params_set)
        cfg.params = o->params;
    if (o->depth)
        cfg.depth = o->depth;
    cfg.bounded = o->depth > 0;
    if (o->states || o->audit)
        cfg.jobs = 1; /* what was seen when the room ends, and which way was first, depends on the order */
    cfg.audit = (uint32_t)o->audit;
    return cfg;
}

/* What was said on the command line goes before what a face or a mistake brings with it. */
static int override(struct sim_explore_config *cfg, const struct sim_options *o)
{
    struct dt_err err;
    if (o->pairing)
        cfg->pairing = sim_pairing_by_name(o->pairing);
    if (o->losses != UINT64_MAX)
        cfg->budget.lose = (uint8_t)o->losses;
    if (o->duplicates != UINT64_MAX)
        cfg->budget.duplicate = (uint8_t)o->duplicates;
    if (o->states)
        cfg->states_max = o->states;
    return sim_params_check(&cfg->params, &err) ? sim_complain(2, "%s", err.text) : 0;
}

static int explore_one(struct sim_explorer *x, const struct sim_explore_config *cfg,
                       const struct sim_options *o, struct totals *t, struct sim_text *json)
{
    struct sim_explored e;
    struct dt_err err = {0};
    if (sim_explorer_run(x, cfg, &e, &err))
        return sim_complain(1, "%s", err.text);
    if (o->json) {
        sim_text_put(json, t->faces ? ", " : "");
        face_json(json, cfg, &e);
        if (e.violations)
            violation_json(&t->wrong, cfg, &e);
    } else {
        if (!t->faces)
            head();
        explore_row(cfg->face ? cfg->face : "(plant)", e.states, e.transitions, e.exhausted, e.worst_s,
                    e.bound_s, cfg->what);
    }
    totals_add(t, cfg, &e);
    if (e.violations && !o->json && (e.parted ? show_parting(cfg, &e) : show_violation(cfg, &e)))
        return 1;
    if (e.violations && o->trace && sim_trace_write(o->trace, cfg, &e.trace, &err))
        return sim_complain(1, "%s", err.text);
    return 0;
}

static int explore_faces(const struct sim_options *o, struct totals *t, struct sim_text *json)
{
    struct sim_explore_config cfg = configure(o);
    struct dt_err err;
    int status = 0;
    struct sim_explorer *x = sim_explorer_new(o->states ? o->states : cfg.states_max, &err);
    if (!x)
        return sim_complain(1, "%s", err.text);
    for (int i = 0; !status && !t->violations; i++) {
        cfg = configure(o);
        if (!sim_explore_face(&cfg, i))
            break;
        if (o->face && strcmp(o->face, cfg.face))
            continue;
        status = override(&cfg, o);
        if (!status)
            status = explore_one(x, &cfg, o, t, json);
    }
    sim_explorer_free(x);
    if (!status && !t->faces)
        return sim_complain(2, "there is no face \"%s\" of the search; --face list names them", o->face);
    return status;
}

static int explore_plant(const struct sim_options *o, struct totals *t, struct sim_text *json)
{
    struct sim_explore_config cfg = configure(o);
    struct dt_err err;
    if (!sim_explore_plant(&cfg, o->plant))
        return sim_complain(2, "there is no mistake \"%s\" to plant; --plant list names them", o->plant);
    if (override(&cfg, o))
        return 2;
    struct sim_explorer *x = sim_explorer_new(cfg.states_max, &err);
    if (!x)
        return sim_complain(1, "%s", err.text);
    int status = explore_one(x, &cfg, o, t, json);
    sim_explorer_free(x);
    return status;
}

int sim_cmd_explore(const struct sim_options *o)
{
    struct totals t = {.exhausted = true};
    struct sim_text json = {0};
    if (o->plant && !strcmp(o->plant, "list"))
        return list_plants(), 0;
    if (o->face && !strcmp(o->face, "list"))
        return list_faces(), 0;
    if (o->face && o->plant)
        return sim_complain(2, "--plant brings its own bound: leave out --face");
    int status = o->plant ? explore_plant(o, &t, &json) : explore_faces(o, &t, &json);
    if (!status && o->json)
        all_json(&t, &json);
    if (!status && !o->json && t.faces > 1)
        explore_row("all", t.states, t.transitions, t.exhausted, t.worst_s, t.bound_s, "");
    if (!status && !o->json && !t.violations)
        printf("nothing is violated%s\n", o->audit ? ", and no two ways to one state part" : "");
    if (!status && !o->json && o->audit)
        printf("%llu pairs of ways to one state were compared\n", (unsigned long long)t.audited);
    sim_text_free(&json);
    sim_text_free(&t.wrong);
    return status ? status : t.violations ? 1 : 0;
}
