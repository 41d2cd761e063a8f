/* Every epoch is proved, whatever its selectors carry; what cannot be proved is called unproved. */
#include "endpoint/world.h"

static const char *const narrow[] = {"10.1.0.0/16[udp/4411]", "10.1.0.0/16[tcp/7000]", "10.1.2.3/32[47]"};

static void narrowed(struct world *w, struct dt_tunnel_cfg *cfg, const char *protect)
{
    struct dt_selector s;
    world_tunnel_cfg(w, cfg, 0, 1);
    assert_int_equal(dt_selector_parse(&s, protect), 0);
    memset(&cfg->protect, 0, sizeof(cfg->protect));
    dt_selectors_add(&cfg->protect, &s);
}

static struct world *begin(uint64_t seed)
{
    struct world *w = malloc(sizeof(*w));
    assert_non_null(w);
    world_init(w, seed, 2);
    return w;
}

static void end(struct world *w)
{
    assert_int_equal(w->host[0].sins + w->host[1].sins, 0);
    world_end(w);
    free(w);
}

static struct dt_tunnel_info look(struct world *w, int host)
{
    struct dt_tunnel_info info;
    struct world_host *h = &w->host[host];
    assert_true(
        dt_endpoint_tunnel_info(h->ep, h->client ? h->client : dt_endpoint_tunnel_next(h->ep, 0), &info));
    return info;
}

static void narrow_selectors_are_proved(void **state)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(narrow); i++) {
        struct world *w = begin(300 + i);
        struct dt_tunnel_cfg cfg;
        world_serve(w, 1, WORLD_DOVETAIL);
        narrowed(w, &cfg, narrow[i]);
        world_connect(w, 0, 1, &cfg);
        world_pass(w, 1);
        struct dt_tunnel_info c = look(w, 0), s = look(w, 1);
        assert_int_equal(c.probe_kind, DT_PROBE_DUMMY);
        assert_int_equal(c.state, DT_TUNNEL_UP);
        assert_true(c.verified && c.up && c.epochs[0].verified && c.stats.verified == 1);
        assert_true(s.verified && s.state == DT_TUNNEL_UP);
        /* An idle one is asked whether it lives. */
        world_pass(w, 6);
        assert_true(look(w, 0).stats.pings > 0);
        /* So is the client, when somebody at the gateway asks. */
        assert_int_equal(w->host[1].seen[DT_EPOCH_PING_REPLY], 0);
        dt_endpoint_ping(w->host[1].ep, w->now, dt_endpoint_tunnel_next(w->host[1].ep, 0));
        world_pass(w, 1);
        assert_int_equal(w->host[1].seen[DT_EPOCH_PING_REPLY], 1);
        end(w);
    }
}

/* The gateway dies and comes back without memory: no slower than a tunnel that carries everything. */
static void narrow_selectors_heal(void **state)
{
    const char *const all[] = {"10.0.0.0/8", narrow[0], narrow[1]};
    for (size_t i = 0; i < DT_ARRAY_LEN(all); i++) {
        struct world *w = begin(310 + i);
        struct dt_tunnel_cfg cfg;
        world_serve(w, 1, WORLD_DOVETAIL);
        narrowed(w, &cfg, all[i]);
        world_connect(w, 0, 1, &cfg);
        w->data_every = 100 * DT_MSEC;
        world_pass(w, 2);
        assert_true(look(w, 0).verified);
        world_kill(w, 1);
        world_serve(w, 1, WORLD_DOVETAIL);
        struct dt_epoch_bound b = dt_epoch_bound(&cfg.params, 1, 2 * w->delay);
        world_pass(w, dt_time_seconds(b.total));
        struct world_tunnel *t = world_first(&w->host[1]);
        assert_true(look(w, 0).verified);
        assert_true(t && t->got > 0 && t->last_got + DT_SEC > w->now);
        w->data_every = 0;
        end(w);
    }
}

/* Each of the two may be the older one: it follows version 1 of the rule alone. */
static void an_older_dovetail_is_probed_by_address(void **state)
{
    for (int older = 0; older < 2; older++) {
        struct world *w = begin(320 + (uint64_t)older);
        struct dt_endpoint_limits limits;
        struct dt_gateway_cfg g;
        struct dt_err err;
        dt_endpoint_limits_default(&limits);
        limits.probe_rule = DT_PROBE_RULE_ADDRESS;
        world_boot(w, 1, older == 1 ? &limits : NULL);
        world_gateway_cfg(&g);
        w->host[1].gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &g, &err);
        world_boot(w, 0, older == 0 ? &limits : NULL);
        world_connect(w, 0, 1, NULL);
        world_pass(w, 1);
        struct dt_tunnel_info c = look(w, 0);
        assert_true(c.verified && c.peer_is_dovetail);
        assert_int_equal(c.probe_kind, DT_PROBE_AGREED);
        assert_int_not_equal(c.answer4.ver, 0);
        end(w);
    }
}

/* What protects a single host derives that host's address: a ping to it is the host's to answer. */
static void nobody_answers_for_a_host_behind_him(void **state)
{
    for (int stranger = 0; stranger < 2; stranger++) {
        struct world *w = begin(322 + (uint64_t)stranger);
        world_serve(w, 1, stranger ? WORLD_AT_ONCE : WORLD_DOVETAIL);
        world_connect(w, 0, 1, NULL);
        world_pass(w, 1);
        for (int host = 0; host < 2; host++) {
            const struct world_sa *sa = w->host[host].sa;
            unsigned live = 0;
            for (size_t i = 0; i < WORLD_SAS; i++) {
                live += sa[i].live;
                assert_true(!sa[i].live || sa[i].answer4.ver == 0);
            }
            assert_true(live > 0 || (stranger && host == 1));
        }
        end(w);
    }
}

static unsigned proofs(struct world *w)
{
    return (unsigned)(look(w, 0).stats.verified + w->host[0].seen[DT_EPOCH_VERIFIED]);
}

static void nothing_proves_it_with_a_stranger(void **state)
{
    struct world *w = begin(330);
    struct dt_tunnel_cfg cfg;
    world_serve(w, 1, WORLD_AT_ONCE);
    narrowed(w, &cfg, narrow[0]);
    w->host[0].kind = WORLD_AT_ONCE;
    world_connect(w, 0, 1, &cfg);
    w->data_both = true;
    w->data_every = 200 * DT_MSEC;
    for (int i = 0; i < 60; i++) { /* three lifetimes, heard all the time */
        world_pass(w, 1);
        struct dt_tunnel_info c = look(w, 0);
        assert_true(c.up && !c.verified);
        assert_int_equal(c.state, DT_TUNNEL_UNPROVED);
        assert_int_equal(c.unproved, DT_UNPROVED_SELECTORS);
        assert_int_equal(c.probe_kind, DT_PROBE_NONE);
        for (size_t k = 0; k < c.nepochs; k++)
            assert_false(c.epochs[k].verified);
    }
    assert_int_equal(proofs(w), 0);
    assert_int_equal(w->host[0].seen[DT_EVENT_UP], 0);
    assert_int_equal(w->host[0].seen[DT_EVENT_UNPROVED], 1);
    w->data_every = 0;
    end(w);
}

static void probe_off_is_unproved(void **state)
{
    struct world *w = begin(340);
    struct dt_tunnel_cfg cfg;
    struct dt_err err;
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.probe = DT_PROBE_OFF;
    w->host[0].kind = WORLD_AT_ONCE;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    struct dt_tunnel_info c = look(w, 0);
    assert_true(c.up && !c.verified);
    assert_int_equal(c.state, DT_TUNNEL_UNPROVED);
    assert_int_equal(c.unproved, DT_UNPROVED_OFF);
    assert_int_equal(proofs(w), 0);
    assert_int_equal(look(w, 1).state, DT_TUNNEL_PROBING); /* nothing was sent */
    /* Switched on in the configuration: the peer is told, and from then on it is proved. */
    cfg.probe = DT_PROBE_AUTO;
    w->host[0].kind = WORLD_DOVETAIL;
    assert_int_equal(dt_endpoint_tunnel_update(w->host[0].ep, w->now, w->host[0].client, &cfg, &err), 0);
    world_pass(w, 2);
    c = look(w, 0);
    assert_true(c.verified && c.state == DT_TUNNEL_UP && c.stats.verified == 1);
    assert_int_equal(c.probe_kind, DT_PROBE_DUMMY);
    assert_int_equal(w->host[0].seen[DT_EVENT_UP], 1);
    assert_true(look(w, 1).peer_is_dovetail);
    end(w);
}

/* A server of FIG. 8 uses an epoch at once; it is verified when the client is heard on it. */
static void a_server_is_verified_when_it_hears(void **state)
{
    struct world *w = begin(350);
    struct dt_tunnel_cfg cfg;
    world_serve(w, 1, WORLD_AT_ONCE);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.probe = DT_PROBE_OFF;
    w->host[0].kind = WORLD_AT_ONCE;
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    struct dt_tunnel_info s = look(w, 1);
    assert_true(s.up && !s.verified);
    assert_int_equal(s.state, DT_TUNNEL_UNPROVED);
    assert_int_equal(s.unproved, DT_UNPROVED_UNHEARD);
    world_data(w, 0, 0);
    world_pass(w, 1);
    s = look(w, 1);
    assert_true(s.verified && s.state == DT_TUNNEL_UP && s.unproved == DT_UNPROVED_NOT);
    end(w);
}

/* An address that the negotiated selectors do not carry would never be answered. */
static void a_chosen_address_outside_the_selectors(void **state)
{
    struct world *w = begin(360);
    struct dt_tunnel_cfg cfg;
    world_serve(w, 1, WORLD_DOVETAIL);
    world_tunnel_cfg(w, &cfg, 0, 1);
    cfg.probe = DT_PROBE_ADDRESS;
    assert_int_equal(dt_addr_parse(&cfg.probe_addr, "10.2.0.1"), 0); /* the gateway allows 10.1.0.0/16 */
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    struct dt_tunnel_info c = look(w, 0);
    assert_true(c.verified);
    assert_int_equal(c.probe_kind, DT_PROBE_DUMMY);
    end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrow_selectors_are_proved),
        cmocka_unit_test(narrow_selectors_heal),
        cmocka_unit_test(an_older_dovetail_is_probed_by_address),
        cmocka_unit_test(nobody_answers_for_a_host_behind_him),
        cmocka_unit_test(nothing_proves_it_with_a_stranger),
        cmocka_unit_test(probe_off_is_unproved),
        cmocka_unit_test(a_server_is_verified_when_it_hears),
        cmocka_unit_test(a_chosen_address_outside_the_selectors),
    };
    return TEST_RUN(tests);
}
