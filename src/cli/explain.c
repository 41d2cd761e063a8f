/* explain: which rules a packet meets, what would be built for it, and what that looks like on the wire. Sends
 * nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/explain.h"
#include "config/file.h"
#include "control/control.h"
#include "policy/match.h"

#define RULES_FILE "/etc/dovetail/dovetaild.conf"
#define MTU_LEAST  68 /* RFC 791 */

static const struct {
    const char *name;
    struct dt_suite suite;
} suites[] = {
    {"aes-gcm", {DT_ENCR_AES_GCM_16, 256, DT_INTEG_NONE}},
    {"chacha20-poly1305", {DT_ENCR_CHACHA20_POLY1305, 0, DT_INTEG_NONE}},
    {"aes-cbc-sha256", {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_256_128}},
    {"aes-cbc-sha384", {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_384_192}},
    {"aes-cbc-sha512", {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_512_256}},
};

/* --- input --- */

static int read_flow_port(struct dt_cli *cli, const char *text, uint16_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (!*text || *end || *text == '-' || v > 65535)
        return dt_cli_usage(cli, "%s is no port: a number from 0 to 65535 would be right", text);
    *out = (uint16_t)v;
    return 0;
}

/* SRC DST [PROTO [SPORT DPORT]] */
static int read_flow(struct dt_cli *cli, int argc, char **argv, struct dt_flow *f)
{
    *f = (struct dt_flow){0};
    if (argc < 3)
        return dt_cli_usage(cli, "a source and a destination address are wanted");
    if (argc > 6)
        return dt_cli_usage(cli, "%s is one argument too many", argv[6]);
    if (dt_addr_parse(&f->src, argv[1]) || dt_addr_parse(&f->dst, argv[2]))
        return dt_cli_usage(cli, "%s is no address: such as 192.0.2.1 or 2001:db8::1 would be right",
                            f->src.ver ? argv[2] : argv[1]);
    if (f->src.ver != f->dst.ver)
        return dt_cli_usage(cli, "%s and %s are of different IP versions, and no packet has both", argv[1],
                            argv[2]);
    if (argc > 3) {
        int proto = dt_proto_parse(argv[3]);
        if (proto <= 0)
            return dt_cli_usage(
                cli, "%s is no protocol: tcp, udp, icmp, ... or a number from 1 to 255 would be right",
                argv[3]);
        f->proto = (uint8_t)proto;
    }
    if (argc == 5)
        return dt_cli_usage(
            cli, "ports come in pairs: source port %s is there, the destination port is missing", argv[4]);
    if (argc == 6) {
        if (!dt_proto_has_ports(f->proto))
            return dt_cli_usage(cli, "protocol %s has no ports", argv[3]);
        f->ports = true;
        int rc = read_flow_port(cli, argv[4], &f->sport);
        return rc ? rc : read_flow_port(cli, argv[5], &f->dport);
    }
    return 0;
}

/* --- finding out --- */

static void explain_fill(struct explain *e)
{
    e->n = e->plan.n;
    e->mtu = e->link_mtu;
    for (unsigned i = 0; i < e->n; i++) {
        struct explain_layer *l = &e->layer[i];
        l->action = &e->plan.pending[e->n - 1 - i];
        l->rule = &e->rules->v[l->action->rule];
        dt_overhead_make(&l->cost, &e->suite, l->action->kind == DT_RULE_TUNNEL, l->action->peer.ver,
                         l->rule->udp, NULL); /* every suite of the table is known */
        e->mtu = dt_overhead_inner(&l->cost, e->mtu, e->flow.src.ver == 6 ? 40 : 20);
        l->mtu = e->mtu;
    }
    if (!e->err.text[0] && e->n && e->mtu < MTU_LEAST)
        dt_err_set(&e->err, 0,
                   "the headers of %u layers leave %u bytes of the link's %u; at least %d are wanted", e->n,
                   e->mtu, e->link_mtu, MTU_LEAST);
}

/* --- telling --- */

static const char *rule_kind_name(enum dt_rule_kind k)
{
    return k == DT_RULE_TUNNEL ? "tunnel" : k == DT_RULE_TRANSPORT ? "transport" : "pass";
}

static json_t *plan_json(const struct explain *e)
{
    json_t *a = json_array();
    for (unsigned i = 0; i < e->n; i++) {
        const struct explain_layer *l = &e->layer[i];
        char peer[DT_ADDR_STRLEN];
        unsigned line = l->rule->line;
        const char *file = e->rules->sources ? dt_source_at(e->rules->sources, line, &line) : e->rules->file;
        json_array_append_new(
            a,
            json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:i, s:i, s:i}",
                      "kind", rule_kind_name(l->action->kind), "peer", dt_addr_str(peer, &l->action->peer),
                      "rule", l->rule->name, "file", file, "line", (int)line, "encap",
                      l->rule->udp ? "udp" : "esp", "bytes", "ip", l->cost.ip, "udp", l->cost.udp, "esp",
                      l->cost.esp, "iv", l->cost.iv, "trailer", l->cost.tail, "align", l->cost.align, "icv",
                      l->cost.icv, "overhead_min", (int)dt_overhead_least(&l->cost), "overhead_max",
                      (int)dt_overhead_most(&l->cost), "mtu", (int)l->mtu));
    }
    return a;
}

static void say_json(struct dt_cli *cli, const struct explain *e)
{
    char flow[DT_FLOW_STRLEN], *file = dt_utf8_mend(strdup(e->file));
    json_t *v = json_pack("{s:s, s:s*, s:o}", "packet", dt_flow_str(flow, &e->flow), "rules", file, "plan",
                          plan_json(e));
    free(file);
    if (e->err.text[0]) {
        json_object_set_new(v, "error", json_string(e->err.text));
    } else {
        json_object_set_new(v, "overhead", json_integer(e->link_mtu - e->mtu));
        json_object_set_new(v, "mtu", json_integer(e->mtu));
    }
    json_object_set_new(v, "link_mtu", json_integer(e->link_mtu));
    json_object_set_new(v, "suite", json_string(e->suite_name));
    dt_cli_json(cli, v);
    json_decref(v);
}

/* The line alone, and with its file where there are several. */
static const char *rule_line(const struct explain *e, uint32_t rule, char out[DT_SOURCE_STRLEN])
{
    const struct dt_sources *s = e->rules->sources;
    if (s && s->n > 1)
        return dt_rule_at(out, e->rules, &e->rules->v[rule]);
    snprintf(out, DT_SOURCE_STRLEN, "%u", e->rules->v[rule].line);
    return out;
}

static void say_rules(struct dt_cli *cli, const struct explain *e)
{
    const char *const titles[] = {">#", "packet", "rule", "line", "says"};
    struct dt_cli_table *t = dt_cli_table_new(titles, DT_ARRAY_LEN(titles));
    struct dt_flow at = e->flow;
    for (unsigned i = 0; i < e->plan.n; i++) {
        const struct dt_action *a = &e->plan.pending[i];
        char flow[DT_FLOW_STRLEN], peer[DT_ADDR_STRLEN], at_line[DT_SOURCE_STRLEN];
        dt_cli_table_cell(t, "%u", i + 1);
        dt_cli_table_cell(t, "%s", dt_flow_str(flow, &at));
        dt_cli_table_cell(t, "%s", e->rules->v[a->rule].name);
        dt_cli_table_cell(t, "%s", rule_line(e, a->rule, at_line));
        dt_cli_table_cell(t, "%s %s", a->kind == DT_RULE_TUNNEL ? "tunnel to" : "transport with",
                          dt_addr_str(peer, &a->peer));
        if (a->kind == DT_RULE_TUNNEL)
            at = dt_plan_next_flow(&e->flow, &a->peer);
    }
    fprintf(cli->out, "Rules that match, in this order (%s):\n", e->file);
    dt_cli_table_print(t, cli->out);
}

static void say_stack(struct dt_cli *cli, const struct explain *e)
{
    const char *const titles[] = {"action", "peer",  "rule", ">IP",  ">UDP",   ">ESP",
                                  ">IV",    ">tail", ">ICV", ">sum", ">inside"};
    struct dt_cli_table *t = dt_cli_table_new(titles, DT_ARRAY_LEN(titles));
    for (unsigned i = 0; i < e->n; i++) {
        const struct explain_layer *l = &e->layer[i];
        char peer[DT_ADDR_STRLEN];
        dt_cli_table_cell(t, "%s", rule_kind_name(l->action->kind));
        dt_cli_table_cell(t, "%s", dt_addr_str(peer, &l->action->peer));
        dt_cli_table_cell(t, "%s", l->rule->name);
        const unsigned parts[] = {l->cost.ip, l->cost.udp, l->cost.esp, l->cost.iv};
        for (unsigned k = 0; k < DT_ARRAY_LEN(parts); k++)
            if (parts[k])
                dt_cli_table_cell(t, "%u", parts[k]);
            else
                dt_cli_table_cell(t, "%s", "");
        dt_cli_table_cell(t, "%u-%u", l->cost.tail, l->cost.tail + l->cost.align - 1u);
        dt_cli_table_cell(t, "%u", l->cost.icv);
        dt_cli_table_cell(t, "%u-%u", dt_overhead_least(&l->cost), dt_overhead_most(&l->cost));
        dt_cli_table_cell(t, "%u", l->mtu);
    }
    fprintf(cli->out, "\nPending stack, its top first: performed first, outermost on the wire (%s):\n",
            e->suite_name);
    dt_cli_table_print(t, cli->out);
}

static void say_wire(struct dt_cli *cli, const struct explain *e)
{
    char src[DT_ADDR_STRLEN], dst[DT_ADDR_STRLEN], proto[8];
    bool transport = false;
    fputs("\nOn the wire, each inside the one above it:\n", cli->out);
    for (unsigned i = 0; i < e->n; i++) {
        const struct explain_layer *l = &e->layer[i];
        const char *encap = l->rule->udp ? "UDP 4500 | ESP" : "ESP";
        struct dt_flow at = e->flow;
        transport = l->action->kind == DT_RULE_TRANSPORT;
        if (!transport)
            at = dt_plan_next_flow(&e->flow, &l->action->peer);
        dt_addr_str(src, &at.src);
        fprintf(cli->out, "  %*sIP %s > %s | %s%s\n", (int)i * 2, "",
                dt_addr_is_any(&at.src) ? "(own address)" : src, dt_addr_str(dst, &at.dst), encap,
                transport ? " (transport mode)" : "");
    }
    int indent = (int)e->n * 2;
    const char *name = e->flow.proto ? dt_proto_str(proto, e->flow.proto) : "payload";
    if (transport)
        fprintf(cli->out, "  %*s%s\n", indent, "", name);
    else
        fprintf(cli->out, "  %*sIP %s > %s | %s\n", indent, "", dt_addr_str(src, &e->flow.src),
                dt_addr_str(dst, &e->flow.dst), name);
    fprintf(cli->out, "\nOverhead %u bytes: a link of %u carries packets of %u.\n", e->link_mtu - e->mtu,
            e->link_mtu, e->mtu);
    if (e->flow.src.ver == 6 && e->mtu < 1280)
        fputs("IPv6 wants 1280 (RFC 8200); packets above that MTU are sent in fragments of the outer one.\n",
              cli->out);
}

static int print_plan(struct dt_cli *cli, const struct explain *e)
{
    char flow[DT_FLOW_STRLEN];
    if (cli->json) {
        say_json(cli, e);
        if (e->err.text[0])
            fprintf(cli->err, "dovetail explain: %s\n", e->err.text);
    } else {
        fprintf(cli->out, "%s\n", dt_flow_str(flow, &e->flow));
        if (!e->flow.proto)
            fputs("(no protocol given: rules that name one do not match)\n", cli->out);
        else if (dt_proto_has_ports(e->flow.proto) && !e->flow.ports)
            fputs("(no ports given: rules that name some do not match)\n", cli->out);
        fputs("\n", cli->out);
        if (!e->n && !e->err.text[0])
            fprintf(cli->out, "No rule of %s matches: the packet goes out as it is.\n", e->file);
        if (e->n)
            say_rules(cli, e);
        if (e->n && !e->err.text[0]) {
            say_stack(cli, e);
            say_wire(cli, e);
        }
        if (e->err.text[0]) {
            fflush(cli->out);
            fprintf(cli->err, "dovetail explain: %s\n", e->err.text);
        }
    }
    return e->err.text[0] ? DT_CLI_FAILED : DT_CLI_DONE;
}

/* --svg, to standard output or to the file that was named. */
static int picture(struct dt_cli *cli, const struct explain *e, const char *path)
{
    if (e->err.text[0])
        return dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s", e->err.text);
    FILE *out = path ? fopen(path, "w") : cli->out;
    if (!out)
        return dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s: %s", path, strerror(errno));
    dt_explain_svg(e, out);
    bool bad = ferror(out);
    if (path)
        bad |= fclose(out) != 0;
    return bad ? dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s: %s", path ? path : "standard output",
                              strerror(errno))
               : DT_CLI_DONE;
}

static int with_plan(struct dt_cli *cli, struct explain *e, const struct dt_rules *rules, bool svg,
                     const char *svg_path)
{
    e->rules = rules;
    explain_fill(e);
    return svg ? picture(cli, e, svg_path) : print_plan(cli, e);
}

static int with_rules(struct dt_cli *cli, struct explain *e, struct dt_rules *rules, bool svg,
                      const char *svg_path)
{
    struct dt_err err = {0};
    struct dt_match *m = dt_match_new(rules, &err);
    if (!m)
        return dt_cli_error(cli, DT_CLI_USAGE, NULL, "%s", err.text);
    if (dt_plan_make(&e->plan, m, &e->flow, &err))
        e->err = err;
    int rc = with_plan(cli, e, rules, svg, svg_path);
    dt_match_free(m);
    return rc;
}

static int with_file(struct dt_cli *cli, struct explain *e, bool embedded, bool svg, const char *svg_path)
{
    struct dt_err err = {0};
    struct dt_block_file blocks;
    /* Whatever else a configuration has besides rules is not looked at. */
    struct dt_rules *rules = dt_config_file_read(&blocks, e->file, &dt_config_disk, &err)
                                 ? NULL
                                 : dt_rules_of(&blocks, e->file, embedded, &err);
    dt_block_file_free(&blocks);
    if (!rules)
        return dt_cli_error(cli, DT_CLI_USAGE, NULL, "%s%s", err.text,
                            embedded ? " (--rules FILE names another)" : "");
    int rc = with_rules(cli, e, rules, svg, svg_path);
    dt_rules_unref(rules);
    return rc;
}

/* One entry of the daemon's pending stack, the bottom first, and the rule that it came from. */
static int pending_read(struct explain *e, struct dt_rules *rules, const json_t *entry)
{
    struct dt_action *a = &e->plan.pending[e->plan.n];
    struct dt_rule r = {.kind = strcmp(dt_cli_str(entry, "kind"), "transport") ? DT_RULE_TUNNEL
                                                                               : DT_RULE_TRANSPORT,
                        .name = (char *)(uintptr_t)dt_cli_str(entry, "rule"),
                        .line = (unsigned)dt_cli_num(entry, "line"),
                        .udp = json_is_true(json_object_get(entry, "udp"))};
    struct dt_err err;
    if (e->plan.n == DT_PLAN_MAX || dt_addr_parse(&a->peer, dt_cli_str(entry, "peer")))
        return -1;
    r.gateway = a->peer;
    a->kind = r.kind;
    a->rule = e->plan.n++;
    /* Rules of several files keep their lines: each is told with the place that it has here. */
    if (rules->sources && *dt_cli_str(entry, "file")) {
        if (!dt_source_place(rules->sources, dt_cli_str(entry, "file"), 1))
            dt_sources_add(rules->sources, dt_cli_str(entry, "file"), 1u << 20);
        r.line = dt_source_place(rules->sources, dt_cli_str(entry, "file"), r.line);
    }
    return dt_rules_add(rules, &r, &err);
}

/* The rules in force, which only the daemon knows: after a reload that failed they are not those of the file. */
static int with_daemon(struct dt_cli *cli, struct explain *e, bool svg, const char *svg_path)
{
    char src[DT_ADDR_STRLEN], dst[DT_ADDR_STRLEN];
    json_t *answer, *entry,
        *args = json_pack("{s:s, s:s, s:i}", "src", dt_addr_str(src, &e->flow.src), "dst",
                          dt_addr_str(dst, &e->flow.dst), "proto", e->flow.proto);
    if (e->flow.ports) {
        json_object_set_new(args, "sport", json_integer(e->flow.sport));
        json_object_set_new(args, "dport", json_integer(e->flow.dport));
    }
    int rc = dt_cli_call(cli, DT_CONTROL_SOCKET, "explain", args, &answer);
    if (rc)
        return rc;
    size_t i;
    char file[512];
    snprintf(file, sizeof file, "in force, from %s", dt_cli_str(answer, "file"));
    e->file = file;
    struct dt_rules *rules = dt_rules_new(file);
    bool bad = !rules || !(rules->sources = dt_sources_new());
    json_array_foreach(json_object_get(answer, "pending"), i, entry) bad =
        bad || pending_read(e, rules, entry);
    const char *error = dt_cli_str(answer, "error");
    if (*error)
        dt_err_set(&e->err, 0, "%s", error);
    rc = bad ? dt_cli_error(cli, DT_CLI_FAILED, NULL, "the daemon's answer is not understood")
             : with_plan(cli, e, rules, svg, svg_path);
    dt_rules_unref(rules);
    e->file = NULL; /* it ends here */
    json_decref(answer);
    e->file = NULL;
    return rc;
}

/* Without --rules: the daemon's, else those of its configuration. */
static int with_what_is_there(struct dt_cli *cli, struct explain *e, bool svg, const char *svg_path)
{
    struct dt_err err = {0};
    struct dt_control_client *c = cli->socket ? NULL : dt_control_connect(DT_CONTROL_SOCKET, &err);
    dt_control_disconnect(c);
    if (c || cli->socket)
        return with_daemon(cli, e, svg, svg_path);
    fprintf(cli->err, "dovetail explain: %s; these are the rules of %s\n", err.text, RULES_FILE);
    e->file = RULES_FILE;
    return with_file(cli, e, true, svg, svg_path);
}

static int options_read(struct dt_cli *cli, struct explain *e, const char *mtu, const char *suite)
{
    char *end;
    unsigned long v = mtu ? strtoul(mtu, &end, 10) : 1500;
    if (mtu && (*end || !*mtu || v < MTU_LEAST || v > 65535))
        return dt_cli_usage(cli, "--mtu %s: a number from %d to 65535 would be right", mtu, MTU_LEAST);
    e->link_mtu = (uint32_t)v;
    size_t i = 0;
    while (suite && i < DT_ARRAY_LEN(suites) && strcmp(suites[i].name, suite))
        i++;
    if (i == DT_ARRAY_LEN(suites))
        return dt_cli_usage(cli,
                            "--suite %s: aes-gcm, chacha20-poly1305, aes-cbc-sha256, aes-cbc-sha384 or "
                            "aes-cbc-sha512 would be right",
                            suite);
    e->suite = suites[i].suite;
    e->suite_name = suites[i].name;
    return 0;
}

enum { EXPLAIN_RULES, EXPLAIN_SVG, EXPLAIN_MTU, EXPLAIN_SUITE, EXPLAIN_OPTIONS };
static const struct dt_usage_option explain_options[] = {
    [EXPLAIN_RULES] = {"rules", "FILE", "a rules file, or a configuration of dovetaild", 0},
    [EXPLAIN_SVG] = {"svg", "[FILE.svg]", "as a picture, on standard output or into the file", 0},
    [EXPLAIN_MTU] = {"mtu", "N", "of the link (default 1500)", 0},
    [EXPLAIN_SUITE] = {"suite", "NAME",
                       "aes-gcm (default), chacha20-poly1305, aes-cbc-sha256, -sha384 or -sha512", 0},
};

static int run_explain(struct dt_cli *cli, int argc, char **argv)
{
    struct explain e = {0};
    const char *got[EXPLAIN_OPTIONS] = {0}, *svg_path = NULL;
    argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    const char *file = got[EXPLAIN_RULES];
    bool svg = got[EXPLAIN_SVG] != NULL;
    if (svg && argc > 1) { /* a file name beside the operands is the picture's */
        for (int i = 1; i < argc && !svg_path; i++) {
            size_t n = strlen(argv[i]);
            if (n > 4 && !strcmp(argv[i] + n - 4, ".svg")) {
                svg_path = argv[i];
                memmove(argv + i, argv + i + 1, (size_t)(argc - i) * sizeof *argv);
                argc--;
            }
        }
    }
    int rc = read_flow(cli, argc, argv, &e.flow);
    if (!rc)
        rc = options_read(cli, &e, got[EXPLAIN_MTU], got[EXPLAIN_SUITE]);
    if (rc)
        return rc;
    e.file = file;
    return file ? with_file(cli, &e, false, svg, svg_path) : with_what_is_there(cli, &e, svg, svg_path);
}

const struct dt_cli_command dt_cli_explain = {
    "explain",
    "[--rules FILE] [--svg [FILE.svg]] [--mtu N] [--suite NAME] SRC DST [PROTO [SPORT DPORT]]",
    "what the rules make of a packet: plan, headers, overhead",
    "Sends nothing. It says which rules match and in which order, the pending stack that\n"
    "they make, how the headers stand inside one another on the wire, what each layer adds,\n"
    "and how large the packet itself may be. A loop in the rules, a gateway inside its own\n"
    "tunnel or more than eight tunnels end with status 1.\n"
    "\n"
    "The rules are those in force in dovetaild, or, when it does not run, those of\n" RULES_FILE
    "; with --rules no daemon is asked.\n",
    explain_options,
    EXPLAIN_OPTIONS,
    "With --json: `plan` from the top of the pending stack down (kind, peer, rule, and what\n"
    "the layer costs), the `overhead` in bytes and the `mtu` that is left; or `error`.\n"
    "\n"
    "Example: dovetail explain --rules rules.conf 192.0.2.1 10.3.0.9 tcp 40000 443\n",
    run_explain};
