/* Plans: who has one, what waits for it, when it ends. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "policy/policy_priv.h"

void dt_policy_limits_default(struct dt_policy_limits *l)
{
    *l = (struct dt_policy_limits){
        .plans_max = 1024,
        .building_max = 256,
        .hold_packets = 64,
        .hold_bytes = 131072,
        .hold_total_bytes = 16u << 20,
        .idle = 300 * DT_SEC,
        .action_timeout = 120 * DT_SEC,
        .retry_min = DT_SEC,
        .retry_max = 60 * DT_SEC,
    };
}

struct dt_policy *dt_policy_new(const struct dt_policy_ops *ops, void *user,
                                const struct dt_policy_limits *limits, const struct dt_match *m)
{
    struct dt_policy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->ops = *ops;
    p->user = user;
    if (limits)
        p->limits = *limits;
    else
        dt_policy_limits_default(&p->limits);
    p->match = m;
    dt_list_init(&p->plans);
    dt_list_init(&p->layers);
    dt_table_init(&p->by_steps);
    dt_heap_init(&p->heap);
    return p;
}

void dt_policy_free(struct dt_policy *p, dt_time now)
{
    if (!p)
        return;
    p->ops.event = NULL;
    while (!dt_list_empty(&p->plans))
        dt_plan_free(p, now, DT_CONTAINER_OF(p->plans.next, struct plan, all), "");
    while (!dt_list_empty(&p->layers)) {
        struct layer *l = DT_CONTAINER_OF(p->layers.next, struct layer, all);
        dt_list_del(&l->all);
        free(l);
    }
    dt_table_free(&p->by_steps);
    dt_heap_free(&p->heap);
    free(p);
}

/* --- events --- */

const char *dt_policy_event_name(enum dt_policy_event_kind k)
{
    static const char *const names[] = {"plan_begun",    "pending_pop", "completed_push", "action_failed",
                                        "completed_pop", "plan_up",     "layer_lost",     "plan_waits",
                                        "plan_gone",     "refused"};
    return (unsigned)k < DT_ARRAY_LEN(names) ? names[k] : "?";
}

void dt_policy_emit(struct dt_policy *p, dt_time now, enum dt_policy_event_kind kind, const struct plan *pl,
                    const struct layer *l, const char *fmt, ...)
{
    if (!p->ops.event)
        return;
    struct dt_policy_event ev = {.kind = kind, .at = now, .rule = ""};
    if (pl) {
        ev.plan = pl->id;
        ev.completed = pl->done;
        /* An action that is under way is on neither stack. */
        bool popped = pl->state == DT_PLAN_BUILDING && pl->waiting_for && pl->done < pl->n;
        ev.pending = pl->n - pl->done - popped;
    }
    if (l) {
        ev.layer = l->id;
        ev.action = l->step.kind;
        ev.peer = l->step.peer;
        ev.rule = l->step.rule;
    }
    va_list ap;
    va_start(ap, fmt);
    dt_utf8_vprintf(ev.text, sizeof ev.text, fmt, ap);
    va_end(ap);
    p->ops.event(p->user, &ev);
}

/* A packet is dropped for want of a plan: told at most once a second, counted always. */
static void plan_complain(struct dt_policy *p, dt_time now, const struct dt_flow *f, const char *text)
{
    if (p->has_complained && dt_time_sub(now, p->complained) < DT_SEC)
        return;
    p->has_complained = true;
    p->complained = now;
    char flow[DT_FLOW_STRLEN];
    dt_policy_emit(p, now, DT_POLICY_REFUSED, NULL, NULL, "%s: %.110s", dt_flow_str(flow, f), text);
}

/* --- a plan's key --- */

static void steps_of(const struct dt_plan *plan, const struct dt_rules *rs, struct step *out)
{
    memset(out, 0, plan->n * sizeof *out);
    for (unsigned i = 0; i < plan->n; i++) {
        const struct dt_rule *r = &rs->v[plan->pending[i].rule];
        out[i].kind = plan->pending[i].kind;
        out[i].peer = plan->pending[i].peer;
        out[i].udp = r->udp;
        snprintf(out[i].use, sizeof out[i].use, "%s", r->use ? r->use : "");
        snprintf(out[i].rule, sizeof out[i].rule, "%s", r->name);
    }
}

static uint64_t steps_hash(const struct step *v, unsigned n)
{
    static const struct dt_siphash_key key = {{0x706c616e73746570u, 0x646f76657461696cu}};
    struct {
        struct dt_addr peer;
        uint8_t kind, udp;
        char use[DT_RULE_NAME_MAX + 1];
    } in[DT_PLAN_MAX];
    memset(in, 0, sizeof in);
    for (unsigned i = 0; i < n; i++) {
        in[i].peer = v[i].peer;
        in[i].kind = (uint8_t)v[i].kind;
        in[i].udp = v[i].udp;
        memcpy(in[i].use, v[i].use, strlen(v[i].use));
    }
    return dt_siphash(&key, in, n * sizeof in[0]);
}

static bool steps_same(const struct plan *pl, const struct step *v, unsigned n)
{
    if (pl->n != n)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (!step_same(&pl->step[i], &v[i]))
            return false;
    return true;
}

static struct plan *plan_find(struct dt_policy *p, const struct step *v, unsigned n, uint64_t hash)
{
    for (struct dt_table_node *t = dt_table_first(&p->by_steps, hash); t; t = dt_table_next(t)) {
        struct plan *pl = DT_CONTAINER_OF(t, struct plan, by_steps);
        if (steps_same(pl, v, n))
            return pl;
    }
    return NULL;
}

/* --- plans --- */

static struct plan *plan_new(struct dt_policy *p, dt_time now, const struct dt_flow *f, const struct step *v,
                             unsigned n, uint64_t hash)
{
    struct plan *pl = calloc(1, sizeof *pl);
    if (!pl)
        return NULL;
    pl->n = n;
    memcpy(pl->step, v, n * sizeof *v);
    pl->flow = *f;
    pl->held_end = &pl->held;
    pl->used = pl->since = now;
    pl->state = DT_PLAN_WAITING;
    dt_timer_init(&pl->timer);
    dt_list_init(&pl->wait);
    /* A place in the heap is made sure of now, so that no timer is lost later. */
    if (dt_table_insert(&p->by_steps, &pl->by_steps, hash)) {
        free(pl);
        return NULL;
    }
    if (dt_heap_set(&p->heap, &pl->timer, now)) {
        dt_table_remove(&p->by_steps, &pl->by_steps);
        free(pl);
        return NULL;
    }
    pl->keyed = true;
    pl->id = ++p->last_plan;
    dt_list_add_tail(&p->plans, &pl->all);
    p->c.plans++;
    p->c.begun++;
    char s[DT_FLOW_STRLEN];
    dt_policy_emit(p, now, DT_POLICY_PLAN_BEGUN, pl, NULL, "%s", dt_flow_str(s, f));
    return pl;
}

void dt_plan_free(struct dt_policy *p, dt_time now, struct plan *pl, const char *why)
{
    dt_plan_release(p, now, pl, 0);
    dt_policy_emit(p, now, DT_POLICY_PLAN_GONE, pl, NULL, "%s", why);
    if (pl->state == DT_PLAN_BUILDING || pl->state == DT_PLAN_UNWINDING)
        p->c.building--;
    if (pl->keyed)
        dt_table_remove(&p->by_steps, &pl->by_steps);
    dt_heap_set(&p->heap, &pl->timer, DT_NEVER);
    dt_list_del(&pl->wait);
    dt_list_del(&pl->all);
    p->c.plans--;
    free(pl);
}

void dt_plan_timer(struct dt_policy *p, struct plan *pl)
{
    dt_time at = DT_NEVER;
    if (pl->state == DT_PLAN_WAITING || (pl->state == DT_PLAN_BUILDING && pl->waiting_for))
        at = pl->action_by;
    else if (pl->state == DT_PLAN_UP && p->limits.idle && !pl->always)
        at = dt_time_add(pl->used, p->limits.idle);
    dt_heap_set(&p->heap, &pl->timer, at);
}

static void plan_end(struct dt_policy *p, dt_time now, struct plan *pl, const char *why)
{
    snprintf(pl->why, sizeof pl->why, "%s", why);
    dt_plan_unwind(p, now, pl, 0, true);
}

/* --- held packets --- */

void dt_plan_release(struct dt_policy *p, dt_time now, struct plan *pl, uint32_t layer)
{
    struct held *h = pl->held;
    p->c.held -= pl->nheld;
    p->c.held_bytes -= pl->held_bytes;
    p->c.released += layer ? pl->nheld : 0;
    p->c.drop_failed += layer ? 0 : pl->nheld;
    pl->held = NULL;
    pl->held_end = &pl->held;
    pl->nheld = pl->held_bytes = 0;
    while (h) {
        struct held *next = h->next;
        p->ops.release(p->user, now, h->packet, h->len, layer);
        free(h);
        h = next;
    }
}

static enum dt_policy_verdict hold(struct dt_policy *p, struct plan *pl, const struct dt_flow *f,
                                   void *packet, size_t len, struct dt_err *why)
{
    const struct dt_policy_limits *l = &p->limits;
    if (!packet || !p->ops.release) {
        pl->asked = true;
        dt_err_set(why, 0, "plan %u is %s", pl->id, dt_policy_state_name(pl->state));
        return DT_POLICY_DROP;
    }
    struct held *h = NULL;
    if (pl->nheld < l->hold_packets && len <= l->hold_bytes && pl->held_bytes <= l->hold_bytes - len &&
        p->c.held_bytes + len <= l->hold_total_bytes)
        h = malloc(sizeof *h);
    if (!h) {
        p->c.drop_hold++;
        dt_err_set(why, 0, "plan %u is %s and holds %u packets, %u bytes; at most %u and %u are held", pl->id,
                   dt_policy_state_name(pl->state), pl->nheld, pl->held_bytes, l->hold_packets,
                   l->hold_bytes);
        return DT_POLICY_DROP;
    }
    *h = (struct held){NULL, packet, len, *f};
    *pl->held_end = h;
    pl->held_end = &h->next;
    pl->nheld++;
    pl->held_bytes += (uint32_t)len;
    p->c.held++;
    p->c.held_all++;
    p->c.held_bytes += len;
    return DT_POLICY_HELD;
}

/* --- packets --- */

static struct plan *plan_begin(struct dt_policy *p, dt_time now, const struct dt_flow *f,
                               const struct step *v, unsigned n, uint64_t hash, struct dt_err *why)
{
    if (p->c.plans >= p->limits.plans_max) {
        p->c.drop_plans++;
        dt_err_set(why, 0, "there are %u plans already, as many as may be", p->limits.plans_max);
        return NULL;
    }
    if (p->c.building >= p->limits.building_max) {
        p->c.drop_building++;
        dt_err_set(why, 0, "%u plans are being built or torn down already, as many as may be",
                   p->limits.building_max);
        return NULL;
    }
    struct plan *pl = plan_new(p, now, f, v, n, hash);
    if (!pl) {
        dt_err_set(why, 0, "out of memory");
        return NULL;
    }
    dt_plan_build(p, now, pl);
    return pl;
}

/* The plan of these packets, begun when it is new. -1: refused. 0 with *out NULL: no rule matches. */
static int plan_of(struct dt_policy *p, dt_time now, const struct dt_flow *f, struct plan **out,
                   struct dt_err *why)
{
    struct dt_plan plan;
    struct step v[DT_PLAN_MAX];
    struct dt_err err = {0};
    *out = NULL;
    if (dt_plan_make(&plan, p->match, f, &err)) {
        p->c.drop_refused++;
    } else if (p->stopping) {
        dt_err_set(&err, 0, "all plans are being ended");
    } else {
        if (!plan.n)
            return 0;
        steps_of(&plan, dt_match_rules(p->match), v);
        uint64_t hash = steps_hash(v, plan.n);
        *out = plan_find(p, v, plan.n, hash);
        if (!*out)
            *out = plan_begin(p, now, f, v, plan.n, hash, &err);
        if (*out)
            return 0;
    }
    plan_complain(p, now, f, err.text);
    if (why)
        *why = err;
    return -1;
}

enum dt_policy_verdict dt_policy_packet(struct dt_policy *p, dt_time now, const struct dt_flow *f,
                                        void *packet, size_t len, uint32_t *layer, struct dt_err *why)
{
    struct plan *pl;
    p->c.packets++;
    if (plan_of(p, now, f, &pl, why))
        return DT_POLICY_DROP;
    if (!pl) {
        p->c.passed++;
        return DT_POLICY_PASS;
    }
    pl->used = now;
    if (pl->state != DT_PLAN_UP)
        return hold(p, pl, f, packet, len, why);
    p->c.sent++;
    if (layer)
        *layer = pl->completed[pl->done - 1]->id;
    return DT_POLICY_SEND;
}

/* A packet that this rule is for; its ends are the first addresses that it names. */
static struct dt_flow sample(const struct dt_rule *r)
{
    struct dt_flow f = {.proto = r->nproto ? r->proto[0] : 0};
    uint8_t ver = r->to.n          ? r->to.v[0].from.ver
                  : r->from.n      ? r->from.v[0].from.ver
                  : r->gateway.ver ? r->gateway.ver
                                   : 4;
    f.src.ver = f.dst.ver = ver;
    if (r->to.n)
        f.dst = r->to.v[0].from;
    for (size_t i = r->from.n; i-- > 0;)
        if (r->from.v[i].from.ver == ver)
            f.src = r->from.v[i].from;
    f.ports = r->nsport || r->ndport || dt_proto_has_ports(f.proto);
    f.sport = r->nsport ? r->sport[0].from : 0;
    f.dport = r->ndport ? r->dport[0].from : 0;
    return f;
}

void dt_policy_set_limits(struct dt_policy *p, const struct dt_policy_limits *limits)
{
    p->limits = *limits;
    dt_list_for_each (at, &p->plans)
        dt_plan_timer(p, DT_CONTAINER_OF(at, struct plan, all));
}

void dt_policy_start(struct dt_policy *p, dt_time now)
{
    const struct dt_rules *rs = dt_match_rules(p->match);
    for (size_t i = 0; i < rs->n && !p->stopping; i++) {
        if (!rs->v[i].always)
            continue;
        struct dt_flow f = sample(&rs->v[i]);
        struct plan *pl;
        if (plan_of(p, now, &f, &pl, NULL) || !pl)
            continue;
        pl->always = true;
        dt_plan_timer(p, pl);
    }
}

/* --- endings --- */

static struct plan *plan_after(const struct dt_policy *p, uint32_t prev)
{
    dt_list_for_each (at, &p->plans) {
        struct plan *pl = DT_CONTAINER_OF(at, struct plan, all);
        if (pl->id > prev)
            return pl;
    }
    return NULL;
}

void dt_policy_stop(struct dt_policy *p, dt_time now)
{
    p->stopping = true;
    struct plan *pl;
    for (uint32_t id = 0; (pl = plan_after(p, id));) {
        id = pl->id;
        dt_plan_release(p, now, pl, 0);
        plan_end(p, now, pl, "stopped");
    }
}

bool dt_policy_idle(const struct dt_policy *p)
{
    return dt_list_empty(&p->plans) && dt_list_empty(&p->layers);
}

/* What a plan held goes its new way. */
static void hand_over(struct dt_policy *p, dt_time now, struct held *h)
{
    while (h) {
        struct held *next = h->next;
        uint32_t layer = 0;
        enum dt_policy_verdict v = dt_policy_packet(p, now, &h->flow, h->packet, h->len, &layer, NULL);
        p->c.packets--; /* it was counted when it came */
        if (v == DT_POLICY_HELD) {
            p->c.held_all--;
        } else {
            p->c.sent -= v == DT_POLICY_SEND;
            p->c.passed -= v == DT_POLICY_PASS;
            p->c.released += v == DT_POLICY_SEND;
            p->c.drop_failed += v != DT_POLICY_SEND;
            p->ops.release(p->user, now, h->packet, h->len, v == DT_POLICY_SEND ? layer : 0);
        }
        free(h);
        h = next;
    }
}

void dt_policy_set_rules(struct dt_policy *p, dt_time now, const struct dt_match *m)
{
    p->match = m;
    struct held *moved = NULL, **moved_end = &moved;
    struct plan *pl;
    for (uint32_t id = 0; (pl = plan_after(p, id));) {
        id = pl->id;
        if (pl->ending)
            continue;
        struct dt_plan plan;
        struct step v[DT_PLAN_MAX];
        bool made = !dt_plan_make(&plan, m, &pl->flow, NULL);
        if (made)
            steps_of(&plan, dt_match_rules(m), v);
        if (made && steps_same(pl, v, plan.n)) {
            memcpy(pl->step, v, plan.n * sizeof *v); /* the names of the rules */
            continue;
        }
        p->c.reloaded++;
        if (pl->held) {
            *moved_end = pl->held;
            moved_end = pl->held_end;
            p->c.held -= pl->nheld;
            p->c.held_bytes -= pl->held_bytes;
            pl->held = NULL;
            pl->held_end = &pl->held;
            pl->nheld = pl->held_bytes = 0;
        }
        plan_end(p, now, pl, "the rules have changed");
    }
    hand_over(p, now, moved);
    dt_policy_start(p, now);
}

/* --- time --- */

static dt_time last_use(const struct dt_policy *p, const struct plan *pl)
{
    dt_time t = pl->used;
    if (p->ops.used && pl->done == pl->n) {
        dt_time u = p->ops.used(p->user, pl->completed[pl->done - 1]->id);
        t = u > t ? u : t;
    }
    return t;
}

static void plan_due(struct dt_policy *p, dt_time now, struct plan *pl)
{
    char text[DT_ERR_TEXT];
    if (pl->state == DT_PLAN_BUILDING) {
        struct layer *l = pl->waiting_for;
        snprintf(text, sizeof text, "no answer for %.3g s", dt_time_seconds(p->limits.action_timeout));
        dt_policy_emit(p, now, DT_POLICY_ACTION_FAILED, pl, l, "%s", text);
        dt_plan_fail(p, now, pl, text);
    } else if (pl->state == DT_PLAN_UP) {
        pl->used = last_use(p, pl);
        if (dt_time_sub(now, pl->used) < p->limits.idle) {
            dt_plan_timer(p, pl);
            return;
        }
        p->c.idle++;
        snprintf(text, sizeof text, "no packet for %.3g s", dt_time_seconds(p->limits.idle));
        plan_end(p, now, pl, text);
    } else if (pl->state == DT_PLAN_WAITING) {
        bool used = pl->rebuild && (!p->limits.idle || dt_time_sub(now, pl->used) < p->limits.idle);
        bool wanted = pl->held || pl->asked || pl->always || used;
        pl->asked = false;
        if (wanted)
            dt_plan_build(p, now, pl);
        else
            dt_plan_unwind(p, now, pl, 0, true); /* `why` says what went wrong */
    }
}

void dt_policy_tick(struct dt_policy *p, dt_time now)
{
    for (struct dt_timer *t; (t = dt_heap_pop_due(&p->heap, now));)
        plan_due(p, now, DT_CONTAINER_OF(t, struct plan, timer));
}

dt_time dt_policy_deadline(const struct dt_policy *p)
{
    return dt_heap_deadline(&p->heap);
}
