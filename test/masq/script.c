/* The rules, one script each (docs/nat.md has their sentences). Times are seconds after the rig's base. */
#include "masq/rig.h"

#include "base/bytes.h"
#include "masq/tables.h"

#define NS 1e-9

struct dt_masq_config rig_config(void)
{
    struct dt_masq_config c = dt_masq_defaults();
    c.params.t_out = c.params.t_ike_out = 5 * DT_SEC;
    c.params.n_out = 3;
    c.params.t_ei = 60 * DT_SEC;
    c.params.t_ike = 600 * DT_SEC;
    c.params.n_outside = 1;
    c.params.outside[0] = OUT;
    return c;
}

static void begin(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    r->start(r, &c);
}

static dt_time at(const struct rig *r, double t)
{
    return r->base + (dt_time)(t * 1e9 + 0.5);
}

static void expect_at(struct rig *r, dt_time now, struct dt_masq_facts f, enum dt_masq_rule rule, uint32_t to,
                      int line)
{
    struct dt_masq_verdict v;
    memset(&v, 0xee, sizeof(v));
    r->packet(r, now, &f, &v);
    if (v.rule != rule)
        fail_msg("%s, script.c:%d: rule %s, expected %s", r->name, line, dt_masq_rule_name(v.rule),
                 dt_masq_rule_name(rule));
    if (to && (v.verdict != DT_MASQ_FORWARD || v.n != 1 || v.to[0] != to))
        fail_msg("%s, script.c:%d: %s to %08x, expected forward to %08x", r->name, line,
                 dt_masq_verdict_name(v.verdict), v.n ? v.to[0] : 0, to);
    bool left =
        f.side == DT_MASQ_OUTSIDE && (rule == DT_MASQ_RULE_ESP_UNKNOWN || rule == DT_MASQ_RULE_IKE_UNKNOWN ||
                                      rule == DT_MASQ_RULE_ICMP_UNKNOWN);
    if (left && v.verdict != DT_MASQ_PASS)
        fail_msg("%s, script.c:%d: %s, and not left to the stack", r->name, line,
                 dt_masq_verdict_name(v.verdict));
    if (!to && v.verdict == DT_MASQ_FORWARD)
        fail_msg("%s, script.c:%d: forwarded to %08x", r->name, line, v.to[0]);
    if (v.verdict == DT_MASQ_FORWARD && f.side == DT_MASQ_INSIDE && v.nat != OUT && v.nat != OUT2)
        fail_msg("%s, script.c:%d: source would be %08x", r->name, line, v.nat);
}

#define EXPECT(t, facts, rule, to) expect_at(r, at(r, t), facts, DT_MASQ_RULE_##rule, to, __LINE__)
/* One nanosecond before t. */
#define EXPECT_BEFORE(t, facts, rule, to) expect_at(r, at(r, t) - 1, facts, DT_MASQ_RULE_##rule, to, __LINE__)
#define ESP_OUT(c, s, spi)                dt_masq_esp_out(c, s, spi)
#define ESP_IN(s, spi)                    dt_masq_esp_in(s, OUT, spi)
#define IKE_OUT(c, s, i, rc)              dt_masq_ike_out(c, s, i, rc)
#define IKE_IN(s, i, rc)                  dt_masq_ike_in(s, OUT, i, rc)

/* Addressees of a multicast, in any order. */
static void expect_multicast(struct rig *r, double t, struct dt_masq_facts f, size_t n, const uint32_t *want,
                             int line)
{
    struct dt_masq_verdict v = {0};
    r->packet(r, at(r, t), &f, &v);
    if (v.verdict != DT_MASQ_MULTICAST || v.n != n)
        fail_msg("%s, script.c:%d: %s (%s) to %u, expected multicast to %zu", r->name, line,
                 dt_masq_verdict_name(v.verdict), dt_masq_rule_name(v.rule), v.n, n);
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t j = 0; j < v.n; j++)
            found |= v.to[j] == want[i];
        if (!found)
            fail_msg("%s, script.c:%d: %08x is not reached", r->name, line, want[i]);
    }
}
#define EXPECT_MULTICAST(t, facts, ...)                                                                      \
    expect_multicast(r, t, facts, DT_ARRAY_LEN(((uint32_t[]){__VA_ARGS__})), (uint32_t[]){__VA_ARGS__},      \
                     __LINE__)

/* ---- ESP ------------------------------------------------------------------------------------- */

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
    EXPECT(70.1, ESP_IN(S1, 0x2001), ESP_CONVERT, C2); /* C1's packet: misassociated, as the seed has it */
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

/* ---- IKE ------------------------------------------------------------------------------------- */

/* A client that sends ever new SPIs, none of which the server knows, and others that set up tunnels meanwhile: each
 * must get its turn. The first item may stand for t_out, as in the seed; who made others wait by one that nobody
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
                              mine.src, __LINE__);
                    waited[n] = f - start;
                    t = -1;
                }
            }
            expect_at(r, at(r, f + 0.03), ESP_OUT(C3, S1, 0x1003), DT_MASQ_RULE_ESP_OUT_ESTABLISHED, S1,
                      __LINE__);
            expect_at(r, at(r, f + 0.04), ESP_IN(S1, 0x2003), DT_MASQ_RULE_ESP_IN_ESTABLISHED, C3, __LINE__);
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
        expect_at(r, at(r, t), ESP_OUT(client, S1, 0x9000 + i), DT_MASQ_RULE_ESP_WAIT_OWN, 0, __LINE__);
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

/* Whoever is not answered, as often as may be, but comes with few SPIs is held back by the seed's rules alone; and one
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

static void ike_create_convert(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_IN(S1, 11, 22), IKE_UNKNOWN, 0);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(0.1, IKE_OUT(C1, S1, 11, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT(0.2, IKE_IN(S2, 11, 22), IKE_UNKNOWN, 0); /* another server */
    EXPECT(0.2, IKE_IN(S1, 12, 22), IKE_UNKNOWN, 0); /* another cookie */
    EXPECT(0.3, IKE_IN(S1, 11, 0), IKE_IN_NULL, C1); /* COOKIE, INVALID_KE_PAYLOAD */
    EXPECT(0.4, IKE_OUT(C1, S1, 11, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT(0.5, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(0.6, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C1);
    EXPECT(0.7, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT(0.8, IKE_IN(S1, 11, 23), IKE_UNKNOWN, 0);
    EXPECT(0.9, IKE_IN(S1, 11, 0), IKE_UNKNOWN, 0);
    EXPECT(1, IKE_OUT(C1, S1, 0, 22), IKE_COOKIE, 0);
    EXPECT(1, IKE_IN(S1, 0, 22), IKE_COOKIE, 0);
}

static void ike_collision(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C2, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(0.1, IKE_OUT(C1, S1, 11, 0), IKE_COLLISION, 0); /* serialised */
    EXPECT(0.2, IKE_OUT(C1, S2, 11, 0), IKE_CREATE, S2);
    EXPECT(0.3, IKE_IN(S1, 11, 22), IKE_CONVERT, C2);
    EXPECT(0.4, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1); /* the retry finds it established */
    EXPECT(0.5, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C2);
    EXPECT(0.6, IKE_IN(S1, 11, 33), IKE_CONVERT, C1);
    EXPECT(0.7, IKE_IN(S1, 11, 33), IKE_IN_ESTABLISHED, C1);
    EXPECT(0.8, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C2);
    EXPECT(0.9, IKE_OUT(C1, S1, 11, 33), IKE_OUT_ESTABLISHED, S1);
    EXPECT(0.9, IKE_OUT(C2, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
}

static void ike_restart(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C1, S1, 11, 22), IKE_CREATE, S1); /* both cookies, no item: the NAT has forgotten */
    EXPECT(0.1, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(0.2, IKE_OUT(C2, S1, 12, 23), IKE_CREATE, S1);
    EXPECT(0.3, IKE_OUT(C3, S1, 12, 24), IKE_COLLISION, 0);
}

static void ike_expiry(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT_BEFORE(5, IKE_OUT(C1, S1, 11, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT_BEFORE(5, IKE_OUT(C2, S1, 11, 0), IKE_COLLISION, 0);
    EXPECT(5, IKE_OUT(C2, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(10, IKE_IN(S1, 11, 22), IKE_UNKNOWN, 0);
    EXPECT(10, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT_BEFORE(15, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(15, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT_BEFORE(615, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C1);
    EXPECT(1000, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C1);
    EXPECT_BEFORE(1600, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT(1700, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT(2300, IKE_IN(S1, 11, 22), IKE_UNKNOWN, 0);
    EXPECT(2300, IKE_OUT(C1, S1, 11, 22), IKE_CREATE, S1);
}

static void ike_share(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.share_ike = 3;
    r->start(r, &c);
    for (uint64_t i = 0; i < 3; i++)
        EXPECT(0, IKE_OUT(C1, S1, 11 + i, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_OUT(C1, S1, 19, 0), SHARE, 0);
    EXPECT(0, IKE_OUT(C2, S1, 20, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(1, IKE_OUT(C1, S1, 19, 0), SHARE, 0);
    r->sweep(r, at(r, 5));
    EXPECT(5, IKE_OUT(C1, S1, 19, 0), IKE_CREATE, S1);
}

/* ---- around the rules ------------------------------------------------------------------------ */

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

static struct dt_masq_facts frag(struct dt_masq_facts f, uint16_t id, uint16_t off, uint16_t len, bool more)
{
    f.ip_id = id;
    f.frag_off = off;
    f.len = len;
    f.flags |= more ? DT_MASQ_F_MORE : 0;
    if (off)
        f.spi = 0, f.icookie = f.rcookie = 0;
    return f;
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

/* ---- the router itself as an IPsec end ------------------------------------------------------- */

static struct dt_masq_facts own(struct dt_masq_facts f)
{
    f.side = DT_MASQ_ROUTER;
    return f;
}

#define OWN_ESP(s, spi)   own(dt_masq_esp_out(OUT, s, spi))
#define OWN_IKE(s, i, rc) own(dt_masq_ike_out(OUT, s, i, rc))

/* The packet goes on, untouched, to the stack or out. */
static void expect_left(struct rig *r, double t, struct dt_masq_facts f, enum dt_masq_rule rule, int line)
{
    struct dt_masq_verdict v;
    r->packet(r, at(r, t), &f, &v);
    if (v.rule != rule || v.verdict != DT_MASQ_PASS)
        fail_msg("%s, script.c:%d: %s by %s, expected pass by %s", r->name, line,
                 dt_masq_verdict_name(v.verdict), dt_masq_rule_name(v.rule), dt_masq_rule_name(rule));
}
#define LEFT(t, facts, rule) expect_left(r, t, facts, DT_MASQ_RULE_##rule, __LINE__)

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
    expect_multicast(r, 1, ESP_IN(S1, 0x2009), 2, both, __LINE__);
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
                      __LINE__);
    EXPECT(0, ESP_OUT(C1, S1 + 256, 0x1001), ESP_WAIT, 0); /* another's counts for that one */
    EXPECT(0, IKE_OUT(C1 + 4, S1 + 900, 1, 0), IKE_CREATE, S1 + 900);
    EXPECT(0, ESP_OUT(C1 + 4, S1 + 900, 0x1001), ESP_CREATE, S1 + 900);
    EXPECT(0, ESP_IN(S1 + 900, 0x2001), ESP_CONVERT, C1 + 4);
    r->sweep(r, at(r, 20)); /* nothing came of them: they are forgotten, and the share is free */
    EXPECT(20, ESP_OUT(C1, S1 + 77, 0x1001), ESP_CREATE, S1 + 77);
}

/* What does not fit is dropped, and those who are in the table do not notice. */
static void tables_full(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.sizes.esp = 2;
    c.sizes.ike = 3;
    c.sizes.clients = 4;
    c.sizes.servers = 3;
    c.sizes.frags = 1;
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
    EXPECT(1, IKE_OUT(C3 + 1, S1, 1, 0), IKE_CREATE, S1);
    EXPECT(1, IKE_OUT(C3 + 2, S1, 2, 0), FULL, 0); /* clients */
    EXPECT(1, IKE_OUT(C1, S1, 3, 0), IKE_CREATE, S1);
    EXPECT(1, IKE_OUT(C1, S1, 4, 0), IKE_CREATE, S1);
    EXPECT(1, IKE_OUT(C2, S1, 5, 0), FULL, 0);
    EXPECT(1, frag(ESP_OUT(C1, S1, 0x1001), 1, 0, 800, true), ESP_OUT_ESTABLISHED, S1);
    EXPECT(1, frag(ESP_OUT(C1, S1, 0x1001), 2, 0, 800, true), FULL, 0);
    EXPECT(1, ESP_OUT(C1, S2, 0x1002), ESP_CREATE, S2);
    EXPECT(1, ESP_OUT(C1, S2 + 1, 0x1003), ESP_CREATE, S2 + 1);
    EXPECT(1, ESP_OUT(C1, S2 + 2, 0x1004), FULL, 0); /* servers */
    EXPECT(30, ESP_OUT(C1, S1, 0x1001), ESP_OUT_ESTABLISHED, S1);
    EXPECT(30, ESP_IN(S1, 0x2002), ESP_IN_ESTABLISHED, C2);
    r->sweep(r, at(r, 31)); /* what has expired leaves room again */
    EXPECT(31, ESP_OUT(C1, S2 + 2, 0x1004), ESP_CREATE, S2 + 2);
    EXPECT(31, IKE_OUT(C2, S1, 5, 0), IKE_CREATE, S1);
    EXPECT(31, frag(ESP_OUT(C1, S1, 0x1001), 2, 0, 800, true), ESP_OUT_ESTABLISHED, S1);
}

const struct script rig_scripts[] = {
#define SCRIPT(name)                                                                                         \
    {                                                                                                        \
#name, name                                                                                          \
    }
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
    SCRIPT(ike_create_convert),
    SCRIPT(ike_collision),
    SCRIPT(ike_restart),
    SCRIPT(ike_expiry),
    SCRIPT(ike_share),
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
    SCRIPT(server_share),
    SCRIPT(tables_full),
    SCRIPT(truncated),
    {NULL, NULL},
#undef SCRIPT
};
