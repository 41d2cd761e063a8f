/* Descriptors that a libuv loop watches for good.
 *
 * libuv ends a uv_poll_t at the first error of its descriptor (POLLERR): the callback hears it once, with a status below 0, and
 * nothing ever after. Of a socket an error is news like any other: a netlink socket overflowed (ENOBUFS), or ICMP came for a UDP
 * socket. */
#ifndef DT_NET_WATCH_H
#define DT_NET_WATCH_H

#include <uv.h>

/* To be called first in the callback of a uv_poll_t that watches for UV_READABLE: after an error it watches on. The callback must
 * then read, which takes the error away; else it is called again at once. */
void dt_watch_on(uv_poll_t *p, int status, uv_poll_cb cb);

#endif
