#include "base/selector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t proto;
} protocols[] = {{"icmp", 1},    {"tcp", 6},        {"udp", 17},  {"gre", 47},
                 {"icmpv6", 58}, {"ipv6-icmp", 58}, {"sctp", 132}};

struct dt_selector dt_selector_range(const struct dt_range *r)
{
    return (struct dt_selector){.proto = DT_PROTO_ANY, .port_from = 0, .port_to = DT_PORT_LAST, .range = *r};
}

struct dt_selector dt_selector_prefix(const struct dt_prefix *p)
{
    struct dt_range r = dt_prefix_range(p);
    return dt_selector_range(&r);
}

struct dt_selector dt_selector_addr(const struct dt_addr *a)
{
    struct dt_range r = {*a, *a};
    return dt_selector_range(&r);
}

struct dt_selector dt_selector_all4(void)
{
    struct dt_prefix p = {.addr = {.ver = 4}};
    return dt_selector_prefix(&p);
}

struct dt_selector dt_selector_all6(void)
{
    struct dt_prefix p = {.addr = {.ver = 6}};
    return dt_selector_prefix(&p);
}

static bool read_decimal(const char *text, unsigned max, unsigned *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long v = strtoul(text, &end, 10);
    *out = (unsigned)v;
    return !*end && v <= max;
}

static bool parse_proto(const char *text, uint8_t *out)
{
    unsigned v;
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
        if (!strcmp(protocols[i].name, text)) {
            *out = protocols[i].proto;
            return true;
        }
    if (!read_decimal(text, 255, &v))
        return false;
    *out = (uint8_t)v;
    return true;
}

static bool parse_ports(char *text, struct dt_selector *s)
{
    unsigned from, to;
    if (!strcmp(text, "opaque")) {
        s->port_from = DT_PORT_LAST;
        s->port_to = 0;
        return true;
    }
    char *dash = strchr(text, '-');
    if (dash)
        *dash++ = 0;
    if (!read_decimal(text, DT_PORT_LAST, &from))
        return false;
    to = from;
    if (dash && !read_decimal(dash, DT_PORT_LAST, &to))
        return false;
    s->port_from = (uint16_t)from;
    s->port_to = (uint16_t)to;
    return from <= to;
}

int dt_selector_parse(struct dt_selector *s, const char *text)
{
    char buf[DT_SELECTOR_STRLEN];
    struct dt_range r;
    size_t len = strlen(text);
    if (len >= sizeof(buf))
        return -1;
    memcpy(buf, text, len + 1);
    char *bracket = strchr(buf, '[');
    if (bracket) {
        if (buf[len - 1] != ']')
            return -1;
        buf[len - 1] = 0;
        *bracket++ = 0;
    }
    if (dt_range_parse(&r, buf))
        return -1;
    struct dt_selector out = dt_selector_range(&r);
    if (bracket) {
        char *slash = strchr(bracket, '/');
        if (slash)
            *slash++ = 0;
        if (!parse_proto(bracket, &out.proto) || (slash && !parse_ports(slash, &out)))
            return -1;
    }
    *s = out;
    return 0;
}

static bool any_port(const struct dt_selector *s)
{
    return s->port_from == 0 && s->port_to == DT_PORT_LAST;
}

static bool opaque(const struct dt_selector *s)
{
    return s->port_from > s->port_to;
}

static void range_str(char *out, size_t cap, const struct dt_range *r)
{
    char a[DT_ADDR_STRLEN], b[DT_ADDR_STRLEN];
    struct dt_prefix p;
    if (dt_addr_eq(&r->from, &r->to))
        snprintf(out, cap, "%s", dt_addr_str(a, &r->from));
    else if (dt_range_prefix(r, &p))
        snprintf(out, cap, "%s/%u", dt_addr_str(a, &p.addr), p.len);
    else
        snprintf(out, cap, "%s-%s", dt_addr_str(a, &r->from), dt_addr_str(b, &r->to));
}

char *dt_selector_str(char *out, const struct dt_selector *s)
{
    char proto[16] = "0", range[2 * DT_ADDR_STRLEN];
    range_str(range, sizeof(range), &s->range);
    snprintf(proto, sizeof(proto), "%u", s->proto);
    for (size_t i = sizeof(protocols) / sizeof(protocols[0]); i-- > 0;)
        if (protocols[i].proto == s->proto)
            snprintf(proto, sizeof(proto), "%s", protocols[i].name);
    if (any_port(s) && s->proto == DT_PROTO_ANY)
        snprintf(out, DT_SELECTOR_STRLEN, "%s", range);
    else if (any_port(s))
        snprintf(out, DT_SELECTOR_STRLEN, "%s[%s]", range, proto);
    else if (opaque(s))
        snprintf(out, DT_SELECTOR_STRLEN, "%s[%s/opaque]", range, proto);
    else if (s->port_from == s->port_to)
        snprintf(out, DT_SELECTOR_STRLEN, "%s[%s/%u]", range, proto, s->port_from);
    else
        snprintf(out, DT_SELECTOR_STRLEN, "%s[%s/%u-%u]", range, proto, s->port_from, s->port_to);
    return out;
}

char *dt_selectors_str(char *out, size_t cap, const struct dt_selectors *list)
{
    char one[DT_SELECTOR_STRLEN];
    size_t at = 0;
    if (!list->n)
        snprintf(out, cap, "nothing");
    for (size_t i = 0; i < list->n && at < cap; i++) {
        int n = snprintf(out + at, cap - at, "%s%s", i ? ", " : "", dt_selector_str(one, &list->v[i]));
        at += (size_t)n;
    }
    return out;
}

bool dt_selector_is_narrow(const struct dt_selector *s)
{
    return s->proto != DT_PROTO_ANY || (!any_port(s) && !opaque(s));
}

size_t dt_selector_protos(const struct dt_selector *s, struct dt_selector out[DT_SELECTOR_PROTOS])
{
    static const uint8_t with[DT_SELECTOR_PROTOS] = {6, 17, 33, 132,
                                                     136}; /* RFC 9293, 768, 4340, 9260, 3828 */
    size_t n = 0;
    if (s->proto == DT_PROTO_ANY && !any_port(s) && !opaque(s)) {
        for (; n < DT_SELECTOR_PROTOS; n++) {
            out[n] = *s;
            out[n].proto = with[n];
        }
        return n;
    }
    out[0] = *s;
    if (memchr(with, s->proto, sizeof(with)) == NULL || opaque(s)) {
        out[0].port_from = 0;
        out[0].port_to = DT_PORT_LAST;
    }
    return 1;
}

bool dt_selector_eq(const struct dt_selector *a, const struct dt_selector *b)
{
    return a->proto == b->proto && a->port_from == b->port_from && a->port_to == b->port_to &&
           dt_addr_eq(&a->range.from, &b->range.from) && dt_addr_eq(&a->range.to, &b->range.to);
}

static bool ports_intersect(struct dt_selector *out, const struct dt_selector *a, const struct dt_selector *b)
{
    if (opaque(a) || opaque(b)) {
        if (!(opaque(a) || any_port(a)) || !(opaque(b) || any_port(b)))
            return false;
        out->port_from = DT_PORT_LAST;
        out->port_to = 0;
        return true;
    }
    out->port_from = a->port_from > b->port_from ? a->port_from : b->port_from;
    out->port_to = a->port_to < b->port_to ? a->port_to : b->port_to;
    return out->port_from <= out->port_to;
}

/* Ports, or what stands in their place: type and code (RFC 7296 3.13.1), of the mobility header its type (RFC 4301 4.4.1.1). */
static bool protocol_has_ports(uint8_t proto)
{
    static const uint8_t with[] = {1, 6, 17, 33, 58, 132, 135, 136};
    return memchr(with, proto, sizeof(with)) != NULL;
}

/* It names a port and a protocol that has none: packets of such a protocol count as port 0. */
static bool names_port_that_is_not(const struct dt_selector *s)
{
    return s->proto && !protocol_has_ports(s->proto) && !opaque(s) && s->port_from > 0;
}

bool dt_selector_intersect(struct dt_selector *out, const struct dt_selector *a, const struct dt_selector *b)
{
    struct dt_selector r = {0};
    if (a->proto && b->proto && a->proto != b->proto)
        return false;
    r.proto = a->proto ? a->proto : b->proto;
    if (!ports_intersect(&r, a, b) || !dt_range_intersect(&r.range, &a->range, &b->range))
        return false;
    /* One names a port and no protocol, the other a protocol that has none. */
    if (names_port_that_is_not(&r) && !names_port_that_is_not(a) && !names_port_that_is_not(b))
        return false;
    *out = r;
    return true;
}

bool dt_selector_covers(const struct dt_selector *outer, const struct dt_selector *inner)
{
    struct dt_selector both;
    return dt_selector_intersect(&both, outer, inner) && dt_selector_eq(&both, inner);
}

bool dt_selector_has(const struct dt_selector *s, const struct dt_addr *a, uint8_t proto, uint16_t port)
{
    if (!dt_range_has(&s->range, a) || (s->proto && s->proto != proto))
        return false;
    return !opaque(s) && port >= s->port_from && port <= s->port_to;
}

bool dt_selectors_add(struct dt_selectors *list, const struct dt_selector *s)
{
    if (dt_selectors_covers(list, s))
        return true;
    if (list->n >= DT_SELECTORS_MAX)
        return false;
    list->v[list->n++] = *s;
    return true;
}

bool dt_selectors_eq(const struct dt_selectors *a, const struct dt_selectors *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!dt_selector_eq(&a->v[i], &b->v[i]))
            return false;
    return true;
}

bool dt_selectors_covers(const struct dt_selectors *outer, const struct dt_selector *inner)
{
    for (size_t i = 0; i < outer->n; i++)
        if (dt_selector_covers(&outer->v[i], inner))
            return true;
    return false;
}

static const struct dt_selector *whole_at(const struct dt_selectors *list, const struct dt_addr *a)
{
    for (size_t i = 0; i < list->n; i++)
        if (!dt_selector_is_narrow(&list->v[i]) && dt_range_has(&list->v[i].range, a))
            return &list->v[i];
    return NULL;
}

bool dt_selectors_all(const struct dt_selectors *list, uint8_t ver)
{
    struct dt_addr at = {.ver = ver};
    for (;;) {
        const struct dt_selector *s = whole_at(list, &at);
        if (s == NULL)
            return false;
        at = s->range.to;
        if (!dt_addr_next(&at))
            return true;
    }
}

bool dt_selectors_has(const struct dt_selectors *list, const struct dt_addr *a, uint8_t proto, uint16_t port)
{
    for (size_t i = 0; i < list->n; i++)
        if (dt_selector_has(&list->v[i], a, proto, port))
            return true;
    return false;
}

bool dt_selectors_narrow(struct dt_selectors *out, const struct dt_selectors *offered,
                         const struct dt_selectors *allowed)
{
    struct dt_selectors r = {0};
    struct dt_selector both;
    for (size_t i = 0; i < offered->n; i++)
        for (size_t k = 0; k < allowed->n; k++)
            if (dt_selector_intersect(&both, &offered->v[i], &allowed->v[k]))
                dt_selectors_add(&r, &both); /* a full list narrows further */
    *out = r;
    return r.n > 0;
}
