/* nat: what dovetail-natd holds in the kernel; and replay.c, which needs no natd. */
#include "cli/nat.h"

#include <string.h>

#include "control/control.h"

/* "203.0.113.7", or "-" */
static const char *member_text(const json_t *o, const char *name)
{
    const char *s = dt_cli_str(o, name);
    return *s ? s : "-";
}

static int list(struct dt_cli *cli, int argc, char **argv)
{
    json_t *result;
    if (argc > 2)
        return dt_cli_usage(cli, "list takes at most one client's address");
    json_t *args = argc == 2 ? json_pack("{s:s}", "client", argv[1]) : json_object();
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET_NATD, "list", args, &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json) {
        dt_cli_json(cli, result);
        json_decref(result);
        return DT_CLI_DONE;
    }
    static const char *const titles[] = {"kind",  "client", "server",   "out / initiator", "in / responder",
                                         "state", ">age",   ">expires", ">pkts out",       ">pkts in"};
    struct dt_cli_table *t = dt_cli_table_new(titles, sizeof(titles) / sizeof(titles[0]));
    size_t i;
    json_t *it;
    char span[32];
    json_array_foreach(json_object_get(result, "items"), i, it)
    {
        bool esp = !strcmp(dt_cli_str(it, "kind"), "esp");
        dt_cli_table_cell(t, "%s", dt_cli_str(it, "kind"));
        dt_cli_table_cell(t, "%s", member_text(it, "client"));
        dt_cli_table_cell(t, "%s", member_text(it, "server"));
        dt_cli_table_cell(t, "%s", member_text(it, esp ? "spi_out" : "initiator_cookie"));
        dt_cli_table_cell(t, "%s", member_text(it, esp ? "spi_in" : "responder_cookie"));
        dt_cli_table_cell(t, "%s%s", dt_cli_str(it, "state"),
                          json_is_true(json_object_get(it, "others_wait")) ? ", others wait" : "");
        dt_cli_table_cell(t, "%s", dt_cli_span(span, dt_cli_num(it, "age_s")));
        dt_cli_table_cell(t, "%.1f s", dt_cli_num(it, "expires_s"));
        dt_cli_table_cell(t, "%.0f", dt_cli_num(it, "packets_out"));
        dt_cli_table_cell(t, "%.0f", dt_cli_num(it, "packets_in"));
    }
    dt_cli_table_print(t, cli->out);
    const json_t *totals = json_object_get(result, "totals");
    const json_t *ike = json_object_get(totals, "ike"), *esp = json_object_get(totals, "esp");
    fprintf(cli->out, "ike: %.0f outstanding, %.0f established; esp: %.0f outstanding, %.0f established\n",
            dt_cli_num(ike, "outstanding"), dt_cli_num(ike, "established"), dt_cli_num(esp, "outstanding"),
            dt_cli_num(esp, "established"));
    json_decref(result);
    return DT_CLI_DONE;
}

static int counters(struct dt_cli *cli)
{
    json_t *result;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET_NATD, "counters", json_object(), &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json) {
        dt_cli_json(cli, result);
        json_decref(result);
        return DT_CLI_DONE;
    }
    static const char *const titles[] = {"rule", ">packets"};
    struct dt_cli_table *t = dt_cli_table_new(titles, 2);
    const char *sections[] = {"rules", "other"}, *name;
    json_t *value;
    for (int i = 0; i < 2; i++)
        json_object_foreach(json_object_get(result, sections[i]), name, value)
        {
            if (!json_integer_value(value))
                continue;
            dt_cli_table_cell(t, "%s", name);
            dt_cli_table_cell(t, "%lld", (long long)json_integer_value(value));
        }
    dt_cli_table_print(t, cli->out);
    json_decref(result);
    return DT_CLI_DONE;
}

static bool nat_print_event(struct dt_cli *cli, void *arg, json_t *e)
{
    if (cli->json) {
        dt_cli_json(cli, e);
        return true;
    }
    dt_cli_event_time(cli, e);
    bool esp = !strcmp(dt_cli_str(e, "kind"), "esp");
    fprintf(cli->out, "%-9s %s %s - %s, %s %s / %s", dt_cli_str(e, "event"), dt_cli_str(e, "kind"),
            member_text(e, "client"), member_text(e, "server"), esp ? "SPIs" : "cookies",
            member_text(e, esp ? "spi_out" : "initiator_cookie"),
            member_text(e, esp ? "spi_in" : "responder_cookie"));
    if (*dt_cli_str(e, "rule"))
        fprintf(cli->out, " (%s)", dt_cli_str(e, "rule"));
    if (*dt_cli_str(e, "state"))
        fprintf(cli->out, " (%s)", dt_cli_str(e, "state"));
    if (json_object_get(e, "clients"))
        fprintf(cli->out, " to %.0f clients", dt_cli_num(e, "clients"));
    fputc('\n', cli->out);
    fflush(cli->out);
    return !ferror(cli->out);
}

static int nat_watch(struct dt_cli *cli)
{
    json_t *result;
    int rc =
        dt_cli_stream(cli, DT_CONTROL_SOCKET_NATD, "watch", json_object(), nat_print_event, NULL, &result);
    if (rc == DT_CLI_DONE)
        json_decref(result);
    return rc;
}

static int nat_status(struct dt_cli *cli)
{
    json_t *result;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET_NATD, "status", json_object(), &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json) {
        dt_cli_json(cli, result);
    } else {
        char span[32];
        fprintf(cli->out, "%s -> %s, %s", dt_cli_str(result, "inside"), dt_cli_str(result, "outside"),
                dt_cli_str(result, "state"));
        size_t i;
        json_t *a;
        json_array_foreach(json_object_get(result, "addresses"), i, a)
            fprintf(cli->out, "%s%s", i ? ", " : "; clients leave as ", json_string_value(a));
        fprintf(cli->out, "; up for %s (process %.0f)\n", dt_cli_span(span, dt_cli_num(result, "uptime_s")),
                dt_cli_num(result, "pid"));
        json_array_foreach(json_object_get(result, "reasons"), i, a)
            fprintf(cli->out, "  %s\n", json_string_value(a));
        json_array_foreach(json_object_get(result, "filters_before"), i, a) fprintf(
            cli->out, "  before our filter on %s of %s: \"%s\", preference %.0f\n", dt_cli_str(a, "place"),
            dt_cli_str(a, "interface"), dt_cli_str(a, "kind"), dt_cli_num(a, "preference"));
    }
    json_decref(result);
    return DT_CLI_DONE;
}

static int flush(struct dt_cli *cli)
{
    json_t *result;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET_NATD, "flush", json_object(), &result);
    if (rc == DT_CLI_DONE) {
        if (cli->json)
            dt_cli_json(cli, result);
        else
            fputs("every item is forgotten\n", cli->out);
        json_decref(result);
    }
    return rc;
}

static const struct dt_usage_option options[] = {
    [NAT_INSIDE] = {"inside", "FILE", "capture on the clients' side (pcap or pcapng; - is standard input)",
                    0},
    [NAT_OUTSIDE] = {"outside", "FILE", "capture on the servers' side", 0},
    [NAT_SET] = {"set", "NAME=VALUE",
                 "a parameter: t_out=5, n_out=5, t_ei=300, t_ike=3600, multicast=no, ...", 0},
    [NAT_OUTSIDE_ADDRESS] = {"outside-address", "A[,B]",
                             "the router's own outside address, where it cannot be told from the captures",
                             0},
    [NAT_CLIENTS] = {"clients", "PREFIX[,...]", "addresses that are clients, likewise", 0},
};

static int nat_run(struct dt_cli *cli, int argc, char **argv)
{
    const char *what = argc > 1 && argv[1][0] != '-' ? argv[1] : "list";
    int skip = argc > 1 && argv[1][0] != '-' ? 1 : 0;
    argv[skip] = argv[0];
    argc -= skip;
    argv += skip;
    if (!strcmp(what, "replay"))
        return dt_cli_nat_replay(cli, argc, argv);
    const char *got[NAT_OPTIONS] = {0};
    argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    for (size_t i = 0; i < NAT_OPTIONS; i++)
        if (got[i] != NULL)
            return dt_cli_usage(cli, "--%s is an option of replay alone", options[i].name);
    if (!strcmp(what, "list"))
        return list(cli, argc, argv);
    if (argc > 1)
        return dt_cli_usage(cli, "%s takes no argument, \"%s\" is one", what, argv[1]);
    if (!strcmp(what, "counters"))
        return counters(cli);
    if (!strcmp(what, "watch"))
        return nat_watch(cli);
    if (!strcmp(what, "status"))
        return nat_status(cli);
    if (!strcmp(what, "flush"))
        return flush(cli);
    return dt_cli_usage(cli, "there is no \"%s\"; there are list, watch, counters, status, flush and replay",
                        what);
}

const struct dt_cli_command dt_cli_nat = {
    "nat",
    "[list [CLIENT] | watch | counters | status | flush | replay --inside FILE --outside FILE]",
    "items of dovetail-natd, live or from two captures",
    "  list      every IKE and ESP item: client, server, SPIs or cookies, state, age, when it expires\n"
    "  watch     creation, conversion, drops with their rule, multicast and expiry, as they happen\n"
    "  counters  packets by the rule that decided\n"
    "  status    interfaces, addresses; what keeps packets from passing, and what would mend it\n"
    "  flush     forgets every item, as a rebooted NAT would\n"
    "  replay    takes two captures of a router (any router's), merges them by time, and runs each\n"
    "            IKE and ESP packet that arrives on either side through the rules; prints verdict,\n"
    "            addressees and rule for each, and the tables at the end. Needs no privilege.\n"
    "\n"
    "The options are those of replay:\n",
    options,
    NAT_OPTIONS,
    "Example:\n"
    "  dovetail nat replay --inside lan.pcap --outside wan.pcap --set n_out=3\n",
    nat_run};
