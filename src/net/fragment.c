/* The ports of later fragments (RFC 4301 7.3, "stateful fragment checking"): a first fragment that was classified leaves
 * them here for those that follow, within a short time, on the same worker (the kernel and the SAs give it all fragments of
 * a packet). A later fragment whose first one was not seen before it has no ports: only a selector for any port takes it. */
#include "net/dp.h"

#include <string.h>

static struct dp_fragment *fragment_find(struct dp_worker *w, uint64_t sa, const struct dt_ip *ip, bool make)
{
    struct {
        struct dt_addr src, dst;
        uint64_t sa;
        uint32_t id, proto;
    } key;
    memset(&key, 0, sizeof key); /* its padding too */
    key.src = ip->src;
    key.dst = ip->dst;
    key.sa = sa;
    key.id = ip->fragment_id;
    key.proto = ip->proto;
    struct dp_fragment *set =
        &w->fragment[dp_hash(w->dp, &key, sizeof key) % DP_FRAGMENT_SETS * DP_FRAGMENT_WAYS];
    struct dp_fragment *oldest = set;
    for (unsigned i = 0; i < DP_FRAGMENT_WAYS; i++) {
        struct dp_fragment *f = &set[i];
        if (f->until > w->now && f->sa == sa && f->id == ip->fragment_id && f->proto == ip->proto &&
            dt_addr_eq(&f->src, &ip->src) && dt_addr_eq(&f->dst, &ip->dst))
            return f;
        if (f->until < oldest->until)
            oldest = f;
    }
    return make ? oldest : NULL;
}

bool dp_fragment_ports(struct dp_worker *w, uint64_t sa, const struct dt_ip *ip,
                       struct dt_tunnel_ports *ports)
{
    struct dp_fragment *f = fragment_find(w, sa, ip, ip->first_fragment && ports->known);
    ports->later = !ip->first_fragment;
    if (!ip->first_fragment) {
        if (!f)
            return false;
        ports->sport = f->sport;
        ports->dport = f->dport;
        ports->known = true;
    } else if (ports->known) {
        *f = (struct dp_fragment){.src = ip->src,
                                  .dst = ip->dst,
                                  .sa = sa,
                                  .id = ip->fragment_id,
                                  .proto = ip->proto,
                                  .sport = ports->sport,
                                  .dport = ports->dport,
                                  .until = w->now + DP_FRAGMENT_LIFE};
    } else if (f) {
        f->until = 0; /* this is another packet, of the same number */
    }
    return true;
}
