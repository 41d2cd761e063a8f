/* The server's engine. FIG. 7: a new epoch receives at once and sends only after the client was heard on it;
 * FIG. 8 (probe = off): it sends at once. The timers as one list:
 *
 *   t0 + keylife   an epoch's end; when it carried data, the next one does, heard or not
 *   rekey_at       the client has not rekeyed: the server does (server_rekey), and again when it was refused
 *   negotiate_by   that negotiation is given up
 *   probe_at       of an epoch that the server began: a client that waits for the DELETE of the old one gets it
 *   del_at         the DELETE of an epoch that the server replaced
 *   reap_at        nothing was heard for long: ask the session whether the client lives
 */
#include "epoch/slots.h"

#include <string.h>

static void emit(struct dt_epoch_server *s, dt_time now, enum dt_epoch_event_kind kind, uint32_t epoch,
                 uint32_t other, uint32_t n, dt_time took)
{
    struct dt_epoch_event ev = {.kind = kind, .epoch = epoch, .other = other, .n = n, .took = took};
    if (s->ops->event)
        s->ops->event(s->user, now, &ev);
}

dt_time dt_epoch_server_reap_after(const struct dt_epoch_server *s)
{
    return 2 * (s->p.maxidle + s->p.pingtries2 * s->p.pingtime2);
}

void dt_epoch_server_init(struct dt_epoch_server *s, const struct dt_epoch_params *p,
                          const struct dt_epoch_ops *ops, void *user, struct dt_rand rand)
{
    memset(s, 0, sizeof(*s));
    s->p = dt_slots_sane(p);
    s->ops = ops;
    s->user = user;
    s->rand = rand;
    s->negotiate_by = s->reap_at = DT_NEVER;
}

void dt_epoch_server_params(struct dt_epoch_server *s, const struct dt_epoch_params *p)
{
    s->p = dt_slots_sane(p);
}

/* Of two epochs that a collision made, the peer was to delete this one, and was heard on it since: a packet of the
 * collision was lost, and it kept the other way round. */
static struct dt_epoch *kept_after_all(struct dt_epoch_server *s)
{
    struct dt_epoch *best = NULL;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        struct dt_epoch *e = &s->e[i];
        if (e->phase == DT_EPOCH_RETIRING && e->redundant && e->was_proved && (!best || e->no > best->no))
            best = e;
    }
    return best;
}

/* 705, 707: the newest epoch that was heard. `over`: the epoch that carried data has just ended; then one that was
 * negotiated to replace it takes over unheard. One that comes later is waited for: a client that begins anew is behind
 * a NAT that must see it speak first. */
static void choose_after(struct dt_epoch_server *s, dt_time now, bool over)
{
    struct dt_epoch *best = dt_slots_newest(s->e, DT_EPOCH_PROVED);
    struct dt_epoch *young = dt_slots_newest(s->e, DT_EPOCH_PROBING);
    struct dt_epoch *want = best;
    bool forced = false;
    if (young && s->p.faults.server_switch_at_once && (!best || young->no > best->no)) {
        want = young;
    } else if (young && !best && !s->p.faults.server_no_fallback) {
        if (over)
            want = young;
        else if (s->out_forced)
            want = dt_slots_find(s->e, s->out);
        forced = want != NULL;
    }
    if (!want)
        want = kept_after_all(s);
    uint32_t no = want ? want->no : 0, before = s->out;
    if (no == before) {
        s->out_forced = s->out_forced && forced;
        return;
    }
    s->out = no;
    s->out_forced = forced;
    if (no)
        s->stats.switches++;
    if (forced)
        s->stats.forced_uses++;
    emit(s, now,
         !no      ? DT_EPOCH_HOLD
         : forced ? DT_EPOCH_UNVERIFIED_USE
                  : DT_EPOCH_SWITCHED,
         no, before, 0, 0);
    s->ops->use(s->user, now, no, forced);
}

static void server_choose(struct dt_epoch_server *s, dt_time now)
{
    choose_after(s, now, false);
}

static void server_forget(struct dt_epoch_server *s, dt_time now, struct dt_epoch *e)
{
    uint32_t no = e->no;
    memset(e, 0, sizeof(*e));
    s->ops->gone(s->user, now, no);
}

void dt_epoch_server_stop(struct dt_epoch_server *s, dt_time now)
{
    s->negotiating = s->out_forced = false;
    s->negotiate_by = s->reap_at = DT_NEVER;
    s->out = 0;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (s->e[i].phase != DT_EPOCH_FREE)
            server_forget(s, now, &s->e[i]);
}

static void server_retire_older(struct dt_epoch_server *s, const struct dt_epoch *than, dt_time del_at)
{
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        struct dt_epoch *o = &s->e[i];
        if (o->phase == DT_EPOCH_FREE || o->no >= than->no)
            continue;
        o->phase = DT_EPOCH_RETIRING;
        o->rekey_at = o->probe_at = DT_NEVER;
        o->del_at = dt_time_min(o->del_at, del_at);
    }
}

/* Today's IPsec rekeys from both ends; a Dovetail server only when the client, whose task it is, is late. */
static dt_time rekey_time(struct dt_epoch_server *s, const struct dt_epoch *e)
{
    if (!s->p.server_rekey)
        return DT_NEVER;
    if (!s->p.probe)
        return dt_slots_rekey_time(e, &s->p, &s->rand);
    return dt_time_sub(dt_slots_end(e, &s->p), s->p.rekeymargin / 2);
}

/* 702, 703 */
void dt_epoch_server_negotiated(struct dt_epoch_server *s, dt_time now, uint32_t no,
                                enum dt_epoch_origin origin)
{
    if (no == 0)
        return;
    uint32_t pushed;
    struct dt_epoch *e = dt_slots_take(s->e, s->out, &pushed);
    if (pushed) {
        s->stats.full++;
        s->ops->gone(s->user, now, pushed);
    }
    dt_slots_start(e, no, origin, now);
    e->rekey_at = rekey_time(s, e);
    s->stats.negotiated++;
    if (origin == DT_EPOCH_ASKED) {
        s->negotiating = false;
        s->negotiate_by = DT_NEVER;
        e->probe_at = s->peer_probes ? DT_NEVER : dt_time_add(now, 2 * s->p.pingtime);
    }
    if (s->reap_at == DT_NEVER)
        s->reap_at = dt_time_add(now, dt_epoch_server_reap_after(s));
    emit(s, now, DT_EPOCH_NEGOTIATED, no, 0, 0, 0);
    if (!s->p.probe) /* 806 */
        e->phase = DT_EPOCH_PROVED;
    server_choose(s, now);
    if (!s->p.probe && origin == DT_EPOCH_ASKED)
        server_retire_older(s, e, now);
}

/* Whoever refuses may be busy (TEMPORARY_FAILURE, RFC 7296 2.25): again after half of the time that is left, so that the
 * tries are few and all of them come before the end. */
static void rekey_again_before_end(struct dt_epoch_server *s, dt_time now)
{
    struct dt_epoch *e = dt_slots_find(s->e, s->out);
    if (!s->p.server_rekey || !e || e->rekey_at != DT_NEVER)
        return;
    dt_time left = dt_time_sub(dt_slots_end(e, &s->p), now);
    if (left >= 2 * DT_SEC)
        e->rekey_at = dt_time_add(now, left / 2);
}

void dt_epoch_server_failed(struct dt_epoch_server *s, dt_time now)
{
    if (!s->negotiating)
        return;
    s->negotiating = false;
    s->negotiate_by = DT_NEVER;
    s->stats.refused++;
    rekey_again_before_end(s, now);
    emit(s, now, DT_EPOCH_REFUSED, 0, 0, 1, 0);
}

void dt_epoch_server_heard(struct dt_epoch_server *s, dt_time now, uint32_t no)
{
    struct dt_epoch *e = dt_slots_find(s->e, no);
    if (!e)
        return;
    e->heard = now;
    if (e->phase == DT_EPOCH_RETIRING && e->redundant && !e->was_proved) {
        e->was_proved = true;
        server_choose(s, now);
    }
    if (e->phase == DT_EPOCH_RETIRING || e->was_proved)
        return;
    bool probing = e->phase == DT_EPOCH_PROBING;
    e->phase = DT_EPOCH_PROVED;
    e->was_proved = true;
    e->probe_at = DT_NEVER;
    s->stats.verified++;
    emit(s, now, DT_EPOCH_VERIFIED, no, 0, 0, dt_time_sub(now, e->t0));
    if (!probing)
        return;
    server_choose(s, now);
    if (e->origin == DT_EPOCH_ASKED)
        server_retire_older(s, e, dt_time_add(now, dt_time_min(s->p.pingtime, DT_SEC)));
}

void dt_epoch_server_peer_deleted(struct dt_epoch_server *s, dt_time now, uint32_t no)
{
    struct dt_epoch *e = dt_slots_find(s->e, no);
    if (!e)
        return;
    server_forget(s, now, e);
    emit(s, now, DT_EPOCH_PEER_DELETED, no, 0, 0, 0);
    choose_after(s, now, no == s->out && !s->peer_probes);
}

void dt_epoch_server_retire(struct dt_epoch_server *s, dt_time now, uint32_t no, bool del)
{
    struct dt_epoch *e = dt_slots_find(s->e, no);
    if (!e)
        return;
    e->phase = DT_EPOCH_RETIRING;
    e->redundant = !del;
    e->rekey_at = e->probe_at = DT_NEVER;
    e->del_at = del ? now : DT_NEVER;
    server_choose(s, now);
}

void dt_epoch_server_deleted(struct dt_epoch_server *s, dt_time now, uint32_t no)
{
    struct dt_epoch *e = dt_slots_find(s->e, no);
    if (!e || e->phase != DT_EPOCH_RETIRING)
        return;
    server_forget(s, now, e);
    emit(s, now, DT_EPOCH_DELETED, no, 0, 0, 0);
    server_choose(s, now);
}

static void start_rekey(struct dt_epoch_server *s, dt_time now, uint32_t old, bool asked)
{
    s->negotiating = true;
    s->negotiate_by = dt_time_add(now, s->p.timeout);
    emit(s, now, DT_EPOCH_REKEY, old, asked, 0, 0);
    if (!s->ops->negotiate(s->user, now, old))
        dt_epoch_server_failed(s, now);
}

void dt_epoch_server_rekey(struct dt_epoch_server *s, dt_time now)
{
    if (!s->negotiating && s->out)
        start_rekey(s, now, s->out, true);
}

void dt_epoch_server_exhausted(struct dt_epoch_server *s, dt_time now, uint32_t no)
{
    if (s->out == no)
        dt_epoch_server_retire(s, now, no, true);
}

static void reap_due(struct dt_epoch_server *s, dt_time now)
{
    dt_time last = 0;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        struct dt_epoch *e = &s->e[i];
        if (e->phase == DT_EPOCH_FREE)
            continue;
        dt_time seen = s->ops->last_heard ? s->ops->last_heard(s->user, e->no) : 0;
        if (seen > e->heard && seen <= now)
            e->heard = seen;
        if (e->heard > last)
            last = e->heard;
    }
    dt_time due = dt_time_add(last, dt_epoch_server_reap_after(s));
    if (due > now) {
        s->reap_at = due;
        return;
    }
    s->reap_at = dt_time_add(now, dt_epoch_server_reap_after(s));
    s->ops->liveness(s->user, now);
}

static void server_epoch_due(struct dt_epoch_server *s, dt_time now, struct dt_epoch *e)
{
    uint32_t no = e->no;
    if (dt_slots_end(e, &s->p) <= now) {
        s->stats.expired++;
        server_forget(s, now, e);
        emit(s, now, DT_EPOCH_EXPIRED, no, 0, 0, 0);
        choose_after(s, now, no == s->out);
    } else if (e->del_at <= now) {
        e->del_at = DT_NEVER;
        if (!s->ops->del(s->user, now, no)) {
            server_forget(s, now, e);
            emit(s, now, DT_EPOCH_DELETED, no, 0, 0, 0);
            server_choose(s, now);
        }
    } else if (e->probe_at <= now) {
        e->probe_at = DT_NEVER;
        server_retire_older(s, e, now);
        choose_after(s, now, s->out && s->out < no);
    } else if (e->rekey_at <= now) {
        e->rekey_at = DT_NEVER;
        struct dt_epoch *young = dt_slots_newest(s->e, DT_EPOCH_PROBING);
        struct dt_epoch *best = dt_slots_newest(s->e, DT_EPOCH_PROVED);
        if (!s->negotiating && !(young && young->no > no) && !(best && best->no > no))
            start_rekey(s, now, no, false);
    }
}

void dt_epoch_server_tick(struct dt_epoch_server *s, dt_time now)
{
    if (s->negotiating && s->negotiate_by <= now) {
        s->stats.timeouts++;
        s->negotiating = false;
        s->negotiate_by = DT_NEVER;
        emit(s, now, DT_EPOCH_TIMEOUT, 0, 0, 1, 0);
        s->ops->abandon(s->user, now);
    }
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (s->e[i].phase != DT_EPOCH_FREE)
            server_epoch_due(s, now, &s->e[i]);
    if (s->reap_at <= now)
        reap_due(s, now);
}

dt_time dt_epoch_server_deadline(const struct dt_epoch_server *s)
{
    dt_time at = dt_time_min(s->reap_at, s->negotiating ? s->negotiate_by : DT_NEVER);
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        const struct dt_epoch *e = &s->e[i];
        if (e->phase == DT_EPOCH_FREE)
            continue;
        at = dt_time_min(at, dt_slots_end(e, &s->p));
        at = dt_time_min(at, dt_time_min(e->del_at, dt_time_min(e->probe_at, e->rekey_at)));
    }
    return at;
}

size_t dt_epoch_server_count(const struct dt_epoch_server *s)
{
    size_t n = 0;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        n += s->e[i].phase != DT_EPOCH_FREE;
    return n;
}

void dt_epoch_server_digest(const struct dt_epoch_server *s, dt_time now, struct dt_digest *d)
{
    dt_slots_digest(s->e, s->out, now, d);
    dt_digest_u64(d, (uint64_t)s->out_forced | (uint64_t)s->negotiating << 2 | (uint64_t)s->peer_probes << 3);
    dt_digest_time(d, s->negotiating ? s->negotiate_by : DT_NEVER, now);
    dt_digest_time(d, s->reap_at, now);
}
