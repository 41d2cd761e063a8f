/* Control packets: echo through an epoch, made, answered and recognised here, never seen by the TUN device. */
#include "net/dp.h"
#include "wire/dummy.h"
#include "wire/esp.h"
#include "wire/icmp.h"

#define PROBE_DATA 16

static uint64_t probe_key(uint16_t ident, uint16_t seq)
{
    return UINT64_C(1) << 32 | (uint32_t)ident << 16 | seq;
}

static bool probe_known(struct dp_tunnel *t, uint16_t ident, uint16_t seq)
{
    for (int i = 0; i < DP_PROBES; i++)
        if (atomic_load_explicit(&t->probe[i], memory_order_relaxed) == probe_key(ident, seq))
            return true;
    return false;
}

/* Sends a whole IP packet on one epoch, whatever the tunnel does with data. */
static void send_on(struct dp_worker *w, struct dp_sa *sa, const uint8_t *packet, size_t len)
{
    bool v4 = packet[0] >> 4 == 4;
    size_t skip = 0;
    uint8_t next = v4 ? DT_NEXT_IPV4 : DT_NEXT_IPV6;

    if (sa->mode == DT_ESP_TRANSPORT) {
        struct dt_ip ip;
        if (!dt_ip_parse(&ip, packet, len, true))
            return;
        skip = ip.l4;
        next = ip.proto;
    }
    uint8_t *p = dp_tx_room(w, sa, len - skip, next, 0, true);
    if (p)
        memcpy(p, packet + skip, len - skip);
}

static bool send_dummy(struct dp_worker *w, struct dp_sa *sa, const struct dt_dummy *d)
{
    uint8_t *p = dp_tx_room(w, sa, d->size, DT_NEXT_NONE, 0, true);
    if (p)
        dt_dummy_put(p, d->size, d);
    return p != NULL;
}

static bool send_echo(struct dp_worker *w, struct dp_sa *sa, const struct dp_cmd *cmd)
{
    uint8_t packet[DT_IP6_HDR_LEN + DT_ICMP_HDR_LEN + PROBE_DATA];
    size_t len = dt_echo_make(packet, sizeof packet, false, &cmd->src, &cmd->dst, cmd->ident, cmd->seq,
                              cmd->ttl ? cmd->ttl : 64, PROBE_DATA);
    if (len)
        send_on(w, sa, packet, len);
    return len != 0;
}

void dp_probe_send(struct dp_worker *w, const struct dp_cmd *cmd)
{
    struct dp_sa *sa = dp_sa_find(w->dp, cmd->spi_in);
    struct dt_dummy d = {.ident = cmd->ident, .seq = cmd->seq, .size = cmd->dummy, .other = DT_DUMMY_LEN};
    if (!sa)
        return;
    unsigned at = atomic_fetch_add(&sa->tunnel->probe_next, 1) % DP_PROBES;
    atomic_store(&sa->tunnel->probe[at], probe_key(cmd->ident, cmd->seq));
    if (cmd->dummy ? send_dummy(w, sa, &d) : send_echo(w, sa, cmd))
        dp_count(w, DT_DPC_PROBES_SENT, 1);
}

static void probe_answered(struct dp_worker *w, const struct dp_sa *sa, const struct dt_dp_event *ev)
{
    struct dt_dp_event e = *ev;
    e.kind = DT_DP_PROBE_REPLY;
    e.sa = sa->id;
    e.tunnel = sa->tunnel->id;
    dp_count(w, DT_DPC_PROBE_REPLIES, 1);
    dp_event(w, &e);
}

/* A dummy packet that has passed the SA's checks. One that is no control packet is ignored (RFC 4303 2.6). */
void dp_dummy_in(struct dp_worker *w, struct dp_sa *sa, const uint8_t *p, size_t len)
{
    struct dt_dummy d;
    if (!dt_dummy_parse(&d, p, len))
        return;
    if (d.reply && probe_known(sa->tunnel, d.ident, d.seq)) {
        probe_answered(w, sa, &(struct dt_dp_event){.ident = d.ident, .seq = d.seq, .size = d.other});
    } else if (!d.reply && sa->answer_dummy) {
        struct dt_dummy answer = dt_dummy_answer(&d);
        if (send_dummy(w, sa, &answer))
            dp_count(w, DT_DPC_ECHO_ANSWERED, 1);
    }
}

/* True: the packet was a control packet and is done with. It has passed the SA's checks. */
bool dp_control_in(struct dp_worker *w, struct dp_sa *sa, uint8_t *packet, size_t len, const struct dt_ip *ip)
{
    struct dt_echo e;
    if (ip->proto != (ip->ver == 4 ? DT_IPPROTO_ICMP : DT_IPPROTO_ICMP6))
        return false;
    enum dt_echo_kind kind = dt_echo_parse(&e, packet, len);
    if (kind == DT_ECHO_REQUEST) {
        const struct dt_addr *mine = ip->ver == 4 ? &sa->answer4 : &sa->answer6;
        if (mine->ver == 0 || !dt_addr_eq(mine, &e.dst))
            return false;
        dt_echo_answer(packet, ip->total);
        send_on(w, sa, packet, ip->total);
        dp_count(w, DT_DPC_ECHO_ANSWERED, 1);
        return true;
    }
    if ((kind != DT_ECHO_REPLY && kind != DT_ECHO_EXCEEDED) || !probe_known(sa->tunnel, e.ident, e.seq))
        return false;
    probe_answered(w, sa,
                   &(struct dt_dp_event){.ident = e.ident,
                                         .seq = e.seq,
                                         .reply_ttl_exceeded = kind == DT_ECHO_EXCEEDED,
                                         .flow = {.src = e.src, .dst = e.dst, .proto = ip->proto}});
    return true;
}
