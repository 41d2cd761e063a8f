/* What discovery wants of the host: its routing rules, a table with one route, and probes that end here (host/host.h keeps it).
 *
 * A proxy has a source, which routes do not know: rules do. What a proxy describes looks into a table of discovery's own, with a
 * route into the device and a barrier behind it. Packets with the data path's mark, and those to a host of our own side, go on behind these
 * rules, to those that were there before us.
 *
 * All of it is wanted as long as there is a discover section, and closed so long: also when the daemon was killed. */
#include <net/if.h>
#include <stdio.h>

#include "discovery/discover.h"
#include "tunnels/daemon.h"

#define PASS       DT_HOST_PRIORITY_DISCOVER
#define INTO       (DT_HOST_PRIORITY_DISCOVER + 1)
#define LANDING    (DT_HOST_PRIORITY_DISCOVER + 2)
#define LOOK_PAIRS 64 /* of a rule of others and a proxy */
#define LOOPBACK   1  /* the interface's index */

/* Both sides of one proxy, as prefixes. A mask with holes becomes several; a range of dt_ted_half_ranges is always one. */
struct sides {
    size_t nown, nothers;
    struct dt_prefix own[DT_DISCOVER_RANGES], others[DT_DISCOVER_RANGES];
};

static size_t half_prefixes(struct dt_prefix *out, const struct dt_addr *addr, const struct dt_addr *mask)
{
    struct dt_range range[DT_DISCOVER_RANGES];
    int n = dt_ted_half_ranges(range, DT_DISCOVER_RANGES, addr, mask);
    size_t count = 0;
    for (int i = 0; i < n; i++)
        count += dt_range_prefix(&range[i], &out[count]);
    return count;
}

static struct sides sides_of(const struct dt_ted_proxy *p)
{
    struct sides s = {.nown = 0};
    s.nown = half_prefixes(s.own, &p->src, &p->src_mask);
    s.nothers = half_prefixes(s.others, &p->dst, &p->dst_mask);
    return s;
}

/* Packets to our own side stay inside, unless that side is all there is. */
static bool own_side_stays(const struct dt_prefix *own, const struct dt_prefix *others)
{
    return !dt_prefix_covers(own, others);
}

/* ---- what is wanted ---- */

struct host_want {
    struct dt_host_facts *facts;
    bool any[2], fragments[2]; /* IPv4, IPv6 */
    int rc;
};

static void discovery_want_fact(struct host_want *w, struct dt_host_fact f)
{
    f.owner = DISCOVER_OWNER;
    if (dt_host_facts_add(w->facts, &f) < 0)
        w->rc = -1;
}

static void want_rule(struct host_want *w, struct dt_nl_rule rule, bool closed)
{
    discovery_want_fact(w, (struct dt_host_fact){.kind = DT_HOST_STEER, .rule = rule, .closed = closed});
}

static void want_pair(struct host_want *w, const struct dt_ted_proxy *p, const struct dt_prefix *own,
                      const struct dt_prefix *others)
{
    struct dt_nl_rule rule = {.ver = own->addr.ver,
                              .priority = INTO,
                              .table = DT_HOST_TABLE_DISCOVER,
                              .src = *own,
                              .dst = *others,
                              .proto = p->protocol,
                              .sport = {p->sport, p->sport},
                              .dport = {p->dport, p->dport}};
    struct dt_nl_rule stays = {
        .ver = rule.ver, .priority = PASS, .action = DT_NL_RULE_GOTO, .table = LANDING, .dst = *own};
    const bool six = rule.ver == 6;
    w->any[six] = true;
    w->fragments[six] = w->fragments[six] || p->sport != 0 || p->dport != 0;
    want_rule(w, rule, true);
    if (own_side_stays(own, others))
        want_rule(w, stays, false);
}

/* served: somebody takes the probes. */
static void want_proxy(struct host_want *w, const struct dt_ted_proxy *p, bool served)
{
    const struct sides s = sides_of(p);
    for (size_t i = 0; i < s.nown; i++) {
        if (served)
            discovery_want_fact(w, (struct dt_host_fact){.kind = DT_HOST_PROBES, .prefix = s.own[i]});
        for (size_t k = 0; k < s.nothers; k++)
            want_pair(w, p, &s.own[i], &s.others[k]);
    }
}

static void want_table(struct host_want *w, uint8_t ver)
{
    const struct dt_prefix all = {.addr.ver = ver};
    struct dt_nl_rule landing = {.ver = ver, .priority = LANDING, .action = DT_NL_RULE_NOTHING};
    struct dt_nl_rule pass = {
        .ver = ver, .priority = PASS, .action = DT_NL_RULE_GOTO, .table = LANDING, .mark = DT_DP_MARK};
    /* Fragments, whose ports no rule can see: marked before they are routed (host/filter.h). */
    struct dt_nl_rule fragments = {.ver = ver,
                                   .priority = INTO,
                                   .table = DT_HOST_TABLE_DISCOVER,
                                   .mark = DT_HOST_DISCOVER_FRAGMENT_MARK};
    discovery_want_fact(
        w, (struct dt_host_fact){.kind = DT_HOST_BARRIER, .prefix = all, .table = DT_HOST_TABLE_DISCOVER});
    discovery_want_fact(
        w, (struct dt_host_fact){.kind = DT_HOST_ROUTE, .prefix = all, .table = DT_HOST_TABLE_DISCOVER});
    want_rule(w, landing, false);
    want_rule(w, pass, false);
    if (w->fragments[ver == 6])
        want_rule(w, fragments, false);
}

int discover_want(struct daemon *d, struct dt_host_facts *facts)
{
    struct host_want w = {.facts = facts};
    const struct discover *x = d->discover;
    const struct dt_config_discover *rule = x != NULL ? x->rule : d->unserved.rule;
    const size_t nrule = x != NULL ? x->nrule : d->unserved.n;
    for (size_t i = 0; i < nrule; i++)
        for (size_t k = 0; k < rule[i].rule.count; k++)
            want_proxy(&w, &rule[i].rule.proxy[k], x != NULL);
    for (uint8_t ver = 4; ver <= 6; ver += 2)
        if (w.any[ver == 6])
            want_table(&w, ver);
    return w.rc;
}

int discover_host_fits(const struct discover *x, struct dt_err *err)
{
    size_t pairs = 0;
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++) {
            const struct sides s = sides_of(&x->rule[i].rule.proxy[k]);
            pairs += s.nown * s.nothers;
        }
    return pairs <= DT_DISCOVER_ROUTES_MAX
               ? 0
               : dt_err_set(err, 0, "the discover sections come to more than %d routing rules",
                            DT_DISCOVER_ROUTES_MAX);
}

/* ---- where it leads ---- */

/* An address of the prefix that somebody may have. */
static struct dt_addr somebody_in(const struct dt_prefix *p)
{
    static const uint8_t four[4] = {192, 0, 2, 1}, six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct dt_addr a = dt_prefix_range(p).from;
    if (p->len == 0) /* documentation's: nobody has it */
        return p->addr.ver == 4 ? dt_addr4_bytes(four) : dt_addr6_bytes(six);
    dt_addr_next(&a); /* a network's first address may be one that nobody has */
    return dt_prefix_has(p, &a) ? a : dt_prefix_range(p).from;
}

static bool is_own_side(const struct discover *x, const struct dt_addr *a)
{
    for (size_t i = 0; i < x->nrule; i++)
        for (size_t k = 0; k < x->rule[i].rule.count; k++) {
            const struct sides s = sides_of(&x->rule[i].rule.proxy[k]);
            for (size_t m = 0; m < s.nown * s.nothers; m++)
                if (dt_prefix_has(&s.own[m / s.nothers], a) &&
                    own_side_stays(&s.own[m / s.nothers], &s.others[m % s.nothers]))
                    return true;
        }
    return false;
}

/* Packets of a proxy from a network to a network, as they come from a host behind us. What the kernel does not say leads nowhere. */
static bool pair_leads_elsewhere(struct discover *x, const struct dt_ted_proxy *p,
                                 const struct dt_prefix *from, const struct dt_prefix *to)
{
    struct daemon *d = x->daemon;
    struct dt_nl_between ask = {.src = somebody_in(from),
                                .dst = somebody_in(to),
                                .proto = p->protocol,
                                .sport = p->sport,
                                .dport = p->dport};
    char src[DT_ADDR_STRLEN], dst[DT_ADDR_STRLEN], name[IF_NAMESIZE] = "";
    unsigned out = 0;
    if (ask.proto == 0 && (ask.sport != 0 || ask.dport != 0))
        ask.proto = 17; /* of those that have ports, any */
    if (is_own_side(x, &ask.dst) || dt_nl_route_get(d->nl, &ask.src, DT_DP_MARK, NULL, &ask.iif, NULL) != 0)
        return false;
    if (ask.iif == LOOPBACK) /* this host's own */
        ask.iif = 0;
    if (dt_nl_route_between(d->nl, &ask, &out, NULL) != 0 || out == dt_dp_tun_index(d->dp) || out == LOOPBACK)
        return false;
    snprintf(x->diverted, sizeof(x->diverted),
             "packets from %s to %s are routed to %s: another routing rule stands before %u",
             dt_addr_str(src, &ask.src), dt_addr_str(dst, &ask.dst),
             if_indextoname(out, name) != NULL ? name : "another device", PASS);
    return true;
}

/* The narrower of two networks; false: they have nothing in common. */
static bool narrower(struct dt_prefix *out, const struct dt_prefix *a, const struct dt_prefix *b)
{
    *out = b->len == 0 || (a->len >= b->len && dt_prefix_covers(b, a)) ? *a : *b;
    return b->len == 0 || a->len == 0 || dt_prefix_covers(a, b) || dt_prefix_covers(b, a);
}

/* Somebody's rule before ours may be for a part of what a proxy describes. */
static bool rule_diverts(struct discover *x, const struct dt_nl_rule *r, const struct dt_ted_proxy *p)
{
    const struct sides s = sides_of(p);
    struct dt_prefix from, to;
    if (!r->foreign || r->priority == 0 || r->priority >= PASS || r->ver != p->ver || s.nown == 0 ||
        s.nothers == 0)
        return false;
    return narrower(&from, &s.own[0], &r->src) && narrower(&to, &s.others[0], &r->dst) &&
           pair_leads_elsewhere(x, p, &from, &to);
}

void discover_look_where_it_leads(struct daemon *d)
{
    struct discover *x = d->discover;
    struct dt_nl_rules rules = {.v = NULL};
    if (x == NULL)
        return;
    x->diverted[0] = '\0';
    if (dt_nl_rules_of(d->nl, 1, PASS - 1, &rules, NULL) != 0)
        rules.n = 0;
    size_t asked = 0;
    for (size_t i = 0; i < rules.n; i++)
        for (size_t k = 0; k < x->nrule && x->diverted[0] == '\0'; k++)
            for (size_t m = 0; m < x->rule[k].rule.count && asked < LOOK_PAIRS && x->diverted[0] == '\0'; m++)
                asked += rules.v[i].foreign && !rule_diverts(x, &rules.v[i], &x->rule[k].rule.proxy[m]);
    dt_nl_rules_free(&rules);
}

const char *discover_missing(struct daemon *d)
{
    if (d->discover == NULL)
        return d->unserved.rule != NULL ? d->unserved.why : NULL;
    return d->discover->diverted[0] != '\0' ? d->discover->diverted
                                            : dt_keeper_missing(d->keeper, DISCOVER_OWNER);
}
