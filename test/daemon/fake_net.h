/* The outside world of a daemon under test: the data path is that of a host of the endpoint's test world, the kernel takes
 * whatever it is told, and there are no sockets. Linked into a test program, these stand before those of the rooms net
 * and host. */
#ifndef DT_TEST_DAEMON_FAKE_NET_H
#define DT_TEST_DAEMON_FAKE_NET_H

#include "endpoint/world.h"
#include "net/datapath.h"
#include "net/names.h"
#include "net/netlink.h"

/* Whose data path it is from now on. */
struct dt_dp *fake_dp(struct world_host *h);
struct dt_nl *fake_nl(void);
/* The host has no address and no route now. */
void fake_no_route(bool none);

/* From now on discovery finds (or not) what it opens of a host; nothing is ever heard there. */
void fake_discovery(bool there);

/* Look-ups under way, the oldest first; that number `which` is answered with 192.0.2.`host`, or (0) fails. Then
 * resolve_answers(). */
struct dt_names *fake_names(void);
unsigned fake_lookups(void);
const char *fake_lookup_name(unsigned which);
void fake_lookup_answer(unsigned which, unsigned host);

#endif
