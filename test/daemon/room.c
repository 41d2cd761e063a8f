
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/loop.h"
#include "daemon/room.h"
#include "daemon/virtual_time.h"
#include "tunnels/lease.h"
#include "tunnels/routes.h"

#define TURNS 16 /* of the loop, at a time: a line of each connection takes one */

static void log_nothing(void *ctx, enum dt_log_level level, const char *room, const char *text)
{
}

static void room_event(void *user, const struct dt_event *ev)
{
    struct daemon *d = user;
    struct room *r = DT_CONTAINER_OF(d, struct room, d);
    driver_ops.event(d, ev);
    if (r->heard != NULL)
        r->heard(r, ev);
}

void room_write(struct room *r, const char *conf)
{
    int fd = open(r->conf, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    dprintf(fd, "daemon { socket = \"%s\" leases = \":memory:\" }\n%s", r->sock, conf);
    close(fd);
}

static void begin_daemon(struct room *r)
{
    struct daemon *d = &r->d;
    struct dt_endpoint_ops ops = driver_ops;
    struct dt_ike_params ike;
    struct dt_config c;
    struct dt_err err = {0};
    struct dt_rand rand = dt_prng_rand(&r->w.host[0].prng);
    assert_int_equal(dt_config_load(&c, r->conf), 0);
    r->top = (struct top){.loop = {.nl_fd = -1, .nft_fd = -1}};
    dt_list_init(&r->top.waits);
    *d = (struct daemon){
        .cfg = c.daemon, .ike4_fd = {-1, -1}, .ike6_fd = {-1, -1}, .above = &driver_above, .top = &r->top};
    d->keeper = (struct dt_keeper *)(void *)r->conf; /* the functions of fake_net.c know what it is */
    daemon_init(d, &(struct dt_siphash_key){{0}});
    d->config_file = strdup(r->conf);
    uv_loop_init(&d->loop);
    signal(SIGPIPE, SIG_IGN);
    d->top->control = dt_control_server_open(&d->loop, r->sock, (gid_t)-1, daemon_commands, d, &err);
    if (d->top->control == NULL)
        fail_msg("%s", err.text);
    d->leases = dt_lease_sqlite(":memory:", &err);
    assert_non_null(d->leases);
    d->dp = fake_dp(&r->w.host[0]);
    d->nl = fake_nl();
    d->names = fake_names();
    assert_int_equal(routes_begin(d, &err), 0);
    dt_ike_params_default(&ike);
    ops.event = room_event;
    ops.keylog = NULL;
    d->ep = dt_endpoint_new(&ops, d, &ike, NULL, dt_crypto_null(), &rand);
    assert_non_null(d->ep);
    r->w.host[0].ep = d->ep;
    loop_start(d);
    json_t *report = json_object();
    assert_int_equal(daemon_apply(d, &c, report, &err), 0);
    json_decref(report);
    dt_config_free(&c);
    daemon_wake(d);
}

void room_begin(struct room *r, uint64_t seed, int hosts, const char *conf)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->dir, sizeof(r->dir), "/tmp/dovetail-room.%d", (int)getpid());
    mkdir(r->dir, 0700);
    snprintf(r->conf, sizeof(r->conf), "%s/conf", r->dir);
    snprintf(r->sock, sizeof(r->sock), "%s/sock", r->dir);
    world_init(&r->w, seed, hosts);
    dt_prng_seed(&r->w.host[0].prng, seed ^ 0x5eed);
    virtual_begin(&r->w.now);
    fake_no_route(false);
    dt_log_set(getenv("DT_NOISY") != NULL ? dt_log_stderr : log_nothing, NULL, DT_LOG_DEBUG);
    room_write(r, conf);
    begin_daemon(r);
}

/* As the daemon ends (close_all in daemon.c). */
void room_end(struct room *r)
{
    struct daemon *d = &r->d;
    discover_clear(d);
    tunnels_clear(d);
    assert_int_equal(fake_lookups(), 0); /* of tunnels that are gone */
    dt_control_server_close(d->top->control);
    r->w.host[0].dead = true;
    dt_endpoint_free(d->ep);
    d->ep = r->w.host[0].ep = NULL;
    loop_close(d);
    plans_close(d);
    plans_hook_close(d);
    routes_end(d);
    d->leases->close(d->leases);
    assert_int_equal(d->carried.tunnels.count, 0);
    assert_int_equal(d->tun_ids.count, 0);
    assert_int_equal(d->resolves.under_way.count, 0);
    daemon_free_tables(d);
    free(d->config_file);
    world_end(&r->w);
    unlink(r->conf);
    rmdir(r->dir);
}

void room_turn(struct room *r)
{
    for (int i = 0; i < TURNS && (i < 2 || uv_backend_timeout(&r->d.loop) == 0); i++)
        uv_run(&r->d.loop, UV_RUN_NOWAIT);
}

void room_pass(struct room *r, dt_time time)
{
    dt_time until = r->w.now + time;
    room_turn(r);
    for (;;) {
        dt_time at = virtual_deadline();
        if (at > until)
            break;
        if (at > r->w.now)
            world_run(&r->w, at);
        virtual_timers();
        room_turn(r);
    }
    world_run(&r->w, until);
    room_turn(r);
}

int room_connect(struct room *r)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", r->sock);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

void room_send(int fd, const char *text)
{
    ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL);
    (void)n; /* the daemon may have closed it */
}

int room_read(int fd, char *buf, size_t cap)
{
    size_t used = strlen(buf);
    ssize_t n = read(fd, buf + used, cap - 1 - used);
    if (n > 0)
        buf[used + (size_t)n] = '\0';
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return -1;
    return n < 0 ? 0 : (int)n;
}
