/* Addresses, routes and rules over rtnetlink. */
#include "net/nl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

#ifndef IFA_PROTO /* Linux 5.18 */
#define IFA_PROTO 11
#endif

static uint8_t route_family(uint8_t ver)
{
    return ver == 4 ? AF_INET : AF_INET6;
}

static uint8_t version(uint8_t fam)
{
    return fam == AF_INET ? 4 : fam == AF_INET6 ? 6 : 0;
}

static void put_addr(struct nlmsghdr *h, uint16_t type, const struct dt_addr *a)
{
    mnl_attr_put(h, type, dt_addr_size(a), a->b);
}

static struct dt_addr route_get_addr(const struct nlattr *a, uint8_t fam)
{
    if (fam == AF_INET && mnl_attr_get_payload_len(a) == 4)
        return dt_addr4_bytes(mnl_attr_get_payload(a));
    if (fam == AF_INET6 && mnl_attr_get_payload_len(a) == 16)
        return dt_addr6_bytes(mnl_attr_get_payload(a));
    return (struct dt_addr){.ver = 0};
}

static struct dt_addr any_addr(uint8_t ver)
{
    static const uint8_t zero[16];
    return ver == 4 ? dt_addr4_bytes(zero) : dt_addr6_bytes(zero);
}

/* ---- addresses ------------------------------------------------------------------------------------ */

static int change_addr(struct dt_nl *nl, bool add, unsigned ifindex, const struct dt_addr *addr, uint8_t plen)
{
    struct nlmsghdr *h = nl_begin(nl, add ? RTM_NEWADDR : RTM_DELADDR, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof *ifa);
    ifa->ifa_family = route_family(addr->ver);
    ifa->ifa_prefixlen = plen;
    ifa->ifa_index = ifindex;
    ifa->ifa_scope = RT_SCOPE_UNIVERSE;
    put_addr(h, IFA_LOCAL, addr);
    put_addr(h, IFA_ADDRESS, addr);
    if (add)
        mnl_attr_put_u8(h, IFA_PROTO, DT_NL_PROTOCOL); /* an older kernel does not look at it */
    if (add && addr->ver == 6) {
        ifa->ifa_flags = IFA_F_NODAD;
        mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NODAD);
    }
    return nl_do(nl, h);
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

static int parse_addr(struct dt_nl_addr *out, const struct nlmsghdr *h)
{
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
    const struct nlattr *a;
    struct dt_addr local = {.ver = 0};
    *out = (struct dt_nl_addr){
        .ifindex = ifa->ifa_index, .len = ifa->ifa_prefixlen, .link_scope = ifa->ifa_scope >= RT_SCOPE_LINK};
    mnl_attr_for_each(a, h, sizeof *ifa)
    {
        if (mnl_attr_get_type(a) == IFA_ADDRESS)
            out->addr = route_get_addr(a, ifa->ifa_family);
        else if (mnl_attr_get_type(a) == IFA_LOCAL)
            local = route_get_addr(a, ifa->ifa_family);
        else if (mnl_attr_get_type(a) == IFA_PROTO && mnl_attr_get_payload_len(a) == 1)
            out->ours = mnl_attr_get_u8(a) == DT_NL_PROTOCOL;
    }
    if (local.ver)
        out->addr = local;
    return out->addr.ver;
}

static int collect_addr(const struct nlmsghdr *h, void *ctx)
{
    struct dt_nl_addrs *l = ctx;
    struct dt_nl_addr a;
    if (!parse_addr(&a, h))
        return 0;
    struct dt_nl_addr *room = nl_room((void **)&l->v, l->n, &l->cap, sizeof a, DT_NL_DUMP_MAX);
    if (!room)
        return -1;
    *room = a;
    l->n++;
    return 0;
}

static void forget_addrs(void *ctx)
{
    ((struct dt_nl_addrs *)ctx)->n = 0;
}

int dt_nl_addrs_of(struct dt_nl *nl, unsigned ifindex, struct dt_nl_addrs *out, struct dt_err *err)
{
    struct nlmsghdr *h = nl_begin(nl, RTM_GETADDR, NLM_F_DUMP);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof *ifa);
    ifa->ifa_index = ifindex;
    out->n = 0;
    if (nl_dump(nl, h, collect_addr, forget_addrs, out) == 0 || errno == ENODEV)
        return 0;
    return dt_err_set(err, 0, "cannot list addresses: %s", strerror(errno));
}

void dt_nl_addrs_free(struct dt_nl_addrs *l)
{
    free(l->v);
    *l = (struct dt_nl_addrs){.v = NULL};
}

/* ---- routes --------------------------------------------------------------------------------------- */

/* Unspecified: of whatever type. */
static uint8_t route_type(bool add, const struct dt_nl_route *r)
{
    if (r->unreachable)
        return RTN_UNREACHABLE;
    if (r->elsewhere)
        return RTN_THROW;
    return add ? RTN_UNICAST : RTN_UNSPEC;
}

static int change_route(struct dt_nl *nl, bool add, const struct dt_nl_route *r)
{
    struct nlmsghdr *h =
        nl_begin(nl, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0);
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof *rt);
    uint32_t table = r->table ? r->table : RT_TABLE_MAIN;

    rt->rtm_family = route_family(r->dst.addr.ver);
    rt->rtm_dst_len = r->dst.len;
    rt->rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
    rt->rtm_protocol = add ? DT_NL_PROTOCOL : RTPROT_UNSPEC; /* unspecified: whoever made it */
    if (!add)
        rt->rtm_scope = RT_SCOPE_NOWHERE;
    else if (r->dst.addr.ver == 4 && !r->unreachable && !r->elsewhere)
        rt->rtm_scope = RT_SCOPE_LINK;
    rt->rtm_type = route_type(add, r);
    put_addr(h, RTA_DST, &r->dst.addr);
    mnl_attr_put_u32(h, RTA_TABLE, table);
    rt->rtm_tos = r->tos;
    if (r->from.len) {
        rt->rtm_src_len = r->from.len;
        put_addr(h, RTA_SRC, &r->from.addr);
    }
    if (!r->unreachable && !r->elsewhere && r->ifindex)
        mnl_attr_put_u32(h, RTA_OIF, r->ifindex);
    if (r->nexthop)
        mnl_attr_put_u32(h, RTA_NH_ID, r->nexthop);
    if (r->metric)
        mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
    if (add && r->src.ver)
        put_addr(h, RTA_PREFSRC, &r->src);
    if (add && r->mtu) {
        struct nlattr *m = mnl_attr_nest_start(h, RTA_METRICS);
        mnl_attr_put_u32(h, RTAX_MTU, r->mtu);
        mnl_attr_nest_end(h, m);
    }
    return nl_do(nl, h);
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

static void parse_route(struct dt_nl_route *out, const struct nlmsghdr *h)
{
    const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
    const struct nlattr *a, *m;
    *out = (struct dt_nl_route){.dst = {.addr = any_addr(version(rt->rtm_family)), .len = rt->rtm_dst_len},
                                .table = rt->rtm_table,
                                .tos = rt->rtm_tos,
                                .from.len = rt->rtm_src_len,
                                .unreachable = rt->rtm_type == RTN_UNREACHABLE,
                                .elsewhere = rt->rtm_type == RTN_THROW,
                                .foreign = rt->rtm_protocol != DT_NL_PROTOCOL ||
                                           (rt->rtm_type != RTN_UNICAST && rt->rtm_type != RTN_UNREACHABLE &&
                                            rt->rtm_type != RTN_THROW)};
    mnl_attr_for_each(a, h, sizeof *rt)
    {
        switch (mnl_attr_get_type(a)) {
        case RTA_DST:
            out->dst.addr = route_get_addr(a, rt->rtm_family);
            break;
        case RTA_SRC:
            out->from.addr = route_get_addr(a, rt->rtm_family);
            break;
        case RTA_NH_ID:
            out->nexthop = mnl_attr_get_u32(a);
            break;
        case RTA_PREFSRC:
            out->src = route_get_addr(a, rt->rtm_family);
            break;
        case RTA_OIF:
            out->ifindex = mnl_attr_get_u32(a);
            break;
        case RTA_TABLE:
            out->table = mnl_attr_get_u32(a);
            break;
        case RTA_PRIORITY:
            out->metric = mnl_attr_get_u32(a);
            break;
        case RTA_GATEWAY:
        case RTA_VIA:
        case RTA_MULTIPATH:
        case RTA_ENCAP_TYPE:
            out->foreign = true;
            break;
        case RTA_METRICS:
            mnl_attr_for_each_nested(m, a) if (mnl_attr_get_type(m) == RTAX_MTU) out->mtu =
                mnl_attr_get_u32(m);
            break;
        default:
            break;
        }
    }
    if (out->unreachable || out->elsewhere)
        out->ifindex = 0; /* the kernel says "lo" of IPv6's */
}

static int collect_route(const struct nlmsghdr *h, void *ctx)
{
    struct dt_nl_routes *l = ctx;
    struct dt_nl_route r;
    if (h->nlmsg_type != RTM_NEWROUTE)
        return 0;
    parse_route(&r, h);
    if (r.table != l->table || !r.dst.addr.ver)
        return 0; /* a kernel that knows no filter tells of every table */
    struct dt_nl_route *room = nl_room((void **)&l->v, l->n, &l->cap, sizeof r, DT_NL_DUMP_MAX);
    if (!room)
        return -1;
    *room = r;
    l->n++;
    return 0;
}

static void forget_routes(void *ctx)
{
    struct dt_nl_routes *l = ctx;
    l->n = l->kept;
}

int dt_nl_routes_of(struct dt_nl *nl, uint32_t table, struct dt_nl_routes *out, struct dt_err *err)
{
    out->n = out->kept = 0;
    out->table = table;
    for (uint8_t ver = 4; ver <= 6; ver += 2) {
        struct nlmsghdr *h = nl_begin(nl, RTM_GETROUTE, NLM_F_DUMP);
        struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof *rt);
        rt->rtm_family = route_family(ver);
        mnl_attr_put_u32(h, RTA_TABLE, table);
        /* ENOENT: the table has never been used. EOPNOTSUPP, EAFNOSUPPORT: a host without IPv6. */
        if (nl_dump(nl, h, collect_route, forget_routes, out) < 0 && errno != ENOENT && errno != EOPNOTSUPP &&
            errno != EAFNOSUPPORT)
            return dt_err_set(err, 0, "cannot list the routes of table %u: %s", table, strerror(errno));
        out->kept = out->n;
    }
    return 0;
}

int dt_nl_routes_by(struct dt_nl *nl, unsigned ifindex, struct dt_nl_routes *out, struct dt_err *err)
{
    struct nlmsghdr *h = nl_begin(nl, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof *rt);
    rt->rtm_family = AF_INET;
    mnl_attr_put_u32(h, RTA_TABLE, RT_TABLE_MAIN);
    mnl_attr_put_u32(h, RTA_OIF, ifindex);
    out->n = out->kept = 0;
    out->table = RT_TABLE_MAIN;
    /* ENOENT: there is no table yet. ENODEV: there is no such interface. */
    if (nl_dump(nl, h, collect_route, forget_routes, out) < 0 && errno != ENOENT && errno != ENODEV)
        return dt_err_set(err, 0, "cannot list the routes by interface %u: %s", ifindex, strerror(errno));
    return 0;
}

void dt_nl_routes_free(struct dt_nl_routes *l)
{
    free(l->v);
    *l = (struct dt_nl_routes){.v = NULL};
}

static int got_route(const struct nlmsghdr *h, void *ctx)
{
    if (h->nlmsg_type == RTM_NEWROUTE)
        parse_route(ctx, h);
    return 0;
}

/* proto 0: of no protocol in particular. */
struct route_ask {
    struct dt_addr dst, src; /* src ver 0: the kernel's choice */
    uint32_t mark;
    unsigned iif;
    uint8_t proto;
    uint16_t port, sport;
    bool match;
};

static int ask_kernel(struct dt_nl *nl, const struct route_ask *ask, struct dt_nl_route *got,
                      struct dt_err *err)
{
    char text[DT_ADDR_STRLEN];
    struct nlmsghdr *h = nl_begin(nl, RTM_GETROUTE, NLM_F_ACK);
    struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof *rt);
    rt->rtm_family = route_family(ask->dst.ver);
    rt->rtm_dst_len = ask->dst.ver == 4 ? 32 : 128;
    rt->rtm_flags = ask->match ? RTM_F_FIB_MATCH : 0;
    put_addr(h, RTA_DST, &ask->dst);
    if (ask->mark)
        mnl_attr_put_u32(h, RTA_MARK, ask->mark);
    if (ask->proto)
        mnl_attr_put_u8(h, RTA_IP_PROTO, ask->proto);
    if (ask->port)
        mnl_attr_put_u16(h, RTA_DPORT, htons(ask->port));
    if (ask->sport)
        mnl_attr_put_u16(h, RTA_SPORT, htons(ask->sport));
    if (ask->src.ver) {
        rt->rtm_src_len = rt->rtm_dst_len;
        put_addr(h, RTA_SRC, &ask->src);
    }
    if (ask->iif)
        mnl_attr_put_u32(h, RTA_IIF, ask->iif);
    if (dt_addr_scope(&ask->dst))
        mnl_attr_put_u32(h, RTA_OIF, dt_addr_scope(&ask->dst));
    *got = (struct dt_nl_route){.ifindex = 0};
    if (nl_talk(nl, h, got_route, got) < 0 || got->ifindex == 0)
        return dt_err_set(err, 0, "no route to %s: %s", dt_addr_str(text, &ask->dst),
                          strerror(errno ? errno : ENETUNREACH));
    return 0;
}

static int ask_route(struct dt_nl *nl, const struct route_ask *ask, struct dt_addr *src, unsigned *ifindex,
                     struct dt_err *err)
{
    struct dt_nl_route got;
    if (ask_kernel(nl, ask, &got, err) < 0)
        return -1;
    if (src) {
        *src = got.src;
        dt_addr_set_scope(src, dt_addr_scope(&ask->dst));
    }
    if (ifindex)
        *ifindex = got.ifindex;
    return 0;
}

int dt_nl_route_get(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_addr *src,
                    unsigned *ifindex, struct dt_err *err)
{
    return ask_route(nl, &(struct route_ask){.dst = *dst, .mark = mark}, src, ifindex, err);
}

int dt_nl_route_match(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_prefix *matched,
                      struct dt_err *err)
{
    struct dt_nl_route got;
    if (ask_kernel(nl, &(struct route_ask){.dst = *dst, .mark = mark, .match = true}, &got, err) < 0)
        return -1;
    *matched = got.dst;
    return 0;
}

int dt_nl_route_get_port(struct dt_nl *nl, const struct dt_addr *dst, uint8_t proto, uint16_t port,
                         unsigned *ifindex, struct dt_err *err)
{
    return ask_route(nl, &(struct route_ask){.dst = *dst, .proto = proto, .port = port}, NULL, ifindex, err);
}

int dt_nl_route_between(struct dt_nl *nl, const struct dt_nl_between *p, unsigned *ifindex,
                        struct dt_err *err)
{
    return ask_route(nl,
                     &(struct route_ask){.dst = p->dst,
                                         .src = p->src,
                                         .iif = p->iif,
                                         .proto = p->proto,
                                         .port = p->dport,
                                         .sport = p->sport},
                     NULL, ifindex, err);
}
