/* What policy.c (plans and packets), stack.c (the two stacks) and policy_info.c share. */
#ifndef DT_POLICY_POLICY_PRIV_H
#define DT_POLICY_POLICY_PRIV_H

#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "policy/policy.h"

/* One action as a plan has it: independent of a set of rules, so that it outlives a reload. */
struct step {
    enum dt_rule_kind kind;
    struct dt_addr peer;
    bool udp;
    char use[DT_RULE_NAME_MAX + 1];
    char rule[DT_RULE_NAME_MAX + 1]; /* for people; two steps are the same whatever it is */
};

struct layer {
    struct dt_list all;     /* in policy.layers, by id */
    struct dt_list waiters; /* plans whose `wait` stands here: they begin it, or want it gone */
    uint32_t id;
    struct layer *below;
    unsigned depth;
    enum dt_layer_state state; /* PERFORMING, UP, LOST or TEARING */
    dt_time since;
    unsigned refs; /* completed stacks that hold it */
    struct step step;
};

struct held {
    struct held *next;
    void *packet;
    size_t len;
    struct dt_flow flow;
};

struct plan {
    struct dt_list all; /* in policy.plans, by id */
    struct dt_table_node by_steps;
    struct dt_timer timer;
    struct dt_list wait; /* in waiting_for->waiters */
    struct layer *waiting_for;
    uint32_t id;
    enum dt_policy_state state;
    bool keyed;   /* in the table: packets find it */
    bool ending;  /* once unwound it is gone */
    bool rebuild; /* it was complete once: failures keep what is below */
    bool always;
    bool asked; /* a packet came while it waited, though none is held here */
    unsigned n; /* steps; step[n - 1] is the top of the pending stack at the start */
    struct step step[DT_PLAN_MAX];
    unsigned done; /* on the completed stack: those of step[n - 1] down to step[n - done] */
    struct layer *completed[DT_PLAN_MAX]; /* [0] the bottom */
    unsigned target;                      /* while unwinding: how many stay */
    dt_time since, used, action_by;
    unsigned failures;
    struct dt_flow flow;
    char why[DT_ERR_TEXT];
    struct held *held, **held_end;
    uint32_t nheld, held_bytes;
};

struct dt_policy {
    struct dt_policy_ops ops;
    void *user;
    struct dt_policy_limits limits;
    const struct dt_match *match;
    struct dt_list plans, layers;
    struct dt_table by_steps;
    struct dt_heap heap;
    uint32_t last_plan, last_layer;
    bool stopping;
    dt_time complained; /* time of the last DT_POLICY_REFUSED event, and whether there was one */
    bool has_complained;
    struct dt_policy_counters c;
};

static inline bool step_same(const struct step *a, const struct step *b)
{
    return a->kind == b->kind && a->udp == b->udp && dt_addr_eq(&a->peer, &b->peer) &&
           !strcmp(a->use, b->use);
}

/* policy.c */
void dt_policy_emit(struct dt_policy *p, dt_time now, enum dt_policy_event_kind kind, const struct plan *pl,
                    const struct layer *l, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void dt_plan_release(struct dt_policy *p, dt_time now, struct plan *pl, uint32_t layer);
void dt_plan_free(struct dt_policy *p, dt_time now, struct plan *pl, const char *why);
void dt_plan_timer(struct dt_policy *p, struct plan *pl);

/* stack.c */
void dt_plan_build(struct dt_policy *p, dt_time now, struct plan *pl);
/* The action under way has failed: what was completed is unwound. */
void dt_plan_fail(struct dt_policy *p, dt_time now, struct plan *pl, const char *why);
/* Pops the completed stack down to `keep` entries; `ending`: the plan goes then. */
void dt_plan_unwind(struct dt_policy *p, dt_time now, struct plan *pl, unsigned keep, bool ending);

#endif
