/* Sockets of a kernel that refuses an option (its calls are wrapped): one without which packets or answers would go wrong is
 * none that may be missing, and the reason says what would go wrong. */
#include "support/test.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dp.h"
#include "net/netlink.h"
#include "net/udp_socket.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define NONE (-1)

static struct {
    int level, name;
    unsigned times;
} refused = {NONE, NONE, 0};

struct mnl_socket;
int __real_setsockopt(int fd, int level, int name, const void *v, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t len);
int __real_mnl_socket_setsockopt(const struct mnl_socket *s, int name, void *v, socklen_t len);
int __wrap_mnl_socket_setsockopt(const struct mnl_socket *s, int name, void *v, socklen_t len);
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);

static bool is_refused(int level, int name)
{
    if (level != refused.level || name != refused.name)
        return false;
    refused.times++;
    errno = ENOPROTOOPT;
    return true;
}

int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t len)
{
    return is_refused(level, name) ? -1 : __real_setsockopt(fd, level, name, v, len);
}

int __wrap_mnl_socket_setsockopt(const struct mnl_socket *s, int name, void *v, socklen_t len)
{
    return is_refused(SOL_NETLINK, name) ? -1 : __real_mnl_socket_setsockopt(s, name, v, len);
}

/* Without a right there are no raw sockets; one of UDP takes the same options. */
int __wrap_socket(int family, int type, int protocol)
{
    bool raw = (type & SOCK_RAW) == SOCK_RAW && family != AF_NETLINK;
    return __real_socket(family, raw ? (type & ~SOCK_RAW) | SOCK_DGRAM : type, raw ? 0 : protocol);
}

static int open_outer(struct dt_err *err)
{
    struct dt_dp *dp = calloc(1, sizeof *dp);
    struct dp_worker *w = calloc(1, sizeof *w);
    dp->nworkers = 2;
    w->dp = dp;
    dp_outer_init(w);
    int rc = dp_outer_open(w, err);
    dp_outer_close(w);
    free(w);
    free(dp);
    return rc;
}

static int close_if_open(int fd)
{
    return fd < 0 ? -1 : close(fd);
}

static int open_ike4(struct dt_err *err)
{
    return close_if_open(dt_udp_open(4, 0, 0, err));
}

static int open_ike6(struct dt_err *err)
{
    return close_if_open(dt_udp_open(6, 0, 0, err));
}

static int open_rtnetlink(struct dt_err *err)
{
    struct dt_nl *nl = dt_nl_open(err);
    dt_nl_close(nl);
    return nl ? 0 : -1;
}

static int open_without(int (*open)(struct dt_err *), int level, int name, struct dt_err *err)
{
    refused.level = level;
    refused.name = name;
    refused.times = 0;
    int rc = open(err);
    refused.level = refused.name = NONE;
    return rc;
}

static bool has_ipv6(void)
{
    return close_if_open(__real_socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == 0;
}

static void what_is_needed_is_refused_with_a_reason(void **state)
{
    static const struct {
        int (*open)(struct dt_err *);
        int level, name;
        bool v6;
        const char *says;
    } need[] = {
        {open_outer, SOL_SOCKET, SO_ATTACH_FILTER, false, "share the ESP packets"},
        {open_outer, SOL_SOCKET, SO_REUSEPORT, false, "workers cannot share a UDP port"},
        {open_outer, IPPROTO_IP, IP_MTU_DISCOVER, false, "fragmented"},
        {open_outer, IPPROTO_IP, IP_PKTINFO, false, "cannot set up an IPv4 socket"},
        {open_outer, IPPROTO_IPV6, IPV6_V6ONLY, true, "IPv4's port"},
        {open_outer, IPPROTO_IPV6, IPV6_MTU_DISCOVER, true, "fragmented"},
        {open_outer, IPPROTO_IPV6, IPV6_RECVERR, true, "path MTUs of ESP"},
        {open_ike4, SOL_SOCKET, SO_REUSEPORT, false, "IKE's sockets cannot share a UDP port"},
        {open_ike4, IPPROTO_IP, IP_PKTINFO, false, "where IKE packets arrive"},
        {open_ike6, IPPROTO_IPV6, IPV6_V6ONLY, true, "IPv4's port"},
        {open_ike6, IPPROTO_IPV6, IPV6_RECVPKTINFO, true, "where IKE packets arrive"},
        {open_rtnetlink, SOL_NETLINK, NETLINK_GET_STRICT_CHK, false, "rtnetlink"},
        {open_rtnetlink, SOL_SOCKET, SO_RCVTIMEO, false, "rtnetlink"},
    };
    bool six = has_ipv6();
    for (size_t i = 0; i < DT_ARRAY_LEN(need); i++) {
        struct dt_err err = {0};
        if (need[i].v6 && !six)
            continue;
        if (open_without(need[i].open, need[i].level, need[i].name, &err) != -1 ||
            !strstr(err.text, need[i].says))
            fail_msg("line %zu: %s: not in: %s", i, need[i].says, err.text);
        assert_int_equal(refused.times, 1); /* and nothing went on after it */
    }
}

static void a_hint_may_be_missing(void **state)
{
    static const struct {
        int (*open)(struct dt_err *);
        int level, name;
    } hint[] = {{open_outer, SOL_SOCKET, SO_RCVBUFFORCE},
                {open_outer, SOL_SOCKET, SO_SNDBUFFORCE},
                {open_outer, IPPROTO_UDP, UDP_GRO},
                {open_ike4, SOL_SOCKET, SO_RCVBUFFORCE},
                {open_outer, NONE, NONE},
                {open_ike4, NONE, NONE},
                {open_rtnetlink, NONE, NONE}};
    for (size_t i = 0; i < DT_ARRAY_LEN(hint); i++) {
        struct dt_err err = {0};
        if (open_without(hint[i].open, hint[i].level, hint[i].name, &err) != 0)
            fail_msg("option %d: %s", hint[i].name, err.text);
        assert_true(hint[i].name == NONE || refused.times > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_needed_is_refused_with_a_reason),
        cmocka_unit_test(a_hint_may_be_missing),
    };
    return TEST_RUN(tests);
}
