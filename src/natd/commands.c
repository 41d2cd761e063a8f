/* What `dovetail nat` asks for, and the events that it watches. */
#include "natd/natd.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

static json_t *address(uint32_t a)
{
    struct dt_addr addr = dt_addr4(a);
    char text[DT_ADDR_STRLEN];
    return a ? json_string(dt_addr_str(text, &addr)) : json_null();
}

static json_t *spi(uint32_t v)
{
    return v ? json_sprintf("0x%08x", v) : json_null();
}

static json_t *cookie(uint64_t v)
{
    return v ? json_sprintf("%016llx", (unsigned long long)v) : json_null();
}

static double wall(dt_time monotonic)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    double now = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
    return now - (double)(int64_t)(dt_kernel_now() - monotonic) / 1e9;
}

/* ---- list ------------------------------------------------------------------------------------ */

struct listing {
    json_t *items;
    dt_time now;
    size_t n[2][2];
    const char *only_client;
    uint32_t client;
    size_t limit;
};

static bool list_item(void *ctx, const struct dt_masq_item *it)
{
    struct listing *l = ctx;
    l->n[it->kind & 1][it->state & 1]++;
    if (json_array_size(l->items) >= l->limit || (l->only_client && it->client != l->client))
        return true;
    bool esp = it->kind == DT_MASQ_ESP;
    json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:f, s:f, s:f, s:I, s:I}", "kind",
                          dt_masq_kind_name((enum dt_masq_kind)it->kind), "state",
                          dt_masq_state_name((enum dt_masq_state)it->state), "client", address(it->client),
                          "server", address(it->server), "outside", address(it->nat), "age_s",
                          dt_time_seconds(dt_time_sub(l->now, it->created)), "idle_s",
                          dt_time_seconds(dt_time_sub(l->now, it->last)), "expires_s",
                          dt_time_seconds(dt_time_sub(it->expires, l->now)), "packets_out",
                          (json_int_t)it->packets_out, "packets_in", (json_int_t)it->packets_in);
    json_object_set_new(o, esp ? "spi_out" : "initiator_cookie",
                        esp ? spi(it->spi_out) : cookie(it->icookie));
    json_object_set_new(o, esp ? "spi_in" : "responder_cookie", esp ? spi(it->spi_in) : cookie(it->rcookie));
    if (esp && it->state == DT_MASQ_OUTSTANDING) {
        json_object_set_new(o, "others_wait", json_boolean(it->waited));
        json_object_set_new(o, "packets_after", json_integer(it->n_after));
    }
    json_array_append_new(l->items, o);
    return true;
}

static void run_list(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct natd *d = ctx;
    struct listing l = {.items = json_array(), .now = dt_kernel_now(), .limit = NATD_LIST_MAX};
    struct dt_addr a;
    l.only_client = dt_control_arg_string(args, "client");
    if (l.only_client && (dt_addr_parse(&a, l.only_client) || a.ver != 4)) {
        json_decref(l.items);
        dt_control_fail(req, 2, NULL, "\"%s\" is no IPv4 address", l.only_client);
        return;
    }
    if (l.only_client)
        l.client = dt_addr4_host(&a);
    if (dt_kernel_items(d->k, l.now, list_item, &l)) {
        json_decref(l.items);
        dt_control_fail(req, 1, NULL, "the kernel's tables cannot be read");
        return;
    }
    const size_t(*n)[2] = l.n;
    dt_control_answer(req, json_pack("{s:o, s:{s:{s:i, s:i}, s:{s:i, s:i}}}", "items", l.items, "totals",
                                     "ike", "outstanding", (int)n[DT_MASQ_IKE][0], "established",
                                     (int)n[DT_MASQ_IKE][1], "esp", "outstanding", (int)n[DT_MASQ_ESP][0],
                                     "established", (int)n[DT_MASQ_ESP][1]));
}

/* ---- counters -------------------------------------------------------------------------------- */

static void run_counters(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct natd *d = ctx;
    json_t *rules = json_object(), *other = json_object();
    for (unsigned i = DT_MASQ_RULE_PASS + 1; i < DT_MASQ_RULE_COUNT; i++)
        json_object_set_new(rules, dt_masq_rule_name((enum dt_masq_rule)i),
                            json_integer((json_int_t)dt_kernel_count(d->k, i)));
    static const char *const name[NAT_COUNTERS] = {"events_lost", "multicast_copies", "multicast_unrouted",
                                                   "client_unrouted", "yielded"};
    for (unsigned i = 0; i < NAT_COUNTERS; i++)
        json_object_set_new(other, name[i],
                            json_integer((json_int_t)dt_kernel_count(d->k, DT_MASQ_RULE_COUNT + i)));
    json_object_set_new(other, "sweeps", json_integer((json_int_t)d->sweeps));
    dt_control_answer(req, json_pack("{s:o, s:o}", "rules", rules, "other", other));
}

static json_t *reasons(const struct natd_router *r)
{
    char text[NATD_FACT_STRLEN];
    json_t *list = json_array();
    if (r->unread[0])
        json_array_append_new(list, json_string(r->unread));
    for (unsigned i = 0; i < r->n_reasons; i++)
        json_array_append_new(list, json_string(natd_reason_str(text, &r->reason[i], &r->names)));
    return list;
}

/* Filters of others that see packets first. */
static json_t *filters_before(const struct natd_router *r)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < r->n_before; i++) {
        const struct natd_before *b = &r->before[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i}", "interface", r->name[b->port], "place",
                                              b->hook == NATD_EGRESS ? "egress" : "ingress", "kind", b->kind,
                                              "preference", (int)b->pref));
    }
    return list;
}

static void run_status(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct natd *d = ctx;
    const struct natd_router *r = &d->router;
    const struct dt_masq_params *p = dt_kernel_params(d->k);
    json_t *outside = json_array(), *why = reasons(r);
    for (uint32_t i = 0; i < p->n_outside; i++)
        json_array_append_new(outside, address(p->outside[i]));
    const char *state = r->blocked ? "blocked" : json_array_size(why) ? "impaired" : "up";
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:I, s:f, s:i}", "version", DT_VERSION,
                          "inside", d->cfg.inside, "outside", d->cfg.outside, "state", state, "attached",
                          r->attached, "reasons", why, "filters_before", filters_before(r), "addresses",
                          outside, "mended", (json_int_t)r->mended, "uptime_s",
                          dt_time_seconds(dt_kernel_now() - d->started), "pid", (int)getpid());
    json_object_set_new(o, "parameters",
                        json_pack("{s:f, s:i, s:f, s:f, s:f, s:b, s:b}", "t_out", dt_time_seconds(p->t_out),
                                  "n_out", (int)p->n_out, "t_ei", dt_time_seconds(p->t_ei), "t_ike_out",
                                  dt_time_seconds(p->t_ike_out), "t_ike", dt_time_seconds(p->t_ike),
                                  "multicast", (int)p->multicast, "require_ike", (int)p->require_ike));
    dt_control_answer(req, o);
}

/* ---- watch ----------------------------------------------------------------------------------- */

struct watcher {
    struct dt_list link;
    struct dt_control_request *req;
    struct natd *d;
};

static void gone(void *arg)
{
    struct watcher *w = arg;
    dt_list_del(&w->link);
    if (dt_list_empty(&w->d->watchers))
        dt_kernel_setup(w->d->k)->watch = 0;
    free(w);
}

static void run_watch(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct natd *d = ctx;
    struct watcher *w = calloc(1, sizeof(*w));
    if (!w) {
        dt_control_fail(req, 1, NULL, "out of memory");
        return;
    }
    w->req = req;
    w->d = d;
    dt_list_add_tail(&d->watchers, &w->link);
    dt_control_on_cancel(req, gone, w);
    dt_kernel_setup(d->k)->watch = 1;
}

void natd_event(void *ctx, const struct dt_masq_event *ev)
{
    struct natd *d = ctx;
    bool esp = ev->kind == DT_MASQ_ESP;
    dt_list_for_each_safe (l, &d->watchers) {
        struct watcher *w = DT_CONTAINER_OF(l, struct watcher, link);
        json_t *o = json_pack("{s:f, s:s, s:s, s:o, s:o}", "time", wall(ev->at), "event",
                              dt_masq_event_name((enum dt_masq_event_kind)ev->what), "kind",
                              dt_masq_kind_name((enum dt_masq_kind)ev->kind), "client", address(ev->client),
                              "server", address(ev->server));
        if (ev->rule)
            json_object_set_new(o, "rule", json_string(dt_masq_rule_name((enum dt_masq_rule)ev->rule)));
        if (ev->what == DT_MASQ_EV_EXPIRED)
            json_object_set_new(o, "state", json_string(dt_masq_state_name((enum dt_masq_state)ev->state)));
        if (ev->what == DT_MASQ_EV_MULTICAST)
            json_object_set_new(o, "clients", json_integer(ev->n));
        json_object_set_new(o, esp ? "spi_out" : "initiator_cookie",
                            esp ? spi(ev->spi_out) : cookie(ev->icookie));
        json_object_set_new(o, esp ? "spi_in" : "responder_cookie",
                            esp ? spi(ev->spi_in) : cookie(ev->rcookie));
        dt_control_event(w->req, o);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void run_flush(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct natd *d = ctx;
    dt_kernel_flush(d->k);
    dt_control_answer(req, json_object());
}

/* Another natd takes over: this one ends, and leaves the kernel path as it is. */
static void run_handover(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct natd *d = ctx;
    d->keep = d->handed_over = true;
    dt_control_answer(req, json_pack("{s:i}", "pid", (int)getpid()));
    uv_stop(&d->loop);
}

const struct dt_control_command natd_commands[] = {
    {"list", run_list},   {"counters", run_counters}, {"status", run_status}, {"watch", run_watch},
    {"flush", run_flush}, {"handover", run_handover}, {NULL, NULL},
};
