#include "natd/slots.h"

#include <string.h>
#include <sys/mman.h>

int dt_slots_map(struct dt_slots *s, int esp_fd, int esp_in_fd, uint32_t buckets, const uint64_t seed[4])
{
    s->buckets = buckets;
    s->n = (size_t)buckets * MQ_BUCKET;
    memcpy(s->seed, seed, sizeof(s->seed));
    void *a = mmap(NULL, s->n * sizeof(*s->esp), PROT_READ | PROT_WRITE, MAP_SHARED, esp_fd, 0);
    void *b = mmap(NULL, s->n * sizeof(*s->esp_in), PROT_READ | PROT_WRITE, MAP_SHARED, esp_in_fd, 0);
    s->esp = a == MAP_FAILED ? NULL : a;
    s->esp_in = b == MAP_FAILED ? NULL : b;
    return s->esp && s->esp_in ? 0 : -1;
}

void dt_slots_unmap(struct dt_slots *s)
{
    if (s->esp)
        munmap((void *)(uintptr_t)s->esp, s->n * sizeof(*s->esp));
    if (s->esp_in)
        munmap((void *)(uintptr_t)s->esp_in, s->n * sizeof(*s->esp_in));
}

bool dt_slots_find_in(const struct dt_slots *s, const struct mq_esp_in_key *k, struct mq_esp_in *out)
{
    uint32_t home = mq_slot_home(s->seed, s->buckets, 0, k->server, k->spi_in);
    uint32_t base = home - home % MQ_BUCKET;
    for (uint32_t i = 0; i < MQ_BUCKET; i++) {
        *out = s->esp_in[base + mq_slot_next(home, i)];
        if (out->spi_in == k->spi_in && out->server == k->server)
            return true;
    }
    return false;
}
