/* What the service manager is told: when it may count on us, that we live, and a line of how we fare. */

#include "daemon/manager.h"

#include <stdio.h>
#include <string.h>

#include "daemon/top.h"
#include "tunnels/daemon.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"

#define STATUS_EVERY (5 * DT_SEC)

static bool is_up(struct daemon *d, const struct tun *t)
{
    struct dt_tunnel_info info;
    return t->id != 0 && dt_endpoint_tunnel_info(d->ep, t->id, &info) &&
           (info.verified || info.unproved != DT_UNPROVED_NOT) && routes_missing(d, t) == NULL;
}

static void daemon_status_line(struct daemon *d, char *out, size_t cap)
{
    struct dt_endpoint_counters n;
    size_t all = 0, up = 0, own = 0, gates = 0;
    const char *gone = dt_keeper_gone(d->keeper);
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        own += t->id != 0;
        if (t->wanted && !t->cfg.discovered) {
            all++;
            up += is_up(d, t);
        }
    }
    dt_list_for_each (l, &d->gates)
        gates += !DT_CONTAINER_OF(l, struct gate, link)->discovery;
    dt_endpoint_counters(d->ep, &n);
    int len = snprintf(out, cap, "%zu of %zu tunnels up", up, all);
    if (gates > 0)
        len += snprintf(out + len, cap - (size_t)len, ", %llu clients at %zu gateway%s",
                        (unsigned long long)(n.tunnels > own ? n.tunnels - own : 0), gates,
                        gates == 1 ? "" : "s");
    if (gone != NULL)
        snprintf(out + len, cap - (size_t)len, "; %s", gone);
}

void manager_ready(struct daemon *d)
{
    daemon_status_line(d, d->top->manager.line, sizeof(d->top->manager.line));
    dt_notify_ready(&d->top->manager.notify, d->top->manager.line);
}

void manager_reloading(struct daemon *d)
{
    dt_notify_reloading(&d->top->manager.notify);
}

void manager_stopping(struct daemon *d)
{
    dt_notify_stopping(&d->top->manager.notify,
                       d->handover ? "makes way for the next daemon; what is closed stays closed"
                                   : "closes every tunnel");
}

/* Without the process with rights this host is not kept, and only a restart mends that: a watchdog may see to it. */
void manager_beat(struct daemon *d, dt_time now)
{
    char line[sizeof(d->top->manager.line)];
    if (d->top->manager.notify.len == 0 || d->stopping)
        return;
    if (dt_keeper_gone(d->keeper) == NULL)
        dt_notify_alive(&d->top->manager.notify, now);
    if (now < d->top->manager.next)
        return;
    d->top->manager.next = dt_time_add(now, STATUS_EVERY);
    daemon_status_line(d, line, sizeof(line));
    if (strcmp(line, d->top->manager.line) == 0)
        return;
    memcpy(d->top->manager.line, line, sizeof(line));
    dt_notify_status(&d->top->manager.notify, line);
}
