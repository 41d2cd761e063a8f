/* dovetaild: arguments, start in an order that disturbs nobody when something is missing, and the end. */

#include "daemon/daemon.h"

#include <grp.h>
#include <malloc.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/usage.h"
#include "base/utf8.h"
#include "control/page.h"
#include "crypto/crypto.h"
#include "daemon/apply.h"
#include "daemon/commands.h"
#include "daemon/driver.h"
#include "daemon/installation.h"
#include "daemon/jobs.h"
#include "daemon/keylog.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/metrics.h"
#include "daemon/privilege.h"
#include "daemon/top.h"
#include "discovery/discovery.h"
#include "keeper/keeper.h"
#include "net/names.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/lease.h"
#include "tunnels/routes.h"
#include "tunnels/tunnels.h"
#include "tunnels/wants.h"

#define EXIT_FAILED 1
#define EXIT_USAGE  2
/* In the data path: all tunnels of the configuration, and a gateway's clients. */
#define TUNNELS_MAX 131072
_Static_assert(TUNNELS_MAX >= DT_CONFIG_TUNNELS_MAX + DT_CONFIG_CLIENTS_MAX, "what a file may ask for");
#define STOP_AFTER (2 * DT_SEC) /* how long DELETEs may take at the end */

enum { OPT_CHECK = 256, OPT_CLOSE, OPT_OPEN, OPT_VERSION, OPT_DESCRIBE };
static const struct dt_usage_option options[] = {
    {"config", "FILE", "the configuration (default " DT_CONFIG_FILE ")", 'c'},
    {"socket", "PATH", "the control socket (default as configured, else " DT_CONTROL_SOCKET ")", 's'},
    {"check", NULL, "read the configuration, print what is wrong with it, and end (0, or 2)", OPT_CHECK},
    {"close", NULL,
     "close what the configuration says is always closed (closed = always), and end: for early in the boot, "
     "before there is a network",
     OPT_CLOSE},
    {"open", NULL, "what is closed goes plain again, whoever left it so; nothing else is done", OPT_OPEN},
    {"verbose", NULL, "log at level debug", 'v'},
    {"version", NULL, "which version this is", OPT_VERSION},
    {"help", NULL, "this", 'h'},
};

static const struct dt_usage usage = {
    .name = "dovetaild",
    .synopsis = "[--config FILE | FILE] [--socket PATH] [--check | --close | --open] [--verbose]",
    .summary = "IPsec that stays up behind any NAT: client and gateway in one program",
    .text = "It stays in the foreground and logs to standard error. SIGHUP (or `dovetail reload`) reads the "
            "configuration again and touches only what changed; SIGTERM closes every tunnel and ends. "
            "SIGUSR1 does the same for a restart: what is closed stays closed, and the next start takes it "
            "over. `dovetail` speaks to it.\n",
    .options = options,
    .noptions = DT_ARRAY_LEN(options),
    .more = "Exit status: 0 ended as asked; 1 could not start or go on, with the reason; 2 bad usage or "
            "configuration.\n",
};

static void describe_setting(void *ctx, const char *section, const char *name)
{
    printf("setting\t%s\t%s\n", section, name);
}

/* For docs/pages, which makes manual pages and completions of it. */
static void daemon_describe(void)
{
    dt_usage_describe(stdout, &usage);
    dt_config_each_setting(describe_setting, NULL);
}

struct args {
    const char *config, *socket;
    bool check, close, open, verbose;
};

/* -1: go on; else the exit status. */
static int parse_args(struct args *a, int argc, char **argv)
{
    struct option table[DT_ARRAY_LEN(options) + 2];
    char letters[2 * DT_ARRAY_LEN(options) + 1];
    int o;
    dt_usage_getopt(options, DT_ARRAY_LEN(options), table, letters);
    table[DT_ARRAY_LEN(options)] = (struct option){"describe", no_argument, NULL, OPT_DESCRIBE};
    table[DT_ARRAY_LEN(options) + 1] = (struct option){0};
    while ((o = getopt_long(argc, argv, letters, table, NULL)) >= 0) {
        switch (o) {
        case 'c':
            a->config = optarg;
            break;
        case 's':
            a->socket = optarg;
            break;
        case OPT_CHECK:
            a->check = true;
            break;
        case OPT_CLOSE:
            a->close = true;
            break;
        case OPT_OPEN:
            a->open = true;
            break;
        case 'v':
            a->verbose = true;
            break;
        case OPT_VERSION:
            printf("dovetaild %s\n", DT_VERSION);
            return 0;
        case 'h':
            dt_usage_print(stdout, &usage);
            return 0;
        case OPT_DESCRIBE:
            daemon_describe();
            return 0;
        default:
            fputs("`dovetaild --help` lists what there is\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc && strcmp(a->config, DT_CONFIG_FILE) == 0)
        a->config = argv[optind++]; /* a file alone is what is meant */
    if (optind < argc) {
        fprintf(stderr,
                "dovetaild: \"%s\" is one argument too many; `dovetaild --help` lists what there is\n",
                argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

static int find_group(const char *name, gid_t *gid, struct dt_err *err)
{
    *gid = (gid_t)-1;
    if (name[0] == '\0')
        return 0;
    struct group *g = getgrnam(name);
    if (g == NULL)
        return dt_err_set(err, 0, "there is no group \"%s\" for the control socket", name);
    *gid = g->gr_gid;
    return 0;
}

static int daemon_open_control(struct daemon *d, struct dt_err *err)
{
    gid_t gid;
    if (find_group(d->cfg.group, &gid, err) != 0)
        return -1;
    if (strcmp(d->cfg.socket, DT_CONTROL_SOCKET) == 0)
        mkdir("/run/dovetail", 0755);
    d->top->control = dt_control_server_open(&d->loop, d->cfg.socket, gid, daemon_commands, d, err);
    return d->top->control != NULL ? 0 : -1;
}

struct dt_dp_config daemon_data_path(struct daemon *d)
{
    return (struct dt_dp_config){.tun_name = d->cfg.device,
                                 .workers = d->cfg.workers,
                                 .mtu = d->cfg.mtu,
                                 .tunnels_max = TUNNELS_MAX,
                                 .sas_max = 4 * TUNNELS_MAX,
                                 .natt_port = d->cfg.natt_port,
                                 .hold_packets = d->cfg.hold_packets,
                                 .hold_nothing = d->cfg.hold_packets == 0,
                                 .policy = plans_choose,
                                 .policy_ctx = d,
                                 .no_udp6 = d->ike6_fd[0] < 0,
                                 .no_esp6 = d->ike6_fd[0] < 0};
}

/* For queries of name servers. */
static int marked_socket(void *user, uint8_t ver, bool stream)
{
    return dt_keeper_socket(((struct daemon *)user)->keeper, ver, stream, NULL);
}

static int open_data_path(struct daemon *d, struct dt_err *err)
{
    struct dt_dp_config cfg = daemon_data_path(d);
    struct dt_names_cfg names = {.mark = DT_DP_MARK, .marked = marked_socket, .user = d};
    d->dp = dt_dp_open(&cfg, err);
    d->names = dt_names_open(&names, err);
    if (d->dp == NULL || d->names == NULL)
        return -1;
    d->nl = dt_nl_open(err);
    return d->nl == NULL ? -1 : routes_begin(d, err);
}

static int open_endpoint(struct daemon *d, struct dt_err *err)
{
    struct dt_endpoint_ops ops = driver_ops;
    struct dt_ike_params ike;
    struct dt_rand rand = dt_rand_system();
    dt_ike_params_default(&ike);
    /* A gateway that comes back is greeted by all its clients at once. */
    ike.door.answer_rate = 2000;
    ike.door.answer_rate_source = 500;
    ike.port_ike = d->cfg.ike_port;
    ike.port_natt = d->cfg.natt_port;
    ops.work = jobs_add;
    if (d->top->keylog == NULL)
        ops.keylog = NULL;
    d->ep = dt_endpoint_new(&ops, d, &ike, NULL, dt_crypto_best(), &rand);
    if (d->ep == NULL)
        return dt_err_set(err, 0, "out of memory");
    installation_set(d);
    wants_load(d);
    return 0;
}

/* By the process with rights: the daemon could not open the file while it had some itself. */
static int keep_leases(void *user, const void *image, size_t len, struct dt_err *err)
{
    const struct daemon *d = user;
    return dt_keeper_keep(d->keeper, DT_KEEPER_LEASES, image, len, err);
}

/* In the order of who might be disturbed: another daemon's socket first, then its ports, then the kernel. Everything that is
 * opened once is opened here, and then all rights are given up, before there is a second thread and before anything is read
 * from the network. */
static int daemon_open_all(struct daemon *d, struct dt_err *err)
{
    if (privilege_check(err) != 0 || daemon_open_control(d, err) != 0 || loop_open(d, err) != 0 ||
        keylog_open(d, err) != 0)
        return -1;
    d->leases = dt_lease_sqlite(d->cfg.leases, err);
    if (d->leases != NULL) {
        d->leases->keep = keep_leases;
        d->leases->user = d;
    }
    if (d->leases == NULL || open_data_path(d, err) != 0 || open_endpoint(d, err) != 0 ||
        privilege_become(d->cfg.user, err) != 0)
        return -1;
    if (d->cfg.metrics.addr.ver != 0 && (d->top->metrics.page = dt_page_open(&d->cfg.metrics, err)) == NULL)
        return -1;
    if (privilege_none(err) != 0)
        return -1;
    return jobs_open(d, err) != 0 ? -1 : dt_dp_start(d->dp, err);
}

static void close_all(struct daemon *d)
{
    routes_end(d); /* it looks at tunnels and device, which go next */
    if (d->ep != NULL) {
        discover_clear(d);
        tunnels_clear(d);
    }
    wants_close(d);
    metrics_close(d);
    dt_page_close(d->top->metrics.page);
    d->top->metrics.page = NULL;
    dt_control_server_close(d->top->control);
    d->top->control = NULL;
    if (d->ep != NULL)
        dt_endpoint_free(d->ep);
    d->ep = NULL;
    jobs_stop(d);
    loop_close(d);
    jobs_free(d);
    dt_names_close(d->names);
    plans_close(d);
    dt_dp_close(d->dp);
    d->dp = NULL;
    plans_hook_close(d);
    dt_nl_close(d->nl);
    if (d->leases != NULL)
        d->leases->close(d->leases);
    if (d->top->keylog != NULL)
        fclose(d->top->keylog);
    daemon_free_tables(d);
    dt_keeper_dismiss(d->keeper);
    free(d->config_file);
    dt_notify_close(&d->top->manager.notify);
    dt_wipe(d->top, sizeof(*d->top));
    dt_wipe(d, sizeof(*d));
}

static void idle_check(uv_timer_t *t)
{
    struct daemon *d = t->data;
    dt_time now = daemon_now();
    /* Plans go first, one layer after the other, while those below still carry. */
    if (!d->top->closing && (plans_idle(d) || now >= d->top->stop_by)) {
        d->top->closing = true;
        d->top->stop_by = now + STOP_AFTER;
        dt_endpoint_shutdown(d->ep, now);
        daemon_wake(d);
    }
    if (d->top->closing && (dt_endpoint_idle(d->ep) || now >= d->top->stop_by))
        uv_stop(&d->loop);
}

void daemon_stop(struct daemon *d)
{
    if (d->stopping) { /* asked twice: at once */
        uv_stop(&d->loop);
        return;
    }
    d->stopping = true;
    manager_stopping(d);
    d->top->stop_by = daemon_now() + STOP_AFTER;
    plans_stop(d);
    daemon_wake(d);
    uv_timer_start(&d->top->loop.beat, idle_check, 0, 20);
}

/* Symbolic links stay what they are: who swaps one and reloads means the other file. */
static char *absolute(const char *path)
{
    char dir[4096], *out = NULL;
    if (path[0] == '/' || getcwd(dir, sizeof(dir)) == NULL)
        return strdup(path);
    return asprintf(&out, "%s/%s", dir, path) < 0 ? NULL : out;
}

/* What is no file, such as a pipe, can be read once, by who was given it. */
static int config_load(struct dt_keeper *k, struct dt_config *out, const char *file)
{
    struct stat st;
    bool pipe = stat(file, &st) == 0 && !S_ISREG(st.st_mode);
    return pipe ? dt_config_load(out, file) : dt_keeper_load(k, out);
}

static int daemon_run(struct daemon *d, struct dt_config *c)
{
    struct dt_err err = {0};
    uv_loop_init(&d->loop);
    signal(SIGPIPE, SIG_IGN);
    dt_notify_open(&d->top->manager.notify);
    if (daemon_open_all(d, &err) != 0) {
        LOG(DT_LOG_ERROR, "%s", err.text);
        close_all(d);
        return EXIT_FAILED;
    }
    loop_start(d);
    json_t *report = json_object();
    int rc = daemon_apply(d, c, report, &err);
    json_decref(report);
    dt_config_free(c);
    malloc_trim(0); /* a long file's structs are gone now */
    if (rc != 0) {
        close_all(d);
        return EXIT_FAILED;
    }
    LOG(DT_LOG_INFO, "dovetaild %s runs: device %s, %u workers, control socket %s", DT_VERSION,
        dt_dp_tun_name(d->dp), dt_dp_workers(d->dp), d->cfg.socket);
    daemon_wake(d);
    routes_flush(d); /* who is told that we are ready finds what is closed closed */
    manager_ready(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    rc = d->top->status;
    close_all(d);
    return rc;
}

/* `dovetaild --open`. */
static int open_what_is_closed(const char *socket_path)
{
    struct dt_err err = {0};
    struct dt_control_client *c =
        dt_control_connect(socket_path != NULL ? socket_path : DT_CONTROL_SOCKET, NULL);
    if (c != NULL) {
        dt_control_disconnect(c);
        fputs("dovetaild: a daemon runs and keeps closed what it must; `dovetail down` opens what a tunnel "
              "protects\n",
              stderr);
        return EXIT_FAILED;
    }
    if (routes_open(&err) != 0) {
        fprintf(stderr, "dovetaild: %s\n", err.text);
        return EXIT_FAILED;
    }
    puts("nothing is closed any more: what tunnels protected goes out in the clear");
    return 0;
}

/* `dovetaild --close`. */
static int close_what_is_always_closed(const char *socket_path, struct dt_config *config)
{
    struct dt_err err = {0};
    struct dt_control_client *c =
        dt_control_connect(socket_path != NULL ? socket_path : config->daemon.socket, NULL);
    if (c != NULL) {
        dt_control_disconnect(c);
        puts("a daemon runs, and keeps closed what it must");
        return 0;
    }
    if (routes_close(config, &err) != 0) {
        fprintf(stderr, "dovetaild: %s\n", err.text);
        return EXIT_FAILED;
    }
    return 0;
}

int dt_daemon_main(int argc, char **argv)
{
    struct args a = {.config = DT_CONFIG_FILE};
    int rc = parse_args(&a, argc, argv);
    if (rc >= 0)
        return rc;
    if (a.open)
        return open_what_is_closed(a.socket);
    struct dt_err err = {0};
    char *file = absolute(a.config);
    bool alone = a.check || a.close; /* no daemon is started */
    struct dt_keeper *keeper = alone || file == NULL ? NULL : dt_keeper_start(file, &err);
    if (keeper == NULL && !alone) {
        fprintf(stderr, "dovetaild: %s\n", err.text);
        free(file);
        return EXIT_FAILED;
    }
    struct dt_config c;
    rc = keeper != NULL ? config_load(keeper, &c, file) : dt_config_load(&c, a.config);
    if (rc == 0 && dt_config_check_host(&c) > 0)
        rc = -1;
    dt_config_print_issues(&c, stderr);
    if (rc != 0 || alone) {
        rc = rc != 0 ? EXIT_USAGE : a.close ? close_what_is_always_closed(a.socket, &c) : 0;
        dt_keeper_dismiss(keeper);
        dt_config_free(&c);
        free(file);
        return rc;
    }
    static struct daemon d;
    static struct top top;
    struct dt_rand rand = dt_rand_system();
    struct dt_siphash_key owner_key;
    top = (struct top){.loop = {.nl_fd = -1, .nft_fd = -1}};
    d = (struct daemon){.cfg = c.daemon,
                        .ike4_fd = {-1, -1},
                        .ike6_fd = {-1, -1},
                        .keeper = keeper,
                        .above = &driver_above,
                        .top = &top};
    dt_list_init(&top.waits);
    dt_rand_fill(&rand, &owner_key, sizeof(owner_key));
    daemon_init(&d, &owner_key);
    d.config_file = dt_utf8_mend(file); /* the keeper opens it, by its octets */
    if (a.socket != NULL)
        snprintf(d.cfg.socket, sizeof(d.cfg.socket), "%s", a.socket);
    dt_log_set(dt_log_stderr, NULL, a.verbose ? DT_LOG_DEBUG : d.cfg.log);
    rc = daemon_run(&d, &c);
    dt_config_free(&c);
    return rc;
}
