/* The second barrier: a table of nftables, "inet dovetail", that lets nothing closed out of any other device than ours, and
 * nothing in that should have come through a tunnel (RFC 4301 section 5.2). It is of another kind than the routes, so
 * that no single change of the host opens both.
 *
 *   out   what goes to a closed network leaves through our device, or bears the data path's mark, or is dropped. Neighbour
 *         solicitation and advertisement (RFC 4861) go: a peer on the link may be protected itself
 *   in    what comes from a closed network, or to an inside address, and not through our device, is dropped. Let in are
 *         IKE and ESP to this host with their later fragments, ICMP errors to this host, answers to sockets that bear the
 *         data path's mark (names are asked by such), neighbour and router discovery, and DHCP for nobody else
 *   early gives the same, but for what is of the link, the data path's mark before it is routed: with src_valid_mark the
 *         kernel then looks up the way back as it does our own outer packets' (rp_filter), and so do others' rules
 *
 * What is narrowed to a protocol or a port is closed by that alone, in chains of their own (ports_out, ports_in), and its fragments
 * are marked before they are routed. What discovery's proxies describe is closed by both its sides (pairs_out, pairs_in).
 *
 * The table belongs to nobody's socket: it outlives the process, and whoever runs next takes it over. It is compared by
 * what the kernel says of it, so that any change by somebody else is found. */
#ifndef DT_HOST_FILTER_H
#define DT_HOST_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

#define DT_HOST_FILTER_TABLE "dovetail"

struct dt_host_filter;
struct dt_host_facts;

struct dt_host_filter_cfg {
    const char *device; /* borrowed; its name, at most 15 bytes */
    uint32_t mark;      /* of the data path's outer packets */
    uint16_t ike_port, natt_port;
};
/* NULL with *err: this host has no nftables. */
struct dt_host_filter *dt_host_filter_open(const struct dt_host_filter_cfg *cfg, struct dt_err *err);
void dt_host_filter_close(struct dt_host_filter *f); /* NULL is fine; the table stays */

/* Takes from the list what is to be closed (DT_HOST_BARRIER, without what leads elsewhere: DT_HOST_ELSEWHERE), what is inside
 * (DT_HOST_ADDR, if not open), and what is narrowed or discovery's (DT_HOST_STEER), and adds the fact
 * DT_HOST_FILTER, unless nothing is closed and no mark is wanted either (DT_HOST_SYSCTL). 0, or -1: no memory. */
int dt_host_filter_want(struct dt_host_filter *f, struct dt_host_facts *want);

/* The table as the kernel has it, as a fact's value: 0: there is none; else a number that equals the wanted fact's only if the
 * table is what was set last, to the bit. -1 with *err. */
int dt_host_filter_read(struct dt_host_filter *f, uint64_t *value, struct dt_err *err);
int dt_host_filter_set(struct dt_host_filter *f,
                       struct dt_err *err); /* in one transaction: no moment without */
int dt_host_filter_remove(struct dt_host_filter *f, struct dt_err *err); /* none there is no error */

/* Packets that were dropped since this was opened; what a table counted that we replaced or removed is added up. */
struct dt_host_filter_counters {
    uint64_t out, in;
};
int dt_host_filter_counters(struct dt_host_filter *f, struct dt_host_filter_counters *out);

#endif
