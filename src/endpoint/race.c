/* encap = auto (DESIGN section 4, after RFC 8305): ESP has a head start; when its probes are not answered by then, a
 * second session tries UDP beside it, and the one whose epoch is verified first stays. What won is remembered for
 * the network, so that next time it goes first. A second session is also the way out when the peer seems to have
 * forgotten the first (its unproved hint ends nothing). */
#include "endpoint/inside.h"

#include <stdio.h>
#include <string.h>

#define REMEMBER (24 * 3600 * DT_SEC) /* networks change */

static struct network *race_find(const struct dt_endpoint *ep, const struct dt_path *path)
{
    dt_list_for_each (n, &ep->networks) {
        struct network *w = DT_CONTAINER_OF(n, struct network, list);
        if (dt_addr_eq(&w->local, &path->local.addr) && dt_addr_eq(&w->gateway, &path->remote.addr))
            return w;
    }
    return NULL;
}

bool ep_race_first_udp(struct tunnel *t, const struct dt_path *path)
{
    const struct network *w = race_find(t->ep, path);
    return w && w->udp && dt_time_add(w->since, REMEMBER) > t->ep->now;
}

/* True when this is news. */
static bool race_remember(struct dt_endpoint *ep, const struct dt_path *path, bool udp, dt_time now)
{
    struct network *w = race_find(ep, path);
    bool news = !w || w->udp != udp;
    if (!w && ep->nnetworks >= ep->limits.networks_max && !dt_list_empty(&ep->networks)) {
        w = DT_CONTAINER_OF(ep->networks.next, struct network, list); /* the one not used for longest */
    } else if (!w) {
        w = ep_alloc(ep, sizeof(*w));
        if (!w)
            return news;
        dt_list_init(&w->list);
        ep->nnetworks++;
    }
    dt_list_del(&w->list);
    dt_list_add_tail(&ep->networks, &w->list);
    w->local = path->local.addr;
    w->gateway = path->remote.addr;
    w->udp = udp;
    w->since = now;
    return news;
}

static dt_time round_trip(const struct link *l)
{
    if (!l || !l->s)
        return 0;
    struct dt_ike_session_info info;
    dt_ike_session_info(l->s, &info);
    return info.rtt;
}

void ep_race_watch(struct tunnel *t, dt_time now)
{
    struct client *c = t->c;
    struct race *r = &c->race;
    uint8_t stage = 0;
    if (c->e.started && c->cfg.encap == DT_ENCAP_AUTO && !r->beside && c->link && !c->link->own_port) {
        bool probing = false;
        for (unsigned i = 0; i < DT_EPOCH_MAX; i++)
            probing |= c->e.e[i].phase == DT_EPOCH_PROBING;
        if (c->e.session == DT_EPOCH_OPENING && !c->link->up)
            stage = 1;
        else if (probing && (!dt_epoch_client_verified(&c->e) || c->e.unverified))
            stage = 2;
    }
    if (stage == r->stage)
        return;
    r->stage = stage;
    r->at = DT_NEVER;
    if (stage == 0 || r->done)
        return;
    dt_time head = t->ep->limits.head_start, rtt = round_trip(c->link);
    if (stage == 1)
        head *= 3; /* how far away the peer is, is not known yet */
    else if (2 * rtt > head)
        head = 2 * rtt;
    r->at = dt_time_add(now, head);
}

void ep_race_due(struct tunnel *t, dt_time now)
{
    struct client *c = t->c;
    struct race *r = &c->race;
    uint8_t stage = r->stage;
    r->at = DT_NEVER;
    r->done = true;
    if (!c->link || r->beside)
        return;
    bool udp = !c->link->udp;
    r->since = now;
    r->suspect = false;
    ep_event(t->ep, t, now, DT_EVENT_ENCAP_TRY, "%s %s: trying %s beside it", c->link->udp ? "UDP" : "ESP",
             stage == 1 ? "session is not answered" : "probes are not answered", udp ? "UDP" : "ESP");
    ep_client_open(t, now, udp, true);
}

/* A session that lost: its epochs are not probed any more. */
void ep_race_end(struct tunnel *t, dt_time now, struct link *loser, bool polite)
{
    struct client *c = t->c;
    uint32_t lost[DT_EPOCH_MAX];
    unsigned n = 0;
    dt_list_for_each (node, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(node, struct sa, list);
        if (sa->link == loser && !sa->linger && n < DT_EPOCH_MAX)
            lost[n++] = sa->epoch;
    }
    ep_link_close(loser, now, polite);
    for (unsigned i = 0; i < n; i++) {
        dt_epoch_client_retire(&c->e, now, lost[i], false);
        dt_epoch_client_deleted(&c->e, now, lost[i]);
    }
}

void ep_race_won(struct tunnel *t, dt_time now, struct link *winner)
{
    struct dt_endpoint *ep = t->ep;
    struct client *c = t->c;
    struct race *r = &c->race;
    struct link *loser = winner == c->link ? r->beside : c->link;
    bool suspect = r->suspect;
    if (loser == winner)
        loser = NULL;
    c->link = winner;
    r->beside = NULL;
    if (c->cfg.encap == DT_ENCAP_AUTO && !suspect && !winner->own_port) {
        const struct dt_path *path = dt_ike_session_path(winner->s);
        bool news = race_remember(ep, path, winner->udp, now);
        if (loser)
            ep_event(ep, t, now, DT_EVENT_ENCAP_CHOSEN,
                     "%s is kept: verified %.3f s after %s was tried beside it", winner->udp ? "UDP" : "ESP",
                     dt_time_seconds(dt_time_sub(now, r->since)),
                     (loser->order > winner->order ? loser : winner)->udp ? "UDP" : "ESP");
        else if (news)
            ep_event(ep, t, now, DT_EVENT_ENCAP_CHOSEN, "%s it is: verified within its head start",
                     winner->udp ? "UDP" : "ESP");
    }
    if (loser)
        ep_race_end(t, now, loser, !suspect);
    *r = (struct race){.at = DT_NEVER};
}
