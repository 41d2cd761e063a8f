/* SAs as the data path knows them: one pair for each epoch, from child_up until its epoch is gone and it has lingered. */
#include "endpoint/inside.h"

#include <string.h>

static uint64_t sa_hash(uint64_t id)
{
    return id * 0x9e3779b97f4a7c15u;
}

struct sa *ep_sa_find(const struct dt_endpoint *ep, uint64_t id)
{
    for (struct dt_table_node *n = dt_table_first(&ep->sa_table, sa_hash(id)); n; n = dt_table_next(n)) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, node);
        if (sa->id == id)
            return sa;
    }
    return NULL;
}

struct sa *ep_sa_of_epoch(const struct tunnel *t, uint32_t epoch)
{
    dt_list_for_each (n, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->epoch == epoch && !sa->linger)
            return sa;
    }
    return NULL;
}

struct sa *ep_sa_of_child(const struct tunnel *t, const struct dt_ike_child *child)
{
    dt_list_for_each (n, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->child == child && !sa->linger)
            return sa;
    }
    return NULL;
}

static void drop(struct sa *sa)
{
    struct dt_endpoint *ep = sa->ep;
    ep_timer_set(ep, &sa->timer, DT_NEVER);
    dt_heap_unreserve(&ep->heap, 1);
    dt_table_remove(&ep->sa_table, &sa->node);
    dt_list_del(&sa->list);
    ep->count.sas--;
    ep_free(ep, sa, sizeof(*sa));
}

/* The epoch's SA, known to nobody else yet. NULL: no memory. */
static struct sa *sa_build(struct tunnel *t, struct link *l, dt_time now, struct dt_ike_child *child,
                           const struct dt_child_sa *in)
{
    struct dt_endpoint *ep = t->ep;
    struct sa *sa = ep_alloc(ep, sizeof(*sa));
    if (sa && dt_heap_reserve(&ep->heap, 1)) { /* for the end of its lingering */
        ep_free(ep, sa, sizeof(*sa));
        sa = NULL;
    }
    if (!sa)
        return NULL;
    sa->ep = ep;
    sa->id = ++ep->next_sa;
    sa->t = t;
    sa->link = l;
    sa->child = child;
    sa->epoch = t->next_epoch + 1;
    sa->spi_in = in->spi_in;
    sa->spi_out = in->spi_out;
    sa->suite = in->suite;
    sa->esn = in->esn;
    sa->transport = in->transport;
    sa->path = in->path;
    sa->since = now;
    dt_list_init(&sa->list);
    ep_timer_init(&sa->timer, TIMER_SA);
    if (dt_table_insert(&ep->sa_table, &sa->node, sa_hash(sa->id))) {
        dt_heap_unreserve(&ep->heap, 1);
        ep_free(ep, sa, sizeof(*sa));
        return NULL;
    }
    ep->count.sas++;
    return sa;
}

/* Where we answer the peer's control packets; ver 0: not. Nobody but a Dovetail that follows version 1 of the rule asks there, and
 * the address may be a host's behind us: for everybody else that host answers, or nobody. */
static void answer_addrs(const struct sa *sa, const struct dt_child_sa *in, struct dt_addr *four,
                         struct dt_addr *six)
{
    memset(four, 0, sizeof(*four));
    memset(six, 0, sizeof(*six));
    if (ep_answers_probes(sa->t) && sa->link->peer_probes == DT_PROBE_RULE_ADDRESS) {
        dt_endpoint_probe_addr(four, &in->local_ts, 4);
        dt_endpoint_probe_addr(six, &in->local_ts, 6);
    }
}

/* In the data path, or not at all. */
static int sa_to_data_path(const struct sa *sa, dt_time now, const struct dt_child_sa *in, struct dt_err *err)
{
    const struct tunnel *t = sa->t;
    struct dt_endpoint_sa out = {
        .sa = sa->id,
        .tunnel = t->id,
        .epoch = sa->epoch,
        .client = t->is_client,
        .spi_in = in->spi_in,
        .spi_out = in->spi_out,
        .suite = in->suite,
        .esn = in->esn,
        .transport = in->transport,
        .key_len = in->key_len,
        .key_in = in->key_in,
        .key_out = in->key_out,
        .local_ts = in->local_ts,
        .remote_ts = in->remote_ts,
        .path = in->path,
        .answer_dummy = ep_answers_probes(t) && t->ep->limits.probe_rule >= DT_PROBE_RULE_DUMMY,
    };
    answer_addrs(sa, in, &out.answer4, &out.answer6);
    return t->ep->ops.sa_install(t->ep->user, now, &out, err);
}

/* A client's session was given what its epoch's packets come from. True: it is news. */
static bool take_inside(const struct sa *sa)
{
    struct tunnel *t = sa->t;
    if (!t->is_client)
        return false;
    const struct dt_ike_inside *in = dt_ike_session_inside(sa->link->s);
    if (memcmp(in, &t->inside, sizeof(*in)) == 0)
        return false;
    ep_insides_set(t, in);
    return true;
}

/* It is the tunnel's newest epoch now. True: its selectors are news. */
static bool sa_commit(struct sa *sa, const struct dt_child_sa *in)
{
    struct tunnel *t = sa->t;
    bool news =
        !dt_selectors_eq(&t->local_ts, &in->local_ts) || !dt_selectors_eq(&t->remote_ts, &in->remote_ts);
    dt_list_add_tail(&t->sas, &sa->list);
    t->next_epoch = sa->epoch;
    t->path = in->path;
    t->local_ts = in->local_ts;
    t->remote_ts = in->remote_ts;
    answer_addrs(sa, in, &t->answer4, &t->answer6);
    ep_authority_took(t);
    return take_inside(sa) || news;
}

/* Build, install, commit, publish, in this order; the child was admitted before it was agreed (authority.c). What fails
 * leaves nothing behind. */
struct sa *ep_sa_install(struct tunnel *t, struct link *l, dt_time now, struct dt_ike_child *child,
                         const struct dt_child_sa *in, struct dt_err *err)
{
    struct dt_endpoint *ep = t->ep;
    struct sa *sa = sa_build(t, l, now, child, in);
    if (!sa) {
        dt_err_set(err, 0, "no memory for an SA");
        return NULL;
    }
    if (sa_to_data_path(sa, now, in, err)) {
        drop(sa);
        return NULL;
    }
    if (sa_commit(sa, in) && ep->ops.tunnel)
        ep->ops.tunnel(ep->user, now, t->id, false);
    return sa;
}

void ep_sa_remove(struct sa *sa, dt_time now)
{
    struct dt_endpoint *ep = sa->ep;
    uint64_t id = sa->id;
    drop(sa);
    ep->ops.sa_remove(ep->user, now, id);
}

static bool has_newer(const struct sa *sa)
{
    dt_list_for_each (n, &sa->t->sas) {
        const struct sa *other = DT_CONTAINER_OF(n, struct sa, list);
        if (other->epoch > sa->epoch && !other->linger && !other->closed)
            return true;
    }
    return false;
}

void ep_sa_peer_deleted(struct sa *sa)
{
    sa->closed = sa->closed || !has_newer(sa);
}

void ep_sa_session_ended(const struct link *l)
{
    dt_list_for_each (n, &l->t->sas) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->link == l)
            sa->closed = true;
    }
}

/* However fast a peer makes and deletes epochs: no more of a tunnel's SAs linger than it may have epochs. */
static void lingering_oldest_remove(struct tunnel *t, dt_time now)
{
    struct sa *oldest = NULL;
    unsigned lingering = 0;
    dt_list_for_each (n, &t->sas) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->linger && lingering++ == 0)
            oldest = sa;
    }
    if (lingering > DT_EPOCH_MAX)
        ep_sa_remove(oldest, now);
}

void ep_sa_gone(struct tunnel *t, uint32_t epoch, dt_time now)
{
    struct dt_endpoint *ep = t->ep;
    struct sa *sa = ep_sa_of_epoch(t, epoch);
    if (!sa)
        return;
    struct dt_ike_child *child = sa->child;
    struct link *l = sa->link;
    sa->child = NULL;
    if (child && l && l->up)
        dt_ike_child_delete(child, now); /* it expired, or was pushed out */
    sa->link = NULL;
    sa->linger = true;
    if (!t->is_client && l)
        ep_link_childless(l, now);
    if (t->dying || sa->closed || ep->limits.linger == 0) {
        ep_sa_remove(sa, now);
        return;
    }
    ep_timer_set(ep, &sa->timer, dt_time_add(now, ep->limits.linger));
    lingering_oldest_remove(t, now);
}

void ep_sa_move(struct link *l, dt_time now, const struct dt_path *path)
{
    struct dt_endpoint *ep = l->t->ep;
    dt_list_for_each (n, &l->t->sas) {
        struct sa *sa = DT_CONTAINER_OF(n, struct sa, list);
        if (sa->link != l || dt_path_eq(&sa->path, path))
            continue;
        sa->path = *path;
        if (ep->ops.sa_path)
            ep->ops.sa_path(ep->user, now, sa->id, path);
    }
    l->t->path = *path;
}

dt_time ep_sa_last_heard(const struct sa *sa)
{
    const struct dt_endpoint *ep = sa->ep;
    return ep->ops.last_heard ? ep->ops.last_heard(ep->user, sa->id) : 0;
}

/* ---- what both epoch engines ask of it ---- */

void ep_op_use(void *user, dt_time now, uint32_t epoch, bool forced)
{
    struct tunnel *t = user;
    struct dt_endpoint *ep = t->ep;
    const struct sa *sa = ep_sa_of_epoch(t, epoch);
    ep->ops.outbound(ep->user, now, t->id, sa ? DT_OUTBOUND_SA : DT_OUTBOUND_HOLD, sa ? sa->id : 0, forced);
}

bool ep_op_del(void *user, dt_time now, uint32_t epoch)
{
    return ep_link_delete(user, now, epoch);
}

void ep_op_gone(void *user, dt_time now, uint32_t epoch)
{
    ep_sa_gone(user, epoch, now);
}

dt_time ep_op_last_heard(void *user, uint32_t epoch)
{
    const struct sa *sa = ep_sa_of_epoch(user, epoch);
    return sa ? ep_sa_last_heard(sa) : 0;
}
