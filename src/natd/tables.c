/* Looking into the kernel's tables, in batches: listing, sweeping, flushing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "masq/tables.h"
#include "natd/kernel.h"
#include "natd/reap.h"
#include "natd/slots.h"

#define BATCH 128

static const struct {
    size_t key, value;
} shape[MQ_TABLE_COUNT] = {
#define X(name, id) [id] = {sizeof(struct mq_##name##_key), sizeof(struct mq_##name)},
    MQ_TABLES(X)
#undef X
};

/* The slots of esp and esp_in; false when the callback wants no more. */
static bool each_slot(struct dt_kernel *k, unsigned table,
                      bool (*fn)(void *ctx, const void *key, const void *value), void *ctx)
{
    const struct dt_slots *s = dt_kernel_slots(k);
    for (size_t i = 0; table == MQ_T_esp && i < s->n; i++) {
        if (!s->esp[i].spi_out)
            continue;
        struct mq_esp v = s->esp[i];
        struct mq_esp_key key = {v.client, v.server, v.spi_out};
        if (v.spi_out && !fn(ctx, &key, &v))
            return false;
    }
    for (size_t i = 0; table == MQ_T_esp_in && i < s->n; i++) {
        if (!s->esp_in[i].spi_in)
            continue;
        struct mq_esp_in v = s->esp_in[i];
        struct mq_esp_in_key key = {v.server, v.spi_in};
        if (v.spi_in && !fn(ctx, &key, &v))
            return false;
    }
    return true;
}

/* Each entry of a table; the callback returns false to stop. -1 when the kernel refuses. */
static int each_entry(struct dt_kernel *k, unsigned table,
                      bool (*fn)(void *ctx, const void *key, const void *value), void *ctx)
{
    int fd = dt_kernel_table_fd(k, table), rc = 0;
    size_t ks = shape[table].key, vs = shape[table].value;
    char *keys = malloc(BATCH * ks), *values = malloc(BATCH * vs);
    uint64_t token[8] = {0}; /* where the next batch starts: a bucket number, or a key on some kernels */
    bool first = true, more = keys && values && each_slot(k, table, fn, ctx);
    while (more) {
        __u32 n = BATCH;
        if (bpf_map_lookup_batch(fd, first ? NULL : token, token, keys, values, &n, NULL)) {
            if (errno != ENOENT) {
                rc = -1;
                break;
            }
            more = false; /* the last batch, which may still hold something */
        }
        first = false;
        for (__u32 i = 0; i < n; i++)
            if (!fn(ctx, keys + i * ks, values + i * vs)) {
                more = false;
                break;
            }
    }
    free(keys);
    free(values);
    return rc;
}

/* ---- items ----------------------------------------------------------------------------------- */

struct listing {
    struct dt_kernel *k;
    const struct dt_masq_params *p;
    dt_time now;
    bool (*item)(void *ctx, const struct dt_masq_item *it);
    void *ctx;
    bool stopped;
};

static bool give(struct listing *l, const struct dt_masq_item *it)
{
    if (it->expires <= l->now)
        return true;
    l->stopped = !l->item(l->ctx, it);
    return !l->stopped;
}

/* As the rules have it: by its place, unless the addresses have changed since its last packet. */
static uint32_t listing_item_nat(const struct listing *l, const struct mq_esp *v)
{
    struct mq_client c;
    struct mq_client_key key = {v->client};
    if (mq_nat_current(l->p, v->nat))
        return mq_nat_address(l->p, v->nat);
    return bpf_map_lookup_elem(dt_kernel_table_fd(l->k, MQ_T_client), &key, &c) ? 0 : c.nat;
}

static bool list_esp(void *ctx, const void *key, const void *value)
{
    struct listing *l = ctx;
    const struct mq_esp_key *kk = key;
    const struct mq_esp *v = value;
    struct dt_masq_item it = {.kind = DT_MASQ_ESP,
                              .state = DT_MASQ_ESTABLISHED,
                              .client = kk->client,
                              .server = kk->server,
                              .spi_out = kk->spi_out,
                              .spi_in = v->spi_in,
                              .nat = listing_item_nat(l, v),
                              .created = v->last,
                              .last = v->last,
                              .packets_out = v->packets};
    struct mq_esp_in_key ki = {kk->server, v->spi_in};
    struct mq_esp_in ei;
    if ((dt_slots_find_in(dt_kernel_slots(l->k), &ki, &ei) ||
         !bpf_map_lookup_elem(dt_kernel_table_fd(l->k, MQ_T_esp_in), &ki, &ei)) &&
        ei.client == kk->client) {
        it.created = mq_created(l->now, ei.created);
        it.packets_in = ei.packets;
        it.last = ei.last > it.last ? ei.last : it.last;
    }
    it.expires = dt_time_add(it.last, l->p->t_ei);
    return give(l, &it);
}

static bool list_server(void *ctx, const void *key, const void *value)
{
    struct listing *l = ctx;
    const struct mq_server *s = value;
    if (s->state == MQ_SLOT_FREE)
        return true;
    struct dt_masq_item it = {.kind = DT_MASQ_ESP,
                              .state = DT_MASQ_OUTSTANDING,
                              .client = s->client,
                              .server = ((const struct mq_server_key *)key)->server,
                              .spi_out = s->spi_out,
                              .created = s->created,
                              .last = s->created,
                              .packets_out = s->packets,
                              .waited = s->waited,
                              .n_after = s->n_after,
                              .nat = s->nat,
                              .expires = dt_time_add(s->created, l->p->t_out)};
    return give(l, &it);
}

static bool list_ike_o(void *ctx, const void *key, const void *value)
{
    struct listing *l = ctx;
    const struct mq_ike_o_key *kk = key;
    const struct mq_ike_o *o = value;
    struct dt_masq_item it = {.kind = DT_MASQ_IKE,
                              .state = DT_MASQ_OUTSTANDING,
                              .client = o->client,
                              .server = kk->server,
                              .icookie = kk->icookie,
                              .created = o->created,
                              .last = o->created,
                              .packets_out = o->packets,
                              .packets_in = o->packets_in,
                              .nat = o->nat,
                              .expires = dt_time_add(o->created, l->p->t_ike_out)};
    return give(l, &it);
}

static bool list_ike_c(void *ctx, const void *key, const void *value)
{
    struct listing *l = ctx;
    const struct mq_ike_c_key *kk = key;
    const struct mq_ike_c *v = value;
    struct dt_masq_item it = {.kind = DT_MASQ_IKE,
                              .state = DT_MASQ_ESTABLISHED,
                              .client = kk->client,
                              .server = kk->server,
                              .icookie = kk->icookie,
                              .rcookie = v->rcookie,
                              .created = v->created,
                              .last = v->last,
                              .packets_out = v->packets,
                              .nat = v->nat};
    struct mq_ike_s_key ks = {kk->icookie, v->rcookie, kk->server, 0};
    struct mq_ike_s is;
    if (!bpf_map_lookup_elem(dt_kernel_table_fd(l->k, MQ_T_ike_s), &ks, &is) && is.client == kk->client) {
        it.packets_in = is.packets;
        it.last = is.last > it.last ? is.last : it.last;
    }
    it.expires = dt_time_add(it.last, l->p->t_ike);
    return give(l, &it);
}

int dt_kernel_items(struct dt_kernel *k, dt_time now, bool (*item)(void *ctx, const struct dt_masq_item *it),
                    void *ctx)
{
    struct listing l = {k, dt_kernel_params(k), now, item, ctx, false};
    if (each_entry(k, MQ_T_ike_o, list_ike_o, &l))
        return -1;
    if (!l.stopped && each_entry(k, MQ_T_ike_c, list_ike_c, &l))
        return -1;
    if (!l.stopped && each_entry(k, MQ_T_server, list_server, &l))
        return -1;
    if (!l.stopped && each_entry(k, MQ_T_esp, list_esp, &l))
        return -1;
    return 0;
}

/* ---- sweeping -------------------------------------------------------------------------------- */

/* Could this entry have expired? The program looks again before it forgets. */
static bool stale(unsigned table, const struct dt_masq_params *p, dt_time now, const void *value)
{
    switch (table) {
    case MQ_T_esp:
        return dt_time_sub(now, ((const struct mq_esp *)value)->last) >= p->t_ei;
    case MQ_T_esp_in:
        return dt_time_sub(now, ((const struct mq_esp_in *)value)->last) >= p->t_ei;
    case MQ_T_esp_q:
        return false; /* goes with its item */
    case MQ_T_server: {
        const struct mq_server *s = value;
        return (s->state == MQ_SLOT_OUTSTANDING && dt_time_sub(now, s->created) >= p->t_out) ||
               (s->state == MQ_SLOT_FREE && dt_time_sub(now, s->used) >= MQ_IDLE && s->until <= now &&
                s->held <= now);
    }
    case MQ_T_ike_c:
        return dt_time_sub(now, ((const struct mq_ike_c *)value)->last) >= p->t_ike;
    case MQ_T_ike_s:
        return dt_time_sub(now, ((const struct mq_ike_s *)value)->last) >= p->t_ike;
    case MQ_T_ike_o:
        return dt_time_sub(now, ((const struct mq_ike_o *)value)->created) >= p->t_ike_out;
    case MQ_T_pair:
        return now >= ((const struct mq_pair *)value)->until;
    case MQ_T_client: {
        const struct mq_client *c = value;
        return c->n_esp <= 0 && c->n_ike <= 0 && dt_time_sub(now, c->used) >= MQ_IDLE;
    }
    default:
        return now >= ((const struct mq_frag *)value)->until;
    }
}

struct sweeping {
    struct dt_kernel *k;
    const struct dt_masq_params *p;
    dt_time now;
    unsigned table;
    char *keys; /* found stale */
    size_t n, cap;
};

static bool sweep_one(void *ctx, const void *key, const void *value)
{
    struct sweeping *s = ctx;
    size_t ks = shape[s->table].key;
    if (!stale(s->table, s->p, s->now, value))
        return true;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 256;
        char *more = realloc(s->keys, cap * ks);
        if (!more)
            return false; /* the rest at the next sweep */
        s->keys = more;
        s->cap = cap;
    }
    memcpy(s->keys + s->n++ * ks, key, ks);
    return true;
}

static void reap_keys(struct dt_kernel *k, uint32_t what, const char *keys, size_t ks, size_t n)
{
    for (size_t at = 0; at < n;) {
        struct nat_reap r = {.table = what};
        for (; r.n < NAT_REAP_MAX && at < n; r.n++, at++)
            memcpy(r.key[r.n], keys + at * ks, ks);
        dt_kernel_reap(k, &r);
    }
}

size_t dt_kernel_sweep(struct dt_kernel *k, dt_time now)
{
    /* Halves after their wholes, clients last: what they count has been given back by then. */
    static const unsigned order[] = {MQ_T_esp,    MQ_T_esp_in, MQ_T_ike_c, MQ_T_ike_s, MQ_T_ike_o,
                                     MQ_T_server, MQ_T_pair,   MQ_T_frag,  MQ_T_client};
    size_t looked = 0;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct sweeping s = {.k = k, .p = dt_kernel_params(k), .now = now, .table = order[i]};
        each_entry(k, s.table, sweep_one, &s);
        reap_keys(k, s.table, s.keys, shape[s.table].key, s.n);
        looked += s.n;
        free(s.keys);
    }
    return looked;
}

struct flushing {
    char *keys;
    size_t ks, n, cap;
};

static bool flush_one(void *ctx, const void *key, const void *value)
{
    struct flushing *f = ctx;
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 1024;
        char *more = realloc(f->keys, cap * f->ks);
        if (!more)
            return false;
        f->keys = more;
        f->cap = cap;
    }
    memcpy(f->keys + f->n++ * f->ks, key, f->ks);
    return true;
}

void dt_kernel_flush(struct dt_kernel *k)
{
    for (unsigned t = 0; t < MQ_TABLE_COUNT; t++) {
        struct flushing f = {.ks = shape[t].key};
        each_entry(k, t, flush_one, &f);
        if (t == MQ_T_esp || t == MQ_T_esp_in)
            reap_keys(k, NAT_REAP_FORGET + t, f.keys, f.ks, f.n);
        else
            for (size_t i = 0; i < f.n; i++)
                bpf_map_delete_elem(dt_kernel_table_fd(k, t), f.keys + i * f.ks);
        free(f.keys);
    }
}

struct counted {
    size_t n;
};

static bool listing_count_one(void *ctx, const void *key, const void *value)
{
    ((struct counted *)ctx)->n++;
    return true;
}

size_t dt_kernel_entries(struct dt_kernel *k, unsigned table)
{
    struct counted c = {0};
    each_entry(k, table, listing_count_one, &c);
    return c.n;
}
