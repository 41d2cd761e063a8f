#include "esp/tunnel.h"

#include "wire/esp.h"
#include "wire/udp.h"

uint8_t dt_tunnel_outer_tos(uint8_t inner_tos, bool copy_dscp)
{
    return copy_dscp ? inner_tos : inner_tos & DT_ECN_MASK;
}

bool dt_tunnel_decap_ecn(uint8_t outer_tos, uint8_t inner_tos, uint8_t *inner_ecn, bool *odd)
{
    uint8_t outer = outer_tos & DT_ECN_MASK, inner = inner_tos & DT_ECN_MASK;
    bool strange = false, keep = true;

    *inner_ecn = inner;
    if (inner == DT_ECN_NOT_ECT) { /* figure 4, first row */
        keep = outer != DT_ECN_CE;
        strange = outer != DT_ECN_NOT_ECT;
    } else if (outer == DT_ECN_CE) {
        *inner_ecn = DT_ECN_CE;
    } else if (outer == DT_ECN_ECT1) {
        if (inner == DT_ECN_ECT0)
            *inner_ecn = DT_ECN_ECT1;
        strange = inner == DT_ECN_CE;
    } /* else: outer Not-ECT or ECT(0): the inner field stays */
    if (odd)
        *odd = strange;
    return keep;
}

size_t dt_tunnel_outer_overhead(const struct dt_path *path)
{
    size_t ip = path->remote.addr.ver == 4 ? DT_IP4_HDR_LEN : DT_IP6_HDR_LEN;
    return ip + (path->natt ? DT_UDP_HDR_LEN : 0);
}

uint32_t dt_tunnel_inner_mtu(const struct dt_esp_out *sa, const struct dt_path *path, uint32_t outer_mtu,
                             uint8_t inner_ver)
{
    uint32_t least = inner_ver == 4 ? 576 : 1280;
    size_t overhead = dt_tunnel_outer_overhead(path);
    size_t fits = outer_mtu > overhead ? dt_esp_payload_max(sa, outer_mtu - overhead) : 0;
    return fits < least ? least : (uint32_t)fits;
}

static bool side(const struct dt_selectors *list, const struct dt_addr *a, uint8_t proto, uint16_t port,
                 const struct dt_tunnel_ports *ports)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct dt_selector *s = &list->v[i];
        bool any_port = s->port_from == 0 && s->port_to == DT_PORT_LAST;
        bool opaque = s->port_from > s->port_to;
        if (s->proto != DT_PROTO_ANY && s->proto != proto)
            continue;
        if (!dt_range_has(&s->range, a))
            continue;
        if (any_port || ports->whatever || (ports->known && port >= s->port_from && port <= s->port_to) ||
            (opaque && (ports->later || !ports->known)))
            return true;
    }
    return false;
}

bool dt_tunnel_selects(const struct dt_selectors *local, const struct dt_selectors *remote, bool outbound,
                       const struct dt_ip *ip, const struct dt_tunnel_ports *ports)
{
    return side(outbound ? local : remote, &ip->src, ip->proto, ports->sport, ports) &&
           side(outbound ? remote : local, &ip->dst, ip->proto, ports->dport, ports);
}

bool dt_tunnel_inner_parse(const struct dt_esp_pkt *k, struct dt_ip *ip, struct dt_tunnel_ports *ports)
{
    /* The header checksum was made by the inside sender and crossed authenticated: checked all the same by
     * whoever receives the packet from the TUN device. */
    if (!dt_ip_parse(ip, k->p, k->len, true) || ip->ver != (k->next == DT_NEXT_IPV4 ? 4 : 6))
        return false;
    *ports = (struct dt_tunnel_ports){.later = !ip->first_fragment};
    ports->known = dt_ip_ports(ip, k->p, k->len, &ports->sport, &ports->dport);
    return true;
}
