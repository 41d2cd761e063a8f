/* What stands around the rules of rules.h: fragments, quotes in ICMP errors, sources that cannot be, and the
 * forgetting of what has expired. Included after rules.h and rules_ike.h, in both builds. */
#ifndef DT_MASQ_PACKET_H
#define DT_MASQ_PACKET_H

#include "masq/rules_ike.h"

/* ---- fragments ------------------------------------------------------------------------------- */

MQ_FN void mq_frag_gone(struct mq *m, const struct mq_frag_key *k, uint32_t client)
{
    if (!MQ_DELETE(m, frag, k))
        mq_release(m, client, MQ_N_FRAG);
}

/* A first fragment goes on its way: the others of its id shall follow it. */
MQ_COLD int mq_frag_first(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    struct mq_frag_key k = {f->src, f->dst, f->ip_id, f->proto, f->side};
    uint32_t client = f->side == DT_MASQ_INSIDE ? f->src : v->verdict == DT_MASQ_MULTICAST ? 0 : v->to;
    struct mq_frag fr = {.until = now + MQ_P(m)->t_frag,
                         .client = client,
                         .server = f->side == DT_MASQ_INSIDE ? f->dst : f->src,
                         .nat = v->nat,
                         .first_len = f->len,
                         .got = f->len,
                         .multicast = v->verdict == DT_MASQ_MULTICAST};
    struct mq_frag *old = MQ_LOOKUP(m, frag, &k);
    if (old)
        mq_frag_gone(m, &k, old->client);
    struct mq_client *c = mq_client_get(m, now, client);
    if (!c || c->n_frag >= (int32_t)MQ_P(m)->share_frag)
        return mq_drop(v, c ? DT_MASQ_RULE_SHARE : DT_MASQ_RULE_FULL);
    if (mq_client_add(m, c, client, MQ_N_FRAG))
        return mq_drop(v, DT_MASQ_RULE_FULL);
    union mq_place who = {.frag = k};
    fr.turn = mq_queue_take(m, MQ_Q_frag, &who);
    if (!fr.turn || MQ_INSERT(m, frag, &k, &fr)) {
        mq_release(m, client, MQ_N_FRAG);
        return mq_drop(v, DT_MASQ_RULE_FULL);
    }
    return 0;
}

MQ_COLD int mq_frag_later(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    struct mq_frag_key k = {f->src, f->dst, f->ip_id, f->proto, f->side};
    struct mq_frag *fr = MQ_LOOKUP(m, frag, &k);
    if (!fr || now >= fr->until) {
        if (fr)
            mq_frag_gone(m, &k, fr->client);
        if (f->proto == 17) /* may be anybody's UDP */
            return mq_pass(v);
        if (f->side == DT_MASQ_OUTSIDE) /* may be the router's own */
            return mq_leave(v, DT_MASQ_RULE_FRAG_UNKNOWN);
        return mq_drop(v, DT_MASQ_RULE_FRAG_UNKNOWN);
    }
    if (f->frag_off < fr->first_len)
        return mq_drop(v, DT_MASQ_RULE_FRAG_OVERLAP);
    uint32_t client = fr->client, server = fr->server, nat = fr->nat;
    uint8_t to_many = fr->multicast;
    MQ_ADD(&fr->got, f->len);
    if (!(f->flags & DT_MASQ_F_MORE))
        fr->total = (uint32_t)f->frag_off + f->len;
    if (fr->total && fr->got >= fr->total) /* that was all: no need to wait for t_frag */
        mq_frag_gone(m, &k, client);
    if (to_many) {
        struct mq_server_key ks = {server};
        struct mq_server *s = MQ_LOOKUP(m, server, &ks);
        uint32_t n = s ? mq_peers(m, now, s, MQ_P(m)->multicast_cap) : 0;
        if (!n)
            return mq_drop(v, DT_MASQ_RULE_FRAG_UNKNOWN);
        v->verdict = DT_MASQ_MULTICAST;
        v->rule = DT_MASQ_RULE_FRAG_FOLLOW;
        v->n = (uint16_t)n;
        return 0;
    }
    v->nat = nat;
    return mq_forward(v, DT_MASQ_RULE_FRAG_FOLLOW, f->side == DT_MASQ_INSIDE ? server : client);
}

/* ---- ICMP errors ----------------------------------------------------------------------------- */

/* The only client with a recent IKE negotiation with the server, or 0. */
MQ_FN uint32_t mq_only_peer(struct mq *m, uint64_t now, uint32_t server)
{
    struct mq_server_key k = {server};
    struct mq_server *s = MQ_LOOKUP(m, server, &k);
    struct mq_peer_list *list = MQ_PEERS(m);
    if (!s || !list || mq_peers(m, now, s, 2) != 1)
        return 0;
    return list->client[0];
}

/* The client of an IKE item with that server; 0: none. */
MQ_FN uint32_t mq_ike_client(struct mq *m, uint64_t now, const struct dt_masq_facts *f, uint32_t server)
{
    if (f->flags & DT_MASQ_F_NO_COOKIES)
        return mq_only_peer(m, now, server);
    if (f->rcookie) {
        struct mq_ike_s_key ks = {f->icookie, f->rcookie, server, 0};
        struct mq_ike_s *is = MQ_LOOKUP(m, ike_s, &ks);
        if (is && mq_ike_s_live(m, now, &ks, is))
            return is->client;
    }
    struct mq_ike_o_key ko = {f->icookie, server, 0};
    struct mq_ike_o *o = MQ_LOOKUP(m, ike_o, &ko);
    if (o && !mq_past(now, o->created, MQ_P(m)->t_ike_out))
        return o->client;
    return f->rcookie ? 0 : mq_only_peer(m, now, server);
}

/* The client that sent an ESP packet with that outgoing SPI; 0: none. */
MQ_FN uint32_t mq_esp_sender(struct mq *m, uint64_t now, uint32_t server, uint32_t spi)
{
    struct mq_esp_q_key kq = {server, spi};
    struct mq_esp_q *eq = MQ_LOOKUP(m, esp_q, &kq);
    if (eq) {
        struct mq_esp_key k = {eq->client, server, spi};
        struct mq_esp *it = MQ_LOOKUP(m, esp, &k);
        if (it && mq_esp_live(m, now, &k, it))
            return k.client;
    }
    struct mq_server_key ks = {server};
    struct mq_server *s = MQ_LOOKUP(m, server, &ks);
    if (s && s->spi_out == spi && mq_slot_taken(m, now, s, mq_t_out(m)))
        return s->client;
    return 0;
}

/* An error from outside about a packet that a client sent. It changes no item. */
MQ_COLD int mq_quote_out(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (!mq_is_outside(m, f->qsrc) || mq_no_source(f->qdst))
        return mq_pass(v);
    if (f->dst != f->qsrc)
        return mq_drop(v, DT_MASQ_RULE_ICMP_UNKNOWN);
    uint32_t client =
        f->proto == 50 ? mq_esp_sender(m, now, f->qdst, f->spi) : mq_ike_client(m, now, f, f->qdst);
    if (!client || mq_is_outside(m, client))
        return mq_leave(v, DT_MASQ_RULE_ICMP_UNKNOWN);
    return mq_forward(v, DT_MASQ_RULE_ICMP_ERROR, client);
}

/* An error from inside about a packet that a server sent to the quoted client. */
MQ_COLD int mq_quote_in(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    uint32_t client = 0;
    if (f->proto == 50) {
        struct mq_esp_in_key ki = {f->qsrc, f->spi};
        struct mq_esp_in *ei = MQ_LOOKUP(m, esp_in, &ki);
        if (ei && !mq_past(now, ei->last, MQ_P(m)->t_ei))
            client = ei->client;
    } else if (f->flags & DT_MASQ_F_NO_COOKIES) {
        client = mq_pair_live(m, now, f->qdst, f->qsrc) ? f->qdst : 0;
    } else {
        client = mq_ike_client(m, now, f, f->qsrc);
    }
    if (!client || client != f->qdst || f->dst != f->qsrc) {
        if (mq_in_nets(m, f->qdst)) /* about a multicast, say: nobody outside knows that address */
            return mq_drop(v, DT_MASQ_RULE_ICMP_UNKNOWN);
        return mq_pass(v);
    }
    struct mq_client_key k = {client};
    struct mq_client *c = MQ_LOOKUP(m, client, &k);
    if (!c)
        return mq_pass(v);
    v->nat = c->nat;
    return mq_forward(v, DT_MASQ_RULE_ICMP_ERROR, f->dst);
}

/* ---- giving way ------------------------------------------------------------------------------ */

/* A server that no client has proved to hear: it is forgotten, with an outstanding item if it has one. */
MQ_COLD void mq_server_yield(struct mq *m, uint64_t now, const struct mq_server_key *k, uint64_t turn)
{
    struct mq_server *s = MQ_LOOKUP(m, server, k);
    if (!s || s->turn != turn)
        return;
    uint32_t server = k->server, client = 0, spi_out = 0, owner = s->owner;
    MQ_LOCK(s);
    int gone = s->turn == turn && s->state != MQ_SLOT_CONVERTING;
    if (gone) {
        if (s->state == MQ_SLOT_OUTSTANDING) {
            client = s->client;
            spi_out = s->spi_out;
        }
        s->state = MQ_SLOT_FREE;
        s->dead = 1;
    }
    MQ_UNLOCK(s);
    if (!gone)
        return;
    if (!MQ_DELETE(m, server, k)) {
        mq_release(m, owner, MQ_N_SERVER);
        MQ_YIELDED(m);
    }
    if (client)
        mq_esp_outstanding_gone(m, now, client, server, spi_out);
}

MQ_COLD void mq_client_yield(struct mq *m, uint64_t now, const struct mq_client_key *k, uint64_t turn)
{
    struct mq_client *c = MQ_LOOKUP(m, client, k);
    if (c && c->turn == turn && !MQ_DELETE(m, client, k))
        MQ_YIELDED(m);
}

MQ_COLD void mq_pair_yield(struct mq *m, uint64_t now, const struct mq_pair_key *k, uint64_t turn)
{
    struct mq_pair *p = MQ_LOOKUP(m, pair, k);
    if (p && p->turn == turn && !MQ_DELETE(m, pair, k))
        MQ_YIELDED(m);
}

MQ_COLD void mq_ike_o_yield(struct mq *m, uint64_t now, const struct mq_ike_o_key *k, uint64_t turn)
{
    struct mq_ike_o *o = MQ_LOOKUP(m, ike_o, k);
    if (!o || o->turn != turn)
        return;
    mq_ike_o_end(m, now, k, o, o->created);
    MQ_YIELDED(m);
}

MQ_COLD void mq_ike_c_yield(struct mq *m, uint64_t now, const struct mq_ike_c_key *k, uint64_t turn)
{
    struct mq_ike_c *it = MQ_LOOKUP(m, ike_c, k);
    if (!it || it->turn != turn)
        return;
    mq_ike_remove(m, now, k, it->rcookie);
    MQ_YIELDED(m);
}

MQ_COLD void mq_frag_yield(struct mq *m, uint64_t now, const struct mq_frag_key *k, uint64_t turn)
{
    struct mq_frag *fr = MQ_LOOKUP(m, frag, k);
    if (!fr || fr->turn != turn)
        return;
    mq_frag_gone(m, k, fr->client);
    MQ_YIELDED(m);
}

/* The packet is done: those whose places it took (queue.h) give way. */
MQ_COLD int mq_yield(struct mq *m, uint64_t now)
{
    struct mq_yields *y = MQ_YIELDS(m);
    if (!y || !y->any)
        return 0;
    y->any = 0;
#define X(name, size, part)                                                                                  \
    if (y->turn[MQ_Q_##name])                                                                                \
        mq_##name##_yield(m, now, &y->who[MQ_Q_##name].name, y->turn[MQ_Q_##name]);                          \
    y->turn[MQ_Q_##name] = 0;
    MQ_QUEUES(X)
#undef X
    return 0;
}

/* ---- one packet ------------------------------------------------------------------------------ */

MQ_FN int mq_inside_rules(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (f->flags & DT_MASQ_F_QUOTE)
        return mq_quote_in(m, now, f, v);
    if (mq_is_outside(m, f->dst) || mq_in_nets(m, f->dst) || mq_no_source(f->dst))
        return mq_pass(v); /* for the router itself, for a neighbour, or for nobody */
    if (mq_no_source(f->src) || mq_is_outside(m, f->src) || (MQ_P(m)->n_nets && !mq_in_nets(m, f->src)))
        return mq_drop(v, DT_MASQ_RULE_SPOOFED);
    if (f->flags & DT_MASQ_F_TRUNCATED)
        return mq_drop(v, DT_MASQ_RULE_TRUNCATED);
    if (f->frag_off)
        return mq_frag_later(m, now, f, v);
    if (f->proto == 50)
        mq_esp_out(m, now, f, v);
    else
        mq_ike_out(m, now, f, v);
    if ((f->flags & DT_MASQ_F_MORE) && v->verdict == DT_MASQ_FORWARD)
        return mq_frag_first(m, now, f, v);
    return 0;
}

MQ_FN int mq_outside_rules(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (f->flags & DT_MASQ_F_QUOTE)
        return mq_quote_out(m, now, f, v);
    if (!mq_is_outside(m, f->dst))
        return mq_pass(v);
    if (mq_no_source(f->src) || mq_is_outside(m, f->src) || mq_in_nets(m, f->src))
        return mq_drop(v, DT_MASQ_RULE_SPOOFED);
    if (f->flags & DT_MASQ_F_TRUNCATED)
        return mq_drop(v, DT_MASQ_RULE_TRUNCATED);
    if (f->frag_off)
        return mq_frag_later(m, now, f, v);
    if (f->proto == 50)
        mq_esp_in(m, now, f, v);
    else
        mq_ike_in(m, now, f, v);
    if (v->verdict == DT_MASQ_FORWARD && mq_is_outside(m, v->to))
        return mq_leave(v, v->rule); /* an item of the router's own */
    if ((f->flags & DT_MASQ_F_MORE) && (v->verdict == DT_MASQ_FORWARD || v->verdict == DT_MASQ_MULTICAST))
        return mq_frag_first(m, now, f, v);
    return 0;
}

/* What the router's stack sends outside. A client's, not translated: our filter inside is gone, or has left it alone, and no
 * masquerade has seen it. Else it is the router's own packet. The router is one more client, whose address nobody changes: its items tell
 * what a server sends to it from what it sends to clients. It waits for another client's outstanding item as all do; for
 * whatever else nobody holds it back, and it has no item then. */
MQ_FN int mq_router_rules(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if ((f->flags & (DT_MASQ_F_FORWARDED | DT_MASQ_F_QUOTE)) == DT_MASQ_F_FORWARDED &&
        mq_in_nets(m, f->src) && !mq_in_nets(m, f->dst) && !mq_is_outside(m, f->src))
        return mq_drop(v, DT_MASQ_RULE_UNTRANSLATED);
    if (f->flags & (DT_MASQ_F_QUOTE | DT_MASQ_F_TRUNCATED) || f->frag_off || !mq_is_outside(m, f->src) ||
        mq_is_outside(m, f->dst) || mq_in_nets(m, f->dst) || mq_no_source(f->dst))
        return mq_pass(v);
    if (f->proto == 50)
        mq_esp_out(m, now, f, v);
    else
        mq_ike_out(m, now, f, v);
    if (v->rule == DT_MASQ_RULE_ESP_WAIT || v->rule == DT_MASQ_RULE_ESP_N_OUT ||
        v->rule == DT_MASQ_RULE_ESP_BACK_OFF || v->rule == DT_MASQ_RULE_ESP_RESERVED ||
        v->rule == DT_MASQ_RULE_IKE_COLLISION)
        return 0;
    return mq_leave(v, v->rule);
}

MQ_FN void mq_from_inside(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    mq_inside_rules(m, now, f, v);
    if (v->rule != DT_MASQ_RULE_ESP_OUT_ESTABLISHED) /* the many have given no place away */
        mq_yield(m, now);
}

MQ_FN void mq_from_outside(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    mq_outside_rules(m, now, f, v);
    if (v->rule != DT_MASQ_RULE_ESP_IN_ESTABLISHED)
        mq_yield(m, now);
}

MQ_FN void mq_from_router(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    mq_router_rules(m, now, f, v);
    if (v->rule != DT_MASQ_RULE_ESP_OUT_ESTABLISHED)
        mq_yield(m, now);
}

/* A dropped or multicast packet as an event (at, and rule, are the caller's). */
MQ_FN void mq_describe(struct dt_masq_event *ev, const struct dt_masq_facts *f, const struct mq_out *v)
{
    int inside = f->side != DT_MASQ_OUTSIDE;
    ev->what = v->verdict == DT_MASQ_MULTICAST ? DT_MASQ_EV_MULTICAST : DT_MASQ_EV_DROPPED;
    ev->kind = f->proto == 50 ? DT_MASQ_ESP : DT_MASQ_IKE;
    ev->client = inside ? f->src : 0;
    ev->server = inside ? f->dst : f->src;
    ev->spi_out = inside ? f->spi : 0;
    ev->spi_in = inside ? 0 : f->spi;
    ev->icookie = f->icookie;
    ev->rcookie = f->rcookie;
    ev->n = v->n;
}

/* ---- forgetting ------------------------------------------------------------------------------ */
/* Each looks again and removes only what has expired: the packet path may have been there meanwhile. */

MQ_FN void mq_reap_esp(struct mq *m, uint64_t now, const struct mq_esp_key *k)
{
    struct mq_esp *it = MQ_LOOKUP(m, esp, k);
    if (it && !mq_esp_live(m, now, k, it))
        mq_esp_remove(m, now, k, it->spi_in);
}

/* A half that lost its other half to a race. */
MQ_FN void mq_reap_esp_in(struct mq *m, uint64_t now, const struct mq_esp_in_key *ki)
{
    struct mq_esp_in *ei = MQ_LOOKUP(m, esp_in, ki);
    if (!ei || !mq_past(now, ei->last, MQ_P(m)->t_ei))
        return;
    struct mq_esp_key k = {ei->client, ki->server, ei->spi_out};
    struct mq_esp *it = MQ_LOOKUP(m, esp, &k);
    if (!it || it->spi_in != ki->spi_in)
        MQ_DELETE(m, esp_in, ki);
}

MQ_FN void mq_reap_esp_q(struct mq *m, uint64_t now, const struct mq_esp_q_key *kq)
{
    struct mq_esp_q *eq = MQ_LOOKUP(m, esp_q, kq);
    if (!eq)
        return;
    struct mq_esp_key k = {eq->client, kq->server, kq->spi_out};
    if (!MQ_LOOKUP(m, esp, &k))
        MQ_DELETE(m, esp_q, kq);
}

MQ_FN void mq_reap_server(struct mq *m, uint64_t now, const struct mq_server_key *k)
{
    struct mq_server *s = MQ_LOOKUP(m, server, k);
    if (!s)
        return;
    uint64_t t_out = mq_t_out(m);
    uint32_t client = 0, spi_out = 0;
    int idle;
    MQ_LOCK(s);
    if (s->state == MQ_SLOT_OUTSTANDING && mq_past(now, s->created, t_out)) {
        client = s->client;
        spi_out = s->spi_out;
        s->state = MQ_SLOT_FREE;
        mq_late_note(s, t_out);
    }
    idle = s->state == MQ_SLOT_FREE && mq_past(now, s->used, MQ_IDLE) && s->tat <= now && s->until <= now &&
           s->held <= now;
    s->dead |= (uint32_t)idle; /* another processor may be about to forget it, too */
    MQ_UNLOCK(s);
    uint32_t server = k->server, owner = s->owner;
    if (idle && !MQ_DELETE(m, server, k))
        mq_release(m, owner, MQ_N_SERVER);
    if (client)
        mq_esp_outstanding_gone(m, now, client, server, spi_out);
}

MQ_FN void mq_reap_ike_c(struct mq *m, uint64_t now, const struct mq_ike_c_key *k)
{
    struct mq_ike_c *it = MQ_LOOKUP(m, ike_c, k);
    if (it && !mq_ike_c_live(m, now, k, it))
        mq_ike_remove(m, now, k, it->rcookie);
}

MQ_FN void mq_reap_ike_s(struct mq *m, uint64_t now, const struct mq_ike_s_key *ks)
{
    struct mq_ike_s *is = MQ_LOOKUP(m, ike_s, ks);
    if (!is || !mq_past(now, is->last, MQ_P(m)->t_ike))
        return;
    struct mq_ike_c_key k = {ks->icookie, is->client, ks->server};
    struct mq_ike_c *it = MQ_LOOKUP(m, ike_c, &k);
    if (!it || it->rcookie != ks->rcookie)
        MQ_DELETE(m, ike_s, ks);
}

MQ_FN void mq_reap_ike_o(struct mq *m, uint64_t now, const struct mq_ike_o_key *k)
{
    struct mq_ike_o *o = MQ_LOOKUP(m, ike_o, k);
    if (!o)
        return;
    uint64_t created = o->created;
    if (mq_past(now, created, MQ_P(m)->t_ike_out))
        mq_ike_o_end(m, now, k, o, created);
}

MQ_FN void mq_reap_pair(struct mq *m, uint64_t now, const struct mq_pair_key *k)
{
    struct mq_pair *p = MQ_LOOKUP(m, pair, k);
    if (p && now >= p->until)
        MQ_DELETE(m, pair, k);
}

MQ_FN void mq_reap_client(struct mq *m, uint64_t now, const struct mq_client_key *k)
{
    struct mq_client *c = MQ_LOOKUP(m, client, k);
    /* A fragment lives no longer than t_frag: what is still counted then, two processors at one id have miscounted. */
    if (c && c->n_esp <= 0 && c->n_ike <= 0 && c->n_server <= 0 &&
        mq_past(now, c->used, c->n_frag > 0 ? MQ_IDLE + MQ_P(m)->t_frag : MQ_IDLE))
        MQ_DELETE(m, client, k);
}

MQ_FN void mq_reap_frag(struct mq *m, uint64_t now, const struct mq_frag_key *k)
{
    struct mq_frag *fr = MQ_LOOKUP(m, frag, k);
    if (fr && now >= fr->until)
        mq_frag_gone(m, k, fr->client);
}

#endif
