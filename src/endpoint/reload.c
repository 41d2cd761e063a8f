/* A reload: what is there, held against a new configuration. What could be negotiated again as it is goes on undisturbed,
 * and its next negotiation is under the new one; what could not, ends. */
#include "endpoint/inside.h"

#include <string.h>

/* ---- a client's tunnel ---- */

static bool local_stays(struct tunnel *t, const struct dt_tunnel_cfg *cfg, const struct dt_path *path,
                        unsigned *index)
{
    struct dt_endpoint *ep = t->ep;
    struct dt_addr now_chosen = {0};
    *index = 0;
    for (unsigned i = 0; i < cfg->nlocals; i++)
        if (dt_addr_eq(&cfg->locals[i], &path->local.addr)) {
            *index = i;
            return true;
        }
    if (cfg->nlocals > 0)
        return false;
    return t->c->cfg.nlocals == 0 || !ep->ops.local_addr ||
           (ep->ops.local_addr(ep->user, t->id, &path->remote.addr, &now_chosen) &&
            dt_addr_eq(&now_chosen, &path->local.addr));
}

/* Is this where sessions with the gateway of that place go? Without a port of its own, 500 or 4500, or what a NAT made of it. */
static bool port_stays(const struct tunnel *t, const struct dt_tunnel_cfg *cfg, unsigned place)
{
    const struct link *l = t->c->link;
    uint16_t port = cfg->ports[place];
    if (port == 0 || port == DT_PORT_IKE)
        return !l->own_port;
    return l->own_port && dt_ike_session_path(l->s)->remote.port == port;
}

/* Is the session's way one that the new configuration would take too? *place is where the next attempt begins. */
static bool path_stays(struct tunnel *t, const struct dt_tunnel_cfg *cfg, unsigned *place)
{
    const struct link *l = t->c->link;
    *place = 0;
    if (!l)
        return true;
    const struct dt_path *path = dt_ike_session_path(l->s);
    for (unsigned i = 0; i < cfg->ngateways; i++) {
        unsigned round;
        if (!dt_addr_eq(&cfg->gateways[i], &path->remote.addr) || !port_stays(t, cfg, i))
            continue;
        bool stays = local_stays(t, cfg, path, &round);
        *place = i + round * cfg->ngateways;
        return stays;
    }
    return false;
}

static bool same_probe(const struct dt_tunnel_cfg *a, const struct dt_tunnel_cfg *b)
{
    return a->probe == b->probe && dt_addr_eq(&a->probe_addr, &b->probe_addr);
}

int dt_endpoint_tunnel_update(struct dt_endpoint *ep, dt_time now, uint32_t tunnel,
                              const struct dt_tunnel_cfg *cfg, struct dt_err *err)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (!t || !t->is_client)
        return dt_err_set(err, 0, "there is no tunnel %u", tunnel);
    if (dt_endpoint_tunnel_check(cfg, err))
        return -1;
    struct client *c = t->c;
    bool same = ep_conf_same_client(&c->cfg, cfg), probe = same_probe(&c->cfg, cfg);
    bool proofs = dt_ike_proofs_eq(&c->cfg.proofs, &cfg->proofs);
    bool stays = path_stays(t, cfg, &c->place), started = c->e.started;
    bool who = dt_ike_id_eq(&c->cfg.local_id, &cfg->local_id);
    if (started && !who) /* the gateway would have two clients with one network: the old one goes first */
        ep_client_end(t, now, true);
    struct dt_ike_proofs was = c->cfg.proofs;
    ep_proof_take(&was, &cfg->proofs);
    c->cfg = *cfg;
    c->cfg.params = ep_conf_params(cfg);
    c->unprobed = false;
    dt_epoch_client_params(&c->e, &c->cfg.params);
    for (unsigned i = 0; i < 2 && (!same || !proofs); i++) {
        ep_conf_retire(ep, c->conf[i], now);
        c->conf[i] = NULL;
    }
    if (started && !who) {
        c->contacted = false;
        ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_HOLD, 0, false);
        dt_epoch_client_start(&c->e, now);
    } else if (c->e.started && (!same || !stays)) {
        c->keep_place = true;
        dt_epoch_client_reopen(&c->e, now,
                               true); /* the running epoch carries data until the new one is verified */
    } else if (c->e.started && !probe) {
        dt_epoch_client_rekey(&c->e, now); /* an epoch's control packets go where they went when it began */
    }
    if (same && !proofs)
        ep_proof_recheck(t, now, c->cfg.proofs.trust);
    ep_settle(t, now);
    return 0;
}

/* ---- a gateway's clients ---- */

/* Could exactly this have been chosen out of the list? */
static bool proposes(const struct dt_proposals *list, const struct dt_proposal *chosen)
{
    for (unsigned i = 0; i < list->n; i++) {
        const struct dt_proposal *p = &list->v[i];
        unsigned found = 0;
        for (unsigned k = 0; k < chosen->n; k++)
            for (unsigned j = 0; j < p->n; j++)
                if (p->t[j].type == chosen->t[k].type && p->t[j].id == chosen->t[k].id &&
                    p->t[j].key_bits == chosen->t[k].key_bits) {
                    found++;
                    break;
                }
        if (found == chosen->n)
            return true;
    }
    return false;
}

static struct dt_proposal chosen_for(const struct sa *sa)
{
    struct dt_proposal p = {.protocol = DT_PROTO_ESP};
    p.t[p.n++] = (struct dt_transform){
        .type = DT_TRANSFORM_ENCR, .id = sa->suite.encr, .key_bits = sa->suite.key_bits};
    if (sa->suite.integ != DT_INTEG_NONE)
        p.t[p.n++] = (struct dt_transform){.type = DT_TRANSFORM_INTEG, .id = sa->suite.integ};
    p.t[p.n++] = (struct dt_transform){.type = DT_TRANSFORM_ESN, .id = sa->esn};
    return p;
}

static bool reload_within(const struct dt_selectors *outer, const struct dt_selectors *inner,
                          const struct dt_selector **beyond)
{
    for (unsigned i = 0; i < inner->n; i++)
        if (!dt_selectors_covers(outer, &inner->v[i])) {
            *beyond = &inner->v[i];
            return false;
        }
    return true;
}

/* What the client's newest epoch carries, and every SA's cipher and mode. */
static int sas_fit(const struct tunnel *t, const struct dt_gateway_cfg *cfg, struct dt_err *err)
{
    const struct dt_selector *beyond = NULL;
    char text[DT_SELECTOR_STRLEN], name[DT_PROPOSAL_STRLEN];
    if (!reload_within(&cfg->protect, &t->local_ts, &beyond))
        return dt_err_set(err, 0, "%s is not protected for it any more", dt_selector_str(text, beyond));
    struct dt_selectors may;
    ep_authority_allows(t, &may);
    if (!reload_within(&may, &t->remote_ts, &beyond))
        return dt_err_set(err, 0, "it may bring %s no more", dt_selector_str(text, beyond));
    dt_list_for_each (n, &t->sas) {
        const struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        struct dt_proposal chosen = chosen_for(sa);
        if (sa->linger)
            continue;
        if (sa->transport != cfg->transport)
            return dt_err_set(err, 0, "%s mode is configured now", cfg->transport ? "transport" : "tunnel");
        if (!proposes(&cfg->esp, &chosen))
            return dt_err_set(err, 0, "%s is no longer among the proposals for ESP",
                              dt_proposal_str(name, sizeof(name), &chosen));
    }
    return 0;
}

static int sessions_fit(const struct tunnel *t, const struct dt_gateway_cfg *cfg, struct dt_err *err)
{
    char text[DT_PROPOSAL_STRLEN];
    dt_list_for_each (n, &t->links) {
        const struct link *l = DT_CONTAINER_OF(n, struct link, node);
        struct dt_ike_session_info info;
        if (!l->s)
            continue;
        dt_ike_session_info(l->s, &info);
        if (!ep_server_listens(cfg, &dt_ike_session_path(l->s)->local.addr))
            return dt_err_set(err, 0, "the gateway does not listen at %s any more",
                              dt_addr_str(text, &dt_ike_session_path(l->s)->local.addr));
        if (!proposes(&cfg->ike, &info.chosen))
            return dt_err_set(err, 0, "%s is no longer among the proposals for IKE",
                              dt_proposal_str(text, sizeof(text), &info.chosen));
    }
    return 0;
}

/* The method alone; whether the certificate is still one to be taken is looked at by a job. */
static int proof_fits(const struct tunnel *t, const struct dt_gateway_cfg *cfg, struct dt_err *err)
{
    dt_list_for_each (n, &t->links) {
        const struct link *l = DT_CONTAINER_OF(n, struct link, node);
        struct dt_ike_session_info info;
        if (!l->s || !l->up)
            continue;
        dt_ike_session_info(l->s, &info);
        if (info.peer_cert && !cfg->proofs.trust)
            return dt_err_set(err, 0, "certificates are not taken any more");
    }
    return 0;
}

/* 0: the client could come as it is under `cfg` too. -1: *err says what it could not have. */
static int client_fits(const struct tunnel *t, const struct dt_gateway_cfg *cfg, const struct dt_ike_id *was,
                       struct dt_err *err)
{
    const struct server *s = t->s;
    char me[DT_IKE_ID_STRLEN];
    if (was->type != cfg->identity.type || !dt_ike_id_eq(was, &cfg->identity))
        return dt_err_set(err, 0, "the gateway is %s now", dt_ike_id_str(me, &cfg->identity));
    if (!dt_ike_id_matches(&cfg->peers, &s->peer))
        return dt_err_set(err, 0, "it is not among the gateway's peers any more");
    if (s->leased && !cfg->lease && !dt_list_empty(&t->sas))
        return dt_err_set(err, 0, "the gateway leases no inside addresses any more");
    return sessions_fit(t, cfg, err) || sas_fit(t, cfg, err) || proof_fits(t, cfg, err) ? -1 : 0;
}

static void take_conf(struct tunnel *t, struct conf *c)
{
    dt_list_for_each (n, &t->links) {
        struct link *l = DT_CONTAINER_OF(n, struct link, node);
        if (l->s)
            dt_ike_session_set_cfg(l->s, &c->ike);
        ep_conf_unref(t->ep, l->conf);
        l->conf = ep_conf_ref(c);
    }
}

int dt_endpoint_gateway_update(struct dt_endpoint *ep, dt_time now, uint32_t gateway,
                               const struct dt_gateway_cfg *cfg, struct dt_err *err)
{
    struct gateway *g = ep_server_gateway(ep, gateway);
    if (!g)
        return dt_err_set(err, 0, "there is no gateway %u", gateway);
    if (dt_endpoint_gateway_check(cfg, err))
        return -1;
    EP_CALL(ep, now);
    struct conf *fresh = NULL, *old = g->conf;
    bool proofs = dt_ike_proofs_eq(&g->cfg.proofs, &cfg->proofs);
    if (!ep_conf_same_server(&g->cfg, cfg) || !proofs) {
        fresh = ep_conf_new(ep);
        if (!fresh)
            return dt_err_set(err, 0, "%s: no memory", cfg->name);
        ep_conf_server(fresh, cfg);
        fresh->gateway = g;
        g->conf = fresh;
    }
    struct dt_ike_id was = g->cfg.identity;
    struct dt_ike_proofs held = g->cfg.proofs;
    ep_proof_take(&held, &cfg->proofs);
    g->cfg = *cfg;
    struct dt_epoch_params p = cfg->params;
    p.probe = cfg->probe;
    dt_list_for_each_safe (n, &ep->tunnels) {
        struct tunnel *t = DT_CONTAINER_OF(n, struct tunnel, list);
        struct dt_err why = {0};
        if (t->is_client || t->s->gateway != g)
            continue;
        if (client_fits(t, cfg, &was, &why)) {
            ep_server_free(t, now, why.text);
            ep_events_tell(ep);
            continue;
        }
        if (fresh)
            take_conf(t, fresh);
        dt_epoch_server_params(&t->s->e, &p);
        if (!proofs)
            ep_proof_recheck(t, now, g->cfg.proofs.trust);
        ep_events_tell(ep);
    }
    if (fresh)
        ep_conf_retire(ep, old, now);
    return 0;
}

void dt_endpoint_client_end(struct dt_endpoint *ep, dt_time now, uint32_t tunnel, const char *why)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (t && !t->is_client)
        ep_server_free(t, now, why);
}
