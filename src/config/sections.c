/* The file as sections, a section as a table of settings, and the collecting of complaints. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/suggest.h"
#include "config/reader.h"

/* A reader of NULL: the section belongs to a room that reads the text by itself (read_rules). */
static const struct {
    const char *kind;
    bool titled;
    void (*read)(struct reader *r, const struct dt_block *b);
} sections[] = {
    {"tunnel", true, read_tunnel_section},
    {"gateway", true, read_gateway_section},
    {"client", true, read_client_section},
    {"discover", true, read_discover_section},
    {"daemon", false, read_daemon_section},
    {"nat", false, read_nat_section},
    {"plans", false, read_plans_section},
    {"rule", true, NULL},
    {"group", true, NULL},
};

static void add_issue(struct reader *r, unsigned line, bool warning, const char *fmt, va_list ap)
{
    struct dt_config *c = r->c;
    *(warning ? &c->warnings : &c->errors) += 1;
    if (c->nissue == DT_CONFIG_ISSUES_MAX)
        return;
    struct dt_config_issue *more = realloc(c->issue, (c->nissue + 1) * sizeof(*more));
    if (more == NULL)
        return;
    c->issue = more;
    struct dt_config_issue *i = &c->issue[c->nissue++];
    *i = (struct dt_config_issue){.line = line, .warning = warning};
    vsnprintf(i->text, sizeof(i->text), fmt, ap);
}

void reader_error(struct reader *r, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_issue(r, line, false, fmt, ap);
    va_end(ap);
}

void reader_warn(struct reader *r, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_issue(r, line, true, fmt, ap);
    va_end(ap);
}

void reader_error_from(struct reader *r, const struct dt_err *err)
{
    const char *text = err->text;
    unsigned line = 0;
    size_t n = strlen(r->c->file);
    if (strncmp(text, r->c->file, n) == 0 && text[n] == ':') {
        char *end;
        unsigned long l = strtoul(text + n + 1, &end, 10);
        if (end[0] == ':' && end[1] == ' ') {
            line = (unsigned)l;
            text = end + 2;
        }
    }
    reader_error(r, line, "%s", text);
}

/* "; did you mean "x"?", or which names there are. */
static void unknown_setting(struct reader *r, const struct dt_block *b, const struct dt_setting *s,
                            const struct setting_def *defs, size_t n, bool *seen)
{
    const char *names[64];
    char all[400] = "";
    for (size_t i = 0; i < n && i < DT_ARRAY_LEN(names); i++) {
        names[i] = defs[i].key;
        if (strlen(all) + strlen(defs[i].key) + 3 < sizeof(all)) {
            strcat(all, i ? ", " : "");
            strcat(all, defs[i].key);
        }
    }
    const char *near = dt_suggest(s->key, names, n);
    for (size_t i = 0; near != NULL && i < n; i++)
        seen[i] = seen[i] || names[i] == near; /* it is not missing too */
    if (near != NULL)
        reader_error(r, s->line, "a %s has no setting \"%.40s\"; did you mean \"%s\"?", b->kind, s->key,
                     near);
    else
        reader_error(r, s->line, "a %s has no setting \"%.40s\"; it has %s", b->kind, s->key, all);
}

void reader_section(struct reader *r, const struct dt_block *b, void *target, const struct setting_def *defs,
                    size_t n, bool *seen)
{
    unsigned line[64] = {0};
    if (b->inner != 0)
        reader_error(r, b->inner, "a %s has no section inside it; a setting would be right: name = value",
                     b->kind);
    for (size_t i = 0; i < b->n; i++) {
        const struct dt_setting *s = &r->f->settings[b->setting + i];
        size_t k = 0;
        while (k < n && strcmp(defs[k].key, s->key) != 0)
            k++;
        if (k == n) {
            unknown_setting(r, b, s, defs, n, seen);
            continue;
        }
        if (seen[k] && line[k] != 0) {
            reader_error(r, s->line, "%s was set in line %u already; once would be right", s->key, line[k]);
            continue;
        }
        seen[k] = true;
        line[k] = s->line;
        if (s->n == 0)
            reader_error(r, s->line, "%s is an empty list; at least one value would be right", s->key);
        else if (s->n > 1 && !defs[k].list)
            reader_error(r, s->line, "%s has %zu values; one would be right", s->key, s->n);
        else
            defs[k].read(r, s, (char *)target + defs[k].offset, &defs[k]);
    }
}

void reader_digest(const struct reader *r, const struct dt_block *b, struct dt_digest *d)
{
    dt_digest_init(d);
    for (size_t i = 0; i < b->n; i++) {
        const struct dt_setting *s = &r->f->settings[b->setting + i];
        dt_digest_bytes(d, s->key, strlen(s->key) + 1);
        for (size_t k = 0; k < s->n; k++)
            dt_digest_bytes(d, reader_value(r, s, k), strlen(reader_value(r, s, k)) + 1);
    }
}

bool reader_seen(const struct setting_def *defs, size_t n, const bool *seen, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(defs[i].key, key) == 0)
            return seen[i];
    return false;
}

void reader_epoch_params(struct reader *r, const struct dt_block *b, struct dt_epoch_params *p,
                         const struct setting_def *defs, size_t n, const bool *seen, bool client)
{
    if (reader_seen(defs, n, seen, "keylife") && !reader_seen(defs, n, seen, "rekeymargin"))
        p->rekeymargin = dt_time_min(p->rekeymargin, p->keylife / 4);
    double margin = dt_time_seconds(p->rekeymargin), life = dt_time_seconds(p->keylife);
    if (margin * 2 > life)
        reader_error(r, b->line,
                     "rekeymargin %g s is more than half of keylife %g s; at most %g s would be right",
                     margin, life, life / 2);
    else if (margin * (1 + p->rekeyfuzz / 100.0) > life)
        reader_warn(r, b->line,
                    "(1 + rekeyfuzz) * rekeymargin = %g s is more than keylife %g s: an epoch may be "
                    "replaced as soon as it is there",
                    margin * (1 + p->rekeyfuzz / 100.0), life);
    if (!client)
        return;
    struct dt_epoch_check checks[DT_EPOCH_CHECKS];
    size_t count = p->probe ? dt_epoch_check(checks, p, &r->c->nat, NULL) : 0;
    for (size_t i = 0; i < count; i++)
        if (!checks[i].ok)
            reader_warn(r, b->line, "%s", checks[i].text);
}

static void read_block(struct reader *r, const struct dt_block *b)
{
    const char *kinds[DT_ARRAY_LEN(sections)];
    for (size_t i = 0; i < DT_ARRAY_LEN(sections); i++) {
        kinds[i] = sections[i].kind;
        if (strcmp(sections[i].kind, b->kind) != 0)
            continue;
        if (sections[i].titled && (b->title == NULL || b->title[0] == '\0'))
            reader_error(r, b->line, "this %s has no name; %s \"NAME\" { ... } would be right", b->kind,
                         b->kind);
        else if (!sections[i].titled && b->title != NULL)
            reader_error(r, b->line, "%s has no name; %s { ... } would be right", b->kind, b->kind);
        else if (sections[i].read != NULL)
            sections[i].read(r, b);
        return;
    }
    const char *near = dt_suggest(b->kind, kinds, DT_ARRAY_LEN(kinds));
    if (near != NULL)
        reader_error(r, b->line, "there is no section \"%.40s\"; did you mean \"%s\"?", b->kind, near);
    else
        reader_error(r, b->line,
                     "there is no section \"%.40s\"; tunnel, gateway, client, discover, daemon, nat, rule "
                     "and group are",
                     b->kind);
}

/* Rules and groups are read by their own room, from the same text. */
static void read_rules(struct reader *r)
{
    struct dt_err err = {0};
    r->c->rules = dt_rules_parse(r->text, r->len, r->c->file, true, &err);
    if (r->c->rules == NULL)
        reader_error_from(r, &err);
    else
        config_check_rules(r);
}

/* Names that are used twice; what the sections say about each other. */
static void check_whole(struct reader *r)
{
    struct dt_config *c = r->c;
    for (size_t i = 0; i < c->ntunnel; i++)
        for (size_t k = 0; k < i && c->ntunnel <= 4096; k++)
            if (strcmp(c->tunnel[i].cfg.name, c->tunnel[k].cfg.name) == 0)
                reader_error(r, c->tunnel[i].line,
                             "there is a tunnel \"%s\" in line %u already; another name would be right",
                             c->tunnel[i].cfg.name, c->tunnel[k].line);
    for (size_t i = 0; i < c->ngateway; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->gateway[i].cfg.name, c->gateway[k].cfg.name) == 0)
                reader_error(r, c->gateway[i].line,
                             "there is a gateway \"%s\" in line %u already; another name would be right",
                             c->gateway[i].cfg.name, c->gateway[k].line);
    config_check_clients(r);
    if (r->f->top_n > 0)
        reader_error(r, r->f->top_line,
                     "\"%.40s\" stands outside of every section; daemon { %.40s = ... } may be right",
                     r->f->top_key, r->f->top_key);
}

/* What the endpoint would refuse is said here, before anything of the file is applied. */
static void check_endpoint(struct reader *r)
{
    struct dt_config *c = r->c;
    struct dt_err err = {0};
    for (size_t i = 0; i < c->ntunnel; i++) {
        struct dt_tunnel_cfg cfg = c->tunnel[i].cfg;
        if (cfg.ngateways == 0 && c->tunnel[i].nhost > 0)
            cfg.gateways[cfg.ngateways++] = dt_addr4(0x7f000001); /* of a name, which is not resolved here */
        if (dt_endpoint_tunnel_check(&cfg, &err) != 0)
            reader_error(r, c->tunnel[i].line, "tunnel %s", err.text);
    }
    for (size_t i = 0; i < c->ngateway; i++)
        if (dt_endpoint_gateway_check(&c->gateway[i].cfg, &err) != 0)
            reader_error(r, c->gateway[i].line, "gateway %s", err.text);
}

static int by_line(const void *a, const void *b)
{
    const struct dt_config_issue *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

int dt_config_parse(struct dt_config *out, const char *text, size_t len, const char *file, unsigned flags)
{
    *out = (struct dt_config){.nat = dt_epoch_nat_default()};
    config_daemon_defaults(&out->daemon);
    dt_policy_limits_default(&out->plans);
    struct dt_block_file f = {0};
    struct reader r = {.c = out, .f = &f, .text = text, .len = len, .flags = flags};
    struct dt_err err = {0};
    out->file = strdup(file);
    if (out->file == NULL) {
        out->errors = 1;
        return -1;
    }
    if (dt_block_parse(&f, text, len, file, &err) != 0) {
        reader_error_from(&r, &err);
    } else {
        /* First what the others are checked against. */
        for (size_t i = 0; i < f.nblocks; i++)
            if (strcmp(f.blocks[i].kind, "nat") == 0)
                read_block(&r, &f.blocks[i]);
        for (size_t i = 0; i < f.nblocks; i++)
            if (strcmp(f.blocks[i].kind, "nat") != 0)
                read_block(&r, &f.blocks[i]);
        check_whole(&r);
        if (out->errors == 0)
            check_endpoint(&r);
        read_rules(&r);
    }
    dt_block_file_free(&f);
    if (out->nissue > 1)
        qsort(out->issue, out->nissue, sizeof(*out->issue), by_line);
    return out->errors > 0 ? -1 : 0;
}

int dt_config_load(struct dt_config *out, const char *file)
{
    struct reader r = {.c = out};
    FILE *fp = fopen(file, "re");
    char *text = NULL;
    size_t len = 0, cap = 0;
    bool failed = fp == NULL;
    while (!failed && !feof(fp) && len <= DT_CONFIG_TEXT_MAX) {
        if (len == cap) {
            cap = cap ? cap * 2 : 65536;
            char *more = malloc(cap);
            if (more != NULL && len > 0)
                memcpy(more, text, len);
            if (text != NULL)
                dt_wipe(text, len); /* it may hold secrets */
            free(text);
            text = more;
            failed = text == NULL;
        }
        if (!failed)
            len += fread(text + len, 1, cap - len, fp);
        failed = failed || ferror(fp);
    }
    int reason = errno;
    if (fp != NULL)
        fclose(fp);
    int rc;
    if (failed || len > DT_CONFIG_TEXT_MAX) {
        *out = (struct dt_config){.file = strdup(file)};
        reader_error(&r, 0, failed ? "cannot be read: %s" : "is longer than the 64 MiB that are read%s",
                     failed ? strerror(reason) : "");
        rc = -1;
    } else {
        rc = dt_config_parse(out, text != NULL ? text : "", len, file, 0);
    }
    if (text != NULL)
        dt_wipe(text, len);
    free(text);
    return rc;
}

char *dt_config_issue_str(char *out, size_t cap, const struct dt_config *c, const struct dt_config_issue *i)
{
    if (i->line > 0)
        snprintf(out, cap, "%s:%u: %s%s", c->file, i->line, i->warning ? "warning: " : "", i->text);
    else
        snprintf(out, cap, "%s: %s%s", c->file, i->warning ? "warning: " : "", i->text);
    return out;
}

void dt_config_print_issues(const struct dt_config *c, FILE *to)
{
    char line[1024];
    for (size_t i = 0; i < c->nissue; i++)
        fprintf(to, "%s\n", dt_config_issue_str(line, sizeof(line), c, &c->issue[i]));
    if (c->nissue < c->errors + c->warnings)
        fprintf(to, "%s: and %zu more\n", c->file, c->errors + c->warnings - c->nissue);
}
