/* A client's tunnel: its engine's wishes, and what IKE reports of its sessions. */
#include "endpoint/inside.h"

#include <stdio.h>
#include <string.h>

/* ---- what the engine asks ---- */

static struct conf *conf_of(struct tunnel *t, bool udp)
{
    struct client *c = t->c;
    if (!c->conf[udp]) {
        c->conf[udp] = ep_conf_new(t->ep);
        if (c->conf[udp])
            ep_conf_client(c->conf[udp], &c->cfg, udp);
    }
    return c->conf[udp];
}

/* The gateway's addresses one after the other, then the next local path. */
static bool choose_path(struct tunnel *t, struct dt_path *path)
{
    struct dt_endpoint *ep = t->ep;
    const struct dt_tunnel_cfg *cfg = &t->c->cfg;
    unsigned round = t->c->place / cfg->ngateways;
    memset(path, 0, sizeof(*path));
    path->remote.addr = cfg->gateways[t->c->place % cfg->ngateways];
    for (unsigned i = 0; i < cfg->nlocals; i++) {
        const struct dt_addr *a = &cfg->locals[(round + i) % cfg->nlocals];
        if (a->ver == path->remote.addr.ver) {
            path->local.addr = *a;
            return true;
        }
    }
    return ep->ops.local_addr && ep->ops.local_addr(ep->user, t->id, &path->remote.addr, &path->local.addr) &&
           path->local.addr.ver == path->remote.addr.ver;
}

/* Where the gateway has a port of its own, else 0. */
static uint16_t own_port(const struct tunnel *t)
{
    const struct dt_tunnel_cfg *cfg = &t->c->cfg;
    uint16_t port = cfg->ports[t->c->place % cfg->ngateways];
    return port == DT_PORT_IKE ? 0 : port;
}

/* UDP encapsulation ends on port 4500 anyway: begin there (RFC 7296 section 2.23); every other time on 500, for peers that
 * insist. */
static void choose_ports(const struct tunnel *t, struct dt_path *path, bool udp, bool beside)
{
    const struct dt_ike_params *p = &t->ep->params;
    uint16_t own = own_port(t);
    path->natt = own != 0 || (udp && (beside || t->c->e.opens % 2 == 1));
    path->local.port = path->natt ? p->port_natt : p->port_ike;
    path->remote.port = own != 0 ? own : path->local.port;
}

bool ep_client_open(struct tunnel *t, dt_time now, bool udp, bool beside)
{
    struct dt_endpoint *ep = t->ep;
    struct client *c = t->c;
    struct dt_err err = {0};
    struct dt_path path;
    char text[DT_ADDR_STRLEN];
    if (!choose_path(t, &path)) {
        dt_err_set(&err, 0, "no local address leads to %s", dt_addr_str(text, &path.remote.addr));
        ep_why(t, &err);
        return false;
    }
    if (own_port(t) != 0)
        udp = true;
    else if (!beside && c->cfg.encap == DT_ENCAP_AUTO)
        udp = ep_race_first_udp(t, &path);
    struct conf *conf = conf_of(t, udp);
    if (!conf)
        return false;
    if (c->cfg.transport && c->cfg.local.n == 0) {
        struct dt_selector own = dt_selector_addr(&path.local.addr);
        memset(&conf->ike.local_ts, 0, sizeof(conf->ike.local_ts));
        dt_selectors_add(&conf->ike.local_ts, &own);
    }
    choose_ports(t, &path, udp, beside);
    struct link *l = ep_link_new(t, conf);
    if (!l)
        return false;
    l->udp = udp;
    l->own_port = own_port(t) != 0;
    /* For the first one since the tunnel was started: the server may have sessions of a life before. Later ones leave
     * the old epochs alone, which carry data meanwhile; and two that race must not end each other. The server finds out
     * by itself which sessions are dead. */
    conf->ike.initial_contact = !c->contacted && !beside && c->cfg.encap != DT_ENCAP_AUTO;
    l->s = dt_ike_open(ep->ike, now, &conf->ike, &path, l, &err);
    if (!l->s) {
        ep_link_gone(l);
        ep_why(t, &err);
        return false;
    }
    t->path = path;
    if (beside)
        c->race.beside = l;
    else
        c->link = l;
    return true;
}

/* All but the one that is parting. */
static void close_links(struct tunnel *t, dt_time now, bool polite)
{
    dt_list_for_each_safe (n, &t->links) {
        struct link *l = DT_CONTAINER_OF(n, struct link, node);
        if (l != t->c->parting)
            ep_link_close(l, now, polite);
    }
}

static bool carries_data(const struct tunnel *t, const struct link *l)
{
    const struct sa *sa = ep_sa_of_epoch(t, t->c->e.out);
    return sa && sa->link == l;
}

static void part_when_replaced(struct tunnel *t, dt_time now)
{
    struct client *c = t->c;
    if (c->parting && !carries_data(t, c->parting))
        ep_link_close(c->parting, now, true);
}

static bool op_open(void *user, dt_time now, uint32_t attempt)
{
    struct tunnel *t = user;
    close_links(t, now, false);
    t->c->race = (struct race){.at = DT_NEVER};
    if (ep_client_open(t, now, t->c->cfg.encap == DT_ENCAP_UDP, false))
        return true;
    t->c->place++;
    return false;
}

/* A DELETE of the session would take the epoch that carries data with it: that session parts later. */
static void op_drop(void *user, dt_time now, bool polite)
{
    struct tunnel *t = user;
    struct client *c = t->c;
    struct link *l = c->link;
    if (polite && l && l->up && carries_data(t, l)) {
        if (c->parting)
            ep_link_close(c->parting, now, true);
        c->parting = l;
        c->link = NULL;
    }
    close_links(t, now, polite);
    if (!t->c->keep_place)
        t->c->place++;
    t->c->keep_place = false;
}

static bool client_negotiate(void *user, dt_time now, uint32_t old)
{
    struct tunnel *t = user;
    return ep_link_negotiate(t->c->link, t, now, old);
}

/* The request of an open session goes on (link.c); an opening that took too long is dropped. */
static void client_abandon(void *user, dt_time now)
{
}

static void op_probe(void *user, dt_time now, uint32_t epoch, uint16_t seq)
{
    ep_probe_send(user, now, epoch, seq);
}

static void client_liveness(void *user, dt_time now)
{
}

static void client_event(void *user, dt_time now, const struct dt_epoch_event *ev)
{
    struct tunnel *t = user;
    if (ev->kind == DT_EPOCH_VERIFIED) {
        t->c->won = ev->epoch;
        t->c->lost = false;
    }
    char at[DT_ADDRPORT_STRLEN];
    if (ev->kind == DT_EPOCH_VERIFIED || ev->kind == DT_EPOCH_SWITCHED)
        t->why[0] = 0;
    else if (ev->kind == DT_EPOCH_TIMEOUT)
        snprintf(t->why, sizeof(t->why), "no answer from %s within timeout, %g s%s",
                 dt_addrport_str(at, &t->path.remote), dt_time_seconds(t->c->e.p.timeout),
                 t->c->e.session != DT_EPOCH_OPENING ? ""
                 : own_port(t) != 0
                     ? ": does a gateway listen there for IKE as at 4500, and does UDP reach it?"
                     : ": does a gateway listen there, and do UDP 500 and 4500 reach it?");
    else if (ev->kind == DT_EPOCH_UNANSWERED || ev->kind == DT_EPOCH_IDLE_DEAD ||
             ev->kind == DT_EPOCH_PEER_DELETED || ev->kind == DT_EPOCH_EXPIRED)
        dt_epoch_event_text(t->why, sizeof(t->why), ev, true);
    else if (ev->kind == DT_EPOCH_SESSION_DROPPED && !t->why[0])
        snprintf(t->why, sizeof(t->why), "the gateway does not answer");
    ep_epoch_event(t, now, ev);
}

const struct dt_epoch_ops ep_client_ops = {
    .open_session = op_open,
    .drop_session = op_drop,
    .negotiate = client_negotiate,
    .abandon = client_abandon,
    .probe = op_probe,
    .use = ep_op_use,
    .del = ep_op_del,
    .gone = ep_op_gone,
    .liveness = client_liveness,
    .last_heard = ep_op_last_heard,
    .event = client_event,
};

/* ---- what IKE reports ---- */

/* After a new epoch is there: the inside addresses that its session was given are the tunnel's, and news if they were
 * not before. */
static void say_inside(struct tunnel *t, const struct dt_ike_inside *before, dt_time now)
{
    char a4[DT_ADDR_STRLEN], a6[DT_ADDR_STRLEN];
    if (memcmp(before, &t->inside, sizeof(*before)) != 0 && (t->inside.addr4.ver || t->inside.addr6.ver))
        ep_event(t->ep, t, now, DT_EVENT_LEASED, "inside addresses: %s, %s",
                 dt_addr_str(a4, &t->inside.addr4), dt_addr_str(a6, &t->inside.addr6));
}

void ep_client_session_up(struct link *l, dt_time now)
{
    struct tunnel *t = l->t;
    struct client *c = t->c;
    char at[DT_ADDRPORT_STRLEN], id[DT_IKE_ID_STRLEN];
    l->up = true;
    c->contacted = true;
    t->path = *dt_ike_session_path(l->s);
    ep_event(t->ep, t, now, DT_EVENT_SESSION_UP, "a session with %s at %s is up%s",
             dt_ike_id_str(id, dt_ike_session_remote_id(l->s)), dt_addrport_str(at, &t->path.remote),
             l->udp ? ", for ESP in UDP" : "");
    ep_link_keep(l, now);
    if (l == c->race.beside && c->race.suspect) {
        /* The peer has proved who it is, in a new session; its hint that it forgot the old one was true. */
        struct link *old = c->link;
        c->race = (struct race){.at = DT_NEVER};
        c->link = l;
        if (old)
            ep_link_close(old, now, false);
    } else if (l != c->link &&
               c->e.session == DT_EPOCH_OPENING) { /* the second came first: it is the session now */
        c->race.beside = c->link;
        c->link = l;
    }
    if (l == c->link)
        dt_epoch_client_session_up(&c->e, now);
    ep_settle(t, now);
}

static void say_probe(struct tunnel *t, const struct sa *sa, dt_time now)
{
    static const char *const words[] = {
        [DT_PROBE_AGREED] = "which the peer, a Dovetail, answers in its data path",
        [DT_PROBE_CHOSEN] = "as configured",
        [DT_PROBE_DNS] = "the inside DNS server",
        [DT_PROBE_TTL1] = "with hop limit 1: its time exceeded counts as the answer",
    };
    char a[DT_ADDR_STRLEN];
    if (sa->kind == DT_PROBE_NONE)
        ep_event(t->ep, t, now, DT_EVENT_PROBE_KIND,
                 "no control packet fits the traffic selectors: epochs are used unproved");
    else if (sa->kind == DT_PROBE_DUMMY)
        ep_event(t->ep, t, now, DT_EVENT_PROBE_KIND,
                 "control packets are dummy packets, which the peer, a Dovetail, answers in its data path");
    else
        ep_event(t->ep, t, now, DT_EVENT_PROBE_KIND, "control packets go to %s, %s",
                 dt_addr_str(a, &sa->probe_dst), words[sa->kind]);
}

void ep_client_child_up(struct link *l, dt_time now, struct dt_ike_child *child, const struct dt_child_sa *in)
{
    struct tunnel *t = l->t;
    struct client *c = t->c;
    struct dt_err err = {0};
    struct dt_ike_inside before = t->inside;
    bool ours = in->initiator;
    if (l->asked == child)
        l->asked = NULL;
    struct sa *sa = ep_sa_install(t, l, now, child, in, &err);
    if (!sa) {
        ep_why(t, &err);
        ep_event(t->ep, t, now, DT_EVENT_LIMIT, "the SA cannot be installed: %s", err.text);
        dt_ike_child_delete(child, now);
        if (l == c->link && ours)
            dt_epoch_client_failed(&c->e, now);
        ep_settle(t, now);
        return;
    }
    say_inside(t, &before, now);
    bool can = ep_probe_choose(sa, t, l, in);
    if (c->cfg.params.probe && c->unprobed == can) {
        struct dt_epoch_params p = c->cfg.params;
        c->unprobed = !can;
        p.probe = can;
        dt_epoch_client_params(&c->e, &p);
    }
    if (c->cfg.params.probe && sa->epoch == 1)
        say_probe(t, sa, now);
    c->e.peer_speaks = !l->peer_probes && can;
    dt_epoch_client_negotiated(&c->e, now, sa->epoch,
                               !ours          ? DT_EPOCH_BY_PEER
                               : l == c->link ? DT_EPOCH_ASKED
                                              : DT_EPOCH_BESIDE);
    ep_settle(t, now);
}

/* Addresses are asked for in IKE_AUTH alone: a session that has none though they are needed will never have a child. */
static bool lacks_address(const struct tunnel *t, const struct link *l)
{
    const struct dt_ike_inside *in = l->s ? dt_ike_session_inside(l->s) : NULL;
    bool wanted = t->c->cfg.inside4 || t->c->cfg.inside6;
    return wanted && in && !in->addr4.ver && !in->addr6.ver;
}

void ep_client_child_failed(struct link *l, dt_time now, struct dt_ike_child *child, const struct dt_err *err)
{
    struct tunnel *t = l->t;
    ep_why(t, err);
    if (l->asked == child)
        l->asked = NULL;
    bool hopeless = ep_place_lost(t, now, err) || lacks_address(t, l) || err->why != DT_WHY_NONE ||
                    err->notify == DT_N_INTERNAL_ADDRESS_FAILURE;
    if (l == t->c->link && hopeless) {
        ep_link_close(l, now, true);
        dt_epoch_client_hopeless(&t->c->e, now);
    } else if (l != t->c->link)
        ep_race_end(t, now, l, true);
    else if (err->notify == DT_N_TEMPORARY_FAILURE)
        dt_epoch_client_busy(&t->c->e, now);
    else if (err->notify == DT_N_CHILD_SA_NOT_FOUND)
        dt_epoch_client_not_found(&t->c->e, now);
    else
        dt_epoch_client_failed(&t->c->e, now);
    ep_settle(t, now);
}

void ep_client_child_down(struct link *l, dt_time now, struct sa *sa, enum dt_ike_down why)
{
    struct tunnel *t = sa->t;
    sa->child = NULL;
    if (why == DT_DOWN_PEER || why == DT_DOWN_GONE) {
        ep_sa_peer_deleted(sa);
        dt_epoch_client_peer_deleted(&t->c->e, now, sa->epoch);
    }
    ep_settle(t, now);
}

/* A session that a word ended takes its epochs with it. */
void ep_client_session_down(struct link *l, dt_time now, const struct ended *how)
{
    struct tunnel *t = l->t;
    struct client *c = t->c;
    const struct dt_err *why = how->why;
    bool ours = l == c->link;
    if (!how->silence)
        ep_sa_session_ended(l);
    uint32_t ended[DT_EPOCH_MAX];
    unsigned n = 0;
    dt_list_for_each (node, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(node, struct sa, list);
        if (sa->link == l && !how->silence && n < DT_EPOCH_MAX)
            ended[n++] = sa->epoch;
    }
    ep_why(t, why);
    ep_event(t->ep, t, now, DT_EVENT_SESSION_DOWN, "the session is over: %s",
             why && why->text[0] ? why->text
             : how->silence      ? "no answer"
                                 : "the peer ended it");
    ep_link_gone(l);
    if (ep_place_lost(t, now, why)) {
        if (ours && c->race.beside)
            ep_link_close(c->race.beside, now, true);
        if (ours)
            dt_epoch_client_hopeless(&c->e, now);
    } else if (ours && c->race.beside && c->race.beside->up) {
        c->link = c->race.beside;
        c->race.beside = NULL;
    } else if (ours) {
        if (c->race.beside)
            ep_link_close(c->race.beside, now, false);
        if (!how->was_up)
            c->place++;
        if (!how->was_up && why && why->notify)
            dt_epoch_client_failed(&c->e, now);
        else
            dt_epoch_client_session_lost(&c->e, now);
    }
    for (unsigned i = 0; i < n; i++)
        dt_epoch_client_peer_deleted(&c->e, now, ended[i]);
    ep_settle(t, now);
}

/* ---- after the engine has returned ---- */

static void bury_orphans(struct tunnel *t, dt_time now)
{
    struct client *c = t->c;
    for (unsigned i = 0; i < DT_EPOCH_MAX; i++) {
        const struct dt_epoch *e = &c->e.e[i];
        if (e->phase != DT_EPOCH_RETIRING || e->del_at != DT_NEVER)
            continue;
        const struct sa *sa = ep_sa_of_epoch(t, e->no);
        if (!sa || !sa->link) /* nobody will answer its DELETE */
            dt_epoch_client_deleted(&c->e, now, e->no);
    }
}

void ep_client_settle(struct tunnel *t, dt_time now)
{
    struct client *c = t->c;
    if (c->won) {
        const struct sa *sa = ep_sa_of_epoch(t, c->won);
        c->won = 0;
        if (sa && sa->link)
            ep_race_won(t, now, sa->link);
    }
    part_when_replaced(t, now);
    bury_orphans(t, now);
    ep_race_watch(t, now);
    bool verified = dt_epoch_client_verified(&c->e);
    bool up = verified || dt_epoch_client_unproved(&c->e);
    if (up != c->up || verified != c->verified) {
        c->up = up;
        c->verified = verified;
        if (verified)
            ep_event(t->ep, t, now, DT_EVENT_UP, "the tunnel is up");
        else if (up)
            ep_event(t->ep, t, now, DT_EVENT_UNPROVED, "the tunnel carries data unproved: %s",
                     dt_unproved_str(ep_client_unproved(c)));
        else
            ep_event(t->ep, t, now, DT_EVENT_DOWN, "the tunnel is down: %s",
                     t->why[0]      ? t->why
                     : c->e.started ? "no epoch is verified"
                                    : "closed");
    }
    ep_timer_set(t->ep, &t->timer, dt_time_min(dt_epoch_client_deadline(&c->e), c->race.at));
}

void ep_client_due(struct tunnel *t, dt_time now)
{
    if (t->c->race.at <= now)
        ep_race_due(t, now);
    if (dt_epoch_client_deadline(&t->c->e) <= now)
        dt_epoch_client_tick(&t->c->e, now);
    ep_settle(t, now);
}
