/* Public-key work: done at once, or as a job that the driver runs elsewhere (struct dt_ike_ops, `work`).
 *
 * A message that needs a shared secret is kept with its job and looked at again, from the beginning, when the job is done:
 * whatever changed meanwhile is seen as if the message had come only now. Who waits for a job may die at any time; the job
 * then has nobody to tell, and is wiped when it comes back. */
#include "ike/auth_task.h"

#include <stdlib.h>

struct ike_work {
    struct dt_ike_work job;
    struct dt_list link; /* of the host's jobs */
    struct dt_ike *ike;  /* NULL: the host is gone */
    struct ike_sa *sa;   /* waits, by its slot `answer`; NULL: it does not, or not any more */
    bool answer;
    struct ike_exchange *ex;   /* waits for its key pair; NULL likewise */
    struct ike_source *source; /* whose queue it is in (door.c); NULL: it is no stranger's */
    bool finished;
    ike_work_again *again;
    /* the message that waits; path and bytes are copies */
    struct ike_msg m;
    struct dt_path path;
    uint8_t *data;
    /* What runs elsewhere: nobody else touches this before dt_ike_work_done. */
    const struct dt_crypto *crypto;
    struct dt_rand rand;
    uint16_t group;
    struct ike_auth_task *task; /* NULL: it is a key exchange */
    struct dt_ike_session
        *recheck;     /* whose peer's certificate it is about; NULL: it is not, or not any more */
    bool patient;     /* nobody waits for it */
    uint32_t cost;    /* us */
    struct dt_dh *dh; /* NULL: a fresh pair is made */
    size_t peer_len;  /* 0: only the pair */
    uint8_t peer[DT_KE_MAX], shared[DT_KE_MAX];
    int rc;
    struct dt_err err;
};

static void payloads_move(struct dt_ike_payloads *list, const uint8_t *from, const uint8_t *to)
{
    for (size_t i = 0; i < list->n; i++)
        list->v[i].body.p = to + (list->v[i].body.p - from);
}

static int message_keep(struct ike_work *w, const struct ike_msg *m)
{
    w->data = malloc(m->len);
    if (!w->data)
        return -1;
    memcpy(w->data, m->data, m->len);
    w->m = *m;
    w->path = *m->path;
    w->m.path = &w->path;
    w->m.data = w->data;
    payloads_move(&w->m.outer, m->data, w->data);
    payloads_move(&w->m.inner, m->data, w->data);
    return 0;
}

static struct ike_work *work_new(struct dt_ike *ike, uint16_t group)
{
    struct ike_work *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->ike = ike;
    w->crypto = ike->crypto;
    w->rand = ike->rand;
    w->group = group;
    w->cost = dt_ke_work(group);
    dt_list_add_tail(&ike->works, &w->link);
    ike->nworks++;
    return w;
}

static void work_free(struct ike_work *w)
{
    if (w->ike) {
        dt_list_del(&w->link);
        w->ike->nworks--;
        if (w->source)
            ike_door_work_end(w->ike, w->source, w->cost);
    }
    dt_dh_free(w->dh);
    ike_auth_task_free(w->task);
    if (w->data)
        dt_wipe(w->data, w->m.len);
    free(w->data);
    dt_wipe(w, sizeof(*w));
    free(w);
}

static void work_start(struct ike_work *w)
{
    w->ike->count.works++;
    w->ike->ops.work(w->ike->ctx, &w->job);
}

/* ---- for a message ---- */

bool ike_work_ready(struct ike_sa *sa, const struct ike_msg *m, uint16_t group, struct dt_span peer,
                    struct dt_dh **own, ike_work_again *again)
{
    struct dt_ike *ike = sa->session->ike;
    bool answer = m->h.flags & DT_IKE_FLAG_RESPONSE;
    if (!ike->ops.work || sa->work[answer]) /* it is the one whose turn has come again */
        return true;
    if (peer.len != dt_ke_public_len(group)) /* refused at once */
        return true;
    struct ike_work *w = work_new(ike, group);
    if (!w)
        return true; /* without memory for a job it is done at once */
    if (message_keep(w, m)) {
        work_free(w);
        return true;
    }
    w->sa = sa;
    w->answer = answer;
    w->again = again;
    w->peer_len = peer.len;
    memcpy(w->peer, peer.p, peer.len);
    if (own) {
        w->dh = *own;
        *own = NULL;
    }
    w->source = ike_door_work_begin(sa->session, dt_ke_work(group));
    sa->work[answer] = w;
    work_start(w);
    return false;
}

int ike_work_take(struct ike_sa *sa, const struct ike_msg *m, uint16_t group, struct dt_span peer,
                  struct dt_dh **own, uint8_t shared[DT_KE_MAX], struct dt_err *err)
{
    struct dt_ike *ike = sa->session->ike;
    struct ike_work *w = sa->work[(m->h.flags & DT_IKE_FLAG_RESPONSE) != 0];
    if (w && w->finished && w->group == group) {
        if (!*own) {
            *own = w->dh;
            w->dh = NULL;
        }
        memcpy(shared, w->shared, sizeof(w->shared));
        if (w->rc && err)
            *err = w->err;
        return w->rc;
    }
    if (!*own)
        *own = dt_dh_new(ike->crypto, group, &ike->rand, err);
    return *own ? dt_dh_shared(*own, peer, shared, err) : -1;
}

/* ---- for a signature ---- */

bool ike_work_task(struct ike_sa *sa, const struct ike_msg *m, struct ike_auth_task *t, ike_work_again *again)
{
    struct dt_ike *ike = sa->session->ike;
    bool answer = !m || m->h.flags & DT_IKE_FLAG_RESPONSE;
    struct ike_work *w = ike->ops.work ? work_new(ike, 0) : NULL;
    if (!w)
        return false;
    if (m && message_keep(w, m)) {
        work_free(w);
        return false;
    }
    w->task = t;
    w->cost = ike_auth_task_work(t);
    w->sa = sa;
    w->answer = answer;
    w->again = again;
    w->source = ike_door_work_begin(sa->session, w->cost);
    sa->work[answer] = w; /* in the place of a finished one whose turn it is */
    work_start(w);
    return true;
}

bool ike_work_recheck(struct dt_ike_session *s, struct ike_auth_task *t)
{
    struct ike_work *w = s->ike->ops.work ? work_new(s->ike, 0) : NULL;
    if (!w)
        return false;
    if (s->recheck) /* it asks what is not asked any more */
        s->recheck->recheck = NULL;
    w->task = t;
    w->recheck = s;
    w->patient = true;
    s->recheck = w;
    work_start(w);
    return true;
}

/* ---- for a key pair ---- */

bool ike_work_pair_ready(struct ike_sa *sa, struct ike_exchange *ex, uint16_t group)
{
    struct dt_ike *ike = sa->session->ike;
    if (!ike->ops.work || !group || ex->pair_failed || (ex->dh && ex->dh->group == group))
        return true;
    if (ex->work)
        return false;
    struct ike_work *w = work_new(ike, group);
    if (!w)
        return true;
    w->ex = ex;
    w->sa = NULL;
    ex->work = w;
    ex->work_session = sa->session;
    work_start(w);
    return false;
}

bool ike_work_first_pair_ready(struct ike_sa *sa, uint16_t group, ike_work_again *again)
{
    struct dt_ike *ike = sa->session->ike;
    if (!ike->ops.work || sa->work[1])
        return true;
    struct ike_work *w = work_new(ike, group);
    if (!w)
        return true;
    w->sa = sa;
    w->answer = true;
    w->again = again;
    sa->work[1] = w;
    work_start(w);
    return false;
}

struct dt_dh *ike_work_take_pair(struct ike_sa *sa, uint16_t group, struct dt_err *err)
{
    struct dt_ike *ike = sa->session->ike;
    struct ike_work *w = sa->work[1];
    if (!w || !w->finished || w->group != group)
        return dt_dh_new(ike->crypto, group, &ike->rand, err);
    struct dt_dh *dh = w->dh;
    w->dh = NULL;
    if (!dh && err)
        *err = w->err;
    return dh;
}

/* ---- nobody waits any more ---- */

void ike_work_abandon_sa(struct ike_sa *sa)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(sa->work); i++) {
        if (sa->work[i])
            sa->work[i]->sa = NULL;
        sa->work[i] = NULL;
    }
}

void ike_work_abandon_recheck(struct dt_ike_session *s)
{
    if (s->recheck)
        s->recheck->recheck = NULL;
    s->recheck = NULL;
}

void ike_work_abandon_exchange(struct ike_exchange *ex)
{
    if (ex->work)
        ex->work->ex = NULL;
    ex->work = NULL;
}

void ike_work_abandon_all(struct dt_ike *ike)
{
    dt_list_for_each_safe (l, &ike->works) {
        struct ike_work *w = DT_CONTAINER_OF(l, struct ike_work, link);
        dt_list_del(&w->link);
        w->ike = NULL;
    }
}

bool ike_work_pending(const struct ike_sa *sa, bool answer)
{
    return sa->work[answer] && !sa->work[answer]->finished;
}

/* ---- the driver ---- */

static struct ike_work *work_of(struct dt_ike_work *job)
{
    return DT_CONTAINER_OF(job, struct ike_work, job);
}

bool dt_ike_work_urgent(const struct dt_ike_work *job)
{
    const struct ike_work *w = DT_CONTAINER_OF(job, struct ike_work, job);
    return !w->source && !w->patient;
}

void dt_ike_work_run(struct dt_ike_work *job)
{
    struct ike_work *w = work_of(job);
    if (w->task) {
        ike_auth_task_run(w->task);
        return;
    }
    if (!w->dh)
        w->dh = dt_dh_new(w->crypto, w->group, &w->rand, &w->err);
    w->rc = w->dh ? 0 : -1;
    if (w->dh && w->peer_len)
        w->rc = dt_dh_shared(w->dh, dt_span(w->peer, w->peer_len), w->shared, &w->err);
}

static void exchange_resume(struct ike_work *w)
{
    struct ike_exchange *ex = w->ex;
    ex->work = NULL;
    w->ex = NULL;
    dt_dh_free(ex->dh);
    ex->dh = w->dh;
    w->dh = NULL;
    ex->pair_failed = !ex->dh;
    ike_kick(ex->work_session);
}

static void message_resume(struct ike_work *w)
{
    struct ike_sa *sa = w->sa;
    struct ike_handshake *hs = sa->session->hs;
    if (w->task && hs) {
        ike_auth_task_free(hs->task);
        hs->task = w->task;
        w->task = NULL;
    }
    w->again(sa, &w->m);
    if (sa->work[w->answer] == w)
        sa->work[w->answer] = NULL;
}

static void recheck_resume(struct ike_work *w)
{
    struct dt_ike_session *s = w->recheck;
    s->recheck = NULL;
    ike_auth_rechecked(s, w->task);
}

void dt_ike_work_done(struct dt_ike_work *job, dt_time now)
{
    struct ike_work *w = work_of(job);
    struct dt_ike *ike = w->ike;
    if (ike) {
        ike_enter(ike, now);
        w->finished = true;
        if (w->ex)
            exchange_resume(w);
        else if (w->sa)
            message_resume(w);
        else if (w->recheck)
            recheck_resume(w);
    }
    work_free(w);
    if (ike)
        ike_leave(ike);
}
