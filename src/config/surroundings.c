/* What this host lacks for what a gateway promises, and what of its own networks a tunnel takes: nothing of it forbids a start, and
 * each was once found out by an hour of pings that are not answered. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/reader.h"

#define REMARK   320
#define ANY_PORT 9 /* discard (RFC 863); nothing is sent */

struct remarks {
    const struct dt_config_gateway *g;
    const struct ifaddrs *all;
    void (*each)(void *ctx, const char *text);
    void *ctx;
};

static struct dt_addr sockaddr_addr(const struct sockaddr *sa)
{
    const void *p = sa;
    if (sa != NULL && sa->sa_family == AF_INET)
        return dt_addr4_bytes(&((const struct sockaddr_in *)p)->sin_addr);
    if (sa != NULL && sa->sa_family == AF_INET6)
        return dt_addr6_bytes(&((const struct sockaddr_in6 *)p)->sin6_addr);
    return (struct dt_addr){.ver = 0};
}

/* ---- a gateway ------------------------------------------------------------------------------------ */

static void look_for_listen(const struct remarks *r)
{
    char text[REMARK], addr[DT_ADDR_STRLEN];
    for (size_t i = 0; i < r->g->cfg.nlisten; i++) {
        bool here = dt_addr_is_any(&r->g->cfg.listen[i]);
        for (const struct ifaddrs *a = r->all; a != NULL && !here; a = a->ifa_next) {
            struct dt_addr mine = sockaddr_addr(a->ifa_addr);
            here = dt_addr_eq(&mine, &r->g->cfg.listen[i]);
        }
        snprintf(text, sizeof(text),
                 "it listens at %s, and this host has no such address: one of the host's, or none for all of "
                 "them, would be right",
                 dt_addr_str(addr, &r->g->cfg.listen[i]));
        if (!here)
            r->each(r->ctx, text);
    }
}

static void look_for_forwarding(const struct remarks *r, uint8_t ver)
{
    const char *path = ver == 4 ? "/proc/sys/net/ipv4/ip_forward" : "/proc/sys/net/ipv6/conf/all/forwarding";
    char text[REMARK];
    bool wanted = false;
    for (size_t i = 0; i < r->g->cfg.protect.n; i++)
        wanted = wanted || r->g->cfg.protect.v[i].range.from.ver == ver;
    FILE *f = wanted ? fopen(path, "re") : NULL;
    int c = f != NULL ? fgetc(f) : EOF;
    if (f != NULL)
        fclose(f);
    snprintf(text, sizeof(text),
             "this host does not forward IPv%u (%s is 0): clients reach it, but nothing behind it; sysctl "
             "%s=1 would be right",
             ver, path, ver == 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding");
    if (c == '0')
        r->each(r->ctx, text);
}

/* The address that this host would speak from; false: no route. */
static bool source_towards(const struct dt_addr *to, struct dt_addr *src)
{
    struct sockaddr_in s4 = {.sin_family = AF_INET, .sin_port = htons(ANY_PORT)};
    struct sockaddr_in6 s6 = {.sin6_family = AF_INET6, .sin6_port = htons(ANY_PORT)};
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);
    int fd = socket(to->ver == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* nothing is known */
    memcpy(&s4.sin_addr, to->b, sizeof(s4.sin_addr));
    memcpy(&s6.sin6_addr, to->b, sizeof(s6.sin6_addr));
    bool led =
        connect(fd, to->ver == 4 ? (void *)&s4 : (void *)&s6, to->ver == 4 ? sizeof(s4) : sizeof(s6)) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &len) == 0;
    *src = led ? sockaddr_addr((struct sockaddr *)&own) : (struct dt_addr){.ver = 0};
    close(fd);
    return led;
}

/* The device that has this address, if it is no network's that the range lies in; NULL. */
static const char *device_beside(const struct remarks *r, const struct dt_addr *own, const struct dt_addr *to)
{
    const char *name = NULL;
    for (const struct ifaddrs *a = r->all; a != NULL; a = a->ifa_next) {
        struct dt_addr mine = sockaddr_addr(a->ifa_addr), mask = sockaddr_addr(a->ifa_netmask);
        bool same = mine.ver == to->ver && mask.ver == to->ver;
        for (size_t i = 0; same && i < dt_addr_size(to); i++)
            same = (mine.b[i] & mask.b[i]) == (to->b[i] & mask.b[i]);
        if (same)
            return NULL; /* connected */
        if (dt_addr_eq(&mine, own))
            name = a->ifa_name;
    }
    return name;
}

/* Private addresses that go where everything goes: to a provider who does not know them. */
static void look_behind(const struct remarks *r, const struct dt_selector *s)
{
    char text[REMARK], name[DT_SELECTOR_STRLEN];
    struct dt_addr to = s->range.from, src, out, far;
    struct dt_prefix first;
    if (dt_addr_is_any(&to))
        return; /* everything is behind it */
    dt_addr_next(&to);
    if (!dt_range_has(&s->range, &to))
        to = s->range.from;
    dt_selector_str(name, s);
    dt_addr_parse(&far, to.ver == 4 ? "192.0.2.1" : "2001:db8::1"); /* nobody's: RFC 5737, RFC 3849 */
    if (!source_towards(&to, &src)) {
        snprintf(text, sizeof(text),
                 "this host has no route to %s, which clients are to reach through it: a route to it, or "
                 "another `protect`, "
                 "would be right",
                 name);
        r->each(r->ctx, text);
        return;
    }
    first = (struct dt_prefix){.addr = to, .len = (uint8_t)(dt_addr_size(&to) * 8)};
    const char *device = device_beside(r, &src, &to);
    if (device == NULL || !dt_prefix_private(&first) || !source_towards(&far, &out) ||
        !dt_addr_eq(&out, &src))
        return;
    snprintf(text, sizeof(text),
             "%s, which clients are to reach through it, is routed to %s as everything else is: a route to "
             "it, or another "
             "`protect`, would be right",
             name, device);
    r->each(r->ctx, text);
}

void dt_config_gateway_remarks(const struct dt_config_gateway *g, void (*each)(void *ctx, const char *text),
                               void *ctx)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    struct remarks r = {.g = g, .all = all, .each = each, .ctx = ctx};
    look_for_listen(&r);
    look_for_forwarding(&r, 4);
    look_for_forwarding(&r, 6);
    for (size_t i = 0; i < g->cfg.protect.n; i++)
        look_behind(&r, &g->cfg.protect.v[i]);
    freeifaddrs(all);
}

/* ---- a tunnel ------------------------------------------------------------------------------------- */

static bool surroundings_excepted(const struct dt_config_tunnel *t, const struct dt_prefix *p)
{
    for (size_t i = 0; i < t->nexcept; i++)
        if (dt_prefix_covers(&t->except[i], p))
            return true;
    return false;
}

static void remark_own_network(struct reader *r, const struct dt_config_tunnel *t,
                               const struct dt_prefix *net, const char *device)
{
    char name[DT_PREFIX_STRLEN];
    struct dt_range own = dt_prefix_range(net);
    bool within = false, same = false;
    for (size_t i = 0; i < t->cfg.protect.n; i++) {
        const struct dt_range *range = &t->cfg.protect.v[i].range;
        if (!dt_range_has(range, &own.from) || !dt_range_has(range, &own.to))
            continue;
        within = true;
        same = same || (dt_addr_eq(&range->from, &own.from) && dt_addr_eq(&range->to, &own.to));
    }
    if (!within || surroundings_excepted(t, net) || t->lan_tunnel || t->closed == DT_CLOSED_ALWAYS)
        return;
    dt_prefix_str(name, net);
    if (same)
        reader_warn(r, t->line,
                    "tunnel \"%s\" protects %s, which is this host's own network (%s): its hosts are looked "
                    "for behind the "
                    "gateway; `lan = tunnel` says that this is meant",
                    t->cfg.name, name, device);
    else if (!dt_prefix_private(net))
        reader_warn(r, t->line,
                    "tunnel \"%s\" protects this host's own network %s (%s) too: it is public, and goes into "
                    "the tunnel; "
                    "`except` would keep it local, `lan = tunnel` says that this is meant",
                    t->cfg.name, name, device);
}

void config_remark_own_network(struct reader *r, const struct dt_prefix *net, const char *device)
{
    if (net->len == 0 || net->len == dt_addr_size(&net->addr) * 8)
        return;
    for (size_t i = 0; i < r->c->ntunnel; i++)
        remark_own_network(r, &r->c->tunnel[i], net, device);
}

/* ---- all of it ------------------------------------------------------------------------------------ */

struct gateway_remark {
    struct reader *r;
    const struct dt_config_gateway *g;
};

static void warn_of_gateway(void *ctx, const char *text)
{
    const struct gateway_remark *x = ctx;
    reader_warn(x->r, x->g->line, "gateway \"%s\": %s", x->g->cfg.name, text);
}

void config_remark_gateways(struct reader *r)
{
    for (size_t i = 0; i < r->c->ngateway; i++) {
        struct gateway_remark x = {.r = r, .g = &r->c->gateway[i]};
        dt_config_gateway_remarks(x.g, warn_of_gateway, &x);
    }
}
