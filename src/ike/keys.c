/* Key derivation: RFC 7296 sections 2.13, 2.14, 2.17 and 2.18. */
#include "ike/internal.h"

#include <inttypes.h>
#include <stdio.h>

struct dt_span ike_nonce_span(const struct ike_nonce *n)
{
    return dt_span(n->data, n->len);
}

bool ike_nonce_fits(uint16_t prf, struct dt_span nonce)
{
    return 2 * nonce.len >= dt_prf_len(prf);
}

/* Octet by octet, a shorter one that begins the longer one being lower (2.8.1). */
int ike_nonce_cmp(struct dt_span a, struct dt_span b)
{
    int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return c ? c : a.len < b.len ? -1 : a.len > b.len;
}

struct dt_span ike_nonce_low(struct dt_span a, struct dt_span b)
{
    return ike_nonce_cmp(a, b) <= 0 ? a : b;
}

#define KEYS_MAX (7 * DT_PRF_MAX + DT_KEY_MAX)

static struct dt_span span_take(const uint8_t **p, size_t n)
{
    struct dt_span s = dt_span(*p, n);
    *p += n;
    return s;
}

static const char *wireshark_cipher(const struct dt_suite *s)
{
    if (s->encr == DT_ENCR_AES_GCM_16)
        return s->key_bits == 128 ? "AES-GCM-128 with 16 octet ICV [RFC5282]"
                                  : "AES-GCM-256 with 16 octet ICV [RFC5282]";
    if (s->encr == DT_ENCR_AES_CBC)
        return s->key_bits == 128 ? "AES-CBC-128 [RFC3602]" : "AES-CBC-256 [RFC3602]";
    return NULL;
}

static const char *wireshark_integ(const struct dt_suite *s)
{
    switch (s->integ) {
    case DT_INTEG_HMAC_SHA2_256_128:
        return "HMAC_SHA2_256_128 [RFC4868]";
    case DT_INTEG_HMAC_SHA2_384_192:
        return "HMAC_SHA2_384_192 [RFC4868]";
    case DT_INTEG_HMAC_SHA2_512_256:
        return "HMAC_SHA2_512_256 [RFC4868]";
    default:
        return "NONE [RFC4306]";
    }
}

static void ike_keylog(struct ike_sa *sa, struct dt_span ei, struct dt_span er, struct dt_span ai,
                       struct dt_span ar)
{
    struct dt_ike *ike = sa->session->ike;
    char line[512], h1[2 * DT_KEY_MAX + 1], h2[2 * DT_KEY_MAX + 1], h3[2 * DT_PRF_MAX + 1],
        h4[2 * DT_PRF_MAX + 1];
    if (!ike->ops.keylog)
        return;
    struct dt_ike_header h;
    ike_header(sa, &h, 0, false, 0);
    const char *cipher = wireshark_cipher(&sa->suite);
    /* A cipher that Wireshark cannot decrypt would stop it from reading the file: a comment then. */
    snprintf(line, sizeof(line), "%s%016" PRIx64 ",%016" PRIx64 ",%s,%s,\"%s\",%s,%s,\"%s\"",
             cipher ? "" : "# ", h.spi_i, h.spi_r, dt_hex(h1, ei.p, ei.len), dt_hex(h2, er.p, er.len),
             cipher ? cipher : "ChaCha20-Poly1305", dt_hex(h3, ai.p, ai.len), dt_hex(h4, ar.p, ar.len),
             wireshark_integ(&sa->suite));
    ike->ops.keylog(ike->ctx, line);
    dt_wipe(line, sizeof(line));
    dt_wipe(h1, sizeof(h1));
    dt_wipe(h2, sizeof(h2));
    dt_wipe(h3, sizeof(h3));
    dt_wipe(h4, sizeof(h4));
}

static int expand(struct ike_sa *sa, struct dt_span seed, struct dt_span ni, struct dt_span nr,
                  struct ike_handshake *hs, struct dt_err *err)
{
    const struct dt_crypto *c = sa->session->ike->crypto;
    size_t prf = dt_prf_len(sa->prf), e = dt_suite_key_len(&sa->suite), a = dt_suite_integ_len(&sa->suite);
    uint8_t keys[KEYS_MAX], spis[16];
    struct dt_ike_header h;
    ike_header(sa, &h, 0, false, 0);
    dt_put_be64(spis, h.spi_i);
    dt_put_be64(spis + 8, h.spi_r);
    struct dt_span in[] = {ni, nr, dt_span(spis, 16)};
    size_t len = 3 * prf + 2 * a + 2 * e;
    if (len > sizeof(keys) || dt_prf_plus(c, sa->prf, seed, in, 3, keys, len, err)) {
        dt_wipe(keys, sizeof(keys));
        return -1;
    }
    const uint8_t *p = keys;
    struct dt_span d = span_take(&p, prf), ai = span_take(&p, a), ar = span_take(&p, a),
                   ei = span_take(&p, e), er = span_take(&p, e), pi = span_take(&p, prf),
                   pr = span_take(&p, prf);
    memcpy(sa->sk_d, d.p, prf);
    if (hs) {
        memcpy(hs->sk_pi, pi.p, prf);
        memcpy(hs->sk_pr, pr.p, prf);
    }
    sa->seal = dt_cipher_new(c, &sa->suite, sa->initiator ? ei : er, sa->initiator ? ai : ar, err);
    sa->open = dt_cipher_new(c, &sa->suite, sa->initiator ? er : ei, sa->initiator ? ar : ai, err);
    ike_keylog(sa, ei, er, ai, ar);
    dt_wipe(keys, sizeof(keys));
    return sa->seal && sa->open ? 0 : -1;
}

int ike_keys_derive(struct ike_sa *sa, const struct ike_sa *from, struct dt_span shared, struct dt_span ni,
                    struct dt_span nr, struct ike_handshake *hs, struct dt_err *err)
{
    const struct dt_crypto *c = sa->session->ike->crypto;
    uint8_t seed[DT_PRF_MAX], nonces[2 * DT_IKE_NONCE_MAX];
    size_t seed_len = dt_prf_len(sa->prf);
    int rc;
    if (from) {
        /* SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old PRF. */
        struct dt_span in[] = {shared, ni, nr};
        rc = dt_prf(c, from->prf, dt_span(from->sk_d, dt_prf_len(from->prf)), in, 3, seed, err);
        seed_len = dt_prf_len(from->prf);
    } else {
        memcpy(nonces, ni.p, ni.len);
        memcpy(nonces + ni.len, nr.p, nr.len);
        rc = dt_prf(c, sa->prf, dt_span(nonces, ni.len + nr.len), &shared, 1, seed, err);
    }
    if (!rc)
        rc = expand(sa, dt_span(seed, seed_len), ni, nr, hs, err);
    dt_wipe(seed, sizeof(seed));
    return rc;
}

int ike_keys_child(struct ike_sa *sa, struct dt_span shared, struct dt_span ni, struct dt_span nr,
                   bool initiator, struct dt_child_sa *out, struct dt_err *err)
{
    uint8_t keymat[2 * DT_KEY_MAX];
    size_t n = dt_suite_key_len(&out->suite) + dt_suite_integ_len(&out->suite);
    struct dt_span in[] = {shared, ni, nr};
    if (!n && out->suite.encr != DT_ENCR_NULL)
        return dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN, "cipher %u is not known here", out->suite.encr);
    if (n > DT_KEY_MAX)
        return dt_err_set(err, 0, "keys of %zu bytes are longer than %d", n, DT_KEY_MAX);
    size_t skip = shared.len ? 0 : 1;
    if (n && dt_prf_plus(sa->session->ike->crypto, sa->prf, dt_span(sa->sk_d, dt_prf_len(sa->prf)), in + skip,
                         3 - skip, keymat, 2 * n, err)) {
        dt_wipe(keymat, sizeof(keymat));
        return -1;
    }
    out->initiator = initiator;
    out->key_len = (uint16_t)n;
    memcpy(initiator ? out->key_out : out->key_in, keymat, n);
    memcpy(initiator ? out->key_in : out->key_out, keymat + n, n);
    dt_wipe(keymat, sizeof(keymat));
    return 0;
}
