/* What was found becomes a tunnel of the endpoint, with exactly the intersection as its selectors; what was refused
 * becomes an answer to the sender. Both are forgotten in time. */

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "discovery/discover.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

/* A discovered tunnel that is not up for so long goes; the next packet asks anew. */
#define DEAD_AFTER  (20 * DT_SEC)
#define REFUSALS_OK 2

/* ---- refusals ---- */

static uint64_t hosts_hash(const struct discover *x, const struct dt_ted_packet *p)
{
    struct dt_addr both[2] = {p->src, p->dst};
    return dt_siphash(&x->key, both, sizeof(both));
}

static struct refusal *refusal_of_hosts(struct dt_table_node *n, const struct dt_ted_packet *p)
{
    for (; n != NULL; n = dt_table_next(n)) {
        struct refusal *r = DT_CONTAINER_OF(n, struct refusal, by_hosts);
        if (dt_addr_eq(&r->packet.src, &p->src) && dt_addr_eq(&r->packet.dst, &p->dst))
            return r;
    }
    return NULL;
}

static struct refusal *first_refusal(const struct discover *x, const struct dt_ted_packet *p)
{
    return refusal_of_hosts(dt_table_first(&x->refusal_table, hosts_hash(x, p)), p);
}

static struct refusal *next_refusal(const struct refusal *r, const struct dt_ted_packet *p)
{
    return refusal_of_hosts(dt_table_next(&r->by_hosts), p);
}

static bool speaks_of(const struct refusal *r, const struct dt_ted_packet *p)
{
    return r->whole || (r->packet.protocol == p->protocol && r->packet.dport == p->dport);
}

static void drop_refusal(struct discover *x, struct refusal *r)
{
    dt_dp_tunnel_remove(x->daemon->dp, r->id);
    dt_list_del(&r->link);
    dt_table_remove(&x->refusal_table, &r->by_hosts);
    free(r);
}

bool discover_is_refused(const struct discover *x, const struct dt_ted_packet *p)
{
    for (const struct refusal *r = first_refusal(x, p); r != NULL; r = next_refusal(r, p))
        if (speaks_of(r, p))
            return true;
    return false;
}

void discover_unrefuse(struct discover *x, const struct dt_ted_packet *p)
{
    for (struct refusal *r = first_refusal(x, p), *next; r != NULL; r = next) {
        next = next_refusal(r, p);
        if (speaks_of(r, p))
            drop_refusal(x, r);
    }
}

/* From now on the data path answers such packets by itself ("administratively prohibited"). */
static void add_refusal(struct discover *x, uint64_t rule, const struct dt_ted_packet *p, bool whole,
                        const struct dt_addr *peer, const char *why, dt_time ttl)
{
    struct dt_err err = {0};
    for (struct refusal *r = first_refusal(x, p); r != NULL; r = next_refusal(r, p))
        if (whole ? r->whole : speaks_of(r, p))
            return;
    if (x->refusal_table.count == DISCOVER_REFUSALS) {
        x->count.refusals_full++;
        drop_refusal(x, DT_CONTAINER_OF(x->refusals.next, struct refusal, link));
    }
    struct refusal *r = calloc(1, sizeof(*r));
    if (r == NULL || dt_table_insert(&x->refusal_table, &r->by_hosts, hosts_hash(x, p)) != 0) {
        free(r);
        return;
    }
    r->id = x->next_refusal++;
    r->rule = rule;
    r->packet = *p;
    r->whole = whole;
    r->peer = *peer;
    snprintf(r->why, sizeof(r->why), "%s", why);
    r->until = dt_time_add(daemon_now(), ttl);
    dt_list_add_tail(&x->refusals, &r->link);
    struct dt_selector s = dt_selector_addr(&p->src), t = dt_selector_addr(&p->dst);
    if (!whole) {
        s.proto = t.proto = p->protocol;
        if (p->dport != 0)
            t.port_from = t.port_to = p->dport;
    }
    struct dt_dp_tunnel dp = {.id = r->id};
    dt_selectors_add(&dp.local, &s);
    dt_selectors_add(&dp.remote, &t);
    if (dt_dp_tunnel_set(x->daemon->dp, &dp, &err) != 0) /* it is in state drop */
        drop_refusal(x, r);
    else
        discover_rematch(x, rule);
}

static void discovered_refuse(struct discover *x, const struct dt_ted_answer *a, const char *why)
{
    const struct dt_config_discover *r = discover_rule(x, a->rule);
    if (r != NULL)
        add_refusal(x, a->rule, &a->packet, a->peer.ver == 0, &a->peer, why, x->rule[0].params.negative_ttl);
}

void discover_refused(struct discover *x, const struct dt_ted_answer *a)
{
    discovered_refuse(x, a, a->why);
}

/* ---- tunnels ---- */

static uint32_t hash_of(const struct dt_ted_proxy *p, const struct dt_addr *own, const struct dt_addr *peer)
{
    struct dt_digest d;
    char text[DT_TED_PROXY_STRLEN];
    dt_digest_init(&d);
    dt_ted_proxy_str(text, p);
    dt_digest_bytes(&d, text, strlen(text));
    dt_digest_bytes(&d, own->b, 16);
    dt_digest_bytes(&d, peer->b, 16);
    return (uint32_t)dt_digest_value(&d);
}

/* NAME.HASH.ted (discovery/trust.c). */
static void tunnel_identity(struct dt_ike_id *out, const struct dt_ike_id *own, uint32_t hash)
{
    char tail[16];
    *out = *own;
    int n = snprintf(tail, sizeof(tail), ".%08x.ted", hash);
    if (own->len + n <= DT_IKE_ID_MAX) {
        memcpy(out->data + own->len, tail, (size_t)n);
        out->len = (uint8_t)(own->len + n);
    }
}

/* Whose secret is to be used? The peer's own word: IKE then proves that it is who it said, or there is no tunnel. */
static int who_is(struct discover *x, struct dt_ike_id *id, const struct dt_ted_answer *a, struct dt_err *err)
{
    uint8_t key[DT_PSK_MAX];
    char peer[DT_ADDR_STRLEN];
    size_t len = strlen(a->peer_name);
    *id = (struct dt_ike_id){.type = len > 0 ? DT_ID_FQDN : DT_ID_ANY, .len = (uint8_t)len};
    memcpy(id->data, a->peer_name, len);
    bool known = discover_psk(x->daemon, id, key) >= 0;
    dt_wipe(key, sizeof(key));
    if (known)
        return 0;
    dt_addr_str(peer, &a->peer);
    if (len > 0)
        return dt_err_set(err, 0, "%s calls itself %s: there is no secret for it, or peers does not admit it",
                          peer, a->peer_name);
    return dt_err_set(
        err, 0,
        "%s does not say who it is, and secrets are for names: psk for all would be right, or secrets "
        "in its configuration too",
        peer);
}

static int tunnel_describe(struct discover *x, struct dt_config_tunnel *t, const struct dt_ted_answer *a,
                           const struct dt_addr *own, struct dt_err *err)
{
    const struct dt_config_discover *r = discover_rule(x, a->rule), *host = &x->rule[0];
    char peer[DT_ADDR_STRLEN];
    uint32_t hash = hash_of(&a->result, own, &a->peer);
    dt_addr_str(peer, &a->peer);
    *t = (struct dt_config_tunnel){.start = DT_START_ALWAYS, .mtu = r->gate.mtu, .discovered = true};
    dt_tunnel_cfg_default(&t->cfg);
    dt_utf8_printf(t->cfg.name, sizeof(t->cfg.name), "%.14s/%.39s/%08x", r->rule.name, peer, hash);
    tunnel_identity(&t->cfg.local_id, &host->gate.cfg.identity, hash);
    if (who_is(x, &t->cfg.remote_id, a, err) != 0)
        return -1;
    t->cfg.ike = r->gate.cfg.ike;
    t->cfg.esp = r->gate.cfg.esp;
    t->cfg.params = r->gate.cfg.params;
    t->cfg.encap = r->encap;
    t->cfg.probe = r->gate.cfg.probe ? DT_PROBE_AUTO : DT_PROBE_OFF;
    if (dt_ted_proxy_selectors(&t->cfg.local, &t->cfg.protect, &a->result, err) != 0)
        return -1;
    t->host[0] = strdup(peer);
    t->nhost = t->host[0] != NULL;
    return 0;
}

static uint64_t peer_hash(const struct discover *x, const struct dt_addr *peer)
{
    return dt_siphash(&x->key, peer, sizeof(*peer));
}

static struct found *same_peer(struct dt_table_node *n, const struct dt_addr *peer)
{
    for (; n != NULL; n = dt_table_next(n)) {
        struct found *f = DT_CONTAINER_OF(n, struct found, by_peer);
        if (dt_addr_eq(&f->peer, peer))
            return f;
    }
    return NULL;
}

static struct found *first_found(const struct discover *x, const struct dt_addr *peer)
{
    return same_peer(dt_table_first(&x->found_table, peer_hash(x, peer)), peer);
}

static struct found *next_found(const struct found *f)
{
    return same_peer(dt_table_next(&f->by_peer), &f->peer);
}

static struct found *found_find(struct discover *x, const struct dt_ted_answer *a)
{
    for (struct found *f = first_found(x, &a->peer); f != NULL; f = next_found(f))
        if (f->rule == a->rule && dt_ted_proxy_eq(&f->proxy, &a->result))
            return f;
    return NULL;
}

static void cannot(struct discover *x, const struct dt_ted_answer *a, const char *why)
{
    x->count.unnegotiable++;
    discovered_refuse(x, a, why);
    LOG(DT_LOG_WARN, "discover: %s", why);
    discover_tell(x, "refused", a->rule, &a->packet, &a->peer, why);
}

/* Its tunnel last: who hears that it is gone finds it nowhere. */
static void free_found(struct discover *x, struct found *f)
{
    struct tun *t = f->tun;
    dt_list_del(&f->link);
    x->nnested -= f->nested;
    x->rules_stale |= f->nested;
    free(f);
    if (t != NULL)
        tunnels_remove(x->daemon, t);
}

/* The tunnel, which holds what it will carry. NULL: *why. */
static struct found *add_found(struct discover *x, const struct dt_ted_answer *a, struct dt_err *why)
{
    struct dt_config_tunnel cfg = {0};
    struct dt_addr own;
    struct found *f;
    if (dt_nl_route_get(x->daemon->nl, &a->peer, DT_DP_MARK, &own, NULL, why) != 0)
        return NULL;
    f = calloc(1, sizeof(*f));
    if (f == NULL || tunnel_describe(x, &cfg, a, &own, why) != 0) {
        free(f);
        return NULL;
    }
    dt_time now = daemon_now();
    *f = (struct found){.rule = a->rule,
                        .nested = discover_nested(x->daemon, &a->packet.src, &a->peer),
                        .src = a->packet.src,
                        .dst = a->packet.dst,
                        .own = own,
                        .peer = a->peer,
                        .proxy = a->result,
                        .since = now,
                        .busy_at = now};
    snprintf(f->name, sizeof(f->name), "%s", cfg.cfg.name);
    dt_list_add_tail(&x->founds, &f->link);
    x->nnested += f->nested;
    int rc = f->nested ? discover_rules(x, why) : 0;
    f->tun = rc == 0 ? tunnels_add(x->daemon, &cfg) : NULL;
    if (f->tun != NULL && f->tun->id == 0)
        dt_err_set(why, 0, "%s", f->tun->resolve_why);
    else if (f->tun != NULL && dt_table_insert(&x->found_table, &f->by_peer, peer_hash(x, &f->peer)) == 0)
        return f;
    for (size_t i = 0; i < cfg.nhost; i++) /* nobody took them */
        free(cfg.host[i]);
    free_found(x, f);
    return NULL;
}

struct tun *discover_found(struct discover *x, const struct dt_ted_answer *a)
{
    struct found *f = found_find(x, a);
    struct dt_err err = {0};
    const struct dt_config_discover *r = discover_rule(x, a->rule);
    discover_unrefuse(x, &a->packet);
    if (f != NULL) {
        discover_rematch(x, a->rule);
        return f->tun;
    }
    if (r == NULL)
        return NULL;
    if (x->found_table.count >= r->gate.cfg.tunnels_max)
        dt_err_set(&err, 0, "no more tunnels are made: tunnels_max is reached");
    else
        f = add_found(x, a, &err);
    if (f == NULL) {
        cannot(x, a, err.text[0] ? err.text : "out of memory");
        return NULL;
    }
    x->count.tunnels++;
    if (f->nested)
        discover_plan(x, f, &a->packet);
    discover_rematch(x, a->rule);
    daemon_wake(x->daemon);
    return f->tun;
}

static void drop_found(struct discover *x, struct found *f)
{
    dt_ted_forget(x->ted, f->rule, &f->src, &f->dst);
    dt_table_remove(&x->found_table, &f->by_peer);
    free_found(x, f);
}

void discover_tunnels_rules(struct discover *x)
{
    struct dt_err err = {0};
    dt_list_for_each_safe (l, &x->founds) {
        struct found *f = DT_CONTAINER_OF(l, struct found, link);
        if (f->nested != discover_nested(x->daemon, &f->src, &f->peer))
            drop_found(x, f);
    }
    if (discover_rules(x, &err) != 0)
        LOG(DT_LOG_ERROR, "discover: %s", err.text);
    x->rules_stale = false;
}

/* ---- in time ---- */

static bool same_traffic(const struct dt_selectors *a, const struct dt_selectors *b)
{
    return dt_ted_selectors_carry(a, b) && dt_ted_selectors_carry(b, a);
}

/* Both ends found each other at once, and there are two tunnels for the same traffic: the one that was begun at the
 * lower address stays. Both ends decide alike. */
static void close_twins(struct discover *x)
{
    struct daemon *d = x->daemon;
    struct dt_tunnel_info other;
    for (uint32_t t = dt_endpoint_tunnel_next(d->ep, 0); t != 0; t = dt_endpoint_tunnel_next(d->ep, t)) {
        if (!dt_endpoint_tunnel_info(d->ep, t, &other) || other.client || !other.up || x->gate == NULL ||
            other.gateway != x->gate->id)
            continue;
        for (struct found *f = first_found(x, &other.path.remote.addr), *next; f != NULL; f = next) {
            next = next_found(f);
            if (f->nested || dt_addr_cmp(&f->own, &f->peer) < 0 ||
                !same_traffic(&other.local_ts, &f->tun->cfg.cfg.local) ||
                !same_traffic(&other.remote_ts, &f->tun->cfg.cfg.protect))
                continue;
            x->count.twins++;
            drop_found(x, f);
        }
    }
}

/* Nobody hears of it before it is gone. */
static void found_give_up(struct discover *x, struct found *f, const struct dt_tunnel_info *info)
{
    const struct dt_ted_packet hosts = {.src = f->src, .dst = f->dst};
    const struct dt_addr peer = f->peer;
    uint64_t rule = f->rule;
    bool never = f->up_at == 0;
    char text[DT_ERR_TEXT], name[DT_NAME_MAX];
    dt_utf8_printf(text, sizeof(text), "the tunnel with the peer that was found is given up: %.180s",
                   info->why[0] ? info->why : dt_tunnel_state_str(info->state, true));
    snprintf(name, sizeof(name), "%s", f->name);
    x->count.tunnels_lost++;
    drop_found(x, f);
    dt_ted_forget_peer(x->ted, rule, &peer);     /* perhaps somebody else protects those hosts by now */
    if (never && discover_rule(x, rule) != NULL) /* do not try at once again */
        add_refusal(x, rule, &hosts, true, &peer, text, x->rule[0].params.negative_ttl);
    LOG(DT_LOG_WARN, "%s: %s", name, text);
    discover_tell(x, "lost", rule, &hosts, &peer, text);
}

static void close_idle(struct discover *x, struct found *f)
{
    const struct dt_ted_packet hosts = {.src = f->src, .dst = f->dst};
    const struct dt_addr peer = f->peer;
    uint64_t rule = f->rule;
    x->count.tunnels_idle++;
    drop_found(x, f);
    discover_tell(x, "idle", rule, &hosts, &peer, "the tunnel carried nothing for long and is closed");
}

/* It may be gone afterwards. */
static void found_look(struct discover *x, struct found *f, dt_time now)
{
    const struct dt_config_discover *r = discover_rule(x, f->rule);
    struct dt_tunnel_info info;
    struct dt_dp_tunnel_counters c;
    if (!dt_endpoint_tunnel_info(x->daemon->ep, f->tun->id, &info))
        return;
    if (info.up) {
        f->up_at = now;
        f->tun->refusals = 0; /* counted anew when it goes down */
    }
    dt_time quiet = now - (f->up_at ? f->up_at : f->since);
    if (!info.up && (quiet > DEAD_AFTER || f->tun->refusals >= REFUSALS_OK)) {
        found_give_up(x, f, &info);
        return;
    }
    if (dt_dp_tunnel_counters(x->daemon->dp, f->tun->id, &c) && c.tx_packets + c.rx_packets != f->packets) {
        f->packets = c.tx_packets + c.rx_packets;
        f->busy_at = now;
    }
    if (r != NULL && r->idle != 0 && now - f->busy_at > r->idle)
        close_idle(x, f);
}

/* A client of our gateway for peers came up or moved on: perhaps it carries what a tunnel of ours does. */
void discover_event(struct daemon *d, const struct dt_event *ev)
{
    if (d->discover != NULL && ev->tunnel != 0 && !ev->client)
        d->discover->look_for_twins = true;
}

void discover_tunnels_tick(struct discover *x, dt_time now)
{
    if (x->look_for_twins)
        close_twins(x);
    x->look_for_twins = false;
    dt_list_for_each_safe (l, &x->founds) {
        found_look(x, DT_CONTAINER_OF(l, struct found, link), now);
    }
    if (x->rules_stale) { /* a plan's tunnel has gone */
        discover_tunnels_rules(x);
        plans_again(x->daemon);
    }
    /* Nothing stays behind by a race between a packet and its tunnel. */
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++) {
            uint64_t id = DISCOVER_DP + (x->rule[i].rule.id << 8) + k;
            struct dt_dp_tunnel_counters c;
            if (dt_dp_tunnel_counters(x->daemon->dp, id, &c) && c.held > 0)
                dt_dp_tunnel_rematch(x->daemon->dp, id);
        }
    dt_list_for_each_safe (l, &x->refusals) {
        struct refusal *r = DT_CONTAINER_OF(l, struct refusal, link);
        if (r->until <= now)
            drop_refusal(x, r);
    }
}

void discover_tunnels_clear(struct discover *x)
{
    dt_list_for_each_safe (l, &x->founds) {
        drop_found(x, DT_CONTAINER_OF(l, struct found, link));
    }
    dt_list_for_each_safe (l, &x->refusals) {
        drop_refusal(x, DT_CONTAINER_OF(l, struct refusal, link));
    }
    dt_table_free(&x->found_table);
    dt_table_free(&x->refusal_table);
}
