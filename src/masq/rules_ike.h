/* The rules for IKE: items by cookies. Included after rules.h, in both builds. */
#ifndef DT_MASQ_RULES_IKE_H
#define DT_MASQ_RULES_IKE_H

#include "masq/rules.h"

/* ---- IKE ------------------------------------------------------------------------------------- */

MQ_FN void mq_ike_gone(struct mq *m, uint64_t now, uint32_t client, uint32_t server, uint64_t icookie,
                       uint64_t rcookie)
{
    mq_release(m, client, MQ_N_IKE);
    struct dt_masq_event ev = {.at = now,
                               .what = DT_MASQ_EV_EXPIRED,
                               .kind = DT_MASQ_IKE,
                               .state = rcookie ? DT_MASQ_ESTABLISHED : DT_MASQ_OUTSTANDING,
                               .client = client,
                               .server = server,
                               .icookie = icookie,
                               .rcookie = rcookie};
    MQ_EVENT(m, &ev);
}

MQ_FN int mq_ike_c_live(struct mq *m, uint64_t now, const struct mq_ike_c_key *k, const struct mq_ike_c *it)
{
    if (!mq_past(now, it->last, MQ_P(m)->t_ike))
        return 1;
    struct mq_ike_s_key ks = {k->icookie, it->rcookie, k->server, 0};
    struct mq_ike_s *is = MQ_LOOKUP(m, ike_s, &ks);
    return is && is->client == k->client && !mq_past(now, is->last, MQ_P(m)->t_ike);
}

MQ_FN int mq_ike_s_live(struct mq *m, uint64_t now, const struct mq_ike_s_key *ks, const struct mq_ike_s *is)
{
    if (!mq_past(now, is->last, MQ_P(m)->t_ike))
        return 1;
    struct mq_ike_c_key k = {ks->icookie, is->client, ks->server};
    struct mq_ike_c *it = MQ_LOOKUP(m, ike_c, &k);
    return it && it->rcookie == ks->rcookie && !mq_past(now, it->last, MQ_P(m)->t_ike);
}

MQ_COLD void mq_ike_remove(struct mq *m, uint64_t now, const struct mq_ike_c_key *k, uint64_t rcookie)
{
    struct mq_ike_s_key ks = {k->icookie, rcookie, k->server, 0};
    uint32_t client = k->client;
    if (MQ_DELETE(m, ike_c, k))
        return;
    struct mq_ike_s *is = MQ_LOOKUP(m, ike_s, &ks);
    if (is && is->client == client)
        MQ_DELETE(m, ike_s, &ks);
    mq_ike_gone(m, now, client, ks.server, ks.icookie, rcookie);
}

/* Of several processors that would end an outstanding item one may, the one that still finds what it saw: the others would
 * give back a share twice, or take away an item that another client has made meanwhile. Its client, or 0. */
MQ_FN uint32_t mq_ike_o_take(struct mq_ike_o *o, uint64_t created)
{
    uint32_t client = 0;
    MQ_LOCK(o);
    if (!o->taken && o->created == created) {
        o->taken = 1;
        client = o->client;
    }
    MQ_UNLOCK(o);
    return client;
}

MQ_FN void mq_ike_o_leave(struct mq_ike_o *o)
{
    MQ_LOCK(o);
    o->taken = 0;
    MQ_UNLOCK(o);
}

MQ_FN void mq_ike_o_end(struct mq *m, uint64_t now, const struct mq_ike_o_key *k, struct mq_ike_o *o,
                        uint64_t created)
{
    uint32_t server = k->server, client = mq_ike_o_take(o, created);
    uint64_t icookie = k->icookie;
    if (client) {
        MQ_DELETE(m, ike_o, k);
        mq_ike_gone(m, now, client, server, icookie, 0);
    }
}

MQ_COLD int mq_ike_create(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    struct mq_ike_o_key ko = {f->icookie, f->dst, 0};
    struct mq_client *c = mq_client_get(m, now, f->src);
    if (!c)
        return mq_drop(v, DT_MASQ_RULE_FULL);
    if (c->n_ike >= (int32_t)MQ_P(m)->share_ike)
        return mq_drop(v, DT_MASQ_RULE_SHARE);
    /* before others can see the item, and give back its share */
    if (mq_client_add(m, c, f->src, MQ_N_IKE))
        return mq_drop(v, DT_MASQ_RULE_FULL);
    struct mq_ike_o o = {.created = now, .packets = 1, .client = f->src, .nat = c->nat};
    v->nat = o.nat;
    union mq_place who = {.ike_o = ko};
    o.turn = mq_queue_take(m, MQ_Q_ike_o, &who);
    int no = o.turn ? (int)MQ_INSERT(m, ike_o, &ko, &o) : MQ_NOROOM;
    if (no)
        mq_release(m, f->src, MQ_N_IKE);
    if (no == MQ_EXISTS) { /* another processor was first */
        struct mq_ike_o *there = MQ_LOOKUP(m, ike_o, &ko);
        if (there && there->client == f->src)
            return mq_forward(v, DT_MASQ_RULE_IKE_OUT_OUTSTANDING, f->dst);
        return mq_drop(v, DT_MASQ_RULE_IKE_COLLISION);
    }
    if (no)
        return mq_drop(v, DT_MASQ_RULE_FULL);
    mq_peer_note(m, now, f->src, f->dst, now + MQ_P(m)->t_ike_out, 0);
    mq_tell_created(m, now, f, DT_MASQ_RULE_IKE_CREATE);
    return mq_forward(v, DT_MASQ_RULE_IKE_CREATE, f->dst);
}

MQ_COLD int mq_ike_out(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (!f->icookie)
        return mq_drop(v, DT_MASQ_RULE_IKE_COOKIE);
    struct mq_ike_c_key k = {f->icookie, f->src, f->dst};
    struct mq_ike_c *it = MQ_LOOKUP(m, ike_c, &k);
    if (it) {
        if (mq_ike_c_live(m, now, &k, it)) {
            it->last = now;
            MQ_ADD(&it->packets, 1);
            v->nat = mq_nat(m, now, f->src, &it->nat, &it->gen);
            if (it->turn && f->rcookie == it->rcookie) {
                it->turn = 0;
                mq_client_proved(m, now, f->src, MQ_N_IKE);
            }
            mq_peer_note(m, now, f->src, f->dst, now + MQ_P(m)->t_ike, !it->turn);
            return mq_forward(v, DT_MASQ_RULE_IKE_OUT_ESTABLISHED, f->dst);
        }
        mq_ike_remove(m, now, &k, it->rcookie);
    }
    struct mq_ike_o_key ko = {f->icookie, f->dst, 0};
    struct mq_ike_o *o = MQ_LOOKUP(m, ike_o, &ko);
    if (o) {
        uint32_t owner = o->client;
        uint64_t created = o->created;
        if (!mq_past(now, created, MQ_P(m)->t_ike_out) && (owner == f->src || !MQ_FAULT(m, ignore_server))) {
            if (owner != f->src)
                return mq_drop(v, DT_MASQ_RULE_IKE_COLLISION);
            MQ_ADD(&o->packets, 1);
            v->nat = o->nat;
            return mq_forward(v, DT_MASQ_RULE_IKE_OUT_OUTSTANDING, f->dst);
        }
        mq_ike_o_end(m, now, &ko, o, created);
    }
    return mq_ike_create(m, now, f, v);
}

MQ_COLD int mq_ike_in(struct mq *m, uint64_t now, const struct dt_masq_facts *f, struct mq_out *v)
{
    if (!f->icookie)
        return mq_drop(v, DT_MASQ_RULE_IKE_COOKIE);
    struct mq_ike_s_key ks = {f->icookie, f->rcookie, f->src, 0};
    struct mq_ike_s *is = f->rcookie ? MQ_LOOKUP(m, ike_s, &ks) : 0;
    if (is) {
        if (mq_ike_s_live(m, now, &ks, is)) {
            uint32_t client = is->client;
            is->last = now;
            MQ_ADD(&is->packets, 1);
            mq_peer_note(m, now, client, f->src, now + MQ_P(m)->t_ike, 0);
            return mq_forward(v, DT_MASQ_RULE_IKE_IN_ESTABLISHED, client);
        }
        struct mq_ike_c_key k = {f->icookie, is->client, f->src};
        mq_ike_remove(m, now, &k, f->rcookie);
    }
    struct mq_ike_o_key ko = {f->icookie, f->src, 0};
    struct mq_ike_o *o = MQ_LOOKUP(m, ike_o, &ko);
    if (!o)
        return mq_leave(v, DT_MASQ_RULE_IKE_UNKNOWN);
    uint32_t client = o->client;
    uint64_t created = o->created;
    if (mq_past(now, created, MQ_P(m)->t_ike_out)) {
        mq_ike_o_end(m, now, &ko, o, created);
        return mq_leave(v, DT_MASQ_RULE_IKE_UNKNOWN);
    }
    if (!f->rcookie) {
        MQ_ADD(&o->packets_in, 1);
        return mq_forward(v, DT_MASQ_RULE_IKE_IN_NULL, client);
    }
    client = mq_ike_o_take(o, created);
    if (!client) /* another processor was first */
        return mq_leave(v, DT_MASQ_RULE_IKE_UNKNOWN);
    struct mq_ike_c_key k = {f->icookie, client, f->src};
    union mq_place who = {.ike_c = k};
    struct mq_ike_c it = {.rcookie = f->rcookie,
                          .created = created,
                          .last = now,
                          .packets = o->packets,
                          .nat = o->nat,
                          .gen = MQ_P(m)->gen,
                          .turn = mq_queue_take(m, MQ_Q_ike_c, &who)};
    struct mq_ike_s other = {.last = now, .packets = o->packets_in + 1, .client = client};
    if (!it.turn || MQ_INSERT(m, ike_s, &ks, &other)) {
        mq_ike_o_leave(o);
        return mq_drop(v, DT_MASQ_RULE_FULL);
    }
    if (MQ_INSERT(m, ike_c, &k, &it)) {
        MQ_DELETE(m, ike_s, &ks);
        mq_ike_o_leave(o);
        return mq_drop(v, DT_MASQ_RULE_FULL);
    }
    MQ_DELETE(m, ike_o, &ko);
    mq_peer_note(m, now, client, f->src, now + MQ_P(m)->t_ike, 0);
    mq_late_ike(m, now, client, f->src);
    struct dt_masq_event ev = {.at = now,
                               .what = DT_MASQ_EV_CONVERTED,
                               .kind = DT_MASQ_IKE,
                               .state = DT_MASQ_ESTABLISHED,
                               .rule = DT_MASQ_RULE_IKE_CONVERT,
                               .client = client,
                               .server = f->src,
                               .icookie = f->icookie,
                               .rcookie = f->rcookie};
    MQ_EVENT(m, &ev);
    return mq_forward(v, DT_MASQ_RULE_IKE_CONVERT, client);
}

#endif
