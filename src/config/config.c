/* What the rest of the program asks of a configuration that was read. */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"

static void tunnel_clear(struct dt_config_tunnel *t)
{
    for (size_t i = 0; i < t->nhost; i++)
        free(t->host[i]);
    dt_ike_proofs_unref(&t->cfg.proofs);
    dt_wipe(t, sizeof(*t));
}

static void gateway_clear(struct dt_config_gateway *g)
{
    if (g->secret != NULL)
        dt_wipe(g->secret, g->nsecret * sizeof(*g->secret));
    free(g->secret);
    dt_config_clients_free(g->client, g->nclient);
    free(g->fixed);
    dt_ike_proofs_unref(&g->cfg.proofs);
    dt_wipe(g, sizeof(*g));
}

void dt_config_free(struct dt_config *c)
{
    for (size_t i = 0; i < c->ntunnel; i++)
        tunnel_clear(&c->tunnel[i]);
    for (size_t i = 0; i < c->ngateway; i++)
        gateway_clear(&c->gateway[i]);
    dt_config_clients_free(c->client, c->nclient);
    dt_config_discover_free(c->discover, c->ndiscover);
    dt_rules_unref(c->rules);
    dt_sources_unref(c->sources);
    free(c->tunnel);
    free(c->gateway);
    free(c->issue);
    free(c->file);
    *c = (struct dt_config){0};
}

bool dt_config_tunnel_same(const struct dt_config_tunnel *a, const struct dt_config_tunnel *b)
{
    return a->print == b->print && strcmp(a->cfg.name, b->cfg.name) == 0;
}

bool dt_config_gateway_same(const struct dt_config_gateway *a, const struct dt_config_gateway *b)
{
    return a->print == b->print && strcmp(a->cfg.name, b->cfg.name) == 0;
}

struct dt_config_tunnel *dt_config_find_tunnel(const struct dt_config *c, const char *name)
{
    for (size_t i = 0; i < c->ntunnel; i++)
        if (strcmp(c->tunnel[i].cfg.name, name) == 0)
            return &c->tunnel[i];
    return NULL;
}

struct dt_config_gateway *dt_config_find_gateway(const struct dt_config *c, const char *name)
{
    for (size_t i = 0; i < c->ngateway; i++)
        if (strcmp(c->gateway[i].cfg.name, name) == 0)
            return &c->gateway[i];
    return NULL;
}

static int cmp_secret(const void *peer, const void *secret)
{
    return dt_ike_id_cmp(peer, &((const struct dt_config_secret *)secret)->id);
}

/* Its own secret among the exact ones, or NULL. */
static const struct dt_config_secret *own_secret(const struct dt_config_gateway *g,
                                                 const struct dt_ike_id *peer)
{
    size_t n = g->nexact_secret < g->nsecret ? g->nexact_secret : g->nsecret;
    return n > 0 ? bsearch(peer, g->secret, n, sizeof(*g->secret), cmp_secret) : NULL;
}

const struct dt_config_psk *dt_config_gateway_psk(const struct dt_config_gateway *g,
                                                  const struct dt_ike_id *peer)
{
    const struct dt_config_client *own = config_own_client(g, peer);
    if (own != NULL && own->psk.len > 0)
        return &own->psk;
    const struct dt_config_secret *secret = own_secret(g, peer);
    if (secret != NULL)
        return &secret->psk;
    for (size_t i = g->nexact; i < g->nclient; i++)
        if (g->client[i].psk.len > 0 && dt_ike_id_matches(&g->client[i].id, peer))
            return &g->client[i].psk;
    for (size_t i = g->nexact_secret; i < g->nsecret; i++)
        if (dt_ike_id_matches(&g->secret[i].id, peer))
            return &g->secret[i].psk;
    return g->psk.len > 0 ? &g->psk : NULL;
}

struct dt_ike_may dt_config_gateway_may(const struct dt_config_gateway *g, const struct dt_ike_id *peer)
{
    const struct dt_config_client *c = dt_config_gateway_client(g, peer);
    unsigned auth = c != NULL && c->auth != 0 ? c->auth : DT_AUTH_PSK | DT_AUTH_CERTIFICATE;
    return (struct dt_ike_may){
        .psk = (auth & DT_AUTH_PSK) && dt_config_gateway_psk(g, peer) != NULL,
        .certificate = (auth & DT_AUTH_CERTIFICATE) && g->cfg.proofs.trust != NULL,
        .rsa_sha1 = c != NULL && c->rsa_sha1,
    };
}
