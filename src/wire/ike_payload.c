#include "wire/ike_payload.h"

#include <stdio.h>

#define ATTR_KEY_LENGTH 14 /* section 3.3.5 */
#define ATTR_TV         0x8000

/* ---- security association ---- */

static void attributes_read(struct dt_reader *r, struct dt_transform *t)
{
    while (dt_reader_left(r)) {
        uint16_t type = dt_read_be16(r);
        uint16_t value = dt_read_be16(r); /* of the short form; else the length of what follows */
        if (!(type & ATTR_TV)) {
            dt_read_bytes(r, value);
            t->unusable = true;
        } else if ((type & ~ATTR_TV) == ATTR_KEY_LENGTH) {
            t->key_bits = value;
            t->unusable |= value == 0;
        } else {
            t->unusable = true;
        }
        if (!dt_reader_ok(r))
            return;
    }
}

/* A list has room for all that are known here. The others are kept for people to read, as far as they leave that room, and one
 * of each type in any case: a proposal that has none of a type means something else. */
#define TRANSFORMS_UNKNOWN 32

static bool transform_worth_keeping(const struct dt_proposal *p, const struct dt_transform *t)
{
    if (p->n < TRANSFORMS_UNKNOWN)
        return true;
    bool known = dt_transform_known(t), strange = t->type < DT_TRANSFORM_ENCR || t->type > DT_TRANSFORM_ESN;
    for (size_t i = 0; i < p->n; i++) {
        const struct dt_transform *o = &p->t[i];
        bool o_strange = o->type < DT_TRANSFORM_ENCR || o->type > DT_TRANSFORM_ESN;
        if (known     ? o->type == t->type && o->id == t->id && o->key_bits == t->key_bits && !o->unusable
            : strange ? o_strange
                      : o->type == t->type)
            return false; /* it is there, or one like it */
    }
    return p->n < DT_PROPOSAL_TRANSFORMS;
}

static int transforms_read(struct dt_reader *r, struct dt_proposal *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct dt_transform t = {0};
        uint8_t more = dt_read_u8(r);
        dt_read_u8(r);
        uint16_t len = dt_read_be16(r);
        t.type = dt_read_u8(r);
        dt_read_u8(r);
        t.id = dt_read_be16(r);
        if (!dt_reader_ok(r) || len < 8 || more != (i + 1 < count ? 3 : 0))
            return -1;
        struct dt_reader attrs = dt_read_sub(r, len - 8u);
        attributes_read(&attrs, &t);
        if (!dt_reader_ok(r) || !dt_reader_ok(&attrs))
            return -1;
        if (transform_worth_keeping(p, &t))
            p->t[p->n++] = t;
    }
    return dt_reader_left(r) ? -1 : 0;
}

/* In a full list one that nothing of ours can meet makes room for one that something may. */
static void proposal_keep(struct dt_proposals *list, const struct dt_proposal *p)
{
    size_t i = 0;
    if (list->n == DT_PROPOSALS_MAX) {
        if (!dt_proposal_possible(p))
            return;
        while (i < list->n && dt_proposal_possible(&list->v[i]))
            i++;
        if (i == list->n)
            return;
        memmove(&list->v[i], &list->v[i + 1], (list->n - i - 1) * sizeof(list->v[0]));
        list->n--;
    }
    list->v[list->n++] = *p;
}

int dt_ike_sa_read(struct dt_proposals *out, struct dt_span body)
{
    struct dt_reader r;
    uint8_t more = 2;
    out->n = 0;
    dt_reader_init(&r, body.p, body.len);
    while (more == 2) {
        struct dt_proposal p = {0};
        more = dt_read_u8(&r);
        dt_read_u8(&r);
        uint16_t len = dt_read_be16(&r);
        if (!dt_reader_ok(&r) || len < 8 || (more != 0 && more != 2))
            return -1;
        struct dt_reader one = dt_read_sub(&r, len - 4u);
        p.number = dt_read_u8(&one);
        p.protocol = dt_read_u8(&one);
        p.spi_len = dt_read_u8(&one);
        unsigned count = dt_read_u8(&one);
        if (p.spi_len > sizeof(p.spi))
            return -1;
        dt_read_copy(&one, p.spi, p.spi_len);
        if (!dt_reader_ok(&r) || !dt_reader_ok(&one) || transforms_read(&one, &p, count))
            return -1;
        proposal_keep(out, &p);
    }
    return dt_reader_left(&r) ? -1 : 0;
}

static void proposal_write(struct dt_writer *w, const struct dt_proposal *p, bool last)
{
    size_t len = 8u + p->spi_len;
    for (size_t i = 0; i < p->n; i++)
        len += p->t[i].key_bits ? 12 : 8;
    dt_write_u8(w, last ? 0 : 2);
    dt_write_u8(w, 0);
    dt_write_be16(w, (uint16_t)len);
    dt_write_u8(w, p->number);
    dt_write_u8(w, p->protocol);
    dt_write_u8(w, p->spi_len);
    dt_write_u8(w, p->n);
    dt_write_bytes(w, p->spi, p->spi_len);
    for (size_t i = 0; i < p->n; i++) {
        const struct dt_transform *t = &p->t[i];
        dt_write_u8(w, i + 1 < p->n ? 3 : 0);
        dt_write_u8(w, 0);
        dt_write_be16(w, t->key_bits ? 12 : 8);
        dt_write_u8(w, t->type);
        dt_write_u8(w, 0);
        dt_write_be16(w, t->id);
        if (t->key_bits) {
            dt_write_be16(w, ATTR_TV | ATTR_KEY_LENGTH);
            dt_write_be16(w, t->key_bits);
        }
    }
}

void dt_ike_sa_write(struct dt_ike_builder *b, const struct dt_proposals *list)
{
    dt_ike_payload_begin(b, DT_P_SA);
    for (size_t i = 0; i < list->n; i++)
        proposal_write(&b->w, &list->v[i], i + 1 == list->n);
    dt_ike_payload_end(b);
}

/* ---- what would have been taken ---- */

static const uint8_t takes_magic[4] = {'D', 'T', 'T', 1};

size_t dt_ike_takes_write(uint8_t *out, size_t cap, const struct dt_proposals *list)
{
    size_t at = sizeof(takes_magic) + 1, said = 0;
    for (; said < list->n; said++) {
        const struct dt_proposal *p = &list->v[said];
        if (at > cap || cap - at < 1u + 4u * p->n)
            break;
        out[at++] = p->n;
        for (size_t i = 0; i < p->n; i++, at += 4) {
            out[at] = p->t[i].type;
            out[at + 1] = (uint8_t)(p->t[i].key_bits / 8);
            dt_put_be16(out + at + 2, p->t[i].id);
        }
    }
    if (!said)
        return 0;
    memcpy(out, takes_magic, sizeof(takes_magic));
    out[sizeof(takes_magic)] = said < list->n;
    return at;
}

int dt_ike_takes_read(struct dt_proposals *out, bool *more, uint8_t protocol, struct dt_span data)
{
    struct dt_reader r;
    out->n = 0;
    if (data.len > DT_IKE_TAKES_MAX || data.len < sizeof(takes_magic) + 1 ||
        memcmp(data.p, takes_magic, sizeof(takes_magic)) != 0)
        return -1;
    dt_reader_init(&r, data.p + sizeof(takes_magic), data.len - sizeof(takes_magic));
    *more = dt_read_u8(&r) != 0;
    while (dt_reader_left(&r)) {
        unsigned count = dt_read_u8(&r);
        if (!count || count > DT_PROPOSAL_TRANSFORMS || out->n == DT_PROPOSALS_MAX)
            return -1;
        struct dt_proposal *p = &out->v[out->n];
        *p = (struct dt_proposal){.protocol = protocol, .number = (uint8_t)(out->n + 1)};
        for (; p->n < count; p->n++) {
            struct dt_transform *t = &p->t[p->n];
            t->type = dt_read_u8(&r);
            t->key_bits = (uint16_t)(dt_read_u8(&r) * 8);
            t->id = dt_read_be16(&r);
        }
        if (!dt_reader_ok(&r))
            return -1;
        out->n++;
    }
    return out->n ? 0 : -1;
}

/* ---- key exchange, nonce ---- */

int dt_ike_ke_read(struct dt_ike_ke *out, struct dt_span body)
{
    if (body.len <= 4)
        return -1;
    out->group = dt_get_be16(body.p);
    out->data = dt_span(body.p + 4, body.len - 4);
    return 0;
}

void dt_ike_ke_write(struct dt_ike_builder *b, uint16_t group, struct dt_span data)
{
    dt_ike_payload_begin(b, DT_P_KE);
    dt_write_be16(&b->w, group);
    dt_write_be16(&b->w, 0);
    dt_write_bytes(&b->w, data.p, data.len);
    dt_ike_payload_end(b);
}

int dt_ike_nonce_read(struct dt_span *out, struct dt_span body)
{
    *out = body;
    return body.len >= DT_IKE_NONCE_MIN && body.len <= DT_IKE_NONCE_MAX ? 0 : -1;
}

void dt_ike_raw_write(struct dt_ike_builder *b, uint8_t payload_type, struct dt_span body)
{
    dt_ike_payload_begin(b, payload_type);
    dt_write_bytes(&b->w, body.p, body.len);
    dt_ike_payload_end(b);
}

/* ---- identification, authentication ---- */

int dt_ike_id_read(struct dt_ike_id *out, struct dt_span body)
{
    if (body.len < 5 || body.len - 4 > DT_IKE_ID_MAX || !body.p[0])
        return -1;
    *out = (struct dt_ike_id){.type = body.p[0], .len = (uint8_t)(body.len - 4)};
    memcpy(out->data, body.p + 4, out->len);
    return 0;
}

void dt_ike_id_write(struct dt_ike_builder *b, uint8_t payload_type, const struct dt_ike_id *id)
{
    dt_ike_payload_begin(b, payload_type);
    dt_write_u8(&b->w, id->type);
    dt_write_reserve(&b->w, 3);
    dt_write_bytes(&b->w, id->data, id->len);
    dt_ike_payload_end(b);
}

int dt_ike_auth_read(struct dt_ike_auth *out, struct dt_span body)
{
    if (body.len <= 4)
        return -1;
    out->method = body.p[0];
    out->data = dt_span(body.p + 4, body.len - 4);
    return 0;
}

void dt_ike_auth_write(struct dt_ike_builder *b, uint8_t method, struct dt_span data)
{
    dt_ike_payload_begin(b, DT_P_AUTH);
    dt_write_u8(&b->w, method);
    dt_write_reserve(&b->w, 3);
    dt_write_bytes(&b->w, data.p, data.len);
    dt_ike_payload_end(b);
}

const char *dt_ike_auth_method_str(char buf[48], uint8_t method)
{
    static const char *const names[] = {
        [DT_IKE_AUTH_RSA] = "RSA signature with SHA-1",    [DT_IKE_AUTH_PSK] = "pre-shared key",
        [DT_IKE_AUTH_ECDSA_256] = "ECDSA P-256 signature", [DT_IKE_AUTH_ECDSA_384] = "ECDSA P-384 signature",
        [DT_IKE_AUTH_ECDSA_521] = "ECDSA P-521 signature", [DT_IKE_AUTH_SIGNATURE] = "digital signature"};
    if (method < DT_ARRAY_LEN(names) && names[method])
        snprintf(buf, 48, "%s (method %u)", names[method], method);
    else
        snprintf(buf, 48, "method %u", method);
    return buf;
}

/* ---- certificates ---- */

int dt_ike_cert_read(struct dt_ike_cert *out, struct dt_span body)
{
    if (!body.len)
        return -1;
    out->encoding = body.p[0];
    out->data = dt_span(body.p + 1, body.len - 1);
    return 0;
}

void dt_ike_cert_write(struct dt_ike_builder *b, uint8_t payload_type, uint8_t encoding, struct dt_span data)
{
    dt_ike_payload_begin(b, payload_type);
    dt_write_u8(&b->w, encoding);
    dt_write_bytes(&b->w, data.p, data.len);
    dt_ike_payload_end(b);
}

/* ---- notify, delete ---- */

int dt_ike_notify_read(struct dt_ike_notify_payload *out, struct dt_span body)
{
    struct dt_reader r;
    dt_reader_init(&r, body.p, body.len);
    out->protocol = dt_read_u8(&r);
    out->spi.len = dt_read_u8(&r);
    out->type = dt_read_be16(&r);
    out->spi.p = dt_read_bytes(&r, out->spi.len);
    out->data.len = dt_reader_left(&r);
    out->data.p = dt_read_bytes(&r, out->data.len);
    return dt_reader_ok(&r) ? 0 : -1;
}

void dt_ike_notify_write(struct dt_ike_builder *b, uint8_t protocol, struct dt_span spi, uint16_t type,
                         struct dt_span data)
{
    dt_ike_payload_begin(b, DT_P_NOTIFY);
    dt_write_u8(&b->w, protocol);
    dt_write_u8(&b->w, (uint8_t)spi.len);
    dt_write_be16(&b->w, type);
    dt_write_bytes(&b->w, spi.p, spi.len);
    dt_write_bytes(&b->w, data.p, data.len);
    dt_ike_payload_end(b);
}

int dt_ike_delete_read(struct dt_ike_delete *out, struct dt_span body)
{
    struct dt_reader r;
    dt_reader_init(&r, body.p, body.len);
    out->protocol = dt_read_u8(&r);
    out->spi_len = dt_read_u8(&r);
    out->n = dt_read_be16(&r);
    out->spis = dt_read_bytes(&r, (size_t)out->n * out->spi_len);
    if (!dt_reader_ok(&r) || dt_reader_left(&r))
        return -1;
    return out->spi_len == (out->protocol == DT_PROTO_IKE ? 0 : 4) ? 0 : -1;
}

void dt_ike_delete_write(struct dt_ike_builder *b, uint8_t protocol, const uint32_t *esp_spis, uint16_t n)
{
    dt_ike_payload_begin(b, DT_P_DELETE);
    dt_write_u8(&b->w, protocol);
    dt_write_u8(&b->w, protocol == DT_PROTO_IKE ? 0 : 4);
    dt_write_be16(&b->w, protocol == DT_PROTO_IKE ? 0 : n);
    for (size_t i = 0; protocol != DT_PROTO_IKE && i < n; i++)
        dt_write_be32(&b->w, esp_spis[i]);
    dt_ike_payload_end(b);
}

/* ---- traffic selectors ---- */

#define TS_IPV4_ADDR_RANGE 7
#define TS_IPV6_ADDR_RANGE 8

int dt_ike_ts_read(struct dt_selectors *out, size_t *lost, struct dt_span body)
{
    struct dt_reader r;
    size_t full = 0;
    out->n = 0;
    dt_reader_init(&r, body.p, body.len);
    unsigned count = dt_read_u8(&r);
    dt_read_bytes(&r, 3);
    if (!dt_reader_ok(&r) || !count)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        struct dt_selector s = {0};
        uint8_t type = dt_read_u8(&r);
        s.proto = dt_read_u8(&r);
        uint16_t len = dt_read_be16(&r);
        if (!dt_reader_ok(&r) || len < 4)
            return -1;
        struct dt_reader one = dt_read_sub(&r, len - 4u);
        if (!dt_reader_ok(&r))
            return -1;
        if (type != TS_IPV4_ADDR_RANGE && type != TS_IPV6_ADDR_RANGE)
            continue;
        size_t alen = type == TS_IPV4_ADDR_RANGE ? 4 : 16;
        s.port_from = dt_read_be16(&one);
        s.port_to = dt_read_be16(&one);
        const uint8_t *a = dt_read_bytes(&one, 2 * alen);
        if (!dt_reader_ok(&one) || dt_reader_left(&one))
            return -1;
        s.range.from = alen == 4 ? dt_addr4_bytes(a) : dt_addr6_bytes(a);
        s.range.to = alen == 4 ? dt_addr4_bytes(a + 4) : dt_addr6_bytes(a + 16);
        bool opaque = s.port_from == DT_PORT_LAST && s.port_to == 0;
        if (dt_addr_cmp(&s.range.from, &s.range.to) > 0 || (s.port_from > s.port_to && !opaque))
            continue; /* matches nothing */
        full += !dt_selectors_add(out, &s);
    }
    if (lost)
        *lost = full;
    return dt_reader_left(&r) ? -1 : 0;
}

static void ts_body_write(struct dt_writer *w, const struct dt_selectors *list)
{
    dt_write_u8(w, list->n);
    dt_write_reserve(w, 3);
    for (size_t i = 0; i < list->n; i++) {
        const struct dt_selector *s = &list->v[i];
        size_t alen = dt_addr_size(&s->range.from);
        dt_write_u8(w, alen == 4 ? TS_IPV4_ADDR_RANGE : TS_IPV6_ADDR_RANGE);
        dt_write_u8(w, s->proto);
        dt_write_be16(w, (uint16_t)(8 + 2 * alen));
        dt_write_be16(w, s->port_from);
        dt_write_be16(w, s->port_to);
        dt_write_bytes(w, s->range.from.b, alen);
        dt_write_bytes(w, s->range.to.b, alen);
    }
}

void dt_ike_ts_write(struct dt_ike_builder *b, uint8_t payload_type, const struct dt_selectors *list)
{
    dt_ike_payload_begin(b, payload_type);
    ts_body_write(&b->w, list);
    dt_ike_payload_end(b);
}

static const uint8_t allows_magic[4] = {'D', 'T', 'A', 1};

size_t dt_ike_allows_write(uint8_t *out, size_t cap, bool readers_side, const struct dt_selectors *list)
{
    struct dt_writer w;
    dt_writer_init(&w, out, cap);
    dt_write_bytes(&w, allows_magic, sizeof(allows_magic));
    dt_write_u8(&w, readers_side);
    ts_body_write(&w, list);
    return dt_writer_ok(&w) ? dt_writer_len(&w) : 0;
}

int dt_ike_allows_read(struct dt_selectors *out, bool *readers_side, struct dt_span data)
{
    size_t head = sizeof(allows_magic) + 1;
    if (data.len <= head || memcmp(data.p, allows_magic, sizeof(allows_magic)) != 0)
        return -1;
    *readers_side = data.p[head - 1] == 1;
    if (data.len == head + 4 && data.p[head] == 0) { /* nothing is allowed */
        out->n = 0;
        return 0;
    }
    return dt_ike_ts_read(out, NULL, dt_span(data.p + head, data.len - head));
}

/* ---- configuration ---- */

enum {
    INTERNAL_IP4_ADDRESS = 1,
    INTERNAL_IP4_DNS = 3,
    INTERNAL_IP6_ADDRESS = 8,
    INTERNAL_IP6_DNS = 10,
    INTERNAL_DNS_DOMAIN = 25
};

static void cp_dns(struct dt_ike_cp *cp, struct dt_addr a)
{
    if (cp->ndns < DT_IKE_CP_DNS)
        cp->dns[cp->ndns++] = a;
}

static void cp_domain(struct dt_ike_cp *cp, const uint8_t *p, size_t len)
{
    char name[DT_DOMAIN_MAX + 1];
    if (dt_domain_clean(name, (const char *)p, len))
        dt_domains_add(cp->domains, name);
}

/* -1: a length that the attribute cannot have. */
static int cp_attribute(struct dt_ike_cp *cp, uint16_t type, const uint8_t *p, size_t len)
{
    switch (type) {
    case INTERNAL_IP4_ADDRESS:
        if (len && len != 4)
            return -1;
        if (len && !cp->addr4.ver)
            cp->addr4 = dt_addr4_bytes(p);
        cp->has4 = true;
        return 0;
    case INTERNAL_IP6_ADDRESS:
        if (len && (len != 17 || p[16] > 128))
            return -1;
        if (len && !cp->addr6.ver) {
            cp->addr6 = dt_addr6_bytes(p);
            cp->addr6_len = p[16];
        }
        cp->has6 = true;
        return 0;
    case INTERNAL_IP4_DNS:
        if (len && len != 4)
            return -1;
        if (len)
            cp_dns(cp, dt_addr4_bytes(p));
        cp->has_dns4 = true;
        return 0;
    case INTERNAL_IP6_DNS:
        if (len && len != 16)
            return -1;
        if (len)
            cp_dns(cp, dt_addr6_bytes(p));
        cp->has_dns6 = true;
        return 0;
    case INTERNAL_DNS_DOMAIN:
        cp_domain(cp, p, len);
        cp->has_domain = true;
        return 0;
    default: /* section 3.15.1: what is not known is ignored */
        return 0;
    }
}

int dt_ike_cp_read(struct dt_ike_cp *out, struct dt_span body)
{
    struct dt_reader r;
    *out = (struct dt_ike_cp){0};
    dt_reader_init(&r, body.p, body.len);
    out->type = dt_read_u8(&r);
    dt_read_bytes(&r, 3);
    if (!dt_reader_ok(&r))
        return -1;
    while (dt_reader_left(&r)) {
        uint16_t type = dt_read_be16(&r) & 0x7fff;
        uint16_t len = dt_read_be16(&r);
        const uint8_t *p = dt_read_bytes(&r, len);
        if (!dt_reader_ok(&r) || cp_attribute(out, type, p, len))
            return -1;
    }
    return 0;
}

static void cp_write_one(struct dt_ike_builder *b, uint16_t type, const struct dt_addr *a, int prefix)
{
    size_t len = dt_addr_size(a);
    dt_write_be16(&b->w, type);
    dt_write_be16(&b->w, (uint16_t)(len ? len + (prefix >= 0) : 0));
    dt_write_bytes(&b->w, a->b, len);
    if (len && prefix >= 0)
        dt_write_u8(&b->w, (uint8_t)prefix);
}

static void cp_write_domains(struct dt_ike_builder *b, const struct dt_ike_cp *cp)
{
    const char *at = cp->domains, *name;
    size_t len;
    if (cp->has_domain && cp->domains[0] == '\0') {
        dt_write_be16(&b->w, INTERNAL_DNS_DOMAIN);
        dt_write_be16(&b->w, 0);
    }
    while ((name = dt_domains_next(&at, &len)) != NULL) {
        dt_write_be16(&b->w, INTERNAL_DNS_DOMAIN);
        dt_write_be16(&b->w, (uint16_t)len);
        dt_write_bytes(&b->w, (const uint8_t *)name, len);
    }
}

void dt_ike_cp_write(struct dt_ike_builder *b, const struct dt_ike_cp *cp)
{
    static const struct dt_addr none;
    bool dns4 = false, dns6 = false;
    dt_ike_payload_begin(b, DT_P_CP);
    dt_write_u8(&b->w, cp->type);
    dt_write_reserve(&b->w, 3);
    if (cp->has4)
        cp_write_one(b, INTERNAL_IP4_ADDRESS, &cp->addr4, -1);
    if (cp->has6)
        cp_write_one(b, INTERNAL_IP6_ADDRESS, &cp->addr6, cp->addr6_len);
    for (size_t i = 0; i < cp->ndns; i++) {
        cp_write_one(b, cp->dns[i].ver == 4 ? INTERNAL_IP4_DNS : INTERNAL_IP6_DNS, &cp->dns[i], -1);
        dns4 |= cp->dns[i].ver == 4;
        dns6 |= cp->dns[i].ver == 6;
    }
    if (cp->has_dns4 && !dns4)
        cp_write_one(b, INTERNAL_IP4_DNS, &none, -1);
    if (cp->has_dns6 && !dns6)
        cp_write_one(b, INTERNAL_IP6_DNS, &none, -1);
    cp_write_domains(b, cp);
    dt_ike_payload_end(b);
}
