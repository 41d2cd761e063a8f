/* One IKE session of a tunnel. */
#include "endpoint/inside.h"

#include <string.h>

struct link *ep_link_new(struct tunnel *t, struct conf *conf)
{
    struct dt_endpoint *ep = t->ep;
    struct link *l = ep_alloc(ep, sizeof(*l));
    if (!l)
        return NULL;
    if (dt_heap_reserve(&ep->heap, 1)) {
        ep_free(ep, l, sizeof(*l));
        return NULL;
    }
    l->t = t;
    l->conf = ep_conf_ref(conf);
    l->order = ++ep->next_link;
    ep_timer_init(&l->timer, TIMER_LINK);
    dt_list_add_tail(&t->links, &l->node);
    ep->nlinks++;
    return l;
}

void ep_link_free(struct dt_endpoint *ep, struct link *l)
{
    ep_timer_set(ep, &l->timer, DT_NEVER);
    dt_heap_unreserve(&ep->heap, 1);
    dt_list_del(&l->node);
    ep_conf_unref(ep, l->conf);
    ep->nlinks--;
    ep_free(ep, l, sizeof(*l));
}

static void detach(struct link *l)
{
    struct tunnel *t = l->t;
    dt_list_for_each (n, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->link == l) {
            sa->link = NULL;
            sa->child = NULL;
        }
    }
    if (t->is_client && t->c->link == l)
        t->c->link = NULL;
    if (t->is_client && t->c->race.beside == l)
        t->c->race.beside = NULL;
    if (t->is_client && t->c->parting == l)
        t->c->parting = NULL;
    l->t = NULL;
    dt_list_del(&l->node);
}

void ep_link_close(struct link *l, dt_time now, bool polite)
{
    struct dt_endpoint *ep = l->t->ep;
    struct dt_ike_session *s = l->s;
    detach(l);
    if (s && polite && l->up) {
        ep_timer_set(ep, &l->timer, DT_NEVER);
        dt_list_add_tail(&ep->closing, &l->node);
        dt_ike_close(s, now, false); /* session_down frees the link */
        return;
    }
    if (s) {
        dt_ike_session_set_owner(s, NULL);
        dt_ike_close(s, now, true);
    }
    ep_link_free(ep, l);
}

void ep_link_gone(struct link *l)
{
    struct dt_endpoint *ep = l->t->ep;
    detach(l);
    ep_link_free(ep, l);
}

/* RFC 7296 has one request outstanding in a session. A negotiation that took too long is begun anew by going on to
 * send the same request: an answer to any copy is the answer, and leaves no orphan at the peer. */
bool ep_link_negotiate(struct link *l, struct tunnel *t, dt_time now, uint32_t old)
{
    struct dt_err err = {0};
    if (!l || !l->up || !l->s)
        return false;
    if (l->asked)
        return true;
    struct sa *sa = ep_sa_of_epoch(t, old);
    if (sa && sa->link == l && sa->child)
        l->asked = dt_ike_child_rekey(sa->child, now, &err);
    if (!l->asked)
        l->asked = dt_ike_child_create(l->s, now, &err);
    if (!l->asked)
        ep_why(t, &err);
    return l->asked != NULL;
}

bool ep_link_delete(struct tunnel *t, dt_time now, uint32_t epoch)
{
    struct sa *sa = ep_sa_of_epoch(t, epoch);
    if (!sa || !sa->child || !sa->link || !sa->link->up)
        return false;
    struct dt_ike_child *child = sa->child;
    sa->child = NULL;
    dt_ike_child_delete(child, now); /* its answer: child_deleted */
    return true;
}

#define SILENT_PINGS 20 /* times the time in which a silent peer is noticed */

dt_time ep_link_silence(const struct dt_epoch_params *p)
{
    return SILENT_PINGS * (p->maxidle + p->pingtries2 * p->pingtime2);
}

/* Whoever only receives sends no ESP and, hearing enough, no ping. So that the server does not give it up, and no NAT
 * forgets the IKE session (an hour with dovetail-natd, minutes with others), a client asks by IKE for a sign of life when
 * that session was silent for long. (In UDP, NAT keep-alives keep the mapping, but they prove nothing to the server.) */
void ep_link_keep(struct link *l, dt_time now)
{
    const struct dt_epoch_params *p = &l->t->c->e.p;
    struct dt_ike_session_info info;
    if (!l->s || !l->t->c->cfg.params.probe) /* today's IPsec does not */
        return;
    dt_ike_session_info(l->s, &info);
    dt_time every = ep_link_silence(p) / 2, due = dt_time_add(info.heard, every);
    if (due <= now) {
        dt_ike_liveness(l->s, now);
        due = dt_time_add(now, every);
    }
    ep_timer_set(l->t->ep, &l->timer, due);
}

bool ep_link_has_child(const struct link *l)
{
    dt_list_for_each (n, &l->t->sas) {
        const struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->link == l && !sa->linger)
            return true;
    }
    return false;
}

void ep_link_childless(struct link *l, dt_time now)
{
    if (!ep_link_has_child(l))
        ep_timer_set(l->t->ep, &l->timer, dt_time_add(now, dt_epoch_server_reap_after(&l->t->s->e)));
}

/* A newer session of the same client was heard some time ago, or this one has no child: does it still live? */
void ep_link_due(struct link *l, dt_time now)
{
    if (l->t && l->t->is_client) {
        ep_link_keep(l, now);
        return;
    }
    if (l->s)
        dt_ike_liveness(l->s, now);
    if (l->t)
        ep_link_childless(l, now);
}
