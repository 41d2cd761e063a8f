#include "wire/ike_msg.h"

#include "wire/ike_notify.h"

int dt_ike_header_read(struct dt_ike_header *h, const uint8_t *data, size_t len)
{
    struct dt_reader r;
    dt_reader_init(&r, data, len);
    h->spi_i = dt_read_be64(&r);
    h->spi_r = dt_read_be64(&r);
    h->next = dt_read_u8(&r);
    h->version = dt_read_u8(&r);
    h->exchange = dt_read_u8(&r);
    h->flags = dt_read_u8(&r);
    h->mid = dt_read_be32(&r);
    h->length = dt_read_be32(&r);
    return dt_reader_ok(&r) && h->length == len ? 0 : -1;
}

static bool understood(uint8_t type)
{
    return type >= DT_P_SA && type <= DT_P_EAP;
}

static bool status_notify(uint8_t type, struct dt_span body, bool *named)
{
    uint16_t notify = type == DT_P_NOTIFY && body.len >= 4 ? dt_get_be16(body.p + 2) : 0;
    *named = notify && dt_notify_name(notify);
    return notify > DT_N_ERROR_LAST;
}

/* Is there room for it? Of what may be ignored a part is kept, so that it does not take the room of the rest. */
static bool list_has_room(const struct dt_ike_payloads *list, size_t ignored, bool ignorable)
{
    return list->n < DT_IKE_PAYLOADS_MAX && (!ignorable || ignored < DT_IKE_PAYLOADS_IGNORED);
}

int dt_ike_payloads_read(struct dt_ike_payloads *out, uint8_t first, const uint8_t *p, size_t len)
{
    struct dt_reader r;
    uint8_t type = first;
    dt_reader_init(&r, p, len);
    size_t ignored = 0;
    out->n = out->left_out = 0;
    out->unknown_critical = 0;
    while (type != DT_P_NONE) {
        uint8_t next = dt_read_u8(&r);
        uint8_t flags = dt_read_u8(&r);
        uint16_t plen = dt_read_be16(&r);
        if (!dt_reader_ok(&r) || plen < DT_IKE_GENERIC_LEN)
            return -1;
        struct dt_ike_payload one = {.type = type, .critical = flags & 0x80};
        one.body.len = plen - (size_t)DT_IKE_GENERIC_LEN;
        one.body.p = dt_read_bytes(&r, one.body.len);
        if (!dt_reader_ok(&r))
            return -1;
        if (!understood(type) && one.critical && !out->unknown_critical)
            out->unknown_critical = type;
        bool named, status = status_notify(type, one.body, &named);
        bool ignorable = !understood(type) || type == DT_P_VENDOR || (status && !named);
        if (type == DT_P_SK) /* section 3.14: it is the last, and its next payload is the first inside */
            one.inner = next;
        if (list_has_room(out, ignored, ignorable)) {
            out->v[out->n++] = one;
            ignored += ignorable;
        } else if (ignorable || status) {
            out->left_out++;
        } else {
            return -1;
        }
        if (type == DT_P_SK)
            break;
        type = next;
    }
    return dt_reader_left(&r) ? -1 : 0;
}

const struct dt_ike_payload *dt_ike_find(const struct dt_ike_payloads *list, uint8_t type)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].type == type)
            return &list->v[i];
    return NULL;
}

void dt_ike_build(struct dt_ike_builder *b, uint8_t *buf, size_t cap, const struct dt_ike_header *h)
{
    *b = (struct dt_ike_builder){0};
    dt_writer_init(&b->w, buf, cap);
    dt_write_be64(&b->w, h->spi_i);
    dt_write_be64(&b->w, h->spi_r);
    b->next = dt_write_reserve(&b->w, 1);
    dt_write_u8(&b->w, DT_IKE_VERSION);
    dt_write_u8(&b->w, h->exchange);
    dt_write_u8(&b->w, h->flags);
    dt_write_be32(&b->w, h->mid);
    dt_write_be32(&b->w, 0);
}

void dt_ike_payload_begin(struct dt_ike_builder *b, uint8_t type)
{
    uint8_t *p = dt_write_reserve(&b->w, DT_IKE_GENERIC_LEN);
    if (!p || !b->next)
        return;
    *b->next = type;
    b->next = p;
    b->payload = p;
}

void dt_ike_payload_end(struct dt_ike_builder *b)
{
    if (!dt_writer_ok(&b->w) || !b->payload)
        return;
    size_t len = (size_t)(b->w.p - b->payload);
    if (len > UINT16_MAX)
        b->w.failed = true;
    else
        dt_put_be16(b->payload + 2, (uint16_t)len);
}

void dt_ike_sk_begin(struct dt_ike_builder *b, size_t iv_len)
{
    dt_ike_payload_begin(b, DT_P_SK);
    b->sk = b->payload;
    b->iv_len = (uint8_t)iv_len;
    dt_write_reserve(&b->w, iv_len);
}

size_t dt_ike_build_end(struct dt_ike_builder *b)
{
    if (!dt_writer_ok(&b->w))
        return 0;
    dt_put_be32(b->w.start + 24, (uint32_t)dt_writer_len(&b->w));
    return dt_writer_len(&b->w);
}

size_t dt_ike_sk_end(struct dt_ike_builder *b, size_t block, size_t icv_len, struct dt_ike_sk *out)
{
    if (!dt_writer_ok(&b->w) || !b->sk)
        return 0;
    uint8_t *text = b->sk + DT_IKE_GENERIC_LEN + b->iv_len;
    size_t len = (size_t)(b->w.p - text) + 1, pad = block > 1 ? (block - len % block) % block : 0;
    dt_write_reserve(&b->w, pad);
    dt_write_u8(&b->w, (uint8_t)pad);
    uint8_t *icv = dt_write_reserve(&b->w, icv_len);
    if (!dt_writer_ok(&b->w) || (size_t)(b->w.p - b->sk) > UINT16_MAX)
        return 0;
    dt_put_be16(b->sk + 2, (uint16_t)(b->w.p - b->sk));
    *out = (struct dt_ike_sk){.iv = text - b->iv_len,
                              .text = text,
                              .len = len + pad,
                              .icv = icv,
                              .aad = b->w.start,
                              .aad_len = (size_t)(b->sk - b->w.start) + DT_IKE_GENERIC_LEN};
    return dt_ike_build_end(b);
}

int dt_ike_sk_split(uint8_t *msg, const struct dt_ike_payload *sk, size_t iv_len, size_t block,
                    size_t icv_len, struct dt_ike_sk *out)
{
    size_t at = (size_t)(sk->body.p - msg);
    if (sk->body.len < iv_len + icv_len + 1)
        return -1;
    size_t len = sk->body.len - iv_len - icv_len;
    if (block > 1 && len % block)
        return -1;
    *out = (struct dt_ike_sk){.iv = msg + at,
                              .text = msg + at + iv_len,
                              .len = len,
                              .icv = msg + at + iv_len + len,
                              .aad = msg,
                              .aad_len = at};
    return 0;
}

int dt_ike_sk_payloads(struct dt_ike_payloads *out, const struct dt_ike_payload *sk,
                       const struct dt_ike_sk *open)
{
    size_t pad = open->text[open->len - 1];
    if (pad + 1 > open->len)
        return -1;
    return dt_ike_payloads_read(out, sk->inner, open->text, open->len - pad - 1);
}
