/* dovetail-natd: arguments, start, loop, end. */
#include "natd/natd.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/rights.h"
#include "base/usage.h"
#include "control/page.h"
#include "net/netlink.h"
#include "net/watch.h"

#define EXIT_FAILED 1
#define NEWS_SETTLE 20 /* ms: changes come in bursts; ... */
#define NEWS_PART   50 /* ... where they do not end, looking takes at most one part in so many of the time */
#define LOOK_EVERY  5  /* ticks: news can be lost, and of some things there is none */
#define EXIT_USAGE  2
#define BPF_FS      0xcafe4a11
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum { OPT_FLUSH = 256, OPT_REPLACE, OPT_CHECK, OPT_PIN, OPT_SET, OPT_VERSION, OPT_DESCRIBE };
static const struct dt_usage_option options[] = {
    {"inside", "IF", "the interface of the clients", 'i'},
    {"outside", "IF", "the interface towards the servers; its IPv4 addresses are the NAT's", 'o'},
    {"config", "FILE", "settings (default " NATD_CONFIG_FILE ", when it is there)", 'c'},
    {"set", "NAME=VALUE",
     "one setting, as in the file: t_out, n_out, t_ei, t_ike, require_ike, multicast, ...", OPT_SET},
    {"socket", "PATH", "the control socket (default " DT_CONTROL_SOCKET_NATD ")", 's'},
    {"pin", "DIR", "where the tables are pinned (a bpffs; default below /sys/fs/bpf)", OPT_PIN},
    {"flush", NULL, "begin with empty tables, as a NAT that was rebooted", OPT_FLUSH},
    {"replace", NULL, "take over from a dovetail-natd that runs; no packet is lost", OPT_REPLACE},
    {"check", NULL, "read the settings, say what is wrong with them, and end", OPT_CHECK},
    {"version", NULL, "which version this is", OPT_VERSION},
    {"help", NULL, "this", 'h'},
};

static const struct dt_usage about = {
    .name = "dovetail-natd",
    .synopsis = "--inside IF --outside IF [OPTION...]",
    .summary = "VPN Masquerade: any number of IPsec clients behind one address, in the kernel",
    .text = "It stays in the foreground and logs to standard error. SIGTERM and SIGINT take the NAT off the "
            "interfaces; SIGUSR1 ends it and leaves the NAT working, as a crash would; the next start takes "
            "over the tables. SIGHUP reads the file again. `dovetail nat` shows the items. Once it runs it "
            "is the user "
            "`dovetail` (setting `user`), with CAP_NET_ADMIN and CAP_BPF alone.\n",
    .options = options,
    .noptions = DT_ARRAY_LEN(options),
    .more =
        "Exit status: 0 ended as asked; 1 could not start, with the reason; 2 bad usage or configuration.\n",
};

/* For docs/pages, which makes manual pages and completions of it. */
static void natd_describe(void)
{
    const char *names[NATD_SETTINGS_MAX];
    size_t n = natd_setting_names(names);
    dt_usage_describe(stdout, &about);
    for (size_t i = 0; i < n; i++)
        printf("setting\tdovetail-natd\t%s\n", names[i]);
}

struct args {
    bool flush, replace, check;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static int usage(const char *fmt, const char *what, const char *why)
{
    fprintf(stderr, "dovetail-natd: ");
    fprintf(stderr, fmt, what, why);
    fputs("\n", stderr);
    return EXIT_USAGE;
}

static void print_complaint(void *ctx, const char *text)
{
    fprintf(stderr, "%s\n", text);
}

static void log_complaint(void *ctx, const char *text)
{
    dt_log(DT_LOG_WARN, "natd", "%s", text);
}

static int set_pair(struct natd_config *c, const char *pair)
{
    char name[64], hint[160];
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): getopt's argument is there */
    const char *eq = strchr(pair, '='), *why = "";
    if (!eq || (size_t)(eq - pair) >= sizeof(name))
        return usage("--set %s: it wants NAME=VALUE, as t_out=5%s", pair, "");
    memcpy(name, pair, (size_t)(eq - pair));
    name[eq - pair] = '\0';
    if (!natd_config_known(name, hint, sizeof(hint)))
        return usage("--set %s: %s", pair, hint);
    if (natd_config_set(c, name, eq + 1, &why))
        return usage("--set %s: the value %s", pair, why);
    return -1;
}

/* The file first, then what the command line says: two passes over the options. -1: go on; else the exit status. */
static int read_settings(struct natd *d, struct args *a, int argc, char **argv)
{
    struct option table[DT_ARRAY_LEN(options) + 2];
    char letters[2 * DT_ARRAY_LEN(options) + 1];
    dt_usage_getopt(options, DT_ARRAY_LEN(options), table, letters);
    table[DT_ARRAY_LEN(options)] = (struct option){"describe", no_argument, NULL, OPT_DESCRIBE};
    table[DT_ARRAY_LEN(options) + 1] = (struct option){0};
    natd_config_defaults(&d->cfg);
    int o;
    for (optind = 1; (o = getopt_long(argc, argv, letters, table, NULL)) >= 0;) {
        if (o == 'c')
            d->config_file = optarg;
        if (o == OPT_VERSION) {
            printf("dovetail-natd %s\n", DT_VERSION);
            return 0;
        }
        if (o == 'h') {
            dt_usage_print(stdout, &about);
            return 0;
        }
        if (o == OPT_DESCRIBE) {
            natd_describe();
            return 0;
        }
        if (o == '?') {
            fputs("`dovetail-natd --help` lists what there is\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        return usage("\"%s\" is one argument too many; `dovetail-natd --help` lists what there is%s",
                     argv[optind], "");
    if (!d->config_file && !access(NATD_CONFIG_FILE, R_OK))
        d->config_file = NATD_CONFIG_FILE;
    if (d->config_file && natd_config_read(&d->cfg, d->config_file, print_complaint, NULL))
        return EXIT_USAGE;
    for (optind = 1; (o = getopt_long(argc, argv, letters, table, NULL)) >= 0;) {
        const char *name = o == 'i'       ? "inside"
                           : o == 'o'     ? "outside"
                           : o == 's'     ? "socket"
                           : o == OPT_PIN ? "pin"
                                          : NULL;
        const char *why = "";
        if (name && natd_config_set(&d->cfg, name, optarg, &why))
            return usage("the value of --%s %s", name, why);
        if (o == OPT_SET) {
            int rc = set_pair(&d->cfg, optarg);
            if (rc >= 0)
                return rc;
        }
        a->flush |= o == OPT_FLUSH;
        a->replace |= o == OPT_REPLACE;
        a->check |= o == OPT_CHECK;
    }
    if (!d->cfg.inside[0] || !d->cfg.outside[0])
        return usage("it needs --inside IF and --outside IF%s%s", "", "");
    if (!strcmp(d->cfg.inside, d->cfg.outside))
        return usage("inside and outside are the same interface, \"%s\"%s", d->cfg.inside, "");
    return -1;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Below /sys/fs/bpf, a directory of this network namespace and outside interface; "" when there is no bpffs. */
static void find_pin(struct natd *d)
{
    struct statfs fs;
    if (d->cfg.pin[0] || statfs("/sys/fs/bpf", &fs) || (unsigned long)fs.f_type != BPF_FS)
        return;
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s >= 0 && !getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len)) {
        mkdir(NATD_PINS, 0700);
        snprintf(d->cfg.pin, sizeof(d->cfg.pin), NATD_PINS "/%llu-%s", (unsigned long long)cookie,
                 d->cfg.outside);
    }
    if (s >= 0)
        close(s);
}

/* Asks the natd that runs to go, and waits until its socket is free. */
static int take_over(struct natd *d, struct dt_err *err)
{
    json_t *result = NULL;
    struct dt_err why = {0};
    if (dt_control_call(d->cfg.socket, "handover", NULL, &result, &why)) {
        json_decref(result);
        return 0; /* nobody there: a plain start */
    }
    json_decref(result);
    for (int i = 0; i < 100; i++) {
        struct dt_control_client *c = dt_control_connect(d->cfg.socket, &why);
        if (!c)
            return 0;
        dt_control_disconnect(c);
        usleep(50000);
    }
    return dt_err_set(err, 0, "the dovetail-natd at %s does not end", d->cfg.socket);
}

static int natd_open_control(struct natd *d, struct dt_err *err)
{
    gid_t gid = (gid_t)-1;
    if (d->cfg.group[0]) {
        struct group *g = getgrnam(d->cfg.group);
        if (!g)
            return dt_err_set(err, 0, "there is no group \"%s\" for the control socket", d->cfg.group);
        gid = g->gr_gid;
    }
    if (!strcmp(d->cfg.socket, DT_CONTROL_SOCKET_NATD))
        mkdir("/run/dovetail", 0755);
    d->control = dt_control_server_open(&d->loop, d->cfg.socket, gid, natd_commands, d, err);
    return d->control ? 0 : -1;
}

static void on_news(uv_poll_t *p, int status, int events);

/* The program remembers routes for a second; it shall ask anew. */
static void forget_hops(struct natd *d)
{
    struct dt_masq_params p = *dt_kernel_params(d->k);
    p.gen++;
    dt_kernel_configure(d->k, &p);
}

static void on_tick(uv_timer_t *t)
{
    struct natd *d = t->data;
    d->swept += dt_kernel_sweep(d->k, dt_kernel_now());
    d->sweeps++;
    natd_metrics_refresh(d);
    if (d->sweeps % LOOK_EVERY == 0)
        natd_network(d);
    natd_manager_beat(d);
}

/* Links, addresses, routes or filters have changed: look at all of it. While news goes on, nobody but this timer listens to it. */
static void on_settle(uv_timer_t *t)
{
    struct natd *d = t->data;
    bool again = dt_nl_monitor_drain(d->news_fd);
    d->routes_changed |= again;
    dt_time begin = dt_kernel_now();
    natd_network(d);
    forget_hops(d);
    uint64_t wait = dt_time_sub(dt_kernel_now(), begin) * NEWS_PART / DT_MSEC;
    if (again)
        uv_timer_start(&d->settle, on_settle, wait > NEWS_SETTLE ? wait : NEWS_SETTLE, 0);
    else
        uv_poll_start(&d->news, UV_READABLE, on_news);
}

static void on_news(uv_poll_t *p, int status, int events)
{
    struct natd *d = p->data;
    dt_watch_on(p, status, on_news);
    if (!dt_nl_monitor_drain(d->news_fd) && status == 0)
        return;
    d->routes_changed = true;
    uv_poll_stop(&d->news);
    uv_timer_start(&d->settle, on_settle, NEWS_SETTLE, 0);
}

static void on_ring(uv_poll_t *p, int status, int events)
{
    struct natd *d = p->data;
    dt_kernel_watch_read(d->k);
}

static void natd_reload(struct natd *d)
{
    struct natd_config fresh;
    if (!d->config_file || natd_keeper_read(d, &fresh, log_complaint, NULL)) {
        dt_log(DT_LOG_WARN, "natd", "the settings stay as they are%s",
               d->config_file ? "" : ": there is no file");
        return;
    }
    /* Interfaces, socket and sizes are those of the start. */
    d->cfg.masq.params = fresh.masq.params;
    d->cfg.clients_given = fresh.clients_given;
    d->cfg.addresses_given = fresh.addresses_given;
    d->routes_of = 0; /* they may have been given before */
    natd_network(d);
    dt_log(DT_LOG_INFO, "natd", "%s was read again", d->config_file);
}

static void natd_on_signal(uv_signal_t *s, int number)
{
    struct natd *d = s->data;
    if (number == SIGHUP) {
        dt_notify_reloading(&d->notify);
        natd_reload(d);
        natd_manager_ready(d);
        return;
    }
    d->keep = number == SIGUSR1;
    natd_manager_stopping(d);
    uv_stop(&d->loop);
}

static int natd_start(struct natd *d, const struct args *a, struct dt_err *err)
{
    if (a->replace && take_over(d, err))
        return -1;
    unsigned inside, outside;
    if (dt_rights_close())
        return dt_err_set(err, 0, "rights cannot be given up: %s", strerror(errno));
    if (natd_interfaces(d, &inside, &outside, err) || natd_open_control(d, err) ||
        natd_claim(d, a->replace, err) || natd_keeper_start(d, err))
        return -1;
    find_pin(d);
    struct dt_kernel_opts o = {.sizes = d->cfg.masq.sizes,
                               .pin = d->cfg.pin[0] ? d->cfg.pin : NULL,
                               .flush = a->flush,
                               .inside = d->cfg.inside,
                               .outside = d->cfg.outside};
    d->k = dt_kernel_open(&o, err);
    if (!d->k)
        return -1;
    if (dt_kernel_took_over(d->k))
        dt_log(DT_LOG_INFO, "natd", "the tables of the last natd are taken over");
    /* What can fail fails before anything is attached: a natd that ran before this one, and the path that it left, go on. */
    if (natd_router_open(&d->router, d->k, d->cfg.inside, d->cfg.outside, d->cfg.pin, err) ||
        natd_rights_find(d, err) ||
        (d->cfg.metrics.addr.ver && !(d->metrics = dt_page_open(&d->cfg.metrics, err))))
        return -1;
    struct dt_nl_watch watch = {.tc = true, .sysctls = true, .routes_by = inside};
    d->news_fd = dt_nl_watch_open(&watch, err);
    if (d->news_fd < 0)
        return -1;
    if (dt_kernel_watch(d->k, natd_event, d))
        return dt_err_set(err, 0, "the ring of events cannot be read: %s", strerror(errno));
    if (natd_rights_drop(d, err))
        return -1;
    natd_network(d);
    if (!d->router.attached) {
        char text[NATD_FACT_STRLEN];
        return dt_err_set(err, 0, "%s",
                          d->router.unread[0] || !d->router.n_reasons
                              ? d->router.unread
                              : natd_reason_str(text, &d->router.reason[0], &d->router.names));
    }
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < DT_ARRAY_LEN(signals); i++) {
        uv_signal_init(&d->loop, &d->signal[i]);
        d->signal[i].data = d;
        uv_signal_start(&d->signal[i], natd_on_signal, signals[i]);
    }
    uv_timer_init(&d->loop, &d->tick);
    d->tick.data = d;
    uv_timer_start(&d->tick, on_tick, 1000, 1000);
    uv_timer_init(&d->loop, &d->settle);
    d->settle.data = d;
    uv_poll_init(&d->loop, &d->news, d->news_fd);
    d->news.data = d;
    uv_poll_start(&d->news, UV_READABLE, on_news);
    uv_poll_init(&d->loop, &d->ring, dt_kernel_watch_fd(d->k));
    d->ring.data = d;
    uv_poll_start(&d->ring, UV_READABLE, on_ring);
    natd_metrics_refresh(d);
    return 0;
}

/* ---- end ------------------------------------------------------------------------------------- */

static void natd_close_handle(uv_handle_t *h, void *ctx)
{
    struct natd *d = ctx;
    bool own = h == (uv_handle_t *)&d->tick || h == (uv_handle_t *)&d->settle ||
               h == (uv_handle_t *)&d->news || h == (uv_handle_t *)&d->ring;
    for (size_t i = 0; i < DT_ARRAY_LEN(d->signal); i++)
        own |= h == (uv_handle_t *)&d->signal[i];
    if (own && !uv_is_closing(h))
        uv_close(h, NULL);
}

static void stop(struct natd *d)
{
    if (!d->keep && d->k) {
        natd_router_leave(&d->router);
        dt_log(DT_LOG_INFO, "natd", "the kernel path is off; the tables are kept for the next start");
    }
    if (d->k)
        dt_kernel_setup(d->k)->watch = 0;
    if (d->control)
        dt_control_server_close(d->control);
    uv_walk(&d->loop, natd_close_handle, d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    dt_page_close(d->metrics);
    d->metrics = NULL;
    if (d->news_fd > 0)
        close(d->news_fd);
    natd_router_close(&d->router);
    dt_nl_addrs_free(&d->addrs);
    dt_nl_routes_free(&d->routes);
    dt_kernel_close(d->k);
    natd_keeper_end(d);
    natd_unclaim(d);
}

int natd_main(int argc, char **argv)
{
    static struct natd d; /* large, and there is one */
    struct args a = {0};
    struct dt_err err = {0};
    int rc = read_settings(&d, &a, argc, argv);
    if (rc >= 0)
        return rc;
    if (a.check) {
        puts("the settings are right");
        return 0;
    }
    dt_log_set(dt_log_stderr, NULL, DT_LOG_INFO);
    dt_list_init(&d.watchers);
    d.started = dt_kernel_now();
    d.news_fd = -1;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&d.loop);
    dt_notify_open(&d.notify);
    rc = natd_start(&d, &a, &err);
    if (rc) {
        fprintf(stderr, "dovetail-natd: %s\n", err.text);
    } else {
        natd_manager_ready(&d);
        uv_run(&d.loop, UV_RUN_DEFAULT);
    }
    /* A start that failed takes nothing away, but what was not there before it. */
    d.keep |= rc != 0 && (!d.router.looked || d.router.found_attached);
    stop(&d);
    dt_notify_close(&d.notify);
    return rc ? EXIT_FAILED : 0;
}
