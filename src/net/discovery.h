/* What tunnel endpoint discovery needs of this host (US 7,207,063, FIG. 2): probes that leave with another host's
 * address, and probes that pass through. All for the control thread. (Packets of our hosts go into the TUN device by routing
 * rules: discovery/host.c.) */
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

/* ---- probes that pass through ---------------------------------------------------------------- */

/* Sees UDP datagrams to port `port` with ISAKMP exchange type 240 that arrive on any interface (AF_PACKET and a socket filter that
 * nobody can take off again), and keeps those for a host of ours from going on (the table "inet dovetail_discovery" of nftables).
 * Those for others go on, and are for the caller to ignore; everything else passes untouched and unseen. The table is compared by what the kernel says of it, so that any change by somebody else is found; the
 * kernel lets nobody else change it (NFT_TABLE_F_OWNER, Linux 5.12), and removes it when this process ends, however it ends. On an
 * older kernel it stays, and the next one takes it over. */
#define DT_TAP_TABLE    "dovetail_discovery"
#define DT_TAP_PREFIXES 256 /* of hosts of ours */
struct dt_tap;
struct dt_tap *dt_tap_open(uint16_t port, struct dt_err *err);
/* One that only reads, from descriptors of another's tap, which it closes. NULL: no memory. */
struct dt_tap *dt_tap_of(int fd4, int fd6);
void dt_tap_close(struct dt_tap *t); /* NULL is fine; with the table */
/* The hosts behind us, n of at most DT_TAP_PREFIXES, for dt_tap_set. Returns what dt_tap_read says when that stands. */
uint64_t dt_tap_want(struct dt_tap *t, const struct dt_prefix *host, size_t n);
/* 0: there is no table; else a number that is the wanted one only if the table is what was set last, to the bit. -1 with *err. */
int dt_tap_read(struct dt_tap *t, uint64_t *value, struct dt_err *err);
int dt_tap_set(struct dt_tap *t, struct dt_err *err);    /* in one transaction: no moment without */
int dt_tap_remove(struct dt_tap *t,
                  struct dt_err *err);              /* nothing is held back; no table there is no error */
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

#endif
