/* Time as the engines know it: nanoseconds on a monotonic clock that the caller reads.
 * No engine ever reads a clock itself: `now` is an argument (docs/architecture.md, "Engines without I/O"). */
#ifndef DT_BASE_TIME_H
#define DT_BASE_TIME_H

#include <stdint.h>

typedef uint64_t dt_time; /* nanoseconds, monotonic; the origin is the caller's */

#define DT_NEVER UINT64_MAX /* "no deadline": an engine with nothing to wait for */
#define DT_USEC  ((dt_time)1000)
#define DT_MSEC  ((dt_time)1000000)
#define DT_SEC   ((dt_time)1000000000)

static inline dt_time dt_time_min(dt_time a, dt_time b)
{
    return a < b ? a : b;
}

/* a + d, kept at DT_NEVER rather than wrapping. */
static inline dt_time dt_time_add(dt_time a, dt_time d)
{
    return a > DT_NEVER - d ? DT_NEVER : a + d;
}

/* a - b, never below zero. */
static inline dt_time dt_time_sub(dt_time a, dt_time b)
{
    return a > b ? a - b : 0;
}

static inline double dt_time_seconds(dt_time t)
{
    if (t >= (dt_time)1 << 53) { /* the calendar's: a double would round twice */
        dt_time whole = t / DT_SEC;
        return (double)whole + (double)(t % DT_SEC) / 1e9;
    }
    return (double)t / 1e9;
}

static inline dt_time dt_seconds(double s)
{
    return s <= 0 ? 0 : (dt_time)(s * 1e9 + 0.5);
}

#endif
