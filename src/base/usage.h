/* What a program, or a subcommand, says of itself. Its parser, its help, its manual page and the completion of shells are
 * made of this one table (docs/pages). */
#ifndef DT_BASE_USAGE_H
#define DT_BASE_USAGE_H

#include <stddef.h>
#include <stdio.h>

struct option;

struct dt_usage_option {
    const char *name;  /* without the dashes */
    const char *value; /* what stands for its value, "SECONDS"; NULL: a switch; "[FILE]": it may be left out.
                        * FILE, PATH and DIR are completed as such */
    const char *text;  /* in a few words, without a stop */
    int key; /* dt_usage_getopt: what getopt_long answers; below 256 it is a letter of its own, too */
};

struct dt_usage {
    const char *name;     /* "dovetail up" */
    const char *synopsis; /* what follows the name; "" */
    const char *summary;  /* one line, without a stop */
    const char *text;     /* what it does, as for dt_fill; "" */
    const struct dt_usage_option *options;
    size_t noptions;
    const char *more; /* what follows the options, as `text`; NULL: nothing */
};

/* The options as two columns, filled to the width of a terminal. */
void dt_usage_print_options(FILE *out, const struct dt_usage_option *options, size_t n);
/* The whole of `--help`. */
void dt_usage_print(FILE *out, const struct dt_usage *u);
/* The same for programs that make pages of it: lines KEY TAB VALUE [TAB VALUE...], in which \n, \t and \\ stand for
 * a new line, a tabulator and a backslash. It begins with "name", and ends with "end". */
void dt_usage_describe(FILE *out, const struct dt_usage *u);
/* What getopt_long wants of the same options: `out` has room for n + 1, `letters` for 2 n + 1. */
void dt_usage_getopt(const struct dt_usage_option *options, size_t n, struct option *out, char *letters);

#endif
