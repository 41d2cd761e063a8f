/* The kernel's slots (masq/slots.h) as memory of ours. */
#ifndef DT_NATD_SLOTS_H
#define DT_NATD_SLOTS_H

#include <stddef.h>

#include "masq/slots.h"
#include "natd/kernel.h"

/* The kernel changes them meanwhile: what is read is to be taken once, and a slot without an SPI is free. */
struct dt_slots {
    volatile struct mq_esp *esp;
    volatile struct mq_esp_in *esp_in;
    size_t n; /* slots in each */
    uint32_t buckets;
    uint64_t seed[4];
};

int dt_slots_map(struct dt_slots *s, int esp_fd, int esp_in_fd, uint32_t buckets, const uint64_t seed[4]);
void dt_slots_unmap(struct dt_slots *s);
/* Slots only; an item's other half may as well be in the hash map. */
bool dt_slots_find_in(const struct dt_slots *s, const struct mq_esp_in_key *k, struct mq_esp_in *out);

const struct dt_slots *dt_kernel_slots(const struct dt_kernel *k);

#endif
