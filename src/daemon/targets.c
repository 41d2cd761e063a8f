/* Whom a command names: configured tunnels, and clients of our gateways by their identity. */

#include "daemon/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "base/utf8.h"
#include "daemon/status.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define NAMES_TOLD 8 /* when a name is unknown, so many of those that there are */

void targets_free(struct targets *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].identity);
    free(l->v);
    *l = (struct targets){0};
}

const char *target_name(const struct target *t)
{
    return t->tun != NULL ? t->tun->cfg.cfg.name : t->identity;
}

uint32_t target_id(const struct target *t)
{
    return t->tun != NULL ? t->tun->id : t->client;
}

bool target_info(struct daemon *d, const struct target *t, struct dt_tunnel_info *info)
{
    return target_id(t) != 0 && dt_endpoint_tunnel_info(d->ep, target_id(t), info);
}

json_t *target_status(struct daemon *d, const struct target *t)
{
    return t->tun != NULL ? status_tunnel(d, t->tun) : status_client(d, t->client);
}

/* A tunnel, or (t is NULL) a client of that identity. */
static bool targets_add(struct targets *l, struct tun *t, uint32_t client, const char *identity)
{
    if ((l->n & (l->n - 1)) == 0) {
        struct target *more = realloc(l->v, (l->n > 0 ? 2 * l->n : 1) * sizeof(*more));
        if (more == NULL)
            return false;
        l->v = more;
    }
    l->v[l->n] = (struct target){.tun = t, .client = client};
    if (identity != NULL && (l->v[l->n].identity = strdup(identity)) == NULL)
        return false;
    l->n++;
    return true;
}

bool targets_copy(struct targets *out, const struct targets *in)
{
    *out = (struct targets){0};
    for (size_t i = 0; i < in->n; i++)
        if (!targets_add(out, in->v[i].tun, in->v[i].client, in->v[i].identity)) {
            targets_free(out);
            return false;
        }
    return true;
}

/* A client may be there at several gateways. False: out of memory. */
static bool add_clients(struct daemon *d, struct targets *l, const char *name)
{
    struct dt_tunnel_info info;
    for (uint32_t t = client_next(d, name, 0); t != 0; t = client_next(d, name, t)) {
        char who[DT_IKE_ID_STRLEN];
        if (dt_endpoint_tunnel_info(d->ep, t, &info) &&
            !targets_add(l, NULL, t, dt_ike_id_str(who, &info.remote_id)))
            return false;
    }
    return true;
}

struct known {
    char text[NAMES_TOLD * 72], names[NAMES_TOLD + 256][64];
    const char *name[NAMES_TOLD + 256];
    size_t n, total;
};

static void know(struct known *k, const char *name)
{
    k->total++;
    if (k->n == DT_ARRAY_LEN(k->names))
        return;
    dt_utf8_printf(k->names[k->n], sizeof(k->names[0]), "%s", name);
    k->name[k->n] = k->names[k->n];
    k->n++;
}

/* "office", "branch" and 3 more */
static const char *known_tell(struct known *k)
{
    size_t at = 0, told = k->n < NAMES_TOLD ? k->n : NAMES_TOLD;
    for (size_t i = 0; i < told; i++)
        at += dt_utf8_printf(k->text + at, sizeof(k->text) - at, "%s\"%s\"", i > 0 ? ", " : "", k->name[i]);
    if (k->total > told)
        dt_utf8_printf(k->text + at, sizeof(k->text) - at, " and %zu more", k->total - told);
    return k->text;
}

char *targets_unknown(struct daemon *d, const char *name, char out[TARGETS_UNKNOWN])
{
    static const char *const kind[] = {"no tunnel", "no tunnel, gateway or client"};
    struct dt_tunnel_info info;
    struct known *k = calloc(1, sizeof(*k));
    const char *what = kind[!dt_list_empty(&d->gates)];
    dt_utf8_printf(out, TARGETS_UNKNOWN, "there is %s \"%.64s\"", what, name);
    if (k == NULL)
        return out;
    dt_list_for_each (l, &d->tuns)
        know(k, DT_CONTAINER_OF(l, struct tun, link)->cfg.cfg.name);
    dt_list_for_each (l, &d->gates)
        know(k, DT_CONTAINER_OF(l, struct gate, link)->cfg.cfg.name);
    for (uint32_t t = dt_endpoint_tunnel_next(d->ep, 0); t != 0; t = dt_endpoint_tunnel_next(d->ep, t)) {
        char who[DT_IKE_ID_STRLEN];
        if (dt_endpoint_tunnel_info(d->ep, t, &info) && !info.client)
            know(k, dt_ike_id_str(who, &info.remote_id));
    }
    const char *near = dt_suggest(name, k->name, k->n);
    size_t at = strlen(out);
    if (near != NULL)
        dt_utf8_printf(out + at, TARGETS_UNKNOWN - at, "; did you mean \"%s\"?", near);
    else if (k->total > 0)
        dt_utf8_printf(out + at, TARGETS_UNKNOWN - at, "; there %s %s", k->total == 1 ? "is" : "are",
                       known_tell(k));
    else
        dt_utf8_printf(out + at, TARGETS_UNKNOWN - at, "; the configuration has none (%.200s)",
                       d->config_file);
    free(k);
    return out;
}

bool targets_named(struct daemon *d, struct dt_control_request *req, const json_t *names, struct targets *out)
{
    char text[TARGETS_UNKNOWN];
    size_t i;
    json_t *v;
    bool room = true;
    *out = (struct targets){0};
    if (json_array_size(names) == 0) {
        dt_list_for_each (l, &d->tuns)
            room = room && targets_add(out, DT_CONTAINER_OF(l, struct tun, link), 0, NULL);
        if (out->n == 0 && room) {
            dt_control_fail(req, 1, NULL, "the configuration has no tunnel (%s)", d->config_file);
            return false;
        }
    }
    json_array_foreach(names, i, v)
    {
        const char *name = json_string_value(v) != NULL ? json_string_value(v) : "";
        struct tun *t = tun_by_name(d, name);
        size_t before = out->n;
        room = room && (t != NULL ? targets_add(out, t, 0, NULL) : add_clients(d, out, name));
        if (room && out->n == before) {
            targets_free(out);
            dt_control_fail(req, 1, NULL, "%s", targets_unknown(d, name, text));
            return false;
        }
    }
    if (!room) {
        targets_free(out);
        dt_control_fail(req, 1, NULL, "out of memory");
    }
    return room;
}
