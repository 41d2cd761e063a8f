/* What becomes of a packet that leaves through a tunnel: it is dropped, it waits, or it goes out on the tunnel's SA; and
 * the bounded queue of those that wait. The data path (net) and the simulator (sim) use this one code.
 *
 * One thread sets a tunnel's state. Any number of workers choose and hold at once: each has a part of the queue of its
 * own, which nobody else touches, so that the order within a flow is kept and nothing is locked. The bounds hold for all
 * parts together. An SA is an opaque pointer here; its owner keeps it alive while somebody may have chosen it. */
#ifndef DT_HOLD_HOLD_H
#define DT_HOLD_HOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/* ---- the choice ------------------------------------------------------------------------------ */

enum dt_out_state {
    DT_OUT_DROP, /* what matches the tunnel is dropped; this is how a tunnel begins that was zeroed */
    DT_OUT_HOLD, /* it waits */
    DT_OUT_SEND, /* it goes out on the SA; what waited goes first, in order */
};

struct dt_out {
    _Atomic(void *) sa; /* not NULL only in state send */
    atomic_int state;   /* enum dt_out_state */
};

/* `sa` counts with DT_OUT_SEND alone, and is not NULL there. */
void dt_out_set(struct dt_out *o, enum dt_out_state state, void *sa);
/* The SA is taken away: a tunnel that sends on it holds from now on. */
void dt_out_sa_gone(struct dt_out *o, const void *sa);

static inline void *dt_out_sa(const struct dt_out *o)
{
    return atomic_load_explicit(&o->sa, memory_order_acquire);
}

/* What to do with the next packet; *sa is the SA with DT_OUT_SEND, else undefined. Somebody who meets a change half made
 * holds the packet, and the release that follows every change sends it. */
static inline enum dt_out_state dt_out_choose(const struct dt_out *o, void **sa)
{
    *sa = dt_out_sa(o);
    int state = atomic_load_explicit(&o->state, memory_order_acquire);
    return state == DT_OUT_DROP ? DT_OUT_DROP : state == DT_OUT_SEND && *sa ? DT_OUT_SEND : DT_OUT_HOLD;
}

/* ---- the queue ------------------------------------------------------------------------------- */

/* Defaults of the bounds. */
#define DT_HOLD_PACKETS     64           /* of one tunnel; a super-packet counts as one */
#define DT_HOLD_BYTES       (256u << 10) /* of one tunnel */
#define DT_HOLD_TOTAL_BYTES (16u << 20)  /* of all tunnels */
#define DT_HELD_META        16           /* bytes that the owner may keep with each packet */

/* Of all tunnels. */
struct dt_hold_bounds {
    uint32_t packets; /* 0: nothing may wait */
    uint64_t bytes, total_bytes;
    atomic_uint_fast64_t total; /* bytes that wait now */
};

/* Of one tunnel, its parts together. */
struct dt_hold {
    atomic_uint packets;         /* that wait now */
    atomic_uint_fast64_t bytes;  /* likewise */
    atomic_uint_fast64_t passed; /* waited, and were sent or handed on */
    atomic_uint_fast64_t drops;  /* there was no room, or the tunnel went into state drop */
};

/* One packet that waits. */
struct dt_held {
    struct dt_held *next;
    dt_time since;
    uint32_t len;
    _Alignas(8) uint8_t meta[DT_HELD_META];
    uint8_t packet[];
};

/* One worker's part of one tunnel's queue; zeroed, it is empty. */
struct dt_hold_part {
    struct dt_held *head, *last;
    uint32_t packets;
    uint64_t bytes;
};

/* Puts a copy at the end. When there is no room the oldest packets of this part go (RFC 1122 2.3.2.2 wants the latest
 * kept); where even that would make none, the packet itself is refused. *dropped: how many packets went, this one with
 * them. `meta` may be NULL, else DT_HELD_META bytes or fewer. False: it was refused. */
bool dt_hold_put(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part, dt_time now,
                 const void *meta, size_t meta_len, const void *packet, size_t len, unsigned *dropped);

/* After a change of `o`: sends all that waits in this part, in order, drops it all, or leaves it, as dt_out_choose says.
 * Returns how many were dropped. `send` may change the packet, and may not put anything into this part. */
typedef void dt_hold_send(void *ctx, void *sa, struct dt_held *e);
unsigned dt_hold_release(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part,
                         const struct dt_out *o, dt_hold_send *send, void *ctx);

/* Goes through what waits: what waits for longer than `age` is dropped, what `pass` takes (true) is gone, the rest stays
 * in its order. Returns how many were dropped. The same rule for `pass` as for `send`. */
typedef bool dt_hold_pass(void *ctx, struct dt_held *e);
unsigned dt_hold_sift(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part, dt_time now,
                      dt_time age, dt_hold_pass *pass, void *ctx);

/* Frees what waits, and counts nothing: the tunnel is gone. */
void dt_hold_clear(struct dt_hold_bounds *b, struct dt_hold *h, struct dt_hold_part *part);

#endif
