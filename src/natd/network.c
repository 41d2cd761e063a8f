/* The two interfaces: where they are, what addresses they have, whether the program is on them. */
#include "natd/natd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

/* 0, or -1 with a sentence that names what is missing. */
static int usable(const char *name, unsigned *index, struct dt_err *err)
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
    struct ifaddrs *all = NULL;
    unsigned left_out = 0;
    p->n_outside = 0;
    if (getifaddrs(&all))
        return 0;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || strcmp(i->ifa_name, d->cfg.outside))
            continue;
        if (p->n_outside < DT_MASQ_OUTSIDE_MAX)
            p->outside[p->n_outside++] = ntohl(((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr);
        else
            left_out++;
    }
    freeifaddrs(all);
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

/* Whatever is routed by the inside interface is a client. How many prefixes there was no room for. */
static unsigned inside_nets(struct natd *d, struct dt_masq_params *p)
{
    unsigned left_out = 0;
    char line[256], name[32];
    unsigned long dst, gw, flags, refs, use, metric, mask;
    FILE *f = fopen("/proc/net/route", "re");
    p->n_nets = 0;
    while (f && fgets(line, sizeof(line), f)) {
        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own table */
        if (sscanf(line, "%31s %lx %lx %lx %lu %lu %lu %lx", name, &dst, &gw, &flags, &refs, &use, &metric,
                   &mask) != 8)
            continue;
        struct dt_masq_net x = {ntohl((uint32_t)dst), ntohl((uint32_t)mask)};
        if (strcmp(name, d->cfg.inside) || !mask || in_nets(p, &x))
            continue;
        if (p->n_nets < DT_MASQ_NETS_MAX)
            p->nets[p->n_nets++] = x;
        else
            left_out++;
    }
    if (f)
        fclose(f);
    return left_out;
}

/* Said once for each number: clients that nobody serves look like strangers. */
static void tell_left_out(struct natd *d, unsigned nets, unsigned addresses)
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

/* True once, when the text differs from the last trouble. */
static bool new_trouble(struct natd *d, const char *text)
{
    if (!strcmp(d->trouble, text))
        return false;
    snprintf(d->trouble, sizeof(d->trouble), "%s", text);
    return true;
}

static void forwarding(const char *name)
{
    char path[96], on = '1';
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", name);
    FILE *f = fopen(path, "re");
    if (f && fread(&on, 1, 1, f) == 1 && on == '0')
        dt_log(DT_LOG_WARN, "natd", "interface \"%s\" does not forward (sysctl net.ipv4.ip_forward = 1)",
               name);
    if (f)
        fclose(f);
}

static void take_addresses(struct natd *d)
{
    struct dt_masq_params p = d->cfg.masq.params;
    const struct dt_masq_params *now = dt_kernel_params(d->k);
    unsigned addresses = d->cfg.addresses_given ? 0 : outside_addresses(d, &p);
    tell_left_out(d, d->cfg.clients_given ? 0 : inside_nets(d, &p), addresses);
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
    if (usable(d->cfg.inside, inside, err) || usable(d->cfg.outside, outside, err))
        return -1;
    return *inside == *outside
               ? dt_err_set(err, 0, "inside and outside are the same interface, \"%s\"", d->cfg.inside)
               : 0;
}

int natd_network(struct natd *d, struct dt_err *err)
{
    unsigned inside, outside;
    struct dt_err local = {0};
    if (natd_interfaces(d, &inside, &outside, &local))
        goto trouble;
    take_addresses(d);
    if (inside == d->inside && outside == d->outside)
        return 0;
    if (!d->slow || outside != d->outside) {
        struct nat_setup *s = dt_kernel_setup(d->k);
        struct dt_err why;
        d->slow = natd_slow_open(outside, s->slow_mac, &why);
        s->slow_ifindex = d->slow;
        if (!d->slow)
            dt_log(DT_LOG_WARN, "natd", "packets over the MTU that may be fragmented will be dropped: %s",
                   why.text);
    }
    if (dt_kernel_attach(d->k, inside, outside, &local))
        goto trouble;
    d->inside = inside;
    d->outside = outside;
    d->trouble[0] = '\0';
    forwarding(d->cfg.inside);
    forwarding(d->cfg.outside);
    dt_log(DT_LOG_INFO, "natd", "the kernel path is on %s and %s", d->cfg.inside, d->cfg.outside);
    return 0;
trouble:
    d->inside = d->outside = 0;
    if (err)
        *err = local;
    if (new_trouble(d, local.text) && !err)
        dt_log(DT_LOG_WARN, "natd", "%s", local.text);
    return -1;
}
