#include "wire/ike_id.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/bytes.h"

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
    if (!strncmp(text, "keyid:", 6)) {
        long n = dt_unhex(raw, sizeof(raw), text + 6);
        return n > 0 ? set(id, DT_ID_KEY_ID, raw, (size_t)n)
                     : set(id, DT_ID_KEY_ID, text + 6, strlen(text + 6));
    }
    if (!dt_addr_parse(&a, text))
        return set(id, a.ver == 4 ? DT_ID_IPV4_ADDR : DT_ID_IPV6_ADDR, a.b, dt_addr_size(&a));
    return set(id, strchr(text, '@') ? DT_ID_RFC822_ADDR : DT_ID_FQDN, text, strlen(text));
}

static char *printable(char *out, size_t cap, const uint8_t *p, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < len && at + 5 < cap; i++)
        if (isgraph(p[i]) && p[i] != '\\')
            out[at++] = (char)p[i];
        else
            at += (size_t)snprintf(out + at, cap - at, "\\x%02x", p[i]);
    out[at] = 0;
    return out;
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
        return printable(out, DT_IKE_ID_STRLEN, id->data, id->len);
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
    if (id->type == DT_ID_KEY_ID)
        snprintf(out, DT_IKE_ID_STRLEN, "keyid:%s", dt_hex(hex, id->data, id->len));
    else
        snprintf(out, DT_IKE_ID_STRLEN, "id%u:%s", id->type, dt_hex(hex, id->data, id->len));
    return out;
}

static bool is_name(uint8_t type)
{
    return type == DT_ID_FQDN || type == DT_ID_RFC822_ADDR;
}

bool dt_ike_id_eq(const struct dt_ike_id *a, const struct dt_ike_id *b)
{
    if (a->type != b->type || a->len != b->len)
        return false;
    return is_name(a->type) ? !strncasecmp((const char *)a->data, (const char *)b->data, a->len)
                            : !memcmp(a->data, b->data, a->len);
}

bool dt_ike_id_matches(const struct dt_ike_id *pattern, const struct dt_ike_id *id)
{
    if (pattern->type == DT_ID_ANY)
        return true;
    if (pattern->type != id->type)
        return false;
    if (is_name(pattern->type) && pattern->len > 1 && pattern->data[0] == '*') {
        size_t tail = pattern->len - 1u;
        return id->len > tail &&
               !strncasecmp((const char *)pattern->data + 1, (const char *)id->data + id->len - tail, tail);
    }
    return dt_ike_id_eq(pattern, id);
}
