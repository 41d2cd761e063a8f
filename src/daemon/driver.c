/* What the endpoint asks for, done with sockets, data path and leases; and what the data path reports, told to the
 * endpoint. */

#include "daemon/driver.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "daemon/keylog.h"
#include "daemon/refusals.h"
#include "daemon/top.h"
#include "daemon/waits.h"
#include "discovery/discovery.h"
#include "net/udp_socket.h"
#include "plans/plans.h"
#include "tunnels/carry.h"
#include "tunnels/daemon.h"
#include "tunnels/leases.h"
#include "tunnels/monitors.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"
#include "wire/dummy.h"

/* ---- datagrams ---- */

static void send_ike(void *user, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags)
{
    struct daemon *d = user;
    struct dt_err err = {0};
    bool nested = plans_nested(d, &path->remote.addr);
    int rc;
    if (flags & DT_IKE_SEND_KEEPALIVE)
        rc = dt_dp_send_keepalive(d->dp, path, nested, &err);
    else if (path->natt)
        rc = dt_dp_send_ike(d->dp, path, data, len, nested, &err);
    else
        rc = dt_udp_send(path->remote.addr.ver == 4 ? d->ike4_fd[nested] : d->ike6_fd[nested], path, data,
                         len, &err);
    if (rc != 0)
        LOG(DT_LOG_DEBUG, "an IKE message was not sent: %s", err.text);
}

/* ---- SAs ---- */

static struct dt_span part(const uint8_t *key, size_t at, size_t len)
{
    return dt_span(key + at, len);
}

/* Transport mode keeps the packet's own header, whose addresses a NAT changes under the checksum of what is inside. */
static int check_nat(struct daemon *d, const struct dt_endpoint_admission *a, struct dt_err *err)
{
    struct tun *t = tun_by_id(d, a->tunnel);
    if (t == NULL || !a->transport || !a->path->natt || t->cfg.cfg.encap != DT_ENCAP_ESP)
        return 0;
    dt_err_set(
        err, 0,
        "there is a NAT on the way: it changes addresses that the checksum inside transport mode covers, and "
        "cannot mend it; encap = \"udp\" carries it, or a tunnel");
    plans_refuse(d, t, err->text);
    return -1;
}

/* A gateway may lease nothing that this host has already: it would take that address's traffic, or lock the host out. What
 * stands on our own device is a lease. */
static int admission_check_inside(struct daemon *d, const struct dt_endpoint_admission *a, struct dt_err *err)
{
    struct dt_nl_addrs here = {.v = NULL};
    char text[DT_ADDR_STRLEN];
    int rc = 0;
    if (!a->client || a->inside == NULL || (!a->inside->addr4.ver && !a->inside->addr6.ver))
        return 0;
    if (dt_nl_addrs_of(d->nl, 0, &here, err) != 0)
        return -1;
    for (size_t i = 0; i < here.n && rc == 0; i++) {
        const struct dt_addr *x = &here.v[i].addr;
        if (here.v[i].ifindex != dt_dp_tun_index(d->dp) &&
            (dt_addr_eq(x, &a->inside->addr4) || dt_addr_eq(x, &a->inside->addr6)))
            rc = dt_err_set(err, DT_N_INTERNAL_ADDRESS_FAILURE,
                            "the gateway leases %s, which is an address of this host already",
                            dt_addr_str(text, x));
    }
    dt_nl_addrs_free(&here);
    return rc;
}

/* The peer hears that there is no room, instead of a DELETE of what was agreed. */
static int check_room(struct daemon *d, const struct dt_endpoint_admission *a, struct dt_err *err)
{
    struct dt_err full = {0};
    if (dt_dp_room(d->dp, a->tunnel, &full) == 0)
        return 0;
    return dt_err_set(err, DT_N_NO_ADDITIONAL_SAS, "the data path is full: %s", full.text);
}

static int driver_admit(void *user, dt_time now, const struct dt_endpoint_admission *a, struct dt_err *err)
{
    struct daemon *d = user;
    return discover_admit(d, a, err) != 0 || check_nat(d, a, err) != 0 ||
                   admission_check_inside(d, a, err) != 0 || check_room(d, a, err) != 0
               ? -1
               : 0;
}

/* The SA and its tunnel's selectors, both or neither. A tunnel that is there already has the SA first, and then what goes
 * into it. */
static int add_to_data_path(struct daemon *d, const struct dt_dp_sa *x, struct dt_err *err)
{
    uint32_t id = (uint32_t)x->tunnel;
    bool fresh = !carry_has(d, id);
    if (fresh && carry_set(d, id, &x->local, &x->remote, err) != 0)
        return -1;
    if (dt_dp_sa_add(d->dp, x, err) != 0) {
        if (fresh)
            carry_forget(d, id);
        return -1;
    }
    struct dt_tunnel_info info;
    bool same = dt_endpoint_tunnel_info(d->ep, id, &info) && dt_selectors_eq(&info.local_ts, &x->local) &&
                dt_selectors_eq(&info.remote_ts, &x->remote);
    if (fresh || same || carry_set(d, id, &x->local, &x->remote, err) == 0)
        return 0;
    dt_dp_sa_remove(d->dp, x->id);
    return -1;
}

static int sa_install(void *user, dt_time now, const struct dt_endpoint_sa *sa, struct dt_err *err)
{
    struct daemon *d = user;
    size_t klen = dt_suite_key_len(&sa->suite), ilen = dt_suite_integ_len(&sa->suite);
    if (klen + ilen != sa->key_len)
        return dt_err_set(err, 0, "the keys have %u bytes, the suite takes %zu", sa->key_len, klen + ilen);
    struct dt_dp_sa x = {
        .id = sa->sa, .tunnel = sa->tunnel, .path = sa->path, .local = sa->local_ts, .remote = sa->remote_ts};
    x.in = (struct dt_esp_params){.spi = sa->spi_in,
                                  .suite = sa->suite,
                                  .key = part(sa->key_in, 0, klen),
                                  .integ_key = part(sa->key_in, klen, ilen),
                                  .esn = sa->esn,
                                  .mode = sa->transport ? DT_ESP_TRANSPORT : DT_ESP_TUNNEL};
    x.out = x.in;
    x.out.spi = sa->spi_out;
    x.out.key = part(sa->key_out, 0, klen);
    x.out.integ_key = part(sa->key_out, klen, ilen);
    struct tun *t = tun_by_id(d, sa->tunnel);
    x.below = t != NULL ? t->below : 0;
    if (sa->transport && sa->path.natt && sa->local_ts.n == 1 && sa->remote_ts.n == 1) {
        /* What a NAT has changed is put back, or the checksum inside is wrong (RFC 3948 3.1.2). */
        x.inner_local = sa->local_ts.v[0].range.from;
        x.inner_remote = sa->remote_ts.v[0].range.from;
    }
    x.answer_dummy = sa->answer_dummy;
    x.answer4 = sa->answer4;
    x.answer6 = sa->answer6;
    keylog_sa(d, sa);
    return add_to_data_path(d, &x, err);
}

static void sa_remove(void *user, dt_time now, uint64_t sa)
{
    struct daemon *d = user;
    dt_dp_sa_remove(d->dp, sa);
}

static void sa_path(void *user, dt_time now, uint64_t sa, const struct dt_path *path)
{
    struct daemon *d = user;
    struct dt_err err = {0};
    if (dt_dp_sa_path(d->dp, sa, path, &err) != 0)
        LOG(DT_LOG_WARN, "the new path is not taken: %s", err.text);
}

static void outbound(void *user, dt_time now, uint32_t tunnel, enum dt_outbound how, uint64_t sa, bool forced)
{
    static const enum dt_dp_state state[] = {
        [DT_OUTBOUND_SA] = DT_DP_SEND, [DT_OUTBOUND_HOLD] = DT_DP_HOLD, [DT_OUTBOUND_DROP] = DT_DP_DROP};
    struct daemon *d = user;
    struct dt_err err = {0};
    if (!carry_has(d, tunnel)) {
        struct tun *t = tun_by_id(d, tunnel);
        if (how == DT_OUTBOUND_DROP || t == NULL || carry_set_from_config(d, t, &err) != 0)
            return;
    }
    if (dt_dp_tunnel_state(d->dp, tunnel, state[how], how == DT_OUTBOUND_SA ? sa : 0, &err) != 0)
        LOG(DT_LOG_WARN, "tunnel %u: %s", tunnel, err.text);
}

static void probe(void *user, dt_time now, const struct dt_endpoint_probe *p)
{
    struct daemon *d = user;
    struct dt_err err = {0};
    struct dt_dp_probe out = {.ident = p->ident, .seq = p->seq, .src = p->src, .dst = p->dst, .ttl = p->ttl};
    if (p->kind == DT_PROBE_DUMMY)
        out.dummy = p->size > DT_DUMMY_LEN ? p->size : DT_DUMMY_LEN;
    if (dt_dp_probe(d->dp, p->sa, &out, &err) != 0)
        LOG(DT_LOG_DEBUG, "a probe was not sent: %s", err.text);
}

static dt_time last_heard(void *user, uint64_t sa)
{
    struct daemon *d = user;
    struct dt_dp_sa_counters c;
    return dt_dp_sa_counters(d->dp, sa, &c) ? c.in.last : 0;
}

/* ---- addresses, secrets, leases ---- */

static void tunnel_changed(void *user, dt_time now, uint32_t tunnel, bool gone)
{
    struct daemon *d = user;
    struct dt_tunnel_info info;
    struct dt_err err = {0};
    if (gone) {
        carry_forget(d, tunnel);
    } else if (dt_endpoint_tunnel_info(d->ep, tunnel, &info) && info.local_ts.n && info.remote_ts.n &&
               carry_set(d, tunnel, &info.local_ts, &info.remote_ts, &err) != 0) {
        LOG(DT_LOG_WARN, "tunnel %u: %s", tunnel, err.text);
    }
    struct tun *t = tun_by_id(d, tunnel);
    if (t != NULL && !gone)
        routes_want_again(d);
}

/* The kernel's choice towards that gateway, asked anew each time. An inside address is nobody's way to a gateway; the kernel may
 * take one for an uplink that has no address of its own. Any other address of this host, of a bridge or a LAN, has
 * no way there, or one that nobody meant: `source` names those that are meant. */
static bool local_addr(void *user, uint32_t tunnel, const struct dt_addr *remote, struct dt_addr *local)
{
    struct daemon *d = user;
    struct tun *t = tun_by_id(d, tunnel);
    uint32_t mark = t != NULL && t->below != 0 ? DT_DP_MARK_NESTED : DT_DP_MARK;
    memset(local, 0, sizeof(*local));
    return dt_nl_route_get(d->nl, remote, mark, local, NULL, NULL) == 0 && local->ver == remote->ver &&
           (mark == DT_DP_MARK_NESTED || !dt_endpoint_has_inside(d->ep, local));
}

static int psk(void *user, uint32_t tunnel, uint32_t gateway, const struct dt_ike_id *local,
               const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    struct daemon *d = user;
    struct tun *t = tunnel != 0 ? tun_by_id(d, tunnel) : NULL;
    struct gate *g = gateway != 0 ? gate_by_id(d, gateway) : NULL;
    if (t != NULL &&
        t->cfg.discovered) /* who begins knows the other by its word alone (discovery/tunnels.c) */
        return discover_psk(d, remote->type == DT_ID_ANY ? &t->cfg.cfg.remote_id : remote, key);
    if (g != NULL && g->discovery)
        return discover_psk(d, remote, key);
    const struct dt_config_psk *p = t != NULL   ? &t->cfg.psk
                                    : g != NULL ? dt_config_gateway_psk(&g->cfg, remote)
                                                : NULL;
    if (p == NULL || p->len == 0)
        return -1;
    memcpy(key, p->key, p->len);
    return p->len;
}

static int64_t driver_wall(void *user)
{
    return (int64_t)time(NULL);
}

static void driver_may_prove(void *user, uint32_t gateway, const struct dt_ike_id *peer,
                             struct dt_ike_may *may)
{
    const struct gate *g = gate_by_id(user, gateway);
    if (g != NULL && !g->discovery)
        *may = dt_config_gateway_may(&g->cfg, peer);
}

static void authority(void *user, uint32_t gateway, const struct dt_ike_id *peer, struct dt_authority *out)
{
    struct daemon *d = user;
    const struct gate *g = gate_by_id(d, gateway);
    if (g != NULL && g->discovery)
        discover_authority(d, &g->cfg, peer, out);
    else if (g != NULL)
        dt_config_gateway_networks(&g->cfg, peer, &out->networks);
}

/* ---- events ---- */

static enum dt_log_level level_of(const struct dt_event *ev)
{
    switch (ev->kind) {
    case DT_EVENT_IKE: /* refusals, but also collisions and NATs that were found */
        return ev->ike == DT_IKE_EV_PEER_REFUSED || ev->ike == DT_IKE_EV_REFUSED ? DT_LOG_WARN : DT_LOG_INFO;
    case DT_EVENT_TURNED_AWAY:
    case DT_EVENT_ELSEWHERE:
    case DT_EVENT_DOWN:
    case DT_EVENT_PROOF_LOST:
    case DT_EVENT_UNPROVED:
    case DT_EVENT_LIMIT:
    case DT_EPOCH_UNANSWERED:
    case DT_EPOCH_IDLE_DEAD:
    case DT_EPOCH_TIMEOUT:
    case DT_EPOCH_REFUSED:
    case DT_EPOCH_SESSION_LOST:
    case DT_EPOCH_UNVERIFIED_USE:
        return DT_LOG_WARN;
    case DT_EPOCH_PING_REPLY:
    case DT_EPOCH_IDLE:
    case DT_EPOCH_IDLE_OVER:
    case DT_EVENT_SUSPECT:
    case DT_EVENT_UNKNOWN_SPI:
        return DT_LOG_DEBUG;
    default:
        return DT_LOG_INFO;
    }
}

#define STRANGERS_A_SECOND 10

/* What strangers cause may not fill a disk. */
static bool log_stranger(struct daemon *d)
{
    dt_time second = daemon_now() / DT_SEC;
    if (second != d->top->strangers.second) {
        if (d->top->strangers.n > STRANGERS_A_SECOND)
            LOG(DT_LOG_WARN, "%u more lines about strangers were left out",
                d->top->strangers.n - STRANGERS_A_SECOND);
        d->top->strangers.second = second;
        d->top->strangers.n = 0;
    }
    return ++d->top->strangers.n <= STRANGERS_A_SECOND;
}

/* Somebody hears that a tunnel is up; what nobody waits for is set at the end of the turn, for all tunnels at once. */
static bool news_of_up(const struct daemon *d, const struct dt_event *ev)
{
    return (ev->kind == DT_EVENT_UP || ev->kind == DT_EVENT_UNPROVED) &&
           (!dt_list_empty(&d->top->waits) || !dt_list_empty(&d->monitors) || d->plans != NULL);
}

static void driver_event(void *user, const struct dt_event *ev)
{
    struct daemon *d = user;
    d->top->events++;
    if (ev->tunnel != 0 || log_stranger(d))
        LOG(level_of(ev), "%s%s%s", ev->tunnel_name, *ev->tunnel_name ? ": " : "", ev->text);
    struct tun *t = ev->tunnel != 0 ? tun_by_id(d, ev->tunnel) : NULL;
    if (t != NULL && ev->kind == DT_EVENT_ENCAP_CHOSEN)
        dt_utf8_printf(t->encap_why, sizeof(t->encap_why), "%.150s", ev->text);
    if (t != NULL && ev->kind == DT_EPOCH_REFUSED)
        t->refusals++;
    if (t != NULL && (ev->kind == DT_EPOCH_SESSION_DROPPED || ev->kind == DT_EPOCH_SESSION_LOST) &&
        t->resolve_at == DT_NEVER)
        t->resolve_at = daemon_now(); /* perhaps the name has another address by now */
    if (news_of_up(d, ev))
        routes_flush(d); /* who hears that it is up may send at once */
    refusals_event(d, ev);
    discover_event(d, ev);
    monitors_event(d, ev);
    waits_event(d, ev);
    plans_event(d, ev);
}

static void driver_keylog(void *user, const char *line)
{
    struct daemon *d = user;
    if (d->top->keylog == NULL)
        return;
    fprintf(d->top->keylog, "%s\n", line);
    fflush(d->top->keylog);
}

const struct dt_endpoint_ops driver_ops = {
    .send_ike = send_ike,
    .admit = driver_admit,
    .sa_install = sa_install,
    .sa_remove = sa_remove,
    .sa_path = sa_path,
    .outbound = outbound,
    .probe = probe,
    .last_heard = last_heard,
    .tunnel = tunnel_changed,
    .local_addr = local_addr,
    .psk = psk,
    .wall = driver_wall,
    .may_prove = driver_may_prove,
    .authority = authority,
    .lease = leases_take,
    .release = leases_release,
    .event = driver_event,
    .keylog = driver_keylog,
};

static void tunnel_lost(struct daemon *d, struct tun *t, const char *why)
{
    plans_forget(d, t, why);
}

static void tunnel_removed(struct daemon *d, struct tun *t)
{
    waits_forget(d, t);
}

const struct daemon_above driver_above = {
    .tunnel_lost = tunnel_lost,
    .tunnel_removed = tunnel_removed,
    .want = discover_want,
    .looked = discover_look_where_it_leads,
    .discovery_missing = discover_missing,
};

/* ---- from the data path ---- */

void driver_dp_event(struct daemon *d, const struct dt_dp_event *ev)
{
    dt_time now = daemon_now();
    switch (ev->kind) {
    case DT_DP_IKE:
        dt_endpoint_ike_input(d->ep, now, &ev->path, ev->data, ev->len);
        break;
    case DT_DP_FIRST:
        dt_endpoint_heard(d->ep, now, ev->sa);
        break;
    case DT_DP_PROBE_REPLY:
        dt_endpoint_probe_reply(d->ep, now, ev->sa, ev->ident, ev->seq);
        break;
    case DT_DP_SOFT:
        dt_endpoint_soft_limit(d->ep, now, ev->sa);
        break;
    case DT_DP_HARD:
        dt_endpoint_hard_limit(d->ep, now, ev->sa);
        break;
    case DT_DP_NO_SA:
        dt_endpoint_unknown_spi(d->ep, now, ev->spi, &ev->path.remote.addr);
        break;
    case DT_DP_PATH_CHANGED:
        dt_endpoint_peer_moved(d->ep, now, ev->sa, &ev->path.remote);
        break;
    case DT_DP_NEED_TUNNEL: {
        if (discover_need(d, ev))
            break;
        struct tun *t = tun_by_id(d, (uint32_t)ev->tunnel);
        if (t != NULL && t->ruled)
            plans_need(d, ev);
        else if (t != NULL && t->wanted)
            dt_endpoint_up(d->ep, now, t->id);
        break;
    }
    case DT_DP_PATH_MTU:
        LOG(DT_LOG_INFO, "the path carries packets of at most %u bytes", ev->mtu);
        break;
    case DT_DP_LOST:
        LOG(DT_LOG_WARN, "%llu events of the data path were lost: it is faster than the control thread",
            (unsigned long long)ev->count);
        break;
    case DT_DP_NONE:
        break;
    }
}
