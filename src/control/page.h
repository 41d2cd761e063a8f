/* One page of numbers over HTTP, for Prometheus: GET /metrics. A thread of its own answers with the page that was made
 * last, so that a scraper never waits for, or holds up, anything. It has no capabilities, whatever its process has. */
#ifndef DT_CONTROL_PAGE_H
#define DT_CONTROL_PAGE_H

#include <stdio.h>

#include "base/addr.h"
#include "base/err.h"

struct dt_page;
/* NULL with *err: the address is in use, no right to the port, no memory. */
struct dt_page *dt_page_open(const struct dt_addrport *at, struct dt_err *err);
void dt_page_close(struct dt_page *p); /* NULL is fine */
/* Makes the page anew; what `write` puts into f is served from now on. With p NULL nothing happens. */
void dt_page_make(struct dt_page *p, void (*write)(void *ctx, FILE *f), void *ctx);

#endif
