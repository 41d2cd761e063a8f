/* No secrecy: the simulator's provider. Everything rests on one keyed checksum that is as cheap as a checksum
 * can be; what it keeps of the real thing is lengths, in-place work, and that wrong keys and changed bits are
 * noticed. */
#include <stdlib.h>

#include "crypto/provider.h"

/* ---- a keyed checksum of a stream ---- */

struct sum {
    uint64_t a, b;
    uint64_t word;  /* bytes not yet mixed in, little-endian */
    unsigned bytes; /* how many */
    uint64_t total;
};

static uint64_t rotl(uint64_t v, int n)
{
    return v << n | v >> (64 - n);
}

/* Each step is invertible in its input, so one changed word always changes the state. */
static void mix(struct sum *s, uint64_t w)
{
    s->a = (s->a ^ w) * 0x9e3779b97f4a7c15u;
    s->a ^= s->a >> 29;
    s->b = rotl(s->b, 23) + s->a;
}

static void sum_start(struct sum *s, uint64_t key)
{
    *s = (struct sum){.a = key ^ 0x243f6a8885a308d3u, .b = 0x13198a2e03707344u};
}

static void sum_add(struct sum *s, const void *p, size_t n)
{
    const uint8_t *in = p;
    s->total += n;
    while (n && s->bytes) {
        s->word |= (uint64_t)*in++ << (8 * s->bytes);
        n--;
        if (++s->bytes == 8) {
            mix(s, s->word);
            s->word = s->bytes = 0;
        }
    }
    for (; n >= 8; n -= 8, in += 8) {
        uint64_t w;
        memcpy(&w, in, 8);
        mix(s, w);
    }
    for (; n; n--)
        s->word |= (uint64_t)*in++ << (8 * s->bytes++);
}

static void sum_end(struct sum *s, uint8_t *out, size_t n)
{
    mix(s, s->word);
    mix(s, s->total);
    for (size_t done = 0; done < n; done += 8) {
        mix(s, done);
        uint64_t v = s->a ^ s->b;
        memcpy(out + done, &v, n - done < 8 ? n - done : 8);
    }
}

static void sum_spans(uint64_t salt, struct dt_span key, const struct dt_span *in, size_t n, uint8_t *out,
                      size_t out_len)
{
    struct sum s;
    sum_start(&s, salt);
    mix(&s, key.len);
    sum_add(&s, key.p, key.len);
    for (size_t i = 0; i < n; i++)
        sum_add(&s, in[i].p, in[i].len);
    sum_end(&s, out, out_len);
}

static int null_prf(uint16_t prf, struct dt_span key, const struct dt_span *in, size_t n, uint8_t *out,
                    struct dt_err *err)
{
    sum_spans(prf, key, in, n, out, dt_prf_len(prf));
    return 0;
}

static int null_hash(enum dt_hash hash, const struct dt_span *in, size_t n, uint8_t *out, struct dt_err *err)
{
    sum_spans(0x100u + hash, dt_span(NULL, 0), in, n, out, dt_hash_len(hash));
    return 0;
}

/* ---- key exchange: powers of 3 modulo 2^61 - 1, in the first 8 bytes of the group's length ---- */

#define P ((UINT64_C(1) << 61) - 1)

struct null_dh {
    struct dt_dh base;
    uint64_t secret;
};

static uint64_t power(uint64_t g, uint64_t e)
{
    uint64_t r = 1;
    for (; e; e >>= 1) {
        if (e & 1)
            r = (uint64_t)((unsigned __int128)r * g % P);
        g = (uint64_t)((unsigned __int128)g * g % P);
    }
    return r;
}

static int null_shared(struct dt_dh *dh, struct dt_span peer, uint8_t *out, struct dt_err *err)
{
    struct null_dh *d = (struct null_dh *)dh;
    uint64_t y = dt_get_be64(peer.p);
    bool fits = y > 1 && y < P - 1;
    for (size_t i = 8; i < peer.len && fits; i++)
        fits = peer.p[i] == 0;
    if (!fits)
        return dt_err_set(err, DT_NOTIFY_INVALID_SYNTAX,
                          "the peer's toy value of %s is refused: out of range", dt_ke_name(dh->group));
    uint64_t s = power(y, d->secret);
    sum_spans(dh->group, dt_span(&s, sizeof s), NULL, 0, out, dt_ke_shared_len(dh->group));
    return 0;
}

static void null_dh_free(struct dt_dh *dh)
{
    free(dh);
}

static struct dt_dh *null_dh_new(uint16_t group, const struct dt_rand *rand, struct dt_err *err)
{
    static const struct dt_dh_ops ops = {.shared = null_shared, .free = null_dh_free};
    struct null_dh *d = calloc(1, sizeof *d);
    if (!d) {
        dt_err_set(err, 0, "no memory for a key exchange");
        return NULL;
    }
    d->base.ops = &ops;
    d->base.group = group;
    uint64_t y;
    do {
        dt_rand_fill(rand, &d->secret, sizeof d->secret);
        y = power(3, d->secret);
    } while (y <= 1 || y >= P - 1);
    dt_put_be64(d->base.pub, y);
    return &d->base;
}

/* ---- cipher: the text stays as it is, the ICV is a checksum under the keys ---- */

struct null_cipher {
    struct dt_cipher base;
    uint64_t key;
};

static void null_icv(const struct null_cipher *c, const struct dt_cipher_op *op, uint8_t *icv)
{
    struct sum s;
    uint64_t lens = (uint64_t)op->aad_len << 32 | op->len;
    sum_start(&s, c->key);
    mix(&s, lens);
    sum_add(&s, op->iv, c->base.iv_len);
    sum_add(&s, op->aad, op->aad_len);
    sum_add(&s, op->text, op->len);
    sum_add(&s, op->tail, op->tail_len);
    sum_end(&s, icv, c->base.icv_len);
}

static int null_seal(struct dt_cipher *c, struct dt_cipher_op *op)
{
    null_icv((struct null_cipher *)c, op, op->icv);
    return 0;
}

static int null_open(struct dt_cipher *c, struct dt_cipher_op *op)
{
    uint8_t icv[DT_ICV_MAX];
    null_icv((struct null_cipher *)c, op, icv);
    return memcmp(icv, op->icv, c->icv_len) ? -1 : 0;
}

static void null_free(struct dt_cipher *c)
{
    free(c);
}

static struct dt_cipher *null_cipher_new(const struct dt_suite *s, struct dt_span key,
                                         struct dt_span integ_key, struct dt_err *err)
{
    static const struct dt_cipher_ops ops = {.seal = null_seal, .open = null_open, .free = null_free};
    struct null_cipher *c = calloc(1, sizeof *c);
    if (!c) {
        dt_err_set(err, 0, "no memory for a cipher");
        return NULL;
    }
    dt_cipher_base(&c->base, &ops, s);
    uint8_t folded[8];
    sum_spans((uint64_t)s->encr << 32 | (uint64_t)s->key_bits << 16 | s->integ, key, &integ_key, 1, folded,
              8);
    memcpy(&c->key, folded, 8);
    return &c->base;
}

const struct dt_crypto *dt_crypto_null(void)
{
    static const struct dt_crypto null = {
        .name = "null",
        .prf = null_prf,
        .hash = null_hash,
        .dh_new = null_dh_new,
        .cipher_new = null_cipher_new,
    };
    return &null;
}
