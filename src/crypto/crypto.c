#include "crypto/provider.h"

#include "base/hash.h"

#define PRF_PLUS_SPANS 8

const struct dt_crypto *dt_crypto_best(void)
{
    const struct dt_crypto *mb = dt_crypto_ipsecmb();
    return mb ? mb : dt_crypto_openssl();
}

const struct dt_crypto *dt_crypto_by_name(const char *name)
{
    if (!strcmp(name, "auto"))
        return dt_crypto_best();
    if (!strcmp(name, "openssl"))
        return dt_crypto_openssl();
    if (!strcmp(name, "ipsecmb"))
        return dt_crypto_ipsecmb();
    if (!strcmp(name, "null"))
        return dt_crypto_null();
    return NULL;
}

/* ---- PRF, hash ---- */

int dt_prf(const struct dt_crypto *c, uint16_t prf, struct dt_span key, const struct dt_span *in, size_t n,
           uint8_t *out, struct dt_err *err)
{
    if (!dt_prf_len(prf))
        return dt_err_set(err, DT_NOTIFY_NO_PROPOSAL_CHOSEN, "PRF %u is not known here", prf);
    return c->prf(prf, key, in, n, out, err);
}

/* T1 = prf (K, S | 0x01), Tn = prf (K, Tn-1 | S | n) */
int dt_prf_plus(const struct dt_crypto *c, uint16_t prf, struct dt_span key, const struct dt_span *in,
                size_t n, uint8_t *out, size_t len, struct dt_err *err)
{
    size_t block = dt_prf_len(prf);
    if (!block)
        return dt_err_set(err, DT_NOTIFY_NO_PROPOSAL_CHOSEN, "PRF %u is not known here", prf);
    if (len > 255 * block || n > PRF_PLUS_SPANS)
        return dt_err_set(err, 0, "prf+ gives at most %zu bytes from %d spans, %zu from %zu were asked for",
                          255 * block, PRF_PLUS_SPANS, len, n);
    uint8_t t[DT_PRF_MAX];
    uint8_t count = 0;
    struct dt_span s[PRF_PLUS_SPANS + 2];
    if (n)
        memcpy(s + 1, in, n * sizeof *in);
    s[n + 1] = dt_span(&count, 1);
    int rc = 0;
    for (size_t done = 0; done < len && !rc;) {
        size_t take = len - done < block ? len - done : block;
        s[0] = dt_span(t, count ? block : 0);
        count++;
        rc = c->prf(prf, key, s, n + 2, t, err);
        if (!rc)
            memcpy(out + done, t, take);
        done += take;
    }
    dt_wipe(t, sizeof t);
    return rc;
}

int dt_hash(const struct dt_crypto *c, enum dt_hash hash, const struct dt_span *in, size_t n, uint8_t *out,
            struct dt_err *err)
{
    if (!dt_hash_len(hash))
        return dt_err_set(err, 0, "hash %d is not known here", (int)hash);
    return c->hash(hash, in, n, out, err);
}

/* ---- key exchange ---- */

struct dt_dh *dt_dh_new(const struct dt_crypto *c, uint16_t group, const struct dt_rand *rand,
                        struct dt_err *err)
{
    if (!dt_ke_public_len(group)) {
        dt_err_set(err, DT_NOTIFY_NO_PROPOSAL_CHOSEN, "key exchange group %u is not known here", group);
        return NULL;
    }
    return c->dh_new(group, rand, err);
}

struct dt_span dt_dh_public(const struct dt_dh *dh)
{
    return dt_span(dh->pub, dt_ke_public_len(dh->group));
}

int dt_dh_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    size_t want = dt_ke_public_len(dh->group);
    if (peer.len != want)
        return dt_err_set(err, DT_NOTIFY_INVALID_SYNTAX,
                          "a public value of %s has %zu bytes, the peer's has %zu", dt_ke_name(dh->group),
                          want, peer.len);
    return dh->ops->shared(dh, peer, out, err);
}

void dt_dh_free(struct dt_dh *dh)
{
    if (dh)
        dh->ops->free(dh);
}

/* ---- ciphers ---- */

void dt_cipher_base(struct dt_cipher *c, const struct dt_cipher_ops *ops, const struct dt_suite *s)
{
    c->ops = ops;
    c->suite = *s;
    c->iv_len = (uint8_t)dt_suite_iv_len(s);
    c->icv_len = (uint8_t)dt_suite_icv_len(s);
    c->block_len = (uint8_t)dt_suite_block_len(s);
    c->aead = dt_suite_aead(s);
}

struct dt_cipher *dt_cipher_new(const struct dt_crypto *c, const struct dt_suite *s, struct dt_span key,
                                struct dt_span integ_key, struct dt_err *err)
{
    char name[DT_SUITE_NAME];
    if (dt_suite_check(s, err))
        return NULL;
    if (key.len != dt_suite_key_len(s) || integ_key.len != dt_suite_integ_len(s)) {
        dt_err_set(err, 0, "%s takes keys of %zu and %zu bytes, %zu and %zu were given",
                   dt_suite_name(s, name), dt_suite_key_len(s), dt_suite_integ_len(s), key.len,
                   integ_key.len);
        return NULL;
    }
    struct dt_cipher *cipher = c->cipher_new(s, key, integ_key, err);
    if (!cipher || cipher->aead)
        return cipher;

    static const char label[] = "dovetail cbc iv";
    struct dt_span in = dt_span(label, sizeof label - 1);
    uint8_t iv_key[32];
    if (c->prf(DT_PRF_HMAC_SHA2_256, key, &in, 1, iv_key, err)) {
        dt_cipher_free(cipher);
        return NULL;
    }
    memcpy(cipher->iv_key, iv_key, sizeof iv_key);
    dt_wipe(iv_key, sizeof iv_key);
    return cipher;
}

void dt_cipher_free(struct dt_cipher *c)
{
    if (!c)
        return;
    dt_wipe(c->iv_key, sizeof c->iv_key);
    c->ops->free(c);
}

void dt_cipher_iv(const struct dt_cipher *c, uint64_t counter, uint8_t *iv)
{
    if (c->aead) {
        dt_put_be64(iv, counter);
        return;
    }
    /* RFC 3602 3: unpredictable, and no two packets' IVs close to each other. Two SipHashes with independent
     * keys are a PRF of 128 bits. */
    struct dt_siphash_key k[2] = {{{c->iv_key[0], c->iv_key[1]}}, {{c->iv_key[2], c->iv_key[3]}}};
    dt_put_be64(iv, dt_siphash(&k[0], &counter, sizeof counter));
    dt_put_be64(iv + 8, dt_siphash(&k[1], &counter, sizeof counter));
    dt_wipe(k, sizeof k);
}

static bool op_fits(const struct dt_cipher *c, const struct dt_cipher_op *op)
{
    if (op->len > DT_CIPHER_TEXT_MAX)
        return false;
    return c->aead ? op->tail_len == 0 : op->len % c->block_len == 0;
}

int dt_cipher_seal(struct dt_cipher *c, struct dt_cipher_op *op)
{
    op->ok = op_fits(c, op) && !c->ops->seal(c, op);
    return op->ok ? 0 : -1;
}

int dt_cipher_open(struct dt_cipher *c, struct dt_cipher_op *op)
{
    op->ok = op_fits(c, op) && !c->ops->open(c, op);
    return op->ok ? 0 : -1;
}

/* Runs of ops that fit go to the provider in one call. */
static size_t batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n,
                    size_t (*run)(struct dt_cipher *, struct dt_cipher_op *, size_t),
                    int (*one)(struct dt_cipher *, struct dt_cipher_op *))
{
    size_t done = 0;
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j < n && op_fits(c, &ops[j]))
            j++;
        if (run && j > i) {
            done += run(c, ops + i, j - i);
        } else {
            for (size_t k = i; k < j; k++)
                done += ops[k].ok = !one(c, &ops[k]);
        }
        if (j < n)
            ops[j++].ok = false;
        i = j;
    }
    return done;
}

size_t dt_cipher_seal_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n)
{
    return batch(c, ops, n, c->ops->seal_batch, c->ops->seal);
}

size_t dt_cipher_open_batch(struct dt_cipher *c, struct dt_cipher_op *ops, size_t n)
{
    return batch(c, ops, n, c->ops->open_batch, c->ops->open);
}
