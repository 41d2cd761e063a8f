/* The rules of VPN Masquerade, once: included by masq.c (user space) and by kern/nat.bpf.c (eBPF).
 *
 * Who includes it defines, over the tables of tables.h:
 *   struct mq                      the NAT; handed through as `m`
 *   MQ_LOOKUP(m, table, key)       pointer to the value, or NULL
 *   MQ_INSERT(m, table, key, val)  0, MQ_EXISTS, or another number: no room
 *   MQ_DELETE(m, table, key)       0 when it was there
 *   MQ_TOUCH(m, table, val)        its expiry may have moved nearer
 *   MQ_LOCK(p) MQ_UNLOCK(p)        the spin lock in *p
 *   MQ_ADD(p, n)                   atomic addition
 *   MQ_P(m)                        const struct dt_masq_params *
 *   MQ_PEERS(m)                    struct mq_peer_list * for the addressees of a multicast, or NULL
 *   MQ_NEW_SERVER(m)               a zeroed struct mq_server to insert from, or NULL
 *   MQ_EVENT(m, ...)               tells who watches
 *   MQ_FAULT(m, name)              a planted mistake (user space only)
 *   and what queue.h wants
 * The verifier takes no call while a lock is held: each locked section only reads and writes one struct
 * mq_server. A rule's comment names its sentence in docs/nat.md. */
#ifndef DT_MASQ_RULES_H
#define DT_MASQ_RULES_H

#include "masq/tables.h"

#ifdef __bpf__
#define MQ_FN   static __always_inline
#define MQ_COLD static __attribute__((noinline)) /* a function of its own keeps the program small */
#else
#define MQ_FN   static inline
#define MQ_COLD static inline
#endif

#include "masq/queue.h"

/* Gone at exactly `since` + `life`. Another processor's stamp may be a little ahead of our clock. */
MQ_FN int mq_past(uint64_t now, uint64_t since, uint64_t life)
{
    return now >= since && now - since >= life;
}

MQ_FN int mq_drop(struct mq_out *v, uint8_t rule)
{
    v->verdict = DT_MASQ_DROP;
    v->rule = rule;
    return 0;
}

MQ_FN int mq_forward(struct mq_out *v, uint8_t rule, uint32_t to)
{
    v->verdict = DT_MASQ_FORWARD;
    v->rule = rule;
    v->n = 1;
    v->to = to;
    return 0;
}

MQ_FN int mq_pass(struct mq_out *v)
{
    v->verdict = DT_MASQ_PASS;
    v->rule = DT_MASQ_RULE_PASS;
    return 0;
}

/* Of no client: the kernel's own stack may know what to do with it. The rule says why. */
MQ_FN int mq_leave(struct mq_out *v, uint8_t rule)
{
    v->verdict = DT_MASQ_PASS;
    v->rule = rule;
    return 0;
}

/* That client's packet has made an outstanding item. */
MQ_COLD void mq_tell_created(struct mq *m, uint64_t now, const struct dt_masq_facts *f, uint8_t rule)
{
    int esp = f->proto == 50;
    struct dt_masq_event ev = {.at = now,
                               .what = DT_MASQ_EV_CREATED,
                               .kind = esp ? DT_MASQ_ESP : DT_MASQ_IKE,
                               .rule = rule,
                               .client = f->src,
                               .server = f->dst,
                               .spi_out = esp ? f->spi : 0,
                               .icookie = esp ? 0 : f->icookie};
    MQ_EVENT(m, &ev);
}

/* ---- addresses ------------------------------------------------------------------------------- */

MQ_FN int mq_is_outside(struct mq *m, uint32_t a)
{
    const struct dt_masq_params *p = MQ_P(m);
    for (uint32_t i = 0; i < DT_MASQ_OUTSIDE_MAX && i < p->n_outside; i++)
        if (p->outside[i] == a)
            return 1;
    return 0;
}

MQ_FN int mq_in_nets(struct mq *m, uint32_t a)
{
    const struct dt_masq_params *p = MQ_P(m);
    for (uint32_t i = 0; i < DT_MASQ_NETS_MAX && i < p->n_nets; i++)
        if ((a & p->nets[i].mask) == p->nets[i].addr)
            return 1;
    return 0;
}

/* No host has such a source: this network, loopback, multicast and above. */
MQ_FN int mq_no_source(uint32_t a)
{
    return a >> 24 == 0 || a >> 24 == 127 || a >> 29 == 7;
}

/* The outside address of a new client: spread by a mixed hash, so that neighbours differ. */
MQ_FN uint32_t mq_pick(struct mq *m, uint32_t client)
{
    const struct dt_masq_params *p = MQ_P(m);
    uint32_t n = p->n_outside, h = client * 0x9e3779b1u;
    if (!n)
        return 0;
    return p->outside[((h >> 16) % n) & (DT_MASQ_OUTSIDE_MAX - 1)];
}

/* ---- clients --------------------------------------------------------------------------------- */

/* One client more. The router itself is no newcomer, nor is 0 (who gets the fragments of a multicast). NULL: no room. */
MQ_COLD struct mq_client *mq_client_make(struct mq *m, uint64_t now, uint32_t client)
{
    struct mq_client_key k = {client};
    struct mq_client fresh = {.used = now, .nat = mq_pick(m, client), .gen = MQ_P(m)->gen, .client = client};
    if (client && !mq_is_outside(m, client)) {
        union mq_place who = {.client = k};
        fresh.turn = mq_queue_take(m, MQ_Q_client, &who);
        if (!fresh.turn)
            return 0;
    }
    MQ_INSERT(m, client, &k, &fresh);
    return MQ_LOOKUP(m, client, &k);
}

MQ_COLD struct mq_client *mq_client_get(struct mq *m, uint64_t now, uint32_t client)
{
    struct mq_client_key k = {client};
    struct mq_client *c = MQ_LOOKUP(m, client, &k);
    if (!c)
        return mq_client_make(m, now, client);
    c->used = now;
    if (c->gen != MQ_P(m)->gen) { /* keeps its address unless that is gone */
        if (!mq_is_outside(m, c->nat))
            c->nat = mq_pick(m, client);
        c->gen = MQ_P(m)->gen;
    }
    return c;
}

enum { MQ_N_ESP, MQ_N_IKE, MQ_N_FRAG, MQ_N_SERVER };

MQ_FN int32_t *mq_client_count(struct mq_client *c, int what)
{
    return what == MQ_N_ESP    ? &c->n_esp
           : what == MQ_N_IKE  ? &c->n_ike
           : what == MQ_N_FRAG ? &c->n_frag
                               : &c->n_server;
}

/* One of its items is proved. Where its entry gave way meanwhile, it has a new one, with that item. */
MQ_COLD void mq_client_proved(struct mq *m, uint64_t now, uint32_t client, int what)
{
    struct mq_client_key k = {client};
    struct mq_client *c = MQ_LOOKUP(m, client, &k);
    if (c) {
        c->turn = 0;
        return;
    }
    struct mq_client fresh = {.used = now, .nat = mq_pick(m, client), .gen = MQ_P(m)->gen, .client = client};
    *mq_client_count(&fresh, what) = 1;
    MQ_INSERT(m, client, &k, &fresh);
}

/* One more of what has a share. -1: on another processor its entry has given way, and is another's now. */
MQ_FN int mq_client_add(struct mq *m, struct mq_client *c, uint32_t client, int what)
{
    int32_t *n = mq_client_count(c, what);
    MQ_ADD(n, 1);
    if (*(volatile uint32_t *)&c->client == client)
        return 0;
    MQ_ADD(n, -1);
    return -1;
}

MQ_COLD void mq_release(struct mq *m, uint32_t client, int what)
{
    struct mq_client_key k = {client};
    struct mq_client *c = MQ_LOOKUP(m, client, &k);
    if (!c)
        return;
    MQ_ADD(mq_client_count(c, what), -1);
    MQ_TOUCH(m, client, c); /* that may have been all it was kept for */
}

/* An item remembers its client's outside address until the addresses change. */
MQ_FN uint32_t mq_nat(struct mq *m, uint64_t now, uint32_t client, uint32_t *nat, uint32_t *gen)
{
    if (*gen != MQ_P(m)->gen) {
        struct mq_client *c = mq_client_get(m, now, client);
        if (c) {
            *nat = c->nat;
            *gen = MQ_P(m)->gen;
        }
    }
    return *nat;
}

/* Where an outside address stands, and since when: what an ESP item remembers of it. */
MQ_FN uint32_t mq_nat_word(struct mq *m, uint32_t nat)
{
    const struct dt_masq_params *p = MQ_P(m);
    for (uint32_t i = 0; i < DT_MASQ_OUTSIDE_MAX && i < p->n_outside; i++)
        if (p->outside[i] == nat)
            return p->gen << 3 | i;
    return (p->n_outside ? p->gen - 1 : p->gen) << 3; /* gone meanwhile: the next packet asks again */
}

/* The same for an ESP item. */
MQ_FN uint32_t mq_esp_nat(struct mq *m, uint64_t now, uint32_t client, uint32_t *word)
{
    if (mq_nat_current(MQ_P(m), *word))
        return mq_nat_address(MQ_P(m), *word);
    struct mq_client *c = mq_client_get(m, now, client);
    if (!c)
        return 0;
    *word = mq_nat_word(m, c->nat);
    return c->nat;
}

/* ---- servers and their recent clients -------------------------------------------------------- */

/* For that client; NULL: there is none yet, and the table is full or the client has had its share. A server of a client
 * that is there takes no turn: the share is its bound. */
MQ_COLD struct mq_server *mq_server_get(struct mq *m, uint64_t now, uint32_t server, uint32_t client)
{
    struct mq_server_key k = {server};
    struct mq_server *s = MQ_LOOKUP(m, server, &k);
    if (s)
        return s;
    const struct mq_server *zero = MQ_NEW_SERVER(m);
    struct mq_client_key kc = {client};
    struct mq_client *c = MQ_LOOKUP(m, client, &kc);
    if (!zero || !c || c->n_server >= (int32_t)MQ_P(m)->share_server)
        return 0;
    uint64_t turn = 0;
    if (c->turn) {
        union mq_place who = {.server = k};
        turn = mq_queue_take(m, MQ_Q_server, &who);
        if (!turn)
            return 0;
    }
    int fresh = !MQ_INSERT(m, server, &k, zero);
    s = MQ_LOOKUP(m, server, &k);
    if (s && fresh) {
        s->owner = mq_client_add(m, c, client, MQ_N_SERVER) ? 0 : client;
        s->turn = turn;
        s->used = now;
        MQ_TOUCH(m, server, s);
    }
    return s;
}

/* The pair of a client and a server; a newcomer's takes its turn. */
MQ_COLD struct mq_pair *mq_pair_get(struct mq *m, const struct mq_pair_key *k, uint64_t until, int proved)
{
    struct mq_pair *p = MQ_LOOKUP(m, pair, k);
    if (p)
        return p;
    struct mq_pair fresh = {.until = until, .peer = MQ_NO_PEER};
    if (!proved) {
        union mq_place who = {.pair = *k};
        fresh.turn = mq_queue_take(m, MQ_Q_pair, &who);
        if (!fresh.turn)
            return 0;
    }
    MQ_INSERT(m, pair, k, &fresh);
    return MQ_LOOKUP(m, pair, k);
}

/* Under the server's lock: the client's place in peer[], or one for it, or MQ_NO_PEER. A client that is proved gets the place
 * of one that is not. What is found stands in *s: values in registers would make the verifier walk each combination. */
MQ_FN uint32_t mq_peer_find(struct mq_server *s, uint64_t now, uint32_t client, int proved)
{
    volatile uint32_t *found = &s->found, *spare = &s->spare, *weak = &s->weak;
    *found = *spare = *weak = MQ_NO_PEER;
    for (uint32_t i = 0; i < DT_MASQ_PEERS_MAX; i++) {
        if (s->peer[i].client == client)
            *found = i;
        else if (!s->peer[i].client || now >= s->peer[i].until)
            *spare = *spare < i ? *spare : i;
        else if (!s->peer[i].proved)
            *weak = *weak < i ? *weak : i;
    }
    if (*found != MQ_NO_PEER)
        return *found;
    return *spare != MQ_NO_PEER || !proved ? *spare : *weak;
}

/* The client has an IKE item with the server until then: it is reached by a multicast. `proved`: that item is. */
MQ_COLD void mq_peer_note(struct mq *m, uint64_t now, uint32_t client, uint32_t server, uint64_t until,
                          int proved)
{
    struct mq_pair_key k = {client, server};
    struct mq_pair *p = mq_pair_get(m, &k, until, proved);
    if (!p)
        return;
    if (p->until < until)
        p->until = until;
    if (proved)
        p->turn = 0;
    proved = !p->turn;
    struct mq_server *s = mq_server_get(m, now, server, client);
    if (!s)
        return;
    uint32_t at = p->peer;
    MQ_LOCK(s);
    s->used = now;
    if (proved)
        s->turn = 0;
    if (s->until < until)
        s->until = until;
    if (at >= DT_MASQ_PEERS_MAX || s->peer[at & (DT_MASQ_PEERS_MAX - 1)].client != client)
        at = mq_peer_find(s, now, client, proved);
    if (at < DT_MASQ_PEERS_MAX) {
        struct mq_peer *peer = &s->peer[at & (DT_MASQ_PEERS_MAX - 1)];
        if (peer->client != client || peer->until < until)
            peer->until = until;
        peer->client = client;
        peer->proved = (uint32_t)proved;
    }
    MQ_UNLOCK(s);
    p->peer = at;
}

/* Clients of the server with an unexpired IKE item, at most `cap`, into MQ_PEERS. */
MQ_COLD uint32_t mq_peers(struct mq *m, uint64_t now, const struct mq_server *s, uint32_t cap)
{
    struct mq_peer_list *list = MQ_PEERS(m);
    if (!list)
        return 0;
    volatile uint32_t *n = &list->n; /* in memory, for the verifier's sake */
    *n = 0;
    for (uint32_t i = 0; i < DT_MASQ_PEERS_MAX; i++) {
        uint32_t at = *n;
        if (at >= cap || !s->peer[i].client || now >= s->peer[i].until)
            continue;
        list->client[at & (DT_MASQ_PEERS_MAX - 1)] = s->peer[i].client;
        *n = at + 1;
    }
    return *n;
}

/* Under the server's lock: the client's place in late[], or MQ_NO_PEER. */
MQ_FN uint32_t mq_late_find(struct mq_server *s, uint32_t client)
{
    volatile uint32_t *found = &s->found;
    *found = MQ_NO_PEER;
    for (uint32_t i = 0; i < MQ_LATE_MAX; i++)
        if (s->late[i].client == client)
            *found = i;
    return *found;
}

/* Under the lock: the outstanding item has expired. When it made another client wait while its own tried SPI after SPI, as
 * the one before it did, its client shall wait itself: twice t_out, then twice as long each time, up to MQ_LATE_LONG times.
 * Whoever loses packets, or rekeys in vain, comes with few SPIs and is left to the original rules. */
MQ_FN void mq_late_note(struct mq_server *s, uint64_t t_out)
{
    if (s->n_known && s->n_strange >= MQ_STRANGE_MAX) /* who forges sources has one at any moment */
        s->reserved = s->created + 3 * t_out;
    if (!s->waited || s->n_own < MQ_LATE_OWN)
        return;
    uint64_t end = s->created + t_out;
    uint32_t at = mq_late_find(s, s->client);
    if (at >= MQ_LATE_MAX) { /* instead of the one that is free first */
        volatile uint32_t *spare = &s->spare;
        *spare = 0;
        for (uint32_t i = 1; i < MQ_LATE_MAX; i++)
            if (s->late[i].until < s->late[*spare & (MQ_LATE_MAX - 1)].until)
                *spare = i;
        at = *spare;
        s->late[at & (MQ_LATE_MAX - 1)].client = s->client;
        s->late[at & (MQ_LATE_MAX - 1)].n = 0;
    }
    struct mq_late *l = &s->late[at & (MQ_LATE_MAX - 1)];
    uint32_t n = end > l->until + MQ_LATE_LONG * t_out ? 1 : l->n < 5 ? l->n + 1 : 5;
    l->n = n;
    l->until = n > 1 ? end + (t_out << (n - 1)) : end;
    if (s->held < l->until + MQ_LATE_LONG * t_out)
        s->held = l->until + MQ_LATE_LONG * t_out;
}

/* Under the lock: was its turn lately, and nobody answered? */
MQ_FN int mq_late_now(struct mq_server *s, uint64_t now, uint32_t client)
{
    uint32_t at = mq_late_find(s, client);
    return at < MQ_LATE_MAX && now < s->late[at & (MQ_LATE_MAX - 1)].until;
}

/* Under the lock: it was answered. By ESP that makes up for all; by IKE it may try once. */
MQ_FN void mq_late_answered(struct mq_server *s, uint64_t now, uint32_t client, uint32_t left)
{
    uint32_t at = mq_late_find(s, client);
    if (at >= MQ_LATE_MAX)
        return;
    struct mq_late *l = &s->late[at & (MQ_LATE_MAX - 1)];
    l->n = l->n < left ? l->n : left;
    l->until = l->until < now ? l->until : now;
    if (!left)
        l->client = 0;
}

MQ_COLD void mq_late_ike(struct mq *m, uint64_t now, uint32_t client, uint32_t server)
{
    struct mq_server_key k = {server};
    struct mq_server *s = MQ_LOOKUP(m, server, &k);
    if (!s)
        return;
    MQ_LOCK(s);
    mq_late_answered(s, now, client, 1);
    MQ_UNLOCK(s);
}

/* A token bucket as one stamp (GCRA): true when the packet may go. */
MQ_COLD int mq_multicast_may(struct mq *m, uint64_t now, struct mq_server *s)
{
    uint64_t step = MQ_P(m)->multicast_interval, burst = MQ_P(m)->multicast_burst;
    uint64_t room = burst > 1 ? (burst - 1) * step : 0;
    int may = 0;
    MQ_LOCK(s);
    uint64_t tat = s->tat > now ? s->tat : now;
    if (tat - now <= room) {
        s->tat = tat + step;
        may = 1;
    }
    MQ_UNLOCK(s);
    return may;
}

/* ---- ESP ------------------------------------------------------------------------------------- */

MQ_FN int mq_esp_live(struct mq *m, uint64_t now, const struct mq_esp_key *k, const struct mq_esp *it)
{
    if (!mq_past(now, it->last, MQ_P(m)->t_ei))
        return 1;
    struct mq_esp_in_key ki = {k->server, it->spi_in};
    struct mq_esp_in *ei = MQ_LOOKUP(m, esp_in, &ki);
    return ei && ei->client == k->client && ei->spi_out == k->spi_out &&
           !mq_past(now, ei->last, MQ_P(m)->t_ei);
}

MQ_COLD void mq_esp_remove(struct mq *m, uint64_t now, const struct mq_esp_key *k, uint32_t spi_in)
{
    struct mq_esp_in_key ki = {k->server, spi_in};
    struct mq_esp_q_key kq = {k->server, k->spi_out};
    uint32_t client = k->client, server = k->server, spi_out = k->spi_out;
    if (MQ_DELETE(m, esp, k))
        return; /* another processor was first */
    struct mq_esp_in *ei = MQ_LOOKUP(m, esp_in, &ki);
    if (ei && ei->client == client && ei->spi_out == spi_out)
        MQ_DELETE(m, esp_in, &ki);
    struct mq_esp_q *eq = MQ_LOOKUP(m, esp_q, &kq);
    if (eq && eq->client == client)
        MQ_DELETE(m, esp_q, &kq);
    mq_release(m, client, MQ_N_ESP);
    struct dt_masq_event ev = {.at = now,
                               .what = DT_MASQ_EV_EXPIRED,
                               .kind = DT_MASQ_ESP,
                               .state = DT_MASQ_ESTABLISHED,
                               .client = client,
                               .server = server,
                               .spi_out = spi_out,
                               .spi_in = spi_in};
    MQ_EVENT(m, &ev);
}

MQ_COLD void mq_esp_outstanding_gone(struct mq *m, uint64_t now, uint32_t client, uint32_t server,
                                     uint32_t spi_out)
{
    mq_release(m, client, MQ_N_ESP);
    struct dt_masq_event ev = {.at = now,
                               .what = DT_MASQ_EV_EXPIRED,
                               .kind = DT_MASQ_ESP,
                               .state = DT_MASQ_OUTSTANDING,
                               .client = client,
                               .server = server,
                               .spi_out = spi_out};
    MQ_EVENT(m, &ev);
}

/* Is the server's slot taken at `now`? Only under its lock, or where a torn answer does no harm. */
MQ_FN int mq_slot_taken(struct mq *m, uint64_t now, const struct mq_server *s, uint64_t t_out)
{
    return s->state == MQ_SLOT_CONVERTING ||
           (s->state == MQ_SLOT_OUTSTANDING && !mq_past(now, s->created, t_out));
}

MQ_FN uint64_t mq_t_out(struct mq *m)
{
    return MQ_FAULT(m, keep_outstanding) ? ~0ull : MQ_P(m)->t_out;
}

MQ_FN int mq_pair_live(struct mq *m, uint64_t now, uint32_t client, uint32_t server)
{
    struct mq_pair_key k = {client, server};
    struct mq_pair *p = MQ_LOOKUP(m, pair, &k);
    return p && now < p->until;
}

/* Has the client sent what that server answered, in an IKE item that lives? */
MQ_FN int mq_pair_proved(struct mq *m, uint64_t now, uint32_t client, uint32_t server)
{
    struct mq_pair_key k = {client, server};
    struct mq_pair *p = MQ_LOOKUP(m, pair, &k);
    return p && now < p->until && !p->turn;
}

/* The client's new SPI finds the server's slot free: an outstanding item, if the client may have one more. */
MQ_COLD int mq_esp_create(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_server *s,
                          struct mq_out *v)
{
    const struct dt_masq_params *p = MQ_P(m);
    if (p->require_ike && !mq_pair_live(m, now, f->src, f->dst))
        return mq_drop(v, DT_MASQ_RULE_ESP_NO_IKE);
    struct mq_client *c = mq_client_get(m, now, f->src);
    if (!c)
        return mq_drop(v, DT_MASQ_RULE_FULL);
    if (c->n_esp >= (int32_t)p->share_esp)
        return mq_drop(v, DT_MASQ_RULE_SHARE);
    if (!s)
        s = mq_server_get(m, now, f->dst, f->src);
    if (!s)
        return mq_drop(v, c->n_server >= (int32_t)p->share_server ? DT_MASQ_RULE_SHARE : DT_MASQ_RULE_FULL);
    if (mq_client_add(m, c, f->src, MQ_N_ESP))
        return mq_drop(v, DT_MASQ_RULE_FULL);
    uint32_t nat = c->nat;
    int won = 0;
    MQ_LOCK(s);
    if (s->state == MQ_SLOT_FREE && !s->dead) {
        s->state = MQ_SLOT_OUTSTANDING;
        s->created = s->used = now;
        s->client = f->src;
        s->spi_out = f->spi;
        s->spi_in = 0;
        s->nat = nat;
        s->packets = 1;
        s->waited = s->n_after = s->n_own = s->own_spi = s->n_strange = s->n_known = 0;
        won = 1;
    } else if (s->state == MQ_SLOT_OUTSTANDING && s->client == f->src && s->spi_out == f->spi) {
        won = 2; /* the same flow on another processor */
    }
    MQ_UNLOCK(s);
    if (won != 1)
        mq_release(m, f->src, MQ_N_ESP);
    if (!won)
        return mq_drop(v, DT_MASQ_RULE_ESP_WAIT);
    v->nat = nat;
    if (won == 2)
        return mq_forward(v, DT_MASQ_RULE_ESP_OUT_OUTSTANDING, f->dst);
    MQ_TOUCH(m, server, s);
    mq_tell_created(m, now, f, DT_MASQ_RULE_ESP_CREATE);
    return mq_forward(v, DT_MASQ_RULE_ESP_CREATE, f->dst);
}

/* From inside, no established item: the server's one outstanding item decides. */
MQ_COLD int mq_esp_out_new(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    struct mq_server_key ks = {f->dst};
    struct mq_server *s = MQ_LOOKUP(m, server, &ks);
    if (!s)
        return mq_esp_create(m, now, f, s, v);
    uint64_t t_out = mq_t_out(m);
    uint32_t n_out = MQ_P(m)->n_out, nat = 0, old_client = 0, old_spi = 0;
    int replace = MQ_FAULT(m, two_outstanding), proved = mq_pair_proved(m, now, f->src, f->dst);
    uint8_t rule = DT_MASQ_RULE_ESP_CREATE;
    MQ_LOCK(s);
    if (!mq_slot_taken(m, now, s, t_out) || (replace && s->client != f->src)) {
        if (s->state == MQ_SLOT_OUTSTANDING) {
            old_client = s->client;
            old_spi = s->spi_out;
            mq_late_note(s, t_out);
        }
        s->state = MQ_SLOT_FREE;
        if (mq_late_now(s, now, f->src))
            rule = DT_MASQ_RULE_ESP_BACK_OFF;
        else if (now < s->reserved && !proved)
            rule = DT_MASQ_RULE_ESP_RESERVED;
    } else if (s->client != f->src) {
        s->waited = 1;
        s->waiting = f->src;
        *(proved ? &s->n_known : &s->n_strange) += 1;
        rule = DT_MASQ_RULE_ESP_WAIT;
    } else if (s->spi_out != f->spi) {
        s->n_own += s->own_spi != f->spi;
        s->own_spi = f->spi;
        rule = DT_MASQ_RULE_ESP_WAIT_OWN;
    } else if (s->waited && s->n_after >= n_out) {
        rule = DT_MASQ_RULE_ESP_N_OUT;
    } else {
        if (s->waited)
            s->n_after++;
        s->packets++;
        nat = s->nat;
        rule = DT_MASQ_RULE_ESP_OUT_OUTSTANDING;
    }
    MQ_UNLOCK(s);
    if (rule == DT_MASQ_RULE_ESP_OUT_OUTSTANDING) {
        v->nat = nat;
        return mq_forward(v, rule, f->dst);
    }
    if (old_client)
        mq_esp_outstanding_gone(m, now, old_client, f->dst, old_spi);
    if (rule != DT_MASQ_RULE_ESP_CREATE)
        return mq_drop(v, rule);
    return mq_esp_create(m, now, f, s, v);
}

MQ_FN int mq_esp_out(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (f->spi < 256)
        return mq_drop(v, DT_MASQ_RULE_ESP_SPI);
    struct mq_esp_key k = {f->src, f->dst, f->spi};
    struct mq_esp *it = MQ_LOOKUP(m, esp, &k);
    if (it) {
        if (mq_esp_live(m, now, &k, it)) {
            if (!MQ_FAULT(m, short_t_ei))
                it->last = now;
            MQ_ADD(&it->packets, 1);
            v->nat = mq_esp_nat(m, now, f->src, &it->nat);
            return mq_forward(v, DT_MASQ_RULE_ESP_OUT_ESTABLISHED, f->dst);
        }
        mq_esp_remove(m, now, &k, it->spi_in);
    }
    return mq_esp_out_new(m, now, f, v);
}

/* The outstanding item, now converting, becomes an established one. 0, or -1 when there is no room. */
MQ_COLD int mq_esp_establish(struct mq *m, uint64_t now, const struct mq_esp_key *k, const struct mq_esp *it,
                             uint64_t created)
{
    struct mq_esp_in_key ki = {k->server, it->spi_in};
    struct mq_esp_q_key kq = {k->server, k->spi_out};
    struct mq_esp_in ei = {.last = now,
                           .server = k->server,
                           .spi_in = it->spi_in,
                           .client = k->client,
                           .spi_out = k->spi_out,
                           .packets = 1,
                           .created = mq_ticks(created)};
    struct mq_esp_q eq = {k->client};
    if (MQ_INSERT(m, esp_in, &ki, &ei))
        return -1;
    if (MQ_INSERT(m, esp, k, it)) {
        MQ_DELETE(m, esp_in, &ki);
        return -1;
    }
    MQ_INSERT(m, esp_q, &kq, &eq); /* where it fails, ICMP errors are not translated: no more than that */
    return 0;
}

/* Where the router itself speaks IKE with the server, it is one of the addressees. */
MQ_COLD int mq_esp_multicast(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_server *s,
                             struct mq_out *v)
{
    const struct dt_masq_params *p = MQ_P(m);
    uint32_t n = mq_peers(m, now, s, p->multicast_cap);
    int own = mq_pair_live(m, now, f->dst, f->src);
    if (!n || (own && (n == 1 || !p->multicast)))
        return mq_leave(v, DT_MASQ_RULE_ESP_UNKNOWN);
    if (!p->multicast)
        return mq_drop(v, DT_MASQ_RULE_MULTICAST_OFF);
    if (!mq_multicast_may(m, now, s))
        return own ? mq_leave(v, DT_MASQ_RULE_MULTICAST_RATE) : mq_drop(v, DT_MASQ_RULE_MULTICAST_RATE);
    v->verdict = DT_MASQ_MULTICAST;
    v->rule = DT_MASQ_RULE_ESP_MULTICAST;
    v->n = (uint16_t)n;
    return 0;
}

/* From outside, no established item: convert the server's outstanding item, or multicast. */
MQ_COLD int mq_esp_in_new(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    struct mq_server_key ks = {f->src};
    struct mq_server *s = MQ_LOOKUP(m, server, &ks);
    if (!s)
        return mq_leave(v, DT_MASQ_RULE_ESP_UNKNOWN);
    struct mq_esp_key k = {0, f->src, 0};
    struct mq_esp it = {.last = now, .server = f->src, .spi_in = f->spi};
    uint64_t t_out = mq_t_out(m), created = 0;
    uint32_t nat = 0;
    int convert_waiting = MQ_FAULT(m, convert_waiting);
    int found = 0;
    MQ_LOCK(s);
    if (s->state == MQ_SLOT_OUTSTANDING) {
        found = mq_past(now, s->created, t_out) ? -1 : 1;
        s->state = found == 1 ? MQ_SLOT_CONVERTING : MQ_SLOT_FREE;
        if (found == -1)
            mq_late_note(s, t_out);
        s->spi_in = f->spi;
        k.client = convert_waiting && s->waited ? s->waiting : s->client;
        k.spi_out = s->spi_out;
        created = s->created;
        it.packets = (uint32_t)s->packets;
        nat = s->nat;
    } else if (s->state == MQ_SLOT_CONVERTING && s->spi_in == f->spi) {
        found = 2; /* another processor is writing it */
        k.client = s->client;
    }
    MQ_UNLOCK(s);
    if (found == -1)
        mq_esp_outstanding_gone(m, now, k.client, f->src, k.spi_out);
    if (found <= 0)
        return mq_esp_multicast(m, now, f, s, v);
    if (found == 2)
        return mq_forward(v, DT_MASQ_RULE_ESP_IN_ESTABLISHED, k.client);
    it.client = k.client;
    it.spi_out = k.spi_out;
    it.nat = mq_nat_word(m, nat);
    int failed = mq_esp_establish(m, now, &k, &it, created);
    MQ_LOCK(s);
    s->state = failed ? MQ_SLOT_OUTSTANDING : MQ_SLOT_FREE;
    s->used = now;
    if (!failed) {
        s->turn = 0;
        mq_late_answered(s, now, k.client, 0);
    }
    MQ_UNLOCK(s);
    if (failed)
        return mq_drop(v, DT_MASQ_RULE_FULL);
    mq_client_proved(m, now, k.client, MQ_N_ESP);
    MQ_TOUCH(m, server, s);
    struct dt_masq_event ev = {.at = now,
                               .what = DT_MASQ_EV_CONVERTED,
                               .kind = DT_MASQ_ESP,
                               .state = DT_MASQ_ESTABLISHED,
                               .rule = DT_MASQ_RULE_ESP_CONVERT,
                               .client = k.client,
                               .server = f->src,
                               .spi_out = k.spi_out,
                               .spi_in = f->spi};
    MQ_EVENT(m, &ev);
    return mq_forward(v, DT_MASQ_RULE_ESP_CONVERT, k.client);
}

MQ_FN int mq_esp_in(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (f->spi < 256)
        return mq_drop(v, DT_MASQ_RULE_ESP_SPI);
    struct mq_esp_in_key ki = {f->src, f->spi};
    struct mq_esp_in *ei = MQ_LOOKUP(m, esp_in, &ki);
    if (ei) {
        struct mq_esp_key k = {ei->client, f->src, ei->spi_out};
        int live = !mq_past(now, ei->last, MQ_P(m)->t_ei);
        if (!live) { /* its other half may be younger */
            struct mq_esp *it = MQ_LOOKUP(m, esp, &k);
            live = it && it->spi_in == f->spi && !mq_past(now, it->last, MQ_P(m)->t_ei);
        }
        if (live) {
            if (!MQ_FAULT(m, short_t_ei))
                ei->last = now;
            MQ_ADD(&ei->packets, 1);
            return mq_forward(v, DT_MASQ_RULE_ESP_IN_ESTABLISHED, ei->client);
        }
        mq_esp_remove(m, now, &k, f->spi);
    }
    return mq_esp_in_new(m, now, f, v);
}

#endif
