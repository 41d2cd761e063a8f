/* The rules over tables of the heap: simulator, replay, tests. */
#include "masq/masq.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/table.h"
#include "masq/tables.h"

#define KEY_MAX 24

struct node {
    struct dt_table_node hash;
    struct dt_timer timer;
    enum mq_table_id table;
    uint64_t key[KEY_MAX / 8];
    uint64_t value[]; /* of the table's size */
};

struct tab {
    struct dt_table t;
    size_t key, value; /* sizes */
    uint32_t max;
};

struct dt_masq {
    struct dt_masq_config c;
    struct tab tab[MQ_TABLE_COUNT];
    struct dt_heap heap;
    uint64_t rule[DT_MASQ_RULE_COUNT];
    struct mq_peer_list peers;
    struct mq_server zero;
    struct {
        union mq_place *place; /* as many as turns were taken, at most the queue's room */
        size_t n;
        uint64_t turn;
    } queue[MQ_QUEUE_COUNT];
    struct mq_yields yields;
};

/* ---- what rules.h wants ---------------------------------------------------------------------- */

#define mq        dt_masq
#define MQ_EXISTS (-1)
#define MQ_NOROOM (-2)

static struct node *value_node(const void *value)
{
    return DT_CONTAINER_OF((char *)(uintptr_t)value, struct node, value);
}

static struct node *node_find(const struct dt_masq *m, enum mq_table_id id, const void *key, uint64_t *hash)
{
    const struct tab *t = &m->tab[id];
    *hash = dt_siphash(&m->c.hash_key, key, t->key);
    for (struct dt_table_node *n = dt_table_first(&t->t, *hash); n; n = dt_table_next(n)) {
        struct node *node = DT_CONTAINER_OF(n, struct node, hash);
        if (!memcmp(node->key, key, t->key))
            return node;
    }
    return NULL;
}

static void *lookup(const struct dt_masq *m, enum mq_table_id id, const void *key)
{
    uint64_t hash;
    struct node *n = node_find(m, id, key, &hash);
    return n ? n->value : NULL;
}

static void arm(struct dt_masq *m, struct node *n);

static int insert(struct dt_masq *m, enum mq_table_id id, const void *key, const void *value)
{
    struct tab *t = &m->tab[id];
    uint64_t hash;
    if (node_find(m, id, key, &hash))
        return MQ_EXISTS;
    if (t->t.count >= t->max)
        return MQ_NOROOM;
    struct node *n = calloc(1, sizeof(*n) + t->value);
    if (!n)
        return MQ_NOROOM;
    dt_timer_init(&n->timer);
    memcpy(n->key, key, t->key);
    memcpy(n->value, value, t->value);
    if (dt_heap_reserve(&m->heap, 1)) { /* arm must not fail */
        free(n);
        return MQ_NOROOM;
    }
    if (dt_table_insert(&t->t, &n->hash, hash)) {
        dt_heap_unreserve(&m->heap, 1);
        free(n);
        return MQ_NOROOM;
    }
    n->table = id;
    arm(m, n);
    return 0;
}

static int erase(struct dt_masq *m, enum mq_table_id id, const void *key)
{
    uint64_t hash;
    struct node *n = node_find(m, id, key, &hash);
    if (!n)
        return -1;
    dt_heap_set(&m->heap, &n->timer, DT_NEVER);
    dt_heap_unreserve(&m->heap, 1);
    dt_table_remove(&m->tab[id].t, &n->hash);
    free(n);
    return 0;
}

static uint32_t queue_room(const struct dt_masq *m, enum mq_queue_id q)
{
    const uint32_t room[] = {
#define X(name, size, part) mq_queue_room(m->c.sizes.size, part),
        MQ_QUEUES(X)
#undef X
    };
    return room[q];
}

/* NULL: out of memory. Places are made as turns come to them for the first time. */
static union mq_place *queue_place(struct dt_masq *m, enum mq_queue_id q, uint64_t turn)
{
    size_t at = turn % queue_room(m, q), n = m->queue[q].n;
    if (at >= n) {
        size_t more = at < 32 ? 64 : at * 2;
        union mq_place *place = realloc(m->queue[q].place, more * sizeof(*place));
        if (!place)
            return NULL;
        memset(place + n, 0, (more - n) * sizeof(*place));
        m->queue[q].place = place;
        m->queue[q].n = more;
    }
    return &m->queue[q].place[at];
}

#define MQ_ROOM(m, queue)             queue_room(m, queue)
#define MQ_TURN(m, q)                 (++(m)->queue[q].turn)
#define MQ_PLACE(m, queue, turn)      queue_place(m, queue, turn)
#define MQ_YIELDS(m)                  (&(m)->yields)
#define MQ_YIELDED(m)                 (void)(m)
#define MQ_LOOKUP(m, table, key)      lookup(m, MQ_T_##table, key)
#define MQ_INSERT(m, table, key, val) insert(m, MQ_T_##table, key, val)
#define MQ_DELETE(m, table, key)      erase(m, MQ_T_##table, key)
#define MQ_TOUCH(m, table, val)       arm(m, value_node(val))
#define MQ_LOCK(p)                    (void)(p)
#define MQ_UNLOCK(p)                  (void)(p)
#define MQ_ADD(p, n)                  (void)(*(p) += (__typeof__(*(p)))(n))
#define MQ_P(m)                       (&(m)->c.params)
#define MQ_PEERS(m)                   (&(m)->peers)
#define MQ_NEW_SERVER(m)              (&(m)->zero)
#define MQ_FAULT(m, name)             ((m)->c.faults.name)
#define MQ_EVENT(m, ev)                                                                                      \
    do {                                                                                                     \
        if ((m)->c.event)                                                                                    \
            (m)->c.event((m)->c.ctx, ev);                                                                    \
    } while (0)

#include "masq/packet.h"
#include "masq/parse.h"

/* ---- timers ---------------------------------------------------------------------------------- */

/* When a look at this entry could find it expired. */
static dt_time due(const struct dt_masq *m, const struct node *n)
{
    const struct dt_masq_params *p = &m->c.params;
    const void *v = n->value, *k = n->key;
    switch (n->table) {
    case MQ_T_esp: {
        const struct mq_esp *it = v;
        const struct mq_esp_key *key = k;
        const struct mq_esp_in *ei = lookup(m, MQ_T_esp_in, &(struct mq_esp_in_key){key->server, it->spi_in});
        dt_time last = ei && ei->client == key->client && ei->last > it->last ? ei->last : it->last;
        return dt_time_add(last, p->t_ei);
    }
    case MQ_T_server: {
        const struct mq_server *s = v;
        dt_time idle = dt_time_add(s->used, MQ_IDLE);
        if (s->state == MQ_SLOT_OUTSTANDING && !m->c.faults.keep_outstanding)
            return dt_time_add(s->created, p->t_out);
        idle = s->until > idle ? s->until : idle;
        idle = s->held > idle ? s->held : idle;
        return s->tat > idle ? s->tat : idle;
    }
    case MQ_T_ike_c: {
        const struct mq_ike_c *it = v;
        const struct mq_ike_c_key *key = k;
        const struct mq_ike_s *is =
            lookup(m, MQ_T_ike_s, &(struct mq_ike_s_key){key->icookie, it->rcookie, key->server, 0});
        dt_time last = is && is->client == key->client && is->last > it->last ? is->last : it->last;
        return dt_time_add(last, p->t_ike);
    }
    case MQ_T_ike_o:
        return dt_time_add(((const struct mq_ike_o *)v)->created, p->t_ike_out);
    case MQ_T_pair:
        return ((const struct mq_pair *)v)->until;
    case MQ_T_client:
        return dt_time_add(((const struct mq_client *)v)->used, MQ_IDLE);
    case MQ_T_frag:
        return ((const struct mq_frag *)v)->until;
    case MQ_T_esp_in:
    case MQ_T_esp_q:
    case MQ_T_ike_s:
        break; /* go with the other half */
    }
    return DT_NEVER;
}

static void arm(struct dt_masq *m, struct node *n)
{
    dt_heap_set(&m->heap, &n->timer, due(m, n));
}

static void reap(struct dt_masq *m, dt_time now, enum mq_table_id id, const void *key)
{
    switch (id) {
    case MQ_T_esp:
        mq_reap_esp(m, now, key);
        break;
    case MQ_T_server:
        mq_reap_server(m, now, key);
        break;
    case MQ_T_ike_c:
        mq_reap_ike_c(m, now, key);
        break;
    case MQ_T_ike_o:
        mq_reap_ike_o(m, now, key);
        break;
    case MQ_T_pair:
        mq_reap_pair(m, now, key);
        break;
    case MQ_T_client:
        mq_reap_client(m, now, key);
        break;
    case MQ_T_frag:
        mq_reap_frag(m, now, key);
        break;
    case MQ_T_esp_in:
        mq_reap_esp_in(m, now, key);
        break;
    case MQ_T_esp_q:
        mq_reap_esp_q(m, now, key);
        break;
    case MQ_T_ike_s:
        mq_reap_ike_s(m, now, key);
        break;
    }
}

void dt_masq_tick(struct dt_masq *m, dt_time now)
{
    struct dt_timer *t;
    while ((t = dt_heap_pop_due(&m->heap, now))) {
        struct node *n = DT_CONTAINER_OF(t, struct node, timer);
        enum mq_table_id id = n->table;
        uint64_t key[KEY_MAX / 8];
        memcpy(key, n->key, sizeof(key));
        reap(m, now, id, key);
        uint64_t hash;
        n = node_find(m, id, key, &hash);
        if (n) { /* not yet: traffic has kept it alive, or a client still has items */
            dt_time at = due(m, n);
            dt_heap_set(&m->heap, &n->timer, at > now ? at : dt_time_add(now, MQ_IDLE));
        }
    }
}

dt_time dt_masq_deadline(const struct dt_masq *m)
{
    return dt_heap_deadline(&m->heap);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct dt_masq *dt_masq_new(const struct dt_masq_config *config)
{
    struct dt_masq *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->c = *config;
    const struct dt_masq_sizes *z = &config->sizes;
    const struct {
        size_t key, value;
        uint32_t max;
    } shape[MQ_TABLE_COUNT] = {
#define SHAPE(name, n) [MQ_T_##name] = {sizeof(struct mq_##name##_key), sizeof(struct mq_##name), n}
        SHAPE(esp, z->esp),        SHAPE(esp_in, z->esp), SHAPE(esp_q, z->esp), SHAPE(server, z->servers),
        SHAPE(ike_c, z->ike),      SHAPE(ike_s, z->ike),  SHAPE(ike_o, z->ike), SHAPE(pair, z->ike),
        SHAPE(client, z->clients), SHAPE(frag, z->frags),
#undef SHAPE
    };
    dt_heap_init(&m->heap);
    for (size_t i = 0; i < MQ_TABLE_COUNT; i++) {
        m->tab[i].key = shape[i].key;
        m->tab[i].value = shape[i].value;
        m->tab[i].max = shape[i].max;
        dt_table_init(&m->tab[i].t);
    }
    return m;
}

void dt_masq_flush(struct dt_masq *m)
{
    for (size_t i = 0; i < MQ_TABLE_COUNT; i++) {
        struct dt_table_iter it = {0};
        struct dt_table_node *h;
        while ((h = dt_table_iterate(&m->tab[i].t, &it))) {
            struct node *n = DT_CONTAINER_OF(h, struct node, hash);
            dt_heap_set(&m->heap, &n->timer, DT_NEVER);
            dt_heap_unreserve(&m->heap, 1);
            dt_table_remove(&m->tab[i].t, h);
            free(n);
        }
    }
}

void dt_masq_free(struct dt_masq *m)
{
    if (!m)
        return;
    dt_masq_flush(m);
    for (size_t i = 0; i < MQ_TABLE_COUNT; i++)
        dt_table_free(&m->tab[i].t);
    for (size_t i = 0; i < MQ_QUEUE_COUNT; i++)
        free(m->queue[i].place);
    dt_heap_free(&m->heap);
    free(m);
}

void dt_masq_configure(struct dt_masq *m, const struct dt_masq_config *config)
{
    struct dt_siphash_key key = m->c.hash_key;
    struct dt_masq_sizes sizes = m->c.sizes;
    m->c = *config;
    m->c.hash_key = key;
    m->c.sizes = sizes;
    for (size_t i = 0; i < MQ_TABLE_COUNT; i++) { /* lifetimes may be others now */
        struct dt_table_iter it = {0};
        struct dt_table_node *h;
        while ((h = dt_table_iterate(&m->tab[i].t, &it)))
            arm(m, DT_CONTAINER_OF(h, struct node, hash));
    }
}

/* ---- packets --------------------------------------------------------------------------------- */

static void masq_report(struct dt_masq *m, dt_time now, const struct dt_masq_facts *f, const struct mq_out *o)
{
    if (!m->c.event || (o->verdict != DT_MASQ_DROP && o->verdict != DT_MASQ_MULTICAST))
        return;
    struct dt_masq_event ev = {.at = now, .rule = o->rule};
    mq_describe(&ev, f, o);
    m->c.event(m->c.ctx, &ev);
}

void dt_masq_packet(struct dt_masq *m, dt_time now, const struct dt_masq_facts *f, struct dt_masq_verdict *v)
{
    struct mq_out o = {.verdict = DT_MASQ_PASS};
    if (f->side == DT_MASQ_INSIDE)
        mq_from_inside(m, now, f, &o);
    else if (f->side == DT_MASQ_ROUTER)
        mq_from_router(m, now, f, &o);
    else
        mq_from_outside(m, now, f, &o);
    m->rule[o.rule]++;
    v->verdict = o.verdict;
    v->rule = o.rule;
    v->nat = f->side == DT_MASQ_INSIDE && o.verdict == DT_MASQ_FORWARD ? o.nat : 0;
    v->n = 0;
    if (o.verdict == DT_MASQ_FORWARD) {
        v->n = 1;
        v->to[0] = o.to;
    } else if (o.verdict == DT_MASQ_MULTICAST) {
        v->n = o.n;
        memcpy(v->to, m->peers.client, o.n * sizeof(v->to[0]));
    }
    masq_report(m, now, f, &o);
}

void dt_masq_prefetch(const struct dt_masq *m, const struct dt_masq_facts *f, int step)
{
    bool inside = f->side == DT_MASQ_INSIDE;
    const struct tab *t = &m->tab[inside ? MQ_T_esp : MQ_T_esp_in];
    if (f->proto != 50)
        return;
    if (step == 0) {
        __builtin_prefetch(&m->c.params);
        __builtin_prefetch(t);
        return;
    }
    struct mq_esp_key out = {f->src, f->dst, f->spi};
    struct mq_esp_in_key in = {f->src, f->spi};
    uint64_t hash = dt_siphash(&m->c.hash_key, inside ? (void *)&out : (void *)&in, t->key);
    if (!t->t.nbucket)
        return;
    if (step == 1) {
        __builtin_prefetch(&t->t.bucket[hash & (t->t.nbucket - 1)]);
        return;
    }
    const struct dt_table_node *n = t->t.bucket[hash & (t->t.nbucket - 1)];
    if (n) {
        __builtin_prefetch(n, 1);
        __builtin_prefetch((const char *)n + 64, 1);
    }
}

struct dt_masq_facts dt_masq_esp_out(uint32_t client, uint32_t server, uint32_t spi_out)
{
    return (struct dt_masq_facts){
        .side = DT_MASQ_INSIDE, .proto = 50, .src = client, .dst = server, .spi = spi_out, .len = 100};
}

struct dt_masq_facts dt_masq_esp_in(uint32_t server, uint32_t outside, uint32_t spi_in)
{
    return (struct dt_masq_facts){
        .side = DT_MASQ_OUTSIDE, .proto = 50, .src = server, .dst = outside, .spi = spi_in, .len = 100};
}

struct dt_masq_facts dt_masq_ike_out(uint32_t client, uint32_t server, uint64_t icookie, uint64_t rcookie)
{
    return (struct dt_masq_facts){.side = DT_MASQ_INSIDE,
                                  .proto = 17,
                                  .src = client,
                                  .dst = server,
                                  .len = 100,
                                  .icookie = icookie,
                                  .rcookie = rcookie};
}

struct dt_masq_facts dt_masq_ike_in(uint32_t server, uint32_t outside, uint64_t icookie, uint64_t rcookie)
{
    return (struct dt_masq_facts){.side = DT_MASQ_OUTSIDE,
                                  .proto = 17,
                                  .src = server,
                                  .dst = outside,
                                  .len = 100,
                                  .icookie = icookie,
                                  .rcookie = rcookie};
}

bool dt_masq_parse(struct dt_masq_facts *f, enum dt_masq_side side, const void *ip, size_t captured)
{
    *f = (struct dt_masq_facts){.side = (uint8_t)side};
    const uint8_t *p = ip;
    int got = mq_parse(f, p, p + captured);
    if (got == MQ_SHORT) {
        if ((f->proto != 50 && f->proto != 17) || f->flags & DT_MASQ_F_QUOTE)
            return false;
        f->flags |= DT_MASQ_F_TRUNCATED;
    }
    return got != MQ_OTHER;
}

uint64_t dt_masq_rule_count(const struct dt_masq *m, enum dt_masq_rule rule)
{
    return (unsigned)rule < DT_MASQ_RULE_COUNT ? m->rule[rule] : 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

static uint32_t masq_item_nat(const struct dt_masq *m, const struct mq_esp *it)
{
    if (mq_nat_current(&m->c.params, it->nat))
        return mq_nat_address(&m->c.params, it->nat);
    const struct mq_client *c = lookup(m, MQ_T_client, &(struct mq_client_key){it->client});
    return c ? c->nat : 0;
}

static bool item_of(const struct dt_masq *m, dt_time now, const struct node *n, struct dt_masq_item *out)
{
    struct dt_masq *mm = (struct dt_masq *)(uintptr_t)m; /* the rules' look-ups change nothing */
    const struct dt_masq_params *p = &m->c.params;
    const void *v = n->value, *k = n->key;
    *out = (struct dt_masq_item){0};
    if (n->table == MQ_T_esp) {
        const struct mq_esp *it = v;
        const struct mq_esp_key *key = k;
        if (!mq_esp_live(mm, now, key, it))
            return false;
        const struct mq_esp_in *ei = lookup(m, MQ_T_esp_in, &(struct mq_esp_in_key){key->server, it->spi_in});
        *out = (struct dt_masq_item){.kind = DT_MASQ_ESP,
                                     .state = DT_MASQ_ESTABLISHED,
                                     .client = key->client,
                                     .server = key->server,
                                     .spi_out = key->spi_out,
                                     .spi_in = it->spi_in,
                                     .created = ei ? mq_created(now, ei->created) : it->last,
                                     .last = it->last,
                                     .packets_out = it->packets,
                                     .packets_in = ei ? ei->packets : 0,
                                     .nat = masq_item_nat(m, it),
                                     .expires = due(m, n)};
        if (ei && ei->last > it->last)
            out->last = ei->last;
        return true;
    }
    if (n->table == MQ_T_server) {
        const struct mq_server *s = v;
        if (!mq_slot_taken(mm, now, s, mq_t_out(mm)))
            return false;
        *out = (struct dt_masq_item){.kind = DT_MASQ_ESP,
                                     .state = DT_MASQ_OUTSTANDING,
                                     .client = s->client,
                                     .server = ((const struct mq_server_key *)k)->server,
                                     .spi_out = s->spi_out,
                                     .created = s->created,
                                     .last = s->created,
                                     .packets_out = s->packets,
                                     .waited = s->waited,
                                     .n_after = s->n_after,
                                     .nat = s->nat,
                                     .expires = dt_time_add(s->created, mq_t_out(mm))};
        return true;
    }
    if (n->table == MQ_T_ike_o) {
        const struct mq_ike_o *o = v;
        const struct mq_ike_o_key *key = k;
        if (mq_past(now, o->created, p->t_ike_out))
            return false;
        *out = (struct dt_masq_item){.kind = DT_MASQ_IKE,
                                     .state = DT_MASQ_OUTSTANDING,
                                     .client = o->client,
                                     .server = key->server,
                                     .icookie = key->icookie,
                                     .created = o->created,
                                     .last = o->created,
                                     .packets_out = o->packets,
                                     .packets_in = o->packets_in,
                                     .nat = o->nat,
                                     .expires = dt_time_add(o->created, p->t_ike_out)};
        return true;
    }
    if (n->table == MQ_T_ike_c) {
        const struct mq_ike_c *it = v;
        const struct mq_ike_c_key *key = k;
        if (!mq_ike_c_live(mm, now, key, it))
            return false;
        const struct mq_ike_s *is =
            lookup(m, MQ_T_ike_s, &(struct mq_ike_s_key){key->icookie, it->rcookie, key->server, 0});
        *out = (struct dt_masq_item){.kind = DT_MASQ_IKE,
                                     .state = DT_MASQ_ESTABLISHED,
                                     .client = key->client,
                                     .server = key->server,
                                     .icookie = key->icookie,
                                     .rcookie = it->rcookie,
                                     .created = it->created,
                                     .last = it->last,
                                     .packets_out = it->packets,
                                     .packets_in = is ? is->packets : 0,
                                     .nat = it->nat,
                                     .expires = due(m, n)};
        if (is && is->last > it->last)
            out->last = is->last;
        return true;
    }
    return false;
}

void dt_masq_items(const struct dt_masq *m, dt_time now,
                   bool (*item)(void *ctx, const struct dt_masq_item *it), void *ctx)
{
    static const enum mq_table_id with_items[] = {MQ_T_ike_o, MQ_T_ike_c, MQ_T_server, MQ_T_esp};
    for (size_t i = 0; i < DT_ARRAY_LEN(with_items); i++) {
        struct dt_table_iter it = {0};
        struct dt_table_node *h;
        while ((h = dt_table_iterate(&m->tab[with_items[i]].t, &it))) {
            struct dt_masq_item found;
            if (item_of(m, now, DT_CONTAINER_OF(h, struct node, hash), &found) && !item(ctx, &found))
                return;
        }
    }
}

struct counting {
    enum dt_masq_kind kind;
    enum dt_masq_state state;
    size_t n;
};

static bool masq_count_one(void *ctx, const struct dt_masq_item *it)
{
    struct counting *c = ctx;
    c->n += it->kind == c->kind && it->state == c->state;
    return true;
}

size_t dt_masq_count(const struct dt_masq *m, dt_time now, enum dt_masq_kind kind, enum dt_masq_state state)
{
    struct counting c = {kind, state, 0};
    dt_masq_items(m, now, masq_count_one, &c);
    return c.n;
}

/* ---- digest ---------------------------------------------------------------------------------- */

struct digesting {
    dt_time now;
    uint64_t sum, n;
};

static bool digest_item(void *ctx, const struct dt_masq_item *it)
{
    struct digesting *g = ctx;
    struct dt_digest d;
    dt_digest_init(&d);
    dt_digest_u64(&d, (uint64_t)it->kind << 8 | it->state);
    dt_digest_u64(&d, (uint64_t)it->client << 32 | it->server);
    dt_digest_u64(&d, it->kind == DT_MASQ_IKE ? it->icookie : it->spi_out);
    dt_digest_u64(&d, it->kind == DT_MASQ_IKE ? it->rcookie : it->spi_in);
    dt_digest_u64(&d, dt_time_sub(it->expires, g->now));
    dt_digest_u64(&d, (uint64_t)it->nat << 32 | (it->waited ? it->n_after + 1 : 0));
    g->sum += dt_digest_value(&d);
    g->n++;
    return true;
}

static void digest_rest(const struct dt_masq *m, enum mq_table_id id, struct digesting *g)
{
    struct dt_table_iter it = {0};
    struct dt_table_node *h;
    while ((h = dt_table_iterate(&m->tab[id].t, &it))) {
        const struct node *n = DT_CONTAINER_OF(h, struct node, hash);
        dt_time until = id == MQ_T_pair   ? ((const struct mq_pair *)(const void *)n->value)->until
                        : id == MQ_T_frag ? ((const struct mq_frag *)(const void *)n->value)->until
                                          : ((const struct mq_server *)(const void *)n->value)->tat;
        if (until <= g->now)
            continue;
        struct dt_digest d;
        dt_digest_init(&d);
        dt_digest_u64(&d, id);
        dt_digest_bytes(&d, n->key, m->tab[id].key);
        dt_digest_u64(&d, until - g->now);
        if (id == MQ_T_frag)
            dt_digest_u64(&d, ((const struct mq_frag *)(const void *)n->value)->client);
        g->sum += dt_digest_value(&d);
    }
}

static void digest_late(const struct dt_masq *m, struct digesting *g)
{
    struct dt_table_iter it = {0};
    struct dt_table_node *h;
    while ((h = dt_table_iterate(&m->tab[MQ_T_server].t, &it))) {
        const struct node *n = DT_CONTAINER_OF(h, struct node, hash);
        const struct mq_server *s = (const void *)n->value;
        if (s->state == MQ_SLOT_OUTSTANDING && s->own_spi &&
            !mq_past(g->now, s->created, m->c.params.t_out)) {
            struct dt_digest d;
            dt_digest_init(&d);
            dt_digest_bytes(&d, n->key, m->tab[MQ_T_server].key);
            dt_digest_u64(&d, (uint64_t)s->n_own << 32 | s->own_spi);
            g->sum += dt_digest_value(&d);
        }
        /* Half-way to a reservation, or in one: before, as many more packets would have to come. */
        bool strange = s->state == MQ_SLOT_OUTSTANDING && s->n_strange > MQ_STRANGE_MAX / 2;
        if (strange || s->reserved > g->now) {
            struct dt_digest d;
            dt_digest_init(&d);
            dt_digest_bytes(&d, n->key, m->tab[MQ_T_server].key);
            dt_digest_u64(&d, strange ? (uint64_t)s->n_strange << 1 | (s->n_known != 0) : 0);
            dt_digest_u64(&d, s->reserved > g->now ? s->reserved - g->now : 0);
            g->sum += dt_digest_value(&d);
        }
        for (size_t i = 0; i < MQ_LATE_MAX; i++) {
            const struct mq_late *l = &s->late[i];
            dt_time end = dt_time_add(l->until, MQ_LATE_LONG * m->c.params.t_out);
            if (!l->n || end <= g->now)
                continue;
            struct dt_digest d;
            dt_digest_init(&d);
            dt_digest_bytes(&d, n->key, m->tab[MQ_T_server].key);
            dt_digest_u64(&d, (uint64_t)l->client << 32 | l->n);
            dt_digest_u64(&d, end - g->now);
            g->sum += dt_digest_value(&d);
        }
    }
}

/* Of a queue that has come half-way round at the least: before, no entry gives way until that many more have come. */
static void digest_queue(const struct dt_masq *m, enum mq_queue_id q, enum mq_table_id table, size_t turn_at,
                         struct digesting *g)
{
    struct dt_table_iter it = {0};
    struct dt_table_node *h;
    if (m->queue[q].turn <= queue_room(m, q) / 2)
        return;
    while ((h = dt_table_iterate(&m->tab[table].t, &it))) {
        const struct node *n = DT_CONTAINER_OF(h, struct node, hash);
        uint64_t turn = *(const uint64_t *)(const void *)((const char *)n->value + turn_at);
        struct dt_digest d;
        dt_digest_init(&d);
        dt_digest_u64(&d, (uint64_t)q << 32 | table);
        dt_digest_bytes(&d, n->key, m->tab[table].key);
        dt_digest_u64(&d, turn ? m->queue[q].turn - turn : ~0ull);
        g->sum += dt_digest_value(&d);
    }
}

void dt_masq_digest(const struct dt_masq *m, dt_time now, struct dt_digest *d)
{
    struct digesting g = {.now = now};
    dt_masq_items(m, now, digest_item, &g);
    digest_rest(m, MQ_T_pair, &g);
    digest_rest(m, MQ_T_frag, &g);
    digest_rest(m, MQ_T_server, &g);
    digest_late(m, &g);
#define X(name, size, part) digest_queue(m, MQ_Q_##name, MQ_T_##name, offsetof(struct mq_##name, turn), &g);
    MQ_QUEUES(X)
#undef X
    dt_digest_u64(d, g.n);
    dt_digest_u64(d, g.sum);
}
