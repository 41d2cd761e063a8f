#include "endpoint/world.h"

#include "base/hash.h"

enum kind { IKE, DATA, PROBE, REPLY, JOB };

struct packet {
    struct dt_timer t;
    int from, to;
    enum kind kind;
    struct dt_path path; /* as the sender sees it */
    uint32_t spi;
    uint64_t key, seq;
    uint16_t ident, pseq;
    struct dt_addr dst;
    bool dummy;
    uint32_t number;
    struct dt_ike_work *work; /* JOB */
    size_t len;
    uint8_t data[];
};

static struct dt_rand world_rand(struct world *w)
{
    return dt_prng_rand(&w->prng);
}

static bool chance(struct world *w, unsigned per_mille)
{
    return per_mille && dt_prng_u64(&w->prng) % 1000 < per_mille;
}

static struct world_host *by_addr(struct world *w, const struct dt_addr *a)
{
    for (int i = 0; i < w->n; i++)
        if (dt_addr_eq(&w->host[i].addr, a))
            return &w->host[i];
    return NULL;
}

/* ---- the wire ---- */

static void fly(struct world *w, const struct packet *p)
{
    struct packet *copy = malloc(sizeof(*p) + p->len);
    assert_non_null(copy);
    memcpy(copy, p, sizeof(*p) + p->len);
    dt_timer_init(&copy->t);
    dt_time at = w->now + w->delay;
    if (w->jitter)
        at += dt_prng_u64(&w->prng) % w->jitter;
    assert_int_equal(dt_heap_set(&w->wire, &copy->t, at), 0);
    w->packets++;
}

static void transmit(struct world *w, struct packet *p)
{
    struct world_host *to = by_addr(w, &p->path.remote.addr);
    if (!to || w->host[p->from].dead)
        return;
    p->to = to->index;
    bool udp500 = p->kind == IKE && !p->path.natt, udp4500 = p->path.natt,
         esp = p->kind != IKE && !p->path.natt;
    if ((udp500 && w->ike500_blocked) || (udp4500 && w->udp_blocked) || (esp && w->esp_blocked))
        return;
    if (p->kind != IKE && (w->host[p->from].esp_cut || to->esp_cut))
        return;
    w->flying = &p->path;
    if (p->kind == IKE && w->filter && w->filter(w, p->from, p->data, p->len))
        return;
    if (!chance(w, w->loss))
        fly(w, p);
    if (chance(w, w->dup))
        fly(w, p);
}

/* ---- looking ---- */

static uint64_t digest_of(struct world_host *h)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_endpoint_digest(h->ep, h->w->now, &d);
    return dt_digest_value(&d);
}

/* A driver may ask whatever it likes from within any callback. */
static void look(struct world_host *h)
{
    struct dt_tunnel_info info;
    struct dt_endpoint_counters count;
    const struct dt_endpoint *ep = h->ep;
    if (!ep || h->unseen || h->dead) /* dt_endpoint_new and _free have no host to show */
        return;
    for (uint32_t t = dt_endpoint_tunnel_next(ep, 0); t; t = dt_endpoint_tunnel_next(ep, t)) {
        assert_true(dt_endpoint_tunnel_info(ep, t, &info));
        assert_int_equal(info.tunnel, t);
        if (info.client)
            assert_int_equal(dt_endpoint_tunnel_by_name(ep, info.name), t);
        dt_endpoint_closing(ep, &info.path.remote.addr);
    }
    dt_endpoint_counters(ep, &count);
    assert_int_equal(count.reentered + count.untold, 0);
    assert_true(dt_endpoint_idle(ep) == (count.sessions == 0));
    assert_true(dt_endpoint_memory(ep) > 0);
    assert_non_null(dt_ike_counters(dt_endpoint_ike(ep)));
    dt_endpoint_deadline(ep);
    digest_of(h);
}

/* Who hears an event sees what the call has led to: nothing changes between it and the call's end. */
static void call_begins(struct world_host *h)
{
    h->told = false;
}

static void call_ended(struct world_host *h)
{
    if (h->told && !h->unseen)
        assert_int_equal(h->shown, digest_of(h));
}

/* ---- the data path ---- */

static struct world_sa *sa_by_id(struct world_host *h, uint64_t id)
{
    for (int i = 0; i < WORLD_SAS; i++)
        if (h->sa[i].live && h->sa[i].id == id)
            return &h->sa[i];
    return NULL;
}

static struct world_sa *sa_by_spi(struct world_host *h, uint32_t spi)
{
    for (int i = 0; i < WORLD_SAS; i++)
        if (h->sa[i].live && h->sa[i].spi_in == spi)
            return &h->sa[i];
    return NULL;
}

struct world_tunnel *world_tunnel(struct world_host *h, uint32_t id)
{
    for (int i = 0; i < WORLD_TUNNELS; i++)
        if (h->tunnel[i].id == id)
            return &h->tunnel[i];
    return NULL;
}

static struct world_tunnel *tunnel_make(struct world_host *h, uint32_t id)
{
    struct world_tunnel *t = world_tunnel(h, id);
    if (!t) {
        t = world_tunnel(h, 0);
        assert_non_null(t);
        *t = (struct world_tunnel){.id = id, .how = DT_OUTBOUND_HOLD};
    }
    return t;
}

struct world_tunnel *world_first(struct world_host *h)
{
    struct world_tunnel *first = NULL;
    for (int i = 0; i < WORLD_TUNNELS; i++)
        if (h->tunnel[i].id && (!first || h->tunnel[i].id < first->id))
            first = &h->tunnel[i];
    return first;
}

/* dst NULL: a dummy packet, or one whose destination nobody looks at. */
static void esp_send(struct world_host *h, struct world_sa *sa, enum kind kind, uint16_t ident, uint16_t seq,
                     const struct dt_addr *dst)
{
    if (h->soft_at && sa->sent >= h->soft_at && !sa->soft_told) {
        sa->soft_told = true;
        h->soft_sa = sa->id;
    }
    if (h->hard_at && sa->sent >= h->hard_at) {
        h->hard_sa = sa->id;
        h->exhausted++;
        return;
    }
    struct packet p = {.from = h->index,
                       .kind = kind,
                       .path = sa->path,
                       .spi = sa->spi_out,
                       .key = sa->key_out,
                       .seq = ++sa->sent,
                       .ident = ident,
                       .pseq = seq};
    p.dummy = dst == NULL;
    if (dst)
        p.dst = *dst;
    transmit(h->w, &p);
}

static void data_out(struct world_host *h, struct world_tunnel *t)
{
    struct world_sa *sa = t->how == DT_OUTBOUND_SA ? sa_by_id(h, t->sa) : NULL;
    if (!sa) {
        if (t->how == DT_OUTBOUND_HOLD && t->held < WORLD_HOLD)
            t->held++;
        else
            t->dropped++;
        return;
    }
    bool proves = h->kind == WORLD_DOVETAIL;
    if (proves && sa->heard == 0) {
        if (!t->forced)
            h->sins++;
        else
            h->forced++;
    }
    t->sent++;
    esp_send(h, sa, DATA, 0, 0, NULL);
}

static void release_held(struct world_host *h, struct world_tunnel *t)
{
    while (t->how == DT_OUTBOUND_SA && t->held) {
        t->held--;
        data_out(h, t);
    }
}

void world_data(struct world *w, int host, uint32_t tunnel)
{
    struct world_host *h = &w->host[host];
    struct world_tunnel *t = tunnel ? world_tunnel(h, tunnel) : world_first(h);
    if (t && !h->dead)
        data_out(h, t);
}

static bool replayed(struct world_sa *sa, uint64_t seq)
{
    const uint64_t window = 256;
    if (seq + window <= sa->top)
        return true;
    while (sa->top < seq) {
        sa->top++;
        sa->replay[sa->top % window / 64] &= ~(1ull << (sa->top % 64));
    }
    uint64_t *word = &sa->replay[seq % window / 64], bit = 1ull << (seq % 64);
    if (*word & bit)
        return true;
    *word |= bit;
    return false;
}

static void esp_in(struct world_host *h, const struct packet *p)
{
    struct world *w = h->w;
    struct world_sa *sa = sa_by_spi(h, p->spi);
    if (!sa) {
        h->no_sa++;
        dt_endpoint_unknown_spi(h->ep, w->now, p->spi, &p->path.local.addr);
        return;
    }
    if (sa->key_in != p->key) {
        h->bad_key++;
        return;
    }
    if (replayed(sa, p->seq))
        return;
    bool first = sa->heard == 0;
    uint64_t id = sa->id;
    uint32_t tunnel = sa->tunnel;
    sa->heard = w->now;
    sa->got++;
    if (first) {
        call_begins(h);
        dt_endpoint_heard(h->ep, w->now, id);
        call_ended(h);
    }
    struct world_tunnel *t = world_tunnel(h, tunnel);
    sa = sa_by_id(h, id); /* the first packet may have changed everything */
    if (p->kind == DATA && t) {
        t->got++;
        t->last_got = w->now;
    } else if (p->kind == REPLY) {
        call_begins(h);
        dt_endpoint_probe_reply(h->ep, w->now, id, p->ident, p->pseq);
        call_ended(h);
    } else if (p->kind == PROBE && !h->no_answer) {
        /* A Dovetail answers on the pair that the probe came in on, others where their data goes. */
        if (p->dummy) {
            if (sa && sa->answer_dummy)
                esp_send(h, sa, REPLY, p->ident, p->pseq, NULL);
        } else if (sa && !dt_selectors_has(&sa->local_ts, &p->dst, 1, 0)) {
            return; /* outside what the SA carries */
        } else if (sa && h->kind == WORLD_DOVETAIL && dt_addr_eq(&p->dst, &sa->answer4))
            esp_send(h, sa, REPLY, p->ident, p->pseq, NULL);
        else if (t && t->how == DT_OUTBOUND_SA && sa_by_id(h, t->sa))
            esp_send(h, sa_by_id(h, t->sa), REPLY, p->ident, p->pseq, NULL);
    }
}

/* ---- what the endpoint asks ---- */

static void op_send_ike(void *user, const struct dt_path *path, const uint8_t *data, size_t len,
                        unsigned flags)
{
    struct world_host *h = user;
    look(h);
    struct packet *p = calloc(1, sizeof(*p) + len);
    assert_non_null(p);
    p->from = h->index;
    p->kind = IKE;
    p->path = *path;
    p->len = len;
    memcpy(p->data, data, len);
    h->ike_sent++;
    if (!(flags & DT_IKE_SEND_KEEPALIVE))
        transmit(h->w, p);
    free(p);
}

static uint64_t hash_key(const uint8_t *key, size_t len)
{
    static const struct dt_siphash_key k = {{1, 2}};
    return dt_siphash(&k, key, len);
}

static int op_sa_install(void *user, dt_time now, const struct dt_endpoint_sa *in, struct dt_err *err)
{
    struct world_host *h = user;
    look(h);
    if (h->refuse_install)
        return dt_err_set(err, 0, "the data path is full");
    struct world_sa *sa = NULL;
    for (int i = 0; i < WORLD_SAS && !sa; i++)
        if (!h->sa[i].live)
            sa = &h->sa[i];
    assert_non_null(sa);
    *sa = (struct world_sa){.live = true,
                            .id = in->sa,
                            .tunnel = in->tunnel,
                            .epoch = in->epoch,
                            .spi_in = in->spi_in,
                            .spi_out = in->spi_out,
                            .key_in = hash_key(in->key_in, in->key_len),
                            .key_out = hash_key(in->key_out, in->key_len),
                            .path = in->path,
                            .answer4 = in->answer4,
                            .answer_dummy = in->answer_dummy,
                            .local_ts = in->local_ts,
                            .t0 = now};
    tunnel_make(h, in->tunnel);
    return 0;
}

static int op_admit(void *user, dt_time now, const struct dt_endpoint_admission *a, struct dt_err *err)
{
    struct world_host *h = user;
    return h->refuse_admit ? dt_err_set(err, 0, "%s", h->refuse_admit) : 0;
}

static void op_authority(void *user, uint32_t gateway, const struct dt_ike_id *peer, struct dt_authority *out)
{
    struct world_host *h = user;
    out->networks = h->networks;
    if (h->authority)
        h->authority(peer, out);
}

static void use(struct world_host *h, struct world_tunnel *t, enum dt_outbound how, uint64_t sa, bool forced)
{
    t->how = how;
    t->sa = sa;
    t->forced = forced;
    release_held(h, t);
}

static void op_sa_remove(void *user, dt_time now, uint64_t id)
{
    struct world_host *h = user;
    look(h);
    struct world_sa *sa = sa_by_id(h, id), *newest = NULL;
    assert_non_null(sa);
    uint32_t tunnel = sa->tunnel;
    memset(sa, 0, sizeof(*sa));
    struct world_tunnel *t = world_tunnel(h, tunnel);
    if (h->kind != WORLD_HOLDS || !t || t->sa != id)
        return;
    for (int i = 0; i < WORLD_SAS; i++)
        if (h->sa[i].live && h->sa[i].tunnel == tunnel && (!newest || h->sa[i].id > newest->id))
            newest = &h->sa[i];
    if (newest)
        use(h, t, DT_OUTBOUND_SA, newest->id, false);
}

static void op_sa_path(void *user, dt_time now, uint64_t id, const struct dt_path *path)
{
    look(user);
    struct world_sa *sa = sa_by_id(user, id);
    assert_non_null(sa);
    sa->path = *path;
}

static void op_outbound(void *user, dt_time now, uint32_t tunnel, enum dt_outbound how, uint64_t sa,
                        bool forced)
{
    struct world_host *h = user;
    look(h);
    struct world_tunnel *t = tunnel_make(h, tunnel);
    if (h->kind == WORLD_HOLDS && how == DT_OUTBOUND_SA && t->how == DT_OUTBOUND_SA && sa_by_id(h, t->sa) &&
        !t->fresh)
        return; /* within a session alone: a new one replaces the old */
    t->fresh = false;
    if (how == DT_OUTBOUND_SA)
        assert_non_null(sa_by_id(h, sa));
    use(h, t, how, sa, forced);
}

static void op_probe(void *user, dt_time now, const struct dt_endpoint_probe *p)
{
    struct world_host *h = user;
    look(h);
    struct world_sa *sa = sa_by_id(h, p->sa);
    assert_non_null(sa);
    assert_int_equal(sa->epoch, p->epoch);
    h->probes++;
    esp_send(h, sa, PROBE, p->ident, p->seq, p->kind == DT_PROBE_DUMMY ? NULL : &p->dst);
}

static dt_time op_last_heard(void *user, uint64_t id)
{
    struct world_sa *sa = sa_by_id(user, id);
    return sa ? sa->heard : 0;
}

static void op_tunnel(void *user, dt_time now, uint32_t tunnel, bool gone)
{
    struct world_host *h = user;
    look(h);
    struct world_tunnel *t = world_tunnel(h, tunnel);
    h->published += !gone;
    if (gone && t)
        memset(t, 0, sizeof(*t));
}

static bool op_local_addr(void *user, uint32_t tunnel, const struct dt_addr *remote, struct dt_addr *local)
{
    look(user);
    *local = ((struct world_host *)user)->addr;
    return true;
}

static int op_psk(void *user, uint32_t tunnel, uint32_t gateway, const struct dt_ike_id *local,
                  const struct dt_ike_id *remote, uint8_t key[DT_PSK_MAX])
{
    struct world_host *h = user;
    look(h);
    assert_true((tunnel == 0) != (gateway == 0));
    memcpy(key, h->psk, strlen(h->psk));
    return (int)strlen(h->psk);
}

static int64_t op_wall(void *user)
{
    const struct world *w = ((struct world_host *)user)->w;
    look(user);
    return w->wall + (int64_t)(w->now / DT_SEC) - 1000;
}

static int op_lease(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                    const struct dt_ike_inside *want, struct dt_ike_inside *give, struct dt_err *err)
{
    struct world_host *h = user;
    look(h);
    if (h->pool_used_up) {
        dt_err_set(err, 0, "the pool has no address left");
        err->why = DT_WHY_POOL_USED_UP;
        return -1;
    }
    memset(give, 0, sizeof(*give));
    if (want->addr4.ver)
        give->addr4 = dt_addr4(0x0a090000u + 1 + h->leases);
    h->leases++;
    return 0;
}

static void op_release(void *user, dt_time now, uint32_t gateway, const struct dt_ike_id *peer,
                       const struct dt_ike_inside *given)
{
    look(user);
    ((struct world_host *)user)->released++;
}

static void op_event(void *user, const struct dt_event *ev)
{
    struct world_host *h = user;
    assert_true(ev->kind < 128);
    assert_true(ev->text[0] != 0 && strcmp(ev->name, "?") != 0);
    h->seen[ev->kind]++;
    if (h->ep && !h->unseen && !h->dead) {
        look(h);
        h->told = true;
        h->shown = digest_of(h);
    }
    if (h->noisy)
        fprintf(stderr, "%10.3f host %d %s: %s: %s\n", dt_time_seconds(ev->at), h->index, ev->tunnel_name,
                ev->name, ev->text);
    size_t used = strlen(h->log);
    snprintf(h->log + used, sizeof(h->log) - used, "%s ", ev->name);
}

/* Before the session's first SA is used. */
static void op_trace(void *user, const struct dt_event *ev)
{
    struct world_host *h = user;
    if (ev->kind == DT_EVENT_SESSION_UP)
        tunnel_make(h, ev->tunnel)->fresh = true;
    look(h);
}

/* A key exchange that takes its time: a packet to ourselves. */
static void op_work(void *user, struct dt_ike_work *work)
{
    struct world_host *h = user;
    struct world *w = h->w;
    struct dt_rand r = dt_prng_rand(&w->prng);
    struct packet *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->kind = JOB;
    p->to = h->index;
    p->work = work;
    dt_timer_init(&p->t);
    assert_int_equal(dt_heap_set(&w->wire, &p->t, w->now + dt_rand_below(&r, w->job_delay + 1)), 0);
}

static void job_end(struct world *w, struct packet *p)
{
    struct world_host *h = &w->host[p->to];
    dt_ike_work_run(p->work);
    if (!h->ep) {
        dt_ike_work_done(p->work, w->now);
        return;
    }
    call_begins(h);
    dt_endpoint_work_done(h->ep, w->now, p->work);
    call_ended(h);
}

const struct dt_endpoint_ops world_ops = {
    .send_ike = op_send_ike,
    .admit = op_admit,
    .sa_install = op_sa_install,
    .sa_remove = op_sa_remove,
    .sa_path = op_sa_path,
    .outbound = op_outbound,
    .probe = op_probe,
    .last_heard = op_last_heard,
    .tunnel = op_tunnel,
    .local_addr = op_local_addr,
    .psk = op_psk,
    .wall = op_wall,
    .authority = op_authority,
    .lease = op_lease,
    .release = op_release,
    .event = op_event,
    .trace = op_trace,
};

/* ---- the world ---- */

void world_init(struct world *w, uint64_t seed, int hosts)
{
    memset(w, 0, sizeof(*w));
    dt_prng_seed(&w->prng, seed);
    dt_heap_init(&w->wire);
    dt_timer_init(&w->traffic);
    w->now = 1000 * DT_SEC;
    w->delay = 10 * DT_MSEC;
    if (getenv("DT_NET_JOBS"))
        w->job_delay = (dt_time)atoi(getenv("DT_NET_JOBS")) * DT_MSEC;
    w->n = hosts;
    for (int i = 0; i < hosts; i++) {
        struct world_host *h = &w->host[i];
        h->w = w;
        h->index = i;
        h->psk = "the shared secret of the tests";
        h->addr = dt_addr4(0xc0000200u + 1 + (uint32_t)i);
        h->noisy = getenv("DT_NOISY") != NULL;
    }
}

void world_boot(struct world *w, int host, const struct dt_endpoint_limits *limits)
{
    struct world_host *h = &w->host[host];
    struct dt_ike_params ike;
    struct dt_endpoint_limits l;
    assert_null(h->ep);
    dt_ike_params_default(&ike);
    dt_endpoint_limits_default(&l);
    if (h->kind == WORLD_HOLDS)
        l.linger = 0; /* sa_remove tells the toy data path of the DELETE */
    if (limits)
        l = *limits;
    dt_prng_seed(&h->prng, dt_prng_u64(&w->prng));
    struct dt_rand r = dt_prng_rand(&h->prng);
    h->ops = world_ops;
    h->ops.work = w->job_delay ? op_work : NULL;
    if (h->event)
        h->ops.event = h->event;
    h->ep = dt_endpoint_new(&h->ops, h, &ike, &l, dt_crypto_null(), &r);
    assert_non_null(h->ep);
    const uint8_t id[DT_INSTALLATION_LEN] = {h->installation};
    dt_endpoint_installation(h->ep, id);
    h->dead = false;
}

void world_serve(struct world *w, int host, enum world_peer kind)
{
    struct dt_gateway_cfg cfg;
    struct dt_err err = {0};
    struct world_host *h = &w->host[host];
    h->kind = kind;
    world_boot(w, host, NULL);
    world_gateway_cfg(&cfg);
    cfg.probe = kind == WORLD_DOVETAIL;
    cfg.params.server_rekey = kind == WORLD_DOVETAIL;
    h->gateway = dt_endpoint_gateway_add(h->ep, w->now, &cfg, &err);
    if (!h->gateway)
        fail_msg("%s", err.text);
}

void world_connect(struct world *w, int client, int gateway, const struct dt_tunnel_cfg *given)
{
    struct dt_tunnel_cfg cfg;
    struct dt_err err = {0};
    struct world_host *h = &w->host[client];
    if (!h->ep)
        world_boot(w, client, NULL);
    if (given)
        cfg = *given;
    else
        world_tunnel_cfg(w, &cfg, client, gateway);
    h->client = dt_endpoint_tunnel_add(h->ep, w->now, &cfg, &err);
    if (!h->client)
        fail_msg("%s", err.text);
    tunnel_make(h, h->client);
    dt_endpoint_up(h->ep, w->now, h->client);
}

void world_kill(struct world *w, int host)
{
    struct world_host *h = &w->host[host];
    h->dead = true; /* not a word leaves */
    dt_endpoint_free(h->ep);
    h->ep = NULL;
    assert_int_equal(world_sas(h), 0);
    memset(h->tunnel, 0, sizeof(h->tunnel));
}

static void deliver(struct world *w, struct packet *p)
{
    struct world_host *h = &w->host[p->to];
    if (p->kind == JOB)
        job_end(w, p);
    if (p->kind == JOB || !h->ep || h->dead)
        return;
    if (p->kind != IKE) {
        esp_in(h, p);
        return;
    }
    struct dt_path path = {.local = p->path.remote, .remote = p->path.local, .natt = p->path.natt};
    call_begins(h);
    dt_endpoint_ike_input(h->ep, w->now, &path, p->data, p->len);
    call_ended(h);
}

static void traffic(struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        struct world_host *h = &w->host[i];
        if (!h->ep || (!h->client && !w->data_both))
            continue;
        for (int t = 0; t < WORLD_TUNNELS; t++)
            if (h->tunnel[t].id)
                world_data(w, i, h->tunnel[t].id);
    }
}

static void report_limits(struct world *w, struct world_host *h)
{
    uint64_t soft = h->soft_sa, hard = h->hard_sa;
    h->soft_sa = h->hard_sa = 0;
    if (soft)
        dt_endpoint_soft_limit(h->ep, w->now, soft);
    if (hard)
        dt_endpoint_hard_limit(h->ep, w->now, hard);
}

void world_run(struct world *w, dt_time until)
{
    if (w->data_every && w->traffic.slot == 0)
        assert_int_equal(dt_heap_set(&w->wire, &w->traffic, w->now), 0);
    for (uint64_t steps = 0;; steps++) {
        dt_time at = dt_heap_deadline(&w->wire);
        int who = -1;
        assert_true(steps < 4000000);
        for (int i = 0; i < w->n; i++) {
            struct world_host *h = &w->host[i];
            if (h->ep && !h->dead)
                report_limits(w, h);
            dt_time d = h->ep && !h->dead ? dt_endpoint_deadline(h->ep) : DT_NEVER;
            if (d < at) {
                at = d;
                who = i;
            }
        }
        if (at > until)
            break;
        if (at > w->now)
            w->now = at;
        if (who >= 0) {
            dt_endpoint_tick(w->host[who].ep, w->now);
            continue;
        }
        struct dt_timer *t = dt_heap_pop_due(&w->wire, w->now);
        if (t == &w->traffic) {
            traffic(w);
            if (w->data_every)
                assert_int_equal(dt_heap_set(&w->wire, t, w->now + w->data_every), 0);
            continue;
        }
        struct packet *p = DT_CONTAINER_OF(t, struct packet, t);
        deliver(w, p);
        free(p);
    }
    w->now = until;
}

bool world_up(struct world *w, int host)
{
    struct dt_tunnel_info info;
    struct world_host *h = &w->host[host];
    return dt_endpoint_tunnel_info(h->ep, h->client, &info) && info.up;
}

uint32_t world_epoch(struct world *w, int host)
{
    struct dt_tunnel_info info;
    struct world_host *h = &w->host[host];
    return dt_endpoint_tunnel_info(h->ep, h->client, &info) ? info.epoch : 0;
}

size_t world_sas(const struct world_host *h)
{
    size_t n = 0;
    for (int i = 0; i < WORLD_SAS; i++)
        n += h->sa[i].live;
    return n;
}

void world_end(struct world *w)
{
    w->loss = w->dup = 0;
    w->data_every = 0;
    w->filter = NULL;
    dt_heap_set(&w->wire, &w->traffic, DT_NEVER);
    for (int i = 0; i < w->n; i++)
        if (w->host[i].ep)
            dt_endpoint_shutdown(w->host[i].ep, w->now);
    world_pass(w, 300);
    for (int i = 0; i < w->n; i++) {
        struct world_host *h = &w->host[i];
        if (!h->ep)
            continue;
        struct dt_ike_usage u = dt_ike_usage(dt_endpoint_ike(h->ep));
        assert_true(dt_endpoint_idle(h->ep));
        assert_int_equal(u.sessions + u.half_open + u.sas + u.children + u.timers + u.queued, 0);
        assert_int_equal(world_sas(h), 0);
        assert_int_equal(dt_endpoint_deadline(h->ep), DT_NEVER);
        assert_int_equal(h->leases, h->released);
        assert_int_equal(h->bad_key, 0);
        dt_endpoint_free(h->ep);
        h->ep = NULL;
    }
    for (struct dt_timer *t; (t = dt_heap_pop_due(&w->wire, DT_NEVER - 1));) {
        struct packet *p = DT_CONTAINER_OF(t, struct packet, t);
        if (p->kind == JOB)
            job_end(w, p);
        free(p);
    }
    dt_heap_free(&w->wire);
    (void)world_rand;
}
