#include "base/usage.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fill.h"

static size_t width(const struct dt_usage_option *o)
{
    return strlen("  --") + strlen(o->name) + (o->value != NULL ? 1 + strlen(o->value) : 0);
}

void dt_usage_print_options(FILE *out, const struct dt_usage_option *options, size_t n)
{
    size_t column = 0, size;
    char *text = NULL;
    for (size_t i = 0; i < n; i++)
        column = width(&options[i]) > column ? width(&options[i]) : column;
    FILE *rows = open_memstream(&text, &size);
    if (rows == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct dt_usage_option *o = &options[i];
        fprintf(rows, "  --%s%s%s%*s%s\n", o->name, o->value != NULL ? " " : "",
                o->value != NULL ? o->value : "", (int)(column + 3 - width(o)), "", o->text);
    }
    if (fclose(rows) == 0)
        dt_fill(out, text);
    free(text);
}

void dt_usage_print(FILE *out, const struct dt_usage *u)
{
    char head[512];
    snprintf(head, sizeof(head), "%s - %s\n\nUsage: %s %s\n\n", u->name, u->summary, u->name, u->synopsis);
    dt_fill(out, head);
    if (*u->text) {
        dt_fill(out, u->text);
        fputc('\n', out);
    }
    dt_usage_print_options(out, u->options, u->noptions);
    if (u->more != NULL) {
        fputc('\n', out);
        dt_fill(out, u->more);
    }
}

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '\n':
            fputs("\\n", out);
            break;
        case '\t':
            fputs("\\t", out);
            break;
        case '\\':
            fputs("\\\\", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}

static void put_line(FILE *out, const char *key, const char *value)
{
    fprintf(out, "%s\t", key);
    put_escaped(out, value);
    fputc('\n', out);
}

void dt_usage_describe(FILE *out, const struct dt_usage *u)
{
    put_line(out, "name", u->name);
    put_line(out, "synopsis", u->synopsis);
    put_line(out, "summary", u->summary);
    put_line(out, "text", u->text);
    for (size_t i = 0; i < u->noptions; i++) {
        fprintf(out, "option\t%s\t", u->options[i].name);
        put_escaped(out, u->options[i].value != NULL ? u->options[i].value : "");
        fputc('\t', out);
        put_escaped(out, u->options[i].text);
        fputc('\n', out);
    }
    put_line(out, "more", u->more != NULL ? u->more : "");
    fputs("end\n", out);
}

void dt_usage_getopt(const struct dt_usage_option *options, size_t n, struct option *out, char *letters)
{
    for (size_t i = 0; i < n; i++) {
        bool value = options[i].value != NULL;
        out[i] = (struct option){.name = options[i].name,
                                 .has_arg = value ? required_argument : no_argument,
                                 .val = options[i].key};
        if (options[i].key < 256)
            *letters++ = (char)options[i].key;
        if (options[i].key < 256 && value)
            *letters++ = ':';
    }
    out[n] = (struct option){0};
    *letters = '\0';
}
