/* monitor: events as they happen, in words. */
#include "cli/cli.h"

#include <string.h>

#include "control/control.h"

static bool monitor_print_event(struct dt_cli *cli, void *arg, json_t *e)
{
    if (cli->json) {
        dt_cli_json(cli, e);
        return true;
    }
    dt_cli_event_time(cli, e);
    fprintf(cli->out, "%s%s%s\n", dt_cli_str(e, "tunnel"), *dt_cli_str(e, "tunnel") ? ": " : "",
            dt_cli_str(e, "text"));
    fflush(cli->out);
    return !ferror(cli->out);
}

static int monitor_run(struct dt_cli *cli, int argc, char **argv)
{
    argc = dt_cli_options(cli, argc, argv, NULL);
    if (argc < 0)
        return DT_CLI_USAGE;
    json_t *names = json_array(), *result;
    for (int i = 1; i < argc; i++)
        json_array_append_new(names, json_string(argv[i]));
    int rc = dt_cli_stream(cli, DT_CONTROL_SOCKET, "monitor", json_pack("{s:o}", "tunnels", names),
                           monitor_print_event, NULL, &result);
    if (rc == DT_CLI_DONE)
        json_decref(result);
    return rc;
}

const struct dt_cli_command dt_cli_monitor = {
    "monitor", "[TUNNEL...]", "print events as they happen, until interrupted",
    "Prints what happens to the named tunnels, or to all: negotiations, probes, epochs verified, used and "
    "deleted,\n"
    "failures with both sides' values, changes of path, recoveries and what they took. With --json one "
    "object a\n"
    "line: time (seconds since 1970), tunnel, event, text, and the event's own values.\n",
    .run = monitor_run};
