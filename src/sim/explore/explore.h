/* Every order of events, up to a bound: two clients, one NAT, one server with the real engines. In each state any
 * packet under way may arrive next, be lost or be doubled, time may go on to the next timer, and what the world does
 * (traffic, rekeys, a NAT that forgets) may happen. What the data path tells an endpoint may wait, or be lost. Each of
 * these uses up a count, so that the states are finite;
 * each state is visited once.
 *
 * In each state these must hold:
 *   (a) no item pairs SPIs of different clients by a packet on an epoch that the server had not heard (races 1 and
 *       2), nor at all before something expired or was forgotten;
 *   (b) no client sends data on an unverified epoch, no server on an unheard one, save where the original allows it;
 *   (c) once the network is fair, all traffic flows and every new epoch is verified or given up within the bound
 *       that epoch/epoch.h computes from the parameters;
 *   (d) every client has a timer. */
#ifndef DT_SIM_EXPLORE_H
#define DT_SIM_EXPLORE_H

#include "sim/report/text.h"
#include "sim/run/run.h"
#include "sim/world/world.h"

enum sim_action_kind {
    SIM_DELIVER, /* arg: which packet under way, in the order of sending */
    SIM_LOSE,
    SIM_DOUBLE, /* a copy arrives, the packet stays under way */
    SIM_TICK,   /* time goes on to the next timer */
    SIM_ENV,    /* arg: enum sim_env */
    SIM_BEHIND, /* it arrives, and what the data path tells the endpoint of it waits in the ring of events */
    SIM_UNTOLD, /* it arrives, and the ring of events is full */
    SIM_NEWS,   /* arg: which host (A, B, the server): its endpoint hears what waits in the ring */
};

enum sim_env {
    SIM_ENV_UP_A,
    SIM_ENV_DOWN_A,
    SIM_ENV_UP_B,
    SIM_ENV_DOWN_B,
    SIM_ENV_REKEY_A,
    SIM_ENV_REKEY_B,
    SIM_ENV_CRASH,   /* the NAT forgets everything */
    SIM_ENV_RESTART, /* the server forgets everything */
    SIM_ENV_SERVER_REKEYS_A,
    SIM_ENV_REKEY_SESSION_A, /* the IKE SA */
    SIM_ENV_CUT,             /* nothing gets through between the NAT and the server ... */
    SIM_ENV_JOIN,            /* ... until this, which has no count */
    SIM_ENV_NO_ESP,          /* A's raw ESP gets no further than its own network from now on */
    SIM_ENVS,
};

struct sim_action {
    uint8_t kind, arg;
};

#define SIM_TRACE_MAX 200
struct sim_trace {
    struct sim_action v[SIM_TRACE_MAX];
    int n;
};

/* How often each thing may happen. */
struct sim_budget {
    uint8_t lose, duplicate;
    uint8_t late; /* time goes on though packets are under way */
    uint8_t tick; /* time goes on, and nothing is under way */
    uint8_t behind, untold;
    uint8_t env[SIM_ENVS];
};

/* Parts of the digest. */
enum sim_blind {
    SIM_BLIND_ENDPOINT = 1, /* all of an endpoint */
    SIM_BLIND_NAT = 2,      /* all of the NAT's items */
};

enum sim_begin {
    SIM_BEGIN_UP,    /* both tunnels are up and verified */
    SIM_BEGIN_COLD,  /* nothing was negotiated */
    SIM_BEGIN_ALIKE, /* likewise, and both clients will draw the same cookie and the same SPI */
    SIM_BEGIN_ONE,   /* B's tunnel is up and verified, A begins */
};

struct sim_explore_config {
    uint64_t seed;
    const struct sim_pairing *pairing;
    struct sim_params params;
    struct sim_budget budget;
    enum sim_begin begin;
    enum dt_encap encap; /* of A; B's is ESP */
    /* The world acts, and time goes on, only while at most so many packets are under way; 0: however many. */
    uint8_t crowd;
    bool mute; /* the server says nothing to packets of sessions that it does not know */
    struct dt_masq_faults masq_faults;
    struct sim_host_faults host_faults;
    bool shallow_first; /* deeper and deeper, until something is violated: for planted mistakes */
    unsigned depth, jobs;
    bool
        bounded; /* the depth cuts: all that is within it is met, whatever the order (it costs some states twice) */
    uint64_t states_max;
    bool progress;
    bool
        fair_everywhere; /* fair play from each state, though those with nothing under way suffice: for the test */
    uint32_t audit;      /* replay one of so many states that are met again from both ways; 0: none */
    /* Bits of enum sim_blind: left out of the digests, for the test of the audit. */
    unsigned blind;
    const char *plant; /* name of the mistake; NULL: none */
    const char *face;  /* name of the bound (faces.c); NULL: one of one's own */
    const char *what;  /* it, in words */
};

/* ---- one state (state.c). Lives in the arena with the engines. ---- */

struct sim_state;

struct sim_state *sim_state_new(const struct sim_explore_config *cfg, struct dt_err *err);
void sim_state_free(struct sim_state *s);
/* What may happen next; returns how many (at most SIM_ACTIONS_MAX). */
#define SIM_ACTIONS_MAX 256
int sim_state_actions(const struct sim_state *s, struct sim_action out[SIM_ACTIONS_MAX]);
/* False: no such action now. */
bool sim_state_apply(struct sim_state *s, struct sim_action a);
/* *world: without the counts that are left. Only what an action has changed is looked at again; `anew`: all of it. */
uint64_t sim_state_digest(struct sim_state *s, uint64_t *world);
void sim_state_digest_anew(struct sim_state *s);
int sim_state_pending(
    const struct sim_state *s); /* 0: fair play has nothing to deliver and nothing to join */
/* (a), (b) and (d), and (c), which changes the state: save it before. NULL, or what is violated. */
const char *sim_state_violation(struct sim_state *s);
const char *sim_state_unfair(struct sim_state *s, dt_time *took);
/* "NAT -> client A  IKE_AUTH reply arrives": what the action means in this state. */
#define SIM_ACTION_TEXT 128
void sim_state_tell(const struct sim_state *s, struct sim_action a, char out[SIM_ACTION_TEXT]);
/* What happens in fair play is told from now on. */
void sim_state_narrate(struct sim_state *s, void (*say)(void *ctx, dt_time now, const char *text), void *ctx);
dt_time sim_state_now(const struct sim_state *s);
bool sim_state_overflowed(const struct sim_state *s); /* more packets under way than it can hold */

/* ---- the search (explore.c) ---- */

#define SIM_AUDIT_TEXT 200

struct sim_explored {
    uint64_t states, transitions;
    uint64_t fair; /* worlds from which fair play was followed */
    bool exhausted;
    unsigned violations; /* 0 or 1: the search ends with the first */
    char what[200];
    struct sim_trace trace; /* the shortest */
    /* The audit: pairs of ways to one state that were compared, and the first that lead to different futures. */
    uint64_t audited; /* pairs */
    bool parted;      /* this is the violation: `trace` and `other` are the two ways */
    struct sim_trace other;
    double worst_s, bound_s; /* the longest way back to traffic, and the bound */
};
/* Several searches after each other look each state up in the same table. */
struct sim_explorer;
struct sim_explorer *sim_explorer_new(uint64_t states_max, struct dt_err *err);
int sim_explorer_run(struct sim_explorer *x, const struct sim_explore_config *cfg, struct sim_explored *out,
                     struct dt_err *err);
void sim_explorer_free(struct sim_explorer *x);
int sim_explore(const struct sim_explore_config *cfg, struct sim_explored *out, struct dt_err *err);

/* ---- what can be explored (faces.c), and ways as text (trace.c) ---- */

struct sim_explore_config sim_explore_default(void);
struct sim_budget sim_budget_wide(void); /* everything as often as a trace wants it */
/* The i-th face: pairing, beginning, counts and parameters. False: past the last. */
bool sim_explore_face(struct sim_explore_config *cfg, int i);
/* Plants a mistake by its name; false: there is none such. */
bool sim_explore_plant(struct sim_explore_config *cfg, const char *name);
const char *sim_explore_plant_name(int i, const char **what); /* NULL past the last */
const char *sim_begin_name(enum sim_begin b);
const char *sim_kind_name(uint8_t kind); /* of an action */
const char *sim_env_name(int e);
/* Each step and, if that leads to nothing wrong, the fair play that follows; or (false) the lines of a trace. What is
 * wrong, or "". -1: the tunnels do not come up, or a step cannot happen. */
#define SIM_WRONG_TEXT 200
int sim_trace_tell(const struct sim_explore_config *cfg, const struct sim_trace *t, struct sim_text *out,
                   bool in_words, char wrong[SIM_WRONG_TEXT], struct dt_err *err);
int sim_trace_write(const char *path, const struct sim_explore_config *cfg, const struct sim_trace *t,
                    struct dt_err *err);
int sim_trace_read(const char *path, struct sim_explore_config *cfg, struct sim_trace *t, struct dt_err *err);

#endif
