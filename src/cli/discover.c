/* discover: who protects that host, and what may be sent to it? */
#include "cli/discover.h"

#include <stdlib.h>
#include <string.h>

#include "control/control.h"

void dt_cli_steps_print(FILE *out, const json_t *steps)
{
    size_t i;
    json_t *s;
    json_array_foreach(steps, i, s)
    {
        const json_t *v = json_object_get(s, "values");
        fprintf(out, "  step %-3s %-16s  %s\n", dt_cli_str(s, "figure"), dt_cli_str(s, "field"),
                dt_cli_str(s, "branch"));
        dt_cli_wrap(out, 11, dt_cli_str(s, "text"));
        if (!json_object_get(v, "A"))
            continue;
        dt_cli_wrapf(out, 11, "A = %s, B = %s, C = %s, D = %s", dt_cli_str(v, "A"), dt_cli_str(v, "B"),
                     dt_cli_str(v, "C"), dt_cli_str(v, "D"));
        dt_cli_wrapf(out, 11, "A&B&D = %s, C&B&D = %s", dt_cli_str(v, "A&B&D"), dt_cli_str(v, "C&B&D"));
        if (json_object_get(v, "address"))
            dt_cli_wrapf(out, 11, "(A&B)|(C&D) = %s, B|D = %s", dt_cli_str(v, "address"),
                         dt_cli_str(v, "mask"));
    }
}

void dt_cli_refusals_print(FILE *out, const json_t *list)
{
    static const char *const titles[] = {"REFUSED FROM", "TO", "PROTOCOL", ">FOR"};
    json_t *o;
    size_t i;
    if (json_array_size(list) == 0)
        return;
    struct dt_cli_table *t = dt_cli_table_new(titles, 4);
    json_array_foreach(list, i, o)
    {
        const json_t *p = json_object_get(o, "packet");
        bool every = json_is_true(json_object_get(o, "every_protocol"));
        char span[32];
        dt_cli_table_cell(t, "%s", dt_cli_str(p, "src"));
        dt_cli_table_cell(t, "%s", dt_cli_str(p, "dst"));
        if (!every && dt_cli_num(p, "dport") > 0)
            dt_cli_table_cell(t, "%s %.0f", dt_cli_str(p, "protocol"), dt_cli_num(p, "dport"));
        else
            dt_cli_table_cell(t, "%s", every ? "any" : dt_cli_str(p, "protocol"));
        dt_cli_table_cell(t, "%s", dt_cli_span(span, dt_cli_num(o, "for_s")));
        dt_cli_table_note(t, "%s", dt_cli_str(o, "why"));
    }
    fputc('\n', out);
    dt_cli_table_print(t, out);
}

enum { UP, FROM, PROTOCOL, SPORT, DPORT, LISTEN, INTERSECT, RESPONDER_VIEW, OPTIONS };
static const struct dt_usage_option options[] = {
    [UP] = {"up", NULL, "goes on and negotiates the tunnel", 0},
    [FROM] = {"from", "ADDRESS", "the source host (default: an address of this host that a rule protects)",
              0},
    [PROTOCOL] = {"protocol", "P", "the packet's protocol (default: any the rule allows)", 0},
    [SPORT] = {"sport", "N", "its source port, likewise", 0},
    [DPORT] = {"dport", "N", "its destination port, likewise", 0},
    [LISTEN] = {"listen", NULL, "events as they happen: probe, found, refused, silence, replied, lost, idle",
                0},
    [INTERSECT] = {"intersect", NULL, "the intersection of two proxies, without network and daemon", 0},
    [RESPONDER_VIEW] = {"responder-view", NULL,
                        "the second proxy is as the responder's own configuration has it: its side first", 0},
};

static bool discover_print_event(struct dt_cli *cli, void *arg, json_t *e)
{
    if (cli->json)
        dt_cli_json(cli, e);
    else
        fprintf(cli->out, "%-8s %-16s %s\n", dt_cli_str(e, "event"), dt_cli_str(e, "rule"),
                dt_cli_str(e, "text"));
    fflush(cli->out);
    return !ferror(cli->out);
}

static int listen_events(struct dt_cli *cli)
{
    json_t *result;
    int rc = dt_cli_stream(cli, DT_CONTROL_SOCKET, "discover_listen", json_object(), discover_print_event,
                           NULL, &result);
    if (rc == DT_CLI_DONE)
        json_decref(result);
    return rc;
}

static void print_look_ups(struct dt_cli *cli, const json_t *r)
{
    static const char *const titles[] = {"PEER", "RULE", "STATE", "CARRIES"};
    const json_t *rules = json_object_get(r, "rules"), *found = json_object_get(r, "tunnels");
    json_t *o, *n;
    const char *name;
    size_t i;
    if (*dt_cli_str(r, "blocked"))
        dt_cli_wrapf(cli->out, 0, "blocked: %s", dt_cli_str(r, "blocked"));
    else if (json_array_size(rules) == 0)
        fputs("the daemon's configuration has no discover rule\n", cli->out);
    json_array_foreach(rules, i, o)
    {
        fprintf(cli->out, "rule %s, identity %s\n", dt_cli_str(o, "name"), dt_cli_str(o, "identity"));
        dt_cli_proxies_print(cli->out, "  protects", json_object_get(o, "protect"));
    }
    if (json_array_size(found) > 0) {
        struct dt_cli_table *t = dt_cli_table_new(titles, 4);
        json_array_foreach(found, i, o)
        {
            dt_cli_table_cell(t, "%s", dt_cli_str(o, "peer"));
            dt_cli_table_cell(t, "%s", dt_cli_str(o, "rule"));
            dt_cli_table_cell(t, "%s", dt_cli_str(o, "state"));
            dt_cli_table_cell(t, "%s", dt_cli_str(json_object_get(o, "proxy"), "text"));
        }
        fputc('\n', cli->out);
        dt_cli_table_print(t, cli->out);
    }
    dt_cli_refusals_print(cli->out, json_object_get(r, "refusals"));
    fputs("\ncounters\n", cli->out);
    json_object_foreach(json_object_get(r, "counters"), name, n)
        fprintf(cli->out, "  %-22s %.0f\n", name, json_number_value(n));
}

static int discover_status(struct dt_cli *cli)
{
    json_t *result;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET, "discover_status", json_object(), &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json)
        dt_cli_json(cli, result);
    else
        print_look_ups(cli, result);
    json_decref(result);
    return DT_CLI_DONE;
}

static void print_answer(struct dt_cli *cli, const json_t *r)
{
    const char *peer = dt_cli_str(r, "peer");
    if (!*peer)
        return;
    fprintf(cli->out, "peer       %s", peer);
    if (*dt_cli_str(r, "peer_name"))
        fprintf(cli->out, ", which calls itself %s", dt_cli_str(r, "peer_name"));
    if (dt_cli_num(r, "rtt_ms") > 0)
        fprintf(cli->out, ", answered in %.2f ms", dt_cli_num(r, "rtt_ms"));
    else
        fputs(", from the cache", cli->out);
    fprintf(cli->out, "\nrule       %s\n", dt_cli_str(r, "rule"));
    dt_cli_proxies_print(cli->out, "ours", json_object_get(r, "ours"));
    dt_cli_proxies_print(cli->out, "theirs", json_object_get(r, "theirs"));
    fputc('\n', cli->out);
    dt_cli_steps_print(cli->out, json_object_get(r, "steps"));
    if (json_is_object(json_object_get(r, "result")))
        fprintf(cli->out, "\nintersection %s\n", dt_cli_str(json_object_get(r, "result"), "text"));
    if (*dt_cli_str(r, "tunnel"))
        fprintf(cli->out, "tunnel     %s is up\n", dt_cli_str(r, "tunnel"));
}

/* An answer that says no: the same facts, and why, with status 1. */
static int ask_who_protects(struct dt_cli *cli, const char *dst, const char *const got[OPTIONS])
{
    struct dt_addr a;
    struct dt_err err = {0};
    json_t *result = NULL, *args;
    if (dt_addr_parse(&a, dst) || (got[FROM] && dt_addr_parse(&a, got[FROM])))
        return dt_cli_usage(cli, "\"%s\" is no address; one like 10.2.0.7 or fd02::7 would be right",
                            dt_addr_parse(&a, dst) ? dst : got[FROM]);
    args =
        json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:b}", "destination", dst, "source", got[FROM], "protocol",
                  got[PROTOCOL], "sport", got[SPORT], "dport", got[DPORT], "up", got[UP] != NULL);
    if (!args)
        return dt_cli_usage(cli, "an argument is not UTF-8");
    int code =
        dt_control_call(cli->socket ? cli->socket : DT_CONTROL_SOCKET, "discover", args, &result, &err);
    if (code && !json_is_object(result))
        return dt_cli_error(cli, code, result, "%s", err.text);
    if (code) {
        fprintf(cli->err, "dovetail discover: %s\n", err.text);
        json_object_set_new(result, "why", json_string(err.text));
    }
    if (cli->json)
        dt_cli_json(cli, result);
    else
        print_answer(cli, result);
    json_decref(result);
    return code;
}

static int discover_run(struct dt_cli *cli, int argc, char **argv)
{
    const char *got[OPTIONS] = {0};
    argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    if (got[INTERSECT])
        return dt_cli_intersect(cli, argc, argv, got[RESPONDER_VIEW] != NULL);
    if (got[LISTEN] && argc == 1)
        return listen_events(cli);
    if (got[LISTEN] || got[RESPONDER_VIEW] || argc > 2)
        return dt_cli_usage(cli, "one destination, --listen alone, or --intersect with two proxies");
    return argc == 1 ? discover_status(cli) : ask_who_protects(cli, argv[1], got);
}

const struct dt_cli_command dt_cli_discover = {
    "discover",
    "[DST [--up] | --listen | --intersect 'PROXY' 'PROXY']",
    "find the gateway that protects a host, and what both ends allow",
    "  discover                  the discover rules, the tunnels that were found, what is refused and why, "
    "counters\n"
    "  discover DST              asks for the gateway that protects DST as a packet from here would: prints "
    "the peer,\n"
    "                            what it protects and the intersection with ours, step by step, and stops "
    "there\n"
    "  discover --listen         events as they happen\n"
    "  discover --intersect 'INITIATOR' 'RESPONDER'\n"
    "                            the same steps without network and daemon. Each proxy is SRC/MASK DST/MASK\n"
    "                            [PROTO [SPORT DPORT]]: MASK a length or dotted, holes allowed, any for what "
    "is open.\n"
    "                            Both are seen from the initiator: SRC is the initiator's side in both. "
    "Several proxies\n"
    "                            of one side stand in one argument with commas between, or in further pairs\n"
    "\n"
    "--up, --from and the packet's protocol and ports go with DST, --responder-view with --intersect.\n",
    options,
    OPTIONS,
    "Ends with 1 when nobody answers or there is no intersection; the reason has both sides' values.\n"
    "\n"
    "Example:\n"
    "  dovetail discover --intersect '10.11.0.0/16 any' '10.0.0.0/8 10.2.0.0/16 tcp'\n",
    discover_run};
