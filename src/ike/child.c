/* Children: their life, and what their owners call. */
#include "ike/internal.h"

#include <stdlib.h>

static uint64_t child_spi_hash(const struct dt_ike *ike, uint32_t spi)
{
    return dt_siphash(&ike->hash_key, &spi, sizeof(spi));
}

struct dt_ike_child *dt_ike_child_by_spi(const struct dt_ike *ike, uint32_t spi_in)
{
    for (struct dt_table_node *n = dt_table_first(&ike->by_child, child_spi_hash(ike, spi_in)); n;
         n = dt_table_next(n)) {
        struct dt_ike_child *c = DT_CONTAINER_OF(n, struct dt_ike_child, node);
        if (c->spi_in == spi_in)
            return c;
    }
    return NULL;
}

struct dt_ike_child *ike_child_new(struct dt_ike_session *s, struct dt_err *err)
{
    struct dt_ike *ike = s->ike;
    struct dt_ike_child *c = NULL;
    if (s->nchildren >= ike->params.child_max)
        dt_err_set(err, DT_N_NO_ADDITIONAL_SAS, "this session has %zu child SAs, which is the limit",
                   s->nchildren);
    else if (!(c = calloc(1, sizeof(*c))))
        dt_err_set(err, DT_N_NO_ADDITIONAL_SAS, "no memory for a child SA");
    if (!c)
        return NULL;
    c->session = s;
    do
        c->spi_in = dt_rand_u32(&ike->rand);
    while (c->spi_in < 256 || dt_ike_child_by_spi(ike, c->spi_in)); /* 0 to 255 are reserved (RFC 4303 2.1) */
    if (dt_table_insert(&ike->by_child, &c->node, child_spi_hash(ike, c->spi_in))) {
        free(c);
        dt_err_set(err, DT_N_NO_ADDITIONAL_SAS, "no memory for a child SA");
        return NULL;
    }
    c->in_table = true;
    dt_list_add_tail(&s->children, &c->link);
    s->nchildren++;
    ike->nchildren++;
    return c;
}

/* Nobody may point at it any more. */
static void child_forget(struct dt_ike_session *s, struct dt_ike_child *c)
{
    if (s->first == c)
        s->first = NULL;
    dt_list_for_each (l, &s->children) {
        struct dt_ike_child *other = DT_CONTAINER_OF(l, struct dt_ike_child, link);
        if (other->successor == c)
            other->successor = NULL;
    }
    dt_list_for_each (l, &s->queue) {
        struct ike_exchange *ex = DT_CONTAINER_OF(l, struct ike_exchange, link);
        ex->child = ex->child == c ? NULL : ex->child;
        ex->old = ex->old == c ? NULL : ex->old;
    }
    dt_list_for_each (l, &s->sas) {
        struct ike_exchange *ex = DT_CONTAINER_OF(l, struct ike_sa, link)->ex;
        if (!ex)
            continue;
        ex->child = ex->child == c ? NULL : ex->child;
        ex->old = ex->old == c ? NULL : ex->old;
        ex->rival_child = ex->rival_child == c ? NULL : ex->rival_child;
    }
}

static void uncount(struct dt_ike_child *c)
{
    if (c->counted)
        c->session->nup--;
    c->counted = false;
}

void ike_child_drop(struct dt_ike_child *c)
{
    struct dt_ike_session *s = c->session;
    if (c->state == CHILD_DEAD)
        return;
    uncount(c);
    c->state = CHILD_DEAD;
    if (c->in_table)
        dt_table_remove(&s->ike->by_child, &c->node);
    c->in_table = false;
    dt_list_del(&c->link);
    child_forget(s, c);
    s->nchildren--;
    s->ike->nchildren--;
    dt_list_add_tail(&s->ike->dead_children, &c->link);
}

void ike_child_free(struct dt_ike_child *c)
{
    free(c);
}

void ike_child_up(struct dt_ike_child *c, struct dt_child_sa *sa)
{
    struct dt_ike_session *s = c->session;
    c->state = CHILD_UP;
    c->counted = true;
    c->spi_out = sa->spi_out;
    s->nup++;
    s->ike->count.children_up++;
    if (!s->silent && s->ike->ops.child_up)
        s->ike->ops.child_up(s->ike->ctx, s, c, sa);
    dt_wipe(sa, sizeof(*sa));
}

void ike_child_fail(struct dt_ike_child *c, const struct dt_err *err)
{
    struct dt_ike_session *s = c->session;
    struct dt_err copy = *err;
    if (c->state != CHILD_WANTED) /* its owner lost interest from inside another callback */
        return;
    ike_child_drop(c);
    s->ike->count.children_failed++;
    if (c->asked && !s->silent && s->ike->ops.child_failed)
        s->ike->ops.child_failed(s->ike->ctx, s, c, &copy);
}

void ike_child_down(struct dt_ike_child *c, enum dt_ike_down why)
{
    struct dt_ike_session *s = c->session;
    ike_child_drop(c);
    s->ike->count.children_down++;
    if (!s->silent && s->ike->ops.child_down)
        s->ike->ops.child_down(s->ike->ctx, s, c, why);
}

struct dt_ike_child *ike_child_by_spi_out(struct dt_ike_session *s, uint32_t spi_out)
{
    dt_list_for_each (l, &s->children) {
        struct dt_ike_child *c = DT_CONTAINER_OF(l, struct dt_ike_child, link);
        if (c->spi_out == spi_out && (c->state == CHILD_UP || c->state == CHILD_DYING))
            return c;
    }
    return NULL;
}

void ike_queue_delete_spi(struct dt_ike_session *s, uint32_t spi_in, struct dt_ike_child *dying)
{
    struct ike_exchange *ex = ike_exchange_new(EX_DELETE_CHILD);
    if (!ex) {
        if (dying)
            ike_child_drop(dying);
        return;
    }
    ex->spis[0] = spi_in;
    ex->nspis = 1;
    ex->child = dying;
    ike_queue(s, ex, true);
}

void ike_unqueue_delete(struct dt_ike_session *s, const struct dt_ike_child *dying)
{
    dt_list_for_each_safe (l, &s->queue) {
        struct ike_exchange *ex = DT_CONTAINER_OF(l, struct ike_exchange, link);
        if (ex->kind != EX_DELETE_CHILD || ex->child != dying)
            continue;
        uint32_t spi_in = ex->spis[0];
        dt_list_del(&ex->link);
        s->nqueue--;
        s->ike->nqueued--;
        ike_exchange_free(ex);
        IKE_CALL(s, child_deleted, spi_in);
        return;
    }
}

/* ---- what the owner calls ---- */

static bool being_rekeyed(struct dt_ike_session *s, const struct dt_ike_child *old)
{
    struct ike_exchange *ex = ike_find_exchange(s, EX_CHILD);
    if (ex && ex->old == old && ex->child)
        return true;
    dt_list_for_each (l, &s->queue) {
        ex = DT_CONTAINER_OF(l, struct ike_exchange, link);
        if (ex->kind == EX_CHILD && ex->old == old && ex->child)
            return true;
    }
    return false;
}

static struct dt_ike_child *child_ask(struct dt_ike_session *s, dt_time now, struct dt_ike_child *old,
                                      struct dt_err *err)
{
    struct dt_ike_child *c = NULL;
    ike_enter(s->ike, now);
    struct ike_exchange *ex = ike_exchange_new(EX_CHILD);
    if (ex && (c = ike_child_new(s, err))) {
        c->asked = true;
        ex->child = c;
        ex->old = old;
        ex->rekey = old != NULL;
        ex->rekey_spi = old ? old->spi_in : 0;
        ex->spi_in = c->spi_in;
        if (ike_queue(s, ex, false)) {
            dt_err_set(err, 0, "%u requests of this session wait already, which is the limit", s->nqueue);
            ike_child_drop(c);
            c = NULL;
        } else {
            ex = NULL;
        }
    } else if (!ex) {
        dt_err_set(err, 0, "no memory for a request");
    }
    ike_exchange_free(ex);
    ike_leave(s->ike);
    return c;
}

struct dt_ike_child *dt_ike_child_create(struct dt_ike_session *s, dt_time now, struct dt_err *err)
{
    if (s->state != DT_SESSION_UP) {
        dt_err_set(err, 0, "the session is not up (it is %s)", dt_ike_session_state_str(s->state));
        return NULL;
    }
    return child_ask(s, now, NULL, err);
}

struct dt_ike_child *dt_ike_child_rekey(struct dt_ike_child *old, dt_time now, struct dt_err *err)
{
    struct dt_ike_session *s = old->session;
    if (s->state != DT_SESSION_UP || old->state != CHILD_UP) {
        dt_err_set(err, 0, "a child SA that is not up cannot be rekeyed");
        return NULL;
    }
    if (being_rekeyed(s, old)) {
        dt_err_set(err, 0, "the child SA is being rekeyed already");
        return NULL;
    }
    return child_ask(s, now, old, err);
}

void dt_ike_child_delete(struct dt_ike_child *c, dt_time now)
{
    struct dt_ike_session *s = c->session;
    if (c->state == CHILD_DEAD || c->state == CHILD_DYING)
        return;
    ike_enter(s->ike, now);
    if (c->state == CHILD_WANTED) {
        ike_child_drop(c); /* a late answer finds nobody: create_child.c deletes at the peer what it made */
    } else {
        c->state = CHILD_DYING;
        uncount(c);
        s->ike->count.children_down++;
        if (s->state == DT_SESSION_UP)
            ike_queue_delete_spi(s, c->spi_in, c);
        if (!s->silent && s->ike->ops.child_down)
            s->ike->ops.child_down(s->ike->ctx, s, c, DT_DOWN_LOCAL);
    }
    ike_leave(s->ike);
}

void dt_ike_child_set_owner(struct dt_ike_child *c, void *owner)
{
    c->owner = owner;
}

void *dt_ike_child_owner(const struct dt_ike_child *c)
{
    return c->owner;
}

struct dt_ike_session *dt_ike_child_session(const struct dt_ike_child *c)
{
    return c->session;
}

bool dt_ike_child_is_up(const struct dt_ike_child *c)
{
    return c->state == CHILD_UP;
}

uint32_t dt_ike_child_spi_in(const struct dt_ike_child *c)
{
    return c->spi_in;
}

uint32_t dt_ike_child_spi_out(const struct dt_ike_child *c)
{
    return c->spi_out;
}
