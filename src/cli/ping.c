/* ping: control packets through a tunnel's epoch. */
#include "cli/cli.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "control/control.h"

static bool print_reply(struct dt_cli *cli, void *arg, json_t *e)
{
    if (cli->json)
        dt_cli_json(cli, e);
    else if (json_is_number(json_object_get(e, "ms")))
        fprintf(cli->out, "%s: reply %.0f through epoch %.0f in %.2f ms\n", dt_cli_str(e, "tunnel"),
                dt_cli_num(e, "seq"), dt_cli_num(e, "epoch"), dt_cli_num(e, "ms"));
    else
        fprintf(cli->out, "%s: no reply to %.0f through epoch %.0f\n", dt_cli_str(e, "tunnel"),
                dt_cli_num(e, "seq"), dt_cli_num(e, "epoch"));
    fflush(cli->out);
    return true;
}

static int ping_run(struct dt_cli *cli, int argc, char **argv)
{
    const char *count = "3";
    argc = dt_cli_options(cli, argc, argv, &count);
    if (argc < 0)
        return DT_CLI_USAGE;
    if (argc != 2)
        return dt_cli_usage(cli, "one tunnel, please");
    char *end;
    long n = strtol(count, &end, 10);
    if (*end != '\0' || end == count || n < 1 || n > 1000)
        return dt_cli_usage(cli, "--count is a number from 1 to 1000, not \"%s\"", count);
    json_t *result, *args = json_pack("{s:s, s:I}", "tunnel", argv[1], "count", (json_int_t)n);
    if (args == NULL)
        return dt_cli_usage(cli, "the tunnel's name is not UTF-8");
    int rc = dt_cli_stream(cli, DT_CONTROL_SOCKET, "ping", args, print_reply, NULL, &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json)
        dt_cli_json(cli, result);
    else
        fprintf(cli->out, "%.0f sent, %.0f answered\n", dt_cli_num(result, "sent"),
                dt_cli_num(result, "answered"));
    json_decref(result);
    return DT_CLI_DONE;
}

static const struct dt_usage_option options[] = {{"count", "N", "how many (default 3)", 0}};

const struct dt_cli_command dt_cli_ping = {
    "ping",
    "[--count N] TUNNEL",
    "send control packets through a tunnel and time the replies",
    "Sends control packets (ICMP echo requests) through the epoch "
    "that carries data, one a second, and prints\n"
    "each reply. A gateway's client is named by its identity. Ends with 1 when "
    "none was answered.\n",
    options,
    DT_ARRAY_LEN(options),
    "Example: dovetail ping office\n",
    ping_run};
