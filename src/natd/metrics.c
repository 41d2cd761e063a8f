/* Prometheus metrics: a page that is written anew every few seconds and served by libmicrohttpd's own thread. */
#include "natd/natd.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct natd_metrics {
    struct MHD_Daemon *http;
    pthread_mutex_t lock;
    char *page;
    size_t len;
    unsigned calls;
};

static enum MHD_Result answer(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **own)
{
    static const char wrong[] = "only GET /metrics is here\n";
    struct natd_metrics *m = ctx;
    bool ok = !strcmp(url, "/metrics") && !strcmp(method, "GET");
    struct MHD_Response *r;
    if (ok) {
        pthread_mutex_lock(&m->lock);
        r = MHD_create_response_from_buffer(m->len, m->page ? m->page : (void *)(uintptr_t) "",
                                            MHD_RESPMEM_MUST_COPY);
        pthread_mutex_unlock(&m->lock);
        MHD_add_response_header(r, "Content-Type", "text/plain; version=0.0.4");
    } else {
        r = MHD_create_response_from_buffer(sizeof(wrong) - 1, (void *)(uintptr_t)wrong,
                                            MHD_RESPMEM_PERSISTENT);
    }
    enum MHD_Result rc = MHD_queue_response(conn, ok ? 200 : 404, r);
    MHD_destroy_response(r);
    return rc;
}

static bool count(void *ctx, const struct dt_masq_item *it)
{
    size_t(*n)[2] = ctx;
    n[it->kind & 1][it->state & 1]++;
    return true;
}

static void write_page(struct natd *d, FILE *f)
{
    size_t n[2][2] = {{0}};
    dt_kernel_items(d->k, dt_kernel_now(), count, n);
    fputs("# HELP dovetail_nat_packets_total packets by the rule that decided\n"
          "# TYPE dovetail_nat_packets_total counter\n",
          f);
    for (unsigned i = DT_MASQ_RULE_PASS + 1; i < DT_MASQ_RULE_COUNT; i++)
        fprintf(f, "dovetail_nat_packets_total{rule=\"%s\"} %llu\n", dt_masq_rule_name((enum dt_masq_rule)i),
                (unsigned long long)dt_kernel_count(d->k, i));
    fputs("# HELP dovetail_nat_items items now\n# TYPE dovetail_nat_items gauge\n", f);
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned state = 0; state < 2; state++)
            fprintf(f, "dovetail_nat_items{kind=\"%s\",state=\"%s\"} %zu\n",
                    dt_masq_kind_name((enum dt_masq_kind)kind), dt_masq_state_name((enum dt_masq_state)state),
                    n[kind][state]);
    static const char *const name[NAT_COUNTERS] = {"events_lost", "multicast_copies", "multicast_unrouted"};
    static const char *const help[NAT_COUNTERS] = {"events that nobody read in time",
                                                   "packets sent by multicast",
                                                   "addressees of a multicast that could not be reached"};
    for (unsigned i = 0; i < NAT_COUNTERS; i++)
        fprintf(f,
                "# HELP dovetail_nat_%s_total %s\n# TYPE dovetail_nat_%s_total "
                "counter\ndovetail_nat_%s_total %llu\n",
                name[i], help[i], name[i], name[i],
                (unsigned long long)dt_kernel_count(d->k, DT_MASQ_RULE_COUNT + i));
    fprintf(f,
            "# HELP dovetail_nat_attached 1 while the kernel path is on both interfaces\n"
            "# TYPE dovetail_nat_attached gauge\ndovetail_nat_attached %d\n"
            "# HELP dovetail_nat_uptime_seconds since this natd started\n"
            "# TYPE dovetail_nat_uptime_seconds gauge\ndovetail_nat_uptime_seconds %.3f\n",
            d->inside != 0, dt_time_seconds(dt_kernel_now() - d->started));
}

void natd_metrics_refresh(struct natd *d)
{
    struct natd_metrics *m = d->metrics;
    char *page = NULL;
    size_t len = 0;
    if (!m || m->calls++ % 5)
        return;
    FILE *f = open_memstream(&page, &len);
    if (!f)
        return;
    write_page(d, f);
    if (fclose(f)) {
        free(page);
        return;
    }
    pthread_mutex_lock(&m->lock);
    free(m->page);
    m->page = page;
    m->len = len;
    pthread_mutex_unlock(&m->lock);
}

int natd_metrics_open(struct natd *d, struct dt_err *err)
{
    const struct dt_addrport *at = &d->cfg.metrics;
    if (!at->addr.ver)
        return 0;
    struct natd_metrics *m = calloc(1, sizeof(*m));
    if (!m)
        return dt_err_set(err, 0, "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(at->port)};
    memcpy(&in.sin_addr, at->addr.b, 4);
    memcpy(&in6.sin6_addr, at->addr.b, 16);
    bool v6 = at->addr.ver == 6;
    m->http =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | (v6 ? MHD_USE_IPv6 : 0), at->port,
                         NULL, NULL, answer, m, MHD_OPTION_SOCK_ADDR, v6 ? (void *)&in6 : (void *)&in,
                         MHD_OPTION_CONNECTION_LIMIT, 16u, MHD_OPTION_CONNECTION_TIMEOUT, 5u, MHD_OPTION_END);
    if (!m->http) {
        char text[DT_ADDRPORT_STRLEN];
        pthread_mutex_destroy(&m->lock);
        free(m);
        return dt_err_set(err, 0, "cannot serve metrics at %s: %s", dt_addrport_str(text, at),
                          strerror(errno));
    }
    d->metrics = m;
    return 0;
}

void natd_metrics_close(struct natd *d)
{
    struct natd_metrics *m = d->metrics;
    if (!m)
        return;
    MHD_stop_daemon(m->http);
    pthread_mutex_destroy(&m->lock);
    free(m->page);
    free(m);
    d->metrics = NULL;
}
