/* The client asks for an epoch, or for a session to have one in: boxes 601, 605 and 612 to 614 of the figures, and what
 * becomes of an answer that is none. */
#include "epoch/negotiation.h"

/* A peer that is busy: the longest pause, and how long a session that carries data waits for it (RFC 7296 2.25: "a period
 * of several minutes"). */
#define BUSY_PAUSE_MAX (16 * DT_SEC)
#define BUSY_PATIENCE  (180 * DT_SEC)

void dt_negotiation_start(struct dt_epoch_client *c, dt_time now)
{
    struct dt_epoch *old = dt_slots_newest(c->e, DT_EPOCH_PROVED);
    if (!old)
        old = dt_slots_newest(c->e, DT_EPOCH_PROBING);
    c->negotiating = true;
    c->fresh = false;
    c->replacing = old ? old->no : 0;
    c->negotiate_at = DT_NEVER;
    c->negotiate_by = dt_time_add(now, c->p.timeout);
    c->last_start = now;
    dt_client_emit(c, now, DT_EPOCH_NEGOTIATING, old ? old->no : 0, 0, c->nepoch + 1, 0);
    if (!c->ops->negotiate(c->user, now, old ? old->no : 0))
        dt_epoch_client_failed(c, now);
}

/* 605, from wherever a new epoch is called for. In one session, negotiations that led to nothing verified
 * begin at least pingtime apart, so that no peer can make us spin. */
void dt_negotiation_want(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started || c->negotiating || c->session == DT_EPOCH_NO_SESSION)
        return; /* an opening brings an epoch with it */
    dt_time at = now;
    if (!c->fresh && c->last_start)
        at = dt_time_add(c->last_start, c->p.pingtime);
    if (at > now)
        c->negotiate_at = dt_time_min(c->negotiate_at, at);
    else
        dt_negotiation_start(c, now);
}

void dt_negotiation_wait_and_open(struct dt_epoch_client *c, dt_time now)
{
    uint32_t shift = c->refused < 16 ? c->refused : 16;
    dt_time pause = c->p.reopen_min << shift;
    c->refused++;
    c->session = DT_EPOCH_NO_SESSION;
    c->negotiating = false;
    c->negotiate_by = DT_NEVER;
    c->negotiate_at = dt_time_add(now, dt_time_min(pause, c->p.reopen_max));
}

/* 601 */
void dt_negotiation_open_session(struct dt_epoch_client *c, dt_time now)
{
    c->session = DT_EPOCH_OPENING;
    c->negotiating = true;
    c->fresh = false;
    c->negotiate_at = DT_NEVER;
    c->negotiate_by = dt_time_add(now, c->p.timeout);
    c->last_start = now;
    c->nepoch = c->unverified = c->replacing = c->busy = 0;
    c->opens++;
    c->stats.sessions_opened++;
    dt_client_emit(c, now, DT_EPOCH_SESSION_OPENING, 0, 0, c->opens, 0);
    if (!c->ops->open_session(c->user, now, c->opens))
        dt_epoch_client_failed(c, now);
}

/* 614, then 601. Epochs on probation end with their session; the one that carries data goes on. If a session that was
 * refused has brought nothing at all, its successor waits, or we would ask for the same again and again, each time with all
 * the work of a new session. */
static void drop_session(struct dt_epoch_client *c, dt_time now, enum drop why)
{
    uint32_t after = c->nepoch > c->unverified ? c->nepoch : c->unverified;
    c->stats.sessions_dropped++;
    c->negotiating = false;
    c->session = DT_EPOCH_NO_SESSION;
    dt_client_emit(c, now, DT_EPOCH_SESSION_DROPPED, 0, 0, after, 0);
    c->ops->drop_session(c->user, now, why != DROP_SILENT);
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (c->e[i].phase == DT_EPOCH_PROBING)
            dt_client_retire(&c->e[i], now);
    dt_client_choose(c, now);
}

void dt_negotiation_drop_and_open(struct dt_epoch_client *c, dt_time now, enum drop why)
{
    drop_session(c, now, why);
    if (why == DROP_REFUSED && c->opens > 0)
        dt_negotiation_wait_and_open(c, now);
    else
        dt_negotiation_open_session(c, now);
}

/* 612, 613: a negotiation came to nothing. */
static void count_failure(struct dt_epoch_client *c, dt_time now, dt_time pause)
{
    c->negotiating = false;
    c->negotiate_by = DT_NEVER;
    c->nepoch++;
    if (c->nepoch > c->p.elimit && !c->p.faults.no_elimit)
        dt_negotiation_drop_and_open(c, now, pause ? DROP_REFUSED : DROP_SILENT);
    else if (pause)
        c->negotiate_at = dt_time_add(now, pause);
    else
        dt_negotiation_start(c, now);
}

void dt_negotiation_timed_out(struct dt_epoch_client *c, dt_time now)
{
    c->stats.timeouts++;
    dt_client_emit(c, now, DT_EPOCH_TIMEOUT, 0, 0, c->nepoch + 1, 0);
    if (c->session == DT_EPOCH_OPENING) {
        dt_negotiation_drop_and_open(
            c, now, DROP_SILENT); /* the next address is more promising than the same again */
        return;
    }
    c->ops->abandon(c->user, now);
    count_failure(c, now, 0);
}

void dt_epoch_client_failed(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started || !c->negotiating)
        return;
    c->stats.refused++;
    dt_client_emit(c, now, DT_EPOCH_REFUSED, 0, 0,
                   c->session == DT_EPOCH_OPENING ? c->refused + 1 : c->nepoch + 1, 0);
    if (c->session == DT_EPOCH_OPENING)
        dt_negotiation_wait_and_open(c, now);
    else
        count_failure(c, now, c->p.pingtime);
}

/* The epoch that carries data, save one that is still on probation or answers no more. */
const struct dt_epoch *dt_client_carried(const struct dt_epoch_client *c)
{
    const struct dt_epoch *e = dt_slots_find((struct dt_epoch *)c->e, c->out);
    return e && e->phase == DT_EPOCH_PROVED && !e->dead ? e : NULL;
}

void dt_epoch_client_busy(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started || !c->negotiating || c->session == DT_EPOCH_OPENING) {
        dt_epoch_client_failed(c, now);
        return;
    }
    if (c->busy++ == 0)
        c->busy_since = now;
    c->stats.refused++;
    dt_client_emit(c, now, DT_EPOCH_REFUSED, 0, 0, c->busy, 0);
    c->negotiating = false;
    c->negotiate_by = DT_NEVER;
    dt_time patience = dt_client_carried(c) ? BUSY_PATIENCE : (c->p.elimit + 1) * c->p.timeout;
    dt_time pause = c->p.pingtime << (c->busy < 16 ? c->busy - 1 : 15);
    if (dt_time_add(c->busy_since, patience) <= now)
        dt_negotiation_drop_and_open(c, now, DROP_REFUSED);
    else
        c->negotiate_at = dt_time_add(now, dt_time_min(pause, BUSY_PAUSE_MAX));
}

void dt_epoch_client_not_found(struct dt_epoch_client *c, dt_time now)
{
    bool gone = c->replacing && !dt_slots_find(c->e, c->replacing);
    if (!c->started || !c->negotiating || c->session != DT_EPOCH_OPEN || !gone) {
        dt_epoch_client_failed(c, now);
        return;
    }
    c->negotiating = false;
    dt_negotiation_start(c, now);
}

void dt_epoch_client_hopeless(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started || c->session == DT_EPOCH_NO_SESSION)
        return;
    c->stats.refused++;
    dt_client_emit(c, now, DT_EPOCH_REFUSED, 0, 0, c->refused + 1, 0);
    drop_session(c, now, DROP_REFUSED);
    dt_negotiation_wait_and_open(c, now);
}
