/* A gateway asks a client by a control packet, when somebody wants to know. Its engine never does: it waits to be spoken to. */
#include "endpoint/inside.h"

#define STRANGER_TTL                                                                                         \
    1 /* its network begins behind it: who takes the packet out of the tunnel says "time exceeded" */

/* A Dovetail answers a dummy packet, an older one at the address that both ends derive; a leased address is the client itself. */
void ep_server_ping(struct tunnel *t, dt_time now)
{
    struct dt_endpoint *ep = t->ep;
    const struct sa *sa = ep_sa_of_epoch(t, t->s->e.out);
    if (!sa || !sa->link)
        return;
    const bool dummy = sa->link->peer_probes >= DT_PROBE_RULE_DUMMY;
    struct dt_endpoint_probe p = {.tunnel = t->id,
                                  .epoch = sa->epoch,
                                  .sa = sa->id,
                                  .kind = dummy                   ? DT_PROBE_DUMMY
                                          : sa->link->peer_probes ? DT_PROBE_AGREED
                                                                  : DT_PROBE_TTL1,
                                  .ttl = sa->link->peer_probes || t->s->leased ? 64 : STRANGER_TTL,
                                  .ident = (uint16_t)sa->epoch,
                                  .seq = ++t->probe_seq};
    uint8_t ver = 4;
    while (!dummy && ver <= 6 &&
           !(dt_endpoint_probe_addr(&p.src, &t->local_ts, ver) &&
             dt_endpoint_probe_addr(&p.dst, &t->remote_ts, ver)))
        ver += 2;
    if (ver > 6)
        return;
    t->probe_ident = p.ident;
    t->probed_at = now;
    ep->ops.probe(ep->user, now, &p);
}

void ep_server_ping_reply(struct tunnel *t, dt_time now, uint32_t epoch, uint16_t ident, uint16_t seq)
{
    if (ident != t->probe_ident || seq != t->probe_seq || t->probed_at == DT_NEVER)
        return;
    t->rtt = dt_time_sub(now, t->probed_at);
    t->probed_at = DT_NEVER; /* an answer counts once */
    struct dt_epoch_event ev = {.kind = DT_EPOCH_PING_REPLY, .epoch = epoch, .took = t->rtt};
    ep_epoch_event(t, now, &ev);
}
