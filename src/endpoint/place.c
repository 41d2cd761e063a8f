/* One identity, one place. A machine that moves, or races two sessions, is one installation (DT_N_DOVETAIL_PLACE); a second
 * machine with the same file is another. Of two, the one that was started last has the identity: it takes it when it is
 * heard, and the other's session ends with the reason. Whoever has lost asks again politely, and is refused while the
 * other lives, so that nothing flaps. Of peers that do not say which installation they are, two live sessions from
 * different addresses are two machines; the newer one has it, and others wait while it lives. */
#include "endpoint/inside.h"

#include <string.h>

#define CONTESTED (3600 * DT_SEC) /* so long peers without an installation wait for each other */
#define TOLD      (60 * DT_SEC)   /* the same two machines make an event at most so often */
#define YIELDS    1u              /* flag of DT_N_DOVETAIL_PLACE */

static bool other_place(const struct link *a, const struct link *b)
{
    return a->has_place && b->has_place && memcmp(a->place, b->place, sizeof(a->place)) != 0;
}

static const struct dt_addrport *remote_of(const struct link *l)
{
    return &dt_ike_session_path(l->s)->remote;
}

static bool same_address(const struct link *a, const struct link *b)
{
    return dt_addr_eq(&remote_of(a)->addr, &remote_of(b)->addr);
}

static bool lives(const struct link *l, dt_time now)
{
    struct dt_ike_session_info info;
    if (!l->up || !l->s)
        return false;
    dt_ike_session_info(l->s, &info);
    dt_time last = info.heard;
    dt_list_for_each (n, &l->t->sas) {
        const struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        dt_time heard = sa->link == l ? ep_sa_last_heard(sa) : 0;
        last = heard > last ? heard : last;
    }
    return now < dt_time_add(last, dt_epoch_server_reap_after(&l->t->s->e));
}

/* Counted each time, told once a minute: to a gateway with the holder of the place, to a client (holder NULL) that it is another. */
static void note(struct tunnel *t, dt_time now, const struct dt_addrport *where,
                 const struct dt_addrport *holder)
{
    char a[DT_ADDRPORT_STRLEN], b[DT_ADDRPORT_STRLEN];
    bool news = t->elsewhere_at == 0 || now >= dt_time_add(t->elsewhere_at, TOLD) ||
                !dt_addrport_eq(&t->elsewhere, where);
    t->ep->count.elsewhere++;
    t->elsewhere = *where;
    if (!news)
        return;
    t->elsewhere_at = now;
    if (holder == NULL)
        ep_event(t->ep, t, now, DT_EVENT_ELSEWHERE,
                 "another machine is connected with the same identity, from %s, and has it now: give each "
                 "machine one "
                 "of its own; this one waits, and takes it back with `dovetail up`",
                 dt_addrport_str(a, where));
    else
        ep_event(
            t->ep, t, now, DT_EVENT_ELSEWHERE,
            "two machines come with this identity: %s has it, %s has not; give each machine one of its own",
            dt_addrport_str(b, holder), dt_addrport_str(a, where));
}

/* ---- the server ---- */

void ep_place_says(struct link *l, const struct dt_ike_notify *n)
{
    if (n->len < sizeof(l->place) + 1)
        return;
    memcpy(l->place, n->data, sizeof(l->place));
    l->has_place = true;
    l->yields = n->data[sizeof(l->place)] & YIELDS;
}

bool ep_place_replaces(const struct link *l, const struct link *old)
{
    if (!l || !old || !l->s || !old->s)
        return true;
    if (l->has_place && old->has_place)
        return !other_place(l, old);
    return same_address(l, old); /* else it is asked whether it lives, when the new one was heard */
}

int ep_place_admit(struct tunnel *t, struct link *l, dt_time now, struct dt_err *err)
{
    char a[DT_ADDRPORT_STRLEN];
    if (ep_link_has_child(l))
        return 0;
    dt_list_for_each (n, &t->links) {
        const struct link *m = DT_CONTAINER_OF(n, struct link, node);
        bool waits = (l->yields && other_place(l, m)) ||
                     (!l->has_place && now < t->s->contested && ep_link_has_child(m) && !same_address(l, m));
        if (m == l || !waits || !lives(m, now))
            continue;
        note(t, now, remote_of(l), remote_of(m));
        dt_err_set(err, DT_N_NO_ADDITIONAL_SAS, "another machine is connected with this identity, from %s",
                   dt_addrport_str(a, remote_of(m)));
        err->why = DT_WHY_ELSEWHERE;
        err->where = *remote_of(m);
        return -1;
    }
    return 0;
}

/* Its session ends with the reason, and its SAs at once: it is to see that it has the lease no more. */
static void expel(struct link *m, const struct link *winner, dt_time now)
{
    struct tunnel *t = m->t;
    struct dt_endpoint *ep = t->ep;
    uint64_t lost[DT_EPOCH_MAX];
    unsigned n = 0;
    note(t, now, remote_of(m), remote_of(winner));
    dt_list_for_each (node, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(node, struct sa, list);
        if (sa->link == m && n < DT_EPOCH_MAX)
            lost[n++] = sa->id;
    }
    if (m->peer_probes || m->has_place)
        dt_ike_session_close_why(m->s, DT_WHY_ELSEWHERE, remote_of(winner));
    ep_link_close(m, now, true);
    for (unsigned i = 0; i < n; i++) {
        struct sa *sa = ep_sa_find(ep, lost[i]);
        if (sa && !sa->linger)
            dt_epoch_server_peer_deleted(&t->s->e, now, sa->epoch);
        if ((sa = ep_sa_find(ep, lost[i])))
            ep_sa_remove(sa, now);
    }
}

void ep_place_heard(struct link *l, dt_time now)
{
    dt_list_for_each_safe (n, &l->t->links) {
        struct link *m = DT_CONTAINER_OF(n, struct link, node);
        if (m != l && m->s && other_place(l, m))
            expel(m, l, now);
    }
}

void ep_place_alive(struct link *m, dt_time now)
{
    struct tunnel *t = m->t;
    const struct link *winner = NULL;
    dt_list_for_each (n, &t->links) {
        const struct link *l = DT_CONTAINER_OF(n, struct link, node);
        if (l->order > m->order && l->spoke && l->s && !same_address(l, m))
            winner = l;
    }
    if (!m->overtaken || !winner)
        return;
    t->s->contested = dt_time_add(now, CONTESTED);
    expel(m, winner, now);
    ep_settle(t, now);
}

/* ---- the client ---- */

size_t ep_place_tell(const struct link *l, struct dt_ike_notify *v)
{
    const struct dt_endpoint *ep = l->t->ep;
    static const uint8_t none[DT_INSTALLATION_LEN];
    if (memcmp(ep->installation, none, sizeof(none)) == 0)
        return 0;
    *v = (struct dt_ike_notify){.type = DT_N_DOVETAIL_PLACE, .len = sizeof(ep->installation) + 1};
    memcpy(v->data, ep->installation, sizeof(ep->installation));
    v->data[sizeof(ep->installation)] = l->t->c->lost ? YIELDS : 0;
    return 1;
}

bool ep_place_lost(struct tunnel *t, dt_time now, const struct dt_err *why)
{
    if (!why || why->why != DT_WHY_ELSEWHERE)
        return false;
    t->c->lost = true;
    note(t, now, &why->where, NULL);
    return true;
}

void dt_endpoint_installation(struct dt_endpoint *ep, const uint8_t id[DT_INSTALLATION_LEN])
{
    memcpy(ep->installation, id, sizeof(ep->installation));
}

void dt_endpoint_claim(struct dt_endpoint *ep, dt_time now, uint32_t tunnel)
{
    EP_CALL(ep, now);
    struct tunnel *t = ep_tunnel(ep, tunnel);
    if (t && t->is_client)
        t->c->lost = false;
}
