#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/explore.h"
#include "sim/report.h"

/* ---- the bounds, and parameters that make timers meet soon ----------------------------------- */

struct sim_explore_config sim_explore_default(void)
{
    struct sim_explore_config c = {
        .seed = 1,
        .pairing = sim_pairing_by_name("both"),
        .params = sim_params_default(),
        .budget = {.lose = 1, .duplicate = 1, .tick = 1, .env = {1, 0, 0, 1, 1, 0, 1, 0}},
        .depth = 64,
        .jobs = 1,
        .states_max = 16000000,
    };
    return c;
}

/* ---- mistakes -------------------------------------------------------------------------------- */

enum owner { CLIENT_OR_SERVER, NAT };

static const struct plant {
    const char *name, *what;
    enum owner owner;
    size_t offset;
    bool cold;
} plants[] = {
#define EPOCH(field, text, cold)                                                                             \
    {                                                                                                        \
#field, text, CLIENT_OR_SERVER, offsetof(struct dt_epoch_faults, field), cold                        \
    }
#define MASQ(field, text, cold)                                                                              \
    {                                                                                                        \
#field, text, NAT, offsetof(struct dt_masq_faults, field), cold                                      \
    }
    EPOCH(switch_at_once, "the client sends data on a new epoch before it is verified", false),
    EPOCH(server_switch_at_once, "the server sends data on a new epoch before it is heard", false),
    EPOCH(no_idle_ping, "maxidle passes and the client sends nothing", false),
    EPOCH(one_probe, "a new epoch is probed once, not again every pingtime", true),
    EPOCH(probe_forever, "pingtries is ignored: no new epoch follows", false),
    EPOCH(verify_on_any, "a packet on the old epoch verifies the new one", false),
    EPOCH(delete_unproved, "the old epoch is deleted as soon as the new one is negotiated", false),
    EPOCH(no_timeout, "a negotiation is never abandoned", false),
    EPOCH(no_elimit, "a session is never dropped, however often it fails", false),
    EPOCH(idle_ends_nothing, "pingtries2 pings are not answered, and no new epoch follows", false),
    EPOCH(server_no_fallback, "neither DELETE nor the old epoch's end moves the server to the new epoch",
          false),
    MASQ(convert_waiting, "the NAT gives a new SPI to the client that was made to wait", true),
    MASQ(two_outstanding, "a client's new SPI takes the place of another client's outstanding item", false),
    MASQ(keep_outstanding, "the NAT never looks at t_out", false),
    MASQ(ignore_server, "the NAT does not serialise equal cookies", true),
    MASQ(short_t_ei, "traffic does not keep an established item alive", false),
};
#define PLANTS (sizeof plants / sizeof *plants)

const char *sim_explore_plant_name(int i, const char **what)
{
    if (i < 0 || (size_t)i >= PLANTS)
        return NULL;
    if (what)
        *what = plants[i].what;
    return plants[i].name;
}

bool sim_explore_plant(struct sim_explore_config *cfg, const char *name)
{
    for (size_t i = 0; i < PLANTS; i++) {
        if (strcmp(plants[i].name, name))
            continue;
        char *faults = plants[i].owner == NAT ? (char *)&cfg->masq_faults : (char *)&cfg->params.epoch.faults;
        *(bool *)(faults + plants[i].offset) = true;
        cfg->plant = plants[i].name;
        cfg->shallow_first = true;
        cfg->states_max = 2000000;
        cfg->budget = (struct sim_budget){.lose = 1, .tick = 1, .env = {1, 0, 0, 1, 1, 0, 1, 0}};
        cfg->cold |= plants[i].cold;
        return true;
    }
    return false;
}

/* ---- traces ---------------------------------------------------------------------------------- */

static const char *const kind_names[] = {"deliver", "lose", "double", "tick", "world"};

static void tell_all(const struct sim_explore_config *cfg, const struct sim_trace *t, struct sim_text *out,
                     bool with_words, const char **wrong)
{
    struct dt_err err = {0};
    static char said[DT_ERR_TEXT];
    struct sim_state *s = sim_state_new(cfg, &err);
    dt_time took;
    *wrong = NULL;
    for (int i = 0; s && i < t->n; i++) {
        char text[SIM_ACTION_TEXT];
        sim_state_tell(s, t->v[i], text);
        if (with_words)
            sim_text_add(out, "%3d %9.3f s  %s\n", i + 1, dt_time_seconds(sim_state_now(s)), text);
        else
            sim_text_add(out, "%s %u\t# %s\n", kind_names[t->v[i].kind], t->v[i].arg, text);
        if (!sim_state_apply(s, t->v[i]))
            break;
        *wrong = sim_state_violation(s);
        if (*wrong)
            break;
    }
    if (s && !*wrong)
        *wrong = sim_state_unfair(s, &took);
    if (*wrong) {
        snprintf(said, sizeof said, "%s", *wrong);
        *wrong = said;
    }
    if (!s) {
        snprintf(said, sizeof said, "%s", err.text);
        *wrong = said;
    }
    sim_state_free(s);
}

int sim_trace_write(const char *path, const struct sim_explore_config *cfg, const struct sim_trace *t,
                    struct dt_err *err)
{
    struct sim_text out = {0};
    const char *wrong;
    sim_text_add(&out, "dovetail-sim trace 1\nseed %llu\npairing %s\nbegin %s\nplant %s\n",
                 (unsigned long long)cfg->seed, cfg->pairing->name, cfg->cold ? "cold" : "up",
                 cfg->plant ? cfg->plant : "none");
    tell_all(cfg, t, &out, false, &wrong);
    if (wrong)
        sim_text_add(&out, "# %s\n", wrong);
    int r = sim_text_write(&out, path, err);
    sim_text_free(&out);
    return r;
}

static int bad_line(const char *path, int line, struct dt_err *err)
{
    return dt_err_set(err, 0, "%s:%d: not a line of a trace", path, line);
}

static int read_line(const char *text, struct sim_explore_config *cfg, struct sim_trace *t)
{
    char word[16], value[48];
    if (*text == '#' || *text == '\n')
        return 0;
    if (sscanf(text, "%15s %47s", word, value) != 2)
        return -1;
    if (!strcmp(word, "seed")) {
        char *end;
        cfg->seed = strtoull(value, &end, 10);
        return *end ? -1 : 0;
    }
    if (!strcmp(word, "pairing"))
        return (cfg->pairing = sim_pairing_by_name(value)) ? 0 : -1;
    if (!strcmp(word, "begin")) {
        cfg->cold = !strcmp(value, "cold");
        return cfg->cold || !strcmp(value, "up") ? 0 : -1;
    }
    if (!strcmp(word, "plant"))
        return !strcmp(value, "none") || sim_explore_plant(cfg, value) ? 0 : -1;
    for (unsigned k = 0; k < 5; k++) {
        char *end;
        unsigned long arg = strtoul(value, &end, 10);
        if (strcmp(word, kind_names[k]))
            continue;
        if (*end || arg > 255 || t->n == SIM_TRACE_MAX)
            return -1;
        t->v[t->n++] = (struct sim_action){(uint8_t)k, (uint8_t)arg};
        return 0;
    }
    return -1;
}

int sim_trace_read(const char *path, struct sim_explore_config *cfg, struct sim_trace *t, struct dt_err *err)
{
    char text[256];
    FILE *f = fopen(path, "r");
    t->n = 0;
    if (!f)
        return dt_err_set(err, 0, "%s cannot be read: %s", path, strerror(errno));
    int line = 1, r = 0;
    if (!fgets(text, sizeof text, f) || strcmp(text, "dovetail-sim trace 1\n"))
        r = dt_err_set(err, 0, "%s is not a trace of dovetail-sim explore", path);
    while (!r && fgets(text, sizeof text, f)) {
        line++;
        if (!strchr(text, '\n') || read_line(text, cfg, t))
            r = bad_line(path, line, err);
    }
    fclose(f);
    return r;
}

int sim_explore_replay(const struct sim_options *o)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_trace t;
    struct sim_text out = {0};
    struct dt_err err;
    const char *wrong;
    cfg.budget = (struct sim_budget){255, 255, 255, {255, 255, 255, 255, 255, 255, 255, 255}};
    if (o->params_set)
        cfg.params = o->params;
    if (sim_trace_read(o->trace, &cfg, &t, &err))
        return sim_complain(2, "%s", err.text);
    tell_all(&cfg, &t, &out, true, &wrong);
    if (o->json) {
        printf("{\"trace\": %d, \"violation\": ", t.n);
        struct sim_text json = {0};
        sim_text_json(&json, wrong ? wrong : "");
        printf("%s}\n", json.p);
        sim_text_free(&json);
    } else {
        printf("%s%s%s\n", out.p ? out.p : "", wrong ? "violated: " : "nothing is violated",
               wrong ? wrong : "");
    }
    sim_text_free(&out);
    return wrong ? 1 : 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void report(const struct sim_options *o, const struct sim_explore_config *cfg,
                   const struct sim_explored *e)
{
    struct sim_text out = {0};
    const char *wrong = NULL;
    if (o->json) {
        sim_text_add(&out,
                     "{\"states\": %llu, \"transitions\": %llu, \"depth\": %u, \"exhausted\": %s, "
                     "\"violations\": %u, ",
                     (unsigned long long)e->states, (unsigned long long)e->transitions, cfg->depth,
                     e->exhausted ? "true" : "false", e->violations);
        sim_text_add(&out, "\"pairing\": \"%s\", \"begin\": \"%s\", \"plant\": ", cfg->pairing->name,
                     cfg->cold ? "cold" : "up");
        sim_text_json(&out, cfg->plant ? cfg->plant : "none");
        sim_text_add(&out,
                     ", \"longest_recovery_s\": %.3f, \"bound_s\": %.3f, \"losses\": %u, \"duplicates\": %u, "
                     "\"ticks\": %u",
                     e->worst_s, e->bound_s, cfg->budget.lose, cfg->budget.duplicate, cfg->budget.tick);
        if (e->violations) {
            sim_text_put(&out, ", \"violation\": ");
            sim_text_json(&out, e->what);
            sim_text_add(&out, ", \"trace\": %d", e->trace.n);
        }
        sim_text_put(&out, "}\n");
    } else {
        sim_text_add(
            &out, "%llu states, %llu transitions; %u losses, %u duplicates, %u timers, depth up to %u: %s\n",
            (unsigned long long)e->states, (unsigned long long)e->transitions, cfg->budget.lose,
            cfg->budget.duplicate, cfg->budget.tick, cfg->depth,
            e->exhausted ? "exhausted" : "not exhausted");
        sim_text_add(&out,
                     "longest way back to traffic on a fair network: %.1f s of the %.1f s that the "
                     "parameters promise\n",
                     e->worst_s, e->bound_s);
        if (e->violations) {
            sim_text_add(&out, "violated: %s\nthe shortest way there:\n", e->what);
            struct sim_explore_config wide = *cfg;
            wide.budget = (struct sim_budget){255, 255, 255, {255, 255, 255, 255, 255, 255, 255, 255}};
            tell_all(&wide, &e->trace, &out, true, &wrong);
        } else {
            sim_text_put(&out, "nothing is violated\n");
        }
    }
    fputs(out.p, stdout);
    sim_text_free(&out);
}

int sim_cmd_explore(const struct sim_options *o)
{
    struct sim_explore_config cfg = sim_explore_default();
    struct sim_explored e;
    struct dt_err err = {0};
    if (o->plant && !strcmp(o->plant, "list")) {
        const char *what, *name;
        for (int i = 0; (name = sim_explore_plant_name(i, &what)); i++)
            printf("%-22s %s\n", name, what);
        return 0;
    }
    cfg.seed = o->seed;
    cfg.jobs = o->jobs;
    cfg.progress = !o->quiet;
    if (o->params_set)
        cfg.params = o->params;
    if (o->pairing)
        cfg.pairing = sim_pairing_by_name(o->pairing);
    if (o->depth)
        cfg.depth = o->depth;
    if (o->losses != UINT64_MAX)
        cfg.budget.lose = (uint8_t)o->losses;
    if (o->duplicates != UINT64_MAX)
        cfg.budget.duplicate = (uint8_t)o->duplicates;
    if (o->plant && !sim_explore_plant(&cfg, o->plant))
        return sim_complain(2, "there is no mistake \"%s\" to plant; --plant list names them", o->plant);
    if (o->states)
        cfg.states_max = o->states;
    if (sim_explore(&cfg, &e, &err))
        return sim_complain(1, "%s", err.text);
    report(o, &cfg, &e);
    if (e.violations && o->trace && sim_trace_write(o->trace, &cfg, &e.trace, &err))
        return sim_complain(1, "%s", err.text);
    return e.violations ? 1 : 0;
}
