#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

int(dt_err_set)(struct dt_err *err, uint16_t notify, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        err->notify = notify;
        err->why = 0;
        err->where.addr.ver = 0;
        err->place = 0;
        va_start(ap, fmt);
        dt_utf8_vprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return -1;
}
