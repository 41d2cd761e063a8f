/* Values: text ↔ numbers, spans of time, addresses, identities, secrets. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "config/reader.h"

const char *reader_value(const struct reader *r, const struct dt_setting *s, size_t i)
{
    return r->f->values[s->value + i];
}

void read_text(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    const char *v = reader_value(r, s, 0);
    if (v[0] == '\0' || strlen(v) >= (size_t)def->max) {
        reader_error(r, s->line, "%s has %zu characters; 1 to %ld would be right", s->key, strlen(v),
                     def->max - 1);
        return;
    }
    memcpy(field, v, strlen(v) + 1);
}

void read_bool(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    static const char *const yes[] = {"yes", "on", "true"}, *const no[] = {"no", "off", "false"};
    const char *v = reader_value(r, s, 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(yes); i++)
        if (strcmp(v, yes[i]) == 0 || strcmp(v, no[i]) == 0) {
            *(bool *)field = strcmp(v, yes[i]) == 0;
            return;
        }
    reader_error(r, s->line, "%s = \"%.40s\" is neither yes nor no", s->key, v);
}

static bool number(const char *text, long min, long max, long *out)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || n < min || n > max)
        return false;
    *out = n;
    return true;
}

void read_uint(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    long n;
    if (number(reader_value(r, s, 0), def->min, def->max, &n))
        *(uint32_t *)field = (uint32_t)n;
    else
        reader_error(r, s->line, "%s = \"%.40s\": a whole number from %ld to %ld would be right", s->key,
                     reader_value(r, s, 0), def->min, def->max);
}

void read_port(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    long n;
    if (number(reader_value(r, s, 0), 1, 65535, &n))
        *(uint16_t *)field = (uint16_t)n;
    else
        reader_error(r, s->line, "%s = \"%.40s\": a UDP port from 1 to 65535 would be right", s->key,
                     reader_value(r, s, 0));
}

void read_percent(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    char text[32];
    const char *v = reader_value(r, s, 0);
    size_t len = strlen(v);
    long n;
    if (len > 0 && len < sizeof(text)) {
        memcpy(text, v, len + 1);
        if (text[len - 1] == '%')
            text[len - 1] = '\0';
        if (number(text, def->min, def->max, &n)) {
            *(uint32_t *)field = (uint32_t)n;
            return;
        }
    }
    reader_error(r, s->line, "%s = \"%.40s\": per cent from %ld to %ld would be right, such as \"100%%\"",
                 s->key, v, def->min, def->max);
}

void read_span(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ms", 0.001}, {"s", 1}, {"", 1}, {"min", 60}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *v = reader_value(r, s, 0);
    char *end = NULL;
    double n = v[0] >= '0' && v[0] <= '9' && v[1] != 'x' && v[1] != 'X' ? strtod(v, &end) : -1;
    while (end != NULL && *end == ' ')
        end++;
    for (size_t i = 0; end != NULL && i < DT_ARRAY_LEN(units); i++)
        if (strcmp(end, units[i].name) == 0) {
            double seconds = n * units[i].seconds;
            if (seconds >= 0.001 && seconds <= 366.0 * 86400) {
                *(dt_time *)field = dt_seconds(seconds);
                return;
            }
        }
    reader_error(r, s->line,
                 "%s = \"%.40s\": a span of time from 1 ms to 366 d would be right, such as \"500ms\", "
                 "\"30s\", \"10min\" or \"8h\"",
                 s->key, v);
}

static void read_any_id(struct reader *r, const struct dt_setting *s, struct dt_ike_id *id, bool pattern)
{
    const char *v = reader_value(r, s, 0);
    if (dt_ike_id_parse(id, v) != 0)
        reader_error(r, s->line,
                     "%s = \"%.64s\" is no identity; a name (vpn.example.net), an e-mail address, an address "
                     "or keyid:TEXT of at most %d bytes would be right",
                     s->key, v, DT_IKE_ID_MAX);
    else if (!pattern && (id->type == DT_ID_ANY || memchr(id->data, '*', id->len) != NULL))
        reader_error(r, s->line, "%s = \"%.64s\" is a pattern; one exact identity would be right", s->key, v);
    else if (pattern && dt_ike_id_parse_pattern(id, v) != 0)
        reader_error(r, s->line,
                     "%s = \"%.64s\" is no pattern; \"*.example.net\", \"*@example.net\" or, for anybody, "
                     "\"%%any\" would "
                     "be right",
                     s->key, v);
}

void read_id(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    read_any_id(r, s, field, false);
}

void read_id_pattern(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    read_any_id(r, s, field, true);
}

bool value_addr(struct reader *r, unsigned line, const char *key, const char *text, struct dt_addr *out)
{
    if (dt_addr_parse(out, text) == 0)
        return true;
    struct dt_prefix p;
    if (dt_prefix_parse(&p, text, true) == 0)
        reader_error(r, line, "%s: \"%.64s\" is a prefix; one address would be right, without /%u", key, text,
                     p.len);
    else
        reader_error(r, line, "%s: \"%.64s\" is no IPv4 or IPv6 address", key, text);
    return false;
}

/* Why is this no selector, and what would be one? */
static void selector_error(struct reader *r, unsigned line, const char *key, const char *text)
{
    struct dt_prefix p;
    char right[DT_PREFIX_STRLEN];
    const char *slash = strchr(text, '/');
    if (dt_prefix_parse(&p, text, true) == 0)
        reader_error(r, line, "%s: \"%.64s\" has host bits set; \"%s\" would be right", key, text,
                     dt_prefix_str(right, &p));
    else if (slash != NULL && strchr(text, '[') == NULL)
        reader_error(r, line,
                     "%s: \"%.64s\" is no prefix; an address, a slash and 0 to 32 (IPv4) or 0 to 128 (IPv6) "
                     "would be right",
                     key, text);
    else
        reader_error(r, line,
                     "%s: \"%.64s\" is no prefix or range; such as \"10.0.0.0/8\", \"fd00::/8\" or "
                     "\"10.0.0.1-10.0.0.9\" would be right",
                     key, text);
}

void read_selectors(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    struct dt_selectors *list = field;
    if (s->n > DT_SELECTORS_MAX) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_SELECTORS_MAX);
        return;
    }
    list->n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        struct dt_selector sel;
        struct dt_prefix p;
        bool host_bits =
            strchr(v, '-') == NULL && strchr(v, '[') == NULL && dt_prefix_parse(&p, v, false) != 0;
        if (host_bits || dt_selector_parse(&sel, v) != 0)
            selector_error(r, s->line, s->key, v);
        else
            dt_selectors_add(list, &sel);
    }
}

void value_prefixes(struct reader *r, unsigned line, const char *key, const struct dt_selectors *list)
{
    struct dt_prefix part[DT_CONFIG_PREFIXES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += dt_range_prefixes(&list->v[i].range, part, DT_ARRAY_LEN(part), NULL);
    if (n > DT_CONFIG_PREFIXES_MAX)
        reader_error(
            r, line,
            "%s comes to %zu prefixes, and one tunnel takes %d at most; ranges that begin and end with a "
            "prefix would be right",
            key, n, DT_CONFIG_PREFIXES_MAX);
}

static void read_proposals(struct reader *r, const struct dt_setting *s, struct dt_proposals *list,
                           uint8_t protocol)
{
    list->n = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct dt_proposal p;
        struct dt_err err = {0};
        if (dt_proposal_parse(&p, protocol, reader_value(r, s, i), &err) != 0)
            reader_error(r, s->line, "%s: %s", s->key, err.text);
        else if (!dt_proposals_add(list, &p)) {
            reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                         DT_PROPOSALS_MAX);
            return;
        }
    }
}

void read_ike_proposals(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def)
{
    read_proposals(r, s, field, DT_PROTO_IKE);
}

void read_esp_proposals(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def)
{
    read_proposals(r, s, field, DT_PROTO_ESP);
}

static int open_secret(struct reader *r, unsigned line, const char *key, const char *path, struct stat *st)
{
    int fd = r->opener->open(r->opener->user, path, true);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
        return fd;
    if (fd < 0 && errno == ELOOP)
        reader_error(r, line, "%s: %.200s is a symbolic link; the path of the file itself would be right",
                     key, path);
    else if (fd < 0 && errno == EACCES && geteuid() != 0)
        reader_error(r, line, "%s: cannot read %.200s: %s (this is user %u, and secrets are root's)", key,
                     path, strerror(EACCES), (unsigned)geteuid());
    else
        reader_error(r, line, "%s: cannot read %.200s: %s", key, path,
                     fd < 0 ? strerror(errno) : "not a regular file");
    if (fd >= 0)
        close(fd);
    return -1;
}

long value_file(struct reader *r, unsigned line, const char *key, const char *path, void *out, size_t cap)
{
    if (r->flags & DT_CONFIG_NO_FILES)
        return 0;
    if (path[0] != '/') {
        reader_error(r, line, "%s: file:%.200s is not absolute; file:/PATH would be right", key, path);
        return -1;
    }
    struct stat st;
    int fd = open_secret(r, line, key, path, &st);
    if (fd < 0)
        return -1;
    if (st.st_uid != 0 && st.st_uid != geteuid())
        reader_warn(
            r, line,
            "%s: %.200s belongs to user %u, who can read and change it; `chown root %.200s` would be right",
            key, path, (unsigned)st.st_uid, path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) !=
        0) { /* a secret that others know is none; as ssh does with keys */
        reader_error(r, line,
                     "%s: others than its owner may %s %.200s (mode %04o); `chmod 600 %.200s` would be right",
                     key, st.st_mode & (S_IWOTH | S_IWGRP) ? "change" : "read", path,
                     (unsigned)(st.st_mode & 07777), path);
        close(fd);
        return -1;
    }
    size_t len = 0;
    ssize_t n = 1;
    while (len < cap && (n = read(fd, (char *)out + len, cap - len)) > 0)
        len += (size_t)n;
    close(fd);
    if (n < 0) {
        reader_error(r, line, "%s: cannot read %.200s: %s", key, path, strerror(errno));
        return -1;
    }
    if (len == cap) {
        reader_error(r, line, "%s: %.200s is longer than %zu bytes", key, path, cap - 1);
        return -1;
    }
    return (long)len;
}

long value_public_file(struct reader *r, unsigned line, const char *key, const char *path, char **out)
{
    const size_t most = (size_t)32 << 20;
    struct stat st;
    *out = NULL;
    if (r->flags & DT_CONFIG_NO_FILES)
        return 0;
    int fd = r->opener->open(r->opener->user, path, false);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)most) {
        reader_error(r, line, "%s: cannot read %.200s: %s", key, path,
                     fd < 0                ? strerror(errno)
                     : S_ISREG(st.st_mode) ? "it is longer than 32 MiB"
                                           : "not a regular file");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (st.st_uid != 0 && st.st_uid != geteuid())
        reader_warn(r, line,
                    "%s: %.200s belongs to user %u, who can change it; `chown root %.200s` would be right",
                    key, path, (unsigned)st.st_uid, path);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        reader_error(
            r, line,
            "%s: others than its owner may change %.200s (mode %04o); `chmod go-w %.200s` would be right",
            key, path, (unsigned)(st.st_mode & 07777), path);
    size_t len = 0, cap = (size_t)st.st_size;
    ssize_t n = 1;
    *out = malloc(cap + 1);
    while (*out != NULL && len < cap && (n = read(fd, *out + len, cap - len)) > 0)
        len += (size_t)n;
    close(fd);
    if (*out != NULL && n >= 0)
        return (long)len;
    reader_error(r, line, "%s: cannot read %.200s: %s", key, path,
                 *out != NULL ? strerror(errno) : "out of memory");
    free(*out);
    *out = NULL;
    return -1;
}

size_t value_mark(const char *text, size_t len)
{
    return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

bool value_psk(struct reader *r, unsigned line, const char *text, size_t len, struct dt_config_psk *out)
{
    if (len > 2 && text[0] == '0' && text[1] == 'x') {
        char hex[2 * DT_PSK_MAX + 64];
        long n = -1;
        if (len - 2 < sizeof(hex)) {
            memcpy(hex, text + 2, len - 2);
            hex[len - 2] = '\0';
            n = dt_unhex(out->key, sizeof(out->key), hex);
            dt_wipe(hex, sizeof(hex));
        }
        if (n <= 0) {
            reader_error(r, line, "psk: after 0x an even number of hex digits would be right, at most %d",
                         2 * DT_PSK_MAX);
            return false;
        }
        out->len = (uint16_t)n;
        return true;
    }
    if (len == 0 || len > DT_PSK_MAX) {
        reader_error(
            r, line,
            "psk: the secret has %zu bytes; 1 to %d would be right (and 16 or more random ones are wise)",
            len, DT_PSK_MAX);
        return false;
    }
    memcpy(out->key, text, len);
    out->len = (uint16_t)len;
    return true;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The secret of a file: its first line. Editors leave a byte order mark before it and blanks behind it, which are not meant.
 * What follows may be empty or a comment; anything else is perhaps the rest of a secret, and is not left out silently. */
static bool psk_line(struct reader *r, unsigned line, const char *path, const char *text, size_t len,
                     struct dt_config_psk *out)
{
    size_t from = value_mark(text, len);
    const char *end = memchr(text, '\n', len);
    size_t to = end != NULL ? (size_t)(end - text) : len;
    if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
        reader_error(r, line, "psk: %.200s is UTF-16; a file that is saved as UTF-8 would be right", path);
        return false;
    }
    for (size_t i = to; i < len; i++) {
        size_t stop = i;
        while (stop < len && text[stop] != '\n')
            stop++;
        while (i < stop && blank(text[i]))
            i++;
        if (i < stop && text[i] != '#') {
            reader_error(r, line,
                         "psk: %.200s has more than one line; a secret is one line (bytes of any kind stand "
                         "in it as 0x "
                         "and hex digits), and what follows it is empty or begins with #",
                         path);
            return false;
        }
        i = stop;
    }
    if (to > from && (text[to - 1] == ' ' || text[to - 1] == '\t' ||
                      (to - from > 1 && text[to - 1] == '\r' && blank(text[to - 2]))))
        reader_warn(r, line,
                    "psk: %.200s: the blanks at the end of its first line are not part of the secret", path);
    while (to > from && blank(text[to - 1]))
        to--;
    return value_psk(r, line, text + from, to - from, out);
}

void read_psk(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    const char *v = reader_value(r, s, 0);
    if (strncmp(v, "file:", 5) == 0) {
        char text[2 * DT_PSK_MAX + 16];
        long n = value_file(r, s->line, s->key, v + 5, text, sizeof(text));
        if (r->flags & DT_CONFIG_NO_FILES)
            *(struct dt_config_psk *)field = (struct dt_config_psk){.len = 1};
        else if (n >= 0)
            psk_line(r, s->line, v + 5, text, (size_t)n, field);
        dt_wipe(text, sizeof(text));
        return;
    }
    reader_warn(
        r, s->line,
        "%s: the secret stands in the configuration itself, which more people and programs read; moved into "
        "/etc/dovetail/secrets/NAME, as its only line and with mode 600, and here %s = "
        "\"file:/etc/dovetail/secrets/NAME\", it would be root's alone",
        s->key, s->key);
    if (s->cut)
        reader_warn(r, s->line,
                    "%s: a # ends the secret here, and what follows it is a comment; psk = \"...\" in quotes "
                    "takes all of it",
                    s->key);
    value_psk(r, s->line, v, strlen(v), field);
}
