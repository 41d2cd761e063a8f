/* What the tunnels and gateways want of the host: inside addresses on the TUN device, routes of what is protected, and
 * behind each a route that leads nowhere.
 *
 * Routes live in a table of their own, which a rule puts before the others for every packet that does not carry the data
 * path's mark. So a tunnel may protect 0.0.0.0/0, its gateway included, and no route that somebody else has made is
 * ever replaced. The unreachable routes stand as long as a tunnel is wanted, also before its first session and when the
 * device is down or gone: then what is protected goes nowhere. */

#include "tunnels/routes.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/ranges.h"
#include "tunnels/behind.h"
#include "tunnels/closed.h"
#include "tunnels/daemon.h"
#include "tunnels/families.h"
#include "tunnels/lan.h"
#include "tunnels/tunnels.h"
#include "tunnels/wants.h"

#define LOOK_EVERY     (5 * DT_SEC) /* news can be lost */
#define RANGE_PREFIXES 256          /* a range of IPv6 takes 254 at most */
#define LOOK_RANGES    16           /* of a tunnel, whose way is looked at */
#define LOOPBACK       1            /* the interface's index */
#define OWNER_GATEWAYS UINT32_MAX
#define NARROW_FROM    (DT_HOST_TABLES_FROM + 128)
#define NARROW_TABLES  512              /* as many as the configuration may have rules for ports */
#define OWNER_NONE     (UINT32_MAX - 1) /* whose absence blocks nobody */

/* One round of saying what is wanted. */
struct want {
    struct daemon *d;
    struct dt_host_facts facts;
    struct dt_nl_addrs addrs; /* of this host; read when first asked for */
    bool have_addrs, no_memory, v4, v6;
    bool narrowed[2]; /* IPv4, IPv6: something is, to a protocol or port */
    bool have_tables;
    uint8_t tables[NARROW_TABLES / 8]; /* a bit for each that somebody has */
    uint32_t owner;
    struct lan_round lan;
};

static void want_fact(struct want *w, struct dt_host_fact f)
{
    f.owner = w->owner;
    if (dt_host_facts_add(&w->facts, &f) < 0)
        w->no_memory = true;
}

static void want_addr(struct want *w, const struct dt_addr *a, bool closed)
{
    struct dt_prefix p = {.addr = *a, .len = (uint8_t)(a->ver == 4 ? 32 : 128)};
    if (a->ver)
        want_fact(w, (struct dt_host_fact){.kind = DT_HOST_ADDR, .prefix = p, .open = !closed});
}

/* What packets to a prefix shall find. */
struct way {
    const struct dt_config_tunnel *tunnel; /* NULL: a gateway's */
    bool keeps;                            /* networks of this host inside it do not stay local */
    bool in;                               /* a route into the device; else the barrier alone */
    struct dt_addr src[2]; /* IPv4, IPv6: what programs here should speak from; ver 0: the kernel chooses */
    uint32_t mtu;
};

static void want_range(struct want *w, const struct dt_range *range, const struct way *way, bool barrier)
{
    struct dt_prefix part[RANGE_PREFIXES];
    size_t n = dt_range_prefixes(range, part, RANGE_PREFIXES, NULL);
    for (size_t i = 0; i < n; i++) {
        bool four = part[i].addr.ver == 4;
        if (barrier)
            want_fact(w, (struct dt_host_fact){.kind = DT_HOST_BARRIER, .prefix = part[i]});
        if (way->in)
            want_fact(w,
                      (struct dt_host_fact){
                          .kind = DT_HOST_ROUTE, .prefix = part[i], .src = way->src[!four], .mtu = way->mtu});
        if (barrier || way->in)
            *(four ? &w->v4 : &w->v6) = true;
    }
}

/* Some of what is protected whole, of one IP version. */
struct whole {
    size_t n;
    struct dt_range range[RANGE_PREFIXES];
};

/* In the fewest prefixes. */
static void want_joined(struct want *w, struct whole *x, const struct way *way, bool barrier)
{
    x->n = dt_host_ranges_join(x->range, x->n);
    for (size_t i = 0; i < x->n; i++)
        want_range(w, &x->range[i], way, barrier);
    x->n = 0;
}

/* What stays outside of tunnels is decided by the prefixes as they stand in the configuration. */
static void want_whole(struct want *w, const struct dt_selectors *list, const struct way *way, bool barrier)
{
    struct dt_prefix part[RANGE_PREFIXES];
    struct whole x[2] = {0};
    for (size_t i = 0; i < list->n; i++) {
        struct whole *of = &x[list->v[i].range.from.ver == 6];
        size_t n = dt_selector_is_narrow(&list->v[i])
                       ? 0
                       : dt_range_prefixes(&list->v[i].range, part, RANGE_PREFIXES, NULL);
        for (size_t k = 0; k < n; k++) {
            if (!lan_claim(&w->lan, &part[k], way->tunnel, way->keeps))
                continue;
            if (of->n == RANGE_PREFIXES)
                want_joined(w, of, way, barrier);
            of->range[of->n++] = dt_prefix_range(&part[k]);
        }
    }
    want_joined(w, &x[0], way, barrier);
    want_joined(w, &x[1], way, barrier);
}

static void note_table(struct want *w, uint32_t table)
{
    if (table != 0)
        w->tables[(table - NARROW_FROM) / 8] |= (uint8_t)(1u << (table - NARROW_FROM) % 8);
}

/* The routing table of an owner's narrowed prefixes, which it keeps; 0: there are no more. */
static uint32_t table_of(struct want *w, uint32_t *table)
{
    if (!w->have_tables && w->d != NULL) {
        dt_list_for_each (l, &w->d->tuns)
            note_table(w, DT_CONTAINER_OF(l, struct tun, link)->table);
        dt_list_for_each (l, &w->d->gates)
            note_table(w, DT_CONTAINER_OF(l, struct gate, link)->table);
    }
    w->have_tables = true;
    for (uint32_t i = 0; i < NARROW_TABLES && *table == 0; i++)
        if (!(w->tables[i / 8] & 1u << i % 8)) {
            *table = NARROW_FROM + i;
            note_table(w, *table);
        }
    return *table;
}

/* Packets of that protocol and port to the prefix look into the table; so do fragments, whose ports no rule sees. */
static void want_steer(struct want *w, const struct dt_prefix *to, const struct dt_selector *s,
                       uint32_t table, bool closed)
{
    struct dt_nl_rule rule = {
        .ver = to->addr.ver, .priority = DT_KEEPER_TABLE - 1, .table = table, .dst = *to};
    struct dt_selector one[DT_SELECTOR_PROTOS];
    size_t n = dt_selector_protos(s, one);
    bool ports = false;
    for (size_t i = 0; i < n; i++) {
        rule.proto = one[i].proto;
        rule.dport[0] = one[i].port_to == DT_PORT_LAST && one[i].port_from == 0 ? 0 : one[i].port_from;
        rule.dport[1] = one[i].port_to == DT_PORT_LAST && one[i].port_from == 0 ? 0 : one[i].port_to;
        ports = ports || rule.dport[1] != 0;
        want_fact(w, (struct dt_host_fact){.kind = DT_HOST_STEER, .rule = rule, .closed = closed});
    }
    rule.proto = 0;
    rule.dport[0] = rule.dport[1] = 0;
    rule.mark = DT_HOST_FRAGMENT_MARK;
    if (ports)
        want_fact(w, (struct dt_host_fact){.kind = DT_HOST_STEER, .rule = rule});
}

/* Of what is narrowed to a protocol or a port only that is routed and closed, in a table of its own; the rest of the network
 * goes as without the tunnel. */
static void want_narrow(struct want *w, const struct dt_selector *s, const struct way *way, bool barrier,
                        uint32_t *slot)
{
    struct dt_prefix part[RANGE_PREFIXES];
    uint32_t table = table_of(w, slot);
    size_t n = dt_range_prefixes(&s->range, part, RANGE_PREFIXES, NULL);
    if (table == 0) { /* rather too much than too little */
        want_range(w, &s->range, way, barrier);
        return;
    }
    for (size_t i = 0; i < n && (barrier || way->in); i++) {
        bool six = part[i].addr.ver == 6;
        if (!lan_claim(&w->lan, &part[i], way->tunnel, way->keeps))
            continue;
        w->narrowed[six] = true;
        if (barrier)
            want_fact(w, (struct dt_host_fact){.kind = DT_HOST_BARRIER, .prefix = part[i], .table = table});
        if (way->in)
            want_fact(w, (struct dt_host_fact){.kind = DT_HOST_ROUTE,
                                               .prefix = part[i],
                                               .src = way->src[six],
                                               .mtu = way->mtu,
                                               .table = table});
        want_steer(w, &part[i], s, table, barrier);
    }
}

static void want_selectors(struct want *w, const struct dt_selectors *list, const struct way *way,
                           bool barrier, uint32_t *table)
{
    want_whole(w, list, way, barrier);
    for (size_t i = 0; i < list->n; i++)
        if (dt_selector_is_narrow(&list->v[i]))
            want_narrow(w, &list->v[i], way, barrier, table);
}

static void read_addrs(struct want *w)
{
    if (!w->have_addrs)
        w->have_addrs = dt_nl_addrs_of(w->d->nl, 0, &w->addrs, NULL) == 0;
}

/* An address of this host that the tunnel's own side has: what programs here should speak from. The first that the kernel
 * lists. */
static void selectors_source(struct want *w, const struct dt_selectors *inside, struct dt_addr src[2])
{
    read_addrs(w);
    for (size_t i = 0; w->have_addrs && i < w->addrs.n; i++) {
        const struct dt_addr *a = &w->addrs.v[i].addr;
        struct dt_addr *mine = &src[a->ver == 6];
        if (!w->addrs.v[i].link_scope && !mine->ver && dt_selectors_has(inside, a, 0, 0))
            *mine = *a;
    }
}

/* Does a route lead into it? Before the first lease a packet would carry a source address that the tunnel does not take. */
static bool tunnel_has_way(struct daemon *d, const struct tun *t)
{
    struct dt_tunnel_info info;
    bool known = t->id != 0 && dt_endpoint_tunnel_info(d->ep, t->id, &info);
    return t->site || t->ruled || t->cfg.start == DT_START_DEMAND ||
           (known && (info.inside.addr4.ver || info.inside.addr6.ver));
}

static void want_tunnel(struct want *w, struct tun *t)
{
    struct dt_tunnel_info info;
    bool closed = closed_by_tunnel(t);
    struct way way = {.tunnel = &t->cfg,
                      .keeps = t->cfg.lan_tunnel || t->cfg.closed == DT_CLOSED_ALWAYS,
                      .mtu = t->cfg.mtu};
    if (t->cfg.discovered || (!t->wanted && !closed)) /* what is discovered: discovery/host.c */
        return;
    bool known = t->id != 0 && dt_endpoint_tunnel_info(w->d->ep, t->id, &info);
    bool inside = known && t->wanted && (info.inside.addr4.ver || info.inside.addr6.ver);
    w->owner = t->id;
    if (inside) {
        want_addr(w, &info.inside.addr4, closed);
        want_addr(w, &info.inside.addr6, closed);
        way.src[0] = info.inside.addr4;
        way.src[1] = info.inside.addr6;
    }
    if (t->site)
        selectors_source(w, &t->cfg.cfg.local, way.src);
    way.in = t->wanted && tunnel_has_way(w->d, t);
    lan_exceptions(&w->lan, &t->cfg);
    if (t->site)
        lan_own(&w->lan, &t->cfg.cfg.local, "inside");
    want_selectors(w, &t->cfg.cfg.protect, &way, closed, &t->table);
}

static struct dt_selectors pools_of(const struct dt_config_gateway *g)
{
    struct dt_selectors list = {.n = 0};
    for (size_t i = 0; i < g->npool; i++)
        list.v[list.n++] = dt_selector_prefix(&g->pool[i]);
    return list;
}

static void want_gateway(struct want *w, struct gate *g)
{
    struct way way = {.in = true, .keeps = g->cfg.closed == DT_CLOSED_ALWAYS, .mtu = g->cfg.mtu};
    bool closed = closed_by_gate(g);
    if (g->discovery)
        return;
    w->owner = OWNER_GATEWAYS;
    selectors_source(w, &g->cfg.cfg.protect, way.src);
    lan_own(&w->lan, &g->cfg.cfg.protect, "protect");
    struct dt_selectors pools = pools_of(&g->cfg);
    want_selectors(w, &pools, &way, closed, &g->table);
    want_selectors(w, &g->cfg.cfg.remote, &way, closed, &g->table);
}

static void want_rules(struct want *w)
{
    w->owner = 0; /* everybody's */
    for (uint8_t ver = 4; ver <= 6; ver += 2)
        if (ver == 4 ? w->v4 : w->v6)
            want_fact(w, (struct dt_host_fact){.kind = DT_HOST_RULE, .ver = ver});
    /* Our own outer packets pass by the rules for ports. */
    for (uint8_t ver = 4; ver <= 6; ver += 2) {
        struct dt_nl_rule landing = {
            .ver = ver, .priority = DT_KEEPER_TABLE + 1, .action = DT_NL_RULE_NOTHING};
        struct dt_nl_rule pass = {.ver = ver,
                                  .priority = DT_KEEPER_TABLE - 2,
                                  .action = DT_NL_RULE_GOTO,
                                  .table = landing.priority,
                                  .mark = DT_DP_MARK};
        if (!w->narrowed[ver == 6])
            continue;
        want_fact(w, (struct dt_host_fact){.kind = DT_HOST_STEER, .rule = pass});
        want_fact(w, (struct dt_host_fact){.kind = DT_HOST_STEER, .rule = landing});
    }
}

/* In the tables of what is narrowed too, where it is wider. */
static void want_exception(struct want *w, const struct dt_prefix *p, size_t narrowed)
{
    want_fact(w, (struct dt_host_fact){.kind = DT_HOST_ELSEWHERE, .prefix = *p});
    for (size_t i = 0; i < narrowed; i++) {
        const struct dt_host_fact *f = dt_host_facts_at(&w->facts, &dt_host_sort, i);
        if ((f->kind == DT_HOST_BARRIER || f->kind == DT_HOST_ROUTE) && f->table != 0 &&
            dt_prefix_covers(&f->prefix, p))
            want_fact(w, (struct dt_host_fact){.kind = DT_HOST_ELSEWHERE, .prefix = *p, .table = f->table});
    }
}

/* What stays local of all that is protected. */
static void want_exceptions(struct want *w)
{
    size_t narrowed = w->narrowed[0] || w->narrowed[1] ? w->facts.n : 0;
    w->owner = OWNER_NONE;
    lan_decide(&w->lan);
    for (size_t i = 0; i < w->lan.n; i++)
        if (w->lan.network[i].place == LAN_LOCAL)
            want_exception(w, &w->lan.network[i].prefix, narrowed);
    w->no_memory = w->no_memory || w->lan.no_memory;
    lan_round_free(&w->lan);
}

static void routes_say_wanted(struct want *w)
{
    struct daemon *d = w->d;
    dt_list_for_each (l, &d->tuns)
        want_tunnel(w, DT_CONTAINER_OF(l, struct tun, link));
    dt_list_for_each (l, &d->gates)
        want_gateway(w, DT_CONTAINER_OF(l, struct gate, link));
    want_rules(w);
    want_fact(w, (struct dt_host_fact){.kind = DT_HOST_LINK});
    if (w->lan.nclaim > 0 || !dt_list_empty(&d->gates))
        read_addrs(w);
    behind_look(d, &w->addrs);
    if (behind_want(d, &w->facts, OWNER_GATEWAYS) < 0)
        w->no_memory = true;
    lan_connected(&w->lan, &w->addrs, dt_dp_tun_index(d->dp));
    want_exceptions(w);
    if (d->above->want(d, &w->facts) < 0)
        w->no_memory = true;
    if (w->v4 && w->d->routes.has_filter && dt_host_rp_filter(NULL) != 0)
        want_fact(w, (struct dt_host_fact){.kind = DT_HOST_SYSCTL});
}

/* What is closed where no daemon runs. */
static void want_always(struct want *w, enum dt_config_closed closed, const struct dt_config_tunnel *t,
                        const struct dt_selectors *list)
{
    struct way nowhere = {.tunnel = t, .keeps = true, .in = false};
    uint32_t table = 0;
    if (closed == DT_CLOSED_ALWAYS)
        want_selectors(w, list, &nowhere, true, &table);
}

static void want_tunnel_always(struct want *w, const struct dt_config_tunnel *t)
{
    if (t->closed == DT_CLOSED_ALWAYS)
        lan_exceptions(&w->lan, t);
    want_always(w, t->closed, t, &t->cfg.protect);
}

static void want_gateway_always(struct want *w, const struct dt_config_gateway *g)
{
    struct dt_selectors pools = pools_of(g);
    want_always(w, g->closed, NULL, &pools);
    want_always(w, g->closed, NULL, &g->cfg.remote);
}

static void say_what_stays(struct want *w)
{
    struct daemon *d = w->d;
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!t->cfg.discovered)
            want_tunnel_always(w, &t->cfg);
    }
    dt_list_for_each (l, &d->gates) {
        const struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (!g->discovery)
            want_gateway_always(w, &g->cfg);
    }
    want_rules(w);
    want_exceptions(w);
}

/* ---- the host's side ---- */

/* A device that was deleted is made anew before anything is wanted of it. */
static void renew_device(struct daemon *d)
{
    struct dt_err err = {0};
    struct dt_tun tun;
    int fd[DT_DP_WORKERS_MAX];
    struct dt_nl_link link;
    if (d->dp == NULL || dt_nl_link_get(d->nl, dt_dp_tun_index(d->dp), &link, NULL) != 0 || link.there)
        return;
    if (dt_keeper_device(d->keeper, &tun, fd, dt_dp_workers(d->dp), &err) != 0 ||
        dt_dp_device_renew(d->dp, tun.index, fd, &err) != 0) {
        LOG(DT_LOG_ERROR, "the device %s was deleted and cannot be made anew: %s", dt_dp_tun_name(d->dp),
            err.text);
        return;
    }
    d->link_names.look_at = 0;
    LOG(DT_LOG_WARN, "the device %s was deleted; it has been made anew", dt_dp_tun_name(d->dp));
}

static void routes_host_mended(void *user, bool set, const struct dt_host_fact *f, const struct dt_err *err)
{
    char text[DT_HOST_FACT_STRLEN];
    dt_host_fact_str(text, f);
    if (err != NULL)
        LOG(DT_LOG_ERROR, "somebody changed this host: %s: %s", text, err->text);
    else if (set)
        LOG(DT_LOG_WARN, "somebody changed this host: %s was missing or changed; it is set again", text);
    else
        LOG(DT_LOG_WARN, "somebody changed this host: %s stood in table %u; it is removed", text,
            f->table != 0 ? f->table : DT_KEEPER_TABLE);
}

static int open_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    return dt_host_kernel_read(user, have, err);
}

static int open_change(void *user, bool set, const void *fact, struct dt_err *err)
{
    return dt_host_kernel_change(user, set, fact, err);
}

static bool closes_without_device(const struct dt_host_fact *f)
{
    return f->kind == DT_HOST_BARRIER || f->kind == DT_HOST_RULE ||
           (f->kind == DT_HOST_STEER && !f->foreign && f->rule.priority <= DT_HOST_PRIORITY_LAST);
}

/* Without a daemon: what w has, and nothing else, is what the host is to have from now on. With `add`, what is closed
 * already stays closed. */
static int apply_alone(struct want *w, const struct dt_host_filter_cfg *cfg, bool add, struct dt_err *err)
{
    static const struct dt_host_ops open_ops = {.read = open_read, .change = open_change};
    struct dt_host_kernel k = {.nl = dt_nl_open(err),
                               .table = DT_KEEPER_TABLE,
                               .priority = DT_KEEPER_TABLE,
                               .mark = DT_DP_MARK,
                               .filter = dt_host_filter_open(cfg, NULL)};
    struct dt_host_facts have = {.v = NULL};
    struct dt_host_result result = {.set = 0};
    struct dt_host *h = k.nl != NULL ? dt_host_new(&dt_host_sort, &open_ops, &k) : NULL;
    int rc = h != NULL && add ? dt_host_kernel_read(&k, &have, err) : h != NULL ? 0 : -1;
    const struct dt_host_fact *there = have.v;
    for (size_t i = 0; i < have.n; i++)
        if (closes_without_device(&there[i])) {
            struct dt_host_fact kept = there[i];
            kept.closed = true;
            want_fact(w, kept);
        }
    if (w->no_memory || (k.filter != NULL && dt_host_filter_want(k.filter, &w->facts) < 0))
        rc = dt_err_set(err, 0, "out of memory");
    if (rc == 0 && (dt_host_want(h, &w->facts, &result) != 0 || result.why.text[0] != '\0'))
        rc = dt_err_set(err, 0, "%s", result.why.text);
    dt_host_facts_free(&have);
    dt_host_facts_free(&w->facts);
    dt_host_free(h);
    dt_host_filter_close(k.filter);
    dt_nl_close(k.nl);
    dt_host_kernel_free(&k);
    return rc;
}

int routes_open(struct dt_err *err)
{
    struct dt_host_filter_cfg cfg = {.device = ""};
    struct want w = {.d = NULL};
    return apply_alone(&w, &cfg, false, err);
}

int routes_close(struct dt_config *c, struct dt_err *err)
{
    struct dt_host_filter_cfg cfg = {
        .device = "", .mark = DT_DP_MARK, .ike_port = c->daemon.ike_port, .natt_port = c->daemon.natt_port};
    struct want w = {.d = NULL};
    for (size_t i = 0; i < c->ntunnel; i++)
        want_tunnel_always(&w, &c->tunnel[i]);
    for (size_t i = 0; i < c->ngateway; i++)
        want_gateway_always(&w, &c->gateway[i]);
    want_rules(&w);
    want_exceptions(&w);
    return apply_alone(&w, &cfg, true, err);
}

/* The keeper is elsewhere. Too long: it is cut, and refused by the keeper. */
static void absolute_path(char *out, size_t cap, const char *path)
{
    char dir[1024] = "";
    bool relative = path[0] != '/' && path[0] != '\0' && getcwd(dir, sizeof(dir)) != NULL;
    snprintf(out, cap, "%s%s%s", relative ? dir : "", relative ? "/" : "", path);
}

int routes_begin(struct daemon *d, struct dt_err *err)
{
    struct dt_keeper_setup setup = {.mtu = d->cfg.mtu,
                                    .queues = dt_dp_workers(d->dp),
                                    .ike_port = d->cfg.ike_port,
                                    .natt_port = d->cfg.natt_port};
    char no_filter[DT_ERR_TEXT], file[sizeof(d->cfg.leases) + sizeof(d->cfg.keylog)];
    snprintf(setup.device, sizeof(setup.device), "%s", dt_dp_tun_name(d->dp));
    absolute_path(setup.socket, sizeof(setup.socket), d->cfg.socket);
    wants_path(d, file, sizeof(file));
    absolute_path(setup.kept, sizeof(setup.kept), file);
    if (file[0] != '\0')
        absolute_path(setup.leases, sizeof(setup.leases), d->cfg.leases);
    daemon_keylog_path(d, file, sizeof(file));
    absolute_path(setup.keylog, sizeof(setup.keylog), file);
    if (dt_keeper_setup(d->keeper, &setup, no_filter, err) != 0)
        return -1;
    d->routes.has_filter = no_filter[0] == '\0';
    if (!d->routes.has_filter)
        LOG(DT_LOG_WARN, "the routes are the only barrier on this host: %s", no_filter);
    d->routes.begun = true;
    return dt_nl_link_up(d->nl, dt_dp_tun_index(d->dp), 0, err);
}

/* The host's trouble, when there is news of it. */
static void tell_result(const struct dt_host_result *r)
{
    char text[DT_HOST_FACT_STRLEN];
    if (r->news == DT_HOST_SAME)
        return;
    if (r->news == DT_HOST_OVER)
        LOG(DT_LOG_INFO, "this host is as it is wanted again; %u look%s found it otherwise", r->looks,
            r->looks == 1 ? "" : "s");
    else if (r->missing)
        LOG(DT_LOG_ERROR, "this host does not take %s%s: %s", dt_host_fact_str(text, r->first),
            r->missing > 1 ? " and more" : "", r->why.text[0] ? r->why.text : "it is gone again at once");
    else
        LOG(DT_LOG_ERROR, "this host's routes cannot be looked at: %s", r->why.text);
}

/* Somebody's routing rule may stand before ours: then what the tunnel protects would leave elsewhere, and the packet filter
 * drops it. The kernel is asked where the first address of a protected range goes. */
static bool leads_elsewhere(struct daemon *d, const struct dt_selector *s, char *why, size_t cap)
{
    char addr[DT_ADDR_STRLEN], name[IF_NAMESIZE] = "";
    struct dt_selector one[DT_SELECTOR_PROTOS];
    struct dt_addr to = s->range.from;
    unsigned ifindex = 0;
    dt_selector_protos(s, one);
    dt_addr_next(&to); /* a network's first address may be one that nobody has */
    if (!dt_range_has(&s->range, &to))
        to = s->range.from;
    if (lan_is_local(d, &to))
        return false;
    if (dt_nl_route_get_port(d->nl, &to, one[0].proto, one[0].port_from, &ifindex, NULL) != 0 ||
        ifindex == dt_dp_tun_index(d->dp) || ifindex == LOOPBACK)
        return false; /* unreachable is no diversion; an address of this host's own is local */
    snprintf(why, cap, "packets to %s are routed to %s: another routing rule stands before %u",
             dt_addr_str(addr, &to), if_indextoname(ifindex, name) != NULL ? name : "another device",
             DT_KEEPER_TABLE);
    return true;
}

static bool selectors_lead_elsewhere(struct daemon *d, const struct dt_selectors *list, char *why, size_t cap)
{
    for (size_t i = 0; i < list->n && i < LOOK_RANGES; i++)
        if (leads_elsewhere(d, &list->v[i], why, cap))
            return true;
    return false;
}

static void look_where_tunnel_leads(struct daemon *d, struct tun *t)
{
    t->diverted[0] = '\0';
    if (t->wanted && !t->cfg.discovered && tunnel_has_way(d, t))
        selectors_lead_elsewhere(d, &t->cfg.cfg.protect, t->diverted, sizeof(t->diverted));
}

static void look_where_gateway_leads(struct daemon *d, struct gate *g)
{
    g->diverted[0] = '\0';
    if (g->discovery || selectors_lead_elsewhere(d, &g->cfg.cfg.remote, g->diverted, sizeof(g->diverted)))
        return;
    for (size_t i = 0; i < g->cfg.npool; i++) {
        struct dt_selector pool = dt_selector_prefix(&g->cfg.pool[i]);
        if (leads_elsewhere(d, &pool, g->diverted, sizeof(g->diverted)))
            return;
    }
}

/* Of a tunnel that protects its own gateway's address: reverse path filtering drops the gateway's answers, unless they are marked
 * in time (host/filter.h) and the mark counts. */
static void look_for_rp_filter(struct daemon *d, struct tun *t)
{
    struct dt_tunnel_info info;
    char name[IF_NAMESIZE];
    unsigned ifindex = 0;
    t->rp_filter[0] = '\0';
    if (!t->wanted || t->cfg.discovered || t->id == 0 || (d->routes.has_filter && dt_host_src_valid_mark()) ||
        !dt_endpoint_tunnel_info(d->ep, t->id, &info))
        return;
    const struct dt_addr *gateway = &info.path.remote.addr;
    if (gateway->ver != 4 || !dt_selectors_has(&t->cfg.cfg.protect, gateway, 17, info.path.remote.port) ||
        dt_nl_route_get(d->nl, gateway, DT_DP_MARK, NULL, &ifindex, NULL) != 0 ||
        if_indextoname(ifindex, name) == NULL)
        return;
    int is = dt_host_rp_filter(name);
    if (is != 0 && d->routes.has_filter)
        snprintf(t->rp_filter, sizeof(t->rp_filter),
                 "rp_filter = %d on %s drops the gateway's answers: net.ipv4.conf.all.src_valid_mark = 1 "
                 "would be right, and "
                 "cannot be set from here",
                 is, name);
    else if (is != 0)
        snprintf(t->rp_filter, sizeof(t->rp_filter),
                 "rp_filter = %d on %s drops the gateway's answers: net.ipv4.conf.all.rp_filter = 0 and "
                 "net.ipv4.conf.%s.rp_filter = 0, or nftables on this host, would be right",
                 is, name, name);
}

void routes_flush(struct daemon *d)
{
    if (!d->routes.begun || !d->routes.changed || dt_keeper_gone(d->keeper) != NULL)
        return;
    struct want w = {.d = d};
    struct dt_host_result result = {.set = 0};
    d->routes.changed = false;
    renew_device(d);
    routes_say_wanted(&w);
    dt_nl_addrs_free(&w.addrs);
    if (w.no_memory) {
        LOG(DT_LOG_ERROR, "out of memory: routes stay as they are");
        dt_host_facts_free(&w.facts);
        d->routes.changed = true;
    } else {
        d->routes.said = true;
        lan_tell(d, &w.lan);
        d->routes.failed += dt_keeper_want(d->keeper, &w.facts, &result, routes_host_mended, d) != 0;
        tell_result(&result);
    }
    dt_list_for_each (l, &d->tuns) {
        look_where_tunnel_leads(d, DT_CONTAINER_OF(l, struct tun, link));
        look_for_rp_filter(d, DT_CONTAINER_OF(l, struct tun, link));
        families_look(d, DT_CONTAINER_OF(l, struct tun, link));
    }
    dt_list_for_each (l, &d->gates)
        look_where_gateway_leads(d, DT_CONTAINER_OF(l, struct gate, link));
    d->above->looked(d);
    d->routes.look_at = daemon_now() + LOOK_EVERY;
}

void routes_reconcile(struct daemon *d)
{
    d->routes.changed = true; /* the addresses of this host are part of what is wanted */
    routes_flush(d);
}

void routes_end(struct daemon *d)
{
    struct want w = {.d = d};
    struct dt_host_result result;
    /* A daemon that could not start has changed nothing yet, and leaves closed what it found closed. One that is followed by
     * another leaves what stands: the next one takes it over. */
    if (d->routes.begun && d->routes.said && !d->handover) {
        say_what_stays(&w);
        if (w.no_memory)
            LOG(DT_LOG_ERROR, "out of memory: what is closed stays so");
        else
            dt_keeper_want(d->keeper, &w.facts, &result, NULL, NULL);
        dt_host_facts_free(&w.facts);
    }
    d->routes.begun = false;
    names_end(d);
    free(d->lan.network);
    d->lan.network = NULL;
    d->lan.n = 0;
}

void routes_want_again(struct daemon *d)
{
    d->routes.changed = d->link_names.changed = true;
}

const char *routes_missing(struct daemon *d, const struct tun *t)
{
    if (!d->routes.begun)
        return NULL;
    if (t->cfg.discovered)
        return d->above->discovery_missing(d);
    return t->diverted[0] != '\0' ? t->diverted : dt_keeper_missing(d->keeper, t->id);
}

const char *routes_gateway_missing(struct daemon *d, const struct gate *g)
{
    if (!d->routes.begun)
        return NULL;
    if (g->discovery)
        return d->above->discovery_missing(d);
    return g->diverted[0] != '\0' ? g->diverted : dt_keeper_missing(d->keeper, OWNER_GATEWAYS);
}
