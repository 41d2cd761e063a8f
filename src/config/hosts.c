/* gateway = { "vpn.example.net", "203.0.113.1" }: addresses and names, and what is meant by other words. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#ifdef DT_HAVE_IDN2
#include <idn2.h>
#endif

#include "base/bytes.h"
#include "config/reader.h"

/* A name that DNS could have: letters, digits, hyphens and dots. */
static bool host_name(const char *text)
{
    size_t n = strlen(text);
    if (n == 0 || n > DT_CONFIG_HOST_MAX || text[0] == '-' || text[0] == '.')
        return false;
    bool letter = false;
    for (; *text; text++) {
        letter = letter || isalpha((unsigned char)*text);
        if (!isalnum((unsigned char)*text) && *text != '-' && *text != '.' && *text != '_')
            return false;
    }
    return letter; /* what has digits and dots alone was meant as an address */
}

static bool is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 128)
        text++;
    return *text == '\0';
}

/* A name with letters beyond ASCII as DNS has it (RFC 5891, with the mapping of UTS 46), to be freed; NULL: there is no such name. */
static char *ascii_name(const char *name)
{
#ifdef DT_HAVE_IDN2
    char *found = NULL, *copy = NULL;
    if (idn2_to_ascii_8z(name, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK && host_name(found))
        copy = strdup(found);
    idn2_free(found);
    return copy;
#else
    return NULL;
#endif
}

/* A value taken apart: "vpn.example.net:4501", "[2001:db8::1]:4501", "fe80::1%eth0", "[fe80::1%eth0]:4501". */
struct host_port {
    char host[DT_CONFIG_HOST_MAX + 1];
    const char *port; /* its text, or NULL: none is said */
};

/* False: it is too long, or its brackets are wrong. An IPv6 address without brackets has no port. */
static bool split_port(const char *text, struct host_port *out)
{
    const char *colon = strchr(text, ':'), *end = text + strlen(text);
    out->port = NULL;
    if (text[0] == '[') {
        end = strchr(++text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        out->port = end[1] == ':' ? end + 2 : NULL;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        end = colon;
        out->port = colon + 1;
    }
    size_t n = (size_t)(end - text);
    if (n > DT_CONFIG_HOST_MAX)
        return false;
    memcpy(out->host, text, n);
    out->host[n] = '\0';
    return true;
}

/* 1 to 65535; else 0. */
static uint16_t port_number(const char *text)
{
    size_t n = strspn(text, "0123456789");
    unsigned long port = n > 0 && n <= 5 && text[n] == '\0' ? strtoul(text, NULL, 10) : 0;
    return port <= 65535 ? (uint16_t)port : 0;
}

bool dt_config_link_address(const char *host, struct dt_addr *addr, char ifname[DT_CONFIG_IFNAME_MAX])
{
    char text[DT_ADDR_STRLEN];
    const char *sign = strchr(host, '%');
    size_t n = sign != NULL ? (size_t)(sign - host) : 0, len = sign != NULL ? strlen(sign + 1) : 0;
    if (n == 0 || n >= sizeof(text) || len == 0 || len >= DT_CONFIG_IFNAME_MAX ||
        strcspn(sign + 1, "/ \t%:") != len)
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    memcpy(ifname, sign + 1, len + 1);
    return dt_addr_parse(addr, text) == 0 && dt_addr_is_link(addr);
}

static void complain_scope(struct reader *r, const struct dt_setting *s, const char *v, const char *host)
{
    char text[DT_CONFIG_HOST_MAX + 1];
    struct dt_addr a;
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(host, "%"), host);
    if (dt_addr_parse(&a, text) == 0 && !dt_addr_is_link(&a))
        reader_error(
            r, s->line,
            "%s: \"%.64s\" names an interface, which addresses of one link alone (fe80::/10) need; \"%s\" "
            "would be right",
            s->key, v, text);
    else
        reader_error(
            r, s->line,
            "%s: \"%.64s\" is no address with an interface; such as \"fe80::1%%eth0\" would be right, with "
            "at most %d bytes behind the %%",
            s->key, v, DT_CONFIG_IFNAME_MAX - 1);
}

static void complain(struct reader *r, const struct dt_setting *s, const char *v, const char *host)
{
    if (strchr(host, '%') != NULL)
        complain_scope(r, s, v, host);
    else if (!is_ascii(v))
        reader_error(
            r, s->line,
            "%s: \"%.64s\" has letters beyond ASCII, and no form in DNS is known of it; the name that begins "
            "with xn-- would be right",
            s->key, v);
    else
        reader_error(r, s->line, "%s: \"%.64s\" is neither an address nor a host name", s->key, v);
}

/* The host as it is looked for, to be freed; NULL: there is none, and a complaint was made. *addr: what it is at once, or
 * ver 0. */
static char *read_host(struct reader *r, const struct dt_setting *s, const char *v, const char *host,
                       struct dt_addr *addr)
{
    char ifname[DT_CONFIG_IFNAME_MAX];
    bool link = dt_config_link_address(host, addr, ifname);
    if (link || dt_addr_parse(addr, host) != 0)
        addr->ver = 0;
    if (addr->ver != 0 && dt_addr_is_link(addr)) {
        reader_error(r, s->line,
                     "%s: \"%.64s\" is an address of one link alone, and needs its interface; such as "
                     "\"%.48s%%eth0\" would be right",
                     s->key, v, host);
        return NULL;
    }
    char *copy = link || addr->ver != 0 || host_name(host) ? strdup(host)
                 : is_ascii(host)                          ? NULL
                                                           : ascii_name(host);
    if (copy == NULL)
        complain(r, s, v, host);
    return copy;
}

void read_hosts(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    struct dt_config_tunnel *t = field;
    if (s->n > DT_TUNNEL_GATEWAYS) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_TUNNEL_GATEWAYS);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        struct host_port at;
        struct dt_addr a = {.ver = 0};
        if (!split_port(v, &at)) {
            reader_error(
                r, s->line,
                "%s: \"%.64s\" is neither an address nor a host name; an IPv6 address with a port is "
                "\"[2001:db8::1]:4501\"",
                s->key, v);
            continue;
        }
        uint16_t port = at.port != NULL ? port_number(at.port) : 0;
        if (at.port != NULL && port == 0) {
            reader_error(
                r, s->line,
                "%s: \"%.64s\": the port is a whole number from 1 to 65535; \"%.64s:4500\" would be right",
                s->key, v, at.host);
            continue;
        }
        char *copy = read_host(r, s, v, at.host, &a);
        if (copy == NULL)
            continue;
        if (a.ver != 0) {
            t->cfg.ports[t->cfg.ngateways] = port;
            t->cfg.gateways[t->cfg.ngateways++] = a;
        }
        t->port[t->nhost] = port;
        t->host[t->nhost++] = copy;
    }
}
