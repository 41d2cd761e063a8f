/* Policy routing for discovery: a proxy has a source too, which routes do not know, rules do. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "net/discovery.h"

#define RULES_LEFT_MAX 4096 /* of a killed process, at one priority */

struct dt_steer {
    struct mnl_socket *sock;
    unsigned port, ifindex;
    uint32_t seq, mark, table, priority;
    bool up[2]; /* IPv4, IPv6: the rules that are always there */
    size_t n;
    struct dt_steer_rule rule[DT_STEER_RULES];
    char buf[8192];
};

static struct nlmsghdr *begin(struct dt_steer *s, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(s->buf);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    h->nlmsg_seq = ++s->seq;
    return h;
}

static int talk(struct dt_steer *s, struct nlmsghdr *h)
{
    uint32_t seq = h->nlmsg_seq;
    if (mnl_socket_sendto(s->sock, h, h->nlmsg_len) < 0)
        return -1;
    ssize_t n = mnl_socket_recvfrom(s->sock, s->buf, sizeof s->buf);
    return n < 0 ? -1 : mnl_cb_run(s->buf, (size_t)n, seq, s->port, NULL, NULL);
}

static uint8_t family(uint8_t ver)
{
    return ver == 4 ? AF_INET : AF_INET6;
}

static struct nlmsghdr *begin_rule(struct dt_steer *s, bool add, uint8_t ver, uint8_t action,
                                   uint32_t priority, struct fib_rule_hdr **hdr)
{
    struct nlmsghdr *h = begin(s, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
    struct fib_rule_hdr *r = mnl_nlmsg_put_extra_header(h, sizeof *r);
    r->family = family(ver);
    r->action = action;
    mnl_attr_put_u32(h, FRA_PRIORITY, priority);
    *hdr = r;
    return h;
}

static void match(struct nlmsghdr *h, struct fib_rule_hdr *r, const struct dt_prefix *src,
                  const struct dt_prefix *dst)
{
    if (src && src->len) {
        r->src_len = src->len;
        mnl_attr_put(h, FRA_SRC, dt_addr_size(&src->addr), src->addr.b);
    }
    if (dst && dst->len) {
        r->dst_len = dst->len;
        mnl_attr_put(h, FRA_DST, dt_addr_size(&dst->addr), dst->addr.b);
    }
}

/* Past our rules: on to those that were there before us. */
static int pass_by(struct dt_steer *s, bool add, uint8_t ver, uint32_t mark, const struct dt_prefix *to)
{
    struct fib_rule_hdr *r;
    struct nlmsghdr *h = begin_rule(s, add, ver, FR_ACT_GOTO, s->priority, &r);
    mnl_attr_put_u32(h, FRA_GOTO, s->priority + 2);
    if (mark) {
        mnl_attr_put_u32(h, FRA_FWMARK, mark);
        mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    }
    match(h, r, NULL, to);
    return talk(s, h);
}

static int landing(struct dt_steer *s, uint8_t ver)
{
    struct fib_rule_hdr *r;
    return talk(s, begin_rule(s, true, ver, FR_ACT_NOP, s->priority + 2, &r));
}

static int into_device(struct dt_steer *s, bool add, const struct dt_steer_rule *x)
{
    struct fib_rule_hdr *r;
    struct nlmsghdr *h = begin_rule(s, add, x->src.addr.ver, FR_ACT_TO_TBL, s->priority + 1, &r);
    mnl_attr_put_u32(h, FRA_TABLE, s->table);
    match(h, r, &x->src, &x->dst);
    if (x->proto)
        mnl_attr_put_u8(h, FRA_IP_PROTO, x->proto);
    struct fib_rule_port_range sport = {x->sport, x->sport}, dport = {x->dport, x->dport};
    if (x->sport)
        mnl_attr_put(h, FRA_SPORT_RANGE, sizeof sport, &sport);
    if (x->dport)
        mnl_attr_put(h, FRA_DPORT_RANGE, sizeof dport, &dport);
    return talk(s, h);
}

/* Fragments, whose ports no rule can see: marked before they are routed (tap_nft.c). */
static int fragments_into_device(struct dt_steer *s, uint8_t ver)
{
    struct fib_rule_hdr *r;
    struct nlmsghdr *h = begin_rule(s, true, ver, FR_ACT_TO_TBL, s->priority + 1, &r);
    mnl_attr_put_u32(h, FRA_TABLE, s->table);
    mnl_attr_put_u32(h, FRA_FWMARK, DT_STEER_FRAGMENT);
    mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
    return talk(s, h);
}

static int device_route(struct dt_steer *s, uint8_t ver)
{
    struct nlmsghdr *h = begin(s, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(h, sizeof *r);
    *r = (struct rtmsg){.rtm_family = family(ver),
                        .rtm_table = s->table < 256 ? (uint8_t)s->table : RT_TABLE_UNSPEC,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = ver == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                        .rtm_type = RTN_UNICAST};
    mnl_attr_put_u32(h, RTA_TABLE, s->table);
    mnl_attr_put_u32(h, RTA_OIF, s->ifindex);
    return talk(s, h);
}

static void clear(struct dt_steer *s, uint8_t ver)
{
    for (uint32_t k = 0; k < 3; k++)
        for (int i = 0; i < RULES_LEFT_MAX; i++) {
            struct fib_rule_hdr *r;
            if (talk(s, begin_rule(s, false, ver, FR_ACT_UNSPEC, s->priority + k, &r)) < 0)
                break;
        }
    s->up[ver == 6] = false;
}

static int bring_up(struct dt_steer *s, uint8_t ver)
{
    if (s->up[ver == 6])
        return 0;
    if (device_route(s, ver) < 0 || landing(s, ver) < 0 || pass_by(s, true, ver, s->mark, NULL) < 0 ||
        fragments_into_device(s, ver) < 0)
        return -1;
    s->up[ver == 6] = true;
    return 0;
}

struct dt_steer *dt_steer_open(unsigned tun_ifindex, uint32_t mark, uint32_t table, uint32_t priority,
                               struct dt_err *err)
{
    struct dt_steer *s = calloc(1, sizeof *s);
    if (s)
        s->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!s || !s->sock || mnl_socket_bind(s->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
        dt_err_set(err, 0, "no netlink socket for routing rules: %s", strerror(errno));
        if (s && s->sock)
            mnl_socket_close(s->sock);
        free(s);
        return NULL;
    }
    s->port = mnl_socket_get_portid(s->sock);
    s->ifindex = tun_ifindex;
    s->mark = mark;
    s->table = table;
    s->priority = priority;
    clear(s, 4);
    clear(s, 6);
    return s;
}

/* Packets to our own side stay inside, unless that side is all there is. */
static const struct dt_prefix *own_side(const struct dt_steer_rule *x)
{
    return dt_prefix_covers(&x->src, &x->dst) ? NULL : &x->src;
}

static bool same(const struct dt_steer_rule *a, const struct dt_steer_rule *b)
{
    return dt_addr_eq(&a->src.addr, &b->src.addr) && a->src.len == b->src.len &&
           dt_addr_eq(&a->dst.addr, &b->dst.addr) && a->dst.len == b->dst.len && a->proto == b->proto &&
           a->sport == b->sport && a->dport == b->dport;
}

static bool same_own(const struct dt_steer_rule *a, const struct dt_steer_rule *b)
{
    const struct dt_prefix *x = own_side(a), *y = own_side(b);
    return x && y && dt_addr_eq(&x->addr, &y->addr) && x->len == y->len;
}

/* Takes away what was wanted before and is not now. */
static void remove_old(struct dt_steer *s, const struct dt_steer_rule *old, size_t nold)
{
    for (size_t i = 0; i < nold; i++) {
        bool keep = false, keep_own = !own_side(&old[i]);
        for (size_t k = 0; k < s->n; k++) {
            keep |= same(&old[i], &s->rule[k]);
            keep_own |= same_own(&old[i], &s->rule[k]);
        }
        if (!keep)
            into_device(s, false, &old[i]);
        if (!keep_own)
            pass_by(s, false, old[i].src.addr.ver, 0, own_side(&old[i]));
    }
}

int dt_steer_set(struct dt_steer *s, const struct dt_steer_rule *rule, size_t n, struct dt_err *err)
{
    if (n > DT_STEER_RULES)
        return dt_err_set(err, 0, "%zu routing rules for discovery; at most %d are made", n, DT_STEER_RULES);
    size_t nold = s->n;
    struct dt_steer_rule *old = malloc(sizeof s->rule);
    if (!old)
        return dt_err_set(err, 0, "out of memory");
    memcpy(old, s->rule, sizeof s->rule);
    /* New ones first, old ones away after it: what both have is caught all the while. */
    for (s->n = 0; s->n < n; s->n++) {
        const struct dt_steer_rule *x = &rule[s->n];
        const struct dt_prefix *own = own_side(x);
        char a[DT_PREFIX_STRLEN], b[DT_PREFIX_STRLEN];
        if (bring_up(s, x->src.addr.ver) < 0 ||
            (own && pass_by(s, true, own->addr.ver, 0, own) < 0 && errno != EEXIST) ||
            (into_device(s, true, x) < 0 && errno != EEXIST)) {
            dt_err_set(err, 0, "no routing rule from %s to %s: %s", dt_prefix_str(a, &x->src),
                       dt_prefix_str(b, &x->dst), strerror(errno));
            break;
        }
        s->rule[s->n] = *x;
    }
    int rc = s->n < n ? -1 : 0;
    remove_old(s, old, nold);
    free(old);
    return rc;
}

void dt_steer_close(struct dt_steer *s)
{
    if (!s)
        return;
    clear(s, 4);
    clear(s, 6);
    mnl_socket_close(s->sock);
    free(s);
}
