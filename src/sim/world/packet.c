#include "sim/world/packet.h"

#include <stdlib.h>
#include <string.h>

static const size_t room_size[3] = {SIM_PACKET_SMALL, SIM_PACKET_MEDIUM, SIM_PACKET_LARGE};

struct sim_packet *sim_packet_new(struct sim_pool *pool, const void *bytes, size_t len)
{
    uint8_t room = (uint8_t)((len > SIM_PACKET_SMALL) + (len > SIM_PACKET_MEDIUM));
    if (len > SIM_PACKET_LARGE)
        return NULL;
    struct sim_packet *p = pool->idle[room];
    if (p)
        pool->idle[room] = p->next;
    else if (!(p = malloc(sizeof *p + room_size[room])))
        return NULL;
    pool->live++;
    memset(p, 0, sizeof *p);
    p->room = room;
    p->len = (uint32_t)len;
    if (bytes)
        memcpy(p->bytes, bytes, len);
    return p;
}

struct sim_packet *sim_packet_copy(struct sim_pool *pool, const struct sim_packet *p)
{
    struct sim_packet *copy = sim_packet_new(pool, p->bytes, p->len);
    if (copy) {
        uint8_t room = copy->room;
        memcpy(copy, p, sizeof *p);
        copy->next = NULL;
        copy->room = room;
    }
    return copy;
}

void sim_packet_free(struct sim_pool *pool, struct sim_packet *p)
{
    if (!p)
        return;
    pool->live--;
    p->next = pool->idle[p->room];
    pool->idle[p->room] = p;
}

void sim_pool_free(struct sim_pool *pool)
{
    for (int room = 0; room < 3; room++)
        while (pool->idle[room]) {
            struct sim_packet *p = pool->idle[room];
            pool->idle[room] = p->next;
            free(p);
        }
}
