/* Lists of facts, and what tells two of them apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"

int dt_host_facts_add(struct dt_host_facts *l, const struct dt_host_fact *f)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct dt_host_fact *v = realloc(l->v, cap * sizeof *v);
        if (!v)
            return -1;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *f;
    return 0;
}

void dt_host_facts_free(struct dt_host_facts *l)
{
    free(l->v);
    *l = (struct dt_host_facts){.v = NULL};
}

static int cmp_u32(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int cmp_addr(const struct dt_addr *a, const struct dt_addr *b)
{
    if (a->ver != b->ver)
        return a->ver < b->ver ? -1 : 1;
    return a->ver ? memcmp(a->b, b->b, dt_addr_size(a)) : 0;
}

int dt_host_place_cmp(const struct dt_host_fact *a, const struct dt_host_fact *b)
{
    int c = cmp_u32(a->kind, b->kind);
    if (!c)
        c = cmp_addr(&a->prefix.addr, &b->prefix.addr);
    if (!c)
        c = cmp_u32(a->prefix.len, b->prefix.len);
    if (!c)
        c = cmp_u32(a->ver, b->ver);
    /* A foreign route with another metric stands beside ours. */
    return c ? c : cmp_u32(a->metric, b->metric);
}

bool dt_host_fact_eq(const struct dt_host_fact *a, const struct dt_host_fact *b)
{
    return !dt_host_place_cmp(a, b) && !cmp_addr(&a->src, &b->src) && a->mtu == b->mtu &&
           a->value == b->value && (a->foreign == b->foreign || a->kind == DT_HOST_ADDR);
}

/* qsort keeps no order among equals, so the order of addition goes with each. */
struct numbered_fact {
    struct dt_host_fact f;
    size_t n;
};

static int cmp_numbered(const void *a, const void *b)
{
    const struct numbered_fact *x = a, *y = b;
    int c = dt_host_place_cmp(&x->f, &y->f);
    return c ? c : x->n < y->n ? -1 : 1;
}

static int cmp_plain(const void *a, const void *b)
{
    return dt_host_place_cmp(a, b);
}

void dt_host_facts_settle(struct dt_host_facts *l)
{
    struct numbered_fact *v = l->n ? malloc(l->n * sizeof *v) : NULL;
    if (v) {
        for (size_t i = 0; i < l->n; i++)
            v[i] = (struct numbered_fact){.f = l->v[i], .n = i};
        qsort(v, l->n, sizeof *v, cmp_numbered);
        for (size_t i = 0; i < l->n; i++)
            l->v[i] = v[i].f;
        free(v);
    } else if (l->n) {
        qsort(l->v, l->n, sizeof *l->v, cmp_plain); /* without memory any of several will do */
    }
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (n == 0 || dt_host_place_cmp(&l->v[n - 1], &l->v[i]) != 0)
            l->v[n++] = l->v[i];
    l->n = n;
}

static void reverse(struct dt_host_facts *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct dt_host_fact f = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = f;
    }
}

int dt_host_diff(const struct dt_host_facts *want, const struct dt_host_facts *have,
                 struct dt_host_facts *set, struct dt_host_facts *remove)
{
    size_t w = 0, h = 0;
    set->n = remove->n = 0;
    while (w < want->n || h < have->n) {
        int c = w == want->n ? 1 : h == have->n ? -1 : dt_host_place_cmp(&want->v[w], &have->v[h]);
        if (c > 0) {
            const struct dt_host_fact *f = &have->v[h++];
            bool keep = f->kind == DT_HOST_LINK || (f->kind == DT_HOST_ADDR && f->foreign);
            if (!keep && dt_host_facts_add(remove, f) < 0)
                return -1;
            continue;
        }
        if ((c < 0 || !dt_host_fact_eq(&want->v[w], &have->v[h])) && dt_host_facts_add(set, &want->v[w]) < 0)
            return -1;
        w++;
        h += c == 0;
    }
    reverse(remove);
    return 0;
}

const char *dt_host_fact_str(char buf[DT_HOST_FACT_STRLEN], const struct dt_host_fact *f)
{
    char prefix[DT_PREFIX_STRLEN] = "", src[DT_ADDR_STRLEN] = "";
    if (f->prefix.addr.ver)
        dt_prefix_str(prefix, &f->prefix);
    if (f->src.ver)
        dt_addr_str(src, &f->src);
    switch (f->kind) {
    case DT_HOST_FILTER:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the table inet %s of nftables", DT_HOST_FILTER_TABLE);
        break;
    case DT_HOST_BARRIER:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the unreachable route of %s", prefix);
        break;
    case DT_HOST_LINK:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the device being up");
        break;
    case DT_HOST_ADDR:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the address %s", prefix);
        break;
    case DT_HOST_ROUTE:
        if (f->foreign)
            snprintf(buf, DT_HOST_FACT_STRLEN, "a route of %s that is not ours", prefix);
        else
            snprintf(buf, DT_HOST_FACT_STRLEN, "the route of %s%s%s", prefix, src[0] ? " from " : "", src);
        break;
    case DT_HOST_RULE:
        snprintf(buf, DT_HOST_FACT_STRLEN, "the routing rule for IPv%u", f->ver);
        break;
    }
    return buf;
}
