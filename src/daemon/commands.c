/* The control socket's commands. */

#include "daemon/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/apply.h"
#include "daemon/report.h"
#include "daemon/status.h"
#include "daemon/targets.h"
#include "daemon/waits.h"
#include "discovery/discovery.h"
#include "plans/plans.h"
#include "tunnels/closed.h"
#include "tunnels/daemon.h"
#include "tunnels/monitors.h"
#include "tunnels/tunnels.h"
#include "tunnels/wants.h"

#define DOWN_TEXT 2048 /* of what goes out in the clear, for each tunnel */

static void spec_free(struct wait_spec *w)
{
    targets_free(&w->on);
}

/* A wait_spec that frees its list when it goes out of scope. */
#define SPEC __attribute__((cleanup(spec_free))) struct wait_spec

static json_t *said(const struct wait_spec *w, const char *text)
{
    json_t *list = json_array();
    for (size_t i = 0; i < w->on.n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", target_name(&w->on.v[i]), "text", text));
    return json_pack("{s:o}", "tunnels", list);
}

static void set_until(struct wait_spec *w, const json_t *args)
{
    int64_t ms = dt_control_arg_int(args, "timeout_ms", 30000);
    if (ms < 1 || ms > 3600000)
        ms = 30000;
    w->until = daemon_now() + (dt_time)ms * DT_MSEC;
}

static void cmd_up(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    SPEC w = {.what = WAIT_UP};
    if (!targets_named(d, req, json_object_get(args, "tunnels"), &w.on))
        return;
    for (size_t i = 0; i < w.on.n; i++)
        if (w.on.v[i].tun == NULL) {
            dt_control_fail(req, 1, target_status(d, &w.on.v[i]),
                            "%s is a client of a gateway here: it comes up from its own side",
                            target_name(&w.on.v[i]));
            return;
        }
    set_until(&w, args);
    for (size_t i = 0; i < w.on.n; i++)
        tun_up(d, w.on.v[i].tun);
    wants_save(d);
    daemon_wake(d);
    if (dt_control_arg_bool(args, "wait", true))
        waits_add(d, req, &w);
    else
        dt_control_answer(req, said(&w, "asked for"));
}

static void cmd_down(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    SPEC w = {.what = WAIT_UP};
    const json_t *names = json_object_get(args, "tunnels");
    if (json_array_size(names) == 0 && !dt_control_arg_bool(args, "all", false)) {
        dt_control_fail(req, 2, NULL, "which tunnel?");
        return;
    }
    if (!targets_named(d, req, names, &w.on))
        return;
    for (size_t i = 0; i < w.on.n; i++)
        if (w.on.v[i].tun != NULL)
            tun_down(d, w.on.v[i].tun);
        else
            dt_endpoint_down(d->ep, daemon_now(), w.on.v[i].client);
    wants_save(d);
    json_t *list = json_array();
    for (size_t i = 0; i < w.on.n; i++) {
        const struct target *t = &w.on.v[i];
        json_t *o = json_pack("{s:s}", "name", target_name(t));
        char text[DOWN_TEXT] = "thrown out; it may come again";
        if (t->tun != NULL)
            closed_tell_down(d, t->tun, o, text, sizeof(text));
        json_object_set_new(o, "text", json_string(text));
        json_array_append_new(list, o);
    }
    daemon_wake(d);
    dt_control_answer(req, json_pack("{s:o}", "tunnels", list));
}

/* False, and the request is answered, when one of them is not up. */
static bool all_up(struct daemon *d, struct dt_control_request *req, const struct wait_spec *w,
                   const char *what)
{
    struct dt_tunnel_info info;
    for (size_t i = 0; i < w->on.n; i++) {
        const struct target *t = &w->on.v[i];
        if (target_info(d, t, &info) && info.up)
            continue;
        json_t *detail = target_status(d, t);
        char why[DT_ERR_TEXT + 64];
        const char *said_why = json_string_value(json_object_get(detail, "why"));
        snprintf(why, sizeof(why), "%s", said_why != NULL ? said_why : "it is being healed");
        dt_control_fail(req, 1, detail, "%s is not up, so there is nothing to %s: %s", target_name(t), what,
                        why);
        return false;
    }
    return true;
}

static void cmd_rekey(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    SPEC w = {.what = WAIT_REKEY};
    bool ike = dt_control_arg_bool(args, "ike", false);
    if (!targets_named(d, req, json_object_get(args, "tunnels"), &w.on) || !all_up(d, req, &w, "rekey"))
        return;
    set_until(&w, args);
    bool wait = dt_control_arg_bool(args, "wait", true) && !ike;
    if (wait)
        waits_add(d, req, &w);
    for (size_t i = 0; i < w.on.n; i++)
        if (ike)
            dt_endpoint_rekey_ike(d->ep, daemon_now(), target_id(&w.on.v[i]));
        else
            dt_endpoint_rekey(d->ep, daemon_now(), target_id(&w.on.v[i]));
    daemon_wake(d);
    if (!wait)
        dt_control_answer(req, said(&w, ike ? "the IKE SA is being rekeyed" : "asked for"));
}

static void cmd_ping(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    SPEC w = {.what = WAIT_PING};
    const char *name = dt_control_arg_string(args, "tunnel");
    int64_t count = dt_control_arg_int(args, "count", 3);
    json_t *names = json_pack("[s]", name != NULL ? name : "");
    bool ok = targets_named(d, req, names, &w.on);
    json_decref(names);
    if (!ok || !all_up(d, req, &w, "ping through"))
        return; /* NOLINT(clang-analyzer-unix.Malloc): SPEC frees it */
    w.count = count < 1 ? 1 : count > 1000 ? 1000 : (unsigned)count;
    w.until = DT_NEVER;
    waits_add(d, req, &w);
    waits_tick(d, daemon_now());
    daemon_wake(d);
}

static void cmd_status(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    const json_t *names = json_object_get(args, "tunnels");
    const char *unknown = status_unknown(d, names);
    char text[TARGETS_UNKNOWN];
    if (unknown != NULL)
        dt_control_fail(req, 1, NULL, "%s", targets_unknown(d, unknown, text));
    else
        report_answer(d, req, names);
}

static void cmd_monitor(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    const json_t *names = json_object_get(args, "tunnels");
    const char *unknown = status_unknown(d, names);
    char text[TARGETS_UNKNOWN];
    if (unknown != NULL && !gates_admit(d, unknown))
        dt_control_fail(req, 1, NULL, "%s", targets_unknown(d, unknown, text));
    else
        monitors_add(d, req, names, unknown);
}

static void cmd_reload(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct daemon *d = ctx;
    struct dt_config bad;
    struct dt_err err = {0};
    char line[1024];
    json_t *report = json_object();
    enum reload done = daemon_reload(d, report, &bad, &err);
    daemon_wake(d);
    if (done == RELOAD_DONE) {
        dt_control_answer(req, report);
        return;
    }
    if (done == RELOAD_PARTLY) {
        dt_control_fail(req, 1, report, "the file is in force, but for one thing: %s", err.text);
        return;
    }
    json_decref(report);
    json_t *list = json_array();
    const char *first = NULL;
    char text[1024] = "";
    for (size_t i = 0; i < bad.nissue; i++) {
        dt_config_issue_str(line, sizeof(line), &bad, &bad.issue[i]);
        json_array_append_new(list, json_string(line));
        if (first == NULL && !bad.issue[i].warning)
            first = strcpy(text, line);
    }
    dt_control_fail(req, 2, json_pack("{s:o}", "issues", list), "%s%s", text,
                    bad.errors > 1 ? " (and more: `dovetail check` lists them all; nothing was changed)"
                                   : " (nothing was changed)");
    dt_config_free(&bad);
}

/* What the rules in force make of a packet: source, destination, and what else is known of it. */
static void cmd_explain(void *ctx, struct dt_control_request *req, const json_t *args)
{
    const char *src = dt_control_arg_string(args, "src"), *dst = dt_control_arg_string(args, "dst");
    int64_t proto = dt_control_arg_int(args, "proto", 0), sport = dt_control_arg_int(args, "sport", -1),
            dport = dt_control_arg_int(args, "dport", -1);
    struct dt_flow f = {.ports = sport >= 0 && dport >= 0};
    if (src == NULL || dst == NULL || dt_addr_parse(&f.src, src) != 0 || dt_addr_parse(&f.dst, dst) != 0 ||
        f.src.ver != f.dst.ver || proto < 0 || proto > 255 || sport > 65535 || dport > 65535 ||
        (f.ports && !dt_proto_has_ports((uint8_t)proto))) {
        dt_control_fail(req, 2, NULL,
                        "src and dst are addresses of one IP version, proto a number to 255, sport and "
                        "dport ports of a protocol that has some");
        return;
    }
    f.proto = (uint8_t)proto;
    f.sport = f.ports ? (uint16_t)sport : 0;
    f.dport = f.ports ? (uint16_t)dport : 0;
    dt_control_answer(req, plans_explain_json(ctx, &f));
}

const struct dt_control_command daemon_commands[] = {
    {"up", cmd_up},
    {"down", cmd_down},
    {"rekey", cmd_rekey},
    {"ping", cmd_ping},
    {"status", cmd_status},
    {"monitor", cmd_monitor},
    {"reload", cmd_reload},
    {"explain", cmd_explain},
    {"discover", discover_cmd},
    {"discover_listen", discover_listen_cmd},
    {"discover_status", discover_status_cmd},
    {NULL, NULL},
};
