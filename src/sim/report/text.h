/* Text that grows, for reports: built in memory, then written to a file whole or not at all. */
#ifndef DT_SIM_TEXT_H
#define DT_SIM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "base/time.h"

struct sim_text {
    char *p; /* NUL-terminated once anything was added */
    size_t len, cap;
    bool failed; /* memory ran out; what was added later is missing */
};

void sim_text_free(struct sim_text *t);
void sim_text_add(struct sim_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_text_put(struct sim_text *t, const char *s);
/* With &, <, > and quotes written as HTML and XML want them. */
void sim_text_escape(struct sim_text *t, const char *s);
/* A JSON string with its quotes. */
void sim_text_json(struct sim_text *t, const char *s);

/* Writes to a temporary file beside `path` and renames it, so that `path` is either the whole text or what it was
 * before. -1 and one sentence when that fails (no space, no such folder): nothing is left behind. */
int sim_text_write(const struct sim_text *t, const char *path, struct dt_err *err);

/* "850 ms", "12.031 s", "3 min 20 s", "7 h 51 min", "never": for people. Returns out. */
#define SIM_SPAN_LEN 32
char *sim_span(char out[SIM_SPAN_LEN], dt_time t);

#endif
