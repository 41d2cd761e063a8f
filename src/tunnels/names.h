/* The name servers that gateways gave, for the resolver of this host (docs/host.md, Names). One device has one set of them. Control
 * thread. */
#ifndef DT_TUNNELS_NAMES_H
#define DT_TUNNELS_NAMES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/time.h"
#include "keeper/keeper.h"

struct daemon;
struct tun;

struct link_names {
    bool changed;               /* what is wanted may have */
    bool said;                  /* the keeper was asked at all */
    bool running;               /* the keeper has not said yet what came of it */
    int fd;                     /* then: to hear from */
    dt_time look_at;            /* is it so still? */
    struct dt_keeper_names set; /* what was asked for last */
    char tunnel[DT_NAME_MAX];   /* whose that is; empty: nobody's */
    int by;                     /* DT_KEEPER_BY_RESOLVED, ...; 0: nothing came of it */
    char why[DT_ERR_TEXT];      /* then, when it is known */
};

void names_tick(struct daemon *d, dt_time now); /* now and then; does not wait */
void names_end(struct daemon *d);               /* what is set is taken back by the keeper at its end */
/* Adds to a tunnel's status who asks its servers, or why nobody does. */
void names_tell(struct daemon *d, const struct tun *t, json_t *o);

#endif
