/* status: what the daemon knows, as a table for people. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

#include "cli/discover.h"
#include "control/control.h"

/* Strings of a list, joined into out; "" when there are none. */
static const char *join(char *out, size_t cap, const json_t *list)
{
    size_t i, at = 0;
    json_t *v;
    out[0] = '\0';
    json_array_foreach(list, i, v)
    {
        int n = snprintf(out + at, cap - at, "%s%s", i ? ", " : "",
                         json_string_value(v) ? json_string_value(v) : "");
        if (n < 0 || (size_t)n >= cap - at)
            break;
        at += (size_t)n;
    }
    return out;
}

static void ago(char out[32], const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    out[0] = '\0';
    if (json_is_number(v)) {
        char span[32];
        snprintf(out, 32, "%.20s ago", dt_cli_span(span, json_number_value(v)));
    }
}

static enum dt_cli_mood state_mood(const char *state)
{
    if (strcmp(state, "up") == 0)
        return DT_CLI_GOOD;
    return strcmp(state, "blocked") == 0 || strcmp(state, "stale") == 0 ? DT_CLI_BAD
           : strcmp(state, "down") == 0                                 ? DT_CLI_PLAIN
                                                                        : DT_CLI_BUSY;
}

static void status_row(struct dt_cli_table *t, const json_t *o, const char *name)
{
    char heard[32], in[32], out[32];
    ago(heard, o, "heard_s_ago");
    dt_cli_table_cell(t, "%.40s", name);
    dt_cli_table_cell(t, "%s", dt_cli_str(o, "state"));
    dt_cli_table_mood(t, state_mood(dt_cli_str(o, "state")));
    if (dt_cli_num(o, "epoch") > 0)
        dt_cli_table_cell(t, "%.0f", dt_cli_num(o, "epoch"));
    else
        dt_cli_table_cell(t, "%s", "");
    dt_cli_table_cell(t, "%s", heard);
    dt_cli_table_cell(t, "%s", dt_cli_bytes(in, dt_cli_num(o, "rx_bytes")));
    dt_cli_table_cell(t, "%s", dt_cli_bytes(out, dt_cli_num(o, "tx_bytes")));
    dt_cli_table_cell(t, "%s", dt_cli_str(o, "encap"));
}

/* What is negotiated where there is something, else what is configured. */
static void cell_protects(struct dt_cli_table *t, const json_t *o)
{
    char wanted[512], got[512];
    join(wanted, sizeof(wanted), json_object_get(o, "protect"));
    join(got, sizeof(got), json_object_get(o, "remote_selectors"));
    if (*wanted && *got && strcmp(wanted, got) != 0)
        dt_cli_table_note(t, "protects %s; the gateway allows no more of %s", got, wanted);
    else if (*wanted)
        dt_cli_table_note(t, "protects %s", wanted);
}

/* What keeps it from going out in the clear. "": the daemon does not say. */
static const char *closed_text(const json_t *o)
{
    const json_t *c = json_object_get(o, "closed");
    const char *setting = dt_cli_str(c, "setting");
    bool now = json_array_size(json_object_get(c, "now")) > 0;
    if (strcmp(setting, "always") == 0)
        return "closed always";
    if (strcmp(setting, "no") == 0)
        return "not closed (closed = no)";
    if (now)
        return "closed as long as it is wanted";
    return c != NULL ? "open now, and closed when it is wanted" : "";
}

/* What stays outside of it, and what does not though somebody might think so. */
static void own_networks(struct dt_cli_table *t, const json_t *list)
{
    size_t i;
    json_t *n;
    json_array_foreach(list, i, n)
    {
        const char *network = dt_cli_str(n, "network"), *of = dt_cli_str(n, "of"),
                   *place = dt_cli_str(n, "place");
        if (strcmp(place, "public") == 0)
            dt_cli_table_note(t,
                              "%s (%s) is a public network and goes through it; `except` would keep it local",
                              network, of);
        else if (strcmp(place, "protected") == 0)
            dt_cli_table_note(t,
                              "%s (%s) is this host's own network, and what it protects: its hosts are "
                              "looked for behind the gateway",
                              network, of);
        else
            dt_cli_table_note(t, "%s (%s) stays local", network, of);
    }
}

/* Its name servers, what they are asked for, and by whom. */
static void note_names(struct dt_cli_table *t, const json_t *o)
{
    char dns[256], domains[640];
    const char *by = dt_cli_str(o, "dns_by"), *why = dt_cli_str(o, "dns_why");
    if (!*join(dns, sizeof(dns), json_object_get(o, "dns")))
        return;
    join(domains, sizeof(domains), json_object_get(o, "domains"));
    dt_cli_table_note(t, "DNS %s%s%s%s%s", dns, *domains ? " for " : "", domains,
                      strcmp(by, "resolved") == 0 ? ", asked by systemd-resolved"
                      : *by                       ? ", asked by resolvconf"
                                                  : "",
                      *by    ? ""
                      : *why ? ": not asked"
                             : "");
    if (*why)
        dt_cli_table_note(t, "DNS: %s", why);
}

static void notes(struct dt_cli_table *t, const json_t *o)
{
    char list[512];
    if (*dt_cli_str(o, "why"))
        dt_cli_table_note(t, "%s: %s",
                          strcmp(dt_cli_str(o, "state"), "unproved") == 0 ? "unproved" : "not up",
                          dt_cli_str(o, "why"));
    if (*join(list, sizeof(list), json_object_get(o, "inside"))) {
        dt_cli_table_note(t, "inside %s", list);
        note_names(t, o);
    } else if (*dt_cli_str(o, "identity") &&
               *join(list, sizeof(list), json_object_get(o, "remote_selectors"))) {
        dt_cli_table_note(t, "brings %s", list);
    }
    cell_protects(t, o);
    own_networks(t, json_object_get(o, "own_networks"));
    if (*dt_cli_str(o, "shares"))
        dt_cli_table_note(t, "tunnel \"%s\" protects some of the same; only one of them carries it",
                          dt_cli_str(o, "shares"));
    if (dt_cli_num(o, "mtu") > 0)
        dt_cli_table_note(t, "packets of up to %.0f octets", dt_cli_num(o, "mtu"));
    if (*closed_text(o))
        dt_cli_table_note(t, "%s", closed_text(o));
    const json_t *left = json_object_get(o, "left");
    const char *left_why = dt_cli_str(left, "why");
    if (*left_why)
        dt_cli_table_note(
            t, "IPv%.0f %s", dt_cli_num(left, "version"),
            strcmp(left_why, "clear") == 0 ? "leaves this host in the clear: it is not protected (RFC 7359)"
            : strcmp(left_why, "not_leased") == 0 ? "goes nowhere: the gateway leased no address of it"
                                                  : "goes nowhere: the gateway allows none of it");
    const json_t *elsewhere = json_object_get(o, "elsewhere");
    if (elsewhere != NULL)
        dt_cli_table_note(t, "another machine came with the same identity from %s, %.0f s ago",
                          dt_cli_str(elsewhere, "address"), dt_cli_num(elsewhere, "s_ago"));
    if (*dt_cli_str(o, "remote_address"))
        dt_cli_table_note(t, "from %s to %s%s%s", dt_cli_str(o, "local_address"),
                          dt_cli_str(o, "remote_address"), *dt_cli_str(o, "encap_why") ? "; " : "",
                          dt_cli_str(o, "encap_why"));
    const json_t *proof = json_object_get(o, "proof");
    if (*dt_cli_str(proof, "certificate"))
        dt_cli_table_note(t, "proved by the certificate %s, valid until %.10s",
                          dt_cli_str(proof, "certificate"), dt_cli_str(proof, "until"));
    if (*dt_cli_str(o, "note"))
        dt_cli_table_note(t, "%s", dt_cli_str(o, "note"));
}

/* Whom a gateway turned away, and why, newest first. */
static void print_refused(struct dt_cli *cli, const json_t *refused)
{
    json_t *r;
    size_t i;
    if (json_array_size(refused) > 0)
        fputs("\nrefused lately\n", cli->out);
    json_array_foreach(refused, i, r)
    {
        char when[32], times[32] = "";
        ago(when, r, "s_ago");
        if (dt_cli_num(r, "count") > 1)
            snprintf(times, sizeof(times), ", %.0f times", dt_cli_num(r, "count"));
        dt_cli_wrapf(cli->out, 2, "%s, %s%s: %s", dt_cli_str(r, "from"), when, times, dt_cli_str(r, "why"));
    }
}

/* Each plan as a tree: what is inside stands under what carries it. */
static void print_plans(struct dt_cli *cli, const json_t *plans)
{
    json_t *p, *l;
    size_t i, k;
    json_array_foreach(plans, i, p)
    {
        char span[32];
        fputc('\n', cli->out);
        dt_cli_wrapf(cli->out, 0, "plan %.0f: %s for %s, %.0f pending, %.0f completed; begun by %s",
                     dt_cli_num(p, "plan"), dt_cli_str(p, "state"),
                     dt_cli_span(span, dt_cli_num(p, "since_s")), dt_cli_num(p, "pending"),
                     dt_cli_num(p, "completed"), dt_cli_str(p, "packet"));
        if (*dt_cli_str(p, "why"))
            dt_cli_wrapf(cli->out, 2, "not up: %s", dt_cli_str(p, "why"));
        if (json_object_get(p, "retry_s"))
            fprintf(cli->out, "  next attempt in %.1f s\n", dt_cli_num(p, "retry_s"));
        json_array_foreach(json_object_get(p, "layers"), k, l)
        {
            char since[48] = "", shared[48] = "";
            const json_t *verified = json_object_get(l, "verified");
            if (json_object_get(l, "since_s"))
                snprintf(since, sizeof(since), " for %s", dt_cli_span(span, dt_cli_num(l, "since_s")));
            if (dt_cli_num(l, "plans") > 1)
                snprintf(shared, sizeof(shared), ", shared by %.0f plans", dt_cli_num(l, "plans"));
            dt_cli_wrapf(cli->out, 2 + k * 2, "%s %s (rule %s): %s%s%s%s", dt_cli_str(l, "kind"),
                         dt_cli_str(l, "peer"), dt_cli_str(l, "rule"), dt_cli_str(l, "state"), since,
                         verified == NULL         ? ""
                         : json_is_true(verified) ? ", verified"
                                                  : ", not verified",
                         shared);
            if (*dt_cli_str(l, "why"))
                dt_cli_wrapf(cli->out, 4 + k * 2, "(%s)", dt_cli_str(l, "why"));
        }
    }
}

/* What discovery refuses at the moment; its tunnels stand among the others. */
static void print_discovery(struct dt_cli *cli, const json_t *d, bool brief)
{
    double n = dt_cli_num(d, "refusals_count");
    const json_t *list = json_object_get(d, "refusals");
    if (*dt_cli_str(d, "blocked"))
        dt_cli_wrapf(cli->out, 0, "discovery is blocked: %s", dt_cli_str(d, "blocked"));
    if (brief || n == 0)
        return;
    dt_cli_refusals_print(cli->out, list);
    if (n > (double)json_array_size(list))
        fprintf(cli->out, "and %.0f more (dovetail discover)\n", n - (double)json_array_size(list));
}

static void print_status(struct dt_cli *cli, const json_t *result, bool brief)
{
    static const char *const tunnel_titles[] = {"TUNNEL",    "STATE", ">EPOCH", ">HEARD",
                                                ">RECEIVED", ">SENT", "ENCAP"};
    static const char *const client_titles[] = {"CLIENT",    "STATE", ">EPOCH", ">HEARD",
                                                ">RECEIVED", ">SENT", "ENCAP"};
    const json_t *tunnels = json_object_get(result, "tunnels"),
                 *gateways = json_object_get(result, "gateways");
    json_t *o, *g;
    size_t i, k;
    if (json_array_size(tunnels) > 0) {
        struct dt_cli_table *t = dt_cli_table_new(tunnel_titles, 7);
        json_array_foreach(tunnels, i, o)
        {
            status_row(t, o, dt_cli_str(o, "name"));
            if (!brief)
                notes(t, o);
        }
        dt_cli_table_print(t, cli->out);
    }
    json_array_foreach(gateways, k, g)
    {
        char listen[256];
        if (k > 0 || json_array_size(tunnels) > 0)
            fputc('\n', cli->out);
        dt_cli_wrapf(cli->out, 0, "gateway %s, listening at %s: %.0f of %.0f clients verified",
                     dt_cli_str(g, "name"), join(listen, sizeof(listen), json_object_get(g, "listen")),
                     dt_cli_num(g, "verified"), dt_cli_num(g, "clients_count"));
        size_t m;
        json_t *remark;
        json_array_foreach(json_object_get(g, "remarks"), m, remark)
        {
            dt_cli_wrapf(cli->out, 2, "%s", json_string_value(remark));
        }
        if (json_array_size(json_object_get(json_object_get(g, "closed"), "now")) > 0) {
            char closed[512];
            dt_cli_wrapf(cli->out, 2, "closed: %s",
                         join(closed, sizeof(closed), json_object_get(json_object_get(g, "closed"), "now")));
        }
        if (*dt_cli_str(g, "blocked"))
            dt_cli_wrapf(cli->out, 2, "blocked: %s", dt_cli_str(g, "blocked"));
        if (*dt_cli_str(g, "note"))
            dt_cli_wrap(cli->out, 2, dt_cli_str(g, "note"));
        if (json_array_size(json_object_get(g, "clients")) == 0)
            continue;
        struct dt_cli_table *t = dt_cli_table_new(client_titles, 7);
        json_array_foreach(json_object_get(g, "clients"), i, o)
        {
            status_row(t, o, dt_cli_str(o, "identity"));
            if (!brief)
                notes(t, o);
        }
        dt_cli_table_print(t, cli->out);
    }
    const json_t *dropped = json_object_get(result, "plain_dropped");
    if (!brief && dt_cli_num(dropped, "out") + dt_cli_num(dropped, "in") > 0)
        dt_cli_wrapf(cli->out, 0, "dropped in the clear: %.0f packets on their way out, %.0f on their way in",
                     dt_cli_num(dropped, "out"), dt_cli_num(dropped, "in"));
    if (!brief)
        print_refused(cli, json_object_get(result, "refused"));
    print_plans(cli, json_object_get(result, "plans"));
    print_discovery(cli, json_object_get(result, "discovery"), brief);
    if (json_array_size(tunnels) == 0 && json_array_size(gateways) == 0)
        fputs("the daemon runs, and its configuration has no tunnel and no gateway\n", cli->out);
    if (*dt_cli_str(result, "leases"))
        dt_cli_wrap(cli->out, 0, dt_cli_str(result, "leases"));
    if (*dt_cli_str(result, "note"))
        dt_cli_wrap(cli->out, 0, dt_cli_str(result, "note"));
}

static void print_names(FILE *out, const json_t *result)
{
    size_t i, k;
    json_t *o, *g;
    json_array_foreach(json_object_get(result, "tunnels"), i, o) fprintf(out, "%s\n", dt_cli_str(o, "name"));
    json_array_foreach(json_object_get(result, "gateways"), k, g)
    {
        json_array_foreach(json_object_get(g, "clients"), i, o)
            fprintf(out, "%s\n", dt_cli_str(o, "identity"));
    }
}

enum { STATUS_BRIEF, STATUS_NAMES, STATUS_WATCH, STATUS_OPTIONS };
static const struct dt_usage_option options[] = {
    [STATUS_BRIEF] = {"brief", NULL, "the table alone", 0},
    [STATUS_NAMES] = {"names", NULL, "the names alone, of tunnels and of clients, one a line", 0},
    [STATUS_WATCH] = {"watch", NULL, "every second anew, until interrupted", 0},
};

static int status_once(struct dt_cli *cli, json_t *names, const char *const *got)
{
    json_t *result;
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET, "status", json_pack("{s:O}", "tunnels", names), &result);
    if (rc != DT_CLI_DONE)
        return rc;
    if (cli->json)
        dt_cli_json(cli, result);
    else if (got[STATUS_NAMES] != NULL)
        print_names(cli->out, result);
    else
        print_status(cli, result, got[STATUS_BRIEF] != NULL);
    json_decref(result);
    return DT_CLI_DONE;
}

static int status_run(struct dt_cli *cli, int argc, char **argv)
{
    const char *got[STATUS_OPTIONS] = {0};
    argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    json_t *names = json_array();
    for (int i = 1; i < argc; i++)
        json_array_append_new(names, json_string(argv[i]));
    int rc = status_once(cli, names, got);
    /* A daemon that is being restarted is waited for; whoever asked for what cannot be is told so once. */
    while (got[STATUS_WATCH] != NULL && rc != DT_CLI_USAGE && fflush(cli->out) == 0 && !ferror(cli->out)) {
        sleep(1);
        if (!cli->json)
            dt_cli_clear(cli->out);
        rc = status_once(cli, names, got);
    }
    json_decref(names);
    return rc;
}

const struct dt_cli_command dt_cli_status = {
    "status",
    "[--brief | --names] [--watch] [TUNNEL...]",
    "which tunnels are verified, and why the others are not up",
    "For each tunnel: whether it is up, the number of the epoch that carries data (an epoch is used once an\n"
    "authenticated packet has come back through it), when it was last heard, bytes, the inside addresses, "
    "which\n"
    "encapsulation is in use and why, and what is in the way if it is not up. For a gateway: its clients, "
    "and whom\n"
    "it refused lately, with what both sides offered.\n",
    options,
    STATUS_OPTIONS,
    "States: up (an epoch is verified), blocked (it is, and this host lets no packets in),\n"
    "unproved (it carries data, and nothing proves that this arrives), probing\n"
    "(negotiated, no answer through it yet), connecting (negotiating), stale (was up, is not heard, being "
    "healed),\n"
    "down (taken down with `dovetail down`).\n",
    status_run};
