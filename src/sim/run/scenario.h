/* The named scenarios: what is done to two clients behind one NAT, step by step. To add one, write its step
 * function (scenario_races.c, scenario_faults.c, or a file of its own) and a line of the table in scenario.c. */
#ifndef DT_SIM_SCENARIO_H
#define DT_SIM_SCENARIO_H

#include "sim/world/world.h"

struct sim_case;

struct sim_scenario {
    const char *name;
    const char *what;  /* one sentence: what happens */
    const char *plain; /* one sentence: what it does to IPsec as it is today */
    /* Does step `c->step` and says how long to wait for the next; DT_NEVER: it was the last. Sets c->fault when the
     * trouble begins and c->end when the network is fair again. */
    dt_time (*step)(struct sim_case *c);
    /* Parameters that it needs otherwise; may be NULL. */
    void (*params)(struct sim_params *p);
    bool silent_up; /* client A goes on without sending anything of its own afterwards */
    bool everyone;  /* it befalls the server, so one fault is everybody's */
    bool worst_gap; /* there is no moment of fault: the longest gap counts as the recovery */
};

/* One instance of a scenario: this LAN, now. */
struct sim_case {
    struct sim_call call;
    const struct sim_scenario *scenario;
    struct sim_world *w;
    uint32_t first; /* number of client A; B is the next one */
    struct sim_host *a, *b;
    struct sim_router *nat, *spare;
    int step;
    dt_time fault, end; /* DT_NEVER: not yet */
    bool done;
    uint64_t scratch[2];
    struct sim_note *note; /* unused by steps */
};

#define SIM_SCENARIOS 14
extern const struct sim_scenario sim_scenarios[SIM_SCENARIOS];
/* For runs of days: each day of each pair brings another one, in turn, of those that befall a pair alone and need no
 * parameters of their own. It has no step. */
extern const struct sim_scenario sim_mixed;
const struct sim_scenario *sim_scenario_of_day(uint32_t pair, uint32_t day);
const struct sim_scenario *sim_scenario_by_name(const char *name); /* the mixed one too */

/* Begins it with clients first and first + 1, `in` from now. */
void sim_case_begin(struct sim_case *c, const struct sim_scenario *s, struct sim_world *w, uint32_t first,
                    dt_time in);

/* For steps. The trouble has begun (words for the drawing); it has ended. */
void sim_case_fault(struct sim_case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_case_end(struct sim_case *c, dt_time in);
/* A new epoch now: asked for by the client, or by the server where the pairing lets it. */
void sim_case_rekey(struct sim_case *c, struct sim_host *client);
uint32_t sim_case_newest_spi(struct sim_host *client); /* its newest inbound SPI; 0: none */

dt_time sim_race_1(struct sim_case *c);
dt_time sim_race_2(struct sim_case *c);
dt_time sim_race_3(struct sim_case *c);
dt_time sim_race_4(struct sim_case *c);
dt_time sim_spi_collision(struct sim_case *c);
dt_time sim_cookie_collision(struct sim_case *c);
dt_time sim_nat_crash(struct sim_case *c);
dt_time sim_nat_failover(struct sim_case *c);
dt_time sim_gateway_restart(struct sim_case *c);
dt_time sim_loss_40(struct sim_case *c);
dt_time sim_loss_one_way(struct sim_case *c);
dt_time sim_spi_flood(struct sim_case *c);
dt_time sim_clock_drift(struct sim_case *c);
dt_time sim_laptop_sleep(struct sim_case *c);
void sim_clock_drift_params(struct sim_params *p);

#endif
