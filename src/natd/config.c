/* The settings of dovetail-natd. The file is libconfuse's: name = value, lists in braces, comments with #. */
#include "natd/natd.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    if (!strcmp(name, "inside"))
        return set_text(c->inside, sizeof(c->inside), value, why);
    if (!strcmp(name, "outside"))
        return set_text(c->outside, sizeof(c->outside), value, why);
    if (!strcmp(name, "socket"))
        return set_text(c->socket, sizeof(c->socket), value, why);
    if (!strcmp(name, "group"))
        return set_text(c->group, sizeof(c->group), value, why);
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

/* ---- the file -------------------------------------------------------------------------------- */

static char complaint[DT_ERR_TEXT];
static struct natd_config *reading;

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[192];
    vsnprintf(text, sizeof(text), fmt, ap);
    if (!complaint[0])
        snprintf(complaint, sizeof(complaint), "%s:%d: %s", cfg->filename ? cfg->filename : "?", cfg->line,
                 text);
}

/* libconfuse calls it at the line where the value ends, so an error carries that line; for a list after each value, and
 * once more at its end. */
static int check(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *name = cfg_opt_name(opt), *why = "";
    const struct dt_masq_params *p = &reading->masq.params;
    unsigned size = cfg_opt_size(opt);
    unsigned from = !strcmp(name, "clients")     ? p->n_nets
                    : !strcmp(name, "addresses") ? p->n_outside
                                                 : size - 1;
    for (unsigned i = from; i < size; i++) {
        const char *value = cfg_opt_getnstr(opt, i);
        if (natd_config_set(reading, name, value ? value : "", &why)) {
            cfg_error(cfg, "%s \"%s\" %s", name, value ? value : "", why);
            return -1;
        }
    }
    return 0;
}

int natd_config_read(struct natd_config *c, const char *file, struct dt_err *err)
{
    static const char *const own[] = {"inside", "outside", "socket", "group", "pin", "metrics"};
    const char *const *params = dt_masq_param_names();
    cfg_opt_t opts[64] = {0};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        opts[n++] = (cfg_opt_t)CFG_STR(own[i], NULL, CFGF_NODEFAULT);
    for (; *params && n < 60; params++)
        opts[n++] = (cfg_opt_t)CFG_STR(*params, NULL, CFGF_NODEFAULT);
    opts[n++] = (cfg_opt_t)CFG_STR_LIST("clients", NULL, CFGF_NODEFAULT);
    opts[n++] = (cfg_opt_t)CFG_STR_LIST("addresses", NULL, CFGF_NODEFAULT);
    opts[n] = (cfg_opt_t)CFG_END();
    if (access(file, R_OK))
        return dt_err_set(err, 0, "cannot read %s: %s", file, strerror(errno));
    cfg_t *cfg = cfg_init(opts, CFGF_NONE);
    if (!cfg)
        return dt_err_set(err, 0, "out of memory");
    complaint[0] = '\0';
    reading = c;
    cfg_set_error_function(cfg, on_error);
    for (size_t i = 0; i < n; i++)
        cfg_set_validate_func(cfg, opts[i].name, check);
    int rc = cfg_parse(cfg, file);
    cfg_free(cfg);
    reading = NULL;
    if (rc == CFG_SUCCESS)
        return 0;
    return dt_err_set(err, 0, "%s", complaint[0] ? complaint : "the file cannot be read");
}
