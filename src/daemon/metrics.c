/* The same facts as numbers, for Prometheus. */

#include "daemon/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/page.h"
#include "daemon/top.h"
#include "discovery/discovery.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/leases.h"
#include "tunnels/tunnels.h"

static void metric_family(FILE *f, const char *name, const char *type, const char *help)
{
    fprintf(f, "# HELP dovetail_%s %s\n# TYPE dovetail_%s %s\n", name, help, name, type);
}

static void single(FILE *f, const char *name, const char *type, const char *help, double v)
{
    metric_family(f, name, type, help);
    fprintf(f, "dovetail_%s %.17g\n", name, v);
}

/* A label's value: quotes, backslashes and line ends escaped. */
static const char *label(char out[256], const char *text)
{
    size_t n = 0;
    for (; *text && n < 253; text++) {
        if (*text == '"' || *text == '\\' || *text == '\n')
            out[n++] = '\\';
        out[n++] = *text == '\n' ? 'n' : *text;
    }
    out[n] = '\0';
    return out;
}

struct per_tunnel {
    const char *name, *type, *help;
    double (*value)(struct daemon *d, struct tun *t, const struct dt_tunnel_info *i,
                    const struct dt_dp_tunnel_counters *c);
};

#define VALUE(fn, expr)                                                                                      \
    static double fn(struct daemon *d, struct tun *t, const struct dt_tunnel_info *i,                        \
                     const struct dt_dp_tunnel_counters *c)                                                  \
    {                                                                                                        \
        return (double)(expr);                                                                               \
    }
VALUE(v_up, i->verified)
VALUE(v_unproved, i->unproved != DT_UNPROVED_NOT)
VALUE(v_epoch, i->epoch)
VALUE(v_rx, c->rx_bytes)
VALUE(v_tx, c->tx_bytes)
VALUE(v_rxp, c->rx_packets)
VALUE(v_txp, c->tx_packets)
VALUE(v_held, c->held)
VALUE(v_drops, c->hold_drops + c->drops + c->selector_drops + c->fragment_drops)
VALUE(v_drop_held, c->hold_drops)
VALUE(v_drop_down, c->drops)
VALUE(v_drop_selectors, c->selector_drops)
VALUE(v_drop_fragment, c->fragment_drops)
VALUE(v_negotiated, i->stats.negotiated)
VALUE(v_verified, i->stats.verified)
VALUE(v_unanswered, i->stats.unanswered)
VALUE(v_forced, i->stats.forced_uses)
VALUE(v_idle, i->stats.idle_dead)
VALUE(v_lost, i->stats.sessions_dropped + i->stats.sessions_lost)
VALUE(v_rtt, (double)i->rtt / 1e9)

static const struct per_tunnel tunnel_metrics[] = {
    {"tunnel_up", "gauge", "1 while a verified epoch carries data", v_up},
    {"tunnel_unproved", "gauge", "1 while an epoch carries data that nothing proves", v_unproved},
    {"tunnel_epoch", "gauge", "number of the epoch that carries data, 0: none", v_epoch},
    {"tunnel_received_bytes_total", "counter", "inner bytes", v_rx},
    {"tunnel_sent_bytes_total", "counter", "inner bytes", v_tx},
    {"tunnel_received_packets_total", "counter", "inner packets", v_rxp},
    {"tunnel_sent_packets_total", "counter", "inner packets", v_txp},
    {"tunnel_held_packets", "gauge", "packets that wait for a verified epoch", v_held},
    {"tunnel_dropped_packets_total", "counter", "packets for the tunnel that were not sent", v_drops},
    {"tunnel_epochs_negotiated_total", "counter", "epochs negotiated", v_negotiated},
    {"tunnel_epochs_verified_total", "counter", "epochs verified", v_verified},
    {"tunnel_epochs_unanswered_total", "counter", "epochs given up after pingtries probes", v_unanswered},
    {"tunnel_forced_uses_total", "counter", "times that data went out on an epoch that was not verified",
     v_forced},
    {"tunnel_idle_dead_total", "counter", "epochs given up after pingtries2 pings", v_idle},
    {"tunnel_sessions_lost_total", "counter", "sessions dropped or lost", v_lost},
    {"tunnel_rtt_seconds", "gauge", "round trip of the last answered probe", v_rtt},
};

/* Why packets for a tunnel were not sent. */
static const struct per_reason {
    const char *name;
    double (*value)(struct daemon *d, struct tun *t, const struct dt_tunnel_info *i,
                    const struct dt_dp_tunnel_counters *c);
} drop_reasons[] = {
    {"held", v_drop_held},
    {"down", v_drop_down},
    {"selectors", v_drop_selectors},
    {"fragment", v_drop_fragment},
};

/* ---- what is told of each tunnel ---- */

#define FAMILIES DT_ARRAY_LEN(tunnel_metrics)
#define ROWS     96   /* tunnels in one turn of the loop */
#define LOOKS    1024 /* clients in one turn */

/* A page in the making. The samples of one name stand together, so each has a text of its own, which grows by a line for
 * each tunnel; a tunnel's values are all of one moment. */
struct metrics_pass {
    struct tun_walk walk;
    bool walked;
    uint32_t client;            /* the last one that was looked at */
    FILE *family[FAMILIES + 1]; /* the last: tunnel_drops_total */
    char *text[FAMILIES + 1];
    size_t len[FAMILIES + 1];
    uint64_t held, dropped; /* of tunnels that rules lead to */
};

static void pass_free(struct daemon *d)
{
    struct metrics_pass *p = d->top->metrics.pass;
    if (p == NULL)
        return;
    for (size_t k = 0; k <= FAMILIES; k++) {
        if (p->family[k] != NULL)
            fclose(p->family[k]);
        free(p->text[k]);
    }
    tun_walk_end(d, &p->walk);
    free(p);
    d->top->metrics.pass = NULL;
    uv_idle_stop(&d->top->metrics.idle);
}

static bool pass_new(struct daemon *d)
{
    struct metrics_pass *p = d->top->metrics.pass = calloc(1, sizeof(*p));
    if (p == NULL)
        return false;
    tun_walk_begin(d, &p->walk);
    for (size_t k = 0; k <= FAMILIES; k++)
        if ((p->family[k] = open_memstream(&p->text[k], &p->len[k])) == NULL)
            return false;
    for (size_t k = 0; k < FAMILIES; k++)
        metric_family(p->family[k], tunnel_metrics[k].name, tunnel_metrics[k].type, tunnel_metrics[k].help);
    metric_family(p->family[FAMILIES], "tunnel_drops_total", "counter",
                  "packets for the tunnel that were not sent, by reason");
    dt_list_for_each (l, &d->gates)
        memset(DT_CONTAINER_OF(l, struct gate, link)->counted, 0, sizeof(((struct gate *)0)->counted));
    return true;
}

static void tunnel_lines(struct daemon *d, struct metrics_pass *p, struct tun *t)
{
    struct dt_tunnel_info info;
    struct dt_dp_tunnel_counters c = {0};
    char name[256];
    if (t->id == 0 || !dt_endpoint_tunnel_info(d->ep, t->id, &info))
        return;
    dt_dp_tunnel_counters(d->dp, t->id, &c);
    label(name, t->cfg.cfg.name);
    for (size_t k = 0; k < FAMILIES; k++)
        fprintf(p->family[k], "dovetail_%s{tunnel=\"%s\"} %.17g\n", tunnel_metrics[k].name, name,
                tunnel_metrics[k].value(d, t, &info, &c));
    for (size_t k = 0; k < DT_ARRAY_LEN(drop_reasons); k++)
        fprintf(p->family[FAMILIES], "dovetail_tunnel_drops_total{tunnel=\"%s\",reason=\"%s\"} %.17g\n", name,
                drop_reasons[k].name, drop_reasons[k].value(d, t, &info, &c));
    if (t->ruled) {
        p->held += c.held;
        p->dropped += c.hold_drops + c.drops;
    }
}

/* True: there are more. */
static bool pass_tunnels(struct daemon *d, struct metrics_pass *p)
{
    for (unsigned i = 0; i < ROWS; i++) {
        struct tun *t = tun_walk_next(d, &p->walk);
        if (t == NULL)
            return false;
        tunnel_lines(d, p, t);
    }
    return true;
}

static bool pass_clients(struct daemon *d, struct metrics_pass *p)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        struct dt_tunnel_info info;
        p->client = dt_endpoint_tunnel_next(d->ep, p->client);
        if (p->client == 0)
            return false;
        struct gate *g = gate_by_id(d, dt_endpoint_tunnel_gateway(d->ep, p->client));
        if (g != NULL && dt_endpoint_tunnel_info(d->ep, p->client, &info))
            g->counted[info.verified]++;
    }
    return true;
}

static void gateways_page(struct daemon *d, FILE *f)
{
    metric_family(f, "gateway_clients", "gauge", "clients, by gateway and whether an epoch was heard");
    dt_list_for_each (l, &d->gates) {
        const struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        char name[256];
        for (int up = 0; up < 2; up++)
            fprintf(f, "dovetail_gateway_clients{gateway=\"%s\",verified=\"%s\"} %u\n",
                    label(name, g->cfg.cfg.name), up ? "yes" : "no", g->counted[up]);
    }
}

static void ike_page(struct daemon *d, FILE *f)
{
    const struct dt_ike_counters *c = dt_ike_counters(dt_endpoint_ike(d->ep));
    const struct {
        const char *name, *help;
        uint64_t v;
    } v[] = {
        {"ike_received_total", "IKE messages", c->in},
        {"ike_sent_total", "IKE messages", c->out},
        {"ike_malformed_total", "messages that are no IKE, or do not fit", c->malformed},
        {"ike_unknown_spi_total", "messages for no session", c->unknown_spi},
        {"ike_bad_integrity_total", "messages that did not verify", c->bad_integrity},
        {"ike_retransmits_total", "requests sent again", c->retransmits_out},
        {"ike_cookies_sent_total", "COOKIE demands", c->cookies_sent},
        {"ike_cookies_bad_total", "cookies that were not ours, or too old", c->cookies_bad},
        {"ike_half_open_dropped_total", "beginnings dropped: no room, in all or for their source",
         c->half_open_dropped},
        {"ike_half_open_pushed_out_total", "half-open sessions that gave way to a newcomer",
         c->half_open_pushed_out},
        {"ike_failed_pushed_out_total", "refused sessions that gave way to newer ones", c->failed_pushed_out},
        {"ike_work_limited_total", "beginnings without a cookie that found the budget of work used up",
         c->work_limited},
        {"ike_work_limited_source_total", "beginnings dropped: their source has used up its budget of work",
         c->work_limited_source},
        {"ike_work_queue_full_total", "beginnings dropped: too much work was under way", c->work_queue_full},
        {"ike_works_total", "key exchanges that left the control thread", c->works},
        {"ike_rate_limited_total", "unauthenticated answers not sent", c->rate_limited},
        {"ike_auth_failed_total", "peers that could not prove who they are", c->auth_failed},
        {"ike_sessions_opened_total", "sessions begun", c->sessions_opened},
        {"ike_sessions_failed_total", "sessions that did not come up", c->sessions_failed},
        {"ike_rekeys_total", "IKE SAs rekeyed", c->ike_rekeys},
        {"ike_collisions_total", "exchanges that both sides began at once", c->collisions},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(v); i++)
        single(f, v[i].name, "counter", v[i].help, (double)v[i].v);
    struct dt_ike_usage u = dt_ike_usage(dt_endpoint_ike(d->ep));
    single(f, "ike_half_open_sessions", "gauge", "sessions whose peer has not proved who it is",
           (double)u.half_open);
    single(f, "ike_works", "gauge", "key exchanges under way", (double)u.works);
    single(f, "ike_half_open_sources", "gauge", "addresses (IPv6: /64) that have half-open sessions",
           (double)u.sources);
}

static void data_path_page(struct daemon *d, FILE *f)
{
    uint64_t v[DT_DPC_COUNT];
    dt_dp_counters(d->dp, v);
    metric_family(f, "data_path_total", "counter", "what the workers counted");
    for (int i = 0; i < DT_DPC_COUNT; i++)
        fprintf(f, "dovetail_data_path_total{what=\"%s\"} %llu\n", dt_dp_counter_name((enum dt_dp_counter)i),
                (unsigned long long)v[i]);
}

/* Plans, and what their tunnels hold and have dropped meanwhile. Without rules there are none, and nothing is said. */
static void plans_page(struct daemon *d, FILE *f)
{
    const struct dt_policy *p = plans_policy(d);
    struct dt_policy_counters c;
    if (p == NULL)
        return;
    dt_policy_counters(p, &c);
    const struct {
        const char *name, *type, *help;
        uint64_t v;
    } v[] = {
        {"plans", "gauge", "plans now", c.plans},
        {"plan_layers", "gauge", "layers of plans now", c.layers},
        {"plans_building", "gauge", "plans that are being built or torn down", c.building},
        {"plans_begun_total", "counter", "plans started", c.begun},
        {"plans_built_total", "counter", "times that a plan was complete", c.completed},
        {"plans_failed_total", "counter", "times that an action of a plan failed", c.failed},
        {"plans_idle_total", "counter", "plans torn down because nobody used them", c.idle},
        {"plans_reloaded_total", "counter", "plans that new rules ended", c.reloaded},
        {"plan_layers_performed_total", "counter", "actions performed", c.performed},
        {"plan_layers_torn_total", "counter", "layers torn down", c.torn},
        {"plan_layers_lost_total", "counter", "layers that were up and were lost", c.lost},
        {"plan_held_packets", "gauge", "packets that wait for a plan", d->top->metrics.pass->held},
        {"plan_dropped_packets_total", "counter", "packets of plans that were not sent",
         d->top->metrics.pass->dropped},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(v); i++)
        single(f, v[i].name, v[i].type, v[i].help, (double)v[i].v);
    metric_family(f, "plans_refused_total", "counter",
                  "plans that a packet asked for and that were not started, by reason");
    fprintf(f, "dovetail_plans_refused_total{why=\"rules\"} %llu\n", (unsigned long long)c.drop_refused);
    fprintf(f, "dovetail_plans_refused_total{why=\"plans_max\"} %llu\n", (unsigned long long)c.drop_plans);
    fprintf(f, "dovetail_plans_refused_total{why=\"building_max\"} %llu\n",
            (unsigned long long)c.drop_building);
}

static void discovery_page(struct daemon *d, FILE *f)
{
    json_t *o = json_object(), *v;
    const char *name;
    discover_counters(d, o);
    if (json_object_size(o) > 0)
        metric_family(f, "discovery", "untyped", "what discovery counted, and what it has now");
    json_object_foreach(o, name, v)
        fprintf(f, "dovetail_discovery{what=\"%s\"} %lld\n", name, (long long)json_integer_value(v));
    json_decref(o);
}

/* What the packet filter dropped (host/filter.h). */
static void dropped_page(struct daemon *d, FILE *f)
{
    struct dt_host_filter_counters dropped = dt_keeper_dropped(d->keeper);
    metric_family(
        f, "plain_dropped_total", "counter",
        "packets in the clear that were dropped: out, towards what is closed; in, from there or to an inside "
        "address; at most 5 s ago");
    fprintf(f, "dovetail_plain_dropped_total{way=\"out\"} %llu\n", (unsigned long long)dropped.out);
    fprintf(f, "dovetail_plain_dropped_total{way=\"in\"} %llu\n", (unsigned long long)dropped.in);
}

static void daemon_write_page(void *ctx, FILE *f)
{
    struct daemon *d = ctx;
    struct dt_endpoint_counters e;
    dt_endpoint_counters(d->ep, &e);
    single(f, "uptime_seconds", "gauge", "since the daemon started",
           dt_time_seconds(daemon_now() - d->started));
    single(f, "keeper_up", "gauge", "the process with rights is there, and this host is kept",
           dt_keeper_gone(d->keeper) == NULL);
    single(
        f, "host_failed_looks_total", "counter",
        "looks at this host after which something of what is wanted was missing, or that could not be made",
        (double)d->routes.failed);
    single(f, "sessions", "gauge", "IKE sessions now", (double)e.sessions);
    single(f, "sas", "gauge", "SA pairs now", (double)e.sas);
    single(f, "unknown_spi_total", "counter", "ESP packets for no SA, as reported", (double)e.unknown_spi);
    single(f, "identity_conflicts_total", "counter",
           "times that a second machine with the identity of another was found", (double)e.elsewhere);
    single(f, "events_total", "counter", "events", (double)d->top->events);
    single(f, "config_loads_total", "counter", "configurations taken", (double)d->top->config_loads);
    single(f, "config_errors_total", "counter", "configurations refused", (double)d->top->config_errors);
    single(f, "leases_taken_total", "counter", "inside addresses leased", (double)d->leases->count.taken);
    single(f, "leases_kept", "gauge", "all leases are on the disk", leases_unkept(d) == NULL);
    single(f, "leases_refused_total", "counter", "inside addresses refused",
           (double)d->leases->count.refused);
    dropped_page(d, f);
    for (size_t k = 0; k <= FAMILIES; k++)
        fwrite(d->top->metrics.pass->text[k], 1, d->top->metrics.pass->len[k], f);
    gateways_page(d, f);
    ike_page(d, f);
    data_path_page(d, f);
    plans_page(d, f);
    discovery_page(d, f);
}

/* Nothing is missing of it, or it is not served. */
static bool pass_whole(struct metrics_pass *p)
{
    bool ok = true;
    for (size_t k = 0; k <= FAMILIES; k++) {
        ok = fclose(p->family[k]) == 0 && ok;
        p->family[k] = NULL;
    }
    return ok;
}

static void metrics_turn(uv_idle_t *idle)
{
    struct daemon *d = idle->data;
    struct metrics_pass *p = d->top->metrics.pass;
    p->walked = p->walked || !pass_tunnels(d, p);
    if (!p->walked || pass_clients(d, p))
        return;
    if (pass_whole(p))
        dt_page_make(d->top->metrics.page, daemon_write_page, d);
    pass_free(d);
}

void metrics_open(struct daemon *d)
{
    uv_idle_init(&d->loop, &d->top->metrics.idle);
    d->top->metrics.idle.data = d;
}

void metrics_close(struct daemon *d)
{
    pass_free(d);
}

void metrics_refresh(struct daemon *d)
{
    if (d->top->metrics.calls++ % 5 != 0 || d->top->metrics.pass != NULL)
        return;
    if (pass_new(d))
        uv_idle_start(&d->top->metrics.idle, metrics_turn);
    else
        pass_free(d);
}
