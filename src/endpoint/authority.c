/* Whose network is whose. An identity brings what the driver lists for it (RFC 4301 section 4.4.3.3), and never what is
 * another owner's now: neither a lease nor a network. Most clients have a lease alone, and leases are given once; so they
 * are compared with those few that bring networks, and only these with everybody. */
#include "endpoint/inside.h"

#include <string.h>

void ep_authority_ask(struct dt_endpoint *ep, const struct gateway *g, const struct dt_ike_id *peer,
                      struct dt_selectors *networks, struct dt_ike_id *owner)
{
    struct dt_authority a = {.owner = *peer};
    if (ep->ops.authority)
        ep->ops.authority(ep->user, g->id, peer, &a);
    if (networks)
        *networks = a.networks;
    if (owner)
        *owner = a.owner;
}

void ep_authority_allows(const struct tunnel *t, struct dt_selectors *out)
{
    ep_authority_ask(t->ep, t->s->gateway, &t->s->peer, out, NULL);
    const struct dt_addr *leased[] = {&t->inside.addr4, &t->inside.addr6};
    for (unsigned i = 0; i < DT_ARRAY_LEN(leased); i++)
        if (t->s->leased && leased[i]->ver) {
            struct dt_selector one = dt_selector_addr(leased[i]);
            dt_selectors_add(out, &one);
        }
}

/* Protocol and ports do not matter: routes and look-ups know addresses. */
static bool addresses_overlap(const struct dt_selectors *a, const struct dt_selectors *b)
{
    struct dt_range both;
    for (unsigned i = 0; i < a->n; i++)
        for (unsigned k = 0; k < b->n; k++)
            if (dt_range_intersect(&both, &a->v[i].range, &b->v[k].range))
                return true;
    return false;
}

static bool is_lease_alone(const struct tunnel *t, const struct dt_selectors *remote)
{
    for (unsigned i = 0; i < remote->n; i++) {
        const struct dt_range *r = &remote->v[i].range;
        if (!dt_addr_eq(&r->from, &r->to) ||
            (!dt_addr_eq(&r->from, &t->inside.addr4) && !dt_addr_eq(&r->from, &t->inside.addr6)))
            return false;
    }
    return t->s->leased;
}

static bool holds(const struct tunnel *other, const struct tunnel *t, const struct dt_selectors *remote)
{
    return !other->is_client && other != t && !dt_ike_id_eq(&other->s->owner, &t->s->owner) &&
           addresses_overlap(&other->remote_ts, remote);
}

/* Another owner's tunnel that has some of it, or NULL. */
static const struct tunnel *holder_of(const struct tunnel *t, const struct dt_selectors *remote)
{
    const struct dt_endpoint *ep = t->ep;
    if (is_lease_alone(t, remote)) {
        dt_list_for_each (n, &ep->bringers) {
            const struct tunnel *other = DT_CONTAINER_OF(n, struct server, bringers)->e.user;
            if (holds(other, t, remote))
                return other;
        }
        return NULL;
    }
    dt_list_for_each (n, &ep->tunnels) {
        const struct tunnel *other = DT_CONTAINER_OF(n, struct tunnel, list);
        if (holds(other, t, remote))
            return other;
    }
    return NULL;
}

int ep_authority_admit(struct tunnel *t, struct link *l, dt_time now, const struct dt_child_sa *in,
                       struct dt_err *err)
{
    struct dt_endpoint *ep = t->ep;
    if (!t->is_client && ep_place_admit(t, l, now, err))
        return -1;
    if (!t->is_client) {
        char mine[160], its[160];
        const struct tunnel *other = holder_of(t, &in->remote_ts);
        if (other)
            return dt_err_set(err, 0, "the peer asks for %s; %.100s has %s",
                              dt_selectors_str(mine, sizeof(mine), &in->remote_ts), other->name,
                              dt_selectors_str(its, sizeof(its), &other->remote_ts));
    }
    struct dt_endpoint_admission a = {
        .tunnel = t->id,
        .client = t->is_client,
        .transport = in->transport,
        .local_ts = &in->local_ts,
        .remote_ts = &in->remote_ts,
        .path = &in->path,
        .inside = t->is_client && l->s ? dt_ike_session_inside(l->s) : NULL,
    };
    return ep->ops.admit ? ep->ops.admit(ep->user, now, &a, err) : 0;
}

void ep_authority_took(struct tunnel *t)
{
    if (t->is_client)
        return;
    dt_list_del(&t->s->bringers);
    if (!is_lease_alone(t, &t->remote_ts))
        dt_list_add_tail(&t->ep->bringers, &t->s->bringers);
}
