/* A UDP socket for IKE on port 500: bound to a port on all addresses of one IP version, told on which local
 * address a datagram arrived, and sending from a chosen one. Non-blocking. */
#ifndef DT_NET_UDP_SOCKET_H
#define DT_NET_UDP_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/path.h"

/* ver 4 or 6. mark: SO_MARK, 0 for none. Returns the descriptor, or -1; of a port that is taken *err says who has it. */
int dt_udp_open(uint8_t ver, uint16_t port, uint32_t mark, struct dt_err *err);
/* The error of a bind to that port which failed with errno `why`. Returns -1. */
int dt_udp_port_refused(uint8_t ver, uint16_t port, int why, struct dt_err *err);
/* One that sends from the same port under another mark, and hears nothing. After dt_udp_open. */
int dt_udp_open_deaf(uint8_t ver, uint16_t port, uint32_t mark, struct dt_err *err);
/* One datagram into buf; path->local.addr is where it arrived, local.port is `port` as bound, natt false.
 * Returns its length (a datagram longer than cap is dropped and looks like the next one), or -1 when there is
 * none now. */
ssize_t dt_udp_recv(int fd, uint16_t port, void *buf, size_t cap, struct dt_path *path);
/* From path->local.addr (or whichever the kernel likes when it is none; a deaf socket takes none) to path->remote. 0, or -1. */
int dt_udp_send(int fd, const struct dt_path *path, const void *msg, size_t len, struct dt_err *err);

#endif
