/* Inside the host room: the part of the table that knows of ports, and of pairs of networks (host/filter.h). */
#ifndef DT_HOST_FILTER_PORTS_H
#define DT_HOST_FILTER_PORTS_H

#include "base/hash.h"
#include "host/host.h"
#include "net/nft.h"

/* What is narrowed: packets to `net` of a protocol (0: any), to ports from [0] to [1] (0 and 0: any). Of discovery: `from` a network,
 * and from a port. */
struct filter_port {
    struct dt_prefix from, net; /* len 0: any */
    uint8_t ver, proto;
    bool pair;   /* discovery's */
    bool closed; /* else only its fragments are looked after */
    uint16_t ports[2], from_ports[2];
};

/* Zeroed before its first use. */
struct filter_ports {
    struct filter_port *v;
    size_t n, cap;
    bool narrowed, pairs;   /* some are tunnels', some are discovery's */
    struct dt_prefix *side; /* discovery's own side: what is meant for it is not closed */
    size_t nside, side_cap;
};

enum filter_added { FILTER_NO_MEMORY = -1, FILTER_NOTHING, FILTER_NARROWED, FILTER_PAIR };
/* Takes what a DT_HOST_STEER says. */
enum filter_added filter_ports_add(struct filter_ports *l, const struct dt_host_fact *x);
void filter_ports_forget(struct filter_ports *l);
void filter_ports_free(struct filter_ports *l);
void filter_ports_digest(const struct filter_ports *l, struct dt_digest *d);

/* Fills the chains "fragments", which hooks in before anything is routed, and "fragment_marks", to which it jumps: fragments
 * are marked (DT_HOST_FRAGMENT_MARK, DT_HOST_DISCOVER_FRAGMENT_MARK), since no routing rule sees the ports of a later one. */
void filter_ports_mark(struct dt_nft *n, const struct filter_ports *l);
/* The chain ends for what goes to discovery's own side (out), or comes from it (in). */
void filter_ports_return(struct dt_nft *n, const char *chain, bool out, const struct filter_ports *l);
/* Fills the chain with what drops and counts, under `counter`, those that are discovery's or the others: out: what goes there, with the
 * later fragments that nobody marked; in: what comes from there. */
void filter_ports_drop(struct dt_nft *n, const char *chain, bool out, bool pair, const char *counter,
                       const struct filter_ports *l);
/* ICMP errors quote the packet that they are about, and leave from an address that may be nobody's who is protected: the chain "out"
 * leads them to the chain "quoted", which drops and counts those about packets that came from there. */
void filter_ports_quoted(struct dt_nft *n, const char *counter, const struct filter_ports *l);

#endif
