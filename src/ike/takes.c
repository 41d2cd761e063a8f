/* NO_PROPOSAL_CHOSEN and TS_UNACCEPTABLE say nothing of what would have been right. Between two Dovetails the refusing one adds
 * it, for people: nothing is ever decided by it. In IKE_SA_INIT, where no Vendor ID is sent, the notify's first four octets
 * tell whose it is, and it is as unproved as the refusal itself; there it is no secret either, since anybody can find it out by
 * asking. */
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

static void allows_write(struct dt_ike_builder *b, bool peers_side, const struct dt_selectors *list)
{
    uint8_t data[16 + 40 * DT_SELECTORS_MAX];
    size_t len = dt_ike_allows_write(data, sizeof(data), peers_side, list);
    if (len)
        ike_write_notify(b, DT_N_DOVETAIL_ALLOWS, dt_span(data, len));
}

const struct dt_ike_payloads *ike_takes_of(const struct dt_ike_session *s, const struct dt_ike_payloads *in)
{
    static const struct dt_ike_payloads nothing;
    return s->same_vendor ? in : &nothing;
}

void ike_why_write(struct dt_ike_builder *b, uint16_t why, const struct dt_addrport *where)
{
    uint8_t data[2 + 2 + 16];
    size_t len = dt_addr_size(&where->addr);
    if (why == DT_WHY_NONE)
        return;
    dt_put_be16(data, why);
    dt_put_be16(data + 2, where->port);
    memcpy(data + 4, where->addr.b, len);
    ike_write_notify(b, DT_N_DOVETAIL_WHY, dt_span(data, len ? 4 + len : 2));
}

uint16_t ike_why_read(const struct dt_ike_payloads *in, struct dt_addrport *where)
{
    struct dt_ike_notify_payload n;
    memset(where, 0, sizeof(*where));
    if (!ike_find_notify(in, DT_N_DOVETAIL_WHY, &n) || n.data.len < 2)
        return DT_WHY_NONE;
    if (n.data.len == 4 + 4)
        where->addr = dt_addr4_bytes(n.data.p + 4);
    else if (n.data.len == 4 + 16)
        where->addr = dt_addr6_bytes(n.data.p + 4);
    if (where->addr.ver)
        where->port = dt_get_be16(n.data.p + 2);
    return dt_get_be16(n.data.p);
}

int ike_why_explain(struct dt_err *err, uint16_t notify, const struct dt_ike_payloads *in)
{
    char text[16], at[DT_ADDRPORT_STRLEN];
    struct dt_addrport where;
    uint16_t why = ike_why_read(in, &where);
    if (why == DT_WHY_ELSEWHERE && where.addr.ver)
        dt_err_set(err, notify, "%s (it is at %s)", dt_why_str(why), dt_addrport_str(at, &where));
    else if (dt_why_str(why))
        dt_err_set(err, notify, "%s", dt_why_str(why));
    else if (notify == DT_N_INTERNAL_ADDRESS_FAILURE)
        dt_err_set(err, notify, "the gateway has no inside address for us (INTERNAL_ADDRESS_FAILURE)");
    else if (notify == DT_N_FAILED_CP_REQUIRED)
        dt_err_set(err, notify,
                   "the gateway serves only who asks for an inside address (FAILED_CP_REQUIRED)");
    else
        dt_err_set(err, notify, "the peer answers %s", ike_notify_text(notify, text));
    err->why = why;
    err->where = where;
    return -1;
}

void ike_takes_add(struct dt_ike_session *s, struct dt_ike_builder *b, uint16_t refusal)
{
    if (!s->same_vendor)
        return;
    if (refusal == DT_N_NO_PROPOSAL_CHOSEN)
        ike_takes_write(b, &s->cfg->esp, DT_IKE_TAKES_MAX);
    if (refusal != DT_N_TS_UNACCEPTABLE)
        return;
    struct dt_selectors local, remote;
    ike_offer_sides(s, &local, &remote);
    allows_write(b, false, &local);
    bool leases_alone = s->cfg->lease && remote.n == (s->inside.addr4.ver != 0) + (s->inside.addr6.ver != 0);
    if (!leases_alone) /* its address is no news to it */
        allows_write(b, true, &remote);
}

void ike_takes_answer(struct ike_sa *sa, const struct ike_msg *m, uint16_t refusal,
                      const struct dt_proposals *list)
{
    struct dt_ike_builder b;
    if (sa->state == SA_DEAD)
        return;
    ike_sk_begin(sa, &b, m->h.exchange, true);
    ike_write_notify(&b, refusal, dt_span(NULL, 0));
    if (sa->session->same_vendor && m->h.exchange == DT_IKE_AUTH)
        ike_auth_vendor_write(sa->session, &b);
    if (list && sa->session->same_vendor)
        ike_takes_write(&b, list, DT_IKE_TAKES_MAX);
    else if (!list)
        ike_takes_add(sa->session, &b, refusal);
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

void ike_takes_explain_ts(struct dt_err *err, const struct dt_ike_session *s,
                          const struct dt_ike_payloads *in)
{
    char asked[120], ours[120], its[120] = "", mine[120] = "";
    for (size_t i = 0; s->same_vendor && i < in->n; i++) {
        struct dt_ike_notify_payload n;
        struct dt_selectors list;
        bool our_side;
        if (in->v[i].type == DT_P_NOTIFY && !dt_ike_notify_read(&n, in->v[i].body) &&
            n.type == DT_N_DOVETAIL_ALLOWS && !dt_ike_allows_read(&list, &our_side, n.data))
            dt_selectors_str(our_side ? mine : its, sizeof(its), &list);
    }
    dt_err_set(err, DT_N_TS_UNACCEPTABLE,
               "the peer answers TS_UNACCEPTABLE; we asked for %s%s%s; it %s%s%s%s",
               mine[0] ? dt_selectors_str(ours, sizeof(ours), &s->cfg->local_ts) : "", mine[0] ? " === " : "",
               dt_selectors_str(asked, sizeof(asked), &s->cfg->remote_ts),
               its[0] ? "allows " : "did not say what it allows", mine, mine[0] ? " === " : "", its);
}
