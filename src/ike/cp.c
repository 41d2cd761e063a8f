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
                           .has_domain = cfg->want_dns,
                           /* what we had before, if the owner opens again with the same session's lease */
                           .addr4 = s->inside.addr4,
                           .addr6 = s->inside.addr6,
                           .addr6_len = s->inside.addr6_len};
    if (cfg->want4 || cfg->want6 || cfg->want_dns)
        dt_ike_cp_write(b, &cp);
}

static int bad_lease(struct dt_err *err, const struct dt_ike_session *s, const struct dt_addr *a)
{
    char text[DT_ADDR_STRLEN];
    dt_addr_str(text, a);
    if (!dt_addr_is_host(a))
        return dt_err_set(err, DT_N_INTERNAL_ADDRESS_FAILURE, "the peer leases %s, which no host can have",
                          text);
    if (dt_addr_eq(a, &s->path.local.addr) || dt_addr_eq(a, &s->path.remote.addr))
        return dt_err_set(err, DT_N_INTERNAL_ADDRESS_FAILURE,
                          "the peer leases %s, which is the address that %s is reached at", text,
                          dt_addr_eq(a, &s->path.local.addr) ? "this host" : "the peer itself");
    return 0;
}

/* What was given. Where an address was asked for, there must be one, and one that can be. */
int ike_cp_got_reply(struct dt_ike_session *s, const struct dt_ike_payloads *in, struct dt_err *err)
{
    const struct dt_ike_payload *p = dt_ike_find(in, DT_P_CP);
    struct dt_ike_inside got = {0};
    struct dt_ike_cp cp = {0};
    bool wanted = s->cfg->want4 || s->cfg->want6;
    memset(&s->inside, 0, sizeof(s->inside));
    bool malformed = p && dt_ike_cp_read(&cp, p->body);
    if (malformed || cp.type != DT_CFG_REPLY) {
        if (!wanted)
            return 0;
        return dt_err_set(
            err, DT_N_INTERNAL_ADDRESS_FAILURE,
            "no inside address: the peer's configuration payload %s; a pool there, or inside here, "
            "would be right",
            !p          ? "is absent"
            : malformed ? "is malformed"
                        : "is no CFG_REPLY");
    }
    if (s->cfg->want4)
        got.addr4 = cp.addr4;
    if (s->cfg->want6) {
        got.addr6 = cp.addr6;
        got.addr6_len = cp.addr6.ver && !cp.addr6_len ? 128 : cp.addr6_len;
    }
    if (wanted && !got.addr4.ver && !got.addr6.ver)
        return dt_err_set(
            err, DT_N_INTERNAL_ADDRESS_FAILURE,
            "no inside address: the peer's CFG_REPLY has none; a pool there, or inside here, would be "
            "right");
    if ((got.addr4.ver && bad_lease(err, s, &got.addr4)) || (got.addr6.ver && bad_lease(err, s, &got.addr6)))
        return -1;
    for (size_t i = 0; s->cfg->want_dns && i < cp.ndns && got.ndns < DT_IKE_DNS_MAX; i++)
        if (dt_addr_is_host(&cp.dns[i]))
            got.dns[got.ndns++] = cp.dns[i];
    if (got.ndns > 0) /* RFC 8598 section 3.2: without a server they mean nothing */
        memcpy(got.domains, cp.domains, sizeof(got.domains));
    s->inside = got;
    return 0;
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
    if (!cp.has4 &&
        !cp.has6) /* no address is asked for: whether it may do without is seen with its selectors */
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
    s->inside.domains[0] = '\0';
    *reply = (struct dt_ike_cp){.type = DT_CFG_REPLY,
                                .has4 = cp.has4 && give.addr4.ver,
                                .has6 = cp.has6 && give.addr6.ver,
                                .addr4 = give.addr4,
                                .addr6 = give.addr6,
                                .addr6_len = give.addr6_len ? give.addr6_len : 128};
    for (size_t i = 0; (cp.has_dns4 || cp.has_dns6) && i < give.ndns && i < DT_IKE_CP_DNS; i++)
        reply->dns[reply->ndns++] = give.dns[i];
    if (cp.has_domain && reply->ndns > 0)
        memcpy(reply->domains, give.domains, sizeof(reply->domains));
    return 0;
}
