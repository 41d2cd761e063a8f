/* Certificates that peers have proved themselves with, while their sessions live: renewed, revoked, expired. */
#include "endpoint/inside.h"

void ep_proof_take(struct dt_ike_proofs *to, const struct dt_ike_proofs *from)
{
    struct dt_ike_proofs was = *to;
    *to = *from;
    dt_ike_proofs_ref(to);
    dt_ike_proofs_unref(&was);
}

void ep_proof_recheck(struct tunnel *t, dt_time now, struct dt_x509_trust *trust)
{
    dt_list_for_each_safe (n, &t->links) {
        struct link *l = DT_CONTAINER_OF(n, struct link, node);
        if (l->s && l->up)
            dt_ike_session_recheck(l->s, now, trust);
    }
}

static bool is_last_link(const struct link *l)
{
    return l->t->links.next == &l->node && l->t->links.prev == &l->node;
}

/* What it carried ends with it: nobody knows who is there now. */
static void server_proof_lost(struct link *l, dt_time now, const struct dt_err *why)
{
    struct tunnel *t = l->t;
    if (is_last_link(l)) {
        ep_server_free(t, now, why->text);
        return;
    }
    ep_sa_session_ended(l);
    ep_link_close(l, now, true);
    ep_settle(t, now);
}

/* All begins anew: a gateway that has another certificate by now is met with it. */
static void client_proof_lost(struct tunnel *t, dt_time now, const struct dt_err *why)
{
    struct dt_endpoint *ep = t->ep;
    struct client *c = t->c;
    if (!c->e.started)
        return;
    ep_client_end(t, now, true);
    ep_why(t, why);
    c->contacted = false;
    ep->ops.outbound(ep->user, now, t->id, DT_OUTBOUND_HOLD, 0, false);
    dt_epoch_client_start(&c->e, now);
    ep_settle(t, now);
}

void ep_proof_lost(struct link *l, dt_time now, const struct dt_err *why)
{
    struct tunnel *t = l->t;
    ep_event(t->ep, t, now, DT_EVENT_PROOF_LOST, "%s", why->text);
    if (t->is_client)
        client_proof_lost(t, now, why);
    else
        server_proof_lost(l, now, why);
}
