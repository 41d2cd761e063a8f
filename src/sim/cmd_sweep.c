/* Coordinate descent: one parameter after another takes the value that costs least with all others as they are,
 * until a whole round changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cmd.h"
#include "sim/report/report.h"
#include "sim/run/sweep.h"

#define VALUES 6
#define ROUNDS 3

static const struct axis {
    const char *name; /* as in --set */
    const char *also; /* takes the same value; NULL: nothing does */
    const char *value[VALUES];
} axes[] = {
    {"maxidle", NULL, {"5", "10", "15", "20", "30", "60"}},
    {"pingtime", "pingtime2", {"0.5", "1", "2", "3"}},
    {"pingtries", NULL, {"4", "6", "8", "12", "20"}},
    {"pingtries2", NULL, {"2", "3", "5", "8"}},
    {"elimit", NULL, {"1", "2", "3", "5"}},
    {"t_out", NULL, {"0.5", "1", "2", "3", "5"}},
    {"n_out", NULL, {"1", "2", "4", "8"}},
    {"t_ei", NULL, {"40", "60", "120", "300", "900"}},
};
#define AXES (int)(sizeof axes / sizeof *axes)

struct tried {
    int axis, round;
    const char *value;
    struct sim_trade t;
    bool best;
};

struct sweep {
    const struct sim_options *o;
    struct sim_trade now;
    struct tried *tried;
    size_t n;
};

static int measure(struct sweep *s, struct sim_trade *t, struct dt_err *err)
{
    return sim_trade_measure(t, s->o->seed, s->o->seeds, s->o->jobs, err);
}

static bool same_params(const struct sim_params *a, const struct sim_params *b)
{
    double x, y;
    for (int i = 0; sim_params_get(a, i, &x) && sim_params_get(b, i, &y); i++)
        if (x != y)
            return false;
    return true;
}

static int try_axis(struct sweep *s, int a, int round, bool *changed, struct dt_err *err)
{
    size_t first = s->n, best = SIZE_MAX;
    struct sim_trade start = s->now;
    for (int v = 0; v < VALUES && axes[a].value[v]; v++) {
        struct tried *x = &s->tried[s->n];
        *x = (struct tried){
            .axis = a, .round = round, .value = axes[a].value[v], .t = {.params = start.params}};
        if (sim_params_set(&x->t.params, axes[a].name, x->value, err) ||
            (axes[a].also && sim_params_set(&x->t.params, axes[a].also, x->value, err)) ||
            measure(s, &x->t, err))
            return -1;
        s->n++;
        /* 2 % better or it is not worth a change */
        if (x->t.possible && x->t.cost < s->now.cost * (best == SIZE_MAX ? 0.98 : 1)) {
            best = s->n - 1;
            s->now = x->t;
        }
        if (!s->o->quiet)
            fprintf(stderr, "\rround %d, %s = %s ", round + 1, axes[a].name, x->value);
    }
    for (size_t i = first; i < s->n; i++)
        s->tried[i].best = same_params(&s->tried[i].t.params, &s->now.params);
    *changed |= best != SIZE_MAX;
    return 0;
}

static void sweep_row(struct sim_text *t, const struct tried *x, bool json)
{
    const struct sim_trade *m = &x->t;
    if (json) {
        sim_text_add(t, "{\"round\": %d, \"parameter\": \"%s\", \"value\": %s, \"possible\": %s, ",
                     x->round + 1, axes[x->axis].name, x->value, m->possible ? "true" : "false");
        sim_text_add(
            t,
            "\"recovery_p99_s\": %.3f, \"bound_s\": %.3f, \"packets_an_hour\": %.1f, \"given_up_an_hour\": "
            "%.3f, "
            "\"items_a_client\": %.2f, \"wrong_items_an_hour\": %.2f, \"cost\": %.3f, \"chosen\": %s}\n",
            m->recovery_s, m->bound_s, m->packets_h, m->false_h, m->items, m->wrong_h, m->cost,
            x->best ? "true" : "false");
    } else if (!m->possible) {
        sim_text_add(t, "| %s | %s | against the inequalities | | | | | | |\n", axes[x->axis].name, x->value);
    } else {
        sim_text_add(t, "| %s | %s%s%s | %.2f | %.1f | %.0f | %.2f | %.2f | %.2f | %.2f |\n",
                     axes[x->axis].name, x->best ? "**" : "", x->value, x->best ? "**" : "", m->recovery_s,
                     m->bound_s, m->packets_h, m->false_h, m->items, m->wrong_h, m->cost);
    }
}

static void chosen(struct sim_text *t, const struct sim_params *p)
{
    sim_text_add(
        t,
        "maxidle %g s, pingtime %g s, pingtries %u, pingtime2 %g s, pingtries2 %u, timeout %g s, elimit %u, ",
        dt_time_seconds(p->epoch.maxidle), dt_time_seconds(p->epoch.pingtime), p->epoch.pingtries,
        dt_time_seconds(p->epoch.pingtime2), p->epoch.pingtries2, dt_time_seconds(p->epoch.timeout),
        p->epoch.elimit);
    sim_text_add(t, "t_out %g s, n_out %u, t_ei %g s", dt_time_seconds(p->nat.t_out), p->nat.n_out,
                 dt_time_seconds(p->nat.t_ei));
}

static const char table_head[] =
    "| parameter | value | recovery, 99 % (s) | bound (s) | packets an hour | given up an hour | "
    "items a client | wrong items an hour | cost |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- "
    "|\n";

/* What the chosen values mean for each pairing: all scenarios together. */
static int distributions(const struct sweep *s, struct sim_series series[SIM_PAIRINGS], struct dt_err *err)
{
    static struct sim_samples recovery[SIM_PAIRINGS], available[SIM_PAIRINGS];
    for (int k = 0; k < SIM_PAIRINGS; k++) {
        series[k] = (struct sim_series){
            .name = sim_pairings[k].name, .recovery = &recovery[k], .availability = &available[k]};
        for (int i = 0; i < SIM_SCENARIOS; i++) {
            struct sim_run_config cfg = {.scenario = &sim_scenarios[i],
                                         .pairing = &sim_pairings[k],
                                         .params = s->now.params,
                                         .clients = 2};
            struct sim_summary sum;
            int bad = sim_run_many(&cfg, s->o->seed, s->o->seeds, s->o->jobs, false, &sum, err);
            for (size_t n = 0; n < sum.recovery.n; n++)
                sim_samples_add(&recovery[k], sum.recovery.v[n]);
            for (size_t n = 0; n < sum.availability.n; n++)
                sim_samples_add(&available[k], sum.availability.v[n]);
            series[k].recovered += sum.recovered;
            series[k].faults += sum.faults;
            series[k].bound_s = sim_pairings[k].client_probes ? sum.bound_s : 0;
            sim_summary_free(&sum);
            if (bad)
                return -1;
        }
    }
    return 0;
}

static int reports(const struct sweep *s, const struct sim_text *words, struct dt_err *err)
{
    struct sim_series series[SIM_PAIRINGS];
    struct sim_text out = {0}, table = {0}, foot = {0};
    int bad = distributions(s, series, err);
    if (!bad) {
        sim_text_put(&table, "<table><tr><th>parameter</th><th class=\"n\">value</th><th "
                             "class=\"n\">recovery s</th><th class=\"n\">packets/h</th>"
                             "<th class=\"n\">cost</th></tr>");
        for (size_t i = 0; i < s->n; i++)
            if (s->tried[i].t.possible && s->tried[i].round == s->tried[s->n - 1].round)
                sim_text_add(&table,
                             "<tr><td>%s</td><td class=\"n\">%s%s</td><td class=\"n\">%.2f</td><td "
                             "class=\"n\">%.0f</td><td class=\"n\">%.2f</td></tr>",
                             axes[s->tried[i].axis].name, s->tried[i].value, s->tried[i].best ? " *" : "",
                             s->tried[i].t.recovery_s, s->tried[i].t.packets_h, s->tried[i].t.cost);
        sim_text_put(&table, "</table>");
        sim_text_add(&foot, "dovetail-sim sweep --seed %llu --seeds %llu", (unsigned long long)s->o->seed,
                     (unsigned long long)s->o->seeds);
        struct sim_page p = {.title = "Parameters",
                             .lead = "What each value costs with all others as chosen; the distributions are "
                                     "of all scenarios with the chosen values.",
                             .good = true,
                             .verdict = words->p,
                             .table = table.p,
                             .series = series,
                             .nseries = SIM_PAIRINGS,
                             .footer = foot.p};
        if (s->o->html) {
            sim_page_html(&out, &p);
            bad = sim_text_write(&out, s->o->html, err);
        }
        if (!bad && s->o->svg) {
            out.len = 0;
            sim_chart_recovery(&out, series, SIM_PAIRINGS, false);
            bad = sim_text_write(&out, s->o->svg, err);
        }
    }
    for (int k = 0; k < SIM_PAIRINGS; k++) {
        sim_samples_free(series[k].recovery);
        sim_samples_free(series[k].availability);
    }
    sim_text_free(&out);
    sim_text_free(&table);
    sim_text_free(&foot);
    return bad;
}

int sim_cmd_sweep(const struct sim_options *given)
{
    struct dt_err err = {0};
    struct sim_options o = *given;
    if (o.seeds == 1)
        o.seeds = 100;
    struct sweep s = {.o = &o, .now = {.params = o.params}};
    struct sim_text out = {0}, words = {0};
    bool changed = true;
    int bad = !(s.tried = calloc(ROUNDS * AXES * VALUES, sizeof *s.tried)) || measure(&s, &s.now, &err);
    for (int round = 0; round < ROUNDS && changed && !bad; round++) {
        changed = false;
        for (int a = 0; a < AXES && !bad; a++)
            bad = try_axis(&s, a, round, &changed, &err);
    }
    if (!o.quiet)
        fprintf(stderr, "\r%50s\r", "");
    if (!bad) {
        sim_text_put(&words, "Chosen: ");
        chosen(&words, &s.now.params);
        sim_text_add(&words, ". Recovery %.2f s (99 %%), bound %.1f s, %.0f control packets an hour.",
                     s.now.recovery_s, s.now.bound_s, s.now.packets_h);
        if (!o.json)
            sim_text_put(&out, table_head);
        for (size_t i = 0; i < s.n; i++)
            if (o.json || s.tried[i].round == s.tried[s.n - 1].round)
                sweep_row(&out, &s.tried[i], o.json);
        if (!o.json)
            sim_text_add(&out, "\n%s\n", words.p);
        fputs(out.p, stdout);
        if (o.table)
            bad = sim_text_write(&out, o.table, &err);
        if (!bad && (o.html || o.svg))
            bad = reports(&s, &words, &err);
    }
    sim_text_free(&out);
    sim_text_free(&words);
    free(s.tried);
    return bad ? sim_complain(1, "%s", err.text) : 0;
}
