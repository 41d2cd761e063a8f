/* daemon { ... } and nat { ... } */
#include <pwd.h>
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"
#include "control/control.h"

void config_daemon_defaults(struct dt_config_daemon *d)
{
    *d = (struct dt_config_daemon){.socket = DT_CONTROL_SOCKET,
                                   .device = "dovetail%d",
                                   .leases = "/var/lib/dovetail/leases.db",
                                   .log = DT_LOG_INFO,
                                   .mtu = 1400,
                                   .hold_packets = 64,
                                   .ike_port = DT_PORT_IKE,
                                   .natt_port = DT_PORT_NATT};
}

static void read_log(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *v = reader_value(r, s, 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++)
        if (strcmp(v, names[i]) == 0) {
            *(enum dt_log_level *)field = (enum dt_log_level)i;
            return;
        }
    reader_error(r, s->line, "log = \"%.40s\": error, warn, info or debug would be right", v);
}

/* "127.0.0.1:9470", "[::1]:9470", or a port alone, on this host. */
static void read_metrics(struct reader *r, const struct dt_setting *s, void *field,
                         const struct setting_def *def)
{
    struct dt_addrport *ap = field;
    const char *v = reader_value(r, s, 0), *colon = strrchr(v, ':');
    char host[DT_ADDR_STRLEN] = "127.0.0.1";
    size_t n = colon != NULL ? (size_t)(colon - v) : 0;
    if (n > 0 && n < sizeof(host)) {
        bool brackets = v[0] == '[' && v[n - 1] == ']';
        memcpy(host, v + brackets, n - 2u * brackets);
        host[n - 2u * brackets] = '\0';
    }
    const char *port = colon != NULL ? colon + 1 : v;
    char *end;
    unsigned long p = *port >= '0' && *port <= '9' ? strtoul(port, &end, 10) : 0;
    struct dt_addr a;
    if (n >= sizeof(host) || p == 0 || p > 65535 || *end != '\0' || dt_addr_parse(&a, host) != 0) {
        reader_error(r, s->line,
                     "metrics = \"%.64s\": an address and a port such as \"127.0.0.1:9470\" would be right",
                     v);
        return;
    }
    *ap = (struct dt_addrport){.addr = a, .port = (uint16_t)p};
}

static void read_user(struct reader *r, const struct dt_setting *s, void *field,
                      const struct setting_def *def)
{
    read_text(r, s, field, def);
    const char *name = field;
    if (name[0] != '\0' && !(r->flags & DT_CONFIG_NO_FILES) && getpwnam(name) == NULL)
        reader_error(
            r, s->line,
            "user = \"%s\": there is no such user; `useradd --system --no-create-home %s`, or one that there "
            "is, would be right",
            name, name);
}

#define AT(member) offsetof(struct dt_config_daemon, member)
static const struct setting_def defs[] = {
    {"socket", read_text, AT(socket), 1, sizeof(((struct dt_config_daemon *)0)->socket)},
    {"group", read_text, AT(group), 1, sizeof(((struct dt_config_daemon *)0)->group)},
    {"user", read_user, AT(user), 1, sizeof(((struct dt_config_daemon *)0)->user)},
    {"device", read_text, AT(device), 1, sizeof(((struct dt_config_daemon *)0)->device)},
    {"leases", read_text, AT(leases), 1, sizeof(((struct dt_config_daemon *)0)->leases)},
    {"keylog", read_text, AT(keylog), 1, sizeof(((struct dt_config_daemon *)0)->keylog)},
    {"metrics", read_metrics, AT(metrics)},
    {"log", read_log, AT(log)},
    {"workers", read_uint, AT(workers), 1, 16},
    {"mtu", read_uint, AT(mtu), 1280, 65535},
    {"hold", read_uint, AT(hold_packets), 0, 65536},
    {"ike_port", read_port, AT(ike_port)},
    {"natt_port", read_port, AT(natt_port)},
};
const struct setting_table daemon_settings = {defs, DT_ARRAY_LEN(defs)};

static bool same_setting(const struct setting_def *def, const void *a, const void *b)
{
    if (def->read == read_uint)
        return *(const uint32_t *)a == *(const uint32_t *)b;
    if (def->read == read_port)
        return *(const uint16_t *)a == *(const uint16_t *)b;
    if (def->read == read_log)
        return *(const enum dt_log_level *)a == *(const enum dt_log_level *)b;
    if (def->read == read_metrics)
        return dt_addrport_eq(a, b);
    return strcmp(a, b) == 0;
}

size_t dt_config_daemon_changes(const struct dt_config_daemon *a, const struct dt_config_daemon *b, char *out,
                                size_t cap)
{
    size_t n = 0, at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < DT_ARRAY_LEN(defs); i++)
        if (!same_setting(&defs[i], (const char *)a + defs[i].offset, (const char *)b + defs[i].offset)) {
            at += at < cap ? (size_t)snprintf(out + at, cap - at, "%s%s", n > 0 ? ", " : "", defs[i].key) : 0;
            n++;
        }
    return n;
}

void read_daemon_section(struct reader *r, const struct dt_block *b)
{
    struct dt_config_daemon *d = &r->c->daemon;
    bool seen[DT_ARRAY_LEN(defs)] = {false};
    if (d->line != 0) {
        reader_error(r, b->line, "there is a daemon section in %s already; one would be right",
                     reader_line(r, d->line, b->line));
        return;
    }
    d->line = b->line;
    reader_section(r, b, d, defs, DT_ARRAY_LEN(defs), seen);
    struct dt_digest digest;
    reader_digest(r, b, &digest);
    d->print = dt_digest_value(&digest);
    if (strchr(d->device, '/') != NULL || strchr(d->device, ' ') != NULL)
        reader_error(r, b->line, "device = \"%s\": a name without blanks and slashes would be right",
                     d->device);
    if (d->ike_port == d->natt_port)
        reader_error(r, b->line, "ike_port and natt_port are both %u; two different ones would be right",
                     d->ike_port);
    if (d->keylog[0] != '\0')
        reader_warn(r, b->line,
                    "keylog: every key of every session is written to %s; whoever reads it reads the traffic",
                    d->keylog);
}

#undef AT
#define AT(member) offsetof(struct dt_epoch_nat, member)
static const struct setting_def nat_defs[] = {
    {"t_out", read_span, AT(t_out)},
    {"n_out", read_uint, AT(n_out), 1, 1000000},
    {"t_ei", read_span, AT(t_ei)},
    {"n", read_uint, AT(n), 1, 1000000},
};
const struct setting_table nat_settings = {nat_defs, DT_ARRAY_LEN(nat_defs)};

void read_nat_section(struct reader *r, const struct dt_block *b)
{
    bool seen[DT_ARRAY_LEN(nat_defs)] = {false};
    reader_section(r, b, &r->c->nat, nat_defs, DT_ARRAY_LEN(nat_defs), seen);
}
