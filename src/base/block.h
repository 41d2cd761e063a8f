/* The one grammar of Dovetail's settings files, dovetaild's and dovetail-natd's: a text as sections and settings, each with
 * its place (base/source.h), read in one pass without knowing what the sections mean. No file is opened here.
 *
 *     name = value      name = { value, value }      name += value      kind "title" { ... }      kind { ... }
 *     include("FILE")
 *
 * Values: words, numbers, "quoted" or 'quoted' strings, of UTF-8 (a secret may be of anything). Comments: # and // to the
 * line's end, and C's. A byte order mark before the text is skipped. An include stands outside of sections; what it names
 * is read in its place. */
#ifndef DT_BASE_BLOCK_H
#define DT_BASE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/source.h"

#define DT_BLOCK_TEXT_MAX    ((size_t)256 << 20) /* bytes of all files together */
#define DT_BLOCK_DEPTH_MAX   8                   /* sections inside sections */
#define DT_BLOCK_INCLUDE_MAX 8                   /* files inside files */

struct dt_setting {
    const char *key;
    unsigned line;   /* its place */
    size_t value, n; /* values[value] .. values[value + n - 1] of the file */
    bool add;        /* += */
    bool cut;        /* a # stands at its last word without a blank before it: what follows is a comment */
};

struct dt_block {
    const char *kind, *title; /* title NULL when there is none */
    unsigned line;            /* its place */
    unsigned inner;           /* place of the first section inside it, which is skipped; 0: none */
    size_t setting, n;        /* settings[setting] .. of the file */
};

struct dt_block_file {
    struct dt_sources *sources;
    struct dt_block *blocks;
    struct dt_setting *settings;
    struct dt_setting *top; /* those outside of every section */
    const char **values;
    size_t nblocks, nsettings, ntop, nvalues;
    struct dt_block_strings
        *strings; /* what all of the above point into; wiped at free: secrets are among them */
};

/* A file that an include names. */
struct dt_block_text {
    char *file; /* for messages, and what its own includes are relative to */
    char *id;   /* the same for one file under every name: files that hold themselves are found by it */
    char *text;
    size_t len;
};

/* Who opens files. */
struct dt_block_includer {
    /* What `pattern`, written in the file `from`, names: *n files (none is fine). -1 with a sentence in *err, without file
     * and line. `close` takes *list back. */
    int (*open)(void *user, const char *from, const char *pattern, struct dt_block_text **list, size_t *n,
                struct dt_err *err);
    void (*close)(void *user, struct dt_block_text *list, size_t n);
    void *user;
};

/* inc NULL: an include is an error. 0, or -1 with "file:line: what, and what would be right". dt_block_file_free() either way;
 * the sources live on where somebody has taken a reference. */
int dt_block_parse(struct dt_block_file *out, const struct dt_block_text *first,
                   const struct dt_block_includer *inc, struct dt_err *err);
void dt_block_file_free(struct dt_block_file *f);

#endif
