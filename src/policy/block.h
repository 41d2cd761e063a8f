/* The text of a configuration as sections and settings, with lines: the part of libconfuse's grammar that
 * Dovetail's files use, read without knowing the sections' meaning. A file of 100,000 rules is read in one
 * pass (libconfuse looks through all earlier sections of the same kind for each new one).
 *
 *     name = value      name = { value, value }      name += value      kind "title" { ... }      kind { ... }
 *
 * Values: words, numbers, "quoted" or 'quoted' strings. Comments: # and // to the line's end, and C's. */
#ifndef DT_POLICY_BLOCK_H
#define DT_POLICY_BLOCK_H

#include <stddef.h>

#include "base/err.h"

#define DT_BLOCK_TEXT_MAX  ((size_t)256 << 20) /* bytes of one file */
#define DT_BLOCK_DEPTH_MAX 8                   /* sections inside sections */

struct dt_setting {
    const char *key;
    unsigned line;
    size_t value, n; /* values[value] .. values[value + n - 1] of the file */
};

struct dt_block {
    const char *kind, *title; /* title NULL when there is none */
    unsigned line;
    unsigned inner;    /* line of the first section inside it, which is skipped; 0: none */
    size_t setting, n; /* settings[setting] .. of the file */
};

struct dt_block_file {
    struct dt_block *blocks;
    struct dt_setting *settings;
    const char **values;
    size_t nblocks, nsettings, nvalues;
    size_t top_n;      /* top-level settings seen (they are not kept) ... */
    unsigned top_line; /* ... and the line of the first, whose name is top_key */
    const char *top_key;
    char *strings; /* what all of the above point into; wiped at free: there may be secrets among them */
    size_t nstrings;
};

/* 0, or -1 with "file:line: what, and what would be right". dt_block_file_free() either way. */
int dt_block_parse(struct dt_block_file *out, const char *text, size_t len, const char *file,
                   struct dt_err *err);
void dt_block_file_free(struct dt_block_file *f);

#endif
