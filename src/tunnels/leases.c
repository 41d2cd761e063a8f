/* Inside addresses for a gateway's clients: what the configuration and the host say of them, and a store that keeps them
 * (tunnels/lease.h). */

#include "tunnels/leases.h"

#include <string.h>
#include <time.h>

#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

/* For whom, and what this host has. */
struct asking {
    const struct gate *gate;
    const struct dt_ike_id *peer;
    struct dt_nl_addrs here;
};

/* The host's own addresses would be lost to it; those that are fixed for somebody are theirs. */
static bool address_reserved(void *ctx, const struct dt_addr *a)
{
    const struct asking *x = ctx;
    const struct dt_config_gateway *g = &x->gate->cfg;
    for (size_t i = 0; i < x->here.n; i++)
        if (dt_addr_eq(&x->here.v[i].addr, a))
            return true;
    for (size_t i = 0; i < g->cfg.nlisten; i++)
        if (dt_addr_eq(&g->cfg.listen[i], a))
            return true;
    const struct dt_config_client *whose = dt_config_gateway_fixed(g, a);
    return whose != NULL && !dt_ike_id_eq(&whose->id, x->peer);
}

/* Another number when address_reserved would say something else. */
static uint64_t reserved_print(const struct asking *x)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_digest_u64(&d, x->gate->cfg.print);
    for (size_t i = 0; i < x->here.n; i++)
        dt_digest_bytes(&d, &x->here.v[i].addr, sizeof(x->here.v[i].addr));
    return dt_digest_value(&d);
}

static bool has_pool(const struct dt_config_gateway *g, uint8_t ver)
{
    for (size_t i = 0; i < g->npool; i++)
        if (g->pool[i].addr.ver == ver)
            return true;
    return false;
}

/* One version's address. -1 with *err: none. */
static int lease_version(struct daemon *d, struct asking *x, uint8_t ver, const struct dt_addr *wish,
                         struct dt_addr *out, struct dt_err *err)
{
    const struct dt_config_gateway *g = &x->gate->cfg;
    const struct dt_config_client *client = dt_config_gateway_client(g, x->peer);
    char who[DT_IKE_ID_STRLEN];
    dt_ike_id_key(who, x->peer);
    if (!has_pool(g, ver)) {
        dt_err_set(err, 0, "%s asks for an IPv%u address and the pool has none", who, ver);
        err->why = DT_WHY_NO_POOL;
        return -1;
    }
    struct dt_lease_ask ask = {.gateway = g->cfg.name,
                               .identity = who,
                               .ver = ver,
                               .pool = g->pool,
                               .npool = g->npool,
                               .wish = *wish,
                               .now = (int64_t)time(NULL),
                               .reserved = address_reserved,
                               .ctx = x,
                               .reserved_print = reserved_print(x)};
    if (client != NULL && client->inside[ver == 6].ver != 0) {
        ask.wish = client->inside[ver == 6];
        ask.fixed = true;
    }
    return d->leases->take(d->leases, &ask, out, err);
}

int leases_take(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err)
{
    struct daemon *d = user;
    struct asking x = {.gate = gate_by_id(d, gateway), .peer = peer, .here = {.v = NULL}};
    const struct dt_addr *wish[2] = {&want->addr4, &want->addr6};
    struct dt_addr *out[2] = {&give->addr4, &give->addr6};
    bool given = false;
    memset(give, 0, sizeof(*give));
    if (x.gate == NULL)
        return dt_err_set(err, 0, "the gateway is gone");
    if (dt_nl_addrs_of(d->nl, 0, &x.here, err) != 0)
        return -1;
    for (size_t i = 0; i < 2; i++)
        if (wish[i]->ver != 0 && lease_version(d, &x, i == 0 ? 4 : 6, wish[i], out[i], err) == 0)
            given = true;
    dt_nl_addrs_free(&x.here);
    if (!given)
        return -1;
    give->addr6_len = give->addr6.ver ? 128 : 0;
    for (size_t i = 0; i < x.gate->cfg.ndns; i++)
        give->dns[give->ndns++] = x.gate->cfg.dns[i];
    memcpy(give->domains, x.gate->cfg.domains, sizeof(give->domains));
    return 0;
}

#define AGAIN (5 * DT_SEC)

const char *leases_unkept(const struct daemon *d)
{
    return d->leases != NULL && d->leases->unkept[0] != '\0' && !dt_list_empty(&d->gates) ? d->leases->unkept
                                                                                          : NULL;
}

void leases_tick(struct daemon *d, dt_time now)
{
    if (now >= d->leases_at && !dt_list_empty(&d->gates)) {
        d->leases->sync(d->leases);
        d->leases_at = dt_time_add(now, AGAIN);
    }
    const char *why = leases_unkept(d);
    if (why != NULL && !d->leases_unkept)
        LOG(DT_LOG_WARN,
            "%s; whoever comes is leased an address all the same, and after a restart perhaps another one. "
            "It is tried again "
            "every %g s",
            why, dt_time_seconds(AGAIN));
    else if (why == NULL && d->leases_unkept)
        LOG(DT_LOG_INFO, "all leases are on the disk again");
    d->leases_unkept = why != NULL;
}

void leases_release(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                    const struct dt_ike_inside *given)
{
    struct daemon *d = user;
    struct gate *g = gate_by_id(d, gateway);
    char who[DT_IKE_ID_STRLEN];
    if (g == NULL)
        return;
    dt_ike_id_key(who, peer);
    if (given->addr4.ver)
        d->leases->release(d->leases, g->cfg.cfg.name, who, 4, (int64_t)time(NULL));
    if (given->addr6.ver)
        d->leases->release(d->leases, g->cfg.cfg.name, who, 6, (int64_t)time(NULL));
}
