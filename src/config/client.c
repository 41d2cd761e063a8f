/* client "IDENTITY" { ... }: what a gateway's client proves itself with, may bring, and is given (the PAD's entry of
 * RFC 4301 section 4.4.3). A section belongs to the gateway that it names, else to every gateway of the file. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"

#define NETWORKS_MAX (DT_SELECTORS_MAX - 2) /* its leases of both versions stand beside them */

static void read_networks(struct reader *r, const struct dt_setting *s, void *field,
                          const struct setting_def *def)
{
    struct dt_config_client *c = field;
    c->networks_line = s->line;
    if (s->n > NETWORKS_MAX)
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n, NETWORKS_MAX);
    else
        read_selectors(r, s, &c->networks, def);
    value_prefixes(r, s->line, s->key, &c->networks);
}

static void read_fixed(struct reader *r, const struct dt_setting *s, void *field,
                       const struct setting_def *def)
{
    struct dt_config_client *c = field;
    c->inside_line = s->line;
    for (size_t i = 0; i < s->n; i++) {
        struct dt_addr a;
        if (!value_addr(r, s->line, s->key, reader_value(r, s, i), &a))
            continue;
        struct dt_addr *to = &c->inside[a.ver == 6];
        if (to->ver != 0)
            reader_error(r, s->line, "inside has two IPv%u addresses; one of each version would be right",
                         a.ver);
        *to = a;
    }
}

static void read_auth(struct reader *r, const struct dt_setting *s, void *field,
                      const struct setting_def *def)
{
    unsigned *auth = field;
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        if (strcmp(v, "psk") == 0)
            *auth |= DT_AUTH_PSK;
        else if (strcmp(v, "certificate") == 0)
            *auth |= DT_AUTH_CERTIFICATE;
        else
            reader_error(r, s->line, "auth = \"%.40s\": psk, certificate or both would be right", v);
    }
}

#define AT(member) offsetof(struct dt_config_client, member)
static const struct setting_def defs[] = {
    {"gateway", read_text, AT(gateway), 1, DT_NAME_MAX}, {"psk", read_psk, AT(psk)},
    {"networks", read_networks, 0, .list = true},        {"inside", read_fixed, 0, .list = true},
    {"auth", read_auth, AT(auth), .list = true},         {"rsa_sha1", read_bool, AT(rsa_sha1)},
};
const struct setting_table client_settings = {defs, DT_ARRAY_LEN(defs)};

void dt_config_clients_free(struct dt_config_client *list, size_t n)
{
    if (list != NULL)
        dt_wipe(list, n * sizeof(*list));
    free(list);
}

/* Room for one more at the end; NULL: no memory. What was there is copied, and wiped where it stood. */
static struct dt_config_client *client_append(struct dt_config_client **list, size_t *n)
{
    if ((*n & (*n - 1)) == 0) {
        struct dt_config_client *more = calloc(*n ? *n * 2 : 1, sizeof(*more));
        if (more == NULL)
            return NULL;
        if (*n > 0)
            memcpy(more, *list, *n * sizeof(*more));
        dt_config_clients_free(*list, *n);
        *list = more;
    }
    return &(*list)[(*n)++];
}

void read_client_section(struct reader *r, const struct dt_block *b)
{
    struct dt_config *c = r->c;
    struct dt_digest d;
    if (c->nclient == DT_CONFIG_CLIENTS_MAX) {
        reader_error(r, b->line, "there are more than %d clients", DT_CONFIG_CLIENTS_MAX);
        return;
    }
    if (c->client == NULL)
        c->client = reader_room(r, "client", sizeof(*c->client), DT_CONFIG_CLIENTS_MAX);
    if (c->client == NULL) {
        reader_error(r, b->line, "out of memory");
        return;
    }
    struct dt_config_client *x = &c->client[c->nclient++];
    *x = (struct dt_config_client){.line = b->line};
    if (dt_ike_id_parse_pattern(&x->id, b->title) != 0)
        reader_error(r, b->line,
                     "client \"%.64s\" is no identity; client \"anna@example.net\" or, for all of a domain, "
                     "client \"*@example.net\" would be right",
                     b->title);
    bool seen[DT_ARRAY_LEN(defs)] = {false};
    reader_section(r, b, x, defs, DT_ARRAY_LEN(defs), seen);
    bool pattern = x->id.type == DT_ID_ANY || dt_ike_id_is_pattern(&x->id);
    if (pattern && x->inside_line != 0)
        reader_error(r, x->inside_line, "inside is one client's; \"%.64s\" is a pattern", b->title);
    if (pattern && x->rsa_sha1)
        reader_error(r, b->line, "rsa_sha1 is for one peer that cannot do better; \"%.64s\" is a pattern",
                     b->title);
    else if (x->rsa_sha1)
        reader_warn(r, b->line,
                    "rsa_sha1: signatures with SHA-1 are taken from \"%.64s\"; they can be forged at a price",
                    b->title);
    if (x->networks_line == 0 && x->inside_line == 0 && x->psk.len == 0 && x->auth == 0 && !x->rsa_sha1)
        reader_warn(
            r, b->line,
            "client \"%.64s\" has neither psk nor networks nor inside nor auth: the section changes nothing",
            b->title);
    reader_digest(r, b, &d);
    dt_digest_bytes(&d, x->id.data, x->id.len);
    dt_digest_bytes(&d, x->psk.key, x->psk.len);
    x->print = dt_digest_value(&d);
}

/* ---- what sections say about each other ---- */

static bool of_gateway(const struct dt_config_client *x, const struct dt_config_gateway *g)
{
    return x->gateway[0] == '\0' || strcmp(x->gateway, g->cfg.name) == 0;
}

static bool share_a_gateway(const struct dt_config_client *x, const struct dt_config_client *y)
{
    return x->gateway[0] == '\0' || y->gateway[0] == '\0' || strcmp(x->gateway, y->gateway) == 0;
}

static bool id_is_same(const struct dt_ike_id *a, const struct dt_ike_id *b)
{
    return a->type == b->type && (a->type == DT_ID_ANY || dt_ike_id_eq(a, b));
}

static int by_identity(const void *a, const void *b)
{
    return dt_ike_id_cmp(&(*(struct dt_config_client *const *)a)->id,
                         &(*(struct dt_config_client *const *)b)->id);
}

/* Each identity once for a gateway. */
static void check_twice(struct reader *r)
{
    struct dt_config *c = r->c;
    struct dt_config_client **order = calloc(c->nclient + 1, sizeof(*order));
    char id[DT_IKE_ID_STRLEN];
    if (order == NULL)
        return;
    for (size_t i = 0; i < c->nclient; i++)
        order[i] = &c->client[i];
    qsort(order, c->nclient, sizeof(*order), by_identity);
    for (size_t i = 0; i < c->nclient; i++)
        for (size_t k = i; k > 0 && id_is_same(&order[k - 1]->id, &order[i]->id); k--)
            if (share_a_gateway(order[k - 1], order[i])) {
                const struct dt_config_client *later =
                    order[i]->line > order[k - 1]->line ? order[i] : order[k - 1];
                reader_error(
                    r, later->line, "client \"%.64s\" stands in %s already", dt_ike_id_str(id, &later->id),
                    reader_line(r, later == order[i] ? order[k - 1]->line : order[i]->line, later->line));
                break;
            }
    free(order);
}

/* One range of a client's networks, for the sweep. */
struct brought {
    struct dt_range range;
    const struct dt_config_client *by;
};

static int by_address(const void *a, const void *b)
{
    const struct brought *x = a, *y = b;
    int order = dt_addr_cmp(&x->range.from, &y->range.from);
    return order != 0 ? order : dt_addr_cmp(&x->range.to, &y->range.to);
}

static void overlap_error(struct reader *r, const struct brought *a, const struct brought *b)
{
    const struct brought *later = a->by->line > b->by->line ? a : b, *first = later == a ? b : a;
    char net[DT_SELECTOR_STRLEN], its[DT_SELECTOR_STRLEN], id[DT_IKE_ID_STRLEN];
    struct dt_selector x = dt_selector_range(&later->range), y = dt_selector_range(&first->range);
    reader_error(r, later->by->networks_line,
                 "networks: %s is claimed twice: client \"%.64s\" (%s) has %s; each network is one client's",
                 dt_selector_str(net, &x), dt_ike_id_str(id, &first->by->id),
                 reader_line(r, first->by->line, later->by->networks_line), dt_selector_str(its, &y));
}

/* In the order of addresses, only the range that reaches farthest so far can overlap the next one. */
static void check_overlaps(struct reader *r)
{
    struct dt_config *c = r->c;
    size_t n = 0, cap = 1;
    for (size_t i = 0; i < c->nclient; i++)
        cap += c->client[i].networks.n;
    struct brought *all = calloc(cap, sizeof(*all));
    if (all == NULL)
        return;
    for (size_t i = 0; i < c->nclient; i++)
        for (size_t k = 0; k < c->client[i].networks.n; k++)
            all[n++] = (struct brought){c->client[i].networks.v[k].range, &c->client[i]};
    qsort(all, n, sizeof(*all), by_address);
    for (size_t i = 1, far = 0; i < n; i++) {
        bool meets = all[i].range.from.ver == all[far].range.from.ver &&
                     dt_addr_cmp(&all[i].range.from, &all[far].range.to) <= 0;
        if (meets && all[i].by != all[far].by && !id_is_same(&all[i].by->id, &all[far].by->id))
            overlap_error(r, &all[far], &all[i]);
        if (!meets || dt_addr_cmp(&all[i].range.to, &all[far].range.to) > 0)
            far = i;
    }
    free(all);
}

static bool in_pool(const struct dt_config_gateway *g, const struct dt_range *range, struct dt_prefix *pool)
{
    struct dt_range both, p;
    for (size_t i = 0; i < g->npool; i++) {
        p = dt_prefix_range(&g->pool[i]);
        *pool = g->pool[i];
        if (dt_range_intersect(&both, range, &p))
            return true;
    }
    return false;
}

/* A client's networks, as this gateway sees them. */
static void check_networks(struct reader *r, const struct dt_config_gateway *g,
                           const struct dt_config_client *x, bool bounded)
{
    char net[DT_SELECTOR_STRLEN], other[DT_IKE_ID_STRLEN];
    struct dt_prefix pool;
    for (size_t i = 0; i < x->networks.n; i++) {
        const struct dt_selector *s = &x->networks.v[i];
        if (in_pool(g, &s->range, &pool))
            reader_error(r, x->networks_line, "networks: %s overlaps pool %s of gateway \"%s\"",
                         dt_selector_str(net, s), dt_prefix_str(other, &pool), g->cfg.name);
        if (bounded && !dt_selectors_covers(&g->cfg.remote, s))
            reader_error(r, x->networks_line, "networks: %s is not within remote of gateway \"%s\", %s",
                         dt_selector_str(net, s), g->cfg.name,
                         dt_selectors_str(other, sizeof(other), &g->cfg.remote));
    }
    if (x->networks.n > 0 && dt_config_gateway_psk(g, &x->id) == &g->psk)
        reader_warn(
            r, x->line,
            "client \"%.64s\" has no secret of its own: whoever knows psk of gateway \"%s\" can come as "
            "it and take its networks",
            dt_ike_id_str(other, &x->id), g->cfg.name);
}

static int by_fixed(const void *a, const void *b)
{
    const struct dt_config_fixed *x = a, *y = b;
    return x->addr.ver != y->addr.ver ? x->addr.ver - y->addr.ver : dt_addr_cmp(&x->addr, &y->addr);
}

/* The first with that address, or NULL. */
static const struct dt_config_fixed *fixed_first(const struct dt_config_gateway *g, const struct dt_addr *a)
{
    const struct dt_config_fixed key = {.addr = *a};
    size_t from = 0, to = g->nfixed;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        if (by_fixed(&g->fixed[at], &key) < 0)
            from = at + 1;
        else
            to = at;
    }
    return from < g->nfixed && dt_addr_eq(&g->fixed[from].addr, a) ? &g->fixed[from] : NULL;
}

static void client_check_inside(struct reader *r, const struct dt_config_gateway *g,
                                const struct dt_config_client *x)
{
    char text[DT_ADDR_STRLEN];
    for (size_t v = 0; v < 2; v++) {
        struct dt_range one = {x->inside[v], x->inside[v]};
        struct dt_prefix pool;
        if (x->inside[v].ver == 0)
            continue;
        if (!in_pool(g, &one, &pool))
            reader_error(r, x->inside_line, "inside: %s is in no pool of gateway \"%s\"",
                         dt_addr_str(text, &x->inside[v]), g->cfg.name);
        const struct dt_config_fixed *f = fixed_first(g, &x->inside[v]);
        for (; f != NULL && f < g->fixed + g->nfixed && dt_addr_eq(&f->addr, &x->inside[v]); f++)
            if (!id_is_same(&g->client[f->client].id, &x->id))
                reader_error(r, x->inside_line, "inside: %s is given twice: %s has it too",
                             dt_addr_str(text, &x->inside[v]),
                             reader_line(r, g->client[f->client].line, x->inside_line));
    }
}

/* All that clients bring, where the gateway does not say it: routes are made of it. */
static void remote_of_clients(struct reader *r, struct dt_config_gateway *g)
{
    for (size_t i = 0; i < g->nclient; i++)
        for (size_t k = 0; k < g->client[i].networks.n; k++) {
            struct dt_selector s = dt_selector_range(&g->client[i].networks.v[k].range);
            if (dt_selectors_add(&g->cfg.remote, &s))
                continue;
            reader_error(
                r, g->line,
                "the clients of gateway \"%s\" bring more than %d networks; remote = { ... } with wider "
                "prefixes over them would be right",
                g->cfg.name, DT_SELECTORS_MAX);
            return;
        }
}

/* What a gateway cannot be without, now that its clients are known. */
static void check_gateway(struct reader *r, struct dt_config_gateway *g)
{
    char net[200], id[DT_IKE_ID_STRLEN];
    bool bounded = g->cfg.remote.n > 0, brings = false, secrets = g->nsecret > 0 || g->psk.len > 0;
    const struct dt_ike_id *peers = &g->cfg.peers;
    bool alone = peers->type != DT_ID_ANY && !dt_ike_id_is_pattern(peers);
    for (size_t i = 0; i < g->nclient; i++) {
        brings |= g->client[i].networks.n > 0;
        secrets |= g->client[i].psk.len > 0;
        check_networks(r, g, &g->client[i], bounded);
        client_check_inside(r, g, &g->client[i]);
    }
    if (!secrets && !g->secrets_set)
        reader_error(
            r, g->line,
            "gateway \"%s\" has no secret; secrets = \"file:/PATH\" or client \"IDENTITY\" { psk = ... } "
            "with one for each client, or certificate, private_key and ca, or psk = \"file:/PATH\" for all, "
            "would be right",
            g->cfg.name);
    if (bounded && !brings && !alone)
        reader_error(
            r, g->remote_line,
            "remote: %s is listed for nobody, so that any client could take any other's network; "
            "client \"IDENTITY\" { networks = ... } for each of them, or peers = \"IDENTITY\" where there "
            "is one, would be right",
            dt_selectors_str(net, sizeof(net), &g->cfg.remote));
    else if (!bounded && !brings && g->npool == 0 && !g->pool_set)
        reader_error(
            r, g->line,
            "gateway \"%s\" has neither pool nor remote; pool = { \"10.9.0.0/16\" } (it gives inside "
            "addresses), or client \"IDENTITY\" { networks = { \"10.2.0.0/16\" } } for each client that "
            "has its own, would be right",
            g->cfg.name);
    if (g->psk.len > 0 && g->npool > 0 && !alone)
        reader_warn(
            r, g->line,
            "gateway \"%s\": psk is one secret for %s: whoever has it can come as any other client, take "
            "its address and its traffic, and be this gateway towards the others; secrets or client "
            "sections with one for each would be right",
            g->cfg.name, peers->type == DT_ID_ANY ? "all" : dt_ike_id_str(id, peers));
    if (!bounded)
        remote_of_clients(r, g);
}

static bool is_exact(const struct dt_ike_id *id)
{
    return id->type != DT_ID_ANY && !dt_ike_id_is_pattern(id);
}

/* Exact ones first, in their order; of the others the order of the file decides. */
static int clients_by_exact(const void *a, const void *b)
{
    const struct dt_config_client *x = *(struct dt_config_client *const *)a,
                                  *y = *(struct dt_config_client *const *)b;
    bool ex = is_exact(&x->id), ey = is_exact(&y->id);
    if (ex != ey)
        return ex ? -1 : 1;
    int order = ex ? dt_ike_id_cmp(&x->id, &y->id) : 0;
    return order != 0 ? order : x->line < y->line ? -1 : x->line > y->line;
}

/* In orders in which a peer, and an address, is found at once. */
static void sort_clients(struct reader *r, struct dt_config_gateway *g)
{
    if (g->nclient == 0)
        return;
    /* By pointers: what qsort keeps on the way has no secrets in it. */
    struct dt_config_client **order = calloc(g->nclient, sizeof(*order)),
                            *sorted = calloc(g->nclient, sizeof(*sorted));
    for (size_t i = 0; order != NULL && i < g->nclient; i++)
        order[i] = &g->client[i];
    if (order != NULL && sorted != NULL) {
        qsort(order, g->nclient, sizeof(struct dt_config_client *), clients_by_exact);
        for (size_t i = 0; i < g->nclient; i++)
            sorted[i] = *order[i];
        dt_config_clients_free(g->client, g->nclient);
        g->client = sorted;
        sorted = NULL;
    } else {
        reader_error(r, g->line, "out of memory");
    }
    free(sorted);
    free(order);
    while (g->nexact < g->nclient && is_exact(&g->client[g->nexact].id))
        g->nexact++;
    g->fixed = calloc(2 * g->nclient, sizeof(*g->fixed));
    if (g->fixed == NULL) {
        reader_error(r, g->line, "out of memory");
        return;
    }
    for (size_t i = 0; i < g->nclient; i++)
        for (size_t v = 0; v < 2; v++)
            if (g->client[i].inside[v].ver != 0)
                g->fixed[g->nfixed++] = (struct dt_config_fixed){g->client[i].inside[v], (uint32_t)i};
    qsort(g->fixed, g->nfixed, sizeof(*g->fixed), by_fixed);
}

/* Gives each gateway its clients. */
static void clients_attach(struct reader *r, struct dt_config_gateway *g)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_digest_u64(&d, g->print);
    for (size_t i = 0; i < r->c->nclient; i++) {
        if (!of_gateway(&r->c->client[i], g))
            continue;
        struct dt_config_client *x = client_append(&g->client, &g->nclient);
        if (x == NULL) {
            reader_error(r, g->line, "out of memory");
            return;
        }
        *x = r->c->client[i];
        dt_digest_u64(&d, x->print);
    }
    sort_clients(r, g);
    g->print = dt_digest_value(&d);
}

void config_check_clients(struct reader *r)
{
    struct dt_config *c = r->c;
    char id[DT_IKE_ID_STRLEN];
    for (size_t i = 0; i < c->nclient; i++)
        if (c->ngateway == 0 ||
            (c->client[i].gateway[0] != '\0' && dt_config_find_gateway(c, c->client[i].gateway) == NULL))
            reader_error(r, c->client[i].line, "client \"%.64s\": there is no gateway%s%.64s%s here",
                         dt_ike_id_str(id, &c->client[i].id), c->client[i].gateway[0] ? " \"" : "",
                         c->client[i].gateway, c->client[i].gateway[0] ? "\"" : "");
    check_twice(r);
    check_overlaps(r);
    config_check_pools(r);
    for (size_t i = 0; i < c->ngateway; i++) {
        clients_attach(r, &c->gateway[i]);
        check_gateway(r, &c->gateway[i]);
    }
}

/* ---- what the rest of the program asks ---- */

static int cmp_client(const void *peer, const void *client)
{
    return dt_ike_id_cmp(peer, &((const struct dt_config_client *)client)->id);
}

const struct dt_config_client *config_own_client(const struct dt_config_gateway *g,
                                                 const struct dt_ike_id *peer)
{
    size_t n = g->nexact < g->nclient ? g->nexact : g->nclient;
    return n > 0 ? bsearch(peer, g->client, n, sizeof(*g->client), cmp_client) : NULL;
}

const struct dt_config_client *dt_config_gateway_client(const struct dt_config_gateway *g,
                                                        const struct dt_ike_id *peer)
{
    if (g->client == NULL)
        return NULL;
    const struct dt_config_client *own = config_own_client(g, peer);
    for (size_t i = g->nexact; i < g->nclient && own == NULL; i++)
        if (id_is_same(&g->client[i].id, peer)) /* the pattern itself */
            own = &g->client[i];
    for (size_t i = g->nexact; i < g->nclient && own == NULL; i++)
        if (dt_ike_id_matches(&g->client[i].id, peer))
            own = &g->client[i];
    return own;
}

const struct dt_config_client *dt_config_gateway_fixed(const struct dt_config_gateway *g,
                                                       const struct dt_addr *a)
{
    const struct dt_config_fixed *f = fixed_first(g, a);
    return f != NULL ? &g->client[f->client] : NULL;
}

void dt_config_gateway_networks(const struct dt_config_gateway *g, const struct dt_ike_id *peer,
                                struct dt_selectors *out)
{
    const struct dt_config_client *x = dt_config_gateway_client(g, peer);
    if (x != NULL)
        *out = x->networks;
    else if (g->nclient == 0 && id_is_same(&g->cfg.peers, peer))
        *out = g->cfg.remote;
}
