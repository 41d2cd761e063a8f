/* Runs a scenario for one seed or for many, and says how it went. */
#ifndef DT_SIM_RUN_H
#define DT_SIM_RUN_H

#include "sim/run/scenario.h"
#include "sim/run/stats.h"

struct sim_run_config {
    const struct sim_scenario *scenario;
    const struct sim_pairing *pairing;
    struct sim_params params;
    uint32_t clients; /* 2, or an even number: each pair behind a NAT of its own has its own trouble */
    uint32_t days; /* 0: one fault, and what follows; else so many days with one fault a day for each pair */
    struct sim_notes *notes;
    bool progress; /* a run of days says on standard error how far it is */
};

/* In a run of mixed days: what days with one scenario gave. */
struct sim_kind {
    uint64_t faults, recovered;
    double down_s; /* of their clients */
};

/* What one seed gave. Fixed size: it crosses a pipe. */
struct sim_result {
    uint64_t seed;
    double
        recovery_s; /* until all traffic flowed again, counted from the end of the fault; the worst of all faults */
    double available; /* share of the time in which a client's traffic passed, both ways, of all clients */
    double fault_s, end_s; /* when, for the drawing */
    double bound_s;
    uint64_t faults, recovered; /* in a run of days there are many */
    uint64_t sent, lost, multicast, wrong_items, wrong_unheard, sins, pings, ike, ike_bytes, events;
    struct sim_kind kinds[SIM_SCENARIOS];
    bool failed; /* memory ran out or an engine refused its configuration: text says what */
    char text[DT_ERR_TEXT];
};

/* How long a recovery may take with these parameters, from the end of the fault (epoch/epoch.h); the lifetime of
 * an epoch for `plain`, which promises nothing sooner. */
dt_time sim_run_bound(const struct sim_pairing *pairing, const struct sim_params *params, dt_time round_trip);

/* each, of a run of days: every recovery time; in a run of mixed days there are 1 + SIM_SCENARIOS of them, for all and
 * for each scenario. May be NULL. */
void sim_run_once(const struct sim_run_config *cfg, uint64_t seed, struct sim_result *out,
                  struct sim_samples *each);

/* Seeds first .. first + n - 1, spread over `jobs` processes (the result does not depend on how many). progress: a
 * line on standard error now and then. -1 with *err. */
struct sim_summary {
    struct sim_result *results; /* in the order of seeds */
    struct sim_samples recovery;
    struct sim_samples availability;
    struct sim_kind kinds[SIM_SCENARIOS];
    struct sim_samples kind_recovery[SIM_SCENARIOS];
    uint64_t seeds, faults, recovered, lost, sent, multicast, wrong_items, wrong_unheard, sins, pings, ike,
        ike_bytes;
    double bound_s, available, median, p99, worst;
    uint64_t late;      /* recoveries beyond their bound */
    uint64_t late_seed; /* the first of them */
};
int sim_run_many(const struct sim_run_config *cfg, uint64_t first, uint64_t n, unsigned jobs, bool progress,
                 struct sim_summary *out, struct dt_err *err);
void sim_summary_free(struct sim_summary *s);
/* Is that what Dovetail promises with Dovetail at both ends? (With a plain server it promises recovery from what
 * the client can notice, and plain IPsec promises nothing: both are true.) */
bool sim_summary_good(const struct sim_run_config *cfg, const struct sim_summary *s);

#endif
