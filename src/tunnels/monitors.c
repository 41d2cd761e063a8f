/* Streams of events. */

#include "tunnels/monitors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tunnels/daemon.h"

struct monitor {
    struct dt_list link;
    struct dt_control_request *req;
    json_t *names; /* a list; empty: all */
};

bool client_is(const struct dt_ike_id *id, const char *name)
{
    struct dt_ike_id named;
    char text[DT_IKE_ID_STRLEN];
    return strcmp(dt_ike_id_str(text, id), name) == 0 ||
           (dt_ike_id_parse(&named, name) == 0 && dt_ike_id_eq(&named, id));
}

static void monitor_gone(void *arg)
{
    struct monitor *m = arg;
    dt_list_del(&m->link);
    json_decref(m->names);
    free(m);
}

/* A client that may come and is not here: whoever waits for it is told so. */
static json_t *monitor_waits(const char *identity)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return json_pack("{s:f, s:s, s:s, s:s, s:s}", "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
                     "tunnel", identity, "role", "server", "event", "awaited", "text",
                     "no client of this name is here now; what it does will be told");
}

void monitors_add(struct daemon *d, struct dt_control_request *req, const json_t *names, const char *awaited)
{
    struct monitor *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        dt_control_fail(req, 1, NULL, "out of memory");
        return;
    }
    m->req = req;
    m->names = json_is_array(names) ? json_deep_copy(names) : json_array();
    dt_list_add_tail(&d->monitors, &m->link);
    dt_control_on_cancel(req, monitor_gone, m);
    if (awaited != NULL)
        dt_control_event(req, monitor_waits(awaited));
}

/* Its tunnel or client is named, or the client's gateway. */
static bool monitor_wants(struct daemon *d, const struct monitor *m, const struct dt_event *ev)
{
    struct dt_tunnel_info info;
    size_t i;
    json_t *v;
    if (json_array_size(m->names) == 0)
        return true;
    bool client = ev->tunnel != 0 && !ev->client && dt_endpoint_tunnel_info(d->ep, ev->tunnel, &info);
    json_array_foreach(m->names, i, v)
    {
        const char *name = json_string_value(v);
        if (name != NULL && (strcmp(name, ev->tunnel_name) == 0 ||
                             (client && (strcmp(name, info.name) == 0 || client_is(&info.remote_id, name)))))
            return true;
    }
    return false;
}

static json_t *event_json(const struct dt_event *ev)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    json_t *o = json_pack("{s:f, s:s, s:s, s:s, s:s}", "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
                          "tunnel", ev->tunnel_name, "role", ev->client ? "client" : "server", "event",
                          ev->name, "text", ev->text);
    if (o == NULL) /* a name from the wire that is not UTF-8 */
        return json_pack("{s:s, s:s}", "event", ev->name, "text", "(not text)");
    if (ev->epoch != 0)
        json_object_set_new(o, "epoch", json_integer(ev->epoch));
    if (ev->other != 0)
        json_object_set_new(o, "other", json_integer(ev->other));
    if (ev->n != 0)
        json_object_set_new(o, "n", json_integer(ev->n));
    if (ev->took != 0)
        json_object_set_new(o, "took_s", json_real(dt_time_seconds(ev->took)));
    if (ev->spi_in != 0 || ev->spi_out != 0) {
        char spi[16];
        snprintf(spi, sizeof(spi), "0x%08x", ev->spi_in);
        json_object_set_new(o, "spi_in", json_string(spi));
        snprintf(spi, sizeof(spi), "0x%08x", ev->spi_out);
        json_object_set_new(o, "spi_out", json_string(spi));
    }
    return o;
}

void monitors_json(struct daemon *d, json_t *event)
{
    dt_list_for_each_safe (l, &d->monitors) {
        struct monitor *m = DT_CONTAINER_OF(l, struct monitor, link);
        if (json_array_size(m->names) == 0)
            dt_control_event(m->req, json_copy(event));
    }
    json_decref(event);
}

void monitors_event(struct daemon *d, const struct dt_event *ev)
{
    json_t *o = NULL;
    dt_list_for_each_safe (l, &d->monitors) {
        struct monitor *m = DT_CONTAINER_OF(l, struct monitor, link);
        if (!monitor_wants(d, m, ev))
            continue;
        if (o == NULL)
            o = event_json(ev);
        dt_control_event(m->req, json_copy(o));
    }
    json_decref(o);
}
