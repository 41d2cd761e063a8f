/* Inside addresses of this host's own tunnels, found by address: a host with thousands of tunnels asks for each path that it
 * looks at. */
#include <string.h>

#include "endpoint/inside.h"

static uint64_t inside_hash(const struct dt_endpoint *ep, const struct dt_addr *a)
{
    return dt_siphash(&ep->key, a, sizeof(*a));
}

void ep_insides_forget(struct tunnel *t)
{
    for (size_t i = 0; t->is_client && i < DT_ARRAY_LEN(t->c->insides); i++) {
        if (t->c->insides[i].t != NULL)
            dt_table_remove(&t->ep->insides, &t->c->insides[i].node);
        t->c->insides[i].t = NULL;
    }
}

void ep_insides_set(struct tunnel *t, const struct dt_ike_inside *in)
{
    const struct dt_addr *a[] = {&in->addr4, &in->addr6};
    ep_insides_forget(t);
    t->inside = *in;
    for (size_t i = 0; i < DT_ARRAY_LEN(a); i++) {
        struct inside_place *p = &t->c->insides[i];
        if (a[i]->ver == 0)
            continue;
        if (dt_table_insert(&t->ep->insides, &p->node, inside_hash(t->ep, a[i])) == 0)
            p->t = t;
        else
            t->ep->insides_missing = true;
    }
}

/* A lease is no more when its tunnel is down. */
static bool tunnel_has_inside(const struct tunnel *t, const struct dt_addr *a)
{
    return t->is_client && t->c->e.started &&
           (dt_addr_eq(&t->inside.addr4, a) || dt_addr_eq(&t->inside.addr6, a));
}

static bool any_tunnel_has_inside(const struct dt_endpoint *ep, const struct dt_addr *a)
{
    bool found = false;
    dt_list_for_each (l, &ep->tunnels)
        found = found || tunnel_has_inside(DT_CONTAINER_OF(l, struct tunnel, list), a);
    return found;
}

bool dt_endpoint_has_inside(const struct dt_endpoint *ep, const struct dt_addr *a)
{
    struct dt_table_node *n = dt_table_first(&ep->insides, inside_hash(ep, a));
    while (n != NULL && !tunnel_has_inside(DT_CONTAINER_OF(n, struct inside_place, node)->t, a))
        n = dt_table_next(n);
    return n != NULL || (ep->insides_missing && any_tunnel_has_inside(ep, a));
}
