/* The control thread's side of the data path: tunnels and SAs, published for the workers. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>

#include "net/dp.h"
#include "wire/dummy.h"
#include "wire/esp.h"

static dt_time publish_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (dt_time)ts.tv_sec * DT_SEC + (dt_time)ts.tv_nsec;
}

static uint64_t id_hash(const struct dt_dp *dp, uint64_t id)
{
    return dt_siphash(&dp->hash_key, &id, sizeof id);
}

static struct dp_tunnel *tunnel_by_id(const struct dt_dp *dp, uint64_t id)
{
    struct dt_table_node *n = dt_table_first(&dp->tunnel_ids, id_hash(dp, id));
    for (; n; n = dt_table_next(n))
        if (DT_CONTAINER_OF(n, struct dp_tunnel, by_id)->id == id)
            return DT_CONTAINER_OF(n, struct dp_tunnel, by_id);
    return NULL;
}

static struct dp_sa *sa_by_id(const struct dt_dp *dp, uint64_t id)
{
    struct dt_table_node *n = dt_table_first(&dp->sa_ids, id_hash(dp, id));
    for (; n; n = dt_table_next(n))
        if (DT_CONTAINER_OF(n, struct dp_sa, by_id)->id == id)
            return DT_CONTAINER_OF(n, struct dp_sa, by_id);
    return NULL;
}

static void tell_all(struct dt_dp *dp, uint64_t tunnel)
{
    struct dp_cmd cmd = {.kind = DP_CMD_RELEASE, .tunnel = tunnel};
    for (unsigned i = 0; i < dp->nworkers; i++) {
        struct dp_worker *w = dp->worker[i];
        if (!dp_worker_tell(w, &cmd)) {
            atomic_store(&w->release_all, true);
            dp_worker_tell(w, &cmd);
        }
    }
}

/* ---- tunnels ------------------------------------------------------------------------------------- */

static void free_desc(struct rcu_head *h)
{
    free(caa_container_of(h, struct dp_desc, rcu));
}

static void free_tunnel(struct rcu_head *h)
{
    struct dp_tunnel *t = caa_container_of(h, struct dp_tunnel, rcu);
    dp_hold_free(t->dp, t);
    free(t->desc);
    free(t);
}

static struct dp_tunnel *tunnel_new(struct dt_dp *dp, uint64_t id, struct dt_err *err)
{
    if (dp->tunnel_ids.count >= dp->cfg.tunnels_max) {
        dt_err_set(err, 0, "no more than %u tunnels", dp->cfg.tunnels_max);
        return NULL;
    }
    struct dp_tunnel *t = calloc(1, sizeof *t + dp->nworkers * sizeof t->part[0]);
    if (!t) {
        dt_err_set(err, 0, "out of memory for a tunnel");
        return NULL;
    }
    t->dp = dp;
    t->id = id;
    t->age = dp->next_age++;
    t->workers = dp->nworkers;
    return t;
}

int dt_dp_tunnel_set(struct dt_dp *dp, const struct dt_dp_tunnel *conf, struct dt_err *err)
{
    struct dp_tunnel *t = tunnel_by_id(dp, conf->id);
    bool fresh = !t;
    if (conf->id == DT_DP_BY_SELECTORS || conf->id == DT_DP_DISCARD)
        return dt_err_set(err, 0, "%llu is no tunnel's number", (unsigned long long)conf->id);
    struct dp_desc *d = calloc(1, sizeof *d), *old = NULL;
    if (!d || (fresh && !(t = tunnel_new(dp, conf->id, err)))) {
        free(d);
        return d ? -1 : dt_err_set(err, 0, "out of memory for a tunnel");
    }
    d->t = *conf;
    if (fresh) {
        t->desc = d;
        dt_out_set(&t->out, conf->hold_first ? DT_OUT_HOLD : DT_OUT_DROP, NULL);
    } else {
        /* What both descriptions carry is found all the while: first the new prefixes, then the new description,
         * last the old prefixes away. */
        old = t->desc;
        if (old->t.order != conf->order)
            dp_lookup_remove(dp, t, old);
    }
    if (dp_lookup_add(dp, t, d, err) < 0 ||
        (fresh && dt_table_insert(&dp->tunnel_ids, &t->by_id, id_hash(dp, t->id)) < 0)) {
        if (fresh) {
            dp_lookup_remove(dp, t, d);
            call_rcu(&t->rcu, free_tunnel);
        } else { /* as it was */
            dp_lookup_trim(dp, t, d, old);
            dp_lookup_add(dp, t, old, NULL);
            call_rcu(&d->rcu, free_desc);
        }
        return -1;
    }
    if (fresh) {
        cds_lfht_node_init(&t->node);
        rcu_read_lock();
        cds_lfht_add(dp->tunnels, dp_hash(dp, &t->id, sizeof t->id), &t->node);
        rcu_read_unlock();
    } else {
        rcu_assign_pointer(t->desc, d);
        dp_lookup_trim(dp, t, old, d);
        call_rcu(&old->rcu, free_desc);
    }
    atomic_fetch_add(&dp->carrier_gen, 1);
    return 0;
}

void dt_dp_tunnel_remove(struct dt_dp *dp, uint64_t id)
{
    struct dp_tunnel *t = tunnel_by_id(dp, id);
    if (!t)
        return;
    dt_out_set(&t->out, DT_OUT_DROP, NULL);
    dp_lookup_remove(dp, t, t->desc);
    rcu_read_lock();
    cds_lfht_del(dp->tunnels, &t->node);
    rcu_read_unlock();
    dt_table_remove(&dp->tunnel_ids, &t->by_id);
    while (t->sas)
        dt_dp_sa_remove(dp, t->sas->id);
    atomic_fetch_add(&dp->carrier_gen, 1);
    call_rcu(&t->rcu, free_tunnel);
}

int dt_dp_tunnel_state(struct dt_dp *dp, uint64_t id, enum dt_dp_state state, uint64_t sa_id,
                       struct dt_err *err)
{
    struct dp_tunnel *t = tunnel_by_id(dp, id);
    struct dp_sa *sa = state == DT_DP_SEND ? sa_by_id(dp, sa_id) : NULL;
    if (!t)
        return dt_err_set(err, 0, "there is no tunnel %llu", (unsigned long long)id);
    if (state == DT_DP_SEND && (!sa || sa->tunnel != t))
        return dt_err_set(err, 0, "tunnel %llu has no SA %llu", (unsigned long long)id,
                          (unsigned long long)sa_id);
    dt_out_set(&t->out, (enum dt_out_state)state, sa);
    if (state != DT_DP_HOLD)
        tell_all(dp, id);
    return 0;
}

void dt_dp_tunnel_rematch(struct dt_dp *dp, uint64_t tunnel)
{
    if (tunnel_by_id(dp, tunnel))
        tell_all(dp, tunnel);
}

bool dt_dp_tunnel_counters(struct dt_dp *dp, uint64_t id, struct dt_dp_tunnel_counters *out)
{
    struct dp_tunnel *t = tunnel_by_id(dp, id);
    if (!t)
        return false;
    *out = (struct dt_dp_tunnel_counters){
        .held = atomic_load(&t->hold.packets),
        .held_bytes = atomic_load(&t->hold.bytes),
        .released = atomic_load(&t->hold.passed),
        .hold_drops = atomic_load(&t->hold.drops),
        .drops = atomic_load(&t->drops),
        .selector_drops = atomic_load(&t->selector_drops),
        .fragment_drops = atomic_load(&t->fragment_drops),
        .too_big = atomic_load(&t->too_big),
        .mtu = atomic_load(&t->signalled),
        .tx_packets = atomic_load(&t->tx_packets),
        .tx_bytes = atomic_load(&t->tx_bytes),
        .rx_packets = atomic_load(&t->rx_packets),
        .rx_bytes = atomic_load(&t->rx_bytes),
    };
    return true;
}

/* ---- SAs ----------------------------------------------------------------------------------------- */

static void free_route(struct rcu_head *h)
{
    free(caa_container_of(h, struct dp_route, rcu));
}

static void destroy_sa(struct dp_sa *sa)
{
    dt_esp_in_free(sa->in);
    dt_esp_out_free(sa->out);
    free(sa->route);
    free(sa);
}

static void free_sa(struct rcu_head *h)
{
    destroy_sa(caa_container_of(h, struct dp_sa, rcu));
}

static struct dp_route *route_new(const struct dt_path *path)
{
    struct dp_route *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->path = *path;
    uint16_t port = path->natt ? htons(path->remote.port) : 0;
    if (path->remote.addr.ver == 4) {
        r->to.sin.sin_family = AF_INET;
        r->to.sin.sin_port = port;
        memcpy(&r->to.sin.sin_addr, path->remote.addr.b, 4);
        r->to_len = sizeof r->to.sin;
    } else {
        r->to.sin6.sin6_family = AF_INET6;
        r->to.sin6.sin6_port = port;
        memcpy(&r->to.sin6.sin6_addr, path->remote.addr.b, 16);
        r->to.sin6.sin6_scope_id = dt_addr_scope(&path->remote.addr);
        r->to_len = sizeof r->to.sin6;
    }
    return r;
}

int dt_dp_room(const struct dt_dp *dp, uint64_t tunnel, struct dt_err *err)
{
    if (dp->sa_ids.count >= dp->cfg.sas_max)
        return dt_err_set(err, 0, "no more than %u SAs", dp->cfg.sas_max);
    if (!tunnel_by_id(dp, tunnel) && dp->tunnel_ids.count >= dp->cfg.tunnels_max)
        return dt_err_set(err, 0, "no more than %u tunnels", dp->cfg.tunnels_max);
    return 0;
}

static int check_path(const struct dt_path *p, struct dt_err *err)
{
    if ((p->remote.addr.ver != 4 && p->remote.addr.ver != 6) || dt_addr_is_any(&p->remote.addr))
        return dt_err_set(err, 0, "an SA needs its peer's address");
    if (p->local.addr.ver && p->local.addr.ver != p->remote.addr.ver)
        return dt_err_set(err, 0, "local and remote outer address are of different versions");
    return 0;
}

static int check_sa(struct dt_dp *dp, const struct dt_dp_sa *conf, struct dt_err *err)
{
    if (conf->id == 0 || sa_by_id(dp, conf->id))
        return dt_err_set(err, 0, "SA number %llu is not free", (unsigned long long)conf->id);
    if (!tunnel_by_id(dp, conf->tunnel))
        return dt_err_set(err, 0, "there is no tunnel %llu", (unsigned long long)conf->tunnel);
    if (dt_dp_room(dp, conf->tunnel, err) < 0)
        return -1;
    rcu_read_lock();
    bool taken = dp_sa_find(dp, conf->in.spi);
    rcu_read_unlock();
    if (taken)
        return dt_err_set(err, 0, "inbound SPI %08x is in use", conf->in.spi);
    return check_path(&conf->path, err);
}

static void publish_sa(struct dt_dp *dp, struct dp_sa *sa, struct dp_tunnel *t)
{
    sa->next_of_tunnel = t->sas;
    sa->prev_of_tunnel = &t->sas;
    if (t->sas)
        t->sas->prev_of_tunnel = &sa->next_of_tunnel;
    t->sas = sa;
    cds_lfht_node_init(&sa->by_spi);
    cds_lfht_node_init(&sa->by_out);
    rcu_read_lock();
    cds_lfht_add(dp->by_out, dp_hash(dp, &sa->spi_out, sizeof sa->spi_out), &sa->by_out);
    cds_lfht_add(dp->by_spi, dp_hash(dp, &sa->spi_in, sizeof sa->spi_in), &sa->by_spi);
    rcu_read_unlock();
}

int dt_dp_sa_add(struct dt_dp *dp, const struct dt_dp_sa *conf, struct dt_err *err)
{
    if (check_sa(dp, conf, err) < 0)
        return -1;
    struct dp_sa *sa = calloc(1, sizeof *sa);
    if (!sa)
        return dt_err_set(err, 0, "out of memory for an SA");
    sa->id = conf->id;
    sa->tunnel = tunnel_by_id(dp, conf->tunnel);
    sa->spi_in = conf->in.spi;
    sa->spi_out = conf->out.spi;
    sa->local = conf->local;
    sa->remote = conf->remote;
    sa->answer4 = conf->answer4;
    sa->answer6 = conf->answer6;
    sa->answer_dummy = conf->answer_dummy;
    sa->inner_local = conf->inner_local;
    sa->inner_remote = conf->inner_remote;
    sa->mode = conf->in.mode;
    sa->below = conf->below;
    sa->route = route_new(&conf->path);
    sa->in = dt_esp_in_new(dp->cfg.crypto, &conf->in, err);
    sa->out = sa->in ? dt_esp_out_new(dp->cfg.crypto, &conf->out, err) : NULL;
    if (!sa->out || !sa->route || dt_table_insert(&dp->sa_ids, &sa->by_id, id_hash(dp, sa->id)) < 0) {
        if (sa->out)
            dt_err_set(err, 0, "out of memory for an SA");
        destroy_sa(sa);
        return -1;
    }
    dp_sa_set_mtu(sa, &conf->path, dp_outer_mtu(dp, sa->route, sa), publish_clock());
    publish_sa(dp, sa, sa->tunnel);
    return 0;
}

int dt_dp_sa_path(struct dt_dp *dp, uint64_t id, const struct dt_path *path, struct dt_err *err)
{
    struct dp_sa *sa = sa_by_id(dp, id);
    if (!sa)
        return dt_err_set(err, 0, "there is no SA %llu", (unsigned long long)id);
    if (check_path(path, err) < 0)
        return -1;
    struct dp_route *r = route_new(path), *old = sa->route;
    if (!r)
        return dt_err_set(err, 0, "out of memory for an SA's path");
    dp_sa_set_mtu(sa, path, dp_outer_mtu(dp, r, sa), publish_clock());
    rcu_assign_pointer(sa->route, r);
    call_rcu(&old->rcu, free_route);
    return 0;
}

void dt_dp_sa_remove(struct dt_dp *dp, uint64_t id)
{
    struct dp_sa *sa = sa_by_id(dp, id);
    if (!sa)
        return;
    struct dp_tunnel *t = sa->tunnel;
    dt_out_sa_gone(&t->out, sa);
    rcu_read_lock();
    cds_lfht_del(dp->by_spi, &sa->by_spi);
    cds_lfht_del(dp->by_out, &sa->by_out);
    rcu_read_unlock();
    dt_table_remove(&dp->sa_ids, &sa->by_id);
    *sa->prev_of_tunnel = sa->next_of_tunnel;
    if (sa->next_of_tunnel)
        sa->next_of_tunnel->prev_of_tunnel = sa->prev_of_tunnel;
    call_rcu(&sa->rcu, free_sa);
}

bool dt_dp_sa_counters(struct dt_dp *dp, uint64_t id, struct dt_dp_sa_counters *out)
{
    struct dp_sa *sa = sa_by_id(dp, id);
    if (!sa)
        return false;
    dt_esp_in_counters(sa->in, &out->in);
    dt_esp_out_counters(sa->out, &out->out);
    out->in_selector_drops = atomic_load(&sa->selector_drops);
    out->in_bad_inner = atomic_load(&sa->bad_inner);
    out->path_mtu = atomic_load(&sa->mtu);
    return true;
}

/* ---- control packets ----------------------------------------------------------------------------- */

int dt_dp_probe(struct dt_dp *dp, uint64_t id, const struct dt_dp_probe *p, struct dt_err *err)
{
    struct dp_sa *sa = sa_by_id(dp, id);
    if (!sa)
        return dt_err_set(err, 0, "there is no SA %llu", (unsigned long long)id);
    if (p->dummy && p->dummy < DT_DUMMY_LEN)
        return dt_err_set(err, 0, "a dummy control packet has at least %u octets", DT_DUMMY_LEN);
    if (!p->dummy && (p->src.ver != p->dst.ver || (p->src.ver != 4 && p->src.ver != 6)))
        return dt_err_set(err, 0, "a control packet needs two addresses of one version");
    struct dp_cmd cmd = {.kind = DP_CMD_PROBE,
                         .spi_in = sa->spi_in,
                         .src = p->src,
                         .dst = p->dst,
                         .ident = p->ident,
                         .seq = p->seq,
                         .dummy = p->dummy,
                         .ttl = p->ttl};
    if (!dp_worker_tell(dp->worker[sa->spi_in % dp->nworkers], &cmd))
        return dt_err_set(err, 0, "the worker's queue of commands is full");
    return 0;
}
