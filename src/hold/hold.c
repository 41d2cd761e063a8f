#include "hold/hold.h"

#include <stdlib.h>
#include <string.h>

/* ---- the choice ------------------------------------------------------------------------------ */

void dt_out_set(struct dt_out *o, enum dt_out_state state, void *sa)
{
    /* The SA first: who sees the new state sees it too. */
    atomic_store_explicit(&o->sa, state == DT_OUT_SEND ? sa : NULL, memory_order_release);
    atomic_store(&o->state, state);
}

void dt_out_sa_gone(struct dt_out *o, const void *sa)
{
    if (dt_out_sa(o) != sa)
        return;
    atomic_store(&o->state, DT_OUT_HOLD);
    atomic_store_explicit(&o->sa, NULL, memory_order_release);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void hold_unreserve(struct dt_hold_bounds *b, struct dt_hold *h, size_t len)
{
    atomic_fetch_sub(&h->packets, 1);
    atomic_fetch_sub(&h->bytes, len);
    atomic_fetch_sub(&b->total, len);
}

/* Reserves first, so that workers together cannot pass the bounds. */
static bool hold_reserve(struct dt_hold_bounds *b, struct dt_hold *h, size_t len)
{
    unsigned packets = atomic_fetch_add(&h->packets, 1);
    uint64_t bytes = atomic_fetch_add(&h->bytes, len);
    uint64_t total = atomic_fetch_add(&b->total, len);
    if (packets < b->packets && bytes + len <= b->bytes && total + len <= b->total_bytes)
        return true;
    hold_unreserve(b, h, len);
    return false;
}

/* Would it fit if nothing of this part waited? */
static bool hold_could_fit(const struct dt_hold_bounds *b, const struct dt_hold *h,
                           const struct dt_hold_part *part, size_t len)
{
    return atomic_load(&h->packets) - part->packets < b->packets &&
           atomic_load(&h->bytes) - part->bytes + len <= b->bytes &&
           atomic_load(&b->total) - part->bytes + len <= b->total_bytes;
}

static struct dt_held *part_take(struct dt_hold_part *part)
{
    struct dt_held *e = part->head;
    if (e) {
        part->head = e->next;
        part->packets--;
        part->bytes -= e->len;
    }
    return e;
}

static void part_append(struct dt_hold_part *part, struct dt_held *e)
{
    e->next = NULL;
    if (part->head)
        part->last->next = e;
    else
        part->head = e;
    part->last = e;
    part->packets++;
    part->bytes += e->len;
}

static struct dt_held *hold_take(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part)
{
    struct dt_held *e = part_take(part);
    if (e)
        hold_unreserve(b, h, e->len);
    return e;
}

/* Makes room by dropping the oldest of this part. Returns whether the room is reserved. */
static bool hold_make_room(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part, size_t len,
                           unsigned *dropped)
{
    while (!hold_reserve(b, h, len)) {
        struct dt_held *oldest = hold_could_fit(b, h, part, len) ? hold_take(b, h, part) : NULL;
        if (!oldest)
            return false;
        free(oldest);
        ++*dropped;
    }
    return true;
}

bool dt_hold_put(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part, dt_time now,
                 const void *meta, size_t meta_len, const void *packet, size_t len, unsigned *dropped)
{
    struct dt_held *e = NULL;
    *dropped = 0;
    if (hold_make_room(b, h, part, len, dropped) && !(e = malloc(sizeof *e + len)))
        hold_unreserve(b, h, len);
    *dropped += !e;
    atomic_fetch_add_explicit(&h->drops, *dropped, memory_order_relaxed);
    if (!e)
        return false;
    e->since = now;
    e->len = (uint32_t)len;
    if (meta)
        memcpy(e->meta, meta, meta_len);
    memcpy(e->packet, packet, len);
    part_append(part, e);
    return true;
}

unsigned dt_hold_release(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part,
                         const struct dt_out *o, dt_hold_send *send, void *ctx)
{
    void *sa;
    unsigned dropped = 0;
    enum dt_out_state state = dt_out_choose(o, &sa);
    if (state == DT_OUT_HOLD)
        return 0;
    for (struct dt_held *e; (e = hold_take(b, h, part)); free(e)) {
        if (state == DT_OUT_SEND) {
            atomic_fetch_add_explicit(&h->passed, 1, memory_order_relaxed);
            send(ctx, sa, e);
        } else {
            atomic_fetch_add_explicit(&h->drops, 1, memory_order_relaxed);
            dropped++;
        }
    }
    return dropped;
}

unsigned dt_hold_sift(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part, dt_time now,
                      dt_time age, dt_hold_pass *pass, void *ctx)
{
    struct dt_hold_part stay = {.head = NULL};
    unsigned dropped = 0;
    for (struct dt_held *e; (e = part_take(part));) {
        bool old = e->since + age < now;
        if (!old && !pass(ctx, e)) {
            part_append(&stay, e);
            continue;
        }
        hold_unreserve(b, h, e->len);
        atomic_fetch_add_explicit(old ? &h->drops : &h->passed, 1, memory_order_relaxed);
        dropped += old;
        free(e);
    }
    *part = stay;
    return dropped;
}

void dt_hold_clear(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part)
{
    for (struct dt_held *e; (e = hold_take(b, h, part)); free(e))
        ;
}
