/* The host's part of the keeper: the device, and what is wanted of the host (host/host.h). */
#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/message.h"

struct keeper_host {
    struct dt_keeper_setup setup;
    struct dt_nl *nl;
    struct dt_host *host;
    struct dt_host_kernel kernel;
    struct dt_host_filter *filter; /* NULL: this host has no nftables */
    struct dt_host_facts wanted;   /* as they come in */
    bool said;                     /* something was wanted at all */
    bool closed; /* of what is wanted last: something must stay so when the daemon is killed */
    int fd;      /* while a want is answered; -1 */
    bool broken; /* the answer cannot be sent */
};

static int host_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    struct keeper_host *h = user;
    return dt_host_kernel_read(&h->kernel, have, err);
}

static int host_change(void *user, bool set, const void *fact, struct dt_err *err)
{
    struct keeper_host *h = user;
    return dt_host_kernel_change(&h->kernel, set, fact, err);
}

static void reconcile_answer(struct keeper_host *h, const struct keeper_reply *r, size_t len)
{
    if (h->fd >= 0 && keeper_send(h->fd, r, offsetof(struct keeper_reply, u) + len, NULL, 0) != 0)
        h->broken = true;
}

static void reconcile_host_mended(void *user, bool set, const void *fact, const struct dt_err *err)
{
    struct keeper_reply r = {.answer = KEEPER_MENDED};
    r.u.mended.fact = *(const struct dt_host_fact *)fact;
    r.u.mended.set = set;
    r.u.mended.failed = err != NULL;
    if (err != NULL)
        r.u.mended.err = *err;
    reconcile_answer(user, &r, sizeof(r.u.mended));
}

static const struct dt_host_ops host_ops = {
    .read = host_read, .change = host_change, .mended = reconcile_host_mended};

struct keeper_host *keeper_host_new(const struct dt_keeper_setup *s, struct dt_err *note)
{
    struct keeper_host *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    h->setup = *s;
    h->fd = -1;
    struct dt_host_filter_cfg filter = {
        .device = h->setup.device, .mark = DT_DP_MARK, .ike_port = s->ike_port, .natt_port = s->natt_port};
    h->nl = dt_nl_open(note);
    h->host = dt_host_new(&dt_host_sort, &host_ops, h);
    h->filter = dt_host_filter_open(&filter, note);
    h->kernel = (struct dt_host_kernel){.nl = h->nl,
                                        .ifindex = if_nametoindex(h->setup.device),
                                        .device = h->setup.device,
                                        .mtu = s->mtu,
                                        .table = DT_KEEPER_TABLE,
                                        .priority = DT_KEEPER_TABLE,
                                        .mark = DT_DP_MARK,
                                        .filter = h->filter};
    if (h->nl != NULL && h->host != NULL)
        return h;
    keeper_host_free(h);
    return NULL;
}

void keeper_host_free(struct keeper_host *h)
{
    if (h == NULL)
        return;
    dt_host_free(h->host);
    dt_host_filter_close(h->filter);
    dt_host_kernel_free(&h->kernel);
    dt_nl_close(h->nl);
    dt_host_facts_free(&h->wanted);
    free(h);
}

void keeper_host_tap(struct keeper_host *h, struct dt_tap *tap)
{
    h->kernel.tap = tap;
}

int keeper_host_device(struct keeper_host *h, struct dt_tun *tun, int *fd, struct dt_err *err)
{
    if (dt_tun_open(tun, h->setup.device, true, h->setup.queues, fd, err) != 0)
        return -1;
    dt_tun_link(tun, h->setup.mtu);
    h->kernel.ifindex = tun->index;
    return 0;
}

bool keeper_host_add(struct keeper_host *h, const struct dt_host_fact *f, size_t n)
{
    if (h->wanted.n + n > KEEPER_FACTS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (dt_host_facts_add(&h->wanted, &f[i]) < 0)
            return false;
    return true;
}

/* Whose facts are missing: each once where they follow each other. */
static void tell_owners(struct keeper_host *h)
{
    const struct dt_host_facts *missing = dt_host_missing_facts(h->host);
    struct keeper_reply r = {.answer = KEEPER_OWNERS};
    for (size_t i = 0; i < missing->n; i++) {
        const struct dt_host_fact *f = dt_host_facts_at(missing, &dt_host_sort, i);
        if (r.n > 0 && r.u.owner[r.n - 1] == f->owner)
            continue;
        r.u.owner[r.n++] = f->owner;
        if (r.n == KEEPER_OWNERS_EACH) {
            reconcile_answer(h, &r, sizeof(r.u.owner));
            r.n = 0;
        }
    }
    if (r.n > 0)
        reconcile_answer(h, &r, r.n * sizeof(r.u.owner[0]));
}

#define IPV6_CONF "/proc/sys/net/ipv6/conf/"

static bool interface_has_ipv6(const char *name)
{
    char path[sizeof(IPV6_CONF) + 256 + 16];
    snprintf(path, sizeof(path), IPV6_CONF "%.255s/disable_ipv6", name);
    FILE *f = fopen(path, "re");
    int c = f != NULL ? fgetc(f) : EOF;
    if (f != NULL)
        fclose(f);
    return c == '0';
}

/* It may be switched off for all that there is, and on again for one interface: by that IPv6 leaves. */
static bool host_has_ipv6(const char *device)
{
    static const char *const others[] = {"all", "default", "lo"};
    if (interface_has_ipv6("all"))
        return true;
    DIR *d = opendir(IPV6_CONF);
    const struct dirent *e;
    bool has = false;
    while (d != NULL && !has && (e = readdir(d)) != NULL) {
        bool looked_at = e->d_name[0] != '.' && strcmp(e->d_name, device) != 0;
        for (size_t i = 0; i < DT_ARRAY_LEN(others); i++)
            looked_at = looked_at && strcmp(e->d_name, others[i]) != 0;
        has = looked_at && interface_has_ipv6(e->d_name);
    }
    if (d != NULL)
        closedir(d);
    return has;
}

/* Where IPv6 is switched off nothing of it leaves, and the kernel takes none of its routes. The filter has its ranges. */
static void drop_ipv6(struct dt_host_facts *l)
{
    struct dt_host_fact *v = l->v;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (v[i].ver != 6 && v[i].rule.ver != 6 && v[i].prefix.addr.ver != 6)
            v[n++] = v[i];
    l->n = n;
}

int keeper_host_want(struct keeper_host *h, size_t n, int fd)
{
    struct keeper_reply r = {.answer = KEEPER_DONE};
    struct dt_host_result result;
    if (h->wanted.n != n)
        return -1;
    h->said = true;
    h->closed = false;
    for (size_t i = 0; i < h->wanted.n; i++) {
        const struct dt_host_fact *f = dt_host_facts_at(&h->wanted, &dt_host_sort, i);
        h->closed = h->closed || f->kind == DT_HOST_BARRIER;
    }
    if (h->filter != NULL && dt_host_filter_want(h->filter, &h->wanted) < 0)
        return -1;
    if (dt_host_probes_want(h->kernel.tap, &h->wanted) < 0)
        return -1;
    h->kernel.ipv6 = host_has_ipv6(h->setup.device);
    if (!h->kernel.ipv6)
        drop_ipv6(&h->wanted);
    h->fd = fd;
    h->broken = false;
    r.rc = dt_host_want(h->host, &h->wanted, &result);
    r.u.want.set = result.set;
    r.u.want.removed = result.removed;
    r.u.want.missing = result.missing;
    r.u.want.news = result.news;
    r.u.want.looks = result.looks;
    r.u.want.why = result.why;
    r.u.want.unread = r.rc != 0 && result.missing == 0;
    if (h->filter != NULL)
        dt_host_filter_counters(h->filter, &r.u.want.dropped);
    if (result.first != NULL)
        r.u.want.first = *(const struct dt_host_fact *)result.first;
    if (!r.u.want.unread)
        tell_owners(h);
    reconcile_answer(h, &r, sizeof(r.u.want));
    h->fd = -1;
    return h->broken ? -1 : 0;
}

void keeper_host_end(struct keeper_host *h)
{
    struct dt_host_facts none = {.v = NULL};
    if (h->said && !h->closed)
        dt_host_want(h->host, &none, NULL);
}
