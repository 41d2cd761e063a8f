/* Names of gateways. libuv asks on a thread of its pool; what is heard is told to the endpoint. A name that cannot be
 * resolved is tried again, with growing pauses; addresses that are known are kept. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state.h"

#define PAUSE_MIN (2 * DT_SEC)
#define PAUSE_MAX (60 * DT_SEC)

struct resolve {
    uv_getaddrinfo_t req;
    struct daemon *d;
    struct tun *t; /* NULL: nobody waits any more */
    size_t host;
    bool changed;
};

static void next(struct resolve *r, size_t from);

static bool is_name(const struct tun *t, size_t i)
{
    struct dt_addr a;
    return dt_addr_parse(&a, t->cfg.host[i]) != 0;
}

/* Takes the answer for one name; true when it says something new. */
static bool take(struct tun *t, size_t host, const struct addrinfo *res)
{
    struct dt_addr a[4];
    uint8_t n = 0;
    for (; res != NULL && n < DT_ARRAY_LEN(a); res = res->ai_next) {
        struct dt_addr x = {0};
        if (res->ai_family == AF_INET)
            x = dt_addr4_bytes(&((const struct sockaddr_in *)(const void *)res->ai_addr)->sin_addr);
        else if (res->ai_family == AF_INET6)
            x = dt_addr6_bytes(&((const struct sockaddr_in6 *)(const void *)res->ai_addr)->sin6_addr);
        bool known = x.ver == 0;
        for (uint8_t i = 0; i < n; i++)
            known = known || dt_addr_eq(&a[i], &x);
        if (!known)
            a[n++] = x;
    }
    if (n == 0)
        return false;
    bool changed = n != t->found[host].n || memcmp(a, t->found[host].a, n * sizeof(a[0])) != 0;
    t->found[host].n = n;
    memcpy(t->found[host].a, a, n * sizeof(a[0]));
    return changed;
}

static void finish(struct resolve *r)
{
    struct tun *t = r->t;
    bool missing = false;
    t->resolve = NULL;
    for (size_t i = 0; i < t->cfg.nhost; i++)
        missing = missing || t->found[i].n == 0;
    if (missing) {
        t->resolve_pause = t->resolve_pause ? dt_time_min(t->resolve_pause * 2, PAUSE_MAX) : PAUSE_MIN;
        t->resolve_at = dt_time_add(daemon_now(), t->resolve_pause);
    } else {
        t->resolve_pause = 0;
        t->resolve_at = DT_NEVER;
    }
    if (r->changed)
        tun_addresses(r->d, t);
    loop_wake(r->d);
    free(r);
}

static void answered(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct resolve *r = DT_CONTAINER_OF(req, struct resolve, req);
    struct tun *t = r->t;
    if (t == NULL) {
        uv_freeaddrinfo(res);
        free(r);
        return;
    }
    if (status != 0 || res == NULL) {
        snprintf(t->resolve_why, sizeof(t->resolve_why), "the name %.100s cannot be resolved: %s",
                 t->cfg.host[r->host], status != 0 ? uv_strerror(status) : "it has no address");
        LOG(DT_LOG_WARN, "%s: %s", t->cfg.cfg.name, t->resolve_why);
    } else {
        t->resolve_why[0] = '\0';
        r->changed = take(t, r->host, res) || r->changed;
    }
    uv_freeaddrinfo(res);
    next(r, r->host + 1);
}

static void next(struct resolve *r, size_t from)
{
    struct tun *t = r->t;
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG};
    for (r->host = from; r->host < t->cfg.nhost; r->host++)
        if (is_name(t, r->host) &&
            uv_getaddrinfo(&r->d->loop, &r->req, answered, t->cfg.host[r->host], NULL, &hints) == 0)
            return;
    finish(r);
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
    r->d = d;
    r->t = t;
    t->resolve = r;
    t->resolve_at = DT_NEVER;
    next(r, 0);
}

void resolve_cancel(struct tun *t)
{
    if (t->resolve == NULL)
        return;
    t->resolve->t = NULL;
    uv_cancel((uv_req_t *)&t->resolve->req); /* may fail: it is under way, and its answer is thrown away */
    t->resolve = NULL;
}

void resolve_tick(struct daemon *d, dt_time now)
{
    dt_list_for_each (l, &d->tuns) {
        struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (t->resolve_at <= now && t->resolve == NULL) {
            t->resolve_at = DT_NEVER;
            resolve_start(d, t);
        }
    }
}
