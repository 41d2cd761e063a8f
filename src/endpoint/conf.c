/* What sessions are negotiated with: from our configuration to IKE's, counted, compared, checked. */
#include "endpoint/inside.h"

#include <string.h>

struct conf *ep_conf_new(struct dt_endpoint *ep)
{
    struct conf *c = ep_alloc(ep, sizeof(*c));
    if (!c)
        return NULL;
    c->refs = 1; /* the owner's */
    c->retired = DT_NEVER;
    dt_list_init(&c->node); /* in the list from ep_conf_retire on */
    return c;
}

struct conf *ep_conf_ref(struct conf *c)
{
    c->refs++;
    return c;
}

static void conf_free(struct dt_endpoint *ep, struct conf *c)
{
    dt_list_del(&c->node);
    dt_ike_proofs_unref(&c->ike.proofs);
    ep_free(ep, c, sizeof(*c));
}

/* A retired one waits for the sweep: a half-open session that nobody adopted may still look at it. */
void ep_conf_unref(struct dt_endpoint *ep, struct conf *c)
{
    c->refs--;
}

void ep_conf_retire(struct dt_endpoint *ep, struct conf *c, dt_time now)
{
    if (!c)
        return;
    c->gateway = NULL;
    c->retired = now;
    dt_list_del(&c->node); /* it has been in the list since it was made */
    dt_list_add_tail(&ep->retired, &c->node);
    ep_conf_unref(ep, c);
}

void ep_conf_sweep(struct dt_endpoint *ep, dt_time now)
{
    dt_time keep = 2 * ep->params.door.half_open_timeout;
    dt_list_for_each_safe (n, &ep->retired) {
        struct conf *c = DT_CONTAINER_OF(n, struct conf, node);
        if (c->refs == 0 && (now == DT_NEVER || dt_time_add(c->retired, keep) <= now))
            conf_free(ep, c);
    }
}

void ep_conf_client(struct conf *c, const struct dt_tunnel_cfg *cfg, bool udp)
{
    struct dt_ike_cfg *k = &c->ike;
    k->local_id = cfg->local_id;
    k->remote_id = cfg->remote_id;
    k->ike = cfg->ike;
    k->esp = cfg->esp;
    k->remote_ts = cfg->protect;
    k->local_ts = cfg->local;
    if (cfg->local.n == 0 && !cfg->transport) {
        bool four = false, six = false;
        for (unsigned i = 0; i < cfg->protect.n; i++) {
            four |= cfg->protect.v[i].range.from.ver == 4;
            six |= cfg->protect.v[i].range.from.ver == 6;
        }
        struct dt_selector all4 = dt_selector_all4(), all6 = dt_selector_all6();
        if (four)
            dt_selectors_add(&k->local_ts, &all4);
        if (six)
            dt_selectors_add(&k->local_ts, &all6);
    }
    k->transport = cfg->transport;
    /* Transport mode must know of a NAT: it changes addresses that checksums inside cover. */
    k->encap = udp ? DT_ENCAP_FORCE : cfg->transport ? DT_ENCAP_DETECT : DT_ENCAP_OFF;
    k->want4 = cfg->inside4;
    k->want6 = cfg->inside6;
    k->want_dns = (cfg->inside4 || cfg->inside6) && !cfg->no_dns;
    k->send_idr = cfg->remote_id.type != DT_ID_ANY;
    k->proofs = cfg->proofs;
    dt_ike_proofs_ref(&k->proofs);
}

void ep_conf_server(struct conf *c, const struct dt_gateway_cfg *cfg)
{
    struct dt_ike_cfg *k = &c->ike;
    k->local_id = cfg->identity;
    k->remote_id = cfg->peers;
    k->ike = cfg->ike;
    k->esp = cfg->esp;
    k->local_ts = cfg->protect;
    k->remote_ts = cfg->remote;
    k->transport = cfg->transport;
    k->encap = DT_ENCAP_DETECT; /* says nothing of NAT to a client that does not */
    k->lease = cfg->lease;
    k->proofs = cfg->proofs;
    dt_ike_proofs_ref(&k->proofs);
}

bool ep_conf_same_proposals(const struct dt_proposals *a, const struct dt_proposals *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++) {
        const struct dt_proposal *x = &a->v[i], *y = &b->v[i];
        if (x->protocol != y->protocol || x->n != y->n)
            return false;
        for (unsigned j = 0; j < x->n; j++)
            if (x->t[j].type != y->t[j].type || x->t[j].id != y->t[j].id ||
                x->t[j].key_bits != y->t[j].key_bits)
                return false;
    }
    return true;
}

bool dt_endpoint_gateways_offer(const struct dt_gateway_cfg *a, const struct dt_gateway_cfg *b)
{
    return ep_conf_same_proposals(&a->ike, &b->ike) && dt_x509_trust_eq(a->proofs.trust, b->proofs.trust);
}

bool dt_endpoint_gateways_meet(const struct dt_gateway_cfg *a, const struct dt_gateway_cfg *b)
{
    for (unsigned i = 0; i < b->nlisten; i++)
        if (dt_addr_is_any(&b->listen[i]) || ep_server_listens(a, &b->listen[i]))
            return true;
    return b->nlisten == 0;
}

static bool conf_same_id(const struct dt_ike_id *a, const struct dt_ike_id *b)
{
    return a->type == b->type && (a->type == DT_ID_ANY || dt_ike_id_eq(a, b));
}

bool ep_conf_same_client(const struct dt_tunnel_cfg *a, const struct dt_tunnel_cfg *b)
{
    return conf_same_id(&a->local_id, &b->local_id) && conf_same_id(&a->remote_id, &b->remote_id) &&
           ep_conf_same_proposals(&a->ike, &b->ike) && ep_conf_same_proposals(&a->esp, &b->esp) &&
           dt_selectors_eq(&a->protect, &b->protect) && dt_selectors_eq(&a->local, &b->local) &&
           a->inside4 == b->inside4 && a->inside6 == b->inside6 && a->no_dns == b->no_dns &&
           a->transport == b->transport && a->encap == b->encap && a->secret == b->secret &&
           dt_ike_proofs_alike(&a->proofs, &b->proofs) &&
           (a->probe == DT_PROBE_OFF) == (b->probe == DT_PROBE_OFF); /* IKE_AUTH says it */
}

bool ep_conf_same_server(const struct dt_gateway_cfg *a, const struct dt_gateway_cfg *b)
{
    return conf_same_id(&a->identity, &b->identity) && conf_same_id(&a->peers, &b->peers) &&
           ep_conf_same_proposals(&a->ike, &b->ike) && ep_conf_same_proposals(&a->esp, &b->esp) &&
           dt_selectors_eq(&a->protect, &b->protect) && dt_selectors_eq(&a->remote, &b->remote) &&
           a->lease == b->lease && a->transport == b->transport &&
           dt_ike_proofs_alike(&a->proofs, &b->proofs);
}

static int check_common(const char *name, const struct dt_proposals *ike, const struct dt_proposals *esp,
                        const struct dt_selectors *protect, const struct dt_epoch_params *p,
                        struct dt_err *err)
{
    if (!name[0])
        return dt_err_set(err, 0, "it has no name");
    if (ike->n == 0 || esp->n == 0)
        return dt_err_set(err, 0, "%s: no proposal for %s: name at least one", name, ike->n ? "ESP" : "IKE");
    if (protect->n == 0)
        return dt_err_set(err, 0, "%s: nothing to protect: name at least one network", name);
    if (p->keylife == 0 || p->timeout == 0 || p->pingtime == 0 || p->pingtime2 == 0)
        return dt_err_set(err, 0, "%s: keylife, timeout, pingtime and pingtime2 must be more than 0", name);
    dt_time early = p->rekeymargin + p->rekeymargin / 100 * p->rekeyfuzz;
    if (early >= p->keylife)
        return dt_err_set(err, 0,
                          "%s: (1 + rekeyfuzz) * rekeymargin is %g s and must be less than keylife, %g s",
                          name, dt_time_seconds(early), dt_time_seconds(p->keylife));
    return 0;
}

struct dt_epoch_params ep_conf_params(const struct dt_tunnel_cfg *cfg)
{
    struct dt_epoch_params p = cfg->params;
    p.probe = cfg->probe != DT_PROBE_OFF;
    return p;
}

int dt_endpoint_tunnel_check(const struct dt_tunnel_cfg *cfg, struct dt_err *err)
{
    if (check_common(cfg->name, &cfg->ike, &cfg->esp, &cfg->protect, &cfg->params, err))
        return -1;
    if (cfg->ngateways == 0 || cfg->ngateways > DT_TUNNEL_GATEWAYS || cfg->nlocals > DT_TUNNEL_LOCALS)
        return dt_err_set(err, 0,
                          "%s: %u gateway addresses and %u local ones: from 1 to %u and from 0 to %u can be",
                          cfg->name, cfg->ngateways, cfg->nlocals, DT_TUNNEL_GATEWAYS, DT_TUNNEL_LOCALS);
    if (cfg->local_id.type == DT_ID_ANY)
        return dt_err_set(err, 0, "%s: it has no identity of its own", cfg->name);
    if (cfg->probe == DT_PROBE_ADDRESS && cfg->probe_addr.ver == 0)
        return dt_err_set(err, 0, "%s: probe names no address", cfg->name);
    return 0;
}

int dt_endpoint_gateway_check(const struct dt_gateway_cfg *cfg, struct dt_err *err)
{
    if (check_common(cfg->name, &cfg->ike, &cfg->esp, &cfg->protect, &cfg->params, err))
        return -1;
    if (cfg->nlisten > DT_GATEWAY_LISTEN)
        return dt_err_set(err, 0, "%s: %u addresses to listen on, %u can be", cfg->name, cfg->nlisten,
                          DT_GATEWAY_LISTEN);
    if (cfg->identity.type == DT_ID_ANY)
        return dt_err_set(err, 0, "%s: it has no identity", cfg->name);
    if (!cfg->lease && cfg->remote.n == 0)
        return dt_err_set(err, 0, "%s: neither a pool of inside addresses nor remote networks", cfg->name);
    return 0;
}

void dt_tunnel_cfg_default(struct dt_tunnel_cfg *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    dt_proposals_default(&cfg->ike, DT_PROTO_IKE);
    dt_proposals_default(&cfg->esp, DT_PROTO_ESP);
    cfg->params = dt_epoch_params_default();
    cfg->encap = DT_ENCAP_AUTO;
    cfg->probe = DT_PROBE_AUTO;
}

void dt_gateway_cfg_default(struct dt_gateway_cfg *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    dt_proposals_default(&cfg->ike, DT_PROTO_IKE);
    dt_proposals_default(&cfg->esp, DT_PROTO_ESP);
    cfg->params = dt_epoch_params_default();
    cfg->params.server_rekey = true;
    cfg->probe = true;
    cfg->tunnels_max = 65536;
}

void dt_endpoint_limits_default(struct dt_endpoint_limits *l)
{
    *l = (struct dt_endpoint_limits){
        .tunnels_max = 16384,
        .sessions_per_tunnel = 4,
        .networks_max = 256,
        .head_start = 300 * DT_MSEC,
        .linger = 2 * DT_SEC,
        .probe_rule = DT_PROBE_RULE_DUMMY,
    };
}
