/* One page of numbers over HTTP, for Prometheus: GET /metrics. A thread of its own answers with the page that was made
 * last, so that a scraper never waits for, or holds up, anything. */
#ifndef DT_CONTROL_PAGE_H
#define DT_CONTROL_PAGE_H

#include <stdio.h>

#include "base/addr.h"
#include "base/err.h"

struct dt_page;
/* NULL with *err: the address is in use, no rights, no memory. The thread has the rights that the caller has now. */
struct dt_page *dt_page_open(const struct dt_addrport *at, struct dt_err *err);
void dt_page_close(struct dt_page *p); /* NULL is fine */
/* Makes the page anew; what `write` puts into f is served from now on. With p NULL nothing happens. */
void dt_page_make(struct dt_page *p, void (*write)(void *ctx, FILE *f), void *ctx);

#endif
