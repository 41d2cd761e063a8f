/* A text that a test puts together. */
#ifndef DT_TEST_SUPPORT_TEXT_H
#define DT_TEST_SUPPORT_TEXT_H

#include "support/test.h"

struct text {
    size_t len;
    char v[160 * 1024];
};

/* Adds to the end; a text that has no room for it fails the test. */
static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void say(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    t->len += (size_t)vsnprintf(t->v + t->len, sizeof(t->v) - t->len, fmt, ap);
    va_end(ap);
    assert_true(t->len < sizeof(t->v));
}

#endif
