/* Names of gateways. All names of a tunnel are asked at once (net/names.h), and what is heard is told to the endpoint: at
 * once where the names before it have been heard of too, or else after a short wait, since gateways are tried in order. A
 * name that cannot be resolved is tried again, with growing pauses; addresses that are known are kept. */

#include "tunnels/resolve.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "net/names.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define PAUSE_MIN (2 * DT_SEC)
#define PAUSE_MAX (60 * DT_SEC)
#define IN_ORDER  DT_SEC /* so long an address waits for those of the names before it */

struct resolve {
    struct dt_table_node by_id;
    uint64_t id; /* its tickets are id * DT_TUNNEL_GATEWAYS + the name's place */
    struct daemon *d;
    struct tun *t;
    dt_time since;
    bool waiting[DT_TUNNEL_GATEWAYS]; /* for the answer about this name */
    bool changed;                     /* something new was heard that the endpoint does not know yet */
};

static bool is_name(const struct tun *t, size_t i)
{
    struct dt_addr a;
    return dt_addr_parse(&a, t->cfg.host[i]) != 0;
}

static bool has_link_address(const struct tun *t)
{
    struct dt_addr a;
    char ifname[DT_CONFIG_IFNAME_MAX];
    for (size_t i = 0; i < t->cfg.nhost; i++)
        if (dt_config_link_address(t->cfg.host[i], &a, ifname))
            return true;
    return false;
}

/* In whatever order: name servers shuffle, and gateways are tried in one order. */
static bool same_addresses(const struct host_addrs *known, const struct dt_names_answer *a)
{
    bool same = known->n == a->naddr;
    for (size_t i = 0; same && i < a->naddr; i++) {
        bool found = false;
        for (size_t k = 0; k < known->n; k++)
            found = found || dt_addr_eq(&known->a[k], &a->addr[i]);
        same = found;
    }
    return same;
}

/* Takes the answer for one name; true when it says something new. */
static bool resolve_take(struct tun *t, size_t host, const struct dt_names_answer *a)
{
    if (same_addresses(&t->found[host], a))
        return false;
    t->found[host].n = a->naddr;
    memcpy(t->found[host].a, a->addr, a->naddr * sizeof(a->addr[0]));
    return true;
}

/* What a name has beside the addresses that are tried is not lost without a word. */
static void resolve_tell_left_out(const struct tun *t, size_t host, const struct dt_names_answer *a)
{
    size_t known = 0;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        known += t->found[i].n;
    if (a->more > 0)
        LOG(DT_LOG_WARN, "%s: %s has %u addresses; the first %u are tried", t->cfg.cfg.name,
            t->cfg.host[host], a->naddr + a->more, a->naddr);
    if (known > DT_TUNNEL_GATEWAYS)
        LOG(DT_LOG_WARN, "%s: its gateways have %zu addresses in all; the first %d are tried",
            t->cfg.cfg.name, known, DT_TUNNEL_GATEWAYS);
}

static void resolve_free(struct resolve *r)
{
    dt_table_remove(&r->d->resolves.under_way, &r->by_id);
    r->t->resolve = NULL;
    free(r);
}

static void resolve_finish(struct resolve *r)
{
    struct tun *t = r->t;
    bool missing = false;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        missing = missing || t->found[i].n == 0;
    if (missing) {
        t->resolve_pause = t->resolve_pause ? dt_time_min(t->resolve_pause * 2, PAUSE_MAX) : PAUSE_MIN;
        t->resolve_at = dt_time_add(daemon_now(), t->resolve_pause);
    } else {
        t->resolve_pause = 0;
        t->resolve_at = DT_NEVER;
    }
    size_t known = 0;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        known += t->found[i].n;
    if (known == 0)
        tun_withdraw(r->d, t); /* what it had were the addresses of other names */
    else if (r->changed)
        tun_addresses(r->d, t);
    resolve_free(r);
}

/* Tells the endpoint, unless the name of a gateway that is tried earlier may still be heard of in a moment. */
static void tell_addresses(struct resolve *r, dt_time now)
{
    size_t first = 0; /* that has an address, or is waited for */
    while (first < r->t->cfg.nhost && r->t->found[first].n == 0 && !r->waiting[first])
        first++;
    if (first == r->t->cfg.nhost || (r->waiting[first] && now < dt_time_add(r->since, IN_ORDER)))
        return;
    r->changed = false;
    tun_addresses(r->d, r->t);
}

static bool any_waiting(const struct resolve *r)
{
    for (size_t i = 0; i < DT_TUNNEL_GATEWAYS; i++)
        if (r->waiting[i])
            return true;
    return false;
}

static void resolve_answered(struct resolve *r, size_t host, const struct dt_names_answer *a)
{
    struct tun *t = r->t;
    r->waiting[host] = false;
    if (a->naddr == 0) {
        dt_utf8_printf(t->resolve_why, sizeof(t->resolve_why), "the name %.40s cannot be resolved: %.80s",
                       t->cfg.host[host], a->why);
        LOG(DT_LOG_WARN, "%s: %s", t->cfg.cfg.name, t->resolve_why);
    } else {
        t->resolve_why[0] = '\0';
        if (resolve_take(t, host, a)) {
            r->changed = true;
            resolve_tell_left_out(t, host, a);
        }
    }
    if (!any_waiting(r))
        resolve_finish(r);
    else if (r->changed)
        tell_addresses(r, daemon_now());
}

static struct resolve *resolve_by_id(struct daemon *d, uint64_t id)
{
    struct dt_table_node *n = dt_table_first(&d->resolves.under_way, id);
    while (n != NULL && DT_CONTAINER_OF(n, struct resolve, by_id)->id != id)
        n = dt_table_next(n);
    return n != NULL ? DT_CONTAINER_OF(n, struct resolve, by_id) : NULL;
}

void resolve_answers(struct daemon *d)
{
    struct dt_names_answer a;
    while (dt_names_next(d->names, &a)) {
        struct resolve *r = resolve_by_id(d, a.ticket / DT_TUNNEL_GATEWAYS);
        if (r != NULL)
            resolve_answered(r, a.ticket % DT_TUNNEL_GATEWAYS, &a);
    }
    daemon_wake(d);
}

/* An address of one link is known as soon as its interface is there, and as long: a new one of that name has another
 * number. */
static void resolve_link(struct resolve *r, size_t host, const struct dt_addr *addr, const char *ifname)
{
    struct tun *t = r->t;
    struct dt_names_answer a = {.naddr = 0};
    unsigned ifindex = if_nametoindex(ifname);
    if (ifindex != 0) {
        t->resolve_why[0] = '\0';
        a.addr[a.naddr] = *addr;
        dt_addr_set_scope(&a.addr[a.naddr++], ifindex);
    } else {
        char why[sizeof(t->resolve_why)];
        dt_utf8_printf(why, sizeof(why), "%.60s: this host has no interface %s now", t->cfg.host[host],
                       ifname);
        if (strcmp(why, t->resolve_why) != 0)
            LOG(DT_LOG_WARN, "%s: %s", t->cfg.cfg.name, why);
        memcpy(t->resolve_why, why, sizeof(why));
    }
    r->changed |= resolve_take(t, host, &a);
}

static void resolve_ask(struct resolve *r, size_t host)
{
    struct dt_err err = {0};
    struct tun *t = r->t;
    struct dt_addr link;
    char ifname[DT_CONFIG_IFNAME_MAX];
    if (dt_config_link_address(t->cfg.host[host], &link, ifname))
        resolve_link(r, host, &link, ifname);
    else if (dt_names_ask(r->d->names, t->cfg.host[host], t->resolve_pause != 0,
                          r->id * DT_TUNNEL_GATEWAYS + host, &err) == 0)
        r->waiting[host] = true;
    else
        dt_utf8_printf(t->resolve_why, sizeof(t->resolve_why), "the name %.40s cannot be resolved: %.60s",
                       t->cfg.host[host], err.text);
}

void resolve_start(struct daemon *d, struct tun *t)
{
    bool names = false;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        names = names || is_name(t, i);
    if (!names || t->resolve != NULL || d->stopping)
        return;
    struct resolve *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return;
    *r = (struct resolve){.id = ++d->resolves.next_id, .d = d, .t = t, .since = daemon_now()};
    if (dt_table_insert(&d->resolves.under_way, &r->by_id, r->id) != 0) {
        free(r);
        return;
    }
    t->resolve = r;
    t->resolve_at = DT_NEVER;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        if (is_name(t, i))
            resolve_ask(r, i);
    if (!any_waiting(r))
        resolve_finish(r);
}

void resolve_network_changed(struct daemon *d)
{
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (t->resolve_at != DT_NEVER || has_link_address(t))
            t->resolve_at = daemon_now();
    }
}

void resolve_cancel(struct tun *t)
{
    struct resolve *r = t->resolve;
    if (r == NULL)
        return;
    for (size_t i = 0; i < DT_TUNNEL_GATEWAYS; i++)
        if (r->waiting[i])
            dt_names_forget(r->d->names, r->id * DT_TUNNEL_GATEWAYS + i);
    resolve_free(r);
}

void resolve_tick(struct daemon *d, dt_time now)
{
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (t->resolve_at <= now && t->resolve == NULL) {
            t->resolve_at = DT_NEVER;
            resolve_start(d, t);
        } else if (t->resolve != NULL && t->resolve->changed) {
            tell_addresses(t->resolve, now);
        }
    }
}
