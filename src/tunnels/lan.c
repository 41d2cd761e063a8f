

#include "tunnels/lan.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define LOOPBACK     1   /* the interface's index */
#define OWN_PREFIXES 256 /* of one of our own ranges */

/* ---- what is protected --------------------------------------------------------------------------- */

static bool lan_excepted(const struct dt_config_tunnel *t, const struct dt_prefix *p)
{
    for (size_t i = 0; t != NULL && i < t->nexcept; i++)
        if (dt_prefix_covers(&t->except[i], p))
            return true;
    return false;
}

bool lan_claim(struct lan_round *r, const struct dt_prefix *p, const struct dt_config_tunnel *t, bool keeps)
{
    if (lan_excepted(t, p))
        return false;
    if (dt_grow(r->claim, r->cap, r->nclaim, 64) != 0) {
        r->no_memory = true;
        return true;
    }
    r->claim[r->nclaim++] = (struct lan_claim){.prefix = *p, .tunnel = t, .keeps = keeps};
    r->sorted = false;
    return true;
}

void lan_round_free(struct lan_round *r)
{
    free(r->claim);
    r->claim = NULL;
    r->nclaim = r->cap = 0;
}

static int lan_cmp_prefix(const struct dt_prefix *a, const struct dt_prefix *b)
{
    int c = memcmp(&a->addr, &b->addr, sizeof(a->addr)); /* other bytes of the structs are zero */
    return c != 0 ? c : (int)a->len - (int)b->len;
}

static int cmp_claim(const void *a, const void *b)
{
    return lan_cmp_prefix(&((const struct lan_claim *)a)->prefix, &((const struct lan_claim *)b)->prefix);
}

/* The first claim of exactly this prefix; the others of it stand behind. NULL: none. */
static const struct lan_claim *claims_of(const struct lan_round *r, const struct dt_prefix *p)
{
    size_t from = 0, to = r->nclaim;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (lan_cmp_prefix(&r->claim[middle].prefix, p) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < r->nclaim && lan_cmp_prefix(&r->claim[from].prefix, p) == 0 ? &r->claim[from] : NULL;
}

/* ---- what could stay local ------------------------------------------------------------------------ */

static bool whole_host(const struct dt_prefix *p)
{
    return p->len == dt_addr_size(&p->addr) * 8;
}

static void add_network(struct lan_round *r, const struct dt_prefix *p, const char *of, bool connected,
                        const struct dt_config_tunnel *except)
{
    struct lan_network n = {.prefix = *p, .connected = connected, .except = except};
    if (r->n == LAN_NETWORKS_MAX)
        return;
    for (size_t i = 0; i < r->n && except == NULL; i++)
        if (r->network[i].except == NULL && lan_cmp_prefix(&r->network[i].prefix, p) == 0)
            return; /* two addresses in one network */
    snprintf(n.of, sizeof(n.of), "%s", of);
    r->network[r->n++] = n;
}

void lan_exceptions(struct lan_round *r, const struct dt_config_tunnel *t)
{
    for (size_t i = 0; i < t->nexcept; i++)
        add_network(r, &t->except[i], "except", false, t);
}

void lan_own(struct lan_round *r, const struct dt_selectors *own, const char *setting)
{
    struct dt_prefix part[OWN_PREFIXES];
    for (size_t i = 0; i < own->n; i++) {
        size_t n = dt_range_prefixes(&own->v[i].range, part, OWN_PREFIXES, NULL);
        for (size_t k = 0; k < n; k++)
            if (part[k].len > 0 && !whole_host(&part[k]))
                add_network(r, &part[k], setting, false, NULL);
    }
}

void lan_connected(struct lan_round *r, const struct dt_nl_addrs *addrs, unsigned device)
{
    for (size_t i = 0; i < addrs->n; i++) {
        const struct dt_nl_addr *a = &addrs->v[i];
        char name[IF_NAMESIZE];
        struct dt_prefix p = dt_prefix_network(&a->addr, a->len);
        if (a->ifindex == device || a->ifindex == LOOPBACK || a->len == 0 || whole_host(&p) ||
            (a->link_scope && a->addr.ver == 6)) /* these are bound to their links anyway */
            continue;
        add_network(r, &p, if_indextoname(a->ifindex, name) != NULL ? name : "?", true, NULL);
    }
}

/* ---- the decision --------------------------------------------------------------------------------- */

struct lan_cover {
    bool any, keeps, same; /* some claim holds all of it; one of them keeps it; one is no wider */
};

/* Of the claims that are no wider than `from`. */
static struct lan_cover covering(const struct lan_round *r, const struct lan_network *n, unsigned from)
{
    struct lan_cover c = {.any = false};
    for (unsigned len = from; len <= n->prefix.len; len++) {
        struct dt_prefix wider = dt_prefix_network(&n->prefix.addr, (uint8_t)len);
        for (const struct lan_claim *k = claims_of(r, &wider);
             k != NULL && k < r->claim + r->nclaim && lan_cmp_prefix(&k->prefix, &wider) == 0; k++) {
            c.any = true;
            c.keeps = c.keeps || (n->except != NULL ? !lan_excepted(k->tunnel, &n->prefix) : k->keeps);
            c.same = c.same || len == n->prefix.len;
        }
    }
    return c;
}

static enum lan_place lan_place_of(const struct lan_network *n, const struct lan_cover *c)
{
    if (c->keeps)
        return LAN_TUNNEL;
    if (n->connected && !dt_prefix_private(&n->prefix))
        return LAN_PUBLIC;
    return c->same ? LAN_NARROWER : LAN_LOCAL;
}

/* Claims that are no narrower than a network of the configuration's that stays local, and holds this one, say nothing of it. */
static unsigned narrowest_exception(const struct lan_network *list, size_t n, const struct lan_network *x)
{
    unsigned from = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].place == LAN_LOCAL && !list[i].connected &&
            dt_prefix_covers(&list[i].prefix, &x->prefix) && list[i].prefix.len + 1u > from)
            from = list[i].prefix.len + 1u;
    return from;
}

void lan_decide(struct lan_round *r)
{
    size_t kept = 0;
    if (!r->sorted && r->nclaim > 0)
        qsort(r->claim, r->nclaim, sizeof(*r->claim), cmp_claim);
    r->sorted = true;
    for (size_t i = 0; i < r->n; i++) {
        struct lan_network x = r->network[i];
        struct lan_cover c = covering(r, &x, x.connected ? narrowest_exception(r->network, kept, &x) : 0);
        if (!c.any)
            continue;
        x.place = lan_place_of(&x, &c);
        r->network[kept++] = x;
    }
    r->n = kept;
}

/* ---- what is said of it --------------------------------------------------------------------------- */

static bool listed(const struct lan_network *list, size_t n, const struct lan_network *x, bool place)
{
    for (size_t i = 0; i < n; i++)
        if (lan_cmp_prefix(&list[i].prefix, &x->prefix) == 0 && strcmp(list[i].of, x->of) == 0 &&
            (!place || list[i].place == x->place))
            return true;
    return false;
}

static void log_place(const struct lan_network *x)
{
    char p[DT_PREFIX_STRLEN];
    dt_prefix_str(p, &x->prefix);
    switch (x->place) {
    case LAN_LOCAL:
        LOG(DT_LOG_INFO, "%s (%s) stays local", p, x->of);
        break;
    case LAN_PUBLIC:
        LOG(DT_LOG_WARN, "%s (%s) is a public network: it goes into the tunnel; `except` would keep it local",
            p, x->of);
        break;
    case LAN_NARROWER:
        if (x->connected)
            LOG(DT_LOG_WARN,
                "%s (%s) is this host's own network, and a tunnel protects exactly that: its hosts are "
                "looked "
                "for in the tunnel",
                p, x->of);
        break;
    case LAN_TUNNEL:
        LOG(DT_LOG_DEBUG, "%s (%s) goes into the tunnel", p, x->of);
        break;
    }
}

void lan_tell(struct daemon *d, const struct lan_round *r)
{
    char p[DT_PREFIX_STRLEN];
    for (size_t i = 0; i < r->n; i++)
        if (!listed(d->lan.network, d->lan.n, &r->network[i], true))
            log_place(&r->network[i]);
    for (size_t i = 0; i < d->lan.n; i++)
        if (d->lan.network[i].place == LAN_LOCAL && !listed(r->network, r->n, &d->lan.network[i], false))
            LOG(DT_LOG_INFO, "%s (%s) is no exception any more", dt_prefix_str(p, &d->lan.network[i].prefix),
                d->lan.network[i].of);
    struct lan_network *copy = r->n > 0 ? malloc(r->n * sizeof(*copy)) : NULL;
    free(d->lan.network);
    d->lan.network = copy;
    d->lan.n = copy != NULL ? r->n : 0;
    if (copy != NULL)
        memcpy(copy, r->network, r->n * sizeof(*copy));
    for (size_t i = 0; i < d->lan.n; i++)
        d->lan.network[i].except = NULL; /* the round is over */
}

bool lan_is_local(const struct daemon *d, const struct dt_addr *a)
{
    for (size_t i = 0; i < d->lan.n; i++)
        if (d->lan.network[i].place == LAN_LOCAL && dt_prefix_has(&d->lan.network[i].prefix, a))
            return true;
    return false;
}

json_t *lan_json(const struct daemon *d, const struct dt_config_tunnel *t)
{
    static const char *const place[] = {
        [LAN_LOCAL] = "local", [LAN_PUBLIC] = "public", [LAN_NARROWER] = "protected"};
    char p[DT_PREFIX_STRLEN];
    json_t *list = json_array();
    for (size_t i = 0; i < d->lan.n; i++) {
        const struct lan_network *x = &d->lan.network[i];
        struct dt_range all = dt_prefix_range(&x->prefix), both;
        bool meets = false;
        for (size_t k = 0; k < t->cfg.protect.n; k++)
            meets = meets || dt_range_intersect(&both, &t->cfg.protect.v[k].range, &all);
        if (meets && x->place != LAN_TUNNEL && (x->place == LAN_LOCAL || x->connected))
            json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "network", dt_prefix_str(p, &x->prefix),
                                                  "of", x->of, "place", place[x->place]));
    }
    return list;
}
