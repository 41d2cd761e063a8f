/* Which packets of a router's two captures arrive at it, and which leave it.
 *
 * A router's capture has each packet that it forwards on both sides: arriving on one, leaving on the other. Only what
 * arrives goes through the rules. In order of trust: what the link layer says (Linux cooked); the roles of the
 * addresses (the router's own is an end of nearly all that passes outside; what it sends to there is a server, which
 * nobody can forge; what sends to it probably is one); the router's MAC address, learnt from packets that are clear;
 * and else it arrived. Single forged sources do not change anybody's role. */
#include "cli/nat_capture.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/grow.h"

#define WEAK_SURE 3 /* so many packets to the router say more than that an address is private */
#define MACS_MAX  32

/* What is known of an address. Counts of packets. */
struct who {
    uint32_t addr;
    uint32_t inside;         /* as either end, inside */
    uint32_t to_own;         /* outside: it sent to the router; could be forged */
    uint32_t from_own;       /* outside: the router sent to it */
    int64_t left;            /* outside, while own addresses are looked for: what nobody explains yet */
    uint32_t client, server; /* inside: the part it took in what is decided */
    bool own;
};

struct roles {
    struct who *v;
    size_t n, cap;
    struct capture_hints *hints;
    bool leaving; /* the outside has packets that leave */
};

static int by_addr(const void *a, const void *b)
{
    uint32_t x = ((const struct who *)a)->addr, y = ((const struct who *)b)->addr;
    return x < y ? -1 : x > y;
}

static void unite(struct roles *r)
{
    if (!r->n)
        return;
    qsort(r->v, r->n, sizeof(r->v[0]), by_addr);
    size_t n = 1;
    for (size_t i = 1; i < r->n; i++)
        if (r->v[i].addr != r->v[n - 1].addr)
            r->v[n++] = r->v[i];
    r->n = n;
}

static int role_add(struct roles *r, uint32_t a)
{
    if (r->n == r->cap) {
        unite(r);
        if (r->n * 2 >= r->cap && dt_grow(r->v, r->cap, r->cap, 1024))
            return -1;
    }
    r->v[r->n++] = (struct who){.addr = a};
    return 0;
}

/* Every address of the capture is there, unless memory was short. */
static struct who *role_find(const struct roles *r, uint32_t a)
{
    static struct who nobody;
    struct who key = {.addr = a}, *w = r->n ? bsearch(&key, r->v, r->n, sizeof(key), by_addr) : NULL;
    return w ? w : &nobody;
}

static void roles_collect(struct roles *r, const struct capture *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (role_add(r, c->packet[i].f.src) || role_add(r, c->packet[i].f.dst))
            break;
    unite(r);
}

static bool is_private(uint32_t a)
{
    return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 22 == 0x191 || a >> 16 == 0xa9fe;
}

static bool is_client(const struct capture_hints *h, uint32_t a)
{
    for (uint32_t i = 0; i < h->n_clients; i++)
        if ((a & h->clients[i].mask) == h->clients[i].addr)
            return true;
    return false;
}

/* ---- the router's own addresses -------------------------------------------------------------- */

/* An end of the most packets outside that no own address explains yet; who is seen inside hardly is one. */
static struct who *likeliest_own(struct roles *r, const struct capture *outside)
{
    for (size_t i = 0; i < r->n; i++)
        r->v[i].left = 0;
    struct who *best = NULL;
    for (size_t i = 0; i < outside->n; i++) {
        const struct capture_packet *p = &outside->packet[i];
        struct who *s = role_find(r, p->f.src), *d = role_find(r, p->f.dst);
        if (s->own || d->own)
            continue;
        s->left += p->way == CAPTURE_LEAVES ? 8 : 3;
        d->left += p->way == CAPTURE_ARRIVES ? 8 : 5;
        best = best ? best : s; /* of equals the one that speaks first */
    }
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i].left)
            r->v[i].left -= 4 * (int64_t)r->v[i].inside;
    for (size_t i = 0; best && i < r->n; i++)
        if (r->v[i].left > best->left)
            best = &r->v[i];
    return best;
}

static void count_peers(struct roles *r, const struct capture *outside)
{
    for (size_t i = 0; i < r->n; i++)
        r->v[i].to_own = r->v[i].from_own = 0;
    for (size_t i = 0; i < outside->n; i++) {
        struct who *s = role_find(r, outside->packet[i].f.src), *d = role_find(r, outside->packet[i].f.dst);
        if (s->own == d->own)
            continue;
        if (s->own) {
            d->from_own++;
            r->leaving = true;
        } else {
            s->to_own++;
        }
    }
}

static void find_own(struct roles *r, const struct capture *outside)
{
    struct capture_hints *h = r->hints;
    bool given = h->n_outside;
    for (uint32_t i = 0; i < h->n_outside; i++) {
        struct who *w = role_find(r, h->outside[i]);
        w->own = w->addr == h->outside[i];
    }
    while (!given && h->n_outside < DT_MASQ_OUTSIDE_MAX) {
        struct who *w = likeliest_own(r, outside);
        if (!w || (h->n_outside && (w->left <= 0 || w->to_own || w->from_own)))
            break;
        w->own = true;
        h->outside[h->n_outside++] = w->addr;
        count_peers(r, outside);
    }
    count_peers(r, outside);
}

/* ---- inside and outside ---------------------------------------------------------------------- */

/* Which end is the server? -1 the source, 1 the destination, 0 it cannot be told. */
static int server_end(const struct roles *r, const struct who *s, const struct who *d)
{
    if (!s->from_own != !d->from_own)
        return d->from_own ? 1 : -1;
    if (s->from_own)
        return 0;
    bool sp = is_private(s->addr), dp = is_private(d->addr);
    if (!s->to_own != !d->to_own && (sp == dp || dp == !d->to_own))
        return d->to_own ? 1 : -1;
    if (!r->leaving) /* then hardly anything leaves inside either */
        return 0;
    if (!s->to_own != !d->to_own && s->to_own + d->to_own >= WEAK_SURE)
        return d->to_own ? 1 : -1;
    if (sp != dp)
        return sp ? 1 : -1;
    return 0;
}

static enum capture_way inside_way(const struct roles *r, const struct dt_masq_facts *f)
{
    const struct capture_hints *h = r->hints;
    if (h->n_clients && is_client(h, f->src) != is_client(h, f->dst))
        return is_client(h, f->src) ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    const struct who *s = role_find(r, f->src), *d = role_find(r, f->dst);
    if (s->own || d->own || s == d || (s->from_own && d->from_own))
        return CAPTURE_ARRIVES; /* a client to the router; or forged, since nobody inside has such an address */
    int end = server_end(r, s, d);
    return end > 0 ? CAPTURE_ARRIVES : end < 0 ? CAPTURE_LEAVES : CAPTURE_UNKNOWN;
}

static enum capture_way outside_way(const struct roles *r, const struct dt_masq_facts *f)
{
    bool src = role_find(r, f->src)->own, dst = role_find(r, f->dst)->own;
    if (src != dst)
        return dst ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    return src ? CAPTURE_ARRIVES : CAPTURE_UNKNOWN;
}

static void take_part(const struct roles *r, const struct capture_packet *p)
{
    struct who *s = role_find(r, p->f.src), *d = role_find(r, p->f.dst);
    if (p->way == CAPTURE_UNKNOWN || s == d)
        return;
    (p->way == CAPTURE_ARRIVES ? s : d)->client++;
    (p->way == CAPTURE_ARRIVES ? d : s)->server++;
}

/* The one MAC address that nearly all decided packets come to or go from. */
static bool find_router(const struct capture *c, uint8_t router[6])
{
    struct {
        uint8_t mac[6];
        size_t n;
    } votes[MACS_MAX] = {{{0}, 0}};
    size_t all = 0, n = 0, best = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct capture_packet *p = &c->packet[i];
        if (!p->has_mac || p->way == CAPTURE_UNKNOWN || !memcmp(p->to, p->from, 6))
            continue;
        const uint8_t *mac = p->way == CAPTURE_ARRIVES ? p->to : p->from;
        size_t k = 0;
        while (k < n && memcmp(votes[k].mac, mac, 6))
            k++;
        all++;
        if (k == MACS_MAX)
            continue;
        if (k == n)
            memcpy(votes[n++].mac, mac, 6);
        if (++votes[k].n > votes[best].n)
            best = k;
    }
    memcpy(router, votes[best].mac, 6);
    return all && votes[best].n * 4 >= all * 3;
}

static void settle_by_mac(struct capture *c)
{
    uint8_t router[6];
    if (!find_router(c, router))
        return;
    for (size_t i = 0; i < c->n; i++) {
        struct capture_packet *p = &c->packet[i];
        bool to = !memcmp(p->to, router, 6), from = !memcmp(p->from, router, 6);
        if (p->way == CAPTURE_UNKNOWN && p->has_mac && to != from)
            p->way = to ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
    }
}

/* Inside, by the part that both ends took in what is clear; then by who sends more to the router. */
static void settle_by_roles(const struct roles *r, struct capture *inside)
{
    for (size_t i = 0; i < inside->n; i++) {
        struct capture_packet *p = &inside->packet[i];
        if (p->way != CAPTURE_UNKNOWN)
            continue;
        const struct who *s = role_find(r, p->f.src), *d = role_find(r, p->f.dst);
        int64_t sr = (int64_t)s->client - s->server, dr = (int64_t)d->client - d->server;
        if (sr != dr)
            p->way = sr > dr ? CAPTURE_ARRIVES : CAPTURE_LEAVES;
        else if (r->leaving && s->to_own > d->to_own)
            p->way = CAPTURE_LEAVES;
    }
}

/* A source that cannot be on that side: a server's inside, a client's outside. */
static void find_forged(const struct roles *r, struct capture *c, bool inside)
{
    for (size_t i = 0; i < c->n; i++) {
        struct capture_packet *p = &c->packet[i];
        const struct who *s = role_find(r, p->f.src), *d = role_find(r, p->f.dst);
        if (p->way == CAPTURE_UNKNOWN)
            p->way = CAPTURE_ARRIVES;
        if (p->way != CAPTURE_ARRIVES || s == d)
            continue;
        if (r->hints->n_clients) /* the rules know */
            continue;
        p->forged = inside ? s->server > s->client || (s->from_own && d->from_own) : s->client > s->server;
    }
}

void capture_direct(struct capture *inside, struct capture *outside, struct capture_hints *h)
{
    struct roles r = {.hints = h};
    roles_collect(&r, inside);
    roles_collect(&r, outside);
    for (size_t i = 0; i < inside->n; i++) {
        role_find(&r, inside->packet[i].f.src)->inside++;
        role_find(&r, inside->packet[i].f.dst)->inside++;
    }
    find_own(&r, outside);
    for (size_t i = 0; i < inside->n; i++) {
        struct capture_packet *p = &inside->packet[i];
        if (p->way == CAPTURE_UNKNOWN)
            p->way = (uint8_t)inside_way(&r, &p->f);
    }
    for (size_t i = 0; i < outside->n; i++) {
        struct capture_packet *p = &outside->packet[i];
        if (p->way == CAPTURE_UNKNOWN)
            p->way = (uint8_t)outside_way(&r, &p->f);
    }
    settle_by_mac(inside);
    settle_by_mac(outside);
    for (size_t i = 0; i < inside->n; i++)
        take_part(&r, &inside->packet[i]);
    settle_by_roles(&r, inside);
    find_forged(&r, inside, true);
    find_forged(&r, outside, false);
    free(r.v);
}
