/* The rules for ESP, one script each (docs/nat.md has their sentences). */
#include "masq/expect.h"

static void esp_create_convert(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0.1, ESP_OUT(C1, S1, 0x1001), ESP_OUT_OUTSTANDING, S1);
    EXPECT(0.2, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0.3, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1);
    EXPECT(0.4, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1);
    /* a second client, now that the first is established */
    EXPECT(0.5, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(0.6, ESP_IN(S1, 0x2002), ESP_CONVERT, C2);
    EXPECT(0.7, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1);
    EXPECT(0.8, ESP_IN(S1, 0x2002), ESP_IN_ESTABLISHED, C2);
    /* the same outgoing SPI from another client is another item */
    EXPECT(0.9, ESP_OUT(C3, S1, 0x1001), ESP_CREATE, S1);
}

static void esp_one_outstanding(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0.1, ESP_OUT(C2, S1, 0x1002), ESP_WAIT, 0);
    EXPECT(0.2, ESP_OUT(C1, S1, 0x1003), ESP_WAIT_OWN, 0);
    EXPECT(0.3, ESP_OUT(C2, S2, 0x1002), ESP_CREATE, S2); /* another server is another matter */
    EXPECT(0.4, ESP_IN(S2, 0x2002), ESP_CONVERT, C2);
    EXPECT(0.5, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0.6, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(0.7, ESP_IN(S1, 0x2009), ESP_CONVERT, C2);
}

static void esp_t_out(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(4, ESP_OUT(C1, S1, 0x1001), ESP_OUT_OUTSTANDING, S1); /* does not prolong it */
    EXPECT_BEFORE(5, ESP_OUT(C1, S1, 0x1001), ESP_OUT_OUTSTANDING, S1);
    EXPECT_BEFORE(5, ESP_OUT(C2, S1, 0x1002), ESP_WAIT, 0);
    EXPECT(5, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1); /* gone at exactly t_out */
    EXPECT(6, ESP_OUT(C1, S1, 0x1001), ESP_WAIT, 0);
    EXPECT(7, ESP_IN(S1, 0x2001), ESP_CONVERT, C2); /* the third race: C1's reply makes C2's item */
    EXPECT(8, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT_BEFORE(13, ESP_IN(S1, 0x2003), ESP_CONVERT, C1);
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(5, ESP_IN(S1, 0x2001), ESP_UNKNOWN, 0);
    EXPECT(5, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1); /* the same again is a new one */
    EXPECT_BEFORE(10, ESP_OUT(C2, S1, 0x1002), ESP_WAIT, 0);
    EXPECT(10, ESP_IN(S1, 0x2001), ESP_UNKNOWN, 0);
}

static void esp_n_out(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    for (int i = 1; i < 20; i++)
        EXPECT(i * 0.01, ESP_OUT(C1, S1, 0x1001), ESP_OUT_OUTSTANDING, S1); /* nobody waits: not counted */
    EXPECT(1, ESP_OUT(C1, S1, 0x1003), ESP_WAIT_OWN, 0);                    /* its own second SPI: no start */
    for (int i = 0; i < 5; i++)
        EXPECT(1.1, ESP_OUT(C1, S1, 0x1001), ESP_OUT_OUTSTANDING, S1);
    EXPECT(2, ESP_OUT(C2, S1, 0x1002), ESP_WAIT, 0);
    for (int i = 0; i < 3; i++)
        EXPECT(2.1, ESP_OUT(C1, S1, 0x1001), ESP_OUT_OUTSTANDING, S1);
    EXPECT(2.2, ESP_OUT(C1, S1, 0x1001), ESP_N_OUT, 0);
    EXPECT(2.3, ESP_OUT(C2, S1, 0x1002), ESP_WAIT, 0); /* the item is still there */
    EXPECT(2.4, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(2.5, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1); /* no limit once established */
    EXPECT(2.6, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(2.7, ESP_OUT(C2, S1, 0x1002), ESP_OUT_OUTSTANDING, S1); /* a new item counts afresh */
}

static void esp_t_ei(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(1, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT_BEFORE(61, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1);
    EXPECT(100, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1); /* either direction keeps it */
    EXPECT_BEFORE(160, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1);
    EXPECT(200, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1);
    EXPECT_BEFORE(260, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1);
    EXPECT(300, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1);
    EXPECT(360, ESP_IN(S1, 0x2001), ESP_UNKNOWN, 0); /* gone at exactly t_ei */
    EXPECT(361, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(362, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(422, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1); /* gone for the client, too */
    EXPECT(423, ESP_OUT(C2, S1, 0x1002), ESP_WAIT, 0);
}

static void esp_fourth_race(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0.1, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0.2, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(0.3, ESP_IN(S1, 0x2002), ESP_CONVERT, C2);
    EXPECT(70, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(70.1, ESP_IN(S1, 0x2001), ESP_CONVERT, C2); /* C1's packet: misassociated, as the original has it */
    EXPECT(70.2, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(70.3, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C2);
}

static void esp_spi_collision(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0.1, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(0.2, ESP_OUT(C2, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(0.3, ESP_IN(S1, 0x2001), ESP_IN_ESTABLISHED, C1); /* who was first has them all */
    EXPECT(0.4, ESP_OUT(C2, S1, 0x1002), ESP_OUT_OUTSTANDING, S1);
    EXPECT(0.5, ESP_OUT(C3, S2, 0x1003), ESP_CREATE, S2);
    EXPECT(0.6, ESP_IN(S2, 0x2001), ESP_CONVERT, C3); /* the same SPI from another server is no collision */
}

static void esp_multicast(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_IN(S1, 0x2001), ESP_UNKNOWN, 0);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_OUT(C3, S2, 13, 0), IKE_CREATE, S2);
    EXPECT(1, IKE_OUT(C2, S1, 12, 0), IKE_CREATE, S1);
    EXPECT_MULTICAST(1.1, ESP_IN(S1, 0x2001), C1, C2); /* outstanding IKE items count */
    EXPECT(2, IKE_IN(S1, 12, 22), IKE_CONVERT, C2);
    EXPECT_MULTICAST(4.9, ESP_IN(S1, 0x2001), C1, C2);
    EXPECT_MULTICAST(5, ESP_IN(S1, 0x2001), C2); /* C1's has timed out */
    EXPECT(5.1, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(5.2, ESP_IN(S1, 0x2001), ESP_CONVERT, C1); /* an outstanding item goes before */
    EXPECT_MULTICAST(601.9, ESP_IN(S1, 0x2001), C2);
    EXPECT(602, ESP_IN(S1, 0x2001), ESP_UNKNOWN, 0); /* t_ike after the last IKE packet */
}

static void esp_multicast_limits(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.multicast_interval = DT_SEC;
    c.params.multicast_burst = 2;
    c.params.multicast_cap = 2;
    r->start(r, &c);
    for (uint32_t i = 0; i < 3; i++)
        EXPECT(0, IKE_OUT(C1 + i, S1, 11 + i, 0), IKE_CREATE, S1);
    EXPECT_MULTICAST(0, ESP_IN(S1, 0x2001), C1, C2); /* the cap */
    EXPECT_MULTICAST(0, ESP_IN(S1, 0x2002), C1, C2);
    EXPECT(0.5, ESP_IN(S1, 0x2003), MULTICAST_RATE, 0);
    EXPECT_BEFORE(1, ESP_IN(S1, 0x2003), MULTICAST_RATE, 0);
    EXPECT_MULTICAST(1, ESP_IN(S1, 0x2003), C1, C2);
    EXPECT(1.1, ESP_IN(S1, 0x2003), MULTICAST_RATE, 0);
    c.params.multicast = 0;
    r->configure(r, &c);
    EXPECT(4, ESP_IN(S1, 0x2003), MULTICAST_OFF, 0);
    EXPECT(4, ESP_IN(S2, 0x2003), ESP_UNKNOWN, 0);
}

static void esp_require_ike(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.require_ike = 1;
    r->start(r, &c);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_NO_IKE, 0);
    EXPECT(1, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(2, ESP_OUT(C2, S1, 0x1002), ESP_NO_IKE, 0); /* another client's negotiation is not its own */
    EXPECT(2, ESP_OUT(C1, S2, 0x1003), ESP_NO_IKE, 0); /* nor one with another server */
    EXPECT_BEFORE(6, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(6, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(7, ESP_OUT(C1, S1, 0x1009), ESP_NO_IKE, 0);
    EXPECT(7, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1); /* what is there stays */
}

static void esp_bad_spi(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0), ESP_SPI, 0);
    EXPECT(0, ESP_OUT(C1, S1, 1), ESP_SPI, 0);
    EXPECT(0, ESP_OUT(C1, S1, 255), ESP_SPI, 0);
    EXPECT(0, ESP_OUT(C1, S1, 256), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0), ESP_SPI, 0);
    EXPECT(0, ESP_IN(S1, 255), ESP_SPI, 0);
    EXPECT(0, ESP_IN(S1, 256), ESP_CONVERT, C1);
    EXPECT(0, ESP_OUT(C1, S1, 0xffffffffu), ESP_CREATE, S1);
}

static void esp_share(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.share_esp = 2;
    r->start(r, &c);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0x2001), ESP_CONVERT, C1);
    EXPECT(1, ESP_OUT(C1, S1, 0x1002), ESP_CREATE, S1);
    EXPECT(1, ESP_OUT(C1, S2, 0x1003), SHARE, 0);
    EXPECT(1, ESP_OUT(C2, S2, 0x1003), ESP_CREATE, S2); /* another client has its own share */
    EXPECT(6, ESP_OUT(C2, S1, 0x1004), ESP_CREATE, S1); /* C1's has timed out, and left room */
    EXPECT(6, ESP_OUT(C1, S2, 0x1003), ESP_CREATE, S2);
    EXPECT(6, ESP_OUT(C1, 0xc0000203u, 0x1005), SHARE, 0);
    r->sweep(r, at(r, 12));
    EXPECT(12, ESP_OUT(C1, 0xc0000203u, 0x1005), ESP_CREATE, 0xc0000203u);
}

/* A client that sends ever new SPIs, none of which the server knows, and others that set up tunnels meanwhile: each
 * must get its turn. The first item may stand for t_out, as in the original; who made others wait by one that nobody
 * answered is held back after that. */
static void esp_flood_new_tunnels(struct rig *r)
{
    enum { TUNNELS = 12 };
    struct dt_masq_config c = rig_config();
    struct dt_masq_verdict v;
    uint32_t garbage = 0x70000000;
    double waited[TUNNELS], sum = 0;
    c.params.share_esp = c.params.share_ike = 1000000;
    r->start(r, &c);
    EXPECT(0, ESP_OUT(C3, S1, 0x1003), ESP_CREATE, S1);
    EXPECT(0, ESP_IN(S1, 0x2003), ESP_CONVERT, C3);
    for (int n = 0; n < TUNNELS; n++) {
        double start = 20 * n + 7, t = start;
        struct dt_masq_facts mine = ESP_OUT(C1 + 10 + (uint32_t)n, S1, 0x3000);
        for (double f = 20 * n; f < 20 * n + 20; f += 0.05) {
            struct dt_masq_facts g = ESP_OUT(C2, S1, garbage++);
            r->packet(r, at(r, f), &g, &v);
            if (f >= t && t > 0) {
                r->packet(r, at(r, f), &mine, &v);
                t = f + 0.3;
                if (v.verdict == DT_MASQ_FORWARD) {
                    expect_at(r, at(r, f + 0.02), ESP_IN(S1, 0x4000 + (uint32_t)n), DT_MASQ_RULE_ESP_CONVERT,
                              mine.src, __FILE__, __LINE__);
                    waited[n] = f - start;
                    t = -1;
                }
            }
            expect_at(r, at(r, f + 0.03), ESP_OUT(C3, S1, 0x1003), DT_MASQ_RULE_ESP_OUT_ESTABLISHED, S1,
                      __FILE__, __LINE__);
            expect_at(r, at(r, f + 0.04), ESP_IN(S1, 0x2003), DT_MASQ_RULE_ESP_IN_ESTABLISHED, C3, __FILE__,
                      __LINE__);
        }
        if (t > 0)
            fail_msg("%s: tunnel %d could not be set up for %.1f s", r->name, n, 20 * n + 20 - start);
        sum += waited[n];
    }
    if (waited[0] > 10 || sum > 30)
        fail_msg("%s: new tunnels waited %.1f s in all, the first %.1f s", r->name, sum, waited[0]);
}

/* N further SPIs of the client's, while its outstanding item is there. */
static void others_of(struct rig *r, double t, uint32_t client, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        expect_at(r, at(r, t), ESP_OUT(client, S1, 0x9000 + i), DT_MASQ_RULE_ESP_WAIT_OWN, 0, __FILE__,
                  __LINE__);
}

/* The same by the clock: who is held back, for how long, and what makes up for it. */
static void esp_back_off(struct rig *r)
{
    begin(r);
    EXPECT(0, ESP_OUT(C1, S1, 0x1001), ESP_CREATE, S1);
    others_of(r, 0.5, C1, MQ_LATE_OWN);
    EXPECT(1, ESP_OUT(C2, S1, 0x2001), ESP_WAIT, 0);
    EXPECT(5, ESP_OUT(C1, S1, 0x1002), ESP_CREATE, S1); /* once may happen to anybody */
    others_of(r, 5.5, C1, MQ_LATE_OWN);
    EXPECT(6, ESP_OUT(C2, S1, 0x2001), ESP_WAIT, 0);
    EXPECT(10, ESP_OUT(C1, S1, 0x1003), ESP_BACK_OFF, 0); /* for twice t_out from its end */
    EXPECT(10, ESP_OUT(C1, S2, 0x1003), ESP_CREATE, S2);  /* of that server alone */
    EXPECT(11, ESP_OUT(C2, S1, 0x2001), ESP_CREATE, S1);
    EXPECT(11.1, ESP_IN(S1, 0x3001), ESP_CONVERT, C2);
    EXPECT_BEFORE(20, ESP_OUT(C1, S1, 0x1003), ESP_BACK_OFF, 0);
    EXPECT(20, ESP_OUT(C1, S1, 0x1003), ESP_CREATE, S1);
    others_of(r, 21, C1, MQ_LATE_OWN);
    EXPECT(24, ESP_OUT(C2, S1, 0x2002), ESP_WAIT, 0);
    r->sweep(r, at(r, 44));
    EXPECT_BEFORE(45, ESP_OUT(C1, S1, 0x1004), ESP_BACK_OFF, 0); /* four times */
    EXPECT(45, ESP_OUT(C1, S1, 0x1004), ESP_CREATE, S1);
    others_of(r, 46, C1, MQ_LATE_OWN);
    EXPECT(50, ESP_OUT(C1, S1, 0x1005), ESP_CREATE, S1); /* nobody waited: nothing is held against it */
    EXPECT(51, ESP_IN(S1, 0x3002), ESP_CONVERT, C1);     /* answered: all is forgotten */
    EXPECT(52, ESP_OUT(C1, S1, 0x1006), ESP_CREATE, S1);
    others_of(r, 52.5, C1, MQ_LATE_OWN);
    EXPECT(53, ESP_OUT(C2, S1, 0x2002), ESP_WAIT, 0);
    EXPECT(57, ESP_OUT(C1, S1, 0x1007), ESP_CREATE, S1);
    others_of(r, 57.5, C1, MQ_LATE_OWN);
    EXPECT(58, ESP_OUT(C2, S1, 0x2002), ESP_WAIT, 0);
    EXPECT(62, ESP_OUT(C1, S1, 0x1008), ESP_BACK_OFF, 0);
    EXPECT(63, IKE_OUT(C1, S1, 7, 0), IKE_CREATE, S1);
    EXPECT(63, IKE_IN(S1, 7, 8), IKE_CONVERT, C1);
    EXPECT(64, ESP_OUT(C1, S1, 0x1009), ESP_CREATE, S1); /* a new negotiation: it may try once */
    others_of(r, 64.5, C1, MQ_LATE_OWN);
    EXPECT(65, ESP_OUT(C2, S1, 0x2002), ESP_WAIT, 0);
    EXPECT(69, ESP_OUT(C1, S1, 0x100a), ESP_BACK_OFF, 0);
}

/* Whoever is not answered, as often as may be, but comes with few SPIs is held back by the original rules alone; and one
 * further SPI, however many packets it sends, is one. */
static void esp_few_spis(struct rig *r)
{
    begin(r);
    for (unsigned n = 0; n < 6; n++) {
        double t = 5 * n;
        EXPECT(t, ESP_OUT(C1, S1, 0x1001 + n), ESP_CREATE, S1);
        others_of(r, t + 1, C1, MQ_LATE_OWN - 1);
        for (unsigned i = 0; i < MQ_LATE_OWN; i++)
            EXPECT(t + 2, ESP_OUT(C1, S1, 0x9000 + MQ_LATE_OWN - 2), ESP_WAIT_OWN, 0);
        EXPECT(t + 3, ESP_OUT(C2, S1, 0x2001), ESP_WAIT, 0);
    }
}

const struct script scripts_esp[] = {
    SCRIPT(esp_create_convert),
    SCRIPT(esp_one_outstanding),
    SCRIPT(esp_t_out),
    SCRIPT(esp_n_out),
    SCRIPT(esp_t_ei),
    SCRIPT(esp_fourth_race),
    SCRIPT(esp_spi_collision),
    SCRIPT(esp_multicast),
    SCRIPT(esp_multicast_limits),
    SCRIPT(esp_require_ike),
    SCRIPT(esp_bad_spi),
    SCRIPT(esp_share),
    SCRIPT(esp_flood_new_tunnels),
    SCRIPT(esp_back_off),
    SCRIPT(esp_few_spis),
    SCRIPTS_END,
};
