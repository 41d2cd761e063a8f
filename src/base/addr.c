#include "base/addr.h"
#include "base/bytes.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

struct dt_addr dt_addr4(uint32_t host_order)
{
    struct dt_addr a = {.ver = 4};
    dt_put_be32(a.b, host_order);
    return a;
}

struct dt_addr dt_addr4_bytes(const void *four)
{
    struct dt_addr a = {.ver = 4};
    memcpy(a.b, four, 4);
    return a;
}

struct dt_addr dt_addr6_bytes(const void *sixteen)
{
    struct dt_addr a = {.ver = 6};
    memcpy(a.b, sixteen, 16);
    return a;
}

uint32_t dt_addr4_host(const struct dt_addr *a)
{
    return dt_get_be32(a->b);
}

size_t dt_addr_size(const struct dt_addr *a)
{
    return a->ver == 4 ? 4 : a->ver == 6 ? 16 : 0;
}

bool dt_addr_is_any(const struct dt_addr *a)
{
    static const uint8_t zero[16];
    return !a->ver || !memcmp(a->b, zero, 16);
}

bool dt_addr_eq(const struct dt_addr *a, const struct dt_addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool dt_addr_is_link(const struct dt_addr *a)
{
    return a->ver == 6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

uint32_t dt_addr_scope(const struct dt_addr *a)
{
    return dt_get_be32(a->scope);
}

void dt_addr_set_scope(struct dt_addr *a, uint32_t ifindex)
{
    if (dt_addr_is_link(a))
        dt_put_be32(a->scope, ifindex);
}

bool dt_addr_means(const struct dt_addr *a, const struct dt_addr *b)
{
    return a->ver == b->ver && !memcmp(a->b, b->b, 16) && (!dt_addr_scope(a) || dt_addr_eq(a, b));
}

int dt_addr_cmp(const struct dt_addr *a, const struct dt_addr *b)
{
    if (a->ver != b->ver)
        return a->ver < b->ver ? -1 : 1;
    int by_value = memcmp(a->b, b->b, 16);
    return by_value ? by_value : memcmp(a->scope, b->scope, sizeof a->scope);
}

bool dt_addr_next(struct dt_addr *a)
{
    struct dt_addr n = *a;
    for (size_t i = dt_addr_size(a); i-- > 0;)
        if (++n.b[i]) {
            *a = n;
            return true;
        }
    return false;
}

bool dt_addr_prev(struct dt_addr *a)
{
    struct dt_addr n = *a;
    for (size_t i = dt_addr_size(a); i-- > 0;)
        if (n.b[i]--) {
            *a = n;
            return true;
        }
    return false;
}

bool dt_addr_is_host(const struct dt_addr *a)
{
    static const uint8_t loopback[16] = {[15] = 1};
    if (a->ver == 4)
        return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224;
    return a->ver == 6 && !dt_addr_is_any(a) && memcmp(a->b, loopback, 16) != 0 && a->b[0] != 0xff &&
           !dt_addr_is_link(a);
}

bool dt_addrport_eq(const struct dt_addrport *a, const struct dt_addrport *b)
{
    return a->port == b->port && dt_addr_eq(&a->addr, &b->addr);
}

int dt_addr_parse(struct dt_addr *a, const char *text)
{
    struct dt_addr out = {0};
    if (inet_pton(AF_INET, text, out.b) == 1)
        out.ver = 4;
    else if (inet_pton(AF_INET6, text, out.b) == 1)
        out.ver = 6;
    else
        return -1;
    *a = out;
    return 0;
}

static void mask_to(struct dt_addr *a, unsigned len)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = len > i * 8 ? len - i * 8 : 0;
        if (keep < 8)
            a->b[i] &= (uint8_t)(0xff00 >> keep);
    }
}

int dt_prefix_parse(struct dt_prefix *p, const char *text, bool mask)
{
    char buf[DT_PREFIX_STRLEN];
    size_t n = strlen(text);
    if (n >= sizeof buf)
        return -1;
    memcpy(buf, text, n + 1);
    char *slash = strchr(buf, '/');
    if (slash)
        *slash++ = 0;
    struct dt_addr a;
    if (dt_addr_parse(&a, buf))
        return -1;
    unsigned max = a.ver == 4 ? 32 : 128, len = max;
    if (slash) {
        if (!*slash || strlen(slash) > 3 || strspn(slash, "0123456789") != strlen(slash))
            return -1;
        len = (unsigned)strtoul(slash, NULL, 10);
        if (len > max)
            return -1;
    }
    struct dt_addr m = a;
    mask_to(&m, len);
    if (!mask && !dt_addr_eq(&m, &a))
        return -1;
    *p = (struct dt_prefix){m, (uint8_t)len};
    return 0;
}

int dt_range_parse(struct dt_range *r, const char *text)
{
    const char *dash = strchr(text, '-');
    if (!dash) {
        struct dt_prefix p;
        if (dt_prefix_parse(&p, text, false))
            return -1;
        *r = dt_prefix_range(&p);
        return 0;
    }
    char from[DT_ADDR_STRLEN];
    size_t n = (size_t)(dash - text);
    if (n >= sizeof from)
        return -1;
    memcpy(from, text, n);
    from[n] = 0;
    struct dt_range out;
    if (dt_addr_parse(&out.from, from) || dt_addr_parse(&out.to, dash + 1) || out.from.ver != out.to.ver ||
        dt_addr_cmp(&out.from, &out.to) > 0)
        return -1;
    *r = out;
    return 0;
}

/* "%eth0"; 17 bytes at most, NUL included. */
static void scope_str(char *out, uint32_t ifindex)
{
    out[0] = '%';
    if (!if_indextoname(ifindex, out + 1))
        snprintf(out + 1, IF_NAMESIZE, "%u", ifindex);
}

char *dt_addr_str(char *out, const struct dt_addr *a)
{
    if (!a->ver || !inet_ntop(a->ver == 4 ? AF_INET : AF_INET6, a->b, out, DT_ADDR_STRLEN))
        memcpy(out, "none", 5);
    else if (dt_addr_scope(a))
        scope_str(out + strlen(out), dt_addr_scope(a));
    return out;
}

char *dt_prefix_str(char *out, const struct dt_prefix *p)
{
    dt_addr_str(out, &p->addr);
    if (p->addr.ver)
        snprintf(out + strlen(out), 5, "/%u", p->len);
    return out;
}

char *dt_addrport_str(char *out, const struct dt_addrport *a)
{
    char text[DT_ADDR_STRLEN];
    snprintf(out, DT_ADDRPORT_STRLEN, a->addr.ver == 6 ? "[%s]:%u" : "%s:%u", dt_addr_str(text, &a->addr),
             a->port);
    return out;
}

bool dt_prefix_has(const struct dt_prefix *p, const struct dt_addr *a)
{
    if (p->addr.ver != a->ver)
        return false;
    struct dt_addr m = *a;
    mask_to(&m, p->len);
    return !memcmp(m.b, p->addr.b, sizeof m.b);
}

bool dt_prefix_covers(const struct dt_prefix *outer, const struct dt_prefix *inner)
{
    return inner->len >= outer->len && dt_prefix_has(outer, &inner->addr);
}

bool dt_prefix_private(const struct dt_prefix *p)
{
    static const struct dt_prefix own[] = {
        {.addr = {.ver = 4, .b = {10}}, .len = 8},        {.addr = {.ver = 4, .b = {172, 16}}, .len = 12},
        {.addr = {.ver = 4, .b = {192, 168}}, .len = 16}, {.addr = {.ver = 4, .b = {169, 254}}, .len = 16},
        {.addr = {.ver = 6, .b = {0xfc}}, .len = 7},      {.addr = {.ver = 6, .b = {0xfe, 0x80}}, .len = 10},
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (dt_prefix_covers(&own[i], p))
            return true;
    return false;
}

struct dt_prefix dt_prefix_network(const struct dt_addr *a, uint8_t len)
{
    struct dt_prefix p = {.addr = *a, .len = len};
    size_t size = dt_addr_size(a);
    for (size_t i = 0; i < size; i++) {
        size_t keep = len > i * 8 ? len - i * 8 : 0;
        if (keep < 8)
            p.addr.b[i] &= (uint8_t) ~(0xff >> keep);
    }
    return p;
}

struct dt_range dt_prefix_range(const struct dt_prefix *p)
{
    struct dt_range r = {p->addr, p->addr};
    size_t size = dt_addr_size(&p->addr);
    for (size_t i = 0; i < size; i++) {
        size_t keep = p->len > i * 8 ? p->len - i * 8 : 0;
        if (keep < 8)
            r.to.b[i] |= (uint8_t)(0xff >> keep);
    }
    return r;
}

bool dt_range_has(const struct dt_range *r, const struct dt_addr *a)
{
    return r->from.ver == a->ver && dt_addr_cmp(&r->from, a) <= 0 && dt_addr_cmp(a, &r->to) <= 0;
}

bool dt_range_intersect(struct dt_range *out, const struct dt_range *a, const struct dt_range *b)
{
    if (a->from.ver != b->from.ver)
        return false;
    struct dt_addr from = dt_addr_cmp(&a->from, &b->from) > 0 ? a->from : b->from;
    struct dt_addr to = dt_addr_cmp(&a->to, &b->to) < 0 ? a->to : b->to;
    if (dt_addr_cmp(&from, &to) > 0)
        return false;
    *out = (struct dt_range){from, to};
    return true;
}

bool dt_range_prefix(const struct dt_range *r, struct dt_prefix *out)
{
    for (unsigned len = 0; len <= (r->from.ver == 4 ? 32u : 128u); len++) {
        struct dt_prefix p = {r->from, (uint8_t)len};
        mask_to(&p.addr, len);
        if (!dt_addr_eq(&p.addr, &r->from))
            continue;
        struct dt_range whole = dt_prefix_range(&p);
        if (dt_addr_eq(&whole.to, &r->to)) {
            *out = p;
            return true;
        }
    }
    return false;
}

/* The shortest prefix that begins at `from` and does not pass `to`. */
static struct dt_prefix widest(const struct dt_addr *from, const struct dt_addr *to)
{
    uint8_t bits = (uint8_t)(dt_addr_size(from) * 8);
    struct dt_prefix best = {.addr = *from, .len = bits};
    while (best.len > 0 && !(from->b[(best.len - 1) / 8] & 0x80 >> (best.len - 1) % 8)) {
        struct dt_prefix wider = {.addr = *from, .len = (uint8_t)(best.len - 1)};
        struct dt_range whole = dt_prefix_range(&wider);
        if (dt_addr_cmp(&whole.to, to) > 0)
            break;
        best = wider;
    }
    return best;
}

size_t dt_range_prefixes(const struct dt_range *r, struct dt_prefix *out, size_t max, bool *all)
{
    struct dt_addr from = r->from;
    bool done = r->from.ver == 0;
    size_t n = 0;
    while (!done && n < max) {
        out[n] = widest(&from, &r->to);
        struct dt_range part = dt_prefix_range(&out[n++]);
        from = part.to;
        done = dt_addr_cmp(&from, &r->to) >= 0 || !dt_addr_next(&from);
    }
    if (all != NULL)
        *all = done;
    return n;
}
