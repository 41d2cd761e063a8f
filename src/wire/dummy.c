#include "wire/dummy.h"

#include "base/bytes.h"

#define MAGIC   0x44544543u /* "DTEC" */
#define REQUEST 1
#define REPLY   2

static bool sizes_fit(const struct dt_dummy *d)
{
    return d->size >= DT_DUMMY_LEN && d->other >= DT_DUMMY_LEN && (d->reply || d->other <= d->size);
}

size_t dt_dummy_put(void *out, size_t cap, const struct dt_dummy *d)
{
    uint8_t *p = out;
    if (!sizes_fit(d) || d->size > cap)
        return 0;
    memset(p, 0, d->size);
    dt_put_be32(p, MAGIC);
    p[4] = d->reply ? REPLY : REQUEST;
    dt_put_be16(p + 6, d->ident);
    dt_put_be16(p + 8, d->seq);
    dt_put_be16(p + 10, d->size);
    dt_put_be16(p + 12, d->other);
    return d->size;
}

bool dt_dummy_parse(struct dt_dummy *d, const void *packet, size_t len)
{
    const uint8_t *p = packet;
    if (len < DT_DUMMY_LEN || dt_get_be32(p) != MAGIC || (p[4] != REQUEST && p[4] != REPLY))
        return false;
    *d = (struct dt_dummy){
        .reply = p[4] == REPLY,
        .ident = dt_get_be16(p + 6),
        .seq = dt_get_be16(p + 8),
        .size = dt_get_be16(p + 10),
        .other = dt_get_be16(p + 12),
    };
    return sizes_fit(d) && d->size == len;
}

struct dt_dummy dt_dummy_answer(const struct dt_dummy *request)
{
    return (struct dt_dummy){.reply = true,
                             .ident = request->ident,
                             .seq = request->seq,
                             .size = request->other,
                             .other = request->size};
}
