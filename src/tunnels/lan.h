/* What stays outside of the tunnels of what they protect: networks of this host's own that lie inside a wider `protect`, and what
 * `except` names.
 *
 * A connected network stays local when it is private (dt_prefix_private) and narrower than all that protects it. A public one
 * never does: whoever runs an access point can call any network connected, and would lead what is protected past the tunnel
 * (the LocalNet attacks of TunnelCrack). So do the networks that the configuration calls our own: `inside` of a tunnel, `protect`
 * of a gateway. With `lan = tunnel` or `closed = always` nothing does; `except` always does. */
#ifndef DT_TUNNELS_LAN_H
#define DT_TUNNELS_LAN_H

#include <jansson.h>
#include <stddef.h>

#include "config/config.h"
#include "net/netlink.h"

struct daemon;
struct gate;
struct tun;

#define LAN_NETWORKS_MAX 256 /* that are looked at; of more, the first */

enum lan_place {
    LAN_LOCAL,    /* stays local */
    LAN_PUBLIC,   /* goes into the tunnel: it is public */
    LAN_NARROWER, /* goes into the tunnel: what is protected is no wider */
    LAN_TUNNEL,   /* goes into the tunnel, as the configuration wants it */
};

struct lan_network {
    struct dt_prefix prefix;
    char of[16]; /* the device; "inside", "except", "protect": the setting that names it */
    bool connected;
    enum lan_place place;
    const struct dt_config_tunnel *except; /* of this tunnel alone; valid while the round lasts */
};

/* What stays local, and what could have. */
struct lan {
    struct lan_network *network;
    size_t n;
};

/* Something that is protected. */
struct lan_claim {
    struct dt_prefix prefix;
    const struct dt_config_tunnel *tunnel; /* NULL: a gateway's */
    bool keeps;                            /* nothing in it stays local but exceptions */
};

/* One round of saying what is wanted. Zeroed before; lan_round_free gives its memory back. */
struct lan_round {
    struct lan_claim *claim;
    size_t nclaim, cap;
    struct lan_network network[LAN_NETWORKS_MAX];
    size_t n;
    bool sorted, no_memory;
};
void lan_round_free(struct lan_round *r);
/* A prefix that a tunnel (NULL: a gateway) protects. False: `except` leaves nothing of it, and it is protected no more. */
bool lan_claim(struct lan_round *r, const struct dt_prefix *p, const struct dt_config_tunnel *t, bool keeps);
void lan_exceptions(struct lan_round *r, const struct dt_config_tunnel *t); /* what it says to be left out */
void lan_own(struct lan_round *r, const struct dt_selectors *own, const char *setting);
void lan_connected(struct lan_round *r, const struct dt_nl_addrs *addrs, unsigned device);
/* After all of these: where each network belongs. What is neither protected nor near it is gone from the list. */
void lan_decide(struct lan_round *r);
/* Keeps the list for status, and says in the log what is new in it. */
void lan_tell(struct daemon *d, const struct lan_round *r);
/* Of those that meet what the tunnel protects: `network`, `of`, `place` ("local", "public", "protected"). */
json_t *lan_json(const struct daemon *d, const struct dt_config_tunnel *t);
bool lan_is_local(const struct daemon *d, const struct dt_addr *a);

#endif
