/* One IKE SA's window: one request outstanding in each direction, retransmission, cached responses, and the queue of
 * requests that wait for it (RFC 7296 sections 2.1 to 2.3). */
#include "ike/internal.h"

#include <stdlib.h>

struct ike_exchange *ike_exchange_new(enum ike_exchange_kind kind)
{
    struct ike_exchange *ex = calloc(1, sizeof(*ex));
    if (ex) {
        ex->kind = kind;
        dt_list_init(&ex->link);
    }
    return ex;
}

void ike_exchange_free(struct ike_exchange *ex)
{
    if (!ex)
        return;
    ike_work_abandon_exchange(ex);
    dt_dh_free(ex->dh);
    dt_wipe(ex, sizeof(*ex));
    free(ex);
}

int ike_queue(struct dt_ike_session *s, struct ike_exchange *ex, bool internal)
{
    if (s->state == DT_SESSION_DEAD) { /* it ended from inside a callback: nobody is to be told anything */
        ike_exchange_free(ex);
        return 0;
    }
    if (!internal && s->nqueue >= s->ike->params.queue_max) {
        s->ike->count.queue_full++;
        return -1;
    }
    dt_list_add_tail(&s->queue, &ex->link);
    s->nqueue++;
    s->ike->nqueued++;
    ike_kick(s);
    return 0;
}

struct ike_exchange *ike_find_exchange(struct dt_ike_session *s, enum ike_exchange_kind kind)
{
    return s->current && s->current->ex && s->current->ex->kind == kind ? s->current->ex : NULL;
}

static bool exchange_start(struct ike_sa *sa, struct ike_exchange *ex)
{
    switch (ex->kind) {
    case EX_CHILD:
        return ike_create_child_start(sa, ex);
    case EX_IKE_REKEY:
        return ike_rekey_start(sa, ex);
    default:
        return ike_informational_start(sa, ex);
    }
}

/* Its key pair is there, or need not be. */
static bool pair_ready(struct ike_sa *sa, struct ike_exchange *ex)
{
    uint16_t group = 0;
    if (ex->kind == EX_CHILD && ex->child)
        group = ike_create_child_group(sa->session, ex);
    else if (ex->kind == EX_IKE_REKEY)
        group = ike_rekey_group(sa, ex);
    return ike_work_pair_ready(sa, ex, group);
}

static void start_delete(struct ike_sa *sa)
{
    struct ike_exchange *ex = ike_exchange_new(EX_DELETE_IKE);
    if (ex && !ike_informational_start(sa, ex))
        ike_exchange_free(ex);
}

/* Starts what the window allows now. */
void ike_pump(struct dt_ike_session *s)
{
    struct ike_sa *cur = s->current;
    if (s->state == DT_SESSION_DEAD)
        return;
    dt_list_for_each_safe (l, &s->sas) {
        struct ike_sa *sa = DT_CONTAINER_OF(l, struct ike_sa, link);
        if (sa != cur && sa->state == SA_DELETING && !sa->ex)
            start_delete(sa);
    }
    if (s->state == DT_SESSION_CLOSING) {
        if (cur && !cur->ex) {
            cur->state = SA_DELETING;
            start_delete(cur);
        }
        return;
    }
    if (s->state != DT_SESSION_UP || !cur || cur->ex)
        return;
    struct ike_exchange *ex = NULL;
    if (!dt_list_empty(&s->queue)) {
        ex = DT_CONTAINER_OF(s->queue.next, struct ike_exchange, link);
        if (!pair_ready(cur, ex))
            return; /* it is the next one all the same */
        dt_list_del(&ex->link);
        s->nqueue--;
        s->ike->nqueued--;
    } else if (s->alive_wanted) {
        ex = ike_exchange_new(EX_LIVENESS);
    }
    if (ex && !exchange_start(cur, ex)) {
        ike_exchange_free(ex);
        if (!dt_list_empty(&s->queue))
            ike_kick(s); /* the next one */
    }
}

int ike_request_send(struct ike_sa *sa, struct ike_exchange *ex, const uint8_t *p, size_t len)
{
    struct dt_ike *ike = sa->session->ike;
    if (!len || ike_bytes_set(&sa->request, p, len))
        return -1;
    sa->ex = ex;
    sa->tries = 1;
    sa->first_sent = ike->now;
    sa->wait = ike->params.retransmit_base;
    sa->mid_out++;
    dt_heap_set(&ike->timers, &sa->retransmit.t, dt_time_add(ike->now, sa->wait));
    ike_send(ike, sa->session, &sa->session->path, sa->request.p, sa->request.len,
             0); /* may end the session */
    return 0;
}

struct ike_exchange *ike_request_done(struct ike_sa *sa)
{
    struct ike_exchange *ex = sa->ex;
    struct dt_ike_session *s = sa->session;
    sa->ex = NULL;
    ike_bytes_free(&sa->request);
    dt_heap_set(&s->ike->timers, &sa->retransmit.t, DT_NEVER);
    if (sa->tries == 1)
        s->rtt = s->ike->now - sa->first_sent;
    ike_kick(s);
    return ex;
}

static const char *exchange_name(enum ike_exchange_kind kind)
{
    switch (kind) {
    case EX_INIT:
        return "IKE_SA_INIT";
    case EX_AUTH:
        return "IKE_AUTH";
    case EX_CHILD:
        return "CREATE_CHILD_SA (child)";
    case EX_IKE_REKEY:
        return "CREATE_CHILD_SA (IKE SA)";
    case EX_DELETE_CHILD:
        return "INFORMATIONAL (delete child)";
    case EX_DELETE_IKE:
        return "INFORMATIONAL (delete IKE SA)";
    default:
        return "INFORMATIONAL";
    }
}

/* Nobody answers. */
static void give_up(struct ike_sa *sa)
{
    struct dt_ike_session *s = sa->session;
    char who[DT_ADDRPORT_STRLEN];
    s->unanswered = !(s->hs && s->hs->refused) && sa == s->current;
    if (s->hs && s->hs->refused) {
        struct dt_err err = s->hs->refusal;
        ike_session_end(s, &err);
    } else if (sa != s->current) {
        ike_sa_end(sa); /* only the deletion of an IKE SA that was replaced */
    } else if (s->state == DT_SESSION_CLOSING && sa->ex->kind == EX_DELETE_IKE) {
        ike_session_fail(s, 0, "%s; %s did not answer the DELETE", s->closing ? s->closing : "closed here",
                         dt_addrport_str(who, &s->path.remote));
    } else {
        ike_session_fail(s, 0, "no answer to %s from %s after %u packets in %.1f s",
                         exchange_name(sa->ex->kind), dt_addrport_str(who, &s->path.remote), sa->tries,
                         dt_time_seconds(s->ike->now - sa->first_sent));
    }
}

void ike_request_again(struct ike_sa *sa)
{
    struct dt_ike_session *s = sa->session;
    struct dt_ike *ike = s->ike;
    if (!sa->ex)
        return;
    if (sa->tries > ike->params.retransmit_tries) {
        give_up(sa);
        return;
    }
    sa->tries++;
    double longer = (double)sa->wait * ike->params.retransmit_factor;
    sa->wait = longer < (double)ike->params.retransmit_max ? (dt_time)longer : ike->params.retransmit_max;
    ike->count.retransmits_out++;
    dt_heap_set(&ike->timers, &sa->retransmit.t, dt_time_add(ike->now, sa->wait));
    ike_send(ike, s, &s->path, sa->request.p, sa->request.len, DT_IKE_SEND_AGAIN);
    if (sa->state == SA_DEAD)
        return;
    ike_event(ike, s, DT_IKE_EV_RETRANSMIT, &s->path, 0, "%s, message id %u, packet %u",
              exchange_name(sa->ex->kind), sa->mid_out - 1, sa->tries);
}

int ike_response_set(struct ike_sa *sa, const uint8_t *p, size_t len)
{
    if (!len || ike_bytes_set(&sa->response, p, len))
        return -1;
    sa->mid_in++;
    return 0;
}

void ike_response_send(struct ike_sa *sa, const struct dt_path *path, unsigned flags)
{
    if (sa->response.p)
        ike_send(sa->session->ike, sa->session, path, sa->response.p, sa->response.len, flags);
}
