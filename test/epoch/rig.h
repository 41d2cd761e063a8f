/* A rig for the engines: records what an engine asks as short words in a line ("probe 1", "use 1", …), moves
 * the clock from deadline to deadline. */
#ifndef DT_TEST_EPOCH_RIG_H
#define DT_TEST_EPOCH_RIG_H

#include "support/test.h"

#include "epoch/epoch.h"

struct rig {
    struct dt_epoch_client c;
    struct dt_epoch_server s;
    struct dt_prng prng;
    dt_time now;
    char log[4096];
    dt_time last_heard[64];
    bool refuse_open, refuse_negotiate, refuse_del;
};

static inline void rig_say(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void rig_say(struct rig *r, const char *fmt, ...)
{
    size_t len = strlen(r->log);
    va_list ap;
    va_start(ap, fmt);
    if (len)
        len += (size_t)snprintf(r->log + len, sizeof(r->log) - len, ", ");
    vsnprintf(r->log + len, sizeof(r->log) - len, fmt, ap);
    va_end(ap);
}

static inline bool rig_open(void *user, dt_time now, uint32_t attempt)
{
    struct rig *r = user;
    rig_say(r, "open %u", attempt);
    return !r->refuse_open;
}
static inline void rig_drop(void *user, dt_time now, bool polite)
{
    rig_say(user, polite ? "drop politely" : "drop");
}
static inline bool rig_negotiate(void *user, dt_time now, uint32_t old)
{
    struct rig *r = user;
    rig_say(r, "negotiate %u", old);
    return !r->refuse_negotiate;
}
static inline void rig_abandon(void *user, dt_time now)
{
    rig_say(user, "abandon");
}
static inline void rig_probe(void *user, dt_time now, uint32_t epoch, uint16_t seq)
{
    rig_say(user, "probe %u", epoch);
}
static inline void rig_use(void *user, dt_time now, uint32_t epoch, bool forced)
{
    rig_say(user, "use %u%s", epoch, forced ? "!" : "");
}
static inline bool rig_del(void *user, dt_time now, uint32_t epoch)
{
    struct rig *r = user;
    rig_say(r, "del %u", epoch);
    return !r->refuse_del;
}
static inline void rig_gone(void *user, dt_time now, uint32_t epoch)
{
    rig_say(user, "gone %u", epoch);
}
static inline void rig_liveness(void *user, dt_time now)
{
    rig_say(user, "liveness");
}
static inline dt_time rig_last_heard(void *user, uint32_t epoch)
{
    return ((struct rig *)user)->last_heard[epoch % 64];
}
static inline void rig_event(void *user, dt_time now, const struct dt_epoch_event *ev)
{
    char text[256];
    assert_non_null(strchr(dt_epoch_event_text(text, sizeof(text), ev, true), ' '));
    assert_string_not_equal(dt_epoch_event_name(ev->kind), "?");
}

static const struct dt_epoch_ops rig_ops = {rig_open,     rig_drop,       rig_negotiate, rig_abandon,
                                            rig_probe,    rig_use,        rig_del,       rig_gone,
                                            rig_liveness, rig_last_heard, rig_event};

/* Round numbers: keylife 1000 s, rekeymargin 100 s and no fuzz, so that a rekey begins at t0 + 900 s. */
static inline struct dt_epoch_params rig_params(void)
{
    struct dt_epoch_params p = dt_epoch_params_default();
    p.keylife = 1000 * DT_SEC;
    p.rekeymargin = 100 * DT_SEC;
    p.rekeyfuzz = 0;
    p.maxidle = 20 * DT_SEC;
    p.pingtime = 2 * DT_SEC;
    p.pingtries = 3;
    p.pingtime2 = 1 * DT_SEC;
    p.pingtries2 = 4;
    p.timeout = 10 * DT_SEC;
    p.elimit = 2;
    return p;
}

static inline struct rig *rig_new(const struct dt_epoch_params *p)
{
    struct rig *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->now = 1000 * DT_SEC;
    dt_prng_seed(&r->prng, 1);
    dt_epoch_client_init(&r->c, p, &rig_ops, r, dt_prng_rand(&r->prng));
    dt_epoch_server_init(&r->s, p, &rig_ops, r, dt_prng_rand(&r->prng));
    return r;
}

/* What was asked since the last time. */
static inline void rig_expect_(struct rig *r, const char *want, const char *file, int line)
{
    if (strcmp(r->log, want))
        fprintf(stderr, "%s:%d: got \"%s\"\n%s:%d: not \"%s\"\n", file, line, r->log, file, line, want);
    assert_string_equal(r->log, want);
    r->log[0] = 0;
}
#define rig_expect(r, want) rig_expect_(r, want, __FILE__, __LINE__)

/* Time passes; every timer that comes due in it fires at its own time. */
static inline void rig_pass(struct rig *r, double seconds)
{
    dt_time end = r->now + dt_seconds(seconds);
    for (unsigned n = 0;; n++) {
        assert_true(n < 10000);
        dt_time c = dt_epoch_client_deadline(&r->c), s = dt_epoch_server_deadline(&r->s),
                at = dt_time_min(c, s);
        if (at > end)
            break;
        if (at > r->now)
            r->now = at;
        if (c <= r->now)
            dt_epoch_client_tick(&r->c, r->now);
        if (s <= r->now)
            dt_epoch_server_tick(&r->s, r->now);
    }
    r->now = end;
}

#endif
