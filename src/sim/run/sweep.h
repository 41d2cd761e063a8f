/* Chooses the defaults: what does a set of parameters cost, and how soon does it recover? */
#ifndef DT_SIM_SWEEP_H
#define DT_SIM_SWEEP_H

#include "sim/run/run.h"

struct sim_trade {
    struct sim_params params;
    bool possible;     /* the inequalities hold */
    double recovery_s; /* the 99th percentile, averaged over the scenarios that need a recovery */
    double bound_s;
    double packets_h; /* control packets and IKE messages of an idle client in an hour, 5 % of them lost */
    double false_h;   /* epochs that were given up without need in that hour */
    double items;     /* of the NAT for each client, when its tunnel is rekeyed every five minutes */
    double
        wrong_h; /* items that take another's SPI, for each plain client that says something every 100 s or so */
    double cost; /* recovery_s + packets_h / 60 + 4 * false_h + items / 2 + wrong_h */
};

/* Measures one set with so many seeds. */
int sim_trade_measure(struct sim_trade *t, uint64_t seed, uint64_t seeds, unsigned jobs, struct dt_err *err);

#endif
