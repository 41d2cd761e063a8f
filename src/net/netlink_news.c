/* News of the network: the kernel tells whoever listens of each change. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/netlink.h"

#define DRAIN_MAX   4096 /* datagrams in one go: whoever changes without end is heard again at once */
#define ROUTE_ATTRS (NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct rtmsg)))

/* The kernel runs this over each message before it is put into our socket: of routes only the default ones, those by
 * `ifindex`, and those that name no single interface. A router that speaks BGP changes thousands a second, which are then
 * nothing to us. The program loads in network byte order; a message has the host's. */
static int filter_routes(int fd, unsigned ifindex)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 9),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 7, 0),
        BPF_STMT(BPF_LD | BPF_IMM, ROUTE_ATTRS),
        BPF_STMT(BPF_LDX | BPF_IMM, RTA_OIF),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR)), /* its offset; 0: none */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_IND, NLA_HDRLEN),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(ifindex), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = DT_ARRAY_LEN(code), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
}

int dt_nl_watch_open(const struct dt_nl_watch *w, struct dt_err *err)
{
    static const int group[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE};
    static const int both[] = {RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE};
    static const int rules[] = {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE};
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK};
    for (size_t i = 0; i < DT_ARRAY_LEN(group); i++)
        sa.nl_groups |= 1u << (group[i] - 1);
    for (size_t i = 0; w->ipv6 && i < DT_ARRAY_LEN(both); i++)
        sa.nl_groups |= 1u << (both[i] - 1);
    for (size_t i = 0; w->rules && i < DT_ARRAY_LEN(rules); i++)
        sa.nl_groups |= 1u << (rules[i] - 1);
    if (w->tc)
        sa.nl_groups |= 1u << (RTNLGRP_TC - 1);
    if (w->sysctls)
        sa.nl_groups |= 1u << (RTNLGRP_IPV4_NETCONF - 1);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || (w->routes_by && filter_routes(fd, w->routes_by) < 0) ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        dt_err_set(err, 0, "cannot watch the network: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

int dt_nl_watch_routes_by(int fd, unsigned ifindex)
{
    return filter_routes(fd, ifindex);
}

int dt_nl_monitor_open(struct dt_err *err)
{
    static const struct dt_nl_watch all = {.ipv6 = true, .rules = true};
    return dt_nl_watch_open(&all, err);
}

bool dt_nl_monitor_drain(int fd)
{
    char buf[8192];
    bool news = false;
    for (int i = 0; i < DRAIN_MAX; i++) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n > 0 || (n < 0 && errno == ENOBUFS))
            news = true;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return news;
}
