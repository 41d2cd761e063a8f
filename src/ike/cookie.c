/* Cookies (RFC 7296 section 2.6): who returns one receives what is sent to his address. door.c says when that must be shown. */
#include "ike/internal.h"

#define COOKIE_LEN (1 + 32)

/* Cookie = version of the secret | prf (secret, Ni | IPi | port | SPIi). */
static int cookie_compute(struct dt_ike *ike, const uint8_t *secret, uint8_t version, const struct ike_msg *m,
                          struct dt_span ni, uint8_t out[COOKIE_LEN])
{
    uint8_t port[2], spi[8];
    dt_put_be16(port, m->path->remote.port);
    dt_put_be64(spi, m->h.spi_i);
    struct dt_span in[] = {ni, dt_span(m->path->remote.addr.b, 16), dt_span(port, 2), dt_span(spi, 8)};
    out[0] = version;
    return dt_prf(ike->crypto, DT_PRF_HMAC_SHA2_256, dt_span(secret, 32), in, 4, out + 1, NULL);
}

void ike_cookie_rotate(struct dt_ike *ike)
{
    if (ike->now < dt_time_add(ike->secret_since, ike->params.door.cookie_rotate))
        return;
    /* Nobody asked for longer than two periods: the one before is too old as well. */
    if (ike->now >= dt_time_add(dt_time_add(ike->secret_since, ike->params.door.cookie_rotate),
                                ike->params.door.cookie_rotate))
        dt_rand_fill(&ike->rand, ike->secret[1], sizeof(ike->secret[1]));
    else
        memcpy(ike->secret[1], ike->secret[0], sizeof(ike->secret[0]));
    dt_rand_fill(&ike->rand, ike->secret[0], sizeof(ike->secret[0]));
    ike->secret_version++;
    ike->secret_since = ike->now;
}

size_t ike_cookie_make(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni,
                       uint8_t out[IKE_COOKIE_MAX])
{
    ike_cookie_rotate(ike);
    return cookie_compute(ike, ike->secret[0], ike->secret_version, m, ni, out) ? 0 : COOKIE_LEN;
}

static bool cookie_ok(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni, struct dt_span cookie)
{
    uint8_t want[COOKIE_LEN];
    if (cookie.len != COOKIE_LEN)
        return false;
    ike_cookie_rotate(ike);
    uint8_t age = (uint8_t)(ike->secret_version - cookie.p[0]);
    if (age > 1 || cookie_compute(ike, ike->secret[age], cookie.p[0], m, ni, want))
        return false;
    return dt_ct_equal(want, cookie.p, COOKIE_LEN);
}

bool ike_cookie_valid(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni)
{
    struct dt_ike_notify_payload n;
    if (!ike_find_notify(&m->outer, DT_N_COOKIE, &n))
        return false;
    bool ok = cookie_ok(ike, m, ni, n.data);
    ike->count.cookies_bad += !ok;
    return ok;
}
