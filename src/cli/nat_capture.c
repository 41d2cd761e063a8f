#include "cli/nat_capture.h"

#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "base/bytes.h"

#define CAPTURE_MAX 50000000u /* packets kept of one file */

/* ---- reading --------------------------------------------------------------------------------- */

static struct capture_packet *add(struct capture *c)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 1024;
        struct capture_packet *p = cap <= CAPTURE_MAX ? realloc(c->packet, cap * sizeof(*p)) : NULL;
        if (!p)
            return NULL;
        c->packet = p;
        c->cap = cap;
    }
    c->packet[c->n] = (struct capture_packet){0};
    return &c->packet[c->n];
}

/* Where the IPv4 header begins; 0 with *other set when the packet is none of IPv4's. */
static const uint8_t *link_layer(int type, const uint8_t *p, const uint8_t *end, struct capture_packet *out,
                                 bool *other)
{
    uint16_t proto = 0;
    *other = false;
    switch (type) {
    case DLT_EN10MB:
        if (end - p < 14)
            return NULL;
        memcpy(out->to, p, 6);
        memcpy(out->from, p + 6, 6);
        out->has_mac = true;
        proto = dt_get_be16(p + 12);
        p += 14;
        break;
    case DLT_LINUX_SLL:
        if (end - p < 16)
            return NULL;
        out->way = dt_get_be16(p) == 4   ? CAPTURE_LEAVES
                   : dt_get_be16(p) <= 2 ? CAPTURE_ARRIVES
                                         : CAPTURE_UNKNOWN;
        proto = dt_get_be16(p + 14);
        p += 16;
        break;
    case DLT_LINUX_SLL2:
        if (end - p < 20)
            return NULL;
        out->way = p[10] == 4 ? CAPTURE_LEAVES : p[10] <= 2 ? CAPTURE_ARRIVES : CAPTURE_UNKNOWN;
        proto = dt_get_be16(p);
        p += 20;
        break;
    case DLT_NULL:
    case DLT_LOOP:
        if (end - p < 5)
            return NULL;
        proto = p[4] >> 4 == 4 ? 0x0800 : 0;
        p += 4;
        break;
    default: /* DLT_RAW, DLT_IPV4 */
        proto = p < end && *p >> 4 == 4 ? 0x0800 : 0;
    }
    for (int tags = 0; tags < 3 && (proto == 0x8100 || proto == 0x88a8 || proto == 0x9100); tags++) {
        if (end - p < 4)
            return NULL;
        proto = dt_get_be16(p + 2);
        p += 4;
    }
    if (proto == 0x8864 && end - p >= 8 && dt_get_be16(p + 6) == 0x0021) { /* PPPoE session */
        proto = 0x0800;
        p += 8;
    }
    *other = proto != 0x0800;
    return *other || end - p < 20 ? NULL : p;
}

static bool known_link(int type)
{
    return type == DLT_EN10MB || type == DLT_LINUX_SLL || type == DLT_LINUX_SLL2 || type == DLT_NULL ||
           type == DLT_LOOP || type == DLT_RAW || type == DLT_IPV4 || type == 12 || type == 14;
}

static int take(struct capture *c, int type, const struct pcap_pkthdr *h, const uint8_t *data,
                enum dt_masq_side side)
{
    struct capture_packet *p = add(c);
    if (!p)
        return -1;
    bool other;
    c->seen++;
    const uint8_t *end = data + h->caplen, *ip = link_layer(type, data, end, p, &other);
    if (!ip) {
        c->odd += !other;
        return 0;
    }
    if (!dt_masq_parse(&p->f, side, ip, (size_t)(end - ip)) || p->f.flags & DT_MASQ_F_QUOTE)
        return 0;
    p->at = (dt_time)h->ts.tv_sec * DT_SEC + (dt_time)h->ts.tv_usec; /* nanoseconds, by our wish */
    p->number = c->seen;
    c->n++;
    return 0;
}

int capture_read(struct capture *c, const char *file, enum dt_masq_side side, struct dt_err *err)
{
    char why[PCAP_ERRBUF_SIZE];
    *c = (struct capture){0};
    pcap_t *p = pcap_open_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);
    if (!p)
        return strncmp(why, file, strlen(file)) ? dt_err_set(err, 0, "%s: %s", file, why)
                                                : dt_err_set(err, 0, "%s", why);
    int type = pcap_datalink(p), rc;
    if (!known_link(type)) {
        const char *name = pcap_datalink_val_to_name(type);
        dt_err_set(err, 0, "%s has link type %s; Ethernet, raw IP, Linux cooked and loopback can be read",
                   file, name ? name : "unknown");
        pcap_close(p);
        return -1;
    }
    struct pcap_pkthdr *h;
    const u_char *data;
    while ((rc = pcap_next_ex(p, &h, &data)) == 1)
        if (take(c, type, h, data, side)) {
            pcap_close(p);
            return dt_err_set(err, 0, "%s has more packets than fit into memory", file);
        }
    if (rc == PCAP_ERROR && c->seen == 0) {
        dt_err_set(err, 0, "%s: %s", file, pcap_geterr(p));
        pcap_close(p);
        return -1;
    }
    c->odd += rc == PCAP_ERROR; /* a capture that was cut short is read as far as it goes */
    pcap_close(p);
    return 0;
}

void capture_free(struct capture *c)
{
    free(c->packet);
    *c = (struct capture){0};
}

/* ---- direction ------------------------------------------------------------------------------- */
/* A router's capture has each packet that it forwards on both sides: arriving on one, leaving on the other. Only
 * what arrives goes through the rules. In order of trust: what the link layer says (Linux cooked); the addresses
 * (a server is seen on both sides, a client only inside, the router's outside address only outside); the router's MAC
 * address, learnt from packets that are clear; private addresses; and else it arrived. */

struct set {
    uint32_t *v;
    size_t n, cap;
};

static void set_add(struct set *s, uint32_t a)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 256;
        uint32_t *v = realloc(s->v, cap * sizeof(*v));
        if (!v)
            return;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = a;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void set_sort(struct set *s)
{
    if (!s->n)
        return;
    qsort(s->v, s->n, sizeof(s->v[0]), by_value);
    size_t n = 1;
    for (size_t i = 1; i < s->n; i++)
        if (s->v[i] != s->v[n - 1])
            s->v[n++] = s->v[i];
    s->n = n;
}

static bool set_has(const struct set *s, uint32_t a)
{
    return s->n && bsearch(&a, s->v, s->n, sizeof(a), by_value);
}

static void addresses(const struct capture *c, struct set *s)
{
    for (size_t i = 0; i < c->n; i++) {
        set_add(s, c->packet[i].f.src);
        set_add(s, c->packet[i].f.dst);
        if (s->n > 100000)
            set_sort(s);
    }
    set_sort(s);
}

static bool is_private(uint32_t a)
{
    return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191 || a >> 16 == 0xa9fe;
}

static bool is_outside(const struct capture_hints *h, uint32_t a)
{
    for (uint32_t i = 0; i < h->n_outside; i++)
        if (h->outside[i] == a)
            return true;
    return false;
}

static bool is_client(const struct capture_hints *h, uint32_t a)
{
    for (uint32_t i = 0; i < h->n_clients; i++)
        if ((a & h->clients[i].mask) == h->clients[i].addr)
            return true;
    return false;
}

struct vote {
    uint32_t addr;
    size_t n;
};

static void vote_for(struct vote *votes, size_t max, uint32_t a, size_t weight)
{
    for (size_t i = 0; i < max; i++)
        if (!votes[i].n || votes[i].addr == a) {
            votes[i].addr = a;
            votes[i].n += weight;
            return;
        }
}

/* The router's outside addresses: seen outside only, with a server that the inside knows, too; when there is none
 * such, the address that most packets have in common. */
static void find_outside(const struct capture *outside, const struct set *in, struct capture_hints *h)
{
    struct vote votes[256] = {{0}};
    for (size_t i = 0; i < outside->n; i++) {
        const struct dt_masq_facts *f = &outside->packet[i].f;
        if (set_has(in, f->src) != set_has(in, f->dst)) {
            uint32_t own = set_has(in, f->src) ? f->dst : f->src;
            if (!is_outside(h, own) && h->n_outside < DT_MASQ_OUTSIDE_MAX)
                h->outside[h->n_outside++] = own;
        }
        vote_for(votes, 256, f->src, 2);
        vote_for(votes, 256, f->dst, 3); /* of equals the one that is sent to */
    }
    if (h->n_outside)
        return;
    size_t best = 0;
    for (size_t i = 1; i < 256; i++)
        if (votes[i].n > votes[best].n)
            best = i;
    if (votes[best].n)
        h->outside[h->n_outside++] = votes[best].addr;
}

/* What the addresses say of a packet inside. */
static enum capture_way inside_way(const struct dt_masq_facts *f, const struct set *in, const struct set *out,
                                   const struct capture_hints *h)
{
    if (h->n_clients && is_client(h, f->src) != is_client(h, f->dst))
        return is_client(h, f->src) ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    bool src_out = set_has(out, f->src), dst_out = set_has(out, f->dst);
    if (src_out != dst_out)
        return dst_out ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    return CAPTURE_UNKNOWN;
}

static enum capture_way outside_way(const struct dt_masq_facts *f, const struct capture_hints *h)
{
    bool src = is_outside(h, f->src), dst = is_outside(h, f->dst);
    if (src != dst)
        return dst ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    return CAPTURE_UNKNOWN;
}

/* The rest, by the router's MAC address and by private addresses. */
static void settle(struct capture *c, bool inside)
{
    uint8_t router[6] = {0};
    bool known = false;
    for (size_t i = 0; i < c->n && !known; i++) {
        const struct capture_packet *p = &c->packet[i];
        if (!p->has_mac || p->way == CAPTURE_UNKNOWN || !memcmp(p->to, p->from, 6))
            continue;
        memcpy(router, p->way == CAPTURE_ARRIVES ? p->to : p->from, 6);
        known = true;
    }
    for (size_t i = 0; i < c->n; i++) {
        struct capture_packet *p = &c->packet[i];
        if (p->way != CAPTURE_UNKNOWN)
            continue;
        bool src = is_private(p->f.src), dst = is_private(p->f.dst);
        if (known && p->has_mac && memcmp(p->to, p->from, 6) &&
            (!memcmp(p->to, router, 6) || !memcmp(p->from, router, 6)))
            p->way = !memcmp(p->to, router, 6) ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
        else if (inside && src != dst)
            p->way = src ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
        else
            p->way = CAPTURE_ARRIVES;
    }
}

void capture_direct(struct capture *inside, struct capture *outside, struct capture_hints *h)
{
    struct set in = {0}, out = {0};
    addresses(inside, &in);
    addresses(outside, &out);
    if (!h->n_outside)
        find_outside(outside, &in, h);
    for (size_t i = 0; i < inside->n; i++)
        if (inside->packet[i].way == CAPTURE_UNKNOWN)
            inside->packet[i].way = (uint8_t)inside_way(&inside->packet[i].f, &in, &out, h);
    struct set clients = {0};
    for (size_t i = 0; i < inside->n; i++)
        if (inside->packet[i].way != CAPTURE_UNKNOWN)
            set_add(&clients, inside->packet[i].way == CAPTURE_ARRIVES ? inside->packet[i].f.src
                                                                       : inside->packet[i].f.dst);
    set_sort(&clients);
    for (size_t i = 0; i < inside->n;
         i++) { /* a known client, and a server that the outside has never seen */
        struct capture_packet *p = &inside->packet[i];
        bool src = set_has(&clients, p->f.src), dst = set_has(&clients, p->f.dst);
        if (p->way == CAPTURE_UNKNOWN && src != dst)
            p->way = src ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    }
    free(clients.v);
    for (size_t i = 0; i < outside->n; i++)
        if (outside->packet[i].way == CAPTURE_UNKNOWN)
            outside->packet[i].way = (uint8_t)outside_way(&outside->packet[i].f, h);
    settle(inside, true);
    settle(outside, false);
    free(in.v);
    free(out.v);
}
