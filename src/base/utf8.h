/* Text that is UTF-8 (RFC 3629: no surrogates, nothing beyond U+10FFFF, shortest forms alone.) */
#ifndef DT_BASE_UTF8_H
#define DT_BASE_UTF8_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

bool dt_utf8_ok(const char *text); /* up to its NUL */

/* Leaves out, in place, every octet that is no UTF-8. Returns text, which may be NULL. */
char *dt_utf8_mend(char *text);

/* As snprintf, for text that is UTF-8: where the buffer's end or a precision (%.64s) cuts a character, nothing of it is
 * left; nor is any other byte that is no UTF-8. (JSON takes nothing else: a text with half a character is no text there.)
 * cap is not 0. The octets that are in out, without its NUL. */
size_t dt_utf8_printf(char *out, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
size_t dt_utf8_vprintf(char *out, size_t cap, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

#endif
