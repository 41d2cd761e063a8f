/* What the two halves of the client's engine tell each other: client.c, which has its epochs, and negotiation.c, which asks for
 * them. Private to the room. */
#ifndef DT_EPOCH_NEGOTIATION_H
#define DT_EPOCH_NEGOTIATION_H

#include "epoch/slots.h"

/* ---- client.c ---- */

void dt_client_emit(struct dt_epoch_client *c, dt_time now, enum dt_epoch_event_kind kind, uint32_t epoch,
                    uint32_t other, uint32_t n, dt_time took);
/* Anew: which epoch carries data? */
void dt_client_choose(struct dt_epoch_client *c, dt_time now);
/* It carries no data any more, and still receives; its DELETE goes out at del_at. */
void dt_client_retire(struct dt_epoch *e, dt_time del_at);

/* ---- negotiation.c ---- */

enum drop {
    DROP_SILENT,   /* the peer does not answer, or the way to it is gone */
    DROP_UNPROVED, /* it answers, but its epochs cannot be verified */
    DROP_CHANGED,  /* it answers, and what was agreed with it holds no more */
    DROP_REFUSED,  /* its word ended what was asked last */
};

void dt_negotiation_start(struct dt_epoch_client *c, dt_time now); /* at once */
void dt_negotiation_want(struct dt_epoch_client *c, dt_time now);  /* as soon as it may be */
void dt_negotiation_timed_out(struct dt_epoch_client *c, dt_time now);
void dt_negotiation_open_session(struct dt_epoch_client *c, dt_time now);
/* The next session waits, longer each time. */
void dt_negotiation_wait_and_open(struct dt_epoch_client *c, dt_time now);
void dt_negotiation_drop_and_open(struct dt_epoch_client *c, dt_time now, enum drop why);
/* The epoch that carries data, save one that is still on probation or answers no more; else NULL. */
const struct dt_epoch *dt_client_carried(const struct dt_epoch_client *c);

#endif
