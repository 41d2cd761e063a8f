/* Where control packets go (DESIGN section 4): the address that two Dovetails agree on, a configured one, the inside
 * DNS server, or an echo with hop limit 1 whose time exceeded counts. */
#include "endpoint/inside.h"

#include <string.h>

#define PROTO_ICMP  1
#define PROTO_ICMP6 58

static bool carries_icmp(const struct dt_selector *s, uint8_t ver)
{
    return s->range.from.ver == ver && s->port_from == 0 && s->port_to == DT_PORT_LAST &&
           (s->proto == DT_PROTO_ANY || s->proto == (ver == 4 ? PROTO_ICMP : PROTO_ICMP6));
}

/* The first address of the first range that carries ICMP; `host`: the one after it where there is one, since
 * the first of a network is nobody's. */
static bool first_addr(struct dt_addr *out, const struct dt_selectors *ts, uint8_t ver, bool host)
{
    for (unsigned i = 0; i < ts->n; i++) {
        const struct dt_selector *s = &ts->v[i];
        if (!carries_icmp(s, ver))
            continue;
        *out = s->range.from;
        if ((host || dt_addr_is_any(out)) && !dt_addr_eq(&s->range.from, &s->range.to))
            dt_addr_next(out);
        return true;
    }
    return false;
}

bool dt_endpoint_probe_addr(struct dt_addr *out, const struct dt_selectors *ts, uint8_t ver)
{
    static const uint8_t dummy6[16] = {0x01, 0x00, [6] = 0, [7] = 1};
    struct dt_addr dummy = ver == 4 ? dt_addr4(0xc0000008u) : dt_addr6_bytes(dummy6);
    for (unsigned i = 0; i < ts->n; i++) {
        if (carries_icmp(&ts->v[i], ver) && dt_range_has(&ts->v[i].range, &dummy)) {
            *out = dummy;
            return true;
        }
    }
    return first_addr(out, ts, ver, false);
}

const char *dt_probe_kind_str(enum dt_probe_kind k)
{
    switch (k) {
    case DT_PROBE_AGREED:
        return "agreed";
    case DT_PROBE_CHOSEN:
        return "address";
    case DT_PROBE_DNS:
        return "dns";
    case DT_PROBE_TTL1:
        return "ttl1";
    }
    return "?";
}

/* Our end of the control packets: the inside address, else one within our selectors. */
static bool source(struct dt_addr *out, const struct tunnel *t, const struct dt_child_sa *in, uint8_t ver)
{
    const struct dt_addr *inside = ver == 4 ? &t->inside.addr4 : &t->inside.addr6;
    if (inside->ver == ver &&
        dt_selectors_has(&in->local_ts, inside, ver == 4 ? PROTO_ICMP : PROTO_ICMP6, 0)) {
        *out = *inside;
        return true;
    }
    return dt_endpoint_probe_addr(out, &in->local_ts, ver);
}

static bool target(struct sa *sa, const struct tunnel *t, const struct link *l, const struct dt_child_sa *in,
                   uint8_t ver)
{
    const struct dt_tunnel_cfg *cfg = &t->c->cfg;
    sa->probe_ttl = 64;
    if (cfg->probe == DT_PROBE_ADDRESS) {
        sa->kind = DT_PROBE_CHOSEN;
        sa->probe_dst = cfg->probe_addr;
        return cfg->probe_addr.ver == ver;
    }
    if (l->peer_probes && dt_endpoint_probe_addr(&sa->probe_dst, &in->remote_ts, ver)) {
        sa->kind = DT_PROBE_AGREED;
        return true;
    }
    for (unsigned i = 0; i < t->inside.ndns; i++) {
        const struct dt_addr *dns = &t->inside.dns[i];
        if (dns->ver == ver &&
            dt_selectors_has(&in->remote_ts, dns, ver == 4 ? PROTO_ICMP : PROTO_ICMP6, 0)) {
            sa->kind = DT_PROBE_DNS;
            sa->probe_dst = *dns;
            return true;
        }
    }
    sa->kind = DT_PROBE_TTL1;
    sa->probe_ttl = 1;
    return first_addr(&sa->probe_dst, &in->remote_ts, ver, true);
}

bool ep_probe_choose(struct sa *sa, const struct tunnel *t, const struct link *l,
                     const struct dt_child_sa *in)
{
    for (unsigned ver = 4; ver <= 6; ver += 2)
        if (source(&sa->probe_src, t, in, (uint8_t)ver) && target(sa, t, l, in, (uint8_t)ver))
            return true;
    memset(&sa->probe_dst, 0, sizeof(sa->probe_dst));
    return false;
}

void ep_probe_send(struct tunnel *t, dt_time now, uint32_t epoch, uint16_t seq)
{
    struct dt_endpoint *ep = t->ep;
    const struct sa *sa = ep_sa_of_epoch(t, epoch);
    if (!sa || sa->probe_dst.ver == 0)
        return;
    t->probe_ident = (uint16_t)epoch;
    t->probe_seq = seq;
    t->probed_at = now;
    struct dt_endpoint_probe p = {
        .tunnel = t->id,
        .epoch = epoch,
        .sa = sa->id,
        .kind = sa->kind,
        .src = sa->probe_src,
        .dst = sa->probe_dst,
        .ttl = sa->probe_ttl,
        .ident = (uint16_t)epoch,
        .seq = seq,
    };
    ep->ops.probe(ep->user, now, &p);
}
