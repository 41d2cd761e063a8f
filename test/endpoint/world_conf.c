/* What the hosts of the test world are configured with. */
#include "endpoint/world.h"

struct dt_epoch_params world_params(void)
{
    struct dt_epoch_params p = dt_epoch_params_default();
    p.keylife = 20 * DT_SEC;
    p.rekeymargin = 6 * DT_SEC;
    p.rekeyfuzz = 100;
    p.maxidle = 4 * DT_SEC;
    p.pingtime = 500 * DT_MSEC;
    p.pingtries = 6;
    p.pingtime2 = 500 * DT_MSEC;
    p.pingtries2 = 4;
    p.timeout = 3 * DT_SEC;
    p.elimit = 2;
    return p;
}

static void proposals(struct dt_proposals *ike, struct dt_proposals *esp)
{
    struct dt_proposal p;
    memset(ike, 0, sizeof(*ike));
    memset(esp, 0, sizeof(*esp));
    assert_int_equal(dt_proposal_parse(&p, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519", NULL), 0);
    dt_proposals_add(ike, &p);
    assert_int_equal(dt_proposal_parse(&p, DT_PROTO_ESP, "aes128gcm16-esn", NULL), 0);
    dt_proposals_add(esp, &p);
}

void world_gateway_cfg(struct dt_gateway_cfg *cfg)
{
    struct dt_selector s;
    dt_gateway_cfg_default(cfg);
    snprintf(cfg->name, sizeof(cfg->name), "head-office");
    proposals(&cfg->ike, &cfg->esp);
    assert_int_equal(dt_ike_id_parse(&cfg->identity, "vpn.example.net"), 0);
    assert_int_equal(dt_ike_id_parse(&cfg->peers, "%any"), 0);
    assert_int_equal(dt_selector_parse(&s, "10.1.0.0/16"), 0);
    dt_selectors_add(&cfg->protect, &s);
    cfg->lease = true;
    cfg->params = world_params();
}

void world_tunnel_cfg(struct world *w, struct dt_tunnel_cfg *cfg, int client, int gateway)
{
    struct dt_selector s;
    char id[64];
    dt_tunnel_cfg_default(cfg);
    snprintf(cfg->name, sizeof(cfg->name), "office");
    proposals(&cfg->ike, &cfg->esp);
    snprintf(id, sizeof(id), "client%d@example.net", client);
    assert_int_equal(dt_ike_id_parse(&cfg->local_id, id), 0);
    assert_int_equal(dt_ike_id_parse(&cfg->remote_id, "vpn.example.net"), 0);
    assert_int_equal(dt_selector_parse(&s, "10.0.0.0/8"), 0);
    dt_selectors_add(&cfg->protect, &s);
    cfg->inside4 = true;
    cfg->ngateways = 1;
    cfg->gateways[0] = w->host[gateway].addr;
    cfg->encap = DT_ENCAP_ESP;
    cfg->params = world_params();
}
