/* What all parts of the daemon stand on: its lists and tables, and the timer of the endpoint's deadline. */

#include "tunnels/daemon.h"

#include <stdio.h>

#include "tunnels/carry.h"

void daemon_init(struct daemon *d, const struct dt_siphash_key *owner_key)
{
    d->started = daemon_now();
    dt_list_init(&d->tuns);
    dt_list_init(&d->gates);
    dt_list_init(&d->monitors);
    dt_table_init(&d->tun_names);
    dt_table_init(&d->tun_ids);
    dt_table_init(&d->resolves.under_way);
    carry_init(&d->carried, owner_key);
}

void daemon_free_tables(struct daemon *d)
{
    dt_table_free(&d->tun_names);
    dt_table_free(&d->tun_ids);
    dt_table_free(&d->resolves.under_way);
    carry_free(&d->carried);
}

static void endpoint_deadline_passed(uv_timer_t *t)
{
    struct daemon *d = t->data;
    dt_endpoint_tick(d->ep, daemon_now());
    daemon_wake(d);
}

void daemon_wake(struct daemon *d)
{
    if (d->ep == NULL || uv_is_closing((uv_handle_t *)&d->timer))
        return;
    dt_time at = dt_endpoint_deadline(d->ep), now = daemon_now();
    if (at == DT_NEVER) {
        uv_timer_stop(&d->timer);
        return;
    }
    uint64_t ms = at <= now ? 0 : (at - now + DT_MSEC - 1) / DT_MSEC;
    uv_update_time(&d->loop);
    uv_timer_start(&d->timer, endpoint_deadline_passed, ms, 0);
}

void daemon_keylog_path(const struct daemon *d, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s", d->cfg.keylog, d->cfg.keylog[0] != '\0' ? ".esp" : "");
}
