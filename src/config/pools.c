/* Pools of inside addresses: each address is one client's, so no two pools meet, and none meets what this host has. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

static bool pools_meet(const struct dt_prefix *a, const struct dt_prefix *b)
{
    return dt_prefix_covers(a, b) || dt_prefix_covers(b, a);
}

static void check_two(struct reader *r, const struct dt_config_gateway *a, const struct dt_config_gateway *b)
{
    char x[DT_PREFIX_STRLEN], y[DT_PREFIX_STRLEN];
    for (size_t i = 0; i < a->npool; i++)
        for (size_t k = 0; k < b->npool; k++)
            if (pools_meet(&a->pool[i], &b->pool[k]))
                reader_error(r, a->pool_line,
                             "pool: %s overlaps %s of gateway \"%s\" in line %u: two clients would have one "
                             "address",
                             dt_prefix_str(x, &a->pool[i]), dt_prefix_str(y, &b->pool[k]), b->cfg.name,
                             b->pool_line);
}

/* A client with the gateway's own address could not reach the gateway. */
static void check_listen(struct reader *r, const struct dt_config_gateway *g,
                         const struct dt_config_gateway *at)
{
    char pool[DT_PREFIX_STRLEN], addr[DT_ADDR_STRLEN];
    for (size_t i = 0; i < g->npool; i++)
        for (size_t k = 0; k < at->cfg.nlisten; k++)
            if (!dt_addr_is_any(&at->cfg.listen[k]) && dt_prefix_has(&g->pool[i], &at->cfg.listen[k]))
                reader_error(r, g->pool_line, "pool: %s holds %s, at which gateway \"%s\" listens",
                             dt_prefix_str(pool, &g->pool[i]), dt_addr_str(addr, &at->cfg.listen[k]),
                             at->cfg.name);
}

void config_check_pools(struct reader *r)
{
    struct dt_config *c = r->c;
    for (size_t i = 0; i < c->ngateway; i++) {
        for (size_t k = 0; k < i; k++)
            check_two(r, &c->gateway[i], &c->gateway[k]);
        for (size_t k = 0; k < c->ngateway; k++)
            check_listen(r, &c->gateway[i], &c->gateway[k]);
    }
}

/* ---- this host ---- */

static void check_network(struct reader *r, const struct dt_config_gateway *g,
                          const struct dt_config_network *here)
{
    char pool[DT_PREFIX_STRLEN], net[DT_PREFIX_STRLEN], own[DT_ADDR_STRLEN];
    struct dt_prefix network;
    if (dt_prefix_parse(&network, dt_prefix_str(net, &here->prefix), true) != 0)
        return;
    for (size_t i = 0; i < g->npool && !here->proxy_arp; i++) {
        if (!pools_meet(&g->pool[i], &network))
            continue;
        bool inside = dt_prefix_covers(&network, &g->pool[i]);
        reader_error(
            r, g->pool_line,
            "pool: %s %s this host's own network %s (%s, %s)%s; a network that nobody else uses would "
            "be right",
            dt_prefix_str(pool, &g->pool[i]), inside ? "lies in" : "holds", dt_prefix_str(net, &network),
            here->ifname, dt_addr_str(own, &here->prefix.addr),
            inside ? ", whose hosts would look for the clients on their own wire" : "");
    }
}

size_t dt_config_check_networks(struct dt_config *c, const struct dt_config_network *list, size_t n)
{
    struct reader r = {.c = c};
    size_t before = c->errors;
    for (size_t i = 0; i < c->ngateway; i++)
        for (size_t k = 0; k < n; k++)
            check_network(&r, &c->gateway[i], &list[k]);
    return c->errors - before;
}

static uint8_t mask_length(const void *mask, size_t n)
{
    const uint8_t *bits = mask;
    uint8_t len = 0;
    while (len < n * 8 && bits[len / 8] & 0x80 >> len % 8)
        len++;
    return len;
}

static bool answers_for_others(const char *ifname, uint8_t ver)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv%u/conf/%.15s/%s", ver, ifname,
             ver == 4 ? "proxy_arp" : "proxy_ndp");
    FILE *f = fopen(path, "re");
    int c = f != NULL ? fgetc(f) : EOF;
    if (f != NULL)
        fclose(f);
    return c == '1';
}

/* False: it says nothing of a network (no address, a link-local or loopback one, or the daemon's own device). */
static bool network_of(struct dt_config_network *out, const struct ifaddrs *a, const char *device)
{
    *out = (struct dt_config_network){.proxy_arp = false};
    if (a->ifa_addr == NULL || a->ifa_netmask == NULL || (a->ifa_flags & IFF_LOOPBACK) ||
        strncmp(a->ifa_name, device, strcspn(device, "%")) == 0)
        return false;
    const void *addr = a->ifa_addr, *mask = a->ifa_netmask;
    if (a->ifa_addr->sa_family == AF_INET) {
        out->prefix.addr = dt_addr4_bytes(&((const struct sockaddr_in *)addr)->sin_addr);
        out->prefix.len = mask_length(&((const struct sockaddr_in *)mask)->sin_addr, 4);
    } else if (a->ifa_addr->sa_family == AF_INET6) {
        out->prefix.addr = dt_addr6_bytes(&((const struct sockaddr_in6 *)addr)->sin6_addr);
        out->prefix.len = mask_length(&((const struct sockaddr_in6 *)mask)->sin6_addr, 16);
    }
    snprintf(out->ifname, sizeof(out->ifname), "%.15s", a->ifa_name);
    out->proxy_arp = answers_for_others(out->ifname, out->prefix.addr.ver);
    return dt_addr_is_host(&out->prefix.addr);
}

size_t dt_config_check_host(struct dt_config *c)
{
    struct ifaddrs *all = NULL;
    size_t errors = 0;
    struct reader r = {.c = c};
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        struct dt_config_network here;
        char text[DT_PREFIX_STRLEN];
        struct dt_prefix net;
        if (!network_of(&here, a, c->daemon.device))
            continue;
        errors += dt_config_check_networks(c, &here, 1);
        if (dt_prefix_parse(&net, dt_prefix_str(text, &here.prefix), true) == 0)
            config_remark_own_network(&r, &net, here.ifname);
    }
    freeifaddrs(all);
    config_remark_gateways(&r);
    return errors;
}
