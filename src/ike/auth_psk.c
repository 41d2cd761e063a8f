/* The shared key method (RFC 7296 section 2.15). */
#include "ike/internal.h"

static int auth_compute(struct ike_sa *sa, bool initiator, uint8_t *out, size_t *len, struct dt_err *err)
{
    static const char pad[] = "Key Pad for IKEv2";
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    uint8_t psk[DT_PSK_MAX], key[DT_PRF_MAX], maced[DT_PRF_MAX];
    char a[DT_IKE_ID_STRLEN], b[DT_IKE_ID_STRLEN];
    size_t prf = dt_prf_len(sa->prf);
    struct dt_span padding = dt_span(pad, sizeof(pad) - 1), octets[3];

    int n = ike->ops.psk ? ike->ops.psk(ike->ctx, s, &s->local_id, &s->remote_id, psk) : -1;
    if (n <= 0 || n > DT_PSK_MAX)
        return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "there is no pre-shared key for %.90s and %.90s",
                          dt_ike_id_str(a, &s->local_id), dt_ike_id_str(b, &s->remote_id));
    int rc = dt_prf(ike->crypto, sa->prf, dt_span(psk, (size_t)n), &padding, 1, key, err);
    if (!rc)
        rc = ike_auth_octets(sa, initiator, maced, octets, err);
    if (!rc)
        rc = dt_prf(ike->crypto, sa->prf, dt_span(key, prf), octets, 3, out, err);
    *len = prf;
    dt_wipe(psk, sizeof(psk));
    dt_wipe(key, sizeof(key));
    dt_wipe(maced, sizeof(maced));
    return rc;
}

static int verify(struct ike_sa *sa, bool initiator, struct dt_span data, struct dt_err *err)
{
    uint8_t want[DT_PRF_MAX];
    char a[DT_IKE_ID_STRLEN], b[DT_IKE_ID_STRLEN];
    size_t len = 0;
    if (auth_compute(sa, initiator, want, &len, err))
        return -1;
    bool ok = data.len == len && dt_ct_equal(want, data.p, len);
    dt_wipe(want, sizeof(want));
    if (ok)
        return 0;
    return dt_err_set(err, DT_N_AUTHENTICATION_FAILED,
                      "%.90s does not have the pre-shared key that is configured here for it and %.90s",
                      dt_ike_id_str(a, &sa->session->remote_id), dt_ike_id_str(b, &sa->session->local_id));
}

const struct ike_auth_method ike_auth_psk = {
    .method = DT_IKE_AUTH_PSK, .sign = auth_compute, .verify = verify};
