/* The keeper: a small process with rights beside a daemon that has none.
 *
 * The daemon forks it before it reads anything, so that it never holds a secret, and gives its own rights up when it has what
 * it opens once. What needs rights afterwards it asks the keeper for, which decides by itself what it grants: whoever takes
 * over the daemon through what it reads from the network gets no more than stands here.
 *
 *   load      the configuration. A child of the keeper's reads the file that was named at start, and gives descriptors of
 *             that file, of what it includes, and of the files of secrets, keys and certificates that it names; of nothing else. The child then ends:
 *             its memory has what the file says, the keeper's never does
 *   setup     once, before the daemon hears from anybody: the device's name, ports, and the control socket's path
 *   keep      what the daemon must find again when it starts, in the two files that the setup names: replaced as a whole
 *   keylog    a descriptor for appending to the file of ESP's keys that the setup names, where there is such a setting
 *   device    the TUN device, deleted by somebody, under the same name again: a descriptor for each worker
 *   want      what is wanted of the host (host/host.h): addresses on that device, routes in our tables, rules, the packet
 *             filter, and discovery's probes. Each fact is checked, their number is bounded. News of what had to be mended come back with the result
 *   names     the device's name servers and domains, said to the resolver of this host (names.c)
 *   socket    a UDP or TCP socket that bears the data path's mark, bound to nothing
 *   discover  discovery's raw sockets and its tap (net/discovery.h)
 *   dismiss   the daemon ends: its control socket is removed, and the keeper ends
 *
 * There is no request that names a file. A request that is not as it should be ends the conversation: a daemon that sends
 * one is not the one that was started.
 *
 * When the conversation ends without a goodbye, the daemon was killed, and the keeper outlives it for a moment: unless a
 * new daemon answers, it removes the control socket and, where nothing was closed, the routing rules. What was closed stays
 * closed until a daemon runs again or somebody opens it (`dovetaild --open`).
 *
 * All functions belong to one thread of the daemon's, and wait for the answer. */
#ifndef DT_KEEPER_KEEPER_H
#define DT_KEEPER_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "host/host.h"
#include "net/discovery.h"
#include "net/tun.h"

#define DT_KEEPER_TABLE    17494u /* the routing table, and the priority of the rule that leads to it */
#define DT_KEEPER_PATIENCE 20     /* seconds; a keeper that has not answered by then is given up */

struct dt_keeper;

/* Forks it; `config` is the configuration's path (absolute), copied. Call it before anything is read, and before there is a
 * second thread. NULL with *err. */
struct dt_keeper *dt_keeper_start(const char *config, struct dt_err *err);
/* Says goodbye: the control socket is gone when this returns. NULL is fine. */
void dt_keeper_dismiss(struct dt_keeper *k);
/* Readable when the keeper has ended. */
int dt_keeper_fd(const struct dt_keeper *k);
/* It has ended, or did not answer: what needs it fails from now on, with this sentence. NULL: all is well. */
const char *dt_keeper_gone(const struct dt_keeper *k);
/* Looks whether it is there; as dt_keeper_gone. */
const char *dt_keeper_look(struct dt_keeper *k);

/* As dt_config_load(), with descriptors of the keeper's; a keeper that is gone is an error in *out like any other. */
int dt_keeper_load(struct dt_keeper *k, struct dt_config *out);

struct dt_keeper_setup {
    char device[16];      /* the TUN device's name */
    char socket[1024];    /* the control socket's path, absolute */
    char kept[1024];      /* of the file that the daemon writes while it runs, absolute; empty: none */
    char leases[1024];    /* of the database of leases, for when the daemon could not open it; absolute; empty: none */
    char keylog[1024];    /* of the file that keys of ESP's SAs are appended to, absolute; empty: none */
    uint32_t mtu, queues; /* of the device, and how many descriptors it has */
    uint16_t ike_port, natt_port;
};
/* Answers with a sentence in `note` about what this host lacks (a packet filter); empty: nothing. 0, or -1 with *err. */
int dt_keeper_setup(struct dt_keeper *k, const struct dt_keeper_setup *s, char note[DT_ERR_TEXT],
                    struct dt_err *err);

/* `queues` as in the setup. 0, or -1 with *err. */
int dt_keeper_device(struct dt_keeper *k, struct dt_tun *tun, int *fd, size_t queues, struct dt_err *err);

enum dt_keeper_file { DT_KEEPER_KEPT, DT_KEEPER_LEASES };
/* `data` takes the place of what that file of the setup's has, as a whole, and on the disk. 0, or -1 with *err. */
int dt_keeper_keep(struct dt_keeper *k, enum dt_keeper_file file, const void *data, size_t len,
                   struct dt_err *err);

/* As dt_host_want(): *want is empty afterwards. `mended` is told as struct dt_host_ops says; may be NULL. */
int dt_keeper_want(struct dt_keeper *k, struct dt_host_facts *want, struct dt_host_result *result,
                   void (*mended)(void *user, bool set, const struct dt_host_fact *f,
                                  const struct dt_err *err),
                   void *user);
/* As dt_host_missing(), of the last answer to a want; a keeper that is gone is no reason: what it set stands. */
const char *dt_keeper_missing(const struct dt_keeper *k, uint32_t owner);
/* What the packet filter had dropped when the last want was answered. */
struct dt_host_filter_counters dt_keeper_dropped(const struct dt_keeper *k);

/* A file for keys, opened for appending, and made (0600) where there is none. With this process's own rights. The descriptor, or
 * -1 with *err: a link leads there, or it is somebody else's, or others may read it. */
int dt_keylog_open(const char *path, struct dt_err *err);
/* The same of the setup's `keylog`, by the keeper. */
int dt_keeper_keylog(struct dt_keeper *k, struct dt_err *err);

/* The resolver's part of the host: who is asked what through the device. */
#define DT_KEEPER_NAME_SERVERS DT_IKE_DNS_MAX
struct dt_keeper_names {
    uint8_t n;    /* 0: nothing is wanted, and what was set is taken back */
    uint8_t all;  /* every name is asked there; else those in `domains` alone */
    uint8_t look; /* it was set before: again only where the resolver says something else */
    struct dt_addr server[DT_KEEPER_NAME_SERVERS];
    char domains[DT_DOMAINS_CAP]; /* base/domain.h */
};
/* Begins it. A descriptor to hear from (dt_keeper_hear), which is the caller's; or -1 with *err. */
int dt_keeper_names(struct dt_keeper *k, const struct dt_keeper_names *n, struct dt_err *err);

/* What came of it: rc of the end, below 0: nothing did, and why. */
#define DT_KEEPER_BY_RESOLVED   1
#define DT_KEEPER_BY_RESOLVCONF 2
#define DT_KEEPER_TAKEN_BACK    3
#define DT_KEEPER_SET_AGAIN     16 /* added: somebody had changed it */

/* One word of what the keeper runs beside its conversation. */
struct dt_keeper_word {
    uint8_t end;    /* the last one; before it: a line that the program wrote */
    int32_t rc;     /* of the end */
    char text[512]; /* UTF-8, without control characters */
};
/* Does not wait. True: *w is one; an end comes in any case. */
bool dt_keeper_hear(int fd, struct dt_keeper_word *w);

/* ver 4 or 6. The descriptor (non-blocking), or -1 with *err. */
int dt_keeper_socket(struct dt_keeper *k, uint8_t ver, bool stream, struct dt_err *err);

/* What discovery works with. The descriptors are the caller's. */
struct dt_keeper_discover {
    int raw4, raw6; /* dt_raw_udp_send */
    int tap4, tap6; /* dt_tap_of */
};
int dt_keeper_discover_open(struct dt_keeper *k, struct dt_keeper_discover *out, struct dt_err *err);
/* What it watches for is wanted of the host (DT_HOST_PROBES). */
void dt_keeper_discover_close(struct dt_keeper *k);

#endif
