/* What inner and outer IP headers owe each other when a packet goes into a tunnel and comes out of it.
 * Sources: RFC 4301 (5.1.2 header construction, 5.2 inbound checks, 8.1 DF, 8.2 path MTU), 6040 (ECN). The
 * inner hop limit is not touched here: forwarding into and out of the TUN device decrements it as any router
 * does (RFC 4301 5.1.2 note 4), and the outer one is the host's own. */
#ifndef DT_ESP_TUNNEL_H
#define DT_ESP_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/path.h"
#include "base/selector.h"
#include "esp/esp.h"
#include "wire/ip.h"

/* The outer TOS or traffic class: the inner DSCP (or 0), ECN copied (RFC 6040 4.1, normal mode). */
uint8_t dt_tunnel_outer_tos(uint8_t inner_tos, bool copy_dscp);

/* RFC 6040 4.2: the inner packet's ECN field after an outer field arrived with it. False: drop the packet
 * (outer CE, inner not ECN-capable). `odd` (may be NULL): a combination that should not occur, worth a
 * counter. */
bool dt_tunnel_decap_ecn(uint8_t outer_tos, uint8_t inner_tos, uint8_t *inner_ecn, bool *odd);

/* The bytes that stand before the ESP packet outside: IP header, and UDP header when encapsulated. */
size_t dt_tunnel_outer_overhead(const struct dt_path *path);
/* The largest inner packet whose sealed form fits an outer MTU; never below 576 (IPv4) or 1280 (IPv6): below
 * that the outer packet is fragmented. inner_ver 4 or 6. */
uint32_t dt_tunnel_inner_mtu(const struct dt_esp_out *sa, const struct dt_path *path, uint32_t outer_mtu,
                             uint8_t inner_ver);

/* A packet's two sides against an SA's two lists. outbound: its source is local. Where ports are not known only selectors
 * that take any port match, or OPAQUE; a later fragment's may be known from the first, and OPAQUE takes it as well. */
struct dt_tunnel_ports {
    uint16_t sport, dport;
    bool known;
    bool later; /* a fragment without ports of its own */
    bool
        whatever; /* the question is who carries a packet of these hosts and this protocol, whatever its ports */
};
bool dt_tunnel_selects(const struct dt_selectors *local, const struct dt_selectors *remote, bool outbound,
                       const struct dt_ip *ip, const struct dt_tunnel_ports *ports);

/* The inner packet after dt_esp_open in tunnel mode: a whole IP packet of the version that `next` said, not
 * longer than the payload (bytes behind it are traffic flow padding, RFC 4303 2.7). Fills *ip and *ports. */
bool dt_tunnel_inner_parse(const struct dt_esp_pkt *k, struct dt_ip *ip, struct dt_tunnel_ports *ports);

#endif
