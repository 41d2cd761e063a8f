/* What a policy engine knows of itself. */
#include <stdio.h>
#include <string.h>

#include "policy/policy_priv.h"

const char *dt_layer_state_name(enum dt_layer_state s)
{
    static const char *const names[] = {"pending", "performing", "up", "lost", "tearing down"};
    return (unsigned)s < DT_ARRAY_LEN(names) ? names[s] : "?";
}

const char *dt_policy_state_name(enum dt_policy_state s)
{
    static const char *const names[] = {"building", "up", "unwinding", "waiting"};
    return (unsigned)s < DT_ARRAY_LEN(names) ? names[s] : "?";
}

uint32_t dt_policy_plan_next(const struct dt_policy *p, uint32_t prev)
{
    dt_list_for_each (at, &p->plans) {
        const struct plan *pl = DT_CONTAINER_OF(at, struct plan, all);
        if (pl->id > prev)
            return pl->id;
    }
    return 0;
}

static void layer_info(const struct plan *pl, unsigned i, struct dt_layer_info *out)
{
    const struct step *s = &pl->step[pl->n - 1 - i];
    *out = (struct dt_layer_info){.kind = s->kind, .peer = s->peer};
    snprintf(out->rule, sizeof out->rule, "%s", s->rule);
    const struct layer *l = i < pl->done ? pl->completed[i] : i == pl->done ? pl->waiting_for : NULL;
    if (!l || !step_same(&l->step, s))
        return;
    out->layer = l->id;
    out->state = l->state;
    out->since = l->since;
    out->plans = l->refs;
}

bool dt_policy_plan_info(const struct dt_policy *p, uint32_t plan, struct dt_policy_plan_info *out)
{
    dt_list_for_each (at, &p->plans) {
        const struct plan *pl = DT_CONTAINER_OF(at, struct plan, all);
        if (pl->id != plan)
            continue;
        bool popped = pl->state == DT_PLAN_BUILDING && pl->waiting_for;
        *out = (struct dt_policy_plan_info){
            .plan = pl->id,
            .state = pl->state,
            .since = pl->since,
            .used = pl->used,
            .retry_at = pl->state == DT_PLAN_WAITING ? pl->action_by : DT_NEVER,
            .pending = pl->n - pl->done - popped,
            .completed = pl->done,
            .failures = pl->failures,
            .always = pl->always,
            .held = pl->nheld,
            .held_bytes = pl->held_bytes,
            .flow = pl->flow,
            .n = pl->n,
        };
        memcpy(out->why, pl->why, sizeof out->why);
        for (unsigned i = 0; i < pl->n; i++)
            layer_info(pl, i, &out->layer[i]);
        return true;
    }
    return false;
}

void dt_policy_counters(const struct dt_policy *p, struct dt_policy_counters *out)
{
    *out = p->c;
}

static void digest_step(struct dt_digest *d, const struct step *s)
{
    dt_digest_u64(d, s->kind);
    dt_digest_bytes(d, &s->peer, sizeof s->peer);
    dt_digest_u64(d, s->udp);
    dt_digest_bytes(d, s->use, strlen(s->use));
}

void dt_policy_digest(const struct dt_policy *p, dt_time now, struct dt_digest *d)
{
    dt_digest_u64(d, p->stopping);
    dt_list_for_each (at, &p->layers) {
        const struct layer *l = DT_CONTAINER_OF(at, struct layer, all);
        dt_digest_u64(d, l->id);
        dt_digest_u64(d, l->below ? l->below->id : 0);
        dt_digest_u64(d, l->state);
        dt_digest_u64(d, l->refs);
        digest_step(d, &l->step);
    }
    dt_list_for_each (at, &p->plans) {
        const struct plan *pl = DT_CONTAINER_OF(at, struct plan, all);
        dt_digest_u64(d, pl->id);
        dt_digest_u64(d, pl->state);
        dt_digest_u64(d, (uint64_t)pl->keyed | (uint64_t)pl->ending << 1 | (uint64_t)pl->rebuild << 2 |
                             (uint64_t)pl->always << 3 | (uint64_t)pl->asked << 4);
        dt_digest_u64(d, pl->n);
        for (unsigned i = 0; i < pl->n; i++)
            digest_step(d, &pl->step[i]);
        dt_digest_u64(d, pl->done);
        for (unsigned i = 0; i < pl->done; i++)
            dt_digest_u64(d, pl->completed[i]->id);
        dt_digest_u64(d, pl->target);
        dt_digest_u64(d, pl->waiting_for ? pl->waiting_for->id : 0);
        dt_digest_u64(d, pl->timer.at == DT_NEVER ? DT_NEVER : dt_time_sub(pl->timer.at, now));
        dt_digest_u64(d, pl->failures);
        dt_digest_u64(d, pl->nheld);
        dt_digest_u64(d, pl->held_bytes);
    }
}
