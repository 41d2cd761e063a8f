/* Certificates at the endpoint: renewed, revoked and expired while a tunnel is up. */
#include "endpoint/world.h"

#include "support/certs.h"

static struct cert root, other_root, anna, anna_again, gate, gate_again;

static int setup(void **state)
{
    cert_ca(&root, "Root", NULL);
    cert_ca(&other_root, "Other", NULL);
    cert_host(&anna, "client0@example.net", &root, DT_KEY_P256);
    cert_host(&anna_again, "client0@example.net", &root, DT_KEY_ED25519);
    cert_host(&gate, "vpn.example.net", &root, DT_KEY_P256);
    cert_host(&gate_again, "vpn.example.net", &other_root, DT_KEY_P384);
    return 0;
}

static int teardown(void **state)
{
    struct cert *const all[] = {&root, &other_root, &anna, &anna_again, &gate, &gate_again};
    for (size_t i = 0; i < DT_ARRAY_LEN(all); i++)
        cert_free(all[i]);
    return 0;
}

static struct world *w;
static struct dt_gateway_cfg g;
static struct dt_tunnel_cfg t;

static void prove_by(struct dt_ike_proofs *p, const struct cert *c)
{
    dt_x509_own_unref(p->own);
    p->own = c ? certs_own(&c, 1) : NULL;
}

static struct dt_x509_trust *trust_in(struct dt_ike_proofs *p, const struct cert *a, const struct cert *b)
{
    dt_x509_trust_unref(p->trust);
    const struct cert *const list[] = {a, b};
    p->trust = a ? certs_trust(DT_CRL_SOFT, list, b ? 2 : 1) : NULL;
    return p->trust;
}

static void update_gateway(void)
{
    struct dt_err err = {0};
    if (dt_endpoint_gateway_update(w->host[1].ep, w->now, w->host[1].gateway, &g, &err))
        fail_msg("%s", err.text);
}

static void update_tunnel(void)
{
    struct dt_err err = {0};
    if (dt_endpoint_tunnel_update(w->host[0].ep, w->now, w->host[0].client, &t, &err))
        fail_msg("%s", err.text);
}

static void begin(dt_time jobs)
{
    w = calloc(1, sizeof(*w));
    assert_non_null(w);
    world_init(w, 5, 2);
    w->wall = CERTS_NOW;
    w->job_delay = jobs;
    world_serve(w, 1, WORLD_DOVETAIL);
    world_gateway_cfg(&g);
    world_tunnel_cfg(w, &t, 0, 1);
    prove_by(&g.proofs, &gate);
    prove_by(&t.proofs, &anna);
    trust_in(&g.proofs, &root, NULL);
    trust_in(&t.proofs, &root, NULL);
    update_gateway();
    world_connect(w, 0, 1, &t);
    world_pass(w, 2);
    assert_true(world_up(w, 0));
}

static void finish(void)
{
    assert_int_equal(w->host[0].sins + w->host[1].sins, 0);
    world_end(w);
    free(w);
    dt_ike_proofs_unref(&g.proofs);
    dt_ike_proofs_unref(&t.proofs);
}

static struct dt_tunnel_info info_of(int host)
{
    struct dt_tunnel_info info = {0};
    dt_endpoint_tunnel_info(w->host[host].ep, dt_endpoint_tunnel_next(w->host[host].ep, 0), &info);
    return info;
}

static unsigned sessions(int host)
{
    return w->host[host].seen[DT_EVENT_SESSION_UP];
}

static void who_is_there_is_told(void **state)
{
    begin(0);
    struct dt_tunnel_info c = info_of(0), s = info_of(1);
    assert_int_equal(c.own_method, 14);
    assert_int_equal(s.peer_method, 14);
    assert_non_null(strstr(c.peer_cert, "CN=vpn.example.net, serial "));
    assert_non_null(strstr(s.peer_cert, "CN=client0@example.net, serial "));
    assert_int_equal(s.peer_cert_until, CERTS_NOW + CERTS_YEAR);
    finish();
}

static void a_renewal_disturbs_nobody(void **state)
{
    for (dt_time jobs = 0; jobs < 2; jobs++) {
        begin(jobs * 50 * DT_MSEC);
        uint32_t epoch = world_epoch(w, 0);
        prove_by(&t.proofs, &anna_again);
        update_tunnel();
        prove_by(&g.proofs, &gate_again);
        trust_in(&g.proofs, &root, &other_root);
        update_gateway();
        trust_in(&t.proofs, &root, &other_root);
        update_tunnel();
        world_pass(w, 1);
        assert_true(world_up(w, 0));
        assert_int_equal(world_epoch(w, 0), epoch);
        assert_int_equal(sessions(0), 1);
        assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 0);
        /* The next session is by the new ones. */
        dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 3);
        dt_endpoint_up(w->host[0].ep, w->now, w->host[0].client);
        world_pass(w, 3);
        assert_true(world_up(w, 0));
        assert_non_null(strstr(info_of(0).peer_cert, "CN=Other"));
        finish();
    }
}

static void a_revoked_client_goes_at_once(void **state)
{
    for (dt_time jobs = 0; jobs < 2; jobs++) {
        begin(jobs * 50 * DT_MSEC);
        certs_revoke(trust_in(&g.proofs, &root, NULL), &root, (const struct cert *[]){&anna}, 1,
                     CERTS_NOW - 1, CERTS_NOW + CERTS_DAY);
        update_gateway();
        world_pass(w, 0.3);
        assert_int_equal(w->host[1].seen[DT_EVENT_PROOF_LOST], 1);
        assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 1);
        assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
        assert_int_equal(world_sas(&w->host[1]), 0);
        world_pass(w, 20);
        assert_false(world_up(w, 0));
        assert_int_equal(sessions(1), 1);
        assert_non_null(strstr(info_of(0).why, "AUTHENTICATION_FAILED"));
        trust_in(&g.proofs, &root, NULL);
        update_gateway();
        world_pass(w, 40);
        assert_true(world_up(w, 0));
        finish();
    }
}

static void a_gateway_that_is_trusted_no_more(void **state)
{
    begin(20 * DT_MSEC);
    trust_in(&t.proofs, &other_root, NULL);
    update_tunnel();
    world_pass(w, 1);
    assert_int_equal(w->host[0].seen[DT_EVENT_PROOF_LOST], 1);
    assert_false(world_up(w, 0));
    world_pass(w, 5);
    assert_false(world_up(w, 0));
    assert_non_null(strstr(info_of(0).why, "is of no authority that is trusted here (O=Test, CN=Other)"));
    prove_by(&g.proofs, &gate_again);
    update_gateway();
    world_pass(w, 40);
    assert_true(world_up(w, 0));
    finish();
}

static void certificates_are_taken_no_more(void **state)
{
    begin(0);
    trust_in(&g.proofs, NULL, NULL);
    prove_by(&g.proofs, NULL);
    update_gateway();
    assert_int_equal(w->host[1].seen[DT_EVENT_TUNNEL_GONE], 1);
    prove_by(&t.proofs, NULL); /* from a certificate to a pre-shared key: another way, a new session */
    trust_in(&t.proofs, NULL, NULL);
    update_tunnel();
    world_pass(w, 40);
    assert_true(world_up(w, 0));
    assert_int_equal(info_of(1).peer_method, 2);
    assert_string_equal(info_of(1).peer_cert, "");
    finish();
}

static void an_expired_client_goes(void **state)
{
    struct cert c;
    struct dt_x509_draft d = cert_draft("anna", &root);
    d.n = 1;
    d.name[0] = (struct dt_x509_name){DT_X509_EMAIL, "client0@example.net"};
    d.until = CERTS_NOW + 60;
    cert_issue(&c, &d);
    begin(0);
    prove_by(&t.proofs, &c);
    update_tunnel();
    dt_endpoint_down(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 2);
    dt_endpoint_up(w->host[0].ep, w->now, w->host[0].client);
    world_pass(w, 40);
    assert_true(world_up(w, 0));
    world_pass(w, 25);
    assert_int_equal(w->host[1].seen[DT_EVENT_PROOF_LOST], 1);
    assert_int_equal(dt_endpoint_tunnel_next(w->host[1].ep, 0), 0);
    assert_false(world_up(w, 0));
    cert_free(&c);
    finish();
}

/* At one address a gateway with certificates is found behind one without, though their proposals are the same. */
static void gateways_at_one_address(void **state)
{
    struct dt_gateway_cfg plain;
    struct dt_err err = {0};
    begin(0);
    prove_by(&t.proofs, &anna_again); /* which only a peer that announces RFC 8420 is shown */
    update_tunnel();
    dt_endpoint_gateway_remove(w->host[1].ep, w->now, w->host[1].gateway);
    world_pass(w, 1);
    world_gateway_cfg(&plain);
    snprintf(plain.name, sizeof(plain.name), "plain");
    assert_int_equal(dt_ike_id_parse(&plain.identity, "plain.example.net"), 0);
    assert_true(dt_endpoint_gateway_add(w->host[1].ep, w->now, &plain, &err) != 0);
    w->host[1].gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &g, &err);
    world_pass(w, 60);
    assert_true(world_up(w, 0));
    assert_int_equal(info_of(0).peer_method, 14);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_there_is_told),           cmocka_unit_test(a_renewal_disturbs_nobody),
        cmocka_unit_test(a_revoked_client_goes_at_once),  cmocka_unit_test(a_gateway_that_is_trusted_no_more),
        cmocka_unit_test(certificates_are_taken_no_more), cmocka_unit_test(an_expired_client_goes),
        cmocka_unit_test(gateways_at_one_address),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
