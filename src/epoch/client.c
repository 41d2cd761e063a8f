/* The client's engine, FIG. 6A and 6B. Boxes of the figures stand in the comments; the timers as one list:
 *
 *   negotiate_by   612: a negotiation or opening that takes longer than `timeout` is abandoned
 *   negotiate_at   a negotiation or opening that is wanted begins (at once, or after a pause)
 *   rekey_at       605: at random in the window before t0 + keylife - rekeymargin
 *   probe_at       of an epoch on probation: 607, 608, the next probe; of the one that carries: 621, 616, idle
 *   del_at         the DELETE of an epoch that was replaced
 *   limit          the carrying epoch's t0 + keylife - rekeymargin: an unverified one takes over
 *   t0 + keylife   the end
 */
#include "epoch/negotiation.h"

#include <string.h>

/* The first probe of an epoch that the peer asked for waits this long for it to take our answer in. */
#define PEER_TAKES_IN (50 * DT_MSEC)

void dt_client_emit(struct dt_epoch_client *c, dt_time now, enum dt_epoch_event_kind kind, uint32_t epoch,
                    uint32_t other, uint32_t n, dt_time took)
{
    struct dt_epoch_event ev = {.kind = kind, .epoch = epoch, .other = other, .n = n, .took = took};
    if (c->ops->event)
        c->ops->event(c->user, now, &ev);
}

void dt_epoch_client_init(struct dt_epoch_client *c, const struct dt_epoch_params *p,
                          const struct dt_epoch_ops *ops, void *user, struct dt_rand rand)
{
    memset(c, 0, sizeof(*c));
    c->p = dt_slots_sane(p);
    c->ops = ops;
    c->user = user;
    c->rand = rand;
    c->limit = c->negotiate_by = c->negotiate_at = DT_NEVER;
}

void dt_epoch_client_params(struct dt_epoch_client *c, const struct dt_epoch_params *p)
{
    c->p = dt_slots_sane(p);
}

/* Which epoch may carry data? The newest verified one; past its limit, or after it, one that is not verified. One that
 * answers no ping falls silent while another is on probation: behind a NAT of the original's kind each of its packets would
 * be an outstanding item without an answer, which keeps the probes out. */
void dt_client_choose(struct dt_epoch_client *c, dt_time now)
{
    struct dt_epoch *best = dt_slots_newest(c->e, DT_EPOCH_PROVED);
    struct dt_epoch *young = dt_slots_newest(c->e, DT_EPOCH_PROBING);
    struct dt_epoch *want = best;
    bool forced = false;
    if (young && (!best || young->no > best->no)) {
        if (c->p.faults.switch_at_once) {
            want = young;
        } else if (now >= c->limit) {
            want = young;
            forced = true;
        } else if (best && best->dead) {
            want = NULL;
        }
    }
    uint32_t no = want ? want->no : 0, before = c->out;
    if (no == before) {
        c->out_forced = c->out_forced && forced;
        return;
    }
    c->out = no;
    c->out_forced = forced;
    if (no)
        c->stats.switches++;
    if (forced)
        c->stats.forced_uses++;
    dt_client_emit(c, now,
                   !no      ? DT_EPOCH_HOLD
                   : forced ? DT_EPOCH_UNVERIFIED_USE
                            : DT_EPOCH_SWITCHED,
                   no, before, 0, 0);
    c->ops->use(c->user, now, no, forced);
}

/* The slot is free; whoever called decides what carries data now. */
static void epoch_forget(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    uint32_t no = e->no;
    memset(e, 0, sizeof(*e));
    c->ops->gone(c->user, now, no);
}

static void epoch_start_delete(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    uint32_t no = e->no;
    e->del_at = DT_NEVER;
    bool follows = c->ops->del(c->user, now, no);
    if (!follows) {
        epoch_forget(c, now, e);
        dt_client_emit(c, now, DT_EPOCH_DELETED, no, 0, 0, 0);
    }
}

/* The epoch carries no data any more, and still receives. */
void dt_client_retire(struct dt_epoch *e, dt_time del_at)
{
    if (e->phase == DT_EPOCH_RETIRING) {
        e->del_at = dt_time_min(e->del_at, del_at);
        return;
    }
    e->phase = DT_EPOCH_RETIRING;
    e->probe_at = e->rekey_at = DT_NEVER;
    e->del_at = del_at;
}

/* Packets that are on their way in the old epoch are let in before the peer is told. */
static dt_time del_delay(const struct dt_epoch_client *c, const struct dt_epoch *replacement)
{
    if (replacement->origin == DT_EPOCH_BY_PEER)
        return 4 * c->p.pingtime; /* it deletes what it replaced; this is for one that does not */
    return dt_time_min(c->p.pingtime, DT_SEC);
}

static void client_retire_older(struct dt_epoch_client *c, dt_time now, const struct dt_epoch *than,
                                dt_time delay)
{
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        struct dt_epoch *o = &c->e[i];
        if ((o->phase == DT_EPOCH_PROBING || o->phase == DT_EPOCH_PROVED) && o->no < than->no)
            dt_client_retire(o, dt_time_add(now, delay));
    }
}

static void epoch_send_probe(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    e->seq++;
    e->tries++;
    e->probed = now;
    if (e->phase == DT_EPOCH_PROBING)
        c->stats.probes++;
    else
        c->stats.pings++;
    c->ops->probe(c->user, now, e->no, e->seq);
}

/* ---- what is told ---- */

void dt_epoch_client_start(struct dt_epoch_client *c, dt_time now)
{
    if (c->started && c->session == DT_EPOCH_NO_SESSION) { /* do not wait any longer */
        dt_negotiation_open_session(c, now);
        return;
    }
    if (c->started)
        return;
    c->started = true;
    c->opens = c->refused = c->nepoch = c->unverified = 0;
    c->proved = 0;
    c->limit = DT_NEVER;
    dt_negotiation_open_session(c, now);
}

void dt_epoch_client_stop(struct dt_epoch_client *c, dt_time now)
{
    c->started = c->negotiating = c->ping_asked = c->out_forced = false;
    c->session = DT_EPOCH_NO_SESSION;
    c->negotiate_by = c->negotiate_at = c->limit = DT_NEVER;
    c->out = 0;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (c->e[i].phase != DT_EPOCH_FREE)
            epoch_forget(c, now, &c->e[i]);
}

void dt_epoch_client_session_up(struct dt_epoch_client *c, dt_time now)
{
    if (c->started && c->session == DT_EPOCH_OPENING)
        c->session = DT_EPOCH_OPEN; /* still negotiating: the first epoch comes, or fails */
}

void dt_epoch_client_session_lost(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started || c->session == DT_EPOCH_NO_SESSION)
        return;
    bool opening = c->session == DT_EPOCH_OPENING;
    c->stats.sessions_lost++;
    c->session = DT_EPOCH_NO_SESSION;
    c->negotiating = false;
    c->negotiate_by = DT_NEVER;
    dt_client_emit(c, now, DT_EPOCH_SESSION_LOST, 0, 0, c->opens, 0);
    /* At once when that session was good for something or met silence; one that the peer ends before an epoch
     * was verified is not asked again without a pause. */
    if (opening || c->opens == 0)
        dt_negotiation_open_session(c, now);
    else
        dt_negotiation_wait_and_open(c, now);
}

static void look_again(struct dt_epoch_client *c, dt_time now);

void dt_epoch_client_negotiated(struct dt_epoch_client *c, dt_time now, uint32_t no,
                                enum dt_epoch_origin origin)
{
    if (!c->started || no == 0)
        return;
    uint32_t pushed;
    struct dt_epoch *e = dt_slots_take(c->e, c->out, &pushed);
    if (pushed) {
        c->stats.full++;
        c->ops->gone(c->user, now, pushed);
    }
    dt_slots_start(e, no, origin, now);
    e->rekey_at = dt_slots_rekey_time(e, &c->p, &c->rand);
    c->stats.negotiated++;
    if (origin == DT_EPOCH_ASKED) {
        c->negotiating = false;
        c->negotiate_by = DT_NEVER;
        c->busy = 0;
    }
    if (c->session != DT_EPOCH_NO_SESSION)
        c->negotiate_at = DT_NEVER;
    dt_client_emit(c, now, DT_EPOCH_NEGOTIATED, no, 0, 0, 0);
    if (!c->p.probe) { /* FIG. 8's mirror: today's IPsec */
        e->phase = DT_EPOCH_PROVED;
        c->proved = no;
        c->limit = dt_time_sub(dt_slots_end(e, &c->p), c->p.rekeymargin);
        c->nepoch = c->unverified = c->opens = c->refused = 0;
        dt_client_choose(
            c, now); /* nothing was verified: a peer that deletes it at once does not make us spin */
        if (origin != DT_EPOCH_BY_PEER)
            client_retire_older(c, now, e, 0);
        return;
    }
    if (c->p.faults.delete_unproved)
        client_retire_older(c, now, e, 0);
    look_again(c, now);       /* what was heard since it counted as dead goes on carrying */
    dt_client_choose(c, now); /* past the limit it carries at once */
    if (origin == DT_EPOCH_BY_PEER) {
        /* Our answer has not left yet, and the peer must take it in before it can take a packet. */
        e->probe_at = dt_time_add(now, dt_time_min(c->p.pingtime, PEER_TAKES_IN));
        return;
    }
    epoch_send_probe(c, now, e); /* 607 */
    e->probe_at = c->p.faults.one_probe ? DT_NEVER : dt_time_add(now, c->p.pingtime);
}

/* 608 yes, 609, 602, 603, 604 */
static void epoch_verify(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    e->phase = DT_EPOCH_PROVED;
    e->was_proved = e->verified = true;
    c->stats.verified++;
    dt_client_emit(c, now, DT_EPOCH_VERIFIED, e->no, 0, e->tries, dt_time_sub(now, e->t0));
    c->fresh = true;
    c->nepoch = c->unverified = c->opens = c->refused = 0;
    if (e->origin == DT_EPOCH_BESIDE && c->session == DT_EPOCH_OPEN) {
        /* Its session stays and the other ends: nobody waits for what is asked there any more. */
        c->negotiating = false;
        c->negotiate_by = c->negotiate_at = DT_NEVER;
    }
    e->tries = 0;
    e->probe_at = c->p.faults.no_idle_ping ? DT_NEVER : dt_time_add(now, c->p.maxidle);
    if (e->no > c->proved) {
        c->proved = e->no;
        c->limit = dt_time_sub(dt_slots_end(e, &c->p), c->p.rekeymargin);
    }
    dt_client_choose(c, now);
    client_retire_older(c, now, e, del_delay(c, e));
}

static void alive(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    bool was_idle = e->idle;
    uint32_t n = e->tries;
    dt_time took = dt_time_sub(now, e->heard);
    e->tries = 0;
    e->heard = now;
    e->dead = e->idle = false;
    if (c->out != e->no)
        dt_client_choose(c, now);
    if (was_idle)
        dt_client_emit(c, now, DT_EPOCH_IDLE_OVER, e->no, 0, n, took);
    if (!c->p.faults.no_idle_ping && c->p.probe)
        e->probe_at = dt_time_add(now, c->p.maxidle);
}

/* What a server says first, on an epoch that it has not been spoken to on, shows that it can reach us and not that
 * we reach it: a NAT may have delivered it by an old item, or to everybody. So only the answer to a probe verifies
 * (608), unless the peer waits (FIG. 7), or none is answered: then the second epoch in a row takes what it gets. */
static void heard(struct dt_epoch_client *c, dt_time now, uint32_t no, bool answer)
{
    struct dt_epoch *e = dt_slots_find(c->e, no);
    if (!c->started || !e)
        return;
    if (e->phase == DT_EPOCH_PROBING) {
        e->heard = now;
        if (answer || !c->peer_speaks || c->unverified > 0)
            epoch_verify(c, now, e);
    } else if (e->phase == DT_EPOCH_PROVED) {
        bool dead = e->dead;
        e->was_proved = true;
        alive(c, now, e);
        if (dead)
            dt_client_choose(c, now);
    } else {
        e->heard = now;
    }
}

void dt_epoch_client_heard(struct dt_epoch_client *c, dt_time now, uint32_t no)
{
    heard(c, now, no, false);
}

/* A peer that sends on the old epoch until it sees its DELETE (strongSwan) has answered there: what we send
 * arrives; what it sends on the new epoch can only be seen once the old one is gone. */
static void answered_elsewhere(struct dt_epoch_client *c, dt_time now, struct dt_epoch *probed,
                               uint32_t came_on)
{
    probed->elsewhere = true;
    probed->tries = 0;
    probed->probe_at = dt_time_add(now, c->p.pingtime);
    c->stats.probe_elsewhere++;
    dt_client_emit(c, now, DT_EPOCH_PROBE_ELSEWHERE, probed->no, came_on, 0, 0);
    client_retire_older(c, now, probed, 0);
    dt_client_choose(c, now);
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (c->e[i].phase == DT_EPOCH_RETIRING && c->e[i].no < probed->no && c->e[i].del_at <= now)
            epoch_start_delete(c, now, &c->e[i]);
}

void dt_epoch_client_probe_reply(struct dt_epoch_client *c, dt_time now, uint32_t came_on, uint16_t ident,
                                 uint16_t seq)
{
    struct dt_epoch *came = dt_slots_find(c->e, came_on), *probed = NULL;
    if (!c->started || !came)
        return;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (c->e[i].phase != DT_EPOCH_FREE && (uint16_t)c->e[i].no == ident &&
            (!probed || c->e[i].no > probed->no))
            probed = &c->e[i];
    if (c->ping_asked && probed) {
        c->ping_asked = false;
        dt_client_emit(c, now, DT_EPOCH_PING_REPLY, probed->no, came_on, seq,
                       seq == probed->seq ? dt_time_sub(now, probed->probed) : 0);
    }
    if (c->p.faults.verify_on_any && dt_slots_newest(c->e, DT_EPOCH_PROBING))
        came = dt_slots_newest(c->e, DT_EPOCH_PROBING);
    heard(c, now, came->no, true);
    /* Heard may have changed everything but the slots' places. */
    if (probed && probed->phase == DT_EPOCH_PROBING && probed->no > came_on && !probed->elsewhere)
        answered_elsewhere(c, now, probed, came_on);
}

/* No epoch carries data, none is on probation and none is being made: ask for one. */
static void replace_if_none(struct dt_epoch_client *c, dt_time now)
{
    dt_client_choose(c, now);
    if (dt_slots_newest(c->e, DT_EPOCH_PROVED) || dt_slots_newest(c->e, DT_EPOCH_PROBING))
        return;
    if (c->negotiate_at == DT_NEVER)
        dt_negotiation_want(c, now);
    else if (c->busy) /* nothing carries data any more: there is less patience */
        c->negotiate_at = dt_time_min(c->negotiate_at, dt_time_add(now, c->p.pingtime));
}

void dt_epoch_client_peer_deleted(struct dt_epoch_client *c, dt_time now, uint32_t no)
{
    struct dt_epoch *e = dt_slots_find(c->e, no);
    if (!c->started || !e)
        return;
    bool young = e->phase == DT_EPOCH_PROBING;
    epoch_forget(c, now, e);
    dt_client_emit(c, now, DT_EPOCH_PEER_DELETED, no, 0, 0, 0);
    replace_if_none(c, now);
    /* It has made the one that it asked for, and data may be waiting for the proof: no pause before the next probe. */
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        e = &c->e[i];
        if (e->phase == DT_EPOCH_PROBING && e->origin == DT_EPOCH_BY_PEER && e->no > no &&
            e->tries < c->p.pingtries && (e->tries == 0 || e->probed < now)) {
            e->probe_at = dt_time_add(now, c->p.pingtime);
            epoch_send_probe(c, now, e);
        }
    }
    if (young && !dt_slots_newest(c->e, DT_EPOCH_PROBING) && c->negotiate_at == DT_NEVER)
        dt_negotiation_want(c, now); /* the rekey that it belonged to is not done */
}

void dt_epoch_client_retire(struct dt_epoch_client *c, dt_time now, uint32_t no, bool del)
{
    struct dt_epoch *e = dt_slots_find(c->e, no);
    if (!c->started || !e)
        return;
    dt_client_retire(e, del ? now : DT_NEVER);
    replace_if_none(c, now);
}

void dt_epoch_client_deleted(struct dt_epoch_client *c, dt_time now, uint32_t no)
{
    struct dt_epoch *e = dt_slots_find(c->e, no);
    if (!c->started || !e || e->phase != DT_EPOCH_RETIRING)
        return;
    epoch_forget(c, now, e);
    dt_client_emit(c, now, DT_EPOCH_DELETED, no, 0, 0, 0);
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        e = &c->e[i];
        if (e->phase == DT_EPOCH_PROBING && e->elsewhere &&
            e->probed < now) { /* now it can answer on the new one */
            epoch_send_probe(c, now, e);
            e->probe_at = dt_time_add(now, c->p.pingtime);
        }
    }
}

/* 620: claim 11. */
bool dt_epoch_client_peer_rekey(struct dt_epoch_client *c, dt_time now)
{
    if (c->started && (c->p.server_rekey || !c->p.probe))
        return true;
    dt_client_emit(c, now, DT_EPOCH_REKEY_DECLINED, 0, 0, 0, 0);
    const struct dt_epoch *e = dt_slots_find(c->e, c->out);
    if (e && e->phase == DT_EPOCH_PROVED && !dt_slots_newest(c->e, DT_EPOCH_PROBING) &&
        dt_time_add(e->t0, c->p.timeout) <= now && c->negotiate_at == DT_NEVER)
        dt_negotiation_want(c, now);
    return false;
}

void dt_epoch_client_rekey(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started)
        return;
    if (c->session == DT_EPOCH_NO_SESSION) {
        dt_negotiation_open_session(c, now);
    } else if (!c->negotiating) {
        dt_client_emit(c, now, DT_EPOCH_REKEY, c->out, 1, 0, 0);
        dt_negotiation_start(c, now);
    }
}

void dt_epoch_client_exhausted(struct dt_epoch_client *c, dt_time now, uint32_t no)
{
    struct dt_epoch *e = dt_slots_find(c->e, no);
    if (!c->started || !e || c->out != no)
        return;
    dt_client_retire(e,
                     dt_time_add(now, c->p.timeout)); /* at the latest: its successor's proof comes first */
    replace_if_none(c, now);
}

void dt_epoch_client_ping(struct dt_epoch_client *c, dt_time now)
{
    struct dt_epoch *e = dt_slots_newest(c->e, DT_EPOCH_PROVED);
    if (!c->started || !e)
        return;
    c->ping_asked = true;
    if (e->tries == 0) { /* 616, as if maxidle had passed */
        epoch_send_probe(c, now, e);
        if (c->p.probe)
            e->probe_at = dt_time_add(now, c->p.pingtime2);
        else
            e->tries = 0;
    }
}

void dt_epoch_client_reopen(struct dt_epoch_client *c, dt_time now, bool polite)
{
    if (c->started)
        dt_negotiation_drop_and_open(c, now, polite ? DROP_CHANGED : DROP_SILENT);
}

/* ---- timers ---- */

/* 607 to 611: the next probe, or a new epoch. */
static void probe_due(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    look_again(c, now);
    if (e->tries < c->p.pingtries || c->p.faults.probe_forever) {
        e->probe_at = dt_time_add(now, c->p.pingtime);
        epoch_send_probe(c, now, e);
        return;
    }
    c->stats.unanswered++;
    c->unverified++;
    e->probe_at = DT_NEVER;
    dt_client_emit(c, now, DT_EPOCH_UNANSWERED, e->no, 0, e->tries, 0);
    dt_client_retire(e, now);
    dt_client_choose(c, now);
    if (c->unverified > c->p.elimit && !c->p.faults.no_elimit)
        dt_negotiation_drop_and_open(c, now, DROP_UNPROVED);
    else if (!dt_slots_newest(c->e, DT_EPOCH_PROBING))
        dt_negotiation_want(c, now);
}

/* Has an epoch that did not answer been heard after all? Then it carries data again. */
static void look_again(struct dt_epoch_client *c, dt_time now)
{
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        struct dt_epoch *e = &c->e[i];
        if (e->phase != DT_EPOCH_PROVED || !e->dead || !c->ops->last_heard)
            continue;
        dt_time seen = dt_time_min(now, c->ops->last_heard(c->user, e->no));
        if (seen > e->heard) {
            alive(c, seen, e);
            dt_client_choose(c, now);
        }
    }
}

/* 621, 615 to 619. */
static void idle_due(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    dt_time seen = c->ops->last_heard ? c->ops->last_heard(c->user, e->no) : 0;
    if (seen > now)
        seen = now;
    if (seen > e->heard) {
        alive(c, seen, e);
    }
    if (e->tries == 0 && dt_time_add(e->heard, c->p.maxidle) > now) {
        e->probe_at = dt_time_add(e->heard, c->p.maxidle);
    } else if (e->tries < c->p.pingtries2) {
        if (!e->idle)
            dt_client_emit(c, now, DT_EPOCH_IDLE, e->no, 0, 0, dt_time_sub(now, e->heard));
        e->idle = true;
        e->probe_at = dt_time_add(now, c->p.pingtime2);
        epoch_send_probe(c, now, e);
    } else if (c->p.faults.idle_ends_nothing) {
        e->probe_at = DT_NEVER;
    } else {
        c->stats.idle_dead++;
        c->ping_asked = false;
        e->dead = true;
        e->probe_at = DT_NEVER;
        dt_client_emit(c, now, DT_EPOCH_IDLE_DEAD, e->no, 0, e->tries, dt_time_sub(now, e->heard));
        if (!c->negotiating)
            c->nepoch = 0; /* 603 */
        if (!dt_slots_newest(c->e, DT_EPOCH_PROBING))
            dt_negotiation_want(c, now);
    }
}

static void rekey_due(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    e->rekey_at = DT_NEVER;
    struct dt_epoch *young = dt_slots_newest(c->e, DT_EPOCH_PROBING);
    if (c->negotiating || c->negotiate_at != DT_NEVER || (young && young->no > e->no))
        return; /* "if none has already started" */
    dt_client_emit(c, now, DT_EPOCH_REKEY, e->no, 0, 0, 0);
    dt_negotiation_want(c, now);
}

static void client_epoch_due(struct dt_epoch_client *c, dt_time now, struct dt_epoch *e)
{
    if (dt_slots_end(e, &c->p) <= now) {
        uint32_t no = e->no;
        c->stats.expired++;
        epoch_forget(c, now, e);
        dt_client_emit(c, now, DT_EPOCH_EXPIRED, no, 0, 0, 0);
        replace_if_none(c, now);
        return;
    }
    if (e->phase == DT_EPOCH_RETIRING) {
        if (e->del_at <= now)
            epoch_start_delete(c, now, e);
        return;
    }
    if (e->probe_at <= now) {
        if (e->phase == DT_EPOCH_PROBING)
            probe_due(c, now, e);
        else
            idle_due(c, now, e);
    }
    if (e->phase == DT_EPOCH_PROVED && e->rekey_at <= now)
        rekey_due(c, now, e);
}

void dt_epoch_client_tick(struct dt_epoch_client *c, dt_time now)
{
    if (!c->started)
        return;
    if (c->negotiating && c->negotiate_by <= now && !c->p.faults.no_timeout)
        dt_negotiation_timed_out(c, now);
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (c->e[i].phase != DT_EPOCH_FREE)
            client_epoch_due(c, now, &c->e[i]);
    if (!c->negotiating && c->negotiate_at <= now) {
        c->negotiate_at = DT_NEVER;
        if (c->session == DT_EPOCH_NO_SESSION)
            dt_negotiation_open_session(c, now);
        else
            dt_negotiation_start(c, now);
    }
    dt_client_choose(c, now);
}

dt_time dt_epoch_client_deadline(const struct dt_epoch_client *c)
{
    if (!c->started)
        return DT_NEVER;
    dt_time at = DT_NEVER;
    if (c->negotiating && !c->p.faults.no_timeout)
        at = c->negotiate_by;
    if (!c->negotiating)
        at = dt_time_min(at, c->negotiate_at);
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        const struct dt_epoch *e = &c->e[i];
        if (e->phase == DT_EPOCH_FREE)
            continue;
        at = dt_time_min(at, dt_slots_end(e, &c->p));
        at = dt_time_min(at, dt_time_min(e->del_at, e->probe_at));
        if (e->phase == DT_EPOCH_PROVED)
            at = dt_time_min(at, e->rekey_at);
        if (e->phase == DT_EPOCH_PROBING && e->no > c->out && !c->out_forced)
            at = dt_time_min(at, c->limit);
    }
    return at;
}

bool dt_epoch_client_verified(const struct dt_epoch_client *c)
{
    const struct dt_epoch *e = dt_client_carried(c);
    return c->started && e && e->verified && c->p.probe;
}

bool dt_epoch_client_unproved(const struct dt_epoch_client *c)
{
    return c->started && dt_client_carried(c) && !dt_epoch_client_verified(c);
}

void dt_epoch_client_digest(const struct dt_epoch_client *c, dt_time now, struct dt_digest *d)
{
    dt_slots_digest(c->e, c->out, now, d);
    dt_digest_u64(d, (uint64_t)c->started | (uint64_t)c->ping_asked << 1 | (uint64_t)c->negotiating << 2 |
                         (uint64_t)c->fresh << 3 | (uint64_t)c->out_forced << 4 |
                         (uint64_t)c->peer_speaks << 5 | (uint64_t)c->session << 8);
    dt_digest_u64(d, (uint64_t)c->nepoch << 32 | c->unverified);
    dt_digest_u64(d, (uint64_t)c->opens << 32 | c->refused);
    dt_digest_u64(d, c->negotiating && c->replacing && !dt_slots_find((struct dt_epoch *)c->e, c->replacing));
    dt_digest_u64(d, c->busy);
    if (c->busy)
        dt_digest_u64(d, dt_time_sub(now, c->busy_since));
    dt_digest_time(d, c->limit, now);
    dt_digest_time(d, c->negotiating ? c->negotiate_by : DT_NEVER, now);
    dt_digest_time(d, c->negotiate_at, now);
    /* What the last start still says is only whether pingtime has passed since. */
    dt_digest_time(d, dt_time_add(c->last_start, c->p.pingtime), now);
}
