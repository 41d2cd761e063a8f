/* Bytes on the wire: big-endian loads and stores, bounded readers and writers, wiping, comparing secrets.
 *
 * A reader or writer never passes its end. Once one operation does not fit, the cursor is `failed`, every
 * later read gives zero and every later write is dropped: parse straight through, ask dt_reader_ok() once. */
#ifndef DT_BASE_BYTES_H
#define DT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DT_ARRAY_LEN(a)                  (sizeof(a) / sizeof((a)[0]))
#define DT_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static inline uint16_t dt_get_be16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t dt_get_be32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t dt_get_be64(const void *p)
{
    const uint8_t *b = p;
    return (uint64_t)dt_get_be32(b) << 32 | dt_get_be32(b + 4);
}

static inline void dt_put_be16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 8);
    b[1] = (uint8_t)v;
}

static inline void dt_put_be32(void *p, uint32_t v)
{
    uint8_t *b = p;
    dt_put_be16(b, (uint16_t)(v >> 16));
    dt_put_be16(b + 2, (uint16_t)v);
}

static inline void dt_put_be64(void *p, uint64_t v)
{
    uint8_t *b = p;
    dt_put_be32(b, (uint32_t)(v >> 32));
    dt_put_be32(b + 4, (uint32_t)v);
}

/* A span of bytes that somebody else owns. */
struct dt_span {
    const uint8_t *p;
    size_t len;
};

static inline struct dt_span dt_span(const void *p, size_t len)
{
    return (struct dt_span){p, len};
}

struct dt_reader {
    const uint8_t *p;   /* next byte */
    const uint8_t *end; /* one past the last */
    bool failed;
};

void dt_reader_init(struct dt_reader *r, const void *buf, size_t len);
size_t dt_reader_left(const struct dt_reader *r);
bool dt_reader_ok(const struct dt_reader *r);
uint8_t dt_read_u8(struct dt_reader *r);
uint16_t dt_read_be16(struct dt_reader *r);
uint32_t dt_read_be32(struct dt_reader *r);
uint64_t dt_read_be64(struct dt_reader *r);
/* The next n bytes, in place (not copied); NULL when there are fewer. */
const uint8_t *dt_read_bytes(struct dt_reader *r, size_t n);
void dt_read_copy(struct dt_reader *r, void *out, size_t n);
/* A reader for the next n bytes alone; this one moves past them. */
struct dt_reader dt_read_sub(struct dt_reader *r, size_t n);

struct dt_writer {
    uint8_t *start;
    uint8_t *p;
    uint8_t *end;
    bool failed;
};

void dt_writer_init(struct dt_writer *w, void *buf, size_t cap);
size_t dt_writer_len(const struct dt_writer *w);
bool dt_writer_ok(const struct dt_writer *w);
void dt_write_u8(struct dt_writer *w, uint8_t v);
void dt_write_be16(struct dt_writer *w, uint16_t v);
void dt_write_be32(struct dt_writer *w, uint32_t v);
void dt_write_be64(struct dt_writer *w, uint64_t v);
void dt_write_bytes(struct dt_writer *w, const void *p, size_t n);
/* n zeroed bytes to be filled in later; NULL when they do not fit. */
uint8_t *dt_write_reserve(struct dt_writer *w, size_t n);

/* Overwrites key material; the compiler may not drop it. */
void dt_wipe(void *p, size_t n);
/* Equal or not in time that depends on n alone. */
bool dt_ct_equal(const void *a, const void *b, size_t n);
/* Hex digits of p into out (2n + 1 bytes, NUL-terminated); returns out. */
char *dt_hex(char *out, const void *p, size_t n);
/* Bytes from hex digits (blanks and colons between pairs allowed); -1 on anything else or more than cap. */
long dt_unhex(void *out, size_t cap, const char *hex);

#endif
