#include "net/udp_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/outer.h"
#include "net/port_holder.h"

union control {
    struct cmsghdr align;
    char room[128];
};

static int udp_bind_any(int fd, uint8_t ver, uint16_t port)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    return bind(fd, ver == 4 ? (void *)&s4 : (void *)&s6, ver == 4 ? sizeof s4 : sizeof s6);
}

static int udp_open_one(uint8_t ver, struct dt_err *err)
{
    int one = 1, fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return dt_err_set(err, 0, "no UDP socket (IPv%d): %s", ver, strerror(errno));
    if (ver == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) {
        dt_err_set(err, 0, "an IPv6 socket would take IPv4's port as well: %s", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

/* With mark, and sharing its port: a socket that sends under another mark is bound to it too. */
static int open_marked(uint8_t ver, uint32_t mark, struct dt_err *err)
{
    int one = 1, fd = udp_open_one(ver, err);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0) {
        dt_err_set(err, 0, "IKE's sockets cannot share a UDP port: %s", strerror(errno));
        close(fd);
        return -1;
    }
    if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) {
        dt_err_set(err, 0, "cannot mark IKE packets: %s (CAP_NET_ADMIN is needed)", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

int dt_udp_port_refused(uint8_t ver, uint16_t port, int why, struct dt_err *err)
{
    char holder[DT_PORT_HOLDER_STRLEN] = "";
    if (why == EADDRINUSE) {
        struct dt_port_holder h = dt_port_holder(ver, port);
        dt_port_holder_str(holder, &h, port);
    }
    return dt_err_set(err, 0, "UDP port %u (IPv%d) cannot be had: %s%s%s", port, ver, strerror(why),
                      *holder ? ": " : "", holder);
}

/* A gateway that comes back is greeted by all its clients at once. A hint: what is lost is sent again. */
static void enlarge_buffer(int fd)
{
    int room = 4 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
}

/* At which address a datagram arrived: the answer leaves from it. */
static int tell_arrival(int fd, uint8_t ver, struct dt_err *err)
{
    int one = 1, rc = ver == 4 ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one)
                               : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
    return rc ? dt_err_set(err, 0, "where IKE packets arrive (IPv%d) is not told: %s", ver, strerror(errno))
              : 0;
}

int dt_udp_open(uint8_t ver, uint16_t port, uint32_t mark, struct dt_err *err)
{
    int probe = udp_open_one(ver, err); /* it does not share, and so sees whether anybody else has the port */
    if (probe < 0)
        return -1;
    int rc = udp_bind_any(probe, ver, port);
    if (rc < 0)
        dt_udp_port_refused(ver, port, errno, err);
    close(probe);
    int fd = rc < 0 ? -1 : open_marked(ver, mark, err);
    if (fd < 0)
        return -1;
    enlarge_buffer(fd);
    if (tell_arrival(fd, ver, err) < 0) {
        close(fd);
        return -1;
    }
    if (udp_bind_any(fd, ver, port) < 0) {
        dt_udp_port_refused(ver, port, errno, err);
        close(fd);
        return -1;
    }
    return fd;
}

int dt_udp_open_deaf(uint8_t ver, uint16_t port, uint32_t mark, struct dt_err *err)
{
    int fd = open_marked(ver, mark, err);
    if (fd >= 0 && dt_outer_bind_deaf(fd, ver, port) < 0) {
        dt_err_set(err, 0, "UDP port %u (IPv%d) cannot be had for what is nested: %s", port, ver,
                   strerror(errno));
        close(fd);
        fd = -1;
    }
    return fd;
}

ssize_t dt_udp_recv(int fd, uint16_t port, void *buf, size_t cap, struct dt_path *path)
{
    for (;;) {
        struct sockaddr_storage from;
        union control control;
        struct iovec iov = {.iov_base = buf, .iov_len = cap};
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof from,
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
        struct dt_outer_meta meta;
        ssize_t n = recvmsg(fd, &m, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (m.msg_flags & MSG_TRUNC)
            continue;
        dt_outer_parse(&meta, &m);
        memset(path, 0, sizeof *path);
        dt_outer_sockaddr(&path->remote, &from);
        path->local = (struct dt_addrport){.addr = meta.local, .port = port};
        return n;
    }
}

int dt_udp_send(int fd, const struct dt_path *path, const void *msg, size_t len, struct dt_err *err)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = len};
    return dt_outer_send(fd, path, &iov, 1, err);
}
