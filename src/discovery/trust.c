/* Who may speak for what. Discovery only finds; IKE proves an identity; here is decided whether that identity may have
 * those selectors, before the first packet goes through.
 *
 * A gateway that discovers calls itself NAME.HASH.ted, where NAME is its identity and HASH tells its tunnels apart (a
 * server knows its clients by identity, and two gateways may have several tunnels). The secret is that of NAME. */

#include <string.h>
#include "discovery/discover.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

/* NAME of NAME.HASH.ted; any other identity as it is. */
static struct dt_ike_id plain(const struct dt_ike_id *id)
{
    struct dt_ike_id out = *id;
    if (id->type != DT_ID_FQDN || id->len < 14 || memcmp(id->data + id->len - 4, ".ted", 4) != 0 ||
        id->data[id->len - 13] != '.')
        return out;
    out.len = (uint8_t)(id->len - 13);
    memset(out.data + out.len, 0, sizeof(out.data) - out.len);
    return out;
}

/* What this identity may have: false: nothing. */
static bool allowed(const struct discover *x, const struct dt_ike_id *id,
                    const struct dt_discover_peer **peer)
{
    const struct dt_config_discover *h = &x->rule[0];
    *peer = NULL;
    for (size_t i = 0; i < h->npeer; i++)
        if (dt_ike_id_matches(&h->peer[i].id, id)) {
            *peer = &h->peer[i];
            return true;
        }
    return h->npeer == 0;
}

int discover_psk(struct daemon *d, const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    struct discover *x = d->discover;
    const struct dt_discover_peer *peer;
    struct dt_ike_id id = plain(remote);
    char name[DT_IKE_ID_STRLEN];
    if (x == NULL)
        return -1;
    if (id.type != DT_ID_ANY && !allowed(x, &id, &peer)) {
        x->count.untrusted++;
        LOG(DT_LOG_WARN, "discover: %s is none of the peers that the configuration admits",
            dt_ike_id_str(name, &id));
        return -1;
    }
    const struct dt_config_psk *p = dt_config_gateway_psk(&x->rule[0].gate, &id);
    if (p == NULL || p->len == 0)
        return -1;
    memcpy(key, p->key, p->len);
    return p->len;
}

/* One proxy of ours covers all of it. */
static bool covered(const struct discover *x, const struct dt_selectors *local,
                    const struct dt_selectors *remote)
{
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++) {
            struct dt_selectors own, others;
            bool all = dt_ted_proxy_selectors(&own, &others, &x->rule[i].rule.proxy[k], NULL) == 0;
            for (size_t s = 0; all && s < local->n; s++)
                all = dt_selectors_covers(&own, &local->v[s]);
            for (size_t s = 0; all && s < remote->n; s++)
                all = dt_selectors_covers(&others, &remote->v[s]);
            if (all)
                return true;
        }
    return false;
}

void discover_authority(struct daemon *d, const struct dt_config_gateway *g, const struct dt_ike_id *peer,
                        struct dt_authority *out)
{
    const struct dt_discover_peer *listed;
    out->owner = plain(peer);
    if (d->discover != NULL && allowed(d->discover, &out->owner, &listed))
        out->networks =
            g->cfg.remote; /* discover_admit refuses, with the reason, what is not its own of that */
}

int discover_admit(struct daemon *d, const struct dt_endpoint_admission *a, struct dt_err *err)
{
    struct discover *x = d->discover;
    struct dt_tunnel_info info;
    struct tun *t = tun_by_id(d, a->tunnel);
    const struct dt_discover_peer *peer;
    char name[DT_IKE_ID_STRLEN], ours[120], theirs[120];
    bool mine = t != NULL && t->cfg.discovered;
    if (x == NULL || !dt_endpoint_tunnel_info(d->ep, a->tunnel, &info))
        return mine ? dt_err_set(err, 0, "discovery is off") : 0;
    if (!mine && (x->gate == NULL || info.gateway != x->gate->id))
        return 0;
    struct dt_ike_id id = plain(&info.remote_id);
    dt_ike_id_str(name, &id);
    dt_selectors_str(ours, sizeof(ours), a->local_ts);
    dt_selectors_str(theirs, sizeof(theirs), a->remote_ts);
    int rc = 0;
    if (!allowed(x, &id, &peer))
        rc = dt_err_set(err, 0, "%.80s is none of the peers that the configuration admits", name);
    else if (!covered(x, a->local_ts, a->remote_ts))
        rc = dt_err_set(err, 0, "no proxy of ours covers %s with %s", ours, theirs);
    else if (mine && (!dt_ted_selectors_carry(a->local_ts, &t->cfg.cfg.local) ||
                      !dt_ted_selectors_carry(a->remote_ts, &t->cfg.cfg.protect))) {
        char said[120]; /* a tunnel with less would swallow what it does not carry */
        rc = dt_err_set(err, 0, "%.60s was found for %.80s, and now allows %.80s only", name,
                        dt_selectors_str(said, sizeof(said), &t->cfg.cfg.protect), theirs);
    }
    for (size_t s = 0; rc == 0 && peer != NULL && peer->remote.n > 0 && s < a->remote_ts->n; s++)
        if (!dt_selectors_covers(&peer->remote, &a->remote_ts->v[s])) {
            char may[100];
            rc = dt_err_set(err, 0, "%.60s may speak for %s, not for %s", name,
                            dt_selectors_str(may, sizeof(may), &peer->remote), theirs);
        }
    if (rc != 0) {
        x->count.untrusted++;
        LOG(DT_LOG_WARN, "discover: %s", err->text);
    }
    return rc;
}
