/* Ancillary data of datagrams, shared by the data path and the IKE socket. Not for other rooms. */
#ifndef DT_NET_OUTER_H
#define DT_NET_OUTER_H

#include <sys/socket.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/path.h"

struct dt_outer_meta {
    struct dt_addr local; /* where the datagram arrived */
    uint8_t tos;
    uint32_t gso; /* size of each datagram that the kernel put together; 0: one */
};
void dt_outer_parse(struct dt_outer_meta *m, const struct msghdr *h);
void dt_outer_sockaddr(struct dt_addrport *out, const struct sockaddr_storage *s);
/* Appends the source address to m's control data, which must have room. */
void dt_outer_source(struct msghdr *m, const struct dt_addr *local);
/* One datagram, gathered from n pieces, from path->local to path->remote. */
int dt_outer_send(int fd, const struct dt_path *path, const struct iovec *iov, int n, struct dt_err *err);
/* Binds a socket that only sends: at a port, and at an address that nobody has (192.0.0.8 of RFC 7600, 100::1 of RFC 6666).
 * So no packet and no ICMP error is ever for it, and it is in nobody's SO_REUSEPORT group. Each datagram says its source.
 * 0, or -1 with errno. */
int dt_outer_bind_deaf(int fd, uint8_t ver, uint16_t port);

#endif
