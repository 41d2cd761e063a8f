#include "epoch/slots.h"

#include <string.h>

struct dt_epoch *dt_slots_find(struct dt_epoch *e, uint32_t no)
{
    if (no == 0)
        return NULL;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (e[i].phase != DT_EPOCH_FREE && e[i].no == no)
            return &e[i];
    return NULL;
}

struct dt_epoch *dt_slots_newest(struct dt_epoch *e, enum dt_epoch_phase phase)
{
    struct dt_epoch *best = NULL;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (e[i].phase == phase && (!best || e[i].no > best->no))
            best = &e[i];
    return best;
}

/* By their numbers, free ones last. Whatever is due at once for several is then done to the oldest first, and does not
 * depend on which places were free when they came. */
static void slots_order(struct dt_epoch *e)
{
    for (unsigned i = 1; i < DT_EPOCH_MAX; i++)
        for (unsigned k = i; k > 0; k--) {
            bool after =
                e[k - 1].phase == DT_EPOCH_FREE || (e[k].phase != DT_EPOCH_FREE && e[k].no < e[k - 1].no);
            if (!after || e[k].phase == DT_EPOCH_FREE)
                break;
            struct dt_epoch moved = e[k];
            e[k] = e[k - 1];
            e[k - 1] = moved;
        }
}

static struct dt_epoch *slots_free(struct dt_epoch *e)
{
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (e[i].phase == DT_EPOCH_FREE)
            return &e[i];
    return NULL;
}

struct dt_epoch *dt_slots_take(struct dt_epoch *e, uint32_t keep, uint32_t *pushed)
{
    struct dt_epoch *oldest = NULL;
    *pushed = 0;
    slots_order(e);
    struct dt_epoch *room = slots_free(e);
    if (room)
        return room;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        if (e[i].no == keep)
            continue;
        /* Epochs that retire go before others, older before newer. */
        bool retiring = e[i].phase == DT_EPOCH_RETIRING;
        if (!oldest || (retiring && oldest->phase != DT_EPOCH_RETIRING) ||
            (retiring == (oldest->phase == DT_EPOCH_RETIRING) && e[i].no < oldest->no))
            oldest = &e[i];
    }
    *pushed = oldest->no;
    oldest->phase = DT_EPOCH_FREE;
    slots_order(e);
    return slots_free(e);
}

void dt_slots_start(struct dt_epoch *s, uint32_t no, enum dt_epoch_origin origin, dt_time now)
{
    *s = (struct dt_epoch){.no = no,
                           .phase = DT_EPOCH_PROBING,
                           .origin = (uint8_t)origin,
                           .t0 = now,
                           .heard = now,
                           .rekey_at = DT_NEVER,
                           .probe_at = DT_NEVER,
                           .del_at = DT_NEVER};
}

dt_time dt_slots_end(const struct dt_epoch *s, const struct dt_epoch_params *p)
{
    return dt_time_add(s->t0, p->keylife);
}

dt_time dt_slots_rekey_time(const struct dt_epoch *s, const struct dt_epoch_params *p,
                            const struct dt_rand *r)
{
    dt_time last = dt_time_sub(dt_slots_end(s, p), p->rekeymargin);
    dt_time span = p->rekeymargin / 100 * p->rekeyfuzz;
    /* From `last` on, data may go out unverified: leave a rekey the time that it takes, as far as the window goes. */
    dt_time need = dt_time_min(p->timeout, span / 2);
    dt_time at = dt_time_sub(last, need + dt_rand_below(r, span - need + 1));
    return at < s->t0 ? s->t0 : at;
}

void dt_digest_time(struct dt_digest *d, dt_time t, dt_time now)
{
    /* Past times are all "due": how long they have been so changes nothing. */
    dt_digest_u64(d, t == DT_NEVER ? DT_NEVER : dt_time_sub(t, now));
}

void dt_slots_digest(const struct dt_epoch *e, uint32_t out, dt_time now, struct dt_digest *d)
{
    uint32_t top = 0;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
        if (e[i].phase != DT_EPOCH_FREE && e[i].no > top)
            top = e[i].no;
    uint64_t last = 0;
    for (;;) {
        const struct dt_epoch *next = NULL;
        for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
            if (e[i].phase != DT_EPOCH_FREE && e[i].no > last && (!next || e[i].no < next->no))
                next = &e[i];
        if (!next)
            break;
        last = next->no;
        dt_digest_u64(d, (uint64_t)(top - next->no) << 32 | (uint32_t)next->phase << 16 |
                             (uint32_t)next->origin << 8 | (uint32_t)next->redundant << 5 |
                             (uint32_t)next->elsewhere << 4 | (uint32_t)next->idle << 3 |
                             (uint32_t)next->verified << 6 | (uint32_t)next->was_proved << 2 |
                             (uint32_t)next->dead << 1 | (next->no == out));
        dt_digest_u64(d, next->tries);
        dt_digest_u64(d, now - next->t0);
        dt_digest_u64(d, now - next->heard);
        dt_digest_time(d, next->rekey_at, now);
        dt_digest_time(d, next->probe_at, now);
        dt_digest_time(d, next->del_at, now);
    }
    dt_digest_u64(d, out ? top - out : DT_NEVER);
}

struct dt_epoch_params dt_slots_sane(const struct dt_epoch_params *p)
{
    struct dt_epoch_params s = *p;
    dt_time *least[] = {&s.keylife, &s.maxidle, &s.pingtime, &s.pingtime2, &s.timeout, &s.reopen_min};
    for (size_t i = 0; i < sizeof(least) / sizeof(least[0]); i++)
        if (*least[i] < DT_MSEC)
            *least[i] = DT_MSEC;
    if (s.rekeymargin > s.keylife / 2)
        s.rekeymargin = s.keylife / 2;
    if (s.pingtries == 0)
        s.pingtries = 1;
    if (s.pingtries2 == 0)
        s.pingtries2 = 1;
    if (s.reopen_max < s.reopen_min)
        s.reopen_max = s.reopen_min;
    return s;
}
