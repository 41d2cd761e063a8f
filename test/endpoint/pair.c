#include "endpoint/pair.h"

struct world *pair(uint64_t seed, enum world_peer kind, const struct dt_tunnel_cfg *cfg)
{
    struct world *w = malloc(sizeof(*w));
    assert_non_null(w);
    world_init(w, seed, 3);
    world_serve(w, 1, kind);
    world_connect(w, 0, 1, cfg);
    return w;
}

struct world *pair_up(uint64_t seed, enum world_peer kind, const struct dt_tunnel_cfg *cfg)
{
    struct world *w = pair(seed, kind, cfg);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    return w;
}

void pair_end(struct world *w)
{
    assert_int_equal(w->host[0].sins + w->host[1].sins, 0);
    world_end(w);
    free(w);
}

void pair_traffic(struct world *w)
{
    w->data_every = 10 * DT_MSEC;
    w->data_both = true;
}

void pair_every_packet_arrived(struct world *w)
{
    w->data_every = 0;
    world_pass(w, 1);
    struct world_tunnel *c = world_first(&w->host[0]), *s = world_first(&w->host[1]);
    assert_true(c->sent > 50 && s->sent > 50);
    assert_int_equal(c->sent, s->got);
    assert_int_equal(s->sent, c->got);
    assert_int_equal(c->dropped + s->dropped, 0);
}

uint32_t pair_peer_tunnel(struct world *w)
{
    uint32_t t = dt_endpoint_tunnel_next(w->host[1].ep, 0);
    assert_int_not_equal(t, 0);
    return t;
}

void pair_info(struct world *w, int host, struct dt_tunnel_info *info)
{
    struct world_host *h = &w->host[host];
    assert_true(
        dt_endpoint_tunnel_info(h->ep, h->client ? h->client : dt_endpoint_tunnel_next(h->ep, 0), info));
}
