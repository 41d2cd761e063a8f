#include "sim/run/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/grow.h"

void sim_samples_free(struct sim_samples *s)
{
    free(s->v);
    *s = (struct sim_samples){0};
}

void sim_samples_add(struct sim_samples *s, double value)
{
    if (dt_grow(s->v, s->cap, s->n, 64))
        return;
    s->v[s->n++] = value;
}

static int up(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double sim_samples_rank(struct sim_samples *s, double share)
{
    if (!s->n)
        return 0;
    qsort(s->v, s->n, sizeof *s->v, up);
    size_t rank = (size_t)ceil(share * (double)s->n);
    if (rank < 1)
        rank = 1;
    return s->v[rank > s->n ? s->n - 1 : rank - 1];
}

double sim_samples_mean(const struct sim_samples *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->v[i];
    return s->n ? sum / (double)s->n : 0;
}
