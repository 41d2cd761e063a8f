/* Names of gateways become addresses, again and again. Control thread. */
#ifndef DT_TUNNELS_RESOLVE_H
#define DT_TUNNELS_RESOLVE_H

#include "base/table.h"
#include "base/time.h"

struct daemon;
struct tun;

struct resolves {
    struct dt_table under_way;
    uint64_t next_id;
};

void resolve_start(struct daemon *d, struct tun *t);
void resolve_network_changed(struct daemon *d); /* what is not known may be known now, and interfaces be others */
void resolve_cancel(struct tun *t);
void resolve_answers(struct daemon *d);
void resolve_tick(struct daemon *d, dt_time now);

#endif
