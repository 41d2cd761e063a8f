/* Errors are values: the protocol's notify type and a sentence for a human with both sides' values in it. */
#ifndef DT_BASE_ERR_H
#define DT_BASE_ERR_H

#include <stdint.h>

#include "base/addr.h"

#define DT_ERR_TEXT 512

struct dt_err {
    uint16_t notify;        /* RFC 7296 section 3.10.1 notify message type; 0 where no protocol error fits */
    uint16_t why; /* a reason of Dovetail's own that peers tell each other (wire/ike_notify.h); 0: none */
    struct dt_addrport where; /* the address that `why` speaks of; ver 0: none */
    unsigned place;           /* of what was read (base/source.h), with which the text begins; 0: none */
    char text[DT_ERR_TEXT]; /* one sentence, no newline; empty when there is no error */
};

/* Fills *err (which may be NULL), without a `why`, and returns -1, so that `return dt_err_set(...)` ends a function.
 * Text that does not fit is cut. */
int dt_err_set(struct dt_err *err, uint16_t notify, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ /* which does not see into other files */
#define dt_err_set(...) (dt_err_set(__VA_ARGS__), -1)
#endif

#endif
