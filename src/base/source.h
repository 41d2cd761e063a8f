/* Where the pieces of a text come from. Settings may stand in several files, one including the other. Every line of all
 * of them has one number, its place: the first file's places are its lines, and those of each further file follow. So with
 * one file a place is a line, and 0 is the file as a whole. */
#ifndef DT_BASE_SOURCE_H
#define DT_BASE_SOURCE_H

#include <stddef.h>

#include "base/err.h"

#define DT_SOURCES_MAX    1024 /* files */
#define DT_SOURCE_STRLEN  512
#define DT_SOURCE_LINELEN 128

struct dt_source {
    char *file;     /* as it is named in messages */
    unsigned first; /* its lines are first + 1, ... */
};

/* Counted by reference: settings, rules and complaints of one reading share it. Never changed once it is read. */
struct dt_sources {
    unsigned refs;
    size_t n;
    unsigned places; /* given so far */
    struct dt_source *v;
};

struct dt_sources *dt_sources_new(void); /* one reference; NULL: no memory */
struct dt_sources *dt_sources_ref(struct dt_sources *s);
void dt_sources_unref(struct dt_sources *s); /* NULL is fine */
/* A file of so many lines; the place before its first line, or -1: no memory, or more than DT_SOURCES_MAX files. */
long dt_sources_add(struct dt_sources *s, const char *file, unsigned lines);

/* The file of a place, and the line there. Place 0: the first file, and line 0. */
const char *dt_source_at(const struct dt_sources *s, unsigned place, unsigned *line);
/* The place of a line; 0 when there is no such file. */
unsigned dt_source_place(const struct dt_sources *s, const char *file, unsigned line);
/* "file:line", or "file" for place 0, into out of DT_SOURCE_STRLEN bytes; returns out. */
char *dt_source_str(char *out, const struct dt_sources *s, unsigned place);
/* How a sentence about `from` speaks of `place`: "line 7", or "FILE:7" in another file. DT_SOURCE_LINELEN bytes. */
char *dt_source_line(char *out, const struct dt_sources *s, unsigned place, unsigned from);

/* As dt_err_set: "file:line: " and the sentence, with err->place. Returns -1. */
int dt_source_fail(struct dt_err *err, const struct dt_sources *s, unsigned place, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#ifdef __clang_analyzer__ /* which does not see into other files */
#define dt_source_fail(...) (dt_source_fail(__VA_ARGS__), -1)
#endif

#endif
