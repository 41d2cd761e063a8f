#include "base/source.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

struct dt_sources *dt_sources_new(void)
{
    struct dt_sources *s = calloc(1, sizeof(*s));
    if (s != NULL)
        s->refs = 1;
    return s;
}

struct dt_sources *dt_sources_ref(struct dt_sources *s)
{
    s->refs++;
    return s;
}

void dt_sources_unref(struct dt_sources *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].file);
    free(s->v);
    free(s);
}

long dt_sources_add(struct dt_sources *s, const char *file, unsigned lines)
{
    if (s->n == DT_SOURCES_MAX || lines > INT_MAX - s->places)
        return -1;
    struct dt_source *v = realloc(s->v, (s->n + 1) * sizeof(*v));
    if (v == NULL)
        return -1;
    s->v = v;
    v[s->n] = (struct dt_source){.file = dt_utf8_mend(strdup(file)), .first = s->places};
    if (v[s->n].file == NULL)
        return -1;
    s->places += lines;
    return v[s->n++].first;
}

const char *dt_source_at(const struct dt_sources *s, unsigned place, unsigned *line)
{
    size_t i = s->n;
    *line = 0;
    if (i == 0)
        return "";
    while (i > 1 && s->v[i - 1].first >= place)
        i--;
    *line = place - s->v[i - 1].first;
    return s->v[i - 1].file;
}

unsigned dt_source_place(const struct dt_sources *s, const char *file, unsigned line)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->v[i].file, file) == 0)
            return s->v[i].first + line;
    return 0;
}

char *dt_source_str(char *out, const struct dt_sources *s, unsigned place)
{
    unsigned line;
    const char *file = dt_source_at(s, place, &line);
    if (line > 0)
        dt_utf8_printf(out, DT_SOURCE_STRLEN, "%.480s:%u", file, line);
    else
        dt_utf8_printf(out, DT_SOURCE_STRLEN, "%.480s", file);
    return out;
}

char *dt_source_line(char *out, const struct dt_sources *s, unsigned place, unsigned from)
{
    unsigned line, other;
    const char *file = dt_source_at(s, place, &line), *here = dt_source_at(s, from, &other);
    if (file == here)
        snprintf(out, DT_SOURCE_LINELEN, "line %u", line);
    else
        dt_utf8_printf(out, DT_SOURCE_LINELEN, "%.100s:%u", file, line);
    return out;
}

int(dt_source_fail)(struct dt_err *err, const struct dt_sources *s, unsigned place, const char *fmt, ...)
{
    char at[DT_SOURCE_STRLEN], text[DT_ERR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    dt_err_set(err, 0, "%s: %s", dt_source_str(at, s, place), text);
    if (err != NULL)
        err->place = place;
    return -1;
}
