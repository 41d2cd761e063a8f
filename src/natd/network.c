/* The two interfaces: where they are, what addresses the outside one has, and what networks are routed by the inside one. */
#include "natd/natd.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

/* Reading the routes takes at most one part in so many of the time: when they have changed, and when nothing is known to. */
#define ROUTES_SOON 20
#define ROUTES_LATE 500

int natd_interface(const char *name, unsigned *index, struct dt_err *err)
{
    *index = if_nametoindex(name);
    if (!*index)
        return dt_err_set(err, 0, "there is no interface \"%s\"", name);
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = s < 0 ? -1 : ioctl(s, SIOCGIFHWADDR, &r);
    if (s >= 0)
        close(s);
    if (rc)
        return dt_err_set(err, 0, "interface \"%s\" does not tell its kind: %s", name, strerror(errno));
    if (r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return dt_err_set(
            err, 0, "interface \"%s\" carries no Ethernet frames (link type %u), which the kernel path needs",
            name, r.ifr_hwaddr.sa_family);
    return 0;
}

static int order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Every IPv4 address of the outside interface, in ascending order. How many there was no room for. */
static unsigned outside_addresses(struct natd *d, struct dt_masq_params *p)
{
    unsigned left_out = 0;
    p->n_outside = 0;
    if (!d->router.ifindex[NATD_OUTSIDE] ||
        dt_nl_addrs_of(d->router.nl, d->router.ifindex[NATD_OUTSIDE], &d->addrs, NULL))
        return 0;
    for (size_t i = 0; i < d->addrs.n; i++) {
        const struct dt_addr *a = &d->addrs.v[i].addr;
        if (a->ver != 4 || d->addrs.v[i].ifindex != d->router.ifindex[NATD_OUTSIDE])
            continue;
        if (p->n_outside < DT_MASQ_OUTSIDE_MAX)
            p->outside[p->n_outside++] = dt_addr4_host(a);
        else
            left_out++;
    }
    qsort(p->outside, p->n_outside, sizeof(p->outside[0]), order);
    return left_out;
}

static bool in_nets(const struct dt_masq_params *p, const struct dt_masq_net *x)
{
    for (uint32_t i = 0; i < p->n_nets; i++)
        if ((x->addr & p->nets[i].mask) == p->nets[i].addr && (x->mask & p->nets[i].mask) == p->nets[i].mask)
            return true;
    return false;
}

/* Whatever is routed by the inside interface is a client. How many prefixes there was no room for. A router that speaks BGP
 * may have a million other routes, over which the kernel walks each time: so they are read again only when they may have changed
 * (or, news being lost, now and then), and never for more than a small part of the time. */
static unsigned inside_nets(struct natd *d, struct dt_masq_params *p)
{
    const struct dt_masq_params *now = dt_kernel_params(d->k);
    dt_time begin = dt_kernel_now();
    unsigned inside = d->router.ifindex[NATD_INSIDE], left_out = 0;
    if (d->routes_of == inside && begin < (d->routes_changed ? d->routes_soon : d->routes_late)) {
        memcpy(p->nets, now->nets, sizeof(p->nets));
        p->n_nets = now->n_nets;
        return d->left_out_nets;
    }
    p->n_nets = 0;
    if (inside && dt_nl_routes_by(d->router.nl, inside, &d->routes, NULL))
        return 0;
    for (size_t i = 0; inside && i < d->routes.n; i++) {
        const struct dt_nl_route *r = &d->routes.v[i];
        uint32_t mask = r->dst.len ? UINT32_MAX << (32 - r->dst.len) : 0;
        struct dt_masq_net x = {dt_addr4_host(&r->dst.addr), mask};
        if (!mask || in_nets(p, &x))
            continue;
        if (p->n_nets < DT_MASQ_NETS_MAX)
            p->nets[p->n_nets++] = x;
        else
            left_out++;
    }
    dt_time took = dt_time_sub(dt_kernel_now(), begin);
    d->routes_of = inside;
    d->routes_changed = false;
    d->routes_soon = begin + took * ROUTES_SOON;
    d->routes_late = begin + took * ROUTES_LATE;
    return left_out;
}

/* Said once for each number: clients that nobody serves look like strangers. */
static void network_tell_left_out(struct natd *d, unsigned nets, unsigned addresses)
{
    if (nets == d->left_out_nets && addresses == d->left_out_addresses)
        return;
    d->left_out_nets = nets;
    d->left_out_addresses = addresses;
    if (nets)
        dt_log(DT_LOG_ERROR, "natd",
               "interface \"%s\" routes %u prefixes more than the %d that are taken: their clients are not "
               "served; "
               "clients = { ... } with fewer and wider prefixes would be right",
               d->cfg.inside, nets, DT_MASQ_NETS_MAX);
    if (addresses)
        dt_log(DT_LOG_ERROR, "natd",
               "interface \"%s\" has %u addresses more than the %d that are taken: what comes to them is not "
               "the NAT's; "
               "addresses = { ... } names those that are",
               d->cfg.outside, addresses, DT_MASQ_OUTSIDE_MAX);
}

static void network_take_addresses(struct natd *d)
{
    struct dt_masq_params p = d->cfg.masq.params;
    const struct dt_masq_params *now = dt_kernel_params(d->k);
    unsigned addresses = d->cfg.addresses_given ? 0 : outside_addresses(d, &p);
    network_tell_left_out(d, d->cfg.clients_given ? 0 : inside_nets(d, &p), addresses);
    d->router.has_address = p.n_outside != 0;
    d->router.has_clients = p.n_nets != 0;
    p.gen = now->gen;
    if (memcmp(&p, now, sizeof(p))) {
        p.gen = now->gen + 1;
        dt_kernel_configure(d->k, &p);
        char list[DT_MASQ_OUTSIDE_MAX * (DT_ADDR_STRLEN + 2)] = "";
        for (uint32_t i = 0; i < p.n_outside; i++) {
            struct dt_addr a = dt_addr4(p.outside[i]);
            char text[DT_ADDR_STRLEN];
            strcat(strcat(list, i ? ", " : ""), dt_addr_str(text, &a));
        }
        dt_log(DT_LOG_INFO, "natd", "clients by %s (%u prefixes) leave by %s as %s", d->cfg.inside, p.n_nets,
               d->cfg.outside, *list ? list : "nobody: it has no IPv4 address");
    }
}

int natd_interfaces(struct natd *d, unsigned *inside, unsigned *outside, struct dt_err *err)
{
    if (natd_interface(d->cfg.inside, inside, err) || natd_interface(d->cfg.outside, outside, err))
        return -1;
    return *inside == *outside
               ? dt_err_set(err, 0, "inside and outside are the same interface, \"%s\"", d->cfg.inside)
               : 0;
}

void natd_network(struct natd *d)
{
    natd_router_look(&d->router);
    network_take_addresses(d);
    natd_router_reconcile(&d->router);
}
