#include "cli/cli.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/suggest.h"

/* In the order of `dovetail help`. A new subcommand is a file of its own, a line here, and one in cli.h. */
static const struct dt_cli_command *const commands[] = {
    &dt_cli_check,   &dt_cli_up,     &dt_cli_down,    &dt_cli_status,   &dt_cli_rekey, &dt_cli_ping,
    &dt_cli_monitor, &dt_cli_reload, &dt_cli_explain, &dt_cli_discover, &dt_cli_nat,
};

static const char about[] =
    "dovetail - speaks to dovetaild, the IPsec endpoint that proves every tunnel before it uses it\n"
    "\n"
    "Usage: dovetail [--socket PATH] [--json] SUBCOMMAND [ARGUMENT...]\n"
    "       dovetail SUBCOMMAND --help\n"
    "\n";

static const char global_help[] =
    "\n"
    "  --socket PATH   the daemon's control socket (default /run/dovetail/dovetaild.sock)\n"
    "  --json          the same facts as JSON\n"
    "  --help          what a subcommand does, with its arguments and an example\n"
    "\n"
    "Exit status: 0 done; 1 refused or failed, with the reason; 2 bad usage or configuration.\n";

static void print_help(FILE *out)
{
    fputs(about, out);
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fputs(global_help, out);
}

/* Prints text with its paragraphs filled to the width; a line that begins with a blank stands as it is. */
static void print_filled(const char *text, FILE *out)
{
    size_t column = 0;
    while (*text) {
        size_t len = strcspn(text, "\n");
        if (len == 0 || *text == ' ') {
            if (column > 0)
                fputc('\n', out);
            column = 0;
            fprintf(out, "%.*s\n", (int)len, text);
        }
        for (const char *p = text; *text != ' ' && p < text + len;) {
            size_t word = strcspn(p, " \n");
            if (column > 0 && column + 1 + word > DT_CLI_WIDTH) {
                fputc('\n', out);
                column = 0;
            }
            fprintf(out, "%s%.*s", column > 0 ? " " : "", (int)word, p);
            column += word + (column > 0);
            p += word + strspn(p + word, " ");
        }
        text += len + (text[len] == '\n');
    }
    if (column > 0)
        fputc('\n', out);
}

static void print_command_help(const struct dt_cli_command *c, FILE *out)
{
    fprintf(out, "dovetail %s - %s\n\nUsage: dovetail %s%s%s\n\n", c->name, c->summary, c->name,
            *c->usage ? " " : "", c->usage);
    print_filled(c->help, out);
    fputs("\nEverywhere: --socket PATH (the daemon's control socket), --json (the same facts as JSON).\n",
          out);
}

static const struct dt_cli_command *find(const char *name)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown(const char *name, FILE *err)
{
    const char *names[DT_ARRAY_LEN(commands)];
    for (size_t i = 0; i < DT_ARRAY_LEN(commands); i++)
        names[i] = commands[i]->name;
    const char *near = dt_suggest(name, names, DT_ARRAY_LEN(names));
    fprintf(err, "dovetail: there is no subcommand \"%s\"", name);
    if (near != NULL)
        fprintf(err, "; did you mean \"%s\"?\n", near);
    else
        fputs("; `dovetail help` lists them\n", err);
    return DT_CLI_USAGE;
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
                fputs("dovetail: --socket needs a path\n", cli->err);
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

static int help_for(const char *name, FILE *out, FILE *err)
{
    const struct dt_cli_command *c = find(name);
    if (c == NULL)
        return unknown(name, err);
    print_command_help(c, out);
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
        print_help(err);
    } else if (n == 1 || (n > 1 && strcmp(args[1], "help") == 0 && n == 2)) {
        print_help(out);
        rc = DT_CLI_DONE;
    } else if (n > 2 && strcmp(args[1], "help") == 0) {
        rc = help_for(args[2], out, err);
    } else if (n > 1 && strcmp(args[1], "--version") == 0) {
        fprintf(out, "dovetail %s\n", DT_VERSION);
        rc = DT_CLI_DONE;
    } else if (n > 1 && help) {
        rc = help_for(args[1], out, err);
    } else if (n > 1) {
        cli.command = find(args[1]);
        rc = cli.command != NULL ? cli.command->run(&cli, n - 1, args + 1) : unknown(args[1], err);
    }
    free(args);
    return rc;
}

int dt_cli_usage(struct dt_cli *cli, const char *fmt, ...)
{
    char text[512];
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
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(cli->err, "dovetail %s: %s\n", cli->command->name, text);
    if (cli->json) {
        json_t *v = json_pack("{s:s, s:i, s:O*}", "error", text, "code", code, "detail", detail);
        dt_cli_json(cli, v);
        json_decref(v);
    }
    json_decref(detail);
    return code;
}

int dt_cli_options(struct dt_cli *cli, int argc, char **argv, const struct dt_cli_option *options,
                   size_t count)
{
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
        if (options[k].value == NULL) {
            if (eq != NULL) {
                dt_cli_usage(cli, "--%s takes no value", options[k].name);
                return -1;
            }
            *options[k].flag = true;
            continue;
        }
        if (eq == NULL && i + 1 == argc) {
            dt_cli_usage(cli, "--%s needs a value", options[k].name);
            return -1;
        }
        *options[k].value = eq != NULL ? eq + 1 : argv[++i];
        if (options[k].flag != NULL)
            *options[k].flag = true;
    }
    argv[n] = NULL;
    return n;
}
