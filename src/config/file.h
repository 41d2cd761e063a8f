/* Settings files from the disk, dovetaild's and dovetail-natd's: one file and all that it includes, as blocks (base/block.h).
 *
 * An include names a file, or a pattern of the shell's with *, ? or [: relative to the file that it stands in. A pattern that
 * matches nothing is fine, a file that is not there is an error. What a pattern matches is read in the order of the
 * names; only regular files are read. */
#ifndef DT_CONFIG_FILE_H
#define DT_CONFIG_FILE_H

#include "base/block.h"
#include "base/err.h"

#define DT_CONFIG_TEXT_MAX ((size_t)64 << 20) /* bytes of one file */

/* 0, or -1 with "file:line: what, and what would be right" (or "file: cannot be read: ..."). dt_block_file_free() either
 * way. */
int dt_config_file_read(struct dt_block_file *out, const char *file, struct dt_err *err);

/* The pieces, for who has the text already. dt_config_includer opens files; the text of a file is wiped when it is given
 * back. -1 with *err, a sentence without the file's name. */
extern const struct dt_block_includer dt_config_includer;
int dt_config_text_read(struct dt_block_text *out, const char *file, struct dt_err *err);
void dt_config_text_free(struct dt_block_text *t);

#endif
