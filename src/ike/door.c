/* What strangers may cost (RFC 7296 section 2.6, RFC 8019 section 4).
 *
 * A stranger pays before we do. Who has shown nothing draws on one small budget of key exchange; past it he must return a
 * cookie, which costs us one hash. Who returned a cookie is at his address, and draws on the budget of his source, and holds
 * places of his source among the half-open sessions. Who has authenticated himself costs nothing any more: his place is
 * free at once, and his source gets back what was paid for him, so that hundreds of clients behind one NAT come up one
 * after the other while an attacker beside them is held to what one source may. */
#include "ike/internal.h"

#include <stdlib.h>

void ike_door_init(struct dt_ike *ike)
{
    dt_table_init(&ike->door.sources);
    dt_heap_init(&ike->door.biggest);
    dt_list_init(&ike->door.failed);
}

void ike_door_free(struct dt_ike *ike)
{
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n;
         (n = dt_table_iterate(&ike->door.sources, &it));) /* whose work never came back */
        free(DT_CONTAINER_OF(n, struct ike_source, node));
    dt_table_free(&ike->door.sources);
    dt_heap_free(&ike->door.biggest);
    free(ike->door.source_work);
    free(ike->door.source_answers);
}

/* ---- budgets ---- */

/* From the budget of a source; true also where there is no memory for budgets: the limits for all still hold. */
static bool source_take(struct dt_ike *ike, struct dt_bucket **budgets, const struct dt_addr *from,
                        uint32_t n, uint32_t rate, uint32_t most)
{
    if (rate == DT_RATE_NO_LIMIT)
        return true;
    if (!*budgets)
        *budgets = calloc(IKE_SOURCES, sizeof(**budgets));
    return !*budgets ||
           dt_bucket_take(dt_bucket_of(*budgets, IKE_SOURCES, &ike->hash_key, from), ike->now, n, rate, most);
}

static bool source_pays(struct dt_ike *ike, const struct dt_addr *from, uint32_t work)
{
    uint32_t rate = ike->params.door.work_rate_source;
    uint32_t most = rate > UINT32_MAX / 2 ? rate : 2 * rate;
    if (source_take(ike, &ike->door.source_work, from, work, rate, most))
        return true;
    ike->count.work_limited_source++;
    return false;
}

static void source_gets_back(struct dt_ike *ike, const struct dt_addr *from, uint32_t work)
{
    if (ike->door.source_work)
        dt_bucket_give(dt_bucket_of(ike->door.source_work, IKE_SOURCES, &ike->hash_key, from), ike->now, work,
                       ike->params.door.work_rate_source);
}

bool ike_door_answer(struct dt_ike *ike, const struct dt_path *path, enum ike_proof proof)
{
    const struct dt_ike_door *p = &ike->params.door;
    bool all = proof >= PROOF_COOKIE
                   ? p->answer_rate != 0
                   : dt_bucket_level(&ike->door.answers, ike->now, p->answer_rate, p->answer_rate) > 0;
    if (!all || !source_take(ike, &ike->door.source_answers, &path->remote.addr, 1, p->answer_rate_source,
                             p->answer_rate_source)) {
        ike->count.rate_limited++;
        return false;
    }
    if (proof < PROOF_COOKIE)
        dt_bucket_take(&ike->door.answers, ike->now, 1, p->answer_rate, p->answer_rate);
    return true;
}

/* ---- cookies ---- */

static uint32_t work_left(const struct dt_ike *ike)
{
    return dt_bucket_level(&ike->door.work, ike->now, ike->params.door.work_rate, ike->params.door.work_rate);
}

static uint32_t answers_left(const struct dt_ike *ike)
{
    return dt_bucket_level(&ike->door.answers, ike->now, ike->params.door.answer_rate,
                           ike->params.door.answer_rate);
}

static void cookies_change(struct dt_ike *ike, bool on, const struct dt_path *path)
{
    const struct dt_ike_door *p = &ike->params.door;
    ike->door.cookies_on = on;
    ike_event(ike, NULL, on ? DT_IKE_EV_COOKIES : DT_IKE_EV_COOKIES_OFF, path, 0,
              "%zu sessions are half open (cookies are demanded from %u on), %u of %u us of work and %u of "
              "%u answers "
              "are left for this second",
              ike->door.nhalf_open, p->half_open_cookie, work_left(ike), p->work_rate, answers_left(ike),
              p->answer_rate);
}

/* On by any measure of unproved work, off when all of them are at half: told once, not at every step across the line. */
bool ike_door_cookies(struct dt_ike *ike, const struct dt_path *path)
{
    const struct dt_ike_door *p = &ike->params.door;
    struct ike_door *door = &ike->door;
    bool crowd = door->nhalf_open >= p->half_open_cookie || door->queued > p->work_queue / 2;
    bool calm = door->nhalf_open < p->half_open_cookie / 2 && work_left(ike) >= p->work_rate / 2 &&
                answers_left(ike) >= p->answer_rate / 2;
    if (!door->cookies_on && (crowd || (p->answer_rate && !answers_left(ike))))
        cookies_change(ike, true, path);
    else if (door->cookies_on && !crowd && calm)
        cookies_change(ike, false, path);
    return door->cookies_on;
}

bool ike_door_cookie_first(struct dt_ike *ike, const struct dt_path *path, uint32_t work)
{
    const struct dt_ike_door *p = &ike->params.door;
    if (!ike_door_cookies(ike, path))
        return false;
    dt_bucket_drain(&ike->door.work, ike->now, work, p->work_rate, p->work_rate);
    return true;
}

/* From the one budget of all who have shown nothing. */
static bool strangers_pay(struct dt_ike *ike, const struct dt_path *path, uint32_t work)
{
    const struct dt_ike_door *p = &ike->params.door;
    if (dt_bucket_take(&ike->door.work, ike->now, work, p->work_rate, p->work_rate))
        return true;
    ike->count.work_limited++;
    if (!ike->door.cookies_on)
        cookies_change(ike, true, path);
    return false;
}

/* ---- places ---- */

static uint64_t source_hash(const struct dt_ike *ike, const struct dt_addr *net)
{
    return dt_siphash(&ike->hash_key, net, sizeof(*net));
}

static struct ike_source *source_find(const struct dt_ike *ike, const struct dt_addr *net)
{
    struct dt_table_node *n = dt_table_first(&ike->door.sources, source_hash(ike, net));
    while (n && !dt_addr_eq(&DT_CONTAINER_OF(n, struct ike_source, node)->net, net))
        n = dt_table_next(n);
    return n ? DT_CONTAINER_OF(n, struct ike_source, node) : NULL;
}

static struct ike_source *source_new(struct dt_ike *ike, const struct dt_addr *net)
{
    struct ike_source *src = calloc(1, sizeof(*src));
    if (!src)
        return NULL;
    src->net = *net;
    dt_list_init(&src->places);
    dt_timer_init(&src->most);
    if (dt_table_insert(&ike->door.sources, &src->node, source_hash(ike, net))) {
        free(src);
        return NULL;
    }
    return src;
}

/* Its place in the order by size; without half-open sessions it is gone. -1: no memory. */
static int source_sort(struct dt_ike *ike, struct ike_source *src)
{
    int rc = dt_heap_set(&ike->door.biggest, &src->most, src->n ? DT_NEVER - 1 - src->n : DT_NEVER);
    if (src->n || src->queued)
        return rc;
    dt_table_remove(&ike->door.sources, &src->node);
    free(src);
    return 0;
}

/* ---- work under way ---- */

static bool queue_has_room(struct dt_ike *ike, const struct dt_addr *net, uint32_t work)
{
    uint32_t most = ike->params.door.work_queue;
    const struct ike_source *src = source_find(ike, net);
    uint64_t all = (uint64_t)ike->door.queued + work, mine = (src ? src->queued : 0) + (uint64_t)work;
    if (all <= most && mine <= most / 4)
        return true;
    ike->count.work_queue_full++;
    return false;
}

struct ike_source *ike_door_work_begin(struct dt_ike_session *s, uint32_t work)
{
    struct ike_source *src = s->hs ? s->hs->source : NULL;
    if (src) {
        src->queued += work;
        s->ike->door.queued += work;
    }
    return src;
}

void ike_door_work_end(struct dt_ike *ike, struct ike_source *src, uint32_t work)
{
    src->queued -= work;
    ike->door.queued -= work;
    source_sort(ike, src);
}

bool ike_door_auth(struct dt_ike_session *s, uint32_t work)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    if (s->initiator || !work || !hs->source)
        return true;
    if (!queue_has_room(ike, &hs->source->net, work) || !source_pays(ike, &hs->source->net, work)) {
        ike->count.auth_put_off++;
        return false;
    }
    hs->auth_work += work;
    return true;
}

/* ---- room ---- */

static void push_out_oldest(struct dt_ike *ike, const struct ike_source *src)
{
    struct ike_handshake *hs = DT_CONTAINER_OF(src->places.next, struct ike_handshake, place);
    ike->count.half_open_pushed_out++;
    ike_session_end(hs->session, NULL);
}

/* A source's own newcomer takes the place of one that had time enough to finish. */
static bool source_makes_room(struct dt_ike *ike, const struct ike_source *src)
{
    const struct ike_handshake *oldest = DT_CONTAINER_OF(src->places.next, struct ike_handshake, place);
    if (ike->now < dt_time_add(oldest->since, ike->params.door.half_open_yield))
        return false;
    push_out_oldest(ike, src);
    return true;
}

/* Room for one more of that source: there is some, or the source with the most gives way. */
static bool has_room(struct dt_ike *ike, const struct dt_addr *net, enum ike_proof proof)
{
    const struct dt_ike_door *p = &ike->params.door;
    struct ike_source *src = source_find(ike, net);
    size_t mine = src ? src->n : 0;
    bool full = ike->door.nhalf_open >= p->half_open_max;
    if (!full && (proof < PROOF_COOKIE || mine < p->half_open_source))
        return true;
    if (proof < PROOF_COOKIE)
        return false;
    const struct dt_timer *t = dt_heap_first(&ike->door.biggest);
    struct ike_source *biggest = t ? DT_CONTAINER_OF(t, struct ike_source, most) : NULL;
    if (full && biggest && biggest != src && biggest->n > mine + 1) {
        push_out_oldest(ike, biggest);
        return mine < p->half_open_source;
    }
    return src && source_makes_room(ike, src);
}

enum ike_door_verdict ike_door_admit(struct dt_ike *ike, const struct dt_path *path, uint32_t work,
                                     enum ike_proof proof)
{
    struct dt_addr net = dt_source(&path->remote.addr);
    if (ike->nsessions >= ike->params.session_max || !has_room(ike, &net, proof)) {
        ike->count.half_open_dropped++;
        return DOOR_SHUT;
    }
    if (!queue_has_room(ike, &net, work))
        return proof < PROOF_COOKIE ? DOOR_COOKIE : DOOR_SHUT;
    if (proof >= PROOF_COOKIE)
        return source_pays(ike, &path->remote.addr, work) ? DOOR_OPEN : DOOR_SHUT;
    return strangers_pay(ike, path, work) ? DOOR_OPEN : DOOR_COOKIE;
}

int ike_door_enter(struct dt_ike_session *s, uint32_t work, enum ike_proof proof)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    struct dt_addr net = dt_source(&s->path.remote.addr);
    struct ike_source *src = source_find(ike, &net);
    if (!src && !(src = source_new(ike, &net)))
        return -1;
    hs->source = src;
    hs->proved = proof >= PROOF_COOKIE;
    hs->work = work;
    hs->since = ike->now;
    dt_list_add_tail(&src->places, &hs->place);
    src->n++;
    ike->door.nhalf_open++;
    return source_sort(ike, src);
}

static void give_place_back(struct dt_ike *ike, struct ike_handshake *hs)
{
    struct ike_source *src = hs->source;
    dt_list_del(&hs->place);
    if (hs->failed)
        ike->door.nfailed--;
    hs->failed = false;
    if (!src)
        return;
    hs->source = NULL;
    src->n--;
    ike->door.nhalf_open--;
    source_sort(ike, src);
}

void ike_door_leave(struct dt_ike_session *s, bool proved)
{
    struct ike_handshake *hs = s->hs;
    if (!hs)
        return;
    if (proved && hs->source)
        source_gets_back(s->ike, &hs->source->net, (hs->proved ? hs->work : 0) + hs->auth_work);
    give_place_back(s->ike, hs);
}

void ike_door_failed(struct dt_ike_session *s)
{
    struct dt_ike *ike = s->ike;
    struct ike_handshake *hs = s->hs;
    give_place_back(ike, hs);
    hs->failed = true;
    dt_list_add_tail(&ike->door.failed, &hs->place);
    if (++ike->door.nfailed <= ike->params.door.failed_max)
        return;
    ike->count.failed_pushed_out++;
    ike_session_end(DT_CONTAINER_OF(ike->door.failed.next, struct ike_handshake, place)->session, NULL);
}
