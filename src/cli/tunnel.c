/* up, down, rekey, reload: ask the daemon, say what came of it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "control/control.h"

/* An argument list {"tunnels": [...], "wait": bool, "timeout_ms": N} out of the operands; NULL when usage was
 * wrong. */
static json_t *tunnel_args(struct dt_cli *cli, int argc, char **argv, bool wait, const char *timeout)
{
    char *end = NULL;
    double seconds = timeout != NULL ? strtod(timeout, &end) : 30;
    if (timeout != NULL && (*end != '\0' || end == timeout || !(seconds > 0) || seconds > 3600)) {
        dt_cli_usage(cli, "--timeout is a number of seconds from 0 to 3600, not \"%s\"", timeout);
        return NULL;
    }
    json_t *names = json_array();
    for (int i = 1; i < argc; i++)
        json_array_append_new(names, json_string(argv[i]));
    return json_pack("{s:o, s:b, s:I}", "tunnels", names, "wait", wait, "timeout_ms",
                     (json_int_t)(seconds * 1000));
}

/* The result is {"tunnels": [{"name", "text"}]}. */
static int say_to_daemon(struct dt_cli *cli, const char *command, json_t *args)
{
    json_t *result, *t;
    size_t i;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET, command, args, &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json) {
        dt_cli_json(cli, result);
    } else {
        json_array_foreach(json_object_get(result, "tunnels"), i, t)
            fprintf(cli->out, "%s: %s\n", dt_cli_str(t, "name"), dt_cli_str(t, "text"));
    }
    json_decref(result);
    return DT_CLI_DONE;
}

enum { UP_NO_WAIT, UP_TIMEOUT, UP_OPTIONS };
static const struct dt_usage_option up_options[] = {
    [UP_NO_WAIT] = {"no-wait", NULL, "only ask for it", 0},
    [UP_TIMEOUT] = {"timeout", "SECONDS", "how long to wait (default 30)", 0},
};

static int run_up(struct dt_cli *cli, int argc, char **argv)
{
    const char *got[UP_OPTIONS] = {0};
    argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    json_t *args = tunnel_args(cli, argc, argv, got[UP_NO_WAIT] == NULL, got[UP_TIMEOUT]);
    return args != NULL ? say_to_daemon(cli, cli->command->name, args) : DT_CLI_USAGE;
}

const struct dt_cli_command dt_cli_up = {
    "up",
    "[--no-wait] [--timeout SECONDS] [TUNNEL...]",
    "bring tunnels up and wait until they are verified",
    "Brings the named tunnels up, or all of them. It returns when each is verified: an authenticated packet\n"
    "has come back through it. One that nothing can prove (probe = off, or a peer that answers no control "
    "packet)\n"
    "is there once its epoch carries data, and is called unproved. When one cannot be brought up it says "
    "which leg\n"
    "failed and why, and the daemon goes on trying.\n",
    up_options,
    UP_OPTIONS,
    "Example: dovetail up office\n",
    run_up};

enum { REKEY_IKE, REKEY_NO_WAIT, REKEY_TIMEOUT, REKEY_OPTIONS };
static const struct dt_usage_option rekey_options[] = {
    [REKEY_IKE] = {"ike", NULL, "rekey the IKE SA instead", 0},
    [REKEY_NO_WAIT] = {"no-wait", NULL, "only ask for it", 0},
    [REKEY_TIMEOUT] = {"timeout", "SECONDS", "how long to wait (default 30)", 0},
};

static int run_rekey(struct dt_cli *cli, int argc, char **argv)
{
    const char *got[REKEY_OPTIONS] = {0};
    argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    if (argc < 2)
        return dt_cli_usage(cli, "which tunnel?");
    json_t *args = tunnel_args(cli, argc, argv, got[REKEY_NO_WAIT] == NULL, got[REKEY_TIMEOUT]);
    if (args == NULL)
        return DT_CLI_USAGE;
    json_object_set_new(args, "ike", json_boolean(got[REKEY_IKE] != NULL));
    return say_to_daemon(cli, "rekey", args);
}

const struct dt_cli_command dt_cli_rekey = {
    "rekey",
    "[--ike] [--no-wait] [--timeout SECONDS] TUNNEL...",
    "begin a new epoch now",
    "Negotiates a new epoch for the named tunnels and waits until it "
    "is verified and in use. Data keeps flowing on\n"
    "the previous epoch meanwhile. A gateway's clients are named by their "
    "identity; a Dovetail among them takes\n"
    "it with server_rekey = accept.\n",
    rekey_options,
    REKEY_OPTIONS,
    "Example: dovetail rekey office\n",
    run_rekey};

static const struct dt_usage_option down_options[] = {{"all", NULL, "every tunnel", 0}};

static int run_down(struct dt_cli *cli, int argc, char **argv)
{
    const char *got = NULL;
    argc = dt_cli_options(cli, argc, argv, &got);
    if (argc < 0)
        return DT_CLI_USAGE;
    bool all = got != NULL;
    if ((argc < 2) == !all)
        return dt_cli_usage(cli, all ? "--all and names exclude each other"
                                     : "which tunnel? (--all for all of them)");
    json_t *args = tunnel_args(cli, argc, argv, false, NULL);
    json_object_set_new(args, "all", json_boolean(all));
    return say_to_daemon(cli, "down", args);
}

static int run_reload(struct dt_cli *cli, int argc, char **argv)
{
    argc = dt_cli_options(cli, argc, argv, NULL);
    if (argc < 0)
        return DT_CLI_USAGE;
    if (argc > 1)
        return dt_cli_usage(cli, "no arguments are taken");
    json_t *result, *t;
    size_t i;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET, "reload", NULL, &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json) {
        dt_cli_json(cli, result);
    } else {
        static const char *const what[] = {"added", "changed", "removed"};
        for (size_t k = 0; k < 3; k++)
            json_array_foreach(json_object_get(result, what[k]), i, t)
                fprintf(cli->out, "%s: %s\n", json_string_value(t), what[k]);
        fprintf(cli->out, "%.0f unchanged and undisturbed\n", dt_cli_num(result, "unchanged"));
        if (dt_cli_num(result, "clients_ended") > 0)
            fprintf(cli->out,
                    "%.0f clients ended: they may not have any more what they had (the log says what)\n",
                    dt_cli_num(result, "clients_ended"));
        if (*dt_cli_str(result, "note"))
            fprintf(cli->out, "%s\n", dt_cli_str(result, "note"));
    }
    json_decref(result);
    return DT_CLI_DONE;
}

const struct dt_cli_command dt_cli_down = {
    "down",
    "TUNNEL... | --all",
    "take tunnels down and keep them down",
    "Tells the gateway, removes the tunnel's SAs, routes and inside addresses, and keeps it down until\n"
    "`dovetail up`, a restart of the daemon, or another `start` in the configuration. It says what goes out "
    "in the\n"
    "clear from now on, and what stays closed by another tunnel, or by closed = always. A gateway's client, "
    "named by\n"
    "its identity, is thrown out; it may come again.\n",
    down_options,
    DT_ARRAY_LEN(down_options),
    "Example: dovetail down office\n",
    run_down};

const struct dt_cli_command dt_cli_reload = {
    "reload", "", "read the configuration again; only what changed is touched",
    "The daemon reads its configuration file again. When something in it is wrong nothing is changed, and "
    "all\n"
    "that is wrong is printed (exit status 2). Afterwards everything is as after a start with that file; "
    "what\n"
    "is the same as before goes on undisturbed. A gateway's clients keep what the file still allows them;\n"
    "others are closed at once, and come again to what they may have.\n"
    "The same as sending SIGHUP to the daemon, but with an answer.\n",
    .run = run_reload};
