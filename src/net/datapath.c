/* The control thread's side of the data path: opening, starting, closing, events, counters. */
#include "net/datapath.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dp.h"
#include "net/netlink.h"
#include "net/outer.h"
#include "net/tun.h"
#include "wire/esp.h"

static void set_defaults(struct dt_dp_config *c)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (!c->crypto)
        c->crypto = dt_crypto_best();
    if (!c->tun_name)
        c->tun_name = "dovetail%d";
    if (c->workers == 0)
        c->workers = cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned)cpus;
    if (c->workers > DT_DP_WORKERS_MAX)
        c->workers = DT_DP_WORKERS_MAX;
#define DEFAULT(field, v) c->field = c->field ? c->field : (v)
    DEFAULT(mtu, 1400);
    DEFAULT(natt_port, DT_PORT_NATT);
    DEFAULT(mark, DT_DP_MARK);
    DEFAULT(mark_nested, DT_DP_MARK_NESTED);
    DEFAULT(hold_packets, DT_HOLD_PACKETS);
    DEFAULT(hold_bytes, DT_HOLD_BYTES);
    DEFAULT(hold_total_bytes, DT_HOLD_TOTAL_BYTES);
    DEFAULT(tunnels_max, 16384);
    DEFAULT(sas_max, 65536);
    DEFAULT(ike_queue, 1024);
    if (c->hold_nothing)
        c->hold_packets = 0;
#undef DEFAULT
}

/* The control thread reads RCU structures too; it may own several data paths. */
static _Thread_local unsigned registered;

struct dt_dp *dt_dp_open(const struct dt_dp_config *cfg, struct dt_err *err)
{
    struct dt_dp *dp = calloc(1, sizeof *dp);
    struct dt_tun tun;
    int fd[DT_DP_WORKERS_MAX];
    const struct dt_rand rand = dt_rand_system();

    if (!dp) {
        dt_err_set(err, 0, "out of memory for the data path");
        return NULL;
    }
    if (registered++ == 0)
        rcu_register_thread();
    dp->cfg = *cfg;
    dp->event_fd = dp->path_mtu.fd4 = dp->path_mtu.fd6 = -1;
    set_defaults(&dp->cfg);
    dp->hold.packets = dp->cfg.hold_packets;
    dp->hold.bytes = dp->cfg.hold_bytes;
    dp->hold.total_bytes = dp->cfg.hold_total_bytes;
    dp->nworkers = dp->cfg.workers;
    dp->next_age = 1;
    dt_rand_fill(&rand, &dp->hash_key, sizeof dp->hash_key);
    dt_table_init(&dp->sa_ids);
    dt_table_init(&dp->tunnel_ids);
    dp->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (dp->event_fd < 0) {
        dt_err_set(err, 0, "cannot set up the data path: %s", strerror(errno));
        goto fail;
    }
    if (dp_path_mtu_open(dp, err) < 0)
        goto fail;
    for (unsigned i = 0; i < dp->nworkers; i++)
        if (!(dp->worker[i] = dp_worker_new(dp, i, err)))
            goto fail;
    /* The device last: when anything else fails it was never there. */
    if (dt_tun_open(&tun, dp->cfg.tun_name, !dp->cfg.no_gso, dp->nworkers, fd, err) < 0)
        goto fail;
    dt_tun_link(&tun, dp->cfg.mtu);
    memcpy(dp->tun_name, tun.name, sizeof dp->tun_name);
    dp->cfg.tun_name = dp->tun_name;
    dp->tun_index = tun.index;
    dp->uso = tun.uso;
    for (unsigned i = 0; i < dp->nworkers; i++)
        dp->worker[i]->tun = fd[i];
    for (unsigned i = 0; i < dp->nworkers; i++)
        if (dp_worker_watch(dp->worker[i], err) < 0)
            goto fail;
    return dp;
fail:
    dt_dp_close(dp);
    return NULL;
}

int dt_dp_start(struct dt_dp *dp, struct dt_err *err)
{
    if (dp_lookup_init(dp) < 0)
        return dt_err_set(err, 0, "out of memory for the data path");
    for (unsigned i = 0; i < dp->nworkers; i++) {
        struct dp_worker *w = dp->worker[i];
        int rc = pthread_create(&w->thread, NULL, dp_worker_main, w);
        if (rc)
            return dt_err_set(err, 0, "cannot start a worker thread: %s", strerror(rc));
        w->running = true;
        char name[24]; /* the kernel takes 15 characters */
        snprintf(name, sizeof name, "dt-worker-%u", i);
        pthread_setname_np(w->thread, name);
    }
    dp->started = true;
    return 0;
}

void dt_dp_close(struct dt_dp *dp)
{
    struct dt_table_iter it = {0};
    struct dt_table_node *n;
    if (!dp)
        return;
    atomic_store(&dp->stop, true);
    for (unsigned i = 0; i < dp->nworkers; i++) {
        struct dp_worker *w = dp->worker[i];
        uint64_t one = 1;
        if (w && w->running && write(w->kick, &one, sizeof one) == sizeof one)
            pthread_join(w->thread, NULL);
    }
    while ((n = dt_table_iterate(&dp->tunnel_ids, &it)))
        dt_dp_tunnel_remove(dp, DT_CONTAINER_OF(n, struct dp_tunnel, by_id)->id);
    rcu_barrier();
    for (unsigned i = 0; i < dp->nworkers; i++)
        dp_worker_free(dp->worker[i]);
    dp_path_mtu_close(dp);
    dp_lookup_free(dp);
    dt_table_free(&dp->sa_ids);
    dt_table_free(&dp->tunnel_ids);
    if (dp->event_fd >= 0)
        close(dp->event_fd);
    free(dp);
    if (--registered == 0)
        rcu_unregister_thread();
}

int dt_dp_device_renew(struct dt_dp *dp, unsigned index, const int *fd, struct dt_err *err)
{
    int rc = 0;
    dp->tun_index = index;
    for (unsigned i = 0; i < dp->nworkers; i++) {
        struct dp_cmd cmd = {.kind = DP_CMD_TUN, .fd = fd[i]};
        if (!dp_worker_tell(dp->worker[i], &cmd)) {
            close(fd[i]);
            rc = dt_err_set(err, 0, "a worker is too busy to take the new device");
        }
    }
    return rc;
}

const char *dt_dp_tun_name(const struct dt_dp *dp)
{
    return dp->tun_name;
}

unsigned dt_dp_tun_index(const struct dt_dp *dp)
{
    return dp->tun_index;
}

unsigned dt_dp_workers(const struct dt_dp *dp)
{
    return dp->nworkers;
}

/* ---- events -------------------------------------------------------------------------------------- */

int dt_dp_event_fd(const struct dt_dp *dp)
{
    return dp->event_fd;
}

static bool pop_event(struct dt_dp *dp, struct dt_dp_event *ev)
{
    for (unsigned i = 0; i < dp->nworkers; i++) { /* in turn, so that no worker starves another */
        struct dp_worker *w = dp->worker[dp->event_turn++ % dp->nworkers];
        if (dt_ring_pop(&w->events, ev)) {
            if (ev->kind == DT_DP_IKE)
                atomic_fetch_sub(&dp->ike_queued, 1);
            return true;
        }
        uint64_t lost = atomic_exchange(&w->events_lost, 0);
        if (lost) {
            *ev = (struct dt_dp_event){.kind = DT_DP_LOST, .count = lost};
            return true;
        }
    }
    return false;
}

bool dt_dp_next_event(struct dt_dp *dp, struct dt_dp_event *ev)
{
    uint64_t count;
    if (pop_event(dp, ev))
        return true;
    /* Clear the signal first, then look again: nothing that came in between is slept over. */
    if (read(dp->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return false;
    atomic_store(&dp->event_pending, false);
    return pop_event(dp, ev);
}

void dt_dp_event_done(struct dt_dp_event *ev)
{
    if (ev->kind == DT_DP_IKE)
        free(ev->data);
    ev->data = NULL;
}

/* ---- IKE on the encapsulation port --------------------------------------------------------------- */

static int send_natt(struct dt_dp *dp, const struct dt_path *path, const struct iovec *iov, int n,
                     bool nested, struct dt_err *err)
{
    const struct dp_worker *w = dp->worker[0];
    bool v4 = path->remote.addr.ver == 4;
    int fd = nested ? (v4 ? w->nested_ike_udp4.fd : w->nested_ike_udp6.fd)
             : v4   ? w->ike_udp4.fd
                    : w->ike_udp6.fd;
    if (fd < 0)
        return dt_err_set(err, 0, "there is no encapsulation socket for IPv%d", path->remote.addr.ver);
    return dt_outer_send(fd, path, iov, n, err);
}

int dt_dp_send_ike(struct dt_dp *dp, const struct dt_path *path, const void *msg, size_t len, bool nested,
                   struct dt_err *err)
{
    static const uint8_t marker[DT_NON_ESP_MARKER];
    struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)marker, .iov_len = sizeof marker},
                           {.iov_base = (void *)(uintptr_t)msg, .iov_len = len}};
    return send_natt(dp, path, iov, 2, nested, err);
}

int dt_dp_send_keepalive(struct dt_dp *dp, const struct dt_path *path, bool nested, struct dt_err *err)
{
    uint8_t byte = DT_KEEPALIVE_BYTE;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    return send_natt(dp, path, &iov, 1, nested, err);
}

void dt_dp_counters(const struct dt_dp *dp, uint64_t out[DT_DPC_COUNT])
{
    memset(out, 0, DT_DPC_COUNT * sizeof *out);
    for (unsigned i = 0; i < dp->nworkers; i++)
        for (int c = 0; c < DT_DPC_COUNT; c++)
            out[c] += atomic_load_explicit(&dp->worker[i]->count[c], memory_order_relaxed);
}
