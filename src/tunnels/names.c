/* Of all tunnels that have name servers, one has the device's: the first that carries everything, else the first. Its servers are set
 * as far as it carries packets to them, each time that something changes, and again when the resolver has forgotten them. */

#include "tunnels/names.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define LOOK_AGAIN (15 * DT_SEC)
#define DNS_PORT   53
#define UDP        17

static bool carries_everything(const struct tun *t)
{
    return dt_selectors_all(&t->cfg.cfg.protect, 4) || dt_selectors_all(&t->cfg.cfg.protect, 6);
}

/* What the tunnel would have of the resolver. False: nothing. */
static bool names_of(struct daemon *d, const struct tun *t, struct dt_keeper_names *n)
{
    struct dt_tunnel_info info;
    memset(n, 0, sizeof(*n));
    if (!t->wanted || t->cfg.discovered || t->cfg.cfg.no_dns || t->id == 0 ||
        !dt_endpoint_tunnel_info(d->ep, t->id, &info))
        return false;
    for (size_t i = 0; i < info.inside.ndns && n->n < DT_KEEPER_NAME_SERVERS; i++)
        if (dt_selectors_has(&t->cfg.cfg.protect, &info.inside.dns[i], UDP, DNS_PORT))
            n->server[n->n++] = info.inside.dns[i];
    n->all = carries_everything(t);
    memcpy(n->domains, info.inside.domains, sizeof(n->domains));
    return n->n > 0;
}

static const struct tun *whose_names(struct daemon *d, struct dt_keeper_names *n)
{
    const struct tun *found = NULL;
    struct dt_keeper_names one;
    memset(n, 0, sizeof(*n));
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!names_of(d, t, &one) || (found != NULL && !one.all))
            continue;
        found = t;
        *n = one;
        if (one.all)
            break;
    }
    return found;
}

/* What a daemon before this one left is taken back, where there may be any. */
static bool some_may_have_names(const struct daemon *d)
{
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (!t->cfg.discovered && !t->cfg.cfg.no_dns && (t->cfg.cfg.inside4 || t->cfg.cfg.inside6))
            return true;
    }
    return false;
}

static void names_ask(struct daemon *d, const struct dt_keeper_names *n, const struct tun *t, bool look)
{
    struct link_names *x = &d->link_names;
    struct dt_keeper_names ask = *n;
    struct dt_err err = {0};
    ask.look = look;
    x->set = *n;
    snprintf(x->tunnel, sizeof(x->tunnel), "%s", t != NULL ? t->cfg.cfg.name : "");
    x->said = true;
    if (!look) {
        x->by = 0;
        x->why[0] = '\0';
    }
    x->fd = dt_keeper_names(d->keeper, &ask, &err);
    x->running = x->fd >= 0;
    if (!x->running)
        snprintf(x->why, sizeof(x->why), "%s", err.text);
}

static void servers_text(const struct dt_keeper_names *n, char *out, size_t cap)
{
    char addr[DT_ADDR_STRLEN];
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n->n && len < cap; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i > 0 ? ", " : "",
                                dt_addr_str(addr, &n->server[i]));
}

static void names_came_to(struct daemon *d, const struct dt_keeper_word *w)
{
    struct link_names *x = &d->link_names;
    int before = x->by;
    char servers[DT_KEEPER_NAME_SERVERS * (DT_ADDR_STRLEN + 2)];
    servers_text(&x->set, servers, sizeof(servers));
    x->by = w->rc > 0 ? w->rc % DT_KEEPER_SET_AGAIN : 0;
    if (w->rc < 0 && strcmp(x->why, w->text) != 0)
        LOG(DT_LOG_WARN, "%s: its name servers (%s) are not asked: %s", x->tunnel, servers, w->text);
    else if (w->rc >= DT_KEEPER_SET_AGAIN)
        LOG(DT_LOG_WARN, "%s: the resolver did not know its name servers (%s) any more; they are set again",
            x->tunnel, servers);
    else if (x->set.n > 0 && x->by > 0 && x->by != before)
        LOG(DT_LOG_INFO, "%s: %s asks %s for %s%s", x->tunnel,
            x->by == DT_KEEPER_BY_RESOLVED ? "systemd-resolved" : "resolvconf", servers,
            x->set.all          ? "all names"
            : x->set.domains[0] ? "names in "
                                : "no names by itself: the gateway gave no domains",
            x->set.all ? "" : x->set.domains);
    snprintf(x->why, sizeof(x->why), "%s", w->rc < 0 ? w->text : "");
}

static void names_hear(struct daemon *d, dt_time now)
{
    struct link_names *x = &d->link_names;
    struct dt_keeper_word w;
    while (x->running && dt_keeper_hear(x->fd, &w)) {
        if (!w.end)
            continue;
        close(x->fd);
        x->running = false;
        x->look_at = dt_time_add(now, LOOK_AGAIN);
        names_came_to(d, &w);
    }
}

static bool same_names(const struct dt_keeper_names *a, const struct dt_keeper_names *b)
{
    bool same = a->n == b->n && a->all == b->all && strcmp(a->domains, b->domains) == 0;
    for (size_t i = 0; same && i < a->n; i++)
        same = dt_addr_eq(&a->server[i], &b->server[i]);
    return same;
}

void names_tick(struct daemon *d, dt_time now)
{
    struct link_names *x = &d->link_names;
    struct dt_keeper_names want;
    names_hear(d, now);
    bool look = x->set.n > 0 && now >= x->look_at;
    if (x->running || (!x->changed && !look) || dt_keeper_gone(d->keeper) != NULL)
        return;
    x->changed = false;
    const struct tun *t = whose_names(d, &want);
    if (!x->said ? want.n > 0 || some_may_have_names(d) : !same_names(&want, &x->set))
        names_ask(d, &want, t, false);
    else if (look && x->by != DT_KEEPER_BY_RESOLVCONF) /* whose record stands until it is taken away */
        names_ask(d, &want, t, x->by == DT_KEEPER_BY_RESOLVED);
    if (look && !x->running)
        x->look_at = dt_time_add(now, LOOK_AGAIN);
}

void names_end(struct daemon *d)
{
    if (d->link_names.running)
        close(d->link_names.fd);
    d->link_names.running = false;
}

void names_tell(struct daemon *d, const struct tun *t, json_t *o)
{
    const struct link_names *x = &d->link_names;
    struct dt_keeper_names n;
    struct dt_tunnel_info info;
    char why[DT_ERR_TEXT + 64] = "";
    bool mine = strcmp(x->tunnel, t->cfg.cfg.name) == 0;
    if (names_of(d, t, &n) && mine && x->by > 0)
        json_object_set_new(o, "dns_by",
                            json_string(x->by == DT_KEEPER_BY_RESOLVED ? "resolved" : "resolvconf"));
    else if (n.n > 0 && mine)
        snprintf(why, sizeof(why), "%s",
                 x->running || x->why[0] == '\0' ? "the resolver is being told" : x->why);
    else if (n.n > 0 && x->tunnel[0] != '\0')
        snprintf(why, sizeof(why), "tunnel \"%s\" has the device's name servers", x->tunnel);
    else if (n.n == 0 && t->wanted && t->id != 0 && dt_endpoint_tunnel_info(d->ep, t->id, &info) &&
             info.inside.ndns > 0 && !t->cfg.cfg.no_dns)
        snprintf(why, sizeof(why), "it does not carry packets to them");
    if (why[0] != '\0')
        json_object_set_new(o, "dns_why", json_string(why));
}
