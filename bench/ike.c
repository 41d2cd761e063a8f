/* bench ike: full handshakes a second and memory for each tunnel.
 *
 * Two hosts in one process and one thread, real cryptography, the engines that ship: a client host with N tunnels and a
 * gateway. A handshake is everything until the first epoch is verified: IKE_SA_INIT (X25519), IKE_AUTH with a pre-shared
 * key and an inside address, the child SAs with both ESP contexts, the probe and its reply. Memory is what malloc gave
 * out between before and after, for each host; ESP contexts with their replay windows included, the data path's own
 * queues not (they are shared). One JSON object a line. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bucket.h"
#include "base/list.h"
#include "base/table.h"
#include "crypto/crypto.h"
#include "endpoint/endpoint.h"
#include "esp/esp.h"

enum side { CLIENT, GATEWAY };

struct datagram {
    struct dt_list list;
    enum side to;
    struct dt_path path; /* as the receiver sees it */
    size_t len;
    uint8_t data[];
};

struct sa {
    struct dt_table_node by_id, by_spi;
    uint64_t id;
    uint32_t spi_in, spi_out;
    struct dt_esp_in *in;
    struct dt_esp_out *out;
};

struct host {
    struct bench *b;
    enum side side;
    struct dt_endpoint *ep;
    struct dt_table by_id, by_spi;
    long long memory;
};

struct probe {
    struct dt_list list;
    uint64_t sa;
    uint32_t spi;
    uint16_t ident, seq;
};

struct bench {
    struct host host[2];
    struct dt_list wire, probes;
    const struct dt_crypto *crypto;
    dt_time now;
    uint32_t verified, leased;
    bool weigh;
};

static double cpu(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What malloc gave out while `call` ran goes to that host's account. */
static long long heap(const struct bench *b)
{
    if (!b->weigh)
        return 0;
    struct mallinfo2 m = mallinfo2();
    return (long long)m.uordblks + (long long)m.hblkhd;
}

#define ON(h, call)                                                                                          \
    do {                                                                                                     \
        long long before_ = heap((h)->b);                                                                    \
        call;                                                                                                \
        (h)->memory += heap((h)->b) - before_;                                                               \
    } while (0)

static void send_ike(void *user, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags)
{
    struct host *h = user;
    struct datagram *d;
    if (flags & DT_IKE_SEND_KEEPALIVE)
        return;
    d = malloc(sizeof *d + len);
    h->memory -= h->b->weigh ? (long long)malloc_usable_size(d) + 8 : 0; /* the wire is nobody's memory */
    d->to = h->side == CLIENT ? GATEWAY : CLIENT;
    d->path = (struct dt_path){.local = path->remote, .remote = path->local, .natt = path->natt};
    d->len = len;
    memcpy(d->data, data, len);
    dt_list_add_tail(&h->b->wire, &d->list);
}

static struct sa *by_id(struct host *h, uint64_t id)
{
    struct dt_table_node *n = dt_table_first(&h->by_id, id); /* ids are their own hash: no two share one */
    return n ? DT_CONTAINER_OF(n, struct sa, by_id) : NULL;
}

static struct sa *by_spi(struct host *h, uint32_t spi)
{
    struct dt_table_node *n = dt_table_first(&h->by_spi, spi);
    return n ? DT_CONTAINER_OF(n, struct sa, by_spi) : NULL;
}

static int sa_install(void *user, dt_time now, const struct dt_endpoint_sa *sa, struct dt_err *err)
{
    struct host *h = user;
    struct sa *s = calloc(1, sizeof *s);
    struct dt_esp_params p = {.suite = sa->suite, .esn = sa->esn, .mode = DT_ESP_TUNNEL, .spi = sa->spi_in};
    p.key = dt_span(sa->key_in, sa->key_len);
    s->id = sa->sa;
    s->spi_in = sa->spi_in;
    s->spi_out = sa->spi_out;
    s->in = dt_esp_in_new(h->b->crypto, &p, err);
    p.spi = sa->spi_out;
    p.key = dt_span(sa->key_out, sa->key_len);
    s->out = dt_esp_out_new(h->b->crypto, &p, err);
    if (!s->in || !s->out) {
        fprintf(stderr, "bench-ike: %s\n", err->text);
        exit(1);
    }
    return dt_table_insert(&h->by_id, &s->by_id, s->id) || dt_table_insert(&h->by_spi, &s->by_spi, s->spi_in)
               ? -1
               : 0;
}

static void sa_remove(void *user, dt_time now, uint64_t id)
{
    struct host *h = user;
    struct sa *s = by_id(h, id);
    if (!s)
        return;
    dt_table_remove(&h->by_id, &s->by_id);
    dt_table_remove(&h->by_spi, &s->by_spi);
    dt_esp_in_free(s->in);
    dt_esp_out_free(s->out);
    free(s);
}

static void probe(void *user, dt_time now, const struct dt_endpoint_probe *p)
{
    struct host *h = user;
    struct probe *q = malloc(sizeof *q);
    h->memory -= h->b->weigh ? (long long)malloc_usable_size(q) + 8 : 0;
    *q = (struct probe){.sa = p->sa, .ident = p->ident, .seq = p->seq};
    q->spi = by_id(h, p->sa)->spi_out;
    dt_list_add_tail(&h->b->probes, &q->list);
}

static int psk(void *user, uint32_t tunnel, uint32_t gateway, const struct dt_ike_id *local,
               const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    memset(key, 'k', 32);
    return 32;
}

static int lease(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                 const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err)
{
    struct host *h = user;
    give->addr4 = dt_addr4(0x0a090001 + h->b->leased++);
    return 0;
}

static void event(void *user, const struct dt_event *ev)
{
    struct host *h = user;
    h->b->verified += ev->kind == DT_EPOCH_VERIFIED && h->side == CLIENT;
}

static void outbound(void *user, dt_time now, uint32_t tunnel, enum dt_outbound how, uint64_t sa, bool forced)
{
}
static void release(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                    const struct dt_ike_inside *given)
{
}
static void sa_path(void *user, dt_time now, uint64_t sa, const struct dt_path *path)
{
}
static void tunnel(void *user, dt_time now, uint32_t id, bool gone)
{
}

static dt_time last_heard(void *user, uint64_t sa)
{
    return ((struct host *)user)->b->now;
}

static bool local_addr(void *user, uint32_t id, const struct dt_addr *remote, struct dt_addr *local)
{
    *local = dt_addr4(0xc6120000 + id);
    return true;
}

static const struct dt_endpoint_ops ops = {.send_ike = send_ike,
                                           .sa_install = sa_install,
                                           .sa_remove = sa_remove,
                                           .sa_path = sa_path,
                                           .outbound = outbound,
                                           .probe = probe,
                                           .last_heard = last_heard,
                                           .tunnel = tunnel,
                                           .local_addr = local_addr,
                                           .psk = psk,
                                           .lease = lease,
                                           .release = release,
                                           .event = event};

static void deliver(struct bench *b)
{
    while (!dt_list_empty(&b->wire) || !dt_list_empty(&b->probes)) {
        while (!dt_list_empty(&b->wire)) {
            struct datagram *d = DT_CONTAINER_OF(b->wire.next, struct datagram, list);
            struct host *h = &b->host[d->to];
            dt_list_del(&d->list);
            b->now += DT_USEC;
            ON(h, dt_endpoint_ike_input(h->ep, b->now, &d->path, d->data, d->len));
            free(d);
        }
        while (!dt_list_empty(&b->probes)) {
            struct probe *q = DT_CONTAINER_OF(b->probes.next, struct probe, list);
            dt_list_del(&q->list);
            struct sa *at = by_spi(&b->host[GATEWAY], q->spi);
            if (at)
                ON(&b->host[GATEWAY], dt_endpoint_heard(b->host[GATEWAY].ep, b->now, at->id));
            ON(&b->host[CLIENT],
               dt_endpoint_probe_reply(b->host[CLIENT].ep, b->now, q->sa, q->ident, q->seq));
            free(q);
        }
    }
}

static void fail(const char *what, const struct dt_err *err)
{
    fprintf(stderr, "bench-ike: %s: %s\n", what, err->text);
    exit(1);
}

static void selectors(struct dt_selectors *list, const char *text)
{
    struct dt_selector s;
    if (dt_selector_parse(&s, text) || !dt_selectors_add(list, &s))
        exit(1);
}

static void begin(struct bench *b, bool weigh)
{
    struct dt_rand rnd = dt_rand_system();
    struct dt_err err;
    memset(b, 0, sizeof *b);
    b->crypto = dt_crypto_best();
    b->weigh = weigh;
    b->now = DT_SEC;
    dt_list_init(&b->wire);
    dt_list_init(&b->probes);
    for (int i = 0; i < 2; i++) {
        struct host *h = &b->host[i];
        struct dt_ike_params ike;
        struct dt_endpoint_limits limits;
        h->b = b;
        h->side = (enum side)i;
        dt_ike_params_default(&ike);
        /* Cookies have their own price: not measured here. */
        ike.door.half_open_cookie = ike.door.half_open_max = UINT32_MAX;
        ike.door.work_rate = DT_RATE_NO_LIMIT;
        dt_endpoint_limits_default(&limits);
        h->ep = dt_endpoint_new(&ops, h, &ike, &limits, b->crypto, &rnd);
        if (!h->ep)
            exit(1);
    }
    struct dt_gateway_cfg g;
    dt_gateway_cfg_default(&g);
    snprintf(g.name, sizeof g.name, "bench");
    g.nlisten = 1;
    g.listen[0] = dt_addr4(0xcb007101);
    g.lease = true;
    if (dt_ike_id_parse(&g.identity, "gateway.example") || (selectors(&g.protect, "10.1.0.0/16"), false) ||
        !dt_endpoint_gateway_add(b->host[GATEWAY].ep, b->now, &g, &err))
        fail("gateway", &err);
}

static void finish(struct bench *b)
{
    for (int i = 0; i < 2; i++) {
        dt_endpoint_free(b->host[i].ep);
        dt_table_free(&b->host[i].by_id);
        dt_table_free(&b->host[i].by_spi);
    }
    while (!dt_list_empty(&b->wire)) {
        struct datagram *d = DT_CONTAINER_OF(b->wire.next, struct datagram, list);
        dt_list_del(&d->list);
        free(d);
    }
}

static void connect_one(struct bench *b, uint32_t i)
{
    struct host *h = &b->host[CLIENT];
    struct dt_tunnel_cfg t;
    struct dt_err err;
    uint32_t id;
    char who[64];
    dt_tunnel_cfg_default(&t);
    snprintf(t.name, sizeof t.name, "t%u", i);
    snprintf(who, sizeof who, "client%u@bench.example", i);
    t.ngateways = 1;
    t.gateways[0] = dt_addr4(0xcb007101);
    t.inside4 = true;
    t.encap = DT_ENCAP_UDP;
    selectors(&t.protect, "10.1.0.0/16");
    if (dt_ike_id_parse(&t.local_id, who) || dt_ike_id_parse(&t.remote_id, "gateway.example"))
        exit(1);
    ON(h, id = dt_endpoint_tunnel_add(h->ep, b->now, &t, &err));
    if (!id)
        fail("tunnel", &err);
    ON(h, dt_endpoint_up(h->ep, b->now, id));
    deliver(b);
    if (b->verified != i + 1) {
        struct dt_tunnel_info info;
        dt_endpoint_tunnel_info(h->ep, id, &info);
        fprintf(stderr, "bench-ike: tunnel %u is not verified: %s %s\n", i,
                dt_tunnel_state_str(info.state, true), info.why);
        exit(1);
    }
}

static void line(const char *name, double value, const char *unit)
{
    printf("{\"bench\":\"ike\",\"case\":\"%s\",\"value\":%.1f,\"unit\":\"%s\"}\n", name, value, unit);
    fflush(stdout);
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(void)
{
    static struct bench b;
    double rate[5];
    for (int round = 0; round < 5; round++) {
        begin(&b, false);
        double start = cpu();
        for (uint32_t i = 0; i < 1000; i++)
            connect_one(&b, i);
        rate[round] = 1000 / (cpu() - start);
        finish(&b);
    }
    qsort(rate, 5, sizeof rate[0], order);
    line("handshakes, both ends on one core", rate[2], "1/s");
    static const uint32_t counts[] = {1000, 10000};
    for (int i = 0; i < 2; i++) {
        char name[80];
        begin(&b, true);
        for (uint32_t k = 0; k < counts[i]; k++)
            connect_one(&b, k);
        snprintf(name, sizeof name, "memory of a tunnel at %u tunnels, client", counts[i]);
        line(name, (double)b.host[CLIENT].memory / counts[i], "B");
        snprintf(name, sizeof name, "memory of a tunnel at %u tunnels, gateway", counts[i]);
        line(name, (double)b.host[GATEWAY].memory / counts[i], "B");
        finish(&b);
    }
    return 0;
}
