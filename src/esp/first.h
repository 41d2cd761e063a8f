/* The first authentic packet on an SA is news that an epoch waits for. It is told once. Where it cannot be told (the ring
 * of events is full) it stays due, and the next authentic packet on that SA tells it. One code for the data path and the
 * simulator. */
#ifndef DT_ESP_FIRST_H
#define DT_ESP_FIRST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "esp/esp.h"

/* Beside an inbound SA; zeroed at first. */
struct dt_esp_first {
    atomic_bool due;
};

/* After each batch in which a packet was authentic, with what dt_esp_open returned. True: it is to be told now, by the
 * one who asked; who cannot says so with dt_esp_first_untold. */
static inline bool dt_esp_first_take(struct dt_esp_first *f, unsigned notes)
{
    if (notes & DT_ESP_NOTE_FIRST)
        atomic_store_explicit(&f->due, true, memory_order_relaxed);
    return atomic_load_explicit(&f->due, memory_order_relaxed) && atomic_exchange(&f->due, false);
}

static inline void dt_esp_first_untold(struct dt_esp_first *f)
{
    atomic_store(&f->due, true);
}

#endif
