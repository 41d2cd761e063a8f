/* Who speaks Dovetail at which end. */
#ifndef DT_SIM_PAIRING_H
#define DT_SIM_PAIRING_H

#include <stdbool.h>
#include <stddef.h>

#include "endpoint/endpoint.h"

struct sim_pairing {
    const char *name;
    const char *what;   /* one sentence */
    bool client_probes; /* a Dovetail client: probes, waits, pings when idle */
    bool server_waits;  /* a Dovetail server: waits to be spoken to on a new epoch */
    bool accept;        /* the server may start rekeys, and the client takes them */
    bool narrow;        /* tunnels carry one UDP port: no echo fits their selectors */
};

#define SIM_PAIRINGS     4 /* which every report compares */
#define SIM_PAIRINGS_ALL 5
extern const struct sim_pairing sim_pairings[SIM_PAIRINGS_ALL];
const struct sim_pairing *sim_pairing_by_name(const char *name);

/* What the scenarios' network is like, and the parameters of both ends and of the NAT: the daemons' defaults. */
struct sim_params {
    struct dt_epoch_params epoch;
    struct dt_epoch_nat nat;
};
struct sim_params sim_params_default(void);
/* "maxidle", "7.5" and so on; 0, or -1 with a sentence. */
/* The i-th parameter's name and value, seconds or a number; NULL: past the last. */
const char *sim_params_get(const struct sim_params *p, int i, double *value);
int sim_params_set(struct sim_params *p, const char *name, const char *value, struct dt_err *err);
/* 0, or -1 when the inequalities (epoch/epoch.h) do not hold. */
int sim_params_check(const struct sim_params *p, struct dt_err *err);

#endif
