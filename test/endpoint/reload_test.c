/* A reload at the endpoint: what could be negotiated again as it is goes on, and nothing else does. */
#include "endpoint/world.h"

static struct world *pair_up(struct dt_gateway_cfg *g, struct dt_tunnel_cfg *cfg)
{
    struct world *w = malloc(sizeof(*w));
    assert_non_null(w);
    world_init(w, 77, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_gateway_cfg(g);
    world_tunnel_cfg(w, cfg, 0, 1);
    world_connect(w, 0, 1, cfg);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    return w;
}

static void done(struct world *w)
{
    assert_int_equal(w->host[0].sins + w->host[1].sins, 0);
    world_end(w);
    free(w);
}

static void update_gateway(struct world *w, const struct dt_gateway_cfg *g)
{
    struct dt_err err = {0};
    if (dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, g, &err))
        fail_msg("%s", err.text);
}

static void update_tunnel(struct world *w, const struct dt_tunnel_cfg *cfg)
{
    struct dt_err err = {0};
    if (dt_endpoint_tunnel_update(w->host[0].ep, w->now, w->host[0].client, cfg, &err))
        fail_msg("%s", err.text);
}

static uint32_t clients(struct world *w)
{
    uint32_t n = 0;
    for (uint32_t t = dt_endpoint_tunnel_next(w->host[1].ep, 0); t;
         t = dt_endpoint_tunnel_next(w->host[1].ep, t))
        n++;
    return n;
}

static struct dt_selector selector(const char *text)
{
    struct dt_selector s;
    assert_int_equal(dt_selector_parse(&s, text), 0);
    return s;
}

static void proposal(struct dt_proposals *list, uint8_t protocol, const char *text)
{
    struct dt_err err = {0};
    list->n = 1;
    assert_int_equal(dt_proposal_parse(&list->v[0], protocol, text, &err), 0);
}

static void protect(struct dt_gateway_cfg *g, const char *text)
{
    struct dt_selector s = selector(text);
    g->protect.n = 0;
    dt_selectors_add(&g->protect, &s);
}

static void another_identity(struct dt_gateway_cfg *g)
{
    assert_int_equal(dt_ike_id_parse(&g->identity, "other.example.net"), 0);
}

static void other_peers(struct dt_gateway_cfg *g)
{
    assert_int_equal(dt_ike_id_parse_pattern(&g->peers, "*.example.org"), 0);
}

static void less_protected(struct dt_gateway_cfg *g)
{
    protect(g, "10.1.0.0/24");
}

static void no_lease(struct dt_gateway_cfg *g)
{
    struct dt_selector s = selector("10.2.0.0/16");
    g->lease = false;
    dt_selectors_add(&g->remote, &s);
}

static void other_ciphers(struct dt_gateway_cfg *g)
{
    proposal(&g->esp, DT_PROTO_ESP, "aes256-sha512");
}

static void other_ike(struct dt_gateway_cfg *g)
{
    proposal(&g->ike, DT_PROTO_IKE, "aes256-sha512-modp2048");
}

static void elsewhere(struct dt_gateway_cfg *g)
{
    g->nlisten = 1;
    g->listen[0] = dt_addr4(0xcb007199);
}

static void transport(struct dt_gateway_cfg *g)
{
    g->transport = true;
}

/* Each of these takes something away that the client has: it is gone from inside the call, with a DELETE, so that it does
 * not go on sending into nothing. */
static void what_is_taken_away_is_gone_at_once(void **state)
{
    static void (*const change[])(struct dt_gateway_cfg *
                                  g) = {another_identity, other_peers, less_protected, no_lease,
                                        other_ciphers,    other_ike,   elsewhere,      transport};
    for (size_t i = 0; i < DT_ARRAY_LEN(change); i++) {
        struct dt_gateway_cfg g;
        struct dt_tunnel_cfg cfg;
        struct world *w = pair_up(&g, &cfg);
        change[i](&g);
        update_gateway(w, &g);
        assert_int_equal(clients(w), 0);
        assert_int_equal(world_sas(&w->host[1]), 0);
        assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 1);
        world_pass(w, 0.2);
        assert_true(w->host[0].seen[DT_EVENT_SESSION_DOWN] >= 1); /* it tries again, and is refused */
        done(w);
    }
}

/* What it may still have it gets again, without anybody's help. */
static void a_narrowed_client_comes_again(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct world *w = pair_up(&g, &cfg);
    struct dt_selector want = selector("10.1.0.0/24");
    protect(&g, "10.1.0.0/24");
    update_gateway(w, &g);
    world_pass(w, 5);
    assert_true(world_up(w, 0));
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_int_equal(info.remote_ts.n, 1);
    assert_true(dt_selector_eq(&info.remote_ts.v[0], &want));
    done(w);
}

/* More of everything disturbs nobody; the next epoch has it, and no epoch has what an older configuration allowed. */
static void what_is_added_comes_with_the_next_epoch(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct world *w = pair_up(&g, &cfg);
    struct dt_selector more = selector("10.2.0.0/16");
    uint32_t epoch = world_epoch(w, 0);
    dt_selectors_add(&g.protect, &more);
    g.params.maxidle *= 2;
    g.nlisten = 1;
    g.listen[0] = w->host[1].addr;
    update_gateway(w, &g);
    world_pass(w, 0.5);
    assert_int_equal(world_epoch(w, 0), epoch);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_DOWN], 0);
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 1);
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_int_equal(info.remote_ts.n, 2);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_DOWN], 0);
    done(w);
}

/* A session that goes on is not a way to what its own, older configuration allowed. */
static void a_kept_session_asks_for_more(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_err err;
    struct world *w = malloc(sizeof(*w));
    struct dt_selector only = selector("10.1.0.0/24"), all = selector("10.0.0.0/8");
    assert_non_null(w);
    world_init(w, 78, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_gateway_cfg(&g);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.protect.n = 0;
    dt_selectors_add(&cfg.protect, &only);
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    protect(&g, "10.1.0.0/24"); /* the client has no more than that */
    update_gateway(w, &g);
    assert_int_equal(clients(w), 1);
    cfg.protect.v[0] = all;
    assert_int_equal(dt_endpoint_tunnel_update(w->host[0].ep, w->now, w->host[0].client, &cfg, &err), 0);
    world_pass(w, 2);
    struct dt_tunnel_info info;
    assert_true(world_up(w, 0));
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_int_equal(info.remote_ts.n, 1);
    assert_true(dt_selector_eq(&info.remote_ts.v[0], &only));
    done(w);
}

static void a_client_is_ended_with_a_reason(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct world *w = pair_up(&g, &cfg);
    dt_endpoint_client_end(w->host[1].ep, w->now, dt_endpoint_tunnel_next(w->host[1].ep, 0),
                           "its secret has changed");
    assert_int_equal(clients(w), 0);
    dt_endpoint_client_end(w->host[0].ep, w->now, w->host[0].client,
                           "it is no gateway's client"); /* nothing happens */
    world_pass(w, 5);
    assert_true(world_up(w, 0));
    done(w);
}

/* ---- the client's side ---- */

static void another_secret_opens_another_session(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct world *w = pair_up(&g, &cfg);
    unsigned opened = w->host[0].seen[DT_EVENT_SESSION_UP];
    w->data_every = 5 * DT_MSEC;
    cfg.secret = 1;
    w->host[0].psk = w->host[1].psk = "another secret";
    update_tunnel(w, &cfg);
    world_pass(w, 2);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], opened + 1);
    assert_int_equal(world_first(&w->host[0])->dropped, 0);
    update_tunnel(w, &cfg); /* the same again */
    world_pass(w, 2);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], opened + 1);
    done(w);
}

static void another_source_opens_another_session(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct world *w = pair_up(&g, &cfg);
    unsigned opened = w->host[0].seen[DT_EVENT_SESSION_UP];
    cfg.nlocals = 2;
    cfg.locals[0] = dt_addr4(0xc0000263);
    cfg.locals[1] = w->host[0].addr;
    update_tunnel(w, &cfg); /* the address in use is one of them */
    world_pass(w, 1);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], opened);
    cfg.nlocals = 1; /* it is not any more: where we are now, nothing from there is answered */
    update_tunnel(w, &cfg);
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_true(dt_addr_eq(&info.path.local.addr, &cfg.locals[0]));
    world_pass(w, 0.1);
    cfg.nlocals = 0; /* the kernel's choice again */
    update_tunnel(w, &cfg);
    world_pass(w, 2);
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_true(dt_addr_eq(&info.path.local.addr, &w->host[0].addr));
    assert_true(world_up(w, 0));
    done(w);
}

/* Whenever after a change the tunnel is removed, the gateway is told of the old session too: it would fall back to that. */
static void changed_and_removed_at_once(void **state)
{
    for (unsigned ms = 0; ms <= 200; ms += 10) {
        struct dt_gateway_cfg g;
        struct dt_tunnel_cfg cfg;
        struct world *w = pair_up(&g, &cfg);
        w->data_every = 5 * DT_MSEC;
        cfg.secret = 1;
        w->host[0].psk = w->host[1].psk = "another secret";
        update_tunnel(w, &cfg);
        unsigned opened = w->host[0].seen[DT_EVENT_SESSION_UP];
        world_pass(w, ms / 1000.0);
        /* A session that only the gateway may know of cannot be deleted: it ends because it is never heard. */
        bool half = w->host[0].seen[DT_EVENT_SESSION_UP] == opened;
        dt_endpoint_tunnel_remove(w->host[0].ep, w->now, w->host[0].client);
        w->data_every = 0;
        world_pass(w, half ? 40 : 4);
        if (clients(w) != 0)
            fail_msg("removed %u ms after the change: the gateway still has it", ms);
        done(w);
    }
}

/* As another client it could not have what the old one has: that one is closed first, and not left to be missed. */
static void another_identity_closes_first(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct world *w = pair_up(&g, &cfg);
    assert_int_equal(dt_ike_id_parse(&cfg.local_id, "somebody.else@example.net"), 0);
    update_tunnel(w, &cfg);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_DOWN], 1);
    world_pass(w, 3);
    assert_int_equal(clients(w), 1);
    done(w);
}

static void another_probe_takes_another_epoch(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct world *w = pair_up(&g, &cfg);
    uint32_t epoch = world_epoch(w, 0);
    cfg.probe = DT_PROBE_ADDRESS;
    cfg.probe_addr = dt_addr4(0x0a010009);
    update_tunnel(w, &cfg);
    world_pass(w, 1);
    assert_true(world_epoch(w, 0) > epoch);
    assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
    assert_true(dt_addr_eq(&info.probe_dst, &cfg.probe_addr));
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_DOWN], 0);
    done(w);
}

static void what_cannot_be_changes_nothing(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_err err = {0};
    struct world *w = pair_up(&g, &cfg);
    uint32_t epoch = world_epoch(w, 0);
    g.protect.n = 0;
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), -1);
    assert_true(err.text[0]);
    cfg.params.keylife = 0;
    assert_int_equal(dt_endpoint_tunnel_update(w->host[0].ep, w->now, w->host[0].client, &cfg, &err), -1);
    world_pass(w, 1);
    assert_int_equal(clients(w), 1);
    assert_int_equal(world_epoch(w, 0), epoch);
    done(w);
}

/* Another port is another way to the gateway; the same one written anew is not. */
static void another_port(void **state)
{
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct world *w = pair_up(&g, &cfg);
    static const struct {
        uint16_t configured, spoken;
        bool opens;
    } cases[] = {
        {DT_PORT_IKE, DT_PORT_IKE, false},  {4501, 4501, true},    {4501, 4501, false}, {4502, 4502, true},
        {DT_PORT_NATT, DT_PORT_NATT, true}, {0, DT_PORT_IKE, true}};
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        unsigned opened = w->host[0].seen[DT_EVENT_SESSION_UP];
        cfg.ports[0] = cases[i].configured;
        update_tunnel(w, &cfg);
        world_pass(w, 2);
        assert_true(world_up(w, 0));
        assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP] - opened, cases[i].opens);
        assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
        assert_int_equal(info.path.remote.port, cases[i].spoken);
    }
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_port),
        cmocka_unit_test(what_is_taken_away_is_gone_at_once),
        cmocka_unit_test(a_narrowed_client_comes_again),
        cmocka_unit_test(what_is_added_comes_with_the_next_epoch),
        cmocka_unit_test(a_kept_session_asks_for_more),
        cmocka_unit_test(a_client_is_ended_with_a_reason),
        cmocka_unit_test(another_secret_opens_another_session),
        cmocka_unit_test(another_source_opens_another_session),
        cmocka_unit_test(changed_and_removed_at_once),
        cmocka_unit_test(another_identity_closes_first),
        cmocka_unit_test(another_probe_takes_another_epoch),
        cmocka_unit_test(what_cannot_be_changes_nothing),
    };
    return TEST_RUN(tests);
}
