/* Inside dovetaild: the parts that a running daemon is made of. A room sees its own parts and those of the rooms below it; the
 * others' are pointers to what it does not know. Everything belongs to the control thread.
 *
 *   tunnels     tunnels and gateways: their addresses, leases, what the data path carries of them, what they want of the host
 *   plans       ... brought up and down in the order of the rules' stacks
 *   discovery   ... found by probes
 *   daemon      arguments, start, loop, configuration, control commands, status, metrics: all of it together
 *
 * What the rooms above must hear goes through struct daemon_above. */
#ifndef DT_TUNNELS_DAEMON_H
#define DT_TUNNELS_DAEMON_H

#include <uv.h>

#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "config/config.h"
#include "endpoint/endpoint.h"
#include "host/host.h"
#include "keeper/keeper.h"
#include "net/datapath.h"
#include "net/netlink.h"
#include "tunnels/carry.h"
#include "tunnels/lan.h"
#include "tunnels/lease.h"
#include "tunnels/names.h"
#include "tunnels/resolve.h"
#include "tunnels/routes.h"
#include "tunnels/wants.h"

struct tun;
struct tun_walk;

/* What the rooms above do when something happens here. */
struct daemon_above {
    /* The endpoint has the tunnel no more, which stays in the configuration, or is being removed. */
    void (*tunnel_lost)(struct daemon *d, struct tun *t, const char *why);
    void (*tunnel_removed)(struct daemon *d,
                           struct tun *t); /* nobody may point to it any more; before tunnel_lost */
    /* Adds what is wanted of the host beside tunnels and gateways. 0, or -1: no memory. */
    int (*want)(struct daemon *d, struct dt_host_facts *facts);
    void (*looked)(struct daemon *d); /* the host was looked at */
    const char *(*discovery_missing)(
        struct daemon *d); /* why what discovery protects has no way into the device; NULL */
};

struct daemon {
    uv_loop_t loop;
    uv_timer_t timer;           /* the endpoint's deadline (daemon_wake) */
    int ike4_fd[2], ike6_fd[2]; /* [1]: sends what is nested, and hears nothing */
    const struct daemon_above *above;
    dt_time started;
    bool stopping; /* asked to end */
    bool handover; /* another daemon follows at once: what is closed stays so, for it to take over */

    char *config_file;           /* as it was named, but absolute; for people alone (UTF-8) */
    struct dt_config_daemon cfg; /* as at start */
    struct dt_rules *rules; /* in force: the configuration's, and those of discovery (discovery/rules.c) */
    struct dt_rules *config_rules; /* the configuration's */

    struct dt_endpoint *ep;
    struct dt_dp *dp;
    struct dt_nl *nl;
    struct dt_names *names;   /* look-ups (net/names.h) */
    struct dt_keeper *keeper; /* who does what needs rights */
    struct dt_lease_store *leases;
    dt_time leases_at;  /* when it is to try again what it could not keep */
    bool leases_unkept; /* that was said */

    struct dt_list tuns, gates;
    struct dt_table tun_names; /* of all tuns */
    struct dt_table tun_ids;   /* of tuns that have one */
    struct tun_walk *walks;    /* under way */
    struct carried carried;
    struct resolves resolves;
    struct routes routes;
    struct link_names link_names;
    struct lan lan;
    struct wants wants;
    struct dt_list monitors; /* streams of events */

    struct plans *plans;
    struct plan_map *plan_map; /* for the workers, under RCU (plans/hook.c) */
    struct plan_nests *plan_nests;
    struct discover *discover; /* NULL: no discover section */
    struct {
        struct dt_config_discover *rule; /* sections that could not be put in force; NULL */
        size_t n;
        char why[DT_ERR_TEXT];
    } unserved;
    struct top *top; /* of the room daemon */
};

/* Zeroed before but for what the caller knows. */
void daemon_init(struct daemon *d, const struct dt_siphash_key *owner_key);
void daemon_free_tables(struct daemon *d); /* what daemon_init made; tunnels and gateways were removed */

/* After anything that may have moved the endpoint's deadline. */
void daemon_wake(struct daemon *d);

void daemon_keylog_path(const struct daemon *d, char *out, size_t cap); /* of ESP's keys; empty: none */

static inline dt_time daemon_now(void)
{
    return uv_hrtime(); /* CLOCK_MONOTONIC, as the data path's events have it */
}

#define LOG(level, ...) dt_log(level, "daemon", __VA_ARGS__)

#endif
