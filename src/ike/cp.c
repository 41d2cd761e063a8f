/* Configuration payload (RFC 7296 sections 2.19 and 3.15): inside addresses and name servers. */
#include "ike/internal.h"

void ike_cp_request(struct dt_ike_session *s, struct dt_ike_builder *b)
{
    const struct dt_ike_cfg *cfg = s->cfg;
    struct dt_ike_cp cp = {.type = DT_CFG_REQUEST,
                           .has4 = cfg->want4,
                           .has6 = cfg->want6,
                           .has_dns4 = cfg->want_dns && (cfg->want4 || !cfg->want6),
                           .has_dns6 = cfg->want_dns && cfg->want6,
                           /* what we had before, if the owner opens again with the same session's lease */
                           .addr4 = s->inside.addr4,
                           .addr6 = s->inside.addr6,
                           .addr6_len = s->inside.addr6_len};
    if (cfg->want4 || cfg->want6 || cfg->want_dns)
        dt_ike_cp_write(b, &cp);
}

void ike_cp_got_reply(struct dt_ike_session *s, const struct dt_ike_payloads *in)
{
    const struct dt_ike_payload *p = dt_ike_find(in, DT_P_CP);
    struct dt_ike_cp cp;
    if (!p || dt_ike_cp_read(&cp, p->body) || cp.type != DT_CFG_REPLY)
        return;
    memset(&s->inside, 0, sizeof(s->inside));
    if (s->cfg->want4)
        s->inside.addr4 = cp.addr4;
    if (s->cfg->want6) {
        s->inside.addr6 = cp.addr6;
        s->inside.addr6_len = cp.addr6.ver && !cp.addr6_len ? 128 : cp.addr6_len;
    }
    for (size_t i = 0; s->cfg->want_dns && i < cp.ndns && s->inside.ndns < DT_IKE_DNS_MAX; i++)
        s->inside.dns[s->inside.ndns++] = cp.dns[i];
}

int ike_cp_lease(struct dt_ike_session *s, const struct dt_ike_payloads *in, struct dt_ike_cp *reply,
                 struct dt_err *err)
{
    const struct dt_ike_payload *p = dt_ike_find(in, DT_P_CP);
    struct dt_ike_inside want = {0}, give = {0};
    struct dt_ike_cp cp;
    reply->type = 0;
    if (!p)
        return 0;
    if (dt_ike_cp_read(&cp, p->body))
        return dt_err_set(err, DT_N_INVALID_SYNTAX, "the configuration payload is malformed");
    if (cp.type != DT_CFG_REQUEST || !s->cfg->lease || !s->ike->ops.lease)
        return 0;
    want.addr4 = cp.addr4;
    want.addr6 = cp.addr6;
    want.addr4.ver = cp.has4 ? 4 : 0;
    want.addr6.ver = cp.has6 ? 6 : 0;
    want.addr6_len = cp.addr6_len;
    if (s->ike->ops.lease(s->ike->ctx, s, &want, &give, err)) {
        if (!err->text[0])
            dt_err_set(err, 0, "there is no inside address to lease");
        err->notify = err->notify ? err->notify : DT_N_INTERNAL_ADDRESS_FAILURE;
        return -1;
    }
    s->inside = give;
    *reply = (struct dt_ike_cp){.type = DT_CFG_REPLY,
                                .has4 = cp.has4 && give.addr4.ver,
                                .has6 = cp.has6 && give.addr6.ver,
                                .addr4 = give.addr4,
                                .addr6 = give.addr6,
                                .addr6_len = give.addr6_len ? give.addr6_len : 128};
    for (size_t i = 0; (cp.has_dns4 || cp.has_dns6) && i < give.ndns && i < DT_IKE_CP_DNS; i++)
        reply->dns[reply->ndns++] = give.dns[i];
    return 0;
}
