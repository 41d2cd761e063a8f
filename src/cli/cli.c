#include "cli/cli.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "control/control.h"

/* In the order of `dovetail help`. A new subcommand is a file of its own, a line here, and one in cli.h. */
static const struct dt_cli_command *const commands[] = {
    &dt_cli_check,   &dt_cli_up,     &dt_cli_down,    &dt_cli_status,   &dt_cli_rekey, &dt_cli_ping,
    &dt_cli_monitor, &dt_cli_reload, &dt_cli_explain, &dt_cli_discover, &dt_cli_nat,   &dt_cli_genpsk,
};

static const struct dt_usage_option global[] = {
    {"socket", "PATH", "the daemon's control socket (default " DT_CONTROL_SOCKET ")", 0},
    {"json", NULL, "the same facts as JSON", 0},
    {"help", NULL, "what a subcommand does, with its arguments and an example", 0},
    {"version", NULL, "which version this is", 0},
};

static const struct dt_usage about = {
    .name = "dovetail",
    .synopsis = "[--socket PATH] [--json] SUBCOMMAND [ARGUMENT...]",
    .summary = "speaks to dovetaild, the IPsec endpoint that proves its tunnels",
    .text = "",
    .options = global,
    .noptions = DT_ARRAY_LEN(global),
    .more = "Exit status: 0 done; 1 refused or failed, with the reason; 2 bad usage or configuration.\n",
};

static void print_help(FILE *out)
{
    fprintf(out, "%s - %s\n\nUsage: %s %s\n       dovetail SUBCOMMAND --help\n\n", about.name, about.summary,
            about.name, about.synopsis);
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputc('\n', out);
    dt_usage_print_options(out, about.options, about.noptions);
    fputc('\n', out);
    dt_fill(out, about.more);
}

/* For docs/pages, which makes manual pages and completions of it. */
static void cli_describe(FILE *out)
{
    dt_usage_describe(out, &about);
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++) {
        const struct dt_cli_command *c = commands[i];
        char name[64];
        snprintf(name, sizeof(name), "dovetail %s", c->name);
        dt_usage_describe(out, &(struct dt_usage){.name = name,
                                                  .synopsis = c->usage,
                                                  .summary = c->summary,
                                                  .text = c->help,
                                                  .options = c->options,
                                                  .noptions = c->noptions,
                                                  .more = c->more});
    }
}

static void print_command_help(const struct dt_cli_command *c, FILE *out)
{
    dt_cli_wrapf(out, 0, "dovetail %s - %s", c->name, c->summary);
    fputc('\n', out);
    dt_cli_wrapf(out, 0, "Usage: dovetail %s%s%s", c->name, *c->usage ? " " : "", c->usage);
    fputc('\n', out);
    dt_fill(out, c->help);
    if (c->noptions > 0) {
        fputc('\n', out);
        dt_usage_print_options(out, c->options, c->noptions);
    }
    if (c->more != NULL) {
        fputc('\n', out);
        dt_fill(out, c->more);
    }
    fputs("\nEverywhere: --socket PATH (the daemon's control socket) and --json.\n", out);
}

static const struct dt_cli_command *command_find(const char *name)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown(struct dt_cli *cli, const char *name)
{
    const char *names[DT_ARRAY_LEN(commands)];
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        names[i] = commands[i]->name;
    const char *near = dt_suggest(name, names, DT_ARRAY_LEN(names));
    if (near != NULL)
        return dt_cli_error(cli, DT_CLI_USAGE, NULL, "there is no subcommand \"%s\"; did you mean \"%s\"?",
                            name, near);
    return dt_cli_error(cli, DT_CLI_USAGE, NULL, "there is no subcommand \"%s\"; `dovetail help` lists them",
                        name);
}

/* Takes the global options out, wherever they stand before "--". The new argc, or -1. */
static int global_options(struct dt_cli *cli, int argc, char **argv, bool *help)
{
    int n = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc)
                argv[n++] = argv[i++];
            break;
        }
        if (strcmp(argv[i], "--json") == 0) {
            cli->json = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help = true;
        } else if (strncmp(argv[i], "--socket=", 9) == 0) {
            cli->socket = argv[i] + 9;
        } else if (strcmp(argv[i], "--socket") == 0) {
            if (i + 1 == argc) {
                dt_cli_error(cli, DT_CLI_USAGE, NULL, "--socket needs a path");
                return -1;
            }
            cli->socket = argv[++i];
        } else {
            argv[n++] = argv[i];
        }
    }
    argv[n] = NULL;
    return n;
}

static int help_for(struct dt_cli *cli, const char *name)
{
    const struct dt_cli_command *c = command_find(name);
    if (c == NULL)
        return unknown(cli, name);
    print_command_help(c, cli->out);
    return DT_CLI_DONE;
}

int dt_cli_main(int argc, char **argv, FILE *out, FILE *err)
{
    struct dt_cli cli = {.out = out, .err = err};
    bool help = false;
    char **args = calloc((size_t)argc + 1, sizeof(*args));
    if (args == NULL)
        return DT_CLI_FAILED;
    memcpy(args, argv, (size_t)argc * sizeof(*args));
    int rc = DT_CLI_USAGE;
    int n = global_options(&cli, argc, args, &help);
    if (n == 1 && !help) {
        if (cli.json)
            dt_cli_error(&cli, DT_CLI_USAGE, NULL, "which subcommand?");
        print_help(err);
    } else if (n == 1 || (n > 1 && strcmp(args[1], "help") == 0 && n == 2)) {
        print_help(out);
        rc = DT_CLI_DONE;
    } else if (n > 2 && strcmp(args[1], "help") == 0) {
        rc = help_for(&cli, args[2]);
    } else if (n > 1 && strcmp(args[1], "--version") == 0) {
        fprintf(out, "dovetail %s\n", DT_VERSION);
        rc = DT_CLI_DONE;
    } else if (n > 1 && strcmp(args[1], "--describe") == 0) {
        cli_describe(out);
        rc = DT_CLI_DONE;
    } else if (n > 1 && help) {
        rc = help_for(&cli, args[1]);
    } else if (n > 1) {
        cli.command = command_find(args[1]);
        rc = cli.command != NULL ? cli.command->run(&cli, n - 1, args + 1) : unknown(&cli, args[1]);
    }
    free(args);
    return rc;
}

int dt_cli_usage(struct dt_cli *cli, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    dt_cli_error(cli, DT_CLI_USAGE, NULL, "%s", text);
    fprintf(cli->err, "Usage: dovetail %s%s%s (more with --help)\n", cli->command->name,
            *cli->command->usage ? " " : "", cli->command->usage);
    return DT_CLI_USAGE;
}

int dt_cli_error(struct dt_cli *cli, int code, json_t *detail, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(cli->err, "dovetail%s%s: %s\n", cli->command != NULL ? " " : "",
            cli->command != NULL ? cli->command->name : "", text);
    if (cli->json) {
        /* What was typed may be no UTF-8, and then no JSON either. */
        json_t *v =
            json_pack("{s:s, s:i, s:O*}", "error", dt_utf8_mend(text), "code", code, "detail", detail);
        dt_cli_json(cli, v);
        json_decref(v);
    }
    json_decref(detail);
    return code;
}

/* Its value is the next word only where it must have one: "--svg [FILE]" is a switch, and FILE an operand. */
static bool wants_value(const struct dt_usage_option *o)
{
    return o->value != NULL && o->value[0] != '[';
}

int dt_cli_options(struct dt_cli *cli, int argc, char **argv, const char **got)
{
    const struct dt_usage_option *options = cli->command->options;
    size_t count = cli->command->noptions;
    int n = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                argv[n++] = argv[i];
            break;
        }
        if (argv[i][0] == '-' && isalpha((unsigned char)argv[i][1])) {
            dt_cli_usage(cli, "there is no option %s; all are long", argv[i]);
            return -1;
        }
        if (argv[i][0] != '-' || argv[i][1] != '-') {
            argv[n++] = argv[i];
            continue;
        }
        const char *name = argv[i] + 2, *eq = strchr(name, '=');
        size_t len = eq != NULL ? (size_t)(eq - name) : strlen(name), k = 0;
        while (k < count && (strlen(options[k].name) != len || strncmp(options[k].name, name, len) != 0))
            k++;
        if (k == count) {
            dt_cli_usage(cli, "there is no option --%.*s", (int)len, name);
            return -1;
        }
        if (!wants_value(&options[k])) {
            if (eq != NULL) {
                dt_cli_usage(cli, "--%s takes no value", options[k].name);
                return -1;
            }
            got[k] = "";
            continue;
        }
        if (eq == NULL && i + 1 == argc) {
            dt_cli_usage(cli, "--%s needs a value", options[k].name);
            return -1;
        }
        got[k] = eq != NULL ? eq + 1 : argv[++i];
    }
    argv[n] = NULL;
    return n;
}
