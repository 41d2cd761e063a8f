/* What tunnels and gateways want of the host (host/host.h). Control thread. */
#ifndef DT_TUNNELS_ROUTES_H
#define DT_TUNNELS_ROUTES_H

#include "base/err.h"
#include "base/time.h"

struct daemon;
struct dt_config;
struct tun;
struct gate;

struct routes {
    bool begun;          /* the host is kept as it is wanted */
    bool has_filter;     /* this host has nftables */
    bool changed;        /* since the keeper was told what is wanted */
    bool said;           /* it was told at all */
    dt_time flush_after; /* it is told at the end of a turn, but not before */
    dt_time look_at;     /* the slow timer */
    uint64_t failed;     /* looks that found the host not as it is wanted, after all that could be done */
};

int routes_begin(struct daemon *d, struct dt_err *err);
void routes_end(
    struct daemon *d); /* before tunnels_clear: takes away what was set, but for what is always closed */
void routes_want_again(struct daemon *d); /* what is wanted may have changed: routes_flush looks at it */
void routes_flush(
    struct daemon *d); /* before anybody is told that something is up, and at the end of each turn */
int routes_open(struct dt_err *err); /* takes away what is left closed; no daemon is needed */
int routes_close(struct dt_config *c,
                 struct dt_err *err);    /* closes what is always closed; no daemon is needed */
void routes_reconcile(struct daemon *d); /* at news from the kernel, and on a slow timer */
const char *routes_missing(struct daemon *d,
                           const struct tun *t); /* why its packets have no way into it; NULL */
const char *routes_gateway_missing(struct daemon *d,
                                   const struct gate *g); /* the same of a gateway's clients */

#endif
