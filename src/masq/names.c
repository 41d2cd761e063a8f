#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/parameters.h"
#include "masq/masq.h"

const char *dt_masq_rule_name(enum dt_masq_rule rule)
{
    static const char *const names[] = {
#define X(id, name) name,
        DT_MASQ_RULES(X)
#undef X
    };
    return (unsigned)rule < DT_MASQ_RULE_COUNT ? names[rule] : "?";
}

const char *dt_masq_verdict_name(enum dt_masq_verdict_kind v)
{
    static const char *const names[] = {"pass", "forward", "drop", "multicast"};
    return (unsigned)v < 4 ? names[v] : "?";
}

const char *dt_masq_event_name(enum dt_masq_event_kind e)
{
    static const char *const names[] = {"created", "converted", "expired", "dropped", "multicast"};
    return (unsigned)e < 5 ? names[e] : "?";
}

const char *dt_masq_kind_name(enum dt_masq_kind k)
{
    return k == DT_MASQ_IKE ? "ike" : "esp";
}

const char *dt_masq_state_name(enum dt_masq_state s)
{
    return s == DT_MASQ_OUTSTANDING ? "outstanding" : "established";
}

struct dt_masq_config dt_masq_defaults(void)
{
    return (struct dt_masq_config){
        .params = {.t_out = DT_DEFAULT_T_OUT,
                   .t_ei = DT_DEFAULT_T_EI,
                   .t_ike_out = DT_DEFAULT_T_OUT,
                   .t_ike = 3600 * DT_SEC,
                   .t_frag = 30 * DT_SEC,
                   .multicast_interval = DT_SEC / 100,
                   .multicast_burst = 100,
                   .multicast_cap = DT_MASQ_PEERS_MAX,
                   .n_out = DT_DEFAULT_N_OUT,
                   .share_esp = 1024,
                   .share_ike = 256,
                   .share_server = 512,
                   .share_frag = 256,
                   .multicast = 1,
                   .gen = 1},
        .sizes = {.esp = 65536, .ike = 65536, .clients = 16384, .servers = 4096, .frags = 16384},
    };
}

enum type { SECONDS, NUMBER, YES_NO, RATE };

static const struct param {
    const char *name;
    enum type type;
    bool size; /* offset in sizes, else in params */
    size_t at;
    double min, max;
} params[] = {
#define P(n, t, lo, hi)                                                                                      \
    {                                                                                                        \
#n, t, false, offsetof(struct dt_masq_params, n), lo, hi                                             \
    }
#define S(n, field, hi)                                                                                      \
    {                                                                                                        \
        n, NUMBER, true, offsetof(struct dt_masq_sizes, field), 1, hi                                        \
    }
    P(t_out, SECONDS, 0.001, 86400),
    P(n_out, NUMBER, 0, 1e9),
    P(t_ei, SECONDS, 0.001, 86400 * 30),
    P(t_ike_out, SECONDS, 0.001, 86400),
    P(t_ike, SECONDS, 0.001, 86400 * 30),
    P(t_frag, SECONDS, 0.001, 300),
    P(share_esp, NUMBER, 1, 1e9),
    P(share_ike, NUMBER, 1, 1e9),
    P(share_server, NUMBER, 1, 1e9),
    P(share_frag, NUMBER, 1, 1e9),
    P(multicast, YES_NO, 0, 0),
    P(multicast_cap, NUMBER, 1, DT_MASQ_PEERS_MAX),
    {"multicast_rate", RATE, false, offsetof(struct dt_masq_params, multicast_interval), 0.001, 1e9},
    P(multicast_burst, NUMBER, 1, 1e6),
    P(require_ike, YES_NO, 0, 0),
    S("max_esp", esp, 16e6),
    S("max_ike", ike, 16e6),
    S("max_clients", clients, 1e6),
    S("max_servers", servers, 1e6),
    S("max_frags", frags, 1e6),
#undef P
#undef S
};

const char *const *dt_masq_param_names(void)
{
    static const char *names[DT_ARRAY_LEN(params) + 1];
    for (size_t i = 0; i < DT_ARRAY_LEN(params); i++)
        names[i] = params[i].name;
    return names;
}

static int yes_no(const char *value)
{
    if (!strcmp(value, "yes") || !strcmp(value, "on") || !strcmp(value, "true") || !strcmp(value, "1"))
        return 1;
    if (!strcmp(value, "no") || !strcmp(value, "off") || !strcmp(value, "false") || !strcmp(value, "0"))
        return 0;
    return -1;
}

static int set_one(struct dt_masq_config *c, const struct param *p, const char *value, const char **why)
{
    char *at = p->size ? (char *)&c->sizes + p->at : (char *)&c->params + p->at;
    if (p->type == YES_NO) {
        int on = yes_no(value);
        *why = "must be yes or no";
        if (on < 0)
            return -1;
        *(uint32_t *)(void *)at = (uint32_t)on;
        return 0;
    }
    char *end;
    errno = 0;
    double d = strtod(value, &end);
    if (p->type == SECONDS && end != value && !strcmp(end, "s"))
        end++;
    if (p->type == SECONDS && end != value && !strcmp(end, "ms")) {
        end += 2;
        d /= 1000;
    }
    *why = p->type == SECONDS ? "must be a time in seconds" : "must be a number";
    if (errno || end == value || *end || d != d)
        return -1;
    *why = "is out of range";
    if (d < p->min || d > p->max)
        return -1;
    if (p->type == NUMBER) {
        *why = "must be a whole number";
        if (d != (double)(uint32_t)d)
            return -1;
        *(uint32_t *)(void *)at = (uint32_t)d;
    } else {
        *(uint64_t *)(void *)at = p->type == RATE ? (uint64_t)(1e9 / d) : dt_seconds(d);
    }
    return 0;
}

int dt_masq_set(struct dt_masq_config *c, const char *name, const char *value, const char **why)
{
    const char *reason = "is not a parameter of the NAT";
    int rc = -1;
    for (size_t i = 0; i < DT_ARRAY_LEN(params); i++) {
        if (strcmp(params[i].name, name))
            continue;
        rc = set_one(c, &params[i], value, &reason);
        break;
    }
    /* The original has one t_out for outstanding items of both kinds; t_ike_out of its own only when asked for. */
    if (!rc && !strcmp(name, "t_ike_out"))
        c->t_ike_out_set = true;
    if (!rc && !strcmp(name, "t_out") && !c->t_ike_out_set)
        c->params.t_ike_out = c->params.t_out;
    if (why)
        *why = rc ? reason : "";
    return rc;
}
