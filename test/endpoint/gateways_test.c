/* Several gateways at one address: each one's own IKE proposals hold, and none keeps another's clients out. */
#include "endpoint/world.h"

static const char weak[] = "aes128-sha256-modp2048", strong[] = "aes256gcm16-prfsha384-ecp384";

static void only(struct dt_proposals *list, const char *text)
{
    struct dt_proposal p;
    assert_int_equal(dt_proposal_parse(&p, DT_PROTO_IKE, text, NULL), 0);
    list->n = 0;
    dt_proposals_add(list, &p);
}

/* vpn.example.net takes weak ciphers, strict.example.net does not; both are at host 1. */
static struct world *two_gateways(void)
{
    struct world *w = malloc(sizeof(*w));
    struct dt_gateway_cfg cfg;
    struct dt_err err = {0};
    assert_non_null(w);
    world_init(w, 1, 2);
    world_boot(w, 1, NULL);
    for (unsigned i = 0; i < 2; i++) {
        world_gateway_cfg(&cfg);
        only(&cfg.ike, i ? strong : weak);
        if (i) {
            snprintf(cfg.name, sizeof(cfg.name), "strict");
            assert_int_equal(dt_ike_id_parse(&cfg.identity, "strict.example.net"), 0);
        }
        w->host[1].gateway = dt_endpoint_gateway_add(w->host[1].ep, w->now, &cfg, &err);
        assert_int_not_equal(w->host[1].gateway, 0);
    }
    return w;
}

static void each_gateways_own_proposals_hold(void **state)
{
    static const struct {
        const char *gateway, *offer;
        bool up;
    } cases[] = {{"vpn.example.net", weak, true},
                 {"vpn.example.net", strong, false},
                 {"strict.example.net", strong, true},
                 {"strict.example.net", weak, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *w = two_gateways();
        struct dt_tunnel_cfg cfg;
        struct dt_tunnel_info info;
        world_tunnel_cfg(w, &cfg, 0, 1);
        only(&cfg.ike, cases[i].offer);
        assert_int_equal(dt_ike_id_parse(&cfg.remote_id, cases[i].gateway), 0);
        world_connect(w, 0, 1, &cfg);
        world_pass(w, 1);
        assert_int_equal(world_up(w, 0), cases[i].up);
        assert_true(dt_endpoint_tunnel_info(w->host[0].ep, w->host[0].client, &info));
        if (!cases[i].up) { /* both sides' values, at both ends */
            assert_non_null(strstr(info.why, "NO_PROPOSAL_CHOSEN"));
            assert_non_null(strstr(info.why, "modp2048"));
            assert_non_null(strstr(info.why, "ecp384"));
            assert_true(w->host[1].seen[DT_EVENT_TURNED_AWAY] > 0);
        }
        world_end(w);
        free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_gateways_own_proposals_hold)};
    return TEST_RUN(tests);
}
