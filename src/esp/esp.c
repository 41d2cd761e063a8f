#include "esp/esp.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "esp/window.h"
#include "wire/esp.h"

#define SEQ_MAX32 UINT64_C(0xffffffff)

/* Counters that several threads add to and anybody reads. */
struct tally {
    atomic_uint_fast64_t packets, bytes, last;
    atomic_uint_fast64_t errors[DT_ESP_VERDICTS];
};

struct dt_esp_out {
    struct dt_cipher *cipher;
    uint32_t spi;
    bool esn;
    enum dt_esp_mode mode;
    uint8_t align; /* payload, padding and the two trailer bytes are a multiple of this */
    uint8_t head;
    uint64_t soft, hard, soft_bytes;
    atomic_uint_fast64_t seq; /* the last one that was given out */
    atomic_uint_fast64_t sealed_bytes;
    struct tally tally;
};

struct dt_esp_in {
    struct dt_cipher *cipher;
    uint32_t spi;
    bool esn;
    enum dt_esp_mode mode;
    atomic_bool heard;
    atomic_flag lock; /* of the window */
    struct dt_window window;
    struct tally tally;
};

const char *dt_esp_verdict_name(enum dt_esp_verdict v)
{
    static const char *const name[DT_ESP_VERDICTS] = {"ok",     "dummy", "short", "align",       "spi",
                                                      "replay", "auth",  "pad",   "next_header", "exhausted"};
    return (unsigned)v < DT_ESP_VERDICTS ? name[v] : "?";
}

static void tally_add(struct tally *t, dt_time now, uint64_t packets, uint64_t bytes)
{
    if (packets == 0)
        return;
    atomic_fetch_add_explicit(&t->packets, packets, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&t->last, now, memory_order_relaxed);
}

static void tally_error(struct tally *t, enum dt_esp_verdict v)
{
    atomic_fetch_add_explicit(&t->errors[v], 1, memory_order_relaxed);
}

static void tally_read(const struct tally *t, struct dt_esp_counters *out)
{
    out->packets = atomic_load_explicit(&t->packets, memory_order_relaxed);
    out->bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed);
    out->last = atomic_load_explicit(&t->last, memory_order_relaxed);
    for (int i = 0; i < DT_ESP_VERDICTS; i++)
        out->errors[i] = atomic_load_explicit(&t->errors[i], memory_order_relaxed);
}

static struct dt_cipher *open_cipher(const struct dt_crypto *c, const struct dt_esp_params *p,
                                     struct dt_err *err)
{
    if (p->spi < DT_ESP_SPI_MIN) {
        dt_err_set(err, 0, "SPI %u is reserved: an SA's is at least %d", p->spi, DT_ESP_SPI_MIN);
        return NULL;
    }
    return dt_cipher_new(c, &p->suite, p->key, p->integ_key, err);
}

/* ---- outbound -------------------------------------------------------------------------------- */

struct dt_esp_out *dt_esp_out_new(const struct dt_crypto *c, const struct dt_esp_params *p,
                                  struct dt_err *err)
{
    struct dt_cipher *cipher = open_cipher(c, p, err);
    struct dt_esp_out *sa = cipher ? calloc(1, sizeof *sa) : NULL;
    if (!sa) {
        if (cipher)
            dt_err_set(err, 0, "out of memory for an SA");
        dt_cipher_free(cipher);
        return NULL;
    }
    uint64_t space = p->esn ? UINT64_MAX - DT_ESP_BATCH : SEQ_MAX32;
    sa->cipher = cipher;
    sa->spi = p->spi;
    sa->esn = p->esn;
    sa->mode = p->mode;
    sa->align = cipher->block_len > 4 ? cipher->block_len : 4;
    sa->head = (uint8_t)(DT_ESP_HDR_LEN + cipher->iv_len);
    sa->hard = p->hard_packets && p->hard_packets < space ? p->hard_packets : space;
    sa->soft = p->soft_packets ? p->soft_packets : sa->hard - sa->hard / 16;
    sa->soft_bytes = p->soft_bytes;
    atomic_init(&sa->seq, p->seq_start);
    return sa;
}

void dt_esp_out_free(struct dt_esp_out *sa)
{
    if (!sa)
        return;
    dt_cipher_free(sa->cipher);
    free(sa);
}

uint32_t dt_esp_out_spi(const struct dt_esp_out *sa)
{
    return sa->spi;
}

enum dt_esp_mode dt_esp_out_mode(const struct dt_esp_out *sa)
{
    return sa->mode;
}

void dt_esp_out_counters(const struct dt_esp_out *sa, struct dt_esp_counters *out)
{
    tally_read(&sa->tally, out);
}

size_t dt_esp_head_len(const struct dt_esp_out *sa)
{
    return sa->head;
}

static size_t padded(const struct dt_esp_out *sa, size_t payload)
{
    return (payload + DT_ESP_TRAILER_LEN + sa->align - 1) & ~(size_t)(sa->align - 1);
}

size_t dt_esp_sealed_len(const struct dt_esp_out *sa, size_t payload)
{
    return sa->head + padded(sa, payload) + sa->cipher->icv_len;
}

size_t dt_esp_payload_max(const struct dt_esp_out *sa, size_t room)
{
    size_t fixed = (size_t)sa->head + sa->cipher->icv_len;
    if (room < fixed + sa->align)
        return 0;
    return ((room - fixed) & ~(size_t)(sa->align - 1)) - DT_ESP_TRAILER_LEN;
}

/* Padding 1, 2, 3, ..., its length, the next header (RFC 4303 2.4 to 2.6). */
static void put_trailer(uint8_t *end, size_t pad, uint8_t next)
{
    for (size_t i = 0; i < pad; i++)
        end[i] = (uint8_t)(i + 1);
    end[pad] = (uint8_t)pad;
    end[pad + 1] = next;
}

/* What is authenticated beside the ciphertext: struct dt_cipher_op says which halves stand where. aad: 12
 * bytes. */
static void set_aad(struct dt_cipher_op *op, uint8_t *aad, const struct dt_cipher *cipher, bool esn,
                    uint32_t spi, uint64_t seq)
{
    dt_put_be32(aad, spi);
    op->aad = aad;
    op->aad_len = 8;
    op->tail = NULL;
    op->tail_len = 0;
    if (esn && cipher->aead) {
        dt_put_be64(aad + 4, seq);
        op->aad_len = 12;
    } else {
        dt_put_be32(aad + 4, (uint32_t)seq);
        if (esn) {
            dt_put_be32(aad + 8, (uint32_t)(seq >> 32));
            op->tail = aad + 8;
            op->tail_len = 4;
        }
    }
}

/* Lays one packet out round its payload and fills the cipher's order. */
static void packet_lay_out(struct dt_esp_out *sa, struct dt_esp_pkt *k, struct dt_cipher_op *op, uint8_t *aad)
{
    uint8_t *text = k->p;
    size_t len = padded(sa, k->len);

    put_trailer(text + k->len, len - DT_ESP_TRAILER_LEN - k->len, k->next);
    k->p = text - sa->head;
    k->len = (uint32_t)(sa->head + len + sa->cipher->icv_len);
    dt_put_be32(k->p, sa->spi);
    dt_put_be32(k->p + 4, (uint32_t)k->seq);
    dt_cipher_iv(sa->cipher, k->seq, k->p + DT_ESP_HDR_LEN);
    op->iv = k->p + DT_ESP_HDR_LEN;
    op->text = text;
    op->len = (uint32_t)len;
    op->icv = text + len;
    set_aad(op, aad, sa->cipher, sa->esn, sa->spi, k->seq);
}

unsigned dt_esp_seal(struct dt_esp_out *sa, dt_time now, struct dt_esp_pkt *pkts, size_t n)
{
    struct dt_cipher_op op[DT_ESP_BATCH];
    uint8_t aad[DT_ESP_BATCH][12];
    uint64_t first, bytes = 0;
    size_t fit = n;
    unsigned notes = 0;

    if (n == 0 || n > DT_ESP_BATCH)
        return 0;
    first = atomic_fetch_add_explicit(&sa->seq, n, memory_order_relaxed) + 1;
    if (first > sa->hard || n > sa->hard - first + 1) {
        fit = first > sa->hard ? 0 : (size_t)(sa->hard - first + 1);
        notes |= DT_ESP_NOTE_HARD;
        atomic_store_explicit(&sa->seq, sa->hard, memory_order_relaxed); /* never wraps */
    }
    if (first <= sa->soft && first + n > sa->soft)
        notes |= DT_ESP_NOTE_SOFT;

    size_t m = 0;
    uint8_t from[DT_ESP_BATCH];
    for (size_t i = 0; i < n; i++) {
        struct dt_esp_pkt *k = &pkts[i];
        k->verdict = i >= fit ? DT_ESP_EXHAUSTED : k->len > DT_CIPHER_TEXT_MAX / 2 ? DT_ESP_SHORT : DT_ESP_OK;
        if (k->verdict != DT_ESP_OK) {
            tally_error(&sa->tally, k->verdict);
            continue;
        }
        k->seq = first + i;
        bytes += k->len;
        packet_lay_out(sa, k, &op[m], aad[m]);
        from[m++] = (uint8_t)i;
    }
    size_t done = dt_cipher_seal_batch(sa->cipher, op, m);
    for (size_t i = 0; done < m && i < m; i++)
        if (!op[i].ok) {
            pkts[from[i]].verdict = DT_ESP_SHORT;
            tally_error(&sa->tally, DT_ESP_SHORT);
        }
    uint64_t before = atomic_fetch_add_explicit(&sa->sealed_bytes, bytes, memory_order_relaxed);
    if (sa->soft_bytes && before < sa->soft_bytes && before + bytes >= sa->soft_bytes)
        notes |= DT_ESP_NOTE_SOFT;
    tally_add(&sa->tally, now, done, bytes);
    return notes;
}

/* ---- inbound --------------------------------------------------------------------------------- */

struct dt_esp_in *dt_esp_in_new(const struct dt_crypto *c, const struct dt_esp_params *p, struct dt_err *err)
{
    uint32_t size = p->window ? (p->window + 63) & ~63u : DT_ESP_WINDOW_DEFAULT;
    if (p->window > DT_ESP_WINDOW_MAX || size < 64) {
        dt_err_set(err, 0, "a replay window of %u packets: at most %d", p->window, DT_ESP_WINDOW_MAX);
        return NULL;
    }
    struct dt_cipher *cipher = open_cipher(c, p, err);
    struct dt_esp_in *sa = cipher ? calloc(1, sizeof *sa) : NULL;
    if (!sa || dt_window_init(&sa->window, size) < 0) {
        if (cipher)
            dt_err_set(err, 0, "out of memory for an SA");
        dt_cipher_free(cipher);
        free(sa);
        return NULL;
    }
    sa->cipher = cipher;
    sa->spi = p->spi;
    sa->esn = p->esn;
    sa->mode = p->mode;
    sa->window.top = p->seq_start;
    atomic_flag_clear(&sa->lock);
    return sa;
}

void dt_esp_in_free(struct dt_esp_in *sa)
{
    if (!sa)
        return;
    dt_cipher_free(sa->cipher);
    dt_window_free(&sa->window);
    free(sa);
}

uint32_t dt_esp_in_spi(const struct dt_esp_in *sa)
{
    return sa->spi;
}

enum dt_esp_mode dt_esp_in_mode(const struct dt_esp_in *sa)
{
    return sa->mode;
}

void dt_esp_in_digest(const struct dt_esp_in *sa, struct dt_digest *d)
{
    dt_window_digest(&sa->window, d);
}

void dt_esp_in_counters(const struct dt_esp_in *sa, struct dt_esp_counters *out)
{
    tally_read(&sa->tally, out);
}

static void prefetch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch((const char *)p + i, 1);
}

void dt_esp_out_prefetch(const struct dt_esp_out *sa, bool deep)
{
    if (deep)
        prefetch(sa->cipher, 128);
    else
        prefetch(sa, offsetof(struct dt_esp_out, tally.errors));
}

void dt_esp_in_prefetch(const struct dt_esp_in *sa, bool deep)
{
    if (deep) {
        prefetch(sa->cipher, 128);
        prefetch(&sa->window.block[(sa->window.top + 1) / 64 & sa->window.mask], 8);
    } else {
        prefetch(sa, offsetof(struct dt_esp_in, tally.errors));
    }
}

static void lock(struct dt_esp_in *sa)
{
    while (atomic_flag_test_and_set_explicit(&sa->lock, memory_order_acquire))
#if defined(__x86_64__)
        __builtin_ia32_pause();
#else
        ;
#endif
}

static void unlock(struct dt_esp_in *sa)
{
    atomic_flag_clear_explicit(&sa->lock, memory_order_release);
}

/* Lengths and SPI, before anything costs. */
static enum dt_esp_verdict check_shape(const struct dt_esp_in *sa, const struct dt_esp_pkt *k)
{
    size_t fixed = (size_t)DT_ESP_HDR_LEN + sa->cipher->iv_len + sa->cipher->icv_len;
    if (k->len < fixed + DT_ESP_TRAILER_LEN || k->len - fixed > DT_CIPHER_TEXT_MAX)
        return DT_ESP_SHORT;
    size_t text = k->len - fixed;
    if (text % sa->cipher->block_len || text % 4)
        return DT_ESP_ALIGN;
    return dt_get_be32(k->p) == sa->spi ? DT_ESP_OK : DT_ESP_SPI;
}

static enum dt_esp_verdict check_window(const struct dt_esp_in *sa, struct dt_esp_pkt *k)
{
    uint32_t low = dt_get_be32(k->p + 4);
    k->seq = low;
    if (sa->esn && !dt_window_extend(&sa->window, low, &k->seq))
        return DT_ESP_REPLAY;
    return dt_window_check(&sa->window, k->seq) ? DT_ESP_OK : DT_ESP_REPLAY;
}

/* Takes trailer and padding off an authentic packet. */
static enum dt_esp_verdict strip(const struct dt_esp_in *sa, struct dt_esp_pkt *k)
{
    uint8_t *text = k->p + DT_ESP_HDR_LEN + sa->cipher->iv_len;
    uint32_t len = k->len - DT_ESP_HDR_LEN - sa->cipher->iv_len - sa->cipher->icv_len;
    uint8_t pad = text[len - 2];

    k->next = text[len - 1];
    if ((uint32_t)pad + DT_ESP_TRAILER_LEN > len)
        return DT_ESP_PAD;
    k->p = text;
    k->len = len - DT_ESP_TRAILER_LEN - pad;
    if (k->next == DT_NEXT_NONE)
        return DT_ESP_DUMMY; /* whatever its padding: it is thrown away */
    for (uint32_t i = 0; i < pad; i++)
        if (text[k->len + i] != i + 1)
            return DT_ESP_PAD;
    if (sa->mode == DT_ESP_TUNNEL && k->next != DT_NEXT_IPV4 && k->next != DT_NEXT_IPV6)
        return DT_ESP_NEXT;
    return DT_ESP_OK;
}

/* Shape and replay check; orders for the cipher for what passes both. Returns how many. */
static size_t packets_admit(struct dt_esp_in *sa, struct dt_esp_pkt *pkts, size_t n, struct dt_cipher_op *op,
                            uint8_t aad[][12], uint8_t *from)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        pkts[i].verdict = check_shape(sa, &pkts[i]);
    lock(sa);
    for (size_t i = 0; i < n; i++)
        if (pkts[i].verdict == DT_ESP_OK)
            pkts[i].verdict = check_window(sa, &pkts[i]);
    unlock(sa);
    for (size_t i = 0; i < n; i++) {
        struct dt_esp_pkt *k = &pkts[i];
        if (k->verdict != DT_ESP_OK)
            continue;
        op[m].iv = k->p + DT_ESP_HDR_LEN;
        op[m].text = k->p + DT_ESP_HDR_LEN + sa->cipher->iv_len;
        op[m].len = k->len - DT_ESP_HDR_LEN - sa->cipher->iv_len - sa->cipher->icv_len;
        op[m].icv = op[m].text + op[m].len;
        set_aad(&op[m], aad[m], sa->cipher, sa->esn, sa->spi, k->seq);
        from[m++] = (uint8_t)i;
    }
    return m;
}

unsigned dt_esp_open(struct dt_esp_in *sa, dt_time now, struct dt_esp_pkt *pkts, size_t n)
{
    struct dt_cipher_op op[DT_ESP_BATCH];
    uint8_t aad[DT_ESP_BATCH][12], from[DT_ESP_BATCH];
    uint64_t packets = 0, bytes = 0;
    unsigned notes = 0;

    if (n == 0 || n > DT_ESP_BATCH)
        return 0;
    size_t m = packets_admit(sa, pkts, n, op, aad, from);
    dt_cipher_open_batch(sa->cipher, op, m);

    /* Again under the lock: a batch may hold the same number twice, and so may another thread's. */
    lock(sa);
    for (size_t i = 0; i < m; i++) {
        struct dt_esp_pkt *k = &pkts[from[i]];
        if (!op[i].ok)
            k->verdict = DT_ESP_AUTH;
        else if (!dt_window_mark(&sa->window, k->seq))
            k->verdict = DT_ESP_REPLAY;
    }
    unlock(sa);

    for (size_t i = 0; i < n; i++) {
        struct dt_esp_pkt *k = &pkts[i];
        if (k->verdict == DT_ESP_OK) {
            k->verdict = strip(sa, k);
            notes |= DT_ESP_NOTE_FIRST; /* authentic, whatever it carries */
        }
        if (k->verdict <= DT_ESP_DUMMY) {
            packets++;
            bytes += k->len;
        } else {
            tally_error(&sa->tally, k->verdict);
        }
    }
    tally_add(&sa->tally, now, packets, bytes);
    if (notes && (atomic_load_explicit(&sa->heard, memory_order_relaxed) ||
                  atomic_exchange_explicit(&sa->heard, true, memory_order_relaxed)))
        notes &= ~(unsigned)DT_ESP_NOTE_FIRST;
    return notes;
}
