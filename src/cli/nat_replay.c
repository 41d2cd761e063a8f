/* nat replay: two captures of a router through the rules, in user space. */
#include "cli/nat.h"

#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "cli/nat_capture.h"
#include "base/grow.h"

#define SETS_MAX 64

struct replay {
    struct dt_cli *cli;
    struct capture side[2];
    struct capture_hints hints;
    struct dt_masq_config cfg;
    struct dt_masq *nat;
    dt_time first, last;
    uint64_t n[4]; /* by verdict */
    uint64_t leaving;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static int parse_addresses(struct replay *r, const char *list)
{
    char copy[512], *save = NULL;
    if (strlen(list) >= sizeof(copy))
        return dt_cli_usage(r->cli, "--outside-address is too long");
    strcpy(copy, list);
    for (char *a = strtok_r(copy, ",", &save); a; a = strtok_r(NULL, ",", &save)) {
        struct dt_addr addr;
        if (dt_addr_parse(&addr, a) || addr.ver != 4 || r->hints.n_outside == DT_MASQ_OUTSIDE_MAX)
            return dt_cli_usage(r->cli, "--outside-address: \"%s\" must be one of at most %d IPv4 addresses",
                                a, DT_MASQ_OUTSIDE_MAX);
        r->hints.outside[r->hints.n_outside++] = dt_addr4_host(&addr);
    }
    return DT_CLI_DONE;
}

static int parse_clients(struct replay *r, const char *list)
{
    char copy[1024], *save = NULL;
    if (strlen(list) >= sizeof(copy))
        return dt_cli_usage(r->cli, "--clients is too long");
    strcpy(copy, list);
    for (char *a = strtok_r(copy, ",", &save); a; a = strtok_r(NULL, ",", &save)) {
        struct dt_prefix px;
        if (dt_prefix_parse(&px, a, true) || px.addr.ver != 4 || r->hints.n_clients == DT_MASQ_NETS_MAX)
            return dt_cli_usage(r->cli, "--clients: \"%s\" must be one of at most %d IPv4 prefixes", a,
                                DT_MASQ_NETS_MAX);
        r->hints.clients[r->hints.n_clients++] =
            (struct dt_masq_net){dt_addr4_host(&px.addr), px.len ? ~0u << (32 - px.len) : 0};
    }
    return DT_CLI_DONE;
}

static int parse_set(struct replay *r, const char *pair)
{
    char name[64];
    const char *eq = strchr(pair, '='), *why, *const *known = dt_masq_param_names();
    if (!eq || (size_t)(eq - pair) >= sizeof(name))
        return dt_cli_usage(r->cli, "--set %s: it wants NAME=VALUE, as t_out=5", pair);
    memcpy(name, pair, (size_t)(eq - pair));
    name[eq - pair] = '\0';
    while (*known && strcmp(*known, name))
        known++;
    if (dt_masq_set(&r->cfg, name, eq + 1, &why))
        return dt_cli_usage(r->cli, "--set %s: %s%s", pair, *known ? "the value " : "", why);
    return DT_CLI_DONE;
}

/* --set may come often: taken out of argv before the others. */
static int take_sets(struct replay *r, int argc, char **argv)
{
    int n = 1, rc = DT_CLI_DONE;
    for (int i = 1; i < argc && rc == DT_CLI_DONE; i++) {
        if (!strncmp(argv[i], "--set=", 6))
            rc = parse_set(r, argv[i] + 6);
        else if (!strcmp(argv[i], "--set"))
            rc = i + 1 < argc ? parse_set(r, argv[++i])
                              : dt_cli_usage(r->cli, "--set wants NAME=VALUE after it, as t_out=5");
        else
            argv[n++] = argv[i];
    }
    argv[n] = NULL;
    return rc == DT_CLI_DONE ? n : -1;
}

/* ---- printing -------------------------------------------------------------------------------- */

static const char *addr_text(char out[DT_ADDR_STRLEN], uint32_t a)
{
    struct dt_addr addr = dt_addr4(a);
    return dt_addr_str(out, &addr);
}

static void print_json(struct replay *r, const struct capture_packet *p, const struct dt_masq_verdict *v)
{
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN];
    const struct dt_masq_facts *f = &p->f;
    json_t *to = json_array();
    for (unsigned i = 0; i < v->n; i++)
        json_array_append_new(to, json_string(addr_text(a, v->to[i])));
    json_t *o =
        json_pack("{s:f, s:s, s:s, s:s, s:s}", "t", dt_time_seconds(p->at), "side",
                  f->side == DT_MASQ_INSIDE ? "inside" : "outside", "proto", f->proto == 50 ? "esp" : "ike",
                  "src", addr_text(a, f->src), "dst", addr_text(b, f->dst));
    bool read = !f->frag_off && !(f->flags & DT_MASQ_F_TRUNCATED); /* else it is not in the packet */
    if (f->proto == 50)
        json_object_set_new(o, "spi", read ? json_sprintf("0x%08x", f->spi) : json_null());
    else
        json_object_set_new(o, "cookies",
                            read
                                ? json_pack("[o, o]", json_sprintf("%016llx", (unsigned long long)f->icookie),
                                            json_sprintf("%016llx", (unsigned long long)f->rcookie))
                                : json_null());
    json_object_set_new(o, "verdict",
                        json_string(dt_masq_verdict_name((enum dt_masq_verdict_kind)v->verdict)));
    json_object_set_new(o, "to", to);
    json_object_set_new(o, "rule", json_string(dt_masq_rule_name((enum dt_masq_rule)v->rule)));
    dt_cli_json(r->cli, o);
    json_decref(o);
}

static void print_line(struct replay *r, const struct capture_packet *p, const struct dt_masq_verdict *v)
{
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN], what[64] = "";
    const struct dt_masq_facts *f = &p->f;
    FILE *out = r->cli->out;
    if (f->frag_off)
        snprintf(what, sizeof(what), "fragment at %u", f->frag_off);
    else if (f->proto == 50)
        snprintf(what, sizeof(what), "0x%08x", f->spi);
    else
        snprintf(what, sizeof(what), "%016llx/%016llx", (unsigned long long)f->icookie,
                 (unsigned long long)f->rcookie);
    fprintf(out, "%12.6f %-7s %s %s > %s %s: %s", dt_time_seconds(p->at - r->first),
            f->side == DT_MASQ_INSIDE ? "inside" : "outside", f->proto == 50 ? "esp" : "ike",
            addr_text(a, f->src), addr_text(b, f->dst), what,
            dt_masq_verdict_name((enum dt_masq_verdict_kind)v->verdict));
    for (unsigned i = 0; i < v->n; i++)
        fprintf(out, "%s%s", i ? ", " : " to ", addr_text(a, v->to[i]));
    fprintf(out, " (%s)\n", dt_masq_rule_name((enum dt_masq_rule)v->rule));
}

/* ---- tables ---------------------------------------------------------------------------------- */

struct tables {
    struct dt_masq_item *v;
    size_t n, cap;
};

static bool keep_item(void *ctx, const struct dt_masq_item *it)
{
    struct tables *t = ctx;
    if (dt_grow(t->v, t->cap, t->n, 64))
        return false;
    t->v[t->n++] = *it;
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct dt_masq_item *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->created != y->created)
        return x->created < y->created ? -1 : 1;
    return x->client < y->client ? -1 : x->client > y->client;
}

static json_t *item_json(const struct replay *r, const struct dt_masq_item *it)
{
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN];
    bool esp = it->kind == DT_MASQ_ESP, est = it->state == DT_MASQ_ESTABLISHED;
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:f, s:f, s:I, s:I}", "kind", dt_masq_kind_name((enum dt_masq_kind)it->kind),
        "state", dt_masq_state_name((enum dt_masq_state)it->state), "client", addr_text(a, it->client),
        "server", addr_text(b, it->server), "age_s", dt_time_seconds(dt_time_sub(r->last, it->created)),
        "expires_s", dt_time_seconds(dt_time_sub(it->expires, r->last)), "packets_out",
        (json_int_t)it->packets_out, "packets_in", (json_int_t)it->packets_in);
    if (esp) {
        json_object_set_new(o, "spi_out", json_sprintf("0x%08x", it->spi_out));
        json_object_set_new(o, "spi_in", est ? json_sprintf("0x%08x", it->spi_in) : json_null());
    } else {
        json_object_set_new(o, "initiator_cookie", json_sprintf("%016llx", (unsigned long long)it->icookie));
        json_object_set_new(o, "responder_cookie",
                            est ? json_sprintf("%016llx", (unsigned long long)it->rcookie) : json_null());
    }
    return o;
}

static void tables_json(struct replay *r, const struct tables *t)
{
    json_t *ike = json_array(), *esp = json_array(), *rules = json_object();
    for (size_t i = 0; i < t->n; i++)
        json_array_append_new(t->v[i].kind == DT_MASQ_ESP ? esp : ike, item_json(r, &t->v[i]));
    for (unsigned i = DT_MASQ_RULE_PASS; i < DT_MASQ_RULE_COUNT; i++) {
        uint64_t n = dt_masq_rule_count(r->nat, (enum dt_masq_rule)i);
        if (n)
            json_object_set_new(rules, dt_masq_rule_name((enum dt_masq_rule)i), json_integer((json_int_t)n));
    }
    json_t *o = json_pack("{s:{s:o, s:o}, s:o}", "tables", "ike", ike, "esp", esp, "rules", rules);
    dt_cli_json(r->cli, o);
    json_decref(o);
}

static void tables_text(struct replay *r, const struct tables *t)
{
    static const char *const titles[] = {"kind",  "client", "server",   "out / initiator", "in / responder",
                                         "state", ">age",   ">expires", ">pkts out",       ">pkts in"};
    FILE *out = r->cli->out;
    char a[DT_ADDR_STRLEN], span[32];
    fprintf(
        out, "\n%llu forwarded, %llu dropped, %llu multicast; %llu more left the router or were not ours\n",
        (unsigned long long)r->n[DT_MASQ_FORWARD], (unsigned long long)r->n[DT_MASQ_DROP],
        (unsigned long long)r->n[DT_MASQ_MULTICAST], (unsigned long long)(r->leaving + r->n[DT_MASQ_PASS]));
    if (!t->n) {
        fputs("The tables are empty at the end.\n", out);
        return;
    }
    fputs("The tables at the end:\n", out);
    struct dt_cli_table *table = dt_cli_table_new(titles, DT_ARRAY_LEN(titles));
    for (size_t i = 0; i < t->n; i++) {
        const struct dt_masq_item *it = &t->v[i];
        bool est = it->state == DT_MASQ_ESTABLISHED;
        dt_cli_table_cell(table, "%s", dt_masq_kind_name((enum dt_masq_kind)it->kind));
        dt_cli_table_cell(table, "%s", addr_text(a, it->client));
        dt_cli_table_cell(table, "%s", addr_text(a, it->server));
        if (it->kind == DT_MASQ_ESP) {
            dt_cli_table_cell(table, "0x%08x", it->spi_out);
            dt_cli_table_cell(table, est ? "0x%08x" : "-", it->spi_in);
        } else {
            dt_cli_table_cell(table, "%016llx", (unsigned long long)it->icookie);
            dt_cli_table_cell(table, est ? "%016llx" : "-", (unsigned long long)it->rcookie);
        }
        dt_cli_table_cell(table, "%s%s", dt_masq_state_name((enum dt_masq_state)it->state),
                          it->waited ? ", others wait" : "");
        dt_cli_table_cell(table, "%s", dt_cli_span(span, dt_time_seconds(dt_time_sub(r->last, it->created))));
        dt_cli_table_cell(table, "%.1f s", dt_time_seconds(dt_time_sub(it->expires, r->last)));
        dt_cli_table_cell(table, "%llu", (unsigned long long)it->packets_out);
        dt_cli_table_cell(table, "%llu", (unsigned long long)it->packets_in);
    }
    dt_cli_table_print(table, out);
}

static void tables(struct replay *r)
{
    struct tables t = {0};
    dt_masq_items(r->nat, r->last, keep_item, &t);
    if (t.n)
        qsort(t.v, t.n, sizeof(t.v[0]), by_age);
    if (r->cli->json)
        tables_json(r, &t);
    else
        tables_text(r, &t);
    free(t.v);
}

/* ---- the run --------------------------------------------------------------------------------- */

static int packets_by_time(const void *a, const void *b)
{
    const struct capture_packet *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void replay_packet(struct replay *r, const struct capture_packet *p)
{
    struct dt_masq_verdict v;
    if (p->way == CAPTURE_LEAVES) {
        r->leaving++;
        return;
    }
    r->last = p->at;
    dt_masq_tick(r->nat, p->at);
    struct dt_masq_facts f = p->f;
    if (p->forged)
        f.src = 0; /* which nobody has: to the rules all forged sources are alike */
    dt_masq_packet(r->nat, p->at, &f, &v);
    r->n[v.verdict & 3]++;
    if (v.verdict == DT_MASQ_PASS &&
        v.rule == DT_MASQ_RULE_PASS) /* what is left to the stack for a reason is told */
        return;
    if (r->cli->json)
        print_json(r, p, &v);
    else
        print_line(r, p, &v);
}

static int replay_run(struct replay *r)
{
    struct capture *in = &r->side[DT_MASQ_INSIDE], *out = &r->side[DT_MASQ_OUTSIDE];
    capture_direct(in, out, &r->hints);
    struct dt_masq_params *p = &r->cfg.params;
    memcpy(p->outside, r->hints.outside, sizeof(p->outside));
    p->n_outside = r->hints.n_outside;
    memcpy(p->nets, r->hints.clients, sizeof(p->nets));
    p->n_nets = r->hints.n_clients;
    r->nat = dt_masq_new(&r->cfg);
    if (!r->nat)
        return dt_cli_error(r->cli, DT_CLI_FAILED, NULL, "out of memory");
    for (int s = 0; s < 2; s++)
        if (r->side[s].n)
            qsort(r->side[s].packet, r->side[s].n, sizeof(r->side[s].packet[0]), packets_by_time);
    size_t i = 0, o = 0;
    r->first = in->n && (!out->n || in->packet[0].at <= out->packet[0].at) ? in->packet[0].at
               : out->n                                                    ? out->packet[0].at
                                                                           : 0;
    r->last = r->first;
    while (i < in->n || o < out->n) {
        bool inside = o == out->n || (i < in->n && in->packet[i].at <= out->packet[o].at);
        replay_packet(r, inside ? &in->packet[i++] : &out->packet[o++]);
    }
    tables(r);
    dt_masq_free(r->nat);
    return DT_CLI_DONE;
}

int dt_cli_nat_replay(struct dt_cli *cli, int argc, char **argv)
{
    struct replay r = {.cli = cli, .cfg = dt_masq_defaults()};
    const char *got[NAT_OPTIONS] = {0};
    int rc = DT_CLI_DONE;
    argc = take_sets(&r, argc, argv);
    if (argc >= 0)
        argc = dt_cli_options(cli, argc, argv, got);
    if (argc < 0)
        return DT_CLI_USAGE;
    const char *file[2] = {[DT_MASQ_INSIDE] = got[NAT_INSIDE], [DT_MASQ_OUTSIDE] = got[NAT_OUTSIDE]};
    const char *own = got[NAT_OUTSIDE_ADDRESS], *clients = got[NAT_CLIENTS];
    if (argc > 1 || !file[0] || !file[1])
        return dt_cli_usage(cli, "replay wants --inside FILE and --outside FILE%s%s%s",
                            argc > 1 ? ", not \"" : "", argc > 1 ? argv[1] : "", argc > 1 ? "\"" : "");
    if (own)
        rc = parse_addresses(&r, own);
    if (rc == DT_CLI_DONE && clients)
        rc = parse_clients(&r, clients);
    if (rc != DT_CLI_DONE)
        return rc;
    for (int s = 0; s < 2 && rc == DT_CLI_DONE; s++) {
        struct dt_err err = {0};
        if (capture_read(&r.side[s], file[s], (enum dt_masq_side)s, &err))
            rc = dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s", err.text);
        else if (r.side[s].odd)
            fprintf(cli->err, "dovetail nat: %s: %llu packets are cut short or of an unknown kind\n", file[s],
                    (unsigned long long)r.side[s].odd);
    }
    if (rc == DT_CLI_DONE)
        rc = replay_run(&r);
    capture_free(&r.side[0]);
    capture_free(&r.side[1]);
    return rc;
}
