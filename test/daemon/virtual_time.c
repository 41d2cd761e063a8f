#include "daemon/virtual_time.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define TIMERS 32

struct set {
    uv_timer_t *timer;
    uv_timer_cb cb;
    dt_time at, every; /* every 0: once */
};

static struct {
    const dt_time *clock;
    struct set timer[TIMERS];
    size_t ntimer;
} v;

void virtual_begin(const dt_time *clock)
{
    v.clock = clock;
    v.ntimer = 0;
}

uint64_t uv_hrtime(void)
{
    return *v.clock;
}

/* ---- timers ---- */

static struct set *set_of(const void *timer)
{
    for (size_t i = 0; i < v.ntimer; i++)
        if (v.timer[i].timer == timer)
            return &v.timer[i];
    return NULL;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t ms, uint64_t repeat)
{
    struct set *s = set_of(timer);
    if (s == NULL) {
        assert(v.ntimer < TIMERS);
        s = &v.timer[v.ntimer++];
    }
    *s = (struct set){timer, cb, *v.clock + ms * DT_MSEC, repeat * DT_MSEC};
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    struct set *s = set_of(timer);
    if (s != NULL)
        *s = v.timer[--v.ntimer];
    return 0;
}

int uv_is_active(const uv_handle_t *h)
{
    return h->type == UV_TIMER && set_of(h) != NULL;
}

void uv_close(uv_handle_t *h, uv_close_cb cb)
{
    static void (*real)(uv_handle_t *, uv_close_cb);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "uv_close");
    if (h->type == UV_TIMER)
        uv_timer_stop((uv_timer_t *)h);
    real(h, cb);
}

dt_time virtual_deadline(void)
{
    dt_time at = DT_NEVER;
    for (size_t i = 0; i < v.ntimer; i++)
        at = dt_time_min(at, v.timer[i].at);
    return at;
}

void virtual_timers(void)
{
    for (size_t most = v.ntimer; most > 0; most--) {
        struct set *first = NULL;
        for (size_t i = 0; i < v.ntimer; i++)
            if (v.timer[i].at <= *v.clock && (first == NULL || v.timer[i].at < first->at))
                first = &v.timer[i];
        if (first == NULL)
            return;
        struct set s = *first;
        if (s.every != 0)
            first->at = *v.clock + s.every;
        else
            uv_timer_stop(s.timer);
        s.cb(s.timer);
    }
}
