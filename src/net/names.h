/* Names to addresses, without threads: /etc/hosts and the name servers of /etc/resolv.conf, asked by c-ares. (What else
 * nsswitch.conf may name, such as mDNS, is not asked.)
 *
 * Each query bears a mark, so that it goes outside of a full tunnel, and its answer is known as exempt. Where resolv.conf
 * names systemd-resolved's stub, the servers that resolved itself asks are asked directly: its own queries bear no
 * mark of ours. resolv.conf is read again when it has changed, and what is under way is then asked anew.
 *
 * Nobody waits here: not for a server that never answers, not at the end. One thread asks and takes answers. */
#ifndef DT_NET_NAMES_H
#define DT_NET_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

#define DT_NAMES_AT_ONCE 64    /* look-ups; half of them at most for names that failed before */
#define DT_NAMES_ASKED   65536 /* that wait or are under way; more is an error */
#define DT_NAMES_ADDRS   8     /* of one name */

struct dt_names;

struct dt_names_cfg {
    uint32_t mark; /* SO_MARK of every query; 0: none */
    /* Who makes the sockets of queries, with the mark, when this process has given up its rights: ver 4 or 6; the descriptor
     * (non-blocking), or -1. NULL: this process makes them. */
    int (*marked)(void *user, uint8_t ver, bool stream);
    void *user;
    /* For tests: NULL and 0 are what the host has. */
    const char *resolv_conf, *resolved_conf;
    uint16_t port; /* of the name servers */
};
/* cfg is borrowed, its texts for good. NULL with *err: no memory, no descriptor. */
struct dt_names *dt_names_open(const struct dt_names_cfg *cfg, struct dt_err *err);
void dt_names_close(struct dt_names *n);   /* nobody is answered any more. NULL is fine */
int dt_names_fd(const struct dt_names *n); /* readable when dt_names_next has something to do */

/* Looks a name up. The answer bears `ticket`, a number of the caller's that none of its others under way has. `again`: it
 * failed last time, and waits behind the others. -1 with *err: too many, no memory. */
int dt_names_ask(struct dt_names *n, const char *name, bool again, uint64_t ticket, struct dt_err *err);
/* No answer comes for this ticket any more. */
void dt_names_forget(struct dt_names *n, uint64_t ticket);

struct dt_names_answer {
    uint64_t ticket;
    /* Without repetitions; 0: none, and why. Those that a route leads to come first, of these IPv6 (RFC 6724); otherwise in
     * the order of the answer. */
    uint8_t naddr;
    uint16_t more; /* that there was no room for */
    struct dt_addr addr[DT_NAMES_ADDRS];
    char why[96];
};
/* Does what is to be done, and gives the next answer. False: none now. */
bool dt_names_next(struct dt_names *n, struct dt_names_answer *out);

#endif
