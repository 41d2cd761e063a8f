/* The two stacks: performing what is pending, tearing down what is completed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_priv.h"

static void layer_state(struct layer *l, dt_time now, enum dt_layer_state s)
{
    l->state = s;
    l->since = now;
}

static struct layer *layer_find(struct dt_policy *p, const struct layer *below, const struct step *s)
{
    dt_list_for_each (at, &p->layers) {
        struct layer *l = DT_CONTAINER_OF(at, struct layer, all);
        if (l->below == below && step_same(&l->step, s))
            return l;
    }
    return NULL;
}

static struct layer *stack_layer(struct dt_policy *p, uint32_t id)
{
    dt_list_for_each (at, &p->layers) {
        struct layer *l = DT_CONTAINER_OF(at, struct layer, all);
        if (l->id == id)
            return l;
    }
    return NULL;
}

static void layer_free(struct dt_policy *p, struct layer *l)
{
    dt_list_del(&l->all);
    p->c.layers--;
    free(l);
}

static void plan_wait_for(struct plan *pl, struct layer *l)
{
    pl->waiting_for = l;
    dt_list_add_tail(&l->waiters, &pl->wait);
}

static void wait_end(struct plan *pl)
{
    pl->waiting_for = NULL;
    dt_list_del(&pl->wait);
}

static void layer_teardown(struct dt_policy *p, dt_time now, struct layer *l)
{
    layer_state(l, now, DT_LAYER_TEARING);
    p->c.torn++;
    p->ops.teardown(p->user, now, l->id);
}

static void push_completed(struct dt_policy *p, dt_time now, struct plan *pl, struct layer *l)
{
    pl->completed[pl->done++] = l;
    l->refs++;
    dt_policy_emit(p, now, DT_POLICY_COMPLETED_PUSH, pl, l, "%s",
                   l->refs > 1 ? "another plan has brought it up" : "up");
}

static void plan_enter(struct dt_policy *p, dt_time now, struct plan *pl, enum dt_policy_state s)
{
    bool was = pl->state == DT_PLAN_BUILDING || pl->state == DT_PLAN_UNWINDING;
    bool is = s == DT_PLAN_BUILDING || s == DT_PLAN_UNWINDING;
    p->c.building += (uint64_t)is - (uint64_t)was;
    pl->state = s;
    pl->since = now;
}

static void plan_complete(struct dt_policy *p, dt_time now, struct plan *pl)
{
    plan_enter(p, now, pl, DT_PLAN_UP);
    pl->rebuild = true;
    pl->failures = 0;
    pl->why[0] = 0;
    pl->used = now;
    p->c.completed++;
    dt_policy_emit(p, now, DT_POLICY_PLAN_UP, pl, NULL, "%u layers", pl->n);
    dt_plan_release(p, now, pl, pl->completed[pl->done - 1]->id);
}

/* Performs one action; the layer is new. */
static struct layer *step_perform(struct dt_policy *p, dt_time now, struct plan *pl, const struct step *s,
                                  struct layer *below)
{
    struct layer *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    dt_list_init(&l->waiters);
    l->id = ++p->last_layer;
    l->below = below;
    l->depth = below ? below->depth + 1 : 0;
    l->step = *s;
    dt_list_add_tail(&p->layers, &l->all);
    p->c.layers++;
    p->c.performed++;
    layer_state(l, now, DT_LAYER_PERFORMING);
    plan_wait_for(pl, l);
    dt_policy_emit(p, now, DT_POLICY_PENDING_POP, pl, l, "begun");
    struct dt_policy_action a = {
        .layer = l->id,
        .below = below ? below->id : 0,
        .depth = l->depth,
        .kind = s->kind,
        .peer = s->peer,
        .flow = pl->flow,
        .rule = l->step.rule,
        .use = l->step.use,
        .udp = s->udp,
        .inner = pl->done + 1 < pl->n && pl->step[pl->n - 2 - pl->done].kind == DT_RULE_TUNNEL
                     ? pl->step[pl->n - 2 - pl->done].peer
                     : pl->flow.dst,
    };
    p->ops.perform(p->user, now, &a);
    return l;
}

void dt_plan_build(struct dt_policy *p, dt_time now, struct plan *pl)
{
    if (pl->state != DT_PLAN_BUILDING)
        plan_enter(p, now, pl, DT_PLAN_BUILDING);
    while (pl->done < pl->n) {
        const struct step *s = &pl->step[pl->n - 1 - pl->done];
        struct layer *below = pl->done ? pl->completed[pl->done - 1] : NULL;
        struct layer *l = layer_find(p, below, s);
        pl->action_by = dt_time_add(now, p->limits.action_timeout);
        if (!l) {
            if (!step_perform(p, now, pl, s, below))
                dt_plan_fail(p, now, pl, "out of memory");
            break;
        }
        if (l->state !=
            DT_LAYER_UP) { /* another plan brings it up, or it is on its way down: its end wakes us */
            plan_wait_for(pl, l);
            break;
        }
        push_completed(p, now, pl, l);
    }
    if (pl->state == DT_PLAN_BUILDING && pl->done == pl->n)
        plan_complete(p, now, pl);
    dt_plan_timer(p, pl);
}

/* The completed stack has reached what was wanted of it. */
static void unwound(struct dt_policy *p, dt_time now, struct plan *pl)
{
    if (pl->ending) {
        dt_plan_free(p, now, pl, pl->why);
        return;
    }
    plan_enter(p, now, pl, DT_PLAN_WAITING);
    dt_time pause = p->limits.retry_min;
    for (unsigned i = 1; i < pl->failures && pause < p->limits.retry_max; i++)
        pause *= 2;
    if (!pl->failures)
        pause = 0; /* a loss is no failure: try at once */
    if (pause > p->limits.retry_max)
        pause = p->limits.retry_max;
    pl->action_by = dt_time_add(now, pause);
    dt_policy_emit(p, now, DT_POLICY_PLAN_WAITS, pl, NULL, "%.3g s, %u of %u layers up: %.180s",
                   dt_time_seconds(pause), pl->done, pl->n, pl->why);
    dt_plan_timer(p, pl);
}

/* FIG. 7, 734 and 736: pop, tear down, until nothing is left (FIG. 6, 620) or what shall stay. */
static void unwind_on(struct dt_policy *p, dt_time now, struct plan *pl)
{
    while (pl->done > pl->target && !pl->waiting_for) {
        struct layer *l = pl->completed[--pl->done];
        l->refs--;
        dt_policy_emit(p, now, DT_POLICY_COMPLETED_POP, pl, l, "%s",
                       l->refs ? "other plans keep it" : "torn down");
        if (l->refs)
            continue;
        plan_wait_for(pl, l);
        layer_teardown(p, now, l);
    }
    dt_plan_timer(p, pl);
    if (!pl->waiting_for)
        unwound(p, now, pl);
}

void dt_plan_unwind(struct dt_policy *p, dt_time now, struct plan *pl, unsigned keep, bool ending)
{
    pl->ending |= ending;
    if (pl->ending && pl->keyed) {
        dt_table_remove(&p->by_steps, &pl->by_steps);
        pl->keyed = false;
    }
    if (pl->state == DT_PLAN_UNWINDING) {
        pl->target = keep < pl->target ? keep : pl->target;
        if (!pl->waiting_for)
            unwind_on(p, now, pl);
        return;
    }
    plan_enter(p, now, pl, DT_PLAN_UNWINDING);
    pl->target = keep;
    struct layer *l = pl->waiting_for;
    if (l && l->state == DT_LAYER_PERFORMING && l->waiters.next == l->waiters.prev) {
        layer_teardown(p, now, l); /* nobody else wants it: its end wakes us */
        dt_plan_timer(p, pl);
        return;
    }
    if (l)
        wait_end(pl);
    unwind_on(p, now, pl);
}

void dt_plan_fail(struct dt_policy *p, dt_time now, struct plan *pl, const char *why)
{
    snprintf(pl->why, sizeof pl->why, "%s", why);
    pl->failures++;
    p->c.failed++;
    pl->asked = false; /* as what was held is dropped */
    dt_plan_release(p, now, pl, 0);
    dt_plan_unwind(p, now, pl, pl->rebuild ? pl->done : 0, false);
}

/* Takes the waiters off a layer that is over, each with `one`. */
static void layer_wake(struct dt_policy *p, dt_time now, struct layer *l, const char *why)
{
    struct dt_list mine;
    dt_list_init(&mine);
    while (!dt_list_empty(&l->waiters)) {
        struct plan *pl = DT_CONTAINER_OF(l->waiters.next, struct plan, wait);
        dt_list_del(&pl->wait);
        dt_list_add_tail(&mine, &pl->wait);
        pl->waiting_for = NULL;
        if (why && pl->state == DT_PLAN_BUILDING)
            dt_policy_emit(p, now, DT_POLICY_ACTION_FAILED, pl, l, "%s", why);
    }
    bool up = l->state == DT_LAYER_UP;
    if (!up)
        layer_free(p, l);
    while (!dt_list_empty(&mine)) {
        struct plan *pl = DT_CONTAINER_OF(mine.next, struct plan, wait);
        dt_list_del(&pl->wait);
        if (pl->state == DT_PLAN_UNWINDING)
            unwind_on(p, now, pl);
        else if (why)
            dt_plan_fail(p, now, pl, why);
        else
            dt_plan_build(p, now, pl); /* finds it up, or begins it anew */
    }
}

void dt_policy_done(struct dt_policy *p, dt_time now, uint32_t layer, const struct dt_err *err)
{
    struct layer *l = stack_layer(p, layer);
    if (!l || l->state != DT_LAYER_PERFORMING)
        return; /* torn down in the meantime: its end is told by dt_policy_torn */
    if (err) {
        layer_state(l, now, DT_LAYER_LOST);
        layer_wake(p, now, l, err->text[0] ? err->text : "failed");
        return;
    }
    layer_state(l, now, DT_LAYER_UP);
    layer_wake(p, now, l, NULL);
}

void dt_policy_torn(struct dt_policy *p, dt_time now, uint32_t layer)
{
    struct layer *l = stack_layer(p, layer);
    if (l && l->state == DT_LAYER_TEARING)
        layer_wake(p, now, l, NULL);
}

void dt_policy_lost(struct dt_policy *p, dt_time now, uint32_t layer, const struct dt_err *why)
{
    struct layer *l = stack_layer(p, layer);
    if (!l || l->state != DT_LAYER_UP)
        return;
    layer_state(l, now, DT_LAYER_LOST);
    p->c.lost++;
    dt_policy_emit(p, now, DT_POLICY_LAYER_LOST, NULL, l, "%s", why ? why->text : "");
    /* Unwinding changes the list of plans: begin again after each. The layer itself stays until it is torn. */
    for (bool again = true; again;) {
        again = false;
        dt_list_for_each (at, &p->plans) {
            struct plan *pl = DT_CONTAINER_OF(at, struct plan, all);
            unsigned i = 0;
            while (i < pl->done && pl->completed[i] != l)
                i++;
            if (i == pl->done || (pl->state == DT_PLAN_UNWINDING && pl->target <= i))
                continue;
            if (why)
                snprintf(pl->why, sizeof pl->why, "%s", why->text);
            if (pl->state == DT_PLAN_BUILDING && !pl->rebuild)
                i = 0; /* it fails while it is built */
            if (pl->state == DT_PLAN_BUILDING)
                pl->failures++;
            dt_plan_unwind(p, now, pl, i, false);
            again = true;
            break;
        }
    }
}
