/* What the service manager is told: when it may count on us, that we live, and a line of how we fare. */
#include <stdio.h>
#include <string.h>

#include "natd/natd.h"

static void natd_status_line(const struct natd *d, char *out, size_t cap)
{
    const struct natd_router *r = &d->router;
    char reason[NATD_FACT_STRLEN] = "";
    if (r->n_reasons)
        natd_reason_str(reason, &r->reason[0], &r->names);
    const char *why = r->unread[0] ? r->unread : reason;
    snprintf(out, cap, "inside %s, outside %s: %s%s%.300s", d->cfg.inside, d->cfg.outside,
             r->blocked ? "blocked"
             : *why     ? "impaired"
                        : "up",
             *why ? ": " : "", why);
}

void natd_manager_ready(struct natd *d)
{
    natd_status_line(d, d->manager_status, sizeof(d->manager_status));
    dt_notify_ready(&d->notify, d->manager_status);
}

void natd_manager_beat(struct natd *d)
{
    char line[sizeof(d->manager_status)];
    dt_notify_alive(&d->notify, dt_kernel_now());
    natd_status_line(d, line, sizeof(line));
    if (!strcmp(line, d->manager_status))
        return;
    memcpy(d->manager_status, line, sizeof(line));
    dt_notify_status(&d->notify, line);
}

void natd_manager_stopping(struct natd *d)
{
    dt_notify_stopping(&d->notify, d->keep ? "makes way for the next dovetail-natd; the NAT works on"
                                           : "takes the NAT off the interfaces");
}
