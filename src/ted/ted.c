/* What initiator and responder share: making, rules, limits, counters. */
#include "ted/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void dt_ted_params_default(struct dt_ted_params *p)
{
    *p = (struct dt_ted_params){
        .retry = 500 * DT_MSEC,
        .tries = 4,
        .negative_ttl = 60 * DT_SEC,
        .answer_ttl = 300 * DT_SEC,
        .cache_max = 4096,
        .outstanding_max = 1024,
        .probe_rate = 200,
        .reply_rate = 500,
        .reply_rate_source = 20,
        .proxy_address = true,
    };
}

const char *dt_ted_event_name(enum dt_ted_event_kind k)
{
    static const char *const name[] = {"probe", "found", "refused", "silence", "replied"};
    return (size_t)k < DT_ARRAY_LEN(name) ? name[k] : "unknown";
}

bool dt_ted_unicast(const struct dt_addr *a)
{
    if (a->ver == 4)
        return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 224;
    static const uint8_t loopback[16] = {[15] = 1};
    return a->b[0] != 0xff && memcmp(a->b, loopback, 16);
}

const struct dt_ted_rule *dt_ted_rule_find(const struct dt_ted *t, uint64_t id)
{
    dt_list_for_each (at, &t->rules) {
        struct rule_node *n = DT_CONTAINER_OF(at, struct rule_node, list);
        if (n->rule.id == id)
            return &n->rule;
    }
    return NULL;
}

void dt_ted_tell(struct dt_ted *t, dt_time now, enum dt_ted_event_kind kind, uint64_t rule,
                 const struct dt_ted_packet *packet, const struct dt_addr *peer, const char *fmt, ...)
{
    if (!t->ops.event)
        return;
    struct dt_ted_event e = {.kind = kind, .rule = rule, .packet = *packet};
    va_list ap;
    if (peer)
        e.peer = *peer;
    va_start(ap, fmt);
    dt_utf8_vprintf(e.text, sizeof e.text, fmt, ap);
    va_end(ap);
    t->ops.event(t->user, now, &e);
}

struct dt_ted *dt_ted_new(const struct dt_ted_ops *ops, void *user, const struct dt_ted_params *params,
                          const struct dt_rand *rand)
{
    struct dt_ted *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->ops = *ops;
    t->user = user;
    t->rand = *rand;
    if (params)
        t->params = *params;
    else
        dt_ted_params_default(&t->params);
    dt_rand_fill(&t->rand, &t->key, sizeof t->key);
    dt_list_init(&t->rules);
    dt_list_init(&t->lru);
    dt_table_init(&t->by_hosts);
    dt_table_init(&t->by_cookie);
    dt_heap_init(&t->timers);
    return t;
}

void dt_ted_counters(const struct dt_ted *t, struct dt_ted_counters *out)
{
    *out = t->counters;
    out->entries = t->by_hosts.count;
    out->outstanding = t->by_cookie.count;
}
