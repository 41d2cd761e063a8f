/* The responder gateway: a probe passes on its way to a host that we protect; we answer in its place. */
#include "ted/internal.h"

#include <stdlib.h>
#include <string.h>

/* Proxies whose protected side holds the host the probe is for, in the initiator's view; those that hold the
 * summarised packet first. */
static size_t proxies_for(const struct dt_ted *t, const struct dt_ted_packet *packet,
                          struct dt_ted_proxy *out)
{
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++)
        dt_list_for_each (at, &t->rules) {
            const struct dt_ted_rule *rule = &DT_CONTAINER_OF(at, struct rule_node, list)->rule;
            for (size_t i = 0; i < rule->count && n < DT_TED_MAX_PROXIES; i++) {
                struct dt_ted_proxy p = dt_ted_proxy_flip(&rule->proxy[i]), hosts = p;
                hosts.protocol = DT_TED_PROTO_IP;
                hosts.sport = hosts.dport = DT_TED_PORT_NONE;
                hosts.src = hosts.src_mask = (struct dt_addr){.ver = p.ver};
                if (p.ver == packet->src.ver && dt_ted_proxy_has(&hosts, packet) &&
                    dt_ted_proxy_has(&p, packet) == (pass == 0))
                    out[n++] = p;
            }
        }
    return n;
}

bool dt_ted_probe_input(struct dt_ted *t, dt_time now, const struct dt_addr *src, const struct dt_addr *dst,
                        const uint8_t *msg, size_t len)
{
    struct dt_ted_probe p;
    struct dt_ted_reply r = {.capabilities = DT_TED_CAP_SEVERAL | DT_TED_CAP_IPV6 | DT_TED_CAP_IKEV2};
    struct dt_ted_packet towards = {.src = *src, .dst = *dst};
    struct dt_addr own;
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN];
    t->counters.probes_seen++;
    if (!proxies_for(t, &towards, r.proxy)) {
        t->counters.probes_passed++;
        return false;
    }
    /* A probe speaks of the very packet whose place it takes; another summary is somebody's trick. */
    if (dt_ted_probe_decode(&p, msg, len, NULL) || !dt_ted_unicast(&p.id) ||
        !dt_addr_eq(&p.packet.src, src) || !dt_addr_eq(&p.packet.dst, dst)) {
        t->counters.probes_bad++;
        return true;
    }
    uint32_t each = t->params.reply_rate_source, all = t->params.reply_rate;
    if (!dt_bucket_take(dt_bucket_of(t->source, DT_TED_SOURCES, &t->key, &p.id), now, 1, each, each)) {
        t->counters.reply_limited_source++;
        return true;
    }
    if (!dt_bucket_take(&t->reply_bucket, now, 1, all, all)) {
        t->counters.reply_limited++;
        return true;
    }
    if (!t->ops.own_addr(t->user, &p.id, &own) || own.ver != p.id.ver || dt_addr_eq(&own, &p.id)) {
        t->counters.probes_bad++;
        return true;
    }
    r.cookie = p.cookie;
    r.id = own;
    memcpy(r.name, t->params.name, sizeof r.name);
    r.count = proxies_for(t, &p.packet, r.proxy);
    do
        r.responder_cookie = dt_rand_u64(&t->rand);
    while (!r.responder_cookie);
    uint8_t out[DT_TED_MAX_MESSAGE];
    size_t n = 0;
    for (; r.count; r.count--) {
        n = dt_ted_reply_encode(out, sizeof out, &r);
        if (n && n <= 3 * len)
            break;
    }
    if (!r.count)
        return true;
    t->counters.probes_answered++;
    dt_ted_tell(t, now, DT_TED_EVENT_REPLIED, 0, &p.packet, &p.id,
                "answered %s, who asks for %s, with %zu %s", dt_addr_str(a, &p.id), dt_addr_str(b, dst),
                r.count, r.count == 1 ? "proxy" : "proxies");
    t->ops.send_reply(t->user, &own, &p.id, out, n);
    return true;
}
