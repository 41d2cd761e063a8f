/* libuv's clock and timers, in virtual time: for test programs that drive the daemon's own code. Linked
 * into the program, these stand before the library's. One thread, one loop at a time. */
#ifndef DT_TEST_DAEMON_VIRTUAL_TIME_H
#define DT_TEST_DAEMON_VIRTUAL_TIME_H

#include <stdbool.h>

#include <uv.h>

#include "base/rand.h"
#include "base/time.h"

/* Begins anew: no timer is set, and uv_hrtime() says what stands at `clock`. */
void virtual_begin(const dt_time *clock);
/* When the next timer is due; DT_NEVER: none is set. */
dt_time virtual_deadline(void);
/* Runs the timers that are due, each once. */
void virtual_timers(void);
#endif
