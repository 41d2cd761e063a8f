/* Lists of ranges. */
#include "host/ranges.h"

#include <stdlib.h>
#include <string.h>

static int cmp_range(const void *a, const void *b)
{
    return dt_addr_cmp(&((const struct dt_range *)a)->from, &((const struct dt_range *)b)->from);
}

/* Never closed: what stays on this host or on its links. */
static const char *const open_range[2][5] = {
    {"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255", NULL},
    {"::1", "fe80::/10", "ff00::/8", NULL, NULL},
};

size_t dt_host_ranges_without(struct dt_range *v, size_t n, size_t room, const struct dt_range *hole)
{
    for (size_t i = 0; i < n; i++) {
        struct dt_range cut, upper = v[i];
        if (!dt_range_intersect(&cut, &v[i], hole))
            continue;
        bool below = dt_addr_cmp(&v[i].from, &cut.from) < 0, above = dt_addr_cmp(&cut.to, &v[i].to) < 0;
        upper.from = cut.to;
        dt_addr_next(&upper.from);
        v[i].to = cut.from;
        dt_addr_prev(&v[i].to);
        if (below && above && n < room) {
            memmove(&v[i + 2], &v[i + 1], (n - i - 1) * sizeof *v);
            v[i + 1] = upper;
            n++;
            i++;
        } else if (above) {
            v[i] = upper;
        } else if (!below) {
            memmove(&v[i], &v[i + 1], (n - i - 1) * sizeof *v);
            n--;
            i--;
        }
    }
    return n;
}

size_t dt_host_ranges_join(struct dt_range *v, size_t n)
{
    size_t k = 0;
    if (!n)
        return 0;
    qsort(v, n, sizeof *v, cmp_range);
    for (size_t i = 1; i < n; i++) {
        struct dt_addr next = v[k].to;
        bool last = !dt_addr_next(&next);
        if (last || dt_addr_cmp(&v[i].from, &next) <= 0) {
            if (dt_addr_cmp(&v[i].to, &v[k].to) > 0)
                v[k].to = v[i].to;
        } else {
            v[++k] = v[i];
        }
    }
    return k + 1;
}

size_t dt_host_ranges_merge(struct dt_range *v, size_t n, size_t room)
{
    n = dt_host_ranges_join(v, n);
    if (!n)
        return 0;
    for (size_t i = 0; open_range[v[0].from.ver == 6][i]; i++) {
        struct dt_range hole;
        if (n && dt_range_parse(&hole, open_range[v[0].from.ver == 6][i]) == 0)
            n = dt_host_ranges_without(v, n, room, &hole);
    }
    return n;
}
