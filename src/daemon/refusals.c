/* Requests of peers that were refused, with both sides' values: kept for `dovetail status`, where somebody who asks why a
 * client cannot come in looks first. The same refusal again is counted. */

#include "daemon/refusals.h"

#include <string.h>

#include "daemon/top.h"
#include "tunnels/daemon.h"

void refusals_event(struct daemon *d, const struct dt_event *ev)
{
    struct turned_away *list = d->top->refusals.newest,
                       r = {.from = ev->remote.addr, .when = ev->at, .count = 1};
    size_t i = 0;
    if (ev->kind != DT_EVENT_TURNED_AWAY || (ev->tunnel != 0 && ev->client))
        return;
    dt_addrport_str(r.at, &ev->remote);
    snprintf(r.why, sizeof(r.why), "%s", ev->text + ev->reason);
    while (i < DT_DAEMON_REFUSALS - 1 && list[i].count > 0 &&
           !(dt_addr_eq(&list[i].from, &r.from) && strcmp(list[i].why, r.why) == 0))
        i++;
    if (dt_addr_eq(&list[i].from, &r.from) && strcmp(list[i].why, r.why) == 0)
        r.count += list[i].count;
    memmove(&list[1], &list[0], i * sizeof(*list));
    list[0] = r;
}

json_t *refusals_json(struct daemon *d)
{
    json_t *list = json_array();
    dt_time now = daemon_now();
    for (size_t i = 0; i < DT_DAEMON_REFUSALS && d->top->refusals.newest[i].count > 0; i++) {
        const struct turned_away *r = &d->top->refusals.newest[i];
        json_array_append_new(list, json_pack("{s:s, s:f, s:i, s:s}", "from", r->at, "s_ago",
                                              dt_time_seconds(dt_time_sub(now, r->when)), "count",
                                              (int)r->count, "why", r->why));
    }
    return list;
}
