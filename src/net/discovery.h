/* What tunnel endpoint discovery needs of this host (US 7,207,063, FIG. 2): probes that leave with another host's
 * address, probes that pass through, and packets of our hosts that must go into the TUN device without being in its
 * routes. All for the control thread; addresses and masks as in ted/proxy.h (holes allowed). */
#ifndef DT_NET_DISCOVERY_H
#define DT_NET_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"

/* ---- probes that leave ----------------------------------------------------------------------- */

/* A raw socket for whole packets of one IP version; `mark` keeps them out of tunnels. Descriptor, or -1. */
int dt_raw_udp_open(uint8_t ver, uint32_t mark, struct dt_err *err);
/* One UDP datagram from any source address. 0, or -1. */
int dt_raw_udp_send(int fd, const struct dt_addr *src, uint16_t sport, const struct dt_addr *dst,
                    uint16_t dport, const void *msg, size_t len, struct dt_err *err);

/* What goes into the TUN device: a whole proxy. proto, sport, dport: 0 for any. */
struct dt_steer_rule {
    struct dt_prefix src, dst;
    uint8_t proto;
    uint16_t sport, dport;
};
#define DT_STEER_RULES 512
/* The mark of forwarded fragments that may be such a rule's: they go into the device, where the first one's ports say which
 * are (net/dp.h); the others are dropped there, and not sent in the clear. */
#define DT_STEER_FRAGMENT 0x44560003u

/* ---- probes that pass through ---------------------------------------------------------------- */

/* The hosts behind us: a probe is ours when its destination & mask is addr. */
struct dt_tap_half {
    struct dt_addr addr, mask;
};
#define DT_TAP_HALVES 256

/* Sees UDP datagrams to port `port` with ISAKMP exchange type 240 that arrive on any interface for a host of ours
 * (AF_PACKET and a socket filter), and keeps them from going on (a table of nftables of our own, which the kernel
 * removes when this process ends, however it ends). Everything else passes untouched and unseen. */
struct dt_tap;
struct dt_tap *dt_tap_open(uint16_t port, struct dt_err *err);
/* One that only reads, from descriptors of another's tap, which it closes. NULL: no memory. */
struct dt_tap *dt_tap_of(int fd4, int fd6);
void dt_tap_close(struct dt_tap *t); /* NULL is fine */
/* From now on for these; none: nothing is seen or held back. The same table marks the fragments of what `steer` sends
 * into the device by ports: no routing rule sees ports in a fragment (DT_STEER_FRAGMENT). */
int dt_tap_set(struct dt_tap *t, const struct dt_tap_half *half, size_t n, const struct dt_steer_rule *steer,
               size_t nsteer, struct dt_err *err);
int dt_tap_fd(const struct dt_tap *t, uint8_t ver); /* readable when one was seen; -1: no such IP version */

struct dt_tap_probe {
    struct dt_addr src, dst;
    uint16_t sport;
    const uint8_t *msg; /* in buf */
    size_t len;
};
/* The next one into buf. False: none now. */
bool dt_tap_recv(struct dt_tap *t, uint8_t ver, uint8_t *buf, size_t cap, struct dt_tap_probe *out);
/* Those that came faster than they were read, since the start. */
uint64_t dt_tap_lost(struct dt_tap *t);

/* ---- packets of our hosts -------------------------------------------------------------------- */

/* Routing rules at `priority` and the two after it, and table `table` with one route into the device. Packets with
 * `mark` and packets to a host of our own side pass them by; what matches a rule, or is marked DT_STEER_FRAGMENT, goes
 * into the device. */
struct dt_steer;
/* Removes what a killed process left at these priorities. */
struct dt_steer *dt_steer_open(unsigned tun_ifindex, uint32_t mark, uint32_t table, uint32_t priority,
                               struct dt_err *err);
int dt_steer_set(struct dt_steer *s, const struct dt_steer_rule *rule, size_t n, struct dt_err *err);
void dt_steer_close(struct dt_steer *s);

#endif
