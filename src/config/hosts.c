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

/* The part before a port: "vpn.example.net:500", "[2001:db8::1]:500"; false: there is no port. */
static bool before_port(const char *text, char out[DT_CONFIG_HOST_MAX + 1])
{
    const char *colon = strrchr(text, ':');
    struct dt_addr a;
    if (colon == NULL || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
        return false;
    bool brackets = text[0] == '[' && colon > text && colon[-1] == ']';
    size_t n = (size_t)(colon - text) - 2u * brackets;
    if (n == 0 || n > DT_CONFIG_HOST_MAX)
        return false;
    memcpy(out, text + brackets, n);
    out[n] = '\0';
    return dt_addr_parse(&a, out) == 0 || host_name(out);
}

static void complain(struct reader *r, const struct dt_setting *s, const char *v)
{
    char host[DT_CONFIG_HOST_MAX + 1];
    if (before_port(v, host))
        reader_error(
            r, s->line,
            "%s: \"%.64s\" has a port, and none can be chosen: IKE is spoken at 500 and 4500; \"%.64s\" "
            "would be right",
            s->key, v, host);
    else if (strchr(v, '%') != NULL && strchr(v, ':') != NULL)
        reader_error(
            r, s->line,
            "%s: \"%.64s\" is an address of one link alone, with its interface; an address that is routed, "
            "or a name, would be right",
            s->key, v);
    else if (!is_ascii(v))
        reader_error(
            r, s->line,
            "%s: \"%.64s\" has letters beyond ASCII, and no form in DNS is known of it; the name that begins "
            "with xn-- would be right",
            s->key, v);
    else
        reader_error(r, s->line, "%s: \"%.64s\" is neither an address nor a host name", s->key, v);
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
        struct dt_addr a;
        bool addr = dt_addr_parse(&a, v) == 0;
        char *copy = addr || host_name(v) ? strdup(v) : is_ascii(v) ? NULL : ascii_name(v);
        if (copy == NULL) {
            complain(r, s, v);
            continue;
        }
        if (addr && t->cfg.ngateways < DT_TUNNEL_GATEWAYS)
            t->cfg.gateways[t->cfg.ngateways++] = a;
        t->host[t->nhost++] = copy;
    }
}
