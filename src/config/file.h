/* Settings files from the disk, dovetaild's and dovetail-natd's: one file and all that it includes, as blocks (base/block.h).
 *
 * An include names a file, or a pattern of the shell's with *, ? or [: relative to the file that it stands in. A pattern that
 * matches nothing is fine, a file that is not there is an error. What a pattern matches is read in the order of the
 * names; only regular files are read. */
#ifndef DT_CONFIG_FILE_H
#define DT_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/block.h"
#include "base/err.h"

#define DT_CONFIG_TEXT_MAX ((size_t)64 << 20) /* bytes of one file */

struct dt_config_paths {
    char **v; /* each by itself */
    size_t n;
};
void dt_config_paths_free(struct dt_config_paths *l);

/* Who opens files: a daemon without rights has it done. */
struct dt_config_opener {
    /* For reading; a secret's file only when it is no symbolic link (ELOOP). The descriptor, or -1 with errno. */
    int (*open)(void *user, const char *path, bool secret);
    /* What a pattern matches, in order, without folders. 0 (none is fine), or -1 with errno. */
    int (*match)(void *user, const char *pattern, struct dt_config_paths *out);
    void *user;
};
extern const struct dt_config_opener dt_config_disk; /* this process, with its own rights */

/* 0, or -1 with "file:line: what, and what would be right" (or "file: cannot be read: ..."). dt_block_file_free() either
 * way. */
int dt_config_file_read(struct dt_block_file *out, const char *file, const struct dt_config_opener *opener,
                        struct dt_err *err);
/* Each file that the settings of a dovetaild name, in any section; one that is named twice comes twice. secret: of pre-shared
 * keys, or a private key; else certificates and CRLs, which everybody may read. */
void dt_config_named_files(const struct dt_block_file *f,
                           void (*each)(void *user, const char *path, bool secret), void *user);

/* The pieces, for who has the text already. The text of a file is wiped when it is given back. -1 with *err, a sentence
 * without the file's name. */
struct dt_block_includer dt_config_includer(const struct dt_config_opener *opener); /* borrowed */
int dt_config_text_read(struct dt_block_text *out, const char *file, const struct dt_config_opener *opener,
                        struct dt_err *err);
void dt_config_text_free(struct dt_block_text *t);

#endif
