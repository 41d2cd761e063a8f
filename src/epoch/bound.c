/* Defaults, the inequalities between them, and the bound of recovery. */
#include "epoch/epoch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parameters.h"

struct dt_epoch_params dt_epoch_params_default(void)
{
    return (struct dt_epoch_params){
        .keylife = DT_DEFAULT_KEYLIFE,
        .rekeymargin = DT_DEFAULT_REKEYMARGIN,
        .rekeyfuzz = DT_DEFAULT_REKEYFUZZ,
        .maxidle = DT_DEFAULT_MAXIDLE,
        .pingtime = DT_DEFAULT_PINGTIME,
        .pingtries = DT_DEFAULT_PINGTRIES,
        .pingtime2 = DT_DEFAULT_PINGTIME2,
        .pingtries2 = DT_DEFAULT_PINGTRIES2,
        .timeout = DT_DEFAULT_TIMEOUT,
        .elimit = DT_DEFAULT_ELIMIT,
        .reopen_min = 1 * DT_SEC,
        .reopen_max = 60 * DT_SEC,
        .probe = true,
        .server_rekey = false,
    };
}

struct dt_epoch_nat dt_epoch_nat_default(void)
{
    return (struct dt_epoch_nat){
        .t_out = DT_DEFAULT_T_OUT, .n_out = DT_DEFAULT_N_OUT, .t_ei = DT_DEFAULT_T_EI, .n = 4};
}

struct checks {
    struct dt_epoch_check *v;
    size_t n;
    unsigned bad;
};

static void check_inequality(struct checks *c, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void check_inequality(struct checks *c, bool ok, const char *fmt, ...)
{
    struct dt_epoch_check *one = &c->v[c->n++];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(one->text, sizeof(one->text), fmt, ap);
    va_end(ap);
    one->ok = ok;
    c->bad += !ok;
}

#define S(t) dt_time_seconds(t)

size_t dt_epoch_check(struct dt_epoch_check out[DT_EPOCH_CHECKS], const struct dt_epoch_params *p,
                      const struct dt_epoch_nat *nat, unsigned *bad)
{
    struct checks c = {.v = out};
    dt_time early = p->rekeymargin + p->rekeymargin / 100 * p->rekeyfuzz;
    check_inequality(
        &c, early < p->keylife,
        early < p->keylife
            ? "(1 + rekeyfuzz) * rekeymargin = %g s < keylife = %g s"
            : "(1 + rekeyfuzz) * rekeymargin = %g s must be less than keylife = %g s: epochs would be "
              "replaced as soon as they are made",
        S(early), S(p->keylife));
    dt_time need = (p->elimit + 1) * p->timeout + p->timeout + p->pingtries * p->pingtime;
    check_inequality(&c, need <= p->rekeymargin,
                     need <= p->rekeymargin
                         ? "rekeymargin = %2$g s holds a whole recovery, (elimit + 2) * timeout + "
                           "pingtries * pingtime = %1$g s"
                         : "(elimit + 2) * timeout + pingtries * pingtime = %1$g s should fit into "
                           "rekeymargin = %2$g s, or an "
                           "epoch may end before the next one is verified",
                     S(need), S(p->rekeymargin));
    if (p->probe) {
        check_inequality(
            &c, p->maxidle < nat->t_ei,
            p->maxidle < nat->t_ei
                ? "maxidle = %g s < t_ei = %g s"
                : "maxidle = %g s must be less than t_ei = %g s, or the NAT forgets an idle tunnel "
                  "before it is pinged",
            S(p->maxidle), S(nat->t_ei));
        double least = S(nat->t_out) / (nat->n_out ? nat->n_out : 1);
        check_inequality(
            &c, S(p->pingtime) >= least,
            S(p->pingtime) >= least
                ? "pingtime = %g s >= t_out / n_out = %g s"
                : "pingtime = %g s must be at least t_out / n_out = %g s, or the NAT drops probes "
                  "while their item is outstanding",
            S(p->pingtime), least);
        double n = nat->t_out ? S(p->pingtime) * p->pingtries / S(nat->t_out) : 1e9;
        check_inequality(
            &c, n > nat->n,
            n > nat->n
                ? "pingtime * pingtries / t_out = %g > N = %u"
                : "pingtime * pingtries / t_out = %g must be more than N = %u, or that many neighbours' "
                  "unanswered probes can block ours; more pingtries would do",
            n, nat->n);
    }
    if (bad)
        *bad = c.bad;
    return c.n;
}

struct dt_epoch_bound dt_epoch_bound(const struct dt_epoch_params *p, unsigned addresses, dt_time round_trip)
{
    struct dt_epoch_bound b = {0};
    if (addresses == 0)
        addresses = 1;
    dt_time exchange =
        3 * round_trip; /* IKE_SA_INIT (a COOKIE or another group may be asked for) and IKE_AUTH */
    b.detect = p->maxidle + p->pingtries2 * p->pingtime2;
    b.renegotiate = (p->elimit + 1) * p->timeout;
    b.reopen = addresses * p->timeout + exchange;
    /* The epoch on probation when the network became fair may have begun its probes in vain; one that loses a
     * race is replaced once more, and its successor verified. */
    b.verify = 2 * (p->pingtries * p->pingtime + p->pingtime) + exchange + 2 * round_trip;
    b.total = b.detect + b.renegotiate + b.reopen + b.verify;
    b.epoch_only = b.detect + 3 * round_trip;
    return b;
}
