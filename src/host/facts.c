/* Lists of facts, and the difference of two. */
#include "host/facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

const void *dt_host_facts_at(const struct dt_host_facts *l, const struct dt_host_sort *s, size_t i)
{
    return (const char *)l->v + i * s->size;
}

int dt_host_facts_put(struct dt_host_facts *l, const struct dt_host_sort *s, const void *f)
{
    if (dt_grow_by(&l->v, &l->cap, l->n, s->size, 64))
        return -1;
    memcpy((char *)l->v + l->n++ * s->size, f, s->size);
    return 0;
}

void dt_host_facts_free(struct dt_host_facts *l)
{
    free(l->v);
    *l = (struct dt_host_facts){.v = NULL};
}

/* Merges the sorted facts [from, middle) and [middle, to) of `in` into `out`; of equals the earlier goes first. */
static void merge_facts(const struct dt_host_sort *s, const char *in, char *out, size_t from, size_t middle,
                        size_t to)
{
    size_t left = from, right = middle;
    for (size_t i = from; i < to; i++) {
        bool take_left =
            left < middle && (right == to || s->place_cmp(in + left * s->size, in + right * s->size) <= 0);
        memcpy(out + i * s->size, in + (take_left ? left++ : right++) * s->size, s->size);
    }
}

int dt_host_facts_settle(struct dt_host_facts *l, const struct dt_host_sort *s)
{
    char *spare = l->n > 1 ? malloc(l->n * s->size) : NULL;
    if (l->n <= 1)
        return 0;
    if (!spare)
        return -1;
    /* Not qsort: it keeps no order among equals. */
    char *in = l->v, *out = spare;
    for (size_t width = 1; width < l->n; width *= 2) {
        for (size_t i = 0; i < l->n; i += 2 * width) {
            size_t middle = i + width < l->n ? i + width : l->n,
                   to = middle + width < l->n ? middle + width : l->n;
            merge_facts(s, in, out, i, middle, to);
        }
        char *t = in;
        in = out;
        out = t;
    }
    size_t n = 0;
    char *keep = out; /* what stays is put together in the other half */
    for (size_t i = 0; i < l->n; i++)
        if (n == 0 || s->place_cmp(keep + (n - 1) * s->size, in + i * s->size) != 0)
            memcpy(keep + n++ * s->size, in + i * s->size, s->size);
    l->cap = keep == spare ? l->n : l->cap;
    free(in);
    l->v = keep;
    l->n = n;
    return 0;
}

const void *dt_host_facts_find(const struct dt_host_facts *l, const struct dt_host_sort *s, const void *f)
{
    return l->n ? bsearch(f, l->v, l->n, s->size, s->place_cmp) : NULL;
}

static void reverse_facts(struct dt_host_facts *l, const struct dt_host_sort *s)
{
    char *a = l->v, *b = a + (l->n ? l->n - 1 : 0) * s->size;
    for (; a < b; a += s->size, b -= s->size)
        for (size_t i = 0; i < s->size; i++) {
            char octet = a[i];
            a[i] = b[i];
            b[i] = octet;
        }
}

int dt_host_diff(const struct dt_host_sort *s, const struct dt_host_facts *want,
                 const struct dt_host_facts *have, struct dt_host_facts *set, struct dt_host_facts *remove)
{
    size_t w = 0, h = 0;
    set->n = remove->n = 0;
    while (w < want->n || h < have->n) {
        const void *wanted = dt_host_facts_at(want, s, w), *had = dt_host_facts_at(have, s, h);
        int c = w == want->n ? 1 : h == have->n ? -1 : s->place_cmp(wanted, had);
        if (c > 0) {
            if (!s->stays(had) && dt_host_facts_put(remove, s, had) < 0)
                return -1;
            h++;
            continue;
        }
        if ((c < 0 || !s->serves(wanted, had)) && dt_host_facts_put(set, s, wanted) < 0)
            return -1;
        w++;
        h += c == 0;
    }
    reverse_facts(remove, s);
    return 0;
}
