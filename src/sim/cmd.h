/* The subcommands of dovetail-sim, one file each, and what they share. Exit status: 0 all is as promised, 1 it is
 * not (or a report could not be written), 2 usage, unknown names, impossible parameters, an unreadable trace. */
#ifndef DT_SIM_CMD_H
#define DT_SIM_CMD_H

#include "sim/run/run.h"

struct sim_options {
    const char *name; /* of a scenario; NULL: none */
    const char *html, *svg, *trace, *pairing, *plant, *face, *table;
    bool json, quiet, all;
    uint64_t seed, seeds;
    uint32_t clients, days, depth;
    uint32_t gateways; /* discover; 0: not said */
    uint64_t losses, duplicates, states;
    uint64_t audit; /* 0: none */
    unsigned jobs;
    struct sim_params params;
    bool params_set; /* by --set */
};

/* Fills in what argv says after the subcommand; 0, or 2 after a sentence on standard error. */
int sim_options_read(struct sim_options *o, const char *command, int argc, char **argv);
int sim_complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* returns status */

int sim_cmd_list(const struct sim_options *o);
int sim_cmd_run(const struct sim_options *o);
int sim_cmd_explore(const struct sim_options *o);
int sim_cmd_sweep(const struct sim_options *o);
int sim_cmd_discover(const struct sim_options *o);

int sim_main(int argc, char **argv);

#endif
