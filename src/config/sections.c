/* The file as sections, a section as a table of settings, and the collecting of complaints. */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "config/file.h"
#include "config/reader.h"

/* A reader of NULL: the section belongs to a room that reads the text by itself (read_rules). */
static const struct {
    const char *kind;
    bool titled;
    void (*read)(struct reader *r, const struct dt_block *b);
    const struct setting_table *settings;
} sections[] = {
    {"tunnel", true, read_tunnel_section, &tunnel_settings},
    {"gateway", true, read_gateway_section, &gateway_settings},
    {"client", true, read_client_section, &client_settings},
    {"discover", true, read_discover_section, &discover_settings},
    {"daemon", false, read_daemon_section, &daemon_settings},
    {"nat", false, read_nat_section, &nat_settings},
    {"plans", false, read_plans_section, &plans_settings},
    {"rule", true, NULL, NULL},
    {"group", true, NULL, NULL},
};

void dt_config_each_setting(void (*each)(void *ctx, const char *section, const char *name), void *ctx)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(sections); i++) {
        const struct setting_table *t = sections[i].settings;
        const char *const *names = t == NULL ? dt_rules_setting_names(sections[i].kind) : NULL;
        for (size_t k = 0; t != NULL && k < t->n; k++)
            each(ctx, sections[i].kind, t->def[k].key);
        for (; names != NULL && *names != NULL; names++)
            each(ctx, sections[i].kind, *names);
    }
}

/* However many warnings there are, an error has room. */
static bool make_room(struct dt_config *c, bool warning)
{
    size_t i = c->nissue;
    if (c->nissue < DT_CONFIG_ISSUES_MAX)
        return true;
    while (!warning && i > 0 && !c->issue[i - 1].warning)
        i--;
    if (warning || i == 0)
        return false;
    memmove(&c->issue[i - 1], &c->issue[i], (c->nissue - i) * sizeof(*c->issue));
    c->nissue--;
    return true;
}

static void add_issue(struct reader *r, unsigned line, bool warning, const char *fmt, va_list ap)
{
    struct dt_config *c = r->c;
    *(warning ? &c->warnings : &c->errors) += 1;
    if (!make_room(c, warning))
        return;
    struct dt_config_issue *more = realloc(c->issue, (c->nissue + 1) * sizeof(*more));
    if (more == NULL)
        return;
    c->issue = more;
    struct dt_config_issue *i = &c->issue[c->nissue++];
    *i = (struct dt_config_issue){.line = line, .warning = warning};
    dt_utf8_vprintf(i->text, sizeof(i->text), fmt, ap);
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

void *reader_room(const struct reader *r, const char *kind, size_t size, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < r->f->nblocks && n < max; i++)
        n += strcmp(r->f->blocks[i].kind, kind) == 0;
    return calloc(n, size);
}

void reader_error_from(struct reader *r, const struct dt_err *err)
{
    char at[DT_SOURCE_STRLEN];
    size_t before = err->place > 0 ? strlen(dt_source_str(at, r->f->sources, err->place)) + strlen(": ") : 0;
    reader_error(r, err->place, "%s", err->text + before);
}

const char *reader_line(const struct reader *r, unsigned place, unsigned from)
{
    static _Thread_local char text[2][DT_SOURCE_LINELEN];
    static _Thread_local unsigned turn;
    return dt_source_line(text[turn++ % 2], r->f->sources, place, from);
}

#define SETTINGS_MAX 64 /* that a kind of section may have; the longest table has half of it */

/* "; did you mean "x"?", or which names there are. */
static void unknown_setting(struct reader *r, const struct dt_block *b, const struct dt_setting *s,
                            const struct setting_def *defs, size_t n, bool *seen)
{
    const char *names[SETTINGS_MAX];
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
    unsigned line[SETTINGS_MAX] = {0};
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
            reader_error(r, s->line, "%s was set in %s already; once would be right", s->key,
                         reader_line(r, line[k], s->line));
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

/* Rules and groups are read by their own room, from the same blocks. */
static void rules_read(struct reader *r)
{
    struct dt_err err = {0};
    r->c->rules = dt_rules_of(r->f, r->c->file, true, &err);
    if (r->c->rules == NULL)
        reader_error_from(r, &err);
    else
        config_check_rules(r);
}

struct named {
    const char *name;
    unsigned line;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : x->line < y->line ? -1 : x->line > y->line;
}

/* Sorted, the second of two with one name is a complaint. */
static void check_names(struct reader *r, const char *kind, struct named *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(v[i].name, v[i - 1].name) == 0)
            reader_error(r, v[i].line, "there is a %s \"%s\" in %s already; another name would be right",
                         kind, v[i].name, reader_line(r, v[i - 1].line, v[i].line));
}

/* Names that are used twice; what the sections say about each other. */
static void check_whole(struct reader *r)
{
    struct dt_config *c = r->c;
    struct named *v = calloc(c->ntunnel + c->ngateway + 1, sizeof(*v));
    if (v == NULL) {
        reader_error(r, 0, "out of memory");
        return;
    }
    for (size_t i = 0; i < c->ntunnel; i++)
        v[i] = (struct named){c->tunnel[i].cfg.name, c->tunnel[i].line};
    check_names(r, "tunnel", v, c->ntunnel);
    for (size_t i = 0; i < c->ngateway; i++)
        v[i] = (struct named){c->gateway[i].cfg.name, c->gateway[i].line};
    check_names(r, "gateway", v, c->ngateway);
    free(v);
    config_check_clients(r);
    config_check_reach(r);
    if (r->f->ntop > 0)
        reader_error(r, r->f->top[0].line,
                     "\"%.40s\" stands outside of every section; daemon { %.40s = ... } may be right",
                     r->f->top[0].key, r->f->top[0].key);
}

/* In IKE_SA_INIT the endpoint looks at so many lists of proposals: nobody could reach a gateway with one more. */
static void check_offers(struct reader *r, size_t at)
{
    const struct dt_config_gateway *g = r->c->gateway, *mine = &g[at];
    size_t lists = 1;
    for (size_t i = 0; i < at; i++) {
        bool first = dt_endpoint_gateways_meet(&g[i].cfg, &mine->cfg);
        if (first && dt_endpoint_gateways_offer(&g[i].cfg, &mine->cfg))
            return; /* it is one of those before */
        for (size_t k = 0; first && k < i; k++)
            first = !dt_endpoint_gateways_meet(&g[k].cfg, &mine->cfg) ||
                    !dt_endpoint_gateways_offer(&g[k].cfg, &g[i].cfg);
        lists += first;
    }
    if (lists > DT_GATEWAY_OFFERS)
        reader_error(
            r, mine->line,
            "gateway \"%s\": with it there are %zu different lists of `ike` at one address, and %d are "
            "looked at; the list of a gateway before it, or another `listen`, would be right",
            mine->cfg.name, lists, DT_GATEWAY_OFFERS);
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
    for (size_t i = 0; i < c->ngateway; i++) {
        if (dt_endpoint_gateway_check(&c->gateway[i].cfg, &err) != 0)
            reader_error(r, c->gateway[i].line, "gateway %s", err.text);
        check_offers(r, i);
    }
}

static int include_nothing(void *user, const char *from, const char *pattern, struct dt_block_text **list,
                           size_t *n, struct dt_err *err)
{
    *list = NULL;
    *n = 0;
    return 0;
}

static void close_nothing(void *user, struct dt_block_text *list, size_t n)
{
}

static int by_line(const void *a, const void *b)
{
    const struct dt_config_issue *x = a, *y = b;
    return x->line < y->line ? -1 : x->line > y->line;
}

static int config_read(struct dt_config *out, const struct dt_block_text *first, unsigned flags,
                       const struct dt_config_opener *opener)
{
    const struct dt_block_includer nothing = {.open = include_nothing, .close = close_nothing},
                                   files = dt_config_includer(opener);
    *out = (struct dt_config){.nat = dt_epoch_nat_default()};
    config_daemon_defaults(&out->daemon);
    dt_policy_limits_default(&out->plans);
    struct dt_block_file f = {0};
    struct reader r = {.c = out, .f = &f, .flags = flags, .opener = opener};
    struct dt_err err = {0};
    out->file = dt_utf8_mend(strdup(first->file));
    if (out->file == NULL) {
        out->errors = 1;
        return -1;
    }
    int rc = dt_block_parse(&f, first, flags & DT_CONFIG_NO_FILES ? &nothing : &files, &err);
    if (f.sources != NULL)
        out->sources = dt_sources_ref(f.sources);
    if (rc != 0) {
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
        rules_read(&r);
        config_check_overlaps(&r);
    }
    reader_proofs_free(&r);
    dt_block_file_free(&f);
    if (out->nissue > 1)
        qsort(out->issue, out->nissue, sizeof(*out->issue), by_line);
    return out->errors > 0 ? -1 : 0;
}

int dt_config_parse(struct dt_config *out, const char *text, size_t len, const char *file, unsigned flags)
{
    const struct dt_block_text first = {
        .file = (char *)(uintptr_t)file, .text = (char *)(uintptr_t)text, .len = len};
    return config_read(out, &first, flags, &dt_config_disk);
}

int dt_config_load(struct dt_config *out, const char *file)
{
    return dt_config_load_with(out, file, &dt_config_disk);
}

int dt_config_unread(struct dt_config *out, const char *file, const char *why)
{
    struct dt_block_file none = {0};
    struct reader r = {.c = out, .f = &none};
    *out = (struct dt_config){.file = strdup(file)};
    reader_error(&r, 0, "%s", why);
    return -1;
}

int dt_config_load_with(struct dt_config *out, const char *file, const struct dt_config_opener *opener)
{
    struct dt_block_text text;
    struct dt_err err = {0};
    int rc = dt_config_text_read(&text, file, opener, &err);
    if (rc == 0) {
        rc = config_read(out, &text, 0, opener);
    } else {
        rc = dt_config_unread(out, file, err.text);
    }
    dt_config_text_free(&text);
    return rc;
}

const char *dt_config_issue_at(const struct dt_config *c, const struct dt_config_issue *i, unsigned *line)
{
    *line = i->line;
    return c->sources != NULL && i->line > 0 ? dt_source_at(c->sources, i->line, line) : c->file;
}

char *dt_config_issue_str(char *out, size_t cap, const struct dt_config *c, const struct dt_config_issue *i)
{
    unsigned line;
    const char *file = dt_config_issue_at(c, i, &line);
    if (line > 0)
        dt_utf8_printf(out, cap, "%s:%u: %s%s", file, line, i->warning ? "warning: " : "", i->text);
    else
        dt_utf8_printf(out, cap, "%s: %s%s", file, i->warning ? "warning: " : "", i->text);
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
