/* Addresses, routes, rules and links of this host, over rtnetlink. Synchronous, for the control thread: each
 * call is one request and its acknowledgement. Errors carry the kernel's reason. */
#ifndef DT_NET_NETLINK_H
#define DT_NET_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

struct dt_nl;
struct dt_nl *dt_nl_open(struct dt_err *err);
void dt_nl_close(struct dt_nl *nl); /* NULL is fine */

/* The index of an interface by name; 0 and *err when there is none. */
unsigned dt_nl_ifindex(struct dt_nl *nl, const char *name, struct dt_err *err);
int dt_nl_link_up(struct dt_nl *nl, unsigned ifindex, uint32_t mtu, struct dt_err *err); /* mtu 0: leave it */

int dt_nl_link_mtu(struct dt_nl *nl, unsigned ifindex, uint32_t mtu, struct dt_err *err);
/* The largest super-packet that the stack hands the device: bytes and segments. */
int dt_nl_link_gso(struct dt_nl *nl, unsigned ifindex, uint32_t bytes, uint32_t segs, struct dt_err *err);

/* Host address with its prefix length; adding what is there already, or deleting what is not, is no error.
 * IPv6 addresses are usable at once (no duplicate address detection). */
int dt_nl_addr_add(struct dt_nl *nl, unsigned ifindex, const struct dt_addr *addr, uint8_t plen,
                   struct dt_err *err);
int dt_nl_addr_del(struct dt_nl *nl, unsigned ifindex, const struct dt_addr *addr, uint8_t plen,
                   struct dt_err *err);

struct dt_nl_route {
    struct dt_prefix dst;
    unsigned ifindex;
    struct dt_addr src; /* preferred source; none: the kernel chooses */
    uint32_t table;     /* 0: main */
    uint32_t metric;    /* 0: the kernel's default */
    uint32_t mtu;       /* 0: the device's */
};
int dt_nl_route_add(struct dt_nl *nl, const struct dt_nl_route *r, struct dt_err *err); /* or replace */
int dt_nl_route_del(struct dt_nl *nl, const struct dt_nl_route *r, struct dt_err *err);

/* "not from all fwmark MARK lookup TABLE" at `priority`, for one IP version: what is not marked looks into
 * TABLE first (net/datapath.h, Loops). Deleting what is not there is no error; so a daemon deletes at start
 * what a killed one may have left. */
int dt_nl_rule_add(struct dt_nl *nl, uint8_t ver, uint32_t mark, uint32_t table, uint32_t priority,
                   struct dt_err *err);
int dt_nl_rule_del(struct dt_nl *nl, uint8_t ver, uint32_t mark, uint32_t table, uint32_t priority,
                   struct dt_err *err);

/* How a marked packet to dst would leave: *src gets the source address the kernel prefers, *ifindex the
 * interface (either may be NULL). Fails when there is no route. */
int dt_nl_route_get(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_addr *src,
                    unsigned *ifindex, struct dt_err *err);

/* Every address of this host that is usable as a source (no link-local ones, nothing of interface `skip`), at
 * most max; returns how many. */
int dt_nl_addrs(struct dt_nl *nl, unsigned skip, struct dt_addr *out, int max, struct dt_err *err);

/* A socket that becomes readable when links, addresses or routes change; -1 on failure. drain says whether
 * there was such news. The caller closes it with close(2). */
int dt_nl_monitor_open(struct dt_err *err);
bool dt_nl_monitor_drain(int fd);

#endif
