/* `dovetail discover`: asking, watching, and what is known. */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/discover_json.h"
#include "discovery/discover.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"
#include "wire/ip.h"

#define ASK_FOR (12 * DT_SEC)
#define UP_FOR  (20 * DT_SEC)

struct listener {
    struct dt_list link;
    struct dt_control_request *req;
};

/* ---- asking ---- */

static void drop_ask(void *arg)
{
    struct ask *a = arg;
    dt_list_del(&a->link);
    a->d->nask--;
    json_decref(a->answer);
    free(a);
}

static json_t *packet_json(const struct dt_ted_packet *p)
{
    char src[DT_ADDR_STRLEN], dst[DT_ADDR_STRLEN], proto[8];
    return json_pack("{s:s, s:s, s:s, s:i, s:i}", "src", dt_addr_str(src, &p->src), "dst",
                     dt_addr_str(dst, &p->dst), "protocol", dt_ted_protocol_name(p->protocol, proto), "sport",
                     p->sport, "dport", p->dport);
}

static json_t *answer_json(struct discover *x, const struct dt_ted_answer *a)
{
    const struct dt_config_discover *r = discover_rule(x, a->rule);
    char peer[DT_ADDR_STRLEN];
    json_t *o = json_pack(
        "{s:s, s:o, s:i, s:f, s:o, s:o, s:o, s:o}", "rule", r != NULL ? r->rule.name : "", "packet",
        packet_json(&a->packet), "probes", (int)a->probes, "rtt_ms", dt_time_seconds(a->rtt) * 1000, "ours",
        r != NULL ? dt_discover_proxies_json(r->rule.proxy, r->rule.count) : json_array(), "theirs",
        dt_discover_proxies_json(a->theirs, a->ntheirs), "steps", dt_discover_steps_json(&a->trace), "result",
        a->found ? dt_discover_proxy_json(&a->result) : json_null());
    json_object_set_new(o, "peer", a->peer.ver ? json_string(dt_addr_str(peer, &a->peer)) : json_null());
    if (a->peer_name[0])
        json_object_set_new(o, "peer_name", json_string(a->peer_name));
    return o;
}

/* Answers the request, unless it goes on with a tunnel. */
static void ask_settle(struct ask *q, const struct dt_ted_answer *a)
{
    struct discover *x = q->d;
    struct dt_control_request *req = q->req;
    json_t *o = answer_json(x, a);
    if (!a->found) {
        drop_ask(q);
        discover_refused(x, a);
        dt_control_fail(req, 1, o, "%s", a->why);
        return;
    }
    struct tun *t = q->up ? discover_found(x, a) : NULL;
    discover_unrefuse(x, &a->packet);
    if (t == NULL) {
        bool up = q->up;
        drop_ask(q);
        if (up)
            dt_control_fail(req, 1, o, "the peer was found, but the tunnel cannot be made; the log says why");
        else
            dt_control_answer(req, o);
        return;
    }
    q->answer = o;
    q->tunnel = t->id;
    snprintf(q->name, sizeof(q->name), "%s", t->cfg.cfg.name);
    q->until = daemon_now() + UP_FOR;
}

static bool same_packet(const struct dt_ted_packet *a, const struct dt_ted_packet *b)
{
    return dt_addr_eq(&a->src, &b->src) && dt_addr_eq(&a->dst, &b->dst) && a->protocol == b->protocol &&
           a->sport == b->sport && a->dport == b->dport;
}

bool discover_asks_answer(struct discover *x, const struct dt_ted_answer *a)
{
    bool any = false;
    dt_list_for_each_safe (l, &x->asks) {
        struct ask *q = DT_CONTAINER_OF(l, struct ask, link);
        if (q->answer != NULL || q->rule != a->rule || !same_packet(&q->packet, &a->packet))
            continue;
        ask_settle(q, a);
        any = true;
    }
    return any;
}

static void ask_look(struct ask *q, dt_time now)
{
    struct discover *x = q->d;
    struct dt_ted_answer a;
    struct dt_tunnel_info info;
    struct dt_control_request *req = q->req;
    if (q->answer == NULL) {
        enum dt_ted_verdict v = discover_packet(x, q->rule, &q->packet, &a);
        if (v == DT_TED_FOUND || v == DT_TED_REFUSED) {
            ask_settle(q, &a);
        } else if (q->until <= now || v == DT_TED_NO_RULE) {
            drop_ask(q);
            dt_control_fail(req, 1, NULL, "%s", a.why[0] ? a.why : "no answer in time");
        }
        return;
    }
    bool there =
        tun_by_id(x->daemon, q->tunnel) != NULL && dt_endpoint_tunnel_info(x->daemon->ep, q->tunnel, &info);
    const char *blocked = there && info.up ? discover_missing(x->daemon) : NULL;
    if (there && (!info.up || blocked != NULL) && q->until > now)
        return;
    json_t *o = q->answer;
    q->answer = NULL;
    json_object_set_new(o, "tunnel", json_string(q->name));
    drop_ask(q);
    if (there && info.up && blocked == NULL)
        dt_control_answer(req, o);
    else
        dt_control_fail(req, 1, o, "the peer was found, but the tunnel is not up: %s",
                        !there            ? "it was given up, or the peer's own one is used"
                        : blocked != NULL ? blocked
                        : info.why[0]     ? info.why
                                          : dt_tunnel_state_str(info.state, true));
}

void discover_asks_tick(struct discover *x, dt_time now)
{
    dt_list_for_each_safe (l, &x->asks) {
        ask_look(DT_CONTAINER_OF(l, struct ask, link), now);
    }
}

/* ---- which packet is meant ---- */

/* A host of that half: an address of this computer, or else one that may be there. */
static bool proxy_source(struct daemon *d, const struct dt_ted_proxy *p, struct dt_addr *out)
{
    struct dt_nl_addrs all = {.v = NULL};
    const struct dt_addr *found = NULL;
    if (dt_nl_addrs_of(d->nl, 0, &all, NULL) != 0)
        all.n = 0;
    for (size_t i = 0; i < all.n && found == NULL; i++) {
        const struct dt_addr *a = &all.v[i].addr;
        struct dt_ted_proxy any = {.ver = p->ver,
                                   .src = p->src,
                                   .src_mask = p->src_mask,
                                   .dst = {.ver = p->ver},
                                   .dst_mask = {.ver = p->ver}};
        struct dt_ted_packet t = {.src = *a, .dst = {.ver = p->ver}};
        if (!all.v[i].link_scope && a->ver == p->ver && dt_ted_proxy_has(&any, &t))
            found = a;
    }
    *out = found != NULL ? *found : p->src;
    dt_nl_addrs_free(&all);
    if (found != NULL)
        return true;
    size_t last = dt_addr_size(&p->src) - 1;
    out->b[last] |= (uint8_t)(~p->src_mask.b[last] & 1);
    return true;
}

/* Completes the packet from a proxy: what was not said is what the proxy says. */
static bool proxy_fits(struct daemon *d, const struct dt_ted_proxy *p, const struct dt_ted_packet *given,
                       bool proto, struct dt_ted_packet *out)
{
    *out = *given;
    if (p->ver != given->dst.ver || (!given->src.ver && !proxy_source(d, p, &out->src)))
        return false;
    if (!proto)
        out->protocol = p->protocol            ? p->protocol
                        : p->sport || p->dport ? DT_IPPROTO_TCP
                        : p->ver == 4          ? DT_IPPROTO_ICMP
                                               : DT_IPPROTO_ICMP6;
    if (!out->sport)
        out->sport = p->sport;
    if (!out->dport)
        out->dport = p->dport;
    return dt_ted_proxy_has(p, out);
}

static bool port_of(const json_t *args, const char *name, uint16_t *out)
{
    const char *text = dt_control_arg_string(args, name);
    char *end;
    if (text == NULL)
        return true;
    unsigned long v = strtoul(text, &end, 10);
    *out = (uint16_t)v;
    return *text >= '0' && *text <= '9' && *end == '\0' && v <= 65535;
}

static int read_packet(const json_t *args, struct dt_ted_packet *p, struct dt_err *err)
{
    const char *dst = dt_control_arg_string(args, "destination"),
               *src = dt_control_arg_string(args, "source");
    const char *proto = dt_control_arg_string(args, "protocol");
    char text[80];
    struct dt_ted_proxy any;
    *p = (struct dt_ted_packet){0};
    if (dst == NULL || dt_addr_parse(&p->dst, dst) != 0 || (src != NULL && dt_addr_parse(&p->src, src) != 0))
        return dt_err_set(err, 0, "destination and source are addresses such as 10.2.0.7");
    if (p->src.ver && p->src.ver != p->dst.ver)
        return dt_err_set(err, 0,
                          "the source is IPv%u and the destination IPv%u; one packet is of one version",
                          p->src.ver, p->dst.ver);
    snprintf(text, sizeof(text), "any any %.40s", proto != NULL ? proto : "any");
    if (dt_ted_proxy_parse(&any, text, err) != 0)
        return -1;
    p->protocol = any.protocol;
    if (!port_of(args, "sport", &p->sport) || !port_of(args, "dport", &p->dport))
        return dt_err_set(err, 0, "a port is a number from 1 to 65535");
    return 0;
}

static bool probe_choose(struct discover *x, const struct dt_ted_packet *given, struct dt_ted_packet *p,
                         uint64_t *rule)
{
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++)
            if (proxy_fits(x->daemon, &x->rule[i].rule.proxy[k], given, given->protocol != 0, p)) {
                *rule = x->rule[i].rule.id;
                return true;
            }
    return false;
}

void discover_cmd(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    struct discover *x = d->discover;
    struct dt_ted_packet given, p;
    struct dt_err err = {0};
    uint64_t rule;
    if (x == NULL) {
        dt_control_fail(req, 1, NULL, "the configuration (%s) has no discover section", d->config_file);
    } else if (read_packet(args, &given, &err) != 0) {
        dt_control_fail(req, 2, NULL, "%s", err.text);
    } else if (!probe_choose(x, &given, &p, &rule)) {
        char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN];
        dt_control_fail(req, 1, NULL, "no discover section protects such a packet from %s to %s",
                        given.src.ver ? dt_addr_str(a, &given.src) : "here", dt_addr_str(b, &given.dst));
    } else if (x->nask == DISCOVER_ASKS) {
        dt_control_fail(req, 1, NULL, "%d others ask already", DISCOVER_ASKS);
    } else {
        struct ask *q = calloc(1, sizeof(*q));
        if (q == NULL) {
            dt_control_fail(req, 1, NULL, "out of memory");
            return;
        }
        *q = (struct ask){.d = x,
                          .req = req,
                          .rule = rule,
                          .packet = p,
                          .up = dt_control_arg_bool(args, "up", false),
                          .until = daemon_now() + ASK_FOR};
        dt_list_add_tail(&x->asks, &q->link);
        x->nask++;
        dt_control_on_cancel(req, drop_ask, q);
        dt_ted_forget(x->ted, rule, &p.src, &p.dst); /* who asks wants to hear how it is now */
        ask_look(q, daemon_now());
        daemon_wake(d);
    }
}

/* ---- watching ---- */

static void drop_listener(void *arg)
{
    struct listener *l = arg;
    dt_list_del(&l->link);
    free(l);
}

void discover_listen_cmd(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    struct listener *l = d->discover != NULL ? calloc(1, sizeof(*l)) : NULL;
    if (l == NULL) {
        dt_control_fail(req, 1, NULL, "the configuration (%s) has no discover section", d->config_file);
        return;
    }
    l->req = req;
    dt_list_add_tail(&d->discover->listeners, &l->link);
    dt_control_on_cancel(req, drop_listener, l);
}

void discover_listeners(struct daemon *d, const char *name, const char *rule,
                        const struct dt_ted_packet *packet, const struct dt_addr *peer, const char *text)
{
    struct discover *x = d->discover;
    struct timespec ts;
    char addr[DT_ADDR_STRLEN];
    if (x == NULL || dt_list_empty(&x->listeners))
        return;
    clock_gettime(CLOCK_REALTIME, &ts);
    json_t *o = json_pack("{s:f, s:s, s:s, s:o, s:s}", "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
                          "event", name, "rule", rule, "packet", packet_json(packet), "text", text);
    if (peer != NULL && peer->ver)
        json_object_set_new(o, "peer", json_string(dt_addr_str(addr, peer)));
    dt_list_for_each_safe (l, &x->listeners) {
        dt_control_event(DT_CONTAINER_OF(l, struct listener, link)->req, json_copy(o));
    }
    json_decref(o);
}

/* ---- what is known ---- */

static void set_count(json_t *o, const char *name, uint64_t v)
{
    json_object_set_new(o, name, json_integer((json_int_t)v));
}

void discover_counters(struct daemon *d, json_t *o)
{
    struct discover *x = d->discover;
    struct dt_ted_counters c;
    if (x == NULL)
        return;
    dt_ted_counters(x->ted, &c);
    set_count(o, "probes_sent", c.probes_sent);
    set_count(o, "probe_retries", c.retries);
    set_count(o, "probes_limited", c.probe_limited);
    set_count(o, "probes_unsent", x->count.probes_unsent);
    set_count(o, "outstanding_full", c.outstanding_full);
    set_count(o, "cache_full", c.cache_full);
    set_count(o, "replies_good", c.replies_good);
    set_count(o, "replies_late", c.replies_late);
    set_count(o, "replies_spoofed", c.replies_spoofed + x->count.foreign_replies);
    set_count(o, "replies_bad", c.replies_bad);
    set_count(o, "found", c.found);
    set_count(o, "refused", c.refused);
    set_count(o, "silent", c.silent);
    set_count(o, "from_cache", c.from_cache);
    set_count(o, "probes_seen", c.probes_seen);
    set_count(o, "probes_passed", c.probes_passed);
    set_count(o, "probes_bad", c.probes_bad);
    set_count(o, "probes_answered", c.probes_answered);
    set_count(o, "replies_limited", c.reply_limited);
    set_count(o, "replies_limited_source", c.reply_limited_source);
    set_count(o, "replies_unsent", x->count.replies_unsent);
    set_count(o, "probes_lost_unread", dt_tap_lost(x->tap));
    set_count(o, "cache_entries", c.entries);
    set_count(o, "outstanding", c.outstanding);
    set_count(o, "tunnels", x->found_table.count);
    set_count(o, "tunnels_made", x->count.tunnels);
    set_count(o, "tunnels_lost", x->count.tunnels_lost);
    set_count(o, "tunnels_idle", x->count.tunnels_idle);
    set_count(o, "twins_closed", x->count.twins);
    set_count(o, "unnegotiable", x->count.unnegotiable);
    set_count(o, "untrusted", x->count.untrusted);
    set_count(o, "refusals", x->refusal_table.count);
}

json_t *discover_refusals(struct daemon *d, size_t max)
{
    struct discover *x = d->discover;
    json_t *list = json_array();
    dt_time now = daemon_now();
    if (x == NULL)
        return list;
    dt_list_for_each (l, &x->refusals) {
        const struct refusal *r = DT_CONTAINER_OF(l, struct refusal, link);
        const struct dt_config_discover *rule = discover_rule(x, r->rule);
        char peer[DT_ADDR_STRLEN];
        if (json_array_size(list) >= max)
            break;
        json_t *o = json_pack("{s:o, s:b, s:s, s:s, s:f}", "packet", packet_json(&r->packet),
                              "every_protocol", r->whole, "rule", rule != NULL ? rule->rule.name : "", "why",
                              r->why, "for_s", r->until > now ? dt_time_seconds(r->until - now) : 0.0);
        json_object_set_new(o, "peer", r->peer.ver ? json_string(dt_addr_str(peer, &r->peer)) : json_null());
        json_array_append_new(list, o);
    }
    return list;
}

json_t *discover_summary(struct daemon *d)
{
    struct discover *x = d->discover;
    if (x == NULL && d->unserved.rule == NULL)
        return json_null();
    if (x == NULL)
        return json_pack("{s:i, s:i, s:i, s:[], s:s}", "rules", (int)d->unserved.n, "tunnels", 0,
                         "refusals_count", 0, "refusals", "blocked", discover_missing(d));
    return json_pack("{s:i, s:i, s:i, s:o, s:s*}", "rules", (int)x->nrule, "tunnels",
                     (int)x->found_table.count, "refusals_count", (int)x->refusal_table.count, "refusals",
                     discover_refusals(d, DISCOVER_SUMMARY), "blocked", discover_missing(d));
}

void discover_status_cmd(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    struct discover *x = d->discover;
    json_t *rules = json_array(), *tunnels = json_array(), *counters = json_object();
    char text[DT_IKE_ID_STRLEN];
    const char *blocked = discover_missing(d);
    for (size_t i = 0; x != NULL && i < x->nrule; i++)
        json_array_append_new(
            rules,
            json_pack("{s:s, s:s, s:b, s:o}", "name", x->rule[i].rule.name, "identity",
                      dt_ike_id_str(text, &x->rule[0].gate.cfg.identity), "hold", x->rule[i].hold, "protect",
                      dt_discover_proxies_json(x->rule[i].rule.proxy, x->rule[i].rule.count)));
    if (x != NULL) {
        dt_list_for_each (l, &x->founds) {
            const struct found *f = DT_CONTAINER_OF(l, struct found, link);
            const struct dt_config_discover *r = discover_rule(x, f->rule);
            struct dt_tunnel_info info = {0};
            dt_endpoint_tunnel_info(d->ep, f->tun->id, &info);
            json_array_append_new(
                tunnels,
                json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "name", f->tun->cfg.cfg.name, "peer",
                          dt_addr_str(text, &f->peer), "rule", r != NULL ? r->rule.name : "", "state",
                          info.up && blocked != NULL ? "blocked" : dt_tunnel_state_str(info.state, true),
                          "up", info.up && blocked == NULL, "proxy", dt_discover_proxy_json(&f->proxy)));
        }
    }
    discover_counters(d, counters);
    dt_control_answer(req, json_pack("{s:o, s:o, s:o, s:o, s:s*}", "rules", rules, "tunnels", tunnels,
                                     "refusals", discover_refusals(d, DISCOVER_REFUSALS), "counters",
                                     counters, "blocked", blocked));
}

void discover_commands_clear(struct discover *x)
{
    dt_list_for_each_safe (l, &x->asks) {
        struct ask *q = DT_CONTAINER_OF(l, struct ask, link);
        struct dt_control_request *req = q->req;
        drop_ask(q);
        dt_control_fail(req, 1, NULL, "the discover sections were changed meanwhile");
    }
    dt_list_for_each_safe (l, &x->listeners) {
        struct listener *s = DT_CONTAINER_OF(l, struct listener, link);
        struct dt_control_request *req = s->req;
        drop_listener(s);
        dt_control_answer(req, NULL);
    }
}
