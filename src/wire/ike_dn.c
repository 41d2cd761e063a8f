#include "wire/ike_dn.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

enum {
    TAG_OID = 0x06,
    TAG_UTF8 = 0x0c,
    TAG_PRINTABLE = 0x13,
    TAG_T61 = 0x14,
    TAG_IA5 = 0x16,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31
};

static const struct {
    const char *name, *oid; /* hex */
    uint8_t tag;            /* of its value, as OpenSSL writes it */
} types[] = {
    {"CN", "550403", TAG_UTF8},
    {"C", "550406", TAG_PRINTABLE},
    {"L", "550407", TAG_UTF8},
    {"ST", "550408", TAG_UTF8},
    {"O", "55040a", TAG_UTF8},
    {"OU", "55040b", TAG_UTF8},
    {"serialNumber", "550405", TAG_PRINTABLE},
    {"DC", "0992268993f22c640119", TAG_IA5},
    {"UID", "0992268993f22c640101", TAG_UTF8},
    {"E", "2a864886f70d010901", TAG_IA5},
    {"emailAddress", "2a864886f70d010901", TAG_IA5},
};

/* ---- DER ---- */

struct tlv {
    uint8_t tag;
    const uint8_t *p;
    size_t len;
};

/* The next one; false: there is none that is whole. An identity has no length of two octets. */
static bool tlv_next(struct dt_reader *r, struct tlv *out)
{
    out->tag = dt_read_u8(r);
    out->len = dt_read_u8(r);
    bool longer = out->len == 0x81;
    if (longer)
        out->len = dt_read_u8(r);
    if (longer ? out->len < 0x80 : out->len > 0x7f) /* the shortest form alone */
        return false;
    out->p = dt_read_bytes(r, out->len);
    return dt_reader_ok(r);
}

static bool tlv_only(const uint8_t *p, size_t len, uint8_t tag, struct dt_reader *inside)
{
    struct dt_reader r;
    struct tlv t;
    dt_reader_init(&r, p, len);
    if (!tlv_next(&r, &t) || t.tag != tag || dt_reader_left(&r))
        return false;
    dt_reader_init(inside, t.p, t.len);
    return true;
}

/* AttributeTypeAndValue. */
struct attribute {
    struct tlv type, value;
};

static bool attribute_next(struct dt_reader *set, struct attribute *a)
{
    struct tlv one;
    struct dt_reader in;
    if (!tlv_next(set, &one) || one.tag != TAG_SEQUENCE)
        return false;
    dt_reader_init(&in, one.p, one.len);
    return tlv_next(&in, &a->type) && a->type.tag == TAG_OID && a->type.len > 0 && tlv_next(&in, &a->value) &&
           !dt_reader_left(&in);
}

/* ---- the same ---- */

static bool octets_are_ascii(const struct tlv *t)
{
    for (size_t i = 0; i < t->len; i++)
        if (t->p[i] >= 0x80 || t->p[i] == 0)
            return false;
    return true;
}

static bool is_string(uint8_t tag)
{
    return tag == TAG_UTF8 || tag == TAG_PRINTABLE || tag == TAG_T61 || tag == TAG_IA5;
}

/* Well formed as a whole? each: called for every attribute; NULL: nobody. */
static bool dn_walk(const uint8_t *der, size_t len,
                    void (*each)(void *ctx, const struct attribute *a, bool first), void *ctx)
{
    struct dt_reader rdns, set;
    struct tlv one;
    struct attribute a;
    if (!tlv_only(der, len, TAG_SEQUENCE, &rdns) || !dt_reader_left(&rdns))
        return false;
    while (dt_reader_left(&rdns)) {
        if (!tlv_next(&rdns, &one) || one.tag != TAG_SET || !one.len)
            return false;
        dt_reader_init(&set, one.p, one.len);
        for (bool first = true; dt_reader_left(&set); first = false) {
            if (!attribute_next(&set, &a))
                return false;
            if (each)
                each(ctx, &a, first);
        }
    }
    return true;
}

/* The octets are ours: `der` was given to be changed. */
static void attribute_canonical(void *ctx, const struct attribute *a, bool first)
{
    uint8_t *base = ctx;
    const uint8_t *start = base;
    if (!is_string(a->value.tag) || !octets_are_ascii(&a->value))
        return;
    uint8_t *value = base + (a->value.p - start);
    size_t head = a->value.len > 0x7f ? 3 : 2;
    value[-(ptrdiff_t)head] = TAG_UTF8;
    for (size_t i = 0; i < a->value.len; i++)
        value[i] = value[i] >= 'A' && value[i] <= 'Z' ? value[i] | 0x20 : value[i];
}

void dt_ike_dn_canonical(uint8_t *der, size_t len)
{
    if (dn_walk(der, len, NULL, NULL))
        dn_walk(der, len, attribute_canonical, der);
}

/* ---- text of DER ---- */

struct dn_text {
    char *out;
    size_t cap, at;
    bool bad;
};

static void text_add(struct dn_text *t, const char *s, size_t n)
{
    if (t->at + n + 1 > t->cap) {
        t->bad = true;
        return;
    }
    memcpy(t->out + t->at, s, n);
    t->at += n;
    t->out[t->at] = '\0';
}

/* "1.2.840.113549": base 128, the first two arcs in one. */
static void oid_add(struct dn_text *t, const struct tlv *oid)
{
    uint64_t arc = 0;
    char one[32];
    bool first = true;
    for (size_t i = 0; i < oid->len; i++) {
        if (arc > UINT32_MAX || (arc == 0 && oid->p[i] == 0x80)) {
            t->bad = true;
            return;
        }
        arc = arc << 7 | (oid->p[i] & 0x7f);
        if (oid->p[i] & 0x80)
            continue;
        unsigned top = arc < 40 ? 0 : arc < 80 ? 1 : 2;
        int n = first ? snprintf(one, sizeof(one), "%u.%llu", top, (unsigned long long)(arc - 40u * top))
                      : snprintf(one, sizeof(one), ".%llu", (unsigned long long)arc);
        text_add(t, one, (size_t)n);
        first = false;
        arc = 0;
    }
    t->bad |= (oid->p[oid->len - 1] & 0x80) != 0;
}

static void type_add(struct dn_text *t, const struct tlv *oid)
{
    char hex[2 * 64 + 1];
    for (size_t i = 0; oid->len <= 64 && i < DT_ARRAY_LEN(types); i++)
        if (!strcmp(dt_hex(hex, oid->p, oid->len), types[i].oid)) {
            text_add(t, types[i].name, strlen(types[i].name));
            return;
        }
    oid_add(t, oid);
}

static void value_add(struct dn_text *t, const struct tlv *v)
{
    t->bad |= !is_string(v->tag) || !v->len;
    for (size_t i = 0; i < v->len; i++) {
        char c = (char)v->p[i];
        bool end = i == 0 || i + 1 == v->len;
        t->bad |= v->p[i] < ' ' || v->p[i] >= 0x7f;
        if (c == ',' || c == '\\' || (c == ' ' && end))
            text_add(t, "\\", 1);
        text_add(t, &c, 1);
    }
}

static void attribute_text(void *ctx, const struct attribute *a, bool first)
{
    struct dn_text *t = ctx;
    t->bad |= !first; /* several in one RDN */
    if (t->at)
        text_add(t, ", ", 2);
    type_add(t, &a->type);
    text_add(t, "=", 1);
    value_add(t, &a->value);
}

bool dt_ike_dn_str(char *out, size_t cap, const uint8_t *der, size_t len)
{
    struct dn_text t = {.out = out, .cap = cap};
    if (!cap)
        return false;
    out[0] = '\0';
    return dn_walk(der, len, attribute_text, &t) && !t.bad;
}

/* ---- DER of text ---- */

/* Base 128; false: no number, or too long a one. */
static bool arc_write(struct dt_writer *w, uint64_t arc)
{
    if (arc > UINT32_MAX)
        return false;
    for (int shift = 28; shift > 0; shift -= 7)
        if (arc >> shift)
            dt_write_u8(w, (uint8_t)(0x80 | ((arc >> shift) & 0x7f)));
    dt_write_u8(w, (uint8_t)(arc & 0x7f));
    return true;
}

static size_t oid_parse(uint8_t *out, size_t cap, const char *text, size_t len)
{
    struct dt_writer w;
    uint64_t arc = 0, top = 0;
    unsigned n = 0;
    dt_writer_init(&w, out, cap);
    for (size_t i = 0; i <= len; i++) {
        if (i < len && text[i] >= '0' && text[i] <= '9' && arc <= UINT32_MAX) {
            arc = arc * 10 + (uint64_t)(text[i] - '0');
            continue;
        }
        if ((i < len && text[i] != '.') || i == 0 || text[i - 1] == '.')
            return 0;
        if (n == 0)
            top = arc;
        if (n == 0   ? top > 2
            : n == 1 ? (top < 2 && arc > 39) || !arc_write(&w, 40 * top + arc)
                     : !arc_write(&w, arc))
            return 0;
        n++;
        arc = 0;
    }
    return n >= 2 && dt_writer_ok(&w) ? dt_writer_len(&w) : 0;
}

static size_t type_parse(uint8_t *out, size_t cap, const char *text, size_t len, uint8_t *tag)
{
    *tag = TAG_UTF8;
    for (size_t i = 0; i < DT_ARRAY_LEN(types); i++)
        if (strlen(types[i].name) == len && !strncasecmp(types[i].name, text, len)) {
            long n = dt_unhex(out, cap, types[i].oid);
            *tag = types[i].tag;
            return n > 0 ? (size_t)n : 0;
        }
    return oid_parse(out, cap, text, len);
}

static void tlv_write(struct dt_writer *w, uint8_t tag, const uint8_t *p, size_t len)
{
    dt_write_u8(w, tag);
    if (len > 0x7f)
        dt_write_u8(w, 0x81);
    if (len > 0xff)
        w->failed = true; /* no identity is so long */
    dt_write_u8(w, (uint8_t)len);
    dt_write_bytes(w, p, len);
}

/* "TYPE=VALUE" up to a comma; *text moves behind it. False: it is none. */
static bool rdn_parse(struct dt_writer *w, const char **text)
{
    uint8_t oid[64], value[256], seq[300], set[300], tag;
    struct dt_writer inner;
    const char *p = *text + strspn(*text, " ");
    size_t type = strcspn(p, "=, "), n = 0, keep = 0;
    size_t oid_len = p[type] == '=' ? type_parse(oid, sizeof(oid), p, type, &tag) : 0;
    if (!oid_len)
        return false;
    for (p += type + 1; *p && *p != ',' && n < sizeof(value); p++) {
        bool escaped = *p == '\\' && p[1];
        p += escaped;
        value[n++] = (uint8_t)*p;
        if (escaped || *p != ' ')
            keep = n;
    }
    if (!keep || (*p && *p != ','))
        return false;
    dt_writer_init(&inner, seq, sizeof(seq));
    tlv_write(&inner, TAG_OID, oid, oid_len);
    tlv_write(&inner, tag, value, keep);
    size_t seq_len = dt_writer_len(&inner);
    bool ok = dt_writer_ok(&inner);
    dt_writer_init(&inner, set, sizeof(set));
    tlv_write(&inner, TAG_SEQUENCE, seq, ok ? seq_len : 0);
    tlv_write(w, TAG_SET, set, dt_writer_len(&inner));
    *text = *p ? p + 1 : p;
    return ok && dt_writer_ok(&inner) && (!*p || p[1]);
}

size_t dt_ike_dn_parse(uint8_t *out, size_t cap, const char *text)
{
    uint8_t rdns[256];
    struct dt_writer w;
    dt_writer_init(&w, rdns, sizeof(rdns));
    do
        if (!rdn_parse(&w, &text))
            return 0;
    while (*text);
    size_t len = dt_writer_len(&w);
    bool ok = dt_writer_ok(&w);
    dt_writer_init(&w, out, cap);
    tlv_write(&w, TAG_SEQUENCE, rdns, ok ? len : 0);
    return ok && dt_writer_ok(&w) ? dt_writer_len(&w) : 0;
}
