#include "ike/ike_net.h"

static struct net_host *host_of(void *ctx)
{
    return ctx;
}

/* ---- the network ---- */

static void fly(struct net *net, struct net_packet *p)
{
    struct dt_list *at = net->wire.prev;
    p->order = net->order++;
    while (at != &net->wire && DT_CONTAINER_OF(at, struct net_packet, link)->at > p->at)
        at = at->prev;
    dt_list_add_tail(at->next, &p->link);
}

void net_inject(struct net *net, int from, const struct dt_path *path, const void *data, size_t len,
                dt_time at)
{
    struct net_packet *p = malloc(sizeof(*p) + len);
    assert_non_null(p);
    memset(p, 0, sizeof(*p));
    p->at = at;
    p->path = *path;
    p->from = from;
    p->len = len;
    memcpy(p->data, data, len);
    if (len >= 28) {
        p->exchange = p->data[18];
        p->response = p->data[19] & 0x20;
    }
    if (net->filter && net->filter(net, p)) {
        free(p);
        return;
    }
    fly(net, p);
}

static dt_time flight(struct net *net)
{
    struct dt_rand r = dt_prng_rand(&net->prng);
    dt_time t = net->now + net->delay + dt_rand_below(&r, net->jitter + 1);
    if (dt_rand_below(&r, 100) < net->reorder)
        t += net->delay * 4 + dt_rand_below(&r, DT_SEC);
    return t;
}

static void send(void *ctx, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags)
{
    struct net_host *h = host_of(ctx);
    struct net *net = h->net;
    struct dt_rand r = dt_prng_rand(&net->prng);
    h->sent++;
    if (flags & DT_IKE_SEND_KEEPALIVE) {
        h->keepalives++;
        assert_int_equal(len, 1);
        return;
    }
    h->largest = len > h->largest ? len : h->largest;
    if (getenv("DT_NET_TRACE") && len >= 28)
        printf("# %.3f host %d sends %s %u, mid %u, %016llx, %zu bytes%s\n", dt_time_seconds(net->now),
               h->index, data[19] & 0x20 ? "response" : "request", data[18], dt_get_be32(data + 20),
               (unsigned long long)dt_get_be64(data), len, flags & DT_IKE_SEND_AGAIN ? ", again" : "");
    if (h->cut)
        return;
    unsigned copies = dt_rand_below(&r, 100) < net->loss ? 0 : dt_rand_below(&r, 100) < net->dup ? 2 : 1;
    while (copies--)
        net_inject(net, h->index, path, data, len, flight(net));
    if (net->on_send)
        net->on_send(net, h); /* the bytes may be gone after it */
}

static void deliver(struct net *net, struct net_packet *p)
{
    struct dt_addrport src = p->path.local, dst = p->path.remote;
    struct net_host *from = &net->host[p->from];
    uint8_t data[20000];
    if (from->behind_nat) {
        src.addr = from->nat_addr;
        src.port = (uint16_t)(src.port + from->nat_shift);
    }
    for (int i = 0; i < net->nhosts; i++) {
        struct net_host *to = &net->host[i];
        struct dt_addrport local = dst;
        if (to->cut || !dt_addr_eq(&dst.addr, to->behind_nat ? &to->nat_addr : &to->addr))
            continue;
        if (to->behind_nat) {
            local.addr = to->addr;
            local.port = (uint16_t)(dst.port - to->nat_shift);
        }
        struct dt_path path = {.local = local, .remote = src, .natt = p->path.natt};
        memcpy(data, p->data, p->len);
        dt_ike_input(to->ike, net->now, &path, data, p->len);
        return;
    }
}

/* ---- key exchanges that take their time ---- */

struct net_job {
    struct dt_list link;
    dt_time at;
    struct dt_ike_work *work;
};

void net_work(void *ctx, struct dt_ike_work *w)
{
    struct net *net = host_of(ctx)->net;
    struct dt_rand r = dt_prng_rand(&net->prng);
    struct net_job *j = malloc(sizeof(*j));
    assert_non_null(j);
    j->at = net->now + dt_rand_below(&r, net->job_delay + 1);
    j->work = w;
    dt_list_add_tail(&net->jobs, &j->link);
}

static struct net_job *next_job(const struct net *net)
{
    struct net_job *first = NULL;
    dt_list_for_each (l, &net->jobs) {
        struct net_job *j = DT_CONTAINER_OF(l, struct net_job, link);
        if (!first || j->at < first->at)
            first = j;
    }
    return first;
}

static void finish(struct net *net, struct net_job *j)
{
    struct dt_ike_work *w = j->work;
    dt_list_del(&j->link);
    free(j);
    dt_ike_work_run(w);
    dt_ike_work_done(w, net->now);
}

static dt_time next_deadline(const struct net *net)
{
    dt_time t =
        dt_list_empty(&net->wire) ? DT_NEVER : DT_CONTAINER_OF(net->wire.next, struct net_packet, link)->at;
    for (int i = 0; i < net->nhosts; i++)
        t = dt_time_min(t, dt_ike_deadline(net->host[i].ike));
    const struct net_job *j = next_job(net);
    return j ? dt_time_min(t, j->at) : t;
}

static bool step(struct net *net, dt_time until)
{
    dt_time t = next_deadline(net);
    if (t > until || t == DT_NEVER)
        return false;
    net->now = t > net->now ? t : net->now;
    if (!dt_list_empty(&net->wire)) {
        struct net_packet *p = DT_CONTAINER_OF(net->wire.next, struct net_packet, link);
        if (p->at <= net->now) {
            dt_list_del(&p->link);
            deliver(net, p);
            free(p);
            return true;
        }
    }
    struct net_job *j = next_job(net);
    if (j && j->at <= net->now) {
        finish(net, j);
        return true;
    }
    for (int i = 0; i < net->nhosts; i++)
        if (dt_ike_deadline(net->host[i].ike) <= net->now) {
            dt_ike_tick(net->host[i].ike, net->now);
            break;
        }
    return true;
}

void net_run(struct net *net, dt_time until)
{
    while (step(net, until))
        ;
    if (until != DT_NEVER && until > net->now)
        net->now = until;
}

bool net_run_until(struct net *net, dt_time within, bool (*done)(struct net *net))
{
    dt_time until = dt_time_add(net->now, within);
    while (!done(net))
        if (!step(net, until))
            return done(net);
    return true;
}

bool net_quiet(struct net *net)
{
    if (!dt_list_empty(&net->wire))
        return false;
    for (int i = 0; i < net->nhosts; i++) {
        struct dt_ike_session_info info;
        struct dt_ike_usage u = dt_ike_usage(net->host[i].ike);
        if (u.queued || u.works || u.sas != u.sessions)
            return false;
        if (!net->host[i].session)
            continue;
        dt_ike_session_info(net->host[i].session, &info);
        if (info.outstanding_tries)
            return false;
    }
    return true;
}

/* ---- what a host answers and writes down ---- */

static void meddle(struct net_host *h, struct dt_ike_session *s, struct dt_ike_child *c)
{
    if (h->net->meddle)
        h->net->meddle(h->net, h, s, c);
}

static int psk(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *local,
               const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    const char *text = host_of(ctx)->psk;
    if (!text)
        return -1;
    memcpy(key, text, strlen(text));
    return (int)strlen(text);
}

static int64_t wall(void *ctx)
{
    return host_of(ctx)->net->wall;
}

static void may_prove(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *peer, struct dt_ike_may *may)
{
    if (host_of(ctx)->may)
        *may = *host_of(ctx)->may;
}

static const struct dt_ike_cfg *lookup(void *ctx, const struct dt_path *path, unsigned n)
{
    struct net_host *h = host_of(ctx);
    return !h->serves ? NULL : n == 0 ? &h->cfg : n == 1 ? h->other : NULL;
}

static const struct dt_ike_cfg *authorize(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *peer,
                                          const struct dt_ike_id *me, struct dt_err *err)
{
    struct net_host *h = host_of(ctx);
    return h->other && me && dt_ike_id_eq(&h->other->local_id, me) ? h->other : &h->cfg;
}

static int lease(void *ctx, struct dt_ike_session *s, const struct dt_ike_inside *want,
                 struct dt_ike_inside *give, struct dt_err *err)
{
    struct net_host *h = host_of(ctx);
    if (!h->lease.addr4.ver && !h->lease.addr6.ver)
        return dt_err_set(err, 36, "the pool is empty");
    *give = h->lease;
    return 0;
}

static void notify_in(void *ctx, struct dt_ike_session *s, const struct dt_ike_notify *n)
{
    host_of(ctx)->got = *n;
    meddle(host_of(ctx), s, NULL);
}

static size_t notify_out(void *ctx, struct dt_ike_session *s, struct dt_ike_notify *v, size_t cap)
{
    struct net_host *h = host_of(ctx);
    if (h->net->on_notify_out)
        h->net->on_notify_out(h->net, h, s);
    if (!h->notify.type)
        return 0;
    v[0] = host_of(ctx)->notify;
    return 1;
}

static void session_up(void *ctx, struct dt_ike_session *s)
{
    host_of(ctx)->ups++;
    host_of(ctx)->session = s;
    meddle(host_of(ctx), s, NULL);
}

static void session_down(void *ctx, struct dt_ike_session *s, const struct dt_err *why)
{
    struct net_host *h = host_of(ctx);
    h->downs++;
    h->last_down = *why;
    if (h->session == s)
        h->session = NULL;
    meddle(h, NULL, NULL);
}

static void proof_lost(void *ctx, struct dt_ike_session *s, const struct dt_err *why)
{
    host_of(ctx)->proofs_lost++;
    host_of(ctx)->last_proof = *why;
    meddle(host_of(ctx), s, NULL);
}

static void session_rekeyed(void *ctx, struct dt_ike_session *s)
{
    host_of(ctx)->rekeyed++;
    meddle(host_of(ctx), s, NULL);
}

static void path_changed(void *ctx, struct dt_ike_session *s, const struct dt_path *path)
{
    host_of(ctx)->moves++;
    host_of(ctx)->path = *path;
    meddle(host_of(ctx), s, NULL);
}

static void alive(void *ctx, struct dt_ike_session *s)
{
    host_of(ctx)->alive++;
    meddle(host_of(ctx), s, NULL);
}

static void suspect(void *ctx, struct dt_ike_session *s, const struct dt_err *hint)
{
    host_of(ctx)->suspects++;
    meddle(host_of(ctx), s, NULL);
}

struct net_child *net_child_of(struct net_host *h, struct dt_ike_child *c)
{
    for (size_t i = h->nchild; i-- > 0;)
        if (h->child[i].handle == c)
            return &h->child[i];
    return NULL;
}

static void child_up(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c,
                     const struct dt_child_sa *sa)
{
    struct net_host *h = host_of(ctx);
    assert_true(h->nchild < NET_CHILDREN);
    h->child_ups++;
    h->wanted = h->wanted == c ? NULL : h->wanted;
    h->child[h->nchild++] = (struct net_child){.handle = c, .session = s, .sa = *sa, .up = true};
    if (h->auto_delete_old && sa->initiator && sa->replaces)
        dt_ike_child_delete(sa->replaces, h->net->now);
    meddle(h, s, c);
}

static void child_failed(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c,
                         const struct dt_err *err)
{
    struct net_host *h = host_of(ctx);
    h->failed++;
    h->last_failed = *err;
    h->wanted = h->wanted == c ? NULL : h->wanted;
    meddle(h, s, NULL);
}

static void child_down(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c, enum dt_ike_down why)
{
    struct net_host *h = host_of(ctx);
    struct net_child *k = net_child_of(h, c);
    assert_non_null(k);
    assert_true(k->up);
    k->up = false;
    k->handle = NULL;
    k->why = why;
    h->child_downs++;
    meddle(h, s, NULL);
}

static void child_redundant(void *ctx, struct dt_ike_session *s, struct dt_ike_child *c)
{
    host_of(ctx)->redundants++;
    net_child_of(host_of(ctx), c)->redundant = true;
    meddle(host_of(ctx), s, c);
}

static bool child_ask(void *ctx, struct dt_ike_session *s, struct dt_ike_child *old)
{
    meddle(host_of(ctx), s, old);
    return !old || !host_of(ctx)->decline_rekey;
}

static void event(void *ctx, struct dt_ike_session *s, enum dt_ike_event what, const struct dt_path *path,
                  const struct dt_err *err)
{
    struct net_host *h = host_of(ctx);
    h->events[what]++;
    h->last_event = *err;
    if (getenv("DT_NET_TRACE"))
        printf("# %.3f host %d: %s: %s\n", dt_time_seconds(h->net->now), h->index, dt_ike_event_str(what),
               err->text);
    if (h->net->on_event)
        h->net->on_event(h->net, h, s, what);
}

static const struct dt_ike_ops ops = {.send = send,
                                      .psk = psk,
                                      .wall = wall,
                                      .may_prove = may_prove,
                                      .lookup = lookup,
                                      .authorize = authorize,
                                      .lease = lease,
                                      .notify_in = notify_in,
                                      .notify_out = notify_out,
                                      .session_up = session_up,
                                      .session_down = session_down,
                                      .proof_lost = proof_lost,
                                      .session_rekeyed = session_rekeyed,
                                      .path_changed = path_changed,
                                      .alive = alive,
                                      .suspect = suspect,
                                      .child_up = child_up,
                                      .child_failed = child_failed,
                                      .child_down = child_down,
                                      .child_redundant = child_redundant,
                                      .child_ask = child_ask,
                                      .event = event};

/* ---- set up, look at ---- */

static void default_cfg(struct net_host *h)
{
    char text[32];
    struct dt_selector all = dt_selector_all4();
    snprintf(text, sizeof(text), "host%d.example.net", h->index);
    assert_int_equal(dt_ike_id_parse(&h->cfg.local_id, text), 0);
    dt_proposals_default(&h->cfg.ike, DT_PROTO_IKE);
    dt_proposals_default(&h->cfg.esp, DT_PROTO_ESP);
    dt_selectors_add(&h->cfg.local_ts, &all);
    dt_selectors_add(&h->cfg.remote_ts, &all);
}

void net_restart(struct net *net, int i)
{
    struct net_host *h = &net->host[i];
    struct dt_rand r = dt_prng_rand(&h->prng);
    dt_ike_free(h->ike);
    for (size_t k = 0; k < h->nchild; k++) {
        h->child[k].up = false;
        h->child[k].handle = NULL;
    }
    h->session = NULL;
    struct dt_ike_ops mine = ops;
    mine.work = net->job_delay ? net_work : NULL;
    h->ike = dt_ike_new(&net->params, &mine, h, net->crypto, &r);
    assert_non_null(h->ike);
}

void net_init(struct net *net, uint64_t seed, int nhosts, const struct dt_crypto *crypto)
{
    memset(net, 0, sizeof(*net));
    net->now = 1000 * DT_SEC;
    net->nhosts = nhosts;
    net->crypto = crypto;
    net->delay = 20 * DT_MSEC;
    dt_prng_seed(&net->prng, seed);
    dt_list_init(&net->wire);
    dt_list_init(&net->jobs);
    if (getenv("DT_NET_JOBS"))
        net->job_delay = (dt_time)atoi(getenv("DT_NET_JOBS")) * DT_MSEC;
    dt_ike_params_default(&net->params);
    net->params.vendor_id = dt_span("dovetail tests", 14);
    for (int i = 0; i < nhosts; i++) {
        struct net_host *h = &net->host[i];
        h->net = net;
        h->index = i;
        h->addr = dt_addr4(0xc0000201u + (uint32_t)i);
        h->serves = true;
        h->psk = NET_PSK;
        dt_prng_seed(&h->prng, seed * 31 + (uint64_t)i);
        default_cfg(h);
        net_restart(net, i);
    }
}

void net_free(struct net *net)
{
    for (int i = 0; i < net->nhosts; i++)
        dt_ike_free(net->host[i].ike);
    while (!dt_list_empty(&net->jobs))
        finish(net, next_job(net));
    dt_list_for_each_safe (l, &net->wire)
        free(DT_CONTAINER_OF(l, struct net_packet, link));
}

struct dt_path net_path(struct net *net, int a, int b)
{
    struct net_host *to = &net->host[b];
    return (struct dt_path){.local = {net->host[a].addr, net->params.port_ike},
                            .remote = {to->behind_nat ? to->nat_addr : to->addr, net->params.port_ike}};
}

struct dt_ike_session *net_open(struct net *net, int a, int b)
{
    struct dt_path path = net_path(net, a, b);
    struct dt_err err = {0};
    struct dt_ike_session *s = dt_ike_open(net->host[a].ike, net->now, &net->host[a].cfg, &path, NULL, &err);
    if (!s)
        print_error("%s\n", err.text);
    assert_non_null(s);
    return s;
}

bool net_children_are_up(struct net *net)
{
    return net->host[0].child_ups && net->host[1].child_ups;
}

void net_come_up(struct net *net)
{
    net_open(net, 0, 1);
    assert_true(net_run_until(net, 60 * DT_SEC, net_children_are_up));
    net_run(net, net->now + DT_SEC);
    assert_true(net_quiet(net));
    assert_int_equal(dt_ike_session_state(net->host[0].session), DT_SESSION_UP);
    net_check_pairs(&net->host[0], &net->host[1]);
}

void net_finish(struct net *net)
{
    if (net->host[0].session)
        dt_ike_close(net->host[0].session, net->now, false);
    net_run(net, DT_NEVER);
    net_check_empty(&net->host[0]);
    net_check_empty(&net->host[1]);
    net_free(net);
}

size_t net_children_up(struct net_host *h)
{
    size_t n = 0;
    for (size_t i = 0; i < h->nchild; i++)
        n += h->child[i].up;
    return n;
}

struct net_child *net_newest(struct net_host *h)
{
    for (size_t i = h->nchild; i-- > 0;)
        if (h->child[i].up)
            return &h->child[i];
    return NULL;
}

static bool fits(const struct dt_child_sa *a, const struct dt_child_sa *b)
{
    return a->spi_in == b->spi_out && a->spi_out == b->spi_in && a->key_len == b->key_len &&
           !memcmp(a->key_in, b->key_out, a->key_len) && !memcmp(a->key_out, b->key_in, a->key_len) &&
           a->esn == b->esn && a->suite.encr == b->suite.encr && a->suite.key_bits == b->suite.key_bits &&
           a->suite.integ == b->suite.integ && a->transport == b->transport && a->initiator != b->initiator &&
           dt_selectors_eq(&a->local_ts, &b->remote_ts) && dt_selectors_eq(&a->remote_ts, &b->local_ts);
}

static void tell(struct net_host *h)
{
    for (size_t i = 0; i < h->nchild; i++)
        printf("# host %d: child %08x/%08x %s, %s\n", h->index, h->child[i].sa.spi_in, h->child[i].sa.spi_out,
               h->child[i].up ? "up" : dt_ike_down_str(h->child[i].why),
               h->child[i].sa.initiator ? "ours" : "peer's");
}

void net_check_pairs(struct net_host *a, struct net_host *b)
{
    if (net_children_up(a) != net_children_up(b)) {
        tell(a);
        tell(b);
    }
    assert_int_equal(net_children_up(a), net_children_up(b));
    for (size_t i = 0; i < a->nchild; i++) {
        size_t found = 0;
        for (size_t k = 0; a->child[i].up && k < b->nchild; k++)
            found += b->child[k].up && fits(&a->child[i].sa, &b->child[k].sa);
        assert_int_equal(found, a->child[i].up);
    }
}

void net_check_empty(struct net_host *h)
{
    struct dt_ike_usage u = dt_ike_usage(h->ike);
    assert_int_equal(u.sessions, 0);
    assert_int_equal(u.half_open, 0);
    assert_int_equal(u.sas, 0);
    assert_int_equal(u.children, 0);
    assert_int_equal(u.timers, 0);
    assert_int_equal(u.queued, 0);
    assert_int_equal(u.works, 0);
    assert_int_equal(net_children_up(h), 0);
}

void net_down(struct net *net, struct net_host *a, struct net_host *b)
{
    dt_ike_close(a->session, net->now, false);
    net_run(net, DT_NEVER);
    net_check_empty(a);
    net_check_empty(b);
    net_free(net);
}

bool net_over(struct net *net)
{
    return net->host[0].downs > 0 || net->host[0].ups > 0;
}

void net_proposal(struct dt_proposals *list, uint8_t protocol, const char *text)
{
    struct dt_proposal p;
    struct dt_err err = {0};
    if (dt_proposal_parse(&p, protocol, text, &err))
        fail_msg("%s", err.text);
    list->n = 0;
    dt_proposals_add(list, &p);
}
