/* Cookies and the rate of answers outside sessions (RFC 7296 section 2.6): a flood of half-open sessions costs the
 * host no state and little work, and nobody can use it to send to a third party more than he sent himself. */
#include "ike/internal.h"

#define COOKIE_LEN (1 + 32)

/* Cookie = version of the secret | prf (secret, Ni | IPi | port | SPIi). */
static int compute(struct dt_ike *ike, const uint8_t *secret, uint8_t version, const struct ike_msg *m,
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
    if (ike->now < dt_time_add(ike->secret_since, ike->params.cookie_rotate))
        return;
    /* Nobody asked for longer than two periods: the one before is too old as well. */
    if (ike->now >=
        dt_time_add(dt_time_add(ike->secret_since, ike->params.cookie_rotate), ike->params.cookie_rotate))
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
    return compute(ike, ike->secret[0], ike->secret_version, m, ni, out) ? 0 : COOKIE_LEN;
}

static bool cookie_ok(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni, struct dt_span cookie)
{
    uint8_t want[COOKIE_LEN];
    if (cookie.len != COOKIE_LEN)
        return false;
    ike_cookie_rotate(ike);
    uint8_t age = (uint8_t)(ike->secret_version - cookie.p[0]);
    if (age > 1 || compute(ike, ike->secret[age], cookie.p[0], m, ni, want))
        return false;
    return dt_ct_equal(want, cookie.p, COOKIE_LEN);
}

bool ike_cookie_valid(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni)
{
    struct dt_ike_notify_payload n;
    return ike_find_notify(&m->outer, DT_N_COOKIE, &n) && cookie_ok(ike, m, ni, n.data);
}

enum ike_cookie_verdict ike_cookie_check(struct dt_ike *ike, const struct ike_msg *m, struct dt_span ni)
{
    struct dt_ike_notify_payload n;
    bool demand = ike->nhalf_open >= ike->params.half_open_cookie;
    bool calm =
        ike->nhalf_open < ike->params.half_open_cookie / 2; /* told once, not at every step across the line */
    if (demand ? !ike->cookies_on : ike->cookies_on && calm) {
        ike->cookies_on = demand;
        ike_event(ike, NULL, demand ? DT_IKE_EV_COOKIES : DT_IKE_EV_COOKIES_OFF, m->path, 0,
                  "%zu sessions are half open; cookies are demanded from %u on", ike->nhalf_open,
                  ike->params.half_open_cookie);
    }
    if (demand) {
        if (!ike_find_notify(&m->outer, DT_N_COOKIE, &n))
            return COOKIE_DEMAND;
        if (!cookie_ok(ike, m, ni, n.data)) {
            ike->count.cookies_bad++;
            return COOKIE_DEMAND;
        }
    }
    if (ike->nhalf_open >= ike->params.half_open_max || ike->nsessions >= ike->params.session_max) {
        ike->count.half_open_dropped++;
        return COOKIE_DROP;
    }
    return COOKIE_GO_ON;
}

/* A bucket that holds one second's worth. */
bool ike_unauth_allowed(struct dt_ike *ike)
{
    uint64_t most = (uint64_t)ike->params.unauth_rate * 1000;
    dt_time since = ike->now - ike->unauth_since;
    uint64_t more = since >= DT_SEC ? most : since / DT_USEC * ike->params.unauth_rate / 1000;
    if (more) {
        ike->unauth_tokens = ike->unauth_tokens + more > most ? most : ike->unauth_tokens + more;
        ike->unauth_since = ike->now;
    }
    if (ike->unauth_tokens < 1000) {
        ike->count.rate_limited++;
        return false;
    }
    ike->unauth_tokens -= 1000;
    return true;
}
