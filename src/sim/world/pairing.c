#include "sim/world/pairing.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const struct sim_pairing sim_pairings[SIM_PAIRINGS_ALL] = {
    {"plain", "no probing at either end: what IPsec does today", false, false, false},
    {"client", "a Dovetail client, and a plain server that uses a new epoch at once", true, false, false},
    {"both", "Dovetail at both ends", true, true, false},
    {"both-accept", "Dovetail at both ends, and the server may start a rekey (server_rekey = accept)", true,
     true, true},
    {"both-narrow", "Dovetail at both ends, and tunnels that carry one UDP port alone", true, true, false,
     .narrow = true},
};

const struct sim_pairing *sim_pairing_by_name(const char *name)
{
    for (int i = 0; i < SIM_PAIRINGS_ALL; i++)
        if (!strcmp(sim_pairings[i].name, name))
            return &sim_pairings[i];
    return NULL;
}

struct sim_params sim_params_default(void)
{
    return (struct sim_params){dt_epoch_params_default(), dt_epoch_nat_default()};
}

/* Every name with where it lives: a time (seconds as text) or a number. */
static const struct known {
    const char *name;
    size_t at;
    bool time;
} known[] = {
#define TIME(name, of)                                                                                       \
    {                                                                                                        \
#name, offsetof(struct sim_params, of.name), true                                                    \
    }
#define NUMBER(name, of)                                                                                     \
    {                                                                                                        \
#name, offsetof(struct sim_params, of.name), false                                                   \
    }
    TIME(keylife, epoch),  TIME(rekeymargin, epoch), NUMBER(rekeyfuzz, epoch), TIME(maxidle, epoch),
    TIME(pingtime, epoch), NUMBER(pingtries, epoch), TIME(pingtime2, epoch),   NUMBER(pingtries2, epoch),
    TIME(timeout, epoch),  NUMBER(elimit, epoch),    TIME(t_out, nat),         NUMBER(n_out, nat),
    TIME(t_ei, nat),
#undef TIME
#undef NUMBER
};
#define KNOWN (sizeof known / sizeof *known)

const char *sim_params_get(const struct sim_params *p, int i, double *value)
{
    if (i < 0 || (size_t)i >= KNOWN)
        return NULL;
    const char *at = (const char *)p + known[i].at;
    *value = known[i].time ? dt_time_seconds(*(const dt_time *)(const void *)at)
                           : *(const uint32_t *)(const void *)at;
    return known[i].name;
}

int sim_params_set(struct sim_params *p, const char *name, const char *value, struct dt_err *err)
{
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(known[i].name, name))
            continue;
        char *end, *at = (char *)p + known[i].at;
        double v = strtod(value, &end);
        bool whole = !*end && end != value && v == floor(v);
        if (end == value || *end || !(v > 0) || v > 1e8 || (!known[i].time && !whole))
            return dt_err_set(err, 0, "%s = \"%s\" is not %s", name, value,
                              known[i].time ? "a number of seconds above 0" : "a whole number above 0");
        if (known[i].time)
            *(dt_time *)(void *)at = dt_seconds(v);
        else
            *(uint32_t *)(void *)at = (uint32_t)v;
        return 0;
    }
    return dt_err_set(
        err, 0,
        "there is no parameter \"%s\" (keylife rekeymargin rekeyfuzz maxidle pingtime pingtries pingtime2 "
        "pingtries2 timeout elimit t_out n_out t_ei)",
        name);
}

int sim_params_check(const struct sim_params *p, struct dt_err *err)
{
    struct dt_epoch_check lines[DT_EPOCH_CHECKS];
    unsigned bad = 0;
    size_t n = dt_epoch_check(lines, &p->epoch, &p->nat, &bad);
    for (size_t i = 0; i < n; i++)
        if (!lines[i].ok)
            return dt_err_set(err, 0, "impossible parameters: %s", lines[i].text);
    return 0;
}
