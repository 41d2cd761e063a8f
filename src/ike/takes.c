/* NO_PROPOSAL_CHOSEN says nothing of what would have been right. Between two Dovetails the refusing one adds it, for
 * people: nothing is ever decided by it. In IKE_SA_INIT it is as unproved as the refusal itself; there it is no secret
 * either, since anybody can find it out by asking. */
#include "ike/internal.h"

#define NOTIFY_HEADER 8 /* RFC 7296 section 3.10, without SPI */

void ike_takes_write(struct dt_ike_builder *b, const struct dt_proposals *list, size_t room)
{
    uint8_t data[DT_IKE_TAKES_MAX];
    if (room <= NOTIFY_HEADER)
        return;
    room -= NOTIFY_HEADER;
    size_t len = dt_ike_takes_write(data, room < sizeof(data) ? room : sizeof(data), list);
    if (len)
        ike_write_notify(b, DT_N_DOVETAIL_TAKES, dt_span(data, len));
}

void ike_takes_answer(struct ike_sa *sa, const struct ike_msg *m, const struct dt_proposals *list)
{
    struct dt_ike_builder b;
    if (sa->state == SA_DEAD)
        return;
    ike_sk_begin(sa, &b, m->h.exchange, true);
    ike_write_notify(&b, DT_N_NO_PROPOSAL_CHOSEN, dt_span(NULL, 0));
    ike_takes_write(&b, list, DT_IKE_TAKES_MAX);
    if (!ike_response_set(sa, sa->session->ike->scratch, ike_sk_end(sa, &b)))
        ike_response_send(sa, m->path, 0);
}

void ike_takes_explain(struct dt_err *err, const char *who, const char *what,
                       const struct dt_proposals *offered, unsigned flags, const struct dt_ike_payloads *in)
{
    struct dt_ike_notify_payload n;
    struct dt_proposals takes;
    struct dt_proposal chosen;
    bool more;
    uint8_t protocol = offered->n ? offered->v[0].protocol : 0;
    char ours[200], theirs[200];
    dt_proposals_str(ours, sizeof(ours), offered);
    if (!ike_find_notify(in, DT_N_DOVETAIL_TAKES, &n) ||
        dt_ike_takes_read(&takes, &more, protocol, n.data) != 0)
        dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN,
                   "%s answers NO_PROPOSAL_CHOSEN%s; we offered %s; it did not say what it takes", who, what,
                   ours);
    else if (protocol == DT_PROTO_ESP && dt_proposals_choose(&chosen, &takes, offered, 0, flags))
        dt_err_set(
            err, DT_N_NO_PROPOSAL_CHOSEN,
            "%s answers NO_PROPOSAL_CHOSEN%s, and takes what we offered (%s): it must be the mode, transport "
            "or tunnel",
            who, what, ours);
    else
        dt_err_set(err, DT_N_NO_PROPOSAL_CHOSEN,
                   "%s answers NO_PROPOSAL_CHOSEN%s; we offered %s; it takes %s%s", who, what, ours,
                   dt_proposals_str(theirs, sizeof(theirs), &takes), more ? ", and more" : "");
}
