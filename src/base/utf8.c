#include "base/utf8.h"

#include <stdint.h>

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

bool dt_utf8_ok(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    while (*p) {
        uint32_t code, least;
        int n = followers(*p++, &code, &least);
        if (n < 0)
            return false;
        for (; n > 0; n--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*p & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return false;
    }
    return true;
}
