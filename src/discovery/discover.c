

#include "discovery/discover.h"

#include <stdlib.h>
#include <string.h>

#include "net/udp_socket.h"
#include "net/watch.h"
#include "tunnels/daemon.h"
#include "tunnels/monitors.h"
#include "tunnels/tunnels.h"
#include "wire/ip.h"

#define BATCH 64 /* probes that are looked at before others have their turn */
/* After a full batch: at most 6,400 probes a second are looked at, the rest is dropped unseen. */
#define PAUSE_MS 10

/* ---- what the engine asks for ---- */

static void send_probe(void *user, const struct dt_addr *src, const struct dt_addr *dst, uint16_t sport,
                       const uint8_t *msg, size_t len)
{
    struct discover *x = user;
    struct dt_err err = {0};
    if (dt_raw_udp_send(src->ver == 4 ? x->raw4 : x->raw6, src, sport, dst, x->daemon->cfg.ike_port, msg, len,
                        &err) == 0)
        return;
    x->count.probes_unsent++;
    LOG(DT_LOG_DEBUG, "a probe was not sent %s", err.text);
}

static void send_reply(void *user, const struct dt_addr *from, const struct dt_addr *to, const uint8_t *msg,
                       size_t len)
{
    struct discover *x = user;
    struct daemon *d = x->daemon;
    struct dt_err err = {0};
    struct dt_path path = {.local = {*from, d->cfg.ike_port}, .remote = {*to, d->cfg.ike_port}};
    if (dt_udp_send(to->ver == 4 ? d->ike4_fd[0] : d->ike6_fd[0], &path, msg, len, &err) == 0)
        return;
    x->count.replies_unsent++;
    LOG(DT_LOG_DEBUG, "a reply was not sent: %s", err.text);
}

static bool own_addr(void *user, const struct dt_addr *towards, struct dt_addr *own)
{
    struct discover *x = user;
    return dt_nl_route_get(x->daemon->nl, towards, DT_DP_MARK, own, NULL, NULL) == 0 &&
           own->ver == towards->ver;
}

static void discover_answer(void *user, dt_time now, const struct dt_ted_answer *a)
{
    struct discover *x = user;
    if (x->closing)
        return;
    if (discover_asks_answer(x, a))
        return;
    if (a->found)
        discover_found(x, a);
    else
        discover_refused(x, a);
}

static void discover_on_event(void *user, dt_time now, const struct dt_ted_event *e)
{
    static const enum dt_log_level level[] = {[DT_TED_EVENT_PROBE] = DT_LOG_DEBUG,
                                              [DT_TED_EVENT_FOUND] = DT_LOG_INFO,
                                              [DT_TED_EVENT_REFUSED] = DT_LOG_WARN,
                                              [DT_TED_EVENT_SILENCE] = DT_LOG_INFO,
                                              [DT_TED_EVENT_REPLIED] = DT_LOG_DEBUG};
    LOG(level[e->kind], "discover: %s: %s", dt_ted_event_name(e->kind), e->text);
    discover_tell(user, dt_ted_event_name(e->kind), e->rule, &e->packet, &e->peer, e->text);
}

static const struct dt_ted_ops ted_ops = {send_probe, send_reply, own_addr, discover_answer,
                                          discover_on_event};

/* ---- time ---- */

static void discover_on_timer(uv_timer_t *t)
{
    struct discover *x = t->data;
    dt_ted_tick(x->ted, daemon_now());
    discover_arm(x);
    daemon_wake(x->daemon);
}

void discover_arm(struct discover *x)
{
    dt_time at = dt_ted_deadline(x->ted), now = daemon_now();
    if (uv_is_closing((uv_handle_t *)&x->timer))
        return;
    if (at == DT_NEVER)
        uv_timer_stop(&x->timer);
    else
        uv_timer_start(&x->timer, discover_on_timer, at <= now ? 0 : (at - now + DT_MSEC - 1) / DT_MSEC, 0);
}

void discover_tick(struct daemon *d, dt_time now)
{
    struct discover *x = d->discover;
    if (x == NULL)
        return;
    discover_tunnels_tick(x, now);
    discover_asks_tick(x, now);
    discover_arm(x);
}

/* ---- probes that pass through, replies ---- */

static void on_tap(uv_poll_t *p, int status, int events);

static void on_pause_over(uv_timer_t *t)
{
    struct discover *x = t->data;
    uv_poll_start(&x->tap4, UV_READABLE, on_tap);
    uv_poll_start(&x->tap6, UV_READABLE, on_tap);
}

static void on_tap(uv_poll_t *p, int status, int events)
{
    struct discover *x = p->data;
    static uint8_t buf[2048];
    struct dt_tap_probe probe;
    int n = 0;
    uint8_t ver = p == &x->tap4 ? 4 : 6;
    dt_watch_on(p, status, on_tap);
    while (n < BATCH && dt_tap_recv(x->tap, ver, buf, sizeof(buf), &probe)) {
        n++;
        dt_ted_probe_input(x->ted, daemon_now(), &probe.src, &probe.dst, probe.msg, probe.len);
    }
    if (n == BATCH) {
        x->count.tap_pauses++;
        uv_poll_stop(&x->tap4);
        uv_poll_stop(&x->tap6);
        uv_timer_start(&x->pause, on_pause_over, PAUSE_MS, 0);
    }
}

bool discover_datagram(struct daemon *d, const struct dt_path *path, const uint8_t *msg, size_t len)
{
    struct discover *x = d->discover;
    int exchange = dt_ted_exchange(msg, len);
    if (exchange == 0 || x == NULL)
        return exchange != 0; /* nobody asked: IKE has no use for it */
    /* A probe to an address of ours that no rule protects is nobody's; the tap has taken the others. */
    if (exchange == DT_TED_EXCHANGE_REPLY && path->remote.port == d->cfg.ike_port)
        dt_ted_reply_input(x->ted, daemon_now(), &path->remote.addr, &path->local.addr, msg, len);
    else if (exchange == DT_TED_EXCHANGE_REPLY)
        x->count.foreign_replies++;
    discover_arm(x);
    return true;
}

/* ---- packets without a tunnel ---- */

enum dt_ted_verdict discover_packet(struct discover *x, uint64_t rule, const struct dt_ted_packet *p,
                                    struct dt_ted_answer *a)
{
    enum dt_ted_verdict v = dt_ted_packet(x->ted, daemon_now(), rule, p, a);
    discover_arm(x);
    return v;
}

bool discover_need(struct daemon *d, const struct dt_dp_event *ev)
{
    struct discover *x = d->discover;
    if (ev->tunnel < DISCOVER_DP)
        return false;
    if (x == NULL || ev->tunnel >= DISCOVER_REFUSED)
        return true;
    uint64_t rule = (ev->tunnel - DISCOVER_DP) >> 8;
    struct dt_ted_answer a;
    struct dt_ted_packet p = {.src = ev->flow.src, .dst = ev->flow.dst, .protocol = ev->flow.proto};
    if (dt_ted_has_ports(p.protocol)) {
        p.sport = ev->flow.sport;
        p.dport = ev->flow.dport;
    }
    if (discover_is_refused(x, &p)) { /* it was on its way here already */
        discover_rematch(x, rule);
        return true;
    }
    switch (discover_packet(x, rule, &p, &a)) {
    case DT_TED_FOUND:
        discover_found(x, &a);
        break;
    case DT_TED_REFUSED:
        discover_refused(x, &a);
        break;
    case DT_TED_PROBING:
    case DT_TED_LIMITED:
    case DT_TED_NO_RULE:
        break;
    }
    return true;
}

void discover_rematch(struct discover *x, uint64_t rule)
{
    const struct dt_config_discover *r = discover_rule(x, rule);
    for (size_t k = 0; r != NULL && k < r->rule.count; k++)
        dt_dp_tunnel_rematch(x->daemon->dp, DISCOVER_DP + (rule << 8) + k);
}

const struct dt_config_discover *discover_rule(const struct discover *x, uint64_t id)
{
    return id >= 1 && id <= x->nrule ? &x->rule[id - 1] : NULL;
}

/* ---- rules ---- */

static int set_catch_all(struct discover *x, const struct dt_config_discover *r, struct dt_err *err)
{
    for (size_t k = 0; k < r->rule.count; k++) {
        struct dt_dp_tunnel t = {.id = DISCOVER_DP + (r->rule.id << 8) + k,
                                 .order = UINT32_MAX,
                                 .catch_all = true,
                                 .hold_first = true,
                                 .no_hold = !r->hold};
        if (dt_ted_proxy_selectors(&t.local, &t.remote, &r->rule.proxy[k], err) != 0 ||
            dt_dp_tunnel_set(x->daemon->dp, &t, err) != 0 ||
            dt_dp_tunnel_state(x->daemon->dp, t.id, DT_DP_HOLD, 0, err) != 0)
            return -1;
    }
    return 0;
}

/* The gateway that peers meet who found us: our side of all rules, and what others may have. */
static int add_gate(struct discover *x, struct dt_err *err)
{
    struct dt_config_gateway g = x->rule[0].gate;
    g.secret = NULL; /* discovery/trust.c has them */
    g.client = NULL;
    g.fixed = NULL;
    g.nexact = g.nfixed = g.nexact_secret = 0;
    g.nclient = 0;
    g.nsecret = 0;
    g.cfg.proofs = (struct dt_ike_proofs){0};
    dt_ike_id_parse(&g.cfg.peers, "*.ted");
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++) {
            struct dt_selectors own, others;
            if (dt_ted_proxy_selectors(&own, &others, &x->rule[i].rule.proxy[k], err) != 0)
                return -1;
            for (size_t s = 0; s < own.n; s++)
                if (!dt_selectors_add(&g.cfg.protect, &own.v[s]))
                    return dt_err_set(err, 0, "the discover sections protect more than %d ranges",
                                      DT_SELECTORS_MAX);
            for (size_t s = 0; s < others.n; s++)
                if (!dt_selectors_add(&g.cfg.remote, &others.v[s]))
                    return dt_err_set(err, 0, "the discover sections name more than %d remote ranges",
                                      DT_SELECTORS_MAX);
        }
    x->gate = gates_add(x->daemon, &g, true, err);
    dt_wipe(&g, sizeof(g));
    return x->gate != NULL ? 0 : -1;
}

static int set_rules(struct discover *x, struct dt_err *err)
{
    for (size_t i = 0; i < x->nrule; i++)
        if (dt_ted_rule_set(x->ted, daemon_now(), &x->rule[i].rule, err) != 0 ||
            set_catch_all(x, &x->rule[i], err) != 0)
            return -1;
    x->daemon->routes.changed = true;
    return discover_host_fits(x, err);
}

static int open_host(struct discover *x, struct dt_err *err)
{
    struct dt_keeper_discover fds;
    if (dt_keeper_discover_open(x->daemon->keeper, &fds, err) != 0)
        return -1;
    x->host = true;
    x->raw4 = fds.raw4;
    x->raw6 = fds.raw6;
    x->tap = dt_tap_of(fds.tap4, fds.tap6);
    return x->tap != NULL ? 0 : dt_err_set(err, 0, "out of memory");
}

static struct discover *discover_open(struct daemon *d, struct dt_config *c, struct dt_err *err)
{
    struct discover *x = calloc(1, sizeof(*x));
    if (x == NULL)
        return NULL;
    *x = (struct discover){.daemon = d,
                           .rule = c->discover,
                           .nrule = c->ndiscover,
                           .raw4 = -1,
                           .raw6 = -1,
                           .next_refusal = DISCOVER_REFUSED};
    c->discover = NULL;
    c->ndiscover = 0;
    struct dt_list *lists[] = {&x->founds, &x->refusals, &x->asks, &x->listeners};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        dt_list_init(lists[i]);
    struct dt_rand rand = dt_rand_system();
    dt_table_init(&x->found_table);
    dt_table_init(&x->refusal_table);
    dt_rand_fill(&rand, &x->key, sizeof(x->key));
    /* Who has a secret for each gateway must know whose to use, before IKE has proved anything. */
    const struct dt_ike_id *id = &x->rule[0].gate.cfg.identity;
    if (x->rule[0].gate.nsecret > 0 && dt_ted_name_ok((const char *)id->data, id->len))
        memcpy(x->rule[0].params.name, id->data, id->len);
    x->ted = dt_ted_new(&ted_ops, x, &x->rule[0].params, &rand);
    uv_timer_init(&d->loop, &x->timer);
    uv_timer_init(&d->loop, &x->pause);
    x->timer.data = x->pause.data = x;
    x->handles = 2;
    d->discover = x;
    if (x->ted == NULL || open_host(x, err) != 0 || add_gate(x, err) != 0 || set_rules(x, err) != 0)
        return NULL;
    uv_poll_init(&d->loop, &x->tap4, dt_tap_fd(x->tap, 4));
    uv_poll_init(&d->loop, &x->tap6, dt_tap_fd(x->tap, 6));
    x->tap4.data = x->tap6.data = x;
    x->handles += 2;
    on_pause_over(&x->pause);
    return x;
}

static void discover_handle_closed(uv_handle_t *h)
{
    struct discover *x = h->data;
    if (--x->handles == 0)
        free(x);
}

static void stop_poll(uv_poll_t *p)
{
    if (p->data != NULL) {
        uv_poll_stop(p);
        uv_close((uv_handle_t *)p, discover_handle_closed);
    }
}

/* Ends it, and gives its sections back. */
static struct dt_config_discover *end_all(struct daemon *d, size_t *nrule)
{
    struct discover *x = d->discover;
    struct dt_config_discover *rule = x->rule;
    x->closing = true;
    discover_commands_clear(x);
    discover_tunnels_clear(x);
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++)
            dt_dp_tunnel_remove(d->dp, DISCOVER_DP + (x->rule[i].rule.id << 8) + k);
    if (x->gate != NULL)
        gates_remove(d, x->gate);
    stop_poll(&x->tap4);
    stop_poll(&x->tap6);
    dt_ted_free(x->ted);
    dt_tap_close(x->tap);
    if (x->host)
        dt_keeper_discover_close(d->keeper);
    d->routes.changed = true;
    if (x->raw4 >= 0)
        close(x->raw4);
    if (x->raw6 >= 0)
        close(x->raw6);
    *nrule = x->nrule;
    d->discover = NULL;
    /* Handles are closed by the loop; the last one frees what they stand in. */
    uv_close((uv_handle_t *)&x->pause, discover_handle_closed);
    uv_close((uv_handle_t *)&x->timer, discover_handle_closed);
    return rule;
}

void discover_clear(struct daemon *d)
{
    size_t n;
    struct dt_config_discover *rule = d->discover != NULL ? end_all(d, &n) : NULL;
    if (rule != NULL)
        dt_config_discover_free(rule, n);
    if (d->unserved.rule != NULL)
        dt_config_discover_free(d->unserved.rule, d->unserved.n);
    memset(&d->unserved, 0, sizeof(d->unserved));
}

/* What the sections protect stays closed, though nobody discovers for it. */
static void leave_unserved(struct daemon *d, struct dt_config *c, const struct dt_err *why)
{
    if (d->discover != NULL) {
        d->unserved.rule = end_all(d, &d->unserved.n);
    } else {
        d->unserved.rule = c->discover;
        d->unserved.n = c->ndiscover;
        c->discover = NULL;
        c->ndiscover = 0;
    }
    snprintf(d->unserved.why, sizeof(d->unserved.why), "discovery does not run: %.400s", why->text);
}

int discover_apply(struct daemon *d, struct dt_config *c, json_t *report, struct dt_err *err)
{
    struct discover *x = d->discover;
    if (x != NULL && dt_config_discover_same(x->rule, x->nrule, c->discover, c->ndiscover)) {
        discover_tunnels_rules(x);
        return 0;
    }
    const char *what = x == NULL ? "added" : c->ndiscover > 0 ? "changed" : "removed";
    if (x != NULL || c->ndiscover > 0)
        json_array_append_new(json_object_get(report, what), json_string("discover"));
    discover_clear(d);
    if (c->ndiscover == 0 || discover_open(d, c, err) != NULL)
        return 0;
    if (err->text[0] == '\0')
        dt_err_set(err, 0, "out of memory");
    leave_unserved(d, c, err);
    return -1;
}

/* ---- events for people ---- */

void discover_tell(struct discover *x, const char *name, uint64_t rule, const struct dt_ted_packet *packet,
                   const struct dt_addr *peer, const char *text)
{
    const struct dt_config_discover *r = discover_rule(x, rule);
    char label[40];
    struct dt_event ev = {
        .at = daemon_now(), .kind = DISCOVER_EVENT, .tunnel_name = r != NULL ? r->rule.name : ""};
    snprintf(label, sizeof(label), "discover_%s", name);
    ev.name = label;
    ev.client = true;
    snprintf(ev.text, sizeof(ev.text), "%s", text);
    monitors_event(x->daemon, &ev);
    discover_listeners(x->daemon, name, ev.tunnel_name, packet, peer, text);
}
