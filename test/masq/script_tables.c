/* Tables that fill, shares of them, and messages that end too early. */
#include "masq/expect.h"

static void truncated(struct rig *r)
{
    begin(r);
    struct dt_masq_facts f = ESP_OUT(C1, S1, 0x1001);
    f.flags |= DT_MASQ_F_TRUNCATED;
    f.len = 4;
    EXPECT(0, f, TRUNCATED, 0);
    f = IKE_IN(S1, 11, 0);
    f.flags |= DT_MASQ_F_TRUNCATED;
    f.len = 20;
    EXPECT(0, f, TRUNCATED, 0);
}

/* Clients that speak with ever new servers take what is their share of the table, and leave the rest to others. */
static void server_share(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.sizes.servers = 16;
    c.params.share_server = 4;
    r->start(r, &c);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < 40; k++)
            expect_at(r, at(r, 0), ESP_OUT(C1 + i, S1 + 256 * i + k, 0x1001),
                      k < 4 ? DT_MASQ_RULE_ESP_CREATE : DT_MASQ_RULE_SHARE, k < 4 ? S1 + 256 * i + k : 0,
                      __FILE__, __LINE__);
    EXPECT(0, ESP_OUT(C1, S1 + 256, 0x1001), ESP_WAIT, 0); /* another's counts for that one */
    EXPECT(0, IKE_OUT(C1 + 4, S1 + 900, 1, 0), IKE_CREATE, S1 + 900);
    EXPECT(0, ESP_OUT(C1 + 4, S1 + 900, 0x1001), ESP_CREATE, S1 + 900);
    EXPECT(0, ESP_IN(S1 + 900, 0x2001), ESP_CONVERT, C1 + 4);
    r->sweep(r, at(r, 20)); /* nothing came of them: they are forgotten, and the share is free */
    EXPECT(20, ESP_OUT(C1, S1 + 77, 0x1001), ESP_CREATE, S1 + 77);
}

/* A session of IKE, to its end: the client has sent what the server answered. */
static void prove(struct rig *r, double t, uint32_t client, uint32_t server, uint64_t icookie)
{
    EXPECT(t, IKE_OUT(client, server, icookie, 0), IKE_CREATE, server);
    EXPECT(t, IKE_IN(server, icookie, icookie + 100), IKE_CONVERT, client);
    EXPECT(t, IKE_OUT(client, server, icookie, icookie + 100), IKE_OUT_ESTABLISHED, server);
}

/* What is proved gives way to nobody: what does not fit is dropped, and those who are in the table do not notice. */
static void tables_full(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.sizes.esp = 2;
    c.sizes.ike = 3;
    c.sizes.clients = 4;
    c.sizes.servers = 3;
    r->start(r, &c);
    for (uint32_t i = 0; i < 2; i++) {
        EXPECT(0, ESP_OUT(C1 + i, S1, 0x1001), ESP_CREATE, S1);
        EXPECT(0, ESP_IN(S1, 0x2001 + i), ESP_CONVERT, C1 + i);
    }
    EXPECT(1, ESP_OUT(C3, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(1, ESP_IN(S1, 0x2009), FULL, 0);
    EXPECT(1, ESP_OUT(C3, S1, 0x1001), ESP_OUT_OUTSTANDING, S1); /* still outstanding */
    EXPECT(1, ESP_IN(S1, 0x2002), ESP_IN_ESTABLISHED, C2);
    EXPECT(1, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1);
    prove(r, 1, C3, S1, 1);
    prove(r, 1, C3 + 1, S1, 2);
    prove(r, 1, C1, S1, 3);
    EXPECT(1, IKE_OUT(C1, S1, 4, 0), IKE_CREATE, S1);
    EXPECT(1, IKE_IN(S1, 4, 104), FULL, 0);
    EXPECT(1, IKE_OUT(C1, S1, 4, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT(1, IKE_OUT(C3 + 2, S1, 5, 0), FULL, 0); /* clients */
    EXPECT(1, ESP_OUT(C1, S2, 0x1002), ESP_CREATE, S2);
    EXPECT(1, ESP_OUT(C1, S2 + 1, 0x1003), ESP_CREATE, S2 + 1);
    EXPECT(1, ESP_OUT(C1, S2 + 2, 0x1004), FULL, 0); /* servers */
    EXPECT(30, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1);
    EXPECT(30, ESP_IN(S1, 0x2002), ESP_IN_ESTABLISHED, C2);
    EXPECT(30, IKE_IN(S1, 2, 102), IKE_IN_ESTABLISHED, C3 + 1);
    r->sweep(r, at(r, 31)); /* what has expired leaves room again */
    EXPECT(31, ESP_OUT(C1, S2 + 2, 0x1004), ESP_CREATE, S2 + 2);
    r->sweep(r, at(r, 700));
    prove(r, 700, C3 + 2, S1, 5);
}

/* Tables of a size for these scripts, and the places of their queues. */
enum {
    CLIENT_PLACES = 64,
    SERVER_PLACES = 64,
    PAIR_PLACES = 128,
    IKE_C_PLACES = 128,
    IKE_O_PLACES = 240,
    FRAG_PLACES = 60
};

static struct dt_masq_config queue_config(void)
{
    struct dt_masq_config c = rig_config();
    c.sizes = (struct dt_masq_sizes){.esp = 256, .ike = 256, .clients = 128, .servers = 128, .frags = 64};
    return c;
}

/* Outstanding items of IKE, one a client, from `client` on. */
static void newcomers(struct rig *r, uint32_t client, uint32_t n, uint32_t server, uint64_t icookie)
{
    for (uint32_t i = 0; i < n; i++)
        EXPECT(0, IKE_OUT(client + i, server, icookie + i, 0), IKE_CREATE, server);
}

/* Clients that have proved nothing give way in the order in which they came, each when the queue comes to its place. Whoever
 * has sent what its server answered does not; a cookie that is none of the server's is no proof. */
static void clients_give_way(struct rig *r)
{
    struct dt_masq_config c = queue_config();
    c.params.share_ike = 1;
    r->start(r, &c);
    prove(r, 0, C1, S1, 1);
    EXPECT(0, IKE_OUT(C2, S1, 2, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_IN(S1, 2, 102), IKE_CONVERT, C2); /* answered: anybody would be */
    EXPECT(0, IKE_OUT(C2, S1, 2, 103), IKE_OUT_ESTABLISHED, S1);
    newcomers(r, C3, CLIENT_PLACES - 1, S1, 1000);
    EXPECT(0, IKE_OUT(C2, S1, 20, 0), SHARE, 0); /* it has an entry, and that counts an item */
    newcomers(r, C3 + 100, 1, S1, 2000);
    EXPECT(0, IKE_OUT(C3, S1, 30, 0), SHARE, 0);
    EXPECT(0, IKE_OUT(C2, S1, 20, 0), IKE_CREATE, S1); /* it had to go, and comes anew ... */
    EXPECT(0, IKE_OUT(C3, S1, 30, 0), IKE_CREATE, S1); /* ... where C3 was, and so on */
    EXPECT(0, IKE_OUT(C3 + 2, S1, 50, 0), SHARE, 0);
    newcomers(r, C3 + 200, CLIENT_PLACES, S1, 3000);
    EXPECT(0, IKE_OUT(C1, S1, 10, 0), SHARE, 0);
    EXPECT(0, IKE_IN(S1, 2, 102), IKE_IN_ESTABLISHED, C2); /* an item outlives its client's entry */
    EXPECT(0, IKE_OUT(C2, S1, 2, 102), IKE_OUT_ESTABLISHED, S1);
    newcomers(r, C3 + 400, CLIENT_PLACES, S1, 4000);
    EXPECT(0, IKE_OUT(C2, S1, 21, 0), SHARE, 0); /* it is proved now, and has that item */
}

/* The same for items of IKE, outstanding ones and those that were answered. */
static void ike_gives_way(struct rig *r)
{
    struct dt_masq_config c = queue_config();
    r->start(r, &c);
    for (uint32_t i = 0; i < IKE_O_PLACES; i++)
        EXPECT(0, IKE_OUT(C1, S1, 1 + i, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_OUT(C1, S1, 1, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT(0, IKE_OUT(C2, S1, 999, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_IN(S1, 1, 1001), IKE_UNKNOWN, 0);
    for (uint32_t i = 2; i < 2 + IKE_C_PLACES; i++)
        EXPECT(0, IKE_IN(S1, i, 1000 + i), IKE_CONVERT, C1);
    EXPECT(0, IKE_OUT(C1, S1, 3, 1003), IKE_OUT_ESTABLISHED, S1);
    EXPECT(0, IKE_IN(S1, 2, 1002), IKE_IN_ESTABLISHED, C1);
    EXPECT(0, IKE_IN(S1, 999, 1999), IKE_CONVERT, C2);
    EXPECT(0, IKE_IN(S1, 2, 1002), IKE_UNKNOWN, 0);
    for (uint32_t i = 2 + IKE_C_PLACES; i < 10 + IKE_C_PLACES; i++)
        EXPECT(0, IKE_IN(S1, i, 1000 + i), IKE_CONVERT, C1);
    EXPECT(0, IKE_IN(S1, 11, 1011), IKE_IN_ESTABLISHED, C1);
    EXPECT(0, IKE_IN(S1, 10, 1010), IKE_UNKNOWN, 0);
    EXPECT(0, IKE_IN(S1, 3, 1003), IKE_IN_ESTABLISHED, C1);
}

/* ... for pairs, which require_ike asks for, ... */
static void pairs_give_way(struct rig *r)
{
    struct dt_masq_config c = queue_config();
    c.params.require_ike = 1;
    r->start(r, &c);
    prove(r, 0, C1, S1, 1);
    EXPECT(0, IKE_OUT(C2, S1, 2, 0), IKE_CREATE, S1);
    newcomers(r, C3, PAIR_PLACES - 1, S2, 1000);
    EXPECT(0, ESP_OUT(C2, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0x2001), ESP_CONVERT, C2);
    newcomers(r, C3 + PAIR_PLACES, 1, S2, 2000);
    EXPECT(0, ESP_OUT(C2, S1, 0x1002), ESP_NO_IKE, 0);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
}

/* ... for servers that no client has proved to hear, with what is outstanding there, ... */
static void servers_give_way(struct rig *r)
{
    struct dt_masq_config c = queue_config();
    r->start(r, &c);
    prove(r, 0, C2, S2, 1);
    EXPECT(0, ESP_OUT(C2, S2, 0x1001), ESP_CREATE, S2);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0, ESP_OUT(C1, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(0, ESP_OUT(C1, S1 + 10, 0x1001), ESP_CREATE, S1 + 10); /* by a client that is there: no turn */
    for (uint32_t i = 0; i < SERVER_PLACES; i++)
        EXPECT(0, ESP_OUT(C3, S1 + 20 + i, 0x1001), ESP_CREATE, S1 + 20 + i);
    EXPECT(0, ESP_OUT(C3, S1 + 20, 0x1001), ESP_OUT_OUTSTANDING, S1 + 20);
    EXPECT(0, ESP_OUT(C3, S1 + 200, 0x1001), ESP_CREATE, S1 + 200);
    EXPECT(0, ESP_IN(S1 + 20, 0x2001), ESP_UNKNOWN, 0);
    EXPECT(0, ESP_IN(S1 + 21, 0x2001), ESP_CONVERT, C3);
    EXPECT(0, ESP_IN(S2, 0x2001), ESP_CONVERT, C2);
    EXPECT(0, ESP_IN(S1, 0x2002), ESP_CONVERT, C1);
    EXPECT(0, ESP_IN(S1 + 10, 0x2001), ESP_CONVERT, C1);
}

/* ... and for first fragments, anybody's: the others of a packet come at once, or not at all. */
static void fragments_give_way(struct rig *r)
{
    struct dt_masq_config c = queue_config();
    r->start(r, &c);
    prove(r, 0, C1, S1, 1);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    for (uint16_t id = 1; id <= FRAG_PLACES; id++)
        EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), id, 0, 800, true), ESP_OUT_OUTSTANDING, S1);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 1, 800, 100, true), FRAG_FOLLOW, S1);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 99, 0, 800, true), ESP_OUT_OUTSTANDING, S1);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 1, 900, 100, true), FRAG_UNKNOWN, 0);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 2, 800, 100, true), FRAG_FOLLOW, S1);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 99, 800, 100, true), FRAG_FOLLOW, S1);
}

/* A server has as many addressees of a multicast as it can: who is proved takes the place of one who is not. */
static void multicast_places(struct rig *r)
{
    struct dt_masq_verdict v;
    struct dt_masq_facts in = ESP_IN(S1, 0x2001);
    begin(r);
    prove(r, 0, C1, S1, 1);
    newcomers(r, C2, 199, S1, 2);
    prove(r, 0, C1 + 500, S1, 1000);
    r->packet(r, at(r, 0), &in, &v);
    assert_int_equal(v.verdict, DT_MASQ_MULTICAST);
    assert_int_equal(v.n, DT_MASQ_PEERS_MAX);
    bool first = false, last = false;
    for (size_t i = 0; i < v.n; i++) {
        first |= v.to[i] == C1;
        last |= v.to[i] == C1 + 500;
    }
    assert_true(first && last);
}

/* A host inside sends with forged sources, of which each returns: a message of IKE to whatever server, an ESP packet, a first
 * fragment. Some of those servers are real, and answer whom they hear. `n` packets from 10.0.1.0 up. */
struct forger {
    uint32_t sources, servers, n;
    bool answered; /* the servers are IKE responders */
};

static void forge(struct rig *r, struct forger *f, double t, uint32_t packets)
{
    struct dt_masq_verdict v;
    for (uint32_t i = 0; i < packets; i++, f->n++) {
        uint32_t from = 0x0a000100 + f->n % f->sources, to = 0xc6120000 + f->n % f->servers;
        struct dt_masq_facts out =
            f->n % 3 == 0 ? ESP_OUT(from, to, 0x10000 + f->n) : IKE_OUT(from, to, 0x10000 + f->n, 0);
        if (f->n % 3 == 1)
            out = frag(out, (uint16_t)f->n, 0, 400, true);
        r->packet(r, at(r, t), &out, &v);
        if (f->answered && f->n % 3) {
            struct dt_masq_facts in = IKE_IN(to, 0x10000 + f->n, 0x20000 + f->n);
            r->packet(r, at(r, t), &in, &v);
        }
    }
}

/* The exchanges with which a client comes in, `packets` forged ones between each two of its own. */
static void come_in(struct rig *r, struct forger *f, double t, uint32_t client, uint32_t server,
                    uint32_t packets)
{
    uint64_t ic = 0x100000000u + client, rc = 0x200000000u + client;
    EXPECT(t, IKE_OUT(client, server, ic, 0), IKE_CREATE, server);
    forge(r, f, t, packets);
    EXPECT(t, IKE_IN(server, ic, rc), IKE_CONVERT, client);
    forge(r, f, t, packets);
    EXPECT(t, frag(IKE_OUT(client, server, ic, rc), 7, 0, 800, true), IKE_OUT_ESTABLISHED, server);
    EXPECT(t, frag(IKE_OUT(client, server, ic, rc), 7, 800, 200, false), FRAG_FOLLOW, server);
    forge(r, f, t, packets);
    EXPECT(t, IKE_IN(server, ic, rc), IKE_IN_ESTABLISHED, client);
    EXPECT(t, ESP_OUT(client, server, client), ESP_CREATE, server);
    forge(r, f, t, packets);
    EXPECT(t, ESP_IN(server, client), ESP_CONVERT, client);
    EXPECT(t, ESP_OUT(client, server, client), ESP_OUT_ESTABLISHED, server);
}

/* While forgers fill every table whose entries a packet from inside makes, whether somebody answers them or not: each new
 * client comes in, and those who are in do not notice. */
static void forged_sources(struct rig *r)
{
    for (uint32_t answered = 0; answered < 2; answered++) {
        struct dt_masq_config c = queue_config();
        struct forger f = {.sources = 700, .servers = 5000, .answered = answered};
        r->start(r, &c);
        come_in(r, &f, 0, C1, S1, 0);
        come_in(r, &f, 0, C2, S2, 0);
        for (uint32_t s = 1; s <= 40; s++) { /* longer than anything of the forgers' lives by itself */
            for (uint32_t i = 0; i < 10; i++) {
                forge(r, &f, s, 25);
                r->sweep(r, at(r, s));
                EXPECT(s, ESP_OUT(C1, S1, C1), ESP_OUT_ESTABLISHED, S1);
                EXPECT(s, ESP_IN(S1, C1), ESP_IN_ESTABLISHED, C1);
                EXPECT(s, frag(ESP_OUT(C2, S2, C2), (uint16_t)s, 0, 800, true), ESP_OUT_ESTABLISHED, S2);
                EXPECT(s, frag(ESP_OUT(C2, S2, C2), (uint16_t)s, 800, 200, false), FRAG_FOLLOW, S2);
            }
            come_in(r, &f, s, C3 + s, S1 + 100 + s % 8, 40);
        }
        EXPECT(41, IKE_OUT(C1, S1, 0x100000000u + C1, 0x200000000u + C1), IKE_OUT_ESTABLISHED, S1);
        EXPECT(41, IKE_IN(S2, 0x100000000u + C2, 0x200000000u + C2), IKE_IN_ESTABLISHED, C2);
    }
}

/* Whoever forges sources finds a server's slot free first, always. When many packets of clients of no proof have waited, and one
 * of a client that has sent what that server answered, such clients alone may have it next. */
static void slot_reserved(struct rig *r)
{
    begin(r);
    prove(r, 0, C1, S1, 1);
    EXPECT(0, ESP_OUT(C2, S1, 0x1001), ESP_CREATE, S1);
    for (uint32_t i = 0; i < 40; i++) /* and C1 does not wait: theirs again */
        EXPECT(0, ESP_OUT(C3 + i, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(5, ESP_OUT(C3 + 40, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(6, ESP_OUT(C1, S1, 0x1001), ESP_WAIT, 0);
    for (uint32_t i = 0; i < 15; i++)
        EXPECT(6, ESP_OUT(C3 + i, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(10, ESP_OUT(C3 + 41, S1, 0x1001), ESP_CREATE, S1); /* fifteen are few */
    for (uint32_t i = 0; i < 16; i++)
        EXPECT(11, ESP_OUT(C3 + i, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(11, ESP_OUT(C1, S1, 0x1001), ESP_WAIT, 0);
    EXPECT_BEFORE(15, ESP_OUT(C3, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(15, ESP_OUT(C3, S1, 0x1001), ESP_RESERVED, 0);
    EXPECT_BEFORE(25, ESP_OUT(C3, S1, 0x1001), ESP_RESERVED, 0);
    EXPECT(25, ESP_OUT(C3, S1, 0x1001), ESP_CREATE, S1); /* it did not come for it */
    for (uint32_t i = 1; i < 17; i++)
        EXPECT(25, ESP_OUT(C3 + i, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(25, ESP_OUT(C1, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(30, ESP_OUT(C3, S1, 0x1001), ESP_RESERVED, 0);
    EXPECT(39, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(39, ESP_OUT(C3, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(39, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(39, ESP_OUT(C3, S1, 0x1001), ESP_RESERVED, 0);
    EXPECT(40, ESP_OUT(C3, S1, 0x1001), ESP_CREATE, S1);
}

const struct script scripts_tables[] = {
    SCRIPT(truncated),        SCRIPT(multicast_places),   SCRIPT(slot_reserved),  SCRIPT(server_share),
    SCRIPT(tables_full),      SCRIPT(clients_give_way),   SCRIPT(ike_gives_way),  SCRIPT(pairs_give_way),
    SCRIPT(servers_give_way), SCRIPT(fragments_give_way), SCRIPT(forged_sources), SCRIPTS_END,
};
