/* What both engines share: the handful of epochs of one tunnel. Private to the room. */
#ifndef DT_EPOCH_SLOTS_H
#define DT_EPOCH_SLOTS_H

#include "epoch/epoch.h"

struct dt_epoch *dt_slots_find(struct dt_epoch *e, uint32_t no);
/* The newest in that phase, or NULL. */
struct dt_epoch *dt_slots_newest(struct dt_epoch *e, enum dt_epoch_phase phase);
/* A slot for a new epoch. When all are taken, the oldest but `keep` makes room: *pushed is its number, else
 * 0. */
struct dt_epoch *dt_slots_take(struct dt_epoch *e, uint32_t keep, uint32_t *pushed);
void dt_slots_start(struct dt_epoch *s, uint32_t no, enum dt_epoch_origin origin, dt_time now);
dt_time dt_slots_end(const struct dt_epoch *s, const struct dt_epoch_params *p); /* t0 + keylife */
/* Random in [t0 + keylife - (1 + rekeyfuzz) * rekeymargin, t0 + keylife - rekeymargin], and there not so near the end
 * that a negotiation could not be done (`timeout`, or half the window where that is less). */
dt_time dt_slots_rekey_time(const struct dt_epoch *s, const struct dt_epoch_params *p,
                            const struct dt_rand *r);
/* Order by number must not depend on the slot: digests epochs in rising order, numbers relative to the
 * newest. */
void dt_slots_digest(const struct dt_epoch *e, uint32_t out, dt_time now, struct dt_digest *d);
void dt_digest_time(struct dt_digest *d, dt_time t, dt_time now); /* as a distance */
/* Parameters that cannot stall or spin an engine. */
struct dt_epoch_params dt_slots_sane(const struct dt_epoch_params *p);

#endif
