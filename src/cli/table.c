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

struct dt_cli_table {
    size_t columns, count, cap;
    char **cell; /* row by row, the titles first */
    struct note *notes, **tail;
};

static void cell_add(struct dt_cli_table *t, char *text)
{
    if (dt_grow(t->cell, t->cap, t->count, 64) != 0)
        abort(); /* a program for people, out of memory: nothing sensible is left to print */
    t->cell[t->count++] = text;
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
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    if (text[0] == '\0') {
        free(text);
        text = strdup("-");
    }
    cell_add(t, text);
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
        size_t end = line_end(text, DT_CLI_WIDTH - at);
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

/* Makes all cells of a column equally wide. */
static void align(struct dt_cli_table *t, size_t c)
{
    bool right = t->cell[c][0] == '>', last = c + 1 == t->columns;
    if (right)
        memmove(t->cell[c], t->cell[c] + 1, strlen(t->cell[c]));
    size_t widest = 0;
    for (size_t i = c; i < t->count; i += t->columns)
        if (columns_of(t->cell[i]) > widest)
            widest = columns_of(t->cell[i]);
    for (size_t i = c; i < t->count; i += t->columns) {
        size_t room = widest - columns_of(t->cell[i]);
        char *padded = calloc(1, strlen(t->cell[i]) + room + 1);
        if (padded == NULL)
            abort();
        if (right)
            memset(padded, ' ', room);
        strcat(padded, t->cell[i]);
        if (!right && !last)
            memset(padded + strlen(padded), ' ', room);
        free(t->cell[i]);
        t->cell[i] = padded;
    }
}

void dt_cli_table_print(struct dt_cli_table *t, FILE *out)
{
    if (t->columns == 0)
        abort();
    for (size_t c = 0; c < t->columns; c++)
        align(t, c);
    for (size_t i = 0; i < t->count; i++) {
        bool last = (i + 1) % t->columns == 0;
        fputs(t->cell[i], out);
        pad(out, last ? 0 : 2);
        free(t->cell[i]);
        if (!last)
            continue;
        fputc('\n', out);
        while (t->notes != NULL && t->notes->row == (i + 1) / t->columns) {
            struct note *n = t->notes;
            t->notes = n->next;
            dt_cli_wrap(out, 2, n->text);
            free(n->text);
            free(n);
        }
    }
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
