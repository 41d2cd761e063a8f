#include "wire/ike_id.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "wire/ike_dn.h"

static int set(struct dt_ike_id *id, uint8_t type, const void *p, size_t len)
{
    if (!len || len > DT_IKE_ID_MAX)
        return -1;
    memset(id, 0, sizeof(*id));
    id->type = type;
    id->len = (uint8_t)len;
    memcpy(id->data, p, len);
    return 0;
}

static bool is_name_type(uint8_t type)
{
    return type == DT_ID_FQDN || type == DT_ID_RFC822_ADDR;
}

/* "id9:0102", an identity of a type that has no text of its own. */
static bool parse_numbered(struct dt_ike_id *id, const char *text)
{
    uint8_t raw[DT_IKE_ID_MAX];
    unsigned type = 0;
    if (strncmp(text, "id", 2) != 0 || text[2] < '1' || text[2] > '9')
        return false;
    const char *at = text + 2;
    for (; *at >= '0' && *at <= '9' && type <= UINT8_MAX; at++)
        type = type * 10 + (unsigned)(*at - '0');
    if (*at != ':' || type > UINT8_MAX || is_name_type((uint8_t)type) || type == DT_ID_KEY_ID)
        return false;
    long n = dt_unhex(raw, sizeof(raw), at + 1);
    return n > 0 && !set(id, (uint8_t)type, raw, (size_t)n);
}

static int dn_set(struct dt_ike_id *id, const char *text)
{
    uint8_t der[DT_IKE_ID_MAX];
    size_t len = dt_ike_dn_parse(der, sizeof(der), text);
    return len ? set(id, DT_ID_DER_ASN1_DN, der, len) : -1;
}

int dt_ike_id_parse(struct dt_ike_id *id, const char *text)
{
    struct dt_addr a;
    uint8_t raw[DT_IKE_ID_MAX];
    if (!strcmp(text, "%any")) {
        memset(id, 0, sizeof(*id));
        return 0;
    }
    if (!strncmp(text, "fqdn:", 5))
        return set(id, DT_ID_FQDN, text + 5, strlen(text + 5));
    if (!strncmp(text, "email:", 6))
        return set(id, DT_ID_RFC822_ADDR, text + 6, strlen(text + 6));
    if (!strncmp(text, "dn:", 3))
        return dn_set(id, text + 3);
    if (!strncmp(text, "keyid:", 6)) {
        long n = dt_unhex(raw, sizeof(raw), text + 6);
        return n > 0 ? set(id, DT_ID_KEY_ID, raw, (size_t)n)
                     : set(id, DT_ID_KEY_ID, text + 6, strlen(text + 6));
    }
    if (parse_numbered(id, text) || (strchr(text, '=') && !dn_set(id, text)))
        return 0;
    if (!dt_addr_parse(&a, text))
        return set(id, a.ver == 4 ? DT_ID_IPV4_ADDR : DT_ID_IPV6_ADDR, a.b, dt_addr_size(&a));
    return set(id, strchr(text, '@') ? DT_ID_RFC822_ADDR : DT_ID_FQDN, text, strlen(text));
}

static char *printable(char *out, size_t cap, const uint8_t *p, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < len && at + 4 < cap; i++)
        if (isgraph(p[i]) && p[i] != '\\')
            out[at++] = (char)p[i];
        else
            at += (size_t)snprintf(out + at, cap - at, "\\x%02x", p[i]);
    out[at] = 0;
    return out;
}

static char *name_str(char *out, const struct dt_ike_id *id)
{
    char text[4 * DT_IKE_ID_MAX + 1];
    struct dt_ike_id again;
    const char *prefix = id->type == DT_ID_FQDN ? "fqdn:" : "email:";
    printable(text, sizeof(text), id->data, id->len);
    if (!id->len || (!dt_ike_id_parse(&again, text) && again.type == id->type &&
                     strncmp(text, prefix, strlen(prefix)) != 0))
        prefix = "";
    snprintf(out, DT_IKE_ID_STRLEN, "%s%s", prefix, text);
    return out;
}

/* Only a text that says which name it is: it is read back as the same. */
static bool dn_str(char *out, const struct dt_ike_id *id)
{
    struct dt_ike_id again;
    return dt_ike_dn_str(out, DT_IKE_ID_STRLEN, id->data, id->len) && !dt_ike_id_parse(&again, out) &&
           dt_ike_id_eq(&again, id);
}

/* Text that is read back as the same octets: not that of hex digits. */
static bool is_text(const uint8_t *p, size_t len)
{
    char text[DT_IKE_ID_MAX + 1];
    uint8_t raw[DT_IKE_ID_MAX];
    for (size_t i = 0; i < len; i++) {
        if (!isprint(p[i]) || p[i] == '\\' || (p[i] == ' ' && (i == 0 || i + 1 == len)))
            return false;
        text[i] = (char)p[i];
    }
    text[len] = '\0';
    return len > 0 && dt_unhex(raw, sizeof(raw), text) <= 0;
}

char *dt_ike_id_str(char *out, const struct dt_ike_id *id)
{
    char hex[2 * DT_IKE_ID_MAX + 1];
    struct dt_addr a;
    switch (id->type) {
    case DT_ID_ANY:
        snprintf(out, DT_IKE_ID_STRLEN, "%%any");
        return out;
    case DT_ID_FQDN:
    case DT_ID_RFC822_ADDR:
        return name_str(out, id);
    case DT_ID_IPV4_ADDR:
    case DT_ID_IPV6_ADDR:
        if (id->len == (id->type == DT_ID_IPV4_ADDR ? 4 : 16)) {
            a = id->len == 4 ? dt_addr4_bytes(id->data) : dt_addr6_bytes(id->data);
            return dt_addr_str(out, &a);
        }
        break;
    default:
        break;
    }
    if (id->type == DT_ID_DER_ASN1_DN && dn_str(out, id))
        return out;
    if (id->type == DT_ID_KEY_ID && is_text(id->data, id->len))
        snprintf(out, DT_IKE_ID_STRLEN, "keyid:%.*s", id->len, (const char *)id->data);
    else if (id->type == DT_ID_KEY_ID)
        snprintf(out, DT_IKE_ID_STRLEN, "keyid:%s", dt_hex(hex, id->data, id->len));
    else
        snprintf(out, DT_IKE_ID_STRLEN, "id%u:%s", id->type, dt_hex(hex, id->data, id->len));
    return out;
}

/* Not tolower and not strncasecmp: a name from the wire may have a zero in it, and the locale does not matter. */
static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool same_name(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

struct dt_ike_id dt_ike_id_canonical(const struct dt_ike_id *id)
{
    struct dt_ike_id out = {.type = id->type, .len = id->len < DT_IKE_ID_MAX ? id->len : DT_IKE_ID_MAX};
    for (size_t i = 0; i < out.len; i++)
        out.data[i] = is_name_type(id->type) ? lower(id->data[i]) : id->data[i];
    if (id->type == DT_ID_DER_ASN1_DN)
        dt_ike_dn_canonical(out.data, out.len);
    return out;
}

char *dt_ike_id_key(char *out, const struct dt_ike_id *id)
{
    struct dt_ike_id c = dt_ike_id_canonical(id);
    return dt_ike_id_str(out, &c);
}

uint64_t dt_ike_id_hash(const struct dt_siphash_key *key, const struct dt_ike_id *id)
{
    struct dt_ike_id c = dt_ike_id_canonical(id);
    return dt_siphash(key, &c, offsetof(struct dt_ike_id, data) + c.len);
}

bool dt_ike_id_eq(const struct dt_ike_id *a, const struct dt_ike_id *b)
{
    if (a->type != b->type || a->len != b->len)
        return false;
    if (a->type == DT_ID_DER_ASN1_DN) {
        struct dt_ike_id x = dt_ike_id_canonical(a), y = dt_ike_id_canonical(b);
        return !memcmp(x.data, y.data, x.len);
    }
    return is_name_type(a->type) ? same_name(a->data, b->data, a->len) : !memcmp(a->data, b->data, a->len);
}

int dt_ike_id_cmp(const struct dt_ike_id *a, const struct dt_ike_id *b)
{
    if (a->type != b->type || a->len != b->len)
        return a->type != b->type ? a->type - b->type : a->len - b->len;
    if (a->type == DT_ID_DER_ASN1_DN) {
        struct dt_ike_id x = dt_ike_id_canonical(a), y = dt_ike_id_canonical(b);
        return memcmp(x.data, y.data, x.len);
    }
    for (size_t i = 0; i < a->len; i++) {
        int x = is_name_type(a->type) ? lower(a->data[i]) : a->data[i],
            y = is_name_type(a->type) ? lower(b->data[i]) : b->data[i];
        if (x != y)
            return x - y;
    }
    return 0;
}

bool dt_ike_id_is_pattern(const struct dt_ike_id *id)
{
    return is_name_type(id->type) && id->len > 2 && id->data[0] == '*' &&
           (id->data[1] == '.' || id->data[1] == '@');
}

int dt_ike_id_parse_pattern(struct dt_ike_id *id, const char *text)
{
    if (dt_ike_id_parse(id, text))
        return -1;
    const uint8_t *star = is_name_type(id->type) ? memrchr(id->data, '*', id->len) : NULL;
    return !star || (star == id->data && dt_ike_id_is_pattern(id)) ? 0 : -1;
}

bool dt_ike_id_matches(const struct dt_ike_id *pattern, const struct dt_ike_id *id)
{
    if (pattern->type == DT_ID_ANY)
        return true;
    if (pattern->type != id->type)
        return false;
    if (dt_ike_id_is_pattern(pattern)) {
        size_t tail = pattern->len - 1u;
        return id->len > tail && same_name(pattern->data + 1, id->data + id->len - tail, tail);
    }
    return dt_ike_id_eq(pattern, id);
}
