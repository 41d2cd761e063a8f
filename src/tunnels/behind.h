/* Networks of this host's side of a tunnel that had a route of their own, and have none now. Control thread. */
#ifndef DT_TUNNELS_BEHIND_H
#define DT_TUNNELS_BEHIND_H

#include "base/addr.h"
#include "host/host.h"
#include "net/netlink.h"

struct daemon;

struct behind {
    struct dt_prefix net[32];
    size_t n;
    bool full;
};

void behind_look(struct daemon *d, const struct dt_nl_addrs *addrs); /* addrs: of this host */
/* Adds what is wanted for all gateways (whose owner is `gateways`) and tunnels (their id). 0, or -1: no memory. */
int behind_want(struct daemon *d, struct dt_host_facts *facts, uint32_t gateways);

#endif
