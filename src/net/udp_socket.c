#include "net/udp_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/outer.h"

union control {
    struct cmsghdr align;
    char room[128];
};

int dt_udp_open(uint8_t ver, uint16_t port, uint32_t mark, struct dt_err *err)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int one = 1, fd = socket(ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return dt_err_set(err, 0, "no UDP socket (IPv%d): %s", ver, strerror(errno));
    if (mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) {
        dt_err_set(err, 0, "cannot mark IKE packets: %s (CAP_NET_ADMIN is needed)", strerror(errno));
        close(fd);
        return -1;
    }
    /* A gateway that comes back is greeted by all its clients at once. */
    int room = 4 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (ver == 4) {
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
    } else {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
    }
    if (bind(fd, ver == 4 ? (void *)&s4 : (void *)&s6, ver == 4 ? sizeof s4 : sizeof s6) < 0) {
        dt_err_set(err, 0, "UDP port %u (IPv%d) cannot be had: %s%s", port, ver, strerror(errno),
                   errno == EADDRINUSE ? "; is another IKE daemon running?" : "");
        close(fd);
        return -1;
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

int dt_udp_send(int fd, const struct dt_path *path, const void *msg, size_t len, uint32_t mark,
                struct dt_err *err)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)msg, .iov_len = len};
    return dt_outer_send(fd, path, &iov, 1, mark, err);
}
