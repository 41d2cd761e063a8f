/* dovetaild without its host: the daemon's own code (commands, waits, tunnels, driver, plans) over the endpoint, on one
 * host of the endpoint's test world, in virtual time. Its control socket is a real one. One at a time in a process. */
#ifndef DT_TEST_DAEMON_ROOM_H
#define DT_TEST_DAEMON_ROOM_H

#include "daemon/apply.h"
#include "daemon/commands.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/fake_net.h"
#include "daemon/status.h"
#include "daemon/top.h"
#include "daemon/waits.h"
#include "discovery/discovery.h"
#include "plans/plans.h"
#include "tunnels/closed.h"
#include "tunnels/daemon.h"
#include "tunnels/monitors.h"
#include "tunnels/tunnels.h"

#define ROOM_PSK "the shared secret of the tests"
/* What the world's hosts propose. */
#define ROOM_PROPOSALS "ike = \"aes128gcm16-prfsha256-x25519\" esp = \"aes128gcm16-esn\" "

struct room {
    struct world w; /* the daemon is on host 0 */
    struct daemon d;
    struct top top;
    char dir[64], conf[96], sock[96];
    void (*heard)(struct room *r,
                  const struct dt_event *ev); /* the daemon's events, after the daemon; may be NULL */
};

/* Begins with `hosts` hosts and that configuration. Once for each process: a folder for configuration and socket. */
void room_begin(struct room *r, uint64_t seed, int hosts, const char *conf);
void room_end(struct room *r);
/* The configuration file from now on; the daemon reads it when it is told to reload. */
void room_write(struct room *r, const char *conf);
/* The loop's turns that the control socket needs, without time passing. */
void room_turn(struct room *r);
void room_pass(struct room *r, dt_time time);

/* A connection to the control socket. */
int room_connect(struct room *r);
/* Sends text; what does not fit into the socket is left out. */
void room_send(int fd, const char *text);
/* Appends what has come to buf (kept NUL-terminated). -1: closed by the daemon; else octets. */
int room_read(int fd, char *buf, size_t cap);

#endif
