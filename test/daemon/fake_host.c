#include "daemon/fake_host.h"

#include <sys/mman.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "keeper/message.h"
#include "net/udp_socket.h"

/* ---- the wire: one queue for all hosts ---- */

static struct datagram {
    struct dt_path path; /* as the sender has it */
    size_t len;
    uint8_t data[4096];
} queue[FAKE_QUEUE];
static size_t queued;
static struct fake_host *hosts[4];

static struct fake_host *host_at(const struct dt_addr *a)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(hosts); i++)
        if (hosts[i] != NULL && dt_addr_eq(&hosts[i]->addr, a))
            return hosts[i];
    return NULL;
}

unsigned fake_strays;

static void send_datagram(const struct dt_path *path, const void *msg, size_t len)
{
    fake_strays += host_at(&path->local.addr) == NULL;
    if (host_at(&path->remote.addr) == NULL)
        return;
    assert_true(len <= sizeof(queue[0].data) && queued < FAKE_QUEUE);
    queue[queued].path = *path;
    queue[queued].len = len;
    memcpy(queue[queued++].data, msg, len);
}

static bool deliver(void)
{
    if (queued == 0)
        return false;
    struct datagram x = queue[0];
    memmove(queue, queue + 1, --queued * sizeof(queue[0]));
    struct fake_host *to = host_at(&x.path.remote.addr);
    struct dt_path path = {.local = x.path.remote, .remote = x.path.local, .natt = x.path.natt};
    if (to != NULL && !to->deaf && host_at(&x.path.local.addr) != NULL)
        dt_endpoint_ike_input(to->d.ep, daemon_now(), &path, x.data, x.len);
    return true;
}

/* ---- the data path ---- */

/* The functions that the linker puts in place of the net room's. */
int __wrap_dt_dp_tunnel_set(struct dt_dp *dp, const struct dt_dp_tunnel *t, struct dt_err *err);
void __wrap_dt_dp_tunnel_remove(struct dt_dp *dp, uint64_t tunnel);
int __wrap_dt_dp_tunnel_state(struct dt_dp *dp, uint64_t tunnel, enum dt_dp_state state, uint64_t sa,
                              struct dt_err *err);
bool __wrap_dt_dp_tunnel_counters(struct dt_dp *dp, uint64_t tunnel, struct dt_dp_tunnel_counters *out);
void __wrap_dt_dp_tunnel_rematch(struct dt_dp *dp, uint64_t tunnel);
int __wrap_dt_dp_sa_add(struct dt_dp *dp, const struct dt_dp_sa *sa, struct dt_err *err);
int __wrap_dt_dp_room(const struct dt_dp *dp, uint64_t tunnel, struct dt_err *err);
void __wrap_dt_dp_sa_remove(struct dt_dp *dp, uint64_t sa);
int __wrap_dt_dp_sa_path(struct dt_dp *dp, uint64_t sa, const struct dt_path *path, struct dt_err *err);
bool __wrap_dt_dp_sa_counters(struct dt_dp *dp, uint64_t sa, struct dt_dp_sa_counters *out);
int __wrap_dt_dp_probe(struct dt_dp *dp, uint64_t sa, const struct dt_dp_probe *probe, struct dt_err *err);
int __wrap_dt_dp_send_ike(struct dt_dp *dp, const struct dt_path *path, const void *msg, size_t len,
                          bool nested, struct dt_err *err);
int __wrap_dt_dp_send_keepalive(struct dt_dp *dp, const struct dt_path *path, bool nested,
                                struct dt_err *err);
unsigned __wrap_dt_dp_tun_index(const struct dt_dp *dp);
const char *__wrap_dt_dp_tun_name(const struct dt_dp *dp);
int __wrap_dt_udp_send(int fd, const struct dt_path *path, const void *msg, size_t len, struct dt_err *err);
int __wrap_dt_nl_route_get(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_addr *src,
                           unsigned *ifindex, struct dt_err *err);
int __wrap_dt_nl_route_get_port(struct dt_nl *nl, const struct dt_addr *dst, uint8_t proto, uint16_t port,
                                unsigned *ifindex, struct dt_err *err);
int __wrap_dt_nl_route_match(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark,
                             struct dt_prefix *matched, struct dt_err *err);
int __wrap_dt_nl_addrs_of(struct dt_nl *nl, unsigned ifindex, struct dt_nl_addrs *out, struct dt_err *err);

static struct fake_host *host_of(const void *handle)
{
    return (struct fake_host *)(uintptr_t)handle;
}

static struct fake_tunnel *tunnel_of(struct fake_host *h, uint64_t id)
{
    for (size_t i = 0; i < FAKE_TUNNELS; i++)
        if (h->tunnel[i].set.id == id)
            return &h->tunnel[i];
    return NULL;
}

int __wrap_dt_dp_room(const struct dt_dp *dp, uint64_t tunnel, struct dt_err *err)
{
    struct fake_host *h = host_of(dp);
    size_t n = 0;
    for (size_t i = 0; i < FAKE_TUNNELS; i++)
        n += h->tunnel[i].set.id != 0;
    if (h->tunnels_max == 0 || n < h->tunnels_max || tunnel_of(h, tunnel) != NULL)
        return 0;
    return dt_err_set(err, 0, "no more than %zu tunnels", h->tunnels_max);
}

int __wrap_dt_dp_tunnel_set(struct dt_dp *dp, const struct dt_dp_tunnel *t, struct dt_err *err)
{
    struct fake_tunnel *x = tunnel_of(host_of(dp), t->id);
    if (x == NULL) {
        if (__wrap_dt_dp_room(dp, t->id, err) != 0)
            return -1;
        x = tunnel_of(host_of(dp), 0);
        assert_non_null(x);
        x->state = t->hold_first ? DT_DP_HOLD : DT_DP_DROP;
    }
    x->set = *t;
    return 0;
}

void __wrap_dt_dp_tunnel_remove(struct dt_dp *dp, uint64_t tunnel)
{
    struct fake_tunnel *x = tunnel_of(host_of(dp), tunnel);
    if (x != NULL)
        *x = (struct fake_tunnel){0};
}

int __wrap_dt_dp_tunnel_state(struct dt_dp *dp, uint64_t tunnel, enum dt_dp_state state, uint64_t sa,
                              struct dt_err *err)
{
    struct fake_tunnel *x = tunnel_of(host_of(dp), tunnel);
    if (x == NULL)
        return dt_err_set(err, 0, "no such tunnel");
    x->state = state;
    x->sa = sa;
    return 0;
}

bool __wrap_dt_dp_tunnel_counters(struct dt_dp *dp, uint64_t tunnel, struct dt_dp_tunnel_counters *out)
{
    memset(out, 0, sizeof(*out));
    return tunnel_of(host_of(dp), tunnel) != NULL;
}

void __wrap_dt_dp_tunnel_rematch(struct dt_dp *dp, uint64_t tunnel)
{
}

static struct fake_sa *sa_of(struct fake_host *h, uint64_t id)
{
    for (size_t i = 0; i < FAKE_SAS; i++)
        if (h->sa[i].id == id)
            return &h->sa[i];
    return NULL;
}

int __wrap_dt_dp_sa_add(struct dt_dp *dp, const struct dt_dp_sa *sa, struct dt_err *err)
{
    struct fake_sa *x = sa_of(host_of(dp), 0);
    assert_non_null(x);
    *x = (struct fake_sa){sa->id, sa->in.spi, sa->out.spi};
    return 0;
}

void __wrap_dt_dp_sa_remove(struct dt_dp *dp, uint64_t sa)
{
    struct fake_host *h = host_of(dp);
    struct fake_sa *x = sa_of(h, sa);
    if (x != NULL)
        *x = (struct fake_sa){0};
    for (size_t i = 0; i < FAKE_TUNNELS; i++)
        if (h->tunnel[i].state == DT_DP_SEND && h->tunnel[i].sa == sa)
            h->tunnel[i].state = DT_DP_HOLD;
}

int __wrap_dt_dp_sa_path(struct dt_dp *dp, uint64_t sa, const struct dt_path *path, struct dt_err *err)
{
    return 0;
}

bool __wrap_dt_dp_sa_counters(struct dt_dp *dp, uint64_t sa, struct dt_dp_sa_counters *out)
{
    memset(out, 0, sizeof(*out));
    return sa_of(host_of(dp), sa) != NULL;
}

/* What was asked for inside the endpoint happens afterwards, as with a real data path. */
static struct probe {
    struct fake_host *h;
    uint64_t sa;
    uint16_t ident, seq;
} probes[FAKE_QUEUE];
static size_t nprobe;

int __wrap_dt_dp_probe(struct dt_dp *dp, uint64_t sa, const struct dt_dp_probe *probe, struct dt_err *err)
{
    assert_true(nprobe < FAKE_QUEUE);
    probes[nprobe++] = (struct probe){host_of(dp), sa, probe->ident, probe->seq};
    return 0;
}

static bool answer_probe(void)
{
    if (nprobe == 0)
        return false;
    struct probe p = probes[0];
    memmove(probes, probes + 1, --nprobe * sizeof(probes[0]));
    const struct fake_sa *from = sa_of(p.h, p.sa);
    for (size_t i = 0; from != NULL && i < DT_ARRAY_LEN(hosts); i++)
        for (size_t k = 0; hosts[i] != NULL && !hosts[i]->deaf && k < FAKE_SAS; k++)
            if (hosts[i]->sa[k].id != 0 && hosts[i]->sa[k].spi_in == from->spi_out && hosts[i] != p.h) {
                dt_endpoint_heard(hosts[i]->d.ep, daemon_now(), hosts[i]->sa[k].id);
                dt_endpoint_heard(p.h->d.ep, daemon_now(), p.sa);
                dt_endpoint_probe_reply(p.h->d.ep, daemon_now(), p.sa, p.ident, p.seq);
                return true;
            }
    return true;
}

int __wrap_dt_dp_send_ike(struct dt_dp *dp, const struct dt_path *path, const void *msg, size_t len,
                          bool nested, struct dt_err *err)
{
    send_datagram(path, msg, len);
    return 0;
}

int __wrap_dt_dp_send_keepalive(struct dt_dp *dp, const struct dt_path *path, bool nested, struct dt_err *err)
{
    return 0;
}

unsigned __wrap_dt_dp_tun_index(const struct dt_dp *dp)
{
    return 7;
}

const char *__wrap_dt_dp_tun_name(const struct dt_dp *dp)
{
    return "dovetail0";
}

int __wrap_dt_udp_send(int fd, const struct dt_path *path, const void *msg, size_t len, struct dt_err *err)
{
    send_datagram(path, msg, len);
    return 0;
}

/* ---- the kernel's tables ---- */

static int host_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    const struct fake_host *h = user;
    have->n = 0;
    for (size_t i = 0; i < h->nfact; i++)
        if (dt_host_facts_add(have, &h->fact[i]) != 0)
            return -1;
    return 0;
}

static int host_change(void *user, bool set, const void *fact, struct dt_err *err)
{
    const struct dt_host_fact *f = fact;
    struct fake_host *h = user;
    for (size_t i = 0; i < h->nfact; i++)
        if (dt_host_place_cmp(&h->fact[i], f) == 0)
            h->fact[i--] = h->fact[--h->nfact];
    assert_true(h->nfact < FAKE_FACTS);
    if (set)
        h->fact[h->nfact++] = *f;
    return 0;
}

static const struct dt_host_ops host_ops = {.read = host_read, .change = host_change};

int __wrap_dt_nl_route_get(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark, struct dt_addr *src,
                           unsigned *ifindex, struct dt_err *err)
{
    if (src != NULL)
        *src = host_of(nl)->addr;
    return 0;
}

int __wrap_dt_nl_route_get_port(struct dt_nl *nl, const struct dt_addr *dst, uint8_t proto, uint16_t port,
                                unsigned *ifindex, struct dt_err *err)
{
    return 0;
}

int __wrap_dt_nl_route_match(struct dt_nl *nl, const struct dt_addr *dst, uint32_t mark,
                             struct dt_prefix *matched, struct dt_err *err)
{
    const struct dt_prefix *routed = &host_of(nl)->routed;
    *matched = routed->len != 0 && dt_prefix_has(routed, dst) ? *routed : (struct dt_prefix){.addr = *dst};
    return 0;
}

int __wrap_dt_nl_addrs_of(struct dt_nl *nl, unsigned ifindex, struct dt_nl_addrs *out, struct dt_err *err)
{
    const struct fake_host *h = host_of(nl);
    out->n = 0;
    out->v = calloc(DT_ARRAY_LEN(h->host_addr), sizeof(*out->v));
    assert_non_null(out->v);
    for (size_t i = 0; i < DT_ARRAY_LEN(h->host_addr); i++)
        if (h->host_addr[i].ver != 0)
            out->v[out->n++] = (struct dt_nl_addr){.ifindex = 3, .addr = h->host_addr[i], .len = 16};
    return 0;
}

/* ---- the keeper ---- */

int __wrap_dt_keeper_want(struct dt_keeper *k, struct dt_host_facts *want, struct dt_host_result *result,
                          void (*mended)(void *user, bool set, const struct dt_host_fact *f,
                                         const struct dt_err *err),
                          void *user);
const char *__wrap_dt_keeper_missing(const struct dt_keeper *k, uint32_t owner);
struct dt_host_filter_counters __wrap_dt_keeper_dropped(const struct dt_keeper *k);
const char *__wrap_dt_keeper_gone(const struct dt_keeper *k);

int __wrap_dt_keeper_want(struct dt_keeper *k, struct dt_host_facts *want, struct dt_host_result *result,
                          void (*mended)(void *user, bool set, const struct dt_host_fact *f,
                                         const struct dt_err *err),
                          void *user)
{
    return dt_host_want(host_of(k)->host, want, result);
}

struct dt_host_filter_counters __wrap_dt_keeper_dropped(const struct dt_keeper *k)
{
    return (struct dt_host_filter_counters){.out = 7, .in = 9};
}

const char *__wrap_dt_keeper_missing(const struct dt_keeper *k, uint32_t owner)
{
    return dt_host_missing(host_of(k)->host, owner);
}

const char *__wrap_dt_keeper_gone(const struct dt_keeper *k)
{
    return NULL;
}

int __wrap_dt_keeper_keep(struct dt_keeper *k, enum dt_keeper_file file, const void *text, size_t len,
                          struct dt_err *err);
int __wrap_dt_keeper_keep(struct dt_keeper *k, enum dt_keeper_file file, const void *text, size_t len,
                          struct dt_err *err)
{
    char path[512];
    int fd = memfd_create("kept", MFD_CLOEXEC);
    assert_true(wants_path(&host_of(k)->d, path, sizeof(path)));
    assert_int_equal(write(fd, text, len), len);
    int rc = keeper_keep(path, false, fd, err);
    close(fd);
    return rc;
}

int __wrap_dt_nl_link_get(struct dt_nl *nl, unsigned ifindex, struct dt_nl_link *out, struct dt_err *err);
int __wrap_dt_nl_link_get(struct dt_nl *nl, unsigned ifindex, struct dt_nl_link *out, struct dt_err *err)
{
    *out = (struct dt_nl_link){.there = true, .up = true};
    return 0;
}

/* ---- hosts ---- */

static void count_event(void *user, const struct dt_event *ev)
{
    struct fake_host *h = DT_CONTAINER_OF((struct daemon *)user, struct fake_host, d);
    driver_ops.event(user, ev);
    h->sessions_opened += ev->kind == DT_EPOCH_SESSION_OPENING;
    h->sessions_down += ev->kind == DT_EVENT_SESSION_DOWN;
    h->gone += ev->kind == DT_EVENT_TUNNEL_GONE;
    if (ev->kind == DT_EVENT_TUNNEL_GONE)
        snprintf(h->why, sizeof(h->why), "%s", ev->text);
}

static void log_nothing(void *ctx, enum dt_log_level level, const char *room, const char *line)
{
}

struct fake_host *fake_host_new(struct dt_addr addr)
{
    dt_log_set(log_nothing, NULL, DT_LOG_ERROR);
    struct fake_host *h = calloc(1, sizeof(*h));
    struct dt_err err = {0};
    struct dt_endpoint_ops ops = driver_ops;
    struct dt_rand rand = dt_rand_system();
    struct dt_ike_params ike;
    assert_non_null(h);
    struct daemon *d = &h->d;
    h->addr = addr;
    dt_ike_params_default(&ike);
    ops.event = count_event;
    ops.keylog = NULL;
    ops.work = NULL; /* key exchanges are done at once */
    d->above = &driver_above;
    d->top = &h->top;
    daemon_init(d, &(struct dt_siphash_key){{0}});
    dt_list_init(&h->top.waits);
    uv_loop_init(&d->loop);
    uv_timer_init(&d->loop, &d->timer);
    uv_timer_init(&d->loop, &h->top.loop.settle);
    uv_timer_init(&d->loop, &h->top.loop.beat);
    d->timer.data = h->top.loop.settle.data = h->top.loop.beat.data = d;
    for (int i = 0; i < 2; i++)
        d->ike4_fd[i] = d->ike6_fd[i] = -1;
    h->top.loop.nl_fd = -1;
    d->routes.changed = true; /* as routes_begin brings the device up */
    d->cfg.ike_port = DT_PORT_IKE;
    d->cfg.natt_port = DT_PORT_NATT;
    d->dp = (struct dt_dp *)h; /* the functions above know what it is */
    d->nl = (struct dt_nl *)h;
    h->host = dt_host_new(&dt_host_sort, &host_ops, h);
    d->keeper = (struct dt_keeper *)h;
    d->routes.begun = true;
    d->leases = dt_lease_sqlite(":memory:", &err);
    assert_non_null(h->host);
    d->ep = dt_endpoint_new(&ops, d, &ike, NULL, dt_crypto_null(), &rand);
    assert_non_null(d->leases);
    assert_non_null(d->ep);
    size_t slot = 0;
    while (hosts[slot] != NULL)
        assert_true(++slot < DT_ARRAY_LEN(hosts));
    hosts[slot] = h;
    return h;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void fake_host_free(struct fake_host *h)
{
    struct daemon *d = &h->d;
    queued = nprobe = 0;
    for (size_t i = 0; i < DT_ARRAY_LEN(hosts); i++)
        if (hosts[i] == h)
            hosts[i] = NULL;
    discover_clear(d);
    tunnels_clear(d);
    dt_endpoint_free(d->ep);
    d->ep = NULL;
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&d->loop), 0);
    plans_close(d);
    plans_hook_close(d);
    dt_host_free(h->host);
    d->leases->close(d->leases);
    daemon_free_tables(d);
    free(h);
    queued = nprobe = 0;
}

json_t *fake_host_apply(struct fake_host *h, const char *text)
{
    struct dt_config c;
    struct dt_err err = {0};
    char line[1024] = "";
    if (dt_config_parse(&c, text, strlen(text), "test.conf", 0) != 0) {
        for (size_t i = 0; i < c.nissue; i++)
            if (!c.issue[i].warning)
                dt_config_issue_str(line, sizeof(line), &c, &c.issue[i]);
        fail_msg("%s\n%s", line, text);
    }
    json_t *report = json_object();
    if (daemon_apply(&h->d, &c, report, &err) != 0)
        fail_msg("%s", err.text);
    dt_config_free(&c);
    return report;
}

void fake_hosts_run(struct fake_host **h, size_t n)
{
    for (int idle = 0; idle < 2;) {
        bool did = deliver() || answer_probe();
        for (size_t i = 0; i < n; i++) {
            uv_run(&h[i]->d.loop, UV_RUN_NOWAIT);
            routes_flush(&h[i]->d);
            if (dt_endpoint_deadline(h[i]->d.ep) <= daemon_now())
                dt_endpoint_tick(h[i]->d.ep, daemon_now());
        }
        idle = did || queued > 0 || nprobe > 0 ? 0 : idle + 1;
    }
}

const struct fake_tunnel *fake_host_tunnel(const struct fake_host *h, const char *name)
{
    const struct tun *t = tun_by_name((struct daemon *)(uintptr_t)&h->d, name);
    return t != NULL && t->id != 0 ? tunnel_of((struct fake_host *)(uintptr_t)h, t->id) : NULL;
}

static bool info_of(struct fake_host *h, const char *name, struct dt_tunnel_info *info)
{
    const struct tun *t = tun_by_name(&h->d, name);
    return t != NULL && t->id != 0 && dt_endpoint_tunnel_info(h->d.ep, t->id, info);
}

bool fake_host_up(struct fake_host *h, const char *name)
{
    struct dt_tunnel_info info;
    return info_of(h, name, &info) && info.up;
}

uint32_t fake_host_spi(struct fake_host *h, const char *name)
{
    struct dt_tunnel_info info;
    if (!info_of(h, name, &info))
        return 0;
    for (size_t i = 0; i < info.nepochs; i++)
        if (info.epochs[i].carries)
            return info.epochs[i].spi_in;
    return 0;
}

size_t fake_host_clients(struct fake_host *h)
{
    struct dt_tunnel_info info;
    size_t n = 0;
    for (uint32_t t = dt_endpoint_tunnel_next(h->d.ep, 0); t != 0; t = dt_endpoint_tunnel_next(h->d.ep, t))
        n += dt_endpoint_tunnel_info(h->d.ep, t, &info) && !info.client;
    return n;
}
