/* Where the two halves of an established ESP item stand in the kernel. A hash map of the kernel follows a pointer from its
 * bucket to the entry, and with a million items both are far away; here an item is found in an array, in the bucket
 * that the hash of its key names. A bucket has four slots in two cache lines, the hash says which line is looked at first. What
 * does not fit (3 in 100 when the table is full: it has two slots an item) goes to a hash map of the kernel's.
 *
 * The hash is a random multiple of each word of the key, summed (universal: no client can aim at a bucket without
 * knowing the multipliers). A slot is taken and given back under one lock, and read without. Shared by the kernel program and natd. */
#ifndef DT_MASQ_SLOTS_H
#define DT_MASQ_SLOTS_H

#include "masq/tables.h"

#define MQ_BUCKET 4

struct mq_esp_bucket {
    struct mq_esp slot[MQ_BUCKET];
};
struct mq_esp_in_bucket {
    struct mq_esp_in slot[MQ_BUCKET];
};

/* Of both tables, in a map of its own that is kept with them. */
struct mq_slots {
    MQ_LOCK_FIELD;
    uint32_t n_esp, n_esp_in; /* entries, with those in the hash maps */
    uint32_t pad;
    uint64_t seed[4];
};

/* Buckets for so many items. */
static inline uint32_t mq_slot_buckets(uint32_t items)
{
    return items > 2 ? (items + 1) / 2 : 1;
}

/* The first slot to look at; the next ones are mq_slot_next. */
static inline uint32_t mq_slot_home(const volatile uint64_t *seed, uint32_t buckets, uint32_t a, uint32_t b,
                                    uint32_t c)
{
    uint64_t h = seed[0] + seed[1] * a + seed[2] * b + seed[3] * c;
    h = (h >> 32) * buckets;
    return (uint32_t)(h >> 32) * MQ_BUCKET + ((uint32_t)h >> 31) * 2;
}

/* In the bucket: both slots of the line, then those of the other one. */
static inline uint32_t mq_slot_next(uint32_t home, uint32_t i)
{
    return (home + i) & (MQ_BUCKET - 1);
}

#endif
