#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The bytes that follow a first byte, and the lowest code that may need so many; -1: no first byte. */
static int followers(uint8_t first, uint32_t *code, uint32_t *least)
{
    static const struct {
        uint8_t mask, is;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (int i = 0; i < 4; i++)
        if ((first & forms[i].mask) == forms[i].is) {
            *code = first & (uint8_t)~forms[i].mask;
            *least = forms[i].least;
            return i;
        }
    return -1;
}

/* The octets of the character that begins here; 0: none does. */
static size_t char_len(const uint8_t *p)
{
    uint32_t code, least;
    int n = followers(*p, &code, &least);
    if (n < 0)
        return 0;
    for (int i = 1; i <= n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return (size_t)n + 1;
}

bool dt_utf8_ok(const char *text)
{
    for (const uint8_t *p = (const uint8_t *)text; *p;) {
        size_t n = char_len(p);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

char *dt_utf8_mend(char *text)
{
    if (text == NULL || dt_utf8_ok(text))
        return text;
    const uint8_t *from = (const uint8_t *)text;
    char *to = text;
    while (*from) {
        size_t n = char_len(from);
        memmove(to, from, n);
        to += n;
        from += n ? n : 1;
    }
    *to = '\0';
    return text;
}

size_t dt_utf8_vprintf(char *out, size_t cap, const char *fmt, va_list ap)
{
    vsnprintf(out, cap, fmt, ap);
    return strlen(dt_utf8_mend(out));
}

size_t dt_utf8_printf(char *out, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = dt_utf8_vprintf(out, cap, fmt, ap);
    va_end(ap);
    return n;
}
