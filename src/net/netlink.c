#include "net/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dt_nl {
    struct mnl_socket *sock;
    unsigned port;
    uint32_t seq;
    char buf[8192];
};

struct dt_nl *dt_nl_open(struct dt_err *err)
{
    struct dt_nl *nl = calloc(1, sizeof *nl);
    if (nl)
        nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!nl || !nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        dt_err_set(err, 0, "no rtnetlink socket: %s", strerror(errno));
        dt_nl_close(nl);
        return NULL;
    }
    int on = 1;
    mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    nl->port = mnl_socket_get_portid(nl->sock);
    return nl;
}

void dt_nl_close(struct dt_nl *nl)
{
    if (!nl)
        return;
    if (nl->sock)
        mnl_socket_close(nl->sock);
    free(nl);
}

/* ---- requests ------------------------------------------------------------------------------------ */

static struct nlmsghdr *begin(struct dt_nl *nl, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(nl->buf);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++nl->seq;
    return h;
}

/* Sends, then hands every answer to cb. 0, or -1 with errno. */
static int talk(struct dt_nl *nl, struct nlmsghdr *h, mnl_cb_t cb, void *ctx)
{
    uint32_t seq = h->nlmsg_seq;
    if (mnl_socket_sendto(nl->sock, h, h->nlmsg_len) < 0)
        return -1;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof nl->buf);
        if (n < 0)
            return -1;
        int rc = mnl_cb_run(nl->buf, (size_t)n, seq, nl->port, cb, ctx);
        if (rc < 0)
            return -1;
        if (rc == MNL_CB_STOP)
            return 0;
    }
}

static int done(struct dt_nl *nl, struct nlmsghdr *h)
{
    h->nlmsg_flags |= NLM_F_ACK;
    return talk(nl, h, NULL, NULL);
}

static uint8_t family(uint8_t ver)
{
    return ver == 4 ? AF_INET : AF_INET6;
}

static void put_addr(struct nlmsghdr *h, uint16_t type, const struct dt_addr *a)
{
    mnl_attr_put(h, type, dt_addr_size(a), a->b);
}

static struct dt_addr get_addr(const struct nlattr *a, uint8_t fam)
{
    if (fam == AF_INET && mnl_attr_get_payload_len(a) == 4)
        return dt_addr4_bytes(mnl_attr_get_payload(a));
    if (fam == AF_INET6 && mnl_attr_get_payload_len(a) == 16)
        return dt_addr6_bytes(mnl_attr_get_payload(a));
    return (struct dt_addr){.ver = 0};
}

/* ---- links --------------------------------------------------------------------------------------- */

unsigned dt_nl_ifindex(struct dt_nl *nl, const char *name, struct dt_err *err)
{
    unsigned index = if_nametoindex(name);
    if (!index)
        dt_err_set(err, 0, "there is no interface '%s'", name);
    return index;
}

static struct nlmsghdr *begin_link(struct dt_nl *nl, unsigned ifindex, unsigned flags)
{
    struct nlmsghdr *h = begin(nl, RTM_NEWLINK, 0);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof *ifi);
    ifi->ifi_index = (int)ifindex;
    ifi->ifi_flags = flags;
    ifi->ifi_change = flags;
    return h;
}

int dt_nl_link_up(struct dt_nl *nl, unsigned ifindex, uint32_t mtu, struct dt_err *err)
{
    struct nlmsghdr *h = begin_link(nl, ifindex, IFF_UP);
    if (mtu)
        mnl_attr_put_u32(h, IFLA_MTU, mtu);
    if (done(nl, h) < 0)
        return dt_err_set(err, 0, "cannot bring interface %u up: %s", ifindex, strerror(errno));
    return 0;
}

int dt_nl_link_mtu(struct dt_nl *nl, unsigned ifindex, uint32_t mtu, struct dt_err *err)
{
    struct nlmsghdr *h = begin_link(nl, ifindex, 0);
    mnl_attr_put_u32(h, IFLA_MTU, mtu);
    if (done(nl, h) < 0)
        return dt_err_set(err, 0, "cannot set the MTU of interface %u to %u: %s", ifindex, mtu,
                          strerror(errno));
    return 0;
}

int dt_nl_link_gso(struct dt_nl *nl, unsigned ifindex, uint32_t bytes, uint32_t segs, struct dt_err *err)
{
    struct nlmsghdr *h = begin_link(nl, ifindex, 0);
    mnl_attr_put_u32(h, IFLA_GSO_MAX_SIZE, bytes);
    mnl_attr_put_u32(h, IFLA_GSO_MAX_SEGS, segs);
    if (done(nl, h) < 0)
        return dt_err_set(err, 0, "cannot limit super-packets of interface %u: %s", ifindex, strerror(errno));
    return 0;
}

/* ---- addresses ----------------------------------------------------------------------------------- */

static int change_addr(struct dt_nl *nl, bool add, unsigned ifindex, const struct dt_addr *addr, uint8_t plen)
{
    struct nlmsghdr *h = begin(nl, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof *ifa);
    ifa->ifa_family = family(addr->ver);
    ifa->ifa_prefixlen = plen;
    ifa->ifa_index = ifindex;
    ifa->ifa_scope = RT_SCOPE_UNIVERSE;
    put_addr(h, IFA_LOCAL, addr);
    put_addr(h, IFA_ADDRESS, addr);
    if (add && addr->ver == 6) {
        ifa->ifa_flags = IFA_F_NODAD;
        mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD);
    }
    return done(nl, h);
}

int dt_nl_addr_add(struct dt_nl *nl, unsigned ifindex, const struct dt_addr *addr, uint8_t plen,
                   struct dt_err *err)
{
    char text[DT_ADDR_STRLEN];
    if (change_addr(nl, true, ifindex, addr, plen) < 0 && errno != EEXIST)
        return dt_err_set(err, 0, "cannot add %s/%u to interface %u: %s", dt_addr_str(text, addr), plen,
                          ifindex, strerror(errno));
    return 0;
}

int dt_nl_addr_del(struct dt_nl *nl, unsigned ifindex, const struct dt_addr *addr, uint8_t plen,
                   struct dt_err *err)
{
    char text[DT_ADDR_STRLEN];
    if (change_addr(nl, false, ifindex, addr, plen) < 0 && errno != EADDRNOTAVAIL && errno != ENODEV)
        return dt_err_set(err, 0, "cannot remove %s/%u from interface %u: %s", dt_addr_str(text, addr), plen,
                          ifindex, strerror(errno));
    return 0;
}

struct addr_list {
    unsigned skip;
    struct dt_addr *out;
    int n, max;
};

static int one_addr(const struct nlmsghdr *h, void *ctx)
{
    struct addr_list *l = ctx;
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    struct dt_addr addr = {.ver = 0}, local = {.ver = 0};

    if (ifa->ifa_index == l->skip || ifa->ifa_scope >= RT_SCOPE_LINK)
        return MNL_CB_OK;
    mnl_attr_for_each(a, h, sizeof *ifa)
    {
        if (mnl_attr_get_type(a) == IFA_ADDRESS)
            addr = get_addr(a, ifa->ifa_family);
        else if (mnl_attr_get_type(a) == IFA_LOCAL)
            local = get_addr(a, ifa->ifa_family);
    }
    if (local.ver)
        addr = local;
    if (addr.ver && l->n < l->max)
        l->out[l->n++] = addr;
    return MNL_CB_OK;
}

int dt_nl_addrs(struct dt_nl *nl, unsigned skip, struct dt_addr *out, int max, struct dt_err *err)
{
    struct addr_list l = {.skip = skip, .out = out, .max = max};
    struct nlmsghdr *h = begin(nl, RTM_GETADDR, NLM_F_DUMP);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
    if (talk(nl, h, one_addr, &l) < 0)
        return dt_err_set(err, 0, "cannot list this host's addresses: %s", strerror(errno));
    return l.n;
}

/* ---- routes -------------------------------------------------------------------------------------- */

static int change_route(struct dt_nl *nl, bool add, const struct dt_nl_route *r)
{
    struct nlmsghdr *h = begin(nl, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof *rt);
    uint32_t table = r->table ? r->table : RT_TABLE_MAIN;

    rt->rtm_family = family(r->dst.addr.ver);
    rt->rtm_dst_len = r->dst.len;
    rt->rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
    rt->rtm_protocol = RTPROT_STATIC;
    rt->rtm_scope = add ? (r->dst.addr.ver == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE) : RT_SCOPE_NOWHERE;
    rt->rtm_type = add ? RTN_UNICAST : RTN_UNSPEC;
    put_addr(h, RTA_DST, &r->dst.addr);
    mnl_attr_put_u32(h, RTA_TABLE, table);
    mnl_attr_put_u32(h, RTA_OIF, r->ifindex);
    if (r->metric)
        mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
    if (add && r->src.ver)
        put_addr(h, RTA_PREFSRC, &r->src);
    if (add && r->mtu) {
        struct nlattr *m = mnl_attr_nest_start(h, RTA_METRICS);
        mnl_attr_put_u32(h, RTAX_MTU, r->mtu);
        mnl_attr_nest_end(h, m);
    }
    return done(nl, h);
}

int dt_nl_route_add(struct dt_nl *nl, const struct dt_nl_route *r, struct dt_err *err)
{
    char text[DT_PREFIX_STRLEN];
    if (change_route(nl, true, r) < 0)
        return dt_err_set(err, 0, "cannot route %s to interface %u: %s", dt_prefix_str(text, &r->dst),
                          r->ifindex, strerror(errno));
    return 0;
}

int dt_nl_route_del(struct dt_nl *nl, const struct dt_nl_route *r, struct dt_err *err)
{
    char text[DT_PREFIX_STRLEN];
    if (change_route(nl, false, r) < 0 && errno != ESRCH && errno != ENODEV)
        return dt_err_set(err, 0, "cannot remove the route of %s: %s", dt_prefix_str(text, &r->dst),
                          strerror(errno));
    return 0;
}

struct got_route {
    struct dt_addr src;
    unsigned ifindex;
};

static int one_route(const struct nlmsghdr *h, void *ctx)
{
    struct got_route *g = ctx;
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    mnl_attr_for_each(a, h, sizeof *rt)
    {
        if (mnl_attr_get_type(a) == RTA_PREFSRC)
            g->src = get_addr(a, rt->rtm_family);
        else if (mnl_attr_get_type(a) == RTA_OIF)
            g->ifindex = mnl_attr_get_u32(a);
    }
    return MNL_CB_OK;
}

int dt_nl_route_get(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_addr *src,
                    unsigned *ifindex, struct dt_err *err)
{
    struct got_route g = {.ifindex = 0};
    char text[DT_ADDR_STRLEN];
    struct nlmsghdr *h = begin(nl, RTM_GETROUTE, NLM_F_ACK);
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof *rt);
    rt->rtm_family = family(dst->ver);
    rt->rtm_dst_len = dst->ver == 4 ? 32 : 128;
    put_addr(h, RTA_DST, dst);
    if (mark)
        mnl_attr_put_u32(h, RTA_MARK, mark);
    if (talk(nl, h, one_route, &g) < 0 || g.ifindex == 0)
        return dt_err_set(err, 0, "no route to %s: %s", dt_addr_str(text, dst),
                          strerror(errno ? errno : ENETUNREACH));
    if (src)
        *src = g.src;
    if (ifindex)
        *ifindex = g.ifindex;
    return 0;
}

/* ---- rules --------------------------------------------------------------------------------------- */

static int change_rule(struct dt_nl *nl, bool add, uint8_t ver, uint32_t mark, uint32_t table,
                       uint32_t priority)
{
    struct nlmsghdr *h = begin(nl, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof *r);
    r->family = family(ver);
    r->action = FR_ACT_TO_TBL;
    r->table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
    r->flags = FIB_RULE_INVERT;
    mnl_attr_put_u32(h, FRA_TABLE, table);
    mnl_attr_put_u32(h, FRA_FWMARK, mark);
    mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    mnl_attr_put_u32(h, FRA_PRIORITY, priority);
    return done(nl, h);
}

int dt_nl_rule_add(struct dt_nl *nl, uint8_t ver, uint32_t mark, uint32_t table, uint32_t priority,
                   struct dt_err *err)
{
    if (change_rule(nl, true, ver, mark, table, priority) < 0 && errno != EEXIST)
        return dt_err_set(err, 0, "cannot add the rule 'not fwmark %#x lookup %u' (IPv%u): %s", mark, table,
                          ver, strerror(errno));
    return 0;
}

int dt_nl_rule_del(struct dt_nl *nl, uint8_t ver, uint32_t mark, uint32_t table, uint32_t priority,
                   struct dt_err *err)
{
    if (change_rule(nl, false, ver, mark, table, priority) < 0 && errno != ENOENT && errno != EAFNOSUPPORT)
        return dt_err_set(err, 0, "cannot remove the rule 'not fwmark %#x lookup %u' (IPv%u): %s", mark,
                          table, ver, strerror(errno));
    return 0;
}

/* ---- news ---------------------------------------------------------------------------------------- */

int dt_nl_monitor_open(struct dt_err *err)
{
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                          RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        dt_err_set(err, 0, "cannot watch the network: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

bool dt_nl_monitor_drain(int fd)
{
    char buf[8192];
    bool news = false;
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n > 0 || (n < 0 && (errno == ENOBUFS || errno == EINTR)))
            news = true;
        else
            return news;
    }
}
