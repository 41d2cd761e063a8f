#include "base/domain.h"

#include <stdio.h>
#include <string.h>

static char small_letter(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool in_a_label(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dt_domain_clean(char out[DT_DOMAIN_MAX + 1], const char *text, size_t len)
{
    size_t label = 0, n = len > 0 && text[len - 1] == '.' ? len - 1 : len;
    bool ok = n > 0 && n <= DT_DOMAIN_MAX && text[0] != '-';
    for (size_t i = 0; i < n && ok; i++) {
        char c = small_letter(text[i]);
        bool dot = c == '.';
        ok = dot ? label > 0 : in_a_label(c) && label < 63;
        label = dot ? 0 : label + 1;
        out[i] = c;
    }
    ok = ok && label > 0;
    out[ok ? n : 0] = '\0';
    return ok;
}

const char *dt_domains_next(const char **at, size_t *len)
{
    const char *from = *at + (**at == ' ');
    *len = strcspn(from, " ");
    *at = from + *len;
    return *len > 0 ? from : NULL;
}

bool dt_domains_add(char list[DT_DOMAINS_CAP], const char *name)
{
    size_t used = strlen(list), len, n = strlen(name);
    const char *at = list, *one;
    while ((one = dt_domains_next(&at, &len)) != NULL)
        if (len == n && memcmp(one, name, n) == 0)
            return true;
    if (used + (used > 0) + n >= DT_DOMAINS_CAP)
        return false;
    snprintf(list + used, DT_DOMAINS_CAP - used, "%s%s", used > 0 ? " " : "", name);
    return true;
}

bool dt_domains_ok(const char list[DT_DOMAINS_CAP])
{
    char again[DT_DOMAINS_CAP] = "", one[DT_DOMAIN_MAX + 1];
    const char *at = list, *name;
    size_t len;
    if (memchr(list, '\0', DT_DOMAINS_CAP) == NULL)
        return false;
    while ((name = dt_domains_next(&at, &len)) != NULL)
        if (!dt_domain_clean(one, name, len) || !dt_domains_add(again, one))
            return false;
    return strcmp(again, list) == 0;
}
