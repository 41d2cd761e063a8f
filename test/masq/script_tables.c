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

const struct script scripts_tables[] = {
    SCRIPT(truncated),
    SCRIPT(server_share),
    SCRIPT(tables_full),
    SCRIPTS_END,
};
