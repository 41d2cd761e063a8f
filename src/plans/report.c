/* Plans as JSON: for `dovetail status` and `dovetail monitor`. */
#include <time.h>

#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

static const char *kind_name(enum dt_rule_kind k)
{
    return k == DT_RULE_TUNNEL ? "tunnel" : "transport";
}

static json_t *layer_json(struct daemon *d, const struct dt_layer_info *l, dt_time now)
{
    char peer[DT_ADDR_STRLEN];
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s}", "kind", kind_name(l->kind), "peer", dt_addr_str(peer, &l->peer),
                  "rule", l->rule, "state", dt_layer_state_name(l->state));
    if (l->layer == 0)
        return o;
    struct tun *t = plans_tunnel_of(d, l->layer);
    struct dt_tunnel_info info;
    json_object_set_new(o, "layer", json_integer(l->layer));
    json_object_set_new(o, "since_s", json_real(dt_time_seconds(dt_time_sub(now, l->since))));
    json_object_set_new(o, "plans", json_integer(l->plans));
    if (t == NULL)
        return o;
    json_object_set_new(o, "tunnel", json_string(t->cfg.cfg.name));
    if (!dt_endpoint_tunnel_info(d->ep, t->id, &info))
        return o;
    json_object_set_new(o, "verified", json_boolean(info.verified));
    if (info.unproved != DT_UNPROVED_NOT)
        json_object_set_new(o, "why", json_string(dt_unproved_str(info.unproved)));
    else if (!info.up)
        json_object_set_new(o, "why",
                            json_string(info.why[0] ? info.why : dt_tunnel_state_str(info.state, true)));
    return o;
}

json_t *plans_json(struct daemon *d)
{
    const struct dt_policy *p = plans_policy(d);
    struct dt_policy_plan_info i;
    json_t *list = json_array();
    dt_time now = daemon_now();
    for (uint32_t id = p != NULL ? dt_policy_plan_next(p, 0) : 0; id != 0; id = dt_policy_plan_next(p, id)) {
        char flow[DT_FLOW_STRLEN];
        if (!dt_policy_plan_info(p, id, &i))
            continue;
        json_t *layers = json_array();
        for (unsigned k = 0; k < i.n; k++)
            json_array_append_new(layers, layer_json(d, &i.layer[k], now));
        json_t *o =
            json_pack("{s:i, s:s, s:s, s:f, s:i, s:i, s:i, s:b, s:o}", "plan", (int)i.plan, "state",
                      dt_policy_state_name(i.state), "packet", dt_flow_str(flow, &i.flow), "since_s",
                      dt_time_seconds(dt_time_sub(now, i.since)), "pending", (int)i.pending, "completed",
                      (int)i.completed, "failures", (int)i.failures, "always", i.always, "layers", layers);
        if (i.why[0] != '\0' && i.state != DT_PLAN_UP)
            json_object_set_new(o, "why", json_string(i.why));
        if (i.retry_at != DT_NEVER)
            json_object_set_new(o, "retry_s", json_real(dt_time_seconds(dt_time_sub(i.retry_at, now))));
        json_array_append_new(list, o);
    }
    return list;
}

json_t *plans_explain_json(struct daemon *d, const struct dt_flow *f)
{
    const struct dt_match *m = plans_match(d);
    struct dt_plan plan = {0};
    struct dt_err err = {0};
    json_t *list = json_array();
    if (m != NULL)
        dt_plan_make(&plan, m, f, &err);
    for (unsigned i = 0; i < plan.n; i++) {
        const struct dt_action *a = &plan.pending[i];
        const struct dt_rule *r = &dt_match_rules(m)->v[a->rule];
        char peer[DT_ADDR_STRLEN];
        unsigned line = r->line;
        const struct dt_rules *rs = dt_match_rules(m);
        const char *file = rs->sources != NULL ? dt_source_at(rs->sources, r->line, &line) : rs->file;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:i, s:b}", "kind", kind_name(a->kind),
                                              "peer", dt_addr_str(peer, &a->peer), "rule", r->name, "file",
                                              file, "line", (int)line, "udp", r->udp));
    }
    json_t *o = json_pack("{s:s, s:o}", "file", d->config_file, "pending", list);
    if (o != NULL && err.text[0] != '\0')
        json_object_set_new(o, "error", json_string(err.text));
    return o;
}

json_t *plans_event_json(const struct dt_policy_event *ev)
{
    struct timespec ts;
    char peer[DT_ADDR_STRLEN];
    clock_gettime(CLOCK_REALTIME, &ts);
    json_t *o =
        json_pack("{s:f, s:s, s:s, s:i, s:s, s:i, s:i}", "time", (double)ts.tv_sec + (double)ts.tv_nsec / 1e9,
                  "role", "plan", "event", dt_policy_event_name(ev->kind), "plan", (int)ev->plan, "tunnel",
                  ev->rule, "pending", (int)ev->pending, "completed", (int)ev->completed);
    if (o == NULL)
        return json_pack("{s:s, s:s}", "event", dt_policy_event_name(ev->kind), "text", "(not text)");
    if (ev->layer != 0) {
        json_object_set_new(o, "layer", json_integer(ev->layer));
        json_object_set_new(o, "rule", json_string(ev->rule));
        json_object_set_new(o, "kind", json_string(kind_name(ev->action)));
        json_object_set_new(o, "peer", json_string(dt_addr_str(peer, &ev->peer)));
    }
    char text[DT_ERR_TEXT + 160];
    snprintf(text, sizeof(text), "plan %u, %s%s%s: %s (%u pending, %u completed)", ev->plan,
             dt_policy_event_name(ev->kind), ev->layer ? " " : "", ev->layer ? peer : "", ev->text,
             ev->pending, ev->completed);
    json_object_set_new(o, "text", json_string(text));
    return o;
}
