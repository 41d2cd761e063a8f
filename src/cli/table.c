#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/grow.h"
#include "cli/cli.h"

struct note {
    size_t row;
    char *text;
    struct note *next;
};

struct cell {
    char *text;
    bool empty;
    enum dt_cli_mood mood;
};

struct dt_cli_table {
    size_t columns, count, cap;
    struct cell *cell; /* row by row, the titles first */
    size_t *width;     /* of each column */
    bool *right;
    struct note *notes, **tail;
};

static void cell_add(struct dt_cli_table *t, char *text)
{
    if (dt_grow(t->cell, t->cap, t->count, 64) != 0)
        abort(); /* a program for people, out of memory: nothing sensible is left to print */
    t->cell[t->count++] = (struct cell){.text = text};
}

struct dt_cli_table *dt_cli_table_new(const char *const *titles, size_t columns)
{
    struct dt_cli_table *t = calloc(1, sizeof(*t));
    if (t == NULL)
        abort();
    t->columns = columns;
    t->tail = &t->notes;
    for (size_t i = 0; i < columns; i++)
        cell_add(t, strdup(titles[i]));
    return t;
}

void dt_cli_table_cell(struct dt_cli_table *t, const char *fmt, ...)
{
    char *text = NULL;
    bool empty = false;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    if (text[0] == '\0') {
        free(text);
        text = strdup("-");
        empty = true;
    }
    cell_add(t, text);
    t->cell[t->count - 1].empty = empty;
}

/* Columns that text takes: UTF-8 continuation bytes take none. */
static size_t columns_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void pad(FILE *out, size_t n)
{
    while (n-- > 0)
        fputc(' ', out);
}

void dt_cli_table_note(struct dt_cli_table *t, const char *fmt, ...)
{
    struct note *n = calloc(1, sizeof(*n));
    va_list ap;
    va_start(ap, fmt);
    if (n == NULL || vasprintf(&n->text, fmt, ap) < 0)
        abort();
    va_end(ap);
    n->row = t->count / t->columns;
    *t->tail = n;
    t->tail = &n->next;
}

/* How many octets of text go on a line of `room` columns. */
static size_t line_end(const char *text, size_t room)
{
    size_t end = 0, cols = 0, blank = 0, within = 0;
    for (; text[end] != '\0'; end++) {
        bool continues = ((unsigned char)text[end] & 0xc0) == 0x80;
        if (!continues && cols == room)
            break;
        cols += !continues;
        if (text[end] == ' ')
            blank = end;
        else if (strchr(",/-", text[end]) != NULL && cols < room)
            within = end + 1;
    }
    if (text[end] == '\0' || text[end] == ' ')
        return end;
    /* A long word is broken within, unless that leaves it on a line of its own anyway. */
    if (blank > 0 && strcspn(text + blank + 1, " ") <= room)
        return blank;
    return within > 0 ? within : blank > 0 ? blank : end + strcspn(text + end, " ");
}

void dt_cli_wrap(FILE *out, size_t indent, const char *text)
{
    size_t at = indent;
    do {
        size_t end = line_end(text, dt_cli_width(out) - at);
        pad(out, at);
        fwrite(text, 1, end, out);
        fputc('\n', out);
        text += end;
        text += strspn(text, " ");
        at = indent + 2;
    } while (*text != '\0');
}

void dt_cli_wrapf(FILE *out, size_t indent, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    dt_cli_wrap(out, indent, text);
    free(text);
}

void dt_cli_table_mood(struct dt_cli_table *t, enum dt_cli_mood mood)
{
    t->cell[t->count - 1].mood = mood;
}

/* A title that begins with '>' says that its column is aligned to the right. */
static size_t table_measure(struct dt_cli_table *t)
{
    size_t all = 2 * (t->columns - 1);
    t->width = calloc(t->columns, sizeof(*t->width));
    t->right = calloc(t->columns, sizeof(*t->right));
    if (t->width == NULL || t->right == NULL)
        abort();
    for (size_t c = 0; c < t->columns; c++) {
        char *title = t->cell[c].text;
        t->right[c] = title[0] == '>';
        if (t->right[c])
            memmove(title, title + 1, strlen(title));
        for (size_t i = c; i < t->count; i += t->columns)
            if (columns_of(t->cell[i].text) > t->width[c])
                t->width[c] = columns_of(t->cell[i].text);
        all += t->width[c];
    }
    return all;
}

static void cell_print(const struct cell *x, FILE *out, bool colours)
{
    static const char *const colour[] = {[DT_CLI_GOOD] = "32", [DT_CLI_BUSY] = "33", [DT_CLI_BAD] = "31"};
    if (colours && x->mood != DT_CLI_PLAIN)
        fprintf(out, "\033[%sm%s\033[0m", colour[x->mood], x->text);
    else
        fputs(x->text, out);
}

static void row_print(const struct dt_cli_table *t, size_t row, FILE *out, bool colours)
{
    for (size_t c = 0; c < t->columns; c++) {
        const struct cell *x = &t->cell[row * t->columns + c];
        bool last = c + 1 == t->columns;
        size_t room = t->width[c] - columns_of(x->text);
        pad(out, t->right[c] ? room : 0);
        cell_print(x, out, colours);
        pad(out, last ? 0 : (t->right[c] ? 0 : room) + 2);
    }
    fputc('\n', out);
}

/* The first cell, and below it each other one with its title. */
static void row_tell(const struct dt_cli_table *t, size_t row, FILE *out, bool colours)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        abort();
    for (size_t c = 1; c < t->columns; c++)
        if (!t->cell[row * t->columns + c].empty)
            fprintf(f, "%s%s %s", ftell(f) > 0 ? ", " : "", t->cell[c].text,
                    t->cell[row * t->columns + c].text);
    fclose(f);
    cell_print(&t->cell[row * t->columns], out, colours);
    fputc('\n', out);
    if (n > 0)
        dt_cli_wrap(out, 2, text);
    free(text);
}

static void notes_print(struct dt_cli_table *t, size_t row, FILE *out)
{
    while (t->notes != NULL && t->notes->row == row + 1) {
        struct note *n = t->notes;
        t->notes = n->next;
        dt_cli_wrap(out, 2, n->text);
        free(n->text);
        free(n);
    }
}

void dt_cli_table_print(struct dt_cli_table *t, FILE *out)
{
    if (t->columns == 0)
        abort();
    bool colours = dt_cli_colours(out);
    bool wide = table_measure(t) > dt_cli_width(out) && dt_cli_is_terminal(out);
    for (size_t row = 0; row < t->count / t->columns; row++) {
        if (!wide)
            row_print(t, row, out, colours);
        else if (row > 0)
            row_tell(t, row, out, colours);
        notes_print(t, row, out);
    }
    for (size_t i = 0; i < t->count; i++)
        free(t->cell[i].text);
    free(t->width);
    free(t->right);
    free(t->cell);
    free(t);
}

char *dt_cli_bytes(char out[32], double bytes)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t u = 0;
    while (bytes >= 999.5 && u + 1 < sizeof(unit) / sizeof(unit[0])) {
        bytes /= 1000;
        u++;
    }
    snprintf(out, 32, u == 0 || bytes >= 99.95 ? "%.0f %s" : "%.1f %s", bytes, unit[u]);
    return out;
}

char *dt_cli_span(char out[32], double s)
{
    if (s < 1)
        snprintf(out, 32, "%.0f ms", s < 0 ? 0 : s * 1000);
    else if (s < 120)
        snprintf(out, 32, "%.0f s", s);
    else if (s < 7200)
        snprintf(out, 32, "%.0f min", s / 60);
    else if (s < 172800)
        snprintf(out, 32, "%.0f h", s / 3600);
    else
        snprintf(out, 32, "%.0f d", s / 86400);
    return out;
}

const char *dt_cli_str(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));
    return s != NULL ? s : "";
}

double dt_cli_num(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

void dt_cli_event_time(struct dt_cli *cli, const json_t *event)
{
    double when = dt_cli_num(event, "time");
    time_t s = (time_t)when;
    struct tm tm;
    char clock[16] = "";
    if (localtime_r(&s, &tm) != NULL)
        strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    if (dt_cli_num(event, "dropped_before") > 0)
        fprintf(cli->out, "(%.0f events lost: they came faster than they were read)\n",
                dt_cli_num(event, "dropped_before"));
    fprintf(cli->out, "%s.%03d ", clock, (int)((when - (double)s) * 1000));
}
