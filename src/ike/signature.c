/* Proof by signature (RFC 7296 section 2.15, RFC 4754, RFC 7427): what is signed and by which method, and who may prove itself
 * how. The work itself is a task (auth_task.c). */
#include "ike/auth_task.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what is signed ---- */

int ike_auth_octets(struct ike_sa *sa, bool initiator, uint8_t maced[DT_PRF_MAX], struct dt_span octets[3],
                    struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct ike_handshake *hs = s->hs;
    bool ours = initiator == sa->initiator;
    uint8_t own_id[4 + DT_IKE_ID_MAX] = {s->local_id.type};
    size_t prf = dt_prf_len(sa->prf);
    memcpy(own_id + 4, s->local_id.data, s->local_id.len);
    /* IDi' and IDr' are the payloads' bodies as they were sent: whatever the peer wrote into RESERVED counts. */
    struct dt_span body =
        ours ? dt_span(own_id, 4u + s->local_id.len) : dt_span(hs->peer_id, hs->peer_id_len);
    octets[0] = ike_bytes_span(ours ? &hs->sent : &hs->got);
    octets[1] = ours ? ike_nonce_span(&hs->peer_nonce) : dt_span(hs->nonce, hs->nonce_len);
    octets[2] = dt_span(maced, prf);
    return dt_prf(s->ike->crypto, sa->prf, dt_span(initiator ? hs->sk_pi : hs->sk_pr, prf), &body, 1, maced,
                  err);
}

/* The same in one piece. */
static int octets_keep(struct ike_sa *sa, bool initiator, struct ike_bytes *out, struct dt_err *err)
{
    uint8_t maced[DT_PRF_MAX];
    struct dt_span o[3];
    if (ike_auth_octets(sa, initiator, maced, o, err))
        return -1;
    if (ike_bytes_new(out, o[0].len + o[1].len + o[2].len))
        return dt_err_set(err, 0, "no memory");
    uint8_t *p = out->p;
    for (size_t i = 0; i < 3; i++) {
        memcpy(p, o[i].p, o[i].len);
        p += o[i].len;
    }
    dt_wipe(maced, sizeof(maced));
    return 0;
}

/* ---- by which method ---- */

static bool takes(uint16_t hashes, unsigned hash)
{
    return hashes & 1u << hash;
}

static enum dt_hash hash_choose(enum dt_key_kind kind, uint16_t hashes)
{
    static const enum dt_hash order[] = {DT_HASH_SHA2_256, DT_HASH_SHA2_384, DT_HASH_SHA2_512};
    enum dt_hash best = kind == DT_KEY_P384   ? DT_HASH_SHA2_384
                        : kind == DT_KEY_P521 ? DT_HASH_SHA2_512
                                              : DT_HASH_SHA2_256;
    if (takes(hashes, best))
        return best;
    for (size_t i = 0; i < DT_ARRAY_LEN(order); i++)
        if (takes(hashes, order[i]))
            return order[i];
    return 0;
}

/* RFC 7427: what the peer has announced. */
static bool method_new(const struct dt_sig_key *k, uint16_t hashes, struct ike_auth_task *t)
{
    enum dt_key_kind kind = dt_sig_key_kind(k);
    enum dt_hash hash = kind == DT_KEY_ED25519 ? 0 : hash_choose(kind, hashes);
    if (kind == DT_KEY_ED25519 ? !takes(hashes, DT_SIGNATURE_HASH_IDENTITY) : !hash)
        return false;
    t->own_method = DT_IKE_AUTH_SIGNATURE;
    t->own_algorithm =
        (struct dt_sig_algorithm){.scheme = kind == DT_KEY_ED25519 ? DT_SIG_ED25519
                                            : kind == DT_KEY_RSA   ? DT_SIG_RSA_PSS
                                                                   : DT_SIG_ECDSA,
                                  .hash = hash,
                                  .salt = kind == DT_KEY_RSA ? (uint16_t)dt_hash_len(hash) : 0};
    return true;
}

/* RFC 4754, and with the setting that is named for it RSA with SHA-1. */
static bool method_old(const struct dt_sig_key *k, bool rsa_sha1, struct ike_auth_task *t)
{
    static const struct {
        uint8_t method;
        struct dt_sig_algorithm a;
    } old[] = {[DT_KEY_RSA] = {DT_IKE_AUTH_RSA, {DT_SIG_RSA_PKCS1, DT_HASH_SHA1, 0}},
               [DT_KEY_P256] = {DT_IKE_AUTH_ECDSA_256, {DT_SIG_ECDSA, DT_HASH_SHA2_256, 0}},
               [DT_KEY_P384] = {DT_IKE_AUTH_ECDSA_384, {DT_SIG_ECDSA, DT_HASH_SHA2_384, 0}},
               [DT_KEY_P521] = {DT_IKE_AUTH_ECDSA_521, {DT_SIG_ECDSA, DT_HASH_SHA2_512, 0}},
               [DT_KEY_ED25519] = {0, {0, 0, 0}}};
    enum dt_key_kind kind = dt_sig_key_kind(k);
    if (!old[kind].method || (kind == DT_KEY_RSA && !rsa_sha1))
        return false;
    t->own_method = old[kind].method;
    t->own_algorithm = old[kind].a;
    return true;
}

static int method_choose(struct dt_ike_session *s, struct ike_auth_task *t, bool rsa_sha1, struct dt_err *err)
{
    const struct dt_sig_key *k = dt_x509_own_key(t->own);
    char key[DT_KEY_STRLEN];
    uint16_t hashes = s->hs->peer_hashes;
    if (method_new(k, hashes, t) || method_old(k, rsa_sha1, t))
        return 0;
    return dt_err_set(
        err, DT_N_AUTHENTICATION_FAILED,
        "our certificate's key is %s, and the peer %s: no signature of ours is one that it takes%s",
        dt_sig_key_str(key, k),
        hashes ? "announces other hashes (SIGNATURE_HASH_ALGORITHMS)"
               : "does not know RFC 7427 (it sent no SIGNATURE_HASH_ALGORITHMS)",
        !hashes && dt_sig_key_kind(k) == DT_KEY_RSA
            ? "; an ECDSA certificate would be right, or rsa_sha1 = yes, which is weak"
            : "");
}

/* ---- who may prove itself how ---- */

struct dt_ike_may ike_auth_may(struct dt_ike_session *s)
{
    struct dt_ike_may may = {.psk = !s->initiator || !s->cfg->proofs.trust,
                             .certificate = s->cfg->proofs.trust != NULL,
                             .rsa_sha1 = s->cfg->proofs.rsa_sha1};
    if (s->ike->ops.may_prove)
        s->ike->ops.may_prove(s->ike->ctx, s, &s->remote_id, &may);
    may.certificate = may.certificate && s->cfg->proofs.trust;
    return may;
}

static int method_refused(struct dt_ike_session *s, uint8_t method, const struct dt_ike_may *may,
                          struct dt_err *err)
{
    char who[DT_IKE_ID_STRLEN], m[48];
    return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "%.100s proves itself by %s; here it may by %s%s%s",
                      dt_ike_id_str(who, &s->remote_id), dt_ike_auth_method_str(m, method),
                      may->psk ? "pre-shared key (method 2)" : "", may->psk && may->certificate ? " or " : "",
                      may->certificate ? "certificate"
                      : may->psk       ? ""
                                       : "nothing");
}

/* The peer's method, and its signature without what stands before it. */
static int peer_proof_read(struct dt_ike_session *s, const struct dt_ike_auth *auth,
                           const struct dt_ike_may *may, struct ike_auth_task *t, struct dt_err *err)
{
    struct dt_span sig = auth->data;
    struct dt_err why = {0};
    char who[DT_IKE_ID_STRLEN];
    t->peer_method = auth->method;
    switch (auth->method) {
    case DT_IKE_AUTH_SIGNATURE:
        if (sig.len < 1 || sig.len - 1 <= sig.p[0])
            return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "the AUTH payload of %.100s is malformed",
                              dt_ike_id_str(who, &s->remote_id));
        if (dt_sig_algorithm_read(&t->peer_algorithm, dt_span(sig.p + 1, sig.p[0]), &why))
            return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "%.100s: %s",
                              dt_ike_id_str(who, &s->remote_id), why.text);
        sig = dt_span(sig.p + 1 + sig.p[0], sig.len - 1 - sig.p[0]);
        break;
    case DT_IKE_AUTH_ECDSA_256:
        t->peer_algorithm = (struct dt_sig_algorithm){DT_SIG_ECDSA, DT_HASH_SHA2_256, 0};
        break;
    case DT_IKE_AUTH_ECDSA_384:
        t->peer_algorithm = (struct dt_sig_algorithm){DT_SIG_ECDSA, DT_HASH_SHA2_384, 0};
        break;
    case DT_IKE_AUTH_ECDSA_521:
        t->peer_algorithm = (struct dt_sig_algorithm){DT_SIG_ECDSA, DT_HASH_SHA2_512, 0};
        break;
    default: /* DT_IKE_AUTH_RSA */
        if (!may->rsa_sha1)
            return dt_err_set(
                err, DT_N_AUTHENTICATION_FAILED,
                "%.100s signs with RSA and SHA-1 (method 1), which is not taken; RFC 7427's method 14 with "
                "SHA-2, or an ECDSA certificate, would be right (or rsa_sha1 = yes for this peer, which is "
                "weak)",
                dt_ike_id_str(who, &s->remote_id));
        t->peer_algorithm = (struct dt_sig_algorithm){DT_SIG_RSA_PKCS1, DT_HASH_SHA1, 0};
    }
    if (sig.len > DT_SIGNATURE_MAX)
        return dt_err_set(err, DT_N_AUTHENTICATION_FAILED,
                          "a signature of %zu octets came; at most %d are looked at", sig.len,
                          DT_SIGNATURE_MAX);
    return ike_bytes_set(&t->signature, sig.p, sig.len) ? dt_err_set(err, 0, "no memory") : 0;
}

static bool is_signature(uint8_t method)
{
    return method == DT_IKE_AUTH_RSA || method == DT_IKE_AUTH_SIGNATURE ||
           (method >= DT_IKE_AUTH_ECDSA_256 && method <= DT_IKE_AUTH_ECDSA_521);
}

/* What has to be known to judge the peer's signature. */
static int ask_about_peer(struct ike_sa *sa, const struct dt_ike_payloads *in, const struct dt_ike_auth *auth,
                          const struct dt_ike_may *may, struct ike_auth_task *t, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    char who[DT_IKE_ID_STRLEN];
    struct dt_err why = {0};
    dt_ike_id_str(who, &s->remote_id);
    if (!s->ike->ops.wall)
        return dt_err_set(err, 0, "there is no clock here to judge a certificate by");
    if (!ike_cert_name_kind(&s->remote_id))
        return dt_err_set(
            err, DT_N_AUTHENTICATION_FAILED,
            "%.100s signs, and no certificate proves an identity of that kind; a name, an e-mail address, "
            "an address or a distinguished name would be right",
            who);
    if (peer_proof_read(s, auth, may, t, err))
        return -1;
    if (ike_cert_read(t, in, &why))
        return dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "%.100s: %s", who, why.text);
    t->peer_id = s->remote_id;
    t->peer_responds = s->initiator;
    t->now = s->ike->ops.wall(s->ike->ctx);
    t->trust = dt_x509_trust_ref(s->cfg->proofs.trust);
    return octets_keep(sa, !sa->initiator, &t->signed_by_peer, err);
}

static int ask_for_own(struct ike_sa *sa, bool rsa_sha1, struct ike_auth_task *t, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    t->own = dt_x509_own_ref(s->cfg->proofs.own);
    return method_choose(s, t, rsa_sha1, err) || octets_keep(sa, sa->initiator, &t->to_sign, err) ? -1 : 0;
}

/* ---- the two sides of IKE_AUTH ---- */

/* Takes the task. hs->task is its answer then, or it is a job (AUTH_LATER). */
static enum ike_auth_verdict task_ready(struct ike_sa *sa, const struct ike_msg *m, struct ike_auth_task *t,
                                        ike_work_again *again, struct dt_err *err)
{
    struct ike_handshake *hs = sa->session->hs;
    if (hs->task && ike_auth_task_same(hs->task, t)) {
        ike_auth_task_free(t);
        return AUTH_GOOD;
    }
    ike_auth_task_free(hs->task);
    hs->task = NULL;
    if (!ike_door_auth(sa->session, ike_auth_task_work(t))) {
        ike_auth_task_free(t);
        return AUTH_LATER; /* the peer will ask again */
    }
    if (ike_work_task(sa, m, t, again))
        return AUTH_LATER;
    ike_auth_task_run(t);
    hs->task = t;
    return AUTH_GOOD;
}

static enum ike_auth_verdict refuse(struct ike_auth_task *t)
{
    ike_auth_task_free(t);
    return AUTH_BAD;
}

/* What came of the peer's proof, with the peer's name before it. */
static enum ike_auth_verdict proof_judge(struct dt_ike_session *s, struct dt_err *err)
{
    const struct ike_auth_task *t = s->hs->task;
    char who[DT_IKE_ID_STRLEN];
    if (t->rc)
        dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "%.100s: %s", dt_ike_id_str(who, &s->remote_id),
                   t->err.text);
    else if (t->own_rc)
        dt_err_set(err, DT_N_AUTHENTICATION_FAILED, "we cannot sign: %s", t->own_err.text);
    return t->rc || t->own_rc ? AUTH_BAD : AUTH_GOOD;
}

enum ike_auth_verdict ike_auth_peer(struct ike_sa *sa, const struct ike_msg *m, ike_work_again *again,
                                    struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike_auth auth;
    const struct dt_ike_payload *p = dt_ike_find(&m->inner, DT_P_AUTH);
    if (!p || dt_ike_auth_read(&auth, p->body)) {
        dt_err_set(err, s->initiator ? DT_N_AUTHENTICATION_FAILED : DT_N_INVALID_SYNTAX,
                   "the peer's AUTH payload is missing or malformed");
        return AUTH_BAD;
    }
    struct dt_ike_may may = ike_auth_may(s);
    bool psk = auth.method == DT_IKE_AUTH_PSK && may.psk,
         by_signature = is_signature(auth.method) && may.certificate;
    if (!psk && !by_signature) {
        method_refused(s, auth.method, &may, err);
        return AUTH_BAD;
    }
    s->hs->peer_method = auth.method;
    if (psk && ike_auth_psk.verify(sa, !sa->initiator, auth.data, err))
        return AUTH_BAD;
    bool sign = !s->initiator && ike_auth_signs(s);
    if (psk && !sign)
        return AUTH_GOOD;
    struct ike_auth_task *t = ike_auth_task_new();
    if (!t) {
        dt_err_set(err, 0, "no memory");
        return AUTH_BAD;
    }
    if ((by_signature && ask_about_peer(sa, &m->inner, &auth, &may, t, err)) ||
        (sign && ask_for_own(sa, may.rsa_sha1, t, err)))
        return refuse(t);
    enum ike_auth_verdict v = task_ready(sa, m, t, again, err);
    return v == AUTH_GOOD ? proof_judge(s, err) : v;
}

bool ike_auth_signs(const struct dt_ike_session *s)
{
    return s->cfg->proofs.own &&
           (s->initiator || s->cfg->proofs.own_always || s->hs->peer_method != DT_IKE_AUTH_PSK);
}

enum ike_auth_verdict ike_auth_own(struct ike_sa *sa, ike_work_again *again, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    if (!ike_auth_signs(s))
        return AUTH_GOOD;
    struct ike_auth_task *t = ike_auth_task_new();
    if (!t) {
        dt_err_set(err, 0, "no memory");
        return AUTH_BAD;
    }
    if (ask_for_own(sa, s->cfg->proofs.rsa_sha1, t, err))
        return refuse(t);
    enum ike_auth_verdict v = task_ready(sa, NULL, t, again, err);
    return v == AUTH_GOOD ? proof_judge(s, err) : v;
}

int ike_auth_write(struct ike_sa *sa, struct dt_ike_builder *b, struct dt_err *err)
{
    struct dt_ike_session *s = sa->session;
    const struct ike_auth_task *t = s->hs->task;
    uint8_t auth[DT_PRF_MAX];
    size_t len;
    if (ike_auth_signs(s)) {
        if (!t || !t->auth_len)
            return dt_err_set(err, 0, "our signature was not made");
        s->own_method = t->own_method;
        dt_ike_auth_write(b, t->own_method, dt_span(t->auth, t->auth_len));
        return 0;
    }
    if (ike_auth_psk.sign(sa, sa->initiator, auth, &len, err))
        return -1;
    s->own_method = ike_auth_psk.method;
    dt_ike_auth_write(b, ike_auth_psk.method, dt_span(auth, len));
    dt_wipe(auth, sizeof(auth));
    return 0;
}

/* What we show, for whoever reads why a peer did not take it. */
const char *ike_auth_shown(const struct dt_ike_session *s, char *buf, size_t cap)
{
    bool signs = s->own_method ? s->own_method != DT_IKE_AUTH_PSK : s->hs && ike_auth_signs(s);
    if (signs && s->cfg && s->cfg->proofs.own)
        snprintf(buf, cap, "we showed the certificate %.250s", dt_x509_own_str(s->cfg->proofs.own));
    else
        snprintf(buf, cap, "we showed the pre-shared key that is configured here");
    return buf;
}

void ike_auth_remember(struct dt_ike_session *s)
{
    struct ike_auth_task *t = s->hs->task;
    s->peer_method = s->hs->peer_method;
    if (!t || !t->trust || t->rc)
        return;
    struct dt_ike_peer_cert *c = calloc(1, sizeof(*c));
    if (!c)
        return;
    memcpy(c->who, t->peer.who, sizeof(c->who));
    c->until = t->peer.until;
    c->ncert = t->ncert;
    memcpy(c->cert_len, t->cert_len, sizeof(c->cert_len));
    c->certs = t->certs;
    t->certs = (struct ike_bytes){0};
    s->peer_cert = c;
}
