#include "sim/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fill.h"
#include "base/usage.h"

#define AT(member) offsetof(struct sim_options, member)
enum kind { FLAG, TEXT, NUMBER32, NUMBER64, PAIRS, PARAM };

/* Which commands have an option (their letters: l r e s d), what it says of itself, and what becomes of its value. */
static const struct {
    const char *commands;
    struct dt_usage_option say;
    enum kind kind;
    size_t at;
    uint64_t least, most;
} options[] = {
    {"lresd", {"json", NULL, "objects for machines", 0}, FLAG, AT(json), 0, 0},
    {"rs", {"html", "FILE", "a report for people, one page", 0}, TEXT, AT(html), 0, 0},
    {"r", {"svg", "FILE", "the first story's drawing alone", 0}, TEXT, AT(svg), 0, 0},
    {"s", {"table", "FILE", "the table of docs/parameters.md", 0}, TEXT, AT(table), 0, 0},
    {"resd",
     {"seed", "N", "the first seed (1); the same seed gives the same bytes", 0},
     NUMBER64,
     AT(seed),
     0,
     UINT64_MAX / 2},
    {"rs", {"seeds", "N", "so many seeds, one after another (1)", 0}, NUMBER64, AT(seeds), 1, 100000000},
    {"re",
     {"pairing", "P", "plain, client, both, both-accept (run: these four) or both-narrow", 0},
     TEXT,
     AT(pairing),
     0,
     0},
    {"res",
     {"set", "NAME=VALUE",
      "a parameter: keylife rekeymargin rekeyfuzz maxidle pingtime pingtries pingtime2 pingtries2 timeout "
      "elimit "
      "t_out n_out t_ei (seconds or numbers)",
      0},
     PARAM,
     0,
     0,
     0},
    {"r", {"clients", "N", "so many clients, in pairs", 0}, PAIRS, AT(clients), 2, 20000},
    {"r", {"days", "N", "so many days, with a fault a day for each pair", 0}, NUMBER32, AT(days), 1, 3650},
    {"r",
     {"trace", "FILE", "replays a trace that explore wrote, instead of a scenario", 0},
     TEXT,
     AT(trace),
     0,
     0},
    {"e", {"trace", "FILE", "writes the first violation's trace", 0}, TEXT, AT(trace), 0, 0},
    {"e",
     {"plant", "MISTAKE", "with a mistake in the engines (`--plant list` names them)", 0},
     TEXT,
     AT(plant),
     0,
     0},
    {"e", {"face", "NAME", "one of its bounds alone (`--face list` names them)", 0}, TEXT, AT(face), 0, 0},
    {"e", {"depth", "N", "another depth than the bounds have", 0}, NUMBER32, AT(depth), 1, 200},
    {"e", {"losses", "N", "another number of lost packets", 0}, NUMBER64, AT(losses), 0, 16},
    {"e",
     {"duplicates", "N", "another number of packets that come twice", 0},
     NUMBER64,
     AT(duplicates),
     0,
     16},
    {"e", {"states", "N", "another number of states at most", 0}, NUMBER64, AT(states), 1, 400000000},
    {"e",
     {"audit", "N",
      "of one in N states that are met again, both ways there are replayed, and must have the same futures: "
      "is a field "
      "missing in a digest? Takes one process",
      0},
     NUMBER64,
     AT(audit),
     1,
     1000000000},
    {"d", {"gateways", "N", "so many (1000)", 0}, NUMBER32, AT(gateways), 10, 62500},
    {"res", {"jobs", "N", "processes (as many as there are processors)", 0}, NUMBER32, AT(jobs), 1, 64},
    {"resd", {"quiet", NULL, "no progress on standard error", 0}, FLAG, AT(quiet), 0, 0},
};

static const struct {
    const char *name, *synopsis, *summary, *text;
    int (*run)(const struct sim_options *o);
} commands[] = {
    {"list", "[--json]", "the scenarios, each in a sentence",
     "The scenarios and the pairings, each in a sentence.\n", sim_cmd_list},
    {"run", "NAME | all [OPTIONS]", "runs a scenario: what happened, and the verdict",
     "Runs a scenario (`dovetail-sim list` names them) for one seed or many: what happened, and the verdict. "
     "`mixed`, with --days, brings each pair of clients another scenario every day.\n",
     sim_cmd_run},
    {"explore", "[OPTIONS]", "every order of events within bounds, and what must hold",
     "Two clients, a NAT and a server through every order of events up to a bound, and what must hold in "
     "each state.\n",
     sim_cmd_explore},
    {"sweep", "[OPTIONS]", "chooses maxidle, pingtime, pingtries, elimit, t_out, n_out, t_ei",
     "Chooses maxidle, pingtime, pingtries, elimit, t_out, n_out and t_ei by what recovery and overhead "
     "cost.\n",
     sim_cmd_sweep},
    {"discover", "[OPTIONS]", "what discovery costs among many gateways",
     "What discovery costs among many gateways.\n", sim_cmd_discover},
};

static const struct dt_usage about = {
    .name = "dovetail-sim",
    .synopsis = "COMMAND [OPTIONS]",
    .summary = "the races between NAT and IPsec, on the code that ships",
    .text = "",
    .more = "`dovetail-sim COMMAND --help` names the options of each, and `dovetail-sim --version` says "
            "which version "
            "this is.\n\n"
            "Exit status: 0 all is as promised; 1 it is not, or a report could not be written; 2 usage, "
            "unknown names, "
            "impossible parameters, an unreadable trace.\n",
};

static void print_usage(FILE *out)
{
    fprintf(out, "%s - %s\n\nUsage: %s %s\n\n", about.name, about.summary, about.name, about.synopsis);
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputc('\n', out);
    dt_fill(out, about.more);
}

/* One command's part of the table. */
static void say_command(size_t i, void (*say)(FILE *out, const struct dt_usage *u))
{
    struct dt_usage_option mine[DT_ARRAY_LEN(options)];
    struct dt_usage u = {.synopsis = commands[i].synopsis,
                         .summary = commands[i].summary,
                         .text = commands[i].text,
                         .options = mine};
    char name[64];
    snprintf(name, sizeof name, "dovetail-sim %s", commands[i].name);
    u.name = name;
    for (size_t k = 0; k < DT_ARRAY_LEN(options); k++)
        if (strchr(options[k].commands, commands[i].name[0]))
            mine[u.noptions++] = options[k].say;
    say(stdout, &u);
}

/* For docs/pages, which makes manual pages and completions of it. */
static void sim_describe(void)
{
    dt_usage_describe(stdout, &about);
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        say_command(i, dt_usage_describe);
}

int sim_complain(int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fflush(stdout);
    fputs("dovetail-sim: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return status;
}

static int option_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = text ? strtoull(text, &end, 10) : 0;
    if (!text || !*text || *end || *text == '-' || errno || v < least || v > most)
        return sim_complain(2, "%s wants a number from %llu to %llu, not \"%s\"", option,
                            (unsigned long long)least, (unsigned long long)most, text ? text : "");
    *out = v;
    return 0;
}

static int set_param(struct sim_options *o, const char *text)
{
    struct dt_err err;
    char name[32];
    const char *eq = text ? strchr(text, '=') : NULL;
    if (!eq || (size_t)(eq - text) >= sizeof name)
        return sim_complain(2, "--set wants NAME=VALUE, not \"%s\"", text ? text : "");
    memcpy(name, text, (size_t)(eq - text));
    name[eq - text] = 0;
    o->params_set = true;
    return sim_params_set(&o->params, name, eq + 1, &err) ? sim_complain(2, "%s", err.text) : 0;
}

/* One option with its value; how many words it took, or -1. */
static int option(struct sim_options *o, const char *word, const char *value)
{
    size_t i = 0;
    while (i < DT_ARRAY_LEN(options) && (strncmp(word, "--", 2) || strcmp(word + 2, options[i].say.name)))
        i++;
    if (i == DT_ARRAY_LEN(options)) {
        sim_complain(2, "\"%s\" is no option; dovetail-sim COMMAND --help names them", word);
        return -1;
    }
    char *at = (char *)o + options[i].at;
    enum kind kind = options[i].kind;
    uint64_t v = 0;
    if (kind == FLAG) {
        *(bool *)at = true;
        return 1;
    }
    if (kind == PARAM)
        return set_param(o, value) ? -1 : 2;
    if (!value) {
        sim_complain(2, "%s wants a value", word);
        return -1;
    }
    if (kind == TEXT)
        *(const char **)at = value;
    else if (option_number(word, value, options[i].least, options[i].most, &v))
        return -1;
    else if (kind == NUMBER64)
        *(uint64_t *)at = v;
    else
        *(uint32_t *)at = (uint32_t)(v + (kind == PAIRS ? v % 2 : 0));
    return 2;
}

int sim_options_read(struct sim_options *o, const char *command, int argc, char **argv)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct dt_err err;
    *o = (struct sim_options){.seed = 1, .seeds = 1, .clients = 2, .params = sim_params_default()};
    o->jobs = cpus > 0 ? (unsigned)cpus : 1;
    o->quiet = !isatty(2);
    o->losses = o->duplicates = UINT64_MAX;
    for (int i = 0; i < argc;) {
        if (argv[i][0] == '-') {
            int n = option(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            if (n < 0)
                return 2;
            i += n;
        } else if (o->name || strcmp(command, "run")) {
            return sim_complain(2, "\"%s\" is one word too many", argv[i]);
        } else {
            o->name = argv[i++];
        }
    }
    if (o->name && !strcmp(o->name, "all")) {
        o->name = NULL;
        o->all = true;
    }
    if (o->pairing && !sim_pairing_by_name(o->pairing))
        return sim_complain(
            2, "there is no pairing \"%s\"; there are plain, client, both, both-accept and both-narrow",
            o->pairing);
    if (o->params_set && sim_params_check(&o->params, &err))
        return sim_complain(2, "%s", err.text);
    return 0;
}

int sim_main(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help") || !strcmp(argv[1], "-h"))) {
        print_usage(stdout);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "--version")) {
        puts("dovetail-sim " DT_VERSION);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "--describe")) {
        sim_describe();
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < DT_ARRAY_LEN(commands); i++) {
        struct sim_options o;
        if (strcmp(argv[1], commands[i].name))
            continue;
        for (int k = 2; k < argc; k++)
            if (!strcmp(argv[k], "--help") || !strcmp(argv[k], "-h")) {
                say_command(i, dt_usage_print);
                return 0;
            }
        if (sim_options_read(&o, argv[1], argc - 2, argv + 2))
            return 2;
        int status = commands[i].run(&o);
        if (fflush(stdout) || ferror(stdout))
            return sim_complain(1, "standard output: %s", strerror(errno));
        return status;
    }
    if (argc > 1)
        return sim_complain(2, "there is no command \"%s\"; there are list, run, explore, sweep and discover",
                            argv[1]);
    print_usage(stderr);
    return 2;
}
