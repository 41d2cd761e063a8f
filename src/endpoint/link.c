/* One IKE session of a tunnel. */
#include "endpoint/inside.h"

#include <string.h>

struct link *ep_link_new(struct tunnel *t, struct conf *conf)
{
    struct dt_endpoint *ep = t->ep;
    struct link *l = ep_alloc(ep, sizeof(*l));
    if (!l)
        return NULL;
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

/* A newer session of the same client was heard some time ago: does this one still live? */
void ep_link_due(struct link *l, dt_time now)
{
    if (l->s)
        dt_ike_liveness(l->s, now);
}
