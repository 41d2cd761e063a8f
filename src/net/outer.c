/* The outer sockets of a worker: UDP 4500 and raw ESP, IPv4 and IPv6; and the sending of a sealed batch. All that needs a
 * right, a mark above all, is done when they are opened: whoever sends needs none. So what is nested, and bears another mark,
 * leaves from sockets of its own. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/dp.h"
#include "net/outer.h"
#include "net/udp_socket.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

#define SOCKET_BUFFER (8 << 20)
#define GSO_BYTES     65000u /* of UDP payload in one call, below 65507 */
#define GSO_SEGS      64u    /* a bit for each in send_singly */
#define SEND_WAIT     20 /* ms that a full socket buffer may hold a worker up before packets are dropped */

/* ---- opening ------------------------------------------------------------------------------------- */

static int set_int(int fd, int level, int name, int v)
{
    return setsockopt(fd, level, name, &v, sizeof v);
}

/* A hint: with a smaller buffer a burst loses packets, and they are counted. */
static void set_buffers(int fd)
{
    if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) < 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
    if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) < 0)
        set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
}

/* DF_NESTED: set, but the kernel's path MTU is not asked (see nested_mtu). */
enum { DF_CLEAR, DF_SET, DF_NESTED };

static int change_df(int fd, uint8_t ver, int df)
{
    static const int v4[] = {IP_PMTUDISC_DONT, IP_PMTUDISC_DO, IP_PMTUDISC_PROBE};
    static const int v6[] = {IPV6_PMTUDISC_WANT, IPV6_PMTUDISC_DO, IPV6_PMTUDISC_PROBE};
    return ver == 4 ? set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, v4[df])
                    : set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, v6[df]);
}

/* All that a worker will ask of it later, when nobody could be told; then as it was. */
static int try_df(int fd, uint8_t ver, struct dt_err *err)
{
    int level = ver == 4 ? IPPROTO_IP : IPPROTO_IPV6, name = ver == 4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
    int was = 0, rc;
    socklen_t len = sizeof was;
    rc = getsockopt(fd, level, name, &was, &len);
    for (int df = DF_CLEAR; rc == 0 && df <= DF_NESTED; df++)
        rc = change_df(fd, ver, df);
    if (rc == 0)
        rc = set_int(fd, level, name, was);
    return rc ? dt_err_set(err, 0, "whether IPv%d packets may be fragmented cannot be set: %s", ver,
                           strerror(errno))
              : 0;
}

static int set_options(int fd, uint8_t ver, uint32_t mark, struct dt_err *err)
{
    if (mark && set_int(fd, SOL_SOCKET, SO_MARK, (int)mark) < 0)
        return dt_err_set(err, 0, "cannot mark outer packets: %s (CAP_NET_ADMIN is needed)", strerror(errno));
    set_buffers(fd);
    int rc = 0;
    if (ver == 4) {
        rc |= set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
        rc |= set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
    } else {
        rc |= set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        rc |= set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    if (rc)
        return dt_err_set(err, 0, "cannot set up an IPv%d socket: %s", ver, strerror(errno));
    return try_df(fd, ver, err);
}

/* Of UDP alone: a raw socket refuses IPV6_V6ONLY, and is nothing else. */
static int set_v6_only(int fd, uint8_t ver, struct dt_err *err)
{
    if (ver == 6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0)
        return dt_err_set(err, 0, "an IPv6 socket would take IPv4's port as well: %s", strerror(errno));
    return 0;
}

static int share_port(int fd, uint8_t ver, struct dt_err *err)
{
    if (set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return dt_err_set(err, 0, "workers cannot share a UDP port: %s", strerror(errno));
    return set_v6_only(fd, ver, err);
}

int dt_outer_bind_deaf(int fd, uint8_t ver, uint16_t port)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    s4.sin_addr.s_addr = htonl(0xc0000008);                 /* 192.0.0.8, RFC 7600 */
    s6.sin6_addr.s6_addr[0] = s6.sin6_addr.s6_addr[15] = 1; /* 100::1, RFC 6666 */
    int rc = ver == 4 ? set_int(fd, IPPROTO_IP, IP_FREEBIND, 1) : set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    if (rc == 0)
        rc = ver == 4 ? bind(fd, (struct sockaddr *)&s4, sizeof s4)
                      : bind(fd, (struct sockaddr *)&s6, sizeof s6);
    return rc;
}

static int outer_bind_any(int fd, uint8_t ver, uint16_t port)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    return ver == 4 ? bind(fd, (struct sockaddr *)&s4, sizeof s4)
                    : bind(fd, (struct sockaddr *)&s6, sizeof s6);
}

/* Workers share the port; nobody else may. */
static int outer_open_udp(struct dp_worker *w, uint8_t ver, struct dt_err *err)
{
    uint16_t port = w->dp->cfg.natt_port;
    int family = ver == 4 ? AF_INET : AF_INET6;

    if (w->index == 0) { /* a socket that does not share sees whether anybody else has it */
        int probe = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (probe < 0 && errno == EAFNOSUPPORT)
            return -2;
        if (probe >= 0 && set_v6_only(probe, ver, err) < 0) {
            close(probe);
            return -1;
        }
        int rc = probe < 0 ? -1 : outer_bind_any(probe, ver, port), why = errno;
        if (probe >= 0)
            close(probe);
        if (rc < 0)
            return dt_udp_port_refused(ver, port, why, err);
    }
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno == EAFNOSUPPORT ? -2 : dt_err_set(err, 0, "no UDP socket: %s", strerror(errno));
    if (share_port(fd, ver, err) < 0 || set_options(fd, ver, w->dp->cfg.mark, err) < 0) {
        close(fd);
        return -1;
    }
    if (!w->dp->cfg.no_gso)
        set_int(fd, IPPROTO_UDP, UDP_GRO, 1); /* a hint: without it, a system call for every packet */
    if (outer_bind_any(fd, ver, port) < 0) {
        dt_err_set(err, 0, "UDP port %u (IPv%d) cannot be had: %s", port, ver, strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* Each worker's raw socket gets every ESP packet: a filter leaves it its share of the SPIs. Without it all of them would open
 * each packet, and the replay window would be that of whoever comes first. */
static int share_spis(struct dp_worker *w, int fd, uint8_t ver, struct dt_err *err)
{
    struct sock_filter f4[] = {
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = header length */
        BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0),  /* A = SPI */
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, w->dp->nworkers),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, w->index, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter f6[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, w->dp->nworkers),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, w->index, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = ver == 4 ? DT_ARRAY_LEN(f4) : DT_ARRAY_LEN(f6),
                              .filter = ver == 4 ? f4 : f6};
    if (w->dp->nworkers > 1 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog) < 0)
        return dt_err_set(err, 0,
                          "workers cannot share the ESP packets (IPv%d): %s; with workers = 1 they need not",
                          ver, strerror(errno));
    return 0;
}

/* Without it the kernel takes no "packet too big" for an unconnected raw socket into its routes. */
static int learn_path_mtu(int fd, uint8_t ver, struct dt_err *err)
{
    if (ver == 6 && set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) < 0)
        return dt_err_set(err, 0, "path MTUs of ESP in IPv6 would not be learned: %s", strerror(errno));
    return 0;
}

static int open_esp(struct dp_worker *w, uint8_t ver, struct dt_err *err)
{
    int fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ESP);
    if (fd < 0)
        return errno == EAFNOSUPPORT
                   ? -2
                   : dt_err_set(err, 0, "no raw ESP socket (IPv%d): %s%s", ver, strerror(errno),
                                errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
    if (share_spis(w, fd, ver, err) < 0 || set_options(fd, ver, w->dp->cfg.mark, err) < 0 ||
        learn_path_mtu(fd, ver, err) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Beside those that hear: the same port, another mark or another use, and nothing comes in. */
static int open_deaf_udp(struct dp_worker *w, uint8_t ver, uint32_t mark, struct dt_err *err)
{
    uint16_t port = w->dp->cfg.natt_port;
    int fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno == EAFNOSUPPORT ? -2 : dt_err_set(err, 0, "no UDP socket: %s", strerror(errno));
    if (share_port(fd, ver, err) < 0 || set_options(fd, ver, mark, err) < 0) {
        close(fd);
        return -1;
    }
    if (dt_outer_bind_deaf(fd, ver, port) < 0) {
        dt_err_set(err, 0, "UDP port %u (IPv%d) cannot be had for what is sent alone: %s", port, ver,
                   strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static int open_nested_udp(struct dp_worker *w, uint8_t ver, struct dt_err *err)
{
    return open_deaf_udp(w, ver, w->dp->cfg.mark_nested, err);
}

static int open_ike(struct dp_worker *w, uint8_t ver, uint32_t mark, struct dt_err *err)
{
    int fd = open_deaf_udp(w, ver, mark, err);
    if (fd >= 0)
        (void)change_df(fd, ver, DF_CLEAR); /* it was tried */
    return fd;
}

static int open_ike_udp(struct dp_worker *w, uint8_t ver, struct dt_err *err)
{
    return open_ike(w, ver, w->dp->cfg.mark, err);
}

static int open_nested_ike_udp(struct dp_worker *w, uint8_t ver, struct dt_err *err)
{
    return open_ike(w, ver, w->dp->cfg.mark_nested, err);
}

static int open_nested_esp(struct dp_worker *w, uint8_t ver, struct dt_err *err)
{
    struct sock_filter deaf = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog prog = {.len = 1, .filter = &deaf};
    int fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ESP);
    if (fd < 0)
        return errno == EAFNOSUPPORT ? -2 : dt_err_set(err, 0, "no raw ESP socket: %s", strerror(errno));
    int rc = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog);
    if (rc < 0) /* it would fill with every ESP packet of the host, which nobody takes out */
        dt_err_set(err, 0, "a socket that only sends ESP (IPv%d) cannot be made deaf: %s", ver,
                   strerror(errno));
    if (rc < 0 || set_options(fd, ver, w->dp->cfg.mark_nested, err) < 0) {
        close(fd);
        return -1;
    }
    /* News of ICMP is for the others too. A kernel that does not let a raw socket bind here has the filter at least. */
    (void)dt_outer_bind_deaf(fd, ver, 0);
    return fd;
}

/* What the kernel queued beside: the routes have learned from it already. */
void dp_outer_drain_errors(struct dp_sock *s)
{
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    for (int i = 0; i < 64; i++) {
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
        if (recvmsg(s->fd, &m, MSG_ERRQUEUE) < 0)
            return;
    }
}

#define SOCKETS 12

static void list_sockets(struct dp_worker *w, struct dp_sock *s[SOCKETS])
{
    struct dp_sock *all[SOCKETS] = {&w->udp4,
                                    &w->udp6,
                                    &w->esp4,
                                    &w->esp6,
                                    &w->nested_udp4,
                                    &w->nested_udp6,
                                    &w->nested_esp4,
                                    &w->nested_esp6,
                                    &w->ike_udp4,
                                    &w->ike_udp6,
                                    &w->nested_ike_udp4,
                                    &w->nested_ike_udp6};
    memcpy(s, all, sizeof all);
}

void dp_outer_init(struct dp_worker *w)
{
    struct dp_sock *s[SOCKETS];
    list_sockets(w, s);
    for (size_t i = 0; i < DT_ARRAY_LEN(s); i++)
        *s[i] = (struct dp_sock){.fd = -1, .df = -1};
}

int dp_outer_open(struct dp_worker *w, struct dt_err *err)
{
    const struct dt_dp_config *c = &w->dp->cfg;
    const struct {
        struct dp_sock *s;
        bool off;
        uint8_t ver;
        int (*open)(struct dp_worker *, uint8_t, struct dt_err *);
    } todo[] = {
        {&w->udp4, c->no_udp4, 4, outer_open_udp},
        {&w->udp6, c->no_udp6, 6, outer_open_udp},
        {&w->esp4, c->no_esp4, 4, open_esp},
        {&w->esp6, c->no_esp6, 6, open_esp},
        {&w->nested_udp4, c->no_udp4, 4, open_nested_udp},
        {&w->nested_udp6, c->no_udp6, 6, open_nested_udp},
        {&w->nested_esp4, c->no_esp4, 4, open_nested_esp},
        {&w->nested_esp6, c->no_esp6, 6, open_nested_esp},
        {&w->ike_udp4, c->no_udp4 || w->index > 0, 4, open_ike_udp},
        {&w->ike_udp6, c->no_udp6 || w->index > 0, 6, open_ike_udp},
        {&w->nested_ike_udp4, c->no_udp4 || w->index > 0, 4, open_nested_ike_udp},
        {&w->nested_ike_udp6, c->no_udp6 || w->index > 0, 6, open_nested_ike_udp},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(todo); i++) {
        todo[i].s->fd = todo[i].off ? -1 : todo[i].open(w, todo[i].ver, err);
        if (todo[i].s->fd == -1 && !todo[i].off)
            return -1;
    }
    return 0;
}

void dp_outer_close(struct dp_worker *w)
{
    struct dp_sock *s[SOCKETS];
    list_sockets(w, s);
    for (size_t i = 0; i < DT_ARRAY_LEN(s); i++)
        if (s[i]->fd >= 0)
            close(s[i]->fd);
}

/* ---- ancillary data ------------------------------------------------------------------------------ */

static void add_cmsg(struct msghdr *m, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    m->msg_controllen += CMSG_SPACE(len);
}

void dt_outer_sockaddr(struct dt_addrport *out, const struct sockaddr_storage *s)
{
    memset(out, 0, sizeof *out);
    if (s->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)s;
        out->addr = dt_addr4_bytes(&in->sin_addr);
        out->port = ntohs(in->sin_port);
    } else if (s->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)s;
        out->addr = dt_addr6_bytes(&in6->sin6_addr);
        dt_addr_set_scope(&out->addr, in6->sin6_scope_id);
        out->port = ntohs(in6->sin6_port);
    }
}

void dt_outer_parse(struct dt_outer_meta *m, const struct msghdr *h)
{
    m->gso = 0;
    m->tos = 0;
    memset(&m->local, 0, sizeof m->local);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, c)) {
        int v = 0;
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&v, CMSG_DATA(c), sizeof v);
            m->gso = (uint32_t)v;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            m->tos = *(const uint8_t *)CMSG_DATA(c);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            memcpy(&v, CMSG_DATA(c), sizeof v);
            m->tos = (uint8_t)v;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            m->local = dt_addr4_bytes(&info.ipi_addr);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            m->local = dt_addr6_bytes(&info.ipi6_addr);
            dt_addr_set_scope(&m->local, info.ipi6_ifindex);
        }
    }
}

void dt_outer_source(struct msghdr *m, const struct dt_addr *local)
{
    if (local->ver == 4 && !dt_addr_is_any(local)) {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, local->b, 4);
        add_cmsg(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else if (local->ver == 6 && !dt_addr_is_any(local)) {
        struct in6_pktinfo info = {.ipi6_ifindex = dt_addr_scope(local)};
        memcpy(&info.ipi6_addr, local->b, 16);
        add_cmsg(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

int dt_outer_send(int fd, const struct dt_path *path, const struct iovec *iov, int n, struct dt_err *err)
{
    bool v4 = path->remote.addr.ver == 4;
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(path->remote.port)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(path->remote.port)};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct msghdr m = {.msg_name = v4 ? (void *)&s4 : (void *)&s6,
                       .msg_namelen = v4 ? sizeof s4 : sizeof s6,
                       .msg_iov = (struct iovec *)(uintptr_t)iov,
                       .msg_iovlen = (size_t)n,
                       .msg_control = control.room};
    char text[DT_ADDRPORT_STRLEN];

    memcpy(&s4.sin_addr, path->remote.addr.b, 4);
    memcpy(&s6.sin6_addr, path->remote.addr.b, 16);
    s6.sin6_scope_id = dt_addr_scope(&path->remote.addr);
    memset(&control, 0, sizeof control);
    dt_outer_source(&m, &path->local.addr);
    if (m.msg_controllen == 0)
        m.msg_control = NULL;
    if (sendmsg(fd, &m, 0) < 0)
        return dt_err_set(err, 0, "cannot send to %s: %s", dt_addrport_str(text, &path->remote),
                          strerror(errno));
    return 0;
}

/* ---- path MTU ------------------------------------------------------------------------------------ */

/* Inside another tunnel of this host: what that one carries. The kernel's own idea does not serve, since in transport
 * mode what inner packets were told counts for the outer ones too, which have the same destination, and so on down. */
static uint32_t nested_mtu(struct dt_dp *dp, uint64_t below, bool v4)
{
    uint32_t mtu = dp->cfg.mtu;
    rcu_read_lock();
    struct dp_tunnel *t = dp_tunnel_find(dp, below);
    struct dp_sa *lower = t ? dp_tunnel_sa(t) : NULL;
    uint32_t inner = lower ? atomic_load(v4 ? &lower->inner4 : &lower->inner6) : 0;
    uint32_t limit = t ? rcu_dereference(t->desc)->t.mtu : 0;
    rcu_read_unlock();
    if (inner && inner < mtu)
        mtu = inner;
    return limit && limit < mtu ? limit : mtu;
}

static int open_path_mtu(struct dt_dp *dp, uint8_t ver)
{
    int fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && set_int(fd, SOL_SOCKET, SO_MARK, (int)dp->cfg.mark) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int dp_path_mtu_open(struct dt_dp *dp, struct dt_err *err)
{
    pthread_mutex_init(&dp->path_mtu.lock, NULL);
    dp->path_mtu.fd4 = open_path_mtu(dp, 4);
    dp->path_mtu.fd6 = open_path_mtu(dp, 6);
    return dp->path_mtu.fd4 >= 0 || dp->path_mtu.fd6 >= 0
               ? 0
               : dt_err_set(err, 0, "no socket for path MTUs: %s (CAP_NET_ADMIN is needed)", strerror(errno));
}

void dp_path_mtu_close(struct dt_dp *dp)
{
    if (dp->path_mtu.fd4 >= 0)
        close(dp->path_mtu.fd4);
    if (dp->path_mtu.fd6 >= 0)
        close(dp->path_mtu.fd6);
    pthread_mutex_destroy(&dp->path_mtu.lock);
}

/* The kernel's: of the interface, or what ICMP taught it. */
uint32_t dp_outer_mtu(struct dt_dp *dp, const struct dp_route *r, const struct dp_sa *sa)
{
    bool v4 = r->path.remote.addr.ver == 4;
    if (sa->below)
        return nested_mtu(dp, sa->below, v4);
    int fd = v4 ? dp->path_mtu.fd4 : dp->path_mtu.fd6, mtu = 0;
    socklen_t len = sizeof mtu;
    const struct sockaddr none = {.sa_family = AF_UNSPEC};

    if (fd < 0)
        return 0;
    /* A raw path has no port; connect() wants one, and sends nothing. */
    struct sockaddr_in6 to;
    memcpy(&to, &r->to, sizeof r->to);
    to.sin6_port = htons(DT_PORT_NATT); /* the port lies at the same place in both */
    pthread_mutex_lock(&dp->path_mtu.lock);
    if (connect(fd, (struct sockaddr *)&to, r->to_len) < 0 ||
        getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &len) < 0)
        mtu = 0;
    (void)connect(fd, &none,
                  sizeof none); /* the next question is about another destination, from another address */
    pthread_mutex_unlock(&dp->path_mtu.lock);
    return mtu > 0 ? (uint32_t)mtu : 0;
}

void dp_sa_set_mtu(struct dp_sa *sa, const struct dt_path *path, uint32_t mtu, dt_time now)
{
    atomic_store(&sa->mtu, mtu);
    atomic_store(&sa->inner4, mtu ? dt_tunnel_inner_mtu(sa->out, path, mtu, 4) : 0);
    atomic_store(&sa->inner6, mtu ? dt_tunnel_inner_mtu(sa->out, path, mtu, 6) : 0);
    atomic_store(&sa->mtu_until, dt_time_add(now, sa->below ? DT_SEC : DP_PMTU_LIFE));
}

static void mtu_changed(struct dp_worker *w, struct dp_sa *sa, const struct dp_route *r)
{
    uint32_t mtu = dp_outer_mtu(w->dp, r, sa);
    if (mtu == 0 || mtu == atomic_load(&sa->mtu))
        return;
    dp_sa_set_mtu(sa, &r->path, mtu, w->now);
    dp_event(
        w, &(struct dt_dp_event){
               .kind = DT_DP_PATH_MTU, .sa = sa->id, .tunnel = sa->tunnel->id, .mtu = mtu, .path = r->path});
}

/* ---- sending ------------------------------------------------------------------------------------- */

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
};

/* Messages of one call: same socket, same DF. */
struct out_call {
    unsigned n;
    struct mmsghdr msg[DT_ESP_BATCH];
    struct iovec iov[DT_ESP_BATCH];
    union control control[DT_ESP_BATCH];
    uint16_t segs[DT_ESP_BATCH], size[DT_ESP_BATCH];
};

static int df_of(const struct dp_sa *sa, bool df)
{
    return !df ? DF_CLEAR : sa->below ? DF_NESTED : DF_SET;
}

static void set_df(struct dp_sock *s, uint8_t ver, int df)
{
    if (s->df != df)
        (void)change_df(s->fd, ver, df); /* each was tried when the socket was opened (try_df) */
    s->df = df;
}

/* How many packets from i on leave in one message: as the kernel cuts it, all of one size but the last. */
static unsigned run_length(const struct dp_tx *x, unsigned i, bool gso)
{
    unsigned n = 1;
    uint32_t bytes = x->pkt[i].len;
    while (gso && i + n < x->n && n < GSO_SEGS) {
        const struct dt_esp_pkt *k = &x->pkt[i + n];
        if (k->verdict != DT_ESP_OK || x->tos[i + n] != x->tos[i] || x->df[i + n] != x->df[i] ||
            k->len > x->pkt[i].len || bytes + k->len > GSO_BYTES)
            break;
        bytes += k->len;
        n++;
        if (k->len < x->pkt[i].len)
            break;
    }
    return n;
}

static void add_message(const struct dp_worker *w, struct out_call *c, const struct dp_sa *sa,
                        const struct dp_route *r, unsigned i, unsigned n)
{
    const struct dp_tx *x = &w->tx;
    struct msghdr *m = &c->msg[c->n].msg_hdr;
    bool v4 = r->path.remote.addr.ver == 4;
    int tos = x->tos[i];

    c->iov[c->n].iov_base = x->pkt[i].p;
    c->iov[c->n].iov_len = (size_t)(x->pkt[i + n - 1].p + x->pkt[i + n - 1].len - x->pkt[i].p);
    *m = (struct msghdr){.msg_name = (void *)(uintptr_t)&r->to,
                         .msg_namelen = r->to_len,
                         .msg_iov = &c->iov[c->n],
                         .msg_iovlen = 1,
                         .msg_control = c->control[c->n].room};
    dt_outer_source(m, &r->path.local.addr);
    if (tos)
        add_cmsg(m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos);
    c->segs[c->n] = (uint16_t)n;
    c->size[c->n] = (uint16_t)x->pkt[i].len;
    if (n > 1) {
        uint16_t size = (uint16_t)x->pkt[i].len;
        add_cmsg(m, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
    }
    if (m->msg_controllen == 0)
        m->msg_control = NULL;
    c->n++;
}

/* The kernel would not cut message i for this device, or says that it is too large: each packet by itself. Bit k of
 * left: packet k has not gone yet; those alone are sent, and what went is taken out. Why says what became of one that did
 * not go; too large before all else, since that one goes in fragments. */
static void send_singly(struct dp_sock *s, const struct out_call *c, unsigned i, uint64_t *left, int *why)
{
    struct msghdr m = c->msg[i].msg_hdr;
    struct iovec iov;
    uint8_t *base = c->iov[i].iov_base;
    bool too_big = false;

    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    if (c->segs[i] > 1)
        m.msg_controllen -= CMSG_SPACE(sizeof(uint16_t)); /* the size for UDP_SEGMENT stands last */
    if (m.msg_controllen == 0)
        m.msg_control = NULL;
    for (unsigned k = 0; k < c->segs[i]; k++) {
        size_t at = (size_t)k * c->size[i], rest = c->iov[i].iov_len - at;
        if (!(*left >> k & 1))
            continue;
        iov = (struct iovec){.iov_base = base + at, .iov_len = rest < c->size[i] ? rest : c->size[i]};
        if (sendmsg(s->fd, &m, 0) >= 0) {
            *left &= ~(UINT64_C(1) << k);
        } else {
            *why = errno;
            too_big |= *why == EMSGSIZE;
        }
    }
    if (too_big)
        *why = EMSGSIZE;
}

static void count_sent(struct dp_worker *w, const struct out_call *c, unsigned from, unsigned n)
{
    uint64_t packets = 0, bytes = 0;
    for (unsigned i = from; i < from + n; i++) {
        packets += c->segs[i];
        bytes += c->iov[i].iov_len;
    }
    dp_count(w, DT_DPC_SENT, packets);
    dp_count(w, DT_DPC_SENT_BYTES, bytes);
}

static void send_call(struct dp_worker *w, struct dp_sock *s, struct out_call *c, struct dp_sa *sa,
                      const struct dp_route *r)
{
    bool waited = false;
    int tried = -1;
    int df = s->df;
    for (unsigned i = 0; i < c->n;) {
        if (s->df != df && df >= 0)
            set_df(s, r->path.remote.addr.ver, df);
        int n = sendmmsg(s->fd, &c->msg[i], c->n - i, 0);
        if (n > 0) {
            count_sent(w, c, i, (unsigned)n);
            i += (unsigned)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN && !waited) {
            struct pollfd p = {.fd = s->fd, .events = POLLOUT};
            poll(&p, 1, SEND_WAIT);
            waited = true;
            continue;
        }
        int why = errno;
        dp_outer_drain_errors(s);
        if (why != EMSGSIZE && tried != (int)i) { /* it may have been the news of an earlier packet */
            tried = (int)i;
            continue;
        }
        uint64_t left = UINT64_MAX >> (GSO_SEGS - c->segs[i]);
        if ((why == EIO || why == EINVAL) && c->segs[i] > 1)
            send_singly(s, c, i, &left, &why);
        if (why == EMSGSIZE && left) { /* older kernels say EINVAL of many, EMSGSIZE of each */
            mtu_changed(w, sa, r);
            set_df(s, r->path.remote.addr.ver, DF_CLEAR); /* sealed already: in fragments, this once */
            send_singly(s, c, i, &left, &why);
        }
        unsigned lost = (unsigned)__builtin_popcountll(left);
        dp_count(w, DT_DPC_SENT, c->segs[i] - lost);
        dp_count(w, DT_DPC_SEND_FAILED, lost);
        i++;
    }
    c->n = 0;
}

static struct dp_sock *socket_for(struct dp_worker *w, const struct dt_path *path, bool nested)
{
    bool v4 = path->remote.addr.ver == 4;
    if (nested)
        return path->natt ? (v4 ? &w->nested_udp4 : &w->nested_udp6) : v4 ? &w->nested_esp4 : &w->nested_esp6;
    return path->natt ? (v4 ? &w->udp4 : &w->udp6) : v4 ? &w->esp4 : &w->esp6;
}

void dp_outer_send(struct dp_worker *w)
{
    struct dp_tx *x = &w->tx;
    struct dp_sa *sa = x->sa;
    const struct dp_route *r = rcu_dereference(sa->route);
    struct dp_sock *s = socket_for(w, &r->path, sa->below != 0);
    struct out_call c;
    bool gso = r->path.natt && !w->dp->cfg.no_gso;
    size_t overhead = dt_tunnel_outer_overhead(&r->path), mtu = atomic_load(&sa->mtu);

    c.n = 0;
    if (s->fd < 0) {
        dp_count(w, DT_DPC_SEND_FAILED, x->n);
        return;
    }
    for (unsigned i = 0; i < x->n;) {
        if (x->pkt[i].verdict != DT_ESP_OK) {
            i++;
            continue;
        }
        /* What is to be fragmented is not for the kernel to cut. */
        unsigned n = run_length(x, i, gso && (x->df[i] || x->pkt[i].len + overhead <= mtu));
        if (s->df != df_of(sa, x->df[i])) { /* what is waiting goes with the old setting */
            send_call(w, s, &c, sa, r);
            set_df(s, r->path.remote.addr.ver, df_of(sa, x->df[i]));
        }
        add_message(w, &c, sa, r, i, n);
        i += n;
    }
    send_call(w, s, &c, sa, r);
}
