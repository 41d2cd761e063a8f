#include "base/block.h"

#include "base/bytes.h"
#include "base/suggest.h"
#include "base/grow.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one file; its tokens. */
struct dt_block_strings {
    struct dt_block_strings *next;
    size_t size;
    char v[];
};

enum token { T_END, T_WORD, T_STRING, T_OPEN, T_CLOSE, T_IS, T_ADD, T_COMMA, T_LPAREN, T_RPAREN, T_BAD };

/* What all files of one reading share. */
struct reading {
    struct dt_block_file *f;
    const struct dt_block_includer *inc;
    struct dt_err *err;
    size_t cap_blocks, cap_settings, cap_values, cap_top;
    size_t bytes;
};

struct lexer {
    struct reading *r;
    const struct lexer *by; /* which file includes this one; NULL: none */
    const char *id, *file;
    unsigned depth;
    const char *p, *end;
    unsigned line; /* a place */
    enum token tok;
    unsigned tok_line;
    bool cut;           /* the token before this one was a word that ends at a # */
    const char *text;   /* of a word or string */
    char *out;          /* where the next string goes */
    unsigned long_list; /* the last list of several lines begins here */
};

/* "file:line: " and the rest; evaluates to -1. */
#define FAIL(l, place, ...) dt_source_fail((l)->r->err, (l)->r->f->sources, place, __VA_ARGS__)

static int fail(struct lexer *l, unsigned line, const char *what)
{
    return FAIL(l, line, "%s", what);
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

static int lexer_next(struct lexer *l)
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
        l->cut = l->p < l->end && *l->p == '#';
        return 0;
    }
    l->p++;
    if (c == '+' && l->p < l->end && *l->p == '=') {
        l->p++;
        l->tok = T_ADD;
        return 0;
    }
    static const char marks[] = "{}=,()";
    static const enum token toks[] = {T_OPEN, T_CLOSE, T_IS, T_COMMA, T_LPAREN, T_RPAREN};
    const char *m = c ? strchr(marks, c) : NULL;
    l->tok = m ? toks[m - marks] : T_BAD;
    return 0;
}

static int lexer_value(struct lexer *l, struct dt_setting *s)
{
    struct dt_block_file *f = l->r->f;
    if (l->tok != T_WORD && l->tok != T_STRING)
        return FAIL(l, l->tok_line, "`%.64s` has no value; it wants %.64s = \"value\" or = { \"a\", \"b\" }",
                    s->key, s->key);
    if (strcmp(s->key, "psk") != 0 && !dt_utf8_ok(l->text))
        return FAIL(l, l->tok_line,
                    "the value of %.64s is not UTF-8; a file that is saved as UTF-8 would be right", s->key);
    if (dt_grow(f->values, l->r->cap_values, f->nvalues, 16))
        return fail(l, l->tok_line, "out of memory");
    f->values[f->nvalues++] = l->text;
    s->n++;
    s->cut = l->tok == T_WORD && l->cut;
    return lexer_next(l);
}

/* After `key =`; the lexer stands on the equals sign. */
static int setting(struct lexer *l, const char *key, unsigned line, struct dt_setting *s)
{
    *s = (struct dt_setting){.key = key, .line = line, .value = l->r->f->nvalues, .add = l->tok == T_ADD};
    if (lexer_next(l))
        return -1;
    if (l->tok != T_OPEN)
        return lexer_value(l, s);
    if (lexer_next(l))
        return -1;
    while (l->tok != T_CLOSE) {
        if (lexer_value(l, s))
            return -1;
        if (l->tok == T_COMMA) {
            if (lexer_next(l))
                return -1;
        } else if (l->tok != T_CLOSE) {
            return fail(l, l->tok_line, "a list's values stand apart by commas, and it ends with }");
        }
    }
    if (l->tok_line != line)
        l->long_list = line;
    return lexer_next(l);
}

/* A name of a section or setting. */
static int name(struct lexer *l, const char *text, unsigned line)
{
    return dt_utf8_ok(text)
               ? 0
               : fail(l, line, "this name is not UTF-8; a file that is saved as UTF-8 would be right");
}

/* The end of the file inside a section: where might its } be missing? */
static int never_ends(struct lexer *l, const struct dt_block *b, unsigned open)
{
    char at[DT_SOURCE_LINELEN];
    if (b->inner)
        return FAIL(l, b->inner,
                    "a section begins here, and the one of %s has not ended; it wants a } before this line",
                    dt_source_line(at, l->r->f->sources, open, b->inner));
    if (l->long_list > open)
        return FAIL(l, open, "this section never ends; it wants a } (the list of %s may have taken it)",
                    dt_source_line(at, l->r->f->sources, l->long_list, open));
    return fail(l, open, "this section never ends; it wants a }");
}

/* The settings of one section, up to and with its }. Sections inside it are read over: their settings are
 * taken back, so that only this section's own remain. */
static int section(struct lexer *l, struct dt_block *b, unsigned depth)
{
    struct dt_block_file *f = l->r->f;
    unsigned open = l->tok_line;
    if (depth > DT_BLOCK_DEPTH_MAX)
        return fail(l, open, "sections stand in sections more than eight deep");
    if (lexer_next(l))
        return -1;
    while (l->tok != T_CLOSE) {
        if (l->tok == T_END)
            return never_ends(l, b, open);
        if (l->tok != T_WORD)
            return fail(l, l->tok_line, "a setting is wanted here: name = value");
        const char *key = l->text;
        unsigned line = l->tok_line;
        if (name(l, key, line) || lexer_next(l))
            return -1;
        if (l->tok == T_IS || l->tok == T_ADD) {
            struct dt_setting s;
            if (setting(l, key, line, &s))
                return -1;
            if (dt_grow(f->settings, l->r->cap_settings, f->nsettings, 16))
                return fail(l, line, "out of memory");
            f->settings[f->nsettings++] = s;
            b->n++;
            continue;
        }
        if (l->tok == T_LPAREN)
            return FAIL(l, line, "`%.64s(...)` stands in a section; include(\"FILE\") stands outside of them",
                        key);
        if ((l->tok == T_STRING || l->tok == T_WORD) && lexer_next(l))
            return -1;
        if (l->tok != T_OPEN)
            return FAIL(l, line, "`%.64s` is followed by neither = nor {; it wants %.64s = value", key, key);
        if (!b->inner)
            b->inner = line;
        struct dt_block inner = {0};
        size_t settings = f->nsettings, values = f->nvalues;
        if (section(l, &inner, depth + 1))
            return l->tok == T_END && !inner.inner && depth == 1 ? never_ends(l, b, open) : -1;
        f->nsettings = settings;
        f->nvalues = values;
    }
    return lexer_next(l);
}

static int read_text(struct reading *r, const struct lexer *by, const struct dt_block_text *t);

static int include_file(struct lexer *l, const struct dt_block_text *t, unsigned line)
{
    char way[400] = "";
    for (const struct lexer *x = l; x; x = x->by) {
        if (strcmp(x->id, t->id) != 0) {
            char longer[sizeof way];
            if ((size_t)snprintf(longer, sizeof longer, "%s includes %s", x->file, way) < sizeof longer)
                snprintf(way, sizeof way, "%s", longer);
            continue;
        }
        return FAIL(l, line, "%.100s holds itself: %.100s includes %s%.100s; one of these includes is to go",
                    t->file, x->file, way, t->file);
    }
    if (l->depth + 1 > DT_BLOCK_INCLUDE_MAX)
        return FAIL(l, line, "files stand in files more than %d deep", DT_BLOCK_INCLUDE_MAX);
    return read_text(l->r, l, t);
}

/* After `word (`. */
static int call(struct lexer *l, const char *word, unsigned line)
{
    static const char *const words[] = {"include"};
    const struct dt_block_includer *inc = l->r->inc;
    struct dt_err why = {0};
    if (strcmp(word, words[0]) != 0)
        return FAIL(l, line, "there is no `%.64s(...)`; %s", word,
                    dt_suggest(word, words, 1)
                        ? "did you mean include(\"FILE\")?"
                        : "sections are, such as tunnel \"NAME\" { ... }, and include(\"FILE\")");
    if (lexer_next(l))
        return -1;
    const char *pattern = l->tok == T_STRING || l->tok == T_WORD ? l->text : "";
    if (!*pattern || lexer_next(l) || l->tok != T_RPAREN)
        return fail(l, line,
                    "this include names no file; include(\"FILE\") would be right, with one file or pattern");
    if (!inc)
        return fail(l, line, "an include is not possible here");
    struct dt_block_text *list = NULL;
    size_t n = 0;
    if (inc->open(inc->user, l->file, pattern, &list, &n, &why))
        return FAIL(l, line, "%s", why.text);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = include_file(l, &list[i], line);
    inc->close(inc->user, list, n);
    return rc ? -1 : lexer_next(l);
}

static int top_setting(struct lexer *l, const char *key, unsigned line)
{
    struct dt_block_file *f = l->r->f;
    struct dt_setting s;
    if (setting(l, key, line, &s))
        return -1;
    if (dt_grow(f->top, l->r->cap_top, f->ntop, 16))
        return fail(l, line, "out of memory");
    f->top[f->ntop++] = s;
    return 0;
}

/* Somebody's who comes from another program. */
static int foreign_word(struct lexer *l, const char *kind, unsigned line)
{
    if (strcmp(kind, "[Interface]") == 0 || strcmp(kind, "[Peer]") == 0)
        return FAIL(l, line,
                    "this is a wg-quick file, and WireGuard speaks another protocol; tunnel \"NAME\" { ... } "
                    "would be "
                    "right, with the names and the secret of an IPsec gateway");
    if (strcmp(kind, "connections") == 0)
        return FAIL(l, line,
                    "this is a swanctl.conf of strongSwan; tunnel \"NAME\" { ... } or gateway \"NAME\" { ... "
                    "} would be right, "
                    "and docs/coming-from.md has each setting");
    if (strcmp(kind, "conn") == 0 || strcmp(kind, "config") == 0)
        return FAIL(l, line,
                    "this is an ipsec.conf of libreswan or strongSwan; tunnel \"NAME\" { ... } or gateway "
                    "\"NAME\" { ... } would "
                    "be right, and docs/coming-from.md has each setting");
    return 0;
}

/* One thing at the top of the file: a section, a setting, an include. */
static int item(struct lexer *l)
{
    struct dt_block_file *f = l->r->f;
    if (l->tok != T_WORD || l->text == NULL)
        return fail(l, l->tok_line, "a section is wanted here, such as: rule \"name\" { ... }");
    const char *kind = l->text;
    unsigned line = l->tok_line;
    if (name(l, kind, line) || foreign_word(l, kind, line) || lexer_next(l))
        return -1;
    if (l->tok == T_LPAREN)
        return call(l, kind, line);
    if (l->tok == T_IS || l->tok == T_ADD)
        return top_setting(l, kind, line);
    struct dt_block b = {.kind = kind, .line = line, .setting = f->nsettings};
    if (l->tok == T_STRING || l->tok == T_WORD) {
        b.title = l->text;
        if (name(l, b.title, line) || lexer_next(l))
            return -1;
    }
    if (l->tok != T_OPEN && strcmp(kind, "include") == 0)
        return fail(l, line, "`include` is followed by no (; include(\"FILE\") would be right");
    if (l->tok != T_OPEN)
        return FAIL(l, line, "`%.64s` is followed by no section; it wants %.64s \"name\" { ... }", kind,
                    kind);
    if (section(l, &b, 1))
        return -1;
    if (dt_grow(f->blocks, l->r->cap_blocks, f->nblocks, 16))
        return fail(l, line, "out of memory");
    f->blocks[f->nblocks++] = b;
    return 0;
}

static unsigned lines_of(const char *text, size_t len)
{
    unsigned n = 1;
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    return n;
}

static int read_text(struct reading *r, const struct lexer *by, const struct dt_block_text *t)
{
    struct dt_block_file *f = r->f;
    if (t->len > DT_BLOCK_TEXT_MAX - r->bytes)
        return dt_err_set(r->err, 0,
                          "%.300s:1: the file has %zu bytes; at most %zu are read, of all files together",
                          t->file, t->len, DT_BLOCK_TEXT_MAX);
    r->bytes += t->len;
    /* A token takes its length and a NUL: at most twice the text. */
    size_t size = t->len * 2 + 1;
    struct dt_block_strings *strings = malloc(sizeof *strings + size);
    long first = dt_sources_add(f->sources, t->file, lines_of(t->text, t->len));
    if (!strings || first < 0) {
        free(strings);
        return dt_err_set(r->err, 0, "%.300s:1: there are more than %d files, or no memory", t->file,
                          DT_SOURCES_MAX);
    }
    *strings = (struct dt_block_strings){.next = f->strings, .size = size};
    f->strings = strings;
    struct lexer l = {.r = r,
                      .by = by,
                      .id = t->id ? t->id : t->file,
                      .file = t->file,
                      .depth = by ? by->depth + 1 : 0,
                      .p = t->text,
                      .end = t->text + t->len,
                      .line = (unsigned)first + 1,
                      .out = strings->v};
    if (t->len >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0)
        l.p += 3;
    else if (t->len >= 2 && (memcmp(t->text, "\xff\xfe", 2) == 0 || memcmp(t->text, "\xfe\xff", 2) == 0))
        return fail(&l, l.line, "this is UTF-16; a file that is saved as UTF-8 would be right");
    if (lexer_next(&l))
        return -1;
    while (l.tok != T_END)
        if (item(&l))
            return -1;
    return 0;
}

int dt_block_parse(struct dt_block_file *out, const struct dt_block_text *first,
                   const struct dt_block_includer *inc, struct dt_err *err)
{
    struct reading r = {.f = out, .inc = inc, .err = err};
    *out = (struct dt_block_file){.sources = dt_sources_new()};
    if (!out->sources)
        return dt_err_set(err, 0, "%.300s:1: out of memory", first->file);
    return read_text(&r, NULL, first);
}

void dt_block_file_free(struct dt_block_file *f)
{
    free(f->blocks);
    free(f->settings);
    free(f->top);
    free(f->values);
    for (struct dt_block_strings *s = f->strings, *following; s; s = following) {
        following = s->next;
        dt_wipe(s->v, s->size);
        free(s);
    }
    dt_sources_unref(f->sources);
    *f = (struct dt_block_file){0};
}
