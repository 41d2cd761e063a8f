/* Plans: the policy engine's actions are this host's tunnels (policy/policy.h).
 *
 * A tunnel that a rule leads to is not started by itself. It holds what it would carry; the first packet begins the
 * plan, which brings up every layer in order, each through the one below it: its IKE and ESP are sent with the data
 * path's mark for nested packets, so that they are routed into the device again and carried by the lower tunnel. Each layer
 * keeps its own epochs, probes and recovery. Only when its session is given up and no new one comes up in time
 * is a layer lost to the engine. */

#include "plans/plans.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/table.h"
#include "base/utf8.h"
#include "tunnels/carry.h"
#include "tunnels/daemon.h"
#include "tunnels/monitors.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"

#define CLOSE_WAIT (3 * DT_SEC)   /* for the answer to a DELETE, before the next layer is taken down */
#define POLL       (20 * DT_MSEC) /* while a DELETE is on its way */

enum layer_state { PERFORMING, UP, FAILING, TEARING };

struct layer {
    struct dt_list link;
    struct dt_table_node by_id;
    uint32_t id, below;
    struct tun *t;
    enum layer_state state;
    struct dt_addr peer, inner;
    bool came_up;          /* news from the endpoint that was not dealt with yet */
    char why[DT_ERR_TEXT]; /* ... or why it failed */
    dt_time lost_at;       /* when it is lost unless it comes up again; DT_NEVER */
    dt_time close_by;
    uint64_t packets;
    dt_time used;
};

struct plans {
    struct daemon *d;
    struct dt_policy *policy;
    struct dt_policy_limits limits;
    struct dt_list layers;
    struct dt_table layer_ids;
    uv_timer_t timer;
    bool again; /* a callback has left something to do */
};

static void plans_on_timer(uv_timer_t *timer);

static void wake(struct plans *p, dt_time at)
{
    dt_time now = daemon_now();
    if (at == DT_NEVER) {
        uv_timer_stop(&p->timer);
        return;
    }
    uv_update_time(&p->d->loop);
    uv_timer_start(&p->timer, plans_on_timer, at <= now ? 0 : (at - now + DT_MSEC - 1) / DT_MSEC, 0);
}

static struct layer *layer_by_id(struct plans *p, uint32_t id)
{
    struct dt_table_node *n = dt_table_first(&p->layer_ids, id);
    return n != NULL ? DT_CONTAINER_OF(n, struct layer, by_id) : NULL;
}

/* ---- which tunnel serves a rule ---- */

static bool has_gateway(const struct tun *t, const struct dt_addr *a)
{
    for (unsigned i = 0; i < t->cfg.cfg.ngateways; i++)
        if (dt_addr_eq(&t->cfg.cfg.gateways[i], a))
            return true;
    return false;
}

static struct tun *find_tun(struct daemon *d, const struct dt_policy_action *a, char *why, size_t cap)
{
    char peer[DT_ADDR_STRLEN];
    dt_addr_str(peer, &a->peer);
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!t->ruled || t->cfg.cfg.transport != (a->kind == DT_RULE_TRANSPORT))
            continue;
        if (*a->use && strcmp(a->use, t->cfg.cfg.name) != 0)
            continue;
        if (!has_gateway(t, &a->peer))
            continue;
        if (t->id != 0 && t->layer == 0)
            return t;
        dt_utf8_printf(
            why, cap, t->id == 0 ? "tunnel \"%s\" is not there: %.150s" : "tunnel \"%s\" serves another plan",
            t->cfg.cfg.name, t->resolve_why);
    }
    if (!*why)
        dt_utf8_printf(why, cap, "no tunnel section%s%.64s has %s among its gateways%s", *a->use ? " " : "",
                       a->use, peer, a->kind == DT_RULE_TRANSPORT ? " and transport = yes" : "");
    return NULL;
}

static bool selects(const struct dt_selectors *list, const struct dt_addr *a)
{
    for (unsigned i = 0; i < list->n; i++)
        if (dt_range_has(&list->v[i].range, a))
            return true;
    return false;
}

/* Tells the workers whose packets go through which lower tunnel. */
static void publish_nests(struct plans *p)
{
    struct plans_nest *nest = calloc(p->layer_ids.count + 1, sizeof(*nest));
    size_t n = 0;
    if (nest == NULL) {
        LOG(DT_LOG_ERROR, "out of memory: the workers do not hear which tunnels are nested");
        return;
    }
    dt_list_for_each (at, &p->layers) {
        const struct layer *l = DT_CONTAINER_OF(at, struct layer, link);
        const struct layer *b = l->below != 0 ? layer_by_id(p, l->below) : NULL;
        if (b != NULL && b->t != NULL)
            nest[n++] = (struct plans_nest){l->peer, b->t->id};
    }
    plans_hook_nests(p->d, nest, n);
    free(nest);
}

/* ---- what the engine asks for ---- */

static void failing(struct plans *p, struct layer *l, const char *why)
{
    l->state = FAILING;
    snprintf(l->why, sizeof(l->why), "%s", why);
    l->close_by = daemon_now() + CLOSE_WAIT;
    if (l->t != NULL) {
        dt_endpoint_down(p->d->ep, daemon_now(), l->t->id);
        daemon_wake(p->d);
    }
    p->again = true;
}

static void perform(void *user, dt_time now, const struct dt_policy_action *a)
{
    struct plans *p = user;
    struct layer *l = calloc(1, sizeof(*l));
    if (l == NULL || dt_table_insert(&p->layer_ids, &l->by_id, a->layer) != 0) {
        free(l);
        return; /* the engine's own clock ends it */
    }
    l->id = a->layer;
    l->below = a->below;
    l->peer = a->peer;
    l->inner = a->inner;
    l->lost_at = DT_NEVER;
    l->used = now;
    dt_list_add_tail(&p->layers, &l->link);
    char why[DT_ERR_TEXT] = "";
    struct tun *t = find_tun(p->d, a, why, sizeof(why));
    if (t == NULL) {
        failing(p, l, why);
        return;
    }
    l->t = t;
    t->layer = l->id;
    struct layer *lower = layer_by_id(p, a->below);
    t->below = lower != NULL && lower->t != NULL ? lower->t->id : 0;
    if (t->below != 0)
        publish_nests(p);
    t->wanted = true;
    t->refusals = 0;
    t->refusal[0] = '\0';
    if (a->udp && t->cfg.cfg.encap != DT_ENCAP_UDP) {
        struct dt_err err;
        t->cfg.cfg.encap = DT_ENCAP_UDP;
        t->plan_udp = true;
        dt_endpoint_tunnel_update(p->d->ep, now, t->id, &t->cfg.cfg, &err);
    }
    struct dt_tunnel_info info;
    dt_endpoint_up(p->d->ep, now, t->id);
    l->came_up = dt_endpoint_tunnel_info(p->d->ep, t->id, &info) && info.up;
    p->again |= l->came_up;
    routes_want_again(p->d);
    daemon_wake(p->d);
}

static void teardown(void *user, dt_time now, uint32_t layer)
{
    struct plans *p = user;
    struct layer *l = layer_by_id(p, layer);
    p->again = true;
    if (l == NULL)
        return;
    l->state = TEARING;
    l->close_by = now + CLOSE_WAIT;
    if (l->t != NULL)
        dt_endpoint_down(p->d->ep, now, l->t->id);
    daemon_wake(p->d);
}

static dt_time used(void *user, uint32_t layer)
{
    struct layer *l = layer_by_id(user, layer);
    return l != NULL ? l->used : 0;
}

static void plans_policy_event(void *user, const struct dt_policy_event *ev)
{
    struct plans *p = user;
    char peer[DT_ADDR_STRLEN] = "";
    if (ev->layer != 0)
        dt_addr_str(peer, &ev->peer);
    bool bad = ev->kind == DT_POLICY_ACTION_FAILED || ev->kind == DT_POLICY_LAYER_LOST ||
               ev->kind == DT_POLICY_REFUSED;
    LOG(bad ? DT_LOG_WARN : DT_LOG_INFO, "plan %u: %s%s%s %s(%u pending, %u completed): %s", ev->plan,
        dt_policy_event_name(ev->kind), *ev->rule ? " " : "", ev->rule, peer, ev->pending, ev->completed,
        ev->text);
    monitors_json(p->d, plans_event_json(ev));
}

static const struct dt_policy_ops ops = {
    .perform = perform, .teardown = teardown, .used = used, .event = plans_policy_event};

/* ---- what has become of it ---- */

static void layer_end(struct plans *p, struct layer *l)
{
    struct tun *t = l->t;
    bool nested = l->below != 0;
    dt_list_del(&l->link);
    dt_table_remove(&p->layer_ids, &l->by_id);
    free(l);
    if (nested)
        publish_nests(p);
    if (t == NULL)
        return;
    t->layer = 0;
    t->below = 0;
    t->plan_udp = false;
    carry_hold(p->d, t); /* what comes now waits, and begins the plan anew */
}

static bool layer_closed(struct plans *p, const struct layer *l, dt_time now)
{
    return l->t == NULL || now >= l->close_by || !dt_endpoint_closing(p->d->ep, &l->peer);
}

/* A gateway that answers with less than was asked for carries nothing of what is to follow. */
static bool narrow(struct plans *p, struct layer *l, char *why, size_t cap)
{
    struct dt_tunnel_info info;
    char inner[DT_ADDR_STRLEN], peer[DT_ADDR_STRLEN], has[DT_SELECTOR_STRLEN] = "nothing";
    if (!dt_endpoint_tunnel_info(p->d->ep, l->t->id, &info) || selects(&info.remote_ts, &l->inner))
        return false;
    if (info.remote_ts.n > 0)
        dt_selector_str(has, &info.remote_ts.v[0]);
    snprintf(why, cap, "%s carries %s%s, and %s is outside of it", dt_addr_str(peer, &l->peer), has,
             info.remote_ts.n > 1 ? " and more" : "", dt_addr_str(inner, &l->inner));
    return true;
}

static void layer_run(struct plans *p, struct layer *l, dt_time now)
{
    struct dt_tunnel_info info;
    struct dt_err err = {0};
    char why[DT_ERR_TEXT];
    uint32_t id = l->id;
    switch (l->state) {
    case PERFORMING:
        if (l->why[0] != '\0') {
            memcpy(why, l->why, sizeof(why));
            failing(p, l, why);
        } else if (l->came_up && narrow(p, l, why, sizeof(why))) {
            failing(p, l, why);
        } else if (l->came_up) {
            l->state = UP;
            dt_policy_done(p->policy, now, id, NULL);
        }
        break;
    case UP:
        if (l->lost_at > now)
            break;
        if (dt_endpoint_tunnel_info(p->d->ep, l->t->id, &info) && info.up) {
            l->lost_at = DT_NEVER;
            break;
        }
        l->lost_at = DT_NEVER;
        dt_err_set(&err, 0, "%s", l->why);
        dt_policy_lost(p->policy, now, id, &err);
        break;
    case FAILING:
        if (!layer_closed(p, l, now))
            break;
        dt_err_set(&err, 0, "%s", l->why);
        layer_end(p, l);
        dt_policy_done(p->policy, now, id, &err);
        break;
    case TEARING:
        if (!layer_closed(p, l, now))
            break;
        layer_end(p, l);
        dt_policy_torn(p->policy, now, id);
        break;
    }
}

static void plans_run(struct plans *p)
{
    dt_time now = daemon_now(), at = DT_NEVER;
    for (int turns = 0; turns < 64; turns++) {
        p->again = false;
        dt_policy_tick(p->policy, now);
        /* A step may end its own layer, and begin others at the end of the list. */
        dt_list_for_each_safe (l, &p->layers) {
            layer_run(p, DT_CONTAINER_OF(l, struct layer, link), now);
        }
        if (!p->again)
            break;
    }
    at = dt_policy_deadline(p->policy);
    dt_list_for_each (n, &p->layers) {
        const struct layer *l = DT_CONTAINER_OF(n, struct layer, link);
        if (l->state == FAILING || l->state == TEARING)
            at = dt_time_min(at, now + POLL);
        at = dt_time_min(at, l->lost_at);
    }
    wake(p, p->again ? now : at);
    daemon_wake(p->d);
}

static void plans_on_timer(uv_timer_t *timer)
{
    plans_run(timer->data);
}

/* ---- what the rest of the daemon tells ---- */

/* From within the endpoint's callbacks: note it, do it later. */
void plans_event(struct daemon *d, const struct dt_event *ev)
{
    struct plans *p = d->plans;
    struct tun *t = p != NULL ? tun_by_id(d, ev->tunnel) : NULL;
    struct layer *l = t != NULL && t->layer != 0 ? layer_by_id(p, t->layer) : NULL;
    char peer[DT_ADDR_STRLEN];
    if (l == NULL)
        return;
    switch (ev->kind) {
    case DT_EVENT_UP:
    case DT_EVENT_UNPROVED:
        l->came_up = true;
        l->why[0] = '\0';
        l->lost_at = DT_NEVER;
        break;
    case DT_EVENT_IKE: /* the sentence with both sides' values; the refusal follows */
        if (ev->ike == DT_IKE_EV_PEER_REFUSED)
            snprintf(t->refusal, sizeof(t->refusal), "%s", ev->text);
        return;
    case DT_EPOCH_REFUSED:
    case DT_EPOCH_SESSION_DROPPED:
    case DT_EPOCH_SESSION_LOST:
        if (l->state == PERFORMING && l->why[0] == '\0') {
            if (t->refusal[0] != '\0')
                snprintf(l->why, sizeof(l->why), "%s", t->refusal);
            else
                dt_utf8_printf(l->why, sizeof(l->why), "no answer from %s: %.180s",
                               dt_addr_str(peer, &l->peer), ev->text);
        } else if (l->state == UP && l->lost_at == DT_NEVER) {
            snprintf(l->why, sizeof(l->why), "%s", ev->text);
            l->lost_at = daemon_now() + t->cfg.cfg.params.timeout;
        }
        break;
    default:
        return;
    }
    wake(p, daemon_now());
}

/* From within the endpoint's callbacks too: this layer cannot be. */
void plans_refuse(struct daemon *d, struct tun *t, const char *why)
{
    struct layer *l = d->plans != NULL && t->layer != 0 ? layer_by_id(d->plans, t->layer) : NULL;
    if (l == NULL || l->state != PERFORMING)
        return;
    snprintf(l->why, sizeof(l->why), "%s", why);
    wake(d->plans, daemon_now());
}

/* What we ourselves send to a layer's peer is no reason to reach it: a last repetition of a request may meet the lower
 * tunnels when the layer is gone already, and would have them built for nothing. */
static bool own_to_layer(struct daemon *d, const struct dt_dp_flow *f)
{
    static const uint32_t marks[] = {DT_DP_MARK_NESTED, DT_DP_MARK};
    bool peer = false;
    if (!plans_protocol(d, f->proto, f->sport))
        return false;
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        peer |= t->ruled && has_gateway(t, &f->dst);
    }
    for (size_t i = 0; peer && i < DT_ARRAY_LEN(marks); i++) {
        struct dt_addr src = {0};
        if (dt_nl_route_get(d->nl, &f->dst, marks[i], &src, NULL, NULL) == 0 && dt_addr_eq(&src, &f->src))
            return true;
    }
    return false;
}

void plans_need(struct daemon *d, const struct dt_dp_event *ev)
{
    struct plans *p = d->plans;
    struct dt_flow f = {.src = ev->flow.src,
                        .dst = ev->flow.dst,
                        .proto = ev->flow.proto,
                        .ports = !ev->flow.fragment && dt_proto_has_ports(ev->flow.proto),
                        .sport = ev->flow.sport,
                        .dport = ev->flow.dport};
    if (p == NULL || p->policy == NULL || own_to_layer(d, &ev->flow))
        return;
    dt_policy_packet(p->policy, daemon_now(), &f, NULL, 0, NULL, NULL);
    plans_run(p);
}

/* Five times a second: who has carried something, and for which rules? */
void plans_beat(struct daemon *d)
{
    struct plans *p = d->plans;
    if (p == NULL)
        return;
    dt_list_for_each (n, &p->layers) {
        struct layer *l = DT_CONTAINER_OF(n, struct layer, link);
        struct dt_dp_tunnel_counters c;
        if (l->t == NULL || !dt_dp_tunnel_counters(d->dp, l->t->id, &c) ||
            c.tx_packets + c.rx_packets == l->packets)
            continue;
        l->packets = c.tx_packets + c.rx_packets;
        l->used = daemon_now();
    }
    struct plans_ask asked[PLANS_ASKS];
    size_t n = p->policy != NULL ? plans_asked(d, asked) : 0;
    for (size_t i = 0; i < n; i++) {
        /* A tunnel that is not up has held it, and told of it then. */
        const struct tun *t = tun_by_id(d, asked[i].tunnel);
        const struct layer *l = t != NULL && t->layer != 0 ? layer_by_id(p, t->layer) : NULL;
        if (l != NULL && l->state == UP)
            dt_policy_packet(p->policy, daemon_now(), &asked[i].flow, NULL, 0, NULL, NULL);
    }
    if (n > 0)
        plans_run(p);
}

void plans_forget(struct daemon *d, struct tun *t, const char *why)
{
    struct layer *l = d->plans != NULL && t->layer != 0 ? layer_by_id(d->plans, t->layer) : NULL;
    if (l == NULL)
        return;
    struct dt_err err;
    dt_err_set(&err, 0, "%s", why);
    l->t = NULL;
    t->layer = 0;
    t->plan_udp = false;
    if (l->state == UP)
        dt_policy_lost(d->plans->policy, daemon_now(), l->id, &err);
    else if (l->state == PERFORMING)
        snprintf(l->why, sizeof(l->why), "%s", err.text);
    wake(d->plans, daemon_now());
}

int plans_apply(struct daemon *d, const struct dt_policy_limits *limits, struct dt_err *err)
{
    struct plans *p = d->plans;
    if (p == NULL) {
        if (d->rules == NULL || d->rules->n == 0)
            return 0;
        d->plans = p = calloc(1, sizeof(*p));
        if (p == NULL)
            return dt_err_set(err, 0, "out of memory");
        p->d = d;
        p->limits = *limits;
        dt_list_init(&p->layers);
        dt_table_init(&p->layer_ids);
        uv_timer_init(&d->loop, &p->timer);
        p->timer.data = p;
    }
    struct dt_match *m = dt_match_new(d->rules, err);
    if (m == NULL)
        return -1;
    if (p->policy != NULL) {
        p->limits = *limits;
        dt_policy_set_limits(p->policy, limits);
        dt_policy_set_rules(p->policy, daemon_now(), m);
    } else {
        p->policy = dt_policy_new(&ops, p, &p->limits, m);
        if (p->policy != NULL)
            dt_policy_start(p->policy, daemon_now());
    }
    plans_hook_rules(d, m); /* takes m, and frees the one before */
    if (p->policy == NULL)
        return dt_err_set(err, 0, "out of memory");
    plans_run(p);
    return 0;
}

int plans_again(struct daemon *d)
{
    struct dt_err err = {0};
    if (d->plans == NULL || plans_apply(d, &d->plans->limits, &err) == 0)
        return 0;
    LOG(DT_LOG_ERROR, "the rules are not used: %s", err.text);
    return -1;
}

void plans_stop(struct daemon *d)
{
    if (d->plans != NULL && d->plans->policy != NULL) {
        dt_policy_stop(d->plans->policy, daemon_now());
        plans_run(d->plans);
    }
}

bool plans_idle(struct daemon *d)
{
    return d->plans == NULL || d->plans->policy == NULL || dt_policy_idle(d->plans->policy);
}

/* The timer's handle is closed with all the others before the memory goes. */
void plans_close(struct daemon *d)
{
    struct plans *p = d->plans;
    if (p == NULL)
        return;
    d->plans = NULL;
    dt_policy_free(p->policy, daemon_now());
    while (!dt_list_empty(&p->layers)) {
        struct layer *l = DT_CONTAINER_OF(p->layers.next, struct layer, link);
        dt_list_del(&l->link);
        free(l);
    }
    dt_table_free(&p->layer_ids);
    free(p);
}

const struct dt_policy *plans_policy(const struct daemon *d)
{
    return d->plans != NULL ? d->plans->policy : NULL;
}

struct tun *plans_tunnel_of(const struct daemon *d, uint32_t layer)
{
    struct layer *l = d->plans != NULL ? layer_by_id(d->plans, layer) : NULL;
    return l != NULL ? l->t : NULL;
}

bool plans_nested(struct daemon *d, const struct dt_addr *remote)
{
    struct plans *p = d->plans;
    if (p == NULL)
        return false;
    dt_list_for_each (n, &p->layers) {
        const struct layer *l = DT_CONTAINER_OF(n, struct layer, link);
        if (l->below != 0 && dt_addr_eq(&l->peer, remote))
            return true;
    }
    return false;
}
