/* A TUN device with queues, offload header and segmentation offloads. Not persistent: it goes when the last of its
 * descriptors is closed, and its addresses and routes with it. */
#ifndef DT_NET_TUN_H
#define DT_NET_TUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dt_tun {
    char name[16];
    unsigned index;
    bool gso; /* super-packets, TCP */
    bool uso; /* and UDP (Linux 6.2) */
};

/* Opens `queues` descriptors (non-blocking) of one new device; name may hold "%d". On failure nothing is left. */
int dt_tun_open(struct dt_tun *tun, const char *name, bool gso, unsigned queues, int *fd, struct dt_err *err);
/* Sets its MTU, and super-packets no larger than what leaves in one UDP_SEGMENT call when every segment has grown by ESP. Keeps
 * the kernel from giving it a link-local address, and from looking for routers through it. What cannot be set is noise in
 * counters, or slower, at most. */
void dt_tun_link(const struct dt_tun *tun, uint32_t mtu);

#endif
