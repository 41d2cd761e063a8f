/* One request of the sweeper to the kernel program. */
#ifndef DT_NATD_REAP_H
#define DT_NATD_REAP_H

#include "natd/kernel.h"

int dt_kernel_reap(struct dt_kernel *k, const struct nat_reap *r);

#endif
