/* Named scenarios: peers of three kinds, collisions, losses at the worst moment, restarts, addresses. */
#include "endpoint/pair.h"

static void gateway_restarts(void **state)
{
    struct world *w = pair_up(9, WORLD_DOVETAIL, NULL);
    struct dt_epoch_params p = world_params();
    struct dt_epoch_bound b = dt_epoch_bound(&p, 1, 20 * DT_MSEC);
    w->data_every = 100 * DT_MSEC;
    w->data_both = true;
    world_pass(w, 2);
    world_kill(w, 1);
    world_serve(w, 1, WORLD_DOVETAIL);
    dt_time from = w->now;
    struct world_tunnel *t = world_first(&w->host[0]);
    while (t->last_got <= from + 50 * DT_MSEC && w->now < from + b.total)
        world_pass(w, 0.1);
    assert_true(w->now - from < b.detect + b.renegotiate + DT_SEC);
    assert_true(w->host[0].seen[DT_EVENT_SUSPECT] > 0); /* the hint shortened it */
    assert_true(w->now - from < b.detect + 2 * DT_SEC);
    assert_true(world_up(w, 0));
    world_pass(w, 5);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[0].ep)).sessions, 1);
    w->data_every = 0;
    w->host[1].leases = w->host[1].released = 0; /* the killed one took its books along */
    w->host[1].leases = 1;
    pair_end(w);
}

static void client_restarts(void **state)
{
    struct world *w = pair_up(10, WORLD_DOVETAIL, NULL);
    world_pass(w, 2);
    world_kill(w, 0);
    world_pass(w, 1);
    world_connect(w, 0, 1, NULL);
    world_pass(w, 2);
    assert_true(world_up(w, 0));
    world_data(w, 0, 0);
    world_pass(w, 1);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 1); /* INITIAL_CONTACT */
    assert_int_equal(world_sas(&w->host[1]), 1);
    pair_end(w);
}

/* Without INITIAL_CONTACT (encap = auto) the server finds the dead session out by itself, and the lease stays. */
static void same_identity_comes_again(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    world_init(w, 11, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.encap = DT_ENCAP_AUTO;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 3);
    world_kill(w, 0);
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 2);
    assert_true(world_up(w, 0));
    assert_int_equal(w->host[1].leases, 1);
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_REPLACED], 1);
    world_data(w, 1, 0);
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[0])->got, 1);
    w->data_every = DT_SEC;
    world_pass(w, 200);
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 1);
    assert_true(world_up(w, 0));
    w->data_every = 0;
    pair_end(w);
}

static void dead_client_is_reaped(void **state)
{
    struct world *w = pair_up(12, WORLD_DOVETAIL, NULL);
    world_kill(w, 0);
    world_pass(w, 15);
    assert_int_not_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
    world_pass(w, 20); /* and no epoch is left */
    assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
    assert_int_equal(w->host[1].released, 1);
    assert_int_equal(world_sas(&w->host[1]), 0);
    pair_end(w);
}

/* A client that only receives sends no ESP and never has to ping. It says by IKE that it is there, at the pace that the
 * parameters give, and is not given up. */
static void a_listener_is_not_given_up(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    struct dt_gateway_cfg gate;
    world_init(w, 33, 2);
    world_boot(w, 1, NULL);
    world_gateway_cfg(&gate);
    gate.params.keylife = 8 * 3600 * DT_SEC;
    gate.params.rekeymargin = 600 * DT_SEC;
    struct dt_err err = {0};
    w->host[1].gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &gate, &err);
    assert_int_not_equal(w->host[1].gateway, 0);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.params.keylife = gate.params.keylife;
    cfg.params.rekeymargin = gate.params.rekeymargin;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 2);
    assert_true(world_up(w, 0));
    double silence =
        20 * dt_time_seconds(gate.params.maxidle + gate.params.pingtries2 * gate.params.pingtime2);
    uint64_t asked = w->host[0].ike_sent, got = 0;
    for (double t = 0; t < 5 * silence; t += 1, got++) {
        world_data(w, 1, 0);
        world_pass(w, 1);
    }
    assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 0);
    assert_int_equal(w->host[0].seen[DT_EVENT_DOWN], 0);
    assert_int_equal(world_epoch(w, 0), 1);
    assert_int_equal(world_first(&w->host[0])->got, got);
    asked = w->host[0].ike_sent - asked;
    if (asked < 8 || asked > 11)
        fail_msg("%llu IKE messages in %g s, a server gives up after %g s", (unsigned long long)asked,
                 5 * silence, silence);
    pair_end(w);
}

/* A nap: the server waits, and what the client has works as soon as it wakes. */
static void laptop_naps(void **state)
{
    struct world *w = pair_up(34, WORLD_DOVETAIL, NULL);
    struct dt_tunnel_cfg cfg;
    struct dt_gateway_cfg g;
    struct dt_err err;
    world_gateway_cfg(&g);
    g.params.keylife = 1000 * DT_SEC;
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.params.keylife = 1000 * DT_SEC;
    assert_int_equal(dt_endpoint_tunnel_update(w->host[0].ep, w->now, w->host[0].client, &cfg, &err), 0);
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 3);
    assert_int_equal(world_epoch(w, 0), 2);
    w->host[0].dead = true;
    world_pass(w, 90);
    w->host[0].dead = false;
    world_data(w, 0, 0);
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[1])->got, 1);
    assert_int_equal(world_epoch(w, 0), 2);
    assert_int_equal(w->host[1].seen[DT_EVENT_SESSION_DOWN], 0);
    pair_end(w);
}

static void second_address_of_the_gateway(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    world_init(w, 13, 3);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.ngateways = 2;
    cfg.gateways[0] = w->host[2].addr; /* nobody there */
    cfg.gateways[1] = w->host[1].addr;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 4); /* timeout is 3 s */
    assert_true(world_up(w, 0));
    pair_end(w);
}

static void fails_over_to_the_second_gateway(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    struct dt_epoch_params p = world_params();
    struct dt_epoch_bound b = dt_epoch_bound(&p, 2, 20 * DT_MSEC);
    world_init(w, 14, 3);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_serve(w, 2, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.ngateways = 2;
    cfg.gateways[1] = w->host[2].addr;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 2);
    assert_true(world_up(w, 0));
    w->host[1].dead = true;
    world_run(w, w->now + b.total);
    assert_true(world_up(w, 0));
    world_data(w, 0, 0);
    world_pass(w, 1);
    assert_int_equal(world_first(&w->host[2])->got, 1);
    w->host[1].dead = false;
    pair_end(w);
}

/* encap = auto, three networks. */
static void encap_auto(void **state)
{
    for (unsigned net = 0; net < 3; net++) {
        struct world *w = malloc(sizeof(*w));
        struct dt_tunnel_cfg cfg;
        struct dt_tunnel_info info;
        world_init(w, 15 + net, 2);
        w->esp_blocked = net == 1;
        w->ike500_blocked = net == 2;
        world_serve(w, 1, WORLD_DOVETAIL);
        world_tunnel_cfg(w, &cfg, 0, 1);
        cfg.encap = DT_ENCAP_AUTO;
        world_connect(w, 0, 1, &cfg);
        world_data(w, 0, 0);
        world_pass(w, net == 2 ? 1.5 : 1); /* nobody waits for pingtries */
        assert_true(world_up(w, 0));
        pair_info(w, 0, &info);
        assert_int_equal(info.natt, net != 0);
        assert_int_equal(w->host[0].seen[DT_EVENT_ENCAP_CHOSEN], 1);
        assert_int_equal(w->host[0].seen[DT_EVENT_ENCAP_TRY], net != 0);
        assert_int_equal(world_first(&w->host[1])->got, 1);
        world_pass(w, 5);
        assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[0].ep)).sessions,
                         1); /* the other one is closed */
        assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 1);
        assert_int_equal(world_sas(&w->host[0]), 1);
        /* Remembered: the second time there is no race. */
        dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 1);
        dt_endpoint_up(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 0.25);
        assert_true(world_up(w, 0));
        assert_int_equal(w->host[0].seen[DT_EVENT_ENCAP_TRY], net != 0);
        pair_end(w);
    }
}

static bool sees_port(struct world *w, int from, const uint8_t *data, size_t len)
{
    const struct dt_path *p = w->flying;
    uint16_t theirs = from == 0 ? p->remote.port : p->local.port,
             ours = from == 0 ? p->local.port : p->remote.port;
    assert_true(p->natt);
    assert_int_equal(theirs, 4501);
    assert_int_equal(ours, DT_PORT_NATT);
    ++*(unsigned *)w->filter_ctx;
    return false;
}

/* A gateway with a port: from the first datagram on it is one of RFC 3948, to that port and from our 4500, and ESP goes in
 * UDP; nothing races, and nothing is learned of UDP and ESP there. */
static void a_port_of_its_own(void **state)
{
    static const enum dt_encap encaps[] = {DT_ENCAP_AUTO, DT_ENCAP_UDP};
    for (unsigned i = 0; i < DT_ARRAY_LEN(encaps); i++) {
        struct world *w = malloc(sizeof(*w));
        struct dt_tunnel_cfg cfg;
        struct dt_tunnel_info info;
        unsigned messages = 0;
        world_init(w, 210 + i, 2);
        w->filter = sees_port;
        w->filter_ctx = &messages;
        w->ike500_blocked = true;
        world_serve(w, 1, WORLD_DOVETAIL);
        world_tunnel_cfg(w, &cfg, 0, 1);
        cfg.encap = encaps[i];
        cfg.ports[0] = 4501;
        world_connect(w, 0, 1, &cfg);
        world_pass(w, 1);
        assert_true(world_up(w, 0));
        pair_info(w, 0, &info);
        assert_true(info.natt);
        assert_int_equal(info.path.remote.port, 4501);
        assert_int_equal(info.epochs[0].path.remote.port, 4501);
        w->host[1].dead = true; /* and all that is tried again */
        world_pass(w, 30);
        w->host[1].dead = false;
        world_pass(w, 30);
        assert_true(world_up(w, 0));
        assert_true(messages > 20);
        assert_int_equal(w->host[0].seen[DT_EVENT_ENCAP_TRY], 0);
        assert_int_equal(w->host[0].seen[DT_EVENT_ENCAP_CHOSEN], 0);
        pair_end(w);
    }
}

/* The network changes under a running tunnel: ESP does not pass any more. */
static void encap_auto_later(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct dt_epoch_params p = world_params();
    struct dt_epoch_bound b = dt_epoch_bound(&p, 1, 20 * DT_MSEC);
    world_init(w, 18, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.encap = DT_ENCAP_AUTO;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 2);
    assert_true(world_up(w, 0));
    w->esp_blocked = true;
    world_run(w, w->now + b.detect + 2 * DT_SEC);
    assert_true(world_up(w, 0));
    pair_info(w, 0, &info);
    assert_true(info.natt);
    pair_end(w);
}

static void silence_says_so(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_info info;
    world_init(w, 33, 2);
    world_connect(w, 0, 1, NULL); /* nobody there */
    world_pass(w, 10);
    pair_info(w, 0, &info);
    assert_string_equal(
        info.why, "no answer from 192.0.2.2:500 within timeout, 3 s: does a gateway listen there, and do UDP "
                  "500 and 4500 reach it?");
    assert_string_equal(dt_tunnel_state_str(info.state, true), "opening a session");
    pair_end(w);
}

static void transport_mode(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    struct dt_gateway_cfg g;
    struct dt_selector all = dt_selector_all4(), peer;
    struct dt_tunnel_info info;
    struct dt_err err;
    char a[DT_ADDR_STRLEN];
    world_init(w, 35, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_gateway_cfg(&g);
    g.lease = false;
    g.transport = true;
    memset(&g.protect, 0, sizeof(g.protect));
    peer = dt_selector_addr(&w->host[1].addr);
    dt_selectors_add(&g.protect, &peer);
    dt_selectors_add(&g.remote, &all);
    dt_selectors_add(&w->host[1].networks, &all);
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.transport = true;
    cfg.inside4 = false;
    cfg.protect = g.protect;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    pair_info(w, 0, &info);
    assert_int_equal(info.local_ts.n, 1);
    assert_string_equal(dt_addr_str(a, &info.local_ts.v[0].range.from), "192.0.2.1");
    assert_string_equal(dt_addr_str(a, &info.remote_ts.v[0].range.from), "192.0.2.2");
    assert_true(info.verified);
    pair_end(w);
}

/* Equal states have equal digests, whenever they are reached; a state that behaves otherwise has another. */
static void digests_know_states(void **state)
{
    uint64_t d[3];
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = malloc(sizeof(*w));
        struct dt_digest digest;
        world_init(w, 36, 2);
        w->now += i == 1 ? 5000 * DT_SEC : 0; /* another origin of the clock */
        world_serve(w, 1, WORLD_DOVETAIL);
        world_connect(w, 0, 1, NULL);
        world_pass(w, 1);
        if (i == 2)
            dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
        dt_digest_init(&digest);
        dt_endpoint_digest(w->host[0].ep, w->now, &digest);
        d[i] = dt_digest_value(&digest);
        pair_end(w);
    }
    assert_true(d[0] == d[1]);
    assert_true(d[0] != d[2]);
}

static void wrong_secret_says_so(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_info info;
    world_init(w, 19, 2);
    w->host[0].psk = "another secret";
    world_serve(w, 1, WORLD_DOVETAIL);
    world_connect(w, 0, 1, NULL);
    world_pass(w, 60);
    pair_info(w, 0, &info);
    assert_false(info.up);
    assert_non_null(strstr(info.why, "AUTHENTICATION_FAILED"));
    assert_true(info.stats.sessions_opened <= 8); /* 1, 2, 4, 8, … seconds apart */
    assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
    assert_int_equal(w->host[1].leases, 0);
    pair_end(w);
}

static void no_common_proposal_names_both(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct dt_proposal p;
    world_init(w, 20, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    memset(&cfg.esp, 0, sizeof(cfg.esp));
    assert_int_equal(dt_proposal_parse(&p, DT_PROTO_ESP, "chacha20poly1305-esn", NULL), 0);
    dt_proposals_add(&cfg.esp, &p);
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 5);
    pair_info(w, 0, &info);
    assert_false(info.up);
    assert_non_null(strstr(info.why, "NO_PROPOSAL_CHOSEN"));
    assert_non_null(strstr(info.why, "we offered chacha20poly1305-esn"));
    assert_non_null(strstr(info.why, "it takes aes128gcm16"));
    assert_true(w->host[1].seen[DT_EVENT_TURNED_AWAY] > 0);
    pair_end(w);
}

static void reload_touches_what_changed(void **state)
{
    struct dt_tunnel_cfg cfg;
    struct dt_selector s;
    struct dt_err err;
    struct world *w = pair_up(21, WORLD_DOVETAIL, NULL);
    struct world_host *c = &w->host[0];
    w->data_every = 10 * DT_MSEC;
    w->data_both = true;
    world_pass(w, 1);
    world_tunnel_cfg(w, &cfg, 0, 1);
    assert_int_equal(dt_endpoint_tunnel_update(c->ep, w->now, c->client, &cfg, &err), 0);
    cfg.params.maxidle = 9 * DT_SEC;
    assert_int_equal(dt_endpoint_tunnel_update(c->ep, w->now, c->client, &cfg, &err), 0);
    world_pass(w, 1);
    assert_int_equal(c->seen[DT_EVENT_SESSION_UP], 1);
    memset(&cfg.protect, 0, sizeof(cfg.protect));
    assert_int_equal(dt_selector_parse(&s, "10.1.2.0/24"), 0);
    dt_selectors_add(&cfg.protect, &s);
    assert_int_equal(dt_endpoint_tunnel_update(c->ep, w->now, c->client, &cfg, &err), 0);
    assert_int_equal(world_epoch(w, 0), 1); /* goes on until the new one is verified */
    world_pass(w, 3);
    assert_int_equal(c->seen[DT_EVENT_SESSION_UP], 2);
    assert_int_equal(world_epoch(w, 0), 2);
    w->data_every = 0;
    world_pass(w, 1);
    assert_int_equal(world_first(c)->sent, world_first(&w->host[1])->got);
    assert_int_equal(world_first(c)->dropped, 0);
    pair_end(w);
}

static void address_changes(void **state)
{
    struct world *w = pair_up(22, WORLD_DOVETAIL, NULL);
    struct dt_tunnel_info info;
    w->host[0].addr = dt_addr4(0xc6336401u); /* the laptop moves */
    dt_endpoint_network_changed(w->host[0].ep, w->now);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    pair_info(w, 0, &info);
    assert_true(dt_addr_eq(&info.path.local.addr, &w->host[0].addr));
    dt_endpoint_network_changed(w->host[0].ep, w->now); /* nothing new: nothing happens */
    world_pass(w, 1);
    assert_int_equal(w->host[0].seen[DT_EVENT_SESSION_UP], 2);
    pair_end(w);
}

static void server_follows_a_moved_client(void **state)
{
    struct world *w = pair_up(23, WORLD_DOVETAIL, NULL);
    struct dt_tunnel_info info;
    struct dt_addrport from = {.addr = w->host[2].addr, .port = 500};
    pair_info(w, 1, &info);
    dt_endpoint_peer_moved(w->host[1].ep, w->now, info.epochs[0].sa, &from);
    pair_info(w, 1, &info);
    assert_true(dt_addr_eq(&info.path.remote.addr, &from.addr));
    assert_true(dt_addr_eq(&info.epochs[0].path.remote.addr, &from.addr));
    from.addr = w->host[0].addr;
    dt_endpoint_peer_moved(w->host[1].ep, w->now, info.epochs[0].sa, &from);
    pair_end(w);
}

static void soft_limit_brings_a_new_epoch(void **state)
{
    struct world *w = pair_up(24, WORLD_DOVETAIL, NULL);
    struct dt_tunnel_info info;
    pair_info(w, 0, &info);
    for (unsigned i = 0; i < 5; i++)
        dt_endpoint_soft_limit(w->host[0].ep, w->now, info.epochs[0].sa);
    world_pass(w, 1);
    assert_int_equal(world_epoch(w, 0), 2);
    pair_end(w);
}

static void ping_is_answered(void **state)
{
    struct world *w = pair_up(25, WORLD_DOVETAIL, NULL);
    struct dt_tunnel_info info;
    dt_endpoint_ping(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 0.5);
    assert_int_equal(w->host[0].seen[DT_EPOCH_PING_REPLY], 1);
    pair_info(w, 0, &info);
    assert_int_equal(info.rtt, 20 * DT_MSEC);
    assert_int_equal(info.state, DT_TUNNEL_UP);
    assert_true(info.peer_is_dovetail);
    assert_int_equal(info.probe_kind, DT_PROBE_DUMMY);
    pair_end(w);
}

static void strangers_are_probed_otherwise(void **state)
{
    struct world *w = pair_up(26, WORLD_AT_ONCE, NULL);
    struct dt_tunnel_info info;
    char a[DT_ADDR_STRLEN];
    pair_info(w, 0, &info);
    assert_false(info.peer_is_dovetail);
    assert_int_equal(info.probe_kind, DT_PROBE_TTL1);
    assert_string_equal(dt_addr_str(a, &info.probe_dst), "10.1.0.1");
    pair_end(w);
}

static void plain_at_both_ends(void **state) /* the baseline: probe = off */
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_cfg cfg;
    world_init(w, 27, 2);
    world_serve(w, 1, WORLD_AT_ONCE);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.probe = DT_PROBE_OFF;
    w->host[0].kind = WORLD_AT_ONCE;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 100);
    assert_true(world_up(w, 0));
    assert_int_equal(w->host[0].probes, 0);
    assert_true(world_epoch(w, 0) > 4);
    pair_end(w);
}

static void full_data_path_is_said(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_tunnel_info info;
    world_init(w, 28, 2);
    world_serve(w, 1, WORLD_DOVETAIL);
    w->host[0].refuse_install = true;
    world_connect(w, 0, 1, NULL);
    world_pass(w, 5);
    pair_info(w, 0, &info);
    assert_false(info.up);
    assert_string_equal(info.why, "the data path is full");
    w->host[0].refuse_install = false;
    world_pass(w, 10);
    assert_true(world_up(w, 0));
    pair_end(w);
}

static void many_clients_and_a_cap(void **state)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_gateway_cfg g;
    struct dt_err err;
    world_init(w, 29, 6);
    world_serve(w, 1, WORLD_DOVETAIL);
    world_gateway_cfg(&g);
    g.tunnels_max = 3;
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    int clients[] = {0, 2, 3, 4};
    for (unsigned i = 0; i < 4; i++) {
        world_connect(w, clients[i], 1, NULL);
        world_pass(w, 2);
    }
    assert_true(world_up(w, 0) && world_up(w, 2) && world_up(w, 3));
    assert_false(world_up(w, 4));
    assert_int_equal(w->host[1].seen[DT_EVENT_LIMIT] > 0, 1);
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client); /* room again */
    world_pass(w, 20);
    assert_true(world_up(w, 4));
    pair_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gateway_restarts),
        cmocka_unit_test(client_restarts),
        cmocka_unit_test(same_identity_comes_again),
        cmocka_unit_test(dead_client_is_reaped),
        cmocka_unit_test(a_listener_is_not_given_up),
        cmocka_unit_test(laptop_naps),
        cmocka_unit_test(second_address_of_the_gateway),
        cmocka_unit_test(fails_over_to_the_second_gateway),
        cmocka_unit_test(encap_auto),
        cmocka_unit_test(encap_auto_later),
        cmocka_unit_test(a_port_of_its_own),
        cmocka_unit_test(silence_says_so),
        cmocka_unit_test(transport_mode),
        cmocka_unit_test(digests_know_states),
        cmocka_unit_test(wrong_secret_says_so),
        cmocka_unit_test(no_common_proposal_names_both),
        cmocka_unit_test(reload_touches_what_changed),
        cmocka_unit_test(address_changes),
        cmocka_unit_test(server_follows_a_moved_client),
        cmocka_unit_test(soft_limit_brings_a_new_epoch),
        cmocka_unit_test(ping_is_answered),
        cmocka_unit_test(strangers_are_probed_otherwise),
        cmocka_unit_test(plain_at_both_ends),
        cmocka_unit_test(full_data_path_is_said),
        cmocka_unit_test(many_clients_and_a_cap),
    };
    return TEST_RUN(tests);
}
