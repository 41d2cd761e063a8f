/* Between which two addresses and ports the datagrams of a session or an SA travel. */
#ifndef DT_BASE_PATH_H
#define DT_BASE_PATH_H

#include <stdbool.h>

#include "base/addr.h"

#define DT_PORT_IKE  500  /* RFC 7296 section 2 */
#define DT_PORT_NATT 4500 /* RFC 3948: IKE behind a non-ESP marker, and ESP in UDP */

/* Seen from this host: datagrams go out from `local` to `remote` and come in from `remote` to `local`. */
struct dt_path {
    struct dt_addrport local, remote;
    bool natt; /* UDP 4500 framing: the non-ESP marker before IKE, ESP in UDP, keep-alives (RFC 3948) */
};

static inline bool dt_path_eq(const struct dt_path *a, const struct dt_path *b)
{
    return a->natt == b->natt && dt_addrport_eq(&a->local, &b->local) &&
           dt_addrport_eq(&a->remote, &b->remote);
}

#endif
