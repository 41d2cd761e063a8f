/* What the data path is told that tunnels carry. */

#include "tunnels/carry.h"

#include <stdlib.h>

#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

/* What a configuration may have, the data path takes, beside a client's leases. */
_Static_assert(DT_DP_PREFIXES_MAX >= DT_CONFIG_PREFIXES_MAX + 2, "prefixes of one tunnel");

struct carried_tunnel {
    struct dt_table_node node;
    uint32_t id;
};

void carry_init(struct carried *c, const struct dt_siphash_key *owner_key)
{
    dt_table_init(&c->tunnels);
    c->owner_key = *owner_key;
}

void carry_free(struct carried *c)
{
    dt_table_free(&c->tunnels);
}

static struct dt_table_node *carry_find(const struct daemon *d, uint32_t id)
{
    struct dt_table_node *n = dt_table_first(&d->carried.tunnels, id);
    while (n != NULL && DT_CONTAINER_OF(n, struct carried_tunnel, node)->id != id)
        n = dt_table_next(n);
    return n;
}

/* Whose a gateway's tunnel is, as a number: no two owners have one prefix in the data path. 0: a client's own tunnel. */
static uint64_t carry_owner(struct daemon *d, uint32_t id)
{
    struct dt_tunnel_info info;
    if (!dt_endpoint_tunnel_info(d->ep, id, &info) || info.client)
        return 0;
    return dt_ike_id_hash(&d->carried.owner_key, &info.owner) | 1;
}

/* Tells the data path what a tunnel carries. It holds at first: a client's until it is verified, a gateway's until it
 * was heard; what goes back in the moment until then must not be lost. */
int carry_set(struct daemon *d, uint32_t id, const struct dt_selectors *local,
              const struct dt_selectors *remote, struct dt_err *err)
{
    struct tun *t = tun_by_id(d, id);
    struct dt_dp_tunnel dt = {
        .id = id, .local = *local, .remote = *remote, .hold_first = true, .owner = carry_owner(d, id)};
    if (t != NULL) {
        dt.mtu = t->cfg.mtu;
        dt.on_demand = t->cfg.start == DT_START_DEMAND || t->ruled;
    }
    if (dt_dp_tunnel_set(d->dp, &dt, err) != 0)
        return -1;
    if (carry_find(d, id) != NULL)
        return 0;
    struct carried_tunnel *n = calloc(1, sizeof(*n));
    if (n == NULL || dt_table_insert(&d->carried.tunnels, &n->node, id) != 0) {
        free(n);
        return dt_err_set(err, 0, "out of memory");
    }
    n->id = id;
    return 0;
}

bool carry_has(const struct daemon *d, uint32_t id)
{
    return carry_find(d, id) != NULL;
}

void carry_forget(struct daemon *d, uint32_t id)
{
    struct dt_table_node *n = carry_find(d, id);
    dt_dp_tunnel_remove(d->dp, id);
    if (n == NULL)
        return;
    dt_table_remove(&d->carried.tunnels, n);
    free(DT_CONTAINER_OF(n, struct carried_tunnel, node));
}

int carry_set_from_config(struct daemon *d, struct tun *t, struct dt_err *err)
{
    struct dt_selectors any = {0};
    struct dt_selector all4 = dt_selector_all4(), all6 = dt_selector_all6();
    dt_selectors_add(&any, &all4);
    dt_selectors_add(&any, &all6);
    return carry_set(d, t->id, t->cfg.cfg.local.n ? &t->cfg.cfg.local : &any, &t->cfg.cfg.protect, err);
}

void carry_hold(struct daemon *d, struct tun *t)
{
    struct dt_err err = {0};
    if ((carry_find(d, t->id) == NULL && carry_set_from_config(d, t, &err) != 0) ||
        dt_dp_tunnel_state(d->dp, t->id, DT_DP_HOLD, 0, &err) != 0)
        LOG(DT_LOG_WARN, "%s: %s", t->cfg.cfg.name, err.text);
}

void carry_describe(struct daemon *d, struct tun *t)
{
    struct dt_tunnel_info info;
    struct dt_err err = {0};
    if (t->id == 0 || carry_find(d, t->id) == NULL)
        return;
    bool negotiated =
        dt_endpoint_tunnel_info(d->ep, t->id, &info) && info.local_ts.n > 0 && info.remote_ts.n > 0;
    if ((negotiated ? carry_set(d, t->id, &info.local_ts, &info.remote_ts, &err)
                    : carry_set_from_config(d, t, &err)) != 0)
        LOG(DT_LOG_WARN, "%s: %s", t->cfg.cfg.name, err.text);
}
