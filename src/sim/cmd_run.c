#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cmd.h"
#include "sim/explore/explore.h"
#include "sim/report/report.h"

struct outcome {
    struct sim_run_config cfg;
    struct sim_summary sum;
    struct sim_notes notes; /* of the first seed */
    struct sim_result first;
};

static void add_json(struct sim_text *t, const struct outcome *o)
{
    const struct sim_summary *s = &o->sum;
    sim_text_add(t, "{\"scenario\": \"%s\", \"pairing\": \"%s\", \"seeds\": %llu, \"recovered\": %llu, ",
                 o->cfg.scenario->name, o->cfg.pairing->name, (unsigned long long)s->seeds,
                 (unsigned long long)s->recovered);
    if (o->cfg.days)
        sim_text_add(t, "\"clients\": %u, \"days\": %u, \"faults\": %llu, ", o->cfg.clients, o->cfg.days,
                     (unsigned long long)s->faults);
    sim_text_add(t, "\"recovery_s\": {\"median\": %.3f, \"p99\": %.3f, \"max\": %.3f}, \"bound_s\": %.3f, ",
                 s->median, s->p99, s->worst, s->bound_s);
    if (s->late)
        sim_text_add(t, "\"late_seed\": %llu, ", (unsigned long long)s->late_seed);
    sim_text_add(
        t, "\"late\": %llu, \"lost_packets\": %llu, \"sent_packets\": %llu, \"availability\": %.8f, ",
        (unsigned long long)s->late, (unsigned long long)s->lost, (unsigned long long)s->sent, s->available);
    sim_text_add(t,
                 "\"multicast_packets\": %llu, \"wrong_items\": %llu, \"wrong_items_by_unheard\": %llu, "
                 "\"violations\": %llu, "
                 "\"good\": %s}\n",
                 (unsigned long long)s->multicast, (unsigned long long)s->wrong_items,
                 (unsigned long long)s->wrong_unheard, (unsigned long long)s->sins,
                 sim_summary_good(&o->cfg, s) ? "true" : "false");
}

static void verdict(char *out, size_t cap, const struct outcome *o)
{
    const struct sim_summary *s = &o->sum;
    unsigned long long n = s->faults, r = s->recovered;
    if (!o->cfg.pairing->client_probes)
        snprintf(
            out, cap,
            "IPsec as it is today: %llu of %llu recovered before a lifetime ended or with it; worst %.1f s.",
            r, n, s->worst);
    else if (sim_summary_good(&o->cfg, s))
        snprintf(out, cap, "All %llu recovered, the worst in %.1f s; the parameters promise %.1f s.", n,
                 s->worst, s->bound_s);
    else if (s->recovered < s->faults)
        snprintf(out, cap, "%llu of %llu did not recover.", n - r, n);
    else if (s->late)
        snprintf(out, cap,
                 "%llu recovered later than the %.1f s that the parameters promise; the first is seed %llu.",
                 (unsigned long long)s->late, s->bound_s, (unsigned long long)s->late_seed);
    else
        snprintf(out, cap,
                 "%llu times data travelled on an epoch that was not proved, or a race paired SPIs wrongly.",
                 (unsigned long long)(s->sins + s->wrong_unheard));
}

static void add_row(struct sim_text *t, const struct outcome *o)
{
    const struct sim_summary *s = &o->sum;
    sim_text_add(t, "%-16s %-12s %6llu/%-6llu %9.2f %9.2f %9.2f %8.1f %9.1f %9.1f %7.1f %10.5f %s\n",
                 o->cfg.scenario->name, o->cfg.pairing->name, (unsigned long long)s->recovered,
                 (unsigned long long)s->faults, s->median, s->p99, s->worst, s->bound_s,
                 (double)s->lost / (double)(s->faults ? s->faults : 1),
                 (double)s->multicast / (double)(s->faults ? s->faults : 1),
                 (double)s->wrong_items / (double)(s->faults ? s->faults : 1), 100 * s->available,
                 sim_summary_good(&o->cfg, s) ? "" : "<- not as promised");
    if (s->late && o->cfg.pairing->server_waits)
        sim_text_add(t, "%-29s %llu later than the bound, the first with --seed %llu\n", "",
                     (unsigned long long)s->late, (unsigned long long)s->late_seed);
}

/* What the days with one scenario of a mixed run came to, as a row of its own. Its clients are two for each fault. */
static bool kind_of(struct outcome *one, const struct outcome *o, int k)
{
    const struct sim_summary *s = &o->sum;
    if (o->cfg.scenario != &sim_mixed || !s->kinds[k].faults)
        return false;
    *one = (struct outcome){.cfg = o->cfg};
    one->cfg.scenario = &sim_scenarios[k];
    one->sum = (struct sim_summary){.seeds = s->seeds,
                                    .faults = s->kinds[k].faults,
                                    .recovered = s->kinds[k].recovered,
                                    .bound_s = s->bound_s,
                                    .recovery = s->kind_recovery[k]}; /* borrowed */
    struct sim_samples *r = &one->sum.recovery;
    one->sum.median = sim_samples_rank(r, 0.5);
    one->sum.p99 = sim_samples_rank(r, 0.99);
    one->sum.worst = sim_samples_rank(r, 1);
    one->sum.available = 1 - s->kinds[k].down_s / ((double)s->kinds[k].faults * 2 * 86400);
    return true;
}

static void add_kinds(struct sim_text *t, const struct outcome *o, bool json)
{
    struct outcome one;
    for (int k = 0; k < SIM_SCENARIOS; k++) {
        if (!kind_of(&one, o, k))
            continue;
        const struct sim_summary *s = &one.sum;
        if (json)
            sim_text_add(
                t,
                "{\"scenario\": \"%s\", \"pairing\": \"%s\", \"in\": \"mixed\", \"seeds\": %llu, "
                "\"recovered\": %llu, \"faults\": %llu, \"recovery_s\": {\"median\": %.3f, \"p99\": %.3f, "
                "\"max\": %.3f}, \"bound_s\": %.3f, \"availability\": %.8f}\n",
                one.cfg.scenario->name, one.cfg.pairing->name, (unsigned long long)s->seeds,
                (unsigned long long)s->recovered, (unsigned long long)s->faults, s->median, s->p99, s->worst,
                s->bound_s, s->available);
        else
            sim_text_add(t, "  %-14s %-12s %6llu/%-6llu %9.2f %9.2f %9.2f %8.1f %9s %9s %7s %10.5f\n",
                         one.cfg.scenario->name, one.cfg.pairing->name, (unsigned long long)s->recovered,
                         (unsigned long long)s->faults, s->median, s->p99, s->worst, s->bound_s, "", "", "",
                         100 * s->available);
    }
}

static const char head[] =
    "scenario         pairing        recovered     median       p99     worst    bound  lost/run "
    "mcast/run  wrong  available %\n";

/* Columns of class m are left out on a phone. A scenario's name stands once, above its other pairings. */
static void add_html_row(struct sim_text *t, const struct outcome *o, bool again, bool more)
{
    const struct sim_summary *s = &o->sum;
    const double times[4] = {s->median, s->p99, s->worst, s->bound_s};
    sim_text_add(t,
                 "<tr class=\"%s%s\"><td>%s</td><td>%s</td><td class=\"n\">%llu<span class=\"m\"> of "
                 "%llu</span></td>",
                 sim_summary_good(&o->cfg, s) ? "" : "bad ", more ? "in" : "",
                 again ? "" : o->cfg.scenario->name, o->cfg.pairing->name, (unsigned long long)s->recovered,
                 (unsigned long long)s->faults);
    for (int i = 0; i < 4; i++) {
        char text[32];
        sim_chart_span(text, sizeof text, times[i]);
        sim_text_add(t, "<td class=\"n%s\">%s</td>", i == 2 ? "" : " m", text);
    }
    sim_text_add(t, "<td class=\"n m\">%llu</td><td class=\"n\">%.4f&nbsp;%%</td></tr>",
                 (unsigned long long)s->lost, 100 * s->available);
}

static void add_html_rows(struct sim_text *t, const struct outcome *v, int n)
{
    struct outcome one;
    sim_text_put(
        t, "<table><tr><th>scenario</th><th>pairing</th><th class=\"n\">recovered</th>"
           "<th class=\"n m\">median</th><th class=\"n m\">99 %</th><th class=\"n\">worst</th>"
           "<th class=\"n m\">bound</th><th class=\"n m\">lost</th><th class=\"n\">available</th></tr>");
    for (int i = 0; i < n; i++)
        add_html_row(t, &v[i], i && v[i - 1].cfg.scenario == v[i].cfg.scenario,
                     i + 1 < n && v[i + 1].cfg.scenario == v[i].cfg.scenario);
    for (int k = 0; k < SIM_SCENARIOS; k++)
        for (int i = 0; i < n; i++)
            if (kind_of(&one, &v[i], k))
                add_html_row(t, &one, i > 0, i + 1 < n);
    sim_text_put(t, "</table>");
}

static void print_story(const struct outcome *o)
{
    static struct sim_line lines[200];
    struct sim_story s = {o->cfg.pairing, &o->notes, &o->first};
    size_t n = sim_story_lines(&s, lines, 200);
    char text[256];
    printf("%s, %s: %s\n", o->cfg.scenario->name, o->cfg.pairing->name, o->cfg.pairing->what);
    for (size_t i = 0; i < n; i++)
        printf("%12.3f s  %-9s %s%s\n", dt_time_seconds(lines[i].at), lines[i].who, lines[i].bad ? "! " : "",
               lines[i].text);
    if (n == 200)
        printf("               … (more in --html)\n");
    verdict(text, sizeof text, o);
    printf("%14s  verdict   %s\n\n", "", text);
}

static int write_reports(const struct sim_options *o, struct outcome *v, int n, bool good)
{
    struct dt_err err;
    struct sim_text page = {0}, table = {0}, lead = {0}, foot = {0};
    struct sim_series series[SIM_PAIRINGS];
    struct sim_story stories[SIM_PAIRINGS];
    char text[256];
    int status = 0;
    for (int i = 0; i < n && i < SIM_PAIRINGS; i++) {
        series[i] = (struct sim_series){
            v[i].cfg.pairing->name, &v[i].sum.recovery,
            &v[i].sum.availability, v[i].cfg.pairing->client_probes ? v[i].sum.bound_s : 0,
            v[i].sum.recovered,     v[i].sum.faults};
        stories[i] = (struct sim_story){v[i].cfg.pairing, &v[i].notes, &v[i].first};
    }
    if (o->html) {
        add_html_rows(&table, v, n);
        sim_text_add(&lead, "%s%s IPsec today: %s",
                     o->name ? "What happens: " : "All scenarios, all pairings.",
                     o->name ? v[0].cfg.scenario->what : "", o->name ? v[0].cfg.scenario->plain : "");
        sim_text_add(&foot, "dovetail-sim run %s --seed %llu --seeds %llu", o->name ? o->name : "all",
                     (unsigned long long)o->seed, (unsigned long long)o->seeds);
        if (o->days)
            sim_text_add(&foot, " --clients %u --days %u", o->clients, o->days);
        verdict(text, sizeof text, &v[n - 1]);
        struct sim_page p = {.title = o->name ? o->name : "dovetail-sim",
                             .lead = o->name ? lead.p : "All scenarios, all pairings.",
                             .good = good,
                             .verdict = o->name ? text
                                        : good  ? "All is as promised."
                                                : "Not all is as promised.",
                             .table = table.p,
                             .series = series,
                             .nseries = o->name ? n : 0,
                             .stories = stories,
                             .nstories = o->name && !o->days ? n : 0,
                             .footer = foot.p};
        sim_page_html(&page, &p);
        if (sim_text_write(&page, o->html, &err))
            status = sim_complain(1, "%s", err.text);
    }
    if (o->svg && n > 0 && !status) {
        struct sim_seq seq;
        dt_time from, to;
        page.len = 0;
        sim_story_span(&stories[0], &from, &to);
        if (sim_seq_layout(&seq, stories[0].notes, from, to, false))
            status = sim_complain(1, "memory ran out for the drawing");
        else {
            sim_seq_svg(&seq, &page);
            sim_seq_free(&seq);
            if (sim_text_write(&page, o->svg, &err))
                status = sim_complain(1, "%s", err.text);
        }
    }
    sim_text_free(&page);
    sim_text_free(&table);
    sim_text_free(&lead);
    sim_text_free(&foot);
    return status;
}

static int run_one(const struct sim_options *o, struct outcome *v, bool with_notes)
{
    struct dt_err err;
    if (with_notes) {
        struct sim_run_config cfg = v->cfg;
        v->notes.packets = o->html || o->svg;
        cfg.notes = &v->notes;
        sim_run_once(&cfg, o->seed, &v->first, NULL);
        if (v->first.failed)
            return sim_complain(1, "%s", v->first.text);
    }
    if (sim_run_many(&v->cfg, o->seed, o->seeds, o->jobs, !o->quiet, &v->sum, &err))
        return sim_complain(1, "%s", err.text);
    return 0;
}

/* Tells what happens on a trace, and what is violated. */
static int replay_trace(const struct sim_options *o)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_trace t;
    struct sim_text out = {0};
    struct dt_err err;
    char wrong[SIM_WRONG_TEXT];
    if (o->params_set)
        cfg.params = o->params;
    if (sim_trace_read(o->trace, &cfg, &t, &err))
        return sim_complain(2, "%s", err.text);
    if (sim_trace_tell(&cfg, &t, &out, true, wrong, &err)) {
        sim_text_free(&out);
        return sim_complain(2, "%s: %s", o->trace, err.text);
    }
    if (o->json) {
        printf("{\"trace\": %d, \"violation\": ", t.n);
        struct sim_text json = {0};
        sim_text_json(&json, wrong);
        printf("%s}\n", json.p);
        sim_text_free(&json);
    } else {
        printf("%s%s%s\n", out.p ? out.p : "", *wrong ? "violated: " : "nothing is violated", wrong);
    }
    sim_text_free(&out);
    return *wrong ? 1 : 0;
}

int sim_cmd_run(const struct sim_options *o)
{
    if (o->name && !strcmp(o->name, "discovery")) /* no clients behind a NAT: another kind of network */
        return sim_cmd_discover(o);
    static struct outcome v[SIM_SCENARIOS * SIM_PAIRINGS];
    const struct sim_scenario *only = o->name ? sim_scenario_by_name(o->name) : NULL;
    struct sim_text out = {0};
    int n = 0, status = 0;
    bool good = true;
    if (o->trace)
        return replay_trace(o);
    if (o->name && !only)
        return sim_complain(2, "there is no scenario \"%s\"; dovetail-sim list names them", o->name);
    if (!o->name == !o->all)
        return sim_complain(2, o->name ? "either a scenario's name or --all"
                                       : "run wants a scenario's name (dovetail-sim list), or all");
    if (only == &sim_mixed && !o->days)
        return sim_complain(2, "mixed needs --days: each day brings another scenario");
    if (o->svg && !only)
        return sim_complain(2, "--svg draws one scenario: name it");
    if (o->clients > 2 && !o->days)
        return sim_complain(2, "--clients needs --days: more than two clients live for days");
    if (!o->json)
        fputs(only && o->seeds == 1 && !o->days ? "" : head, stdout);
    for (int i = 0; i < (only ? 1 : SIM_SCENARIOS) && !status; i++)
        for (int k = 0; k < (o->pairing ? SIM_PAIRINGS_ALL : SIM_PAIRINGS) && !status; k++) {
            if (o->pairing && strcmp(o->pairing, sim_pairings[k].name))
                continue;
            v[n].cfg = (struct sim_run_config){.scenario = only ? only : &sim_scenarios[i],
                                               .pairing = &sim_pairings[k],
                                               .params = o->params,
                                               .clients = o->clients,
                                               .days = o->days};
            status = run_one(o, &v[n], only && !o->days);
            if (status)
                break;
            good &= sim_summary_good(&v[n].cfg, &v[n].sum);
            out.len = 0;
            if (o->json)
                add_json(&out, &v[n]);
            else if (only && !o->days && o->seeds == 1)
                print_story(&v[n]);
            else
                add_row(&out, &v[n]);
            add_kinds(&out, &v[n], o->json);
            if (out.len)
                fputs(out.p, stdout);
            fflush(stdout);
            n++;
        }
    if (!status && !o->json && only && !o->days && o->seeds == 1) {
        out.len = 0;
        sim_text_put(&out, head);
        for (int i = 0; i < n; i++)
            add_row(&out, &v[i]);
        fputs(out.p, stdout);
    }
    if (!status && (o->html || o->svg))
        status = write_reports(o, v, n, good);
    for (int i = 0; i < n + !!status && i < SIM_SCENARIOS * SIM_PAIRINGS; i++) {
        sim_summary_free(&v[i].sum);
        sim_notes_free(&v[i].notes);
    }
    sim_text_free(&out);
    return status ? status : good ? 0 : 1;
}
