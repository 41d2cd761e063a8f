/* What stands at the ingress and egress places of an interface: queueing disciplines and filters of TC, over rtnetlink.
 * Reading only; under the same rules as net/netlink.h. */
#ifndef DT_NET_NETLINK_TC_H
#define DT_NET_NETLINK_TC_H

#include "net/netlink.h"

/* The queueing discipline at the ingress place, without which there are no filters. */
enum dt_nl_ingress {
    DT_NL_INGRESS_NONE,
    DT_NL_INGRESS_CLSACT, /* has both places */
    DT_NL_INGRESS_PLAIN,  /* "ingress": has no egress place, and keeps clsact from being added */
};
/* No such interface: none. */
int dt_nl_ingress_of(struct dt_nl *nl, unsigned ifindex, enum dt_nl_ingress *out, struct dt_err *err);

/* Does a filter keep the ones behind it from seeing a packet? */
enum dt_nl_ends {
    DT_NL_ENDS_NOTHING, /* what it matches goes on, or it is of another protocol than IPv4 */
    DT_NL_ENDS_SOME,    /* perhaps, of some packets: a program decides, or it matches some only */
    DT_NL_ENDS_ALL,     /* of every IPv4 packet */
};

struct dt_nl_filter {
    uint32_t handle, prog; /* prog: id of the BPF program; 0: none */
    uint16_t pref;
    char kind[16]; /* "bpf", "flower" */
    bool direct;   /* BPF: the program's answer is the verdict */
    enum dt_nl_ends ends;
};
/* The filters of chain 0 at one place, in the order in which they are asked. The struct is the caller's, zeroed before its
 * first use, and is filled anew by each call. No such interface or place: none. */
struct dt_nl_filters {
    struct dt_nl_filter *v;
    size_t n, cap;
};
int dt_nl_filters_of(struct dt_nl *nl, unsigned ifindex, bool egress, struct dt_nl_filters *out,
                     struct dt_err *err);
void dt_nl_filters_free(struct dt_nl_filters *l);

#endif
