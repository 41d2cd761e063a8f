#include "ted/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

static const struct {
    const char *name;
    uint8_t number;
} protocols[] = {{"icmp", 1},  {"tcp", 6},    {"udp", 17},      {"dccp", 33},
                 {"gre", 47},  {"esp", 50},   {"icmpv6", 58},   {"icmp6", 58},
                 {"ospf", 89}, {"sctp", 132}, {"udplite", 136}, {"ipv6-icmp", 58}};

static const uint8_t with_ports[DT_TED_PORT_PROTOCOLS] = {6, 17, 33, 132, 136};

const uint8_t *dt_ted_port_protocols(void)
{
    return with_ports;
}

bool dt_ted_has_ports(uint8_t protocol)
{
    return memchr(with_ports, protocol, sizeof with_ports) != NULL;
}

const char *dt_ted_protocol_name(uint8_t protocol, char buf[8])
{
    if (protocol == DT_TED_PROTO_IP)
        return "ip";
    for (size_t i = 0; i < DT_ARRAY_LEN(protocols); i++)
        if (protocols[i].number == protocol)
            return protocols[i].name;
    snprintf(buf, 8, "%u", protocol);
    return buf;
}

static struct dt_addr mask_of_len(uint8_t ver, unsigned len)
{
    struct dt_addr m = {.ver = ver};
    for (unsigned i = 0; i < len; i++)
        m.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
    return m;
}

/* The length of a mask without holes, or -1. */
static int len_of_mask(const struct dt_addr *m)
{
    int bits = (int)dt_addr_size(m) * 8, len = 0;
    while (len < bits && m->b[len / 8] & 0x80 >> len % 8)
        len++;
    for (int i = len; i < bits; i++)
        if (m->b[i / 8] & 0x80 >> i % 8)
            return -1;
    return len;
}

static struct dt_addr masked(const struct dt_addr *a, const struct dt_addr *m)
{
    struct dt_addr out = {.ver = a->ver};
    for (int i = 0; i < 16; i++)
        out.b[i] = a->b[i] & m->b[i];
    return out;
}

static int parse_field(const char *text, unsigned max, unsigned *out)
{
    char *end;
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 5)
        return -1;
    unsigned long v = strtoul(text, &end, 10);
    if (v > max)
        return -1;
    *out = (unsigned)v;
    return 0;
}

/* "any" leaves the address without a version. */
static int parse_half(struct dt_addr *addr, struct dt_addr *mask, char *text, struct dt_err *err)
{
    *addr = *mask = (struct dt_addr){0};
    if (!strcasecmp(text, "any"))
        return 0;
    char *slash = strchr(text, '/');
    if (slash)
        *slash++ = 0;
    if (dt_addr_parse(addr, text))
        return dt_err_set(err, 0, "'%s' is no address; an address is like 10.1.0.0 or fd00::, or any", text);
    unsigned bits = (unsigned)dt_addr_size(addr) * 8, len = bits;
    if (slash && !parse_field(slash, bits, &len))
        *mask = mask_of_len(addr->ver, len);
    else if (!slash)
        *mask = mask_of_len(addr->ver, bits);
    else if (dt_addr_parse(mask, slash) || mask->ver != addr->ver)
        return dt_err_set(err, 0, "'%s' is no mask for %s; a mask is a length up to %u or like %s", slash,
                          text, bits, addr->ver == 4 ? "255.255.0.0" : "ffff::");
    *addr = masked(addr, mask);
    return 0;
}

static int parse_protocol(uint8_t *out, const char *text, struct dt_err *err)
{
    unsigned n;
    if (!strcasecmp(text, "any") || !strcasecmp(text, "ip")) {
        *out = DT_TED_PROTO_IP;
        return 0;
    }
    for (size_t i = 0; i < DT_ARRAY_LEN(protocols); i++)
        if (!strcasecmp(text, protocols[i].name)) {
            *out = protocols[i].number;
            return 0;
        }
    if (parse_field(text, 255, &n))
        return dt_err_set(
            err, 0,
            "'%s' is no protocol; a protocol is any, tcp, udp, icmp, icmpv6, esp, gre, sctp, ... or "
            "its number, 1 to 255",
            text);
    *out = (uint8_t)n;
    return 0;
}

static int parse_port(uint16_t *out, const char *text, struct dt_err *err)
{
    unsigned n = DT_TED_PORT_NONE;
    if (strcasecmp(text, "any") && parse_field(text, 65535, &n))
        return dt_err_set(err, 0, "'%s' is no port; a port is any (or 0), or 1 to 65535", text);
    *out = (uint16_t)n;
    return 0;
}

int dt_ted_proxy_parse(struct dt_ted_proxy *p, const char *text, struct dt_err *err)
{
    struct dt_ted_proxy out = {0};
    char buf[DT_TED_PROXY_STRLEN], *word[6], *save = NULL;
    int n = 0;
    if (strlen(text) >= sizeof buf)
        return dt_err_set(err, 0, "a proxy of %zu characters; at most %zu make sense", strlen(text),
                          sizeof buf - 1);
    memcpy(buf, text, strlen(text) + 1);
    for (char *w = strtok_r(buf, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        if (n == 5)
            return dt_err_set(err, 0,
                              "too many words after '%s'; a proxy is SRC/MASK DST/MASK [PROTO [SPORT DPORT]]",
                              word[4]);
        word[n++] = w;
    }
    if (n != 2 && n != 3 && n != 5)
        return dt_err_set(err, 0, "%d %s; a proxy is SRC/MASK DST/MASK [PROTO [SPORT DPORT]]", n,
                          n == 1 ? "word" : "words");
    if (parse_half(&out.src, &out.src_mask, word[0], err) ||
        parse_half(&out.dst, &out.dst_mask, word[1], err))
        return -1;
    uint8_t ver = out.src.ver ? out.src.ver : out.dst.ver ? out.dst.ver : 4;
    if (!out.src.ver)
        out.src.ver = out.src_mask.ver = ver;
    if (!out.dst.ver)
        out.dst.ver = out.dst_mask.ver = ver;
    out.ver = ver;
    if (n > 2 && parse_protocol(&out.protocol, word[2], err))
        return -1;
    if (n > 3 && (parse_port(&out.sport, word[3], err) || parse_port(&out.dport, word[4], err)))
        return -1;
    if (n > 3 && (out.sport || out.dport) && out.protocol && !dt_ted_has_ports(out.protocol))
        return dt_err_set(
            err, 0, "%s has no ports; any any in their place, or tcp, udp or sctp, would be right", word[2]);
    if (dt_ted_proxy_normal(&out, err))
        return -1;
    *p = out;
    return 0;
}

char *dt_ted_half_str(char *out, const struct dt_addr *addr, const struct dt_addr *mask)
{
    char a[DT_ADDR_STRLEN], m[DT_ADDR_STRLEN];
    int len = len_of_mask(mask);
    if (len >= 0)
        snprintf(out, 100, "%s/%d", dt_addr_str(a, addr), len);
    else
        snprintf(out, 100, "%s/%s", dt_addr_str(a, addr), dt_addr_str(m, mask));
    return out;
}

char *dt_ted_proxy_str(char *out, const struct dt_ted_proxy *p)
{
    char src[100], dst[100], proto[8];
    int n = snprintf(out, DT_TED_PROXY_STRLEN, "%s %s", dt_ted_half_str(src, &p->src, &p->src_mask),
                     dt_ted_half_str(dst, &p->dst, &p->dst_mask));
    if (!p->protocol && !p->sport && !p->dport)
        return out;
    n += snprintf(out + n, DT_TED_PROXY_STRLEN - (size_t)n, " %s",
                  p->protocol ? dt_ted_protocol_name(p->protocol, proto) : "any");
    if (!p->sport && !p->dport)
        return out;
    n += p->sport ? snprintf(out + n, DT_TED_PROXY_STRLEN - (size_t)n, " %u", p->sport)
                  : snprintf(out + n, DT_TED_PROXY_STRLEN - (size_t)n, " any");
    if (p->dport)
        snprintf(out + n, DT_TED_PROXY_STRLEN - (size_t)n, " %u", p->dport);
    else
        snprintf(out + n, DT_TED_PROXY_STRLEN - (size_t)n, " any");
    return out;
}

int dt_ted_proxy_normal(struct dt_ted_proxy *p, struct dt_err *err)
{
    if (p->ver != 4 && p->ver != 6)
        return dt_err_set(err, 0, "IP version %u; a proxy is of version 4 or 6", p->ver);
    if (p->src.ver != p->ver || p->dst.ver != p->ver || p->src_mask.ver != p->ver ||
        p->dst_mask.ver != p->ver)
        return dt_err_set(
            err, 0, "source is IPv%u and destination is IPv%u; both sides of a proxy are of one version",
            p->src.ver, p->dst.ver);
    p->src = masked(&p->src, &p->src_mask);
    p->dst = masked(&p->dst, &p->dst_mask);
    return 0;
}

struct dt_ted_proxy dt_ted_proxy_flip(const struct dt_ted_proxy *p)
{
    return (struct dt_ted_proxy){.ver = p->ver,
                                 .protocol = p->protocol,
                                 .sport = p->dport,
                                 .dport = p->sport,
                                 .src = p->dst,
                                 .src_mask = p->dst_mask,
                                 .dst = p->src,
                                 .dst_mask = p->src_mask};
}

static bool half_has(const struct dt_addr *addr, const struct dt_addr *mask, const struct dt_addr *at)
{
    struct dt_addr m = masked(at, mask);
    return at->ver == addr->ver && dt_addr_eq(&m, addr);
}

bool dt_ted_proxy_has(const struct dt_ted_proxy *p, const struct dt_ted_packet *packet)
{
    return half_has(&p->src, &p->src_mask, &packet->src) && half_has(&p->dst, &p->dst_mask, &packet->dst) &&
           (!p->protocol || p->protocol == packet->protocol) && (!p->sport || p->sport == packet->sport) &&
           (!p->dport || p->dport == packet->dport);
}

static bool half_covers(const struct dt_addr *oa, const struct dt_addr *om, const struct dt_addr *ia,
                        const struct dt_addr *im)
{
    for (int i = 0; i < 16; i++)
        if (om->b[i] & ~im->b[i])
            return false;
    return half_has(oa, om, ia);
}

bool dt_ted_proxy_covers(const struct dt_ted_proxy *outer, const struct dt_ted_proxy *inner)
{
    return half_covers(&outer->src, &outer->src_mask, &inner->src, &inner->src_mask) &&
           half_covers(&outer->dst, &outer->dst_mask, &inner->dst, &inner->dst_mask) &&
           (!outer->protocol || outer->protocol == inner->protocol) &&
           (!outer->sport || outer->sport == inner->sport) && (!outer->dport || outer->dport == inner->dport);
}

bool dt_ted_proxy_eq(const struct dt_ted_proxy *a, const struct dt_ted_proxy *b)
{
    return a->ver == b->ver && dt_ted_proxy_covers(a, b) && dt_ted_proxy_covers(b, a);
}

int dt_ted_half_ranges(struct dt_range *out, int cap, const struct dt_addr *addr, const struct dt_addr *mask)
{
    int bits = (int)dt_addr_size(addr) * 8, last = bits - 1, hole[16], holes = 0;
    while (last >= 0 && !(mask->b[last / 8] & 0x80 >> last % 8))
        last--;
    for (int i = last - 1; i >= 0; i--)
        if (!(mask->b[i / 8] & 0x80 >> i % 8)) {
            if (holes == 16 || 2 << holes > cap)
                return -1;
            hole[holes++] = i;
        }
    if (cap < 1)
        return -1;
    struct dt_addr low = masked(addr, mask);
    for (int v = 0; v < 1 << holes; v++) {
        struct dt_range r = {low, low};
        for (int k = 0; k < holes; k++)
            if (v >> k & 1)
                r.from.b[hole[k] / 8] |= (uint8_t)(0x80 >> hole[k] % 8);
        r.to = r.from;
        for (int i = last + 1; i < bits; i++)
            r.to.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
        out[v] = r;
    }
    return 1 << holes;
}
