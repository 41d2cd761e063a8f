/* The settings of dovetail-natd: names and values, from the command line or from a file of the same grammar as
 * dovetaild's (base/block.h), in which they stand outside of sections. */
#include "natd/natd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "base/utf8.h"
#include "config/file.h"

void natd_config_defaults(struct natd_config *c)
{
    *c = (struct natd_config){.masq = dt_masq_defaults(), .socket = DT_CONTROL_SOCKET_NATD};
}

static int set_text(char *out, size_t cap, const char *value, const char **why)
{
    *why = "is too long";
    if (strlen(value) >= cap)
        return -1;
    memcpy(out, value, strlen(value) + 1);
    return 0;
}

static int set_metrics(struct natd_config *c, const char *value, const char **why)
{
    char host[64];
    const char *colon = strrchr(value, ':');
    *why = "must be ADDRESS:PORT, as 127.0.0.1:9471";
    if (!colon || (size_t)(colon - value) >= sizeof(host))
        return -1;
    memcpy(host, value, (size_t)(colon - value));
    host[colon - value] = '\0';
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        memmove(host, host + 1, strlen(host));
        host[strlen(host) - 1] = '\0';
    }
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (dt_addr_parse(&c->metrics.addr, host) || *end || end == colon + 1 || port < 1 || port > 65535)
        return -1;
    c->metrics.port = (uint16_t)port;
    return 0;
}

int natd_config_set(struct natd_config *c, const char *name, const char *value, const char **why)
{
    struct dt_masq_params *p = &c->masq.params;
    if (!dt_utf8_ok(value)) {
        *why = "is not UTF-8";
        return -1;
    }
    if (!strcmp(name, "inside"))
        return set_text(c->inside, sizeof(c->inside), value, why);
    if (!strcmp(name, "outside"))
        return set_text(c->outside, sizeof(c->outside), value, why);
    if (!strcmp(name, "socket"))
        return set_text(c->socket, sizeof(c->socket), value, why);
    if (!strcmp(name, "group"))
        return set_text(c->group, sizeof(c->group), value, why);
    if (!strcmp(name, "user"))
        return set_text(c->user, sizeof(c->user), value, why);
    if (!strcmp(name, "pin"))
        return set_text(c->pin, sizeof(c->pin), value, why);
    if (!strcmp(name, "metrics"))
        return set_metrics(c, value, why);
    if (!strcmp(name, "clients")) {
        struct dt_prefix px;
        *why = "must be an IPv4 prefix, as 192.168.7.0/24";
        if (dt_prefix_parse(&px, value, true) || px.addr.ver != 4)
            return -1;
        *why = "has more than 16 prefixes";
        if (p->n_nets >= DT_MASQ_NETS_MAX)
            return -1;
        uint32_t mask = px.len ? ~0u << (32 - px.len) : 0;
        p->nets[p->n_nets++] = (struct dt_masq_net){dt_addr4_host(&px.addr), mask};
        c->clients_given = true;
        return 0;
    }
    if (!strcmp(name, "addresses")) {
        struct dt_addr a;
        *why = "must be an IPv4 address of the outside interface";
        if (dt_addr_parse(&a, value) || a.ver != 4)
            return -1;
        *why = "has more than 8 addresses";
        if (p->n_outside >= DT_MASQ_OUTSIDE_MAX)
            return -1;
        p->outside[p->n_outside++] = dt_addr4_host(&a);
        c->addresses_given = true;
        return 0;
    }
    return dt_masq_set(&c->masq, name, value, why);
}

/* ---- names ----------------------------------------------------------------------------------- */

size_t natd_setting_names(const char *out[NATD_SETTINGS_MAX])
{
    static const char *const own[] = {"inside", "outside", "socket",  "group",    "user",
                                      "pin",    "metrics", "clients", "addresses"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        out[n++] = own[i];
    for (const char *const *p = dt_masq_param_names(); *p && n < NATD_SETTINGS_MAX; p++)
        out[n++] = *p;
    return n;
}

bool natd_config_known(const char *name, char *hint, size_t cap)
{
    const char *names[NATD_SETTINGS_MAX];
    size_t n = natd_setting_names(names);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return true;
    const char *near = dt_suggest(name, names, n);
    if (near)
        snprintf(hint, cap, "there is no setting \"%.40s\"; did you mean \"%s\"?", name, near);
    else
        snprintf(hint, cap, "there is no setting \"%.40s\"; docs/examples/natd.conf has all of them", name);
    return false;
}

/* ---- the file -------------------------------------------------------------------------------- */

struct natd_reading {
    struct natd_config *c;
    const struct dt_block_file *f;
    natd_complaint *complain;
    void *ctx;
    size_t errors;
};

static void natd_complain(struct natd_reading *r, unsigned place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void natd_complain(struct natd_reading *r, unsigned place, const char *fmt, ...)
{
    char text[DT_ERR_TEXT], line[DT_ERR_TEXT + DT_SOURCE_STRLEN], at[DT_SOURCE_STRLEN];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(line, sizeof(line), "%s: %s", dt_source_str(at, r->f->sources, place), text);
    r->errors++;
    r->complain(r->ctx, line);
}

static bool is_list(const char *name)
{
    return !strcmp(name, "clients") || !strcmp(name, "addresses");
}

static void read_setting(struct natd_reading *r, const struct dt_setting *s)
{
    char hint[160], line[DT_SOURCE_LINELEN];
    if (!natd_config_known(s->key, hint, sizeof(hint))) {
        natd_complain(r, s->line, "%s", hint);
        return;
    }
    for (const struct dt_setting *x = r->f->top; x < s; x++)
        if (!strcmp(x->key, s->key) && !(s->add && is_list(s->key))) {
            natd_complain(r, s->line, "%s was set in %s already; once would be right%s", s->key,
                          dt_source_line(line, r->f->sources, x->line, s->line),
                          is_list(s->key) ? ", or +=" : "");
            return;
        }
    if (s->n == 0)
        natd_complain(r, s->line, "%s is an empty list; at least one value would be right", s->key);
    else if (s->n > 1 && !is_list(s->key))
        natd_complain(r, s->line, "%s has %zu values; one would be right", s->key, s->n);
    for (size_t i = 0; i < s->n && (i == 0 || is_list(s->key)); i++) {
        const char *value = r->f->values[s->value + i], *why = "";
        if (natd_config_set(r->c, s->key, value, &why)) {
            natd_complain(r, s->line, "%s \"%.64s\" %s", s->key, value, why);
            return;
        }
    }
}

int natd_config_read(struct natd_config *c, const char *file, natd_complaint *say, void *ctx)
{
    struct dt_block_file f;
    struct dt_err err = {0};
    struct natd_reading r = {.c = c, .f = &f, .complain = say, .ctx = ctx};
    if (dt_config_file_read(&f, file, &dt_config_disk, &err)) {
        r.errors++;
        say(ctx, err.text);
    }
    for (size_t i = 0; r.errors == 0 && i < f.nblocks; i++)
        natd_complain(&r, f.blocks[i].line,
                      "\"%.40s\" is a section, and the settings of the NAT stand in none: name = value",
                      f.blocks[i].kind);
    bool readable = r.errors == 0;
    for (size_t i = 0; readable && i < f.ntop; i++)
        read_setting(&r, &f.top[i]);
    dt_block_file_free(&f);
    return r.errors ? -1 : 0;
}
