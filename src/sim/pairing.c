#include "sim/pairing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct sim_pairing sim_pairings[SIM_PAIRINGS] = {
    {"plain", "no probing at either end: what IPsec does today", false, false, false},
    {"client", "a Dovetail client, and a plain server that uses a new epoch at once", true, false, false},
    {"both", "Dovetail at both ends", true, true, false},
    {"both-accept", "Dovetail at both ends, and the server may start a rekey (server_rekey = accept)", true,
     true, true},
};

const struct sim_pairing *sim_pairing_by_name(const char *name)
{
    for (int i = 0; i < SIM_PAIRINGS; i++)
        if (!strcmp(sim_pairings[i].name, name))
            return &sim_pairings[i];
    return NULL;
}

struct sim_params sim_params_default(void)
{
    return (struct sim_params){dt_epoch_params_default(), dt_epoch_nat_default()};
}

/* Every name with where it lives: a time (seconds as text) or a number. */
int sim_params_set(struct sim_params *p, const char *name, const char *value, struct dt_err *err)
{
    const struct {
        const char *name;
        dt_time *time;
        uint32_t *number;
    } known[] = {
        {"keylife", &p->epoch.keylife, NULL},
        {"rekeymargin", &p->epoch.rekeymargin, NULL},
        {"rekeyfuzz", NULL, &p->epoch.rekeyfuzz},
        {"maxidle", &p->epoch.maxidle, NULL},
        {"pingtime", &p->epoch.pingtime, NULL},
        {"pingtries", NULL, &p->epoch.pingtries},
        {"pingtime2", &p->epoch.pingtime2, NULL},
        {"pingtries2", NULL, &p->epoch.pingtries2},
        {"timeout", &p->epoch.timeout, NULL},
        {"elimit", NULL, &p->epoch.elimit},
        {"t_out", &p->nat.t_out, NULL},
        {"n_out", NULL, &p->nat.n_out},
        {"t_ei", &p->nat.t_ei, NULL},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name))
            continue;
        char *end;
        double v = strtod(value, &end);
        bool whole = !*end && end != value && v == floor(v);
        if (end == value || *end || !(v > 0) || v > 1e8 || (known[i].number && !whole))
            return dt_err_set(err, 0, "%s = \"%s\" is not %s", name, value,
                              known[i].time ? "a number of seconds above 0" : "a whole number above 0");
        if (known[i].time)
            *known[i].time = dt_seconds(v);
        else
            *known[i].number = (uint32_t)v;
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
