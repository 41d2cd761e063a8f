/* The state that can change behaviour, into a hash (for an explorer of interleavings). */
#include "ike/internal.h"

static void time_left(struct dt_digest *d, const struct dt_timer *t, dt_time now)
{
    dt_digest_u64(d, t->at == DT_NEVER ? DT_NEVER : dt_time_sub(t->at, now));
}

static void digest_exchange(struct dt_digest *d, const struct ike_exchange *ex)
{
    dt_digest_u64(d, ex->kind);
    dt_digest_u64(d, ex->child ? ex->child->spi_in : 0);
    dt_digest_u64(d, ex->old ? ex->old->spi_in : 0);
    dt_digest_u64(d, ex->spi_in);
    dt_digest_u64(d, ex->rekey_spi);
    dt_digest_u64(d, ex->group | (uint64_t)ex->ke_tries << 16 | (uint64_t)ex->nspis << 32);
    dt_digest_u64(d, ex->collided);
    dt_digest_u64(d, ex->rival_child ? ex->rival_child->spi_in : 0);
    dt_digest_u64(d, ex->rival_sa ? ex->rival_sa->spi_local : 0);
    dt_digest_bytes(d, ex->nonce, sizeof(ex->nonce));
    dt_digest_bytes(d, ex->spis, sizeof(ex->spis));
}

static void digest_sa(struct dt_digest *d, const struct ike_sa *sa, dt_time now)
{
    dt_digest_u64(d, sa->spi_local);
    dt_digest_u64(d, sa->spi_remote);
    dt_digest_u64(d, sa->initiator | (uint64_t)sa->state << 8 | (uint64_t)(sa == sa->session->current) << 16);
    dt_digest_u64(d, (uint64_t)sa->mid_out << 32 | sa->mid_in);
    dt_digest_u64(d, sa->tries);
    dt_digest_bytes(d, sa->sk_d, sizeof(sa->sk_d));
    dt_digest_u64(d, sa->ex ? sa->wait : 0);
    dt_digest_bytes(d, sa->request.p, sa->request.len);
    dt_digest_bytes(d, sa->response.p, sa->response.len);
    time_left(d, &sa->retransmit.t, now);
    time_left(d, &sa->life.t, now);
    if (sa->ex)
        digest_exchange(d, sa->ex);
}

/* Answers do not show what they answer: two half-open sessions may differ in the requests alone. */
static void digest_handshake(struct dt_digest *d, const struct ike_handshake *hs)
{
    dt_digest_bytes(d, hs->sent.p, hs->sent.len);
    dt_digest_bytes(d, hs->got.p, hs->got.len);
    dt_digest_bytes(d, hs->nonce, sizeof(hs->nonce));
    dt_digest_bytes(d, hs->cookie, hs->cookie_len);
    dt_digest_u64(d, (uint64_t)hs->group << 48 | (uint64_t)hs->cookie_tries << 24 |
                         (uint64_t)hs->ke_tries << 1 | hs->refused);
}

static void digest_session(struct dt_digest *d, const struct dt_ike_session *s, dt_time now)
{
    dt_digest_u64(d, s->state | (uint64_t)s->initiator << 8 | (uint64_t)s->known << 9 |
                         (uint64_t)s->nat_local << 10 | (uint64_t)s->nat_remote << 11 |
                         (uint64_t)s->alive_wanted << 12 | (uint64_t)(s->hs && s->hs->source) << 13 |
                         (uint64_t)s->path.natt << 14 | (uint64_t)s->same_vendor << 15 |
                         (uint64_t)(s->current && ike_rekey_overdue(s->current)) << 16);
    dt_digest_bytes(d, s->path.local.addr.b, 16);
    dt_digest_bytes(d, s->path.remote.addr.b, 16);
    dt_digest_u64(d, (uint64_t)s->path.local.port << 16 | s->path.remote.port);
    time_left(d, &s->keepalive.t, now);
    dt_list_for_each (l, &s->sas)
        digest_sa(d, DT_CONTAINER_OF(l, struct ike_sa, link), now);
    dt_list_for_each (l, &s->children) {
        const struct dt_ike_child *c = DT_CONTAINER_OF(l, struct dt_ike_child, link);
        dt_digest_u64(d, (uint64_t)c->spi_in << 32 | c->spi_out);
        dt_digest_u64(d, c->state | (uint64_t)(c->successor ? c->successor->spi_in : 0) << 8);
    }
    dt_list_for_each (l, &s->queue)
        digest_exchange(d, DT_CONTAINER_OF(l, struct ike_exchange, link));
    if (s->hs)
        digest_handshake(d, s->hs);
}

/* Budgets: how long until they are full. What half-open sessions hold, they say themselves. */
static void digest_door(struct dt_digest *d, const struct ike_door *door, dt_time now)
{
    dt_digest_u64(d, dt_time_sub(door->work.full_at, now));
    dt_digest_u64(d, dt_time_sub(door->answers.full_at, now));
    dt_digest_u64(d, door->cookies_on);
    for (size_t i = 0; door->source_work && i < IKE_SOURCES; i++)
        dt_digest_u64(d, dt_time_sub(door->source_work[i].full_at, now));
    for (size_t i = 0; door->source_answers && i < IKE_SOURCES; i++)
        dt_digest_u64(d, dt_time_sub(door->source_answers[i].full_at, now));
}

void dt_ike_digest(const struct dt_ike *ike, dt_time now, struct dt_digest *d)
{
    dt_digest_u64(d, ike->nsessions);
    dt_digest_u64(d, ike->door.nhalf_open);
    digest_door(d, &ike->door, now);
    dt_list_for_each (l, &ike->sessions)
        digest_session(d, DT_CONTAINER_OF(l, struct dt_ike_session, link), now);
}
