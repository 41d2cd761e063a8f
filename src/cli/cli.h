/* dovetail: one file a subcommand, each with its entry in the table of cli.c.
 *
 * A subcommand ends with 0 (done), 1 (refused or failed: the reason, with both sides' values, on standard
 * error) or 2 (bad usage or configuration). With --json it prints the same facts as for people, as one JSON
 * value on standard output (monitor: one a line); an error is {"error": "...", "code": N, "detail": ...}
 * there, and the sentence on standard error all the same. */
#ifndef DT_CLI_CLI_H
#define DT_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/fill.h"
#include "base/usage.h"

#define DT_CLI_DONE   0
#define DT_CLI_FAILED 1
#define DT_CLI_USAGE  2

#define DT_CLI_WIDTH                                                                                         \
    DT_FILL_WIDTH /* what people read is no wider, where it does not go to a terminal of another width */

struct dt_cli_command;

struct dt_cli {
    const char *socket;                   /* --socket PATH; NULL: the command's own default */
    bool json;                            /* --json */
    FILE *out, *err;                      /* standard output and error; tests give others */
    const struct dt_cli_command *command; /* NULL: none was understood */
};

struct dt_cli_command {
    const char *name;
    const char *usage;   /* arguments only: "[TUNNEL...]" */
    const char *summary; /* one line for `dovetail help` */
    const char *help;    /* what it does, and its arguments; each line ends with \n */
    const struct dt_usage_option *options;
    size_t noptions;
    const char *more; /* after the options: an example; NULL: nothing */
    int (*run)(struct dt_cli *cli, int argc,
               char **argv); /* argv[0] is the command's name; global options are gone */
};

/* The whole program: global options, the table, help. */
int dt_cli_main(int argc, char **argv, FILE *out, FILE *err);

/* ---- what subcommands share ---- */

/* "dovetail NAME: sentence" and the usage line on cli->err, with --json the error on cli->out too; returns DT_CLI_USAGE. */
int dt_cli_usage(struct dt_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The sentence on cli->err (and as JSON on cli->out with --json); returns code. detail is stolen, may be
 * NULL. */
int dt_cli_error(struct dt_cli *cli, int code, json_t *detail, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Prints a JSON value and a newline. Borrowed. */
void dt_cli_json(struct dt_cli *cli, const json_t *value);

/* Asks the daemon. 0 and *result (a new reference), or the exit status, everything said. args is stolen. The
 * socket is cli->socket or `otherwise` (DT_CONTROL_SOCKET, DT_CONTROL_SOCKET_NATD). */
int dt_cli_call(struct dt_cli *cli, const char *otherwise, const char *command, json_t *args,
                json_t **result);
/* Asks and gives each event of the stream to fn, which returns false to stop. Then as dt_cli_call. */
int dt_cli_stream(struct dt_cli *cli, const char *otherwise, const char *command, json_t *args,
                  bool (*fn)(struct dt_cli *cli, void *arg, json_t *event), void *arg, json_t **result);

/* Takes the subcommand's options, "--name" (a switch) or "--name VALUE" / "--name=VALUE", out of argv and leaves the operands
 * in argv[1..]; the new argc, or -1 with everything said. `got` has an entry for each option, in the order of the
 * command's table: left as it is where the option is not there, else its value, "" of a switch. */
int dt_cli_options(struct dt_cli *cli, int argc, char **argv, const char **got);

/* Of the terminal that out is: its columns, within reason; DT_CLI_WIDTH where it is none. Colours are for terminals, and for those
 * who have not set NO_COLOR. To begin its screen anew; elsewhere an empty line. */
bool dt_cli_is_terminal(FILE *out);
size_t dt_cli_width(FILE *out);
bool dt_cli_colours(FILE *out);
void dt_cli_clear(FILE *out);

/* A table for people: columns as wide as their widest cell, two blanks between them, nothing after the last.
 * Cells are copied; a cell of NULL or "" prints as "-". A column whose title starts with '>' is aligned to
 * the right. What is wider than a terminal goes there as a paragraph for each row, with titles before the cells. */
struct dt_cli_table;
struct dt_cli_table *dt_cli_table_new(const char *const *titles, size_t columns);
void dt_cli_table_cell(struct dt_cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum dt_cli_mood { DT_CLI_PLAIN, DT_CLI_GOOD, DT_CLI_BUSY, DT_CLI_BAD };
void dt_cli_table_mood(struct dt_cli_table *t,
                       enum dt_cli_mood mood); /* the colour of the last cell, where there are colours */
/* Lines under the row that was last completed, indented by two and wrapped. */
void dt_cli_table_note(struct dt_cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints, and frees. */
void dt_cli_table_print(struct dt_cli_table *t, FILE *out);

/* A paragraph, broken at blanks (and within a longer word after a comma, slash or dash) at dt_cli_width(): the first line
 * is indented by `indent`, the others by two more. */
void dt_cli_wrap(FILE *out, size_t indent, const char *text);
void dt_cli_wrapf(FILE *out, size_t indent, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Quantities for people, into out (32 bytes): "312 B", "4.1 MB"; "just now", "12 s", "3 min", "5 h", "9 d". */
char *dt_cli_bytes(char out[32], double bytes);
char *dt_cli_span(char out[32], double seconds);

/* JSON members with a default, for printing. */
const char *dt_cli_str(const json_t *object, const char *name); /* "" when absent */
double dt_cli_num(const json_t *object, const char *name);      /* 0 when absent */
/* What a line of an event begins with: how many were lost before it, on a line of its own, and its time of day. */
void dt_cli_event_time(struct dt_cli *cli, const json_t *event);

/* The subcommands. */
extern const struct dt_cli_command dt_cli_check, dt_cli_explain, dt_cli_up, dt_cli_down, dt_cli_status,
    dt_cli_rekey, dt_cli_ping, dt_cli_monitor, dt_cli_reload, dt_cli_discover, dt_cli_nat, dt_cli_genpsk;

#endif
