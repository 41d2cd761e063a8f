/* Public-key work of IKE_AUTH: the peer's certificate and signature are looked at, our own signature is made. Milliseconds: a
 * job where the driver takes jobs (work.c). A task has all that it needs, and is compared as a whole when its message is looked
 * at again. */
#include "ike/auth_task.h"

#include <stdlib.h>

struct ike_auth_task *ike_auth_task_new(void)
{
    return calloc(1, sizeof(struct ike_auth_task));
}

void ike_auth_task_free(struct ike_auth_task *t)
{
    if (!t)
        return;
    dt_x509_trust_unref(t->trust);
    dt_x509_own_unref(t->own);
    dt_sig_key_unref(t->peer.key);
    ike_bytes_free(&t->certs);
    ike_bytes_free(&t->signature);
    ike_bytes_free(&t->signed_by_peer);
    ike_bytes_free(&t->to_sign);
    free(t);
}

static bool bytes_same(const struct ike_bytes *a, const struct ike_bytes *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->p, b->p, a->len));
}

static bool algorithm_same(const struct dt_sig_algorithm *a, const struct dt_sig_algorithm *b)
{
    return a->scheme == b->scheme && a->hash == b->hash && a->salt == b->salt;
}

bool ike_auth_task_same(const struct ike_auth_task *a, const struct ike_auth_task *b)
{
    bool same = a->trust == b->trust && a->own == b->own && a->ncert == b->ncert &&
                a->peer_responds == b->peer_responds &&
                algorithm_same(&a->peer_algorithm, &b->peer_algorithm) && a->peer_method == b->peer_method &&
                algorithm_same(&a->own_algorithm, &b->own_algorithm) && a->own_method == b->own_method &&
                a->peer_id.type == b->peer_id.type && a->peer_id.len == b->peer_id.len &&
                !memcmp(a->peer_id.data, b->peer_id.data, a->peer_id.len);
    for (size_t i = 0; same && i < a->ncert; i++)
        same = a->cert_len[i] == b->cert_len[i];
    return same && bytes_same(&a->certs, &b->certs) && bytes_same(&a->signature, &b->signature) &&
           bytes_same(&a->signed_by_peer, &b->signed_by_peer) && bytes_same(&a->to_sign, &b->to_sign);
}

/* ---- the work ---- */

static enum dt_key_kind fixed_curve(uint8_t method)
{
    return method == DT_IKE_AUTH_ECDSA_256   ? DT_KEY_P256
           : method == DT_IKE_AUTH_ECDSA_384 ? DT_KEY_P384
           : method == DT_IKE_AUTH_ECDSA_521 ? DT_KEY_P521
                                             : 0;
}

/* The signature as OpenSSL wants it, and the key that fits the method. */
static int peer_signature(const struct ike_auth_task *t, uint8_t der[DT_SIGNATURE_MAX], struct dt_span *out,
                          struct dt_err *err)
{
    enum dt_key_kind curve = fixed_curve(t->peer_method);
    char key[DT_KEY_STRLEN], method[48];
    *out = ike_bytes_span(&t->signature);
    if (!curve)
        return 0;
    if (dt_sig_key_kind(t->peer.key) != curve)
        return dt_err_set(err, 0, "it signs by %s, and the key of its certificate is %s",
                          dt_ike_auth_method_str(method, t->peer_method), dt_sig_key_str(key, t->peer.key));
    out->len = dt_sig_ecdsa_der(der, DT_SIGNATURE_MAX, curve, *out);
    out->p = der;
    return out->len ? 0
                    : dt_err_set(err, 0, "its signature has not the length of one by %s",
                                 dt_ike_auth_method_str(method, t->peer_method));
}

static int peer_check(struct ike_auth_task *t)
{
    struct dt_span cert[DT_X509_CHAIN_MAX], signature;
    uint8_t der[DT_SIGNATURE_MAX];
    const uint8_t *p = t->certs.p;
    for (size_t i = 0; i < t->ncert; i++, p += t->cert_len[i - 1])
        cert[i] = dt_span(p, t->cert_len[i]);
    const struct dt_x509_question q = {.cert = cert,
                                       .n = t->ncert,
                                       .kind = ike_cert_name_kind(&t->peer_id),
                                       .name = dt_span(t->peer_id.data, t->peer_id.len),
                                       .responder = t->peer_responds,
                                       .now = t->now};
    if (dt_x509_verify(t->trust, &q, &t->peer, &t->err))
        return -1;
    if (!t->signature.p) /* it signed when the session began */
        return 0;
    if (peer_signature(t, der, &signature, &t->err))
        return -1;
    return dt_sig_check(t->peer.key, &t->peer_algorithm, ike_bytes_span(&t->signed_by_peer), signature,
                        &t->err);
}

/* AUTH data: of method 14 with the AlgorithmIdentifier before the signature, of the ECDSA methods r | s. */
static int own_sign(struct ike_auth_task *t)
{
    uint8_t sig[DT_SIGNATURE_MAX];
    size_t len = 0, at = 0;
    const struct dt_sig_key *key = dt_x509_own_key(t->own);
    if (dt_sig_sign(key, &t->own_algorithm, ike_bytes_span(&t->to_sign), sig, &len, &t->own_err))
        return -1;
    enum dt_key_kind curve = fixed_curve(t->own_method);
    if (curve) {
        t->auth_len = dt_sig_ecdsa_raw(t->auth, sizeof(t->auth), curve, dt_span(sig, len));
        return t->auth_len ? 0 : dt_err_set(&t->own_err, 0, "a signature came out wrong");
    }
    if (t->own_method == DT_IKE_AUTH_SIGNATURE) {
        at = 1 + dt_sig_algorithm_write(t->auth + 1, DT_SIG_ALGORITHM_MAX, &t->own_algorithm);
        t->auth[0] = (uint8_t)(at - 1);
    }
    memcpy(t->auth + at, sig, len);
    t->auth_len = at + len;
    return 0;
}

/* Any thread. Nothing is signed for who has not proved who it is. */
void ike_auth_task_run(struct ike_auth_task *t)
{
    t->rc = t->trust ? peer_check(t) : 0;
    t->own_rc = t->rc == 0 && t->own ? own_sign(t) : 0;
}

uint32_t ike_auth_task_work(const struct ike_auth_task *t)
{
    return (t->trust ? IKE_VERIFY_WORK : 0) + (t->own ? dt_sig_key_work(dt_x509_own_key(t->own)) : 0);
}
