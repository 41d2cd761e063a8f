/* monitor: events as they happen, in words. */
#include "cli/cli.h"

#include <string.h>
#include <time.h>

#include "control/control.h"

static bool print_event(struct dt_cli *cli, void *arg, json_t *e)
{
    if (cli->json) {
        dt_cli_json(cli, e);
        return true;
    }
    double when = dt_cli_num(e, "time");
    time_t s = (time_t)when;
    struct tm tm;
    char clock[16] = "";
    if (localtime_r(&s, &tm) != NULL)
        strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    if (dt_cli_num(e, "dropped_before") > 0)
        fprintf(cli->out, "(%.0f events lost: they came faster than they were read)\n",
                dt_cli_num(e, "dropped_before"));
    fprintf(cli->out, "%s.%03d %s%s%s\n", clock, (int)((when - (double)s) * 1000), dt_cli_str(e, "tunnel"),
            *dt_cli_str(e, "tunnel") ? ": " : "", dt_cli_str(e, "text"));
    fflush(cli->out);
    return !ferror(cli->out);
}

static int run(struct dt_cli *cli, int argc, char **argv)
{
    argc = dt_cli_options(cli, argc, argv, NULL, 0);
    if (argc < 0)
        return DT_CLI_USAGE;
    json_t *names = json_array(), *result;
    for (int i = 1; i < argc; i++)
        json_array_append_new(names, json_string(argv[i]));
    int rc = dt_cli_stream(cli, DT_CONTROL_SOCKET, "monitor", json_pack("{s:o}", "tunnels", names),
                           print_event, NULL, &result);
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
    run};
