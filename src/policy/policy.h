/* Plans at work: pending and completed stack, one action at a time (US 6,636,520 FIG. 5, FIG. 6, FIG. 7 722 to 736).
 *
 * A packet that the rules want protected has a plan (plan.h). Packets with equal plans share one. Its pending stack
 * is popped, the action performed, and pushed on the completed stack when it succeeded; when one fails, the
 * completed stack is popped and torn down, farthest first, until it is empty.
 *
 * An action at work is a *layer*: a tunnel, or end-to-end protection, on top of the layer `below` it. Two plans
 * whose actions begin alike share those layers; a layer is performed once, and torn down when the last plan lets go
 * of it.
 *
 * What the original leaves open: a layer that is lost after its plan was complete takes down the layers above it, and
 * itself, in order; those below stay, and the plan builds on from there, again and again with growing pauses, as
 * long as it is wanted. A plan that fails while it is first built is torn down to the bottom, as the original has it.
 *
 * No input or output here: the owner brings layers up and down (ops), tells how it went, and calls tick no later
 * than the deadline. The callbacks must not call back into the engine. Answers to them (dt_policy_done,
 * dt_policy_torn) come later, in any order. */
#ifndef DT_POLICY_POLICY_H
#define DT_POLICY_POLICY_H

#include "base/hash.h"
#include "base/time.h"
#include "policy/match.h"
#include "policy/plan.h"

struct dt_policy;

/* Zero anywhere in `max` or time fields is taken as it stands; begin with dt_policy_limits_default(). */
struct dt_policy_limits {
    uint32_t plans_max;        /* 1024; a packet that would begin one more is dropped */
    uint32_t building_max;     /* 256: plans that are being built or torn down at a time */
    uint32_t hold_packets;     /* 64 a plan while it is built; 0: drop them */
    uint32_t hold_bytes;       /* 131072 a plan */
    uint32_t hold_total_bytes; /* 16 MiB */
    dt_time idle;              /* 5 min without a packet: torn down; 0: never */
    dt_time action_timeout;    /* 2 min: an action without an answer has failed */
    dt_time retry_min;         /* 1 s after a failure, doubling ... */
    dt_time retry_max;         /* ... up to 60 s */
};
void dt_policy_limits_default(struct dt_policy_limits *l);

/* What an action asks for; valid during the call. */
struct dt_policy_action {
    uint32_t layer;         /* never used twice */
    uint32_t below;         /* the layer that carries it; 0: none, it goes out as it is */
    unsigned depth;         /* tunnels below it */
    enum dt_rule_kind kind; /* DT_RULE_TUNNEL or DT_RULE_TRANSPORT */
    struct dt_addr peer;
    struct dt_addr inner; /* to be reached through it: the next gateway, or the packet's destination */
    struct dt_flow flow;  /* the packet that began the plan */
    const char *rule;     /* name of the rule */
    const char *use;      /* the rule's `use`; "" for none */
    bool udp;
};

enum dt_policy_event_kind {
    DT_POLICY_PLAN_BEGUN,     /* text: the packet */
    DT_POLICY_PENDING_POP,    /* an action is begun */
    DT_POLICY_COMPLETED_PUSH, /* ... has succeeded */
    DT_POLICY_ACTION_FAILED,  /* ... has failed: text */
    DT_POLICY_COMPLETED_POP,  /* a layer is let go (and torn down when no other plan holds it: text) */
    DT_POLICY_PLAN_UP,
    DT_POLICY_LAYER_LOST,
    DT_POLICY_PLAN_WAITS, /* for the next attempt: text */
    DT_POLICY_PLAN_GONE,  /* text: why */
    DT_POLICY_REFUSED,    /* a packet was dropped for a reason beyond its plan (at most one a second): text */
};
const char *dt_policy_event_name(enum dt_policy_event_kind k); /* "completed_push", ... */

struct dt_policy_event {
    enum dt_policy_event_kind kind;
    dt_time at;
    uint32_t plan, layer;        /* 0: none */
    unsigned pending, completed; /* entries of the plan's stacks after it */
    enum dt_rule_kind action;    /* of the layer */
    struct dt_addr peer;
    const char *rule; /* "" for none */
    char text[DT_ERR_TEXT];
};

struct dt_policy_ops {
    /* Bring the layer up and answer with dt_policy_done(). */
    void (*perform)(void *user, dt_time now, const struct dt_policy_action *a);
    /* Take it down, whether it is up, lost or still being brought up, and answer with dt_policy_torn(). */
    void (*teardown)(void *user, dt_time now, uint32_t layer);
    /* A held packet's way: on `layer`, or dropped (0). The engine forgets it. NULL when packets are never given. */
    void (*release)(void *user, dt_time now, void *packet, size_t len, uint32_t layer);
    /* When the layer last carried a packet, in case the owner lets packets pass without telling; may be NULL. */
    dt_time (*used)(void *user, uint32_t layer);
    void (*event)(void *user, const struct dt_policy_event *ev); /* may be NULL */
};

/* m is borrowed, and must live until the next dt_policy_set_rules has returned (the same for that). limits NULL:
 * defaults. Call dt_policy_start() for rules with `always`. NULL: out of memory. */
struct dt_policy *dt_policy_new(const struct dt_policy_ops *ops, void *user,
                                const struct dt_policy_limits *limits, const struct dt_match *m);
/* Drops what is held; tears nothing down (see dt_policy_stop). */
void dt_policy_free(struct dt_policy *p, dt_time now);

/* Begins the plans of rules with `always`. */
void dt_policy_start(struct dt_policy *p, dt_time now);
/* Ends all plans, farthest layers first; done when dt_policy_idle(). Packets begin no new ones. */
void dt_policy_stop(struct dt_policy *p, dt_time now);
bool dt_policy_idle(const struct dt_policy *p);

/* New rules. A plan whose packet would have another plan now is torn down, also in the middle of being built, and
 * what it holds begins the new one; the others go on untouched. */
void dt_policy_set_rules(struct dt_policy *p, dt_time now, const struct dt_match *m);

/* New limits, for what comes; plans and held packets that are there stay. */
void dt_policy_set_limits(struct dt_policy *p, const struct dt_policy_limits *limits);

enum dt_policy_verdict {
    DT_POLICY_PASS, /* no rule: as it is */
    DT_POLICY_SEND, /* on *layer */
    DT_POLICY_HELD, /* the engine has it until `release` */
    DT_POLICY_DROP, /* *why says why; it stays the caller's */
};
/* A packet that wants to go out; packet NULL: none is there to be held, the plan is begun all the same (and the
 * answer is DROP instead of HELD). layer and why may be NULL. */
enum dt_policy_verdict dt_policy_packet(struct dt_policy *p, dt_time now, const struct dt_flow *f,
                                        void *packet, size_t len, uint32_t *layer, struct dt_err *why);

/* The answer to `perform`: err NULL when the layer is up, else why it failed; nothing of it may be left then. */
void dt_policy_done(struct dt_policy *p, dt_time now, uint32_t layer, const struct dt_err *err);
/* The answer to `teardown`: nothing of it is left. */
void dt_policy_torn(struct dt_policy *p, dt_time now, uint32_t layer);
/* A layer that was up is lost for good (not merely re-keyed or healing). `teardown` follows. */
void dt_policy_lost(struct dt_policy *p, dt_time now, uint32_t layer, const struct dt_err *why);

void dt_policy_tick(struct dt_policy *p, dt_time now);
dt_time dt_policy_deadline(const struct dt_policy *p);

/* --- what it knows --- */

enum dt_layer_state { DT_LAYER_PENDING, DT_LAYER_PERFORMING, DT_LAYER_UP, DT_LAYER_LOST, DT_LAYER_TEARING };
enum dt_policy_state { DT_PLAN_BUILDING, DT_PLAN_UP, DT_PLAN_UNWINDING, DT_PLAN_WAITING };
const char *dt_layer_state_name(enum dt_layer_state s);
const char *dt_policy_state_name(enum dt_policy_state s);

struct dt_layer_info {
    uint32_t layer; /* 0: not begun */
    enum dt_layer_state state;
    dt_time since;  /* of that state; 0 when it is pending */
    unsigned plans; /* that hold it on their completed stack */
    enum dt_rule_kind kind;
    struct dt_addr peer;
    char rule[DT_RULE_NAME_MAX + 1];
};

struct dt_policy_plan_info {
    uint32_t plan;
    enum dt_policy_state state;
    dt_time since, used, retry_at; /* retry_at: DT_NEVER when it does not wait */
    unsigned pending, completed, failures;
    bool always;
    uint32_t held, held_bytes;
    struct dt_flow flow;   /* the packet that began it */
    char why[DT_ERR_TEXT]; /* the last failure; "" */
    unsigned n;
    struct dt_layer_info layer[DT_PLAN_MAX]; /* [0]: performed first, the outermost on the wire */
};
/* The plan after `prev` (0: the first), 0 at the end; in rising order. */
uint32_t dt_policy_plan_next(const struct dt_policy *p, uint32_t prev);
bool dt_policy_plan_info(const struct dt_policy *p, uint32_t plan, struct dt_policy_plan_info *out);

struct dt_policy_counters {
    uint64_t plans, layers, building, held, held_bytes; /* now */
    uint64_t packets, passed, sent, held_all, released;
    uint64_t drop_hold;                                      /* the queue was full or is switched off */
    uint64_t drop_refused;                                   /* loop, depth: no plan can be made */
    uint64_t drop_plans;                                     /* plans_max */
    uint64_t drop_building;                                  /* building_max */
    uint64_t drop_failed;                                    /* held by a plan that failed or went away */
    uint64_t begun, completed, failed, lost, idle, reloaded; /* plans; lost: layers */
    uint64_t performed, torn;                                /* actions */
};
void dt_policy_counters(const struct dt_policy *p, struct dt_policy_counters *out);

/* Everything that can change behaviour, times as distances from now. */
void dt_policy_digest(const struct dt_policy *p, dt_time now, struct dt_digest *d);

#endif
