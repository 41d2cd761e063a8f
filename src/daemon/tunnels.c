/* Configuration <-> endpoint: what is configured is added, changed or removed there, and nothing else is touched. */
#include <stdlib.h>
#include <string.h>

#include "daemon/plans.h"
#include "daemon/state.h"

struct tun *tun_by_id(struct daemon *d, uint32_t id)
{
    struct dt_table_node *n = dt_table_first(&d->tun_ids, id);
    while (n != NULL && DT_CONTAINER_OF(n, struct tun, by_id)->id != id)
        n = dt_table_next(n);
    return n != NULL ? DT_CONTAINER_OF(n, struct tun, by_id) : NULL;
}

struct tun *tun_by_name(struct daemon *d, const char *name)
{
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (strcmp(t->cfg.cfg.name, name) == 0)
            return t;
    }
    return NULL;
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
            dt_config_gateway_psk(&g->cfg, &id) != NULL)
            return true;
    }
    return false;
}

static struct gate *gate_by_name(struct daemon *d, const char *name)
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
    dt_wipe(&from->psk, sizeof(from->psk));
}

static void clear_tunnel(struct dt_config_tunnel *t)
{
    for (size_t i = 0; i < t->nhost; i++)
        free(t->host[i]);
    dt_wipe(t, sizeof(*t));
}

static void move_gateway(struct dt_config_gateway *to, struct dt_config_gateway *from)
{
    *to = *from;
    from->secret = NULL;
    from->client = NULL;
    from->nsecret = from->nclient = 0;
    dt_wipe(&from->psk, sizeof(from->psk));
}

static void clear_gateway(struct dt_config_gateway *g)
{
    if (g->secret != NULL)
        dt_wipe(g->secret, g->nsecret * sizeof(*g->secret));
    free(g->secret);
    dt_config_clients_free(g->client, g->nclient);
    dt_wipe(g, sizeof(*g));
}

void tun_up(struct daemon *d, struct tun *t)
{
    t->wanted = true;
    t->taken_down = false;
    t->refusals = 0;
    if (t->id != 0) {
        dt_endpoint_claim(d->ep, daemon_now(), t->id);
        dt_endpoint_up(d->ep, daemon_now(), t->id);
        routes_tunnel(d, t);
    } else if (t->resolve == NULL) {
        resolve_start(d, t);
    }
}

void tun_down(struct daemon *d, struct tun *t)
{
    t->wanted = false;
    t->taken_down = true;
    t->encap_why[0] = '\0';
    if (t->id != 0)
        dt_endpoint_down(d->ep, daemon_now(), t->id);
    routes_tunnel(d, t);
}

void tun_addresses(struct daemon *d, struct tun *t)
{
    struct dt_tunnel_cfg *cfg = &t->cfg.cfg;
    struct dt_err err = {0};
    cfg->ngateways = 0;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        for (size_t k = 0; k < t->found[i].n && cfg->ngateways < DT_TUNNEL_GATEWAYS; k++)
            cfg->gateways[cfg->ngateways++] = t->found[i].a[k];
    if (cfg->ngateways == 0)
        return;
    if (t->id != 0) {
        if (dt_endpoint_tunnel_update(d->ep, daemon_now(), t->id, cfg, &err) != 0)
            LOG(DT_LOG_ERROR, "%s: %s", cfg->name, err.text);
        return;
    }
    t->id = dt_endpoint_tunnel_add(d->ep, daemon_now(), cfg, &err);
    if (t->id == 0) {
        snprintf(t->resolve_why, sizeof(t->resolve_why), "%.150s", err.text);
        LOG(DT_LOG_ERROR, "%s: %s", cfg->name, err.text);
        return;
    }
    if (dt_table_insert(&d->tun_ids, &t->by_id, t->id) != 0) {
        dt_endpoint_tunnel_remove(d->ep, daemon_now(), t->id);
        t->id = 0;
        snprintf(t->resolve_why, sizeof(t->resolve_why), "out of memory");
        return;
    }
    if (t->ruled || (t->wanted && t->cfg.start == DT_START_DEMAND && t->refusals == 0))
        driver_hold(d, t);
    else if (t->wanted)
        dt_endpoint_up(d->ep, daemon_now(), t->id);
    routes_tunnel(d, t);
}

/* The addresses that stand in the configuration as such; names follow from resolve.c. */
static void literal_addresses(struct tun *t)
{
    memset(t->found, 0, sizeof(t->found));
    for (size_t i = 0; i < t->cfg.nhost; i++)
        if (dt_addr_parse(&t->found[i].a[0], t->cfg.host[i]) == 0)
            t->found[i].n = 1;
}

struct tun *tunnels_add(struct daemon *d, struct dt_config_tunnel *cfg)
{
    struct tun *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    move_tunnel(&t->cfg, cfg);
    t->ruled = plans_uses(d->rules, &t->cfg);
    t->wanted = t->ruled || t->cfg.start != DT_START_MANUAL;
    t->site = t->cfg.cfg.local.n > 0 || t->cfg.cfg.transport;
    t->resolve_at = DT_NEVER;
    dt_list_add_tail(&d->tuns, &t->link);
    literal_addresses(t);
    tun_addresses(d, t);
    resolve_start(d, t);
    return t;
}

static void change_tunnel(struct daemon *d, struct tun *t, struct dt_config_tunnel *cfg)
{
    bool same_hosts = t->cfg.nhost == cfg->nhost;
    for (size_t i = 0; same_hosts && i < cfg->nhost; i++)
        same_hosts = strcmp(t->cfg.host[i], cfg->host[i]) == 0;
    clear_tunnel(&t->cfg);
    move_tunnel(&t->cfg, cfg);
    t->ruled = plans_uses(d->rules, &t->cfg);
    t->site = t->cfg.cfg.local.n > 0 || t->cfg.cfg.transport;
    if (!same_hosts) {
        resolve_cancel(t);
        literal_addresses(t);
    }
    tun_addresses(d, t);
    routes_tunnel(d, t);
    if (!same_hosts)
        resolve_start(d, t);
}

void tunnels_remove(struct daemon *d, struct tun *t)
{
    waits_forget(d, t);
    plans_forget(d, t);
    resolve_cancel(t);
    t->wanted = false;
    routes_tunnel(d, t);
    if (t->id != 0) {
        dt_endpoint_tunnel_remove(d->ep, daemon_now(), t->id);
        dt_table_remove(&d->tun_ids, &t->by_id);
    }
    dt_list_del(&t->link);
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
    routes_gateway(d, g, false);
    return g;
}

void gates_remove(struct daemon *d, struct gate *g)
{
    dt_endpoint_gateway_remove(d->ep, daemon_now(), g->id);
    routes_gateway(d, g, true);
    dt_list_del(&g->link);
    clear_gateway(&g->cfg);
    free(g);
}

static void note(json_t *report, const char *what, const char *name)
{
    json_array_append_new(json_object_get(report, what), json_string(name));
}

/* The tunnel is what it was, but the rules may lead to it now, or no more. */
static void rules_changed(struct daemon *d, struct tun *t)
{
    bool ruled = plans_uses(d->rules, &t->cfg);
    if (ruled == t->ruled)
        return;
    t->ruled = ruled;
    if (t->id != 0 && t->layer == 0)
        dt_endpoint_down(d->ep, daemon_now(), t->id);
    t->wanted = ruled || t->cfg.start != DT_START_MANUAL;
    tun_addresses(d, t);
    routes_tunnel(d, t);
}

static size_t apply_tunnels(struct daemon *d, struct dt_config *c, json_t *report)
{
    size_t same = 0;
    dt_list_for_each_safe (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!t->cfg.discovered && dt_config_find_tunnel(c, t->cfg.cfg.name) == NULL) {
            note(report, "removed", t->cfg.cfg.name);
            tunnels_remove(d, t);
        }
    }
    for (size_t i = 0; i < c->ntunnel; i++) {
        struct tun *t = tun_by_name(d, c->tunnel[i].cfg.name);
        if (t != NULL && dt_config_tunnel_same(&t->cfg, &c->tunnel[i])) {
            same++;
            rules_changed(d, t);
            continue;
        }
        note(report, t != NULL ? "changed" : "added", c->tunnel[i].cfg.name);
        if (t != NULL)
            change_tunnel(d, t, &c->tunnel[i]);
        else
            tunnels_add(d, &c->tunnel[i]);
    }
    return same;
}

static size_t apply_gateways(struct daemon *d, struct dt_config *c, json_t *report, int *rc)
{
    size_t same = 0;
    struct dt_err err = {0};
    dt_list_for_each_safe (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (!g->discovery && dt_config_find_gateway(c, g->cfg.cfg.name) == NULL) {
            note(report, "removed", g->cfg.cfg.name);
            gates_remove(d, g);
        }
    }
    for (size_t i = 0; i < c->ngateway; i++) {
        struct gate *g = gate_by_name(d, c->gateway[i].cfg.name);
        if (g != NULL && dt_config_gateway_same(&g->cfg, &c->gateway[i])) {
            same++;
            continue;
        }
        note(report, g != NULL ? "changed" : "added", c->gateway[i].cfg.name);
        if (g == NULL) {
            if (gates_add(d, &c->gateway[i], false, &err) == NULL)
                *rc = -1;
            continue;
        }
        clear_gateway(&g->cfg);
        move_gateway(&g->cfg, &c->gateway[i]);
        if (dt_endpoint_gateway_update(d->ep, daemon_now(), g->id, &g->cfg.cfg, &err) != 0) {
            LOG(DT_LOG_ERROR, "%s: %s", g->cfg.cfg.name, err.text);
            *rc = -1;
        }
        routes_gateway(d, g, false);
    }
    return same;
}

int tunnels_apply(struct daemon *d, struct dt_config *c, json_t *report)
{
    int rc = 0;
    json_object_set_new(report, "added", json_array());
    json_object_set_new(report, "changed", json_array());
    json_object_set_new(report, "removed", json_array());
    dt_rules_unref(d->rules);
    dt_rules_unref(d->config_rules);
    d->rules = dt_rules_ref(c->rules);
    d->config_rules = dt_rules_ref(c->rules);
    /* First discovery: its gateway serves names below .ted alone, another one may serve everybody. */
    if (discover_apply(d, c, report) != 0)
        rc = -1;
    size_t same = apply_gateways(d, c, report, &rc);
    same += apply_tunnels(d, c, report);
    json_object_set_new(report, "unchanged", json_integer((json_int_t)same));
    if (plans_apply(d, &c->plans) != 0)
        rc = -1;
    d->config_loads++;
    return rc;
}

void tunnels_clear(struct daemon *d)
{
    discover_clear(d);
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

int daemon_reload(struct daemon *d, json_t *report, struct dt_config *bad)
{
    struct dt_config c;
    int rc = dt_config_load(&c, d->config_file);
    if (rc == 0 && dt_config_check_host(&c) > 0)
        rc = -1;
    for (size_t i = 0; i < c.nissue; i++)
        LOG(c.issue[i].warning ? DT_LOG_WARN : DT_LOG_ERROR, "%s:%u: %s", c.file, c.issue[i].line,
            c.issue[i].text);
    if (rc != 0) {
        d->config_errors++;
        LOG(DT_LOG_ERROR, "nothing was changed");
        if (bad != NULL)
            *bad = c;
        else
            dt_config_free(&c);
        return -1;
    }
    if (c.daemon.print != d->cfg.print) {
        static const char note_text[] =
            "the daemon section has changed: that takes a restart, and nothing of it was taken over";
        LOG(DT_LOG_WARN, "%s", note_text);
        json_object_set_new(report, "note", json_string(note_text));
    }
    tunnels_apply(d, &c, report);
    LOG(DT_LOG_INFO, "configuration read again: %zu added, %zu changed, %zu removed, %lld unchanged",
        json_array_size(json_object_get(report, "added")),
        json_array_size(json_object_get(report, "changed")),
        json_array_size(json_object_get(report, "removed")),
        (long long)json_integer_value(json_object_get(report, "unchanged")));
    dt_config_free(&c);
    return 0;
}
