/* A worker: one thread, one TUN queue, its own sockets, its own memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "net/dp.h"

bool dp_limit(dt_time now, double rate, double *tokens, dt_time *at)
{
    *tokens += *at ? (double)(now - *at) / 1e9 * rate : rate;
    *at = now;
    if (*tokens > rate)
        *tokens = rate;
    if (*tokens < 1)
        return false;
    *tokens -= 1;
    return true;
}

bool dp_event(struct dp_worker *w, const struct dt_dp_event *ev)
{
    struct dt_dp *dp = w->dp;
    struct dt_dp_event e = *ev;
    uint64_t one = 1;

    e.at = w->now;
    bool ok = dt_ring_push(&w->events, &e);
    if (!ok) {
        if (e.kind == DT_DP_IKE) {
            free(e.data);
            atomic_fetch_sub(&dp->ike_queued, 1);
        }
        atomic_fetch_add(&w->events_lost, 1);
        dp_count(w, DT_DPC_EVENTS_LOST, 1);
    }
    if (!atomic_exchange(&dp->event_pending, true) && write(dp->event_fd, &one, sizeof one) < 0)
        atomic_store(&dp->event_pending, false);
    return ok;
}

bool dp_worker_tell(struct dp_worker *w, const struct dp_cmd *cmd)
{
    uint64_t one = 1;
    bool ok = dt_ring_push(&w->commands, cmd);
    return write(w->kick, &one, sizeof one) == sizeof one && ok;
}

enum { ON_TUN, ON_UDP4, ON_UDP6, ON_ESP4, ON_ESP6, ON_KICK };

static void release_all(struct dp_worker *w)
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *n;
    for (cds_lfht_first(w->dp->tunnels, &it); (n = cds_lfht_iter_get_node(&it));
         cds_lfht_next(w->dp->tunnels, &it))
        dp_release(w, caa_container_of(n, struct dp_tunnel, node));
}

static int watch(struct dp_worker *w, int fd, uint32_t what)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = what};
    return fd < 0 ? 0 : epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* The device was deleted and has been made anew: its queue takes the place of the old one under the same number. */
static void take_tun(struct dp_worker *w, int fd)
{
    if (dup3(fd, w->tun, O_CLOEXEC) >= 0)
        watch(w, w->tun, ON_TUN);
    close(fd);
}

static void obey(struct dp_worker *w)
{
    uint64_t count;
    struct dp_cmd cmd;

    if (read(w->kick, &count, sizeof count) < 0)
        return;
    while (dt_ring_pop(&w->commands, &cmd)) {
        if (cmd.kind == DP_CMD_PROBE) {
            dp_probe_send(w, &cmd);
        } else if (cmd.kind == DP_CMD_TUN) {
            take_tun(w, cmd.fd);
        } else {
            struct dp_tunnel *t = dp_tunnel_find(w->dp, cmd.tunnel);
            if (t)
                dp_release(w, t);
        }
    }
    if (atomic_exchange(&w->release_all, false))
        release_all(w);
}

static dt_time worker_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (dt_time)ts.tv_sec * DT_SEC + (dt_time)ts.tv_nsec;
}

void *dp_worker_main(void *worker)
{
    struct dp_worker *w = worker;
    struct epoll_event ev[8];

    rcu_register_thread();
    while (!atomic_load_explicit(&w->dp->stop, memory_order_relaxed)) {
        int n = epoll_wait(w->epoll, ev, DT_ARRAY_LEN(ev), -1);
        w->now = worker_clock();
        rcu_read_lock();
        for (int i = 0; i < n; i++) {
            switch (ev[i].data.u32) {
            case ON_TUN:
                dp_tun_readable(w);
                break;
            case ON_UDP4:
                dp_udp_readable(w, &w->udp4, 4);
                break;
            case ON_UDP6:
                dp_udp_readable(w, &w->udp6, 6);
                break;
            case ON_ESP4:
                dp_esp_readable(w, &w->esp4, 4);
                break;
            case ON_ESP6:
                if (ev[i].events & EPOLLERR)
                    dp_outer_drain_errors(&w->esp6);
                dp_esp_readable(w, &w->esp6, 6);
                break;
            default:
                obey(w);
            }
            dp_tx_flush(w);
        }
        rcu_read_unlock();
    }
    rcu_unregister_thread();
    return NULL;
}

/* The IP header of a packet read from the TUN device lies on an even boundary behind the offload header, and there
 * is room before and behind every buffer. */
static int buffers(struct dp_worker *w)
{
    w->rx_mem = malloc((size_t)DP_RX_BUFS * DP_RX_BUF + 128);
    w->tunbuf_mem = malloc(DP_TUN_BUF + 64);
    w->tx_mem = malloc(DP_TX_BUF + 128);
    w->scratch = malloc(DP_PACKET_MAX + 1);
    if (!w->rx_mem || !w->tunbuf_mem || !w->tx_mem || !w->scratch)
        return -1;
    w->rx = w->rx_mem + 64;
    w->tunbuf = w->tunbuf_mem + 6;
    w->tx.buf = w->tx_mem + 64;
    return 0;
}

struct dp_worker *dp_worker_new(struct dt_dp *dp, unsigned index, struct dt_err *err)
{
    struct dp_worker *w = calloc(1, sizeof *w);
    if (!w) {
        dt_err_set(err, 0, "out of memory for a worker");
        return NULL;
    }
    w->dp = dp;
    w->index = index;
    w->tun = -1;
    dp_outer_init(w);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (buffers(w) < 0 || dt_ring_init(&w->commands, sizeof(struct dp_cmd), DP_COMMANDS) < 0 ||
        dt_ring_init(&w->events, sizeof(struct dt_dp_event), DP_EVENTS) < 0 || w->epoll < 0 || w->kick < 0) {
        dt_err_set(err, 0, "cannot set up a worker: %s", strerror(errno));
        dp_worker_free(w);
        return NULL;
    }
    if (dp_outer_open(w, err) < 0) {
        dp_worker_free(w);
        return NULL;
    }
    return w;
}

int dp_worker_watch(struct dp_worker *w, struct dt_err *err)
{
    if (watch(w, w->tun, ON_TUN) < 0 || watch(w, w->udp4.fd, ON_UDP4) < 0 ||
        watch(w, w->udp6.fd, ON_UDP6) < 0 || watch(w, w->esp4.fd, ON_ESP4) < 0 ||
        watch(w, w->esp6.fd, ON_ESP6) < 0 || watch(w, w->kick, ON_KICK) < 0)
        return dt_err_set(err, 0, "epoll refuses: %s", strerror(errno));
    return 0;
}

void dp_worker_free(struct dp_worker *w)
{
    struct dt_dp_event ev;
    if (!w)
        return;
    if (w->events.slot)
        while (dt_ring_pop(&w->events, &ev))
            if (ev.kind == DT_DP_IKE)
                free(ev.data);
    dp_outer_close(w);
    if (w->tun >= 0)
        close(w->tun);
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->kick >= 0)
        close(w->kick);
    dt_ring_free(&w->commands);
    dt_ring_free(&w->events);
    free(w->rx_mem);
    free(w->tunbuf_mem);
    if (w->tx_mem)
        dt_wipe(w->tx_mem, DP_TX_BUF + 128);
    free(w->tx_mem);
    free(w->scratch);
    free(w);
}
