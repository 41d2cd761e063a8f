/* What is known, as numbers for Prometheus. */
#ifndef DT_DAEMON_METRICS_H
#define DT_DAEMON_METRICS_H

#include <uv.h>

struct daemon;

struct metrics {
    struct dt_page *page; /* NULL: nobody asked for one */
    unsigned calls;
    struct metrics_pass *pass; /* the next page, in the making; NULL */
    uv_idle_t idle;            /* runs while it is */
};

void metrics_open(struct daemon *d);    /* its handle of the loop */
void metrics_refresh(struct daemon *d); /* five times a second: once, the page that scrapers get is begun */
void metrics_close(struct daemon *d);

#endif
