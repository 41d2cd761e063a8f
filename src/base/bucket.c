#include "base/bucket.h"

#include <string.h>

static dt_time time_of(uint32_t tokens, uint32_t rate)
{
    return (dt_time)tokens * DT_SEC / rate;
}

static dt_time time_missing(const struct dt_bucket *b, dt_time now)
{
    return dt_time_sub(b->full_at, now);
}

bool dt_bucket_take(struct dt_bucket *b, dt_time now, uint32_t n, uint32_t rate, uint32_t most)
{
    if (rate == DT_RATE_NO_LIMIT)
        return true;
    if (rate == 0)
        return false;
    dt_time missing = dt_time_add(time_missing(b, now), time_of(n, rate));
    if (missing > time_of(most, rate))
        return false;
    b->full_at = dt_time_add(now, missing);
    return true;
}

void dt_bucket_drain(struct dt_bucket *b, dt_time now, uint32_t n, uint32_t rate, uint32_t most)
{
    if (rate == DT_RATE_NO_LIMIT || rate == 0)
        return;
    dt_time missing = dt_time_add(time_missing(b, now), time_of(n, rate));
    b->full_at = dt_time_add(now, dt_time_min(missing, time_of(most, rate)));
}

void dt_bucket_give(struct dt_bucket *b, dt_time now, uint32_t n, uint32_t rate)
{
    if (rate == DT_RATE_NO_LIMIT || rate == 0)
        return;
    b->full_at = dt_time_add(now, dt_time_sub(time_missing(b, now), time_of(n, rate)));
}

uint32_t dt_bucket_level(const struct dt_bucket *b, dt_time now, uint32_t rate, uint32_t most)
{
    if (rate == DT_RATE_NO_LIMIT)
        return most;
    if (rate == 0)
        return 0;
    dt_time there = dt_time_sub(time_of(most, rate), time_missing(b, now));
    return (uint32_t)(there / DT_USEC * rate / 1000000);
}

struct dt_addr dt_source(const struct dt_addr *a)
{
    struct dt_addr s = *a;
    if (s.ver == 6)
        memset(s.b + 8, 0, 8);
    return s;
}

struct dt_bucket *dt_bucket_of(struct dt_bucket *v, size_t n, const struct dt_siphash_key *key,
                               const struct dt_addr *a)
{
    return &v[dt_siphash(key, a->b, a->ver == 4 ? 4 : 8) & (n - 1)];
}
