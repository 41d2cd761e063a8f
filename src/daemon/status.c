/* What is known, as JSON: for `dovetail status` and as the detail of errors. */

#include "daemon/status.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tunnels/closed.h"
#include "tunnels/daemon.h"
#include "tunnels/families.h"
#include "tunnels/lan.h"
#include "tunnels/names.h"
#include "tunnels/monitors.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"
#include "wire/ike_payload.h"

static json_t *addr_json(const struct dt_addr *a)
{
    char text[DT_ADDR_STRLEN];
    return json_string(dt_addr_str(text, a));
}

/* As it stands in the file: "vpn.example.net", "[2001:db8::1]:4501". */
static json_t *host_json(const struct dt_config_tunnel *t, size_t i)
{
    const char *host = t->host[i];
    bool brackets = strchr(host, ':') != NULL;
    if (t->port[i] == 0)
        return json_string(host);
    return json_sprintf(brackets ? "[%s]:%u" : "%s:%u", host, t->port[i]);
}

static json_t *selectors_json(const struct dt_selectors *list)
{
    json_t *v = json_array();
    char text[DT_SELECTOR_STRLEN];
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(v, json_string(dt_selector_str(text, &list->v[i])));
    return v;
}

static void set_addrport(json_t *o, const char *name, const struct dt_addrport *a, bool port)
{
    char text[DT_ADDRPORT_STRLEN];
    if (a->addr.ver != 0)
        json_object_set_new(o, name,
                            json_string(port ? dt_addrport_str(text, a) : dt_addr_str(text, &a->addr)));
}

static void set_id(json_t *o, const char *name, const struct dt_ike_id *id)
{
    char text[DT_IKE_ID_STRLEN];
    json_object_set_new(o, name, json_string(dt_ike_id_str(text, id)));
}

static const char *phase_name(const struct dt_epoch_info *e, bool client)
{
    switch (e->phase) {
    case DT_EPOCH_PROBING:
        return client ? "probing" : "not heard";
    case DT_EPOCH_PROVED:
        return e->verified ? "verified" : "unproved";
    case DT_EPOCH_RETIRING:
        return "retiring";
    case DT_EPOCH_FREE:
        break;
    }
    return "free";
}

static json_t *epoch_json(struct daemon *d, const struct dt_epoch_info *e, bool client, dt_time now)
{
    char in[16], out[16];
    snprintf(in, sizeof(in), "0x%08x", e->spi_in);
    snprintf(out, sizeof(out), "0x%08x", e->spi_out);
    json_t *o = json_pack("{s:i, s:s, s:b, s:s, s:s, s:f, s:f, s:s}", "epoch", (int)e->epoch, "phase",
                          phase_name(e, client), "carries", e->carries, "spi_in", in, "spi_out", out, "age_s",
                          dt_time_seconds(dt_time_sub(now, e->since)), "left_s",
                          dt_time_seconds(dt_time_sub(e->until, now)), "encap", e->path.natt ? "udp" : "esp");
    struct dt_dp_sa_counters c;
    dt_time heard = e->heard;
    if (dt_dp_sa_counters(d->dp, e->sa, &c)) {
        json_object_set_new(o, "rx_packets", json_integer((json_int_t)c.in.packets));
        json_object_set_new(o, "rx_bytes", json_integer((json_int_t)c.in.bytes));
        json_object_set_new(o, "tx_packets", json_integer((json_int_t)c.out.packets));
        json_object_set_new(o, "tx_bytes", json_integer((json_int_t)c.out.bytes));
        json_object_set_new(o, "replayed", json_integer((json_int_t)c.in.errors[DT_ESP_REPLAY]));
        json_object_set_new(o, "not_authentic", json_integer((json_int_t)c.in.errors[DT_ESP_AUTH]));
        json_object_set_new(o, "outside_selectors", json_integer((json_int_t)c.in_selector_drops));
        if (c.in.last > heard)
            heard = c.in.last;
    }
    if (heard != 0)
        json_object_set_new(o, "heard_s_ago", json_real(dt_time_seconds(dt_time_sub(now, heard))));
    return o;
}

static void set_inside(json_t *o, const struct dt_ike_inside *in)
{
    json_t *v = json_array();
    if (in->addr4.ver)
        json_array_append_new(v, addr_json(&in->addr4));
    if (in->addr6.ver)
        json_array_append_new(v, addr_json(&in->addr6));
    json_object_set_new(o, "inside", v);
    v = json_array();
    for (size_t i = 0; i < in->ndns; i++)
        json_array_append_new(v, addr_json(&in->dns[i]));
    json_object_set_new(o, "dns", v);
    v = json_array();
    const char *at = in->domains, *name;
    size_t len;
    while ((name = dt_domains_next(&at, &len)) != NULL)
        json_array_append_new(v, json_stringn(name, len));
    json_object_set_new(o, "domains", v);
}

static void set_stats(json_t *o, const struct dt_epoch_stats *s)
{
    const struct {
        const char *name;
        uint64_t n;
    } v[] = {
        {"negotiated", s->negotiated},
        {"verified", s->verified},
        {"unanswered", s->unanswered},
        {"probes", s->probes},
        {"pings", s->pings},
        {"switches", s->switches},
        {"forced_uses", s->forced_uses},
        {"idle_dead", s->idle_dead},
        {"timeouts", s->timeouts},
        {"refused", s->refused},
        {"sessions_opened", s->sessions_opened},
        {"sessions_dropped", s->sessions_dropped},
        {"sessions_lost", s->sessions_lost},
        {"expired", s->expired},
    };
    json_t *x = json_object();
    for (size_t i = 0; i < DT_ARRAY_LEN(v); i++)
        json_object_set_new(x, v[i].name, json_integer((json_int_t)v[i].n));
    json_object_set_new(o, "counters", x);
}

static void set_dp(struct daemon *d, json_t *o, uint32_t id)
{
    struct dt_dp_tunnel_counters c = {0};
    dt_dp_tunnel_counters(d->dp, id, &c);
    json_object_set_new(o, "rx_packets", json_integer((json_int_t)c.rx_packets));
    json_object_set_new(o, "rx_bytes", json_integer((json_int_t)c.rx_bytes));
    json_object_set_new(o, "tx_packets", json_integer((json_int_t)c.tx_packets));
    json_object_set_new(o, "tx_bytes", json_integer((json_int_t)c.tx_bytes));
    json_object_set_new(o, "held_packets", json_integer((json_int_t)c.held));
    json_object_set_new(
        o, "dropped_packets",
        json_integer((json_int_t)(c.hold_drops + c.drops + c.selector_drops + c.fragment_drops)));
    json_object_set_new(o, "drops",
                        json_pack("{s:I, s:I, s:I, s:I}", "held", (json_int_t)c.hold_drops, "down",
                                  (json_int_t)c.drops, "selectors", (json_int_t)c.selector_drops, "fragment",
                                  (json_int_t)c.fragment_drops));
    if (c.mtu != 0)
        json_object_set_new(o, "mtu", json_integer(c.mtu));
}

/* What is in the way. Nobody may have said anything yet: then whom we wait for. */
static void set_why(json_t *o, const struct dt_tunnel_info *i)
{
    char text[DT_ERR_TEXT + 64], addr[DT_ADDR_STRLEN];
    const char *doing = dt_tunnel_state_str(i->state, i->client);
    if (i->unproved != DT_UNPROVED_NOT)
        snprintf(text, sizeof(text), "%s", dt_unproved_str(i->unproved));
    else if (i->why[0] != '\0')
        snprintf(text, sizeof(text), "%s", i->why);
    else if (i->client && i->started && i->path.remote.addr.ver != 0)
        snprintf(text, sizeof(text), "%s with %s: no answer yet", doing,
                 dt_addr_str(addr, &i->path.remote.addr));
    else
        snprintf(text, sizeof(text), "%s", doing);
    json_object_set_new(o, "why", json_string(text));
}

/* What people want to know of it: does it carry their packets? */
static const char *state_name(const struct dt_tunnel_info *i)
{
    switch (i->state) {
    case DT_TUNNEL_DOWN:
        return "down";
    case DT_TUNNEL_UP:
    case DT_TUNNEL_PINGING:
        return "up";
    case DT_TUNNEL_UNPROVED:
        return "unproved";
    case DT_TUNNEL_PROBING:
        if (i->client)
            return "probing";
        break;
    case DT_TUNNEL_WAITING:
    case DT_TUNNEL_OPENING:
    case DT_TUNNEL_NEGOTIATING:
    case DT_TUNNEL_HOLDING:
        break;
    }
    return i->epoch != 0 ? "stale" : "connecting";
}

/* How each end has proved who it is. */
static void set_proof(json_t *o, const struct dt_tunnel_info *i)
{
    char own[48], peer[48], day[32];
    struct tm tm;
    time_t until = (time_t)i->peer_cert_until;
    if (i->own_method == 0 || i->peer_method == 0)
        return;
    json_t *p = json_pack("{s:s, s:s}", "own", dt_ike_auth_method_str(own, i->own_method), "peer",
                          dt_ike_auth_method_str(peer, i->peer_method));
    if (i->peer_cert[0] != '\0' && gmtime_r(&until, &tm) != NULL &&
        strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
        json_object_set_new(p, "certificate", json_string(i->peer_cert));
        json_object_set_new(p, "until", json_string(day));
    }
    json_object_set_new(o, "proof", p);
}

/* What endpoint and data path know of a tunnel, of either role. */
static json_t *info_json(struct daemon *d, const struct dt_tunnel_info *i)
{
    dt_time now = daemon_now();
    json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "state", state_name(i), "doing",
                          dt_tunnel_state_str(i->state, i->client), "verified", i->verified, "encap",
                          i->nepochs == 0 ? ""
                          : i->natt       ? "udp"
                                          : "esp");
    if (i->epoch != 0)
        json_object_set_new(o, "epoch", json_integer(i->epoch));
    dt_time heard = i->heard;
    for (size_t k = 0; k < i->nepochs; k++) {
        struct dt_dp_sa_counters c;
        if (dt_dp_sa_counters(d->dp, i->epochs[k].sa, &c) && c.in.last > heard)
            heard = c.in.last;
    }
    if (heard != 0)
        json_object_set_new(o, "heard_s_ago", json_real(dt_time_seconds(dt_time_sub(now, heard))));
    if (i->rtt != 0)
        json_object_set_new(o, "rtt_ms", json_real((double)i->rtt / 1e6));
    if (!i->verified)
        set_why(o, i);
    if (i->elsewhere.addr.ver != 0) {
        char at[DT_ADDRPORT_STRLEN];
        json_object_set_new(o, "elsewhere",
                            json_pack("{s:s, s:f}", "address", dt_addrport_str(at, &i->elsewhere), "s_ago",
                                      dt_time_seconds(dt_time_sub(now, i->elsewhere_at))));
    }
    set_id(o, "local", &i->local_id);
    set_id(o, "remote", &i->remote_id);
    /* What was is not told of what is down: addresses, and what had been negotiated. */
    struct dt_tunnel_info none = {0};
    const struct dt_tunnel_info *there = i->started ? i : &none, *agreed = i->nepochs > 0 ? i : &none;
    set_addrport(o, "local_address", &there->path.local, i->natt);
    set_addrport(o, "remote_address", &there->path.remote, i->natt);
    set_inside(o, &there->inside);
    json_object_set_new(o, "local_selectors", selectors_json(&agreed->local_ts));
    json_object_set_new(o, "remote_selectors", selectors_json(&agreed->remote_ts));
    if (agreed->probe_dst.ver != 0)
        json_object_set_new(o, "probe", addr_json(&i->probe_dst));
    if (agreed->nepochs > 0 && i->client)
        json_object_set_new(o, "probe_kind", json_string(dt_probe_kind_str(i->probe_kind)));
    set_proof(o, i);
    json_object_set_new(o, "peer_is_dovetail", json_boolean(i->peer_is_dovetail));
    json_t *epochs = json_array();
    for (size_t k = 0; k < i->nepochs; k++)
        json_array_append_new(epochs, epoch_json(d, &i->epochs[k], i->client, now));
    json_object_set_new(o, "epochs", epochs);
    set_stats(o, &i->stats);
    set_dp(d, o, i->tunnel);
    return o;
}

static const char *not_wanted_because(const struct tun *t)
{
    if (t->unsure)
        return "whether it was wanted before the restart is not known, so it stays closed: say `dovetail up` "
               "or "
               "`dovetail down`";
    return t->taken_down ? "taken down with `dovetail down`" : "waits for `dovetail up` (start = manual)";
}

json_t *status_tunnel(struct daemon *d, struct tun *t)
{
    struct dt_tunnel_info info;
    json_t *o;
    if (t->id != 0 && dt_endpoint_tunnel_info(d->ep, t->id, &info)) {
        o = info_json(d, &info);
        if (t->encap_why[0] != '\0' && info.nepochs > 0)
            json_object_set_new(o, "encap_why", json_string(t->encap_why));
        const char *blocked = info.up ? routes_missing(d, t) : NULL;
        if (blocked != NULL) { /* the session is there, packets are not */
            json_object_set_new(o, "state", json_string("blocked"));
            json_object_set_new(o, "why", json_string(blocked));
        }
        if (!info.verified && t->rp_filter[0] != '\0')
            json_object_set_new(o, "why", json_string(t->rp_filter));
        if (!t->wanted)
            json_object_set_new(o, "why", json_string(not_wanted_because(t)));
        else if (!info.started && t->cfg.start == DT_START_DEMAND)
            json_object_set_new(o, "why", json_string("waits for a packet (start = demand)"));
    } else {
        o = json_pack("{s:s, s:b, s:s}", "state", t->wanted ? "connecting" : "down", "verified", 0, "why",
                      !t->wanted          ? not_wanted_because(t)
                      : t->resolve_why[0] ? t->resolve_why
                                          : "the name of its gateway is being resolved");
    }
    json_object_set_new(o, "name", json_string(t->cfg.cfg.name));
    json_object_set_new(o, "protect", selectors_json(&t->cfg.cfg.protect));
    json_object_set_new(o, "own_networks", lan_json(d, &t->cfg));
    if (t->cfg.shares[0] != '\0')
        json_object_set_new(o, "shares", json_string(t->cfg.shares));
    json_object_set_new(o, "closed", closed_tunnel_json(t));
    json_object_set_new(o, "left", families_json(t));
    names_tell(d, t, o);
    json_t *hosts = json_array();
    for (size_t i = 0; i < t->cfg.nhost; i++)
        json_array_append_new(hosts, host_json(&t->cfg, i));
    json_object_set_new(o, "gateway", hosts);
    return o;
}

/* Its text, where that is no identity's as people write them. */
static bool escaped(const char *name)
{
    return strchr(name, '\\') != NULL;
}

uint32_t client_next(struct daemon *d, const char *name, uint32_t after)
{
    struct dt_ike_id id;
    struct dt_tunnel_info info;
    uint32_t found = 0;
    if (!escaped(name) && dt_ike_id_parse(&id, name) == 0)
        dt_list_for_each (l, &d->gates) {
            uint32_t t = dt_endpoint_client(d->ep, DT_CONTAINER_OF(l, struct gate, link)->id, &id);
            if (t > after && (found == 0 || t < found))
                found = t;
        }
    else
        for (uint32_t t = dt_endpoint_tunnel_next(d->ep, after); t != 0 && found == 0;
             t = dt_endpoint_tunnel_next(d->ep, t))
            if (dt_endpoint_tunnel_gateway(d->ep, t) != 0 && dt_endpoint_tunnel_info(d->ep, t, &info) &&
                client_is(&info.remote_id, name))
                found = t;
    return found;
}

json_t *status_client(struct daemon *d, uint32_t client)
{
    struct dt_tunnel_info info;
    char who[DT_IKE_ID_STRLEN];
    if (!dt_endpoint_tunnel_info(d->ep, client, &info))
        return json_null();
    json_t *o = info_json(d, &info);
    json_object_set_new(o, "identity", json_string(dt_ike_id_str(who, &info.remote_id)));
    return o;
}

static void add_remark(void *ctx, const char *text)
{
    json_array_append_new(ctx, json_string(text));
}

json_t *status_gateway(struct daemon *d, struct gate *g)
{
    json_t *listen = json_array();
    for (size_t i = 0; i < g->cfg.cfg.nlisten; i++)
        json_array_append_new(listen, addr_json(&g->cfg.cfg.listen[i]));
    if (g->cfg.cfg.nlisten == 0)
        json_array_append_new(listen, json_string("any address"));
    json_t *o = json_pack("{s:s, s:o, s:o}", "name", g->cfg.cfg.name, "listen", listen, "protect",
                          selectors_json(&g->cfg.cfg.protect));
    set_id(o, "identity", &g->cfg.cfg.identity);
    json_t *remarks = json_array();
    dt_config_gateway_remarks(&g->cfg, add_remark, remarks);
    json_object_set_new(o, "remarks", remarks);
    json_object_set_new(o, "closed", closed_gate_json(g));
    const char *blocked = routes_gateway_missing(d, g);
    if (blocked != NULL)
        json_object_set_new(o, "blocked", json_string(blocked));
    return o;
}

static bool is_gateway(struct daemon *d, const char *name)
{
    dt_list_for_each (l, &d->gates)
        if (strcmp(DT_CONTAINER_OF(l, struct gate, link)->cfg.cfg.name, name) == 0)
            return true;
    return false;
}

const char *status_unknown(struct daemon *d, const json_t *names)
{
    size_t i;
    json_t *v;
    json_array_foreach(names, i, v)
    {
        const char *name = json_string_value(v);
        if (name == NULL)
            return "";
        if (tun_by_name(d, name) == NULL && !is_gateway(d, name) && client_next(d, name, 0) == 0)
            return name;
    }
    return NULL;
}

json_t *status_ike(struct daemon *d)
{
    const struct dt_ike_counters *c = dt_ike_counters(dt_endpoint_ike(d->ep));
    struct dt_ike_usage u = dt_ike_usage(dt_endpoint_ike(d->ep));
    const struct {
        const char *name;
        uint64_t n;
    } v[] = {
        {"in", c->in},
        {"out", c->out},
        {"malformed", c->malformed},
        {"unknown_spi", c->unknown_spi},
        {"bad_integrity", c->bad_integrity},
        {"cookies_sent", c->cookies_sent},
        {"half_open", u.half_open},
        {"half_open_sources", u.sources},
        {"half_open_dropped", c->half_open_dropped},
        {"half_open_pushed_out", c->half_open_pushed_out},
        {"work_limited", c->work_limited},
        {"work_limited_source", c->work_limited_source},
        {"work_queue_full", c->work_queue_full},
        {"answers_limited", c->rate_limited},
        {"auth_failed", c->auth_failed},
        {"retransmits", c->retransmits_out},
    };
    json_t *o = json_object();
    for (size_t i = 0; i < DT_ARRAY_LEN(v); i++)
        json_object_set_new(o, v[i].name, json_integer((json_int_t)v[i].n));
    return o;
}
