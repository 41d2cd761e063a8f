#include "ike/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

#define TICK_MAX                                                                                             \
    256 /* timers at a time, so that who drives us gets a turn, and what is reported has a bound */

void dt_ike_params_default(struct dt_ike_params *p)
{
    *p = (struct dt_ike_params){
        .retransmit_base = 500 * DT_MSEC,
        .retransmit_factor = 1.8,
        .retransmit_max = 20 * DT_SEC,
        .retransmit_tries = 7,
        .init_grace = DT_SEC,
        .door = {.half_open_cookie = 32,
                 .half_open_max = 2048,
                 .half_open_source = 512,
                 .half_open_yield = DT_SEC,
                 .half_open_timeout = 30 * DT_SEC,
                 .failed_max = 256,
                 .cookie_rotate = 60 * DT_SEC,
                 .work_rate = 100000,
                 .work_rate_source = 100000,
                 .work_queue = 250000,
                 .answer_rate = 100,
                 .answer_rate_source = 50},
        .session_max = 65536,
        .child_max = 32,
        .queue_max = 16,
        .ike_sas_max = 4,
        .keepalive = 20 * DT_SEC,
        .ike_lifetime = 4 * 3600 * DT_SEC,
        .linger = 60 * DT_SEC,
        .port_ike = DT_PORT_IKE,
        .port_natt = DT_PORT_NATT,
        .vendor_id = {(const uint8_t *)"Dovetail IPsec 1", 16},
    };
}

struct dt_ike *dt_ike_new(const struct dt_ike_params *params, const struct dt_ike_ops *ops, void *ctx,
                          const struct dt_crypto *crypto, const struct dt_rand *rand)
{
    struct dt_ike *ike = calloc(1, sizeof(*ike));
    if (!ike)
        return NULL;
    ike->params = *params;
    ike->ops = *ops;
    ike->ctx = ctx;
    ike->crypto = crypto;
    ike->rand = *rand;
    dt_heap_init(&ike->timers);
    dt_table_init(&ike->by_spi);
    dt_table_init(&ike->by_child);
    dt_table_init(&ike->by_init);
    dt_table_init(&ike->by_peer);
    dt_list_init(&ike->works);
    dt_list_init(&ike->sessions);
    dt_list_init(&ike->kicked);
    dt_list_init(&ike->dead_sessions);
    dt_list_init(&ike->dead_sas);
    dt_list_init(&ike->dead_children);
    dt_rand_fill(&ike->rand, &ike->hash_key, sizeof(ike->hash_key));
    dt_rand_fill(&ike->rand, ike->secret, sizeof(ike->secret));
    ike_door_init(ike);
    ike->next_id = 1;
    return ike;
}

void dt_ike_free(struct dt_ike *ike)
{
    if (!ike)
        return;
    ike_enter(ike, ike->now);
    dt_list_for_each_safe (l, &ike->sessions) {
        struct dt_ike_session *s = DT_CONTAINER_OF(l, struct dt_ike_session, link);
        s->silent = true;
        ike_session_end(s, NULL);
    }
    ike_leave(ike);
    ike_work_abandon_all(ike);
    dt_heap_free(&ike->timers);
    dt_table_free(&ike->by_spi);
    dt_table_free(&ike->by_child);
    dt_table_free(&ike->by_init);
    dt_table_free(&ike->by_peer);
    ike_door_free(ike);
    dt_wipe(ike, sizeof(*ike));
    free(ike);
}

/* Every public call runs between these two; callbacks may nest further calls. What died is freed, and what may be
 * sent next is sent, when the outermost one ends. */
void ike_enter(struct dt_ike *ike, dt_time now)
{
    if (ike->depth++ == 0 && now > ike->now)
        ike->now = now;
}

void ike_leave(struct dt_ike *ike)
{
    while (ike->depth == 1 && !dt_list_empty(&ike->kicked)) {
        struct dt_ike_session *s = DT_CONTAINER_OF(ike->kicked.next, struct dt_ike_session, kick);
        dt_list_del(&s->kick);
        ike_pump(s);
    }
    if (--ike->depth)
        return;
    dt_list_for_each_safe (l, &ike->dead_children)
        ike_child_free(DT_CONTAINER_OF(l, struct dt_ike_child, link));
    dt_list_for_each_safe (l, &ike->dead_sas)
        ike_sa_free(DT_CONTAINER_OF(l, struct ike_sa, link));
    dt_list_for_each_safe (l, &ike->dead_sessions)
        ike_session_free(DT_CONTAINER_OF(l, struct dt_ike_session, link));
    dt_list_init(&ike->dead_children);
    dt_list_init(&ike->dead_sas);
    dt_list_init(&ike->dead_sessions);
}

void ike_kick(struct dt_ike_session *s)
{
    if (s->state != DT_SESSION_DEAD && dt_list_empty(&s->kick))
        dt_list_add_tail(&s->ike->kicked, &s->kick);
}

void ike_send(struct dt_ike *ike, struct dt_ike_session *s, const struct dt_path *path, const uint8_t *p,
              size_t len, unsigned flags)
{
    ike->count.out++;
    ike->count.out_bytes += len;
    if (s)
        s->last_sent = ike->now;
    ike->ops.send(ike->ctx, path, p, len, flags);
}

void ike_event(struct dt_ike *ike, struct dt_ike_session *s, enum dt_ike_event what,
               const struct dt_path *path, uint16_t notify, const char *fmt, ...)
{
    struct dt_err err = {.notify = notify};
    va_list ap;
    if (!ike->ops.event || (s && s->silent))
        return;
    va_start(ap, fmt);
    dt_utf8_vprintf(err.text, sizeof(err.text), fmt, ap);
    va_end(ap);
    ike->ops.event(ike->ctx, s && s->known ? s : NULL, what, path, &err);
}

static void life_due(struct ike_sa *sa)
{
    struct dt_ike_session *s = sa->session;
    char who[DT_ADDRPORT_STRLEN];
    switch (sa->state) {
    case SA_INIT:
        if (s->hs && s->hs->refused) {
            struct dt_err err = s->hs->refusal;
            ike_session_end(s, &err);
        } else if (!s->initiator) {
            ike_session_end(s, NULL);
        }
        break;
    case SA_AUTH:
    case SA_FAILED:
        ike_session_fail(s, 0, "%s began IKE_SA_INIT but sent no IKE_AUTH for %.0f s",
                         dt_addrport_str(who, &s->path.remote),
                         dt_time_seconds(s->ike->params.door.half_open_timeout));
        break;
    case SA_UP:
        if (sa == s->current && ike_auth_expired(s))
            break;
        if (sa == s->current && ike_rekey_overdue(sa))
            ike_session_close(s, "the peer has refused to rekey the IKE SA until its lifetime was over");
        else if (sa == s->current)
            dt_ike_session_rekey(s, s->ike->now);
        else /* a rival that lost a collision and was not deleted */
            ike_sa_end(sa);
        break;
    case SA_REPLACED:
    case SA_DELETING:
        if (sa != s->current)
            ike_sa_end(sa);
        break;
    case SA_DEAD:
        break;
    }
}

void dt_ike_tick(struct dt_ike *ike, dt_time now)
{
    struct dt_timer *t;
    ike_enter(ike, now);
    for (unsigned n = 0; n < TICK_MAX && (t = dt_heap_pop_due(&ike->timers, ike->now)); n++) {
        struct ike_timer *k = DT_CONTAINER_OF(t, struct ike_timer, t);
        if (k->kind == TIMER_RETRANSMIT)
            ike_request_again(DT_CONTAINER_OF(k, struct ike_sa, retransmit));
        else if (k->kind == TIMER_LIFE)
            life_due(DT_CONTAINER_OF(k, struct ike_sa, life));
        else
            ike_session_keepalive(DT_CONTAINER_OF(k, struct dt_ike_session, keepalive));
    }
    ike_leave(ike);
}

dt_time dt_ike_deadline(const struct dt_ike *ike)
{
    return dt_heap_deadline(&ike->timers);
}

const struct dt_ike_counters *dt_ike_counters(const struct dt_ike *ike)
{
    return &ike->count;
}

struct dt_ike_usage dt_ike_usage(const struct dt_ike *ike)
{
    return (struct dt_ike_usage){.sessions = ike->nsessions,
                                 .half_open = ike->door.nhalf_open,
                                 .sources = ike->door.sources.count,
                                 .works = ike->nworks,
                                 .sas = ike->nsas,
                                 .children = ike->nchildren,
                                 .timers = ike->timers.count,
                                 .queued = ike->nqueued};
}

int ike_bytes_set(struct ike_bytes *b, const void *p, size_t len)
{
    uint8_t *copy = malloc(len);
    if (!copy)
        return -1;
    memcpy(copy, p, len);
    free(b->p);
    b->p = copy;
    b->len = len;
    return 0;
}

int ike_bytes_new(struct ike_bytes *b, size_t len)
{
    ike_bytes_free(b);
    b->p = malloc(len ? len : 1);
    b->len = b->p ? len : 0;
    return b->p ? 0 : -1;
}

void ike_bytes_free(struct ike_bytes *b)
{
    free(b->p);
    b->p = NULL;
    b->len = 0;
}

struct dt_span ike_bytes_span(const struct ike_bytes *b)
{
    return dt_span(b->p, b->len);
}

/* ---- names ---- */

const char *dt_ike_down_str(enum dt_ike_down d)
{
    static const char *const text[] = {"deleted here", "deleted by the peer", "its session ended",
                                       "the peer does not have it"};
    return d < DT_ARRAY_LEN(text) ? text[d] : "?";
}

const char *dt_ike_event_str(enum dt_ike_event e)
{
    static const char *const text[] = {"refused", "peer-refused", "cookies",  "cookies-off",
                                       "nat",     "retransmit",   "collision"};
    return e < DT_ARRAY_LEN(text) ? text[e] : "?";
}

const char *dt_ike_session_state_str(enum dt_ike_session_state st)
{
    static const char *const text[] = {"init", "auth", "up", "closing", "dead"};
    return st < DT_ARRAY_LEN(text) ? text[st] : "?";
}
