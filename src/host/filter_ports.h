/* Inside the host room: the part of the table that knows of ports (host/filter.h). */
#ifndef DT_HOST_FILTER_PORTS_H
#define DT_HOST_FILTER_PORTS_H

#include "net/nft.h"
#include "host/host.h"

/* What is narrowed: packets to `net` of a protocol, to ports from [0] to [1] (0 and 0: any). */
struct filter_port {
    struct dt_prefix net;
    uint8_t proto;
    bool closed; /* else only its fragments are looked after */
    uint16_t ports[2];
};

/* Fills the chains "fragments", which hooks in before anything is routed, and "fragment_marks", to which it jumps: fragments
 * are marked (DT_HOST_FRAGMENT_MARK), since no routing rule sees the ports of a later one. */
void filter_ports_mark(struct dt_nft *n, const struct filter_port *v, size_t count);
/* Fills the chain with what drops and counts, under `counter`: out: what goes there, with the later fragments that nobody
 * marked; in: what comes from there. */
void filter_ports_drop(struct dt_nft *n, const char *chain, bool out, const char *counter,
                       const struct filter_port *v, size_t count);

#endif
