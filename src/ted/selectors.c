/* From proxies to traffic selectors, which IKE negotiates. */
#include "base/bytes.h"
#include "ted/proxy.h"

/* IKE knows no port without a protocol (RFC 7296 section 3.13.1): a proxy that names a port and no protocol becomes a
 * selector for each protocol that has ports. */
static int half(struct dt_selectors *out, const struct dt_addr *addr, const struct dt_addr *mask,
                uint8_t proto, uint16_t port, struct dt_err *err)
{
    struct dt_range range[DT_SELECTORS_MAX];
    char text[100];
    bool each = port != DT_TED_PORT_NONE && proto == DT_TED_PROTO_IP;
    int protos = each ? DT_TED_PORT_PROTOCOLS : 1, max = DT_SELECTORS_MAX / protos;
    int n = dt_ted_half_ranges(range, max, addr, mask);
    out->n = 0;
    if (n < 0)
        return dt_err_set(err, 0,
                          "%s%s is more than %d ranges of addresses, and IKE negotiates at most so many",
                          dt_ted_half_str(text, addr, mask), each ? " with a port of any protocol" : "", max);
    for (int i = 0; i < n * protos; i++) {
        struct dt_selector s = dt_selector_range(&range[i / protos]);
        s.proto = each ? dt_ted_port_protocols()[i % protos] : proto;
        if (port != DT_TED_PORT_NONE)
            s.port_from = s.port_to = port;
        out->v[out->n++] = s;
    }
    return 0;
}

int dt_ted_proxy_selectors(struct dt_selectors *src, struct dt_selectors *dst, const struct dt_ted_proxy *p,
                           struct dt_err *err)
{
    *src = *dst = (struct dt_selectors){0};
    return half(src, &p->src, &p->src_mask, p->protocol, p->sport, err) != 0 ||
                   half(dst, &p->dst, &p->dst_mask, p->protocol, p->dport, err) != 0
               ? -1
               : 0;
}

bool dt_ted_selectors_carry(const struct dt_selectors *list, const struct dt_selectors *all)
{
    bool carry = true;
    for (size_t i = 0; i < all->n; i++)
        carry &= dt_selectors_covers(list, &all->v[i]);
    return carry;
}
