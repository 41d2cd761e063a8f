/* The rtnetlink socket, requests on it, and links. Addresses, routes and rules: netlink_route.c; news:
 * netlink_news.c. */
#include "net/nl.h"

#include <errno.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/grow.h"

#define DUMP_TRIES 8 /* of a dump that the kernel says was interrupted by a change */

/* ---- the socket ----------------------------------------------------------------------------------- */

static int nl_connect(struct dt_nl *nl)
{
    nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!nl->sock)
        return -1;
    int on = 1;
    /* The kernel answers a request before it returns from the call that sent it; the limit is for a kernel that does not.
     * Without strict checking (Linux 4.20) a question about one interface is answered with all of them. */
    struct timeval limit = {.tv_sec = 2};
    if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on, sizeof on) < 0 ||
        setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) {
        int e = errno;
        mnl_socket_close(nl->sock);
        nl->sock = NULL;
        errno = e;
        return -1;
    }
    nl->port = mnl_socket_get_portid(nl->sock);
    return 0;
}

struct dt_nl *dt_nl_open(struct dt_err *err)
{
    struct dt_nl *nl = calloc(1, sizeof *nl);
    if (!nl || nl_connect(nl) < 0) {
        dt_err_set(err, 0, "no rtnetlink socket: %s", strerror(errno));
        free(nl);
        return NULL;
    }
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

/* ---- requests ------------------------------------------------------------------------------------- */

struct nlmsghdr *nl_begin(struct dt_nl *nl, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(nl->request);
    h->nlmsg_type = type;
    h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    h->nlmsg_seq = ++nl->seq;
    return h;
}

/* What one datagram said. */
enum nl_heard { NL_MORE, NL_COMPLETE };

struct nl_answer {
    uint32_t seq;
    nl_each each;
    void *ctx;
    int error;        /* errno of the first that failed; 0 */
    bool interrupted; /* the kernel's tables changed while it dumped them: something may be missing */
};

static enum nl_heard nl_read_datagram(struct nl_answer *a, char *buf, ssize_t len)
{
    int left = (int)len;
    for (struct nlmsghdr *h = (struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
        if (h->nlmsg_seq != a->seq)
            continue; /* of a request that was given up */
        if (h->nlmsg_flags & NLM_F_DUMP_INTR)
            a->interrupted = true;
        if (h->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            if (!a->error)
                a->error = -e->error;
            return NL_COMPLETE;
        }
        if (h->nlmsg_type == NLMSG_DONE) {
            const int *code = mnl_nlmsg_get_payload(h);
            if (!a->error && mnl_nlmsg_get_payload_len(h) >= sizeof *code && *code < 0)
                a->error = -*code;
            return NL_COMPLETE;
        }
        if (h->nlmsg_type >= NLMSG_MIN_TYPE && a->each && !a->error && a->each(h, a->ctx) < 0)
            a->error = errno;
    }
    return NL_MORE;
}

/* Every answer is read to its end, also after an error: what stayed in the socket would be taken for the answer to the
 * next request. A socket that cannot be read to its end is replaced. */
int nl_talk(struct dt_nl *nl, struct nlmsghdr *h, nl_each each, void *ctx)
{
    struct nl_answer a = {.seq = h->nlmsg_seq, .each = each, .ctx = ctx};
    if (!nl->sock && nl_connect(nl) < 0)
        return -1;
    if (mnl_socket_sendto(nl->sock, h, h->nlmsg_len) < 0)
        return -1;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof nl->buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int e = errno;
            mnl_socket_close(nl->sock);
            nl->sock = NULL;
            errno = e == EAGAIN ? ETIMEDOUT : e;
            return -1;
        }
        if (nl_read_datagram(&a, nl->buf, n) == NL_COMPLETE)
            break;
    }
    if (!a.error && a.interrupted)
        a.error = EINTR;
    errno = a.error;
    return a.error ? -1 : 0;
}

int nl_do(struct dt_nl *nl, struct nlmsghdr *h)
{
    h->nlmsg_flags |= NLM_F_ACK;
    return nl_talk(nl, h, NULL, NULL);
}

int nl_dump(struct dt_nl *nl, struct nlmsghdr *h, nl_each each, nl_again again, void *ctx)
{
    for (int i = 0; i < DUMP_TRIES; i++) {
        h->nlmsg_seq = ++nl->seq;
        if (i > 0)
            again(ctx);
        if (nl_talk(nl, h, each, ctx) == 0)
            return 0;
        if (errno != EINTR)
            return -1;
    }
    errno = EAGAIN;
    return -1;
}

void *nl_room(void **v, size_t n, size_t *cap, size_t size, size_t max)
{
    if (n == max) {
        errno = EOVERFLOW;
        return NULL;
    }
    return dt_grow_by(v, cap, n, size, 32) == 0 ? (char *)*v + n * size : NULL;
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
    struct nlmsghdr *h = nl_begin(nl, RTM_NEWLINK, 0);
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
    if (nl_do(nl, h) < 0)
        return dt_err_set(err, 0, "cannot bring interface %u up: %s", ifindex, strerror(errno));
    return 0;
}

int dt_nl_link_mtu(struct dt_nl *nl, unsigned ifindex, uint32_t mtu, struct dt_err *err)
{
    struct nlmsghdr *h = begin_link(nl, ifindex, 0);
    mnl_attr_put_u32(h, IFLA_MTU, mtu);
    if (nl_do(nl, h) < 0)
        return dt_err_set(err, 0, "cannot set the MTU of interface %u to %u: %s", ifindex, mtu,
                          strerror(errno));
    return 0;
}

int dt_nl_link_gso(struct dt_nl *nl, unsigned ifindex, uint32_t bytes, uint32_t segs, struct dt_err *err)
{
    struct nlmsghdr *h = begin_link(nl, ifindex, 0);
    mnl_attr_put_u32(h, IFLA_GSO_MAX_SIZE, bytes);
    mnl_attr_put_u32(h, IFLA_GSO_MAX_SEGS, segs);
    if (nl_do(nl, h) < 0)
        return dt_err_set(err, 0, "cannot limit super-packets of interface %u: %s", ifindex, strerror(errno));
    return 0;
}

static void got_ipv6_conf(struct dt_nl_link *l, const struct nlattr *conf)
{
    uint32_t v;
    if (mnl_attr_get_payload_len(conf) < (DEVCONF_DISABLE_IPV6 + 1) * sizeof v)
        return;
    memcpy(&v, (const uint8_t *)mnl_attr_get_payload(conf) + DEVCONF_DISABLE_IPV6 * sizeof v, sizeof v);
    l->no_ipv6 = v != 0;
}

static void got_families(struct dt_nl_link *l, const struct nlattr *spec)
{
    const struct nlattr *family, *a;
    mnl_attr_for_each_nested(family, spec)
    {
        if (mnl_attr_get_type(family) != AF_INET6)
            continue;
        mnl_attr_for_each_nested(a, family)
        {
            if (mnl_attr_get_type(a) == IFLA_INET6_CONF)
                got_ipv6_conf(l, a);
        }
    }
}

static int got_link(const struct nlmsghdr *h, void *ctx)
{
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
    struct dt_nl_link *l = ctx;
    const struct nlattr *a;
    if (h->nlmsg_type != RTM_NEWLINK)
        return 0;
    l->there = true;
    l->up = ifi->ifi_flags & IFF_UP;
    mnl_attr_for_each(a, h, sizeof *ifi)
    {
        switch (mnl_attr_get_type(a)) {
        case IFLA_IFNAME:
            snprintf(l->name, sizeof l->name, "%s", mnl_attr_get_str(a));
            break;
        case IFLA_MTU:
            l->mtu = mnl_attr_get_u32(a);
            break;
        case IFLA_MASTER:
            l->master = mnl_attr_get_u32(a);
            break;
        case IFLA_AF_SPEC:
            got_families(l, a);
            break;
        }
    }
    return 0;
}

int dt_nl_link_get(struct dt_nl *nl, unsigned ifindex, struct dt_nl_link *out, struct dt_err *err)
{
    struct nlmsghdr *h = nl_begin(nl, RTM_GETLINK, NLM_F_ACK);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof *ifi);
    ifi->ifi_index = (int)ifindex;
    *out = (struct dt_nl_link){.there = false};
    if (nl_talk(nl, h, got_link, out) < 0 && errno != ENODEV)
        return dt_err_set(err, 0, "cannot look at interface %u: %s", ifindex, strerror(errno));
    return 0;
}

static int rename_link(struct dt_nl *nl, unsigned ifindex, const char *name, struct dt_err *err)
{
    struct nlmsghdr *h = begin_link(nl, ifindex, IFF_UP);
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_flags = 0;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    if (nl_do(nl, h) < 0)
        return dt_err_set(err, 0, "cannot give interface %u its name %s back: %s", ifindex, name,
                          strerror(errno));
    return 0;
}

int dt_nl_link_restore(struct dt_nl *nl, unsigned ifindex, const struct dt_nl_link *now, const char *name,
                       uint32_t mtu, struct dt_err *err)
{
    if (strcmp(now->name, name) != 0 && rename_link(nl, ifindex, name, err) < 0)
        return -1;
    if (now->master) {
        struct nlmsghdr *h = begin_link(nl, ifindex, 0);
        mnl_attr_put_u32(h, IFLA_MASTER, 0);
        if (nl_do(nl, h) < 0)
            return dt_err_set(err, 0, "cannot take interface %u from %u: %s", ifindex, now->master,
                              strerror(errno));
    }
    return dt_nl_link_up(nl, ifindex, mtu, err);
}
