/* What proves us and whom we believe, as a value; and what becomes of a session when that changes, or time passes. */
#include "ike/auth_task.h"

void dt_ike_proofs_ref(const struct dt_ike_proofs *p)
{
    dt_x509_own_ref(p->own);
    dt_x509_trust_ref(p->trust);
}

void dt_ike_proofs_unref(struct dt_ike_proofs *p)
{
    dt_x509_own_unref(p->own);
    dt_x509_trust_unref(p->trust);
    *p = (struct dt_ike_proofs){0};
}

bool dt_ike_proofs_alike(const struct dt_ike_proofs *a, const struct dt_ike_proofs *b)
{
    return !a->own == !b->own && !a->trust == !b->trust && a->own_always == b->own_always &&
           a->rsa_sha1 == b->rsa_sha1;
}

bool dt_ike_proofs_eq(const struct dt_ike_proofs *a, const struct dt_ike_proofs *b)
{
    return dt_ike_proofs_alike(a, b) && dt_x509_own_eq(a->own, b->own) &&
           dt_x509_trust_eq(a->trust, b->trust);
}

/* ---- afterwards ---- */

static void proof_lost(struct dt_ike_session *s, const struct dt_err *why)
{
    if (s->state != DT_SESSION_UP)
        return;
    IKE_CALL(s, proof_lost, why);
    ike_session_close(s, "the peer's certificate is not one that is taken any more");
}

dt_time ike_auth_until(const struct dt_ike_session *s, dt_time when)
{
    const struct dt_ike *ike = s->ike;
    if (!s->peer_cert || s->peer_cert->until == DT_X509_NEVER || !ike->ops.wall)
        return when;
    int64_t left = s->peer_cert->until - ike->ops.wall(ike->ctx) + 1, most = 365 * INT64_C(86400);
    return left < most ? dt_time_min(when, dt_time_add(ike->now, left > 0 ? (dt_time)left * DT_SEC : 0))
                       : when;
}

bool ike_auth_expired(struct dt_ike_session *s)
{
    struct dt_err why = {0};
    char who[DT_IKE_ID_STRLEN];
    if (!s->peer_cert || !s->ike->ops.wall || s->ike->ops.wall(s->ike->ctx) <= s->peer_cert->until)
        return false;
    dt_err_set(&why, 0, "%.100s: its certificate %.200s, or one above it, has expired meanwhile",
               dt_ike_id_str(who, &s->remote_id), s->peer_cert->who);
    proof_lost(s, &why);
    return true;
}

void ike_auth_rechecked(struct dt_ike_session *s, const struct ike_auth_task *t)
{
    struct dt_err why = {0};
    char who[DT_IKE_ID_STRLEN];
    if (!t->rc)
        return;
    dt_err_set(&why, 0, "%.100s: %.380s", dt_ike_id_str(who, &s->remote_id), t->err.text);
    proof_lost(s, &why);
}

static struct ike_auth_task *recheck_task(struct dt_ike_session *s, struct dt_x509_trust *trust)
{
    const struct dt_ike_peer_cert *c = s->peer_cert;
    struct ike_auth_task *t = ike_auth_task_new();
    if (!t)
        return NULL;
    t->trust = dt_x509_trust_ref(trust);
    t->ncert = c->ncert;
    memcpy(t->cert_len, c->cert_len, sizeof(t->cert_len));
    t->peer_id = s->remote_id;
    t->peer_responds = s->initiator;
    t->now = s->ike->ops.wall(s->ike->ctx);
    if (!ike_bytes_set(&t->certs, c->certs.p, c->certs.len))
        return t;
    ike_auth_task_free(t);
    return NULL;
}

void dt_ike_session_recheck(struct dt_ike_session *s, dt_time now, struct dt_x509_trust *trust)
{
    if (s->state != DT_SESSION_UP || !s->peer_cert || !trust || !s->ike->ops.wall)
        return;
    ike_enter(s->ike, now);
    struct ike_auth_task *t = recheck_task(s, trust);
    if (!t) {
        const struct dt_err none = {.text = "there is no memory to look at its certificate again"};
        proof_lost(s, &none);
    } else if (!ike_work_recheck(s, t)) {
        ike_auth_task_run(t);
        ike_auth_rechecked(s, t);
        ike_auth_task_free(t);
    }
    ike_leave(s->ike);
}
