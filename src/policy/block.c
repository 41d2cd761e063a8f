#include "policy/block.h"

#include "base/bytes.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum token { T_END, T_WORD, T_STRING, T_OPEN, T_CLOSE, T_IS, T_COMMA, T_LPAREN, T_RPAREN, T_BAD };

struct lexer {
    const char *p, *end, *file;
    unsigned line;
    enum token tok;
    unsigned tok_line;
    const char *text; /* of a word or string */
    char *out;        /* where the next string goes */
    struct dt_err *err;
    struct dt_block_file *f;
    size_t cap_blocks, cap_settings, cap_values;
};

static int fail(struct lexer *l, unsigned line, const char *what)
{
    return dt_err_set(l->err, 0, "%s:%u: %s", l->file, line, what);
}

/* Makes room for one more in a vector that grows by doubling. */
static int grow(void *vec, size_t *cap, size_t n, size_t size)
{
    void **v = vec;
    if (n < *cap)
        return 0;
    size_t want = *cap ? *cap * 2 : 16;
    void *p = realloc(*v, want * size);
    if (!p)
        return -1;
    *v = p;
    *cap = want;
    return 0;
}

static bool word_char(char c)
{
    return c && !isspace((unsigned char)c) && !strchr("{}()=+,#\"'", c);
}

/* 0, or -1 when a comment does not end. */
static int skip_blanks(struct lexer *l)
{
    for (;; l->p++) {
        while (l->p < l->end && isspace((unsigned char)*l->p))
            l->line += *l->p++ == '\n';
        if (l->p == l->end)
            return 0;
        bool two = l->end - l->p >= 2;
        if (*l->p == '#' || (two && l->p[0] == '/' && l->p[1] == '/')) {
            while (l->p < l->end && *l->p != '\n')
                l->p++;
            l->p--; /* the newline is counted with the other blanks */
        } else if (two && l->p[0] == '/' && l->p[1] == '*') {
            unsigned start = l->line;
            for (l->p += 2; l->end - l->p >= 2 && !(l->p[0] == '*' && l->p[1] == '/'); l->p++)
                l->line += *l->p == '\n';
            if (l->end - l->p < 2)
                return fail(l, start, "this comment never ends; it wants a */");
            l->p++;
        } else {
            return 0;
        }
    }
}

static int quoted(struct lexer *l)
{
    char quote = *l->p++;
    char *start = l->out;
    for (; l->p < l->end && *l->p != quote; l->p++) {
        if (*l->p == '\n' || !*l->p)
            break;
        if (*l->p == '\\' && quote == '"' && l->end - l->p >= 2 && (l->p[1] == '"' || l->p[1] == '\\'))
            l->p++;
        *l->out++ = *l->p;
    }
    if (l->p == l->end || *l->p != quote)
        return fail(l, l->line, "this string never ends; it wants a closing quote on the same line");
    l->p++;
    *l->out++ = 0;
    l->text = start;
    l->tok = T_STRING;
    return 0;
}

static int next(struct lexer *l)
{
    if (skip_blanks(l))
        return -1;
    l->tok_line = l->line;
    if (l->p == l->end) {
        l->tok = T_END;
        return 0;
    }
    char c = *l->p;
    if (c == '"' || c == '\'')
        return quoted(l);
    if (word_char(c)) {
        l->text = l->out;
        while (l->p < l->end && word_char(*l->p))
            *l->out++ = *l->p++;
        *l->out++ = 0;
        l->tok = T_WORD;
        return 0;
    }
    l->p++;
    if (c == '+' && l->p < l->end && *l->p == '=') {
        l->p++;
        c = '=';
    }
    static const char marks[] = "{}=,()";
    static const enum token toks[] = {T_OPEN, T_CLOSE, T_IS, T_COMMA, T_LPAREN, T_RPAREN};
    const char *m = c ? strchr(marks, c) : NULL;
    l->tok = m ? toks[m - marks] : T_BAD;
    return 0;
}

static int value(struct lexer *l, struct dt_setting *s)
{
    if (l->tok != T_WORD && l->tok != T_STRING) {
        dt_err_set(l->err, 0, "%s:%u: `%.64s` has no value; it wants %.64s = \"value\" or = { \"a\", \"b\" }",
                   l->file, l->tok_line, s->key, s->key);
        return -1;
    }
    if (grow(&l->f->values, &l->cap_values, l->f->nvalues, sizeof *l->f->values))
        return fail(l, l->tok_line, "out of memory");
    l->f->values[l->f->nvalues++] = l->text;
    s->n++;
    return next(l);
}

/* After `key =`; the lexer stands on what follows the equals sign. */
static int setting(struct lexer *l, const char *key, unsigned line)
{
    if (grow(&l->f->settings, &l->cap_settings, l->f->nsettings, sizeof *l->f->settings))
        return fail(l, line, "out of memory");
    struct dt_setting *s = &l->f->settings[l->f->nsettings++];
    *s = (struct dt_setting){.key = key, .line = line, .value = l->f->nvalues};
    if (l->tok != T_OPEN)
        return value(l, s);
    if (next(l))
        return -1;
    while (l->tok != T_CLOSE) {
        if (value(l, s))
            return -1;
        if (l->tok == T_COMMA) {
            if (next(l))
                return -1;
        } else if (l->tok != T_CLOSE) {
            return fail(l, l->tok_line, "a list's values stand apart by commas, and it ends with }");
        }
    }
    return next(l);
}

/* Skips `( ... )` of a function call such as include(). */
static int call(struct lexer *l)
{
    while (l->tok != T_RPAREN && l->tok != T_END)
        if (next(l))
            return -1;
    return l->tok == T_END ? fail(l, l->tok_line, "the file ends inside ( ), which wants a )") : next(l);
}

/* The settings of one section, up to and with its }. Sections inside it are read over: their settings are
 * taken back, so that only this section's own remain. */
static int section(struct lexer *l, struct dt_block *b, unsigned depth)
{
    unsigned open = l->tok_line;
    if (depth > DT_BLOCK_DEPTH_MAX)
        return fail(l, open, "sections stand in sections more than eight deep");
    if (next(l))
        return -1;
    while (l->tok != T_CLOSE) {
        if (l->tok == T_END)
            return fail(l, open, "this section never ends; it wants a }");
        if (l->tok != T_WORD)
            return fail(l, l->tok_line, "a setting is wanted here: name = value");
        const char *key = l->text;
        unsigned line = l->tok_line;
        if (next(l))
            return -1;
        if (l->tok == T_IS) {
            if (next(l) || setting(l, key, line))
                return -1;
            b->n++;
            continue;
        }
        if (l->tok == T_LPAREN) {
            if (call(l))
                return -1;
            continue;
        }
        if (l->tok == T_STRING && next(l))
            return -1;
        if (l->tok != T_OPEN) {
            dt_err_set(l->err, 0, "%s:%u: `%.64s` is followed by neither = nor {; it wants %.64s = value",
                       l->file, line, key, key);
            return -1;
        }
        if (!b->inner)
            b->inner = line;
        struct dt_block inner = {0};
        size_t settings = l->f->nsettings, values = l->f->nvalues;
        if (section(l, &inner, depth + 1))
            return -1;
        l->f->nsettings = settings;
        l->f->nvalues = values;
    }
    return next(l);
}

/* One thing at the top of the file: a section, a setting, a call. */
static int item(struct lexer *l)
{
    if (l->tok != T_WORD)
        return fail(l, l->tok_line, "a section is wanted here, such as: rule \"name\" { ... }");
    const char *kind = l->text;
    unsigned line = l->tok_line;
    if (next(l))
        return -1;
    if (l->tok == T_LPAREN)
        return call(l);
    if (l->tok == T_IS) {
        size_t settings = l->f->nsettings, values = l->f->nvalues;
        if (next(l) || setting(l, kind, line))
            return -1;
        l->f->nsettings = settings;
        l->f->nvalues = values;
        if (!l->f->top_n++) {
            l->f->top_key = kind;
            l->f->top_line = line;
        }
        return 0;
    }
    struct dt_block b = {.kind = kind, .line = line, .setting = l->f->nsettings};
    if (l->tok == T_STRING || l->tok == T_WORD) {
        b.title = l->text;
        if (next(l))
            return -1;
    }
    if (l->tok != T_OPEN) {
        dt_err_set(l->err, 0, "%s:%u: `%.64s` is followed by no section; it wants %.64s \"name\" { ... }",
                   l->file, line, kind, kind);
        return -1;
    }
    if (section(l, &b, 1))
        return -1;
    if (grow(&l->f->blocks, &l->cap_blocks, l->f->nblocks, sizeof *l->f->blocks))
        return fail(l, line, "out of memory");
    l->f->blocks[l->f->nblocks++] = b;
    return 0;
}

int dt_block_parse(struct dt_block_file *out, const char *text, size_t len, const char *file,
                   struct dt_err *err)
{
    *out = (struct dt_block_file){0};
    if (len > DT_BLOCK_TEXT_MAX)
        return dt_err_set(err, 0, "%s:1: the file has %zu bytes; at most %zu are read", file, len,
                          DT_BLOCK_TEXT_MAX);
    /* A token takes its length and a NUL: at most twice the text. */
    out->strings = malloc(len * 2 + 1);
    out->nstrings = len * 2 + 1;
    if (!out->strings)
        return dt_err_set(err, 0, "%s:1: out of memory", file);
    struct lexer l = {
        .p = text, .end = text + len, .file = file, .line = 1, .out = out->strings, .err = err, .f = out};
    if (next(&l))
        return -1;
    while (l.tok != T_END)
        if (item(&l))
            return -1;
    return 0;
}

void dt_block_file_free(struct dt_block_file *f)
{
    free(f->blocks);
    free(f->settings);
    free(f->values);
    if (f->strings)
        dt_wipe(f->strings, f->nstrings);
    free(f->strings);
    *f = (struct dt_block_file){0};
}
