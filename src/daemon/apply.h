/* A configuration: what is wanted, what is, and the difference. */
#ifndef DT_DAEMON_APPLY_H
#define DT_DAEMON_APPLY_H

#include <jansson.h>

#include "config/config.h"

struct daemon;

/* Takes what it needs out of *c; the report has `added`, `changed`, `removed` (names), `unchanged` and `clients_ended`
 * (numbers). -1 with *err: something could not be done; everything else of it is in force. */
int daemon_apply(struct daemon *d, struct dt_config *c, json_t *report, struct dt_err *err);
enum reload {
    RELOAD_DONE,
    RELOAD_REFUSED, /* *bad says why, and wants a free (NULL: nobody asks); nothing was changed */
    RELOAD_PARTLY,  /* it is in force, except for what *err says */
};
enum reload daemon_reload(struct daemon *d, json_t *report, struct dt_config *bad, struct dt_err *err);

#endif
