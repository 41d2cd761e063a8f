/* The control thread's loop: sockets, the endpoint's deadline, the data path's events, news of the network, signals. */

#include "daemon/loop.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/apply.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/manager.h"
#include "daemon/metrics.h"
#include "daemon/top.h"
#include "daemon/waits.h"
#include "discovery/discovery.h"
#include "net/names.h"
#include "net/nft.h"
#include "net/udp_socket.h"
#include "net/watch.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/leases.h"
#include "tunnels/names.h"
#include "tunnels/resolve.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"

#define IKE_MAX        65536
#define BATCH          64 /* events or datagrams before others get their turn */
#define BEAT_MS        200
#define SETTLE_MS      250 /* links and routes change in bursts */
#define HEAL_MS        20
#define HEALS_AT_ONCE  50
#define HEALS_A_SECOND 10
#define FLUSH_DEAR     (10 * DT_MSEC)

static void on_beat(uv_timer_t *t)
{
    struct daemon *d = t->data;
    dt_time now = daemon_now();
    resolve_tick(d, now);
    waits_tick(d, now);
    discover_tick(d, now);
    plans_beat(d);
    leases_tick(d, now);
    if (now >= d->routes.look_at)
        routes_reconcile(d);
    names_tick(d, now);
    if (d->top->metrics.page != NULL)
        metrics_refresh(d);
    manager_beat(d, now);
    daemon_wake(d);
}

/* At the end of each turn of the loop, whatever it was that changed what is wanted; with thousands of tunnels, for which
 * that takes long, a fifth of the time goes into it while they come and go. */
static void on_turn(uv_prepare_t *p)
{
    struct daemon *d = p->data;
    dt_time from = daemon_now();
    if (!d->routes.changed || from < d->routes.flush_after)
        return;
    routes_flush(d);
    dt_time now = daemon_now(), took = dt_time_sub(now, from);
    if (took > FLUSH_DEAR)
        d->routes.flush_after = dt_time_add(now, 4 * took);
}

static void read_ike(struct daemon *d, int fd)
{
    static uint8_t buf[IKE_MAX];
    for (int i = 0; i < BATCH; i++) {
        struct dt_path path = {0};
        ssize_t n = dt_udp_recv(fd, d->cfg.ike_port, buf, sizeof(buf), &path);
        if (n < 0)
            break;
        if (!discover_datagram(d, &path, buf, (size_t)n))
            dt_endpoint_ike_input(d->ep, daemon_now(), &path, buf, (size_t)n);
    }
    daemon_wake(d);
}

static void on_ike4(uv_poll_t *p, int status, int events)
{
    struct daemon *d = p->data;
    dt_watch_on(p, status, on_ike4);
    read_ike(d, d->ike4_fd[0]);
}

static void on_ike6(uv_poll_t *p, int status, int events)
{
    struct daemon *d = p->data;
    dt_watch_on(p, status, on_ike6);
    read_ike(d, d->ike6_fd[0]);
}

static void on_dp(uv_poll_t *p, int status, int events)
{
    struct daemon *d = p->data;
    struct dt_dp_event ev;
    for (int i = 0; i < BATCH && dt_dp_next_event(d->dp, &ev); i++) {
        driver_dp_event(d, &ev);
        dt_dp_event_done(&ev);
    }
    daemon_wake(d);
}

static void on_names(uv_poll_t *p, int status, int events)
{
    resolve_answers(p->data);
}

static void on_settled(uv_timer_t *t)
{
    struct daemon *d = t->data;
    LOG(DT_LOG_DEBUG, "addresses, links, routes or rules have changed");
    dt_endpoint_network_changed(d->ep, daemon_now());
    resolve_network_changed(d);
    daemon_wake(d);
}

static void on_heal(uv_timer_t *t)
{
    struct daemon *d = t->data;
    routes_reconcile(d);
    daemon_wake(d);
}

/* Somebody who takes away at once what is set again would have us do nothing else. */
static void heal_soon(struct daemon *d)
{
    if (!uv_is_active((uv_handle_t *)&d->top->loop.heal))
        uv_timer_start(&d->top->loop.heal, on_heal,
                       dt_bucket_take(&d->top->loop.heals, daemon_now(), 1, HEALS_A_SECOND, HEALS_AT_ONCE)
                           ? HEAL_MS
                           : 1000 / HEALS_A_SECOND,
                       0);
}

/* What is ours is looked at almost at once; the endpoint waits until the burst is over. */
static void on_netlink(uv_poll_t *p, int status, int events)
{
    struct daemon *d = p->data;
    dt_watch_on(p, status, on_netlink);
    if (!dt_nl_monitor_drain(d->top->loop.nl_fd) && status == 0)
        return;
    heal_soon(d);
    if (!uv_is_active((uv_handle_t *)&d->top->loop.settle))
        uv_timer_start(&d->top->loop.settle, on_settled, SETTLE_MS, 0);
}

static void on_nft(uv_poll_t *p, int status, int events)
{
    struct daemon *d = p->data;
    dt_watch_on(p, status, on_nft);
    if (dt_nl_monitor_drain(d->top->loop.nft_fd) || status < 0)
        heal_soon(d);
}

static void on_keeper(uv_poll_t *p, int status, int events)
{
    const char *why = dt_keeper_look(((struct daemon *)p->data)->keeper);
    if (why == NULL)
        return;
    LOG(DT_LOG_ERROR, "%s", why);
    ((struct daemon *)p->data)->top->manager.next = 0;
    uv_poll_stop(p);
}

static void loop_on_signal(uv_signal_t *s, int signum)
{
    struct daemon *d = s->data;
    if (signum == SIGHUP) {
        json_t *report = json_object();
        struct dt_err err = {0};
        daemon_reload(d, report, NULL, &err); /* the log has all of it */
        json_decref(report);
        daemon_wake(d);
        return;
    }
    d->handover = signum == SIGUSR1;
    LOG(DT_LOG_INFO, "%s: closing every tunnel",
        signum == SIGINT ? "interrupted"
        : d->handover    ? "asked to make way for the next daemon, and what is closed stays closed"
                         : "asked to end");
    daemon_stop(d);
}

static int loop_open_udp(struct daemon *d, struct dt_err *err)
{
    d->ike4_fd[0] = dt_udp_open(4, d->cfg.ike_port, DT_DP_MARK, err);
    if (d->ike4_fd[0] >= 0)
        d->ike4_fd[1] = dt_udp_open_deaf(4, d->cfg.ike_port, DT_DP_MARK_NESTED, err);
    if (d->ike4_fd[1] < 0)
        return -1;
    struct dt_err no6 = {0};
    d->ike6_fd[0] = dt_udp_open(6, d->cfg.ike_port, DT_DP_MARK, &no6);
    if (d->ike6_fd[0] >= 0)
        d->ike6_fd[1] = dt_udp_open_deaf(6, d->cfg.ike_port, DT_DP_MARK_NESTED, &no6);
    if (d->ike6_fd[1] < 0) {
        if (access("/proc/sys/net/ipv6", F_OK) == 0)
            return dt_err_set(err, 0, "%s", no6.text);
        LOG(DT_LOG_WARN, "no IPv6 on this host: %s", no6.text);
    }
    return 0;
}

int loop_open(struct daemon *d, struct dt_err *err)
{
    if (loop_open_udp(d, err) != 0)
        return -1;
    d->top->loop.nft_fd = dt_nft_monitor_open(NULL); /* without nftables there is no news of it */
    d->top->loop.nl_fd = dt_nl_monitor_open(err);
    return d->top->loop.nl_fd < 0 ? -1 : 0;
}

static void poll_fd(struct daemon *d, uv_poll_t *p, int fd, uv_poll_cb cb)
{
    if (fd < 0)
        return;
    uv_poll_init(&d->loop, p, fd);
    p->data = d;
    uv_poll_start(p, UV_READABLE, cb);
}

static void catch_signal(struct daemon *d, uv_signal_t *s, int signum)
{
    uv_signal_init(&d->loop, s);
    s->data = d;
    uv_signal_start(s, loop_on_signal, signum);
}

void loop_start(struct daemon *d)
{
    uv_timer_init(&d->loop, &d->timer);
    uv_timer_init(&d->loop, &d->top->loop.settle);
    uv_timer_init(&d->loop, &d->top->loop.heal);
    uv_timer_init(&d->loop, &d->top->loop.beat);
    uv_prepare_init(&d->loop, &d->top->loop.turn);
    metrics_open(d);
    d->top->loop.turn.data = d;
    uv_prepare_start(&d->top->loop.turn, on_turn);
    d->timer.data = d->top->loop.settle.data = d->top->loop.heal.data = d->top->loop.beat.data = d;
    uv_timer_start(&d->top->loop.beat, on_beat, BEAT_MS, BEAT_MS);
    poll_fd(d, &d->top->loop.ike4, d->ike4_fd[0], on_ike4);
    poll_fd(d, &d->top->loop.ike6, d->ike6_fd[0], on_ike6);
    poll_fd(d, &d->top->loop.dp_poll, dt_dp_event_fd(d->dp), on_dp);
    poll_fd(d, &d->top->loop.nl_poll, d->top->loop.nl_fd, on_netlink);
    poll_fd(d, &d->top->loop.nft_poll, d->top->loop.nft_fd, on_nft);
    poll_fd(d, &d->top->loop.keeper_poll, dt_keeper_fd(d->keeper), on_keeper);
    poll_fd(d, &d->top->loop.names_poll, dt_names_fd(d->names), on_names);
    catch_signal(d, &d->top->loop.sigint, SIGINT);
    catch_signal(d, &d->top->loop.sigterm, SIGTERM);
    catch_signal(d, &d->top->loop.sighup, SIGHUP);
    catch_signal(d, &d->top->loop.sigusr1, SIGUSR1);
}

static void loop_close_handle(uv_handle_t *h, void *arg)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void loop_close(struct daemon *d)
{
    uv_walk(&d->loop, loop_close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&d->loop) != 0)
        LOG(DT_LOG_WARN, "the loop has something left over");
    int *fds[] = {&d->ike4_fd[0], &d->ike4_fd[1],      &d->ike6_fd[0],
                  &d->ike6_fd[1], &d->top->loop.nl_fd, &d->top->loop.nft_fd};
    for (size_t i = 0; i < DT_ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}
