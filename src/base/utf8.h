/* Is a text UTF-8? (RFC 3629: no surrogates, nothing beyond U+10FFFF, shortest forms alone.) */
#ifndef DT_BASE_UTF8_H
#define DT_BASE_UTF8_H

#include <stdbool.h>

bool dt_utf8_ok(const char *text); /* up to its NUL */

#endif
