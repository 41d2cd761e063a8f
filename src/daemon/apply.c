/* A configuration is applied as one want: for every tunnel, gateway and rule what is to be, compared with what is, and
 * only the difference done. A reload so leads to the state that a start with that file would have, and whatever is the
 * same in both goes on undisturbed.
 *
 * What an administrator has asked for by hand (`dovetail up`, `dovetail down`) stays as long as the file says the same of
 * when the tunnel is up: its `start`, and whether a rule leads to it. */

#include "daemon/apply.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/manager.h"
#include "daemon/top.h"
#include "discovery/discovery.h"
#include "plans/plans.h"
#include "tunnels/carry.h"
#include "tunnels/daemon.h"
#include "tunnels/lease.h"
#include "tunnels/resolve.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"
#include "tunnels/wants.h"
#include "wire/ike_payload.h"

/* What is under way: what is said of it, and what could not be done. */
struct apply {
    struct daemon *d;
    struct dt_config *c;
    json_t *report;
    size_t same, ended;
    struct dt_err *err; /* the first failure */
    bool failed;
};

static void apply_note(struct apply *a, const char *what, const char *name)
{
    json_array_append_new(json_object_get(a->report, what), json_string(name));
}

/* Everything was checked before: what fails here is memory, or the host. */
static void apply_failed(struct apply *a, const char *name, const char *why)
{
    LOG(DT_LOG_ERROR, "%s: %s", name, why);
    if (!a->failed)
        dt_err_set(a->err, 0, "%s: %s", name, why);
    a->failed = true;
}

/* ---- tunnels ---- */

static bool same_secret(const struct dt_config_psk *a, const struct dt_config_psk *b)
{
    return a->len == b->len && dt_ct_equal(a->key, b->key, sizeof(a->key));
}

static bool same_host_names(const struct dt_config_tunnel *a, const struct dt_config_tunnel *b)
{
    bool same = a->nhost == b->nhost;
    for (size_t i = 0; same && i < a->nhost; i++)
        same = strcmp(a->host[i], b->host[i]) == 0 && a->port[i] == b->port[i];
    return same;
}

/* True when it is not as it was. What is not to be up any more goes at once; what is to come up does so in tunnels_begin,
 * when the plans have let go of it. */
static bool tunnel_apply(struct apply *a, struct tun *t, struct dt_config_tunnel *want)
{
    struct daemon *d = a->d;
    bool ruled = tun_is_ruled(d->rules, want), same = dt_config_tunnel_same(&t->cfg, want);
    bool other_start = ruled != t->ruled || (!ruled && want->start != t->cfg.start);
    memcpy(t->cfg.shares, want->shares, sizeof(t->cfg.shares)); /* another section says so */
    if (same && !other_start)
        return false;
    bool hosts = same_host_names(&t->cfg, want);
    want->cfg.secret = t->cfg.cfg.secret + !same_secret(&t->cfg.psk, &want->psk);
    if (t->ruled && !ruled)
        plans_forget(d, t, "no rule leads to its tunnel any more");
    if (t->plan_udp)
        want->cfg.encap = DT_ENCAP_UDP;
    if (!hosts)
        resolve_cancel(t);
    tun_take_config(d, t, want);
    if (other_start) {
        t->wanted = ruled || t->cfg.start != DT_START_MANUAL;
        t->taken_down = t->unsure = false;
        t->refusals = 0;
        t->begin = true;
    }
    bool nested = t->below != 0 && !t->ruled;
    if (other_start && (t->ruled || !t->wanted || nested))
        tun_withdraw(d, t);
    if (!nested) /* else its plan lets go first */
        tun_addresses(d, t);
    carry_describe(d, t);
    routes_want_again(d);
    if (!hosts)
        resolve_start(d, t);
    return true;
}

static void tunnels_apply(struct apply *a)
{
    struct daemon *d = a->d;
    struct dt_config *c = a->c;
    for (size_t i = 0; i < c->ntunnel; i++) {
        struct tun *t = tun_by_name(d, c->tunnel[i].cfg.name);
        if (t != NULL)
            t->named = true;
    }
    dt_list_for_each_safe (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!t->cfg.discovered && !t->named) {
            apply_note(a, "removed", t->cfg.cfg.name);
            tunnels_remove(d, t);
        } else {
            t->named = false;
        }
    }
    for (size_t i = 0; i < c->ntunnel; i++) {
        struct tun *t = tun_by_name(d, c->tunnel[i].cfg.name);
        char name[DT_NAME_MAX];
        memcpy(name, c->tunnel[i].cfg.name, sizeof(name));
        if (t == NULL) {
            apply_note(a, "added", name);
            if (tunnels_add(d, &c->tunnel[i]) == NULL)
                apply_failed(a, name, "out of memory");
        } else if (tunnel_apply(a, t, &c->tunnel[i])) {
            apply_note(a, "changed", name);
        } else {
            a->same++;
        }
    }
}

/* When the plans are as they are to be. */
static void tunnels_begin(struct apply *a)
{
    dt_list_for_each (l, &a->d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (t->begin && t->id == 0)
            tun_addresses(a->d, t);
        if (t->begin)
            tun_begin(a->d, t);
    }
}

/* ---- gateways ---- */

static bool addr_in_pools(const struct dt_config_gateway *g, const struct dt_addr *addr)
{
    return addr->ver == 0 || dt_lease_in_pools(addr, g->pool, g->npool);
}

static bool is_given(const struct dt_addr *fixed, const struct dt_addr *leased)
{
    return fixed->ver == 0 || leased->ver == 0 || dt_addr_eq(fixed, leased);
}

/* The way in which it has proved itself, and its secret; whether a certificate is still one to be taken, the endpoint asks. */
static const char *proof_revoked(const struct dt_config_gateway *was, const struct dt_config_gateway *want,
                                 const struct dt_tunnel_info *info)
{
    const struct dt_config_psk *had = dt_config_gateway_psk(was, &info->remote_id),
                               *has = dt_config_gateway_psk(want, &info->remote_id);
    const struct dt_ike_may may = dt_config_gateway_may(want, &info->remote_id);
    bool by_psk = info->peer_method == DT_IKE_AUTH_PSK || (info->peer_method == 0 && !may.certificate);
    if (!by_psk)
        return may.certificate ? NULL : "it may not prove itself by a certificate any more";
    if (has == NULL)
        return "there is no secret for it any more";
    if (had == NULL || !same_secret(had, has))
        return "its secret has changed";
    return may.psk ? NULL : "it may not prove itself by a pre-shared key any more";
}

/* Why this client of the gateway may not go on as it is; NULL: it may, as far as the driver has a say. */
static const char *client_revoked(const struct dt_config_gateway *was, const struct dt_config_gateway *want,
                                  const struct dt_tunnel_info *info)
{
    const char *why = proof_revoked(was, want, info);
    if (why != NULL)
        return why;
    if (want->npool > 0 &&
        (!addr_in_pools(want, &info->inside.addr4) || !addr_in_pools(want, &info->inside.addr6)))
        return "its inside address is not of the pool any more";
    const struct dt_config_client *own = dt_config_gateway_client(want, &info->remote_id);
    if (own != NULL &&
        (!is_given(&own->inside[0], &info->inside.addr4) || !is_given(&own->inside[1], &info->inside.addr6)))
        return "it is given another inside address now";
    return NULL;
}

static void clients_apply(struct apply *a, const struct gate *g, const struct dt_config_gateway *want)
{
    struct dt_endpoint *ep = a->d->ep;
    struct dt_tunnel_info info;
    for (uint32_t t = dt_endpoint_tunnel_next(ep, 0), next; t != 0; t = next) {
        next = dt_endpoint_tunnel_next(ep, t);
        if (!dt_endpoint_tunnel_info(ep, t, &info) || info.client || info.gateway != g->id)
            continue;
        const char *why = client_revoked(&g->cfg, want, &info);
        if (why != NULL)
            dt_endpoint_client_end(ep, daemon_now(), t, why);
    }
}

static void gateway_apply(struct apply *a, struct gate *g, struct dt_config_gateway *want)
{
    struct daemon *d = a->d;
    struct dt_err err = {0};
    clients_apply(a, g, want);
    gates_take_config(g, want);
    if (dt_endpoint_gateway_update(d->ep, daemon_now(), g->id, &g->cfg.cfg, &err) != 0)
        apply_failed(a, g->cfg.cfg.name, err.text);
    routes_want_again(d);
}

static size_t clients_count(const struct daemon *d)
{
    struct dt_endpoint_counters n;
    dt_endpoint_counters(d->ep, &n);
    return n.tunnels;
}

static void gateways_apply(struct apply *a)
{
    struct daemon *d = a->d;
    struct dt_config *c = a->c;
    struct dt_err err = {0};
    size_t before = clients_count(d);
    dt_list_for_each_safe (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (!g->discovery && dt_config_find_gateway(c, g->cfg.cfg.name) == NULL) {
            apply_note(a, "removed", g->cfg.cfg.name);
            gates_remove(d, g);
        }
    }
    for (size_t i = 0; i < c->ngateway; i++) {
        struct gate *g = gate_by_name(d, c->gateway[i].cfg.name);
        char name[DT_NAME_MAX];
        memcpy(name, c->gateway[i].cfg.name, sizeof(name));
        if (g != NULL && dt_config_gateway_same(&g->cfg, &c->gateway[i])) {
            a->same++;
            continue;
        }
        apply_note(a, g != NULL ? "changed" : "added", name);
        if (g != NULL)
            gateway_apply(a, g, &c->gateway[i]);
        else if (gates_add(d, &c->gateway[i], false, &err) == NULL)
            apply_failed(a, name, err.text);
    }
    a->ended = before - clients_count(d);
}

/* ---- all of it ---- */

int daemon_apply(struct daemon *d, struct dt_config *c, json_t *report, struct dt_err *err)
{
    struct apply a = {.d = d, .c = c, .report = report, .err = err};
    struct dt_err why = {0};
    static const char *const lists[] = {"added", "changed", "removed"};
    for (size_t i = 0; i < DT_ARRAY_LEN(lists); i++)
        json_object_set_new(report, lists[i], json_array());
    dt_rules_unref(d->rules);
    dt_rules_unref(d->config_rules);
    d->rules = dt_rules_ref(c->rules);
    d->config_rules = dt_rules_ref(c->rules);
    /* First discovery: its gateway serves names below .ted alone, another one may serve everybody. */
    if (discover_apply(d, c, report, &why) != 0)
        apply_failed(&a, "discover", why.text);
    gateways_apply(&a);
    tunnels_apply(&a);
    if (plans_apply(d, &c->plans, &why) != 0)
        apply_failed(&a, "rules", why.text);
    tunnels_begin(&a);
    json_object_set_new(report, "unchanged", json_integer((json_int_t)a.same));
    json_object_set_new(report, "clients_ended", json_integer((json_int_t)a.ended));
    d->top->config_loads++;
    wants_save(d);
    wants_forget(d);
    return a.failed ? -1 : 0;
}

static void log_issues(const struct dt_config *c)
{
    char line[1024];
    for (size_t i = 0; i < c->nissue; i++)
        LOG(c->issue[i].warning ? DT_LOG_WARN : DT_LOG_ERROR, "%s",
            dt_config_issue_str(line, sizeof(line), c, &c->issue[i]));
}

/* What is read at the start alone, and differs now. */
static void note_restart(struct daemon *d, const struct dt_config_daemon *now, json_t *report)
{
    char names[160], text[400];
    if (dt_config_daemon_changes(&d->cfg, now, names, sizeof(names)) == 0)
        return;
    snprintf(text, sizeof(text),
             "not taken over from the daemon section, which is read at the start alone: %s. `systemctl "
             "restart dovetaild` "
             "takes it; tunnels are made anew then, and what is closed stays closed meanwhile",
             names);
    LOG(DT_LOG_WARN, "%s", text);
    json_object_set_new(report, "note", json_string(text));
}

static enum reload reload(struct daemon *d, json_t *report, struct dt_config *bad, struct dt_err *err)
{
    struct dt_config c;
    int rc = dt_keeper_load(d->keeper, &c);
    if (rc == 0 && dt_config_check_host(&c) > 0)
        rc = -1;
    log_issues(&c);
    if (rc != 0) {
        d->top->config_errors++;
        LOG(DT_LOG_ERROR, "nothing was changed");
        if (bad != NULL)
            *bad = c;
        else
            dt_config_free(&c);
        return RELOAD_REFUSED;
    }
    note_restart(d, &c.daemon, report);
    rc = daemon_apply(d, &c, report, err);
    routes_flush(d); /* who hears that it is in force finds it so */
    LOG(DT_LOG_INFO,
        "configuration read again: %zu added, %zu changed, %zu removed, %lld unchanged, %lld clients ended",
        json_array_size(json_object_get(report, "added")),
        json_array_size(json_object_get(report, "changed")),
        json_array_size(json_object_get(report, "removed")),
        (long long)json_integer_value(json_object_get(report, "unchanged")),
        (long long)json_integer_value(json_object_get(report, "clients_ended")));
    dt_config_free(&c);
    return rc == 0 ? RELOAD_DONE : RELOAD_PARTLY;
}

enum reload daemon_reload(struct daemon *d, json_t *report, struct dt_config *bad, struct dt_err *err)
{
    manager_reloading(d);
    enum reload done = reload(d, report, bad, err);
    manager_ready(d);
    return done;
}
