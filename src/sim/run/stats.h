/* Samples and what is said of them. */
#ifndef DT_SIM_STATS_H
#define DT_SIM_STATS_H

#include <stddef.h>

struct sim_samples {
    double *v;
    size_t n, cap;
};

void sim_samples_free(struct sim_samples *s);
void sim_samples_add(struct sim_samples *s, double value);
/* Nearest rank: the smallest sample that at least `share` of all do not exceed; 0 without samples. Sorts. */
double sim_samples_rank(struct sim_samples *s, double share);
double sim_samples_mean(const struct sim_samples *s);

#endif
