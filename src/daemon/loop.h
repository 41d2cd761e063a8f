/* The control thread's loop: sockets, the data path's events, news of the network, signals. */
#ifndef DT_DAEMON_LOOP_H
#define DT_DAEMON_LOOP_H

#include <uv.h>

#include "base/bucket.h"
#include "base/err.h"

struct daemon;

struct loop {
    uv_poll_t ike4, ike6, dp_poll, nl_poll, nft_poll, names_poll, keeper_poll;
    int nl_fd, nft_fd;
    uv_timer_t settle; /* after news of the network: tunnels look for another path */
    struct dt_bucket heals;
    uv_timer_t heal;   /* after the same news, sooner: the host is made as it is wanted */
    uv_timer_t beat;   /* five times a second: resolving, waits, metrics that are sampled */
    uv_prepare_t turn; /* the end of each turn of the loop */
    uv_signal_t sigint, sigterm, sighup, sigusr1;
};

int loop_open(struct daemon *d, struct dt_err *err); /* sockets and handles */
void loop_start(struct daemon *d);                   /* begins to read */
void loop_close(struct daemon *d);

#endif
