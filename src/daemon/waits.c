/* Requests that end when something has happened, and streams of events. */

#include "daemon/waits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/targets.h"
#include "daemon/top.h"
#include "tunnels/daemon.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"

#define PING_EVERY   DT_SEC
#define REFUSALS_MAX 2 /* a peer that refuses may be starting; one that refuses again means it */

struct wait {
    struct dt_list link;
    struct daemon *d;
    struct dt_control_request *req;
    struct wait_spec spec;
    uint32_t *before; /* WAIT_REKEY: the epoch that carried data */
    bool *done;       /* this tunnel has reached what is waited for */
    size_t left;      /* how many have not */
    unsigned sent, answered;
    bool asked; /* WAIT_PING: no answer to the last one yet */
    dt_time at; /* of the last one */
};

static void wait_forget(void *arg)
{
    struct wait *w = arg;
    dt_list_del(&w->link);
    targets_free(&w->spec.on);
    free(w->before);
    free(w->done);
    free(w);
}

void waits_add(struct daemon *d, struct dt_control_request *req, const struct wait_spec *spec)
{
    struct wait *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        dt_control_fail(req, 1, NULL, "out of memory");
        return;
    }
    dt_list_init(&w->link);
    w->d = d;
    w->req = req;
    w->spec = *spec;
    w->left = spec->on.n;
    bool copied = targets_copy(&w->spec.on, &spec->on);
    w->before = calloc(spec->on.n, sizeof(*w->before));
    w->done = calloc(spec->on.n, sizeof(*w->done));
    if (!copied || w->before == NULL || w->done == NULL) {
        wait_forget(w);
        dt_control_fail(req, 1, NULL, "out of memory");
        return;
    }
    struct dt_tunnel_info info;
    for (size_t i = 0; i < spec->on.n; i++) {
        const struct target *t = &w->spec.on.v[i];
        if (t->tun != NULL)
            t->tun->refusals = 0;
        if (target_info(d, t, &info))
            w->before[i] = info.epoch;
    }
    dt_list_add_tail(&d->top->waits, &w->link);
    dt_control_on_cancel(req, wait_forget, w);
}

static bool reached(struct wait *w, size_t i, struct dt_tunnel_info *info)
{
    if (!target_info(w->d, &w->spec.on.v[i], info))
        return false;
    const struct tun *t = w->spec.on.v[i].tun;
    if (info->up)
        routes_flush(w->d); /* nobody may have waited yet when it came up */
    if (t != NULL && routes_missing(w->d, t) != NULL)
        return false; /* blocked: packets have no way into it */
    return info->up && (w->spec.what == WAIT_UP || info->epoch > w->before[i]);
}

static void tunnel_state_text(char *out, size_t cap, const struct dt_tunnel_info *i)
{
    char a4[DT_ADDR_STRLEN], a6[DT_ADDR_STRLEN], via[DT_ADDRPORT_STRLEN];
    const struct dt_ike_inside *in = &i->inside;
    snprintf(out, cap, "%s, epoch %u %s, %s to %s%s%s%s%s%s%s", i->verified ? "up" : "unproved", i->epoch,
             i->verified ? "verified" : "carries data", i->natt ? "UDP" : "ESP",
             i->natt ? dt_addrport_str(via, &i->path.remote) : dt_addr_str(via, &i->path.remote.addr),
             in->addr4.ver || in->addr6.ver ? ", inside " : "",
             in->addr4.ver ? dt_addr_str(a4, &in->addr4) : "", in->addr4.ver && in->addr6.ver ? " and " : "",
             in->addr6.ver ? dt_addr_str(a6, &in->addr6) : "", i->verified ? "" : ": ",
             dt_unproved_str(i->unproved));
}

static void failed(struct wait *w, const struct target *t, const char *how)
{
    struct dt_control_request *req = w->req;
    json_t *detail = target_status(w->d, t);
    char why[DT_ERR_TEXT + 64], name[DT_IKE_ID_STRLEN];
    const char *said = json_string_value(json_object_get(detail, "why"));
    if (said == NULL && t->tun != NULL)
        said = json_string_value(json_object_get(detail, "doing"));
    else if (said == NULL)
        said = json_is_null(detail)
                   ? "the client is gone"
                   : "the client refused it or did not answer; a Dovetail takes a gateway's rekey "
                     "with server_rekey = accept";
    snprintf(why, sizeof(why), "%s", said != NULL ? said : "nobody knows why");
    snprintf(name, sizeof(name), "%s", target_name(t));
    wait_forget(w);
    dt_control_fail(req, 1, detail, "%s %s: %s", name, how, why);
}

static void wait_answer(struct wait *w)
{
    json_t *list = json_array();
    struct dt_tunnel_info info;
    for (size_t i = 0; i < w->spec.on.n; i++) {
        char text[512] = "down again";
        const struct target *t = &w->spec.on.v[i];
        bool there = target_info(w->d, t, &info);
        if (there && info.up)
            tunnel_state_text(text, sizeof(text), &info);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:i, s:b}", "name", target_name(t), "text", text, "epoch",
                                        there ? (int)info.epoch : 0, "verified", there && info.verified));
    }
    struct dt_control_request *req = w->req;
    wait_forget(w);
    dt_control_answer(req, json_pack("{s:o}", "tunnels", list));
}

static bool refused_for_good(const struct target *t)
{
    return t->tun != NULL && t->tun->refusals >= REFUSALS_MAX;
}

/* Has this one come about, or failed? True when the request was ended, and w is gone. */
static bool wait_look_at(struct wait *w, size_t i, dt_time now)
{
    struct dt_tunnel_info info;
    if (w->done[i])
        return false;
    if (reached(w, i, &info)) {
        w->done[i] = true;
        w->left--;
    } else if (w->spec.until <= now || refused_for_good(&w->spec.on.v[i])) {
        failed(w, &w->spec.on.v[i], w->spec.what == WAIT_UP ? "is not up" : "has no new epoch");
        return true;
    }
    if (w->left > 0)
        return false;
    wait_answer(w);
    return true;
}

static void wait_look(struct wait *w, dt_time now)
{
    for (size_t i = 0; i < w->spec.on.n; i++)
        if (wait_look_at(w, i, now))
            return;
}

static void ping_next(struct wait *w, dt_time now)
{
    const struct target *t = &w->spec.on.v[0];
    char name[DT_IKE_ID_STRLEN];
    struct dt_tunnel_info info;
    if (now < w->at + PING_EVERY && w->sent > 0 && (w->asked || w->sent < w->spec.count))
        return;
    bool there = target_info(w->d, t, &info);
    snprintf(name, sizeof(name), "%s", target_name(t));
    if (w->asked)
        dt_control_event(w->req, json_pack("{s:s, s:i, s:i, s:n}", "tunnel", name, "seq", (int)w->sent,
                                           "epoch", there ? (int)info.epoch : 0, "ms"));
    w->asked = false;
    if (w->sent < w->spec.count) {
        w->sent++;
        w->asked = true;
        w->at = now;
        if (there)
            dt_endpoint_ping(w->d->ep, now, target_id(t));
        return;
    }
    struct dt_control_request *req = w->req;
    json_t *result =
        json_pack("{s:s, s:i, s:i}", "tunnel", name, "sent", (int)w->sent, "answered", (int)w->answered);
    unsigned answered = w->answered, sent = w->sent;
    wait_forget(w);
    if (answered > 0)
        dt_control_answer(req, result);
    else
        dt_control_fail(req, 1, result, "%s: none of %u control packets was answered%s%s", name, sent,
                        there && info.why[0] ? ": " : "", there ? info.why : "");
}

void waits_tick(struct daemon *d, dt_time now)
{
    dt_list_for_each_safe (l, &d->top->waits) {
        struct wait *w = DT_CONTAINER_OF(l, struct wait, link);
        if (w->spec.what == WAIT_PING)
            ping_next(w, now);
        else
            wait_look(w, now);
    }
}

static void ping_answered(struct wait *w, const struct dt_event *ev)
{
    if (ev->kind != DT_EPOCH_PING_REPLY || !w->asked)
        return;
    w->asked = false;
    w->answered++;
    dt_control_event(w->req, json_pack("{s:s, s:i, s:i, s:f}", "tunnel", ev->tunnel_name, "seq", (int)w->sent,
                                       "epoch", (int)ev->epoch, "ms", (double)ev->took / 1e6));
}

void waits_event(struct daemon *d, const struct dt_event *ev)
{
    if (ev->tunnel == 0)
        return;
    dt_list_for_each_safe (l, &d->top->waits) {
        struct wait *w = DT_CONTAINER_OF(l, struct wait, link);
        size_t i = 0;
        while (i < w->spec.on.n && target_id(&w->spec.on.v[i]) != ev->tunnel)
            i++;
        if (i == w->spec.on.n)
            continue;
        if (w->spec.what == WAIT_PING)
            ping_answered(w, ev);
        else if (w->spec.on.v[i].tun == NULL &&
                 (ev->kind == DT_EPOCH_REFUSED || ev->kind == DT_EVENT_TUNNEL_GONE))
            failed(w, &w->spec.on.v[i], "has no new epoch");
        else
            wait_look_at(w, i, daemon_now());
    }
}

void waits_forget(struct daemon *d, const struct tun *t)
{
    dt_list_for_each_safe (l, &d->top->waits) {
        struct wait *w = DT_CONTAINER_OF(l, struct wait, link);
        for (size_t i = 0; i < w->spec.on.n; i++)
            if (w->spec.on.v[i].tun == t) {
                struct dt_control_request *req = w->req;
                wait_forget(w);
                dt_control_fail(req, 1, NULL, "%s was taken out of the configuration", t->cfg.cfg.name);
                break;
            }
    }
}
