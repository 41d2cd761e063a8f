/* A client brings what is listed for its identity and nothing of anybody else's; what is refused leaves nothing behind. */
#include "endpoint/world.h"

static struct dt_selectors nets(const char *a, const char *b)
{
    struct dt_selectors list = {0};
    const char *text[] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        struct dt_selector s;
        if (!text[i])
            continue;
        assert_int_equal(dt_selector_parse(&s, text[i]), 0);
        dt_selectors_add(&list, &s);
    }
    return list;
}

static bool is(const struct dt_ike_id *id, const char *text)
{
    char s[DT_IKE_ID_STRLEN];
    return strcmp(dt_ike_id_str(s, id), text) == 0;
}

/* client0 has 10.2.0.0/16, client2 has 10.3.0.0/16, nobody has 10.4.0.0/16. */
static void by_name(const struct dt_ike_id *peer, struct dt_authority *out)
{
    if (is(peer, "client0@example.net"))
        out->networks = nets("10.2.0.0/16", NULL);
    else if (is(peer, "client2@example.net"))
        out->networks = nets("10.3.0.0/16", NULL);
}

static void one_for_all(const struct dt_ike_id *peer, struct dt_authority *out)
{
    out->networks = nets("10.2.0.0/16", NULL);
}

/* Hosts 0 and 2 are branches, 1 is their gateway. */
static struct world *sites(uint64_t seed, void (*authority)(const struct dt_ike_id *, struct dt_authority *))
{
    struct world *w = malloc(sizeof(*w));
    struct dt_gateway_cfg g;
    struct dt_err err;
    world_init(w, seed, 3);
    w->host[1].authority = authority;
    world_boot(w, 1, NULL);
    world_gateway_cfg(&g);
    g.lease = false;
    g.remote = nets("10.0.0.0/8", NULL);
    w->host[1].gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &g, &err);
    assert_int_not_equal(w->host[1].gateway, 0);
    return w;
}

static void come(struct world *w, int host, const char *a, const char *b)
{
    struct dt_tunnel_cfg cfg;
    world_tunnel_cfg(w, &cfg, host, 1);
    cfg.inside4 = false;
    cfg.local = nets(a, b);
    world_connect(w, host, 1, &cfg);
    world_pass(w, 1);
}

static void ours(struct world *w, int host, struct dt_tunnel_info *info)
{
    assert_true(dt_endpoint_tunnel_info(w->host[host].ep, w->host[host].client, info));
}

/* What the gateway has for this client. */
static bool theirs(struct world *w, const char *who, struct dt_tunnel_info *info)
{
    struct dt_endpoint *ep = w->host[1].ep;
    for (uint32_t t = dt_endpoint_tunnel_next(ep, 0); t; t = dt_endpoint_tunnel_next(ep, t))
        if (dt_endpoint_tunnel_info(ep, t, info) && is(&info->remote_id, who))
            return true;
    return false;
}

static void carries(struct world *w, const char *who, const char *what)
{
    struct dt_tunnel_info info;
    char text[200];
    assert_true(theirs(w, who, &info));
    assert_string_equal(dt_selectors_str(text, sizeof(text), &info.remote_ts), what);
}

static void done(struct world *w)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(w->host[i].sins, 0);
    world_end(w);
    free(w);
}

static void a_client_brings_its_own_network(void **state)
{
    struct world *w = sites(1, by_name);
    come(w, 0, "10.2.0.0/16", NULL);
    come(w, 2, "10.3.7.0/24", NULL); /* a part of it */
    assert_true(world_up(w, 0) && world_up(w, 2));
    carries(w, "client0@example.net", "10.2.0.0/16");
    carries(w, "client2@example.net", "10.3.7.0/24");
    world_pass(w, 30); /* rekeys ask again */
    assert_true(world_up(w, 0) && world_up(w, 2));
    done(w);
}

static void more_is_narrowed_to_its_own(void **state)
{
    struct world *w = sites(2, by_name);
    come(w, 0, "10.0.0.0/8", NULL);
    assert_true(world_up(w, 0));
    carries(w, "client0@example.net", "10.2.0.0/16");
    done(w);
}

/* The two halves of another's network: longer prefixes than its own. */
static void anothers_network_is_refused(void **state)
{
    for (int online = 0; online < 2; online++) {
        struct world *w = sites(3, by_name);
        struct dt_tunnel_info info;
        if (online)
            come(w, 0, "10.2.0.0/16", NULL);
        come(w, 2, "10.2.0.0/17", "10.2.128.0/17");
        assert_false(world_up(w, 2));
        ours(w, 2, &info);
        assert_non_null(strstr(info.why, "TS_UNACCEPTABLE"));
        assert_non_null(strstr(info.why, "10.2.0.0/17"));
        assert_non_null(strstr(info.why, "allows 10.3.0.0/16"));
        assert_true(theirs(w, "client2@example.net", &info));
        assert_int_equal(info.remote_ts.n, 0);
        if (online) {
            assert_true(world_up(w, 0));
            carries(w, "client0@example.net", "10.2.0.0/16");
        }
        done(w);
    }
}

static void listed_for_nobody_is_refused(void **state)
{
    struct world *w = sites(4, by_name);
    struct dt_tunnel_info info;
    come(w, 0, "10.4.0.0/16", NULL);
    assert_false(world_up(w, 0));
    ours(w, 0, &info);
    assert_non_null(strstr(info.why, "TS_UNACCEPTABLE"));
    w->host[1].authority = NULL; /* a client of whom nothing is listed */
    come(w, 2, "10.3.0.0/16", NULL);
    assert_false(world_up(w, 2));
    ours(w, 2, &info);
    assert_non_null(strstr(info.why, "allows nothing"));
    done(w);
}

/* Several may bring the same by a pattern: whoever has it keeps it, and gives it back. */
static void what_another_has_now_is_refused(void **state)
{
    struct world *w = sites(5, one_for_all);
    come(w, 0, "10.2.0.0/16", NULL);
    come(w, 2, "10.2.1.0/24", NULL);
    assert_true(world_up(w, 0));
    assert_false(world_up(w, 2));
    assert_int_not_equal(w->host[1].seen[DT_EVENT_TURNED_AWAY], 0);
    world_pass(w, 60);
    assert_true(world_up(w, 0));
    assert_false(world_up(w, 2));
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 65); /* it asks again within a minute */
    assert_true(world_up(w, 2));
    carries(w, "client2@example.net", "10.2.1.0/24");
    done(w);
}

/* A lease and a network may not meet either. */
static void a_lease_in_anothers_network_is_refused(void **state)
{
    struct world *w = sites(6, one_for_all);
    struct dt_gateway_cfg g;
    struct dt_err err;
    world_gateway_cfg(&g);
    snprintf(g.name, sizeof(g.name), "other");
    dt_ike_id_parse(&g.identity, "other.example.net");
    uint32_t gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &g, &err); /* leases 10.9.0.1 */
    assert_int_not_equal(gateway, 0);
    w->host[1].networks = nets("10.9.0.0/24", NULL);
    w->host[1].authority = NULL;
    come(w, 0, "10.9.0.0/24", NULL);
    assert_true(world_up(w, 0));
    struct dt_tunnel_cfg cfg;
    world_tunnel_cfg(w, &cfg, 2, 1);
    dt_ike_id_parse(&cfg.remote_id, "other.example.net");
    world_connect(w, 2, 1, &cfg);
    world_pass(w, 2);
    assert_false(world_up(w, 2));
    assert_true(world_up(w, 0));
    done(w);
}

/* A reload that gives the network to nobody ends who has it; one that leaves it goes unnoticed. */
static void a_network_taken_away_ends_its_client(void **state)
{
    struct world *w = sites(11, by_name);
    struct dt_tunnel_info info;
    struct dt_gateway_cfg g;
    struct dt_err err;
    world_gateway_cfg(&g);
    g.lease = false;
    g.remote = nets("10.0.0.0/8", NULL);
    come(w, 0, "10.2.0.0/16", NULL);
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    carries(w, "client0@example.net", "10.2.0.0/16");
    w->host[1].authority = NULL;
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    assert_false(theirs(w, "client0@example.net", &info));
    world_pass(w, 1);
    assert_false(world_up(w, 0));
    done(w);
}

/* ---- what is refused leaves nothing behind ---- */

static void nothing_of_it(struct world *w, int host, uint32_t tunnel)
{
    struct dt_tunnel_info info;
    assert_true(dt_endpoint_tunnel_info(w->host[host].ep, tunnel, &info));
    assert_int_equal(info.local_ts.n + info.remote_ts.n, 0);
    assert_int_equal(info.nepochs, 0);
    assert_int_equal(info.answer4.ver, 0);
    assert_int_equal(world_sas(&w->host[host]), 0);
}

static void a_refused_child_leaves_nothing_at_the_gateway(void **state)
{
    struct world *w = sites(7, by_name);
    struct dt_tunnel_info info;
    w->host[1].refuse_admit = "not while the moon is full";
    come(w, 0, "10.2.0.0/16", NULL);
    assert_false(world_up(w, 0));
    assert_true(theirs(w, "client0@example.net", &info));
    nothing_of_it(w, 1, info.tunnel);
    assert_int_equal(w->host[1].published, 0);
    ours(w, 0, &info);
    assert_non_null(strstr(info.why, "TS_UNACCEPTABLE"));
    w->host[1].refuse_admit = NULL;
    world_pass(w, 10);
    assert_true(world_up(w, 0));
    assert_int_equal(w->host[1].published, 1);
    done(w);
}

static void a_failed_install_leaves_nothing_at_either_end(void **state)
{
    for (int end = 0; end < 2; end++) {
        struct world *w = sites(8, by_name);
        struct dt_tunnel_info info;
        w->host[end].refuse_install = true;
        come(w, 0, "10.2.0.0/16", NULL);
        world_pass(w, 0.5);
        assert_false(world_up(w, 0));
        assert_int_equal(w->host[end].published, 0);
        if (end == 0)
            nothing_of_it(w, 0, w->host[0].client);
        else if (theirs(w, "client0@example.net", &info))
            nothing_of_it(w, 1, info.tunnel);
        w->host[end].refuse_install = false;
        world_pass(w, 30);
        assert_true(world_up(w, 0));
        done(w);
    }
}

/* A later epoch that cannot be: the one that is there stays what it is. */
static void a_failed_rekey_changes_nothing(void **state)
{
    struct world *w = sites(9, by_name);
    struct dt_tunnel_info before, after;
    come(w, 0, "10.2.0.0/16", NULL);
    ours(w, 0, &before);
    w->host[0].refuse_admit = "not this one";
    dt_endpoint_rekey(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 0.5);
    ours(w, 0, &after);
    assert_true(world_up(w, 0));
    assert_int_equal(after.epoch, before.epoch);
    assert_true(dt_selectors_eq(&after.remote_ts, &before.remote_ts));
    assert_true(dt_addr_eq(&after.answer4, &before.answer4));
    assert_int_equal(w->host[0].published, 1);
    w->host[0].refuse_admit = NULL;
    done(w);
}

/* ---- no inside address ---- */

static void lease_from(struct world *w, struct dt_gateway_cfg *g)
{
    struct dt_err err;
    world_gateway_cfg(g);
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, g, &err), 0);
}

static void why_is(struct world *w, int host, const char *text)
{
    struct dt_tunnel_info info;
    ours(w, host, &info);
    assert_false(info.up);
    if (!strstr(info.why, text))
        fail_msg("wanted \"%s\" in \"%s\"", text, info.why);
}

/* The first reason stays: the child is not asked for again without an address, but the session anew. */
static void a_pool_that_is_used_up_is_said(void **state)
{
    struct world *w = sites(12, by_name);
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    lease_from(w, &g);
    w->host[1].pool_used_up = true;
    world_tunnel_cfg(w, &cfg, 0, 1);
    world_connect(w, 0, 1, &cfg);
    for (int i = 0; i < 40; i++) {
        world_pass(w, 0.5);
        why_is(w, 0, "the gateway has no inside address left: its pool is used up");
    }
    assert_true(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions <= 1);
    w->host[1].pool_used_up = false;
    world_pass(w, 61);
    assert_true(world_up(w, 0));
    done(w);
}

static void whoever_leases_nothing_has_no_client(void **state)
{
    struct world *w = sites(13, NULL);
    struct dt_tunnel_cfg cfg;
    struct dt_selector all = dt_selector_all4();
    dt_selectors_add(&w->host[1].networks, &all); /* it would agree to a child */
    world_tunnel_cfg(w, &cfg, 0, 1);
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 3);
    why_is(w, 0, "no inside address");
    assert_int_equal(world_sas(&w->host[0]), 0);
    assert_int_equal(w->host[0].published, 0);
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 5);
    assert_int_equal(world_sas(&w->host[1]), 0); /* each was deleted there */
    done(w);
}

static void a_lease_is_not_forgotten_for_a_refusal(void **state)
{
    struct world *w = sites(14, NULL);
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_tunnel_info info;
    struct dt_err err;
    struct dt_selector all = dt_selector_all4();
    lease_from(w, &g);
    world_tunnel_cfg(w, &cfg, 0, 1);
    world_connect(w, 0, 1, &cfg);
    world_pass(w, 1);
    assert_true(world_up(w, 0));
    ours(w, 0, &info);
    struct dt_addr lease = info.inside.addr4;
    assert_int_equal(lease.ver, 4);
    dt_selectors_add(&w->host[1].networks, &all);
    g.lease = false;
    g.remote = w->host[1].networks;
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    world_pass(w, 5);
    why_is(w, 0, "no inside address");
    ours(w, 0, &info);
    assert_true(dt_addr_eq(&info.inside.addr4, &lease)); /* routes stay */
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
    ours(w, 0, &info);
    assert_int_equal(info.inside.addr4.ver, 0);
    done(w);
}

static void a_gateway_that_is_full_says_so(void **state)
{
    struct world *w = sites(15, NULL);
    struct dt_gateway_cfg g;
    struct dt_tunnel_cfg cfg;
    struct dt_err err;
    lease_from(w, &g);
    g.tunnels_max = 1;
    assert_int_equal(dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err), 0);
    for (int host = 0; host < 3; host += 2) {
        world_tunnel_cfg(w, &cfg, host, 1);
        world_connect(w, host, 1, &cfg);
        world_pass(w, 2);
    }
    assert_true(world_up(w, 0));
    why_is(w, 2, "clients_max");
    done(w);
}

/* ---- sessions that have no child ---- */

static void a_session_without_a_child_is_asked_whether_it_lives(void **state)
{
    struct world *w = sites(10, by_name);
    come(w, 0, "10.4.0.0/16", NULL); /* refused */
    assert_int_not_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 0);
    world_kill(w, 0);
    world_pass(w, 120); /* asked after 12 s; retransmissions take 58 s */
    assert_int_equal(dt_ike_usage(dt_endpoint_ike(w->host[1].ep)).sessions, 0);
    assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
    done(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_brings_its_own_network),
        cmocka_unit_test(more_is_narrowed_to_its_own),
        cmocka_unit_test(anothers_network_is_refused),
        cmocka_unit_test(listed_for_nobody_is_refused),
        cmocka_unit_test(what_another_has_now_is_refused),
        cmocka_unit_test(a_lease_in_anothers_network_is_refused),
        cmocka_unit_test(a_network_taken_away_ends_its_client),
        cmocka_unit_test(a_refused_child_leaves_nothing_at_the_gateway),
        cmocka_unit_test(a_failed_install_leaves_nothing_at_either_end),
        cmocka_unit_test(a_failed_rekey_changes_nothing),
        cmocka_unit_test(a_pool_that_is_used_up_is_said),
        cmocka_unit_test(whoever_leases_nothing_has_no_client),
        cmocka_unit_test(a_lease_is_not_forgotten_for_a_refusal),
        cmocka_unit_test(a_gateway_that_is_full_says_so),
        cmocka_unit_test(a_session_without_a_child_is_asked_whether_it_lives),
    };
    return TEST_RUN(tests);
}
