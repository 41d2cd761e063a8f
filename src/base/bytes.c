#include "base/bytes.h"

void dt_reader_init(struct dt_reader *r, const void *buf, size_t len)
{
    r->p = buf;
    r->end = r->p ? r->p + len : r->p;
    r->failed = false;
}

size_t dt_reader_left(const struct dt_reader *r)
{
    return (size_t)(r->end - r->p);
}

bool dt_reader_ok(const struct dt_reader *r)
{
    return !r->failed;
}

const uint8_t *dt_read_bytes(struct dt_reader *r, size_t n)
{
    if (r->failed || n > dt_reader_left(r)) {
        r->failed = true;
        r->p = r->end;
        return NULL;
    }
    const uint8_t *at = r->p;
    if (n)
        r->p += n;
    return at;
}

uint8_t dt_read_u8(struct dt_reader *r)
{
    const uint8_t *b = dt_read_bytes(r, 1);
    return b ? *b : 0;
}

uint16_t dt_read_be16(struct dt_reader *r)
{
    const uint8_t *b = dt_read_bytes(r, 2);
    return b ? dt_get_be16(b) : 0;
}

uint32_t dt_read_be32(struct dt_reader *r)
{
    const uint8_t *b = dt_read_bytes(r, 4);
    return b ? dt_get_be32(b) : 0;
}

uint64_t dt_read_be64(struct dt_reader *r)
{
    const uint8_t *b = dt_read_bytes(r, 8);
    return b ? dt_get_be64(b) : 0;
}

void dt_read_copy(struct dt_reader *r, void *out, size_t n)
{
    const uint8_t *b = dt_read_bytes(r, n);
    if (!n)
        return;
    if (b)
        memcpy(out, b, n);
    else
        memset(out, 0, n);
}

struct dt_reader dt_read_sub(struct dt_reader *r, size_t n)
{
    struct dt_reader sub;
    const uint8_t *b = dt_read_bytes(r, n);
    dt_reader_init(&sub, b, b ? n : 0);
    sub.failed = r->failed;
    return sub;
}

void dt_writer_init(struct dt_writer *w, void *buf, size_t cap)
{
    w->start = w->p = buf;
    w->end = w->p + cap;
    w->failed = false;
}

size_t dt_writer_len(const struct dt_writer *w)
{
    return (size_t)(w->p - w->start);
}

bool dt_writer_ok(const struct dt_writer *w)
{
    return !w->failed;
}

static uint8_t *writer_take(struct dt_writer *w, size_t n)
{
    if (w->failed || n > (size_t)(w->end - w->p)) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->p;
    w->p += n;
    return at;
}

void dt_write_u8(struct dt_writer *w, uint8_t v)
{
    uint8_t *b = writer_take(w, 1);
    if (b)
        *b = v;
}

void dt_write_be16(struct dt_writer *w, uint16_t v)
{
    uint8_t *b = writer_take(w, 2);
    if (b)
        dt_put_be16(b, v);
}

void dt_write_be32(struct dt_writer *w, uint32_t v)
{
    uint8_t *b = writer_take(w, 4);
    if (b)
        dt_put_be32(b, v);
}

void dt_write_be64(struct dt_writer *w, uint64_t v)
{
    uint8_t *b = writer_take(w, 8);
    if (b)
        dt_put_be64(b, v);
}

void dt_write_bytes(struct dt_writer *w, const void *p, size_t n)
{
    uint8_t *b = n ? writer_take(w, n) : NULL;
    if (b)
        memcpy(b, p, n);
}

uint8_t *dt_write_reserve(struct dt_writer *w, size_t n)
{
    uint8_t *b = writer_take(w, n);
    if (b)
        memset(b, 0, n);
    return b;
}

void dt_wipe(void *p, size_t n)
{
    if (!n)
        return;
    memset(p, 0, n);
    __asm__ __volatile__("" : : "r"(p) : "memory");
}

bool dt_ct_equal(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    uint8_t diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= x[i] ^ y[i];
    return diff == 0;
}

char *dt_hex(char *out, const void *p, size_t n)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[b[i] >> 4];
        out[2 * i + 1] = digit[b[i] & 15];
    }
    out[2 * n] = 0;
    return out;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long dt_unhex(void *out, size_t cap, const char *hex)
{
    uint8_t *b = out;
    size_t n = 0;
    while (*hex) {
        if (*hex == ' ' || *hex == ':' || *hex == '\n' || *hex == '\t') {
            hex++;
            continue;
        }
        int hi = nibble(hex[0]), lo = hex[1] ? nibble(hex[1]) : -1;
        if (hi < 0 || lo < 0 || n == cap)
            return -1;
        b[n++] = (uint8_t)(hi << 4 | lo);
        hex += 2;
    }
    return (long)n;
}
