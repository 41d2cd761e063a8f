/* slots.h in the kernel: look-up, insertion and removal for the tables esp and esp_in, as rules.h wants them. */
#ifndef DT_MASQ_KERN_SLOTS_BPF_H
#define DT_MASQ_KERN_SLOTS_BPF_H

#include "masq/slots.h"

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags,
           BPF_F_MMAPABLE); /* natd reads it as memory; and only such an array begins with a page */
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct mq_esp_bucket);
} s_esp SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct mq_esp_in_bucket);
} s_esp_in SEC(".maps");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct mq_slots);
} slots SEC(".maps");

const volatile uint64_t slot_seed[4];
const volatile uint32_t slot_buckets = 1, slot_limit = 1;

#define HOME_esp(k)    mq_slot_home(slot_seed, slot_buckets, (k)->client, (k)->server, (k)->spi_out)
#define HOME_esp_in(k) mq_slot_home(slot_seed, slot_buckets, 0, (k)->server, (k)->spi_in)
#define SPI_esp(x)     (*(volatile uint32_t *)&(x)->spi_out) /* 0: the slot is free */
#define SPI_esp_in(x)  (*(volatile uint32_t *)&(x)->spi_in)
#define SAME_esp(x, k)                                                                                       \
    (SPI_esp(x) == (k)->spi_out && (x)->client == (k)->client && (x)->server == (k)->server)
#define SAME_esp_in(x, k) (SPI_esp_in(x) == (k)->spi_in && (x)->server == (k)->server)

/* Functions that the verifier looks at once (global ones) give the number of the slot, not a pointer to it: their callers go
 * on by one way, not by four. */
static __always_inline int find_esp(const struct mq_esp_key *k)
{
    uint32_t home = HOME_esp(k), at = home / MQ_BUCKET;
    struct mq_esp_bucket *b = bpf_map_lookup_elem(&s_esp, &at);
    if (!b || k->spi_out < 256)
        return -1;
#pragma unroll
    for (uint32_t i = 0; i < MQ_BUCKET; i++) {
        uint32_t n = mq_slot_next(home, i);
        if (SAME_esp(&b->slot[n], k))
            return (int)(at * MQ_BUCKET + n);
    }
    return -1;
}

static __always_inline int find_esp_in(const struct mq_esp_in_key *k)
{
    uint32_t home = HOME_esp_in(k), at = home / MQ_BUCKET;
    struct mq_esp_in_bucket *b = bpf_map_lookup_elem(&s_esp_in, &at);
    if (!b || k->spi_in < 256)
        return -1;
#pragma unroll
    for (uint32_t i = 0; i < MQ_BUCKET; i++) {
        uint32_t n = mq_slot_next(home, i);
        if (SAME_esp_in(&b->slot[n], k))
            return (int)(at * MQ_BUCKET + n);
    }
    return -1;
}

__attribute__((noinline)) int slot_esp(uint32_t client, uint32_t server, uint32_t spi_out)
{
    struct mq_esp_key k = {client, server, spi_out};
    return find_esp(&k);
}

__attribute__((noinline)) int slot_esp_in(uint32_t server, uint32_t spi_in)
{
    struct mq_esp_in_key k = {server, spi_in};
    return find_esp_in(&k);
}

static __always_inline struct mq_esp *lookup_esp(const struct mq_esp_key *k)
{
    int at = slot_esp(k->client, k->server, k->spi_out);
    if (at < 0)
        return bpf_map_lookup_elem(&t_esp, k);
    uint32_t bucket = (uint32_t)at / MQ_BUCKET;
    struct mq_esp_bucket *b = bpf_map_lookup_elem(&s_esp, &bucket);
    if (!b)
        return 0;
    barrier_var(b); /* no arithmetic before the check */
    return &b->slot[(uint32_t)at & (MQ_BUCKET - 1)];
}

static __always_inline struct mq_esp_in *lookup_esp_in(const struct mq_esp_in_key *k)
{
    int at = slot_esp_in(k->server, k->spi_in);
    if (at < 0)
        return bpf_map_lookup_elem(&t_esp_in, k);
    uint32_t bucket = (uint32_t)at / MQ_BUCKET;
    struct mq_esp_in_bucket *b = bpf_map_lookup_elem(&s_esp_in, &bucket);
    if (!b)
        return 0;
    barrier_var(b); /* no arithmetic before the check */
    return &b->slot[(uint32_t)at & (MQ_BUCKET - 1)];
}

enum { SLOT_FULL = -7, SLOT_ELSEWHERE = 1 };

/* A free slot is filled, its SPI last: who reads meanwhile sees none, or all of it. */
#define SLOTS(name)                                                                                          \
    static __always_inline int take_##name(const struct mq_##name##_key *k, const struct mq_##name *v)       \
    {                                                                                                        \
        uint32_t home = HOME_##name(k), at = home / MQ_BUCKET, zero = 0, full = MQ_BUCKET, n = full;         \
        struct mq_slots *all = bpf_map_lookup_elem(&slots, &zero);                                           \
        struct mq_##name##_bucket *b = bpf_map_lookup_elem(&s_##name, &at);                                  \
        if (!all || !b)                                                                                      \
            return SLOT_FULL;                                                                                \
        int rc = 0;                                                                                          \
        bpf_spin_lock(&all->lock);                                                                           \
        for (uint32_t i = 0; i < MQ_BUCKET; i++) {                                                           \
            uint32_t next = mq_slot_next(home, i);                                                           \
            if (SAME_##name(&b->slot[next], k))                                                              \
                rc = MQ_EXISTS;                                                                              \
            else if (!SPI_##name(&b->slot[next]) && n == full)                                               \
                n = next;                                                                                    \
        }                                                                                                    \
        if (!rc && all->n_##name >= slot_limit)                                                              \
            rc = SLOT_FULL;                                                                                  \
        if (!rc) {                                                                                           \
            all->n_##name++;                                                                                 \
            if (n == full) {                                                                                 \
                rc = SLOT_ELSEWHERE;                                                                         \
            } else {                                                                                         \
                struct mq_##name *s = &b->slot[n & (MQ_BUCKET - 1)];                                         \
                fill_##name(s, v);                                                                           \
                barrier();                                                                                   \
                SPI_##name(s) = SPI_##name(v);                                                               \
            }                                                                                                \
        }                                                                                                    \
        bpf_spin_unlock(&all->lock);                                                                         \
        return rc;                                                                                           \
    }                                                                                                        \
                                                                                                             \
    static __always_inline void uncount_##name(void)                                                         \
    {                                                                                                        \
        uint32_t zero = 0;                                                                                   \
        struct mq_slots *all = bpf_map_lookup_elem(&slots, &zero);                                           \
        if (!all)                                                                                            \
            return;                                                                                          \
        bpf_spin_lock(&all->lock);                                                                           \
        all->n_##name--;                                                                                     \
        bpf_spin_unlock(&all->lock);                                                                         \
    }                                                                                                        \
                                                                                                             \
    /* Nobody inserts one key from two processors at once: who converts has the server's slot. */            \
    static __attribute__((noinline)) int insert_##name(const struct mq_##name##_key *k,                      \
                                                       const struct mq_##name *v)                            \
    {                                                                                                        \
        if (bpf_map_lookup_elem(&t_##name, k))                                                               \
            return MQ_EXISTS;                                                                                \
        int rc = take_##name(k, v);                                                                          \
        if (rc != SLOT_ELSEWHERE)                                                                            \
            return rc;                                                                                       \
        rc = (int)bpf_map_update_elem(&t_##name, k, v, BPF_NOEXIST);                                         \
        if (rc)                                                                                              \
            uncount_##name();                                                                                \
        return rc;                                                                                           \
    }                                                                                                        \
                                                                                                             \
    static __attribute__((noinline)) int delete_##name(const struct mq_##name##_key *k)                      \
    {                                                                                                        \
        uint32_t home = HOME_##name(k), at = home / MQ_BUCKET, zero = 0, gone = 0;                           \
        struct mq_slots *all = bpf_map_lookup_elem(&slots, &zero);                                           \
        struct mq_##name##_bucket *b = bpf_map_lookup_elem(&s_##name, &at);                                  \
        if (!all || !b)                                                                                      \
            return -1;                                                                                       \
        bpf_spin_lock(&all->lock);                                                                           \
        for (uint32_t i = 0; i < MQ_BUCKET; i++) {                                                           \
            struct mq_##name *s = &b->slot[mq_slot_next(home, i)];                                           \
            if (SAME_##name(s, k)) {                                                                         \
                SPI_##name(s) = 0;                                                                           \
                gone = 1;                                                                                    \
            }                                                                                                \
        }                                                                                                    \
        all->n_##name -= gone;                                                                               \
        bpf_spin_unlock(&all->lock);                                                                         \
        if (gone)                                                                                            \
            return 0;                                                                                        \
        if (bpf_map_delete_elem(&t_##name, k))                                                               \
            return -1;                                                                                       \
        uncount_##name();                                                                                    \
        return 0;                                                                                            \
    }

static __always_inline void fill_esp(struct mq_esp *s, const struct mq_esp *v)
{
    s->last = v->last;
    s->client = v->client;
    s->server = v->server;
    s->spi_in = v->spi_in;
    s->packets = v->packets;
    s->nat = v->nat;
}

static __always_inline void fill_esp_in(struct mq_esp_in *s, const struct mq_esp_in *v)
{
    s->last = v->last;
    s->server = v->server;
    s->client = v->client;
    s->spi_out = v->spi_out;
    s->packets = v->packets;
    s->created = v->created;
}

SLOTS(esp)
SLOTS(esp_in)
#undef SLOTS

#endif
