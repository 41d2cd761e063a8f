/* A whole dovetaild without a kernel: the daemon's own files and a real endpoint, over a data path, tables of routes and a
 * network that only remember. The linker puts the functions of fake_host.c in place of the net room's (--wrap in
 * meson.build). IKE goes from one fake host to another; a probe is answered when the far end has the SA. */
#ifndef DT_TEST_DAEMON_FAKE_HOST_H
#define DT_TEST_DAEMON_FAKE_HOST_H

#include "support/test.h"

#include "daemon/apply.h"
#include "daemon/commands.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/status.h"
#include "daemon/top.h"
#include "daemon/waits.h"
#include "discovery/discovery.h"
#include "plans/plans.h"
#include "tunnels/closed.h"
#include "tunnels/daemon.h"
#include "tunnels/monitors.h"
#include "tunnels/tunnels.h"

#define FAKE_TUNNELS 512
#define FAKE_SAS     256
#define FAKE_FACTS   512
#define FAKE_QUEUE   256

struct fake_tunnel {
    struct dt_dp_tunnel set; /* id 0: free */
    enum dt_dp_state state;
    uint64_t sa;
};

struct fake_host {
    struct daemon d;
    struct top top;
    struct dt_host *host;
    struct dt_addr addr; /* what the kernel would choose towards everybody */
    bool deaf;           /* nothing reaches it */
    struct fake_tunnel tunnel[FAKE_TUNNELS];
    size_t tunnels_max; /* of its data path; 0: all that there is room for */
    struct fake_sa {
        uint64_t id; /* 0: free */
        uint32_t spi_in, spi_out;
    } sa[FAKE_SAS];
    size_t nfact; /* of the kernel: routes, addresses, rules */
    struct dt_host_fact fact[FAKE_FACTS];
    struct dt_addr host_addr[4]; /* of the host's other interfaces; ver 0: none */
    struct dt_prefix routed;     /* that a route other than the default one leads to; len 0: none */
    unsigned sessions_opened, sessions_down, gone; /* events */
    char why[DT_ERR_TEXT];                         /* of the last tunnel that was gone */
};

extern unsigned fake_strays; /* datagrams that were sent from an address that is no host's `addr` */

struct fake_host *fake_host_new(struct dt_addr addr);
void fake_host_free(struct fake_host *h);
/* Reads the text and applies it; the report of it, as `dovetail reload` would answer. */
json_t *fake_host_apply(struct fake_host *h, const char *text);
/* Lets everything happen that does not need time to pass. */
void fake_hosts_run(struct fake_host **h, size_t n);
/* NULL: the data path does not know it. */
const struct fake_tunnel *fake_host_tunnel(const struct fake_host *h, const char *name);
bool fake_host_up(struct fake_host *h, const char *name);
/* SPI of the SA that carries the tunnel's data; 0: none does. */
uint32_t fake_host_spi(struct fake_host *h, const char *name);
size_t fake_host_clients(struct fake_host *h);

#endif
