/* A way through the states as a file of text, and what happens on it in words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/explore/explore.h"
#include "sim/report/report.h"

#define FIRST_LINE "dovetail-sim trace 1\n"
#define FAIR_LINES 40 /* of fair play that are told */

static const char *const kind_names[] = {"deliver", "lose",   "double", "tick",
                                         "world",   "behind", "untold", "news"};
static const char *const encap_names[] = {
    [DT_ENCAP_AUTO] = "auto", [DT_ENCAP_ESP] = "esp", [DT_ENCAP_UDP] = "udp"};
static const char *const begin_names[] = {
    [SIM_BEGIN_UP] = "up", [SIM_BEGIN_COLD] = "cold", [SIM_BEGIN_ALIKE] = "alike", [SIM_BEGIN_ONE] = "one"};
#define KINDS  (sizeof kind_names / sizeof *kind_names)
#define BEGINS (sizeof begin_names / sizeof *begin_names)
#define ENCAPS (sizeof encap_names / sizeof *encap_names)

const char *sim_kind_name(uint8_t kind)
{
    return kind_names[kind];
}

const char *sim_begin_name(enum sim_begin b)
{
    return begin_names[b];
}

/* ---- told ------------------------------------------------------------------------------------ */

struct fair_told {
    struct sim_text *out;
    int lines;
};

static void tell_fair(void *ctx, dt_time now, const char *text)
{
    struct fair_told *f = ctx;
    if (!f->lines)
        sim_text_put(f->out, "played fairly from here (data aside):\n");
    if (f->lines < FAIR_LINES)
        sim_text_add(f->out, "    %9.3f s  %s\n", dt_time_seconds(now), text);
    else if (f->lines == FAIR_LINES)
        sim_text_put(f->out, "    ...\n");
    f->lines++;
}

int sim_trace_tell(const struct sim_explore_config *cfg, const struct sim_trace *t, struct sim_text *out,
                   bool in_words, char wrong[SIM_WRONG_TEXT], struct dt_err *err)
{
    struct sim_state *s = sim_state_new(cfg, err);
    struct fair_told fair = {.out = out};
    const char *what = NULL;
    int bad = s ? 0 : -1;
    dt_time took;
    *wrong = 0;
    for (int i = 0; s && i < t->n && !bad && !what; i++) {
        char text[SIM_ACTION_TEXT];
        sim_state_tell(s, t->v[i], text);
        if (in_words)
            sim_text_add(out, "%3d %9.3f s  %s\n", i + 1, dt_time_seconds(sim_state_now(s)), text);
        else
            sim_text_add(out, "%s %u\t# %s\n", kind_names[t->v[i].kind], t->v[i].arg, text);
        if (sim_state_apply(s, t->v[i]))
            what = sim_state_violation(s);
        else
            bad = dt_err_set(err, 0, "step %d of the trace, \"%s %u\", cannot happen there", i + 1,
                             kind_names[t->v[i].kind], t->v[i].arg);
    }
    if (s && !t->n)
        what = sim_state_violation(s);
    if (s && !bad && !what) {
        if (in_words)
            sim_state_narrate(s, tell_fair, &fair);
        what = sim_state_unfair(s, &took);
    }
    if (what)
        snprintf(wrong, SIM_WRONG_TEXT, "%s", what);
    sim_state_free(s);
    return bad;
}

/* ---- written --------------------------------------------------------------------------------- */

int sim_trace_write(const char *path, const struct sim_explore_config *cfg, const struct sim_trace *t,
                    struct dt_err *err)
{
    struct sim_params usual = sim_params_default();
    struct sim_text out = {0};
    char wrong[SIM_WRONG_TEXT];
    const char *name;
    double value, before;
    sim_text_add(&out, FIRST_LINE "seed %llu\npairing %s\nbegin %s\nencap %s\nserver %s\nplant %s\n",
                 (unsigned long long)cfg->seed, cfg->pairing->name, sim_begin_name(cfg->begin),
                 encap_names[cfg->encap], cfg->mute ? "mute" : "answers", cfg->plant ? cfg->plant : "none");
    for (int i = 0; (name = sim_params_get(&cfg->params, i, &value)); i++) {
        sim_params_get(&usual, i, &before);
        if (value < before || value > before)
            sim_text_add(&out, "set %s=%.9g\n", name, value);
    }
    int r = sim_trace_tell(cfg, t, &out, false, wrong, err);
    if (!r && *wrong)
        sim_text_add(&out, "# %s\n", wrong);
    if (!r)
        r = sim_text_write(&out, path, err);
    sim_text_free(&out);
    return r;
}

/* ---- read ------------------------------------------------------------------------------------ */

static int read_head(const char *word, char *value, struct sim_explore_config *cfg)
{
    struct dt_err err;
    char *end;
    if (!strcmp(word, "seed")) {
        cfg->seed = strtoull(value, &end, 10);
        return *end ? -1 : 0;
    }
    if (!strcmp(word, "pairing"))
        return (cfg->pairing = sim_pairing_by_name(value)) ? 0 : -1;
    if (!strcmp(word, "plant"))
        return !strcmp(value, "none") || sim_explore_plant(cfg, value) ? 0 : -1;
    if (!strcmp(word, "server")) {
        cfg->mute = !strcmp(value, "mute");
        return cfg->mute || !strcmp(value, "answers") ? 0 : -1;
    }
    if (!strcmp(word, "set") && (end = strchr(value, '='))) {
        *end = 0;
        return sim_params_set(&cfg->params, value, end + 1, &err);
    }
    for (unsigned e = 0; e < ENCAPS && !strcmp(word, "encap"); e++) {
        if (!strcmp(value, encap_names[e])) {
            cfg->encap = (enum dt_encap)e;
            return 0;
        }
    }
    for (unsigned b = 0; b < BEGINS && !strcmp(word, "begin"); b++) {
        if (!strcmp(value, begin_names[b])) {
            cfg->begin = (enum sim_begin)b;
            return 0;
        }
    }
    return -1;
}

static int trace_read_line(const char *text, struct sim_explore_config *cfg, struct sim_trace *t)
{
    char word[16], value[48];
    if (*text == '#' || *text == '\n')
        return 0;
    if (sscanf(text, "%15s %47s", word, value) != 2)
        return -1;
    for (unsigned k = 0; k < KINDS; k++) {
        char *end;
        unsigned long arg = strtoul(value, &end, 10);
        if (strcmp(word, kind_names[k]))
            continue;
        if (*end || arg > 255 || t->n == SIM_TRACE_MAX)
            return -1;
        t->v[t->n++] = (struct sim_action){(uint8_t)k, (uint8_t)arg};
        return 0;
    }
    return read_head(word, value, cfg);
}

int sim_trace_read(const char *path, struct sim_explore_config *cfg, struct sim_trace *t, struct dt_err *err)
{
    char text[256];
    FILE *f = fopen(path, "r");
    t->n = 0;
    if (!f)
        return dt_err_set(err, 0, "%s cannot be read: %s", path, strerror(errno));
    int line = 1, r = 0;
    if (!fgets(text, sizeof text, f) || strcmp(text, FIRST_LINE))
        r = dt_err_set(err, 0, "%s is not a trace of dovetail-sim explore", path);
    while (!r && fgets(text, sizeof text, f)) {
        line++;
        if (!strchr(text, '\n') || trace_read_line(text, cfg, t))
            r = dt_err_set(err, 0, "%s:%d: not a line of a trace", path, line);
    }
    fclose(f);
    cfg->budget = sim_budget_wide();
    return r ? r : sim_params_check(&cfg->params, err);
}
