/* Inside the net room: requests on the rtnetlink socket of net/netlink.h. */
#ifndef DT_NET_NL_H
#define DT_NET_NL_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "net/netlink.h"

struct dt_nl {
    struct mnl_socket *sock; /* NULL after an error that left it unusable: the next request opens another */
    unsigned port;
    uint32_t seq;
    char request[2048];
    char buf[32768];
};

/* Is handed each message of an answer. -1 with errno: the request fails with it. */
typedef int (*nl_each)(const struct nlmsghdr *h, void *ctx);
/* Forgets what nl_each has collected: a dump was interrupted and begins anew. */
typedef void (*nl_again)(void *ctx);

/* Begins a request in nl->request; valid until the next one begins. */
struct nlmsghdr *nl_begin(struct dt_nl *nl, uint16_t type, uint16_t flags);
/* Sends it and reads its answer to the end. 0, or -1 with errno (EINTR: a dump that missed something). */
int nl_talk(struct dt_nl *nl, struct nlmsghdr *h, nl_each each, void *ctx);
/* A change: sends it and waits for the acknowledgement. */
int nl_do(struct dt_nl *nl, struct nlmsghdr *h);
/* A dump, repeated while the kernel says that its table changed meanwhile; EAGAIN: it never stood still. */
int nl_dump(struct dt_nl *nl, struct nlmsghdr *h, nl_each each, nl_again again, void *ctx);
/* Room for one entry more in a growing array of what a dump found. NULL with errno: no memory, or `max` are there. */
void *nl_room(void **v, size_t n, size_t *cap, size_t size, size_t max);

#endif
