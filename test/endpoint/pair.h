/* The endpoint's test world with a client (host 0) and a gateway (host 1), as most scenarios want it. */
#ifndef DT_TEST_ENDPOINT_PAIR_H
#define DT_TEST_ENDPOINT_PAIR_H

#include "endpoint/world.h"

/* Of three hosts; the client connects with cfg (NULL: the usual one). */
struct world *pair(uint64_t seed, enum world_peer kind, const struct dt_tunnel_cfg *cfg);
/* The same, a second later, when the tunnel is up. */
struct world *pair_up(uint64_t seed, enum world_peer kind, const struct dt_tunnel_cfg *cfg);
void pair_end(struct world *w); /* neither has sinned */

/* Data both ways, 100 packets a second; then it stops, and has all arrived. */
void pair_traffic(struct world *w);
void pair_every_packet_arrived(struct world *w);

/* The gateway's tunnel. */
uint32_t pair_peer_tunnel(struct world *w);
void pair_info(struct world *w, int host, struct dt_tunnel_info *info);

#endif
