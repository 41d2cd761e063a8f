/* Who else sends: strangers, routers on the way (fragments, ICMP errors), several outside addresses, and the router itself as an IPsec end. */
#include "masq/expect.h"

static struct dt_masq_facts from(struct dt_masq_facts f, uint32_t src)
{
    f.src = src;
    return f;
}

static void spoofed(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.n_nets = 1;
    c.params.nets[0] = (struct dt_masq_net){0x0a000000u, 0xff000000u};
    r->start(r, &c);
    EXPECT(0, ESP_OUT(0x0b000001u, S1, 0x1001), SPOOFED, 0); /* not of our clients */
    EXPECT(0, ESP_OUT(OUT, S1, 0x1001), SPOOFED, 0);
    EXPECT(0, ESP_OUT(0x7f000001u, S1, 0x1001), SPOOFED, 0);
    EXPECT(0, ESP_OUT(0xe0000001u, S1, 0x1001), SPOOFED, 0);
    EXPECT(0, from(ESP_IN(S1, 0x2001), C1), SPOOFED, 0); /* a client's address from outside */
    EXPECT(0, from(ESP_IN(S1, 0x2001), OUT), SPOOFED, 0);
    EXPECT(0, from(IKE_IN(S1, 1, 2), 0x00000001u), SPOOFED, 0);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, ESP_OUT(C1, C2, 0x1001), PASS, 0);          /* a neighbour */
    EXPECT(0, ESP_OUT(C1, OUT, 0x1001), PASS, 0);         /* the router itself */
    EXPECT(0, ESP_OUT(C1, 0xe0000001u, 0x1001), PASS, 0); /* nobody */
    EXPECT(0, ESP_OUT(C1, 0, 0x1001), PASS, 0);
    struct dt_masq_facts elsewhere = ESP_IN(S1, 0x2001);
    elsewhere.dst = OUT + 9;
    EXPECT(0, elsewhere, PASS, 0);
}

static void outsider(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    for (uint32_t i = 0; i < 50; i++) { /* a server that nobody talks to changes nothing */
        EXPECT(0.1, ESP_IN(S2, 0x3000 + i), ESP_UNKNOWN, 0);
        EXPECT(0.1, IKE_IN(S2, 11, 100 + i), IKE_UNKNOWN, 0);
        EXPECT(0.1, IKE_IN(S1, 500 + i, 100 + i), IKE_UNKNOWN, 0);
    }
    EXPECT(0.2, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0.2, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
}

static void fragments(struct rig *r)
{
    begin(r);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 7, 800, 100, false), FRAG_UNKNOWN, 0); /* first not seen */
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 7, 0, 800, true), ESP_CREATE, S1);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 8, 800, 100, false), FRAG_UNKNOWN, 0); /* another id */
    EXPECT(0, frag(ESP_OUT(C2, S1, 0x1001), 7, 800, 100, false), FRAG_UNKNOWN, 0); /* another client */
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 7, 792, 100, false), FRAG_OVERLAP, 0);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 7, 8, 100, true), FRAG_OVERLAP, 0);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 7, 800, 100, false), FRAG_FOLLOW, S1);
    EXPECT(0, frag(ESP_OUT(C1, S1, 0x1001), 7, 800, 100, false), FRAG_UNKNOWN, 0); /* it was complete */
    EXPECT(0, frag(ESP_IN(S1, 0x2001), 9, 0, 400, true), ESP_CONVERT, C1);
    EXPECT(1, frag(ESP_IN(S1, 0), 9, 800, 40, false), FRAG_FOLLOW, C1); /* any order */
    EXPECT(1, frag(ESP_IN(S1, 0), 9, 400, 400, true), FRAG_FOLLOW, C1);
    EXPECT(1, frag(ESP_IN(S1, 0), 9, 400, 400, true), FRAG_UNKNOWN, 0);
    EXPECT(2, frag(ESP_IN(S1, 0x2001), 10, 0, 400, true), ESP_IN_ESTABLISHED, C1);
    EXPECT_BEFORE(32, frag(ESP_IN(S1, 0), 10, 800, 40, false), FRAG_FOLLOW, C1);
    EXPECT(32, frag(ESP_IN(S1, 0), 10, 400, 400, true), FRAG_UNKNOWN, 0); /* never completed */
    /* UDP: a later fragment may be anybody's */
    EXPECT(33, frag(IKE_OUT(C1, S1, 11, 0), 7, 800, 100, false), PASS, 0);
    EXPECT(33, frag(IKE_OUT(C1, S1, 11, 0), 7, 0, 800, true), IKE_CREATE, S1);
    EXPECT(33, frag(IKE_OUT(C1, S1, 11, 0), 7, 800, 100, false), FRAG_FOLLOW, S1);
    /* a first fragment that was dropped takes no others along */
    EXPECT(34, frag(IKE_OUT(C2, S1, 11, 0), 7, 0, 800, true), IKE_COLLISION, 0);
    EXPECT(34, frag(IKE_OUT(C2, S1, 11, 0), 7, 800, 100, false), PASS, 0);
}

static void fragment_share(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.share_frag = 4;
    r->start(r, &c);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    for (uint16_t i = 0; i < 4; i++)
        EXPECT(1, frag(ESP_OUT(C1, S1, 0x1001), (uint16_t)(100 + i), 0, 800, true), ESP_OUT_ESTABLISHED, S1);
    EXPECT(1, frag(ESP_OUT(C1, S1, 0x1001), 200, 0, 800, true), SHARE, 0);
    EXPECT(1, frag(ESP_OUT(C1, S1, 0x1001), 100, 0, 800, true), ESP_OUT_ESTABLISHED, S1); /* the same again */
    EXPECT(1, frag(ESP_OUT(C2, S2, 0x1001), 100, 0, 800, true), ESP_CREATE, S2);
    r->sweep(r, at(r, 31));
    EXPECT(31, frag(ESP_OUT(C1, S1, 0x1001), 200, 0, 800, true), ESP_OUT_ESTABLISHED, S1);
}

static struct dt_masq_facts quote(enum dt_masq_side side, uint32_t router, struct dt_masq_facts q)
{
    q.qsrc = q.src;
    q.qdst = q.dst;
    q.src = router;
    q.dst = q.qsrc;
    q.side = (uint8_t)side;
    q.flags |= DT_MASQ_F_QUOTE;
    return q;
}

/* What the outside has seen of a client's packet. */
static struct dt_masq_facts seen(struct dt_masq_facts f)
{
    return from(f, OUT);
}

static struct dt_masq_facts seen_inside(struct dt_masq_facts f, uint32_t client)
{
    f.dst = client;
    return f;
}

#define ROUTER 0xc6336401u /* 198.51.100.1 */

static void icmp_from_outside(struct rig *r)
{
    begin(r);
    struct dt_masq_facts esp1 = quote(DT_MASQ_OUTSIDE, ROUTER, seen(ESP_OUT(C1, S1, 0x1001)));
    EXPECT(0, esp1, ICMP_UNKNOWN, 0);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(1, esp1, ICMP_ERROR, C1); /* outstanding */
    EXPECT(1, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(2, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(2, ESP_IN(S1, 0x2002), ESP_CONVERT, C2);
    EXPECT(3, esp1, ICMP_ERROR, C1);
    EXPECT(3, quote(DT_MASQ_OUTSIDE, ROUTER, seen(ESP_OUT(C1, S1, 0x1002))), ICMP_ERROR, C2);
    EXPECT(3, quote(DT_MASQ_OUTSIDE, ROUTER, seen(ESP_OUT(C1, S2, 0x1001))), ICMP_UNKNOWN, 0);
    EXPECT(3, quote(DT_MASQ_OUTSIDE, ROUTER, from(ESP_OUT(C1, S1, 0x1001), OUT + 9)), PASS, 0);
    EXPECT(4, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(4, quote(DT_MASQ_OUTSIDE, ROUTER, seen(IKE_OUT(C1, S1, 11, 0))), ICMP_ERROR, C1);
    EXPECT(4, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(5, quote(DT_MASQ_OUTSIDE, ROUTER, seen(IKE_OUT(C1, S1, 11, 22))), ICMP_ERROR, C1);
    EXPECT(5, quote(DT_MASQ_OUTSIDE, ROUTER, seen(IKE_OUT(C1, S1, 12, 22))), ICMP_UNKNOWN, 0);
    struct dt_masq_facts eight = quote(DT_MASQ_OUTSIDE, ROUTER, seen(IKE_OUT(C1, S1, 0, 0)));
    eight.flags |= DT_MASQ_F_NO_COOKIES; /* only the UDP header is quoted */
    EXPECT(5, eight, ICMP_ERROR, C1);
    EXPECT(6, IKE_OUT(C2, S1, 12, 0), IKE_CREATE, S1);
    EXPECT(6, eight, ICMP_UNKNOWN, 0); /* two could be meant */
    EXPECT(60.9, esp1, ICMP_ERROR, C1);
    EXPECT(61, esp1, ICMP_UNKNOWN, 0); /* errors do not keep an item alive */
}

static void icmp_from_inside(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(1, quote(DT_MASQ_INSIDE, C1, seen_inside(ESP_IN(S1, 0x2001), C1)), ICMP_ERROR, S1);
    EXPECT(1, quote(DT_MASQ_INSIDE, C1, seen_inside(IKE_IN(S1, 11, 22), C1)), ICMP_ERROR, S1);
    EXPECT(1, quote(DT_MASQ_INSIDE, C2, seen_inside(ESP_IN(S1, 0x2001), C2)), PASS, 0);
    EXPECT(1, quote(DT_MASQ_INSIDE, C1, seen_inside(ESP_IN(S1, 0x2002), C1)), PASS, 0);
    /* where it is known who is a client, none speaks of its own address to the outside */
    struct dt_masq_config c = rig_config();
    c.params.n_nets = 1;
    c.params.nets[0] = (struct dt_masq_net){C1 & 0xffffff00u, 0xffffff00u};
    r->configure(r, &c);
    EXPECT(1, quote(DT_MASQ_INSIDE, C2, seen_inside(ESP_IN(S1, 0x2001), C2)), ICMP_UNKNOWN, 0);
    EXPECT(1, quote(DT_MASQ_INSIDE, C1, seen_inside(ESP_IN(S1, 0x2002), C1)), ICMP_UNKNOWN, 0);
    EXPECT(1, quote(DT_MASQ_INSIDE, C1, seen_inside(IKE_IN(S1, 12, 22), C1)), ICMP_UNKNOWN, 0);
    EXPECT(1, quote(DT_MASQ_INSIDE, C1, seen_inside(ESP_IN(S1, 0x2001), C1)), ICMP_ERROR, S1);
}

static void several_outside(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.n_outside = 2;
    c.params.outside[1] = OUT2;
    r->start(r, &c);
    uint32_t nat[16], both = 0;
    for (uint32_t i = 0; i < 16; i++) {
        struct dt_masq_verdict v = {0}, w = {0};
        struct dt_masq_facts esp = ESP_OUT(C1 + i, S1 + i, 0x1000 + i),
                             ike = IKE_OUT(C1 + i, S1 + i, 9 + i, 0);
        r->packet(r, at(r, 0), &esp, &v);
        r->packet(r, at(r, 0), &ike, &w);
        assert_int_equal(v.nat, w.nat); /* IKE and ESP of a client share an address */
        nat[i] = v.nat;
        both |= v.nat == OUT ? 1 : v.nat == OUT2 ? 2 : 4;
        struct dt_masq_facts in = dt_masq_esp_in(S1 + i, nat[i], 0x2000 + i);
        r->packet(r, at(r, 0), &in, &v);
        assert_int_equal(v.rule, DT_MASQ_RULE_ESP_CONVERT);
    }
    assert_int_equal(both, 3);
    /* one address goes: its clients move, the others stay where they are */
    c.params.n_outside = 1;
    c.params.outside[0] = OUT2;
    c.params.gen++;
    r->configure(r, &c);
    for (uint32_t i = 0; i < 16; i++) {
        struct dt_masq_verdict v = {0};
        struct dt_masq_facts esp = ESP_OUT(C1 + i, S1 + i, 0x1000 + i);
        r->packet(r, at(r, 1), &esp, &v);
        assert_int_equal(v.rule, DT_MASQ_RULE_ESP_OUT_ESTABLISHED);
        assert_int_equal(v.nat, OUT2);
    }
    c.params.n_outside = 2;
    c.params.outside[1] = OUT;
    c.params.gen++;
    r->configure(r, &c);
    for (uint32_t i = 0; i < 16; i++) { /* it comes back: nobody moves again */
        struct dt_masq_verdict v = {0};
        struct dt_masq_facts esp = ESP_OUT(C1 + i, S1 + i, 0x1000 + i);
        r->packet(r, at(r, 2), &esp, &v);
        assert_int_equal(v.nat, OUT2);
    }
}

static struct dt_masq_facts own(struct dt_masq_facts f)
{
    f.side = DT_MASQ_ROUTER;
    return f;
}

#define OWN_ESP(s, spi)   own(dt_masq_esp_out(OUT, s, spi))
#define OWN_IKE(s, i, rc) own(dt_masq_ike_out(OUT, s, i, rc))

/* The packet goes on, untouched, to the stack or out. */
static void expect_left(struct rig *r, double t, struct dt_masq_facts f, enum dt_masq_rule rule,
                        const char *file, int line)
{
    struct dt_masq_verdict v;
    r->packet(r, at(r, t), &f, &v);
    if (v.rule != rule || v.verdict != DT_MASQ_PASS)
        fail_msg("%s, %s:%d: %s by %s, expected pass by %s", r->name, file, line,
                 dt_masq_verdict_name(v.verdict), dt_masq_rule_name(v.rule), dt_masq_rule_name(rule));
}
#define LEFT(t, facts, rule) expect_left(r, t, facts, DT_MASQ_RULE_##rule, __FILE__, __LINE__)

/* As a client of a gateway with which its clients speak, too. */
static void router_client(struct rig *r)
{
    begin(r);
    LEFT(0, OWN_IKE(S1, 11, 0), IKE_CREATE);
    LEFT(0, IKE_IN(S1, 11, 22), IKE_CONVERT);
    LEFT(0, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED);
    LEFT(0, OWN_IKE(S1, 11, 22), IKE_OUT_ESTABLISHED);
    LEFT(0, OWN_ESP(S1, 0x1001), ESP_CREATE);
    EXPECT(0.1, ESP_OUT(C1, S1, 0x1002), ESP_WAIT, 0);
    LEFT(0.2, ESP_IN(S1, 0x2001), ESP_CONVERT);
    EXPECT(0.3, ESP_OUT(C1, S1, 0x1002), ESP_CREATE, S1);
    LEFT(0.4, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED); /* and makes no item of C1's */
    LEFT(0.4, OWN_ESP(S1, 0x1001), ESP_OUT_ESTABLISHED);
    EXPECT(0.5, OWN_ESP(S1, 0x1003), ESP_WAIT, 0); /* its turn comes */
    EXPECT(0.6, ESP_IN(S1, 0x2002), ESP_CONVERT, C1);
    LEFT(0.7, OWN_ESP(S1, 0x1003), ESP_CREATE);
    LEFT(0.7, OWN_ESP(S1, 0x1004), ESP_WAIT_OWN); /* nobody else waits: it is not held back */
    LEFT(0.8, ESP_IN(S1, 0x2003), ESP_CONVERT);
    EXPECT(0.9, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1); /* the same cookie, with another answer */
    EXPECT(0.9, IKE_IN(S1, 11, 23), IKE_CONVERT, C1);
    LEFT(0.9, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED);
    /* a server that speaks first, on an SPI that nobody has: to its clients, and the router is one */
    uint32_t both[] = {C1, OUT};
    expect_multicast(r, 1, ESP_IN(S1, 0x2009), 2, both, __FILE__, __LINE__);
    struct dt_masq_config c = rig_config();
    c.params.multicast = 0;
    r->configure(r, &c);
    LEFT(1, ESP_IN(S1, 0x2009), ESP_UNKNOWN);
    EXPECT(61, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1); /* t_ei for its items, too */
    EXPECT(61, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
}

/* As a gateway of others: who begins is outside. */
static void router_gateway(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C1, S1, 5, 0), IKE_CREATE, S1);
    LEFT(0, IKE_IN(S2, 7, 0), IKE_UNKNOWN);
    LEFT(0, OWN_IKE(S2, 7, 8), IKE_CREATE);
    LEFT(0, IKE_IN(S2, 7, 8), IKE_CONVERT);
    LEFT(0, ESP_IN(S2, 0x3001), ESP_UNKNOWN); /* it alone speaks IKE with that one */
    LEFT(0, OWN_ESP(S2, 0x4001), ESP_CREATE);
    LEFT(0, ESP_IN(S2, 0x3001), ESP_CONVERT);
    LEFT(0, quote(DT_MASQ_OUTSIDE, ROUTER, seen(OWN_ESP(S2, 0x4001))),
         ICMP_UNKNOWN); /* the size of its path */
    LEFT(0, frag(ESP_IN(S2, 0), 9, 400, 400, true), FRAG_UNKNOWN);
    struct dt_masq_config c = rig_config();
    c.params.n_outside = 0; /* no address, nothing is ours */
    r->configure(r, &c);
    LEFT(1, ESP_IN(S2, 0x3001), PASS);
    LEFT(1, IKE_IN(S1, 5, 6), PASS);
    LEFT(1, OWN_ESP(S2, 0x4001), PASS);
}

/* Its share is its share, and what has no item goes all the same. */
static void router_share(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.share_esp = 1;
    r->start(r, &c);
    LEFT(0, OWN_ESP(S1, 0x1001), ESP_CREATE);
    LEFT(0, OWN_ESP(S2, 0x1002), SHARE);
    LEFT(0, ESP_IN(S2, 0x2002), ESP_UNKNOWN);
}

const struct script scripts_router[] = {
    SCRIPT(spoofed),
    SCRIPT(outsider),
    SCRIPT(fragments),
    SCRIPT(fragment_share),
    SCRIPT(icmp_from_outside),
    SCRIPT(icmp_from_inside),
    SCRIPT(several_outside),
    SCRIPT(router_client),
    SCRIPT(router_gateway),
    SCRIPT(router_share),
    SCRIPTS_END,
};
