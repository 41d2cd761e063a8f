#include "sim/cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: dovetail-sim COMMAND [OPTIONS]\n"
    "  list                    the scenarios, each in a sentence\n"
    "  run NAME | all          runs a scenario: what happened, and the verdict\n"
    "  explore                 every order of events within bounds, and what must hold in each state\n"
    "  sweep                   chooses maxidle, pingtime, pingtries, elimit, t_out, n_out, t_ei\n"
    "  discover                what discovery costs among many gateways (run discovery does the same)\n"
    "dovetail-sim COMMAND --help names the options of each. Exit status: 0 all is as promised, 1 it is not, "
    "or a\n"
    "report could not be written, 2 usage, unknown names, impossible parameters, an unreadable trace.\n";

/* What each option says of itself, and which commands have it (their letters: l r e s d). */
static const struct {
    const char *commands, *text;
} options[] = {
    {"lresd", "  --json                  objects for machines\n"},
    {"rs", "  --html FILE             a report for people, one page\n"},
    {"r", "  --svg FILE              the first story's drawing alone\n"},
    {"s", "  --table FILE            the table of docs/parameters.md\n"},
    {"resd", "  --seed N                the first seed (1); the same seed gives the same bytes\n"},
    {"rs", "  --seeds N               so many seeds, one after another (1)\n"},
    {"re", "  --pairing P             plain, client, both, both-accept (run: these four) or both-narrow\n"},
    {"res", "  --set NAME=VALUE        a parameter: keylife rekeymargin rekeyfuzz maxidle pingtime pingtries "
            "pingtime2\n"
            "                          pingtries2 timeout elimit t_out n_out t_ei (seconds or numbers)\n"},
    {"r", "  --clients N, --days N   N clients in pairs, N days with a fault a day for each pair\n"},
    {"r", "  --trace FILE            replays a trace that explore wrote, instead of a scenario\n"},
    {"e", "  --trace FILE            writes the first violation's trace\n"},
    {"e", "  --plant MISTAKE         with a mistake in the engines ('--plant list' names them)\n"},
    {"e", "  --face NAME             one of its bounds alone ('--face list' names them)\n"},
    {"e", "  --depth N, --losses N, --duplicates N, --states N\n"
          "                          other counts than the bounds have\n"},
    {"e",
     "  --audit N               of one in N states that are met again, both ways there are replayed, and "
     "must\n"
     "                          have the same futures: is a field missing in a digest? Takes one process\n"},
    {"d", "  --gateways N            so many (1000)\n"},
    {"res", "  --jobs N                processes (as many as there are processors)\n"},
    {"resd", "  --quiet                 no progress on standard error\n"},
};

static const char *const heads[] = {
    "usage: dovetail-sim list [--json]\n  The scenarios and the pairings, each in a sentence.\n",
    "usage: dovetail-sim run NAME | all [OPTIONS]\n"
    "  Runs a scenario (dovetail-sim list names them) for one seed or many: what happened, and the verdict. "
    "`mixed`, with\n"
    "  --days, brings each pair of clients another scenario every day.\n",
    "usage: dovetail-sim explore [OPTIONS]\n"
    "  Two clients, a NAT and a server through every order of events up to a bound, and what must hold in "
    "each state.\n",
    "usage: dovetail-sim sweep [OPTIONS]\n"
    "  Chooses maxidle, pingtime, pingtries, elimit, t_out, n_out and t_ei by what recovery and overhead "
    "cost.\n",
    "usage: dovetail-sim discover [OPTIONS]\n"
    "  What discovery costs among many gateways.\n",
};

static int help(const char *command)
{
    static const char letters[] = "lresd";
    const char *at = strchr(letters, command[0]);
    fputs(heads[at - letters], stdout);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strchr(options[i].commands, command[0]))
            fputs(options[i].text, stdout);
    return 0;
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

static int number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out)
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
    const struct {
        const char *word;
        const char **text;
        uint64_t *number;
        uint64_t least, most;
    } known[] = {
        {"--html", &o->html, NULL, 0, 0},
        {"--svg", &o->svg, NULL, 0, 0},
        {"--trace", &o->trace, NULL, 0, 0},
        {"--pairing", &o->pairing, NULL, 0, 0},
        {"--plant", &o->plant, NULL, 0, 0},
        {"--face", &o->face, NULL, 0, 0},
        {"--table", &o->table, NULL, 0, 0},
        {"--seed", NULL, &o->seed, 0, UINT64_MAX / 2},
        {"--seeds", NULL, &o->seeds, 1, 100000000},
        {"--losses", NULL, &o->losses, 0, 16},
        {"--duplicates", NULL, &o->duplicates, 0, 16},
        {"--states", NULL, &o->states, 1, 400000000},
        {"--audit", NULL, &o->audit, 1, 1000000000},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(word, known[i].word))
            continue;
        if (!value) {
            sim_complain(2, "%s wants a value", word);
            return -1;
        }
        if (known[i].text)
            *known[i].text = value;
        else if (number(word, value, known[i].least, known[i].most, known[i].number))
            return -1;
        return 2;
    }
    uint64_t v = 0;
    if (!strcmp(word, "--json"))
        o->json = true;
    else if (!strcmp(word, "--quiet"))
        o->quiet = true;
    else if (!strcmp(word, "--all"))
        o->all = true;
    else if (!strcmp(word, "--set"))
        return set_param(o, value) ? -1 : 2;
    else if (!strcmp(word, "--clients"))
        return number(word, value, 2, 20000, &v) ? -1 : (o->clients = (uint32_t)(v + v % 2), 2);
    else if (!strcmp(word, "--gateways"))
        return number(word, value, 10, 62500, &v) ? -1 : (o->gateways = (uint32_t)v, 2);
    else if (!strcmp(word, "--days"))
        return number(word, value, 1, 3650, &v) ? -1 : (o->days = (uint32_t)v, 2);
    else if (!strcmp(word, "--depth"))
        return number(word, value, 1, 200, &v) ? -1 : (o->depth = (uint32_t)v, 2);
    else if (!strcmp(word, "--jobs"))
        return number(word, value, 1, 64, &v) ? -1 : (o->jobs = (unsigned)v, 2);
    else {
        sim_complain(2, "\"%s\" is no option; dovetail-sim COMMAND --help names them", word);
        return -1;
    }
    return 1;
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
    static const struct {
        const char *name;
        int (*run)(const struct sim_options *o);
    } commands[] = {
        {"list", sim_cmd_list},   {"run", sim_cmd_run},           {"explore", sim_cmd_explore},
        {"sweep", sim_cmd_sweep}, {"discover", sim_cmd_discover},
    };
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help") || !strcmp(argv[1], "-h"))) {
        fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
        struct sim_options o;
        if (strcmp(argv[1], commands[i].name))
            continue;
        for (int k = 2; k < argc; k++)
            if (!strcmp(argv[k], "--help") || !strcmp(argv[k], "-h"))
                return help(argv[1]);
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
    fputs(usage, stderr);
    return 2;
}
