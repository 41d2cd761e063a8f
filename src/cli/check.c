/* check: reads a configuration as the daemon would, without the daemon. */
#include "cli/cli.h"

#include <string.h>

#include "config/config.h"

static json_t *issues_json(const struct dt_config *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->nissue; i++) {
        unsigned line;
        const char *file = dt_config_issue_at(c, &c->issue[i], &line);
        json_array_append_new(list, json_pack("{s:s, s:i, s:b, s:s}", "file", file, "line", (int)line,
                                              "warning", c->issue[i].warning, "text", c->issue[i].text));
    }
    return list;
}

/* One tunnel's inequalities, and what they promise. */
static json_t *numbers_json(const struct dt_config *c, const struct dt_config_tunnel *t)
{
    struct dt_epoch_check checks[DT_EPOCH_CHECKS];
    const struct dt_epoch_params *p = &t->cfg.params;
    size_t n = p->probe ? dt_epoch_check(checks, p, &c->nat, NULL) : 0;
    struct dt_epoch_bound b = dt_epoch_bound(p, (unsigned)t->nhost, DT_SEC / 5);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:b, s:s}", "ok", checks[i].ok, "text", checks[i].text));
    const char *proof = !p->probe                                                  ? "never"
                        : dt_endpoint_carries_echo(&t->cfg.local, &t->cfg.protect) ? "always"
                                                                                   : "by a Dovetail";
    return json_pack("{s:s, s:o, s:f, s:f, s:f, s:s}", "name", t->cfg.name, "inequalities", list, "detect_s",
                     dt_time_seconds(b.detect), "recovery_epoch_s", dt_time_seconds(b.epoch_only),
                     "recovery_worst_s", dt_time_seconds(b.total), "proved", proof);
}

static void print_numbers(FILE *out, const struct dt_config *c)
{
    for (size_t i = 0; i < c->ntunnel; i++) {
        json_t *o = numbers_json(c, &c->tunnel[i]), *x;
        size_t k;
        fprintf(out, "tunnel \"%s\"\n", c->tunnel[i].cfg.name);
        json_array_foreach(json_object_get(o, "inequalities"), k, x)
            dt_cli_wrapf(out, 2, "%-5s %s", json_is_true(json_object_get(x, "ok")) ? "holds" : "FAILS",
                         dt_cli_str(x, "text"));
        if (!c->tunnel[i].cfg.params.probe)
            fprintf(out, "  probe = off: nothing is proved, and nothing is noticed before the epoch ends\n");
        else {
            dt_cli_wrapf(
                out, 2,
                "a dead tunnel is noticed within %.1f s, heals within %.1f s where IKE still answers, "
                "and within %.1f s at worst",
                dt_cli_num(o, "detect_s"), dt_cli_num(o, "recovery_epoch_s"),
                dt_cli_num(o, "recovery_worst_s"));
            if (!dt_endpoint_carries_echo(&c->tunnel[i].cfg.local, &c->tunnel[i].cfg.protect))
                fprintf(out, "  ... with a gateway that is a Dovetail; with any other it is unproved\n");
        }
        json_decref(o);
    }
}

/* What a gateway does by itself, and when. */
static void print_gateways(FILE *out, const struct dt_config *c)
{
    for (size_t i = 0; i < c->ngateway; i++) {
        const struct dt_epoch_params *p = &c->gateway[i].cfg.params;
        double life = dt_time_seconds(p->keylife), margin = dt_time_seconds(p->rekeymargin);
        if (!p->server_rekey)
            continue;
        fprintf(out, "gateway \"%s\"\n", c->gateway[i].cfg.name);
        if (p->probe)
            dt_cli_wrapf(out, 2,
                         "server_rekey: begins a new epoch itself when a client has not within %.1f s",
                         life - margin / 2);
        else
            dt_cli_wrapf(out, 2,
                         "server_rekey: begins a new epoch itself after %.1f to %.1f s, as clients do",
                         life - margin * (1 + p->rekeyfuzz / 100.0), life - margin);
    }
}

/* A file of rules alone is counted in rules. */
static void print_count(FILE *out, const struct dt_config *c)
{
    size_t rules = c->rules ? c->rules->n : 0;
    fprintf(out, "%s: ", c->file);
    if (c->ntunnel || c->ngateway || c->ndiscover || !rules)
        fprintf(out, "%zu tunnel%s, %zu gateway%s, ", c->ntunnel, c->ntunnel == 1 ? "" : "s", c->ngateway,
                c->ngateway == 1 ? "" : "s");
    if (rules)
        fprintf(out, "%zu rule%s, ", rules, rules == 1 ? "" : "s");
    fprintf(out, "nothing wrong%s\n", c->warnings > 0 ? " (but see the warnings)" : "");
}

static int check_run(struct dt_cli *cli, int argc, char **argv)
{
    struct dt_config c;
    argc = dt_cli_options(cli, argc, argv, NULL);
    if (argc < 0)
        return DT_CLI_USAGE;
    if (argc > 2)
        return dt_cli_usage(cli, "one file, please");
    int rc = dt_config_load(&c, argc == 2 ? argv[1] : DT_CONFIG_FILE) == 0 ? DT_CLI_DONE : DT_CLI_USAGE;
    if (rc == DT_CLI_DONE && dt_config_check_host(&c) > 0)
        rc = DT_CLI_USAGE;
    dt_config_print_issues(&c, cli->err);
    if (cli->json) {
        json_t *tunnels = json_array();
        for (size_t i = 0; i < c.ntunnel && rc == DT_CLI_DONE; i++)
            json_array_append_new(tunnels, numbers_json(&c, &c.tunnel[i]));
        json_t *o = json_pack("{s:s, s:b, s:o, s:o, s:i, s:i}", "file", c.file, "ok", rc == DT_CLI_DONE,
                              "issues", issues_json(&c), "tunnels", tunnels, "gateways", (int)c.ngateway,
                              "rules", (int)(c.rules ? c.rules->n : 0));
        if (rc != DT_CLI_DONE) {
            char first[1024] = "";
            for (size_t i = 0; i < c.nissue && first[0] == '\0'; i++)
                if (!c.issue[i].warning)
                    dt_config_issue_str(first, sizeof(first), &c, &c.issue[i]);
            json_object_set_new(o, "error", json_string(first));
            json_object_set_new(o, "code", json_integer(rc));
        }
        dt_cli_json(cli, o);
        json_decref(o);
    } else if (rc == DT_CLI_DONE) {
        print_numbers(cli->out, &c);
        print_gateways(cli->out, &c);
        print_count(cli->out, &c);
    }
    dt_config_free(&c);
    return rc;
}

const struct dt_cli_command dt_cli_check = {
    "check", "[FILE]", "read a configuration and say everything that is wrong with it",
    "Reads FILE (default " DT_CONFIG_FILE ") as the daemon would and prints all that is wrong, each as\n"
    "\"file:line: what, and what would be right\". Then, for each tunnel, the inequalities that keep it "
    "alive behind a\n"
    "NAT (maxidle < t_ei; pingtime >= t_out / n_out; pingtime * pingtries / t_out > N) with their numbers, "
    "and how\n"
    "long healing may take. The NAT's numbers are the defaults of dovetail-natd, or those of a nat { } "
    "section.\n"
    "It needs no daemon. Exit status 2 when something is wrong; warnings alone leave it 0.\n",
    .run = check_run};
