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
/* The same for a mark of this message alone. */
void dt_outer_mark(struct msghdr *m, uint32_t mark);
/* One datagram, gathered from n pieces, from path->local to path->remote; mark 0: the socket's. */
int dt_outer_send(int fd, const struct dt_path *path, const struct iovec *iov, int n, uint32_t mark,
                  struct dt_err *err);

#endif
