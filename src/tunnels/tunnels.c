/* Tunnels and gateways of the configuration, and what they are in the endpoint and the data path. apply.c says what is to
 * be. */

#include "tunnels/tunnels.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tunnels/carry.h"
#include "tunnels/daemon.h"
#include "tunnels/resolve.h"
#include "tunnels/routes.h"
#include "tunnels/wants.h"

struct tun *tun_by_id(struct daemon *d, uint32_t id)
{
    struct dt_table_node *n = dt_table_first(&d->tun_ids, id);
    while (n != NULL && DT_CONTAINER_OF(n, struct tun, by_id)->id != id)
        n = dt_table_next(n);
    return n != NULL ? DT_CONTAINER_OF(n, struct tun, by_id) : NULL;
}

/* Names come from the administrator's file. */
static uint64_t name_hash(const char *name)
{
    static const struct dt_siphash_key key = {0};
    return dt_siphash(&key, name, strlen(name));
}

struct tun *tun_by_name(struct daemon *d, const char *name)
{
    struct dt_table_node *n = dt_table_first(&d->tun_names, name_hash(name));
    while (n != NULL && strcmp(DT_CONTAINER_OF(n, struct tun, by_name)->cfg.cfg.name, name) != 0)
        n = dt_table_next(n);
    return n != NULL ? DT_CONTAINER_OF(n, struct tun, by_name) : NULL;
}

void tun_walk_begin(struct daemon *d, struct tun_walk *w)
{
    w->at = d->tuns.next;
    w->next = d->walks;
    d->walks = w;
}

struct tun *tun_walk_next(struct daemon *d, struct tun_walk *w)
{
    if (w->at == &d->tuns)
        return NULL;
    struct tun *t = DT_CONTAINER_OF(w->at, struct tun, link);
    w->at = w->at->next;
    return t;
}

void tun_walk_end(struct daemon *d, struct tun_walk *w)
{
    struct tun_walk **at = &d->walks;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

struct gate *gate_by_id(struct daemon *d, uint32_t id)
{
    dt_list_for_each (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (g->id == id)
            return g;
    }
    return NULL;
}

bool gates_admit(struct daemon *d, const char *identity)
{
    struct dt_ike_id id;
    if (dt_ike_id_parse(&id, identity) != 0)
        return false;
    dt_list_for_each (l, &d->gates) {
        const struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (!g->discovery && dt_ike_id_matches(&g->cfg.cfg.peers, &id) &&
            (dt_config_gateway_psk(&g->cfg, &id) != NULL || g->cfg.cfg.proofs.trust != NULL))
            return true;
    }
    return false;
}

struct gate *gate_by_name(struct daemon *d, const char *name)
{
    dt_list_for_each (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (!g->discovery && strcmp(g->cfg.cfg.name, name) == 0)
            return g;
    }
    return NULL;
}

/* Takes a configured tunnel's contents; the source keeps nothing that it would free. */
static void move_tunnel(struct dt_config_tunnel *to, struct dt_config_tunnel *from)
{
    *to = *from;
    from->nhost = 0;
    from->cfg.proofs = (struct dt_ike_proofs){0};
    dt_wipe(&from->psk, sizeof(from->psk));
}

static void clear_tunnel(struct dt_config_tunnel *t)
{
    for (size_t i = 0; i < t->nhost; i++)
        free(t->host[i]);
    dt_ike_proofs_unref(&t->cfg.proofs);
    dt_wipe(t, sizeof(*t));
}

static void move_gateway(struct dt_config_gateway *to, struct dt_config_gateway *from)
{
    *to = *from;
    from->secret = NULL;
    from->client = NULL;
    from->fixed = NULL;
    from->nexact = from->nfixed = from->nexact_secret = 0;
    from->nsecret = from->nclient = 0;
    from->cfg.proofs = (struct dt_ike_proofs){0};
    dt_wipe(&from->psk, sizeof(from->psk));
}

static void clear_gateway(struct dt_config_gateway *g)
{
    if (g->secret != NULL)
        dt_wipe(g->secret, g->nsecret * sizeof(*g->secret));
    free(g->secret);
    dt_config_clients_free(g->client, g->nclient);
    free(g->fixed);
    dt_ike_proofs_unref(&g->cfg.proofs);
    dt_wipe(g, sizeof(*g));
}

bool tun_is_ruled(const struct dt_rules *rs, const struct dt_config_tunnel *c)
{
    for (size_t i = 0; rs != NULL && i < rs->n; i++) {
        const struct dt_rule *r = &rs->v[i];
        if (r->kind == DT_RULE_PASS || (r->kind == DT_RULE_TRANSPORT) != c->cfg.transport)
            continue;
        if (r->use != NULL) {
            if (strcmp(r->use, c->cfg.name) == 0)
                return true;
            continue;
        }
        for (size_t k = 0; k < c->nhost; k++) {
            struct dt_addr a;
            if (dt_addr_parse(&a, c->host[k]) == 0 &&
                (r->kind == DT_RULE_TUNNEL ? dt_addr_eq(&a, &r->gateway) : dt_addrset_has(&r->to, &a)))
                return true;
        }
    }
    return false;
}

void tun_up(struct daemon *d, struct tun *t)
{
    t->wanted = true;
    t->taken_down = t->unsure = false;
    t->refusals = 0;
    routes_want_again(d);
    if (t->id != 0) {
        dt_endpoint_claim(d->ep, daemon_now(), t->id);
        dt_endpoint_up(d->ep, daemon_now(), t->id);
    } else if (t->resolve == NULL) {
        resolve_start(d, t);
    }
}

void tun_down(struct daemon *d, struct tun *t)
{
    t->wanted = false;
    t->taken_down = true;
    t->unsure = false;
    t->encap_why[0] = '\0';
    if (t->id != 0)
        dt_endpoint_down(d->ep, daemon_now(), t->id);
    routes_want_again(d);
}

void tun_addresses(struct daemon *d, struct tun *t)
{
    struct dt_tunnel_cfg *cfg = &t->cfg.cfg;
    struct dt_err err = {0};
    cfg->ngateways = 0;
    for (size_t i = 0; i < t->cfg.nhost; i++) {
        size_t room = DT_TUNNEL_GATEWAYS; /* one place each is kept for the hosts behind this one */
        for (size_t k = i + 1; k < t->cfg.nhost; k++)
            room -= t->found[k].n > 0;
        for (size_t k = 0; k < t->found[i].n && cfg->ngateways < room; k++) {
            cfg->ports[cfg->ngateways] = t->cfg.port[i];
            cfg->gateways[cfg->ngateways++] = t->found[i].a[k];
        }
    }
    if (cfg->ngateways == 0)
        return;
    if (t->id != 0) {
        if (dt_endpoint_tunnel_update(d->ep, daemon_now(), t->id, cfg, &err) != 0)
            LOG(DT_LOG_ERROR, "%s: %s", cfg->name, err.text);
        return;
    }
    t->id = dt_endpoint_tunnel_add(d->ep, daemon_now(), cfg, &err);
    if (t->id == 0) {
        dt_utf8_printf(t->resolve_why, sizeof(t->resolve_why), "%.150s", err.text);
        LOG(DT_LOG_ERROR, "%s: %s", cfg->name, err.text);
        return;
    }
    if (dt_table_insert(&d->tun_ids, &t->by_id, t->id) != 0) {
        dt_endpoint_tunnel_remove(d->ep, daemon_now(), t->id);
        t->id = 0;
        snprintf(t->resolve_why, sizeof(t->resolve_why), "out of memory");
        return;
    }
    tun_begin(d, t);
    routes_want_again(d);
}

void tun_begin(struct daemon *d, struct tun *t)
{
    struct dt_tunnel_info info;
    t->begin = false;
    if (t->id == 0 || t->layer != 0 || !t->wanted)
        return; /* its addresses, or its plan, bring it */
    if (!t->ruled && (t->cfg.start != DT_START_DEMAND || t->refusals > 0))
        dt_endpoint_up(d->ep, daemon_now(), t->id);
    else if (!dt_endpoint_tunnel_info(d->ep, t->id, &info) || !info.started)
        carry_hold(d, t);
}

void tun_withdraw(struct daemon *d, struct tun *t)
{
    t->below = 0;
    if (t->id == 0)
        return;
    d->above->tunnel_lost(d, t, "no address of its gateway is known any more");
    dt_endpoint_tunnel_remove(d->ep, daemon_now(), t->id);
    dt_table_remove(&d->tun_ids, &t->by_id);
    t->id = 0;
    routes_want_again(d);
}

struct tun *tunnels_add(struct daemon *d, struct dt_config_tunnel *cfg)
{
    struct tun *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    if (dt_table_insert(&d->tun_names, &t->by_name, name_hash(cfg->cfg.name)) != 0) {
        free(t);
        return NULL;
    }
    tun_take_config(d, t, cfg);
    t->wanted = t->ruled || t->cfg.start != DT_START_MANUAL;
    wants_recall(d, t);
    t->resolve_at = DT_NEVER;
    dt_list_add_tail(&d->tuns, &t->link);
    routes_want_again(d);
    tun_addresses(d, t);
    resolve_start(d, t);
    return t;
}

void tun_take_config(struct daemon *d, struct tun *t, struct dt_config_tunnel *cfg)
{
    struct host_addrs found[DT_TUNNEL_GATEWAYS] = {0};
    for (size_t i = 0; i < cfg->nhost; i++) {
        if (dt_addr_parse(&found[i].a[0], cfg->host[i]) == 0)
            found[i].n = 1;
        for (size_t k = 0; k < t->cfg.nhost && found[i].n == 0; k++)
            if (strcmp(cfg->host[i], t->cfg.host[k]) == 0)
                found[i] = t->found[k];
    }
    clear_tunnel(&t->cfg);
    move_tunnel(&t->cfg, cfg);
    memcpy(t->found, found, sizeof(found));
    t->ruled = tun_is_ruled(d->rules, &t->cfg);
    t->site = t->cfg.cfg.local.n > 0 || t->cfg.cfg.transport;
}

void tunnels_remove(struct daemon *d, struct tun *t)
{
    d->above->tunnel_removed(d, t);
    d->above->tunnel_lost(d, t, "its tunnel was taken out of the configuration");
    resolve_cancel(t);
    t->wanted = false;
    if (t->id != 0) {
        dt_endpoint_tunnel_remove(d->ep, daemon_now(), t->id);
        dt_table_remove(&d->tun_ids, &t->by_id);
    }
    for (struct tun_walk *w = d->walks; w != NULL; w = w->next)
        if (w->at == &t->link)
            w->at = t->link.next;
    dt_list_del(&t->link);
    dt_table_remove(&d->tun_names, &t->by_name);
    routes_want_again(d);
    clear_tunnel(&t->cfg);
    free(t);
}

struct gate *gates_add(struct daemon *d, struct dt_config_gateway *cfg, bool discovery, struct dt_err *err)
{
    struct gate *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    g->discovery = discovery;
    move_gateway(&g->cfg, cfg);
    g->id = dt_endpoint_gateway_add(d->ep, daemon_now(), &g->cfg.cfg, err);
    if (g->id == 0) {
        LOG(DT_LOG_ERROR, "%s: %s", g->cfg.cfg.name, err->text);
        clear_gateway(&g->cfg);
        free(g);
        return NULL;
    }
    dt_list_add_tail(&d->gates, &g->link);
    routes_want_again(d);
    return g;
}

void gates_take_config(struct gate *g, struct dt_config_gateway *cfg)
{
    clear_gateway(&g->cfg);
    move_gateway(&g->cfg, cfg);
}

void gates_remove(struct daemon *d, struct gate *g)
{
    dt_endpoint_gateway_remove(d->ep, daemon_now(), g->id);
    dt_list_del(&g->link);
    routes_want_again(d);
    clear_gateway(&g->cfg);
    free(g);
}

void tunnels_clear(struct daemon *d)
{
    dt_list_for_each_safe (l, &d->tuns) {
        tunnels_remove(d, DT_CONTAINER_OF(l, struct tun, link));
    }
    dt_list_for_each_safe (l, &d->gates) {
        gates_remove(d, DT_CONTAINER_OF(l, struct gate, link));
    }
    dt_rules_unref(d->rules);
    dt_rules_unref(d->config_rules);
    d->rules = d->config_rules = NULL;
}
