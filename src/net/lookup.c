/* Which tunnel carries a packet? Remote selectors become prefixes in one lock-free hash, tried from the longest length
 * that is in use to the shortest; each prefix has its tunnels in order. Ten thousand tunnels with a leased address each
 * cost one look-up. */
#include <stdlib.h>

#include "net/dp.h"
#include "wire/esp.h"

struct dp_lengths { /* RCU: prefix lengths in use, longest first */
    uint8_t n4, n6;
    uint8_t len4[33], len6[129];
    struct rcu_head rcu;
};

struct prefix_list { /* RCU: who wants a prefix, best first */
    struct rcu_head rcu;
    unsigned n;
    struct {
        struct dp_tunnel *t;
        uint32_t order;
        uint64_t age;
    } v[];
};

struct prefix_node {
    struct dt_prefix prefix;
    struct prefix_list *list; /* RCU */
    struct cds_lfht_node node;
    struct rcu_head rcu;
};

unsigned long dp_hash(const struct dt_dp *dp, const void *p, size_t n)
{
    return (unsigned long)dt_siphash(&dp->hash_key, p, n);
}

/* ---- prefixes -------------------------------------------------------------------------------- */

static void prefix_key(struct dt_prefix *key, const struct dt_addr *a, uint8_t len)
{
    memset(key, 0, sizeof *key); /* padding is hashed too */
    key->len = len;
    key->addr.ver = a->ver;
    memcpy(key->addr.b, a->b, len / 8);
    if (len % 8)
        key->addr.b[len / 8] = a->b[len / 8] & (uint8_t)(0xff00 >> len % 8);
}

static int prefix_match(struct cds_lfht_node *n, const void *key)
{
    return !memcmp(&caa_container_of(n, struct prefix_node, node)->prefix, key, sizeof(struct dt_prefix));
}

static struct prefix_node *prefix_find(struct dt_dp *dp, const struct dt_prefix *key)
{
    struct cds_lfht_iter it;
    cds_lfht_lookup(dp->prefixes, dp_hash(dp, key, sizeof *key), prefix_match, key, &it);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&it);
    return n ? caa_container_of(n, struct prefix_node, node) : NULL;
}

static void free_list(struct rcu_head *h)
{
    free(caa_container_of(h, struct prefix_list, rcu));
}

static void free_node(struct rcu_head *h)
{
    free(caa_container_of(h, struct prefix_node, rcu));
}

static void free_lengths(struct rcu_head *h)
{
    free(caa_container_of(h, struct dp_lengths, rcu));
}

static int lengths_publish(struct dt_dp *dp)
{
    struct dp_lengths *l = calloc(1, sizeof *l), *old = dp->lengths;
    if (!l)
        return -1;
    for (int i = 32; i >= 0; i--)
        if (dp->length_count4[i])
            l->len4[l->n4++] = (uint8_t)i;
    for (int i = 128; i >= 0; i--)
        if (dp->length_count6[i])
            l->len6[l->n6++] = (uint8_t)i;
    rcu_assign_pointer(dp->lengths, l);
    if (old)
        call_rcu(&old->rcu, free_lengths);
    return 0;
}

static int prefix_add(struct dt_dp *dp, const struct dt_prefix *key, struct dp_tunnel *t, uint32_t order)
{
    struct prefix_node *node = prefix_find(dp, key);
    struct prefix_list *old = node ? node->list : NULL;
    unsigned n = old ? old->n : 0, at = 0;

    for (unsigned i = 0; i < n; i++)
        if (old->v[i].t == t)
            return 0; /* two of its selectors share it */
    struct prefix_list *l = malloc(sizeof *l + (n + 1) * sizeof l->v[0]);
    if (!l)
        return -1;
    while (at < n && (old->v[at].order < order || (old->v[at].order == order && old->v[at].age < t->age)))
        at++;
    for (unsigned i = 0; i < n; i++)
        l->v[i < at ? i : i + 1] = old->v[i];
    l->v[at].t = t;
    l->v[at].order = order;
    l->v[at].age = t->age;
    l->n = n + 1;
    if (node) {
        rcu_assign_pointer(node->list, l);
        call_rcu(&old->rcu, free_list);
        return 0;
    }
    node = calloc(1, sizeof *node);
    if (!node) {
        free(l);
        return -1;
    }
    node->prefix = *key;
    node->list = l;
    cds_lfht_node_init(&node->node);
    cds_lfht_add(dp->prefixes, dp_hash(dp, key, sizeof *key), &node->node);
    uint32_t *count = key->addr.ver == 4 ? &dp->length_count4[key->len] : &dp->length_count6[key->len];
    return (*count)++ == 0 ? lengths_publish(dp) : 0;
}

static void prefix_remove(struct dt_dp *dp, const struct dt_prefix *key, struct dp_tunnel *t)
{
    struct prefix_node *node = prefix_find(dp, key);
    if (!node)
        return;
    struct prefix_list *old = node->list, *l = NULL;
    unsigned at = 0;
    while (at < old->n && old->v[at].t != t)
        at++;
    if (at == old->n)
        return;
    if (old->n > 1) {
        l = malloc(sizeof *l + (old->n - 1) * sizeof l->v[0]);
        if (!l)
            abort(); /* a few bytes: nothing sensible is left to do, and the tunnel must not stay */
        l->n = 0;
        for (unsigned i = 0; i < old->n; i++)
            if (i != at)
                l->v[l->n++] = old->v[i];
        rcu_assign_pointer(node->list, l);
        call_rcu(&old->rcu, free_list);
        return;
    }
    cds_lfht_del(dp->prefixes, &node->node);
    call_rcu(&old->rcu, free_list);
    call_rcu(&node->rcu, free_node);
    uint32_t *count = key->addr.ver == 4 ? &dp->length_count4[key->len] : &dp->length_count6[key->len];
    if (--*count == 0)
        lengths_publish(dp);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static struct dt_addr last_of(const struct dt_prefix *p)
{
    return dt_prefix_range(p).to;
}

/* The prefixes that make up a range, in order; -1 when they are more than max. */
static int range_prefixes(const struct dt_range *r, struct dt_prefix *out, int max)
{
    struct dt_addr at = r->from;
    uint8_t bits = at.ver == 4 ? 32 : 128;

    for (int n = 0; n < max; n++) {
        struct dt_prefix best;
        prefix_key(&best, &at, bits);
        for (int len = bits - 1; len >= 0; len--) { /* grow while it begins here and ends inside */
            struct dt_prefix p;
            prefix_key(&p, &at, (uint8_t)len);
            struct dt_addr end = last_of(&p);
            if (!dt_addr_eq(&p.addr, &at) || dt_addr_cmp(&end, &r->to) > 0)
                break;
            best = p;
        }
        prefix_key(&out[n], &best.addr, best.len);
        at = last_of(&best);
        if (dt_addr_cmp(&at, &r->to) >= 0 || !dt_addr_next(&at))
            return n + 1;
    }
    return -1;
}

static int tunnel_prefixes(const struct dp_desc *d, struct dt_prefix *out, struct dt_err *err)
{
    int n = 0;
    for (size_t i = 0; i < d->t.remote.n; i++) {
        int k = range_prefixes(&d->t.remote.v[i].range, out + n, DT_DP_PREFIXES_MAX - n);
        if (k < 0)
            return dt_err_set(err, 0, "the remote selectors come to more than %d prefixes",
                              DT_DP_PREFIXES_MAX);
        n += k;
    }
    return n;
}

/* Somebody else's, where both are owned. */
static bool node_is_foreign(const struct prefix_node *node, const struct dp_tunnel *t, uint64_t owner)
{
    for (unsigned i = 0; i < node->list->n; i++) {
        const struct dp_tunnel *other = node->list->v[i].t;
        if (other != t && other->desc->t.owner != 0 && other->desc->t.owner != owner)
            return true;
    }
    return false;
}

/* Is a longer prefix in use at all? Leases make no longer ones. */
static bool longer_in_use(const struct dt_dp *dp, const struct dt_prefix *p)
{
    uint8_t bits = p->addr.ver == 4 ? 32 : 128;
    const uint32_t *count = p->addr.ver == 4 ? dp->length_count4 : dp->length_count6;
    for (unsigned len = p->len + 1u; len <= bits; len++)
        if (count[len])
            return true;
    return false;
}

/* Does another owner have a prefix that holds this one, is this one, or lies in it? */
static bool prefix_taken(struct dt_dp *dp, const struct dt_prefix *p, const struct dp_tunnel *t,
                         uint64_t owner)
{
    const uint32_t *count = p->addr.ver == 4 ? dp->length_count4 : dp->length_count6;
    struct cds_lfht_iter it;
    struct prefix_node *node;
    for (unsigned len = 0; len <= p->len; len++) {
        struct dt_prefix key;
        prefix_key(&key, &p->addr, (uint8_t)len);
        node = count[len] ? prefix_find(dp, &key) : NULL;
        if (node && node_is_foreign(node, t, owner))
            return true;
    }
    if (!longer_in_use(dp, p))
        return false;
    cds_lfht_first(dp->prefixes, &it);
    for (struct cds_lfht_node *n; (n = cds_lfht_iter_get_node(&it)); cds_lfht_next(dp->prefixes, &it)) {
        node = caa_container_of(n, struct prefix_node, node);
        if (dt_prefix_covers(p, &node->prefix) && node_is_foreign(node, t, owner))
            return true;
    }
    return false;
}

static int check_owner(struct dt_dp *dp, const struct dp_tunnel *t, const struct dp_desc *d,
                       const struct dt_prefix *p, int n, struct dt_err *err)
{
    char text[DT_PREFIX_STRLEN];
    for (int i = 0; d->t.owner && i < n; i++)
        if (prefix_taken(dp, &p[i], t, d->t.owner))
            return dt_err_set(err, 0, "another peer's tunnel has some of %s", dt_prefix_str(text, &p[i]));
    return 0;
}

int dp_lookup_add(struct dt_dp *dp, struct dp_tunnel *t, const struct dp_desc *d, struct dt_err *err)
{
    struct dt_prefix p[DT_DP_PREFIXES_MAX];
    int n = tunnel_prefixes(d, p, err);
    if (n < 0)
        return -1;
    rcu_read_lock();
    int rc = check_owner(dp, t, d, p, n, err);
    for (int i = 0; i < n && rc == 0; i++)
        if (prefix_add(dp, &p[i], t, d->t.order) < 0)
            rc = dt_err_set(err, 0, "out of memory for a tunnel's selectors");
    rcu_read_unlock();
    return rc;
}

void dp_lookup_remove(struct dt_dp *dp, struct dp_tunnel *t, const struct dp_desc *d)
{
    struct dt_prefix p[DT_DP_PREFIXES_MAX];
    int n = tunnel_prefixes(d, p, NULL);
    rcu_read_lock();
    for (int i = 0; i < n; i++)
        prefix_remove(dp, &p[i], t);
    rcu_read_unlock();
}

void dp_lookup_trim(struct dt_dp *dp, struct dp_tunnel *t, const struct dp_desc *d,
                    const struct dp_desc *keep)
{
    struct dt_prefix p[DT_DP_PREFIXES_MAX], k[DT_DP_PREFIXES_MAX];
    int n = tunnel_prefixes(d, p, NULL), m = tunnel_prefixes(keep, k, NULL);
    rcu_read_lock();
    for (int i = 0; i < n; i++) {
        int at = 0;
        while (at < m && memcmp(&p[i], &k[at], sizeof p[i]))
            at++;
        if (at >= m)
            prefix_remove(dp, &p[i], t);
    }
    rcu_read_unlock();
}

/* ---- the look-up ----------------------------------------------------------------------------- */

/* What a tunnel sends to its own peer must not go into that tunnel. */
static bool own_outer(const struct dt_dp *dp, struct dp_tunnel *t, const struct dt_ip *ip,
                      const struct dt_tunnel_ports *ports)
{
    if (ip->proto != DT_IPPROTO_ESP && ip->proto != DT_IPPROTO_UDP)
        return false;
    struct dp_sa *sa = dp_tunnel_sa(t);
    if (!sa)
        return false;
    const struct dt_path *path = &rcu_dereference(sa->route)->path;
    if (!dt_addr_eq(&path->remote.addr, &ip->dst))
        return false;
    if (!dt_addr_is_any(&path->local.addr) && !dt_addr_eq(&path->local.addr, &ip->src))
        return false; /* somebody else's, which happens to go where the peer is: a tunnel inside this one */
    if (ip->proto == DT_IPPROTO_ESP)
        return dt_esp_out_mode(sa->out) == DT_ESP_TUNNEL;
    uint16_t natt = dp->cfg.natt_port;
    return ports->known && (ports->sport == natt || ports->dport == natt || ports->sport == DT_PORT_IKE ||
                            ports->dport == DT_PORT_IKE);
}

struct dp_tunnel *dp_lookup(struct dt_dp *dp, const struct dt_ip *ip, const struct dt_tunnel_ports *ports,
                            const struct dp_tunnel *not_for)
{
    const struct dp_lengths *l = rcu_dereference(dp->lengths);
    if (!l)
        return NULL;
    const uint8_t *len = ip->ver == 4 ? l->len4 : l->len6;
    unsigned n = ip->ver == 4 ? l->n4 : l->n6;

    for (unsigned i = 0; i < n; i++) {
        struct dt_prefix key;
        prefix_key(&key, &ip->dst, len[i]);
        struct prefix_node *node = prefix_find(dp, &key);
        if (!node)
            continue;
        const struct prefix_list *list = rcu_dereference(node->list);
        for (unsigned k = 0; k < list->n; k++) {
            struct dp_tunnel *t = list->v[k].t;
            const struct dp_desc *d = rcu_dereference(t->desc);
            if (t != not_for && dt_tunnel_selects(&d->t.local, &d->t.remote, true, ip, ports) &&
                !own_outer(dp, t, ip, ports))
                return t;
        }
    }
    return NULL;
}

/* ---- by number ------------------------------------------------------------------------------- */

static int tunnel_match(struct cds_lfht_node *n, const void *key)
{
    return caa_container_of(n, struct dp_tunnel, node)->id == *(const uint64_t *)key;
}

struct dp_tunnel *dp_tunnel_find(struct dt_dp *dp, uint64_t id)
{
    struct cds_lfht_iter it;
    cds_lfht_lookup(dp->tunnels, dp_hash(dp, &id, sizeof id), tunnel_match, &id, &it);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&it);
    return n ? caa_container_of(n, struct dp_tunnel, node) : NULL;
}

static int spi_match(struct cds_lfht_node *n, const void *key)
{
    return caa_container_of(n, struct dp_sa, by_spi)->spi_in == *(const uint32_t *)key;
}

struct dp_sa *dp_sa_find(struct dt_dp *dp, uint32_t spi)
{
    struct cds_lfht_iter it;
    cds_lfht_lookup(dp->by_spi, dp_hash(dp, &spi, sizeof spi), spi_match, &spi, &it);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&it);
    return n ? caa_container_of(n, struct dp_sa, by_spi) : NULL;
}

static int out_match(struct cds_lfht_node *n, const void *key)
{
    return caa_container_of(n, struct dp_sa, by_out)->spi_out == *(const uint32_t *)key;
}

struct dp_sa *dp_sa_find_out(struct dt_dp *dp, uint32_t spi, const struct dt_addr *to)
{
    struct cds_lfht_iter it;
    cds_lfht_lookup(dp->by_out, dp_hash(dp, &spi, sizeof spi), out_match, &spi, &it);
    for (struct cds_lfht_node *n; (n = cds_lfht_iter_get_node(&it));
         cds_lfht_next_duplicate(dp->by_out, out_match, &spi, &it)) {
        struct dp_sa *sa = caa_container_of(n, struct dp_sa, by_out);
        if (dt_addr_eq(&rcu_dereference(sa->route)->path.remote.addr, to))
            return sa;
    }
    return NULL;
}

int dp_lookup_init(struct dt_dp *dp)
{
    const int flags = CDS_LFHT_AUTO_RESIZE;
    dp->by_spi = cds_lfht_new(64, 64, 0, flags, NULL);
    dp->by_out = cds_lfht_new(64, 64, 0, flags, NULL);
    dp->tunnels = cds_lfht_new(64, 64, 0, flags, NULL);
    dp->prefixes = cds_lfht_new(64, 64, 0, flags, NULL);
    return dp->by_spi && dp->by_out && dp->tunnels && dp->prefixes ? 0 : -1;
}

/* Everything has been removed, and rcu_barrier() called. */
void dp_lookup_free(struct dt_dp *dp)
{
    struct cds_lfht *t[] = {dp->by_spi, dp->by_out, dp->tunnels, dp->prefixes};
    for (size_t i = 0; i < DT_ARRAY_LEN(t); i++)
        if (t[i])
            cds_lfht_destroy(t[i], NULL);
    free(dp->lengths);
}
