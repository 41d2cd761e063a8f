/* Addresses, routes, rules and links of this host, over rtnetlink. Synchronous, for the control thread: each
 * call is one request and its acknowledgement. Errors carry the kernel's reason, and leave the socket good for the next
 * call: every answer is read to its end, and a socket that cannot be is replaced. A dump that the kernel calls
 * interrupted is repeated. */
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

struct dt_nl_link {
    bool there; /* else nothing below holds */
    bool up;
    bool no_ipv6; /* IPv6 is switched off on it */
    char name[16];
    uint32_t mtu;
    unsigned master; /* the bridge, bond or VRF that it is a port of; 0: none */
};
/* A missing interface is no error. */
int dt_nl_link_get(struct dt_nl *nl, unsigned ifindex, struct dt_nl_link *out, struct dt_err *err);
/* Up, with that name and MTU (0: leave it), a port of nothing. `now` is what it is: a device that has another name has to go
 * down for a moment. */
int dt_nl_link_restore(struct dt_nl *nl, unsigned ifindex, const struct dt_nl_link *now, const char *name,
                       uint32_t mtu, struct dt_err *err);
int dt_nl_link_mtu(struct dt_nl *nl, unsigned ifindex, uint32_t mtu, struct dt_err *err);
/* The largest super-packet that the stack hands the device: bytes and segments. */
int dt_nl_link_gso(struct dt_nl *nl, unsigned ifindex, uint32_t bytes, uint32_t segs, struct dt_err *err);

/* Host address with its prefix length; adding what is there already, or deleting what is not, is no error.
 * IPv6 addresses are usable at once (no duplicate address detection). */
int dt_nl_addr_add(struct dt_nl *nl, unsigned ifindex, const struct dt_addr *addr, uint8_t plen,
                   struct dt_err *err);
int dt_nl_addr_del(struct dt_nl *nl, unsigned ifindex, const struct dt_addr *addr, uint8_t plen,
                   struct dt_err *err);

/* "dovetail" among those who make routes, rules and addresses (rtm_protocol, FRA_PROTOCOL, IFA_PROTO): `ip route show
 * proto 174` lists ours. */
#define DT_NL_PROTOCOL 174
#define DT_NL_DUMP_MAX 262144 /* entries of one dump; more is an error */

struct dt_nl_route {
    struct dt_prefix dst;
    unsigned ifindex;
    struct dt_addr src; /* preferred source; none: the kernel chooses */
    uint32_t table;     /* 0: main */
    uint32_t metric;    /* 0: the kernel's default */
    uint32_t mtu;       /* 0: the device's */
    bool unreachable;   /* leads nowhere: the sender gets an error; ifindex and src are not looked at */
    bool elsewhere;     /* "throw": further rules and tables are looked at; ifindex and src are not */
    bool foreign;       /* of a dump: somebody else made it, or it has a gateway */
    /* What narrows a route of a dump further; none of ours has it. */
    uint8_t tos;           /* of IPv4: packets with this one alone; 0: any */
    struct dt_prefix from; /* of IPv6: packets from there alone; len 0: any */
    uint32_t nexthop;      /* the nexthop object that it leads by; 0: none */
};
int dt_nl_route_add(struct dt_nl *nl, const struct dt_nl_route *r, struct dt_err *err); /* or replace */
/* By dst, table, metric, unreachable, elsewhere, tos, from, ifindex (0: any) and nexthop (0: any); whoever made it. A route
 * that leads by a nexthop object is not found by an ifindex. */
int dt_nl_route_del(struct dt_nl *nl, const struct dt_nl_route *r, struct dt_err *err);

/* The routes of one table, both IP versions. The struct is the caller's, zeroed before its first use, and is filled
 * anew by each call. -1 with *err: it could not be read as a whole (then nothing is known). */
struct dt_nl_routes {
    struct dt_nl_route *v;
    size_t n, cap, kept;
    uint32_t table;
};
int dt_nl_routes_of(struct dt_nl *nl, uint32_t table, struct dt_nl_routes *out, struct dt_err *err);
/* The IPv4 routes of the main table that lead out of one interface (of several by one route: at least one), as the kernel
 * picks them out: of a large table the others are not told. */
int dt_nl_routes_by(struct dt_nl *nl, unsigned ifindex, struct dt_nl_routes *out, struct dt_err *err);
void dt_nl_routes_free(struct dt_nl_routes *l);

/* A routing rule: what matches all of its conditions goes where it says. */
enum dt_nl_rule_action {
    DT_NL_RULE_TABLE,   /* looks into `table` */
    DT_NL_RULE_GOTO,    /* goes on at the rule whose priority is `table` */
    DT_NL_RULE_NOTHING, /* goes on behind it: what others go to */
};
struct dt_nl_rule {
    uint32_t priority, table;
    uint32_t mark; /* the whole mark; 0: any */
    uint8_t ver, action, proto; /* proto 0: any */
    bool invert;                /* what does not match goes there */
    bool not_default;           /* TABLE: a default route in it is as good as none */
    char iif[16];               /* the interface that it came in by; empty: any */
    bool foreign; /* of a dump: somebody else made it, or it has conditions that are not told here; not compared */
    struct dt_prefix src, dst; /* len 0: any; then addr is not looked at */
    uint16_t sport[2], dport[2]; /* from and to; 0 and 0: any. Known of TCP, UDP, DCCP, SCTP and UDP-Lite, not of fragments */
};
int dt_nl_rule_cmp(const struct dt_nl_rule *a, const struct dt_nl_rule *b); /* an order; 0: the same */
#define DT_NL_RULE_STRLEN 192
char *dt_nl_rule_str(char out[DT_NL_RULE_STRLEN], const struct dt_nl_rule *r); /* as `ip rule add` takes it */
/* Adding what is there already, or deleting what is not, is no error. */
int dt_nl_rule_add(struct dt_nl *nl, const struct dt_nl_rule *r, struct dt_err *err);
int dt_nl_rule_del(struct dt_nl *nl, const struct dt_nl_rule *r, struct dt_err *err);

/* The rules of both IP versions that bear our protocol number, or stand at a priority from `from` to `to`; under the same
 * terms as dt_nl_routes_of. */
struct dt_nl_rules {
    struct dt_nl_rule *v;
    size_t n, cap;
    uint32_t from, to;
};
int dt_nl_rules_of(struct dt_nl *nl, uint32_t from, uint32_t to, struct dt_nl_rules *out, struct dt_err *err);
void dt_nl_rules_free(struct dt_nl_rules *l);

/* How a marked packet to dst would leave: *src gets the source address the kernel prefers, *ifindex the
 * interface (either may be NULL). Fails when there is no route. */
int dt_nl_route_get(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_addr *src,
                    unsigned *ifindex, struct dt_err *err);

/* How a packet that comes in by interface `iif` would leave (0: one of this host's own), unmarked, with all that routing rules may
 * look at. proto 0: of no protocol in particular; else TCP, UDP or ICMP. Fails when there is no route, and for what the
 * kernel would not take in. */
struct dt_nl_between {
    struct dt_addr src, dst;
    uint8_t proto;
    uint16_t sport, dport;
    unsigned iif;
};
int dt_nl_route_between(struct dt_nl *nl, const struct dt_nl_between *p, unsigned *ifindex, struct dt_err *err);

/* The prefix of the route that a marked packet to dst would take; len 0: a default route. */
int dt_nl_route_match(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_prefix *matched,
                      struct dt_err *err);

/* The same of a packet that is not marked, of a protocol (TCP, UDP or ICMP; of another it fails) to a port (0: none). */
int dt_nl_route_get_port(struct dt_nl *nl, const struct dt_addr *dst, uint8_t proto, uint16_t port,
                         unsigned *ifindex, struct dt_err *err);

/* Every address of an interface (0: of all), under the same rules as dt_nl_routes_of. No such interface: none. */
struct dt_nl_addr {
    unsigned ifindex;
    struct dt_addr addr;
    uint8_t len;
    bool link_scope; /* link-local or loopback */
    bool ours;       /* bears DT_NL_PROTOCOL; never on a kernel before 5.18 */
};
struct dt_nl_addrs {
    struct dt_nl_addr *v;
    size_t n, cap;
};
int dt_nl_addrs_of(struct dt_nl *nl, unsigned ifindex, struct dt_nl_addrs *out, struct dt_err *err);
void dt_nl_addrs_free(struct dt_nl_addrs *l);

/* A socket that becomes readable when links, addresses, routes or rules change; -1 on failure. drain says whether
 * there was such news; that some of it was lost, since the socket had no room (ENOBUFS), is news too. A libuv loop needs
 * net/watch.h to hear of anything after that. The caller closes it with close(2). */
int dt_nl_monitor_open(struct dt_err *err);
bool dt_nl_monitor_drain(int fd);

/* The same for a choice of news; links, IPv4 addresses and IPv4 routes always. */
struct dt_nl_watch {
    bool ipv6;    /* addresses and routes of IPv6 */
    bool rules;   /* routing rules */
    bool tc;      /* queueing disciplines and filters */
    bool sysctls; /* of interfaces and IPv4: forwarding, rp_filter (of others there is no news) */
    unsigned
        routes_by; /* of routes only default ones, those by this interface, and those by several or none; 0: all */
};
int dt_nl_watch_open(const struct dt_nl_watch *w, struct dt_err *err);
/* The interface has another index now. 0, or -1 with errno. */
int dt_nl_watch_routes_by(int fd, unsigned ifindex);

#endif
