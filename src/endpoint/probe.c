/* Which control packets prove an epoch (DESIGN section 4): dummy packets between two Dovetails, with others echoes to a
 * configured address, to the inside DNS server, or with hop limit 1, whose time exceeded counts. */
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

bool dt_endpoint_carries_echo(const struct dt_selectors *local, const struct dt_selectors *remote)
{
    struct dt_addr a;
    for (unsigned ver = 4; ver <= 6; ver += 2)
        if ((local->n == 0 || first_addr(&a, local, (uint8_t)ver, false)) &&
            first_addr(&a, remote, (uint8_t)ver, false))
            return true;
    return false;
}

const char *dt_probe_kind_str(enum dt_probe_kind k)
{
    switch (k) {
    case DT_PROBE_NONE:
        return "none";
    case DT_PROBE_DUMMY:
        return "dummy";
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

static bool carries_echo(const struct dt_selectors *ts, const struct dt_addr *a)
{
    return dt_selectors_has(ts, a, a->ver == 4 ? PROTO_ICMP : PROTO_ICMP6, 0);
}

/* Our end of the control packets: the inside address, else one within our selectors. */
static bool source(struct dt_addr *out, const struct tunnel *t, const struct dt_child_sa *in, uint8_t ver)
{
    const struct dt_addr *inside = ver == 4 ? &t->inside.addr4 : &t->inside.addr6;
    if (inside->ver == ver && carries_echo(&in->local_ts, inside)) {
        *out = *inside;
        return true;
    }
    return dt_endpoint_probe_addr(out, &in->local_ts, ver);
}

static enum dt_probe_kind set_echo(struct sa *sa, enum dt_probe_kind kind, const struct dt_addr *to,
                                   uint8_t ttl)
{
    sa->probe_dst = *to;
    sa->probe_ttl = ttl;
    return kind;
}

static enum dt_probe_kind to_chosen(struct sa *sa, const struct tunnel *t, const struct dt_child_sa *in)
{
    const struct dt_tunnel_cfg *cfg = &t->c->cfg;
    return cfg->probe == DT_PROBE_ADDRESS && carries_echo(&in->remote_ts, &cfg->probe_addr) &&
                   source(&sa->probe_src, t, in, cfg->probe_addr.ver)
               ? set_echo(sa, DT_PROBE_CHOSEN, &cfg->probe_addr, 64)
               : DT_PROBE_NONE;
}

static enum dt_probe_kind to_inside(struct sa *sa, const struct tunnel *t, const struct link *l,
                                    const struct dt_child_sa *in, uint8_t ver)
{
    struct dt_addr a;
    if (!source(&sa->probe_src, t, in, ver))
        return DT_PROBE_NONE;
    if (l->peer_probes && dt_endpoint_probe_addr(&a, &in->remote_ts, ver))
        return set_echo(sa, DT_PROBE_AGREED, &a, 64);
    for (unsigned i = 0; i < t->inside.ndns; i++)
        if (t->inside.dns[i].ver == ver && carries_echo(&in->remote_ts, &t->inside.dns[i]))
            return set_echo(sa, DT_PROBE_DNS, &t->inside.dns[i], 64);
    return first_addr(&a, &in->remote_ts, ver, true) ? set_echo(sa, DT_PROBE_TTL1, &a, 1) : DT_PROBE_NONE;
}

bool ep_probe_choose(struct sa *sa, const struct tunnel *t, const struct link *l,
                     const struct dt_child_sa *in)
{
    sa->kind = to_chosen(sa, t, in);
    if (sa->kind == DT_PROBE_NONE && l->peer_probes >= DT_PROBE_RULE_DUMMY)
        sa->kind = DT_PROBE_DUMMY;
    for (unsigned ver = 4; sa->kind == DT_PROBE_NONE && ver <= 6; ver += 2)
        sa->kind = to_inside(sa, t, l, in, (uint8_t)ver);
    return sa->kind != DT_PROBE_NONE;
}

void ep_probe_send(struct tunnel *t, dt_time now, uint32_t epoch, uint16_t seq)
{
    struct dt_endpoint *ep = t->ep;
    const struct sa *sa = ep_sa_of_epoch(t, epoch);
    if (!sa || sa->kind == DT_PROBE_NONE)
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
