#include "wire/ted.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define HEADER_LEN     28
#define ISAKMP_VERSION 0x10
#define ID_IPV4_ADDR   1
#define ID_IPV6_ADDR   5
#define VENDOR_BODY    (DT_TED_VENDOR_LEN + 4)

const uint8_t dt_ted_vendor[DT_TED_VENDOR_LEN] = {0x0f, 0xc7, 0x77, 0x99, 0xf4, 0x6a, 0x08, 0xf5,
                                                  0xa5, 0x01, 0x0c, 0x40, 0x69, 0x14, 0xa9, 0x00};

/* --- writing: each payload patches the "next payload" octet of the one before */

struct out {
    struct dt_writer w;
    uint8_t *next; /* where the type of the next payload goes */
    uint8_t *length;
};

static void message_begin(struct out *o, uint8_t *buf, size_t cap, uint64_t icookie, uint64_t rcookie,
                          uint8_t exchange)
{
    dt_writer_init(&o->w, buf, cap);
    dt_write_be64(&o->w, icookie);
    dt_write_be64(&o->w, rcookie);
    o->next = dt_write_reserve(&o->w, 1);
    dt_write_u8(&o->w, ISAKMP_VERSION);
    dt_write_u8(&o->w, exchange);
    dt_write_u8(&o->w, 0);   /* flags: not encrypted */
    dt_write_be32(&o->w, 0); /* message id */
    o->length = dt_write_reserve(&o->w, 4);
}

static void payload(struct out *o, uint8_t type, size_t body)
{
    if (dt_writer_ok(&o->w) && o->next)
        *o->next = type;
    o->next = dt_write_reserve(&o->w, 1);
    dt_write_u8(&o->w, 0);
    dt_write_be16(&o->w, (uint16_t)(body + 4));
}

static void put_address(struct out *o, const struct dt_addr *a)
{
    dt_write_bytes(&o->w, a->b, dt_addr_size(a));
}

static void vendor(struct out *o, uint32_t capabilities)
{
    payload(o, DT_TED_PAYLOAD_VENDOR, VENDOR_BODY);
    dt_write_bytes(&o->w, dt_ted_vendor, DT_TED_VENDOR_LEN);
    dt_write_be32(&o->w, capabilities);
}

static void identity(struct out *o, const struct dt_addr *id)
{
    payload(o, DT_TED_PAYLOAD_ID, 4 + dt_addr_size(id));
    dt_write_u8(&o->w, id->ver == 4 ? ID_IPV4_ADDR : ID_IPV6_ADDR);
    dt_write_u8(&o->w, 0);
    dt_write_be16(&o->w, 0);
    put_address(o, id);
}

static size_t message_end(struct out *o)
{
    size_t len = dt_writer_len(&o->w);
    if (!dt_writer_ok(&o->w) || len > DT_TED_MAX_MESSAGE)
        return 0;
    dt_put_be32(o->length, (uint32_t)len);
    return len;
}

size_t dt_ted_probe_encode(uint8_t *buf, size_t cap, const struct dt_ted_probe *p)
{
    struct out o;
    const struct dt_ted_packet *k = &p->packet;
    size_t n = dt_addr_size(&k->src);
    if (!p->cookie || !n || !dt_addr_size(&p->id) || k->dst.ver != k->src.ver ||
        p->proxy.ver != p->proxy_mask.ver || (p->proxy.ver && p->proxy.ver != k->src.ver))
        return 0;
    message_begin(&o, buf, cap, p->cookie, 0, DT_TED_EXCHANGE_PROBE);
    vendor(&o, p->capabilities);
    identity(&o, &p->id);
    if (p->proxy.ver) {
        payload(&o, DT_TED_PAYLOAD_PROXY, 4 + 2 * n);
        dt_write_u8(&o.w, p->proxy.ver);
        dt_write_reserve(&o.w, 3);
        put_address(&o, &p->proxy);
        put_address(&o, &p->proxy_mask);
    }
    payload(&o, DT_TED_PAYLOAD_SUMMARY, DT_TED_VENDOR_LEN + 8 + 2 * n);
    dt_write_bytes(&o.w, dt_ted_vendor, DT_TED_VENDOR_LEN);
    dt_write_u8(&o.w, DT_TED_VERSION);
    dt_write_u8(&o.w, k->src.ver);
    dt_write_u8(&o.w, k->protocol);
    dt_write_u8(&o.w, 0);
    dt_write_be16(&o.w, k->sport);
    dt_write_be16(&o.w, k->dport);
    put_address(&o, &k->src);
    put_address(&o, &k->dst);
    return message_end(&o);
}

size_t dt_ted_reply_encode(uint8_t *buf, size_t cap, const struct dt_ted_reply *r)
{
    struct out o;
    if (!r->cookie || !r->responder_cookie || !dt_addr_size(&r->id) || !r->count ||
        r->count > DT_TED_MAX_PROXIES ||
        (r->name[0] && !dt_ted_name_ok(r->name, strnlen(r->name, sizeof r->name))))
        return 0;
    message_begin(&o, buf, cap, r->cookie, r->responder_cookie, DT_TED_EXCHANGE_REPLY);
    vendor(&o, r->capabilities);
    identity(&o, &r->id);
    if (r->name[0]) {
        payload(&o, DT_TED_PAYLOAD_NAME, strlen(r->name));
        dt_write_bytes(&o.w, (const uint8_t *)r->name, strlen(r->name));
    }
    for (size_t i = 0; i < r->count; i++) {
        const struct dt_ted_proxy *x = &r->proxy[i];
        size_t n = x->ver == 4 ? 4 : x->ver == 6 ? 16 : 0;
        if (!n || x->src.ver != x->ver || x->dst.ver != x->ver || x->src_mask.ver != x->ver ||
            x->dst_mask.ver != x->ver)
            return 0;
        payload(&o, DT_TED_PAYLOAD_RESPONSE, 8 + 4 * n);
        dt_write_u8(&o.w, x->ver);
        dt_write_u8(&o.w, x->protocol);
        dt_write_be16(&o.w, 0);
        /* The responder speaks of its own side first. */
        dt_write_be16(&o.w, x->dport);
        dt_write_be16(&o.w, x->sport);
        put_address(&o, &x->dst);
        put_address(&o, &x->dst_mask);
        put_address(&o, &x->src);
        put_address(&o, &x->src_mask);
    }
    return message_end(&o);
}

/* --- reading */

struct in {
    struct dt_reader r;
    uint64_t icookie, rcookie;
    uint8_t next;
};

int dt_ted_exchange(const uint8_t *buf, size_t len)
{
    if (len < HEADER_LEN || buf[17] != ISAKMP_VERSION ||
        (buf[18] != DT_TED_EXCHANGE_PROBE && buf[18] != DT_TED_EXCHANGE_REPLY))
        return 0;
    return buf[18];
}

static int open_message(struct in *in, const uint8_t *buf, size_t len, uint8_t exchange, struct dt_err *err)
{
    if (len < HEADER_LEN)
        return dt_err_set(err, 0, "%zu octets, a header has %d", len, HEADER_LEN);
    if (len > DT_TED_MAX_MESSAGE)
        return dt_err_set(err, 0, "%zu octets, at most %d are read", len, DT_TED_MAX_MESSAGE);
    dt_reader_init(&in->r, buf, len);
    in->icookie = dt_read_be64(&in->r);
    in->rcookie = dt_read_be64(&in->r);
    in->next = dt_read_u8(&in->r);
    uint8_t version = dt_read_u8(&in->r), got = dt_read_u8(&in->r), flags = dt_read_u8(&in->r);
    uint32_t message_id = dt_read_be32(&in->r), length = dt_read_be32(&in->r);
    if (version != ISAKMP_VERSION || got != exchange)
        return dt_err_set(err, 0, "version %u.%u exchange %u, expected 1.0 and %u", version >> 4,
                          version & 15, got, exchange);
    if (flags || message_id)
        return dt_err_set(err, 0, "flags %#x and message id %u, both must be 0", flags, message_id);
    if (length != len)
        return dt_err_set(err, 0, "the header says %u octets, %zu came", length, len);
    if (!in->icookie)
        return dt_err_set(err, 0, "the initiator cookie is zero");
    if ((exchange == DT_TED_EXCHANGE_PROBE) != !in->rcookie)
        return dt_err_set(err, 0, "the responder cookie is %s",
                          in->rcookie ? "not zero in a probe" : "zero in a reply");
    return 0;
}

/* The body of the next payload; false at the end or when it does not fit. */
static bool next_payload(struct in *in, uint8_t *type, struct dt_reader *body)
{
    if (!in->next || !dt_reader_ok(&in->r))
        return false;
    *type = in->next;
    in->next = dt_read_u8(&in->r);
    dt_read_u8(&in->r);
    uint16_t len = dt_read_be16(&in->r);
    if (len < 4) {
        in->r.failed = true;
        return false;
    }
    *body = dt_read_sub(&in->r, (size_t)len - 4);
    return dt_reader_ok(&in->r);
}

static int close_message(const struct in *in, struct dt_err *err)
{
    if (!dt_reader_ok(&in->r))
        return dt_err_set(err, 0, "a payload is longer than the message, or shorter than its own header");
    if (dt_reader_left(&in->r))
        return dt_err_set(err, 0, "%zu octets after the last payload", dt_reader_left(&in->r));
    return 0;
}

static struct dt_addr read_address(struct dt_reader *r, uint8_t ver)
{
    const uint8_t *b = dt_read_bytes(r, ver == 4 ? 4 : 16);
    if (!b)
        return (struct dt_addr){0};
    return ver == 4 ? dt_addr4_bytes(b) : dt_addr6_bytes(b);
}

static bool whole(const struct dt_reader *r)
{
    return dt_reader_ok(r) && !dt_reader_left(r);
}

static bool read_vendor(struct dt_reader *r, uint32_t *capabilities)
{
    const uint8_t *v = dt_read_bytes(r, DT_TED_VENDOR_LEN);
    *capabilities = dt_read_be32(r);
    return whole(r) && v && !memcmp(v, dt_ted_vendor, DT_TED_VENDOR_LEN);
}

static bool read_id(struct dt_reader *r, struct dt_addr *id)
{
    uint8_t type = dt_read_u8(r);
    dt_read_u8(r);
    dt_read_be16(r);
    if (type != ID_IPV4_ADDR && type != ID_IPV6_ADDR)
        return false;
    *id = read_address(r, type == ID_IPV4_ADDR ? 4 : 6);
    return whole(r) && !dt_addr_is_any(id);
}

static bool read_proxy_address(struct dt_reader *r, struct dt_ted_probe *p)
{
    uint8_t ver = dt_read_u8(r);
    dt_read_bytes(r, 3);
    if (ver != 4 && ver != 6)
        return false;
    p->proxy = read_address(r, ver);
    p->proxy_mask = read_address(r, ver);
    return whole(r);
}

static bool read_summary(struct dt_reader *r, struct dt_ted_packet *k)
{
    const uint8_t *v = dt_read_bytes(r, DT_TED_VENDOR_LEN);
    uint8_t version = dt_read_u8(r), ver = dt_read_u8(r);
    k->protocol = dt_read_u8(r);
    dt_read_u8(r);
    k->sport = dt_read_be16(r);
    k->dport = dt_read_be16(r);
    if (!v || memcmp(v, dt_ted_vendor, DT_TED_VENDOR_LEN) || version != DT_TED_VERSION ||
        (ver != 4 && ver != 6))
        return false;
    k->src = read_address(r, ver);
    k->dst = read_address(r, ver);
    return whole(r);
}

bool dt_ted_name_ok(const char *name, size_t len)
{
    bool good = len > 0 && len <= DT_TED_NAME_MAX;
    for (size_t i = 0; good && i < len; i++)
        good = name[i] > ' ' && name[i] <= '~' && name[i] != '*';
    return good;
}

static bool read_name(struct dt_reader *r, char *name)
{
    size_t len = dt_reader_left(r);
    const uint8_t *b = dt_read_bytes(r, len);
    if (!b || !dt_ted_name_ok((const char *)b, len))
        return false;
    memcpy(name, b, len);
    return true;
}

static bool read_response(struct dt_reader *r, struct dt_ted_proxy *x)
{
    x->ver = dt_read_u8(r);
    x->protocol = dt_read_u8(r);
    dt_read_be16(r);
    x->dport = dt_read_be16(r);
    x->sport = dt_read_be16(r);
    if (x->ver != 4 && x->ver != 6)
        return false;
    x->dst = read_address(r, x->ver);
    x->dst_mask = read_address(r, x->ver);
    x->src = read_address(r, x->ver);
    x->src_mask = read_address(r, x->ver);
    return whole(r);
}

#define SEEN(type) (1u << ((type)&31))

int dt_ted_probe_decode(struct dt_ted_probe *out, const uint8_t *buf, size_t len, struct dt_err *err)
{
    struct in in;
    struct dt_ted_probe p = {0};
    struct dt_reader body;
    uint32_t seen = 0;
    uint8_t type;
    if (open_message(&in, buf, len, DT_TED_EXCHANGE_PROBE, err))
        return -1;
    p.cookie = in.icookie;
    while (next_payload(&in, &type, &body)) {
        bool known = true, good = true;
        switch (type) {
        case DT_TED_PAYLOAD_VENDOR:
            good = read_vendor(&body, &p.capabilities);
            break;
        case DT_TED_PAYLOAD_ID:
            good = read_id(&body, &p.id);
            break;
        case DT_TED_PAYLOAD_PROXY:
            good = read_proxy_address(&body, &p);
            break;
        case DT_TED_PAYLOAD_SUMMARY:
            good = read_summary(&body, &p.packet);
            break;
        default:
            known = false;
        }
        if (!good)
            return dt_err_set(err, 0, "payload %u is malformed or of another maker", type);
        if (known && seen & SEEN(type))
            return dt_err_set(err, 0, "payload %u stands twice", type);
        if (known)
            seen |= SEEN(type);
    }
    if (close_message(&in, err))
        return -1;
    if (~seen & (SEEN(DT_TED_PAYLOAD_VENDOR) | SEEN(DT_TED_PAYLOAD_ID) | SEEN(DT_TED_PAYLOAD_SUMMARY)))
        return dt_err_set(err, 0, "a probe needs vendor, ID and packet summary payloads");
    if (p.proxy.ver && p.proxy.ver != p.packet.src.ver)
        return dt_err_set(err, 0, "proxy address IPv%u in a probe for an IPv%u packet", p.proxy.ver,
                          p.packet.src.ver);
    *out = p;
    return 0;
}

int dt_ted_reply_decode(struct dt_ted_reply *out, const uint8_t *buf, size_t len, struct dt_err *err)
{
    struct in in;
    struct dt_ted_reply r = {0};
    struct dt_reader body;
    uint32_t seen = 0;
    uint8_t type;
    if (open_message(&in, buf, len, DT_TED_EXCHANGE_REPLY, err))
        return -1;
    r.cookie = in.icookie;
    r.responder_cookie = in.rcookie;
    while (next_payload(&in, &type, &body)) {
        bool once = true, good = true;
        switch (type) {
        case DT_TED_PAYLOAD_VENDOR:
            good = read_vendor(&body, &r.capabilities);
            break;
        case DT_TED_PAYLOAD_ID:
            good = read_id(&body, &r.id);
            break;
        case DT_TED_PAYLOAD_NAME:
            good = read_name(&body, r.name);
            break;
        case DT_TED_PAYLOAD_RESPONSE:
            once = false;
            if (r.count == DT_TED_MAX_PROXIES)
                return dt_err_set(err, 0, "more than %d proxies", DT_TED_MAX_PROXIES);
            good = read_response(&body, &r.proxy[r.count++]);
            break;
        default:
            once = false;
        }
        if (!good)
            return dt_err_set(err, 0, "payload %u is malformed or of another maker", type);
        if (once && seen & SEEN(type))
            return dt_err_set(err, 0, "payload %u stands twice", type);
        if (once)
            seen |= SEEN(type);
    }
    if (close_message(&in, err))
        return -1;
    if (~seen & (SEEN(DT_TED_PAYLOAD_VENDOR) | SEEN(DT_TED_PAYLOAD_ID)) || !r.count)
        return dt_err_set(err, 0, "a reply needs vendor, ID and TED response payloads");
    *out = r;
    return 0;
}
