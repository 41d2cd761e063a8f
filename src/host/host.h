/* dovetaild's facts: its device, the addresses on it, routes of its tables, its rules, its packet filter, and what holds back probes
 * of discovery. How they are kept: host/reconcile.h.
 *
 * Ours to say is: all routes of our tables, our rules, our packet filter, the state of our device and the addresses on it. Ours
 * to take away is: every route in our tables, our rules, a sysctl that we changed (a process that was killed leaves it so), and
 * addresses of the device that bear our protocol number (a kernel before 5.18 keeps none for addresses: there they stay
 * until the device goes). The device is never taken down. */
#ifndef DT_HOST_HOST_H
#define DT_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "host/facts.h"
#include "host/filter.h"
#include "host/reconcile.h"
#include "net/discovery.h"
#include "net/netlink.h"

/* In the order in which they are set; they are taken away in reverse. */
enum dt_host_kind {
    DT_HOST_FILTER,  /* the packet filter (host/filter.h) */
    DT_HOST_SYSCTL,  /* net.ipv4.conf.all.src_valid_mark is 1: marks count when the way back is looked up */
    DT_HOST_BARRIER, /* a route that leads nowhere, behind those that lead into the device */
    DT_HOST_LINK, /* the device is there and up, has its name and MTU, is a port of nothing, and takes IPv6 */
    DT_HOST_ADDR, /* an address on the device */
    DT_HOST_ROUTE, /* a route into the device */
    DT_HOST_ELSEWHERE, /* a route that leads out of our table: further rules and tables are looked at ("throw") */
    DT_HOST_STEER, /* a routing rule for some packets: a port, a fragment, a pair of networks */
    DT_HOST_RULE,  /* what is not marked looks into our table first */
    DT_HOST_PROBES, /* discovery's probes for hosts of that network end here (net/discovery.h). dt_host_probes_want makes one of
                       all, without a network */
};

/* Of forwarded fragments that may be of a port that a STEER rule names: its table is theirs too, by a rule with this mark. In
 * the device the first one's ports say which are (net/dp.h); the others are dropped there, and not sent in the clear. */
#define DT_HOST_FRAGMENT_MARK 0x44560004u

/* Routing tables beside `table`: all that is in them is ours too. */
#define DT_HOST_TABLES_FROM 17495u
#define DT_HOST_TABLES      1024u
/* Where routing rules of ours stand. */
/* What came out of the device or from this host itself, behind everybody's other rules: by a route of its own, or not by the default route either when its
 * network is in DT_HOST_TABLE_BEHIND (tunnels/behind.c). Just before the kernel's own rule for the main table. */
#define DT_HOST_PRIORITY_BEHIND 32764u /* and the next */
#define DT_HOST_TABLE_BEHIND    (DT_HOST_TABLES_FROM + DT_HOST_TABLES - 1)
#define DT_HOST_TABLE_MAIN      254u
#define DT_HOST_ITSELF          "lo" /* `iif` of what this host sends, as the kernel has it */

#define DT_HOST_PRIORITY_FIRST 17492u
#define DT_HOST_PRIORITY_LAST  17501u

/* Discovery (discovery/host.c): packets that are marked as the data path's, and those to our own side, pass by; what a proxy
 * describes, at the next priority, looks into its table; the third is where the first go to. */
#define DT_HOST_PRIORITY_DISCOVER 17496u
#define DT_HOST_TABLE_DISCOVER    17496u
/* DT_HOST_FRAGMENT_MARK for its proxies with ports. */
#define DT_HOST_DISCOVER_FRAGMENT_MARK 0x44560003u

struct dt_host_fact {
    enum dt_host_kind kind;
    struct dt_prefix
        prefix; /* BARRIER, ROUTE, ELSEWHERE, PROBES: what it is for. ADDR: the address, and its prefix length */
    struct dt_addr src;      /* ROUTE: preferred source; ver 0: none */
    uint32_t mtu;            /* ROUTE: 0: the device's */
    uint32_t table;          /* BARRIER, ROUTE: 0: the first of ours; else one of DT_HOST_TABLES */
    uint8_t ver;             /* RULE: 4 or 6 */
    struct dt_nl_rule rule;  /* STEER: all of it. With a port or a protocol, or discovery's, and `closed`: the filter closes that */
    bool closed;             /* STEER; not compared */
    bool foreign;    /* of what the host has: somebody else's. A foreign route in our table is taken away, or
                                replaced; a foreign address or sysctl is left alone, and serves as well as our own */
    uint32_t metric; /* of a foreign route; so are the next four */
    uint8_t tos;     /* 0: any */
    struct dt_prefix from; /* len 0: any */
    uint32_t nexthop; /* the nexthop object that it leads by; 0: none */
    unsigned by; /* the device that it leads out of; 0: ours, several, none, or that of the nexthop object */
    uint64_t value;  /* FILTER: host/filter.h. PROBES: dt_tap_want */
    bool open;       /* ADDR: its owner closes nothing, and the filter leaves it out; not compared */
    uint32_t owner;  /* of what is wanted: the caller's number; not compared */
};

/* Of struct dt_host_fact, for everything that asks for a sort. */
extern const struct dt_host_sort dt_host_sort;
/* Adds one. 0, or -1: no memory. */
int dt_host_facts_add(struct dt_host_facts *l, const struct dt_host_fact *f);
/* May somebody who is not trusted want it? Of a kind that is wanted from outside, with addresses and lengths as they may be,
 * and nobody else's. */
bool dt_host_fact_ok(const struct dt_host_fact *f);
/* Order by kind, then by what makes two facts the same place in the kernel (prefix, version). 0: the same place. */
int dt_host_place_cmp(const struct dt_host_fact *a, const struct dt_host_fact *b);
bool dt_host_fact_eq(const struct dt_host_fact *a,
                     const struct dt_host_fact *b); /* the same place and the same value */

#define DT_HOST_FACT_STRLEN 128
/* "route 10.1.0.0/16 into the device", for people. Returns buf. */
const char *dt_host_fact_str(char buf[DT_HOST_FACT_STRLEN], const struct dt_host_fact *f);

/* Reverse path filtering (RFC 3704) of IPv4, as the kernel applies it to what comes in by the device; NULL: by any device, the
 * greatest. 0: none, 1: strict, 2: loose; any but 0 drops what comes from an address that is routed into a tunnel, unless the
 * packet is marked and src_valid_mark is 1. */
int dt_host_rp_filter(const char *device);
bool dt_host_src_valid_mark(void);
int dt_host_src_valid_mark_set(bool on, struct dt_err *err);

/* Of all networks of the list's PROBES, at most DT_TAP_PREFIXES, one fact that stands for the table of `tap`. 0, or -1: there are more,
 * or no tap, or no memory. */
int dt_host_probes_want(struct dt_tap *tap, struct dt_host_facts *want);

/* The kernel, as ops for one device and table (host/kernel.c). */
struct dt_host_kernel {
    struct dt_nl *nl;   /* borrowed */
    unsigned ifindex;   /* of the device; may change when it is made anew */
    const char *device; /* its name; borrowed */
    uint32_t mtu;       /* of the device */
    bool ipv6;          /* this host has IPv6: else the device need not */
    uint32_t table, priority, mark;
    struct dt_host_filter *filter; /* borrowed; NULL: none is looked at */
    struct dt_tap *tap;            /* the same */
    /* owned by the functions below */
    bool sysctl_is_ours; /* we changed it */
    struct dt_nl_rules rules;
    uint8_t tables[DT_HOST_TABLES / 8]; /* a bit for each that has or had something of ours */
    struct dt_nl_routes routes;
    struct dt_nl_addrs addrs;
};
int dt_host_kernel_read(struct dt_host_kernel *k, struct dt_host_facts *have, struct dt_err *err);
int dt_host_kernel_change(struct dt_host_kernel *k, bool set, const struct dt_host_fact *f,
                          struct dt_err *err);
void dt_host_kernel_free(struct dt_host_kernel *k);

#endif
